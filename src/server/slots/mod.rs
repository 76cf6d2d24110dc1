//! Who is connected: the caps, who makes room for a newcomer, and who is left when service ends.
//!
//! A connection whose request is not here whole, or whose client does not read, costs that client
//! nothing. Those are the first to make room once they are many, so a thousand that send a byte a
//! second keep nobody out. Only a request that waits for its answer is always safe.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::http::forwarded::speaks_for_many;
use crate::http::request::client_of;
use crate::server::limits::Limits;

/// An answer that has been on its way for longer is one whose client does not read.
const STALLED_MICROS: u64 = 1_000_000;

/// How long a newcomer stays before it makes room for another one: a client that means it has sent
/// something by then. While all are that new, the next one waits to be accepted.
const STAY_MICROS: u64 = 100_000;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request came yet, or the last answer is sent.
    Fresh,
    /// A request or a TLS handshake has begun to arrive.
    Arriving,
    /// Between two requests.
    Idle,
    /// A request is here, and its answer is not yet.
    AtWork,
    /// An answer is on its way out.
    Writing,
    /// It was told to go.
    Gone,
}

/// A phase and when it began, in microseconds after the server started. Both are one number, so
/// that one compare-and-swap decides who wins when a request arrives just as its connection is
/// asked to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    phase: Phase,
    since: u64,
}

impl State {
    const PHASES: [Phase; 6] =
        [Phase::Fresh, Phase::Arriving, Phase::Idle, Phase::AtWork, Phase::Writing, Phase::Gone];

    fn from_bits(bits: u64) -> State {
        let phase = State::PHASES.get((bits & 7) as usize).copied().unwrap_or(Phase::Gone);
        State { phase, since: bits >> 3 }
    }

    fn to_bits(self) -> u64 {
        self.since << 3 | self.phase as u64
    }

    /// Whether it costs the client nothing to hold: no request is here, or its client does not
    /// read the answer.
    fn is_loose(self, now: u64) -> bool {
        match self.phase {
            Phase::Fresh | Phase::Arriving => true,
            Phase::Writing => now.saturating_sub(self.since) > STALLED_MICROS,
            Phase::Idle | Phase::AtWork | Phase::Gone => false,
        }
    }
}

/// All connections of a server.
#[derive(Debug)]
pub struct Seats {
    taken: Mutex<Taken>,
    left: Condvar,
    stopping: AtomicBool,
    started: Instant,
    connections: usize,
    connections_per_address: usize,
    trusted_proxies: Vec<IpNet>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    tcp: Arc<TcpStream>,
    state: Arc<AtomicU64>,
}

/// The place of one connection; dropping it, by a panic too, leaves it free.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    id: u64,
    state: Arc<AtomicU64>,
}

impl Seats {
    /// No connection yet.
    pub fn new(limits: &Limits) -> Seats {
        Seats {
            taken: Mutex::new(Taken::default()),
            left: Condvar::new(),
            stopping: AtomicBool::new(false),
            started: Instant::now(),
            connections: limits.connections,
            connections_per_address: limits.connections_per_address,
            trusted_proxies: limits.trusted_proxies.clone(),
        }
    }

    /// A seat for a newcomer; `None` when all are taken and none of those that count can make room.
    pub fn admit(self: &Arc<Seats>, address: IpAddr, tcp: &Arc<TcpStream>) -> Option<Seat> {
        let mut taken = self.taken();
        if self.is_stopping() {
            return None;
        }
        let client = client_of(address);
        let of_client = |entry: &Entry| entry.address == client;
        if !speaks_for_many(address, &self.trusted_proxies)
            && taken.entries.values().filter(|it| of_client(it)).count()
                >= self.connections_per_address
            && !taken.make_room(self.now(), of_client)
        {
            return None;
        }
        if taken.entries.len() >= self.connections && !taken.make_room(self.now(), |_| true) {
            return None;
        }
        let id = taken.next;
        taken.next += 1;
        let state = State { phase: Phase::Fresh, since: self.now() };
        let state = Arc::new(AtomicU64::new(state.to_bits()));
        let entry = Entry { address: client, tcp: Arc::clone(tcp), state: Arc::clone(&state) };
        taken.entries.insert(id, entry);
        Some(Seat { seats: Arc::clone(self), id, state })
    }

    /// Waits, where a newcomer would push out one that has just come, until that one has had its
    /// time or somebody has left.
    pub fn wait_for_room(&self) {
        let taken = self.taken();
        if taken.entries.len() < self.connections {
            return;
        }
        let now = self.now();
        let Some((state, _)) = taken.first_to_go(now, |_| true) else {
            return;
        };
        let left = STAY_MICROS.saturating_sub(now.saturating_sub(state.since));
        if state.is_loose(now) && left > 0 {
            drop(self.left.wait_timeout(taken, Duration::from_micros(left)));
        }
    }

    /// Closes the connection that makes room first, and waits until one has left, but no longer
    /// than this.
    pub fn make_room(&self, patience: Duration) {
        let mut taken = self.taken();
        taken.make_room(self.now(), |_| true);
        // Under the same lock, so that no leave is missed. Woken early or late, the caller tries
        // again.
        drop(self.left.wait_timeout(taken, patience));
    }

    /// Whether service ends.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends service: nobody is admitted any more, and connections without a request are closed.
    pub fn stop(&self) {
        let mut taken = self.taken();
        self.stopping.store(true, Ordering::SeqCst);
        let ids: Vec<u64> = taken.entries.keys().copied().collect();
        for id in ids {
            taken.dismiss(id, |state| matches!(state.phase, Phase::Fresh | Phase::Idle));
        }
    }

    /// Waits until all have left, closes those that have not left in time and returns their number.
    pub fn wait(&self, time: Duration) -> usize {
        let taken = self.taken();
        let (taken, _) = self
            .left
            .wait_timeout_while(taken, time, |taken| !taken.entries.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        for entry in taken.entries.values() {
            entry.close();
        }
        taken.entries.len()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX) & (u64::MAX >> 3)
    }
}

impl Taken {
    /// Closes the one that is missed least of the connections that count.
    fn make_room(&mut self, now: u64, counts: impl Fn(&Entry) -> bool) -> bool {
        while let Some((seen, id)) = self.first_to_go(now, &counts) {
            if self.dismiss(id, |state| state == seen) {
                return true;
            }
        }
        false
    }

    /// The one that is missed least of the connections that count. Of equals, it is the one that
    /// has been at it longest: an honest client is through with each part in no time.
    fn first_to_go(&self, now: u64, counts: impl Fn(&Entry) -> bool) -> Option<(State, u64)> {
        let entries = self.entries.iter().filter(|(_, entry)| counts(entry));
        let states: Vec<_> = entries.map(|(id, entry)| (entry.state(), *id)).collect();
        let loose = states.iter().filter(|(state, _)| state.is_loose(now)).count();
        let crowd = loose * 2 > states.len();
        let rank = |state: State| match state.phase {
            Phase::Idle => Some(1),
            // While they are few, they are newcomers whose request is on its way.
            _ if state.is_loose(now) => Some(if crowd { 0 } else { 2 }),
            _ => None,
        };
        let ranked = states.into_iter().filter_map(|it| Some((rank(it.0)?, it)));
        ranked.min_by_key(|(rank, (state, _))| (*rank, state.since)).map(|it| it.1)
    }

    /// Closes a connection if its state is still such; `false` when it is not.
    fn dismiss(&mut self, id: u64, may_go: impl Fn(State) -> bool) -> bool {
        let Some(entry) = self.entries.get(&id) else {
            return false;
        };
        let gone = State { phase: Phase::Gone, since: 0 }.to_bits();
        let change = |bits| may_go(State::from_bits(bits)).then_some(gone);
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
        // The peer may have closed first; then there is nobody to wake.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

impl Seat {
    /// A request or a TLS handshake has begun to arrive; `false` when the connection was told to
    /// go.
    pub fn begin(&self) -> bool {
        self.turn(|state, now| match state.phase {
            // The first request is counted from the beginning of the connection.
            Phase::Fresh => State { phase: Phase::Arriving, ..state },
            _ => State { phase: Phase::Arriving, since: now },
        })
    }

    /// A request is here whole; `false` when the connection was told to go.
    pub fn work(&self) -> bool {
        self.turn(|_, since| State { phase: Phase::AtWork, since })
    }

    /// Its answer is on its way out. Nobody who is at work was told to go.
    pub fn write(&self) {
        self.turn(|_, since| State { phase: Phase::Writing, since });
    }

    /// No request is in hand; `false` when service ends or the connection was told to go.
    pub fn rest(&self) -> bool {
        let rests = self.turn(|state, since| match state.phase {
            // A handshake alone earns nothing.
            Phase::Fresh | Phase::Arriving => State { phase: Phase::Fresh, ..state },
            _ => State { phase: Phase::Idle, since },
        });
        // The order matters: whoever ends service sets the flag and looks at the states after.
        rests && !self.is_stopping()
    }

    /// The last answer is sent; all that is left is to close.
    pub fn leave(&self) {
        self.turn(|state, _| State { phase: Phase::Fresh, ..state });
    }

    /// Whether service ends.
    pub fn is_stopping(&self) -> bool {
        self.seats.is_stopping()
    }

    /// Goes over to another state, unless the connection was told to go.
    fn turn(&self, next: impl Fn(State, u64) -> State) -> bool {
        let now = self.seats.now();
        let change = |bits| {
            let state = State::from_bits(bits);
            (state.phase != Phase::Gone).then(|| next(state, now).to_bits())
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().entries.remove(&self.id);
        self.seats.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const A: &str = "192.0.2.1";
    const B: &str = "192.0.2.2";

    fn seats(connections: usize, connections_per_address: usize) -> Arc<Seats> {
        let trusted_proxies = vec!["192.0.2.8/31".parse().unwrap()];
        Arc::new(Seats::new(&Limits {
            connections,
            connections_per_address,
            trusted_proxies,
            ..Limits::default()
        }))
    }

    /// A seat for this address, and the client's end of its connection.
    fn come(seats: &Arc<Seats>, address: &str) -> Option<(Seat, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let tcp = Arc::new(listener.accept().unwrap().0);
        // Two that come in one microsecond would be idle equally long.
        thread::sleep(Duration::from_micros(10));
        seats.admit(address.parse().unwrap(), &tcp).map(|seat| (seat, client))
    }

    fn is_open(mut client: &TcpStream) -> bool {
        client.read(&mut [0]).is_err()
    }

    #[test]
    fn the_longest_idle_makes_room() {
        let seats = seats(3, 9);
        let busy = come(&seats, A).unwrap();
        let older = come(&seats, A).unwrap();
        let newer = come(&seats, A).unwrap();
        assert!(busy.0.work());
        let newcomer = come(&seats, B).unwrap();
        let open = [&busy, &older, &newer, &newcomer].map(|it| is_open(&it.1));
        assert_eq!(open, [true, false, true, true]);
        assert!(!older.0.begin() && !older.0.work() && !older.0.rest());
        assert!(newer.0.work() && newcomer.0.work());
        assert!(come(&seats, B).is_none());
        drop(older);
        assert!(come(&seats, B).is_none());
        drop(busy);
        assert!(come(&seats, B).is_some());
    }

    /// A seat whose connection was served once.
    fn served(seats: &Arc<Seats>) -> (Seat, TcpStream) {
        let it = come(seats, A).unwrap();
        assert!(it.0.begin() && it.0.work());
        it.0.write();
        assert!(it.0.rest());
        it
    }

    #[test]
    fn those_without_a_whole_request_go_first_once_they_are_many() {
        let seats = seats(6, 9);
        let idle = [served(&seats), served(&seats)];
        let slow: Vec<_> = (0..4).map(|_| come(&seats, A).unwrap()).collect();
        // A head, a body, a TLS handshake: whatever it is, it is not here.
        assert!(slow.iter().all(|it| it.0.begin()));
        let newcomer = come(&seats, B).unwrap();
        let open: Vec<bool> = slow.iter().map(|it| is_open(&it.1)).collect();
        assert_eq!(open, [false, true, true, true]);
        assert!(newcomer.0.begin() && newcomer.0.work());
        // With three of six they are no crowd any more.
        let _next = come(&seats, B).unwrap();
        assert_eq!([&idle[0], &idle[1]].map(|it| is_open(&it.1)), [false, true]);
    }

    #[test]
    fn few_newcomers_do_not_drive_each_other_out() {
        let seats = seats(6, 9);
        let idle: Vec<_> = (0..6).map(|_| served(&seats)).collect();
        let newcomers: Vec<_> = (0..3).map(|_| come(&seats, B).unwrap()).collect();
        assert!(newcomers.iter().all(|it| it.0.begin()));
        assert_eq!(idle.iter().filter(|it| is_open(&it.1)).count(), 3);
        assert!(newcomers.iter().all(|it| it.0.work()));
    }

    #[test]
    fn a_second_request_that_does_not_come_is_no_better_than_the_first() {
        let seats = seats(2, 9);
        let slow = [served(&seats), served(&seats)];
        assert!(slow.iter().all(|it| it.0.begin()));
        assert!(come(&seats, B).is_some());
        assert_eq!(slow.each_ref().map(|it| is_open(&it.1)), [false, true]);
    }

    #[test]
    fn who_does_not_read_makes_room_and_who_waits_for_an_answer_does_not() {
        let seats = seats(2, 9);
        let (waits, reads_not) = (served(&seats), served(&seats));
        assert!(waits.0.begin() && reads_not.0.begin() && waits.0.work() && reads_not.0.work());
        reads_not.0.write();
        assert!(come(&seats, B).is_none(), "an answer takes a moment");
        let long_ago = State { phase: Phase::Writing, since: 0 };
        let now = seats.now() + STALLED_MICROS + 1;
        reads_not.0.state.store(long_ago.to_bits(), Ordering::SeqCst);
        assert!(seats.taken().make_room(now, |_| true));
        assert_eq!([&waits, &reads_not].map(|it| is_open(&it.1)), [true, false]);
        assert!(!seats.taken().make_room(now, |_| true));
        // What is left to do after a last answer keeps nobody out.
        waits.0.write();
        waits.0.leave();
        assert!(seats.taken().make_room(now, |_| true));
    }

    #[test]
    fn a_state_is_one_number() {
        for (i, phase) in State::PHASES.into_iter().enumerate() {
            assert_eq!(phase as usize, i);
            for since in [0, 1, u64::MAX >> 3] {
                let state = State { phase, since };
                assert_eq!(State::from_bits(state.to_bits()), state);
            }
        }
    }

    #[test]
    fn a_newcomer_waits_for_those_who_have_just_come() {
        let seats = seats(2, 9);
        let began = Instant::now();
        let first = come(&seats, A).unwrap();
        seats.wait_for_room();
        let second = come(&seats, A).unwrap();
        seats.wait_for_room();
        assert!(began.elapsed() >= Duration::from_micros(STAY_MICROS), "{:?}", began.elapsed());
        assert!(is_open(&first.1) && is_open(&second.1));
        // Somebody who leaves, or rests, is not waited for.
        for seat in [&first.0, &second.0] {
            assert!(seat.begin() && seat.work() && seat.rest());
        }
        seats.wait_for_room();
        assert!(come(&seats, A).is_some());
    }

    #[test]
    fn one_address_makes_room_among_its_own() {
        let seats = seats(9, 2);
        let other = come(&seats, B).unwrap();
        let (one, two) = (come(&seats, A).unwrap(), come(&seats, A).unwrap());
        let three = come(&seats, A).unwrap();
        assert_eq!([&other, &one, &two].map(|it| is_open(&it.1)), [true, false, true]);
        assert!(two.0.work() && three.0.work());
        assert!(come(&seats, A).is_none());
        assert!(come(&seats, "::ffff:192.0.2.1").is_none());
    }

    #[test]
    fn one_ipv6_client_is_one_network() {
        let seats = seats(9, 1);
        let first = come(&seats, "2001:db8::1").unwrap();
        assert!(first.0.work());
        assert!(come(&seats, "2001:db8::ffff:2").is_none());
        assert!(come(&seats, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn loopback_and_trusted_proxies_are_held_to_the_whole_alone() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "192.0.2.9"] {
            let seats = seats(3, 1);
            let held: Vec<_> = (0..3).map(|_| come(&seats, address).unwrap()).collect();
            assert!(held.iter().all(|it| it.0.work()), "{address}");
            assert!(come(&seats, address).is_none(), "{address}");
        }
    }

    #[test]
    fn the_end_of_service_closes_the_idle_and_waits_for_the_busy() {
        let seats = seats(9, 9);
        let (idle, busy) = (come(&seats, A).unwrap(), come(&seats, A).unwrap());
        assert!(busy.0.work());
        seats.stop();
        assert_eq!([&idle, &busy].map(|it| is_open(&it.1)), [false, true]);
        assert!(come(&seats, A).is_none());
        assert_eq!(seats.wait(Duration::from_millis(10)), 1);
        assert!(!is_open(&busy.1));
        assert!(!busy.0.rest());
        drop(busy);
        assert_eq!(seats.wait(Duration::from_secs(10)), 0);
    }
}
