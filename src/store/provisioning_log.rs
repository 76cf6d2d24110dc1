//! What changed, by whom: one line per change, written in the change's own transaction.

use rusqlite::params;
use serde_json::Value;

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::org::OrgKey;
use crate::store::{Read, Write};

/// Lines removed in one transaction when old ones are trimmed, so that writers do not wait long.
const TRIM_ROWS: i64 = 5_000;

/// The actor of changes that support makes with a command.
pub const CLI: &str = "cli";

/// Who makes a change.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The public id of the token, or [`CLI`].
    pub name: String,
    /// The client's address.
    pub client: Option<String>,
}

impl Actor {
    /// Support, at a terminal.
    #[must_use]
    pub fn cli() -> Actor {
        Actor { name: CLI.to_owned(), client: None }
    }
}

/// One line of the log; its time is the transaction's.
#[derive(Clone, Debug)]
pub struct LogLine<'a> {
    /// The organisation.
    pub org: OrgKey,
    /// Who.
    pub actor: &'a Actor,
    /// The HTTP method, or the command.
    pub method: &'a str,
    /// The name of the resource type.
    pub resource_type: &'a str,
    /// The resource's id.
    pub resource: &'a str,
    /// The HTTP status that was answered.
    pub outcome: u16,
    /// What changed: `{"attribute": {"before": …, "after": …}}`. Never a secret.
    pub changes: &'a Value,
}

impl Read<'_> {
    /// Whether there is a line older than this.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn log_has_before(&self, time: Timestamp) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM provisioning_log WHERE time < ?)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([time.nanoseconds()], |row| row.get(0))?)
    }
}

impl Write<'_> {
    /// Adds a line.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn log(&self, line: &LogLine) -> Result<(), Error> {
        let sql = "INSERT INTO provisioning_log
            (time, org, actor, client, method, type, resource, outcome, changes)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.connection.prepare_cached(sql)?.execute(params![
            self.now.nanoseconds(),
            line.org.0,
            line.actor.name,
            line.actor.client,
            line.method,
            line.resource_type,
            line.resource,
            line.outcome,
            line.changes.to_string(),
        ])?;
        Ok(())
    }

    /// Erases what the log says of a resource's values. That something happened, and when, stays.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn forget_changes(&self, resource: &str) -> Result<(), Error> {
        let sql = "UPDATE provisioning_log SET changes = '{}' WHERE resource = ?";
        self.connection.prepare_cached(sql)?.execute([resource])?;
        Ok(())
    }

    /// Removes some of the lines older than this; returns whether there may be more.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn trim_log(&self, before: Timestamp) -> Result<bool, Error> {
        let sql = "DELETE FROM provisioning_log WHERE seq IN (
            SELECT seq FROM provisioning_log WHERE time < ? LIMIT ?)";
        let values = params![before.nanoseconds(), TRIM_ROWS];
        let removed = self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(i64::try_from(removed).unwrap_or(0) == TRIM_ROWS)
    }
}
