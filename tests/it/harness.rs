//! The harness: a whole plumm in this process, on a database of its own, without a socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plumm::app::App;
use plumm::auth;
use plumm::clock::Clock;
use plumm::config::Config;
use plumm::http::request::{Method, Request};
use plumm::http::response::Response;
use plumm::scim::datetime::Timestamp;
use plumm::store::Store;
use plumm::store::error::Error;
use plumm::store::open::Open;
use plumm::store::tables::org::{Org, OrgSettings};
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// The time every harness starts at.
pub const START: &str = "2026-01-31T08:00:00Z";

/// A folder of its own that is gone when the test is over.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("plumm-it-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn database(&self) -> PathBuf {
        self.0.join("plumm.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An activated organisation `acme` with a token, and everything to talk to it.
pub struct Harness {
    pub app: Arc<App>,
    pub store: Arc<Store>,
    pub org: Org,
    token: String,
    pub now: Timestamp,
    pub folder: Folder,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|it| panic!("{it}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Checks that this is a SCIM Error as RFC 7644 section 3.12 has it, with these words in
    /// `detail`.
    #[track_caller]
    pub fn refused(self, status: u16, scim_type: Option<&str>, words: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(body["status"], json!(status.to_string()));
        assert_eq!(body.get("scimType").and_then(Value::as_str), scim_type, "{}", self.text);
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(words), "\"{words}\" is not in \"{detail}\"");
        assert_eq!(self.header("Content-Type"), Some("application/scim+json"));
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        let headers = response.headers.iter().map(|(name, it)| (name.to_string(), it.to_string()));
        Answer {
            status: response.status,
            headers: headers.collect(),
            text: String::from_utf8(response.body).unwrap(),
        }
    }
}

impl Harness {
    pub fn new() -> Harness {
        Harness::with(OrgSettings::default())
    }

    pub fn with(settings: OrgSettings) -> Harness {
        Harness::configured(settings, Config::default())
    }

    pub fn configured(settings: OrgSettings, config: Config) -> Harness {
        let folder = Folder::new();
        let store = Arc::new(Store::open(&folder.database(), Open::Serve).unwrap());
        let now = Timestamp::parse(START).unwrap();
        let org = store.write(now, |tx| tx.add_org("acme", true, settings)).unwrap();
        let issued = auth::issue(&store, now, &org, Scope::Scim, "okta", None).unwrap();
        let clock = Clock::fixed(now);
        let app = Arc::new(App::new(Arc::clone(&store), config, clock));
        let token = issued.secret.reveal().to_owned();
        Harness { app, store, org, token, now, folder }
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// A further token of the organisation.
    pub fn issue(&self, scope: Scope) -> String {
        self.issue_for(&self.org, scope)
    }

    /// A further organisation, activated, with a token.
    pub fn neighbour(&self, name: &str) -> (Org, String) {
        let settings = OrgSettings::default();
        let org = self.store.write(self.now, |tx| tx.add_org(name, true, settings)).unwrap();
        let token = self.issue_for(&org, Scope::Scim);
        (org, token)
    }

    fn issue_for(&self, org: &Org, scope: Scope) -> String {
        let issued = auth::issue(&self.store, self.now, org, scope, "", None).unwrap();
        issued.secret.reveal().to_owned()
    }

    /// Sends a request as it stands.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_bytes(method, target, headers, body.as_bytes())
    }

    pub fn send_bytes(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = request(method, target, headers);
        request.body = body.to_vec();
        self.app.handle(&request).into()
    }

    /// Sends a request with a token.
    pub fn with_token(&self, token: &str, method: &str, target: &str, body: &str) -> Answer {
        self.send(method, target, &[("Authorization", &format!("Bearer {token}"))], body)
    }

    /// Sends a request below `/scim/v2` with the harness's token.
    pub fn call(&self, method: &str, target: &str, body: &str) -> Answer {
        self.with_token(&self.token, method, &format!("/scim/v2{target}"), body)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.call("GET", target, "")
    }

    pub fn post(&self, target: &str, body: &Value) -> Answer {
        self.call("POST", target, &body.to_string())
    }

    pub fn put(&self, target: &str, body: &Value) -> Answer {
        self.call("PUT", target, &body.to_string())
    }

    /// A PATCH with these operations.
    pub fn patch(&self, target: &str, operations: &Value) -> Answer {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations,
        });
        self.call("PATCH", target, &body.to_string())
    }

    /// Creates a user and returns the resource.
    #[track_caller]
    pub fn user(&self, user_name: &str) -> Value {
        self.post("/Users", &user(user_name)).expect(201).json()
    }

    /// Lets no change happen until what is returned is dropped; those that come meanwhile wait.
    pub fn hold_writes(&self) -> HeldWrites {
        let (release, released) = mpsc::channel::<()>();
        let (hold, held) = mpsc::channel();
        let (store, now) = (Arc::clone(&self.store), self.now);
        let thread = thread::spawn(move || {
            let held = store.write(now, |_| -> Result<(), Error> {
                hold.send(()).unwrap();
                // It ends with an error: the other end is dropped.
                let _ = released.recv();
                Ok(())
            });
            held.unwrap();
        });
        held.recv().unwrap();
        HeldWrites { release: Some(release), thread: Some(thread) }
    }

    /// How many users a filter finds.
    #[track_caller]
    pub fn count(&self, filter: &str) -> i64 {
        let target = format!("/Users?count=0&filter={}", encoded(filter));
        self.get(&target).expect(200).json()["totalResults"].as_i64().unwrap()
    }
}

/// See [`Harness::hold_writes`].
pub struct HeldWrites {
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for HeldWrites {
    fn drop(&mut self) {
        drop(self.release.take());
        self.thread.take().map(JoinHandle::join);
    }
}

/// A request without a body.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::new(Method::from_name(method), &target.replace(' ', "%20"));
    request.headers.push("Host", "plumm.example");
    for (name, value) in headers {
        request.headers.push(name, value);
    }
    request
}

/// Waits until something is so, which must come.
#[track_caller]
pub fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it has not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A user as Okta creates one.
pub fn user(user_name: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name,
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": user_name, "type": "work"}],
        "displayName": "Test User",
        "locale": "en-US",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": true
    })
}

/// Percent-encoded for a query.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|it| match it {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(it).to_string()
            }
            _ => format!("%{it:02X}"),
        })
        .collect()
}
