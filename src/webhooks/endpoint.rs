//! An endpoint at work: how far it is, and what a delivery changes of that.

use std::sync::Arc;
use std::time::Duration;

use crate::events::webhook::{Algorithm, Key};
use crate::scim::datetime::Timestamp;
use crate::store::tables::webhook::{Delivery, Position, Progress, Webhook};
use crate::webhooks::batch::Item;
use crate::webhooks::client::{Client, Outcome};
use crate::webhooks::schedule::{ATTEMPTS_MAX, pause};

/// A receiver that takes longer for an event is slow.
const SLOW: Duration = Duration::from_secs(2);
/// The status by which a receiver says that it wants nothing more.
const GONE: u16 = 410;

/// What the dispatcher knows of an endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Its id, to be shared.
    pub id: Arc<str>,
    /// The row as it was read, with the progress as it is now.
    pub webhook: Webhook,
    /// Who sends.
    pub client: Arc<Client>,
    /// The keys that sign, and until when all of them do.
    keys: (Arc<Vec<Key>>, Option<Timestamp>),
    /// Whether its last request was slow or has failed.
    pub suspect: bool,
    /// When it had its last turn.
    pub turn: u64,
    /// Whether the progress is to be written.
    pub changed: bool,
    /// The attempts that are to be written.
    pub deliveries: Vec<Delivery>,
}

impl Endpoint {
    /// The endpoint of this row.
    ///
    /// # Errors
    /// What makes the row useless.
    pub fn new(webhook: Webhook, client: Arc<Client>) -> Result<Endpoint, String> {
        let keys = keys(&webhook).ok_or("its key is none")?;
        let until = webhook.former_key.as_ref().map(|(_, until)| *until);
        Ok(Endpoint {
            id: Arc::from(webhook.id.as_str()),
            suspect: webhook.progress.attempts > 0,
            keys: (Arc::new(keys), until),
            webhook,
            client,
            turn: 0,
            changed: false,
            deliveries: Vec::new(),
        })
    }

    /// The keys that sign at this time.
    pub fn keys_at(&mut self, now: Timestamp) -> Arc<Vec<Key>> {
        if self.keys.1.is_some_and(|until| until <= now) {
            self.webhook.former_key = None;
            if let Some(keys) = keys(&self.webhook) {
                self.keys = (Arc::new(keys), None);
            }
        }
        Arc::clone(&self.keys.0)
    }

    /// How far it is.
    pub fn position(&self) -> Position {
        self.webhook.progress.position
    }

    /// Whether something may be sent at this time.
    pub fn may_send(&self, now: Timestamp) -> bool {
        let progress = &self.webhook.progress;
        progress.disabled.is_none() && progress.next_attempt.is_none_or(|it| it <= now)
    }

    /// Whether it wants events of this type.
    pub fn wants(&self, kind: &str) -> bool {
        self.webhook.events.is_empty() || self.webhook.events.iter().any(|it| it == kind)
    }

    /// Goes on to a position without a delivery.
    pub fn go_on(&mut self, position: Position) {
        self.changed |= self.webhook.progress.position != position;
        self.webhook.progress.position = position;
    }

    /// Takes note of a request. `random` spreads the next attempts of many endpoints.
    pub fn note(&mut self, item: Item, time: Timestamp, outcome: Outcome, random: u32) {
        let progress = &mut self.webhook.progress;
        let attempt = progress.attempts + 1;
        self.suspect = outcome.error.is_some() || outcome.took > SLOW;
        match &outcome.error {
            None => {
                let position = item.then;
                *progress = Progress { position, ..Progress::default() };
            }
            Some(reason) => {
                progress.attempts = attempt;
                let again = match outcome.status {
                    Some(GONE) => None,
                    _ => pause(attempt, random, outcome.retry_after),
                };
                let ended = time.plus(outcome.took);
                progress.next_attempt = again.map(|it| ended.plus(it));
                if again.is_none() {
                    let reason = match outcome.status {
                        Some(GONE) => reason.clone(),
                        _ => format!("{} was tried {ATTEMPTS_MAX} times: {reason}", item.event),
                    };
                    log::error!(
                        webhook = &*self.id;
                        "webhook {} is disabled: {reason} (nothing is lost: `plumm webhook enable \
                         {}` goes on)",
                        self.id,
                        self.id
                    );
                    progress.disabled = Some(ended);
                    progress.reason = Some(reason);
                } else {
                    log::warn!(
                        webhook = &*self.id, event = &*item.event, attempt;
                        "webhook {}: {} was not delivered, attempt {attempt}: {reason}",
                        self.id,
                        item.event
                    );
                }
            }
        }
        self.changed = true;
        self.deliveries.push(delivery(item, attempt, time, outcome));
    }
}

/// A request as it is kept.
fn delivery(item: Item, attempt: u32, time: Timestamp, outcome: Outcome) -> Delivery {
    Delivery {
        number: 0,
        event: item.event,
        kind: item.kind,
        attempt,
        time,
        milliseconds: u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
        status: outcome.status,
        error: outcome.error,
        answer: outcome.answer,
        seen: item.seen,
    }
}

/// The keys of an endpoint, the newest first.
fn keys(webhook: &Webhook) -> Option<Vec<Key>> {
    let algorithm = Algorithm::from_word(&webhook.algorithm)?;
    let former = webhook.former_key.iter().map(|(key, _)| key);
    [&webhook.key].into_iter().chain(former).map(|it| Key::new(algorithm, it)).collect()
}

#[cfg(test)]
mod tests;
