//! Forms next to those of `field.rs`: other letter case, another joint, two names for one value, and
//! what an organisation that is set to strict makes of them.

use plumm::store::tables::org::OrgSettings;
use serde_json::{Value, json};

use crate::harness::{Harness, encoded, user};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const ACME: &str = "urn:ietf:params:scim:schemas:extension:Acme:2.0:User";

fn strict() -> Harness {
    Harness::with(OrgSettings { strict: true, ..OrgSettings::default() })
}

fn at(resource: &Value) -> String {
    format!("/Users/{}", resource["id"].as_str().unwrap())
}

/// The members of a resource that are URNs.
fn extensions(resource: &Value) -> Vec<&str> {
    let names = resource.as_object().unwrap().keys().map(String::as_str);
    names.filter(|it| it.contains(':')).collect()
}

#[test]
fn a_dot_or_slash_behind_a_urn_that_nobody_registered_is_its_colon() {
    let harness = Harness::new();
    for joint in [".", "/", "::", ":/"] {
        let mut body = user("ida@example.com");
        body[format!("{ACME}{joint}devices")] = json!(["D1"]);
        let ida = harness.post("/Users", &body).expect(201).json();
        assert_eq!((extensions(&ida), &ida[ACME]), (vec![ACME], &json!({"devices": ["D1"]})));
        let name = format!("{ACME}{joint}devices");
        for operation in [
            json!({"op": "add", "path": name, "value": ["D2"]}),
            json!({"op": "add", "value": {name.as_str(): ["D2"]}}),
        ] {
            let after = harness.patch(&at(&ida), &json!([operation])).expect(200).json();
            assert_eq!(extensions(&after), [ACME], "{operation}");
            assert_eq!(after[ACME], json!({"devices": ["D1", "D2"]}), "{operation}");
        }
        assert_eq!(harness.count(&format!("{name} eq \"D2\"")), 1, "{joint}");
        harness.call("DELETE", &at(&ida), "").expect(204);
    }
    // So it is where the URN ends with the name of another type.
    let body = json!({"schemas": [GROUP], "displayName": "Team", format!("{ACME}.tag"): "t"});
    let team = harness.post("/Groups", &body).expect(201).json();
    assert_eq!((extensions(&team), &team[ACME]), (vec![ACME], &json!({"tag": "t"})));
}

#[test]
fn letter_case_says_nothing_below_a_urn_that_nobody_registered() {
    let harness = Harness::new();
    let lower = ACME.to_lowercase();
    let mut body = user("ida@example.com");
    body[ACME] = json!({"devices": ["D1"], "badge": "b1", "site": {"Floor": 1}});
    let ida = harness.post("/Users", &body).expect(201).json();
    for operation in [
        json!({"op": "add", "path": format!("{lower}:Devices"), "value": "D2"}),
        json!({"op": "add", "value": {format!("{ACME}:DEVICES"): ["D3"]}}),
        json!({"op": "add", "value": {lower.as_str(): {"DEVICES": ["D4"]}}}),
        json!({"op": "replace", "path": lower, "value": {"BADGE": "b2"}}),
        json!({"op": "replace", "path": format!("{ACME}:Site.floor"), "value": 2}),
    ] {
        harness.patch(&at(&ida), &json!([operation])).expect(200);
    }
    let after = harness.get(&at(&ida)).json();
    let expected =
        json!({"devices": ["D1", "D2", "D3", "D4"], "badge": "b2", "site": {"Floor": 2}});
    assert_eq!((extensions(&after), &after[ACME]), (vec![ACME], &expected));
    for name in [format!("{lower}:Badge"), format!("{ACME}.BADGE")] {
        let shown = harness.get(&format!("{}?attributes={name}", at(&ida))).json();
        assert_eq!(shown[ACME], json!({"badge": "b2"}), "{name}");
        let shown = harness.get(&format!("{}?excludedAttributes={name}", at(&ida))).json();
        assert_eq!(shown[ACME].get("badge"), None, "{name}");
        assert!(shown[ACME]["devices"].is_array(), "{name}");
    }
    let shown = harness.get(&format!("{}?attributes={lower}", at(&ida))).json();
    assert_eq!(shown[ACME], expected);
    // What is named by null is removed, under the name it has.
    let gone = json!([{"op": "remove", "path": format!("{lower}:SITE")},
        {"op": "replace", "value": {lower.as_str(): {"Badge": null}}}]);
    let after = harness.patch(&at(&ida), &gone).expect(200).json();
    assert_eq!(after[ACME], json!({"devices": ["D1", "D2", "D3", "D4"]}));
}

#[test]
fn an_extension_spelled_in_two_ways_is_one() {
    let harness = Harness::new();
    let lower = ACME.to_lowercase();
    let mut body = user("ida@example.com");
    body[format!("{ACME}:a")] = json!("1");
    body[format!("{lower}:b")] = json!("2");
    body[ACME] = json!({"c": "3"});
    body[format!("{ACME}:o.p")] = json!("4");
    body[format!("{ACME}:o.q")] = json!("5");
    let ida = harness.post("/Users", &body).expect(201).json();
    let all = json!({"a": "1", "b": "2", "c": "3", "o": {"p": "4", "q": "5"}});
    assert_eq!((extensions(&ida), &ida[ACME]), (vec![ACME], &all));
    // A PUT that names one of its attributes replaces it, whatever its spelling and value.
    let mut put = user("ida@example.com");
    put[format!("{lower}:b")] = json!("6");
    let after = harness.put(&at(&ida), &put).expect(200).json();
    assert_eq!((extensions(&after), &after[&lower]), (vec![lower.as_str()], &json!({"b": "6"})));
    put[format!("{lower}:b")] = Value::Null;
    assert!(extensions(&harness.put(&at(&ida), &put).expect(200).json()).is_empty());
}

#[test]
fn parts_of_one_value_under_two_names_are_put_together() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    body.as_object_mut().unwrap().remove("name");
    body[format!("{CORE}:name.givenName")] = json!("Ida");
    body["name.familyName"] = json!("Lee");
    body["name"] = json!({"middleName": "M"});
    let ida = harness.post("/Users", &body).expect(201).json();
    let expected = json!({"givenName": "Ida", "familyName": "Lee", "middleName": "M"});
    assert_eq!(ida["name"], expected);
    assert_eq!(harness.put(&at(&ida), &body).expect(200).json()["name"], expected);
}

#[test]
fn the_core_schema_as_an_object_is_the_resource_under_each_spelling() {
    let harness = Harness::new();
    for (i, urn) in [CORE.to_owned(), CORE.to_lowercase(), CORE.replace(":User", ".User")]
        .into_iter()
        .enumerate()
    {
        let name = format!("u{i}@example.com");
        let inner = json!({"userName": name, "title": "Dr"});
        let ida = harness.post("/Users", &json!({urn.as_str(): inner})).expect(201).json();
        assert_eq!((&ida["userName"], &ida["title"]), (&json!(name), &json!("Dr")));
        let mut put = user(&name);
        put.as_object_mut().unwrap().remove("active");
        put[&urn] = json!({"active": false});
        assert_eq!(harness.put(&at(&ida), &put).expect(200).json()["active"], false, "{urn}");
        let on = json!([{"op": "replace", "value": {urn.as_str(): {"active": true}}}]);
        assert_eq!(harness.patch(&at(&ida), &on).expect(200).json()["active"], true, "{urn}");
    }
}

#[test]
fn what_is_added_to_an_object_below_an_unregistered_urn_leaves_the_rest() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    body[ACME] = json!({"site": {"floor": 1}});
    let ida = harness.post("/Users", &body).expect(201).json();
    let add = json!([{"op": "add", "path": format!("{ACME}:site"), "value": {"room": 2}}]);
    let after = harness.patch(&at(&ida), &add).expect(200).json();
    assert_eq!(after[ACME], json!({"site": {"floor": 1, "room": 2}}));
    let set = json!([{"op": "replace", "path": format!("{ACME}:site"), "value": {"room": 3}}]);
    let after = harness.patch(&at(&ida), &set).expect(200).json();
    assert_eq!(after[ACME], json!({"site": {"room": 3}}));
}

#[test]
fn an_entry_without_a_value_is_not_the_primary_one_beside_one_that_has_a_value() {
    let harness = Harness::new();
    for empty in [json!({}), json!({"value": ""}), json!({"value": null})] {
        let mut one = empty.clone();
        one["type"] = "work".into();
        one["primary"] = true.into();
        let two = json!({"value": "ida@example.com", "type": "home", "primary": true});
        for emails in [json!([one, two]), json!([two, one])] {
            let mut body = user("ida@example.com");
            body["emails"] = emails;
            let ida = harness.post("/Users", &body).expect(201).json();
            let entries = ida["emails"].as_array().unwrap();
            let marked: Vec<_> = entries.iter().filter(|it| it["primary"] == true).collect();
            assert_eq!(marked.len(), 1, "{}", ida["emails"]);
            assert_eq!(marked[0]["value"], "ida@example.com");
            body["active"] = false.into();
            assert_eq!(harness.put(&at(&ida), &body).expect(200).json()["active"], false);
            harness.call("DELETE", &at(&ida), "").expect(204);
        }
    }
    // Addresses have no value of their own: what they say makes them the same.
    let address =
        |place: &str, kind: &str| json!({"locality": place, "type": kind, "primary": true});
    let mut body = user("eve@example.com");
    body["addresses"] = json!([address("Ulm", "work"), address("Bonn", "home")]);
    harness.post("/Users", &body).refused(400, Some("invalidValue"), "only one may be primary");
    body["addresses"] = json!([address("Ulm", "work"), address("Ulm", "home")]);
    let eve = harness.post("/Users", &body).expect(201).json();
    assert_eq!(eve["addresses"][1]["primary"], false);
}

#[test]
fn blanks_around_a_boolean_say_nothing() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    for (value, expected) in [(" False", false), ("TRUE ", true), (" 0 ", false), ("1\n", true)] {
        let set = json!([{"op": "replace", "path": "active", "value": value}]);
        assert_eq!(harness.patch(&at(&ida), &set).expect(200).json()["active"], expected);
    }
    let harness = strict();
    let ida = harness.user("ida@example.com");
    let set = json!([{"op": "replace", "path": "active", "value": " false"}]);
    harness.patch(&at(&ida), &set).refused(400, Some("invalidValue"), "takes true or false");
}

#[test]
fn an_unknown_name_behind_brackets_is_passed_over_without_a_path_too() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let value = json!({"emails[type eq \"work\"].shoe": "x", "active": false});
    let set = json!([{"op": "replace", "value": value}]);
    assert_eq!(harness.patch(&at(&ida), &set).expect(200).json()["active"], false);
    let path = json!([{"op": "replace", "path": "emails[type eq \"work\"].shoe", "value": "x"}]);
    harness.patch(&at(&ida), &path).refused(400, Some("invalidPath"), "no sub-attribute");
}

#[test]
fn an_extension_may_name_itself_in_a_schemas_of_its_own() {
    for harness in [Harness::new(), strict()] {
        let inner = json!({"schemas": [ENTERPRISE], "department": "d"});
        let mut body = json!({"schemas": [CORE, ENTERPRISE], "userName": "ida@example.com"});
        body[ENTERPRISE] = inner.clone();
        let ida = harness.post("/Users", &body).expect(201).json();
        assert_eq!(ida[ENTERPRISE], json!({"department": "d"}));
        let after = harness.put(&at(&ida), &body).expect(200).json();
        assert_eq!(after[ENTERPRISE], json!({"department": "d"}));
        let set = json!([{"op": "replace", "path": ENTERPRISE, "value": inner}]);
        let after = harness.patch(&at(&ida), &set).expect(200).json();
        assert_eq!(after[ENTERPRISE], json!({"department": "d"}));
    }
    let harness = strict();
    let ida = harness.user("ida@example.com");
    let other = json!({"schemas": [CORE], "department": "d"});
    let set = json!([{"op": "replace", "path": ENTERPRISE, "value": other}]);
    harness.patch(&at(&ida), &set).refused(400, Some("invalidSyntax"), "schemas");
}

#[test]
fn to_the_letter_a_list_is_sorted_by_what_a_schema_defines() {
    let target = format!("/Users?sortBy={}", encoded(&format!("{ACME}:badge")));
    Harness::new().get(&target).expect(200);
    strict().get(&target).refused(400, Some("invalidPath"), "no schema of these resources");
}

#[test]
fn a_group_is_no_member_of_itself_and_has_a_name() {
    for harness in [Harness::new(), strict()] {
        let body = json!({"schemas": [GROUP], "displayName": "Team"});
        let team = harness.post("/Groups", &body).expect(201).json();
        let at = format!("/Groups/{}", team["id"].as_str().unwrap());
        let itself = json!([{"value": team["id"]}]);
        let mut put = body.clone();
        put["members"] = itself.clone();
        let words = "cannot be a member of itself";
        harness.put(&at, &put).refused(400, Some("invalidValue"), words);
        let add = json!([{"op": "add", "path": "members", "value": itself}]);
        harness.patch(&at, &add).refused(400, Some("invalidValue"), words);
        for name in ["", " ", "\t\n"] {
            let mut body = body.clone();
            body["displayName"] = name.into();
            let words = "\"displayName\" is empty";
            harness.post("/Groups", &body).refused(400, Some("invalidValue"), words);
            harness.put(&at, &body).refused(400, Some("invalidValue"), words);
            let set = json!([{"op": "replace", "path": "displayName", "value": name}]);
            harness.patch(&at, &set).refused(400, Some("invalidValue"), words);
        }
        assert_eq!(harness.get(&at).json(), team);
    }
}

#[test]
fn a_version_stays_where_only_a_name_that_is_shown_changes() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let group = |name: &str, member: &Value| {
        let members = json!([{"value": member["id"]}]);
        let body = json!({"schemas": [GROUP], "displayName": name, "members": members});
        harness.post("/Groups", &body).expect(201).json()
    };
    let inner = group("Team", &ida);
    let version = |of: &Value| {
        harness
            .get(of["meta"]["location"].as_str().unwrap().split_once("/scim/v2").unwrap().1)
            .json()["meta"]["version"]
            .clone()
    };
    let before = (version(&ida), version(&inner));
    group("Nested", &inner);
    assert_eq!((version(&ida), version(&inner)), before);
    let rename = json!([{"op": "replace", "path": "displayName", "value": "New"}]);
    harness.patch(&format!("/Groups/{}", inner["id"].as_str().unwrap()), &rename).expect(200);
    assert_eq!(version(&ida), before.0);
    let before = version(&inner);
    harness.patch(&at(&ida), &rename).expect(200);
    assert_eq!(version(&inner), before);
    harness.call("DELETE", &at(&ida), "").expect(204);
    assert_ne!(version(&inner), before, "its member is gone");
}
