//! What commands leave in the record of changes: who ran which, and what it changed.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::{Place, text};
use crate::resource_types::role_type;

/// The lines, all of commands: client, method, type, resource, changes.
fn lines(place: &Place) -> Vec<(String, String, String, String, Value)> {
    let connection = Connection::open(place.folder.database()).unwrap();
    let sql = "SELECT actor, client, method, type, resource, changes FROM provisioning_log
        ORDER BY seq";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        assert_eq!(row.get::<_, String>(0)?, "cli");
        let changes: String = row.get(5)?;
        let changes = serde_json::from_str(&changes).unwrap();
        Ok((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, changes))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn each_command_that_changes_something_leaves_its_line() {
    let place = Place::with_acme();
    let run = |args: &[&str]| drop(place.plumm(args).succeeds().to_owned());
    run(&["org", "set", "acme", "--strict", "on"]);
    run(&["org", "set", "acme", "--strict", "on"]);
    run(&["org", "deactivate", "acme"]);
    run(&["org", "deactivate", "acme"]);
    run(&["org", "set", "acme", "--activate", "--rate", "1000"]);
    let made = place.json(&["token", "create", "acme", "--label", "okta"]);
    let (id, secret) = (text(&made["id"]), text(&made["token"]));
    run(&["token", "revoke", &id]);
    run(&["token", "revoke", &id]);
    let file = |name: &str, value: &Value| {
        fs::write(place.folder.path().join(name), value.to_string()).unwrap();
    };
    let badge = "urn:acme:badge";
    file("s.json", &json!({ "id": badge, "attributes": [{ "name": "a" }] }));
    run(&["schema", "add", "acme", "s.json"]);
    run(&["schema", "remove", "acme", badge]);
    file("t.json", &role_type());
    run(&["resource-type", "add", "acme", "t.json"]);
    run(&["resource-type", "remove", "acme", "Role"]);
    let url = "https://app.example.com/hook/marker-path?token=marker-query";
    let made = place.json(&["webhook", "add", "acme", url, "--events", "user.deleted"]);
    let (hook, key) = (text(&made["id"]), text(&made["secret"]));
    let key_2 = text(&place.json(&["webhook", "rotate", &hook])["secret"]);
    run(&["webhook", "disable", &hook]);
    run(&["webhook", "enable", &hook]);
    run(&["webhook", "enable", &hook]);
    run(&["webhook", "replay", &hook, "--from", "3"]);
    run(&["webhook", "remove", &hook]);

    let lines = lines(&place);
    let told: Vec<(&str, &str, &str)> =
        lines.iter().map(|it| (it.1.as_str(), it.2.as_str(), it.3.as_str())).collect();
    let expected = [
        ("create", "Organization", "acme"),
        ("set", "Organization", "acme"),
        ("deactivate", "Organization", "acme"),
        ("activate", "Organization", "acme"),
        ("set", "Organization", "acme"),
        ("create", "Token", id.as_str()),
        ("revoke", "Token", id.as_str()),
        ("add", "Schema", badge),
        ("remove", "Schema", badge),
        ("add", "ResourceType", "Role"),
        ("remove", "ResourceType", "Role"),
        ("add", "Webhook", hook.as_str()),
        ("rotate", "Webhook", hook.as_str()),
        ("disable", "Webhook", hook.as_str()),
        ("enable", "Webhook", hook.as_str()),
        ("replay", "Webhook", hook.as_str()),
        ("remove", "Webhook", hook.as_str()),
    ];
    assert_eq!(told, expected);
    assert!(lines.iter().all(|it| it.0.starts_with("user:")), "{lines:?}");
    assert_eq!(lines[0].4["active"], json!({ "before": null, "after": true }));
    assert_eq!(lines[1].4, json!({ "strict": { "before": false, "after": true } }));
    assert_eq!(lines[2].4, json!({ "active": { "before": true, "after": false } }));
    assert_eq!(lines[3].4, json!({ "active": { "before": false, "after": true } }));
    assert_eq!(lines[4].4, json!({ "rate": { "before": 6_000_000, "after": 1000 } }));
    assert_eq!(lines[5].4["label"]["after"], "okta");
    assert!(lines[6].4["revoked"]["after"].is_string());
    assert_eq!(lines[7].4["document"]["after"]["id"], badge);
    assert_eq!(lines[8].4["document"]["after"], Value::Null);
    assert_eq!(lines[11].4["receiver"]["after"], "https://app.example.com");
    assert_eq!(lines[11].4["events"]["after"], json!(["user.deleted"]));
    let only = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(only(&lines[12].4), ["formerKeyUntil"]);
    assert_eq!(only(&lines[13].4), ["disabled"]);
    assert_eq!(only(&lines[14].4), ["disabled"]);
    assert_eq!(lines[15].4, json!({ "after": { "before": 12, "after": 2 } }));
    assert_eq!(lines[16].4["receiver"]["after"], Value::Null);
    // Never a secret, never a hash, and nothing of a URL that may open a door.
    let all = format!("{lines:?}");
    for secret in [&key, &key_2] {
        assert!(!all.contains(secret.strip_prefix("whsec_").unwrap()), "{all}");
    }
    assert!(!all.contains("marker"), "{all}");
    assert!(!all.contains(&secret[20..]) && !all.contains("argon2"), "{all}");
    // They are no events, and a copy with them is whole.
    let read = text(&place.json(&["token", "create", "acme", "--scope", "read"])["token"]);
    let serving = place.serve(&[]);
    let page = serving.get("/access/v1/changes?limit=1000", &read).1;
    assert!(!page.contains("ebhook") && page.contains("\"more\":false"), "{page}");
    assert_eq!(serving.stop("TERM").0, Some(0));
    place.plumm(&["check"]).succeeds();
}
