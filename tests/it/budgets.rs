//! One may not stop the others: what a token holder may take of memory, time and places.

use std::thread;
use std::time::Duration;

use plumm::app::answer::Answer;
use plumm::http::request::Request;
use plumm::memory::{
    MEMORY_BYTES_FREE, MEMORY_BYTES_MAX, MEMORY_BYTES_PER_ORG, MEMORY_WAITING_PER_ORG,
};
use serde_json::{Value, json};

use crate::harness::{Harness, request, user, wait_until};

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// A request of its own, for what is told beside the answer.
fn get(token: &str, target: &str) -> Request {
    let authorization = format!("Bearer {token}");
    request("GET", &format!("/scim/v2{target}"), &[("Authorization", &authorization)])
}

/// Creates users of half a megabyte each; more than four megabytes of them together.
fn nine_large(harness: &Harness) {
    for i in 0..9 {
        harness.post("/Users", &large(&format!("u{i}@example.com"))).expect(201);
    }
}

/// A user whose document is about half a megabyte.
fn large(name: &str) -> Value {
    let mut body = user(name);
    body["title"] = "x".repeat(500_000).into();
    body
}

#[test]
fn a_page_is_whole_by_index_and_ends_at_its_bytes_by_cursor() {
    let harness = Harness::new();
    let mut ids = Vec::new();
    for i in 0..20 {
        let made = harness.post("/Users", &large(&format!("u{i}@example.com"))).expect(201).json();
        ids.push(made["id"].clone());
    }
    let names = |page: &Value| -> Vec<Value> {
        page["Resources"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect()
    };
    // By index: some clients add `count` to `startIndex`, whatever they got.
    for (filter, start, count) in
        [("", 1, 1000), ("", 1, 20), ("", 3, 15), ("filter=active%20eq%20true&", 1, 1000)]
    {
        let target = format!("/Users?{filter}startIndex={start}&count={count}");
        let page = harness.get(&target).expect(200).json();
        let expected: Vec<Value> = ids.iter().skip(start - 1).take(count).cloned().collect();
        assert_eq!(names(&page), expected, "{target}");
        assert_eq!(page["totalResults"], 20, "{target}");
        assert_eq!(page["startIndex"], start, "{target}");
        assert_eq!(page["itemsPerPage"], expected.len(), "{target}");
    }
    // By cursor, forward and back.
    let mut page = harness.get("/Users?cursor=&count=1000").expect(200).json();
    let mut seen = names(&page);
    while let Some(next) = page["nextCursor"].as_str() {
        assert!(names(&page).len() < 10);
        page = harness.get(&format!("/Users?cursor={next}&count=1000")).expect(200).json();
        seen.extend(names(&page));
    }
    assert_eq!(seen, ids);
    // Near its end a list is read from there, and a page that is cut still begins where it should.
    let page = harness.get("/Users?startIndex=11&count=1000").expect(200).json();
    assert_eq!(names(&page)[0], ids[10]);
}

/// What is made of a list at once.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// More than a resource of the lists below is taken for when it is begun.
const MOST_BEGUN: usize = 26_000;

/// Asks for a list of several megabytes in each way: every resource is on it, in order, just as a
/// request for it alone answers.
#[track_caller]
fn check_long_list(harness: &Harness, endpoint: &str, ids: &[String], projection: &str) {
    let and = format!("count=1000{projection}");
    let alone =
        |id: &String| harness.get(&format!("{endpoint}/{id}?{projection}")).expect(200).json();
    let expected: Vec<Value> = ids.iter().map(alone).collect();
    let check = |found: Vec<Value>, way: &str| {
        assert_eq!(found.len(), expected.len(), "{endpoint} {way} {projection}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(found == expected, "{endpoint} {way} {projection}: {i}");
        }
    };
    let list = harness.get(&format!("{endpoint}?startIndex=1&{and}")).expect(200).json();
    assert_eq!(list["itemsPerPage"], ids.len());
    check(list["Resources"].as_array().unwrap().clone(), "by index");
    let walk = |mut page: Value, way: &str| {
        let mut pages = Vec::new();
        loop {
            pages.push(page["Resources"].as_array().unwrap().clone());
            let Some(next) = page[way].as_str() else { break };
            page = harness.get(&format!("{endpoint}?cursor={next}&{and}")).expect(200).json();
        }
        (pages, page)
    };
    let first = harness.get(&format!("{endpoint}?cursor=&{and}")).expect(200).json();
    let (pages, last) = walk(first, "nextCursor");
    assert!(pages.len() > 2, "{} pages", pages.len());
    check(pages.concat(), "forward");
    // What is left is not so little that a further resource is not even begun.
    let length = |page: &Vec<Value>| Value::from(page.clone()).to_string().len();
    let cut = |pages: &[Vec<Value>]| pages.iter().any(|it| length(it) + MOST_BEGUN < PAGE_BYTES);
    assert!(cut(&pages[..pages.len() - 1]) || !projection.is_empty(), "{endpoint}");
    let (mut pages, _) = walk(last, "previousCursor");
    assert!(cut(&pages[1..pages.len() - 1]) || !projection.is_empty(), "{endpoint}");
    pages.reverse();
    check(pages.concat(), "backward");
}

#[test]
fn a_page_that_is_full_amid_the_groups_of_a_user_ends_before_that_user() {
    let harness = Harness::new();
    let ids: Vec<String> = (0..200)
        .map(|i| harness.user(&format!("u{i}@example.com"))["id"].as_str().unwrap().to_owned())
        .collect();
    for i in 0..26 {
        // Nobody is in all of them, and some are in fewer than others.
        let are_in = ids.iter().enumerate().filter(|(at, _)| (at + i) % 13 > at % 3);
        let members: Vec<Value> = are_in.map(|(_, id)| json!({ "value": id })).collect();
        let name = format!("{i}{}", "é".repeat(900));
        harness.post("/Groups", &json!({"displayName": name, "members": members})).expect(201);
    }
    for projection in ["", "&attributes=userName,groups", "&excludedAttributes=title"] {
        check_long_list(&harness, "/Users", &ids, projection);
    }
}

#[test]
fn a_page_that_is_full_amid_the_members_of_a_group_ends_before_that_group() {
    let harness = Harness::new();
    let members: Vec<Value> = (0..100)
        .map(|i| {
            let mut body = user(&format!("u{i}@example.com"));
            body["displayName"] = format!("{i}\"{}", "x".repeat(4_000)).into();
            json!({"value": harness.post("/Users", &body).expect(201).json()["id"]})
        })
        .collect();
    let ids: Vec<String> = (0..25)
        .map(|i| {
            let body = json!({"displayName": format!("g{i}"), "members": members[i % 3..]});
            let made = harness.post("/Groups", &body).expect(201).json();
            made["id"].as_str().unwrap().to_owned()
        })
        .collect();
    for projection in ["", "&attributes=members"] {
        check_long_list(&harness, "/Groups", &ids, projection);
    }
}

/// Accounts without groups may be read many at once, and those behind them may be in very many.
#[test]
fn the_groups_that_a_page_holds_are_charged_for() {
    let harness = Harness::new();
    let ids: Vec<String> = (0..90)
        .map(|i| harness.user(&format!("u{i}@example.com"))["id"].as_str().unwrap().to_owned())
        .collect();
    let members: Vec<Value> = ids.iter().skip(60).map(|id| json!({ "value": id })).collect();
    for i in 0..600 {
        let body = json!({"displayName": format!("g{i}"), "members": members});
        harness.post("/Groups", &body).expect(201);
    }
    // A group takes 240 bytes, so that a page has room for 29 such accounts.
    let target = "/Users?count=1000&attributes=groups&cursor=";
    let page = harness.get(target).expect(200).json();
    let count = page["Resources"].as_array().unwrap().len();
    assert!((60 + 26..60 + 30).contains(&count), "{count}");
    let next = page["nextCursor"].as_str().unwrap();
    let page = harness.get(&format!("{target}{next}")).expect(200).json();
    assert_eq!(page["Resources"].as_array().unwrap().len(), ids.len() - count);
    assert_eq!(page["Resources"][0]["groups"].as_array().unwrap().len(), 600);
    // Where others have the memory, such a page is refused; what is small is not.
    let memory = harness.app.memory();
    let taken = memory.take(MEMORY_BYTES_MAX, &[], || ()).unwrap();
    harness.get(target).refused(503, None, "");
    for limit in ["", "&count=1000"] {
        let filter = "filter=userName%20eq%20%22u1@example.com%22";
        harness.get(&format!("/Users?{filter}{limit}")).expect(200);
    }
    drop(taken);
    harness.get(target).expect(200);
    assert_eq!(memory.in_use(), 0);
}

/// Its clients fetch pages of some megabytes and do not read them.
#[test]
fn answers_that_one_organisation_leaves_unread_keep_no_memory_from_the_others() {
    let harness = Harness::new();
    nine_large(&harness);
    let (_, neighbour) = harness.neighbour("neighbour");
    let body = large("theirs@example.com").to_string();
    let made = harness.with_token(&neighbour, "POST", "/scim/v2/Users", &body).expect(201).json();
    let theirs = format!("/Users/{}", made["id"].as_str().unwrap());
    let ask = |token: &str, target: &str| -> Answer {
        harness.app.handle_and_take(&get(token, target), || ())
    };
    let memory = harness.app.memory();
    let mut unread = Vec::new();
    loop {
        let answer = ask(harness.token(), "/Users?cursor=&count=9");
        if answer.response.status == 503 {
            assert!(answer.response.header("Retry-After").is_some());
            break;
        }
        assert!(answer.response.body.len() > 4_000_000);
        unread.push(answer);
        assert!(memory.in_use() <= MEMORY_BYTES_PER_ORG);
    }
    assert!(unread.len() > 40);
    let answers: Vec<_> = (0..10).map(|_| ask(&neighbour, &theirs)).collect();
    assert!(answers.iter().all(|it| it.response.status == 200));
    assert!(memory.in_use() > MEMORY_BYTES_PER_ORG);
    drop(unread);
    assert_eq!(ask(harness.token(), "/Users?cursor=&count=9").response.status, 200);
    drop(answers);
    assert_eq!(memory.in_use(), 0);
}

/// What is sent already would be in vain.
#[test]
fn the_next_part_of_a_page_waits_for_memory_though_many_others_do() {
    let harness = Harness::new();
    nine_large(&harness);
    let request = get(harness.token(), "/Users?count=9");
    let Answer { response, taken, further } = harness.app.handle_and_take(&request, || ());
    assert!(response.body.len() < 9 * 500_000);
    drop(taken);
    let memory = harness.app.memory().of(Some(harness.org.key.number()));
    let all = memory.take(MEMORY_BYTES_MAX, &[], || ()).unwrap();
    thread::scope(|scope| {
        for _ in 0..MEMORY_WAITING_PER_ORG {
            scope.spawn(|| assert!(memory.take(MEMORY_BYTES_FREE + 1, &[], || ()).is_some()));
        }
        wait_until(|| memory.waiting_and_refused().0 == MEMORY_WAITING_PER_ORG);
        let mut further = further.unwrap();
        let app = &harness.app;
        let request = &request;
        let next = scope.spawn(move || app.next_part(request, &mut further, || ()).unwrap());
        thread::sleep(Duration::from_millis(50));
        assert!(!next.is_finished());
        drop(all);
        let part = next.join().unwrap().unwrap();
        assert_eq!(
            response.body.len() + part.bytes.len(),
            harness.get("/Users?count=9").text.len()
        );
    });
    assert_eq!(memory.in_use(), 0);
}

#[test]
fn a_change_that_cannot_be_answered_is_not_made() {
    let harness = Harness::new();
    let made = harness.post("/Users", &large("u@example.com")).expect(201).json();
    let at = format!("/Users/{}", made["id"].as_str().unwrap());
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    let memory = harness.app.memory();
    let taken = memory.take(MEMORY_BYTES_MAX, &[], || ()).unwrap();
    harness.patch(&at, &off).refused(503, None, "The account is still active.");
    // As the operation of a Bulk request it is answered in a few words.
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": off});
    let bulk =
        json!({"schemas": [BULK], "Operations": [{"method": "PATCH", "path": at, "data": body}]});
    let answer = harness.post("/Bulk", &bulk).expect(200).json();
    assert_eq!(answer["Operations"][0]["status"], "200");
    let on = json!([{"op": "replace", "path": "active", "value": true}]);
    harness.patch(&at, &on).refused(503, None, "under way at this moment");
    drop(taken);
    assert_eq!(harness.patch(&at, &on).expect(200).json()["active"], true);
    assert_eq!(memory.in_use(), 0);
}

#[test]
fn very_many_names_in_a_projection_are_found_by_a_map() {
    let harness = Harness::new();
    for i in 0..30 {
        harness.user(&format!("u{i}@example.com"));
    }
    let mut names: Vec<String> = (0..15_000).map(|i| format!("urn:x:y:z{}:a{i}", i % 7)).collect();
    names.push("title".to_owned());
    names.push("userName".to_owned());
    let search = |names: &[String], member: &str| {
        let mut body = json!({"schemas": [SEARCH], "count": 1000});
        body[member] = json!(names);
        harness.post("/Users/.search", &body)
    };
    let found = search(&names, "attributes").expect(200).json();
    assert_eq!(found["Resources"][0]["userName"], "u0@example.com");
    assert_eq!(found["Resources"][0].get("emails"), None);
    let found = search(&names, "excludedAttributes").expect(200).json();
    assert_eq!(found["Resources"][0].get("userName"), None);
    assert!(found["Resources"][0]["emails"].is_array());
    names.extend((0..5_000).map(|i| format!("a{i}")));
    search(&names, "attributes").refused(400, Some("invalidValue"), "More than 20000");
}

#[test]
fn the_record_of_a_change_grows_with_the_change() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    let numbers: Vec<Value> = (0..500).map(|i| json!({"value": format!("{i}")})).collect();
    body["phoneNumbers"] = json!(numbers);
    body["urn:x:y:2.0:User"] = json!({"a": "x".repeat(10_000), "b": "1"});
    let ida = harness.post("/Users", &body).expect(201).json();
    let at = format!("/Users/{}", ida["id"].as_str().unwrap());
    let set = json!([{"op": "add", "path": "phoneNumbers", "value": [{"value": "new"}]},
        {"op": "replace", "path": "urn:x:y:2.0:User:b", "value": "2"}]);
    harness.patch(&at, &set).expect(200);
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    let sql = "SELECT changes FROM provisioning_log ORDER BY seq DESC LIMIT 1";
    let text: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    let changes: Value = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "phoneNumbers": {"before": [], "after": [{"value": "new"}]},
        "urn:x:y:2.0:User": {"before": {"b": "1"}, "after": {"b": "2"}}});
    assert_eq!(changes, expected);
}

#[test]
fn the_work_of_a_bulk_request_is_counted_over_all_its_operations() {
    let harness = Harness::new();
    let mut body = user("ida@example.com");
    let numbers: Vec<Value> = (0..1_000).map(|i| json!({"value": format!("{i:040}")})).collect();
    body["phoneNumbers"] = json!(numbers);
    let ida = harness.post("/Users", &body).expect(201).json();
    let path = format!("/Users/{}", ida["id"].as_str().unwrap());
    let terms = vec!["value eq \"none\""; 450].join(" or ");
    let remove = json!({"op": "remove", "path": format!("phoneNumbers[{terms}]")});
    let operation = json!({"method": "PATCH", "path": path, "data": {"schemas":
        ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [remove]}});
    let first = json!({"method": "PATCH", "path": path, "data": {"schemas":
        ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "title", "value": "Dr"}]}});
    let mut operations = vec![operation; 40];
    operations.insert(0, first);
    let answer = harness.post("/Bulk", &json!({"schemas": [BULK], "Operations": operations}));
    let entries = answer.expect(200).json()["Operations"].clone();
    assert_eq!((&entries[0]["status"], &entries[1]["status"]), (&json!("200"), &json!("200")));
    // Whichever comes first: the work, or the time.
    assert!(entries[40]["status"] == "413" || entries[40]["status"] == "503", "{}", entries[40]);
    // What was done stays.
    assert_eq!(harness.get(&path).json()["title"], "Dr");
}

#[test]
fn two_authorization_fields_are_refused() {
    let harness = Harness::new();
    let token = format!("Bearer {}", harness.token());
    let both = [("Authorization", token.as_str()), ("authorization", "Bearer plm_x_y")];
    harness.send("GET", "/scim/v2/Users", &both, "").refused(400, None, "Two Authorization fields");
}
