//! Group commit: changes that arrive at the same time share one transaction, and so one wait for
//! the disk.
//!
//! A change that is plain data is made and committed by its own thread when nobody else writes, so
//! that a single client pays for no hand-over. Otherwise it is queued, and one thread makes all
//! that are queued in one transaction. A change that is code, such as a Bulk request, waits for its
//! turn and is made by its own thread; when others wait behind it, it leaves its transaction open
//! and becomes a *follower* of the one that commits the whole *batch*, the *leader*.

mod batch;
mod queued;
mod turns;

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::change::{Change, Outcome};
use crate::store::tables::org::OrgKey;
use crate::store::tables::token::Credential;
use crate::store::transaction::{Read, Write};
use crate::store::writer::batch::{Guard, Role, State};
use crate::store::writer::queued::{Made, Queued};
use crate::store::writer::turns::{TURN_WAIT_MAX, Turns};

/// The most queued changes that are made in one transaction: more than the server handles requests
/// at once.
const QUEUED_CHANGES_MAX: usize = 256;
/// The stack of the thread that makes queued changes, in bytes.
const STACK_BYTES: usize = 256 * 1024;

/// The writing connection, and who waits for it.
pub struct Writer {
    inner: Arc<Inner>,
    /// The thread that makes queued changes; started when the first one is queued. `None` where no
    /// thread can be had.
    thread: OnceLock<Option<JoinHandle<()>>>,
}

struct Inner {
    turns: Turns<Arc<Queued>>,
    /// Only the holder of the turn locks it.
    state: Mutex<State>,
}

impl Writer {
    /// A writer on this connection.
    pub fn new(connection: Connection) -> Writer {
        let inner = Inner { turns: Turns::new(), state: Mutex::new(State::new(connection)) };
        Writer { inner: Arc::new(inner), thread: OnceLock::new() }
    }

    /// Makes one change and returns when it is on disk, or is undone. Organisations have turns one
    /// after the other; what belongs to none comes first and waits for as long as it takes.
    ///
    /// # Errors
    /// [`Error::Crowded`] when the turn does not come in time, what the closure returns, and
    /// failures of the store: then nothing of it is there. A change that fails does not touch the
    /// others of its batch.
    pub fn write<T, E: From<Error>>(
        &self,
        org: Option<OrgKey>,
        now: Timestamp,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut guard = self.inner.take(org)?;
        guard.forget_credentials();
        guard.begin()?;
        let answer = work(&guard.write(now));
        match answer.is_ok() {
            true => guard.join_batch(1)?,
            false => guard.undo(),
        }
        // A change that was refused waits too: what it was judged by may not be committed yet.
        match guard.finish() {
            Role::Leader(outcome) => outcome?,
            Role::Follower(batch) => batch.wait()?,
        }
        answer
    }

    /// Makes a change that is plain data and returns when it is on disk, or is undone.
    ///
    /// # Errors
    /// Failures of the store: then nothing of it is there.
    pub fn apply(&self, change: Change) -> Result<Outcome, Error> {
        let queued = Arc::new(Queued::new(change));
        let guard = match self.thread.get_or_init(|| start(&self.inner)) {
            None => self.inner.take(Some(queued.change.org()))?,
            Some(_) => match self.inner.turns.take_or_queue(&queued) {
                None => return queued.wait(),
                Some(turn) => Guard::new(turn, &self.inner.state),
            },
        };
        make_alone(guard, &queued.change)
    }

    /// The writing connection with a view of what is committed, while nobody writes: for a request
    /// that reads what it is about to change. `None` when others write.
    pub fn view_when_idle(&self) -> Option<IdleWriter<'_>> {
        let turn = self.inner.turns.take_if_idle()?;
        let mut guard = Guard::new(turn, &self.inner.state);
        guard.begin_view().then_some(IdleWriter { guard })
    }

    /// How many changes wait for their turn, and how many were refused for that.
    pub fn waiting_and_refused(&self) -> (usize, u64) {
        (self.inner.turns.waiting(), self.inner.turns.refused())
    }

    /// The connection without an open transaction, for what is no change, such as a checkpoint.
    ///
    /// # Errors
    /// None that waiting longer would not mend: it has the next turn.
    pub fn exclusive(&self) -> Result<ExclusiveConnection<'_>, Error> {
        let mut guard = self.inner.take(None)?;
        guard.commit_followers();
        guard.forget_credentials();
        Ok(ExclusiveConnection { guard })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inner.turns.end();
        if let Some(Some(thread)) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inner {
    fn take(&self, org: Option<OrgKey>) -> Result<Guard<'_>, Error> {
        let turn = self.turns.take(org.map(|it| it.0), TURN_WAIT_MAX);
        let turn = turn.map_err(|turns::Crowded| Error::TooManyChanges)?;
        Ok(Guard::new(turn, &self.state))
    }

    /// Makes what is queued, again and again, until no further change comes.
    fn make_queued(&self) {
        while let Some((turn, queued)) = self.turns.take_queued(QUEUED_CHANGES_MAX) {
            let guard = Guard::new(turn, &self.state);
            let made = catch_unwind(AssertUnwindSafe(|| make_together(guard, &queued)));
            if made.is_err() {
                log::error!("a change panicked; the message stands above");
            }
            // After a panic nothing was committed; a thread must not wait for ever.
            queued.iter().for_each(|it| it.end(Err(Error::Undone)));
        }
    }
}

fn start(inner: &Arc<Inner>) -> Option<JoinHandle<()>> {
    let inner = Arc::clone(inner);
    let named = thread::Builder::new().name("writer".to_owned()).stack_size(STACK_BYTES);
    let started = named.spawn(move || inner.make_queued());
    started.map_err(|it| log::warn!("changes are not queued, for want of a thread: {it}")).ok()
}

/// Makes one change in its own thread.
fn make_alone(mut guard: Guard, change: &Change) -> Made {
    guard.begin()?;
    let outcome = made(&mut guard, change);
    finished(guard, outcome)
}

/// Returns when what was made is on disk.
fn finished(guard: Guard, outcome: Made) -> Made {
    match guard.finish() {
        Role::Leader(committed) => committed?,
        Role::Follower(batch) => batch.wait()?,
    }
    outcome
}

/// Makes several changes in one transaction, and tells each thread what became of its own.
///
/// No change has a savepoint of its own: what is refused has written nothing. When one fails after
/// it has written, all are undone and made again, each with a savepoint.
fn make_together(mut guard: Guard, queued: &[Arc<Queued>]) {
    let mut outcomes = match guard.begin() {
        Err(error) => queued.iter().map(|_| Err(error.for_follower())).collect(),
        Ok(()) => made_in_one(&mut guard, queued).unwrap_or_else(|| made_apart(&mut guard, queued)),
    };
    if let Err(error) = guard.commit() {
        for outcome in outcomes.iter_mut().filter(|it| it.is_ok()) {
            *outcome = Err(error.for_follower());
        }
    }
    drop(guard);
    queued.iter().zip(outcomes).for_each(|(it, outcome)| it.end(outcome));
}

/// What became of each change; `None` when all were undone, because one failed.
fn made_in_one(guard: &mut Guard, queued: &[Arc<Queued>]) -> Option<Vec<Made>> {
    let made = queued.iter().map(|it| it.change.make(&guard.write(it.change.now)));
    let made: Result<Vec<Outcome>, Error> = made.collect();
    if let Ok(outcomes) = made
        && guard.join_batch(queued.len()).is_ok()
    {
        return Some(outcomes.into_iter().map(Ok).collect());
    }
    guard.undo();
    None
}

fn made_apart(guard: &mut Guard, queued: &[Arc<Queued>]) -> Vec<Made> {
    queued.iter().map(|it| guard.begin().and_then(|()| made(guard, &it.change))).collect()
}

/// Makes one change within what was begun for it, and adds it to the batch if it has written.
fn made(guard: &mut Guard, change: &Change) -> Made {
    let outcome = change.make(&guard.write(change.now));
    match outcome {
        Ok(Outcome::Made(_)) => guard.join_batch(1)?,
        _ => guard.undo(),
    }
    outcome
}

/// The writing connection with a view of what is committed; other threads wait until it is dropped.
pub struct IdleWriter<'a> {
    guard: Guard<'a>,
}

impl IdleWriter<'_> {
    /// The view.
    pub fn view(&self) -> Read<'_> {
        self.guard.view()
    }

    /// What a request with this token needs to know of it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn credential(&mut self, token: &str) -> Result<Option<Arc<Credential>>, Error> {
        self.guard.credential(token)
    }

    /// Makes a change that was judged by the view, in the same transaction, and returns when it is
    /// on disk, or is undone.
    ///
    /// # Errors
    /// Failures of the store: then nothing of it is there.
    pub fn apply(self, change: &Change) -> Result<Outcome, Error> {
        let mut guard = self.guard;
        if !guard.begin_writing() {
            guard.undo();
            return make_alone(guard, change);
        }
        match made(&mut guard, change) {
            // Another process writes, or has written since the view was opened. What the change is
            // judged by stands in it, so that it is made on a newer view, or turns out outdated.
            Err(Error::Busy) => {
                guard.undo();
                make_alone(guard, change)
            }
            outcome => finished(guard, outcome),
        }
    }
}

/// The writing connection without an open transaction; other threads wait until it is dropped.
pub struct ExclusiveConnection<'a> {
    guard: Guard<'a>,
}

impl Deref for ExclusiveConnection<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.guard.connection()
    }
}

impl DerefMut for ExclusiveConnection<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.guard.connection_mut()
    }
}

#[cfg(test)]
mod tests;
