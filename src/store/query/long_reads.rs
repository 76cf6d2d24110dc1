//! Reads that may take long: few at once, few that wait, none without an end. What is short never
//! stands behind them.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::store::error::Error;
use crate::store::lock;

/// The most long reads at once: less than half of the reading connections.
pub const LONG_READS_MAX: usize = 3;
/// The most long reads that wait for their turn; one more is refused at once. With those at work
/// they are less than a third of the requests that may be at work.
pub const WAITING_MAX: usize = 16;
/// How long one waits for its turn.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long one may take, from the moment it begins. An identity provider waits a minute at most.
pub const LONG_READ_MAX: Duration = Duration::from_secs(20);

/// The turns.
#[derive(Debug, Default)]
pub(crate) struct LongReads {
    now: Mutex<Now>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    at_work: usize,
    waiting: usize,
}

impl LongReads {
    /// Waits for a turn, which ends when it is dropped.
    ///
    /// # Errors
    /// [`Error::Crowded`] when too many wait already, or the wait was too long.
    pub(crate) fn enter(&self, wait: Duration) -> Result<Turn<'_>, Error> {
        let mut now = lock(&self.now);
        if now.at_work >= LONG_READS_MAX {
            if now.waiting >= WAITING_MAX {
                return Err(Error::Crowded);
            }
            now.waiting += 1;
            let full = |now: &mut Now| now.at_work >= LONG_READS_MAX;
            let waited = self.ended.wait_timeout_while(now, wait, full);
            now = waited.unwrap_or_else(PoisonError::into_inner).0;
            now.waiting -= 1;
            if now.at_work >= LONG_READS_MAX {
                return Err(Error::Crowded);
            }
        }
        now.at_work += 1;
        Ok(Turn { of: self })
    }
}

/// A long read at work.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    of: &'a LongReads,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.of.now).at_work -= 1;
        self.of.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn few_are_at_work_few_wait_and_the_rest_is_refused() {
        let reads = LongReads::default();
        let moment = Duration::from_millis(5);
        let enter = |wait| reads.enter(wait).map_err(|it| it.to_string());
        let mut turns: Vec<_> = (0..LONG_READS_MAX).map(|_| enter(moment).unwrap()).collect();
        assert!(enter(moment).unwrap_err().contains("too many long lists"));
        assert_eq!(lock(&reads.now).waiting, 0, "who gave up waits no more");
        thread::scope(|scope| {
            let waiters: Vec<_> =
                (0..WAITING_MAX).map(|_| scope.spawn(|| enter(WAIT_MAX).map(drop))).collect();
            while lock(&reads.now).waiting < WAITING_MAX {
                thread::yield_now();
            }
            // Would take as long as the test may, if it were to wait.
            assert!(enter(Duration::MAX).is_err(), "no room to wait");
            // One turn that ends lets all of them through, one after the other.
            turns.pop();
            assert!(waiters.into_iter().all(|it| it.join().unwrap().is_ok()));
        });
        drop(turns);
        assert_eq!(lock(&reads.now).at_work, 0);
    }
}
