//! That something was committed here, for the few threads that wait for it: one on behalf of all
//! clients of the change feed, and the one that delivers webhooks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::store::mutex::lock;

/// How many changes this process has committed while somebody watched.
#[derive(Default)]
pub struct Commits {
    /// How many watch. Most of the time nobody does, and then a change pays for one look at this.
    watching: AtomicUsize,
    count: Mutex<u64>,
    changed: Condvar,
}

impl Commits {
    /// Notes that a change has just been committed.
    pub fn add(&self) {
        if self.watching.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
    }

    /// Counts commits from now on: whoever reads after this misses none.
    pub fn watch(&self) -> Watch<'_> {
        self.watching.fetch_add(1, Ordering::SeqCst);
        Watch { commits: self, seen: *lock(&self.count) }
    }

    fn wake(&self) {
        *lock(&self.count) += 1;
        self.changed.notify_all();
    }
}

/// Wakes those who watch as a commit does, for other news that they wait for.
#[derive(Clone)]
pub struct Waker(pub(super) Arc<Commits>);

impl Waker {
    /// Wakes them.
    pub fn wake(&self) {
        self.0.wake();
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
        self.commits.watching.fetch_sub(1, Ordering::SeqCst);
    }
}
