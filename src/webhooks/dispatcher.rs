//! The one thread that knows all endpoints: it reads events, hands them to the senders, and writes
//! how far each endpoint has been told.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::id;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::metrics::events::Way;
use crate::metrics::webhooks::Lag;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::webhook::Webhook;
use crate::webhooks::batch::Batches;
use crate::webhooks::client::{Client, Trust};
use crate::webhooks::endpoint::Endpoint;
use crate::webhooks::queue::{self, Busy, PLACE_TIME_MAX, Ready};
use crate::webhooks::sender::{Job, Report, Shared};

/// How often the file is looked at for what commands have changed of endpoints, and for what other
/// processes have committed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long several commits are waited for before the record is read.
const GATHER: Duration = Duration::from_millis(10);
/// How long what was delivered may wait to be written: a server that is killed delivers so much
/// again.
const WRITE_INTERVAL: Duration = Duration::from_millis(200);
/// How often it is measured how far endpoints are behind.
const LAG_INTERVAL: Duration = Duration::from_secs(5);
/// No more lines behind an endpoint are counted.
const LAG_MAX: u32 = 10_000;
/// How long attempts are kept, in seconds: 30 days.
const DELIVERY_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;
/// How often older ones are removed.
const TRIM_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How long requests under way are waited for at the end.
const END_MAX: Duration = Duration::from_secs(2);

/// The thread's state.
pub struct Dispatcher {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    /// By their ids.
    endpoints: HashMap<String, Endpoint>,
    /// Rows that nothing can be done with, by id and revision: said once.
    broken: HashMap<String, i64>,
    /// The endpoints to which a request is under way. One that a command changes meanwhile waits
    /// for its end too, so that no event overtakes another.
    under_way: HashMap<String, UnderWay>,
    clients: HashMap<Trust, Arc<Client>>,
    batches: Batches,
    turns: u64,
    looked: Option<Instant>,
    written: Option<Instant>,
    measured: Option<Instant>,
    trimmed: Option<Instant>,
    /// Whether the last look at the file has failed: said once.
    failing: bool,
}

/// Requests that are sent to an endpoint one after the other.
struct UnderWay {
    /// Whether the endpoint was suspect when they began.
    suspect: bool,
    /// When the last one that is known of began.
    since: Instant,
}

impl Dispatcher {
    /// A dispatcher that has not looked at the file yet.
    pub fn new(
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        memory: Memory,
        shared: Arc<Shared>,
    ) -> Dispatcher {
        Dispatcher {
            store,
            metrics,
            shared,
            endpoints: HashMap::new(),
            broken: HashMap::new(),
            under_way: HashMap::new(),
            clients: HashMap::new(),
            batches: Batches::new(memory),
            turns: 0,
            looked: None,
            written: None,
            measured: None,
            trimmed: None,
            failing: false,
        }
    }

    /// Delivers until the end.
    pub fn run(&mut self) {
        let store = Arc::clone(&self.store);
        while !self.shared.is_stopped() {
            self.note_failure(Dispatcher::turn);
            if self.endpoints.is_empty() {
                self.shared.wait_for_stop(LOOK_INTERVAL);
                continue;
            }
            // Whoever has endpoints pays for being watched.
            let mut watch = store.watch();
            let mut pause = Duration::ZERO;
            while !self.shared.is_stopped() && !self.endpoints.is_empty() {
                watch.wait(pause);
                thread::sleep(GATHER);
                self.note_failure(Dispatcher::turn);
                pause = self.pause();
            }
        }
        self.end();
    }

    /// Waits for requests under way, and writes what they came to.
    fn end(&mut self) {
        let began = Instant::now();
        while !self.under_way.is_empty() && began.elapsed() < END_MAX {
            thread::sleep(GATHER);
            self.take_reports();
        }
        self.note_failure(Dispatcher::write);
    }

    fn note_failure(&mut self, work: impl FnOnce(&mut Dispatcher) -> Result<(), Error>) {
        let done = work(self);
        if let Err(error) = &done
            && !self.failing
        {
            log::warn!("webhooks wait until the database can be used again: {error}");
        }
        self.failing = done.is_err();
    }

    /// How long nothing may happen that is not waited for.
    fn pause(&self) -> Duration {
        let waits = self.endpoints.values().any(|it| it.changed);
        match (self.failing, waits) {
            (true, _) | (_, false) => LOOK_INTERVAL,
            (_, true) => WRITE_INTERVAL,
        }
    }

    /// Does whatever is due.
    fn turn(&mut self) -> Result<(), Error> {
        self.take_reports();
        if is_due(&mut self.looked, LOOK_INTERVAL) {
            self.read_endpoints()?;
        }
        if is_due(&mut self.written, WRITE_INTERVAL) || self.failing {
            self.write()?;
        }
        self.send()?;
        if is_due(&mut self.measured, LAG_INTERVAL) {
            self.measure()?;
        }
        if !self.endpoints.is_empty() && is_due(&mut self.trimmed, TRIM_INTERVAL) {
            let now = self.shared.now();
            let oldest = now.plus_seconds(-DELIVERY_SECONDS_MAX);
            self.store.write(now, |tx| tx.trim_deliveries(oldest))?;
        }
        Ok(())
    }

    /// Reads endpoints that are new, that a command has changed or that are gone.
    fn read_endpoints(&mut self) -> Result<(), Error> {
        let revisions: HashMap<String, i64> =
            self.store.read(|tx| tx.webhook_revisions())?.into_iter().collect();
        let known = |it: &Endpoint| revisions.get(&it.webhook.id) == Some(&it.webhook.revision);
        // What was done for one that has changed is still to be written.
        if self.endpoints.values().any(|it| !known(it)) {
            self.write()?;
        }
        self.endpoints.retain(|_, it| known(it));
        self.broken.retain(|id, revision| revisions.get(id) == Some(revision));
        let new: Vec<&String> = revisions.keys().filter(|it| !self.is_known(it)).collect();
        for id in new {
            if let Some(webhook) = self.store.read(|tx| tx.webhook(id))? {
                self.take_up(webhook);
            }
        }
        let used: Vec<Trust> = self.endpoints.values().map(|it| Trust::of(&it.webhook)).collect();
        self.clients.retain(|trust, _| used.contains(trust));
        Ok(())
    }

    fn is_known(&self, id: &str) -> bool {
        self.endpoints.contains_key(id) || self.broken.contains_key(id)
    }

    fn take_up(&mut self, webhook: Webhook) {
        let (id, revision) = (webhook.id.clone(), webhook.revision);
        let trust = Trust::of(&webhook);
        let made = match self.clients.get(&trust) {
            Some(it) => Ok(Arc::clone(it)),
            None => Client::new(&trust).map(Arc::new),
        };
        let endpoint = made.and_then(|client| {
            self.clients.insert(trust, Arc::clone(&client));
            Endpoint::new(webhook, client)
        });
        match endpoint {
            Ok(it) => {
                self.endpoints.insert(id, it);
            }
            Err(reason) => {
                log::error!(webhook = id.as_str(); "webhook {id} cannot be used: {reason}");
                self.broken.insert(id, revision);
            }
        }
    }

    fn take_reports(&mut self) {
        for report in self.shared.take_reports() {
            match report {
                Report::Sent { webhook, revision, item, time, ended, outcome } => {
                    if let Some(it) = self.under_way.get_mut(&*webhook) {
                        it.since = ended;
                    }
                    let counters = &self.metrics.webhooks;
                    match outcome.error {
                        None => {
                            counters.delivered.add();
                            self.metrics.events_told.add(Way::Webhook, &item.kind);
                        }
                        Some(_) => counters.failed.add(),
                    }
                    if let Some(it) = self.endpoints.get_mut(&*webhook)
                        && it.webhook.revision == revision
                    {
                        it.note(item, time, outcome, id::jitter());
                    }
                }
                Report::Ended { webhook, revision, end } => {
                    self.under_way.remove(&*webhook);
                    if let Some(it) = self.endpoints.get_mut(&*webhook)
                        && it.webhook.revision == revision
                        && let Some(end) = end
                    {
                        it.go_on(end);
                    }
                }
            }
        }
    }

    /// Hands events to the senders, for as many endpoints as there are places.
    fn send(&mut self) -> Result<(), Error> {
        let now = self.shared.now();
        let under_way = &self.under_way;
        let may_send = |it: &&Endpoint| it.may_send(now) && !under_way.contains_key(&it.webhook.id);
        let orgs = self.endpoints.values().filter(may_send).map(|it| it.webhook.org);
        self.batches.look(&self.store, orgs)?;
        let overdue = |it: &&UnderWay| it.since.elapsed() > PLACE_TIME_MAX;
        let overdue = under_way.values().filter(overdue).count();
        let suspects = under_way.values().filter(|it| it.suspect).count();
        let busy = Busy { young: under_way.len() - overdue, overdue, suspects };
        let ready = self.endpoints.values().filter(may_send);
        let ready = ready.filter(|it| self.batches.has_more(it.webhook.org, it.position()));
        let ready = ready.map(|it| Ready {
            endpoint: it.webhook.id.clone(),
            suspect: it.suspect,
            turn: it.turn,
        });
        for next in queue::next(ready.collect(), busy) {
            let Some(it) = self.endpoints.get_mut(&next.endpoint) else { continue };
            let (org, position) = (it.webhook.org, it.position());
            let wants = |kind: &str| it.wants(kind);
            // Where memory is short, it waits for that.
            let next = self.batches.next(&self.store, org, position, now, wants)?;
            let Some(batch) = next else { continue };
            if batch.items.is_empty() {
                it.go_on(batch.end);
                continue;
            }
            self.turns += 1;
            it.turn = self.turns;
            let begun = UnderWay { suspect: it.suspect, since: Instant::now() };
            self.under_way.insert(it.webhook.id.clone(), begun);
            self.shared.send(Job {
                webhook: Arc::clone(&it.id),
                revision: it.webhook.revision,
                url: it.webhook.url.clone(),
                client: Arc::clone(&it.client),
                keys: it.keys_at(now),
                items: batch.items,
                end: batch.end,
                memory: batch.memory,
            });
        }
        Ok(())
    }

    /// Writes how far endpoints have been told, and the attempts, in one change.
    fn write(&mut self) -> Result<(), Error> {
        let changed: Vec<&mut Endpoint> =
            self.endpoints.values_mut().filter(|it| it.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.store.write(self.shared.now(), |tx| {
            changed.iter().try_for_each(|it| {
                let Webhook { id, revision, progress, .. } = &it.webhook;
                tx.set_webhook_progress(id, *revision, progress)?;
                tx.add_deliveries(id, &it.deliveries)
            })
        })?;
        for it in changed {
            it.changed = false;
            it.deliveries.clear();
        }
        Ok(())
    }

    /// Tells the metrics how far endpoints are behind.
    fn measure(&mut self) -> Result<(), Error> {
        let now = self.shared.now();
        let mut lags = Vec::with_capacity(self.endpoints.len());
        let endpoints = &self.endpoints;
        self.store.read(|tx| {
            endpoints.values().try_for_each(|it| {
                let (org, after) = (it.webhook.org, it.position().after);
                let (lines, first) = tx.lines_left(org, after, LAG_MAX)?;
                let since = first.map_or(0, |at| now.nanoseconds() - at.nanoseconds());
                lags.push(Lag {
                    webhook: it.webhook.id.clone(),
                    changes: lines,
                    seconds: (since / 1_000_000_000).max(0),
                    disabled: it.webhook.progress.disabled.is_some(),
                });
                Ok::<_, Error>(())
            })
        })?;
        self.metrics.webhooks.set_lags(lags);
        Ok(())
    }
}

/// Whether something that is done again and again is to be done now.
fn is_due(last: &mut Option<Instant>, interval: Duration) -> bool {
    let due = last.is_none_or(|it| it.elapsed() >= interval);
    if due {
        *last = Some(Instant::now());
    }
    due
}
