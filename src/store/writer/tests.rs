//! Changes that are committed together, and what of them is undone.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
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
        while self.writer.inner.state.try_lock().is_ok() {
            thread::yield_now();
        }
    }

    fn with<T>(
        &self,
        others: usize,
        work: impl FnOnce(&Write) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.writer.write(None, Timestamp::from_nanoseconds(1), |tx| {
            let answer = work(tx);
            while self.writer.inner.turns.waiting() < others {
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
        assert!(harness.writer.exclusive().unwrap().is_autocommit());
        assert!(change.join().unwrap().is_ok());
    });
    assert_eq!(harness.committed(), [1]);
}
