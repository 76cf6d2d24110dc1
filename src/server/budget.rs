//! How much memory request bodies may take, all connections together.
//!
//! A body is read before its request is handled, so anybody could make the server hold the largest
//! body on each of its connections. Small bodies are always read; what is beyond is taken from one
//! budget, of which the requests of one organisation may have a part: however slowly its clients
//! send, there is room for the bodies of the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What each connection may hold of a body without a reservation, in bytes. What identity providers
/// send about one user is far smaller.
pub const BODY_BYTES_FREE: usize = 64 * 1024;

/// The bytes that are left for large bodies.
#[derive(Debug)]
pub struct Budget {
    reserved: Mutex<Reserved>,
    total: usize,
    refused: AtomicU64,
}

/// The bytes that are reserved, and for whom.
#[derive(Debug, Default)]
struct Reserved {
    bytes: usize,
    orgs: HashMap<i64, usize>,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget { reserved: Mutex::default(), total: bytes, refused: AtomicU64::new(0) }
    }

    /// How many bytes there are, how many of them are reserved, and how many bodies were refused.
    pub fn numbers(&self) -> [u64; 3] {
        let reserved = self.reserved().bytes;
        [self.total as u64, reserved as u64, self.refused.load(Ordering::Relaxed)]
    }

    /// A reservation for one body, empty at first; of this organisation, where it is of one.
    pub fn reservation(&self, org: Option<i64>) -> Reservation<'_> {
        Reservation { budget: self, org, bytes: 0 }
    }

    /// What the requests of one organisation may have of so many bytes.
    pub const fn part(bytes: usize) -> usize {
        bytes / 4 * 3
    }

    fn reserved(&self) -> MutexGuard<'_, Reserved> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, org: Option<i64>, more: usize) -> bool {
        let mut reserved = self.reserved();
        if self.total - reserved.bytes < more {
            return false;
        }
        if let Some(org) = org {
            let of_org = reserved.orgs.get(&org).map_or(0, |it| *it) + more;
            if of_org > Budget::part(self.total) {
                return false;
            }
            reserved.orgs.insert(org, of_org);
        }
        reserved.bytes += more;
        true
    }
}

/// The bytes that one body has reserved; dropping it, by a panic too, gives them back.
#[derive(Debug)]
pub struct Reservation<'a> {
    budget: &'a Budget,
    org: Option<i64>,
    bytes: usize,
}

impl Reservation<'_> {
    /// Reserves what a body of this many bytes needs; `false` when there is not enough left.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(BODY_BYTES_FREE).saturating_sub(self.bytes);
        let reserved = more == 0 || self.budget.reserve(self.org, more);
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
        if self.bytes == 0 {
            return;
        }
        let mut reserved = self.budget.reserved();
        reserved.bytes -= self.bytes;
        if let Some(org) = self.org
            && let Some(of_org) = reserved.orgs.get_mut(&org)
        {
            *of_org -= self.bytes;
            if *of_org == 0 {
                reserved.orgs.remove(&org);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_need_no_budget_and_large_ones_give_theirs_back() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.reservation(None), budget.reservation(None));
        assert!(one.grow_to(BODY_BYTES_FREE + 60) && one.grow_to(BODY_BYTES_FREE + 60));
        assert!(two.grow_to(BODY_BYTES_FREE) && two.grow_to(BODY_BYTES_FREE + 40));
        assert!(!one.grow_to(BODY_BYTES_FREE + 61) && !two.grow_to(BODY_BYTES_FREE + 41));
        assert_eq!(budget.numbers(), [100, 100, 2]);
        drop(one);
        assert!(two.grow_to(BODY_BYTES_FREE + 100) && !two.grow_to(BODY_BYTES_FREE + 101));
        drop(two);
        assert_eq!(budget.numbers(), [100, 0, 3]);
    }

    #[test]
    fn one_organisation_leaves_room_for_the_bodies_of_the_others() {
        let budget = Budget::new(100);
        let mut bodies = [1, 1, 2].map(|it| budget.reservation(Some(it)));
        let [one, two, other] = &mut bodies;
        assert!(one.grow_to(BODY_BYTES_FREE + 50) && two.grow_to(BODY_BYTES_FREE + 25));
        assert!(!two.grow_to(BODY_BYTES_FREE + 26));
        assert!(other.grow_to(BODY_BYTES_FREE + 25) && !other.grow_to(BODY_BYTES_FREE + 26));
        assert_eq!(budget.numbers(), [100, 100, 2]);
        drop(bodies);
        assert_eq!(budget.numbers(), [100, 0, 2]);
        assert!(budget.reserved().orgs.is_empty());
    }
}
