//! The memory that requests may take, all of them together: bodies once they are parsed, and
//! answers until they are written.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What all parsed bodies and unwritten answers may take together, in bytes. With what a server
/// has besides, its peak stays below 512 MiB.
pub const MEMORY_BYTES_MAX: usize = 288 * 1024 * 1024;
/// What is not worth counting, in bytes: nearly every request is smaller.
pub const MEMORY_BYTES_FREE: usize = 64 * 1024;
/// How long a request waits for memory that others give back.
pub const MEMORY_WAIT_MAX: Duration = Duration::from_secs(5);

/// The owner of the budget. Cheap to clone: all clones are the same budget.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

struct Inner {
    left: Mutex<usize>,
    total: usize,
    given_back: Condvar,
    waiting: AtomicUsize,
    refused: AtomicU64,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new(MEMORY_BYTES_MAX)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} of {} bytes in use)", self.in_use(), self.inner.total)
    }
}

impl Memory {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Memory {
        let inner = Inner {
            left: Mutex::new(bytes),
            total: bytes,
            given_back: Condvar::new(),
            waiting: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        };
        Memory { inner: Arc::new(inner) }
    }

    /// Takes this many bytes until the returned value is dropped, by a panic too. What is free of
    /// charge takes none. Waits while others have them; `None` when that takes too long.
    ///
    /// What is larger than the whole budget waits until it is alone.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Taken> {
        self.take_within(bytes, MEMORY_WAIT_MAX)
    }

    /// The same without waiting.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<Taken> {
        self.take_within(bytes, Duration::ZERO)
    }

    fn take_within(&self, bytes: usize, wait: Duration) -> Option<Taken> {
        if bytes <= MEMORY_BYTES_FREE {
            return Some(Taken { memory: self.clone(), bytes: 0 });
        }
        let bytes = bytes.min(self.inner.total);
        let left = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |left: &mut usize| *left < bytes;
        self.inner.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.inner.given_back.wait_timeout_while(left, wait, full);
        let (mut left, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        self.inner.waiting.fetch_sub(1, Ordering::Relaxed);
        if timeout.timed_out() && *left < bytes {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *left -= bytes;
        Some(Taken { memory: self.clone(), bytes })
    }

    /// The memory of an answer that has so many bytes, out of what making it has taken: the rest is
    /// given back. Where that is too little, waits for more; `None` when that takes too long.
    #[must_use]
    pub fn settle(&self, taken: Vec<Taken>, bytes: usize) -> Option<Taken> {
        let held: usize = taken.iter().map(|it| it.bytes).sum();
        if bytes <= MEMORY_BYTES_FREE {
            return self.take(0);
        }
        let bytes = bytes.min(self.inner.total);
        let more = match bytes.checked_sub(held) {
            None | Some(0) => None,
            Some(more) => Some(self.take(more)?),
        };
        let more = more.map_or(0, |mut it| mem::take(&mut it.bytes));
        let all = held + more;
        taken.into_iter().for_each(|mut it| it.bytes = 0);
        let mut one = Taken { memory: self.clone(), bytes: all };
        one.keep(bytes);
        Some(one)
    }

    /// How many requests wait for memory now, and how many were refused for want of it.
    #[must_use]
    pub fn waiting_and_refused(&self) -> (usize, u64) {
        let order = Ordering::Relaxed;
        (self.inner.waiting.load(order), self.inner.refused.load(order))
    }

    /// How many bytes there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.inner.total
    }

    /// How many bytes are taken now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        let left = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.total - *left
    }
}

/// Bytes that one request has taken.
#[derive(Debug)]
pub struct Taken {
    memory: Memory,
    bytes: usize,
}

impl Taken {
    /// Gives back all but so many bytes.
    fn keep(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes);
        if back > 0 {
            self.bytes -= back;
            let mut left = self.memory.inner.left.lock().unwrap_or_else(PoisonError::into_inner);
            *left += back;
            drop(left);
            self.memory.inner.given_back.notify_all();
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.keep(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_what_it_has_of_what_making_it_took() {
        let memory = Memory::new(MEMORY_BYTES_FREE * 8);
        let take = |times| memory.try_take(MEMORY_BYTES_FREE * times).unwrap();
        let other = take(2);
        let settled = memory.settle(vec![take(2), take(2)], MEMORY_BYTES_FREE * 3).unwrap();
        assert_eq!(memory.in_use(), MEMORY_BYTES_FREE * 5);
        // What is there already is not waited for.
        let more = memory.settle(vec![settled], MEMORY_BYTES_FREE * 6).unwrap();
        assert_eq!(memory.in_use(), MEMORY_BYTES_FREE * 8);
        let small = memory.settle(vec![more], MEMORY_BYTES_FREE).unwrap();
        assert_eq!(memory.in_use(), MEMORY_BYTES_FREE * 2);
        drop((small, other));
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn what_is_taken_is_given_back() {
        let memory = Memory::new(MEMORY_BYTES_FREE * 4);
        let small = memory.take(MEMORY_BYTES_FREE).unwrap();
        assert_eq!(memory.in_use(), 0);
        let large = memory.take(MEMORY_BYTES_FREE * 3).unwrap();
        assert_eq!(memory.in_use(), MEMORY_BYTES_FREE * 3);
        assert!(memory.try_take(MEMORY_BYTES_FREE * 2).is_none());
        assert_eq!(memory.waiting_and_refused(), (0, 1));
        std::thread::scope(|scope| {
            // More than all there is takes all there is, once it is alone.
            let waiting = scope.spawn(|| memory.take(usize::MAX).is_some());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            drop((small, large));
            assert!(waiting.join().unwrap());
        });
        assert_eq!(memory.in_use(), 0);
    }
}
