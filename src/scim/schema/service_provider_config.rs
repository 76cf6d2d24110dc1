//! What this server supports (RFC 7643 section 5), and nothing it does not.

use serde_json::{Value, json};

use crate::scim::schema::urn;

/// The most resources in one answer: a larger `count` is answered with this many (RFC 7644 section
/// 3.4.2.4). Okta asks for 100 at a time and skips users when it gets fewer.
pub const COUNT_MAX: i64 = 1_000;
/// How many resources an answer has when the client does not say.
pub const COUNT_DEFAULT: i64 = 100;

/// How long a cursor is good for, in seconds (RFC 9865).
pub const CURSOR_SECONDS: u64 = 24 * 60 * 60;
/// The most operations in one Bulk request.
pub const BULK_OPERATIONS_MAX: usize = 1_000;
/// The largest Bulk request, in bytes: the largest body of any request.
pub const BULK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The document, without `meta`.
#[must_use]
pub fn document() -> Value {
    json!({
        "schemas": [urn::SERVICE_PROVIDER_CONFIG],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": BULK_OPERATIONS_MAX,
            "maxPayloadSize": BULK_BYTES_MAX
        },
        "filter": { "supported": true, "maxResults": COUNT_MAX },
        // A password is accepted, since Okta always sends one, but there is none to change here.
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": COUNT_DEFAULT,
            "maxPageSize": COUNT_MAX,
            "cursorTimeout": CURSOR_SECONDS
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "API token",
                "description": "The API token in the Authorization header, with or without Bearer.",
                "primary": true
            },
            {
                "type": "httpbasic",
                "name": "HTTP Basic",
                "description": "Any user name, with the API token as the password."
            }
        ]
    })
}
