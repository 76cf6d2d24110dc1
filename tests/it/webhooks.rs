//! Webhooks of the real program, to receivers that behave in every way.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use plumm::clock::Clock;
use plumm::memory::Memory;
use plumm::store::Store;
use plumm::store::open::Open;
use plumm::store::tables::resource::Kind;
use plumm::store::tables::webhook::Position;
use plumm::webhooks::batch::Batches;
use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::cli::{Place, Serving, text};
use crate::harness::{Harness, user, wait_until};

/// A request as a receiver got it.
#[derive(Clone, Debug)]
struct Received {
    headers: HashMap<String, String>,
    body: String,
    at: Instant,
}

impl Received {
    fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        text(&self.json()["type"])
    }

    fn signed_text(&self) -> String {
        format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body)
    }

    /// The signatures of a version.
    fn signatures(&self, version: &str) -> Vec<Vec<u8>> {
        let all = self.headers["webhook-signature"].split(' ');
        let of_version = all.filter_map(|it| it.strip_prefix(version)?.strip_prefix(','));
        of_version.map(|it| Base64::decode_vec(it).unwrap()).collect()
    }

    fn is_signed_with(&self, secret: &str) -> bool {
        let secret = Base64::decode_vec(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let text = self.signed_text();
        let mut all = self.signatures("v1").into_iter();
        all.any(|it| hmac::verify(&key, text.as_bytes(), &it).is_ok())
    }
}

/// How a receiver answers.
#[derive(Clone, Debug)]
enum Reply {
    Status(u16, &'static str),
    /// After this time.
    Late(Duration),
    /// Never.
    Silence,
    /// The connection is closed.
    Drop,
    /// A body of so many bytes.
    Body(usize),
    /// With what was sent, after this time.
    Echo(Duration),
}

const OK: Reply = Reply::Status(204, "");

/// A receiver that goes on as long as the test process.
#[derive(Clone)]
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    reply: Arc<Mutex<Reply>>,
}

impl Receiver {
    fn new(reply: Reply) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver =
            Receiver { url, received: Arc::default(), reply: Arc::new(Mutex::new(reply)) };
        let it = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let it = it.clone();
                thread::spawn(move || it.serve(stream));
            }
        });
        receiver
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        loop {
            let (mut headers, mut line) = (HashMap::new(), String::new());
            reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
            assert!(line.starts_with("POST /hook HTTP/1.1"), "{line}");
            loop {
                line.clear();
                reader.read_line(&mut line).ok()?;
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            let mut body = vec![0; headers["content-length"].parse().ok()?];
            reader.read_exact(&mut body).ok()?;
            let body = String::from_utf8(body).ok()?;
            let reply = self.reply.lock().unwrap().clone();
            self.received.lock().unwrap().push(Received { headers, body, at: Instant::now() });
            match reply {
                Reply::Status(status, more) => {
                    let body = if status == 204 { "\r\n" } else { "Content-Length: 2\r\n\r\nok" };
                    write!(stream, "HTTP/1.1 {status} x\r\n{more}{body}").ok()?;
                }
                Reply::Late(time) => {
                    thread::sleep(time);
                    write!(stream, "HTTP/1.1 204 x\r\n\r\n").ok()?;
                }
                Reply::Silence => thread::sleep(Duration::from_secs(60)),
                Reply::Drop => return None,
                Reply::Echo(time) => {
                    thread::sleep(time);
                    let received = self.received();
                    let body = &received.last()?.body;
                    write!(
                        stream,
                        "HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                    .ok()?;
                }
                Reply::Body(bytes) => {
                    write!(stream, "HTTP/1.1 200 x\r\nContent-Length: {bytes}\r\n\r\n").ok()?;
                    let part = [b'x'; 65536];
                    for _ in 0..bytes / part.len() {
                        stream.write_all(&part).ok()?;
                    }
                }
            }
        }
    }

    fn set(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.received().iter().map(Received::kind).collect()
    }

    /// The ids without repetitions.
    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for it in self.received() {
            if !ids.iter().any(|known| known == it.id()) {
                ids.push(it.id().to_owned());
            }
        }
        ids
    }

    #[track_caller]
    fn wait_for(&self, count: usize) {
        wait_until(|| self.received.lock().unwrap().len() >= count);
    }
}

fn add(place: &Place, receiver: &Receiver, more: &[&str]) -> Value {
    place.json(&[&["webhook", "add", "acme", &receiver.url], more].concat())
}

fn create(serving: &Serving, token: &str, name: &str) -> String {
    let (status, made) = serving.send("POST", "/scim/v2/Users", token, &user(name).to_string());
    assert_eq!(status, 201, "{made}");
    text(&made["id"])
}

fn shown(place: &Place, id: &Value) -> Value {
    place.json(&["webhook", "show", &text(id)])
}

#[test]
fn events_come_signed_and_in_order_and_only_those_that_are_wanted() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = place.serve(&[]);
    let (all, some) = (Receiver::new(OK), Receiver::new(OK));
    // A running server finds endpoints that a command makes.
    let hmac = add(&place, &all, &[]);
    let only = ["--key", "ed25519", "--events", "user.deleted,user.deactivated"];
    let pair = add(&place, &some, &only);
    assert_eq!(pair["events"], json!(["user.deactivated", "user.deleted"]));
    assert_eq!((&hmac["public_key"], &pair["secret"]), (&Value::Null, &Value::Null));

    let id = create(&serving, &token, "ann@example.com");
    let off = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": false, "title": "Boss"}}]});
    let at = format!("/scim/v2/Users/{id}");
    assert_eq!(serving.send("PATCH", &at, &token, &off.to_string()).0, 200);
    assert_eq!(serving.send("DELETE", &at, &token, "").0, 204);
    all.wait_for(4);
    some.wait_for(2);
    let expected = ["user.created", "user.deactivated", "user.updated", "user.deleted"];
    assert_eq!(all.kinds(), expected);
    assert_eq!(some.kinds(), ["user.deactivated", "user.deleted"]);

    for it in all.received() {
        assert!(it.is_signed_with(&text(&hmac["secret"])));
        assert_eq!(it.headers["content-type"], "application/json");
        let seconds: i64 = it.headers["webhook-timestamp"].parse().unwrap();
        let now = Clock::System.now().nanoseconds() / 1_000_000_000;
        assert!((now - 60..=now).contains(&seconds));
        let body = it.json();
        assert_eq!(body["data"]["id"], it.id());
        assert_eq!(body["timestamp"], body["data"]["time"]);
        assert_eq!(body["data"]["user"]["userName"], "ann@example.com");
    }
    let public = text(&pair["public_key"]);
    let public = Base64::decode_vec(public.strip_prefix("whpk_").unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&ED25519, public);
    for it in some.received() {
        public.verify(it.signed_text().as_bytes(), &it.signatures("v1a")[0]).unwrap();
    }

    // Nothing of a key is shown again, and an endpoint that has everything is not behind.
    wait_until(|| shown(&place, &hmac["id"])["behind"] == 0);
    let list = place.plumm(&["webhook", "list", "--json"]);
    assert!(!list.succeeds().contains("whsec_"));
    let last = &shown(&place, &hmac["id"])["last_delivery"];
    assert_eq!((&last["status"], &last["attempt"]), (&json!(204), &json!(1)));
    assert_eq!(serving.stop("TERM").0, Some(0));
}

/// The record keeps no list of so many: each application is told that there is one, and what to do.
#[test]
fn a_push_of_very_many_members_is_told_as_incomplete_by_feed_and_webhook() {
    const PEOPLE: u64 = 2_000;
    let place = Place::with_acme();
    let token = place.token();
    let read = text(&place.json(&["token", "create", "acme", "--scope", "read"])["token"]);
    let store = Store::open(&place.folder.database(), Open::Existing).unwrap();
    let people: Vec<Value> = store
        .write(Clock::System.now(), |tx| {
            let org = tx.orgs()?[0].key;
            let kind = Kind { org, resource_type: "User", location_base: "" };
            let add = |it| {
                let id = plumm::id::resource(it);
                let body = json!({"schemas": [], "id": id, "userName": format!("u{it}@x.y")});
                tx.add_resource(kind, &id, body.as_object().unwrap())?;
                Ok(json!({ "value": id }))
            };
            (0..PEOPLE).map(add).collect::<Result<_, plumm::store::error::Error>>()
        })
        .unwrap();
    drop(store);
    let serving = place.serve(&[]);
    let receiver = Receiver::new(OK);
    add(&place, &receiver, &[]);
    let staff = json!({"displayName": "Staff", "members": people[..1_000]}).to_string();
    let (status, made) = serving.send("POST", "/scim/v2/Groups", &token, &staff);
    assert_eq!(status, 201, "{made}");
    let at = format!("/scim/v2/Groups/{}", text(&made["id"]));
    let all = json!({"displayName": "Staff", "members": people}).to_string();
    assert_eq!(serving.send("PUT", &at, &token, &all).0, 200);
    let none = json!({"displayName": "Staff", "members": []}).to_string();
    assert_eq!(serving.send("PUT", &at, &token, &none).0, 200);
    receiver.wait_for(4);
    let sent: Vec<Value> = receiver.received().iter().map(|it| it.json()["data"].clone()).collect();
    let (status, page) = serving.get("/access/v1/changes", &read);
    assert_eq!(status, 200);
    let page: Value = serde_json::from_str(&page).unwrap();
    for events in [&sent, page["changes"].as_array().unwrap()] {
        let told: Vec<_> = events.iter().map(|it| (text(&it["type"]), &it["incomplete"])).collect();
        let changed = || "group.members_changed".to_owned();
        let expected = [
            ("group.created".to_owned(), &Value::Null),
            (changed(), &Value::Null),
            (changed(), &Value::Null),
            (changed(), &json!(true)),
        ];
        assert_eq!(told, expected);
        for it in &events[1..3] {
            assert_eq!(it["changed"]["members"]["added"].as_array().unwrap().len(), 1_000);
        }
        assert!(events[3]["changed"]["members"]["leftOut"].as_u64().unwrap() > 64 * 1024);
        assert_eq!(events[3]["changed"]["members"].get("removed"), None);
    }
    // What the application is told to read is whole.
    let (status, group) = serving.get(&at, &read);
    assert_eq!((status, group.contains("\"members\":[]")), (200, true));
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn a_rotation_signs_with_both_keys() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = place.serve(&[]);
    let receiver = Receiver::new(OK);
    let first = add(&place, &receiver, &[]);
    let second = place.json(&["webhook", "rotate", &text(&first["id"])]);
    assert_ne!(first["secret"], second["secret"]);
    assert!(second["former_key_until"].is_string());
    create(&serving, &token, "ann@example.com");
    receiver.wait_for(1);
    let it = &receiver.received()[0];
    assert_eq!(it.signatures("v1").len(), 2);
    assert!(it.is_signed_with(&text(&first["secret"])));
    assert!(it.is_signed_with(&text(&second["secret"])));
}

/// Each way to fail is said in words by `plumm webhook test`, and none takes longer than it may.
#[test]
fn a_test_event_says_what_came_back() {
    let place = Place::with_acme();
    let elsewhere = Receiver::new(OK);
    let moved: &'static str = format!("Location: {}\r\n", elsewhere.url).leak();
    thread::scope(|scope| {
        for (reply, status, words) in [
            (OK, json!(204), None),
            (Reply::Status(200, ""), json!(200), None),
            (Reply::Body(64 << 20), json!(200), None),
            (Reply::Late(Duration::from_millis(300)), json!(204), None),
            (Reply::Status(302, moved), json!(302), Some("redirects are not followed")),
            (Reply::Status(500, ""), json!(500), Some("it answered 500")),
            (Reply::Status(410, ""), json!(410), Some("wants no more")),
            (Reply::Drop, Value::Null, Some("")),
            (Reply::Silence, Value::Null, Some("no answer within 20 seconds")),
        ] {
            let place = &place;
            scope.spawn(move || {
                let receiver = Receiver::new(reply.clone());
                let made = add(place, &receiver, &[]);
                let id = text(&made["id"]);
                let run = place.plumm(&["webhook", "test", &id, "--json"]);
                let said: Value = serde_json::from_str(&run.out).unwrap();
                assert_eq!(said["status"], status, "{reply:?}: {said}");
                assert!(said["answer"].as_str().unwrap().len() <= 1024, "{reply:?}");
                assert_eq!(said["delivered"], words.is_none(), "{reply:?}: {said}");
                match words {
                    None => assert_eq!(run.code, Some(0)),
                    Some(words) => {
                        assert_eq!(run.code, Some(1), "{run:?}");
                        assert!(run.err.contains(words), "{reply:?}: {}", run.err);
                    }
                }
                let got = receiver.received();
                assert_eq!(got.len(), 1);
                assert_eq!(
                    said["headers"]["webhook-signature"],
                    got[0].headers["webhook-signature"]
                );
                assert!(got[0].is_signed_with(&text(&made["secret"])));
                assert_eq!(got[0].kind(), "webhook.test");
                let kept = place.json(&["webhook", "deliveries", &id]);
                assert_eq!(kept[0]["status"], status);
            });
        }
    });
    assert!(elsewhere.received().is_empty());
}

#[test]
fn a_certificate_is_checked_against_the_authorities_of_the_endpoint() {
    let place = Place::with_acme();
    place.plumm(&["tls", "self-signed"]).succeeds();
    let files = place.files();
    let file = |end: &str| files.iter().find(|it| it.ends_with(end)).unwrap().clone();
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    // Any server with TLS: this one answers 404.
    let serving = place.serve(&["--tls-cert", &certificate, "--tls-key", &key]);
    let url = format!("{}/hook", serving.url);
    for (more, status, words) in [
        (vec![], Value::Null, "TLS failed"),
        (vec!["--ca", certificate.as_str()], json!(404), "it answered 404"),
    ] {
        let made = place.json(&[&["webhook", "add", "acme", &url], more.as_slice()].concat());
        let run = place.plumm(&["webhook", "test", &text(&made["id"]), "--json"]);
        let said: Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(said["status"], status, "{said}");
        assert!(run.err.contains(words), "{}", run.err);
    }
    let run = place.plumm(&["webhook", "add", "acme", &url, "--ca", &key]);
    assert!(run.code == Some(1) && run.err.contains("private key"), "{run:?}");
}

#[test]
fn what_no_event_may_be_sent_to_is_refused() {
    let place = Place::with_acme();
    for (url, words) in [
        ("http://169.254.169.254/latest", "metadata"),
        ("https://metadata.google.internal/", "metadata"),
        ("http://app.example.com/", "--insecure-http"),
        ("https://user:secret@app.example.com/", "user name or a password"),
        ("https://app.example.com/#x", "fragment"),
        ("ftp://app.example.com/", "https://"),
    ] {
        let run = place.plumm(&["webhook", "add", "acme", url]);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.err.contains(words), "{url}: {}", run.err);
    }
    assert_eq!(place.json(&["webhook", "list"]), json!([]));
    for command in ["show", "rotate", "test", "deliveries", "enable", "disable", "remove"] {
        let sentence = "there is no webhook wh_x: `plumm webhook list` shows the ids";
        place.plumm(&["webhook", command, "wh_x"]).fails(sentence);
    }
}

#[test]
fn a_receiver_that_fails_is_tried_again_and_keeps_its_order() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = place.serve(&[]);
    let receiver = Receiver::new(Reply::Status(503, ""));
    let made = add(&place, &receiver, &[]);
    for name in ["a@example.com", "b@example.com"] {
        create(&serving, &token, name);
    }
    receiver.wait_for(1);
    receiver.set(OK);
    receiver.wait_for(3);
    let got = receiver.received();
    let names: Vec<_> = got.iter().map(|it| text(&it.json()["data"]["user"]["userName"])).collect();
    assert_eq!(names, ["a@example.com", "a@example.com", "b@example.com"]);
    assert_eq!(got[0].id(), got[1].id());
    let pause = got[1].at - got[0].at;
    assert!(pause >= Duration::from_secs(5) && pause < Duration::from_secs(9), "{pause:?}");
    wait_until(|| shown(&place, &made["id"])["state"] == "active");
    let kept = place.json(&["webhook", "deliveries", &text(&made["id"])]);
    let kept: Vec<_> = kept.as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(kept, [json!(204), json!(204), json!(503)]);
}

#[test]
fn gone_disables_and_enable_goes_on_where_it_was() {
    let place = Place::with_acme();
    let token = place.token();
    let admin = text(&place.json(&["token", "create", "acme", "--scope", "admin"])["token"]);
    let mut serving = place.serve(&[]);
    let receiver = Receiver::new(Reply::Status(410, ""));
    let made = add(&place, &receiver, &[]);
    let id = text(&made["id"]);
    create(&serving, &token, "a@example.com");
    serving.wait_for(&format!("webhook {id} is disabled: it answered 410"));
    create(&serving, &token, "b@example.com");
    wait_until(|| shown(&place, &made["id"])["state"] == "disabled");
    let said = shown(&place, &made["id"]);
    assert!(said["reason"].as_str().unwrap().contains("410"), "{said}");
    assert_eq!(said["behind"], 2);
    let status = place.json(&["status"]);
    assert_eq!(status["orgs"][0]["webhooks"][0]["state"], "disabled");
    assert!(place.plumm(&["status"]).succeeds().contains("disabled"));
    wait_until(|| serving.get("/metrics", &admin).1.contains("plumm_webhooks_disabled 1"));
    let told = "plumm_events_told_total{by=\"webhook\",type=\"user.created\"}";
    assert!(serving.get("/metrics", &admin).1.contains(&format!("{told} 0\n")));

    receiver.set(OK);
    assert_eq!(place.json(&["webhook", "enable", &id])["state"], "active");
    receiver.wait_for(3);
    let got = receiver.ids();
    assert_eq!(got.len(), 2, "{got:?}");
    wait_until(|| serving.get("/metrics", &admin).1.contains(&format!("{told} 2\n")));
    // From the first one on again, with the same ids.
    let from = got[0].split('_').nth(1).unwrap();
    place.json(&["webhook", "replay", &id, "--from", from]);
    receiver.wait_for(5);
    assert_eq!(receiver.ids(), got);
    wait_until(|| shown(&place, &made["id"])["behind"] == 0);
    let run = place.plumm(&["webhook", "replay", &id, "--from", "99999"]);
    assert!(run.err.contains("there is no change 99999 yet"), "{run:?}");
    // Passed over: the number behind the newest.
    place.json(&["webhook", "disable", &id]);
    // The server hears of it within a second.
    thread::sleep(Duration::from_secs(1));
    create(&serving, &token, "c@example.com");
    let read = text(&place.json(&["token", "create", "acme", "--scope", "read"])["token"]);
    let page = serving.get("/access/v1/changes", &read).1;
    let page: Value = serde_json::from_str(&page).unwrap();
    let newest = page["changes"].as_array().unwrap().last().unwrap();
    assert_eq!(newest["user"]["userName"], "c@example.com");
    let behind = newest["sequence"].as_i64().unwrap() + 1;
    place.json(&["webhook", "replay", &id, "--from", &behind.to_string()]);
    create(&serving, &token, "d@example.com");
    receiver.wait_for(6);
    let last = receiver.received().pop().unwrap();
    assert_eq!(last.json()["data"]["user"]["userName"], "d@example.com");
    assert_eq!(place.json(&["webhook", "remove", &id])["removed"], true);
    assert_eq!(place.json(&["webhook", "list"]), json!([]));
}

#[test]
fn a_killed_server_loses_nothing_and_reorders_nothing() {
    let place = Place::with_acme();
    let token = place.token();
    let receiver = Receiver::new(Reply::Late(Duration::from_millis(3)));
    add(&place, &receiver, &[]);
    let mut count = 0;
    for round in 0..4 {
        let serving = place.serve(&[]);
        for i in 0..25 {
            create(&serving, &token, &format!("u{round}-{i}@example.com"));
            count += 1;
        }
        // Killed in the midst of deliveries.
        receiver.wait_for(count - 15);
        drop(serving);
    }
    let serving = place.serve(&[]);
    wait_until(|| receiver.ids().len() >= count);
    let sequences: Vec<i64> =
        receiver.ids().iter().map(|it| it.split('_').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(sequences.len(), count);
    assert!(sequences.is_sorted(), "{sequences:?}");
    // After a repetition it goes on from there: no event comes before the ones before it.
    let all: Vec<i64> = receiver
        .received()
        .iter()
        .map(|it| it.json()["data"]["sequence"].as_i64().unwrap())
        .collect();
    for two in all.windows(2) {
        let next = sequences.iter().position(|it| *it == two[0]).map(|it| it + 1);
        assert!(two[1] <= two[0] || next.and_then(|it| sequences.get(it)) == Some(&two[1]));
    }
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn receivers_that_stand_still_delay_neither_others_nor_the_end() {
    let place = Place::with_acme();
    let token = place.token();
    let quick = Receiver::new(OK);
    let slow: Vec<_> =
        (0..12).map(|_| Receiver::new(Reply::Late(Duration::from_secs(3)))).collect();
    add(&place, &quick, &[]);
    for it in &slow {
        add(&place, it, &[]);
    }
    let serving = place.serve(&[]);
    // Whoever is slow is known for it after once.
    create(&serving, &token, "first@example.com");
    quick.wait_for(1);
    wait_until(|| slow.iter().filter(|it| !it.received().is_empty()).count() == slow.len());
    thread::sleep(Duration::from_secs(4));
    let mut longest = Duration::ZERO;
    for i in 0..10 {
        let sent = Instant::now();
        create(&serving, &token, &format!("u{i}@example.com"));
        longest = longest.max(sent.elapsed());
        quick.wait_for(i + 2);
        longest = longest.max(sent.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    eprintln!("the quick receiver was told after {longest:?} at most");
    // All of the slow ones get their turns.
    wait_until(|| slow.iter().all(|it| it.received().len() >= 2));
    let began = Instant::now();
    assert_eq!(serving.stop("TERM").0, Some(0));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

/// Nothing is known of them before: each has a place until it is known to be slow.
#[test]
fn receivers_that_turn_slow_together_do_not_hold_up_the_others() {
    const SLOW: usize = 12;
    let place = Place::with_acme();
    let token = place.token();
    let turning: Vec<_> = (0..SLOW).map(|_| Receiver::new(OK)).collect();
    turning.iter().for_each(|it| drop(add(&place, it, &[])));
    let quick = Receiver::new(OK);
    add(&place, &quick, &[]);
    let serving = place.serve(&[]);
    create(&serving, &token, "first@example.com");
    turning.iter().chain([&quick]).for_each(|it| it.wait_for(1));
    turning.iter().for_each(|it| it.set(Reply::Silence));
    let mut longest = Duration::ZERO;
    for i in 0..5 {
        let sent = Instant::now();
        create(&serving, &token, &format!("u{i}@example.com"));
        quick.wait_for(i + 2);
        longest = longest.max(sent.elapsed());
    }
    assert!(longest < Duration::from_secs(8), "{longest:?}");
    eprintln!(
        "beside {SLOW} that turned slow, the quick receiver was told after {longest:?} at most"
    );
    wait_until(|| turning.iter().all(|it| it.received().len() == 2));
    let began = Instant::now();
    assert_eq!(serving.stop("TERM").0, Some(0));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[test]
fn events_that_are_to_be_sent_are_kept_within_the_memory_there_is() {
    const MIB: usize = 1024 * 1024;
    let harness = Harness::new();
    let mut large = user("large@example.com");
    large["title"] = "x".repeat(MIB / 2).into();
    for name in ["a@example.com", "b@example.com", "c@example.com"] {
        large["userName"] = name.into();
        large["emails"] = json!([]);
        harness.post("/Users", &large).expect(201);
    }
    let (memory, org, start) = (Memory::new(6 * MIB), harness.org.key, Position::default());
    let mut batches = Batches::new(memory.clone());
    let mut next = || {
        batches.look(&harness.store, [org].into_iter()).unwrap();
        assert!(batches.has_more(org, start));
        batches.next(&harness.store, org, start, harness.now, |_| true).unwrap()
    };
    let others = memory.take(5 * MIB, &[], || ()).unwrap();
    assert!(next().is_none());
    assert_eq!(memory.in_use(), 5 * MIB);
    drop(others);
    // What it may have is a part, together with its other requests.
    let others = memory.of(Some(org.number())).take(3 * MIB, &[], || ()).unwrap();
    assert!(next().is_none());
    drop(others);
    // A piece ends at its bytes.
    let batch = next().unwrap();
    assert_eq!(batch.items.len(), 2);
    let bytes: usize = batch.items.iter().map(|it| it.body.len()).sum();
    assert_eq!(memory.in_use(), bytes);
    // Another endpoint that is as far has the same.
    let other = next().unwrap();
    assert_eq!(memory.in_use(), bytes);
    drop((batch, other));
    thread::sleep(Duration::from_millis(600));
    batches.look(&harness.store, [org].into_iter()).unwrap();
    assert_eq!(memory.in_use(), 0);
}

#[test]
fn what_receivers_have_answered_of_a_person_goes_with_the_person() {
    let place = Place::with_acme();
    let token = place.token();
    let read = text(&place.json(&["token", "create", "acme", "--scope", "read"])["token"]);
    let serving = place.serve(&[]);
    let receiver = Receiver::new(Reply::Echo(Duration::ZERO));
    let hook = text(&add(&place, &receiver, &[])["id"]);
    let send = |serving: &Serving, method: &str, target: &str, body: &Value| {
        let sent = serving.send(method, &format!("/scim/v2{target}"), &token, &body.to_string());
        assert!((200..300).contains(&sent.0), "{sent:?}");
        sent.1
    };
    let mut ann = user("marker-ann@example.com");
    ann["displayName"] = "marker Ann".into();
    let ann = text(&send(&serving, "POST", "/Users", &ann)["id"]);
    let manager = json!({ "value": ann, "displayName": "marker Ann" });
    let deputy = json!({ "value": ann, "display": "marker Ann", "type": "User" });
    let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let mut bob = user("bob@example.com");
    bob[urn] = json!({ "manager": manager, "department": "Tools" });
    bob["urn:okta:acme:1.0:user:custom"] = json!({ "deputy": deputy });
    let bob = text(&send(&serving, "POST", "/Users", &bob)["id"]);
    let staff = json!({ "displayName": "Staff", "members": [{ "value": ann, "display": "marker Ann" }, { "value": bob }] });
    let staff = text(&send(&serving, "POST", "/Groups", &staff)["id"]);
    let without = json!({ "displayName": "Staff", "members": [{ "value": bob }] });
    send(&serving, "PUT", &format!("/Groups/{staff}"), &without);
    // Both are nobody from now on; the record knows who it was.
    let mut put = user("bob@example.com");
    put[urn] = json!({ "department": "Tools" });
    put["urn:okta:acme:1.0:user:custom"] = json!({ "deputy": null });
    send(&serving, "PUT", &format!("/Users/{bob}"), &put);
    receiver.wait_for(6);
    let answered =
        || place.plumm(&["webhook", "deliveries", &hook, "--json"]).succeeds().to_owned();
    wait_until(|| answered().matches("marker").count() > 2);
    // One more is on its way, with what is erased meanwhile.
    receiver.set(Reply::Echo(Duration::from_secs(2)));
    send(
        &serving,
        "PATCH",
        &format!("/Users/{ann}"),
        &json!({"Operations": [{"op": "replace", "path": "title", "value": "marker title"}]}),
    );
    receiver.wait_for(7);
    place.plumm(&["user", "purge", "acme", "marker-ann@example.com", "--yes"]).succeeds();
    receiver.wait_for(8);
    wait_until(|| place.json(&["webhook", "show", &hook])["behind"] == 0);

    assert!(receiver.received()[6].body.contains("marker"));
    assert!(!receiver.received()[7].body.contains("marker"));
    assert!(!answered().contains("marker"), "{}", answered());
    let page = serving.get("/access/v1/changes", &read).1;
    assert!(page.contains(&ann) && page.contains("Tools") && !page.contains("marker"), "{page}");
    assert_eq!(serving.stop("TERM").0, Some(0));
    for file in place.files() {
        let bytes = std::fs::read(place.folder.path().join(&file)).unwrap();
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let at = text
            .find("marker")
            .map(|it| text[it.saturating_sub(200)..].chars().take(300).collect::<String>());
        assert_eq!(at, None, "in {file}");
    }
}

#[test]
fn whoever_has_missed_what_is_not_kept_any_more_is_told_so() {
    let place = Place::with_acme();
    let token = place.token();
    let receiver = Receiver::new(Reply::Status(410, ""));
    let id = text(&add(&place, &receiver, &["--events", "user.deleted"])["id"]);
    place.json(&["webhook", "disable", &id]);
    let serving = place.serve(&[]);
    for i in 0..5 {
        create(&serving, &token, &format!("u{i}@example.com"));
    }
    assert_eq!(serving.stop("TERM").0, Some(0));
    let store = Store::open(&place.folder.database(), Open::Existing).unwrap();
    let now = Clock::System.now();
    store.write(now, |tx| tx.trim_log(now.plus_seconds(60))).unwrap();
    let trimmed = store.read(|tx| tx.trimmed(tx.orgs()?[0].key)).unwrap();
    drop(store);
    assert!(trimmed > 0);
    let said = place.json(&["webhook", "show", &id]);
    assert_eq!(said["missed"], true, "{said}");
    assert!(place.plumm(&["webhook", "show", &id]).succeeds().contains("webhook.gap"));

    receiver.set(OK);
    place.json(&["webhook", "enable", &id]);
    let serving = place.serve(&[]);
    // It comes whatever types are wanted.
    receiver.wait_for(1);
    let gap = receiver.received()[0].json();
    assert_eq!((&gap["type"], &gap["data"]["sequence"]), (&json!("webhook.gap"), &json!(trimmed)));
    wait_until(|| place.json(&["webhook", "show", &id])["behind"] == 0);
    assert_eq!(place.json(&["webhook", "show", &id])["missed"], false);
    assert_eq!(receiver.received().len(), 1);
    drop(serving);
}
