//! A response as the bytes of its head.

use std::io::Write;

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
    // Memory takes whatever is written to it.
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\nDate: {date}\r\n");
    for part in [request_id::FIELD, ": ", id.as_str(), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &response.headers {
        if RESERVED_FIELDS.iter().any(|it| it.eq_ignore_ascii_case(name)) {
            continue;
        }
        let in_name = |it: u8| it.is_ascii_graphic() && it != b':';
        if name.is_empty() || !name.bytes().all(in_name) {
            return Err(InvalidResponse(format!("header name {name:?} is no name")));
        }
        if value.bytes().any(|it| it.is_ascii_control() && it != b'\t') {
            return Err(InvalidResponse(format!("the value of {name} holds a control character")));
        }
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    // RFC 9110 section 8.6: no Content-Length in a 204; one in a 304 would describe another body.
    let has_body = !matches!(status, 204 | 304);
    if has_body {
        // Memory takes whatever is written to it.
        let _ = match options.length {
            Length::Whole => write!(out, "Content-Length: {}\r\n", response.body.len()),
            Length::Known(bytes) => write!(out, "Content-Length: {bytes}\r\n"),
            Length::Unknown if options.is_chunked() => {
                write!(out, "Transfer-Encoding: chunked\r\n")
            }
            Length::Unknown => Ok(()),
        };
    }
    if options.close {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if options.version < HTTPVersion(1, 1) {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(has_body && !options.head_only)
}

#[cfg(test)]
mod tests;
