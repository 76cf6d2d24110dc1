//! Databases of every former schema, opened by today's program.
//!
//! `tests/data/upgrade/vN.sql` is a database of schema N. After a new step N + 1 of `schema.sql`
//! there must be one of N: the test that misses it says how it is made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use plumm::store::Store;
use plumm::store::error::Error;
use plumm::store::open::Open;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::cli::Place;

const SCHEMA_SQL: &str = include_str!("../../schema.sql");

fn steps() -> Vec<&'static str> {
    let steps = SCHEMA_SQL.split("\n-- v ").skip(1);
    steps.map(|it| it.split_once('\n').unwrap().1).collect()
}

/// The hash of a step. Empty lines at its end are not counted: one comes with the step after it.
fn hash(step: &str) -> String {
    Sha256::digest(step.trim_end()).iter().map(|it| format!("{it:02x}")).collect()
}

fn dump_path(number: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/upgrade");
    folder.join(format!("v{number}.sql"))
}

/// Every dump there is, with its number.
fn dumps() -> Vec<(usize, String)> {
    let found = |n| Some((n, fs::read_to_string(dump_path(n)).ok()?));
    (1..=steps().len()).filter_map(found).collect()
}

/// What a dump says of itself in its head.
fn said<'a>(dump: &'a str, what: &str) -> &'a str {
    let line = dump.lines().find_map(|it| it.strip_prefix(&format!("-- {what}: ")));
    line.unwrap_or_else(|| panic!("the dump does not say its {what}"))
}

/// A place whose database is this dump.
fn place_of(dump: &str) -> Place {
    let place = Place::new();
    Connection::open(place.folder.database()).unwrap().execute_batch(dump).unwrap();
    place
}

/// Every row of every table, by the table's name; columns of today that `columns` does not have
/// are left out.
fn rows(path: &Path, columns: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let connection = Connection::open(path).unwrap();
    let all = columns.iter().map(|(table, names)| {
        let quoted: Vec<String> = names.iter().map(|it| format!("quote({it})")).collect();
        let sql = format!("SELECT {} FROM {table} ORDER BY 1", quoted.join(" || ',' || "));
        let mut statement = connection.prepare(&sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        (table.clone(), found.collect::<Result<_, _>>().unwrap())
    });
    all.collect()
}

fn columns(path: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT tables.name, columns.name FROM sqlite_schema AS tables
        JOIN pragma_table_info(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'";
    let mut statement = connection.prepare(sql).unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let pairs = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for pair in pairs {
        let (table, column): (String, String) = pair.unwrap();
        found.entry(table).or_default().push(column);
    }
    found
}

/// The definitions of all tables and indexes.
fn definitions(connection: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL
        AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let pairs = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    pairs.collect::<Result<_, _>>().unwrap()
}

#[test]
fn there_is_a_dump_of_every_former_schema() {
    for number in 1..steps().len() {
        assert!(
            dump_path(number).exists(),
            "schema {number} has no dump: go back to the commit before step {}, run `cargo test \
             --test it write_a_dump -- --ignored` there, and take its file along",
            number + 1
        );
    }
}

#[test]
fn a_released_step_is_never_changed() {
    let steps = steps();
    for (number, dump) in dumps() {
        let told = format!("step {number} of schema.sql has changed: add a new step instead");
        assert_eq!(
            said(&dump, "sha256 of its step of schema.sql"),
            hash(steps[number - 1]),
            "{told}"
        );
        // The dump itself is what the steps make.
        let (fresh, dumped) =
            (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        steps[..number].iter().for_each(|it| fresh.execute_batch(it).unwrap());
        dumped.execute_batch(&dump).unwrap();
        assert_eq!(definitions(&dumped), definitions(&fresh), "schema {number}");
    }
}

#[test]
fn every_former_database_is_brought_to_today_with_all_it_holds() {
    for (number, dump) in dumps() {
        let place = place_of(&dump);
        let path = place.folder.database();
        let token = said(&dump, "token");
        let known = columns(&path);
        let before = rows(&path, &known);
        assert!(before["resource"].len() >= 5 && before["token"].len() == 4, "schema {number}");

        // As it stands it is whole, and a check leaves it so.
        let bytes = fs::read(&path).unwrap();
        let report = place.json(&["check"]);
        assert_eq!((&report["whole"], &report["schema"]), (&true.into(), &number.into()));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        // A backup of it stays what it is, too.
        assert_eq!(place.json(&["backup", "copy.db"])["schema"], number);

        drop(Store::open(&path, Open::Existing).unwrap());
        let report = place.json(&["check"]);
        assert_eq!((&report["whole"], &report["schema"]), (&true.into(), &steps().len().into()));
        let after = rows(&path, &known);
        for (table, rows) in &before {
            if table == "email" && number < 4 {
                // Names are folded anew by step 4: `straße` is no longer found as `strasse`.
                let mut expected = rows.clone();
                expected.push("1,'straße@example.com',1".to_owned());
                assert_eq!(after[table], expected, "schema {number}");
                continue;
            }
            assert_eq!(&after[table], rows, "table {table} of schema {number}");
        }

        // What happened to each is found, also to one that is deleted or purged.
        let told = |of: &[&str]| -> Vec<i64> {
            let told = place.json(&[&["log", "acme"], of].concat());
            let entries = told["entries"].as_array().unwrap().iter();
            let changes = entries.filter(|it| it["kind"] == "change");
            let mut numbers: Vec<i64> = changes.map(|it| it["number"].as_i64().unwrap()).collect();
            numbers.sort_unstable();
            numbers
        };
        let (mara, gone) = (["--user", "mara.novak@example.com"], ["--user", "gone@example.com"]);
        assert_eq!(told(&mara), if number < 6 { vec![1, 5] } else { vec![1, 5, 12, 14] });
        assert_eq!(told(&gone), [3, 8, 9], "schema {number}");
        if number == 6 {
            let purged = ["--user", "01a20a2b-9b00-7000-8000-000000000001"];
            assert_eq!(told(&purged), [11, 13, 15]);
            assert_eq!(told(&["--about", "acme"]), [10, 16]);
        }

        let serving = place.serve(&[]);
        assert_eq!(serving.test_credentials(token), 200, "a token of schema {number}");
        let (_, list) = serving.get("/scim/v2/Users?sortBy=userName", token);
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        assert_eq!(list["totalResults"], 3);
        let filter = "displayName sw \"Jürgen 'J' \\\"Q\\\" 😀\"";
        let target = format!("/scim/v2/Users?filter={}", crate::harness::encoded(filter));
        assert!(serving.get(&target, token).1.contains("12345678901234567"));
        let deleted = place.json(&["user", "list", "acme", "--deleted"]);
        assert_eq!(deleted[0]["userName"], "gone@example.com");
        assert_eq!(serving.stop("TERM").0, Some(0));
    }
}

#[test]
fn a_restored_database_of_a_former_schema_is_brought_to_today_by_the_server() {
    let (number, dump) = dumps().swap_remove(0);
    let place = place_of(&dump);
    let restored = place.json(&["--db", "new.db", "restore", "plumm.db"]);
    assert_eq!((&restored["schema"], &restored["kept"]), (&number.into(), &().into()));
    let serving = place.serve(&["--db", "new.db"]);
    assert_eq!(serving.test_credentials(said(&dump, "token")), 200);
}

#[test]
fn a_step_that_fails_in_the_middle_leaves_the_file_as_it_was() {
    let (_, dump) = dumps().swap_remove(0);
    let place = place_of(&dump);
    let path = place.folder.database();
    // Step 2 makes this table after it has changed others.
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE member (x)").unwrap();
    let before = (definitions(&connection), rows(&path, &columns(&path)));
    drop(connection);
    let refused = Store::open(&path, Open::Existing).unwrap_err();
    assert!(matches!(refused, Error::Internal(_)), "{refused}");
    let connection = Connection::open(&path).unwrap();
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    assert_eq!((definitions(&connection), rows(&path, &columns(&path))), before);
    connection.execute_batch("DROP TABLE member").unwrap();
    drop(connection);
    assert_eq!(place.json(&["check"])["schema"], 1);
    drop(Store::open(&path, Open::Existing).unwrap());
    assert_eq!(place.json(&["check"])["whole"], true);
}

#[test]
fn every_command_refuses_a_database_of_a_newer_plumm() {
    let place = Place::with_acme();
    fs::write(place.folder.path().join("x.json"), "{}").unwrap();
    let connection = Connection::open(place.folder.database()).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    let before = fs::read(place.folder.database()).unwrap();
    for line in [
        "serve",
        "org create other",
        "org set acme --strict on",
        "org activate acme",
        "org list",
        "token create acme",
        "token list acme",
        "token revoke abc",
        "schema list acme",
        "user list acme",
        "user show acme x",
        "user purge acme x --yes",
        "user restore acme x",
        "group list acme",
        "group purge acme x --yes",
        "group restore acme x",
        "backup copy.db",
        "check",
        "--db other.db restore plumm.db",
    ] {
        let run = place.plumm(&line.split(' ').collect::<Vec<_>>());
        let words = format!("newer plumm (schema 1000, this program knows {})", steps().len());
        assert!(run.code == Some(1) && run.err.contains(&words), "{line}: {run:?}");
    }
    assert_eq!(fs::read(place.folder.database()).unwrap(), before);
    assert_eq!(place.files(), ["plumm.db", "x.json"]);
}

/// Brings the newest dump to the newest schema and writes it as the dump of that one. Give new
/// columns values worth testing afterwards, by hand.
#[test]
#[ignore = "writes into tests/data"]
fn write_a_dump() {
    let (_, former) = dumps().pop().unwrap();
    let place = place_of(&former);
    let path = place.folder.database();
    drop(Store::open(&path, Open::Existing).unwrap());
    let number = steps().len();
    let connection = Connection::open(&path).unwrap();
    let list = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.collect::<Result<_, _>>().unwrap()
    };
    let mut text = format!(
        "-- A database of schema {number}, for tests/it/upgrade.rs.\n\
         -- sha256 of its step of schema.sql: {}\n-- token: {}\nPRAGMA foreign_keys = OFF;\nBEGIN;\n",
        hash(steps()[number - 1]),
        said(&former, "token")
    );
    // SQLite makes sqlite_sequence with the first table that needs it, and keeps it.
    text += "CREATE TABLE counted (seq INTEGER PRIMARY KEY AUTOINCREMENT);\nDROP TABLE counted;\n";
    let ours = "sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
    for sql in list(&format!("SELECT sql FROM sqlite_schema WHERE type = 'table' AND {ours}")) {
        text += &format!("{sql};\n");
    }
    let mut all = columns(&path);
    let names = list(&format!("SELECT name FROM sqlite_schema WHERE type = 'table' AND {ours}"));
    let sequences = "sqlite_sequence".to_owned();
    all.insert(sequences.clone(), vec!["name".to_owned(), "seq".to_owned()]);
    for table in names.iter().chain([&sequences]) {
        if *table == sequences {
            text += "DELETE FROM sqlite_sequence;\n";
        }
        let values: Vec<String> = all[table].iter().map(|it| format!("quote({it})")).collect();
        let sql = format!("SELECT {} FROM {table}", values.join(" || ', ' || "));
        for row in list(&sql) {
            text += &format!("INSERT INTO \"{table}\" VALUES ({row});\n");
        }
    }
    for sql in list(&format!("SELECT sql FROM sqlite_schema WHERE type <> 'table' AND {ours}")) {
        text += &format!("{sql};\n");
    }
    text +=
        &format!("COMMIT;\nPRAGMA application_id = 1886156141;\nPRAGMA user_version = {number};\n");
    fs::write(dump_path(number), text).unwrap();
}
