//! Permits for reads that may take long: few run at once, few wait, and the others are refused, so
//! that short reads always find a free connection.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::store::error::Error;
use crate::store::mutex::lock;
use crate::store::tables::org::OrgKey;

/// The most long reads that run at once: less than half of the reading connections.
pub const LONG_READS_MAX: usize = 3;
/// The most of them that one organisation has: the others always find one.
pub const LONG_READS_OF_ORG_MAX: usize = LONG_READS_MAX - 1;
/// The most long reads of one organisation that wait for a permit.
pub const WAITING_OF_ORG_MAX: usize = WAITING_MAX / 2;
/// The most long reads that wait for a permit; one more is refused at once. Together with those
/// that run they are less than a third of the requests that the server handles at once.
pub const WAITING_MAX: usize = 16;
/// How long a read waits for a permit.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a read may take from the moment it begins. Identity providers wait a minute at most.
pub const LONG_READ_MAX: Duration = Duration::from_secs(20);

/// The permits.
#[derive(Debug, Default)]
pub(crate) struct LongReads {
    counts: Mutex<Counts>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    running: usize,
    waiting: usize,
    /// How many were refused.
    refused: u64,
    /// Of those that run and wait, how many each organisation has.
    of_org: HashMap<OrgKey, (usize, usize)>,
}

impl Counts {
    fn is_full_for(&self, org: OrgKey) -> bool {
        let running = self.of_org.get(&org).map_or(0, |(running, _)| *running);
        self.running >= LONG_READS_MAX || running >= LONG_READS_OF_ORG_MAX
    }

    fn add(&mut self, org: OrgKey, running: isize, waiting: isize) {
        self.running = self.running.saturating_add_signed(running);
        self.waiting = self.waiting.saturating_add_signed(waiting);
        let of_org = self.of_org.entry(org).or_default();
        of_org.0 = of_org.0.saturating_add_signed(running);
        of_org.1 = of_org.1.saturating_add_signed(waiting);
        if *of_org == (0, 0) {
            self.of_org.remove(&org);
        }
    }
}

impl LongReads {
    /// How many run, how many wait, and how many were refused.
    pub(crate) fn numbers(&self) -> (usize, usize, u64) {
        let counts = lock(&self.counts);
        (counts.running, counts.waiting, counts.refused)
    }

    /// Waits for a permit, which is given back when it is dropped.
    ///
    /// # Errors
    /// [`Error::Crowded`] when too many reads wait already, or none ended within this time.
    pub(crate) fn acquire(&self, org: OrgKey, wait: Duration) -> Result<Permit<'_>, Error> {
        let mut counts = lock(&self.counts);
        if counts.is_full_for(org) {
            let waiting = counts.of_org.get(&org).map_or(0, |(_, waiting)| *waiting);
            if counts.waiting >= WAITING_MAX || waiting >= WAITING_OF_ORG_MAX {
                counts.refused += 1;
                return Err(Error::Crowded);
            }
            counts.add(org, 0, 1);
            let full = |counts: &mut Counts| counts.is_full_for(org);
            let waited = self.ended.wait_timeout_while(counts, wait, full);
            counts = waited.unwrap_or_else(PoisonError::into_inner).0;
            counts.add(org, 0, -1);
            if counts.is_full_for(org) {
                counts.refused += 1;
                return Err(Error::Crowded);
            }
        }
        counts.add(org, 1, 0);
        Ok(Permit { of: self, org })
    }
}

/// The right to run one long read.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    of: &'a LongReads,
    org: OrgKey,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        lock(&self.of.counts).add(self.org, -1, 0);
        // Whoever wakes may be of an organisation that has enough.
        self.of.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn few_long_reads_run_few_wait_and_the_others_are_refused() {
        let reads = LongReads::default();
        let moment = Duration::from_millis(5);
        let [a, b, c] = [1, 2, 3].map(OrgKey);
        let acquire = |org, wait| reads.acquire(org, wait).map_err(|it| it.to_string());
        let mut permits = vec![acquire(a, moment).unwrap(), acquire(a, moment).unwrap()];
        // One organisation never has all of them.
        assert!(acquire(a, moment).unwrap_err().contains("too many long lists"));
        permits.push(acquire(b, moment).unwrap());
        assert!(acquire(c, moment).is_err());
        assert_eq!(lock(&reads.counts).waiting, 0, "a read that gave up waits no more");
        thread::scope(|scope| {
            let wait = |org| scope.spawn(move || acquire(org, WAIT_MAX).map(drop));
            let mut waiters: Vec<_> = (0..WAITING_OF_ORG_MAX).map(|_| wait(a)).collect();
            while lock(&reads.counts).waiting < WAITING_OF_ORG_MAX {
                thread::yield_now();
            }
            // This call would take as long as the test may, if it were to wait.
            assert!(acquire(a, Duration::MAX).is_err(), "no room for more of one organisation");
            waiters.extend((0..WAITING_MAX - WAITING_OF_ORG_MAX).map(|_| wait(b)));
            while lock(&reads.counts).waiting < WAITING_MAX {
                thread::yield_now();
            }
            assert!(acquire(c, Duration::MAX).is_err(), "no room to wait");
            // Permits that are given back let all of them through, one after the other.
            permits.clear();
            assert!(waiters.into_iter().all(|it| it.join().unwrap().is_ok()));
        });
        let counts = lock(&reads.counts);
        assert_eq!((counts.running, counts.waiting, counts.of_org.len()), (0, 0, 0));
    }
}
