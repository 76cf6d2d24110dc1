//! The one database file: opening it, reading it, writing it. Only this folder knows SQLite.

pub mod checkpoint;
pub mod commits;
pub mod connection;
pub mod copies;
mod credentials;
pub mod database_file;
pub mod disk;
pub mod error;
pub mod idle;
pub mod migrate;
mod mutex;
pub mod open;
pub mod open_read;
pub mod paths;
pub mod query;
pub mod readers;
pub mod scratch;
pub mod serve_lock;
pub mod tables;
pub mod transaction;
pub mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::scim::datetime::Timestamp;
use crate::store::checkpoint::{WriteClock, checkpoint, fold_before_replication};
use crate::store::commits::{Commits, Waker, Watch};
use crate::store::database_file::DatabaseFile;
use crate::store::error::Error;
use crate::store::open::{Open, prepare_file};
use crate::store::open_read::{Need, OpenRead};
use crate::store::query::long_reads::{LONG_READ_MAX, LongReads, WAIT_MAX};
use crate::store::readers::Readers;
use crate::store::serve_lock::ServeLock;
use crate::store::tables::change::{Change, Outcome};
use crate::store::tables::org::OrgKey;
use crate::store::transaction::{Read, Write};
use crate::store::writer::{ExclusiveConnection, Writer};

/// The database of this program. Safe to share between threads.
pub struct Store {
    path: PathBuf,
    /// Closed before the writer: when the last connection closes and may write, SQLite folds the
    /// log into the file and removes its own files.
    readers: Readers,
    long_reads: LongReads,
    writer: Writer,
    written: WriteClock,
    commits: Arc<Commits>,
    /// Whether another program makes the checkpoints.
    external_checkpoint: bool,
    /// Held for as long as the store is open, so that it outlives the connections.
    serve_lock: Option<ServeLock>,
    /// The last field: to close any handle of the file ends the locks of SQLite.
    _file: DatabaseFile,
}

impl Store {
    /// Opens the file, brings it to the newest schema, and checks that SQLite does what this
    /// program relies on.
    ///
    /// # Errors
    /// Each kind of [`Error`] that says why a file cannot be used; nothing has been changed then.
    pub fn open(path: &Path, open: Open) -> Result<Store, Error> {
        let (file, serve_lock) = prepare_file(path, open)?;
        let external_checkpoint = match open {
            Open::Serve => false,
            Open::ServeReplicated => true,
            Open::Create | Open::Existing | Open::ReadOnly => {
                serve_lock::is_checkpointed_externally(path)
            }
        };
        let writer = if open == Open::ReadOnly {
            connection::open_read_only(path, external_checkpoint)?
        } else {
            let mut writer = connection::open_writer(path, external_checkpoint)?;
            // A server of an older plumm may be running, which knows nothing of newer tables.
            if serve_lock.is_none() && serve_lock::is_served(path) {
                migrate::require_newest(&writer, path)?;
            }
            if open == Open::ServeReplicated {
                let follows_killed = serve_lock.as_ref().is_some_and(ServeLock::follows_killed);
                fold_before_replication(&mut writer, path, follows_killed);
            }
            migrate::migrate(&mut writer, path)?;
            connection::require_writable(&writer, path)?;
            writer
        };
        // A restore has put another file in place, of which this store has no handle.
        if !file.is_at(path) {
            return Err(Error::Busy);
        }
        Ok(Store {
            path: path.to_owned(),
            readers: Readers::new(path),
            long_reads: LongReads::default(),
            writer: Writer::new(writer),
            written: WriteClock::default(),
            commits: Arc::default(),
            external_checkpoint,
            serve_lock,
            _file: file,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Publishes what commands are to know of the server that runs on this file; does nothing in a
    /// store that no server has opened. Only the owner of the file can read it.
    ///
    /// # Errors
    /// Any failure of the disk.
    pub fn note_serving(&self, text: &str) -> Result<(), Error> {
        self.serve_lock.as_ref().map_or(Ok(()), |it| it.note(text))
    }

    /// Runs queries on one consistent view of the database. Never waits for a writer.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store itself.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Read) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.read(work)
    }

    /// Opens a view for the steps of one request, of which the first is the check of its token.
    /// Never waits for those that take a while.
    ///
    /// # Errors
    /// Failures of the store itself.
    pub fn open_read(&self, need: Need) -> Result<OpenRead<'_>, Error> {
        OpenRead::open(&self.readers, &self.writer, need)
    }

    /// Opens a view for what may take a while, such as a page or a group with its members: it never
    /// has all connections, so that tokens are checked and logins are answered meanwhile.
    ///
    /// # Errors
    /// Failures of the store itself.
    pub fn open_shared(&self) -> Result<OpenRead<'_>, Error> {
        OpenRead::open_shared(&self.readers)
    }

    /// The same for queries that may read very many resources: few of them run at once, so that
    /// connections stay free for all others, and each has a deadline.
    ///
    /// # Errors
    /// [`Error::Crowded`] when there are too many of them, [`Error::TooLong`] at the deadline, what
    /// the closure returns, and failures of the store itself.
    pub fn read_long<T, E: From<Error>>(
        &self,
        org: OrgKey,
        work: impl FnOnce(&Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let _permit = self.long_reads.acquire(org, WAIT_MAX)?;
        self.readers.read_within(LONG_READ_MAX, work)
    }

    /// How many changes wait for their turn, and how many were refused for that since the start.
    #[must_use]
    pub fn writes(&self) -> (usize, u64) {
        self.writer.waiting_and_refused()
    }

    /// How many reads of [`Store::read_long`] run, how many wait, and how many were refused.
    #[must_use]
    pub fn long_reads(&self) -> (usize, usize, u64) {
        self.long_reads.numbers()
    }

    /// Makes one change: all of it is on disk when this returns `Ok`, none of it otherwise.
    ///
    /// # Errors
    /// What the closure returns, and failures of the store itself.
    pub fn write<T, E: From<Error>>(
        &self,
        now: Timestamp,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_as(None, now, work)
    }

    /// The same for a change that an organisation asks for: its turn comes after those of others
    /// when many wait.
    ///
    /// # Errors
    /// As [`Store::write`], and [`Error::TooManyChanges`] when its turn does not come in time.
    pub fn write_for<T, E: From<Error>>(
        &self,
        org: OrgKey,
        now: Timestamp,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_as(Some(org), now, work)
    }

    fn write_as<T, E: From<Error>>(
        &self,
        org: Option<OrgKey>,
        now: Timestamp,
        work: impl FnOnce(&Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let answer = self.writer.write(org, now, work)?;
        self.note_commit();
        Ok(answer)
    }

    /// Notices from now on what this process commits. For few threads: where many would watch, one
    /// of them does it for all.
    pub fn watch(&self) -> Watch<'_> {
        self.commits.watch()
    }

    /// What wakes those who watch. It does not keep the file open.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.commits))
    }

    /// Removes lines of the record of changes and refused requests that are older than this, a
    /// bounded number at a time, so that writers get their turn. Where there are none, nothing is
    /// written.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn remove_old(&self, now: Timestamp, oldest: Timestamp) -> Result<(), Error> {
        while self.read(|tx| tx.log_has_before(oldest))?
            && self.write(now, |tx| tx.trim_log(oldest))?
        {}
        while self.read(|tx| tx.refusals_have_before(oldest))?
            && self.write(now, |tx| tx.trim_refusals(oldest))?
        {}
        Ok(())
    }

    /// Makes a change that is plain data, together with those of others: all of it is on disk when
    /// this returns that it was made, none of it otherwise. `judged_in`: the view that it was
    /// judged in, where that is still open.
    ///
    /// # Errors
    /// Failures of the store itself.
    pub fn apply(&self, change: Change, judged_in: Option<OpenRead>) -> Result<Outcome, Error> {
        let outcome = match judged_in.and_then(OpenRead::into_writer) {
            Some(writer) => writer.apply(&change)?,
            None => self.writer.apply(change)?,
        };
        self.note_commit();
        Ok(outcome)
    }

    fn note_commit(&self) {
        self.readers.note_commit();
        self.written.touch();
        self.commits.add();
    }

    /// The writing connection without an open transaction.
    ///
    /// # Errors
    /// As [`Writer::exclusive`].
    fn exclusive(&self) -> Result<ExclusiveConnection<'_>, Error> {
        let connection = self.writer.exclusive()?;
        self.written.touch();
        Ok(connection)
    }

    /// Returns when the writer had a turn for the caller, which shows that turns come and go.
    pub fn wait_for_turn(&self) {
        drop(self.writer.exclusive());
    }

    /// Folds the write-ahead log into the file and cuts it to nothing. Returns whether that could
    /// be done now: a long read may still need the log, and where another program makes the
    /// checkpoints this one makes none.
    ///
    /// # Errors
    /// Any failure of the disk.
    pub fn checkpoint(&self) -> Result<bool, Error> {
        if self.external_checkpoint {
            return Ok(false);
        }
        match self.writer.exclusive() {
            Ok(mut connection) => checkpoint(&mut connection),
            Err(_) => Ok(false),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.path.display())
    }
}
