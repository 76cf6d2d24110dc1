//! Resources of every type: one row each, with columns for what clients search by.

use std::borrow::Cow;

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Map, Value};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::Lines;
use crate::store::transaction::{Read, Write};

/// A resource as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The order of creation.
    pub seq: i64,
    /// The id (RFC 7643 section 3.1).
    pub id: String,
    /// The document, as JSON: everything but `meta`.
    pub document: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// How often it has been written.
    pub version: i64,
    /// When it was deleted, if it was.
    pub deleted: Option<Timestamp>,
    /// The number of the last line of the record about it, or 0.
    pub last_line: i64,
}

/// What answers show of a resource, as it lies in the row that is read.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The order of creation.
    pub seq: i64,
    /// The id.
    pub id: &'a str,
    /// The document, as JSON.
    pub document: &'a str,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// How often it has been written.
    pub version: i64,
}

impl Stored {
    /// What answers show of it.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            seq: self.seq,
            id: &self.id,
            document: &self.document,
            created: self.created,
            last_modified: self.last_modified,
            version: self.version,
        }
    }

    /// The document as a value.
    ///
    /// # Errors
    /// [`Error::Invalid`] when another program has changed the file.
    pub fn parse(&self) -> Result<Map<String, Value>, Error> {
        Stored::parse_text(&self.id, &self.document)
    }

    /// The same for a document that was read without its row; the id is for the error.
    ///
    /// # Errors
    /// As [`Stored::parse`].
    pub fn parse_text(id: &str, document: &str) -> Result<Map<String, Value>, Error> {
        let parsed = serde_json::from_str(document);
        parsed.map_err(|it| Error::Invalid(format!("resource {id}: {it}")))
    }
}

/// The resources that a query is about: those of one type in one organisation.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// The organisation. No query leaves it out.
    pub org: OrgKey,
    /// The name of the resource type.
    pub resource_type: &'a str,
    /// What the URL of such a resource is without its id, for filters on `meta.location`.
    pub location_base: &'a str,
}

/// What an application needs to know of an account at login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The number of its row.
    pub seq: i64,
    /// The id.
    pub id: String,
    /// Whether it may log in.
    pub active: bool,
    /// The document, as JSON.
    pub document: String,
}

/// What an application knows an account by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKey {
    /// The id.
    Id,
    /// The name that the identity provider gives it.
    ExternalId,
    /// The userName, in any letter case.
    UserName,
    /// One of its e-mail addresses, in any letter case.
    Email,
}

/// Which accounts a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All that are not deleted.
    Present,
    /// Those that are deactivated.
    Inactive,
    /// Those that are deleted and not yet purged.
    Deleted,
}

/// The columns of a resource, as [`from_row`] reads them; a macro, so that the compiler puts the
/// statements together that most requests need.
macro_rules! columns {
    () => {
        "resource.seq, resource.id, resource.document, resource.created, resource.last_modified,
        resource.version, resource.deleted, resource.last_line"
    };
}

pub(crate) const COLUMNS: &str = columns!();

/// Whether a text has the form of an id: a UUID, as plumm gives them.
#[must_use]
pub fn is_resource_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, it)| match i {
            8 | 13 | 18 | 23 => it == b'-',
            _ => it.is_ascii_digit() || (b'a'..=b'f').contains(&it),
        })
}

impl Read<'_> {
    /// The resource with this id; deleted ones are not found.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn resource(&self, kind: Kind, id: &str) -> Result<Option<Stored>, Error> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM resource WHERE id = ? AND org = ? AND type = ? AND deleted IS NULL"
        );
        let mut statement = self.connection.prepare_cached(sql)?;
        let values = params![id, kind.org.0, kind.resource_type];
        Ok(statement.query_row(values, from_row).optional()?)
    }

    /// The resource with this id, deleted or not, for who is told what became of it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn resource_or_deleted(&self, kind: Kind, id: &str) -> Result<Option<Stored>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM resource WHERE id = ? AND org = ? AND type = ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let values = params![id, kind.org.0, kind.resource_type];
        Ok(statement.query_row(values, from_row).optional()?)
    }

    /// The accounts that have this value, for the question at login: two at most, which is one more
    /// than an answer can speak of.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn accounts(
        &self,
        kind: Kind,
        key: AccountKey,
        value: &str,
    ) -> Result<Vec<Account>, Error> {
        let (sql, value) = match key {
            AccountKey::Id => (
                "SELECT seq, id, active, document FROM resource
                 WHERE org = ? AND type = ? AND id = ? AND deleted IS NULL",
                Cow::Borrowed(value),
            ),
            AccountKey::ExternalId => (
                "SELECT seq, id, active, document FROM resource
                 WHERE org = ? AND type = ? AND external_id = ? AND deleted IS NULL LIMIT 2",
                Cow::Borrowed(value),
            ),
            AccountKey::UserName => (
                "SELECT seq, id, active, document FROM resource
                 WHERE org = ? AND type = ? AND user_name = ? AND deleted IS NULL",
                fold(value),
            ),
            AccountKey::Email => (
                "SELECT seq, id, active, document FROM resource
                 WHERE org = ?1 AND type = ?2 AND deleted IS NULL AND seq IN (
                     SELECT resource FROM email WHERE email.org = ?1 AND email.value = ?3)
                 LIMIT 2",
                fold(value),
            ),
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![kind.org.0, kind.resource_type, value], |row| {
            // No value is no permission.
            let active = row.get::<_, Option<bool>>(2)? == Some(true);
            Ok(Account { seq: row.get(0)?, id: row.get(1)?, active, document: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The resource with this id or userName, for support. Where several deleted ones share a
    /// userName, the one deleted last.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn find(
        &self,
        org: OrgKey,
        resource_type: &str,
        name_or_id: &str,
        state: State,
    ) -> Result<Option<Stored>, Error> {
        // One query for both would read every account.
        for (column, value) in [("id", Cow::Borrowed(name_or_id)), ("user_name", fold(name_or_id))]
        {
            let sql = format!(
                "SELECT {COLUMNS} FROM resource
                 WHERE org = ? AND type = ? AND {column} = ? AND {}
                 ORDER BY deleted DESC LIMIT 1",
                state_sql(state)
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let values = params![org.0, resource_type, value];
            if let Some(found) = statement.query_row(values, from_row).optional()? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The resources of this displayName, in any letter case, or the one with this id; at most
    /// `most`, in order of creation.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn named(
        &self,
        org: OrgKey,
        resource_type: &str,
        name_or_id: &str,
        state: State,
        most: usize,
    ) -> Result<Vec<Stored>, Error> {
        let search = |column: &str, value: &str| -> Result<Vec<Stored>, Error> {
            let sql = format!(
                "SELECT {COLUMNS} FROM resource
                 WHERE org = ? AND type = ? AND {column} = ? AND {} ORDER BY seq LIMIT ?",
                state_sql(state)
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![org.0, resource_type, value, most], from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let by_id = search("id", name_or_id)?;
        if by_id.is_empty() { search("display_name", &fold(name_or_id)) } else { Ok(by_id) }
    }

    /// Calls `each` with every resource in this state, in order of creation.
    ///
    /// # Errors
    /// Failures of the store and what `each` returns.
    pub fn each(
        &self,
        org: OrgKey,
        resource_type: &str,
        state: State,
        each: impl FnMut(Stored) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.try_each(org, resource_type, state, each)
    }

    /// The same for what may fail for reasons of its own.
    ///
    /// # Errors
    /// Failures of the store and what `each` returns, which ends it.
    pub fn try_each<E: From<Error>>(
        &self,
        org: OrgKey,
        resource_type: &str,
        state: State,
        mut each: impl FnMut(Stored) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = format!(
            "SELECT {COLUMNS} FROM resource {} WHERE org = ? AND type = ? AND {} ORDER BY seq",
            index_sql(state),
            state_sql(state)
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(Error::from)?;
        let mut rows = statement.query(params![org.0, resource_type]).map_err(Error::from)?;
        while let Some(row) = rows.next().map_err(Error::from)? {
            each(from_row(row).map_err(Error::from)?)?;
        }
        Ok(())
    }
}

impl Write<'_> {
    /// Hides a resource from SCIM and from login, and takes it out of every group; its data stays
    /// until it is purged. Returns the ids of the groups.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn delete_resource(&self, kind: Kind, stored: &Stored) -> Result<Vec<String>, Error> {
        let sql = "UPDATE resource SET deleted = ?1, version = version + 1,
                last_modified = max(last_modified, ?1)
            WHERE seq = ?2 AND deleted IS NULL";
        let values = params![self.now.nanoseconds(), stored.seq];
        if self.connection.prepare_cached(sql)?.execute(values)? > 0 {
            self.add_to_count(kind.org, kind.resource_type, -1)?;
        }
        self.leave_groups(stored.seq)
    }

    /// Brings a deleted resource back as it was.
    ///
    /// # Errors
    /// [`Error::Conflict`] when its userName has been taken since, and failures of the store.
    pub fn restore_resource(
        &self,
        org: OrgKey,
        resource_type: &str,
        stored: &Stored,
    ) -> Result<(), Error> {
        let sql = "UPDATE resource SET deleted = NULL, version = version + 1,
                last_modified = max(last_modified, ?1)
            WHERE seq = ?2 AND deleted IS NOT NULL";
        let values = params![self.now.nanoseconds(), stored.seq];
        if self.connection.prepare_cached(sql)?.execute(values)? > 0 {
            self.add_to_count(org, resource_type, 1)?;
        }
        Ok(())
    }

    /// Erases a resource for good: its row, its addresses, what was refused about it, and its
    /// values in the log, both in these lines and in those written since.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn purge_resource(
        &self,
        org: OrgKey,
        resource_type: &str,
        stored: &Stored,
        lines: &Lines,
    ) -> Result<(), Error> {
        self.leave_groups(stored.seq)?;
        for sql in [
            // This removes addresses that the document does not have, too: SQLite may give the
            // number to another resource.
            "DELETE FROM email WHERE resource = ?",
            "DELETE FROM member WHERE grp = ?",
            "DELETE FROM resource WHERE seq = ?",
        ] {
            self.connection.prepare_cached(sql)?.execute([stored.seq])?;
        }
        if stored.deleted.is_none() {
            self.add_to_count(org, resource_type, -1)?;
        }
        self.forget_refusals_about(org, stored)?;
        self.forget_answers(org)?;
        self.forget_changes(&stored.id, lines)
    }

    pub(super) fn add_to_count(
        &self,
        org: OrgKey,
        resource_type: &str,
        by: i64,
    ) -> Result<(), Error> {
        let sql = "INSERT INTO resource_count (org, type, count) VALUES (?1, ?2, ?3)
            ON CONFLICT (org, type) DO UPDATE SET count = count + ?3";
        self.connection.prepare_cached(sql)?.execute(params![org.0, resource_type, by])?;
        Ok(())
    }
}

/// The parts of a document that columns and the table `email` repeat, for the indexes.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) user_name: Option<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) active: Option<bool>,
    /// The name that answers show for the resource as a member or group.
    pub(crate) display: Option<String>,
    pub(crate) emails: Vec<String>,
}

impl Columns {
    pub(crate) fn of(document: &Map<String, Value>) -> Columns {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let folded = |name: &str| text(name).map(|it| fold(it).into_owned());
        let values = document.get("emails").and_then(Value::as_array).into_iter().flatten();
        let values = values.filter_map(|it| it.get("value").and_then(Value::as_str));
        Columns {
            user_name: folded("userName"),
            external_id: text("externalId").map(str::to_owned),
            display_name: folded("displayName"),
            active: document.get("active").and_then(Value::as_bool),
            display: text("displayName").map(str::to_owned),
            emails: values.map(|it| fold(it).into_owned()).collect(),
        }
    }
}

/// The index of a state that few are in. For the order alone SQLite would read all others, too.
pub(crate) fn index_sql(state: State) -> &'static str {
    match state {
        State::Inactive => "INDEXED BY resource_inactive",
        State::Deleted => "INDEXED BY resource_deleted",
        State::Present => "",
    }
}

pub(crate) fn state_sql(state: State) -> &'static str {
    match state {
        State::Present => "deleted IS NULL",
        // As the index `resource_inactive` has it: an account without a value may not log in.
        State::Inactive => "deleted IS NULL AND user_name IS NOT NULL AND active IS NOT 1",
        State::Deleted => "deleted IS NOT NULL",
    }
}

/// Reads a resource from a row that begins with [`COLUMNS`].
pub(crate) fn from_row(row: &Row) -> rusqlite::Result<Stored> {
    let time = |i| -> rusqlite::Result<Timestamp> { Ok(Timestamp::from_nanoseconds(row.get(i)?)) };
    Ok(Stored {
        seq: row.get(0)?,
        id: row.get(1)?,
        document: row.get(2)?,
        created: time(3)?,
        last_modified: time(4)?,
        version: row.get(5)?,
        deleted: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_nanoseconds),
        last_line: row.get(7)?,
    })
}
