//! The pool of reading connections: each is lent to one thread at a time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::connection;
use crate::store::error::Error;
use crate::store::mutex::lock;
use crate::store::transaction::{Read, execute};

/// The most connections that read at once; a further reader waits for one.
const READERS_MAX: usize = 8;
/// The most of them that lists, and resources with their members, are read with at once: the others
/// stay for tokens and logins.
const SHARED_READERS_MAX: usize = READERS_MAX - 2;
/// How many steps of SQLite lie between two checks of a deadline: some tenths of a millisecond.
const STEPS_PER_DEADLINE_CHECK: i32 = 10_000;

/// The pool. Connections are opened when they are first needed, and then kept.
pub struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// How many connections there are, idle ones and borrowed ones.
    open: usize,
    /// How many of them are borrowed by what may take a while.
    shared: usize,
    /// How many threads wait for one.
    waiting: usize,
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
        Readers { path: path.to_owned(), pool: Mutex::default(), returned: Condvar::new() }
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

    /// Opens a view for the steps of one request. For the time being it is for a row or two also
    /// where all connections are lent that are lent for more: [`OpenRead::shared`] waits for one.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn open(&self, purpose: Purpose) -> Result<OpenRead<'_>, Error> {
        let borrowed = self.borrow_or(purpose, Purpose::Quick)?;
        borrowed.begin()?;
        Ok(OpenRead { borrowed })
    }

    /// Opens a view for what may take a while: some connections are never lent for that.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn open_shared(&self) -> Result<OpenRead<'_>, Error> {
        let borrowed = self.borrow(Purpose::Shared)?;
        borrowed.begin()?;
        Ok(OpenRead { borrowed })
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
        let connection = pool.idle.pop();
        pool.open += usize::from(connection.is_none());
        pool.shared += usize::from(purpose == Purpose::Shared);
        drop(pool);
        // From here on, dropping `borrowed` gives the place in the pool back, whether or not the
        // file opens.
        let mut borrowed = Borrowed { readers: self, purpose, connection, has_deadline: false };
        if borrowed.connection.is_none() {
            borrowed.connection = Some(connection::open_reader(&self.path)?);
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

/// One consistent view of the database for several steps of a request. It holds a connection, so it
/// is dropped before anything is waited for: memory, a permit, a writer, a client.
pub struct OpenRead<'a> {
    borrowed: Borrowed<'a>,
}

impl fmt::Debug for OpenRead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenRead({:?})", self.borrowed.purpose)
    }
}

impl<'a> OpenRead<'a> {
    /// The view.
    ///
    /// # Errors
    /// None in a view that [`Readers::open`] has opened.
    pub fn view(&self) -> Result<Read<'_>, Error> {
        Ok(Read { connection: self.borrowed.connection()? })
    }

    /// Whether [`OpenRead::shared`] is this view.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.borrowed.purpose == Purpose::Shared
    }

    /// The same view, or a new one, for what may take a while.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn shared(self) -> Result<OpenRead<'a>, Error> {
        if self.is_shared() {
            return Ok(self);
        }
        let readers = self.borrowed.readers;
        // Before the wait, in which it would be missing to others.
        drop(self);
        readers.open_shared()
    }
}

/// A connection on loan from the pool. It is given back when this is dropped, also by a panic.
struct Borrowed<'a> {
    readers: &'a Readers,
    purpose: Purpose,
    connection: Option<Connection>,
    has_deadline: bool,
}

impl Borrowed<'_> {
    /// Makes every query end with [`Error::TooLong`] once this much time has passed.
    fn set_deadline(&mut self, time: Duration) -> Result<(), Error> {
        let connection = self.connection.as_mut().ok_or(Error::Busy)?;
        let started = Instant::now();
        let is_over = move || started.elapsed() >= time;
        connection.progress_handler(STEPS_PER_DEADLINE_CHECK, Some(is_over))?;
        self.has_deadline = true;
        Ok(())
    }

    fn read<T, E: From<Error>>(&self, work: impl FnOnce(&Read) -> Result<T, E>) -> Result<T, E> {
        self.begin()?;
        work(&Read { connection: self.connection()? })
    }

    fn connection(&self) -> Result<&Connection, Error> {
        self.connection.as_ref().ok_or(Error::Busy)
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
        let connection = self.connection.take();
        let connection = connection.and_then(|mut it| self.reset(&mut it).then_some(it));
        let mut pool = lock(&self.readers.pool);
        match connection {
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
    fn a_view_for_a_token_never_waits_and_gives_way_before_it_does() {
        let folder = std::env::temp_dir().join(format!("plumm-views-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("plumm.db");
        std::fs::File::create(&path).unwrap();
        let _writer = connection::open_writer(&path, false).unwrap();
        let readers = Readers::new(&path);
        let mut shared: Vec<_> =
            (0..SHARED_READERS_MAX).map(|_| readers.open(Purpose::Shared).unwrap()).collect();
        assert!(shared.iter().all(|it| it.borrowed.purpose == Purpose::Shared));
        let token = readers.open(Purpose::Shared).unwrap();
        assert_eq!(token.borrowed.purpose, Purpose::Quick);
        std::thread::scope(|scope| {
            let waits = scope.spawn(move || token.shared().unwrap().borrowed.purpose);
            while lock(&readers.pool).waiting == 0 {
                std::thread::yield_now();
            }
            // Its connection is back while it waits for one of the others.
            let free = READERS_MAX - SHARED_READERS_MAX;
            let quick: Vec<_> = (0..free).map(|_| readers.open(Purpose::Quick).unwrap()).collect();
            assert!(!waits.is_finished());
            shared.pop();
            assert_eq!(waits.join().unwrap(), Purpose::Shared);
            drop(quick);
        });
        drop(shared);
        let pool = lock(&readers.pool);
        assert_eq!((pool.shared, pool.waiting, pool.idle.len()), (0, 0, pool.open));
        let _ = std::fs::remove_dir_all(&folder);
    }

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
