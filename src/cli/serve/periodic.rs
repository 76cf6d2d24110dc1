//! A thread that does something again and again, until it is dropped.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The handle of the thread. Dropping it ends the thread, and waits for work that is under way.
pub struct Periodic {
    /// Closing it ends the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Periodic {
    /// Starts a thread of this name. `first` says how long it waits before the first time, and
    /// `work` each time how long before the next.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        name: &str,
        first: impl FnOnce() -> Duration + Send + 'static,
        work: impl Fn() -> Duration + Send + 'static,
    ) -> io::Result<Periodic> {
        let (end, ended) = mpsc::channel();
        let work = move || {
            let mut pause = first();
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = work();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Periodic { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
