//! Resource types that support registers for an organisation: a resource of such a type is served
//! as a user or a group is, and nobody takes the one for the other.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use plumm::scim::identity::IdentityChanges;
use plumm::scim::schema::definitions::Definitions;
use plumm::scim::schema::document::Schema;
use plumm::scim::schema::own_type::OwnType;
use plumm::store::copies::check;
use plumm::store::tables::org::{Org, OrgSettings};
use serde_json::{Value, json};

use crate::cli::{Place, run};
use crate::harness::{Harness, encoded, user};

pub const GADGET: &str = "urn:test:scim:2.0:Gadget";
pub const OWNER: &str = "urn:test:scim:2.0:Owner";
const EXTRA: &str = "urn:test:scim:2.0:Extra";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const ROLE: &str = "urn:okta:scim:schemas:core:1.0:Role";

/// A type with every kind of attribute and every characteristic, and a required extension.
pub fn gadget() -> Value {
    json!({
        "resourceType": {
            "name": "Gadget",
            "endpoint": "/Gadgets",
            "schema": GADGET,
            "schemaExtensions": [
                {"schema": OWNER, "required": true},
                {"schema": EXTRA, "required": false},
                {"schema": ENTERPRISE, "required": false},
            ],
        },
        "schemas": [
            {"id": GADGET, "name": "Gadget", "attributes": [
                {"name": "serial", "required": true, "caseExact": true, "uniqueness": "server"},
                {"name": "displayName"},
                {"name": "model", "mutability": "immutable"},
                {"name": "colour"},
                {"name": "code", "caseExact": true},
                {"name": "on", "type": "boolean"},
                {"name": "weight", "type": "decimal"},
                {"name": "amount", "type": "integer"},
                {"name": "bought", "type": "dateTime"},
                {"name": "image", "type": "binary"},
                {"name": "manual", "type": "reference", "referenceTypes": ["external"]},
                {"name": "rank", "mutability": "readOnly"},
                {"name": "pin", "mutability": "writeOnly"},
                {"name": "note", "returned": "request"},
                {"name": "kind", "returned": "always"},
                {"name": "hidden", "returned": "never"},
                {"name": "tags", "multiValued": true},
                {"name": "codes", "multiValued": true, "caseExact": true},
                {"name": "sizes", "type": "integer", "multiValued": true},
                {"name": "prices", "type": "decimal", "multiValued": true},
                {"name": "dates", "type": "dateTime", "multiValued": true},
                {"name": "blobs", "type": "binary", "multiValued": true},
                {"name": "links", "type": "reference", "multiValued": true},
                {"name": "place", "type": "complex", "subAttributes": [
                    {"name": "row", "type": "integer"},
                    {"name": "name"},
                    {"name": "since", "type": "dateTime", "mutability": "immutable"},
                    {"name": "shelf", "returned": "request"},
                    {"name": "aliases", "multiValued": true},
                ]},
                {"name": "parts", "type": "complex", "multiValued": true, "subAttributes": [
                    {"name": "value"},
                    {"name": "type"},
                    {"name": "primary", "type": "boolean"},
                    {"name": "weight", "type": "decimal"},
                    {"name": "made", "type": "dateTime"},
                    {"name": "labels", "multiValued": true},
                ]},
            ]},
            {"id": OWNER, "attributes": [
                {"name": "owner", "required": true},
                {"name": "cost", "type": "decimal"},
                {"name": "marks", "multiValued": true, "caseExact": true},
            ]},
            {"id": EXTRA, "attributes": [{"name": "extra", "uniqueness": "server"}]},
        ],
    })
}

/// A gadget that has what is required.
pub fn a_gadget(serial: &str) -> Value {
    json!({"schemas": [GADGET, OWNER], "serial": serial, OWNER: {"owner": "mara"}})
}

pub fn role_type() -> Value {
    json!({
        "resourceType": {"name": "Role", "endpoint": "/Roles", "schema": ROLE},
        "schemas": [{"id": ROLE, "attributes": [{"name": "displayName", "required": true}]}],
    })
}

fn register_for(harness: &Harness, org: &Org, file: &Value) {
    let own = OwnType::of_file(&file.to_string()).unwrap();
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    own.judge(&builtin, &builtin, &[]).unwrap();
    harness.store.write(harness.now, |tx| tx.add_resource_type(org.key, &own)).unwrap();
}

pub fn register(harness: &Harness, file: &Value) {
    register_for(harness, &harness.org, file);
}

fn harness() -> Harness {
    let harness = Harness::new();
    register(&harness, &gadget());
    harness
}

fn at(resource: &Value) -> String {
    format!("/Gadgets/{}", resource["id"].as_str().unwrap())
}

fn ids(list: &Value) -> Vec<&str> {
    let resources = list["Resources"].as_array().unwrap();
    resources.iter().map(|it| it["serial"].as_str().unwrap()).collect()
}

#[test]
fn discovery_tells_of_it() {
    let harness = harness();
    let types = harness.get("/ResourceTypes").expect(200).json();
    assert_eq!(types["totalResults"], 3);
    let it = harness.get("/ResourceTypes/gadget").expect(200).json();
    assert_eq!(types["Resources"][2], it);
    assert_eq!((&it["id"], &it["name"]), (&json!("Gadget"), &json!("Gadget")));
    assert_eq!((&it["endpoint"], &it["schema"]), (&json!("/Gadgets"), &json!(GADGET)));
    assert_eq!(it["schemaExtensions"][0], json!({"schema": OWNER, "required": true}));
    assert_eq!(it["meta"]["resourceType"], "ResourceType");
    for urn in [GADGET, OWNER, EXTRA, ENTERPRISE] {
        let schema = harness.get(&format!("/Schemas/{}", urn.to_uppercase())).expect(200).json();
        assert_eq!(schema["id"], urn);
        assert_eq!(schema["attributes"][0]["type"], "string");
    }
    let all = harness.get("/Schemas").expect(200).json();
    let all = all["Resources"].as_array().unwrap();
    assert_eq!(all.iter().filter(|it| it["id"] == ENTERPRISE).count(), 1);
    harness.get("/Nothing").refused(404, None, "/Users, /Groups, /Gadgets");
}

#[test]
fn a_resource_is_created_read_replaced_patched_and_deleted() {
    let harness = harness();
    let mut body = a_gadget("S1");
    let more = json!({"externalId": "e1", "displayName": "Lamp", "model": "M", "on": "True",
        "weight": "1.5", "amount": 3, "bought": "2026-01-31T08:00:00Z", "image": "AAEC",
        "manual": "https://example.com/m", "rank": "9", "pin": "1", "note": "N", "kind": "K",
        "hidden": "H", "tags": "x", "sizes": [1, 2], "unknown": 1,
        "place": {"row": 1, "name": "A", "since": "2020-01-01T00:00:00Z", "shelf": "S"},
        "parts": [{"value": "p", "type": "t", "primary": true}],
        ENTERPRISE: {"department": "R&D"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let created = harness.post("/Gadgets", &body).expect(201);
    assert_eq!(created.header("ETag"), Some("W/\"1\""));
    let location = created.header("Location").unwrap().to_owned();
    let created = created.json();
    let path = at(&created);
    assert_eq!(location, format!("http://plumm.example/scim/v2{path}"));
    assert_eq!(created["meta"]["resourceType"], "Gadget");
    assert_eq!(created["schemas"], json!([GADGET, OWNER, ENTERPRISE]));
    assert_eq!((&created["on"], &created["weight"]), (&json!(true), &json!(1.5)));
    assert_eq!((&created["tags"], &created["kind"]), (&json!(["x"]), &json!("K")));
    for absent in ["rank", "pin", "note", "hidden", "unknown", "active"] {
        assert_eq!(created.get(absent), None, "{absent}");
    }
    assert_eq!(created["place"].get("shelf"), None);
    assert_eq!(harness.get(&path).expect(200).json(), created);
    let note = harness.get(&format!("{path}?attributes=note,place.shelf")).expect(200).json();
    assert_eq!((&note["note"], &note["kind"]), (&json!("N"), &json!("K")));
    assert_eq!(note["place"], json!({"shelf": "S"}));
    // RFC 7644 section 3.14.
    let if_match = |tag: &str, body: &str| {
        let bearer = format!("Bearer {}", harness.token());
        let headers = [("Authorization", bearer.as_str()), ("If-Match", tag)];
        harness.send("PUT", &format!("/scim/v2{path}"), &headers, body)
    };
    let replacement = a_gadget("S1").to_string();
    if_match("W/\"7\"", &replacement).refused(412, None, "version");
    let replaced = if_match("W/\"1\"", &replacement).expect(200).json();
    // What is immutable stays, what is not sent is cleared.
    assert_eq!((&replaced["model"], replaced.get("on")), (&json!("M"), None));
    assert_eq!(replaced.get("place"), None);
    let patched = harness.patch(
        &path,
        &json!([
            {"op": "add", "path": "tags", "value": ["a", "b"]},
            {"op": "replace", "path": "parts[type eq \"t\"].weight", "value": 2},
            {"op": "add", "path": "parts[type eq \"t\"].labels", "value": ["l"]},
            {"op": "add", "path": "parts[type eq \"t\"].labels", "value": ["L", "m"]},
            {"op": "replace", "path": format!("{OWNER}:cost"), "value": 7.25},
            {"op": "replace", "value": {format!("{GADGET}:colour"): "red"}},
            {"op": "add", "path": format!("{EXTRA}"), "value": {"extra": "E"}},
        ]),
    );
    let patched = patched.expect(200).json();
    assert_eq!((&patched["tags"], &patched["colour"]), (&json!(["a", "b"]), &json!("red")));
    assert_eq!(patched["parts"], json!([{"type": "t", "weight": 2, "labels": ["l", "m"]}]));
    assert_eq!(patched[OWNER], json!({"owner": "mara", "cost": 7.25}));
    assert_eq!(patched[EXTRA], json!({"extra": "E"}));
    assert_eq!(patched["meta"]["version"], "W/\"3\"");
    harness.call("DELETE", &path, "").expect(204);
    harness.get(&path).refused(404, None, "There is no Gadget");
    assert_eq!(harness.get("/Gadgets").expect(200).json()["totalResults"], 0);
}

#[test]
fn what_the_schemas_ask_for_is_asked_for() {
    let harness = harness();
    let with = |change: Value| {
        let mut body = a_gadget("S1");
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (change, words) in [
        (json!({"serial": null}), "\"serial\" is missing"),
        (json!({"serial": " "}), "\"serial\" is empty"),
        (json!({OWNER: null}), OWNER),
        (json!({OWNER: {"cost": 1}}), "Owner:owner\" is missing"),
        (json!({"on": "perhaps"}), "true or false"),
        (json!({"weight": "heavy"}), "a number"),
        (json!({"amount": 1.5}), "a whole number"),
        (json!({"bought": "yesterday"}), "a time such as"),
        (json!({"image": "?"}), "base64"),
        (json!({"manual": {"x": 1}}), "takes text"),
        (json!({"place": "here"}), "an object"),
        (json!({"sizes": ["x"]}), "a whole number"),
        (
            json!({"parts": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}),
            "more than one value",
        ),
    ] {
        harness.post("/Gadgets", &with(change)).refused(400, Some("invalidValue"), words);
    }
    let no_schema = with(json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}));
    let words = "does not name the schema of a Gadget";
    harness.post("/Gadgets", &no_schema).refused(400, Some("invalidSyntax"), words);
    let first = with(json!({"model": "M", EXTRA: {"extra": "e"}}));
    let first = harness.post("/Gadgets", &first).expect(201).json();
    harness.post("/Gadgets", &a_gadget("S1")).refused(409, Some("uniqueness"), "by the Gadget");
    // Its letter case counts, and that of the extension's does not.
    let other = harness.post("/Gadgets", &a_gadget("s1")).expect(201).json();
    let extra = json!([{"op": "add", "path": format!("{EXTRA}:extra"), "value": "E"}]);
    harness.patch(&at(&other), &extra).refused(409, Some("uniqueness"), "extra");
    for (path, value, scim_type) in [
        ("model", json!("N"), "mutability"),
        ("rank", json!("1"), "mutability"),
        ("place.depth", json!("1"), "invalidPath"),
        ("nothing", json!("1"), "invalidPath"),
    ] {
        let change = json!([{"op": "replace", "path": path, "value": value}]);
        let answer = harness.patch(&at(&first), &change);
        assert_eq!(answer.json()["scimType"], scim_type, "{path}: {}", answer.text);
    }
    for path in ["serial", OWNER, &format!("{OWNER}:owner")] {
        let change = json!([{"op": "remove", "path": path}]);
        harness.patch(&at(&first), &change).expect(400);
    }
    assert_eq!(harness.get(&at(&first)).json()[OWNER], json!({"owner": "mara"}));
}

#[test]
fn lists_are_filtered_sorted_paged_and_searched() {
    let harness = harness();
    for i in 0..7 {
        let mut body = a_gadget(&format!("S{i}"));
        body["amount"] = (7 - i).into();
        body["weight"] = json!(f64::from(i) / 2.0);
        body["on"] = (i % 2 == 0).into();
        body["tags"] = json!([format!("t{i}"), "all"]);
        body["displayName"] = format!("Name {i}").into();
        body["active"] = true.into();
        harness.post("/Gadgets", &body).expect(201);
    }
    harness.user("bob@example.com");
    let found = |filter: &str| {
        let list = harness.get(&format!("/Gadgets?filter={}", encoded(filter)));
        ids(&list.expect(200).json()).join(" ")
    };
    assert_eq!(found("serial eq \"S3\""), "S3");
    assert_eq!(found("serial eq \"s3\""), "");
    assert_eq!(found("displayName eq \"NAME 4\""), "S4");
    assert_eq!(found("amount ge 6 and on eq true"), "S0");
    assert_eq!(found("weight gt 2.4 or tags eq \"T1\""), "S1 S5 S6");
    assert_eq!(found(&format!("{GADGET}:tags eq \"all\" and not (on eq true)")), "S1 S3 S5");
    assert_eq!(found(&format!("{OWNER}:owner sw \"MA\" and amount lt 2")), "S6");
    assert_eq!(found("meta.resourceType eq \"Gadget\" and serial eq \"S2\""), "S2");
    for (filter, words) in
        [("pin eq \"1\"", "never shown"), ("userName pr", "no schema"), ("on gt true", "no order")]
    {
        let answer = harness.get(&format!("/Gadgets?filter={}", encoded(filter)));
        answer.refused(400, Some("invalidFilter"), words);
    }
    let sorted = harness.get("/Gadgets?sortBy=amount&count=3").expect(200).json();
    assert_eq!(ids(&sorted), ["S6", "S5", "S4"]);
    let page = harness.get("/Gadgets?startIndex=3&count=2").expect(200).json();
    assert_eq!((ids(&page), &page["totalResults"]), (vec!["S2", "S3"], &json!(7)));
    // By cursor, from one end to the other.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for _ in 0..4 {
        let page = harness.get(&format!("/Gadgets?cursor={cursor}&count=2")).expect(200).json();
        seen.extend(ids(&page).iter().map(|it| (*it).to_owned()));
        cursor = page["nextCursor"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!((seen.join(" ").as_str(), cursor.as_str()), ("S0 S1 S2 S3 S4 S5 S6", ""));
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "amount eq 2", "attributes": ["serial"]});
    for path in ["/Gadgets/.search", "/.search"] {
        let list = harness.post(path, &search).expect(200).json();
        assert_eq!(ids(&list), ["S5"], "{path}");
        assert_eq!(list["Resources"][0].get("amount"), None);
    }
    let all = harness.get("/").expect(200).json();
    assert_eq!(all["totalResults"], 8);
}

#[test]
fn bulk_makes_and_links_them() {
    let harness = harness();
    let group = "urn:ietf:params:scim:schemas:core:2.0:Group";
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {"schemas": [group],
                "displayName": "Desk", "members": [{"value": "bulkId:x"}]}},
            {"method": "POST", "path": "/Gadgets", "bulkId": "x", "data": a_gadget("S1")},
            {"method": "POST", "path": "/Gadgets", "bulkId": "y", "data": a_gadget("S1")},
            {"method": "PATCH", "path": "/Gadgets/bulkId:x", "data": {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "add", "path": "colour", "value": "red"}]}},
        ],
    });
    let answer = harness.post("/Bulk", &body).expect(200).json();
    let statuses: Vec<&Value> =
        answer["Operations"].as_array().unwrap().iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, ["201", "201", "409", "200"]);
    let gadget = harness.get("/Gadgets").json()["Resources"][0].clone();
    assert_eq!(gadget["colour"], "red");
    let group = harness.get("/Groups").json()["Resources"][0].clone();
    let member = &group["members"][0];
    assert_eq!((&member["value"], &member["type"]), (&gadget["id"], &json!("Gadget")));
    assert_eq!(member["$ref"], format!("http://plumm.example/scim/v2{}", at(&gadget)));
    let filter = encoded("members.type eq \"gadget\"");
    assert_eq!(harness.get(&format!("/Groups?filter={filter}")).json()["totalResults"], 1);
    // Whoever is deleted leaves the group.
    harness.call("DELETE", &at(&gadget), "").expect(204);
    assert_eq!(harness.get("/Groups").json()["Resources"][0].get("members"), Some(&json!([])));
}

#[test]
fn users_and_groups_are_not_taken_for_it() {
    let harness = harness();
    let bob = harness.user("bob@example.com");
    let bob = format!("/Users/{}", bob["id"].as_str().unwrap());
    for urn in [GADGET, OWNER, EXTRA] {
        let path = format!("{urn}:owner");
        let change = json!([{"op": "add", "path": path, "value": "x"}]);
        harness.patch(&bob, &change).refused(400, Some("invalidPath"), urn);
        let whole = json!([{"op": "add", "value": {urn: {"owner": "x"}}}]);
        harness.patch(&bob, &whole).refused(400, Some("invalidPath"), urn);
        let mut body = user("eve@example.com");
        body[urn] = json!({"owner": "x"});
        harness.post("/Users", &body).refused(400, Some("invalidSyntax"), urn);
        let filter = encoded(&format!("{path} eq \"x\""));
        harness.get(&format!("/Users?filter={filter}")).refused(400, Some("invalidFilter"), urn);
    }
    let gadget = harness.post("/Gadgets", &a_gadget("S1")).expect(201).json();
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    let change = json!([{"op": "add", "path": format!("{core}:title"), "value": "x"}]);
    harness.patch(&at(&gadget), &change).refused(400, Some("invalidPath"), core);
    // The Enterprise extension belongs to both.
    for path in [&bob, &at(&gadget)] {
        let change =
            json!([{"op": "add", "path": format!("{ENTERPRISE}:department"), "value": "R"}]);
        assert_eq!(harness.patch(path, &change).expect(200).json()[ENTERPRISE]["department"], "R");
    }
    // An id is one of its type.
    let id = gadget["id"].as_str().unwrap();
    for path in ["/Users", "/Groups"] {
        harness.get(&format!("{path}/{id}")).expect(404);
        harness.call("DELETE", &format!("{path}/{id}"), "").expect(404);
    }
    harness.get(&at(&json!({"id": bob.strip_prefix("/Users/")}))).expect(404);
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
}

#[test]
fn another_organisation_sees_nothing_of_it() {
    let harness = harness();
    let gadget = harness.post("/Gadgets", &a_gadget("S1")).expect(201).json();
    let (org, token) = harness.neighbour("other");
    let call = |method: &str, path: &str, body: &str| {
        harness.with_token(&token, method, &format!("/scim/v2{path}"), body)
    };
    let path = at(&gadget);
    for path in ["/Gadgets", &path, "/ResourceTypes/Gadget", &format!("/Schemas/{GADGET}")] {
        call("GET", path, "").expect(404);
    }
    call("POST", "/Gadgets", &a_gadget("S1").to_string()).expect(404);
    assert_eq!(call("GET", "/ResourceTypes", "").json()["totalResults"], 2);
    // Not even where it has a type of the same name.
    register_for(&harness, &org, &gadget_of_another());
    assert_eq!(call("GET", "/Gadgets", "").expect(200).json()["totalResults"], 0);
    call("GET", &path, "").expect(404);
    call("DELETE", &path, "").expect(404);
    harness.get(&path).expect(200);
}

fn gadget_of_another() -> Value {
    json!({
        "resourceType": {"name": "Gadget", "endpoint": "Gadgets", "schema": "urn:other:Gadget"},
        "schemas": [{"id": "urn:other:Gadget", "attributes": [{"name": "serial"}]}],
    })
}

#[test]
fn a_strict_organisation_takes_its_names_to_the_letter() {
    let harness = Harness::with(OrgSettings { strict: true, ..OrgSettings::default() });
    register(&harness, &gadget());
    let created = harness.post("/Gadgets", &a_gadget("S1")).expect(201).json();
    harness.put(&at(&created), &created).expect(200);
    let mut body = a_gadget("S2");
    body["shoeSize"] = 44.into();
    harness.post("/Gadgets", &body).refused(400, Some("invalidSyntax"), "\"shoeSize\"");
    let dotted = json!([{"op": "add", "path": format!("{GADGET}.colour"), "value": "red"}]);
    harness.patch(&at(&created), &dotted).expect(400);
    let lenient = self::harness();
    let created = lenient.post("/Gadgets", &a_gadget("S1")).expect(201).json();
    assert_eq!(lenient.patch(&at(&created), &dotted).expect(200).json()["colour"], "red");
}

/// What holds for accounts alone holds for nothing else that has an attribute of that name.
#[test]
fn the_rules_of_accounts_are_not_those_of_other_types() {
    let harness = Harness::new();
    let users = harness.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").json();
    let of_users = |name: &str| {
        let all = users["attributes"].as_array().unwrap();
        let mut found = all.iter().find(|it| it["name"] == name).unwrap().clone();
        found["required"] = false.into();
        found
    };
    let urn = "urn:test:Contact";
    register(
        &harness,
        &json!({
            "resourceType": {"name": "Contact", "endpoint": "Contacts", "schema": urn},
            "schemas": [{"id": urn, "attributes": [of_users("emails"), of_users("active")]}],
        }),
    );
    let body = json!({"schemas": [urn], "emails": [{"value": "a@x.y", "primary": true}]});
    let created = harness.post("/Contacts", &body).expect(201).json();
    assert_eq!(created.get("active"), None);
    let path = format!("/Contacts/{}", created["id"].as_str().unwrap());
    let body = json!({"schemas": [urn], "active": true, "emails": [{"value": "b@x.y"}]});
    assert_eq!(harness.put(&path, &body).expect(200).json()["emails"][0]["value"], "b@x.y");
    let found = |filter: &str| {
        let list = harness.get(&format!("/Contacts?filter={}", encoded(filter)));
        list.expect(200).json()["totalResults"].clone()
    };
    assert_eq!((found("emails eq \"B@x.y\""), found("active eq true")), (json!(1), json!(1)));
    let change = json!([{"op": "remove", "path": "active"}, {"op": "remove", "path": "emails"}]);
    let patched = harness.patch(&path, &change).expect(200).json();
    assert_eq!((patched.get("active"), patched.get("emails")), (None, None));
    assert_eq!((found("emails pr"), found("active pr")), (json!(0), json!(0)));
}

#[test]
fn a_type_with_members_is_a_kind_of_group() {
    let harness = Harness::new();
    let groups = harness.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group").json();
    let urn = "urn:ietf:params:scim:schemas:core:2.0:Team";
    register(
        &harness,
        &json!({
            "resourceType": {"name": "Team", "endpoint": "Teams", "schema": urn},
            "schemas": [{"id": urn, "attributes": groups["attributes"]}],
        }),
    );
    let bob = harness.user("bob@example.com");
    let body = json!({"schemas": [urn], "displayName": "T", "members": [{"value": bob["id"]}]});
    let team = harness.post("/Teams", &body).expect(201).json();
    assert_eq!(team["members"][0]["type"], "User");
    let bob = harness.get(&format!("/Users/{}", bob["id"].as_str().unwrap())).json();
    assert_eq!(bob["groups"][0]["value"], team["id"]);
    let path = format!("/Teams/{}", team["id"].as_str().unwrap());
    assert_eq!(bob["groups"][0]["$ref"], format!("http://plumm.example/scim/v2{path}"));
    let change = json!([{"op": "remove", "path": "members"}]);
    harness.patch(&path, &change).expect(200);
    assert_eq!(harness.count("groups pr"), 0);
}

#[test]
fn a_schema_extends_it_later() {
    let harness = harness();
    let created = harness.post("/Gadgets", &a_gadget("S1")).expect(201).json();
    let urn = "urn:test:scim:2.0:Later";
    let schema = json!({"id": urn, "attributes": [{"name": "later", "type": "integer"}]});
    let schema = Schema::of_extension(&schema.to_string()).unwrap();
    let org = harness.org.key;
    harness.store.write(harness.now, |tx| tx.add_schema(org, "Gadget", &schema)).unwrap();
    let listed = harness.get("/ResourceTypes/Gadget").json()["schemaExtensions"].clone();
    assert!(listed.as_array().unwrap().contains(&json!({"schema": urn, "required": false})));
    let change = json!([{"op": "add", "path": format!("{urn}:later"), "value": "7"}]);
    assert_eq!(harness.patch(&at(&created), &change).expect(200).json()[urn]["later"], 7);
    // A type may name the very same schema, and has it once.
    let mut again = gadget();
    let named = again["resourceType"]["schemaExtensions"].as_array_mut().unwrap();
    named.push(json!({"schema": urn.to_uppercase(), "required": true}));
    let own = OwnType::of_file(&again.to_string()).unwrap();
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    own.judge(&builtin, &builtin, &[Arc::new(schema)]).unwrap();
    harness.store.write(harness.now, |tx| tx.add_resource_type(org, &own)).unwrap();
    harness.post("/Gadgets", &a_gadget("S2")).refused(400, Some("invalidValue"), urn);
    let mut body = a_gadget("S2");
    body[urn] = json!({"later": 1});
    harness.post("/Gadgets", &body).expect(201);
    let all = harness.get("/Schemas").json();
    let all = all["Resources"].as_array().unwrap();
    assert_eq!(all.iter().filter(|it| it["id"] == urn).count(), 1);
}

/// A request that was judged by a type which is changed before it is written is not written: the
/// type may be gone.
#[test]
fn nothing_is_created_by_a_type_that_was_changed_meanwhile() {
    let harness = Harness::new();
    register(&harness, &role_type());
    let body = |i: usize| json!({"schemas": [ROLE], "displayName": format!("r{i}")});
    let refused = (0..50).any(|i| {
        let held = harness.hold_writes();
        thread::scope(|scope| {
            scope.spawn(|| register(&harness, &role_type()));
            thread::sleep(Duration::from_millis(20));
            let created = scope.spawn(|| harness.post("/Roles", &body(i)));
            thread::sleep(Duration::from_millis(20));
            drop(held);
            let answer = created.join().unwrap();
            assert!([201, 503].contains(&answer.status), "{}", answer.text);
            answer.status == 503 && answer.header("Retry-After").is_some()
        })
    });
    assert!(refused);
    harness.post("/Roles", &body(99)).expect(201);
}

#[test]
fn a_file_whose_types_are_damaged_is_not_whole() {
    let harness = Harness::new();
    register(&harness, &role_type());
    harness.post("/Roles", &json!({"schemas": [ROLE], "displayName": "r"})).expect(201);
    let faults = || {
        let database = harness.folder.database();
        check::check(&database, harness.folder.path()).unwrap().faults
    };
    assert_eq!(faults(), Vec::<String>::new());
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    let sql = "UPDATE resource_type SET document = '{\"resourceType\": {}}'";
    connection.execute(sql, []).unwrap();
    let found = faults();
    let says = "organisation 1: resource type Role: missing field";
    assert!(found.iter().any(|it| it.starts_with(says)), "{found:?}");
    connection.execute("DELETE FROM resource_type", []).unwrap();
    let says = "organisation 1 has 1 resources of type Role, and no such type".to_owned();
    assert!(faults().contains(&says), "{:?}", faults());
}

// The commands.

fn write(place: &Place, name: &str, file: &Value) {
    fs::write(place.folder.path().join(name), file.to_string()).unwrap();
}

#[test]
fn a_type_is_registered_listed_replaced_and_removed_beside_a_running_server() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = place.serve(&[]);
    let out = place.plumm(&["resource-type", "list", "acme"]);
    let expected = "Organisation acme has no resource type beside the built-in ones. To register \
                    one:\n  plumm resource-type add acme FILE\n";
    assert_eq!(out.succeeds(), expected);
    let out = place.plumm(&["resource-type", "list"]);
    assert!(out.succeeds().starts_with("There is no resource type"));
    assert_eq!(serving.get("/scim/v2/Roles", &token).0, 404);
    write(&place, "roles.json", &role_type());
    let out = place.plumm(&["resource-type", "add", "ACME", "roles.json"]);
    let expected = "Resource type Role of organisation acme is registered: it is served at \
                    /scim/v2/Roles.\n";
    assert_eq!(out.succeeds(), expected);
    assert_eq!(serving.get("/scim/v2/roles", &token).0, 200);
    // Again, from standard input.
    let mut command = place.command(&["resource-type", "add", "acme", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(role_type().to_string().as_bytes()).unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    let made: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&made["replaced"], &made["endpoint"]), (&json!(true), &json!("/Roles")));
    assert_eq!(made["document"]["resourceType"]["schemaExtensions"], json!([]));
    let body = json!({"schemas": [ROLE], "displayName": "Editor"}).to_string();
    let (status, made) = serving.send("POST", "/scim/v2/Roles", &token, &body);
    assert_eq!(status, 201);
    let out = place.plumm(&["resource-type", "list"]);
    let rows: Vec<&str> = out.succeeds().lines().collect();
    assert!(rows[0].starts_with("ORGANISATION  NAME  ENDPOINT  SCHEMA"), "{}", rows[0]);
    assert!(rows[1].starts_with("acme          Role  /Roles    urn:okta:"), "{}", rows[1]);
    assert_eq!(place.json(&["resource-type", "list", "acme"])[0]["resources"], 1);
    // While there are resources, the type and its core schema stay.
    let mut other = role_type();
    other["resourceType"]["schema"] = "urn:x:Role".into();
    other["schemas"][0]["id"] = "urn:x:Role".into();
    write(&place, "other.json", &other);
    place.plumm(&["resource-type", "add", "acme", "other.json"]).fails(
        "other.json is no resource type: there are resources of this type, and their core schema \
         is urn:okta:scim:schemas:core:1.0:Role: it cannot become urn:x:Role",
    );
    let remove = || place.plumm(&["resource-type", "remove", "acme", "ROLE"]);
    remove().fails(
        "organisation acme has 1 resource of type Role: delete them in the identity provider, or \
         with DELETE /scim/v2/Roles/{id}, and purge them, then remove the resource type",
    );
    let path = format!("/scim/v2/Roles/{}", made["id"].as_str().unwrap());
    assert_eq!(serving.send("DELETE", &path, &token, "").0, 204);
    remove().fails(
        "organisation acme keeps 1 resource of type Role that were deleted: `plumm resource-type \
         purge acme Role --yes` erases them for good, then remove the resource type",
    );
    let what = "this would erase 1 resource of type Role of organisation acme that were deleted, \
                for good: all their data, and what the log says of their values. Nothing brings \
                them back. Nothing has been erased yet";
    place
        .plumm(&["resource-type", "purge", "acme", "role"])
        .is_misuse(what, "plumm resource-type purge acme Role --yes");
    assert_eq!(place.json(&["resource-type", "purge", "acme", "Role", "--yes"])["purged"], 1);
    // A schema that extends it goes first.
    let extension = json!({"id": "urn:x:Extra", "attributes": [{"name": "extra"}]});
    write(&place, "extra.json", &extension);
    let add = ["schema", "add", "acme", "extra.json", "--resource-type", "role"];
    assert_eq!(place.json(&add)["resource_type"], "Role");
    remove().fails(
        "the schema urn:x:Extra extends the resource type Role: take it away first with `plumm \
         schema remove acme urn:x:Extra`",
    );
    // One that the type names cannot go before it.
    let mut naming = role_type();
    naming["resourceType"]["schemaExtensions"] = json!([{"schema": "urn:x:Extra"}]);
    write(&place, "naming.json", &naming);
    place.plumm(&["resource-type", "add", "acme", "naming.json"]).succeeds();
    place.plumm(&["schema", "remove", "acme", "urn:x:Extra"]).fails(
        "the resource type Role names the schema urn:x:Extra: replace or remove the resource type \
         first",
    );
    place.plumm(&["resource-type", "add", "acme", "roles.json"]).succeeds();
    place.plumm(&["schema", "remove", "acme", "urn:x:Extra"]).succeeds();
    write(&place, "taken.json", &json!({"id": ROLE, "attributes": [{"name": "extra"}]}));
    place.plumm(&["schema", "add", "acme", "taken.json"]).fails(
        "the schema urn:okta:scim:schemas:core:1.0:Role came with the resource type Role, and is \
         changed there",
    );
    let expected = "Resource type Role of organisation acme is removed: there is nothing at \
                    /scim/v2/Roles any more.\n";
    assert_eq!(remove().succeeds(), expected);
    assert_eq!(serving.get("/scim/v2/Roles", &token).0, 404);
    remove().fails(
        "organisation acme has no resource type ROLE of its own: `plumm resource-type list acme` \
         shows those it has",
    );
    place
        .plumm(&["resource-type", "remove", "acme", "user"])
        .fails("the resource type User is built in: it is not an organisation's own");
    let checked = place.json(&["check"]);
    assert_eq!((&checked["whole"], &checked["faults"]), (&json!(true), &json!([])));
    // Nothing of it is left in the file.
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    for table in ["resource", "resource_count", "resource_type", "schema"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    let sql = "SELECT group_concat(method) FROM provisioning_log WHERE type = 'Role' ORDER BY seq";
    let methods: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(methods, "POST,DELETE,purge");
    let sql = "SELECT count(*) FROM provisioning_log WHERE changes LIKE '%Editor%'";
    assert_eq!(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn each_file_that_is_no_resource_type_is_refused_with_its_fault() {
    let place = Place::with_acme();
    let attempt = |text: &str| {
        fs::write(place.folder.path().join("t.json"), text).unwrap();
        place.plumm(&["resource-type", "add", "acme", "t.json"])
    };
    let refuse = |text: &str, sentence: &str| {
        attempt(text).fails(&format!("t.json is no resource type: {sentence}"));
    };
    place
        .plumm(&["resource-type", "add", "acme", "none.json"])
        .fails("the file none.json cannot be read: No such file or directory (os error 2)");
    run(place.command(&["resource-type", "add", "acme", "-"])).fails(
        "standard input is no resource type: it is not JSON (EOF while parsing a value at line 1 \
         column 0)",
    );
    refuse(&" ".repeat(256 * 1024 + 1), "it is longer than 256 KiB");
    refuse("[]", "it is JSON, but no object with \"resourceType\" and \"schemas\"");
    refuse(
        r#"{"resourceType": {"name": "A", "endpoint": "/A", "name": "B"}, "schemas": []}"#,
        "in it \"resourceType.name\" stands twice; give it once",
    );
    let no_type = "it has no \"resourceType\", an object as /ResourceTypes shows them";
    refuse("{}", no_type);
    refuse(r#"{"resourceType": "Role"}"#, no_type);
    refuse(
        r#"{"schema": []}"#,
        "the file has \"schema\", which RFC 7643 does not know; it may have resourceType, schemas",
    );

    // What is wrong with the resource type.
    let refuse_changed = |pointer: &str, value: Value, sentence: &str| {
        let mut file = role_type();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = file.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.insert(name.to_owned(), value);
        refuse(&file.to_string(), sentence);
    };
    for name in ["name", "endpoint", "schema"] {
        let pointer = format!("/resourceType/{name}");
        refuse_changed(&pointer, Value::Null, &format!("the resource type has no \"{name}\""));
        let sentence = format!("the resource type has a \"{name}\" that is no text");
        refuse_changed(&pointer, 1.into(), &sentence);
    }
    let plain = "is not one plain word: a letter, then letters, digits, \"-\" and \"_\", at most 64 \
                 characters";
    let long = "a".repeat(65);
    for bad in ["", "a b", "1a", "a/b", "..", "ä", "a%", "a:b", "a.b", &long] {
        for member in ["name", "endpoint"] {
            let sentence = format!("the {member} \"{bad}\" {plain}");
            refuse_changed(&format!("/resourceType/{member}"), bad.into(), &sentence);
        }
    }
    for bad in [
        "Bulk",
        "me",
        "SCHEMAS",
        "ResourceTypes",
        "ServiceProviderConfig",
        "serviceproviderconfigs",
        ".search",
    ] {
        let sentence = format!("the endpoint \"{bad}\" belongs to SCIM itself; choose another");
        refuse_changed("/resourceType/endpoint", format!("/{bad}").into(), &sentence);
    }
    refuse_changed(
        "/resourceType/name",
        "schema".into(),
        "the name \"schema\" belongs to SCIM itself; choose another",
    );
    refuse_changed(
        "/resourceType/name",
        "user".into(),
        "the name \"user\" is taken: there is a resource type User. Choose another",
    );
    refuse_changed(
        "/resourceType/endpoint",
        "groups".into(),
        "the endpoint \"/groups\" is taken by the resource type Group. Choose another",
    );
    refuse_changed(
        "/resourceType/id",
        "Other".into(),
        "the resource type has an \"id\" that is not its name; leave it out",
    );
    refuse_changed(
        "/resourceType/schemas",
        json!(["x"]),
        "\"schemas\" of the resource type does not name \
         urn:ietf:params:scim:schemas:core:2.0:ResourceType",
    );
    refuse_changed(
        "/resourceType/colour",
        "red".into(),
        "the resource type has \"colour\", which RFC 7643 does not know; it may have schemas, id, \
         name, description, endpoint, schema, schemaExtensions, meta",
    );

    // What is wrong with its schemas.
    let none = "it has no \"schemas\", an array of schemas as /Schemas shows them";
    refuse_changed("/schemas", Value::Null, none);
    refuse_changed("/schemas", json!({}), none);
    let missing =
        format!("the core schema {ROLE} is not among \"schemas\": it comes in the same file");
    refuse_changed("/schemas", json!([]), &missing);
    let many: Vec<Value> = (0..11).map(|i| json!({"id": format!("urn:x:{i}")})).collect();
    refuse_changed("/schemas", many.into(), "it has more than 10 schemas");
    refuse_changed(
        "/schemas",
        json!([{"attributes": []}]),
        "number 1 of \"schemas\" is none: it has no \"id\", which is the URN of the schema",
    );
    refuse_changed(
        "/schemas",
        json!([{"id": ROLE, "attributes": [{"name": "a", "type": "text"}]}]),
        &format!(
            "the schema {ROLE} is none: the attribute \"a\" has the type \"text\"; it must be \
             string, boolean, decimal, integer, dateTime, binary, reference, complex"
        ),
    );
    refuse_changed(
        "/schemas",
        json!([{"id": ROLE, "description": "x".repeat(64 * 1024), "attributes": [{"name": "a"}]}]),
        &format!("the schema {ROLE} is longer than 64 KiB"),
    );
    let core = json!({"id": ROLE, "attributes": [{"name": "a"}]});
    let twice = json!({"id": ROLE.replace(":1.0:", ":1:0:"), "attributes": [{"name": "a"}]});
    refuse_changed(
        "/schemas",
        json!([core, twice]),
        &format!("the schemas {ROLE} and {} have one URN", twice["id"].as_str().unwrap()),
    );
    refuse_changed(
        "/schemas",
        json!([core, {"id": "urn:x:Stray", "attributes": [{"name": "a"}]}]),
        "the schema urn:x:Stray is in the file, and the resource type names it neither as its \
         \"schema\" nor in \"schemaExtensions\"",
    );
    // The URN of a core schema: in the room of SCIM's own, when it is new there.
    let with_core = |urn: &str, attributes: Value| {
        json!({
            "resourceType": {"name": "Device", "endpoint": "Devices", "schema": urn},
            "schemas": [{"id": urn, "attributes": attributes}],
        })
        .to_string()
    };
    let name = json!([{"name": "a"}]);
    for urn in [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:core:2.0.USER",
        "urn:ietf:params:scim:schemas:core:2.0:Schema",
    ] {
        let out = attempt(&with_core(urn, name.clone()));
        assert!(out.err.contains("is not its own: there is urn:ietf:params:scim"), "{}", out.err);
        assert!(out.err.ends_with("a core schema needs a URN of its own\n"), "{}", out.err);
    }
    for urn in [
        "urn:ietf:params:scim:api:messages:2.0:Error",
        "urn:scim:schemas:core:1.0",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Device",
        "urn:plumm:x",
    ] {
        refuse(
            &with_core(urn, name.clone()),
            &format!(
                "the schema {urn} is none: the id \"{urn}\" belongs to SCIM or to plumm itself; \
                 choose a URN of your own"
            ),
        );
    }
    let new = "urn:ietf:params:scim:schemas:core:2.0:Device";
    attempt(&with_core(new, name.clone())).succeeds();

    // Names of attributes that have a meaning already.
    for taken in ["id", "externalId", "META"] {
        refuse(
            &with_core("urn:x:Device", json!([{"name": taken}])),
            &format!(
                "the attribute \"{taken}\" of the core schema is one that every resource has: \
                 leave it out"
            ),
        );
    }
    refuse(
        &with_core("urn:x:Device", json!([{"name": "username"}])),
        "the attribute \"username\" of the core schema would make accounts of its resources, and \
         accounts are Users: give it another name",
    );
    for (attribute, meant, of) in [
        (json!({"name": "displayname"}), "displayName", "User"),
        (json!({"name": "displayName", "caseExact": true}), "displayName", "User"),
        (json!({"name": "displayName", "multiValued": true}), "displayName", "User"),
        (json!({"name": "displayName", "returned": "request"}), "displayName", "User"),
        (json!({"name": "active"}), "active", "User"),
        (json!({"name": "members", "multiValued": true}), "members", "Group"),
        (json!({"name": "groups"}), "groups", "User"),
    ] {
        let name = attribute["name"].as_str().unwrap();
        refuse(
            &with_core("urn:x:Device", json!([attribute])),
            &format!(
                "the attribute \"{name}\" of the core schema has a meaning in plumm: give it \
                 another name, or define \"{meant}\" as the schema \
                 urn:ietf:params:scim:schemas:core:2.0:{of} has it"
            ),
        );
    }

    // What is wrong with its extensions.
    let extensions = "/resourceType/schemaExtensions";
    refuse_changed(extensions, json!({}), "\"schemaExtensions\" is no array");
    refuse_changed(extensions, json!(["x"]), "number 1 of \"schemaExtensions\" is no object");
    refuse_changed(
        extensions,
        json!([{"required": true}]),
        "number 1 of \"schemaExtensions\" has no \"schema\", which is a URN",
    );
    refuse_changed(
        extensions,
        json!([{"schema": "urn:x:y", "required": "yes"}]),
        "number 1 of \"schemaExtensions\" has a \"required\" that is neither true nor false",
    );
    refuse_changed(
        extensions,
        json!([{"schema": ROLE}]),
        &format!("the core schema {ROLE} stands among \"schemaExtensions\""),
    );
    refuse_changed(
        extensions,
        json!([{"schema": ENTERPRISE}, {"schema": ENTERPRISE.to_uppercase()}]),
        &format!("the extension {} is named twice", ENTERPRISE.to_uppercase()),
    );
    let many: Vec<Value> = (0..21).map(|i| json!({"schema": format!("urn:x:{i}")})).collect();
    refuse_changed(extensions, many.into(), "it names more than 20 extensions");
    for urn in ["urn:x:unknown", "urn:ietf:params:scim:schemas:core:2.0:User", new] {
        refuse_changed(
            extensions,
            json!([{"schema": urn}]),
            &format!(
                "the extension {urn} is unknown: bring its schema along in \"schemas\", or \
                 register it first with `plumm schema add`"
            ),
        );
    }

    // Beside the one that was registered.
    refuse(
        &with_core(new, name.clone()).replace("\"Device\"", "\"device\""),
        "there is a resource type Device: spell the name so to replace it, or choose another",
    );
    refuse_changed(
        "/resourceType/endpoint",
        "/devices".into(),
        "the endpoint \"/devices\" is taken by the resource type Device. Choose another",
    );
    let mut file: Value = serde_json::from_str(&with_core(new, name)).unwrap();
    for i in 1..20 {
        let urn = format!("urn:x:T{i}");
        file["resourceType"] =
            json!({"name": format!("T{i}"), "endpoint": format!("T{i}"), "schema": urn});
        file["schemas"][0]["id"] = urn.into();
        attempt(&file.to_string()).succeeds();
    }
    attempt(&role_type().to_string())
        .fails("organisation acme has 20 resource types, and more are not kept: remove one first");
    place
        .plumm(&["resource-type", "list", "acm"])
        .fails("there is no organisation acm: the only one here is acme");
}

/// The files of the documentation: what stands in a block of JSON with a resource type.
fn documented() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/own-attributes.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```json\n").skip(1).filter_map(|it| it.split("```").next());
    let mut types = blocks.filter(|it| it.contains("\"resourceType\""));
    serde_json::from_str(types.next().unwrap()).unwrap()
}

/// What Okta does with an app that has entitlements, and the assertions of its test suite for them.
#[test]
fn okta_discovers_roles_and_entitlements() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = place.serve(&[]);
    let roles = documented();
    write(&place, "roles.json", &roles);
    place.plumm(&["resource-type", "add", "acme", "roles.json"]).succeeds();
    let urn = "urn:okta:scim:schemas:core:1.0:Entitlement";
    let entitlements = json!({
        "resourceType": {"name": "Entitlement", "endpoint": "/Entitlements", "schema": urn},
        "schemas": [{"id": urn, "attributes": [
            {"name": "displayName", "required": true}, {"name": "type", "required": true},
            {"name": "description"}]}],
    });
    write(&place, "entitlements.json", &entitlements);
    place.plumm(&["resource-type", "add", "acme", "entitlements.json"]).succeeds();
    let get = |path: &str| {
        let (status, text) = serving.get(&format!("/scim/v2{path}"), &token);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let types = get("/ResourceTypes");
    let endpoints: Vec<&Value> =
        types["Resources"].as_array().unwrap().iter().map(|it| &it["endpoint"]).collect();
    assert_eq!(endpoints, ["/Users", "/Groups", "/Roles", "/Entitlements"]);
    get("/Schemas/urn:example:scim:2.0:Role");
    let role = json!({"schemas": [ROLE, "urn:example:scim:2.0:Role"], "displayName": "Editor",
        "urn:example:scim:2.0:Role": {"code": "ED", "seats": 5}});
    let entitlement = json!({"schemas": [urn], "displayName": "Export", "type": "Licence"});
    for (endpoint, body) in [("/Roles", role), ("/Entitlements", entitlement)] {
        let empty = get(&format!("{endpoint}?count=1&startIndex=1"));
        assert_eq!((&empty["totalResults"], &empty["itemsPerPage"]), (&json!(0), &json!(0)));
        for i in 0..2 {
            let mut body = body.clone();
            body["displayName"] = format!("{} {i}", body["displayName"]).into();
            if i == 1 {
                body.as_object_mut().unwrap().remove("urn:example:scim:2.0:Role");
            }
            let made =
                serving.send("POST", &format!("/scim/v2{endpoint}"), &token, &body.to_string());
            assert_eq!(made.0, 201, "{}", made.1);
        }
        let page = get(&format!("{endpoint}?count=1&startIndex=1"));
        let list = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
        assert_eq!(page["schemas"], json!([list]));
        assert_eq!((&page["startIndex"], &page["itemsPerPage"]), (&json!(1), &json!(1)));
        assert_eq!(page["totalResults"], 2);
        assert!(page["Resources"][0]["id"].is_string());
    }
}
