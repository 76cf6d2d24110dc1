//! The files of the page, which are part of the program.

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::{Error, quoted};

/// What a browser may do with the page: run its own scripts, and nothing from elsewhere.
const SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";
/// A browser asks each time whether it still has the newest: a new plumm brings a new page.
const CACHED: &str = "no-cache";
/// The page itself.
const INDEX: &str = "index.html";
/// How much of the hash of a file is its tag, in bytes.
const TAG_BYTES: usize = 12;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Every file with its type.
const FILES: &[(&str, &str, &[u8])] = &[
    (INDEX, HTML, include_bytes!("page/index.html")),
    ("page.css", CSS, include_bytes!("page/page.css")),
    ("icon.svg", SVG, include_bytes!("page/icon.svg")),
    ("main.js", SCRIPT, include_bytes!("page/main.js")),
    ("ask.js", SCRIPT, include_bytes!("page/ask.js")),
    ("element.js", SCRIPT, include_bytes!("page/element.js")),
    ("icons.js", SCRIPT, include_bytes!("page/icons.js")),
    ("make.js", SCRIPT, include_bytes!("page/make.js")),
    ("story.js", SCRIPT, include_bytes!("page/story.js")),
    ("overview.js", SCRIPT, include_bytes!("page/overview.js")),
    ("people.js", SCRIPT, include_bytes!("page/people.js")),
    ("groups.js", SCRIPT, include_bytes!("page/groups.js")),
    ("activity.js", SCRIPT, include_bytes!("page/activity.js")),
    ("tokens.js", SCRIPT, include_bytes!("page/tokens.js")),
    ("webhooks.js", SCRIPT, include_bytes!("page/webhooks.js")),
    ("setup.js", SCRIPT, include_bytes!("page/setup.js")),
    ("backup.js", SCRIPT, include_bytes!("page/backup.js")),
];

/// The tag of each file, which changes with it.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |bytes: &[u8]| Base64UrlUnpadded::encode_string(&Sha256::digest(bytes)[..TAG_BYTES]);
    FILES.iter().map(|(_, _, bytes)| format!("\"{}\"", tag(bytes))).collect()
});

/// `GET /admin/` and the files beside it; `name` is empty for the page itself.
///
/// # Errors
/// 404 for any other file.
pub fn file(request: &Request, name: &str) -> Result<Response, Failure> {
    // What the page names stands beside it, whatever path a proxy puts before it.
    if name.is_empty() && !request.path.ends_with('/') {
        return Ok(Response::empty(308).with_header("Location", "admin/"));
    }
    let name = if name.is_empty() { INDEX } else { name };
    let Some(at) = FILES.iter().position(|(it, _, _)| *it == name) else {
        let detail = format!(
            "There is no file {} of the page. The page is at /admin/.",
            quoted(&request.path)
        );
        return Err(Error::new(404, detail).into());
    };
    let (_, content_type, bytes) = FILES[at];
    let tag = &TAGS[at];
    let tags = request.header("If-None-Match").unwrap_or_default();
    let is_known = tags.split(',').any(|it| it.trim().trim_start_matches("W/") == tag);
    let response = match is_known {
        true => Response::empty(304),
        false => Response::new(200, content_type, bytes.to_vec()),
    };
    Ok(response
        .with_header("ETag", tag.as_str())
        .with_header("Cache-Control", CACHED)
        .with_header("Content-Security-Policy", SECURITY_POLICY)
        .with_header("X-Frame-Options", "DENY")
        .with_header("Referrer-Policy", "no-referrer")
        .with_header("Cross-Origin-Opener-Policy", "same-origin")
        .with_header("Cross-Origin-Resource-Policy", "same-origin"))
}
