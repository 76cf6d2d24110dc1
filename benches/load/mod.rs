//! What the benches over loopback share: the real program, a client that costs little, and the disk's
//! own rate.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rusqlite::Connection;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The program that is measured.
pub const BINARY: &str = env!("CARGO_BIN_EXE_plumm");

/// One insert of 900 bytes a transaction, as durable as plumm's: how many a second.
pub fn commit_rate(path: &Path, seconds: f64) -> Result<f64, Failure> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", 2)?;
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, document TEXT)")?;
    let document = "x".repeat(900);
    let mut insert = connection.prepare("INSERT INTO t (document) VALUES (?)")?;
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed().as_secs_f64() < seconds {
        insert.execute([&document])?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// A database with an organisation and a token.
pub struct Database {
    pub folder: PathBuf,
    pub token: String,
}

impl Database {
    pub fn new(folder: &Path) -> Result<Database, Failure> {
        let mut made = Database { folder: folder.to_owned(), token: String::new() };
        made.plumm(&["org", "create", "acme", "--activate"])?;
        let token = made.plumm(&["--json", "token", "create", "acme"])?;
        let token: serde_json::Value = serde_json::from_slice(&token.stdout)?;
        token["token"].as_str().ok_or("no token")?.clone_into(&mut made.token);
        Ok(made)
    }

    /// A command beside the server, or without one.
    pub fn plumm(&self, arguments: &[&str]) -> Result<Output, Failure> {
        let output = self.command(arguments).output()?;
        match output.status.success() {
            true => Ok(output),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(&self.folder).args(arguments).env("PLUMM_LOG", "info");
        // That of the host does not count.
        command.env("PLUMM_ENV_FILE", "");
        command
    }

    /// Starts a server; also with TLS, by a certificate made for it.
    pub fn serve(&self, tls: bool) -> Result<Server, Failure> {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut roots = None;
        if tls {
            let certificate = self.folder.join("plumm-cert.pem");
            if !certificate.exists() {
                self.plumm(&["tls", "self-signed"])?;
            }
            command.args(["--tls-cert", "plumm-cert.pem", "--tls-key", "plumm-key.pem"]);
            let mut store = RootCertStore::empty();
            store.add(CertificateDer::from_pem_file(certificate)?)?;
            let config = ClientConfig::builder().with_root_certificates(store);
            roots = Some(Arc::new(config.with_no_client_auth()));
        }
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        let mut address = None;
        for line in lines.by_ref() {
            if let Some((_, it)) = line?.split_once("listening on http") {
                address = it.split_once("://").map(|it| it.1.to_owned());
                break;
            }
        }
        let started = begun.elapsed();
        thread::spawn(move || lines.for_each(drop));
        let process = Process { child };
        let address = address.ok_or("it did not listen")?;
        Ok(Server {
            process,
            target: Target { address, token: self.token.clone(), roots },
            started,
        })
    }
}

/// A process that ends with its value.
pub struct Process {
    pub child: Child,
}

impl Process {
    /// Resident memory, as the kernel counts it.
    pub fn memory_mib(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|it| it.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The real program on a port of its own.
pub struct Server {
    pub process: Process,
    pub target: Target,
    /// From its start to the line that says it listens.
    pub started: Duration,
}

/// Where requests go.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    pub token: String,
    /// The authorities trusted under TLS; none for plain HTTP.
    pub roots: Option<Arc<ClientConfig>>,
}

/// A request: method, target below `/scim/v2`, body.
pub type Call = (&'static str, String, String);

pub fn get(target: impl Into<String>) -> Call {
    ("GET", target.into(), String::new())
}

pub fn user_name(i: usize) -> String {
    format!("user{i:07}@example.com")
}

/// A user as Okta pushes one.
pub fn user(i: usize, title: &str) -> String {
    let name = user_name(i);
    format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"{name}\",\
         \"name\":{{\"givenName\":\"Test\",\"familyName\":\"User {i}\"}},\"emails\":[{{\"primary\":\
         true,\"value\":\"{name}\",\"type\":\"work\"}}],\"displayName\":\"Test User {i}\",\
         \"locale\":\"en-US\",\"externalId\":\"00u{i:017}\",\"groups\":[],\"password\":\"1mz050nq\",\
         \"title\":\"{title}\",\"active\":true}}"
    )
}

pub fn post(i: usize) -> Call {
    ("POST", "/Users".to_owned(), user(i, "Engineer"))
}

pub fn lookup(i: usize) -> Call {
    let name = user_name(i).replace('@', "%40");
    get(format!("/Users?filter=userName%20eq%20%22{name}%22&startIndex=1&count=100"))
}

pub fn patch_active(id: &str, active: bool) -> Call {
    let patch = format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":\
         [{{\"op\":\"replace\",\"value\":{{\"active\":{active}}}}}]}}"
    );
    ("PATCH", format!("/Users/{id}"), patch)
}

/// A change that is one each time, by its number.
pub fn patch_title(id: &str, number: usize) -> Call {
    let patch = format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":\
         [{{\"op\":\"replace\",\"path\":\"title\",\"value\":\"Engineer {number}\"}}]}}"
    );
    ("PATCH", format!("/Users/{id}"), patch)
}

/// The id in the answer to a creation.
pub fn id_in(body: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(body)?;
    let (_, rest) = text.split_once("\"id\":\"").ok_or("no id")?;
    Ok(rest.split_once('"').ok_or("no id")?.0.to_owned())
}

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// One keep-alive connection.
pub struct Client {
    stream: BufReader<Box<dyn Wire>>,
    prefix: String,
    out: Vec<u8>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    pub fn connect(target: &Target) -> Result<Client, Failure> {
        let stream = TcpStream::connect(&target.address)?;
        stream.set_nodelay(true)?;
        let prefix = format!(
            " HTTP/1.1\r\nHost: {}\r\nAccept: application/scim+json\r\nAuthorization: Bearer {}\r\n",
            target.address, target.token
        );
        let stream: Box<dyn Wire> = match &target.roots {
            None => Box::new(stream),
            Some(roots) => {
                let name = ServerName::try_from("127.0.0.1")?;
                let tls = ClientConnection::new(Arc::clone(roots), name)?;
                Box::new(StreamOwned::new(tls, stream))
            }
        };
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Ok(Client { stream, prefix, out: Vec::new(), line: String::new(), body: Vec::new() })
    }

    pub fn call(&mut self, (method, target, body): &Call) -> Result<(u16, &[u8]), Failure> {
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
        self.line.clear();
        self.stream.read_line(&mut self.line)?;
        let status = self.line.split(' ').nth(1).ok_or("no status")?.parse()?;
        let mut length = 0;
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line)?;
            if self.line == "\r\n" {
                break;
            }
            if let Some((name, value)) = self.line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok((status, &self.body))
    }

    /// The body of an answer that must have this status.
    pub fn expect(&mut self, status: u16, call: &Call) -> Result<&[u8], Failure> {
        let (found, body) = self.call(call)?;
        match found == status {
            true => Ok(body),
            false => Err(format!("{found}: {}", String::from_utf8_lossy(body)).into()),
        }
    }
}

/// What was measured of a kind of request.
pub struct Measured {
    /// Requests a second.
    pub rate: f64,
    /// How long each took, the shortest first.
    pub times: Vec<Duration>,
}

impl Measured {
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let at = (self.times.len() as f64 * part) as usize;
        self.times[at.min(self.times.len() - 1)].as_secs_f64() * 1e3
    }
}

/// Calls `turn` again and again on some connections, for a while. A turn gets the number of the
/// turn and sends requests through the closure that it gets, which measures them.
pub fn measure(
    target: &Target,
    connections: usize,
    seconds: f64,
    turn: impl Fn(usize, &mut Timed) -> Result<(), Failure> + Sync,
) -> Result<Measured, Failure> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let mut times = thread::scope(|scope| -> Result<Vec<Duration>, Failure> {
        let worker = || -> Result<Vec<Duration>, Failure> {
            let mut timed = Timed { client: Client::connect(target)?, times: Vec::new() };
            while begun.elapsed().as_secs_f64() < seconds {
                turn(next.fetch_add(1, Ordering::Relaxed), &mut timed)?;
            }
            Ok(timed.times)
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
    Ok(Measured { rate, times })
}

/// A client whose requests are timed.
pub struct Timed {
    client: Client,
    times: Vec<Duration>,
}

impl Timed {
    /// The body of an answer that must have this status.
    pub fn expect(&mut self, status: u16, call: &Call) -> Result<&[u8], Failure> {
        let sent = Instant::now();
        let body = self.client.expect(status, call)?;
        self.times.push(sent.elapsed());
        Ok(body)
    }
}
