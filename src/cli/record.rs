//! The lines that commands leave in the record of changes: who ran which, and what it changed.

use serde_json::{Map, Value, json};

use crate::activity::deeds;
use crate::cli::session::Session;
use crate::scim::changes::Changes;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::{Actor, LogLine};
use crate::store::tables::resource::Stored;
use crate::store::transaction::Write;

/// What a command does to one thing of an organisation.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// The command's own word.
    pub method: &'a str,
    /// The type of the thing: a resource type, or one of the words of the provisioning log.
    pub resource_type: &'a str,
    /// Its id or name.
    pub resource: &'a str,
}

/// Who runs a command, and why.
#[must_use]
pub fn actor(session: &Session, reason: Option<&str>) -> Actor {
    Actor { reason: reason.map(str::to_owned), ..session.actor().clone() }
}

/// Adds the line of a command that has changed something; `before` and `after` are its settings,
/// and nothing secret.
///
/// # Errors
/// Failures of the store.
pub fn record(
    write: &Write,
    session: &Session,
    org: OrgKey,
    deed: Deed,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Error> {
    record_because(write, session, org, deed, None, before, after)
}

/// The same for what a person decides, with the reason that was given.
///
/// # Errors
/// Failures of the store.
pub fn record_because(
    write: &Write,
    session: &Session,
    org: OrgKey,
    deed: Deed,
    reason: Option<&str>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Error> {
    let changes = Changes::between(before, after).to_value();
    write.log(&line(org, &actor(session, reason), deed, &changes))
}

/// The line of a resource that was erased for good; it names nothing but the id.
///
/// # Errors
/// Failures of the store.
pub fn record_purge(
    write: &Write,
    session: &Session,
    org: OrgKey,
    deed: Deed,
    reason: Option<&str>,
    erased: &Stored,
) -> Result<(), Error> {
    write.log_purge(&line(org, &actor(session, reason), deed, &json!({})), erased.last_line)
}

fn line<'a>(org: OrgKey, actor: &'a Actor, deed: Deed<'a>, changes: &'a Value) -> LogLine<'a> {
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
