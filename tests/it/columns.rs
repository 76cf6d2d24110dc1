//! A check reads every column of every table: each is spoiled once, and found by its name.

use std::collections::BTreeSet;
use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::cli::{Place, text};
use crate::harness::user;

/// What each column is set to, and what is wrong then. A column of the schema that has no line here
/// fails the test.
const SPOILED: &[(&str, &str, &str)] = &[
    ("org", "id", "-1"),
    ("org", "name", "''"),
    ("org", "name_folded", "'other'"),
    ("org", "active", "2"),
    ("org", "username_format", "'mail'"),
    ("org", "identity_changes", "'perhaps'"),
    ("org", "created", "-1"),
    ("org", "schemas", "-1"),
    ("org", "strict", "7"),
    ("org", "rate", "-1"),
    ("org", "trimmed", "-1"),
    ("token", "id", "'who?'"),
    ("token", "org", "99"),
    ("token", "scope", "'root'"),
    ("token", "label", "char(10)"),
    ("token", "hash", "replace(hash, 'argon2id', 'argon2x')"),
    ("token", "tag", "x'00'"),
    ("token", "created", "9223372036854775807"),
    ("token", "expires", "-1"),
    ("token", "revoked", "-1"),
    ("token", "last_used", "-1"),
    ("resource", "seq", "-1"),
    ("resource", "org", "99"),
    ("resource", "type", "'Nothing'"),
    ("resource", "id", "'x'"),
    ("resource", "user_name", "'x'"),
    ("resource", "external_id", "'x'"),
    ("resource", "display_name", "'x'"),
    ("resource", "display", "'x'"),
    ("resource", "active", "7"),
    ("resource", "created", "-1"),
    ("resource", "last_modified", "1"),
    ("resource", "version", "0"),
    ("resource", "deleted", "-1"),
    ("resource", "last_line", "-1"),
    ("resource", "document", "'{'"),
    ("email", "org", "99"),
    ("email", "value", "'x@example.com'"),
    ("email", "resource", "99"),
    ("member", "grp", "1"),
    ("member", "resource", "99"),
    ("resource_count", "org", "99"),
    ("resource_count", "type", "'Nothing'"),
    ("resource_count", "count", "-1"),
    ("provisioning_log", "seq", "-1"),
    ("provisioning_log", "time", "-1"),
    ("provisioning_log", "org", "99"),
    ("provisioning_log", "actor", "'somebody'"),
    ("provisioning_log", "client", "'here'"),
    ("provisioning_log", "method", "''"),
    ("provisioning_log", "type", "''"),
    ("provisioning_log", "resource", "'x'"),
    ("provisioning_log", "previous", "-1"),
    ("provisioning_log", "outcome", "7"),
    ("provisioning_log", "changes", "'['"),
    ("provisioning_log", "request", "char(10)"),
    ("provisioning_log", "reason", "char(10)"),
    ("refusal", "seq", "-1"),
    ("refusal", "org", "99"),
    ("refusal", "first", "9223372036854775807"),
    ("refusal", "time", "-1"),
    ("refusal", "count", "0"),
    ("refusal", "various", "7"),
    ("refusal", "token", "'who?'"),
    ("refusal", "client", "'here'"),
    ("refusal", "request", "char(10)"),
    ("refusal", "method", "''"),
    ("refusal", "path", "'nowhere'"),
    ("refusal", "type", "''"),
    ("refusal", "resource", "'x'"),
    ("refusal", "subject", "char(10)"),
    ("refusal", "status", "200"),
    ("refusal", "scim_type", "''"),
    ("refusal", "detail", "char(10)"),
    ("schema", "org", "99"),
    ("schema", "urn", "'urn:example:other:1.0'"),
    ("schema", "type", "'Nothing'"),
    ("schema", "document", "'{}'"),
    ("schema", "created", "-1"),
    ("webhook", "id", "'x'"),
    ("webhook", "org", "99"),
    ("webhook", "url", "'ftp://example.com'"),
    ("webhook", "events", "'a b'"),
    ("webhook", "algorithm", "'none'"),
    ("webhook", "key", "x'00'"),
    ("webhook", "former_key", "x'00'"),
    ("webhook", "former_until", "-1"),
    ("webhook", "ca", "'x'"),
    ("webhook", "insecure", "7"),
    ("webhook", "created", "-1"),
    ("webhook", "revision", "-1"),
    ("webhook", "after", "-1"),
    ("webhook", "delivered", "-1"),
    ("webhook", "attempts", "-1"),
    ("webhook", "next_attempt", "-1"),
    ("webhook", "disabled", "-1"),
    ("webhook", "reason", "char(10)"),
    ("webhook_delivery", "webhook", "'x'"),
    ("webhook_delivery", "number", "-1"),
    ("webhook_delivery", "event", "''"),
    ("webhook_delivery", "type", "''"),
    ("webhook_delivery", "attempt", "0"),
    ("webhook_delivery", "time", "-1"),
    ("webhook_delivery", "milliseconds", "-1"),
    ("webhook_delivery", "status", "7"),
    ("webhook_delivery", "error", "char(10)"),
    ("webhook_delivery", "answer", "char(10)"),
    ("resource_type", "org", "99"),
    ("resource_type", "name", "'Other'"),
    ("resource_type", "document", "'{}'"),
    ("resource_type", "created", "-1"),
];

/// A database with a row in every table.
pub fn with_all_tables() -> Place {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let body = user("mara@example.com").to_string();
    let (status, made) = serving.send("POST", "/scim/v2/Users", &token, &body);
    assert_eq!(status, 201, "{made}");
    let group = serde_json::json!({"displayName": "Team", "members": [{"value": made["id"]}]});
    let (status, made) = serving.send("POST", "/scim/v2/Groups", &token, &group.to_string());
    assert_eq!(status, 201, "{made}");
    assert_eq!(serving.stop("TERM").0, Some(0));
    let folder = place.folder.path();
    let attribute = serde_json::json!({"name": "size", "type": "string"});
    let schema = serde_json::json!({"id": "urn:example:shirt:1.0", "attributes": [attribute]});
    fs::write(folder.join("schema.json"), schema.to_string()).unwrap();
    let added = place.plumm(&["schema", "add", "acme", "schema.json"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let core = serde_json::json!({"id": "urn:example:role:1.0", "attributes": [attribute]});
    let own = serde_json::json!({
        "resourceType": {"name": "Role", "endpoint": "/Roles", "schema": "urn:example:role:1.0"},
        "schemas": [core],
    });
    fs::write(folder.join("type.json"), own.to_string()).unwrap();
    let added = place.plumm(&["resource-type", "add", "acme", "type.json"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let added = place.plumm(&["webhook", "add", "acme", "https://127.0.0.1:9/hook"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let delivery = "INSERT INTO webhook_delivery
        SELECT id, 1, 'evt_1_0', 'user.created', 1, 1, 1, 200, NULL, 'ok' FROM webhook";
    let refusal = "INSERT INTO refusal
        SELECT 1, org, 1, 2, 3, 0, id, '::1', 'a1', 'POST', '/scim/v2/Users', 'User', NULL,
            'mara@example.com', 400, 'invalidValue', 'mara is no e-mail address'
        FROM token LIMIT 1";
    let database = Connection::open(folder.join("plumm.db")).unwrap();
    database.execute_batch(delivery).unwrap();
    database.execute_batch(refusal).unwrap();
    place
}

fn columns(database: &Connection) -> BTreeSet<(String, String)> {
    let sql = "SELECT sqlite_schema.name, of.name FROM sqlite_schema
        JOIN pragma_table_info(sqlite_schema.name) AS of
        WHERE sqlite_schema.type = 'table' AND sqlite_schema.name NOT LIKE 'sqlite_%'";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn faults(place: &Place, name: &str) -> Vec<String> {
    let run = place.plumm(&["--json", "check", name]);
    let report: Value = serde_json::from_str(&run.out).unwrap_or_else(|_| panic!("{run:?}"));
    report["faults"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn every_column_is_read() {
    let place = with_all_tables();
    let folder = place.folder.path();
    place.plumm(&["backup", "good.db"]).succeeds();
    assert_eq!(faults(&place, "good.db"), [""; 0]);
    let all = columns(&Connection::open(folder.join("good.db")).unwrap());
    for (table, column) in &all {
        let spoiled = SPOILED.iter().find(|(t, c, _)| t == table && c == column);
        let (_, _, value) =
            spoiled.unwrap_or_else(|| panic!("{table}.{column} is not spoiled: add a line"));
        fs::copy(folder.join("good.db"), folder.join("bad.db")).unwrap();
        let database = Connection::open(folder.join("bad.db")).unwrap();
        let rows: i64 = database
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap();
        assert!(rows > 0, "{table} has no row");
        // One row of those tables that have several.
        let key = match table.as_str() {
            "resource" => " WHERE seq = 1",
            "provisioning_log" => {
                " WHERE seq = (SELECT min(seq) FROM provisioning_log WHERE type = 'User')"
            }
            "resource_count" => " WHERE type = 'User'",
            "token" => " WHERE id = (SELECT min(id) FROM token)",
            _ => "",
        };
        let sql = format!("PRAGMA foreign_keys = 0; UPDATE {table} SET {column} = {value}{key}");
        database.execute_batch(&sql).unwrap();
        drop(database);
        let found = faults(&place, "bad.db");
        assert!(!found.is_empty(), "{table}.{column} is not read");
        let named = found.iter().any(|it| {
            it.contains(table.as_str()) && (it.contains(column.as_str()) || table == "org")
        });
        assert!(named, "{table}.{column}: {found:?}");
        for it in &found {
            for private in ["mara", "argon2x", "Team"] {
                assert!(!it.contains(private), "{it}");
            }
        }
    }
}

#[test]
fn what_plumm_has_not_made_is_found() {
    let place = with_all_tables();
    let folder = place.folder.path();
    place.plumm(&["backup", "good.db"]).succeeds();
    for (sql, fault) in [
        ("CREATE TABLE extra (x)", Some("table on extra that plumm has not made")),
        ("CREATE INDEX extra ON org (rate)", Some("index on org that plumm has not made")),
        ("CREATE VIEW extra AS SELECT 1", Some("view on extra that plumm has not made")),
        (
            "CREATE TRIGGER extra AFTER UPDATE ON org BEGIN DELETE FROM token; END",
            Some("trigger on org that plumm has not made"),
        ),
        ("CREATE TABLE _replica (x)", None),
    ] {
        fs::copy(folder.join("good.db"), folder.join("bad.db")).unwrap();
        Connection::open(folder.join("bad.db")).unwrap().execute_batch(sql).unwrap();
        let found = faults(&place, "bad.db");
        assert_eq!(found.first().map(String::as_str), fault, "{sql}");
    }
}

/// What check refuses is neither backed up nor restored, and the sentence says how to copy it.
#[test]
fn backup_and_restore_refuse_what_check_refuses() {
    let place = with_all_tables();
    let folder = place.folder.path();
    place.plumm(&["backup", "good.db"]).succeeds();
    fs::copy(folder.join("good.db"), folder.join("bad.db")).unwrap();
    let spoil = "UPDATE org SET username_format = 'mail', identity_changes = 'perhaps'";
    Connection::open(folder.join("bad.db")).unwrap().execute_batch(spoil).unwrap();
    let says = "table org, row 1, column username_format: it is no word that plumm knows (and \
                more: see `plumm check`). To hand the file to support as it is: copy it with cp, \
                and the -wal file beside it, while no server runs on it";
    let sentence = format!("bad.db is not whole: {says}");
    place.plumm(&["--db", "bad.db", "backup", "copy.db"]).fails(&sentence);
    place.plumm(&["restore", "bad.db", "--force"]).fails(&sentence);
    place.plumm(&["check"]).succeeds();

    // Backups of a running server are refused too, and the older ones stay.
    fs::create_dir(folder.join("backups")).unwrap();
    let old = ["plumm-20200101T000000Z.db", "plumm-20200102T000000Z.db"];
    for name in old {
        fs::copy(folder.join("good.db"), folder.join("backups").join(name)).unwrap();
    }
    let spoil = "UPDATE resource SET version = 0";
    Connection::open(place.folder.database()).unwrap().execute_batch(spoil).unwrap();
    let mut serving = place.serve(&["--backup-dir", "backups", "--backup-keep", "1"]);
    let line = serving.wait_for("the backup failed");
    assert!(line.contains("table resource, row 1, column version"), "{line}");
    assert_eq!(fs::read_dir(folder.join("backups")).unwrap().count(), 2);
}
