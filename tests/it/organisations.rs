//! Organisations, groups and tokens as support sees them; an organisation that is erased for good.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use plumm::store::Store;
use plumm::store::error::Error;
use plumm::store::open::Open;
use plumm::store::tables::resource::State;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::{Place, send, text};
use crate::columns::with_all_tables;
use crate::harness::{user, wait_until};
use crate::support::{has_reason, last_line};

/// The files of a place that hold this text.
fn files_with(place: &Place, text: &str) -> Vec<String> {
    let holds = |name: &String| {
        let bytes = fs::read(place.folder.path().join(name)).unwrap();
        String::from_utf8_lossy(&bytes).to_lowercase().contains(text)
    };
    place.files().into_iter().filter(holds).collect()
}

#[test]
fn an_organisation_is_shown_and_renamed() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let made = place.json(&["token", "create", "acme", "--label", "okta", "--expires", "10"]);
    let token = text(&made["token"]);
    let body = user("mara@example.com").to_string();
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &body).0, 201);
    place.plumm(&["org", "create", "other"]).succeeds();

    let shown = place.json(&["org", "show", "ACME"]);
    assert_eq!((&shown["name"], &shown["active"]), (&json!("acme"), &json!(true)));
    assert_eq!(shown["users"], json!({ "active": 1, "inactive": 0, "deleted": 0 }));
    assert_eq!(shown["tokens"][1]["label"], "okta");
    assert_eq!(shown["last_change"]["method"], "POST");
    assert_eq!(shown["last_change"]["time"], shown["last_push"]);
    let out = place.plumm(&["org", "show", "acme"]).succeeds().to_owned();
    assert!(out.contains("\nUsers             1 active, 0 inactive, 0 deleted\n"), "{out}");
    assert!(out.contains("  token okta ("), "{out}");
    let out = place.plumm(&["org", "show", "other"]).succeeds().to_owned();
    assert!(out.contains("\nTo switch provisioning on:\n  plumm org activate other\n"), "{out}");
    assert!(out.contains("\nNobody can come in without a token."), "{out}");

    // Another name: tokens and data stay.
    place
        .plumm(&["org", "rename", "acme", "OTHER"])
        .fails("there is already an organisation other: choose another name");
    let ran = place.plumm(&["org", "rename", "acme", "Acme & Sons", "--reason", "merger"]);
    let out = ran.succeeds();
    assert!(out.starts_with("Organisation acme is called Acme & Sons from now on."), "{out}");
    assert!(out.contains("`--init acme`"), "{out}");
    has_reason(&place, "merger");
    let line = last_line(&place);
    assert_eq!((line.1.as_str(), line.2.as_str()), ("rename", "Acme & Sons"));
    assert_eq!(line.3, json!({ "name": { "before": "acme", "after": "Acme & Sons" } }));
    assert_eq!(serving.test_credentials(&token), 200);
    place.plumm(&["org", "rename", "acme & sons", "ACME & SONS"]).succeeds();
    assert_eq!(
        place.plumm(&["org", "rename", "acme & sons", "ACME & SONS"]).succeeds(),
        "Organisation ACME & SONS is called so already: nothing has changed.\n"
    );
    place
        .plumm(&["org", "show", "acme"])
        .fails("there is no organisation acme: those here are ACME & SONS, other");
    assert_eq!(place.plumm(&["org", "rename", "other", "-x"]).code, Some(2));
    assert!(place.plumm(&["check"]).succeeds().contains("ACME & SONS"));

    // The tokens of all, those that end soon marked.
    place.plumm(&["token", "create", "other", "--label", "later", "--expires", "90"]).succeeds();
    let all = place.json(&["token", "list"]);
    let labels: Vec<&Value> = all.as_array().unwrap().iter().map(|it| &it["label"]).collect();
    assert_eq!(labels[1..], [&json!("okta"), &json!("later")]);
    assert_eq!((&all[1]["expires_soon"], &all[1]["state"]), (&json!(true), &json!("valid")));
    assert_eq!((&all[2]["expires_soon"], &all[2]["org"]), (&json!(false), &json!("other")));
    assert_eq!((&all[0]["expires_in_days"], &all[1]["expires_in_days"]), (&Value::Null, &json!(9)));
    let out = place.plumm(&["token", "list"]).succeeds().to_owned();
    assert!(out.contains("  expires soon  ") && out.contains(" (in 9 days)"), "{out}");
    assert!(out.contains("\n1 token expires within 30 days."), "{out}");
    place.plumm(&["token", "revoke", &text(&made["id"]), "--reason", "leaked"]).succeeds();
    has_reason(&place, "leaked");
}

#[test]
fn groups_are_found_and_shown_with_their_members() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let post = |target: &str, body: &Value| {
        let (status, made) = serving.send("POST", target, &token, &body.to_string());
        assert_eq!(status, 201, "{made}");
        text(&made["id"])
    };
    let people: Vec<String> =
        (0..3).map(|i| post("/scim/v2/Users", &user(&format!("u{i}@example.com")))).collect();
    let members: Vec<Value> = people.iter().map(|it| json!({ "value": it })).collect();
    let group = |name: &str, members: &Value| {
        post("/scim/v2/Groups", &json!({ "displayName": name, "members": members }))
    };
    let falcon = group("Project Falcon", &json!(members));
    let all = group("Everybody", &json!([{ "value": falcon }, { "value": people[0] }]));

    let shown = place.json(&["group", "show", "acme", "project FALCON"]);
    assert_eq!((&shown["id"], &shown["membersTotal"]), (&json!(falcon), &json!(3)));
    assert_eq!(shown["members"][0]["userName"], "u0@example.com");
    assert_eq!(shown["groups"][0]["id"], json!(all));
    assert_eq!(shown["history"][0]["method"], "POST");
    let out = place.plumm(&["group", "show", "acme", &falcon, "--limit", "2"]);
    let out = out.succeeds();
    assert!(out.contains("\nIn groups     Everybody\nMembers       3\n"), "{out}");
    let rest =
        format!("\n1 more are not shown. `plumm group show acme {falcon} --limit 3` shows all");
    assert!(out.contains(&rest), "{out}");
    let out = place.plumm(&["group", "show", "acme", "everybody"]).succeeds().to_owned();
    assert!(out.contains("\nMembers       2, 1 of those below a group\n"), "{out}");
    assert!(out.contains("\nProject Falcon  Group  "), "{out}");

    // Found by parts; a name that several have is told apart by ids.
    let names = |args: &[&str]| -> Vec<String> {
        let list = place.json(&[&["group", "list", "acme"], args].concat());
        list.as_array().unwrap().iter().map(|it| text(&it["displayName"])).collect()
    };
    assert_eq!(names(&["--search", "FALC"]), ["Project Falcon"]);
    assert_eq!(names(&["--limit", "1"]), ["Project Falcon"]);
    let out = place.plumm(&["group", "list", "acme", "--limit", "1"]).succeeds().to_owned();
    assert!(
        out.contains("\n1 more are not shown. `plumm group list acme --limit 2` shows"),
        "{out}"
    );
    assert_eq!(
        place.plumm(&["group", "list", "acme", "--search", "zzz"]).succeeds(),
        "Organisation acme has no group with zzz in its name.\n"
    );
    let second = group("project falcon", &json!([]));
    place.plumm(&["group", "show", "acme", "Project Falcon"]).fails(&format!(
        "several groups of organisation acme have the name Project Falcon (ids {falcon}, \
         {second}). Name the one you mean by its id: `plumm group list acme` says when each was \
         created"
    ));
    place.plumm(&["group", "show", "acme", "nothing"]).fails(
        "there is no group nothing in organisation acme: `plumm group list acme` lists its groups, \
         and with --deleted those that were deleted",
    );
}

#[test]
fn an_organisation_is_erased_beside_a_running_server_and_nothing_is_left() {
    let place = Place::new();
    let serving = place.serve(&["--init", "marker-acme"]);
    place.plumm(&["org", "create", "stays", "--activate"]).succeeds();
    let token = |org: &str, scope: &str| {
        text(&place.json(&["token", "create", org, "--scope", scope])["token"])
    };
    let (scim, read) = (token("marker-acme", "scim"), token("marker-acme", "read"));
    let (other, other_read) = (token("stays", "scim"), token("stays", "read"));
    let operations: Vec<Value> = (0..300)
        .map(|i| {
            let mut data = user(&format!("marker-{i}@example.com"));
            data["title"] = "marker ".repeat(i).into();
            json!({ "method": "POST", "path": "/Users", "bulkId": i.to_string(), "data": data })
        })
        .collect();
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let bulk = json!({ "schemas": [urn], "Operations": operations }).to_string();
    for _ in 0..2 {
        assert_eq!(serving.send("POST", "/scim/v2/Bulk", &scim, &bulk).0, 200);
    }
    let list = serving.send("GET", "/scim/v2/Users?count=300", &scim, "").1;
    let ids = list["Resources"].as_array().unwrap().iter();
    let members: Vec<Value> = ids.map(|it| json!({ "value": it["id"] })).collect();
    for name in ["marker-one", "marker-two"] {
        let body = json!({ "displayName": name, "members": members }).to_string();
        assert_eq!(serving.send("POST", "/scim/v2/Groups", &scim, &body).0, 201);
    }
    let first = format!("/scim/v2/Users/{}", text(&list["Resources"][0]["id"]));
    assert_eq!(serving.send("DELETE", &first, &scim, "").0, 204);
    // What was refused stands in the file with the name that was sent.
    let refused = |name: &str| {
        assert_eq!(serving.send("POST", "/scim/v2/Users", &scim, &user(name).to_string()).0, 400);
    };
    refused("marker-refused");
    let details = || {
        let database = Connection::open(place.folder.database()).unwrap();
        let sql = "SELECT count(*) FROM refusal WHERE detail LIKE '%marker-refused%'";
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    wait_until(|| details() == 1);
    let hook = ["webhook", "add", "marker-acme", "https://127.0.0.1:9/marker"];
    place.plumm(&hook).succeeds();
    let body = user("stays@example.com").to_string();
    assert_eq!(serving.send("POST", "/scim/v2/Users", &other, &body).0, 201);
    assert!(!files_with(&place, "marker").is_empty());

    // Unasked it says what would go.
    let ran = place.plumm(&["org", "delete", "MARKER-acme"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    let says = "this would erase organisation marker-acme for good: 300 users, 2 groups, 3 tokens, \
                1 webhook, 0 schemas and resource types and ";
    assert!(ran.err.contains(says), "{ran:?}");
    assert!(ran.err.ends_with("\n\nTry: plumm org delete marker-acme --yes\n"), "{ran:?}");
    assert_eq!(serving.test_credentials(&scim), 200);

    // Those who wait for a change are sent away, and those of others are not.
    let wait = |token: String, url: String| {
        thread::spawn(move || {
            let after = send(&url, "GET", "/access/v1/changes?after=0&limit=1000", &token, "").1;
            let target = format!("/access/v1/changes?after={}&wait=4", after["last"]);
            let started = Instant::now();
            (send(&url, "GET", &target, &token, "").0, started.elapsed())
        })
    };
    let waits = wait(read, serving.url.clone());
    let others_wait = wait(other_read, serving.url.clone());
    thread::sleep(Duration::from_millis(500));
    // One that is still in the memory of the server when the organisation goes.
    refused("marker-refused-late");
    let deleted = place.json(&["org", "delete", "marker-acme", "--yes", "--reason", "the end"]);
    assert_eq!((&deleted["name"], &deleted["deleted"]), (&json!("marker-acme"), &json!(true)));
    let (status, took) = waits.join().unwrap();
    assert_eq!(status, 401);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(others_wait.join().unwrap().0, 200);
    assert_eq!(serving.test_credentials(&scim), 401);
    assert_eq!(serving.test_credentials(&other), 200);
    assert_eq!(place.json(&["org", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["token", "list"]).as_array().unwrap().len(), 2);
    place
        .plumm(&["org", "show", "marker-acme"])
        .fails("there is no organisation marker-acme: the only one here is stays");
    // A new one of the name has none of it, and another number.
    place.plumm(&["backup", "after.db"]).succeeds();
    assert_eq!(files_with(&place, "marker"), [""; 0]);
    assert!(place.plumm(&["check", "after.db"]).succeeds().contains("stays"));
    place.plumm(&["org", "create", "marker-acme", "--activate"]).succeeds();
    assert_eq!(place.json(&["user", "list", "marker-acme"]), json!([]));
    assert_eq!(place.json(&["org", "show", "marker-acme"])["users"]["active"], 0);
    assert_eq!(serving.stop("TERM").0, Some(0));
    let database = Connection::open(place.folder.database()).unwrap();
    let line = "SELECT log.resource, log.changes FROM provisioning_log AS log
        JOIN org ON org.id = log.org WHERE log.method = 'delete' AND org.name_folded < ' '";
    let line = database.query_row(line, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(line.unwrap(), ("(erased)".to_owned(), "{}".to_owned()));
}

/// Each table that has rows of organisations: one that is added later is in the test, too.
#[test]
fn an_erased_organisation_has_no_row_in_any_table() {
    let place = with_all_tables();
    place.plumm(&["org", "delete", "acme", "--yes"]).succeeds();
    let database = Connection::open(place.folder.database()).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut statement = database.prepare(sql).unwrap();
    let tables = statement.query_map([], |row| row.get(0)).unwrap();
    let tables: Vec<String> = tables.map(Result::unwrap).collect();
    assert!(tables.len() > 9, "{tables:?}");
    for table in tables {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = database.query_row(&sql, [], |row| row.get(0)).unwrap();
        let expected = i64::from(["org", "provisioning_log"].contains(&table.as_str()));
        assert_eq!(rows, expected, "{table}");
    }
    assert!(place.plumm(&["check"]).code == Some(0));
    assert_eq!(files_with(&place, "acme"), [""; 0]);
    let ran = place.plumm(&["org", "delete", "acme", "--yes"]);
    assert!(ran.err.contains("there is no organisation acme: there is none at all yet"), "{ran:?}");
}

#[test]
fn an_erasure_that_was_killed_goes_on_and_nobody_comes_in_meanwhile() {
    let place = Place::with_acme();
    let serving = place.serve(&[]);
    let token = place.token();
    for i in 0..5 {
        let body = user(&format!("u{i}@example.com")).to_string();
        assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &body).0, 201);
    }
    assert_eq!(serving.stop("TERM").0, Some(0));
    // As a command that is killed behind its first change, and in the middle.
    let store = Store::open(&place.folder.database(), Open::Existing).unwrap();
    let now = plumm::scim::datetime::Timestamp::parse("2026-01-31T08:00:00Z").unwrap();
    let org = store.read(|tx| tx.org("acme")).unwrap().unwrap();
    store
        .write(now, |tx| {
            tx.begin_erasure(&org)?;
            let stored = tx.find(org.key, "User", "u0@example.com", State::Present)?.unwrap();
            tx.purge_resource(org.key, "User", &stored, &tx.lines_about(&stored.id)?)
        })
        .unwrap_or_else(|it: Error| panic!("{it}"));
    drop(store);
    let goes_on = "organisation acme is being erased: `plumm org delete acme --yes` goes on with \
                   it, if that was stopped";
    for args in [
        &["org", "activate", "acme"][..],
        &["token", "create", "acme"],
        &["org", "create", "acme"],
        &["user", "list", "acme"],
    ] {
        place.plumm(args).fails(goes_on);
    }
    assert_eq!(place.json(&["org", "list"]), json!([]));
    let out = place.plumm(&["org", "list"]).succeeds().to_owned();
    let begun = "\nOrganisation acme is being erased; `plumm org delete acme --yes` goes on, if that \
                 was stopped.\n";
    assert!(out.ends_with(begun), "{out}");
    let serving = place.serve(&[]);
    assert_eq!(serving.test_credentials(&token), 401);
    assert_eq!(place.json(&["check"])["faults"], json!([]));
    assert_eq!(place.json(&["org", "delete", "ACME", "--yes"])["deleted"], true);
    assert_eq!(serving.stop("TERM").0, Some(0));
    assert_eq!(files_with(&place, "u4@example.com"), [""; 0]);
    place.plumm(&["org", "create", "acme"]).succeeds();
}
