//! Certificates by ACME (RFC 8555): a thread that sees to it that there is one, and that it is
//! renewed in time.
//!
//! `order` obtains a certificate with a `client` of the directory, whose requests `jws` signs for
//! the `account`; `challenges` are what the server shows meanwhile. `storage` keeps what must not
//! be lost, and `schedule` says when. `problem` and `failure` put into words what went wrong.

pub mod account;
pub mod challenges;
pub mod client;
pub mod failure;
pub mod issued;
pub mod jws;
pub mod order;
pub mod problem;
pub mod renewal_info;
pub mod schedule;
pub mod settings;
pub mod storage;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::acme::challenges::Challenges;
use crate::acme::client::Client;
use crate::acme::failure::{Cause, Failure};
use crate::acme::order::{Obtained, Ordering};
use crate::acme::schedule::Window;
use crate::acme::settings::Settings;
use crate::acme::storage::{Held, State, Storage};
use crate::clock::Clock;
use crate::id;
use crate::scim::datetime::Timestamp;

/// The shortest wait, so that nothing turns without a rest,
const WAIT_MIN: Duration = Duration::from_millis(10);
/// and the longest without a look at the clock, which may have been set.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long `stop` waits for the thread. A request that is under way ends with the process; what is
/// on the disk is whole at each moment.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// How it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When the certificate ends, if there is one.
    pub expires: Option<Timestamp>,
    /// When the next attempt is made, or the certificate renewed.
    pub next: Option<Timestamp>,
    /// How many attempts failed since the last certificate.
    pub failed: u32,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// The thread, until it is stopped.
pub struct Acme {
    shared: Arc<Shared>,
    ended: Mutex<Receiver<()>>,
}

struct Shared {
    settings: Settings,
    storage: Storage,
    challenges: Arc<Challenges>,
    clock: Clock,
    /// Has a new certificate used.
    renewed: Box<dyn Fn() + Send + Sync>,
    signals: Mutex<Signals>,
    signalled: Condvar,
    status: Mutex<Status>,
    /// Why the file with the certificate cannot be used, once that was told.
    unusable: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Signals {
    stopping: bool,
    /// Whether somebody wants an attempt now.
    asked: bool,
}

/// What the directory suggests for one certificate.
#[derive(Debug)]
struct Suggested {
    /// The certificate, as the directory calls it.
    id: Option<String>,
    window: Option<Window>,
    /// When it is asked again.
    ask_at: Timestamp,
    /// Drawn for this certificate.
    random: u32,
}

impl Acme {
    /// Starts the thread. `renewed` is called when there is a new certificate.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        settings: Settings,
        storage: Storage,
        challenges: Arc<Challenges>,
        renewed: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Acme> {
        let shared = Arc::new(Shared {
            settings,
            storage,
            challenges,
            clock: Clock::System,
            renewed: Box::new(renewed),
            signals: Mutex::default(),
            signalled: Condvar::new(),
            status: Mutex::default(),
            unusable: Mutex::default(),
        });
        let (end, ended) = mpsc::channel();
        let runs = Arc::clone(&shared);
        let run = move || {
            let _end = end;
            // Without this thread, the certificate would end unnoticed some day.
            while catch_unwind(AssertUnwindSafe(|| runs.run())).is_err() {
                log::error!("ACME: a fault of plumm ended an attempt: please report it");
                if !runs.pause(WAIT_MAX) {
                    return;
                }
            }
        };
        thread::Builder::new().name("acme".to_owned()).spawn(run)?;
        Ok(Acme { shared, ended: Mutex::new(ended) })
    }

    /// What is asked for.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the next attempt now, as far as the directory allows, and asks what it suggests.
    pub fn ask(&self) {
        self.shared.signal(|it| it.asked = true);
    }

    /// Ends the thread, or leaves it to end with the process when a request is under way.
    pub fn stop(&self) {
        self.shared.signal(|it| it.stopping = true);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(STOP_TIME_MAX);
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.read_state();
        let mut suggested = None;
        // Whoever starts a server, or asks it, wants to see what comes of it: an attempt, and what
        // the directory suggests.
        let (mut asked, mut curious) = (true, true);
        loop {
            let held = self.held();
            let now = self.clock.now();
            let curious_now = std::mem::take(&mut curious);
            let suggested = self.suggested(&mut suggested, held.as_ref(), curious_now, now);
            let due = match held.as_ref().filter(|it| self.is_wanted(it)) {
                Some(it) => schedule::due(it.issued.validity, suggested.window, suggested.random),
                None => now,
            };
            let at = schedule::next(due, &state.attempts(), asked, now, suggested.random);
            self.publish(&mut state, held.as_ref(), at);
            if at <= now {
                asked = false;
                self.attempt(&mut state, held.as_ref(), suggested.random);
                if self.signals().stopping {
                    return;
                }
                continue;
            }
            let until = at.min(suggested.ask_at).nanoseconds();
            let left = u64::try_from(until.saturating_sub(now.nanoseconds())).unwrap_or(0);
            let wait = Duration::from_nanos(left).clamp(WAIT_MIN, WAIT_MAX);
            let idle = |it: &mut Signals| !it.stopping && !it.asked;
            let waited = self.signalled.wait_timeout_while(self.signals(), wait, idle);
            let mut signals = waited.unwrap_or_else(PoisonError::into_inner).0;
            if signals.stopping {
                return;
            }
            if std::mem::take(&mut signals.asked) {
                (asked, curious) = (true, true);
            }
        }
    }

    /// What is kept; a file that cannot be read is put aside, and costs a new account.
    fn read_state(&self) -> State {
        let Settings { domains, email, directory, .. } = &self.settings;
        let read = self.storage.state().unwrap_or_else(|words| {
            match self.storage.put_state_aside() {
                Ok(to) => log::error!(
                    "ACME: {words}: it is put aside as {}, and a new account is made",
                    to.display()
                ),
                Err(error) => log::error!("ACME: {words}, and cannot be put aside: {error}"),
            }
            State::default()
        });
        if (&read.domains, &read.email, &read.directory) == (domains, email, directory) {
            return read;
        }
        // What was refused before may be what has been mended since.
        let mut state = State::default();
        state.domains.clone_from(domains);
        state.email.clone_from(email);
        state.directory.clone_from(directory);
        state.account = read.account;
        state
    }

    /// The certificate that is kept, whoever has issued it and for whatever names.
    fn held(&self) -> Option<Held> {
        let read = self.storage.certificate();
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(it) => {
                *unusable = None;
                it
            }
            Err(words) => {
                if unusable.as_ref() != Some(&words) {
                    log::error!("ACME: {words}: another one is asked for, and takes its place");
                    *unusable = Some(words);
                }
                None
            }
        }
    }

    /// Whether it is the one that the settings ask for, and has not ended.
    fn is_wanted(&self, held: &Held) -> bool {
        held.issued.is_for(&self.settings.domains) && held.directory == self.settings.directory
    }

    /// What the directory suggests for the certificate, asked for when it is time.
    fn suggested<'a>(
        &self,
        known: &'a mut Option<Suggested>,
        held: Option<&Held>,
        curious: bool,
        now: Timestamp,
    ) -> &'a Suggested {
        let id = held.filter(|it| self.is_wanted(it)).and_then(|it| it.issued.id.clone());
        let it = known.get_or_insert_with(|| Suggested::of(id.clone(), now));
        if it.id != id {
            *it = Suggested::of(id, now);
        }
        if let Some(id) = it.id.clone().filter(|_| curious || it.ask_at <= now) {
            let (window, pause) = self.ask_suggestion(&id);
            // A directory that does not answer has not changed its mind.
            it.window = window.or(it.window);
            it.ask_at = now.plus(pause);
        }
        it
    }

    fn ask_suggestion(&self, id: &str) -> (Option<Window>, Duration) {
        let ask = || {
            let client = Client::new(&self.settings.directory, &self.clock)?;
            let Some(at) = &client.directory.renewal_info else { return Ok(None) };
            let answer = client.get(&format!("{}/{id}", at.trim_end_matches('/')))?;
            Ok::<_, Failure>(Some((answer.json()?, answer.retry_after())))
        };
        match ask() {
            Ok(Some((answer, retry_after))) => {
                let window = renewal_info::window_of(&answer);
                if let Some(it) = window {
                    log::debug!(
                        "ACME: the directory suggests to renew from {} to {}",
                        it.start,
                        it.end
                    );
                }
                (window, renewal_info::pause_of(retry_after))
            }
            Ok(None) => (None, renewal_info::pause_of(None)),
            Err(failure) => {
                log::debug!("ACME: the directory does not say when to renew: {failure}");
                (None, renewal_info::pause_of(failure.wait))
            }
        }
    }

    /// Makes an attempt and notes what came of it.
    fn attempt(&self, state: &mut State, held: Option<&Held>, random: u32) {
        let (domains, directory) = (self.settings.domains.join(", "), &self.settings.directory);
        let deed = if held.is_some() { "renewed" } else { "asked for" };
        log::info!("ACME: the certificate for {domains} is {deed} at {directory}");
        let done = self.obtained(state, held);
        let done = done.and_then(|it| {
            self.storage.save_certificate(directory, &it.key, &it.chain)?;
            Ok(it)
        });
        match done {
            Ok(it) => {
                state.order = None;
                state.error = None;
                state.set_attempts(&schedule::Attempts::default());
                // The certificate is there; an order that is still noted is seen to be done.
                self.save(state);
                let file = self.storage.certificate_file().display();
                let expires = it.issued.validity.expires;
                log::info!(
                    "ACME: the certificate for {domains} is there, in {file}, until {expires}"
                );
                (self.renewed)();
            }
            Err(failure) if failure.cause == Cause::Stopped => {}
            Err(failure) => self.note_failure(state, held, &failure, random),
        }
    }

    fn note_failure(&self, state: &mut State, held: Option<&Held>, failure: &Failure, random: u32) {
        let now = self.clock.now();
        let mut attempts = state.attempts();
        attempts.note(failure.cause, failure.wait, now);
        state.set_attempts(&attempts);
        state.error = Some(failure.words.clone());
        self.save(state);
        let next = schedule::next(now, &attempts, false, now, random);
        let (domains, words) = (self.settings.domains.join(", "), &failure.words);
        match held.map(|it| it.issued.validity.expires) {
            Some(it) => log::error!(
                "ACME: the certificate for {domains} is not renewed, and the old one stays, until \
                 {it}: {words}. The next attempt is made at {next}"
            ),
            None => log::error!(
                "ACME: there is no certificate for {domains}: {words}. The next attempt is made at \
                 {next}"
            ),
        }
    }

    fn obtained(&self, state: &mut State, held: Option<&Held>) -> Result<Obtained, Failure> {
        // Where a server ended between the two files, the order is done.
        let done = state.order.as_ref().is_some_and(|it| self.storage.holds(&it.key));
        if done {
            state.order = None;
        }
        let mut client = Client::new(&self.settings.directory, &self.clock)?;
        match self.obtained_from(&mut client, state, held) {
            Err(failure) if failure.cause == Cause::NoAccount => {
                log::warn!("ACME: {failure}. Another account is made");
                (state.account, state.order) = (None, None);
                self.obtained_from(&mut client, state, held)
            }
            other => other,
        }
    }

    fn obtained_from(
        &self,
        client: &mut Client<'_>,
        state: &mut State,
        held: Option<&Held>,
    ) -> Result<Obtained, Failure> {
        let account = account::known(&self.settings, client, &self.storage, state)?;
        let replaces = held.filter(|it| self.is_wanted(it)).and_then(|it| it.issued.id.as_deref());
        let pause = |it| self.pause(it);
        let mut ordering = Ordering {
            settings: &self.settings,
            client,
            account: &account,
            challenges: &self.challenges,
            storage: &self.storage,
            state,
            now: self.clock.now(),
            pause: &pause,
        };
        let first = ordering.state.challenge.unwrap_or(self.settings.first);
        match ordering.obtain(first, replaces) {
            Err(failure) if failure.cause == Cause::Challenge => {
                let other = first.other();
                log::warn!("ACME: {failure}. The challenge {other} is tried");
                let words = |it: Failure| Failure { words: format!("{failure}; {it}"), ..it };
                ordering.obtain(other, replaces).map_err(words)
            }
            other => other,
        }
    }

    /// Tells commands how it stands.
    fn publish(&self, state: &mut State, held: Option<&Held>, next: Timestamp) {
        let attempts = state.attempts();
        let text = Some(next.to_string());
        if state.next != text {
            state.next = text;
            self.save(state);
            if attempts.failed == 0 && held.is_some() {
                log::info!("ACME: the certificate is renewed at {next}");
            }
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        *status = Status {
            expires: held.map(|it| it.issued.validity.expires),
            next: Some(next),
            failed: attempts.failed,
            error: state.error.clone(),
        };
    }

    fn save(&self, state: &State) {
        if let Err(failure) = self.storage.save_state(state) {
            log::error!("ACME: {failure}");
        }
    }

    /// Waits for so long; `false` when the server is being stopped.
    fn pause(&self, time: Duration) -> bool {
        let waited = self.signalled.wait_timeout_while(self.signals(), time, |it| !it.stopping);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    fn signal(&self, change: impl FnOnce(&mut Signals)) {
        change(&mut self.signals());
        self.signalled.notify_all();
    }

    fn signals(&self) -> MutexGuard<'_, Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Suggested {
    fn of(id: Option<String>, now: Timestamp) -> Suggested {
        // Where there is nothing to ask for, it is never time.
        let never = Timestamp::from_nanoseconds(i64::MAX);
        let ask_at = if id.is_some() { now } else { never };
        Suggested { id, window: None, ask_at, random: id::jitter() }
    }
}
