//! The only reader of time. All other code gets the time as an argument.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::scim::datetime::Timestamp;

/// A clock: the machine's, or one that stands where a test put it.
#[derive(Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that only [`Clock::advance`] moves, in nanoseconds since the epoch.
    Fixed(AtomicI64),
}

impl Clock {
    /// A clock that stands at this time.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Clock {
        Clock::Fixed(AtomicI64::new(at.nanoseconds()))
    }

    /// The time now, in whole milliseconds, which is what answers show: a client that filters by a
    /// time of an answer must find the resource.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let nanoseconds = match self {
            Clock::Fixed(at) => at.load(Ordering::Relaxed),
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
            }
        };
        Timestamp::from_nanoseconds(nanoseconds - nanoseconds.rem_euclid(1_000_000))
    }

    /// Moves a fixed clock; the machine's clock is left alone.
    pub fn advance(&self, seconds: i64) {
        if let Clock::Fixed(at) = self {
            at.fetch_add(seconds.saturating_mul(1_000_000_000), Ordering::Relaxed);
        }
    }
}
