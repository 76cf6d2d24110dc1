//! How much happened on each day, and how far an identity provider has come.

use rusqlite::{OptionalExtension, params};

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::Read;

/// How many lines at either end of the record are looked at for what an identity provider has done:
/// each kind of request is among them soon after it is set up.
const LINES_LOOKED_AT: i64 = 10_000;

/// What happened in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// How many lines the record has.
    pub changes: i64,
    /// How many requests were refused.
    pub refused: i64,
}

/// When the identity provider first did each thing, among the lines that are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Milestones {
    /// Created an account.
    pub user: Option<Timestamp>,
    /// Changed one.
    pub update: Option<Timestamp>,
    /// Took login away.
    pub deactivation: Option<Timestamp>,
    /// Created or changed a group.
    pub group: Option<Timestamp>,
}

impl Read<'_> {
    /// What happened in an organisation from each of these times to the next one; they ascend. The
    /// lines are counted in an index, between numbers that are searched for by time.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn happened_between(
        &self,
        org: OrgKey,
        times: &[Timestamp],
    ) -> Result<Vec<Happened>, Error> {
        let first =
            times.iter().map(|it| self.first_line_from(*it)).collect::<Result<Vec<_>, _>>()?;
        let sql = "SELECT count(*) FROM provisioning_log WHERE org = ? AND seq >= ? AND seq < ?";
        let mut changes = self.connection.prepare_cached(sql)?;
        let counted = first.windows(2).map(|lines| {
            let changes =
                changes.query_row(params![org.0, lines[0], lines[1]], |row| row.get(0))?;
            Ok(Happened { changes, refused: 0 })
        });
        let mut days = counted.collect::<Result<Vec<_>, Error>>()?;
        // An organisation has few of them, and they are read once.
        let sql = "SELECT time, count FROM refusal WHERE org = ?";
        let mut refused = self.connection.prepare_cached(sql)?;
        let mut rows = refused.query([org.0])?;
        while let Some(row) = rows.next()? {
            let time = Timestamp::from_nanoseconds(row.get(0)?);
            let day = times.partition_point(|it| *it <= time).checked_sub(1);
            if let Some(day) = day.and_then(|it| days.get_mut(it)) {
                day.refused += row.get::<_, i64>(1)?;
            }
        }
        Ok(days)
    }

    /// The number of the first line that is no older than this; lines are in the order of time.
    fn first_line_from(&self, time: Timestamp) -> Result<i64, Error> {
        let sql = "SELECT min(seq), max(seq) FROM provisioning_log";
        let mut statement = self.connection.prepare_cached(sql)?;
        let ends: (Option<i64>, Option<i64>) =
            statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(mut low), Some(newest)) = ends else { return Ok(0) };
        let mut high = newest + 1;
        let sql = "SELECT time FROM provisioning_log WHERE seq >= ? ORDER BY seq LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let at: Option<i64> = statement.query_row([middle], |row| row.get(0)).optional()?;
            match at.is_some_and(|it| it < time.nanoseconds()) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// When the identity provider first did each thing, as far as the oldest and the newest lines
    /// of the record say.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn milestones(&self, org: OrgKey) -> Result<Milestones, Error> {
        let mut found = Milestones::default();
        for order in ["ASC", "DESC"] {
            let sql = format!(
                "SELECT
                    min(time) FILTER (WHERE type = 'User' AND method = 'POST'),
                    min(time) FILTER (WHERE type = 'User' AND method IN ('PUT', 'PATCH')),
                    min(time) FILTER (WHERE type = 'User' AND (method = 'DELETE'
                        OR method IN ('PUT', 'PATCH')
                            AND json_extract(changes, '$.active.after') = 0)),
                    min(time) FILTER (WHERE type = 'Group'
                        AND method IN ('POST', 'PUT', 'PATCH'))
                FROM (SELECT type, method, time, changes FROM provisioning_log WHERE org = ?
                    ORDER BY seq {order} LIMIT ?)"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let time = |it: Option<i64>| it.map(Timestamp::from_nanoseconds);
            let of_end = statement.query_row(params![org.0, LINES_LOOKED_AT], |row| {
                Ok(Milestones {
                    user: time(row.get(0)?),
                    update: time(row.get(1)?),
                    deactivation: time(row.get(2)?),
                    group: time(row.get(3)?),
                })
            })?;
            found = Milestones {
                user: found.user.or(of_end.user),
                update: found.update.or(of_end.update),
                deactivation: found.deactivation.or(of_end.deactivation),
                group: found.group.or(of_end.group),
            };
        }
        Ok(found)
    }

    /// The number of the newest refusal of an organisation, or 0.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn newest_refusal(&self, org: OrgKey) -> Result<i64, Error> {
        let sql = "SELECT seq FROM refusal WHERE org = ? ORDER BY seq DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([org.0], |row| row.get(0)).optional()?.unwrap_or(0))
    }
}
