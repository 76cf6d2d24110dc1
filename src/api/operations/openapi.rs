//! `/openapi.json`: what can be asked outside SCIM, for programs. No token is needed.

use serde_json::Value;

use crate::api::failure::Failure;
use crate::http::response::{JSON, Response};
use crate::store::Store;

/// The document (OpenAPI 3.1). Its version is that of the interface: nobody without a token learns
/// which plumm this is.
const DOCUMENT: &str = include_str!("openapi.json");
/// What becomes the URL of this server.
const SERVER: &str = r#""url": "/""#;

/// Answers with the description of every route that is not SCIM's, which describes itself.
///
/// # Errors
/// None; the signature is that of every handler.
pub fn description(_: &Store, base_url: &str) -> Result<Response, Failure> {
    let url = base_url.strip_suffix("/scim/v2").unwrap_or(base_url);
    // The host may be what any client has sent: it is written as a JSON string.
    let server = format!("\"url\": {}", Value::from(url));
    let text = DOCUMENT.replacen(SERVER, &server, 1);
    Ok(Response::new(200, JSON, text.into_bytes()))
}
