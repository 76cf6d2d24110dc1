//! The web page's files, and the JSON that it reads.

use plumm::scim::datetime::Timestamp;
use plumm::store::tables::org::{Org, OrgSettings};
use plumm::store::tables::token::Scope;
use plumm::store::tables::webhook::{Progress, Webhook};
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, encoded, user};

const INACTIVE: &str = r#"[{"op":"replace","value":{"active":false}}]"#;

/// An administrator of the harness's organisation.
pub struct Admin<'a> {
    pub harness: &'a Harness,
    pub token: String,
}

impl Admin<'_> {
    pub fn of(harness: &Harness) -> Admin<'_> {
        Admin { harness, token: harness.issue(Scope::Admin) }
    }

    pub fn of_org<'a>(harness: &'a Harness, org: &Org) -> Admin<'a> {
        let (store, now) = (&harness.store, harness.now);
        let issued = plumm::auth::issue(store, now, org, Scope::Admin, "", None).unwrap();
        Admin { harness, token: issued.secret.reveal().to_owned() }
    }

    pub fn get(&self, target: &str) -> Answer {
        self.harness.with_token(&self.token, "GET", &format!("/admin/api{target}"), "")
    }

    pub fn post(&self, target: &str, body: &Value) -> Answer {
        let target = format!("/admin/api{target}");
        self.harness.with_token(&self.token, "POST", &target, &body.to_string())
    }
}

fn names(answer: &Value) -> Vec<&str> {
    let entries = answer["entries"].as_array().unwrap();
    entries.iter().map(|it| it["userName"].as_str().unwrap()).collect()
}

fn deactivate(harness: &Harness, person: &Value) {
    let target = format!("/Users/{}", person["id"].as_str().unwrap());
    harness.patch(&target, &serde_json::from_str(INACTIVE).unwrap()).expect(200);
}

#[test]
fn the_page_is_served_with_a_policy_that_lets_nothing_else_in() {
    let harness = Harness::new();
    let page = harness.send("GET", "/admin/", &[], "").expect(200);
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    for file in page.text.split('"').filter(|it| it.contains(".js") || it.contains(".css")) {
        harness.send("GET", &format!("/admin/{file}"), &[], "").expect(200);
    }
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"));
    assert!(!page.text.contains("style=") && !page.text.contains("<style"));
    assert!(!page.text.contains("://"), "nothing from elsewhere");
    assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(page.header("X-Frame-Options"), Some("DENY"));
    assert_eq!(page.header("Referrer-Policy"), Some("no-referrer"));

    // A browser asks again, and is told that it has the newest.
    let tag = page.header("ETag").unwrap();
    let fields: Vec<_> = page.headers.iter().filter(|(it, _)| it == "Cache-Control").collect();
    assert_eq!(fields, [&("Cache-Control".to_owned(), "no-cache".to_owned())]);
    let again = harness.send("GET", "/admin/", &[("If-None-Match", tag)], "").expect(304);
    assert_eq!((again.header("ETag"), again.text.as_str()), (Some(tag), ""));
    harness.send("GET", "/admin/", &[("If-None-Match", "\"x\"")], "").expect(200);

    let moved = harness.send("GET", "/admin", &[], "").expect(308);
    assert_eq!(moved.header("Location"), Some("admin/"));
    harness.send("GET", "/admin/../Cargo.toml", &[], "").expect(404);
    assert!(harness.send("GET", "/admin/x", &[], "").expect(404).text.contains("/admin/"));
    harness.send("POST", "/admin/", &[], "").expect(405);
}

#[test]
fn only_a_token_for_it_reads_the_json_and_of_its_own_organisation() {
    let harness = Harness::new();
    let ann = harness.user("ann@example.com");
    let id = ann["id"].as_str().unwrap();
    for target in [
        "overview",
        "users",
        "groups",
        "activity",
        "activity.csv",
        "tokens",
        "setup",
        "webhooks",
        "backup",
        "nothing",
    ] {
        let target = format!("/admin/api/{target}");
        harness.send("GET", &target, &[], "").expect(401);
        for scope in [Scope::Scim, Scope::Read, Scope::Access] {
            let answer = harness.with_token(&harness.issue(scope), "GET", &target, "").expect(403);
            assert!(answer.text.contains("\\\"admin\\\""), "{}", answer.text);
            assert_eq!(answer.header("Content-Type"), Some("application/json"));
        }
    }
    let (other, _) = harness.neighbour("other");
    let foreign = Admin::of_org(&harness, &other);
    assert_eq!(foreign.get("/overview").expect(200).json()["users"]["active"], 0);
    assert_eq!(names(&foreign.get("/users").expect(200).json()), Vec::<&str>::new());
    assert_eq!(names(&foreign.get("/users?search=ann").expect(200).json()), Vec::<&str>::new());
    assert_eq!(foreign.get("/activity").expect(200).json()["entries"], json!([]));
    assert_eq!(foreign.get(&format!("/activity?user={id}")).json()["entries"], json!([]));
    foreign.get(&format!("/users/{id}")).expect(404);
    foreign.post(&format!("/users/{id}/deactivate"), &json!({})).expect(404);
    let tokens = Admin::of(&harness).get("/tokens").expect(200).json();
    let token = tokens["entries"][0]["id"].as_str().unwrap();
    foreign.post(&format!("/tokens/{token}/revoke"), &json!({})).expect(404);
    harness.get("/Users").expect(200);
    assert!(foreign.get("/setup").expect(200).json()["refused"].is_null());
}

#[test]
fn people_are_listed_by_name_page_by_page_and_found_as_one_types() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    for i in (0..25).rev() {
        let mut it = user(&format!("p{i:02}@example.com"));
        it["externalId"] = format!("{i}").into();
        it["displayName"] = format!("Person {i:02}").into();
        it["active"] = (i % 5 != 0).into();
        harness.post("/Users", &it).expect(201);
    }
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let target = format!("/users?limit=10&after={}", encoded(&after));
        let page = admin.get(&target).expect(200).json();
        all.extend(names(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).map(|i| format!("p{i:02}@example.com")).collect();
    assert_eq!(all, expected);
    assert_eq!(names(&admin.get("/users?state=inactive&limit=3").json()).len(), 3);
    assert_eq!(names(&admin.get("/users?state=inactive").json()).len(), 5);
    let found = admin.get("/users?search=person%2007").expect(200).json();
    assert_eq!(names(&found), ["p07@example.com"]);
    assert_eq!(names(&admin.get("/users?search=p1&limit=4").json()).len(), 4);
    for (target, words) in [
        ("/users?state=gone", "state is one of all, inactive, deleted"),
        ("/users?limit=0", "limit is a whole number from 1 to 100"),
        ("/users?after=x", "after is"),
        ("/users?search=%ff", "not percent-encoded"),
        ("/activity?kind=x", "kind is one of"),
        ("/activity?outcome=x", "outcome is one of done, refused"),
        ("/activity?before=x", "before is"),
        ("/activity?before=1.1&after=1.1", "not with both"),
        ("/activity?wait=61&after=1.1", "wait is a whole number from 0 to 60"),
        ("/overview?offset=900", "offset is a whole number from -840 to 840"),
    ] {
        let answer = admin.get(target).expect(400);
        assert!(answer.text.contains(words), "{target}: {}", answer.text);
    }
    let long = "x".repeat(201);
    admin.get(&format!("/users?search={long}")).expect(400);
}

#[test]
fn a_person_is_shown_with_why_it_may_not_log_in_and_login_is_changed_by_hand() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let ann = harness.user("ann@example.com");
    let id = ann["id"].as_str().unwrap();
    let shown = admin.get(&format!("/users/{id}")).expect(200).json();
    assert_eq!((&shown["mayLogIn"], &shown["active"]), (&json!(true), &json!(true)));
    assert_eq!(shown["document"].get("password"), None);
    deactivate(&harness, &ann);
    let shown = admin.get(&format!("/users/{id}")).expect(200).json();
    assert_eq!(shown["mayLogIn"], json!(false));
    assert_eq!(shown["because"]["deed"], "deactivated");
    assert_eq!(shown["because"]["by"]["label"], "okta");
    assert!(shown["because"]["text"].as_str().unwrap().contains(" by token okta ("));
    assert_eq!(shown["history"][0]["action"], "deactivated");

    let given = admin.post(&format!("/users/{id}/activate"), &json!({"reason": "by mistake"}));
    let given = given.expect(200).json();
    assert_eq!((&given["changed"], &given["mayLogIn"]), (&json!(true), &json!(true)));
    assert!(given["note"].as_str().unwrap().contains("identity provider does not know"));
    let text = given["history"][0]["text"].as_str().unwrap();
    assert!(text.contains("Reason: by mistake"), "{text}");
    // The line names the token, and its client and request.
    let line = &given["history"][0];
    assert_eq!(line["by"]["kind"], "token");
    assert!(admin.token.contains(line["by"]["id"].as_str().unwrap()));
    assert!(line["request"].is_string());

    let again = admin.post(&format!("/users/{id}/activate"), &json!({})).expect(200).json();
    assert_eq!((&again["changed"], &again["note"]), (&json!(false), &json!(null)));
    admin.post(&format!("/users/{id}/deactivate"), &json!({})).expect(200);
    assert_eq!(harness.get(&format!("/Users/{id}")).json()["active"], false);
    for (body, words) in [
        (json!({"reason": "x".repeat(501)}), "longer than 500"),
        (json!({"reason": "a\nb"}), "line break"),
        (json!({"reason": 1}), "is a text"),
        (json!({"why": ""}), "is not known here"),
    ] {
        let answer = admin.post(&format!("/users/{id}/activate"), &body).expect(400);
        assert!(answer.text.contains(words), "{}", answer.text);
    }
    admin.post("/users/nobody/activate", &json!({})).expect(404);
    // A userName is no id here.
    admin.get("/users/ann@example.com").expect(404);
    harness.call("DELETE", &format!("/Users/{id}"), "").expect(204);
    let gone = admin.get(&format!("/users/{id}")).expect(200).json();
    assert_eq!(gone["because"]["deed"], "deleted");
    admin.post(&format!("/users/{id}/activate"), &json!({})).expect(409);
}

#[test]
fn activity_is_one_story_with_filters_pages_and_what_comes() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let ann = harness.user("ann@example.com");
    harness.post("/Groups", &json!({"displayName": "Staff"})).expect(201);
    harness.post("/Users", &user("no address")).refused(400, Some("invalidValue"), "no address");
    harness.app.write_refusals();
    deactivate(&harness, &ann);
    let actions = |target: &str| -> Vec<String> {
        let json = admin.get(target).expect(200).json();
        let entries = json["entries"].as_array().unwrap().clone();
        entries.iter().map(|it| it["action"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(actions("/activity").len(), 4);
    assert_eq!(actions("/activity?outcome=refused"), ["refused"]);
    assert_eq!(actions("/activity?outcome=done").len(), 3);
    assert_eq!(actions("/activity?kind=groups"), ["created"]);
    assert_eq!(actions("/activity?kind=tokens"), Vec::<String>::new());
    assert_eq!(actions("/activity?user=ANN@example.com"), ["deactivated", "created"]);
    // Page by page it is the same story, filtered or not.
    for filter in ["", "&outcome=done", "&kind=users"] {
        let whole = admin.get(&format!("/activity?limit=100{filter}")).json();
        let (mut pages, mut before) = (Vec::new(), String::new());
        loop {
            let target = format!("/activity?limit=1{filter}{before}");
            let page = admin.get(&target).expect(200).json();
            pages.extend(page["entries"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => break,
            }
        }
        assert_eq!(Value::from(pages), whole["entries"], "{filter}");
    }
    // What has happened since, changes and refusals alike.
    let newest = admin.get("/activity?limit=1").json()["newest"].as_str().unwrap().to_owned();
    let since = format!("/activity?after={newest}");
    assert_eq!(actions(&since), Vec::<String>::new());
    harness.user("bob@example.com");
    assert_eq!(actions(&since), ["created"]);
    harness.post("/Users", &user("no address either")).expect(400);
    harness.app.write_refusals();
    assert_eq!(actions(&since).len(), 2);
}

#[test]
fn a_refusal_ends_the_wait_of_who_looks_on() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let newest = admin.get("/activity").json()["newest"].as_str().unwrap().to_owned();
    let target = format!("/activity?after={newest}&wait=20");
    let body = admin.harness.with_token(&admin.token, "GET", &format!("/admin/api{target}"), "x");
    assert!(body.expect(400).text.contains("has no body"));
    let answer = std::thread::scope(|scope| {
        let looks_on = scope.spawn(|| admin.get(&target).expect(200).json());
        crate::harness::wait_until(|| harness.app.metrics().clients_waiting.get() == 1);
        harness.post("/Users", &user("no address")).expect(400);
        harness.app.write_refusals();
        looks_on.join().unwrap()
    });
    assert_eq!(answer["entries"][0]["action"], "refused");
}

#[test]
fn tokens_are_made_shown_once_and_revoked() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let body = json!({"label": "Entra", "scope": "scim", "expires": 30});
    let made = admin.post("/tokens", &body).expect(201).json();
    let token = made["token"].as_str().unwrap();
    harness.with_token(token, "GET", "/scim/v2/Users", "").expect(200);
    let listed = admin.get("/tokens").expect(200);
    let secret = token.rsplit('_').next().unwrap();
    assert!(!listed.text.contains(secret));
    let entries = listed.json()["entries"].clone();
    let own = entries.as_array().unwrap().iter().filter(|it| it["own"] == true).count();
    assert_eq!((entries.as_array().unwrap().len(), own), (3, 1));
    let id = made["id"].as_str().unwrap();
    let revoked = admin.post(&format!("/tokens/{id}/revoke"), &json!({"reason": "lost"}));
    assert_eq!(revoked.expect(200).json()["state"], "revoked");
    harness.with_token(token, "GET", "/scim/v2/Users", "").expect(401);
    let story = admin.get("/activity?kind=tokens").expect(200);
    assert!(story.text.contains("Reason: lost") && !story.text.contains(secret));
    for (body, words) in [
        (json!({"scope": "root"}), "is one of scim, read, access, admin"),
        (json!({"expires": 0}), "number of days from 1 to 3650"),
        (json!({"expires": "30"}), "number of days"),
        (json!({"label": "x".repeat(201)}), "longer than 200"),
    ] {
        let answer = admin.post("/tokens", &body).expect(400);
        assert!(answer.text.contains(words), "{}", answer.text);
    }
}

#[test]
fn the_overview_counts_by_the_days_of_the_reader_and_setup_ticks_itself_off() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let before = admin.get("/setup").expect(200).json();
    assert_eq!(before["baseUrl"], "http://plumm.example/scim/v2");
    assert_eq!(before["steps"]["user"]["done"], false);
    let ann = harness.user("ann@example.com");
    let bob = harness.user("bob@example.com");
    let target = format!("/Users/{}", bob["id"].as_str().unwrap());
    harness.patch(&target, &json!([{"op": "replace", "path": "title", "value": "Dr"}])).expect(200);
    let steps = || admin.get("/setup").expect(200).json()["steps"].clone();
    let done = |it: &Value, name: &str| it[name]["done"] == true;
    let now = steps();
    assert!(done(&now, "credentials") && done(&now, "user") && done(&now, "update"));
    assert!(!done(&now, "deactivation") && !done(&now, "groups"));
    deactivate(&harness, &ann);
    harness.post("/Groups", &json!({"displayName": "Staff"})).expect(201);
    assert!(done(&steps(), "deactivation") && done(&steps(), "groups"));
    harness.post("/Users", &user("no address")).expect(400);
    harness.app.write_refusals();
    let it = admin.get("/overview?offset=120").expect(200).json();
    assert_eq!(it["users"], json!({"active": 1, "inactive": 1, "deleted": 0}));
    assert_eq!(it["groups"], 1);
    let days = it["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(days[29], json!({"from": "2026-01-30T22:00:00.000Z", "changes": 5, "refused": 1}));
    assert_eq!((&days[28]["changes"], &days[28]["refused"]), (&json!(0), &json!(0)));
    assert_eq!(it["refused"].as_array().unwrap().len(), 1);
    // A token's row is written now and then; what came is known all the same.
    assert_eq!(it["lastPush"], Timestamp::parse(crate::harness::START).unwrap().to_string());
}

#[test]
fn the_page_is_asked_for_no_more_often_than_any_other_client() {
    let harness = Harness::with(OrgSettings { rate: 60, ..OrgSettings::default() });
    let admin = Admin::of(&harness);
    let answers = (0..200).map(|_| admin.get("/tokens").status).collect::<Vec<_>>();
    assert_eq!(answers.last(), Some(&429));
    // The identity provider goes on.
    harness.get("/Users").expect(200);
}

#[test]
fn webhooks_are_seen_without_their_keys_disabled_enabled_and_replayed() {
    let harness = Harness::new();
    let admin = Admin::of(&harness);
    let webhook = |id: &str, org| Webhook {
        id: id.to_owned(),
        org,
        url: "https://app.example.com/plumm".to_owned(),
        events: Vec::new(),
        algorithm: "hmac".to_owned(),
        key: b"a key that nobody sees".to_vec().into(),
        former_key: None,
        ca: None,
        insecure: false,
        created: harness.now,
        revision: 0,
        progress: Progress::default(),
    };
    let (other, _) = harness.neighbour("other");
    for (id, org) in [("wh_own", harness.org.key), ("wh_other", other.key)] {
        harness.store.write(harness.now, |tx| tx.add_webhook(&webhook(id, org))).unwrap();
    }
    harness.user("ann@example.com");
    let listed = admin.get("/webhooks").expect(200);
    assert!(!listed.text.contains("nobody sees") && !listed.text.contains("\"key\""));
    let entries = listed.json()["entries"].clone();
    assert_eq!(entries.as_array().unwrap().len(), 1);
    assert_eq!((&entries[0]["id"], &entries[0]["behind"]), (&json!("wh_own"), &json!(1)));
    let state = |answer: Answer| answer.expect(200).json()["state"].clone();
    assert_eq!(state(admin.post("/webhooks/wh_own/disable", &json!({}))), "disabled");
    assert_eq!(state(admin.get("/webhooks/wh_own")), "disabled");
    assert_eq!(state(admin.post("/webhooks/wh_own/enable", &json!({}))), "active");
    let replayed = admin.post("/webhooks/wh_own/replay", &json!({"from": 2})).expect(200).json();
    assert_eq!(replayed["after"], 1);
    for body in [json!({}), json!({"from": 0}), json!({"from": "1"}), json!({"from": 99})] {
        admin.post("/webhooks/wh_own/replay", &body).expect(400);
    }
    for target in ["/webhooks/wh_other/enable", "/webhooks/wh_other/disable"] {
        admin.post(target, &json!({})).expect(404);
    }
    admin.get("/webhooks/wh_other").expect(404);
    // The lines name the token.
    let story = admin.get("/activity?kind=webhooks").expect(200).json();
    let entries = story["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert!(entries.iter().all(|it| it["by"]["kind"] == "token"));
}
