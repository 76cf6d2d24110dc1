//! A whole plumm on a watched folder, clients that change things, and the truth about the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plumm::app::App;
use plumm::auth;
use plumm::clock::Clock;
use plumm::config::Config;
use plumm::http::request::{Method, Request};
use plumm::scim::datetime::Timestamp;
use plumm::store::Store;
use plumm::store::error::Error;
use plumm::store::open::Open;
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::token::Scope;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::vfs;

/// The name of the database in its folder.
pub const DATABASE: &str = "plumm.db";

/// A folder of its own that is gone when the test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("plumm-crash-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        // SQLite names files by their real path.
        Folder(path.canonicalize().unwrap())
    }

    pub fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A plumm that serves a file.
pub struct Harness {
    pub app: App,
    pub store: Arc<Store>,
    pub token: String,
}

impl Harness {
    pub fn open(database: &Path, token: &str) -> Result<Harness, Error> {
        vfs::install();
        let store = Arc::new(Store::open(database, Open::Serve)?);
        let app = App::new(Arc::clone(&store), Config::default(), Clock::System);
        Ok(Harness { app, store, token: token.to_owned() })
    }

    /// A new file with an organisation and a token.
    pub fn new(database: &Path) -> Harness {
        let mut harness = Harness::open(database, "").unwrap();
        let now = now();
        let settings = OrgSettings::default();
        let org = harness.store.write(now, |tx| tx.add_org("acme", true, settings)).unwrap();
        let issued = auth::issue(&harness.store, now, &org, Scope::Scim, "okta", None).unwrap();
        harness.token = issued.secret.reveal().to_owned();
        harness
    }

    pub fn call(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let mut request = Request::new(Method::from_name(method), &format!("/scim/v2{target}"));
        let bearer = format!("Bearer {}", self.token);
        request.headers.push("Authorization", &bearer);
        if !body.is_null() {
            request.body = body.to_string().into_bytes();
        }
        let response = self.app.handle(&request);
        let body = match response.body.as_slice() {
            [] => Value::Null,
            text => serde_json::from_slice(text).unwrap(),
        };
        assert_eq!(body["status"].as_str().is_some(), response.status >= 400, "{body}");
        (response.status, body)
    }
}

fn now() -> Timestamp {
    Clock::System.now()
}

/// One identity provider: it changes its own users and groups only, which carry its tag.
pub struct Client {
    pub tag: String,
    chance: Chance,
    made: usize,
    users: Vec<(String, String)>,
    groups: Vec<String>,
}

/// What a request came to.
pub struct Outcome {
    pub what: String,
    pub status: u16,
    /// The resources that it has changed, and their versions where the answer says so.
    pub changed: Vec<(String, Option<String>)>,
}

impl Client {
    pub fn new(tag: String, seed: u64) -> Client {
        Client { tag, chance: Chance::new(seed), made: 0, users: Vec::new(), groups: Vec::new() }
    }

    /// Sends one request of any kind.
    pub fn step(&mut self, harness: &Harness) -> Outcome {
        let kind = if self.users.is_empty() { 0 } else { self.chance.below(12) };
        self.send(harness, kind)
    }

    /// Sends a request of this kind, 0 to 11. There is a user for all but the first.
    pub fn send(&mut self, harness: &Harness, kind: usize) -> Outcome {
        self.made += 1;
        let at = self.chance.below(self.users.len().max(1));
        let (id, name) = self.users.get(at).cloned().unwrap_or_default();
        let path = format!("/Users/{id}");
        match kind {
            0..=2 => {
                let name = format!("{}-u{}@example.com", self.tag, self.made);
                let outcome = self.call(harness, "POST", "/Users", &self.user(&name));
                self.keep(outcome, name)
            }
            3 => self.call(harness, "PUT", &path, &self.user(&name)),
            4 | 5 => {
                let active = self.chance.one_in(2);
                // The title makes it a change in any case.
                let value = json!({"active": active, "title": self.text()});
                let patch = patch(&json!([{"op": "replace", "value": value}]));
                self.call(harness, "PATCH", &path, &patch)
            }
            6 => {
                let members: Vec<Value> =
                    self.users.iter().rev().take(5).map(|(id, _)| json!({"value": id})).collect();
                let group = json!({
                    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                    "displayName": format!("{} group {}", self.tag, self.made),
                    "externalId": self.tag, "members": members,
                });
                let outcome = self.call(harness, "POST", "/Groups", &group);
                if outcome.status == 201 {
                    self.groups.push(outcome.changed[0].0.clone());
                }
                outcome
            }
            7 if !self.groups.is_empty() => {
                let group = format!("/Groups/{}", self.groups[self.made % self.groups.len()]);
                let title = json!({"op": "replace", "path": "displayName", "value": self.text()});
                let value = json!([{"value": id}]);
                let patch = match self.chance.below(2) {
                    0 => json!([title, {"op": "add", "path": "members", "value": value}]),
                    _ => json!([title, {"op": "remove",
                        "path": format!("members[value eq \"{id}\"]")}]),
                };
                self.call(harness, "PATCH", &group, &self::patch(&patch))
            }
            8 if self.users.len() > 2 => {
                let outcome = self.call(harness, "DELETE", &path, &Value::Null);
                if outcome.status == 204 {
                    self.users.remove(at);
                }
                Outcome { changed: vec![(id, None)], ..outcome }
            }
            9 => {
                // Refused for what it asks: the name is taken.
                self.call(harness, "POST", "/Users", &self.user(&name))
            }
            _ => self.bulk(harness, &path, &name),
        }
    }

    /// Two new users, a change and one that is refused, in one transaction.
    fn bulk(&mut self, harness: &Harness, path: &str, taken: &str) -> Outcome {
        let names = [1, 2].map(|i| format!("{}-b{}-{i}@example.com", self.tag, self.made));
        let post = |name: &str, bulk_id: &str| {
            json!({"method": "POST", "path": "/Users", "bulkId": bulk_id,
                "data": self.user(name)})
        };
        let title = json!([{"op": "replace", "path": "title", "value": self.text()}]);
        let operations = json!([
            post(&names[0], "a"),
            {"method": "PATCH", "path": path, "data": patch(&title)},
            post(taken, "b"),
            post(&names[1], "c"),
        ]);
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": operations});
        let (status, answer) = harness.call("POST", "/Bulk", &body);
        let mut changed = Vec::new();
        if status == 200 {
            let results = answer["Operations"].as_array().unwrap();
            let statuses: Vec<&str> = results.iter().map(|it| text(&it["status"])).collect();
            assert_eq!(statuses, ["201", "200", "409", "201"], "{answer}");
            for (i, result) in results.iter().enumerate().filter(|(i, _)| *i != 2) {
                let id = text(&result["location"]).rsplit('/').next().unwrap().to_owned();
                if i != 1 {
                    self.users.push((id.clone(), names[i / 2].clone()));
                }
                changed.push((id, None));
            }
        }
        Outcome { what: format!("POST /Bulk {answer}"), status, changed }
    }

    fn keep(&mut self, outcome: Outcome, name: String) -> Outcome {
        if outcome.status == 201 {
            self.users.push((outcome.changed[0].0.clone(), name));
        }
        outcome
    }

    fn call(&self, harness: &Harness, method: &str, target: &str, body: &Value) -> Outcome {
        let (status, answer) = harness.call(method, target, body);
        let id = answer["id"].as_str().map(str::to_owned);
        let version = answer["meta"]["version"].as_str().map(str::to_owned);
        let changed = id.into_iter().map(|id| (id, version.clone())).collect();
        Outcome { what: format!("{method} {target} {answer}"), status, changed }
    }

    fn user(&self, name: &str) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": name, "externalId": self.tag, "active": true, "title": self.text(),
            "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": true, "value": name, "type": "work"}],
        })
    }

    /// Another one each time; sometimes more than a page of the file.
    fn text(&self) -> String {
        let mut chance = Chance::new(self.made as u64 * 77);
        let letters = if chance.one_in(6) { 6000 } else { 20 };
        format!("{} {}", self.made, "x".repeat(letters))
    }
}

fn patch(operations: &Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": operations})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What the file has of each client, by its tag: every row there is.
pub type Rows = BTreeMap<String, Vec<String>>;

/// A connection beside plumm's, to look at the file.
pub fn look(database: &Path) -> Connection {
    Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// The rows of the clients whose tag fits a pattern, in one view of the file.
pub fn rows(connection: &Connection, tags: &str) -> Rows {
    let sql = "SELECT external_id, 'resource', id, version, active, deleted IS NULL,
            last_modified, document, seq FROM resource WHERE external_id GLOB ?1
        UNION ALL SELECT external_id, 'email', id, value, 0, 0, 0, '', 0
            FROM email JOIN resource ON resource.seq = email.resource WHERE external_id GLOB ?1
        UNION ALL SELECT it.external_id, 'member', it.id, other.id, 0, 0, 0, '', 0
            FROM member JOIN resource AS it ON it.seq = member.grp
            JOIN resource AS other ON other.seq = member.resource WHERE it.external_id GLOB ?1
        UNION ALL SELECT external_id, 'log', id, method, outcome, 0, time, changes, log.seq
            FROM provisioning_log AS log JOIN resource ON resource.id = log.resource
            WHERE external_id GLOB ?1
        ORDER BY 1, 2, 9, 3, 4";
    let mut statement = connection.prepare_cached(sql).unwrap();
    let mut rows = statement.query([tags]).unwrap();
    let mut found = Rows::new();
    while let Some(row) = rows.next().unwrap() {
        let line: Vec<String> =
            (1..8).map(|i| format!("{:?}", row.get::<_, SqlValue>(i).unwrap())).collect();
        found.entry(row.get(0).unwrap()).or_default().push(line.join(" "));
    }
    found
}

/// What is wrong with the file as such: nothing, in a whole one.
pub fn faults(connection: &Connection) -> Vec<String> {
    let sql = "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'
        UNION ALL SELECT 'foreign key of ' || \"table\" FROM pragma_foreign_key_check
        UNION ALL SELECT 'count of ' || it.type || ' is not ' || it.n FROM
            (SELECT org, type, sum(deleted IS NULL) AS n FROM resource GROUP BY org, type) AS it
            LEFT JOIN resource_count USING (org, type) WHERE resource_count.count IS NOT it.n
        UNION ALL SELECT 'a count of nothing' FROM resource_count WHERE count <> 0
            AND (org, type) NOT IN (SELECT org, type FROM resource)
        UNION ALL SELECT 'no log of ' || id FROM resource
            WHERE id NOT IN (SELECT resource FROM provisioning_log)";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(|it| it.unwrap_or_else(|it| it.to_string())).collect()
}
