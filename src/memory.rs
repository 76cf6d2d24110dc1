//! The memory that requests may take, all of them together: bodies once they are parsed, and
//! answers until they are written.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What all parsed bodies and unwritten answers may take together, in bytes. With what a server
/// has besides, its peak stays below 512 MiB.
pub const MEMORY_BYTES_MAX: usize = 288 * 1024 * 1024;
/// What is not worth counting, in bytes: nearly every request is smaller.
pub const MEMORY_BYTES_FREE: usize = 64 * 1024;
/// What the requests of one organisation may take of that together, in bytes: however many large
/// answers its clients leave unread, there is memory for the others. A request may go beyond while
/// the others of its organisation have no more than an eighth of all.
pub const MEMORY_BYTES_PER_ORG: usize = part(MEMORY_BYTES_MAX);
/// How long a request waits for memory that others give back.
pub const MEMORY_WAIT_MAX: Duration = Duration::from_secs(5);
/// How many requests wait at once, and how many of one organisation. Who waits keeps others from
/// being at work, so it is a part of those that may be.
pub const MEMORY_WAITING_MAX: usize = 32;
/// See [`MEMORY_WAITING_MAX`].
pub const MEMORY_WAITING_PER_ORG: usize = 16;

/// The owner of the budget, for the requests of one organisation or for the server itself. Cheap to
/// clone: all clones are the same budget.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
    org: Option<i64>,
}

struct Inner {
    state: Mutex<State>,
    total: usize,
    given_back: Condvar,
    refused: AtomicU64,
}

struct State {
    left: usize,
    waiting: usize,
    /// How many wait until there is some, and do not take it.
    watching: usize,
    /// Whether nobody is to do so any more.
    ended: bool,
    /// The organisations whose requests have taken some, or wait.
    orgs: HashMap<i64, Share>,
}

/// What the requests of one organisation have taken, in bytes, and how many of them wait.
#[derive(Clone, Copy, Default)]
struct Share {
    bytes: usize,
    waiting: usize,
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
        let state =
            State { left: bytes, waiting: 0, watching: 0, ended: false, orgs: HashMap::new() };
        let inner = Inner {
            state: Mutex::new(state),
            total: bytes,
            given_back: Condvar::new(),
            refused: AtomicU64::new(0),
        };
        Memory { inner: Arc::new(inner), org: None }
    }

    /// The same budget for the requests of an organisation, which may take a part of it together;
    /// for the server itself with none.
    #[must_use]
    pub fn of(&self, org: Option<i64>) -> Memory {
        Memory { inner: Arc::clone(&self.inner), org }
    }

    /// Takes this many bytes until the returned value is dropped, by a panic too. What is free of
    /// charge takes none. Waits while others have them, after it has called `before`; `None` when
    /// that takes too long, or too many wait already. `held` is what the same request has taken: it
    /// may go beyond the part of its organisation while the other requests of that have little.
    ///
    /// What is larger than all that may be taken counts as that much.
    #[must_use]
    pub fn take(&self, bytes: usize, held: &[Taken], before: impl FnOnce()) -> Option<Taken> {
        let Some(bytes) = self.charged(bytes) else {
            return Some(Taken { memory: self.clone(), bytes: 0 });
        };
        let held = sum(held);
        if self.taken_at_once(&mut self.state(), bytes, held) {
            return Some(Taken { memory: self.clone(), bytes });
        }
        before();
        self.wait_and_take(bytes, held).or_else(|| self.note_refusal())
    }

    /// The same without waiting.
    #[must_use]
    pub fn try_take(&self, bytes: usize, held: &[Taken]) -> Option<Taken> {
        let bytes = self.charged(bytes).unwrap_or(0);
        let taken = bytes == 0 || self.taken_at_once(&mut self.state(), bytes, sum(held));
        if taken { Some(Taken { memory: self.clone(), bytes }) } else { self.note_refusal() }
    }

    /// What so many bytes are charged, where they are.
    fn charged(&self, bytes: usize) -> Option<usize> {
        (bytes > MEMORY_BYTES_FREE).then(|| bytes.min(self.most()))
    }

    /// The most that may be taken.
    fn most(&self) -> usize {
        match self.org {
            Some(_) => part(self.inner.total),
            None => self.inner.total,
        }
    }

    /// Waits until so many bytes could be taken by a request that has none, but no longer than
    /// [`MEMORY_WAIT_MAX`] or [`Memory::end_waits`], and takes nothing. For who keeps nobody else
    /// from being at work: any number may.
    pub fn wait_for(&self, bytes: usize) {
        let Some(bytes) = self.charged(bytes) else { return };
        let mut state = self.state();
        state.watching += 1;
        let full = |state: &mut State| !state.ended && !self.fits(state, bytes, 0);
        let waited = self.inner.given_back.wait_timeout_while(state, MEMORY_WAIT_MAX, full);
        waited.unwrap_or_else(PoisonError::into_inner).0.watching -= 1;
    }

    /// Lets those go on that wait in [`Memory::wait_for`], now and from now on: service ends.
    pub fn end_waits(&self) {
        self.state().ended = true;
        self.inner.given_back.notify_all();
    }

    /// Whether a request that holds so many bytes may take these.
    fn fits(&self, state: &State, bytes: usize, held: usize) -> bool {
        let of_org = self.org.and_then(|it| state.orgs.get(&it)).map_or(0, |it| it.bytes);
        let of_others = of_org - held.min(of_org);
        let within = of_org + bytes <= self.most() || of_others <= self.inner.total / 8;
        state.left >= bytes && within
    }

    fn taken_at_once(&self, state: &mut State, bytes: usize, held: usize) -> bool {
        if !self.fits(state, bytes, held) {
            return false;
        }
        state.left -= bytes;
        state.change(self.org, |it| it.bytes += bytes);
        true
    }

    fn wait_and_take(&self, bytes: usize, held: usize) -> Option<Taken> {
        let mut state = self.state();
        let of_org = self.org.and_then(|it| state.orgs.get(&it)).map_or(0, |it| it.waiting);
        if state.waiting >= MEMORY_WAITING_MAX || of_org >= MEMORY_WAITING_PER_ORG {
            return None;
        }
        state.waiting += 1;
        state.change(self.org, |it| it.waiting += 1);
        let mut taken = false;
        let full = |state: &mut State| {
            taken = self.taken_at_once(state, bytes, held);
            !taken
        };
        let waited = self.inner.given_back.wait_timeout_while(state, MEMORY_WAIT_MAX, full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
        state.change(self.org, |it| it.waiting -= 1);
        taken.then(|| Taken { memory: self.clone(), bytes })
    }

    fn note_refusal(&self) -> Option<Taken> {
        self.inner.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory of an answer that has so many bytes, out of what making it has taken: the rest is
    /// given back. Where that is too little, waits for more; `None` when that takes too long, or
    /// too many wait already.
    #[must_use]
    pub fn settle(&self, taken: Vec<Taken>, bytes: usize) -> Option<Taken> {
        let held = sum(&taken);
        let memory = taken.first().map_or(self, |it| &it.memory).clone();
        let mut one = Taken { memory, bytes: held };
        taken.into_iter().for_each(|mut it| it.bytes = 0);
        let bytes = self.charged(bytes).unwrap_or(0);
        if bytes > held {
            let more = one.memory.take(bytes - held, slice::from_ref(&one), || ());
            one.bytes += mem::take(&mut more?.bytes);
        }
        one.keep(bytes);
        Some(one)
    }

    /// How many requests wait for memory now, and how many were refused for want of it.
    #[must_use]
    pub fn waiting_and_refused(&self) -> (usize, u64) {
        (self.state().waiting, self.inner.refused.load(Ordering::Relaxed))
    }

    /// How many bytes there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.inner.total
    }

    /// How many bytes are taken now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.inner.total - self.state().left
    }
}

/// What the requests of one organisation may take of so many bytes.
const fn part(bytes: usize) -> usize {
    bytes / 4 * 3
}

/// How many bytes have been taken in all of these.
#[must_use]
pub fn sum(taken: &[Taken]) -> usize {
    taken.iter().map(|it| it.bytes).sum()
}

impl State {
    /// Changes what is known of an organisation, for as long as there is anything.
    fn change(&mut self, org: Option<i64>, change: impl FnOnce(&mut Share)) {
        let Some(org) = org else { return };
        let share = self.orgs.entry(org).or_default();
        change(share);
        if (share.bytes, share.waiting) == (0, 0) {
            self.orgs.remove(&org);
        }
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
            let mut state = self.memory.state();
            state.left += back;
            state.change(self.memory.org, |it| it.bytes -= back);
            let awaited = state.waiting + state.watching > 0;
            drop(state);
            if awaited {
                self.memory.inner.given_back.notify_all();
            }
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
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_answer_keeps_what_it_has_of_what_making_it_took() {
        let memory = Memory::new(MEMORY_BYTES_FREE * 8);
        let take = |times| memory.try_take(MEMORY_BYTES_FREE * times, &[]).unwrap();
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
        let small = memory.take(MEMORY_BYTES_FREE, &[], || ()).unwrap();
        assert_eq!(memory.in_use(), 0);
        let large = memory.take(MEMORY_BYTES_FREE * 3, &[], || ()).unwrap();
        assert_eq!(memory.in_use(), MEMORY_BYTES_FREE * 3);
        assert!(memory.try_take(MEMORY_BYTES_FREE * 2, &[]).is_none());
        assert_eq!(memory.waiting_and_refused(), (0, 1));
        std::thread::scope(|scope| {
            // More than all there is takes all there is, once it is alone.
            let waiting = scope.spawn(|| memory.take(usize::MAX, &[], || ()).is_some());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            drop((small, large));
            assert!(waiting.join().unwrap());
        });
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn one_organisation_leaves_memory_and_places_to_the_others() {
        let memory = Memory::new(MEMORY_BYTES_FREE * 16);
        let (one, other) = (memory.of(Some(1)), memory.of(Some(2)));
        let before = Cell::new(0);
        let count = || before.set(before.get() + 1);
        // More than it may have is all that it may have; little that others of it have is no reason
        // to refuse it.
        let little = one.take(MEMORY_BYTES_FREE * 2, &[], count).unwrap();
        let all = one.take(usize::MAX, &[], count).unwrap();
        assert_eq!(memory.in_use(), MEMORY_BYTES_FREE * 14);
        // A further request has nothing of what is left; the one that has so much needs more for
        // its answer.
        assert!(one.try_take(MEMORY_BYTES_FREE + 1, &[]).is_none());
        let more = one.try_take(MEMORY_BYTES_FREE * 2, slice::from_ref(&all)).unwrap();
        assert!(one.try_take(MEMORY_BYTES_FREE * 2, slice::from_ref(&all)).is_none());
        drop((more, little));
        let theirs = other.take(MEMORY_BYTES_FREE * 4, &[], count).unwrap();
        assert_eq!(before.get(), 0);
        assert_eq!(memory.in_use(), MEMORY_BYTES_FREE * 16);
        std::thread::scope(|scope| {
            let wait = |memory: &Memory| {
                let memory = memory.clone();
                scope.spawn(move || memory.take(MEMORY_BYTES_FREE + 1, &[], || ()).is_some())
            };
            let mut waiting: Vec<_> = (0..MEMORY_WAITING_PER_ORG).map(|_| wait(&one)).collect();
            let until = |count| {
                while memory.waiting_and_refused().0 < count {
                    std::thread::yield_now();
                }
            };
            until(MEMORY_WAITING_PER_ORG);
            // Any number may watch without a place.
            let watching = {
                let one = one.clone();
                scope.spawn(move || one.wait_for(MEMORY_BYTES_FREE + 1))
            };
            while memory.state().watching == 0 {
                std::thread::yield_now();
            }
            // A further one is refused at once, those of another organisation are not.
            assert!(one.take(MEMORY_BYTES_FREE + 1, &[], count).is_none());
            waiting.extend((waiting.len()..MEMORY_WAITING_MAX).map(|_| wait(&other)));
            until(MEMORY_WAITING_MAX);
            assert!(memory.take(MEMORY_BYTES_FREE + 1, &[], count).is_none());
            assert_eq!(before.get(), 2);
            assert!(!watching.is_finished());
            drop((all, theirs));
            watching.join().unwrap();
            assert!(waiting.into_iter().all(|it| it.join().unwrap()));
            // At the end of service nobody does.
            let few = one.take(usize::MAX, &[], count).unwrap();
            let watching = scope.spawn(|| one.wait_for(usize::MAX));
            while memory.state().watching == 0 {
                std::thread::yield_now();
            }
            memory.end_waits();
            watching.join().unwrap();
            one.wait_for(usize::MAX);
            drop(few);
        });
        assert_eq!((memory.in_use(), memory.waiting_and_refused()), (0, (0, 4)));
        assert!(memory.state().orgs.is_empty());
    }
}
