//! Accounts as a file: what is exported comes back as it was, and what is imported is judged as a
//! request is.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use plumm::cli::people::csv;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cli::{PATIENCE, Place, Run, run, text};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const BADGE: &str = "urn:acme:scim:2.0:Badge";

/// A place with organisations of these names, which share a schema.
fn place(orgs: &[&str]) -> Place {
    let place = Place::new();
    let attribute = |name: &str, kind: &str, many: bool| json!({"name": name, "type": kind, "multiValued": many});
    let schema = json!({"id": BADGE, "attributes": [
        {"name": "number", "type": "integer", "uniqueness": "server"},
        attribute("valid", "boolean", false),
        attribute("doors", "string", true),
        {"name": "colour", "type": "string", "returned": "request"},
        {"name": "holder", "type": "complex", "subAttributes": [attribute("neck", "decimal", false)]},
    ]});
    place.write("badge.json", &schema.to_string());
    for org in orgs {
        place.plumm(&["org", "create", org, "--activate"]).succeeds();
        place.plumm(&["schema", "add", org, "badge.json"]).succeeds();
    }
    place
}

trait Files {
    fn write(&self, name: &str, text: &str);
    fn import(&self, org: &str, file: &str, flags: &[&str]) -> (Run, Value);
    fn export(&self, org: &str, flags: &[&str]) -> String;
}

impl Files for Place {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn import(&self, org: &str, file: &str, flags: &[&str]) -> (Run, Value) {
        let ran = self.plumm(&[&["user", "import", org, file, "--json"], flags].concat());
        let json = serde_json::from_str(&ran.out).unwrap_or(Value::Null);
        (ran, json)
    }

    fn export(&self, org: &str, flags: &[&str]) -> String {
        let ran = self.plumm(&[&["user", "export", org], flags].concat());
        ran.succeeds().to_owned()
    }
}

/// People whose values look like what a table, a spreadsheet, a page or a terminal would obey.
fn people() -> Value {
    let values = [
        "Novák, \"Mára\"",
        "two\nlines\r\nand\rmore\t",
        "\u{1f469}\u{200d}\u{1f680} \u{1f600}",
        "\u{5e2}\u{5d1}\u{5e8}\u{5d9}\u{5ea} \u{202e}turned\u{2069}",
        "<script>alert(1)</script>&amp;",
        "=cmd|' /C calc'!A0",
        "+49 30 1234",
        "-1+1",
        "@SUM(A1:A9)",
        "'=1",
        "''",
        "; ;",
        " blank at both ends ",
        "\\N",
        "NULL",
    ];
    let people = values.iter().enumerate().map(|(i, value)| {
        let mut user = json!({
            "schemas": [CORE],
            "userName": format!("p{i}@example.com"),
            "externalId": format!("=00u{i}"),
            "name": {"givenName": value, "familyName": value},
            "displayName": value,
            "title": value,
            "active": i % 3 > 0,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
                {"department": value, "manager": {"value": value}},
            BADGE: {"number": i, "valid": i % 2 == 0, "doors": [value, "b"], "colour": value,
                "holder": {"neck": 0.1}},
        });
        let work = json!({"value": format!("p{i}@example.com"), "type": "work", "primary": true});
        user["emails"] = match i % 4 {
            0 => json!([work]),
            1 => json!([{"value": value, "type": "home"}, work]),
            2 => json!([work, {"value": value, "type": "other"}]),
            _ => json!([{"value": value, "display": value}]),
        };
        if i % 2 == 0 {
            user["phoneNumbers"] = json!([{"value": value, "type": "mobile"}]);
            user["addresses"] = json!([{"locality": value, "type": "work"}]);
            user["urn:unknown:ext"] = json!({"a": [value, 1, null], "b": {"c": value}});
        }
        user
    });
    people.collect()
}

#[test]
fn what_is_exported_comes_back_as_it_was() {
    let place = place(&["a", "b", "c"]);
    let people = people();
    place.write("people.json", &people.to_string());
    let (ran, json) = place.import("a", "people.json", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let number = people.as_array().unwrap().len();
    assert_eq!((&json["rows"], &json["created"]), (&json!(number), &json!(number)));

    let (csv, json) = (place.export("a", &[]), place.export("a", &["--format", "json"]));
    place.write("a.csv", &csv);
    place.write("a.json", &json);
    for (org, file) in [("b", "a.csv"), ("c", "a.json")] {
        let (ran, report) = place.import(org, file, &[]);
        assert_eq!((ran.code, &report["created"]), (Some(0), &json!(number)), "{ran:?}");
        assert_eq!(report["passed_over"], json!([]));
        assert_eq!(place.export(org, &[]), csv, "{org}");
        // A table does not say in which order the members of an object stand.
        let again = place.export(org, &["--json"]);
        let value = |it: &str| serde_json::from_str::<Value>(it).unwrap();
        assert!(value(&again) == value(&json), "{org}: {again}");
        assert!(file == "a.csv" || again == json);
        // Once more: all are there, and none differs.
        let (_, again) = place.import(org, file, &[]);
        assert_eq!((&again["exists"], &again["differing"]), (&json!(number), &json!(0)));
        assert_eq!(again["created"], 0);
    }
    // The JSON is one list of users as a client would send them.
    let list: Value = serde_json::from_str(&json).unwrap();
    let mut expected = people[5].clone();
    expected["schemas"] = list[5]["schemas"].clone();
    assert_eq!(list[5], expected);
    assert_eq!(json.lines().count(), number + 2);
    // And the table is one as RFC 4180 has it, in which no value begins like a formula.
    assert!(csv.starts_with("userName,externalId,active,name.formatted,") && csv.ends_with("\r\n"));
    assert!(csv.contains(",'=cmd|") && csv.contains("\"Novák, \"\"Mára\"\"\""), "{csv}");
    let dangerous = ["\n=", "\n+", "\n@", ",=", ",+", ",-", ",@", ",\"=", ",\"+", ",\"-", ",\"@"];
    for it in dangerous {
        assert!(!csv.contains(it), "{it:?} in {csv}");
    }
}

#[test]
fn what_the_server_says_of_accounts_is_exported_on_demand_and_passed_over_by_an_import() {
    let place = place(&["a", "b"]);
    place.write("p.csv", "userName\nmara@example.com\njon@example.com\n");
    place.import("a", "p.csv", &[]);
    let users = place.json(&["user", "list", "a"]);
    let csv = place.export("a", &["--meta"]);
    let head = csv.lines().next().unwrap();
    assert!(head.ends_with(",unregistered,id,meta.created,meta.lastModified"), "{head}");
    assert!(csv.contains(&format!(",{},", text(&users[0]["id"]))), "{csv}");
    place.write("meta.csv", &csv);
    let (ran, report) = place.import("b", "meta.csv", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(report["passed_over"], json!(["id", "meta.created", "meta.lastModified"]));
    let json: Value = serde_json::from_str(&place.export("a", &["--json", "--meta"])).unwrap();
    assert_eq!(json[1]["id"], users[1]["id"]);
    assert_eq!(json[1]["meta"]["created"], users[1]["created"]);

    // Deleted accounts are told apart, and not brought back by mistake.
    let serving = place.serve(&[]);
    let token = text(&place.json(&["token", "create", "a"])["token"]);
    let path = format!("/scim/v2/Users/{}", text(&users[0]["id"]));
    assert_eq!(serving.send("DELETE", &path, &token, "").0, 204);
    assert!(!place.export("a", &[]).contains("mara@"));
    for (flags, name) in [(&["--deleted"][..], "d.csv"), (&["--deleted", "--json"], "d.json")] {
        let deleted = place.export("a", flags);
        assert!(deleted.contains("mara@") && !deleted.contains("jon@"), "{deleted}");
        place.write(name, &deleted);
        let (ran, report) = place.import("b", name, &[]);
        assert_eq!(ran.code, Some(1));
        assert_eq!(report["bad_rows"][0]["field"], "deleted");
    }
    place.plumm(&["--json", "user", "export", "a", "--format", "csv"]).is_misuse(
        "--json prints JSON, and --format csv is a table",
        "plumm user export a --format csv",
    );
}

/// A table of people, some of them bad: the reason for each, in the order of the file.
#[test]
fn every_bad_row_is_named_and_nothing_is_imported_unless_they_are_left_out() {
    let place = place(&["a", "b"]);
    place.write("there.csv", "userName,Department\nThere@example.com,Sales\n");
    place.import("a", "there.csv", &[]);
    place.write(
        "people.csv",
        "\u{feff}userName;First Name;email;active;Badge ID;id\r\n"
            .replace("Badge ID", &format!("{BADGE}:number"))
            .as_str(),
    );
    let rows = [
        ("good@example.com;Ann;ann@example.com;TRUE;1;x", None),
        ("bob;Bob;;;2;", Some(("userName", "userName \"bob\" is not an email address"))),
        ("\"multi\r\nline@example.com\";;;;;", Some(("userName", "is not an email address"))),
        (";Carl;;;3;", Some(("userName", "The required attribute \"userName\" is missing"))),
        ("d@example.com;;;perhaps;4;", Some(("active", "takes true or false"))),
        ("GOOD@example.com;;;;5;", Some(("userName", "row 1 has the same userName"))),
        ("e@example.com;;;;1;", Some(("number", "row 1 has the same"))),
        ("f@example.com;;;;seven;", Some(("number", "takes a whole number"))),
        ("g@example.com;;", Some(("", "it has 3 values, and the first line names 6 columns"))),
        ("h@example.com;a\"b;;;;", Some(("", "a quote stands in the middle of a value"))),
        (";;;;;", None),
        (" i@example.com;;;;;", Some(("userName", "begins or ends with a blank"))),
        ("there@example.com;Other;;;;", None),
        ("last@example.com;Zoë \u{1f600};;false;;", None),
    ];
    let mut table = fs::read_to_string(place.folder.path().join("people.csv")).unwrap();
    rows.iter().for_each(|(row, _)| table += &format!("{row}\r\n"));
    place.write("people.csv", &table);

    let expected: Vec<(&str, &str)> = rows.iter().filter_map(|(_, bad)| *bad).collect();
    let number = expected.len();
    for flags in [&[][..], &["--dry-run"], &["--dry-run", "--skip-bad"]] {
        let (ran, report) = place.import("a", "people.csv", flags);
        assert_eq!(ran.code, Some(i32::from(!flags.contains(&"--skip-bad"))), "{ran:?}");
        assert_eq!(
            (&report["separator"], &report["passed_over"]),
            (&json!("semicolon"), &json!(["id"]))
        );
        assert_eq!((&report["rows"], &report["bad"]), (&json!(rows.len() - 1), &json!(number)));
        assert_eq!((&report["exists"], &report["differing"]), (&json!(1), &json!(1)));
        let found = report["bad_rows"].as_array().unwrap();
        for (bad, (field, reason)) in found.iter().zip(&expected) {
            let named = bad["field"].as_str().unwrap_or("");
            assert!(named.ends_with(field) && field.is_empty() == named.is_empty(), "{bad}");
            assert!(text(&bad["reason"]).contains(reason), "{bad}");
            assert!(!text(&bad["reason"]).contains("Okta"), "{bad}");
        }
        // Rows are counted without the head and without empty lines; a quoted value has two lines.
        let places: Vec<(u64, u64)> = found
            .iter()
            .map(|it| (it["row"].as_u64().unwrap(), it["line"].as_u64().unwrap()))
            .collect();
        assert_eq!(places[..3], [(2, 3), (3, 4), (4, 6)]);
        assert_eq!(places[number - 1], (11, 14));
        assert_eq!(place.json(&["user", "list", "a"]).as_array().unwrap().len(), 1, "{flags:?}");
    }
    let ran = place.plumm(&["user", "import", "a", "people.csv"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.starts_with("ROW  LINE  FIELD"), "{}", ran.out);
    assert_eq!(
        ran.err,
        format!(
            "error: of 13 rows {number} are bad, so nothing was imported: mend them, or leave them \
             out with `plumm user import a people.csv --skip-bad`\n"
        )
    );
    let ran = place.plumm(&["user", "import", "a", "people.csv", "--skip-bad"]);
    let said = ran.succeeds();
    assert!(
        said.ends_with(&format!(
            "people.csv: CSV with the separator semicolon, 13 rows. Passed over: id.\n\
             2 people were created in organisation a.\n\
             1 person is there already, 1 of them with other values than the file has: they stay \
             as they are.\n{number} rows are bad and left out.\n"
        )),
        "{said}"
    );
    let users = place.json(&["user", "list", "a"]);
    let names: Vec<&str> =
        users.as_array().unwrap().iter().map(|it| it["userName"].as_str().unwrap()).collect();
    assert_eq!(names, ["There@example.com", "good@example.com", "last@example.com"]);
    assert_eq!(users[2]["active"], false);
    let shown = place.json(&["user", "show", "a", "good@example.com"]);
    let email = json!([{"value": "ann@example.com", "type": "work", "primary": true}]);
    assert_eq!((&shown["emails"], &shown["name"]["givenName"]), (&email, &json!("Ann")));
    assert_eq!(shown[BADGE]["number"], 1);
    assert_ne!(shown["id"], "x");
    // What an account of the organisation has that must be unique is not given twice.
    place.write("taken.csv", &format!("userName,{BADGE}:number\nnew@example.com,1\n"));
    let (_, report) = place.import("a", "taken.csv", &[]);
    let reason = text(&report["bad_rows"][0]["reason"]);
    assert!(reason.contains("1 is already used by the User"), "{reason}");
    assert_eq!(place.import("b", "taken.csv", &[]).1["created"], 1);
}

#[test]
fn an_organisation_s_own_rules_hold_for_an_import() {
    let place = place(&["a"]);
    place.write("p.csv", "login,urn:x:y:z\nmara,1\n");
    assert_eq!(place.import("a", "p.csv", &[]).0.code, Some(1));
    place.plumm(&["org", "set", "a", "--username-format", "any"]).succeeds();
    assert_eq!(place.import("a", "p.csv", &["--dry-run"]).1["created"], 1);
    place.plumm(&["org", "set", "a", "--strict", "on"]).succeeds();
    let (ran, _) = place.import("a", "p.csv", &[]);
    assert!(ran.err.contains("no attribute is called urn:x:y:z"), "{ran:?}");
    let people = json!([{"userName": "mara"}, {"schemas": [CORE], "userName": "jon", "x": 1}]);
    place.write("p.json", &people.to_string());
    let (_, report) = place.import("a", "p.json", &[]);
    assert_eq!(report["bad"], 2, "{report}");
    assert!(text(&report["bad_rows"][1]["reason"]).contains("\"x\""), "{report}");
}

#[test]
fn a_file_that_cannot_be_imported_is_said_in_a_sentence() {
    let place = place(&["a"]);
    let refused = |bytes: &[u8], words: &str| {
        fs::write(place.folder.path().join("f"), bytes).unwrap();
        let ran = place.plumm(&["user", "import", "a", "f"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
        assert!(ran.err.starts_with("error: f ") && ran.err.lines().count() == 1, "{}", ran.err);
    };
    refused(b"", "f is empty");
    refused(b"\xef\xbb\xbf\n", "f is empty");
    refused(b"\xff\xfeu\0s\0", "f is UTF-16 text: save the table as \"CSV UTF-8\"");
    refused(b"u\0s\0e\0r\0", "is no text in UTF-8");
    refused(b"PK\x03\x04...", "is a workbook");
    refused(
        b"usrname,fist name,x\na@b.c,,\n",
        "no attribute is called usrname: the nearest one is userName; no attribute is called fist \
         name: the nearest one is name.givenName; no attribute is called x: give it the name",
    );
    refused(b"userName,,x\n", "column 2 has no name");
    refused(b"userName,login\n", "the columns userName and login are the same attribute");
    refused(b"email,Email\n", "the columns email and Email are the same attribute");
    refused(b"email\na@b.c\n", "names no column userName");
    refused(b"{\"userName\":\"a@b.c\"}", "it is one object without Resources");
    refused(b"[{\"userName\":\"a@b.c\"},", "it ends");
    refused(b"[{\"userName\":\"a@b.c\"}\n{}]", "on line 2 stands \"{\"");
    place
        .plumm(&["user", "import", "a", "nothing.csv"])
        .fails("nothing.csv cannot be read: No such file or directory (os error 2)");
    place.plumm(&["user", "import", "a", "."]).fails(". cannot be read: is a directory");
    let ran = place.plumm(&["user", "import", "b", "f"]);
    assert!(ran.err.contains("there is no organisation b"), "{ran:?}");
}

#[test]
fn people_come_from_standard_input_and_from_a_list_response() {
    let place = place(&["a"]);
    let from_input = |input: &str, flags: &[&str]| {
        let args = [&["user", "import", "a", "-", "--json"], flags].concat();
        let mut command = place.command(&args);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let report = from_input("userName\none@example.com\n", &[]);
    assert_eq!((&report["created"], &report["file"]), (&json!(1), &json!("standard input")));
    let list = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 2, "Resources": [
            {"id": "1", "meta": {"version": "x"}, "groups": [{"value": "g"}], "userName": "one@example.com"},
            {"schemas": [CORE], "userName": "two@example.com"}]});
    let report = from_input(&format!("\u{feff}\n{list:#}\n"), &["--format", "json"]);
    assert_eq!((&report["created"], &report["exists"]), (&json!(1), &json!(1)), "{report}");
    // The names of an object stand once, as in a request.
    place.write("twice.json", "[{\"userName\": \"x@y.z\",\n\"UserName\": \"x@y.z\"}]");
    let (_, report) = place.import("a", "twice.json", &[]);
    assert!(text(&report["bad_rows"][0]["reason"]).contains("stands twice"), "{report}");
    assert_eq!(place.files(), ["badge.json", "plumm.db", "twice.json"]);
}

/// The record has a line for each, and the application is told of each.
#[test]
fn an_imported_person_is_told_as_one_that_was_created() {
    let place = place(&["a"]);
    let serving = place.serve(&[]);
    let token = place.json(&["token", "create", "a", "--scope", "read"]);
    let token = text(&token["token"]);
    let ask = || {
        let (status, text) = serving.get("/access/v1/changes?after=0&wait=0", &token);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    place.write("p.csv", "userName,department\nmara@example.com,Sales\n");
    assert_eq!(place.import("a", "p.csv", &[]).1["created"], 1);
    let begun = Instant::now();
    let change = loop {
        let changes = ask();
        let found = changes["changes"].as_array().unwrap().iter().find(|it| !it["user"].is_null());
        if let Some(it) = found {
            break it.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{changes}");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(
        (&change["type"], &change["by"]["kind"]),
        (&json!("user.created"), &json!("command"))
    );
    assert_eq!(change["user"]["userName"], "mara@example.com");
    assert_eq!(change["changed"]["userName"]["after"], "mara@example.com");
    // The identity provider finds the account, and links it.
    let scim = text(&place.json(&["token", "create", "a"])["token"]);
    let filter = "/scim/v2/Users?filter=userName%20eq%20%22Mara@example.com%22";
    let (_, found) = serving.get(filter, &scim);
    assert!(found.contains("\"totalResults\":1"), "{found}");
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    let sql = "SELECT client || ' ' || actor || ' ' || outcome FROM provisioning_log
        WHERE method = 'import' AND type = 'User'";
    let line: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(line.starts_with("user:") && line.ends_with(" cli 201"), "{line}");
}

#[test]
fn an_import_that_was_killed_goes_on_when_it_is_run_again() {
    const PEOPLE: usize = 3_000;
    let place = place(&["a"]);
    let mut table = "userName,givenName\n".to_owned();
    (0..PEOPLE).for_each(|i| table += &format!("p{i}@example.com,Name {i}\n"));
    place.write("p.csv", &table);
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    let count = |what: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {what}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let mut child = place.command(&["user", "import", "a", "p.csv"]).spawn().unwrap();
    let begun = Instant::now();
    while count("resource") == 0 && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = usize::try_from(count("resource")).unwrap();
    assert!(before > 0 && before < PEOPLE, "{before}");
    let lines = "provisioning_log WHERE method = 'import'";
    assert_eq!(count(lines), i64::try_from(before).unwrap());
    let (ran, report) = place.import("a", "p.csv", &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!((&report["exists"], &report["created"]), (&json!(before), &json!(PEOPLE - before)));
    assert_eq!(report["differing"], 0);
    assert_eq!(count("resource"), 3_000);
    assert_eq!(count(lines), 3_000);
    place.plumm(&["check"]).succeeds();

    // An export of which only the beginning is wanted ends without a word.
    let mut child = place.command(&["user", "export", "a"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("userName,"));
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

proptest! {
    /// Whatever stands in the cells of a table, and however its bytes arrive.
    #[test]
    fn a_table_that_is_written_is_read_again(
        rows in vec(vec("[-=+@'\",;a\r\n\t \u{ff1d}é\u{1f600}]{0,6}", 2..5), 1..6),
        buffer in 1..40_usize,
    ) {
        let mut table = "h,h\r\n".to_owned();
        for row in &rows {
            let cells: Vec<String> = row.iter().map(|it| csv::guarded(it)).collect();
            csv::write(&mut table, cells.iter().map(String::as_str));
        }
        let input = BufReader::with_capacity(buffer.max(4), table.as_bytes());
        let mut records = csv::Records::new(input).unwrap();
        records.next_record().unwrap().unwrap();
        for row in &rows {
            let record = records.next_record().unwrap().unwrap().fields.unwrap();
            let found: Vec<&str> = record.iter().map(|it| csv::unguarded(it)).collect();
            prop_assert_eq!(&found, row);
        }
        prop_assert!(records.next_record().unwrap().is_none());
    }
}

/// What a file calls its columns, and what its values are, is printed as all names are.
#[test]
fn a_report_holds_nothing_that_a_terminal_obeys() {
    let place = place(&["a"]);
    let evil = "e\u{1b}[2J\u{202e}x";
    place.write("p.csv", &format!("userName,{evil}\na@b.c,1\n"));
    let ran = place.plumm(&["user", "import", "a", "p.csv"]);
    assert!(ran.err.contains("called e\\u{1b}[2J\\u{202e}x:"), "{ran:?}");
    place.write("p.json", &json!([{"userName": evil}]).to_string());
    for flags in [&[][..], &["--json"]] {
        let ran = place.plumm(&[&["user", "import", "a", "p.json"], flags].concat());
        assert!(!ran.out.contains(['\u{1b}', '\u{202e}']), "{ran:?}");
    }
    place.plumm(&["org", "set", "a", "--username-format", "any"]).succeeds();
    place.import("a", "p.json", &[]);
    let json = place.export("a", &["--json"]);
    assert!(!json.contains(['\u{1b}', '\u{202e}']));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()[0]["userName"], evil);
    // A table holds values as they are.
    assert!(run(place.command(&["user", "export", "a"])).out.contains(evil));
}
