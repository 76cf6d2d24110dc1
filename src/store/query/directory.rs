//! Accounts and groups in the order of their names, page by page, as people look through them.

use rusqlite::{Row, params};

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::{State, state_sql};
use crate::store::transaction::Read;

/// The most of one page, in bytes of names: a name may be as long as a document.
pub const NAMES_BYTES_MAX: usize = 1024 * 1024;

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The resources.
    pub entries: Vec<Listed>,
    /// Whether there are more behind them.
    pub more: bool,
}

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
    /// many, and fewer where their names are long.
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
    ) -> Result<Page, Error> {
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
    ) -> Result<Page, Error> {
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
    ) -> Result<Page, Error> {
        let sql = format!(
            "SELECT coalesce({column}, ''), seq, id, json_extract(document, '$.userName'),
                json_extract(document, '$.displayName'), active, last_modified, deleted
            FROM resource WHERE org = ?1 AND type = ?2 AND {}
                AND {column} >= ?3 AND ({column} > ?3 OR seq > ?4)
            ORDER BY {column}, seq LIMIT ?5",
            state_sql(state)
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let one_more = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let values = params![org.0, resource_type, after.0, after.1, one_more];
        let mut rows = statement.query(values)?;
        let (mut page, mut bytes) = (Page::default(), 0);
        while let Some(row) = rows.next()? {
            let it = listed(row)?;
            bytes += it.bytes();
            page.more =
                page.entries.len() == most || (bytes > NAMES_BYTES_MAX && !page.entries.is_empty());
            if page.more {
                break;
            }
            page.entries.push(it);
        }
        Ok(page)
    }
}

impl Listed {
    fn bytes(&self) -> usize {
        let length = |it: &Option<String>| it.as_ref().map_or(0, String::len);
        self.place.0.len() + length(&self.user_name) + length(&self.display_name)
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
