//! What is counted of webhooks, and how far their endpoints are behind.

use std::sync::{Mutex, PoisonError};

use crate::metrics::counter::Counter;
use crate::metrics::text::Text;

/// How far an endpoint is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Its id.
    pub webhook: String,
    /// How many changes it has not been told.
    pub changes: u32,
    /// How old the first of them is.
    pub seconds: i64,
    /// Whether nothing is delivered to it any more.
    pub disabled: bool,
}

/// Deliveries of webhooks.
#[derive(Debug, Default)]
pub struct WebhookMetrics {
    /// Events that a receiver has taken.
    pub delivered: Counter,
    /// Attempts that have failed.
    pub failed: Counter,
    lags: Mutex<Vec<Lag>>,
}

impl WebhookMetrics {
    /// Sets how far each endpoint is behind.
    pub fn set_lags(&self, mut lags: Vec<Lag>) {
        lags.sort_by(|a, b| a.webhook.cmp(&b.webhook));
        *self.lags.lock().unwrap_or_else(PoisonError::into_inner) = lags;
    }

    /// Adds them to the text.
    pub fn add_to(&self, text: &mut Text) {
        let name = "plumm_webhook_deliveries_total";
        text.family(name, "counter", "Requests to the receivers of webhooks, by their outcome.");
        text.sample(&[("outcome", "delivered")], self.delivered.get());
        text.sample(&[("outcome", "failed")], self.failed.get());
        let lags = self.lags.lock().unwrap_or_else(PoisonError::into_inner);
        let disabled = lags.iter().filter(|it| it.disabled).count();
        let name = "plumm_webhooks_disabled";
        text.family(name, "gauge", "Endpoints of webhooks to which nothing is delivered any more.");
        text.sample(&[], disabled);
        if lags.is_empty() {
            return;
        }
        let name = "plumm_webhook_lag_changes";
        text.family(name, "gauge", "Changes that an endpoint has not been told, 10000 at most.");
        for it in lags.iter() {
            text.sample(&[("webhook", &it.webhook)], it.changes);
        }
        let name = "plumm_webhook_lag_seconds";
        text.family(name, "gauge", "How old the first change is that it has not been told.");
        for it in lags.iter() {
            text.sample(&[("webhook", &it.webhook)], it.seconds);
        }
    }
}
