//! Reports from the field: forms that identity providers send, each with what it is taken for, and
//! what an organisation that is set to strict makes of it.

use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::resource::State;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, user};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const ACME: &str = "urn:ietf:params:scim:schemas:extension:Acme:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn strict() -> Harness {
    Harness::with(OrgSettings { strict: true, ..OrgSettings::default() })
}

fn at(resource: &Value) -> String {
    format!("/Users/{}", resource["id"].as_str().unwrap())
}

/// What the question at login is answered.
fn login(harness: &Harness, name: &str) -> u16 {
    let token = harness.issue(Scope::Access);
    harness.with_token(&token, "GET", &format!("/access/v1/users/{name}"), "").status
}

/// What the newest line of the provisioning log says.
fn last_changes(harness: &Harness) -> Value {
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    let sql = "SELECT changes FROM provisioning_log ORDER BY seq DESC LIMIT 1";
    let text: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn with_header(
    harness: &Harness,
    (method, target): (&str, &str),
    header: (&str, &str),
    body: &str,
) -> Answer {
    let token = format!("Bearer {}", harness.token());
    harness.send(method, &format!("/scim/v2{target}"), &[("Authorization", &token), header], body)
}

/// A request that takes login away, with whatever else stands in it.
#[test]
fn a_leaver_is_deactivated_though_the_request_changes_an_identity() {
    let tombstone = "0f8fad5bd9cb469fa16570867728950eida@example.com";
    let rename = json!({"op": "Replace", "path": "userName", "value": tombstone});
    let off = json!({"op": "Replace", "path": "active", "value": "False"});
    let address = |value: &str| json!([{"value": value, "type": "work", "primary": true}]);
    let patches = [
        json!([rename, off]),
        json!([off, rename]),
        json!([{"op": "replace", "value": {"active": false, "userName": tombstone}}]),
        json!([off, {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "n@x.y"}]),
        json!([off, {"op": "replace", "path": "emails", "value": address("n@x.y")}]),
        json!([{"op": "remove", "path": "emails"}, off]),
        json!([{"op": "remove", "path": "emails[type eq \"work\"]"}, off]),
        json!([{"op": "remove", "path": "userName"}, off]),
        json!([{"op": "replace", "path": format!("{CORE}:userName"), "value": tombstone},
            {"op": "replace", "path": format!("{CORE}:active"), "value": false}]),
        json!([off, rename, {"op": "replace", "path": "title", "value": "Left"}]),
    ];
    for operations in patches {
        let harness = Harness::new();
        let ida = harness.user("ida@example.com");
        let after = harness.patch(&at(&ida), &operations).expect(200).json();
        assert_eq!(after["active"], false, "{operations}");
        assert_eq!(after["userName"], "ida@example.com", "{operations}");
        assert_eq!(after["emails"][0]["value"], "ida@example.com", "{operations}");
        assert_eq!(login(&harness, "ida@example.com"), 403, "{operations}");
        if operations.to_string().contains("Left") {
            assert_eq!(after["title"], "Left");
        }
        // Sent again in the next cycle, it is still no failure.
        harness.patch(&at(&ida), &operations).expect(200);
        assert_eq!(harness.get(&at(&ida)).json()["userName"], "ida@example.com");
    }
    for change in [
        json!({"emails": [{"value": "new@example.com", "type": "work", "primary": true}]}),
        json!({"emails": [{"value": "new@example.com"}, {"value": "ida@example.com"}]}),
        json!({"userName": "gone.ida@example.com"}),
        json!({"emails": []}),
    ] {
        let harness = Harness::new();
        let ida = harness.user("ida@example.com");
        let mut body = ida.clone();
        body["active"] = false.into();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let after = harness.put(&at(&ida), &body).expect(200).json();
        assert_eq!((&after["active"], &after["userName"]), (&json!(false), &ida["userName"]));
        let effective = after["emails"][0]["value"].as_str();
        assert_eq!(effective, Some("ida@example.com"), "{change}");
        assert_eq!(login(&harness, "ida@example.com"), 403);
        // The log tells what was passed over.
        let logged = last_changes(&harness);
        assert_eq!(logged["active"], json!({"before": true, "after": false}));
        let asked = change.get("userName").or(change["emails"].get(0).map(|it| &it["value"]));
        if let Some(asked) = asked {
            let name = if change.get("userName").is_some() { "userName" } else { "emails" };
            assert_eq!(&logged["passedOver"][name], asked);
        }
    }
}

#[test]
fn an_identity_change_that_takes_no_login_away_is_refused_as_before() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let rename = json!({"op": "replace", "path": "userName", "value": "new@example.com"});
    for beside in [
        json!([rename]),
        json!([rename, {"op": "replace", "path": "active", "value": true}]),
        json!([{"op": "replace", "path": "active", "value": false}, rename,
            {"op": "replace", "path": "active", "value": true}]),
    ] {
        harness.patch(&at(&ida), &beside).refused(400, Some("mutability"), "userName");
    }
    assert_eq!(harness.get(&at(&ida)).json(), ida);
    // To the letter of RFC 7644 section 3.5.2 it is always refused, and says what that means.
    let harness = strict();
    let ida = harness.user("ida@example.com");
    let both = json!([rename, {"op": "replace", "path": "active", "value": false}]);
    let words = "The account is still active.";
    harness.patch(&at(&ida), &both).refused(400, Some("mutability"), words);
}

#[test]
fn in_a_bulk_request_too() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let rename = json!({"op": "replace", "path": "userName", "value": "x@example.com"});
    let off = json!({"op": "replace", "path": "active", "value": false});
    let wrong = json!({"op": "replace", "path": "title", "value": true});
    let operation = |operations: Value| {
        json!({"method": "PATCH", "path": at(&ida),
            "data": {"schemas": [PATCH_OP], "Operations": operations}})
    };
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [operation(json!([off, wrong])), operation(json!([rename, off]))]});
    let answer = harness.post("/Bulk", &body).expect(200).json();
    let refused = &answer["Operations"][0]["response"]["detail"];
    assert!(refused.as_str().unwrap().ends_with("The account is still active."), "{refused}");
    assert_eq!(answer["Operations"][1]["status"], "200");
    assert_eq!(login(&harness, "ida@example.com"), 403);
}

#[test]
fn a_tombstone_is_passed_over_where_names_may_change() {
    let allow = plumm::scim::identity::IdentityChanges::Allow;
    let settings = OrgSettings { identity_changes: allow, ..OrgSettings::default() };
    let harness = Harness::with(settings);
    let ida = harness.user("ida@example.com");
    let off = |name: &str| {
        json!([{"op": "Replace", "path": "userName", "value": name},
            {"op": "Replace", "path": "active", "value": "False"}])
    };
    let tombstone = "0f8fad5bd9cb469fa16570867728950eida@example.com";
    let after = harness.patch(&at(&ida), &off(tombstone)).expect(200).json();
    assert_eq!((&after["active"], &after["userName"]), (&json!(false), &json!("ida@example.com")));
    // Another new name is what support has allowed.
    let after = harness.patch(&at(&ida), &off("ida.gone@example.com")).expect(200).json();
    assert_eq!(after["userName"], "ida.gone@example.com");
}

#[test]
fn whatever_else_refuses_a_deactivation_says_that_the_account_is_active() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let off = json!({"op": "replace", "path": "active", "value": false});
    let words = "The account is still active.";
    for wrong in [
        json!({"op": "replace", "path": "title", "value": true}),
        json!({"op": "set", "path": "title", "value": "x"}),
        json!({"op": "replace", "path": format!("{GROUP}:displayName"), "value": "x"}),
        json!({"op": "replace", "path": "emails[", "value": "x"}),
    ] {
        let answer = harness.patch(&at(&ida), &json!([wrong, off]));
        assert!(answer.json()["detail"].as_str().unwrap().ends_with(words), "{}", answer.text);
    }
    let mut body = ida.clone();
    body["active"] = false.into();
    body["title"] = json!([1, 2]);
    harness.put(&at(&ida), &body).refused(400, Some("invalidValue"), words);
    // Said in two ways, it is neither; whichever was meant, nobody is out.
    let long = format!("{CORE}:active");
    for (short, long_value) in [(true, json!(false)), (false, json!(true))] {
        let two = json!({"active": short, long.as_str(): long_value});
        let inner = json!({"active": short, CORE: {"active": long_value}});
        for value in [two, inner] {
            let answer = harness.patch(&at(&ida), &json!([{"op": "replace", "value": value}]));
            answer.refused(400, Some("invalidSyntax"), words);
            let mut body = ida.clone();
            body.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
            harness.put(&at(&ida), &body).refused(400, Some("invalidSyntax"), words);
        }
    }
    let old = ("If-Match", "W/\"7\"");
    with_header(&harness, ("DELETE", &at(&ida)), old, "").refused(412, None, words);
    // Where nothing was to be taken away, it is not said.
    let answer = harness.patch(&at(&ida), &json!([{"op": "set"}]));
    assert!(!answer.text.contains("still active"));
    harness.patch(&at(&ida), &json!([off])).expect(200);
    let answer = harness.put(&at(&ida), &body);
    assert!(!answer.text.contains("still active"), "{}", answer.text);
}

#[test]
fn the_address_of_an_account_is_the_entry_that_has_one() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    body["emails"] = json!([{"type": "work", "primary": true}, {"value": "ida@example.com"}]);
    let ida = harness.post("/Users", &body).expect(201).json();
    let mut put = ida.clone();
    put["emails"] = json!([{"value": "eve@example.com", "primary": true}]);
    harness.put(&at(&ida), &put).refused(400, Some("mutability"), "primary email");
    for operation in [
        json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "eve@x.y"}),
        json!({"op": "add", "path": "emails", "value": [{"value": "eve@x.y", "primary": true}]}),
    ] {
        harness.patch(&at(&ida), &json!([operation])).refused(400, Some("mutability"), "email");
    }
    assert_eq!(harness.get(&at(&ida)).json(), ida);
}

#[test]
fn a_dot_or_slash_behind_a_urn_is_its_colon() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let set = |path: &str, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
    let on = || harness.patch(&at(&ida), &set("active", true.into())).expect(200);
    for joint in [".", "/", "::", ":"] {
        for urn in [CORE, &CORE.to_lowercase(), "urn:ietf:params:scim:schemas:core:2.0.User"] {
            let path = format!("{urn}{joint}active");
            harness.patch(&at(&ida), &set(&path, false.into())).expect(200);
            assert_eq!(login(&harness, "ida@example.com"), 403, "{path}");
            on();
            let value = json!([{"op": "replace", "value": {path.as_str(): false}}]);
            let after = harness.patch(&at(&ida), &value).expect(200).json();
            assert_eq!(after["active"], false, "{path}");
            assert_eq!(after.get("urn:ietf:params:scim:schemas:core:2.0"), None, "{path}");
            on();
            let mut put = ida.clone();
            put.as_object_mut().unwrap().remove("active");
            put[&path] = json!(false);
            assert_eq!(harness.put(&at(&ida), &put).expect(200).json()["active"], false, "{path}");
            on();
        }
        assert_eq!(harness.count(&format!("{CORE}{joint}userName eq \"ida@example.com\"")), 1);
        let path = format!("{ENTERPRISE}{joint}employeeNumber");
        let after = harness.patch(&at(&ida), &set(&path, "56789".into())).expect(200).json();
        assert_eq!(after[ENTERPRISE], json!({"employeeNumber": "56789"}), "{path}");
        let list = harness.get(&format!("/Users?attributes={path}&sortBy={path}")).expect(200);
        let found = &list.json()["Resources"][0][ENTERPRISE]["employeeNumber"];
        assert_eq!(*found, "56789", "{path}");
        let mut body =
            user(&format!("u{}@example.com", joint.len() * 7 + usize::from(joint < "/")));
        body[format!("{ENTERPRISE}{joint}department")] = json!("d");
        body[format!("{CORE}{joint}name.givenName")] = json!("Ida");
        let made = harness.post("/Users", &body).expect(201).json();
        assert_eq!(made[ENTERPRISE], json!({"department": "d"}), "{joint}");
        assert_eq!(made["name"]["givenName"], "Ida", "{joint}");
        harness.call("DELETE", &at(&made), "").expect(204);
    }
    // To the letter there is nothing behind such a joint.
    let harness = strict();
    let ida = harness.user("ida@example.com");
    for joint in [".", "/", "::"] {
        let path = format!("{CORE}{joint}active");
        let answer = harness.patch(&at(&ida), &set(&path, false.into()));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        harness.get(&format!("/Users?filter={path}%20eq%20true")).refused(
            400,
            Some("invalidFilter"),
            "",
        );
    }
    assert_eq!(harness.get(&at(&ida)).json(), ida);
}

#[test]
fn a_urn_of_another_type_is_nobodys_extension() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    for path in [
        &format!("{GROUP}:displayName"),
        &format!("{GROUP}.displayName"),
        &format!("{GROUP}:active"),
        "urn:scim:schemas:core:1.0:active",
        "urn:ietf:params:scim:schemas:core:2.0:Usr:active",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Users:department",
    ] {
        for operation in [
            json!({"op": "replace", "path": path, "value": false}),
            json!({"op": "add", "path": path, "value": {"a": 1}}),
            json!({"op": "replace", "value": {path: false, "title": "x"}}),
        ] {
            let answer = harness.patch(&at(&ida), &json!([operation]));
            answer.refused(400, Some("invalidPath"), "could mean nothing here");
        }
        let mut body = user("eve@example.com");
        body[path] = json!(false);
        harness.post("/Users", &body).refused(400, Some("invalidSyntax"), "could mean nothing");
        let filter = format!("/Users?filter={path}%20eq%20true");
        harness.get(&filter).refused(400, Some("invalidFilter"), "");
    }
    assert_eq!(harness.get(&at(&ida)).json(), ida);
    // Misspelled within: the one that is meant, or a refusal; never another extension.
    let near = "urn:ietf:params:scim:schemas:core:2.0User:active";
    let off = json!([{"op": "replace", "path": near, "value": false}]);
    assert_eq!(harness.patch(&at(&ida), &off).expect(200).json()["active"], false);
}

#[test]
fn a_value_in_an_object_is_the_value() {
    let harness = Harness::new();
    for value in [
        json!([{"$ref": null, "value": "Wrapped"}]),
        json!([{"value": "Wrapped"}]),
        json!({"value": "Wrapped"}),
        json!({"$ref": null, "Value": "Wrapped"}),
    ] {
        let mut body = user("ida@example.com");
        body["displayName"] = value.clone();
        let made = harness.post("/Users", &body).expect(201).json();
        assert_eq!(made["displayName"], "Wrapped", "{value}");
        let set = json!([{"op": "Replace", "path": "title", "value": value}]);
        let after = harness.patch(&at(&made), &set).expect(200).json();
        assert_eq!(after["title"], "Wrapped", "{value}");
        harness.call("DELETE", &at(&made), "").expect(204);
    }
    let ida = harness.user("ida@example.com");
    let off = json!([{"op": "Replace", "path": "active",
        "value": [{"$ref": null, "value": "False"}]}]);
    assert_eq!(harness.patch(&at(&ida), &off).expect(200).json()["active"], false);
    let words = "\"title\" takes text";
    let set = json!([{"op": "replace", "path": "title", "value": {"value": "x", "other": 1}}]);
    harness.patch(&at(&ida), &set).refused(400, Some("invalidValue"), words);
    let harness = strict();
    let ida = harness.user("ida@example.com");
    let set = json!([{"op": "replace", "path": "title", "value": [{"value": "x"}]}]);
    harness.patch(&at(&ida), &set).refused(400, Some("invalidValue"), words);
}

#[test]
fn the_same_value_marked_primary_twice_has_one_primary() {
    let two = |a: &str, b: &str| {
        json!([{"value": a, "type": "work", "primary": true},
            {"value": b, "type": "home", "primary": true}])
    };
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    body["emails"] = two("ida@example.com", "Ida@example.com");
    let ida = harness.post("/Users", &body).expect(201).json();
    let primaries = ida["emails"].as_array().unwrap().iter().filter(|it| it["primary"] == true);
    assert_eq!(primaries.collect::<Vec<_>>(), [&ida["emails"][0]]);
    body["active"] = false.into();
    assert_eq!(harness.put(&at(&ida), &body).expect(200).json()["active"], false);
    body["userName"] = "eve@example.com".into();
    body["emails"] = two("a@example.com", "b@example.com");
    harness.post("/Users", &body).refused(400, Some("invalidValue"), "only one may be primary");
    body["emails"] = two("a@example.com", "a@example.com");
    strict().post("/Users", &body).refused(400, Some("invalidValue"), "only one may be primary");
}

#[test]
fn a_list_below_a_urn_that_nobody_registered_is_multi_valued() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    body[ACME] = json!({"devices": ["D1", "D2"], "rooms": [{"value": "1", "type": "a"}]});
    let ida = harness.post("/Users", &body).expect(201).json();
    let path = format!("{ACME}:devices");
    let check = |operation: Value, name: &str, expected: Value| {
        let after = harness.patch(&at(&ida), &json!([operation])).expect(200).json();
        let found = after[ACME].get(name).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{operation}");
    };
    let all = json!(["D1", "D2", "D3"]);
    check(json!({"op": "add", "path": path, "value": ["D3"]}), "devices", all.clone());
    check(json!({"op": "add", "path": path, "value": "D3"}), "devices", all.clone());
    check(json!({"op": "remove", "path": path, "value": ["D3"]}), "devices", json!(["D1", "D2"]));
    check(json!({"op": "add", "value": {ACME: {"devices": ["D3"]}}}), "devices", all.clone());
    check(json!({"op": "add", "path": ACME, "value": {"devices": ["D2"]}}), "devices", all);
    let chosen = json!({"op": "remove", "path": format!("{path}[value eq \"D1\"]")});
    check(chosen, "devices", json!(["D2", "D3"]));
    let rooms = format!("{ACME}:rooms");
    let set =
        json!({"op": "replace", "path": format!("{rooms}[type eq \"a\"].value"), "value": "2"});
    check(set, "rooms", json!([{"value": "2", "type": "a"}]));
    check(
        json!({"op": "add", "path": rooms, "value": {"value": "3"}}),
        "rooms",
        json!([{"value": "2", "type": "a"}, {"value": "3"}]),
    );
    check(json!({"op": "remove", "path": rooms}), "rooms", Value::Null);
    // A text stays a text.
    check(
        json!({"op": "add", "path": format!("{ACME}:badge"), "value": "b1"}),
        "badge",
        json!("b1"),
    );
    check(
        json!({"op": "add", "path": format!("{ACME}:badge"), "value": "b2"}),
        "badge",
        json!("b2"),
    );
}

#[test]
fn a_name_with_a_urn_that_nobody_registered_is_kept_below_it() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    body[format!("{ACME}:badge")] = json!("b1");
    body[format!("{ACME}:devices")] = json!(["D1"]);
    let ida = harness.post("/Users", &body).expect(201).json();
    assert_eq!(ida[ACME], json!({"badge": "b1", "devices": ["D1"]}));
    assert_eq!(ida["schemas"], json!([CORE, ACME]));
    let both = json!([{"op": "replace", "path": format!("{ACME}:badge"), "value": "b2"},
        {"op": "replace", "path": "active", "value": false}]);
    let after = harness.patch(&at(&ida), &both).expect(200).json();
    assert_eq!((&after[ACME]["badge"], &after["active"]), (&json!("b2"), &json!(false)));
    body[format!("{ACME}:badge")] = json!("b3");
    assert_eq!(harness.put(&at(&ida), &body).expect(200).json()[ACME]["badge"], "b3");
    // An object is an extension, whatever its URN looks like, and stays one when it is sent back.
    let dotted = "urn:example:sch.emas";
    let mut other = user("eve@example.com");
    other[dotted] = json!({"a": ["1"]});
    let eve = harness.post("/Users", &other).expect(201).json();
    assert_eq!(eve[dotted], json!({"a": ["1"]}));
    assert_eq!(harness.put(&at(&eve), &eve).expect(200).json(), eve);
    // A whole extension takes an object.
    body[ACME] = json!("x");
    harness.put(&at(&ida), &body).refused(400, Some("invalidValue"), "takes an object");
}

#[test]
fn what_no_schema_has_is_passed_over_beside_what_can_be_done() {
    let off = json!({"op": "replace", "path": "active", "value": "False"});
    for unknown in [format!("{CORE}:role"), "shoeSize".to_owned(), "name.shoe".to_owned()] {
        let role = json!({"op": "replace", "path": unknown, "value": "x"});
        let harness = Harness::new();
        let ida = harness.user("ida@example.com");
        let after = harness.patch(&at(&ida), &json!([role, off])).expect(200).json();
        assert_eq!(after["active"], false, "{unknown}");
        assert_eq!(last_changes(&harness)["passedOver"], json!({ unknown.as_str(): null }));
        let alone = harness.patch(&at(&ida), &json!([role]));
        alone.refused(400, Some("invalidPath"), "names no attribute");
        let harness = strict();
        let ida = harness.user("ida@example.com");
        let answer = harness.patch(&at(&ida), &json!([role, off]));
        assert_eq!(answer.status, 400, "{}", answer.text);
        assert!(answer.text.contains("The account is still active."), "{}", answer.text);
    }
}

#[test]
fn a_message_without_its_schema_is_what_its_endpoint_says() {
    let harness = Harness::new();
    let operation = json!({"op": "replace", "path": "title", "value": "Dr"});
    for schemas in [Value::Null, json!([]), json!("[]"), json!("")] {
        let mut body = user("ida@example.com");
        body["schemas"] = schemas.clone();
        let ida = harness.post("/Users", &body).expect(201).json();
        assert_eq!(ida["schemas"], json!([CORE]));
        harness.put(&at(&ida), &body).expect(200);
        for operations in [json!([operation]), operation.clone()] {
            let patch = json!({"schemas": schemas, "Operations": operations}).to_string();
            let after = harness.call("PATCH", &at(&ida), &patch).expect(200).json();
            assert_eq!(after["title"], "Dr");
        }
        let search = json!({"schemas": schemas, "count": "10", "startIndex": "1", "cursor": null});
        let found = harness.post("/Users/.search", &search).expect(200).json();
        assert_eq!(found["totalResults"], 1);
        harness.call("DELETE", &at(&ida), "").expect(204);
        let strict = strict();
        let ida = strict.user("ida@example.com");
        strict.put(&at(&ida), &body).refused(400, Some("invalidSyntax"), "schemas");
        strict.post("/Users/.search", &search).refused(400, Some("invalidSyntax"), "schemas");
        let patch = json!({"schemas": schemas, "Operations": [operation]}).to_string();
        let answer = strict.call("PATCH", &at(&ida), &patch);
        answer.refused(400, Some("invalidSyntax"), "schemas");
    }
    let ida = harness.user("ida@example.com");
    let old = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:PatchOp"],
        "Operations": [operation]});
    harness.call("PATCH", &at(&ida), &old.to_string()).expect(200);
    let other = json!({"schemas": [PATCH_OP], "filter": "title pr"});
    assert_eq!(harness.post("/.search", &other).expect(200).json()["totalResults"], 1);
    let list = harness.get("/Users?startIndex=&count=&filter=").expect(200).json();
    assert_eq!((&list["startIndex"], &list["itemsPerPage"]), (&json!(1), &json!(1)));
    strict().get("/Users?count=").refused(400, Some("invalidValue"), "count");
}

#[test]
fn numbers_are_text_and_zero_and_one_are_booleans() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    body["externalId"] = json!(157_663);
    body[ENTERPRISE] = json!({"employeeNumber": 701_984});
    body["active"] = json!("1");
    let ida = harness.post("/Users", &body).expect(201).json();
    assert_eq!((&ida["externalId"], &ida["active"]), (&json!("157663"), &json!(true)));
    assert_eq!(ida[ENTERPRISE]["employeeNumber"], "701984");
    assert_eq!(harness.count("externalId eq \"157663\""), 1);
    for (value, expected) in [(json!(0), false), (json!(1), true), (json!("0"), false)] {
        let set = json!([{"op": "replace", "path": "active", "value": value}]);
        assert_eq!(harness.patch(&at(&ida), &set).expect(200).json()["active"], expected);
    }
    assert_eq!(harness.count("active eq \"0\""), 1);
    strict().post("/Users", &body).refused(400, Some("invalidValue"), "takes");
}

#[test]
fn an_empty_extension_is_none() {
    for empty in [json!([]), json!("")] {
        let harness = Harness::new();
        let mut body = user("ida@example.com");
        body[ENTERPRISE] = empty.clone();
        let ida = harness.post("/Users", &body).expect(201).json();
        assert_eq!(ida["schemas"], json!([CORE]));
        let set = json!([{"op": "replace", "path": ENTERPRISE, "value": empty},
            {"op": "replace", "path": "active", "value": false}]);
        assert_eq!(harness.patch(&at(&ida), &set).expect(200).json()["active"], false);
        strict().post("/Users", &body).refused(400, Some("invalidValue"), "takes an object");
    }
}

#[test]
fn brackets_in_a_projection_name_the_attribute() {
    let harness = Harness::new();
    harness.user("ida@example.com");
    let list = harness.get("/Users?attributes=userName,emails%5Btype%20eq%20%22a,b%22%5D,title");
    let found = list.expect(200).json();
    assert!(
        found["Resources"][0]["emails"].is_array() && found["Resources"][0]["userName"].is_string()
    );
    assert!(found["Resources"][0].get("displayName").is_none());
}

#[test]
fn a_coded_body_is_refused_with_the_name_of_the_header() {
    let harness = Harness::new();
    let body = user("ida@example.com").to_string();
    let coded = with_header(&harness, ("POST", "/Users"), ("Content-Encoding", "gzip"), &body);
    coded.refused(415, None, "Content-Encoding");
    let plain = ("Content-Encoding", "identity");
    with_header(&harness, ("POST", "/Users"), plain, &body).expect(201);
}

#[test]
fn a_user_name_has_no_blanks_at_its_ends() {
    let any = plumm::scim::identity::UsernameFormat::Any;
    let settings = OrgSettings { username_format: any, ..OrgSettings::default() };
    let harness = Harness::with(settings);
    for name in [" ida", "ida ", "ida\u{a0}", "\tida"] {
        harness.post("/Users", &user(name)).refused(400, Some("invalidValue"), "blank");
    }
    harness.user("ida lee");
}

#[test]
fn a_push_of_a_whole_group_passes_over_who_was_deleted() {
    let harness = Harness::new();
    let [ann, bob] = ["ann@example.com", "bob@example.com"].map(|it| harness.user(it));
    let member = |it: &Value| json!({"value": it["id"]});
    let mut body = json!({"schemas": [GROUP], "displayName": "Team",
        "members": [member(&ann), member(&bob)]});
    let group = harness.post("/Groups", &body).expect(201).json();
    let at_group = format!("/Groups/{}", group["id"].as_str().unwrap());
    harness.call("DELETE", &at(&bob), "").expect(204);
    let replace = json!([{"op": "replace", "path": "members", "value": body["members"]}]);
    for after in [harness.put(&at_group, &body), harness.patch(&at_group, &replace)] {
        assert_eq!(after.expect(200).json()["members"].as_array().unwrap().len(), 1);
    }
    body["members"][1]["value"] = "nobody".into();
    harness.put(&at_group, &body).refused(400, Some("invalidValue"), "nobody");
    body["displayName"] = "Other".into();
    body["members"] = json!([member(&ann), member(&bob)]);
    harness.post("/Groups", &body).expect(201);
}

#[test]
fn a_group_that_is_created_again_is_there_already() {
    let group = |external: Option<&str>, name: &str| {
        let mut body = json!({"schemas": [GROUP], "displayName": name});
        body.as_object_mut().unwrap().extend(external.map(|it| ("externalId".into(), it.into())));
        body
    };
    let harness = Harness::new();
    let first = harness.post("/Groups", &group(Some("g1"), "Team")).expect(201).json();
    let answer = harness.post("/Groups", &group(Some("g1"), "TEAM"));
    answer.refused(409, Some("uniqueness"), first["id"].as_str().unwrap());
    for other in [group(Some("g2"), "Team"), group(Some("g1"), "Crew"), group(None, "Team")] {
        harness.post("/Groups", &other).expect(201);
    }
    let harness = strict();
    harness.post("/Groups", &group(Some("g1"), "Team")).expect(201);
    harness.post("/Groups", &group(Some("g1"), "Team")).expect(201);
}

#[test]
fn a_replacement_that_selects_nothing_makes_a_value_unless_strict() {
    let set = json!([{"op": "replace", "path": "emails[type eq \"nonexistent\"].value",
        "value": "n@x.y"}]);
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let after = harness.patch(&at(&ida), &set).expect(200).json();
    assert_eq!(after["emails"][1], json!({"type": "nonexistent", "value": "n@x.y"}));
    let harness = strict();
    let ida = harness.user("ida@example.com");
    harness.patch(&at(&ida), &set).refused(400, Some("noTarget"), "selects no value");
}

#[test]
fn who_joins_leaves_or_is_deleted_has_a_new_version() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let version = || harness.get(&at(&ida)).json()["meta"]["version"].clone();
    let since = harness.now.to_string();
    harness.app.clock().advance(60);
    let members = json!([{"value": ida["id"]}]);
    let body = json!({"schemas": [GROUP], "displayName": "Team", "members": members});
    let group = harness.post("/Groups", &body).expect(201).json();
    assert_eq!(version(), "W/\"2\"");
    assert_eq!(harness.count(&format!("meta.lastModified gt \"{since}\"")), 1);
    let at_group = format!("/Groups/{}", group["id"].as_str().unwrap());
    let out = json!([{"op": "remove", "path": "members"}]);
    harness.patch(&at_group, &out).expect(200);
    assert_eq!(version(), "W/\"3\"");
    let join = json!([{"op": "add", "path": "members", "value": members}]);
    harness.patch(&at_group, &join).expect(200);
    harness.call("DELETE", &at_group, "").expect(204);
    assert_eq!(version(), "W/\"5\"");
    harness.call("DELETE", &at(&ida), "").expect(204);
    let org = harness.org.key;
    let restored = harness.store.write(harness.app.clock().now(), |tx| {
        let deleted = tx.find(org, "User", "ida@example.com", State::Deleted)?.unwrap();
        tx.restore_resource(org, "User", &deleted)
    });
    restored.unwrap();
    assert_eq!(version(), "W/\"7\"");
}

#[test]
fn nobody_logs_in_by_a_name_that_only_case_folding_makes_theirs() {
    let harness = Harness::new();
    for name in ["strasse@example.com", "sam@example.com", "office@example.com"] {
        harness.user(name);
    }
    for name in ["straße@example.com", "ſam@example.com", "oﬃce@example.com"] {
        let encoded: String = name.bytes().map(|it| format!("%{it:02x}")).collect();
        assert_eq!(login(&harness, &encoded), 404, "{name}");
        assert_eq!(harness.count(&format!("userName eq \"{name}\"")), 0, "{name}");
        harness.user(name);
    }
    assert_eq!(login(&harness, "ＳＡＭ@example.com"), 200);
}
