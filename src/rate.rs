//! How many requests an organisation may send: a token bucket for each, in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::scim::datetime::Timestamp;
use crate::store::tables::org::OrgKey;
use crate::store::tables::token::Scope;

const MINUTE_NANOSECONDS: i64 = 60_000_000_000;
/// A bucket holds the requests of this part of a minute, and at least one.
const BURST_DIVISOR: u32 = 6;

/// The buckets of all organisations. What the application asks at login has one of its own, so
/// that no import of the identity provider keeps people out; hence one for each scope.
#[derive(Debug, Default)]
pub struct Rates {
    buckets: Mutex<HashMap<(OrgKey, Scope), Bucket>>,
}

/// A bucket, known by when it will be full again.
#[derive(Debug)]
struct Bucket {
    /// Requests a minute, as they were when the bucket was made.
    rate: u32,
    /// In nanoseconds since the epoch.
    full: i64,
}

impl Rates {
    /// Counts a request of an organisation, with a token of this scope, that may send `rate`
    /// requests a minute. Returns in how many seconds, rounded up, it may be sent instead when it
    /// is one too many.
    pub fn take(&self, org: OrgKey, scope: Scope, rate: u32, now: Timestamp) -> Option<u64> {
        let rate = rate.max(1);
        let one = MINUTE_NANOSECONDS / i64::from(rate);
        let capacity = i64::from((rate / BURST_DIVISOR).max(1)) * one;
        let now = now.nanoseconds();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Bucket { rate, full: now };
        let bucket = buckets.entry((org, scope)).or_insert_with(fresh);
        // Whoever was given another rate need not first make up for the old one; and no bucket is
        // that empty unless the clock was set back. By less than a minute it is no clock: requests
        // come here in another order than the one in which they were given their time.
        if bucket.rate != rate || bucket.full > now + capacity + MINUTE_NANOSECONDS {
            *bucket = fresh();
        }
        let full = bucket.full.max(now) + one;
        let missing = full - (now + capacity);
        if missing > 0 {
            return Some(missing.unsigned_abs().div_ceil(1_000_000_000));
        }
        bucket.full = full;
        None
    }
}

#[cfg(test)]
mod tests;
