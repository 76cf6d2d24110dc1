//! `plumm demo`: invented people, a provider that keeps changing them, and nothing left at the end.

use std::path::Path;
use std::time::Duration;

use plumm::idp::client::NoAnswer;
use plumm::idp::company::Company;
use plumm::idp::message::Request;
use plumm::idp::provider::Provider;
use serde_json::Value;

use crate::cli::{Place, Serving, send};
use crate::harness::{Harness, wait_until};
use crate::idp::seen_by_provider;

/// What happens at a company in so many steps, and how often each status came.
fn story(seed: u64, steps: usize) -> (Vec<String>, Harness, Vec<u16>) {
    let harness = Harness::new();
    let mut company = Company::new(40, seed);
    let mut statuses = Vec::new();
    let token = format!("Bearer {}", harness.token());
    let mut send = |request: &Request| -> Result<_, NoAnswer> {
        let mut headers = Provider::Okta.headers().to_vec();
        headers.extend([Provider::Okta.content_type(), ("Authorization", &token)]);
        let target = format!("/scim/v2{}", request.target);
        let body = request.body.as_deref().unwrap_or_default();
        let answer = seen_by_provider(&harness.send(request.method, &target, &headers, body));
        statuses.push(answer.status);
        assert_eq!(answer.irregularities(), Vec::<String>::new());
        Ok(answer)
    };
    company.begin(&mut send).unwrap();
    let told = (0..steps).map(|_| company.go_on(&mut send).unwrap()).collect();
    (told, harness, statuses)
}

#[test]
fn a_company_has_the_same_story_for_the_same_seed_and_all_of_it_is_taken() {
    let (told, harness, statuses) = story(1, 200);
    for words in ["was hired for", "moved from", "is now called", "left the", "came back", "400"] {
        assert!(told.iter().any(|it| it.contains(words)), "{words}: {told:?}");
    }
    // Only what is a slip is refused.
    let slips = told.iter().filter(|it| it.ends_with("was answered 400")).count();
    assert!(statuses.iter().all(|it| matches!(it, 200 | 201 | 400)), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|it| **it == 400).count(), slips);
    assert!(harness.count("active eq false") > 0);
    let groups = harness.get("/Groups?count=20").json();
    assert_eq!(groups["totalResults"], 8);
    // Whoever is active is in exactly one group.
    let members = groups["Resources"].as_array().unwrap().iter();
    let members = members.map(|it| it["members"].as_array().map_or(0, Vec::len)).sum::<usize>();
    assert_eq!(i64::try_from(members).unwrap(), harness.count("active eq true"));

    assert_eq!(story(1, 30).0, told[..30]);
    assert_ne!(story(2, 30).0, told[..30]);
}

#[test]
fn a_demonstration_shows_feed_and_metrics_at_once_and_leaves_nothing() {
    let place = Place::new();
    let listen = ["--listen", "127.0.0.1:0"];
    let mut command = place
        .command(&[&["demo", "--json", "--people", "30", "--pace", "20"], &listen[..]].concat());
    // What the host's server is set to is not this one's.
    command.env("PLUMM_TLS_CERT", "/none").env("PLUMM_BACKUP_DIR", "/none");
    command.env("PLUMM_INIT", "other").env("TMPDIR", place.folder.path());
    let mut serving = Serving::start(command);
    serving.wait_for("demonstration: 30 people are assigned");
    serving.wait_for(" was hired for ");
    let started: Value = serde_json::from_str(&serving.line()).unwrap();
    assert_eq!(
        (&started["demonstration"], &started["url"]),
        (&Value::from(true), &Value::from(serving.url.clone()))
    );
    let token = |scope: &str| started["tokens"][scope].as_str().unwrap().to_owned();
    let (status, page) =
        send(&serving.url, "GET", "/access/v1/changes?after=0", &token("read"), "");
    assert_eq!(status, 200, "{page}");
    assert!(page["changes"].as_array().is_some_and(|it| it.len() >= 30), "{page}");
    assert_eq!(serving.get("/metrics", &token("admin")).0, 200);
    // Each view of the page says what it is.
    let overview = serving.get("/admin/api/overview", &token("admin"));
    let shown: Value = serde_json::from_str(&overview.1).unwrap();
    assert_eq!((overview.0, &shown["demo"]), (200, &Value::from(true)));
    let users = place.plumm(&["--db", started["db"].as_str().unwrap(), "status", "--json"]);
    assert!(users.succeeds().contains("demonstration"), "{users:?}");
    let folder = Path::new(started["db"].as_str().unwrap()).parent().unwrap().to_owned();
    assert!(folder.starts_with(place.folder.path()), "{}", folder.display());
    let (code, _) = serving.stop("INT");
    assert_eq!(code, Some(0));
    wait_until(|| !folder.exists());
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_demonstration_is_for_this_host_alone() {
    let place = Place::new();
    for address in ["0.0.0.0:8080", "192.0.2.1:8080", "localhost"] {
        let ran = place.plumm(&["demo", "--listen", address]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("a demonstration is for nobody else"), "{ran:?}");
    }
    // A port that is taken is told, and no folder is left.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = place.command(&["demo", "--listen", &address, "--people", "3"]);
    command.env("TMPDIR", place.folder.path());
    let ran = crate::cli::run(command);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("the port is in use"), "{ran:?}");
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(place.files(), Vec::<String>::new());
}
