//! Requests from whole and cut streams of bytes: what is read, what is refused.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::*;
use crate::http::request::Request;
use crate::server::budget::Budget;
use crate::server::request::chunked::{
    CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX,
};
use crate::server::request::head::HEADERS_MAX;
use crate::server::request::input::READ_BYTES;

/// Yields its parts one read at a time, then the end of the stream.
struct Parts<'a>(Vec<&'a [u8]>);

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(part) = self.0.first_mut() else {
            return Ok(0);
        };
        let count = part.read(buffer)?;
        if part.is_empty() {
            self.0.remove(0);
        }
        Ok(count)
    }
}

/// The requests in these bytes as `METHOD target body`, and what ended them.
fn read(parts: Vec<&[u8]>) -> (Vec<String>, Option<Refusal>) {
    let mut stream = Parts(parts.into_iter().filter(|it| !it.is_empty()).collect());
    let mut reader = Reader::default();
    let mut requests = Vec::new();
    loop {
        match next(&mut reader, &mut stream) {
            Ok(Some(it)) => {
                let body = String::from_utf8_lossy(&it.body);
                requests.push(format!("{} {}?{} {body}", it.method, it.path, it.query));
            }
            Ok(None) => return (requests, None),
            Err(ReadError::Refused(refusal)) => return (requests, Some(refusal)),
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    }
}

fn next(reader: &mut Reader, stream: &mut Parts) -> Result<Option<Request>, ReadError> {
    if !reader.wait_for_request(stream)? {
        return Ok(None);
    }
    let mut head = reader.read_head(stream)?;
    let budget = Budget::new(BODY_BYTES_MAX);
    head.request.body = reader.read_body(stream, head.framing, &mut budget.reservation(None))?;
    Ok(Some(head.request))
}

#[track_caller]
fn check(bytes: &str, requests: &[&str], refused: Option<u16>) {
    let (seen, refusal) = read(vec![bytes.as_bytes()]);
    assert_eq!(seen, requests, "{bytes:?}");
    assert_eq!(refusal.as_ref().map(|it| it.status), refused, "{bytes:?}: {refusal:?}");
    if let Some(refusal) = refusal {
        // What was wrong, and what to do about it.
        assert!(refusal.detail.matches(". ").count() >= 1, "{refusal:?}");
        assert!(refusal.detail.ends_with('.'), "{refusal:?}");
    }
}

/// A head with these lines after the request line is refused, and nothing behind it is read.
#[track_caller]
fn check_refused(lines: &str, status: u16) {
    let bytes = format!(
        "POST /a HTTP/1.1\r\n{lines}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    );
    check(&bytes, &[], Some(status));
}

#[test]
fn requests_are_read_one_after_the_other() {
    check("", &[], None);
    check("\r\n\r\n", &[], None);
    check("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &["GET /? "], None);
    check("GET /a?b=c HTTP/1.0\r\n\r\n", &["GET /a?b=c "], None);
    check(
        "POST /a HTTP/1.1\r\nhost: h:8080\r\ncontent-length: 3\r\n\r\nabc\r\n\
         DELETE /b HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n\
         PUT /c HTTP/1.1\r\nHost: h\r\nContent-Length: 0002\r\n\r\nxy\
         BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n",
        &["POST /a? abc", "DELETE /b? ", "PUT /c? xy", "BREW /pot? "],
        None,
    );
}

#[test]
fn chunked_bodies_are_read_to_the_end_of_their_trailers() {
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let after = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
    for body in [
        "3\r\nabc\r\n0\r\n\r\n",
        "1\r\na\r\n2;x=\"y\"\r\nbc\r\n0;z\r\n\r\n",
        "0003\r\nabc\r\n000\r\nX: y\r\nContent-Length: 5\r\n\r\n",
    ] {
        check(&format!("{head}{body}{after}"), &["POST /a? abc", "GET /b? "], None);
    }
    for body in [
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "\r\n",
        "3\r\nabc\r\n0\r\nX: y\n\r\n",
        "3\r\nabc\r\n0\r\nX y\r\n\r\n",
        "3\r\nabc\r\n0\r\n X: y\r\n\r\n",
        "3\r\nab",
        "3\r\nabc\r\n",
        "3\r\nabc\r\n0\r\n",
        "3\r\nabc\r\n0\r\nX: y\r\n",
    ] {
        check(&format!("{head}{body}"), &[], Some(400));
    }
}

#[test]
fn a_request_without_exactly_one_good_host_is_refused() {
    check_refused("X: y", 400);
    check_refused("Host: a\r\nHost: a", 400);
    check_refused("Host: a\r\nhost: b", 400);
    for host in ["", " ", "a, b", "a,b", "a b", "user@a", "a/b", "/", "http://a", "a?b", "ä"] {
        check_refused(&format!("Host: {host}"), 400);
    }
    for host in ["a:b", "a:80:80", "a:-1", "a:+1", "a:65536", "a: 80", ":80", ":", "a%", "a%2"] {
        check_refused(&format!("Host: {host}"), 400);
    }
    for host in ["[", "[]", "::1", "[::1", "::1]", "[a]", "[1.2.3.4]", "[::1]a", "[::1]:a"] {
        check_refused(&format!("Host: {host}"), 400);
    }
    for host in ["[[::1]]", "a[::1]", "[::1][::1]", "[fe80::1%25eth0]", "[v1.a]", "a%gg"] {
        check_refused(&format!("Host: {host}"), 400);
    }
    let good = ["a:", "a:80", "a:65535", "1.2.3.4:1", "[::1]", "[::ffff:1.2.3.4]:443", "[::]:"];
    for host in good.into_iter().chain(["a_b.c", "a%C3%A4"]) {
        check(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), &["GET /? "], None);
    }
    check("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", &[], Some(400));
}

#[test]
fn ambiguous_framing_is_refused() {
    for (lines, status) in [
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 0\r\nContent-Length: 0", 400),
        ("Content-Length: 5\r\ncontent-length:", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: 5,", 400),
        ("Content-Length: 5 5", 400),
        ("Content-Length: 5.0", 400),
        ("Content-Length: 5e0", 400),
        ("Content-Length: \"5\"", 400),
        ("Content-Length: 5;a", 400),
        ("Content-Length: 5a", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: -5", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: ٥", 400),
        ("Content-Length:", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\ntransfer-encoding: gzip", 400),
        ("Transfer-Encoding: chunked, chunked", 400),
        ("Transfer-Encoding: chunked,", 400),
        ("Transfer-Encoding: chunked;q=1", 400),
        ("Transfer-Encoding: chun ked", 400),
        ("Transfer-Encoding: chunked\u{a0}", 400),
        ("Transfer-Encoding: \"chunked\"", 400),
        ("Transfer-Encoding: ,chunked", 400),
        ("Transfer-Encoding:", 400),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: chunked, identity", 501),
        ("Transfer-Encoding: identity", 501),
        ("Content-Length: 1000000000000", 413),
        ("Content-Length: 18446744073709551616", 413),
        ("Content-Length: 18446744073709551621", 413),
        ("Content-Length: 99999999999999999999999999", 413),
        ("Expect:", 417),
        ("Expect: 100-continue;a=b", 417),
        ("Expect: 100-continue\r\nExpect: tea", 417),
        ("Expect: 200-ok", 417),
        ("Expect: 100-continue, 200-ok", 417),
    ] {
        check_refused(&format!("Host: h\r\n{lines}"), status);
    }
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[], Some(400));
    check("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", &["GET /? "], None);
    check("POST / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na", &["POST /? a"], None);
}

#[test]
fn unusual_requests_with_one_meaning_are_read() {
    for (lines, body) in [
        ("Content-Length: 3", "abc"),
        ("Content-Length: \t 3 \t", "abc"),
        ("Content-Length: 00000000000000000000000003", "abc"),
        ("Content-Length:3", "abc"),
        ("transfer-encoding: CHUNKED", "3\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding:\tchunked ", "3\r\nabc\r\n0\r\n\r\n"),
        ("Expect: 100-continue\r\nContent-Length: 3", "abc"),
        ("Expect: 100-Continue, 100-continue\r\nContent-Length: 3", "abc"),
        // Nobody changes the protocol here (RFC 9110 section 7.8).
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 3", "abc"),
        ("Content-Length: 3\r\nContent-Encoding: gzip\r\nTE: trailers", "abc"),
    ] {
        for method in ["GET", "DELETE", "OPTIONS", "brew", "M-SEARCH", "A!#$%&'*+.^_`|~9"] {
            let bytes = format!("{method} /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n{body}");
            let get = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
            let expected = format!("{method} /a? abc");
            check(&format!("{bytes}{get}"), &[&expected, "GET /b? "], None);
        }
    }
}

#[test]
fn a_path_is_read_as_it_stands_and_decoded_by_segments() {
    for (path, expected) in [
        ("/a%2Fb", Some(vec!["a/b"])),
        ("/%2e%2E/a", Some(vec!["..", "a"])),
        ("//a//", Some(vec!["a"])),
        ("/%C3%A4%F0%9F%98%80", Some(vec!["ä😀"])),
        ("/a+b", Some(vec!["a+b"])),
        ("/%0d%0a", Some(vec!["\r\n"])),
        ("/%00", None),
        ("/%", None),
        ("/%4", None),
        ("/%zz", None),
        ("/%+4", None),
        ("/%C0%80", None),
        ("/%ED%A0%80", None),
        ("/%F4%90%80%80", None),
        ("/%ff", None),
    ] {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let request = next(&mut Reader::default(), &mut Parts(vec![bytes.as_bytes()]));
        let request = request.unwrap().unwrap();
        assert_eq!(request.path, path);
        let segments = request.segments();
        let segments = segments.as_ref().map(|it| it.iter().map(AsRef::as_ref).collect());
        assert_eq!(segments, expected, "{path}");
    }
}

#[test]
fn malformed_header_lines_are_refused() {
    for line in [
        "X: a\rb",
        "X: a\nY: b",
        "X: a\0b",
        "X: a\x01b",
        "X: a\x7fb",
        "X\0: a",
        ": a",
        "X : a",
        "X\t: a",
        "X",
        "X\u{e4}: a",
        "X: a\r\n b",
        "X: a\r\n\tb",
        " X: a",
    ] {
        check_refused(&format!("Host: h\r\n{line}"), 400);
        check_refused(&format!("{line}\r\nHost: h"), 400);
    }
}

#[test]
fn malformed_request_lines_are_refused() {
    for (line, status) in [
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET / a HTTP/1.1", 400),
        ("GET\t/\tHTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("GET /ä HTTP/1.1", 400),
        ("G\u{e4}T / HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET /#a HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.1x", 400),
        ("GET / HTTPS/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("CONNECT h:443 HTTP/1.1", 400),
        ("GET ftp://h/ HTTP/1.1", 400),
        ("GET http:///a HTTP/1.1", 400),
        ("GET http:// HTTP/1.1", 400),
        ("GET http://?a HTTP/1.1", 400),
        ("GET http:/h/ HTTP/1.1", 400),
        ("GET //h HTTPS", 400),
        ("GET http://user:pass@h/ HTTP/1.1", 400),
        ("GET ws://h/ HTTP/1.1", 400),
        ("GET h:80 HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("CONNECT / HTTP/1.1", 400),
        ("GET /a\tb HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET /\tHTTP/1.1", 400),
        ("GET / HTTP/1.1\t", 400),
        ("G,T / HTTP/1.1", 400),
        ("G@T / HTTP/1.1", 400),
        (": / HTTP/1.1", 400),
        ("GET / Http/1.1", 400),
        ("GET / HTTP/1,1", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/01.1", 400),
        ("GET / HTTP /1.1", 400),
        ("GET http://user@h/a HTTP/1.1", 400),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/3", 505),
        ("PRI * HTTP/2.0", 505),
    ] {
        check(&format!("{line}\r\nHost: h\r\n\r\n"), &[], Some(status));
    }
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[], Some(505));
}

#[test]
fn an_absolute_target_names_the_host() {
    for (target, expected) in [
        ("http://x:1/a/b?c=d", "/a/b?c=d"),
        ("HTTPS://x:1", "/?"),
        ("http://x:1?c=http://y/z", "/?c=http://y/z"),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: y\r\nA: b\r\n\r\n");
        let request = next(&mut Reader::default(), &mut Parts(vec![bytes.as_bytes()]));
        let request = request.unwrap().unwrap();
        assert_eq!(format!("{}?{}", request.path, request.query), expected);
        assert_eq!(request.header("Host"), Some("x:1"));
        assert_eq!(request.headers.len(), 2);
    }
}

#[test]
fn header_values_are_trimmed_and_read_as_text() {
    let bytes = b"GET / HTTP/1.1\r\nHost:\t h \t\r\nA: \xc3\xa4\r\nB: \xe4\r\nC:\r\n\r\n";
    let request = next(&mut Reader::default(), &mut Parts(vec![bytes])).unwrap().unwrap();
    let values: Vec<_> = request.headers.iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["h", "ä", "ä", ""]);
}

#[test]
fn the_client_says_whether_the_connection_goes_on() {
    for (version, option, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: te, Close\r\n", false),
        ("1.1", "Connection: te\r\nconnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: h\r\n{option}\r\n");
        let head = Head::parse(bytes.as_bytes()).unwrap();
        assert_eq!(head.keep_alive, expected, "{bytes:?}");
    }
}

#[test]
fn each_limit_holds_to_the_byte() {
    let line = |bytes: usize| format!("GET /{} HTTP/1.1", "a".repeat(bytes - 14));
    check(&line(HEAD_BYTES_MAX), &[], Some(414));
    check(&line(1_000_000), &[], Some(414));

    let head = |bytes: usize| {
        let fixed = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n";
        fixed.replace("X: ", &format!("X: {}", "a".repeat(bytes - fixed.len())))
    };
    check(&head(HEAD_BYTES_MAX), &["GET /? "], None);
    check(&head(HEAD_BYTES_MAX + 1), &[], Some(431));

    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a:b\r\n".repeat(count - 1));
    check(&fields(HEADERS_MAX), &["GET /? "], None);
    check(&fields(HEADERS_MAX + 1), &[], Some(431));

    let post = "POST / HTTP/1.1\r\nHost: h\r\n";
    let body = "a".repeat(BODY_BYTES_MAX);
    let full = format!("POST /? {body}");
    check(&format!("{post}Content-Length: {}\r\n\r\n{body}", body.len()), &[&full], None);
    check(&format!("{post}Content-Length: {}\r\n\r\n", body.len() + 1), &[], Some(413));
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let chunks = format!("{:x}\r\n{body}\r\n", body.len());
    check(&format!("{chunked}{chunks}0\r\n\r\n"), &[&full], None);
    check(&format!("{chunked}{chunks}1\r\n"), &[], Some(413));
    check(&format!("{chunked}ffffffffffffffff\r\n"), &[], Some(413));

    let extended = |bytes: usize| format!("1;{}\r\na\r\n", "x".repeat(bytes - 4));
    let last = "0\r\n\r\n";
    let longest = extended(CHUNK_LINE_BYTES_MAX);
    check(&format!("{chunked}{longest}{last}"), &["POST /? a"], None);
    check(&format!("{chunked}{}", extended(CHUNK_LINE_BYTES_MAX + 1)), &[], Some(400));
    let many = CHUNK_EXTENSIONS_BYTES_MAX / CHUNK_LINE_BYTES_MAX + 1;
    check(&format!("{chunked}{}{last}", longest.repeat(many)), &[], Some(400));

    let trailer = |bytes: usize| format!("{chunked}0\r\nX: {}\r\n\r\n", "a".repeat(bytes - 7));
    check(&trailer(TRAILER_BYTES_MAX), &["POST /? "], None);
    check(&trailer(TRAILER_BYTES_MAX + 1), &[], Some(431));
    let fields = |count: usize| format!("{chunked}0\r\n{}\r\n", "a:b\r\n".repeat(count));
    check(&fields(HEADERS_MAX), &["POST /? "], None);
    check(&fields(HEADERS_MAX + 1), &[], Some(431));
}

#[test]
fn an_announced_body_is_not_allocated() {
    let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY_BYTES_MAX}\r\n\r\n");
    let (mut reader, mut stream) = (Reader::default(), Parts(vec![bytes.as_bytes()]));
    let head = reader.read_head(&mut stream).unwrap();
    let budget = Budget::new(0);
    let mut reservation = budget.reservation(None);
    let mut body = Body::new(&mut reservation);
    let Framing::Length(length) = head.framing else { panic!() };
    assert!(body.read(&mut reader.input, &mut stream, length).is_err());
    assert!(body.bytes.capacity() < 64 * 1024);
    assert!(!reader.has_begun());
    assert!(reader.input.buffer.capacity() <= 2 * READ_BYTES);
}

/// What a move or a larger buffer leaves behind cannot be seen from here; `tests/it/secrets.rs`
/// looks for it in the memory of the program.
#[test]
fn parsed_bytes_are_overwritten() {
    let request = "POST /secret HTTP/1.1\r\nHost: h\r\nX: secret\r\nTransfer-Encoding: \
                   chunked\r\n\r\n6;secret\r\nsecret\r\n0\r\nT: secret\r\n\r\n";
    let stream = request.repeat(200);
    for step in [1, 64, 1000, READ_BYTES] {
        let mut parts = Parts(stream.as_bytes().chunks(step).collect());
        let mut reader = Reader::default();
        for _ in 0..200 {
            let read = next(&mut reader, &mut parts).unwrap().unwrap();
            assert_eq!((read.path.as_str(), &read.body[..]), ("/secret", &b"secret"[..]));
            let Input { buffer, start, end } = &reader.input;
            assert!(buffer[..*start].iter().chain(&buffer[*end..]).all(|it| *it == 0));
        }
        assert!(!reader.has_begun() && reader.input.buffer.iter().all(|it| *it == 0));
        assert!(reader.input.buffer.capacity() <= READ_BYTES);
    }
    assert_eq!(format!("{:?}", Reader::default()), "Reader(0 bytes)");
}

/// Whole requests, parts of requests, and what breaks them.
const PIECES: [&str; 24] = [
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    "PUT /b?c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab\r\nc",
    "POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n",
    "POST /f HTTP/1.1\r\nHost: h\r\n",
    "GET http://h/g HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "3\r\nabc\r\n",
    "2;x=\"y\"\r\nab\r\n",
    "0\r\n\r\n",
    "0\r\nT: u\r\n\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "X: \u{e4}\t\r\n",
    "X : y\r\n",
    " folded\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "a",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "Content-Length: 5, 5\r\n",
    "ffffffffffffffff\r\n",
];

#[test]
fn any_split_of_random_requests_yields_the_same() {
    let rng_seed = RngSeed::Fixed(0x706c_756d);
    let config = Config { cases: 2_000, rng_seed, failure_persistence: None, ..Config::default() };
    let pieces = proptest::collection::vec(select(&PIECES[..]), 1..8);
    let cuts = proptest::collection::vec(1..40_usize, 1..6);
    // Once in a while a piece that is larger than one read.
    let long = (any::<bool>(), 0..9_000_usize);
    let check = |(pieces, cuts, (is_long, length)): (Vec<&str>, Vec<usize>, (bool, usize))| {
        let mut bytes = pieces.concat();
        if is_long {
            let large = format!("X: {}\r\n\r\n", "a".repeat(length));
            bytes = bytes.replacen("\r\n\r\n", &format!("\r\n{large}"), 1);
        }
        let mut parts = Vec::new();
        let mut rest = bytes.as_bytes();
        for cut in cuts.iter().cycle() {
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            parts.push(part);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read(parts), read(vec![bytes.as_bytes()]));
        Ok(())
    };
    TestRunner::new(config).run(&(pieces, cuts, long), check).unwrap();
}

/// However the network cuts a stream of bytes, the same requests come out of it.
#[test]
fn every_split_yields_the_same() {
    let get = "GET /b?c HTTP/1.1\r\nHost: h\r\n\r\n";
    let streams = [
        format!("\r\nPOST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\r\n{get}"),
        format!(
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             2;x\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n{get}"
        ),
        format!("{get}GET / HTTP/1.1\nHost: h\r\n\r\n{get}"),
        format!("{get}GET / HTTP/1.1\r\nA: b\r\r\n\r\n{get}"),
        format!("{get}GET / HTTP/1.1\r\nHost: h\r\n c\r\n\r\n{get}"),
        format!("{get}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n".into(),
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n".into(),
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc".into(),
    ];
    for stream in streams {
        let bytes = stream.as_bytes();
        let whole = read(vec![bytes]);
        assert_eq!(read(bytes.chunks(1).collect()), whole, "{stream:?}");
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let (head, tail) = bytes.split_at(second);
                let (head, middle) = head.split_at(first);
                assert_eq!(read(vec![head, middle, tail]), whole, "{stream:?} {first} {second}");
            }
        }
    }
    // Around a limit, and larger than one read.
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
    for step in [1, 7, 1000, READ_BYTES, READ_BYTES + 1] {
        let whole = read(vec![head.as_bytes()]);
        assert_eq!(read(head.as_bytes().chunks(step).collect()), whole, "{step}");
    }
}
