//! How much memory request bodies may take, all connections together.
//!
//! A body is read before its sender is known, so the largest body times the most connections would
//! be for anybody to take. Small bodies are always read; what is beyond is taken from one budget.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What each connection may hold of a body without asking, in bytes. What identity providers send
/// about one user is far smaller.
pub const BODY_BYTES_FREE: usize = 64 * 1024;

/// The bytes that are left for large bodies.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget { left: AtomicUsize::new(bytes) }
    }

    /// A share for one body, empty at first.
    pub fn share(&self) -> Share<'_> {
        Share { budget: self, taken: 0 }
    }
}

/// What one body has taken; dropping it, by a panic too, gives it back.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    taken: usize,
}

impl Share<'_> {
    /// Takes what a body of this many bytes needs; `false` when there is not enough left.
    #[must_use]
    pub fn covers(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(BODY_BYTES_FREE).saturating_sub(self.taken);
        let take = |left: usize| left.checked_sub(more);
        let order = Ordering::Relaxed;
        let covered = more == 0 || self.budget.left.fetch_update(order, order, take).is_ok();
        if covered {
            self.taken += more;
        }
        covered
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_cost_nothing_and_large_ones_give_back_what_they_took() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        assert!(one.covers(BODY_BYTES_FREE + 60) && one.covers(BODY_BYTES_FREE + 60));
        assert!(two.covers(BODY_BYTES_FREE) && two.covers(BODY_BYTES_FREE + 40));
        assert!(!one.covers(BODY_BYTES_FREE + 61) && !two.covers(BODY_BYTES_FREE + 41));
        drop(one);
        assert!(two.covers(BODY_BYTES_FREE + 100) && !two.covers(BODY_BYTES_FREE + 101));
        drop(two);
        assert_eq!(budget.left.into_inner(), 100);
    }
}
