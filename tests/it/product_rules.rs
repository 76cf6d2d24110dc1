//! The twelve product rules, each on every path that could break it.

use plumm::scim::identity::{IdentityChanges, UsernameFormat};
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::resource::{Kind, State};
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::harness::{Harness, user};

fn target(user: &Value) -> String {
    format!("/Users/{}", user["id"].as_str().unwrap())
}

fn may_log_in(harness: &Harness, user_name: &str) -> u16 {
    let token = harness.issue(Scope::Access);
    harness.with_token(&token, "GET", &format!("/access/v1/users/{user_name}"), "").status
}

#[test]
fn provisioning_waits_for_activation() {
    let harness = Harness::new();
    let settings = OrgSettings::default();
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, false, settings)).unwrap();
    for (method, path) in [
        ("GET", "/Users?startIndex=1&count=2"),
        ("POST", "/Users"),
        ("GET", "/ServiceProviderConfig"),
        ("PATCH", "/Users/1"),
        ("GET", "/nowhere"),
        ("DELETE", "/Schemas"),
    ] {
        let answer = harness.call(method, path, &user("bob@example.com").to_string());
        answer.refused(403, None, "Plumm Support activates provisioning");
    }
    // The token itself is judged first.
    harness.with_token("plm_a_b", "GET", "/scim/v2/Users", "").refused(401, None, "API token");
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, true, settings)).unwrap();
    harness.get("/Users").expect(200);
}

#[test]
fn tokens_are_hashed_and_several_are_valid_until_revoked_or_expired() {
    let harness = Harness::new();
    let second = harness.issue(Scope::Scim);
    for token in [harness.token(), &second] {
        harness.with_token(token, "GET", "/scim/v2/Users", "").expect(200);
    }
    let file = std::fs::read(harness.folder.database()).unwrap();
    let wal = std::fs::read(harness.folder.path().join("plumm.db-wal")).unwrap_or_default();
    for token in [harness.token(), &second] {
        let secret = token.rsplit('_').next().unwrap().as_bytes();
        for bytes in [&file, &wal] {
            assert!(!bytes.windows(secret.len()).any(|it| it == secret));
        }
    }
    let tokens = harness.store.read(|tx| tx.tokens(harness.org.key)).unwrap();
    assert!(tokens.iter().all(|it| it.hash.starts_with("$argon2id$")));
    let id = second.split('_').nth(1).unwrap();
    assert!(harness.store.write(harness.now, |tx| tx.revoke_token(id)).unwrap());
    let answer = harness.with_token(&second, "GET", "/scim/v2/Users", "");
    answer.refused(401, None, "was revoked on 2026-01-31");
    harness.get("/Users").expect(200);
}

#[test]
fn the_credentials_test_is_a_whole_list() {
    let harness = Harness::new();
    for total in 0..4 {
        let list = harness.get("/Users?startIndex=1&count=2").expect(200).json();
        let page = list["Resources"].as_array().unwrap();
        assert_eq!(page.len(), total.min(2));
        assert_eq!(list["itemsPerPage"], json!(page.len()));
        assert_eq!((&list["totalResults"], &list["startIndex"]), (&json!(total), &json!(1)));
        harness.user(&format!("u{total}@example.com"));
    }
}

#[test]
fn the_lookup_finds_the_account_to_link_active_or_not() {
    let harness = Harness::new();
    assert_eq!(harness.count("userName eq \"bob@example.com\""), 0);
    let bob = harness.user("bob@example.com");
    assert_eq!(harness.count("userName eq \"BOB@EXAMPLE.COM\""), 1);
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    harness.patch(&target(&bob), &off).expect(200);
    let list =
        harness.get("/Users?filter=userName+eq+%22bob%40example.com%22&startIndex=1&count=100");
    let found = list.expect(200).json()["Resources"][0].clone();
    assert_eq!((&found["id"], &found["active"]), (&bob["id"], &json!(false)));
}

#[test]
fn profile_updates_by_put_and_patch() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let mut profile = bob.clone();
    profile["name"]["familyName"] = "Changed".into();
    harness.put(&target(&bob), &profile).expect(200);
    let title = json!([{"op": "Add", "path": "title", "value": "Dr"}]);
    let changed = harness.patch(&target(&bob), &title).expect(200).json();
    assert_eq!(changed["name"]["familyName"], "Changed");
    assert_eq!(changed["title"], "Dr");
    assert_eq!(harness.get(&target(&bob)).json(), changed);
}

/// Every way to say another userName or primary address.
#[test]
fn the_username_and_the_email_address_cannot_be_modified() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    let home = json!({"value": "bob@home.example", "type": "home"});
    body["emails"].as_array_mut().unwrap().push(home);
    let bob = harness.post("/Users", &body).expect(201).json();
    let at = target(&bob);
    let with = |name: &str, value: Value| {
        let mut body = bob.clone();
        body[name] = value;
        body["title"] = "must not be applied".into();
        body
    };
    let other = json!([{"value": "eve@example.com", "primary": true, "type": "work"}]);
    let turned = json!([{"value": "bob@example.com", "type": "work"},
        {"value": "bob@home.example", "type": "home", "primary": true}]);
    let puts = [
        with("userName", "eve@example.com".into()),
        with("emails", other.clone()),
        with("emails", turned.clone()),
        with("emails", json!([{"value": "bob@home.example"}])),
        with("emails", json!({"value": "eve@example.com"})),
    ];
    for body in puts {
        harness.put(&at, &body).refused(400, Some("mutability"), "Okta");
    }
    let title = json!({"op": "replace", "path": "title", "value": "must not be applied"});
    let patches = [
        json!({"op": "replace", "path": "userName", "value": "eve@example.com"}),
        json!({"op": "add", "path": "userName", "value": "eve@example.com"}),
        json!({"op": "replace", "value": {"userName": "eve@example.com"}}),
        json!({"op": "Replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:userName",
            "value": "eve@example.com"}),
        json!({"op": "remove", "path": "userName"}),
        json!({"op": "replace", "path": "emails", "value": other}),
        json!({"op": "replace", "path": "emails", "value": turned}),
        json!({"op": "replace", "value": {"emails": other}}),
        json!({"op": "add", "path": "emails", "value": other}),
        json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "e@x.y"}),
        json!({"op": "replace", "path": "emails[primary eq true].value", "value": "e@x.y"}),
        json!({"op": "replace", "path": "emails.value", "value": "e@x.y"}),
        json!({"op": "replace", "value": {"emails[type eq \"work\"].value": "e@x.y"}}),
        json!({"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}),
        json!({"op": "replace", "path": "emails[type eq \"work\"]",
            "value": {"type": "work", "value": "e@x.y", "primary": true}}),
        json!({"op": "remove", "path": "emails"}),
        json!({"op": "remove", "path": "emails[type eq \"work\"]"}),
        json!({"op": "remove", "path": "emails[type eq \"work\"].value"}),
        json!({"op": "remove", "path": "emails", "value": [{"value": "bob@example.com"}]}),
        json!({"op": "replace", "path": "emails[type eq \"work\"].primary", "value": false}),
    ];
    for operation in &patches[..patches.len() - 1] {
        let answer = harness.patch(&at, &json!([title, operation]));
        assert_eq!(answer.status, 400, "{operation}: {}", answer.text);
        answer.refused(400, Some("mutability"), "");
    }
    // Without a mark the first address is the primary one, so this changes nothing about it.
    harness.patch(&at, &json!([patches.last()])).expect(200);
    let now = harness.get(&at).expect(200).json();
    assert_eq!(now.get("title"), None, "nothing of a refused request was applied");
    assert_eq!(
        (&now["userName"], &now["emails"][0]["value"]),
        (&bob["userName"], &bob["userName"])
    );
}

#[test]
fn an_unchanged_identity_is_accepted_and_the_first_spelling_stays() {
    let harness = Harness::new();
    let bob = harness.user("Bob@Example.com");
    let at = target(&bob);
    let keeps = |answer: Value, what: &str| {
        assert_eq!(answer["userName"], "Bob@Example.com", "{what}");
        assert_eq!(answer["emails"][0]["value"], "Bob@Example.com", "{what}");
    };
    let mut lower = bob.clone();
    lower["userName"] = "bob@example.com".into();
    lower["emails"][0]["value"] = "BOB@EXAMPLE.COM".into();
    keeps(harness.put(&at, &lower).expect(200).json(), "another letter case");
    for (name, value) in [
        ("userName", Value::Null),
        ("emails", Value::Null),
        ("emails", json!([])),
        ("emails", json!([{"type": "work", "value": null}])),
    ] {
        let mut body = bob.clone();
        body[name] = value;
        keeps(harness.put(&at, &body).expect(200).json(), name);
    }
    let mut body = bob;
    body.as_object_mut().unwrap().retain(|name, _| name != "userName" && name != "emails");
    keeps(harness.put(&at, &body).expect(200).json(), "absent");
    for operation in [
        json!({"op": "replace", "path": "userName", "value": "BOB@example.com"}),
        json!({"op": "replace", "path": "userName", "value": null}),
        json!({"op": "replace", "path": "emails", "value": null}),
        json!({"op": "replace", "path": "emails", "value": []}),
        json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": ""}),
        json!({"op": "replace", "path": "emails[type eq \"work\"].value",
            "value": "bob@example.com"}),
        json!({"op": "replace", "value": {"userName": null, "emails": null}}),
    ] {
        let answer = harness.patch(&at, &json!([operation])).expect(200).json();
        keeps(answer, &operation.to_string());
    }
    // Other addresses may come, change and go.
    for (operation, count) in [
        (json!({"op": "add", "path": "emails", "value": [{"value": "h@x.y", "type": "home"}]}), 2),
        (json!({"op": "replace", "path": "emails[type eq \"home\"].value", "value": "i@x.y"}), 2),
        (json!({"op": "remove", "path": "emails[type eq \"home\"]"}), 1),
    ] {
        let answer = harness.patch(&at, &json!([operation])).expect(200).json();
        assert_eq!(answer["emails"].as_array().unwrap().len(), count, "{operation}");
        keeps(answer, &operation.to_string());
    }
}

#[test]
fn fixed_identities_are_published_and_support_can_allow_changes() {
    let mutability = |harness: &Harness| {
        let schema = harness.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").json();
        let attributes = schema["attributes"].as_array().unwrap().clone();
        let found = attributes.into_iter().find(|it| it["name"] == "userName").unwrap();
        found["mutability"].as_str().unwrap().to_owned()
    };
    assert_eq!(mutability(&Harness::new()), "immutable");
    let lifted = OrgSettings { identity_changes: IdentityChanges::Allow, ..OrgSettings::default() };
    let harness = Harness::with(lifted);
    assert_eq!(mutability(&harness), "readWrite");
    let bob = harness.user("bob@example.com");
    harness.user("taken@example.com");
    let mut body = bob.clone();
    body["userName"] = "robert@example.com".into();
    body["emails"] = json!([{"value": "robert@example.com"}]);
    let changed = harness.put(&target(&bob), &body).expect(200).json();
    assert_eq!(changed["userName"], "robert@example.com");
    assert_eq!(harness.count("emails.value eq \"bob@example.com\""), 0);
    assert_eq!(harness.count("emails.value eq \"ROBERT@example.com\""), 1);
    for taken in ["taken@example.com", "TAKEN@example.com"] {
        let rename = json!([{"op": "replace", "path": "userName", "value": taken}]);
        harness.patch(&target(&bob), &rename).refused(409, Some("uniqueness"), "userName");
        let mut body = changed.clone();
        body["userName"] = taken.into();
        harness.put(&target(&bob), &body).refused(409, Some("uniqueness"), "userName");
    }
    let odd = json!([{"op": "replace", "path": "userName", "value": "robert"}]);
    harness.patch(&target(&bob), &odd).refused(400, Some("invalidValue"), "Application username");
    let none = json!([{"op": "remove", "path": "userName"}]);
    harness.patch(&target(&bob), &none).refused(400, Some("mutability"), "always has it");
}

#[test]
fn usernames_are_email_addresses_unless_support_says_otherwise() {
    let harness = Harness::new();
    for name in ["bob", "bob@", "Bob Smith", "bob@example..com"] {
        let answer = harness.post("/Users", &user(name));
        answer.refused(400, Some("invalidValue"), "Application username format to Email");
    }
    let harness = Harness::with(OrgSettings {
        username_format: UsernameFormat::Any,
        ..OrgSettings::default()
    });
    harness.user("bob");
    // What was created under another rule can still be updated and deactivated.
    let settings = OrgSettings::default();
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, true, settings)).unwrap();
    let bob = harness.get("/Users?filter=userName eq \"bob\"").json()["Resources"][0].clone();
    let off = json!([{"op": "replace", "path": "active", "value": "False"}]);
    assert_eq!(harness.patch(&target(&bob), &off).expect(200).json()["active"], false);
    harness.put(&target(&bob), &bob).expect(200);
}

#[test]
fn deactivation_takes_login_away_and_reactivation_gives_it_back() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let at = target(&bob);
    assert_eq!(may_log_in(&harness, "BOB@example.com"), 200);
    let put = |active: bool| {
        let mut body = bob.clone();
        body["active"] = active.into();
        harness.put(&at, &body)
    };
    let patch = |operation: Value| harness.patch(&at, &json!([operation]));
    let ways: [&dyn Fn(bool) -> crate::harness::Answer; 5] = [
        &|active| put(active),
        &|active| patch(json!({"op": "replace", "value": {"active": active}})),
        &|active| patch(json!({"op": "Replace", "path": "active", "value": active})),
        &|active| {
            let word = if active { "True" } else { "False" };
            patch(json!({"op": "Replace", "path": "active", "value": word}))
        },
        &|active| patch(json!({"op": "add", "path": "active", "value": [active]})),
    ];
    for (i, way) in ways.iter().enumerate() {
        assert_eq!(way(false).expect(200).json()["active"], false, "way {i}");
        assert_eq!(may_log_in(&harness, "bob@example.com"), 403, "way {i}");
        // All the rest stays readable.
        let read = harness.get(&at).expect(200).json();
        assert_eq!((&read["active"], &read["name"]), (&json!(false), &bob["name"]));
        assert_eq!(harness.count("active eq false"), 1);
        assert_eq!(harness.count("userName eq \"bob@example.com\""), 1);
        let again = way(true).expect(200).json();
        assert_eq!((&again["active"], &again["id"]), (&json!(true), &bob["id"]), "way {i}");
        assert_eq!(again["emails"], bob["emails"]);
        assert_eq!(may_log_in(&harness, "bob@example.com"), 200, "way {i}");
    }
    // "Absent" and "no value" are no answer to the question who may log in.
    put(false).expect(200);
    let mut body = bob;
    for value in [Some(Value::Null), Some("".into()), None] {
        match value {
            Some(value) => body["active"] = value,
            None => drop(body.as_object_mut().unwrap().remove("active")),
        }
        assert_eq!(harness.put(&at, &body).expect(200).json()["active"], false);
    }
    let null = json!({"op": "replace", "path": "active", "value": null});
    assert_eq!(patch(null).expect(200).json()["active"], false);
    patch(json!({"op": "remove", "path": "active"})).refused(400, Some("mutability"), "active");
    for wrong in [json!("yes"), json!(2), json!({})] {
        let operation = json!({"op": "replace", "path": "active", "value": wrong});
        patch(operation).refused(400, Some("invalidValue"), "true or false");
    }
    assert_eq!(may_log_in(&harness, "bob@example.com"), 403);
}

#[test]
fn only_support_erases() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let (at, id) = (target(&bob), bob["id"].as_str().unwrap());
    let deleted = harness.call("DELETE", &at, "").expect(204);
    assert_eq!(deleted.text, "");
    harness.get(&at).refused(404, None, "no User");
    harness.put(&at, &bob).refused(404, None, "no User");
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    harness.patch(&at, &off).refused(404, None, "no User");
    harness.call("DELETE", &at, "").refused(404, None, "no User");
    assert_eq!(harness.count("userName eq \"bob@example.com\""), 0);
    assert_eq!(harness.count(&format!("id eq \"{id}\"")), 0);
    assert_eq!(harness.count("emails.value eq \"bob@example.com\""), 0);
    assert_eq!(harness.get("/Users").json()["totalResults"], 0);
    assert_eq!(may_log_in(&harness, "bob@example.com"), 404);
    let kept = |harness: &Harness| {
        harness.store.read(|tx| tx.find(harness.org.key, "User", id, State::Deleted)).unwrap()
    };
    let stored = kept(&harness).expect("the data stays until support erases it");
    assert!(stored.document.contains("bob@example.com"));
    // Its name is free.
    let second = harness.user("bob@example.com");
    assert_ne!(second["id"], bob["id"]);
    let restore = |stored| {
        harness.store.write(harness.now, |tx| tx.restore_resource(harness.org.key, "User", stored))
    };
    let taken = restore(&stored).unwrap_err();
    assert!(matches!(taken, plumm::store::error::Error::Conflict(_)), "{taken}");
    harness.call("DELETE", &target(&second), "").expect(204);
    restore(&stored).unwrap();
    assert_eq!(harness.get(&at).expect(200).json()["userName"], "bob@example.com");
    assert_eq!(may_log_in(&harness, "bob@example.com"), 200);
}

#[test]
fn an_import_is_stable_complete_and_exact_while_writes_go_on() {
    let harness = Harness::new();
    let ids: Vec<String> = (0..60)
        .map(|i| harness.user(&format!("u{i}@x.y"))["id"].as_str().unwrap().to_owned())
        .collect();
    let mut seen = Vec::new();
    for start in (1..=60).step_by(20) {
        let list = harness.get(&format!("/Users?startIndex={start}&count=20")).json();
        for it in list["Resources"].as_array().unwrap() {
            seen.push(it["id"].as_str().unwrap().to_owned());
        }
        // Between two pages: a new user, a changed one, a deactivated one.
        harness.user(&format!("new{start}@x.y"));
        let off = json!([{"op": "replace", "value": {"active": false, "title": "gone"}}]);
        harness.patch(&format!("/Users/{}", ids[start % 60]), &off).expect(200);
    }
    assert_eq!(seen, ids);
    assert_eq!(harness.get("/Users?count=0").json()["totalResults"], 63);
}

#[test]
fn organisations_never_see_each_other() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let (other, token) = harness.neighbour("other");
    let at = format!("/scim/v2{}", target(&bob));
    let call = |method: &str, target: &str, body: &Value| {
        harness.with_token(&token, method, target, &body.to_string())
    };
    call("GET", &at, &Value::Null).refused(404, None, "in this organisation");
    call("PUT", &at, &bob).refused(404, None, "in this organisation");
    let off = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false}}]});
    call("PATCH", &at, &off).refused(404, None, "in this organisation");
    call("DELETE", &at, &Value::Null).refused(404, None, "in this organisation");
    for filter in [
        "userName eq \"bob@example.com\"".to_owned(),
        format!("id eq {}", bob["id"]),
        "emails eq \"bob@example.com\"".to_owned(),
        "id pr or userName pr".to_owned(),
        "not (id eq \"x\")".to_owned(),
        "id pr) or (id pr".to_owned(),
    ] {
        let target = format!("/scim/v2/Users?filter={}", crate::harness::encoded(&filter));
        let answer = call("GET", &target, &Value::Null);
        assert!(!answer.text.contains("Resources\":[{"), "{filter}: {}", answer.text);
    }
    assert_eq!(call("GET", "/scim/v2/Users", &Value::Null).json()["totalResults"], 0);
    // The same name is free there, and it is another account.
    let twin = call("POST", "/scim/v2/Users", &user("bob@example.com")).expect(201).json();
    assert_ne!(twin["id"], bob["id"]);
    harness.call("DELETE", &target(&bob), "").expect(204);
    let kind = Kind { org: other.key, resource_type: "User", location_base: "" };
    let account = harness.store.read(|tx| tx.account(kind, "bob@example.com")).unwrap();
    assert!(account.is_some_and(|it| it.active));
    assert_eq!(may_log_in(&harness, "bob@example.com"), 404);
}
