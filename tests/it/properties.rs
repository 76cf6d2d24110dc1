//! Properties that hold whatever is sent: PATCH against a model of its own, and projections.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Map, Value, json};

use crate::harness::{Harness, encoded, user};

fn runner(cases: u32) -> TestRunner {
    let rng_seed = RngSeed::Fixed(0x706c_756d);
    TestRunner::new(Config { cases, rng_seed, failure_persistence: None, ..Config::default() })
}

/// One change, as a client says it.
#[derive(Clone, Debug)]
enum Change {
    Text(&'static str, Option<String>),
    Given(Option<String>),
    Active(bool),
    AddPhone(&'static str, String),
    SetPhone(&'static str, String),
    RemovePhone(&'static str),
    Phones(Vec<(&'static str, String)>),
}

const TYPES: [&str; 3] = ["work", "home", "mobile"];

fn change() -> impl Strategy<Value = Change> {
    let word = || "[a-zA-ZäÖ0-9 ]{1,8}";
    let phone = || (select(&TYPES[..]), "[0-9]{1,2}");
    prop_oneof![
        (select(&["title", "nickName", "displayName"][..]), proptest::option::of(word()))
            .prop_map(|(name, value)| Change::Text(name, value)),
        proptest::option::of(word()).prop_map(Change::Given),
        any::<bool>().prop_map(Change::Active),
        phone().prop_map(|(kind, value)| Change::AddPhone(kind, value)),
        phone().prop_map(|(kind, value)| Change::SetPhone(kind, value)),
        select(&TYPES[..]).prop_map(Change::RemovePhone),
        proptest::collection::vec(phone(), 0..4).prop_map(Change::Phones),
    ]
}

/// What the changes should make of a user, worked out without any of the program's code.
#[derive(Clone, Default)]
struct Model {
    texts: BTreeMap<&'static str, String>,
    given: Option<String>,
    active: bool,
    phones: Vec<(String, String)>,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        let own = |(kind, value): &(&'static str, String)| ((*kind).to_owned(), value.clone());
        match change {
            Change::Text(name, Some(value)) => drop(self.texts.insert(name, value.clone())),
            Change::Text(name, None) => drop(self.texts.remove(name)),
            Change::Given(value) => self.given.clone_from(value),
            Change::Active(active) => self.active = *active,
            Change::AddPhone(kind, value) => self.add(((*kind).to_owned(), value.clone())),
            Change::SetPhone(kind, value) => {
                let mut found = false;
                for phone in self.phones.iter_mut().filter(|it| it.0 == *kind) {
                    phone.1.clone_from(value);
                    found = true;
                }
                if !found {
                    self.phones.push(((*kind).to_owned(), value.clone()));
                }
            }
            Change::RemovePhone(kind) => self.phones.retain(|it| it.0 != *kind),
            Change::Phones(phones) => {
                self.phones.clear();
                phones.iter().for_each(|it| self.add(own(it)));
            }
        }
    }

    fn add(&mut self, phone: (String, String)) {
        if !self.phones.contains(&phone) {
            self.phones.push(phone);
        }
    }

    fn expected(&self) -> Value {
        let mut expected = json!({ "active": self.active });
        for (name, value) in &self.texts {
            expected[name] = value.as_str().into();
        }
        let mut name = json!({ "familyName": "User" });
        if let Some(given) = &self.given {
            name["givenName"] = given.as_str().into();
        }
        expected["name"] = name;
        let phones = self.phones.iter().map(|(kind, value)| json!({"type": kind, "value": value}));
        let phones: Vec<Value> = phones.collect();
        if !phones.is_empty() {
            expected["phoneNumbers"] = phones.into();
        }
        expected
    }
}

/// The same change in one of the forms clients use; `form` chooses.
fn operation(change: &Change, form: u8) -> Value {
    let path_or_not = |path: &str, value: Value| match form % 4 {
        0 => json!({"op": "replace", "path": path, "value": value}),
        1 => json!({"op": "Replace", "value": {path: value}}),
        2 => json!({"op": "add", "path": path.to_uppercase(), "value": value}),
        _ => json!({"op": "replace", "value":
            {format!("urn:ietf:params:scim:schemas:core:2.0:User:{path}"): value}}),
    };
    let phone = |(kind, value): &(&str, String)| json!({"type": kind, "value": value});
    match change {
        Change::Text(name, Some(value)) => path_or_not(name, value.as_str().into()),
        Change::Text(name, None) => json!({"op": "remove", "path": name}),
        Change::Given(Some(value)) => path_or_not("name.givenName", value.as_str().into()),
        Change::Given(None) => json!({"op": "Remove", "path": "name.givenName"}),
        Change::Active(it) if form.is_multiple_of(2) => path_or_not("active", (*it).into()),
        Change::Active(it) => {
            path_or_not("active", if *it { "True".into() } else { "False".into() })
        }
        Change::AddPhone(kind, value) => {
            let one = phone(&(kind, value.clone()));
            let value = if form.is_multiple_of(2) { one } else { json!([one]) };
            json!({"op": "Add", "path": "phoneNumbers", "value": value})
        }
        Change::SetPhone(kind, value) => {
            let path = format!("phoneNumbers[type eq \"{kind}\"].value");
            json!({"op": "replace", "path": path, "value": value})
        }
        Change::RemovePhone(kind) => {
            json!({"op": "remove", "path": format!("phoneNumbers[type eq \"{kind}\"]")})
        }
        Change::Phones(phones) => {
            let phones: Vec<Value> = phones.iter().map(phone).collect();
            json!({"op": "replace", "path": "phoneNumbers", "value": phones})
        }
    }
}

#[test]
fn patch_then_get_is_what_a_model_says() {
    let harness = Harness::new();
    let number = std::cell::Cell::new(0);
    let requests =
        proptest::collection::vec(proptest::collection::vec((change(), any::<u8>()), 1..5), 1..6);
    runner(150)
        .run(&requests, |requests| {
            number.set(number.get() + 1);
            let name = format!("u{}@example.com", number.get());
            let mut body = user(&name);
            body.as_object_mut().unwrap().remove("displayName");
            let created = harness.post("/Users", &body).expect(201).json();
            let at = format!("/Users/{}", created["id"].as_str().unwrap());
            let mut model =
                Model { given: Some("Test".to_owned()), active: true, ..Model::default() };
            for changes in &requests {
                let operations: Vec<Value> =
                    changes.iter().map(|(change, form)| operation(change, *form)).collect();
                changes.iter().for_each(|(change, _)| model.apply(change));
                let answered = harness.patch(&at, &operations.into());
                prop_assert_eq!(answered.status, 200, "{}", answered.text);
                let read = harness.get(&at).json();
                prop_assert_eq!(&answered.json(), &read);
                let of_the_model = |name: &str| {
                    let names =
                        ["title", "nickName", "displayName", "name", "active", "phoneNumbers"];
                    names.contains(&name)
                };
                let mut read = read.as_object().unwrap().clone();
                read.retain(|name, _| of_the_model(name));
                let mut expected = model.expected().as_object().unwrap().clone();
                read.sort_keys();
                expected.sort_keys();
                prop_assert_eq!(read, expected);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_projection_leaks_nothing_and_loses_nothing() {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body["password"] = "t1meMa$heen".into();
    body["title"] = "Dr".into();
    body["phoneNumbers"] = json!([{"value": "1", "type": "work"}, {"value": "2"}]);
    body[ENTERPRISE] = json!({"department": "R&D", "manager": {"value": "42"}});
    body["urn:okta:x:1.0:user:custom"] = json!({"level": 3, "tags": ["a"]});
    let whole = harness.post("/Users", &body).expect(201).json();
    let at = format!("/Users/{}", whole["id"].as_str().unwrap());
    let department = format!("{ENTERPRISE}:department");
    let password = "urn:ietf:params:scim:schemas:core:2.0:User:password";
    let names = [
        "password",
        password,
        "PASSWORD",
        "userName",
        "USERNAME",
        "name",
        "name.familyName",
        "emails",
        "emails.value",
        "phoneNumbers.type",
        "title",
        "id",
        "schemas",
        "meta",
        "meta.version",
        "active",
        "nothing",
        "name.nothing",
        "",
        " ",
        "groups",
        "externalId",
        "urn:okta:x:1.0:user:custom",
        "urn:okta:x:1.0:user:custom:level",
        ENTERPRISE,
        &department,
        "password.value",
        "*",
    ];
    let chosen = proptest::collection::vec(select(names.map(str::to_owned).to_vec()), 1..6);
    runner(200)
        .run(&chosen, |chosen| {
            let list = chosen.join(",");
            if list.replace(',', "").trim().is_empty() {
                return Ok(());
            }
            let ask = |parameter: &str| {
                let query = format!("{parameter}={}", encoded(&list));
                let one = harness.get(&format!("{at}?{query}")).expect(200);
                assert!(!one.text.contains("t1meMa$heen") && !one.text.contains("\"password\""));
                let listed = harness.get(&format!("/Users?{query}")).expect(200).json();
                assert_eq!(listed["Resources"][0], one.json(), "{query}");
                one.json()
            };
            let (only, without) = (ask("attributes"), ask("excludedAttributes"));
            for part in [&only, &without] {
                prop_assert_eq!(&part["id"], &whole["id"]);
                prop_assert_eq!(&part["schemas"], &whole["schemas"]);
            }
            // What is left out of one is in the other.
            let mut joined = without.as_object().unwrap().clone();
            join(&mut joined, only.as_object().unwrap());
            let mut expected = whole.as_object().unwrap().clone();
            sort(&mut joined);
            sort(&mut expected);
            prop_assert_eq!(joined, expected);
            Ok(())
        })
        .unwrap();
}

/// Adds to `part` what only `other` has, object by object and element by element.
fn join(part: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (name, value) in other {
        match (part.get_mut(name), value) {
            (Some(Value::Object(part)), Value::Object(other)) => join(part, other),
            (Some(Value::Array(part)), Value::Array(other)) => {
                for (part, other) in part.iter_mut().zip(other) {
                    if let (Value::Object(part), Value::Object(other)) = (part, other) {
                        join(part, other);
                    }
                }
            }
            (Some(_), _) => {}
            (None, value) => drop(part.insert(name.clone(), value.clone())),
        }
    }
}

fn sort(object: &mut Map<String, Value>) {
    object.sort_keys();
    for value in object.values_mut() {
        match value {
            Value::Object(inner) => sort(inner),
            Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(sort),
            _ => {}
        }
    }
}
