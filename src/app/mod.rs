//! What every request goes through: one request value in, one response value out.
//!
//! The order of the steps is always the same: id, clock, route, authenticate, rate, handler,
//! render, count, log.

pub mod answer;
mod parts;
mod refused;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::SCIM_BASE;
use crate::api::access::changes;
use crate::api::admin::host::{Host, Rotation};
use crate::api::context::{Context, Notes};
use crate::api::failure::{self, Failure, RETRY_AFTER_SECONDS};
use crate::api::pages::Pages;
use crate::api::router::{self, Located, Router};
use crate::api::scim::bookmarks::Bookmarks;
use crate::api::waiting::{End, Wait, Waiting};
use crate::app::answer::{Answer, Further, SLOW_READERS};
use crate::auth::{Auth, Opened, Principal, Refusal};
use crate::clock::{Clock, Steadiness};
use crate::config::{Backups, Config};
use crate::definitions::DefinitionsCache;
use crate::http::forwarded;
use crate::http::request::{Method, Request, shown_path};
use crate::http::response::Response;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::rate::Rates;
use crate::refusals::Refusals;
use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, quoted};
use crate::scim::schema::definitions::Definitions;
use crate::store::Store;
use crate::store::open_read::{Need, OpenRead};
use crate::store::tables::org::OrgKey;
use crate::store::tables::token::Scope;

/// For how long a browser that came over TLS is to come by nothing else, in seconds: a year.
const TRANSPORT_SECURITY: &str = "max-age=31536000";
/// The number of no organisation.
const NO_ORG: i64 = 0;
/// For one client that waits for a change there are this many connections: it holds its own.
const CONNECTIONS_PER_WAIT: usize = 4;

/// The application behind every connection.
pub struct App {
    store: Arc<Store>,
    config: Config,
    clock: Clock,
    steadiness: Steadiness,
    auth: Auth,
    rates: Rates,
    bookmarks: Bookmarks,
    metrics: Arc<Metrics>,
    memory: Memory,
    waiting: Waiting,
    pages: Pages,
    refusals: Refusals,
    host: Host,
    definitions: DefinitionsCache,
    router: Router,
}

/// What the head of a request says of its sender.
#[derive(Debug)]
pub enum Admission {
    /// A valid token, of the organisation with this key.
    Known(i64),
    /// The path needs no token, or there is nothing at it.
    Anonymous,
    /// No valid token where one is needed: this is the answer, whatever the body says.
    Refused(Response),
}

/// A request at work, with what was found out about it.
struct Call<'a> {
    request: &'a Request,
    /// The address of the client, as far as it is known.
    client: Option<IpAddr>,
    now: Timestamp,
    /// What the log and the record of changes call the request.
    id: &'a str,
    notes: &'a Notes,
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
        let definitions = DefinitionsCache::default();
        let router = Router::new(definitions.builtin());
        let rotation =
            |it: &Backups| Rotation { dir: it.dir.clone(), every: it.every, keep: it.keep };
        let backups = config.backups.as_ref().map(rotation);
        let host = Host::new(backups, config.demonstration);
        let started = clock.now().nanoseconds() / 1_000_000_000;
        App {
            store,
            config,
            metrics: Arc::new(Metrics::new(started, router.labels(), &changes::event_types())),
            clock,
            steadiness: Steadiness::default(),
            auth: Auth::default(),
            rates: Rates::default(),
            bookmarks: Bookmarks::default(),
            memory: Memory::default(),
            waiting: Waiting::default(),
            pages: Pages::default(),
            refusals: Refusals::default(),
            host,
            definitions,
            router,
        }
    }

    /// The clock requests are answered by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The memory that requests may take, and what is done beside them.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Answers one request. Never fails and never panics: a panic below costs its own request only.
    /// The answer is whole, however long it is.
    #[must_use]
    pub fn handle(&self, request: &Request) -> Response {
        let finish = |it, notes: &Notes| (it, self.further(notes));
        let (mut response, mut further) = self.handle_within(request, || (), finish);
        while let Some(more) = &mut further {
            match self.next_part(request, more, || ()) {
                Ok(Some(part)) => response.body.extend_from_slice(&part.bytes),
                Ok(None) | Err(_) => further = None,
            }
        }
        response
    }

    /// The same for a server that bounds how many requests are at work: all work is done with a
    /// permit in hand, and none is held while the client waits for a change. `finish` is a part of
    /// the work.
    fn handle_within<P, T>(
        &self,
        request: &Request,
        permit: impl Fn() -> P,
        finish: impl Fn(Response, &Notes) -> T,
    ) -> T {
        let located = self.router.locate(request);
        let id = request.id.as_str();
        let client = forwarded::client(request, &self.config.trusted_proxies);
        let (mut until, mut took, mut over) = (None, Duration::ZERO, false);
        let finish = |response: Response, notes: &Notes, took: Duration| {
            let response = with_safety(response, located.room.no_store, request.secure);
            let (method, status) = (request.method.name(), response.status);
            self.metrics.count_request(method, located.label, status, took);
            // No query: a filter holds personal data.
            if log::log_enabled!(log::Level::Debug) {
                let client = client.map_or_else(|| "-".to_owned(), |it| it.to_string());
                let path = quoted(shown_path(&request.path));
                let milliseconds = took.as_secs_f64() * 1e3;
                log::debug!(
                    client = client.as_str(), method, path = path.as_str(), status, milliseconds;
                    "{client} {method} {path} {status} {milliseconds:.1} ms"
                );
            }
            finish(response, notes)
        };
        loop {
            let at_work = (permit(), self.metrics.requests_at_work.hold());
            let (started, now) = (Instant::now(), self.clock.now());
            let notes = Notes { waited: until.is_some(), ..Notes::default() };
            let call = Call { request, client, now, id, notes: &notes };
            let response = self.guarded(id, || self.answer(&call, &located));
            took += started.elapsed();
            let Some(wait) = notes.wait.take().filter(|_| !over) else {
                return finish(response, &notes, took);
            };
            drop(at_work);
            drop(notes.taken.take());
            let until = *until.get_or_insert_with(|| Instant::now() + wait.time);
            match self.wait(wait, until) {
                End::Changed => {}
                // What there is already needs no place.
                End::Full if !notes.waited => {}
                // The answer from before the wait is old: the token may be revoked since.
                End::Over => over = true,
                End::Full => {
                    self.metrics.waits_refused.add();
                    let refusal = failure::too_many_wait(id, located.room.media_type);
                    return finish(refusal, &notes, took);
                }
            }
        }
    }

    /// Waits with a client for a change of its organisation.
    fn wait(&self, wait: Wait, until: Instant) -> End {
        self.waiting.wait(&self.store, wait, until, || self.metrics.clients_waiting.hold())
    }

    /// Leaves most of the connections, of which there are this many, to clients that do not wait.
    pub fn bound_waits(&self, connections: usize) {
        self.waiting.set_most(connections / CONNECTIONS_PER_WAIT);
    }

    /// Answers everyone who waits for a change, now and from now on, and lets the further parts of
    /// answers wait for nothing; for the end of service.
    pub fn end_waits(&self) {
        self.waiting.stop();
        self.memory.end_waits();
    }

    /// Whether a request is one that nobody may keep waiting: a login, or whether the server is
    /// there. It asks the database for a row or two at most.
    #[must_use]
    pub fn is_quick(request: &Request) -> bool {
        router::is_quick(&request.path)
    }

    /// Answers a request, and takes the memory of the answer until the returned value is dropped:
    /// when it is written. A client that does not read its answer holds no more than all clients
    /// may hold together. `permit`: what is held for as long as the request is at work.
    #[must_use]
    pub fn handle_and_take<P>(&self, request: &Request, permit: impl Fn() -> P) -> Answer {
        self.handle_within(request, permit, |it, notes| self.taking(request, it, notes))
    }

    /// An answer with the memory that it takes, out of what making it has taken.
    fn taking(&self, request: &Request, response: Response, notes: &Notes) -> Answer {
        let (further, taken) = (self.further(notes), notes.taken.take());
        if let Some(taken) = self.memory_of(notes).settle(taken, response.body.len()) {
            return Answer { response, taken: Some(taken), further };
        }
        // What a change answers is sent all the same, since it is done.
        let search = request.path.ends_with("/.search");
        if !search && !matches!(request.method, Method::Get | Method::Head) {
            return Answer { response, taken: None, further };
        }
        let refusal = self.refuse(503, SLOW_READERS);
        let response = refusal.with_header("Retry-After", RETRY_AFTER_SECONDS);
        Answer { response, taken: None, further: None }
    }

    /// What follows the part of an answer that is made.
    fn further(&self, notes: &Notes) -> Option<Further> {
        let rest = notes.rest.take()?;
        Some(Further { rest, memory: self.memory_of(notes) })
    }

    /// The memory that a request may take a part of. Those of no organisation share one part.
    fn memory_of(&self, notes: &Notes) -> Memory {
        self.memory.of(Some(notes.org.get().map_or(NO_ORG, OrgKey::number)))
    }

    /// Judges a request by its head, before memory is given to its body.
    #[must_use]
    pub fn admit(&self, request: &Request) -> Admission {
        let located = self.router.locate(request);
        let scopes = located.scopes(&request.method).unwrap_or(&[]);
        if scopes.is_empty() {
            return Admission::Anonymous;
        }
        let notes = Notes::default();
        let call = self.call(request, &notes);
        let failure = match self.authenticated(&call, &located, Need::TOKEN) {
            Ok(opened) => return Admission::Known(opened.principal.org.key.number()),
            Err(failure) => failure,
        };
        let response = refused(failure, &call, &located);
        let response = with_safety(response, located.room.no_store, request.secure);
        let (method, status) = (request.method.name(), response.status);
        self.metrics.count_request(method, located.label, status, Duration::ZERO);
        Admission::Refused(response)
    }

    /// The answer to a request that could not be read: a SCIM Error (RFC 7644 section 3.12).
    #[must_use]
    pub fn refuse(&self, status: u16, detail: &str) -> Response {
        self.metrics.count_unread(status);
        with_safety(failure::scim_error(&Error::new(status, detail)), true, false)
    }

    /// What no request should wait for: writes when tokens were last used, and removes lines of the
    /// provisioning log that are too old, once the clock can be trusted with that. To be called
    /// every minute or so.
    pub fn run_housekeeping(&self) {
        let now = self.clock.now();
        self.pages.drop_old();
        self.write_uses(now);
        if !self.steadiness.is_steady(&self.clock) {
            return;
        }
        let oldest = now.plus_seconds(-i64::from(self.config.log_days) * 24 * 60 * 60);
        if let Err(error) = self.store.remove_old(now, oldest) {
            log::warn!("old lines of the log could not be removed: {error}");
        }
    }

    /// Writes what is still in memory; for the end of service.
    pub fn shut_down(&self) {
        self.refusals.end();
        self.write_refusals();
        self.write_uses(self.clock.now());
    }

    /// Refused requests of no organisation, and those of all others until they are written.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Writes refused requests about once a second, while there are any, until the end of service;
    /// for a thread of its own.
    pub fn keep_refusals(&self) {
        while self.refusals.wait() {
            self.write_refusals();
        }
    }

    /// Writes the refused requests that are still in memory.
    pub fn write_refusals(&self) {
        self.refusals.write(&self.store, self.clock.now());
    }

    fn write_uses(&self, now: Timestamp) {
        if let Err(error) = self.auth.write_uses(&self.store, now) {
            log::warn!("the last use of the tokens could not be written: {error}");
        }
    }

    fn answer(&self, call: &Call, located: &Located) -> Response {
        let response = self.reply(call, located);
        let response = response.unwrap_or_else(|failure| refused(failure, call, located));
        match call.notes.seen.get().filter(|_| !located.room.guard.is_empty()) {
            Some(seen) => response.with_header("Plumm-Change", seen.to_string()),
            None => response,
        }
    }

    fn call<'a>(&self, request: &'a Request, notes: &'a Notes) -> Call<'a> {
        let client = forwarded::client(request, &self.config.trusted_proxies);
        Call { request, client, now: self.clock.now(), id: request.id.as_str(), notes }
    }

    fn reply(&self, call: &Call, located: &Located) -> Result<Response, Failure> {
        let request = call.request;
        if let Some(answer) = located.open(request, &self.store, || self.base_url(request)) {
            return answer;
        }
        self.as_known(call, located, |context| located.answer(context, request))
    }

    /// Does what the token of a request may have done, or keeps why not.
    fn as_known<T>(
        &self,
        call: &Call,
        located: &Located,
        work: impl FnOnce(&Context) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Some(scopes) = located.scopes(&call.request.method) else {
            return Err(located.nothing_here(call.request).into());
        };
        let (need, reads_rows) = located.need(&call.request.method);
        let Opened { principal, view, last_change } = self.authenticated(call, located, need)?;
        let (view, definitions) = ((view, last_change, reads_rows), OnceCell::new());
        let answer = self.judge(call, located, &principal, scopes);
        let answer =
            answer.and_then(|()| self.within_context(call, &principal, view, &definitions, work));
        let definitions = || definitions.get().map_or(self.definitions.builtin(), |it| it);
        if let Err(failure) = &answer {
            self.note_refusal(call, located, &principal, definitions(), failure);
        }
        self.note_operations(call, &principal, definitions());
        answer
    }

    fn within_context<T>(
        &self,
        call: &Call,
        principal: &Principal,
        (view, last_change, reads_rows): (OpenRead<'_>, Option<i64>, bool),
        found: &OnceCell<Arc<Definitions>>,
        work: impl FnOnce(&Context) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let request = call.request;
        let base_url = self.base_url(request);
        let definitions = self.definitions.of(&view.view()?, &principal.org)?;
        let definitions = found.get_or_init(|| definitions);
        call.notes.org.set(Some(principal.org.key));
        let (work_done, memory) = (Cell::default(), self.memory_of(call.notes));
        let context = Context {
            store: &self.store,
            auth: &self.auth,
            open: Cell::new((reads_rows || view.stays_open()).then_some((view, last_change))),
            change: None,
            bookmarks: &self.bookmarks,
            definitions,
            principal,
            now: call.now,
            base_url: &base_url,
            client: call.client,
            request_id: call.id,
            metrics: &self.metrics,
            pages: &self.pages,
            host: &self.host,
            notes: call.notes,
            dispatch: router::dispatch,
            memory: &memory,
            taken: &call.notes.taken,
            work_done: &work_done,
        };
        work(&context)
    }

    /// Whether whoever asks may ask this, and now.
    fn judge(
        &self,
        call: &Call,
        located: &Located,
        principal: &Principal,
        scopes: &[Scope],
    ) -> Result<(), Failure> {
        let rate = principal.org.settings.rate;
        // Not the time of the request: it may have waited for a reader since, and would find the
        // bucket emptied by those that overtook it.
        let now = self.clock.now();
        let take = || self.rates.take(principal.org.key, principal.scope, rate, now);
        if let Some(wait) = if call.notes.waited || call.notes.goes_on { None } else { take() } {
            self.metrics.rate_limited.add();
            return Err(failure::too_fast(&principal.org, wait));
        }
        if !scopes.contains(&principal.scope) {
            return Err(failure::wrong_scope(principal.scope, scopes));
        }
        match located.room.activated && !principal.org.active {
            true => Err(failure::not_activated(&principal.org)),
            false => Ok(()),
        }
    }

    /// Whoever the token of a request stands for, and the view in which that was read.
    fn authenticated(
        &self,
        call: &Call,
        located: &Located,
        need: Need,
    ) -> Result<Opened<'_>, Failure> {
        let now = call.now;
        let mut headers = call.request.headers.named("Authorization");
        let (header, further) = (headers.next(), headers.next());
        if further.is_some() {
            let detail = "Two Authorization fields were sent, and only one of them can count. Send \
                          the API token once.";
            let failure = Error::new(400, detail).into();
            self.note_stranger(call, located, &failure);
            return Err(failure);
        }
        if located.room.activated
            && forwarded::is_proxied(call.request, &self.config.trusted_proxies)
        {
            match header {
                Some(_) => self.metrics.proxied_with_token.add(),
                None => self.metrics.proxied_without_token.add(),
            }
        }
        self.auth.open(&self.store, now, header, need).map_err(|refusal| {
            let former = refusal.former().cloned();
            let failure = self.unauthorized(call, refusal);
            match former {
                Some(it) => {
                    self.note_refusal(call, located, &it, self.definitions.builtin(), &failure);
                }
                None => self.note_stranger(call, located, &failure),
            }
            failure
        })
    }

    /// Why there is nobody who asks; an address that has sent too many wrong tokens is told so.
    fn unauthorized(&self, call: &Call, refusal: Refusal) -> Failure {
        let failure = failure::unauthorized(refusal);
        if !matches!(&failure, Failure::Scim(error) if error.status == 401) {
            return failure;
        }
        self.metrics.refused_tokens.add();
        let proxies = &self.config.trusted_proxies;
        let client = forwarded::limited_client(call.request, proxies);
        let now = self.clock.now();
        match client.is_some_and(|it| self.auth.refused_too_often(it, now)) {
            true => failure::refused_too_often(),
            false => failure,
        }
    }

    /// Runs a handler; a panic in it becomes a 500.
    fn guarded(&self, request_id: &str, answer: impl FnOnce() -> Response) -> Response {
        // Nothing of the request outlives the panic: an open transaction is rolled back by the
        // store.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
            self.metrics.panics.add();
            log::error!("a handler panicked; the message stands above");
            failure::internal(request_id)
        })
    }

    /// The URL of `/scim/v2` as the client sees it.
    fn base_url(&self, request: &Request) -> String {
        if let Some(url) = &self.config.public_url {
            return [url.as_str(), SCIM_BASE].concat();
        }
        let scheme = if request.secure { "https://" } else { "http://" };
        [scheme, request.header("Host").unwrap_or("localhost"), SCIM_BASE].concat()
    }
}

/// The answer to a request that failed; its cause goes to the log.
fn refused(failure: Failure, call: &Call, located: &Located) -> Response {
    let cause = failure.cause();
    // Outside /scim the body is the same, but it is not called SCIM.
    let response = failure.response(call.id).with_content_type(located.room.media_type);
    if let Some((level, cause)) = cause {
        let (method, status) = (call.request.method.name(), response.status);
        log::log!(level, method, status; "{cause}");
    }
    response
}

/// The answer with the fields that keep it out of caches and browsers from guessing.
fn with_safety(mut response: Response, no_store: bool, secure: bool) -> Response {
    // What says itself how long it may be kept is no answer about anybody.
    let no_store = no_store && response.header("Cache-Control").is_none();
    let mut add = |name, value| response.headers.push((name, Cow::Borrowed(value)));
    add("X-Content-Type-Options", "nosniff");
    if no_store {
        add("Cache-Control", "no-store");
    }
    if secure {
        add("Strict-Transport-Security", TRANSPORT_SECURITY);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn a_panic_costs_its_own_request_only() {
        let file = std::env::temp_dir().join(format!("plumm-app-{}", std::process::id()));
        let store = Arc::new(Store::open(&file, store::open::Open::Create).unwrap());
        let _ = std::fs::remove_file(&file);
        let app = App::new(store, Config::default(), Clock::System);
        let response = app.guarded("1234", || panic!("on purpose"));
        assert_eq!(response.status, 500);
        let body = String::from_utf8(response.body).unwrap();
        assert!(body.contains("under 1234") && !body.contains("on purpose"));
    }
}
