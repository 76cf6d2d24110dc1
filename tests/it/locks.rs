//! One server on one file, whatever the file is called and whatever is removed beside it; and what
//! reads a file leaves it alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plumm::store::copies::backup::Partial;
use rusqlite::Connection;
use serde_json::json;

use crate::cli::{PLUMM, Place, Run, Serving, run, send};
use crate::harness::user;

/// A command on the database by this name.
fn on(place: &Place, name: &str, args: &[&str]) -> Run {
    place.plumm(&[&["--db", name], args].concat())
}

fn serve_refused(place: &Place, name: &str) {
    let sentence = format!("{name} is already served by another plumm: stop that one first");
    on(place, name, &["serve", "--listen", "127.0.0.1:0"]).fails(&sentence);
}

fn push(url: &str, token: &str, i: usize) {
    let body = user(&format!("user{i}@example.com")).to_string();
    let (status, answer) = send(url, "POST", "/scim/v2/Users", token, &body);
    assert_eq!(status, 201, "{answer}");
}

/// Whether the connections of a server still have SQLite's lock on the file: with it, nobody else
/// may change the journal mode.
fn is_locked_by_sqlite(database: &Path) -> bool {
    let other = Connection::open(database).unwrap();
    other.busy_timeout(Duration::from_millis(100)).unwrap();
    let mode = other.query_row("PRAGMA journal_mode = delete", [], |row| row.get::<_, String>(0));
    mode.is_err() || mode.is_ok_and(|it| it == "wal")
}

#[test]
fn a_file_is_served_once_whatever_it_is_called() {
    let place = Place::with_acme();
    let token = place.token();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let folder = place.folder.path();
    fs::create_dir(folder.join("other")).unwrap();
    symlink("plumm.db", folder.join("soft.db")).unwrap();
    fs::hard_link(folder.join("plumm.db"), folder.join("other/hard.db")).unwrap();
    fs::create_dir(folder.join("backups")).unwrap();
    let mut serving = place.serve(&["--backup-dir", "backups"]);
    serving.wait_for("up to change 2");
    let names = ["plumm.db", "soft.db", "other/hard.db", "other/../plumm.db"];
    let elsewhere = "is a second name (a hard link) of a file that a plumm is at work on: use the \
                     name that it was started with";
    let before = place.files();
    for with_lock_file in [true, false] {
        if !with_lock_file {
            fs::remove_file(folder.join("plumm.db-lock")).unwrap();
        }
        for name in names {
            serve_refused(&place, name);
            let restore = on(&place, name, &["restore", "copy.db", "--force"]);
            restore
                .fails(&format!("{name} is already served by another plumm: stop that one first"));
            // What the hard link has beside it is not what the server writes.
            let is_elsewhere = name == "other/hard.db" || !with_lock_file;
            for args in [&["org", "create", "beta"][..], &["org", "list"], &["status"]] {
                if is_elsewhere {
                    on(&place, name, args).fails(&format!("{name} {elsewhere}"));
                } else if args[1..] != ["create", "beta"] {
                    on(&place, name, args).succeeds();
                }
            }
            if name == "other/hard.db" {
                let checked = on(&place, name, &["check"]);
                assert!(checked.err.contains(elsewhere), "{checked:?}");
            } else if with_lock_file {
                on(&place, name, &["check"]).succeeds();
            }
        }
    }
    // Nothing was made beside any of the names.
    let mut after = before;
    after.retain(|it| it != "plumm.db-lock");
    assert_eq!(place.files(), after);
    assert_eq!(fs::read_dir(folder.join("other")).unwrap().count(), 1);

    // Without a second name, commands find the server although its note is gone.
    fs::remove_file(folder.join("other/hard.db")).unwrap();
    let status = place.json(&["status"]);
    assert_eq!(
        (&status["server"]["running"], &status["server"]["pid"]),
        (&json!(true), &json!(null))
    );
    place.plumm(&["check"]).succeeds();
    place.plumm(&["org", "create", "beta"]).succeeds();
    serve_refused(&place, "plumm.db");
    push(&serving.url, &token, 1);
    assert!(is_locked_by_sqlite(&place.folder.database()), "a closed handle has ended its locks");
    assert_eq!(serving.stop("TERM").0, Some(0));
    assert_eq!(place.serve(&[]).stop("TERM").0, Some(0));
}

/// A restore gives the old file a second name before the new one gets the first. Killed between the
/// two, it leaves both names to one file.
#[test]
fn what_a_killed_restore_leaves_is_served_once() {
    let place = Place::with_acme();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let folder = place.folder.path();
    let kept = "plumm.db.replaced-20260131T080000Z";
    fs::hard_link(folder.join("plumm.db"), folder.join(kept)).unwrap();
    fs::copy(folder.join("copy.db"), folder.join("plumm.db.partial")).unwrap();
    place
        .plumm(&["restore", kept, "--force"])
        .fails("./plumm.db: is the database itself: name the copy to restore");
    let mut serving = place.serve(&[]);
    serving.wait_for("has 2 names");
    serve_refused(&place, kept);
    serve_refused(&place, "plumm.db");
    assert_eq!(serving.stop("TERM").0, Some(0));
    let serving = {
        let serve = ["--db", kept, "serve", "--listen", "127.0.0.1:0"];
        Serving::start(place.command(&serve))
    };
    serve_refused(&place, "plumm.db");
    assert_eq!(serving.stop("TERM").0, Some(0));
    // Another restore ends what the killed one began.
    place.plumm(&["restore", "copy.db", "--force"]).succeeds();
    let serving = place.serve(&[]);
    let other = {
        let serve = ["--db", kept, "serve", "--listen", "127.0.0.1:0"];
        Serving::start(place.command(&serve))
    };
    assert_eq!(other.stop("TERM").0, Some(0));
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn a_restored_file_is_locked_before_it_has_the_name_of_the_database() {
    let place = Place::with_acme();
    let target = place.folder.path().join("new.db");
    let partial = Partial::create(&target).unwrap();
    partial.fill(&place.folder.database()).unwrap();
    partial.rename(&target).unwrap();
    serve_refused(&place, "new.db");
    drop(partial);
    let serve = ["--db", "new.db", "serve", "--listen", "127.0.0.1:0"];
    assert_eq!(Serving::start(place.command(&serve)).stop("TERM").0, Some(0));
}

/// What a killed server leaves: a file, and a log with changes that the file does not have.
fn with_a_log(users: usize) -> Place {
    let place = Place::new();
    let mut serving = place.serve(&["--init", "acme", "--external-checkpoint"]);
    let token = place.token();
    for i in 0..users {
        push(&serving.url, &token, i);
    }
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    assert!(fs::metadata(place.folder.path().join("plumm.db-wal")).unwrap().len() > 0);
    place
}

/// Every file of a folder with its bytes, the folder for temporary files among them.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        found.push((path.display().to_string(), bytes));
        if path.is_dir() {
            found.extend(contents(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn a_check_that_is_killed_leaves_nothing_behind() {
    let place = with_a_log(300);
    let folder = place.folder.path();
    fs::create_dir(folder.join("tmp")).unwrap();
    let before = contents(folder);
    let check = || {
        let mut command = place.command(&["--json", "check"]);
        command.env("TMPDIR", folder.join("tmp"));
        command
    };
    let started = Instant::now();
    let whole = run(check());
    let took = started.elapsed();
    assert!(whole.succeeds().contains("\"users\":300"), "{whole:?}");
    assert!(contents(folder) == before, "a check that ends leaves something");
    // All along its way.
    const KILLS: u32 = 40;
    for i in 0..KILLS {
        let mut child = check().spawn().unwrap();
        thread::sleep(took * i / KILLS);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(contents(folder) == before, "killed after {i}/{KILLS}");
    }
}

/// A file with a log can be read where nothing can be written, in the folder for temporary files
/// neither.
#[test]
fn a_file_with_its_log_is_checked_on_a_disk_that_is_read_only() {
    let place = with_a_log(5);
    let script = "mkdir -p disk && mount -t tmpfs -o size=9m tmpfs disk && cp plumm.db* disk && \
                  mount -o remount,ro disk";
    let mut probe = Command::new("unshare");
    probe.args(["--user", "--map-root-user", "--mount", "bash", "-c", script]);
    if !probe.current_dir(place.folder.path()).output().is_ok_and(|it| it.status.success()) {
        eprintln!("not tried: this user may mount nothing here");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "bash", "-c"]);
    command.arg(format!("{script} && TMPDIR=$PWD/disk exec {PLUMM} --json check disk/plumm.db"));
    command.current_dir(place.folder.path()).env_remove("PLUMM_DB");
    let found = run(command);
    assert!(found.succeeds().contains("\"users\":5"), "{found:?}");
}

/// Another program was killed in the middle of a change, with SQLite's other journal: its change
/// has to be undone, and that can only be done in a copy.
#[test]
fn a_change_that_was_cut_short_is_undone_in_a_copy_that_has_no_name() {
    let place = Place::with_acme();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let folder = place.folder.path();
    fs::create_dir(folder.join("tmp")).unwrap();
    let mut script = Command::new("bash");
    let cut = "import os, sqlite3
db = sqlite3.connect('copy.db', isolation_level=None)
db.execute('PRAGMA cache_size = 1')
db.execute('BEGIN IMMEDIATE')
db.execute('UPDATE org SET active = 9')
db.execute('CREATE TABLE filler (x)')
for i in range(200): db.execute('INSERT INTO filler VALUES (zeroblob(4000))')
os._exit(0)
";
    fs::write(folder.join("cut.py"), cut).unwrap();
    script.args(["-c", "python3 cut.py"]).current_dir(folder);
    let cut_short = script.output().is_ok_and(|it| it.status.success());
    if !cut_short || !folder.join("copy.db-journal").exists() {
        eprintln!("not tried: there is no Python with SQLite here");
        return;
    }
    // What a killed check left is removed by the next one that needs a copy.
    fs::create_dir(folder.join("tmp/.plumm-copy-1-0")).unwrap();
    fs::write(folder.join("tmp/.plumm-copy-1-0/copy.db"), "half of something").unwrap();
    let (names, before) = (place.files(), fs::read(folder.join("copy.db")).unwrap());
    let mut command = place.command(&["--json", "check", "copy.db"]);
    command.env("TMPDIR", folder.join("tmp"));
    let checked = run(command);
    assert!(checked.succeeds().contains("\"whole\":true"), "{checked:?}");
    assert_eq!((place.files(), fs::read(folder.join("copy.db")).unwrap()), (names, before));
    assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0);
}

/// A server under attack holds the file for seconds and lets go of it for 5 milliseconds. Commands
/// find that gap, and those that only read need none.
#[test]
fn commands_get_their_turn_beside_a_writer_without_a_pause() {
    let place = Place::with_acme();
    let token = place.token();
    let id = token.split('_').nth(1).unwrap().to_owned();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let other = Connection::open(place.folder.path().join("plumm.db")).unwrap();
            other.busy_timeout(Duration::from_secs(5)).unwrap();
            while !done.load(Ordering::SeqCst) {
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
                thread::sleep(Duration::from_millis(700));
                other.execute_batch("COMMIT").unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        });
        let commands: [&[&str]; 4] = [
            &["token", "list", "acme"],
            &["token", "revoke", &id],
            &["org", "deactivate", "acme"],
            &["org", "list"],
        ];
        let runs = commands.map(|args| place.plumm(args));
        done.store(true, Ordering::SeqCst);
        for run in runs {
            assert_eq!(run.code, Some(0), "{run:?}");
        }
    });
}
