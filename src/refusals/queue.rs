//! Refused requests that are not written yet: the same ones counted together, and how many of them
//! an organisation may have apart.
//!
//! A request is the same as another when all that is kept of it is. Of an organisation that has
//! used up what it may have apart, those are counted together that differ in the resource or in the
//! sentence: a flood becomes a few rows, which say what it was and how many.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;

use crate::scim::datetime::Timestamp;
use crate::store::tables::org::OrgKey;
use crate::store::tables::refusal::Refusal;

/// How many refusals of an organisation are kept apart at once ...
pub const APART_MAX: i64 = 1_000;
/// ... and how long it takes until one more may be, in nanoseconds: ten a minute.
const APART_EVERY: i64 = 6_000_000_000;
/// How many wait to be written, of all organisations; further ones are only counted.
const PENDING_MAX: usize = 8_192;
/// From so many on, none is kept apart.
const PENDING_APART_MAX: usize = PENDING_MAX / 2;
/// The rows that are known, so that the same request is counted in its row.
const ROWS_MAX: usize = 16_384;
/// For how long: each day has a row of its own.
const ROW_AGE_MAX: i64 = 24 * 3_600_000_000_000;

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    pending: Vec<Pending>,
    /// Where each stands, by its key.
    places: HashMap<u64, usize>,
    rows: HashMap<u64, Row>,
    /// When each organisation will have all that it may have apart.
    allowances: HashMap<OrgKey, i64>,
    /// Its keys say nothing of what they are made of.
    hashed: RandomState,
}

/// Refusals of one kind that are to be written.
#[derive(Debug)]
pub struct Pending {
    key: u64,
    /// The row they are added to, where there is one.
    pub row: Option<i64>,
    /// What they are.
    pub refusal: Refusal,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    seq: i64,
    first: Timestamp,
}

impl Queue {
    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Adds a refusal; returns whether it will be written.
    pub fn add(&mut self, refusal: Refusal) -> bool {
        let exact = self.key(&refusal, true);
        if let Some(at) = self.places.get(&exact) {
            join(&mut self.pending[*at].refusal, refusal);
            return true;
        }
        let now = refusal.last;
        let row = self.row(exact, now);
        if row.is_some() || self.may_be_apart(&refusal) {
            return self.push(Pending { key: exact, row, refusal });
        }
        let refusal = Refusal { various: true, ..refusal };
        let key = self.key(&refusal, false);
        if let Some(at) = self.places.get(&key) {
            join(&mut self.pending[*at].refusal, refusal);
            return true;
        }
        let row = self.row(key, now);
        self.push(Pending { key, row, refusal })
    }

    /// Everything that is to be written, in the order it came.
    pub fn take(&mut self) -> Vec<Pending> {
        self.places.clear();
        let mut pending = mem::take(&mut self.pending);
        for it in &mut pending {
            // The same may have been written since this came.
            it.row = self.row(it.key, it.refusal.last);
        }
        pending
    }

    /// What could not be written waits again.
    pub fn give_back(&mut self, pending: Vec<Pending>) {
        for it in pending {
            match self.places.get(&it.key) {
                Some(at) => {
                    let newer = &mut self.pending[*at].refusal;
                    newer.count += it.refusal.count;
                    newer.first = newer.first.min(it.refusal.first);
                }
                None => {
                    self.push(it);
                }
            }
        }
    }

    /// Notes the row that these were written to.
    pub fn written(&mut self, pending: &Pending, seq: i64) {
        let first = match self.rows.get(&pending.key) {
            Some(row) if pending.row.is_some() => row.first,
            _ => pending.refusal.first,
        };
        if self.rows.len() >= ROWS_MAX {
            self.rows.clear();
        }
        self.rows.insert(pending.key, Row { seq, first });
    }

    fn push(&mut self, pending: Pending) -> bool {
        let has_room = self.pending.len() < PENDING_MAX;
        if has_room {
            self.places.insert(pending.key, self.pending.len());
            self.pending.push(pending);
        }
        has_room
    }

    fn row(&self, key: u64, now: Timestamp) -> Option<i64> {
        let age = |it: &&Row| now.nanoseconds() - it.first.nanoseconds();
        self.rows.get(&key).filter(|it| (0..ROW_AGE_MAX).contains(&age(it))).map(|it| it.seq)
    }

    /// Takes one of those that an organisation may have apart. It gains one every few seconds.
    fn may_be_apart(&mut self, refusal: &Refusal) -> bool {
        if self.pending.len() >= PENDING_APART_MAX {
            return false;
        }
        let (now, whole) = (refusal.last.nanoseconds(), APART_MAX * APART_EVERY);
        let full = self.allowances.entry(refusal.org).or_insert(now);
        // The clock was set back.
        if *full > now + whole {
            *full = now;
        }
        let next = now.max(*full) + APART_EVERY;
        let has_one = next <= now + whole;
        if has_one {
            *full = next;
        }
        has_one
    }

    fn key(&self, it: &Refusal, exact: bool) -> u64 {
        let kind = (it.org, &it.token, &it.method, &it.path, &it.resource_type);
        let told = (it.status, &it.scim_type);
        let about = exact.then_some((&it.resource, &it.subject, &it.detail));
        self.hashed.hash_one((kind, told, about))
    }
}

/// Counts a further one in what was there; the last one is shown.
fn join(known: &mut Refusal, further: Refusal) {
    let (first, count) = (known.first, known.count + further.count);
    *known = Refusal { first, count, ..further };
}

#[cfg(test)]
mod tests;
