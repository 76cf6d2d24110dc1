//! A response value as bytes.

use tiny_http::{HTTPVersion, StatusCode};

use crate::http::response::Response;

/// Fields that frame the message, and its date. Only this file knows them right, so it alone writes
/// them.
const OURS: [&str; 4] = ["Connection", "Content-Length", "Date", "Transfer-Encoding"];

/// What the answer owes to the request and its connection.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The version of the request.
    pub version: HTTPVersion,
    /// Whether the request was a HEAD: the fields of the answer without its body.
    pub head_only: bool,
    /// Whether the connection closes after this answer.
    pub close: bool,
}

/// A response that must not be written, with the reason for the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Unwritable(pub String);

/// Appends the head of the response and returns whether its body is to follow.
///
/// # Errors
///
/// A name or a value with a control character, which would write a second field or a second
/// response; a status that is no final one.
pub fn head(
    out: &mut Vec<u8>,
    response: &Response,
    terms: &Terms,
    date: &str,
) -> Result<bool, Unwritable> {
    let status = response.status;
    if !(200..=599).contains(&status) {
        return Err(Unwritable(format!("status {status} is no final status")));
    }
    let reason = StatusCode(status).default_reason_phrase();
    // RFC 9110 section 6.6.1: a server with a clock sends Date.
    out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\nDate: {date}\r\n").as_bytes());
    for (name, value) in &response.headers {
        if OURS.iter().any(|it| it.eq_ignore_ascii_case(name)) {
            continue;
        }
        let in_name = |it: u8| it.is_ascii_graphic() && it != b':';
        if name.is_empty() || !name.bytes().all(in_name) {
            return Err(Unwritable(format!("header name {name:?} is no name")));
        }
        if value.bytes().any(|it| it.is_ascii_control() && it != b'\t') {
            return Err(Unwritable(format!("the value of {name} holds a control character")));
        }
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    // RFC 9110 section 8.6: no Content-Length in a 204; one in a 304 would speak of another body.
    let has_body = !matches!(status, 204 | 304);
    if has_body {
        let length = response.body.len();
        out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    }
    if terms.close {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if terms.version < HTTPVersion(1, 1) {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(has_body && !terms.head_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { version: HTTPVersion(1, 1), head_only: false, close: false };

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[track_caller]
    fn check(response: &Response, terms: &Terms, expected: &str, body_follows: bool) {
        let mut out = Vec::new();
        assert_eq!(head(&mut out, response, terms, DATE), Ok(body_follows));
        let date = format!("Date: {DATE}\r\n");
        assert_eq!(String::from_utf8(out).unwrap().replacen(&date, "", 1), expected);
    }

    #[test]
    fn a_response_is_printed_with_its_length() {
        let response = Response::new(200, "text/plain", b"abc".to_vec()).with_header("ETag", "x");
        let fields = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: x\r\n\
                      Content-Length: 3\r\n";
        check(&response, &TERMS, &format!("{fields}\r\n"), true);
        check(&response, &Terms { head_only: true, ..TERMS }, &format!("{fields}\r\n"), false);
        let close = format!("{fields}Connection: close\r\n\r\n");
        check(&response, &Terms { close: true, ..TERMS }, &close, true);
        let keep = format!("{fields}Connection: keep-alive\r\n\r\n");
        check(&response, &Terms { version: HTTPVersion(1, 0), ..TERMS }, &keep, true);
    }

    #[test]
    fn what_has_no_body_has_no_length() {
        check(&Response::empty(204), &TERMS, "HTTP/1.1 204 No Content\r\n\r\n", false);
        check(&Response::empty(304), &TERMS, "HTTP/1.1 304 Not Modified\r\n\r\n", false);
        check(
            &Response::empty(201),
            &TERMS,
            "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            true,
        );
    }

    #[test]
    fn the_application_does_not_frame_the_message() {
        let response = Response::empty(200)
            .with_header("content-length", "5")
            .with_header("Transfer-Encoding", "chunked")
            .with_header("Connection", "upgrade");
        check(&response, &TERMS, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true);
    }

    #[test]
    fn what_would_write_more_than_one_field_is_refused() {
        for value in ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x1bb", "a\x7fb"] {
            let response = Response::empty(200).with_header("Location", value);
            assert!(head(&mut Vec::new(), &response, &TERMS, DATE).is_err(), "{value:?}");
        }
        for name in ["", "A B", "A:", "A\r\nB"] {
            let response = Response::empty(200).with_header(name, "x");
            assert!(head(&mut Vec::new(), &response, &TERMS, DATE).is_err(), "{name:?}");
        }
        for status in [0, 100, 101, 199, 600, 1000] {
            assert!(
                head(&mut Vec::new(), &Response::empty(status), &TERMS, DATE).is_err(),
                "{status}"
            );
        }
        let accents = Response::empty(200).with_header("X-User", "jörg@example.com");
        assert!(head(&mut Vec::new(), &accents, &TERMS, DATE).is_ok());
    }
}
