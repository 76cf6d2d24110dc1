//! Which resource already has a value that must be unique.

use rusqlite::types::Value as SqlValue;
use rusqlite::{OptionalExtension, params_from_iter};

use crate::scim::filter::condition::Condition;
use crate::store::error::Error;
use crate::store::query::filter_sql;
use crate::store::tables::resource::Kind;
use crate::store::transaction::Read;

impl Read<'_> {
    /// The id of a resource that meets a condition, other than the one with this id. The condition
    /// asks for no `$ref` of members or groups.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn holder(
        &self,
        kind: Kind,
        condition: &Condition,
        except: &str,
    ) -> Result<Option<String>, Error> {
        let filter = filter_sql::compile(condition, kind.resource_type, kind.location_base, &[]);
        let sql = format!(
            "SELECT id FROM resource
             WHERE org = ? AND type = ? AND deleted IS NULL AND {} AND id <> ? LIMIT 1",
            filter.sql
        );
        let mut values = vec![SqlValue::from(kind.org.0), kind.resource_type.to_owned().into()];
        values.extend(filter.values);
        values.push(except.to_owned().into());
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params_from_iter(values), |row| row.get(0)).optional()?)
    }
}
