//! What a request costs beside the number of users, in this process, without a socket.
//!
//! `cargo bench --bench million` prints a table for 1,000 and for 100,000 users; nothing is
//! asserted about time. `PLUMM_BENCH_USERS=1000000` (several numbers with commas between them) says
//! otherwise; a million takes some minutes, 2 GB of disk, and 1.5 GB of memory to make the users.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use plumm::app::App;
use plumm::auth;
use plumm::clock::Clock;
use plumm::config::Config;
use plumm::http::request::{Method, Request};
use plumm::http::response::Response;
use plumm::id;
use plumm::scim::datetime::Timestamp;
use plumm::store::Store;
use plumm::store::error::Error;
use plumm::store::open::Open;
use plumm::store::tables::org::{Org, OrgSettings};
use plumm::store::tables::resource::Kind;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

/// Users of one transaction while they are made, and members of one request.
const BATCH: usize = 50_000;
/// The members of the large group.
const CROWD: usize = 100_000;
/// How long one line of the table may take, in all its turns.
const LINE_MAX: Duration = Duration::from_secs(3);
/// The most turns of a line.
const TURNS_MAX: usize = 200;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let sizes = env::var("PLUMM_BENCH_USERS").unwrap_or_else(|_| "1000,100000".to_owned());
    for size in sizes.split(',') {
        table(size.trim().parse()?)?;
    }
    Ok(())
}

fn table(users: usize) -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("million");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let bench = Bench::new(&folder)?;
    let started = Instant::now();
    let people = bench.people(users)?;
    println!("\n{users} users, made in {:.1} s", started.elapsed().as_secs_f64());
    println!("{:<52} {:>10} {:>10}", "request", "median", "worst");

    let some = |i: usize| i * 7919 % users;
    let name = |i: usize| format!("user{}@example.com", some(i));
    let find = |filter: String| get(&format!("/Users?filter={}", encoded(&filter)));
    bench.line("userName eq", |i| find(format!("userName eq \"{}\"", name(i))))?;
    bench.line("externalId eq", |i| find(format!("externalId eq \"00u{}\"", some(i))))?;
    bench.line("emails.value eq", |i| find(format!("emails.value eq \"{}\"", name(i))))?;
    bench.line("GET one", |i| get(&format!("/Users/{}", people[some(i)])))?;
    bench.line("PATCH title", |i| {
        let operation = json!([{"op": "replace", "path": "title", "value": format!("T{i}")}]);
        patch(&format!("/Users/{}", people[some(i)]), &operation)
    })?;

    let page = |start: usize| get(&format!("/Users?startIndex={start}&count=100"));
    bench.line("page of 100, first", |_| page(1))?;
    bench.line("page of 100, last, by a jump", |_| page(users.saturating_sub(99).max(1)))?;
    bench.line("page of 100, middle, by a jump", |_| page(users / 2 + 2))?;
    bench.line("page of 100, behind the end", |_| page(users + 1))?;
    bench.walk("walk by index, count 100", "/Users?count=100", users)?;
    bench.walk("walk by index, count 1000", "/Users?count=1000", users)?;
    let filter = encoded("title pr");
    bench.walk(
        "walk of title pr, count 1000",
        &format!("/Users?count=1000&filter={filter}"),
        users,
    )?;

    for filter in [
        "active eq false",
        "userName sw \"user77\"",
        "userName co \"r77\"",
        "userName co \"nobody\"",
        "userName ew \"77@example.com\"",
        "displayName co \"nobody\"",
        "emails.value co \"nobody\"",
        "name.familyName eq \"nobody\"",
        "title co \"nobody\"",
        "meta.lastModified gt \"2030-01-01T00:00:00Z\"",
    ] {
        bench.line(filter, |_| find(filter.to_owned()))?;
    }
    bench.line("sortBy userName", |_| get("/Users?sortBy=userName"))?;
    bench.line("sortBy name.familyName", |_| get("/Users?sortBy=name.familyName"))?;
    bench.beside_slow_filters(&people)?;

    for size in [10, CROWD.min(users - 1)] {
        let at = format!("/Groups/{}", bench.group(&people[..size])?);
        let stranger = &people[users - 1];
        bench.line(&format!("PATCH one member, group of {size}"), |i| {
            let operation = match i % 2 {
                0 => json!([{"op": "add", "path": "members", "value": [{"value": stranger}]}]),
                _ => json!([{"op": "remove", "path": format!("members[value eq \"{stranger}\"]")}]),
            };
            patch(&at, &operation)
        })?;
    }
    let bytes = fs::metadata(folder.join("plumm.db"))?.len();
    println!("memory now {}, at most {}", memory("VmRSS:"), memory("VmHWM:"));
    println!("file {} MB, {} bytes a user", bytes / 1_000_000, bytes / users as u64);
    drop(bench);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

struct Bench {
    app: App,
    store: Arc<Store>,
    org: Org,
    token: String,
    now: Timestamp,
}

impl Bench {
    fn new(folder: &Path) -> Result<Bench, Failure> {
        let store = Arc::new(Store::open(&folder.join("plumm.db"), Open::Serve).map_err(text)?);
        let now = Timestamp::from_nanoseconds(1_700_000_000_000_000_000);
        let settings = OrgSettings { rate: 100_000_000, ..OrgSettings::default() };
        let org = store.write(now, |tx| tx.add_org("acme", true, settings)).map_err(text)?;
        let issued = auth::issue(&store, now, &org, Scope::Scim, "", None).map_err(text)?;
        let app = App::new(Arc::clone(&store), Config::default(), Clock::fixed(now));
        Ok(Bench { app, store, org, token: issued.secret.reveal().to_owned(), now })
    }

    /// Makes the users, beside SCIM: their making is not measured.
    fn people(&self, users: usize) -> Result<Vec<String>, Failure> {
        let kind = Kind { org: self.org.key, resource_type: "User", location_base: "" };
        let mut made = Vec::with_capacity(users);
        for first in (0..users).step_by(BATCH) {
            let batch = self.store.write(self.now, |tx| {
                let batch = (first..users.min(first + BATCH)).map(|i| {
                    let id = id::resource(1_700_000_000_000 + i as u64);
                    tx.add_resource(kind, &id, &person(&id, i)).map(|_| id)
                });
                batch.collect::<Result<Vec<_>, Error>>()
            });
            made.extend(batch.map_err(text)?);
        }
        Ok(made)
    }

    fn group(&self, people: &[String]) -> Result<String, Failure> {
        let schema = "urn:ietf:params:scim:schemas:core:2.0:Group";
        let name = format!("Group of {}", people.len());
        let body = json!({"schemas": [schema], "displayName": name});
        let answer = self.send(&("POST", "/Groups".to_owned(), body.to_string()))?;
        let made: Value = serde_json::from_slice(&answer.body)?;
        let id = made["id"].as_str().unwrap_or_default().to_owned();
        for part in people.chunks(BATCH) {
            let members: Vec<Value> = part.iter().map(|it| json!({"value": it})).collect();
            let operation = json!([{"op": "add", "path": "members", "value": members}]);
            self.send(&patch(&format!("/Groups/{id}"), &operation))?;
        }
        Ok(id)
    }

    fn send(&self, (method, target, body): &(&str, String, String)) -> Result<Response, Failure> {
        let target = format!("/scim/v2{target}");
        let mut request = Request::new(Method::from_name(method), &target);
        request.headers.push("Host", "plumm.example");
        request.headers.push("Authorization", &format!("Bearer {}", self.token));
        request.body = body.clone().into_bytes();
        let answer = self.app.handle(&request);
        if answer.status >= 300 {
            return Err(String::from_utf8_lossy(&answer.body).into());
        }
        Ok(answer)
    }

    /// Measures a request in several turns.
    fn line(
        &self,
        what: &str,
        request: impl Fn(usize) -> (&'static str, String, String),
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut taken = Vec::new();
        while taken.len() < TURNS_MAX && (taken.len() < 3 || started.elapsed() < LINE_MAX) {
            let request = request(taken.len());
            let turn = Instant::now();
            self.send(&request)?;
            taken.push(turn.elapsed());
        }
        print(what, taken);
        Ok(())
    }

    /// Walks a whole list by `startIndex`; the last line is what a page at the end costs beside one
    /// at the beginning.
    fn walk(&self, what: &str, target: &str, users: usize) -> Result<(), Failure> {
        let (mut start, mut total, mut taken) = (1, 1, Vec::new());
        while start <= total {
            let request = get(&format!("{target}&startIndex={start}"));
            let turn = Instant::now();
            let answer = self.send(&request)?;
            taken.push(turn.elapsed());
            let list: Value = serde_json::from_slice(&answer.body)?;
            total = list["totalResults"].as_u64().unwrap_or(0);
            start += list["Resources"].as_array().map_or(0, Vec::len).max(1) as u64;
        }
        if start != users as u64 + 1 {
            return Err(format!("{what}: {} of {users} users", start - 1).into());
        }
        let some = (taken.len() / 10).clamp(1, 100);
        let mean = |it: &[Duration]| it.iter().sum::<Duration>().as_secs_f64() / it.len() as f64;
        let ratio = mean(&taken[taken.len() - some..]) / mean(&taken[..some]);
        let all: Duration = taken.iter().sum();
        let pages = taken.len();
        print(what, taken);
        println!("    {pages} pages in {:.2} s, last to first {ratio:.2}", all.as_secs_f64());
        Ok(())
    }

    /// What short requests cost while more long lists are asked for than may be read at once.
    fn beside_slow_filters(&self, people: &[String]) -> Result<(), Failure> {
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for i in 0..16 {
                let ended = &ended;
                scope.spawn(move || {
                    let filter = encoded(&format!("name.familyName co \"nobody{i}\""));
                    let request = get(&format!("/Users?filter={filter}"));
                    while !ended.load(Ordering::Relaxed) {
                        // Refused with 503 when it had to wait too long, as it should be.
                        let _ = self.send(&request);
                    }
                });
            }
            let name = |i: usize| format!("user{}@example.com", i * 7919 % people.len());
            let find =
                |i| format!("/Users?filter={}", encoded(&format!("userName eq \"{}\"", name(i))));
            let found = self.line("userName eq, beside 16 slow filters", |i| get(&find(i)));
            ended.store(true, Ordering::Relaxed);
            found
        })
    }
}

fn person(id: &str, i: usize) -> serde_json::Map<String, Value> {
    let name = format!("user{i}@example.com");
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": id, "userName": name,
        "externalId": format!("00u{i}"), "displayName": format!("User {i}"), "active": i % 20 != 7,
        "name": {"givenName": "User", "familyName": format!("Family {i}")}, "locale": "en-US",
        "title": format!("Title {}", i % 1_000),
        "emails": [{"value": name, "type": "work", "primary": true}],
    });
    body.as_object().cloned().unwrap_or_default()
}

fn print(what: &str, mut taken: Vec<Duration>) {
    taken.sort();
    let shown = |it: Duration| format!("{:.2} ms", it.as_secs_f64() * 1e3);
    let (median, worst) = (taken[taken.len() / 2], taken[taken.len() - 1]);
    println!("{what:<52} {:>10} {:>10}", shown(median), shown(worst));
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn get(target: &str) -> (&'static str, String, String) {
    ("GET", target.to_owned(), String::new())
}

fn patch(target: &str, operations: &Value) -> (&'static str, String, String) {
    let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    let body = json!({"schemas": [schema], "Operations": operations});
    ("PATCH", target.to_owned(), body.to_string())
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    let byte = |it: u8| match it.is_ascii_alphanumeric() {
        true => char::from(it).to_string(),
        false => format!("%{it:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn memory(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|it| it.strip_prefix(field));
    found.unwrap_or("unknown").trim().to_owned()
}
