//! The accept loop: each connection gets a slot and a thread, or is turned away.

use std::cell::Cell;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::server::connection::Service;
use crate::server::protocol;
use crate::server::slots::Slots;

/// The stack of a connection's thread. The default of 2 MiB would be a gigabyte for all of them.
const STACK_BYTES: usize = 256 * 1024;
/// How many clients at once are told to try again; further connections are closed without an
/// answer.
const TURNED_AWAY_MAX: usize = 32;
/// The pause after running out of file descriptors or threads, unless a slot becomes free before.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// How often a thread for a new connection is asked for.
const SPAWN_TRIES: usize = 3;
/// A warning is logged once in this time, not for each connection.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// What accepts the connections of a server.
pub struct Acceptor {
    service: Arc<Service>,
    slots: Arc<Slots>,
    /// Counts the clients that are being turned away by its clones, so that no way out of a thread
    /// can forget to count down.
    turned_away: Arc<()>,
    warned: Cell<Option<Instant>>,
}

impl Acceptor {
    /// An acceptor that has accepted nothing yet.
    pub fn new(service: Arc<Service>, slots: Arc<Slots>) -> Acceptor {
        Acceptor { service, slots, turned_away: Arc::new(()), warned: Cell::new(None) }
    }

    /// Accepts connections until service ends. An error costs the connection it is about, never
    /// the loop.
    pub fn run(&self, listener: &TcpListener) {
        let mut failed = false;
        loop {
            let accepted = listener.accept();
            if self.slots.is_stopping() {
                return;
            }
            match accepted {
                Ok((tcp, peer)) => {
                    failed = false;
                    self.service.app.metrics().connections_accepted.add();
                    self.slots.wait_for_grace();
                    self.receive(tcp, peer.ip().to_canonical());
                }
                // The client left between its connect and our accept.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.warn(&format!("a connection cannot be accepted: {error}"));
                    // Most likely descriptors ran out, and each connection holds one.
                    self.slots.evict_and_wait(EXHAUSTED_PAUSE, !failed);
                    failed = true;
                }
            }
        }
    }

    fn receive(&self, tcp: TcpStream, address: IpAddr) {
        // Without it, answers on a kept connection wait 40 ms for the client's delayed ACK. It
        // fails only when the client is gone.
        if tcp.set_nodelay(true).is_err() {
            return;
        }
        let tcp = Arc::new(tcp);
        let service = Arc::clone(&self.service);
        if let Some(slot) = self.slots.admit(address, &tcp) {
            let slot = Arc::new(slot);
            return self.spawn(|| {
                let (service, slot, tcp) = (Arc::clone(&service), Arc::clone(&slot), tcp.clone());
                move || protocol::serve(&service, &slot, tcp, address)
            });
        }
        self.service.app.metrics().connections_turned_away.add();
        if Arc::strong_count(&self.turned_away) <= TURNED_AWAY_MAX {
            let counted = Arc::clone(&self.turned_away);
            let started = start_thread(move || {
                let _counted = counted;
                protocol::turn_away(&service, tcp, address);
            });
            if let Err(error) = started {
                self.warn(&format!("no thread to turn a connection away: {error}"));
            }
        }
    }

    /// Does this work on a thread of its own. Each connection holds a thread, so where there is no
    /// further one, connections are evicted; if that does not help, the new one is lost with its
    /// work, and that is all it costs.
    fn spawn<W: FnOnce() + Send + 'static>(&self, work: impl Fn() -> W) {
        for attempt in 0..SPAWN_TRIES {
            let Err(error) = start_thread(work()) else {
                return;
            };
            self.warn(&format!("no thread for a new connection: {error}"));
            self.slots.evict_and_wait(EXHAUSTED_PAUSE, attempt == 0);
        }
    }

    /// Logs a warning, unless one was logged a moment ago.
    fn warn(&self, warning: &str) {
        if self.warned.get().is_none_or(|it| it.elapsed() > WARNING_PAUSE) {
            log::warn!("{warning}");
            self.warned.set(Some(Instant::now()));
        }
    }
}

fn start_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(work).map(drop)
}
