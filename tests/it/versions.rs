//! Versions of resources (RFC 7644 section 3.14, RFC 9110 section 13), and where answers say the
//! resource is.

use serde_json::{Value, json};

use crate::harness::{Answer, Harness, user};

const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

fn with(
    harness: &Harness,
    method: &str,
    target: &str,
    field: (&str, &str),
    body: &Value,
) -> Answer {
    let token = format!("Bearer {}", harness.token());
    let headers = [("Authorization", token.as_str()), field];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    harness.send(method, &format!("/scim/v2{target}"), &headers, &body)
}

fn title(value: &str) -> Value {
    let operation = json!({"op": "replace", "path": "title", "value": value});
    json!({"schemas": [PATCH_OP], "Operations": [operation]})
}

/// Checks that an answer about one resource says which version it is and where it is.
#[track_caller]
fn tagged(answer: &Answer, version: i64, location: &str) {
    assert_eq!(answer.header("ETag"), Some(format!("W/\"{version}\"").as_str()));
    assert_eq!(answer.header("Location"), Some(location));
    assert_eq!(answer.header("Content-Location"), Some(location));
    if !answer.text.is_empty() {
        assert_eq!(answer.json()["meta"]["version"], format!("W/\"{version}\""));
        assert_eq!(answer.json()["meta"]["location"], location);
    }
}

#[test]
fn each_answer_says_the_version_and_the_location() {
    let harness = Harness::new();
    let group = json!({"schemas": [GROUP], "displayName": "G"});
    for (endpoint, body) in [("/Users", user("bob@example.com")), ("/Groups", group)] {
        let made = harness.post(endpoint, &body).expect(201);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        let (target, location) =
            (format!("{endpoint}/{id}"), format!("http://plumm.example/scim/v2{endpoint}/{id}"));
        tagged(&made, 1, &location);
        tagged(&harness.get(&target).expect(200), 1, &location);
        tagged(&harness.call("HEAD", &target, "").expect(200), 1, &location);
        let mut changed = made.json();
        changed["displayName"] = "Changed".into();
        tagged(&harness.put(&target, &changed).expect(200), 2, &location);
        let rename = json!([{"op": "replace", "path": "displayName", "value": "Again"}]);
        tagged(&harness.patch(&target, &rename).expect(200), 3, &location);
        tagged(&harness.get(&target).expect(200), 3, &location);
        let listed = harness.get(endpoint).expect(200);
        assert_eq!(listed.json()["Resources"][0]["meta"]["version"], "W/\"3\"");
        assert_eq!(listed.header("ETag"), None);
        // Also where the body does not say it.
        let brief = harness.get(&format!("{target}?attributes=id")).expect(200);
        assert_eq!(brief.json().get("meta"), None);
        assert_eq!(brief.header("ETag"), Some("W/\"3\""));
        assert_eq!(brief.header("Content-Location"), Some(location.as_str()));
        let gone = harness.call("DELETE", &target, "").expect(204);
        assert_eq!((gone.header("ETag"), gone.text.as_str()), (None, ""));
        let missing = harness.get(&target).expect(404);
        assert_eq!((missing.header("ETag"), missing.header("Location")), (None, None));
    }
}

#[test]
fn a_change_waits_for_the_version_it_names() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    let mut put = bob.clone();
    put["title"] = "not applied".into();
    let wrong = ["W/\"2\"", "\"0\"", "W/\"2\", W/\"3\"", "W/\"11\"", "x", ""];
    for tags in wrong {
        for (method, body) in
            [("PUT", &put), ("PATCH", &title("not applied")), ("DELETE", &Value::Null)]
        {
            let answer = with(&harness, method, &target, ("If-Match", tags), body);
            answer.refused(412, None, "has the version W/\"1\"");
            assert_eq!(harness.get(&target).expect(200).json(), bob, "{method} {tags}");
        }
    }
    let right = ["W/\"1\"", "\"2\"", "*", "W/\"9\", W/\"4\"", "5"];
    for (i, tags) in right.iter().enumerate() {
        let body = title(&format!("t{i}"));
        let changed = with(&harness, "PATCH", &target, ("If-Match", tags), &body).expect(200);
        assert_eq!(changed.header("ETag"), Some(format!("W/\"{}\"", i + 2).as_str()));
    }
    with(&harness, "PUT", &target, ("If-Match", "W/\"6\""), &put).expect(200);
    with(&harness, "DELETE", &target, ("If-Match", "W/\"6\""), &Value::Null).expect(412);
    with(&harness, "DELETE", &target, ("If-Match", "W/\"7\""), &Value::Null).expect(204);
    for method in ["PUT", "PATCH", "DELETE"] {
        let answer = with(&harness, method, &target, ("If-Match", "*"), &put);
        answer.refused(404, None, "There is no User");
    }
}

#[test]
fn a_version_that_the_client_has_is_not_sent_again() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let location = bob["meta"]["location"].as_str().unwrap();
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    for method in ["GET", "HEAD"] {
        for tags in ["W/\"1\"", "\"1\"", "*", "W/\"7\", W/\"1\""] {
            let answer = with(&harness, method, &target, ("If-None-Match", tags), &Value::Null);
            assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{tags}");
            assert_eq!(answer.header("Content-Type"), None);
            tagged(&answer, 1, location);
        }
        for tags in ["W/\"2\"", "x"] {
            let answer = with(&harness, method, &target, ("If-None-Match", tags), &Value::Null);
            assert_eq!(answer.expect(200).json(), bob);
        }
    }
    // A change by who must not have that version.
    for method in ["PATCH", "PUT", "DELETE"] {
        let answer = with(&harness, method, &target, ("If-None-Match", "W/\"1\""), &title("no"));
        answer.refused(412, None, "has the version W/\"1\"");
    }
    assert_eq!(harness.get(&target).json(), bob);
    with(&harness, "PATCH", &target, ("If-None-Match", "W/\"9\""), &title("yes")).expect(200);
    // What has changed is sent again.
    with(&harness, "GET", &target, ("If-None-Match", "W/\"1\""), &Value::Null).expect(200);
}

/// RFC 9110 section 13.1.1 excepts no method.
#[test]
fn a_read_with_another_version_in_if_match_is_refused() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    for method in ["GET", "HEAD"] {
        for tags in ["W/\"2\"", "W/\"2\", W/\"3\"", "x"] {
            with(&harness, method, &target, ("If-Match", tags), &Value::Null).expect(412);
        }
        for tags in ["W/\"1\"", "*", "W/\"2\", W/\"1\""] {
            with(&harness, method, &target, ("If-Match", tags), &Value::Null).expect(200);
        }
    }
    let answer = with(&harness, "GET", &target, ("If-Match", "W/\"2\""), &Value::Null);
    answer.refused(412, None, "without If-Match");
}

#[test]
fn a_change_that_changes_nothing_keeps_the_version() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    assert_eq!(harness.put(&target, &bob).expect(200).json(), bob);
    let same = json!([{"op": "replace", "value": {"active": true, "displayName": "Test User"}}]);
    assert_eq!(harness.patch(&target, &same).expect(200).json(), bob);
    let body = json!({"schemas": [GROUP], "displayName": "G", "members": [{"value": bob["id"]}]});
    let group = harness.post("/Groups", &body).expect(201).json();
    let at_group = format!("/Groups/{}", group["id"].as_str().unwrap());
    let again = json!([{"op": "add", "path": "members", "value": [{"value": bob["id"]}]}]);
    assert_eq!(harness.patch(&at_group, &again).expect(200).json(), group);
    assert_eq!(harness.put(&at_group, &group).expect(200).json(), group);
    let stranger = json!([{"op": "remove", "path": "members[value eq \"nobody\"]"}]);
    assert_eq!(harness.patch(&at_group, &stranger).expect(200).json(), group);
    let out = json!([{"op": "remove", "path": "members"}]);
    let empty = harness.patch(&at_group, &out).expect(200);
    assert_eq!(empty.header("ETag"), Some("W/\"2\""));
    // Whoever joins and leaves a group has other groups each time.
    assert_eq!(harness.get(&target).expect(200).header("ETag"), Some("W/\"3\""));
}

#[test]
fn a_version_in_the_body_is_only_looked_at() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    let mut put = bob.clone();
    put["meta"] = json!({"version": "W/\"77\"", "location": "http://elsewhere.example/"});
    put["title"] = "Dr".into();
    let changed = harness.put(&target, &put).expect(200);
    tagged(&changed, 2, bob["meta"]["location"].as_str().unwrap());
}

#[test]
fn a_patch_is_answered_with_nothing_only_when_nothing_is_asked_for() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let location = bob["meta"]["location"].as_str().unwrap();
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    for (i, (query, status)) in [
        ("", 200),
        ("?attributes=title", 200),
        ("?attributes=", 204),
        ("?excludedAttributes=", 200),
    ]
    .into_iter()
    .enumerate()
    {
        let body = title(&format!("t{i}")).to_string();
        let answer = harness.call("PATCH", &format!("{target}{query}"), &body).expect(status);
        assert_eq!(answer.text.is_empty(), status == 204, "{query}");
        assert_eq!(answer.header("Content-Type").is_none(), status == 204);
        assert_eq!(answer.header("ETag"), Some(format!("W/\"{}\"", i + 2).as_str()));
        assert_eq!(answer.header("Location"), Some(location));
        assert_eq!(harness.get(&target).json()["title"], format!("t{i}"));
    }
    // A PUT always answers with the resource.
    let whole = harness.put(&format!("{target}?attributes="), &bob).expect(200);
    assert_eq!(whole.json()["id"], bob["id"]);
}

#[test]
fn versions_in_bulk_are_judged_one_by_one() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    let operation = |version: &str, value: &str| json!({"method": "PATCH", "path": target, "version": version, "data": title(value)});
    let operations = json!([
        operation("W/\"1\"", "first"),
        operation("W/\"1\"", "too late"),
        operation("W/\"2\"", "second"),
        operation("*", "second"),
        operation("W/\"3\", W/\"4\"", "third"),
        {"method": "PUT", "path": target, "version": "W/\"3\"", "data": bob},
        {"method": "DELETE", "path": target, "version": "W/\"3\""},
        {"method": "POST", "path": "/Users", "bulkId": "a", "version": "W/\"9\"",
            "data": user("alice@example.com")},
    ]);
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations});
    // An If-Match of the request itself is about no resource.
    let answer = with(&harness, "POST", "/Bulk", ("If-Match", "W/\"9\""), &body).expect(200);
    assert_eq!(answer.header("ETag"), None);
    let entries = answer.json()["Operations"].as_array().unwrap().clone();
    let found: Vec<(&str, Option<&str>)> = entries
        .iter()
        .map(|it| (it["status"].as_str().unwrap(), it.get("version").and_then(Value::as_str)))
        .collect();
    let expected = [
        ("200", Some("W/\"2\"")),
        ("412", None),
        ("200", Some("W/\"3\"")),
        ("200", Some("W/\"3\"")),
        ("200", Some("W/\"4\"")),
        ("412", None),
        ("412", None),
        ("201", Some("W/\"1\"")),
    ];
    assert_eq!(found, expected);
    assert_eq!(harness.get(&target).expect(200).json()["title"], "third");
}

/// Changes are judged before their turn to be written. Whatever they meet there, the account ends as
/// if they had come one after the other, and each answer shows the state that its change has left.
#[test]
fn concurrent_changes_of_one_account_have_an_order() {
    const THREADS: usize = 16;
    const CHANGES: usize = 20;
    const NAMES: [&str; 4] = ["title", "nickName", "userType", "locale"];
    let harness = Harness::new();
    let made = harness.user("bob@example.com");
    let target = format!("/Users/{}", made["id"].as_str().unwrap());
    let mut states: Vec<(i64, &str, String, Value)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (harness, target) = (&harness, &target);
                scope.spawn(move || {
                    let change = |i: usize| {
                        let name = NAMES[(thread * 7 + i * 3) % NAMES.len()];
                        let value = format!("{thread}.{i}");
                        let operation = json!([{"op": "replace", "path": name, "value": value}]);
                        let state = harness.patch(target, &operation).expect(200).json();
                        let version = state["meta"]["version"].as_str().unwrap();
                        let version = version[3..version.len() - 1].parse().unwrap();
                        (version, name, value, state)
                    };
                    (0..CHANGES).map(change).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    states.sort_by_key(|it| it.0);
    let versions: Vec<i64> = states.iter().map(|it| it.0).collect();
    assert_eq!(versions, (2..2 + (THREADS * CHANGES) as i64).collect::<Vec<_>>());
    let mut model = made;
    for (version, name, value, state) in &states {
        model[*name] = value.as_str().into();
        for name in NAMES {
            assert_eq!(state[name], model[name], "version {version}");
        }
    }
    let last = harness.get(&target).expect(200).json();
    assert_eq!(last, states.last().unwrap().3);
}

/// Of accounts that are created at once with one userName, one is there, and the others are told.
#[test]
fn concurrent_creations_of_one_account_make_one() {
    let harness = Harness::new();
    let mut answers: Vec<Answer> = std::thread::scope(|scope| {
        let create = || harness.post("/Users", &user("bob@example.com"));
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    answers.sort_by_key(|it| it.status);
    let made = answers.remove(0).expect(201).json()["id"].as_str().unwrap().to_owned();
    for refused in answers {
        refused.refused(409, Some("uniqueness"), &made);
    }
    assert_eq!(harness.get("/Users").expect(200).json()["totalResults"], 1);
}
