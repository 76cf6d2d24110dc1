//! Transactions as the rest of the program sees them: `Read` and `Write`.

use std::ops::Deref;

use rusqlite::Connection;

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;

/// A consistent view of the database. All queries are methods of it, in `tables/` and `query/`.
pub struct Read<'a> {
    pub(super) connection: &'a Connection,
}

/// A change in the making: it is on disk when `Store::write` returns `Ok`, and undone otherwise.
pub struct Write<'a> {
    pub(super) read: Read<'a>,
    /// The time of the request.
    pub now: Timestamp,
}

impl<'a> Deref for Write<'a> {
    type Target = Read<'a>;

    fn deref(&self) -> &Read<'a> {
        &self.read
    }
}

impl Write<'_> {
    /// Makes one change within this one: undone alone when it fails.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store itself.
    pub fn savepoint<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        // Outside a transaction, SQLite would make the savepoint a transaction of its own.
        if self.connection.is_autocommit() {
            return Err(Error::Undone.into());
        }
        execute(self.connection, "SAVEPOINT part")?;
        let answer = work(self);
        // SQLite itself ends the whole transaction after some errors, such as a full disk.
        if answer.is_err() && self.connection.is_autocommit() {
            return answer;
        }
        if answer.is_err() {
            execute(self.connection, "ROLLBACK TO part")?;
        }
        execute(self.connection, "RELEASE part")?;
        answer
    }
}

/// Executes a statement without parameters and rows, such as `BEGIN`.
pub(super) fn execute(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_sqlite_has_ended_fails_for_its_own_reason() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1); BEGIN")
            .unwrap();
        let now = Timestamp::parse("2026-01-31T08:00:00Z").unwrap();
        let tx = Write { read: Read { connection: &connection }, now };
        let insert = |how: &str| {
            let sql = format!("INSERT OR {how} INTO t VALUES (1)");
            tx.savepoint(|tx| tx.connection.execute(&sql, []).map_err(Error::from))
        };
        assert!(matches!(insert("ABORT"), Err(Error::Conflict(_))));
        assert!(!connection.is_autocommit());
        // As after a full disk: the savepoint to go back to no longer exists.
        assert!(matches!(insert("ROLLBACK"), Err(Error::Conflict(_))));
        assert!(connection.is_autocommit());
    }
}
