//! `plumm org delete`: an organisation with all it has, erased for good beside a running server.

use std::thread;
use std::time::Duration;

use serde_json::{Map, json};

use crate::by_hand::Deed;
use crate::cli::error::CliError;
use crate::cli::record::record_because;
use crate::cli::session::{Answer, Session};
use crate::cli::text::quoted;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::serve_lock::is_served;
use crate::store::tables::org::{Org, OrgKey};
use crate::store::tables::org_erasure::{DELETE, Holdings, NAMELESS};
use crate::store::tables::provisioning_log::ORG;

/// How long writers of the server have between two pieces.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a running server has to notice that endpoints of webhooks are gone and that nobody may
/// wait for a change any more: it looks twice a second.
const NOTICE: Duration = Duration::from_millis(1200);
/// How often it is tried to remove the organisation itself: requests that were at work when it
/// began may have written, and each ends within a minute.
const TRIES_MAX: usize = 60;
const TRY_PAUSE: Duration = Duration::from_secs(1);

/// What would be erased, as the refusal to do it unasked.
#[must_use]
pub fn asked(org: &Org, holdings: &Holdings, session: &Session) -> CliError {
    let name = &org.name;
    let count = |n: i64, one: &str, many: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    let resources = match holdings.others {
        0 => String::new(),
        n => format!("{}, ", count(n, "resource of another type", "resources of other types")),
    };
    CliError::Misused {
        message: format!(
            "this would erase organisation {name} for good: {}, {}, {resources}{}, {}, {} and {} \
             of the record of changes. Whoever asks with its tokens is refused at once. Nothing \
             brings it back. Nothing has been erased yet",
            count(holdings.users, "user", "users"),
            count(holdings.groups, "group", "groups"),
            count(holdings.tokens, "token", "tokens"),
            count(holdings.webhooks, "webhook", "webhooks"),
            count(holdings.schemas, "schema or resource type", "schemas and resource types"),
            count(holdings.lines, "line", "lines"),
        ),
        instead: session.command(&format!("org delete {} --yes", quoted(name))),
    }
}

/// Begins: switches the organisation off and revokes its tokens, in one change, with its line.
///
/// # Errors
/// Why it could not be done; then nothing has changed.
pub fn begin(
    store: &Store,
    session: &Session,
    reason: Option<&str>,
    find: impl Fn(&crate::store::transaction::Write) -> Result<Org, CliError>,
) -> Result<OrgKey, CliError> {
    store.write(session.now(), |write| {
        let org = find(write)?;
        write.begin_erasure(&org)?;
        let deed = Deed { method: DELETE, resource_type: ORG, resource: NAMELESS };
        record_because(write, session, org.key, deed, reason, &Map::new(), &Map::new())?;
        Ok(org.key)
    })
}

/// Goes on with what was begun, until nothing is left.
///
/// # Errors
/// Why it could not be ended; the same command goes on.
pub fn finish(
    store: &Store,
    session: &Session,
    name: &str,
    key: OrgKey,
) -> Result<Answer, CliError> {
    let mut rows = 0;
    let mut erase = || -> Result<(), Error> {
        loop {
            match store.write(session.now(), |write| write.erase_piece(key))? {
                0 => return Ok(()),
                n => rows += n,
            }
            thread::sleep(PAUSE);
        }
    };
    let again = |it: Error| {
        let command = session.command(&format!("org delete {} --yes", quoted(name)));
        CliError::Failed(format!(
            "organisation {name} is switched off, and a part of it is erased: {it}. `{command}` \
             goes on"
        ))
    };
    erase().map_err(again)?;
    if is_served(store.path()) {
        thread::sleep(NOTICE);
    }
    let mut tries = 0;
    while !store.end_erasure(key, session.now()).map_err(again)? {
        tries += 1;
        if tries > TRIES_MAX {
            let command = session.command(&format!("org delete {} --yes", quoted(name)));
            return Err(CliError::Failed(format!(
                "organisation {name} is still written to: stop the server, and run `{command}` \
                 again"
            )));
        }
        thread::sleep(TRY_PAUSE);
        erase().map_err(again)?;
    }
    session.fold_in_erasure(store);
    let text = format!(
        "Organisation {name} is erased, with all it had. Backups made before still hold it."
    );
    Ok(Answer { json: json!({ "name": name, "deleted": true, "rows": rows }), text })
}
