//! Endpoints of webhooks and their deliveries in words and as rows, as commands show them.

use crate::by_hand::webhook::{BEHIND_MAX, Shown};
use crate::cli::session::Session;
use crate::cli::text::{printable, time_cell};
use crate::store::tables::webhook::Delivery;

/// The heads of [`cells`].
pub const HEAD: [&str; 7] =
    ["WEBHOOK", "ORGANISATION", "STATE", "BEHIND", "SINCE", "LAST REQUEST", "URL"];

/// The endpoint as a row.
pub fn cells(shown: &Shown) -> [String; 7] {
    let webhook = &shown.webhook;
    [
        webhook.id.clone(),
        shown.org.clone(),
        shown.state().to_owned(),
        behind_text(shown),
        time_cell(shown.behind.1),
        time_cell(shown.last.as_ref().map(|it| it.time)),
        printable(&webhook.url),
    ]
}

fn behind_text(shown: &Shown) -> String {
    match shown.behind.0 {
        BEHIND_MAX => format!("{BEHIND_MAX} or more"),
        other => other.to_string(),
    }
}

/// The endpoint in words.
pub fn text(shown: &Shown, session: &Session) -> String {
    let webhook = &shown.webhook;
    let progress = &webhook.progress;
    let events = match webhook.events.as_slice() {
        [] => "all".to_owned(),
        some => some.join(", "),
    };
    let mut text = format!(
        "Webhook       {}\nOrganisation  {}\nURL           {}\nEvents        {events}\nSigned \
         by     {}\n",
        webhook.id,
        shown.org,
        printable(&webhook.url),
        webhook.algorithm,
    );
    if let Some(key) = shown.public_key() {
        text += &format!("Public key    {key}\n");
    }
    if let Some(until) = shown.former_key_until() {
        text += &format!("Former key    signs too until {until}\n");
    }
    if webhook.ca.is_some() {
        text += "Authorities   its own\n";
    }
    text += &format!("State         {}\n", shown.state());
    if let (Some(at), Some(reason)) = (progress.disabled, &progress.reason) {
        text += &format!("Disabled      {at}: {}\n", printable(reason));
    }
    text += &format!("Told          up to number {}\n", progress.position.after);
    text += &match shown.behind {
        (0, _) => "Behind        0 changes\n".to_owned(),
        (_, since) => {
            format!("Behind        {} changes since {}\n", behind_text(shown), time_cell(since))
        }
    };
    if let Some(at) = progress.next_attempt {
        text += &format!("Next attempt  {at}, after {} that failed\n", progress.attempts);
    }
    if let Some(last) = &shown.last {
        text += &format!("Last request  {}, {}: {}\n", last.time, last.event, outcome_text(last));
    }
    text += &shown.missed_text();
    if progress.disabled.is_some() {
        let enable = session.command(&format!("webhook enable {}", webhook.id));
        text += &format!("\nTo go on:\n  {enable}\n");
    }
    text
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
