//! The write-ahead log is folded into the file half a second after the last change, and at
//! shutdown: a copy of an idle file is whole.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::connection::beside;
use crate::store::error::Error;
use crate::store::{Store, lock};

/// How long the file must have been left alone.
const IDLE: Duration = Duration::from_millis(500);
/// How often an idle store looks for what another process has left in the log: a command that could
/// not wait for a reader, or a server that was killed.
const LOOK: Duration = Duration::from_secs(2);
/// How long a checkpoint waits for readers before it is tried again later.
const READERS_WAIT: Duration = Duration::from_millis(200);

/// When the last change was made, and whether it has been folded in.
#[derive(Default)]
pub struct WriteClock {
    last: Mutex<Option<Instant>>,
    touched: Condvar,
}

impl WriteClock {
    /// Notes that a change has just been committed.
    pub fn touch(&self) {
        // Who waits out the time since an earlier change looks again by himself.
        if lock(&self.last).replace(Instant::now()).is_none() {
            self.touched.notify_one();
        }
    }
}

impl Store {
    /// Folds the write-ahead log into the file and cuts it to nothing. Returns whether it could be
    /// done now: a long read may still need the log, and where another program checkpoints it is
    /// left to that one.
    ///
    /// # Errors
    /// Any failure of the disk.
    pub fn checkpoint(&self) -> Result<bool, Error> {
        if self.external_checkpoint {
            return Ok(false);
        }
        checkpoint(&self.writer.alone(), READERS_WAIT)
    }

    /// Starts the thread that checkpoints an idle file. It ends when the returned value is dropped,
    /// after a last checkpoint.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn keep_checkpointed(self: &Arc<Store>) -> Result<Checkpointer, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (store, stopped) = (Arc::clone(self), Arc::clone(&stop));
        // The process before may have been killed, and have left its log behind.
        self.written.touch();
        let named = thread::Builder::new().name("checkpoint".to_owned());
        let thread = named.spawn(move || store.checkpoint_when_idle(&stopped));
        let thread = thread.map_err(|it| Error::Io(self.path().to_owned(), it))?;
        Ok(Checkpointer { store: Arc::clone(self), stop, thread: Some(thread) })
    }

    fn checkpoint_when_idle(&self, stop: &AtomicBool) {
        let mut last = lock(&self.written.last);
        while !stop.load(Ordering::Acquire) {
            let Some(at) = *last else {
                let woken = self.written.touched.wait_timeout(last, LOOK);
                last = woken.unwrap_or_else(PoisonError::into_inner).0;
                if last.is_none() && self.log_has_bytes() {
                    *last = Some(Instant::now());
                }
                continue;
            };
            let idle = at.elapsed();
            if idle < IDLE {
                let woken = self.written.touched.wait_timeout(last, IDLE - idle);
                last = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            *last = None;
            drop(last);
            let done = self.checkpoint().unwrap_or_else(|error| {
                log::warn!("checkpoint of {} failed: {error}", self.path().display());
                false
            });
            last = lock(&self.written.last);
            if !done && last.is_none() {
                *last = Some(Instant::now());
            }
        }
    }

    fn log_has_bytes(&self) -> bool {
        fs::metadata(beside(self.path(), "-wal")).is_ok_and(|it| it.len() > 0)
    }
}

/// Keeps the checkpoint thread running; dropping it ends the thread and checkpoints once more.
pub struct Checkpointer {
    store: Arc<Store>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        {
            // Under the lock, so that the thread cannot miss it between its look and its wait.
            let _last = lock(&self.store.written.last);
            self.stop.store(true, Ordering::Release);
        }
        self.store.written.touched.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Err(error) = self.store.checkpoint() {
            log::warn!("checkpoint of {} failed: {error}", self.store.path().display());
        }
    }
}

fn checkpoint(connection: &Connection, wait: Duration) -> Result<bool, Error> {
    let before: i64 = connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
    connection.busy_timeout(wait)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    let busy: rusqlite::Result<i64> = busy;
    connection.busy_timeout(Duration::from_millis(u64::try_from(before).unwrap_or(0)))?;
    match busy.map_err(Error::from) {
        Ok(busy) => Ok(busy == 0),
        Err(Error::Busy) => Ok(false),
        Err(error) => Err(error),
    }
}
