//! The row of a resource as it is to be written: judged, printed, and compared with what is there.

use rusqlite::params;
use rusqlite::types::Value as SqlValue;
use serde_json::{Map, Value};

use crate::scim::datetime::Timestamp;
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
            document: to_text(document)?,
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
        let (old, new) = (Columns::of(before), Columns::of(document));
        // SQLite writes the index of every column that the statement names, even when the value
        // stays the same; so the statement names those that change.
        let set = new.changed_from(&old);
        let emails = (old.emails != new.emails).then_some((old.emails, new.emails));
        let stored = Stored {
            seq: stored.seq,
            id: stored.id.clone(),
            document: to_text(document)?,
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
        let line = draft.stored.last_line;
        match self.put(&draft, line)? {
            Put::Written(seq) => Ok(Stored { seq, ..draft.stored }),
            Put::Conflict(index) => Err(Error::Conflict(index)),
            Put::Outdated => {
                Err(Error::Invalid("a resource has changed within a change".to_owned()))
            }
        }
    }

    /// Writes a draft whose last line in the record has this number; what is not written leaves no
    /// trace.
    ///
    /// # Errors
    /// Failures of the store; then a part may be written.
    pub fn put(&self, draft: &Draft, line: i64) -> Result<Put, Error> {
        let Draft { org, resource_type, stored, how } = draft;
        match how {
            How::Add(columns) => {
                let sql = "INSERT INTO resource (org, type, id, user_name, external_id,
                        display_name, active, created, last_modified, version, document, display,
                        last_line)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
                    line,
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
                let mut sql = "UPDATE resource
                    SET last_modified = ?, version = ?, last_line = ?, document = ?"
                    .to_owned();
                for (column, _) in set {
                    sql = sql + ", " + column + " = ?";
                }
                // SQLite gives the number of a purged row to another one: `id` says that it is
                // still the same resource.
                sql += " WHERE seq = ? AND id = ? AND version = ? AND deleted IS NULL";
                let mut statement = self.connection.prepare_cached(&sql)?;
                let mut at = 5;
                statement.raw_bind_parameter(1, stored.last_modified.nanoseconds())?;
                statement.raw_bind_parameter(2, stored.version)?;
                statement.raw_bind_parameter(3, line)?;
                statement.raw_bind_parameter(4, &stored.document)?;
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

fn to_text(document: &Map<String, Value>) -> Result<String, Error> {
    serde_json::to_string(document).map_err(|it| Error::Invalid(it.to_string()))
}
