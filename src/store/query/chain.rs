//! The lines of the record about one resource: from its row to the last of them, and from each to
//! the one before.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};

use crate::store::error::Error;
use crate::store::query::story::From;
use crate::store::transaction::Read;

/// Which lines the index `provisioning_log_apart` has: those that no resource's row leads to.
const APART: &str = "(previous IS NULL OR method = 'purge')";

impl Read<'_> {
    /// The numbers of the lines about what has one of these ids or names, from a number on, at most
    /// so many. This reads no lines of others.
    pub(super) fn lines_of(
        &self,
        ids: &[String],
        from: From,
        most: usize,
    ) -> Result<Vec<i64>, Error> {
        let mut found = BTreeSet::new();
        for id in ids {
            self.add_apart(id, from, most, &mut found)?;
            self.add_chain(id, from, most, &mut found)?;
        }
        Ok(match from {
            From::Before(_) => found.into_iter().rev().take(most).collect(),
            From::After(_) => found.into_iter().take(most).collect(),
        })
    }

    fn add_apart(
        &self,
        id: &str,
        from: From,
        most: usize,
        found: &mut BTreeSet<i64>,
    ) -> Result<(), Error> {
        let (number, compared, order) = from.as_sql();
        let sql = format!(
            "SELECT seq FROM provisioning_log WHERE resource = ? AND {APART} AND seq {compared} ?
             ORDER BY seq {order} LIMIT ?"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![id, number, most], |row| row.get(0))?;
        found.extend(rows.collect::<Result<Vec<i64>, _>>()?);
        Ok(())
    }

    /// Adds what a chain has: the newest before a number, or all behind one.
    fn add_chain(
        &self,
        id: &str,
        from: From,
        most: usize,
        found: &mut BTreeSet<i64>,
    ) -> Result<(), Error> {
        let sql = "SELECT previous FROM provisioning_log WHERE seq = ? AND resource = ?";
        let mut before = self.connection.prepare_cached(sql)?;
        let mut before = |number: i64| -> Result<Option<i64>, Error> {
            let found = before.query_row(params![number, id], |row| row.get(0)).optional()?;
            Ok(found.flatten())
        };
        // Whoever reads page after page goes on where the last one ended.
        let (end, known) = match from {
            From::Before(number) => (0, before(number)?),
            From::After(number) => (number, None),
        };
        let mut next = match known {
            Some(it) => it,
            None => self.last_line_of(id)?,
        };
        let mut left = most;
        while next > end && left > 0 {
            if from.has(next) && found.insert(next) {
                left -= usize::from(matches!(from, From::Before(_)));
            }
            next = match before(next)? {
                Some(it) => it,
                None => {
                    found.remove(&next);
                    return self.add_left(id, from, next, most, found);
                }
            };
        }
        Ok(())
    }

    /// The number of the last line of a chain, or 0.
    fn last_line_of(&self, id: &str) -> Result<i64, Error> {
        let sql = "SELECT last_line FROM resource WHERE id = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        if let Some(last) = statement.query_row([id], |row| row.get(0)).optional()? {
            return Ok(last);
        }
        let sql = format!(
            "SELECT coalesce(max(seq), 0) FROM provisioning_log
             WHERE resource = ? AND {APART} AND previous IS NOT NULL"
        );
        Ok(self.connection.prepare_cached(&sql)?.query_row([id], |row| row.get(0))?)
    }

    /// Adds the lines before one that was removed for its age. There are none, unless the clock was
    /// set back: then some of the oldest lines stay (`trim_log`), too few to matter.
    fn add_left(
        &self,
        id: &str,
        from: From,
        before: i64,
        most: usize,
        found: &mut BTreeSet<i64>,
    ) -> Result<(), Error> {
        let sql = "SELECT seq FROM provisioning_log WHERE seq < ? AND resource = ?
            ORDER BY seq DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![before, id], |row| row.get::<_, i64>(0))?;
        let rows = rows.filter(|it| it.as_ref().map_or(true, |it| from.has(*it)));
        found.extend(rows.take(most).collect::<Result<Vec<i64>, _>>()?);
        Ok(())
    }
}
