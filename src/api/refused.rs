//! What is kept of a request that was refused.

use std::cell::RefCell;

use serde_json::Value;

use crate::http::request::Method;
use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, is_unseen};
use crate::scim::filter::comparison::fold;
use crate::scim::schema::name::USER_NAME;
use crate::store::tables::org::OrgKey;
use crate::store::tables::refusal::{DETAIL_BYTES_MAX, Refusal, SUBJECT_BYTES_MAX, cut};
use crate::store::tables::resource::is_resource_id;

/// How much of the path of an operation is looked at: an endpoint and an id, and whether there is
/// more; and how much of each, in bytes.
const SEGMENTS_MAX: usize = 3;
const SEGMENT_BYTES: usize = 100;
/// What every token begins with, and what its beginning is in a path that is percent-encoded.
const TOKEN_BEGINS: &str = "plm";

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The path, without a name or an id of anybody.
    pub path: String,
    /// The name of the resource type.
    pub resource_type: Option<String>,
    /// The id that the path names, as it was sent.
    pub id: Option<String>,
}

/// Who has sent a request that was refused, and when.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The organisation.
    pub org: OrgKey,
    /// The public id of the token.
    pub token: &'a str,
    /// The client's address.
    pub client: Option<&'a str>,
    /// The id of the request.
    pub request: &'a str,
    /// When.
    pub now: Timestamp,
}

/// An operation of a Bulk request that failed.
#[derive(Debug)]
pub struct FailedOperation {
    /// Its method.
    pub method: String,
    /// The segments of its path behind `/scim/v2`.
    pub segments: Vec<String>,
    /// The userName that it gives.
    pub subject: Option<String>,
    /// What the client was told.
    pub error: Error,
}

/// What became known of a request that may be refused. It is short: nobody is charged for it.
#[derive(Debug, Default)]
pub struct Noted {
    /// The userName that its body gives.
    pub subject: RefCell<Option<String>>,
    /// The operations of a Bulk request that failed.
    pub operations: RefCell<Vec<FailedOperation>>,
}

impl FailedOperation {
    /// An operation with this method and path, whose body is `data`.
    #[must_use]
    pub fn new(method: &Method, segments: &[String], data: &Value, error: &Error) -> Self {
        FailedOperation {
            method: shown_method(method).to_owned(),
            segments: segments.iter().take(SEGMENTS_MAX).map(|it| cut(it, SEGMENT_BYTES)).collect(),
            subject: subject_of(data.get(USER_NAME)),
            error: error.clone(),
        }
    }
}

/// The userName in a body.
#[must_use]
pub fn subject_of(user_name: Option<&Value>) -> Option<String> {
    // In another letter case it may be shorter.
    user_name.and_then(Value::as_str).map(|it| cut(it, 4 * SUBJECT_BYTES_MAX))
}

/// Whether a refusal is one that somebody asks after: whatever was refused under `/scim`, and
/// elsewhere a token that is not valid, not for this, or used too often. Not that a version is
/// another one than the client has, which it only wanted to know.
#[must_use]
pub fn is_kept(under_scim: bool, method: &Method, status: u16) -> bool {
    match status {
        401 | 403 | 429 => true,
        412 => under_scim && !matches!(method, Method::Get | Method::Head),
        _ => under_scim,
    }
}

/// The method, where it is one that is known.
#[must_use]
pub fn shown_method(method: &Method) -> &str {
    if matches!(method, Method::Other(_)) { "OTHER" } else { method.name() }
}

/// The refusal as it is kept.
#[must_use]
pub fn refusal(
    sender: Sender,
    method: &str,
    about: About,
    subject: Option<&str>,
    error: &Error,
) -> Refusal {
    Refusal {
        org: sender.org,
        first: sender.now,
        last: sender.now,
        count: 1,
        various: false,
        token: sender.token.to_owned(),
        client: sender.client.map(str::to_owned),
        request: Some(sender.request.to_owned()),
        method: method.to_owned(),
        path: about.path,
        resource_type: about.resource_type,
        resource: about.id.filter(|it| is_resource_id(it)),
        subject: subject.map(|it| cut(&clean(&fold(it)), SUBJECT_BYTES_MAX)),
        status: error.status,
        scim_type: error.scim_type.map(|it| it.keyword().to_owned()),
        detail: kept_detail(&error.detail),
    }
}

/// A sentence as it is kept: on one line, without a token that was pasted into a path, and cut.
#[must_use]
pub fn kept_detail(detail: &str) -> String {
    let mut kept = String::new();
    let mut rest = detail;
    while let Some(at) = rest.find(TOKEN_BEGINS) {
        let behind = &rest[at + TOKEN_BEGINS.len()..];
        let of_token = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '%';
        let end = behind.find(|it| !of_token(it)).unwrap_or(behind.len());
        kept.push_str(&rest[..at + TOKEN_BEGINS.len()]);
        // Nothing but a word of the sentence, such as `plm_`.
        kept.push_str(if end > 4 { "…" } else { &behind[..end] });
        rest = &behind[end..];
    }
    kept.push_str(rest);
    cut(&clean(&kept), DETAIL_BYTES_MAX)
}

fn clean(text: &str) -> String {
    text.chars().map(|it| if is_unseen(it) { '\u{fffd}' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_kept_on_one_line_without_a_token_and_cut() {
        for (detail, expected) in [
            ("No e-mail address.", "No e-mail address."),
            ("There is nothing at /scim/v2/plm_abc_def/x.", "There is nothing at /scim/v2/plm…/x."),
            ("at /plm%5Fabc%5Fdef and plm_abcdef", "at /plm… and plm…"),
            ("from plm_ to its last letter", "from plm_ to its last letter"),
            ("a\nb", "a\u{fffd}b"),
        ] {
            assert_eq!(kept_detail(detail), expected);
        }
        let long = kept_detail(&"ü".repeat(5_000));
        assert!(long.len() <= DETAIL_BYTES_MAX && long.ends_with('…'), "{long}");
    }
}
