//! Who may ask: tokens in every form clients send them, and what each refusal says.

use std::io::Write;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use plumm::auth;
use plumm::cli::logging::{Format, line};
use plumm::clock::Clock;
use plumm::http::request::{Method, Request};
use plumm::scim::datetime::Timestamp;
use plumm::store::Store;
use plumm::store::open::Open;
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, encoded, user};

const USERS: &str = "/scim/v2/Users";

fn ask(harness: &Harness, authorization: &str) -> Answer {
    harness.send("GET", USERS, &[("Authorization", authorization)], "")
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0, |bits, it| bits << 8 | u32::from(*it));
        let bits = bits << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            encoded.push(if i > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    encoded
}

fn last_use(harness: &Harness, token: &str) -> Option<Timestamp> {
    let id = token.split('_').nth(1).unwrap();
    harness.store.read(|tx| tx.token(id)).unwrap().unwrap().0.last_used
}

#[test]
fn the_header_forms_of_every_client_are_accepted() {
    let harness = Harness::new();
    let token = harness.token();
    // One of the three user names makes base64 end without padding, one with "=", one with "==".
    let basic: Vec<String> =
        ["o", "ok", "okt"].iter().map(|it| base64(&format!("{it}:{token}"))).collect();
    assert!(basic.iter().any(|it| it.ends_with("==")) && basic.iter().any(|it| !it.contains('=')));
    let mut forms = vec![
        format!("Bearer {token}"),
        format!("bearer {token}"),
        format!("BEARER {token}"),
        format!("bEaReR   {token}"),
        format!("Bearer\t{token}"),
        format!("  Bearer {token} \t "),
        token.to_owned(),
        format!("\t{token}  "),
        format!("Bearer Bearer {token}"),
        format!("Bearer bearer BEARER {token}"),
        format!("Basic {}", base64(&format!("{token}:"))),
        format!("Basic {}", base64(&format!(":{token}"))),
        format!("Basic {}", base64(token)),
    ];
    for it in &basic {
        forms.push(format!("Basic {it}"));
        forms.push(format!("bASIC  {}", it.trim_end_matches('=')));
    }
    for form in forms {
        assert_eq!(ask(&harness, &form).status, 200, "{form}");
    }
}

#[test]
fn what_is_no_token_is_refused_with_what_to_do() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let token = harness.token();
    let missing = "No API token was sent";
    let malformed = "What was sent is no API token of plumm";
    let mistyped = "incomplete or mistyped";
    let huge = "x".repeat(100 * 1024);
    let unknown_scheme = format!("Token {token}");
    let glued = format!("Bearer{token}");
    let cut = &token[..token.len() - 1];
    let body = &token[..token.len() - 6];
    let longer = format!("{token}0");
    let lower = token.to_lowercase();
    let upper = token.to_uppercase();
    let inner = token.replacen("plm_", "plm_x", 1);
    let quoted = format!("\"{token}\"");
    let two = format!("Bearer {token}, Bearer {token}");
    let basic = base64("okta:password");
    for (header, words) in [
        ("", missing),
        ("   ", missing),
        ("\t", missing),
        ("Bearer", missing),
        ("Bearer ", missing),
        ("Bearer Bearer", missing),
        ("x", malformed),
        ("Bearer x", malformed),
        ("Basic", malformed),
        ("Basic %%%", malformed),
        ("Basic =", malformed),
        (&format!("Basic {basic}"), malformed),
        (&format!("Basic {}", base64(":")), malformed),
        (&unknown_scheme, malformed),
        (&glued, malformed),
        (&quoted, malformed),
        (&two, malformed),
        ("plm_", malformed),
        ("plm__", malformed),
        ("plm_a_", malformed),
        ("plm_a_123456", malformed),
        ("plm__1234567", malformed),
        ("plm_a_b_c_1234567", malformed),
        ("Bearer plm_ä_öüöüöüöü", malformed),
        ("Bearer \u{1f511}", malformed),
        ("\u{feff}Bearer x", malformed),
        (&huge, malformed),
        (&format!("Bearer {huge}"), malformed),
        (&format!("Basic {huge}"), malformed),
        (&format!("ä{huge}"), malformed),
        (&format!("plm_a_{huge}"), malformed),
        (&upper, malformed),
        ("plm_a_1234567", mistyped),
        (cut, mistyped),
        (body, mistyped),
        (&longer, mistyped),
        (&inner, mistyped),
    ] {
        let answer = ask(&harness, header);
        let shown: String = header.chars().take(40).collect();
        assert_eq!(answer.status, 401, "{shown}");
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer realm=\"plumm\""), "{shown}");
        assert!(!answer.text.contains("bob@example.com"), "{shown}");
        answer.refused(401, None, words);
    }
    if lower != token {
        ask(&harness, &lower).refused(401, None, mistyped);
    }
    harness.send("GET", USERS, &[], "").refused(401, None, missing);
    assert_eq!(ask(&harness, token).status, 200);
}

#[test]
fn every_letter_of_a_token_counts() {
    let harness = Harness::new();
    let token = harness.token();
    for (i, letter) in token.char_indices().filter(|(_, it)| *it != '_') {
        let other = if letter == 'a' { "b" } else { "a" };
        let mut changed = token.to_owned();
        changed.replace_range(i..=i, other);
        let answer = ask(&harness, &changed);
        let words = if i < 4 { "no API token of plumm" } else { "mistyped" };
        answer.refused(401, None, words);
    }
}

#[test]
fn a_token_of_another_server_is_not_valid_here() {
    let (harness, other) = (Harness::new(), Harness::new());
    ask(&harness, other.token()).refused(401, None, "not valid here");
    ask(&harness, other.token()).refused(401, None, "ask Plumm Support for a new one");
    assert_eq!(last_use(&other, other.token()), None);
}

#[test]
fn a_token_of_another_organisation_opens_that_one_only() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let (other, token) = harness.neighbour("other");
    let list = harness.with_token(&token, "GET", USERS, "").expect(200).json();
    assert_eq!(list["totalResults"], 0);
    let at = format!("{USERS}/{}", bob["id"].as_str().unwrap());
    harness.with_token(&token, "GET", &at, "").refused(404, None, "in this organisation");
    harness.with_token(&token, "DELETE", &at, "").refused(404, None, "in this organisation");
    // Switching the other organisation off takes nothing from this one.
    let settings = OrgSettings::default();
    harness.store.write(harness.now, |tx| tx.set_org(other.key, false, settings)).unwrap();
    harness.with_token(&token, "GET", USERS, "").refused(403, None, "organisation \"other\"");
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
}

#[test]
fn a_token_expires_at_the_second_it_says() {
    let harness = Harness::new();
    let expires = Some(harness.now.plus_seconds(90));
    let issued =
        auth::issue(&harness.store, harness.now, &harness.org, Scope::Scim, "short", expires)
            .unwrap();
    let token = issued.secret.reveal();
    assert_eq!(ask(&harness, token).status, 200);
    harness.app.clock().advance(89);
    assert_eq!(ask(&harness, token).status, 200, "one second is left");
    harness.app.clock().advance(1);
    ask(&harness, token).refused(401, None, "expired on 2026-01-31T08:01:30");
    harness.app.clock().advance(365 * 24 * 3600);
    ask(&harness, token).refused(401, None, "expired on 2026-01-31T08:01:30");
    assert_eq!(ask(&harness, harness.token()).status, 200, "the others live on");
    // One that is both is called what support made it.
    let id = &issued.token.id;
    assert!(harness.store.write(harness.now, |tx| tx.revoke_token(id)).unwrap());
    ask(&harness, token).refused(401, None, "was revoked on 2026-01-31T08:00:00");
}

#[test]
fn a_revoked_token_changes_nothing_any_more() {
    let harness = Harness::new();
    let token = harness.issue(Scope::Scim);
    let bob = harness.user("bob@example.com");
    assert_eq!(ask(&harness, &token).status, 200);
    let id = token.split('_').nth(1).unwrap();
    assert!(harness.store.write(harness.now, |tx| tx.revoke_token(id)).unwrap());
    let at = format!("{USERS}/{}", bob["id"].as_str().unwrap());
    let body = user("eve@example.com").to_string();
    for (method, target) in [("POST", USERS), ("PUT", &at), ("PATCH", &at), ("DELETE", &at)] {
        harness.with_token(&token, method, target, &body).refused(401, None, "was revoked");
    }
    assert_eq!(harness.get("/Users").json()["Resources"], json!([bob]));
}

#[test]
fn every_scope_opens_its_own_endpoints_only() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let (access, admin) = (harness.issue(Scope::Access), harness.issue(Scope::Admin));
    let login = "/access/v1/users/bob@example.com";
    for (token, scope) in [(&access, "access"), (&admin, "admin")] {
        for (method, target) in [("GET", USERS), ("POST", USERS), ("GET", "/scim/v2/nowhere")] {
            let answer =
                harness.with_token(token, method, target, &user("eve@example.com").to_string());
            answer.refused(403, None, &format!("has the scope \"{scope}\""));
        }
    }
    for (token, scope) in [(harness.token(), "scim"), (&admin, "admin")] {
        let answer = harness.with_token(token, "GET", login, "");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        let detail = answer.expect(403).json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(&format!("has the scope \"{scope}\"")), "{detail}");
        assert!(detail.contains("one with the scope \"access\""), "{detail}");
    }
    harness.with_token(&access, "GET", login, "").expect(200);
    assert_eq!(harness.get("/Users").json()["totalResults"], 1);
}

#[test]
fn the_last_use_is_written_by_no_request_but_now_and_then_and_at_the_end() {
    let harness = Harness::new();
    let token = harness.token();
    ask(&harness, &token[..token.len() - 1]).expect(401);
    harness.app.run_housekeeping();
    assert_eq!(last_use(&harness, token), None, "a refused token was not used");
    ask(&harness, token).expect(200);
    assert_eq!(last_use(&harness, token), None, "no request waits for the disk");
    harness.app.run_housekeeping();
    assert_eq!(last_use(&harness, token), Some(harness.now));
    harness.app.clock().advance(90);
    ask(&harness, token).expect(200);
    harness.app.shut_down();
    assert_eq!(last_use(&harness, token), Some(harness.now.plus_seconds(90)));
    // A clock that was set back loses no later time.
    harness.app.clock().advance(-3600);
    ask(&harness, token).expect(200);
    harness.app.run_housekeeping();
    assert_eq!(last_use(&harness, token), Some(harness.now.plus_seconds(90)));
}

#[test]
fn a_question_does_not_wait_while_another_process_writes() {
    let harness = Harness::new();
    let token = harness.token();
    ask(&harness, token).expect(200);
    let other = Store::open(&harness.folder.database(), Open::Existing).unwrap();
    let held = other.write(harness.now, |_| {
        let started = Instant::now();
        harness.app.clock().advance(3600);
        ask(&harness, token).expect(200);
        Ok::<_, plumm::store::error::Error>(started.elapsed())
    });
    assert!(held.unwrap() < Duration::from_secs(2), "it waited for the writer");
}

#[test]
fn fresh_tokens_authenticate_at_once() {
    const CLIENTS: usize = 8;
    let harness = Harness::new();
    let tokens: Vec<String> = (0..CLIENTS).map(|_| harness.issue(Scope::Scim)).collect();
    let start = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for token in &tokens {
            let (harness, start) = (&harness, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..20 {
                    assert_eq!(ask(harness, token).status, 200);
                }
            });
        }
    });
    harness.app.run_housekeeping();
    for token in &tokens {
        assert_eq!(last_use(&harness, token), Some(harness.now));
    }
}

#[test]
fn one_fresh_token_may_come_from_many_connections_at_once() {
    let harness = Harness::new();
    let token = harness.issue(Scope::Scim);
    let wrong = format!("{}x", &token[..token.len() - 1]);
    let start = Barrier::new(16);
    thread::scope(|scope| {
        for i in 0..16 {
            let (harness, start, token, wrong) = (&harness, &start, &token, &wrong);
            scope.spawn(move || {
                start.wait();
                let (text, status) = if i % 2 == 0 { (token, 200) } else { (wrong, 401) };
                assert_eq!(ask(harness, text).status, status);
            });
        }
    });
}

#[test]
fn a_secret_stands_in_no_debug_text_and_no_answer() {
    let harness = Harness::new();
    let issued =
        auth::issue(&harness.store, harness.now, &harness.org, Scope::Scim, "label", None).unwrap();
    let token = issued.secret.reveal();
    let secret = token.rsplit('_').next().unwrap();
    let auth = auth::Auth::default();
    let header = format!("Bearer {token}");
    let principal = auth.authenticate(&harness.store, harness.now, Some(&header)).unwrap();
    let refusal = auth.authenticate(&harness.store, harness.now, Some(&token[..30])).unwrap_err();
    let hash = &issued.token.hash;
    let shown = format!(
        "{issued:?} {auth:?} {principal:?} {refusal:?} {:?} {:?} {:?}",
        harness.app,
        harness.store,
        harness.store.read(|tx| tx.tokens(harness.org.key)).unwrap()
    );
    assert!(!shown.contains(secret) && !shown.contains(hash), "{shown}");
    for bad in [&token[..token.len() - 1], &token.replace("plm_", "plm-"), token] {
        for target in [USERS, "/scim/v2/Users/1", "/scim/v2/nowhere", "/nowhere", "/access/v1/x"] {
            let answer = harness.with_token(bad, "GET", target, "");
            let all = format!("{answer:?}");
            assert!(!all.contains(&secret[..secret.len() - 7]), "{all}");
        }
    }
}

#[test]
fn a_secret_stands_in_no_line_of_the_log() {
    struct Lines(Mutex<Vec<u8>>);
    static LINES: Lines = Lines(Mutex::new(Vec::new()));
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }
        fn log(&self, record: &log::Record) {
            // In both forms, as the program writes them.
            for format in [Format::Json, Format::Text] {
                let line = line(record, format);
                writeln!(self.0.lock().unwrap(), "{line}").unwrap();
            }
        }
        fn flush(&self) {}
    }
    log::set_logger(&LINES).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let harness = Harness::new();
    let token = harness.token().to_owned();
    let secret = token.rsplit('_').next().unwrap();
    ask(&harness, &token).expect(200);
    ask(&harness, &token[..token.len() - 1]).expect(401);
    let mut body = user("bob@example.com");
    body["password"] = "correct horse battery staple".into();
    harness.post("/Users", &body).expect(201);
    harness.get(&format!("/Users?filter={}", encoded("title eq \"staple\""))).expect(200);
    // Whoever wants to come in is nobody's business either.
    let access = harness.issue(Scope::Access);
    for path in ["access/v1/users", "access/v1/%75sers", "%61ccess/v1/users"] {
        let path = format!("/{path}/unnamed@example.com");
        harness.with_token(&access, "GET", &path, "").expect(404);
    }
    let text = String::from_utf8(LINES.0.lock().unwrap().clone()).unwrap();
    let mut lines = text.lines().filter(|it| it.contains(" - POST /scim/v2/Users 201 "));
    assert!(lines.any(|it| it.ends_with(" ms")), "{text}");
    assert!(text.contains("\"path\":\"/access/v1/users/\",\"status\":404"), "{text}");
    assert!(text.contains(" - GET /access/v1/users/ 404 "), "{text}");
    for secret in [&secret[..secret.len() - 7], "staple", "unnamed"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn the_application_asks_about_names_as_people_have_them() {
    let harness = Harness::with(OrgSettings {
        username_format: plumm::scim::identity::UsernameFormat::Any,
        ..OrgSettings::default()
    });
    let access = harness.issue(Scope::Access);
    let ask =
        |name: &str| harness.with_token(&access, "GET", &format!("/access/v1/users/{name}"), "");
    for (name, spellings) in [
        (
            "Bob+Work@Example.com",
            &["bob+work@example.com", "BOB%2BWORK@EXAMPLE.COM", "%62ob%2bwork%40example.com"][..],
        ),
        ("a/b@x.y", &["a%2Fb@x.y", "A%2fB%40X.Y"]),
        (
            "Jürgen@Müller.example",
            &["j%C3%BCrgen@m%c3%bcller.example", "JU%CC%88RGEN@MÜLLER.example"],
        ),
        ("two words", &["two%20words", "TWO%20WORDS"]),
        ("100%", &["100%25"]),
        ("..", &["%2e%2e", ".."]),
        ("a?b#c", &["a%3Fb%23c"]),
        ("Ωμέγα", &["%CF%89%CE%9C%CE%88%CE%93%CE%91"]),
    ] {
        let created = harness.user(name);
        for spelling in spellings {
            let found = ask(spelling).expect(200).json();
            assert_eq!(found["id"], created["id"], "{spelling}");
            assert_eq!((&found["userName"], &found["active"]), (&json!(name), &json!(true)));
            assert_eq!(found.get("detail"), None);
        }
        let at = format!("/Users/{}", created["id"].as_str().unwrap());
        let off = json!([{"op": "replace", "value": {"active": false}}]);
        harness.patch(&at, &off).expect(200);
        for spelling in spellings {
            let found = ask(spelling).expect(403).json();
            assert_eq!((&found["id"], &found["active"]), (&created["id"], &json!(false)));
            assert!(found["detail"].as_str().unwrap().contains("may not log in"), "{found}");
        }
        harness.call("DELETE", &at, "").expect(204);
        for spelling in spellings {
            let found = ask(spelling).expect(404).json();
            assert!(found["detail"].as_str().unwrap().contains("There is no account"), "{found}");
        }
    }
    // A plus is a plus in a path, and each segment is one name.
    harness.user("a b");
    for name in ["a+b", "a", "a%20b/", "a%20b//"] {
        let status = if name.starts_with("a%20b") { 200 } else { 404 };
        assert_eq!(ask(name).status, status, "{name}");
    }
    for name in ["", "a/b", "%00", "%ff", "%", "%4", "a%00b"] {
        let answer = ask(name).expect(404);
        assert!(answer.json()["detail"].is_string(), "{name}");
    }
    assert_eq!(ask(&"x".repeat(10_000)).status, 404);
}

#[test]
fn the_application_only_reads() {
    let harness = Harness::new();
    let bob = harness.user("bob@example.com");
    let access = harness.issue(Scope::Access);
    let login = "/access/v1/users/bob@example.com";
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "BREW"] {
        let answer = harness.with_token(&access, method, login, "{").expect(405);
        assert_eq!(answer.header("Allow"), Some("GET, HEAD"), "{method}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("Only GET"), "{method}");
    }
    harness.with_token(&access, "HEAD", login, "").expect(200);
    for path in ["", "/", "/users", "/users/", "/Users/bob@example.com", "/nowhere", "/users/a/b"] {
        let answer =
            harness.with_token(&access, "GET", &format!("/access/v1{path}"), "").expect(404);
        assert!(answer.text.contains("/access/v1/users/{userName}"), "{path}: {}", answer.text);
    }
    for token in ["", "x", "plm_a_b"] {
        let answer = harness.with_token(token, "GET", login, "").expect(401);
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer realm=\"plumm\""));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    assert_eq!(harness.get("/Users").json()["Resources"], json!([bob]));
}

#[test]
fn a_deactivated_organisation_still_answers_logins() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let access = harness.issue(Scope::Access);
    let settings = OrgSettings::default();
    harness.store.write(harness.now, |tx| tx.set_org(harness.org.key, false, settings)).unwrap();
    harness.get("/Users").refused(403, None, "Provisioning is not activated");
    let login = "/access/v1/users/bob@example.com";
    harness.with_token(&access, "GET", login, "").expect(200);
    harness.with_token(&access, "GET", "/access/v1/users/eve@example.com", "").expect(404);
}

#[test]
fn logins_of_two_organisations_are_told_apart() {
    let harness = Harness::new();
    harness.user("bob@example.com");
    let (other, token) = harness.neighbour("other");
    let access = auth::issue(&harness.store, harness.now, &other, Scope::Access, "", None).unwrap();
    let login = "/access/v1/users/bob@example.com";
    let ask = || harness.with_token(access.secret.reveal(), "GET", login, "");
    ask().expect(404);
    let mut body = user("BOB@example.com");
    body["active"] = false.into();
    harness.with_token(&token, "POST", USERS, &body.to_string()).expect(201);
    let answer: Value = ask().expect(403).json();
    assert_eq!(answer["userName"], "BOB@example.com");
    let own = harness.issue(Scope::Access);
    harness.with_token(&own, "GET", login, "").expect(200);
}

#[test]
fn a_token_outlives_the_server_that_first_saw_it() {
    let harness = Harness::new();
    assert_eq!(ask(&harness, harness.token()).status, 200);
    let config = plumm::config::Config::default();
    let clock = Clock::fixed(harness.now);
    let again = plumm::app::App::new(Arc::clone(&harness.store), config, clock);
    let mut request = plumm::http::request::Request::new(plumm::http::request::Method::Get, USERS);
    request.headers.push("authorization", harness.token());
    assert_eq!(again.handle(&request).status, 200);
}

#[test]
fn an_address_with_many_wrong_tokens_is_told_to_wait_and_a_valid_token_is_not() {
    let harness = Harness::new();
    let from = |address: &str, token: &str| -> Answer {
        let mut request = Request::new(Method::Get, "/scim/v2/Users");
        request.headers.push("Authorization", &format!("Bearer {token}"));
        request.peer = Some(address.parse().unwrap());
        harness.app.handle(&request).into()
    };
    let tries = |address: &str, count: usize| {
        (0..count).filter(|_| from(address, "wrong").status == 401).count()
    };
    assert_eq!(tries("192.0.2.1", 100), 60);
    let answer = from("192.0.2.1", "wrong");
    assert_eq!(answer.header("Retry-After"), Some("10"));
    answer.refused(429, None, "wrong API token");
    from("192.0.2.1", harness.token()).expect(200);
    // Another address is another client; all of an IPv6 network is one.
    assert_eq!(tries("192.0.2.2", 10), 10);
    assert_eq!(tries("2001:db8::1", 40) + tries("2001:db8::2", 40), 60);
    assert_eq!(tries("::ffff:192.0.2.1", 5), 0);
    // A proxy on this host stands for many clients.
    assert_eq!(tries("127.0.0.1", 100) + tries("::1", 100), 200);
    harness.app.clock().advance(10);
    assert_eq!(tries("192.0.2.1", 100), 10, "a refusal counts for a second");
}
