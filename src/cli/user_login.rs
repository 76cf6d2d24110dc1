//! `plumm user deactivate` and `plumm user activate`: login taken away or given back by hand.

use crate::by_hand::login::{self, Failed};
use crate::cli::error::CliError;
use crate::cli::person::{Summary, UserArgs};
use crate::cli::record::actor;
use crate::cli::schema::definitions;
use crate::cli::session::{Answer, Session};
use crate::cli::text::quoted;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::resource::{State, Stored};
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
        let definitions = definitions(write, &org)?;
        let actor = actor(session, reason);
        let changed = login::set(write, &org, &definitions, &stored, active, &actor);
        let changed = changed.map_err(|it| match it {
            Failed::Refused(it) => CliError::Failed(it.detail),
            Failed::Store(it) => it.into(),
        })?;
        let user = Summary::of(changed.as_ref().unwrap_or(&stored))?;
        Ok((org, user, changed.is_some()))
    })?;
    let _ = store.checkpoint();
    let mut json = user.as_json();
    json["changed"] = changed.into();
    Ok(Answer { json, text: said(&org, &user, changed) })
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
             {}",
            login::warning(false)
        ),
        (true, true) => format!(
            "User {named} of organisation {name} is activated: it may log in again.\n\n{}",
            login::warning(true)
        ),
    }
}
