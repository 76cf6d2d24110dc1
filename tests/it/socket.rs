//! The server against raw sockets: what may go over a connection, and what ends it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{io, thread};

use plumm::app::App;
use plumm::server::Server;
use plumm::server::limits::{Deadlines, Limits};
use plumm::server::request::body::BODY_BYTES_MAX;
use plumm::server::request::reader::HEAD_BYTES_MAX;

use crate::harness::{Harness, user};

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST /healthz HTTP/1.1\r\nHost: h\r\n";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it watches for what must not come.
const WATCH: Duration = Duration::from_millis(150);

/// One application for all tests here: what they ask of it changes nothing.
fn app() -> Arc<App> {
    static HARNESS: OnceLock<Harness> = OnceLock::new();
    Arc::clone(&HARNESS.get_or_init(Harness::new).app)
}

/// A server with the usual limits.
fn serve() -> Server {
    serve_within(Limits::default())
}

fn serve_within(limits: Limits) -> Server {
    Server::start_within(limits, TcpListener::bind("127.0.0.1:0").unwrap(), app()).unwrap()
}

/// A server whose deadlines are all this short, but for those named after.
fn serve_hastily(deadline: Duration, change: impl FnOnce(&mut Deadlines)) -> Server {
    let (head, body, write, idle, linger) = (PATIENCE, PATIENCE, PATIENCE, PATIENCE, deadline);
    let mut deadlines = Deadlines { head, body, write, idle, linger };
    change(&mut deadlines);
    serve_within(Limits { deadlines, ..Limits::default() })
}

/// The client's end of a connection.
struct Client {
    socket: BufReader<TcpStream>,
}

/// An answer as it came.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|it| it.split_once(": "));
        fields.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn closes(&self) -> bool {
        self.header("Connection") == Some("close")
    }
}

impl Client {
    fn connect(server: &Server) -> Client {
        Client::connect_to(server.local_addr())
    }

    fn connect_to(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { socket: BufReader::new(socket) }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.socket.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The next answer; one to a HEAD has no body, whatever its length says.
    fn answer_to(&mut self, method: &str) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let count = self.socket.read_line(&mut head).unwrap();
            assert!(count > 0, "closed after {head:?}");
        }
        let ids = usize::from(!head.starts_with("HTTP/1.1 100 "));
        assert_eq!(head.matches("\r\nX-Request-Id: ").count(), ids, "{head}");
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("Content-Length").map(|it| it.parse().unwrap());
        if method != "HEAD" {
            answer.body = vec![0; length.unwrap_or(0)];
            self.socket.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    /// Asserts that nothing more comes and that the server closes in an orderly way.
    #[track_caller]
    fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        let end = self.socket.read_to_end(&mut rest);
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    /// Asserts that the server is silent, yet keeps the connection.
    #[track_caller]
    fn assert_silent(&mut self) {
        self.socket.get_ref().set_read_timeout(Some(WATCH)).unwrap();
        let kind = self.socket.fill_buf().map(<[u8]>::to_vec).map_err(|it| it.kind());
        self.socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(
            matches!(kind, Err(io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)),
            "{kind:?}"
        );
    }

    /// Asserts that the connection still serves.
    #[track_caller]
    fn assert_serves(&mut self) {
        assert_eq!(self.send(GET).answer().status, 200);
    }
}

/// Sends these bytes and asserts one refusal with this status, a close, and nothing else.
#[track_caller]
fn check_refused(server: &Server, bytes: &str, status: u16) {
    let mut client = Client::connect(server);
    let answer = client.send(bytes).answer();
    assert_eq!(answer.status, status, "{bytes:?}");
    assert!(answer.closes(), "{bytes:?}");
    assert!(!answer.body.is_empty(), "{bytes:?}");
    client.assert_closed();
}

#[test]
fn no_second_request_is_smuggled_behind_an_ambiguous_length() {
    let server = serve();
    for (lines, status) in [
        ("Content-Length: 5\r\nContent-Length: 60", 400),
        ("Content-Length: 60\r\nContent-Length: 60", 400),
        ("Content-Length: 5a", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
    ] {
        check_refused(&server, &format!("{POST}{lines}\r\n\r\n0\r\n\r\n{GET}"), status);
    }
    server.stop();
}

#[test]
fn no_second_request_is_smuggled_behind_a_malformed_chunk() {
    let server = serve();
    for body in ["3\nabc\r\n", "3\r\nabcd\r\n", "0x3\r\nabc\r\n", "-1\r\n", "1;\n\r\na\r\n"] {
        let bytes = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n{GET}");
        check_refused(&server, &bytes, 400);
    }
    server.stop();
}

#[test]
fn malformed_heads_are_refused() {
    let server = serve();
    for head in [
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /healthz HTTP/1.1\nHost: h\n\n",
        "GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        "GET /health\u{e4} HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET healthz HTTP/1.1\r\nHost: h\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        check_refused(&server, &format!("{head}{GET}"), 400);
    }
    server.stop();
}

#[test]
fn another_version_is_refused_and_costs_nothing() {
    let server = serve();
    for _ in 0..20 {
        check_refused(&server, "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505);
    }
    check_refused(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    server.stop();
}

#[test]
fn a_request_cut_short_is_refused() {
    let server = serve();
    for bytes in [
        "GET /healthz HT".to_owned(),
        format!("{POST}Content-Length: 5\r\n\r\nabc"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    ] {
        let mut client = Client::connect(&server);
        client.send(&bytes).socket.get_ref().shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.answer().status, 400, "{bytes:?}");
        client.assert_closed();
    }
    server.stop();
}

/// A client may go away at any byte. Nothing of a part is applied, and no thread stays behind.
#[test]
fn a_request_cut_short_at_any_byte_changes_nothing() {
    let harness = Harness::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(listener, Arc::clone(&harness.app)).unwrap();
    let body = user("bob@example.com").to_string();
    let head =
        format!("POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: {}", harness.token());
    let length = body.len();
    let (first, second) = body.split_at(length / 2);
    let (one, two) = (first.len(), second.len());
    let requests = [
        format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}"),
        format!(
            "{head}\r\nTransfer-Encoding: chunked\r\n\r\n{one:x};a\r\n{first}\r\n{two:x}\r\n\
             {second}\r\n0\r\nT: u\r\n\r\n"
        ),
    ];
    for request in &requests {
        for end in 0..request.len() {
            // Once it closes one side and reads, and once it is simply gone.
            let mut client = Client::connect(&server);
            client.send(&request[..end]).socket.get_ref().shutdown(Shutdown::Write).unwrap();
            if end == 0 {
                client.assert_closed();
            } else {
                assert_eq!(client.answer().status, 400, "after {end} bytes");
            }
            Client::connect(&server).send(&request[..end]);
        }
    }
    assert_eq!(harness.count("userName pr"), 0);
    // It was not refused for another reason.
    assert_eq!(Client::connect(&server).send(&requests[1]).answer().status, 201);
    server.stop();
    let started = Instant::now();
    while Arc::strong_count(&harness.app) > 1 {
        assert!(started.elapsed() < PATIENCE, "a connection is still served");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_upgrade_is_not_taken_up() {
    let server = serve();
    let mut client = Client::connect(&server);
    let upgrade =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let answer = client.send(GET.replace("Host", &format!("{upgrade}Host"))).answer();
    assert_eq!((answer.status, answer.header("Upgrade")), (200, None));
    client.assert_serves();
    server.stop();
}

#[test]
fn a_head_too_large_is_refused_while_it_is_sent() {
    let server = serve();
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a:b\r\n".repeat(100));
    check_refused(&server, &many, 431);
    let flood = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "a:b\r\n".repeat(100_000));
    check_refused(&server, &flood, 431);
    let wide = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "a".repeat(1_000_000));
    check_refused(&server, &wide, 431);
    let line = format!("GET /{}", "a".repeat(HEAD_BYTES_MAX));
    check_refused(&server, &line, 414);
    server.stop();
}

#[test]
fn a_body_too_large_is_refused_and_the_client_can_read_why() {
    let server = serve();
    check_refused(&server, &format!("{POST}Content-Length: 1000000000000\r\n\r\n"), 413);
    let body = "a".repeat(BODY_BYTES_MAX + 1);
    check_refused(&server, &format!("{POST}Content-Length: {}\r\n\r\n{body}", body.len()), 413);
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}", body.len());
    check_refused(&server, &chunks, 413);
    Client::connect(&server).assert_serves();
    server.stop();
}

#[test]
fn large_bodies_share_one_budget_and_small_ones_are_always_read() {
    let server = serve_within(Limits { bodies_bytes: 1_000_000, ..Limits::default() });
    let large = format!("{POST}Content-Length: 600000\r\n\r\n{}", "a".repeat(600_000));
    let chunks = format!("ea60\r\n{}\r\n", "a".repeat(60_000)).repeat(10);
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    let small = format!("{POST}Content-Length: 60000\r\n\r\n{}", "a".repeat(60_000));
    for whole in [&large, &chunked] {
        // One that stalls holds what it has sent.
        let mut stalled = Client::connect(&server);
        stalled.send(&whole[..whole.len() - 3]);
        stalled.assert_silent();
        for second in [&large, &chunked] {
            let mut client = Client::connect(&server);
            client.send(second);
            let answer = client.answer();
            assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
            assert!(answer.closes());
        }
        let mut client = Client::connect(&server);
        client.send(&small);
        assert_eq!(client.answer().status, 405);
        // It gives back what it held, and the connection goes on.
        stalled.send(&whole[whole.len() - 3..]);
        assert_eq!(stalled.answer().status, 405);
        client.send(&large);
        assert_eq!(client.answer().status, 405);
        client.send(&chunked);
        assert_eq!(client.answer().status, 405);
    }
    server.stop();
}

#[test]
fn bodies_are_taken_off_the_connection_whole() {
    let server = serve();
    let mut client = Client::connect(&server);
    for request in [
        format!("{POST}Content-Length: 3\r\n\r\nabc"),
        format!("{POST}Content-Length: 3\r\n\r\nabc\r\n"),
        format!("{POST}Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n"),
        format!("{POST}Content-Length: 1000000\r\n\r\n{}", "a".repeat(1_000_000)),
        format!("{POST}Content-Length: {}\r\n\r\n{GET}", GET.len()),
    ] {
        let answer = client.send(request).answer();
        assert!(!answer.closes(), "{answer:?}");
        client.assert_serves();
    }
    client.assert_silent();
    server.stop();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serve();
    let mut client = Client::connect(&server);
    client.send(format!("\r\n{GET}HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n").repeat(50));
    for _ in 0..50 {
        assert_eq!(client.answer().status, 200);
        let head = client.answer_to("HEAD");
        assert_eq!(head.status, 200);
        assert!(head.header("Content-Length").is_some());
        assert!(head.header("Date").is_some_and(|it| it.ends_with(" GMT")));
    }
    client.assert_silent();
    client.send(format!("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n{GET}"));
    assert!(client.answer().closes());
    client.assert_closed();
    server.stop();
}

#[test]
fn a_request_may_come_in_pieces() {
    let server = serve();
    let mut client = Client::connect(&server);
    for piece in GET.as_bytes().chunks(5) {
        client.send(piece);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.answer().status, 200);
    client.assert_serves();
    server.stop();
}

#[test]
fn the_client_decides_whether_the_connection_goes_on() {
    let server = serve();
    let mut client = Client::connect(&server);
    let answer = client.send("GET /healthz HTTP/1.0\r\n\r\n").answer();
    assert!(answer.status == 200 && answer.closes());
    client.assert_closed();

    let mut client = Client::connect(&server);
    for _ in 0..2 {
        let answer =
            client.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer();
        assert_eq!((answer.status, answer.header("Connection")), (200, Some("keep-alive")));
    }
    let answer = client.send(GET.replace("Host", "Connection: Close\r\nHost")).answer();
    assert!(answer.status == 200 && answer.closes());
    client.assert_closed();
    server.stop();
}

#[test]
fn an_absolute_target_is_accepted() {
    let server = serve();
    let mut client = Client::connect(&server);
    let get = "GET http://plumm.example/healthz?x HTTP/1.1\r\nHost: plumm.example\r\n\r\n";
    assert_eq!(client.send(get).answer().status, 200);
    client.assert_serves();
    server.stop();
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let server = serve();
    let mut client = Client::connect(&server);
    client.send(format!("{POST}Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n"));
    assert_eq!(client.answer().status, 100);
    client.assert_silent();
    assert!(client.send("abc").answer().status >= 200);
    client.assert_serves();

    // Without a body, or with the body already there, there is nothing to wait for.
    assert!(client.send(format!("{POST}Expect: 100-continue\r\n\r\n")).answer().status >= 200);
    client.send(format!("{POST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"));
    assert!(client.answer().status >= 200);
    client.assert_serves();

    let large = format!("{POST}Expect: 100-continue\r\nContent-Length: 10000000\r\n\r\n");
    check_refused(&server, &large, 413);
    check_refused(&server, &format!("{POST}Expect: tea\r\nContent-Length: 3\r\n\r\n"), 417);
    server.stop();
}

#[test]
fn a_head_that_trickles_in_has_one_deadline() {
    let server = serve_hastily(WATCH, |it| it.head = Duration::from_millis(300));
    let mut client = Client::connect(&server);
    let started = Instant::now();
    client.send("GET /healthz HTTP/1.1\r\n");
    let mut trickle = client.socket.get_ref().try_clone().unwrap();
    let trickling = thread::spawn(move || {
        while started.elapsed() < PATIENCE && trickle.write_all(b"a").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let answer = client.answer();
    assert!(answer.status == 408 && answer.closes());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < PATIENCE / 2, "{waited:?}");
    drop(client);
    trickling.join().unwrap();
    server.stop();
}

#[test]
fn a_body_that_stalls_has_a_deadline() {
    let server = serve_hastily(WATCH, |it| it.body = Duration::from_millis(200));
    for body in ["Content-Length: 9\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n9\r\nabc"] {
        let mut client = Client::connect(&server);
        let answer = client.send(format!("{POST}{body}")).answer();
        assert!(answer.status == 408 && answer.closes());
        client.assert_closed();
    }
    server.stop();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = serve_hastily(WATCH, |it| it.idle = Duration::from_millis(200));
    Client::connect(&server).assert_closed();
    let mut client = Client::connect(&server);
    client.assert_serves();
    client.assert_closed();
    // Empty lines are no request, and do not prolong the wait.
    let mut client = Client::connect(&server);
    client.send("\r\n\r\n").assert_closed();
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let server = serve_hastily(WATCH, |it| it.write = Duration::from_millis(300));
    let mut client = Client::connect(&server);
    // Answers pile up until the buffers between the two are full; then the server stops reading.
    let get = GET.repeat(1000);
    client.socket.get_ref().set_write_timeout(Some(PATIENCE)).unwrap();
    let started = Instant::now();
    while client.socket.get_mut().write_all(get.as_bytes()).is_ok() {
        assert!(started.elapsed() < PATIENCE);
    }
    Client::connect(&server).assert_serves();
    server.stop();
}

#[test]
fn the_longest_idle_connection_is_evicted_first() {
    let server = serve_within(Limits { connections: 3, ..Limits::default() });
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(&server);
        client.assert_serves();
        clients.push(client);
        thread::sleep(Duration::from_millis(50));
    }
    clients.remove(0).assert_closed();
    for client in &mut clients {
        client.assert_serves();
    }
    server.stop();
}

/// A request that creates a user.
pub fn push(harness: &Harness, user_name: &str) -> String {
    let body = user(user_name).to_string();
    let (token, length) = (harness.token(), body.len());
    format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_new_connection_is_turned_away_when_all_slots_are_busy() {
    let harness = Harness::new();
    let limits = Limits { connections: 2, ..Limits::default() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start_within(limits, listener, Arc::clone(&harness.app)).unwrap();
    let held = harness.hold_writes();
    let mut busy = [Client::connect(&server), Client::connect(&server)];
    for (client, name) in busy.iter_mut().zip(["a@b.c", "d@e.f"]) {
        client.assert_serves();
        client.send(push(&harness, name)).assert_silent();
    }
    let mut newcomer = Client::connect(&server);
    let answer = newcomer.send(GET).answer();
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    assert!(answer.closes());
    newcomer.assert_closed();
    drop(held);
    for client in &mut busy {
        assert_eq!(client.answer().status, 201);
        client.assert_serves();
    }
    // An answer can be read a moment before its connection counts as idle.
    thread::sleep(WATCH);
    Client::connect(&server).assert_serves();
    server.stop();
}

#[test]
fn every_connection_of_a_burst_is_answered() {
    let server = serve();
    for _ in 0..20 {
        let mut burst: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
        for client in &mut burst {
            client.send(GET);
        }
        for client in burst.iter_mut().rev() {
            assert_eq!(client.answer().status, 200);
        }
    }
    server.stop();
}

#[test]
fn more_connections_than_permits_are_all_answered() {
    let server = serve_within(Limits { requests_at_work: 2, ..Limits::default() });
    let address = server.local_addr();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Client::connect_to(address);
                for _ in 0..50 {
                    client.assert_serves();
                }
            });
        }
    });
    server.stop();
}

#[test]
fn answers_on_a_kept_connection_do_not_wait_for_an_ack() {
    let server = serve();
    let mut client = Client::connect(&server);
    let post = format!("{POST}Content-Length: 20000\r\n\r\n{}", "a".repeat(20_000));
    client.assert_serves();
    let started = Instant::now();
    for _ in 0..100 {
        client.send(&post).answer();
    }
    // Each would take 44 ms without TCP_NODELAY.
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    server.stop();
}

#[test]
fn stopping_closes_idle_connections_at_once() {
    let server = serve();
    let address = server.local_addr();
    let mut idle = Client::connect(&server);
    idle.assert_serves();
    let mut silent = Client::connect(&server);
    silent.assert_silent();
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    idle.assert_closed();
    silent.assert_closed();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn stopping_finishes_a_request_that_has_begun() {
    let server = serve();
    let address = server.local_addr();
    let mut client = Client::connect(&server);
    client.send(format!("{POST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    assert_eq!(client.answer().status, 100);
    let stopping = thread::spawn(move || server.stop());
    while TcpStream::connect(address).is_ok() {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!stopping.is_finished());
    let answer = client.send("abc").answer();
    assert!(answer.status >= 200 && answer.closes());
    client.assert_closed();
    drop(client);
    stopping.join().unwrap();
}

#[test]
fn stopping_waits_no_longer_than_its_limit() {
    let server = serve_within(Limits { stop: Duration::from_millis(200), ..Limits::default() });
    let mut client = Client::connect(&server);
    client.send(format!("{POST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"));
    assert_eq!(client.answer().status, 100);
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Cut off: whether with an answer or without one, the connection ends.
    let _ = client.socket.read_to_end(&mut Vec::new());
}

#[test]
fn a_server_on_every_address_can_be_stopped() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        // A host may have no IPv6.
        let Ok(listener) = TcpListener::bind(address) else { continue };
        Server::start(listener, app()).unwrap().stop();
    }
}
