//! The real server over loopback, beside the disk's own rate in the same run.
//!
//! Machines are noisy, so every rate is also given as a ratio to D: one insert of 900 bytes a
//! transaction by one thread, WAL and synchronous FULL, on the same disk a moment before.
//! `cargo bench --bench lifecycle` prints a table; nothing is asserted about time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rusqlite::Connection;

/// Users that are there before anything is measured.
const USERS: usize = 5_000;
/// How long each line is measured.
const SECONDS: f64 = 3.0;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lifecycle");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let disk = commit_rate(&folder.join("disk.db"))?;
    println!("D, one 900-byte insert a transaction: {disk:.0}/s");
    let server = Server::start(&folder)?;
    println!("start-up to \"listening\": {:.1} ms", server.started.as_secs_f64() * 1e3);
    println!("binary: {:.1} MB", fs::metadata(BINARY)?.len() as f64 / 1e6);
    println!("memory, idle: {:.1} MiB", server.memory_mib()?);
    let ids = server.load(USERS)?;
    println!("memory, {USERS} users loaded: {:.1} MiB", server.memory_mib()?);
    println!("\n{:<24} {:>5} {:>11} {:>7} {:>10}", "request", "conn", "requests/s", "x D", "p99");
    let next = AtomicUsize::new(USERS);
    for connections in [1, 8] {
        let lookup = |i: usize| {
            let name = user_name(i * 7919 % USERS).replace('@', "%40");
            get(&format!("/Users?filter=userName%20eq%20%22{name}%22&startIndex=1&count=100"))
        };
        measure(&server, disk, "lookup by userName", connections, 200, lookup)?;
        let by_id = |i: usize| get(&format!("/Users/{}", ids[i * 7919 % ids.len()]));
        measure(&server, disk, "GET by id", connections, 200, by_id)?;
        let page = |i: usize| get(&format!("/Users?startIndex={}&count=100", i % 50 * 100 + 1));
        measure(&server, disk, "page of 100", connections, 200, page)?;
        let post = |_| post(next.fetch_add(1, Ordering::Relaxed));
        measure(&server, disk, "POST", connections, 201, post)?;
        let toggle = |i: usize| {
            let patch = format!(
                "{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":\
                 [{{\"op\":\"replace\",\"value\":{{\"active\":{}}}}}]}}",
                i / ids.len() % 2 == 1
            );
            ("PATCH", format!("/Users/{}", ids[i % ids.len()]), patch)
        };
        measure(&server, disk, "PATCH active", connections, 200, toggle)?;
    }
    println!("\nmemory at the end: {:.1} MiB", server.memory_mib()?);
    drop(server);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

const BINARY: &str = env!("CARGO_BIN_EXE_plumm");

/// One insert a transaction, as durable as plumm's.
fn commit_rate(path: &Path) -> Result<f64, Failure> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", 2)?;
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, document TEXT)")?;
    let document = "x".repeat(900);
    let mut insert = connection.prepare("INSERT INTO t (document) VALUES (?)")?;
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed().as_secs_f64() < SECONDS {
        insert.execute([&document])?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// The real program on a port of its own; killed when dropped.
struct Server {
    child: Child,
    address: String,
    token: String,
    started: Duration,
}

impl Server {
    fn start(folder: &Path) -> Result<Server, Failure> {
        let database: PathBuf = folder.join("plumm.db");
        let run = |arguments: &[&str]| {
            Command::new(BINARY).arg("--db").arg(&database).args(arguments).output()
        };
        run(&["org", "create", "acme", "--activate"])?;
        let made = run(&["--json", "token", "create", "acme"])?;
        let made: serde_json::Value = serde_json::from_slice(&made.stdout)?;
        let token = made["token"].as_str().ok_or("no token")?.to_owned();
        let begun = Instant::now();
        let mut child = Command::new(BINARY)
            .arg("--db")
            .arg(&database)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let mut address = None;
        for line in lines.by_ref() {
            if let Some((_, it)) = line?.split_once("listening on http://") {
                address = Some(it.to_owned());
                break;
            }
        }
        let started = begun.elapsed();
        thread::spawn(move || lines.for_each(drop));
        Ok(Server { child, address: address.ok_or("it did not listen")?, token, started })
    }

    fn load(&self, users: usize) -> Result<Vec<String>, Failure> {
        let mut client = Client::connect(self)?;
        let mut ids = Vec::with_capacity(users);
        for i in 0..users {
            let (status, body) = client.call(&post(i))?;
            let body: serde_json::Value = serde_json::from_slice(body)?;
            let id = body["id"].as_str().filter(|_| status == 201);
            ids.push(id.ok_or_else(|| format!("{status}: {body}"))?.to_owned());
        }
        Ok(ids)
    }

    /// Resident memory, as the kernel counts it.
    fn memory_mib(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|it| it.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Call = (&'static str, String, String);

fn get(target: &str) -> Call {
    ("GET", target.to_owned(), String::new())
}

fn user_name(i: usize) -> String {
    format!("user{i:07}@example.com")
}

fn post(i: usize) -> Call {
    let name = user_name(i);
    let body = format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"{name}\",\
         \"name\":{{\"givenName\":\"Test\",\"familyName\":\"User {i}\"}},\"emails\":[{{\"primary\":\
         true,\"value\":\"{name}\",\"type\":\"work\"}}],\"displayName\":\"Test User {i}\",\
         \"locale\":\"en-US\",\"externalId\":\"00u{i:017}\",\"groups\":[],\"password\":\"1mz050nq\",\
         \"title\":\"Engineer\",\"active\":true}}"
    );
    ("POST", "/Users".to_owned(), body)
}

/// One keep-alive connection.
struct Client {
    stream: BufReader<TcpStream>,
    prefix: String,
    out: Vec<u8>,
    body: Vec<u8>,
}

impl Client {
    fn connect(server: &Server) -> Result<Client, Failure> {
        let stream = TcpStream::connect(&server.address)?;
        stream.set_nodelay(true)?;
        let prefix = format!(
            " HTTP/1.1\r\nHost: {}\r\nAccept: application/scim+json\r\nAuthorization: Bearer {}\r\n",
            server.address, server.token
        );
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Ok(Client { stream, prefix, out: Vec::new(), body: Vec::new() })
    }

    fn call(&mut self, (method, target, body): &Call) -> Result<(u16, &[u8]), Failure> {
        self.out.clear();
        write!(self.out, "{method} /scim/v2{target}{}", self.prefix)?;
        if !body.is_empty() {
            let length = body.len();
            write!(
                self.out,
                "Content-Type: application/scim+json\r\nContent-Length: {length}\r\n"
            )?;
        }
        write!(self.out, "\r\n{body}")?;
        self.stream.get_mut().write_all(&self.out)?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).ok_or("no status")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse()?;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok((status, &self.body))
    }
}

/// Sends one kind of request over some connections for a while and prints its line.
fn measure(
    server: &Server,
    disk: f64,
    name: &str,
    connections: usize,
    expected: u16,
    call: impl Fn(usize) -> Call + Sync,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let mut times = thread::scope(|scope| -> Result<Vec<Duration>, Failure> {
        let worker = || -> Result<Vec<Duration>, Failure> {
            let mut client = Client::connect(server)?;
            let mut times = Vec::new();
            while begun.elapsed().as_secs_f64() < SECONDS {
                let call = call(next.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                let (status, body) = client.call(&call)?;
                times.push(sent.elapsed());
                if status != expected {
                    return Err(format!("{status}: {}", String::from_utf8_lossy(body)).into());
                }
            }
            Ok(times)
        };
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| "a worker panicked")??);
        }
        Ok(all)
    })?;
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100].as_secs_f64() * 1e3;
    println!("{name:<24} {connections:>5} {rate:>11.0} {:>7.2} {p99:>7.2} ms", rate / disk);
    Ok(())
}
