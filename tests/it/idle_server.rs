//! The file of an idle server: its log is checkpointed, and no lock is left on it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use plumm::store::Store;
use plumm::store::error::Error;
use plumm::store::open::Open;

use crate::harness::{Folder, Harness};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn log_bytes(folder: &Folder) -> u64 {
    fs::metadata(folder.path().join("plumm.db-wal")).map_or(0, |it| it.len())
}

#[track_caller]
fn wait_until_checkpointed(folder: &Folder) {
    let started = Instant::now();
    while log_bytes(folder) > 0 {
        assert!(started.elapsed() < PATIENCE, "the log still has {} bytes", log_bytes(folder));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_checkpoints_the_log_of_a_killed_one() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let folder = Folder::new();
    for name in ["plumm.db", "plumm.db-wal"] {
        fs::copy(harness.folder.path().join(name), folder.path().join(name)).unwrap();
    }
    assert!(log_bytes(&folder) > 0);
    let store = Arc::new(Store::open(&folder.database(), Open::Serve).unwrap());
    let _checkpointer = store.keep_checkpointed().unwrap();
    wait_until_checkpointed(&folder);
}

#[test]
fn a_server_checkpoints_what_another_process_has_written() {
    let harness = Harness::new();
    let _checkpointer = harness.store.keep_checkpointed().unwrap();
    wait_until_checkpointed(&harness.folder);
    let other = Store::open(&harness.folder.database(), Open::Existing).unwrap();
    let settings = harness.org.settings;
    other.write(harness.now, |tx| tx.set_org(harness.org.key, false, settings)).unwrap();
    assert!(log_bytes(&harness.folder) > 0);
    wait_until_checkpointed(&harness.folder);
}

#[test]
fn a_panic_within_a_change_undoes_it_and_locks_nobody_out() {
    let harness = Harness::new();
    let settings = harness.org.settings;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        harness.store.write(harness.now, |tx| -> Result<(), Error> {
            tx.set_org(harness.org.key, false, settings)?;
            resume_unwind(Box::new("no message on stderr"));
        })
    }));
    assert!(panicked.is_err());
    let other = Store::open(&harness.folder.database(), Open::Existing).unwrap();
    let org = other.write(harness.now, |tx| tx.org_by_key(harness.org.key)).unwrap();
    assert!(org.active);
    harness.user("bob@example.com");
}
