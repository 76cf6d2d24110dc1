//! Permits to handle a request: how many threads do so at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A fair counting semaphore. A permit that is given back goes to a thread that waits, never to one
/// that has only just asked: else a few connections that send without a pause would get all permits
/// again and again, and the others would wait for chance.
#[derive(Debug)]
pub struct Permits {
    counts: Mutex<Counts>,
    granted: Condvar,
    total: usize,
}

#[derive(Debug)]
struct Counts {
    free: usize,
    waiting: usize,
    /// Permits that are granted to waiting threads and not yet taken.
    granted: usize,
}

impl Permits {
    /// This many permits, all of them free.
    pub fn new(permits: usize) -> Permits {
        let counts = Counts { free: permits, waiting: 0, granted: 0 };
        Permits { counts: Mutex::new(counts), granted: Condvar::new(), total: permits }
    }

    /// Waits for a permit. It is given back when it is dropped, by a panic too.
    pub fn acquire(&self) -> Permit<'_> {
        let mut counts = self.counts();
        if counts.free > 0 {
            counts.free -= 1;
            return Permit { permits: self };
        }
        counts.waiting += 1;
        loop {
            // The wait comes first: a grant that is already there is for another thread.
            counts = self.granted.wait(counts).unwrap_or_else(PoisonError::into_inner);
            if counts.granted > 0 {
                counts.granted -= 1;
                counts.waiting -= 1;
                return Permit { permits: self };
            }
        }
    }

    /// How many permits there are, how many of them are in use, and how many threads wait.
    pub fn numbers(&self) -> [usize; 3] {
        let counts = self.counts();
        [self.total, self.total - counts.free, counts.waiting]
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit to handle one request.
#[derive(Debug)]
pub struct Permit<'a> {
    permits: &'a Permits,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut counts = self.permits.counts();
        if counts.waiting > counts.granted {
            counts.granted += 1;
            self.permits.granted.notify_one();
        } else {
            counts.free += 1;
        }
    }
}

#[cfg(test)]
mod tests;
