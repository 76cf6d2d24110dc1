//! Whose turn it is, and who stops waiting for one.

use std::sync::Mutex;

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn wait_for(turns: &Turns<u8>, waiting: usize) {
    while turns.waiting() < waiting {
        thread::yield_now();
    }
}

#[test]
fn organisations_have_turns_one_after_the_other_and_nobody_s_comes_first() {
    let turns = Turns::<u8>::new();
    let first = turns.take(Some(1), LONG).unwrap();
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let asked = [Some(1), Some(1), Some(1), Some(2), Some(2), None];
        for (i, org) in asked.into_iter().enumerate() {
            let (turns, order) = (&turns, &order);
            scope.spawn(move || {
                let _turn = turns.take(org, LONG).unwrap();
                lock(order).push(org);
            });
            wait_for(turns, i + 1);
        }
        drop(first);
    });
    let order = order.into_inner().unwrap();
    assert_eq!(order, [None, Some(1), Some(2), Some(1), Some(2), Some(1)]);
}

#[test]
fn who_waits_too_long_leaves_and_the_turn_goes_to_the_next() {
    let turns = Turns::<u8>::new();
    let mut first = turns.take(Some(1), LONG).unwrap();
    assert!(turns.take(Some(1), Duration::from_millis(20)).is_err());
    assert_eq!(turns.waiting(), 0);
    // Nobody is left to whom it could be given.
    assert!(!first.hand_over());
    thread::scope(|scope| {
        let other = scope.spawn(|| turns.take(Some(2), LONG).is_ok());
        wait_for(&turns, 1);
        assert!(first.hand_over());
        assert!(other.join().unwrap());
    });
    drop(first);
    assert!(turns.take(None, Duration::ZERO).is_ok());
}

#[test]
fn an_organisation_whose_changes_have_waited_long_gets_no_further_place() {
    let turns = Turns::<u8>::new();
    let first = turns.take(Some(1), LONG).unwrap();
    thread::scope(|scope| {
        for i in 0..WAITING_PER_ORG {
            let turns = &turns;
            scope.spawn(move || turns.take(Some(1), LONG).map(drop).unwrap());
            wait_for(turns, i + 1);
        }
        // A crowd that has only just come is served in a moment.
        scope.spawn(|| turns.take(Some(1), LONG).map(drop).unwrap());
        wait_for(&turns, WAITING_PER_ORG + 1);
        thread::sleep(CROWDED_AFTER + Duration::from_millis(50));
        let asked = Instant::now();
        assert!(turns.take(Some(1), LONG).is_err());
        assert!(asked.elapsed() < LONG / 2);
        // Another organisation still has its place.
        let other = scope.spawn(|| turns.take(Some(2), LONG).is_ok());
        wait_for(&turns, WAITING_PER_ORG + 2);
        drop(first);
        assert!(other.join().unwrap());
    });
}

#[test]
fn queued_items_and_threads_take_turns() {
    let turns = Turns::<u8>::new();
    let first = turns.take(None, LONG).unwrap();
    assert!(turns.take_or_queue(&1).is_none());
    assert!(turns.take_or_queue(&2).is_none());
    thread::scope(|scope| {
        let thread = scope.spawn(|| turns.take(Some(1), LONG).map(drop).unwrap());
        wait_for(&turns, 3);
        drop(first);
        let (turn, items) = turns.take_queued(8).unwrap();
        assert_eq!(items, [1, 2]);
        assert!(turns.take_or_queue(&3).is_none());
        drop(turn);
        thread.join().unwrap();
        let (turn, items) = turns.take_queued(8).unwrap();
        assert_eq!(items, [3]);
        drop(turn);
    });
    turns.end();
    assert!(turns.take_queued(8).is_none());
    assert!(turns.take_or_queue(&4).is_some());
}
