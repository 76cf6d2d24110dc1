//! What the server counts, and its text for Prometheus.
//!
//! A request that is counted takes no lock and allocates nothing. No label tells of a person, a
//! token or an organisation.

pub mod budget;
mod counter;
pub mod events;
mod histogram;
mod process;
pub mod refused;
pub mod text;
pub mod webhooks;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::metrics::budget::{BudgetMetric, Budgets};
use crate::metrics::counter::{Counter, Gauge};
use crate::metrics::events::EventMetrics;
use crate::metrics::histogram::Histogram;
use crate::metrics::refused::Refused;
use crate::metrics::text::Text;
use crate::metrics::webhooks::WebhookMetrics;

/// The statuses that are told apart, in order; any other counts as the last one, 0.
const STATUSES: [u16; 25] = [
    200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 415, 417, 429, 431, 500,
    501, 502, 503, 505, 507, 0,
];
/// The methods that are told apart; any other counts as the last one.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
/// A time that is not known.
const UNSET: i64 = i64::MIN;

/// What is counted of one route.
#[derive(Debug)]
struct RouteMetrics {
    label: String,
    requests: [[Counter; STATUSES.len()]; METHODS.len()],
    duration: Histogram,
}

/// Everything that is counted from the start of the server on.
#[derive(Debug)]
pub struct Metrics {
    /// Connections that were accepted.
    pub connections_accepted: Counter,
    /// Of those, the ones for which there was no slot.
    pub connections_turned_away: Counter,
    /// Connections that were ended because the client was too slow, within a request or an answer.
    pub connections_timed_out: Counter,
    /// Connections that are open.
    pub connections_open: Gauge,
    /// Requests that are being handled.
    pub requests_at_work: Gauge,
    /// Clients that wait for a change of their organisation.
    pub clients_waiting: Gauge,
    /// Clients that wanted to wait for one, and for whom there was no place.
    pub waits_refused: Counter,
    /// Events that were told to applications.
    pub events_told: EventMetrics,
    /// Deliveries of webhooks.
    pub webhooks: WebhookMetrics,
    /// Requests without a valid token.
    pub refused_tokens: Counter,
    /// Requests beyond the rate of their organisation.
    pub rate_limited: Counter,
    /// Refused requests by reason.
    pub refused: Refused,
    /// Requests of identity providers that a proxy passed on with a token,
    pub proxied_with_token: Counter,
    /// and without one.
    pub proxied_without_token: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
    /// Answers that ended in the middle, since a further part could not be made.
    pub answers_cut_off: Counter,
    budgets: Budgets,
    routes: Vec<RouteMetrics>,
    unread: [Counter; STATUSES.len()],
    started: i64,
    certificate_expires: AtomicI64,
}

impl Metrics {
    /// Metrics at zero. `started`: seconds since the epoch; `routes`: their names; `events`: the
    /// types of events.
    #[must_use]
    pub fn new(started: i64, routes: &[String], events: &[&'static str]) -> Metrics {
        let of_route = |label: &String| RouteMetrics {
            label: label.clone(),
            requests: Default::default(),
            duration: Histogram::default(),
        };
        Metrics {
            connections_accepted: Counter::default(),
            connections_turned_away: Counter::default(),
            connections_timed_out: Counter::default(),
            connections_open: Gauge::default(),
            requests_at_work: Gauge::default(),
            clients_waiting: Gauge::default(),
            waits_refused: Counter::default(),
            events_told: EventMetrics::new(events),
            webhooks: WebhookMetrics::default(),
            refused_tokens: Counter::default(),
            rate_limited: Counter::default(),
            refused: Refused::default(),
            proxied_with_token: Counter::default(),
            proxied_without_token: Counter::default(),
            panics: Counter::default(),
            answers_cut_off: Counter::default(),
            budgets: Budgets::default(),
            routes: routes.iter().map(of_route).collect(),
            unread: Default::default(),
            started,
            certificate_expires: AtomicI64::new(UNSET),
        }
    }

    /// Counts a request that was answered with this status, after this time. `route`: the index of
    /// its name.
    pub fn count_request(&self, method: &str, route: usize, status: u16, took: Duration) {
        let Some(route) = self.routes.get(route) else { return };
        let method = METHODS.iter().position(|it| *it == method).unwrap_or(METHODS.len() - 1);
        route.requests[method][status_index(status)].add();
        route.duration.add(took);
    }

    /// Counts an answer with this status to what could not be read as a request.
    pub fn count_unread(&self, status: u16) {
        self.unread[status_index(status)].add();
    }

    /// Sets whom to ask for what the limits of the server have left.
    pub fn set_budgets(&self, source: impl Fn() -> Vec<BudgetMetric> + Send + Sync + 'static) {
        self.budgets.set(Box::new(source));
    }

    /// Sets when the certificate of the server expires, in seconds since the epoch.
    pub fn set_certificate_expiry(&self, seconds: i64) {
        self.certificate_expires.store(seconds, Ordering::Relaxed);
    }

    /// When the certificate of the server expires, in seconds since the epoch; `None` when it has
    /// none.
    #[must_use]
    pub fn certificate_expiry(&self) -> Option<i64> {
        Some(self.certificate_expires.load(Ordering::Relaxed)).filter(|it| *it != UNSET)
    }

    /// All metrics as text, and what the operating system says of this process.
    #[must_use]
    pub fn to_text(&self) -> Text {
        let mut text = Text::default();
        text.family("plumm_build_info", "gauge", "The version that runs.");
        text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.family("plumm_requests_total", "counter", "Requests, by what was answered.");
        for (i, method) in METHODS.iter().enumerate() {
            for route in &self.routes {
                for (code, count) in counted(&route.requests[i]) {
                    let labels = [("method", *method), ("route", &route.label), ("code", &code)];
                    text.sample(&labels, count);
                }
            }
        }
        self.add_durations(&mut text);
        let name = "plumm_unread_requests_total";
        text.family(name, "counter", "Answers to what could not be read as a request.");
        for (code, count) in counted(&self.unread) {
            text.sample(&[("code", &code)], count);
        }
        for (name, kind, help, value) in [
            (
                "plumm_requests_at_work",
                "gauge",
                "Requests being answered now, this one included.",
                self.requests_at_work.get(),
            ),
            (
                "plumm_connections_open",
                "gauge",
                "Connections open now.",
                self.connections_open.get(),
            ),
            (
                "plumm_connections_accepted_total",
                "counter",
                "Connections accepted.",
                self.connections_accepted.get(),
            ),
            (
                "plumm_connections_turned_away_total",
                "counter",
                "Connections for which there was no room.",
                self.connections_turned_away.get(),
            ),
            (
                "plumm_connections_timed_out_total",
                "counter",
                "Connections ended since the client was too slow within a request or an answer.",
                self.connections_timed_out.get(),
            ),
            (
                "plumm_changes_waiting",
                "gauge",
                "Clients of the change feed that wait for a change.",
                self.clients_waiting.get(),
            ),
            (
                "plumm_changes_waits_refused_total",
                "counter",
                "Clients of the change feed for whom there was no place to wait.",
                self.waits_refused.get(),
            ),
            (
                "plumm_refused_tokens_total",
                "counter",
                "Requests without a valid API token.",
                self.refused_tokens.get(),
            ),
            (
                "plumm_rate_limited_total",
                "counter",
                "Requests beyond the rate of their organisation.",
                self.rate_limited.get(),
            ),
            ("plumm_panics_total", "counter", "Requests that panicked.", self.panics.get()),
            (
                "plumm_answers_cut_off_total",
                "counter",
                "Long answers that ended in the middle.",
                self.answers_cut_off.get(),
            ),
        ] {
            text.family(name, kind, help);
            text.sample(&[], value);
        }
        self.refused.add_to(&mut text);
        let name = "plumm_proxied_requests_total";
        let help = "Requests of identity providers that came through a proxy.";
        text.family(name, "counter", help);
        text.sample(&[("authorization", "present")], self.proxied_with_token.get());
        text.sample(&[("authorization", "absent")], self.proxied_without_token.get());
        self.events_told.add_to(&mut text);
        self.webhooks.add_to(&mut text);
        self.budgets.add_to(&mut text);
        if let Some(seconds) = self.certificate_expiry() {
            let name = "plumm_certificate_expiry_timestamp_seconds";
            text.family(name, "gauge", "When the TLS certificate expires, since the epoch.");
            text.sample(&[], seconds);
        }
        let name = "process_start_time_seconds";
        text.family(name, "gauge", "When the server was started, since the epoch.");
        text.sample(&[], self.started);
        process::add(&mut text);
        text
    }

    fn add_durations(&self, text: &mut Text) {
        let help = "How long requests took to answer.";
        text.family("plumm_request_duration_seconds", "histogram", help);
        for route in &self.routes {
            route.duration.add_to(text, &route.label);
        }
    }
}

fn status_index(status: u16) -> usize {
    STATUSES.iter().position(|it| *it == status).unwrap_or(STATUSES.len() - 1)
}

/// The statuses that were counted at all, each as its label.
fn counted(counters: &[Counter]) -> impl Iterator<Item = (String, u64)> {
    let counts = STATUSES.iter().zip(counters).map(|(status, it)| (*status, it.get()));
    counts.filter(|(_, count)| *count > 0).map(|(status, count)| match status {
        0 => ("other".to_owned(), count),
        known => (known.to_string(), count),
    })
}

#[cfg(test)]
mod tests;
