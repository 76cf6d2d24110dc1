//! Group commit: changes that come at the same time share one transaction, and so one wait for the
//! disk.
//!
//! Each thread makes its own change on the one writing connection. Who finds that others are
//! waiting for the connection leaves the transaction open for them, and waits; who finds nobody
//! commits, and tells the others. So a single writer does what it would do without any of this,
//! and while one group is on its way to the disk the next one gathers.

use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use rusqlite::Connection;

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::{Read, Write, lock, run};

/// The most changes in one transaction. More than can be at work at once, so that it only bounds
/// how long the first of a group waits.
const CHANGES_MAX: usize = 256;

/// How often a thread that waits lets others run before it goes to sleep.
const YIELDS: usize = 100;

/// The writing connection, and who waits for it.
pub struct Writer {
    /// Threads that have come for the connection and do not have it yet.
    coming: AtomicUsize,
    desk: Mutex<Desk>,
}

struct Desk {
    connection: Connection,
    /// The changes that were made and not committed yet: the transaction is open as long as there
    /// are any.
    group: Option<Arc<Group>>,
    changes: usize,
}

/// Changes that are committed together.
#[derive(Default)]
struct Group {
    verdict: Mutex<Option<Result<(), Error>>>,
    given: Condvar,
}

impl Group {
    fn wait(&self) -> Result<(), Error> {
        let decided = || lock(&self.verdict).as_ref().map(again);
        if let Some(verdict) = awaited(decided) {
            return verdict;
        }
        let verdict = lock(&self.verdict);
        let verdict = self.given.wait_while(verdict, |it| it.is_none());
        verdict.unwrap_or_else(PoisonError::into_inner).as_ref().map_or(Ok(()), again)
    }
}

/// Waits for something for as long as a change usually takes, letting others run meanwhile. To
/// sleep, and to be woken, would take longer than that.
fn awaited<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    (0..YIELDS).find_map(|_| {
        let found = look();
        if found.is_none() {
            thread::yield_now();
        }
        found
    })
}

/// The same verdict for another one of the group.
fn again(verdict: &Result<(), Error>) -> Result<(), Error> {
    verdict.as_ref().copied().map_err(Error::again)
}

impl Writer {
    /// A writer on this connection.
    pub fn new(connection: Connection) -> Writer {
        let desk = Desk { connection, group: None, changes: 0 };
        Writer { coming: AtomicUsize::new(0), desk: Mutex::new(desk) }
    }

    /// Makes one change and returns when it is on disk, or is undone.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store: then nothing of it is there. A change
    /// that fails leaves the others of its group alone.
    pub fn write<T, E: From<Error>>(
        &self,
        now: Timestamp,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut turn = self.turn();
        turn.begin()?;
        let write = Write { read: Read { connection: &turn.desk.connection }, now };
        let answer = work(&write);
        match answer.is_ok() {
            true => turn.keep()?,
            false => turn.undo(),
        }
        // A refusal too waits for what it was judged by.
        match turn.close() {
            Closed::Decided(verdict) => verdict?,
            Closed::Left(group) => group.wait()?,
        }
        answer
    }

    /// The connection for something that is no change, such as a checkpoint; nothing is open on it.
    pub fn alone(&self) -> Alone<'_> {
        let mut turn = self.turn();
        turn.commit_for_others();
        Alone { turn }
    }

    fn turn(&self) -> Turn<'_> {
        self.coming.fetch_add(1, Ordering::SeqCst);
        let free = || match self.desk.try_lock() {
            Ok(desk) => Some(desk),
            Err(TryLockError::Poisoned(desk)) => Some(desk.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let desk = awaited(free).unwrap_or_else(|| lock(&self.desk));
        self.coming.fetch_sub(1, Ordering::SeqCst);
        Turn { writer: self, desk, part: Part::Nothing }
    }
}

/// The connection in the hands of one thread.
struct Turn<'a> {
    writer: &'a Writer,
    desk: MutexGuard<'a, Desk>,
    part: Part,
}

/// What of the transaction is this thread's and not yet ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    /// All of it.
    Whole,
    /// A savepoint after the changes of others.
    Savepoint,
}

/// How a turn went out.
enum Closed {
    /// The transaction has ended, with this verdict on all that was in it.
    Decided(Result<(), Error>),
    /// Somebody else will end it.
    Left(Arc<Group>),
}

impl Turn<'_> {
    fn begin(&mut self) -> Result<(), Error> {
        match self.desk.group {
            None => run(&self.desk.connection, "BEGIN IMMEDIATE")?,
            Some(_) => run(&self.desk.connection, "SAVEPOINT change")?,
        }
        self.part = if self.desk.group.is_none() { Part::Whole } else { Part::Savepoint };
        Ok(())
    }

    /// Adds this thread's change to the group.
    fn keep(&mut self) -> Result<(), Error> {
        // SQLite has ended the whole transaction, and the change did not notice.
        if self.desk.connection.is_autocommit() {
            return Err(Error::Undone);
        }
        if self.part == Part::Savepoint {
            run(&self.desk.connection, "RELEASE change")?;
        }
        self.part = Part::Nothing;
        self.desk.group.get_or_insert_default();
        self.desk.changes += 1;
        Ok(())
    }

    /// Undoes this thread's change, where there is one.
    fn undo(&mut self) {
        let part = mem::replace(&mut self.part, Part::Nothing);
        // SQLite itself has ended the whole transaction after some errors, such as a full disk.
        if self.desk.connection.is_autocommit() {
            let _ = self.decide(Err(Error::Undone));
            return;
        }
        let undone = match part {
            Part::Nothing => Ok(()),
            Part::Whole => run(&self.desk.connection, "ROLLBACK"),
            Part::Savepoint => run(&self.desk.connection, "ROLLBACK TO change")
                .and_then(|()| run(&self.desk.connection, "RELEASE change")),
        };
        if let Err(error) = undone {
            // What cannot be undone alone must not be committed with the others.
            log::error!("a change could not be rolled back: {error}");
            let _ = self.roll_back(Error::Undone);
        }
    }

    /// Ends the turn: commits, unless somebody is coming who will.
    fn close(mut self) -> Closed {
        match &self.desk.group {
            None => Closed::Decided(Ok(())),
            Some(group) if self.is_left_to_others() => Closed::Left(Arc::clone(group)),
            Some(_) => Closed::Decided(self.commit()),
        }
    }

    fn is_left_to_others(&self) -> bool {
        // Whoever is counted here will have a turn after this one, since it ends before the lock is
        // given back.
        self.writer.coming.load(Ordering::SeqCst) > 0 && self.desk.changes < CHANGES_MAX
    }

    /// Commits what is there, and tells those who wait for it.
    fn commit(&mut self) -> Result<(), Error> {
        if self.desk.group.is_none() {
            return Ok(());
        }
        match run(&self.desk.connection, "COMMIT") {
            Ok(()) => self.decide(Ok(())),
            Err(error) => self.roll_back(error),
        }
    }

    /// The same for a thread that has no part in it; those who have are told.
    fn commit_for_others(&mut self) {
        let _ = self.commit();
    }

    fn roll_back(&mut self, reason: Error) -> Result<(), Error> {
        if !self.desk.connection.is_autocommit()
            && let Err(error) = run(&self.desk.connection, "ROLLBACK")
        {
            log::error!("changes could not be rolled back: {error}");
        }
        if let Err(error) = self.bury() {
            log::error!("what was refused may come back if the program is killed now: {error}");
        }
        self.decide(Err(reason))
    }

    /// Sees that a refused change stays refused. A commit whose last step failed has left its pages
    /// in the log, whole and marked as committed; only this process knows better. The next commit
    /// overwrites them: here is one that changes nothing.
    fn bury(&self) -> Result<(), Error> {
        let connection = &self.desk.connection;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // The value is the same, and its page is written all the same.
        let sql = format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT");
        let buried = connection.execute_batch(&sql);
        if buried.is_err() && !connection.is_autocommit() {
            run(connection, "ROLLBACK")?;
        }
        Ok(buried?)
    }

    fn decide(&mut self, verdict: Result<(), Error>) -> Result<(), Error> {
        self.desk.changes = 0;
        if let Some(group) = self.desk.group.take() {
            *lock(&group.verdict) = Some(again(&verdict));
            group.given.notify_all();
        }
        verdict
    }
}

impl Drop for Turn<'_> {
    /// Out of a panic, or an error of the store: what is half done is undone, and what others have
    /// done is not forgotten.
    fn drop(&mut self) {
        self.undo();
        if !self.is_left_to_others() {
            self.commit_for_others();
        }
    }
}

/// The writing connection with nothing open on it; others wait until it is dropped.
pub struct Alone<'a> {
    turn: Turn<'a>,
}

impl Deref for Alone<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.turn.desk.connection
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

        /// Adds a number, and holds the connection until this many others have come for it.
        fn add(&self, x: i64, others: usize) -> Result<Vec<i64>, Error> {
            self.with(others, |tx| {
                tx.connection.execute("INSERT INTO t VALUES (?)", [x])?;
                Ok(self.committed())
            })
        }

        /// Waits until somebody has the connection.
        fn until_held(&self) {
            while self.writer.desk.try_lock().is_ok() {
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
                while self.writer.coming.load(Ordering::SeqCst) < others {
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
    fn what_comes_together_is_committed_together() {
        let harness = Harness::new();
        assert!(harness.add(1, 0).unwrap().is_empty());
        assert_eq!(harness.committed(), [1]);
        thread::scope(|scope| {
            let first = scope.spawn(|| harness.add(2, 2));
            harness.until_held();
            // Nothing of the group can be seen from outside until its last one commits.
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
            harness.until_held();
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
    fn a_commit_that_fails_refuses_the_whole_group_and_the_next_goes_on() {
        let harness = Harness::new();
        let dangling = |tx: &Write| {
            tx.connection.execute("INSERT INTO u VALUES (99)", [])?;
            Ok(())
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| harness.with(1, dangling));
            harness.until_held();
            let second = scope.spawn(|| harness.add(1, 0));
            assert!(matches!(first.join().unwrap(), Err(Error::Internal(_))));
            assert!(matches!(second.join().unwrap(), Err(Error::Internal(_))));
        });
        assert!(harness.committed().is_empty());
        assert!(harness.add(1, 0).is_ok());
        assert_eq!(harness.committed(), [1]);
    }

    #[test]
    fn a_transaction_that_sqlite_has_ended_refuses_the_whole_group() {
        let harness = Harness::new();
        let end = |tx: &Write| {
            tx.connection.execute("INSERT INTO t VALUES (5)", [])?;
            // As after a full disk.
            tx.connection.execute("INSERT OR ROLLBACK INTO t VALUES (5)", [])?;
            Ok(())
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| harness.add(1, 1));
            harness.until_held();
            let second = scope.spawn(|| harness.with(0, end));
            assert!(matches!(first.join().unwrap(), Err(Error::Undone)));
            assert!(second.join().unwrap().is_err());
        });
        // A change that does not look must not be told that it was made.
        let blind = harness.with(0, |tx| {
            assert!(end(tx).is_err());
            assert!(matches!(tx.savepoint(|_| Ok::<_, Error>(())), Err(Error::Undone)));
            Ok(())
        });
        assert!(matches!(blind, Err(Error::Undone)));
        assert!(harness.committed().is_empty());
        assert!(harness.add(1, 0).is_ok());
    }

    #[test]
    fn who_wants_the_connection_alone_finds_nothing_open() {
        let harness = Harness::new();
        thread::scope(|scope| {
            let change = scope.spawn(|| harness.add(1, 1));
            harness.until_held();
            assert!(harness.writer.alone().is_autocommit());
            assert!(change.join().unwrap().is_ok());
        });
        assert_eq!(harness.committed(), [1]);
    }
}
