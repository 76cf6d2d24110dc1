//! The row of a resource as it is to be written: judged, printed, and compared with what is there.

use rusqlite::params;
use rusqlite::types::Value as SqlValue;
use serde_json::{Map, Value};

use crate::scim::datetime::Timestamp;
use crate::scim::print::to_text;
use crate::scim::schema::name::ACTIVE;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::{Columns, Kind, Stored};
use crate::store::transaction::Write;

/// A row to be written. It holds plain values alone, so that any thread can write it.
#[derive(Debug)]
pub struct Draft {
    org: OrgKey,
    resource_type: String,
    /// The resource as it will be; a new one has no place in the order of creation yet.
    stored: Stored,
    how: How,
}

#[derive(Debug)]
enum How {
    Add(Columns),
    Replace {
        /// The columns that change.
        set: Vec<(&'static str, SqlValue)>,
        /// The addresses until now and from now on, where they change.
        emails: Option<(Vec<String>, Vec<String>)>,
    },
}

/// Which number the row has as that of the last line about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLine {
    /// The same as before; the line that is added later changes it (`add_line`).
    AsItIs,
    /// The number of the next line of the record, which is added right after it.
    Next,
}

/// The number of the next line: SQLite gives it the one after the greatest.
macro_rules! next_line {
    () => {
        "(SELECT coalesce(max(seq), 0) + 1 FROM provisioning_log)"
    };
}

/// A new row, but for the number of its last line.
macro_rules! insert {
    () => {
        "INSERT INTO resource (org, type, id, user_name, external_id, display_name, active, created,
            last_modified, version, document, display, last_line)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    };
}

/// Longer than the longest statement that replaces a row.
const STATEMENT_BYTES: usize = 384;

/// What became of a draft.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// It is written, with this place in the order of creation.
    Written(i64),
    /// Nothing was written: the row has another version than the one that was judged, or is
    /// deleted.
    Outdated,
    /// Nothing was written: another resource has a value that must be unique. The text names the
    /// index.
    Conflict(String),
}

impl Draft {
    /// A new resource. Its document carries `id`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a document that cannot be printed.
    pub fn new(
        kind: Kind,
        id: &str,
        document: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Draft, Error> {
        let stored = Stored {
            seq: 0,
            id: id.to_owned(),
            document: to_text(document),
            created: now,
            last_modified: now,
            version: 1,
            deleted: None,
            last_line: 0,
        };
        Ok(Draft::of(kind, stored, How::Add(Columns::of(document))))
    }

    /// The next version of the resource `stored`; `before` is its document until now.
    ///
    /// # Errors
    /// As [`Draft::new`].
    pub fn replacing(
        kind: Kind,
        stored: &Stored,
        before: &Map<String, Value>,
        document: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Draft, Error> {
        // SQLite writes the index of every column that the statement names, even when the value
        // stays the same; so the statement names those that change. Most changes are of none.
        let (set, emails) = if Columns::may_differ(before, document) {
            let (old, new) = (Columns::of(before), Columns::of(document));
            let set = new.changed_from(&old);
            (set, (old.emails != new.emails).then_some((old.emails, new.emails)))
        } else {
            (Columns::changed_active(before, document).into_iter().collect(), None)
        };
        let stored = Stored {
            seq: stored.seq,
            id: stored.id.clone(),
            document: to_text(document),
            created: stored.created,
            // A clock that was set back must not make a change look older than the one before.
            last_modified: now.max(stored.last_modified),
            version: stored.version + 1,
            deleted: stored.deleted,
            last_line: stored.last_line,
        };
        Ok(Draft::of(kind, stored, How::Replace { set, emails }))
    }

    fn of(kind: Kind, stored: Stored, how: How) -> Draft {
        let resource_type = kind.resource_type.to_owned();
        Draft { org: kind.org, resource_type, stored, how }
    }

    /// The resource as it will be, but for the number of its last line in the record.
    #[must_use]
    pub fn stored(&self) -> &Stored {
        &self.stored
    }
}

impl Write<'_> {
    /// Adds a resource. Its document carries `id`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when its userName is taken, and failures of the store.
    pub fn add_resource(
        &self,
        kind: Kind,
        id: &str,
        document: &Map<String, Value>,
    ) -> Result<Stored, Error> {
        self.put_now(Draft::new(kind, id, document, self.now)?)
    }

    /// Replaces the document of the resource `stored`; `before` is its document until now.
    ///
    /// # Errors
    /// [`Error::Conflict`] when its userName is taken, and failures of the store.
    pub fn replace_resource(
        &self,
        kind: Kind,
        stored: &Stored,
        before: &Map<String, Value>,
        document: &Map<String, Value>,
    ) -> Result<Stored, Error> {
        self.put_now(Draft::replacing(kind, stored, before, document, self.now)?)
    }

    fn put_now(&self, draft: Draft) -> Result<Stored, Error> {
        match self.put(&draft, LastLine::AsItIs)? {
            Put::Written(seq) => Ok(Stored { seq, ..draft.stored }),
            Put::Conflict(index) => Err(Error::Conflict(index)),
            Put::Outdated => {
                Err(Error::Invalid("a resource has changed within a change".to_owned()))
            }
        }
    }

    /// Writes a draft; what is not written leaves no trace.
    ///
    /// # Errors
    /// Failures of the store; then a part may be written.
    pub fn put(&self, draft: &Draft, line: LastLine) -> Result<Put, Error> {
        let Draft { org, resource_type, stored, how } = draft;
        match how {
            How::Add(columns) => {
                let sql = match line {
                    LastLine::AsItIs => concat!(insert!(), "0)"),
                    LastLine::Next => concat!(insert!(), next_line!(), ")"),
                };
                let added = self.connection.prepare_cached(sql)?.execute(params![
                    org.0,
                    resource_type,
                    stored.id,
                    columns.user_name,
                    columns.external_id,
                    columns.display_name,
                    columns.active,
                    stored.created.nanoseconds(),
                    stored.last_modified.nanoseconds(),
                    stored.version,
                    stored.document,
                    columns.display,
                ]);
                if let Err(error) = added.map_err(Error::from) {
                    return refused(error);
                }
                let seq = self.connection.last_insert_rowid();
                self.add_emails(*org, seq, &columns.emails)?;
                self.add_to_count(*org, resource_type, 1)?;
                Ok(Put::Written(seq))
            }
            How::Replace { set, emails } => {
                let mut sql = String::with_capacity(STATEMENT_BYTES);
                sql += "UPDATE resource SET last_modified = ?, version = ?, document = ?";
                for (column, _) in set {
                    sql += ", ";
                    sql += column;
                    sql += " = ?";
                }
                if line == LastLine::Next {
                    sql += concat!(", last_line = ", next_line!());
                }
                // SQLite gives the number of a purged row to another one: `id` says that it is
                // still the same resource.
                sql += " WHERE seq = ? AND id = ? AND version = ? AND deleted IS NULL";
                let mut statement = self.connection.prepare_cached(&sql)?;
                let mut at = 4;
                statement.raw_bind_parameter(1, stored.last_modified.nanoseconds())?;
                statement.raw_bind_parameter(2, stored.version)?;
                statement.raw_bind_parameter(3, &stored.document)?;
                for (_, value) in set {
                    statement.raw_bind_parameter(at, value)?;
                    at += 1;
                }
                statement.raw_bind_parameter(at, stored.seq)?;
                statement.raw_bind_parameter(at + 1, &stored.id)?;
                statement.raw_bind_parameter(at + 2, stored.version - 1)?;
                match statement.raw_execute().map_err(Error::from) {
                    Err(error) => return refused(error),
                    Ok(0) => return Ok(Put::Outdated),
                    Ok(_) => {}
                }
                if let Some((before, after)) = emails {
                    self.remove_emails(*org, stored.seq, before)?;
                    self.add_emails(*org, stored.seq, after)?;
                }
                Ok(Put::Written(stored.seq))
            }
        }
    }

    fn add_emails(&self, org: OrgKey, seq: i64, emails: &[String]) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO email (org, value, resource) VALUES (?, ?, ?)";
        let mut statement = self.connection.prepare_cached(sql)?;
        for value in emails {
            statement.execute(params![org.0, value, seq])?;
        }
        Ok(())
    }

    pub(super) fn remove_emails(
        &self,
        org: OrgKey,
        seq: i64,
        emails: &[String],
    ) -> Result<(), Error> {
        let sql = "DELETE FROM email WHERE org = ? AND value = ? AND resource = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        for value in emails {
            statement.execute(params![org.0, value, seq])?;
        }
        Ok(())
    }
}

impl Columns {
    /// Whether a column other than `active` may have another value than before.
    fn may_differ(before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
        ["userName", "externalId", "displayName", "emails"]
            .iter()
            .any(|it| before.get(*it) != after.get(*it))
    }

    fn changed_active(
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) -> Option<(&'static str, SqlValue)> {
        let active = |it: &Map<String, Value>| it.get(ACTIVE).and_then(Value::as_bool);
        let (old, new) = (active(before), active(after));
        (old != new).then(|| ("active", new.into()))
    }

    /// The columns of the row whose value differs from the one in `other`.
    fn changed_from(self: &Columns, other: &Columns) -> Vec<(&'static str, SqlValue)> {
        let text = |name, new: &Option<String>, old: &Option<String>| {
            (new != old).then(|| (name, SqlValue::from(new.clone())))
        };
        let active = (self.active != other.active).then(|| ("active", self.active.into()));
        [
            text("user_name", &self.user_name, &other.user_name),
            text("external_id", &self.external_id, &other.external_id),
            text("display_name", &self.display_name, &other.display_name),
            active,
            text("display", &self.display, &other.display),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A statement that SQLite has refused has written nothing.
fn refused(error: Error) -> Result<Put, Error> {
    match error {
        Error::Conflict(index) => Ok(Put::Conflict(index)),
        error => Err(error),
    }
}
