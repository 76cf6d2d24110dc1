//! The provisioning log: one line per change, written in the transaction of the change.

use std::collections::HashMap;
use std::ops::ControlFlow;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Map, Value};

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::{Read, Write};

/// How many old lines one transaction removes at most, so that writers do not wait long.
const TRIM_ROWS: i64 = 5_000;

/// The lines older than a time, among the first lines, as many as one transaction removes. The
/// lines are in the order of time, unless the clock was set back. The newest line always stays,
/// because the next one is numbered after it.
const OLD_LINES: &str = "SELECT seq FROM (
        SELECT seq, time FROM provisioning_log
        WHERE seq < (SELECT max(seq) FROM provisioning_log) ORDER BY seq LIMIT ?2)
    WHERE time < ?1";

/// The actor of changes that support makes with a command.
pub const CLI: &str = "cli";

/// The type of lines that are about an organisation itself and no resource of it.
pub const ORG: &str = "org";

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
    /// Who made the change.
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

/// A line as it was read.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its number.
    pub seq: i64,
    /// When.
    pub time: Timestamp,
    /// The public id of the token, or [`CLI`].
    pub actor: String,
    /// What support calls the token, where it was one.
    pub label: Option<String>,
    /// The HTTP method, or the command.
    pub method: String,
    /// The name of the resource type, or [`ORG`].
    pub resource_type: String,
    /// The resource's id.
    pub resource: String,
    /// What changed; nothing where that was erased.
    pub changes: Map<String, Value>,
}

/// The lines of the log about one resource, up to the newest line at that time.
#[derive(Clone, Debug)]
pub struct Lines {
    seqs: Vec<i64>,
    newest: i64,
}

impl Read<'_> {
    /// Whether [`Write::trim_log`] would find a line older than this.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn log_has_before(&self, time: Timestamp) -> Result<bool, Error> {
        let sql = format!("SELECT EXISTS ({OLD_LINES})");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![time.nanoseconds(), TRIM_ROWS], |row| row.get(0))?)
    }

    /// The number of the newest line of an organisation, trimmed or not, or 0. As long as it stays
    /// the same, nothing of the organisation has changed.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn last_change(&self, org: OrgKey) -> Result<i64, Error> {
        let sql = "SELECT seq FROM provisioning_log WHERE org = ? ORDER BY seq DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([org.0], |row| row.get(0)).optional()?;
        found.map_or_else(|| self.trimmed(org), Ok)
    }

    /// The number of the newest line of an organisation that was trimmed, or 0.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn trimmed(&self, org: OrgKey) -> Result<i64, Error> {
        let sql = "SELECT trimmed FROM org WHERE id = ?";
        Ok(self.connection.prepare_cached(sql)?.query_row([org.0], |row| row.get(0))?)
    }

    /// Calls `each` with the lines of an organisation behind this number, in their order, until it
    /// breaks off. They have no gap: lines are numbered and committed one after the other.
    ///
    /// # Errors
    /// Failures of the store and what `each` returns.
    pub fn lines_after<E: From<Error>>(
        &self,
        org: OrgKey,
        after: i64,
        mut each: impl FnMut(Logged) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let sql = "SELECT log.seq, log.time, log.actor, token.label, log.method, log.type,
                log.resource, log.changes
            FROM provisioning_log AS log
            LEFT JOIN token ON token.id = log.actor AND token.org = log.org
            WHERE log.org = ? AND log.seq > ? ORDER BY log.seq";
        let mut statement = self.connection.prepare_cached(sql).map_err(Error::from)?;
        let mut rows = statement.query(params![org.0, after]).map_err(Error::from)?;
        while let Some(row) = rows.next().map_err(Error::from)? {
            if each(logged(row)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// When a token last changed something, as far back as the log goes.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn last_push(&self, org: OrgKey) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT time FROM provisioning_log WHERE org = ? AND actor <> ?
            ORDER BY seq DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let time = statement.query_row(params![org.0, CLI], |row| row.get(0)).optional()?;
        Ok(time.map(Timestamp::from_nanoseconds))
    }

    /// The lines about a resource. This reads the whole log: every change would have to write an
    /// index, and only a rare purge would use it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn lines_about(&self, resource: &str) -> Result<Lines, Error> {
        self.lines_about_after(resource, 0)
    }

    fn lines_about_after(&self, resource: &str, after: i64) -> Result<Lines, Error> {
        let sql = "SELECT coalesce(max(seq), 0) FROM provisioning_log";
        let newest = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let sql = "SELECT seq FROM provisioning_log WHERE seq > ? AND resource = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let seqs = statement.query_map(params![after, resource], |row| row.get(0))?;
        Ok(Lines { seqs: seqs.collect::<Result<_, _>>()?, newest })
    }
}

fn logged(row: &Row) -> Result<Logged, Error> {
    let seq = row.get(0)?;
    let changes: String = row.get(7)?;
    Ok(Logged {
        seq,
        time: Timestamp::from_nanoseconds(row.get(1)?),
        actor: row.get(2)?,
        label: row.get(3)?,
        method: row.get(4)?,
        resource_type: row.get(5)?,
        resource: row.get(6)?,
        changes: serde_json::from_str(&changes)
            .map_err(|it| Error::Invalid(format!("line {seq} of the provisioning log: {it}")))?,
    })
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
        let changes = serde_json::to_string(line.changes);
        let changes = changes.map_err(|it| Error::Invalid(it.to_string()))?;
        self.connection.prepare_cached(sql)?.execute(params![
            self.now.nanoseconds(),
            line.org.0,
            line.actor.name,
            line.actor.client,
            line.method,
            line.resource_type,
            line.resource,
            line.outcome,
            changes,
        ])?;
        Ok(())
    }

    /// Erases the values of a resource from the log: in the lines that were found before, and in
    /// those written since. The lines still say that something happened, and when.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn forget_changes(&self, resource: &str, found: &Lines) -> Result<(), Error> {
        let since = self.lines_about_after(resource, found.newest)?;
        let sql = "UPDATE provisioning_log SET changes = '{}' WHERE seq = ? AND resource = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        for seq in found.seqs.iter().chain(&since.seqs) {
            statement.execute(params![seq, resource])?;
        }
        Ok(())
    }

    /// Removes some of the lines older than this; returns whether there may be more.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn trim_log(&self, before: Timestamp) -> Result<bool, Error> {
        let sql =
            format!("DELETE FROM provisioning_log WHERE seq IN ({OLD_LINES}) RETURNING org, seq");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![before.nanoseconds(), TRIM_ROWS])?;
        let mut removed = 0;
        let mut newest: HashMap<i64, i64> = HashMap::new();
        while let Some(row) = rows.next()? {
            let of_org = newest.entry(row.get(0)?).or_default();
            *of_org = row.get::<_, i64>(1)?.max(*of_org);
            removed += 1;
        }
        let sql = "UPDATE org SET trimmed = max(trimmed, ?) WHERE id = ?";
        let mut update = self.connection.prepare_cached(sql)?;
        for (org, seq) in newest {
            update.execute([seq, org])?;
        }
        Ok(removed == TRIM_ROWS)
    }
}
