//! Sentences for people who set up a connector: each names what is wrong, and not what is not.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::harness::{Harness, user};

const USERS: &str = "/scim/v2/Users?count=0";

#[test]
fn a_token_with_a_blank_or_line_break_inside_is_told_so() {
    let harness = Harness::new();
    let token = harness.token();
    let (head, tail) = token.split_at(30);
    for broken in
        [format!("{head} {tail}"), format!("{head}\t{tail}"), format!("plm_ {}", &token[4..])]
    {
        let basic = Base64::encode_string(format!("okta:{broken}").as_bytes());
        for header in [format!("Bearer {broken}"), broken.clone(), format!("Basic {basic}")] {
            let answer = harness.send("GET", USERS, &[("Authorization", &header)], "");
            answer.refused(401, None, "has a blank or a line break inside");
        }
    }
    let basic = Base64::encode_string(format!("okta:{head}\r\n{tail}").as_bytes());
    let header = format!("Basic {basic}");
    let answer = harness.send("GET", USERS, &[("Authorization", &header)], "");
    answer.refused(401, None, "line break inside");
    // What begins with plm_ and is no token is not told that tokens begin with it.
    let answer = harness.send("GET", USERS, &[("Authorization", "Bearer plm_x")], "");
    assert!(!answer.text.contains("begin with"), "{}", answer.text);
    answer.refused(401, None, "an id, _ and a secret");
}

#[test]
fn a_base_url_that_goes_on_behind_v2_is_told_so() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    for (target, behind) in [
        ("/Users/Users", "/Users"),
        ("/Users/users?startIndex=1&count=2", "/Users"),
        ("/Users//Groups", "/Users"),
        ("/Groups/Groups", "/Groups"),
        ("/Users/ServiceProviderConfig", "/Users"),
        ("/Groups/Schemas", "/Groups"),
        ("/Users/ResourceTypes", "/Users"),
        ("/Users/Bulk", "/Users"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = harness.call(method, target, &user("eve@example.com").to_string());
            let words = format!("must end with /scim/v2, without {behind} behind it");
            answer.refused(404, None, &words);
        }
    }
    let deeper = format!("/Users/Users/{}", ida["id"].as_str().unwrap());
    harness.get(&deeper).refused(404, None, "The base URL of the connector ends with /scim/v2");
    harness.get("/Users/nobody").refused(404, None, "There is no User with the id \"nobody\"");
}

#[test]
fn an_unknown_group_is_to_be_pushed_again_and_an_unknown_user_to_be_assigned_again() {
    let harness = Harness::new();
    let set = json!([{"op": "replace", "path": "displayName", "value": "x"}]);
    for (target, words) in [
        ("/Groups/nobody", "push it again"),
        ("/Users/nobody", "unassign and assign it again in the identity provider"),
    ] {
        harness.get(target).refused(404, None, words);
        harness.call("DELETE", target, "").refused(404, None, words);
        harness.patch(target, &set).refused(404, None, words);
        harness.put(target, &json!({"displayName": "x"})).refused(404, None, words);
    }
    assert!(!harness.get("/Groups/nobody").text.contains("unassign"));
}

#[test]
fn quotes_that_are_none_in_a_filter_are_refused_with_those_that_are() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let at = format!("/Users/{}", ida["id"].as_str().unwrap());
    for (open, close) in [('\'', '\''), ('‘', '’'), ('“', '”'), ('`', '`'), ('„', '“')]
    {
        let filter = format!("userName eq {open}ida@example.com{close}");
        let target = format!("/Users?filter={}", crate::harness::encoded(&filter));
        harness.get(&target).refused(
            400,
            Some("invalidFilter"),
            "expected a value in double quotes",
        );
        let path = format!("emails[type eq {open}work{close}].value");
        let set = json!([{"op": "replace", "path": path, "value": "ida@example.com"}]);
        let answer = harness.patch(&at, &set);
        assert!(!answer.text.contains(".."), "{}", answer.text);
        answer.refused(400, Some("invalidPath"), "expected a value in double quotes");
    }
}

#[test]
fn a_user_name_that_differs_by_a_blank_is_told_of_the_blank() {
    let harness = Harness::new();
    let ida = harness.user("ida@example.com");
    let at = format!("/Users/{}", ida["id"].as_str().unwrap());
    for name in [" ida@example.com", "Ida@example.com ", "ida@example.com\n"] {
        let mut put = ida.clone();
        put["userName"] = Value::from(name);
        harness.put(&at, &put).refused(400, Some("invalidValue"), "begins or ends with a blank");
        let set = json!([{"op": "replace", "path": "userName", "value": name}]);
        harness.patch(&at, &set).refused(400, Some("invalidValue"), "begins or ends with a blank");
    }
    assert_eq!(harness.get(&at).json(), ida);
}
