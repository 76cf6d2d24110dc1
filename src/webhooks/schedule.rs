//! When a delivery that failed is tried again.

use std::time::Duration;

/// The pauses after each attempt that failed, in seconds; after one more the endpoint is disabled.
/// Together they are 75 hours and 35 minutes.
const PAUSES: [u64; 9] = [
    5,
    5 * 60,
    30 * 60,
    2 * 60 * 60,
    5 * 60 * 60,
    10 * 60 * 60,
    14 * 60 * 60,
    20 * 60 * 60,
    24 * 60 * 60,
];
/// How often an event is tried.
pub const ATTEMPTS_MAX: u32 = PAUSES.len() as u32 + 1;
/// The longest pause that a receiver can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after this many attempts have failed; `None` when it was the last one. A tenth more at
/// most, by the random number, so that not all endpoints come back at once. What the receiver asks
/// for in `Retry-After` makes a pause longer and never shorter.
#[must_use]
pub fn pause(failed: u32, random: u32, retry_after: Option<Duration>) -> Option<Duration> {
    let place = usize::try_from(failed.checked_sub(1)?).ok()?;
    let pause = Duration::from_secs(*PAUSES.get(place)?);
    let jitter = pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 10.0);
    let asked = retry_after.map_or(Duration::ZERO, |it| it.min(RETRY_AFTER_MAX));
    Some((pause + jitter).max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60;

    #[test]
    fn the_schedule_of_a_receiver_that_is_down_for_four_days() {
        // When each attempt is made, in seconds after the first one.
        let made = |random: u32| {
            let mut times = vec![0];
            while let Some(it) = pause(times.len() as u32, random, None) {
                times.push(times[times.len() - 1] + it.as_secs());
            }
            times
        };
        let expected = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105];
        assert_eq!(made(0), expected);
        assert_eq!(made(0).len(), ATTEMPTS_MAX as usize);
        let latest = made(u32::MAX);
        assert_eq!(latest.len(), ATTEMPTS_MAX as usize);
        // 75 h 35 min, and a tenth more at most: after four days it has been given up.
        assert_eq!(expected[9] / 60, 75 * 60 + 35);
        assert!(latest[9] > expected[9] && latest[9] <= expected[9] * 11 / 10);
        assert!(latest[9] < 4 * 24 * HOUR);
    }

    #[test]
    fn what_the_receiver_asks_for_makes_a_pause_longer() {
        let hours = |it: u64| Some(Duration::from_secs(it * HOUR));
        for (failed, asked, expected) in [
            (1, Some(Duration::from_secs(60)), Some(Duration::from_secs(60))),
            (1, Some(Duration::ZERO), Some(Duration::from_secs(5))),
            (3, Some(Duration::from_secs(60)), Some(Duration::from_secs(1800))),
            (1, hours(1_000), hours(24)),
            (9, hours(1), hours(24)),
            (10, hours(1), None),
            (0, None, None),
            (u32::MAX, None, None),
        ] {
            assert_eq!(pause(failed, 0, asked), expected, "{failed} {asked:?}");
        }
    }
}
