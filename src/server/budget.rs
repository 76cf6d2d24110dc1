//! How much memory request bodies may take, all connections together.
//!
//! A body is read before its sender is authenticated, so anybody could make the server hold the
//! largest body on each of its connections. Small bodies are always read; what is beyond is taken
//! from one budget.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What each connection may hold of a body without a reservation, in bytes. What identity providers
/// send about one user is far smaller.
pub const BODY_BYTES_FREE: usize = 64 * 1024;

/// The bytes that are left for large bodies.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
    total: usize,
    refused: AtomicU64,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget { left: AtomicUsize::new(bytes), total: bytes, refused: AtomicU64::new(0) }
    }

    /// How many bytes there are, how many of them are reserved, and how many bodies were refused.
    pub fn numbers(&self) -> [u64; 3] {
        let left = self.left.load(Ordering::Relaxed);
        let reserved = self.total.saturating_sub(left);
        [self.total as u64, reserved as u64, self.refused.load(Ordering::Relaxed)]
    }

    /// A reservation for one body, empty at first.
    pub fn reservation(&self) -> Reservation<'_> {
        Reservation { budget: self, bytes: 0 }
    }
}

/// The bytes that one body has reserved; dropping it, by a panic too, gives them back.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Reservation<'_> {
    /// Reserves what a body of this many bytes needs; `false` when there is not enough left.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(BODY_BYTES_FREE).saturating_sub(self.bytes);
        let take = |left: usize| left.checked_sub(more);
        let order = Ordering::Relaxed;
        let reserved = more == 0 || self.budget.left.fetch_update(order, order, take).is_ok();
        if reserved {
            self.bytes += more;
        } else {
            self.budget.refused.fetch_add(1, Ordering::Relaxed);
        }
        reserved
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_need_no_budget_and_large_ones_give_theirs_back() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.reservation(), budget.reservation());
        assert!(one.grow_to(BODY_BYTES_FREE + 60) && one.grow_to(BODY_BYTES_FREE + 60));
        assert!(two.grow_to(BODY_BYTES_FREE) && two.grow_to(BODY_BYTES_FREE + 40));
        assert!(!one.grow_to(BODY_BYTES_FREE + 61) && !two.grow_to(BODY_BYTES_FREE + 41));
        assert_eq!(budget.numbers(), [100, 100, 2]);
        drop(one);
        assert!(two.grow_to(BODY_BYTES_FREE + 100) && !two.grow_to(BODY_BYTES_FREE + 101));
        drop(two);
        assert_eq!(budget.left.into_inner(), 100);
    }
}
