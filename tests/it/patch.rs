//! PATCH on users (RFC 7644 section 3.5.2), in every form that identity providers send: tables of
//! operations and what must come of them.

use std::cell::Cell;

use plumm::store::tables::resource::State;
use serde_json::{Map, Value, json};

use crate::harness::{Harness, user};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const CUSTOM: &str = "urn:okta:acme_1:1.0:user:custom";

/// A harness, and a new user in it for each row of a table.
struct Table {
    harness: Harness,
    rows: Cell<u32>,
}

impl Table {
    fn new() -> Table {
        Table { harness: Harness::new(), rows: Cell::new(0) }
    }

    /// A user with something in every corner.
    fn user(&self) -> Value {
        self.rows.set(self.rows.get() + 1);
        let name = format!("u{}@example.com", self.rows.get());
        let mut body = user(&name);
        let home = json!({"value": "home@example.com", "type": "home"});
        body["emails"].as_array_mut().unwrap().push(home);
        body["title"] = "Clerk".into();
        body["phoneNumbers"] = json!([
            {"value": "+1 555 0100", "type": "work", "primary": true},
            {"value": "+1 555 0101", "type": "mobile"}
        ]);
        body["addresses"] = json!([
            {"type": "work", "streetAddress": "1 Main St", "locality": "Springfield"},
            {"type": "home", "streetAddress": "2 Oak St", "locality": "Springfield"}
        ]);
        body[ENTERPRISE] =
            json!({"department": "Sales", "employeeNumber": "7", "manager": {"value": "m1"}});
        body[CUSTOM] = json!({"level": 3, "tags": ["a"]});
        self.harness.post("/Users", &body).expect(201).json()
    }

    /// Each row: operations (one may stand without its array), and JSON pointers with the value
    /// the answer must have there; null stands for "not there".
    #[track_caller]
    fn applies(&self, rows: Vec<(Value, Value)>) {
        for (operations, expected) in rows {
            let before = self.user();
            let answer = self.harness.patch(&target(&before), &listed(&operations));
            assert_eq!(answer.status, 200, "{operations}: {}", answer.text);
            let after = answer.json();
            for (pointer, wanted) in expected.as_object().unwrap() {
                let found = after.pointer(pointer).unwrap_or(&Value::Null);
                assert_eq!(found, wanted, "{pointer} after {operations}: {after}");
            }
            assert_eq!(self.harness.get(&target(&before)).json(), after, "{operations}");
        }
    }

    /// Each row succeeds and changes nothing, the time of the last change included.
    #[track_caller]
    fn leaves(&self, rows: Vec<Value>) {
        for operations in rows {
            let before = self.user();
            self.harness.app.clock().advance(60);
            let answer = self.harness.patch(&target(&before), &listed(&operations));
            assert_eq!(answer.status, 200, "{operations}: {}", answer.text);
            assert_eq!(answer.json(), before, "{operations}");
        }
    }

    /// Each row is refused with this `scimType` and these words, and changes nothing.
    #[track_caller]
    fn refuses(&self, rows: Vec<(Value, &str, &str)>) {
        for (operations, scim_type, words) in rows {
            let before = self.user();
            let answer = self.harness.patch(&target(&before), &listed(&operations));
            assert_eq!(answer.status, 400, "{operations}: {}", answer.text);
            let found = answer.json()["scimType"].clone();
            assert_eq!(found, scim_type, "{operations}: {}", answer.text);
            answer.refused(400, Some(scim_type), words);
            assert_eq!(self.harness.get(&target(&before)).json(), before, "{operations}");
        }
    }
}

fn target(user: &Value) -> String {
    format!("/Users/{}", user["id"].as_str().unwrap())
}

fn listed(operations: &Value) -> Value {
    if operations.is_array() { operations.clone() } else { json!([operations]) }
}

/// An object with one member whose name is made up at run time.
fn one(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

#[test]
fn okta_sends_no_path() {
    let off = json!({"op": "replace", "value": {"active": false}});
    let on = json!({"op": "replace", "value": {"active": true}});
    Table::new().applies(vec![
        (off.clone(), json!({"/active": false, "/title": "Clerk"})),
        (json!([off, on]), json!({"/active": true})),
        (json!({"op": "replace", "value": {"password": "new"}}), json!({"/password": null})),
        (json!({"op": "replace", "path": null, "value": {"title": "Dr"}}), json!({"/title": "Dr"})),
        (json!({"op": "replace", "path": "", "value": {"title": "Dr"}}), json!({"/title": "Dr"})),
        (
            json!({"op": "replace", "value": {"id": "x", "displayName": "Bob"}}),
            json!({"/displayName": "Bob"}),
        ),
    ]);
}

#[test]
fn entra_without_its_flag_capitalises_and_sends_text() {
    let work = "emails[type eq \"work\"].value";
    let table = Table::new();
    table.applies(vec![
        (json!({"op": "Replace", "path": "active", "value": "False"}), json!({"/active": false})),
        (json!({"op": "Add", "path": "active", "value": "FALSE"}), json!({"/active": false})),
        (json!({"op": "REPLACE", "path": "Active", "value": "false"}), json!({"/active": false})),
        (
            json!({"op": "Replace", "path": "name.familyName", "value": "Changed"}),
            json!({"/name": {"givenName": "Test", "familyName": "Changed"}}),
        ),
        (
            json!({"op": "Replace", "path": "emails[type eq \"home\"].value", "value": "n@x.y"}),
            json!({"/emails/1": {"value": "n@x.y", "type": "home"}}),
        ),
        (
            json!({"Op": "Replace", "Path": "DisplayName", "Value": "Bob"}),
            json!({"/displayName": "Bob"}),
        ),
        (
            json!({"op": "Add", "path": "phoneNumbers[type eq \"mobile\"].primary",
                "value": "True"}),
            json!({"/phoneNumbers/0/primary": false, "/phoneNumbers/1/primary": true}),
        ),
        (json!({"op": "Remove", "path": "title"}), json!({"/title": null})),
        (
            json!({"op": "Replace", "path": format!("{CORE}:name.familyName"), "value": "Changed"}),
            json!({"/name": {"givenName": "Test", "familyName": "Changed"}}),
        ),
        (
            json!({"op": "Replace", "path": format!("{CORE}:emails[Type Eq \"HOME\"].Value"),
                "value": "n@x.y"}),
            json!({"/emails/1": {"value": "n@x.y", "type": "home"}}),
        ),
        (
            json!({"op": "Replace", "path": "emails[type eq\"home\"].value", "value": "n@x.y"}),
            json!({"/emails/1": {"value": "n@x.y", "type": "home"}}),
        ),
        (
            json!({"op": "Replace", "path": "emails[type eq home].value", "value": "n@x.y"}),
            json!({"/emails/1": {"value": "n@x.y", "type": "home"}}),
        ),
    ]);
    let other = json!({"op": "Replace", "path": work, "value": "other@example.com"});
    table.refuses(vec![(other, "mutability", "primary email")]);
}

#[test]
fn entra_with_its_flag_qualifies_names_within_a_value_without_path() {
    let value = json!({
        "displayName": "Bjfe",
        "name.givenName": "Kkom",
        "name.familyName": "Unua",
        "emails[type eq \"other\"].value": "o@x.y",
        "phoneNumbers[type eq \"mobile\"].value": "+1 555 0199",
        format!("{ENTERPRISE}:employeeNumber"): "Aklq",
        format!("{CORE}:nickName"): "Bob",
        format!("{CUSTOM}:level"): 4,
    });
    let expected = json!({
        "/displayName": "Bjfe",
        "/name": {"givenName": "Kkom", "familyName": "Unua"},
        "/name.givenName": null,
        "/emails/2": {"type": "other", "value": "o@x.y"},
        "/phoneNumbers/1": {"type": "mobile", "value": "+1 555 0199"},
        format!("/{ENTERPRISE}"):
            {"department": "Sales", "employeeNumber": "Aklq", "manager": {"value": "m1"}},
        format!("/{ENTERPRISE}:employeeNumber"): null,
        "/nickName": "Bob",
        format!("/{CUSTOM}"): {"level": 4, "tags": ["a"]},
    });
    let nested = json!({"name": {"givenName": "Kkom"}, ENTERPRISE: {"department": "R&D"}});
    Table::new().applies(vec![
        (json!({"op": "replace", "value": value}), expected.clone()),
        (json!({"op": "add", "value": value}), expected),
        (
            json!({"op": "replace", "value": nested}),
            json!({
                "/name": {"givenName": "Kkom", "familyName": "User"},
                format!("/{ENTERPRISE}/department"): "R&D",
                format!("/{ENTERPRISE}/employeeNumber"): "7",
            }),
        ),
    ]);
}

#[test]
fn a_path_into_a_value_makes_the_value_where_there_is_none() {
    let table = Table::new();
    let mut rows = Vec::new();
    for op in ["add", "Replace"] {
        rows.extend([
            (
                json!({"op": op, "path": "phoneNumbers[type eq \"fax\"].value", "value": "9"}),
                json!({"/phoneNumbers/2": {"type": "fax", "value": "9"}}),
            ),
            (
                json!([
                    {"op": op, "path": "roles[primary eq \"True\"].value", "value": "admin"},
                    {"op": op, "path": "roles[primary eq \"True\"].display", "value": "Admin"},
                    {"op": op, "path": "roles[primary eq \"True\"].type", "value": "app"},
                ]),
                json!({"/roles": [
                    {"primary": true, "value": "admin", "display": "Admin", "type": "app"}]}),
            ),
            (
                json!({"op": op, "path": "addresses[type eq \"other\" and country eq \"IE\"].region",
                    "value": "Leinster"}),
                json!({"/addresses/2": {"type": "other", "country": "IE", "region": "Leinster"}}),
            ),
            // A second value that is made primary takes it from the first.
            (
                json!({"op": op, "path": "phoneNumbers[type eq \"fax\"].primary", "value": true}),
                json!({"/phoneNumbers/0/primary": false, "/phoneNumbers/2/primary": true}),
            ),
        ]);
    }
    table.applies(rows);
    // What a filter does not say cannot be made, and a whole value is not made by a replacement.
    table.refuses(vec![
        (
            json!({"op": "replace", "path": "emails[type ne \"work\" and type ne \"home\"].value",
                "value": "x@y.z"}),
            "noTarget",
            "selects no value",
        ),
        (
            json!({"op": "replace", "path": "phoneNumbers[type eq \"fax\"]",
                "value": {"type": "fax", "value": "9"}}),
            "noTarget",
            "selects no value",
        ),
    ]);
    // A user without any address gets the first one that way.
    let bare = json!({"schemas": [CORE], "userName": "bare@example.com"});
    let bare = table.harness.post("/Users", &bare).expect(201).json();
    let work = json!([{"op": "Replace", "path": "emails[type eq \"work\"].value",
        "value": "bare@example.com"}]);
    let after = table.harness.patch(&target(&bare), &work).expect(200).json();
    assert_eq!(after["emails"], json!([{"type": "work", "value": "bare@example.com"}]));
}

#[test]
fn a_manager_in_every_form() {
    let long = format!("{ENTERPRISE}:manager");
    let at = format!("/{ENTERPRISE}/manager");
    let value = format!("{at}/value");
    let reference = "http://x/scim/Users/00aa";
    let mut rows = Vec::new();
    for path in ["manager", long.as_str()] {
        for op in ["Add", "Replace"] {
            for given in [
                json!("00aa"),
                json!({"value": "00aa"}),
                json!([{"$ref": reference, "value": "00aa"}]),
                json!(["00aa"]),
                json!({"value": "00aa", "displayName": "only the server sets this"}),
            ] {
                rows.push((
                    json!({"op": op, "path": path, "value": given}),
                    json!({ value.as_str(): "00aa", format!("{at}/displayName"): null }),
                ));
            }
            for nothing in [json!(""), Value::Null, json!([])] {
                rows.push((
                    json!({"op": op, "path": path, "value": nothing}),
                    json!({ at.as_str(): null, format!("/{ENTERPRISE}/department"): "Sales" }),
                ));
            }
        }
        rows.push((json!({"op": "Remove", "path": path}), json!({ at.as_str(): null })));
        let entry = json!([{"value": "m1"}]);
        rows.push((
            json!({"op": "Remove", "path": path, "value": entry}),
            json!({ at.as_str(): null }),
        ));
        let sub = format!("{path}.value");
        rows.push((
            json!({"op": "Replace", "path": sub, "value": "00aa"}),
            json!({ value.as_str(): "00aa" }),
        ));
    }
    rows.push((
        json!({"op": "replace", "value": one(&long, "00aa".into())}),
        json!({ value.as_str(): "00aa" }),
    ));
    rows.push((
        json!({"op": "replace", "value": {ENTERPRISE: {"manager": "00aa"}}}),
        json!({ value.as_str(): "00aa", format!("/{ENTERPRISE}/department"): "Sales" }),
    ));
    let table = Table::new();
    table.applies(rows);
    table.refuses(vec![(
        json!({"op": "Add", "path": "manager", "value": [{"value": "a"}, {"value": "b"}]}),
        "invalidValue",
        "manager",
    )]);
}

#[test]
fn a_value_as_object_array_or_text() {
    let home = "emails[type eq \"home\"]";
    let fax = json!({"value": "9", "type": "fax"});
    Table::new().applies(vec![
        (
            json!({"op": "add", "path": "phoneNumbers", "value": fax}),
            json!({"/phoneNumbers/2": fax}),
        ),
        (
            json!({"op": "add", "path": "phoneNumbers", "value": [fax]}),
            json!({"/phoneNumbers/2": fax}),
        ),
        (
            json!({"op": "add", "path": "phoneNumbers", "value": "9"}),
            json!({"/phoneNumbers/2": {"value": "9"}}),
        ),
        (
            json!({"op": "replace", "path": "phoneNumbers", "value": fax}),
            json!({ "/phoneNumbers": [fax] }),
        ),
        (json!({"op": "replace", "path": "title", "value": ["Dr"]}), json!({"/title": "Dr"})),
        (
            json!({"op": "replace", "path": format!("{home}.value"), "value": ["n@x.y"]}),
            json!({"/emails/1": {"value": "n@x.y", "type": "home"}}),
        ),
        (
            json!({"op": "replace", "path": home, "value": "n@x.y"}),
            json!({"/emails/1": {"value": "n@x.y", "type": "home"}}),
        ),
        (
            json!({"op": "replace", "path": home, "value": {"value": "n@x.y", "type": "other"}}),
            json!({"/emails/1": {"value": "n@x.y", "type": "other"}}),
        ),
    ]);
}

#[test]
fn a_selected_value_is_replaced_by_an_array_of_one_and_removed_by_null() {
    let home = "emails[type eq \"home\"]";
    let mobile = "phoneNumbers[type eq \"mobile\"]";
    Table::new().applies(vec![
        (
            json!({"op": "replace", "path": home, "value": [{"value": "n@x.y", "type": "home"}]}),
            json!({"/emails/1": {"value": "n@x.y", "type": "home"}}),
        ),
        (json!({"op": "replace", "path": mobile, "value": null}), json!({"/phoneNumbers/1": null})),
        (json!({"op": "replace", "path": home, "value": []}), json!({"/emails/1": null})),
    ]);
}

#[test]
fn remove_by_every_path() {
    let table = Table::new();
    table.applies(vec![
        (json!({"op": "remove", "path": "title"}), json!({"/title": null})),
        (json!({"op": "remove", "path": "name.givenName"}), json!({"/name": {"familyName": "User"}})),
        (
            json!([{"op": "remove", "path": "name.givenName"},
                {"op": "remove", "path": "name.familyName"}]),
            json!({"/name": null}),
        ),
        (json!({"op": "remove", "path": "phoneNumbers"}), json!({"/phoneNumbers": null})),
        (
            json!({"op": "remove", "path": "phoneNumbers[type eq \"work\"]"}),
            json!({"/phoneNumbers": [{"value": "+1 555 0101", "type": "mobile"}]}),
        ),
        (
            json!({"op": "remove", "path": "phoneNumbers[value sw \"+1\"]"}),
            json!({"/phoneNumbers": null}),
        ),
        (
            json!({"op": "remove", "path": "emails[type eq \"home\" and value ew \"example.com\"]"}),
            json!({"/emails/1": null}),
        ),
        (
            json!({"op": "remove", "path": "addresses[type eq \"work\"].locality"}),
            json!({"/addresses/0": {"type": "work", "streetAddress": "1 Main St"}}),
        ),
        // With a value array only those: Entra ID without its flag.
        (
            json!({"op": "Remove", "path": "phoneNumbers", "value": [{"value": "+1 555 0100"}]}),
            json!({"/phoneNumbers": [{"value": "+1 555 0101", "type": "mobile"}]}),
        ),
        (
            json!({"op": "Remove", "path": "phoneNumbers",
                "value": [{"$ref": null, "value": "+1 555 0100"}, {"value": "stranger"}]}),
            json!({"/phoneNumbers": [{"value": "+1 555 0101", "type": "mobile"}]}),
        ),
        (
            json!({"op": "Remove", "path": "addresses", "value": [{"type": "work"}]}),
            json!({"/addresses/0/type": "home", "/addresses/1": null}),
        ),
        (
            json!({"op": "Remove", "path": "phoneNumbers", "value": "+1 555 0100"}),
            json!({"/phoneNumbers/0/type": "mobile", "/phoneNumbers/1": null}),
        ),
    ]);
    table.leaves(vec![
        json!({"op": "remove", "path": "nickName"}),
        json!({"op": "remove", "path": "name.middleName"}),
        json!({"op": "remove", "path": "ims"}),
        json!({"op": "remove", "path": "phoneNumbers[type eq \"fax\"]"}),
        json!({"op": "remove", "path": "phoneNumbers[type eq \"fax\"].value"}),
        json!({"op": "remove", "path": "phoneNumbers[type eq \"work\"].display"}),
        json!({"op": "remove", "path": "phoneNumbers", "value": [{"value": "stranger"}]}),
        json!({"op": "remove", "path": "phoneNumbers", "value": []}),
        json!({"op": "remove", "path": "urn:example:never:seen"}),
        json!({"op": "remove", "path": "urn:example:never:seen:attribute"}),
        json!({"op": "remove", "path": "password"}),
    ]);
}

#[test]
fn what_is_there_already_is_added_without_a_trace() {
    let work = json!({"value": "+1 555 0100", "type": "work", "primary": true});
    Table::new().leaves(vec![
        json!({"op": "add", "path": "title", "value": "Clerk"}),
        json!({"op": "Add", "path": "active", "value": "True"}),
        json!({"op": "add", "path": "phoneNumbers", "value": [work]}),
        json!({"op": "add", "path": "phoneNumbers", "value": work}),
        json!({"op": "add", "path": "phoneNumbers", "value": []}),
        json!({"op": "add", "path": "phoneNumbers[type eq \"work\"].value",
            "value": "+1 555 0100"}),
        json!({"op": "add", "path": "name", "value": {"givenName": "Test"}}),
        json!({"op": "add", "value": {"title": "Clerk", "phoneNumbers": [work]}}),
        json!({"op": "add", "path": "manager", "value": "m1"}),
        json!({"op": "add", "path": ENTERPRISE, "value": {"department": "Sales"}}),
        json!({"op": "add", "path": CUSTOM, "value": {"level": 3}}),
        json!({"op": "replace", "path": "title", "value": "Clerk"}),
        json!({"op": "replace", "value": {}}),
        json!({"op": "replace", "path": "password", "value": "n3w"}),
        json!({"op": "add", "path": "password", "value": "n3w"}),
    ]);
}

#[test]
fn only_one_value_is_primary() {
    let table = Table::new();
    let fax = json!({"value": "9", "type": "fax", "primary": true});
    let text = json!({"value": "9", "type": "fax", "primary": "True"});
    let mut rows = Vec::new();
    for value in [&fax, &text] {
        for operation in [
            json!({"op": "add", "path": "phoneNumbers", "value": [value]}),
            json!({"op": "add", "value": {"phoneNumbers": [value]}}),
            json!({"op": "add", "path": "phoneNumbers[type eq \"fax\"]", "value": value}),
        ] {
            let expected = json!({"/phoneNumbers/0/primary": false, "/phoneNumbers/2": fax});
            rows.push((operation, expected));
        }
    }
    rows.extend([
        (
            json!({"op": "replace", "path": "phoneNumbers[type eq \"mobile\"]",
                "value": {"type": "mobile", "value": "3", "primary": true}}),
            json!({"/phoneNumbers/0/primary": false, "/phoneNumbers/1/primary": true}),
        ),
        (
            json!({"op": "replace", "path": "phoneNumbers[type eq \"mobile\"].primary",
                "value": true}),
            json!({"/phoneNumbers/0/primary": false, "/phoneNumbers/1/primary": true}),
        ),
        // None need be primary.
        (
            json!({"op": "replace", "path": "phoneNumbers.primary", "value": "False"}),
            json!({"/phoneNumbers/0/primary": false, "/phoneNumbers/1/primary": false}),
        ),
        // An address that is not to be the primary one changes nothing about it.
        (
            json!({"op": "add", "path": "emails", "value": [{"value": "o@x.y", "type": "other"}]}),
            json!({"/emails/0/primary": true, "/emails/2/value": "o@x.y"}),
        ),
    ]);
    table.applies(rows);
    let two = json!([{"value": "1", "primary": true}, {"value": "2", "primary": true}]);
    table.refuses(vec![
        (json!({"op": "replace", "path": "phoneNumbers", "value": two}), "invalidValue", "primary"),
        (
            json!({"op": "add", "path": "emails",
                "value": [{"value": "o@x.y", "type": "other", "primary": "True"}]}),
            "mutability",
            "primary email",
        ),
    ]);
}

/// RFC 7644 section 3.5.2: the message.
#[test]
fn a_malformed_patch_message_is_refused() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let schemas = json!(["urn:ietf:params:scim:api:messages:2.0:PatchOp"]);
    let operations = json!([{"op": "replace", "path": "title", "value": "Dr"}]);
    let rows = [
        (json!({"schemas": [CORE], "Operations": operations}), "invalidSyntax", "PatchOp"),
        (json!({"schemas": schemas}), "invalidSyntax", "Operations"),
        (json!({"schemas": schemas, "Operations": []}), "invalidSyntax", "empty"),
        (json!({"schemas": schemas, "Operations": {}}), "invalidSyntax", "\"op\" must be"),
        (json!({"schemas": schemas, "Operations": "x"}), "invalidSyntax", "array"),
        (json!({"schemas": schemas, "Operations": null}), "invalidSyntax", "array"),
        (json!({"schemas": schemas, "Operations": ["replace"]}), "invalidSyntax", "Operation 1"),
        // SCIM 1.1 has no operations.
        (json!({"schemas": ["urn:scim:schemas:core:1.0"], "active": false}), "invalidSyntax", ""),
        (json!([]), "invalidSyntax", "object"),
        (json!("x"), "invalidSyntax", "object"),
    ];
    for (body, scim_type, words) in rows {
        let answer = harness.call("PATCH", &target(&bob), &body.to_string());
        answer.refused(400, Some(scim_type), words);
    }
    for body in ["", "{", "null"] {
        harness.call("PATCH", &target(&bob), body).refused(400, Some("invalidSyntax"), "body");
    }
    let one = json!({"op": "replace", "path": "title", "value": "Dr"});
    let many = Value::Array(vec![one; 5001]);
    harness.patch(&target(&bob), &many).refused(413, Some("tooMany"), "5001");
    assert_eq!(harness.get(&target(&bob)).json(), bob);
    // The names of the message in any letter case, with more beside them.
    let body = json!({"Schemas": schemas, "operations": operations, "id": "x"});
    let after = harness.call("PATCH", &target(&bob), &body.to_string()).expect(200).json();
    assert_eq!(after["title"], "Dr");
    harness.patch("/Users/nobody", &operations).refused(404, None, "no User");
}

#[test]
fn operations_that_cannot_be_done_are_refused_and_none_is_done_silently() {
    Table::new().refuses(vec![
        (json!({"op": "set", "path": "title", "value": "x"}), "invalidSyntax", "set"),
        (json!({"op": "move", "path": "title", "from": "x"}), "invalidSyntax", "move"),
        (json!({"op": "", "path": "title", "value": "x"}), "invalidSyntax", "op"),
        (json!({"op": 1, "path": "title", "value": "x"}), "invalidSyntax", "op"),
        (json!({"path": "title", "value": "x"}), "invalidSyntax", "op"),
        (json!({"op": "add", "path": "title"}), "invalidValue", "value"),
        (json!({"op": "replace", "path": "title"}), "invalidValue", "value"),
        (json!({"op": "replace"}), "invalidValue", "value"),
        (json!({"op": "replace", "value": "x"}), "invalidValue", "object"),
        (json!({"op": "replace", "value": [{"active": false}]}), "invalidValue", "object"),
        (json!({"op": "add", "value": null}), "invalidValue", "object"),
        (json!({"op": "replace", "path": ["title"], "value": "x"}), "invalidSyntax", "path"),
        (json!({"op": "remove"}), "noTarget", "path"),
        (json!({"op": "remove", "path": ""}), "noTarget", "path"),
        (json!({"op": "Remove", "value": {"title": "Clerk"}}), "noTarget", "path"),
        (json!({"op": "replace", "path": "title", "value": {"a": 1}}), "invalidValue", "title"),
        (json!({"op": "replace", "path": "title", "value": ["a", "b"]}), "invalidValue", "title"),
        (json!({"op": "replace", "path": "name", "value": "Bob"}), "invalidValue", "name"),
        (json!({"op": "replace", "path": "emails", "value": 7}), "invalidValue", "emails"),
        (json!({"op": "replace", "value": {"active": "no"}}), "invalidValue", "active"),
        (json!({"op": "replace", "path": "password", "value": true}), "invalidValue", "password"),
        (json!({"op": "replace", "path": "title", "value": "\u{0}"}), "invalidValue", "NUL"),
        (
            json!({"op": "replace", "path": "phoneNumbers[type eq \"work\"].primary",
                "value": "yes"}),
            "invalidValue",
            "true or false",
        ),
    ]);
}

#[test]
fn paths_that_name_nothing_are_refused() {
    let replace = |path: &str| json!({"op": "replace", "path": path, "value": "x"});
    let mut rows = Vec::new();
    for path in [
        "shoeSize",
        "name.shoeSize",
        "name.givenName.x",
        "emails.shoeSize",
        "emails[type eq \"work\"].shoeSize",
        "name[givenName eq \"Test\"].familyName",
        "title[value eq \"x\"]",
        "title.value",
        "emails[type eq \"work\"",
        "emails[type eq \"work\"]value",
        "emails[0].value",
        "emails[]",
        "a b",
        "/title",
        "members",
        &format!("{ENTERPRISE}:shoeSize"),
        &format!("{CORE}:shoeSize"),
    ] {
        rows.push((replace(path), "invalidPath", ""));
    }
    for (path, words) in [
        ("emails[shoeSize eq \"work\"].value", "shoeSize"),
        ("phoneNumbers[primary eq \"maybe\"].value", "true or false"),
    ] {
        rows.push((replace(path), "invalidFilter", words));
    }
    rows.push((json!({"op": "remove", "path": "shoeSize"}), "invalidPath", "shoeSize"));
    Table::new().refuses(rows);
}

#[test]
fn unknown_names_in_a_value_without_path_are_ignored_as_in_post() {
    let table = Table::new();
    let title = |name: &str| {
        let mut value = one(name, "x".into());
        value["title"] = "Dr".into();
        (json!({"op": "replace", "value": value}), json!({"/title": "Dr", "/x": null}))
    };
    let mut rows = Vec::new();
    for name in ["shoeSize", "name.shoeSize", "title.value", "shoe size", "größe!", "1st", ""] {
        rows.push(title(name));
    }
    rows.push((
        json!({"op": "replace", "value": {"title": "Dr", ENTERPRISE: {"shoe size": 1}}}),
        json!({"/title": "Dr", format!("/{ENTERPRISE}/department"): "Sales"}),
    ));
    table.applies(rows);
    // A path that is broken off is no unknown name.
    let broken = json!({"op": "replace", "value": {"emails[type eq \"home\".value": "n@x.y"}});
    table.refuses(vec![(broken, "invalidPath", "cannot be read")]);
}

#[test]
fn read_only_attributes_are_ignored_in_a_value_and_refused_by_path() {
    let table = Table::new();
    table.leaves(vec![
        json!({"op": "replace", "value": {"id": "x", "meta": {"resourceType": "Group"},
            "groups": [{"value": "g"}], "schemas": ["urn:x:y"]}}),
        json!({"op": "add", "value": {"meta.created": "2020-01-01T00:00:00Z", "groups": null}}),
        json!({"op": "replace", "value": {ENTERPRISE: {"manager": {"displayName": "Ann"}}}}),
        json!({"op": "replace", "value": {format!("{ENTERPRISE}:manager.displayName"): "Ann"}}),
    ]);
    let mut rows = Vec::new();
    for path in ["id", "meta", "meta.created", "groups", "groups[value eq \"g\"].display"] {
        for op in ["add", "replace"] {
            rows.push((json!({"op": op, "path": path, "value": "x"}), "mutability", "read-only"));
        }
        rows.push((json!({"op": "remove", "path": path}), "mutability", "read-only"));
    }
    let manager = format!("{ENTERPRISE}:manager.displayName");
    rows.push((json!({"op": "add", "path": manager, "value": "Ann"}), "mutability", "read-only"));
    rows.push((json!({"op": "remove", "path": "schemas"}), "mutability", "schemas"));
    table.refuses(rows);
    // The value it has anyway is no change.
    let bob = table.user();
    let operations = json!([{"op": "replace", "path": "id", "value": bob["id"]},
        {"op": "replace", "path": "schemas", "value": bob["schemas"]}]);
    assert_eq!(table.harness.patch(&target(&bob), &operations).expect(200).json(), bob);
}

#[test]
fn what_the_server_has_set_to_this_already_is_no_change() {
    let table = Table::new();
    table.leaves(vec![
        json!({"op": "add", "path": "schemas", "value": [ENTERPRISE]}),
        json!({"op": "Add", "path": "schemas", "value": CORE}),
        json!({"op": "add", "path": "schemas", "value": [CUSTOM, CORE]}),
        json!({"op": "replace", "path": "schemas", "value": [CORE, ENTERPRISE, CUSTOM]}),
        json!({"op": "replace", "path": "groups", "value": []}),
        json!({"op": "Add", "path": "groups", "value": null}),
    ]);
    table.refuses(vec![
        (json!({"op": "replace", "path": "schemas", "value": [CORE]}), "mutability", "read-only"),
        (json!({"op": "replace", "path": "schemas", "value": []}), "mutability", "read-only"),
        (json!({"op": "replace", "path": "id", "value": ""}), "mutability", "read-only"),
        (
            json!({"op": "add", "path": "groups", "value": [{"value": "g"}]}),
            "mutability",
            "read-only",
        ),
    ]);
}

#[test]
fn what_a_user_always_has_cannot_be_removed_with_or_without_a_value() {
    let remove = |path: &str| json!({"op": "remove", "path": path});
    let with = |path: &str, value: Value| json!({"op": "remove", "path": path, "value": value});
    let mut rows = Vec::new();
    for path in ["userName", "active", &format!("{CORE}:userName")] {
        rows.push((remove(path), "mutability", "cannot be removed"));
        for value in [json!("u1@example.com"), json!(true), json!([]), json!("")] {
            rows.push((with(path, value), "mutability", "cannot be removed"));
        }
    }
    Table::new().refuses(rows);
}

#[test]
fn nothing_of_a_refused_request_is_applied() {
    let good = [
        json!({"op": "replace", "path": "active", "value": "False"}),
        json!({"op": "replace", "value": {"title": "Dr", format!("{CUSTOM}:level"): 9}}),
        json!({"op": "add", "path": "phoneNumbers", "value": [{"value": "9", "primary": true}]}),
        json!({"op": "remove", "path": ENTERPRISE}),
    ];
    let bad = [
        (json!({"op": "set", "path": "title"}), "invalidSyntax"),
        (
            json!({"op": "replace", "value": 1,
                "path": "urn:ietf:params:scim:schemas:core:2.0:Group:displayName"}),
            "invalidPath",
        ),
        (json!({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (json!({"op": "replace", "path": "active", "value": "maybe"}), "invalidValue"),
        (
            json!({"op": "replace", "path": "ims[type eq \"x\"]", "value": {"value": "y"}}),
            "noTarget",
        ),
        (json!({"op": "remove"}), "noTarget"),
        (json!({"op": "replace", "value": {"nickName": "x", "title": true}}), "invalidValue"),
    ];
    let mut rows = Vec::new();
    for (wrong, scim_type) in &bad {
        for place in 0..=good.len() {
            let mut operations = good.to_vec();
            operations.insert(place, wrong.clone());
            rows.push((Value::Array(operations), *scim_type, "Operation "));
        }
    }
    // userName is judged at the end, over the whole request; and passed over where login is taken
    // away.
    let rename = json!({"op": "replace", "path": "userName", "value": "eve@example.com"});
    for place in 0..good.len() {
        let mut operations = good[1..].to_vec();
        operations.insert(place, rename.clone());
        rows.push((Value::Array(operations), "mutability", "userName"));
    }
    Table::new().refuses(rows);
}

#[test]
fn operations_see_what_those_before_them_did() {
    Table::new().applies(vec![
        (
            json!([{"op": "remove", "path": "phoneNumbers"},
                {"op": "add", "path": "phoneNumbers", "value": [{"value": "1"}]},
                {"op": "replace", "path": "phoneNumbers[value eq \"1\"].type", "value": "fax"}]),
            json!({"/phoneNumbers": [{"value": "1", "type": "fax"}]}),
        ),
        (
            json!([{"op": "add", "path": "title", "value": "a"},
                {"op": "replace", "path": "title", "value": "b"},
                {"op": "remove", "path": "title"},
                {"op": "add", "path": "title", "value": "c"}]),
            json!({"/title": "c"}),
        ),
        (
            json!([{"op": "remove", "path": ENTERPRISE},
                {"op": "add", "path": format!("{ENTERPRISE}:division"), "value": "North"}]),
            json!({ format!("/{ENTERPRISE}"): {"division": "North"} }),
        ),
    ]);
}

/// RFC 7644 section 3.5.2.1, rule by rule.
#[test]
fn add_by_the_letter() {
    Table::new().applies(vec![
        // "If omitted, the target location is assumed to be the resource itself."
        (
            json!({"op": "add", "value": {"emails": [{"value": "babs@jensen.org", "type": "other"}],
                "nickname": "Babs"}}),
            json!({"/emails/2/value": "babs@jensen.org", "/nickName": "Babs", "/emails/0/primary": true}),
        ),
        // "If the target location does not exist, the attribute and value are added."
        (json!({"op": "add", "path": "nickName", "value": "B"}), json!({"/nickName": "B"})),
        (
            json!({"op": "add", "path": "name.middleName", "value": "J"}),
            json!({"/name": {"givenName": "Test", "familyName": "User", "middleName": "J"}}),
        ),
        (
            json!({"op": "add", "path": "ims", "value": [{"value": "b", "type": "xmpp"}]}),
            json!({"/ims": [{"value": "b", "type": "xmpp"}]}),
        ),
        // "a complex attribute, a set of sub-attributes SHALL be specified"
        (
            json!({"op": "add", "path": "name", "value": {"familyName": "New", "middleName": "J"}}),
            json!({"/name": {"givenName": "Test", "familyName": "New", "middleName": "J"}}),
        ),
        // "a multi-valued attribute, a new value is added to the attribute"
        (
            json!({"op": "add", "path": "phoneNumbers", "value": [{"value": "1"}, {"value": "2"}]}),
            json!({"/phoneNumbers/0/type": "work", "/phoneNumbers/3/value": "2"}),
        ),
        // "a single-valued attribute, the existing value is replaced"
        (json!({"op": "add", "path": "title", "value": "Dr"}), json!({"/title": "Dr"})),
        // "If the target location exists, the value is replaced."
        (
            json!({"op": "add", "path": "addresses[type eq \"work\"].locality", "value": "Shelby"}),
            json!({"/addresses/0/locality": "Shelby", "/addresses/1/locality": "Springfield"}),
        ),
    ]);
}

/// RFC 7644 section 3.5.2.3, rule by rule.
#[test]
fn replace_by_the_letter() {
    let work = json!({"type": "work", "streetAddress": "911 Universal City Plaza",
        "locality": "Hollywood", "region": "CA", "primary": true});
    let table = Table::new();
    table.applies(vec![
        // "If the "path" parameter is omitted ... a list of one or more attributes"
        (
            json!({"op": "replace", "value": {
                "phoneNumbers": [{"value": "1", "type": "work"}], "nickname": "Babs"}}),
            json!({"/phoneNumbers": [{"value": "1", "type": "work"}], "/nickName": "Babs"}),
        ),
        // "a single-value attribute, the attributes value is replaced"
        (json!({"op": "replace", "path": "title", "value": "Dr"}), json!({"/title": "Dr"})),
        // "a multi-valued attribute and no filter is specified, ... all values are replaced"
        (
            json!({"op": "replace", "path": "addresses", "value": [{"type": "other"}]}),
            json!({"/addresses": [{"type": "other"}]}),
        ),
        // "an attribute that does not exist, ... SHALL treat the operation as an "add""
        (json!({"op": "replace", "path": "nickName", "value": "B"}), json!({"/nickName": "B"})),
        (
            json!({"op": "replace", "path": "ims", "value": [{"value": "b"}]}),
            json!({"/ims": [{"value": "b"}]}),
        ),
        // "Sub-attributes that are not specified in the "value" parameter are left unchanged."
        (
            json!({"op": "replace", "path": "name", "value": {"givenName": "New"}}),
            json!({"/name": {"givenName": "New", "familyName": "User"}}),
        ),
        // "all matching record values SHALL be replaced"
        (
            json!({"op": "replace", "path": "addresses[type eq \"work\"]", "value": work}),
            json!({ "/addresses/0": work, "/addresses/1/type": "home" }),
        ),
        // "the matching sub-attribute of all matching records is replaced"
        (
            json!({"op": "replace", "path": "addresses[locality eq \"springfield\"].locality",
                "value": "Shelby"}),
            json!({"/addresses/0/locality": "Shelby", "/addresses/1/locality": "Shelby"}),
        ),
        (
            json!({"op": "replace", "path": "addresses.country", "value": "US"}),
            json!({"/addresses/0/country": "US", "/addresses/1/country": "US"}),
        ),
        (
            json!({"op": "replace", "path": "addresses[type eq \"work\"].streetAddress",
                "value": "1010 Broadway Ave"}),
            json!({"/addresses/0/streetAddress": "1010 Broadway Ave",
                "/addresses/1/streetAddress": "2 Oak St"}),
        ),
    ]);
    // "no record match was made ... HTTP status code 400 and ... "noTarget""
    table.refuses(vec![(
        json!({"op": "replace", "path": "addresses[type eq \"other\"]", "value": {"region": "CA"}}),
        "noTarget",
        "selects no value",
    )]);
}

/// A complex value changes what it names and nothing else (RFC 7644 section 3.5.2.3).
#[test]
fn a_complex_value_that_names_nothing_known_takes_nothing_away() {
    let table = Table::new();
    let mut unchanged = Vec::new();
    for op in ["add", "replace"] {
        unchanged.extend([
            json!({"op": op, "path": "name", "value": {}}),
            json!({"op": op, "path": "name", "value": {"shoeSize": 9}}),
            json!({"op": op, "path": "name", "value": {"middleName": null}}),
            json!({"op": op, "value": {"name": {"shoeSize": 9}}}),
            json!({"op": op, "value": {ENTERPRISE: {"manager": {"displayName": "Ann"}}}}),
        ]);
    }
    unchanged.push(json!({"op": "add", "path": "addresses[type eq \"work\"]", "value": {}}));
    unchanged.push(
        json!({"op": "add", "path": "phoneNumbers[type eq \"work\"]", "value": {"shoeSize": 9}}),
    );
    table.leaves(unchanged);
    table.applies(vec![
        (
            json!({"op": "replace", "path": "name", "value": {"givenName": null}}),
            json!({"/name": {"familyName": "User"}}),
        ),
        (
            json!({"op": "replace", "value": {"name": {"GivenName": null}}}),
            json!({"/name": {"familyName": "User"}}),
        ),
        (
            json!({"op": "replace", "value": {"name": {"givenName": null, "familyName": null}}}),
            json!({"/name": null}),
        ),
        (json!({"op": "replace", "path": "name", "value": null}), json!({"/name": null})),
        (
            json!({"op": "replace", "path": "manager", "value": {"value": null}}),
            json!({ format!("/{ENTERPRISE}/manager"): null }),
        ),
    ]);
}

#[test]
fn a_registered_extension_as_a_whole_and_by_attribute() {
    let at = format!("/{ENTERPRISE}");
    let both = json!([CORE, CUSTOM]);
    let department = format!("{ENTERPRISE}:department");
    let upper = department.to_uppercase();
    let table = Table::new();
    table.applies(vec![
        (
            json!({"op": "replace", "path": ENTERPRISE, "value": {"department": "R&D"}}),
            json!({ at.as_str(): {"department": "R&D", "employeeNumber": "7",
                "manager": {"value": "m1"}} }),
        ),
        (
            json!({"op": "add", "path": ENTERPRISE, "value": {"costCenter": "C1"}}),
            json!({ format!("{at}/costCenter"): "C1", format!("{at}/department"): "Sales" }),
        ),
        (
            json!({"op": "add", "value": {ENTERPRISE: {"costCenter": "C1", "manager.value": "m2"}}}),
            json!({ format!("{at}/costCenter"): "C1", format!("{at}/manager/value"): "m2" }),
        ),
        (
            json!({"op": "remove", "path": ENTERPRISE}),
            json!({ at.as_str(): null, "/schemas": both }),
        ),
        (
            json!({"op": "replace", "path": ENTERPRISE, "value": null}),
            json!({ at.as_str(): null, "/schemas": both }),
        ),
        (
            json!({"op": "replace", "path": department, "value": "R&D"}),
            json!({ format!("{at}/department"): "R&D" }),
        ),
        (
            json!({"op": "replace", "path": upper, "value": "R&D"}),
            json!({ format!("{at}/department"): "R&D" }),
        ),
        // An extension attribute by its bare name.
        (
            json!({"op": "Replace", "path": "department", "value": "R&D"}),
            json!({ format!("{at}/department"): "R&D", "/department": null }),
        ),
        (
            json!({"op": "remove", "path": department}),
            json!({ format!("{at}/department"): null, format!("{at}/employeeNumber"): "7" }),
        ),
        (
            json!([{"op": "remove", "path": department}, {"op": "remove", "path": "manager"},
                {"op": "remove", "path": "employeeNumber"}]),
            json!({ at.as_str(): null, "/schemas": both }),
        ),
    ]);
    // Adding an attribute by its full name adds the URN to `schemas`.
    let bare = table.harness.user("bare@example.com");
    assert_eq!(bare["schemas"], json!([CORE]));
    let add = json!([{"op": "add", "path": department, "value": "R&D"}]);
    let after = table.harness.patch(&target(&bare), &add).expect(200).json();
    assert_eq!(after["schemas"], json!([CORE, ENTERPRISE]));
    table.refuses(vec![(
        json!({"op": "replace", "path": ENTERPRISE, "value": "R&D"}),
        "invalidValue",
        "object",
    )]);
}

#[test]
fn an_extension_that_nothing_here_knows_as_a_whole_and_by_attribute() {
    const OTHER: &str = "urn:example:other:2.0:User";
    let at = format!("/{CUSTOM}");
    let all = json!([CORE, ENTERPRISE, OTHER, CUSTOM]);
    Table::new().applies(vec![
        (
            json!({"op": "replace", "path": CUSTOM, "value": {"level": 4}}),
            json!({ at.as_str(): {"level": 4, "tags": ["a"]} }),
        ),
        (
            json!({"op": "replace", "path": format!("{CUSTOM}:level"), "value": 4}),
            json!({ format!("{at}/level"): 4 }),
        ),
        (
            json!({"op": "replace", "path": format!("{CUSTOM}:tags"), "value": ["b", "c"]}),
            json!({ format!("{at}/tags"): ["b", "c"] }),
        ),
        (
            json!({"op": "remove", "path": format!("{CUSTOM}:level")}),
            json!({ at.as_str(): {"tags": ["a"]} }),
        ),
        (
            json!({"op": "remove", "path": CUSTOM}),
            json!({ at.as_str(): null, "/schemas": [CORE, ENTERPRISE] }),
        ),
        (
            json!({"op": "add", "path": OTHER, "value": {"badge": "b7"}}),
            json!({ format!("/{OTHER}"): {"badge": "b7"}, "/schemas": all }),
        ),
        (
            json!({"op": "add", "value": {OTHER: {"badge": "b7"}}}),
            json!({ format!("/{OTHER}"): {"badge": "b7"}, "/schemas": all }),
        ),
        (
            json!({"op": "add", "path": format!("{OTHER}:badge"), "value": "b7"}),
            json!({ format!("/{OTHER}"): {"badge": "b7"}, "/schemas": all }),
        ),
        (
            json!({"op": "add", "value": {format!("{OTHER}:badge"): "b7"}}),
            json!({ format!("/{OTHER}"): {"badge": "b7"}, "/schemas": all }),
        ),
    ]);
}

#[test]
fn a_password_is_taken_and_never_shown() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    for operation in [
        json!({"op": "replace", "value": {"password": "s3cr3t-one"}}),
        json!({"op": "replace", "path": "password", "value": "s3cr3t-one"}),
        json!({"op": "Add", "path": "password", "value": "s3cr3t-one"}),
        json!({"op": "replace", "path": format!("{CORE}:password"), "value": "s3cr3t-one"}),
        json!({"op": "replace", "value": {"password": "s3cr3t-one", "title": "Dr"}}),
        json!({"op": "replace", "value": {"password": null}}),
        json!({"op": "remove", "path": "password"}),
    ] {
        let answer = harness.patch(&target(&bob), &json!([operation])).expect(200);
        assert!(!answer.text.contains("s3cr3t") && !answer.text.contains("password"));
        let asked = harness.get(&format!("{}?attributes=password", target(&bob))).expect(200);
        assert!(!asked.text.contains("s3cr3t"), "{operation}");
    }
    let id = bob["id"].as_str().unwrap();
    let stored = harness.store.read(|tx| tx.find(harness.org.key, "User", id, State::Present));
    assert!(!stored.unwrap().unwrap().document.contains("s3cr3t"));
}

#[test]
fn the_answer_is_the_whole_user_or_what_was_asked_for() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    harness.app.clock().advance(60);
    let title = json!([{"op": "replace", "path": "title", "value": "Dr"}]);
    let answer = harness.patch(&target(&bob), &title).expect(200);
    let after = answer.json();
    assert_eq!(answer.header("Location"), after["meta"]["location"].as_str());
    assert_eq!(after["meta"]["lastModified"], "2026-01-31T08:01:00.000Z");
    assert_eq!(after["meta"]["created"], bob["meta"]["created"]);
    assert_eq!(after["userName"], "bob@example.com");
    let only = harness.patch(&format!("{}?attributes=title", target(&bob)), &title).expect(200);
    let expected = json!({"schemas": [CORE], "id": bob["id"], "title": "Dr"});
    assert_eq!(only.json(), expected);
}

#[test]
fn an_attribute_twice_in_a_value_without_a_path_is_refused() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let at = format!("/Users/{}", bob["id"].as_str().unwrap());
    let twice = json!([{"op": "replace", "value": {"active": true, "Active": false}}]);
    harness.patch(&at, &twice).refused(400, Some("invalidSyntax"), "stands twice");
    assert_eq!(harness.get(&at).json(), bob);
}

/// Members of an object have no order, so of two values nobody knows which one is meant.
#[test]
fn two_names_of_one_attribute_with_two_values_are_refused() {
    let harness = Harness::new();
    let created = harness.user("bob@example.com");
    let at = format!("/Users/{}", created["id"].as_str().unwrap());
    let [active, title, name] = ["active", "title", "name"].map(|it| format!("{CORE}:{it}"));
    let whole = json!({"userName": "bob@example.com"});
    for (one, other) in [
        (json!({"active": false}), json!({&active: true})),
        (json!({"active": true}), json!({&active: false})),
        (json!({"active": false}), json!({CORE: {"active": true}})),
        (json!({"title": "a"}), json!({&title: "b"})),
        (json!({"name": {"givenName": "a"}}), json!({&name: {"givenName": "b"}})),
        (
            json!({ENTERPRISE: {"department": "a"}}),
            json!({format!("{ENTERPRISE}:department"): "b"}),
        ),
    ] {
        let joined = |objects: &[&Value]| -> Value {
            objects.iter().flat_map(|it| it.as_object().unwrap().clone()).collect()
        };
        let value = joined(&[&one, &other]);
        let operations = json!([{"op": "replace", "value": value}]);
        harness.patch(&at, &operations).refused(400, Some("invalidSyntax"), "with two values");
        let body = joined(&[&whole, &value]);
        harness.put(&at, &body).refused(400, Some("invalidSyntax"), "with two values");
        harness.post("/Users", &body).refused(400, Some("invalidSyntax"), "with two values");
        assert_eq!(harness.get(&at).json(), created);
    }
    // What says more goes before what is whole, wherever it stands.
    for name in ["name", &name] {
        let both = json!({"name.givenName": "a", name: {"givenName": "b", "familyName": "c"}});
        let body: Value =
            [&whole, &both].iter().flat_map(|it| it.as_object().unwrap().clone()).collect();
        let put = harness.put(&at, &body).expect(200).json();
        assert_eq!(put["name"], json!({"givenName": "a", "familyName": "c"}), "{name}");
        harness.put(&at, &created).expect(200);
        let patched = harness.patch(&at, &json!([{"op": "replace", "value": both}])).expect(200);
        assert_eq!(patched.json()["name"], put["name"], "{name}");
        harness.put(&at, &created).expect(200);
    }
    // The same value twice is one.
    let twice = json!({"title": "a", &title: "a", &active: true, "active": true});
    let changed = harness.patch(&at, &json!([{"op": "replace", "value": twice}])).expect(200);
    assert_eq!(changed.json()["title"], "a");
}

/// The first address is the primary one: it must not hang on the order of the members of an object.
#[test]
fn the_entry_for_work_comes_first_in_a_value_without_a_path() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body.as_object_mut().unwrap().remove("emails");
    let created = harness.post("/Users", &body).expect(201).json();
    let at = format!("/Users/{}", created["id"].as_str().unwrap());
    let value = json!({
        "emails[type eq \"other\"].value": "o@example.com",
        "emails[type eq \"home\"].value": "h@example.com",
        "emails[type eq \"work\"].value": "w@example.com",
    });
    let operations = json!([{"op": "replace", "value": value}]);
    let changed = harness.patch(&at, &operations).expect(200).json();
    assert_eq!(changed["emails"][0]["value"], "w@example.com");
    let other = json!([{"op": "replace", "path": "emails[type eq \"other\"].value",
        "value": "p@example.com"}]);
    harness.patch(&at, &other).expect(200);
}

#[test]
fn the_core_schema_as_an_object_is_the_resource_itself() {
    let harness = Harness::new();
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    let mut body = crate::harness::user("bob@example.com");
    body.as_object_mut().unwrap().remove("active");
    body[core] = json!({"title": "Dr", "active": false});
    let bob = harness.post("/Users", &body).expect(201).json();
    assert_eq!((&bob["title"], &bob["active"]), (&json!("Dr"), &json!(false)));
    let at = format!("/Users/{}", bob["id"].as_str().unwrap());
    let on = json!([{"op": "replace", "value": {core: {"active": true, "title": "Prof"}}}]);
    let bob = harness.patch(&at, &on).expect(200).json();
    assert_eq!((&bob["title"], &bob["active"]), (&json!("Prof"), &json!(true)));
    assert_eq!(bob.get(core), None);
}

#[test]
fn a_manager_given_as_a_bare_id_keeps_nothing_of_the_one_before() {
    let harness = Harness::new();
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let bob = harness.user("bob@example.com");
    let at = format!("/Users/{}", bob["id"].as_str().unwrap());
    let first = json!([{"op": "add", "path": format!("{enterprise}:manager"),
        "value": {"value": "a", "$ref": "../Users/a"}}]);
    harness.patch(&at, &first).expect(200);
    let second = json!([{"op": "replace", "path": format!("{enterprise}:manager"), "value": "b"}]);
    let bob = harness.patch(&at, &second).expect(200).json();
    assert_eq!(bob[enterprise]["manager"], json!({"value": "b"}));
}
