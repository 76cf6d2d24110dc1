//! Pages of the change feed that several clients are sent: those who wait are told at the same
//! moment, and mostly the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::tables::org::OrgKey;

/// How long a page is sent again. So much later than it could a client learns of what is newer.
const AGE_MAX: Duration = Duration::from_millis(25);
/// How many pages are kept.
const PAGES_MAX: usize = 16;
/// A page that is larger is made for each client.
const BYTES_MAX: usize = 256 * 1024;

/// A page of the feed.
#[derive(Debug)]
pub struct Page {
    /// The whole body of the answer.
    pub body: String,
    /// How many events it has.
    pub events: usize,
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

/// A page with the time it was made, or the place for it while it is made.
type Place = Mutex<Option<(Instant, Arc<Page>)>>;

impl Pages {
    /// The page with this key: one that was made a moment ago, or a new one. Of several clients
    /// that ask at once, one makes it for all.
    ///
    /// # Errors
    /// What the closure returns.
    pub fn get<E>(&self, key: Key, make: impl FnOnce() -> Result<Page, E>) -> Result<Arc<Page>, E> {
        let place = {
            let mut kept = lock(&self.kept);
            kept.retain(|_, it| Arc::strong_count(it) > 1 || is_fresh(&lock(it)));
            if kept.len() >= PAGES_MAX && !kept.contains_key(&key) {
                None
            } else {
                Some(Arc::clone(kept.entry(key).or_default()))
            }
        };
        let Some(place) = place else { return make().map(Arc::new) };
        let mut known = lock(&place);
        if let Some((_, page)) = known.as_ref().filter(|_| is_fresh(&known)) {
            return Ok(Arc::clone(page));
        }
        let page = Arc::new(make()?);
        // A page of nothing is no news: the next change must not wait for its end.
        let keeps = page.events > 0 && page.body.len() <= BYTES_MAX;
        *known = keeps.then(|| (Instant::now(), Arc::clone(&page)));
        Ok(page)
    }
}

fn is_fresh(place: &Option<(Instant, Arc<Page>)>) -> bool {
    place.as_ref().is_some_and(|(made, _)| made.elapsed() < AGE_MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn page(events: usize, bytes: usize) -> Page {
        Page { body: "x".repeat(bytes), events, last: 1, more: false, seen: 1 }
    }

    #[test]
    fn one_page_is_made_for_all_who_ask_at_once() {
        let (pages, made) = (Pages::default(), AtomicUsize::new(0));
        let key = (OrgKey(1), 0, 100);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let page = pages.get(key, || {
                        made.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(5));
                        Ok::<_, ()>(page(1, 1))
                    });
                    assert_eq!(page.unwrap().events, 1);
                });
            }
        });
        let at_once = made.load(Ordering::SeqCst);
        assert!(at_once < 16, "{at_once}");
        // Another organisation, another place and another length are other pages.
        for other in [(OrgKey(2), 0, 100), (OrgKey(1), 1, 100), (OrgKey(1), 0, 99)] {
            assert_eq!(pages.get(other, || Ok::<_, ()>(page(7, 1))).unwrap().events, 7);
        }
        thread::sleep(AGE_MAX);
        assert_eq!(pages.get(key, || Ok::<_, ()>(page(2, 1))).unwrap().events, 2);
        assert_eq!(lock(&pages.kept).len(), 1);
    }

    #[test]
    fn what_is_nothing_too_large_or_failed_is_not_kept() {
        let pages = Pages::default();
        let key = (OrgKey(1), 0, 100);
        assert_eq!(pages.get(key, || Err::<Page, _>("no")).unwrap_err(), "no");
        for (events, bytes) in [(0, 1), (1, BYTES_MAX + 1)] {
            assert_eq!(pages.get(key, || Ok::<_, ()>(page(events, bytes))).unwrap().events, events);
        }
        assert_eq!(pages.get(key, || Ok::<_, ()>(page(9, 1))).unwrap().events, 9);
        for after in 0..100 {
            let made = pages.get((OrgKey(1), after, 1), || Ok::<_, ()>(page(1, 1)));
            assert_eq!(made.unwrap().events, 1);
        }
        assert!(lock(&pages.kept).len() <= PAGES_MAX);
    }
}
