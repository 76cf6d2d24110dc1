//! That something was committed here, for the one thread that waits for it on behalf of all
//! clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::store::mutex::lock;

/// How many changes this process has committed while somebody watched.
#[derive(Default)]
pub struct Commits {
    /// Most of the time nobody waits, and then a change pays for one look at this.
    watched: AtomicBool,
    count: Mutex<u64>,
    changed: Condvar,
}

impl Commits {
    /// Notes that a change has just been committed.
    pub fn add(&self) {
        if self.watched.load(Ordering::SeqCst) {
            *lock(&self.count) += 1;
            self.changed.notify_all();
        }
    }

    /// Counts commits from now on: whoever reads after this misses none.
    pub fn watch(&self) -> Watch<'_> {
        self.watched.store(true, Ordering::SeqCst);
        Watch { commits: self, seen: *lock(&self.count) }
    }
}

/// Commits are counted for as long as this is held.
pub struct Watch<'a> {
    commits: &'a Commits,
    seen: u64,
}

impl Watch<'_> {
    /// Waits until this process has committed something since the last time, but no longer than
    /// this. What another process commits is not noticed.
    pub fn wait(&mut self, time: Duration) {
        let count = lock(&self.commits.count);
        let unchanged = |count: &mut u64| *count == self.seen;
        let waited = self.commits.changed.wait_timeout_while(count, time, unchanged);
        self.seen = *waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.commits.watched.store(false, Ordering::SeqCst);
    }
}
