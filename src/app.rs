//! The spine: one request value in, one response value out.

use crate::http::request::Request;
use crate::http::response::{Response, SCIM_JSON};

/// The application behind every connection.
#[derive(Debug)]
pub struct App;

impl App {
    /// Answers one request. Never fails and never panics.
    #[must_use]
    pub fn handle(&self, request: &Request) -> Response {
        Response::new(200, SCIM_JSON, request.body.clone())
    }

    /// The answer to a request that could not be read: a SCIM Error (RFC 7644 section 3.12).
    #[must_use]
    pub fn refuse(&self, status: u16, detail: &str) -> Response {
        Response::new(status, SCIM_JSON, detail.as_bytes().to_vec())
    }
}
