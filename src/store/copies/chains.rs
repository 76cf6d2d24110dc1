//! Whether the lines of the record about each resource are chained: its row to the last of them,
//! and each to the one before.

use rusqlite::Connection;

use crate::store::error::Error;

/// The schema from which on they are.
const WITH_CHAINS: i64 = 7;

/// Each chain in a file of this schema. A number may be that of a line that was removed for its
/// age, as long as no line stands between.
///
/// # Errors
/// Failures of the store.
pub fn check(connection: &Connection, schema: i64, most: usize) -> Result<Vec<String>, Error> {
    if schema < WITH_CHAINS {
        return Ok(Vec::new());
    }
    let mut faults = Vec::new();
    for (sql, table, column, fault) in [
        (
            "SELECT seq FROM (
                SELECT seq, previous, lag(seq, 1, 0) OVER (PARTITION BY resource ORDER BY seq)
                    AS before
                FROM provisioning_log WHERE previous IS NOT NULL
            ) AS line
            WHERE previous <> before AND (previous < before OR previous >= seq OR EXISTS (
                SELECT 1 FROM provisioning_log AS there WHERE there.seq = line.previous))
            LIMIT ?",
            "provisioning_log",
            "previous",
            "it is not the number of the line before about the same resource",
        ),
        (
            "SELECT log.seq FROM provisioning_log AS log JOIN resource
                ON resource.id = log.resource AND resource.type = log.type
            WHERE log.previous IS NULL LIMIT ?",
            "provisioning_log",
            "previous",
            "a line about a resource says nothing of the line before",
        ),
        (
            "SELECT resource.seq FROM resource LEFT JOIN (
                SELECT resource, max(seq) AS newest FROM provisioning_log
                WHERE previous IS NOT NULL GROUP BY resource
            ) AS log ON log.resource = resource.id
            WHERE last_line <> coalesce(newest, 0) AND (last_line < newest OR EXISTS (
                SELECT 1 FROM provisioning_log AS there WHERE there.seq = last_line))
            LIMIT ?",
            "resource",
            "last_line",
            "it is not the number of the last line about the resource",
        ),
    ] {
        let mut statement = connection.prepare(sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = statement.query_map([most], |row| {
            let row: i64 = row.get(0)?;
            Ok(format!("table {table}, row {row}, column {column}: {fault}"))
        })?;
        faults.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(faults)
}
