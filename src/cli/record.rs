//! The lines that commands leave in the record of changes: who ran which, and what it changed.

use serde_json::{Map, Value, json};

use crate::by_hand::{self, Deed};
use crate::cli::session::Session;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::Actor;
use crate::store::tables::resource::Stored;
use crate::store::transaction::Write;

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
    by_hand::record(write, &actor(session, reason), org, deed, before, after)
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
    let (actor, nothing) = (actor(session, reason), json!({}));
    write.log_purge(&by_hand::line(org, &actor, deed, &nothing), erased.last_line)
}
