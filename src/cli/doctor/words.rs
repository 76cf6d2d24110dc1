//! Times and sizes in words.

use crate::scim::datetime::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// A day, in seconds.
pub const DAY: i64 = 24 * HOUR;

/// How many seconds lie between two times; less than nothing when `earlier` is the later one.
#[must_use]
pub fn seconds_between(earlier: Timestamp, later: Timestamp) -> i64 {
    later.nanoseconds().saturating_sub(earlier.nanoseconds()) / 1_000_000_000
}

/// A span of time: `3 minutes`.
#[must_use]
pub fn span(seconds: i64) -> String {
    let (count, unit) = match seconds.max(0) {
        it if it < 2 * MINUTE => (it, "second"),
        it if it < 2 * HOUR => (it / MINUTE, "minute"),
        it if it < 2 * DAY => (it / HOUR, "hour"),
        it => (it / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// How long ago that was, or in how long it will be.
#[must_use]
pub fn when(time: Timestamp, now: Timestamp) -> String {
    match seconds_between(time, now) {
        it if it >= 0 => format!("{} ago", span(it)),
        it => format!("in {}", span(-it)),
    }
}

/// A number of bytes, in the largest unit that leaves a whole number of at least ten.
#[must_use]
pub fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut count, mut unit) = (bytes, 0);
    while count >= 10 * 1024 && unit + 1 < units.len() {
        count = count.div_ceil(1024);
        unit += 1;
    }
    format!("{count} {}", units[unit])
}

/// A number of things: `1 token`, `3 tokens`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes() {
        for (seconds, expected) in [
            (-5, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (2 * DAY, "2 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
        let now = Timestamp::from_nanoseconds(0).plus_seconds(1_000_000);
        assert_eq!(when(now.plus_seconds(-60), now), "60 seconds ago");
        assert_eq!(when(now.plus_seconds(3 * DAY), now), "in 3 days");
        for (bytes, expected) in
            [(0, "0 bytes"), (4096, "4096 bytes"), (151_552, "148 KiB"), (1 << 40, "1024 GiB")]
        {
            assert_eq!(size(bytes), expected);
        }
    }
}
