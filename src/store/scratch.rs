//! Names that were seen, on disk and not in memory: a file that SQLite makes without a name, and
//! that is gone when this is dropped.

use std::fmt;

use rusqlite::{Connection, params};

use crate::store::error::Error;

/// Names, each with the number it was first seen with.
pub struct Scratch {
    connection: Connection,
}

impl Scratch {
    /// None seen yet.
    ///
    /// # Errors
    /// When the folder for temporary files cannot be written.
    pub fn new() -> Result<Scratch, Error> {
        // The empty name stands for a database of this connection alone. Nothing of it is to
        // outlive the process, so nothing is synced or rolled back.
        let connection = Connection::open("")?;
        connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;
            CREATE TABLE seen (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
            BEGIN",
        )?;
        Ok(Scratch { connection })
    }

    /// The number that this name was first seen with, which is this one if it is new.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn first(&self, name: &str, number: u64) -> Result<u64, Error> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let sql = "INSERT OR IGNORE INTO seen (name, number) VALUES (?, ?)";
        if self.connection.prepare_cached(sql)?.execute(params![name, number])? > 0 {
            return Ok(number.unsigned_abs());
        }
        let sql = "SELECT number FROM seen WHERE name = ?";
        let first: i64 =
            self.connection.prepare_cached(sql)?.query_row([name], |row| row.get(0))?;
        Ok(first.unsigned_abs())
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_the_number_it_was_first_seen_with() {
        let scratch = Scratch::new().unwrap();
        for (name, number, first) in
            [("a", 1, 1), ("b", 2, 2), ("a", 3, 1), ("", 4, 4), ("b", 5, 2)]
        {
            assert_eq!(scratch.first(name, number).unwrap(), first);
        }
    }
}
