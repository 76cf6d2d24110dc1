//! Requests that were refused, by reason.

use crate::metrics::counter::Counter;
use crate::metrics::text::Text;

/// The statuses that are told apart; any other counts as the last one.
const STATUSES: [u16; 17] =
    [400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 417, 429, 500, 501, 503, 507, 0];
/// The keywords of RFC 7644 and RFC 9865; any other counts as the last one.
const SCIM_TYPES: [&str; 12] = [
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidCursor",
    "expiredCursor",
    "invalidCount",
    "",
];

/// The counters.
#[derive(Debug, Default)]
pub struct Refused([[Counter; SCIM_TYPES.len()]; STATUSES.len()]);

impl Refused {
    /// Counts a refused request with this status and keyword.
    pub fn count(&self, status: u16, scim_type: &str) {
        let status = STATUSES.iter().position(|it| *it == status).unwrap_or(STATUSES.len() - 1);
        let keyword = SCIM_TYPES.iter().position(|it| *it == scim_type);
        self.0[status][keyword.unwrap_or(SCIM_TYPES.len() - 1)].add();
    }

    /// Adds the reasons that there were.
    pub fn add_to(&self, text: &mut Text) {
        let name = "plumm_refused_requests_total";
        let help = "Refused requests and operations of Bulk requests, by reason.";
        text.family(name, "counter", help);
        for (status, counters) in STATUSES.iter().zip(&self.0) {
            let code = if *status == 0 { "other".to_owned() } else { status.to_string() };
            for (scim_type, count) in SCIM_TYPES.iter().zip(counters) {
                if count.get() > 0 {
                    text.sample(&[("code", &code), ("scim_type", scim_type)], count.get());
                }
            }
        }
    }
}
