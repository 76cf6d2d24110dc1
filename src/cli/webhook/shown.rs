//! Endpoints of webhooks and their deliveries, as commands show them.

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::cli::text::{printable, time_cell};
use crate::events::webhook::{Algorithm, Key};
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::tables::webhook::{Delivery, Webhook};
use crate::store::transaction::Read;

/// No more changes behind an endpoint are counted.
const BEHIND_MAX: u32 = 10_000;

/// An endpoint with what is known of it.
#[derive(Debug)]
pub struct Shown {
    /// The endpoint.
    pub webhook: Webhook,
    org: String,
    /// How many changes it has not been told, and when the first of them was made.
    behind: (u32, Option<Timestamp>),
    /// The number up to which changes are not kept any more.
    trimmed: i64,
    last: Option<Delivery>,
    now: Timestamp,
}

impl Shown {
    /// The heads of [`Shown::cells`].
    pub const HEAD: [&str; 7] =
        ["WEBHOOK", "ORGANISATION", "STATE", "BEHIND", "SINCE", "LAST REQUEST", "URL"];

    /// Reads what is known of an endpoint.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn read(store: &Store, webhook: Webhook, now: Timestamp) -> Result<Shown, CliError> {
        store.read(|tx| Shown::read_in(tx, webhook, now))
    }

    /// The same in a view of the database.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn read_in(tx: &Read, webhook: Webhook, now: Timestamp) -> Result<Shown, CliError> {
        Ok(Shown {
            org: tx.org_by_key(webhook.org)?.name,
            behind: tx.lines_left(webhook.org, webhook.progress.position.after, BEHIND_MAX)?,
            trimmed: tx.trimmed(webhook.org)?,
            last: tx.deliveries(&webhook.id, 1)?.pop(),
            webhook,
            now,
        })
    }

    fn state(&self) -> &'static str {
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

    fn public_key(&self) -> Option<String> {
        let algorithm = Algorithm::from_word(&self.webhook.algorithm)?;
        let key = Key::new(algorithm, &self.webhook.key)?;
        matches!(key, Key::Ed25519(_)).then(|| key.for_receiver().to_string())
    }

    fn former_key_until(&self) -> Option<Timestamp> {
        let until = self.webhook.former_key.as_ref().map(|(_, until)| *until);
        until.filter(|it| *it > self.now)
    }

    /// The endpoint as JSON, without any secret.
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

    /// The endpoint as a row.
    pub fn cells(&self) -> [String; 7] {
        let webhook = &self.webhook;
        [
            webhook.id.clone(),
            self.org.clone(),
            self.state().to_owned(),
            self.behind_text(),
            time_cell(self.behind.1),
            time_cell(self.last.as_ref().map(|it| it.time)),
            printable(&webhook.url),
        ]
    }

    fn behind_text(&self) -> String {
        match self.behind.0 {
            BEHIND_MAX => format!("{BEHIND_MAX} or more"),
            other => other.to_string(),
        }
    }

    /// The endpoint in words.
    pub fn text(&self, session: &Session) -> String {
        let webhook = &self.webhook;
        let progress = &webhook.progress;
        let events = match webhook.events.as_slice() {
            [] => "all".to_owned(),
            some => some.join(", "),
        };
        let mut text = format!(
            "Webhook       {}\nOrganisation  {}\nURL           {}\nEvents        {events}\nSigned \
             by     {}\n",
            webhook.id,
            self.org,
            printable(&webhook.url),
            webhook.algorithm,
        );
        if let Some(key) = self.public_key() {
            text += &format!("Public key    {key}\n");
        }
        if let Some(until) = self.former_key_until() {
            text += &format!("Former key    signs too until {until}\n");
        }
        if webhook.ca.is_some() {
            text += "Authorities   its own\n";
        }
        text += &format!("State         {}\n", self.state());
        if let (Some(at), Some(reason)) = (progress.disabled, &progress.reason) {
            text += &format!("Disabled      {at}: {}\n", printable(reason));
        }
        text += &format!("Told          up to number {}\n", progress.position.after);
        text += &match self.behind {
            (0, _) => "Behind        0 changes\n".to_owned(),
            (_, since) => {
                format!("Behind        {} changes since {}\n", self.behind_text(), time_cell(since))
            }
        };
        if let Some(at) = progress.next_attempt {
            text += &format!("Next attempt  {at}, after {} that failed\n", progress.attempts);
        }
        if let Some(last) = &self.last {
            text +=
                &format!("Last request  {}, {}: {}\n", last.time, last.event, outcome_text(last));
        }
        text += &self.missed_text();
        if progress.disabled.is_some() {
            let enable = session.command(&format!("webhook enable {}", webhook.id));
            text += &format!("\nTo go on:\n  {enable}\n");
        }
        text
    }
}

/// An attempt as JSON.
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

/// An attempt as a row.
pub fn delivery_cells(it: &Delivery) -> [String; 8] {
    [
        it.number.to_string(),
        it.time.to_string(),
        it.event.clone(),
        it.kind.clone(),
        it.attempt.to_string(),
        it.status.map_or("-".to_owned(), |it| it.to_string()),
        it.milliseconds.to_string(),
        printable(it.error.as_deref().unwrap_or(&it.answer)),
    ]
}

/// What became of an attempt, in words.
pub fn outcome_text(it: &Delivery) -> String {
    let took = it.milliseconds;
    let mut text = match (&it.error, it.status) {
        (None, Some(status)) => format!("taken with {status} after {took} ms"),
        (None, None) => format!("taken after {took} ms"),
        (Some(reason), _) => format!("failed after {took} ms: {}", printable(reason)),
    };
    if !it.answer.is_empty() {
        text += &format!("; the answer begins with: {}", printable(&it.answer));
    }
    text
}
