//! Why a request is not read any further.

use std::borrow::Cow;
use std::io;

/// A request that is not read any further: the connection answers with this and closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// What was wrong and what to do, for the reader at the other end.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this status.
    #[must_use]
    pub fn new(status: u16, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, detail: detail.into() }
    }

    /// 400: the request can be read in more than one way, or in none.
    #[must_use]
    pub fn bad(detail: &'static str) -> Refusal {
        Refusal::new(400, detail)
    }

    /// 400: the stream ended before the request did.
    #[must_use]
    pub fn cut_short() -> Refusal {
        Refusal::bad("The connection ended within the request. Send the whole request again.")
    }
}

/// Why there is no further request.
#[derive(Debug)]
pub enum ReadError {
    /// The bytes are not a request that this server reads: answer with this and close.
    Refused(Refusal),
    /// The connection failed, or its deadline passed.
    Io(io::Error),
}

impl From<Refusal> for ReadError {
    fn from(refusal: Refusal) -> ReadError {
        ReadError::Refused(refusal)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}
