//! What every request goes through: one request value in, one response value out.
//!
//! The order of the steps is always the same: route, authenticate, endpoint, render, log.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::api::access::login;
use crate::api::operations::{health, metrics};
use crate::api::scim::bookmarks::Bookmarks;
use crate::api::scim::{self, Context, Failure};
use crate::auth::{Auth, Principal, Refusal};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::forwarded;
use crate::http::request::{Method, Request};
use crate::http::response::{JSON, Response, SCIM_JSON};
use crate::id;
use crate::metrics::{Metrics, Route};
use crate::rate::Rates;
use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, quoted};
use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::store::tables::org::{Org, OrgKey};
use crate::store::tables::token::Scope;
use crate::store::{self, Store};

/// What a client is asked to wait when the server has too much to do, in seconds. An integer: Okta
/// waits five minutes for anything else.
const RETRY_AFTER_SECONDS: &str = "1";

/// What a client is asked to wait that has been refused too often, in seconds.
const RETRY_AFTER_REFUSALS_SECONDS: u64 = 10;
const WAIT_AFTER_REFUSALS: &str = "Too many requests with a wrong API token came from this \
    address. Check the API token in the identity provider; requests with a valid one are answered \
    at once.";

/// For how long a browser that came over TLS is to come by nothing else, in seconds: a year.
const TRANSPORT_SECURITY: &str = "max-age=31536000";

/// The application behind every connection.
pub struct App {
    store: Arc<Store>,
    config: Config,
    clock: Clock,
    auth: Auth,
    rates: Rates,
    bookmarks: Bookmarks,
    metrics: Metrics,
    /// The definitions where identity changes are refused, and where they are allowed.
    refuse: Arc<Definitions>,
    allow: Arc<Definitions>,
    /// The definitions of each organisation that has schemas of its own.
    own: Mutex<HashMap<OrgKey, Own>>,
}

/// A request at work, with what was found out about it.
struct Call<'a> {
    request: &'a Request,
    /// The address of the client, as far as it is known.
    client: Option<IpAddr>,
    now: Timestamp,
    /// What the log calls the request.
    id: &'a str,
}

/// The definitions of one organisation, and what they were made from.
struct Own {
    schemas: i64,
    identity_changes: IdentityChanges,
    definitions: Arc<Definitions>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({:?})", self.store)
    }
}

impl App {
    /// An application on this store.
    #[must_use]
    pub fn new(store: Arc<Store>, config: Config, clock: Clock) -> App {
        App {
            store,
            config,
            metrics: Metrics::new(clock.now().nanoseconds() / 1_000_000_000),
            clock,
            auth: Auth::default(),
            rates: Rates::default(),
            bookmarks: Bookmarks::default(),
            refuse: Arc::new(Definitions::builtin(IdentityChanges::Refuse)),
            allow: Arc::new(Definitions::builtin(IdentityChanges::Allow)),
            own: Mutex::default(),
        }
    }

    /// The clock requests are answered by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The `Date` of an answer that is sent now.
    #[must_use]
    pub fn date(&self) -> String {
        self.clock.now().http_date()
    }

    /// Answers one request. Never fails and never panics: a panic below costs its own request only.
    #[must_use]
    pub fn handle(&self, request: &Request) -> Response {
        let started = Instant::now();
        let _at_work = self.metrics.requests_at_work.hold();
        let route = Route::of(&request.path);
        let id = format!("{:016x}", id::request());
        let client = forwarded::client(request, &self.config.trusted_proxies);
        let call = Call { request, client, now: self.clock.now(), id: &id };
        let response = self.guarded(&id, || self.answer(&call));
        let response = with_safety(response, route, request.secure);
        let took = started.elapsed();
        self.metrics.count_request(request.method.name(), route, response.status, took);
        // No query: a filter holds personal data.
        log::debug!(
            "{id} {} {} {} {} {:.1} ms",
            client.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            request.method,
            quoted(shown_path(&request.path)),
            response.status,
            took.as_secs_f64() * 1e3
        );
        response
    }

    /// The answer to a request that could not be read: a SCIM Error (RFC 7644 section 3.12).
    #[must_use]
    pub fn refuse(&self, status: u16, detail: &str) -> Response {
        self.metrics.count_unread(status);
        with_safety(scim_error(&Error::new(status, detail)), Route::Scim, false)
    }

    /// What no request should wait for: writes when tokens were last used, and removes lines of the
    /// provisioning log that are too old. To be called every minute or so.
    pub fn run_housekeeping(&self) {
        let now = self.clock.now();
        self.write_uses(now);
        let oldest = now.plus_seconds(-i64::from(self.config.log_days) * 24 * 60 * 60);
        loop {
            let trimmed = self.store.read(|tx| tx.log_has_before(oldest)).and_then(|old| {
                if old { self.store.write(now, |tx| tx.trim_log(oldest)) } else { Ok(false) }
            });
            match trimmed {
                // A bounded number at a time, so that writers get their turn.
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    log::warn!("old lines of the log could not be removed: {error}");
                    return;
                }
            }
        }
    }

    /// Writes what is still in memory; for the end of service.
    pub fn shut_down(&self) {
        self.write_uses(self.clock.now());
    }

    fn write_uses(&self, now: Timestamp) {
        if let Err(error) = self.auth.write_uses(&self.store, now) {
            log::warn!("the last use of the tokens could not be written: {error}");
        }
    }

    fn answer(&self, call: &Call) -> Response {
        let request = call.request;
        let segments = request.segments();
        let path: Vec<&str> = segments.iter().flatten().map(String::as_str).collect();
        let rest = segments.as_deref().and_then(|it| it.get(2..)).unwrap_or_default();
        let scim = request.path.trim_start_matches('/').split('/').next() == Some("scim");
        let answer = match path.as_slice() {
            _ if segments.is_none() && !scim => Err(nothing_here(request).into()),
            ["scim", "v2", ..] => self.scim(call, Some(rest)),
            _ if scim => self.scim(call, None),
            ["access", "v1", ..] => self.access(call, rest),
            ["metrics"] => self.metrics_text(call),
            ["healthz"] => only_get(request).map(|()| health::alive()),
            ["readyz"] => {
                only_get(request).and_then(|()| health::ready(&self.store).map_err(Failure::from))
            }
            _ => Err(nothing_here(request).into()),
        };
        answer.unwrap_or_else(|failure| {
            let response = render(failure, call.id);
            // Outside /scim the body is the same, but it is not called SCIM.
            let plain = ["access", "metrics", "healthz", "readyz"];
            if scim || !path.first().is_some_and(|it| plain.contains(it)) {
                return response;
            }
            let headers = response.headers.into_iter().filter(|(name, _)| *name != "Content-Type");
            let mut headers: Vec<_> = headers.collect();
            headers.push(("Content-Type", JSON.to_owned()));
            Response { headers, ..response }
        })
    }

    /// `rest`: the segments behind `/scim/v2`; none when the path is not below it.
    fn scim(&self, call: &Call, rest: Option<&[String]>) -> Result<Response, Failure> {
        let request = call.request;
        let principal = self.principal(call, Scope::Scim)?;
        if !principal.org.active {
            return Err(Error::new(
                403,
                format!(
                    "Provisioning is not activated for the organisation \"{}\". The API token is \
                     valid; Plumm Support activates provisioning.",
                    quoted(&principal.org.name)
                ),
            )
            .into());
        }
        let Some(rest) = rest else {
            return Err(nothing_here(request).into());
        };
        let base_url = self.base_url(request);
        let definitions = self.definitions(&principal.org)?;
        let context = Context {
            store: &self.store,
            change: None,
            bookmarks: &self.bookmarks,
            definitions: &definitions,
            principal: &principal,
            now: call.now,
            base_url: &base_url,
            client: call.client.map(|it| it.to_string()),
        };
        scim::handle(&context, request, rest)
    }

    fn access(&self, call: &Call, rest: &[String]) -> Result<Response, Failure> {
        let principal = self.principal(call, Scope::Access)?;
        let definitions = self.definitions(&principal.org)?;
        Ok(login::handle(&self.store, &definitions, principal.org.key, call.request, rest)?)
    }

    fn metrics_text(&self, call: &Call) -> Result<Response, Failure> {
        let org = self.principal(call, Scope::Admin)?.org.key;
        only_get(call.request)?;
        Ok(metrics::get(&self.metrics, &self.store, org, call.now)?)
    }

    /// The definitions of an organisation: the built-in ones, and its own schemas as they were when
    /// its number of changes was read.
    fn definitions(&self, org: &Org) -> Result<Arc<Definitions>, store::error::Error> {
        let identity_changes = org.settings.identity_changes;
        let builtin = match identity_changes {
            IdentityChanges::Refuse => &self.refuse,
            IdentityChanges::Allow => &self.allow,
        };
        if org.schemas == 0 {
            return Ok(Arc::clone(builtin));
        }
        let known = |own: &HashMap<OrgKey, Own>| {
            let found = own
                .get(&org.key)
                .filter(|it| (it.schemas, it.identity_changes) == (org.schemas, identity_changes));
            found.map(|it| Arc::clone(&it.definitions))
        };
        if let Some(definitions) = known(&self.own.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(definitions);
        }
        let registered = self.store.read(|tx| tx.schemas(org.key))?;
        let definitions = match registered.as_slice() {
            [] => Arc::clone(builtin),
            registered => {
                let each = registered.iter();
                let each = each.map(|it| (it.resource_type.as_str(), Arc::clone(&it.schema)));
                Arc::new(builtin.with_extensions(each))
            }
        };
        let made = Arc::clone(&definitions);
        let own = Own { schemas: org.schemas, identity_changes, definitions: made };
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(org.key, own);
        Ok(definitions)
    }

    fn principal(&self, call: &Call, scope: Scope) -> Result<Principal, Failure> {
        let now = call.now;
        let header = call.request.header("Authorization");
        let principal = self.auth.authenticate(&self.store, now, header).map_err(|refusal| {
            let failure = unauthorized(refusal);
            if !matches!(&failure, Failure::Scim(error) if error.status == 401) {
                return failure;
            }
            self.metrics.refused_tokens.add();
            let proxies = &self.config.trusted_proxies;
            let client = call.client.filter(|it| !forwarded::speaks_for_many(*it, proxies));
            match client.is_some_and(|it| self.auth.refused_too_often(it, now)) {
                true => {
                    let error = Error::new(429, WAIT_AFTER_REFUSALS);
                    Failure::TooMany(error, RETRY_AFTER_REFUSALS_SECONDS)
                }
                false => failure,
            }
        })?;
        let rate = principal.org.settings.rate;
        if let Some(wait) = self.rates.take(principal.org.key, principal.scope, rate, now) {
            self.metrics.rate_limited.add();
            return Err(too_fast(&principal.org, wait));
        }
        if principal.scope == scope {
            return Ok(principal);
        }
        Err(Error::new(
            403,
            format!(
                "This API token has the scope \"{}\", and this URL needs one with the scope \
                 \"{}\". Ask Plumm Support for a token of that scope.",
                principal.scope.word(),
                scope.word()
            ),
        )
        .into())
    }

    /// Runs a handler; a panic in it becomes a 500.
    fn guarded(&self, request_id: &str, answer: impl FnOnce() -> Response) -> Response {
        // Nothing of the request outlives the panic: an open transaction is rolled back by the
        // store.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            self.metrics.panics.add();
            log::error!("{request_id} a handler panicked; the message stands above");
            scim_error(&internal(request_id))
        })
    }

    /// The URL of `/scim/v2` as the client sees it.
    fn base_url(&self, request: &Request) -> String {
        if let Some(url) = &self.config.public_url {
            return format!("{url}/scim/v2");
        }
        let scheme = if request.secure { "https" } else { "http" };
        format!("{scheme}://{}/scim/v2", request.header("Host").unwrap_or("localhost"))
    }
}

/// The path as the log may have it: who is asked about at login is personal data, and a token that
/// someone pasted into the URL is a secret.
fn shown_path(path: &str) -> &str {
    let path = path.find("plm").map_or(path, |at| &path[..at + 3]);
    let first = path.trim_start_matches('/');
    match path.find("/users/") {
        Some(at) if first.starts_with("access") => &path[..at + 7],
        // Perhaps the same in other letters.
        _ if !first.starts_with("scim") => &path[..path.find('%').unwrap_or(path.len())],
        _ => path,
    }
}

/// The answer with the fields that keep it out of caches and browsers from guessing.
fn with_safety(mut response: Response, route: Route, secure: bool) -> Response {
    let mut add = |name, value: &str| response.headers.push((name, value.to_owned()));
    add("X-Content-Type-Options", "nosniff");
    if !matches!(route, Route::Health | Route::Other) {
        add("Cache-Control", "no-store");
    }
    if secure {
        add("Strict-Transport-Security", TRANSPORT_SECURITY);
    }
    response
}

fn only_get(request: &Request) -> Result<(), Failure> {
    match request.method {
        Method::Get | Method::Head => Ok(()),
        _ => Err(Failure::MethodNotAllowed("GET, HEAD")),
    }
}

fn nothing_here(request: &Request) -> Error {
    Error::new(
        404,
        format!(
            "There is nothing at {}. The base URL of the connector ends with /scim/v2.",
            quoted(&request.path)
        ),
    )
}

fn internal(request_id: &str) -> Error {
    Error::new(
        500,
        format!(
            "The server failed on this request, and nothing of it was applied. The reason stands \
             in the server's log under {request_id}."
        ),
    )
}

/// An organisation has sent more than it may, and is to come again in so many seconds.
fn too_fast(org: &Org, wait: u64) -> Failure {
    let (name, rate) = (quoted(&org.name), org.settings.rate);
    let (requests, seconds) = (
        if rate == 1 { "request" } else { "requests" },
        if wait == 1 { "second" } else { "seconds" },
    );
    let detail = format!(
        "The organisation \"{name}\" may send {rate} {requests} a minute and has sent more. Send \
         the request again in {wait} {seconds}. Plumm Support raises the limit with `plumm org set \
         ORG --rate N`."
    );
    Failure::TooMany(Error::new(429, detail), wait)
}

fn unauthorized(refusal: Refusal) -> Failure {
    let detail = match refusal {
        Refusal::Store(error) => return error.into(),
        Refusal::Busy => {
            let detail = "Too many API tokens are being checked at this moment; send the request \
                          again.";
            return Error::new(503, detail).into();
        }
        Refusal::Missing => {
            "No API token was sent. Paste the API token into the identity provider's API token \
             field."
                .to_owned()
        }
        Refusal::Malformed => "What was sent is no API token of plumm: those begin with plm_. \
             Paste the whole API token into the identity provider's API token field."
            .to_owned(),
        Refusal::Mistyped => "The API token is incomplete or mistyped. Copy the whole text, from \
             plm_ to its last letter."
            .to_owned(),
        Refusal::Wrong => {
            "This API token is not valid here. Check that it belongs to this server, \
             or ask Plumm Support for a new one."
                .to_owned()
        }
        Refusal::Revoked(at) => {
            format!("This API token was revoked on {at}. Ask Plumm Support for a new one.")
        }
        Refusal::Expired(at) => {
            format!("This API token expired on {at}. Ask Plumm Support for a new one.")
        }
    };
    Error::new(401, detail).into()
}

/// A failure as the client is told it; its cause goes to the log, once.
fn render(failure: Failure, request_id: &str) -> Response {
    match failure {
        Failure::Scim(error) if error.status == 401 => {
            scim_error(&error).with_header("WWW-Authenticate", "Bearer realm=\"plumm\"")
        }
        Failure::Scim(error) if error.status == 503 => {
            log::warn!("{request_id} {}", error.detail);
            scim_error(&error).with_header("Retry-After", RETRY_AFTER_SECONDS)
        }
        Failure::TooMany(error, wait) => {
            scim_error(&error).with_header("Retry-After", wait.to_string())
        }
        Failure::Scim(error) => scim_error(&error),
        Failure::MethodNotAllowed(allowed) => {
            scim_error(&scim::method_not_allowed(allowed)).with_header("Allow", allowed)
        }
        Failure::Store(error) => {
            log::error!("{request_id} {error}");
            match error {
                store::error::Error::Conflict(_) => scim_error(&scim::in_use()),
                store::error::Error::Busy => scim_error(&Error::new(
                    503,
                    "The server has too much to do at this moment; send the request again.",
                ))
                .with_header("Retry-After", RETRY_AFTER_SECONDS),
                store::error::Error::Full => scim_error(&Error::new(
                    507,
                    "The server's disk is full, and nothing of this request was applied. Make \
                     room, then send it again.",
                )),
                store::error::Error::Disk(_)
                | store::error::Error::Undone
                | store::error::Error::ReadOnly(_)
                | store::error::Error::Io(..) => scim_error(&Error::new(
                    503,
                    "The server's disk failed on this request. The reason stands in the server's \
                     log; send the request again.",
                ))
                .with_header("Retry-After", RETRY_AFTER_SECONDS),
                _ => scim_error(&internal(request_id)),
            }
        }
    }
}

fn scim_error(error: &Error) -> Response {
    Response::new(error.status, SCIM_JSON, error.to_json().to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_its_own_request_only() {
        let file = std::env::temp_dir().join(format!("plumm-app-{}", std::process::id()));
        let store = Arc::new(Store::open(&file, store::Open::Create).unwrap());
        let _ = std::fs::remove_file(&file);
        let app = App::new(store, Config::default(), Clock::System);
        let response = app.guarded("1234", || panic!("on purpose"));
        assert_eq!(response.status, 500);
        let body = String::from_utf8(response.body).unwrap();
        assert!(body.contains("under 1234") && !body.contains("on purpose"));
    }

    #[test]
    fn too_much_to_do_is_answered_with_when_to_come_again() {
        let read_only = store::error::Error::ReadOnly("plumm.db".into());
        for failure in [
            unauthorized(Refusal::Busy),
            Failure::Store(store::error::Error::Busy),
            Failure::Store(read_only),
        ] {
            let response = render(failure, "1");
            let retry_after = response.header("Retry-After");
            assert_eq!((response.status, retry_after), (503, Some(RETRY_AFTER_SECONDS)));
        }
    }

    #[test]
    fn the_cause_of_a_store_failure_stays_inside() {
        let cases = [
            (store::error::Error::Invalid("secret cause".to_owned()), 500),
            (store::error::Error::Busy, 503),
            (store::error::Error::Undone, 503),
            (store::error::Error::Full, 507),
            (store::error::Error::Conflict("secret cause".to_owned()), 409),
        ];
        for (error, status) in cases {
            let response = render(Failure::Store(error), "1");
            assert_eq!(response.status, status);
            assert!(!String::from_utf8(response.body).unwrap().contains("secret cause"));
        }
    }
}
