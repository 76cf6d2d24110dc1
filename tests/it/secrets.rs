//! Tokens and passwords: what the real program writes, and what it keeps in memory, holds none.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{io, thread};

use base64ct::{Base64, Encoding};
use serde_json::Value;

use crate::harness::{Folder, user};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct-horse-battery";

/// A server on a database of its own, with a token that another process made.
struct Serving {
    child: Child,
    address: String,
    token: String,
    /// What it logs, as a file.
    log: std::path::PathBuf,
    folder: Folder,
}

fn plumm(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumm"));
    command.args(args).current_dir(folder).env("PLUMM_LOG", "trace").stdin(Stdio::null());
    // That of the host does not count.
    command.env("PLUMM_ENV_FILE", "");
    command
}

impl Serving {
    fn start() -> Serving {
        let folder = Folder::new();
        let run = |args: &[&str]| plumm(folder.path(), args).output().unwrap().stdout;
        run(&["org", "create", "acme", "--activate"]);
        let made: Value =
            serde_json::from_slice(&run(&["token", "create", "acme", "--json"])).unwrap();
        let token = made["token"].as_str().unwrap().to_owned();

        let log = folder.path().join("log.txt");
        let mut command = plumm(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        let out = File::create(&log).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap();
        let mut serving = Serving { child, address: String::new(), token, log, folder };
        serving.address = wait_for(|| {
            let text = fs::read_to_string(&serving.log).unwrap();
            let rest = text.split_once("listening on http://").map(|(_, it)| it)?;
            rest.split_once('\n').map(|(it, _)| it.to_owned())
        })
        .unwrap();
        serving
    }

    /// Sends a request on a connection of its own; the status of the answer.
    fn send(&self, line: &str, authorization: &str, body: &str) -> u16 {
        let length = body.len();
        self.send_bytes(&format!(
            "{line} HTTP/1.1\r\nHost: h\r\nAuthorization: {authorization}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn send_bytes(&self, request: &str) -> u16 {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // In two parts, so that the buffer it is read into has to be moved and to grow.
        let (head, tail) = request.split_at(request.len() / 2);
        socket.write_all(head.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(5));
        socket.write_all(tail.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer["HTTP/1.1 ".len()..][..3].parse().unwrap()
    }

    /// The token where it belongs, in every form, whole and broken.
    fn show_the_token(&self) {
        let token = &self.token;
        let bearer = format!("Bearer {token}");
        let basic = format!("Basic {}", Base64::encode_string(format!("okta:{token}").as_bytes()));
        let mistyped = format!("{bearer}x");
        let users = "GET /scim/v2/Users";
        for (authorization, status) in [
            (bearer.as_str(), 200),
            (&basic, 200),
            (token, 200),
            (&mistyped, 401),
            (&bearer[..bearer.len() - 10], 401),
            (&format!("{basic}x"), 401),
            (&format!("Digest {token}"), 401),
            (&format!("{bearer}, {bearer}"), 401),
        ] {
            assert_eq!(self.send(users, authorization, ""), status, "{authorization}");
        }
        // Refused by the reader: a space before the colon, a body cut short, a size line.
        let head =
            format!("POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: {bearer}\r\n");
        assert_eq!(self.send_bytes(&format!("{head}X : {token}\r\n\r\n")), 400);
        assert_eq!(self.send_bytes(&format!("{head}Expect: {token}\r\n\r\n")), 417);
        let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n{token}\r\n");
        assert_eq!(self.send_bytes(&chunks), 400);
    }

    /// The token where it does not belong, and passwords.
    fn provoke(&self) {
        let (token, users) = (&self.token, "GET /scim/v2/Users");
        let bearer = format!("Bearer {token}");
        assert_eq!(self.send(&format!("{users}?token={token}"), &bearer, ""), 200);
        assert_eq!(self.send(&format!("{users}/{token}"), &bearer, ""), 404);
        assert_eq!(self.send(&format!("GET /{token}/Users"), "", ""), 404);
        let mut bob = user("bob@example.com");
        bob["password"] = PASSWORD.into();
        assert_eq!(self.send("POST /scim/v2/Users", &bearer, &bob.to_string()), 201);
        assert_eq!(self.send("POST /scim/v2/Users", &bearer, &bob.to_string()), 409);
        assert_eq!(self.send("POST /scim/v2/Users", &bearer, &format!("{bob}x")), 400);
        bob["password"] = serde_json::json!({ "value": [PASSWORD] });
        let status = self.send("POST /scim/v2/Users", &bearer, &bob.to_string());
        assert!((400..500).contains(&status), "{status}");
        let filter = format!("{users}?filter=password%20eq%20%22{PASSWORD}%22");
        assert_eq!(self.send(&filter, &bearer, ""), 400);
        let id = self.id_of_bob();
        for operation in [
            format!(r#"{{"op":"replace","path":"password","value":"{PASSWORD}"}}"#),
            format!(r#"{{"op":"replace","value":{{"password":"{PASSWORD}","title":"x"}}}}"#),
            format!(r#"{{"op":"replace","path":"password[value eq \"{PASSWORD}\"]","value":1}}"#),
        ] {
            let body = format!(
                r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations":[{operation}]}}"#
            );
            let status = self.send(&format!("PATCH /scim/v2/Users/{id}"), &bearer, &body);
            assert!((200..500).contains(&status), "{status}");
        }
    }

    fn id_of_bob(&self) -> String {
        let file = rusqlite::Connection::open(self.folder.database()).unwrap();
        file.query_row("SELECT id FROM resource", [], |row| row.get(0)).unwrap()
    }

    /// Breaks the file, so that the next handler fails.
    fn break_the_file(&self) {
        let file = rusqlite::Connection::open(self.folder.database()).unwrap();
        file.execute_batch("ALTER TABLE resource RENAME TO broken").unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again, for as long as a test waits.
fn wait_for<T>(ask: impl Fn() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || started.elapsed() > PATIENCE {
            return answer;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|it| it == needle.as_bytes())
}

/// The part of a token that nobody may see, without its check.
fn secret_of(token: &str) -> &str {
    &token.rsplit('_').next().unwrap()[..44]
}

#[test]
fn no_log_and_no_file_holds_a_token_or_a_password() {
    let serving = Serving::start();
    serving.show_the_token();
    serving.provoke();
    serving.break_the_file();
    let bob = user("eve@example.com").to_string().replace("1mz050nq", PASSWORD);
    let bearer = format!("Bearer {}", serving.token);
    assert_eq!(serving.send("POST /scim/v2/Users", &bearer, &bob), 500);

    let encoded = Base64::encode_string(format!("okta:{}", serving.token).as_bytes());
    for entry in fs::read_dir(serving.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for needle in [&secret_of(&serving.token)[..20], &encoded[40..60], PASSWORD] {
            assert!(!holds(&bytes, needle), "{needle} is in {}", path.display());
        }
    }
    // So that the test would notice: the log says what was asked, and why it failed.
    let log = fs::read_to_string(&serving.log).unwrap();
    assert!(log.contains("GET /scim/v2/Users 200") && log.contains("no such table"), "{log}");
    assert!(log.contains("GET /scim/v2/Users/plm 404"), "{log}");
}

/// Where the memory of a process that it can write to holds this text. None when the system does
/// not let us look.
#[cfg(target_os = "linux")]
fn places_in_memory(process: u32, needle: &str) -> io::Result<Vec<String>> {
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut places = Vec::new();
    for line in BufReader::new(File::open(format!("/proc/{process}/maps"))?).lines() {
        let line = line?;
        let range = line.split(' ').next().and_then(|it| it.split_once('-'));
        let number = |it: &str| u64::from_str_radix(it, 16).ok();
        let Some((Some(start), Some(end))) = range.map(|(a, b)| (number(a), number(b))) else {
            continue;
        };
        let mut bytes = vec![0; (end - start) as usize];
        // A mapping can be gone by now.
        if line.contains(" rw") && memory.read_exact_at(&mut bytes, start).is_ok() {
            places.extend(holds(&bytes, needle).then_some(line));
        }
    }
    Ok(places)
}

#[cfg(target_os = "linux")]
#[test]
fn memory_holds_no_token_once_the_connections_are_closed() {
    let serving = Serving::start();
    let (process, secret) = (serving.child.id(), &secret_of(&serving.token)[8..32]);
    serving.show_the_token();
    // Systems differ in who may read another process's memory.
    if File::open(format!("/proc/{process}/mem")).is_err() {
        return;
    }
    let places = || places_in_memory(process, secret).unwrap();
    let gone = wait_for(|| places().is_empty().then_some(()));
    assert!(gone.is_some(), "{:#?}", places());

    // So that the test would notice: the token's id is there, and a request in hand is found.
    let id = serving.token.split('_').nth(1).unwrap();
    assert!(!places_in_memory(process, id).unwrap().is_empty());
    let mut socket = TcpStream::connect(&serving.address).unwrap();
    socket
        .write_all(format!("GET / HTTP/1.1\r\nAuthorization: {}", serving.token).as_bytes())
        .unwrap();
    assert!(wait_for(|| (!places().is_empty()).then_some(())).is_some());
    drop(socket);
    let gone = wait_for(|| places().is_empty().then_some(()));
    assert!(gone.is_some(), "{:#?}", places());
}
