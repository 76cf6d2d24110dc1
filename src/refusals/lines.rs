//! The lines of the log about refused requests: one for each kind at once, and how many more there
//! were a minute later. They hold no personal data.

use std::collections::HashMap;

use crate::scim::datetime::Timestamp;

/// For how long the same are counted, in nanoseconds.
const SUM_TIME: i64 = 60_000_000_000;
/// The kinds that are counted at once; there are as many as tokens, routes and statuses have.
const KINDS_MAX: usize = 1_024;

/// What was said of late, and how many more of the same there were.
#[derive(Debug, Default)]
pub struct Lines {
    kinds: HashMap<String, Sum>,
}

#[derive(Debug)]
struct Sum {
    since: Timestamp,
    more: u64,
}

impl Lines {
    /// Notes a refusal of a kind; returns whether it is to be said now.
    pub fn note(&mut self, kind: &str, now: Timestamp) -> bool {
        if let Some(it) = self.kinds.get_mut(kind) {
            it.more += 1;
            return false;
        }
        if self.kinds.len() >= KINDS_MAX {
            return false;
        }
        self.kinds.insert(kind.to_owned(), Sum { since: now, more: 0 });
        true
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The sums whose minute is over, as sentences; with `all` every sum.
    pub fn due(&mut self, now: Timestamp, all: bool) -> Vec<String> {
        let mut said = Vec::new();
        self.kinds.retain(|kind, it| {
            let age = now.nanoseconds() - it.since.nanoseconds();
            // A clock that was set back ends the minute.
            let is_over = all || !(0..SUM_TIME).contains(&age);
            if is_over && it.more > 0 {
                said.push(format!("refused {} more times within a minute: {kind}", it.more));
                *it = Sum { since: now, more: 0 };
                return !all;
            }
            !is_over
        });
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_are_said_once_and_counted() {
        let mut lines = Lines::default();
        let at = |seconds: i64| Timestamp::from_nanoseconds(0).plus_seconds(seconds);
        let said: Vec<bool> = (0..100).map(|i| lines.note("400 POST", at(i / 10))).collect();
        assert_eq!(said.iter().filter(|it| **it).count(), 1);
        assert!(lines.note("409 POST", at(9)));
        assert_eq!(lines.due(at(59), false), [""; 0]);
        let sum = "refused 99 more times within a minute: 400 POST";
        assert_eq!(lines.due(at(60), false), [sum]);
        // It goes on to be counted, and is forgotten when nothing more comes.
        assert!(!lines.note("400 POST", at(61)));
        assert_eq!(lines.due(at(121), false).len(), 1);
        assert_eq!(lines.due(at(190), false), [""; 0]);
        assert!(lines.is_empty());
        lines.note("a", at(200));
        lines.note("a", at(200));
        assert_eq!(lines.due(at(201), true).len(), 1);
        assert!(lines.is_empty());
        let many = (0..5_000).filter(|i| lines.note(&i.to_string(), at(300))).count();
        assert_eq!(many, KINDS_MAX);
    }
}
