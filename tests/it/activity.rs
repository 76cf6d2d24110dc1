//! `plumm log`: who did what, and what was refused, as one story.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use plumm::activity::story::{self, Filter, Place as At};
use plumm::store::query::story::{About, Wanted};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::{Place, text};
use crate::harness::{Harness, user, wait_until};

fn refusals(place: &Place) -> i64 {
    let database = Connection::open(place.folder.database()).unwrap();
    database.query_row("SELECT count(*) FROM refusal", [], |row| row.get(0)).unwrap()
}

/// The lines without their times, and with `ID` for the ids of tokens.
fn told(out: &str, ids: &[&str]) -> Vec<String> {
    let line = |it: &str| {
        let (time, rest) = it.split_once("  ").unwrap_or(("", it));
        assert!(time.is_empty() || (time.len() == 24 && time.ends_with('Z')), "{it}");
        ids.iter().fold(rest.to_owned(), |line, id| line.replace(id, "ID"))
    };
    out.lines().map(line).collect()
}

#[test]
fn who_took_login_away_and_what_was_refused_since_is_one_story() {
    let place = Place::new();
    place.plumm(&["org", "create", "acme", "--activate"]).succeeds();
    let made = place.json(&["token", "create", "acme", "--label", "okta"]);
    let (token, id) = (text(&made["token"]), text(&made["id"]));
    let serving = place.serve(&[]);
    let send = |method: &str, target: &str, body: &Value| {
        serving.send(method, &format!("/scim/v2{target}"), &token, &body.to_string())
    };
    let mara = text(&send("POST", "/Users", &user("Mara@example.com")).1["id"]);
    let ann = text(&send("POST", "/Users", &user("ann@example.com")).1["id"]);
    let off = json!({"Operations": [{"op": "replace", "path": "active", "value": false}]});
    assert_eq!(send("PATCH", &format!("/Users/{mara}"), &off).0, 200);
    let other =
        json!({"Operations": [{"op": "replace", "path": "userName", "value": "x@example.com"}]});
    assert_eq!(send("PATCH", &format!("/Users/{mara}"), &other).0, 400);
    assert_eq!(send("PATCH", &format!("/Users/{mara}"), &other).0, 400);
    assert_eq!(send("POST", "/Users", &user("mara@example.com")).0, 409);
    assert_eq!(send("DELETE", &format!("/Users/{ann}"), &json!({})).0, 204);
    wait_until(|| refusals(&place) == 2);

    let token_line = "token okta (ID) from 127.0.0.1";
    let all = place.plumm(&["log", "acme"]);
    let lines = told(all.succeeds(), &[&id]);
    assert!(
        lines[0].starts_with("a command")
            && lines[0].contains("created the organisation acme: active true, with")
    );
    assert!(lines[1].contains("created the API token okta (ID)"), "{lines:?}");
    let of_mara = place.plumm(&["log", "acme", "--user", "mara@EXAMPLE.com"]);
    let mara_told = told(of_mara.succeeds(), &[&id]);
    assert_eq!(
        mara_told[..2],
        [
            format!(
                "{token_line} created the user Mara@example.com: active true, with displayName, \
                 emails, externalId, locale, name, userName"
            ),
            format!("{token_line} deactivated the user Mara@example.com: active true → false"),
        ]
    );
    let renames = format!(
        "{token_line} was refused PATCH /scim/v2/Users/{{id}} about Mara@example.com: 400 mutability, \""
    );
    assert!(
        mara_told[2].starts_with(&renames) && mara_told[2].contains("(2 times since "),
        "{mara_told:?}"
    );
    assert!(mara_told[3].starts_with(&format!(
        "{token_line} was refused POST /scim/v2/Users about mara@example.com: 409 uniqueness, \""
    )));
    assert_eq!(mara_told.len(), 4);

    // By id, a deleted one by name, and only what was refused.
    assert_eq!(told(place.plumm(&["log", "acme", "--user", &mara]).succeeds(), &[&id]), mara_told);
    let of_ann = told(place.plumm(&["log", "--user", "ann@example.com"]).succeeds(), &[&id]);
    let deleted = format!("acme: {token_line} deleted the user ann@example.com");
    assert_eq!((of_ann.len(), &of_ann[1]), (2, &deleted));
    let refused = told(place.plumm(&["log", "acme", "--refused"]).succeeds(), &[&id]);
    assert_eq!(refused, mara_told[2..]);
    // Somebody whom nothing but a refusal knows.
    assert_eq!(send("POST", "/Users", &user("nobody")).0, 400);
    wait_until(|| refusals(&place) == 3);
    let of_nobody = place.plumm(&["log", "acme", "--user", "Nobody"]);
    assert_eq!(of_nobody.succeeds().lines().count(), 1);

    // The newest, and how to see more; nothing older than asked for.
    let two = place.plumm(&["log", "acme", "--limit", "2"]);
    let lines: Vec<&str> = two.succeeds().lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "(2 newest; older ones with --limit or --since)"));
    assert!(lines[2].contains("about nobody"));
    assert_eq!(
        place.plumm(&["log", "acme", "--since", "0s"]).succeeds(),
        "Nothing has happened.\n"
    );
    assert_eq!(place.plumm(&["log", "acme", "--since", "1h"]).succeeds().lines().count(), 9);

    // About a token; a group tells who came and went.
    let of_token = told(place.plumm(&["log", "acme", "--about", &id]).succeeds(), &[&id]);
    assert!(of_token.len() == 1 && of_token[0].contains("created the API token okta (ID)"));
    let members = json!([{"value": mara}]);
    let sales = send("POST", "/Groups", &json!({"displayName": "Sales", "members": members})).1;
    let sales = text(&sales["id"]);
    let out =
        json!({"Operations": [{"op": "remove", "path": format!("members[value eq \"{mara}\"]")}]});
    assert_eq!(send("PATCH", &format!("/Groups/{sales}"), &out).0, 200);
    let of_group = told(place.plumm(&["log", "--about", &sales]).succeeds(), &[&id]);
    let removed = "changed the members of the group Sales: members removed Mara@example.com";
    assert_eq!(of_group[1], format!("acme: {token_line} {removed}"));
    assert_eq!(
        place.plumm(&["log", "acme", "--about", "nothing"]).succeeds(),
        "The record has nothing about nothing.\n"
    );

    // A snapshot tells the same, and stays as it is.
    place.plumm(&["backup", "copy.db"]).succeeds();
    let copy = fs::read(place.folder.path().join("copy.db")).unwrap();
    let told_by_copy = place.plumm(&["--db", "copy.db", "log", "acme", "--user", &mara]);
    assert_eq!(told(told_by_copy.succeeds(), &[&id]), mara_told);
    assert_eq!(fs::read(place.folder.path().join("copy.db")).unwrap(), copy);

    // A purge takes the values along, and what was refused.
    place.plumm(&["user", "purge", "acme", &mara, "--yes"]).succeeds();
    let purged = told(place.plumm(&["log", "acme", "--user", &mara]).succeeds(), &[&id]);
    assert_eq!(
        purged[..2],
        [
            format!("{token_line} created the user {mara}: its values were erased"),
            format!("{token_line} updated the user {mara}: its values were erased"),
        ]
    );
    assert!(purged[2].ends_with(&format!("erased for good the user {mara}")) && purged.len() == 3);
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn the_story_as_json_is_one_value_with_all_that_is_known() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &user("x").to_string()).0, 400);
    let made = serving.send("POST", "/scim/v2/Users", &token, &user("x@example.com").to_string());
    wait_until(|| refusals(&place) == 1);
    let told = place.json(&["log", "acme"]);
    assert_eq!(told["more"], false);
    let entries = told["entries"].as_array().unwrap();
    let keys = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let change = entries.iter().find(|it| it["resource"] == made.1["id"]).unwrap();
    assert_eq!(
        keys(change),
        [
            "action",
            "by",
            "changed",
            "client",
            "kind",
            "method",
            "name",
            "number",
            "org",
            "reason",
            "request",
            "resource",
            "resourceType",
            "text",
            "time"
        ]
    );
    assert_eq!((&change["action"], &change["name"]), (&json!("created"), &json!("x@example.com")));
    assert_eq!(change["changed"]["active"], json!({"before": null, "after": true}));
    let refused = entries.iter().find(|it| it["kind"] == "refusal").unwrap();
    assert_eq!(
        keys(refused),
        [
            "action",
            "by",
            "client",
            "count",
            "detail",
            "first",
            "kind",
            "method",
            "name",
            "number",
            "org",
            "path",
            "request",
            "resource",
            "resourceType",
            "scimType",
            "status",
            "text",
            "time",
            "various"
        ]
    );
    assert_eq!((&refused["status"], &refused["name"]), (&json!(400), &json!("x")));
    assert_eq!(refused["by"]["kind"], "token");
    let command = &entries[0];
    assert_eq!((&command["by"]["kind"], &command["org"]), (&json!("command"), &json!("acme")));
    let times: Vec<&str> = entries.iter().map(|it| it["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let limited = place.json(&["log", "--limit", "1"]);
    assert_eq!((limited["entries"].as_array().unwrap().len(), &limited["more"]), (1, &json!(true)));
}

#[test]
fn bad_arguments_are_told_in_sentences() {
    let place = Place::with_acme();
    let since = "it must be how long ago, such as 90s, 30m, 2h or 7d, or a day or time in UTC, such as \
                 2026-01-31 or 2026-01-31T08:00:00Z";
    place.plumm(&["log", "--since", "yesterday"]).is_misuse(
        &format!("invalid value 'yesterday' for '--since <TIME>': {since}"),
        "plumm log --help",
    );
    for bad in ["0", "10001", "many"] {
        assert_eq!(place.plumm(&["log", "--limit", bad]).code, Some(2), "{bad}");
    }
    place.plumm(&["log", "acme", "--user", "who"]).fails(
        "there is no user who in organisation acme, and no request about one was refused: `plumm \
         user list acme` lists the users",
    );
    let unknown = place.plumm(&["log", "other"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("other"), "{unknown:?}");
    assert_eq!(place.plumm(&["log", "acme", "--refused"]).succeeds(), "Nothing was refused.\n");
}

#[test]
fn what_happens_is_shown_as_it_happens_until_a_signal() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let mut command = place.command(&["--json", "log", "acme", "--follow", "--limit", "1"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    // What there was, and then what happens, each once.
    assert_eq!(next()["resourceType"], "Token");
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &user("x").to_string()).0, 400);
    assert_eq!(next()["action"], "refused");
    for i in 0..3 {
        let body = user(&format!("user-{i}@example.com")).to_string();
        assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &body).0, 201);
    }
    for i in 0..3 {
        assert_eq!(next()["name"], format!("user-{i}@example.com"));
    }
    // The same refusal again is told again, with its count.
    assert_eq!(serving.send("POST", "/scim/v2/Users", &token, &user("x").to_string()).0, 400);
    let again = next();
    assert_eq!((&again["action"], &again["count"]), (&json!("refused"), &json!(2)));
    let id = following.id().to_string();
    assert!(
        std::process::Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success()
    );
    assert_eq!(following.wait().unwrap().code(), Some(0));
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn pages_of_the_story_joined_are_the_story_and_of_one_organisation_alone() {
    let harness = Harness::new();
    let (_, other) = harness.neighbour("neighbour");
    for i in 0..30 {
        harness.app.clock().advance(1);
        let name = if i % 3 == 0 { "bad".to_owned() } else { format!("u{i}@example.com") };
        harness.post(
            "/Users",
            &user(&format!("{name}{}", if i % 3 == 0 { format!(" {i}") } else { String::new() })),
        );
        harness.with_token(&other, "POST", "/scim/v2/Users", &user("bad").to_string()).expect(400);
        if i % 4 == 0 {
            harness.app.write_refusals();
        }
    }
    harness.app.write_refusals();
    let wanted = Wanted { org: Some(harness.org.key), ..Wanted::default() };
    let filter = Filter { wanted, ..Filter::default() };
    let walk = |most: usize| {
        let (mut all, mut before) = (Vec::new(), Some(At::END));
        while let Some(at) = before {
            let page = harness.store.read(|tx| story::page(tx, &filter, at, most)).unwrap();
            assert!(page.entries.len() <= most);
            all.extend(page.entries);
            before = page.next;
        }
        all
    };
    let whole = walk(1_000);
    assert_eq!(whole.len(), 30);
    assert!(whole.iter().all(|it| it.org == "acme"));
    let times: Vec<_> = whole.iter().rev().map(|it| it.happened.time()).collect();
    assert!(times.is_sorted());
    for most in [1, 2, 7, 29, 30] {
        assert_eq!(walk(most), whole, "{most}");
    }
    // What comes behind a place is the same, the oldest first.
    let start = At { change: 0, refusal: 0 };
    let (after, place, _) =
        harness.store.read(|tx| story::after(tx, &filter, start, 1_000)).unwrap();
    assert!(after.iter().eq(whole.iter().rev()));
    let (nothing, same, _) = harness.store.read(|tx| story::after(tx, &filter, place, 10)).unwrap();
    assert_eq!((nothing.len(), same), (0, place));
}

#[test]
fn a_person_is_known_by_name_and_id() {
    let harness = Harness::new();
    let mara = text(&harness.user("mara@example.com")["id"]);
    let person = harness.store.read(|tx| tx.person(harness.org.key, "User", "MARA@example.com"));
    let expected = About { ids: vec![mara], user_names: vec!["mara@example.com".to_owned()] };
    assert_eq!(person.unwrap(), expected);
}

/// The story of several resources, which everything that is done to resources is done to.
#[test]
fn the_lines_of_one_resource_are_those_that_the_whole_record_has_of_it() {
    let harness = Harness::new();
    let token = harness.token().to_owned();
    let path = harness.folder.database();
    let command = |line: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plumm"));
        command.env("PLUMM_ENV_FILE", "").arg("--db").arg(&path).args(line.split(' '));
        let run = command.output().unwrap();
        assert!(run.status.success(), "{line}: {run:?}");
    };
    let mut ids: Vec<String> = Vec::new();
    for i in 0..6 {
        ids.push(text(&harness.user(&format!("u{i}@example.com"))["id"]));
    }
    let team = json!({"displayName": "Team", "members": [{"value": ids[0]}, {"value": ids[1]}],
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]});
    ids.push(text(&harness.post("/Groups", &team).expect(201).json()["id"]));
    let titled = |title: &str| json!([{"op": "replace", "path": "title", "value": title}]);
    for round in 0..4 {
        for (i, id) in ids[..6].iter().enumerate() {
            let title = format!("{round} {i}");
            if round < 2 || i % 2 == 0 {
                harness.patch(&format!("/Users/{id}"), &titled(&title)).expect(200);
            }
        }
        let some = [&ids[round], &ids[(round + 3) % 6]];
        let operations: Vec<Value> = some
            .iter()
            .map(|id| {
                let data = json!({"Operations": titled(&format!("bulk {round}"))});
                json!({"method": "PATCH", "path": format!("/Users/{id}"), "data": data})
            })
            .collect();
        let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations});
        harness.post("/Bulk", &bulk).expect(200);
        let member =
            json!([{"op": "add", "path": "members", "value": [{"value": ids[2 + round]}]}]);
        harness.patch(&format!("/Groups/{}", ids[6]), &member).expect(200);
        command(&format!("org set acme --rate 10000{round}"));
    }
    for id in [&ids[1], &ids[2], &ids[3], &ids[6]] {
        let of = if *id == ids[6] { "Groups" } else { "Users" };
        harness.call("DELETE", &format!("/{of}/{id}"), "").expect(204);
    }
    command(&format!("user restore acme {}", ids[1]));
    command(&format!("user purge acme {} --yes", ids[2]));
    command(&format!("user deactivate acme {} --reason left", ids[4]));
    harness.patch(&format!("/Users/{}", ids[1]), &titled("back")).expect(200);
    // A name that two accounts have had.
    ids.push(text(&harness.user("u3@example.com")["id"]));

    // Commands have a clock of their own.
    let database = Connection::open(&path).unwrap();
    database.execute("UPDATE provisioning_log SET time = 1769846400000000000 + seq", []).unwrap();
    let whole = |wanted: &Wanted| {
        let filter = Filter { wanted: wanted.clone(), ..Filter::default() };
        harness.store.read(|tx| story::page(tx, &filter, At::END, 10_000)).unwrap().entries
    };
    let all = whole(&Wanted { org: Some(harness.org.key), ..Wanted::default() });
    let token_id = token.split('_').nth(1).unwrap().to_owned();
    let several = vec![ids[1].clone(), ids[2].clone(), "acme".to_owned(), ids[6].clone()];
    let abouts = ids.iter().map(|it| vec![it.clone()]).chain([
        vec!["acme".to_owned()],
        vec![token_id],
        vec!["00000000-0000-7000-8000-000000000000".to_owned()],
        several,
        vec![ids[3].clone(), ids[7].clone()],
    ]);
    let compare = |all: &[plumm::activity::Entry], about: &[String]| {
        let about = About { ids: about.to_vec(), user_names: Vec::new() };
        let is_about = |it: &&plumm::activity::Entry| {
            it.happened.resource().is_some_and(|it| about.ids.iter().any(|id| id == it))
        };
        let expected: Vec<_> = all.iter().filter(is_about).cloned().collect();
        let wanted = Wanted { org: Some(harness.org.key), ..Wanted::default() };
        let wanted = Wanted { about: Some(about.clone()), ..wanted };
        assert_eq!(whole(&wanted), expected, "{about:?}");
        let filter = Filter { wanted, ..Filter::default() };
        for most in [1, 2, 3, 5] {
            let (mut joined, mut before) = (Vec::new(), Some(At::END));
            while let Some(at) = before {
                let page = harness.store.read(|tx| story::page(tx, &filter, at, most)).unwrap();
                joined.extend(page.entries);
                before = page.next;
            }
            assert_eq!(joined, expected, "{about:?}, {most}");
            let (mut joined, mut place) = (Vec::new(), At { change: 0, refusal: 0 });
            loop {
                let found = harness.store.read(|tx| story::after(tx, &filter, place, most));
                let (entries, next, _) = found.unwrap();
                if entries.is_empty() {
                    break;
                }
                place = next;
                joined.extend(entries);
            }
            assert!(joined.iter().eq(expected.iter().rev()), "{about:?}, {most}");
        }
        expected.len()
    };
    let counts: Vec<usize> = abouts.clone().map(|it| compare(&all, &it)).collect();
    assert!(counts[..7].iter().all(|it| *it >= 4), "{counts:?}");
    assert_eq!((counts[8], counts[10]), (4, 0), "{counts:?}");
    command("check");

    // The oldest lines go. Those that a clock set back has left in between are found, too.
    let newest: i64 =
        database.query_row("SELECT max(seq) FROM provisioning_log", [], |row| row.get(0)).unwrap();
    for gone in [
        "seq < 12".to_owned(),
        "seq BETWEEN 16 AND 24".to_owned(),
        format!("seq < {newest} AND resource <> '{}'", ids[0]),
        format!("seq < {newest}"),
    ] {
        database.execute(&format!("DELETE FROM provisioning_log WHERE {gone}"), []).unwrap();
        let all = whole(&Wanted { org: Some(harness.org.key), ..Wanted::default() });
        for about in abouts.clone() {
            compare(&all, &about);
        }
        command("check");
    }
}

#[test]
fn a_chain_of_lines_that_is_broken_is_found() {
    let place = Place::with_acme();
    let serving = place.serve(&[]);
    let token = text(&place.json(&["token", "create", "acme"])["token"]);
    let send = |method: &str, target: &str, body: &Value| {
        serving.send(method, &format!("/scim/v2{target}"), &token, &body.to_string())
    };
    for name in ["a@example.com", "b@example.com"] {
        let id = text(&send("POST", "/Users", &user(name)).1["id"]);
        for title in ["x", "y"] {
            let body = json!({"Operations": [{"op": "add", "path": "title", "value": title}]});
            assert_eq!(send("PATCH", &format!("/Users/{id}"), &body).0, 200);
        }
    }
    assert_eq!(serving.stop("TERM").0, Some(0));
    let database = Connection::open(place.folder.database()).unwrap();
    let lines =
        "SELECT group_concat(seq || ' ' || previous, ', ' ORDER BY seq) FROM provisioning_log
        WHERE type = 'User'";
    let lines: String = database.query_row(lines, [], |row| row.get(0)).unwrap();
    assert_eq!(lines, "3 0, 4 3, 5 4, 6 0, 7 6, 8 7");
    let last = "SELECT group_concat(last_line, ' ' ORDER BY seq) FROM resource";
    let last: String = database.query_row(last, [], |row| row.get(0)).unwrap();
    assert_eq!(last, "5 8");
    let of_line = |row: i64| {
        format!(
            "table provisioning_log, row {row}, column previous: it is not the number of the line \
             before about the same resource"
        )
    };
    let of_resource = |row: i64| {
        format!(
            "table resource, row {row}, column last_line: it is not the number of the last line \
             about the resource"
        )
    };
    let unsaid = "table provisioning_log, row 5, column previous: a line about a resource says \
                  nothing of the line before";
    for (spoil, fault) in [
        ("UPDATE provisioning_log SET previous = 3 WHERE seq = 5", of_line(5)),
        ("UPDATE provisioning_log SET previous = 0 WHERE seq = 8", of_line(8)),
        ("UPDATE provisioning_log SET previous = 5 WHERE seq = 7", of_line(7)),
        ("UPDATE provisioning_log SET previous = 8 WHERE seq = 3", of_line(3)),
        ("UPDATE provisioning_log SET previous = NULL WHERE seq = 5", unsaid.to_owned()),
        ("UPDATE resource SET last_line = 4 WHERE seq = 1", of_resource(1)),
        ("UPDATE resource SET last_line = 8 WHERE seq = 1", of_resource(1)),
        ("UPDATE resource SET last_line = 0 WHERE seq = 2", of_resource(2)),
    ] {
        fs::copy(place.folder.database(), place.folder.path().join("bad.db")).unwrap();
        let bad = Connection::open(place.folder.path().join("bad.db")).unwrap();
        bad.execute(spoil, []).unwrap();
        drop(bad);
        let run = place.plumm(&["--json", "check", "bad.db"]);
        let report: Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(report["faults"][0], fault, "{spoil}: {report}");
    }
    assert_eq!(place.json(&["check"])["whole"], true);
}
