//! The only reader of time. All other code gets the time as an argument.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::scim::datetime::Timestamp;

/// A clock: the machine's, or one that stands where a test put it.
#[derive(Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that only [`Clock::advance`] and [`Clock::set`] move, in nanoseconds since the
    /// epoch, and the time that has passed on it.
    Fixed(AtomicI64, AtomicI64),
}

/// How far the clock may be from where it would be had nobody set it, in nanoseconds: ten minutes.
const STEP_MAX: i64 = 600_000_000_000;
/// How long the clock must have run since it was set or the program started, in nanoseconds, before
/// anything is erased by age: twelve hours.
const STEADY: i64 = 12 * 3_600_000_000_000;

/// Judges whether the clock may decide that something is old enough to be erased. A clock that was
/// set wrong, at the start or since, is put right within hours on most hosts; what it would have
/// erased meanwhile would be gone for good. Nothing of this is read from the file: what was written
/// by a wrong clock proves nothing after the next start.
#[derive(Debug, Default)]
pub struct Steadiness {
    /// The clock and the time that passes by itself, when both were last taken to be right.
    since: Mutex<Option<(i64, i64)>>,
}

impl Steadiness {
    /// Whether the clock has run steadily for long enough. To be asked every minute or so; the
    /// first time begins the wait. A warning tells of a clock that was set.
    pub fn is_steady(&self, clock: &Clock) -> bool {
        let (now, passed) = (clock.now(), clock.passed());
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, start_passed) = *since.get_or_insert((now.nanoseconds(), passed));
        let ran = passed.saturating_sub(start_passed);
        let step = now.nanoseconds().saturating_sub(start).saturating_sub(ran);
        if step.saturating_abs() > STEP_MAX {
            *since = Some((now.nanoseconds(), passed));
            log::warn!(
                "the clock was set {} by {} minutes, to {now}: nothing is removed by its age until \
                 it has run steadily for {} hours",
                if step > 0 { "forward" } else { "back" },
                step.saturating_abs() / 60_000_000_000,
                STEADY / 3_600_000_000_000
            );
            return false;
        }
        ran >= STEADY
    }
}

impl Clock {
    /// A clock that stands at this time.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Clock {
        Clock::Fixed(AtomicI64::new(at.nanoseconds()), AtomicI64::new(0))
    }

    /// The time now, in whole milliseconds, which is what answers show: a client that filters by a
    /// time of an answer must find the resource.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let nanoseconds = match self {
            Clock::Fixed(at, _) => at.load(Ordering::Relaxed),
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
            }
        };
        Timestamp::from_nanoseconds(nanoseconds - nanoseconds.rem_euclid(1_000_000))
    }

    /// The time that has passed since some moment, in nanoseconds, whoever sets the clock.
    #[must_use]
    pub fn passed(&self) -> i64 {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        match self {
            Clock::Fixed(_, passed) => passed.load(Ordering::Relaxed),
            Clock::System => {
                let passed = START.get_or_init(Instant::now).elapsed();
                i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX)
            }
        }
    }

    /// Lets time pass on a fixed clock; the machine's clock is left alone.
    pub fn advance(&self, seconds: i64) {
        if let Clock::Fixed(_, passed) = self {
            passed.fetch_add(seconds.saturating_mul(1_000_000_000), Ordering::Relaxed);
        }
        self.set(seconds);
    }

    /// Sets a fixed clock forward or back, although no time has passed.
    pub fn set(&self, by_seconds: i64) {
        if let Clock::Fixed(at, _) = self {
            at.fetch_add(by_seconds.saturating_mul(1_000_000_000), Ordering::Relaxed);
        }
    }
}
