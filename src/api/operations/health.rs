//! Is the server alive (`/healthz`), and can it do its work (`/readyz`)? No token is needed.

use crate::api::failure::Failure;
use crate::http::response::{JSON, Response};
use crate::store::Store;

/// The process answers.
///
/// # Errors
/// None; the signature is that of every handler.
pub fn alive(_: &Store, _: &str) -> Result<Response, Failure> {
    Ok(Response::new(200, JSON, br#"{"status":"ok"}"#.to_vec()))
}

/// The database answers.
///
/// # Errors
/// Why it does not; for the log.
pub fn ready(store: &Store, base_url: &str) -> Result<Response, Failure> {
    store.read(|tx| tx.org(""))?;
    alive(store, base_url)
}
