//! The thread that checkpoints the file half a second after the last change, and at shutdown, so
//! that a copy of an idle file is whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::store::Store;
use crate::store::checkpoint::log_has_bytes;
use crate::store::error::Error;
use crate::store::mutex::lock;

/// How long after the last change the file counts as idle.
const IDLE: Duration = Duration::from_millis(500);
/// How often an idle store checks whether another process has left something in the log: a command
/// that could not wait for a reader, or a server that was killed.
const LOG_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Keeps the checkpoint thread running; dropping it ends the thread and checkpoints once more.
pub struct Checkpointer {
    store: Arc<Store>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Starts the thread that checkpoints an idle file. It ends when the returned value is dropped,
    /// after a last checkpoint.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn keep_checkpointed(self: &Arc<Store>) -> Result<Checkpointer, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (store, stopped) = (Arc::clone(self), Arc::clone(&stop));
        // The process before this one may have been killed, and its log may still be there.
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
                let woken = self.written.touched.wait_timeout(last, LOG_CHECK_INTERVAL);
                last = woken.unwrap_or_else(PoisonError::into_inner).0;
                if last.is_none() && log_has_bytes(self.path()) {
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
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        {
            // The lock is held meanwhile: the thread would miss the stop if it came between the
            // check of `stop` and the wait.
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
