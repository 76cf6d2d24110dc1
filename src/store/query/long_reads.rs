//! Permits for reads that may take long: few run at once, few wait, and the others are refused, so
//! that short reads always find a free connection.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::store::error::Error;
use crate::store::mutex::lock;

/// The most long reads that run at once: less than half of the reading connections.
pub const LONG_READS_MAX: usize = 3;
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
}

impl LongReads {
    /// Waits for a permit, which is given back when it is dropped.
    ///
    /// # Errors
    /// [`Error::Crowded`] when too many reads wait already, or none ended within this time.
    pub(crate) fn acquire(&self, wait: Duration) -> Result<Permit<'_>, Error> {
        let mut counts = lock(&self.counts);
        if counts.running >= LONG_READS_MAX {
            if counts.waiting >= WAITING_MAX {
                return Err(Error::Crowded);
            }
            counts.waiting += 1;
            let full = |counts: &mut Counts| counts.running >= LONG_READS_MAX;
            let waited = self.ended.wait_timeout_while(counts, wait, full);
            counts = waited.unwrap_or_else(PoisonError::into_inner).0;
            counts.waiting -= 1;
            if counts.running >= LONG_READS_MAX {
                return Err(Error::Crowded);
            }
        }
        counts.running += 1;
        Ok(Permit { of: self })
    }
}

/// The right to run one long read.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    of: &'a LongReads,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        lock(&self.of.counts).running -= 1;
        self.of.ended.notify_one();
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
        let acquire = |wait| reads.acquire(wait).map_err(|it| it.to_string());
        let mut permits: Vec<_> = (0..LONG_READS_MAX).map(|_| acquire(moment).unwrap()).collect();
        assert!(acquire(moment).unwrap_err().contains("too many long lists"));
        assert_eq!(lock(&reads.counts).waiting, 0, "a read that gave up waits no more");
        thread::scope(|scope| {
            let waiters: Vec<_> =
                (0..WAITING_MAX).map(|_| scope.spawn(|| acquire(WAIT_MAX).map(drop))).collect();
            while lock(&reads.counts).waiting < WAITING_MAX {
                thread::yield_now();
            }
            // This call would take as long as the test may, if it were to wait.
            assert!(acquire(Duration::MAX).is_err(), "no room to wait");
            // One permit that is given back lets all of them through, one after the other.
            permits.pop();
            assert!(waiters.into_iter().all(|it| it.join().unwrap().is_ok()));
        });
        drop(permits);
        assert_eq!(lock(&reads.counts).running, 0);
    }
}
