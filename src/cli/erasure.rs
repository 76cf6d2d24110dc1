//! How commands erase a resource for good, whatever its type.

use serde_json::Map;

use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::record::{Deed, record_because, record_purge};
use crate::cli::session::Session;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::provisioning_log::PURGE;
use crate::store::tables::resource::Stored;
use crate::store::transaction::{Read, Write};

/// What is to be erased.
#[derive(Debug)]
pub struct Erasure<'a> {
    /// The name of the organisation.
    pub org: &'a str,
    /// The name of the resource type.
    pub resource_type: &'a str,
    /// What goes, as the middle of a sentence.
    pub contents: &'a str,
    /// The command that does it.
    pub command: String,
    /// Why, if that was said.
    pub reason: Option<&'a str>,
}

impl Erasure<'_> {
    /// Erases the resource that `find` finds: its row, its members, and its values in the log.
    /// Without `yes` it only says whom that would be, in the words of `named`.
    ///
    /// # Errors
    /// Why nothing was erased.
    pub fn run(
        self,
        yes: bool,
        store: &Store,
        session: &Session,
        find: impl Fn(&Read, &Org) -> Result<Stored, CliError>,
        named: impl Fn(&Stored) -> Result<Named, Error>,
    ) -> Result<(Org, Stored), CliError> {
        // The log is read before the change, so that a server that writes meanwhile need not wait.
        let (id, lines) = store.read(|read| {
            let org = org::find(read, self.org, session)?;
            let stored = find(read, &org)?;
            if yes {
                let lines = read.lines_about(&stored.id)?;
                return Ok((stored.id, lines));
            }
            let Named { name, state } = named(&stored)?;
            Err(CliError::Misused {
                message: format!(
                    "this would erase {name} of organisation {}, {state}, for good: {}, and what \
                     the log says of its values. Nothing brings it back. Nothing has been erased \
                     yet",
                    org.name, self.contents,
                ),
                instead: session.command(&format!("{} --yes", self.command)),
            })
        })?;
        let erased = store.write(session.now(), |write| {
            let org = org::find(write, self.org, session)?;
            let stored = find(write, &org)?;
            if stored.id != id {
                return Err(CliError::Failed(format!(
                    "{} was changed while it was looked for: nothing was erased, run the command \
                     again",
                    named(&stored)?.name
                )));
            }
            write.purge_resource(org.key, self.resource_type, &stored, &lines)?;
            let deed =
                Deed { method: PURGE, resource_type: self.resource_type, resource: &stored.id };
            record_purge(write, session, org.key, deed, self.reason, &stored)?;
            Ok((org, stored))
        })?;
        session.fold_in_erasure(store);
        Ok(erased)
    }
}

/// A resource as messages speak of it.
#[derive(Debug)]
pub struct Named {
    /// Its name and id.
    pub name: String,
    /// Whether it is deleted, or what it is.
    pub state: &'static str,
}

/// Brings a deleted resource back.
///
/// # Errors
/// Failures of the store.
pub fn restore(
    write: &Write,
    org: &Org,
    session: &Session,
    resource_type: &str,
    stored: &Stored,
    reason: Option<&str>,
) -> Result<(), Error> {
    write.restore_resource(org.key, resource_type, stored)?;
    // The line names nothing of a person but the account's id.
    let deed = Deed { method: "restore", resource_type, resource: &stored.id };
    record_because(write, session, org.key, deed, reason, &Map::new(), &Map::new())
}
