//! How many requests of which moment are let through.

use super::*;

const START: i64 = 1_700_000_000_000_000_000;

/// How many of these requests in one moment are let through.
fn accepted(rates: &Rates, rate: u32, seconds: i64, requests: usize) -> usize {
    let now = Timestamp::from_nanoseconds(START).plus_seconds(seconds);
    let sent = (0..requests).map(|_| rates.take(OrgKey(1), Scope::Scim, rate, now));
    sent.filter(Option::is_none).count()
}

#[test]
fn a_sixth_of_a_minute_at_once_and_then_as_many_as_the_rate() {
    for (rate, burst) in [(1, 1), (5, 1), (6, 1), (12, 2), (600, 100), (60_000, 10_000)] {
        let rates = Rates::default();
        assert_eq!(accepted(&rates, rate, 0, burst + 9), burst, "{rate}");
        assert_eq!(accepted(&rates, rate, 0, 1), 0, "{rate}");
        // After a minute the bucket is full, and no fuller.
        assert_eq!(accepted(&rates, rate, 60, burst + 9), burst, "{rate}");
        assert_eq!(accepted(&rates, rate, 3_600, burst + 9), burst, "{rate}");
    }
    let rates = Rates::default();
    assert_eq!(accepted(&rates, 600, 0, 200), 100);
    assert_eq!(accepted(&rates, 600, 3, 200), 30);
    assert_eq!(accepted(&rates, 600, 4, 200), 10);
}

#[test]
fn the_time_to_wait_is_the_time_until_a_request_fits() {
    for (rate, burst, wait) in [(1, 1, 60), (20, 3, 3), (7, 1, 9), (600, 100, 1)] {
        let rates = Rates::default();
        assert_eq!(accepted(&rates, rate, 0, burst), burst);
        let now = Timestamp::from_nanoseconds(START);
        let take = |now| rates.take(OrgKey(1), Scope::Scim, rate, now);
        assert_eq!(take(now), Some(wait), "{rate}");
        let wait = i64::try_from(wait).unwrap();
        assert!(rate == 600 || take(now.plus_seconds(wait - 1)).is_some(), "{rate}");
        assert_eq!(take(now.plus_seconds(wait)), None, "{rate}");
    }
}

#[test]
fn a_request_that_was_overtaken_does_not_refill_the_bucket() {
    let rates = Rates::default();
    let at = |milliseconds: i64| Timestamp::from_nanoseconds(START + milliseconds * 1_000_000);
    let take = |now| rates.take(OrgKey(1), Scope::Scim, 600, now);
    assert_eq!((0..150).filter(|_| take(at(50)).is_none()).count(), 100);
    assert_eq!((0..150).filter(|_| take(at(0)).is_none()).count(), 0);
    assert_eq!(take(at(50)), Some(1));
}

#[test]
fn organisations_and_scopes_have_buckets_of_their_own() {
    let rates = Rates::default();
    let now = Timestamp::from_nanoseconds(START);
    for (org, scope) in [(1, Scope::Scim), (1, Scope::Access), (2, Scope::Scim)] {
        assert_eq!(rates.take(OrgKey(org), scope, 1, now), None);
        assert!(rates.take(OrgKey(org), scope, 1, now).is_some());
    }
}

#[test]
fn another_rate_counts_at_once() {
    let rates = Rates::default();
    assert_eq!(accepted(&rates, 1, 0, 5), 1);
    assert_eq!(accepted(&rates, 6_000_000, 0, 2_000_000), 1_000_000);
    assert_eq!(accepted(&rates, 12, 0, 5), 2);
}

#[test]
fn a_clock_that_was_set_back_refuses_no_request() {
    let rates = Rates::default();
    assert_eq!(accepted(&rates, 60, 7_200, 20), 10);
    assert_eq!(accepted(&rates, 60, 0, 20), 10);
    assert_eq!(accepted(&rates, 60, 1, 20), 1);
}

#[test]
fn the_highest_rate_is_not_rounded_away() {
    let rates = Rates::default();
    let now = Timestamp::from_nanoseconds(START);
    assert_eq!(rates.take(OrgKey(1), Scope::Scim, 100_000_000, now), None);
    let full = rates.buckets.lock().unwrap()[&(OrgKey(1), Scope::Scim)].full;
    assert_eq!(full - START, 600);
}
