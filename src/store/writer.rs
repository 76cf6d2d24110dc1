//! Group commit: changes that arrive at the same time share one transaction, and so one wait for
//! the disk.
//!
//! Each thread makes its own change on the one writing connection. When other threads wait for the
//! connection, the thread leaves the transaction open: it is a *follower*, and waits until a later
//! thread has committed. When no other thread waits, the thread is the *leader*: it commits the
//! whole *batch*, its own change and those of its followers, and wakes them. So a single writer
//! does what it would do without group commit, and the next batch gathers while one is on its way
//! to the disk.

use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use rusqlite::Connection;

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::mutex::lock;
use crate::store::transaction::{Read, Write, execute};

/// The most changes in one batch. It is more than the server handles requests at once, so that it
/// only bounds how long the first follower waits.
const BATCH_CHANGES_MAX: usize = 256;

/// How often a thread that waits yields to others before it goes to sleep.
const YIELDS_MAX: usize = 100;

/// The writing connection, and the threads that wait for it.
pub struct Writer {
    /// How many threads have asked for the connection and do not have it yet.
    waiting: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    /// The batch that is not committed yet. A transaction is open for as long as there is one.
    batch: Option<Arc<Batch>>,
    /// How many changes the batch has.
    changes: usize,
}

/// Changes that are committed together.
#[derive(Default)]
struct Batch {
    /// How the transaction ended, once it has.
    outcome: Mutex<Option<Result<(), Error>>>,
    ended: Condvar,
}

impl Batch {
    /// Waits until a leader has ended the transaction.
    fn wait(&self) -> Result<(), Error> {
        let outcome = || lock(&self.outcome).as_ref().map(repeated);
        if let Some(outcome) = spin(outcome) {
            return outcome;
        }
        let outcome = lock(&self.outcome);
        let outcome = self.ended.wait_while(outcome, |it| it.is_none());
        outcome.unwrap_or_else(PoisonError::into_inner).as_ref().map_or(Ok(()), repeated)
    }
}

/// Tries `attempt` for as long as a change usually takes, and yields to other threads between two
/// attempts. To sleep and to be woken would take longer than that.
fn spin<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    (0..YIELDS_MAX).find_map(|_| {
        let found = attempt();
        if found.is_none() {
            thread::yield_now();
        }
        found
    })
}

/// The same outcome for one more change of the batch.
fn repeated(outcome: &Result<(), Error>) -> Result<(), Error> {
    outcome.as_ref().copied().map_err(Error::for_follower)
}

impl Writer {
    /// A writer on this connection.
    pub fn new(connection: Connection) -> Writer {
        let state = State { connection, batch: None, changes: 0 };
        Writer { waiting: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// Makes one change and returns when it is on disk, or is undone.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store: then nothing of it is there. A change
    /// that fails does not touch the others of its batch.
    pub fn write<T, E: From<Error>>(
        &self,
        now: Timestamp,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut guard = self.lock();
        guard.begin()?;
        let write = Write { read: Read { connection: &guard.state.connection }, now };
        let answer = work(&write);
        match answer.is_ok() {
            true => guard.join_batch()?,
            false => guard.undo(),
        }
        // A change that was refused waits too: what it was judged by may not be committed yet.
        match guard.finish() {
            Role::Leader(outcome) => outcome?,
            Role::Follower(batch) => batch.wait()?,
        }
        answer
    }

    /// The connection without an open transaction, for what is no change, such as a checkpoint.
    pub fn exclusive(&self) -> ExclusiveConnection<'_> {
        let mut guard = self.lock();
        guard.commit_followers();
        ExclusiveConnection { guard }
    }

    fn lock(&self) -> Guard<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let try_lock = || match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let state = spin(try_lock).unwrap_or_else(|| lock(&self.state));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Guard { writer: self, state, begun: Begun::Nothing }
    }
}

/// The connection while one thread holds it.
struct Guard<'a> {
    writer: &'a Writer,
    state: MutexGuard<'a, State>,
    begun: Begun,
}

/// What this thread has begun in the database and not ended yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    /// The transaction; its change is the first one of a batch.
    Transaction,
    /// A savepoint after the other changes of the batch.
    Savepoint,
}

/// What a thread is to its batch.
enum Role {
    /// It has ended the transaction, with this outcome for the whole batch.
    Leader(Result<(), Error>),
    /// A later thread will end the transaction.
    Follower(Arc<Batch>),
}

impl Guard<'_> {
    fn begin(&mut self) -> Result<(), Error> {
        match self.state.batch {
            None => execute(&self.state.connection, "BEGIN IMMEDIATE")?,
            Some(_) => execute(&self.state.connection, "SAVEPOINT change")?,
        }
        self.begun = match self.state.batch {
            None => Begun::Transaction,
            Some(_) => Begun::Savepoint,
        };
        Ok(())
    }

    /// Adds this thread's change to the batch.
    fn join_batch(&mut self) -> Result<(), Error> {
        // SQLite has ended the whole transaction, and the change has ignored the error.
        if self.state.connection.is_autocommit() {
            return Err(Error::Undone);
        }
        if self.begun == Begun::Savepoint {
            execute(&self.state.connection, "RELEASE change")?;
        }
        self.begun = Begun::Nothing;
        self.state.batch.get_or_insert_default();
        self.state.changes += 1;
        Ok(())
    }

    /// Undoes this thread's change, where there is one.
    fn undo(&mut self) {
        let begun = mem::replace(&mut self.begun, Begun::Nothing);
        // SQLite itself ends the whole transaction after some errors, such as a full disk.
        if self.state.connection.is_autocommit() {
            let _ = self.end_batch(Err(Error::Undone));
            return;
        }
        let undone = match begun {
            Begun::Nothing => Ok(()),
            Begun::Transaction => execute(&self.state.connection, "ROLLBACK"),
            Begun::Savepoint => execute(&self.state.connection, "ROLLBACK TO change")
                .and_then(|()| execute(&self.state.connection, "RELEASE change")),
        };
        if let Err(error) = undone {
            // A change that cannot be undone alone must not be committed with the others.
            log::error!("a change could not be rolled back: {error}");
            let _ = self.roll_back(Error::Undone);
        }
    }

    /// Commits the batch as its leader, unless a waiting thread will.
    fn finish(mut self) -> Role {
        match &self.state.batch {
            None => Role::Leader(Ok(())),
            Some(batch) if self.is_follower() => Role::Follower(Arc::clone(batch)),
            Some(_) => Role::Leader(self.commit()),
        }
    }

    /// Whether a later thread will commit the batch.
    fn is_follower(&self) -> bool {
        // A thread that is counted here gets the connection after this one, which still holds it.
        self.writer.waiting.load(Ordering::SeqCst) > 0 && self.state.changes < BATCH_CHANGES_MAX
    }

    /// Commits the batch, and tells its followers.
    fn commit(&mut self) -> Result<(), Error> {
        if self.state.batch.is_none() {
            return Ok(());
        }
        match execute(&self.state.connection, "COMMIT") {
            Ok(()) => self.end_batch(Ok(())),
            Err(error) => self.roll_back(error),
        }
    }

    /// The same for a thread that has no change in the batch: only its followers need the outcome.
    fn commit_followers(&mut self) {
        let _ = self.commit();
    }

    fn roll_back(&mut self, reason: Error) -> Result<(), Error> {
        if !self.state.connection.is_autocommit()
            && let Err(error) = execute(&self.state.connection, "ROLLBACK")
        {
            log::error!("changes could not be rolled back: {error}");
        }
        if let Err(error) = self.overwrite_failed_commit() {
            log::error!("what was refused may come back if the program is killed now: {error}");
        }
        self.end_batch(Err(reason))
    }

    /// Makes sure that a refused batch stays refused. A commit whose last step failed has left its
    /// pages in the write-ahead log, whole and marked as committed; only this process knows that
    /// they are not. The next commit overwrites them, so this makes one that changes nothing.
    fn overwrite_failed_commit(&self) -> Result<(), Error> {
        let connection = &self.state.connection;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // SQLite writes the page of the value although the value stays the same.
        let sql = format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT");
        let overwritten = connection.execute_batch(&sql);
        if overwritten.is_err() && !connection.is_autocommit() {
            execute(connection, "ROLLBACK")?;
        }
        Ok(overwritten?)
    }

    /// Gives the followers this outcome, and returns it for the leader.
    fn end_batch(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        self.state.changes = 0;
        if let Some(batch) = self.state.batch.take() {
            *lock(&batch.outcome) = Some(repeated(&outcome));
            batch.ended.notify_all();
        }
        outcome
    }
}

impl Drop for Guard<'_> {
    /// After a panic, or an error of the store, this undoes the change that is half done, and
    /// commits the batch of the followers unless a waiting thread will.
    fn drop(&mut self) {
        self.undo();
        if !self.is_follower() {
            self.commit_followers();
        }
    }
}

/// The writing connection without an open transaction; other threads wait until it is dropped.
pub struct ExclusiveConnection<'a> {
    guard: Guard<'a>,
}

impl Deref for ExclusiveConnection<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.guard.state.connection
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{self, AssertUnwindSafe};
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::*;

    /// A writer in a file of its own, and a second connection that sees what is committed.
    struct Harness {
        writer: Writer,
        path: std::path::PathBuf,
    }

    impl Harness {
        fn new() -> Harness {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let name = format!(
                "plumm-writer-{}-{}.db",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let path = std::env::temp_dir().join(name);
            let connection = Connection::open(&path).unwrap();
            connection
                .execute_batch(
                    "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;
                     CREATE TABLE t (x INTEGER PRIMARY KEY);
                     CREATE TABLE u (x REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED)",
                )
                .unwrap();
            Harness { writer: Writer::new(connection), path }
        }

        fn committed(&self) -> Vec<i64> {
            let connection = Connection::open(&self.path).unwrap();
            let mut rows = connection.prepare("SELECT x FROM t ORDER BY x").unwrap();
            rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        }

        /// Adds a number, and holds the connection until this many other threads wait for it.
        fn add(&self, x: i64, others: usize) -> Result<Vec<i64>, Error> {
            self.with(others, |tx| {
                tx.connection.execute("INSERT INTO t VALUES (?)", [x])?;
                Ok(self.committed())
            })
        }

        /// Waits until a thread holds the connection.
        fn wait_until_held(&self) {
            while self.writer.state.try_lock().is_ok() {
                thread::yield_now();
            }
        }

        fn with<T>(
            &self,
            others: usize,
            work: impl FnOnce(&Write) -> Result<T, Error>,
        ) -> Result<T, Error> {
            self.writer.write(Timestamp::from_nanoseconds(1), |tx| {
                let answer = work(tx);
                while self.writer.waiting.load(Ordering::SeqCst) < others {
                    thread::yield_now();
                }
                answer
            })
        }
    }

    impl Drop for Harness {
        fn drop(&mut self) {
            for ending in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{ending}", self.path.display()));
            }
        }
    }

    #[test]
    fn changes_that_arrive_together_are_committed_together() {
        let harness = Harness::new();
        assert!(harness.add(1, 0).unwrap().is_empty());
        assert_eq!(harness.committed(), [1]);
        thread::scope(|scope| {
            let first = scope.spawn(|| harness.add(2, 2));
            harness.wait_until_held();
            // Nothing of the batch is visible to other connections until its leader commits.
            let others = [3, 4].map(|x| {
                let harness = &harness;
                scope.spawn(move || harness.add(x, 0))
            });
            for change in others.into_iter().chain([first]) {
                assert_eq!(change.join().unwrap().unwrap(), [1]);
            }
        });
        assert_eq!(harness.committed(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_change_that_fails_or_panics_leaves_the_others_alone() {
        let harness = Harness::new();
        thread::scope(|scope| {
            let first = scope.spawn(|| harness.add(1, 3));
            harness.wait_until_held();
            let fails = scope.spawn(|| {
                harness.with(0, |tx| {
                    tx.connection.execute("INSERT INTO t VALUES (7)", [])?;
                    tx.connection.execute("INSERT INTO t VALUES (7)", [])?;
                    Ok(())
                })
            });
            let panics = scope.spawn(|| {
                let change = || {
                    harness.with(0, |tx| {
                        tx.connection.execute("INSERT INTO t VALUES (8)", [])?;
                        panic::resume_unwind(Box::new("no message on stderr"));
                        #[allow(unreachable_code, reason = "says what it would return")]
                        Ok(())
                    })
                };
                panic::catch_unwind(AssertUnwindSafe(change)).is_err()
            });
            let last = scope.spawn(|| harness.add(2, 0));
            assert!(first.join().unwrap().is_ok());
            assert!(fails.join().unwrap().is_err());
            assert!(panics.join().unwrap());
            assert!(last.join().unwrap().is_ok());
        });
        assert_eq!(harness.committed(), [1, 2]);
        assert!(harness.add(3, 0).is_ok());
        assert_eq!(harness.committed(), [1, 2, 3]);
    }

    #[test]
    fn a_commit_that_fails_refuses_the_whole_batch_and_the_next_one_succeeds() {
        let harness = Harness::new();
        let dangling = |tx: &Write| {
            tx.connection.execute("INSERT INTO u VALUES (99)", [])?;
            Ok(())
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| harness.with(1, dangling));
            harness.wait_until_held();
            let second = scope.spawn(|| harness.add(1, 0));
            assert!(matches!(first.join().unwrap(), Err(Error::Internal(_))));
            assert!(matches!(second.join().unwrap(), Err(Error::Internal(_))));
        });
        assert!(harness.committed().is_empty());
        assert!(harness.add(1, 0).is_ok());
        assert_eq!(harness.committed(), [1]);
    }

    #[test]
    fn a_transaction_that_sqlite_has_ended_refuses_the_whole_batch() {
        let harness = Harness::new();
        let end = |tx: &Write| {
            tx.connection.execute("INSERT INTO t VALUES (5)", [])?;
            // As after a full disk.
            tx.connection.execute("INSERT OR ROLLBACK INTO t VALUES (5)", [])?;
            Ok(())
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| harness.add(1, 1));
            harness.wait_until_held();
            let second = scope.spawn(|| harness.with(0, end));
            assert!(matches!(first.join().unwrap(), Err(Error::Undone)));
            assert!(second.join().unwrap().is_err());
        });
        // A change that ignores the error must not be told that it was made.
        let ignored = harness.with(0, |tx| {
            assert!(end(tx).is_err());
            assert!(matches!(tx.savepoint(|_| Ok::<_, Error>(())), Err(Error::Undone)));
            Ok(())
        });
        assert!(matches!(ignored, Err(Error::Undone)));
        assert!(harness.committed().is_empty());
        assert!(harness.add(1, 0).is_ok());
    }

    #[test]
    fn the_exclusive_connection_has_no_open_transaction() {
        let harness = Harness::new();
        thread::scope(|scope| {
            let change = scope.spawn(|| harness.add(1, 1));
            harness.wait_until_held();
            assert!(harness.writer.exclusive().is_autocommit());
            assert!(change.join().unwrap().is_ok());
        });
        assert_eq!(harness.committed(), [1]);
    }
}
