//! What whoever runs the server sees of it: metrics, rates, clients behind a proxy, header fields.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use plumm::auth;
use plumm::config::Config;
use plumm::http::request::{Method, Request};
use plumm::server::Server;
use plumm::server::limits::{Deadlines, Limits};
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::token::Scope;
use serde_json::Value;

use crate::harness::{Answer, Harness, user};

const USERS: &str = "/scim/v2/Users";

/// A harness behind a proxy at 10.0.0.1.
fn behind_a_proxy() -> Harness {
    let trusted_proxies = vec!["10.0.0.0/24".parse().unwrap()];
    Harness::configured(OrgSettings::default(), Config { trusted_proxies, ..Config::default() })
}

/// Sends a request as it came from this peer, with this `X-Forwarded-For`.
fn send(
    harness: &Harness,
    peer: &str,
    client: &str,
    token: &str,
    method: &str,
    body: &str,
) -> Answer {
    let mut request = Request::new(Method::from_name(method), USERS);
    request.headers.push("Authorization", &format!("Bearer {token}"));
    request.headers.push("X-Forwarded-For", client);
    request.peer = Some(peer.parse().unwrap());
    request.body = body.as_bytes().to_vec();
    harness.app.handle(&request).into()
}

fn metrics(harness: &Harness, token: &str) -> String {
    harness.with_token(token, "GET", "/metrics", "").expect(200).text
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|it| it == line), "no `{line}` in {text}");
}

#[test]
fn metrics_are_for_a_token_of_scope_admin() {
    let harness = Harness::new();
    let admin = harness.issue(Scope::Admin);
    for method in ["GET", "HEAD"] {
        let answer = harness.with_token(&admin, method, "/metrics", "").expect(200);
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        assert_eq!(answer.header("Content-Type"), Some(content_type));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
    for (token, status) in [
        (harness.issue(Scope::Scim), 403),
        (harness.issue(Scope::Access), 403),
        ("plm_a_b".to_owned(), 401),
        (String::new(), 401),
    ] {
        let answer = harness.with_token(&token, "GET", "/metrics", "").expect(status);
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert!(answer.json()["detail"].is_string());
        assert_eq!(answer.header("WWW-Authenticate").is_some(), status == 401);
    }
    let answer = harness.with_token(&admin, "POST", "/metrics", "").expect(405);
    assert_eq!(answer.header("Allow"), Some("GET, HEAD"));
    assert_eq!(harness.with_token(&admin, "GET", "/metrics/x", "").status, 404);
    harness.with_token(&admin, "GET", USERS, "").refused(403, None, "scope \"admin\"");
}

#[test]
fn metrics_count_what_happened_and_name_nobody() {
    let harness = Harness::new();
    let admin = harness.issue(Scope::Admin);
    harness.user("bob@example.com");
    let mut eve = user("eve@example.com");
    eve["active"] = false.into();
    harness.post("/Users", &eve).expect(201);
    let jon = harness.user("jon@example.com");
    harness.call("DELETE", &format!("/Users/{}", jon["id"].as_str().unwrap()), "").expect(204);
    harness.get("/Groups").expect(200);
    harness.with_token("plm_wrong", "GET", USERS, "").expect(401);
    let _ = harness.app.refuse(408, "late");
    let token = auth::issue(
        &harness.store,
        harness.now,
        &harness.org,
        Scope::Scim,
        "a label",
        Some(harness.now.plus_seconds(3_600)),
    );
    // Another organisation has what is no business of this one.
    let (other, other_token) = harness.neighbour("other");
    let body = user("kim@example.com").to_string();
    harness.with_token(&other_token, "POST", USERS, &body).expect(201);

    let text = metrics(&harness, &admin);
    let expires = harness.now.plus_seconds(3_600).nanoseconds() / 1_000_000_000;
    for line in [
        concat!("plumm_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "plumm_requests_total{method=\"POST\",route=\"/scim/v2/Users\",code=\"201\"} 4",
        "plumm_requests_total{method=\"DELETE\",route=\"/scim/v2/Users\",code=\"204\"} 1",
        "plumm_requests_total{method=\"GET\",route=\"/scim/v2/Users\",code=\"401\"} 1",
        "plumm_requests_total{method=\"GET\",route=\"/scim/v2/Groups\",code=\"200\"} 1",
        "plumm_request_duration_seconds_count{route=\"/scim/v2/Users\"} 6",
        "plumm_request_duration_seconds_bucket{route=\"/scim/v2/Users\",le=\"+Inf\"} 6",
        "plumm_unread_requests_total{code=\"408\"} 1",
        "plumm_refused_tokens_total 1",
        "plumm_rate_limited_total 0",
        "plumm_panics_total 0",
        "plumm_requests_at_work 1",
        "plumm_users{state=\"active\"} 1",
        "plumm_users{state=\"inactive\"} 1",
        "plumm_groups 0",
        &format!("plumm_token_expiry_timestamp_seconds{{scope=\"scim\"}} {expires}"),
        &format!("process_start_time_seconds {}", harness.now.nanoseconds() / 1_000_000_000),
    ] {
        has(&text, line);
    }
    for name in ["example.com", "acme", "other\"", "a label", &token.unwrap().token.id, "plm_"] {
        let told = text.lines().filter(|it| !it.starts_with('#') && it.contains(name));
        assert_eq!(told.collect::<Vec<_>>(), [""; 0]);
    }
    let own = auth::issue(&harness.store, harness.now, &other, Scope::Admin, "", None).unwrap();
    let text = metrics(&harness, own.secret.reveal());
    has(&text, "plumm_users{state=\"inactive\"} 0");
    assert!(!text.contains("plumm_token_expiry_timestamp_seconds{"), "{text}");
    // The first scrape is counted by the second.
    has(&text, "plumm_requests_total{method=\"GET\",route=\"/metrics\",code=\"200\"} 1");
}

/// Every line is one that Prometheus reads, and each family is announced once, before its values.
#[test]
fn metrics_are_in_the_text_format() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let text = metrics(&harness, &harness.issue(Scope::Admin));
    assert!(text.ends_with('\n'));
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(!families.contains(&name), "{line}");
            families.push(name);
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        let family = families.last().unwrap();
        let suffix = name.strip_prefix(family);
        assert!(matches!(suffix, Some("" | "_bucket" | "_sum" | "_count")), "{line} in {family}");
    }
    assert!(families.len() > 10);
}

#[test]
fn an_organisation_beyond_its_rate_is_told_when_to_come_again() {
    let harness = Harness::with(OrgSettings { rate: 60, ..OrgSettings::default() });
    let (access, admin) = (harness.issue(Scope::Access), harness.issue(Scope::Admin));
    let second = harness.issue(Scope::Scim);
    let login = "/access/v1/users/bob@example.com";
    for _ in 0..5 {
        harness.get("/Users").expect(200);
        harness.with_token(&second, "GET", USERS, "").expect(200);
    }
    // All tokens of the identity provider count together.
    for token in [harness.token(), &second] {
        let answer = harness.with_token(token, "GET", USERS, "");
        assert_eq!(answer.header("Retry-After"), Some("1"));
        answer.refused(429, None, "\"acme\" may send 60 requests a minute");
    }
    let text = harness.get("/Users").text;
    assert!(text.contains("Send the request again in 1 second."), "{text}");
    assert!(text.contains("`plumm org set ORG --rate N`"), "{text}");
    // People still log in, and have a limit of their own.
    for _ in 0..10 {
        harness.with_token(&access, "GET", login, "").expect(404);
    }
    let answer = harness.with_token(&access, "GET", login, "").expect(429);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    // Whoever has no valid token does not use up the organisation's requests.
    harness.app.clock().advance(1);
    for _ in 0..20 {
        harness.with_token("plm_wrong", "GET", USERS, "").expect(401);
    }
    harness.get("/Users").expect(200);
    harness.get("/Users").expect(429);
    let (_, other) = harness.neighbour("other");
    harness.with_token(&other, "GET", USERS, "").expect(200);
    has(&metrics(&harness, &admin), "plumm_rate_limited_total 5");
}

#[test]
fn a_slow_rate_says_how_long_to_wait() {
    let harness = Harness::with(OrgSettings { rate: 2, ..OrgSettings::default() });
    harness.get("/Users").expect(200);
    harness.app.clock().advance(10);
    let answer = harness.get("/Users").expect(429);
    assert_eq!(answer.header("Retry-After"), Some("20"));
    harness.app.clock().advance(20);
    harness.get("/Users").expect(200);
}

#[test]
fn the_log_of_changes_names_the_client_behind_a_trusted_proxy() {
    let harness = behind_a_proxy();
    let token = harness.token();
    for (i, (peer, field, expected)) in [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("127.0.0.1", "198.51.100.7", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = user(&format!("bob{i}@example.com")).to_string();
        send(&harness, peer, field, token, "POST", &body).expect(201);
        let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
        let sql = "SELECT client FROM provisioning_log ORDER BY seq DESC LIMIT 1";
        let client: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(client, expected);
    }
}

#[test]
fn wrong_tokens_count_for_the_client_and_not_for_its_proxy() {
    let harness = behind_a_proxy();
    let tries = |peer: &str, client: &str, count: usize| {
        let sent = (0..count).map(|_| send(&harness, peer, client, "wrong", "GET", "").status);
        sent.filter(|it| *it == 401).count()
    };
    assert_eq!(tries("10.0.0.1", "198.51.100.7", 100), 60);
    assert_eq!(tries("10.0.0.2", "198.51.100.7", 5), 0, "the same client, by another proxy");
    assert_eq!(tries("10.0.0.1", "198.51.100.8", 5), 5);
    // What cannot be read counts as one client of that proxy, and a valid token is answered still.
    assert_eq!(tries("10.0.0.1", "unknown", 100), 60);
    assert_eq!(tries("10.0.0.1", "", 5), 0);
    assert_eq!(tries("10.0.0.1", "198.51.100.9", 5), 5);
    send(&harness, "10.0.0.1", "unknown", harness.token(), "GET", "").expect(200);
    assert_eq!(tries("10.0.0.1", "10.0.0.7", 100), 100, "a proxy itself");
    assert_eq!(tries("10.0.0.1", "127.0.0.1", 100), 100);
    // Without trust, the field is anybody's word.
    assert_eq!(tries("192.0.2.1", "127.0.0.1", 100), 60);
}

#[test]
fn answers_stay_out_of_caches_and_are_what_they_say() {
    let harness = Harness::new();
    let id = harness.user("bob@example.com")["id"].as_str().unwrap().to_owned();
    let access = harness.issue(Scope::Access);
    let bob = format!("{USERS}/{id}");
    for (token, method, target, status) in [
        (harness.token(), "GET", USERS, 200),
        (harness.token(), "GET", bob.as_str(), 200),
        (harness.token(), "DELETE", bob.as_str(), 204),
        (harness.token(), "GET", "/scim/v2/nowhere", 404),
        (harness.token(), "GET", "/scim/v2/ServiceProviderConfig", 200),
        (&access, "GET", "/access/v1/users/eve@example.com", 404),
        ("", "GET", "/scim/v2/Users", 401),
        ("", "GET", "/metrics", 401),
        ("", "GET", "//scim//v2/Users", 401),
        (harness.token(), "GET", "//scim//v2//Users/", 200),
        (harness.token(), "GET", "/scim/v2/%55sers", 200),
        (harness.token(), "GET", "/%73cim/v2/Users/", 200),
        (harness.token(), "GET", "/scim/v2/users", 200),
        (&access, "GET", "/%61ccess/v1//users/eve%40example.com/", 404),
    ] {
        let answer = harness.with_token(token, method, target, "").expect(status);
        let count = |name: &str| answer.headers.iter().filter(|(it, _)| it == name).count();
        assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{target}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{target}");
        assert_eq!((count("Cache-Control"), count("X-Content-Type-Options")), (1, 1));
        assert_eq!(answer.header("Strict-Transport-Security"), None, "{target}");
        assert_eq!(answer.header("Server"), None);
    }
    for target in ["/healthz", "/readyz", "/", "/nowhere"] {
        let answer = harness.send("GET", target, &[], "");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{target}");
        assert_eq!(answer.header("Cache-Control"), None, "{target}");
    }
    let unread: Answer = harness.app.refuse(400, "no request").into();
    assert_eq!(unread.header("Cache-Control"), Some("no-store"));
    assert_eq!(unread.header("X-Content-Type-Options"), Some("nosniff"));

    let mut request = Request::new(Method::Get, "/healthz");
    request.secure = true;
    let answer: Answer = harness.app.handle(&request).into();
    assert_eq!(answer.header("Strict-Transport-Security"), Some("max-age=31536000"));
}

#[test]
fn an_older_database_keeps_its_organisations_and_gives_them_the_usual_rate() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let file = harness.folder.path().join("old.db");
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    connection.execute("VACUUM INTO ?", [file.to_str().unwrap()]).unwrap();
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "DROP TABLE refusal; DROP TABLE webhook_delivery; DROP TABLE webhook;
             DROP TABLE resource_type; DROP INDEX resource_inactive; ALTER TABLE org DROP COLUMN rate;
             ALTER TABLE org DROP COLUMN trimmed; PRAGMA user_version = 2",
        )
        .unwrap();
    drop(connection);
    let store = plumm::store::Store::open(&file, plumm::store::open::Open::Existing).unwrap();
    let orgs = store.read(|tx| tx.orgs()).unwrap();
    assert_eq!(orgs.as_slice(), std::slice::from_ref(&harness.org));
    let census = store.read(|tx| tx.census(orgs[0].key)).unwrap();
    assert_eq!((census.active, census.inactive, census.groups), (1, 0, 0));
}

#[test]
fn inactive_accounts_are_counted_by_their_index() {
    let harness = Harness::new();
    let connection = rusqlite::Connection::open(harness.folder.database()).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT count(*) FROM resource WHERE org = ?
        AND deleted IS NULL AND user_name IS NOT NULL AND active IS NOT 1";
    let plan: String = connection.query_row(sql, [1], |row| row.get(3)).unwrap();
    assert!(plan.contains("USING COVERING INDEX resource_inactive"), "{plan}");
}

#[test]
fn every_change_of_an_account_is_in_the_census() {
    let harness = Harness::new();
    let bob = format!("/Users/{}", harness.user("bob@example.com")["id"].as_str().unwrap());
    let census = || {
        let census = harness.store.read(|tx| tx.census(harness.org.key)).unwrap();
        (census.active, census.inactive, census.groups)
    };
    let set = |active: Value| {
        let operations = serde_json::json!([{"op": "replace", "value": {"active": active}}]);
        harness.patch(&bob, &operations).expect(200);
    };
    assert_eq!(census(), (1, 0, 0));
    set(false.into());
    assert_eq!(census(), (0, 1, 0));
    set(true.into());
    assert_eq!(census(), (1, 0, 0));
    let group = serde_json::json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Guides"
    });
    harness.post("/Groups", &group).expect(201);
    assert_eq!(census(), (1, 0, 1));
    harness.call("DELETE", &bob, "").expect(204);
    assert_eq!(census(), (0, 0, 1));
}

#[test]
fn connections_are_counted_from_their_first_moment_to_their_last() {
    let harness = Harness::new();
    let admin = harness.issue(Scope::Admin);
    let deadlines = Deadlines { head: Duration::from_millis(50), ..Deadlines::default() };
    let limits = Limits { deadlines, ..Limits::default() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start_within(limits, listener, Arc::clone(&harness.app)).unwrap();
    let connect = || TcpStream::connect(server.local_addr()).unwrap();
    let answer = |mut from: &TcpStream| {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    };
    // A head that does not end.
    let mut slow = connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let late = answer(&slow);
    assert!(late.starts_with("HTTP/1.1 408 ") && late.contains("nosniff"), "{late}");
    assert!(!late.to_ascii_lowercase().contains("\nserver:"), "{late}");
    drop(slow);
    let mut asking = connect();
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {admin}\r\n\
         Connection: close\r\n\r\n"
    );
    asking.write_all(request.as_bytes()).unwrap();
    let text = answer(&asking);
    for line in [
        "plumm_connections_accepted_total 2",
        "plumm_connections_timed_out_total 1",
        "plumm_connections_turned_away_total 0",
        "plumm_unread_requests_total{code=\"408\"} 1",
        "plumm_requests_at_work 1",
        "plumm_permits_max{room=\"ordinary\"} 64",
        "plumm_permits_max{room=\"quick\"} 16",
        "plumm_permits_in_use{room=\"ordinary\"} 1",
        "plumm_permits_in_use{room=\"quick\"} 0",
        "plumm_permits_waiting{room=\"ordinary\"} 0",
        "plumm_body_bytes_max{token=\"known\"} 67108864",
        "plumm_body_bytes_max{token=\"none\"} 8388608",
        "plumm_body_bytes{token=\"known\"} 0",
        "plumm_bodies_refused_total{token=\"none\"} 0",
        "plumm_connection_slots_max 512",
        "plumm_connection_slots_in_use 1",
        "plumm_memory_bytes_max 301989888",
        "plumm_memory_bytes 0",
        "plumm_memory_refused_total 0",
        "plumm_writes_waiting 0",
        "plumm_writes_refused_total 0",
        "plumm_long_reads_running 0",
        "plumm_long_reads_refused_total 0",
    ] {
        has(&text, line);
    }
    drop(asking);
    server.stop();
    has(&metrics(&harness, &admin), "plumm_connections_open 0");
}

#[test]
fn a_connection_without_room_is_counted() {
    let harness = Harness::new();
    let limits = Limits { connections: 0, ..Limits::default() };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start_within(limits, listener, Arc::clone(&harness.app)).unwrap();
    let mut text = String::new();
    TcpStream::connect(server.local_addr()).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    let text = metrics(&harness, &harness.issue(Scope::Admin));
    has(&text, "plumm_connections_turned_away_total 1");
    has(&text, "plumm_connections_open 0");
    has(&text, "plumm_unread_requests_total{code=\"503\"} 1");
    server.stop();
}
