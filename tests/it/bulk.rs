//! Bulk (RFC 7644 section 3.7).

use std::thread;
use std::time::{Duration, Instant};

use plumm::store::tables::org::OrgSettings;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, user};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn bulk(harness: &Harness, operations: &Value) -> Answer {
    harness.post("/Bulk", &json!({"schemas": [BULK_REQUEST], "Operations": operations}))
}

/// The operations of the answer.
#[track_caller]
fn done(harness: &Harness, operations: &Value) -> Vec<Value> {
    entries(&bulk(harness, operations))
}

#[track_caller]
fn entries(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let body = answer.json();
    let schema = json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]);
    assert_eq!(body["schemas"], schema);
    assert_eq!(answer.header("Content-Type"), Some("application/scim+json"));
    body["Operations"].as_array().unwrap().clone()
}

fn statuses(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|it| it["status"].as_str().unwrap()).collect()
}

/// Checks that this operation failed, with these words.
#[track_caller]
fn failed(entry: &Value, status: &str, words: &str) {
    assert_eq!(entry["status"], status, "{entry}");
    assert_eq!(entry["response"]["status"], status, "{entry}");
    let schema = json!(["urn:ietf:params:scim:api:messages:2.0:Error"]);
    assert_eq!(entry["response"]["schemas"], schema);
    let detail = entry["response"]["detail"].as_str().unwrap();
    assert!(detail.contains(words), "\"{words}\" is not in \"{detail}\"");
    assert_eq!(entry.get("version"), None, "{entry}");
    assert!(entry["method"] != "POST" || entry.get("location").is_none(), "{entry}");
}

fn add_user(bulk_id: &str, name: &str) -> Value {
    let data = json!({"schemas": [USER], "userName": format!("{name}@example.com")});
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data})
}

fn add_group(bulk_id: &str, name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|it| json!({"value": it})).collect();
    let data = json!({"schemas": [GROUP], "displayName": name, "members": members});
    json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data})
}

fn patch(path: &str, operation: &Value) -> Value {
    let data = json!({"schemas": [PATCH_OP], "Operations": [operation]});
    json!({"method": "PATCH", "path": path, "data": data})
}

fn id(entry: &Value) -> String {
    let location = entry["location"].as_str().unwrap_or_else(|| panic!("{entry}"));
    location.rsplit('/').next().unwrap().to_owned()
}

/// What stands at the `location` of an operation.
#[track_caller]
fn at(harness: &Harness, entry: &Value) -> Value {
    let location = entry["location"].as_str().unwrap_or_else(|| panic!("{entry}"));
    let target = location.strip_prefix("http://plumm.example/scim/v2").unwrap();
    harness.get(target).expect(200).json()
}

fn members(group: &Value) -> Vec<String> {
    let members = group["members"].as_array().unwrap();
    members.iter().map(|it| it["value"].as_str().unwrap().to_owned()).collect()
}

fn groups(harness: &Harness) -> i64 {
    harness.get("/Groups?count=0").expect(200).json()["totalResults"].as_i64().unwrap()
}

/// The method, id and changes of each line of the provisioning log.
fn log(harness: &Harness) -> Vec<(String, String, Value)> {
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    let sql = "SELECT method, resource, changes FROM provisioning_log ORDER BY seq";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let changes: String = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, serde_json::from_str(&changes).unwrap()))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn groups_in_a_circle_are_accepted_when_members_stand_with_the_urn() {
    const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
    let harness = Harness::new();
    let group = |own: &str, members: &str, other: &str| {
        let data = json!({"schemas": [GROUP], "displayName": own,
            members: [{"value": format!("bulkId:{other}")}]});
        json!({"method": "POST", "path": "/Groups", "bulkId": own, "data": data})
    };
    let operations = [group("a", &format!("{GROUP}:members"), "b"), group("b", "members", "a")];
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations});
    let done = harness.post("/Bulk", &body).expect(200).json();
    assert_eq!(done["Operations"][0]["status"], "201", "{done}");
    assert_eq!(done["Operations"][1]["status"], "201", "{done}");
    let groups = harness.get("/Groups").expect(200).json();
    for (own, other) in [(0, 1), (1, 0)] {
        let member = &groups["Resources"][own]["members"][0]["value"];
        assert_eq!(member, &groups["Resources"][other]["id"]);
    }
}

#[test]
fn operations_of_each_method_are_done_and_answered_in_order() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let carol = harness.user("carol@example.com");
    let dave = harness.user("dave@example.com");
    let path = |user: &Value| format!("/Users/{}", user["id"].as_str().unwrap());
    let mut put = bob.clone();
    put["title"] = "Put".into();
    let title = json!({"op": "add", "path": "title", "value": "Patched"});
    let mut operations = json!([
        add_user("qwerty", "alice"),
        {"method": "PUT", "path": path(&bob), "version": "W/\"1\"", "data": put},
        patch(&path(&carol), &title),
        {"method": "DELETE", "path": path(&dave), "version": "W/\"1\""},
    ]);
    operations[2]["version"] = "W/\"1\"".into();
    let entries = done(&harness, &operations);
    let alice = at(&harness, &entries[0]);
    assert_eq!(alice["userName"], "alice@example.com");
    let expected = json!([
        {"location": alice["meta"]["location"], "method": "POST", "bulkId": "qwerty",
            "version": "W/\"1\"", "status": "201"},
        {"location": bob["meta"]["location"], "method": "PUT", "version": "W/\"2\"",
            "status": "200"},
        {"location": carol["meta"]["location"], "method": "PATCH", "version": "W/\"2\"",
            "status": "200"},
        {"location": dave["meta"]["location"], "method": "DELETE", "status": "204"},
    ]);
    assert_eq!(Value::from(entries.clone()), expected);
    assert_eq!(at(&harness, &entries[1])["title"], "Put");
    assert_eq!(at(&harness, &entries[2])["title"], "Patched");
    harness.get(&path(&dave)).expect(404);
    // The versions are old now.
    operations[0]["bulkId"] = "again".into();
    let entries = done(&harness, &operations);
    assert_eq!(statuses(&entries), ["409", "412", "412", "404"]);
    assert_eq!(entries[0]["bulkId"], "again");
    assert_eq!(entries[0]["response"]["scimType"], "uniqueness");
    failed(&entries[1], "412", "W/\"2\"");
    for (entry, user) in entries[1..].iter().zip([&bob, &carol, &dave]) {
        assert_eq!(entry["location"], user["meta"]["location"]);
    }
}

#[test]
fn a_member_is_referred_to_by_its_bulk_id_in_any_order() {
    let harness = Harness::new();
    for group_first in [false, true] {
        let name = format!("alice{group_first}");
        let mut operations =
            vec![add_user("u", &name), add_group("g", "Tour Guides", &["bulkId:u"])];
        if group_first {
            operations.reverse();
        }
        let entries = done(&harness, &operations.into());
        assert_eq!(statuses(&entries), ["201", "201"]);
        let place = |bulk_id: &str| entries.iter().find(|it| it["bulkId"] == bulk_id).unwrap();
        assert_eq!(entries[0]["bulkId"], if group_first { "g" } else { "u" });
        let group = at(&harness, place("g"));
        assert_eq!(members(&group), [id(place("u"))]);
        assert_eq!(group["members"][0]["$ref"], place("u")["location"]);
        assert_eq!(place("g")["version"], "W/\"1\"");
    }
}

#[test]
fn a_manager_is_referred_to_by_its_bulk_id() {
    let harness = Harness::new();
    let mut bob = add_user("ytrewq", "bob");
    bob["data"][ENTERPRISE] = json!({"employeeNumber": "11250", "manager": {"value": "bulkId:a"}});
    let mut carol = add_user("c", "carol");
    carol["data"][ENTERPRISE] = json!({"manager": "bulkId:ytrewq"});
    let entries = done(&harness, &json!([carol, bob, add_user("a", "alice")]));
    assert_eq!(statuses(&entries), ["201", "201", "201"]);
    let manager = |entry: &Value| at(&harness, entry)[ENTERPRISE]["manager"]["value"].clone();
    assert_eq!(manager(&entries[0]), id(&entries[1]));
    assert_eq!(manager(&entries[1]), id(&entries[2]));
}

#[test]
fn circles_are_resolved() {
    let harness = Harness::new();
    // Two groups that hold each other, and a person who is created behind them.
    let entries = done(
        &harness,
        &json!([
            add_group("qwerty", "Group A", &["bulkId:ytrewq", "bulkId:u"]),
            add_group("ytrewq", "Group B", &["bulkId:qwerty"]),
            add_user("u", "alice"),
        ]),
    );
    assert_eq!(statuses(&entries), ["201", "201", "201"]);
    let (a, b) = (at(&harness, &entries[0]), at(&harness, &entries[1]));
    let mut of_a = members(&a);
    of_a.sort();
    let mut expected = vec![id(&entries[1]), id(&entries[2])];
    expected.sort();
    assert_eq!(of_a, expected);
    assert_eq!(members(&b), [id(&entries[0])]);
    // The versions are those after all of it.
    assert_eq!(entries[0]["version"], a["meta"]["version"]);
    assert_eq!(entries[1]["version"], b["meta"]["version"]);
    // Two people who manage each other; a person who manages herself.
    let manager = |bulk_id: &str, of: &str| {
        let mut user = add_user(bulk_id, bulk_id);
        user["data"][ENTERPRISE] = json!({"manager": {"value": format!("bulkId:{of}")}});
        user
    };
    let operations = json!([manager("x", "y"), manager("y", "x"), manager("z", "z")]);
    let entries = done(&harness, &operations);
    assert_eq!(statuses(&entries), ["201", "201", "201"]);
    for (i, of) in [(0, 1), (1, 0), (2, 2)] {
        let manager = at(&harness, &entries[i])[ENTERPRISE]["manager"]["value"].clone();
        assert_eq!(manager, id(&entries[of]));
    }
}

#[test]
fn a_group_that_refers_to_itself_is_as_a_group_that_is_patched_so() {
    let harness = Harness::new();
    let made = done(&harness, &json!([add_group("g", "G", &[])]));
    let own = json!({"op": "add", "path": "members", "value": [{"value": id(&made[0])}]});
    let single = done(&harness, &json!([patch(&format!("/Groups/{}", id(&made[0])), &own)]));
    let inside = done(&harness, &json!([add_group("h", "H", &["bulkId:h"])]));
    if single[0]["status"] == "200" {
        assert_eq!(members(&at(&harness, &inside[0])), [id(&inside[0])]);
    } else {
        assert_eq!(inside[0]["status"], single[0]["status"]);
        assert_eq!(groups(&harness), 1);
    }
}

#[test]
fn a_circle_with_a_failure_in_it_leaves_nothing() {
    let harness = Harness::new();
    let mut bad = add_group("b", "B", &["bulkId:c"]);
    bad["data"].as_object_mut().unwrap().remove("displayName");
    let entries = done(
        &harness,
        &json!([
            add_group("a", "A", &["bulkId:b"]),
            bad,
            add_group("c", "C", &["bulkId:a"]),
            add_group("d", "D", &["bulkId:c"]),
            add_group("e", "E", &[]),
        ]),
    );
    assert_eq!(statuses(&entries), ["409", "400", "409", "409", "201"]);
    failed(&entries[0], "409", "bulkId \"b\"");
    failed(&entries[1], "400", "displayName");
    failed(&entries[2], "409", "bulkId \"b\"");
    failed(&entries[3], "409", "bulkId \"c\"");
    assert_eq!(groups(&harness), 1);
    assert_eq!(log(&harness).len(), 1);
}

#[test]
fn references_in_paths_and_in_put_and_patch() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let group = harness.post("/Groups", &json!({"schemas": [GROUP], "displayName": "G"}));
    let group = group.expect(201).json();
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    let add = |value: Value| json!({"op": "add", "path": "members", "value": value});
    let mut put = group;
    put["members"] = json!([{"value": "bulkId:v"}, {"value": bob["id"]}]);
    let replace = json!({"op": "replace", "value": {"title": "New"}});
    let remove =
        |it: &str| json!({"op": "remove", "path": format!("members[value eq \"bulkId:{it}\"]")});
    let operations = json!([
        patch(&path, &add(json!([{"value": "bulkId:u"}]))),
        add_user("u", "alice"),
        patch("/Users/bulkId:u", &replace),
        {"method": "PUT", "path": path, "data": put},
        add_user("v", "victor"),
        patch(&path, &add(json!("bulkId:u"))),
        patch(&path, &remove("v")),
        patch("/Groups/bulkId:n", &add(json!([{"value": "bulkId:v", "$ref": "/Users/bulkId:v"}]))),
        add_group("n", "N", &[]),
        add_user("w", "wendy"),
        {"method": "DELETE", "path": "/Users/bulkId%3Aw"},
        // As a client encodes it, and before what it refers to.
        patch("/Users/bulkId%3Amy%20bulk%2Fid?attributes=id", &replace),
        add_user("my bulk/id", "mary"),
    ]);
    let entries = done(&harness, &operations);
    let expected =
        ["200", "201", "200", "200", "201", "200", "200", "200", "201", "201", "204", "200", "201"];
    assert_eq!(statuses(&entries), expected);
    assert_eq!(at(&harness, &entries[1])["title"], "New");
    assert_eq!(entries[2]["location"], entries[1]["location"]);
    let of_g = members(&harness.get(&path).json());
    assert_eq!(of_g.len(), 2, "{of_g:?}");
    assert!(of_g.contains(&id(&entries[1])) && of_g.contains(&bob["id"].as_str().unwrap().into()));
    assert_eq!(members(&at(&harness, &entries[8])), [id(&entries[4])]);
    assert_eq!(entries[10]["location"], entries[9]["location"]);
    assert_eq!(at(&harness, &entries[12])["title"], "New");
    assert_eq!(harness.count("userName eq \"wendy@example.com\""), 0);
}

#[test]
fn references_that_lead_nowhere_fail_their_operation() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let path = format!("/Users/{}", bob["id"].as_str().unwrap());
    let nick = json!({"op": "add", "path": "nickName", "value": "bulkId:"});
    let mut no_user_name = add_user("bad", "bad");
    no_user_name["data"].as_object_mut().unwrap().remove("userName");
    let entries = done(
        &harness,
        &json!([
            add_group("g", "G", &["bulkId:nobody"]),
            {"method": "DELETE", "path": "/Users/bulkId:nobody"},
            patch(&path, &nick),
            no_user_name,
            add_group("h", "H", &["bulkId:bad"]),
            {"method": "DELETE", "path": "/Users/bulkId:bad"},
            add_group("i", "I", &["bulkId:h"]),
            add_group("ok", "Ok", &[]),
        ]),
    );
    assert_eq!(statuses(&entries), ["400", "400", "400", "400", "409", "409", "409", "201"]);
    failed(&entries[0], "400", "bulkId \"nobody\"");
    failed(&entries[1], "400", "bulkId \"nobody\"");
    failed(&entries[2], "400", "bulkId \"\"");
    assert_eq!(entries[2]["location"], bob["meta"]["location"]);
    failed(&entries[4], "409", "bulkId \"bad\"");
    failed(&entries[5], "409", "bulkId \"bad\"");
    assert_eq!(entries[5].get("location"), None);
    failed(&entries[6], "409", "bulkId \"h\"");
    assert_eq!(groups(&harness), 1);
}

#[test]
fn a_bulk_id_stands_for_one_operation() {
    let harness = Harness::new();
    let entries = done(
        &harness,
        &json!([
            add_user("x", "alice"),
            add_user("x", "bob"),
            add_group("g", "G", &["bulkId:x"]),
            add_user("X", "carol"),
            add_user("", "dave"),
            {"method": "POST", "path": "/Users", "data": user("eve@example.com")},
            {"method": "POST", "path": "/Users", "bulkId": 7, "data": user("eve@example.com")},
        ]),
    );
    assert_eq!(statuses(&entries), ["400", "400", "400", "201", "400", "400", "400"]);
    failed(&entries[0], "400", "Several POST operations");
    failed(&entries[1], "400", "Several POST operations");
    failed(&entries[2], "400", "more than one");
    for (i, words) in [(4, "needs a \"bulkId\""), (5, "needs a \"bulkId\""), (6, "must be text")] {
        failed(&entries[i], "400", words);
    }
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
}

#[test]
fn fail_on_errors_at_each_count() {
    // Good, bad, good, bad, good, bad.
    for (limit, expected) in [(1, 2), (2, 4), (3, 6), (4, 6), (0, 6)] {
        let harness = Harness::new();
        let operation = |i: usize| match i % 2 {
            0 => add_user(&format!("{i}"), &format!("u{i}")),
            _ => json!({"method": "DELETE", "path": format!("/Users/{i}")}),
        };
        let operations: Vec<Value> = (0..6).map(operation).collect();
        let body =
            json!({"schemas": [BULK_REQUEST], "failOnErrors": limit, "Operations": operations});
        let entries = entries(&harness.post("/Bulk", &body));
        let statuses = statuses(&entries);
        let all = ["201", "404", "201", "404", "201", "404"];
        assert_eq!(statuses, all[..expected], "{limit}");
        // What was done before stays.
        assert_eq!(harness.get("/Users").json()["totalResults"], expected / 2);
    }
    let harness = Harness::new();
    for wrong in [json!(-1), json!(1.5), json!("1"), json!([1]), json!(true)] {
        let operations = [add_user("a", "alice")];
        let body =
            json!({"schemas": [BULK_REQUEST], "failOnErrors": wrong, "Operations": operations});
        harness.post("/Bulk", &body).refused(400, Some("invalidValue"), "failOnErrors");
    }
    assert_eq!(harness.get("/Users").json()["totalResults"], 0);
}

#[test]
fn fail_on_errors_leaves_out_what_waited_for_others() {
    let harness = Harness::new();
    let operations = json!([
        add_user("a", "alice"),
        add_group("g", "G", &["bulkId:bad"]),
        {"method": "POST", "path": "/Users", "bulkId": "bad", "data": {"schemas": [USER]}},
        add_user("b", "bob"),
    ]);
    let body = json!({"schemas": [BULK_REQUEST], "failOnErrors": 1, "Operations": operations});
    let entries = entries(&harness.post("/Bulk", &body));
    let ids: Vec<&Value> = entries.iter().map(|it| &it["bulkId"]).collect();
    assert_eq!(ids, ["a", "bad"]);
    assert_eq!(statuses(&entries), ["201", "400"]);
}

#[test]
fn a_failed_operation_leaves_nothing_and_the_others_stay() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let at_bob = format!("/Users/{}", bob["id"].as_str().unwrap());
    let mut two = patch(&at_bob, &json!({"op": "add", "path": "title", "value": "half"}));
    let wrong = json!({"op": "replace", "path": "active", "value": "maybe"});
    two["data"]["Operations"].as_array_mut().unwrap().push(wrong);
    let entries = done(
        &harness,
        &json!([
            add_user("a", "alice"),
            two,
            add_group("g", "G", &["bulkId:a", "no-such-id"]),
            add_user("taken", "alice"),
            patch(&at_bob, &json!({"op": "add", "path": "nickName", "value": "Bo"})),
        ]),
    );
    assert_eq!(statuses(&entries), ["201", "400", "400", "409", "200"]);
    failed(&entries[2], "400", "no-such-id");
    failed(&entries[3], "409", &id(&entries[0]));
    let after = harness.get(&at_bob).json();
    assert_eq!((after.get("title"), &after["nickName"]), (None, &json!("Bo")));
    assert_eq!(after["meta"]["version"], "W/\"2\"");
    assert_eq!(groups(&harness), 0);
}

#[test]
fn what_is_wrong_with_one_operation_is_said_there() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let id = bob["id"].as_str().unwrap();
    let path = format!("/Users/{id}");
    let data = json!({"schemas": [USER], "userName": "x@example.com"});
    let cases = [
        (json!("text"), "400", "must be an object"),
        (json!(null), "400", "must be an object"),
        (json!({}), "400", "needs a \"method\""),
        (json!({"method": 1, "path": path}), "400", "\"method\" of an operation must be text"),
        (json!({"method": "GET", "path": path}), "405", "Send a GET request by itself"),
        (json!({"method": "HEAD", "path": path}), "405", "Send a GET request by itself"),
        (json!({"method": "BREW", "path": path, "data": {}}), "400", "and is \"BREW\""),
        (json!({"method": "DELETE"}), "400", "needs a \"path\""),
        (json!({"method": "DELETE", "path": ""}), "400", "needs a \"path\""),
        (json!({"method": "DELETE", "path": {}}), "400", "must be text"),
        (json!({"method": "DELETE", "path": "//"}), "400", "names nothing"),
        (json!({"method": "DELETE", "path": "/Users"}), "405", "GET, HEAD, POST"),
        (json!({"method": "DELETE", "path": "/Nothing/1"}), "404", "/scim/v2/Nothing/1"),
        (json!({"method": "DELETE", "path": "/Users/%zz"}), "400", "names nothing"),
        (json!({"method": "PUT", "path": path}), "400", "PUT operation needs \"data\""),
        (json!({"method": "PATCH", "path": path, "data": null}), "400", "needs \"data\""),
        (json!({"method": "PATCH", "path": path, "data": []}), "400", "no object"),
        (json!({"method": "PATCH", "path": path, "data": {}}), "400", "PATCH body needs"),
        (
            json!({"method": "PUT", "path": path, "data": {"schemas": 1}}),
            "400",
            "\"schemas\" must be",
        ),
        (json!({"method": "PUT", "path": path, "version": 1, "data": data}), "400", "\"version\""),
        (json!({"method": "POST", "path": "/Users", "bulkId": "a"}), "400", "needs \"data\""),
        (json!({"method": "POST", "path": path, "bulkId": "a", "data": data}), "405", "PATCH"),
        (json!({"method": "POST", "path": "/Me", "bulkId": "a", "data": data}), "501", "/Me"),
        (json!({"method": "POST", "path": "/Schemas", "bulkId": "a", "data": {}}), "405", "GET"),
        (json!({"method": "POST", "path": "/Bulk", "bulkId": "a", "data": {}}), "400", "Bulk"),
        (json!({"method": "POST", "path": "/%42ulk", "bulkId": "a", "data": {}}), "400", "Bulk"),
        (json!({"method": "POST", "path": "/.search", "bulkId": "a", "data": {}}), "400", "search"),
        (
            json!({"method": "POST", "path": "/Users/.Search", "bulkId": "a", "data": {}}),
            "400",
            "search",
        ),
        (
            json!({"method": "DELETE", "path": format!("https://other.example/scim/v2{path}")}),
            "400",
            "no address below the base URL",
        ),
        (
            json!({"method": "DELETE", "path": format!("http://plumm.example/scim/v2x{path}")}),
            "400",
            "no address below the base URL",
        ),
    ];
    let operations: Vec<Value> = cases.iter().map(|(it, ..)| it.clone()).collect();
    for (operation, status, words) in &cases {
        let entries = done(&harness, &json!([operation, add_user("fine", "fine")]));
        failed(&entries[0], status, words);
        let fine = format!("/Users/{}", self::id(&entries[1]));
        harness.call("DELETE", &fine, "").expect(204);
    }
    // Several at once hurt each other no more. All but those whose bulkId is now taken twice.
    let entries = done(&harness, &operations.into());
    assert_eq!(entries.len(), cases.len());
    assert!(entries.iter().all(|it| it["response"]["detail"].is_string()));
    assert_eq!(harness.get(&path).expect(200).json(), bob);
}

#[test]
fn paths_and_methods_are_read_as_they_are_meant() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let location = bob["meta"]["location"].as_str().unwrap();
    let id = bob["id"].as_str().unwrap();
    let paths = [
        location.to_owned(),
        format!("/scim/v2/Users/{id}"),
        format!("users/{id}"),
        format!("/Users/{id}/"),
        format!("/Users/{id}?attributes=userName"),
    ];
    for (i, path) in paths.iter().enumerate() {
        let title = json!({"op": "add", "path": "title", "value": format!("t{i}")});
        let mut operation = patch(path, &title);
        operation["method"] = "patch".into();
        let entries = done(&harness, &json!([operation]));
        assert_eq!(statuses(&entries), ["200"], "{path}");
        assert_eq!(entries[0]["location"], location, "{path}");
    }
    let body = json!({"Schemas": [BULK_REQUEST.to_uppercase()], "operations": [
        {"Method": "Post", "Path": "Users", "BulkId": "a", "Data": user("eve@example.com")}]});
    let entries = entries(&harness.post("/bulk", &body));
    assert_eq!(entries[0]["method"], "POST");
    assert_eq!(statuses(&entries), ["201"]);
}

#[test]
fn what_is_no_bulk_request_is_refused_whole() {
    let harness = Harness::new();
    let operations = json!([add_user("a", "alice")]);
    for (body, words) in [
        (json!({"Operations": operations}), "BulkRequest"),
        (json!({"schemas": [PATCH_OP], "Operations": operations}), "BulkRequest"),
        (json!({"schemas": BULK_REQUEST, "Operations": operations}), "BulkRequest"),
        (json!({"schemas": [BULK_REQUEST]}), "an array of operations"),
        (json!({"schemas": [BULK_REQUEST], "Operations": {}}), "an array of operations"),
        (json!({"schemas": [BULK_REQUEST], "Operations": "all"}), "an array of operations"),
        (json!({"schemas": [BULK_REQUEST], "Operations": []}), "is empty"),
        (json!([operations]), "no object"),
    ] {
        harness.post("/Bulk", &body).refused(400, Some("invalidSyntax"), words);
    }
    harness.call("POST", "/Bulk", "").refused(400, Some("invalidSyntax"), "The body is empty");
    harness.call("POST", "/Bulk", "{").refused(400, Some("invalidSyntax"), "not JSON");
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = harness.call(method, "/Bulk", "{}");
        assert_eq!(answer.header("Allow"), Some("POST"));
        answer.refused(405, None, "POST");
    }
    harness.call("POST", "/Bulk/1", "{}").refused(404, None, "nothing at");
    assert_eq!(harness.get("/Users").json()["totalResults"], 0);
}

#[test]
fn the_limits_are_those_announced() {
    let harness = Harness::new();
    let announced = harness.get("/ServiceProviderConfig").expect(200).json()["bulk"].clone();
    let expected =
        json!({"supported": true, "maxOperations": 1000, "maxPayloadSize": 8 * 1024 * 1024});
    assert_eq!(announced, expected);
    assert_eq!(plumm::server::request::body::BODY_BYTES_MAX, 8 * 1024 * 1024);
    let one = json!({"method": "DELETE", "path": "/Users/1"});
    for many in [1_001, 40_000] {
        let answer = bulk(&harness, &vec![one.clone(); many].into());
        answer.refused(413, Some("tooMany"), "at most 1000");
    }
    let answer = bulk(&harness, &vec![one; 100_000].into());
    answer.refused(413, None, "more than 200000 values");
    let answer = bulk(&harness, &vec![json!(0); 100_000].into());
    answer.refused(413, Some("tooMany"), "has 100000 operations");
}

#[test]
fn a_thousand_operations_are_done_in_time() {
    let harness = Harness::new();
    let started = Instant::now();
    // A chain of groups, each holding the next, in front of the people of the last one.
    let group =
        |i: usize| add_group(&format!("g{i}"), &format!("G{i}"), &[&format!("bulkId:g{}", i + 1)]);
    let mut operations: Vec<Value> = (0..499).map(group).collect();
    let people: Vec<String> = (0..500).map(|i| format!("bulkId:u{i}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    operations.push(add_group("g499", "G499", &people));
    operations.extend((0..500).map(|i| add_user(&format!("u{i}"), &format!("u{i}"))));
    let entries = done(&harness, &operations.into());
    assert_eq!(entries.len(), 1_000);
    assert!(entries.iter().all(|it| it["status"] == "201"));
    assert_eq!(members(&at(&harness, &entries[499])).len(), 500);
    // One circle of a thousand groups.
    let next = |i: usize| format!("bulkId:r{}", (i + 1) % 1_000);
    let ring: Vec<Value> =
        (0..1_000).map(|i| add_group(&format!("r{i}"), &format!("R{i}"), &[&next(i)])).collect();
    let entries = done(&harness, &ring.into());
    assert!(entries.iter().all(|it| it["status"] == "201"));
    assert_eq!(members(&at(&harness, &entries[999])), [id(&entries[0])]);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn a_deep_bulk_request_fits_the_stack_of_a_connection_or_is_refused() {
    let small = thread::Builder::new().stack_size(256 * 1024);
    let thread = small.spawn(|| {
        let harness = Harness::new();
        for (levels, status) in [(50, 200), (59, 200), (64, 400), (100_000, 400)] {
            let deep = format!("{}\"bulkId:u\"{}", "{\"a\":".repeat(levels), "}".repeat(levels));
            let users: Vec<String> = (0..999)
                .map(|i| {
                    let data = format!(
                        "{{\"schemas\":[\"{USER}\"],\"userName\":\"u{levels}-{i}@x.y\",\
                         \"urn:acme:1.0:{i}\":{}}}",
                        if i == 0 {
                            deep.clone()
                        } else {
                            format!("{{\"a\":\"bulkId:{}\"}}", i - 1)
                        }
                    );
                    let bulk_id = if i == 998 { "u".to_owned() } else { i.to_string() };
                    format!(
                        "{{\"method\":\"POST\",\"path\":\"/Users\",\"bulkId\":\"{bulk_id}\",\
                         \"data\":{data}}}"
                    )
                })
                .collect();
            let body = format!(
                "{{\"schemas\":[\"{BULK_REQUEST}\"],\"Operations\":[{}]}}",
                users.join(",")
            );
            let answer = harness.call("POST", "/Bulk", &body);
            if status == 400 {
                answer.refused(400, Some("invalidSyntax"), "nested more than 64 deep");
            } else {
                assert!(entries(&answer).iter().all(|it| it["status"] == "201"), "{levels}");
            }
        }
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn the_product_rules_hold_in_bulk() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let path = format!("/Users/{}", bob["id"].as_str().unwrap());
    let mut renamed = bob.clone();
    renamed["userName"] = "eve@example.com".into();
    let mut moved = bob.clone();
    moved["emails"][0]["value"] = "eve@example.com".into();
    let replace = |it: Value| patch(&path, &json!({"op": "replace", "value": it}));
    let entries = done(
        &harness,
        &json!([
            {"method": "PUT", "path": path, "data": renamed},
            {"method": "PUT", "path": path, "data": moved},
            replace(json!({"userName": "eve@example.com"})),
            patch(&path, &json!({"op": "replace", "path": "emails[type eq \"work\"].value",
                "value": "eve@example.com"})),
            {"method": "POST", "path": "/Users", "bulkId": "x",
                "data": {"schemas": [USER], "userName": "no address"}},
        ]),
    );
    assert_eq!(statuses(&entries), ["400"; 5]);
    for entry in &entries[..4] {
        assert_eq!(entry["response"]["scimType"], "mutability", "{entry}");
    }
    assert_eq!(entries[4]["response"]["scimType"], "invalidValue");
    assert_eq!(harness.get(&path).json(), bob);
    // Deactivated, and back again.
    for active in [false, true] {
        let entries = done(&harness, &json!([replace(json!({"active": active}))]));
        assert_eq!(statuses(&entries), ["200"]);
        assert_eq!(harness.get(&path).json()["active"], active);
    }
}

#[test]
fn an_organisation_reaches_only_its_own_in_bulk() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let (_, token) = harness.neighbour("other");
    let bob_id = bob["id"].as_str().unwrap();
    let path = format!("/Users/{bob_id}");
    let operations = json!([
        {"method": "DELETE", "path": path},
        {"method": "PUT", "path": path, "data": bob},
        patch(&path, &json!({"op": "replace", "path": "active", "value": false})),
        add_group("g", "G", &[bob_id]),
        add_user("same", "bob"),
    ]);
    let body = json!({"schemas": [BULK_REQUEST], "Operations": operations}).to_string();
    let entries = entries(&harness.with_token(&token, "POST", "/scim/v2/Bulk", &body));
    assert_eq!(statuses(&entries), ["404", "404", "404", "400", "201"]);
    failed(&entries[0], "404", "in this organisation");
    assert_eq!(harness.get(&path).expect(200).json(), bob);
}

#[test]
fn bulk_waits_for_activation_and_for_a_token() {
    let harness = Harness::new();
    let operations = json!([add_user("a", "alice")]);
    let settings = OrgSettings::default();
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, false, settings)).unwrap();
    bulk(&harness, &operations).refused(403, None, "Plumm Support activates provisioning");
    harness.send("POST", "/scim/v2/Bulk", &[], "{}").refused(401, None, "API token");
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, true, settings)).unwrap();
    assert_eq!(statuses(&done(&harness, &operations)), ["201"]);
}

#[test]
fn each_change_stands_in_the_provisioning_log() {
    let harness = Harness::new();
    let entries = done(
        &harness,
        &json!([
            add_user("a", "alice"),
            add_group("g", "G", &["bulkId:h", "bulkId:a"]),
            add_group("h", "H", &["bulkId:g"]),
            add_user("b", "alice"),
            patch("/Users/bulkId:a", &json!({"op": "add", "path": "title", "value": "Dr"})),
            {"method": "DELETE", "path": "/Users/bulkId:a"},
        ]),
    );
    assert_eq!(statuses(&entries), ["201", "201", "201", "409", "200", "204"]);
    let log = log(&harness);
    let lines: Vec<(&str, &str)> = log.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let (a, g, h) = (id(&entries[0]), id(&entries[1]), id(&entries[2]));
    let expected = [
        ("POST", a.as_str()),
        ("POST", g.as_str()),
        ("POST", h.as_str()),
        ("PATCH", g.as_str()),
        ("PATCH", a.as_str()),
        ("DELETE", a.as_str()),
    ];
    // "g" was created before "h", so this member came later.
    assert_eq!(lines, expected);
    assert_eq!(log[3].2["members"]["added"], json!([h]));
    assert_eq!(log[4].2["title"]["after"], "Dr");
}

#[test]
fn a_failure_of_the_store_is_one_of_the_whole_request() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    // Another process holds the file, for longer than the server waits.
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = bulk(&harness, &json!([add_user("a", "alice"), add_user("c", "carol")]));
    assert!(answer.header("Retry-After").is_some());
    answer.refused(503, None, "send the request again");
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
    // The disk is full after the first of two operations.
    let pages =
        "CREATE TRIGGER full BEFORE INSERT ON resource WHEN NEW.user_name = 'full@example.com'
        BEGIN SELECT RAISE(ROLLBACK, 'as when the disk is full'); END";
    connection.execute_batch(pages).unwrap();
    let answer = bulk(&harness, &json!([add_user("a", "alice"), add_user("f", "full")]));
    answer.refused(500, None, "nothing of it was applied");
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
    connection.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(statuses(&done(&harness, &json!([add_user("f", "full")]))), ["201"]);
}

#[test]
fn any_text_is_a_bulk_id_and_many_references_cost_little() {
    let harness = Harness::new();
    let names = ["a b", "\"]} or", "ünïcödé", "bulkId:bulkId:", "0", "x\u{0}y", "/Users/1", "%41"];
    let long = "x".repeat(100_000);
    let mut operations = Vec::new();
    for (i, name) in names.iter().chain([&long.as_str()]).enumerate() {
        operations.push(add_group(&format!("g{i}"), "G", &[&format!("bulkId:{name}")]));
        operations.push(add_user(name, &format!("u{i}")));
    }
    let entries = done(&harness, &operations.into());
    for pair in entries.chunks(2) {
        assert_eq!(statuses(pair), ["201", "201"]);
        assert_eq!(members(&at(&harness, &pair[0])), [id(&pair[1])]);
    }
    let started = Instant::now();
    let many = vec!["bulkId:u"; 90_000];
    let entries = done(&harness, &json!([add_group("g", "Many", &many), add_user("u", "one")]));
    assert_eq!(members(&at(&harness, &entries[0])), [id(&entries[1])]);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // A long name is not repeated in full in a sentence.
    let entries = done(&harness, &json!([add_group("g", "G", &[&format!("bulkId:{long}")])]));
    failed(&entries[0], "400", "xxx…");
    assert!(entries[0]["response"]["detail"].as_str().unwrap().len() < 300);
}
