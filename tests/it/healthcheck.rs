//! `plumm healthcheck`: ready or not, and why not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::cli::{Place, run};

/// A health check with these variables.
fn check(place: &Place, variables: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = place.command(&[&["healthcheck"], args].concat());
    command.envs(variables.iter().copied());
    command
}

#[track_caller]
fn fails(command: Command, words: &str) {
    let ran = run(command);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.starts_with("error: ") && ran.err.contains(words), "{ran:?}");
}

#[test]
fn a_server_is_ready_where_the_settings_have_it_listen() {
    let place = Place::with_acme();
    let serving = place.serve(&[]);
    let address = serving.url.strip_prefix("http://").unwrap().to_owned();
    let address = address.as_str();
    let listen = [("PLUMM_LISTEN", address)];
    let ran = run(check(&place, &listen, &[]));
    assert_eq!(ran.succeeds(), format!("The server at http://{address} is ready.\n"));
    let ran = run(check(&place, &[], &["--url", &serving.url, "--json"]));
    let value: Value = serde_json::from_str(ran.succeeds()).unwrap();
    let url = format!("http://{address}/readyz");
    let expected = json!({"ready": true, "url": url, "reason": null, "certificate_verified": null});
    assert_eq!(value, expected);
    // By the file of settings, with an address of every interface; a proxy is not asked.
    let port = address.rsplit_once(':').unwrap().1;
    let file = format!("PLUMM_LISTEN=0.0.0.0:{port}\n");
    std::fs::write(place.folder.path().join("plumm.env"), file).unwrap();
    let proxied = [("PLUMM_ENV_FILE", "plumm.env"), ("HTTP_PROXY", "http://127.0.0.1:9")];
    run(check(&place, &proxied, &[])).succeeds();
    // It speaks no TLS.
    let url = format!("https://{address}");
    fails(check(&place, &[], &["--url", &url]), "speaks no TLS: if it is a plumm without");

    // Alive, and not ready.
    let connection = rusqlite::Connection::open(place.folder.database()).unwrap();
    connection.execute_batch("ALTER TABLE org RENAME TO gone").unwrap();
    let unready = run(check(&place, &listen, &["--json"]));
    assert_eq!(unready.code, Some(1), "{unready:?}");
    let value: Value = serde_json::from_str(&unready.out).unwrap();
    assert_eq!(value["ready"], false);
    assert!(value["reason"].as_str().unwrap().contains("/readyz answers 500: "), "{value}");
    serving.stop("TERM");
    fails(check(&place, &listen, &[]), "nothing listens at http://127.0.0.1:");
}

#[test]
fn a_server_under_tls_is_ready_with_any_certificate() {
    let place = Place::with_acme();
    let made = ["tls", "self-signed", "--host", "scim.example.com"];
    place.plumm(&[&made[..], &["--out-cert", "c.pem", "--out-key", "k.pem"]].concat()).succeeds();
    let serving = place.serve(&["--tls-cert", "c.pem", "--tls-key", "k.pem"]);
    let address = serving.url.strip_prefix("https://").unwrap();
    let tls = [("PLUMM_LISTEN", address), ("PLUMM_TLS_CERT", "c.pem"), ("PLUMM_TLS_KEY", "k.pem")];
    let ran = run(check(&place, &tls, &[]));
    let expected =
        format!("The server at https://{address} is ready (its certificate is not verified).\n");
    assert_eq!(ran.succeeds(), expected);
    let ran = run(check(&place, &tls, &["--json"]));
    let value: Value = serde_json::from_str(ran.succeeds()).unwrap();
    assert_eq!(value["certificate_verified"], false);
    // Asked without TLS, the server itself says what to do.
    let plain = check(&place, &[("PLUMM_LISTEN", address)], &[]);
    fails(plain, "/readyz answers 400: This is plain HTTP, and this port speaks HTTPS.");
    drop(serving);
}

#[test]
fn what_is_no_server_is_said() {
    let place = Place::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let slow = check(&place, &[], &["--url", &url, "--timeout", "1"]);
    fails(slow, &format!("no answer from {url}/readyz within 1 seconds"));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", other.local_addr().unwrap());
    let answering = thread::spawn(move || {
        for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "SSH-2.0-x\r\n"] {
            let (mut socket, _) = other.accept().unwrap();
            let _ = socket.read(&mut [0; 1024]);
            socket.write_all(answer.as_bytes()).unwrap();
        }
    });
    fails(check(&place, &[], &["--url", &url]), "/readyz (status 200) is no plumm: check the");
    fails(check(&place, &[], &["--url", &url]), "cannot be asked: ");
    answering.join().unwrap();
    fails(check(&place, &[("PLUMM_LISTEN", "127.0.0.1:0")], &[]), "give its address with --url");
    // An address that may stand in a file that cannot be read.
    let hidden = [("PLUMM_ENV_FILE", "nowhere.env")];
    let ran = run(check(&place, &hidden, &["--listen", "127.0.0.1:1"]));
    assert!(ran.code == Some(1) && ran.err.ends_with(" with --url\n"), "{ran:?}");
    let broken = [("PLUMM_ENV_FILE", "plumm.env")];
    std::fs::write(place.folder.path().join("plumm.env"), "PLUMM_LISTEN 127.0.0.1:1").unwrap();
    let ran = run(check(&place, &broken, &["--timeout", "1"]));
    // Perhaps something of the host listens at the default address.
    let told = "plumm.env, line 1, speaks of PLUMM_LISTEN and says nothing";
    assert!(ran.code == Some(0) || ran.err.contains(told), "{ran:?}");
    let ran = place.plumm(&["healthcheck", "--url", "localhost:8080"]);
    assert!(ran.code == Some(2) && ran.err.contains("begin with https:// or http://"), "{ran:?}");
    for timeout in ["0", "301", "soon", "-1"] {
        let ran = place.plumm(&["healthcheck", "--timeout", timeout]);
        assert_eq!(ran.code, Some(2));
        assert!(ran.err.contains("a number of seconds from 1 to 300"), "{ran:?}");
    }
    assert_eq!(place.files(), ["plumm.env"]);
}
