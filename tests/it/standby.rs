//! A copy that follows: another program replicates the write-ahead log, the host of the server is
//! lost, and a server on the copy goes on.
//!
//! The replicator here is the least that one is, so that these tests need no network: it stands for
//! any program that leaves the log to no one else, and looks at every moment that it chooses. That
//! a real one agrees with plumm, with both killed and started again in every order, and that the
//! documented commands make a standby of what it kept, is what `.ci/litestream.py` checks.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rusqlite::Connection;

use crate::cli::{PATIENCE, Place, send};
use crate::harness::{Folder, user};

/// How many users are there when the server is killed.
const USERS: u32 = 150;
/// How many rounds the replicator makes between two checkpoints of its own.
const ROUNDS: u32 = 10;
/// The parts of the log's format that a replicator needs, in bytes.
const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

fn push(url: &str, token: &str, i: u32) -> u16 {
    let body = user(&format!("user{i}@example.com")).to_string();
    send(url, "POST", "/scim/v2/Users", token, &body).0
}

/// What programs such as Litestream do: hold a read mark, so that nobody begins the log anew, copy
/// what is added to it, and fold it in when they choose.
struct Replicator {
    source: PathBuf,
    target: PathBuf,
    mark: Connection,
    writer: Connection,
    /// Which log is being copied, and how much of it has been.
    salt: Vec<u8>,
    copied: usize,
    restarts: u32,
}

impl Replicator {
    fn start(source: &Path, target: &Path) -> Replicator {
        let open = || {
            let connection = Connection::open(source).unwrap();
            connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
            connection
        };
        let (mark, writer) = (open(), open());
        writer.execute_batch("CREATE TABLE _replica (n); INSERT INTO _replica VALUES (0)").unwrap();
        let mut replicator = Replicator {
            source: source.to_owned(),
            target: target.to_owned(),
            mark,
            writer,
            salt: Vec::new(),
            copied: 0,
            restarts: 0,
        };
        replicator.hold();
        // From here on the main file stands still until this program checkpoints. It is read by
        // another process: to close it here would drop the locks of the connections above.
        let mut copy = std::process::Command::new("cp");
        assert!(copy.args([source, target]).status().unwrap().success());
        replicator.follow();
        replicator
    }

    fn hold(&self) {
        self.mark.execute_batch("BEGIN; SELECT * FROM _replica").unwrap();
    }

    fn copy_log(&mut self) {
        let log = fs::read(log_of(&self.source)).unwrap();
        let header = &log[..HEADER_BYTES];
        let page_bytes = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
        if self.salt != header[16..24] {
            if !self.salt.is_empty() {
                self.fold_target();
                self.restarts += 1;
            }
            self.salt = header[16..24].to_vec();
            self.copied = 0;
            let _ = fs::remove_file(log_of(&self.target));
        }
        // What is left of the log before stands behind the last frame of this one.
        let frames = log[HEADER_BYTES..].chunks(FRAME_HEADER_BYTES + page_bytes);
        let frames = frames.take_while(|it| it[8..16] == self.salt).count();
        let end = HEADER_BYTES + frames * (FRAME_HEADER_BYTES + page_bytes);
        let added = &log[self.copied..end];
        let mut options = OpenOptions::new();
        let mut copy = options.create(true).append(true).open(log_of(&self.target)).unwrap();
        copy.write_all(added).unwrap();
        self.copied = end;
    }

    /// The last connection that closes folds the log in.
    fn fold_target(&self) {
        let target = Connection::open(&self.target).unwrap();
        target.query_row("SELECT count(*) FROM org", [], |_| Ok(())).unwrap();
    }

    /// Nobody adds to the log between this and [`Replicator::let_write`]: no frame is half there.
    fn keep_others_from_writing(&self) {
        self.writer.busy_timeout(PATIENCE).unwrap();
        self.writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    }

    fn let_write(&self) {
        self.writer.execute_batch("COMMIT").unwrap();
    }

    fn follow(&mut self) {
        self.keep_others_from_writing();
        self.copy_log();
        self.let_write();
    }

    fn checkpoint(&mut self) {
        self.keep_others_from_writing();
        self.copy_log();
        self.mark.execute_batch("COMMIT").unwrap();
        self.mark.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        // The first change after it begins the log anew.
        self.let_write();
        self.hold();
    }
}

#[test]
fn a_standby_has_every_change_that_was_replicated() {
    let place = Place::new();
    let mut serving = place.serve(&["--init", "acme", "--external-checkpoint"]);
    let token = place.token();
    let other = Place { folder: Folder::new() };
    let mut replicator = Replicator::start(&place.folder.database(), &other.folder.database());

    let url = serving.url.clone();
    let acknowledged = AtomicU32::new(0);
    let mut replicated = 0;
    let mut rounds = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..USERS {
                assert_eq!(push(&url, &token, i), 201);
                acknowledged.store(i + 1, Ordering::SeqCst);
            }
        });
        while replicated < USERS - USERS / 4 {
            let before = acknowledged.load(Ordering::SeqCst);
            rounds += 1;
            if rounds % ROUNDS == 0 {
                replicator.checkpoint();
            } else {
                replicator.follow();
            }
            replicated = before;
            thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    assert!(replicator.restarts > 1, "only {} logs were followed", replicator.restarts);
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();

    // The host is gone; what is left is the copy.
    let report = other.json(&["check"]);
    assert_eq!(report["whole"], true, "{report}");
    let found = report["orgs"][0]["users"].as_u64().unwrap();
    assert!(found >= u64::from(replicated), "{found} of {replicated}");
    let standby = other.serve(&[]);
    assert_eq!(standby.test_credentials(&token), 200);
    for i in 0..replicated {
        let filter = format!("userName%20eq%20%22user{i}@example.com%22");
        let (status, list) = standby.get(&format!("/scim/v2/Users?filter={filter}"), &token);
        assert!(status == 200 && list.contains("\"totalResults\":1"), "user{i}: {list}");
    }
    assert_eq!(push(&standby.url, &token, USERS), 201, "it goes on");
    assert_eq!(standby.stop("TERM").0, Some(0));
}

/// A commit that a killed server left in the log may be unknown to programs that had the file open,
/// and overwritten by the next one. A replicator that has sent it notices an emptied log.
#[test]
fn the_log_of_a_killed_server_is_folded_in_unless_a_replicator_holds_it() {
    let warning = "stop it, start this server anew";
    let place = Place::new();
    let log = log_of(&place.folder.database());
    let mut serving = place.serve(&["--init", "acme", "--external-checkpoint"]);
    let token = place.token();
    let mut replicator = None;
    for (i, held) in [(0, false), (1, true)] {
        assert_eq!(push(&serving.url, &token, i), 201);
        assert!(bytes(&log) > 0);
        if held {
            let other = Place { folder: Folder::new() };
            let copy = other.folder.database();
            replicator = Some((Replicator::start(&place.folder.database(), &copy), other));
        }
        serving.child.kill().unwrap();
        serving.child.wait().unwrap();
        serving = place.serve(&["--external-checkpoint"]);
        assert_eq!(bytes(&log) > 0, held);
        let warned = serving.seen().iter().any(|it| it.contains(warning));
        assert_eq!(warned, held, "{:?}", serving.seen());
    }
    // What the warning says to do.
    drop(replicator);
    assert_eq!(serving.stop("TERM").0, Some(0));
    let serving = place.serve(&["--external-checkpoint"]);
    assert_eq!(bytes(&log), 0);
    assert!(!serving.seen().iter().any(|it| it.contains(warning)), "{:?}", serving.seen());
    assert_eq!(serving.stop("TERM").0, Some(0));
}

/// What the log holds is the replicator's to fold in: not the server's, while it runs and when it
/// ends, and not that of commands beside or after it.
#[test]
fn with_external_checkpoints_nothing_of_plumm_checkpoints() {
    let place = Place::new();
    let log = log_of(&place.folder.database());
    let serving = place.serve(&["--init", "acme", "--external-checkpoint"]);
    let token = place.token();
    let mut size = 0;
    let mut grows = |when: &str| {
        assert!(bytes(&log) >= size, "the log was cut {when}");
        size = bytes(&log);
    };
    for i in 0..20 {
        assert_eq!(push(&serving.url, &token, i), 201);
        grows("by a change");
    }
    // As long as an idle file would have been left alone, and longer.
    thread::sleep(std::time::Duration::from_millis(900));
    grows("while idle");
    place.plumm(&["token", "create", "acme"]).succeeds();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let purge = place.plumm(&["user", "purge", "acme", "user1@example.com", "--yes"]);
    assert_eq!(purge.code, Some(0), "{purge:?}");
    grows("by a command");
    assert_eq!(serving.stop("TERM").0, Some(0));
    grows("at the end");
    place.plumm(&["org", "list"]).succeeds();
    place.plumm(&["token", "create", "acme"]).succeeds();
    grows("by a command after the end");
    // A server without the flag takes checkpoints back.
    assert_eq!(place.serve(&[]).stop("TERM").0, Some(0));
    assert_eq!(place.files(), ["copy.db", "plumm.db", "plumm.db-status"]);
}
