//! What the record of changes says of an endpoint: nothing that signs, and nothing that opens the
//! receiver's door.

use serde_json::{Map, Value, json};

use crate::by_hand::Deed;
use crate::cli::record::record;
use crate::cli::session::Session;
use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::provisioning_log::WEBHOOK;
use crate::store::tables::webhook::Webhook;
use crate::store::transaction::Write;
use crate::webhooks::address::origin;

/// Adds the line of a command that has changed an endpoint, if it has; of one that was added or
/// removed, one side is `None`.
///
/// # Errors
/// Failures of the store.
pub fn record_deed(
    write: &Write,
    session: &Session,
    method: &str,
    before: Option<&Webhook>,
    after: Option<&Webhook>,
) -> Result<(), Error> {
    let Some(webhook) = after.or(before) else { return Ok(()) };
    let side = |it: Option<&Webhook>| it.map(settings).unwrap_or_default();
    let (before, after) = (side(before), side(after));
    if before == after {
        return Ok(());
    }
    let deed = Deed { method, resource_type: WEBHOOK, resource: &webhook.id };
    record(write, session, webhook.org, deed, &before, &after)
}

/// What an endpoint is. Of the key only until when the former one signs too.
fn settings(webhook: &Webhook) -> Map<String, Value> {
    let time = |it: Option<Timestamp>| it.map(|it| it.to_string());
    let progress = &webhook.progress;
    let settings = json!({
        "receiver": origin(&webhook.url),
        "events": webhook.events,
        "algorithm": webhook.algorithm,
        "ownAuthorities": webhook.ca.is_some(),
        "insecureHttp": webhook.insecure,
        "formerKeyUntil": time(webhook.former_key.as_ref().map(|(_, until)| *until)),
        "after": progress.position.after,
        "attempts": progress.attempts,
        "disabled": time(progress.disabled),
    });
    match settings {
        Value::Object(it) => it.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
