//! What a change of members costs beside the size of the group, in this process, without a socket.
//!
//! `cargo bench --bench groups` prints a table; nothing is asserted about time. Every change waits
//! for the disk, so one that has nothing to do with groups stands first.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

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

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// Users that are there before anything is measured.
const USERS: usize = 50_010;
/// How often each change is made.
const TIMES: usize = 100;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("groups");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let bench = Bench::new(&folder)?;
    let people = bench.people()?;
    println!("{:<52} {:>10} {:>10}", "request", "median", "worst");

    let title = |i: usize| {
        let operation = json!([{"op": "replace", "path": "title", "value": format!("T{i}")}]);
        ("PATCH", format!("/Users/{}", people[0]), patch(&operation))
    };
    bench.measure("PATCH a user's title", TIMES, title)?;
    let stranger = &people[USERS - 1];
    for size in [10, 1_000, 50_000] {
        let group = bench.group(&format!("Group {size}"), &people[..size])?;
        let at = format!("/Groups/{group}");
        let add_or_remove = |i: usize| {
            let path = format!("members[value eq \"{stranger}\"]");
            let operation = match i % 2 {
                0 => json!([{"op": "add", "path": "members", "value": [{"value": stranger}]}]),
                _ => json!([{"op": "remove", "path": path}]),
            };
            ("PATCH", at.clone(), patch(&operation))
        };
        bench.measure(&format!("PATCH one member, group of {size}"), TIMES, add_or_remove)?;
        let again = |_| {
            let value = json!([{"value": people[3]}]);
            let operation = json!([{"op": "add", "path": "members", "value": value}]);
            ("PATCH", at.clone(), patch(&operation))
        };
        bench.measure(&format!("PATCH a member again, group of {size}"), TIMES, again)?;
        bench.measure(&format!("GET the group of {size}"), 5, |_| get(&at))?;
        let brief = format!("{at}?excludedAttributes=members");
        bench.measure(&format!("GET the group of {size} less members"), TIMES, |_| get(&brief))?;
    }

    let post = |i: usize| {
        ("POST", "/Groups".to_owned(), group_body(&format!("New {i}"), &people[..5_000]))
    };
    bench.measure("POST a group with 5,000 members", 5, post)?;
    let crowd = bench.group("Crowd", &people[..5_000])?;
    let one_by_one = |i: usize| {
        let op = ["remove", "add"][i % 2];
        let operations = people[..5_000]
            .iter()
            .map(|it| json!({"op": op, "path": "members", "value": [{"value": it}]}));
        ("PATCH", format!("/Groups/{crowd}"), patch(&operations.collect()))
    };
    bench.measure("PATCH 5,000 operations of a member each", 4, one_by_one)?;
    let turn = |i: usize| {
        let half = &people[i % 2 * 5_000..][..5_000];
        ("PUT", format!("/Groups/{crowd}"), group_body("Crowd", half))
    };
    bench.measure("PUT 5,000 other members", 4, turn)?;

    let page = "/Users?startIndex=40001&count=100".to_owned();
    bench.measure("list of 100 users, each in 1 group", TIMES, |_| get(&page))?;
    for i in 0..20 {
        bench.group(&format!("Small {i}"), &people[50_000 - 9_990..50_000 - 9_790])?;
    }
    let page = "/Users?startIndex=40051&count=100".to_owned();
    bench.measure("list of 100 users, each in 21 groups", TIMES, |_| get(&page))?;
    let page = "/Users?startIndex=40051&count=100&excludedAttributes=groups".to_owned();
    bench.measure("the same list without groups", TIMES, |_| get(&page))?;
    let user = format!("/Users/{}", people[40_060]);
    bench.measure("GET one user in 21 groups", TIMES, |_| get(&user))?;
    println!("most memory: {}", memory());
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
        let settings = OrgSettings::default();
        let org = store.write(now, |tx| tx.add_org("acme", true, settings)).map_err(text)?;
        let issued = auth::issue(&store, now, &org, Scope::Scim, "", None).map_err(text)?;
        let app = App::new(Arc::clone(&store), Config::default(), Clock::fixed(now));
        Ok(Bench { app, store, org, token: issued.secret.reveal().to_owned(), now })
    }

    /// Makes the users, beside SCIM: their making is not measured.
    fn people(&self) -> Result<Vec<String>, Failure> {
        let kind = Kind { org: self.org.key, resource_type: "User", location_base: "" };
        let made = self.store.write(self.now, |tx| {
            let mut made = Vec::new();
            for i in 0..USERS {
                let id = id::resource(1_700_000_000_000 + i as u64);
                let name = format!("user{i}@example.com");
                let body = json!({
                    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": id,
                    "userName": name, "displayName": format!("User {i}"), "active": true,
                    "name": {"givenName": "User", "familyName": i.to_string()},
                    "emails": [{"value": name, "type": "work", "primary": true}],
                });
                let document = body.as_object().cloned().unwrap_or_default();
                tx.add_resource(kind, &id, &document)?;
                made.push(id);
            }
            Ok::<_, Error>(made)
        });
        Ok(made.map_err(text)?)
    }

    fn group(&self, name: &str, people: &[String]) -> Result<String, Failure> {
        let answer = self.send("POST", "/Groups", group_body(name, people));
        let made: Value = serde_json::from_slice(&answer.body)?;
        let id = made["id"].as_str().ok_or_else(|| made.to_string())?;
        Ok(id.to_owned())
    }

    fn send(&self, method: &str, target: &str, body: String) -> Response {
        let target = format!("/scim/v2{target}");
        let mut request = Request::new(Method::from_name(method), &target);
        request.headers.push("Host", "plumm.example");
        request.headers.push("Authorization", &format!("Bearer {}", self.token));
        request.body = body.into_bytes();
        self.app.handle(&request)
    }

    fn measure(
        &self,
        what: &str,
        times: usize,
        request: impl Fn(usize) -> (&'static str, String, String),
    ) -> Result<(), Failure> {
        let mut taken = Vec::new();
        for i in 0..times {
            let (method, target, body) = request(i);
            let start = Instant::now();
            let answer = self.send(method, &target, body);
            taken.push(start.elapsed());
            if answer.status >= 300 {
                return Err(String::from_utf8_lossy(&answer.body).into());
            }
        }
        taken.sort();
        let shown = |it: Duration| format!("{:.2} ms", it.as_secs_f64() * 1e3);
        println!("{what:<52} {:>10} {:>10}", shown(taken[times / 2]), shown(taken[times - 1]));
        Ok(())
    }
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn get(target: &str) -> (&'static str, String, String) {
    ("GET", target.to_owned(), String::new())
}

fn patch(operations: &Value) -> String {
    let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    json!({"schemas": [schema], "Operations": operations}).to_string()
}

fn group_body(name: &str, people: &[String]) -> String {
    let members: Vec<Value> = people.iter().map(|it| json!({"value": it})).collect();
    json!({"schemas": [CORE], "displayName": name, "members": members}).to_string()
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|it| it.starts_with("VmHWM"));
    peak.unwrap_or("unknown").trim_start_matches("VmHWM:").trim().to_owned()
}
