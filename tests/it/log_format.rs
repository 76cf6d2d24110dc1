//! `PLUMM_LOG_FORMAT=json`: standard error of a server is one JSON object a line, and nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::cli::{PATIENCE, Place, Serving, run};

#[track_caller]
fn object(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
    for key in ["time", "level", "target", "message"] {
        assert!(value[key].is_string(), "no {key} in {line}");
    }
    assert!(line.chars().all(|it| !it.is_control()), "{line:?}");
    value
}

#[test]
fn each_line_of_a_json_log_is_an_object_with_the_fields_of_the_request() {
    let place = Place::with_acme();
    let token = place.token();
    let variables = [("PLUMM_LOG", "debug"), ("PLUMM_LOG_FORMAT", "json"), ("PLUMM_LISTN", "1")];
    let command = place.command(&["serve", "--listen", "127.0.0.1:0", "--init", "acme"]);
    let mut serving = Serving::start_with(command, &variables);
    let address = serving.url.strip_prefix("http://").unwrap().to_owned();
    let get = |target: &str, id: &str| {
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nX-Request-Id: {id}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
    };
    get("/scim/v2/Users/a%1b%0a", "my-1");
    let line = object(&serving.wait_for("\"my-1\",\"message\":\"refused: 404"));
    assert_eq!((&line["level"], &line["organisation"]), (&"info".into(), &"acme".into()));
    assert_eq!((&line["client"], &line["method"]), (&"127.0.0.1".into(), &"GET".into()));
    assert_eq!((&line["status"], &line["path"]), (&404.into(), &"/scim/v2/Users/{id}".into()));
    assert!(line["token"].is_string(), "{line}");
    let line = object(&serving.wait_for("milliseconds"));
    assert_eq!(line["request"], "my-1");
    assert_eq!((&line["client"], &line["method"]), (&"127.0.0.1".into(), &"GET".into()));
    assert_eq!((&line["status"], &line["path"]), (&404.into(), &"/scim/v2/Users/a%1b%0a".into()));
    assert!(line["milliseconds"].is_f64() && line["level"] == "debug", "{line}");
    let message = line["message"].as_str().unwrap();
    assert!(message.starts_with("127.0.0.1 GET /scim/v2/Users/a%1b%0a 404 "), "{message}");

    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    connection.execute_batch("ALTER TABLE resource RENAME TO gone").unwrap();
    drop(connection);
    get("/scim/v2/Users", "my-2");
    let line = object(&serving.wait_for("no such table"));
    assert_eq!((&line["request"], &line["status"]), (&"my-2".into(), &500.into()));
    assert_eq!(line["level"], "error");

    serving.signal("TERM");
    serving.wait_for("\"stopped\"");
    let lines = serving.seen();
    assert!(lines.len() > 8, "{lines:?}");
    for line in lines {
        object(line);
    }
    let told = |words: &str| lines.iter().filter(|it| it.contains(words)).count();
    assert_eq!((told("listening on http://"), told("PLUMM_LISTN")), (1, 1));
    // The first run has made it, and two of its requests were refused.
    assert_eq!(told("\"organisation\":\"acme\""), 3);
}

#[test]
fn a_server_that_does_not_start_says_why_in_json_too() {
    let place = Place::new();
    for (args, code, words) in [
        (&["serve", "--listen", "0.0.0.0:1"][..], 2, "plain HTTP on 0.0.0.0:1 would carry"),
        (&["serve", "--listen", "here"], 2, "invalid value 'here' for '--listen <ADDR:PORT>'"),
        (&["serve", "--backup-dir", "nowhere"], 1, "there is no such folder"),
        (&["serve", "--log-format", "json", "--nonsense"], 2, "--nonsense"),
    ] {
        let mut command = place.command(args);
        command.env("PLUMM_LOG_FORMAT", "json");
        let ran = run(command);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{ran:?}");
        let lines: Vec<&str> = ran.err.lines().collect();
        assert_eq!(lines.len(), 1, "{ran:?}");
        let line = object(lines[0]);
        assert!(line["level"] == "error" && line["message"].as_str().unwrap().contains(words));
    }
    // A flag wins, and a person at a terminal reads text.
    let mut command = place.command(&["serve", "--log-format", "text", "--listen", "here"]);
    command.env("PLUMM_LOG_FORMAT", "json");
    assert!(run(command).err.starts_with("error: invalid value"));
    let mut command = place.command(&["user", "list", "acme"]);
    command.env("PLUMM_LOG_FORMAT", "json");
    assert!(run(command).err.starts_with("error: there is no database"));
}

#[test]
fn a_log_format_that_nobody_knows_is_refused() {
    let place = Place::new();
    let ran = place.plumm(&["serve", "--log-format", "xml"]);
    ran.is_misuse(
        "invalid value 'xml' for '--log-format <FORMAT>': it must be text or json",
        "plumm serve --help",
    );
    let mut command = place.command(&["serve"]);
    command.env("PLUMM_LOG_FORMAT", "JSON");
    let ran = run(command);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("'JSON' for '--log-format <FORMAT>': it must be text or json"));
}
