//! What the server counts, as Prometheus reads it (text format 0.0.4).
//!
//! A request that is counted takes no lock and allocates nothing. No label tells of a person, a
//! token or an organisation.

use std::fmt::{Display, Write};
use std::fs;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The upper ends of the buckets of a duration, in microseconds, with the label of each in seconds.
const BUCKETS: [(u64, &str); 16] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];
/// The statuses that are told apart, in order; any other counts as the last one, 0.
const STATUSES: [u16; 25] = [
    200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 412, 413, 414, 415, 417, 429, 431, 500,
    501, 502, 503, 505, 507, 0,
];
/// The methods that are told apart; any other counts as the last one.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
/// A certificate expiry that nobody has set.
const UNSET: i64 = i64::MIN;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many there are at this moment.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// One more, until the returned value is dropped, by a panic too.
    pub fn hold(&self) -> Held<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of those that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long something took, in buckets.
#[derive(Debug, Default)]
struct Histogram {
    /// Each bucket by itself; the last one has no end.
    buckets: [Counter; BUCKETS.len() + 1],
    microseconds: AtomicU64,
}

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
    /// Of those, the ones for which there was no room.
    pub connections_turned_away: Counter,
    /// Connections that were ended since the client was too slow, within a request or an answer.
    pub connections_timed_out: Counter,
    /// Connections that are open.
    pub connections_open: Gauge,
    /// Requests that are being answered.
    pub requests_at_work: Gauge,
    /// Requests without a valid token.
    pub refused_tokens: Counter,
    /// Requests beyond the rate of their organisation.
    pub rate_limited: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
    routes: Vec<RouteMetrics>,
    unread: [Counter; STATUSES.len()],
    started: i64,
    certificate_expires: AtomicI64,
}

impl Metrics {
    /// Nothing counted yet. `started`: seconds since the epoch; `routes`: their names.
    #[must_use]
    pub fn new(started: i64, routes: &[String]) -> Metrics {
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
            refused_tokens: Counter::default(),
            rate_limited: Counter::default(),
            panics: Counter::default(),
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
        let histogram = &route.duration;
        // Rounded up, so that a bucket holds nothing beyond its end.
        let microseconds = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|(end, _)| microseconds <= *end);
        let bucket = bucket.unwrap_or(BUCKETS.len());
        histogram.buckets[bucket].add();
        histogram.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// Counts an answer with this status to what could not be read as a request.
    pub fn count_unread(&self, status: u16) {
        self.unread[status_index(status)].add();
    }

    /// Notes when the certificate that the server shows expires, in seconds since the epoch.
    pub fn set_certificate_expiry(&self, seconds: i64) {
        self.certificate_expires.store(seconds, Ordering::Relaxed);
    }

    /// When the certificate that the server shows expires, in seconds since the epoch; `None` when
    /// it shows none.
    #[must_use]
    pub fn certificate_expiry(&self) -> Option<i64> {
        Some(self.certificate_expires.load(Ordering::Relaxed)).filter(|it| *it != UNSET)
    }

    /// All of it, and what the operating system says of this process.
    #[must_use]
    pub fn to_text(&self) -> Text {
        let mut text = Text { text: String::new(), family: "" };
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
        ] {
            text.family(name, kind, help);
            text.sample(&[], value);
        }
        if let Some(seconds) = self.certificate_expiry() {
            let name = "plumm_certificate_expiry_timestamp_seconds";
            text.family(name, "gauge", "When the TLS certificate expires, since the epoch.");
            text.sample(&[], seconds);
        }
        let name = "process_start_time_seconds";
        text.family(name, "gauge", "When the server was started, since the epoch.");
        text.sample(&[], self.started);
        add_process(&mut text);
        text
    }

    fn add_durations(&self, text: &mut Text) {
        let help = "How long requests took to answer.";
        text.family("plumm_request_duration_seconds", "histogram", help);
        for RouteMetrics { label: route, duration: histogram, .. } in &self.routes {
            // Read once: the count is then never another than that of the last bucket.
            let counts = histogram.buckets.each_ref().map(Counter::get);
            let count: u64 = counts.iter().sum();
            if count == 0 {
                continue;
            }
            let ends = BUCKETS.iter().map(|(_, label)| *label).chain(["+Inf"]);
            let mut so_far = 0;
            for (end, in_bucket) in ends.zip(counts) {
                so_far += in_bucket;
                text.line("_bucket", &[("route", route), ("le", end)], so_far);
            }
            let microseconds = histogram.microseconds.load(Ordering::Relaxed);
            let sum = format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000);
            text.line("_sum", &[("route", route)], sum);
            text.line("_count", &[("route", route)], count);
        }
    }
}

/// Metrics in the text format, one family after the other.
#[derive(Debug)]
pub struct Text {
    text: String,
    /// The family begun last.
    family: &'static str,
}

impl Text {
    /// Begins a family of metrics: its name, its type, and what it is, on one line.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a value to the family begun last. The values of labels are plain words.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, value);
    }

    /// The whole text.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(name, it)| format!("{name}=\"{it}\"")).collect();
        let labels = match labels.as_slice() {
            [] => String::new(),
            some => format!("{{{}}}", some.join(",")),
        };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.family);
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

/// What the operating system says of this process, where it has `/proc`.
fn add_process(text: &mut Text) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|it| it.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let files = fs::read_dir("/proc/self/fd").map(|it| it.count() as u64).ok();
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory in use, in bytes.",
            number("VmRSS:").map(|kib| kib * 1024),
        ),
        ("process_open_fds", "Open file descriptors.", files),
        ("process_threads", "Threads.", number("Threads:")),
    ] {
        if let Some(value) = value {
            text.family(name, "gauge", help);
            text.sample(&[], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(metrics: &Metrics) -> String {
        String::from_utf8(metrics.to_text().into_bytes()).unwrap()
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|it| it == line), "no `{line}` in {text}");
    }

    #[test]
    fn the_tables_are_in_the_order_of_their_indexes() {
        assert!(BUCKETS.is_sorted());
        for (end, label) in BUCKETS {
            assert_eq!(label.parse::<f64>().unwrap() * 1e6, end as f64);
        }
    }

    #[test]
    fn requests_are_counted_by_what_they_are_and_how_long_they_take() {
        let metrics =
            Metrics::new(1_700_000_000, &["/scim/v2/Users".into(), "/scim/v2/Groups".into()]);
        let count = |method, status, micros| {
            let took = Duration::from_micros(micros);
            metrics.count_request(method, 0, status, took);
        };
        count("GET", 200, 100);
        count("GET", 200, 101);
        count("BREW", 405, 10_000_000);
        count("PATCH", 418, 10_000_001);
        metrics.count_unread(431);
        let text = text_of(&metrics);
        let of_users = "route=\"/scim/v2/Users\"";
        for line in [
            "process_start_time_seconds 1700000000",
            "plumm_unread_requests_total{code=\"431\"} 1",
            &format!("plumm_requests_total{{method=\"GET\",{of_users},code=\"200\"}} 2"),
            &format!("plumm_requests_total{{method=\"other\",{of_users},code=\"405\"}} 1"),
            &format!("plumm_requests_total{{method=\"PATCH\",{of_users},code=\"other\"}} 1"),
            &format!("plumm_request_duration_seconds_bucket{{{of_users},le=\"0.0001\"}} 1"),
            &format!("plumm_request_duration_seconds_bucket{{{of_users},le=\"0.00025\"}} 2"),
            &format!("plumm_request_duration_seconds_bucket{{{of_users},le=\"5\"}} 2"),
            &format!("plumm_request_duration_seconds_bucket{{{of_users},le=\"10\"}} 3"),
            &format!("plumm_request_duration_seconds_bucket{{{of_users},le=\"+Inf\"}} 4"),
            &format!("plumm_request_duration_seconds_sum{{{of_users}}} 20.000202"),
            &format!("plumm_request_duration_seconds_count{{{of_users}}} 4"),
        ] {
            has(&text, line);
        }
        assert!(!text.contains("/scim/v2/Groups"), "{text}");
    }

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let metrics = Metrics::new(0, &[]);
        let (one, two) = (metrics.connections_open.hold(), metrics.connections_open.hold());
        has(&text_of(&metrics), "plumm_connections_open 2");
        drop((one, two));
        has(&text_of(&metrics), "plumm_connections_open 0");
    }

    #[test]
    fn a_certificate_is_spoken_of_once_there_is_one() {
        let metrics = Metrics::new(0, &[]);
        assert!(!text_of(&metrics).contains("certificate"));
        metrics.set_certificate_expiry(1_800_000_000);
        assert_eq!(metrics.certificate_expiry(), Some(1_800_000_000));
        has(&text_of(&metrics), "plumm_certificate_expiry_timestamp_seconds 1800000000");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_is_measured() {
        let text = text_of(&Metrics::new(0, &[]));
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_threads"] {
            let value = text.lines().find_map(|it| it.strip_prefix(&format!("{name} ")));
            assert!(value.unwrap().parse::<u64>().unwrap() > 0, "{text}");
        }
    }
}
