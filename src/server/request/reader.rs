//! The reader of a connection: one request after the other, from whatever bytes arrive.

use std::fmt;
use std::io::{self, Read};

use crate::http::request_id::RequestId;
use crate::server::budget::Reservation;
use crate::server::request::body::{self, BODY_BYTES_MAX, Body};
use crate::server::request::chunked;
use crate::server::request::head::{self, Framing, Head};
use crate::server::request::input::Input;
use crate::server::request::line_scanner::LineScanner;
use crate::server::request::refusal::{ReadError, Refusal};

/// Request line and header lines together.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// One reader serves all requests of a connection.
#[derive(Default)]
pub struct Reader {
    input: Input,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} bytes)", self.input.bytes().len())
    }
}

impl Reader {
    /// Whether a further request has begun to arrive. Empty lines before a request line do not
    /// count (RFC 9112 section 2.2: old clients send one after a body).
    pub fn has_begun(&mut self) -> bool {
        while self.input.bytes().starts_with(b"\r\n") {
            self.input.consume(2);
        }
        self.input.shrink_when_empty();
        !self.input.bytes().is_empty() && self.input.bytes() != b"\r"
    }

    /// Whether bytes have arrived that are not yet parsed.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.bytes().is_empty()
    }

    /// Waits for the first byte of a request; `false` when the client closes before one.
    ///
    /// # Errors
    ///
    /// When reading fails.
    pub fn wait_for_request(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        while !self.has_begun() {
            if self.input.fill(stream)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the head of a request.
    ///
    /// # Errors
    ///
    /// A head that is malformed, too large or cut short, or that announces too large a body; and
    /// when reading fails.
    pub fn read_head(&mut self, stream: &mut impl Read) -> Result<Head, ReadError> {
        self.has_begun();
        let mut scanner = LineScanner::default();
        let end = loop {
            let bytes = self.input.bytes();
            let seen = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
            if let Some(end) = scanner.scan(seen)? {
                break end;
            }
            if seen.len() == HEAD_BYTES_MAX {
                return Err(head_too_large(scanner.lines).into());
            }
            self.input.fill_or_refuse(stream)?;
        };
        let head = Head::parse(&self.input.bytes()[..end])?;
        match head.framing {
            Framing::Length(length) if length > BODY_BYTES_MAX as u64 => {
                Err(body::too_large().into())
            }
            _ => {
                self.input.consume(end);
                Ok(head)
            }
        }
    }

    /// The id of a request of which [`Reader::read_head`] has made none.
    #[must_use]
    pub fn id_of_refused(&self) -> RequestId {
        let bytes = self.input.bytes();
        head::id_of_refused(&bytes[..bytes.len().min(HEAD_BYTES_MAX)])
    }

    /// Reads the body that this framing delimits. Memory grows with what arrives, never with what
    /// is announced.
    ///
    /// # Errors
    ///
    /// A body that is malformed, too large or cut short; one for which there is no memory now; and
    /// when reading fails.
    pub fn read_body(
        &mut self,
        stream: &mut impl Read,
        framing: Framing,
        reservation: &mut Reservation,
    ) -> Result<Vec<u8>, ReadError> {
        let mut body = Body::new(reservation);
        match framing {
            Framing::Length(length) => body.read(&mut self.input, stream, length)?,
            Framing::Chunked => chunked::read(&mut self.input, stream, &mut body)?,
        }
        Ok(body.into_bytes())
    }
}

/// RFC 9112 section 3 asks for 414 when it is the target that is too long to read; the fields
/// after it get 431 (RFC 6585 section 5).
fn head_too_large(lines: usize) -> Refusal {
    match lines {
        0 => Refusal::new(
            414,
            format!("The request line is longer than {HEAD_BYTES_MAX} bytes. Send a shorter URL."),
        ),
        _ => Refusal::new(
            431,
            format!("The request head is larger than {HEAD_BYTES_MAX} bytes. Send fewer fields."),
        ),
    }
}

#[cfg(test)]
mod tests;
