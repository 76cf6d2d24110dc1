//! Whose turn it is: a place among the few threads that send is shared out so that receivers that
//! are slow or down never take it from the others.

/// How many requests are under way at once.
pub const SENDERS_MAX: usize = 8;
/// How many of them may be to receivers that are slow or have failed.
const SUSPECTS_MAX: usize = 6;

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

/// Those of `ready` that are sent to now, the first one first: the healthy before the suspects, and
/// of both the ones that have waited longest. `busy` and `busy_suspects`: how many requests are
/// under way.
#[must_use]
pub fn next<T>(mut ready: Vec<Ready<T>>, busy: usize, busy_suspects: usize) -> Vec<Ready<T>> {
    ready.sort_by_key(|it| (it.suspect, it.turn));
    let mut left = SENDERS_MAX.saturating_sub(busy);
    let mut left_for_suspects = SUSPECTS_MAX.saturating_sub(busy_suspects);
    ready.retain(|it| {
        let has_place = left > 0 && (!it.suspect || left_for_suspects > 0);
        if has_place {
            left -= 1;
            left_for_suspects -= usize::from(it.suspect);
        }
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

    fn chosen(ready: Vec<Ready<u64>>, busy: usize, busy_suspects: usize) -> Vec<u64> {
        next(ready, busy, busy_suspects).into_iter().map(|it| it.endpoint).collect()
    }

    #[test]
    fn the_healthy_go_first_and_then_who_has_waited_longest() {
        let all = vec![ready(1, true, 0), ready(2, false, 9), ready(3, false, 4)];
        assert_eq!(chosen(all.clone(), 0, 0), [3, 2, 1]);
        assert_eq!(chosen(all.clone(), 7, 0), [3]);
        assert!(chosen(all, 8, 0).is_empty());
    }

    #[test]
    fn suspects_never_take_every_place() {
        let suspects: Vec<_> = (0..100).map(|it| ready(it, true, it)).collect();
        assert_eq!(chosen(suspects.clone(), 0, 0), [0, 1, 2, 3, 4, 5]);
        assert!(chosen(suspects.clone(), 6, 6).is_empty());
        assert_eq!(chosen(suspects.clone(), 3, 1), [0, 1, 2, 3, 4]);
        let mut all = suspects;
        all.push(ready(100, false, 1_000));
        assert_eq!(chosen(all, 6, 6), [100]);
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
