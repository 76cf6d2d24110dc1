//! The credentials that were read on one connection, for as long as the database is as it was then.
//!
//! Whether it still is, SQLite says at the cost of a look at the head of the write-ahead log
//! (`PRAGMA data_version`), also of what another process has committed. So a revocation counts at
//! the next request, whoever made it.

use std::sync::Arc;

use rusqlite::Connection;

use crate::store::error::Error;
use crate::store::tables::token::Credential;
use crate::store::transaction::Read;

/// The most credentials that one connection remembers; there are not as many in use.
const REMEMBERED_MAX: usize = 32;

/// What one connection remembers.
#[derive(Default)]
pub struct Credentials {
    /// What SQLite said of the database when they were read.
    version: i64,
    /// How many changes this process had committed then.
    commits: u64,
    known: Vec<Known>,
}

struct Known {
    token: String,
    /// Whether the number of the last change was asked for too.
    with_change: bool,
    credential: Arc<Credential>,
}

impl Credentials {
    /// The credential of a token, in the view that is open on this connection. `commits` is how
    /// many changes this process had committed when it began, or before: where they have become
    /// more since the last time, the database is not the same, and SQLite need not be asked.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn find(
        &mut self,
        connection: &Connection,
        commits: u64,
        token: &str,
        with_change: bool,
    ) -> Result<Option<Arc<Credential>>, Error> {
        let read = Read { connection };
        if self.commits != commits {
            self.commits = commits;
            self.known.clear();
            // Where one change follows the other, nothing would be remembered for long enough.
            return Ok(read.credential(token, with_change)?.map(Arc::new));
        }
        let version = version(connection)?;
        if self.version != version {
            self.version = version;
            self.known.clear();
        }
        let is_asked = |it: &&Known| it.token == token && it.with_change == with_change;
        if let Some(known) = self.known.iter().find(is_asked) {
            return Ok(Some(Arc::clone(&known.credential)));
        }
        let Some(credential) = read.credential(token, with_change)?.map(Arc::new) else {
            return Ok(None);
        };
        if self.known.len() == REMEMBERED_MAX {
            self.known.clear();
        }
        let token = token.to_owned();
        self.known.push(Known { token, with_change, credential: Arc::clone(&credential) });
        Ok(Some(credential))
    }

    /// Forgets everything: the connection itself may have changed what credentials are made of, of
    /// which SQLite does not tell it.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

/// A number that is another one when another connection has changed the database since.
fn version(connection: &Connection) -> Result<i64, Error> {
    let mut statement = connection.prepare_cached("PRAGMA data_version")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}
