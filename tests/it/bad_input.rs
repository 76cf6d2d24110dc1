//! Whatever is wrong with a request, its answer says what and what to do, and nothing of the
//! request is applied.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use plumm::scim::identity::UsernameFormat;
use plumm::store::Store;
use plumm::store::error::Error;
use plumm::store::open::Open;
use plumm::store::tables::org::OrgSettings;
use serde_json::{Value, json};

use crate::harness::{Answer, Folder, Harness, encoded, user};

const SYNTAX: Option<&str> = Some("invalidSyntax");
const VALUE: Option<&str> = Some("invalidValue");
const FILTER: Option<&str> = Some("invalidFilter");
const PATH: Option<&str> = Some("invalidPath");
const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const CUSTOM: &str = "urn:okta:acme_1:1.0:user:custom";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// What any one request may take here, unoptimised and beside all other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A harness with one user, who must come out of every refusal as he was.
struct Guarded {
    harness: Harness,
    bob: Value,
    at: String,
}

impl Guarded {
    fn new() -> Guarded {
        let harness = Harness::new();
        let bob = harness.user("bob@example.com");
        let at = format!("/Users/{}", bob["id"].as_str().unwrap());
        Guarded { harness, bob, at }
    }

    #[track_caller]
    fn unchanged(&self) {
        let list = self.harness.get("/Users").expect(200).json();
        assert_eq!(list["Resources"], json!([self.bob]), "something was applied");
        assert_eq!(list["totalResults"], 1);
    }

    fn bytes(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        let token = format!("Bearer {}", self.harness.token());
        let headers = [("Authorization", token.as_str())];
        self.harness.send_bytes(method, &format!("/scim/v2{target}"), &headers, body)
    }

    /// Sends a body to every method that takes one.
    #[track_caller]
    fn refuses_body(&self, body: &[u8], scim_type: Option<&str>, words: &str) {
        for (method, target) in [("POST", "/Users"), ("PUT", &self.at), ("PATCH", &self.at)] {
            self.bytes(method, target, body).refused(400, scim_type, words);
        }
        self.unchanged();
    }

    /// Sends a user with one more or another member.
    #[track_caller]
    fn refuses_member(&self, name: &str, value: &Value, words: &str) {
        let mut body = user("eve@example.com");
        body[name] = value.clone();
        self.harness.post("/Users", &body).refused(400, VALUE, words);
        let mut body = self.bob.clone();
        body["title"] = "must not be applied".into();
        body[name] = value.clone();
        self.harness.put(&self.at, &body).refused(400, VALUE, words);
        let title = json!({"op": "add", "path": "title", "value": "must not be applied"});
        let members = json!({"op": "add", "value": {"nickName": "must not", name: value}});
        self.harness.patch(&self.at, &json!([title, members])).refused(400, VALUE, words);
        self.unchanged();
    }

    #[track_caller]
    fn refuses_operation(&self, operation: &Value, scim_type: Option<&str>, words: &str) {
        // What no schema has is passed over beside what can be done, so it stands alone here.
        let title = json!({"op": "add", "path": "title", "value": "must not be applied"});
        let unknown = words.contains("names no attribute") || words.contains("no sub-attribute");
        let operations = if unknown { json!([operation]) } else { json!([title, operation]) };
        let answer = self.harness.patch(&self.at, &operations);
        assert_eq!(answer.status, 400, "{operation}: {}", answer.text);
        answer.refused(400, scim_type, words);
        self.unchanged();
    }
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    let it = Guarded::new();
    for (body, words) in [
        ("", "The body is empty"),
        (" \r\n\t", "The body is empty"),
        ("\u{feff}", "The body is empty"),
        ("{", "not JSON: EOF while parsing"),
        ("{]", "not JSON"),
        ("{\"userName\":\"eve@example.com\",}", "not JSON: trailing comma at line 1 column 31"),
        ("{\"userName\":\"eve@example.com\"} {}", "not JSON: trailing characters"),
        ("userName=eve%40example.com", "not JSON"),
        ("<?xml version=\"1.0\"?><User/>", "not JSON"),
        ("{\"a\":NaN}", "not JSON"),
        ("{\"a\":1e400}", "not JSON: number out of range"),
        ("{\"a\":01}", "not JSON"),
        ("{\"a\":\"\\ud800\"}", "not JSON"),
        ("{\"a\":\"\\udc00\\ud800\"}", "not JSON"),
        ("{\"a\":\"\\u12\"}", "not JSON"),
        ("{\"a\":\"\\x41\"}", "not JSON"),
        ("{\"a\":\"line\nbreak\"}", "not JSON: control character"),
        ("{\"a\":\"nul\u{0}\"}", "not JSON: control character"),
        ("{'a':1}", "not JSON"),
        ("[]", "no object"),
        ("[{}]", "no object"),
        ("\"text\"", "no object"),
        ("42", "no object"),
        ("true", "no object"),
        ("null", "no object"),
    ] {
        it.refuses_body(body.as_bytes(), SYNTAX, words);
    }
}

#[test]
fn a_body_that_is_not_utf_8_is_refused_with_the_place() {
    let it = Guarded::new();
    let latin = user("eve@example.com").to_string().replace("Test User", "M\u{fc}ller");
    let latin: Vec<u8> = latin.chars().map(|it| u8::try_from(u32::from(it)).unwrap()).collect();
    let at = latin.iter().position(|it| *it == 0xfc).unwrap();
    it.refuses_body(&latin, SYNTAX, &format!("not UTF-8 text: byte {at} does not belong"));
    let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    it.refuses_body(&utf_16, SYNTAX, "not UTF-8 text: byte 0");
    it.refuses_body(b"{\"a\":\"\xed\xa0\x80\"}", SYNTAX, "not UTF-8 text: byte 6");
    it.refuses_body(b"{\"a\":\"\xc0\x80\"}", SYNTAX, "not UTF-8 text: byte 6");
}

#[test]
fn a_byte_order_mark_is_no_fault() {
    let it = Guarded::new();
    let body = format!("\u{feff}{}", user("eve@example.com"));
    assert_eq!(
        it.harness.call("POST", "/Users", &body).expect(201).json()["userName"],
        "eve@example.com"
    );
}

#[test]
fn a_body_nested_too_deep_is_refused_as_that() {
    let it = Guarded::new();
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000), "[{\"a\":".repeat(50_000)] {
        it.refuses_body(deep.as_bytes(), SYNTAX, "nested more than 64 deep");
    }
    // The deepest that is read can be stored, read back, changed and erased.
    let nested = |depth: usize| {
        let inner = format!("{}1{}", "[".repeat(depth - 2), "]".repeat(depth - 2));
        let name = format!("{CORE}\"],\"userName\":\"d{depth}@x.y\",\"{CUSTOM}");
        format!("{{\"schemas\":[\"{name}\":{{\"a\":{inner}}}}}")
    };
    it.harness.call("POST", "/Users", &nested(65)).refused(400, SYNTAX, "nested more than 64");
    let deepest = it.harness.call("POST", "/Users", &nested(64)).expect(201).text;
    let id = deepest.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(it.harness.get(&format!("/Users/{id}")).expect(200).text, deepest);
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    it.harness.patch(&format!("/Users/{id}"), &off).expect(200);
    it.harness.get(&format!("/Users?attributes={CUSTOM}:a")).expect(200);
    assert_eq!(it.harness.count(&format!("{CUSTOM}:a pr")), 1);
    it.harness.call("DELETE", &format!("/Users/{id}"), "").expect(204);
    it.unchanged();
}

#[test]
fn schemas_missing_or_wrong() {
    let it = Guarded::new();
    for (schemas, words) in [
        (json!({}), "must be an array of URNs"),
        (json!(1), "must be an array of URNs"),
        (json!([1]), "must hold URNs as text"),
        (json!([CORE, null]), "must hold URNs as text"),
        (json!(["User"]), "does not name the schema of a User"),
        (json!(["urn:ietf:params:scim:schemas:core:2.0:Group"]), "does not name"),
        (json!([PATCH_OP]), "does not name"),
        (json!([format!("{CORE}x")]), "does not name"),
        (json!("urn:scim:schemas:core:1.0"), "Set the connector to SCIM 2.0"),
        (json!(["urn:scim:schemas:core:1.0"]), "Set the connector to SCIM 2.0"),
    ] {
        let mut body = user("eve@example.com");
        body["schemas"] = schemas;
        it.harness.post("/Users", &body).refused(400, SYNTAX, words);
        it.harness.post("/Users", &body).refused(
            400,
            SYNTAX,
            &format!("Send \"schemas\": [\"{CORE}\"]"),
        );
        it.harness.put(&it.at, &body).refused(400, SYNTAX, words);
    }
    for schemas in [json!("x"), json!([CORE]), json!([[PATCH_OP]]), json!({}), json!([null])] {
        let body = json!({"schemas": schemas, "Operations": [
            {"op": "replace", "value": {"title": "must not be applied"}}]});
        let answer = it.harness.call("PATCH", &it.at, &body.to_string());
        answer.refused(400, SYNTAX, &format!("A PATCH needs \"schemas\": [\"{PATCH_OP}\"]"));
    }
    it.unchanged();
}

#[test]
fn what_is_required_must_be_there_and_say_something() {
    let it = Guarded::new();
    let mut body = user("eve@example.com");
    body.as_object_mut().unwrap().remove("userName");
    let words = "The required attribute \"userName\" is missing. Map it";
    it.harness.post("/Users", &body).refused(400, VALUE, words);
    for nothing in [Value::Null, json!([])] {
        body["userName"] = nothing;
        it.harness.post("/Users", &body).refused(400, VALUE, words);
    }
    it.unchanged();
}

#[test]
fn an_empty_user_name_is_a_missing_one_whatever_the_format() {
    let settings = OrgSettings { username_format: UsernameFormat::Any, ..OrgSettings::default() };
    let harness = Harness::with(settings);
    for nothing in ["", " ", "\t\n", "\u{a0}"] {
        harness.post("/Users", &user(nothing)).refused(400, VALUE, "userName");
    }
    assert_eq!(harness.get("/Users").json()["totalResults"], 0);
}

#[test]
fn a_user_name_that_is_no_email_address_is_refused_with_the_setting_of_okta() {
    let it = Guarded::new();
    let long = format!("{}@example.com", "x".repeat(309));
    for name in [
        "",
        " ",
        "bob",
        "bob@",
        "@example.com",
        "bob@example..com",
        "bob@@example.com",
        "bob smith@example.com",
        "Bob <bob@example.com>",
        "eve\t@example.com",
        "eve@exam ple.com",
        "eve@[127.0.0.1]",
        "EXAMPLE\\bob",
        "cn=bob,dc=example,dc=com",
        "\u{202e}",
        &long,
    ] {
        let answer = it.harness.post("/Users", &user(name));
        assert_eq!(answer.status, 400, "{name:?}: {}", answer.text);
        answer.refused(400, VALUE, "set Application username format to Email");
    }
    for name in [" eve@example.com", "eve@example.com ", "eve@example.com\n"] {
        let answer = it.harness.post("/Users", &user(name));
        answer.refused(400, VALUE, "begins or ends with a blank");
    }
    it.harness.post("/Users", &user("eve\0@example.com")).refused(400, VALUE, "NUL");
    for wrong in [json!(true), json!({}), json!({"name": "eve@example.com"}), json!(["a@b", "c@d"])]
    {
        let mut body = user("eve@example.com");
        body["userName"] = wrong;
        it.harness.post("/Users", &body).refused(400, VALUE, "\"userName\" takes text");
    }
    let huge = format!("{}@example.com", "x".repeat(900_000));
    let answer = it.harness.post("/Users", &user(&huge));
    assert!(answer.text.len() < 1000, "a refusal quotes no more than is readable");
    answer.refused(400, VALUE, "…");
    it.unchanged();
    // The longest that is one.
    it.harness.user(&long[1..]);
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_what_belongs_there() {
    let it = Guarded::new();
    for (name, value, words) in [
        ("title", json!(true), "\"title\" takes text, and it was given true or false"),
        ("title", json!(["a", "b"]), "\"title\" takes text, and it was given an array"),
        ("title", json!({"a": 1}), "given an object"),
        ("displayName", json!(true), "\"displayName\" takes text, and it was given true or false"),
        ("active", json!("yes"), "\"active\" takes true or false, and it was given text"),
        ("active", json!(2), "\"active\" takes true or false, and it was given a number"),
        ("active", json!(-1), "true or false"),
        ("active", json!(0.5), "true or false"),
        ("active", json!({"is": true}), "given an object"),
        ("active", json!([true, false]), "given an array"),
        ("name", json!("Bob"), "\"name\" takes an object"),
        ("name", json!({"givenName": true}), "\"name.givenName\" takes text"),
        ("name", json!({"givenName": ["a", "b"]}), "\"name.givenName\" takes text"),
        ("emails", json!(1), "\"emails[0]\" takes an object"),
        ("emails", json!([[]]), "\"emails[0]\" takes an object"),
        ("emails", json!([{"value": "bob@example.com"}, 1]), "\"emails[1]\" takes an object"),
        ("emails", json!([{"value": true}]), "\"emails[0].value\" takes text"),
        (
            "emails",
            json!([{"value": "bob@example.com", "primary": "first"}]),
            "\"emails[0].primary\" takes true or false",
        ),
        ("profileUrl", json!(true), "\"profileUrl\" takes"),
        ("externalId", json!(false), "\"externalId\" takes text"),
        ("externalId", json!([["42"]]), "\"externalId\" takes text"),
        ("password", json!(true), "\"password\" takes text"),
        ("x509Certificates", json!([{"value": "%%%"}]), "takes base64 text"),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            json!("R&D"),
            "takes an object",
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            json!({"department": true}),
            "department\" takes text",
        ),
    ] {
        it.refuses_member(name, &value, words);
    }
    let two = json!([{"value": "bob@example.com", "primary": true},
        {"value": "b@x.y", "primary": true}]);
    it.refuses_member("emails", &two, "more than one value with \"primary\": true");
}

#[test]
fn a_nul_is_refused_in_every_text_and_name() {
    let it = Guarded::new();
    for (name, value) in [
        ("title", json!("a\0b")),
        ("externalId", json!("\0")),
        ("name", json!({"familyName": "a\0"})),
        ("emails", json!([{"value": "bob@example.com", "display": "\0"}])),
        (CUSTOM, json!({"a": "\0"})),
        (CUSTOM, json!({"a": {"b": [{"c": "x\0"}]}})),
        (CUSTOM, json!({"a": {"b\0": 1}})),
        ("urn:new:1", json!({"a": ["\0"]})),
    ] {
        it.refuses_member(name, &value, "NUL");
    }
    for name in ["urn:\0x", "urn:a b:c", "urn:\"", "urn:a\nb", "1:a", ":"] {
        let mut body = user("eve@example.com");
        body[name] = json!({"a": 1});
        it.harness.post("/Users", &body).refused(400, SYNTAX, "no attribute name and no URN");
        it.harness.put(&it.at, &body).refused(400, SYNTAX, "no attribute name and no URN");
    }
    it.unchanged();
}

#[test]
fn a_member_that_stands_twice_in_different_case_is_refused() {
    let it = Guarded::new();
    for (name, value) in [
        ("USERNAME", json!("eve@example.com")),
        ("Active", json!(false)),
        ("EMAILS", json!([{"value": "eve@example.com"}])),
        ("SCHEMAS", json!([CORE])),
    ] {
        let mut body = it.bob.clone();
        body[name] = value;
        body["title"] = "must not be applied".into();
        it.harness.post("/Users", &body).refused(400, SYNTAX, "stands twice");
        it.harness.put(&it.at, &body).refused(400, SYNTAX, "stands twice");
    }
    let mut body = it.bob.clone();
    body["name"] = json!({"givenName": "A", "GIVENNAME": "B"});
    it.harness.put(&it.at, &body).refused(400, SYNTAX, "\"name.GIVENNAME\" stands twice");
    it.unchanged();
}

#[test]
fn a_name_that_stands_twice_is_refused_wherever_it_stands() {
    let it = Guarded::new();
    let user = r#""schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"e@x.org""#;
    for (members, place) in [
        (r#""userName":"eve@example.com""#, "userName"),
        (r#""user\u004eame":"eve@example.com""#, "userName"),
        (r#""active":true,"active":false"#, "active"),
        (r#""favourites":1,"favourites":1"#, "favourites"),
        (r#""name":{"givenName":"A","familyName":"B","givenName":"A"}"#, "name.givenName"),
        (r#""emails":[{"value":"a@x.org"},{"type":"a","type":"b"}]"#, "emails[1].type"),
        (r#""urn:x:y":{"a":[{"b":{"c":1,"c":2}}]}"#, "urn:x:y.a[0].b.c"),
    ] {
        let body = format!("{{{user},{members}}}");
        let words = format!("In the body \"{place}\" stands twice; give it once.");
        it.refuses_body(body.as_bytes(), SYNTAX, &words);
    }
    // Letter case makes no difference, also where no attribute is known.
    for (members, place) in [
        (r#""Active":true,"active":false"#, "Active"),
        (r#""x":{"givenName":"A","GivenName":"B"}"#, "x.givenName"),
        (r#""emails":[{"type":"a","TYPE":"b"}]"#, "emails[0].type"),
    ] {
        let body = format!("{{{user},{members}}}");
        let words = format!("In the body \"{place}\" stands twice, as ");
        it.refuses_body(body.as_bytes(), SYNTAX, &words);
    }
    let operations = r#""schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":"#;
    for (operation, place) in [
        (r#"{"op":"replace","path":"title","value":"a","value":"b"}"#, "Operations[0].value"),
        (r#"{"op":"replace","path":"title","Path":"active","value":"b"}"#, "Operations[0].path"),
        (r#"{"op":"add","value":{"title":"a","title":"b"}}"#, "Operations[0].value.title"),
    ] {
        let body = format!("{{{operations}[{operation}]}}");
        let answer = it.bytes("PATCH", &it.at, body.as_bytes());
        answer.refused(400, SYNTAX, &format!("\"{place}\" stands twice"));
    }
    for (target, name) in [("/Users/.search", "filter"), ("/.search", "count")] {
        let body = format!(r#"{{"{name}":"active pr","{name}":"userName pr"}}"#);
        let answer = it.bytes("POST", target, body.as_bytes());
        answer.refused(400, SYNTAX, &format!("\"{name}\" stands twice"));
    }
    it.unchanged();
    // What is said is short and clean, however long the name is.
    let name = format!("\\u001b[2J\\u202e{}", "n".repeat(10_000));
    let body = format!(r#"{{"a":{{"{name}":1,"{name}":2}}}}"#);
    let answer = it.bytes("POST", "/Users", body.as_bytes());
    assert!(answer.text.len() < 600 && !answer.text.contains('\u{1b}'), "{}", answer.text);
    answer.refused(400, SYNTAX, "stands twice");
}

/// Which of two values is meant nobody can tell, so the text is no message. Names that differ in
/// letter case are the fault of the one operation that has them: it does not stop the others.
#[test]
fn a_name_that_stands_twice_in_bulk_is_refused() {
    let it = Guarded::new();
    let post = |i: u8, more: &str| {
        format!(
            r#"{{"method":"POST","path":"/Users","bulkId":"{i}","data":{{"userName":"u{i}@x.org"{more}}}}}"#
        )
    };
    let bulk = |operations: &[String]| {
        let schemas = r#""schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]"#;
        let body = format!(r#"{{{schemas},"Operations":[{}]}}"#, operations.join(","));
        it.bytes("POST", "/Bulk", body.as_bytes())
    };
    let twice = post(2, r#","title":"a","title":"b""#);
    let words = "In the body \"Operations[1].data.title\" stands twice";
    bulk(&[post(1, ""), twice]).refused(400, SYNTAX, words);
    it.unchanged();
    let of_message = r#"{"OPERATIONS":[],"Operations":[]}"#;
    let answer = it.bytes("POST", "/Bulk", of_message.as_bytes());
    answer.refused(400, SYNTAX, "In a Bulk request \"OPERATIONS\" stands twice, as");
    let other_path = post(3, "").replace("\"path\"", "\"Path\":\"/Groups\",\"path\"");
    let answer = bulk(&[post(1, ""), post(2, r#","name":{"x":1,"X":2}"#), other_path, post(4, "")]);
    let answer = answer.expect(200).json();
    let operations = answer["Operations"].as_array().unwrap();
    let statuses: Vec<&str> = operations.iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["201", "400", "400", "201"], "{answer}");
    for (i, words) in [
        (1, "In the body \"name.X\" stands twice, as \"X\" and as \"x\""),
        (2, "In an operation \"Path\" stands twice, as \"Path\" and as \"path\""),
    ] {
        let error = &operations[i]["response"];
        assert_eq!(error["scimType"], "invalidSyntax");
        assert!(error["detail"].as_str().unwrap().contains(words), "{error}");
    }
}

#[test]
fn a_patch_that_is_no_patch_is_refused() {
    let it = Guarded::new();
    let title = json!({"op": "add", "path": "title", "value": "must not be applied"});
    for (operations, scim_type, words) in [
        (Value::Null, SYNTAX, "needs \"Operations\", an array"),
        (json!({}), SYNTAX, "Operation 1: \"op\" must be add, remove or replace"),
        (json!("add"), SYNTAX, "needs \"Operations\", an array"),
        (json!([]), SYNTAX, "\"Operations\" is empty"),
        (json!([title, 1]), SYNTAX, "Operation 2: it must be an object"),
        (json!([title, null]), SYNTAX, "Operation 2: it must be an object"),
        (json!([title, {}]), SYNTAX, "Operation 2: \"op\" must be add, remove or replace"),
        (json!([title, {"op": 1}]), SYNTAX, "\"op\" must be add, remove or replace"),
        (json!([title, {"op": "move", "path": "a"}]), SYNTAX, "and is \"move\""),
        (json!([title, {"op": "add", "path": 1, "value": 1}]), SYNTAX, "\"path\" must be text"),
        (json!([title, {"op": "add", "path": ["title"], "value": 1}]), SYNTAX, "\"path\" must be"),
        (json!([title, {"op": "add"}]), VALUE, "\"add\" needs a \"value\""),
        (json!([title, {"op": "replace", "path": "title"}]), VALUE, "needs a \"value\""),
        (json!([title, {"op": "add", "value": "x"}]), VALUE, "must be an object that names"),
        (json!([title, {"op": "add", "value": [{"title": "x"}]}]), VALUE, "must be an object"),
        (json!([title, {"op": "remove"}]), Some("noTarget"), "removal needs a \"path\""),
        (json!([title, {"op": "remove", "path": ""}]), Some("noTarget"), "needs a \"path\""),
    ] {
        it.harness.patch(&it.at, &operations).refused(400, scim_type, words);
    }
    let body = json!({"schemas": [PATCH_OP], "operations": []}).to_string();
    it.harness.call("PATCH", &it.at, &body).refused(400, SYNTAX, "\"Operations\" is empty");
    it.unchanged();
}

#[test]
fn a_path_that_cannot_be_used_is_named() {
    let it = Guarded::new();
    let deep = format!("emails[{}", "(".repeat(5000));
    let long = format!("emails[value eq \"{}\"]", "x".repeat(40_000));
    for (path, scim_type, words) in [
        ("shoeSize", PATH, "names no attribute of a User"),
        ("name.shoeSize", PATH, "names no attribute of a User"),
        ("name.givenName.first", PATH, "names no attribute of a User"),
        ("emails[type eq \"work\"].shoeSize", PATH, "has no sub-attribute \"shoeSize\""),
        ("emails[", PATH, "cannot be read"),
        ("emails[type eq \"work\"", PATH, "is not closed"),
        ("emails[]", PATH, "cannot be read"),
        ("emails[type]", PATH, "expected an operator"),
        ("emails[shoeSize eq 1]", FILTER, "no schema of this resource type defines"),
        ("emails[primary eq \"maybe\"]", FILTER, "true or false"),
        ("emails[value eq \"a\"]x", PATH, "only a sub-attribute"),
        ("[value eq \"a\"]", PATH, "no attribute before the"),
        ("title[value eq \"a\"]", PATH, "has one value, so no brackets"),
        ("a b", PATH, "no attribute name"),
        ("title\0", PATH, "no attribute name"),
        ("../title", PATH, "no attribute name"),
        ("id", Some("mutability"), "read-only"),
        ("meta.created", Some("mutability"), "read-only"),
        ("schemas", Some("mutability"), "read-only"),
        (&deep, PATH, "is not closed"),
        (&format!("{deep}]"), PATH, "nested more than 32 deep"),
        (&long, PATH, "bytes long"),
    ] {
        for op in ["add", "replace", "remove"] {
            let operation = json!({"op": op, "path": path, "value": "x"});
            it.refuses_operation(&operation, scim_type, words);
        }
    }
}

#[test]
fn brackets_on_an_extension_that_no_schema_describes_do_not_take_all_of_it() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body[CUSTOM] = json!({"tags": [{"value": "a"}, {"value": "b"}]});
    let bob = harness.post("/Users", &body).expect(201).json();
    let at = format!("/Users/{}", bob["id"].as_str().unwrap());
    let path = format!("{CUSTOM}:tags[value eq \"a\"]");
    for (op, value, expected) in [
        ("replace", json!({"value": "c"}), json!([{"value": "c"}, {"value": "b"}])),
        ("remove", Value::Null, json!([{"value": "c"}, {"value": "b"}])),
        ("add", json!({"type": "x"}), json!([{"value": "a", "type": "x"}, {"value": "b"}])),
        ("remove", Value::Null, json!([{"value": "b"}])),
    ] {
        if op == "add" {
            harness.put(&at, &body).expect(200);
        }
        harness.patch(&at, &json!([{"op": op, "path": path, "value": value}])).expect(200);
        assert_eq!(harness.get(&at).json()[CUSTOM]["tags"], expected, "{op}");
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_refused_with_the_place() {
    let it = Guarded::new();
    let many = vec!["title pr"; 501].join(" or ");
    let long = format!("title eq \"{}\"", "x".repeat(32 * 1024));
    for (filter, words) in [
        ("userName", "expected an operator"),
        ("userName eq", "expected a value"),
        ("userName eq \"bob", "expected a closing quote"),
        ("userName eq 'bob'x y", "expected a value in double quotes"),
        ("userName = \"bob\"", "character 10: expected an operator"),
        ("userName like \"bob\"", "expected an operator"),
        ("eq \"bob\"", "expected an operator"),
        ("userName eq \"bob\" and", "expected an attribute name, found the end"),
        ("and userName eq \"bob\"", "expected an operator"),
        ("(userName eq \"bob\"", "\")\""),
        ("userName eq \"bob\")", "the end"),
        ("emails[type eq \"work\"", "\"]\""),
        ("emails[]", "expected an attribute name"),
        ("userName eq \"\\ud800\"", "JSON's own form"),
        ("userName eq \"a\nb\"", "JSON's own form"),
        ("userName eq \"\\x\"", "JSON's own form"),
        ("userName eq {\"a\":1}", "expected a value"),
        ("userName eq [1]", "expected a value"),
        ("shoeSize eq 1", "\"shoeSize\", which no schema of this resource type defines"),
        ("name.shoeSize pr", "\"name.shoeSize\", which no schema"),
        ("name.givenName.x pr", "which no schema"),
        ("userName.x pr", "which no schema"),
        ("emails[shoeSize pr]", "\"shoeSize\", which no schema"),
        ("urn:ietf:params:scim:schemas:core:2.0:User:shoeSize pr", "which no schema"),
        ("urn:ietf:params:scim:schemas:core:2.0:User pr", "which no schema"),
        ("password eq \"x\"", "never shown"),
        ("password pr", "never shown"),
        ("active eq \"maybe\"", "true or false"),
        ("active eq 2", "true or false"),
        ("active gt true", "no order"),
        ("meta.created gt \"yesterday\"", "compare it with a time"),
        ("meta.created gt 1", "compare it with a time"),
        ("meta.created co \"2026-01-31T08:00:00Z\"", "text only"),
        ("userName gt null", "eq and ne only"),
        ("name eq \"x\"", "has no value of its own"),
        ("title[value eq \"x\"]", "no brackets can follow"),
        ("emails[emails[value pr]]", "inside other brackets"),
        ("x'; DROP TABLE resource; --", "cannot be read"),
        ("title pr; title pr", "cannot be read"),
        (&"(".repeat(5000), "nested more than 32 deep"),
        (&"not(".repeat(5000), "nested more than 32 deep"),
        (&format!("{}title pr{}", "(".repeat(5000), ")".repeat(5000)), "nested more than 32 deep"),
        (&"emails[".repeat(4000), "nested more than 32 deep"),
        (&many, "more than 500 comparisons"),
        (&long, "bytes long; at most 32768"),
    ] {
        let answer = it.harness.get(&format!("/Users?filter={}", encoded(filter)));
        let shown: String = filter.chars().take(60).collect();
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text);
        assert!(answer.text.len() < 1000, "{shown}");
        answer.refused(400, FILTER, words);
    }
    for raw in ["%", "%4", "%zz", "%ff", "%00", "title%20pr%00"] {
        let answer = it.harness.get(&format!("/Users?filter={raw}"));
        answer.refused(400, VALUE, "filter is not percent-encoded UTF-8 text");
    }
    it.unchanged();
}

#[test]
fn the_largest_filters_that_are_read_are_also_decided() {
    let it = Guarded::new();
    let wrap = |text: &str, times: usize, word: &str| {
        format!("{}{text}{}", format!("{word}(").repeat(times), ")".repeat(times))
    };
    // Brackets count for themselves.
    let join = |term: &str, word: &str| {
        // Each asks for memberships, of which one statement can hold so many.
        let most = if term.starts_with("groups") { 50 } else { 500 };
        let count = if term.contains('[') { most / 2 } else { most };
        vec![term; count].join(&format!(" {word} "))
    };
    let terms = [
        "title pr",
        "title eq null",
        "title ne \"x\"",
        "userName co \"q\"",
        "name.givenName ne \"x\"",
        "emails.value ne \"bob@example.com\"",
        "emails ew \"q\"",
        "active eq false",
        "meta.lastModified lt \"2020-01-01T00:00:00Z\"",
        "meta.location eq \"x\"",
        "meta.version eq \"x\"",
        "groups.display eq \"x\"",
        "roles[primary eq true]",
        "emails[type eq \"home\"]",
        "manager.value sw \"x\"",
        "schemas eq \"x\"",
        "id ne \"\"",
        "urn:a:b:c gt 1",
        "urn:a:b:c.d ne 1",
        "urn:a:b:c[d eq 1]",
        "photos[not (value pr)]",
        "meta.resourceType ne \"x\"",
        "phoneNumbers.value ge \"1\"",
        "externalId le \"1\"",
    ];
    for term in terms {
        for word in ["or", "and"] {
            let flat = join(term, word);
            if flat.len() > 32 * 1024 - 400 {
                continue;
            }
            let deep = wrap(&flat, 30, "not ");
            let list = |filter: &str| {
                let started = Instant::now();
                let answer = it.harness.get(&format!("/Users?filter={}", encoded(filter)));
                assert!(started.elapsed() < PATIENCE, "{term} {word}");
                assert_eq!(answer.status, 200, "{term} {word}: {}", answer.text);
                answer.json()["totalResults"].as_i64().unwrap()
            };
            let one = list(term);
            assert_eq!(list(&flat), one, "{term} {word}");
            assert_eq!(list(&deep), one, "{term} {word}, an even number of nots");
        }
    }
    // A tree that is as deep as it may be, with terms on every level.
    let mut tree = "title pr".to_owned();
    for i in 0..32 {
        let (word, not) = if i % 2 == 0 { ("or", "not ") } else { ("and", "") };
        tree = format!("{not}({tree}) {word} {}", ["emails[type ne \"x\"]"; 7].join(" or "));
    }
    it.harness.get(&format!("/Users?filter={}", encoded(&tree))).expect(200);
}

#[test]
fn odd_values_in_a_filter_are_values() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body[CUSTOM] = json!({"n": 1, "f": 1.0, "z": 0, "big": 18446744073709551615_u64});
    harness.post("/Users", &body).expect(201);
    for (filter, count) in [
        (format!("{CUSTOM}:n eq 1.0"), 1),
        (format!("{CUSTOM}:f eq 1"), 1),
        (format!("{CUSTOM}:z eq -0"), 1),
        (format!("{CUSTOM}:z eq -0.0"), 1),
        (format!("{CUSTOM}:n eq 1e0"), 1),
        (format!("{CUSTOM}:n lt 1e308"), 1),
        (format!("{CUSTOM}:n lt 1e400"), 0),
        (format!("{CUSTOM}:n gt -99999999999999999999999999"), 1),
        (format!("{CUSTOM}:big gt 9223372036854775807"), 1),
        ("title eq \"\\u0000\"".to_owned(), 0),
        ("title eq \"\\ud83d\\ude00\"".to_owned(), 0),
        ("title co \"%\"".to_owned(), 0),
        ("userName co \"_\"".to_owned(), 0),
        ("userName sw \"*\"".to_owned(), 0),
        ("userName co \"\"".to_owned(), 1),
        ("userName eq \"bob@example.com' OR '1'='1\"".to_owned(), 0),
        ("title eq 1e400".to_owned(), 0),
        ("externalId eq 5".to_owned(), 0),
    ] {
        assert_eq!(harness.count(&filter), count, "{filter}");
    }
}

#[test]
fn odd_numbers_in_an_extension_come_back_as_they_were() {
    let harness = Harness::new();
    let numbers = "[0,-0.0,1.0,1e308,5e-324,-9223372036854775808,18446744073709551615,0.1]";
    let body = user("bob@example.com").to_string();
    let body = format!("{},\"{CUSTOM}\":{{\"n\":{numbers}}}}}", body.strip_suffix('}').unwrap());
    let answer = harness.call("POST", "/Users", &body).expect(201).json();
    assert_eq!(answer[CUSTOM]["n"], serde_json::from_str::<Value>(numbers).unwrap());
    assert!(answer[CUSTOM]["n"][1].as_f64().unwrap().is_sign_negative());
}

#[test]
fn paging_numbers_out_of_range_are_clamped_and_what_is_no_number_is_refused() {
    let it = Guarded::new();
    let huge = "9".repeat(400);
    for (query, start, length) in [
        ("startIndex=-1", 1, 1),
        ("startIndex=0", 1, 1),
        ("startIndex=%2B1", 1, 1),
        ("startIndex=9223372036854775807", i64::MAX / 4, 0),
        (&format!("startIndex={huge}"), i64::MAX / 4, 0),
        (&format!("startIndex=-{huge}"), 1, 1),
        ("count=-1", 1, 0),
        ("count=0", 1, 0),
        (&format!("count={huge}"), 1, 1),
        (&format!("count=-{huge}"), 1, 0),
        ("count=9223372036854775807&startIndex=9223372036854775807", i64::MAX / 4, 0),
        ("startIndex=-9223372036854775808&count=-9223372036854775808", 1, 0),
    ] {
        let list = it.harness.get(&format!("/Users?{query}")).expect(200).json();
        assert_eq!(list["totalResults"], 1, "{query}");
        assert_eq!(list["startIndex"], start, "{query}");
        assert_eq!(list["itemsPerPage"], length, "{query}");
        assert_eq!(list["Resources"].as_array().unwrap().len(), length, "{query}");
    }
    for name in ["startIndex", "count", "STARTINDEX", "Count"] {
        for wrong in ["one", "1.5", "1e3", "0x1", "1,000", "--1", "%2B-1", "NaN", "%D9%A1", "1 1"] {
            let answer = it.harness.get(&format!("/Users?{name}={wrong}"));
            let canonical = if name.to_lowercase() == "count" { "count" } else { "startIndex" };
            answer.refused(400, VALUE, &format!("{canonical} must be a whole number, and is \""));
        }
        it.harness.get(&format!("/Users?{name}=%ff")).refused(400, VALUE, "not percent-encoded");
        it.harness.get(&format!("/Users?{name}=%")).refused(400, VALUE, "not percent-encoded");
    }
}

#[test]
fn ids_that_nobody_has_are_not_found() {
    let it = Guarded::new();
    let body = user("bob@example.com").to_string();
    let long = "x".repeat(300);
    let upper = it.bob["id"].as_str().unwrap().to_uppercase();
    for id in [
        "1",
        "null",
        "undefined",
        "bob@example.com",
        "..",
        "%2e%2e",
        "%2E%2E%2FUsers",
        "-1",
        "*",
        "%25",
        "%27%20OR%201=1",
        "%F0%9F%98%80",
        "00000000-0000-0000-0000-000000000000",
        &long,
        &upper,
        &"%41".repeat(300),
    ] {
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
            let answer = it.harness.call(method, &format!("/Users/{id}"), &body);
            assert_eq!(answer.status, 404, "{method} {id}: {}", answer.text);
            answer.refused(404, None, "There is no User with the id");
        }
    }
    for id in ["%00", "a%00b", "%ff", "%c0%80", "%", "%4", "%zz", "..%2f..%00"] {
        for method in ["GET", "PUT", "PATCH", "DELETE"] {
            let answer = it.harness.call(method, &format!("/Users/{id}"), &body);
            answer.refused(404, None, "There is nothing at /scim/v2/Users/");
        }
    }
    it.harness.call("GET", "/Nope", &body).refused(
        404,
        None,
        "below it are /Users, /Groups, /Bulk,",
    );
    it.unchanged();
}

#[test]
fn an_unknown_path_is_answered_with_the_known_ones() {
    let it = Guarded::new();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        for path in [
            "/nowhere",
            "/User",
            "/Users2",
            "/Users/1/2",
            "/Users/1/emails",
            "/Schemas/a/b",
            "/ResourceTypes/User/x",
            "/ServiceProviderConfig/x",
            "/%2e%2e/healthz",
            "/Users%00",
            "/%ff",
            "/scim/v2/Users",
        ] {
            let answer = it.harness.call(method, path, "{");
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
            answer.refused(404, None, "ends with /scim/v2");
        }
    }
    let token = it.harness.token();
    for target in [
        "/scim",
        "/scim/v1/Users",
        "/scim/Users",
        "/scim/V2/Users",
        "/",
        "/Users",
        "/SCIM/v2/Users",
    ] {
        let answer = it.harness.with_token(token, "GET", target, "");
        answer.refused(404, None, "The base URL of the connector ends with /scim/v2");
    }
    it.harness.get("/Schemas/urn:nowhere").refused(404, None, "/Schemas lists them");
    it.harness.get("/ResourceTypes/Shoe").refused(404, None, "no resource type \"Shoe\"");
    let long = format!("/{}", "x".repeat(10_000));
    assert!(it.harness.get(&long).text.len() < 1000);
    it.unchanged();
}

#[test]
fn an_unknown_path_is_answered_with_groups_and_bulk_too() {
    let harness = Harness::new();
    harness.get("/Nowhere").refused(404, None, "/Users, /Groups, /Bulk, /ServiceProviderConfig");
}

/// RFC 9110 section 10.2.1: whatever is answered to a method belongs there.
#[test]
fn head_is_among_the_methods_that_are_allowed() {
    let it = Guarded::new();
    for path in ["", "/Users", &it.at, "/Schemas", "/ResourceTypes", "/ServiceProviderConfig"] {
        it.harness.call("HEAD", path, "").expect(200);
        let answer = it.harness.call("BREW", path, "").expect(405);
        let allowed: Vec<&str> = answer.header("Allow").unwrap().split(", ").collect();
        assert_eq!(allowed[..2], ["GET", "HEAD"], "{path}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones_whatever_the_body() {
    let it = Guarded::new();
    let deep = "[".repeat(100_000);
    for (path, methods, allowed) in [
        (
            "/Users",
            &["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "BREW"][..],
            "GET, HEAD, POST",
        ),
        ("/Users/", &["PUT", "PATCH", "DELETE"], "GET, HEAD, POST"),
        (&it.at, &["POST", "OPTIONS", "get", "BREW"], "GET, HEAD, PUT, PATCH, DELETE"),
        ("/Users/nobody", &["POST", "OPTIONS"], "GET, HEAD, PUT, PATCH, DELETE"),
        ("/ServiceProviderConfig", &["POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "GET, HEAD"),
        ("/ServiceProviderConfigs", &["POST", "DELETE"], "GET, HEAD"),
        ("/ResourceTypes", &["POST", "DELETE"], "GET, HEAD"),
        ("/ResourceTypes/User", &["POST", "DELETE"], "GET, HEAD"),
        ("/ResourceTypes/Nobody", &["POST"], "GET, HEAD"),
        ("/Schemas", &["POST", "DELETE"], "GET, HEAD"),
        ("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", &["PUT", "DELETE"], "GET, HEAD"),
    ] {
        for method in methods {
            for body in ["", "{", "not JSON", &deep, "{}"] {
                for query in ["", "?count=one&filter=(("] {
                    let answer = it.harness.call(method, &format!("{path}{query}"), body);
                    assert_eq!(answer.header("Allow"), Some(allowed), "{method} {path}");
                    answer.refused(405, None, &format!("these can: {allowed}."));
                }
            }
        }
    }
    for (path, method) in [("/healthz", "POST"), ("/readyz", "DELETE")] {
        let answer = it.harness.send(method, path, &[], "{").expect(405);
        assert_eq!(answer.header("Allow"), Some("GET, HEAD"));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    it.harness.call("HEAD", "/Users", "").expect(200);
    it.harness.call("HEAD", &it.at, "").expect(200);
    // Who sends no token learns nothing else.
    it.harness.send("PUT", "/scim/v2/Users", &[], "{").refused(401, None, "No API token");
    it.unchanged();
}

#[test]
fn unknown_names_in_a_projection_are_passed_over() {
    let it = Guarded::new();
    for query in [
        "attributes=shoeSize",
        "attributes=,,,",
        "attributes=userName.x",
        "attributes=%F0%9F%98%80,userName[",
        "excludedAttributes=shoeSize,id,schemas",
    ] {
        let found = it.harness.get(&format!("{}?{query}", it.at)).expect(200).json();
        assert_eq!(found["id"], it.bob["id"], "{query}");
    }
    let many = vec!["name.givenName"; 5000].join(",");
    let found = it.harness.get(&format!("{}?attributes={many}", it.at)).expect(200).json();
    assert_eq!(found["name"], json!({"givenName": "Test"}));
    for name in ["attributes", "excludedAttributes"] {
        for method in ["GET", "PUT", "PATCH", "POST"] {
            let at = if method == "POST" { "/Users" } else { &it.at };
            let body = user("eve@example.com").to_string();
            let answer = it.harness.call(method, &format!("{at}?{name}=%ff"), &body);
            answer.refused(400, VALUE, &format!("{name} is not percent-encoded"));
        }
    }
    it.unchanged();
}

#[test]
fn more_than_is_kept_is_refused() {
    let it = Guarded::new();
    let emails = |count: usize| -> Value {
        let mut all = vec![json!({"value": "bob@example.com", "primary": true})];
        all.extend((1..count).map(|i| json!({"value": format!("q{i}@x.y")})));
        all.into()
    };
    for count in [1_001, 90_000] {
        let started = Instant::now();
        it.refuses_member("emails", &emails(count), &format!("has {count} values; at most 1000"));
        assert!(started.elapsed() < PATIENCE);
    }
    let mut body = user("eve@example.com");
    body[CUSTOM] = json!({"x": "y".repeat(2 << 20)});
    let words = "at most 1048576 are kept. Map fewer or shorter attributes";
    it.harness.post("/Users", &body).refused(413, None, words);
    body["userName"] = "bob@example.com".into();
    body["emails"] = it.bob["emails"].clone();
    it.harness.put(&it.at, &body).refused(413, None, words);
    let op = json!([{"op": "add", "value": {CUSTOM: body[CUSTOM]}}]);
    it.harness.patch(&it.at, &op).refused(413, None, words);
    // Bit by bit is no way around either limit.
    let bits = |count: usize| -> Vec<Value> {
        (0..count)
            .map(
                |i| json!({"op": "add", "path": "emails", "value": {"value": format!("q{i}@x.y")}}),
            )
            .collect()
    };
    it.harness.patch(&it.at, &bits(1_000).into()).refused(400, VALUE, "would have 1001 values");
    it.harness.patch(&it.at, &bits(5_001).into()).refused(
        413,
        Some("tooMany"),
        "5001 operations; at most 5000",
    );
    it.unchanged();
    let mut body = it.bob.clone();
    body["emails"] = emails(1_000);
    let kept = it.harness.put(&it.at, &body).expect(200).json();
    assert_eq!(kept["emails"].as_array().unwrap().len(), 1_000);
}

/// A user with as many addresses as there may be.
fn crowd(harness: &Harness, name: &str, display: &str) -> String {
    let mut body = user(name);
    let values =
        (0..1_000).map(|i| json!({"value": format!("Someone.{i}@x.y"), "display": display}));
    body["emails"] = values.collect();
    let created = harness.post("/Users", &body).expect(201).json();
    format!("/Users/{}", created["id"].as_str().unwrap())
}

#[test]
fn a_patch_that_would_keep_others_waiting_is_refused() {
    let harness = Harness::new();
    let at = crowd(&harness, "bob@example.com", "\u{dc}n\u{ef}".repeat(50).as_str());
    let before = harness.get(&at).text;
    let any = |count: usize| {
        (0..count).map(|i| format!("display co \"{i}\"")).collect::<Vec<_>>().join(" or ")
    };
    let slow = json!({"op": "remove", "path": format!("emails[{}]", any(60))});
    let named: Vec<Value> = (0..90_000).map(|i| json!({"value": format!("q{i}")})).collect();
    let members: Value = (0..50_000)
        .map(|i| {
            // Each selects a value that is there, whichever of them comes first.
            let there = i % 1_000;
            (
                format!("emails[value eq \"someone.{there}@x.y\" or value eq \"{i}\"].type"),
                json!("x"),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    for operations in [
        json!(vec![slow; 2_000]),
        json!([{"op": "remove", "path": "emails", "value": named}]),
        json!([{"op": "replace", "value": members}]),
    ] {
        let answer = harness.patch(&at, &operations);
        answer.refused(413, Some("tooMany"), "Send its operations in several requests");
        assert_eq!(harness.get(&at).text, before);
    }
}

#[test]
fn as_many_operations_as_there_may_be_on_as_many_values_are_done() {
    let harness = Harness::new();
    let at = crowd(&harness, "bob@example.com", "x");
    let operations: Value = (0..5_000)
        .map(|i| {
            let path = format!("emails[value eq \"someone.{}@x.y\"].display", i % 1_000);
            json!({"op": "replace", "path": path, "value": format!("d{i}")})
        })
        .collect();
    let started = Instant::now();
    let changed = harness.patch(&at, &operations).expect(200).json();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert_eq!(changed["emails"][999]["display"], "d4999");
}

#[test]
fn a_replacement_of_very_many_extensions_is_soon_done() {
    let it = Guarded::new();
    let mut body = it.bob.clone();
    for i in 0..20_000 {
        body[format!("u:{i}")] = json!({"a": 1});
    }
    it.harness.put(&it.at, &body).expect(200);
    let mut other = it.bob.clone();
    for i in 0..150_000 {
        other[format!("v:{i}")] = json!(null);
    }
    let started = Instant::now();
    let kept = it.harness.put(&it.at, &other).expect(200).json();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert_eq!(kept["u:19999"], json!({"a": 1}));
}

#[test]
fn a_database_that_cannot_be_written_is_refused_when_it_is_opened() {
    let folder = Folder::new();
    let path = folder.database();
    drop(Store::open(&path, Open::Create).unwrap());
    let refused = |open: Open| Store::open(&path, open).unwrap_err();
    let allow = |mode: u32| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o400);
    // For the super-user every file can be written.
    if fs::OpenOptions::new().append(true).open(&path).is_err() {
        for open in [Open::Serve, Open::Existing] {
            let error = refused(open);
            assert!(matches!(error, Error::ReadOnly(_)), "{error}");
            assert!(error.to_string().contains("plumm.db"), "{error}");
        }
    }
    allow(0o600);
    let serving = Store::open(&path, Open::Serve).unwrap();
    let error = refused(Open::Serve);
    assert!(matches!(error, Error::Served(_)), "{error}");
    drop(serving);
    drop(Store::open(&path, Open::Serve).unwrap());
}

#[test]
fn a_foreign_file_shorter_than_a_database_is_left_alone() {
    let folder = Folder::new();
    let path = folder.database();
    for text in ["x", "a letter to a friend\n", &"x".repeat(511)] {
        fs::write(&path, text).unwrap();
        for open in [Open::Serve, Open::Create, Open::Existing] {
            let error = Store::open(&path, open).unwrap_err();
            assert!(
                error.to_string().ends_with("is not a plumm database: name another file with --db")
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    // An empty one is nobody's.
    fs::write(&path, "").unwrap();
    drop(Store::open(&path, Open::Create).unwrap());
}

#[test]
fn a_file_that_can_be_no_database_is_refused_with_the_reason() {
    let folder = Folder::new();
    let path = folder.database();
    let refuse = |path: &Path, open: Open, words: &str| {
        let error = Store::open(path, open).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refuse(Path::new("/dev/null"), Open::Existing, "/dev/null: is no regular file");
    let astray = folder.path().join("nowhere").join("plumm.db");
    refuse(&astray, Open::Create, "its folder does not exist");
    drop(Store::open(&path, Open::Create).unwrap());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..5_000]).unwrap();
    refuse(&path, Open::Existing, "damaged (database disk image is malformed): keep a copy");
    fs::write(&path, &whole).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", -5).unwrap();
    drop(other);
    refuse(&path, Open::Existing, "is not a plumm database");
}

#[test]
fn while_another_process_holds_the_file_changes_are_put_off_and_reads_go_on() {
    let it = Guarded::new();
    let (held, holding) = mpsc::channel();
    let (done, finish) = mpsc::channel::<()>();
    let path = it.harness.folder.database();
    let other = thread::spawn(move || {
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        held.send(()).unwrap();
        finish.recv().unwrap();
        other.execute_batch("ROLLBACK").unwrap();
    });
    holding.recv().unwrap();
    let answer = it.harness.post("/Users", &user("eve@example.com"));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    answer.refused(503, None, "too much to do");
    it.unchanged();
    done.send(()).unwrap();
    other.join().unwrap();
    it.harness.user("eve@example.com");
}

#[test]
fn a_refusal_repeats_no_more_of_a_request_than_can_be_read() {
    let it = Guarded::new();
    let mut long = String::new();
    for i in 0..20_000 {
        write!(long, "x{i}").unwrap();
    }
    let mut body = user("eve@example.com");
    body[format!("urn:{long} ")] = json!({"a": 1});
    let answers = [
        it.harness.get(&format!("/Users?filter={long}%20eq%201")),
        it.harness.get(&format!("/Users?count={long}")),
        it.harness.get(&format!("/Users/{long}")),
        it.harness.get(&format!("/{long}")),
        it.harness.get(&format!("/Schemas/{long}")),
        it.harness.get(&format!("/ResourceTypes/{long}")),
        it.harness.post("/Users", &body),
        it.harness.post("/Users", &user(&long)),
        it.harness.patch(&it.at, &json!([{"op": long, "path": "title", "value": 1}])),
        it.harness.patch(&it.at, &json!([{"op": "add", "path": long, "value": 1}])),
        it.harness.patch(&it.at, &json!([{"op": "add", "value": {format!("{long}["): 1}}])),
        it.harness
            .patch(&it.at, &json!([{"op": "add", "path": format!("emails.{long}"), "value": 1}])),
        it.harness.patch(&it.at, &json!([{"op": "add", "path": "userName", "value": long}])),
        it.harness
            .patch(&it.at, &json!([{"op": "add", "path": "title", "value": {long.as_str(): 1}}])),
    ];
    for answer in answers {
        assert!(answer.text.len() < 1_500, "{} {}", answer.status, answer.text.len());
        assert!((400..500).contains(&answer.status), "{}", answer.text);
    }
    it.unchanged();
}
