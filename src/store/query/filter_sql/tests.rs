//! How conditions are compiled: indexes, equal shapes, the largest filters, times. The tests of
//! `compiler.rs` use this harness too.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use serde_json::{Map, Value as Json, json};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::scim::filter::condition::Condition;
use crate::scim::filter::grammar;
use crate::scim::filter::matching::matches;
use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::document::Schema;
use crate::scim::schema::resource_type::{Extension, ResourceType};
use crate::store::open::Open;
use crate::store::query::filter_sql::compile;
use crate::store::query::fragment::Fragment;
use crate::store::{Store, connection};

pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// An extension of these tests: the kinds of attributes that the built-in schemas lack.
pub(super) const TYPED: &str = "urn:test:2.0:Typed";
/// An extension that has no schema.
pub(super) const UNTYPED: &str = "urn:test:2.0:Untyped";
pub(super) const LOCATIONS: &str = "https://example.com/scim/v2/Users/";

pub(super) fn users() -> ResourceType {
    let attribute = |name: &str, kind: &str, multi_valued: bool, case_exact: bool| {
        json!({"name": name, "type": kind, "multiValued": multi_valued, "caseExact": case_exact,
            "mutability": "readWrite", "returned": "default"})
    };
    let complex = |name: &str, multi_valued: bool, subs: &[Json]| {
        let mut it = attribute(name, "complex", multi_valued, false);
        it["subAttributes"] = subs.into();
        it
    };
    let document = json!({"id": TYPED, "attributes": [
        attribute("hired", "dateTime", false, false),
        attribute("level", "integer", false, false),
        attribute("score", "decimal", false, false),
        attribute("flag", "boolean", false, false),
        attribute("badge", "string", false, true),
        attribute("tags", "string", true, false),
        attribute("codes", "string", true, true),
        attribute("sizes", "integer", true, false),
        attribute("leaves", "dateTime", true, false),
        complex("seat", false, &[
            attribute("row", "integer", false, false),
            attribute("name", "string", false, false),
            attribute("aliases", "string", true, false),
        ]),
        complex("cards", true, &[
            attribute("value", "string", false, true),
            attribute("since", "dateTime", false, false),
            attribute("limit", "decimal", false, false),
            attribute("blocked", "boolean", false, false),
            attribute("labels", "string", true, false),
        ]),
    ]});
    let schema = Arc::new(Schema::from_document(document).unwrap());
    let mut users = Definitions::builtin(IdentityChanges::Refuse).resource_types.remove(0);
    users.extensions.push(Extension { schema, required: false });
    users
}

fn groups() -> ResourceType {
    Definitions::builtin(IdentityChanges::Refuse).resource_types.remove(1)
}

/// A database in a folder of its own; dropping it removes the folder.
pub(super) struct Harness {
    folder: PathBuf,
    pub(super) connection: Connection,
}

impl Harness {
    pub(super) fn new(name: &str) -> Harness {
        let folder = std::env::temp_dir().join(format!("plumm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("plumm.db");
        drop(Store::open(&path, Open::Create).unwrap());
        let connection = connection::open_writer(&path, false).unwrap();
        let sql = "INSERT INTO org (id, name, name_folded, active, username_format,
            identity_changes, created) VALUES (7, 'a', 'a', 1, 'email', 'refuse', 0)";
        connection.execute(sql, []).unwrap();
        Harness { folder, connection }
    }

    /// Adds a resource: the document as stored, and the columns that repeat parts of it.
    pub(super) fn add(&self, resource: &Resource) {
        let document = &resource.stored;
        let text = |name: &str| document.get(name).and_then(Json::as_str);
        let sql = "INSERT INTO resource (seq, org, type, id, user_name, external_id,
            display_name, active, created, last_modified, version, document)
            VALUES (?, 7, 'User', ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let values = params![
            resource.seq,
            text("id"),
            text("userName").map(fold),
            text("externalId"),
            text("displayName").map(fold),
            document.get("active").and_then(Json::as_bool),
            resource.created,
            resource.last_modified,
            resource.seq,
            resource.text(),
        ];
        self.connection.prepare_cached(sql).unwrap().execute(values).unwrap();
        let emails = document.get("emails").and_then(Json::as_array).into_iter().flatten();
        for value in emails.filter_map(|it| it.get("value")?.as_str()) {
            let sql = "INSERT OR IGNORE INTO email (org, value, resource) VALUES (7, ?, ?)";
            let values = params![fold(value), resource.seq];
            self.connection.prepare_cached(sql).unwrap().execute(values).unwrap();
        }
    }

    /// The list query, and what is selected instead of `seq`.
    fn list(filter: &Fragment, selected: &str, explain: &str) -> (String, Vec<Value>) {
        let sql = format!(
            "{explain} SELECT {selected} FROM resource WHERE org = ?1 AND type = ?2
             AND deleted IS NULL AND ({}) ORDER BY seq",
            filter.sql
        );
        let org_and_type = [Value::Integer(7), Value::Text("User".to_owned())];
        (sql, org_and_type.into_iter().chain(filter.values.iter().cloned()).collect())
    }

    pub(super) fn select(&self, filter: &Fragment) -> Vec<i64> {
        let (sql, values) = Harness::list(filter, "seq", "");
        let mut statement = self.connection.prepare_cached(&sql).unwrap();
        let rows = statement.query_map(params_from_iter(values), |row| row.get(0)).unwrap();
        rows.map(|it| it.unwrap()).collect()
    }

    /// What the expression is for each resource, in order.
    pub(super) fn verdicts(&self, filter: &Fragment) -> Vec<Value> {
        let sql =
            format!("SELECT ?1, ?2, ({}) FROM resource WHERE org = ?1 ORDER BY seq", filter.sql);
        let (_, values) = Harness::list(filter, "", "");
        let mut statement = self.connection.prepare(&sql).unwrap();
        let rows = statement.query_map(params_from_iter(values), |row| row.get(2)).unwrap();
        rows.map(|it| it.unwrap()).collect()
    }

    fn plan(&self, text: &str) -> String {
        let (sql, values) = Harness::list(&compiled(text), "seq", "EXPLAIN QUERY PLAN");
        let mut statement = self.connection.prepare(&sql).unwrap();
        let rows = statement.query_map(params_from_iter(values), |row| row.get("detail"));
        rows.unwrap().map(|it| it.unwrap()).collect::<Vec<String>>().join("\n")
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) seq: i64,
    created: i64,
    last_modified: i64,
    stored: Map<String, Json>,
}

impl Resource {
    pub(super) fn new(seq: i64, times: (i64, i64), mut stored: Map<String, Json>) -> Resource {
        stored.insert("id".to_owned(), format!("id-{seq}").into());
        Resource { seq, created: times.0, last_modified: times.1, stored }
    }

    fn text(&self) -> String {
        Json::from(self.stored.clone()).to_string()
    }

    pub(super) fn answered(&self) -> Map<String, Json> {
        let time = |it: i64| Timestamp::from_nanoseconds(it).to_string();
        // As the server reads it back.
        let mut document: Map<String, Json> = serde_json::from_str(&self.text()).unwrap();
        let meta = json!({
            "resourceType": "User",
            "created": time(self.created),
            "lastModified": time(self.last_modified),
            "location": format!("{LOCATIONS}id-{}", self.seq),
            "version": format!("W/\"{}\"", self.seq),
        });
        document.insert("meta".to_owned(), meta);
        document
    }
}

fn condition(text: &str) -> Condition {
    let filter = grammar::parse(text).unwrap_or_else(|it| panic!("{text}: {it}"));
    // `members` is the one attribute of these tests that users do not have.
    let of = if text.contains("members") { groups() } else { users() };
    Condition::of_resource(&filter, &of).unwrap_or_else(|it| panic!("{text}: {it}"))
}

fn compiled(text: &str) -> Fragment {
    compile(&condition(text), "User", LOCATIONS, &[])
}

// Indexes find what clients search by.

#[track_caller]
fn check_plan(harness: &Harness, filter: &str, expected: &[&str]) {
    let plan = harness.plan(filter);
    for it in expected {
        assert!(plan.contains(it), "{filter}: {it}\n{plan}");
    }
    assert!(!plan.contains("SCAN resource"), "{filter}\n{plan}");
}

#[test]
fn indexes_serve_what_clients_search_by() {
    let harness = Harness::new("plans");
    let user_name = "resource_user_name (org=? AND type=? AND user_name=?)";
    check_plan(&harness, "userName eq \"a\"", &[user_name]);
    check_plan(&harness, "userName eq \"a\" and active eq true", &[user_name]);
    check_plan(&harness, &format!("{USER}:userName eq \"a\""), &[user_name]);
    let external_id = "resource_external_id (org=? AND type=? AND external_id=?)";
    check_plan(&harness, "externalId eq \"a\"", &[external_id]);
    let display_name = "resource_display_name (org=? AND type=? AND display_name=?)";
    check_plan(&harness, "displayName eq \"a\"", &[display_name]);
    let range = "resource_user_name (org=? AND type=? AND user_name>? AND user_name<?)";
    check_plan(&harness, "userName sw \"a\"", &[range]);
    check_plan(&harness, "id eq \"a\"", &["sqlite_autoindex_resource_1 (id=?)"]);
    let modified = "resource_last_modified (org=? AND type=? AND last_modified>?)";
    check_plan(&harness, "meta.lastModified gt \"2020-01-01T00:00:00Z\"", &[modified]);
    let email = [
        "resource_list (org=? AND type=? AND seq=?)",
        "email USING PRIMARY KEY (org=? AND value=?)",
    ];
    check_plan(&harness, "emails.value eq \"a\"", &email);
    check_plan(&harness, "emails eq \"a\"", &email);
    check_plan(&harness, "emails[type eq \"work\"].value eq \"a\"", &email);
    check_plan(&harness, "emails[type eq \"work\" and value eq \"a\"]", &email);
    let email =
        ["resource_list (org=? AND type=? AND seq=?)", "email USING PRIMARY KEY (org=? AND value>"];
    check_plan(&harness, "emails.value sw \"a\"", &email);
    // Groups are found from the person, and persons from the group.
    let linked = [
        "resource_list (org=? AND type=? AND seq=?)",
        "linked USING COVERING INDEX sqlite_autoindex_resource_1 (id=?)",
        "member USING COVERING INDEX member_resource (resource=?)",
    ];
    check_plan(&harness, "members eq \"a\"", &linked);
    check_plan(&harness, "members.value eq \"a\" and displayName co \"b\"", &linked);
    check_plan(&harness, "members[value eq \"a\" and type eq \"User\"]", &linked);
    let id = ["sqlite_autoindex_resource_1 (id=?)"];
    check_plan(&harness, "id eq \"a\" and members eq \"b\"", &id);
    let linked = [
        "resource_list (org=? AND type=? AND seq=?)",
        "linked USING INDEX sqlite_autoindex_resource_1 (id=?)",
        "member USING PRIMARY KEY (grp=?)",
    ];
    check_plan(&harness, "groups eq \"a\"", &linked);
    check_plan(&harness, "groups[type eq \"direct\" and value eq \"a\"]", &linked);
    check_plan(&harness, "id eq \"a\" and groups eq \"b\"", &id);
}

#[test]
fn equal_shapes_have_equal_text_and_no_word_of_the_request() {
    let shapes = [
        ("userName sw \"a\"", "userName sw \"\u{10ffff}\""),
        ("title co \"a\" and not (active eq true)", "nickName co \"b\" and not (active eq false)"),
        ("emails[type eq \"a\"].value eq \"b\"", "emails[display eq \"c\"].value eq \"d\""),
        ("urn:x:y:one eq 1", "urn:x:z:two eq 1.5"),
        ("urn:x:y:one.a eq \"1\"", "urn:x:z:two.b eq \"2\""),
        (
            "meta.created eq \"2020-01-01T00:00:00Z\"",
            "meta.created eq \"2021-01-01T00:00:00.0001Z\"",
        ),
    ];
    for (a, b) in shapes {
        assert_eq!(compiled(a).sql, compiled(b).sql, "{a}\n{b}");
        assert_ne!(compiled(a).values, compiled(b).values, "{a}\n{b}");
    }
    let filter = compiled("urn:zig:2.0:zag:Zog.zug eq \"zorg\" or title ew \"zorg\"");
    assert!(!filter.sql.to_lowercase().contains('z'), "{}", filter.sql);
}

#[test]
fn the_largest_filters_run() {
    let harness = Harness::new("limits");
    let document = json!({"userName": "a", "emails": [{"value": "a", "type": "work"}]});
    let document = document.as_object().unwrap().clone();
    harness.add(&Resource::new(1, (0, 0), document));
    let terms = [
        "userName sw \"a\"",
        "emails[type eq \"work\"]",
        "emails.value eq \"a\"",
        "urn:x:y:z.sub ne \"a\"",
        "phoneNumbers.value ne \"a\"",
    ];
    // The terms between brackets count too.
    let terms_max = |term: &str| grammar::FILTER_TERMS_MAX / (1 + term.matches('[').count());
    for term in terms {
        for word in [" and ", " or "] {
            let text = vec![term; terms_max(term)].join(word);
            assert_eq!(harness.select(&compiled(&text)), [1], "{word} {term}");
        }
    }
    let mixed: Vec<&str> = terms.into_iter().cycle().take(400).collect();
    assert_eq!(harness.select(&compiled(&mixed.join(" and "))), [1]);
    let mut deep = "emails[type eq \"work\"]".to_owned();
    let evenly_negated = grammar::FILTER_DEPTH_MAX / 2 - 2;
    for _ in 0..evenly_negated {
        deep = format!("(title pr or not ({deep}))");
    }
    assert_eq!(harness.select(&compiled(&deep)), [1]);
}

#[test]
fn a_time_is_compared_as_it_was_printed() {
    let harness = Harness::new("times");
    let stored = json!({"userName": "a"}).as_object().unwrap().clone();
    // The stored time is half a millisecond later than the one that clients see.
    let resource = Resource::new(1, (0, 1_500_000), stored);
    let seen = resource.answered()["meta"]["lastModified"].as_str().unwrap().to_owned();
    harness.add(&resource);
    for (op, expected) in
        [("gt", false), ("ge", true), ("eq", true), ("le", true), ("lt", false), ("ne", false)]
    {
        let text = format!("meta.lastModified {op} \"{seen}\"");
        assert_eq!(matches(&condition(&text), &resource.answered()), expected, "{text}");
        assert_eq!(!harness.select(&compiled(&text)).is_empty(), expected, "{text}");
    }
}
