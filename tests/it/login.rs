//! Logins: by every key, with groups, and asked by a reverse proxy.

use plumm::scim::identity::UsernameFormat;
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, encoded, user};

struct Application<'a> {
    harness: &'a Harness,
    token: String,
}

impl<'a> Application<'a> {
    fn new(harness: &'a Harness) -> Application<'a> {
        Application { harness, token: harness.issue(Scope::Access) }
    }

    fn ask(&self, path: &str) -> Answer {
        self.harness.with_token(&self.token, "GET", &format!("/access/v1{path}"), "")
    }

    /// What a reverse proxy is answered that sends these header fields.
    fn check(&self, fields: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let fields = [fields, &[("Authorization", authorization.as_str())]].concat();
        self.harness.send("GET", "/access/v1/check", &fields, "")
    }
}

fn deactivate(harness: &Harness, user: &Value) {
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    harness.patch(&format!("/Users/{}", user["id"].as_str().unwrap()), &off).expect(200);
}

#[test]
fn an_account_is_found_by_each_of_its_names() {
    let harness = Harness::new();
    let app = Application::new(&harness);
    let mut body = user("Ann@example.com");
    body["externalId"] = "okta-1+2".into();
    let home = json!({"value": "ann@home.example", "type": "home"});
    body["emails"].as_array_mut().unwrap().push(home);
    let ann = harness.post("/Users", &body).expect(201).json();
    let targets = [
        "/users/ANN@example.com".to_owned(),
        format!("/user?id={}", ann["id"].as_str().unwrap()),
        format!("/user?externalId={}", encoded("okta-1+2")),
        "/user?userName=ann%40EXAMPLE.com".to_owned(),
        "/user?email=ANN%40home.example&unknown=1".to_owned(),
        "/user?email=ann%40example.com".to_owned(),
    ];
    let expected = json!({"active": true, "id": ann["id"], "userName": "Ann@example.com",
        "externalId": "okta-1+2", "displayName": "Test User", "groups": []});
    for target in &targets {
        assert_eq!(app.ask(target).expect(200).json(), expected, "{target}");
    }
    deactivate(&harness, &ann);
    for target in &targets {
        let answer = app.ask(target).expect(403).json();
        assert_eq!((&answer["active"], &answer["id"]), (&json!(false), &ann["id"]), "{target}");
        assert!(answer["detail"].as_str().unwrap().contains("deactivated"));
    }
    harness.call("DELETE", &format!("/Users/{}", ann["id"].as_str().unwrap()), "").expect(204);
    for target in &targets {
        let answer = app.ask(target).expect(404).json();
        assert!(answer["detail"].as_str().unwrap().contains("may not log in"), "{target}");
    }
}

#[test]
fn a_question_that_has_no_one_answer_is_refused() {
    let harness = Harness::new();
    let app = Application::new(&harness);
    let shared = json!({"value": "team@example.com", "type": "other"});
    let mut made = Vec::new();
    for name in ["a@example.com", "b@example.com"] {
        let mut body = user(name);
        body["emails"].as_array_mut().unwrap().push(shared.clone());
        made.push(harness.post("/Users", &body).expect(201).json());
    }
    for target in ["/user?email=team%40example.com", "/user?externalId=00ujl29u0le5T6Aj10h7"] {
        let answer = app.ask(target).expect(409);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("several accounts") && detail.contains("userName or id"),
            "{detail}"
        );
    }
    // Whose address it is is not known, also when one of them may log in and the other may not.
    deactivate(&harness, &made[0]);
    app.ask("/user?email=team%40example.com").expect(409);
    // A deleted one has no address any more.
    harness.call("DELETE", &format!("/Users/{}", made[0]["id"].as_str().unwrap()), "").expect(204);
    assert_eq!(app.ask("/user?email=team%40example.com").expect(200).json()["id"], made[1]["id"]);
    for (target, words) in [
        ("/user", "exactly one"),
        ("/user?name=a", "exactly one"),
        ("/user?id=1&email=a%40example.com", "exactly one"),
        ("/user?id=", "id is empty"),
        ("/user?email=%ff", "email is not percent-encoded"),
    ] {
        let answer = app.ask(target).expect(400);
        assert!(answer.text.contains(words), "{target}: {}", answer.text);
    }
    // Nobody is found across organisations or among groups.
    let (_, neighbour) = harness.neighbour("other");
    let eve = user("eve@example.com").to_string();
    let eve = harness.with_token(&neighbour, "POST", "/scim/v2/Users", &eve).expect(201).json();
    let group = harness.post("/Groups", &json!({"displayName": "G"})).expect(201).json();
    for id in [&eve["id"], &group["id"]] {
        app.ask(&format!("/user?id={}", id.as_str().unwrap())).expect(404);
    }
    app.ask("/user?email=eve%40example.com").expect(404);
}

#[test]
fn the_groups_of_a_person_come_with_the_answer() {
    let harness = Harness::new();
    let app = Application::new(&harness);
    let ann = harness.user("ann@example.com");
    let group = |name: &str, member: &Value| {
        let body = json!({"displayName": name, "members": [{"value": member["id"]}]});
        harness.post("/Groups", &body).expect(201).json()
    };
    let crew = group("Crew", &ann);
    let all = group("All", &crew);
    let expected = json!([
        {"id": crew["id"], "displayName": "Crew", "type": "direct"},
        {"id": all["id"], "displayName": "All", "type": "indirect"},
    ]);
    for target in ["/users/ann@example.com", "/user?email=ann%40example.com"] {
        assert_eq!(app.ask(target).expect(200).json()["groups"], expected);
    }
    deactivate(&harness, &ann);
    assert_eq!(app.ask("/users/ann@example.com").expect(403).json()["groups"], expected);
}

#[test]
fn a_reverse_proxy_asks_before_it_passes_a_request_on() {
    let harness = Harness::new();
    let app = Application::new(&harness);
    let ann = harness.user("ann@example.com");
    let bob = harness.user("bob@example.com");
    deactivate(&harness, &bob);
    for name in ["X-Forwarded-User", "x-auth-request-user", "X-Auth-Request-Email", "Remote-User"] {
        let yes = app.check(&[(name, "Ann@example.com")]).expect(204);
        assert_eq!(yes.header("X-Plumm-User-Id"), ann["id"].as_str());
        assert!(yes.text.is_empty() && yes.header("Plumm-Change").is_some());
        // Nobody learns from a refusal who there is.
        let inactive = app.check(&[(name, "bob@example.com")]).expect(403);
        let unknown = app.check(&[(name, "eve@example.com")]).expect(403);
        assert_eq!((&inactive.text, &inactive.headers), (&unknown.text, &unknown.headers));
        assert_eq!(inactive.header("X-Plumm-User-Id"), None);
    }
    let same = [("X-Auth-Request-User", "ann@example.com"), ("Remote-User", "ANN@example.com")];
    app.check(&same).expect(204);
    let empty = [("X-Forwarded-User", ""), ("Remote-User", "ann@example.com")];
    app.check(&empty).expect(204);
    for (fields, words) in [
        (vec![], "No header field says"),
        (vec![("X-Forwarded-User", "")], "No header field says"),
        (vec![("X-Forwarded-User", "ann@example.com"), ("Remote-User", "bob@example.com")], "two"),
        (vec![("Remote-User", "ann@example.com"), ("Remote-User", "eve@example.com")], "two"),
    ] {
        let answer = app.check(&fields).expect(400);
        assert!(answer.text.contains(words), "{fields:?}: {}", answer.text);
    }
    // An address is no userName: whose it is may change, and here it names nobody.
    let settings = OrgSettings { username_format: UsernameFormat::Any, ..OrgSettings::default() };
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, true, settings)).unwrap();
    let mut body = user("cleo");
    body["emails"][0]["value"] = "cleo@example.com".into();
    harness.post("/Users", &body).expect(201);
    app.check(&[("Remote-User", "cleo")]).expect(204);
    app.check(&[("X-Auth-Request-Email", "cleo@example.com")]).expect(403);
}

#[test]
fn a_token_of_scope_read_reads_everything_and_changes_nothing() {
    let harness = Harness::new();
    let ann = harness.user("ann@example.com");
    let read = harness.issue(Scope::Read);
    let at = format!("/scim/v2/Users/{}", ann["id"].as_str().unwrap());
    for target in [
        "/scim/v2/Users",
        "/scim/v2/Groups",
        "/scim/v2",
        "/scim/v2/Schemas",
        "/scim/v2/ResourceTypes/User",
        "/scim/v2/ServiceProviderConfig",
        &at,
        "/access/v1/users/ann@example.com",
        "/access/v1/user?userName=ann@example.com",
        "/access/v1/changes",
    ] {
        harness.with_token(&read, "GET", target, "").expect(200);
        harness.with_token(&read, "HEAD", target, "").expect(200);
    }
    let search = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]});
    for target in ["/scim/v2/.search", "/scim/v2/Users/.search"] {
        let answer = harness.with_token(&read, "POST", target, &search.to_string()).expect(200);
        assert_eq!(answer.json()["totalResults"], 1);
    }
    harness.with_token(&read, "GET", "/scim/v2/nowhere", "").expect(404);
    harness.with_token(&read, "GET", "/scim/v2/Me", "").expect(501);
    let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "DELETE", "path": at.strip_prefix("/scim/v2")}]});
    let body = user("eve@example.com").to_string();
    for (method, target, body) in [
        ("POST", "/scim/v2/Users", &body),
        ("PUT", &at, &body),
        ("PATCH", &at, &body),
        ("DELETE", &at, &String::new()),
        ("POST", "/scim/v2/Bulk", &bulk.to_string()),
        ("GET", "/metrics", &String::new()),
    ] {
        let answer = harness.with_token(&read, method, target, body).expect(403);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("has the scope \"read\""), "{method} {target}: {detail}");
        let needed = if target == "/metrics" { "admin" } else { "scim" };
        assert!(detail.contains(&format!("one with the scope \"{needed}\".")), "{detail}");
    }
    assert_eq!(harness.get("/Users").json()["Resources"], json!([ann]));
    // Who may ask, where several may.
    let admin = harness.issue(Scope::Admin);
    let refused = |target: &str| {
        let answer = harness.with_token(&admin, "GET", target, "").expect(403);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    assert!(refused("/scim/v2/Users").contains("the scope \"scim\" or \"read\""));
    assert!(refused("/access/v1/check").contains("the scope \"access\" or \"read\""));
}
