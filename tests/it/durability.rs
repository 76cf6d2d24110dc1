//! Bad days of the real program: no room, no permission, two at once, a clock that jumps. What a
//! disk may do beside that stands in `tests/crash/`.

use std::process::{Command, Stdio};
use std::{fs, thread};

use plumm::auth;
use plumm::scim::datetime::Timestamp;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::cli::{Place, Serving, run};
use crate::harness::{Harness, user};

/// In seconds.
const DAY: i64 = 24 * 60 * 60;

fn post(serving: &Serving, token: &str, name: &str) -> (u16, Value) {
    serving.send("POST", "/scim/v2/Users", token, &user(name).to_string())
}

/// How many users a server says there are.
fn total(serving: &Serving, token: &str) -> Value {
    let (status, text) = serving.get("/scim/v2/Users?count=0", token);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["totalResults"].clone()
}

/// Sends new users until one is refused; returns how many there are, and the refusal.
fn until_refused(serving: &Serving, token: &str) -> (usize, u16, Value) {
    // Large ones, so that it does not take long.
    let title = "x".repeat(30_000);
    for i in 0..500 {
        let mut body = user(&format!("u{i}@example.com"));
        body["title"] = json!(title);
        let (status, answer) = serving.send("POST", "/scim/v2/Users", token, &body.to_string());
        if status != 201 {
            return (i, status, answer);
        }
    }
    panic!("nothing was refused");
}

/// A shell line that ends by becoming `plumm serve` for the place's database.
pub fn shell(place: &Place, program: &str, args: &[&str], before: &str, database: &str) -> Command {
    let serve = place.command(&["--db", database, "serve", "--listen", "127.0.0.1:0"]);
    let mut command = Command::new(program);
    command.env("PLUMM_ENV_FILE", "");
    command.args(args).args(["-c", &format!("{before} && exec \"$0\" \"$@\"")]);
    command.arg(serve.get_program()).args(serve.get_args()).current_dir(place.folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same with a disk of 3 MiB at `disk`, with the database on it. It is mounted in a namespace
/// of its own, so that it is gone with the process, whatever happens. None where ordinary users may
/// not do that.
fn on_small_disk(place: &Place, before: &str) -> Option<Command> {
    let args = ["--user", "--map-root-user", "--mount", "bash"];
    let mount = "mkdir -p disk && mount -t tmpfs -o size=3m tmpfs disk && cp plumm.db disk";
    let probe = Command::new("unshare")
        .args(args)
        .args(["-c", mount])
        .current_dir(place.folder.path())
        .output();
    if !probe.is_ok_and(|it| it.status.success()) {
        eprintln!("not tried: this user may mount nothing here");
        return None;
    }
    Some(shell(place, "unshare", &args, &format!("{mount} && {before}"), "disk/plumm.db"))
}

/// The operating system lets files grow to a size and no further, and sends a signal that ends a
/// program which does not expect it.
#[test]
fn a_limit_on_the_size_of_files_refuses_changes_and_nothing_else() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = Serving::start(shell(&place, "bash", &[], "ulimit -f 2048", "plumm.db"));
    let (created, status, answer) = until_refused(&serving, &token);
    assert_eq!((status, &answer["status"]), (503, &json!("503")), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("disk failed"), "{answer}");
    // Those who read are served, and nothing of the refused one is there.
    assert_eq!(total(&serving, &token), json!(created));
    serving.stop("TERM");
    let serving = place.serve(&[]);
    assert_eq!(total(&serving, &token), json!(created));
    assert_eq!(post(&serving, &token, "last@example.com").0, 201);
}

#[test]
fn a_full_disk_is_said_and_is_over_when_there_is_room() {
    let place = Place::with_acme();
    let token = place.token();
    let ballast = "head -c 1500000 /dev/zero > disk/ballast";
    let Some(command) = on_small_disk(&place, ballast) else { return };
    let serving = Serving::start(command);
    let (created, status, answer) = until_refused(&serving, &token);
    assert_eq!(status, 507, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("Make room"), "{answer}");
    assert_eq!(total(&serving, &token), json!(created));
    // The disk as the server sees it.
    let root = format!("/proc/{}/root", serving.child.id());
    let disk = place.folder.path().join("disk/ballast");
    fs::remove_file(format!("{root}{}", disk.display())).unwrap();
    assert_eq!(post(&serving, &token, "last@example.com").0, 201);
    assert_eq!(total(&serving, &token), json!(created + 1));
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn a_disk_that_is_read_only_is_named_at_the_start() {
    let place = Place::with_acme();
    let read_only = "mount -o remount,ro disk";
    let Some(command) = on_small_disk(&place, read_only) else { return };
    run(command).fails(
        "disk/plumm.db cannot be written: check the owner and permissions of the file and its \
         folder",
    );
}

#[test]
fn commands_change_the_file_while_requests_do_and_nothing_is_lost() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = place.serve(&[]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let served = "./plumm.db is already served by another plumm: stop that one first";
            for i in 0..5 {
                place.plumm(&["org", "create", &format!("org {i}")]).succeeds();
                place.plumm(&["serve", "--listen", "127.0.0.1:0"]).fails(served);
            }
        });
        for i in 0..30 {
            assert_eq!(post(&serving, &token, &format!("u{i}@example.com")).0, 201);
        }
    });
    assert_eq!(total(&serving, &token), json!(30));
    assert_eq!(place.json(&["org", "list"]).as_array().unwrap().len(), 6);
    serving.stop("TERM");
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_makes_nothing_look_older() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    let modified =
        |it: &Value| Timestamp::parse(it["meta"]["lastModified"].as_str().unwrap()).unwrap();
    let (mut last, mut versions) = (modified(&bob), vec![bob["meta"]["version"].clone()]);
    let mut ids = vec![bob["id"].clone()];
    for (i, jump) in [-40 * DAY, 80 * DAY, -39 * DAY, -1, 1, 0].into_iter().enumerate() {
        harness.app.clock().set(jump);
        let title = json!([{"op": "replace", "path": "title", "value": i.to_string()}]);
        let changed = harness.patch(&target, &title).expect(200).json();
        assert!(modified(&changed) >= last, "{changed}");
        assert!(!versions.contains(&changed["meta"]["version"]), "{changed}");
        assert_eq!(changed["meta"]["created"], bob["meta"]["created"]);
        last = modified(&changed);
        versions.push(changed["meta"]["version"].clone());
        ids.push(harness.user(&format!("u{i}@example.com"))["id"].clone());
        // An import still comes in the order of creation, each user once.
        let list = harness.get("/Users?count=100").expect(200).json();
        let listed: Vec<Value> =
            list["Resources"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
        assert_eq!(listed, ids);
        // The version of before is refused, whatever the clock says.
        let old = versions[versions.len() - 2].as_str().unwrap();
        let headers =
            [("Authorization", &*format!("Bearer {}", harness.token())), ("If-Match", old)];
        let path = format!("/scim/v2{target}");
        harness.send("PUT", &path, &headers, &changed.to_string()).expect(412);
        harness.app.run_housekeeping();
    }
    // The log is in the order of the changes, whatever their times.
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    let sql = "SELECT group_concat(method, ' ' ORDER BY seq) FROM provisioning_log";
    let log: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(log, format!("POST{}", " PATCH POST".repeat(6)));
}

#[test]
fn a_token_is_expired_when_the_clock_says_so_and_valid_again_when_it_was_wrong() {
    let harness = Harness::new();
    let expires = harness.now.plus_seconds(DAY);
    let issued =
        auth::issue(&harness.store, harness.now, &harness.org, Scope::Scim, "okta", Some(expires));
    let token = issued.unwrap().secret.reveal().to_owned();
    let ask = || harness.with_token(&token, "GET", "/scim/v2/Users?count=1", "").status;
    assert_eq!(ask(), 200);
    for (jump, status) in [(DAY, 401), (-1, 200), (-500 * DAY, 200), (1000 * DAY, 401)] {
        harness.app.clock().set(jump);
        assert_eq!(ask(), status, "{jump}");
        harness.app.run_housekeeping();
    }
}

#[test]
fn a_clock_that_was_set_removes_nothing_until_it_has_run_for_hours() {
    let harness = Harness::new();
    for i in 0..3 {
        harness.user(&format!("u{i}@example.com"));
    }
    let lines = || {
        let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
        let sql = "SELECT count(*) FROM provisioning_log";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let clock = harness.app.clock();
    // Wrong from the start of the program on, for all that it knows.
    clock.set(2000 * DAY);
    harness.app.run_housekeeping();
    clock.advance(11 * 3600);
    harness.app.run_housekeeping();
    assert_eq!(lines(), 3);
    // Set back to the right time, and far ahead again: each is distrusted anew.
    for jump in [-2000 * DAY, 2000 * DAY] {
        clock.set(jump);
        harness.app.run_housekeeping();
        clock.advance(11 * 3600);
        harness.app.run_housekeeping();
        assert_eq!(lines(), 3);
    }
    // What it says for half a day is believed; the newest line always stays.
    clock.advance(3600);
    harness.app.run_housekeeping();
    assert_eq!(lines(), 1);
}
