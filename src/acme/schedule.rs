//! When a certificate is renewed, and when an attempt that failed is made again; pure.

use std::time::Duration;

use crate::acme::failure::Cause;
use crate::scim::datetime::Timestamp;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first moment.
    pub begins: Timestamp,
    /// Its last one.
    pub expires: Timestamp,
}

/// When the directory would like a certificate to be renewed (RFC 9773 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub start: Timestamp,
    /// Its last one.
    pub end: Timestamp,
}

/// What became of the attempts since the last certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many failed.
    pub failed: u32,
    /// When the last one failed.
    pub last: Option<Timestamp>,
    /// Why.
    pub cause: Cause,
    /// Until when the directory asks to be left alone.
    pub wait_until: Option<Timestamp>,
    /// When those failed that the directory may count; the last one comes last.
    pub counted: Vec<Timestamp>,
}

/// A certificate is renewed when this part of its life is left,
const LEFT_PART: i64 = 3;
/// or up to this part of its life earlier, by chance, so that not all servers come at once.
const JITTER_PART: i64 = 20;
/// What a directory suggests can move the renewal until this part of its life is left.
const LEFT_PART_MIN: i64 = 10;

/// The pauses, in seconds, after failures that a minute may mend; the last one stays.
const PAUSES_DIRECTORY: [u64; 4] = [60, 5 * 60, 15 * 60, 60 * 60];
/// The same after failures that somebody must mend.
const PAUSES: [u64; 4] = [10 * 60, 60 * 60, 3 * 60 * 60, 6 * 60 * 60];
/// So many attempts that failed may begin within an hour, by whomever they are asked for. Let's
/// Encrypt allows five validations that fail, and an attempt makes up to two.
pub const COUNTED_PER_HOUR_MAX: usize = 2;
/// The longest time that a directory can ask to be left alone for: a week.
pub const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const HOUR_SECONDS: i64 = 60 * 60;

/// When a certificate is to be renewed. `random` is drawn once for each certificate.
#[must_use]
pub fn due(validity: Validity, window: Option<Window>, random: u32) -> Timestamp {
    let (begins, expires) = (validity.begins.nanoseconds(), validity.expires.nanoseconds());
    let life = expires.saturating_sub(begins).max(0);
    let chance = |of: i64| {
        let part = i128::from(of) * i128::from(random) / i128::from(u32::MAX);
        i64::try_from(part).unwrap_or(0)
    };
    let own = expires - life / LEFT_PART - chance(life / JITTER_PART);
    // One that ends before it begins is none (section 4.2); one that ends too late is a mistake.
    let window = window.filter(|it| it.start < it.end);
    let latest = expires - life / LEFT_PART_MIN;
    let at = window.map_or(own, |it| {
        let (start, end) = (it.start.nanoseconds(), it.end.nanoseconds());
        start.saturating_add(chance(end.saturating_sub(start))).min(latest)
    });
    Timestamp::from_nanoseconds(at)
}

/// When the next attempt is made. `due`: when it would be, had none failed. `asked`: whether
/// somebody has started the server, or asked it, since the last one.
#[must_use]
pub fn next(
    due: Timestamp,
    attempts: &Attempts,
    asked: bool,
    now: Timestamp,
    random: u32,
) -> Timestamp {
    let mut at = due;
    if let (Some(last), false) = (attempts.last, asked) {
        // A clock that was set back must not make a pause longer.
        at = at.max(last.min(now).plus(pause(attempts.failed, attempts.cause, random)));
    }
    if let Some(it) = attempts.wait_until {
        at = at.max(it.min(now.plus(WAIT_MAX)));
    }
    let counted = attempts.counted.iter().rev().nth(COUNTED_PER_HOUR_MAX - 1);
    if let Some(it) = counted {
        at = at.max((*it).min(now).plus_seconds(HOUR_SECONDS));
    }
    at
}

/// The pause after so many failures; up to a tenth more, by chance.
fn pause(failed: u32, cause: Cause, random: u32) -> Duration {
    let pauses = match cause {
        Cause::Directory | Cause::NoAccount | Cause::Stopped => PAUSES_DIRECTORY,
        Cause::Challenge | Cause::Refused => PAUSES,
    };
    let place = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = Duration::from_secs(pauses[place.min(pauses.len() - 1)]);
    pause + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 10.0)
}

impl Attempts {
    /// Notes that an attempt failed at this time.
    pub fn note(&mut self, cause: Cause, wait: Option<Duration>, now: Timestamp) {
        self.failed = self.failed.saturating_add(1);
        self.last = Some(now);
        self.cause = cause;
        self.wait_until = wait.map(|it| now.plus(it.min(WAIT_MAX)));
        if matches!(cause, Cause::Challenge | Cause::Refused) {
            self.counted.push(now);
            let surplus = self.counted.len().saturating_sub(COUNTED_PER_HOUR_MAX);
            self.counted.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * HOUR_SECONDS;
    const MINUTE: i64 = 60;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanoseconds(seconds * 1_000_000_000)
    }

    fn seconds(it: Timestamp) -> i64 {
        it.nanoseconds() / 1_000_000_000
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left_or_a_little_earlier() {
        for days in [90, 47, 6] {
            let validity = Validity { begins: at(0), expires: at(days * DAY) };
            let (latest, earliest) = (due(validity, None, 0), due(validity, None, u32::MAX));
            assert_eq!(seconds(latest), days * DAY * 2 / 3);
            assert_eq!(seconds(latest) - seconds(earliest), days * DAY / 20);
        }
        // Whatever a certificate says, there is an answer.
        let turned = Validity { begins: at(DAY), expires: at(0) };
        assert_eq!(due(turned, None, 7), at(0));
        let (begins, expires) = (i64::MIN, i64::MAX);
        let [begins, expires] = [begins, expires].map(Timestamp::from_nanoseconds);
        let all = Window { start: begins, end: expires };
        assert!(due(Validity { begins, expires }, Some(all), u32::MAX) < expires);
    }

    #[test]
    fn the_window_of_the_directory_counts_but_not_beyond_the_last_tenth() {
        let validity = Validity { begins: at(0), expires: at(90 * DAY) };
        let window = |start: i64, end: i64| Some(Window { start: at(start), end: at(end) });
        for (window, random, expected) in [
            (window(50 * DAY, 52 * DAY), 0, 50 * DAY),
            (window(50 * DAY, 52 * DAY), u32::MAX, 52 * DAY),
            (window(70 * DAY, 72 * DAY), 0, 70 * DAY),
            // It has passed: at once.
            (window(-2 * DAY, -DAY), 0, -2 * DAY),
            (window(100 * DAY, 200 * DAY), 0, 81 * DAY),
            // No window at all.
            (window(52 * DAY, 50 * DAY), 0, 60 * DAY),
            (window(50 * DAY, 50 * DAY), 0, 60 * DAY),
        ] {
            assert_eq!(seconds(due(validity, window, random)), expected, "{window:?} {random}");
        }
    }

    #[test]
    fn failures_make_pauses_that_grow_and_end_at_a_limit() {
        let now = at(1000 * DAY);
        let mut attempts = Attempts::default();
        assert_eq!(next(at(0), &attempts, false, now, 0), at(0));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            attempts.note(Cause::Directory, None, now);
            pauses.push(seconds(next(at(0), &attempts, false, now, 0)) - seconds(now));
        }
        assert_eq!(pauses, [60, 300, 900, 3600, 3600, 3600]);
        let mut attempts = Attempts::default();
        let mut time = now;
        pauses.clear();
        for _ in 0..6 {
            attempts.note(Cause::Challenge, None, time);
            let then = next(at(0), &attempts, false, time, 0);
            pauses.push((seconds(then) - seconds(time)) / MINUTE);
            time = then;
        }
        assert_eq!(pauses, [10, 60, 180, 360, 360, 360]);
        let latest = next(at(0), &attempts, false, time, u32::MAX);
        assert!(seconds(latest) - seconds(now) > 0);
        // A renewal that is not due yet is not made earlier by a failure.
        let later = now.plus_seconds(90 * DAY);
        assert_eq!(next(later, &attempts, true, now, 0), later);
    }

    #[test]
    fn an_operator_skips_the_pause_and_not_what_the_directory_counts() {
        let now = at(1000 * DAY);
        let mut attempts = Attempts::default();
        attempts.note(Cause::Challenge, None, now);
        assert_eq!(next(at(0), &attempts, true, now, 0), at(0));
        attempts.note(Cause::Refused, None, now.plus_seconds(MINUTE));
        let third = next(at(0), &attempts, true, now.plus_seconds(2 * MINUTE), 0);
        assert_eq!(third, now.plus_seconds(HOUR_SECONDS));
        // A directory that could not be reached has counted nothing.
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            attempts.note(Cause::Directory, None, now);
        }
        assert_eq!(next(at(0), &attempts, true, now, 0), at(0));
    }

    #[test]
    fn what_the_directory_asks_for_counts_within_a_week_for_operators_too() {
        let now = at(1000 * DAY);
        for (wait, expected) in [(3 * HOUR_SECONDS, 3 * HOUR_SECONDS), (30 * DAY, 7 * DAY)] {
            let mut attempts = Attempts::default();
            let wait = Duration::from_secs(wait.unsigned_abs());
            attempts.note(Cause::Directory, Some(wait), now);
            assert_eq!(next(at(0), &attempts, true, now, 0), now.plus_seconds(expected));
            attempts.note(Cause::Directory, None, now);
            assert_eq!(next(at(0), &attempts, true, now, 0), at(0));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting() {
        let now = at(1000 * DAY);
        let mut attempts = Attempts::default();
        attempts.note(Cause::Challenge, Some(WAIT_MAX), now.plus_seconds(1000 * DAY));
        attempts.counted = vec![now.plus_seconds(1000 * DAY); 2];
        let then = next(at(0), &attempts, false, now, 0);
        assert!(seconds(then) - seconds(now) <= 7 * DAY, "{then}");
        attempts.wait_until = None;
        let then = next(at(0), &attempts, true, now, 0);
        assert_eq!(then, now.plus_seconds(HOUR_SECONDS));
    }
}
