//! A response as the bytes of its head.

use tiny_http::{HTTPVersion, StatusCode};

use crate::http::request_id::{self, RequestId};
use crate::http::response::Response;

/// Fields that frame the message, its date and its id. Only this file knows their values, so it
/// alone writes them, whatever the application has set.
const RESERVED_FIELDS: [&str; 5] =
    ["Connection", "Content-Length", "Date", "Transfer-Encoding", request_id::FIELD];

/// How to write the response, by the request and its connection.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version of the request.
    pub version: HTTPVersion,
    /// Whether the request was a HEAD: the fields of the answer without its body.
    pub head_only: bool,
    /// Whether the connection closes after this answer.
    pub close: bool,
    /// How long the body is.
    pub length: Length,
}

/// The length of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It is the whole body of the response.
    Whole,
    /// So many bytes, of which the body of the response is the first part.
    Known(u64),
    /// The same, and nobody knows how many: in chunks (RFC 9112 section 7.1), or up to the end of
    /// the connection for a client of HTTP/1.0.
    Unknown,
}

impl Options {
    /// Whether the body goes in chunks.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.length == Length::Unknown && self.version >= HTTPVersion(1, 1)
    }
}

/// The reason, for the log, why a response must not be written.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidResponse(pub String);

/// Appends the head of the response and returns whether its body follows.
///
/// # Errors
///
/// A name or a value with a control character, which would write a second field or a second
/// response; a status that is no final one.
pub fn head(
    out: &mut Vec<u8>,
    response: &Response,
    options: &Options,
    id: &RequestId,
    date: &str,
) -> Result<bool, InvalidResponse> {
    let status = response.status;
    if !(200..=599).contains(&status) {
        return Err(InvalidResponse(format!("status {status} is no final status")));
    }
    let reason = StatusCode(status).default_reason_phrase();
    // RFC 9110 section 6.6.1: a server with a clock sends Date.
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, status.into());
    for part in [" ", reason, "\r\nDate: ", date, "\r\n", request_id::FIELD, ": "] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(id.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &response.headers {
        if RESERVED_FIELDS.iter().any(|it| it.eq_ignore_ascii_case(name)) {
            continue;
        }
        // Without a branch for each byte, many are judged at once.
        let in_name = |it: u8| it.is_ascii_graphic() & (it != b':');
        if name.is_empty() || !name.bytes().fold(true, |all, it| all & in_name(it)) {
            return Err(InvalidResponse(format!("header name {name:?} is no name")));
        }
        let is_control = |it: u8| it.is_ascii_control() & (it != b'\t');
        if value.bytes().fold(false, |any, it| any | is_control(it)) {
            return Err(InvalidResponse(format!("the value of {name} holds a control character")));
        }
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    // RFC 9110 section 8.6: no Content-Length in a 204; one in a 304 would describe another body.
    let has_body = !matches!(status, 204 | 304);
    if has_body {
        let length = match options.length {
            Length::Whole => Some(response.body.len() as u64),
            Length::Known(bytes) => Some(bytes),
            Length::Unknown => None,
        };
        if let Some(length) = length {
            out.extend_from_slice(b"Content-Length: ");
            push_number(out, length);
            out.extend_from_slice(b"\r\n");
        } else if options.is_chunked() {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
    }
    if options.close {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if options.version < HTTPVersion(1, 1) {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(has_body && !options.head_only)
}

/// Appends a number in decimal digits.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 || at == digits.len() {
        at -= 1;
        digits[at] += (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests;
