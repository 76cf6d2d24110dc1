//! What an operator types, and what the real program answers: words, exit codes, JSON, files.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Folder;
use crate::tls::{self, Client};

pub const PLUMM: &str = env!("CARGO_BIN_EXE_plumm");
/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
const PUSH_USER: &str = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName":"Mara.Novak@example.com","name":{"givenName":"Mara","familyName":"Novak"},
    "emails":[{"primary":true,"value":"mara.novak@example.com"}],"active":true}"#;

/// A folder of a test's own, with the program to be run in it.
pub struct Place {
    pub folder: Folder,
}

/// What a command answered.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: Folder::new() }
    }

    /// A place with the activated organisation acme.
    pub fn with_acme() -> Place {
        let place = Place::new();
        place.plumm(&["org", "create", "acme", "--activate"]).succeeds();
        place
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PLUMM);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PLUMM_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.folder.path()).env("PLUMM_LOG", "warn");
        // That of the host does not count.
        command.env("PLUMM_ENV_FILE", "");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn plumm(&self, args: &[&str]) -> Run {
        run(self.command(args))
    }

    /// The JSON value that a command prints.
    pub fn json(&self, args: &[&str]) -> Value {
        let all = [args, &["--json"]].concat();
        serde_json::from_str(self.plumm(&all).succeeds()).unwrap()
    }

    /// A running server on a port of its own.
    pub fn serve(&self, args: &[&str]) -> Serving {
        let all = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        Serving::start(self.command(&all))
    }

    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// A token of acme.
    pub fn token(&self) -> String {
        text(&self.json(&["token", "create", "acme"])["token"])
    }
}

impl Run {
    #[track_caller]
    pub fn succeeds(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.err, "");
        &self.out
    }

    /// Exit code 1, with this sentence alone on standard error.
    #[track_caller]
    pub fn fails(&self, sentence: &str) {
        assert_eq!(self.err, format!("error: {sentence}\n"));
        assert_eq!((self.code, self.out.as_str()), (Some(1), ""));
    }

    /// Exit code 2, with this sentence and this proposal on standard error.
    #[track_caller]
    pub fn is_misuse(&self, sentence: &str, proposal: &str) {
        assert_eq!(self.err, format!("error: {sentence}\n\nTry: {proposal}\n"));
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""));
    }
}

/// A server at work; killed when the test ends before it does.
pub struct Serving {
    pub child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    pub url: String,
    out: BufReader<ChildStdout>,
}

impl Serving {
    /// A server that a command has started.
    pub fn start(command: Command) -> Serving {
        Serving::start_with(command, &[("PLUMM_LOG", "info")])
    }

    /// The same with these variables of the environment.
    pub fn start_with(mut command: Command, variables: &[(&str, &str)]) -> Serving {
        let mut child = command.envs(variables.iter().copied()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut serving = Serving { child, log, seen: Vec::new(), url: String::new(), out };
        let line = serving.wait_for("listening on ");
        // In a line of JSON, its string ends there.
        let url = line.split_once("listening on ").unwrap().1.split('"').next();
        serving.url = url.unwrap().to_owned();
        serving
    }

    /// The first log line with this text.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        if let Some(it) = self.seen.iter().find(|it| it.contains(text)) {
            return it.clone();
        }
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no `{text}` in {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.out.read_line(&mut line).unwrap() > 0, "it prints nothing more");
        line
    }

    /// The lines of its log that were waited for, and those before.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// The status that Okta's *Test API Credentials* gets with this token.
    pub fn test_credentials(&self, token: &str) -> u16 {
        self.get("/scim/v2/Users?startIndex=1&count=2", token).0
    }

    pub fn get(&self, target: &str, token: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = ureq::Agent::new_with_config(config.timeout_global(Some(PATIENCE)).build());
        let request = agent.get(format!("{}{target}", self.url));
        let mut response =
            request.header("Authorization", format!("Bearer {token}")).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    pub fn send(&self, method: &str, target: &str, token: &str, body: &str) -> (u16, Value) {
        send(&self.url, method, target, token, body)
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Ends the server in an orderly way; returns its exit code and what it printed.
    pub fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let code = self.child.wait().unwrap().code();
        let mut printed = String::new();
        self.out.read_to_string(&mut printed).unwrap();
        (code, printed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request to a server at this URL; several threads may send at once.
pub fn send(url: &str, method: &str, target: &str, token: &str, body: &str) -> (u16, Value) {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent = ureq::Agent::new_with_config(config.timeout_global(Some(PATIENCE)).build());
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{url}{target}"))
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/scim+json")
        .body(body.to_owned())
        .unwrap();
    let mut response = agent.run(request).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
}

pub fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The lines of a log, as they come.
fn lines(log: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[track_caller]
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn an_organisation_is_created_without_provisioning_and_then_activated() {
    let place = Place::new();
    let out = place.plumm(&["org", "create", "  Acme & Co "]);
    assert_eq!(
        out.succeeds(),
        "Organisation Acme & Co is created. Provisioning stays off until it is activated.\n\n\
         Next:\n  plumm org activate 'Acme & Co'\n  plumm token create 'Acme & Co'\n"
    );
    let out = place.plumm(&["org", "activate", "acme & co"]);
    assert_eq!(out.succeeds(), "Organisation Acme & Co is activated.\n");
    let out = place.plumm(&["org", "activate", "acme & co"]);
    assert_eq!(out.succeeds(), "Organisation Acme & Co was activated already.\n");
    let out = place.plumm(&["org", "deactivate", "acme & co"]);
    assert_eq!(
        out.succeeds(),
        "Organisation Acme & Co is deactivated: from now on provisioning requests with its tokens \
         are refused.\n"
    );
    let again = place.plumm(&["org", "create", "ACME & CO"]);
    again.fails(
        "there is already an organisation Acme & Co: choose another name, or change it with \
         `plumm org set 'Acme & Co'`",
    );
}

#[test]
fn only_given_flags_change_an_organisation() {
    let place = Place::new();
    let created = place.json(&["org", "create", "acme", "--username-format", "any"]);
    let known =
        ["active", "created", "identity_changes", "name", "rate", "strict", "username_format"];
    assert_eq!(keys(&created), known);
    assert_eq!(
        (&created["active"], &created["username_format"], &created["identity_changes"]),
        (&json!(false), &json!("any"), &json!("refuse"))
    );
    let set = place.json(&["org", "set", "acme", "--identity-changes", "allow"]);
    assert_eq!(
        (&set["active"], &set["username_format"], &set["identity_changes"]),
        (&json!(false), &json!("any"), &json!("allow"))
    );
    let out = place.plumm(&["org", "set", "acme", "--activate"]);
    assert_eq!(
        out.succeeds(),
        "Organisation acme is activated. Username format: any. Identity changes: allow. \
         Strict: off. Rate: 6000000 requests a minute.\n"
    );
    let set = place.json(&["org", "set", "acme", "--strict", "on"]);
    assert_eq!((&set["strict"], &set["username_format"]), (&json!(true), &json!("any")));
    assert_eq!(place.json(&["org", "create", "b", "--strict", "on"])["strict"], true);
    assert_eq!(place.json(&["org", "set", "b", "--strict", "off"])["strict"], false);
    place.plumm(&["org", "set", "b", "--strict", "yes"]).is_misuse(
        "invalid value 'yes' for '--strict <on|off>': it must be on or off",
        "plumm org set --help",
    );
    let set = place.json(&["org", "set", "b", "--rate", "600"]);
    assert_eq!((&set["rate"], &set["strict"]), (&json!(600), &json!(false)));
    assert_eq!(place.json(&["org", "set", "b", "--strict", "off"])["rate"], 600);
    for bad in ["0", "-1", "100000001", "default", "1.5"] {
        place.plumm(&["org", "set", "b", "--rate", bad]).is_misuse(
            &format!(
                "invalid value '{bad}' for '--rate <N>': it must be a number of requests a minute \
                 from 1 to 100000000"
            ),
            "plumm org set --help",
        );
    }
    let listed = place.json(&["org", "list"]);
    assert_eq!((&listed[0]["rate"], &listed[1]["rate"]), (&json!(6_000_000), &json!(600)));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["identity_changes"], "allow");
    assert_eq!((&listed[0]["strict"], &listed[1]["strict"]), (&json!(true), &json!(false)));
    place.plumm(&["org", "set", "acme"]).is_misuse(
        "nothing to change: give --activate, --username-format, --identity-changes, --strict or \
         --rate",
        "plumm org set acme --identity-changes allow",
    );
}

#[test]
fn organisations_are_listed_in_a_table() {
    let place = Place::with_acme();
    place.plumm(&["org", "create", "Zürich AG"]).succeeds();
    let out = place.plumm(&["org", "list"]);
    let rows: Vec<&str> = out.succeeds().lines().collect();
    let head = "NAME       ACTIVATED  USERNAME FORMAT  IDENTITY CHANGES  STRICT  RATE     CREATED";
    assert_eq!(rows[0], head);
    for (row, start) in rows[1..].iter().zip([
        "acme       yes        email            refuse            off     6000000  2",
        "Zürich AG  no         email            refuse            off     6000000  2",
    ]) {
        assert!(row.starts_with(start), "{row}");
    }
}

#[test]
fn schemas_are_registered_listed_replaced_and_removed() {
    let place = Place::with_acme();
    let file = |text: &str| fs::write(place.folder.path().join("badge.json"), text).unwrap();
    let urn = "urn:example:scim:2.0:User";
    let out = place.plumm(&["schema", "list", "acme"]);
    let expected = "Organisation acme has no schema of its own. To register one:\n  \
                    plumm schema add acme FILE\n";
    assert_eq!(out.succeeds(), expected);
    file(&json!({"id": urn, "attributes": [{"name": "badge"}]}).to_string());
    let out = place.plumm(&["schema", "add", "ACME", "badge.json"]);
    let expected = "Schema urn:example:scim:2.0:User is registered for organisation acme: it \
                    extends User with 1 attribute.\n";
    assert_eq!(out.succeeds(), expected);
    file(&json!({"id": urn, "attributes": [{"name": "badge"}, {"name": "desk"}]}).to_string());
    let out = place.plumm(&["schema", "add", "acme", "badge.json"]);
    let expected = "Schema urn:example:scim:2.0:User of organisation acme is replaced: it has 2 \
                    attributes now, and extends User.\n";
    assert_eq!(out.succeeds(), expected);
    let again = &["schema", "add", "acme", "badge.json", "--resource-type", "group"];
    let again = place.json(again);
    let known = ["created", "document", "org", "replaced", "resource_type", "urn"];
    assert_eq!(keys(&again), known);
    assert_eq!((&again["resource_type"], &again["replaced"]), (&json!("Group"), &json!(true)));
    let listed = place.json(&["schema", "list", "acme"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["document"]["attributes"][1]["mutability"], "readWrite");
    let out = place.plumm(&["schema", "list", "acme"]);
    let rows: Vec<&str> = out.succeeds().lines().collect();
    assert_eq!(rows[0], "URN                        EXTENDS  ATTRIBUTES  CREATED");
    assert!(rows[1].starts_with("urn:example:scim:2.0:User  Group    2           2"));
    let out = place.plumm(&["schema", "remove", "acme", &urn.to_uppercase()]);
    let expected = "Schema urn:example:scim:2.0:User of organisation acme is removed. What accounts \
                    have of it stays, and is answered as before.\n";
    assert_eq!(out.succeeds(), expected);
    place.plumm(&["schema", "remove", "acme", urn]).fails(
        "organisation acme has no schema urn:example:scim:2.0:User: `plumm schema list acme` shows \
         those it has",
    );
}

#[test]
fn a_schema_that_cannot_be_registered_is_refused_with_its_fault() {
    let place = Place::with_acme();
    let add = || place.plumm(&["schema", "add", "acme", "s.json"]);
    add().fails("the file s.json cannot be read: No such file or directory (os error 2)");
    let file = |text: &str| fs::write(place.folder.path().join("s.json"), text).unwrap();
    fs::write(place.folder.path().join("s.json"), b"\xff").unwrap();
    add().fails("the file s.json cannot be read: it is not UTF-8 text");
    file(&"ü".repeat(40_000));
    add().fails("s.json is no schema to register: it is longer than 64 KiB");
    file("{}");
    add()
        .fails("s.json is no schema to register: it has no \"id\", which is the URN of the schema");
    file(r#"{"id": "urn:a:b", "attributes": [{"name": "a", "type": "text"}]}"#);
    add().fails(
        "s.json is no schema to register: the attribute \"a\" has the type \"text\"; it must be \
         string, boolean, decimal, integer, dateTime, binary, reference, complex",
    );
    file(r#"{"id": "urn:a:b", "attributes": [{"name": "a", "name": "b"}]}"#);
    add().fails(
        "s.json is no schema to register: in it \"attributes[0].name\" stands twice; give it once",
    );
    file(r#"{"id": "urn:a:b", "attributes": [{"name": "a"}], "Id": "urn:a:c"}"#);
    add().fails(
        "s.json is no schema to register: in it \"id\" stands twice, as \"id\" and as \"Id\", and \
         letter case makes no difference; give it once",
    );
    file(r#"{"id": "urn:a:b", "attributes": [{"name": "a"}]}"#);
    place.plumm(&["schema", "add", "acme", "s.json", "--resource-type", "Device"]).is_misuse(
        "organisation acme has no resource type Device: --resource-type is one of User, Group",
        "plumm resource-type list acme",
    );
    place
        .plumm(&["schema", "list", "acm"])
        .fails("there is no organisation acm: the only one here is acme");
}

#[test]
fn a_running_server_notices_a_schema_that_a_command_registers() {
    let place = Place::with_acme();
    let token = place.token();
    let serving = place.serve(&[]);
    let schema = json!({"id": "urn:example:1.0:User", "attributes": [{"name": "badge"}]});
    fs::write(place.folder.path().join("s.json"), schema.to_string()).unwrap();
    let status = || serving.get("/scim/v2/Schemas/urn:example:1.0:User", &token).0;
    assert_eq!(status(), 404);
    place.plumm(&["schema", "add", "acme", "s.json"]).succeeds();
    assert_eq!(status(), 200);
    place.plumm(&["schema", "remove", "acme", "urn:example:1.0:User"]).succeeds();
    assert_eq!(status(), 404);
}

#[test]
fn an_unknown_organisation_is_answered_with_those_there_are() {
    let place = Place::with_acme();
    let sentence = "there is no organisation acm: the only one here is acme";
    place.plumm(&["org", "activate", "acm"]).fails(sentence);
    place.plumm(&["token", "create", "acm"]).fails(sentence);
    place.plumm(&["token", "list", "acm"]).fails(sentence);
    place.plumm(&["user", "list", "acm"]).fails(sentence);
    place.plumm(&["org", "create", "beta"]).succeeds();
    let sentence = "there is no organisation acm: those here are acme, beta";
    place.plumm(&["user", "show", "acm", "mara"]).fails(sentence);
}

#[test]
fn a_misused_command_says_what_was_wrong_and_what_to_try() {
    let place = Place::new();
    place.plumm(&["org", "create"]).is_misuse(
        "the following required arguments were not provided:\n  <NAME>\n\n\
         Usage: plumm org create <NAME>",
        "plumm org create --help",
    );
    place.plumm(&["org", "create", " "]).is_misuse(
        "invalid value ' ' for '<NAME>': a name has 1 to 200 characters",
        "plumm org create --help",
    );
    let long = "x".repeat(201);
    place.plumm(&["org", "create", &long]).is_misuse(
        &format!("invalid value '{long}' for '<NAME>': it is longer than 200 characters"),
        "plumm org create --help",
    );
    place.plumm(&["org", "create", "a\nb"]).is_misuse(
        "invalid value 'a\nb' for '<NAME>': it contains a line break or another control character",
        "plumm org create --help",
    );
    place.plumm(&["org", "create", "acme", "--username-format", "x"]).is_misuse(
        "invalid value 'x' for '--username-format <FORMAT>'\n  [possible values: email, any]",
        "plumm org create --help",
    );
    place.plumm(&["org", "create", "--", "--json"]).is_misuse(
        "invalid value '--json' for '<NAME>': a name does not begin with a hyphen, as flags do",
        "plumm org create --help",
    );
    for days in ["0", "3651", "-1", "soon"] {
        let sentence = format!(
            "invalid value '{days}' for '--expires <DAYS>': it must be a number of days from 1 to \
             3650"
        );
        let args = ["token", "create", "acme", "--expires", days];
        place.plumm(&args).is_misuse(&sentence, "plumm token create --help");
    }
    let ran = place.plumm(&[]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.ends_with("\n\nTry: plumm --help\n"), "{ran:?}");
    assert_eq!(place.files(), [""; 0], "a misused command makes no file");
}

#[test]
fn a_misspelt_log_level_is_said_and_does_not_silence_the_log() {
    let place = Place::new();
    for (level, warned) in [("loud", true), ("info", false), ("", false), ("ERROR", false)] {
        let mut command = place.command(&["org", "list", "--db", "none.db"]);
        command.env("PLUMM_LOG", level);
        let ran = run(command);
        assert_eq!(ran.err.contains("PLUMM_LOG is none of error, warn"), warned, "{ran:?}");
    }
}

#[test]
fn serve_refuses_what_cannot_be_served() {
    let place = Place::new();
    let check = |args: &[&str], sentence: &str| {
        let args = [&["serve"], args].concat();
        place.plumm(&args).is_misuse(sentence, "plumm serve --help");
    };
    check(
        &["--listen", "localhost:8080"],
        "invalid value 'localhost:8080' for '--listen <ADDR:PORT>': it must be an IP address with \
         a port, such as 127.0.0.1:8080 or [::1]:8080",
    );
    check(
        &["--public-url", "scim.example.com"],
        "invalid value 'scim.example.com' for '--public-url <URL>': it must begin with https:// or \
         http://",
    );
    check(
        &["--public-url", "https://scim.example.com/scim/v2/"],
        "invalid value 'https://scim.example.com/scim/v2/' for '--public-url <URL>': leave \
         /scim/v2 out: plumm adds it",
    );
    for days in ["0", "-1", "3651", "ten"] {
        let sentence = format!(
            "invalid value '{days}' for '--log-days <N>': it must be a number of days from 1 to 3650"
        );
        check(&["--log-days", days], &sentence);
    }
    place.plumm(&["serve", "--listen", "0.0.0.0:8080"]).is_misuse(
        "plain HTTP on 0.0.0.0:8080 would carry API tokens across the network where others can \
         read them: give a certificate with --tls-cert and --tls-key, or listen on 127.0.0.1 \
         behind a reverse proxy that speaks TLS, or add --insecure-http if you trust the network",
        "plumm serve --listen 127.0.0.1:8080",
    );
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_port_in_use_is_refused() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    place.plumm(&["serve", "--init", "acme", "--listen", &address]).fails(&format!(
        "cannot listen on {address}: the port is in use, perhaps by another plumm: stop that \
         program, or choose another port with --listen ADDR:PORT"
    ));
    assert_eq!(place.json(&["org", "list"]), json!([]), "nothing was created");
}

#[test]
fn settings_come_from_the_environment_and_empty_ones_do_not_count() {
    let place = Place::new();
    let with = |settings: &[(&str, &str)]| {
        let mut command = place.command(&["serve"]);
        command.envs(settings.iter().copied());
        run(command)
    };
    let ran = with(&[("PLUMM_LISTEN", "0.0.0.0:1"), ("PLUMM_INIT", ""), ("PLUMM_PUBLIC_URL", "")]);
    assert!(ran.err.contains("plain HTTP on 0.0.0.0:1 would carry"), "{ran:?}");
    let ran = with(&[("PLUMM_LISTEN", "0.0.0.0:1"), ("PLUMM_INSECURE_HTTP", "false")]);
    assert!(ran.err.contains("plain HTTP on 0.0.0.0:1 would carry"), "{ran:?}");
    let ran = with(&[("PLUMM_LOG_DAYS", "none")]);
    assert!(ran.err.contains("'none' for '--log-days <N>'"), "{ran:?}");
    let ran = with(&[("PLUMM_TRUSTED_PROXIES", "10.0.0.0/8,proxy.example")]);
    assert!(
        ran.err.contains("'proxy.example' for '--trusted-proxies <CIDR[,CIDR...]>'"),
        "{ran:?}"
    );
    assert!(ran.err.contains("an address or a network, such as 10.0.0.5"), "{ran:?}");

    let mut command = place.command(&["org", "create", "acme"]);
    command.env("PLUMM_DB", "from_env.db");
    run(command).succeeds();
    let mut command = place.command(&["org", "create", "acme", "--db", "from_flag.db"]);
    command.env("PLUMM_DB", "from_env.db");
    let ran = run(command);
    assert!(ran.succeeds().contains("plumm --db from_flag.db org activate acme"), "{ran:?}");
    assert_eq!(place.files(), ["from_env.db", "from_flag.db"]);
}

#[test]
fn every_help_shows_an_example() {
    let place = Place::new();
    for command in [
        "",
        "serve",
        "status",
        "org create",
        "org set",
        "org activate",
        "org deactivate",
        "org list",
        "token create",
        "token list",
        "token revoke",
        "user list",
        "user show",
        "user purge",
        "user restore",
        "group list",
        "group purge",
        "group restore",
        "tls self-signed",
        "config",
        "healthcheck",
        "help",
    ] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let ran = place.plumm(&args);
        let help = ran.succeeds();
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains(&format!("\n  plumm {command}")), "{help}");
    }
}

#[test]
fn a_token_is_shown_once_with_a_sentence() {
    let place = Place::with_acme();
    let ran = place.plumm(&["token", "create", "acme", "--label", "Okta", "--expires", "30"]);
    let out = ran.succeeds();
    assert_eq!(out.matches("plm_").count(), 1, "{out}");
    assert!(out.contains("It is shown this once and cannot be shown again"), "{out}");
    assert!(out.contains(" of organisation acme, scope scim, expires 2"), "{out}");

    let made = place.json(&["token", "create", "acme", "--scope", "access"]);
    assert_eq!(keys(&made), ["expires", "id", "org", "scope", "token"]);
    let (id, token) = (text(&made["id"]), text(&made["token"]));
    assert!(token.starts_with(&format!("plm_{id}_")), "{made}");
    assert_eq!((&made["org"], &made["scope"]), (&json!("acme"), &json!("access")));
    assert_eq!(made["expires"], Value::Null);

    let listed = place.json(&["token", "list", "acme"]);
    let known = [
        "created",
        "expires",
        "expires_in_days",
        "expires_soon",
        "id",
        "label",
        "last_used",
        "org",
        "revoked",
        "scope",
        "state",
    ];
    assert_eq!(keys(&listed[0]), known);
    assert_eq!((&listed[0]["label"], &listed[1]["id"]), (&json!("Okta"), &json!(id)));
    assert!(listed[0]["expires"].as_str().unwrap().ends_with('Z'), "{listed}");
    let ran = place.plumm(&["token", "list", "acme"]);
    let secret = token.rsplit('_').next().unwrap();
    assert!(!ran.succeeds().contains(secret) && !listed.to_string().contains(secret));
}

#[test]
fn a_token_of_an_organisation_that_is_not_activated_comes_with_a_hint() {
    let place = Place::new();
    place.plumm(&["org", "create", "acme"]).succeeds();
    let ran = place.plumm(&["token", "create", "acme"]);
    assert!(ran.succeeds().ends_with(
        "\nProvisioning is not activated for acme yet. To switch it on:\n  plumm org activate \
         acme\n"
    ));
    let ran = place.plumm(&["token", "create", "acme", "--scope", "access"]);
    assert!(!ran.succeeds().contains("not activated"));
}

#[test]
fn a_token_is_revoked_by_its_id_or_by_itself_and_never_repeated() {
    let place = Place::with_acme();
    let (one, two) = (place.token(), place.token());
    let id = one.split('_').nth(1).unwrap();
    let ran = place.plumm(&["token", "revoke", id]);
    assert_eq!(
        ran.succeeds(),
        format!(
            "Token {id} of organisation acme is revoked: it is refused from the next request on.\n"
        )
    );
    let ran = place.plumm(&["token", "revoke", id]);
    assert!(ran.succeeds().contains("was revoked already, 2"), "{ran:?}");
    let revoked = place.json(&["token", "revoke", &two]);
    assert_eq!(revoked["state"], "revoked");
    place
        .plumm(&["token", "revoke", "plm_unknown_SeCrEt"])
        .fails("there is no token unknown: `plumm token list ORG` shows the ids");
}

#[test]
fn the_first_run_makes_everything_and_later_runs_change_nothing() {
    let place = Place::new();
    let mut serving = place.serve(&["--init", "acme"]);
    let url = serving.url.clone();
    let mut out = String::new();
    while !out.contains("startIndex") {
        assert!(serving.out.read_line(&mut out).unwrap() > 0, "{out}");
    }
    assert!(out.starts_with("Organisation acme is created and activated.\n"), "{out}");
    assert!(out.contains(&format!("\n  Base URL   {url}/scim/v2\n")), "{out}");
    assert_eq!(out.matches("plm_").count(), 1, "{out}");
    let token = out.split_whitespace().find(|it| it.starts_with("plm_")).unwrap();
    assert_eq!(serving.test_credentials(token), 200);
    assert_eq!(serving.stop("TERM").0, Some(0));

    let before = place.json(&["token", "list", "acme"]);
    let mut serving = place.serve(&["--init", "ACME"]);
    let line = serving.wait_for("organisation acme");
    assert!(
        line.ends_with(
            "organisation acme is there already: nothing was created or changed (another token: \
             plumm token create acme)"
        ),
        "{line}"
    );
    assert_eq!(serving.test_credentials(token), 200);
    assert_eq!(serving.stop("TERM"), (Some(0), String::new()));
    let after = place.json(&["token", "list", "acme"]);
    assert_eq!(before.as_array().unwrap().len(), 1);
    assert_eq!((&before[0]["id"], after.as_array().unwrap().len()), (&after[0]["id"], 1));
}

#[test]
fn the_first_run_prints_one_json_value() {
    let place = Place::new();
    let args = ["--init", "acme", "--json", "--public-url", "https://scim.example.com/"];
    let (code, out) = place.serve(&args).stop("INT");
    let first: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, keys(&first)), (Some(0), vec!["org", "token", "url"]));
    assert_eq!(first["url"], "https://scim.example.com/scim/v2");
    assert!(text(&first["token"]).starts_with("plm_"));

    let (_, out) = place.serve(&args).stop("INT");
    let later: Value = serde_json::from_str(&out).unwrap();
    let expected = json!({
        "org": "acme", "url": "https://scim.example.com/scim/v2", "token": null,
    });
    assert_eq!(later, expected);
}

#[test]
fn a_later_run_does_not_activate_what_support_has_deactivated() {
    let place = Place::new();
    place.plumm(&["org", "create", "acme"]).succeeds();
    let mut serving = place.serve(&["--init", "acme"]);
    serving.wait_for("provisioning is not activated for acme");
    let token = place.token();
    assert_eq!(serving.test_credentials(&token), 403);
    place.plumm(&["org", "activate", "acme"]).succeeds();
    assert_eq!(serving.test_credentials(&token), 200);
}

#[test]
fn a_server_without_an_organisation_says_how_to_make_one() {
    let place = Place::new();
    let mut serving = place.serve(&[]);
    serving.wait_for("there is no organisation yet; to make one: plumm org create NAME --activate");
}

#[test]
fn log_lines_carry_a_time_and_a_level() {
    let place = Place::new();
    let mut serving = place.serve(&[]);
    let line = serving.wait_for("listening on ");
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!(rest, format!("INFO  listening on {}", serving.url));
    assert!(time.len() == "2026-11-23T17:40:56.412Z".len() && time.ends_with('Z'), "{line}");
    assert!(!serving.url.ends_with(":0"), "the real port");
}

#[test]
fn a_server_warns_of_a_file_that_others_can_read() {
    let place = Place::with_acme();
    let file = place.folder.path().join("plumm.db");
    let mut serving = place.serve(&[]);
    serving.wait_for("listening on");
    assert!(!serving.seen.iter().any(|it| it.contains("chmod")), "{:?}", serving.seen);
    assert_eq!(serving.stop("TERM").0, Some(0));
    for (mode, words) in
        [(0o640, "mode 640: others on this host can read it"), (0o666, "change it")]
    {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let mut serving = place.serve(&[]);
        let line = serving.wait_for("chmod 600");
        assert!(line.contains(words) && line.contains("'./plumm.db'"), "{line}");
        assert_eq!(serving.stop("TERM").0, Some(0));
    }
}

#[test]
fn a_stopped_server_leaves_one_file_that_only_its_owner_can_read() {
    use std::os::unix::fs::PermissionsExt;
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let serving = place.serve(&["--init", "acme"]);
        let token = place.token();
        assert_eq!(serving.test_credentials(&token), 200);
        assert_eq!(serving.stop(signal).0, Some(0));
        assert_eq!(place.files(), ["plumm.db"]);
        let mode = fs::metadata(place.folder.database()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn commands_leave_one_file() {
    let place = Place::with_acme();
    assert_eq!(place.files(), ["plumm.db"]);
    place.plumm(&["org", "list"]).succeeds();
    place.plumm(&["token", "create", "acme"]).succeeds();
    place.plumm(&["user", "list", "acme"]).succeeds();
    assert_eq!(place.files(), ["plumm.db"]);
}

#[test]
fn commands_that_make_the_file_at_the_same_time_all_succeed() {
    for _ in 0..10 {
        let place = Place::new();
        let children: Vec<Child> = (0..6)
            .map(|i| place.command(&["org", "create", &format!("o{i}")]).spawn().unwrap())
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(place.json(&["org", "list"]).as_array().unwrap().len(), 6);
    }
}

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let second = ["serve", "--listen", "127.0.0.1:0"];
    let sentence = "./plumm.db is already served by another plumm: stop that one first";
    place.plumm(&second).fails(sentence);
    place.plumm(&second).fails(sentence);
    assert_eq!(serving.stop("TERM").0, Some(0));
    let third = place.serve(&[]);
    assert_eq!(third.stop("TERM").0, Some(0));
}

#[test]
fn commands_work_beside_a_running_server_and_count_at_its_next_request() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    assert_eq!(serving.test_credentials(&token), 200);
    assert_eq!(serving.test_credentials(&token), 200, "from the memory of verified tokens");

    place.plumm(&["org", "deactivate", "acme"]).succeeds();
    assert_eq!(serving.test_credentials(&token), 403);
    place.plumm(&["org", "activate", "acme"]).succeeds();
    assert_eq!(serving.test_credentials(&token), 200);

    place.plumm(&["token", "revoke", token.split('_').nth(1).unwrap()]).succeeds();
    assert_eq!(serving.test_credentials(&token), 401);
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn the_last_use_of_a_token_is_known_after_a_stop() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let made = place.json(&["token", "create", "acme"]);
    assert_eq!(serving.test_credentials(&text(&made["token"])), 200);
    assert_eq!(serving.stop("TERM").0, Some(0));
    let listed = place.json(&["token", "list", "acme"]);
    let rows = listed.as_array().unwrap();
    let row = rows.iter().find(|it| it["id"] == made["id"]).unwrap();
    assert!(row["last_used"].is_string(), "{listed}");
}

#[test]
fn a_user_is_shown_deleted_restored_and_purged() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let mara = "MARA.novak@example.com";
    let create = || serving.send("POST", "/scim/v2/Users", &token, PUSH_USER);
    let (status, made) = create();
    assert_eq!(status, 201, "{made}");
    let id = text(&made["id"]);
    let target = format!("/scim/v2/Users/{id}");

    // Listed and shown, by name in any letter case and by id.
    let listed = place.json(&["user", "list", "acme"]);
    let known = ["active", "created", "deleted", "displayName", "id", "lastModified", "userName"];
    assert_eq!(keys(&listed[0]), known);
    assert_eq!((&listed[0]["userName"], &listed[0]["active"]), (&made["userName"], &json!(true)));
    let ran = place.plumm(&["user", "list", "acme"]);
    assert!(ran.succeeds().contains(&format!("\nMara.Novak@example.com  active  {id}  2")));
    let shown = place.json(&["user", "show", "acme", mara]);
    assert_eq!(shown["name"], json!({ "givenName": "Mara", "familyName": "Novak" }));
    assert_eq!(shown["deleted"], Value::Null);
    assert_eq!(shown["meta"]["created"], made["meta"]["created"]);
    assert_eq!(place.json(&["user", "show", "acme", &id]), shown);
    assert_eq!(place.json(&["user", "list", "acme", "--inactive"]), json!([]));
    let named = format!("Mara.Novak@example.com (id {id})");
    place
        .plumm(&["user", "restore", "acme", mara])
        .fails(&format!("user {named} is not deleted: there is nothing to restore"));
    place.plumm(&["user", "show", "acme", "nobody"]).fails(
        "there is no user nobody in organisation acme: `plumm user list acme` lists its users, and \
         with --deleted those that were deleted",
    );

    // Deleted over SCIM: kept for support, and brought back as it was.
    assert_eq!(serving.send("DELETE", &target, &token, "").0, 204);
    assert_eq!(place.json(&["user", "list", "acme"]), json!([]));
    assert_eq!(place.json(&["user", "list", "acme", "--deleted"])[0]["id"], json!(id));
    assert!(place.json(&["user", "show", "acme", mara])["deleted"].is_string());
    let ran = place.plumm(&["user", "restore", "acme", mara]);
    let expected = format!("User {named} of organisation acme is restored, active.\n");
    assert_eq!(ran.succeeds(), expected);
    assert_eq!(serving.get(&target, &token).0, 200);

    // Taken by another account since: not restored, and not purged by a name that two have.
    assert_eq!(serving.send("DELETE", &target, &token, "").0, 204);
    let (status, second) = create();
    assert_eq!(status, 201, "{second}");
    let second_id = text(&second["id"]);
    place.plumm(&["user", "restore", "acme", mara]).fails(&format!(
        "user {named} cannot be restored: another account has taken the username since (id \
         {second_id}). If that one is the wrong one, erase it first with `plumm user purge acme \
         {second_id}`"
    ));
    place.plumm(&["user", "purge", "acme", mara, "--yes"]).fails(&format!(
        "two accounts of organisation acme have the username {mara}: one is present (id \
         {second_id}), one was deleted (id {id}). Name the one you mean by its id"
    ));

    // Purged only when asked for in earnest, and then for good.
    place.plumm(&["user", "purge", "acme", &id]).is_misuse(
        &format!(
            "this would erase {named} of organisation acme, deleted, for good: the account, all \
             its data, and what the log says of its values. Nothing brings it back. Nothing has \
             been erased yet"
        ),
        &format!("plumm user purge acme {id} --yes"),
    );
    assert_eq!(place.json(&["user", "list", "acme", "--deleted"])[0]["id"], json!(id));
    let purged = place.json(&["user", "purge", "acme", &id, "--yes"]);
    let expected = json!({ "id": id, "userName": "Mara.Novak@example.com", "purged": true });
    assert_eq!(purged, expected);
    let ran = place.plumm(&["user", "purge", "acme", &second_id, "--yes"]);
    assert_eq!(
        ran.succeeds(),
        format!("User Mara.Novak@example.com (id {second_id}) of organisation acme is erased.\n")
    );
    assert_eq!(serving.get(&format!("/scim/v2/Users/{second_id}"), &token).0, 404);
    assert_eq!(serving.stop("TERM").0, Some(0));
    for file in place.files() {
        let bytes = fs::read(place.folder.path().join(&file)).unwrap();
        let traces = bytes.windows(5).filter(|it| it.eq_ignore_ascii_case(b"novak")).count();
        assert_eq!(traces, 0, "the person is still in {file}");
    }
}

#[test]
fn every_deleted_account_of_a_username_can_be_purged_by_it() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (_, made) = serving.send("POST", "/scim/v2/Users", &token, PUSH_USER);
        ids.push(text(&made["id"]));
        let target = format!("/scim/v2/Users/{}", ids[ids.len() - 1]);
        assert_eq!(serving.send("DELETE", &target, &token, "").0, 204);
    }
    let purge = ["user", "purge", "acme", "mara.novak@example.com", "--yes"];
    let ran = place.plumm(&purge);
    assert_eq!(
        ran.succeeds(),
        format!(
            "User Mara.Novak@example.com (id {}) of organisation acme is erased.\nAn older, \
             deleted account of this username is still there (id {}): run the command again to \
             erase it too.\n",
            ids[1], ids[0]
        )
    );
    assert!(!place.plumm(&purge).succeeds().contains("still there"));
    assert_eq!(place.json(&["user", "list", "acme", "--deleted"]), json!([]));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let place = Place::with_acme();
    let unread = |args: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = place.command(args);
        command.stdout(writer);
        run(command)
    };
    unread(&["org", "list"]).succeeds();
    // A token that nobody has seen is another matter.
    let ran = unread(&["token", "create", "acme"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let sentence = "error: a token was made but could not be shown (Broken pipe (os error 32)): \
                    revoke it with `plumm token revoke ";
    assert!(ran.err.starts_with(sentence), "{ran:?}");
}

#[test]
fn a_second_signal_does_not_wait_for_an_orderly_end() {
    use std::io::Write;
    use std::net::TcpStream;
    let place = Place::new();
    let mut serving = place.serve(&[]);
    let address = serving.url.trim_start_matches("http://").to_owned();
    // A request that is begun and not finished keeps the server for a while.
    let mut slow = TcpStream::connect(address).unwrap();
    let head =
        "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue";
    slow.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    slow.read_exact(&mut [0; 12]).unwrap();
    serving.signal("TERM");
    serving.wait_for("SIGTERM received: finishing the requests in hand");
    serving.signal("TERM");
    assert_eq!(serving.child.wait().unwrap().code(), Some(1));
}

#[test]
fn files_that_are_no_database_are_named() {
    let place = Place::new();
    let check = |args: &[&str], sentence: &str| place.plumm(args).fails(sentence);
    let missing = "there is no database at ./plumm.db: name it with --db FILE or PLUMM_DB, or make \
                   one with `plumm serve --init NAME` or `plumm org create NAME`";
    check(&["org", "list"], missing);
    check(&["token", "create", "acme"], missing);
    check(&["user", "list", "acme"], missing);
    assert_eq!(place.files(), [""; 0]);

    fs::create_dir(place.folder.path().join("folder")).unwrap();
    check(&["--db", "folder", "org", "list"], "folder: is a folder, not a file");
    check(&["--db", "folder", "serve"], "folder: is a folder, not a file");

    let foreign = "foreign.db is not a plumm database: name another file with --db";
    let path = place.folder.path().join("foreign.db");
    fs::write(&path, "a letter to a friend, long enough to be more than a header. ".repeat(20))
        .unwrap();
    let before = fs::read(&path).unwrap();
    check(&["--db", "foreign.db", "org", "list"], foreign);
    check(&["--db", "foreign.db", "serve"], foreign);
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_file(&path).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE letter (text TEXT)").unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    check(&["--db", "foreign.db", "org", "create", "acme"], foreign);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(place.files(), ["folder", "foreign.db"]);
}

#[test]
fn a_database_of_a_newer_plumm_is_left_alone() {
    let place = Place::with_acme();
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    let known: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    let sentence = format!(
        "./plumm.db was written by a newer plumm (schema 1000, this program knows {known}): \
         install that version or restore an older backup"
    );
    place.plumm(&["org", "list"]).fails(&sentence);
    place.plumm(&["serve"]).fails(&sentence);
}

#[test]
fn the_status_says_what_runs_and_what_there_is() {
    let place = Place::with_acme();
    place.plumm(&["org", "create", "Zürich AG", "--rate", "60"]).succeeds();
    let before = fs::read(place.folder.database()).unwrap();
    let idle = place.json(&["status"]);
    let nothing = json!({
        "running": false, "pid": null, "url": null, "started": null, "certificate_expires": null,
        "acme": null
    });
    assert_eq!(idle["server"], nothing);
    assert_eq!(idle["database"]["path"], "./plumm.db");
    assert_eq!(idle["database"]["bytes"], before.len());
    let fresh = json!({
        "name": "acme", "active": true, "users": {"active": 0, "inactive": 0}, "groups": 0,
        "last_push": null, "last_refusal": null, "tokens": 0, "next_token_expiry": null, "webhooks": []
    });
    assert_eq!((&idle["orgs"][0], &idle["orgs"][1]["active"]), (&fresh, &json!(false)));
    assert_eq!(place.files(), ["plumm.db"]);
    assert_eq!(fs::read(place.folder.database()).unwrap(), before, "it only looks");
    let out = place.plumm(&["status"]);
    assert!(out.succeeds().starts_with("Server       not running\nDatabase     ./plumm.db, "));

    let serving = place.serve(&["--public-url", "https://scim.example.com"]);
    let token = place.token();
    let expiring = place.json(&["token", "create", "acme", "--expires", "30"]);
    place.json(&["token", "create", "acme", "--expires", "90"]);
    let mara = serving.send("POST", "/scim/v2/Users", &token, PUSH_USER);
    assert_eq!(mara.0, 201);
    let off = PUSH_USER.replace("ara.novak", "iro").replace("Mara.Novak", "miro");
    let off = off.replace("\"active\":true", "\"active\":false");
    let miro = serving.send("POST", "/scim/v2/Users", &token, &off);
    assert_eq!(miro.0, 201, "{miro:?}");
    let group = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"g"}"#;
    assert_eq!(serving.send("POST", "/scim/v2/Groups", &token, group).0, 201);
    let busy = place.json(&["status"]);
    assert_eq!(busy["server"]["running"], true);
    assert_eq!(busy["server"]["pid"], serving.child.id());
    assert_eq!(busy["server"]["url"], "https://scim.example.com/scim/v2");
    assert!(text(&busy["server"]["started"]).ends_with('Z'));
    let acme = &busy["orgs"][0];
    assert_eq!(acme["users"], json!({"active": 1, "inactive": 1}));
    assert_eq!((&acme["groups"], &acme["tokens"]), (&json!(1), &json!(3)));
    assert_eq!(acme["next_token_expiry"], expiring["expires"]);
    assert!(text(&acme["last_push"]) >= text(&mara.1["meta"]["created"]), "{acme}");
    let pushed = acme["last_push"].clone();
    // What support does is no push, and what is deleted does not count.
    let id = text(&miro.1["id"]);
    place.plumm(&["user", "purge", "acme", &id, "--yes"]).succeeds();
    let acme = &place.json(&["status"])["orgs"][0];
    assert_eq!(acme["users"], json!({"active": 1, "inactive": 0}));
    assert_eq!(acme["last_push"], pushed);
    let out = place.plumm(&["status"]);
    let lines: Vec<&str> = out.succeeds().lines().collect();
    assert!(
        lines[0].starts_with("Server       running at https://scim.example.com/scim/v2 since 2")
    );
    assert!(lines[5].starts_with("acme       yes        1       0         1       2"), "{lines:?}");
    assert_eq!(serving.stop("TERM").0, Some(0));
    assert_eq!(place.json(&["status"])["server"], nothing);
    assert_eq!(place.files(), ["plumm.db"]);
}

#[test]
fn the_status_of_a_server_that_was_killed_is_not_running() {
    let place = Place::new();
    let mut serving = place.serve(&["--init", "acme"]);
    assert_eq!(place.json(&["status"])["server"]["running"], true);
    let lock = place.folder.path().join("plumm.db-lock");
    assert!(fs::read_to_string(&lock).unwrap().contains(&serving.url));
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    assert!(lock.exists());
    let status = place.json(&["status"]);
    assert_eq!(
        (&status["server"]["running"], &status["server"]["url"]),
        (&json!(false), &Value::Null)
    );
    // Its successor does not speak with its words.
    let again = place.serve(&[]);
    assert_eq!(place.json(&["status"])["server"]["pid"], again.child.id());
}

#[test]
fn the_status_of_what_cannot_be_read_is_a_sentence() {
    let place = Place::new();
    let missing = place.plumm(&["status"]);
    assert_eq!((missing.code, place.files().len()), (Some(1), 0));
    assert!(missing.err.contains("there is no database at ./plumm.db"), "{missing:?}");
    place.plumm(&["org", "create", "acme"]).succeeds();
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    let known: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "user_version", known - 1).unwrap();
    drop(connection);
    let before = fs::read(place.folder.database()).unwrap();
    place.plumm(&["status"]).fails(&format!(
        "./plumm.db was written by an older plumm (schema {}, this program needs {known}): start \
         `plumm serve` of this version once, which brings it up to date",
        known - 1
    ));
    assert_eq!(fs::read(place.folder.database()).unwrap(), before);
    assert_eq!(place.files(), ["plumm.db"]);
}

#[test]
fn a_proxy_that_is_trusted_names_the_client_in_the_log_of_changes() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme", "--trusted-proxies", "127.0.0.1, 10.0.0.0/8"]);
    let token = place.token();
    let request = ureq::http::Request::builder()
        .method("POST")
        .uri(format!("{}/scim/v2/Users", serving.url))
        .header("Authorization", format!("Bearer {token}"))
        .header("X-Forwarded-For", "198.51.100.7, 10.0.0.3")
        .body(PUSH_USER)
        .unwrap();
    assert_eq!(ureq::Agent::new_with_defaults().run(request).unwrap().status(), 201);
    assert_eq!(serving.stop("TERM").0, Some(0));
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    let sql = "SELECT client FROM provisioning_log WHERE actor <> 'cli'";
    let client: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(client, "198.51.100.7");
}

#[test]
fn a_rate_that_a_command_sets_counts_from_the_next_request_on() {
    let place = Place::new();
    let serving = place.serve(&["--init", "acme"]);
    let token = place.token();
    place.plumm(&["org", "set", "acme", "--rate", "1"]).succeeds();
    assert_eq!([0; 3].map(|_| serving.test_credentials(&token)), [200, 429, 429]);
    place.plumm(&["org", "set", "acme", "--rate", "6000000"]).succeeds();
    assert_eq!([0; 3].map(|_| serving.test_credentials(&token)), [200; 3]);
}

/// The status of a request by a client that trusts this certificate file alone.
fn https_status(place: &Place, serving: &Serving, certificate: &str) -> Result<u16, String> {
    let pem = fs::read_to_string(place.folder.path().join(certificate)).unwrap();
    let address = serving.url.strip_prefix("https://").unwrap().parse().unwrap();
    let client = Client::connect(address, tls::trusting(&pem));
    client.map(|mut it| it.call(tls::GET).0).map_err(|it| it.to_string())
}

#[test]
fn a_self_signed_certificate_serves_whoever_trusts_it() {
    let place = Place::new();
    let made = place.plumm(&["tls", "self-signed"]);
    let text = made.succeeds();
    assert!(text.starts_with("plumm-cert.pem is the certificate for localhost, 127.0.0.1, ::1, "));
    assert!(text.contains("  plumm serve --tls-cert plumm-cert.pem --tls-key plumm-key.pem\n"));
    let path = |name: &str| place.folder.path().join(name);
    let mode = |name: &str| path(name).metadata().unwrap().mode() & 0o777;
    assert_eq!(mode("plumm-key.pem"), 0o600);
    let key = fs::read(path("plumm-key.pem")).unwrap();
    let again = |out: &[&str]| place.plumm(&[&["tls", "self-signed"], out].concat());
    let sentence = |file: &str| {
        format!(
            "{file} is there already and is not overwritten: move it away, or choose other files \
             with --out-cert and --out-key"
        )
    };
    again(&[]).fails(&sentence("plumm-key.pem"));
    again(&["--out-key", "other.pem"]).fails(&sentence("plumm-cert.pem"));
    assert_eq!(place.files(), ["plumm-cert.pem", "plumm-key.pem"]);
    assert_eq!(fs::read(path("plumm-key.pem")).unwrap(), key);
    again(&["--host", "https://a"]).is_misuse(
        "invalid value 'https://a' for '--host <NAME_OR_IP>': it must be a name such as \
         scim.example.com, or an IP address",
        "plumm tls self-signed --help",
    );
    let args = ["tls", "self-signed", "--host", "a.example", "--days", "20", "--out-cert", "c.pem"];
    let value = place.json(&[&args[..], &["--out-key", "k.pem"]].concat());
    assert_eq!(keys(&value), ["certificate", "expires", "hosts", "key", "sha256"]);
    assert_eq!(value["hosts"], json!(["a.example"]));

    let (cert, key) = ("plumm-cert.pem", "plumm-key.pem");
    let serving = place.serve(&["--init", "acme", "--tls-cert", cert, "--tls-key", key]);
    assert_eq!(https_status(&place, &serving, cert), Ok(200));
    let refused = https_status(&place, &serving, "c.pem").unwrap_err();
    assert!(refused.contains("UnknownIssuer") || refused.contains("NotValidForName"), "{refused}");
    let url = serving.url.clone();
    let (code, printed) = serving.stop("TERM");
    assert_eq!(code, Some(0));
    assert!(printed.contains(&format!("  Base URL   {url}/scim/v2\n")), "{printed}");
}

#[test]
fn a_renewed_certificate_is_taken_over_on_sighup_and_when_its_file_changes() {
    let place = Place::new();
    let make = |name: &str, days: &str| {
        let (cert, key) = (format!("{name}-cert.pem"), format!("{name}-key.pem"));
        let args = ["tls", "self-signed", "--days", days, "--out-cert", &cert, "--out-key", &key];
        text(&place.json(&args)["expires"])
    };
    make("plumm", "20");
    let (second, third) = (make("second", "200"), make("third", "300"));
    let path = |name: &str| place.folder.path().join(name);
    let copy = |from: &str, what: &str| {
        // In one step, as tools for renewal do it.
        fs::copy(path(&format!("{from}-{what}.pem")), path("next")).unwrap();
        fs::rename(path("next"), path(&format!("plumm-{what}.pem"))).unwrap();
    };
    fs::set_permissions(path("plumm-key.pem"), Permissions::from_mode(0o640)).unwrap();
    let args = ["--tls-cert", "plumm-cert.pem", "--tls-key", "plumm-key.pem"];
    let mut serving = place.serve(&args);
    let early = &serving.seen;
    assert!(early.iter().any(|it| it.contains("WARN") && it.contains("expires at")), "{early:?}");
    assert!(early.iter().any(|it| it.contains("WARN") && it.contains("chmod 600")), "{early:?}");

    for what in ["cert", "key"] {
        copy("second", what);
    }
    serving.signal("HUP");
    serving.wait_for(&format!("is in use, until {second}"));
    assert_eq!(https_status(&place, &serving, "second-cert.pem"), Ok(200));

    copy("third", "cert");
    let line = serving.wait_for("the TLS certificate cannot be renewed");
    assert!(line.contains("ERROR") && line.contains("does not belong"), "{line}");
    assert_eq!(https_status(&place, &serving, "second-cert.pem"), Ok(200));
    copy("third", "key");
    serving.wait_for(&format!("is in use, until {third}"));
    assert_eq!(https_status(&place, &serving, "third-cert.pem"), Ok(200));
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn sighup_does_not_end_a_server_without_tls() {
    let place = Place::with_acme();
    let token = place.token();
    let mut serving = place.serve(&[]);
    serving.signal("HUP");
    serving.wait_for("SIGHUP received");
    assert_eq!(serving.test_credentials(&token), 200);
    assert_eq!(serving.stop("TERM").0, Some(0));
}

#[test]
fn serve_takes_certificate_and_key_together_and_says_what_is_wrong_with_them() {
    let place = Place::new();
    for (given, missing) in [("--tls-cert", "--tls-key"), ("--tls-key", "--tls-cert")] {
        let ran = place.plumm(&["serve", given, "x.pem"]);
        let sentence =
            format!("the following required arguments were not provided:\n  {missing} <PEM>");
        assert!(ran.err.contains(&sentence), "{ran:?}");
        assert_eq!(ran.code, Some(2));
    }
    let mut command = place.command(&["serve"]);
    command.envs([("PLUMM_TLS_CERT", "no.pem"), ("PLUMM_TLS_KEY", "")]);
    let ran = run(command);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let mut command = place.command(&["serve"]);
    command.envs([("PLUMM_TLS_CERT", "no.pem"), ("PLUMM_TLS_KEY", "no.pem")]);
    run(command)
        .fails("the certificate no.pem cannot be read: there is no such file: --tls-cert names it");
    place.plumm(&["tls", "self-signed"]).succeeds();
    let files = ["--tls-cert", "plumm-key.pem", "--tls-key", "plumm-cert.pem"];
    place.plumm(&[&["serve"], &files[..]].concat()).fails(
        "plumm-key.pem holds a key and no certificate: --tls-cert names the certificate, --tls-key \
         the key",
    );
    assert_eq!(place.files(), ["plumm-cert.pem", "plumm-key.pem"], "no database was made");
    // Under TLS any address may be listened on; this one belongs to no host.
    let files = ["--tls-cert", "plumm-cert.pem", "--tls-key", "plumm-key.pem"];
    let ran = place.plumm(&[&["serve", "--listen", "192.0.2.1:8443"], &files[..]].concat());
    assert!(ran.err.contains("this host does not have the address"), "{ran:?}");
}
