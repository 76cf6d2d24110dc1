//! Whose turn it is: a place among the few threads that send is shared out so that receivers that
//! are slow or down never take it from the others.

use std::time::Duration;

/// How many requests have a place at once.
pub const PLACES: usize = 8;
/// How long a request has a place. One that takes longer goes on without one, so that receivers
/// that turn slow together, before anything is known of them, keep nobody waiting for long.
pub const PLACE_TIME_MAX: Duration = Duration::from_secs(1);
/// How many go on without a place at once.
pub const OVERDUE_MAX: usize = 24;
/// No request to a receiver that is slow or has failed begins while so many are under way: the
/// other places are for the healthy. One such receiver has a place whatever the healthy do.
pub const SUSPECTS_MAX: usize = 6;

/// An endpoint that has something to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready<T> {
    /// The endpoint.
    pub endpoint: T,
    /// Whether its last request was slow or has failed.
    pub suspect: bool,
    /// When it had its last turn: turns are numbered.
    pub turn: u64,
}

/// The requests that are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// For no longer than [`PLACE_TIME_MAX`].
    pub young: usize,
    /// For longer.
    pub overdue: usize,
    /// Of both, those to receivers that were slow before or have failed.
    pub suspects: usize,
}

impl Busy {
    /// How many places are taken.
    fn places(self) -> usize {
        self.young + self.overdue.saturating_sub(OVERDUE_MAX)
    }
}

/// Those of `ready` that are sent to now, the first one first: the healthy before the suspects, and
/// of both the ones that have waited longest.
#[must_use]
pub fn next<T>(mut ready: Vec<Ready<T>>, busy: Busy) -> Vec<Ready<T>> {
    ready.sort_by_key(|it| (it.suspect, it.turn));
    let (mut places, mut suspects) = (busy.places(), busy.suspects);
    let owed = usize::from(suspects == 0 && ready.iter().any(|it| it.suspect));
    ready.retain(|it| {
        let has_place = match it.suspect {
            false => places + owed < PLACES,
            true if suspects == 0 => places < PLACES,
            true => places < SUSPECTS_MAX && suspects < SUSPECTS_MAX,
        };
        places += usize::from(has_place);
        suspects += usize::from(has_place && it.suspect);
        has_place
    });
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(endpoint: u64, suspect: bool, turn: u64) -> Ready<u64> {
        Ready { endpoint, suspect, turn }
    }

    fn chosen(ready: Vec<Ready<u64>>, young: usize, suspects: usize) -> Vec<u64> {
        chosen_beside(ready, Busy { young, overdue: 0, suspects })
    }

    fn chosen_beside(ready: Vec<Ready<u64>>, busy: Busy) -> Vec<u64> {
        next(ready, busy).into_iter().map(|it| it.endpoint).collect()
    }

    #[test]
    fn the_healthy_go_first_and_then_who_has_waited_longest() {
        let all = vec![ready(1, true, 0), ready(2, false, 9), ready(3, false, 4)];
        assert_eq!(chosen(all.clone(), 0, 0), [3, 2, 1]);
        assert_eq!(chosen(all.clone(), 6, 1), [3, 2]);
        assert!(chosen(all, 8, 1).is_empty());
    }

    #[test]
    fn suspects_never_take_every_place() {
        let suspects: Vec<_> = (0..100).map(|it| ready(it, true, it)).collect();
        assert_eq!(chosen(suspects.clone(), 0, 0), [0, 1, 2, 3, 4, 5]);
        assert!(chosen(suspects.clone(), 6, 6).is_empty());
        assert_eq!(chosen(suspects.clone(), 3, 1), [0, 1, 2]);
        let mut all = suspects;
        all.push(ready(100, false, 1_000));
        assert_eq!(chosen(all, 6, 6), [100]);
    }

    #[test]
    fn a_suspect_has_a_place_whatever_the_healthy_do() {
        let mut all: Vec<_> = (0..20).map(|it| ready(it, false, it)).collect();
        all.push(ready(100, true, 1_000));
        assert_eq!(chosen(all.clone(), 0, 0), [0, 1, 2, 3, 4, 5, 6, 100]);
        assert_eq!(chosen(all.clone(), 7, 0), [100]);
        assert_eq!(chosen(all, 7, 1), [0]);
    }

    #[test]
    fn receivers_that_turn_slow_together_give_their_places_back() {
        let all: Vec<_> = (0..20).map(|it| ready(it, false, it)).collect();
        let beside = |young, overdue, suspects| {
            let busy = Busy { young, overdue, suspects };
            chosen_beside(all.clone(), busy).len()
        };
        assert_eq!(beside(8, 0, 0), 0);
        assert_eq!(beside(0, 8, 0), 8);
        assert_eq!(beside(8, OVERDUE_MAX, 0), 0);
        assert_eq!(beside(0, OVERDUE_MAX, 6), 8);
        // There is an end of it.
        assert_eq!(beside(0, OVERDUE_MAX + 3, 0), 5);
        assert_eq!(beside(0, OVERDUE_MAX + 8, 0), 0);
        // Those that are known for it have no more than their share, overdue or not.
        let known: Vec<_> = (0..20).map(|it| ready(it, true, it)).collect();
        let busy = |suspects| Busy { young: 0, overdue: suspects, suspects };
        assert_eq!(chosen_beside(known.clone(), busy(4)).len(), 2);
        assert!(chosen_beside(known, busy(6)).is_empty());
    }

    #[test]
    fn everybody_gets_a_turn() {
        // 30 endpoints that always have something, one place free each time.
        let mut turns = [0; 30];
        let mut served = [0; 30];
        for turn in 1..=300 {
            let all = (0..30).map(|it| ready(it, false, turns[it as usize])).collect();
            let first = usize::try_from(chosen(all, 7, 0)[0]).unwrap();
            turns[first] = turn;
            served[first] += 1;
        }
        assert_eq!(served, [10; 30]);
    }
}
