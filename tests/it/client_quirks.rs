//! Requests of identity providers that other servers are known to answer wrong. Their PATCH forms,
//! their product rules and whole conversations with them are held by `patch`, `product_rules` and
//! `idp`; paging and creation by `users`; groups by `groups`.

use plumm::http::request::{Method, Request};
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, encoded, user};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn target(user: &Value) -> String {
    format!("/Users/{}", user["id"].as_str().unwrap())
}

fn found(harness: &Harness, filter: &str) -> Vec<Value> {
    let answer = harness.get(&format!("/Users?filter={}", encoded(filter)));
    let list = answer.expect(200).json();
    let resources = list["Resources"].as_array().unwrap().clone();
    assert_eq!(list["totalResults"], resources.len(), "{filter}");
    resources
}

/// A request with these headers beside the token.
fn with_headers(
    harness: &Harness,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let bearer = format!("Bearer {}", harness.token());
    let mut all = vec![("Authorization", bearer.as_str())];
    all.extend(headers);
    harness.send_bytes(method, &format!("/scim/v2{path}"), &all, body)
}

#[test]
fn a_deactivation_that_is_not_understood_is_never_a_success() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    for operation in [
        json!({"op": "deactivate"}),
        json!({"op": "set", "path": "active", "value": false}),
        json!({"op": "replace", "path": "Aktiv", "value": false}),
        json!({"op": "replace", "path": "active", "value": "off"}),
        json!({"op": "replace", "path": "active", "value": 2}),
        json!({"op": "replace", "path": "active.value", "value": false}),
        json!({"op": "replace", "path": "active"}),
        json!({"op": "replace", "value": false}),
        json!({"op": "replace", "value": [{"active": false}]}),
        json!({"op": "remove", "path": "active"}),
        json!({"op": "remove", "path": "active", "value": true}),
        json!({"op": "remove", "value": {"active": true}}),
    ] {
        let answer = harness.patch(&target(&bob), &json!([operation]));
        assert_eq!(answer.status, 400, "{operation}: {}", answer.text);
    }
    assert_eq!(harness.get(&target(&bob)).json(), bob);
}

#[test]
fn entra_sends_false_as_text() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    for (word, active) in [("False", false), ("True", true), ("false", false), ("TRUE", true)] {
        let operation = json!([{"op": "Replace", "path": "active", "value": word}]);
        let after = harness.patch(&target(&bob), &operation).expect(200).json();
        assert_eq!(after["active"], active, "{word}");
        assert_eq!(harness.count(&format!("active eq {active}")), 1, "{word}");
    }
    let mut body = user("ann@example.com");
    body["active"] = "False".into();
    body["roles"] = json!([{"primary": "True", "value": "admin"}]);
    let ann = harness.post("/Users", &body).expect(201).json();
    assert_eq!(ann["active"], false);
    assert_eq!(ann["roles"], json!([{"primary": true, "value": "admin"}]));
    assert_eq!(
        found(&harness, "roles[primary eq \"True\"].value eq \"admin\"")[0]["id"],
        ann["id"]
    );
    assert_eq!(found(&harness, "active eq \"False\"")[0]["id"], ann["id"]);
}

#[test]
fn entra_enables_a_user_again() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let set = |value: Value| {
        let operation = json!([{"op": "Replace", "path": "active", "value": value}]);
        harness.patch(&target(&bob), &operation).expect(200).json()
    };
    for (off, on) in [(json!("False"), json!("True")), (json!(false), json!(true))] {
        assert_eq!(set(off)["active"], false);
        let after = set(on);
        assert_eq!((&after["active"], &after["id"]), (&json!(true), &bob["id"]));
        assert_eq!(after["emails"], bob["emails"]);
    }
}

#[test]
fn activating_the_active_and_deactivating_the_inactive_is_a_success_without_a_trace() {
    let harness = Harness::new();
    for active in [true, false] {
        let mut body = user(&format!("{active}@example.com"));
        body["active"] = active.into();
        let user = harness.post("/Users", &body).expect(201).json();
        harness.app.clock().advance(60);
        let word = if active { "True" } else { "False" };
        for operation in [
            json!({"op": "replace", "value": {"active": active}}),
            json!({"op": "Replace", "path": "active", "value": word}),
            json!({"op": "Add", "path": "active", "value": active}),
        ] {
            let after = harness.patch(&target(&user), &json!([operation])).expect(200).json();
            assert_eq!(after, user, "{operation}");
        }
    }
}

#[test]
fn a_create_for_an_inactive_account_leads_to_that_account() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    harness.patch(&target(&bob), &off).expect(200);
    let id = bob["id"].as_str().unwrap();
    // The lookup before it finds the account, so that the client updates it.
    let lookup = found(&harness, "userName eq \"bob@example.com\"");
    assert_eq!((&lookup[0]["id"], &lookup[0]["active"]), (&bob["id"], &json!(false)));
    harness.post("/Users", &user("bob@example.com")).refused(409, Some("uniqueness"), id);
    let again = harness.put(&target(&lookup[0]), &user("bob@example.com")).expect(200).json();
    assert_eq!((&again["id"], &again["active"]), (&bob["id"], &json!(true)));
}

#[test]
fn two_accounts_may_share_an_external_id() {
    let harness = Harness::new();
    let old = harness.user("old@example.com");
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    harness.patch(&target(&old), &off).expect(200);
    let new = harness.user("new@example.com");
    assert_eq!(old["externalId"], new["externalId"]);
    let both = found(&harness, "externalId eq \"00ujl29u0le5T6Aj10h7\"");
    assert_eq!(both.len(), 2);
    // externalId is compared exactly (RFC 7643 section 3.1).
    assert_eq!(harness.count("externalId eq \"00UJL29U0LE5T6AJ10H7\""), 0);
    let on = json!([{"op": "replace", "value": {"active": true}}]);
    harness.patch(&target(&old), &on).expect(200);
}

#[test]
fn several_collisions_at_once_are_one_conflict() {
    let harness = Harness::new();
    let mut bob = harness.user("bob@example.com");
    // All of it again: userName, externalId, address, even the id.
    bob["password"] = "x".into();
    let answer = harness.post("/Users", &bob);
    answer.refused(409, Some("uniqueness"), "Unique identifier field for users must be userName");
}

#[test]
fn every_answer_has_the_same_user_name() {
    let harness = Harness::new();
    let bob = harness.user("Bob.McX@Example.com");
    let name = json!("Bob.McX@Example.com");
    assert_eq!(bob["userName"], name);
    assert_eq!(harness.get(&target(&bob)).json()["userName"], name);
    assert_eq!(harness.get("/Users").json()["Resources"][0]["userName"], name);
    assert_eq!(found(&harness, "userName eq \"bob.mcx@example.com\"")[0]["userName"], name);
    let title = json!([{"op": "replace", "path": "title", "value": "Dr"}]);
    assert_eq!(harness.patch(&target(&bob), &title).json()["userName"], name);
    assert_eq!(harness.put(&target(&bob), &user("BOB.MCX@EXAMPLE.COM")).json()["userName"], name);
}

#[test]
fn an_id_that_a_client_sends_is_ignored() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    for id in [bob["id"].clone(), json!("mine"), json!(7), Value::Null] {
        let mut body = user("eve@example.com");
        body["id"] = id;
        let eve = harness.post("/Users", &body).expect(201).json();
        assert_ne!(eve["id"], bob["id"]);
        assert_ne!(eve["id"], "mine");
        assert_eq!(harness.get(&target(&bob)).json(), bob);
        harness.call("DELETE", &target(&eve), "").expect(204);
    }
    // In a PUT, too: the URL says who is meant.
    let ann = harness.user("ann@example.com");
    let mut body = ann.clone();
    body["id"] = bob["id"].clone();
    assert_eq!(harness.put(&target(&ann), &body).expect(200).json()["id"], ann["id"]);
    assert_eq!(harness.get(&target(&bob)).json(), bob);
}

#[test]
fn a_manager_as_text_is_answered_as_an_object() {
    let harness = Harness::new();
    for given in [json!("m1"), json!({"value": "m1"}), json!(["m1"]), json!([{"value": "m1"}])] {
        let mut body = user("bob@example.com");
        body[ENTERPRISE] = json!({ "manager": given });
        let bob = harness.post("/Users", &body).expect(201).json();
        let object = json!({"value": "m1"});
        assert_eq!(bob[ENTERPRISE]["manager"], object, "{given}");
        let put = harness.put(&target(&bob), &body).expect(200).json();
        assert_eq!(put[ENTERPRISE]["manager"], object, "{given}");
        harness.call("DELETE", &target(&bob), "").expect(204);
    }
    for nothing in [Value::Null, json!(""), json!([])] {
        let mut body = user("bob@example.com");
        body[ENTERPRISE] = json!({"manager": nothing, "department": "R&D"});
        let bob = harness.post("/Users", &body).expect(201).json();
        assert_eq!(bob[ENTERPRISE], json!({"department": "R&D"}), "{nothing}");
        harness.call("DELETE", &target(&bob), "").expect(204);
    }
}

#[test]
fn the_manager_stands_below_the_enterprise_urn_and_is_found_there() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let add = json!([{"op": "Add", "path": "manager",
        "value": [{"$ref": "http://x/scim/Users/00aa", "value": "00aa"}]}]);
    let after = harness.patch(&target(&bob), &add).expect(200).json();
    assert_eq!(after.get("manager"), None);
    assert_eq!(after[ENTERPRISE]["manager"]["value"], "00aa");
    assert!(after["schemas"].as_array().unwrap().contains(&json!(ENTERPRISE)));
    // Entra ID's reference check.
    let id = bob["id"].as_str().unwrap();
    for (manager, count) in [("00aa", 1), ("00ab", 0)] {
        let filter = format!("id eq \"{id}\" and manager eq \"{manager}\"");
        let answer = harness.get(&format!("/Users?attributes=id&filter={}", encoded(&filter)));
        let list = answer.expect(200).json();
        assert_eq!(list["totalResults"], count, "{filter}");
        if count == 1 {
            assert_eq!(list["Resources"][0]["id"], bob["id"]);
            assert_eq!(list["Resources"][0].get("userName"), None);
        }
    }
    assert_eq!(harness.count(&format!("{ENTERPRISE}:manager.value eq \"00aa\"")), 1);
}

#[test]
fn attributes_that_nobody_knows_and_a_missing_display_name_are_no_failure() {
    let harness = Harness::new();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0User", "urn:x:y:z"],
        "userName": "bob@example.com",
        "name": {"givenName": "Bob", "nobodyKnows": [1, {"a": null}]},
        "shoeSize": 44, "shoe size": {"eu": 44}, "company": "Acme", "custom_1": null,
        "addresses": null, "phoneNumbers": null, "title": null, "department": null,
        "manager": null, "roles": [], "meta": {"resourceType": "User"}
    });
    let bob = harness.post("/Users", &body).expect(201).json();
    assert_eq!(bob["name"], json!({"givenName": "Bob"}));
    assert_eq!((bob.get("shoeSize"), bob.get("displayName")), (None, None));
    assert_eq!(bob["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:User"]));
    assert_eq!(harness.put(&target(&bob), &body).expect(200).json(), bob);
}

#[test]
fn every_error_is_a_scim_error() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let wrong = "plm_a_b";
    let at = format!("/scim/v2{}", target(&bob));
    for (status, token, method, path, body) in [
        (401, wrong, "GET", "/scim/v2/Users", ""),
        (401, "", "POST", "/scim/v2/Users", "{}"),
        (403, &harness.issue(Scope::Access), "GET", "/scim/v2/Users", ""),
        (404, harness.token(), "GET", "/scim/v2/Users/nobody", ""),
        (404, harness.token(), "GET", "/scim/v2/Users/010101001010101011001010101011", ""),
        (404, harness.token(), "GET", "/scim/v2/nowhere", ""),
        (404, harness.token(), "GET", "/scim/v2/Users/a/b", ""),
        (404, harness.token(), "GET", "/scim/v1/Users", ""),
        (404, harness.token(), "GET", "/scim/v2/Schemas/urn:x:y", ""),
        (405, harness.token(), "DELETE", "/scim/v2/Users", ""),
        (405, harness.token(), "POST", &at, "{}"),
        (405, harness.token(), "BREW", "/scim/v2/Users", ""),
        (400, harness.token(), "POST", "/scim/v2/Users", "{"),
        (400, harness.token(), "POST", "/scim/v2/Users", "not json at all"),
        (400, harness.token(), "POST", "/scim/v2/Users", "[]"),
        (400, harness.token(), "GET", "/scim/v2/Users?filter=x", ""),
        (400, harness.token(), "GET", "/scim/v2/Users?startIndex=x", ""),
        (409, harness.token(), "POST", "/scim/v2/Users", &user("bob@example.com").to_string()),
        (501, harness.token(), "GET", "/scim/v2/Me", ""),
    ] {
        let answer = harness.with_token(token, method, path, body);
        assert!(!answer.text.is_empty(), "{method} {path}");
        let scim_type = answer.json().get("scimType").and_then(Value::as_str).map(str::to_owned);
        let challenge = answer.header("WWW-Authenticate").map(str::to_owned);
        let allow = answer.header("Allow").is_some();
        answer.refused(status, scim_type.as_deref(), "");
        assert_eq!(challenge.is_some(), status == 401, "{method} {path}");
        assert_eq!(allow, status == 405, "{method} {path}");
    }
}

#[test]
fn bodies_of_every_media_type_that_clients_name_are_read() {
    let harness = Harness::new();
    let types: [&[(&str, &str)]; 8] = [
        &[("Content-Type", "application/scim+json")],
        &[("Content-Type", "application/scim+json; charset=utf-8")],
        &[("Content-Type", "application/scim+json;charset=UTF-8")],
        &[("Content-Type", "application/json")],
        &[("Content-Type", "application/json; charset=\"utf-8\"")],
        &[("content-type", "Application/SCIM+JSON")],
        &[("Content-Type", "application/json+scim")],
        &[],
    ];
    for (i, headers) in types.iter().enumerate() {
        let body = user(&format!("u{i}@example.com"));
        let answer = with_headers(&harness, "POST", "/Users", headers, body.to_string().as_bytes());
        let created = answer.expect(201).json();
        let put =
            with_headers(&harness, "PUT", &target(&created), headers, body.to_string().as_bytes());
        put.expect(200);
        let patch = json!({"schemas": [PATCH_OP],
            "Operations": [{"op": "replace", "value": {"active": false}}]});
        let patch = patch.to_string();
        let answer = with_headers(&harness, "PATCH", &target(&created), headers, patch.as_bytes());
        assert_eq!(answer.expect(200).json()["active"], false);
    }
    // The Runscope suite names a type on GET as well.
    with_headers(&harness, "GET", "/Users", types[1], b"").expect(200);
}

#[test]
fn a_byte_order_mark_before_the_body_is_skipped() {
    let harness = Harness::new();
    let marked = |text: String| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let body = marked(user("bob@example.com").to_string());
    let bob = with_headers(&harness, "POST", "/Users", &[], &body).expect(201).json();
    with_headers(&harness, "PUT", &target(&bob), &[], &body).expect(200);
    let patch = json!({"schemas": [PATCH_OP],
        "Operations": [{"op": "replace", "path": "title", "value": "Dr"}]});
    let patch = marked(patch.to_string());
    let after = with_headers(&harness, "PATCH", &target(&bob), &[], &patch).expect(200).json();
    assert_eq!(after["title"], "Dr");
    // A text in another encoding is told so.
    let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [&b"{\"title\": \"\xe9\"}"[..], &[&b"\xff\xfe"[..], &utf16].concat()] {
        let answer = with_headers(&harness, "POST", "/Users", &[], body);
        answer.refused(400, Some("invalidSyntax"), "UTF-8");
    }
}

#[test]
fn every_answer_is_scim_json_whatever_the_client_accepts() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    for accept in [
        "application/scim+json",
        "application/scim+json; charset=utf-8",
        "application/scim+json, application/json;q=0.9",
        "application/json",
        "application/json; charset=utf-8",
        "*/*",
        "text/html",
        "",
    ] {
        let headers =
            [("Accept", accept), ("Accept-Charset", "utf-8"), ("Accept-Encoding", "gzip,deflate")];
        for path in [target(&bob), "/Users".to_owned(), "/ServiceProviderConfig".to_owned()] {
            let answer = with_headers(&harness, "GET", &path, &headers, b"").expect(200);
            assert_eq!(answer.header("Content-Type"), Some("application/scim+json"), "{accept}");
        }
        let answer = with_headers(&harness, "GET", "/Users/nobody", &headers, b"").expect(404);
        assert_eq!(answer.header("Content-Type"), Some("application/scim+json"), "{accept}");
    }
}

#[test]
fn a_token_with_or_without_its_scheme() {
    let harness = Harness::new();
    let token = harness.token();
    let basic = |text: &str| {
        use base64ct::{Base64, Encoding};
        format!("Basic {}", Base64::encode_string(text.as_bytes()))
    };
    for header in [
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER  {token} "),
        format!("Bearer Bearer {token}"),
        token.to_owned(),
        basic(&format!("okta:{token}")),
        basic(&format!(":{token}")),
    ] {
        harness.send("GET", "/scim/v2/Users", &[("Authorization", &header)], "").expect(200);
        harness.send("GET", "/scim/v2/Users", &[("authorization", &header)], "").expect(200);
    }
    for header in ["non-token", "Bearer", "Bearer ", "Basic", "Token x", "Bearer non-token", ""] {
        let answer = harness.send("GET", "/scim/v2/Users", &[("Authorization", header)], "");
        answer.refused(401, None, "API token");
    }
    harness.send("GET", "/scim/v2/Users", &[], "").refused(401, None, "No API token");
}

#[test]
fn an_unknown_path_is_no_bad_token_and_a_bad_token_is_no_unknown_path() {
    let harness = Harness::new();
    for path in ["/nowhere", "/Users/x/y", "/ServiceProviderConfig/x", "/Nutzer"] {
        harness.get(path).refused(404, None, "base URL");
    }
    harness.with_token(harness.token(), "GET", "/scim", "").refused(404, None, "base URL");
    // The root itself is a list of everything (RFC 7644 section 3.4.2.1).
    for path in ["/", ""] {
        harness.get(path).expect(200);
    }
    for path in ["/scim", "/scim/v2/nowhere", "/scim/v2/ServiceProviderConfig", "/scim/v2/Users/x"]
    {
        harness.with_token("plm_a_b", "GET", path, "").refused(401, None, "API token");
    }
    // What the on-premises agent and others ask for first is there.
    for path in [
        "/ServiceProviderConfig",
        "/ServiceProviderConfigs",
        "/ServiceProviderConfig/",
        "//ServiceProviderConfig",
        "/serviceproviderconfig",
        "/ResourceTypes",
        "/Schemas/",
    ] {
        harness.get(path).expect(200);
    }
}

#[test]
fn a_read_only_endpoint_refuses_the_method_before_the_body() {
    let harness = Harness::new();
    for path in ["/ServiceProviderConfig", "/ServiceProviderConfigs", "/ResourceTypes", "/Schemas"]
    {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            for body in ["test", ""] {
                harness.call(method, path, body).refused(405, None, "GET");
            }
        }
    }
}

#[test]
fn a_filter_that_is_not_understood_never_returns_everything() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    for filter in [
        "RUNSCOPE300@atko.com",
        "userName",
        "userName eq",
        "userName eq \"bob",
        "userName = \"bob\"",
        "userName is \"bob\"",
        "shoeSize eq 44",
        "name.shoeSize eq 44",
        "userName eq \"a\" nand title eq \"b\"",
        "userName eq \"a\" and",
        "(userName eq \"a\"",
        "userName eq \"a\"; drop table",
        "emails[type eq \"work\" eq \"x\"",
        "active eq \"maybe\"",
        "meta.lastModified gt \"yesterday\"",
        "password eq \"x\"",
        "userName eq 'bob@example.com' or",
    ] {
        let answer = harness.get(&format!("/Users?filter={}", encoded(filter)));
        assert_eq!(answer.status, 400, "{filter}: {}", answer.text);
        answer.refused(400, Some("invalidFilter"), "");
    }
    // No filter at all is no filter.
    assert_eq!(harness.get("/Users?filter=").expect(200).json()["totalResults"], 1);
}

#[test]
fn totals_are_exact_on_every_page_and_beyond() {
    let harness = Harness::new();
    let all: Vec<Value> =
        (0..23).map(|i| harness.user(&format!("u{i}@example.com"))["id"].clone()).collect();
    for filter in ["", "&filter=userName%20sw%20%22u%22"] {
        for start in [1, 20, 23, 24, 1000] {
            let list = harness.get(&format!("/Users?startIndex={start}&count=5{filter}")).json();
            assert_eq!(list["totalResults"], 23, "{start}{filter}");
            assert_eq!(list["startIndex"], start, "{start}{filter}");
            let length = list["Resources"].as_array().unwrap().len();
            assert_eq!(list["itemsPerPage"], length);
            assert_eq!(length, 5.min(24_usize.saturating_sub(start)));
        }
        // authentik asks on until it has seen `totalResults`, without a count.
        let mut seen = Vec::new();
        for _ in 0..30 {
            let from = seen.len() + 1;
            let list = harness.get(&format!("/Users?startIndex={from}{filter}")).json();
            seen.extend(list["Resources"].as_array().unwrap().iter().map(|it| it["id"].clone()));
            if list["totalResults"] == seen.len() {
                break;
            }
        }
        assert_eq!(seen, all, "{filter}");
    }
    // An inactive user counts, a deleted one does not.
    let off = json!([{"op": "replace", "value": {"active": false}}]);
    harness.patch(&format!("/Users/{}", all[0].as_str().unwrap()), &off).expect(200);
    harness.call("DELETE", &format!("/Users/{}", all[1].as_str().unwrap()), "").expect(204);
    for query in ["", "?filter=userName%20sw%20%22u%22"] {
        let list = harness.get(&format!("/Users{query}")).json();
        assert_eq!(list["totalResults"], 22);
        assert_eq!(list["Resources"].as_array().unwrap().len(), 22);
    }
}

#[test]
fn okta_reads_more_than_a_hundred_users() {
    let harness = Harness::new();
    for i in 0..205 {
        harness.user(&format!("u{i}@example.com"));
    }
    for filter in ["", "&filter=active%20eq%20true"] {
        let mut seen = std::collections::HashSet::new();
        for (start, length) in [(1, 100), (101, 100), (201, 5), (301, 0)] {
            let list = harness.get(&format!("/Users?startIndex={start}&count=100{filter}")).json();
            let page = list["Resources"].as_array().unwrap();
            assert_eq!((page.len(), &list["totalResults"]), (length, &json!(205)));
            for it in page {
                assert!(seen.insert(it["id"].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(seen.len(), 205);
    }
    // Without a count, too, a page is at least a hundred.
    assert_eq!(harness.get("/Users").json()["itemsPerPage"], 100);
}

#[test]
fn the_numbers_of_a_list_are_numbers() {
    let harness = Harness::new();
    for path in ["/Users?startIndex=1&count=2", "/Users?filter=userName eq \"x\"", "/Schemas"] {
        let list = harness.get(path).expect(200).json();
        for name in ["totalResults", "startIndex", "itemsPerPage"] {
            assert!(list[name].is_u64(), "{path}: {name} is {}", list[name]);
        }
        assert!(list["Resources"].is_array());
    }
}

#[test]
fn names_with_every_character_are_found() {
    let harness = Harness::new();
    let names = [
        "o'malley@example.com",
        "a+b@example.com",
        "100%@example.com",
        "per%25cent@example.com",
        "under_score@example.com",
        "back\\slash@example.com",
        "am&per=sand?#@example.com",
        "\"john doe\"@example.com",
        "\"a\\\"b\"@example.com",
        "jürgen@müller.example",
        "λ.東京@例え.example",
        "e\u{301}@example.com",
        "😀@example.com",
        "star*@example.com",
    ];
    // A backslash may stand in a quoted local part only.
    let (fit, odd): (Vec<&str>, Vec<&str>) =
        names.iter().partition(|it| plumm::scim::identity::is_email_address(it));
    assert_eq!(odd, ["back\\slash@example.com"]);
    for name in &fit {
        let created = harness.user(name);
        assert_eq!(created["userName"], *name);
        let filter = format!("userName eq {}", Value::from(*name));
        let lookup = found(&harness, &filter);
        assert_eq!(lookup.len(), 1, "{filter}");
        assert_eq!(lookup[0]["id"], created["id"], "{filter}");
        // Spaces as plus signs, as Okta had it once.
        let plus = encoded(&filter).replace("%20", "+");
        let list = harness.get(&format!("/Users?filter={plus}")).expect(200).json();
        assert_eq!(list["Resources"][0]["id"], created["id"], "{plus}");
        // In JSON's own escapes.
        let escaped: String = name.encode_utf16().map(|it| format!("\\u{it:04x}")).collect();
        assert_eq!(found(&harness, &format!("userName eq \"{escaped}\""))[0]["id"], created["id"]);
        // The same name again, in capitals, is the same account.
        harness.post("/Users", &user(&name.to_uppercase())).refused(
            409,
            Some("uniqueness"),
            created["id"].as_str().unwrap(),
        );
    }
    // Nothing in a value is a pattern.
    for (filter, count) in [
        ("userName co \"%\"", 2),
        ("userName co \"_\"", 1),
        ("userName co \"*\"", 1),
        ("userName sw \"100%\"", 1),
        ("userName co \"%25\"", 1),
        ("userName eq \"%\"", 0),
        ("userName eq \"under%score@example.com\"", 0),
        ("userName eq \"' or '1'='1\"", 0),
    ] {
        assert_eq!(harness.count(filter), count, "{filter}");
    }
    let mut body = user("my@example.com");
    body["displayName"] = "my % name + \"quotes\" 'n' spaces".into();
    let mine = harness.post("/Users", &body).expect(201).json();
    let filter = "displayName eq \"my % name + \\\"quotes\\\" 'n' spaces\"";
    assert_eq!(found(&harness, filter)[0]["id"], mine["id"]);
}

#[test]
fn the_filters_of_entra_id() {
    let harness = Harness::new();
    let mut body = user("bob@example.com");
    body["externalId"] = "jyoung".into();
    let home = json!({"value": "bob@home.example", "type": "home"});
    body["emails"].as_array_mut().unwrap().push(home);
    let bob = harness.post("/Users", &body).expect(201).json();
    harness.user("ann@example.com");
    let id = bob["id"].as_str().unwrap();
    for filter in [
        "externalId eq \"jyoung\"",
        "externalId eq jyoung",
        "userName eq bob@example.com",
        "UserName Eq \"BOB@example.com\"",
        "USERNAME EQ \"bob@example.com\"",
        "emails eq \"bob@example.com\"",
        "emails.value eq \"bob@example.com\"",
        "emails[type eq \"work\"].value eq \"bob@example.com\"",
        "emails[type eq \"work\"].value eq bob@example.com",
        "emails[type eq \"work\"] eq \"bob@example.com\"",
        "emails[type eq \"work\"] eq bob@example.com",
        "emails[Type Eq \"WORK\"].Value Eq \"BOB@EXAMPLE.COM\"",
        "emails[type eq work].value eq bob@example.com",
        "emails[type eq \"work\" and value eq \"bob@example.com\"]",
        "emails[value eq \"bob@home.example\"]",
        "emails[primary eq true].value eq \"bob@example.com\"",
        "emails[primary eq \"True\"].value eq \"bob@example.com\"",
        &format!("id eq \"{id}\""),
        &format!("id eq {id}"),
        &format!("id eq \"{id}\" and userName eq \"bob@example.com\""),
        &format!("ID EQ \"{id}\" AND userName EQ \"bob@example.com\""),
        "urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"bob@example.com\"",
        "userName eq \"bob@example.com\" and (emails co \"home.example\" or title pr)",
        "name.FamilyName eq User and (emails.Value co home.example or emails.Value co nobody)",
        "userName sw B",
        "externalId eq jyoung and meta.Created gt 2020-01-01T00:00:00Z",
        "emails[type eq\"home\"].value eq\"bob@home.example\"",
    ] {
        let lookup = found(&harness, filter);
        assert_eq!(lookup.len(), 1, "{filter}");
        assert_eq!(lookup[0]["id"], bob["id"], "{filter}");
    }
    for filter in [
        "emails[type eq \"work\"].value eq \"bob@home.example\"",
        "emails[type eq \"work\"] eq \"bob@home.example\"",
        "emails[type eq \"other\"] eq \"bob@example.com\"",
        "externalId eq JYOUNG",
        "userName eq bob",
    ] {
        assert_eq!(harness.count(filter), 0, "{filter}");
    }
}

#[test]
fn a_lookup_that_finds_nobody_is_a_whole_empty_list() {
    let harness = Harness::new();
    for filled in [false, true] {
        if filled {
            harness.user("bob@example.com");
        }
        for filter in [
            "userName eq \"6ab3b0f5-3c0a-4a9c-9d1e-6f1f8f0f1b2c\"",
            "externalId eq \"6ab3b0f5-3c0a-4a9c-9d1e-6f1f8f0f1b2c\"",
            "userName eq \"\"",
            "id eq \"nobody\"",
            "emails[type eq \"work\"].value eq \"nobody@example.com\"",
        ] {
            let target = format!("/Users?filter={}&startIndex=1&count=100", encoded(filter));
            let expected = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
                "totalResults": 0, "startIndex": 1, "itemsPerPage": 0, "Resources": []
            });
            assert_eq!(harness.get(&target).expect(200).json(), expected, "{filter}");
        }
    }
}

#[test]
fn flags_of_entra_id_in_the_base_url_are_ignored() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    for query in ["aadOptscim062020", "aadOptscim062020=", "AzureAdScimPatch2017&x=%ff", "&&=&"] {
        harness.get(&format!("/Users?{query}")).expect(200);
        harness.get(&format!("/Users/?{query}&filter=userName+eq+%22x%22")).expect(200);
        harness.get(&format!("{}?{query}", target(&bob))).expect(200);
        let off = json!([{"op": "replace", "path": "active", "value": false}]);
        harness.patch(&format!("{}?{query}", target(&bob)), &off).expect(200);
    }
}

#[test]
fn an_id_from_a_list_can_be_read_and_changed() {
    let harness = Harness::new();
    for i in 0..5 {
        harness.user(&format!("u{i}@example.com"));
    }
    let mut listed = harness.get("/Users?attributes=id").json()["Resources"].clone();
    for it in found(&harness, "userName sw \"u\"") {
        listed.as_array_mut().unwrap().push(it);
    }
    for it in listed.as_array().unwrap() {
        let at = target(it);
        harness.get(&at).expect(200);
        harness.get(&format!("{at}/")).expect(200);
        let off = json!([{"op": "replace", "value": {"active": false}}]);
        harness.patch(&at, &off).expect(200);
        let read = harness.get(&at).expect(200).json();
        harness.put(&at, &read).expect(200);
        assert_eq!(read["meta"]["location"], format!("http://plumm.example/scim/v2{at}"));
    }
}

#[test]
fn names_in_pascal_case() {
    let harness = Harness::new();
    let body = json!({
        "Schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "UserName": "bob@example.com",
        "ExternalId": "x1",
        "Active": "True",
        "Name": {"GivenName": "Bob", "FamilyName": "Builder"},
        "Emails": [{"Value": "bob@example.com", "Type": "work", "Primary": "True"}],
        "PASSWORD": "s3cr3t",
        ENTERPRISE.to_uppercase(): {"Department": "R&D"}
    });
    let bob = harness.post("/Users", &body).expect(201).json();
    let expected = json!([{"value": "bob@example.com", "type": "work", "primary": true}]);
    assert_eq!(bob["emails"], expected);
    assert_eq!(bob["name"], json!({"givenName": "Bob", "familyName": "Builder"}));
    assert_eq!((&bob["active"], &bob["externalId"]), (&json!(true), &json!("x1")));
    assert_eq!(bob[ENTERPRISE], json!({"department": "R&D"}));
    assert!(!bob.to_string().contains("s3cr3t"));
    assert_eq!(harness.put(&target(&bob), &body).expect(200).json(), bob);
    for filter in
        ["UserName eq \"bob@example.com\"", "Name.FamilyName eq Builder", "Active eq True"]
    {
        assert_eq!(harness.count(filter), 1, "{filter}");
    }
    // The same name twice in other letters is no riddle to be solved.
    let twice = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "eve@example.com", "UserName": "ann@example.com"});
    harness.post("/Users", &twice).refused(400, Some("invalidSyntax"), "twice");
}

#[test]
fn a_conflict_names_the_attribute_and_the_account() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let id = bob["id"].as_str().unwrap();
    let answer = harness.post("/Users", &user("Bob@example.com")).expect(409).json();
    let detail = answer["detail"].as_str().unwrap();
    for word in ["userName", "Bob@example.com", id] {
        assert!(detail.contains(word), "{word} is not in {detail}");
    }
}

#[test]
fn filtered_paths_into_every_attribute_with_values_go_with_a_deactivation() {
    let harness = Harness::new();
    for name in ["emails", "phoneNumbers", "ims", "photos", "entitlements", "roles"] {
        let bob = harness.user(&format!("{name}@example.com"));
        let path = format!("{name}[type eq \"other\"].value");
        let operations = json!([{"op": "Replace", "path": path, "value": "x:y"},
            {"op": "Replace", "path": "active", "value": "False"}]);
        let after = harness.patch(&target(&bob), &operations).expect(200).json();
        assert_eq!(after["active"], false);
        let last = after[name].as_array().unwrap().last().unwrap();
        assert_eq!(*last, json!({"type": "other", "value": "x:y"}), "{name}");
    }
    let bob = harness.user("addresses@example.com");
    let operations = json!([
        {"op": "Add", "path": "addresses[type eq \"work\"].streetAddress", "value": "1 Main St"},
        {"op": "Add", "path": "addresses[type eq \"work\"].country", "value": "IE"},
        {"op": "Replace", "path": "active", "value": "False"}]);
    let after = harness.patch(&target(&bob), &operations).expect(200).json();
    let work = json!({"type": "work", "streetAddress": "1 Main St", "country": "IE"});
    assert_eq!((&after["addresses"], &after["active"]), (&json!([work]), &json!(false)));
}

#[test]
fn the_family_name_is_in_every_answer() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let title = json!([{"op": "replace", "path": "title", "value": "Dr"}]);
    for it in [
        &bob,
        &harness.get(&target(&bob)).json(),
        &harness.get("/Users?count=1&startIndex=1").json()["Resources"][0],
        &found(&harness, "userName eq \"bob@example.com\"")[0],
        &harness.patch(&target(&bob), &title).json(),
        &harness.put(&target(&bob), &user("bob@example.com")).json(),
    ] {
        assert_eq!(it["name"]["familyName"], "User");
        assert_eq!(it["name"]["givenName"], "Test");
        assert_eq!(it["emails"][0]["value"], "bob@example.com");
        assert_eq!(it["active"], true);
    }
}

#[test]
fn a_request_is_judged_by_its_token_before_its_body_is_read() {
    let harness = Harness::new();
    for (method, path) in
        [("POST", "/Users"), ("PUT", "/Users/x"), ("PATCH", "/Users/x"), ("POST", "/Schemas")]
    {
        let answer = harness.with_token("plm_a_b", method, &format!("/scim/v2{path}"), "{{{");
        answer.refused(401, None, "API token");
    }
    // An unknown id comes before a body that makes no sense, too.
    for method in ["PUT", "PATCH"] {
        harness.call(method, "/Users/nobody", "{{{").refused(404, None, "no User");
    }
    let mut request = Request::new(Method::Get, "/scim/v2/Users");
    request.headers.push("Authorization", "Bearer \u{fffd}");
    assert_eq!(harness.app.handle(&request).status, 401);
}
