//! Properties that hold whatever is sent: PATCH against a model of its own, filters in the database
//! against filters in memory, and projections. Users are one subject, and a resource type that has
//! every kind of attribute the other.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use plumm::scim::filter::condition::Condition;
use plumm::scim::filter::grammar;
use plumm::scim::filter::matching::matches;
use plumm::scim::identity::IdentityChanges;
use plumm::scim::meta::Meta;
use plumm::scim::resource;
use plumm::scim::schema::attribute::{Attribute, Mutability, Type, Uniqueness};
use plumm::scim::schema::definitions::Definitions;
use plumm::scim::schema::resource_type::ResourceType;
use plumm::store::tables::resource::State;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Map, Value, json};

use crate::harness::{Harness, encoded, user};
use crate::resource_types::{GADGET, OWNER, a_gadget, gadget, register};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

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

// A resource type with every kind of attribute, patched.

/// One change of a gadget, as a client says it. A path may begin with the URN of an extension.
#[derive(Clone, Debug)]
enum GadgetChange {
    /// One value, or none.
    One(&'static str, Option<Value>),
    /// The values of an attribute, or of a sub-attribute, that has several.
    List(&'static str, ListChange, Vec<Value>),
    /// The parts: a type and a weight each.
    Parts(Vec<(&'static str, i64)>),
    PartWeight(&'static str, i64),
    RemoveParts(&'static str),
    /// What is set once.
    Model(String),
    /// What is taken and never kept.
    Secret(&'static str),
    /// What nobody may do.
    Forbidden(Value),
}

#[derive(Clone, Copy, Debug)]
enum ListChange {
    Add,
    Replace,
    Remove,
    Clear,
}

/// The attributes with several values, and whether letter case counts in them.
const LISTS: &[(&str, Type, bool)] = &[
    ("tags", Type::String, false),
    ("codes", Type::String, true),
    ("sizes", Type::Integer, true),
    ("prices", Type::Decimal, true),
    ("dates", Type::DateTime, false),
    ("blobs", Type::Binary, true),
    ("links", Type::Reference, true),
    ("place.aliases", Type::String, false),
    ("urn:test:scim:2.0:Owner:marks", Type::String, true),
];
const ONES: &[(&str, Type)] = &[
    ("displayName", Type::String),
    ("colour", Type::String),
    ("code", Type::String),
    ("note", Type::String),
    ("kind", Type::String),
    ("on", Type::Boolean),
    ("weight", Type::Decimal),
    ("amount", Type::Integer),
    ("bought", Type::DateTime),
    ("image", Type::Binary),
    ("manual", Type::Reference),
    ("place.row", Type::Integer),
    ("place.name", Type::String),
    ("urn:test:scim:2.0:Owner:cost", Type::Decimal),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", Type::String),
];

/// A value of a kind, out of few, so that two of them often meet.
fn value_of(kind: Type) -> BoxedStrategy<Value> {
    let texts = |all: &'static [&'static str]| select(all).prop_map(Value::from).boxed();
    match kind {
        Type::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Type::Integer => (-2_i64..8).prop_map(Value::from).boxed(),
        Type::Decimal => select(&[0.5, 1.5, -2.25, 7.125][..]).prop_map(Value::from).boxed(),
        Type::DateTime => {
            texts(&["2026-01-31T08:00:00Z", "2026-01-31T09:00:00+01:00", "2020-02-29T12:30:00.5Z"])
        }
        Type::Binary => texts(&["AAEC", "aaec", "AA=="]),
        Type::Reference => texts(&["https://x.y/a", "https://x.y/A", "b"]),
        _ => texts(&["a", "A", "b", "ab", "ä", "Ä", "x y", "1"]),
    }
}

fn gadget_change() -> impl Strategy<Value = GadgetChange> {
    let part = || (select(&TYPES[..]), 0_i64..9);
    let one = select(ONES).prop_flat_map(|(path, kind)| {
        proptest::option::weighted(0.8, value_of(kind))
            .prop_map(move |value| GadgetChange::One(path, value))
    });
    let list = select(LISTS).prop_flat_map(|(path, kind, _)| {
        let change = select(
            &[ListChange::Add, ListChange::Replace, ListChange::Remove, ListChange::Clear][..],
        );
        (change, proptest::collection::vec(value_of(kind), 1..4))
            .prop_map(move |(change, values)| GadgetChange::List(path, change, values))
    });
    let forbidden = select(vec![
        json!({"op": "replace", "path": "rank", "value": "1"}),
        json!({"op": "remove", "path": "serial"}),
        json!({"op": "replace", "path": "serial", "value": null}),
        json!({"op": "remove", "path": format!("{OWNER}:owner")}),
        json!({"op": "remove", "path": OWNER}),
        json!({"op": "remove", "path": "model"}),
        json!({"op": "replace", "path": "amount", "value": "many"}),
        json!({"op": "add", "path": "sizes", "value": [1, "x"]}),
        json!({"op": "add", "path": "place", "value": "here"}),
        json!({"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:User:title", "value": 1}),
    ]);
    prop_oneof![
        8 => one,
        8 => list,
        2 => proptest::collection::vec(part(), 0..4).prop_map(GadgetChange::Parts),
        2 => part().prop_map(|(kind, weight)| GadgetChange::PartWeight(kind, weight)),
        1 => select(&TYPES[..]).prop_map(GadgetChange::RemoveParts),
        1 => "[a-bA-B]".prop_map(GadgetChange::Model),
        1 => select(&["pin", "hidden"][..]).prop_map(GadgetChange::Secret),
        1 => forbidden.prop_map(GadgetChange::Forbidden),
    ]
}

/// Where a path leads: the member of the document that holds it, and its name there.
fn place_of(path: &str) -> (Option<&str>, &str) {
    match path.rsplit_once(':').or_else(|| path.split_once('.')) {
        Some((holder, name)) => (Some(holder), name),
        None => (None, path),
    }
}

/// What the changes should make of a gadget, worked out without any of the program's code.
#[derive(Clone, Default)]
struct GadgetModel(Map<String, Value>);

impl GadgetModel {
    fn set(&mut self, path: &str, value: Option<Value>) {
        let (holder, name) = place_of(path);
        let Some(holder) = holder else {
            match value {
                Some(value) => drop(self.0.insert(name.to_owned(), value)),
                None => drop(self.0.remove(name)),
            }
            return;
        };
        let object = self.0.entry(holder).or_insert_with(|| json!({})).as_object_mut().unwrap();
        match value {
            Some(value) => drop(object.insert(name.to_owned(), value)),
            None => drop(object.remove(name)),
        }
        if object.is_empty() {
            self.0.remove(holder);
        }
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let found = match place_of(path) {
            (Some(holder), name) => self.0.get(holder).and_then(|it| it.get(name)),
            (None, name) => self.0.get(name),
        };
        found.and_then(Value::as_array).cloned().unwrap_or_default()
    }

    fn set_list(&mut self, path: &str, values: Vec<Value>) {
        self.set(path, (!values.is_empty()).then(|| values.into()));
    }

    /// Whether the change can be made.
    fn apply(&mut self, change: &GadgetChange) -> bool {
        match change {
            GadgetChange::One(path, value) => self.set(path, value.clone()),
            GadgetChange::List(path, change, given) => {
                let case_exact = LISTS.iter().find(|it| it.0 == *path).unwrap().2;
                let key = |it: &Value| match it {
                    Value::String(it) if !case_exact => it.to_lowercase(),
                    other => other.to_string(),
                };
                let mut values = self.list(path);
                match change {
                    ListChange::Clear | ListChange::Replace => values.clear(),
                    ListChange::Remove => {
                        values.retain(|it| !given.iter().any(|other| key(other) == key(it)));
                    }
                    ListChange::Add => {}
                }
                if matches!(change, ListChange::Add | ListChange::Replace) {
                    for new in given {
                        if !values.iter().any(|it| key(it) == key(new)) {
                            values.push(new.clone());
                        }
                    }
                }
                self.set_list(path, values);
            }
            GadgetChange::Parts(parts) => {
                let mut values: Vec<Value> = Vec::new();
                for (kind, weight) in parts {
                    let part = json!({"value": "p", "type": kind, "weight": weight});
                    // Value and type say which part it is.
                    if !values.iter().any(|it| it["type"] == *kind) {
                        values.push(part);
                    }
                }
                self.set_list("parts", values);
            }
            GadgetChange::PartWeight(kind, weight) => {
                let mut values = self.list("parts");
                match values.iter_mut().find(|it| it["type"] == *kind) {
                    Some(part) => part["weight"] = (*weight).into(),
                    None => values.push(json!({"type": kind, "weight": weight})),
                }
                self.set_list("parts", values);
            }
            GadgetChange::RemoveParts(kind) => {
                let mut values = self.list("parts");
                values.retain(|it| it["type"] != *kind);
                self.set_list("parts", values);
            }
            GadgetChange::Model(text) => drop(self.0.insert("model".into(), text.as_str().into())),
            GadgetChange::Secret(_) => {}
            GadgetChange::Forbidden(_) => return false,
        }
        true
    }
}

/// The same change in one of the forms clients use; `form` chooses.
fn gadget_operation(change: &GadgetChange, form: u8) -> Value {
    let in_core = |path: &str| match path.contains(':') {
        true => path.to_owned(),
        false => format!("{GADGET}:{path}"),
    };
    let said = |op: &str, path: &str, value: Value| match form % 4 {
        0 => json!({"op": op, "path": path, "value": value}),
        1 => json!({"op": op, "value": {path: value}}),
        2 => json!({"op": op.to_uppercase(), "path": in_core(path).to_uppercase(), "value": value}),
        _ => json!({"op": op, "value": {in_core(path): value}}),
    };
    match change {
        GadgetChange::One(path, None) if form.is_multiple_of(2) => {
            json!({"op": "remove", "path": path})
        }
        GadgetChange::One(path, None) => said("replace", path, Value::Null),
        GadgetChange::One(path, Some(value)) => {
            // Entra ID sends booleans and numbers as text.
            let value = match value {
                Value::Bool(true) if form > 127 => "True".into(),
                Value::Number(it) if form > 127 => it.to_string().into(),
                other => other.clone(),
            };
            said(if form.is_multiple_of(3) { "add" } else { "replace" }, path, value)
        }
        GadgetChange::List(path, ListChange::Add, values) => said("add", path, json!(values)),
        GadgetChange::List(path, ListChange::Replace, values) => {
            said("replace", path, json!(values))
        }
        GadgetChange::List(path, ListChange::Remove, values) => {
            json!({"op": "remove", "path": path, "value": values})
        }
        GadgetChange::List(path, ListChange::Clear, _) => json!({"op": "remove", "path": path}),
        GadgetChange::Parts(parts) => {
            let parts = parts.iter().map(|it| json!({"value": "p", "type": it.0, "weight": it.1}));
            said("replace", "parts", parts.collect())
        }
        GadgetChange::PartWeight(kind, weight) => {
            let path = format!("parts[type eq \"{kind}\"].weight");
            json!({"op": "replace", "path": path, "value": weight})
        }
        GadgetChange::RemoveParts(kind) => {
            json!({"op": "remove", "path": format!("parts[type eq \"{kind}\"]")})
        }
        GadgetChange::Model(text) => said("replace", "model", text.as_str().into()),
        GadgetChange::Secret(name) => said("replace", name, "s3cret".into()),
        GadgetChange::Forbidden(operation) => operation.clone(),
    }
}

#[test]
fn patch_then_get_is_what_a_model_says_for_every_kind_of_attribute() {
    let harness = Harness::new();
    register(&harness, &gadget());
    let number = std::cell::Cell::new(0);
    let changes = proptest::collection::vec((gadget_change(), any::<u8>()), 1..6);
    let names = "serial,displayName,model,colour,code,on,weight,amount,bought,image,manual,rank,\
        pin,note,kind,hidden,tags,codes,sizes,prices,dates,blobs,links,place,parts";
    let asked = format!("attributes={names},{},{}", encoded(OWNER), encoded(ENTERPRISE));
    runner(250)
        .run(&proptest::collection::vec(changes, 1..6), |requests| {
            number.set(number.get() + 1);
            let mut body = a_gadget(&format!("S{}", number.get()));
            let created = harness.post("/Gadgets", &body).expect(201).json();
            let at = format!("/Gadgets/{}", created["id"].as_str().unwrap());
            body.as_object_mut().unwrap().remove("schemas");
            let mut model = GadgetModel(body.as_object().unwrap().clone());
            for changes in &requests {
                let operations: Vec<Value> =
                    changes.iter().map(|it| gadget_operation(&it.0, it.1)).collect();
                let mut after = model.clone();
                let mut fits = true;
                changes.iter().for_each(|it| fits &= after.apply(&it.0));
                // What is set once keeps its first spelling, and takes no other value.
                let text = |it: &GadgetModel| it.0.get("model").map(|it| it.to_string());
                if let (Some(old), Some(new)) = (text(&model), text(&after)) {
                    fits &= old.eq_ignore_ascii_case(&new);
                    after.0.insert("model".into(), model.0["model"].clone());
                }
                let answered = harness.patch(&at, &operations.into());
                let expected = if fits { 200 } else { 400 };
                prop_assert_eq!(answered.status, expected, "{}", answered.text);
                prop_assert!(!answered.text.contains("s3cret"));
                if fits {
                    model = after;
                    prop_assert_eq!(&answered.json(), &harness.get(&at).json());
                }
                let read = harness.get(&format!("{at}?{asked}")).expect(200).json();
                let mut read = read.as_object().unwrap().clone();
                let schemas = read.remove("schemas").unwrap();
                read.retain(|name, _| name != "id" && name != "meta");
                let mut wanted = model.0.clone();
                let known = [GADGET, OWNER, ENTERPRISE];
                let known = known.iter().filter(|it| **it == GADGET || wanted.contains_key(**it));
                prop_assert_eq!(schemas, json!(known.collect::<Vec<_>>()));
                sort(&mut read);
                sort(&mut wanted);
                prop_assert_eq!(read, wanted);
            }
            Ok(())
        })
        .unwrap();
}

// Filters, of whatever a resource type defines.

/// Whether documents of these tests may have values of an attribute.
fn is_given(attribute: &Attribute) -> bool {
    // The tests themselves give what is unique; of several values only one may be primary.
    let special = ["primary", "userName", "members"].contains(&attribute.name.as_str());
    attribute.mutability != Mutability::ReadOnly
        && attribute.uniqueness == Uniqueness::None
        && !attribute.is_secret()
        && !special
}

/// What is required is there, and what is not now and then.
fn perhaps(required: bool, value: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    if required { value.prop_map(Some).boxed() } else { proptest::option::of(value).boxed() }
}

/// An object with some of these attributes, and all that are required.
fn object_of(attributes: &[Arc<Attribute>]) -> BoxedStrategy<Value> {
    let mut members: BoxedStrategy<Map<String, Value>> = Just(Map::new()).boxed();
    for attribute in attributes.iter().filter(|it| is_given(it)) {
        let name = attribute.name.clone();
        let value = perhaps(attribute.required, values_of(attribute));
        members = (members, value)
            .prop_map(move |(mut members, value)| {
                members.extend(value.map(|it| (name.clone(), it)));
                members
            })
            .boxed();
    }
    members.prop_map(Value::Object).boxed()
}

fn values_of(attribute: &Attribute) -> BoxedStrategy<Value> {
    let one = match attribute.kind {
        Type::Complex => object_of(&attribute.sub_attributes),
        // An empty text is a value, though none that `pr` finds.
        Type::String if !attribute.required => {
            prop_oneof![6 => value_of(Type::String), 1 => Just(json!(""))].boxed()
        }
        kind => value_of(kind),
    };
    match attribute.multi_valued {
        true => proptest::collection::vec(one, 0..4).prop_map(Value::from).boxed(),
        false => one,
    }
}

/// A comparison of what has this path.
fn comparison(path: &str, kind: Type) -> BoxedStrategy<String> {
    const EQUALITY: &[&str] = &["eq", "ne"];
    const ORDER: &[&str] = &["eq", "ne", "gt", "ge", "lt", "le"];
    const BINARY: &[&str] = &["eq", "ne", "co", "sw", "ew"];
    const ALL: &[&str] = &["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"];
    let operators = match kind {
        Type::Boolean => EQUALITY,
        Type::Integer | Type::Decimal | Type::DateTime => ORDER,
        Type::Binary => BINARY,
        _ => ALL,
    };
    let (a, b) = (path.to_owned(), path.to_owned());
    prop_oneof![
        8 => (select(operators), value_of(kind)).prop_map(move |(op, it)| format!("{a} {op} {it}")),
        1 => select(EQUALITY).prop_map(move |op| format!("{b} {op} null")),
        1 => Just(format!("{path} pr")),
    ]
    .boxed()
}

fn joined(leaf: BoxedStrategy<String>) -> BoxedStrategy<String> {
    leaf.prop_recursive(3, 5, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|it| format!("not ({it})")),
        ]
    })
    .boxed()
}

/// Filters of resources of a type: each attribute, each sub-attribute, and brackets.
fn filters_of(resource_type: &ResourceType) -> BoxedStrategy<String> {
    let core = resource_type.core.attributes.iter();
    let mut paths: Vec<(String, Arc<Attribute>)> =
        core.clone().map(|it| (it.name.clone(), Arc::clone(it))).collect();
    let id = &resource_type.core.id;
    paths.extend(core.map(|it| (format!("{id}:{}", it.name.to_uppercase()), Arc::clone(it))));
    for schema in resource_type.extensions.iter().map(|it| &it.schema) {
        let each = schema.attributes.iter();
        paths.extend(each.map(|it| (format!("{}:{}", schema.id, it.name), Arc::clone(it))));
    }
    paths.retain(|(_, it)| !it.is_secret() && it.name != "groups");
    let mut leaves = Vec::new();
    for (path, attribute) in paths {
        let mut within = Vec::new();
        for sub in &attribute.sub_attributes {
            leaves.push(comparison(&format!("{path}.{}", sub.name), sub.kind));
            within.push(comparison(&sub.name, sub.kind));
        }
        if within.is_empty() {
            leaves.push(comparison(&path, attribute.kind));
        } else {
            leaves.push(Just(format!("{path} pr")).boxed());
        }
        if within.is_empty() && attribute.multi_valued {
            within.push(comparison("value", attribute.kind));
        }
        if !within.is_empty() {
            let inner = joined(proptest::strategy::Union::new(within).boxed());
            leaves.push(inner.prop_map(move |it| format!("{path}[{it}]")).boxed());
        }
    }
    joined(proptest::strategy::Union::new(leaves).boxed())
}

#[test]
fn a_filter_in_the_database_is_the_filter_in_memory_for_every_kind_of_attribute() {
    let harness = Harness::new();
    register(&harness, &gadget());
    let org = harness.org.key;
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    let definitions = harness.store.read(|tx| tx.definitions(org, &builtin)).unwrap().unwrap();
    for name in ["User", "Gadget"] {
        let of = definitions.resource_type(name).unwrap();
        let mut document = object_of(&of.core.attributes);
        for extension in &of.extensions {
            let id = extension.schema.id.clone();
            let value = perhaps(extension.required, object_of(&extension.schema.attributes));
            document = (document, value)
                .prop_map(move |(mut document, value)| {
                    let members = document.as_object_mut().unwrap();
                    members.extend(value.map(|it| (id.clone(), it)));
                    document
                })
                .boxed();
        }
        let documents = proptest::collection::vec(document, 2..7);
        let filters = proptest::collection::vec(filters_of(of), 30);
        let number = std::cell::Cell::new(0);
        let found = std::cell::Cell::new(0);
        runner(40)
            .run(&(documents, filters), |(documents, filters)| {
                for mut document in documents {
                    number.set(number.get() + 1);
                    document["schemas"] = json!([of.core.id]);
                    let unique = if name == "User" { "userName" } else { "serial" };
                    document[unique] = format!("a{}@example.com", number.get()).into();
                    let made = harness.post(&format!("/{}", of.endpoint), &document);
                    prop_assert_eq!(made.status, 201, "{}: {}", made.text, document);
                }
                let mut stored = Vec::new();
                let all = |tx: &plumm::store::transaction::Read| {
                    tx.each(org, name, State::Present, |it| {
                        stored.push(it);
                        Ok(())
                    })
                };
                harness.store.read(all).unwrap();
                let whole = |it: &plumm::store::tables::resource::Stored| {
                    let meta = Meta {
                        resource_type: name,
                        created: it.created,
                        last_modified: it.last_modified,
                        location_base: "",
                        id: "",
                        version: it.version,
                    };
                    resource::whole(it.parse().unwrap(), Map::new(), &meta)
                };
                for filter in &filters {
                    let condition =
                        Condition::of_resource(&grammar::parse(filter).unwrap(), of).unwrap();
                    let met = stored.iter().filter(|it| matches(&condition, &whole(it)));
                    let expected: HashSet<String> = met.map(|it| it.id.clone()).collect();
                    found.set(found.get() + expected.len());
                    let target =
                        format!("/{}?attributes=id&filter={}", of.endpoint, encoded(filter));
                    let list = harness.get(&target);
                    prop_assert_eq!(list.status, 200, "{}: {}", filter, list.text);
                    let list = list.json();
                    let listed = list["Resources"].as_array().unwrap().iter();
                    let listed: HashSet<String> =
                        listed.map(|it| it["id"].as_str().unwrap().to_owned()).collect();
                    prop_assert_eq!(&listed, &expected, "{}", filter);
                }
                for it in &stored {
                    let target = format!("/{}/{}", of.endpoint, it.id);
                    harness.call("DELETE", &target, "").expect(204);
                }
                Ok(())
            })
            .unwrap();
        assert!(found.get() > 1_000, "{name}: {}", found.get());
    }
}
