//! One HTTP response, whole.

use std::borrow::Cow;

/// The media type of every SCIM answer (RFC 7644 section 8.1).
pub const SCIM_JSON: &str = "application/scim+json";
/// The media type of answers outside `/scim`.
pub const JSON: &str = "application/json";

/// How many header fields there is room for at first.
const USUAL_HEADERS: usize = 8;

/// A response as a value. `Content-Length`, `Date` and `Connection` are the server's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields beside those the server adds.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without a body.
    #[must_use]
    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A response with this body and `Content-Type`.
    #[must_use]
    pub fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
        // As many as most answers have in the end.
        let mut headers = Vec::with_capacity(USUAL_HEADERS);
        headers.push(("Content-Type", Cow::Borrowed(content_type)));
        Response { status, headers, body }
    }

    /// The same response with one more header field.
    #[must_use]
    pub fn with_header(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// The same response with this `Content-Type`.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &'static str) -> Response {
        for (name, value) in &mut self.headers {
            if *name == "Content-Type" {
                *value = Cow::Borrowed(content_type);
            }
        }
        self
    }

    /// The first header field of this name, in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_ref())
    }
}
