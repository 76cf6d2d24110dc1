//! Refused requests are kept for whoever asks afterwards, and cost those that are served nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use plumm::scim::datetime::Timestamp;
use plumm::store::tables::refusal::DETAIL_BYTES_MAX;
use plumm::store::tables::token::Scope;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::{Place, send, text};
use crate::harness::{Folder, Harness, user, wait_until};

/// A row as the tests read it.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    org: i64,
    count: i64,
    method: String,
    path: String,
    resource: Option<String>,
    subject: Option<String>,
    status: i64,
    scim_type: Option<String>,
    detail: String,
    various: bool,
}

fn rows(folder: &Folder) -> Vec<Row> {
    let database = Connection::open(folder.database()).unwrap();
    let sql = "SELECT org, count, method, path, resource, subject, status, scim_type, detail,
        various FROM refusal ORDER BY seq";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(Row {
            org: row.get(0)?,
            count: row.get(1)?,
            method: row.get(2)?,
            path: row.get(3)?,
            resource: row.get(4)?,
            subject: row.get(5)?,
            status: row.get(6)?,
            scim_type: row.get(7)?,
            detail: row.get(8)?,
            various: row.get(9)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The rows after these requests, as "count status method path".
fn kept(harness: &Harness) -> Vec<String> {
    harness.app.write_refusals();
    let shown = |it: &Row| format!("{} {} {} {}", it.count, it.status, it.method, it.path);
    rows(&harness.folder).iter().map(shown).collect()
}

fn metric(harness: &Harness, token: &str, name: &str) -> String {
    let text = harness.with_token(token, "GET", "/metrics", "").text;
    let line = text.lines().find(|it| it.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[test]
fn what_is_refused_is_kept_with_what_it_was_about() {
    let harness = Harness::new();
    let id = text(&harness.user("mara@example.com")["id"]);
    harness.post("/Users", &user("MARA@example.com")).expect(409);
    harness.post("/Users", &user("Nobody")).expect(400);
    harness.post("/Users", &user("Nobody")).expect(400);
    let unknown = "01a20a2b-9a92-79fb-a13c-a8d064a3c9fa";
    harness.put(&format!("/Users/{unknown}"), &user("mara@example.com")).expect(404);
    let rename = json!([{"op": "replace", "path": "userName", "value": "other@example.com"}]);
    harness.patch(&format!("/Users/{id}"), &rename).expect(400);
    harness.get("/Nothing/here").expect(404);
    harness.call("BREW", "/Users", "").expect(405);
    // Answers and questions about versions are no refusals.
    let access = harness.issue(Scope::Access);
    let login = harness.with_token(&access, "GET", "/access/v1/users/nobody@example.com", "");
    login.expect(404);
    harness.with_token(&access, "GET", "/access/v1/user", "").expect(400);
    harness
        .send(
            "GET",
            &format!("/scim/v2/Users/{id}"),
            &[("Authorization", &format!("Bearer {}", harness.token())), ("If-Match", "\"9\"")],
            "",
        )
        .expect(412);
    // A token that is not for this is refused wherever it is used.
    harness.with_token(&access, "GET", "/scim/v2/Users", "").expect(403);
    harness.with_token(harness.token(), "GET", "/access/v1/users/mara@example.com", "").expect(403);

    assert_eq!(
        kept(&harness),
        [
            "1 409 POST /scim/v2/Users",
            "2 400 POST /scim/v2/Users",
            "1 404 PUT /scim/v2/Users/{id}",
            "1 400 PATCH /scim/v2/Users/{id}",
            "1 404 GET /scim/…",
            "1 405 OTHER /scim/v2/Users",
            "1 403 GET /scim/v2/Users",
            "1 403 GET /access/v1/users/{userName}",
        ]
    );
    let rows = rows(&harness.folder);
    assert_eq!(rows[0].subject.as_deref(), Some("mara@example.com"));
    assert_eq!(rows[0].scim_type.as_deref(), Some("uniqueness"));
    assert_eq!(rows[2].resource.as_deref(), Some(unknown));
    assert_eq!(rows[3].scim_type.as_deref(), Some("mutability"));
    assert!(rows[1].detail.contains("Email"), "{rows:?}");

    // Again, later: the same row, with the newest number.
    harness.app.clock().advance(60);
    harness.post("/Users", &user("Nobody")).expect(400);
    assert_eq!(kept(&harness).last().unwrap(), "3 400 POST /scim/v2/Users");
    // Nothing to write, nothing written.
    let before = fs::metadata(harness.folder.path().join("plumm.db-wal")).unwrap().len();
    kept(&harness);
    assert_eq!(fs::metadata(harness.folder.path().join("plumm.db-wal")).unwrap().len(), before);
    let admin = harness.issue(Scope::Admin);
    let name = "plumm_refused_requests_total{code=\"400\",scim_type=\"invalidValue\"}";
    assert_eq!(metric(&harness, &admin, name), format!("{name} 3"));
}

/// A row that is counted again before it is written has a newer time than rows with higher numbers:
/// by pages of any length, each row is told once.
#[test]
fn a_refusal_that_is_counted_again_hides_no_other_one() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let wrong = ["/Users?count=x", "/Groups?count=x", "/Users/x", "/Groups/x", "/Schemas/x"];
    for (i, target) in wrong.iter().enumerate() {
        for target in [target, wrong[i / 3], wrong[0]] {
            assert!(harness.get(target).status >= 400);
            harness.app.clock().advance(1);
        }
        harness.post("/Users", &user(&format!("u{i}@example.com"))).expect(201);
    }
    // All at once, so that their numbers are in the order in which each came first.
    harness.app.write_refusals();
    let told = |limit: usize, only: &str| {
        let (mut entries, mut before) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("/activity?limit={limit}{only}{before}")).expect(200);
            let page = page.json();
            let number = |it: &Value| (it["kind"].to_string(), it["number"].as_i64().unwrap());
            entries.extend(page["entries"].as_array().unwrap().iter().map(number));
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => break,
            }
        }
        entries.sort();
        entries
    };
    for (only, count) in [("", 10), ("&outcome=refused", 5)] {
        let all = told(100, only);
        assert!(all.len() >= count, "{all:?}");
        for limit in 1..8 {
            assert_eq!(told(limit, only), all, "{limit}");
        }
    }
}

#[test]
fn operations_of_a_bulk_request_that_fail_are_kept_each_with_its_person() {
    let harness = Harness::new();
    let operation = |name: &str| json!({"method": "POST", "path": "/Users", "bulkId": name, "data": user(name)});
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [operation("ann@example.com"), operation("bob"), operation("cat")],
    });
    harness.post("/Bulk", &body).expect(200);
    assert_eq!(kept(&harness), ["1 400 POST /scim/v2/Users", "1 400 POST /scim/v2/Users"]);
    let rows = rows(&harness.folder);
    let subjects: Vec<_> = rows.iter().map(|it| it.subject.as_deref().unwrap()).collect();
    assert_eq!(subjects, ["bob", "cat"]);
    // One that is no Bulk request at all is refused itself.
    harness.post("/Bulk", &json!({"Operations": 7})).expect(400);
    assert_eq!(kept(&harness).last().unwrap(), "1 400 POST /scim/v2/Bulk");
}

#[test]
fn a_token_that_was_revoked_or_has_expired_is_refused_in_the_record_of_its_organisation() {
    let harness = Harness::new();
    let id = harness.token().split('_').nth(1).unwrap().to_owned();
    let revoked = harness.store.write(harness.now, |tx| tx.revoke_token(&id));
    revoked.unwrap();
    harness.get("/Users").expect(401);
    assert_eq!(kept(&harness), ["1 401 GET /scim/v2/Users"]);
    let [row] = &rows(&harness.folder)[..] else { panic!() };
    assert!(row.detail.contains("revoked on") && row.org == 1, "{row:?}");

    // Whoever has no token of anybody is counted, and the last hundred are known.
    for i in 0..150 {
        harness.with_token("plm_nonsense", "GET", &format!("/scim/v2/Users/{i}"), "");
    }
    assert_eq!(kept(&harness).len(), 1);
    let strangers = harness.app.refusals().strangers();
    assert_eq!(strangers.len(), 100);
    assert!(strangers.iter().all(|it| it.status == 401 || it.status == 429));
    assert_eq!(strangers[0].path, "/scim/v2/Users/{id}");
}

#[test]
fn what_is_kept_of_a_request_is_short_and_holds_no_token() {
    let harness = Harness::new();
    let huge = "ü".repeat(200_000);
    harness.post("/Users", &user(&format!("{huge}@example.com")));
    harness.post("/Users", &user(&huge)).expect(400);
    let filter = format!("userName eq {huge}");
    harness.get(&format!("/Users?filter={}", crate::harness::encoded(&filter))).expect(400);
    harness.get(&format!("/{}", harness.token())).expect(404);
    harness.get(&format!("/Users/{}", "x".repeat(10_000))).expect(404);
    harness.app.write_refusals();
    let rows = rows(&harness.folder);
    assert!(rows.len() >= 4, "{rows:?}");
    for it in &rows {
        assert!(it.detail.len() <= DETAIL_BYTES_MAX, "{it:?}");
        assert!(it.subject.as_ref().is_none_or(|it| it.len() <= 320), "{it:?}");
        assert!(!it.detail.contains(&harness.token()[17..40]), "{it:?}");
        assert_eq!(it.resource, None);
    }
}

#[test]
fn old_refusals_go_with_the_old_lines_of_the_record() {
    let harness = Harness::new();
    harness.post("/Users", &user("Nobody")).expect(400);
    assert_eq!(kept(&harness).len(), 1);
    harness.app.run_housekeeping();
    for _ in 0..(366 * 24) {
        harness.app.clock().advance(3600);
    }
    harness.app.run_housekeeping();
    assert_eq!(kept(&harness), [""; 0]);
}

#[test]
fn more_than_are_kept_push_out_the_oldest_of_their_own_organisation_alone() {
    let harness = Harness::new();
    let (neighbour, token) = harness.neighbour("neighbour");
    for i in 0..20 {
        let body = user(&format!("neighbour {i}")).to_string();
        harness.with_token(&token, "POST", "/scim/v2/Users", &body).expect(400);
    }
    harness.app.write_refusals();
    // As many as an attacker gets in months: each a row of its own.
    let filled = harness.store.write(harness.now, |tx| {
        let [first, ..] = &rows(&harness.folder)[..] else { panic!() };
        for i in 0..10_500_i64 {
            let at = Timestamp::from_nanoseconds(harness.now.nanoseconds() + i);
            tx.add_refusal(&plumm::store::tables::refusal::Refusal {
                org: harness.org.key,
                first: at,
                last: at,
                count: 1,
                various: false,
                token: "0123456789ab".to_owned(),
                client: None,
                request: None,
                method: "POST".to_owned(),
                path: first.path.clone(),
                resource_type: None,
                resource: None,
                subject: None,
                status: 400,
                scim_type: None,
                detail: format!("flood {i}"),
            })?;
        }
        tx.bound_refusals(harness.org.key)
    });
    filled.unwrap();
    let rows = rows(&harness.folder);
    let own: Vec<&Row> = rows.iter().filter(|it| it.org == 1).collect();
    assert_eq!((own.len(), own[0].detail.as_str()), (10_000, "flood 500"));
    assert_eq!(rows.iter().filter(|it| it.org != 1).count(), 20);
    assert_ne!(neighbour.key, harness.org.key);
}

#[test]
fn a_flood_of_bad_requests_leaves_good_ones_unhurt_and_the_file_small() {
    const FLOOD: usize = 3_000;
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let (first, second) = (place.token(), place.token());
    place.plumm(&["org", "create", "neighbour", "--activate"]).succeeds();
    let other = text(&place.json(&["token", "create", "neighbour"])["token"]);
    for i in 0..5 {
        let body = user(&format!("neighbour {i}")).to_string();
        assert_eq!(serving.send("POST", "/scim/v2/Users", &other, &body).0, 400);
    }
    let slowest = |url: &str, token: &str, n: usize| -> Duration {
        let times = (0..n).map(|i| {
            let started = Instant::now();
            let body = user(&format!("good-{n}-{i}@example.com")).to_string();
            assert_eq!(send(url, "POST", "/scim/v2/Users", token, &body).0, 201);
            started.elapsed()
        });
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        times[times.len() / 2]
    };
    let quiet = slowest(&serving.url, &other, 50);
    let wrote = place.folder.path().join("plumm.db");
    let before = fs::metadata(&wrote).unwrap().len();
    let flooded = thread::scope(|scope| {
        for (nth, token) in [&first, &second].into_iter().enumerate() {
            let url = &serving.url;
            scope.spawn(move || {
                for i in 0..FLOOD / 2 {
                    // No two are the same.
                    let body = user(&format!("no address {nth} {i}")).to_string();
                    assert_eq!(send(url, "POST", "/scim/v2/Users", token, &body).0, 400);
                }
            });
        }
        scope.spawn(|| slowest(&serving.url, &other, 100)).join().unwrap()
    });
    assert_eq!(serving.stop("TERM").0, Some(0));
    let rows = rows(&place.folder);
    let of = |name: &str| -> Vec<Row> {
        rows.iter().filter(|it| it.subject.as_deref().unwrap().starts_with(name)).cloned().collect()
    };
    assert_eq!(of("no address").iter().map(|it| it.count).sum::<i64>(), FLOOD as i64);
    assert_eq!(of("neighbour").len(), 5);
    let apart = of("no address").iter().filter(|it| !it.various).count();
    assert!((1_000..1_100).contains(&apart), "{apart}");
    assert_eq!(rows.iter().filter(|it| it.various).count(), 2);
    let grown = fs::metadata(&wrote).unwrap().len() - before;
    println!("median good POST {quiet:?} quiet, {flooded:?} in the flood; {grown} bytes more");
    assert!(grown < 2_000_000, "{grown}");
    // All share two cores with the flood; waiting for the disk of the refusals would take longer.
    assert!(flooded < quiet * 20 + Duration::from_millis(50), "{quiet:?} {flooded:?}");
    place.plumm(&["check"]).succeeds();
}

#[test]
fn a_killed_server_loses_the_last_second_of_refusals_and_no_change() {
    let place = Place::new();
    let mut serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &user("x").to_string()).0, 400);
    let line =
        serving.wait_for("refused: 400 invalidValue POST /scim/v2/Users of organisation acme");
    assert!(line.contains("client 127.0.0.1"), "{line}");
    wait_until(|| rows(&place.folder).len() == 1);
    for i in 0..20 {
        let body = user(&format!("user-{i}@example.com")).to_string();
        assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &body).0, 201);
        assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &user("x").to_string()).0, 400);
    }
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    drop(serving);
    let serving = place.serve(&[]);
    let (_, list) = serving.get("/scim/v2/Users?count=0", &token);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["totalResults"], 20);
    let [row] = &rows(&place.folder)[..] else { panic!() };
    assert!((1..=21).contains(&row.count), "{row:?}");
    assert_eq!(serving.stop("TERM").0, Some(0));
    place.plumm(&["check"]).succeeds();
}

#[test]
fn a_line_of_the_log_is_written_once_and_holds_nothing_of_a_person() {
    let place = Place::new();
    let mut serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    for i in 0..5 {
        let body = user(&format!("marker person {i}")).to_string();
        assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &body).0, 400);
        assert_eq!(serving.get("/scim/v2/Users/marker@example.com", &token).0, 404);
        assert_eq!(serving.get("/scim/v2/Users", "plm_marker").0, 401);
    }
    serving.signal("TERM");
    let sum = serving.wait_for("refused 4 more times within a minute: 400 invalidValue POST");
    let others = [
        "refused 4 more times within a minute: 404 GET /scim/v2/Users/{id} of",
        "refused 4 more times within a minute: 401 GET /scim/v2/Users without a valid token",
    ];
    for it in others {
        serving.wait_for(it);
    }
    serving.wait_for("stopped");
    assert!(!sum.contains("marker"));
    let first: Vec<String> = [" refused: 400", " refused: 404", " refused: 401"]
        .into_iter()
        .map(|it| serving.wait_for(it))
        .collect();
    assert!(first.iter().all(|it| !it.contains("marker")), "{first:?}");
}
