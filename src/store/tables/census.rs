//! How many accounts and groups an organisation has.

use rusqlite::{OptionalExtension, params};

use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::{State, index_sql, state_sql};
use crate::store::transaction::Read;

/// The counts of an organisation, without deleted resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Accounts that may log in.
    pub active: i64,
    /// Accounts that may not.
    pub inactive: i64,
    /// Groups.
    pub groups: i64,
}

impl Read<'_> {
    /// Counts an organisation's accounts and groups. The time does not grow with the number of
    /// active accounts.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn census(&self, org: OrgKey) -> Result<Census, Error> {
        // This is exactly the condition of the index `resource_inactive`.
        let sql = "SELECT count(*) FROM resource WHERE org = ?
            AND deleted IS NULL AND user_name IS NOT NULL AND active IS NOT 1";
        let inactive: i64 =
            self.connection.prepare_cached(sql)?.query_row([org.0], |row| row.get(0))?;
        let users = self.resource_count(org, "User")?;
        Ok(Census {
            active: users - inactive,
            inactive,
            groups: self.resource_count(org, "Group")?,
        })
    }

    /// How many resources of a type are in this state.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn count_in(&self, org: OrgKey, resource_type: &str, state: State) -> Result<usize, Error> {
        let count = match state {
            State::Present => self.resource_count(org, resource_type)?,
            State::Inactive | State::Deleted => {
                let sql = format!(
                    "SELECT count(*) FROM resource {} WHERE org = ? AND type = ? AND {}",
                    index_sql(state),
                    state_sql(state)
                );
                let mut statement = self.connection.prepare_cached(&sql)?;
                statement.query_row(params![org.0, resource_type], |row| row.get(0))?
            }
        };
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// How many resources of a type an organisation has. A table holds the count.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn resource_count(&self, org: OrgKey, resource_type: &str) -> Result<i64, Error> {
        let sql = "SELECT count FROM resource_count WHERE org = ? AND type = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let count = statement.query_row(params![org.0, resource_type], |row| row.get(0));
        Ok(count.optional()?.unwrap_or(0))
    }
}
