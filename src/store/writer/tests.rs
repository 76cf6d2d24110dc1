//! Changes that are committed together, and what of them is undone.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::store::open_read::{Need, OpenRead};
use crate::store::readers::Purpose;

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

/// A store with an organisation, and plain changes of it.
struct Plain {
    folder: std::path::PathBuf,
    store: crate::store::Store,
    org: OrgKey,
}

impl Plain {
    fn new(name: &str) -> Plain {
        let folder = std::env::temp_dir().join(format!("plumm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("plumm.db");
        let store = crate::store::Store::open(&path, crate::store::open::Open::Create).unwrap();
        let settings = crate::store::tables::org::OrgSettings::default();
        let now = Timestamp::from_nanoseconds(1);
        let org = store.write(now, |tx| tx.add_org("a", true, settings)).unwrap().key;
        Plain { folder, store, org }
    }

    /// A new account; `line_org` is the organisation of its line in the log.
    fn account(&self, name: &str, line_org: OrgKey) -> Change {
        let now = Timestamp::from_nanoseconds(1);
        let kind = crate::store::tables::resource::Kind {
            org: self.org,
            resource_type: "User",
            location_base: "",
        };
        let id = format!("id-{name}");
        let document = serde_json::json!({"schemas": [], "id": id, "userName": name});
        let document = document.as_object().unwrap();
        let draft = crate::store::tables::draft::Draft::new(kind, &id, document, now).unwrap();
        let line = crate::store::tables::provisioning_log::OwnedLine {
            org: line_org,
            actor: crate::store::tables::provisioning_log::Actor::cli(),
            method: "POST".to_owned(),
            resource_type: "User".to_owned(),
            resource: id,
            outcome: 201,
            changes: "{}".to_owned(),
        };
        Change { draft, line, schemas: None, now }
    }

    fn names(&self) -> Vec<String> {
        let rows = self.store.read(|tx| {
            let sql = "SELECT user_name FROM resource ORDER BY user_name";
            let mut rows = tx.connection.prepare(sql)?;
            let rows = rows.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok::<_, Error>(rows)
        });
        rows.unwrap()
    }

    /// Makes these changes in one transaction, while another one holds the connection.
    fn together(&self, changes: Vec<Change>) -> Vec<Made> {
        let count = changes.len();
        thread::scope(|scope| {
            let writer = &self.store.writer;
            let holder = scope.spawn(move || {
                writer.write(None, Timestamp::from_nanoseconds(1), |_| {
                    while writer.inner.turns.waiting() < count {
                        thread::yield_now();
                    }
                    Ok::<_, Error>(())
                })
            });
            while writer.inner.state.try_lock().is_ok() {
                thread::yield_now();
            }
            let mut threads = Vec::new();
            for (i, change) in changes.into_iter().enumerate() {
                threads.push(scope.spawn(move || writer.apply(change)));
                // The first two come one after the other, so that their order is known.
                while i < 2 && writer.inner.turns.waiting() <= i && !holder.is_finished() {
                    thread::yield_now();
                }
            }
            holder.join().unwrap().unwrap();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        })
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_queued_change_that_fails_after_it_has_written_leaves_the_others_there() {
    let plain = Plain::new("replay");
    let nobody = OrgKey(99);
    let changes = vec![
        plain.account("a", plain.org),
        // Its row is written, and then its line of the log is refused.
        plain.account("b", nobody),
        plain.account("c", plain.org),
    ];
    let made = plain.together(changes);
    assert!(matches!(made[0], Ok(Outcome::Made(_))), "{made:?}");
    assert!(made[1].is_err(), "{made:?}");
    assert!(matches!(made[2], Ok(Outcome::Made(_))), "{made:?}");
    assert_eq!(plain.names(), ["a", "c"]);
    let counted = plain.store.read(|tx| tx.resource_count(plain.org, "User")).unwrap();
    assert_eq!(counted, 2);
    // Each row has the number of its own line.
    let led: String = plain
        .store
        .read(|tx| {
            let sql = "SELECT group_concat(resource.id || ' ' || log.previous, ', ')
                FROM resource JOIN provisioning_log AS log ON log.seq = resource.last_line
                WHERE log.resource = resource.id";
            Ok::<_, Error>(tx.connection.query_row(sql, [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(led, "id-a 0, id-c 0");
}

#[test]
fn a_queued_change_that_is_refused_writes_nothing() {
    let plain = Plain::new("refused");
    let changes = vec![plain.account("a", plain.org), plain.account("a", plain.org)];
    let made = plain.together(changes);
    assert!(matches!(made[0], Ok(Outcome::Made(_))), "{made:?}");
    assert!(matches!(made[1], Ok(Outcome::Conflict)), "{made:?}");
    assert_eq!(plain.names(), ["a"]);
    let lines: i64 = plain
        .store
        .read(|tx| {
            let sql = "SELECT count(*) FROM provisioning_log";
            Ok::<_, Error>(tx.connection.query_row(sql, [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(lines, 1);
    // And alone.
    let again = plain.store.apply(plain.account("a", plain.org), None);
    assert!(matches!(again, Ok(Outcome::Conflict)), "{again:?}");
}

#[test]
fn a_change_of_a_resource_that_was_purged_leaves_the_one_with_its_number_alone() {
    let plain = Plain::new("number");
    let (store, now) = (&plain.store, Timestamp::from_nanoseconds(1));
    let kind = crate::store::tables::resource::Kind {
        org: plain.org,
        resource_type: "User",
        location_base: "",
    };
    let read = |id: &str| store.read(|tx| tx.resource(kind, id)).unwrap();
    assert!(matches!(store.apply(plain.account("a", plain.org), None), Ok(Outcome::Made(_))));
    let a = read("id-a").unwrap();
    let before = a.parse().unwrap();
    let mut after = before.clone();
    after.insert("title".to_owned(), "changed".into());
    let draft = crate::store::tables::draft::Draft::replacing(kind, &a, &before, &after, now);
    let change = Change { draft: draft.unwrap(), ..plain.account("a", plain.org) };
    let lines = store.read(|tx| tx.lines_about(&a.id)).unwrap();
    store.write(now, |tx| tx.purge_resource(plain.org, "User", &a, &lines)).unwrap();
    assert!(matches!(store.apply(plain.account("b", plain.org), None), Ok(Outcome::Made(_))));
    let b = read("id-b").unwrap();
    assert_eq!((b.seq, b.version), (a.seq, a.version), "the test needs the same number");
    assert!(matches!(store.apply(change, None), Ok(Outcome::Outdated)));
    assert_eq!(read("id-b").unwrap(), b);
}

impl Plain {
    /// The view of a request that is about to change something.
    fn view(&self) -> OpenRead<'_> {
        let need = Need { purpose: Purpose::Quick, changes: true, last_change: false };
        self.store.open_read(need).unwrap()
    }

    /// Uses the writing connection until it counts as idle.
    fn calm(&self) {
        let turns = (0..100).take_while(|_| {
            self.store.wait_for_turn();
            !self.view().stays_open()
        });
        assert!(turns.count() < 99, "the writing connection is never idle");
    }

    /// A command in another process.
    fn elsewhere(&self) -> Connection {
        let mut connection = Connection::open(self.store.path()).unwrap();
        crate::store::connection::wait_when_busy(&mut connection).unwrap();
        connection
    }
}

#[test]
fn a_change_that_was_judged_on_the_idle_writing_connection_is_written_there() {
    let plain = Plain::new("idle");
    assert!(!plain.view().stays_open(), "nobody has written yet");
    plain.calm();
    let view = plain.view();
    assert!(view.stays_open());
    // Meanwhile the connection is not idle.
    assert!(!plain.view().stays_open());
    thread::scope(|scope| {
        let other = scope.spawn(|| plain.store.apply(plain.account("other", plain.org), None));
        while plain.store.writes().0 == 0 {
            thread::yield_now();
        }
        let made = plain.store.apply(plain.account("a", plain.org), Some(view));
        assert!(matches!(made, Ok(Outcome::Made(_))), "{made:?}");
        assert!(matches!(other.join().unwrap(), Ok(Outcome::Made(_))));
    });
    let names = plain.names();
    assert!(["a", "other"].iter().all(|it| names.contains(&(*it).to_owned())), "{names:?}");
    // Somebody has waited, so that it takes a while until it counts as idle again.
    assert!(!plain.view().stays_open());
    plain.calm();
    // What is not written leaves nothing open.
    drop(plain.view());
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
        let _view = plain.view();
        panic::resume_unwind(Box::new("no message on stderr"));
    }));
    assert!(panicked.is_err());
    let view = plain.view();
    assert!(view.stays_open());
    let refused = plain.store.apply(plain.account("a", plain.org), Some(view));
    assert!(matches!(refused, Ok(Outcome::Conflict)), "{refused:?}");
    let made = plain.store.apply(plain.account("b", plain.org), Some(plain.view()));
    assert!(matches!(made, Ok(Outcome::Made(_))), "{made:?}");
}

#[test]
fn what_another_process_writes_after_the_view_was_opened_is_not_overwritten() {
    let plain = Plain::new("elsewhere");
    plain.calm();
    let view = plain.view();
    assert!(view.stays_open());
    let elsewhere = plain.elsewhere();
    elsewhere.execute("UPDATE org SET rate = rate + 1", []).unwrap();
    // The view is older than that, so SQLite refuses to write in it.
    let made = plain.store.apply(plain.account("a", plain.org), Some(view));
    assert!(matches!(made, Ok(Outcome::Made(_))), "{made:?}");
    // The other process is not done yet: the change waits for it.
    let view = plain.view();
    assert!(view.stays_open());
    elsewhere.execute_batch("BEGIN IMMEDIATE; UPDATE org SET rate = rate + 1").unwrap();
    thread::scope(|scope| {
        let change = plain.account("b", plain.org);
        let waits = scope.spawn(|| plain.store.apply(change, None));
        thread::sleep(std::time::Duration::from_millis(20));
        assert!(!waits.is_finished());
        drop(view);
        elsewhere.execute_batch("COMMIT").unwrap();
        assert!(matches!(waits.join().unwrap(), Ok(Outcome::Made(_))));
    });
}

#[test]
fn a_credential_is_remembered_until_anybody_changes_it() {
    let plain = Plain::new("remembered");
    let org = plain.store.read(|tx| tx.org_by_key(plain.org)).unwrap();
    let now = Timestamp::from_nanoseconds(1);
    let scope = crate::store::tables::token::Scope::Scim;
    let token = crate::auth::issue(&plain.store, now, &org, scope, "okta", None).unwrap().token;
    plain.calm();
    let elsewhere = plain.elsewhere();
    let reads = || {
        let need = Need { purpose: Purpose::Quick, changes: false, last_change: true };
        plain.store.open_read(need).unwrap()
    };
    let found = |mut view: OpenRead, last_change| {
        let found = view.credential(&token.id, last_change).unwrap().unwrap();
        (found.revoked.is_some(), found.org.settings.rate, found.last_change)
    };
    // Read, remembered, and found again: on the writing connection, and on a reading one.
    let mut changes = 0;
    let mut same = |expected: (bool, u32)| {
        for _ in 0..3 {
            let view = plain.view();
            assert!(view.stays_open());
            assert_eq!(found(view, false), (expected.0, expected.1, None));
            assert_eq!(found(reads(), true), (expected.0, expected.1, Some(changes)));
        }
        // A change of this process, which the reading connection must not miss.
        changes += 1;
        let change = plain.account(&format!("more{changes}"), plain.org);
        let made = plain.store.apply(change, Some(plain.view()));
        assert_eq!(made.unwrap(), Outcome::Made(changes));
    };
    let rate = org.settings.rate;
    same((false, rate));
    elsewhere.execute("UPDATE org SET rate = 7", []).unwrap();
    same((false, 7));
    let settings = crate::store::tables::org::OrgSettings { rate: 8, ..org.settings };
    plain.store.write(now, |tx| tx.set_org(org.key, true, settings)).unwrap();
    same((false, 8));
    let refused: Result<(), Error> = plain.store.write(now, |tx| {
        tx.revoke_token(&token.id)?;
        Err(Error::Undone)
    });
    assert!(refused.is_err());
    same((false, 8));
    elsewhere.execute("UPDATE token SET revoked = 1", []).unwrap();
    same((true, 8));
    elsewhere.execute("UPDATE token SET revoked = NULL", []).unwrap();
    same((false, 8));
    plain.store.write(now, |tx| tx.revoke_token(&token.id)).unwrap();
    same((true, 8));
    plain.store.exclusive().unwrap().execute("UPDATE token SET revoked = NULL", []).unwrap();
    same((false, 8));
}
