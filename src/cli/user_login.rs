//! `plumm user deactivate` and `plumm user activate`: login taken away or given back by hand.

use serde_json::{Map, Value, json};

use crate::cli::error::CliError;
use crate::cli::person::{Summary, USER, UserArgs};
use crate::cli::record::{Deed, record_because};
use crate::cli::schema::definitions;
use crate::cli::session::{Answer, Session};
use crate::cli::text::quoted;
use crate::scim::identity::Rules;
use crate::scim::patch::message::PatchOp;
use crate::scim::validate;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::resource::{Kind, State, Stored};
use crate::store::transaction::Write;

/// Takes login away from a person, or gives it back: the change is the one that a PATCH of `active`
/// makes. `org` finds the organisation.
///
/// # Errors
/// Why it could not be done; then nothing has changed.
pub fn set(
    who: &UserArgs,
    active: bool,
    reason: Option<&str>,
    store: &Store,
    session: &Session,
    org: impl Fn(&Write) -> Result<Org, CliError>,
) -> Result<Answer, CliError> {
    let (org, user, changed) = store.write(session.now(), |write| {
        let org = org(write)?;
        let Some(stored) = who.find(write, &org, State::Present)? else {
            return Err(deleted_or_unknown(write, who, &org, active, session));
        };
        let user = Summary::of(&stored)?;
        if user.active == active {
            return Ok((org, user, false));
        }
        let before = stored.parse()?;
        let after = judged(write, &org, &before, active)?;
        let kind = Kind { org: org.key, resource_type: USER, location_base: "" };
        let stored = write.replace_resource(kind, &stored, &before, &after)?;
        let method = if active { "activate" } else { "deactivate" };
        let deed = Deed { method, resource_type: USER, resource: &stored.id };
        record_because(write, session, org.key, deed, reason, &before, &after)?;
        Ok((org, Summary::of(&stored)?, true))
    })?;
    let _ = store.checkpoint();
    let mut json = user.as_json();
    json["changed"] = changed.into();
    Ok(Answer { json, text: said(&org, &user, changed) })
}

/// The document with this value, as a PATCH with one operation makes and judges it.
fn judged(
    write: &Write,
    org: &Org,
    before: &Map<String, Value>,
    active: bool,
) -> Result<Map<String, Value>, CliError> {
    let refused = |it: crate::scim::error::Error| CliError::Failed(it.detail);
    let definitions = definitions(write, org)?;
    let gone = || CliError::from(Error::Invalid("there is no resource type User".to_owned()));
    let users = definitions.resource_type(USER).ok_or_else(gone)?;
    let rules = Rules { deactivates: !active, ..org.settings.rules() };
    let operation = json!({ "op": "replace", "path": "active", "value": active });
    let urn = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    let message = json!({ "schemas": [urn], "Operations": [operation] });
    let message = message.as_object().cloned().unwrap_or_default();
    let patch = PatchOp::parse(&message, org.settings.strict).map_err(refused)?;
    let patched = patch.apply(before, users, rules, &mut 0).map_err(refused)?;
    let judged = validate::judge_change(before, patched.document, users, rules);
    Ok(judged.map_err(refused)?.document)
}

fn deleted_or_unknown(
    write: &Write,
    who: &UserArgs,
    org: &Org,
    active: bool,
    session: &Session,
) -> CliError {
    let found = who.find(write, org, State::Deleted);
    let found: Result<Option<(Stored, Summary)>, Error> = found
        .and_then(|it| it.map(|it| Ok((Summary::of(&it)?, it))).transpose())
        .map(|it| it.map(|(user, stored)| (stored, user)));
    match found {
        Err(error) => error.into(),
        Ok(None) => who.unknown(write, org, session),
        Ok(Some((stored, user))) => {
            let restore = format!("user restore {} {}", quoted(&org.name), stored.id);
            let restore = session.command(&restore);
            let at = stored.deleted.map(|it| it.to_string()).unwrap_or_default();
            CliError::Failed(match active {
                true => format!(
                    "user {} was deleted {at}: bring it back first with `{restore}`",
                    user.named()
                ),
                false => format!(
                    "user {} was deleted {at} and may not log in; `{restore}` brings it back",
                    user.named()
                ),
            })
        }
    }
}

fn said(org: &Org, user: &Summary, changed: bool) -> String {
    let (named, name) = (user.named(), &org.name);
    match (changed, user.active) {
        (false, true) => {
            format!("User {named} of organisation {name} is active already: nothing has changed.")
        }
        (false, false) => {
            format!("User {named} of organisation {name} is inactive already: nothing has changed.")
        }
        (true, false) => format!(
            "User {named} of organisation {name} is deactivated: it may not log in from now on.\n\n\
             The identity provider does not know of this. It gives login back when it next sends \
             this person as active: at its next full sync, or at the next push of a change of this \
             person. To make it last, unassign or deactivate the person there too."
        ),
        (true, true) => format!(
            "User {named} of organisation {name} is activated: it may log in again.\n\n\
             The identity provider does not know of this. It takes login away again when it next \
             sends this person as inactive: at its next full sync, or at the next push of a change \
             of this person. To make it last, assign or activate the person there too."
        ),
    }
}
