//! Resource types that support registers for an organisation, each with its schemas.

use std::sync::Arc;

use rusqlite::params;

use crate::scim::datetime::Timestamp;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::own_type::OwnType;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::Actor;
use crate::store::transaction::{Read, Write};

/// A resource type of an organisation.
#[derive(Clone, Debug)]
pub struct RegisteredType {
    /// The resource type.
    pub own: Arc<OwnType>,
    /// When it was first registered.
    pub created: Timestamp,
}

/// How many resources of a type there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfType {
    /// Those that are there.
    pub present: i64,
    /// Those that were deleted and not yet purged.
    pub deleted: i64,
}

/// A document as the table has it.
pub(crate) fn parse(name: &str, document: &str) -> Result<OwnType, Error> {
    let invalid = |it: String| Error::Invalid(format!("resource type {name}: {it}"));
    let document = serde_json::from_str(document).map_err(|it| invalid(it.to_string()))?;
    let own = OwnType::from_document(document).map_err(invalid)?;
    if own.name != name {
        return Err(invalid(format!("its document is that of {}", own.name)));
    }
    Ok(own)
}

impl Read<'_> {
    /// The resource types of an organisation, the oldest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the file was changed by other hands, and failures of the store.
    pub fn resource_types(&self, org: OrgKey) -> Result<Vec<RegisteredType>, Error> {
        let sql = "SELECT name, document, created FROM resource_type WHERE org = ?
            ORDER BY created, name";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([org.0], |row| {
            let (name, document): (String, String) = (row.get(0)?, row.get(1)?);
            Ok((name, document, Timestamp::from_nanoseconds(row.get(2)?)))
        })?;
        rows.map(|row| {
            let (name, document, created) = row?;
            Ok(RegisteredType { own: Arc::new(parse(&name, &document)?), created })
        })
        .collect()
    }

    /// The definitions of an organisation: the built-in ones, its own resource types, and its own
    /// extensions of either. Nothing when it has no own ones.
    ///
    /// # Errors
    /// As [`Read::resource_types`].
    pub fn definitions(
        &self,
        org: OrgKey,
        builtin: &Definitions,
    ) -> Result<Option<Definitions>, Error> {
        let (types, schemas) = (self.resource_types(org)?, self.schemas(org)?);
        if types.is_empty() && schemas.is_empty() {
            return Ok(None);
        }
        let registered: Vec<_> = schemas.iter().map(|it| Arc::clone(&it.schema)).collect();
        let each = schemas.iter();
        let each = each.map(|it| (it.resource_type.as_str(), Arc::clone(&it.schema)));
        let types = types.iter().map(|it| it.own.as_ref());
        Ok(Some(builtin.with_types(types, &registered).with_extensions(each)))
    }

    /// How many resources of a type an organisation has.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn count_of_type(&self, org: OrgKey, name: &str) -> Result<OfType, Error> {
        let sql = "SELECT count(*) FROM resource
            WHERE org = ? AND type = ? AND deleted IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let deleted = statement.query_row(params![org.0, name], |row| row.get(0))?;
        Ok(OfType { present: self.resource_count(org, name)?, deleted })
    }
}

impl Write<'_> {
    /// Registers a resource type, in place of the one with the same name. Returns whether there was
    /// one.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn add_resource_type(&self, org: OrgKey, own: &OwnType) -> Result<bool, Error> {
        let found = self.resource_types(org)?.into_iter().any(|it| it.own.name == own.name);
        let sql = "INSERT INTO resource_type (org, name, document, created) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (org, name) DO UPDATE SET document = ?3";
        let document = own.document.to_string();
        let values = params![org.0, own.name, document, self.now.nanoseconds()];
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.schemas_changed(org)?;
        Ok(found)
    }

    /// Takes a resource type away that has no resources. Returns whether there was one.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn remove_resource_type(&self, org: OrgKey, name: &str) -> Result<bool, Error> {
        let sql = "DELETE FROM resource_type WHERE org = ? AND name = ?";
        let removed = self.connection.prepare_cached(sql)?.execute(params![org.0, name])?;
        let sql = "DELETE FROM resource_count WHERE org = ? AND type = ? AND count = 0";
        self.connection.prepare_cached(sql)?.execute(params![org.0, name])?;
        self.schemas_changed(org)?;
        Ok(removed > 0)
    }

    /// Erases the deleted resources of a type for good: their rows, and what the log says of their
    /// values. It gets a line for each of them. Returns how many there were.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn purge_deleted_of_type(
        &self,
        org: OrgKey,
        name: &str,
        actor: &Actor,
    ) -> Result<usize, Error> {
        self.forget_refusals_of_type(org, name)?;
        for sql in [
            "UPDATE provisioning_log SET changes = '{}', reason = NULL
                WHERE org = ?1 AND resource IN (
                SELECT id FROM resource WHERE org = ?1 AND type = ?2 AND deleted IS NOT NULL)",
            "DELETE FROM email WHERE org = ?1 AND resource IN (
                SELECT seq FROM resource WHERE org = ?1 AND type = ?2 AND deleted IS NOT NULL)",
            "DELETE FROM member WHERE grp IN (
                SELECT seq FROM resource WHERE org = ?1 AND type = ?2 AND deleted IS NOT NULL)",
        ] {
            self.connection.prepare_cached(sql)?.execute(params![org.0, name])?;
        }
        let sql = "INSERT INTO provisioning_log
                (time, org, actor, client, request, reason, method, type, resource, previous,
                outcome, changes)
            SELECT ?, org, ?, ?, ?, ?, 'purge', type, id, last_line, 204, '{}' FROM resource
            WHERE org = ? AND type = ? AND deleted IS NOT NULL ORDER BY seq";
        let Actor { name: who, client, request, reason } = actor;
        let values = params![self.now.nanoseconds(), who, client, request, reason, org.0, name];
        self.connection.prepare_cached(sql)?.execute(values)?;
        let sql = "DELETE FROM resource WHERE org = ? AND type = ? AND deleted IS NOT NULL";
        Ok(self.connection.prepare_cached(sql)?.execute(params![org.0, name])?)
    }

    /// Whether the schemas and resource types of an organisation are as they were when its number
    /// of changes was read.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn has_schemas_of(&self, org: OrgKey, changes: i64) -> Result<bool, Error> {
        let sql = "SELECT schemas = ? FROM org WHERE id = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![changes, org.0], |row| row.get(0))?)
    }
}
