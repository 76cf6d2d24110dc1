//! The sign of life that systemd waits for: given only while the server really answers.
//!
//! The server asks itself as any client does, and waits for a turn of the writer. Overload is no
//! death: where its own question finds no room, it is enough that somebody was answered. Nor is a
//! host whose firewall lets nobody ask: the question counts once it was answered for the first
//! time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::cli::healthcheck;
use crate::cli::serve::notify::Supervisor;
use crate::cli::serve::periodic::Periodic;
use crate::metrics::Metrics;
use crate::store::Store;

/// How often the server is looked at within the time that the watchdog has patience for.
const LOOKS: u32 = 4;

/// What is looked at.
struct Life {
    supervisor: Arc<Supervisor>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    url: String,
    /// How long an answer is waited for.
    patience: Duration,
    /// Whether the server has ever answered itself.
    has_answered: AtomicBool,
    /// How many requests were answered until the last look.
    answered: AtomicU64,
}

/// Gives signs of life until the handle is dropped; no handle where nobody waits for any. `url`:
/// where the server reaches itself.
///
/// # Errors
/// When no thread can be started.
pub fn start(
    supervisor: &Arc<Supervisor>,
    store: &Arc<Store>,
    metrics: &Arc<Metrics>,
    url: &str,
) -> io::Result<Option<Periodic>> {
    let Some(patience) = supervisor.watchdog() else { return Ok(None) };
    let pause = patience / LOOKS;
    let life = Life {
        supervisor: Arc::clone(supervisor),
        store: Arc::clone(store),
        metrics: Arc::clone(metrics),
        url: format!("{url}{}", healthcheck::PATH),
        patience: pause,
        has_answered: AtomicBool::new(false),
        answered: AtomicU64::new(metrics.answered()),
    };
    let work = move || {
        life.look();
        pause
    };
    Periodic::start("watchdog", || Duration::ZERO, work).map(Some)
}

impl Life {
    fn look(&self) {
        if !self.answers() {
            return;
        }
        // Without a turn it waits here, and no sign is given.
        self.store.wait_for_turn();
        self.supervisor.alive();
    }

    fn answers(&self) -> bool {
        let silence = match healthcheck::ask(&self.url, self.patience) {
            Err(it) if it.silent => it.words,
            // That it is not ready is an answer: to be started anew mends no disk.
            _ => {
                self.has_answered.store(true, Ordering::Relaxed);
                self.answered.store(self.metrics.answered(), Ordering::Relaxed);
                return true;
            }
        };
        let now = self.metrics.answered();
        if self.answered.swap(now, Ordering::Relaxed) != now {
            return true;
        }
        let counts = self.has_answered.load(Ordering::Relaxed);
        let consequence = if counts { "no sign of life is given" } else { "that does not count" };
        log::warn!("the server does not answer itself: {silence}; {consequence}");
        !counts
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::{env, fs, process};

    use super::*;
    use crate::store::open::Open;

    /// A server that answers itself, then does not, and then somebody else only.
    #[test]
    fn a_server_lives_as_long_as_it_answers_somebody() {
        let file = env::temp_dir().join(format!("plumm-watchdog-{}", process::id()));
        let _ = fs::remove_file(&file);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let life = Life {
            supervisor: Arc::default(),
            store: Arc::new(Store::open(&file, Open::Create).unwrap()),
            metrics: Arc::new(Metrics::new(0, &["one".to_owned()], &[])),
            url: format!("http://{}/readyz", listener.local_addr().unwrap()),
            patience: Duration::from_millis(300),
            has_answered: AtomicBool::new(false),
            answered: AtomicU64::new(0),
        };
        assert!(life.answers(), "a firewall is no death");
        // The question of before was never read, and stands in the queue.
        let answering = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut connection, _) = listener.accept().unwrap();
                let _ = connection.read(&mut [0; 1024]);
                let _ = connection.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
            }
            listener
        });
        assert!(life.answers(), "not ready, and alive");
        let listener = answering.join().unwrap();
        assert!(!life.answers());
        life.metrics.count_request("GET", 0, 200, Duration::ZERO);
        assert!(life.answers(), "somebody else was answered");
        assert!(!life.answers());
        drop(listener);
        assert!(!life.answers());
        life.look();
        drop(life);
        let _ = fs::remove_file(&file);
    }
}
