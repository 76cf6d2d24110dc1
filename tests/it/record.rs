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
    // Never a secret, never a hash.
    let all = format!("{lines:?}");
    assert!(!all.contains(&secret[20..]) && !all.contains("argon2"), "{all}");
}
