//! The real server over loopback, beside the disk's own rate and a hyper server in the same run.
//!
//! Machines are noisy, so every rate is also given as a ratio: to D, which is one insert of 900 bytes
//! a transaction by one thread, WAL and synchronous FULL, on the same disk in the same run; or to a
//! hyper server that answers the same bytes from memory. Nothing is asserted about time.
//!
//! `cargo bench --bench lifecycle` prints the table; `PLUMM_BENCH_USERS=1000000` has a million users
//! loaded before, over SCIM.

mod load;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use load::{
    BINARY, Client, Database, Failure, Measured, Process, Target, Timed, commit_rate, get, id_in,
    lookup, measure, patch_active, patch_title, post, user,
};

/// Users that are there before anything is measured, unless `PLUMM_BENCH_USERS` says otherwise.
const USERS: usize = 5_000;
/// How long each line is measured.
const SECONDS: f64 = 3.0;
/// Connections on which the lifecycle is measured.
const LIFECYCLES: [usize; 3] = [1, 8, 64];
/// Other processes on a busy host.
const SPINNING: usize = 2;
/// Users whose ids are known, for requests by id.
const KNOWN: usize = 1_000;
/// Connections that load, and users in one Bulk request.
const LOADERS: usize = 4;
const BULK: usize = 500;

fn main() -> Result<(), Failure> {
    let users = match env::var("PLUMM_BENCH_USERS") {
        Ok(text) => text.parse()?,
        Err(_) => USERS,
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lifecycle");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let disk = commit_rate(&folder.join("disk.db"), SECONDS)?;
    println!("D, one 900-byte insert a transaction: {disk:.0}/s");
    println!("binary: {:.1} MB", fs::metadata(BINARY)?.len() as f64 / 1e6);
    let database = Database::new(&folder)?;
    let server = database.serve(false)?;
    println!("start-up, empty: {:.1} ms", ms(server.started));
    println!("memory, idle: {:.1} MiB", server.process.memory_mib()?);
    let begun = Instant::now();
    load(&server.target, users)?;
    println!("{users} users loaded by Bulk: {:.0}/s", users as f64 / begun.elapsed().as_secs_f64());
    println!("memory, then: {:.1} MiB", server.process.memory_mib()?);
    drop(server);
    let server = database.serve(false)?;
    println!("start-up, {users} users: {:.1} ms", ms(server.started));
    let target = &server.target;
    let (next, changes) = (AtomicUsize::new(users), AtomicUsize::new(0));
    let bench = Bench { users, disk, next, changes, ids: some_ids(target, users)? };

    println!(
        "\n{:<34} {:>5} {:>11} {:>7} {:>9} {:>9}",
        "", "conn", "requests/s", "x D", "p50", "p99"
    );
    let mut quiet = Vec::new();
    for connections in LIFECYCLES {
        let measured = measure(target, connections, SECONDS, |_, it| bench.lifecycle(it))?;
        bench.print("lifecycle (4 writes in 6 requests)", connections, &measured);
        quiet.push(measured.rate);
    }
    let others: Vec<_> = (0..SPINNING).map(|_| spinning()).collect::<Result<_, _>>()?;
    for (connections, quiet) in LIFECYCLES.into_iter().zip(quiet) {
        let measured = measure(target, connections, SECONDS, |_, it| bench.lifecycle(it))?;
        let of_quiet = measured.rate / quiet;
        bench.print(&format!("the same on a busy host: {of_quiet:.2}"), connections, &measured);
    }
    drop(others);
    for connections in [1, 8] {
        bench.line(target, "POST", connections, 201, |_| post(bench.fresh()))?;
        bench.line(target, "PATCH title", connections, 200, |i| {
            patch_title(bench.id(i), bench.another())
        })?;
    }
    for connections in [1, 8] {
        bench.line(target, "lookup by userName", connections, 200, |i| lookup(bench.any(i)))?;
        bench.line(target, "GET by id", connections, 200, |i| bench.by_id(i))?;
        bench.line(target, "page of 100, the first", connections, 200, |_| page(1))?;
        let last = bench.next.load(Ordering::Relaxed) - 99;
        bench.line(target, "page of 100, the last", connections, 200, |_| page(last))?;
    }
    backup(&database, &bench, target)?;
    println!("\nmemory at the end: {:.1} MiB", server.process.memory_mib()?);
    println!("\nbeside hyper, which answers the same bytes from memory, 8 connections:");
    beside_hyper(&folder, target, "lookup by userName", |i| lookup(bench.any(i)))?;
    beside_hyper(&folder, target, "page of 100, the first", |_| page(1))?;
    beside_hyper(&folder, target, "GET by id", |i| bench.by_id(i))?;
    drop(server);
    let tls = database.serve(true)?;
    beside_hyper(&folder, &tls.target, "GET by id, plumm under TLS", |i| bench.by_id(i))?;
    drop(tls);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

struct Bench {
    users: usize,
    disk: f64,
    /// The number of the next user that is not there yet.
    next: AtomicUsize,
    /// The number of the next change.
    changes: AtomicUsize,
    ids: Vec<String>,
}

impl Bench {
    fn fresh(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn another(&self) -> usize {
        self.changes.fetch_add(1, Ordering::Relaxed)
    }

    fn any(&self, i: usize) -> usize {
        i * 7919 % self.users
    }

    fn id(&self, i: usize) -> &str {
        &self.ids[i % self.ids.len()]
    }

    fn by_id(&self, i: usize) -> load::Call {
        get(format!("/Users/{}", self.id(i)))
    }

    /// What Okta sends about one person, from the first day to the return.
    fn lifecycle(&self, client: &mut Timed) -> Result<(), Failure> {
        let i = self.fresh();
        client.expect(200, &lookup(i))?;
        let id = id_in(client.expect(201, &post(i))?)?;
        let path = format!("/Users/{id}");
        client.expect(200, &get(path.as_str()))?;
        client.expect(200, &("PUT", path, user(i, "Lead")))?;
        client.expect(200, &patch_active(&id, false))?;
        client.expect(200, &patch_active(&id, true))?;
        Ok(())
    }

    fn line(
        &self,
        target: &Target,
        name: &str,
        connections: usize,
        status: u16,
        call: impl Fn(usize) -> load::Call + Sync,
    ) -> Result<(), Failure> {
        let turn = |i, it: &mut Timed| it.expect(status, &call(i)).map(|_| ());
        self.print(name, connections, &measure(target, connections, SECONDS, turn)?);
        Ok(())
    }

    fn print(&self, name: &str, connections: usize, measured: &Measured) {
        let (rate, times) = (measured.rate, measured.rate / self.disk);
        let (p50, p99) = (measured.quantile_ms(0.5), measured.quantile_ms(0.99));
        println!(
            "{name:<34} {connections:>5} {rate:>11.0} {times:>7.2} {p50:>6.2} ms {p99:>6.2} ms"
        );
    }
}

fn once(client: &mut Timed, call: &load::Call) -> Result<(), Failure> {
    client.expect(200, call).map(|_| ())
}

fn page(start: usize) -> load::Call {
    get(format!("/Users?startIndex={start}&count=100"))
}

/// Creates the first users, over SCIM as everything else.
fn load(target: &Target, users: usize) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), Failure> {
        let mut client = Client::connect(target)?;
        loop {
            let first = next.fetch_add(BULK, Ordering::Relaxed);
            if first >= users {
                return Ok(());
            }
            let last = (first + BULK).min(users);
            let operations = (first..last).map(|i| {
                format!(
                    "{{\"method\":\"POST\",\"path\":\"/Users\",\"bulkId\":\"{i}\",\"data\":{}}}",
                    user(i, "Engineer")
                )
            });
            let body = format!(
                "{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:BulkRequest\"],\
                 \"Operations\":[{}]}}",
                operations.collect::<Vec<_>>().join(",")
            );
            let answer = client.expect(200, &("POST", "/Bulk".to_owned(), body))?;
            let made = String::from_utf8_lossy(answer).matches("\"status\":\"201\"").count();
            if made != last - first {
                return Err(format!("{made} of {} users were created", last - first).into());
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..LOADERS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    })
}

/// The ids of users from all over the list.
fn some_ids(target: &Target, users: usize) -> Result<Vec<String>, Failure> {
    let mut client = Client::connect(target)?;
    let known = KNOWN.min(users);
    (0..known).map(|i| id_in(client.expect(200, &lookup(i * users / known))?)).collect()
}

/// Writers at a steady 300 a second, without and with an online backup beside them.
fn backup(database: &Database, bench: &Bench, target: &Target) -> Result<(), Failure> {
    const WRITERS: usize = 4;
    const PAUSE: Duration = Duration::from_micros(13_333);
    let paced = |seconds: f64| {
        measure(target, WRITERS, seconds, |i, it| {
            let sent = Instant::now();
            it.expect(200, &patch_title(bench.id(i), bench.another()))?;
            thread::sleep(PAUSE.saturating_sub(sent.elapsed()));
            Ok(())
        })
    };
    let before = paced(SECONDS)?;
    let mut child = database.command(&["backup", "copy.db"]).stdout(Stdio::null()).spawn()?;
    let begun = Instant::now();
    // Until the backup ends, in pieces short enough to say when that was.
    let (mut sent, mut slowest) = (0, Duration::ZERO);
    let status = loop {
        let piece = paced(0.25)?;
        sent += piece.times.len();
        slowest = slowest.max(piece.times.last().copied().unwrap_or_default());
        if let Some(status) = child.try_wait()? {
            break status;
        }
    };
    let during = sent as f64 / begun.elapsed().as_secs_f64();
    println!(
        "\nbackup: {status}, {:.1} s; writers {:.0}/s before, {during:.0}/s meanwhile ({:.2}); slowest \
         write {:.1} ms",
        begun.elapsed().as_secs_f64(),
        before.rate,
        during / before.rate,
        ms(slowest)
    );
    Ok(())
}

/// How many requests of a kind plumm answers, and hyper with the bytes of the first answer.
fn beside_hyper(
    folder: &Path,
    target: &Target,
    name: &str,
    call: impl Fn(usize) -> load::Call + Sync,
) -> Result<(), Failure> {
    let bytes = Client::connect(target)?.expect(200, &call(0))?.to_owned();
    let plumm = measure(target, 8, SECONDS, |i, it| once(it, &call(i)))?.rate;
    match hyper(folder, &bytes) {
        Ok((_process, hyper)) => {
            let hyper = measure(&hyper, 8, SECONDS, |i, it| once(it, &call(i)))?.rate;
            println!("{name:<34} {plumm:>11.0}/s of {hyper:.0}/s: {:.2}", plumm / hyper);
        }
        Err(error) => println!("{name}: no hyper server to compare with: {error}"),
    }
    Ok(())
}

/// A process that does nothing but take a processor; it ends by itself if this one is killed.
fn spinning() -> Result<Process, Failure> {
    let turns = "i=0; while [ $i -lt 100000000 ]; do i=$((i+1)); done";
    Ok(Process { child: Command::new("sh").args(["-c", turns]).spawn()? })
}

/// A hyper server that answers these bytes from memory (`benches/baseline`).
fn hyper(folder: &Path, bytes: &[u8]) -> Result<(Process, Target), Failure> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "plumm-baseline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if !built.success() {
        return Err("it could not be built".into());
    }
    let file = folder.join("answer.json");
    fs::write(&file, bytes)?;
    let binary = Path::new(BINARY).with_file_name("plumm-baseline");
    let mut child = Command::new(binary).arg(file).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let process = Process { child };
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address)?;
    let target = Target { address: address.trim().to_owned(), token: "-".to_owned(), roots: None };
    Ok((process, target))
}
