//! The gate before the application: how many requests are at work at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A counting semaphore. A place that is given back goes to one who waits, never to one who has
/// only just come: else a few connections that send without a pause would take all places again
/// and again, and the rest would wait for chance.
#[derive(Debug)]
pub struct Gate {
    places: Mutex<Places>,
    granted: Condvar,
}

#[derive(Debug)]
struct Places {
    free: usize,
    waiting: usize,
    /// Places for those who wait; none of them has taken one yet.
    granted: usize,
}

impl Gate {
    /// A gate that lets this many through at once.
    pub fn new(places: usize) -> Gate {
        let places = Places { free: places, waiting: 0, granted: 0 };
        Gate { places: Mutex::new(places), granted: Condvar::new() }
    }

    /// Waits for a place. It is given back when the pass is dropped, by a panic too.
    pub fn enter(&self) -> Pass<'_> {
        let mut places = self.places();
        if places.free > 0 {
            places.free -= 1;
            return Pass { gate: self };
        }
        places.waiting += 1;
        loop {
            // First it waits: a grant that is already there is for another.
            places = self.granted.wait(places).unwrap_or_else(PoisonError::into_inner);
            if places.granted > 0 {
                places.granted -= 1;
                places.waiting -= 1;
                return Pass { gate: self };
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place at work.
#[derive(Debug)]
pub struct Pass<'a> {
    gate: &'a Gate,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut places = self.gate.places();
        if places.waiting > places.granted {
            places.granted += 1;
            self.gate.granted.notify_one();
        } else {
            places.free += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use std::{panic, thread};

    use super::*;

    #[test]
    fn no_more_than_its_places_are_at_work_at_once() {
        let gate = Gate::new(3);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let _pass = gate.enter();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 3);
        assert_eq!(gate.places().free, 3);
    }

    #[test]
    fn who_waits_comes_before_who_has_just_come() {
        let gate = Gate::new(1);
        let order = Mutex::new(Vec::new());
        let first = gate.enter();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _pass = gate.enter();
                order.lock().unwrap().push("waited");
            });
            while gate.places().waiting == 0 {
                thread::yield_now();
            }
            drop(first);
            let _pass = gate.enter();
            order.lock().unwrap().push("came");
        });
        assert_eq!(order.into_inner().unwrap(), ["waited", "came"]);
    }

    #[test]
    fn a_panic_at_work_gives_the_place_back() {
        let gate = Gate::new(1);
        let panicked = panic::catch_unwind(|| {
            let _pass = gate.enter();
            panic::resume_unwind(Box::new("no message on stderr"));
        });
        assert!(panicked.is_err());
        drop(gate.enter());
    }
}
