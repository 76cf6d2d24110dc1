//! Accounts and groups in the order of their names, page by page, as people look through them.

use rusqlite::{Row, params};

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::{State, state_sql};
use crate::store::transaction::Read;

/// What a list says of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it stands in the order: its name, folded, and the number of its row.
    pub place: (String, i64),
    /// The id.
    pub id: String,
    /// The userName.
    pub user_name: Option<String>,
    /// The displayName.
    pub display_name: Option<String>,
    /// Whether it may log in, unless it is deleted.
    pub active: bool,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// When it was deleted, if it was.
    pub deleted: Option<Timestamp>,
}

impl Read<'_> {
    /// The accounts of an organisation in the order of their names, behind a place, at most so
    /// many.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn accounts_by_name(
        &self,
        org: OrgKey,
        resource_type: &str,
        state: State,
        after: &(String, i64),
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.by_name("user_name", org, resource_type, state, after, most)
    }

    /// The same for groups.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn groups_by_name(
        &self,
        org: OrgKey,
        resource_type: &str,
        after: &(String, i64),
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        self.by_name("display_name", org, resource_type, State::Present, after, most)
    }

    fn by_name(
        &self,
        column: &str,
        org: OrgKey,
        resource_type: &str,
        state: State,
        after: &(String, i64),
        most: usize,
    ) -> Result<Vec<Listed>, Error> {
        let sql = format!(
            "SELECT coalesce({column}, ''), seq, id, json_extract(document, '$.userName'),
                json_extract(document, '$.displayName'), active, last_modified, deleted
            FROM resource WHERE org = ?1 AND type = ?2 AND {}
                AND {column} >= ?3 AND ({column} > ?3 OR seq > ?4)
            ORDER BY {column}, seq LIMIT ?5",
            state_sql(state)
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let values = params![org.0, resource_type, after.0, after.1, most];
        let rows = statement.query_map(values, listed)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn listed(row: &Row) -> rusqlite::Result<Listed> {
    Ok(Listed {
        place: (row.get(0)?, row.get(1)?),
        id: row.get(2)?,
        user_name: row.get(3)?,
        display_name: row.get(4)?,
        active: row.get::<_, Option<bool>>(5)? == Some(true),
        last_modified: Timestamp::from_nanoseconds(row.get(6)?),
        deleted: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_nanoseconds),
    })
}
