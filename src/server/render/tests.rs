//! Responses as the bytes of their heads.

use super::*;

const OPTIONS: Options =
    Options { version: HTTPVersion(1, 1), head_only: false, close: false, length: Length::Whole };

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[track_caller]
fn check(response: &Response, options: &Options, expected: &str, body_follows: bool) {
    let mut out = Vec::new();
    let id = RequestId::fresh();
    assert_eq!(head(&mut out, response, options, &id, DATE), Ok(body_follows));
    let always = format!("Date: {DATE}\r\nX-Request-Id: {}\r\n", id.as_str());
    assert_eq!(String::from_utf8(out).unwrap().replacen(&always, "", 1), expected);
}

#[test]
fn a_response_is_written_with_its_length() {
    let response = Response::new(200, "text/plain", b"abc".to_vec()).with_header("ETag", "x");
    let fields = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: x\r\n\
                  Content-Length: 3\r\n";
    check(&response, &OPTIONS, &format!("{fields}\r\n"), true);
    check(&response, &Options { head_only: true, ..OPTIONS }, &format!("{fields}\r\n"), false);
    let close = format!("{fields}Connection: close\r\n\r\n");
    check(&response, &Options { close: true, ..OPTIONS }, &close, true);
    let keep = format!("{fields}Connection: keep-alive\r\n\r\n");
    check(&response, &Options { version: HTTPVersion(1, 0), ..OPTIONS }, &keep, true);
}

#[test]
fn a_response_in_parts_says_how_it_ends() {
    let response = Response::new(200, "text/plain", b"abc".to_vec());
    let fields = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    let known = Options { length: Length::Known(5_000_000_000), ..OPTIONS };
    check(&response, &known, &format!("{fields}Content-Length: 5000000000\r\n\r\n"), true);
    let unknown = Options { length: Length::Unknown, ..OPTIONS };
    check(&response, &unknown, &format!("{fields}Transfer-Encoding: chunked\r\n\r\n"), true);
    let old = Options { version: HTTPVersion(1, 0), close: true, ..unknown };
    check(&response, &old, &format!("{fields}Connection: close\r\n\r\n"), true);
}

#[test]
fn a_response_that_can_have_no_body_has_no_length() {
    check(&Response::empty(204), &OPTIONS, "HTTP/1.1 204 No Content\r\n\r\n", false);
    check(&Response::empty(304), &OPTIONS, "HTTP/1.1 304 Not Modified\r\n\r\n", false);
    check(
        &Response::empty(201),
        &OPTIONS,
        "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        true,
    );
}

#[test]
fn the_application_does_not_frame_the_message() {
    let response = Response::empty(200)
        .with_header("content-length", "5")
        .with_header("Transfer-Encoding", "chunked")
        .with_header("x-request-id", "of-another")
        .with_header("Connection", "upgrade");
    check(&response, &OPTIONS, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true);
}

#[test]
fn a_name_or_value_that_would_write_a_second_field_is_refused() {
    for value in ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x1bb", "a\x7fb"] {
        let response = Response::empty(200).with_header("Location", value);
        assert!(
            head(&mut Vec::new(), &response, &OPTIONS, &RequestId::fresh(), DATE).is_err(),
            "{value:?}"
        );
    }
    for name in ["", "A B", "A:", "A\r\nB"] {
        let response = Response::empty(200).with_header(name, "x");
        assert!(
            head(&mut Vec::new(), &response, &OPTIONS, &RequestId::fresh(), DATE).is_err(),
            "{name:?}"
        );
    }
    for status in [0, 100, 101, 199, 600, 1000] {
        assert!(
            head(&mut Vec::new(), &Response::empty(status), &OPTIONS, &RequestId::fresh(), DATE)
                .is_err(),
            "{status}"
        );
    }
    let accents = Response::empty(200).with_header("X-User", "jörg@example.com");
    assert!(head(&mut Vec::new(), &accents, &OPTIONS, &RequestId::fresh(), DATE).is_ok());
}
