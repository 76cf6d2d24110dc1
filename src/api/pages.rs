//! Pages of the change feed that several clients are sent: those who wait are told at the same
//! moment, and mostly the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::memory::{Memory, Taken};
use crate::store::tables::org::OrgKey;

/// How long a page is sent again while its organisation is changed. So much later than it could a
/// client learns of what is newer.
const AGE_MAX: Duration = Duration::from_millis(25);
/// The same while nothing has changed: whoever is told of a large page one after the other, because
/// there are more of them than the machine can tell at once, is sent the same page all the same.
const UNCHANGED_AGE_MAX: Duration = Duration::from_secs(2);
/// How many pages are kept.
const PAGES_MAX: usize = 16;

/// A page of the feed.
#[derive(Debug)]
pub struct Page {
    /// The whole body of the answer.
    pub body: String,
    /// The types of its events.
    pub events: Vec<&'static str>,
    /// The number up to which nothing is missing.
    pub last: i64,
    /// Whether there is a change behind that.
    pub more: bool,
    /// The number of the organisation's last change when the page was begun.
    pub seen: i64,
}

/// Which page: of this organisation, after this number, of so many numbers.
pub type Key = (OrgKey, i64, i64);

/// The pages that were made a moment ago.
#[derive(Debug, Default)]
pub struct Pages {
    kept: Mutex<HashMap<Key, Arc<Place>>>,
}

/// A page, or the place for it while it is made.
type Place = Mutex<Option<Kept>>;

/// A page with the time it was made and the memory that it takes.
#[derive(Debug)]
struct Kept {
    made: Instant,
    page: Arc<Page>,
    _taken: Taken,
}

impl Kept {
    /// Whether it may be sent to a client when the last change of the organisation is `newest`.
    fn is_fresh(&self, newest: i64) -> bool {
        let age = self.made.elapsed();
        age < AGE_MAX || (self.page.seen >= newest && age < UNCHANGED_AGE_MAX)
    }
}

impl Pages {
    /// The page with this key: one that was made a moment ago, or a new one. Of several clients
    /// that ask at once, one makes it for all. `newest`: the number of the organisation's last
    /// change. A page is kept for the others where the memory allows it.
    ///
    /// # Errors
    /// What the closure returns.
    pub fn get<E>(
        &self,
        key: Key,
        newest: i64,
        memory: &Memory,
        make: impl FnOnce() -> Result<Page, E>,
    ) -> Result<Arc<Page>, E> {
        let place = {
            let mut kept = lock(&self.kept);
            kept.retain(|_, it| may_be_sent(it));
            let full = kept.len() >= PAGES_MAX && !kept.contains_key(&key);
            if full && !drop_oldest(&mut kept) {
                None
            } else {
                Some(Arc::clone(kept.entry(key).or_default()))
            }
        };
        let Some(place) = place else { return make().map(Arc::new) };
        let mut known = lock(&place);
        if let Some(it) = known.as_ref().filter(|it| it.is_fresh(newest)) {
            return Ok(Arc::clone(&it.page));
        }
        // The memory of the former one is free for this one.
        *known = None;
        let page = make()?;
        // A page of nothing is no news: the next change must not wait for its end.
        if page.events.is_empty() {
            return Ok(Arc::new(page));
        }
        let page = Arc::new(page);
        let made = Instant::now();
        let taken = memory.try_take(page.body.len(), &[]);
        *known = taken.map(|it| Kept { made, page: Arc::clone(&page), _taken: it });
        Ok(page)
    }

    /// Drops the pages that nobody is sent any more.
    pub fn drop_old(&self) {
        lock(&self.kept).retain(|_, it| may_be_sent(it));
    }
}

/// Drops the page that was made first, of those that nobody asks for now; returns whether there was
/// one.
fn drop_oldest(kept: &mut HashMap<Key, Arc<Place>>) -> bool {
    let idle = kept.iter().filter(|(_, it)| Arc::strong_count(it) == 1);
    let made = idle.map(|(key, it)| (lock(it).as_ref().map(|it| it.made), *key));
    let oldest = made.min_by_key(|(made, _)| *made).map(|(_, key)| key);
    oldest.is_some_and(|key| kept.remove(&key).is_some())
}

/// Whether anybody asks for the page in a place now, or may be sent the one that is there.
fn may_be_sent(place: &Arc<Place>) -> bool {
    Arc::strong_count(place) > 1
        || lock(place).as_ref().is_some_and(|it| it.made.elapsed() < UNCHANGED_AGE_MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::memory::MEMORY_BYTES_FREE;

    fn page(last: i64, bytes: usize) -> Page {
        let (body, events) = ("x".repeat(bytes), vec!["user.created"]);
        Page { body, events, last, more: false, seen: 1 }
    }

    /// Asks for a page; returns the number it ends with: that of `last` when it was made now.
    fn ask(pages: &Pages, key: Key, newest: i64, memory: &Memory, last: i64, bytes: usize) -> i64 {
        let made = || Ok::<_, Infallible>(page(last, bytes));
        pages.get(key, newest, memory, made).unwrap().last
    }

    #[test]
    fn one_page_is_made_for_all_who_ask_at_once() {
        let (pages, made, memory) = (Pages::default(), AtomicUsize::new(0), Memory::default());
        for (after, bytes) in [(0, 1), (9, 3 << 20)] {
            let key = (OrgKey(1), after, 100);
            made.store(0, Ordering::SeqCst);
            thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        let page = pages.get(key, 1, &memory, || {
                            made.fetch_add(1, Ordering::SeqCst);
                            thread::sleep(Duration::from_millis(50));
                            Ok::<_, Infallible>(page(1, bytes))
                        });
                        assert_eq!(page.unwrap().body.len(), bytes);
                    });
                }
            });
            assert_eq!(made.load(Ordering::SeqCst), 1, "{bytes}");
            // However late, while nothing has changed; and later something has.
            thread::sleep(AGE_MAX);
            assert_eq!(ask(&pages, key, 1, &memory, 2, 1), 1);
            assert_eq!(ask(&pages, key, 2, &memory, 2, 1), 2);
        }
        // Another organisation, another place and another length are other pages.
        for other in [(OrgKey(2), 0, 100), (OrgKey(1), 1, 100), (OrgKey(1), 0, 99)] {
            assert_eq!(ask(&pages, other, 1, &memory, 7, 1), 7);
        }
    }

    #[test]
    fn what_is_nothing_or_failed_is_not_kept() {
        let (pages, memory) = (Pages::default(), Memory::default());
        let key = (OrgKey(1), 0, 100);
        assert_eq!(pages.get(key, 1, &memory, || Err::<Page, _>("no")).unwrap_err(), "no");
        let nothing = || Ok::<_, Infallible>(Page { events: Vec::new(), ..page(1, 1) });
        assert_eq!(pages.get(key, 1, &memory, nothing).unwrap().last, 1);
        assert_eq!(ask(&pages, key, 1, &memory, 9, 1), 9);
        // Many pages in a short time: the newest are those that are asked for again.
        for after in 0..100 {
            assert_eq!(ask(&pages, (OrgKey(1), after, 1), 1, &memory, 1, 1), 1);
            assert_eq!(ask(&pages, (OrgKey(1), after, 1), 1, &memory, 2, 1), 1);
        }
        assert_eq!(lock(&pages.kept).len(), PAGES_MAX);
        assert_eq!(ask(&pages, (OrgKey(1), 0, 1), 1, &memory, 2, 1), 2);
    }

    #[test]
    fn pages_are_kept_within_the_memory_there_is() {
        let bytes = 2 * MEMORY_BYTES_FREE;
        let (pages, memory) = (Pages::default(), Memory::new(3 * bytes));
        for after in 0..10 {
            assert_eq!(ask(&pages, (OrgKey(1), after, 1), 1, &memory, 1, bytes), 1);
        }
        assert_eq!(memory.in_use(), 3 * bytes);
        // Those that are not kept are made again.
        assert_eq!(ask(&pages, (OrgKey(1), 0, 1), 1, &memory, 2, bytes), 1);
        assert_eq!(ask(&pages, (OrgKey(1), 9, 1), 1, &memory, 2, bytes), 2);
        thread::sleep(UNCHANGED_AGE_MAX);
        pages.drop_old();
        assert_eq!(memory.in_use(), 0);
    }
}
