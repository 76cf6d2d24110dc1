//! What RFC 7643, RFC 7644 and RFC 9865 ask of a service provider and no other module tests.
//! `tests/requirements.md` names the test of each requirement.

use std::fs;

use plumm::scim::coerce;
use plumm::scim::identity::IdentityChanges;
use plumm::scim::schema::attribute::Attribute;
use plumm::scim::schema::definitions::Definitions;
use plumm::scim::validate;
use serde_json::{Value, json};

use crate::harness::{Harness, encoded, user};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

fn target(user: &Value) -> String {
    format!("/Users/{}", user["id"].as_str().unwrap())
}

fn resources(list: &Value) -> &Vec<Value> {
    list["Resources"].as_array().unwrap()
}

/// What stands below the base URL at an address that an answer gave.
#[track_caller]
fn below_base(address: &Value) -> String {
    let address = address.as_str().unwrap_or_else(|| panic!("{address} is no address"));
    address.strip_prefix("http://plumm.example/scim/v2").unwrap().to_owned()
}

// RFC 7643, section 2

/// RFC 7643 section 8.7.1 has it as not required, and here it cannot be removed: who may log in
/// must have an answer. "Required" tells clients so before they try. A new account gets it by
/// default.
#[test]
fn active_is_published_as_required_because_it_cannot_be_removed() {
    let harness = Harness::new();
    let schema = harness.get(&format!("/Schemas/{CORE}")).expect(200).json();
    let mut attributes = schema["attributes"].as_array().unwrap().iter();
    let active = attributes.find(|it| it["name"] == "active").unwrap();
    assert_eq!(active["required"], true);
    let mut body = user("bob@example.com");
    body.as_object_mut().unwrap().remove("active");
    let bob = harness.post("/Users", &body).expect(201).json();
    assert_eq!(bob["active"], true);
    let removal = json!([{"op": "remove", "path": "active"}]);
    harness.patch(&target(&bob), &removal).refused(400, Some("mutability"), "active");
    assert_eq!(harness.put(&target(&bob), &body).expect(200).json()["active"], true);
}

/// Section 2.3.4.
#[test]
fn an_integer_has_no_fraction_and_no_exponent() {
    let attribute = json!({"name": "desk", "type": "integer", "multiValued": false,
        "description": "A number.", "required": false, "mutability": "readWrite",
        "returned": "default"});
    let attribute: Attribute = serde_json::from_value(attribute).unwrap();
    let taken = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        coerce::coerce(&attribute, value, "desk", false)
    };
    for text in ["7", "-7", "0", "9223372036854775807"] {
        assert_eq!(taken(text).unwrap().unwrap().to_string(), text);
    }
    for text in ["1.5", "7.0", "7e3", "7E-1", "true", "\"1.5\""] {
        assert_eq!(taken(text).unwrap_err().status, 400, "{text}");
    }
}

/// Section 2.3.7.
#[test]
fn a_reference_is_an_address_that_answers() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let body = json!({"schemas": [GROUP], "displayName": "Team",
        "members": [{"value": bob["id"]}]});
    let group = harness.post("/Groups", &body).expect(201).json();
    let member = harness.get(&below_base(&group["members"][0]["$ref"])).expect(200).json();
    assert_eq!(member["id"], bob["id"]);
    let of = harness.get(&below_base(&member["groups"][0]["$ref"])).expect(200).json();
    assert_eq!((&of["id"], &member["groups"][0]["value"]), (&group["id"], &group["id"]));
}

/// Section 2.3.8.
#[test]
fn the_order_of_members_does_not_count() {
    let harness = Harness::new();
    let reversed = |value: &Value| -> Value {
        value
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .rev()
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut body = user("bob@example.com");
    body["name"] = reversed(&body["name"]);
    body["emails"][0] = reversed(&body["emails"][0]);
    let bob = harness.post("/Users", &reversed(&body)).expect(201).json();
    assert_eq!(bob["name"], body["name"]);
    harness.put(&target(&bob), &reversed(&bob)).expect(200);
    let operation = json!({"value": "Dr", "path": "title", "op": "add"});
    let patch = json!({"Operations": [operation],
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]});
    let after = harness.call("PATCH", &target(&bob), &patch.to_string()).expect(200).json();
    assert_eq!(after["title"], "Dr");
}

/// Section 2.4.
#[test]
fn the_same_value_twice_is_kept_once() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body["phoneNumbers"] = json!([
        {"value": "1", "type": "work"},
        {"value": "1", "type": "home"},
        {"value": "1", "type": "Work", "display": "again"},
    ]);
    let bob = harness.post("/Users", &body).expect(201).json();
    let expected = json!([{"value": "1", "type": "work"}, {"value": "1", "type": "home"}]);
    assert_eq!(bob["phoneNumbers"], expected);
    assert_eq!(harness.put(&target(&bob), &body).expect(200).json()["phoneNumbers"], expected);
    let add = json!([{"op": "add", "path": "phoneNumbers",
        "value": [{"value": "1", "type": "home"}]}]);
    assert_eq!(harness.patch(&target(&bob), &add).expect(200).json()["phoneNumbers"], expected);
}

/// Section 2.4: what does not say that it is primary is not.
#[test]
fn a_value_that_does_not_say_so_is_not_primary() {
    let harness = Harness::new();
    let phones = |name: &str, values: Value| {
        let mut body = user(name);
        body["phoneNumbers"] = values;
        harness.post("/Users", &body).expect(201).json()
    };
    let silent = phones("silent@example.com", json!([{"value": "1", "type": "work"}]));
    phones("not@example.com", json!([{"value": "2", "primary": false}]));
    phones("primary@example.com", json!([{"value": "3", "primary": true}]));
    harness.user("none@example.com");
    for (filter, expected) in [
        ("phoneNumbers[primary eq false]", 2),
        ("phoneNumbers.primary eq false", 2),
        ("phoneNumbers[primary eq \"False\" and value eq \"1\"]", 1),
        ("phoneNumbers[primary ne true]", 2),
        ("phoneNumbers[primary ne false]", 1),
        ("phoneNumbers.primary eq true", 1),
        ("phoneNumbers[primary eq true]", 1),
        ("phoneNumbers[primary pr]", 2),
    ] {
        assert_eq!(harness.count(filter), expected, "{filter}");
    }
    let path = "phoneNumbers[primary eq false].display";
    let change = json!([{"op": "replace", "path": path, "value": "x"}]);
    let after = harness.patch(&target(&silent), &change).expect(200).json();
    let expected = json!([{"value": "1", "type": "work", "display": "x"}]);
    assert_eq!(after["phoneNumbers"], expected);
}

/// Section 2.5.
#[test]
fn null_and_an_empty_array_are_no_value() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    let fill = |body: &mut Value, values: [Value; 4]| {
        let names = ["title", "phoneNumbers", "name", ENTERPRISE];
        for (name, value) in names.into_iter().zip(values) {
            body[name] = value;
        }
    };
    let full = [
        json!("Dr"),
        json!([{"value": "1"}]),
        json!({"familyName": "B"}),
        json!({"department": "d"}),
    ];
    let empty = [Value::Null, json!([]), json!({"familyName": null}), json!({"department": null})];
    fill(&mut body, empty.clone());
    let bob = harness.post("/Users", &body).expect(201).json();
    let bare = |user: &Value| {
        assert_eq!(user["schemas"], json!([CORE]));
        for name in ["title", "phoneNumbers", "name", ENTERPRISE] {
            assert_eq!(user.get(name), None, "{name}");
        }
    };
    bare(&bob);
    let filter = format!("title pr or phoneNumbers pr or name pr or {ENTERPRISE}:department pr");
    assert_eq!(harness.count(&filter), 0);
    fill(&mut body, full);
    harness.put(&target(&bob), &body).expect(200);
    assert_eq!(harness.count(&filter), 1);
    fill(&mut body, empty);
    bare(&harness.put(&target(&bob), &body).expect(200).json());
    let fill = json!([{"op": "add", "path": "title", "value": "Dr"},
        {"op": "add", "path": "phoneNumbers", "value": [{"value": "1"}]}]);
    harness.patch(&target(&bob), &fill).expect(200);
    let clear = json!([{"op": "replace", "path": "title", "value": null},
        {"op": "replace", "path": "phoneNumbers", "value": []}]);
    bare(&harness.patch(&target(&bob), &clear).expect(200).json());
}

// RFC 7643, section 3

#[test]
fn schemas_hold_each_schema_once_in_whatever_order_they_came() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body["schemas"] = json!([ENTERPRISE, CORE, ENTERPRISE, CORE]);
    body[ENTERPRISE] = json!({"department": "d"});
    let bob = harness.post("/Users", &body).expect(201).json();
    assert_eq!(bob["schemas"], json!([CORE, ENTERPRISE]));
    // One that is named and not used does not stand there.
    body["userName"] = "eve@example.com".into();
    body[ENTERPRISE] = json!({});
    let eve = harness.post("/Users", &body).expect(201).json();
    assert_eq!(eve["schemas"], json!([CORE]));
}

/// Section 3.1; RFC 7644 section 3.3.1.
#[test]
fn what_a_client_says_of_meta_is_ignored() {
    let harness = Harness::new();
    let meta = json!({"resourceType": "Group", "created": "2001-01-01T00:00:00Z",
        "lastModified": "yesterday", "location": "http://elsewhere.example/", "version": 7});
    let mut body = user("bob@example.com");
    body["meta"] = meta.clone();
    let bob = harness.post("/Users", &body).expect(201).json();
    let own = json!({"resourceType": "User", "created": "2026-01-31T08:00:00.000Z",
        "lastModified": "2026-01-31T08:00:00.000Z", "version": "W/\"1\"",
        "location": format!("http://plumm.example/scim/v2{}", target(&bob))});
    assert_eq!(bob["meta"], own);
    assert_eq!(harness.put(&target(&bob), &body).expect(200).json()["meta"], own);
    let group = json!({"schemas": [GROUP], "displayName": "Team", "meta": meta});
    let group = harness.post("/Groups", &group).expect(201).json();
    assert_eq!(group["meta"]["resourceType"], "Group");
    assert_eq!(group["meta"]["version"], "W/\"1\"");
}

/// Section 3.1.
#[test]
fn an_external_id_is_the_clients_and_counts_in_its_organisation() {
    let harness = Harness::new();
    let body = json!({"schemas": [CORE], "userName": "bob@example.com"});
    let bob = harness.post("/Users", &body).expect(201).json();
    assert_eq!(bob.get("externalId"), None);
    assert_eq!(harness.count("externalId pr"), 0);
    let (_, token) = harness.neighbour("other");
    let theirs = user("ann@example.com").to_string();
    harness.with_token(&token, "POST", "/scim/v2/Users", &theirs).expect(201);
    assert_eq!(harness.count("externalId pr"), 0);
    harness.post("/Users", &user("ann@example.com")).expect(201);
    assert_eq!(harness.count("externalId eq \"00ujl29u0le5T6Aj10h7\""), 1);
}

/// Section 3.1; RFC 7644 sections 3.1, 3.3 and 3.14.
#[test]
fn address_and_version_stand_in_the_header_as_in_the_body() {
    let harness = Harness::new();
    let created = harness.post("/Users", &user("bob@example.com")).expect(201);
    let bob = created.json();
    let mut changed = bob.clone();
    changed["title"] = "Dr".into();
    let operations = json!([{"op": "replace", "path": "title", "value": "Prof"}]);
    for (answer, version) in [
        (created, "W/\"1\""),
        (harness.get(&target(&bob)).expect(200), "W/\"1\""),
        (harness.put(&target(&bob), &changed).expect(200), "W/\"2\""),
        (harness.patch(&target(&bob), &operations).expect(200), "W/\"3\""),
        (harness.get(&target(&bob)).expect(200), "W/\"3\""),
    ] {
        let meta = &answer.json()["meta"];
        assert_eq!(meta["version"], version);
        assert_eq!(answer.header("ETag"), Some(version));
        assert_eq!(below_base(&meta["location"]), target(&bob));
        for name in ["Location", "Content-Location"] {
            assert_eq!(answer.header(name), meta["location"].as_str(), "{name}");
        }
    }
}

// RFC 7643, section 4

/// Sections 4.1.1 and 9.2.
#[test]
fn a_password_is_written_to_no_file() {
    const PASSWORD: &str = "unmistakable-7f3a";
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body["password"] = PASSWORD.into();
    let created = harness.post("/Users", &body).expect(201);
    let bob = created.json();
    let replaced = harness.put(&target(&bob), &body).expect(200);
    let change = json!([{"op": "replace", "path": "password", "value": PASSWORD}]);
    let patched = harness.patch(&target(&bob), &change).expect(200);
    for answer in [created, replaced, patched, harness.get("/Users?attributes=password")] {
        assert!(!answer.text.contains("password"), "{}", answer.text);
    }
    let filter = format!("/Users?filter={}", encoded(&format!("password eq \"{PASSWORD}\"")));
    harness.get(&filter).refused(400, Some("invalidFilter"), "never shown");
    for entry in fs::read_dir(harness.folder.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|it| it == PASSWORD.as_bytes()));
    }
}

// RFC 7643, sections 5 to 7; RFC 7644, section 4

/// Section 5; RFC 9865 section 4.
#[test]
fn the_configuration_says_all_it_must() {
    let harness = Harness::new();
    let found = harness.get("/ServiceProviderConfig").expect(200).json();
    let schema = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
    assert_eq!(found["schemas"], json!([schema]));
    for name in ["patch", "bulk", "filter", "changePassword", "sort", "etag"] {
        assert!(found[name]["supported"].is_boolean(), "{name}");
    }
    for pointer in ["/bulk/maxOperations", "/bulk/maxPayloadSize", "/filter/maxResults"] {
        assert!(found.pointer(pointer).unwrap().as_u64().unwrap() > 0, "{pointer}");
    }
    let schemes = found["authenticationSchemes"].as_array().unwrap();
    assert!(!schemes.is_empty());
    for scheme in schemes {
        let known = ["oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"];
        assert!(known.contains(&scheme["type"].as_str().unwrap()), "{scheme}");
        for name in ["name", "description"] {
            assert!(!scheme[name].as_str().unwrap().is_empty(), "{scheme}");
        }
    }
    assert_eq!(below_base(&found["meta"]["location"]), "/ServiceProviderConfig");
    let pagination = &found["pagination"];
    assert_eq!((&pagination["cursor"], &pagination["index"]), (&json!(true), &json!(true)));
    assert_eq!(pagination["defaultPaginationMethod"], "index");
    for name in ["defaultPageSize", "maxPageSize", "cursorTimeout"] {
        assert!(pagination[name].as_u64().unwrap() > 0, "{name}");
    }
}

/// Section 6; RFC 7644 section 3.2.
#[test]
fn resource_types_name_schemas_and_endpoints_that_exist() {
    let harness = Harness::new();
    let list = harness.get("/ResourceTypes").expect(200).json();
    assert_eq!(list["schemas"], json!([LIST]));
    for it in resources(&list) {
        let schema = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
        assert_eq!(it["schemas"], json!([schema]));
        let name = it["name"].as_str().unwrap();
        assert!(!it["description"].as_str().unwrap().is_empty());
        assert_eq!(it["endpoint"], format!("/{name}s"));
        harness.get(it["endpoint"].as_str().unwrap()).expect(200);
        let mut schemas = vec![&it["schema"]];
        for extension in it["schemaExtensions"].as_array().unwrap() {
            assert!(extension["required"].is_boolean());
            schemas.push(&extension["schema"]);
        }
        for schema in schemas {
            let found = harness.get(&format!("/Schemas/{}", schema.as_str().unwrap()));
            assert_eq!(&found.expect(200).json()["id"], schema);
        }
        assert_eq!(harness.get(&below_base(&it["meta"]["location"])).expect(200).json(), *it);
    }
    let names: Vec<&Value> = resources(&list).iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["User", "Group"]);
}

/// Section 7.
#[test]
fn schemas_describe_every_attribute_in_full() {
    let harness = Harness::new();
    let list = harness.get("/Schemas").expect(200).json();
    assert_eq!(list["schemas"], json!([LIST]));
    for schema in resources(&list) {
        let id = schema["id"].as_str().unwrap();
        assert!(id.starts_with("urn:"), "{id}");
        for name in ["name", "description"] {
            assert!(!schema[name].as_str().unwrap().is_empty(), "{id}");
        }
        // Schemas alone may have a complex attribute within another.
        let depth = if id.ends_with(":Schema") { 2 } else { 1 };
        for attribute in schema["attributes"].as_array().unwrap() {
            check_attribute(id, attribute, depth);
        }
        assert_eq!(
            harness.get(&below_base(&schema["meta"]["location"])).expect(200).json(),
            *schema
        );
    }
    for id in [CORE, ENTERPRISE, GROUP] {
        assert!(resources(&list).iter().any(|it| it["id"] == id), "{id}");
    }
    let core = harness.get(&format!("/Schemas/{CORE}")).expect(200).json();
    for (name, types) in [
        ("emails", json!(["work", "home", "other"])),
        ("phoneNumbers", json!(["work", "home", "mobile", "fax", "pager", "other"])),
        ("addresses", json!(["work", "home", "other"])),
    ] {
        let named = |list: &Value, name: &str| {
            list.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
        };
        let attribute = named(&core["attributes"], name);
        assert_eq!(named(&attribute["subAttributes"], "type")["canonicalValues"], types, "{name}");
    }
}

#[track_caller]
fn check_attribute(schema: &str, attribute: &Value, depth: usize) {
    let at = format!("{schema}: {attribute}");
    let text = |name: &str| attribute[name].as_str().unwrap_or_else(|| panic!("{name}: {at}"));
    let name = text("name").strip_prefix('$').unwrap_or(text("name"));
    assert!(name.starts_with(|it: char| it.is_ascii_alphabetic()), "{at}");
    assert!(name.chars().all(|it| it.is_ascii_alphanumeric() || "-_".contains(it)), "{at}");
    assert!(!text("description").is_empty(), "{at}");
    // The sub-attributes that RFC 7643 section 2.4 gives a meaning.
    match text("name") {
        "primary" => assert_eq!(text("type"), "boolean", "{at}"),
        "$ref" => assert_eq!(text("type"), "reference", "{at}"),
        "display" | "type" => assert_eq!(text("type"), "string", "{at}"),
        _ => {}
    }
    for name in ["multiValued", "required"] {
        assert!(attribute[name].is_boolean(), "{name}: {at}");
    }
    assert!(["readOnly", "readWrite", "immutable", "writeOnly"].contains(&text("mutability")));
    assert!(["always", "never", "default", "request"].contains(&text("returned")), "{at}");
    match text("type") {
        "complex" => {
            assert!(depth > 0, "complex within complex: {at}");
            let subs = attribute["subAttributes"].as_array().unwrap();
            assert!(!subs.is_empty(), "{at}");
            for sub in subs {
                check_attribute(schema, sub, depth - 1);
            }
        }
        "string" | "reference" | "binary" => {
            assert!(attribute["caseExact"].is_boolean(), "{at}");
            assert!(["none", "server", "global"].contains(&text("uniqueness")), "{at}");
            let references = attribute["referenceTypes"].as_array();
            assert_eq!(text("type") == "reference", references.is_some(), "{at}");
        }
        "boolean" | "decimal" | "integer" | "dateTime" => {}
        other => panic!("{other}: {at}"),
    }
    if text("mutability") == "writeOnly" {
        assert_eq!(text("returned"), "never", "{at}");
    }
}

/// Section 7, `caseExact`.
#[test]
fn a_value_keeps_its_letter_case_and_is_found_by_it_where_it_counts() {
    let harness = Harness::new();
    let mut body = user("Bob@Example.com");
    body["externalId"] = "MiXeD".into();
    body["profileUrl"] = "https://Example.com/Bob".into();
    body["title"] = "DoCtor".into();
    let bob = harness.post("/Users", &body).expect(201).json();
    for name in ["externalId", "profileUrl", "title", "userName"] {
        assert_eq!(bob[name], body[name]);
    }
    for (filter, expected) in [
        ("externalId eq \"MiXeD\"", 1),
        ("externalId eq \"mixed\"", 0),
        ("profileUrl sw \"https://E\"", 1),
        ("profileUrl sw \"https://e\"", 0),
        ("title eq \"doctor\"", 1),
    ] {
        assert_eq!(harness.count(filter), expected, "{filter}");
    }
}

/// RFC 7644 section 3.1.
#[test]
fn messages_have_their_urns_and_are_no_schemas() {
    let harness = Harness::new();
    let text = harness.get("/Schemas").expect(200).text;
    assert!(!text.contains("\"id\":\"urn:ietf:params:scim:api:"));
    for message in ["ListResponse", "SearchRequest", "PatchOp", "BulkRequest", "Error"] {
        let urn = format!("urn:ietf:params:scim:api:messages:2.0:{message}");
        harness.get(&format!("/Schemas/{urn}")).refused(404, None, "no schema");
    }
    assert_eq!(harness.get("/Users").json()["schemas"], json!([LIST]));
}

/// RFC 7644 section 4.
#[test]
fn discovery_lists_are_whole_and_not_to_be_filtered() {
    let harness = Harness::new();
    for path in ["/Schemas", "/ResourceTypes"] {
        let whole = harness.get(path).expect(200).json();
        assert_eq!(whole["totalResults"], resources(&whole).len());
        let paged = format!("{path}?startIndex=2&count=1&sortBy=name&sortOrder=descending");
        assert_eq!(harness.get(&paged).expect(200).json(), whole);
        let filter = format!("{path}?filter={}", encoded("name eq \"User\""));
        harness.get(&filter).refused(403, None, "leave the filter out");
    }
}

// RFC 7644, section 3

/// Sections 3.2 and 3.5.1.
#[test]
fn put_creates_nothing() {
    let harness = Harness::new();
    let id = "0198c5c0-0000-7000-8000-000000000000";
    let mut body = user("bob@example.com");
    body["id"] = id.into();
    harness.put(&format!("/Users/{id}"), &body).refused(404, None, "no User");
    harness.put("/Users", &body).refused(405, None, "GET, HEAD, POST");
    assert_eq!(harness.get("/Users").json()["totalResults"], 0);
}

/// Section 3.5.1.
#[test]
fn what_is_immutable_and_not_set_takes_a_value_once() {
    let harness = Harness::new();
    let definitions = Definitions::builtin(IdentityChanges::Refuse);
    let users = definitions.resource_type("User").unwrap();
    let change = |before: &Value, after: &Value| {
        let (before, after) = (before.as_object().unwrap(), after.as_object().unwrap());
        validate::judge_change(before, after.clone(), users, harness.org.settings.rules())
    };
    let named = json!({"schemas": [CORE], "userName": "bob@example.com", "active": true});
    let unnamed = json!({"schemas": [CORE], "active": true});
    assert_eq!(change(&unnamed, &named).unwrap().document["userName"], "bob@example.com");
    let other = json!({"schemas": [CORE], "userName": "eve@example.com", "active": true});
    assert_eq!(change(&named, &other).unwrap_err().status, 400);
}

/// Section 3.4.2.1.
#[test]
fn the_base_url_lists_all_types_and_foreign_attributes_have_no_value() {
    let harness = Harness::new();
    harness.user("ann@example.com");
    harness.user("bob@example.com");
    let group = json!({"schemas": [GROUP], "displayName": "Team"});
    harness.post("/Groups", &group).expect(201);
    for (filter, users, groups) in [
        ("id pr", 2, 1),
        ("meta.resourceType eq \"Group\"", 0, 1),
        ("userName pr", 2, 0),
        ("userName eq \"ann@example.com\"", 1, 0),
        ("userName eq \"ann@example.com\" or displayName eq \"team\"", 1, 1),
        ("userName eq \"ann@example.com\" or members pr", 1, 0),
        ("not (userName pr)", 0, 1),
        ("not (emails[type eq \"work\"])", 0, 1),
        ("userName ne \"ann@example.com\"", 1, 1),
        ("emails[type eq \"work\"] or displayName eq \"Team\"", 2, 1),
    ] {
        let list = harness.get(&format!("/?filter={}", encoded(filter))).expect(200).json();
        let of = |name: &str| {
            let types = resources(&list).iter().map(|it| &it["meta"]["resourceType"]);
            types.filter(|it| **it == name).count()
        };
        assert_eq!((of("User"), of("Group")), (users, groups), "{filter}");
        assert_eq!(list["totalResults"], users + groups, "{filter}");
    }
    for filter in ["shoeSize pr", "userName pr or shoeSize pr", "emails[shoeSize pr]"] {
        let answer = harness.get(&format!("/?filter={}", encoded(filter)));
        answer.refused(400, Some("invalidFilter"), "shoeSize");
    }
}

/// Section 3.4.2.2.
#[test]
fn what_was_set_by_default_is_found_by_what_was_answered() {
    let harness = Harness::new();
    let body = json!({"schemas": [CORE], "userName": "bob@example.com"});
    let bob = harness.post("/Users", &body).expect(201).json();
    assert_eq!(bob["active"], true);
    assert_eq!(harness.count("active eq true and active pr"), 1);
    assert_eq!(harness.count("active eq false or not (active pr)"), 0);
}

/// Section 3.8.
#[test]
fn text_of_every_script_comes_back_as_it_was() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    let name = "Zoë Ångström 山田太郎 محمد 👩‍💻 \u{301}\"\\/\u{7f}\t";
    body["displayName"] = name.into();
    let bob = harness.post("/Users", &body).expect(201).json();
    assert_eq!(bob["displayName"], name);
    assert_eq!(harness.get(&target(&bob)).expect(200).json(), bob);
    assert_eq!(harness.count("displayName co \"山田太郎 محمد 👩‍💻\""), 1);
    // Escaped is the same text.
    body["userName"] = "eve@example.com".into();
    let escaped = body.to_string().replace('山', "\\u5c71").replace('👩', "\\ud83d\\udc69");
    let eve = harness.call("POST", "/Users", &escaped).expect(201).json();
    assert_eq!(eve["displayName"], name);
}

/// Section 3.14.
#[test]
fn a_change_of_another_version_is_refused_and_a_version_at_hand_is_not_sent_again() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let token = format!("Bearer {}", harness.token());
    let at = format!("/scim/v2{}", target(&bob));
    let call = |method: &str, name: &str, tag: &str, body: &Value| {
        let headers = [("Authorization", token.as_str()), (name, tag)];
        harness.send(method, &at, &headers, &body.to_string())
    };
    let mut put = bob.clone();
    put["title"] = "Dr".into();
    let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "title", "value": "Prof"}]});
    for (method, body) in [("PUT", &put), ("PATCH", &patch), ("DELETE", &Value::Null)] {
        call(method, "If-Match", "W/\"7\"", body).refused(412, None, "W/\"1\"");
    }
    assert_eq!(harness.get(&target(&bob)).json(), bob);
    let known = call("GET", "If-None-Match", "W/\"1\"", &Value::Null).expect(304);
    assert_eq!((known.text.as_str(), known.header("ETag")), ("", Some("W/\"1\"")));
    call("PUT", "If-Match", "W/\"1\"", &put).expect(200);
    call("PATCH", "If-Match", "W/\"2\"", &patch).expect(200);
    call("GET", "If-None-Match", "W/\"1\"", &Value::Null).expect(200);
    call("DELETE", "If-Match", "W/\"3\"", &Value::Null).expect(204);
}

// RFC 9865

/// Section 2.4.
#[test]
fn a_list_without_a_paging_parameter_is_paged_by_index() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let list = harness.get("/Users").expect(200).json();
    assert_eq!((&list["startIndex"], list.get("nextCursor")), (&json!(1), None));
}

/// Section 5.2.
#[test]
fn a_cursor_is_worth_nothing_without_the_right_to_read() {
    let harness = Harness::new();
    for name in ["a", "b", "c"] {
        harness.user(&format!("{name}@example.com"));
    }
    let list = harness.get("/Users?count=1&cursor=").expect(200).json();
    let cursor = list["nextCursor"].as_str().unwrap();
    let page = format!("/Users?count=1&cursor={cursor}");
    harness.get(&page).expect(200);
    let (_, stranger) = harness.neighbour("other");
    let theirs = harness.with_token(&stranger, "GET", &format!("/scim/v2{page}"), "");
    theirs.refused(400, Some("invalidCursor"), "does not belong to this query");
    let settings = harness.org.settings;
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, false, settings)).unwrap();
    harness.get(&page).refused(403, None, "activates");
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, true, settings)).unwrap();
    harness.get(&page).expect(200);
    let id = harness.token().split('_').nth(1).unwrap();
    harness.store.write(harness.now, |tx| tx.revoke_token(id)).unwrap();
    harness.get(&page).refused(401, None, "revoked");
}
