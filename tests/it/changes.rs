//! The change feed: what an application learns, in order and without a gap.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plumm::api::access::changes::{ANSWER_BYTES_MAX, LIMIT_MAX, WAIT_SECONDS_MAX};
use plumm::api::waiting::WAITING_MAX;
use plumm::app::App;
use plumm::clock::Clock;
use plumm::config::Config;
use plumm::server::Server;
use plumm::server::limits::Limits;
use plumm::store::Store;
use plumm::store::open::Open;
use plumm::store::tables::provisioning_log::{Actor, LogLine};
use plumm::store::tables::token::Scope;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::PLUMM;
use crate::harness::{Answer, Harness, encoded, user, wait_until};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
const YEAR_SECONDS: i64 = 366 * 24 * 60 * 60;

/// An application that follows the changes of an organisation.
struct Follower<'a> {
    harness: &'a Harness,
    token: String,
    /// Up to where it has read.
    last: i64,
}

impl<'a> Follower<'a> {
    fn new(harness: &'a Harness) -> Follower<'a> {
        Follower { harness, token: harness.issue(Scope::Read), last: 0 }
    }

    fn ask(&self, query: &str) -> Answer {
        self.harness.with_token(&self.token, "GET", &format!("/access/v1/changes{query}"), "")
    }

    /// The events since the last time.
    #[track_caller]
    fn news(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let page = self.ask(&format!("?after={}", self.last)).expect(200).json();
            all.extend(page["changes"].as_array().unwrap().iter().cloned());
            self.last = page["last"].as_i64().unwrap();
            if page["more"] == false {
                return all;
            }
        }
    }

    /// The one event since the last time, which must have this type.
    #[track_caller]
    fn only(&mut self, kind: &str) -> Value {
        let mut news = self.news();
        assert_eq!(types(&news), [kind]);
        news.remove(0)
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|it| it["type"].as_str().unwrap()).collect()
}

/// What support types, beside the running server.
#[track_caller]
fn plumm(harness: &Harness, args: &[&str]) {
    let database = harness.folder.database();
    let mut command = Command::new(PLUMM);
    command.env("PLUMM_ENV_FILE", "");
    command.arg("--db").arg(database).args(args).current_dir(harness.folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

#[test]
fn the_story_of_one_person() {
    let harness = Harness::new();
    let mut app = Follower::new(&harness);
    let ann = harness.user("Ann@example.com");
    let at = format!("/Users/{}", id(&ann));
    let created = app.only("user.created");
    assert_eq!(created["user"]["userName"], "Ann@example.com");
    assert_eq!(
        (&created["user"]["active"], &created["user"]["groups"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(created["by"]["kind"], "token");
    assert_eq!(created["by"]["label"], "okta");
    assert_eq!(created["changed"]["active"], json!({"before": null, "after": true}));
    assert_eq!(created["id"], format!("evt_{}_0", created["sequence"]));
    assert!(!created.to_string().contains("1mz050nq"), "a password is told to nobody");

    harness.patch(&at, &json!([{"op": "replace", "path": "title", "value": "Boss"}])).expect(200);
    let updated = app.only("user.updated");
    assert_eq!(updated["changed"], json!({"title": {"before": null, "after": "Boss"}}));
    assert_eq!(updated["user"]["title"], "Boss");

    // Two things in one request.
    let both = json!([{"op": "replace", "value": {"active": false, "title": "Guest"}}]);
    harness.patch(&at, &both).expect(200);
    let news = app.news();
    assert_eq!(types(&news), ["user.deactivated", "user.updated"]);
    assert_eq!(news[0]["sequence"], news[1]["sequence"]);
    assert_eq!(news[0]["changed"], json!({"active": {"before": true, "after": false}}));
    assert_eq!(news[1]["changed"], json!({"title": {"before": "Boss", "after": "Guest"}}));
    assert_eq!(news[1]["id"], format!("evt_{}_1", news[1]["sequence"]));
    assert_eq!(news[0]["user"]["active"], false);
    harness.patch(&at, &json!([{"op": "replace", "path": "active", "value": true}])).expect(200);
    app.only("user.reactivated");

    let staff = json!({"displayName": "Staff", "members": [{"value": id(&ann)}]});
    let staff = harness.post("/Groups", &staff).expect(201).json();
    let news = app.news();
    assert_eq!(types(&news), ["group.created", "group.members_changed"]);
    assert_eq!(news[0]["group"]["displayName"], "Staff");
    let member = json!({"id": ann["id"], "userName": "Ann@example.com"});
    assert_eq!(news[1]["changed"], json!({"members": {"added": [member]}}));
    let group = format!("/Groups/{}", id(&staff));
    let rename = json!([
        {"op": "replace", "path": "displayName", "value": "Crew"},
        {"op": "remove", "path": format!("members[value eq \"{}\"]", id(&ann))},
    ]);
    harness.patch(&group, &rename).expect(200);
    let news = app.news();
    assert_eq!(types(&news), ["group.updated", "group.members_changed"]);
    assert_eq!(news[1]["changed"], json!({"members": {"removed": [member]}}));
    let join = json!([{"op": "add", "path": "members", "value": [{"value": id(&ann)}]}]);
    harness.patch(&group, &join).expect(200);
    app.only("group.members_changed");

    harness.call("DELETE", &at, "").expect(204);
    let deleted = app.only("user.deleted");
    let left = json!({"removed": [{"id": staff["id"], "displayName": "Crew"}]});
    assert_eq!(deleted["changed"]["groups"], left);
    // Whoever looks at `active` alone is not misled.
    assert_eq!(deleted["user"]["active"], false);
    assert_eq!(deleted["user"]["deleted"], harness.now.to_string());
    plumm(&harness, &["user", "restore", "acme", "ann@example.com"]);
    let restored = app.only("user.restored");
    assert_eq!(restored["by"], json!({"kind": "command"}));
    assert_eq!(restored["user"]["active"], true);
    plumm(&harness, &["user", "purge", "acme", "ann@example.com", "--yes"]);
    let purged = app.only("user.purged");
    assert_eq!((&purged["user"], &purged["changed"]), (&Value::Null, &json!({})));
    assert_eq!(purged["userId"], ann["id"]);

    harness.call("DELETE", &group, "").expect(204);
    let deleted = app.only("group.deleted");
    assert_eq!(deleted["group"]["displayName"], "Crew");
    plumm(&harness, &["org", "deactivate", "acme"]);
    plumm(&harness, &["org", "deactivate", "acme"]);
    let off = app.only("provisioning.deactivated");
    assert_eq!(off["changed"], json!({"active": {"before": true, "after": false}}));
    assert!(off.get("user").is_none() && off.get("group").is_none());
    plumm(&harness, &["org", "set", "acme", "--activate", "--strict", "on"]);
    app.only("provisioning.activated");

    // Read again from the beginning: what happened stays, of the person nothing.
    app.last = 0;
    let all = app.news();
    let of_ann = all.iter().filter(|it| it["userId"] == ann["id"]);
    let of_ann: Vec<Value> = of_ann.cloned().collect();
    assert_eq!(
        types(&of_ann),
        [
            "user.created",
            "user.updated",
            "user.updated",
            "user.updated",
            "user.deleted",
            "user.restored",
            "user.purged"
        ]
    );
    assert!(of_ann.iter().all(|it| it["user"].is_null() && it["changed"] == json!({})));
    let text = Value::from(all).to_string().to_lowercase();
    assert!(!text.contains("ann@example.com") && !text.contains("boss"), "{text}");
}

#[test]
fn a_bulk_request_is_told_operation_by_operation() {
    let harness = Harness::new();
    let mut app = Follower::new(&harness);
    let operation = |name: &str, number: usize| json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": user(name)});
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            operation("a@example.com", 1),
            operation("no email", 2),
            operation("b@example.com", 3),
            {"method": "POST", "path": "/Groups", "bulkId": "g",
                "data": {"displayName": "G", "members": [{"value": "bulkId:1"}]}},
        ],
    });
    let answer = harness.post("/Bulk", &body).expect(200);
    let news = app.news();
    assert_eq!(
        types(&news),
        ["user.created", "user.created", "group.created", "group.members_changed"]
    );
    // What was refused is no event, and the answer has seen all of it.
    assert_eq!(answer.header("Plumm-Change"), Some(app.last.to_string().as_str()));
    // What changes nothing is no event either.
    let unchanged = json!([{"op": "replace", "path": "active", "value": true}]);
    harness.patch(&format!("/Users/{}", id(&news[0]["user"])), &unchanged).expect(200);
    assert_eq!(app.news(), Vec::<Value>::new());
}

#[test]
fn a_first_sync_and_the_feed_miss_nothing() {
    let harness = Harness::new();
    let token = harness.issue(Scope::Read);
    let list = |target: &str| {
        let answer = harness.with_token(&token, "GET", &format!("/scim/v2{target}"), "");
        let seen: i64 = answer.header("Plumm-Change").unwrap().parse().unwrap();
        (answer.expect(200).json(), seen)
    };
    assert_eq!(list("/Users?count=1").1, 0);
    let made = harness.post("/Users", &user("a@example.com")).expect(201);
    let first: i64 = made.header("Plumm-Change").unwrap().parse().unwrap();
    let a = made.json();
    // Each kind of list and each way to read: the number of the last change.
    let filter = encoded("userName eq \"a@example.com\"");
    let slow = encoded("title pr or name.givenName co \"e\"");
    for target in [
        "/Users".to_owned(),
        format!("/Users/{}", id(&a)),
        format!("/Users?filter={filter}"),
        format!("/Users?filter={slow}"),
        "/Users?count=1&cursor".to_owned(),
        "/Groups".to_owned(),
        String::new(),
    ] {
        assert_eq!(list(&target).1, first, "{target}");
    }
    let once = |answer: Answer| {
        let named = answer.headers.iter().filter(|(name, _)| name == "Plumm-Change");
        assert_eq!(named.map(|(_, it)| it.as_str()).collect::<Vec<_>>(), [first.to_string()]);
    };
    once(harness.with_token(&token, "GET", "/access/v1/users/a@example.com", ""));
    once(harness.with_token(&token, "GET", "/access/v1/users/nobody@example.com", ""));
    once(harness.with_token(&token, "GET", "/access/v1/changes", ""));
    once(harness.get("/Users/nothing"));
    // A refused change has read too: alone, and where one has written just before.
    for _ in 0..40 {
        let nobody = json!([{"op": "replace", "path": "title", "value": "x"}]);
        once(harness.patch("/Users/nothing", &nobody).expect(404));
        once(harness.patch(&format!("/Users/{}", id(&a)), &json!([])).expect(400));
        once(harness.put(&format!("/Users/{}", id(&a)), &json!({"userName": "b@c.d"})).expect(400));
        harness.store.wait_for_turn();
    }
    // What was undone was not seen by anyone.
    let taken = harness.post("/Users", &user("a@example.com")).expect(409);
    assert!(taken.header("Plumm-Change").is_none_or(|it| it == first.to_string()));
    let version = a["meta"]["version"].as_str().unwrap();
    let authorization = format!("Bearer {token}");
    let fields = [("Authorization", authorization.as_str()), ("If-None-Match", version)];
    let target = format!("/scim/v2/Users/{}", id(&a));
    let unchanged = harness.send("GET", &target, &fields, "").expect(304);
    assert_eq!(unchanged.header("Plumm-Change"), Some(first.to_string().as_str()));
    // Neither what is open nor what the server counts belongs to an organisation's data.
    assert_eq!(harness.send("GET", "/readyz", &[], "").header("Plumm-Change"), None);
    let admin = harness.issue(Scope::Admin);
    let metrics = harness.with_token(&admin, "GET", "/metrics", "").expect(200);
    assert_eq!(metrics.header("Plumm-Change"), None);

    // Read page by page while others write, then the feed from the number of the first page.
    let (page, seen) = list("/Users?count=1&startIndex=1");
    let mut known: BTreeSet<String> = BTreeSet::new();
    known.insert(id(&page["Resources"][0]).to_owned());
    let b = harness.user("b@example.com");
    harness.call("DELETE", &format!("/Users/{}", id(&a)), "").expect(204);
    let mut app = Follower { harness: &harness, token: token.clone(), last: seen };
    for event in app.news() {
        let id = id(&event["user"]).to_owned();
        match event["type"].as_str().unwrap() {
            "user.deleted" => known.remove(&id),
            _ => known.insert(id),
        };
    }
    assert_eq!(known, BTreeSet::from([id(&b).to_owned()]));
}

#[test]
fn pages_end_between_numbers_and_say_whether_there_is_more() {
    let harness = Harness::new();
    let app = Follower::new(&harness);
    let ids: Vec<Value> = (0..7).map(|i| harness.user(&format!("{i}@example.com"))).collect();
    for it in &ids {
        let both = json!([{"op": "replace", "value": {"active": false, "title": "x"}}]);
        harness.patch(&format!("/Users/{}", id(it)), &both).expect(200);
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = app.ask(&format!("?after={after}&limit=3")).expect(200).json();
        let events = page["changes"].as_array().unwrap();
        let numbers: BTreeSet<i64> =
            events.iter().map(|it| it["sequence"].as_i64().unwrap()).collect();
        assert!(numbers.len() <= 3 && numbers.iter().all(|it| *it > after));
        after = page["last"].as_i64().unwrap();
        assert_eq!(numbers.last(), Some(&after));
        seen.extend(events.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(seen.len(), 7 + 2 * 7);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
    // Beyond the last one there is nothing, and the place is kept.
    let page = app.ask(&format!("?after={}", after + 9)).expect(200).json();
    assert_eq!(page, json!({"changes": [], "last": after + 9, "more": false}));

    // A page ends at its bytes too, and still goes on.
    let large = "x".repeat(ANSWER_BYTES_MAX / 4);
    for it in &ids {
        let title = json!([{"op": "replace", "path": "title", "value": large}]);
        harness.patch(&format!("/Users/{}", id(it)), &title).expect(200);
    }
    let answer = app.ask(&format!("?after={after}")).expect(200);
    assert!(answer.text.len() < 2 * ANSWER_BYTES_MAX, "{}", answer.text.len());
    let page = answer.json();
    assert!(page["more"] == true && page["last"].as_i64().unwrap() > after);
}

#[test]
fn another_organisation_learns_nothing() {
    let harness = Harness::new();
    let (org, scim) = harness.neighbour("other");
    harness.user("ann@example.com");
    let mut issued = plumm::auth::issue(&harness.store, harness.now, &org, Scope::Read, "", None);
    let token = issued.as_mut().unwrap().secret.reveal().to_owned();
    let mut other = Follower { harness: &harness, token, last: 0 };
    assert_eq!(other.ask("").header("Plumm-Change"), Some("0"));
    assert_eq!(other.ask("").json(), json!({"changes": [], "last": 0, "more": false}));
    // It is not woken by the changes of others either.
    let started = Instant::now();
    thread::scope(|scope| {
        let waits = scope.spawn(|| other.ask("?wait=1").expect(200).json());
        wait_until(|| harness.app.metrics().clients_waiting.get() == 1);
        harness.user("eve@example.com");
        assert_eq!(waits.join().unwrap()["changes"], json!([]));
    });
    assert!(started.elapsed() >= Duration::from_millis(900));
    let bob = harness.with_token(&scim, "POST", "/scim/v2/Users", &user("bob@x.com").to_string());
    assert_eq!(other.only("user.created")["user"]["id"], bob.expect(201).json()["id"]);
    assert_eq!(Follower::new(&harness).news().len(), 2);
}

#[test]
fn a_type_of_the_organisations_own_is_passed_over_without_a_gap() {
    let harness = Harness::new();
    let mut app = Follower::new(&harness);
    harness.user("a@example.com");
    let line = |resource_type: &str| {
        let actor = Actor { name: "t".to_owned(), ..Actor::cli() };
        let written = harness.store.write(harness.now, |tx| {
            tx.log(&LogLine {
                org: harness.org.key,
                actor: &actor,
                method: "POST",
                resource_type,
                resource: "1",
                outcome: 201,
                changes: &json!({"serial": {"before": null, "after": "7"}}),
            })
        });
        written.unwrap();
    };
    line("Device");
    assert_eq!(types(&app.news()), ["user.created"]);
    assert_eq!(app.last, 2);
    line("Device");
    // Such a change ends no wait; the next one that means something does.
    thread::scope(|scope| {
        let waits = scope.spawn(|| app.ask(&format!("?after={}&wait=20", app.last)).json());
        wait_until(|| harness.app.metrics().clients_waiting.get() == 1);
        line("Device");
        harness.user("b@example.com");
        let page = waits.join().unwrap();
        assert_eq!(page["changes"].as_array().unwrap().len(), 1);
        assert_eq!(page["last"], 5);
    });
}

#[test]
fn what_is_wrong_with_a_question_is_said() {
    let harness = Harness::new();
    let app = Follower::new(&harness);
    for (query, words) in [
        ("?after=-1", "after is a whole number from 0 on, and is \"-1\""),
        ("?after=x", "after is a whole number"),
        ("?after=", "after is a whole number"),
        ("?after=1.5", "after is a whole number"),
        ("?after=99999999999999999999", "after is a whole number"),
        ("?after=%ff", "after is a whole number"),
        ("?limit=0", &format!("limit is a whole number from 1 to {LIMIT_MAX}")),
        ("?limit=1001", "limit is a whole number"),
        ("?wait=61", &format!("wait is a whole number from 0 to {WAIT_SECONDS_MAX}")),
        ("?wait=-1", "wait is a whole number"),
    ] {
        let answer = app.ask(query).expect(400);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{query}: {detail}");
    }
    app.ask("?wait=0&limit=1000&unknown=1").expect(200);
    let waits = "/access/v1/changes?wait=1";
    let answer = harness.with_token(&app.token, "GET", waits, "{}").expect(400);
    assert!(answer.text.contains("has no body"), "{}", answer.text);
    let post = harness.with_token(&app.token, "POST", "/access/v1/changes", "{}").expect(405);
    assert_eq!(post.header("Allow"), Some("GET, HEAD"));
    let scopes = [(Scope::Scim, "scim"), (Scope::Access, "access"), (Scope::Admin, "admin")];
    for (scope, word) in scopes {
        let token = harness.issue(scope);
        let refused = harness.with_token(&token, "GET", "/access/v1/changes", "").expect(403);
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("has the scope \"{word}\"")), "{detail}");
        assert!(detail.contains("one with the scope \"read\""), "{detail}");
    }
}

#[test]
fn who_asks_for_what_was_trimmed_is_told_to_begin_anew() {
    let harness = Harness::new();
    let (young, _) = harness.neighbour("young");
    for i in 0..5 {
        harness.user(&format!("{i}@example.com"));
    }
    let mut app = Follower::new(&harness);
    assert_eq!(app.news().len(), 5);
    let later = harness.now.plus_seconds(YEAR_SECONDS);
    let trim = || harness.store.write(later, |tx| tx.trim_log(later)).unwrap();
    trim();
    // The newest line of the file stays, so there is one number to go on from.
    let gone = app.ask("?after=0").expect(410);
    assert_eq!(gone.header("Plumm-Change"), Some("5"));
    assert_eq!(gone.header("Content-Type"), Some("application/json"));
    assert!(gone.json()["detail"].as_str().unwrap().contains("after number 4"), "{}", gone.text);
    app.ask("").expect(410);
    app.ask("?after=3&wait=1").expect(410);
    assert_eq!(app.ask("?after=4").expect(200).json()["changes"].as_array().unwrap().len(), 1);
    assert_eq!(app.ask("?after=5").expect(200).json()["changes"], json!([]));
    // An organisation that lost nothing begins at nothing.
    let issued = plumm::auth::issue(&harness.store, harness.now, &young, Scope::Read, "", None);
    let token = issued.unwrap().secret.reveal().to_owned();
    let other = Follower { harness: &harness, token, last: 0 };
    assert_eq!(other.ask("?after=0").expect(200).json()["last"], 0);
    // An organisation whose lines are all gone: the way out that the sentence names is one.
    let write = || {
        harness.store.write(later, |tx| {
            tx.log(&LogLine {
                org: young.key,
                actor: &Actor::cli(),
                method: "activate",
                resource_type: "org",
                resource: "young",
                outcome: 200,
                changes: &json!({}),
            })
        })
    };
    write().unwrap();
    trim();
    app.ask("?after=4").expect(410);
    let list = harness.with_token(&app.token, "GET", "/scim/v2/Users", "").expect(200);
    assert_eq!(list.header("Plumm-Change"), Some("5"));
    app.ask("?after=5").expect(200);
    // Trimmed again, nothing is forgotten.
    assert!(!trim());
    app.ask("?after=4").expect(410);
}

#[test]
fn a_file_that_was_trimmed_before_says_so_too() {
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/upgrade/v4.sql");
    let harness = Harness::new();
    let file = harness.folder.path().join("old.db");
    let old = Connection::open(&file).unwrap();
    old.execute_batch(&fs::read_to_string(dump).unwrap()).unwrap();
    let first = |file: &Connection| -> i64 {
        file.query_row("SELECT min(seq) FROM provisioning_log", [], |row| row.get(0)).unwrap()
    };
    let kept = first(&old) + 2;
    old.execute("DELETE FROM provisioning_log WHERE seq < ?", [kept]).unwrap();
    let sql = "INSERT INTO org (name, name_folded, active, username_format, identity_changes,
        strict, rate, created) VALUES ('young', 'young', 1, 'email', 'refuse', 0, 100, ?)";
    old.execute(sql, [i64::MAX]).unwrap();
    let kept = first(&old);
    drop(old);
    let store = Store::open(&file, Open::Existing).unwrap();
    let orgs = store.read(|tx| tx.orgs()).unwrap();
    assert!(orgs.len() > 1);
    for org in orgs {
        let expected = if org.name == "young" { 0 } else { kept - 1 };
        assert_eq!(store.read(|tx| tx.trimmed(org.key)).unwrap(), expected, "{}", org.name);
    }
}

/// A client of a socket that sends one request after the other.
struct Client {
    socket: BufReader<TcpStream>,
    token: String,
}

impl Client {
    fn new(address: SocketAddr, token: &str) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { socket: BufReader::new(socket), token: token.to_owned() }
    }

    fn send(&mut self, method: &str, target: &str, body: &str) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.socket.get_mut().write_all(head.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.socket.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
        }
        let fields = head.lines().filter_map(|it| it.split_once(": "));
        let headers = fields.map(|(name, it)| (name.to_owned(), it.to_owned())).collect();
        let mut answer =
            Answer { status: head[9..12].parse().unwrap(), headers, text: String::new() };
        let length = answer.header("Content-Length").map_or(0, |it| it.parse().unwrap());
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).unwrap();
        answer.text = String::from_utf8(body).unwrap();
        answer
    }

    fn wait_after(&mut self, after: i64, seconds: u64) {
        self.send("GET", &format!("/access/v1/changes?after={after}&wait={seconds}"), "");
    }
}

fn serve(harness: &Harness, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Server::start_within(limits, listener, Arc::clone(&harness.app)).unwrap()
}

fn waiting(harness: &Harness) -> u64 {
    harness.app.metrics().clients_waiting.get()
}

#[test]
fn nothing_is_missed_or_told_twice_while_many_write_and_many_wait() {
    const WRITERS: usize = 8;
    const READERS: usize = 16;
    const CHANGES: usize = 40;
    let harness = Harness::new();
    let (_, neighbour) = harness.neighbour("other");
    let token = harness.issue(Scope::Read);
    let server = serve(&harness, Limits::default());
    let address = server.local_addr();
    let total = i64::try_from(WRITERS * CHANGES).unwrap();
    let told: Vec<Vec<i64>> = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::new(address, &token);
                    let (mut after, mut told) = (0, Vec::new());
                    while i64::try_from(told.len()).unwrap() < total {
                        client.wait_after(after, 20);
                        let page = client.answer().expect(200).json();
                        let events = page["changes"].as_array().unwrap();
                        assert!(!events.is_empty(), "nothing has come after {after}");
                        told.extend(events.iter().map(|it| it["sequence"].as_i64().unwrap()));
                        after = page["last"].as_i64().unwrap();
                    }
                    told
                })
            })
            .collect();
        wait_until(|| waiting(&harness) == READERS as u64);
        for writer in 0..WRITERS {
            let harness = &harness;
            let neighbour = &neighbour;
            scope.spawn(move || {
                for i in 0..CHANGES {
                    let name = format!("{writer}-{i}@example.com");
                    harness.post("/Users", &user(&name)).expect(201);
                    let body = user(&name).to_string();
                    // Another organisation's numbers lie between, and some changes are refused.
                    harness.with_token(neighbour, "POST", "/scim/v2/Users", &body).expect(201);
                    harness.post("/Users", &user(&name)).expect(409);
                }
            });
        }
        readers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let mut app = Follower::new(&harness);
    let all: Vec<i64> = app.news().iter().map(|it| it["sequence"].as_i64().unwrap()).collect();
    assert_eq!(all.len(), WRITERS * CHANGES);
    assert!(all.is_sorted_by(|a, b| a < b));
    for it in told {
        assert_eq!(it, all);
    }
    server.stop();
}

#[test]
fn a_follower_goes_on_after_a_restart() {
    let mut harness = Harness::new();
    let mut app = Follower::new(&harness);
    harness.user("a@example.com");
    app.news();
    let (last, token) = (app.last, app.token);
    harness.user("b@example.com");
    let file = harness.folder.path().join("copy.db");
    harness.store.checkpoint().unwrap();
    fs::copy(harness.folder.database(), &file).unwrap();
    let store = Arc::new(Store::open(&file, Open::Serve).unwrap());
    let again = App::new(store, Config::default(), Clock::fixed(harness.now));
    harness.app = Arc::new(again);
    let mut app = Follower { harness: &harness, token, last };
    assert_eq!(app.only("user.created")["user"]["userName"], "b@example.com");
    harness.user("c@example.com");
    app.only("user.created");
    assert_eq!(app.last, last + 2);
}

#[test]
fn who_waits_holds_no_permit_and_is_told_at_once() {
    let harness = Harness::new();
    let token = harness.issue(Scope::Read);
    let server = serve(&harness, Limits { requests_at_work: 1, ..Limits::default() });
    let mut waits: Vec<Client> = (0..4).map(|_| Client::new(server.local_addr(), &token)).collect();
    waits.iter_mut().for_each(|it| it.wait_after(0, 60));
    wait_until(|| waiting(&harness) == 4);
    assert_eq!(harness.app.metrics().requests_at_work.get(), 0);
    // The one permit there is is free.
    let mut other = Client::new(server.local_addr(), harness.token());
    other.send("POST", "/scim/v2/Users", &user("a@example.com").to_string());
    other.answer().expect(201);
    for it in &mut waits {
        assert_eq!(it.answer().expect(200).json()["last"], 1);
    }
    wait_until(|| waiting(&harness) == 0);

    // Of what another process commits too, and of a token that is revoked meanwhile nothing.
    waits.iter_mut().for_each(|it| it.wait_after(1, 60));
    wait_until(|| waiting(&harness) == 4);
    let listed = harness.store.read(|tx| tx.tokens(harness.org.key)).unwrap();
    let read = listed.iter().find(|it| it.scope == Scope::Read).unwrap();
    harness.store.write(harness.now, |tx| tx.revoke_token(&read.id)).unwrap();
    plumm(&harness, &["org", "deactivate", "acme"]);
    for it in &mut waits {
        assert!(it.answer().expect(401).text.contains("was revoked"));
    }
    server.stop();
}

/// Nothing is told after a token was revoked: neither at the end of a wait, nor of a change.
#[test]
fn a_token_that_is_revoked_during_a_wait_is_told_nothing_at_its_end() {
    let harness = Harness::new();
    let server = serve(&harness, Limits::default());
    let token = harness.issue(Scope::Read);
    let mut client = Client::new(server.local_addr(), &token);
    client.wait_after(0, 2);
    wait_until(|| waiting(&harness) == 1);
    let listed = harness.store.read(|tx| tx.tokens(harness.org.key)).unwrap();
    let read = listed.iter().find(|it| it.scope == Scope::Read).unwrap();
    harness.store.write(harness.now, |tx| tx.revoke_token(&read.id)).unwrap();
    let answer = client.answer().expect(401);
    assert!(answer.text.contains("was revoked"), "{}", answer.text);
    assert_eq!(answer.header("Plumm-Change"), None);
    server.stop();
}

/// The feed goes on while provisioning is off, as logins do: the wait ends with the event that says
/// so, and the next one waits for what a command does.
#[test]
fn a_wait_learns_that_provisioning_is_switched_off_and_goes_on() {
    let harness = Harness::new();
    let ann = harness.user("ann@example.com");
    let mut app = Follower::new(&harness);
    app.news();
    let server = serve(&harness, Limits::default());
    let mut client = Client::new(server.local_addr(), &app.token);
    for (command, kind) in [
        (["org", "deactivate", "acme"].as_slice(), "provisioning.deactivated"),
        (&["org", "activate", "acme"], "provisioning.activated"),
    ] {
        client.wait_after(app.last, 60);
        wait_until(|| waiting(&harness) == 1);
        plumm(&harness, command);
        let page = client.answer().expect(200).json();
        assert_eq!(types(page["changes"].as_array().unwrap()), [kind]);
        app.last = page["last"].as_i64().unwrap();
        // Logins go on meanwhile.
        let login = format!("/access/v1/user?id={}", id(&ann));
        harness.with_token(&app.token, "GET", &login, "").expect(200);
    }
    // What ends in time is told that there was nothing, and of no change that was none.
    client.wait_after(app.last, 1);
    wait_until(|| waiting(&harness) == 1);
    plumm(&harness, &["org", "set", "acme", "--strict", "on"]);
    let page = client.answer().expect(200).json();
    assert_eq!((&page["changes"], &page["more"]), (&json!([]), &json!(false)));
    assert_eq!(page["last"], app.last + 1);
    server.stop();
}

#[test]
fn what_another_process_commits_is_told() {
    let harness = Harness::new();
    let app = Follower::new(&harness);
    thread::scope(|scope| {
        let waits = scope.spawn(|| app.ask("?wait=60").expect(200).json());
        wait_until(|| waiting(&harness) == 1);
        plumm(&harness, &["org", "deactivate", "acme"]);
        let page = waits.join().unwrap();
        assert_eq!(types(page["changes"].as_array().unwrap()), ["provisioning.deactivated"]);
    });
}

#[test]
fn the_end_of_service_answers_everyone_who_waits() {
    let harness = Harness::new();
    let token = harness.issue(Scope::Read);
    let server = serve(&harness, Limits::default());
    let mut clients: Vec<Client> =
        (0..8).map(|_| Client::new(server.local_addr(), &token)).collect();
    clients.iter_mut().for_each(|it| it.wait_after(0, 60));
    wait_until(|| waiting(&harness) == 8);
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(5));
    for it in &mut clients {
        let answer = it.answer().expect(200);
        assert_eq!(answer.header("Connection"), Some("close"));
        assert_eq!(answer.json(), json!({"changes": [], "last": 0, "more": false}));
    }
}

#[test]
fn few_wait_at_once_and_no_organisation_takes_every_place() {
    let harness = Harness::new();
    let (org, _) = harness.neighbour("other");
    let issued = plumm::auth::issue(&harness.store, harness.now, &org, Scope::Read, "", None);
    let other = issued.unwrap().secret.reveal().to_owned();
    let token = harness.issue(Scope::Read);
    let server = serve(&harness, Limits::default());
    let connect = |token: &str| Client::new(server.local_addr(), token);
    let mut clients: Vec<Client> = (0..WAITING_MAX).map(|_| connect(&token)).collect();
    for (i, it) in clients.iter_mut().enumerate() {
        it.wait_after(0, 60);
        wait_until(|| waiting(&harness) == i as u64 + 1);
    }
    let mut one_more = connect(&token);
    one_more.wait_after(0, 60);
    let refused = one_more.answer().expect(503);
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(refused.header("Content-Type"), Some("application/json"));
    assert!(refused.text.contains("are waiting"), "{}", refused.text);
    assert_eq!(harness.app.metrics().waits_refused.get(), 1);
    // Whoever does not wait is served all the same.
    one_more.send("GET", "/access/v1/changes", "");
    one_more.answer().expect(200);
    // Another organisation gets a place: who has waited longest asks again.
    let mut stranger = connect(&other);
    stranger.wait_after(0, 60);
    assert_eq!(clients[0].answer().expect(200).json()["changes"], json!([]));
    wait_until(|| waiting(&harness) == WAITING_MAX as u64);
    harness.user("a@example.com");
    for it in &mut clients[1..] {
        assert_eq!(it.answer().expect(200).json()["last"], 1);
    }
    wait_until(|| waiting(&harness) == 1);
    server.stop();
    stranger.answer().expect(200);
}

#[test]
fn where_connections_are_few_fewer_wait() {
    let harness = Harness::new();
    let token = harness.issue(Scope::Read);
    let server = serve(&harness, Limits { connections: 8, ..Limits::default() });
    let mut clients: Vec<Client> =
        (0..3).map(|_| Client::new(server.local_addr(), &token)).collect();
    for (i, it) in clients[..2].iter_mut().enumerate() {
        it.wait_after(0, 60);
        wait_until(|| waiting(&harness) == i as u64 + 1);
    }
    clients[2].wait_after(0, 60);
    clients[2].answer().expect(503);
    server.stop();
}

#[test]
fn a_wait_ends_in_time_and_costs_one_request_of_the_rate() {
    let harness = Harness::new();
    let app = Follower::new(&harness);
    let started = Instant::now();
    let page = app.ask("?wait=1").expect(200).json();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(page, json!({"changes": [], "last": 0, "more": false}));
    let mut settings = harness.org.settings;
    settings.rate = 1;
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, true, settings)).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| app.ask("?wait=60").expect(200).json());
        wait_until(|| waiting(&harness) == 1);
        harness.user("a@example.com");
        assert_eq!(waits.join().unwrap()["last"], 1);
    });
    app.ask("").expect(429);
}

#[test]
fn events_are_counted() {
    let harness = Harness::new();
    let mut app = Follower::new(&harness);
    for i in 0..3 {
        harness.user(&format!("{i}@example.com"));
        app.news();
    }
    let admin = harness.issue(Scope::Admin);
    let text = harness.with_token(&admin, "GET", "/metrics", "").text;
    let told = |event: &str| format!("plumm_events_told_total{{by=\"feed\",type=\"{event}\"}}");
    assert!(text.contains(&format!("{} 3\n", told("user.created"))), "{text}");
    assert!(text.contains(&format!("{} 0\n", told("user.deactivated"))), "{text}");
    assert!(text.contains("plumm_changes_waiting 0\n"));
    assert!(text.contains("plumm_changes_waits_refused_total 0\n"));
    assert!(text.contains("route=\"/access/v1/changes\""), "{text}");
}
