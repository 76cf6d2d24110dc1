//! Whose turn it is to use the writing connection: one thread at a time.
//!
//! A change that is plain data is queued, and one thread makes all that are queued together. Any
//! other change is made by its own thread, which waits for its turn. A turn is handed from one
//! holder to the next under one lock, so that whoever stops waiting has not been given it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::store::mutex::lock;

/// How long a change waits for its turn.
pub const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// How many changes of one organisation wait however long they do; changes take a thousandth of a
/// second, unless somebody sends large ones on purpose.
pub const WAITING_PER_ORG: usize = 8;
/// How long the first of them has waited when a further one is refused at once.
const CROWDED_AFTER: Duration = Duration::from_secs(1);
/// After how many turns in a row that nobody has waited for the connection counts as idle: where
/// several write at the same time, it is free now and then too.
const IDLE_AFTER: u32 = 16;

/// The turns, and the queue of plain changes.
pub struct Turns<T> {
    asking: Mutex<Asking<T>>,
    /// Tells the thread that makes queued changes that it has the turn.
    handed: Condvar,
}

struct Asking<T> {
    /// Whether somebody has the turn, or has been given it.
    taken: bool,
    /// Whether that is the thread that makes queued changes.
    queue_has_turn: bool,
    /// Whether that thread sleeps until it is told.
    queue_sleeps: bool,
    queue: VecDeque<T>,
    waiting: VecDeque<Arc<Place>>,
    /// When each organisation had its last turn, counted in turns, while others wait.
    last_turns: HashMap<i64, u64>,
    turns: u64,
    /// How many have been refused a turn.
    refused: u64,
    /// How many turns in a row have ended with nobody waiting.
    alone: u32,
    /// Whether no further change comes.
    ended: bool,
}

/// A thread that waits for its turn.
struct Place {
    org: Option<i64>,
    since: Instant,
    granted: AtomicBool,
    thread: Thread,
}

/// Why there is no turn: too many changes wait.
#[derive(Debug)]
pub struct Crowded;

impl<T: Clone> Turns<T> {
    pub fn new() -> Turns<T> {
        let asking = Asking {
            taken: false,
            queue_has_turn: false,
            queue_sleeps: false,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            last_turns: HashMap::new(),
            turns: 0,
            refused: 0,
            alone: 0,
            ended: false,
        };
        Turns { asking: Mutex::new(asking), handed: Condvar::new() }
    }

    /// Waits for a turn. Organisations have turns one after the other, however many changes of one
    /// wait; what is done for none, such as a checkpoint, comes first.
    ///
    /// # Errors
    /// [`Crowded`] when the turn does not come in time, or so many changes of the organisation wait
    /// that it would not.
    pub fn take(&self, org: Option<i64>, time: Duration) -> Result<Turn<'_, T>, Crowded> {
        let mut asking = lock(&self.asking);
        if !asking.taken {
            asking.taken = true;
            return Ok(Turn { turns: self, held: true });
        }
        if org.is_some() && asking.is_crowded(org) {
            asking.refused += 1;
            return Err(Crowded);
        }
        asking.alone = 0;
        let since = Instant::now();
        let (granted, thread) = (AtomicBool::new(false), thread::current());
        let place = Arc::new(Place { org, since, granted, thread });
        asking.waiting.push_back(Arc::clone(&place));
        drop(asking);
        loop {
            if place.granted.load(Ordering::Acquire) {
                return Ok(Turn { turns: self, held: true });
            }
            let Some(left) = time.checked_sub(since.elapsed()).filter(|it| !it.is_zero()) else {
                let mut asking = lock(&self.asking);
                // Grants are made under the lock that is held here.
                if place.granted.load(Ordering::Acquire) {
                    continue;
                }
                asking.waiting.retain(|it| !Arc::ptr_eq(it, &place));
                asking.refused += 1;
                return Err(Crowded);
            };
            thread::park_timeout(left);
        }
    }

    /// The turn, when nobody has it and nobody has waited for one of late.
    pub fn take_if_idle(&self) -> Option<Turn<'_, T>> {
        let mut asking = lock(&self.asking);
        if asking.taken || asking.alone < IDLE_AFTER {
            return None;
        }
        asking.taken = true;
        Some(Turn { turns: self, held: true })
    }

    /// The turn, when nobody has it; otherwise `item` is queued.
    pub fn take_or_queue(&self, item: &T) -> Option<Turn<'_, T>> {
        let mut asking = lock(&self.asking);
        if asking.taken {
            asking.queue.push_back(item.clone());
            asking.alone = 0;
            return None;
        }
        asking.taken = true;
        Some(Turn { turns: self, held: true })
    }

    /// Waits until there are queued changes and it is their turn, for the one thread that makes
    /// them; gives at most this many. `None` when no further change comes.
    pub fn take_queued(&self, most: usize) -> Option<(Turn<'_, T>, Vec<T>)> {
        let mut asking = lock(&self.asking);
        while !asking.queue_has_turn {
            if asking.ended {
                return None;
            }
            asking.queue_sleeps = true;
            asking = self.handed.wait(asking).unwrap_or_else(PoisonError::into_inner);
            asking.queue_sleeps = false;
        }
        let most = most.min(asking.queue.len());
        let items = asking.queue.drain(..most).collect();
        Some((Turn { turns: self, held: true }, items))
    }

    /// Lets the thread that makes queued changes end.
    pub fn end(&self) {
        lock(&self.asking).ended = true;
        self.handed.notify_all();
    }

    /// How many have been refused a turn.
    pub fn refused(&self) -> u64 {
        lock(&self.asking).refused
    }

    /// How many threads wait for a turn of their own, and how many changes are queued.
    pub fn waiting(&self) -> usize {
        let asking = lock(&self.asking);
        asking.waiting.len() + asking.queue.len()
    }

    /// Gives the turn to the next who waits; returns whether there is one. Where there is none, the
    /// turn is kept or is over.
    fn pass_on(&self, is_over: bool) -> bool {
        let mut asking = lock(&self.asking);
        // Queued changes and the others take turns.
        let queue_was_last = asking.queue_has_turn && !asking.waiting.is_empty();
        if !asking.queue.is_empty() && !queue_was_last {
            asking.queue_has_turn = true;
            let sleeps = asking.queue_sleeps;
            drop(asking);
            if sleeps {
                self.handed.notify_one();
            }
            return true;
        }
        let Some(place) = asking.next() else {
            asking.last_turns.clear();
            if is_over {
                asking.taken = false;
                asking.queue_has_turn = false;
                asking.alone = asking.alone.saturating_add(1);
            }
            return false;
        };
        asking.queue_has_turn = false;
        place.granted.store(true, Ordering::Release);
        drop(asking);
        place.thread.unpark();
        true
    }
}

impl<T> Asking<T> {
    fn is_crowded(&self, org: Option<i64>) -> bool {
        let mut of_org = self.waiting.iter().filter(|it| it.org == org);
        let first = of_org.next().map(|it| it.since);
        first.is_some_and(|it| it.elapsed() > CROWDED_AFTER)
            && of_org.count() + 1 >= WAITING_PER_ORG
    }

    /// Takes out the thread whose organisation has waited longest for a turn.
    fn next(&mut self) -> Option<Arc<Place>> {
        let last_turn =
            |it: &Place| it.org.map_or(0, |it| self.last_turns.get(&it).map_or(1, |it| it + 1));
        let places = self.waiting.iter().enumerate();
        let (at, _) = places.min_by_key(|(at, it)| (last_turn(it), *at))?;
        let place = self.waiting.remove(at)?;
        self.turns += 1;
        if let Some(org) = place.org {
            self.last_turns.insert(org, self.turns);
        }
        Some(place)
    }
}

/// The right to use the connection, until it is dropped.
pub struct Turn<'a, T: Clone> {
    turns: &'a Turns<T>,
    held: bool,
}

impl<T: Clone> Turn<'_, T> {
    /// Whether the turn was not given away yet.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Gives the turn to the next who waits. Returns whether there is one; otherwise this is still
    /// the turn.
    pub fn hand_over(&mut self) -> bool {
        let handed = self.held && self.turns.pass_on(false);
        self.held &= !handed;
        handed
    }
}

impl<T: Clone> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        if self.held {
            self.turns.pass_on(true);
        }
    }
}

#[cfg(test)]
mod tests;
