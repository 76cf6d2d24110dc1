//! `X-Request-Id`: on every answer, in every line of the log about it, and in what a client may
//! quote.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use plumm::server::Server;
use plumm::server::limits::Limits;
use serde_json::Value;

use crate::cli::{PATIENCE, Place, Serving};
use crate::harness::{Harness, wait_until};

/// What the server answers to these bytes, until it closes.
fn answer(address: &str, bytes: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// The one id on an answer.
#[track_caller]
fn id(answer: &str) -> String {
    let head = answer.split("\r\n\r\n").next().unwrap();
    let mut ids = head.lines().filter_map(|it| it.strip_prefix("X-Request-Id: "));
    let id = ids.next().unwrap_or_else(|| panic!("no id: {answer}"));
    assert_eq!(ids.next(), None, "{answer}");
    id.to_owned()
}

#[test]
fn every_answer_has_an_id() {
    let harness = Harness::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server =
        Server::start_within(Limits::default(), listener, Arc::clone(&harness.app)).unwrap();
    let address = server.local_addr().to_string();
    let mut seen = Vec::new();
    let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
    for (request, status) in [
        (head("GET /healthz") + "\r\n", 200),
        (head("GET /readyz") + "\r\n", 200),
        (head("GET /metrics") + "\r\n", 401),
        (head("GET /nowhere") + "\r\n", 404),
        (head("DELETE /healthz") + "\r\n", 405),
        (head("GET /scim/v2/Users") + "\r\n", 401),
        // Judged by its head, and by the reader: the line, the fields, the body.
        (head("POST /scim/v2/Users") + "Content-Length: 100000\r\n\r\n", 401),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
        ("GET /healthz HTTP/1.1\r\n\r\n".to_owned(), 400),
        (head("POST /healthz") + "Content-Length: 99999999999\r\n\r\n", 413),
        (head("POST /healthz") + "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
    ] {
        let answer = answer(&address, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        let id = id(&answer);
        assert!(id.len() == 16 && !seen.contains(&id), "{seen:?} {id}");
        seen.push(id);
        // The same with an id of the client's own, whatever becomes of the request.
        let Some((line, rest)) = request.split_once("\r\n").filter(|it| it.0 != "nonsense") else {
            continue;
        };
        let own = self::answer(&address, &format!("{line}\r\nx-request-ID:  my-1\t\r\n{rest}"));
        assert_eq!(self::id(&own), "my-1", "{request:?}");
    }
    server.stop();
}

#[test]
fn an_id_that_is_none_is_replaced() {
    let harness = Harness::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(listener, Arc::clone(&harness.app)).unwrap();
    let address = server.local_addr().to_string();
    let send = |fields: &str| {
        let head = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
        id(&answer(&address, &format!("{head}{fields}\r\n")))
    };
    let long = "a".repeat(128);
    assert_eq!(send("X-Request-Id: 7F/a+b=.c-d_e:f~\r\n"), "7F/a+b=.c-d_e:f~");
    assert_eq!(send(&format!("X-Request-Id: {long}\r\n")), long);
    assert_eq!(send("X-Request-Id: a\r\nX-Request-Id: a\r\n"), "a");
    for fields in [
        "X-Request-Id:\r\n",
        "X-Request-Id: a b\r\n",
        "X-Request-Id: \"a\"\r\n",
        "X-Request-Id: <script>\r\n",
        "X-Request-Id: \u{e9}\r\n",
        "X-Request-Id: a\r\nX-Request-Id: b\r\n",
        &format!("X-Request-Id: {long}a\r\n"),
        &format!("X-Request-Id: {}\r\n", harness.token()),
    ] {
        let id = send(fields);
        assert!(id.len() == 16 && id.bytes().all(|it| it.is_ascii_hexdigit()), "{fields}: {id}");
    }
    server.stop();
}

#[test]
fn a_client_that_is_turned_away_is_given_an_id() {
    let harness = Harness::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::start_within(limits, listener, Arc::clone(&harness.app)).unwrap();
    let address = server.local_addr().to_string();
    let held = harness.hold_writes();
    let mut busy = TcpStream::connect(&address).unwrap();
    busy.write_all(crate::socket::push(&harness, "a@b.c").as_bytes()).unwrap();
    let started = Instant::now();
    wait_until(|| {
        assert!(started.elapsed() < PATIENCE);
        let answer =
            answer(&address, "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        !id(&answer).is_empty() && answer.starts_with("HTTP/1.1 503 ")
    });
    drop((held, busy));
    server.stop();
}

/// Each line that the log has about a request, and the sentence that a client quotes to support.
#[test]
fn the_log_names_a_failed_request_as_its_answer_does() {
    let place = Place::with_acme();
    let token = place.token();
    let mut serving = Serving::start_with(
        place.command(&["serve", "--listen", "127.0.0.1:0"]),
        &[("PLUMM_LOG", "debug")],
    );
    let address = serving.url.strip_prefix("http://").unwrap().to_owned();
    let get = |own: &str| {
        let request = format!(
            "GET /scim/v2/Users HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{own}\
             Authorization: Bearer {token}\r\n\r\n"
        );
        answer(&address, &request)
    };
    let fine = get("");
    assert!(fine.starts_with("HTTP/1.1 200 "), "{fine}");
    serving.wait_for(&format!(" {} 127.0.0.1 GET /scim/v2/Users 200 ", id(&fine)));

    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    connection.execute_batch("ALTER TABLE resource RENAME TO gone").unwrap();
    drop(connection);
    let failed = get("X-Request-Id: okta-7\r\n");
    assert!(failed.starts_with("HTTP/1.1 500 ") && id(&failed) == "okta-7", "{failed}");
    let body: Value = serde_json::from_str(failed.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert!(body["detail"].as_str().unwrap().ends_with("log under okta-7."), "{body}");
    let cause = serving.wait_for("no such table");
    assert!(cause.contains("ERROR okta-7 "), "{cause}");
    // And no line about what is no request.
    let (_, printed) = serving.stop("TERM");
    assert_eq!(printed, "");
    assert!(fs::metadata(place.folder.database()).is_ok());
}
