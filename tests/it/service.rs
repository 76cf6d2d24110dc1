//! The server as a service: what systemd is told and what it passes, and that the unit, the settings
//! and the documents agree.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};

use plumm::cli::error::EXIT_MISUSED;
use plumm::cli::settings::ENV_FILE_DEFAULT;
use plumm::server::limits::{CONNECTIONS_MAX, STOP_SECONDS_MAX};
use serde_json::{Value, json};

use crate::cli::{PATIENCE, PLUMM, Place, Run, Serving, run};

fn told(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[test]
fn systemd_is_told_that_the_server_is_ready_lives_and_ends() {
    let place = Place::new();
    let path = place.folder.path().join("notify");
    let name = format!("plumm-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    for (variable, socket) in [
        (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path)),
        (format!("@{name}"), UnixDatagram::bind_addr(&abstract_name)),
    ] {
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &variable).env("WATCHDOG_USEC", "400000");
        let serving = Serving::start(command);
        let ready = format!("READY=1\nSTATUS=listening on {}", serving.url);
        assert_eq!(told(&socket), ready);
        for _ in 0..3 {
            assert_eq!(told(&socket), "WATCHDOG=1");
        }
        serving.signal("TERM");
        let ends = (0..100).map(|_| told(&socket)).find(|it| it != "WATCHDOG=1");
        assert_eq!(ends.unwrap(), "STOPPING=1\nSTATUS=finishing the requests in hand");
        assert_eq!(serving.stop("TERM").1, "");
    }
}

#[test]
fn nobody_is_told_anything_whom_nothing_was_promised() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", place.folder.path().join("nowhere"));
    let mut serving = Serving::start(command);
    serving.wait_for("READY=1 cannot be told to the socket of NOTIFY_SOCKET");
    assert_eq!(serving.get("/healthz", "").0, 200);
    assert_eq!(serving.stop("TERM").0, Some(0));
}

/// A server that is passed this as systemd would, with `StandardInput=socket`, at this setting.
fn passed(place: &Place, passed: OwnedFd, listen: &str) -> Command {
    // The shell has the number of the process that it becomes.
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve --listen \"$1\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, PLUMM, listen]).current_dir(place.folder.path());
    for (name, value) in place.command(&[]).get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::from(passed)).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[test]
fn a_socket_that_systemd_passes_is_served() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ours = listener.try_clone().unwrap();
    let serving = Serving::start(passed(&place, listener.into(), &address));
    assert_eq!(serving.url, format!("http://{address}"));
    assert_eq!(serving.get("/readyz", "").0, 200);
    assert_eq!(serving.stop("TERM").0, Some(0));
    // It stays open for the next one.
    let serving = Serving::start(passed(&place, ours.into(), &address));
    assert_eq!(serving.get("/readyz", "").0, 200);
}

#[test]
fn a_socket_elsewhere_than_the_settings_say_is_refused() {
    let place = Place::new();
    let refused = |ran: Run, words: &str| {
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.err.contains(words), "{ran:?}");
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap();
    let words = format!(
        "systemd passes a socket at {own}, and the server is to listen on 127.0.0.1:1: write \
         PLUMM_LISTEN={own} into the file of settings, or ListenStream=127.0.0.1:1 into plumm.socket"
    );
    refused(run(passed(&place, listener.into(), "127.0.0.1:1")), &words);
    let datagram = UnixDatagram::unbound().unwrap();
    let words = "and standard input is none to listen on";
    refused(run(passed(&place, datagram.into(), "127.0.0.1:1")), words);
}

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|it| panic!("{name}: {it}"))
}

/// The file of settings as it is installed has each setting at its default, and the database where
/// the service has it.
#[test]
fn the_installed_file_of_settings_has_every_setting_and_changes_none() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/plumm.env");
    let place = Place::new();
    let config = |file: &str| {
        let mut command = place.command(&["config", "--json"]);
        command.env_remove("PLUMM_LOG").env("PLUMM_ENV_FILE", file);
        serde_json::from_str::<Value>(run(command).succeeds()).unwrap()
    };
    let (bare, installed) = (config(""), config(path.to_str().unwrap()));
    assert_eq!(installed["file"]["faults"], json!([]));
    assert_eq!(installed["unknown"], json!([]));
    let text = file("deploy/plumm.env");
    let lines = text.lines().map(|it| it.strip_prefix('#').unwrap_or(it));
    let mut lines: BTreeMap<&str, &str> =
        lines.filter(|it| it.starts_with("PLUMM_")).filter_map(|it| it.split_once('=')).collect();
    for (bare, installed) in
        bare["settings"].as_array().unwrap().iter().zip(installed["settings"].as_array().unwrap())
    {
        let variable = bare["variable"].as_str().unwrap();
        match variable {
            // It names the file itself.
            "PLUMM_ENV_FILE" => continue,
            "PLUMM_DB" => assert_eq!(lines.remove(variable), installed["value"].as_str()),
            _ => {
                assert_eq!(bare, installed);
                let default = match bare["value"].as_str() {
                    Some("off") => "0",
                    other => other.unwrap_or_default(),
                };
                assert_eq!(lines.remove(variable), Some(default), "{variable}");
            }
        }
    }
    assert_eq!(lines, BTreeMap::new(), "nothing knows them");
}

#[test]
fn unit_settings_and_documents_name_the_same_places() {
    let (unit, settings) = (file("deploy/plumm.service"), file("deploy/plumm.env"));
    let value = |name: &str| {
        let found = unit.lines().find_map(|it| it.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("no {name}= in the unit"))
    };
    let folder = format!("/var/lib/{}", value("StateDirectory"));
    let database = format!("PLUMM_DB={folder}/plumm.db");
    assert_eq!(value("WorkingDirectory"), folder);
    assert!(unit.contains(&format!("\nEnvironment={database}\n")));
    assert!(settings.contains(&format!("\n{database}\n")));
    assert_eq!(value("ExecStart"), "/usr/bin/plumm serve");
    assert_eq!(value("RestartPreventExitStatus"), EXIT_MISUSED.to_string());
    assert_eq!(value("EnvironmentFile"), format!("-{ENV_FILE_DEFAULT}"));
    // The orderly end is given its time.
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() > STOP_SECONDS_MAX);
    assert!(value("LimitNOFILE").parse::<usize>().unwrap() > 2 * CONNECTIONS_MAX);
    let user = value("User");
    for (name, text) in [("docs/install.md", file("docs/install.md"))] {
        for path in ["/usr/bin/plumm", "/etc/plumm/plumm.env", "plumm.service", &folder] {
            assert!(text.contains(path), "{name} does not speak of {path}");
        }
        assert!(text.contains(&format!("sudo -u {user} plumm ")), "{name}");
    }
    // What stands in two files for the socket.
    let socket = file("deploy/plumm.socket");
    let listen = socket.lines().find_map(|it| it.strip_prefix("ListenStream=")).unwrap();
    assert!(socket.contains(&format!("PLUMM_LISTEN={listen}'")));
}
