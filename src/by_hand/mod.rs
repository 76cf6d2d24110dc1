//! What people change by hand, with a command or on the web page, and its line in the record.

pub mod login;
pub mod token;
pub mod webhook;

use serde_json::{Map, Value};

use crate::activity::deeds;
use crate::scim::changes::Changes;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::{Actor, LogLine};
use crate::store::transaction::Write;

/// The longest reason that somebody gives, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// What somebody does to one thing of an organisation.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// The command's own word.
    pub method: &'a str,
    /// The type of the thing: a resource type, or one of the words of the provisioning log.
    pub resource_type: &'a str,
    /// Its id or name.
    pub resource: &'a str,
}

/// Adds the line of something that somebody has changed; `before` and `after` are its settings, and
/// nothing secret.
///
/// # Errors
/// Failures of the store.
pub fn record(
    write: &Write,
    actor: &Actor,
    org: OrgKey,
    deed: Deed,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Error> {
    write.log(&line(org, actor, deed, &Changes::between(before, after).to_value()))
}

/// The line of what somebody did.
#[must_use]
pub fn line<'a>(org: OrgKey, actor: &'a Actor, deed: Deed<'a>, changes: &'a Value) -> LogLine<'a> {
    let has_words = deeds::find(deed.method, deed.resource_type).is_some();
    debug_assert!(has_words, "{deed:?} has no words in src/activity/deeds.rs");
    let outcome = match deed.method {
        "create" | "add" => 201,
        "purge" | "remove" | "delete" => 204,
        _ => 200,
    };
    let Deed { method, resource_type, resource } = deed;
    LogLine { org, actor, method, resource_type, resource, outcome, changes }
}

/// Checks a label or a reason: trimmed, within a length, no control characters.
///
/// # Errors
/// What is wrong with it.
pub fn checked_text(text: &str, chars_max: usize) -> Result<String, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("it contains a line break or another control character".to_owned());
    }
    if text.chars().count() > chars_max {
        return Err(format!("it is longer than {chars_max} characters"));
    }
    Ok(text.to_owned())
}
