//! A disk that is full or fails, at each of its calls in turn: every request is done or refused,
//! a refused one has left nothing, and all is well as soon as the disk is.
//!
//! `cargo test` takes every few calls; `PLUMM_CRASH_ROUNDS=1` takes each.

use std::fs;
use std::path::Path;

use rusqlite::ffi;

use crate::disk::{Call, Disk, Fault};
use crate::harness::{self, Client, Folder, Harness, Rows};
use crate::power::setting;

/// The kinds of requests that are sent while the disk fails (see [`Client::send`]).
const KINDS: [usize; 8] = [0, 3, 4, 6, 7, 8, 9, 10];
/// How many calls are left out between two that fail, in `cargo test`.
const STRIDE: u64 = 23;

#[test]
fn a_full_disk() {
    sweep(Call::Write, ffi::SQLITE_FULL, true, &[507]);
}

#[test]
fn a_disk_that_is_full_for_a_moment() {
    sweep(Call::Write, ffi::SQLITE_FULL, false, &[507]);
}

#[test]
fn a_disk_that_fails_to_write() {
    sweep(Call::Write, ffi::SQLITE_IOERR_WRITE, true, &[503]);
}

#[test]
fn a_disk_that_fails_to_sync() {
    sweep(Call::Sync, ffi::SQLITE_IOERR_FSYNC, false, &[503]);
    sweep(Call::Sync, ffi::SQLITE_IOERR_FSYNC, true, &[503]);
}

#[test]
fn a_disk_that_fails_to_cut_a_file() {
    sweep(Call::Truncate, ffi::SQLITE_IOERR_TRUNCATE, true, &[]);
}

#[test]
fn a_disk_that_fails_to_read() {
    sweep(Call::Read, ffi::SQLITE_IOERR_READ, false, &[503]);
    sweep(Call::Read, ffi::SQLITE_IOERR_READ, true, &[503]);
}

/// A start on a new file and on one that is there, with each call failing in turn: it works, or says
/// why not, and the next start works.
#[test]
fn a_start_while_the_disk_fails() {
    let folder = Folder::new();
    let first = Harness::new(&folder.database());
    let token = first.token.clone();
    drop(first);
    for (call, code) in [
        (Call::Open, ffi::SQLITE_CANTOPEN),
        (Call::Read, ffi::SQLITE_IOERR_READ),
        (Call::Write, ffi::SQLITE_FULL),
        (Call::Write, ffi::SQLITE_IOERR_WRITE),
        (Call::Truncate, ffi::SQLITE_IOERR_TRUNCATE),
        (Call::Sync, ffi::SQLITE_IOERR_FSYNC),
        (Call::Delete, ffi::SQLITE_IOERR_DELETE),
        (Call::ShmMap, ffi::SQLITE_IOERR_SHMMAP),
    ] {
        for new in [true, false] {
            let mut nth = 1;
            while start(&folder, new, &token, Fault { call, nth, lasting: true, code }) {
                nth += 1;
            }
        }
    }
}

/// Returns whether the fault has happened.
fn start(original: &Folder, new: bool, token: &str, fault: Fault) -> bool {
    let folder = Folder::new();
    let place = format!("new {new}, {fault:?}");
    let disk = Disk::watch(&folder.0);
    if !new {
        fs::copy(original.database(), folder.database()).unwrap();
    }
    disk.arm(fault);
    let mut client = Client::new("t".to_owned(), 1);
    let mut done = 0;
    if let Ok(harness) = Harness::open(&folder.database(), token)
        && !new
    {
        let outcome = client.send(&harness, 0);
        done = usize::from(outcome.status == 201);
        assert!([201, 503, 507].contains(&outcome.status), "{place}: {}", outcome.what);
    }
    let happened = disk.disarm();
    let harness = Harness::open(&folder.database(), token);
    let _harness = harness.unwrap_or_else(|it| panic!("{place}, and now it is over: {it}"));
    let connection = harness::look(&folder.database());
    let faults = harness::faults(&connection);
    assert!(faults.is_empty(), "{place}: {faults:?}");
    let users = harness::rows(&connection, "t").remove("t").unwrap_or_default();
    let users = users.iter().filter(|it| it.starts_with("Text(\"resource\")")).count();
    assert_eq!(users, done, "{place}");
    disk.unwatch();
    happened
}

/// Lets one call after the other fail until all requests pass; `refusals` are the only statuses
/// that may come of it.
fn sweep(call: Call, code: i32, lasting: bool, refusals: &[u16]) {
    let folder = Folder::new();
    let disk = Disk::watch(&folder.0);
    let mut harness = Harness::new(&folder.database());
    let stride = if setting("PLUMM_CRASH_ROUNDS", 0) > 0 { 1 } else { STRIDE };
    let mut nth = 1;
    loop {
        let place = format!("{call:?} {nth}, code {code}, lasting {lasting}");
        let mut client = Client::new(format!("n{nth}"), nth);
        // A new server has nothing in memory, and its files are still to be opened.
        let token = harness.token.clone();
        drop(harness);
        harness = Harness::open(&folder.database(), &token).unwrap();
        for _ in 0..3 {
            let outcome = client.send(&harness, 0);
            assert_eq!(outcome.status, 201, "{place}: {}", outcome.what);
        }
        let fault = Fault { call, nth, lasting, code };
        let before = send_all(&mut client, &harness, &disk, fault, &folder, refusals, &place);
        let _ = harness.store.checkpoint();
        let fired = disk.disarm();

        // Killed now. While no sync works nobody can know what is on the disk, but it is a whole.
        let found = reopened(&folder, &place);
        if call != Call::Sync || !lasting {
            assert_eq!(found.get(&client.tag), before.get(&client.tag), "{place}: killed");
        }
        let outcome = client.send(&harness, 0);
        assert_eq!(outcome.status, 201, "{place}, and now it is over: {}", outcome.what);
        let beside = harness::look(&folder.database());
        let after = harness::rows(&beside, &client.tag);
        assert_eq!(reopened(&folder, &place).get(&client.tag), after.get(&client.tag), "{place}");
        if !fired {
            assert!(nth > 1, "{place}: there was no such call");
            break;
        }
        nth += if nth < 4 { 1 } else { stride };
    }
    disk.unwatch();
}

/// Sends a request of each kind; returns what the client has in the end.
fn send_all(
    client: &mut Client,
    harness: &Harness,
    disk: &Disk,
    fault: Fault,
    folder: &Folder,
    refusals: &[u16],
    place: &str,
) -> Rows {
    let beside = harness::look(&folder.database());
    let rows = |tag: &str| {
        let fault = disk.exchange(None);
        let rows = harness::rows(&beside, tag);
        disk.exchange(fault);
        rows
    };
    let mut before = rows(&client.tag);
    disk.arm(fault);
    for kind in KINDS {
        let outcome = client.send(harness, kind);
        let place = format!("{place}: {}", outcome.what);
        let after = rows(&client.tag);
        let asked_for = [200, 201, 204, if kind == 9 { 409 } else { 200 }];
        let known = asked_for.contains(&outcome.status) || refusals.contains(&outcome.status);
        assert!(known, "{} {place}", outcome.status);
        assert_eq!(outcome.status >= 400, after == before, "{} {place}", outcome.status);
        before = after;
        // Whoever only reads is not harmed by a disk that takes nothing.
        if refusals.contains(&507) {
            let (status, answer) = harness.call("GET", "/Users?count=2", &serde_json::Value::Null);
            assert_eq!(status, 200, "{place}, then a list: {answer}");
        }
    }
    before
}

/// What a new server finds after a kill: the same bytes, but nothing of the shared memory.
fn reopened(folder: &Folder, place: &str) -> Rows {
    let copy = Folder::new();
    for name in [harness::DATABASE.to_owned(), format!("{}-wal", harness::DATABASE)] {
        let from = folder.0.join(&name);
        if Path::exists(&from) {
            fs::copy(from, copy.0.join(name)).unwrap();
        }
    }
    let _harness = Harness::open(&copy.database(), "").unwrap_or_else(|it| panic!("{place}: {it}"));
    let connection = harness::look(&copy.database());
    let faults = harness::faults(&connection);
    assert!(faults.is_empty(), "{place}: {faults:?}");
    harness::rows(&connection, "*")
}
