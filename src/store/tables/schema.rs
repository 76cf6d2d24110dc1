//! Schemas that support registers for an organisation.

use std::sync::Arc;

use rusqlite::params;

use crate::scim::datetime::Timestamp;
use crate::scim::schema::document::Schema;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::{Read, Write};

/// A schema of an organisation, and what it extends.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The schema.
    pub schema: Arc<Schema>,
    /// The name of the resource type.
    pub resource_type: String,
    /// When it was first registered.
    pub created: Timestamp,
}

impl Read<'_> {
    /// The schemas of an organisation, the oldest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] when another program has changed the file, and failures of the store.
    pub fn schemas(&self, org: OrgKey) -> Result<Vec<Registered>, Error> {
        let sql = "SELECT urn, type, document, created FROM schema WHERE org = ?
            ORDER BY created, urn";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([org.0], |row| {
            let (urn, resource_type): (String, String) = (row.get(0)?, row.get(1)?);
            let document: String = row.get(2)?;
            Ok((urn, resource_type, document, Timestamp::from_nanoseconds(row.get(3)?)))
        })?;
        rows.map(|row| {
            let (urn, resource_type, document, created) = row?;
            let invalid = |it: String| Error::Invalid(format!("schema {urn}: {it}"));
            let document = serde_json::from_str(&document).map_err(|it| invalid(it.to_string()))?;
            let schema = Arc::new(Schema::from_document(document).map_err(invalid)?);
            Ok(Registered { schema, resource_type, created })
        })
        .collect()
    }
}

impl Write<'_> {
    /// Registers a schema as an extension of a resource type, in place of one with the same URN.
    /// Returns whether there was one.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn add_schema(
        &self,
        org: OrgKey,
        resource_type: &str,
        schema: &Schema,
    ) -> Result<bool, Error> {
        let same = |it: &&Registered| it.schema.id.eq_ignore_ascii_case(&schema.id);
        let before = self.schemas(org)?.iter().find(same).cloned();
        if let Some(before) = &before {
            self.remove_schema(org, &before.schema.id)?;
        }
        let sql = "INSERT INTO schema (org, urn, type, document, created) VALUES (?, ?, ?, ?, ?)";
        let created = before.as_ref().map_or(self.now, |it| it.created).nanoseconds();
        let document = schema.document.to_string();
        let values = params![org.0, schema.id, resource_type, document, created];
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.schemas_changed(org)?;
        Ok(before.is_some())
    }

    /// Takes a schema away; what accounts have below its URN stays. Returns whether there was one
    /// with exactly this URN.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn remove_schema(&self, org: OrgKey, urn: &str) -> Result<bool, Error> {
        let sql = "DELETE FROM schema WHERE org = ? AND urn = ?";
        let removed = self.connection.prepare_cached(sql)?.execute(params![org.0, urn])?;
        self.schemas_changed(org)?;
        Ok(removed > 0)
    }

    /// Counts the change: a running server reads the number with every token.
    pub(super) fn schemas_changed(&self, org: OrgKey) -> Result<(), Error> {
        let sql = "UPDATE org SET schemas = schemas + 1 WHERE id = ?";
        self.connection.prepare_cached(sql)?.execute([org.0])?;
        Ok(())
    }
}
