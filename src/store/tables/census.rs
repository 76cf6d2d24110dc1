//! How many accounts and groups an organisation has, and when it was last pushed to.

use rusqlite::{OptionalExtension, params};

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::CLI;
use crate::store::tables::token::Token;
use crate::store::transaction::Read;

/// What there is of an organisation, deleted resources not counted.
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
    /// Counts an organisation's accounts and groups. Takes no longer the more active accounts there
    /// are.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn census(&self, org: OrgKey) -> Result<Census, Error> {
        // The very condition of the index `resource_inactive`.
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

    /// How many resources of a type an organisation has; looked up, not counted.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn resource_count(&self, org: OrgKey, resource_type: &str) -> Result<i64, Error> {
        let sql = "SELECT count FROM resource_count WHERE org = ? AND type = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let count = statement.query_row(params![org.0, resource_type], |row| row.get(0));
        Ok(count.optional()?.unwrap_or(0))
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

    /// The tokens of an organisation that are accepted at this time, the oldest first.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn valid_tokens(&self, org: OrgKey, now: Timestamp) -> Result<Vec<Token>, Error> {
        let mut tokens = self.tokens(org)?;
        tokens.retain(|it| it.revoked.is_none() && it.expires.is_none_or(|at| at > now));
        Ok(tokens)
    }
}
