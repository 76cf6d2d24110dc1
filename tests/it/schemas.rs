//! Schemas that support registers for an organisation, what discovery tells, and the strict
//! setting.

use plumm::scim::schema::document::Schema;
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::harness::{Harness, encoded, user};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const URN: &str = "urn:example:scim:2.0:User";

fn badge_schema() -> Value {
    json!({
        "id": URN,
        "name": "Example",
        "attributes": [
            {"name": "badge", "type": "string", "uniqueness": "server"},
            {"name": "desk", "type": "integer", "uniqueness": "server"},
            {"name": "level", "type": "integer"},
            {"name": "remote", "type": "boolean"},
            {"name": "hired", "type": "dateTime", "mutability": "immutable"},
            {"name": "note", "returned": "request"},
            {"name": "kind", "returned": "always"},
            {"name": "pin", "mutability": "writeOnly"},
            {"name": "rank", "mutability": "readOnly"},
            {"name": "tags", "multiValued": true},
            {"name": "site", "type": "complex", "subAttributes": [
                {"name": "building"},
                {"name": "code", "returned": "request"},
                {"name": "key", "returned": "never"},
                {"name": "since", "mutability": "immutable"}
            ]}
        ]
    })
}

fn register(harness: &Harness, resource_type: &str, document: &Value) -> bool {
    let schema = Schema::of_extension(&document.to_string()).unwrap();
    let org = harness.org.key;
    harness.store.write(harness.now, |tx| tx.add_schema(org, resource_type, &schema)).unwrap()
}

fn harness() -> Harness {
    let harness = Harness::new();
    register(&harness, "User", &badge_schema());
    harness
}

fn with(user_name: &str, extension: &Value) -> Value {
    let mut user = user(user_name);
    user["schemas"] = json!([CORE, URN]);
    user[URN] = extension.clone();
    user
}

fn target(user: &Value) -> String {
    format!("/Users/{}", user["id"].as_str().unwrap())
}

#[test]
fn a_registered_schema_is_told_by_discovery() {
    let harness = harness();
    let document = harness.get(&format!("/Schemas/{}", URN.to_uppercase())).expect(200).json();
    assert_eq!(document["id"], URN);
    assert_eq!(document["attributes"][0]["returned"], "default");
    let location = format!("http://plumm.example/scim/v2/Schemas/{URN}");
    assert_eq!(document["meta"], json!({"resourceType": "Schema", "location": location}));
    let all = harness.get("/Schemas").expect(200).json();
    assert!(all["Resources"].as_array().unwrap().contains(&document));
    let user_type = harness.get("/ResourceTypes/User").expect(200).json();
    let extension = json!({"schema": URN, "required": false});
    assert!(user_type["schemaExtensions"].as_array().unwrap().contains(&extension));
    let group_type = harness.get("/ResourceTypes/Group").expect(200).json();
    assert_eq!(group_type["schemaExtensions"], json!([]));
    // Another organisation has none of it.
    let (_, token) = harness.neighbour("other");
    let other = harness.with_token(&token, "GET", &format!("/scim/v2/Schemas/{URN}"), "");
    other.refused(404, None, URN);
}

#[test]
fn every_urn_that_discovery_names_is_published_and_fetched_in_any_letter_case() {
    let harness = harness();
    let types = harness.get("/ResourceTypes").expect(200).json();
    for it in types["Resources"].as_array().unwrap() {
        assert_eq!(it["id"], it["name"]);
        let name = it["name"].as_str().unwrap();
        for name in [name.to_owned(), name.to_lowercase()] {
            assert_eq!(harness.get(&format!("/ResourceTypes/{name}")).expect(200).json(), *it);
        }
        assert_eq!(it["meta"]["resourceType"], "ResourceType");
        let endpoint = it["endpoint"].as_str().unwrap();
        harness.get(&format!("{endpoint}?count=0")).expect(200);
        let extensions = it["schemaExtensions"].as_array().unwrap();
        let urns = extensions.iter().map(|it| &it["schema"]).chain([&it["schema"]]);
        for urn in urns.map(|it| it.as_str().unwrap()) {
            for spelled in [urn.to_owned(), urn.to_uppercase(), urn.replace(':', "%3A")] {
                let found = harness.get(&format!("/Schemas/{spelled}")).expect(200).json();
                assert_eq!(found["id"], urn);
            }
        }
    }
    let all = harness.get("/Schemas").expect(200).json();
    for it in all["Resources"].as_array().unwrap() {
        let id = it["id"].as_str().unwrap();
        assert_eq!(it["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:Schema"]));
        assert_eq!(harness.get(&format!("/Schemas/{id}")).expect(200).json(), *it);
        let attributes: Vec<&Value> = it["attributes"].as_array().unwrap().iter().collect();
        let subs = attributes.iter().filter_map(|it| it["subAttributes"].as_array()).flatten();
        for attribute in attributes.iter().copied().chain(subs) {
            for text in ["name", "type", "description", "mutability", "returned", "uniqueness"] {
                assert!(attribute[text].is_string(), "{id} {text}: {attribute}");
            }
            assert!(attribute["multiValued"].is_boolean(), "{id}: {attribute}");
            assert!(attribute["required"].is_boolean(), "{id}: {attribute}");
            if attribute["type"] == "string" {
                assert!(attribute["caseExact"].is_boolean(), "{id}: {attribute}");
            }
        }
    }
    let names = |list: &Value| list["Resources"].as_array().unwrap().len();
    assert_eq!(all["totalResults"], names(&all));
    // The configuration says nothing that its schema does not define, and claims no profile.
    let config = harness.get("/ServiceProviderConfig").expect(200).json();
    let urn = config["schemas"][0].as_str().unwrap();
    let schema = harness.get(&format!("/Schemas/{urn}")).expect(200).json();
    for name in config.as_object().unwrap().keys().filter(|it| *it != "schemas" && *it != "meta") {
        let defined = schema["attributes"].as_array().unwrap();
        assert!(defined.iter().any(|it| it["name"] == name.as_str()), "{name}");
    }
    assert!(!config.to_string().contains("interopProfile"));
}

#[test]
fn a_running_server_notices_each_change_at_the_next_request() {
    let harness = Harness::new();
    harness.get(&format!("/Schemas/{URN}")).expect(404);
    assert!(!register(&harness, "User", &badge_schema()));
    harness.get(&format!("/Schemas/{URN}")).expect(200);
    let smaller = json!({"id": URN.to_uppercase(), "attributes": [{"name": "badge"}]});
    assert!(register(&harness, "Group", &smaller));
    let found = harness.get(&format!("/Schemas/{URN}")).expect(200).json();
    assert_eq!(found["attributes"].as_array().unwrap().len(), 1);
    assert_eq!(
        harness.get("/ResourceTypes/Group").json()["schemaExtensions"][0]["schema"],
        found["id"]
    );
    let removed = harness
        .store
        .write(harness.now, |tx| tx.remove_schema(harness.org.key, &URN.to_uppercase()));
    assert!(removed.unwrap());
    harness.get(&format!("/Schemas/{URN}")).expect(404);
    let access = harness.issue(Scope::Access);
    register(&harness, "User", &badge_schema());
    harness.with_token(&access, "GET", "/access/v1/users/nobody@x.y", "").expect(404);
}

#[test]
fn values_are_judged_by_the_schema() {
    let harness = harness();
    for (extension, words) in [
        (json!({"desk": "near the window"}), "a whole number"),
        (json!({"remote": "sometimes"}), "true or false"),
        (json!({"hired": "yesterday"}), "a time such as"),
        (json!("text"), "takes an object"),
    ] {
        let body = with("bad@example.com", &extension);
        harness.post("/Users", &body).refused(400, Some("invalidValue"), words);
    }
    let given = json!({"BADGE": "A1", "desk": "7", "remote": "True", "rank": 9, "tags": "x"});
    let created = harness.post("/Users", &with("bob@example.com", &given)).expect(201).json();
    let kept = json!({"badge": "A1", "desk": 7, "remote": true, "tags": ["x"]});
    assert_eq!(created[URN], kept);
    assert_eq!(created["schemas"], json!([CORE, URN]));
    let bob = target(&created);
    let add = json!([
        {"op": "add", "path": format!("{URN}:tags"), "value": ["y"]},
        {"op": "replace", "path": format!("{}:Site.Building", URN.to_uppercase()), "value": "B"},
        {"op": "replace", "path": URN, "value": {"level": 3, "unknown": 1}},
        {"op": "replace", "value": {format!("{URN}:remote"): false}}
    ]);
    let patched = harness.patch(&bob, &add).expect(200).json();
    let expected = json!({"badge": "A1", "desk": 7, "remote": false, "tags": ["x", "y"],
        "site": {"building": "B"}, "level": 3});
    assert_eq!(patched[URN], expected);
    let unknown = json!([{"op": "add", "path": format!("{URN}:unknown"), "value": 1}]);
    harness.patch(&bob, &unknown).refused(400, Some("invalidPath"), "names no attribute");
    let read_only = json!([{"op": "add", "path": format!("{URN}:rank"), "value": 1}]);
    harness.patch(&bob, &read_only).refused(400, Some("mutability"), "read-only");
}

#[test]
fn lists_are_filtered_and_sorted_by_its_attributes() {
    let harness = harness();
    for (name, level) in [("b@x.y", 2), ("c@x.y", 10), ("a@x.y", 1)] {
        let extension = json!({"level": level, "tags": [name], "badge": name, "pin": "1"});
        harness.post("/Users", &with(name, &extension)).expect(201);
    }
    harness.user("none@x.y");
    assert_eq!(harness.count(&format!("{URN}:level ge 2")), 2);
    assert_eq!(harness.count(&format!("{}:LEVEL eq 10", URN.to_uppercase())), 1);
    assert_eq!(harness.count("badge eq \"A@X.Y\""), 1);
    assert_eq!(harness.count(&format!("{URN}:tags eq \"b@x.y\"")), 1);
    assert_eq!(harness.count(&format!("not ({URN}:level pr)")), 1);
    for (filter, words) in [
        ("pin eq \"1\"", "never shown"),
        ("nothing eq 1", "no schema"),
        ("level eq \"x\"", "number"),
    ] {
        let filter = encoded(&format!("{URN}:{filter}"));
        let answer = harness.get(&format!("/Users?filter={filter}"));
        answer.refused(400, Some("invalidFilter"), words);
    }
    let filter = encoded("badge pr");
    let order = format!("sortBy={URN}:level&sortOrder=descending");
    let sorted = harness.get(&format!("/Users?filter={filter}&{order}"));
    let sorted = sorted.expect(200).json();
    assert_eq!(sorted["Resources"][0][URN]["level"], 10);
    assert_eq!(sorted["Resources"][1][URN]["level"], 2);
}

#[test]
fn what_is_returned_on_request_or_never_does_not_show_by_itself() {
    let harness = harness();
    let extension = json!({"note": "N", "kind": "K", "pin": "P", "badge": "B",
        "site": {"building": "1", "code": "C", "key": "S"}});
    let created = harness.post("/Users", &with("bob@example.com", &extension)).expect(201).json();
    let bob = target(&created);
    let usual = json!({"badge": "B", "kind": "K", "site": {"building": "1"}});
    assert_eq!(created[URN], usual);
    assert_eq!(harness.get(&bob).json()[URN], usual);
    assert_eq!(harness.get("/Users").json()["Resources"][0][URN], usual);
    let patched = harness.patch(&bob, &json!([{"op": "add", "path": "title", "value": "Dr"}]));
    assert_eq!(patched.expect(200).json()[URN], usual);
    let shown =
        |query: &str| harness.get(&format!("{bob}?{query}")).expect(200).json()[URN].clone();
    assert_eq!(shown("excludedAttributes=title"), usual);
    assert_eq!(shown(&format!("excludedAttributes={URN}")), json!({"kind": "K"}));
    assert_eq!(shown(&format!("excludedAttributes={URN}:kind")), usual);
    assert_eq!(shown("attributes=userName"), json!({"kind": "K"}));
    assert_eq!(shown(&format!("attributes={URN}:note")), json!({"note": "N", "kind": "K"}));
    assert_eq!(shown(&format!("attributes={URN}")), usual);
    let code = json!({"kind": "K", "site": {"code": "C"}});
    assert_eq!(shown(&format!("attributes={URN}:site.code")), code);
    assert_eq!(shown(&format!("attributes={URN}:pin")), json!({"kind": "K"}));
    let file = harness.store.read(|tx| tx.org("acme")).unwrap().unwrap();
    assert_eq!(file.schemas, 1);
}

#[test]
fn what_must_be_unique_is_refused_on_post_put_and_patch() {
    let harness = harness();
    let first = with("a@x.y", &json!({"badge": "B1", "desk": 7}));
    let first = harness.post("/Users", &first).expect(201).json();
    let id = first["id"].as_str().unwrap();
    let words = format!("{URN}:badge \"b1\" is already used by the User with the id {id}");
    let clash = with("b@x.y", &json!({"badge": "b1"}));
    harness.post("/Users", &clash).refused(409, Some("uniqueness"), &words);
    let second = harness.post("/Users", &with("b@x.y", &json!({"badge": "B2"}))).expect(201).json();
    harness.put(&target(&second), &clash).refused(409, Some("uniqueness"), &words);
    let desk = json!([{"op": "add", "path": format!("{URN}:desk"), "value": "7"}]);
    let words = format!("{URN}:desk 7 is already used");
    harness.patch(&target(&second), &desk).refused(409, Some("uniqueness"), &words);
    // Its own value, and no value, are in nobody's way.
    let own = json!([{"op": "replace", "path": format!("{URN}:badge"), "value": "b2"}]);
    harness.patch(&target(&second), &own).expect(200);
    for name in ["c@x.y", "d@x.y"] {
        harness.post("/Users", &with(name, &json!({"badge": "", "desk": null}))).expect(201);
    }
    harness.call("DELETE", &target(&first), "").expect(204);
    harness.patch(&target(&second), &desk).expect(200);
}

#[test]
fn what_is_immutable_keeps_its_value() {
    let harness = harness();
    let hired = json!({"hired": "2020-01-01T00:00:00Z", "level": 1, "site": {"since": "2020"}});
    let created = harness.post("/Users", &with("bob@example.com", &hired)).expect(201).json();
    let bob = target(&created);
    let put = harness.put(&bob, &user("bob@example.com")).expect(200).json();
    assert_eq!(put[URN], json!({"hired": "2020-01-01T00:00:00Z"}));
    let other = with("bob@example.com", &json!({"hired": "2021-01-01T00:00:00Z"}));
    harness.put(&bob, &other).refused(400, Some("mutability"), "hired");
    harness.put(&bob, &with("bob@example.com", &hired)).expect(200);
    let path = format!("{URN}:site.since");
    let since = json!([{"op": "replace", "path": path, "value": "2021"}]);
    harness.patch(&bob, &since).refused(400, Some("mutability"), "since");
    let gone = json!([{"op": "remove", "path": format!("{URN}:hired")}]);
    harness.patch(&bob, &gone).refused(400, Some("mutability"), "hired");
}

#[test]
fn a_required_attribute_is_asked_for_and_never_stands_in_the_way_of_a_deactivation() {
    let harness = Harness::new();
    let before = harness.post("/Users", &with("old@x.y", &json!({"level": "low"}))).expect(201);
    let old = target(&before.json());
    let schema = json!({"id": URN, "attributes": [
        {"name": "badge", "required": true}, {"name": "level", "type": "integer"},
        {"name": "hired", "mutability": "immutable"}]});
    register(&harness, "User", &schema);
    let lacking = with("new@x.y", &json!({"level": 1}));
    harness.post("/Users", &lacking).refused(400, Some("invalidValue"), &format!("{URN}:badge"));
    harness.user("without@x.y");
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    let patched = harness.patch(&old, &off).expect(200).json();
    assert_eq!((&patched["active"], &patched[URN]), (&json!(false), &json!({"level": "low"})));
    let new = harness.post("/Users", &with("new@x.y", &json!({"badge": "1", "hired": "now"})));
    let new = target(&new.expect(201).json());
    let mut put = user("new@x.y");
    put["active"] = false.into();
    let put = harness.put(&new, &put).expect(200).json();
    assert_eq!((&put["active"], &put[URN]["badge"]), (&json!(false), &json!("1")));
    let removal = json!([{"op": "remove", "path": format!("{URN}:badge")}]);
    harness.patch(&new, &removal).refused(400, Some("mutability"), "cannot be removed");
}

#[test]
fn data_outlives_its_schema_and_may_be_older() {
    let harness = Harness::new();
    let odd = URN.to_uppercase();
    let mut body = user("bob@example.com");
    body[&odd] = json!({"Badge": "A", "tags": "x", "level": "high", "pin": "1234"});
    let created = harness.post("/Users", &body).expect(201).json();
    let bob = target(&created);
    register(&harness, "User", &badge_schema());
    let asked = harness.get(&format!("{bob}?attributes={URN}")).expect(200).json();
    assert_eq!(asked[&odd], json!({"Badge": "A", "tags": "x", "level": "high"}));
    // As it is, but for what is never shown now.
    let shown = json!({"Badge": "A", "tags": "x", "level": "high"});
    assert_eq!(harness.get(&bob).expect(200).json()[&odd], shown);
    harness.count(&format!("{URN}:level gt 1 or {URN}:tags co \"x\" or {URN}:site.building pr"));
    harness.get(&format!("/Users?sortBy={URN}:level")).expect(200);
    let tag = json!([{"op": "add", "path": format!("{URN}:tags"), "value": "y"}]);
    let patched = harness.patch(&bob, &tag).expect(200).json();
    let kept = json!({"Badge": "A", "tags": ["x", "y"], "level": "high"});
    assert_eq!((&patched[URN], patched.get(&odd)), (&kept, None));
    assert_eq!(patched["schemas"], json!([CORE, URN]));
    harness.store.write(harness.now, |tx| tx.remove_schema(harness.org.key, URN)).unwrap();
    assert_eq!(harness.get(&bob).expect(200).json()[URN]["tags"], json!(["x", "y"]));
    let put = harness.put(&bob, &user("bob@example.com")).expect(200).json();
    assert_eq!(put[URN]["tags"], json!(["x", "y"]));
    // A URN that nobody registered goes on round-tripping beside it.
    let mut other = with("eve@example.com", &json!({"anything": {"at": ["all"]}}));
    other["urn:example:scim:2.0:User:more"] = json!({"x": 1});
    let other = harness.post("/Users", &other).expect(201).json();
    assert_eq!(other["urn:example:scim:2.0:User:more"], json!({"x": 1}));
}

#[test]
fn a_urn_that_begins_like_a_registered_one_is_told_from_it() {
    let harness = harness();
    let longer = format!("{URN}:extra");
    register(&harness, "User", &json!({"id": longer, "attributes": [{"name": "size"}]}));
    let mut body = user("bob@example.com");
    body[&longer] = json!({"size": "L"});
    body[format!("{URN}:free")] = json!({"x": "1"});
    harness.post("/Users", &body).expect(201);
    assert_eq!(harness.count(&format!("{longer}:size eq \"l\"")), 1);
    assert_eq!(harness.count(&format!("{URN}:free:x eq \"1\"")), 1);
}

#[test]
fn groups_have_extensions_too() {
    let harness = Harness::new();
    let urn = "urn:example:scim:2.0:Group";
    let attribute = json!({"name": "costCentre", "uniqueness": "server", "caseExact": true});
    register(&harness, "Group", &json!({"id": urn, "attributes": [attribute]}));
    let group = |name: &str, centre: &str| {
        json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group", urn],
            "displayName": name, urn: {"costCentre": centre}})
    };
    let first = harness.post("/Groups", &group("a", "C1")).expect(201).json();
    assert_eq!(first[urn], json!({"costCentre": "C1"}));
    harness.post("/Groups", &group("b", "c1")).expect(201);
    harness.post("/Groups", &group("c", "C1")).refused(409, Some("uniqueness"), "by the Group");
}

fn strict() -> Harness {
    let harness = Harness::with(OrgSettings { strict: true, ..OrgSettings::default() });
    register(&harness, "User", &badge_schema());
    harness
}

#[test]
fn a_strict_organisation_refuses_what_no_schema_defines() {
    let harness = strict();
    let created = harness.post("/Users", &with("bob@example.com", &json!({"level": 1})));
    let created = created.expect(201).json();
    let bob = target(&created);
    // What was answered can be sent back.
    harness.put(&bob, &created).expect(200);
    let bodies = [
        (json!({"shoeSize": 44}), "\"shoeSize\""),
        (json!({"name": {"nick": "B"}}), "\"name.nick\""),
        (json!({"emails": [{"value": "bob@example.com", "colour": "red"}]}), "\"emails.colour\""),
        (json!({"urn:example:other": {"x": 1}}), "\"urn:example:other\""),
        (json!({"urn:example:other:x": 1}), "\"urn:example:other:x\""),
        (json!({URN: {"shoe": 1}}), "User:shoe\""),
        (json!({URN: {"site": {"floor": 1}}}), "User:site:floor\""),
        (json!({"badge": "1"}), "\"badge\""),
        (json!({"schemas": [CORE, "urn:example:other"]}), "\"urn:example:other\""),
    ];
    for (more, words) in bodies {
        let mut body = user("bob@example.com");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        harness.post("/Users", &body).refused(400, Some("invalidSyntax"), words);
        harness.put(&bob, &body).refused(400, Some("invalidSyntax"), words);
    }
    let operations = [
        json!({"op": "replace", "value": {"active": false}}),
        json!({"op": "remove"}),
        json!({"op": "add", "path": "shoeSize", "value": 1}),
        json!({"op": "remove", "path": "shoeSize"}),
        json!({"op": "add", "path": "name.nick", "value": "B"}),
        json!({"op": "add", "path": "name", "value": {"nick": "B"}}),
        json!({"op": "add", "path": "emails[type eq \"work\"].colour", "value": "red"}),
        json!({"op": "add", "path": "emails", "value": [{"value": "a@b", "colour": "red"}]}),
        json!({"op": "add", "path": format!("{URN}:shoe"), "value": 1}),
        json!({"op": "add", "path": URN, "value": {"shoe": 1}}),
        json!({"op": "add", "path": "urn:example:other", "value": {"x": 1}}),
        json!({"op": "add", "path": "urn:example:other:x", "value": 1}),
    ];
    for it in operations {
        let words = if it.get("path").is_some() { "No schema" } else { "needs a \"path\"" };
        harness.patch(&bob, &json!([it])).refused(400, Some("invalidSyntax"), words);
    }
    for filter in ["urn:example:other:x eq 1", "active eq true and not (urn:example:other:x pr)"] {
        let answer = harness.get(&format!("/Users?filter={}", encoded(filter)));
        answer.refused(400, Some("invalidFilter"), "\"urn:example:other:x\"");
    }
    assert_eq!(harness.count(&format!("{URN}:level eq 1")), 1);
    let fine = json!([
        {"op": "replace", "path": "active", "value": false},
        {"op": "replace", "path": "name.givenName", "value": "B"},
        {"op": "replace", "path": "emails[type eq \"work\"].display", "value": "B"},
        {"op": "add", "path": URN, "value": {"level": 2, "site": {"building": "1"}}},
        {"op": "replace", "path": format!("{URN}:level"), "value": 3}
    ]);
    let patched = harness.patch(&bob, &fine).expect(200).json();
    assert_eq!((&patched["active"], &patched[URN]["level"]), (&json!(false), &json!(3)));
    let group = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "g", "members": [{"value": created["id"], "type": "User"}]});
    harness.post("/Groups", &group).expect(201);
    assert!(!harness.get("/ServiceProviderConfig").expect(200).text.contains("interop"));
}
