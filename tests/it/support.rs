//! What support asks and decides about people by hand, with the real program beside a server.

use plumm::store::query::search::{Found, Search};
use plumm::store::tables::resource::State;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::{Place, Serving, text};
use crate::harness::{Harness, user};

/// The last line of the record: client, method, resource, changes.
pub fn last_line(place: &Place) -> (String, String, String, Value) {
    let connection = Connection::open(place.folder.database()).unwrap();
    let sql = "SELECT client, method, resource, changes FROM provisioning_log
        ORDER BY seq DESC LIMIT 1";
    let line = connection.query_row(sql, [], |row| {
        let changes: String = row.get(3)?;
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, serde_json::from_str(&changes).unwrap()))
    });
    line.unwrap()
}

/// The reason of the last line, in a file that keeps reasons.
#[track_caller]
pub fn has_reason(place: &Place, reason: &str) {
    let connection = Connection::open(place.folder.database()).unwrap();
    let sql = "SELECT count(*) FROM pragma_table_info('provisioning_log') WHERE name = 'reason'";
    let kept: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    if kept > 0 {
        let sql = "SELECT reason FROM provisioning_log ORDER BY seq DESC LIMIT 1";
        let found: Option<String> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(found.as_deref(), Some(reason));
    }
}

fn made(serving: &Serving, token: &str, body: &Value) -> String {
    let (status, made) = serving.send("POST", "/scim/v2/Users", token, &body.to_string());
    assert_eq!(status, 201, "{made}");
    text(&made["id"])
}

#[test]
fn login_is_taken_away_by_hand_and_given_back() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let read = text(&place.json(&["token", "create", "acme", "--scope", "read"])["token"]);
    let id = made(&serving, &token, &user("mara.novak@example.com"));
    let target = format!("/scim/v2/Users/{id}");
    let login = || serving.get("/access/v1/users/MARA.NOVAK@example.com", &read).0;
    let before = serving.send("GET", &target, &token, "").1;
    assert_eq!(login(), 200);

    // At once, with a new version, and told to the application.
    let named = format!("User mara.novak@example.com (id {id}) of organisation acme");
    let off = ["user", "deactivate", "acme", "mara.novak@example.com", "--reason", "stolen laptop"];
    let ran = place.plumm(&off);
    let out = ran.succeeds();
    assert!(out.starts_with(&format!("{named} is deactivated: it may not log in from now on.\n")));
    assert!(out.contains("at its next full sync, or at the next push"), "{out}");
    assert_eq!(login(), 403);
    let after = serving.send("GET", &target, &token, "").1;
    assert_eq!((&after["active"], &after["displayName"]), (&json!(false), &before["displayName"]));
    assert_ne!(after["meta"]["version"], before["meta"]["version"]);
    assert_ne!(after["meta"]["lastModified"], before["meta"]["lastModified"]);
    let line = last_line(&place);
    assert!(line.0.starts_with("user:"), "{line:?}");
    assert_eq!((line.1.as_str(), &line.2), ("deactivate", &id));
    assert_eq!(line.3, json!({ "active": { "before": true, "after": false } }));
    has_reason(&place, "stolen laptop");
    let feed = || -> Value {
        serde_json::from_str(&serving.get("/access/v1/changes?after=0", &read).1).unwrap()
    };
    let told = feed()["changes"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(told["type"], "user.deactivated");
    assert_eq!((&told["by"]["kind"], &told["userId"]), (&json!("command"), &json!(id)));

    // Again: said, and nothing is changed.
    let ran = place.plumm(&["user", "deactivate", "acme", &id]);
    assert_eq!(ran.succeeds(), format!("{named} is inactive already: nothing has changed.\n"));
    assert_eq!(place.json(&["user", "deactivate", "acme", &id])["changed"], false);
    assert_eq!(serving.send("GET", &target, &token, "").1, after);

    // Why nobody comes in, in words and as JSON.
    let shown = place.json(&["user", "show", "acme", &id]);
    assert_eq!(shown["mayLogIn"], false);
    let because = text(&shown["because"]);
    assert!(because.starts_with("the account was deactivated 2"), "{because}");
    assert!(because.contains(" by a command of "), "{because}");
    assert_eq!(shown["history"][0]["method"], "deactivate");
    assert_eq!(shown["history"][1]["by"]["kind"], "token");
    let out = place.plumm(&["user", "show", "acme", &id]).succeeds().to_owned();
    assert!(out.contains(&format!("\nMay log in    no, because {because}\n")), "{out}");
    assert!(out.contains(" deactivated the user mara.novak@example.com: active true → false. Reason: stolen laptop\n"), "{out}");

    // Back again, which the application is told too.
    let on = place.json(&["user", "activate", "acme", &id]);
    assert_eq!((&on["active"], &on["changed"]), (&json!(true), &json!(true)));
    assert_eq!(login(), 200);
    assert_eq!(feed()["changes"].as_array().unwrap().last().unwrap()["type"], "user.reactivated");
    let out = place.plumm(&["user", "show", "acme", &id]).succeeds().to_owned();
    assert!(out.contains("\nMay log in    yes, because the account is active\n"), "{out}");

    // One that is deleted, one that is nobody, and a slip.
    assert_eq!(serving.send("DELETE", &target, &token, "").0, 204);
    for (command, end) in [("deactivate", "brings it back"), ("activate", "bring it back first")] {
        let ran = place.plumm(&["user", command, "acme", "mara.novak@example.com"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        assert!(ran.err.contains(end), "{ran:?}");
        assert!(ran.err.contains(&format!("`plumm user restore acme {id}`")), "{ran:?}");
    }
    let ran = place.plumm(&["user", "show", "acme", &id]);
    assert!(ran.succeeds().contains("no, because the account was deleted 2"), "{ran:?}");
    place.plumm(&["user", "restore", "acme", &id, "--reason", "a mistake"]).succeeds();
    has_reason(&place, "a mistake");
    let ran = place.plumm(&["user", "deactivate", "acme", "mara.nowak@example.com"]);
    assert_eq!(ran.code, Some(1));
    let sentence = "there is no user mara.nowak@example.com in organisation acme. Is \
                    mara.novak@example.com meant? If not: `plumm user list acme`";
    assert!(ran.err.contains(sentence), "{ran:?}");
    for (reason, fault) in [("", "it says nothing"), ("a\nb", "a line break")] {
        let ran = place.plumm(&["user", "deactivate", "acme", &id, "--reason", reason]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains(fault), "{ran:?}");
    }
    assert_eq!(login(), 200);
}

#[test]
fn a_person_is_shown_with_groups_and_an_organisation_that_is_off() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let id = made(&serving, &token, &user("mara@example.com"));
    let group = |name: &str, member: &str| {
        let body = json!({ "displayName": name, "members": [{ "value": member }] });
        text(&serving.send("POST", "/scim/v2/Groups", &token, &body.to_string()).1["id"])
    };
    let team = group("Team", &id);
    group("Everybody", &team);
    let shown = place.json(&["user", "show", "acme", &id]);
    assert_eq!(shown["groups"][0], json!({"id": team, "displayName": "Team", "type": "direct"}));
    assert_eq!(shown["groups"][1]["type"], "indirect");
    let show = || place.plumm(&["user", "show", "acme", &id]).succeeds().to_owned();
    assert!(show().contains("\nGroups        Team, Everybody (through a group)\n"), "{}", show());
    assert!(!show().contains("not activated"));
    place.plumm(&["org", "deactivate", "acme", "--reason", "contract ended"]).succeeds();
    has_reason(&place, "contract ended");
    assert!(show().contains("\nProvisioning is not activated for organisation acme: "));
}

#[test]
fn a_list_of_users_ends_and_says_how_many_are_left() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let operations: Vec<Value> = (0..130)
        .map(|i| {
            let data = user(&format!("user{i}@example.com"));
            json!({ "method": "POST", "path": "/Users", "bulkId": i.to_string(), "data": data })
        })
        .collect();
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    let body = json!({ "schemas": [urn], "Operations": operations });
    assert_eq!(serving.send("POST", "/scim/v2/Bulk", &token, &body.to_string()).0, 200);
    made(&serving, &token, &user("zoe.m\u{fc}ller@example.com"));

    let listed = |args: &[&str]| {
        place.plumm(&[&["user", "list", "acme"], args].concat()).succeeds().to_owned()
    };
    let out = listed(&[]);
    assert_eq!(out.matches("@example.com").count(), 100);
    let rest = "\n31 more are not shown. `plumm user list acme --limit 131` shows all, `plumm user \
                list acme --search TEXT` finds some by parts of a name, username or e-mail address.\n";
    assert!(out.ends_with(rest), "{out}");
    assert!(!listed(&["--limit", "131"]).contains("not shown"));
    // A program is told of all.
    assert_eq!(place.json(&["user", "list", "acme"]).as_array().unwrap().len(), 131);
    let three = place.json(&["user", "list", "acme", "--limit", "3"]);
    assert_eq!(three.as_array().unwrap().len(), 3);
    assert_eq!(three[0]["userName"], "user0@example.com");
    // Folded as names are.
    let found = place.json(&["user", "list", "acme", "--search", "M\u{dc}LLER"]);
    assert_eq!(found[0]["userName"], "zoe.m\u{fc}ller@example.com");
    let out = listed(&["--search", "user1", "--limit", "5"]);
    let more = "More than 5 have that. `plumm user list acme --search user1 --limit 50` shows";
    assert!(out.contains(more), "{out}");
    assert_eq!(
        listed(&["--search", "nobody"]),
        "Organisation acme has no user with nobody in a name, username or e-mail address.\n"
    );
    for bad in [["--limit", "0"], ["--limit", "-1"], ["--search", " "]] {
        assert_eq!(place.plumm(&["user", "list", "acme", bad[0], bad[1]]).code, Some(2));
    }
}

/// Whom a search finds, by what stands before the `@`.
fn found(harness: &Harness, text: &str, state: State, most: usize, rows_max: usize) -> Found {
    let search = Search { text, state, most, rows_max, bytes_max: usize::MAX };
    harness.store.read(|tx| tx.search(harness.org.key, "User", search)).unwrap()
}

fn names(found: &Found) -> Vec<String> {
    let name = |document: &str| -> String {
        let document: Value = serde_json::from_str(document).unwrap();
        text(&document["userName"]).split('@').next().unwrap().to_owned()
    };
    found.resources.iter().map(|it| name(&it.document)).collect()
}

#[test]
fn people_are_found_by_parts_of_their_names() {
    let harness = Harness::new();
    let (_, other) = harness.neighbour("other");
    let person = |name: &str, display: &str, given: &str, family: &str, email: &str| {
        json!({
            "userName": format!("{name}@example.com"), "displayName": display, "active": true,
            "name": { "givenName": given, "familyName": family },
            "emails": [
                { "primary": true, "type": "work", "value": format!("{name}@example.com") },
                { "type": "home", "value": email },
            ],
        })
    };
    let mara = person("m1", "The Boss", "Mara", "Novak", "mara@home.example");
    let ids: Vec<String> = [
        mara.clone(),
        person("m2", "Jos\u{e9} Novakovic", "Jos\u{e9}", "X", "jose@home.example"),
        person("novak", "N", "A", "B", "n@home.example"),
        person("m3", "Say \"hi\" \\ all", "A", "B", "c@home.example"),
    ]
    .iter()
    .map(|it| text(&harness.post("/Users", it).expect(201).json()["id"]))
    .collect();
    harness.with_token(&other, "POST", "/scim/v2/Users", &mara.to_string()).expect(201);
    let find = |text: &str| names(&found(&harness, text, State::Present, 10, usize::MAX));
    // What begins with it stands first; then parts within names; then what documents say.
    assert_eq!(find("NOVAK"), ["novak", "m2", "m1"]);
    assert_eq!(find("ovako"), ["m2"]);
    assert_eq!(find("Mara Novak"), ["m1"]);
    assert_eq!(find("novak mara"), ["m1"]);
    assert_eq!(find("boss mara"), ["m1"]);
    assert_eq!(find("JOSE\u{301}"), ["m2"]);
    assert_eq!(find("home.example").len(), 4);
    assert_eq!(find("\"HI\""), ["m3"]);
    assert_eq!(find("\\"), ["m3"]);
    assert_eq!(find("%"), [""; 0]);
    assert_eq!(find("familyName"), [""; 0]);
    assert_eq!(find("  "), ["m1", "m2", "novak", "m3"]);

    // As many as are wanted, and whether there are more.
    let two = found(&harness, "example", State::Present, 2, usize::MAX);
    assert_eq!((two.resources.len(), two.more, two.complete), (2, true, true));
    let all = found(&harness, "example", State::Present, 4, usize::MAX);
    assert_eq!((all.resources.len(), all.more, all.complete), (4, false, true));
    // A bounded search says that it was one, and finds what an index leads to all the same.
    let some = found(&harness, "b", State::Present, 10, 2);
    assert_eq!((names(&some), some.complete), (vec!["m1".to_owned()], false));
    let some = found(&harness, "nova", State::Present, 10, 1);
    assert_eq!((names(&some)[0].as_str(), some.complete), ("novak", false));

    // Deactivated and deleted ones.
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    harness.patch(&format!("/Users/{}", ids[0]), &off).expect(200);
    harness.call("DELETE", &format!("/Users/{}", ids[1]), "").expect(204);
    let of = |state| names(&found(&harness, "nova", state, 10, usize::MAX));
    assert_eq!(of(State::Inactive), ["m1"]);
    assert_eq!(of(State::Deleted), ["m2"]);
    assert_eq!(of(State::Present), ["novak", "m1"]);
}
