//! The transaction of the writing connection, and the changes that are committed together.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::scim::datetime::Timestamp;
use crate::store::credentials::Credentials;
use crate::store::error::Error;
use crate::store::mutex::lock;
use crate::store::tables::token::Credential;
use crate::store::transaction::{Read, Write, execute};
use crate::store::writer::queued::Queued;
use crate::store::writer::turns::Turn;

/// The most changes in one batch. It is more than the server handles requests at once, so that it
/// only bounds how much one commit writes.
const BATCH_CHANGES_MAX: usize = 256;
/// How old a batch grows before it is committed though others wait: its followers are not to wait
/// for one large change after the other. The threads of a unit test may be kept from running for
/// longer than that by other tests.
const BATCH_AGE_MAX: Duration = Duration::from_millis(if cfg!(test) { 10_000 } else { 20 });
/// A transaction that took longer than this has kept commands from writing ...
const LONG_HOLD: Duration = Duration::from_millis(50);
/// ... and so the next one begins no sooner than this after it: a command tries every millisecond
/// (`store/connection.rs`).
const GAP_AFTER_LONG_HOLD: Duration = Duration::from_millis(5);

/// The connection and its open transaction.
pub struct State {
    connection: Connection,
    /// The batch that is not committed yet. A transaction is open for as long as there is one.
    batch: Option<Arc<Batch>>,
    /// How many changes the batch has.
    changes: usize,
    /// When the transaction began that is open, or that ended last.
    began: Instant,
    /// When the last transaction ended, if it was a long one.
    long_until: Option<Instant>,
    /// The credentials that were read on the connection.
    credentials: Credentials,
}

impl State {
    pub fn new(connection: Connection) -> State {
        State {
            connection,
            batch: None,
            changes: 0,
            began: Instant::now(),
            long_until: None,
            credentials: Credentials::default(),
        }
    }
}

/// Changes that are committed together.
#[derive(Default)]
pub struct Batch {
    /// How the transaction ended, once it has.
    outcome: Mutex<Option<Result<(), Error>>>,
    ended: Condvar,
}

impl Batch {
    /// Waits until a leader has ended the transaction.
    pub fn wait(&self) -> Result<(), Error> {
        let outcome = lock(&self.outcome);
        let outcome = self.ended.wait_while(outcome, |it| it.is_none());
        outcome.unwrap_or_else(PoisonError::into_inner).as_ref().map_or(Ok(()), repeated)
    }
}

/// The same outcome for one more change of the batch.
fn repeated(outcome: &Result<(), Error>) -> Result<(), Error> {
    outcome.as_ref().copied().map_err(Error::for_follower)
}

/// The connection while one thread holds it.
pub struct Guard<'a> {
    /// Unlocked before the turn is given away, which comes after it here.
    state: MutexGuard<'a, State>,
    turn: Turn<'a, Arc<Queued>>,
    begun: Begun,
}

/// What this thread has begun in the database and not ended yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    /// A view, in which nothing is written yet.
    View,
    /// The transaction; its change is the first one of a batch.
    Transaction,
    /// A savepoint after the other changes of the batch.
    Savepoint,
}

/// What a thread is to its batch.
pub enum Role {
    /// It has ended the transaction, with this outcome for the whole batch.
    Leader(Result<(), Error>),
    /// A later thread will end the transaction.
    Follower(Arc<Batch>),
}

impl<'a> Guard<'a> {
    /// The connection for whoever has the turn.
    pub fn new(turn: Turn<'a, Arc<Queued>>, state: &'a Mutex<State>) -> Guard<'a> {
        Guard { state: lock(state), turn, begun: Begun::Nothing }
    }

    pub fn connection(&self) -> &Connection {
        &self.state.connection
    }

    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.state.connection
    }

    /// The open transaction, for a change at this time.
    pub fn write(&self, now: Timestamp) -> Write<'_> {
        Write { read: Read { connection: &self.state.connection }, now }
    }

    /// Begins a view of what is committed. Returns whether that was possible: nothing is open.
    pub fn begin_view(&mut self) -> bool {
        let begun = self.state.batch.is_none() && execute(&self.state.connection, "BEGIN").is_ok();
        self.begun = if begun { Begun::View } else { Begun::Nothing };
        begun
    }

    /// The view.
    pub fn view(&self) -> Read<'_> {
        Read { connection: &self.state.connection }
    }

    /// What a request with this token needs to know of it, in the view.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn credential(&mut self, token: &str) -> Result<Option<Arc<Credential>>, Error> {
        let State { connection, credentials, .. } = &mut *self.state;
        // Without the number of the last change, which is another one after each change.
        credentials.find(connection, 0, token, false)
    }

    /// Forgets the credentials that were read: what follows may change any table.
    pub fn forget_credentials(&mut self) {
        self.state.credentials.forget();
    }

    /// Lets the view become a transaction that writes. Returns whether it may: after a long one
    /// others come first.
    pub fn begin_writing(&mut self) -> bool {
        let may = self.begun == Begun::View && self.state.long_until.is_none();
        if may {
            self.state.began = Instant::now();
            self.begun = Begun::Transaction;
        }
        may
    }

    /// Begins a transaction, or a part of the one that is open.
    pub fn begin(&mut self) -> Result<(), Error> {
        match self.state.batch {
            None => {
                let since = self.state.long_until.take().map(|it| it.elapsed());
                if let Some(left) = since.and_then(|it| GAP_AFTER_LONG_HOLD.checked_sub(it)) {
                    thread::sleep(left);
                }
                execute(&self.state.connection, "BEGIN IMMEDIATE")?;
                self.state.began = Instant::now();
            }
            Some(_) => execute(&self.state.connection, "SAVEPOINT change")?,
        }
        self.begun = match self.state.batch {
            None => Begun::Transaction,
            Some(_) => Begun::Savepoint,
        };
        Ok(())
    }

    /// Adds what was begun to the batch, which are this many changes.
    pub fn join_batch(&mut self, changes: usize) -> Result<(), Error> {
        // SQLite has ended the whole transaction, and the change has ignored the error.
        if self.state.connection.is_autocommit() {
            return Err(Error::Undone);
        }
        if self.begun == Begun::Savepoint {
            execute(&self.state.connection, "RELEASE change")?;
        }
        self.begun = Begun::Nothing;
        self.state.batch.get_or_insert_default();
        self.state.changes += changes;
        Ok(())
    }

    /// Undoes what was begun, where there is anything.
    pub fn undo(&mut self) {
        let begun = mem::replace(&mut self.begun, Begun::Nothing);
        // SQLite itself ends the whole transaction after some errors, such as a full disk.
        if self.state.connection.is_autocommit() {
            let _ = self.end_batch(Err(Error::Undone));
            return;
        }
        let undone = match begun {
            Begun::Nothing => Ok(()),
            Begun::View => execute(&self.state.connection, "COMMIT"),
            Begun::Transaction => {
                self.note_end();
                execute(&self.state.connection, "ROLLBACK")
            }
            Begun::Savepoint => execute(&self.state.connection, "ROLLBACK TO change")
                .and_then(|()| execute(&self.state.connection, "RELEASE change")),
        };
        if let Err(error) = undone {
            // A change that cannot be undone alone must not be committed with the others.
            log::error!("a change could not be rolled back: {error}");
            let _ = self.roll_back(Error::Undone);
        }
    }

    /// Commits the batch as its leader, unless a waiting thread will.
    pub fn finish(mut self) -> Role {
        if self.state.batch.is_none() || !self.leaves_batch() {
            return Role::Leader(self.commit());
        }
        // The connection is still held here, so the batch is still the same.
        self.state.batch.clone().map_or(Role::Leader(Ok(())), Role::Follower)
    }

    /// Gives the turn to the next who waits, who ends the batch. Returns whether that was possible.
    fn leaves_batch(&mut self) -> bool {
        self.state.changes < BATCH_CHANGES_MAX
            && self.state.began.elapsed() < BATCH_AGE_MAX
            && self.turn.hand_over()
    }

    /// Commits the batch, and tells its followers.
    pub fn commit(&mut self) -> Result<(), Error> {
        if self.state.batch.is_none() {
            return Ok(());
        }
        match execute(&self.state.connection, "COMMIT") {
            Ok(()) => self.end_batch(Ok(())),
            Err(error) => self.roll_back(error),
        }
    }

    /// The same for a thread that has no change in the batch: only its followers need the outcome.
    pub fn commit_followers(&mut self) {
        let _ = self.commit();
    }

    fn roll_back(&mut self, reason: Error) -> Result<(), Error> {
        if !self.state.connection.is_autocommit()
            && let Err(error) = execute(&self.state.connection, "ROLLBACK")
        {
            log::error!("changes could not be rolled back: {error}");
        }
        if let Err(error) = self.overwrite_failed_commit() {
            log::error!("what was refused may come back if the program is killed now: {error}");
        }
        self.end_batch(Err(reason))
    }

    /// Makes sure that a refused batch stays refused. A commit whose last step failed has left its
    /// pages in the write-ahead log, whole and marked as committed; only this process knows that
    /// they are not. The next commit overwrites them, so this makes one that changes nothing.
    fn overwrite_failed_commit(&self) -> Result<(), Error> {
        let connection = &self.state.connection;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        // SQLite writes the page of the value although the value stays the same.
        let sql = format!("BEGIN IMMEDIATE; PRAGMA user_version = {version}; COMMIT");
        let overwritten = connection.execute_batch(&sql);
        if overwritten.is_err() && !connection.is_autocommit() {
            execute(connection, "ROLLBACK")?;
        }
        Ok(overwritten?)
    }

    /// Notes that the transaction ends.
    fn note_end(&mut self) {
        let now = Instant::now();
        let is_long = now.duration_since(self.state.began) > LONG_HOLD;
        self.state.long_until = is_long.then_some(now);
    }

    /// Gives the followers this outcome, and returns it for the leader.
    fn end_batch(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        self.state.changes = 0;
        if let Some(batch) = self.state.batch.take() {
            self.note_end();
            // A follower has its own handle, which it took while it held the connection. Without
            // one nobody waits, and waking nobody is a system call too.
            if Arc::strong_count(&batch) > 1 {
                *lock(&batch.outcome) = Some(repeated(&outcome));
                batch.ended.notify_all();
            }
        }
        outcome
    }
}

impl Drop for Guard<'_> {
    /// After a panic, or an error of the store, this undoes the change that is half done, and
    /// commits the batch of the followers unless a waiting thread will.
    fn drop(&mut self) {
        if !self.turn.is_held() {
            return;
        }
        self.undo();
        if self.state.batch.is_some() && !self.leaves_batch() {
            self.commit_followers();
        }
    }
}
