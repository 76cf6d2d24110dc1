//! The SQL of a condition and `scim/filter/matching.rs` give the same answers: on tables of texts
//! and values, and on generated resources and filters.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestRunner};
use rusqlite::types::Value;
use serde_json::{Map, Number, Value as Json, json};

use crate::scim::filter::comparison::fold;
use crate::scim::filter::condition::Condition;
use crate::scim::filter::grammar::{self, CompareOp, Filter, Literal};
use crate::scim::filter::matching::matches;
use crate::scim::filter::path::AttrPath;
use crate::store::query::filter_sql::compile;
use crate::store::query::filter_sql::tests::{
    ENTERPRISE, Harness, LOCATIONS, Resource, TYPED, UNTYPED, USER, users,
};

const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "ab",
    "aB",
    "ba",
    "abc",
    "b",
    "é",
    "É",
    "e\u{301}",
    "STRASSE",
    "straße",
    "straßen",
    "x\0y",
    "\0",
    "x",
    "100%",
    "100",
    "a_c",
    "😀",
    "😀a",
    "\u{10ffff}",
    "\u{10ffff}a",
    "\u{d7ff}",
    "\u{e000}",
    "'",
    "\"",
    "\\",
    "@",
    "?1",
    "work",
    "home",
    "Work",
    "bob@example.com",
    "Bob@Example.COM",
    "true",
    "1",
    "[]",
    "{}",
    "null",
];
const TIMES: &[&str] = &[
    "2020-01-01T00:00:00Z",
    "2020-01-01T01:00:00+01:00",
    "2020-01-01T00:00:00.001Z",
    "2020-01-01T00:00:00.0005Z",
    "2020-01-01T00:00:00",
    "1969-12-31T23:59:59.9995Z",
    "1970-01-01T00:00:00Z",
    "9999-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
];
const NANOSECONDS: &[i64] =
    &[0, 1, -1, -500_000, 1_577_836_800_000_000_000, 1_577_836_800_000_500_000];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![9 => select(TEXTS).prop_map(str::to_owned), 1 => any::<String>()]
}

fn time() -> impl Strategy<Value = String> {
    select(TIMES).prop_map(str::to_owned)
}

fn whole() -> impl Strategy<Value = Number> {
    let edges = [0, 1, 2, -1, 9_007_199_254_740_993, i64::MAX, i64::MAX - 1, i64::MIN];
    prop_oneof![
        8 => select(edges.to_vec()).prop_map(Number::from),
        1 => select(vec![u64::MAX, u64::MAX - 1, 1 << 63]).prop_map(Number::from),
        1 => any::<i64>().prop_map(Number::from),
    ]
}

fn real() -> impl Strategy<Value = Number> {
    let edges = [
        -0.0,
        1.0,
        1.5,
        0.1,
        0.3,
        9_007_199_254_740_992.0,
        9.223_372_036_854_776e18,
        1e300,
        -1e300,
        5e-324,
        2.225_073_858_507_201e-308,
    ];
    let finite = any::<f64>().prop_filter_map("finite", Number::from_f64);
    prop_oneof![
        4 => whole(),
        4 => select(edges.to_vec()).prop_filter_map("finite", Number::from_f64),
        2 => finite,
    ]
}

fn untyped() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        4 => text().prop_map(Json::from),
        2 => any::<bool>().prop_map(Json::from),
        3 => real().prop_map(Json::Number),
        1 => Just(Json::Null),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let name = select(vec!["value", "sub", "Sub", "x\"y"]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((name, inner), 0..3).prop_map(|it| it.into_iter().collect()),
        ]
    })
}

/// The type of an attribute of the pools below, as far as filters and values differ by it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Bool,
    Whole,
    Real,
    Time,
    Any,
}

fn value(kind: Kind) -> BoxedStrategy<Json> {
    match kind {
        Kind::Text => text().prop_map(Json::from).boxed(),
        Kind::Bool => any::<bool>().prop_map(Json::from).boxed(),
        Kind::Whole => whole().prop_map(Json::from).boxed(),
        Kind::Real => real().prop_map(Json::from).boxed(),
        Kind::Time => time().prop_map(Json::from).boxed(),
        Kind::Any => untyped().boxed(),
    }
}

type Fields = &'static [(&'static str, Kind)];

const CORE: Fields = &[
    ("userName", Kind::Text),
    ("externalId", Kind::Text),
    ("displayName", Kind::Text),
    ("title", Kind::Text),
    ("profileUrl", Kind::Text),
    ("active", Kind::Bool),
];
const NAME: Fields = &[("familyName", Kind::Text), ("givenName", Kind::Text)];
const PLURAL: Fields = &[
    ("value", Kind::Text),
    ("type", Kind::Text),
    ("display", Kind::Text),
    ("primary", Kind::Bool),
];
const MANAGER: Fields = &[("value", Kind::Text), ("$ref", Kind::Text)];
const TYPED_SINGLE: Fields = &[
    ("hired", Kind::Time),
    ("level", Kind::Whole),
    ("score", Kind::Real),
    ("flag", Kind::Bool),
    ("badge", Kind::Text),
];
const TYPED_PLURAL: Fields =
    &[("tags", Kind::Text), ("codes", Kind::Text), ("sizes", Kind::Whole), ("leaves", Kind::Time)];
const SEAT: Fields = &[("row", Kind::Whole), ("name", Kind::Text)];
const CARD: Fields =
    &[("value", Kind::Text), ("since", Kind::Time), ("limit", Kind::Real), ("blocked", Kind::Bool)];
const UNTYPED_FIELDS: Fields = &[("one", Kind::Any), ("Two", Kind::Any), ("drei-é", Kind::Any)];
const UNTYPED_SUBS: Fields = &[("value", Kind::Any), ("sub", Kind::Any), ("Sub", Kind::Any)];

/// An object with some of these members, and none that is empty.
fn object(members: Vec<(String, BoxedStrategy<Json>)>) -> BoxedStrategy<Json> {
    let some: Vec<_> = members
        .into_iter()
        .map(|(name, value)| {
            prop::option::weighted(0.6, value).prop_map(move |it| (name.clone(), it))
        })
        .collect();
    let assigned = |it: &Json| match it {
        Json::Object(members) => !members.is_empty(),
        Json::Array(elements) => !elements.is_empty(),
        _ => true,
    };
    some.prop_map(move |members| {
        let members = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        members.filter(|(_, value)| assigned(value)).collect::<Map<_, _>>().into()
    })
    .boxed()
}

fn members(fields: Fields) -> Vec<(String, BoxedStrategy<Json>)> {
    fields.iter().map(|(name, kind)| ((*name).to_owned(), value(*kind))).collect()
}

fn array(element: BoxedStrategy<Json>) -> BoxedStrategy<Json> {
    let assigned = |it: &Json| it.as_object().is_none_or(|it| !it.is_empty());
    prop::collection::vec(element, 0..4)
        .prop_map(move |it| it.into_iter().filter(assigned).collect::<Vec<_>>().into())
        .boxed()
}

fn document() -> impl Strategy<Value = Map<String, Json>> {
    let and = |name: &str, value: BoxedStrategy<Json>| (name.to_owned(), value);
    let mut enterprise = members(&[("department", Kind::Text)]);
    enterprise.push(and("manager", object(members(MANAGER))));
    let mut typed = members(TYPED_SINGLE);
    typed.extend(TYPED_PLURAL.iter().map(|(name, kind)| and(name, array(value(*kind)))));
    let mut seat = members(SEAT);
    seat.push(and("aliases", array(value(Kind::Text))));
    typed.push(and("seat", object(seat)));
    let mut card = members(CARD);
    card.push(and("labels", array(value(Kind::Text))));
    typed.push(and("cards", array(object(card))));
    // What has no schema is kept as it came, empty or not.
    let untyped = prop::collection::vec((select(UNTYPED_FIELDS), untyped()), 0..4)
        .prop_map(|it| it.into_iter().map(|(field, value)| (field.0.to_owned(), value)).collect());
    let mut user = members(CORE);
    user.push(and(
        "schemas",
        array(select(vec![USER, ENTERPRISE, TYPED]).prop_map(Json::from).boxed()),
    ));
    user.push(and("name", object(members(NAME))));
    user.push(and("phoneNumbers", array(object(members(PLURAL)))));
    let address = select(vec!["bob@example.com", "Bob@Example.COM", "work", "a", "é", ""]);
    let mut email = members(&PLURAL[1..]);
    email.push(and("value", address.prop_map(Json::from).boxed()));
    user.push(and("emails", array(object(email))));
    user.push(and(ENTERPRISE, object(enterprise)));
    user.push(and(TYPED, object(typed)));
    user.push(and(UNTYPED, prop_oneof![8 => untyped, 1 => Just(json!(["one"]))].boxed()));
    object(user).prop_map(|it| it.as_object().cloned().unwrap())
}

fn resources() -> impl Strategy<Value = Vec<Resource>> {
    let instant = || prop_oneof![4 => select(NANOSECONDS), 1 => any::<i64>()];
    let one = (document(), instant(), instant());
    prop::collection::vec(one, 1..8).prop_map(|all| {
        let mut taken = Vec::new();
        let numbered = (1..).zip(all).map(|(seq, (mut it, a, b))| {
            let name = it.get("userName").and_then(Json::as_str).map(|it| fold(it).into_owned());
            if name.is_some() && taken.contains(&name) {
                it.remove("userName");
            }
            taken.push(name);
            Resource::new(seq, (a, b), it)
        });
        numbered.collect()
    })
}

/// The paths of filters on a resource.
fn paths() -> Vec<(String, Kind)> {
    let mut paths = Vec::new();
    let mut add = |prefix: &str, fields: Fields| {
        paths.extend(fields.iter().map(|(name, kind)| (format!("{prefix}{name}"), *kind)));
    };
    add("", CORE);
    add("", CORE);
    add(&format!("{USER}:"), CORE);
    add("name.", NAME);
    add(&format!("{}:NAME.", USER.to_uppercase()), NAME);
    add("emails.", PLURAL);
    add("emails.", PLURAL);
    add("phoneNumbers.", PLURAL);
    add(
        "",
        &[("emails", Kind::Text), ("PHONENUMBERS", Kind::Text), ("addresses.locality", Kind::Text)],
    );
    add("", &[("id", Kind::Text), ("schemas", Kind::Text), ("manager", Kind::Text)]);
    add("meta.", &[("created", Kind::Time), ("lastModified", Kind::Time)]);
    add(
        "meta.",
        &[("version", Kind::Text), ("location", Kind::Text), ("resourceType", Kind::Text)],
    );
    add(&format!("{ENTERPRISE}:"), &[("department", Kind::Text), ("manager.$ref", Kind::Text)]);
    add(&format!("{ENTERPRISE}:MANAGER."), MANAGER);
    add(&format!("{TYPED}:"), TYPED_SINGLE);
    add("", TYPED_PLURAL);
    add(&format!("{TYPED}:seat."), SEAT);
    add(&format!("{TYPED}:seat."), &[("aliases", Kind::Text)]);
    add(&format!("{TYPED}:cards."), CARD);
    add("cards.", &[("labels", Kind::Text)]);
    for _ in 0..3 {
        add(&format!("{UNTYPED}:"), UNTYPED_FIELDS);
        add(&format!("{UNTYPED}:one."), UNTYPED_SUBS);
        add(&format!("{UNTYPED}:Two."), UNTYPED_SUBS);
    }
    paths
}

/// The attributes that brackets may follow, with the names that may stand between them.
fn bracketed() -> Vec<(String, Vec<(String, Kind)>)> {
    let of = |name: &str, groups: &[Fields]| {
        let subs = groups.iter().copied().flatten().map(|(it, kind)| ((*it).to_owned(), *kind));
        (name.to_owned(), subs.collect())
    };
    let times: Fields = &[("created", Kind::Time), ("lastModified", Kind::Time)];
    vec![
        of("emails", &[PLURAL]),
        of("emails", &[PLURAL]),
        of(&format!("{USER}:phoneNumbers"), &[PLURAL]),
        of("name", &[NAME]),
        of("meta", &[times, &[("version", Kind::Text), ("LOCATION", Kind::Text)]]),
        of("manager", &[MANAGER]),
        of("schemas", &[&[("value", Kind::Text)]]),
        of(&format!("{TYPED}:tags"), &[&[("value", Kind::Text)]]),
        of("sizes", &[&[("value", Kind::Whole)]]),
        of("leaves", &[&[("value", Kind::Time)]]),
        of("seat", &[SEAT, &[("aliases", Kind::Text)]]),
        of(&format!("{TYPED}:CARDS"), &[CARD, &[("labels", Kind::Text)]]),
        of(&format!("{UNTYPED}:one"), &[UNTYPED_SUBS]),
        of(&format!("{UNTYPED}:Two"), &[UNTYPED_SUBS]),
    ]
}

fn test_of(path: &str, kind: Kind) -> BoxedStrategy<Filter> {
    let equality = vec![CompareOp::Eq, CompareOp::Ne];
    let order = vec![CompareOp::Gt, CompareOp::Ge, CompareOp::Lt, CompareOp::Le];
    let within = vec![CompareOp::Co, CompareOp::Sw, CompareOp::Ew];
    let ordered = || [equality.clone(), order.clone()].concat();
    let all = [equality.clone(), order.clone(), within].concat();
    let known =
        |texts: &[&str]| select(texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    let texts = if path.ends_with("schemas") {
        known(&[USER, ENTERPRISE, "urn:"]).boxed()
    } else if path == "id" {
        known(&["id-1", "id-2", "ID-1", "id"]).boxed()
    } else if path.to_lowercase().ends_with("location") {
        known(&["https://example.com/scim/v2/Users/id-1", "users", "/id-2"]).boxed()
    } else if path.ends_with("version") {
        known(&["W/\"1\"", "w/\"1\"", "W/", "\"2\""]).boxed()
    } else if path.ends_with("resourceType") {
        known(&["User", "user", "U"]).boxed()
    } else {
        text().boxed()
    };
    let texts = texts.prop_map(Literal::String);
    let compared: BoxedStrategy<(CompareOp, Literal)> = match kind {
        Kind::Text => (select(all), texts).boxed(),
        Kind::Bool => (select(equality.clone()), any::<bool>().prop_map(Literal::Bool)).boxed(),
        Kind::Whole | Kind::Real => (select(ordered()), real().prop_map(Literal::Number)).boxed(),
        Kind::Time => (select(ordered()), time().prop_map(Literal::String)).boxed(),
        Kind::Any => prop_oneof![
            3 => (select(all), texts),
            1 => (select(equality.clone()), any::<bool>().prop_map(Literal::Bool)),
            2 => (select(ordered()), real().prop_map(Literal::Number)),
        ]
        .boxed(),
    };
    let path = AttrPath::new(path).unwrap();
    let (a, b) = (path.clone(), path.clone());
    prop_oneof![
        8 => compared.prop_map(move |(op, it)| Filter::Compare(a.clone(), op, it)),
        1 => select(equality).prop_map(move |op| Filter::Compare(b.clone(), op, Literal::Null)),
        1 => Just(Filter::Present(path)),
    ]
    .boxed()
}

fn logic(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(3, 6, 3, |inner| {
        let some = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            some().prop_map(Filter::And),
            some().prop_map(Filter::Or),
            inner.clone().prop_map(|it| Filter::Not(Box::new(it))),
        ]
    })
    .boxed()
}

fn filters() -> BoxedStrategy<Filter> {
    let test = select(paths()).prop_flat_map(|(path, kind)| test_of(&path, kind));
    let whole = ["name", "meta", "emails", "manager", "cards", "seat", "addresses"];
    let whole = select(whole.to_vec()).prop_map(|it| Filter::Present(AttrPath::new(it).unwrap()));
    let brackets = select(bracketed()).prop_flat_map(|(path, subs)| {
        let test = select(subs).prop_flat_map(|(name, kind)| test_of(&name, kind));
        let path = AttrPath::new(&path).unwrap();
        logic(test.boxed()).prop_map(move |it| Filter::ValuePath(path.clone(), Box::new(it)))
    });
    // The table of addresses may only narrow down what the other tests in the brackets decide.
    let addresses = vec!["bob@example.com", "work", "a"];
    let address = select(addresses).prop_map(|it| {
        let value = AttrPath::new("value").unwrap();
        Filter::Compare(value, CompareOp::Eq, Literal::String(it.to_owned()))
    });
    let other = select(PLURAL).prop_flat_map(|(name, kind)| test_of(name, kind));
    let narrowed = (any::<bool>(), address, other).prop_map(|(and, address, other)| {
        let terms = vec![other, address];
        let both = if and { Filter::And(terms) } else { Filter::Or(terms) };
        Filter::ValuePath(AttrPath::new("emails").unwrap(), Box::new(both))
    });
    logic(prop_oneof![6 => test, 1 => whole, 3 => brackets, 1 => narrowed].boxed())
}

/// Decides each filter in both ways, on resources with these documents and one that has
/// nothing.
#[track_caller]
fn check_agreement(name: &str, documents: Vec<Json>, filters: &[Filter]) {
    let harness = Harness::new(name);
    let users = users();
    let documents = (1..).zip(documents.into_iter().chain([json!({})]));
    let changes = harness.connection.unchecked_transaction().unwrap();
    let answers: Vec<_> = documents
        .map(|(seq, it)| {
            let resource = Resource::new(seq, (0, 0), it.as_object().unwrap().clone());
            harness.add(&resource);
            resource.answered()
        })
        .collect();
    let mut decided = 0;
    for filter in filters {
        // Truth values have no order, and numbers contain nothing.
        let Ok(condition) = Condition::of_resource(filter, &users) else { continue };
        let expected = answers.iter().map(|it| Value::Integer(matches(&condition, it).into()));
        let sql = compile(&condition, "User", LOCATIONS, &[]);
        assert_eq!(harness.verdicts(&sql), expected.collect::<Vec<_>>(), "{filter}");
        decided += 1;
    }
    assert!(decided > filters.len() / 2);
    drop(changes);
}

fn every_comparison(path: &str, literals: &[Literal]) -> Vec<Filter> {
    let path = AttrPath::new(path).unwrap();
    let compare = |op, it: &Literal| Filter::Compare(path.clone(), op, it.clone());
    let ops = CompareOp::ALL.iter().map(|it| it.0);
    ops.flat_map(|op| literals.iter().map(move |it| (op, it)))
        .map(|(op, it)| compare(op, it))
        .collect()
}

#[test]
fn every_operator_agrees_on_every_text() {
    let document = |text: &&str| {
        json!({"displayName": text, "externalId": text, "title": text,
            "emails": [{"value": text}], TYPED: {"codes": [text]}})
    };
    let literals: Vec<_> = TEXTS.iter().map(|it| Literal::String((*it).to_owned())).collect();
    let paths = ["displayName", "externalId", "title", "emails.value", "codes"];
    let filters: Vec<_> = paths.iter().flat_map(|it| every_comparison(it, &literals)).collect();
    check_agreement("texts", TEXTS.iter().map(document).collect(), &filters);
}

#[test]
fn every_operator_agrees_on_every_untyped_value() {
    let plain = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(""),
        json!("a"),
        json!("1"),
        json!("true"),
        json!("{}"),
        json!("[]"),
    ];
    let held = |it: &Json| {
        [
            it.clone(),
            json!([it]),
            json!({"sub": it}),
            json!({"value": it}),
            json!([[it]]),
            json!([null, {"sub": [it]}, [], {}]),
            json!([it, "z"]),
        ]
    };
    let documents = plain.iter().flat_map(held).map(|it| json!({UNTYPED: {"one": it}})).collect();
    let literal = |it: &Json| match it {
        Json::Bool(it) => Literal::Bool(*it),
        Json::Number(it) => Literal::Number(it.clone()),
        Json::String(it) => Literal::String(it.clone()),
        _ => Literal::Null,
    };
    let literals: Vec<_> = plain.iter().map(literal).collect();
    let one = format!("{UNTYPED}:one");
    let mut filters = Vec::new();
    for sub in ["value", "sub"] {
        filters.extend(every_comparison(&format!("{one}.{sub}"), &literals));
        let inner = every_comparison(sub, &literals).into_iter().map(Box::new);
        let path = AttrPath::new(&one).unwrap();
        filters.extend(inner.map(|it| Filter::ValuePath(path.clone(), it)));
    }
    filters.extend(every_comparison(&one, &literals));
    check_agreement("untyped", documents, &filters);
}

#[test]
fn both_ways_to_decide_a_filter_agree() {
    let harness = Harness::new("agree");
    let users = users();
    let (yes, no) = (Cell::new(0_u32), Cell::new(0_u32));
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7644),
        ..ProptestConfig::default()
    };
    let input = (resources(), prop::collection::vec(filters(), 1..16));
    let checked = TestRunner::new(config).run(&input, |(resources, filters)| {
        // Dropping the transaction undoes it, at the end of the case or by its panic.
        let changes = harness.connection.unchecked_transaction().unwrap();
        resources.iter().for_each(|it| harness.add(it));
        let outcome = filters.iter().try_for_each(|filter| {
            let text = filter.to_string();
            let parsed = grammar::parse(&text);
            prop_assert_eq!(parsed.as_ref(), Ok(filter), "reads as printed");
            let condition = Condition::of_resource(filter, &users).unwrap();
            let sql = compile(&condition, "User", LOCATIONS, &[]);
            let expected: Vec<bool> =
                resources.iter().map(|it| matches(&condition, &it.answered())).collect();
            let verdicts: Vec<Value> =
                expected.iter().map(|it| Value::Integer((*it).into())).collect();
            prop_assert_eq!(harness.verdicts(&sql), verdicts, "{}\n{}", text, sql.sql);
            let found = resources.iter().zip(&expected).filter(|it| *it.1);
            let found: Vec<i64> = found.map(|it| it.0.seq).collect();
            yes.set(yes.get() + found.len() as u32);
            no.set(no.get() + (expected.len() - found.len()) as u32);
            prop_assert_eq!(harness.select(&sql), found, "{}\n{}", text, sql.sql);
            Ok(())
        });
        drop(changes);
        outcome
    });
    checked.unwrap_or_else(|it| panic!("{it}"));
    let (yes, no) = (yes.get(), no.get());
    assert!(yes > no / 4 && no > yes / 4, "one-sided: {yes} matches, {no} others");
}
