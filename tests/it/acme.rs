//! A server that gets and renews its certificate by itself, against a directory of the tests' own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use plumm::clock::Clock;
use plumm::scim::datetime::Timestamp;
use serde_json::Value;

use crate::acme_directory::{Directory, Reply};
use crate::cli::{Place as Folder, Serving};
use crate::harness::wait_until;
use crate::tls::{Client, GET, tcp, trusting};

/// A name that the tests' clients look for.
const DOMAIN: &str = "localhost";

/// A directory, and a folder for a server that asks it.
struct Place {
    folder: Folder,
    directory: Directory,
    https: SocketAddr,
    http: SocketAddr,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Place {
    fn new() -> Place {
        let (https, http) = (free_address(), free_address());
        let directory = Directory::new(http.port(), https.port());
        Place { folder: Folder::new(), directory, https, http }
    }

    fn serve(&self) -> Serving {
        self.serve_for(DOMAIN)
    }

    fn serve_for(&self, domains: &str) -> Serving {
        let (https, http) = (self.https.to_string(), self.http.to_string());
        Serving::start(self.folder.command(&[
            "serve",
            "--listen",
            &https,
            "--acme",
            domains,
            "--acme-email",
            "it@example.com",
            "--acme-directory",
            &self.directory.url,
            "--acme-http-listen",
            &http,
        ]))
    }

    fn connect(&self) -> std::io::Result<Client> {
        Client::connect(self.https, trusting(&self.directory.root))
    }

    /// The certificate that is shown.
    #[track_caller]
    fn shown(&self) -> Vec<u8> {
        let mut client = self.connect().unwrap();
        assert_eq!(client.call(GET).0, 200);
        client.tls.conn.peer_certificates().unwrap()[0].to_vec()
    }

    fn status(&self) -> Value {
        self.folder.json(&["status"])["server"].clone()
    }

    /// What it says of the last failure, once it does.
    #[track_caller]
    fn failure(&self) -> Value {
        let mut found = Value::Null;
        let begun = Instant::now();
        while found["error"].is_null() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", self.status());
            thread::sleep(Duration::from_millis(200));
            found = self.status()["acme"].clone();
        }
        found
    }

    fn file(&self, suffix: &str) -> std::path::PathBuf {
        self.folder.folder.path().join(format!("plumm.db{suffix}"))
    }

    /// The status, the head and the body of an answer over plain HTTP.
    fn plain(&self, address: SocketAddr, request: &str) -> String {
        let mut tcp = tcp(address);
        tcp.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        text
    }
}

fn seconds_until(time: &Value) -> i64 {
    let time = Timestamp::parse(time.as_str().unwrap()).unwrap();
    (time.nanoseconds() - Clock::System.now().nanoseconds()) / 1_000_000_000
}

#[test]
fn a_first_certificate_comes_by_itself_and_nothing_is_answered_before() {
    let place = Place::new();
    place.directory.hold("validation");
    let mut serving = place.serve();
    serving.wait_for("there is no certificate for localhost yet");
    place.directory.wait_for("challenge/0/http-01", 1);
    // Whoever comes early gets no answer of the application.
    let error = place.connect().err().unwrap().to_string();
    assert!(error.contains("AccessDenied"), "{error}");
    let get = "GET /scim/v2/Users HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let refused = place.plain(place.https, get);
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("https://"), "{refused}");
    let moved = place.plain(place.http, get);
    assert!(moved.starts_with("HTTP/1.1 308 "), "{moved}");
    let to = format!("\r\nLocation: https://localhost:{}/scim/v2/Users\r\n", place.https.port());
    assert!(moved.contains(&to), "{moved}");
    let post = "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    let refused = place.plain(place.http, post);
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    let https = place.https.to_string();
    let healthcheck = place.folder.plumm(&["healthcheck", "--url", &format!("https://{https}")]);
    assert_eq!(healthcheck.code, Some(1));
    assert!(healthcheck.err.contains("has no TLS certificate yet"), "{healthcheck:?}");
    assert_eq!(place.status()["certificate_expires"], Value::Null);
    let text = place.folder.plumm(&["status"]).out;
    assert!(text.contains("Certificate  there is none yet"), "{text}");

    place.directory.release();
    serving.wait_for("localhost is shown to lead here, by http-01");
    serving.wait_for("the TLS certificate of ");
    place.shown();
    assert_eq!(place.directory.contact(), serde_json::json!(["mailto:it@example.com"]));
    for suffix in ["-acme.pem", "-acme.json"] {
        let mode = fs::metadata(place.file(suffix)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
    wait_until(|| place.status()["certificate_expires"].is_string());
    let acme = place.status()["acme"].clone();
    let days = seconds_until(&acme["next"]) / 86_400;
    assert!((55..=60).contains(&days), "{acme}");
    assert_eq!((&acme["failed"], &acme["error"]), (&Value::from(0), &Value::Null));
    let doctor = place.folder.plumm(&["doctor"]).out;
    assert!(doctor.contains(", and is renewed in "), "{doctor}");
    place.directory.assert_no_faults();
    assert_eq!(serving.stop("TERM").0, Some(0));

    // It is there at the next start, and nobody is asked for another one.
    let serving = place.serve();
    place.shown();
    thread::sleep(Duration::from_millis(300));
    assert_eq!((place.directory.count("new-order"), place.directory.issued()), (1, 1));
    drop(serving);
}

#[test]
fn the_other_challenge_is_tried_and_remembered() {
    let place = Place::new();
    // Port 80 of the domain leads elsewhere.
    let nowhere = free_address().port();
    place.directory.state().http_port = nowhere;
    let mut serving = place.serve_for("localhost,b.example");
    let warned = serving.wait_for("The challenge tls-alpn-01 is tried");
    assert!(warned.contains("challenge http-01 for localhost: the directory says"), "{warned}");
    assert!(warned.contains("let port 80 of localhost reach this server"), "{warned}");
    serving.wait_for("b.example is shown to lead here, by tls-alpn-01");
    serving.wait_for("the TLS certificate of ");
    let before = place.shown();
    place.directory.state().window = Some((-60, -30));
    serving.signal("HUP");
    place.directory.wait_for("new-order", 3);
    wait_until(|| place.shown() != before);
    let journal = place.directory.state().journal.clone();
    let tried = journal.iter().filter(|it| it.starts_with("validated http-01")).count();
    assert!(tried <= 2, "{journal:?}");
    place.directory.assert_no_faults();
}

#[test]
fn a_certificate_is_renewed_when_the_directory_suggests_it_and_connections_stay() {
    let place = Place::new();
    let mut serving = place.serve();
    serving.wait_for("the TLS certificate of ");
    let mut open = place.connect().unwrap();
    let before = open.tls.conn.peer_certificates().unwrap()[0].to_vec();
    assert_eq!(open.call(GET).0, 200);
    place.directory.state().window = Some((-60, -30));
    serving.signal("HUP");
    wait_until(|| place.shown() != before);
    assert_eq!(open.call(GET).0, 200);
    // The directory was told which one is replaced, by the name that it was asked about.
    let state = place.directory.state();
    let replaced = state.replaced.first().unwrap().clone();
    assert!(state.journal.contains(&format!("renewal/{replaced}")), "{:?}", state.journal);
    drop(state);
    place.directory.assert_no_faults();
    assert_eq!(place.directory.accounts(), 1);
}

#[test]
fn a_short_lived_certificate_is_renewed_in_time() {
    let place = Place::new();
    place.directory.state().life = 10;
    let mut serving = place.serve();
    serving.wait_for("the TLS certificate of ");
    let before = place.shown();
    let begun = Instant::now();
    while place.shown() == before {
        assert!(begun.elapsed() < Duration::from_secs(10), "it was not renewed before its end");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    place.directory.assert_no_faults();
}

#[test]
fn each_failure_says_what_was_seen_and_what_to_do() {
    let minutes = |it: i64| it * 60;
    type Stage = fn(&Directory);
    let cases: [(Stage, &str, i64); 14] = [
        (|it| it.stage("directory", Reply::html(200)), "text/html that begins \"<html>", 1),
        (|it| it.stage("directory", Reply::html(404)), "is --acme-directory the URL", 10),
        (
            |it| it.stage("directory", Reply::html(503).with("Retry-After", "1800")),
            "answers 503",
            30,
        ),
        (
            |it| {
                let eab = serde_json::json!({ "newNonce": "x", "newAccount": "x", "newOrder": "x",
                    "meta": { "externalAccountRequired": true } });
                it.stage("directory", Reply::json(200, &eab));
            },
            "an account that was made elsewhere",
            10,
        ),
        (
            |it| it.stage("new-account", Reply::problem(400, "invalidContact", "No such domain.")),
            "the account: the directory says \"No such domain.\" (invalidContact): give an address",
            10,
        ),
        (
            |it| {
                let refused = Reply::problem(429, "rateLimited", "Too many orders.");
                it.stage("new-order", refused.with("Retry-After", "7200"));
            },
            "\"Too many orders.\" (rateLimited)",
            120,
        ),
        (
            |it| it.stage("new-order", Reply::problem(400, "rejectedIdentifier", "Not that.")),
            "the order: the directory says \"Not that.\" (rejectedIdentifier): it gives no",
            10,
        ),
        (
            |it| it.stage("validation", Reply::problem(400, "caa", "CAA record forbids.")),
            "challenge http-01 for localhost: the directory says \"CAA record forbids.\" (caa)",
            10,
        ),
        (
            |it| it.stage("validation", Reply::problem(400, "dns", "NXDOMAIN looking up A.")),
            "let an A or AAAA record of the domain name this host",
            10,
        ),
        (
            |it| it.stage("finalize", Reply::problem(403, "badCSR", "Weak key.")),
            "the request for the certificate: the directory says \"Weak key.\"",
            10,
        ),
        (|it| it.state().other_key = true, "a wrong one: it is for another key", 10),
        (|it| it.state().names = Some("c.example".into()), "for c.example, and not for local", 10),
        (|it| it.stage("cert", Reply::html(200)), "no certificate in PEM form", 10),
        (
            |it| {
                let (mut state, nowhere) = (it.state(), free_address().port());
                (state.http_port, state.tls_port) = (nowhere, nowhere);
            },
            "let port 443 of localhost reach this server",
            10,
        ),
    ];
    for (stage, words, pause) in cases {
        let place = Place::new();
        stage(&place.directory);
        let mut serving = place.serve();
        let line = serving.wait_for("there is no certificate for localhost: ");
        assert!(line.contains(words), "{words}: {line}");
        let noted = place.failure();
        assert!(noted["error"].as_str().unwrap().contains(words), "{noted}");
        let until = seconds_until(&noted["next"]);
        let (earliest, latest) = (minutes(pause) - 15, minutes(pause) * 11 / 10 + 5);
        assert!((earliest..=latest).contains(&until), "{words}: {until}");
        let doctor = place.folder.plumm(&["doctor"]).out;
        assert!(doctor.contains("there is no certificate for localhost by ACME yet"), "{doctor}");
        place.directory.assert_no_faults();
        assert_eq!(serving.stop("TERM").0, Some(0));
    }
}

#[test]
fn a_directory_that_cannot_be_reached_is_a_sentence() {
    let place = Place::new();
    let nowhere = format!("http://{}/directory", free_address());
    let (https, http) = (place.https.to_string(), place.http.to_string());
    let args = ["serve", "--listen", &https, "--acme", DOMAIN, "--acme-http-listen", &http];
    let args = [&args[..], &["--acme-directory", &nowhere]].concat();
    let mut serving = Serving::start(place.folder.command(&args));
    let line = serving.wait_for("there is no certificate for localhost: ");
    assert!(line.contains(&format!("the directory {nowhere}: it cannot be reached")), "{line}");
    // Its certificate by this name is there nevertheless in a minute, and not before.
    let noted = place.failure();
    assert!((30..=70).contains(&seconds_until(&noted["next"])), "{noted}");
}

#[test]
fn nonces_that_do_not_hold_are_replaced() {
    let place = Place::new();
    place.directory.state().bad_nonces = 3;
    let mut serving = place.serve();
    serving.wait_for("the TLS certificate of ");
    place.shown();
    place.directory.assert_no_faults();
}

#[test]
fn a_directory_that_has_forgotten_the_account_gets_another_one() {
    let place = Place::new();
    let mut serving = place.serve();
    serving.wait_for("the TLS certificate of ");
    let before = place.shown();
    place.directory.stage("new-order", Reply::problem(400, "accountDoesNotExist", "Who?"));
    place.directory.state().window = Some((-60, -30));
    serving.signal("HUP");
    wait_until(|| place.shown() != before);
    assert_eq!(place.directory.accounts(), 2);
    place.directory.assert_no_faults();
}

#[test]
fn an_operator_who_asks_again_and_again_does_not_use_up_what_the_directory_allows() {
    let place = Place::new();
    let nowhere = free_address().port();
    (place.directory.state().http_port, place.directory.state().tls_port) = (nowhere, nowhere);
    let serving = place.serve();
    place.directory.wait_for("new-order", 2);
    place.failure();
    serving.signal("HUP");
    place.directory.wait_for("new-order", 4);
    wait_until(|| place.status()["acme"]["failed"] == 2);
    for _ in 0..3 {
        serving.signal("HUP");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(serving.stop("TERM").0, Some(0));
    let serving = place.serve();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(place.directory.count("new-order"), 4);
    let noted = place.failure();
    assert!(seconds_until(&noted["next"]) > 3000, "{noted}");
    assert_eq!(serving.stop("TERM").0, Some(0));
    // With other settings, nothing of that counts.
    let serving = place.serve_for("other.example");
    place.directory.wait_for("new-order", 5);
    drop(serving);
}

#[test]
fn a_server_that_is_killed_between_two_steps_goes_on() {
    for at in ["new-account", "new-order", "authz", "challenge", "finalize", "order", "cert"] {
        let place = Place::new();
        place.directory.hold(at);
        let mut serving = place.serve();
        place.directory.wait_for(at, 1);
        // What the directory has done, the server does not know yet.
        thread::sleep(Duration::from_millis(50));
        serving.child.kill().unwrap();
        serving.child.wait().unwrap();
        place.directory.release();
        let mut serving = place.serve();
        serving.wait_for("the TLS certificate of ");
        place.shown();
        let (accounts, orders) = (place.directory.accounts(), place.directory.count("new-order"));
        assert_eq!(accounts, if at == "new-account" { 2 } else { 1 }, "{at}");
        assert_eq!(orders, if at == "new-order" { 2 } else { 1 }, "{at}");
        assert_eq!(place.directory.issued(), 1, "{at}: a certificate is lost");
        // Nothing is left over, once the file that is being written is there.
        wait_until(|| !place.folder.files().iter().any(|it| it.ends_with(".new")));
        place.directory.assert_no_faults();
    }
}

#[test]
fn a_server_that_is_killed_behind_the_last_step_does_not_take_the_old_order_for_a_new_one() {
    let place = Place::new();
    let mut serving = place.serve();
    serving.wait_for("the TLS certificate of ");
    let before = place.shown();
    assert_eq!(serving.stop("TERM").0, Some(0));
    // As if it had ended before the order was crossed out.
    let text = fs::read_to_string(place.file("-acme.json")).unwrap();
    let mut state: Value = serde_json::from_str(&text).unwrap();
    let pem = fs::read_to_string(place.file("-acme.pem")).unwrap();
    let key = &pem[pem.find("-----BEGIN PRIVATE KEY").unwrap()..];
    let key = &key[..key.find("-----BEGIN CERTIFICATE").unwrap()];
    let url = place.directory.url.replace("/directory", "/order/0");
    state["order"] = serde_json::json!({ "url": url, "key": key });
    fs::write(place.file("-acme.json"), state.to_string()).unwrap();
    place.directory.state().window = Some((-60, -30));
    let _serving = place.serve();
    wait_until(|| place.shown() != before);
    assert_eq!(place.directory.issued(), 2);
}

#[test]
fn files_that_are_damaged_cost_a_new_certificate_and_no_start() {
    let place = Place::new();
    let mut serving = place.serve();
    serving.wait_for("the TLS certificate of ");
    assert_eq!(serving.stop("TERM").0, Some(0));
    let pem = fs::read(place.file("-acme.pem")).unwrap();
    fs::write(place.file("-acme.pem"), &pem[..pem.len() / 2]).unwrap();
    fs::write(place.file("-acme.json"), "{\"account\":").unwrap();
    let mut serving = place.serve();
    serving.wait_for("-acme.json is damaged");
    serving.wait_for("another one is asked for, and takes its place");
    serving.wait_for("the TLS certificate of ");
    place.shown();
    assert!(place.file("-acme.json.broken").exists());
    assert_eq!(place.directory.accounts(), 2);
    place.directory.assert_no_faults();
}

#[test]
fn a_server_ends_at_once_while_a_directory_lets_it_wait() {
    for at in ["directory", "validation"] {
        let place = Place::new();
        place.directory.hold(at);
        let serving = place.serve();
        place.directory.wait_for(if at == "directory" { at } else { "authz/0" }, 1);
        let begun = Instant::now();
        assert_eq!(serving.stop("TERM").0, Some(0));
        assert!(begun.elapsed() < Duration::from_secs(4), "{at}: {:?}", begun.elapsed());
        place.directory.release();
    }
}

#[test]
fn settings_that_cannot_be_are_misuse() {
    let place = Folder::new();
    let serve = |args: &[&str]| place.plumm(&[&["serve"], args].concat());
    let both = serve(&["--acme", "a.example", "--tls-cert", "c.pem", "--tls-key", "k.pem"]);
    both.is_misuse(
        "--acme gets a certificate and --tls-cert gives one: leave one of them out (also among the \
         variables and in the file of settings)",
        "plumm serve --acme scim.example.com --acme-email it@example.com",
    );
    for (args, words) in [
        (&["--acme", "*.example.com"][..], "a wildcard needs dns-01"),
        (&["--acme", "10.0.0.7"], "for an IP address, give a certificate with --tls-cert"),
        (&["--acme", "a.example", "--acme-email", "it"], "one email address"),
        (&["--acme", "a.example", "--acme-directory", "http://ca.example/"], "https://"),
        (&["--acme-email", "it@example.com"], "--acme"),
        (&["--acme", "a.example", "--acme-http-listen", "0.0.0.0:443"], "cannot be the same"),
    ] {
        let run = serve(args);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.err.contains(words), "{}", run.err);
    }
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn a_port_80_that_is_taken_is_told_where_it_was_chosen() {
    let place = Place::new();
    let _taken = TcpListener::bind(place.http).unwrap();
    let (https, http) = (place.https.to_string(), place.http.to_string());
    let run = place.folder.plumm(&[
        "serve",
        "--listen",
        &https,
        "--acme",
        DOMAIN,
        "--acme-directory",
        &place.directory.url,
        "--acme-http-listen",
        &http,
    ]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains(&format!("cannot listen on {http}: the port is in use")), "{run:?}");
}

#[test]
fn challenges_are_answered_on_the_main_port_for_proxies_that_pass_them_on() {
    let place = Place::new();
    // A proxy passes what comes to port 80 on as it is.
    place.directory.state().http_port = place.https.port();
    let mut serving = place.serve();
    serving.wait_for("localhost is shown to lead here, by http-01");
    serving.wait_for("the TLS certificate of ");
    place.directory.assert_no_faults();
    // No challenge is under way: the application answers.
    let mut client = place.connect().unwrap();
    let path = "/.well-known/acme-challenge/token-n1";
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.call(&request).0, 404);
}

#[test]
fn a_disk_that_takes_nothing_costs_no_certificate() {
    // Nothing is ordered that could not be kept.
    let place = Place::new();
    fs::create_dir(place.file("-acme.json.new")).unwrap();
    let mut serving = place.serve();
    let line = serving.wait_for("there is no certificate for localhost: ");
    assert!(line.contains("plumm.db-acme.json cannot be written ("), "{line}");
    assert_eq!(place.directory.count("new-order"), 0);
    drop(serving);

    // One that was issued and could not be kept is fetched again, and no other is ordered.
    let place = Place::new();
    fs::create_dir(place.file("-acme.pem.new")).unwrap();
    let mut serving = place.serve();
    let line = serving.wait_for("there is no certificate for localhost: ");
    assert!(line.contains("plumm.db-acme.pem cannot be written ("), "{line}");
    fs::remove_dir(place.file("-acme.pem.new")).unwrap();
    serving.signal("HUP");
    serving.wait_for("an order that was left half done is gone on with");
    serving.wait_for("the TLS certificate of ");
    place.shown();
    assert_eq!((place.directory.count("new-order"), place.directory.issued()), (1, 1));
    place.directory.assert_no_faults();
}
