//! The one database file: opening it, reading it, writing it. Only this folder knows SQLite.

pub mod checkpoint;
pub mod commits;
pub mod connection;
pub mod copies;
pub mod error;
pub mod migrate;
pub mod query;
pub mod serve_lock;
pub mod tables;
pub mod writer;

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::scim::datetime::Timestamp;
use crate::store::checkpoint::WriteClock;
use crate::store::commits::Commits;
use crate::store::error::Error;
use crate::store::query::long_reads::{LONG_READ_MAX, LongReads, WAIT_MAX};
use crate::store::serve_lock::ServeLock;
use crate::store::writer::Writer;

/// The most connections that read at once; a further reader waits for one.
const READERS_MAX: usize = 8;
/// About how many steps of SQLite lie between two looks at the deadline of a long read: some tenths
/// of a millisecond.
const STEPS_TO_DEADLINE: i32 = 10_000;

/// Who opens the file, and so what may be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// The server: makes the file when there is none, and is alone in serving it.
    Serve,
    /// The server, with another program that replicates the write-ahead log and checkpoints it.
    ServeReplicated,
    /// A command that may make the file.
    Create,
    /// A command that needs a file to be there.
    Existing,
    /// A command that changes nothing, not even the schema of a file of an older plumm.
    Look,
}

/// The database of this program. Safe to share between threads.
pub struct Store {
    path: PathBuf,
    /// Closed before the writer: SQLite folds the log in and removes its files when the last
    /// connection closes, if that one may write.
    readers: Mutex<Readers>,
    reader_returned: Condvar,
    long_reads: LongReads,
    writer: Writer,
    written: WriteClock,
    commits: Commits,
    /// Whether checkpoints are another program's.
    external_checkpoint: bool,
    /// Held for as long as the store is open; the last field, so that it outlives the connections.
    serve_lock: Option<ServeLock>,
}

#[derive(Default)]
struct Readers {
    idle: Vec<Connection>,
    open: usize,
}

/// A consistent view of the database. All queries are methods of it, in the files beside this one.
pub struct Read<'a> {
    connection: &'a Connection,
}

/// A change in the making: it is on disk when [`Store::write`] returns `Ok`, and undone otherwise.
pub struct Write<'a> {
    read: Read<'a>,
    /// The time of the request.
    pub now: Timestamp,
}

impl<'a> Deref for Write<'a> {
    type Target = Read<'a>;

    fn deref(&self) -> &Read<'a> {
        &self.read
    }
}

impl Store {
    /// Opens the file, brings it to the newest schema, and checks that SQLite does what this
    /// program relies on.
    ///
    /// # Errors
    /// Each kind of [`Error`] that says why a file cannot be used; nothing has been changed then.
    pub fn open(path: &Path, open: Open) -> Result<Store, Error> {
        let serve_lock = connection::prepare_file(path, open)?;
        let external_checkpoint = match open {
            Open::Serve => false,
            Open::ServeReplicated => true,
            Open::Create | Open::Existing | Open::Look => {
                serve_lock::is_checkpointed_elsewhere(path)
            }
        };
        let writer = if open == Open::Look {
            connection::open_looker(path, external_checkpoint)?
        } else {
            let mut writer = connection::open_writer(path, external_checkpoint)?;
            // An older server at work knows nothing of newer tables.
            if serve_lock.is_none() && serve_lock::is_served(path) {
                migrate::require_newest(&writer, path)?;
            }
            migrate::migrate(&mut writer, path)?;
            connection::require_writable(&writer, path)?;
            writer
        };
        Ok(Store {
            path: path.to_owned(),
            readers: Mutex::default(),
            reader_returned: Condvar::new(),
            long_reads: LongReads::default(),
            writer: Writer::new(writer),
            written: WriteClock::default(),
            commits: Commits::default(),
            external_checkpoint,
            serve_lock,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells commands what they are to know of the server that runs on this file; nothing where it
    /// was not opened by a server. Only the owner of the file can read it.
    ///
    /// # Errors
    /// Any failure of the disk.
    pub fn note_serving(&self, text: &str) -> Result<(), Error> {
        self.serve_lock.as_ref().map_or(Ok(()), |it| it.note(text))
    }

    /// Runs queries on one consistent view of the database. Never waits for a writer.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store itself.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, E>,
    ) -> Result<T, E> {
        self.reader()?.read(work)
    }

    /// The same for what may look at very many resources: few such reads are at work at once, so
    /// that connections stay free for all others, and each has a deadline.
    ///
    /// # Errors
    /// [`Error::Crowded`] when there are too many of them, [`Error::TooLong`] at the deadline, what
    /// the closure returns, and failures of the store itself.
    pub fn read_long<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = self.long_reads.enter(WAIT_MAX)?;
        self.read_within(LONG_READ_MAX, work)
    }

    fn read_within<T, E: From<Error>>(
        &self,
        time: Duration,
        work: impl FnOnce(&Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut borrowed = self.reader()?;
        borrowed.end_after(time)?;
        borrowed.read(work)
    }

    /// Makes one change: all of it is on disk when this returns `Ok`, none of it otherwise.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store itself.
    pub fn write<T, E: From<Error>>(
        &self,
        now: Timestamp,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let answer = self.writer.write(now, work)?;
        self.written.touch();
        self.commits.add();
        Ok(answer)
    }

    fn reader(&self) -> Result<Borrowed<'_>, Error> {
        let mut readers = lock(&self.readers);
        loop {
            if let Some(connection) = readers.idle.pop() {
                return Ok(Borrowed { store: self, connection: Some(connection), ends: false });
            }
            if readers.open < READERS_MAX {
                readers.open += 1;
                break;
            }
            let woken = self.reader_returned.wait(readers);
            readers = woken.unwrap_or_else(PoisonError::into_inner);
        }
        drop(readers);
        // From here on the place in the pool is given back, whether or not the file opens.
        let mut borrowed = Borrowed { store: self, connection: None, ends: false };
        borrowed.connection = Some(connection::open_reader(&self.path)?);
        Ok(borrowed)
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
        // Without the transaction, the savepoint would be one of its own.
        if self.connection.is_autocommit() {
            return Err(Error::Undone.into());
        }
        run(self.connection, "SAVEPOINT part")?;
        let answer = work(self);
        // SQLite itself has ended the whole change after some errors, such as a full disk.
        if answer.is_err() && self.connection.is_autocommit() {
            return answer;
        }
        if answer.is_err() {
            run(self.connection, "ROLLBACK TO part")?;
        }
        run(self.connection, "RELEASE part")?;
        answer
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.path.display())
    }
}

/// A reading connection on loan from the pool; it returns by itself, also out of a panic.
struct Borrowed<'a> {
    store: &'a Store,
    connection: Option<Connection>,
    /// Whether it has a deadline.
    ends: bool,
}

impl Borrowed<'_> {
    /// From this time on every query ends with [`Error::TooLong`].
    fn end_after(&mut self, time: Duration) -> Result<(), Error> {
        let connection = self.connection.as_mut().ok_or(Error::Busy)?;
        let started = Instant::now();
        let late = move || started.elapsed() >= time;
        connection.progress_handler(STEPS_TO_DEADLINE, Some(late))?;
        self.ends = true;
        Ok(())
    }

    fn read<T, E: From<Error>>(&self, work: impl FnOnce(&Read) -> Result<T, E>) -> Result<T, E> {
        let connection = self.connection.as_ref().ok_or(Error::Busy)?;
        run(connection, "BEGIN")?;
        let answer = work(&Read { connection });
        // Nothing was written, so there is nothing to lose; a failed COMMIT must not keep the
        // transaction open for the next reader.
        let ended = run(connection, "COMMIT").or_else(|_| run(connection, "ROLLBACK"));
        let answer = answer?;
        ended?;
        Ok(answer)
    }

    /// Takes the deadline away; says whether the connection is good for the next reader.
    fn is_clean(&self, connection: &mut Connection) -> bool {
        let endless = !self.ends || connection.progress_handler(0, None::<fn() -> bool>).is_ok();
        endless && (connection.is_autocommit() || run(connection, "ROLLBACK").is_ok())
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let returned = self.connection.take();
        let returned = returned.and_then(|mut it| self.is_clean(&mut it).then_some(it));
        let mut readers = lock(&self.store.readers);
        match returned {
            Some(it) => readers.idle.push(it),
            None => readers.open -= 1,
        }
        drop(readers);
        self.store.reader_returned.notify_one();
    }
}

/// A panic elsewhere does not close the store: what it left half done is rolled back by its guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_read_ends_at_its_deadline_and_leaves_none_behind() {
        let folder = std::env::temp_dir().join(format!("plumm-long-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = Store::open(&folder.join("plumm.db"), Open::Create).unwrap();
        let count = |rows: &str| {
            let sql = format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows})
                 SELECT count(*) FROM n"
            );
            move |tx: &Read| Ok(tx.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?)
        };
        let moment = Duration::from_millis(20);
        // Without an end this one would go on for ever.
        let ended: Result<i64, Error> = store.read_within(moment, count("-1"));
        assert!(matches!(ended, Err(Error::TooLong)), "{ended:?}");
        std::thread::sleep(moment);
        // The same connection, behind the deadline of the first.
        assert_eq!(lock(&store.readers).open, 1);
        let steps = i64::from(STEPS_TO_DEADLINE) * 3;
        let counted: Result<i64, Error> = store.read(count(&steps.to_string()));
        assert_eq!(counted.unwrap(), steps);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<(), Error> = store.read_within(moment, |_| {
                std::panic::resume_unwind(Box::new("no message on stderr"))
            });
        }));
        assert!(panicked.is_err());
        std::thread::sleep(moment);
        let counted: Result<i64, Error> = store.read(count(&steps.to_string()));
        assert_eq!(counted.unwrap(), steps);
        assert_eq!(lock(&store.readers).open, 1);
        let _ = std::fs::remove_dir_all(&folder);
    }

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
        // As after a full disk: there is no savepoint any more to go back to.
        assert!(matches!(insert("ROLLBACK"), Err(Error::Conflict(_))));
        assert!(connection.is_autocommit());
    }
}
