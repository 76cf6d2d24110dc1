//! Who is connected: the caps, who makes room for a newcomer, and who is left when service ends.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::http::forwarded::speaks_for_many;
use crate::http::request::client_of;
use crate::server::limits::Limits;

/// The state of a connection is one number: a request in hand, told to go, or idle since so many
/// microseconds (and a little) after the server started. One compare-and-swap then decides who
/// wins when a request arrives just as its connection is asked to make room.
const BUSY: u64 = 0;
const GONE: u64 = u64::MAX;

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

    /// A seat for a newcomer, idle until its first request; `None` when all are taken and none of
    /// those that count is idle.
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
            && !taken.make_room(of_client)
        {
            return None;
        }
        if taken.entries.len() >= self.connections && !taken.make_room(|_| true) {
            return None;
        }
        let id = taken.next;
        taken.next += 1;
        let state = Arc::new(AtomicU64::new(self.idle_since_now()));
        let entry = Entry { address: client, tcp: Arc::clone(tcp), state: Arc::clone(&state) };
        taken.entries.insert(id, entry);
        Some(Seat { seats: Arc::clone(self), id, state })
    }

    /// Closes the connection that has been idle longest; `false` when none is idle.
    pub fn make_room(&self) -> bool {
        self.taken().make_room(|_| true)
    }

    /// Whether service ends.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends service: nobody is admitted any more, and idle connections are closed.
    pub fn stop(&self) {
        let mut taken = self.taken();
        self.stopping.store(true, Ordering::SeqCst);
        while taken.make_room(|_| true) {}
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

    fn idle_since_now(&self) -> u64 {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(GONE);
        micros.saturating_add(BUSY + 1).min(GONE - 1)
    }
}

impl Taken {
    /// Closes the longest idle of the connections that count.
    fn make_room(&mut self, counts: impl Fn(&Entry) -> bool) -> bool {
        loop {
            let idle =
                self.entries.iter().filter(|(_, entry)| counts(entry)).filter_map(|(id, entry)| {
                    match entry.state.load(Ordering::SeqCst) {
                        BUSY | GONE => None,
                        since => Some((since, *id)),
                    }
                });
            let Some((since, id)) = idle.min() else {
                return false;
            };
            let state = &self.entries[&id].state;
            if state.compare_exchange(since, GONE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                if let Some(entry) = self.entries.remove(&id) {
                    entry.close();
                }
                return true;
            }
        }
    }
}

impl Entry {
    /// Wakes the thread of the connection, whatever it waits for.
    fn close(&self) {
        // The peer may have closed first; then there is nobody to wake.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

impl Seat {
    /// A request has arrived; `false` when the connection was told to go before.
    pub fn rise(&self) -> bool {
        let idle = self.state.load(Ordering::SeqCst);
        idle != GONE
            && self.state.compare_exchange(idle, BUSY, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// No request is in hand; `false` when service ends and the connection should too.
    pub fn rest(&self) -> bool {
        let since = self.seats.idle_since_now();
        let change = |state| (state != GONE).then_some(since);
        let changed = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
        // The order matters: whoever ends service sets the flag and looks at the states after.
        changed.is_ok() && !self.is_stopping()
    }

    /// Whether service ends.
    pub fn is_stopping(&self) -> bool {
        self.seats.is_stopping()
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
        assert!(busy.0.rise());
        let newcomer = come(&seats, B).unwrap();
        let open = [&busy, &older, &newer, &newcomer].map(|it| is_open(&it.1));
        assert_eq!(open, [true, false, true, true]);
        assert!(!older.0.rise() && !older.0.rest());
        assert!(newer.0.rise() && newcomer.0.rise());
        assert!(come(&seats, B).is_none());
        drop(older);
        assert!(come(&seats, B).is_none());
        drop(busy);
        assert!(come(&seats, B).is_some());
    }

    #[test]
    fn one_address_makes_room_among_its_own() {
        let seats = seats(9, 2);
        let other = come(&seats, B).unwrap();
        let (one, two) = (come(&seats, A).unwrap(), come(&seats, A).unwrap());
        let three = come(&seats, A).unwrap();
        assert_eq!([&other, &one, &two].map(|it| is_open(&it.1)), [true, false, true]);
        assert!(two.0.rise() && three.0.rise());
        assert!(come(&seats, A).is_none());
        assert!(come(&seats, "::ffff:192.0.2.1").is_none());
    }

    #[test]
    fn one_ipv6_client_is_one_network() {
        let seats = seats(9, 1);
        let first = come(&seats, "2001:db8::1").unwrap();
        assert!(first.0.rise());
        assert!(come(&seats, "2001:db8::ffff:2").is_none());
        assert!(come(&seats, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn loopback_and_trusted_proxies_are_held_to_the_whole_alone() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "192.0.2.9"] {
            let seats = seats(3, 1);
            let held: Vec<_> = (0..3).map(|_| come(&seats, address).unwrap()).collect();
            assert!(held.iter().all(|it| it.0.rise()), "{address}");
            assert!(come(&seats, address).is_none(), "{address}");
        }
    }

    #[test]
    fn the_end_of_service_closes_the_idle_and_waits_for_the_busy() {
        let seats = seats(9, 9);
        let (idle, busy) = (come(&seats, A).unwrap(), come(&seats, A).unwrap());
        assert!(busy.0.rise());
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
