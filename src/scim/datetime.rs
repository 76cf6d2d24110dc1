//! Points in time and the DateTime text of RFC 7643 section 2.3.5 (xsd:dateTime).

use std::fmt;
use std::time::Duration;

use jiff::civil;
use jiff::tz::{Offset, TimeZone};

/// A point in time, in nanoseconds since 1970-01-01T00:00:00Z, within the years 1677 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    nanoseconds: i64,
}

impl Timestamp {
    /// The point this many nanoseconds after the epoch.
    #[must_use]
    pub fn from_nanoseconds(nanoseconds: i64) -> Timestamp {
        Timestamp { nanoseconds }
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// Whole milliseconds since the epoch; 0 before it.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        u64::try_from(self.nanoseconds / 1_000_000).unwrap_or(0)
    }

    /// The same point, moved by whole seconds; it stays within the years it can hold.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        let nanoseconds = seconds.saturating_mul(1_000_000_000);
        Timestamp { nanoseconds: self.nanoseconds.saturating_add(nanoseconds) }
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Timestamp {
        let nanoseconds = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Timestamp { nanoseconds: self.nanoseconds.saturating_add(nanoseconds) }
    }

    /// The date as HTTP writes it, to the second (RFC 9110 section 5.6.7).
    #[must_use]
    pub fn http_date(self) -> String {
        let seconds = self.nanoseconds.div_euclid(1_000_000_000);
        let exact = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        exact.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// Reads a date as HTTP writes it.
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Timestamp> {
        let read = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Timestamp::from_nanoseconds(read.as_second().saturating_mul(1_000_000_000)))
    }

    /// The time to the second as a part of a file's name: `20110513T044234Z`.
    #[must_use]
    pub fn stamp(self) -> String {
        let seconds = self.nanoseconds.div_euclid(1_000_000_000);
        let exact = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        exact.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// Reads what [`Timestamp::stamp`] writes, and nothing else.
    #[must_use]
    pub fn parse_stamp(text: &str) -> Option<Timestamp> {
        // The basic form of ISO 8601, which jiff reads too; the other forms are turned away.
        Timestamp::parse(text).filter(|it| it.stamp() == text)
    }

    /// Reads an xsd:dateTime. One without an offset is taken as UTC; a date alone is refused. A
    /// point outside the years this type holds becomes its nearest end, so that it still compares.
    #[must_use]
    pub fn parse(text: &str) -> Option<Timestamp> {
        if !text.contains(['T', 't']) {
            return None;
        }
        let exact: Option<jiff::Timestamp> = text.parse().ok();
        let exact = exact.or_else(|| {
            // A zone name in brackets is jiff's own extension: a civil time must end in its digits.
            let plain = text.ends_with(|it: char| it.is_ascii_digit());
            let civil: civil::DateTime = text.parse().ok().filter(|_| plain)?;
            Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
        })?;
        let bounded = exact.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
        Some(Timestamp { nanoseconds: i64::try_from(bounded).ok()? })
    }
}

/// The time that `Retry-After` asks for, as a number of seconds or a date (RFC 9110 section
/// 10.2.3); `None` for a date that has passed.
#[must_use]
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = Timestamp::parse_http_date(text)?;
    let pause = at.nanoseconds().saturating_sub(now.nanoseconds());
    u64::try_from(pause).ok().map(Duration::from_nanos)
}

/// RFC 3339 in UTC with milliseconds, the one form this server prints.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl Timestamp {
    /// Writes what is displayed behind a text.
    pub fn write(self, text: &mut String) {
        text.push_str(str::from_utf8(&self.digits()).unwrap_or_default());
    }

    fn digits(self) -> [u8; 24] {
        let milliseconds = self.nanoseconds.div_euclid(1_000_000);
        // Every i64 of nanoseconds is within jiff's years.
        let exact = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default();
        let utc = Offset::UTC.to_datetime(exact);
        // Every page prints hundreds of these, and their form is always the same: each number, and
        // where its last digit stands.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let numbers = [
            (utc.year().unsigned_abs(), 3),
            (utc.month().unsigned_abs().into(), 6),
            (utc.day().unsigned_abs().into(), 9),
            (utc.hour().unsigned_abs().into(), 12),
            (utc.minute().unsigned_abs().into(), 15),
            (utc.second().unsigned_abs().into(), 18),
            (utc.millisecond().unsigned_abs(), 22),
        ];
        for (mut number, mut at) in numbers {
            while number > 0 {
                text[at] += u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
                at = at.saturating_sub(1);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let printed = Timestamp::parse(text).map(|it| it.to_string());
        assert_eq!(printed.as_deref(), expected, "{text}");
    }

    #[test]
    fn datetimes() {
        check("2011-05-13T04:42:34Z", Some("2011-05-13T04:42:34.000Z"));
        check("2011-05-13T04:42:34.1239Z", Some("2011-05-13T04:42:34.123Z"));
        check("2011-05-13T06:42:34+02:00", Some("2011-05-13T04:42:34.000Z"));
        check("2011-05-13T04:42:34", Some("2011-05-13T04:42:34.000Z"));
        check("1969-12-31T23:59:59.999Z", Some("1969-12-31T23:59:59.999Z"));
        check("9999-01-01T00:00:00Z", Some("2262-04-11T23:47:16.854Z"));
        check("2011-05-13", None);
        check("yesterday", None);
        check("2011-13-13T04:42:34Z", None);
        check("2011-05-13T04:42:34[Europe/Vienna]", None);
        check("", None);
    }

    #[test]
    fn every_day_is_printed_as_jiff_prints_it() {
        const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;
        for day in i64::MIN / DAY..=i64::MAX / DAY {
            // Another moment of each day.
            let nanoseconds = (day * DAY).saturating_add((day * 7_919_999_999).rem_euclid(DAY));
            let floor = jiff::Timestamp::from_millisecond(nanoseconds.div_euclid(1_000_000));
            let printed = Timestamp::from_nanoseconds(nanoseconds).to_string();
            assert_eq!(printed, format!("{:.3}", floor.unwrap()));
        }
        let ends =
            [i64::MIN, -1, 0, i64::MAX].map(|it| Timestamp::from_nanoseconds(it).to_string());
        assert_eq!(ends[0], "1677-09-21T00:12:43.145Z");
        assert_eq!(ends[1], "1969-12-31T23:59:59.999Z");
        assert_eq!(ends[2], "1970-01-01T00:00:00.000Z");
        assert_eq!(ends[3], "2262-04-11T23:47:16.854Z");
    }

    #[test]
    fn the_date_of_http() {
        let written = |text: &str| Timestamp::parse(text).unwrap().http_date();
        assert_eq!(written("1994-11-06T08:49:37.999Z"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(written("1969-12-31T23:59:59.5Z"), "Wed, 31 Dec 1969 23:59:59 GMT");
    }

    #[test]
    fn stamps() {
        let text = "20110513T044234Z";
        let read = Timestamp::parse_stamp(text).unwrap();
        assert_eq!(read.to_string(), "2011-05-13T04:42:34.000Z");
        assert_eq!(read.stamp(), text);
        for other in ["2011-05-13T04:42:34Z", "20110513T064234+02", "20111313T044234Z", "x", ""] {
            assert_eq!(Timestamp::parse_stamp(other), None, "{other}");
        }
    }

    #[test]
    fn order_is_the_order_of_time_not_of_text() {
        let earlier = Timestamp::parse("2020-01-01T01:00:00+02:00").unwrap();
        let later = Timestamp::parse("2020-01-01T00:00:00Z").unwrap();
        assert!(earlier < later);
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = Timestamp::parse("2026-01-31T08:00:00Z").unwrap();
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sat, 31 Jan 2026 08:02:00 GMT", Some(120)),
            ("Sat, 31 Jan 2026 07:00:00 GMT", None),
            ("-5", None),
            ("soon", None),
            ("99999999999999999999999", None),
        ] {
            let found = retry_after(text, now);
            assert_eq!(found, expected.map(Duration::from_secs), "{text}");
        }
    }
}
