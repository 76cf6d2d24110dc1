//! Conditions on members and groups are decided as on the answer that a client gets.

use std::cell::Cell as Counter;
use std::ops::ControlFlow;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Map, Value, json};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::condition::{Condition, GROUPS_TERMS_MAX};
use crate::scim::filter::grammar;
use crate::scim::filter::matching::matches;
use crate::scim::identity::IdentityChanges;
use crate::scim::membership;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::resource_type::ResourceType;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::open::Open;
use crate::store::query::listing::{From, Listing, Part};
use crate::store::tables::member::Linked;
use crate::store::tables::org::{OrgKey, OrgSettings};
use crate::store::tables::resource::{Kind, Stored};
use crate::store::transaction::Write;

/// A resource of a page.
struct Row {
    seq: i64,
    id: String,
    document: String,
}

fn listed(tx: &Write, seqs: &[i64]) -> Vec<Row> {
    let mut found = Vec::new();
    let read = tx.each_listed(seqs.iter().copied(), |it| {
        let (id, document) = (it.shown.id.to_owned(), it.shown.document.to_owned());
        found.push(Row { seq: it.shown.seq, id, document });
        Ok::<_, Error>(ControlFlow::Continue(()))
    });
    read.unwrap();
    found
}

/// Groups and their members, by number.
type Edges<'a> = &'a [(usize, usize)];

const USERS: usize = 4;
const GROUPS: usize = 5;
const ALL: usize = USERS + GROUPS;

struct Harness {
    folder: PathBuf,
    store: Store,
    org: OrgKey,
    types: Vec<ResourceType>,
    locations: Vec<(String, String)>,
}

impl Harness {
    fn new(name: &str) -> Harness {
        let folder = std::env::temp_dir().join(format!("plumm-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = Store::open(&folder.join("plumm.db"), Open::Create).unwrap();
        let now = Timestamp::from_nanoseconds(0);
        let org = store.write(now, |tx| tx.add_org("a", true, OrgSettings::default())).unwrap();
        let types = Definitions::builtin(IdentityChanges::Refuse).resource_types;
        let location = |it: &ResourceType| {
            (it.name.clone(), format!("https://example.com/scim/v2/{}/", it.endpoint))
        };
        let locations = types.iter().map(location).collect();
        Harness { folder, store, org: org.key, types, locations }
    }

    fn location(&self, resource_type: &str) -> &str {
        let found = self.locations.iter().find(|it| it.0 == resource_type);
        found.map_or("", |it| &it.1)
    }

    /// Users `u0`…, then groups `g0`…; one user and one group are shown without a name.
    fn fill(&self, tx: &Write) -> Vec<Stored> {
        let add = |i: usize| {
            let (resource_type, id) = match i.checked_sub(USERS) {
                None => ("User", format!("u{i}")),
                Some(i) => ("Group", format!("g{i}")),
            };
            let mut document = json!({"id": id});
            match i {
                0 => document["userName"] = "Ann".into(),
                1 => document["displayName"] = "ann B".into(),
                2 => document["displayName"] = "".into(),
                5 => document["displayName"] = "Sales".into(),
                6 => document["displayName"] = "sales West".into(),
                7 => document["displayName"] = "Ann".into(),
                _ => {}
            }
            let kind = Kind { org: self.org, resource_type, location_base: "" };
            tx.add_resource(kind, &id, document.as_object().unwrap()).unwrap()
        };
        (0..ALL).map(add).collect()
    }

    /// The resources of a type as they are answered.
    fn rendered(&self, tx: &Write, resource_type: &str) -> Vec<(String, Map<String, Value>)> {
        let seqs = tx.list(&self.listing(resource_type, None)).unwrap().seqs;
        let found = listed(tx, &seqs);
        let (mut members, mut groups) = (tx.members(&seqs, -1).unwrap(), tx.groups(&seqs).unwrap());
        let shown = found.into_iter().map(|it| {
            let mut document = Stored::parse_text(&it.id, &it.document).unwrap();
            let place = |it: &Linked| format!("{}{}", self.location(&it.resource_type), it.id);
            if resource_type == "Group" {
                let all = members.remove(&it.seq).unwrap_or_default();
                let one = |it: &Linked| {
                    let (kind, display) = (&it.resource_type, it.display.as_deref());
                    membership::member(&it.id, kind, display, &place(it))
                };
                let all: Vec<Value> = all.iter().map(one).collect();
                document.insert("members".to_owned(), all.into());
            } else if let Some(all) = groups.remove(&it.seq) {
                let one = |it: &Linked| {
                    membership::group(&it.id, it.display.as_deref(), &place(it), it.direct)
                };
                let all: Vec<Value> = all.iter().map(one).collect();
                document.insert("groups".to_owned(), all.into());
            }
            (it.id, document)
        });
        shown.collect()
    }

    fn listing<'a>(
        &'a self,
        resource_type: &'a str,
        condition: Option<&'a Condition>,
    ) -> Listing<'a> {
        let location_base = self.location(resource_type);
        Listing {
            org: self.org,
            parts: vec![Part { resource_type, location_base, condition, sort: None }],
            locations: &self.locations,
            sorted: false,
            descending: false,
            from: From::Offset(0),
            limit: 1000,
            count: false,
        }
    }

    fn conditions(&self, texts: &[String], resource_type: &str) -> Vec<(String, Condition)> {
        let of = self.types.iter().find(|it| it.name == resource_type).unwrap();
        let judged = texts.iter().filter_map(|text| {
            let filter = grammar::parse(text).unwrap_or_else(|it| panic!("{text}: {it}"));
            Some((text.clone(), Condition::of_resource(&filter, of).ok()?))
        });
        judged.collect()
    }

    /// Does `check` on a database that has these edges (group, member), then undoes all of it.
    fn with(
        &self,
        edges: Edges,
        deleted: &[usize],
        check: impl FnOnce(&Write) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        let mut outcome = Ok(());
        let undone = self.store.write(Timestamp::from_nanoseconds(1), |tx| {
            let all = self.fill(tx);
            for (group, member) in edges {
                let (group, id) = (all[USERS + group % GROUPS].seq, &all[member % ALL].id);
                tx.add_members(self.org, group, std::slice::from_ref(id)).unwrap();
            }
            for i in deleted {
                let resource_type = if i % ALL < USERS { "User" } else { "Group" };
                let kind = Kind { org: self.org, resource_type, location_base: "" };
                tx.delete_resource(kind, &all[i % ALL])?;
            }
            outcome = check(tx);
            Err::<(), Error>(Error::Busy)
        });
        assert!(matches!(undone, Err(Error::Busy)));
        outcome
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Every operator on every sub-attribute, with values that meet it and values that do not; then
/// the same between brackets, negated and joined.
fn filters(attribute: &str) -> Vec<String> {
    let subs: &[(&str, &[&str])] = &[
        ("value", &["u0", "U1", "g0", "g1", "g3", "u", "none", ""]),
        (
            "$ref",
            &[
                "https://example.com/scim/v2/Users/u0",
                "https://example.com/scim/v2/Groups/g1",
                "https://example.com/scim/v2/users/u0",
                "/g2",
            ],
        ),
        ("display", &["ann", "SALES", "sales west", "", "st"]),
        ("type", &["user", "Group", "direct", "INDIRECT", "direct "]),
    ];
    let mut tests = Vec::new();
    for (sub, values) in subs {
        for op in ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"] {
            tests.extend(values.iter().map(|value| format!("{sub} {op} \"{value}\"")));
        }
        tests.extend(["pr", "eq null", "ne null"].map(|it| format!("{sub} {it}")));
    }
    let mut all = Vec::new();
    for (i, test) in tests.iter().enumerate() {
        let other = &tests[(i * 37 + 11) % tests.len()];
        all.push(format!("{attribute}.{test}"));
        all.push(format!("not ({attribute}.{test})"));
        all.push(format!("{attribute}[{test}]"));
        all.push(format!("{attribute}[not ({test})]"));
        all.push(format!("{attribute}[{test} and {other}]"));
        all.push(format!("{attribute}[{test} or not ({other})]"));
        all.push(format!("{attribute}.{test} and not ({attribute}.{other})"));
    }
    for value in subs[0].1 {
        for op in ["eq", "ne", "co", "sw"] {
            all.push(format!("{attribute} {op} \"{value}\""));
        }
        for (_, values) in &subs[1..] {
            for other in *values {
                all.push(format!("{attribute}[value eq \"{value}\" and type eq \"{other}\"]"));
                all.push(format!("{attribute}[display co \"{other}\" and value eq \"{value}\"]"));
            }
        }
        all.push(format!("id eq \"u0\" and {attribute} eq \"{value}\""));
        all.push(format!("id eq \"g0\" and {attribute} eq \"{value}\""));
        all.push(format!("displayName co \"a\" or {attribute}.value eq \"{value}\""));
    }
    for rest in ["pr", "eq null", "ne null"] {
        all.push(format!("{attribute} {rest}"));
        all.push(format!("not ({attribute} {rest})"));
    }
    all
}

/// A statement of SQLite has room for a limited number of tables.
#[test]
fn the_largest_filters_run() {
    let harness = Harness::new("largest-links");
    let run = |of: &str, text: &str| {
        let conditions = harness.conditions(&[text.to_owned()], of);
        let mut listing = harness.listing(of, Some(&conditions[0].1));
        listing.count = true;
        // The page is not the last one, so that the list is counted.
        listing.from = From::Offset(1);
        let list = |tx: &Write| {
            tx.list(&listing).unwrap_or_else(|it| panic!("{it}: {text}"));
            Ok(())
        };
        harness.with(&[(0, 0), (0, 1), (1, 4)], &[], list).unwrap();
    };
    let terms = [
        "@.value ne \"a\"",
        "not (@ eq \"a\")",
        "not (@[value eq \"a\" and type eq \"direct\"])",
        "not (@[type eq \"direct\" or display sw \"a\"])",
        "@.$ref eq null",
        "@ pr",
    ];
    for term in terms {
        let size = if term.contains('[') { 3 } else { 1 };
        for (of, attribute, most) in
            [("Group", "members", grammar::FILTER_TERMS_MAX), ("User", "groups", GROUPS_TERMS_MAX)]
        {
            for word in [" and ", " or "] {
                let text = vec![term.replace('@', attribute); most / size].join(word);
                run(of, &text);
            }
        }
    }
    // Other terms before those on groups count too.
    for term in ["phoneNumbers.value ne \"a\"", "urn:x:y:z.sub ne \"a\""] {
        let others = vec![term; GROUPS_TERMS_MAX - 2].join(" and ");
        run("User", &format!("{others} and groups.display ne \"a\" and groups eq \"a\""));
        run("User", &vec![term; grammar::FILTER_TERMS_MAX].join(" or "));
    }
}

#[test]
fn filters_on_members_and_groups_are_decided_as_on_the_answer() {
    let harness = Harness::new("links");
    let by_type = [("Group", "members"), ("User", "groups")]
        .map(|(of, attribute)| (of, harness.conditions(&filters(attribute), of)));
    assert!(by_type.iter().all(|it| it.1.len() > 400));
    let (yes, no) = (Counter::new(0_u32), Counter::new(0_u32));
    let check = |tx: &Write| {
        for (of, conditions) in &by_type {
            let rendered = harness.rendered(tx, of);
            for (text, condition) in conditions {
                let expected = rendered.iter().filter(|it| matches(condition, &it.1));
                let expected: Vec<&str> = expected.map(|it| it.0.as_str()).collect();
                let found = tx.list(&harness.listing(of, Some(condition))).unwrap();
                let found = listed(tx, &found.seqs);
                let found: Vec<_> = found.iter().map(|it| it.id.as_str()).collect();
                yes.set(yes.get() + found.len() as u32);
                no.set(no.get() + (rendered.len() - found.len()) as u32);
                prop_assert_eq!(found, expected, "{} {}\n{:#?}", of, text, &rendered);
            }
        }
        Ok(())
    };
    // Numbers of users are 0 to 3, of groups among the members 4 to 8.
    let graphs: &[(Edges, &[usize])] = &[
        (&[], &[]),
        // One group in another in a third; a user below two of them.
        (&[(0, 0), (1, 0), (1, 4), (2, 5), (2, 3), (3, 2)], &[]),
        // A cycle of three with a tail, and a group that is its own member.
        (&[(0, 5), (1, 6), (2, 4), (2, 0), (3, 4), (4, 8), (4, 1)], &[]),
        // A deleted group passes no membership on, and a deleted user is no member.
        (&[(0, 0), (1, 4), (2, 5), (0, 1)], &[5, 1]),
    ];
    for (edges, deleted) in graphs {
        harness.with(edges, deleted, check).unwrap();
    }
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7643),
        ..ProptestConfig::default()
    };
    let input =
        (prop::collection::vec((0..GROUPS, 0..ALL), 0..16), prop::collection::vec(0..ALL, 0..3));
    let checked = TestRunner::new(config)
        .run(&input, |(edges, deleted)| harness.with(&edges, &deleted, check));
    checked.unwrap_or_else(|it| panic!("{it}"));
    let (yes, no) = (yes.get(), no.get());
    assert!(yes > no / 4 && no > yes / 4, "one-sided: {yes} matches, {no} others");
}
