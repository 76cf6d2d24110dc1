//! The record of changes read backwards: what happened last to one thing, or to an organisation.

use std::ops::ControlFlow;

use rusqlite::{Row, params};
use serde_json::{Map, Value};

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::Read;

/// A line, as it is told to people.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number.
    pub seq: i64,
    /// When.
    pub time: Timestamp,
    /// The public id of the token, or `cli`.
    pub actor: String,
    /// What support calls the token, where it was one.
    pub label: Option<String>,
    /// The client's address; of a command whose shell it was.
    pub client: Option<String>,
    /// The HTTP method, or the command.
    pub method: String,
    /// The name of the resource type, or what the line is about otherwise.
    pub resource_type: String,
    /// The id of the resource, or the name of the thing.
    pub resource: String,
    /// What changed; nothing where that was erased.
    pub changes: Map<String, Value>,
}

const COLUMNS: &str = "log.seq, log.time, log.actor, token.label, log.client, log.method, log.type,
    log.resource, log.changes";

impl Read<'_> {
    /// Calls `each` with the lines about a resource, the newest first, until it breaks off.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn history(
        &self,
        org: OrgKey,
        resource: &str,
        mut each: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        // The plus keeps SQLite from reading all lines of the organisation by its index.
        let sql = format!(
            "SELECT {COLUMNS} FROM provisioning_log AS log
             LEFT JOIN token ON token.id = log.actor AND token.org = log.org
             WHERE log.resource = ?1 AND +log.org = ?2 ORDER BY log.seq DESC"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![resource, org.0])?;
        while let Some(row) = rows.next()? {
            if each(entry(row)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The newest line of an organisation.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn newest_line(&self, org: OrgKey) -> Result<Option<Entry>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM provisioning_log AS log
             LEFT JOIN token ON token.id = log.actor AND token.org = log.org
             WHERE log.org = ? ORDER BY log.seq DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([org.0])?;
        rows.next()?.map(entry).transpose()
    }
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let seq = row.get(0)?;
    let changes: String = row.get(8)?;
    Ok(Entry {
        seq,
        time: Timestamp::from_nanoseconds(row.get(1)?),
        actor: row.get(2)?,
        label: row.get(3)?,
        client: row.get(4)?,
        method: row.get(5)?,
        resource_type: row.get(6)?,
        resource: row.get(7)?,
        changes: serde_json::from_str(&changes)
            .map_err(|it| Error::Invalid(format!("line {seq} of the provisioning log: {it}")))?,
    })
}
