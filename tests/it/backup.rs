//! `backup`, `restore` and `check`: copies that are whole, and files that are not.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::{PATIENCE, Place, send, text};
use crate::harness::user;

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A place with acme and three users, and no server.
fn with_users() -> (Place, String) {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    for i in 0..3 {
        push(&serving.url, &token, &format!("user{i}@example.com"));
    }
    assert_eq!(serving.stop("TERM").0, Some(0));
    (place, token)
}

fn push(url: &str, token: &str, user_name: &str) {
    let (status, body) = send(url, "POST", "/scim/v2/Users", token, &user(user_name).to_string());
    assert_eq!(status, 201, "{body}");
}

fn users(report: &Value) -> i64 {
    report["orgs"][0]["users"].as_i64().unwrap()
}

/// What `check --json` prints of a file that is not whole.
#[track_caller]
fn fault(place: &Place, file: &str) -> String {
    let run = place.plumm(&["--json", "check", file]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let report: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(report["whole"], false);
    let fault = text(&report["faults"][0]);
    assert!(run.err.starts_with(&format!("error: {file} is not whole: {fault}")), "{}", run.err);
    fault
}

#[test]
fn a_backup_beside_a_writing_server_is_whole_and_stops_nobody() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let url = serving.url.clone();
    let (done, pushed) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let i = pushed.load(Ordering::Relaxed);
                push(&url, &token, &format!("user{i}@example.com"));
                pushed.store(i + 1, Ordering::Relaxed);
            }
        });
        for i in 0..4 {
            let before = i64::from(pushed.load(Ordering::Relaxed));
            let name = format!("copy{i}.db");
            let made = place.json(&["backup", &name]);
            assert!(users(&made) >= before, "{made}");
            assert_eq!(made["whole"], true);
            assert_eq!(mode(&place.folder.path().join(&name)), 0o600);
            assert_eq!(place.json(&["check", &name]), made);
            assert_eq!(place.json(&["check"])["whole"], true, "the file being written");
        }
        done.store(true, Ordering::Relaxed);
    });
    // The log is folded in afterwards: no read mark is left.
    let log = place.folder.path().join("plumm.db-wal");
    let started = Instant::now();
    while fs::metadata(&log).unwrap().len() > 0 {
        assert!(started.elapsed() < PATIENCE, "a checkpoint is held up");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(serving.stop("TERM").0, Some(0));
    let names = ["copy0.db", "copy1.db", "copy2.db", "copy3.db", "plumm.db", "plumm.db-status"];
    assert_eq!(place.files(), names);
}

#[test]
fn a_backup_replaces_nothing_and_leaves_nothing_when_it_fails() {
    let (place, _) = with_users();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let before = fs::read(place.folder.path().join("copy.db")).unwrap();
    place.plumm(&["backup", "copy.db"]).fails(
        "copy.db: is there already, and a backup never replaces a file: choose another name",
    );
    place.plumm(&["backup", "no/copy.db"]).fails("no/copy.db: its folder does not exist");
    assert_eq!(fs::read(place.folder.path().join("copy.db")).unwrap(), before);
    let missing = place.plumm(&["--db", "missing.db", "backup", "other.db"]);
    assert!(missing.err.starts_with("error: there is no database at missing.db"), "{missing:?}");
    fs::write(place.folder.path().join("letter.db"), "dear friend ".repeat(100)).unwrap();
    place
        .plumm(&["--db", "letter.db", "backup", "other.db"])
        .fails("letter.db is not a plumm database: name another file with --db");
    // What is wrong with the database is found, and the copy not kept.
    let connection = Connection::open(place.folder.database()).unwrap();
    connection.execute("UPDATE resource_count SET count = 7", []).unwrap();
    drop(connection);
    place.plumm(&["backup", "other.db"]).fails(
        "./plumm.db is not whole: organisation 1 has 3 resources of type User, and its counter \
         says 7. To hand the file to support as it is: copy it with cp, and the -wal file beside \
         it, while no server runs on it",
    );
    assert_eq!(place.files(), ["copy.db", "letter.db", "plumm.db", "plumm.db-status"]);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let (place, _) = with_users();
    // A limit on the size of files, as a small disk would set it.
    let mut command = std::process::Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f 16; exec {} backup copy.db", crate::cli::PLUMM);
    command.args(["-c", &script]).current_dir(place.folder.path()).env_remove("PLUMM_DB");
    command.env("PLUMM_ENV_FILE", "");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.starts_with(b"error: "), "{output:?}");
    assert_eq!(place.files(), ["plumm.db"]);
}

#[test]
fn what_a_killed_backup_has_left_is_no_hindrance() {
    let (place, _) = with_users();
    for suffix in ["", "-journal", "-wal"] {
        let name = format!("copy.db.partial{suffix}");
        fs::write(place.folder.path().join(name), "half of something").unwrap();
    }
    place.plumm(&["backup", "copy.db"]).succeeds();
    assert_eq!(place.files(), ["copy.db", "plumm.db", "plumm.db-status"]);
}

#[test]
fn a_check_says_what_is_wrong_and_changes_nothing() {
    let (place, _) = with_users();
    let folder = place.folder.path();
    place.plumm(&["backup", "good.db"]).succeeds();
    let good = fs::read(folder.join("good.db")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    let change = |name: &str, sql: &str| {
        write(name, &good);
        Connection::open(folder.join(name)).unwrap().execute_batch(sql).unwrap();
    };
    write("empty.db", b"");
    write("short.db", &good[..good.len() - 5000]);
    write("stub.db", &good[..50]);
    write("letter.db", "dear friend ".repeat(1000).as_bytes());
    // Every second page lost, as in a copy made while the file was written.
    let mut torn = good.clone();
    torn.chunks_mut(4096).skip(3).step_by(2).for_each(|it| it.fill(0));
    write("torn.db", &torn);
    Connection::open(folder.join("blank.db")).unwrap().execute_batch("VACUUM").unwrap();
    change("foreign.db", "PRAGMA application_id = 7");
    change("newer.db", "PRAGMA user_version = 1000");
    change("count.db", "UPDATE resource_count SET count = count + 1");
    change("email.db", "DELETE FROM email WHERE resource = 2");
    change("column.db", "UPDATE resource SET user_name = 'x' WHERE seq = 2");
    change("active.db", "UPDATE resource SET active = 0 WHERE seq = 2");
    change("document.db", "UPDATE resource SET document = '{' WHERE seq = 2");
    change("orphan.db", "PRAGMA foreign_keys = 0; DELETE FROM org");
    change("index.db", "DROP INDEX resource_list");
    change(
        "member.db",
        "INSERT INTO member VALUES (1, 2); UPDATE resource SET deleted = 1 WHERE seq = 2;
         UPDATE resource_count SET count = 2",
    );
    let before = place.files();
    let bytes = |it: &Vec<String>| -> Vec<Vec<u8>> {
        it.iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
    };
    let contents = bytes(&before);
    for (name, words) in [
        ("empty.db", "it is empty"),
        ("blank.db", "in which plumm has made nothing"),
        ("short.db", "the copy was cut short"),
        ("stub.db", "it is no SQLite database"),
        ("letter.db", "it is no SQLite database"),
        ("torn.db", "it is damaged ("),
        ("foreign.db", "it is a database, but not one of plumm"),
        ("newer.db", "newer plumm (schema 1000, this program knows"),
        ("count.db", "3 resources of type User, and its counter says 4"),
        ("email.db", "column value: the addresses are not those of the document"),
        ("column.db", "does not say what the document says"),
        ("active.db", "does not say what the document says"),
        ("document.db", "table resource, row 2, column document: it is no document"),
        ("orphan.db", "belongs to a row of org that is not there"),
        ("index.db", "resource_list is not as schema"),
        ("member.db", "which it cannot have"),
    ] {
        let found = fault(&place, name);
        assert!(found.contains(words), "{name}: {found}");
    }
    let good = place.json(&["check", "good.db"]);
    assert_eq!((&good["whole"], users(&good)), (&json!(true), 3));
    // Three commands and three users.
    assert_eq!(good["last_change"]["number"], 6);
    assert_eq!(good["orgs"][0]["name"], "acme");
    place.plumm(&["check", "none.db"]).fails("none.db: No such file or directory (os error 2)");
    place.plumm(&["check", "."]).fails(".: is no regular file");
    assert_eq!(place.files(), before);
    assert!(bytes(&before) == contents, "a check has changed a file");
}

/// A `cp` of the file alone lacks what stands in the log; with the log beside it, it is all there.
#[test]
fn a_hot_copy_is_read_with_its_log_and_told_apart_without() {
    let place = Place::new();
    // Without checkpoints, the log keeps what the server writes.
    let mut serving = place.serve(&["--init", "acme", "--external-checkpoint"]);
    let token = place.token();
    for i in 0..5 {
        push(&serving.url, &token, &format!("user{i}@example.com"));
    }
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    let folder = place.folder.path();
    for (from, to) in
        [("plumm.db", "alone.db"), ("plumm.db", "both.db"), ("plumm.db-wal", "both.db-wal")]
    {
        fs::copy(folder.join(from), folder.join(to)).unwrap();
    }
    let before = place.files();
    let log = fs::read(folder.join("plumm.db-wal")).unwrap();
    // The first page reached the file when the log was begun, and nothing since.
    assert!(!fault(&place, "alone.db").is_empty());
    assert_eq!(users(&place.json(&["check", "both.db"])), 5);
    assert_eq!(users(&place.json(&["check"])), 5, "as the killed server left it");
    assert_eq!(place.files(), before);
    assert_eq!(fs::read(folder.join("plumm.db-wal")).unwrap(), log);
    // A backup and a restore take the log along too.
    assert_eq!(users(&place.json(&["backup", "made.db"])), 5);
    place.plumm(&["--db", "new.db", "restore", "both.db"]).succeeds();
    assert_eq!(users(&place.json(&["check", "new.db"])), 5);
}

#[test]
fn a_restore_brings_back_the_copy_and_keeps_what_was_there() {
    let (place, token) = with_users();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let serving = place.serve(&[]);
    push(&serving.url, &token, "late@example.com");
    let served = "./plumm.db is already served by another plumm: stop that one first";
    place.plumm(&["restore", "copy.db", "--force"]).fails(served);
    // Killed, so that its log stands beside the file.
    drop(serving);
    assert!(fs::metadata(place.folder.path().join("plumm.db-wal")).is_ok());
    place.plumm(&["restore", "copy.db"]).fails(
        "./plumm.db: is there already: add --force to replace it (it is kept under another name)",
    );
    place
        .plumm(&["restore", "plumm.db", "--force"])
        .fails("./plumm.db: is the database itself: name the copy to restore");
    let restored = place.json(&["restore", "copy.db", "--force"]);
    assert_eq!(users(&restored), 3);
    let kept = text(&restored["kept"]);
    assert_eq!(users(&place.json(&["check", &kept])), 4, "the log of the old file went with it");
    let name = Path::new(&kept).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(place.files(), ["copy.db", "plumm.db", "plumm.db-status", name.as_str()]);
    let serving = place.serve(&[]);
    assert_eq!(serving.test_credentials(&token), 200);
    let (_, list) = serving.get("/scim/v2/Users?count=0", &token);
    assert!(list.contains("\"totalResults\":3"), "{list}");
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn a_restore_refuses_a_copy_that_is_not_whole_and_a_database_in_use() {
    let (place, _) = with_users();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let folder = place.folder.path();
    let good = fs::read(folder.join("copy.db")).unwrap();
    fs::write(folder.join("short.db"), &good[..good.len() / 2]).unwrap();
    let before = fs::read(place.folder.database()).unwrap();
    let refused = place.plumm(&["restore", "short.db", "--force"]);
    assert!(refused.err.starts_with("error: short.db is not whole: it has "), "{refused:?}");
    assert_eq!(fs::read(place.folder.database()).unwrap(), before);

    let other = Connection::open(place.folder.database()).unwrap();
    other.execute_batch("BEGIN; SELECT * FROM org").unwrap();
    place
        .plumm(&["restore", "copy.db", "--force"])
        .fails("./plumm.db: another program has it open: end that one first");
    drop(other);
    place.plumm(&["check"]).succeeds();
}

/// The log of a database that was deleted by hand must not be applied to the new one, and a database
/// that cannot be opened any more is kept all the same.
#[test]
fn a_restore_takes_over_nothing_that_stands_beside_the_old_file() {
    let (place, token) = with_users();
    place.plumm(&["backup", "copy.db"]).succeeds();
    let folder = place.folder.path();
    let serving = place.serve(&[]);
    push(&serving.url, &token, "late@example.com");
    drop(serving);
    fs::remove_file(place.folder.database()).unwrap();
    let restored = place.json(&["restore", "copy.db"]);
    let kept_log = format!("{}-wal", text(&restored["kept"]));
    assert!(fs::metadata(kept_log).unwrap().len() > 0);
    let found = place.json(&["check"]);
    assert_eq!((users(&found), &found["whole"]), (3, &json!(true)));

    // A second of its own for the next name.
    thread::sleep(Duration::from_millis(1100));
    fs::write(place.folder.database(), "no database any more ".repeat(100)).unwrap();
    fs::write(folder.join("plumm.db-wal"), "and its log").unwrap();
    let mut command = place.command(&["--json", "restore", "copy.db", "--force"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let restored: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kept = text(&restored["kept"]);
    assert!(fs::read(&kept).unwrap().starts_with(b"no database any more"));
    assert_eq!(fs::read(format!("{kept}-wal")).unwrap(), b"and its log");
    assert_eq!(users(&place.json(&["check"])), 3);
    assert!(!folder.join("plumm.db-wal").exists());
}

#[test]
fn a_server_makes_backups_by_itself_and_removes_its_oldest() {
    let (place, token) = with_users();
    let dir = place.folder.path().join("backups");
    let missing = ["serve", "--backup-dir", "backups"];
    place.plumm(&missing).fails("--backup-dir backups: there is no such folder: make it first");
    fs::create_dir(&dir).unwrap();
    let old: Vec<String> = (1..4).map(|i| format!("plumm-2020010{i}T000000Z.db")).collect();
    let leftovers = ["plumm-20200109T000000Z.db.partial", "plumm-20200109T000000Z.db.partial-wal"];
    let others = ["plumm.db", "plumm-mine.db", "notes.txt", "x.partial"];
    for name in old.iter().map(String::as_str).chain(leftovers).chain(others) {
        fs::write(dir.join(name), "as it was").unwrap();
    }
    let settings = ["--backup-dir", "backups", "--backup-every", "1", "--backup-keep", "2"];
    let mut serving = place.serve(&settings);
    serving.wait_for(", up to change 6");
    let started = Instant::now();
    while dir.join(&old[1]).exists() {
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    let names = || {
        let names = fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name());
        let mut names: Vec<String> = names.map(|it| it.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let after = names();
    let made = after.iter().find(|it| it.starts_with("plumm-202") && **it > old[2]).unwrap();
    let mut expected: Vec<&str> = others.to_vec();
    expected.extend([old[2].as_str(), made.as_str()]);
    expected.sort_unstable();
    assert_eq!(after, expected);
    let report = place.json(&["check", &format!("backups/{made}")]);
    assert_eq!(users(&report), 3);
    assert_eq!(serving.test_credentials(&token), 200);
    assert_eq!(serving.stop("TERM").0, Some(0));
    // The next one is not due yet.
    let serving = place.serve(&settings);
    assert_eq!(serving.test_credentials(&token), 200);
    assert_eq!(serving.stop("TERM").0, Some(0));
    assert_eq!(names(), after);
}

#[test]
fn a_backup_that_fails_is_told_and_does_not_stop_the_server() {
    let (place, token) = with_users();
    fs::create_dir(place.folder.path().join("backups")).unwrap();
    let connection = Connection::open(place.folder.database()).unwrap();
    connection.execute("UPDATE resource_count SET count = 7", []).unwrap();
    drop(connection);
    let mut serving = place.serve(&["--backup-dir", "backups"]);
    let line = serving.wait_for("the backup failed, and is tried again in 10 minutes: ");
    assert!(line.contains("ERROR") && line.contains("its counter says 7"), "{line}");
    assert_eq!(serving.test_credentials(&token), 200);
    assert_eq!(fs::read_dir(place.folder.path().join("backups")).unwrap().count(), 0);
}

#[test]
fn settings_of_backups_that_cannot_be_are_misuse() {
    let place = Place::new();
    for args in [
        ["--backup-every", "1", "--insecure-http"],
        ["--backup-keep", "1", "--insecure-http"],
        ["--backup-dir=.", "--backup-every", "0"],
        ["--backup-dir=.", "--backup-every", "8761"],
        ["--backup-dir=.", "--backup-every", "1.5"],
        ["--backup-dir=.", "--backup-keep", "0"],
    ] {
        let run = place.plumm(&[&["serve"], &args[..]].concat());
        assert_eq!(run.code, Some(2), "{args:?} {run:?}");
    }
    assert_eq!(place.files(), [""; 0]);
}
