//! What this server supports (RFC 7643 section 5), and nothing it does not.

use serde_json::{Value, json};

use crate::scim::urn;

/// The most resources in one answer: a larger `count` is answered with this many (RFC 7644 section
/// 3.4.2.4). Okta asks for 100 at a time and skips users when it gets fewer.
pub const COUNT_MAX: i64 = 1_000;
/// How many resources an answer has when the client does not say.
pub const COUNT_DEFAULT: i64 = 100;

/// The document, without `meta`.
#[must_use]
pub fn document() -> Value {
    json!({
        "schemas": [urn::SERVICE_PROVIDER_CONFIG],
        "patch": { "supported": true },
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": COUNT_MAX },
        // A password is accepted, since Okta always sends one, but there is none to change here.
        "changePassword": { "supported": false },
        "sort": { "supported": false },
        "etag": { "supported": false },
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
