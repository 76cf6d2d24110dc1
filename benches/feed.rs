//! The change feed: how soon a waiting client is told of a change, what those that wait cost those
//! that write, and what the feed costs each change and each answer.
//!
//! `cargo bench --bench feed` prints the figures. Nothing is asserted about time.

#[allow(dead_code, reason = "shared with the other benches")]
mod load;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use load::{Database, Failure, user};
use plumm::scim::datetime::Timestamp;
use plumm::store::Store;
use plumm::store::open::Open;
use plumm::store::tables::provisioning_log::{Actor, LogLine};
use rusqlite::Connection;
use serde_json::Value;

const WAITING: usize = 64;
const WRITING: usize = 8;
const SECONDS: f64 = 5.0;
/// The most changes of one run.
const CHANGES_MAX: usize = 1 << 20;
const LINES: usize = 20_000;
const COMMITS: usize = 2_000;

fn main() -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("feed");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let database = Database::new(&folder)?;
    let read = database.plumm(&["--json", "token", "create", "acme", "--scope", "read"])?;
    let read: Value = serde_json::from_slice(&read.stdout)?;
    let read = read["token"].as_str().ok_or("no token")?.to_owned();
    let server = database.serve(false)?;
    let run = Run {
        address: server.target.address.clone(),
        write: database.token,
        read,
        next: AtomicUsize::new(0),
    };
    println!("memory before: {:.1} MiB", server.process.memory_mib()?);
    for (waiting, writing, pause) in [
        (0, WRITING, Duration::ZERO),
        (1, 1, Duration::from_millis(20)),
        (WAITING, 1, Duration::from_millis(20)),
        (WAITING, WRITING, Duration::from_millis(20)),
        (WAITING, WRITING, Duration::ZERO),
        (0, WRITING, Duration::ZERO),
    ] {
        run.measure(waiting, writing, pause, &server.process)?;
    }
    drop(server);
    index_and_header(&folder)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

struct Run {
    address: String,
    write: String,
    read: String,
    /// The number of the next user.
    next: AtomicUsize,
}

impl Run {
    fn measure(
        &self,
        waiting: usize,
        writing: usize,
        pause: Duration,
        process: &load::Process,
    ) -> Result<(), Failure> {
        let mut client = Client::connect(&self.address, &self.write)?;
        let first = client.call("GET", "/scim/v2/Users?count=1", "")?.0;
        // When the answer to a change came, by its number, in microseconds after the start.
        let answered: Vec<AtomicU64> = (0..CHANGES_MAX).map(|_| AtomicU64::new(0)).collect();
        let begun = Instant::now();
        let micros = || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (stop, ready) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut told: Vec<(u64, u64)> = Vec::new();
        let (mut sent, mut memory) = (Vec::new(), 0.0);
        let writes_end = AtomicU64::new(u64::MAX);
        thread::scope(|scope| -> Result<(), Failure> {
            let follow = || -> Result<Vec<(u64, u64)>, Failure> {
                let mut client = Client::connect(&self.address, &self.read)?;
                let (mut after, mut told) = (first, Vec::new());
                ready.fetch_add(1, Ordering::SeqCst);
                while !stop.load(Ordering::SeqCst) {
                    let target = format!("/access/v1/changes?after={after}&limit=1000&wait=1");
                    let (_, body) = client.call("GET", &target, "")?;
                    let now = micros();
                    for part in body.split("\"sequence\":").skip(1) {
                        let number = part.split(',').next().ok_or("no number")?.parse()?;
                        told.push((number, now));
                    }
                    let last = body.rsplit("\"last\":").next().ok_or("no last")?;
                    after = last.split(',').next().ok_or("no last")?.parse()?;
                }
                Ok(told)
            };
            let followers: Vec<_> = (0..waiting).map(|_| scope.spawn(follow)).collect();
            while ready.load(Ordering::SeqCst) < waiting {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(200));
            memory = process.memory_mib()?;
            writes_end.store(micros() + (SECONDS * 1e6) as u64, Ordering::SeqCst);
            let write = || -> Result<Vec<Duration>, Failure> {
                let mut client = Client::connect(&self.address, &self.write)?;
                let mut times = Vec::new();
                while micros() < writes_end.load(Ordering::SeqCst) {
                    let body = user(self.next.fetch_add(1, Ordering::Relaxed), "Engineer");
                    let sent = Instant::now();
                    let (number, _) = client.call("POST", "/scim/v2/Users", &body)?;
                    times.push(sent.elapsed());
                    let place = usize::try_from(number - first)?;
                    answered[place].store(micros(), Ordering::SeqCst);
                    thread::sleep(pause);
                }
                Ok(times)
            };
            let writers: Vec<_> = (0..writing).map(|_| scope.spawn(write)).collect();
            for it in writers {
                sent.extend(it.join().map_err(|_| "a writer panicked")??);
            }
            thread::sleep(Duration::from_millis(500));
            stop.store(true, Ordering::SeqCst);
            for it in followers {
                told.extend(it.join().map_err(|_| "a follower panicked")??);
            }
            Ok(())
        })?;
        let delay = |(number, at): &(u64, u64)| -> Result<u64, Failure> {
            let place = usize::try_from(*number)? - usize::try_from(first)?;
            Ok(at.saturating_sub(answered[place].load(Ordering::SeqCst)))
        };
        let mut delays = told.iter().map(delay).collect::<Result<Vec<_>, _>>()?;
        delays.sort_unstable();
        sent.sort_unstable();
        let rate = sent.len() as f64 / SECONDS;
        println!(
            "{waiting} waiting, {writing} writing, pause {} ms: {rate:.0} changes/s, p50 {:.2} ms, \
             p99 {:.2} ms; memory {memory:.1} MiB",
            pause.as_millis(),
            quantile(&sent, 0.5).as_secs_f64() * 1e3,
            quantile(&sent, 0.99).as_secs_f64() * 1e3,
        );
        if waiting > 0 {
            println!(
                "    told {} times, expected {}; from the writer's answer to the follower's: p50 {:.2} \
                 ms, p99 {:.2} ms, longest {:.2} ms",
                delays.len(),
                sent.len() * waiting,
                quantile(&delays, 0.5) as f64 / 1e3,
                quantile(&delays, 0.99) as f64 / 1e3,
                quantile(&delays, 1.0) as f64 / 1e3,
            );
        }
        Ok(())
    }
}

fn quantile<T: Copy>(sorted: &[T], part: f64) -> T {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

/// One keep-alive connection.
struct Client {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Client {
    fn connect(address: &str, token: &str) -> Result<Client, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream), token: token.to_owned() })
    }

    /// The number in `Plumm-Change`, and the body.
    fn call(&mut self, method: &str, target: &str, body: &str) -> Result<(u64, String), Failure> {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Type: \
             application/scim+json\r\nContent-Length: {length}\r\n\r\n{body}",
            self.token
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut number, mut length, mut line) = (0, 0, String::new());
        let mut head = String::new();
        while line != "\r\n" {
            line.clear();
            self.stream.read_line(&mut line)?;
            head += &line;
            match line.trim_end().split_once(": ") {
                Some(("Plumm-Change", it)) => number = it.parse()?,
                Some(("Content-Length", it)) => length = it.parse()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        match head.starts_with("HTTP/1.1 20") {
            true => Ok((number, String::from_utf8(body)?)),
            false => Err(head.into()),
        }
    }
}

/// What the index costs a line, and the field `Plumm-Change` an answer.
fn index_and_header(folder: &Path) -> Result<(), Failure> {
    let changes: Value = serde_json::from_str(&user(1, "Engineer"))?;
    let now = Timestamp::parse("2026-01-31T08:00:00Z").ok_or("no time")?;
    for round in 0..3 {
        for indexed in [true, false] {
            let file = folder.join(format!("{round}-{indexed}.db"));
            let store = Store::open(&file, Open::Create)?;
            let org = store.write(now, |tx| tx.add_org("acme", true, Default::default()))?;
            drop(store);
            if !indexed {
                Connection::open(&file)?.execute_batch("DROP INDEX provisioning_log_org")?;
            }
            let store = Store::open(&file, Open::Existing)?;
            let actor = Actor { name: "ipceb05mrqbc".to_owned(), client: None, reason: None };
            let line = LogLine {
                org: org.key,
                actor: &actor,
                method: "PATCH",
                resource_type: "User",
                resource: "0197b5a4-0000-7000-8000-000000000000",
                outcome: 200,
                changes: &changes,
            };
            let begun = Instant::now();
            store.write(now, |tx| (0..LINES).try_for_each(|_| tx.log(&line)))?;
            let each = begun.elapsed().as_secs_f64() * 1e6 / LINES as f64;
            let begun = Instant::now();
            (0..COMMITS).try_for_each(|_| store.write(now, |tx| tx.log(&line)))?;
            let commit = begun.elapsed().as_secs_f64() * 1e6 / COMMITS as f64;
            store.checkpoint()?;
            let bytes = fs::metadata(&file)?.len();
            println!(
                "{} the index: {each:.2} µs a line, {commit:.0} µs a commit, file {:.2} MiB",
                if indexed { "with" } else { "without" },
                bytes as f64 / 1048576.0
            );
            if indexed {
                let nothing = |_: usize| store.read(|_| Ok::<_, plumm::store::error::Error>(()));
                let begun = Instant::now();
                (0..LINES).try_for_each(nothing)?;
                let empty = begun.elapsed();
                let begun = Instant::now();
                (0..LINES).try_for_each(|_| store.read(|tx| tx.last_change(org.key).map(drop)))?;
                let looked = begun.elapsed().saturating_sub(empty);
                let each = looked.as_secs_f64() * 1e6 / LINES as f64;
                println!("the number of the last change: {each:.2} µs");
            }
        }
    }
    Ok(())
}
