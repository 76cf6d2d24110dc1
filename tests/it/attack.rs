//! The real server under attack, while an honest client is served. `.ci/attack.py` does the same
//! for longer, and says how long the slowest answer took.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use serde_json::Value;

use crate::cli::{PLUMM, Place, Serving};
use crate::durability::shell;
use crate::harness::{user, wait_until};
use crate::tls::{self, Client};

const GET: &str = tls::GET;
/// How long each attack goes on.
const ATTACK: Duration = Duration::from_millis(1000);
/// More connections than the server has slots.
const CROWD: usize = 560;
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(200);
/// What a server may need while it is attacked.
const MEMORY_KIB_MAX: u64 = 150 * 1024;
/// Readers of the database stay open once they were needed: 8 of them, with two files each.
const READERS_FILES: usize = 16;
/// A user that nobody is.
const NOBODY: u32 = 64321;

/// Whom to attack, and whether it goes on.
struct Target<'a> {
    address: SocketAddr,
    token: &'a str,
    over: &'a AtomicBool,
}

impl Target<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let it = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
        it.set_read_timeout(Some(Duration::from_secs(1)))?;
        it.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(it)
    }

    /// Keeps many connections that send an opening, and then a byte now and then. Those that the
    /// server closes come again, a few at a time.
    fn hold(&self, count: usize, opening: &[u8], drip: &[u8]) {
        let mut held: Vec<TcpStream> = Vec::new();
        while self.goes_on() {
            held.retain_mut(|it| match it.read(&mut [0; 4096]) {
                Ok(0) => false,
                Err(error) if error.kind() != ErrorKind::WouldBlock => false,
                _ => drip.is_empty() || it.write(drip).is_ok(),
            });
            for _ in held.len()..count.min(held.len().max(count - 50) + 50) {
                let Ok(mut it) = self.connect() else { break };
                it.set_nonblocking(true).unwrap();
                // What does not fit is not sent: it does not read either.
                let _ = it.write(opening);
                held.push(it);
            }
            thread::sleep(DRIP);
        }
    }
}

/// What a process holds at this moment, and the most memory it ever did.
#[derive(Clone, Copy, Debug)]
struct Needs {
    threads: usize,
    descriptors: usize,
    memory_kib: u64,
}

fn needs(serving: &Serving) -> Needs {
    let process = format!("/proc/{}", serving.child.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find_map(|it| it.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    Needs {
        threads: number("Threads:") as usize,
        descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
        memory_kib: number("VmHWM:"),
    }
}

/// An identity provider and an application, which are answered whatever others do. Each is sure of
/// its connection: nobody closes it to make room for an attacker.
struct Honest<S, C: Fn() -> S> {
    connect: C,
    token: String,
    access: String,
    kept: S,
    login: S,
    slowest: Duration,
}

impl<S: Read + Write, C: Fn() -> S> Honest<S, C> {
    fn new(connect: C, place: &Place) -> Honest<S, C> {
        let made = place.json(&["token", "create", "acme", "--scope", "access"]);
        let access = made["token"].as_str().unwrap().to_owned();
        let (kept, login) = (connect(), connect());
        let slowest = Duration::ZERO;
        let mut it = Honest { connect, token: place.token(), access, kept, login, slowest };
        let jon = user("jon@example.com").to_string();
        ask(&mut it.kept, &it.token, "POST /scim/v2/Users", &jon, 201);
        it
    }

    /// Okta looks somebody up and changes him, on a kept connection; it comes again on a new one;
    /// and he logs in.
    #[track_caller]
    fn round(&mut self, number: usize) {
        let lookup = "GET /scim/v2/Users?filter=userName%20eq%20%22jon@example.com%22";
        let change = format!(
            r#"{{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":
               [{{"op":"replace","path":"title","value":"no {number}"}}]}}"#
        );
        let started = Instant::now();
        let found = ask(&mut self.kept, &self.token, lookup, "", 200);
        let patch =
            format!("PATCH /scim/v2/Users/{}", found["Resources"][0]["id"].as_str().unwrap());
        ask(&mut self.kept, &self.token, &patch, &change, 200);
        let found = ask(&mut (self.connect)(), &self.token, lookup, "", 200);
        assert_eq!(found["Resources"][0]["title"], format!("no {number}"));
        let line = "GET /access/v1/users/jon@example.com";
        assert_eq!(ask(&mut self.login, &self.access, line, "", 200)["active"], true);
        self.slowest = self.slowest.max(started.elapsed());
    }
}

/// The answer to a request, which must have this status.
#[track_caller]
fn ask(
    stream: &mut (impl Read + Write),
    token: &str,
    line: &str,
    body: &str,
    status: u16,
) -> Value {
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (seen, text) = tls::answer(stream);
    assert_eq!(seen, status, "{line}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn address(serving: &Serving) -> SocketAddr {
    serving.url.split_once("://").unwrap().1.parse().unwrap()
}

/// A server in its usual state is attacked over plain HTTP.
#[track_caller]
fn withstands(attack: impl Fn(&Target) + Sync) {
    let place = Place::with_acme();
    let serving = place.serve(&["--trusted-proxies", "127.0.0.0/8"]);
    let address = address(&serving);
    survives(&place, &serving, || tls::tcp(address), attack);
}

/// The same under TLS.
#[track_caller]
fn withstands_under_tls(attack: impl Fn(&Target) + Sync) {
    let place = Place::with_acme();
    place.plumm(&["tls", "self-signed"]).succeeds();
    let pem = fs::read_to_string(place.folder.path().join("plumm-cert.pem")).unwrap();
    let config = Arc::new(tls::trusting(&pem));
    let serving = place.serve(&["--tls-cert", "plumm-cert.pem", "--tls-key", "plumm-key.pem"]);
    let address = address(&serving);
    let connect = || Client::connect(address, Arc::clone(&config)).unwrap().tls;
    survives(&place, &serving, connect, attack);
}

/// Every honest request is answered right while the attack goes on, in little memory, and nothing
/// of the attack stays.
#[track_caller]
fn survives<S: Read + Write>(
    place: &Place,
    serving: &Serving,
    connect: impl Fn() -> S,
    attack: impl Fn(&Target) + Sync,
) {
    // One at a time: each takes what this host has.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut honest = Honest::new(connect, place);
    honest.round(0);
    let before = needs(serving);
    let over = AtomicBool::new(false);
    let (token, address) = (honest.token.clone(), address(serving));
    let mut rounds = 0;
    thread::scope(|scope| {
        // Also when the honest client fails, so that the test ends.
        let ends = Ends(&over);
        scope.spawn(|| attack(&Target { address, token: &token, over: &over }));
        let started = Instant::now();
        while started.elapsed() < ATTACK || rounds < 3 {
            rounds += 1;
            honest.round(rounds);
            thread::sleep(Duration::from_millis(5));
        }
        drop(ends);
    });
    let peak = needs(serving).memory_kib;
    println!("{rounds} rounds, the slowest took {:?}; {} MiB", honest.slowest, peak / 1024);
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");
    let may_keep = before.descriptors + READERS_FILES;
    wait_until(|| {
        let after = needs(serving);
        after.threads <= before.threads && after.descriptors <= may_keep
    });
    honest.round(rounds + 1);
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const HEAD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: ";
const BODY: &[u8] = b"POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n";
/// The beginning of a TLS handshake whose first record is one of 16,000 bytes.
const HELLO: &[u8] = &[22, 3, 1, 62, 128, 1, 0, 62, 124, 3, 3];

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    withstands(|it| it.hold(CROWD, b"", b""));
}

#[test]
fn slow_heads_keep_nobody_out() {
    withstands(|it| it.hold(CROWD, HEAD, b"a"));
}

#[test]
fn slow_heads_after_a_first_request_keep_nobody_out() {
    let opening = [GET.as_bytes(), HEAD].concat();
    withstands(|it| it.hold(CROWD, &opening, b"a"));
}

#[test]
fn slow_bodies_keep_nobody_out() {
    withstands(|it| it.hold(CROWD, BODY, b"a"));
}

/// With a token; eight of them would be all that may be in memory.
#[test]
fn bodies_that_one_organisation_sends_slowly_leave_room_for_those_of_the_others() {
    const MIB: usize = 1024 * 1024;
    let place = Place::with_acme();
    place.json(&["org", "create", "globex", "--activate"]);
    let theirs = place.json(&["token", "create", "globex"])["token"].as_str().unwrap().to_owned();
    let (serving, token) = (place.serve(&[]), place.token());
    let post = |token: &str, length: usize| {
        let mut tcp = tls::tcp(address(&serving));
        let head = format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        tcp.write_all(head.as_bytes()).unwrap();
        tcp
    };
    let large = |token: &str| {
        let mut tcp = post(token, 8 * MIB);
        // All but a byte, unless the server closes before.
        let _ = tcp.write_all(&vec![b' '; 8 * MIB - 1]);
        tcp
    };
    let mut held: Vec<_> = (0..6).map(|_| large(&token)).collect();
    let known = |text: &str| {
        let line = text.lines().find(|it| it.starts_with("plumm_body_bytes{token=\"known\"}"));
        line.and_then(|it| it.rsplit(' ').next()?.parse::<usize>().ok()).unwrap()
    };
    let admin = place.json(&["token", "create", "globex", "--scope", "admin"]);
    let admin = admin["token"].as_str().unwrap();
    let in_memory = || known(&serving.get("/metrics", admin).1);
    wait_until(|| in_memory() == 6 * (8 * MIB - 64 * 1024));
    // A further one is refused, with 16 MiB left; that of another organisation is not.
    assert_eq!(tls::answer(&mut large(&token)).0, 503);
    let mut body = user("theirs@example.com").to_string();
    let mut tcp = post(&theirs, 8 * MIB);
    body.extend(std::iter::repeat_n(' ', 8 * MIB - body.len()));
    tcp.write_all(body.as_bytes()).unwrap();
    assert_eq!(tls::answer(&mut tcp).0, 201);
    held.clear();
    wait_until(|| in_memory() == 0);
}

#[test]
fn clients_that_never_close_keep_nobody_out() {
    let leave = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    withstands(|it| it.hold(CROWD, leave.as_bytes(), b""));
}

#[test]
fn clients_that_never_read_keep_nobody_out() {
    withstands(|it| {
        let token = it.token;
        let get = format!(
            "GET /scim/v2/Schemas HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let mut held = Vec::new();
        while it.goes_on() && held.len() < 100 {
            let mut tcp = it.connect().unwrap();
            tcp.write_all(get.repeat(100).as_bytes()).unwrap();
            held.push(tcp);
        }
        while it.goes_on() {
            thread::sleep(DRIP);
        }
    });
}

#[test]
fn a_flood_of_pipelined_requests_keeps_nobody_out() {
    withstands(|it| {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut tcp = it.connect().unwrap();
                    let requests = GET.repeat(100);
                    while it.goes_on() {
                        tcp.write_all(requests.as_bytes()).unwrap();
                        (0..100).for_each(|_| assert_eq!(tls::answer(&mut tcp).0, 200));
                    }
                });
            }
        });
    });
}

#[test]
fn a_flood_of_connections_keeps_nobody_out() {
    withstands(|it| {
        while it.goes_on() {
            (0..20).for_each(|_| drop(it.connect()));
            thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn large_bodies_of_strangers_keep_nobody_out() {
    withstands(|it| {
        thread::scope(|scope| {
            for _ in 0..24 {
                scope.spawn(|| {
                    let head = str::from_utf8(BODY).unwrap().replace("60000", "8388608");
                    let part = [b'['; 64 * 1024];
                    while it.goes_on() {
                        let Ok(mut tcp) = it.connect() else { continue };
                        let _ = tcp.write_all(head.as_bytes());
                        // Read whole and then refused, or refused for want of memory before.
                        let _ = (0..128).try_for_each(|_| tcp.write_all(&part));
                        let _ = tcp.read(&mut [0; 1024]);
                    }
                });
            }
        });
    });
}

/// Ten thousand a minute would be 250 in this time; it is as many as the server answers. They come
/// through a proxy, since this host itself is not held to a number.
#[test]
fn wrong_tokens_keep_nobody_out() {
    withstands(|it| {
        let (known, _) = it.token.rsplit_once('_').unwrap();
        let secret = "A".repeat(43);
        let wrong = [format!("{known}_{secret}"), format!("plm_nobody_{secret}"), "x".to_owned()];
        let mut tcp = it.connect().unwrap();
        let (mut seen, mut number) = ([0; 2], 0);
        while it.goes_on() || number < 500 {
            number += 1;
            let token = &wrong[number % 3];
            let request = format!(
                "GET /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
                 X-Forwarded-For: 192.0.2.{}\r\n\r\n",
                number % 2
            );
            tcp.write_all(request.as_bytes()).unwrap();
            match tls::answer(&mut tcp).0 {
                401 => seen[0] += 1,
                429 => seen[1] += 1,
                other => panic!("{other}"),
            }
        }
        assert!(seen[0] >= 120 && seen[1] > 0, "{seen:?}");
    });
}

#[test]
fn a_thousand_paths_that_do_not_exist_cost_nothing() {
    withstands(|it| {
        let mut tcp = it.connect().unwrap();
        for number in 0..1000 {
            let get =
                format!("GET /scim/{number}/{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(number));
            tcp.write_all(get.as_bytes()).unwrap();
            assert!([401, 404].contains(&tls::answer(&mut tcp).0));
        }
    });
}

#[test]
fn handshakes_that_go_no_further_keep_nobody_out() {
    withstands_under_tls(|it| it.hold(CROWD, HELLO, b""));
}

#[test]
fn slow_tls_records_keep_nobody_out() {
    withstands_under_tls(|it| it.hold(CROWD, HELLO, b"a"));
}

#[test]
fn a_flood_of_handshakes_keeps_nobody_out() {
    let key = KeyPair::generate().unwrap();
    let hello = tls::client_hello(tls::trusting(&tls::issue(&key).certificate));
    withstands_under_tls(|it| {
        while it.goes_on() {
            let Ok(mut tcp) = it.connect() else { continue };
            // The server signs for each, and the client goes away.
            let _ = tcp.write_all(&hello);
            let _ = tcp.read(&mut [0; 1024]);
        }
    });
}

/// Of bodies that many clients send one after the other, only those in hand take memory: each thread
/// on a heap of its own would keep what it freed.
#[test]
fn large_bodies_of_many_clients_share_few_heaps() {
    let place = Place::with_acme();
    let serving = place.serve(&[]);
    let address = address(&serving);
    let environment = fs::read(format!("/proc/{}/environ", serving.child.id())).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    let settings = [
        "MALLOC_ARENA_MAX=4",
        "MALLOC_MMAP_THRESHOLD_=1048576",
        "MALLOC_TRIM_THRESHOLD_=4194304",
        "GLIBC_TUNABLES=glibc.malloc.tcache_count=32",
    ];
    for setting in settings {
        assert!(environment.split('\0').any(|it| it == setting), "{setting}: {environment}");
    }
    let token = place.token();
    let mut body = user("objects@example.com").to_string();
    body.pop();
    body += &format!(",\"x\":[{}]}}", vec!["{\"\":0}"; 30_000].join(","));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let request = format!(
                    "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let mut tcp = tls::tcp(address);
                for _ in 0..2 {
                    tcp.write_all(request.as_bytes()).unwrap();
                    assert!([201, 409, 503].contains(&tls::answer(&mut tcp).0));
                }
            });
        }
    });
    let peak = needs(&serving).memory_kib / 1024;
    println!("{peak} MiB");
    assert!(peak < 300, "{peak} MiB");
}

/// To verify a token for the first time takes 19 MiB, which go back to the system.
#[test]
fn tokens_that_are_verified_one_after_the_other_leave_no_memory_behind() {
    let place = Place::with_acme();
    let serving = place.serve(&[]);
    let address = address(&serving);
    let verify = || {
        let token = place.token();
        let mut tcp = tls::tcp(address);
        ask(&mut tcp, &token, "GET /scim/v2/Users?count=1", "", 200);
        tcp
    };
    // Connections that stay have threads of their own, and so all heaps there are.
    let first = verify();
    let before = needs(&serving).memory_kib / 1024;
    let others: Vec<_> = (0..12).map(|_| verify()).collect();
    let peak = needs(&serving).memory_kib / 1024;
    println!("{before} MiB, and then {peak} MiB");
    assert!(peak < before + 16, "{before} MiB, and then {peak} MiB");
    drop((first, others));
}

/// A server that a shell starts within a limit of the operating system.
#[track_caller]
fn withstands_within(limit: &str, attack: impl Fn(&Target) + Sync) {
    let place = Place::with_acme();
    let serving = Serving::start(shell(&place, "bash", &[], limit, "plumm.db"));
    let address = address(&serving);
    survives(&place, &serving, || tls::tcp(address), attack);
}

#[test]
fn few_descriptors_are_not_all_taken_by_connections() {
    withstands_within("ulimit -n 64", |it| it.hold(100, HEAD, b"a"));
}

#[test]
fn the_last_descriptor_is_given_back() {
    withstands_within("ulimit -n 28", |it| it.hold(100, HEAD, b"a"));
}

/// The limit on threads counts all of one user, so it is tried as a user that nobody is.
#[test]
fn threads_that_run_out_make_room() {
    let place = Place::with_acme();
    let may = Command::new(PLUMM).arg("--version").uid(NOBODY).gid(NOBODY).output();
    let folder = place.folder.path();
    let owned = [folder, &folder.join("plumm.db")].map(|it| chown(it, Some(NOBODY), Some(NOBODY)));
    if !may.is_ok_and(|it| it.status.success()) || owned.iter().any(Result::is_err) {
        eprintln!("not tried: only root can run a server as another user");
        return;
    }
    let mut command = shell(&place, "bash", &[], "ulimit -u 30", "plumm.db");
    let mut serving = Serving::start({
        command.uid(NOBODY).gid(NOBODY);
        command
    });
    let address = address(&serving);
    survives(&place, &serving, || tls::tcp(address), |it| it.hold(100, HEAD, b"a"));
    serving.wait_for("no thread for a new connection");
}
