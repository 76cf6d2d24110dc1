//! Users: create, read, list, replace, delete, as any client would.

use std::thread;

use plumm::scim::identity::{IdentityChanges, UsernameFormat};
use plumm::store::tables::org::OrgSettings;
use serde_json::{Value, json};

use crate::harness::{Harness, user};

#[test]
fn a_created_user_is_answered_whole_and_found_again() {
    let harness = Harness::new();
    let answer = harness.post("/Users", &user("Bob@Example.com")).expect(201);
    let created = answer.json();
    let id = created["id"].as_str().unwrap();
    assert_eq!(answer.header("Content-Type"), Some("application/scim+json"));
    let location = format!("http://plumm.example/scim/v2/Users/{id}");
    assert_eq!(answer.header("Location"), Some(location.as_str()));
    let meta = json!({
        "resourceType": "User",
        "created": "2026-01-31T08:00:00.000Z",
        "lastModified": "2026-01-31T08:00:00.000Z",
        "location": location,
        "version": "W/\"1\"",
    });
    let expected = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": id,
        "externalId": "00ujl29u0le5T6Aj10h7",
        "userName": "Bob@Example.com",
        "name": {"givenName": "Test", "familyName": "User"},
        "displayName": "Test User",
        "locale": "en-US",
        "active": true,
        "emails": [{"primary": true, "value": "Bob@Example.com", "type": "work"}],
        "meta": meta,
    });
    assert_eq!(created, expected);
    assert_eq!(harness.get(&format!("/Users/{id}")).expect(200).json(), created);
    let list = harness.get("/Users?filter=userName eq \"bob@example.COM\"").expect(200).json();
    assert_eq!(list["Resources"], json!([created]));
    assert_eq!(list["totalResults"], 1);
}

#[test]
fn the_credentials_test_of_an_empty_organisation_gets_a_whole_list() {
    let harness = Harness::new();
    let list = harness.get("/Users?startIndex=1&count=2").expect(200).json();
    let expected = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": []
    });
    assert_eq!(list, expected);
}

#[test]
fn a_second_user_with_the_same_user_name_is_refused_with_its_name_and_id() {
    let harness = Harness::new();
    let first = harness.user("bob@example.com");
    let answer = harness.post("/Users", &user("BOB@example.com"));
    answer.refused(409, Some("uniqueness"), first["id"].as_str().unwrap());
    assert_eq!(harness.count("userName eq \"bob@example.com\""), 1);
    // Addresses and external ids may be shared.
    let mut other = user("bob2@example.com");
    other["emails"] = json!([{"value": "bob@example.com"}]);
    harness.post("/Users", &other).expect(201);
}

#[test]
fn lists_are_paged_in_a_stable_order() {
    let harness = Harness::new();
    let ids: Vec<Value> =
        (0..7).map(|i| harness.user(&format!("u{i}@x.y"))["id"].clone()).collect();
    let page = |query: &str| {
        let list = harness.get(&format!("/Users?{query}")).expect(200).json();
        let found: Vec<Value> =
            list["Resources"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
        assert_eq!(list["totalResults"], 7, "{query}");
        assert_eq!(list["itemsPerPage"], found.len(), "{query}");
        (list["startIndex"].as_i64().unwrap(), found)
    };
    assert_eq!(page(""), (1, ids.clone()));
    assert_eq!(page("startIndex=1&count=3"), (1, ids[..3].to_vec()));
    assert_eq!(page("startIndex=4&count=3"), (4, ids[3..6].to_vec()));
    assert_eq!(page("startIndex=7&count=3"), (7, ids[6..].to_vec()));
    assert_eq!(page("startIndex=8&count=3"), (8, Vec::new()));
    assert_eq!(page("count=0"), (1, Vec::new()));
    assert_eq!(page("count=-5"), (1, Vec::new()));
    assert_eq!(page("startIndex=0"), (1, ids.clone()));
    assert_eq!(page("startIndex=-3&count=2"), (1, ids[..2].to_vec()));
    assert_eq!(page("count=99999999999999999999999"), (1, ids));
    assert_eq!(page("startIndex=99999999999999999999999").1, Vec::<Value>::new());
    for query in ["startIndex=one", "count=x", "count=1.5", "startIndex=0x1", "count=%ff"] {
        harness.get(&format!("/Users?{query}")).refused(400, Some("invalidValue"), "");
    }
}

#[test]
fn a_filtered_list_is_filtered_first_and_paged_then() {
    let harness = Harness::new();
    for i in 0..30 {
        let mut body = user(&format!("u{i}@x.y"));
        body["title"] = if i % 3 == 0 { "chief".into() } else { "clerk".into() };
        harness.post("/Users", &body).expect(201);
    }
    let mut seen = 0;
    for start in [1, 5, 9] {
        let target = format!("/Users?filter=title eq \"Chief\"&startIndex={start}&count=4");
        let list = harness.get(&target).expect(200).json();
        assert_eq!(list["totalResults"], 10);
        seen += list["Resources"].as_array().unwrap().len();
    }
    assert_eq!(seen, 10);
}

#[test]
fn replacing_clears_what_is_left_out_but_not_what_only_the_server_knows() {
    let harness = Harness::new();
    let created = harness.user("bob@example.com");
    let target = format!("/Users/{}", created["id"].as_str().unwrap());
    harness.app.clock().advance(60);
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "bob@example.com", "title": "Dr"
    });
    let changed = harness.put(&target, &body).expect(200).json();
    assert_eq!(changed.get("displayName"), None);
    assert_eq!(changed["title"], "Dr");
    assert_eq!(changed["id"], created["id"]);
    assert_eq!(changed["meta"]["created"], created["meta"]["created"]);
    assert_eq!(changed["meta"]["lastModified"], "2026-01-31T08:01:00.000Z");
    assert_eq!(changed["meta"]["version"], "W/\"2\"");
}

#[test]
fn an_echo_of_what_was_read_changes_nothing() {
    let harness = Harness::new();
    let created = harness.user("bob@example.com");
    let target = format!("/Users/{}", created["id"].as_str().unwrap());
    harness.app.clock().advance(60);
    assert_eq!(harness.put(&target, &created).expect(200).json(), created);
    let same = json!([{"op": "replace", "value": {"active": true}}]);
    assert_eq!(harness.patch(&target, &same).expect(200).json(), created);
}

#[test]
fn projections_on_every_method_that_answers_a_user() {
    let harness = Harness::new();
    let body = user("bob@example.com");
    let answer = harness.post("/Users?attributes=userName", &body).expect(201).json();
    let mut names: Vec<&String> = answer.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["id", "schemas", "userName"]);
    let target = format!("/Users/{}", answer["id"].as_str().unwrap());
    let only_name = "?attributes=urn:ietf:params:scim:schemas:core:2.0:User:NAME.familyName";
    let expected = json!({"familyName": "User"});
    assert_eq!(harness.get(&format!("{target}{only_name}")).json()["name"], expected);
    let list = harness.get("/Users?excludedAttributes=emails,name").json();
    assert_eq!(list["Resources"][0].get("emails"), None);
    assert_eq!(list["Resources"][0]["userName"], "bob@example.com");
    let put = harness.put(&format!("{target}?excludedAttributes=meta"), &body).expect(200).json();
    assert_eq!(put.get("meta"), None);
    let both = format!("{target}?attributes=id&excludedAttributes=meta");
    harness.get(&both).refused(400, Some("invalidValue"), "not both");
}

#[test]
fn enterprise_and_unknown_extensions_round_trip() {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    const CUSTOM: &str = "urn:okta:acme_1:1.0:user:custom";
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body[ENTERPRISE] = json!({"department": "R&D", "manager": "42", "nonsense": 1});
    body[CUSTOM] = json!({"level": 3, "tags": ["a", "b"], "deep": {"x": null}});
    let created = harness.post("/Users", &body).expect(201).json();
    assert_eq!(created[ENTERPRISE], json!({"department": "R&D", "manager": {"value": "42"}}));
    assert_eq!(created[CUSTOM], body[CUSTOM]);
    let schemas = json!(["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE, CUSTOM]);
    assert_eq!(created["schemas"], schemas);
    assert_eq!(harness.count(&format!("{ENTERPRISE}:manager eq \"42\"")), 1);
    assert_eq!(harness.count(&format!("{CUSTOM}:level ge 3")), 1);
    assert_eq!(harness.count("manager.value eq \"43\""), 0);
    // A PUT that does not mention the unknown extension leaves it; one that nulls it removes it.
    let target = format!("/Users/{}", created["id"].as_str().unwrap());
    let put = harness.put(&target, &user("bob@example.com")).expect(200).json();
    assert_eq!(put[CUSTOM], body[CUSTOM]);
    assert_eq!(put.get(ENTERPRISE), None);
    let mut without = user("bob@example.com");
    without[CUSTOM] = Value::Null;
    let put = harness.put(&target, &without).expect(200).json();
    assert_eq!(put.get(CUSTOM), None);
}

#[test]
fn an_account_that_grows_too_large_is_refused_and_stays_as_it_was() {
    let harness = Harness::new();
    let created = harness.user("bob@example.com");
    let target = format!("/Users/{}", created["id"].as_str().unwrap());
    let long = "x".repeat(1024 * 1024);
    let mut body = user("eve@example.com");
    body["title"] = long.as_str().into();
    harness.post("/Users", &body).refused(413, None, "Map fewer or shorter attributes");
    body["userName"] = "bob@example.com".into();
    body["emails"] = created["emails"].clone();
    harness.put(&target, &body).refused(413, None, "Map fewer or shorter attributes");
    let grow = json!([{"op": "add", "path": "title", "value": long}]);
    harness.patch(&target, &grow).refused(413, None, "Map fewer or shorter attributes");
    assert_eq!(harness.get(&target).expect(200).json(), created);
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
    assert_eq!(harness.count("emails eq \"eve@example.com\""), 0);
}

/// Each level takes some of the stack, and a connection's thread has 256 KiB of it: a deeper body
/// once ended the whole server.
#[test]
fn a_deep_body_fits_the_stack_of_a_connection_or_is_refused() {
    const CUSTOM: &str = "urn:okta:acme_1:1.0:user:custom";
    let small = thread::Builder::new().stack_size(256 * 1024);
    let deep = |levels: usize| {
        let value = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let body = user(&format!("bob{levels}@example.com")).to_string();
        format!("{},\"{CUSTOM}\":{value}}}", &body[..body.len() - 1])
    };
    let thread = small.spawn(move || {
        let harness = Harness::new();
        let made = harness.call("POST", "/Users", &deep(63)).expect(201).json();
        let target = format!("/Users/{}", made["id"].as_str().unwrap());
        assert_eq!(harness.get(&target).expect(200).json(), made);
        harness.get(&format!("{target}?attributes={CUSTOM}:a")).expect(200);
        let value = made[CUSTOM]["a"]["a"]["a"]["a"].clone();
        let path = format!("{CUSTOM}:b");
        harness.patch(&target, &json!([{"op": "add", "path": path, "value": value}])).expect(200);
        harness.call("PUT", &target, &deep(63)).expect(200);
        for levels in [64, 127, 100_000] {
            let answer = harness.call("POST", "/Users", &deep(levels));
            answer.refused(400, Some("invalidSyntax"), "nested more than 64 deep");
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn a_body_of_too_many_values_is_refused_before_it_is_read() {
    let harness = Harness::new();
    let created = harness.user("bob@example.com");
    let target = format!("/Users/{}", created["id"].as_str().unwrap());
    let body = user("eve@example.com").to_string();
    let many = format!("{},\"x\":[{}0]}}", &body[..body.len() - 1], "0,".repeat(200_000));
    for (method, target) in [("POST", "/Users"), ("PUT", &target), ("PATCH", &target)] {
        harness.call(method, target, &many).refused(413, None, "more than 200000 values");
    }
    assert_eq!(harness.get(&target).expect(200).json(), created);
}

#[test]
fn a_username_is_never_empty() {
    let settings = OrgSettings {
        username_format: UsernameFormat::Any,
        identity_changes: IdentityChanges::Allow,
        ..OrgSettings::default()
    };
    let harness = Harness::with(settings);
    let bob = harness.user("bob");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    for name in ["", " \t"] {
        let mut body = user("eve");
        body["userName"] = name.into();
        harness.post("/Users", &body).refused(400, Some("invalidValue"), "userName is empty");
        harness.put(&target, &body).refused(400, Some("invalidValue"), "userName is empty");
        let rename = json!([{"op": "replace", "path": "userName", "value": name}]);
        harness.patch(&target, &rename).refused(400, Some("invalidValue"), "userName is empty");
    }
    assert_eq!(harness.get(&target).expect(200).json(), bob);
}
