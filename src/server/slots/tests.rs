//! Who gets a slot, who is evicted, and how service ends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;
use crate::server::slots::state::{INCOMPLETE_GRACE_MICROS, SILENT_GRACE_MICROS, STALLED_MICROS};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";

fn slots(connections: usize, connections_per_address: usize) -> Arc<Slots> {
    let trusted_proxies = vec!["192.0.2.8/31".parse().unwrap()];
    Arc::new(Slots::new(&Limits {
        connections,
        connections_per_address,
        trusted_proxies,
        ..Limits::default()
    }))
}

/// A slot for this address, and the client's end of its connection.
fn connect(slots: &Arc<Slots>, address: &str) -> Option<(Slot, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let tcp = Arc::new(listener.accept().unwrap().0);
    // Two that connect in one microsecond would be idle equally long.
    thread::sleep(Duration::from_micros(10));
    slots.admit(address.parse().unwrap(), &tcp).map(|slot| (slot, client))
}

fn is_open(mut client: &TcpStream) -> bool {
    client.read(&mut [0]).is_err()
}

#[test]
fn the_longest_idle_connection_is_evicted() {
    let slots = slots(3, 9);
    let busy = connect(&slots, A).unwrap();
    let older = connect(&slots, A).unwrap();
    let newer = connect(&slots, A).unwrap();
    assert!(busy.0.set_handling());
    let new_one = connect(&slots, B).unwrap();
    let open = [&busy, &older, &newer, &new_one].map(|it| is_open(&it.1));
    assert_eq!(open, [true, false, true, true]);
    assert!(!older.0.set_reading() && !older.0.set_handling() && !older.0.set_idle());
    assert!(newer.0.set_handling() && new_one.0.set_handling());
    assert!(connect(&slots, B).is_none());
    drop(older);
    assert!(connect(&slots, B).is_none());
    drop(busy);
    assert!(connect(&slots, B).is_some());
}

/// A slot whose connection was served once.
fn served(slots: &Arc<Slots>) -> (Slot, TcpStream) {
    let it = connect(slots, A).unwrap();
    assert!(it.0.set_reading() && it.0.set_handling());
    it.0.set_writing();
    assert!(it.0.set_idle());
    it
}

#[test]
fn connections_without_a_whole_request_are_evicted_first_once_they_are_many() {
    let slots = slots(6, 9);
    let idle = [served(&slots), served(&slots)];
    let slow: Vec<_> = (0..4).map(|_| connect(&slots, A).unwrap()).collect();
    // A head, a body or a TLS handshake: whatever it is, it is not complete.
    assert!(slow.iter().all(|it| it.0.set_reading()));
    let new_one = connect(&slots, B).unwrap();
    let open: Vec<bool> = slow.iter().map(|it| is_open(&it.1)).collect();
    assert_eq!(open, [false, true, true, true]);
    assert!(new_one.0.set_reading() && new_one.0.set_handling());
    // Three of six are not many.
    let _next = connect(&slots, B).unwrap();
    assert_eq!([&idle[0], &idle[1]].map(|it| is_open(&it.1)), [false, true]);
}

#[test]
fn few_new_connections_do_not_evict_each_other() {
    let slots = slots(6, 9);
    let idle: Vec<_> = (0..6).map(|_| served(&slots)).collect();
    let new_ones: Vec<_> = (0..3).map(|_| connect(&slots, B).unwrap()).collect();
    assert!(new_ones.iter().all(|it| it.0.set_reading()));
    assert_eq!(idle.iter().filter(|it| is_open(&it.1)).count(), 3);
    assert!(new_ones.iter().all(|it| it.0.set_handling()));
}

#[test]
fn an_incomplete_second_request_counts_as_an_incomplete_first() {
    let slots = slots(2, 9);
    let slow = [served(&slots), served(&slots)];
    assert!(slow.iter().all(|it| it.0.set_reading()));
    assert!(connect(&slots, B).is_some());
    assert_eq!(slow.each_ref().map(|it| is_open(&it.1)), [false, true]);
}

#[test]
fn a_client_that_does_not_read_is_evicted_and_one_that_waits_for_an_answer_is_not() {
    let slots = slots(2, 9);
    let (waits, does_not_read) = (served(&slots), served(&slots));
    assert!(
        waits.0.set_reading()
            && does_not_read.0.set_reading()
            && waits.0.set_handling()
            && does_not_read.0.set_handling()
    );
    does_not_read.0.set_writing();
    assert!(connect(&slots, B).is_none(), "an answer takes a moment");
    let long_ago = State { phase: Phase::Writing, since: 0 };
    let now = slots.now() + STALLED_MICROS + 1;
    does_not_read.0.state.store(long_ago.to_bits(), Ordering::SeqCst);
    assert!(slots.occupied().evict_one(now, |_| true));
    assert_eq!([&waits, &does_not_read].map(|it| is_open(&it.1)), [true, false]);
    assert!(!slots.occupied().evict_one(now, |_| true));
    // A connection that only has to close can be evicted.
    waits.0.set_writing();
    waits.0.set_closing();
    assert!(slots.occupied().evict_one(now, |_| true));
}

#[test]
fn a_new_connection_waits_for_the_grace_period_of_others() {
    let slots = slots(2, 9);
    let began = Instant::now();
    let first = connect(&slots, A).unwrap();
    slots.wait_for_grace();
    let second = connect(&slots, A).unwrap();
    slots.wait_for_grace();
    assert!(began.elapsed() >= Duration::from_micros(SILENT_GRACE_MICROS), "{:?}", began.elapsed());
    assert!(is_open(&first.1) && is_open(&second.1));
    // An idle connection has no grace period.
    for slot in [&first.0, &second.0] {
        assert!(slot.set_reading() && slot.set_handling() && slot.set_idle());
    }
    slots.wait_for_grace();
    assert!(connect(&slots, A).is_some());
}

#[test]
fn a_request_that_arrives_in_pieces_has_its_time_and_wakeups_of_others_do_not_end_it() {
    let slots = slots(2, 9);
    let began = Instant::now();
    let held = [connect(&slots, A).unwrap(), connect(&slots, A).unwrap()];
    assert!(held.iter().all(|it| it.0.set_reading()));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                thread::sleep(Duration::from_millis(5));
                slots.freed.notify_all();
            }
        });
        slots.wait_for_grace();
        // Threads or descriptors may be what is missing instead of slots.
        assert!(began.elapsed() >= Duration::from_micros(INCOMPLETE_GRACE_MICROS));
    });
    let slots = self::slots(9, 9);
    let only = connect(&slots, A).unwrap();
    let began = Instant::now();
    slots.evict_and_wait(Duration::from_millis(1), true);
    assert!(began.elapsed() >= Duration::from_micros(SILENT_GRACE_MICROS / 2));
    assert!(!is_open(&only.1));
    let idle = served(&slots);
    slots.evict_and_wait(Duration::from_millis(1), true);
    assert!(is_open(&idle.1));
    slots.evict_and_wait(Duration::from_millis(1), false);
    assert!(!is_open(&idle.1));
}

#[test]
fn a_connection_whose_request_has_arrived_is_not_evicted_for_a_late_server() {
    let slots = slots(2, 9);
    let (mut sent, silent) = (connect(&slots, A).unwrap(), connect(&slots, A).unwrap());
    sent.1.write_all(b"GET").unwrap();
    let _new = connect(&slots, B).unwrap();
    assert_eq!([&sent, &silent].map(|it| is_open(&it.1)), [true, false]);
}

#[test]
fn an_address_at_its_limit_evicts_its_own_connections() {
    let slots = slots(9, 2);
    let other = connect(&slots, B).unwrap();
    let (one, two) = (connect(&slots, A).unwrap(), connect(&slots, A).unwrap());
    let three = connect(&slots, A).unwrap();
    assert_eq!([&other, &one, &two].map(|it| is_open(&it.1)), [true, false, true]);
    assert!(two.0.set_handling() && three.0.set_handling());
    assert!(connect(&slots, A).is_none());
    assert!(connect(&slots, "::ffff:192.0.2.1").is_none());
}

#[test]
fn one_ipv6_client_is_one_network() {
    let slots = slots(9, 1);
    let first = connect(&slots, "2001:db8::1").unwrap();
    assert!(first.0.set_handling());
    assert!(connect(&slots, "2001:db8::ffff:2").is_none());
    assert!(connect(&slots, "2001:db8:0:1::1").is_some());
}

#[test]
fn loopback_and_trusted_proxies_have_no_limit_per_address() {
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "192.0.2.9"] {
        let slots = slots(3, 1);
        let held: Vec<_> = (0..3).map(|_| connect(&slots, address).unwrap()).collect();
        assert!(held.iter().all(|it| it.0.set_handling()), "{address}");
        assert!(connect(&slots, address).is_none(), "{address}");
    }
}

#[test]
fn stopping_closes_idle_connections_and_waits_for_busy_ones() {
    let slots = slots(9, 9);
    let (idle, busy) = (connect(&slots, A).unwrap(), connect(&slots, A).unwrap());
    assert!(busy.0.set_handling());
    slots.stop();
    assert_eq!([&idle, &busy].map(|it| is_open(&it.1)), [false, true]);
    assert!(connect(&slots, A).is_none());
    assert_eq!(slots.drain(Duration::from_millis(10)), 1);
    assert!(!is_open(&busy.1));
    assert!(!busy.0.set_idle());
    drop(busy);
    assert_eq!(slots.drain(Duration::from_secs(10)), 0);
}
