//! The pool of reading connections: each is lent to one thread at a time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::connection;
use crate::store::credentials::Credentials;
use crate::store::error::Error;
use crate::store::mutex::lock;
use crate::store::transaction::{Read, execute};

/// The most connections that read at once; a further reader waits for one.
pub(super) const READERS_MAX: usize = 8;
/// The most of them that lists, and resources with their members, are read with at once: the others
/// stay for tokens and logins.
pub(super) const SHARED_READERS_MAX: usize = READERS_MAX - 2;
/// How many steps of SQLite lie between two checks of a deadline: some tenths of a millisecond.
const STEPS_PER_DEADLINE_CHECK: i32 = 10_000;

/// The pool. Connections are opened when they are first needed, and then kept.
pub struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
    /// How many changes this process has committed. What only others commit is not counted.
    commits: AtomicU64,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Reader>,
    /// How many connections there are, idle ones and borrowed ones.
    open: usize,
    /// How many of them are borrowed by what may take a while.
    shared: usize,
    /// How many threads wait for one.
    waiting: usize,
}

/// A reading connection, and the credentials that were read on it.
struct Reader {
    connection: Connection,
    credentials: Credentials,
}

/// What a connection is borrowed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A row or two: a token, a login.
    Quick,
    /// What may take a while.
    Shared,
}

impl Readers {
    /// An empty pool for the database at this path.
    pub fn new(path: &Path) -> Readers {
        Readers {
            path: path.to_owned(),
            pool: Mutex::default(),
            returned: Condvar::new(),
            commits: AtomicU64::new(0),
        }
    }

    /// Runs queries on one consistent view of the database.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store itself.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, E>,
    ) -> Result<T, E> {
        self.borrow(Purpose::Quick)?.read(work)
    }

    /// Borrows a connection and begins a view. For the time being it is for a row or two also where
    /// all connections are lent that are lent for more.
    ///
    /// # Errors
    /// Failures of the store.
    pub(super) fn begin(&self, purpose: Purpose) -> Result<Borrowed<'_>, Error> {
        let borrowed = self.borrow_or(purpose, Purpose::Quick)?;
        borrowed.begin()?;
        Ok(borrowed)
    }

    /// The same for what may take a while: it waits for a connection that is lent for that.
    ///
    /// # Errors
    /// Failures of the store.
    pub(super) fn begin_shared(&self) -> Result<Borrowed<'_>, Error> {
        let borrowed = self.borrow(Purpose::Shared)?;
        borrowed.begin()?;
        Ok(borrowed)
    }

    /// How many connections are lent for what may take a while, how many threads wait for one, and
    /// how many are lent at all.
    #[cfg(test)]
    pub(super) fn lent(&self) -> (usize, usize, usize) {
        let pool = lock(&self.pool);
        (pool.shared, pool.waiting, pool.open - pool.idle.len())
    }

    /// Notes that this process has committed a change.
    pub fn note_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// The same with a deadline, counted from the moment the connection is borrowed.
    ///
    /// # Errors
    /// [`Error::TooLong`] at the deadline, what the closure returns, and failures of the store
    /// itself.
    pub fn read_within<T, E: From<Error>>(
        &self,
        time: Duration,
        work: impl FnOnce(&Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut borrowed = self.borrow(Purpose::Shared)?;
        borrowed.set_deadline(time)?;
        borrowed.read(work)
    }

    fn borrow(&self, purpose: Purpose) -> Result<Borrowed<'_>, Error> {
        self.borrow_or(purpose, purpose)
    }

    /// Borrows a connection for this purpose, or, where that is a wait, for the other one.
    fn borrow_or(&self, purpose: Purpose, other: Purpose) -> Result<Borrowed<'_>, Error> {
        let mut pool = lock(&self.pool);
        let purpose = if pool.lends(purpose) { purpose } else { other };
        while !pool.lends(purpose) {
            pool.waiting += 1;
            let woken = self.returned.wait(pool);
            pool = woken.unwrap_or_else(PoisonError::into_inner);
            pool.waiting -= 1;
        }
        let reader = pool.idle.pop();
        pool.open += usize::from(reader.is_none());
        pool.shared += usize::from(purpose == Purpose::Shared);
        drop(pool);
        // From here on, dropping `borrowed` gives the place in the pool back, whether or not the
        // file opens.
        let mut borrowed = Borrowed { readers: self, purpose, reader, has_deadline: false };
        if borrowed.reader.is_none() {
            let connection = connection::open_reader(&self.path)?;
            borrowed.reader = Some(Reader { connection, credentials: Credentials::default() });
        }
        Ok(borrowed)
    }
}

impl Pool {
    /// Whether there is a connection for this purpose, or room for one.
    fn lends(&self, purpose: Purpose) -> bool {
        (purpose == Purpose::Quick || self.shared < SHARED_READERS_MAX)
            && (!self.idle.is_empty() || self.open < READERS_MAX)
    }
}

/// A connection on loan from the pool. It is given back when this is dropped, also by a panic.
pub(super) struct Borrowed<'a> {
    readers: &'a Readers,
    purpose: Purpose,
    reader: Option<Reader>,
    has_deadline: bool,
}

impl<'a> Borrowed<'a> {
    /// What it was borrowed for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The pool.
    pub fn readers(&self) -> &'a Readers {
        self.readers
    }

    /// The credentials that were read on this connection, and how many changes this process had
    /// committed a moment ago.
    pub fn credentials(&mut self) -> Result<(&Connection, &mut Credentials, u64), Error> {
        let commits = self.readers.commits.load(Ordering::Relaxed);
        let reader = self.reader.as_mut().ok_or(Error::Busy)?;
        Ok((&reader.connection, &mut reader.credentials, commits))
    }

    /// The connection.
    pub fn connection(&self) -> Result<&Connection, Error> {
        Ok(&self.reader.as_ref().ok_or(Error::Busy)?.connection)
    }

    /// Makes every query end with [`Error::TooLong`] once this much time has passed.
    fn set_deadline(&mut self, time: Duration) -> Result<(), Error> {
        let started = Instant::now();
        let is_over = move || started.elapsed() >= time;
        let connection = &mut self.reader.as_mut().ok_or(Error::Busy)?.connection;
        connection.progress_handler(STEPS_PER_DEADLINE_CHECK, Some(is_over))?;
        self.has_deadline = true;
        Ok(())
    }

    fn read<T, E: From<Error>>(&self, work: impl FnOnce(&Read) -> Result<T, E>) -> Result<T, E> {
        self.begin()?;
        work(&Read { connection: self.connection()? })
    }

    fn begin(&self) -> Result<(), Error> {
        execute(self.connection()?, "BEGIN")
    }

    /// Removes the deadline and ends the transaction; says whether the next reader can use the
    /// connection.
    fn reset(&self, connection: &mut Connection) -> bool {
        let without_deadline =
            !self.has_deadline || connection.progress_handler(0, None::<fn() -> bool>).is_ok();
        // Nothing was written, so nothing can be lost; but a COMMIT that fails must not leave the
        // transaction open for the next reader.
        let end = || execute(connection, "COMMIT").or_else(|_| execute(connection, "ROLLBACK"));
        without_deadline && (connection.is_autocommit() || end().is_ok())
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let reader = self.reader.take();
        let reader = reader.and_then(|mut it| self.reset(&mut it.connection).then_some(it));
        let mut pool = lock(&self.readers.pool);
        match reader {
            Some(it) => pool.idle.push(it),
            None => pool.open -= 1,
        }
        pool.shared -= usize::from(self.purpose == Purpose::Shared);
        let awaited = pool.waiting > 0;
        drop(pool);
        // All of them: one that may not have this connection would keep it from one that may.
        if awaited {
            self.readers.returned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_read_ends_at_its_deadline_and_leaves_none_behind() {
        let folder = std::env::temp_dir().join(format!("plumm-long-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("plumm.db");
        std::fs::File::create(&path).unwrap();
        let _writer = connection::open_writer(&path, false).unwrap();
        let readers = Readers::new(&path);
        let count = |rows: &str| {
            let sql = format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows})
                 SELECT count(*) FROM n"
            );
            move |tx: &Read| Ok(tx.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?)
        };
        let moment = Duration::from_millis(20);
        // Without a deadline this query would never end.
        let ended: Result<i64, Error> = readers.read_within(moment, count("-1"));
        assert!(matches!(ended, Err(Error::TooLong)), "{ended:?}");
        std::thread::sleep(moment);
        // The same connection is used again, after the deadline of the first query.
        assert_eq!(lock(&readers.pool).open, 1);
        let steps = i64::from(STEPS_PER_DEADLINE_CHECK) * 3;
        let counted: Result<i64, Error> = readers.read(count(&steps.to_string()));
        assert_eq!(counted.unwrap(), steps);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<(), Error> = readers.read_within(moment, |_| {
                std::panic::resume_unwind(Box::new("no message on stderr"))
            });
        }));
        assert!(panicked.is_err());
        std::thread::sleep(moment);
        let counted: Result<i64, Error> = readers.read(count(&steps.to_string()));
        assert_eq!(counted.unwrap(), steps);
        assert_eq!(lock(&readers.pool).open, 1);
        let _ = std::fs::remove_dir_all(&folder);
    }
}
