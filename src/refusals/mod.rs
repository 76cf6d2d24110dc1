//! Refused requests, kept for whoever asks afterwards. A request pays for a place in a queue; a
//! thread of its own writes what is there about once a second.

pub mod lines;
pub mod queue;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::refusals::lines::Lines;
use crate::refusals::queue::{Pending, Queue};
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::refusal::Refusal;

/// How long refusals gather before they are written: what a server that is killed loses of them.
const GATHER_TIME: Duration = Duration::from_millis(800);
/// The same while the disk fails.
const RETRY_TIME: Duration = Duration::from_secs(10);
/// How often sums are looked for while nothing else happens.
const SUM_TIME: Duration = Duration::from_secs(60);
/// How many rows one transaction writes, so that changes get their turn in between.
const ROWS_AT_ONCE: usize = 256;
/// How many requests of no organisation are kept, in memory alone.
const STRANGERS_MAX: usize = 100;

/// The queue that requests add to, and its one writer.
#[derive(Default)]
pub struct Refusals {
    state: Mutex<State>,
    /// Notified when there is something to write.
    told: Condvar,
}

#[derive(Default)]
struct State {
    queue: Queue,
    lines: Lines,
    strangers: VecDeque<Stranger>,
    /// Whether the last write failed.
    failing: bool,
    ended: bool,
}

/// A refused request of no organisation: its token is none, or none that is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// When.
    pub time: Timestamp,
    /// The client's address.
    pub client: Option<String>,
    /// The id of the request.
    pub request: String,
    /// The HTTP method.
    pub method: String,
    /// The path without a name or an id.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// What the client was told.
    pub detail: String,
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusals")
    }
}

impl Refusals {
    /// Notes a refused request of the organisation with this name. Never waits for the disk.
    pub fn note(&self, org: &str, refusal: Refusal) {
        let kind = format!(
            "{} {} of organisation {org}, token {}",
            reason(refusal.status, refusal.scim_type.as_deref()),
            asked(&refusal.method, &refusal.path),
            refusal.token,
        );
        let mut state = self.lock();
        let said = state.lines.note(&kind, refusal.last).then(|| refusal.clone());
        let was_empty = state.queue.is_empty();
        state.queue.add(refusal);
        drop(state);
        if was_empty {
            self.told.notify_one();
        }
        if let Some(said) = said {
            let client = said.client.as_deref().unwrap_or("-");
            log::info!(
                organisation = org,
                token = said.token,
                client = client,
                method = said.method,
                path = said.path,
                status = said.status,
                scim_type = said.scim_type.as_deref().unwrap_or_default();
                "refused: {kind}, client {client}"
            );
        }
    }

    /// Notes a refused request of no organisation.
    pub fn note_stranger(&self, stranger: Stranger) {
        let asked = asked(&stranger.method, &stranger.path);
        let kind = format!("{} {asked} without a valid token", reason(stranger.status, None));
        let mut state = self.lock();
        let said = state.lines.note(&kind, stranger.time).then(|| stranger.clone());
        state.strangers.truncate(STRANGERS_MAX - 1);
        state.strangers.push_front(stranger);
        drop(state);
        if let Some(said) = said {
            self.told.notify_one();
            let client = said.client.as_deref().unwrap_or("-");
            log::info!(
                client = client,
                method = said.method,
                path = said.path,
                status = said.status;
                "refused: {kind}, client {client}"
            );
        }
    }

    /// The last refused requests of no organisation, the newest first.
    #[must_use]
    pub fn strangers(&self) -> Vec<Stranger> {
        self.lock().strangers.iter().cloned().collect()
    }

    /// Waits until there is something to write or to say, for the one thread that does it; `false`
    /// at the end of service.
    #[must_use]
    pub fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.ended {
                return false;
            }
            if !state.queue.is_empty() {
                let pause = if state.failing { RETRY_TIME } else { GATHER_TIME };
                let gathered = self.told.wait_timeout_while(state, pause, |it| !it.ended);
                drop(gathered.unwrap_or_else(PoisonError::into_inner));
                return true;
            }
            if state.lines.is_empty() {
                state = self.told.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let idle = |it: &mut State| !it.ended && it.queue.is_empty();
            let waited = self.told.wait_timeout_while(state, SUM_TIME, idle);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return true;
            }
            state = woken;
        }
    }

    /// Writes what is there, and says the sums that are due.
    pub fn write(&self, store: &Store, now: Timestamp) {
        let mut state = self.lock();
        let sums = {
            let all = state.ended;
            state.lines.due(now, all)
        };
        let mut batch = state.queue.take();
        drop(state);
        for sum in sums {
            log::info!("{sum}");
        }
        while !batch.is_empty() {
            let rest = batch.split_off(batch.len().min(ROWS_AT_ONCE));
            match written(store, now, &batch) {
                Ok(seqs) => {
                    let mut state = self.lock();
                    state.failing = false;
                    for (it, seq) in batch.iter().zip(seqs) {
                        // None of an organisation that was erased meanwhile.
                        seq.into_iter().for_each(|seq| state.queue.written(it, seq));
                    }
                }
                Err(error) => {
                    let mut state = self.lock();
                    if !state.failing {
                        log::warn!("refused requests cannot be kept for now: {error}");
                    }
                    state.failing = true;
                    batch.extend(rest);
                    state.queue.give_back(batch);
                    return;
                }
            }
            batch = rest;
        }
    }

    /// Lets the thread that writes end; for the end of service.
    pub fn end(&self) {
        self.lock().ended = true;
        self.told.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes rows in one transaction; returns their numbers.
fn written(store: &Store, now: Timestamp, batch: &[Pending]) -> Result<Vec<Option<i64>>, Error> {
    store.write(now, |tx| {
        let mut orgs: Vec<OrgKey> = Vec::new();
        let seqs = batch.iter().map(|it| {
            let again = it.row.map(|seq| tx.repeat_refusal(seq, &it.refusal)).transpose()?;
            match again.flatten() {
                Some(seq) => Ok(Some(seq)),
                // There is none yet, or it was erased with a person.
                None => {
                    orgs.push(it.refusal.org);
                    tx.add_refusal(&it.refusal)
                }
            }
        });
        let seqs = seqs.collect::<Result<_, Error>>()?;
        orgs.sort();
        orgs.dedup();
        orgs.iter().try_for_each(|org| tx.bound_refusals(*org))?;
        Ok(seqs)
    })
}

/// A status with its keyword.
fn reason(status: u16, scim_type: Option<&str>) -> String {
    scim_type.map_or_else(|| status.to_string(), |it| format!("{status} {it}"))
}

fn asked(method: &str, path: &str) -> String {
    format!("{method} {path}")
}
