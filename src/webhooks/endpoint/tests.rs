//! What deliveries make of an endpoint.

use zeroize::Zeroizing;

use super::*;
use crate::store::tables::org::OrgKey;
use crate::webhooks::client::Trust;

const START: &str = "2026-01-31T08:00:00Z";

fn now() -> Timestamp {
    Timestamp::parse(START).unwrap()
}

fn webhook() -> Webhook {
    Webhook {
        id: "wh_x".to_owned(),
        org: OrgKey(1),
        url: "https://app.example.com/".to_owned(),
        events: Vec::new(),
        algorithm: "hmac".to_owned(),
        key: Zeroizing::new(vec![1; 32]),
        former_key: None,
        ca: None,
        insecure: false,
        created: now(),
        revision: 0,
        progress: Progress::default(),
    }
}

fn endpoint(webhook: Webhook) -> Endpoint {
    let trust = Trust { tls: false, ca: None, insecure: false };
    Endpoint::new(webhook, Arc::new(Client::new(&trust).unwrap())).unwrap()
}

fn item(line: i64) -> Item {
    Item {
        event: format!("evt_{line}_0"),
        kind: "user.created".to_owned(),
        body: Arc::from("{}"),
        then: Position { after: line, delivered: 0 },
        seen: line,
    }
}

fn answered(status: u16) -> Outcome {
    let error = (!(200..300).contains(&status)).then(|| format!("it answered {status}"));
    Outcome {
        status: Some(status),
        error,
        answer: String::new(),
        retry_after: None,
        took: Duration::from_millis(3),
    }
}

#[test]
fn a_delivery_goes_on_and_a_failure_stays() {
    let mut it = endpoint(webhook());
    it.note(item(4), now(), answered(204), 0);
    assert_eq!(it.position(), Position { after: 4, delivered: 0 });
    assert!(it.may_send(now()) && !it.suspect);
    it.note(item(7), now(), answered(500), 0);
    assert_eq!(it.position().after, 4);
    assert_eq!(it.webhook.progress.attempts, 1);
    assert!(it.suspect && !it.may_send(now().plus_seconds(5)));
    assert!(it.may_send(now().plus_seconds(6)));
    it.note(item(7), now(), answered(200), 0);
    assert_eq!(it.webhook.progress, Progress { position: item(7).then, ..Progress::default() });
    let kept: Vec<_> = it.deliveries.iter().map(|it| (it.attempt, it.status)).collect();
    assert_eq!(kept, [(1, Some(204)), (1, Some(500)), (2, Some(200))]);
}

#[test]
fn after_four_days_it_is_disabled_and_the_event_is_not_passed_over() {
    let mut it = endpoint(webhook());
    let (mut time, mut attempts) = (now(), 0);
    while it.webhook.progress.disabled.is_none() {
        // Looked at each minute, by a clock of its own.
        while !it.may_send(time) {
            time = time.plus_seconds(60);
        }
        it.note(item(7), time, answered(503), u32::MAX / 2);
        attempts += 1;
    }
    assert_eq!(attempts, ATTEMPTS_MAX);
    let hours = (time.nanoseconds() - now().nanoseconds()) / 3_600_000_000_000;
    assert!((75..96).contains(&hours), "{hours}");
    assert_eq!(it.position(), Position::default());
    assert!(!it.may_send(time.plus_seconds(1_000_000)));
    let reason = it.webhook.progress.reason.unwrap();
    assert!(reason.contains("evt_7_0") && reason.contains("503"), "{reason}");
}

#[test]
fn gone_disables_at_once_and_retry_after_is_honoured() {
    let mut it = endpoint(webhook());
    let busy = Outcome { retry_after: Some(Duration::from_secs(3600)), ..answered(429) };
    it.note(item(1), now(), busy, 0);
    assert!(!it.may_send(now().plus_seconds(3600)) && it.may_send(now().plus_seconds(3601)));
    it.note(item(1), now(), answered(410), 0);
    assert!(it.webhook.progress.disabled.is_some() && !it.may_send(now().plus_seconds(7200)));
    assert_eq!(it.webhook.progress.reason.as_deref(), Some("it answered 410"));
}

#[test]
fn a_slow_receiver_is_suspect_until_it_is_quick() {
    let mut it = endpoint(webhook());
    let slow = Outcome { took: SLOW * 2, ..answered(200) };
    it.note(item(1), now(), slow, 0);
    assert!(it.suspect);
    it.note(item(2), now(), answered(200), 0);
    assert!(!it.suspect);
}

#[test]
fn two_keys_sign_until_the_former_one_has_ended() {
    let former = (Zeroizing::new(vec![2; 32]), now().plus_seconds(60));
    let mut it = endpoint(Webhook { former_key: Some(former), ..webhook() });
    assert_eq!(it.keys_at(now()).len(), 2);
    assert_eq!(it.keys_at(now().plus_seconds(60)).len(), 1);
    assert_eq!(it.keys_at(now()).len(), 1);
    let client = Arc::clone(&it.client);
    let broken = Webhook { algorithm: "rot13".to_owned(), ..webhook() };
    assert!(Endpoint::new(broken, Arc::clone(&client)).is_err());
    let broken = Webhook { key: Zeroizing::new(vec![1]), ..webhook() };
    assert!(Endpoint::new(broken, client).is_err());
}

#[test]
fn only_wanted_types_are_sent() {
    let some = endpoint(Webhook { events: vec!["user.deactivated".to_owned()], ..webhook() });
    assert!(some.wants("user.deactivated") && !some.wants("user.created"));
    assert!(endpoint(webhook()).wants("user.created"));
}
