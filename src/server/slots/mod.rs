//! The slots that connections hold: how many there are, which connection is evicted for a new one,
//! and how all of them end.
//!
//! A connection whose request is incomplete, or whose client does not read, costs that client
//! nothing. Those are evicted first once they are many, so a thousand that send a byte a second
//! keep nobody out. Only a request that waits for its answer is always safe.

mod state;

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::http::forwarded::speaks_for_many;
use crate::http::request::client_of;
use crate::server::limits::Limits;
use crate::server::slots::state::{Phase, State};
use crate::server::socket::has_unread_input;

/// All slots of a server.
#[derive(Debug)]
pub struct Slots {
    occupied: Mutex<Occupied>,
    /// Notified whenever a slot becomes free.
    freed: Condvar,
    stopping: AtomicBool,
    started: Instant,
    connections_max: usize,
    connections_per_address_max: usize,
    trusted_proxies: Vec<IpNet>,
}

/// The connections that hold a slot, by the number of the slot.
#[derive(Debug, Default)]
struct Occupied {
    next_id: u64,
    entries: BTreeMap<u64, Entry>,
}

/// One connection that holds a slot.
#[derive(Debug)]
struct Entry {
    address: IpAddr,
    tcp: Arc<TcpStream>,
    state: Arc<AtomicU64>,
}

/// The slot of one connection; dropping it, by a panic too, leaves it free.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    id: u64,
    state: Arc<AtomicU64>,
}

impl Slots {
    /// Slots that are all free.
    pub fn new(limits: &Limits) -> Slots {
        Slots {
            occupied: Mutex::new(Occupied::default()),
            freed: Condvar::new(),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
            connections_max: limits.connections,
            connections_per_address_max: limits.connections_per_address,
            trusted_proxies: limits.trusted_proxies.clone(),
        }
    }

    /// A slot for a new connection; `None` when all are occupied and no connection can be evicted.
    pub fn admit(self: &Arc<Slots>, address: IpAddr, tcp: &Arc<TcpStream>) -> Option<Slot> {
        let mut occupied = self.occupied();
        if self.is_stopping() {
            return None;
        }
        let client = client_of(address);
        let of_client = |entry: &Entry| entry.address == client;
        // Nobody waits for the grace of others here: an address only makes room for itself, and
        // the acceptor has waited.
        if !speaks_for_many(address, &self.trusted_proxies)
            && occupied.entries.values().filter(|it| of_client(it)).count()
                >= self.connections_per_address_max
            && !occupied.evict_one(self.now(), of_client)
        {
            return None;
        }
        if occupied.entries.len() >= self.connections_max
            && !occupied.evict_one(self.now(), |_| true)
        {
            return None;
        }
        let id = occupied.next_id;
        occupied.next_id += 1;
        let state = State { phase: Phase::New, since: self.now() };
        let state = Arc::new(AtomicU64::new(state.to_bits()));
        let entry = Entry { address: client, tcp: Arc::clone(tcp), state: Arc::clone(&state) };
        occupied.entries.insert(id, entry);
        Some(Slot { slots: Arc::clone(self), id, state })
    }

    /// Waits while a new connection would evict one that is still in its grace period, until that
    /// period is over or a slot is free.
    pub fn wait_for_grace(&self) {
        let is_full = |occupied: &Occupied| occupied.entries.len() >= self.connections_max;
        drop(self.wait_while_in_grace(self.occupied(), is_full, None));
    }

    /// Evicts one connection and waits until a slot is free, but no longer than this once no
    /// connection is in its grace period any more.
    ///
    /// A patient caller only waits where it would be an idle connection, some client's own:
    /// threads and descriptors of connections that have just ended may be on their way back.
    pub fn evict_and_wait(&self, timeout: Duration, patient: bool) {
        let before = self.occupied();
        let count = before.entries.len();
        let is_as_full = |occupied: &Occupied| occupied.entries.len() >= count;
        let mut occupied = self.wait_while_in_grace(before, is_as_full, Some(timeout));
        let next = occupied.next_to_evict(self.now(), |_| true);
        let spared = patient && next.is_some_and(|(state, _)| state.phase == Phase::Idle);
        if is_as_full(&occupied) && !spared {
            occupied.evict_one(self.now(), |_| true);
        }
        // Under the same lock, so that no notification is missed. Woken early or late, the caller
        // tries again.
        drop(self.freed.wait_timeout(occupied, timeout));
    }

    /// Waits while this is the case and the next connection to be evicted is in its grace period;
    /// where none can be evicted, no longer than this. A notification alone is no reason to go on:
    /// it may be that of a connection whose slot went to another long ago.
    fn wait_while_in_grace<'a>(
        &self,
        mut occupied: MutexGuard<'a, Occupied>,
        holds: impl Fn(&Occupied) -> bool,
        else_for: Option<Duration>,
    ) -> MutexGuard<'a, Occupied> {
        while holds(&occupied) && !self.is_stopping() {
            let now = self.now();
            let left = match occupied.next_to_evict(now, |_| true) {
                Some((state, _)) => Duration::from_micros(state.grace_left(now)),
                None => else_for.unwrap_or_default(),
            };
            if left.is_zero() {
                break;
            }
            let waited = self.freed.wait_timeout(occupied, left);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            occupied = after;
            if timeout.timed_out() && occupied.next_to_evict(self.now(), |_| true).is_none() {
                break;
            }
        }
        occupied
    }

    /// How many slots there are, and how many of them are occupied.
    pub fn numbers(&self) -> [usize; 2] {
        [self.connections_max, self.occupied().entries.len()]
    }

    /// Whether service ends.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends service: no connection is admitted any more, and those without a request are closed.
    pub fn stop(&self) {
        let mut occupied = self.occupied();
        self.stopping.store(true, Ordering::SeqCst);
        let ids: Vec<u64> = occupied.entries.keys().copied().collect();
        for id in ids {
            occupied.evict_if(id, |state| matches!(state.phase, Phase::New | Phase::Idle));
        }
    }

    /// Waits until all slots are free, closes the connections that are left after this time and
    /// returns their number.
    pub fn drain(&self, time: Duration) -> usize {
        let occupied = self.occupied();
        let (occupied, _) = self
            .freed
            .wait_timeout_while(occupied, time, |occupied| !occupied.entries.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        for entry in occupied.entries.values() {
            entry.close();
        }
        occupied.entries.len()
    }

    fn occupied(&self) -> MutexGuard<'_, Occupied> {
        self.occupied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX) & (u64::MAX >> 3)
    }
}

impl Occupied {
    /// Evicts the connection that is missed least among the candidates; `false` when there is none.
    fn evict_one(&mut self, now: u64, is_candidate: impl Fn(&Entry) -> bool) -> bool {
        while let Some((seen, id)) = self.next_to_evict(now, &is_candidate) {
            if self.evict_if(id, |state| state == seen) {
                return true;
            }
        }
        false
    }

    /// The candidate that is missed least. Of equals, it is the one that has been in its phase
    /// longest: an honest client is through with each phase in no time.
    fn next_to_evict(
        &self,
        now: u64,
        is_candidate: impl Fn(&Entry) -> bool,
    ) -> Option<(State, u64)> {
        let entries = self.entries.iter().filter(|(_, entry)| is_candidate(entry));
        let mut states: Vec<_> = entries.map(|(id, entry)| (entry.state(), *id)).collect();
        let costing_nothing =
            states.iter().filter(|(state, _)| state.costs_client_nothing(now)).count();
        let are_many = costing_nothing * 2 > states.len();
        let rank = |state: State| match state.phase {
            Phase::Idle => Some(1),
            // While they are few, they are new connections whose request is on its way.
            _ if state.costs_client_nothing(now) => Some(if are_many { 0 } else { 2 }),
            _ => None,
        };
        states.retain(|(state, _)| rank(*state).is_some());
        states.sort_by_key(|(state, _)| (rank(*state), state.since));
        // The client of one that has unread input has done its part, and it is this server that is
        // late. Where that goes for all of them, the order decides alone.
        let is_late = |id: &u64| self.entries.get(id).is_some_and(|it| has_unread_input(&it.tcp));
        let least = states.first().and_then(|(state, _)| rank(*state));
        let mut equals = states.iter().take_while(|(state, _)| rank(*state) == least);
        let found = equals.find(|(state, id)| !(state.waits_for_client() && is_late(id)));
        found.or(states.first()).copied()
    }

    /// Evicts a connection if its state still allows that; `false` when it does not.
    fn evict_if(&mut self, id: u64, allows: impl Fn(State) -> bool) -> bool {
        let Some(entry) = self.entries.get(&id) else {
            return false;
        };
        let evicted = State { phase: Phase::Evicted, since: 0 }.to_bits();
        let change = |bits| allows(State::from_bits(bits)).then_some(evicted);
        if entry.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_err() {
            return false;
        }
        entry.close();
        self.entries.remove(&id);
        true
    }
}

impl Entry {
    fn state(&self) -> State {
        State::from_bits(self.state.load(Ordering::SeqCst))
    }

    /// Wakes the thread of the connection, whatever it waits for.
    fn close(&self) {
        // The peer may have closed first; then no thread needs to be woken.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

impl Slot {
    /// A request or a TLS handshake has begun to arrive; `false` when the connection was evicted.
    pub fn set_reading(&self) -> bool {
        self.change(|state, now| match state.phase {
            // The first request is counted from the beginning of the connection.
            Phase::New => State { phase: Phase::Reading, ..state },
            _ => State { phase: Phase::Reading, since: now },
        })
    }

    /// A request is read; `false` when the connection was evicted.
    pub fn set_handling(&self) -> bool {
        self.change(|_, since| State { phase: Phase::Handling, since })
    }

    /// Its answer is being sent. A connection whose request is handled is never evicted.
    pub fn set_writing(&self) {
        self.change(|_, since| State { phase: Phase::Writing, since });
    }

    /// The connection waits for a request; `false` when service ends or the connection was evicted.
    pub fn set_idle(&self) -> bool {
        let changed = self.change(|state, since| match state.phase {
            // A handshake alone earns nothing.
            Phase::New | Phase::Reading => State { phase: Phase::New, ..state },
            _ => State { phase: Phase::Idle, since },
        });
        // The order matters: `stop` sets the flag and reads the states after.
        changed && !self.is_stopping()
    }

    /// The last answer is sent; all that is left is to close.
    pub fn set_closing(&self) {
        self.change(|state, _| State { phase: Phase::New, ..state });
    }

    /// Whether service ends.
    pub fn is_stopping(&self) -> bool {
        self.slots.is_stopping()
    }

    /// Changes the state, unless the connection was evicted.
    fn change(&self, next: impl Fn(State, u64) -> State) -> bool {
        let now = self.slots.now();
        let change = |bits| {
            let state = State::from_bits(bits);
            (state.phase != Phase::Evicted).then(|| next(state, now).to_bits())
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.occupied().entries.remove(&self.id);
        self.slots.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
