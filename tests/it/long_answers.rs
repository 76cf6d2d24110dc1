//! Answers that are longer than what is held in memory at once, over real connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use plumm::server::Server;
use plumm::server::limits::Limits;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::harness::{Harness, user, wait_until};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// About how much is read at once.
const PART_BYTES: usize = 4 * 1024 * 1024;
const PEOPLE: usize = 60;

/// A server with people whose documents are 500 KB each: a list of them is 30 MB.
fn serve() -> (Harness, Server) {
    let harness = Harness::new();
    for i in 0..PEOPLE {
        let mut body = user(&format!("u{i}@example.com"));
        body["title"] = "x".repeat(500_000).into();
        harness.post("/Users", &body).expect(201);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start_within(Limits::default(), listener, Arc::clone(&harness.app));
    (harness, server.unwrap())
}

fn ask(harness: &Harness, server: &Server, method: &str, version: &str) -> BufReader<TcpStream> {
    // What the system receives before anybody reads is little, whatever the host is set to.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.connect(&server.local_addr().into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = harness.token();
    let request = format!(
        "{method} /scim/v2/Users?count=1000 {version}\r\nHost: h\r\nAuthorization: Bearer \
         {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    BufReader::new(socket)
}

fn head(client: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(client.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
    }
    head
}

/// The chunks of a body, and whether there was a last one.
fn chunks(client: &mut BufReader<TcpStream>) -> (Vec<Vec<u8>>, bool) {
    let mut chunks = Vec::new();
    loop {
        let mut size = String::new();
        if client.read_line(&mut size).unwrap_or(0) == 0 {
            return (chunks, false);
        }
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        if client.read_exact(&mut chunk).is_err() {
            return (chunks, false);
        }
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        if size == 0 {
            return (chunks, true);
        }
        chunks.push(chunk);
    }
}

#[track_caller]
fn check_list(bytes: &[u8]) {
    let list: Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(list["totalResults"], PEOPLE);
    assert_eq!(list["itemsPerPage"], PEOPLE);
    let names: Vec<&str> = list["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["userName"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..PEOPLE).map(|i| format!("u{i}@example.com")).collect();
    assert_eq!(names, expected);
}

#[test]
fn a_long_answer_comes_in_chunks_and_the_connection_goes_on() {
    let (harness, server) = serve();
    let mut client = ask(&harness, &server, "GET", "HTTP/1.1");
    let fields = head(&mut client);
    assert!(fields.starts_with("HTTP/1.1 200 "), "{fields}");
    assert!(fields.contains("\r\nTransfer-Encoding: chunked\r\n"), "{fields}");
    assert!(!fields.contains("Content-Length") && !fields.contains("Connection"), "{fields}");
    let (parts, whole) = chunks(&mut client);
    assert!(whole && parts.len() >= 7, "{}", parts.len());
    assert!(parts.iter().all(|it| it.len() < PART_BYTES + 1_000_000));
    check_list(&parts.concat());
    // The next request on the same connection.
    let socket = client.get_mut();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_client_of_http_1_0_reads_a_long_answer_to_the_end_of_the_connection() {
    let (harness, server) = serve();
    let mut client = ask(&harness, &server, "GET", "HTTP/1.0");
    let fields = head(&mut client);
    assert!(
        !fields.contains("Transfer-Encoding") && !fields.contains("Content-Length"),
        "{fields}"
    );
    assert!(fields.contains("\r\nConnection: close\r\n"), "{fields}");
    let mut body = Vec::new();
    client.read_to_end(&mut body).unwrap();
    check_list(&body);
}

#[test]
fn a_head_has_no_part_of_a_long_answer() {
    let (harness, server) = serve();
    let mut client = ask(&harness, &server, "HEAD", "HTTP/1.1");
    let fields = head(&mut client);
    assert!(fields.starts_with("HTTP/1.1 200 ") && !fields.contains("Content-Length"), "{fields}");
    let socket = client.get_mut();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_long_answer_takes_little_memory_while_nobody_reads_it() {
    let (harness, server) = serve();
    let mut clients: Vec<_> = (0..4).map(|_| ask(&harness, &server, "GET", "HTTP/1.1")).collect();
    for client in &mut clients {
        head(client);
    }
    let memory = harness.app.memory();
    // Each holds the part that it is sent, and nothing else: no permit, no connection to the file.
    wait_until(|| memory.in_use() <= clients.len() * (PART_BYTES + 1_000_000));
    assert!(memory.in_use() > 0);
    harness.get("/Users?count=1").expect(200);
    for client in &mut clients {
        let (parts, whole) = chunks(client);
        assert!(whole);
        check_list(&parts.concat());
    }
    wait_until(|| memory.in_use() == 0);
}

#[test]
fn a_token_that_is_revoked_gets_no_further_and_the_client_notices() {
    let (harness, server) = serve();
    let mut client = ask(&harness, &server, "GET", "HTTP/1.1");
    head(&mut client);
    let id = harness.token().split('_').nth(1).unwrap().to_owned();
    harness.store.write(harness.now, |tx| tx.revoke_token(&id)).unwrap();
    let (parts, whole) = chunks(&mut client);
    assert!(!whole && parts.len() < 7, "{} parts", parts.len());
    assert_eq!(harness.app.metrics().answers_cut_off.get(), 1);
    // Whoever runs plumm can look it up.
    harness.app.write_refusals();
    let kept = harness.store.read(|tx| tx.last_refusal(harness.org.key)).unwrap();
    assert!(kept.is_some());
}

#[test]
fn who_is_deleted_while_a_page_is_sent_costs_nobody_else_their_place() {
    let (harness, server) = serve();
    let mut client = ask(&harness, &server, "GET", "HTTP/1.1");
    head(&mut client);
    let last = format!("filter=userName%20eq%20%22u{}@example.com%22", PEOPLE - 1);
    let last = harness.get(&format!("/Users?{last}")).expect(200).json();
    let id = last["Resources"][0]["id"].as_str().unwrap();
    harness.call("DELETE", &format!("/Users/{id}"), "").expect(204);
    let (parts, whole) = chunks(&mut client);
    assert!(whole);
    let list: Value = serde_json::from_slice(&parts.concat()).unwrap();
    assert_eq!(list["itemsPerPage"], PEOPLE - 1);
    assert_eq!(list["Resources"].as_array().unwrap().len(), PEOPLE - 1);
}
