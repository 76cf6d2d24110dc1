//! What of the web page takes long: the story searched and exported, snapshots, test events, and
//! what others feel of it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plumm::api::admin::activity::LINES_LOOKED_AT_MAX;
use plumm::api::admin::backup::SNAPSHOT_SECONDS_MAX;
use plumm::config::{Backups, Config};
use plumm::http::request::Request;
use plumm::http::response::Response;
use plumm::store::copies::check::check;
use plumm::store::copies::snapshot;
use plumm::store::tables::org::{Org, OrgSettings};
use plumm::store::tables::token::Scope;
use plumm::store::tables::webhook::{Progress, Webhook};
use serde_json::json;

use crate::admin::Admin;
use crate::harness::{self, Harness, user};

/// Lines of the record about people, as many as one likes at once.
fn add_lines(harness: &Harness, org: &Org, count: usize) {
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO provisioning_log (time, org, actor, method, type, resource, outcome, changes)
        SELECT ?2, (SELECT id FROM org WHERE name = ?3), 'none', 'PATCH', 'User', 'person-' || i, 200,
            '{\"title\":{\"before\":\"a\",\"after\":\"b\"}}' FROM n";
    let count = i64::try_from(count).unwrap();
    let values = rusqlite::params![count, harness.now.nanoseconds(), org.name];
    connection.execute(sql, values).unwrap();
}

fn add_webhook(harness: &Harness, url: &str) {
    let webhook = Webhook {
        id: "wh_own".to_owned(),
        org: harness.org.key,
        url: url.to_owned(),
        events: Vec::new(),
        algorithm: "hmac".to_owned(),
        key: b"a key that nobody sees".to_vec().into(),
        former_key: None,
        ca: None,
        insecure: false,
        created: harness.now,
        revision: 0,
        progress: Progress::default(),
    };
    harness.store.write(harness.now, |tx| tx.add_webhook(&webhook)).unwrap();
}

fn request(admin: &Admin, method: &str, target: &str) -> Request {
    let authorization = format!("Bearer {}", admin.token);
    let (target, fields) = (format!("/admin/api{target}"), [("Authorization", &*authorization)]);
    let mut request = harness::request(method, &target, &fields);
    if method == "POST" {
        request.body = b"{}".to_vec();
    }
    request
}

fn snapshot_of(admin: &Admin) -> Response {
    admin.harness.app.handle(&request(admin, "POST", "/backup/snapshot"))
}

#[test]
fn what_is_rare_is_found_far_back_and_a_search_says_how_far_it_was() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    add_webhook(&harness, "https://app.example.com/plumm");
    admin.post("/webhooks/wh_own/disable", &json!({})).expect(200);
    harness.post("/Users", &user("no address")).expect(400);
    harness.app.write_refusals();
    add_lines(&harness, &harness.org, LINES_LOOKED_AT_MAX + 1_000);
    let (mut before, mut found, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = admin.get(&format!("/activity?kind=webhooks{before}")).expect(200).json();
        found.extend(page["entries"].as_array().unwrap().clone());
        pages += 1;
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
        assert!(page["reached"].is_string(), "{page}");
    }
    assert_eq!((found.len(), pages), (1, 2), "{found:?}");
    let refused = admin.get("/activity?outcome=refused&kind=users").expect(200).json();
    assert_eq!(refused["entries"].as_array().unwrap().len(), 1);
    assert_eq!(admin.get("/activity?kind=commands").json()["entries"], json!([]));
    let done = admin.get("/activity?outcome=done&limit=1").expect(200).json();
    assert_eq!(done["entries"][0]["kind"], "change");
    // What has come since, of that kind.
    let newest = admin.get("/activity?limit=1").json()["newest"].as_str().unwrap().to_owned();
    harness.user("ann@example.com");
    admin.post("/webhooks/wh_own/enable", &json!({})).expect(200);
    let since = admin.get(&format!("/activity?kind=webhooks&after={newest}")).expect(200).json();
    assert_eq!(since["entries"].as_array().unwrap().len(), 1);
    // The same as a table, where nothing is left out for being far back.
    let table = admin.get("/activity.csv?kind=webhooks").expect(200);
    assert_eq!(table.text.lines().count(), 3, "{}", table.text);
}

/// A line of a few kilobytes may have thousands of values.
#[test]
fn a_page_of_the_story_ends_where_its_lines_are_too_large_and_nothing_is_missing() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let id = harness.user("ann@example.com")["id"].as_str().unwrap().to_owned();
    for round in 0..12 {
        let values: serde_json::Map<_, _> =
            (0..1_600).map(|it| (format!("a{it}"), round.into())).collect();
        let change = json!([{"op": "replace", "path": "urn:example:wide:1.0", "value": values}]);
        harness.patch(&format!("/Users/{id}"), &change).expect(200);
        harness.post("/Users", &user("no address")).expect(400);
        harness.app.write_refusals();
    }
    let numbers = |page: &serde_json::Value| -> Vec<String> {
        let entries = page["entries"].as_array().unwrap();
        entries.iter().map(|it| format!("{} {}", it["kind"], it["number"])).collect()
    };
    let (mut target, mut back, mut pages) = ("/activity?limit=100".to_owned(), Vec::new(), 0);
    loop {
        let page = admin.get(&target).expect(200).json();
        back.extend(numbers(&page));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        target = format!("/activity?limit=100&before={next}");
    }
    assert!(pages > 2, "{pages}: {back:?}");
    let (mut after, mut forth) = ("0.0".to_owned(), Vec::new());
    loop {
        let page = admin.get(&format!("/activity?limit=100&after={after}")).expect(200).json();
        forth.extend(numbers(&page));
        after = page["newest"].as_str().unwrap().to_owned();
        if page["more"] == false {
            break;
        }
    }
    let table = admin.get("/activity.csv").expect(200);
    assert_eq!(table.text.lines().count(), 1 + back.len());
    for found in [&mut back, &mut forth] {
        let read = found.len();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), read, "nothing twice: {found:?}");
    }
    assert_eq!(back, forth);
    assert!(back.len() >= 14, "{back:?}");
}

#[test]
fn the_story_is_a_table_with_every_entry_in_parts() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let mut it = user("ann@example.com");
    it["displayName"] = "=cmd(\"x\"), Ann".into();
    harness.post("/Users", &it).expect(201);
    harness.post("/Users", &user("no address")).expect(400);
    harness.app.write_refusals();
    add_lines(&harness, &harness.org, 1_700);
    let table = admin.get("/activity.csv").expect(200);
    assert_eq!(table.header("Content-Type"), Some("text/csv; charset=utf-8"));
    let named = table.header("Content-Disposition").unwrap();
    assert_eq!(named, "attachment; filename=\"plumm-activity-20260131T080000Z.csv\"");
    assert!(table.text.starts_with("\u{feff}time,who,client,"));
    assert_eq!(table.text.lines().count(), 1 + 1_702);
    assert!(table.text.lines().skip(1).all(|it| it.starts_with("\"2026-01-31T08:00:00.000Z\",")));
    assert_eq!(table.text.matches(",\"refused\",").count(), 1);
    let answer = harness.app.handle_and_take(&request(&admin, "GET", "/activity.csv"), || ());
    assert!(answer.response.body.len() < table.text.len(), "only a part is in memory at once");
    assert_eq!(answer.further.unwrap().length(), None);
    let only = admin.get("/activity.csv?user=ann@example.com").expect(200);
    assert_eq!(only.text.lines().count(), 2, "{}", only.text);
    admin.get("/activity.csv?kind=x").expect(400);
    // Of its own organisation only.
    let (other, _) = harness.neighbour("other");
    let foreign = Admin::of_org(&harness, &other);
    assert_eq!(foreign.get("/activity.csv").expect(200).text.lines().count(), 1);
}

#[test]
fn a_snapshot_is_whole_has_no_name_and_there_is_one_at_a_time() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    for i in 0..300 {
        harness.user(&format!("p{i}@example.com"));
    }
    let shown = admin.get("/backup").expect(200).json();
    assert_eq!((&shown["snapshot"]["available"], &shown["rotation"]), (&json!(true), &json!(null)));
    assert!(!shown.to_string().contains(harness.folder.path().to_str().unwrap()));
    let sent = snapshot_of(&admin);
    assert_eq!(sent.status, 200);
    assert_eq!(sent.header("Content-Type"), Some("application/vnd.sqlite3"));
    assert_eq!(
        sent.header("Content-Disposition"),
        Some("attachment; filename=\"plumm-20260131T080000Z.db\"")
    );
    let file = harness.folder.path().join("copy.db");
    fs::write(&file, &sent.body).unwrap();
    let report = check(&file, harness.folder.path()).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.orgs[0].counts["User"], 300);

    let names = || -> Vec<String> {
        let all = fs::read_dir(harness.folder.path()).unwrap();
        all.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
    };
    let left = |names: Vec<String>| names.into_iter().any(|it| it.contains("snapshot"));
    // While one is on its way there is no other, and nothing of it lies in the folder.
    let asked = request(&admin, "POST", "/backup/snapshot");
    let mut first = harness.app.handle_and_take(&asked, || ());
    assert_eq!(first.further.as_ref().unwrap().length(), Some(sent.body.len() as u64));
    assert!(!left(names()));
    assert_eq!(snapshot_of(&admin).status, 503);
    let more = harness.app.next_part(&asked, first.further.as_mut().unwrap(), || ());
    assert!(more.unwrap().is_some());
    // Whoever reads it for too long is cut off.
    harness.app.clock().advance(SNAPSHOT_SECONDS_MAX + 1);
    let more = harness.app.next_part(&asked, first.further.as_mut().unwrap(), || ());
    assert!(more.is_err());
    drop(first);
    assert_eq!(snapshot_of(&admin).status, 200);
    assert!(!left(names()));

    // What a killed server leaves is gone at the next start.
    fs::write(harness.folder.path().join("plumm.db-snapshot.partial"), "half").unwrap();
    snapshot::remove_leftovers(&harness.folder.database());
    assert!(!left(names()));
    admin.post("/backup/snapshot", &json!({"file": "/etc/passwd"})).expect(400);
}

#[test]
fn a_file_with_several_organisations_is_given_to_none_of_them() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    harness.neighbour("other");
    let refused = admin.post("/backup/snapshot", &json!({})).expect(403);
    assert!(refused.text.contains("plumm backup"), "{}", refused.text);
    let shown = admin.get("/backup").expect(200).json();
    assert_eq!(shown["snapshot"]["available"], false);
    assert!(shown["snapshot"]["reason"].as_str().unwrap().contains("several organisations"));
}

#[test]
fn the_backups_of_the_host_are_listed_without_where_they_are() {
    let folder = crate::harness::Folder::new();
    for (name, bytes) in [("plumm-20260130T080000Z.db", 10), ("plumm-20260129T080000Z.db", 20)] {
        fs::write(folder.path().join(name), vec![0; bytes]).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let dir = folder.path().to_owned();
    let config = Config { backups: Some(Backups { dir, every: 24, keep: 7 }), ..Config::default() };
    let harness = Harness::configured(OrgSettings::default(), config);
    let shown = Admin::of(&harness).get("/backup").expect(200);
    let rotation = shown.json()["rotation"].clone();
    assert_eq!((&rotation["everyHours"], &rotation["keep"]), (&json!(24), &json!(7)));
    let entries = rotation["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let newest = json!({"name": "plumm-20260130T080000Z.db", "bytes": 10,
        "time": "2026-01-30T08:00:00.000Z"});
    assert_eq!(entries[0], newest);
    assert!(!shown.text.contains(folder.path().to_str().unwrap()));
    fs::remove_dir_all(folder.path()).unwrap();
    let shown = Admin::of(&harness).get("/backup").expect(200).json();
    assert!(shown["rotation"]["problem"].as_str().unwrap().contains("cannot be read"));
}

#[test]
fn a_test_event_says_what_came_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    add_webhook(&harness, &url);
    let receiver = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        while !text.contains("webhook.test") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        text
    });
    let tested = admin.post("/webhooks/wh_own/test", &json!({})).expect(200).json();
    let received = receiver.join().unwrap();
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(204)), "{tested}");
    assert!(received.contains(tested["headers"]["webhook-id"].as_str().unwrap()));
    // Nobody listens there any more.
    let tested = admin.post("/webhooks/wh_own/test", &json!({})).expect(200).json();
    assert_eq!(tested["delivered"], false);
    assert!(tested["error"].is_string());
    let shown = admin.get("/webhooks/wh_own").expect(200).json();
    assert_eq!(shown["deliveries"].as_array().unwrap().len(), 2);
    admin.post("/webhooks/wh_none/test", &json!({})).expect(404);
    admin.post("/webhooks/wh_own/test", &json!({"url": "x"})).expect(400);
    let (other, _) = harness.neighbour("other");
    Admin::of_org(&harness, &other).post("/webhooks/wh_own/test", &json!({})).expect(404);
}

#[test]
fn a_token_that_opens_no_page_is_told_why() {
    let harness = Harness::new();
    let ask = |token: &str| harness.with_token(token, "GET", "/admin/api/overview", "");
    let refused = ask(&harness.issue(Scope::Read)).expect(403);
    assert!(refused.text.contains("\\\"read\\\"") && refused.text.contains("\\\"admin\\\""));
    let expires = Some(harness.now.plus_seconds(60));
    let issue = |expires| {
        let (store, org) = (&harness.store, &harness.org);
        let it = plumm::auth::issue(store, harness.now, org, Scope::Admin, "", expires).unwrap();
        (it.token.id, it.secret.reveal().to_owned())
    };
    let (_, ends) = issue(expires);
    let (id, revoked) = issue(None);
    ask(&ends).expect(200);
    let admin = Admin::of(&harness);
    admin.post(&format!("/tokens/{id}/revoke"), &json!({})).expect(200);
    assert!(ask(&revoked).expect(401).text.contains("was revoked on"));
    harness.app.clock().advance(61);
    assert!(ask(&ends).expect(401).text.contains("expired on"));
    // One of an organisation that is not activated opens it, and the page says so.
    let new = harness
        .store
        .write(harness.now, |tx| tx.add_org("new", false, OrgSettings::default()))
        .unwrap();
    let shown = Admin::of_org(&harness, &new).get("/overview").expect(200).json();
    assert_eq!(shown["org"], json!({"name": "new", "activated": false}));
}

#[test]
fn one_organisation_at_its_page_delays_no_login_of_another() {
    let settings = OrgSettings { rate: 6_000_000, ..OrgSettings::default() };
    let harness = Harness::with(settings);
    let admin = Admin::of(&harness);
    for i in 0..20 {
        harness.user(&format!("p{i}@example.com"));
    }
    add_lines(&harness, &harness.org, 60_000);
    let (other, scim) = harness.neighbour("other");
    let jon = user("jon@example.com").to_string();
    harness.with_token(&scim, "POST", "/scim/v2/Users", &jon).expect(201);
    let issued =
        plumm::auth::issue(&harness.store, harness.now, &other, Scope::Access, "", None).unwrap();
    let access = issued.secret.reveal().to_owned();
    let over = AtomicBool::new(false);
    let targets = [
        "/activity?kind=webhooks",
        "/activity.csv?kind=commands",
        "/users?search=p1",
        "/overview",
        "/setup",
        "/activity?limit=100",
    ];
    let (slowest, asked) = thread::scope(|scope| {
        for it in 0..12 {
            let (admin, over) = (&admin, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let status = admin.get(targets[it % targets.len()]).status;
                    assert!(matches!(status, 200 | 429 | 503), "{status}");
                }
            });
        }
        let (began, mut slowest, mut asked) = (Instant::now(), Duration::ZERO, 0);
        while began.elapsed() < Duration::from_secs(2) {
            let started = Instant::now();
            let target = "/access/v1/users/jon@example.com";
            let answer = harness.with_token(&access, "GET", target, "");
            slowest = slowest.max(started.elapsed());
            asked += usize::from(answer.status == 200);
            if answer.status != 200 {
                over.store(true, Ordering::Relaxed);
                panic!("{answer:?}");
            }
        }
        over.store(true, Ordering::Relaxed);
        (slowest, asked)
    });
    assert!(asked > 20 && slowest < Duration::from_millis(1_000), "{asked}: {slowest:?}");
}
