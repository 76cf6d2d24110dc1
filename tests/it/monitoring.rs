//! Alert rules and dashboard of deploy/: what they ask for is there, and they are what the documents
//! say.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use plumm::auth;
use plumm::metrics::webhooks::Lag;
use plumm::server::Server;
use plumm::store::copies::backup::backup;
use plumm::store::copies::last_backup::note_made;
use plumm::store::tables::token::Scope;
use serde_json::{Value, json};

use crate::harness::Harness;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|it: char| !it.is_ascii_lowercase() && !it.is_ascii_digit() && it != '_');
    let named = words.filter(|it| it.starts_with("plumm_") || it.starts_with("process_"));
    let names = named.map(|it| it.trim_end_matches("_bucket").to_owned());
    names.collect()
}

/// The metrics of a server on which everything is there that has one.
fn known_metrics() -> BTreeSet<String> {
    let harness = Harness::new();
    let admin = harness.issue(Scope::Admin);
    let (store, now) = (&harness.store, harness.now);
    let expires = Some(now.plus_seconds(3_600));
    auth::issue(store, now, &harness.org, Scope::Scim, "", expires).unwrap();
    harness.get("/Users").expect(200);
    harness.post("/Users", &json!({})).expect(400);
    harness.app.write_refusals();
    harness.app.run_housekeeping();
    let copy = harness.folder.path().join("copy.db");
    let report = backup(store.path(), &copy).unwrap();
    note_made(store.path(), now, &copy, &report);
    let metrics = harness.app.metrics();
    metrics.set_certificate_expiry(1);
    let lag = Lag { webhook: "w".to_owned(), changes: 1, seconds: 1, disabled: false };
    metrics.webhooks.set_lags(vec![lag]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(listener, Arc::clone(&harness.app)).unwrap();
    let text = harness.with_token(&admin, "GET", "/metrics", "").expect(200).text;
    server.stop();
    let types = text.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    types.map(|it| it.split(' ').next().unwrap().to_owned()).collect()
}

/// The alerts of the rules: name, and the lines of each.
fn alerts() -> Vec<(String, String)> {
    let text = file("deploy/prometheus-rules.yml");
    let parts = text.split("- alert: ").skip(1);
    parts
        .map(|it| it.split_once('\n').unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_are_there() {
    let known = known_metrics();
    assert!(known.len() > 40, "{known:?}");
    for name in ["deploy/prometheus-rules.yml", "deploy/grafana-dashboard.json", ".ci/alerts.yml"] {
        let asked = metrics_in(&file(name));
        assert!(asked.len() > 15, "{name}: {asked:?}");
        let strange: Vec<&String> = asked.difference(&known).collect();
        assert!(strange.is_empty(), "{name} asks for {strange:?}");
    }
}

#[test]
fn each_alert_says_what_to_do_and_stands_in_the_document() {
    let (document, commands) = (file("docs/monitor.md"), file("docs/commands.md"));
    let alerts = alerts();
    for (name, lines) in &alerts {
        let severity = ["critical", "warning", "info"]
            .into_iter()
            .find(|it| lines.contains(&format!("labels: {{severity: {it}}}\n")));
        let row = format!("\n| `{name}` | {} | ", severity.unwrap_or("none"));
        assert!(document.contains(&row), "docs/monitor.md has no row {row:?}");
        for key in ["summary", "runbook"] {
            let line = lines.lines().find(|it| it.trim_start().starts_with(&format!("{key}: \"")));
            assert!(line.is_some_and(|it| it.len() > 40), "{name} has no {key}");
        }
        for command in lines.split("`plumm ").skip(1) {
            let word = command.split(['`', ' ']).next().unwrap();
            assert!(commands.contains(&format!("`plumm {word}")), "{name}: plumm {word}");
        }
    }
    assert_eq!(document.matches("\n| `Plumm").count(), alerts.len());
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana-dashboard.json")).unwrap();
    assert_eq!((&dashboard["uid"], &dashboard["title"]), (&"plumm".into(), &"plumm".into()));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        (&variables[0]["name"], &variables[0]["type"]),
        (&"datasource".into(), &"datasource".into())
    );
    let (mut ids, mut targets) = (BTreeSet::new(), 0);
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            targets += 1;
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{panel}");
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{panel}");
            let asked = metrics_in(target["expr"].as_str().unwrap());
            let up = target["expr"].as_str().unwrap().starts_with("up{");
            assert!(!asked.is_empty() || up, "{target}");
        }
    }
    assert!(targets > 30, "{targets}");
}
