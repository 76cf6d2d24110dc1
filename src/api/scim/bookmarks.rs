//! Bookmarks: where the last pages of a list ended, for a client that walks it by `startIndex`. It
//! finds each page as cheap as the first one.
//!
//! They also keep a walk whole while the list changes. Behind a page that ended with a resource the
//! next one goes on behind that resource, also when it is gone by now: nobody is skipped because
//! somebody on an earlier page was deleted, and nobody comes twice because somebody was restored.
//!
//! They are kept in memory only. Whoever has none is answered by the index, as RFC 7644 has it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::api::scim::cursor::digest;
use crate::scim::datetime::Timestamp;
use crate::store::query::listing::Position;

/// The most walks that are remembered; a further one takes the place of the one that rested
/// longest.
const WALKS_MAX: usize = 1_000;
/// The most page ends of one walk: the last one, and some for a client that asks again or for walks
/// of the same list side by side.
const ENDS_MAX: usize = 4;
/// For how long a page end is remembered, in seconds.
const END_SECONDS: i64 = 5 * 60;
/// The longest text that a list is sorted by and that is remembered, in bytes.
const KEY_BYTES_MAX: usize = 1_024;

/// The bookmarks of all organisations.
#[derive(Debug, Default)]
pub struct Bookmarks {
    walks: Mutex<Walks>,
}

#[derive(Debug, Default)]
struct Walks {
    by_key: HashMap<Vec<u8>, Walk>,
    /// Counts the uses of walks.
    uses: u64,
}

#[derive(Debug, Default)]
struct Walk {
    ends: VecDeque<End>,
    total: Option<Total>,
    used: u64,
}

/// Where a page ended.
#[derive(Clone, Debug)]
pub struct End {
    /// How many resources stand before this place, in the walk as the client has seen it.
    pub index: i64,
    /// The same for a client that counts what it asked for and not what it got, as Okta does. A
    /// page that is read in parts has fewer when somebody is deleted meanwhile.
    pub asked: i64,
    /// The place.
    pub position: Position,
    /// When the page was read.
    pub read: Timestamp,
}

/// How many resources a list had at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: i64,
    /// The moment: the newest change of the database then.
    pub change: i64,
}

impl Bookmarks {
    /// The end behind which the page with this many resources before it goes on, and how many the
    /// list had. `query` is everything that makes it the same list, asked for by the same client.
    #[must_use]
    pub fn find(
        &self,
        query: &[&str],
        offset: i64,
        now: Timestamp,
    ) -> (Option<End>, Option<Total>) {
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        let walks = &mut *walks;
        let Some(walk) = walks.by_key.get_mut(&digest(query)) else {
            return (None, None);
        };
        walks.uses += 1;
        walk.used = walks.uses;
        let fresh = |it: &&End| {
            [it.index, it.asked].contains(&offset) && now < it.read.plus_seconds(END_SECONDS)
        };
        // The newest, since two walks side by side may have come as far.
        let end = walk.ends.iter().rev().filter(|_| offset > 0).find(fresh);
        (end.cloned(), walk.total)
    }

    /// Remembers the end of a page that began behind `offset` resources. With the first page a new
    /// walk begins.
    pub fn put(&self, query: &[&str], offset: i64, end: End, total: Option<Total>) {
        if matches!(&end.position.key, Value::String(it) if it.len() > KEY_BYTES_MAX) {
            return;
        }
        let key = digest(query);
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        let walks = &mut *walks;
        if walks.by_key.len() >= WALKS_MAX && !walks.by_key.contains_key(&key) {
            let rested = walks.by_key.iter().min_by_key(|it| it.1.used);
            if let Some(rested) = rested.map(|it| it.0.clone()) {
                walks.by_key.remove(&rested);
            }
        }
        walks.uses += 1;
        let walk = walks.by_key.entry(key).or_default();
        walk.used = walks.uses;
        walk.total = total;
        if offset == 0 {
            walk.ends.clear();
        }
        if walk.ends.len() >= ENDS_MAX {
            walk.ends.pop_front();
        }
        walk.ends.push_back(end);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn start() -> Timestamp {
        Timestamp::from_nanoseconds(1_700_000_000_000_000_000)
    }

    fn put(bookmarks: &Bookmarks, query: &str, offset: i64, seq: i64) {
        let position = Position { key: Value::Null, seq };
        let end = End { index: offset + 10, asked: offset + 10, position, read: start() };
        bookmarks.put(&[query], offset, end, None);
    }

    fn find(bookmarks: &Bookmarks, query: &str, offset: i64, seconds: i64) -> Option<i64> {
        let found = bookmarks.find(&[query], offset, start().plus_seconds(seconds));
        found.0.map(|it| it.position.seq)
    }

    #[test]
    fn a_page_end_is_found_for_its_list_index_and_time_only() {
        let bookmarks = Bookmarks::default();
        put(&bookmarks, "a", 0, 11);
        put(&bookmarks, "a", 10, 22);
        assert_eq!(find(&bookmarks, "a", 10, 0), Some(11));
        assert_eq!(find(&bookmarks, "a", 20, 0), Some(22));
        assert_eq!(find(&bookmarks, "a", 20, END_SECONDS - 1), Some(22));
        assert_eq!(find(&bookmarks, "a", 20, END_SECONDS), None);
        assert_eq!(find(&bookmarks, "a", 0, 0), None);
        assert_eq!(find(&bookmarks, "a", 19, 0), None);
        assert_eq!(find(&bookmarks, "b", 10, 0), None);
        // Two walks side by side: whoever came there last goes on.
        put(&bookmarks, "a", 10, 23);
        assert_eq!(find(&bookmarks, "a", 20, 0), Some(23));
        // A new walk.
        put(&bookmarks, "a", 0, 12);
        assert_eq!(find(&bookmarks, "a", 10, 0), Some(12));
        assert_eq!(find(&bookmarks, "a", 20, 0), None);
    }

    #[test]
    fn the_end_of_a_short_page_is_found_by_what_was_asked_for_too() {
        let bookmarks = Bookmarks::default();
        let position = Position { key: Value::Null, seq: 11 };
        let end = End { index: 4, asked: 10, position, read: start() };
        bookmarks.put(&["a"], 0, end, None);
        assert_eq!(find(&bookmarks, "a", 4, 0), Some(11));
        assert_eq!(find(&bookmarks, "a", 10, 0), Some(11));
        assert_eq!(find(&bookmarks, "a", 5, 0), None);
        assert_eq!(find(&bookmarks, "a", 10, END_SECONDS), None);
    }

    #[test]
    fn memory_is_bounded() {
        let bookmarks = Bookmarks::default();
        for page in 0..20 {
            put(&bookmarks, "long", page * 10, page);
        }
        assert_eq!(find(&bookmarks, "long", 200, 0), Some(19));
        assert_eq!(find(&bookmarks, "long", 170, 0), Some(16));
        assert_eq!(find(&bookmarks, "long", 160, 0), None);
        for i in 0..WALKS_MAX {
            put(&bookmarks, &i.to_string(), 0, 1);
            // In use, and so never the one that rested longest.
            assert_eq!(find(&bookmarks, "long", 200, 0), Some(19));
        }
        assert_eq!(bookmarks.walks.lock().unwrap().by_key.len(), WALKS_MAX);
        assert_eq!(find(&bookmarks, "0", 10, 0), None);
        assert_eq!(find(&bookmarks, "1", 10, 0), Some(1));
        let position = Position { key: json!("x".repeat(KEY_BYTES_MAX + 1)), seq: 1 };
        let end = End { index: 10, asked: 10, position, read: start() };
        bookmarks.put(&["wide"], 0, end, None);
        assert_eq!(find(&bookmarks, "wide", 10, 0), None);
    }
}
