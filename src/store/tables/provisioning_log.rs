//! The provisioning log: one line per change, written in the transaction of the change.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Map, Value, json};

use crate::scim::datetime::Timestamp;
use crate::scim::reference::forget_names;
use crate::scim::schema::name::{ACTIVE, MEMBERS};
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::{Read, Write};

/// How long the changes of a line may be, in bytes of JSON, but for what says what was left out.
const CHANGES_BYTES_MAX: usize = 64 * 1024;
/// The longest change of one attribute that is not left out alone, in bytes of JSON.
const VALUE_BYTES_MAX: usize = 1024;
/// Where the record of a change says how much was left out, in bytes.
const LEFT_OUT: &str = "leftOut";

/// How many old lines one transaction removes at most, so that writers do not wait long.
const TRIM_ROWS: i64 = 5_000;

/// The lines older than a time, among the first lines, as many as one transaction removes. The
/// lines are in the order of time, unless the clock was set back. The newest line always stays,
/// because the next one is numbered after it.
const OLD_LINES: &str = "SELECT seq FROM (
        SELECT seq, time FROM provisioning_log
        WHERE seq < (SELECT max(seq) FROM provisioning_log) ORDER BY seq LIMIT ?2)
    WHERE time < ?1";

/// The method of lines of a resource that was erased for good.
pub const PURGE: &str = "purge";

/// The actor of changes that support makes with a command.
pub const CLI: &str = "cli";

/// The type of lines that are about an organisation itself and no resource of it.
pub const ORG: &str = "Organization";
/// The type of lines about an API token, by its public id.
pub const TOKEN: &str = "Token";
/// The type of lines about a schema, by its URN.
pub const SCHEMA: &str = "Schema";
/// The type of lines about a resource type, by its name.
pub const RESOURCE_TYPE: &str = "ResourceType";
/// The type of lines about an endpoint of webhooks, by its id.
pub const WEBHOOK: &str = "Webhook";

/// Who makes a change.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The public id of the token, or [`CLI`].
    pub name: String,
    /// The client's address; of a command `user:` and whose shell it was.
    pub client: Option<String>,
    /// The id of the request; none of a command.
    pub request: Option<String>,
    /// Why, in the words of whoever ran a command.
    pub reason: Option<String>,
}

impl Actor {
    /// Support, at a terminal.
    #[must_use]
    pub fn cli() -> Actor {
        Actor { name: CLI.to_owned(), client: None, request: None, reason: None }
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
    /// The name of the resource type, or one of [`ORG`], [`TOKEN`], [`SCHEMA`], [`RESOURCE_TYPE`],
    /// [`WEBHOOK`].
    pub resource_type: &'a str,
    /// The resource's id; of what is no resource its name.
    pub resource: &'a str,
    /// The HTTP status that was answered.
    pub outcome: u16,
    /// What changed: `{"attribute": {"before": …, "after": …}}`. Never a secret.
    pub changes: &'a Value,
}

impl LogLine<'_> {
    fn to_owned(&self) -> OwnedLine {
        OwnedLine {
            org: self.org,
            actor: self.actor.clone(),
            method: self.method.to_owned(),
            resource_type: self.resource_type.to_owned(),
            resource: self.resource.to_owned(),
            outcome: self.outcome,
            changes: bounded(self.changes.to_string()),
        }
    }
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

/// The same as plain values, for a line that another thread writes.
#[derive(Clone, Debug)]
pub struct OwnedLine {
    /// The organisation.
    pub org: OrgKey,
    /// Who made the change.
    pub actor: Actor,
    /// The HTTP method.
    pub method: String,
    /// The name of the resource type.
    pub resource_type: String,
    /// The resource's id.
    pub resource: String,
    /// The HTTP status that will be answered.
    pub outcome: u16,
    /// What changed, as [`bounded`] prints it.
    pub changes: String,
}

/// The lines of the log about one resource, and those of others that name it, up to the newest line
/// at that time.
#[derive(Clone, Debug)]
pub struct Lines {
    seqs: Vec<i64>,
    naming: Vec<i64>,
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

    /// The number of the newest line of an organisation that was trimmed, or 0. Of an organisation
    /// that was erased it is beyond all numbers, so that whoever waits for a change looks again.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn trimmed(&self, org: OrgKey) -> Result<i64, Error> {
        let sql = "SELECT trimmed FROM org WHERE id = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([org.0], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(i64::MAX))
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

    /// When anything of an organisation was last changed, by whomever, as far back as the log goes.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn last_line(&self, org: OrgKey) -> Result<Option<Timestamp>, Error> {
        let sql = "SELECT time FROM provisioning_log WHERE org = ? ORDER BY seq DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let time = statement.query_row([org.0], |row| row.get(0)).optional()?;
        Ok(time.map(Timestamp::from_nanoseconds))
    }

    /// The lines about a resource, and those of others that have more of it than its id: what a
    /// manager is called. This reads the whole log: every change would have to write an index, and
    /// only a rare purge would use it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn lines_about(&self, resource: &str) -> Result<Lines, Error> {
        self.lines_about_after(resource, 0)
    }

    fn lines_about_after(&self, resource: &str, after: i64) -> Result<Lines, Error> {
        let sql = "SELECT coalesce(max(seq), 0) FROM provisioning_log";
        let newest = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let sql = "SELECT seq, resource = ?2, CASE WHEN resource = ?2 THEN '' ELSE changes END
            FROM provisioning_log WHERE seq > ?1 AND (resource = ?2 OR instr(changes, ?2) > 0)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![after, resource])?;
        let mut lines = Lines { seqs: Vec::new(), naming: Vec::new(), newest };
        while let Some(row) = rows.next()? {
            if row.get(1)? {
                lines.seqs.push(row.get(0)?);
            } else if without_names(&row.get::<_, String>(2)?, resource).is_some() {
                lines.naming.push(row.get(0)?);
            }
        }
        Ok(lines)
    }

    /// Whether something of an organisation was purged behind this number.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn has_purged_after(&self, org: OrgKey, after: i64) -> Result<bool, Error> {
        let sql = "SELECT EXISTS
            (SELECT 1 FROM provisioning_log WHERE org = ? AND seq > ? AND method = ?)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![org.0, after, PURGE], |row| row.get(0))?)
    }
}

/// The changes of a line of another resource without the names of this one; `None` where there are
/// none.
fn without_names(changes: &str, resource: &str) -> Option<String> {
    let mut changes: Value = serde_json::from_str(changes).ok()?;
    forget_names(&mut changes, resource).then(|| changes.to_string())
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

/// The changes as they are kept: where they are long, the longest are left out one after the other,
/// each with its length in its place. What is short, such as `active`, stays.
#[must_use]
pub fn bounded(changes: String) -> String {
    if changes.len() <= CHANGES_BYTES_MAX {
        return changes;
    }
    let Ok(Value::Object(all)) = serde_json::from_str(&changes) else { return changes };
    let mut kept = all.clone();
    let sizes = all.iter().map(|(name, it)| (it.to_string().len(), name));
    let mut sizes: Vec<(usize, &String)> = sizes.collect();
    sizes.sort_by_key(|(size, name)| Reverse(size + name.len()));
    let mut total = changes.len();
    for (size, name) in sizes.iter().filter(|(size, _)| *size > VALUE_BYTES_MAX) {
        if total > CHANGES_BYTES_MAX {
            let marker = json!({ LEFT_OUT: size });
            total = total + marker.to_string().len() - size;
            kept[*name] = marker;
        }
    }
    // Very many, or names that are long themselves.
    let (mut gone, mut bytes) = (HashSet::new(), 0);
    for (size, name) in sizes {
        // What an application is told first of all stays, at least by its name.
        if total > CHANGES_BYTES_MAX && ![ACTIVE, MEMBERS].contains(&name.as_str()) {
            total -= kept[name].to_string().len() + name.len();
            bytes += size;
            gone.insert(name.as_str());
        }
    }
    if !gone.is_empty() {
        kept.retain(|name, _| !gone.contains(name.as_str()));
        kept.insert(LEFT_OUT.to_owned(), json!({ "names": gone.len(), "bytes": bytes }));
    }
    Value::Object(kept).to_string()
}

impl Write<'_> {
    /// Adds a line.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn log(&self, line: &LogLine) -> Result<(), Error> {
        self.add_line(&line.to_owned())?;
        Ok(())
    }

    /// Adds the line that says that a resource was purged; `previous` is the last line about it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn log_purge(&self, line: &LogLine, previous: i64) -> Result<(), Error> {
        self.insert_line(&line.to_owned(), Some(previous))?;
        Ok(())
    }

    /// Adds a line that was printed before; returns its number. The row of the resource has it from
    /// then on.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn add_line(&self, line: &OwnedLine) -> Result<i64, Error> {
        let sql = "SELECT seq, last_line FROM resource WHERE id = ? AND type = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let of = params![line.resource, line.resource_type];
        let found = statement.query_row(of, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (row, previous): (Option<i64>, Option<i64>) = found.unzip();
        let number = self.insert_line(line, previous)?;
        if let Some(row) = row {
            let sql = "UPDATE resource SET last_line = ? WHERE seq = ?";
            self.connection.prepare_cached(sql)?.execute([number, row])?;
        }
        Ok(number)
    }

    /// Adds a line with the number of the line before about the same resource: 0 where it is the
    /// first, none of what is no resource. Returns its own number, which is the next one.
    pub(super) fn insert_line(
        &self,
        line: &OwnedLine,
        previous: Option<i64>,
    ) -> Result<i64, Error> {
        let sql = "INSERT INTO provisioning_log (time, org, actor, client, method, type, resource,
                previous, outcome, request, reason, changes)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.connection.prepare_cached(sql)?.execute(params![
            self.now.nanoseconds(),
            line.org.0,
            line.actor.name,
            line.actor.client,
            line.method,
            line.resource_type,
            line.resource,
            previous,
            line.outcome,
            line.actor.request,
            line.actor.reason,
            line.changes,
        ])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Erases the values of a resource from the log, and reasons, which may name a person: in the
    /// lines that were found before, and in those written since. The lines still say that something
    /// happened, and when. Lines of others keep the id.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn forget_changes(&self, resource: &str, found: &Lines) -> Result<(), Error> {
        let since = self.lines_about_after(resource, found.newest)?;
        let sql = "UPDATE provisioning_log SET changes = '{}', reason = NULL
            WHERE seq = ? AND resource = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        for seq in found.seqs.iter().chain(&since.seqs) {
            statement.execute(params![seq, resource])?;
        }
        let sql = "SELECT changes FROM provisioning_log WHERE seq = ?";
        let mut read = self.connection.prepare_cached(sql)?;
        let sql = "UPDATE provisioning_log SET changes = ? WHERE seq = ?";
        let mut update = self.connection.prepare_cached(sql)?;
        for seq in found.naming.iter().chain(&since.naming) {
            let changes: Option<String> = read.query_row([seq], |row| row.get(0)).optional()?;
            if let Some(rest) = changes.and_then(|it| without_names(&it, resource)) {
                update.execute(params![rest, seq])?;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_changes_are_left_out_by_their_length() {
        let active = json!({ "before": true, "after": false });
        let short = json!({ "active": active, "title": { "before": null, "after": "x" } });
        assert_eq!(bounded(short.to_string()), short.to_string());
        let mut long = short.clone();
        long["members"] = json!({ "added": vec!["x".repeat(36); 20_000] });
        let size = long["members"].to_string().len();
        let mut kept = short.clone();
        kept["members"] = json!({ "leftOut": size });
        assert_eq!(bounded(long.to_string()), kept.to_string());
        let mut many = short;
        for i in 0..100_000 {
            many[format!("urn:x:{i}")] = json!({ "before": null, "after": 1 });
        }
        let text = bounded(many.to_string());
        assert!(text.len() <= CHANGES_BYTES_MAX + 100, "{}", text.len());
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["active"], active);
        assert!(found["leftOut"]["names"].as_u64().unwrap() > 50_000);
    }
}
