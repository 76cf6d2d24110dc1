//! Deliveries of webhooks: started with the server, ended with it.
//!
//! One thread, the dispatcher, knows all endpoints and the file; a few others send and know
//! neither. An endpoint has at most one request under way, so that events come in their order.

pub mod address;
pub mod batch;
pub mod client;
mod dispatcher;
mod endpoint;
mod queue;
pub mod schedule;
mod sender;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::clock::Clock;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::commits::Waker;
use crate::webhooks::dispatcher::Dispatcher;
use crate::webhooks::sender::Shared;

/// The deliveries of a server. Dropping it ends them as [`Webhooks::stop`] does.
pub struct Webhooks {
    shared: Arc<Shared>,
    waker: Waker,
    dispatcher: Option<JoinHandle<()>>,
}

impl Webhooks {
    /// Begins to deliver. Events that are to be sent are kept within this memory.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(store: Arc<Store>, metrics: Arc<Metrics>, memory: Memory) -> io::Result<Webhooks> {
        let waker = store.waker();
        let shared = Arc::new(Shared::new(waker.clone(), Clock::System));
        let mut dispatcher = Dispatcher::new(store, metrics, memory, Arc::clone(&shared));
        let thread = thread::Builder::new().name("webhooks".to_owned());
        let dispatcher = Some(thread.spawn(move || dispatcher.run())?);
        Ok(Webhooks { shared, waker, dispatcher })
    }

    /// Begins no further request. Those under way go on.
    pub fn begin_stop(&self) {
        self.shared.stop();
        self.waker.wake();
    }

    /// Ends the deliveries: requests under way have a moment to be answered, and how far each
    /// endpoint has been told is written.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.dispatcher.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.end();
    }
}
