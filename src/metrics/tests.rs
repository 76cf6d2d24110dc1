//! What is counted, as Prometheus reads it.

use super::*;

fn text_of(metrics: &Metrics) -> String {
    String::from_utf8(metrics.to_text().into_bytes()).unwrap()
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|it| it == line), "no `{line}` in {text}");
}

#[test]
fn requests_are_counted_by_method_route_and_status_and_measured() {
    let metrics =
        Metrics::new(1_700_000_000, &["/scim/v2/Users".into(), "/scim/v2/Groups".into()], &[]);
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
fn a_gauge_counts_what_is_held_until_it_is_dropped() {
    let metrics = Metrics::new(0, &[], &[]);
    let (one, two) = (metrics.connections_open.hold(), metrics.connections_open.hold());
    has(&text_of(&metrics), "plumm_connections_open 2");
    drop((one, two));
    has(&text_of(&metrics), "plumm_connections_open 0");
}

#[test]
fn the_expiry_of_a_certificate_is_shown_once_there_is_one() {
    let metrics = Metrics::new(0, &[], &[]);
    assert!(!text_of(&metrics).contains("certificate"));
    metrics.set_certificate_expiry(1_800_000_000);
    assert_eq!(metrics.certificate_expiry(), Some(1_800_000_000));
    has(&text_of(&metrics), "plumm_certificate_expiry_timestamp_seconds 1800000000");
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_is_measured() {
    let text = text_of(&Metrics::new(0, &[], &[]));
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_threads"] {
        let value = text.lines().find_map(|it| it.strip_prefix(&format!("{name} ")));
        assert!(value.unwrap().parse::<u64>().unwrap() > 0, "{text}");
    }
}
