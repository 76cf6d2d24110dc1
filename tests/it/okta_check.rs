//! `plumm okta-check`: what it says of plumm, and of each server that is not as it should be.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::cli::{PATIENCE, Place, Run, run};
use crate::harness::{Answer, Folder, Harness};

/// The steps in their order: their numbers are a promise.
const STEPS: [&str; 27] = [
    "url",
    "token",
    "dns",
    "connection",
    "certificate",
    "credentials",
    "wrong-token",
    "configuration",
    "unknown-user",
    "create",
    "duplicate",
    "lookup",
    "read",
    "update",
    "kept",
    "deactivate",
    "still-there",
    "reactivate",
    "catalogue",
    "unknown-id",
    "paging",
    "group-create",
    "group-add",
    "group-rename",
    "group-remove",
    "group-delete",
    "clean-up",
];

/// A request as a server got it.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    target: String,
    authorization: String,
    body: String,
}

impl Asked {
    fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.target.starts_with(&format!("/scim/v2{path}"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What a server does with one.
enum Reply {
    /// It answers.
    Http(u16, Vec<(String, String)>, String),
    /// It sends these bytes.
    Raw(Vec<u8>),
    /// It never answers.
    Silence,
    /// It answers by and by.
    Late(Duration, Box<Reply>),
}

impl Reply {
    fn of(status: u16, media_type: &str, body: &str) -> Reply {
        let headers = vec![("Content-Type".to_owned(), media_type.to_owned())];
        Reply::Http(status, headers, body.to_owned())
    }

    fn with(mut self, name: &str, value: &str) -> Reply {
        if let Reply::Http(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

impl From<Answer> for Reply {
    fn from(it: Answer) -> Reply {
        Reply::Http(it.status, it.headers, it.text)
    }
}

/// What a plumm in this process answers.
fn honest(harness: &Harness, asked: &Asked) -> Answer {
    let headers = [("Authorization", asked.authorization.as_str())];
    harness.send(&asked.method, &asked.target, &headers, &asked.body)
}

/// A server that is plumm but for a fault. It goes on as long as the test process.
struct Stub {
    harness: Arc<Harness>,
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    fn new(fault: impl Fn(&Harness, &Asked) -> Option<Reply> + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/scim/v2", listener.local_addr().unwrap());
        let harness = Arc::new(Harness::new());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (served, noted, fault) = (Arc::clone(&harness), Arc::clone(&asked), Arc::new(fault));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, noted) = (Arc::clone(&served), Arc::clone(&noted));
                let fault = Arc::clone(&fault);
                thread::spawn(move || {
                    serve(stream, |it| {
                        noted.lock().unwrap().push(it.clone());
                        fault(&served, it).unwrap_or_else(|| honest(&served, it).into())
                    })
                });
            }
        });
        Stub { harness, url, asked }
    }

    fn check(&self, args: &[&str]) -> Run {
        check(&self.url, self.harness.token(), args)
    }

    /// How many accounts and groups of a check are there.
    fn left(&self) -> i64 {
        let groups = self.harness.get("/Groups?count=0").json()["totalResults"].as_i64().unwrap();
        self.harness.count("userName sw \"plumm-check-\"") + groups
    }
}

/// Serves the requests of one connection.
fn serve(mut stream: TcpStream, answer: impl Fn(&Asked) -> Reply) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|it| *it > 0)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let (mut length, mut authorization) = (0, String::new());
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => authorization = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).ok()?;
        let mut reply = answer(&Asked { method, target, authorization, body });
        if let Reply::Late(time, then) = reply {
            thread::sleep(time);
            reply = *then;
        }
        match reply {
            Reply::Http(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} x\r\n");
                for (name, value) in headers {
                    if !name.eq_ignore_ascii_case("content-length") {
                        head += &format!("{name}: {value}\r\n");
                    }
                }
                if status != 204 {
                    head += &format!("Content-Length: {}\r\n", body.len());
                }
                stream.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
            }
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).ok()?;
                return None;
            }
            Reply::Silence | Reply::Late(..) => thread::sleep(PATIENCE),
        }
    }
}

fn command(place: &Place, url: &str, token: &str, args: &[&str]) -> Command {
    let mut command = place.command(&[&["okta-check", url], args].concat());
    command.env("PLUMM_CHECK_TOKEN", token);
    command
}

fn check(url: &str, token: &str, args: &[&str]) -> Run {
    run(command(&Place::new(), url, token, args))
}

/// One step of a check with `--json`.
#[track_caller]
fn step<'a>(value: &'a Value, name: &str) -> &'a Value {
    let steps = value["steps"].as_array().unwrap();
    steps.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name}: {value}"))
}

fn json(ran: &Run) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|it| panic!("{it}: {ran:?}"))
}

/// The check fails at this step, saying so and what to do.
#[track_caller]
fn fails(ran: &Run, name: &str, seen: &str, advice: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let number = STEPS.iter().position(|it| *it == name).unwrap() + 1;
    assert!(ran.err.contains(&format!("{number} ({name})")), "{ran:?}");
    let begin = format!("{number:2}  {name:13}  FAILED");
    let of_step = ran.out.split_once(&begin).unwrap_or_else(|| panic!("{}", ran.out)).1;
    // Up to the next step, whose line begins with its number.
    let next = |it: &&str| it.get(..2).is_some_and(|it| it.trim().parse::<u8>().is_ok());
    let text: Vec<&str> = of_step.lines().take_while(|it| !next(it)).collect();
    let text = text.join(" ");
    assert!(text.contains(&format!("seen: {seen}")), "\"{seen}\" is not in\n{text}");
    assert!(text.contains(&format!("do: {advice}")), "\"{advice}\" is not in\n{text}");
}

#[test]
fn plumm_passes_as_every_provider_meets_it() {
    let place = Place::with_acme();
    let (serving, token) = (place.serve(&[]), place.token());
    let url = format!("{}/scim/v2", serving.url);
    let with_flag = format!("{url}/?aadOptscim062020");
    for (url, provider, skipped) in
        [(&url, "okta", 1), (&url, "entra", 2), (&with_flag, "entra", 2)]
    {
        let ran = check(url, &token, &["--as", provider, "--json"]);
        let value = json(&ran);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{value:#}");
        assert_eq!((&value["passed"], &value["as"]), (&json!(true), &json!(provider)));
        let steps = value["steps"].as_array().unwrap();
        let names: Vec<&str> = steps.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, STEPS);
        let states = steps.iter().filter(|it| it["state"] == "skipped").count();
        assert_eq!(states, skipped, "{value:#}");
        // Plain HTTP, and an address of this host.
        let warnings: Vec<&Value> =
            steps.iter().flat_map(|it| it["warnings"].as_array().unwrap()).collect();
        assert_eq!(warnings.len(), 2, "{value:#}");
        assert_eq!(value["left"], json!([]));
    }
    let ran = check(&url, &token, &[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("10  create         ok       plumm-check-"), "{}", ran.out);
    assert!(ran.out.ends_with("26 steps passed, 0 failed, 1 skipped; 2 warnings\n"), "{}", ran.out);
    assert!(!ran.out.contains(&token));
    assert_eq!(place.json(&["user", "list", "acme"]), json!([]));
}

#[test]
fn the_token_comes_from_a_file_or_standard_input_and_never_from_an_argument() {
    let place = Place::with_acme();
    let (serving, token) = (place.serve(&[]), place.token());
    let url = format!("{}/scim/v2", serving.url);
    fs::write(place.folder.path().join("t"), format!("{token}\n")).unwrap();
    // The file counts more than the variable.
    let ran = run(command(&place, &url, "other", &["--token-file", "t"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut piped = place.command(&["okta-check", &url]);
    piped.stdin(fs::File::open(place.folder.path().join("t")).unwrap());
    assert_eq!(run(piped).code, Some(0));
    let none = place.plumm(&["okta-check", &url]);
    none.is_misuse(
        "no API token was given: it is asked for with --token-file, or in PLUMM_CHECK_TOKEN, or on \
         standard input",
        &format!("plumm okta-check {url} --token-file FILE"),
    );
    for args in [&["okta-check"][..], &["okta-check", &url, "--as", "ping"]] {
        assert_eq!(place.plumm(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn a_token_that_is_wrong_or_pasted_with_more_is_told() {
    let stub = Stub::new(|_, _| None);
    fails(
        &check(&stub.url, "plm_wrong", &[]),
        "credentials",
        "the answer is 401",
        "the server does",
    );
    for (token, seen, advice) in [
        ("plm_a plm_b", "the token has a blank within it", "copy it anew"),
        (" plm_a", "the token has a blank before or behind it", "copy it without"),
        ("Bearer plm_a", "the token begins with the word \"Bearer\"", "give what stands behind it"),
        ("\"plm_a\"", "the token stands in quotes", "give it without the quotes"),
        ("plm_a\nplm_b", "the token has several lines", "give the token alone"),
    ] {
        let before = stub.asked.lock().unwrap().len();
        let ran = check(&stub.url, token, &[]);
        fails(&ran, "token", seen, advice);
        assert!(ran.out.contains("6  credentials    skipped  it needs step 2 (token)"), "{ran:?}");
        assert_eq!(stub.asked.lock().unwrap().len(), before, "nothing is sent");
    }
    let open = Stub::new(|harness, asked| {
        let authorization = format!("Bearer {}", harness.token());
        Some(honest(harness, &Asked { authorization, ..asked.clone() }).into())
    });
    fails(
        &open.check(&[]),
        "wrong-token",
        "a wrong token is served as if it were right",
        "let the",
    );
}

#[test]
fn a_url_that_leads_nowhere_is_told() {
    let token = "plm_a";
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/scim/v2");
    let seen = format!("{closed}: nothing listens there");
    fails(&check(&url, token, &[]), "connection", &seen, "start the server there");
    let ran = check("https://nobody.invalid/scim/v2", token, &["--timeout", "5"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains(" 3  dns            FAILED"), "{}", ran.out);
    assert!(ran.out.contains("nobody.invalid"), "{}", ran.out);
    assert!(ran.out.contains("do: check the name for a slip"), "{}", ran.out);
    let ran = check("scim.example.com/scim/v2", token, &[]);
    let advice = "write https://scim.example.com/scim/v2";
    fails(&ran, "url", "the URL has no https:// in front", advice);
    let ran = check("https://scim.example.com/scim/v2/Users", token, &[]);
    fails(
        &ran,
        "url",
        "the URL ends with /Users",
        "the base URL is https://scim.example.com/scim/v2",
    );
    // A path where nothing is, and one that is a SCIM server's but not its base.
    let stub = Stub::new(|_, asked| {
        (!asked.target.starts_with("/scim/v2")).then(|| Reply::of(404, "text/plain", "no"))
    });
    let base = stub.url.strip_suffix("/scim/v2").unwrap();
    let ran = check(base, stub.harness.token(), &[]);
    fails(&ran, "credentials", "the answer is 404", "nothing is there: check the path");
    assert!(ran.out.contains("note: its path is /: most servers"), "{}", ran.out);
    // A name with two addresses, of which one answers or both do.
    let port = base.rsplit_once(':').unwrap().1;
    let ran = check(&format!("http://localhost:{port}/scim/v2"), stub.harness.token(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn what_answers_in_front_of_a_server_is_told() {
    let page = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>";
    for (reply, seen, advice) in [
        (
            (200, "text/html", page),
            "the answer 200 is a page for people (HTML): \"Sign in\"",
            "a proxy, a login page or another program answers",
        ),
        ((200, "application/json", "hello"), "the answer 200 is no JSON: hello", "check that the"),
        ((200, "application/json", "[]"), "the answer is JSON, and no object: []", "answer with"),
        ((200, "application/json", ""), "the answer 200 has an empty body", "answer with"),
        ((200, "application/json", "{}"), "the answer is no list", "answer with a ListResponse"),
        ((502, "text/plain", "x"), "the answer is 502", "a proxy does not reach the server"),
    ] {
        let stub = Stub::new(move |_, _| Some(Reply::of(reply.0, reply.1, reply.2)));
        fails(&stub.check(&[]), "credentials", seen, advice);
    }
    let moved = Stub::new(|_, _| {
        Some(Reply::of(301, "text/html", "").with("Location", "https://elsewhere.example/scim/v2"))
    });
    let seen = "the answer is 301, a redirect to https://elsewhere.example/scim/v2";
    fails(&moved.check(&[]), "credentials", seen, "give the address that it leads to");
    let garbage = Stub::new(|_, _| Some(Reply::Raw(b"\x00\x01\x02 no http\r\n\r\n".to_vec())));
    fails(&garbage.check(&[]), "credentials", "what came is no HTTP answer", "check the port");
    let closing = Stub::new(|_, _| Some(Reply::Raw(Vec::new())));
    fails(&closing.check(&[]), "credentials", "", "look at the server's log");
    let large = "x".repeat(17 * 1024 * 1024);
    let endless = Stub::new(move |_, _| Some(Reply::of(200, "application/json", &large)));
    let seen = "the answer is longer than 16 MiB";
    fails(&endless.check(&[]), "credentials", seen, "let the server keep to `count`");
}

#[test]
fn a_server_that_hangs_costs_one_time_of_patience_and_is_cleaned_up() {
    let stub = Stub::new(|_, _| Some(Reply::Silence));
    let began = Instant::now();
    let ran = stub.check(&["--timeout", "1"]);
    let seen = "no whole answer came within 1 s";
    fails(&ran, "credentials", seen, "look at what the server does meanwhile");
    assert!(began.elapsed() < PATIENCE);
    // Once it hangs in the middle, nothing more is asked, but what was made is taken away.
    let stub = Stub::new(|_, asked| asked.is("PUT", "/Users").then_some(Reply::Silence));
    let ran = stub.check(&["--timeout", "1"]);
    fails(&ran, "update", seen, "look at what the server does meanwhile");
    assert!(ran.out.contains("16  deactivate     skipped  nothing more is asked after step 14"));
    assert!(ran.out.contains("27  clean-up       ok       1 made by this check"), "{}", ran.out);
    assert_eq!(stub.left(), 0);
}

#[test]
fn a_server_that_believes_what_it_does_not_do_is_told() {
    let ignores = |asked: &Asked| {
        let mut body = asked.json();
        if body["active"] == json!(false) {
            body["active"] = json!(true);
        }
        Asked { body: body.to_string(), ..asked.clone() }
    };
    let stub = Stub::new(move |harness, asked| {
        asked.is("PUT", "/Users/").then(|| honest(harness, &ignores(asked)).into())
    });
    let seen = "the server answered that it was done, and `active` is true after it was asked to \
                deactivate the account: who has left could still log in";
    fails(&stub.check(&[]), "deactivate", seen, "let active: false be kept");
    assert_eq!(stub.left(), 0);

    let stub = Stub::new(|harness, asked| {
        let patch = asked.is("PATCH", "/Users/");
        let mut body = asked.json();
        let operations = body["Operations"].as_array_mut().filter(|it| it.len() > 1)?;
        operations.truncate(operations.len() / 2);
        patch.then(|| honest(harness, &Asked { body: body.to_string(), ..asked.clone() }).into())
    });
    let ran = stub.check(&["--as", "entra"]);
    let seen = "the server answered that it was done, and has not kept all of it: name.familyName \
                should be \"Plumm-O'Neil\" and is \"Plumm1\"";
    assert!(ran.out.contains("displayName should be"), "{}", ran.out);
    fails(&ran, "kept", seen.split(": name").next().unwrap(), "apply every operation");
    assert_eq!(stub.left(), 0);

    let stub = Stub::new(|harness, asked| {
        // The list of members is replaced by whoever is added.
        let mut body = asked.json();
        asked.is("PATCH", "/Groups/").then_some(())?;
        if body["Operations"][0]["op"] == "Add" {
            body["Operations"][0]["op"] = json!("Replace");
        }
        Some(honest(harness, &Asked { body: body.to_string(), ..asked.clone() }).into())
    });
    let seen = "the server answered that it was done, and the members are others: 1 missing, 0 too";
    fails(&stub.check(&["--as", "entra"]), "group-add", seen, "apply what the request says");
    assert_eq!(stub.left(), 0);
}

#[test]
fn a_server_that_accepts_duplicates_or_hides_people_is_told() {
    let stub = Stub::new(|harness, asked| {
        asked.is("POST", "/Users").then_some(())?;
        // The second account has another name within.
        let mut body = asked.json();
        let answer = honest(harness, asked);
        if answer.status != 409 {
            return Some(answer.into());
        }
        body["userName"] = json!(format!("twin-of-{}", body["userName"].as_str().unwrap()));
        body["emails"] = json!([]);
        Some(honest(harness, &Asked { body: body.to_string(), ..asked.clone() }).into())
    });
    let seen = "a second account with the same userName was accepted";
    fails(&stub.check(&[]), "duplicate", seen, "refuse it with 409");
    assert_eq!(stub.harness.count("userName co \"plumm-check\""), 0);

    let stub = Stub::new(|harness, asked| {
        asked.is("GET", "/Users?filter=").then_some(())?;
        let target = asked.target.replacen("filter=", "filter=active%20eq%20true%20and%20", 1);
        Some(honest(harness, &Asked { target, ..asked.clone() }).into())
    });
    let seen = "the deactivated account is not found by its name";
    fails(&stub.check(&[]), "still-there", seen, "let lookups find it");

    let stub = Stub::new(|harness, asked| {
        asked.is("GET", "/Users?filter=").then_some(())?;
        harness.post("/Users", &crate::harness::user("ann@example.com"));
        let target = "/scim/v2/Users?startIndex=1&count=1".to_owned();
        Some(honest(harness, &Asked { target, ..asked.clone() }).into())
    });
    let ran = stub.check(&[]);
    assert!(ran.out.contains("whom nobody knows, finds somebody"), "{}", ran.out);
    fails(&ran, "unknown-user", "a lookup of plumm-check-", "let the server apply the filter");
    // Nobody is deleted for having been found.
    assert_eq!(stub.harness.count("userName eq \"ann@example.com\""), 1);
}

#[test]
fn a_server_that_pages_wrongly_is_told() {
    let list = |harness: &Harness, asked: &Asked| {
        asked.is("GET", "/Users?startIndex=").then(|| honest(harness, asked))
    };
    let stub = Stub::new(move |harness, asked| {
        let target = asked.target.replace("startIndex=3", "startIndex=1");
        list(harness, &Asked { target, ..asked.clone() }).map(Reply::from)
    });
    let ran = stub.check(&[]);
    assert!(ran.out.contains("is on the page of startIndex=3&count=2, and on one before"));
    fails(&ran, "paging", "the account ", "let startIndex count");
    let change = |name: &'static str, value: Value| {
        Stub::new(move |harness, asked| {
            let mut body = list(harness, asked).filter(|it| it.status == 200)?.json();
            body[name] = value.clone();
            Some(Reply::of(200, "application/scim+json", &body.to_string()))
        })
    };
    let ran = change("totalResults", json!(7)).check(&[]);
    fails(&ran, "paging", "the page of startIndex=3&count=2 has 1 accounts", "fill a page");
    let ran = change("startIndex", json!("1")).check(&[]);
    fails(&ran, "credentials", "`startIndex` of a list is \"1\"", "write it as a number");
    let ran = change("Resources", Value::Null).check(&[]);
    fails(&ran, "credentials", "the list has no `Resources`", "write \"Resources\":[]");
    // What keeps nobody from going on is a warning.
    let ran = change("itemsPerPage", json!(100)).check(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("note: `itemsPerPage` is not how many accounts are on the page"));
}

#[test]
fn what_is_not_to_the_letter_is_a_warning_said_once() {
    let stub = Stub::new(|harness, asked| {
        let answer = honest(harness, asked);
        let mut body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        if let Some(meta) = body.get_mut("meta").and_then(Value::as_object_mut) {
            meta.remove("version");
        }
        let text = if answer.text.is_empty() { String::new() } else { body.to_string() };
        Some(Reply::of(answer.status, "application/json", &text))
    });
    let ran = stub.check(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    for words in ["its Content-Type is `application/json`", "`meta.version`", "the header Location"]
    {
        assert_eq!(ran.out.matches(words).count(), 1, "{words}: {}", ran.out);
    }
}

#[test]
fn a_server_without_the_extension_for_enterprises_passes_with_a_warning() {
    let stub = Stub::new(|_, asked| {
        let refused = asked.body.contains("extension:enterprise");
        let body = r#"{"detail":"unknown schema","status":"400","schemas":["urn:ietf:params:scim:api:messages:2.0:Error"]}"#;
        refused.then(|| Reply::of(400, "application/scim+json", body))
    });
    for provider in ["okta", "entra"] {
        let ran = stub.check(&["--as", provider]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
        assert_eq!(ran.out.matches("the extension for enterprises").count(), 1, "{}", ran.out);
    }
    assert_eq!(stub.left(), 0);
}

#[test]
fn what_cannot_be_deleted_is_deactivated_and_named() {
    let stub = Stub::new(|_, asked| {
        (asked.method == "DELETE").then(|| Reply::of(501, "application/scim+json", "{}"))
    });
    let ran = stub.check(&["--json"]);
    let value = json(&ran);
    assert_eq!(step(&value, "group-delete")["state"], "failed");
    // The group stays as it is, and each is told by its id.
    assert_eq!(step(&value, "clean-up")["state"], "failed");
    let left = value["left"].as_array().unwrap();
    assert_eq!(left.len(), 4, "{value:#}");
    for it in left {
        let id = it["id"].as_str().unwrap();
        assert!(step(&value, "clean-up")["seen"].as_str().unwrap().contains(id), "{value:#}");
    }
    assert_eq!(stub.harness.count("active eq true"), 0);
    assert_eq!(stub.harness.count("active eq false"), 3);
}

#[test]
fn an_interrupted_check_cleans_up() {
    let slow = Duration::from_secs(1);
    let stub = Stub::new(move |harness, asked| {
        let late = || Reply::Late(slow, Box::new(honest(harness, asked).into()));
        asked.is("PUT", "/Users/").then(late)
    });
    let place = Place::new();
    let child = command(&place, &stub.url, stub.harness.token(), &[]).spawn().unwrap();
    let is_there = || stub.asked.lock().unwrap().iter().any(|it| it.is("PUT", "/Users/"));
    crate::harness::wait_until(is_there);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("16  deactivate     skipped  the check was interrupted"), "{out}");
    assert!(out.contains("1 made by this check and deleted, nothing is left"), "{out}");
    assert_eq!(stub.left(), 0);
    assert!(String::from_utf8(output.stderr).unwrap().contains("the check was interrupted"));
}

#[test]
fn what_an_organisation_is_set_to_is_told_or_waited_for() {
    let place = Place::with_acme();
    let (serving, token) = (place.serve(&[]), place.token());
    let url = format!("{}/scim/v2", serving.url);
    // 30 requests at once, then three a second: who is told to wait, waits.
    place.plumm(&["org", "set", "acme", "--rate", "180"]).succeeds();
    let ran = check(&url, &token, &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains(": 429, waited 1 s as it asked"), "{ran:?}");
    place.plumm(&["org", "set", "acme", "--rate", "6000000", "--strict", "on"]).succeeds();
    // Okta with an app of one's own keeps to the letter; Entra ID does not.
    let ran = check(&url, &token, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("19  catalogue      skipped  the server does not take PATCH without"));
    let ran = check(&url, &token, &["--as", "entra"]);
    fails(
        &ran,
        "group-create",
        "the answer is 400, \"No schema of this organisation",
        "the server",
    );
    place.plumm(&["org", "deactivate", "acme"]).succeeds();
    let ran = check(&url, &token, &[]);
    fails(&ran, "credentials", "the answer is 403, \"Provisioning is not activated", "the server");
    assert!(ran.out.contains("plumm org activate"), "{}", ran.out);
    let read = place.json(&["token", "create", "acme", "--scope", "read"]);
    place.plumm(&["org", "activate", "acme"]).succeeds();
    let ran = check(&url, read["token"].as_str().unwrap(), &[]);
    fails(&ran, "create", "the answer is 403", "the server knows the token");
}

#[test]
fn a_server_that_asks_to_wait_for_too_long_or_without_a_number_is_told() {
    let waiting = |retry_after: &'static str| {
        Stub::new(move |_, _| {
            let reply = Reply::of(429, "application/scim+json", "{}");
            Some(reply.with("Retry-After", retry_after))
        })
    };
    let ran = waiting("3600").check(&[]);
    let seen = "the server asks to wait 3600 seconds, and this check waits 120 at most";
    fails(&ran, "credentials", seen, "try again later");
    let ran = waiting("0").check(&[]);
    fails(&ran, "credentials", "the server asked to wait 6 times for one request", "let it take");
}

/// Certificates of an authority of the test's own.
struct Authority {
    root: String,
    between: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let params = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let [root_key, key] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let (root, between) = (params("Root"), params("Between"));
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(root, root_key);
        let between_pem = between.signed_by(&key, &root).unwrap().pem();
        Authority { root: root_pem, between: between_pem, issuer: Issuer::new(between, key) }
    }

    /// A certificate for this name that ends in so many days, and its key.
    fn issue(&self, name: &str, days: i64) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let now = plumm::clock::Clock::System.now().milliseconds();
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(now);
        let day = Duration::from_secs(24 * 60 * 60);
        params.not_before = now - day * 400;
        let far = day * u32::try_from(days.abs()).unwrap();
        params.not_after = if days < 0 { now - far } else { now + far };
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key)
    }
}

/// A server that shows this chain, and speaks no further. Its port.
fn tls_stub(chain: &str, key: &KeyPair) -> u16 {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client goes away when it has seen enough.
            let _ = tls.complete_io(&mut tcp);
            let _ = tls.complete_io(&mut tcp);
        }
    });
    port
}

#[test]
fn a_certificate_that_no_provider_trusts_is_told() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &authority.root).unwrap();
    let ca = ca.to_str().unwrap();
    let Authority { between, .. } = &authority;
    let (own, key) = authority.issue("localhost", 90);
    let (old, old_key) = authority.issue("localhost", -3);
    let (other, other_key) = authority.issue("scim.example.com", 90);
    let alone = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (chain, key, seen, advice) in [
        (format!("{old}{between}"), &old_key, "its certificate has expired on 20", "renew it"),
        (
            own.clone(),
            &key,
            "its chain is incomplete, or of a private authority: the server shows its own",
            "give the server the file with the whole chain",
        ),
        (
            format!("{own}{}", authority.root),
            &key,
            "its chain is incomplete: the certificate of CN=Between must follow",
            "give the server the file with the whole chain, in order",
        ),
        (
            format!("{other}{between}"),
            &other_key,
            "its certificate is for scim.example.com, and not for localhost",
            "get one for localhost",
        ),
        (
            alone.cert.pem(),
            &alone.signing_key,
            "its certificate is self-signed",
            "get one of a public authority",
        ),
    ] {
        let url = format!("https://localhost:{}/scim/v2", tls_stub(&chain, key));
        let ran = check(&url, "plm_a", &["--ca", ca]);
        fails(&ran, "certificate", seen, advice);
        assert!(ran.out.contains("note: the authorities are those of"), "{}", ran.out);
        assert!(ran.out.contains(" 6  credentials    skipped  it needs step 5 (certificate)"));
    }
    // By the public authorities it is nobody's, whole as it is.
    let url = format!("https://localhost:{}/scim/v2", tls_stub(&format!("{own}{between}"), &key));
    let ran = check(&url, "plm_a", &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains(" 5  certificate    FAILED"), "{}", ran.out);
    // What speaks no TLS at all.
    let stub = Stub::new(|_, _| None);
    let url = stub.url.replace("http://", "https://");
    fails(&check(&url, "plm_a", &["--ca", ca, "--timeout", "2"]), "certificate", "", "");
}

#[test]
fn plumm_under_tls_passes_with_its_authority() {
    let (authority, place) = (Authority::new(), Place::with_acme());
    let (own, key) = authority.issue("localhost", 10);
    let write = |name: &str, text: &str| fs::write(place.folder.path().join(name), text).unwrap();
    write("c.pem", &format!("{own}{}", authority.between));
    write("k.pem", &key.serialize_pem());
    write("ca.pem", &authority.root);
    let serving = place.serve(&["--tls-cert", "c.pem", "--tls-key", "k.pem"]);
    let port = serving.url.rsplit_once(':').unwrap().1;
    let url = format!("https://localhost:{port}/scim/v2");
    let ran = run(command(&place, &url, &place.token(), &["--ca", "ca.pem"]));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(ran.out.contains(" 5  certificate    ok       for localhost, until 20"), "{}", ran.out);
    assert!(ran.out.contains("note: its certificate ends soon"), "{}", ran.out);
}
