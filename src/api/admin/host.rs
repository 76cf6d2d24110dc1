//! What the page's requests need beside the database: where the backups of the host are, and places
//! for what takes long.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::tables::org::OrgKey;

/// How many test events of webhooks are on their way at once, of all organisations.
pub const TESTS_MAX: usize = 4;
/// How many snapshots are made or sent at once.
pub const SNAPSHOTS_MAX: usize = 1;

/// The backups that the server makes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The folder that they are in.
    pub dir: PathBuf,
    /// How many hours lie between two of them.
    pub every: u32,
    /// How many are kept.
    pub keep: u32,
}

/// What the page's requests need beside the database.
#[derive(Debug)]
pub struct Host {
    /// The backups that the server makes by itself, if it does.
    pub backups: Option<Rotation>,
    /// Whether the people are invented, which every view says.
    pub demonstration: bool,
    /// Places for test events.
    pub tests: Places,
    /// Places for snapshots.
    pub snapshots: Places,
}

impl Host {
    /// A host with these backups, on which nothing is under way.
    #[must_use]
    pub fn new(backups: Option<Rotation>, demonstration: bool) -> Host {
        Host {
            backups,
            demonstration,
            tests: Places::new(TESTS_MAX),
            snapshots: Places::new(SNAPSHOTS_MAX),
        }
    }
}

/// Places for what takes long: few at all, and one for an organisation.
#[derive(Clone, Debug)]
pub struct Places {
    most: usize,
    taken: Arc<Mutex<Vec<OrgKey>>>,
}

/// A place, free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Places,
    org: OrgKey,
}

impl Places {
    fn new(most: usize) -> Places {
        Places { most, taken: Arc::default() }
    }

    /// A place for an organisation; none when it has one, or when all are taken.
    #[must_use]
    pub fn take(&self, org: OrgKey) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= self.most || taken.contains(&org) {
            return None;
        }
        taken.push(org);
        Some(Place { of: self.clone(), org })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|it| *it != self.org);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_has_one_place_and_there_are_few() {
        let places = Places::new(2);
        let first = places.take(OrgKey(1)).unwrap();
        assert!(places.take(OrgKey(1)).is_none());
        let second = places.take(OrgKey(2)).unwrap();
        assert!(places.take(OrgKey(3)).is_none());
        drop(first);
        assert!(places.take(OrgKey(3)).is_some() && places.take(OrgKey(1)).is_some());
        drop(second);
    }
}
