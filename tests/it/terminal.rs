//! What commands and the log print of names that others have chosen: a terminal shows them, and
//! neither obeys nor is deceived.

use std::fs;

use plumm::cli::logging::Format;
use serde_json::{Value, json};

use crate::cli::{Place, Run, text};

/// Clears the screen, begins a line, turns the direction around, and has parts without width.
const EVIL: &str = "eve\u{1b}[2J\u{9b}31m\u{7f}\nroot\u{202e}\u{2066}\u{200b}\u{2028}x";
/// The same as it is printed.
const SHOWN: &str = "eve\\u{1b}[2J\\u{9b}31m\\u{7f}\\nroot\\u{202e}\\u{2066}\\u{200b}\\u{2028}x";
/// The same without what no label, name or header may hold.
const BIDI: &str = "acme\u{202e}\u{200f}\u{2069}";
const BIDI_SHOWN: &str = "acme\\u{202e}\\u{200f}\\u{2069}";

/// Nothing but what is seen, and the line breaks of the text itself.
#[track_caller]
fn is_clean(run: &Run) {
    for text in [&run.out, &run.err] {
        let clean = |it: char| {
            it == '\n'
                || !it.is_control()
                    && !"\u{200b}\u{200f}\u{2028}\u{202e}\u{2066}\u{2069}".contains(it)
        };
        assert!(text.chars().all(clean), "{text:?}");
    }
}

#[test]
fn no_command_lets_a_terminal_obey_a_name() {
    let place = Place::new();
    let serving = place.serve(&["--init", BIDI]);
    place.plumm(&["org", "set", BIDI, "--username-format", "any"]).succeeds();
    let token = text(&place.json(&["token", "create", BIDI, "--label", BIDI])["token"]);
    let body = json!({ "userName": EVIL, "displayName": EVIL, "active": true });
    let (status, made) = serving.send("POST", "/scim/v2/Users", &token, &body.to_string());
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["userName"], EVIL);
    let id = text(&made["id"]);
    let (status, refused) = serving.send("POST", "/scim/v2/Users", &token, &body.to_string());
    assert_eq!(status, 409, "{refused}");
    is_clean(&Run { code: None, out: text(&refused["detail"]), err: String::new() });

    let answers = |args: &[&str], code: i32, words: &str| {
        let ran = place.plumm(args);
        is_clean(&ran);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains(words), "{said}");
        let json = place.plumm(&[args, &["--json"]].concat());
        is_clean(&json);
        if code == 0 {
            // One line, and valid JSON that means what it meant.
            assert_eq!(json.out.lines().count(), 1, "{json:?}");
            return serde_json::from_str::<Value>(&json.out).unwrap();
        }
        Value::Null
    };
    assert_eq!(answers(&["user", "list", BIDI], 0, SHOWN)[0]["userName"], EVIL);
    assert_eq!(answers(&["user", "show", BIDI, EVIL], 0, SHOWN)["displayName"], EVIL);
    // The document that it shows is JSON, too.
    let shown = place.plumm(&["user", "show", BIDI, &id]);
    let document = &shown.out[shown.out.find("{\n").unwrap()..];
    assert_eq!(serde_json::from_str::<Value>(document).unwrap()["userName"], EVIL);
    answers(&["user", "show", BIDI, "nobody\u{1b}\n"], 1, "nobody\\u{1b}\\n in organisation");
    answers(&["user", "restore", BIDI, EVIL], 1, SHOWN);
    answers(&["user", "purge", BIDI, EVIL], 2, SHOWN);
    answers(&["user", "purge", BIDI, EVIL], 2, "$'eve\\033[2J");
    assert_eq!(answers(&["org", "list"], 0, BIDI_SHOWN)[0]["name"], BIDI);
    answers(&["org", "create", BIDI], 1, BIDI_SHOWN);
    answers(&["org", "set", BIDI, "--rate", "1\u{202e}"], 2, "1\\u{202e}");
    answers(&["org", "set", BIDI], 2, "org set $'acme\\342\\200\\256");
    answers(&["org", "deactivate", BIDI], 0, BIDI_SHOWN);
    answers(&["org", "activate", BIDI], 0, BIDI_SHOWN);
    place.plumm(&["org", "create", "two"]).succeeds();
    answers(&["token", "list", "tw\u{202e}"], 1, "tw\\u{202e}: those here are acme\\u{202e}");
    let tokens = answers(&["token", "list", BIDI], 0, BIDI_SHOWN);
    assert!(tokens.as_array().unwrap().iter().any(|it| it["label"] == BIDI), "{tokens}");
    answers(&["token", "revoke", "x\u{1b}[0m"], 1, "x\\u{1b}[0m");
    answers(&["status"], 0, BIDI_SHOWN);
    answers(&["schema", "list", BIDI], 0, BIDI_SHOWN);
    answers(&["schema", "remove", BIDI, EVIL], 1, SHOWN);
    answers(&["schema", "add", BIDI, EVIL], 1, SHOWN);
    answers(&["resource-type", "list", BIDI], 0, BIDI_SHOWN);
    answers(&["resource-type", "add", BIDI, EVIL], 1, SHOWN);
    answers(&["resource-type", "remove", BIDI, EVIL], 1, SHOWN);
    answers(&["check"], 0, BIDI_SHOWN);
    answers(&["check", EVIL], 1, SHOWN);
    answers(&["user", EVIL], 2, "root\\u{202e}");
    let args = ["tls", "self-signed", "--host", "x.org", "--out-cert", EVIL, "--out-key", "key"];
    let ran = place.plumm(&args);
    is_clean(&ran);
    assert!(ran.succeeds().starts_with(&format!("{SHOWN} is the certificate")), "{ran:?}");
    answers(&args, 1, "key is there already");
    fs::remove_file(place.folder.path().join(EVIL)).unwrap();
    let ran = place.plumm(&["backup", EVIL]);
    is_clean(&ran);
    assert!(ran.succeeds().starts_with(&format!("The backup {SHOWN} is made")), "{ran:?}");

    answers(&["status"], 0, SHOWN);
    let found = answers(&["doctor"], 0, SHOWN)["checks"][5]["found"].to_string();
    assert!(found.contains("on the disk of the database"), "{found}");

    // And the log of the server, of which each record is one line.
    let headers = format!("/scim/v2/Users/{}?count=a%1b%0a%e2%80%ae", "a%1b%0ab%e2%80%ae");
    serving.get(&headers, &token);
    let moved = json!({ "userName": "other\u{1b}\u{202e}", "active": false });
    let (status, _) =
        serving.send("PUT", &format!("/scim/v2/Users/{id}"), &token, &moved.to_string());
    assert_eq!(status, 200);
    let (code, log) = serving.stop("TERM");
    assert_eq!(code, Some(0));
    is_clean(&Run { code, out: log, err: String::new() });
    let backup = fs::read_dir(place.folder.path()).unwrap();
    assert!(backup.filter_map(Result::ok).any(|it| it.file_name().to_str() == Some(EVIL)));
}

/// A record of the log is one line, whatever a client has put into it.
#[test]
fn a_record_of_the_log_is_one_clean_line() {
    let words = format_args!("from {EVIL}");
    let record = log::Record::builder().args(words).level(log::Level::Warn).target("plumm").build();
    let line = plumm::cli::logging::line(&record, Format::Text);
    assert!(line.ends_with(&format!(" WARN  from {SHOWN}")), "{line}");
}
