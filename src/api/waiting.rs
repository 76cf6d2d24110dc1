//! Clients that wait for a change of their organisation.
//!
//! Who waits holds nothing but the thread of its connection. One of those that wait looks after
//! changes for all of them: at once when this process has committed one, and every few moments for
//! what another process has. A change itself pays for one look at a flag.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;

/// The most clients that wait at once.
pub const WAITING_MAX: usize = 64;
/// How long it may take until what another process has committed is seen.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The least time between two moments at which clients are told: while many changes are made, they
/// are told of several at once, and leave the machine to those that make them.
const TELL_INTERVAL: Duration = Duration::from_millis(25);
/// The least time between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// A change of this organisation
    pub org: OrgKey,
    /// whose number is greater than this,
    pub after: i64,
    /// or a refusal behind this one, for who wants to know of these too,
    pub refusal: Option<i64>,
    /// for so long.
    pub time: Duration,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is such a change.
    Changed,
    /// The time is over, service ends, or another organisation had no place.
    Over,
    /// It did not begin: too many are waiting.
    Full,
}

/// Everyone who waits.
#[derive(Debug)]
pub struct Waiting {
    /// How many may wait at once.
    most: AtomicUsize,
    state: Mutex<State>,
    /// Notified when a wait ends, and when somebody else has to look.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// In the order in which they came.
    waiters: BTreeMap<u64, Waiter>,
    /// Whether one of them looks after changes.
    looked_after: bool,
    /// When clients were told last.
    told: Option<Instant>,
    stopped: bool,
}

#[derive(Debug)]
struct Waiter {
    org: OrgKey,
    after: i64,
    refusal: Option<i64>,
    end: Option<End>,
}

impl Default for Waiting {
    fn default() -> Waiting {
        let most = AtomicUsize::new(WAITING_MAX);
        Waiting { most, state: Mutex::default(), changed: Condvar::new() }
    }
}

impl Wait {
    fn waiter(self) -> Waiter {
        Waiter { org: self.org, after: self.after, refusal: self.refusal, end: None }
    }
}

impl Waiting {
    /// Lets no more than this many wait at once; never more than [`WAITING_MAX`].
    pub fn set_most(&self, most: usize) {
        self.most.store(most.clamp(1, WAITING_MAX), Ordering::Relaxed);
    }

    /// Waits until there is such a change, but no longer than until `until`. What `begun` returns
    /// is held for as long as it has a place.
    pub fn wait<T>(
        &self,
        store: &Store,
        wait: Wait,
        until: Instant,
        begun: impl FnOnce() -> T,
    ) -> End {
        let mut state = self.state();
        if state.stopped {
            return End::Over;
        }
        let most = self.most.load(Ordering::Relaxed);
        if !state.make_room_for(wait.org, most) {
            return End::Full;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.waiters.insert(id, wait.waiter());
        if state.waiters.len() > most {
            self.changed.notify_all();
        }
        let place = (Place { waiting: self, id }, begun());
        loop {
            if let Some(end) = state.end_of(id, until) {
                drop(state);
                drop(place);
                return end;
            }
            if !state.looked_after {
                state.looked_after = true;
                drop(state);
                let looking = Looking(self);
                self.look_until_ended(store, id, until);
                drop(looking);
                state = self.state();
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends all waits, and those to come.
    pub fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }

    /// Looks after changes for everyone until the wait of `id` is over.
    fn look_until_ended(&self, store: &Store, id: u64, until: Instant) {
        let mut watch = store.watch();
        let mut failed = false;
        loop {
            let left = || until.saturating_duration_since(Instant::now());
            let since_told = self.state().told.map_or(TELL_INTERVAL, |it| it.elapsed());
            thread::sleep(TELL_INTERVAL.saturating_sub(since_told).min(left()));
            let looked = self.look(store);
            if let Err(error) = &looked
                && !failed
            {
                log::warn!("changes cannot be looked for: {error}");
            }
            failed = looked.is_err();
            if self.state().end_of(id, until).is_some() {
                return;
            }
            thread::sleep(LOOK_PAUSE.min(left()));
            watch.wait(LOOK_INTERVAL.min(left()));
        }
    }

    /// Ends the waits of those for whom there is a change.
    fn look(&self, store: &Store) -> Result<(), Error> {
        let mut newest: HashMap<OrgKey, (i64, Option<i64>)> = HashMap::new();
        for it in self.state().waiters.values() {
            let (_, refusal) = newest.entry(it.org).or_default();
            *refusal = refusal.or(it.refusal.map(|_| 0));
        }
        store.read(|tx| {
            newest.iter_mut().try_for_each(|(org, (change, refusal))| {
                *change = tx.last_change(*org)?;
                if let Some(it) = refusal {
                    *it = tx.newest_refusal(*org)?;
                }
                Ok::<_, Error>(())
            })
        })?;
        let mut state = self.state();
        let mut ended = false;
        for it in state.waiters.values_mut().filter(|it| it.end.is_none()) {
            let is_new = |(change, refusal): &(i64, Option<i64>)| {
                *change > it.after || it.refusal.is_some_and(|it| refusal.is_some_and(|n| n > it))
            };
            if newest.get(&it.org).is_some_and(is_new) {
                it.end = Some(End::Changed);
                ended = true;
            }
        }
        if ended {
            state.told = Some(Instant::now());
            self.changed.notify_all();
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How the wait has ended, if it has.
    fn end_of(&self, id: u64, until: Instant) -> Option<End> {
        let found = self.waiters.get(&id).map_or(Some(End::Over), |it| it.end);
        found.or((self.stopped || Instant::now() >= until).then_some(End::Over))
    }

    /// Whether one more client of this organisation may wait. When there are as many as may be, the
    /// organisation with the most of them gives a place to one that has fewer: its client that has
    /// waited longest is answered that there is nothing, and asks again.
    fn make_room_for(&mut self, org: OrgKey, most: usize) -> bool {
        let mut counts: HashMap<OrgKey, usize> = HashMap::new();
        for it in self.waiters.values().filter(|it| it.end.is_none()) {
            *counts.entry(it.org).or_default() += 1;
        }
        if counts.values().sum::<usize>() < most {
            return true;
        }
        let own = counts.get(&org).copied().unwrap_or(0);
        let Some((richest, _)) =
            counts.into_iter().filter(|it| it.1 > own + 1).max_by_key(|it| it.1)
        else {
            return false;
        };
        let mut of_most =
            self.waiters.values_mut().filter(|it| it.org == richest && it.end.is_none());
        of_most.next().is_some_and(|it| it.end.replace(End::Over).is_none())
    }
}

/// The place of one who waits, free again when it is dropped.
struct Place<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.state().waiters.remove(&self.id);
    }
}

/// Somebody looks after changes; when this is dropped, another one has to.
struct Looking<'a>(&'a Waiting);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.state().looked_after = false;
        self.0.changed.notify_all();
    }
}
