//! A change that one thread waits for and another makes.

use std::sync::OnceLock;
use std::thread::{self, Thread};

use crate::store::error::Error;
use crate::store::tables::change::{Change, Outcome};

/// What became of a change.
pub type Made = Result<Outcome, Error>;

/// A change that another thread makes.
pub struct Queued {
    /// The change.
    pub change: Change,
    outcome: OnceLock<Made>,
    thread: Thread,
}

impl Queued {
    /// A change that this thread will wait for.
    pub fn new(change: Change) -> Queued {
        Queued { change, outcome: OnceLock::new(), thread: thread::current() }
    }

    /// Says what became of the change; the first word counts.
    pub fn end(&self, outcome: Made) {
        if self.outcome.set(outcome).is_ok() {
            self.thread.unpark();
        }
    }

    /// Waits until that is said.
    pub fn wait(&self) -> Made {
        loop {
            match self.outcome.get() {
                Some(Ok(outcome)) => return Ok(*outcome),
                Some(Err(error)) => return Err(error.for_follower()),
                None => thread::park(),
            }
        }
    }
}
