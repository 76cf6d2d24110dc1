//! Lists: sorting (RFC 7644 section 3.4.2.3), cursors (RFC 9865), searches by POST (RFC 7644
//! section 3.4.3), filters on membership.

use std::sync::{Barrier, Mutex, mpsc};
use std::thread;

use plumm::store::error::Error;
use plumm::store::query::long_reads::{LONG_READS_MAX, WAITING_OF_ORG_MAX};
use plumm::store::tables::provisioning_log::{Actor, LogLine};
use plumm::store::tables::resource::State;
use plumm::store::tables::token::Scope;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, encoded};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// Adds a user with these attributes and returns the id.
#[track_caller]
fn add(harness: &Harness, name: &str, mut rest: Value) -> String {
    let address = format!("{name}@example.com");
    rest["schemas"] = json!([USER]);
    rest["userName"] = json!(address);
    if rest.get("emails").is_none() {
        rest["emails"] = json!([{"value": address, "primary": true}]);
    }
    harness.post("/Users", &rest).expect(201).json()["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn group(harness: &Harness, name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|it| json!({"value": it})).collect();
    let group = json!({"schemas": [GROUP], "displayName": name, "members": members});
    harness.post("/Groups", &group).expect(201).json()["id"].as_str().unwrap().to_owned()
}

fn resources(list: &Value) -> &Vec<Value> {
    list["Resources"].as_array().unwrap()
}

/// What the resources of a list are called: a user's name before the `@`, a group's displayName.
fn names(list: &Value) -> Vec<String> {
    let name = |it: &Value| {
        let user_name = it["userName"].as_str().and_then(|it| it.split('@').next());
        user_name.or(it["displayName"].as_str()).unwrap_or_default().to_owned()
    };
    resources(list).iter().map(name).collect()
}

#[track_caller]
fn check_names(harness: &Harness, target: &str, expected: &str) {
    let list = harness.get(target).expect(200).json();
    assert_eq!(names(&list).join(" "), expected, "{target}");
}

#[track_caller]
fn sorted(harness: &Harness, by: &str, ascending: &str, descending: &str) {
    let by = encoded(by);
    check_names(harness, &format!("/Users?sortBy={by}"), ascending);
    check_names(harness, &format!("/Users?sortBy={by}&sortOrder=ascending"), ascending);
    check_names(harness, &format!("/Users?sortBy={by}&sortOrder=descending"), descending);
    check_names(harness, &format!("/Users?sortBy={by}&sortOrder=Descending"), descending);
}

#[test]
fn lists_are_sorted_by_every_kind_of_attribute() {
    let harness = Harness::new();
    let mut ids = Vec::new();
    let users = [
        (
            "b",
            json!({"title": "Zoo", "externalId": "a", "name": {"familyName": "Ärmel"},
            "emails": [{"value": "x@example.com"},
                {"value": "b@example.com", "primary": true, "type": "home"}],
            ENTERPRISE: {"employeeNumber": "10", "department": "b"}}),
        ),
        ("D", json!({"active": false, "nickName": "N", "profileUrl": "b"})),
        (
            "a",
            json!({"title": "zoo", "externalId": "B", "displayName": "Y",
            "name": {"familyName": "zorn"}, "profileUrl": "C",
            ENTERPRISE: {"employeeNumber": "9", "department": "A"}}),
        ),
        (
            "c",
            json!({"title": "apt", "externalId": "b", "displayName": "x", "active": true,
            "name": {"familyName": "armel"}, ENTERPRISE: {"manager": {"value": "1"}}}),
        ),
    ];
    for (name, rest) in users {
        harness.app.clock().advance(1);
        ids.push(add(&harness, name, rest));
    }
    harness.app.clock().advance(1);
    let touched = format!("/Users/{}", ids[1]);
    harness.patch(&touched, &json!([{"op": "add", "path": "locale", "value": "de"}])).expect(200);

    check_names(&harness, "/Users", "b D a c");
    // Text without regard to letter case; equal ones in order of creation, both ways.
    sorted(&harness, "userName", "a b c D", "D c b a");
    sorted(&harness, "USERNAME", "a b c D", "D c b a");
    sorted(&harness, &format!("{USER}:userName"), "a b c D", "D c b a");
    sorted(&harness, "title", "c b a D", "D b a c");
    sorted(&harness, "displayName", "c a b D", "b D a c");
    sorted(&harness, "name.familyName", "c a b D", "D b a c");
    // Text with regard to it.
    sorted(&harness, "externalId", "a b c D", "D c b a");
    sorted(&harness, "profileUrl", "a D b c", "b c D a");
    sorted(&harness, "id", "b D a c", "c a D b");
    // Truth values, times, versions.
    sorted(&harness, "active", "D b a c", "b a c D");
    sorted(&harness, "meta.created", "b D a c", "c a D b");
    sorted(&harness, "meta.lastModified", "b a c D", "D c a b");
    sorted(&harness, "meta.version", "b a c D", "D b a c");
    sorted(&harness, "meta.resourceType", "b D a c", "b D a c");
    sorted(&harness, "meta.location", "b D a c", "c a D b");
    // The primary value of several.
    sorted(&harness, "emails", "a b c D", "D c b a");
    sorted(&harness, "emails.value", "a b c D", "D c b a");
    sorted(&harness, "emails.type", "b D a c", "D a c b");
    // Extensions, with their URN and without.
    sorted(&harness, "department", "a b D c", "D c b a");
    sorted(&harness, &format!("{ENTERPRISE}:department"), "a b D c", "D c b a");
    sorted(&harness, "employeeNumber", "b a D c", "D c a b");
    sorted(&harness, &format!("{ENTERPRISE}:manager.value"), "c b D a", "b D a c");
    sorted(&harness, "manager", "c b D a", "b D a c");
    sorted(&harness, "urn:x:unregistered:title", "b D a c", "b D a c");
    // With a filter and a part of the list.
    check_names(&harness, "/Users?sortBy=title&filter=title%20pr&count=2&startIndex=2", "b a");
}

#[test]
fn without_a_primary_value_the_first_one_sorts() {
    let harness = Harness::new();
    let phones = |values: Value| json!({ "phoneNumbers": values });
    add(&harness, "a", phones(json!([{"value": "3"}, {"value": "1", "primary": true}])));
    add(&harness, "b", phones(json!([{"value": "2"}, {"value": "0", "primary": false}])));
    add(&harness, "c", phones(json!([{"type": "work", "value": "9"}])));
    add(&harness, "d", json!({}));
    sorted(&harness, "phoneNumbers", "a b c d", "d c b a");
    sorted(&harness, "phoneNumbers.type", "c a b d", "a b d c");
}

#[test]
fn what_nothing_can_be_sorted_by_is_refused() {
    let harness = Harness::new();
    for (by, words) in [
        ("shoeSize", "no schema"),
        ("name", "sub-attributes"),
        ("name.shoeSize", "no schema"),
        ("password", "never shown"),
        ("groups", "membership"),
        ("groups.value", "membership"),
        ("a b", "no schema"),
        ("emails[type eq \"work\"]", "no schema"),
    ] {
        let target = format!("/Users?sortBy={}", encoded(by));
        harness.get(&target).refused(400, Some("invalidPath"), words);
    }
    harness.get("/Groups?sortBy=members").refused(400, Some("invalidPath"), "membership");
    harness.get("/Users?sortBy=").expect(200);
    harness.get("/?sortBy=userName").expect(200);
    // Over several types it is a mistake when none of them has it.
    harness.get("/?sortBy=shoeSize").refused(400, Some("invalidPath"), "no schema");
    search(&harness, "", json!({"sortBy": "shoeSize"})).refused(
        400,
        Some("invalidPath"),
        "no schema",
    );
}

/// Everything but the cursor of a query, and how to ask for its pages.
struct Pages<'a> {
    harness: &'a Harness,
    target: &'a str,
}

impl Pages<'_> {
    fn ask(&self, cursor: &str) -> Answer {
        let and = if self.target.contains('?') { '&' } else { '?' };
        self.harness.get(&format!("{}{and}cursor={cursor}", self.target))
    }

    #[track_caller]
    fn page(&self, cursor: &str) -> Value {
        let page = self.ask(cursor).expect(200).json();
        assert_eq!(page["itemsPerPage"], resources(&page).len());
        assert_eq!(page.get("startIndex"), None);
        for name in ["nextCursor", "previousCursor"] {
            if let Some(cursor) = page.get(name) {
                let plain = |it: char| it.is_ascii_alphanumeric() || "-._~".contains(it);
                let cursor = cursor.as_str().unwrap();
                assert!(!cursor.is_empty() && cursor.chars().all(plain), "{cursor}");
            }
        }
        page
    }

    /// Every page from the first to the last, and back again to the first; the two agree.
    #[track_caller]
    fn walk(&self) -> Vec<Vec<String>> {
        let mut pages = vec![self.page("")];
        assert_eq!(pages[0].get("previousCursor"), None, "first page");
        while let Some(next) = pages.last().unwrap().get("nextCursor") {
            let page = self.page(next.as_str().unwrap());
            assert!(page.get("previousCursor").is_some(), "page {}", pages.len());
            assert!(!resources(&page).is_empty(), "an empty page {}", pages.len());
            assert_eq!(page["totalResults"], pages[0]["totalResults"]);
            pages.push(page);
            assert!(pages.len() < 1000, "no end");
        }
        let forward: Vec<_> = pages.iter().map(names).collect();
        let mut at = pages.last().unwrap().clone();
        let mut backward = vec![names(&at)];
        while let Some(previous) = at.get("previousCursor") {
            at = self.page(previous.as_str().unwrap());
            assert!(at.get("nextCursor").is_some(), "there is a way back");
            backward.push(names(&at));
        }
        backward.reverse();
        assert_eq!(forward, backward, "{}", self.target);
        forward
    }
}

#[test]
fn cursors_lead_through_the_whole_list_and_back() {
    let harness = Harness::new();
    for i in 0..23 {
        let title = ["A", "a", "b", "B"].get(i % 7).map(|it| json!({"title": it}));
        add(&harness, &format!("u{i}"), title.unwrap_or(json!({})));
    }
    for i in 0..3 {
        group(&harness, &format!("g{i}"), &[]);
    }
    let whole = |target: &str| {
        let and = if target.contains('?') { '&' } else { '?' };
        names(&harness.get(&format!("{target}{and}count=1000")).expect(200).json())
    };
    let title = encoded("title pr or userName ew \"2@example.com\"");
    for query in [
        "/Users".to_owned(),
        "/Users?sortBy=title".to_owned(),
        "/Users?sortBy=title&sortOrder=descending".to_owned(),
        "/Users?sortBy=userName".to_owned(),
        format!("/Users?filter={title}"),
        format!("/Users?filter={title}&sortBy=title&sortOrder=descending"),
        "/Users?filter=userName%20eq%20%22nobody%22".to_owned(),
        "/Groups?sortBy=displayName".to_owned(),
        "/".to_owned(),
        "/?sortBy=displayName".to_owned(),
        "/?sortBy=title&sortOrder=descending".to_owned(),
    ] {
        let all = whole(&query);
        for count in [1, 2, 5, 22, 23, 26, 100] {
            let and = if query.contains('?') { '&' } else { '?' };
            let target = format!("{query}{and}count={count}");
            let pages = Pages { harness: &harness, target: &target }.walk();
            assert_eq!(pages.concat(), all, "{target}");
            let short = pages.iter().rev().skip(1).find(|it| it.len() != count);
            assert_eq!(short, None, "{target}");
        }
    }
}

#[test]
fn what_stays_is_not_skipped_while_the_list_changes() {
    for (sort, renamed) in [("", false), ("&sortBy=userName", false), ("&sortBy=title", true)] {
        let harness = Harness::new();
        let user = |i: usize| {
            let rest =
                if i.is_multiple_of(3) { json!({}) } else { json!({"title": format!("t{i:02}")}) };
            add(&harness, &format!("u{i:02}"), rest)
        };
        let ids: Vec<String> = (0..20).map(user).collect();
        let filter = encoded("active ne false and userName sw \"u\"");
        for way in ["nextCursor", "previousCursor"] {
            let target = format!("/Users?count=3{sort}&filter={filter}");
            let pages = Pages { harness: &harness, target: &target };
            let mut page = pages.page("");
            if way == "previousCursor" {
                while let Some(next) = page.get("nextCursor") {
                    page = pages.page(next.as_str().unwrap());
                }
            }
            let mut seen = names(&page);
            let mut turn = 0;
            let mut gone = Vec::new();
            while let Some(cursor) = page.get(way).and_then(Value::as_str).map(str::to_owned) {
                // The last one of the page, at which the cursor stands, leaves the list; another
                // joins it, another changes.
                let edge = match way {
                    "nextCursor" => resources(&page).last(),
                    _ => resources(&page).first(),
                };
                let edge = edge.unwrap().clone();
                let at = format!("/Users/{}", edge["id"].as_str().unwrap());
                if turn % 2 == 0 {
                    harness.call("DELETE", &at, "").expect(204);
                } else {
                    let change = json!([{"op": "replace", "path": "active", "value": false}]);
                    harness.patch(&at, &change).expect(200);
                }
                gone.push(edge["userName"].as_str().unwrap().replace("@example.com", ""));
                add(&harness, &format!("new{way}{turn}"), json!({"title": "t05"}));
                let change = json!([{"op": "add", "path": "nickName", "value": "x"}]);
                let touched = format!("/Users/{}", ids[(turn * 7) % ids.len()]);
                let _ = harness.patch(&touched, &change);
                page = pages.page(&cursor);
                seen.extend(names(&page));
                turn += 1;
            }
            assert!(turn > 2, "{sort} {way}");
            let mut once = seen.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), seen.len(), "twice: {seen:?}");
            let rest = harness.get(&format!("/Users?count=1000{sort}&filter={filter}"));
            for stays in names(&rest.expect(200).json()) {
                assert!(seen.contains(&stays), "{sort} {way}: {stays} is not in {seen:?}");
            }
            assert!(!renamed || gone.iter().all(|it| seen.contains(it)));
        }
    }
}

#[test]
fn a_page_of_none_says_how_many_there_are() {
    let harness = Harness::new();
    for i in 0..3 {
        add(&harness, &format!("u{i}"), json!({}));
    }
    for count in ["0", "-5"] {
        let page = harness.get(&format!("/Users?cursor&count={count}")).expect(200).json();
        assert_eq!((&page["totalResults"], &page["itemsPerPage"]), (&json!(3), &json!(0)));
        assert_eq!((page.get("nextCursor"), page.get("previousCursor")), (None, None));
    }
    let filter = encoded("userName eq \"u1@example.com\"");
    let page = harness.get(&format!("/Users?cursor=&count=0&filter={filter}")).expect(200).json();
    assert_eq!(page["totalResults"], 1);
}

#[test]
fn a_cursor_is_good_for_its_query_only() {
    let harness = Harness::new();
    for i in 0..5 {
        add(&harness, &format!("u{i}"), json!({}));
    }
    let (_, stranger) = harness.neighbour("other");
    let target = "/Users?count=2&filter=userName%20pr&sortBy=userName";
    let page = Pages { harness: &harness, target }.page("");
    let cursor = page["nextCursor"].as_str().unwrap();
    let last = if cursor.ends_with('A') { "B" } else { "A" };
    let garbled = format!("{}{last}", &cursor[..cursor.len() - 1]);
    let half = &cursor[..cursor.len() / 2];
    for (target, cursor) in [
        ("/Users?count=2&filter=userName%20pr", cursor),
        ("/Users?count=2&filter=active%20pr&sortBy=userName", cursor),
        ("/Users?count=2&sortBy=userName", cursor),
        ("/Users?count=2&filter=userName%20pr&sortBy=title", cursor),
        ("/Users?count=2&filter=userName%20pr&sortBy=userName&sortOrder=descending", cursor),
        ("/?count=2&filter=userName%20pr&sortBy=userName", cursor),
        (target, "garbage"),
        (target, "%C3%A9"),
        (target, half),
        (target, &garbled),
        (target, &cursor[1..]),
    ] {
        let answer = harness.get(&format!("{target}&cursor={cursor}"));
        answer.refused(400, Some("invalidCursor"), "does not belong to this query");
    }
    let answer =
        harness.with_token(&stranger, "GET", &format!("/scim/v2{target}&cursor={cursor}"), "");
    answer.refused(400, Some("invalidCursor"), "does not belong to this query");
    for cursor in ["%00", "%FF", "%"] {
        let answer = harness.get(&format!("{target}&cursor={cursor}"));
        answer.refused(400, Some("invalidCursor"), "percent-encoded");
    }
    for (count, words) in [("3", "the same"), ("0", "the same"), ("1001", "at most 1000")] {
        let target = target.replace("count=2", &format!("count={count}"));
        let answer = harness.get(&format!("{target}&cursor={cursor}"));
        answer.refused(400, Some("invalidCount"), words);
    }
    harness.get("/Users?count=1001&cursor=").refused(400, Some("invalidCount"), "at most 1000");
    harness.get("/Users?count=1000&cursor=").expect(200);
    harness.get("/Users?count=1001").expect(200);

    let pages = Pages { harness: &harness, target };
    harness.app.clock().advance(24 * 60 * 60);
    pages.ask(cursor).expect(200);
    harness.app.clock().advance(1);
    pages.ask(cursor).refused(400, Some("expiredCursor"), "Begin again");
    pages.ask("").expect(200);
}

/// RFC 9865 section 2.1. Without a cursor there is no such word.
#[test]
fn a_count_that_is_no_number_is_an_invalid_count() {
    let harness = Harness::new();
    harness.get("/Users?cursor=&count=x").refused(400, Some("invalidCount"), "whole number");
    harness.get("/Users?count=x").refused(400, Some("invalidValue"), "whole number");
    let answer = search(&harness, "/Users", json!({"cursor": "", "count": "x"}));
    answer.refused(400, Some("invalidCount"), "whole number");
    let answer = search(&harness, "/Users", json!({"count": "x"}));
    answer.refused(400, Some("invalidValue"), "whole number");
}

fn search(harness: &Harness, target: &str, mut body: Value) -> Answer {
    body["schemas"] = json!([SEARCH]);
    harness.post(&format!("{target}/.search"), &body)
}

#[test]
fn searches_are_answered_as_lists() {
    let harness = Harness::new();
    let ann = add(&harness, "ann", json!({"displayName": "Ann", "title": "z"}));
    add(&harness, "bob", json!({"displayName": "Bob", "title": "y"}));
    group(&harness, "Aces", &[&ann]);
    group(&harness, "Backs", &[]);
    let found = |target: &str, body: Value| {
        let list = search(&harness, target, body).expect(200).json();
        assert_eq!(list["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        (names(&list).join(" "), list["totalResults"].as_i64().unwrap())
    };
    let check = |target: &str, body: Value, expected: &str, total: i64| {
        assert_eq!(found(target, body.clone()), (expected.to_owned(), total), "{target} {body}");
    };
    check("/Users", json!({}), "ann bob", 2);
    check("/Users", json!({"filter": "title eq \"y\""}), "bob", 1);
    check("/Users", json!({"sortBy": "title"}), "bob ann", 2);
    check("/Users", json!({"sortBy": "title", "sortOrder": "descending"}), "ann bob", 2);
    check("/Users", json!({"startIndex": 2, "count": 1}), "bob", 2);
    check("/Users", json!({"count": 0}), "", 2);
    check("/Groups", json!({"filter": "members pr"}), "Aces", 1);
    check("", json!({}), "ann bob Aces Backs", 4);
    check("", json!({"filter": "displayName sw \"a\""}), "ann Aces", 2);
    check("", json!({"sortBy": "displayName"}), "Aces ann Backs bob", 4);
    check("", json!({"sortBy": "displayName", "sortOrder": "descending"}), "bob Backs ann Aces", 4);
    check("", json!({"sortBy": "title", "startIndex": 2, "count": 2}), "ann Aces", 4);
    // What one type alone knows, the others do not meet, and a sort leaves them without a value.
    check("", json!({"filter": "userName pr"}), "ann bob", 2);
    check("", json!({"filter": "members.display eq \"ann\""}), "Aces", 1);
    check("", json!({"filter": "groups pr or displayName eq \"Backs\""}), "ann Backs", 2);
    check("", json!({"filter": "meta.resourceType eq \"Group\""}), "Aces Backs", 2);
    search(&harness, "", json!({"filter": "shoeSize eq 1"})).refused(
        400,
        Some("invalidFilter"),
        "shoeSize",
    );
    search(&harness, "/Groups", json!({"filter": "userName pr"})).refused(
        400,
        Some("invalidFilter"),
        "userName",
    );

    let list = search(&harness, "", json!({"attributes": ["displayName"], "count": 3})).json();
    for it in resources(&list) {
        let mut keys: Vec<&str> = it.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["displayName", "id", "schemas"], "{it}");
    }
    let list = search(&harness, "", json!({"excludedAttributes": ["members", "emails"]})).json();
    for it in resources(&list) {
        assert!(it.get("members").is_none() && it.get("emails").is_none(), "{it}");
        assert!(it.get("meta").is_some(), "{it}");
    }
    let list = search(&harness, "/Groups", json!({"attributes": "members"})).json();
    assert_eq!(resources(&list)[0]["members"][0]["value"], *ann);
}

#[test]
fn searches_are_paged_by_cursor() {
    let harness = Harness::new();
    for i in 0..5 {
        add(&harness, &format!("u{i}"), json!({}));
        group(&harness, &format!("g{i}"), &[]);
    }
    for (target, sort, total) in [("/Users", "userName", 5), ("", "displayName", 10)] {
        let body = |cursor: &str| json!({"cursor": cursor, "count": 2, "sortBy": sort});
        let whole = search(&harness, target, json!({"sortBy": sort})).expect(200).json();
        let mut page = search(&harness, target, body("")).expect(200).json();
        let mut seen = names(&page);
        while let Some(next) = page.get("nextCursor") {
            page = search(&harness, target, body(next.as_str().unwrap())).expect(200).json();
            assert_eq!(page["totalResults"], total);
            assert!(page.get("previousCursor").is_some());
            seen.extend(names(&page));
        }
        assert_eq!(seen, names(&whole));
        let other = json!({"cursor": "x", "count": 2, "sortBy": sort});
        search(&harness, target, other).refused(400, Some("invalidCursor"), "");
    }
}

#[test]
fn wrong_searches_are_refused() {
    let harness = Harness::new();
    for target in ["/Users/.search", "/Groups/.search", "/.search"] {
        let refuse = |body: &str, kind: &str, words: &str| {
            harness.call("POST", target, body).refused(400, Some(kind), words);
        };
        refuse("", "invalidSyntax", "");
        refuse("[]", "invalidSyntax", "");
        refuse("{", "invalidSyntax", "");
        refuse("{\"schemas\":[1]}", "invalidSyntax", "schemas");
        refuse("{\"schemas\":{}}", "invalidSyntax", "schemas");
        let wrong = |rest: &str| format!("{{\"schemas\":[\"{SEARCH}\"],{rest}}}");
        refuse(&wrong("\"filter\":1"), "invalidValue", "filter");
        refuse(&wrong("\"filter\":\"userName\""), "invalidFilter", "");
        refuse(&wrong("\"count\":\"ten\""), "invalidValue", "count");
        refuse(&wrong("\"startIndex\":1.5"), "invalidValue", "startIndex");
        refuse(&wrong("\"sortBy\":[]"), "invalidValue", "sortBy");
        refuse(&wrong("\"attributes\":{}"), "invalidValue", "attributes");
        refuse(
            &wrong("\"attributes\":[\"id\"],\"excludedAttributes\":[\"meta\"]"),
            "invalidValue",
            "",
        );
        refuse(&wrong("\"cursor\":7"), "invalidCursor", "cursor");
    }
}

#[test]
fn memberships_are_found() {
    let harness = Harness::new();
    let ann = add(&harness, "ann", json!({"displayName": "Ann"}));
    let bob = add(&harness, "bob", json!({"displayName": "Bobby"}));
    add(&harness, "cid", json!({}));
    let inner = group(&harness, "Inner", &[&ann]);
    let outer = group(&harness, "Outer", &[&inner, &bob]);
    group(&harness, "Empty", &[]);
    // A cycle.
    let change = json!([{"op": "add", "path": "members", "value": [{"value": outer}]}]);
    harness.patch(&format!("/Groups/{inner}"), &change).expect(200);
    let check = |target: &str, filter: &str, expected: &str| {
        check_names(&harness, &format!("{target}?filter={}", encoded(filter)), expected);
    };
    check("/Groups", &format!("members.value eq \"{ann}\""), "Inner");
    check("/Groups", &format!("members eq \"{}\"", bob.to_uppercase()), "Outer");
    check("/Groups", &format!("members[value eq \"{inner}\"]"), "Outer");
    check("/Groups", &format!("id eq \"{outer}\" and members eq \"{bob}\""), "Outer");
    check("/Groups", &format!("id eq \"{inner}\" and members eq \"{bob}\""), "");
    check("/Groups", "members[type eq \"User\" and display co \"BOB\"]", "Outer");
    check("/Groups", "members[type eq \"Group\" and display co \"bob\"]", "");
    check("/Groups", "members pr", "Inner Outer");
    check("/Groups", "not (members pr)", "Empty");
    check("/Groups", &format!("members ne \"{ann}\""), "Inner Outer Empty");
    let place = format!("https://plumm.example/scim/v2/Users/{ann}");
    let shown = harness.get(&format!("/Groups/{inner}")).json()["members"][0]["$ref"].clone();
    check("/Groups", &format!("members.$ref eq {shown}"), "Inner");
    assert!(shown.as_str().unwrap().ends_with(place.split("//").nth(1).unwrap()));
    check("/Users", &format!("groups.value eq \"{inner}\""), "ann bob");
    check("/Users", &format!("groups[value eq \"{inner}\" and type eq \"direct\"]"), "ann");
    check("/Users", "groups.display sw \"in\"", "ann bob");
    check("/Users", "groups[type eq \"indirect\" and display eq \"Outer\"]", "ann");
    check("/Users", "not (groups pr)", "cid");
    harness.call("DELETE", &format!("/Groups/{inner}"), "").expect(204);
    check("/Users", &format!("groups eq \"{inner}\""), "");
    check("/Users", "groups pr", "bob");
    harness.call("DELETE", &format!("/Users/{bob}"), "").expect(204);
    check("/Groups", "members pr", "");
    check("/Groups", &format!("members eq \"{bob}\""), "");
}

#[test]
fn members_are_removed_by_their_address() {
    let harness = Harness::new();
    let ann = add(&harness, "ann", json!({}));
    let bob = add(&harness, "bob", json!({}));
    let at = format!("/Groups/{}", group(&harness, "Both", &[&ann, &bob]));
    let shown = harness.get(&at).json()["members"][0]["$ref"].clone();
    let path = format!("members[$ref eq {shown}]");
    harness.patch(&at, &json!([{"op": "remove", "path": path}]));
    let left = harness.get(&at).json()["members"].clone();
    assert_eq!((left.as_array().unwrap().len(), &left[0]["value"]), (1, &json!(bob)));
}

#[test]
fn pages_joined_are_the_list() {
    let texts =
        || prop::option::weighted(0.7, select(vec!["", "a", "A", "ab", "Z", "é", "É", "1"]));
    let one = (texts(), texts(), any::<bool>(), texts(), 0..3_i64);
    let sorts = [
        "",
        "title",
        "name.familyName",
        "active",
        "emails.type",
        "userName",
        "externalId",
        "displayName",
        "meta.lastModified",
        "department",
        "nickName",
        "phoneNumbers",
    ];
    let input = (
        prop::collection::vec(one, 0..14),
        prop::collection::vec((select(sorts.to_vec()), any::<bool>(), 1..6_usize, 0..3_usize), 4),
    );
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(9865),
        ..ProptestConfig::default()
    };
    let checked = TestRunner::new(config).run(&input, |(users, queries)| {
        let harness = Harness::new();
        for (i, (title, family, active, phone, seconds)) in users.iter().enumerate() {
            harness.app.clock().advance(*seconds);
            let mut rest = json!({"active": active});
            if let Some(it) = title {
                rest["title"] = json!(it);
                rest["displayName"] = json!(it);
                rest[ENTERPRISE] = json!({"department": it});
            }
            if let Some(it) = family {
                rest["name"] = json!({"familyName": it});
                rest["externalId"] = json!(it);
            }
            if let Some(it) = phone {
                rest["phoneNumbers"] = json!([{"value": "x"}, {"value": it, "primary": active}]);
            }
            add(&harness, &format!("u{}", i * 7 % 13 * 10 + i), rest);
        }
        for i in 0..users.len() / 3 {
            group(&harness, ["a", "B", "é", "z"][i % 4], &[]);
        }
        for (sort, descending, count, of) in queries {
            let order = if descending { "descending" } else { "ascending" };
            let filter = format!("&filter={}", encoded("title pr or active eq true"));
            let (endpoint, filter) = [("/Users", ""), ("/", ""), ("/Users", filter.as_str())][of];
            let query = format!("{endpoint}?sortBy={sort}&sortOrder={order}{filter}");
            let whole = harness.get(&format!("{query}&count=1000")).expect(200).json();
            let ids = |list: &Value| -> Vec<String> {
                resources(list).iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
            };
            let target = format!("{query}&count={count}");
            let pages = Pages { harness: &harness, target: &target }.walk();
            prop_assert_eq!(pages.concat(), names(&whole), "{}", target);
            let mut by_index = Vec::new();
            while by_index.len() < resources(&whole).len() {
                let from = by_index.len() + 1;
                let page = harness.get(&format!("{target}&startIndex={from}")).expect(200).json();
                prop_assert_eq!(&page["totalResults"], &whole["totalResults"]);
                by_index.extend(ids(&page));
            }
            prop_assert_eq!(by_index, ids(&whole), "{}", target);
        }
        Ok(())
    });
    checked.unwrap_or_else(|it| panic!("{it}"));
}

/// The page that begins here: the names, and what the list says of its length.
fn page(harness: &Harness, start: i64, query: &str) -> (String, i64) {
    let target = format!("/Users?startIndex={start}&count=2{query}");
    let list = harness.get(&target).expect(200).json();
    assert_eq!(list["startIndex"], start);
    (names(&list).join(" "), list["totalResults"].as_i64().unwrap())
}

#[test]
fn a_walk_by_index_skips_nobody_and_meets_nobody_twice() {
    let by_title = encoded("title sw \"t\"");
    for query in [
        String::new(),
        "&sortBy=title".to_owned(),
        format!("&filter={by_title}"),
        format!("&filter={by_title}&sortBy=title"),
    ] {
        let harness = Harness::new();
        let title = |it: &str| json!({ "title": format!("t{it}") });
        let ids: Vec<_> = "abcdefg"
            .chars()
            .map(|it| add(&harness, &it.to_string(), title(&it.to_string())))
            .collect();
        let page = |start| page(&harness, start, &query);
        let is = |names: &str, total| (names.to_owned(), total);
        assert_eq!(page(1), is("a b", 7), "{query}");
        // Whose place was remembered is gone, and one before it.
        harness.call("DELETE", &format!("/Users/{}", ids[0]), "").expect(204);
        harness.call("DELETE", &format!("/Users/{}", ids[1]), "").expect(204);
        assert_eq!(page(3), is("c d", 5), "{query}");
        // The same again: an answer may have been lost on its way.
        assert_eq!(page(3), is("c d", 5), "{query}");
        let none = harness.get(&format!("/Users?startIndex=5&count=0{query}")).expect(200).json();
        assert_eq!(none["totalResults"], 5, "{query}");
        harness.call("DELETE", &format!("/Users/{}", ids[2]), "").expect(204);
        // Four are left, and the client is told that the list goes on.
        assert_eq!(page(5), is("e f", 7), "{query}");
        assert_eq!(page(7), is("g", 4), "{query}");
        // By another way there, the index counts.
        assert_eq!(page(2), is("e f", 4), "{query}");
        // A new walk.
        assert_eq!(page(1), is("d e", 4), "{query}");
        restore(&harness, &ids[0]);
        assert_eq!(page(3), is("f g", 4), "{query}");
        assert_eq!(page(5), is("", 4), "{query}");
        assert_eq!(page(1), is("a d", 5), "{query}");
    }
}

/// The ids that a client gets that walks a list until `totalResults`, and adds this to `startIndex`.
fn walked(harness: &Harness, count: i64, step: impl Fn(&Value) -> i64) -> (Vec<String>, usize) {
    let (mut found, mut start, mut pages) = (Vec::new(), 1, 0);
    loop {
        let target = format!("/Users?startIndex={start}&count={count}");
        let list = harness.get(&target).expect(200).json();
        found.extend(resources(&list).iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        (start, pages) = (start + step(&list), pages + 1);
        if start > list["totalResults"].as_i64().unwrap() {
            return (found, pages);
        }
        assert!(pages < 100, "no end");
    }
}

/// What is read at once is less than a hundred accounts or groups can have. Okta adds a hundred to
/// `startIndex` whatever it got, and takes who is missing for deleted.
#[test]
fn nobody_is_missing_where_a_page_is_larger_than_what_is_read_at_once() {
    let harness = Harness::new();
    let long = json!({ "urn:x:y": { "note": "x".repeat(100_000) } });
    let ids: Vec<String> =
        (0..100).map(|i| add(&harness, &format!("u{i}"), long.clone())).collect();
    for (count, expected) in [(41, 3), (60, 2), (90, 2), (100, 1), (1_000, 1)] {
        let by_page = |it: &Value| it["itemsPerPage"].as_i64().unwrap();
        for step in [&by_page as &dyn Fn(&Value) -> i64, &|_| count] {
            let (found, pages) = walked(&harness, count, step);
            assert_eq!((found == ids, pages), (true, expected), "count {count}: {}", found.len());
        }
    }
    // In every order, and with every filter.
    let sorted = harness.get("/Users?sortBy=userName&sortOrder=descending&count=100").expect(200);
    let mut expected: Vec<String> = (0..100).map(|i| format!("u{i}")).collect();
    // As the addresses are sorted, in which an @ follows.
    expected.sort_by_key(|it| format!("{it}@"));
    expected.reverse();
    assert_eq!(names(&sorted.json()), expected);
    let body = json!({"schemas": [SEARCH], "filter": "userName sw \"u1\" or userName sw \"u7\" \
        or userName sw \"u8\" or userName sw \"u9\" or userName sw \"u2\" or userName sw \"u3\"",
        "count": 70, "attributes": ["urn:x:y:note"]});
    let list = harness.post("/Users/.search", &body).expect(200).json();
    assert_eq!((&list["totalResults"], &list["itemsPerPage"]), (&json!(66), &json!(66)));
    assert_eq!(resources(&list).len(), 66);
}

/// In a list read from its end, too, whatever is too large for one page stands on the next one.
#[test]
fn nobody_is_missing_on_the_way_back_where_pages_are_too_large() {
    let harness = Harness::new();
    let long = |i: usize| json!({ "title": format!("é{:02}", i % 7), "urn:x:y": { "note": "x".repeat(i % 3 * 60_000) } });
    let ids: Vec<String> = (0..120).map(|i| add(&harness, &format!("u{i}"), long(i))).collect();
    let members: Vec<&str> = ids.iter().skip(30).step_by(5).map(String::as_str).collect();
    group(&harness, "g", &members);
    for query in ["count=100", "count=100&sortBy=title", "count=100&excludedAttributes=locale"] {
        let target = format!("/Users?{query}");
        let pages = Pages { harness: &harness, target: &target };
        let mut page = pages.page("");
        let mut forward = names(&page);
        while let Some(next) = page.get("nextCursor") {
            page = pages.page(next.as_str().unwrap());
            forward.extend(names(&page));
        }
        assert_eq!(forward.len(), ids.len(), "{query}");
        let mut backward = vec![names(&page)];
        while let Some(previous) = page.get("previousCursor") {
            page = pages.page(previous.as_str().unwrap());
            backward.push(names(&page));
        }
        backward.reverse();
        assert_eq!(backward.concat(), forward, "{query}");
    }
}

/// Whether documents are parsed for it or not, in whichever order, with groups and without.
#[test]
fn a_resource_of_a_page_is_what_a_request_for_it_alone_answers() {
    let harness = Harness::new();
    let mut ids = Vec::new();
    for i in 0..150 {
        let note = if i % 40 == 7 { "x".repeat(70_000) } else { "\"é\\".to_owned() };
        let rest = json!({ "title": format!("t{}", i % 11), "urn:x:y": { "note": note } });
        ids.push(add(&harness, &format!("u{i}"), rest));
    }
    let every = |step: usize| ids.iter().step_by(step).map(String::as_str).collect::<Vec<_>>();
    let inner = group(&harness, "inner \"g\"", &every(3));
    let outer = group(&harness, "outer", &[&inner, &ids[1], &ids[149]]);
    let gone = group(&harness, "gone", &every(4));
    harness.call("DELETE", &format!("/Groups/{gone}"), "").expect(204);
    for query in [
        "/Users?count=1000",
        "/Users?count=1000&cursor=",
        "/Users?sortBy=title&sortOrder=descending&count=1000",
        "/Users?count=1000&excludedAttributes=locale",
        "/Groups?count=1000",
        "/?count=1000",
    ] {
        let list = harness.get(query).expect(200).json();
        let expected = if query.starts_with("/Groups") { 2 } else { 150 };
        assert!(resources(&list).len() >= expected, "{query}");
        for it in resources(&list) {
            let at = format!(
                "/{}s/{}",
                it["meta"]["resourceType"].as_str().unwrap(),
                it["id"].as_str().unwrap()
            );
            assert_eq!(*it, harness.get(&at).expect(200).json(), "{query}");
        }
    }
    let list = harness.get("/Groups?count=10").expect(200).json();
    let found: Vec<&str> = resources(&list).iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(found, [inner.as_str(), &outer]);
}

/// The members of groups are no part of their documents.
#[test]
fn no_group_is_missing_where_their_members_are_many() {
    let harness = Harness::new();
    let people: Vec<String> =
        (0..400).map(|i| add(&harness, &format!("u{i}"), json!({}))).collect();
    let members: Vec<&str> = people.iter().map(String::as_str).collect();
    let ids: Vec<String> = (0..90).map(|i| group(&harness, &format!("g{i}"), &members)).collect();
    let list = harness.get("/Groups?startIndex=1&count=100").expect(200).json();
    let found: Vec<&str> = resources(&list).iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids);
    assert!(resources(&list).iter().all(|it| it["members"].as_array().unwrap().len() == 400));
    assert_eq!((&list["totalResults"], &list["itemsPerPage"]), (&json!(90), &json!(90)));
}

/// Brings a deleted user back, as support does.
fn restore(harness: &Harness, id: &str) {
    let org = harness.org.key;
    let stored = harness.store.read(|tx| tx.find(org, "User", id, State::Deleted));
    let stored = stored.unwrap().unwrap();
    let restored = harness.store.write(harness.now, |tx| {
        tx.restore_resource(org, "User", &stored)?;
        tx.log(&LogLine {
            org,
            actor: &Actor::cli(),
            method: "RESTORE",
            resource_type: "User",
            resource: id,
            outcome: 200,
            changes: &json!({}),
        })
    });
    restored.unwrap();
}

#[test]
fn a_walk_by_index_belongs_to_its_token_and_list_for_five_minutes() {
    let harness = Harness::new();
    let ids: Vec<_> = ["a", "b", "c", "d", "e"].map(|it| add(&harness, it, json!({}))).into();
    let other = harness.issue(Scope::Scim);
    assert_eq!(page(&harness, 1, "").0, "a b");
    harness.call("DELETE", &format!("/Users/{}", ids[0]), "").expect(204);
    let target = "/scim/v2/Users?startIndex=3&count=2";
    let list = harness.with_token(&other, "GET", target, "").expect(200).json();
    assert_eq!(names(&list), ["d", "e"], "another token walks for itself");
    assert_eq!(page(&harness, 3, "&sortBy=userName").0, "d e", "another list");
    assert_eq!(page(&harness, 3, "").0, "c d");
    harness.app.clock().advance(5 * 60);
    assert_eq!(page(&harness, 3, "").0, "d e", "too late");
}

#[test]
fn the_length_of_a_filtered_list_follows_every_change() {
    let harness = Harness::new();
    let ids: Vec<_> =
        ["a", "b", "c", "d", "e", "f"].map(|it| add(&harness, it, json!({"title": "t"}))).into();
    let group = group(&harness, "g", &[]);
    let by_title = format!("&filter={}", encoded("title eq \"t\""));
    let by_group = format!("&filter={}", encoded("title eq \"t\" and not (groups pr)"));
    let totals = || (page(&harness, 1, &by_title).1, page(&harness, 1, &by_group).1);
    assert_eq!(totals(), (6, 6));
    assert_eq!(totals(), (6, 6));
    let at = format!("/Users/{}", ids[5]);
    harness.patch(&at, &json!([{"op": "replace", "path": "title", "value": "u"}])).expect(200);
    assert_eq!(totals(), (5, 5));
    let add_member = json!([{"op": "add", "path": "members", "value": [{"value": ids[4]}]}]);
    harness.patch(&format!("/Groups/{group}"), &add_member).expect(200);
    assert_eq!(totals(), (5, 4));
    harness.call("DELETE", &format!("/Users/{}", ids[3]), "").expect(204);
    assert_eq!(totals(), (4, 3));
    add(&harness, "h", json!({"title": "t"}));
    assert_eq!(totals(), (5, 4));
}

#[test]
fn short_reads_never_wait_for_long_lists_and_few_long_ones_may_wait() {
    let harness = Harness::new();
    let id = add(&harness, "a", json!({"title": "t"}));
    let access = harness.issue(Scope::Access);
    let long = format!("/Users?filter={}", encoded("title co \"t\""));
    let started = Barrier::new(LONG_READS_MAX + 1);
    let hold = Mutex::new(());
    // No organisation has all of them.
    let neighbour = |i: usize| harness.neighbour(&format!("neighbour {i}")).0.key;
    let orgs: Vec<_> = (0..LONG_READS_MAX).map(neighbour).collect();
    thread::scope(|scope| {
        let held = hold.lock().unwrap();
        for org in &orgs {
            scope.spawn(|| {
                let read: Result<(), Error> = harness.store.read_long(*org, |_| {
                    started.wait();
                    drop(hold.lock());
                    Ok(())
                });
                read.unwrap();
            });
        }
        started.wait();
        let (send, receive) = mpsc::channel();
        for _ in 0..=WAITING_OF_ORG_MAX {
            let (send, harness, long) = (send.clone(), &harness, &long);
            scope.spawn(move || send.send(harness.get(long)).unwrap());
        }
        let refused = receive.recv().unwrap();
        assert_eq!(refused.header("Retry-After"), Some("1"));
        refused.refused(503, None, "Too many long lists");
        // All others are answered at once, by no more than one connection.
        let quick = ["userName eq \"a@example.com\"", "emails eq \"a@example.com\""];
        assert!(quick.iter().all(|it| harness.count(it) == 1));
        harness.get(&format!("/Users/{id}")).expect(200);
        harness.get("/Users?startIndex=1&count=2").expect(200);
        let title = json!([{"op": "replace", "path": "title", "value": "t2"}]);
        harness.patch(&format!("/Users/{id}"), &title).expect(200);
        let login = "/access/v1/users/a@example.com";
        harness.with_token(&access, "GET", login, "").expect(200);
        // And the ones that wait, when it is their turn.
        drop(held);
        for _ in 0..WAITING_OF_ORG_MAX {
            receive.recv().unwrap().expect(200);
        }
    });
}
