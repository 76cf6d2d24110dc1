//! Is the server alive (`/healthz`), and can it do its work (`/readyz`)? No token is needed.

use crate::http::response::{JSON, Response};
use crate::store::Store;
use crate::store::error::Error;

/// The process answers.
#[must_use]
pub fn alive() -> Response {
    Response::new(200, JSON, br#"{"status":"ok"}"#.to_vec())
}

/// The database answers.
///
/// # Errors
/// Why it does not; for the log.
pub fn ready(store: &Store) -> Result<Response, Error> {
    store.read(|tx| tx.org(""))?;
    Ok(alive())
}
