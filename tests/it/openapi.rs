//! `/openapi.json` says of each route what the router and the handlers say. CI checks that it is a
//! valid document, and real answers against its schemas (`.ci/openapi.py`).

use std::collections::BTreeMap;

use plumm::api::access::changes::{LIMIT_DEFAULT, LIMIT_MAX, WAIT_SECONDS_MAX};
use plumm::api::{ROUTES, SCIM_BASE};
use plumm::config::Config;
use plumm::events::Kind;
use plumm::http::request::{Method, Request};
use plumm::http::request_id::{BYTES_MAX, FIELD, RequestId};
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::cli::text;
use crate::harness::{Answer, Harness};

fn document(harness: &Harness) -> Value {
    let answer = harness.send("GET", "/openapi.json", &[], "").expect(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    answer.json()
}

/// The scopes of the tokens that may ask an operation: any one of those that it names.
fn scopes(operation: &Value) -> Vec<String> {
    let mut scopes = Vec::new();
    for alternative in operation["security"].as_array().unwrap() {
        let [scope] = alternative["bearer"].as_array().unwrap().as_slice() else {
            panic!("one scope for each alternative: {alternative}");
        };
        scopes.push(scope.as_str().unwrap().to_owned());
    }
    scopes.sort();
    scopes
}

#[test]
fn it_has_every_route_outside_scim_and_no_other() {
    let document = document(&Harness::new());
    let mut described = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let names = path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
            let parameters = parameters(&document, path, method);
            let in_path = parameters.iter().filter(|it| it["in"] == "path");
            assert!(names.eq(in_path.map(|it| it["name"].as_str().unwrap())), "{path}");
            described.insert((method.to_uppercase(), path.clone()), scopes(operation));
        }
    }
    let mut routes = BTreeMap::new();
    for route in ROUTES.iter().filter(|it| !it.path.starts_with(SCIM_BASE)) {
        let mut scopes: Vec<String> = route.scopes.iter().map(|it| it.word().to_owned()).collect();
        scopes.sort();
        routes.insert((route.method.to_owned(), route.path.to_owned()), scopes);
    }
    assert_eq!(described, routes);
}

/// What a reference within the document stands for.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(it) => document.pointer(it.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// The parameters of an operation.
fn parameters<'a>(document: &'a Value, path: &str, method: &str) -> Vec<&'a Value> {
    let parameters = document["paths"][path][method]["parameters"].as_array().unwrap();
    parameters.iter().map(|it| resolved(document, it)).collect()
}

/// What the document says of a parameter of an operation.
fn parameter<'a>(document: &'a Value, path: &str, name: &str) -> &'a Value {
    parameters(document, path, "get").into_iter().find(|it| it["name"] == name).unwrap()
}

#[test]
fn each_operation_takes_the_id_of_a_request_and_each_answer_has_it() {
    let harness = Harness::new();
    let document = document(&harness);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = parameters(&document, path, method);
            let taken = parameters.iter().filter(|it| it["in"] == "header" && it["name"] == FIELD);
            assert_eq!(taken.count(), 1, "{method} {path}");
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let header = &resolved(&document, answer)["headers"][FIELD];
                let header = resolved(&document, header);
                assert_eq!(header["required"], true, "{method} {path} {status}");
            }
        }
    }
    let pattern = &parameter(&document, "/healthz", FIELD)["schema"]["pattern"];
    assert!(text(pattern).ends_with(&format!("]{{1,{BYTES_MAX}}}$")));
    let allowed = text(pattern).trim_start_matches("^[").split(']').next().unwrap().to_owned();
    for byte in 0x21..0x7f_u8 {
        let sent = (byte as char).to_string();
        let described = byte.is_ascii_alphanumeric() || allowed[9..].contains(&sent);
        let taken = RequestId::sent([sent.as_str()].into_iter()).is_some();
        assert_eq!(taken, described, "{sent}");
    }
}

#[test]
fn its_ranges_and_names_are_those_of_the_program() {
    let harness = Harness::new();
    let document = document(&harness);
    for (name, least, most, default) in [
        ("after", 0, i64::MAX, 0),
        ("limit", 1, LIMIT_MAX, LIMIT_DEFAULT),
        ("wait", 0, WAIT_SECONDS_MAX, 0),
    ] {
        let schema = &parameter(&document, "/access/v1/changes", name)["schema"];
        let range = [&schema["minimum"], &schema["maximum"], &schema["default"]];
        assert_eq!(range, [&json!(least), &json!(most), &json!(default)], "{name}");
    }
    let known: Vec<Value> = Kind::ALL.iter().map(|(_, name)| json!(name)).collect();
    let event = &document["components"]["schemas"]["Event"];
    assert_eq!(event["properties"]["type"]["examples"], Value::from(known));

    // Each parameter is one that is understood.
    let ann = harness.user("ann@example.com");
    let authorization = format!("Bearer {}", harness.issue(Scope::Access));
    let token = ("Authorization", authorization.as_str());
    let names = |path: &str| {
        let own = parameters(&document, path, "get").into_iter().filter(|it| it["name"] != FIELD);
        own.map(|it| it["name"].as_str().unwrap().to_owned())
    };
    for field in names("/access/v1/check") {
        let fields = [token, (&field, "ann@example.com")];
        let answer = harness.send("GET", "/access/v1/check", &fields, "").expect(204);
        assert_eq!(answer.header("X-Plumm-User-Id"), ann["id"].as_str());
    }
    for name in names("/access/v1/user") {
        let value = match name.as_str() {
            "email" => "ann@example.com",
            name => ann[name].as_str().unwrap(),
        };
        harness.send("GET", &format!("/access/v1/user?{name}={value}"), &[token], "").expect(200);
    }
}

#[test]
fn it_says_where_it_was_asked() {
    let harness = Harness::new();
    let it = document(&harness);
    assert_eq!(it["servers"], json!([{"url": "http://plumm.example"}]));

    let public_url = Some("https://scim.example.com/plumm".to_owned());
    let config = Config { public_url, ..Config::default() };
    let it = document(&Harness::configured(OrgSettings::default(), config));
    assert_eq!(it["servers"], json!([{"url": "https://scim.example.com/plumm"}]));
}

#[test]
fn a_host_with_quotes_stays_a_text() {
    let harness = Harness::new();
    let mut request = Request::new(Method::Get, "/openapi.json");
    let host = r#"x"}],"evil":[{"y":"\"#;
    request.headers.push("Host", host);
    let answer: Answer = harness.app.handle(&request).into();
    let document = answer.expect(200).json();
    assert_eq!(document["servers"], json!([{"url": format!("http://{host}")}]));
    assert_eq!(document.get("evil"), None);
}
