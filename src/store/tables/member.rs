//! The members of groups. The cost of reading and writing depends on how many members a request
//! names, not on how many the group has.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use rusqlite::types::FromSqlError;
use rusqlite::{Row, params};
use serde_json::json;

use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::{Read, Write};

/// The other end of a membership: a member of a group, or a group of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The resource's id.
    pub id: String,
    /// The name of its resource type.
    pub resource_type: String,
    /// Its displayName.
    pub display: Option<String>,
    /// Whether the membership is direct, and not through a group in between.
    pub direct: bool,
}

/// The same as it lies in the row that is read.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The resource's id.
    pub id: &'a str,
    /// The name of its resource type.
    pub resource_type: &'a str,
    /// Its displayName.
    pub display: Option<&'a str>,
    /// Whether the membership is direct.
    pub direct: bool,
}

impl Link<'_> {
    /// The link by itself.
    #[must_use]
    pub fn to_owned(self) -> Linked {
        Linked {
            id: self.id.to_owned(),
            resource_type: self.resource_type.to_owned(),
            display: self.display.map(str::to_owned),
            direct: self.direct,
        }
    }
}

/// The members of a group, of which so many at most.
const MEMBERS: &str = "SELECT resource.id, resource.type, resource.display
    FROM member JOIN resource ON resource.seq = member.resource
    WHERE member.grp = ?1 ORDER BY member.resource LIMIT ?2";

/// What people call a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its userName, as it is written.
    pub user_name: Option<String>,
    /// Its displayName.
    pub display: Option<String>,
}

impl Read<'_> {
    /// What those of these resources are called that are not purged, by their ids.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn names(&self, org: OrgKey, ids: &[&str]) -> Result<HashMap<String, Names>, Error> {
        let sql = "SELECT resource.id, json_extract(resource.document, '$.userName'),
                resource.display
            FROM json_each(?1) AS wanted
            JOIN resource ON resource.id = wanted.value AND resource.org = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![json!(ids).to_string(), org.0], |row| {
            Ok((row.get(0)?, Names { user_name: row.get(1)?, display: row.get(2)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The direct members of each of these groups, in order of creation; of each group at most
    /// `most`.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn members(&self, groups: &[i64], most: i64) -> Result<HashMap<i64, Vec<Linked>>, Error> {
        // A query for each group walks the index in order and ends at the limit. One query for all
        // groups would check the limit again for each member.
        let mut statement = self.connection.prepare_cached(MEMBERS)?;
        let mut found: HashMap<i64, Vec<Linked>> = HashMap::new();
        for group in groups {
            let rows = statement.query_map([*group, most], |row| {
                Ok(Linked {
                    id: row.get(0)?,
                    resource_type: row.get(1)?,
                    display: row.get(2)?,
                    direct: true,
                })
            })?;
            found.insert(*group, rows.collect::<Result<_, _>>()?);
        }
        Ok(found)
    }

    /// How many direct members these groups have together.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn count_members(&self, groups: &[i64]) -> Result<usize, Error> {
        let sql = "SELECT count(*) FROM member WHERE grp = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut total = 0;
        for group in groups {
            total += statement.query_row([group], |row| row.get::<_, i64>(0))?;
        }
        Ok(usize::try_from(total).unwrap_or_default())
    }

    /// Those of these resources that are in a group.
    fn with_groups(&self, resources: &[i64]) -> Result<Vec<i64>, Error> {
        if let [seq] = resources {
            let sql = "SELECT EXISTS (SELECT 1 FROM member WHERE resource = ?)";
            let mut statement = self.connection.prepare_cached(sql)?;
            let found = statement.query_row([seq], |row| row.get(0))?;
            return Ok(if found { vec![*seq] } else { Vec::new() });
        }
        let sql = "SELECT value FROM json_each(?)
            WHERE EXISTS (SELECT 1 FROM member WHERE member.resource = value)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map([json!(resources).to_string()], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The groups each of these resources is in, directly or through other groups, in order of
    /// creation. A cycle of groups ends where it meets itself.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn groups(&self, resources: &[i64]) -> Result<HashMap<i64, Vec<Linked>>, Error> {
        // Most accounts are in no group, and to find that out costs a tenth of the query below.
        let members = self.with_groups(resources)?;
        let mut found: HashMap<i64, Vec<Linked>> = HashMap::new();
        self.each_group(&members, |at, it| {
            let of = members.get(at).map(|it| found.entry(*it).or_default());
            of.into_iter().for_each(|of| of.push(it.to_owned()));
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Calls `each` with the groups of each of these resources, in the order in which they are
    /// given here, and with which of them it is, until it breaks off; of each as [`Read::groups`]
    /// has them.
    ///
    /// # Errors
    /// Failures of the store and what `each` returns.
    pub fn each_group<E: From<Error>>(
        &self,
        resources: &[i64],
        mut each: impl FnMut(usize, Link) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        if resources.is_empty() {
            return Ok(());
        }
        let sql = "WITH RECURSIVE up (start, grp, distance) AS (
                SELECT wanted.key, member.grp, 0
                FROM json_each(?1) AS wanted
                JOIN member ON member.resource = wanted.value
                JOIN resource ON resource.seq = member.grp AND resource.deleted IS NULL
                UNION
                SELECT up.start, member.grp, 1
                FROM up JOIN member ON member.resource = up.grp
                JOIN resource ON resource.seq = member.grp AND resource.deleted IS NULL
            )
            SELECT up.start, resource.id, resource.type, resource.display, min(up.distance)
            FROM up JOIN resource ON resource.seq = up.grp
            GROUP BY up.start, up.grp ORDER BY up.start, up.grp";
        let mut statement = self.connection.prepare_cached(sql).map_err(Error::from)?;
        let mut rows = statement.query([json!(resources).to_string()]).map_err(Error::from)?;
        while let Some(row) = rows.next().map_err(Error::from)? {
            let number = |at: usize| row.get::<_, i64>(at).map_err(Error::from);
            let at = usize::try_from(number(0)?).unwrap_or(usize::MAX);
            if each(at, link(row, 1, number(4)? == 0)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Calls `each` with the direct members of a group, in order of creation, until it breaks off.
    ///
    /// # Errors
    /// Failures of the store and what `each` returns.
    pub fn each_member<E: From<Error>>(
        &self,
        group: i64,
        mut each: impl FnMut(Link) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let mut statement = self.connection.prepare_cached(MEMBERS).map_err(Error::from)?;
        let mut rows = statement.query([group, -1]).map_err(Error::from)?;
        while let Some(row) = rows.next().map_err(Error::from)? {
            if each(link(row, 0, true)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The three columns of a link, from this one on.
fn link<'a>(row: &'a Row, at: usize, direct: bool) -> Result<Link<'a>, Error> {
    let damaged = |it: FromSqlError| Error::Invalid(format!("a member or a group: {it}"));
    let text = |at: usize| row.get_ref(at)?.as_str().map_err(damaged);
    let display = row.get_ref(at + 2)?.as_str_or_null().map_err(damaged)?;
    Ok(Link { id: text(at)?, resource_type: text(at + 1)?, display, direct })
}

impl Write<'_> {
    /// Those of these ids whose resources were deleted and not yet purged.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn deleted_among(&self, org: OrgKey, ids: &[String]) -> Result<HashSet<String>, Error> {
        let sql = "SELECT resource.id FROM json_each(?1) AS wanted
            JOIN resource ON resource.id = wanted.value AND resource.org = ?2
            WHERE resource.deleted IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![json!(ids).to_string(), org.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that those of these members whose types show their groups have other ones than before:
    /// a client that asks for what changed since some time must see them.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn touch<'a>(
        &self,
        org: OrgKey,
        types: &[&str],
        ids: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), Error> {
        let sql = "UPDATE resource SET version = version + 1,
                last_modified = max(last_modified, ?3)
            WHERE id = ?1 AND org = ?2 AND type IN (SELECT value FROM json_each(?4))";
        let mut update = self.connection.prepare_cached(sql)?;
        let types = json!(types).to_string();
        for id in ids {
            update.execute(params![id, org.0, self.now.nanoseconds(), types])?;
        }
        Ok(())
    }

    /// Notes the same of all direct members of a group that is deleted.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn touch_members(&self, group: i64, types: &[&str]) -> Result<(), Error> {
        let sql = "UPDATE resource SET version = version + 1,
                last_modified = max(last_modified, ?2)
            WHERE seq IN (SELECT resource FROM member WHERE grp = ?1)
                AND type IN (SELECT value FROM json_each(?3)) AND deleted IS NULL";
        let values = params![group, self.now.nanoseconds(), json!(types).to_string()];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Adds members to a group; those that are there already stay. Returns the ids that were added.
    ///
    /// # Errors
    /// [`MemberError::Unknown`] with the ids that no resource of the organisation has; nothing has
    /// been added then.
    pub fn add_members(
        &self,
        org: OrgKey,
        group: i64,
        ids: &[String],
    ) -> Result<Vec<String>, MemberError> {
        let sql = "SELECT wanted.value, resource.seq
            FROM json_each(?1) AS wanted
            LEFT JOIN resource ON resource.id = wanted.value AND resource.org = ?2
                AND resource.deleted IS NULL
            ORDER BY wanted.key";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![json!(ids).to_string(), org.0], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for row in rows {
            match row? {
                (id, Some(seq)) => known.push((id, seq)),
                (id, None) => unknown.push(id),
            }
        }
        if !unknown.is_empty() {
            return Err(MemberError::Unknown(unknown));
        }
        let sql = "INSERT OR IGNORE INTO member (grp, resource) VALUES (?, ?)";
        let mut insert = self.connection.prepare_cached(sql)?;
        let mut added = Vec::new();
        for (id, seq) in known {
            if insert.execute([group, seq])? > 0 {
                added.push(id);
            }
        }
        Ok(added)
    }

    /// Removes members from a group; an id that is no member is no failure. Returns the ids that
    /// were removed.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn remove_members(&self, group: i64, ids: &[String]) -> Result<Vec<String>, Error> {
        let sql = "DELETE FROM member
            WHERE grp = ? AND resource = (SELECT seq FROM resource WHERE id = ?)";
        let mut delete = self.connection.prepare_cached(sql)?;
        let mut removed = Vec::new();
        for id in ids {
            if delete.execute(params![group, id])? > 0 {
                removed.push(id.clone());
            }
        }
        Ok(removed)
    }

    /// Takes a resource out of every group it is a member of. Each of these groups has a new
    /// version. Returns their ids.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn leave_groups(&self, resource: i64) -> Result<Vec<String>, Error> {
        let sql = "UPDATE resource SET version = version + 1,
                last_modified = max(last_modified, ?2)
            WHERE seq IN (SELECT grp FROM member WHERE resource = ?1) RETURNING id";
        let mut update = self.connection.prepare_cached(sql)?;
        let rows = update.query_map([resource, self.now.nanoseconds()], |row| row.get(0))?;
        let left = rows.collect::<Result<_, _>>()?;
        let sql = "DELETE FROM member WHERE resource = ?";
        self.connection.prepare_cached(sql)?.execute([resource])?;
        Ok(left)
    }
}

/// Why members could not be added.
#[derive(Debug)]
pub enum MemberError {
    /// No resource of the organisation has these ids.
    Unknown(Vec<String>),
    /// The store failed.
    Store(Error),
}

impl From<rusqlite::Error> for MemberError {
    fn from(error: rusqlite::Error) -> MemberError {
        MemberError::Store(error.into())
    }
}
