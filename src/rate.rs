//! How many requests an organisation may send: a token bucket for each, in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::scim::datetime::Timestamp;
use crate::store::tables::org::OrgKey;
use crate::store::tables::token::Scope;

const MINUTE_NANOSECONDS: i64 = 60_000_000_000;
/// A bucket holds the requests of this part of a minute, and at least one.
const BURST_DIVISOR: u32 = 6;

/// The buckets of all organisations, one for each scope: an import of the identity provider must
/// not use up what the application needs at login.
#[derive(Debug, Default)]
pub struct Rates {
    buckets: Mutex<HashMap<(OrgKey, Scope), Bucket>>,
}

/// A bucket, described by the time at which it will be full again.
#[derive(Debug)]
struct Bucket {
    /// Requests a minute, as they were when the bucket was made.
    rate: u32,
    /// In nanoseconds since the epoch.
    full: i64,
}

impl Rates {
    /// Counts a request with a token of this scope, of an organisation that may send `rate`
    /// requests a minute. When it is one too many, returns in how many seconds, rounded up, it may
    /// be sent again.
    pub fn take(&self, org: OrgKey, scope: Scope, rate: u32, now: Timestamp) -> Option<u64> {
        let rate = rate.max(1);
        let interval = MINUTE_NANOSECONDS / i64::from(rate);
        let capacity = i64::from((rate / BURST_DIVISOR).max(1)) * interval;
        let now = now.nanoseconds();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Bucket { rate, full: now };
        let bucket = buckets.entry((org, scope)).or_insert_with(fresh);
        // A bucket starts anew when the rate was changed, and when it is emptier than it can be,
        // which happens when the clock was set back. A minute is allowed for: requests come here in
        // another order than the one in which they got their time.
        if bucket.rate != rate || bucket.full > now + capacity + MINUTE_NANOSECONDS {
            *bucket = fresh();
        }
        let full = bucket.full.max(now) + interval;
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
