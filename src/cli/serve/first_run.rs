//! What `plumm serve` prints when it starts, and what a first run with `--init` makes.

use serde_json::json;

use crate::auth;
use crate::by_hand;
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::session::{Answer, Session};
use crate::cli::text::quoted;
use crate::cli::token;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::{Org, OrgSettings};
use crate::store::tables::token::Scope;

/// What the token of a first run is called.
const INIT_LABEL: &str = "plumm serve --init";

/// Prints where the server can be reached; a first run makes what `--init` asks for and prints that
/// too.
///
/// # Errors
/// What could not be made or printed.
pub fn print_start(
    init: Option<&str>,
    base: &str,
    store: &Store,
    session: &Session,
) -> Result<(), CliError> {
    let made = match init {
        Some(name) => first_run(name, store, session)?,
        None => {
            hint_when_empty(store, session)?;
            None
        }
    };
    let Some((org, issued)) = made else {
        // Nothing is shown to a person here; a program waits for its one value.
        return match session.json() {
            true => session.print(&Answer {
                json: json!({ "org": init, "url": base, "token": null }),
                text: String::new(),
            }),
            false => Ok(()),
        };
    };
    let (name, secret) = (&org.name, issued.secret.reveal());
    let text = format!(
        "Organisation {name} is created and activated.\n\n  \
           Base URL   {base}\n  \
           API token  {secret}\n\n\
         The token is shown this once and cannot be shown again: the database keeps only a hash of \
         it.\nPaste both into the identity provider. To try them first, in another terminal, with \
         the\ntoken in the variable TOKEN:\n\n  \
           curl -i -H \"Authorization: Bearer $TOKEN\" \\\n    \
             '{base}/Users?startIndex=1&count=2'\n"
    );
    let answer = Answer { json: json!({ "org": name, "url": base, "token": secret }), text };
    session.print(&answer).map_err(|it| token::not_shown(&it, &issued.token.id, session))
}

/// Makes and activates the organisation, with a token, unless it is there.
fn first_run(
    name: &str,
    store: &Store,
    session: &Session,
) -> Result<Option<(Org, auth::Issued)>, CliError> {
    let now = session.now();
    // Both or neither: an organisation without a token would look like a later run.
    let (org, issued) = store.write(now, |write| {
        if let Some(org) = write.org(name)? {
            return Ok::<_, Error>((org, None));
        }
        let org = write.add_org(name, true, OrgSettings::default())?;
        org::record_created(write, session, &org)?;
        let issued = auth::generate(now, org.key, Scope::Scim, INIT_LABEL, None)?;
        by_hand::token::add(write, session.actor(), &issued.token)?;
        Ok((org, Some(issued)))
    })?;
    if let Some(issued) = issued {
        return Ok(Some((org, issued)));
    }
    let name = quoted(&org.name);
    let create = session.command(&format!("token create {name}"));
    log::info!(
        organisation = org.name.as_str();
        "organisation {} is there already: nothing was created or changed (another token: \
         {create})",
        org.name
    );
    if !org.active {
        let activate = session.command(&format!("org activate {name}"));
        log::warn!("provisioning is not activated for {}; to switch it on: {activate}", org.name);
    }
    Ok(None)
}

fn hint_when_empty(store: &Store, session: &Session) -> Result<(), CliError> {
    if store.read(|read| read.orgs())?.is_empty() {
        let create = session.command("org create NAME --activate");
        log::info!("there is no organisation yet; to make one: {create}");
    }
    Ok(())
}
