//! The file of a server that has nothing to do is whole, and free for others.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use plumm::store::error::Error;
use plumm::store::{Open, Store};

use crate::house::{Folder, House};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn log_bytes(folder: &Folder) -> u64 {
    fs::metadata(folder.path().join("plumm.db-wal")).map_or(0, |it| it.len())
}

#[track_caller]
fn wait_until_folded(folder: &Folder) {
    let started = Instant::now();
    while log_bytes(folder) > 0 {
        assert!(started.elapsed() < PATIENCE, "the log still has {} bytes", log_bytes(folder));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_folds_in_what_a_killed_one_has_left() {
    let house = House::new();
    house.user("bob@example.com");
    let folder = Folder::new();
    for name in ["plumm.db", "plumm.db-wal"] {
        fs::copy(house.folder.path().join(name), folder.path().join(name)).unwrap();
    }
    assert!(log_bytes(&folder) > 0);
    let store = Arc::new(Store::open(&folder.database(), Open::Serve).unwrap());
    let _checkpointer = store.keep_checkpointed().unwrap();
    wait_until_folded(&folder);
}

#[test]
fn a_server_folds_in_what_another_process_has_left() {
    let house = House::new();
    let _checkpointer = house.store.keep_checkpointed().unwrap();
    wait_until_folded(&house.folder);
    let other = Store::open(&house.folder.database(), Open::Existing).unwrap();
    let settings = house.org.settings;
    other.write(house.now, |tx| tx.set_org(house.org.key, false, settings)).unwrap();
    assert!(log_bytes(&house.folder) > 0);
    wait_until_folded(&house.folder);
}

#[test]
fn a_panic_within_a_change_undoes_it_and_locks_nobody_out() {
    let house = House::new();
    let settings = house.org.settings;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        house.store.write(house.now, |tx| -> Result<(), Error> {
            tx.set_org(house.org.key, false, settings)?;
            resume_unwind(Box::new("no message on stderr"));
        })
    }));
    assert!(panicked.is_err());
    let other = Store::open(&house.folder.database(), Open::Existing).unwrap();
    let org = other.write(house.now, |tx| tx.org_by_key(house.org.key)).unwrap();
    assert!(org.active);
    house.user("bob@example.com");
}
