//! Endpoints of webhooks as people see them, and the lines of the record when they change one.

use serde_json::{Map, Value, json};

use crate::by_hand::{Deed, record};
use crate::events::webhook::{Algorithm, Key, TEST, body, signatures, test_event};
use crate::id;
use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::provisioning_log::{Actor, WEBHOOK};
use crate::store::tables::webhook::{Delivery, Webhook};
use crate::store::transaction::{Read, Write};
use crate::webhooks::address::origin;
use crate::webhooks::client::{Client, Message, Trust};

/// No more changes behind an endpoint are counted.
pub const BEHIND_MAX: u32 = 10_000;

/// An endpoint with what is known of it.
#[derive(Debug)]
pub struct Shown {
    /// The endpoint.
    pub webhook: Webhook,
    /// The name of its organisation.
    pub org: String,
    /// How many changes it has not been told, and when the first of them was made.
    pub behind: (u32, Option<Timestamp>),
    /// The number up to which changes are not kept any more.
    pub trimmed: i64,
    /// The last attempt.
    pub last: Option<Delivery>,
    now: Timestamp,
}

impl Shown {
    /// Reads what is known of an endpoint.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn read_in(tx: &Read, webhook: Webhook, now: Timestamp) -> Result<Shown, Error> {
        Ok(Shown {
            org: tx.org_by_key(webhook.org)?.name,
            behind: tx.lines_left(webhook.org, webhook.progress.position.after, BEHIND_MAX)?,
            trimmed: tx.trimmed(webhook.org)?,
            last: tx.deliveries(&webhook.id, 1)?.pop(),
            webhook,
            now,
        })
    }

    /// Its state in a word.
    #[must_use]
    pub fn state(&self) -> &'static str {
        let progress = &self.webhook.progress;
        match (progress.disabled, progress.attempts) {
            (Some(_), _) => "disabled",
            (None, 0) => "active",
            (None, _) => "retrying",
        }
    }

    fn has_missed(&self) -> bool {
        self.trimmed > self.webhook.progress.position.after
    }

    /// Says that changes are not kept any more which it has not been told, where that is so.
    #[must_use]
    pub fn missed_text(&self) -> String {
        if !self.has_missed() {
            return String::new();
        }
        format!(
            "\nThe changes behind number {} up to number {} are not kept any more: it is told so \
             with an event webhook.gap, and goes on behind them.",
            self.webhook.progress.position.after, self.trimmed
        )
    }

    /// The key that a receiver verifies with, where it may be shown.
    #[must_use]
    pub fn public_key(&self) -> Option<String> {
        let algorithm = Algorithm::from_word(&self.webhook.algorithm)?;
        let key = Key::new(algorithm, &self.webhook.key)?;
        matches!(key, Key::Ed25519(_)).then(|| key.for_receiver().to_string())
    }

    /// Until when the former key signs too, where it does.
    #[must_use]
    pub fn former_key_until(&self) -> Option<Timestamp> {
        let until = self.webhook.former_key.as_ref().map(|(_, until)| *until);
        until.filter(|it| *it > self.now)
    }

    /// The endpoint as JSON, without any secret.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let webhook = &self.webhook;
        let progress = &webhook.progress;
        let time = |it: Option<Timestamp>| it.map(|it| it.to_string());
        json!({
            "id": webhook.id,
            "org": self.org,
            "url": webhook.url,
            "events": (!webhook.events.is_empty()).then_some(&webhook.events),
            "algorithm": webhook.algorithm,
            "public_key": self.public_key(),
            "former_key_until": time(self.former_key_until()),
            "own_ca": webhook.ca.is_some(),
            "insecure_http": webhook.insecure,
            "created": webhook.created.to_string(),
            "state": self.state(),
            "after": progress.position.after,
            "behind": self.behind.0,
            "behind_since": time(self.behind.1),
            "missed": self.has_missed(),
            "attempts": progress.attempts,
            "next_attempt": time(progress.next_attempt),
            "disabled": time(progress.disabled),
            "reason": progress.reason,
            "last_delivery": self.last.as_ref().map(delivery_json),
        })
    }
}

/// An attempt as JSON.
#[must_use]
pub fn delivery_json(it: &Delivery) -> Value {
    json!({
        "number": it.number,
        "event": it.event,
        "type": it.kind,
        "attempt": it.attempt,
        "time": it.time.to_string(),
        "delivered": it.error.is_none(),
        "status": it.status,
        "milliseconds": it.milliseconds,
        "error": it.error,
        "answer": it.answer,
    })
}

/// A test event that was sent, and what came back.
#[derive(Debug)]
pub struct Tested {
    /// The attempt.
    pub delivery: Delivery,
    /// Where to.
    pub url: String,
    /// The header fields that a receiver verifies.
    pub headers: [(&'static str, String); 3],
    /// The body.
    pub body: String,
}

impl Tested {
    /// Sends a test event to an endpoint, now and once. Waits for the answer.
    ///
    /// # Errors
    /// What is wrong with the authorities of the endpoint.
    pub fn send(webhook: &Webhook, now: Timestamp) -> Result<Tested, String> {
        let of = |bytes: &[u8]| Key::new(Algorithm::from_word(&webhook.algorithm)?, bytes);
        let former = webhook.former_key.as_ref().filter(|(_, until)| *until > now);
        let former = former.map(|(it, _)| it);
        let keys: Vec<Key> =
            [&webhook.key].into_iter().chain(former).filter_map(|it| of(it)).collect();
        let client = Client::new(&Trust::of(webhook))?;
        let event = test_event(&id::test_event(), now, &webhook.id);
        let (event_id, body) = (event["id"].as_str().unwrap_or_default(), body(&event));
        let seconds = now.nanoseconds().div_euclid(1_000_000_000);
        let signatures = signatures(&keys, event_id, seconds, &body);
        let (url, signed) = (&webhook.url, &signatures);
        let message = Message { url, id: event_id, seconds, signatures: signed, body: &body };
        let outcome = client.send(&message, now);
        let delivery = Delivery {
            number: 0,
            event: event_id.to_owned(),
            kind: TEST.to_owned(),
            attempt: 1,
            time: now,
            milliseconds: u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
            status: outcome.status,
            error: outcome.error,
            answer: outcome.answer,
            seen: i64::MAX,
        };
        let headers = [
            ("webhook-id", event_id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signatures),
        ];
        Ok(Tested { delivery, url: webhook.url.clone(), headers, body })
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = delivery_json(&self.delivery);
        let headers = self.headers.iter().map(|(name, it)| ((*name).to_owned(), json!(it)));
        json["url"] = self.url.as_str().into();
        json["headers"] = headers.collect();
        json["body"] = self.body.as_str().into();
        json
    }
}

/// Changes an endpoint, with its line; a running server goes on with what it is then within a
/// second. Returns it as it is then.
///
/// # Errors
/// What the closure returns, and failures of the store.
pub fn change<E: From<Error>>(
    write: &Write,
    actor: &Actor,
    method: &str,
    before: &Webhook,
    change: impl FnOnce(&Read, &mut Webhook) -> Result<(), E>,
) -> Result<Webhook, E> {
    let mut webhook = before.clone();
    change(write, &mut webhook)?;
    write.set_webhook(&webhook)?;
    record_change(write, actor, method, Some(before), Some(&webhook))?;
    let gone = || Error::Invalid(format!("webhook {} is gone", before.id));
    Ok(write.webhook(&before.id)?.ok_or_else(gone)?)
}

/// Adds the line of what has changed an endpoint, if it has; of one that was added or removed, one
/// side is `None`. Nothing that signs, and nothing that opens the receiver's door.
///
/// # Errors
/// Failures of the store.
pub fn record_change(
    write: &Write,
    actor: &Actor,
    method: &str,
    before: Option<&Webhook>,
    after: Option<&Webhook>,
) -> Result<(), Error> {
    let Some(webhook) = after.or(before) else { return Ok(()) };
    let side = |it: Option<&Webhook>| it.map(settings).unwrap_or_default();
    let (before, after) = (side(before), side(after));
    if before == after {
        return Ok(());
    }
    let deed = Deed { method, resource_type: WEBHOOK, resource: &webhook.id };
    record(write, actor, webhook.org, deed, &before, &after)
}

/// What an endpoint is. Of the key only until when the former one signs too.
fn settings(webhook: &Webhook) -> Map<String, Value> {
    let time = |it: Option<Timestamp>| it.map(|it| it.to_string());
    let progress = &webhook.progress;
    let settings = json!({
        "receiver": origin(&webhook.url),
        "events": webhook.events,
        "algorithm": webhook.algorithm,
        "ownAuthorities": webhook.ca.is_some(),
        "insecureHttp": webhook.insecure,
        "formerKeyUntil": time(webhook.former_key.as_ref().map(|(_, until)| *until)),
        "after": progress.position.after,
        "attempts": progress.attempts,
        "disabled": time(progress.disabled),
    });
    match settings {
        Value::Object(it) => it.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}
