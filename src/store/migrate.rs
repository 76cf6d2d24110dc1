//! Brings a database file to the newest schema: the numbered steps of `schema.sql`, each in its own
//! transaction.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::store::error::Error;
use crate::store::transaction::Read;

const SCHEMA_SQL: &str = include_str!("../../schema.sql");

/// `PRAGMA application_id` of every plumm database: "plum" in ASCII.
const APPLICATION_ID: i64 = 0x706c_756d;

/// The step with which names are folded anew (`scim/filter/comparison.rs`).
pub const FOLDED_ANEW: i64 = 4;

/// The steps of `schema.sql`, the first one first.
fn steps() -> Vec<&'static str> {
    SCHEMA_SQL
        .split("\n-- v ")
        .skip(1)
        .map(|it| it.split_once('\n').map_or("", |(_, sql)| sql))
        .collect()
}

/// The newest schema: how many steps this program knows.
pub fn newest() -> i64 {
    steps().len() as i64
}

/// Makes the tables of a schema, which may be an older one, in an empty database; a file of that
/// schema can then be compared with it.
///
/// # Errors
/// Failures of SQLite.
pub fn make_schema(connection: &Connection, schema: i64) -> Result<(), Error> {
    let count = usize::try_from(schema).unwrap_or(0);
    steps().iter().take(count).try_for_each(|it| Ok(connection.execute_batch(it)?))
}

/// How many steps a file has taken; it is checked to be plumm's first.
///
/// # Errors
/// [`Error::Foreign`] for another program's file, [`Error::Newer`] for a newer plumm's.
pub fn version(connection: &Connection, path: &Path) -> Result<i64, Error> {
    // One statement has one view of the file, which another process may be making at this moment.
    let sql = "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)
        FROM pragma_user_version, pragma_application_id";
    let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (found, application, tables): (i64, i64, i64) =
        row.map_err(|it| version_unknown(it, path))?;
    let empty = tables == 0 && found == 0 && application == 0;
    if (!empty && application != APPLICATION_ID) || found < 0 {
        return Err(Error::Foreign(path.to_owned()));
    }
    let known = newest();
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

/// Fails when there are steps that the file has not taken yet.
///
/// # Errors
/// [`Error::Older`], and as [`version`].
pub fn require_newest(connection: &Connection, path: &Path) -> Result<(), Error> {
    let (found, known) = (version(connection, path)?, steps().len() as i64);
    if found == known {
        return Ok(());
    }
    Err(Error::Older { path: path.to_owned(), found, known })
}

impl Read<'_> {
    /// How many steps the file has taken.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn schema_version(&self) -> Result<i64, Error> {
        Ok(self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
    }
}

/// Takes the steps that the file has not taken yet.
///
/// SQLite does not enforce foreign keys meanwhile, so that a step may replace a table that others
/// refer to; each step checks them before it commits.
///
/// # Errors
/// As [`version`], and any failure to write; the file then stands at the last whole step.
pub fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    if version(connection, path)? == newest() {
        return Ok(());
    }
    connection.pragma_update(None, "foreign_keys", false)?;
    let done = take_steps(connection, path);
    connection.pragma_update(None, "foreign_keys", true)?;
    done
}

fn take_steps(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    for (i, step) in steps().iter().enumerate() {
        let number = i as i64 + 1;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // The version is read again inside the transaction: another process may have been faster.
        if version(&tx, path)? >= number {
            continue;
        }
        tx.execute_batch(step)?;
        if number == FOLDED_ANEW {
            fold_anew(&tx)?;
        }
        let broken = "SELECT count(*) FROM pragma_foreign_key_check";
        let broken: i64 = tx.query_row(broken, [], |row| row.get(0))?;
        if broken > 0 {
            return Err(Error::Invalid(format!(
                "{broken} rows refer to what is not there; the file stays at schema {i}"
            )));
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", number)?;
        tx.commit()?;
        log::info!("database {} brought to schema {number}", path.display());
    }
    Ok(())
}

/// Folds every name again, since what makes two of them the same has changed. A document with
/// nothing but ASCII has the same names as before.
///
/// Where two accounts have the same userName now, the older form of one of them stays: nobody is
/// lost, and the log names them.
fn fold_anew(tx: &Connection) -> Result<(), Error> {
    tx.execute_batch(
        "UPDATE OR IGNORE org SET name_folded = fold(name) WHERE name_folded <> fold(name);
        CREATE TEMP TABLE folded AS SELECT seq, org, document,
                fold(json_extract(document, '$.userName')) AS user_name,
                fold(json_extract(document, '$.displayName')) AS display_name
            FROM resource WHERE document GLOB '*[^' || char(1) || '-~]*';
        UPDATE OR IGNORE resource SET user_name = folded.user_name
            FROM folded WHERE folded.seq = resource.seq
                AND resource.user_name IS NOT folded.user_name;
        UPDATE resource SET display_name = folded.display_name
            FROM folded WHERE folded.seq = resource.seq
                AND resource.display_name IS NOT folded.display_name;
        DELETE FROM email WHERE resource IN (SELECT seq FROM folded);
        INSERT OR IGNORE INTO email (org, value, resource)
            SELECT folded.org, fold(json_extract(entry.value, '$.value')), folded.seq
            FROM folded, json_each(folded.document, '$.emails') AS entry
            WHERE fold(json_extract(entry.value, '$.value')) IS NOT NULL;",
    )?;
    let sql = "SELECT resource.id FROM resource JOIN folded USING (seq)
        WHERE resource.deleted IS NULL AND resource.user_name IS NOT folded.user_name";
    let mut statement = tx.prepare(sql)?;
    let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for id in ids {
        log::warn!(
            "the userName of the account {id} is now the same as another's; both accounts stay, \
             and this one is found by its id alone: give one of them another userName"
        );
    }
    drop(statement);
    tx.execute_batch("DROP TABLE folded")?;
    Ok(())
}

fn version_unknown(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => Error::Foreign(path.to_owned()),
        // SQLite cannot make a log beside the file.
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
            Error::ReadOnly(path.to_owned())
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_numbered_without_a_gap() {
        let numbers = SCHEMA_SQL.lines().filter_map(|it| it.strip_prefix("-- v "));
        let numbers: Vec<usize> = numbers.map(|it| it.trim().parse().unwrap()).collect();
        assert_eq!(numbers, (1..=steps().len()).collect::<Vec<_>>());
        assert!(steps().iter().all(|it| it.contains("CREATE") || it.contains("ALTER")));
    }
}
