//! `plumm webhook`: endpoints of webhooks, made, looked at, tried and repaired.

pub mod shown;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::by_hand::webhook::{Shown, Tested, change, delivery_json, record_change};
use crate::cli::arguments::{file_named, text_of};
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table};
use crate::cli::webhook::shown::{HEAD, cells, delivery_cells, outcome_text, text as in_words};
use crate::events::Kind;
use crate::events::webhook::{Algorithm, Key};
use crate::id;
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::tables::org::Org;
use crate::store::tables::webhook::{DELIVERIES_MAX, Position, Progress, Webhook};
use crate::store::transaction::Read;
use crate::webhooks::address::{checked_url, is_plain_beyond_host};
use crate::webhooks::client::certificates;

/// How long the former key signs beside the new one.
const ROTATION: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest file of authorities, in bytes.
const CA_BYTES_MAX: usize = 64 * 1024;
/// How many attempts are shown unless more are asked for.
const DELIVERIES_SHOWN: u32 = 20;

/// The commands for webhooks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell an application of every change from now on, and show the key, this once
    #[command(after_help = "Example:\n  plumm webhook add acme https://app.example.com/plumm \
                            --events user.deactivated,user.deleted")]
    Add(Add),
    /// List endpoints, of one organisation or of all, never their keys
    #[command(after_help = "Example:\n  plumm webhook list acme")]
    List {
        /// The organisation
        #[arg(value_parser = org::name)]
        org: Option<String>,
    },
    /// Show an endpoint: how far it is, and what became of the last request
    #[command(after_help = "Example, with an id of `plumm webhook list`:\n  \
                            plumm webhook show wh_x7k2m9q4c1bz")]
    Show(Id),
    /// Give an endpoint a new key and show it; for 24 hours the former one signs too
    #[command(after_help = "Example:\n  plumm webhook rotate wh_x7k2m9q4c1bz")]
    Rotate(Id),
    /// Send a test event now, and say what came back
    #[command(after_help = "Example:\n  plumm webhook test wh_x7k2m9q4c1bz")]
    Test(Id),
    /// List the last requests to an endpoint, the newest first
    #[command(after_help = "Example:\n  plumm webhook deliveries wh_x7k2m9q4c1bz --failed")]
    Deliveries(Deliveries),
    /// Send the events from a change on again, those that were delivered included
    #[command(after_help = "Example, from the change of number 118 on:\n  \
                            plumm webhook replay wh_x7k2m9q4c1bz --from 118")]
    Replay(Replay),
    /// Go on with an endpoint that was disabled, or try again now instead of at the next attempt
    #[command(after_help = "Example:\n  plumm webhook enable wh_x7k2m9q4c1bz")]
    Enable(Id),
    /// Deliver nothing to an endpoint until it is enabled again; its place is kept
    #[command(after_help = "Example:\n  plumm webhook disable wh_x7k2m9q4c1bz")]
    Disable(Id),
    /// Remove an endpoint, its key and the list of its requests
    #[command(after_help = "Example:\n  plumm webhook remove wh_x7k2m9q4c1bz")]
    Remove(Id),
}

/// Which endpoint.
#[derive(Debug, Args)]
pub struct Id {
    /// The endpoint's id
    #[arg(value_name = "ID")]
    id: String,
}

/// What a new endpoint is.
#[derive(Debug, Args)]
pub struct Add {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// Where to send events: https://, or http:// on this host
    #[allow(rustdoc::bare_urls, reason = "the comment is the text of --help")]
    url: String,
    /// The types of events to send; without this all of them, those to come too
    #[arg(long, value_name = "TYPE[,TYPE...]", value_delimiter = ',', value_parser = kind())]
    events: Vec<String>,
    /// How to sign: hmac, with a secret that both sides have; ed25519, with a key that stays here
    #[arg(long, value_name = "ALGORITHM", default_value = "hmac", value_parser = algorithm())]
    key: Algorithm,
    /// The authorities of the receiver's certificate, in place of the system's
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    /// Allow plain HTTP to another host, on a network you trust
    #[arg(long)]
    insecure_http: bool,
}

/// Which requests.
#[derive(Debug, Args)]
pub struct Deliveries {
    /// The endpoint's id
    #[arg(value_name = "ID")]
    id: String,
    /// Only those that have failed
    #[arg(long)]
    failed: bool,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = DELIVERIES_SHOWN,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..=DELIVERIES_MAX))]
    limit: u32,
}

/// From where on.
#[derive(Debug, Args)]
pub struct Replay {
    /// The endpoint's id
    #[arg(value_name = "ID")]
    id: String,
    /// The number of the first change to send again: `sequence` of its events
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(1..))]
    from: i64,
}

/// Runs a command for webhooks.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<(), CliError> {
    match command {
        Command::Add(args) => add(args, session),
        Command::List { org } => session.print(&list(org.as_deref(), session)?),
        Command::Show(it) => session.print(&show(&it.id, session)?),
        Command::Rotate(it) => rotate(&it.id, session),
        Command::Test(it) => test(&it.id, session),
        Command::Deliveries(args) => session.print(&deliveries(args, session)?),
        Command::Replay(args) => session.print(&replay(args, session)?),
        Command::Enable(it) => session.print(&enable(&it.id, session)?),
        Command::Disable(it) => session.print(&disable(&it.id, session)?),
        Command::Remove(it) => session.print(&remove(&it.id, session)?),
    }
}

fn add(args: &Add, session: &Session) -> Result<(), CliError> {
    let url = checked_url(&args.url, args.insecure_http).map_err(|it| {
        let shown = printable(&args.url);
        CliError::Failed(format!("the URL {shown} cannot be used: {it}"))
    })?;
    let ca = args.ca.as_ref().map(|file| {
        let text = text_of(file, CA_BYTES_MAX)?;
        let checked = match text.len() > CA_BYTES_MAX {
            true => Err(format!("it is longer than {CA_BYTES_MAX} bytes")),
            false => certificates(&text).map(drop),
        };
        let named = file_named(file);
        checked.map_err(|it| CliError::Failed(format!("{named} cannot be used: {it}")))?;
        Ok::<_, CliError>(text)
    });
    let ca = ca.transpose()?;
    let (bytes, key) = new_key(args.key)?;
    let store = session.open()?;
    let now = session.now();
    let (org, webhook) = store.write(now, |tx| {
        let org = org::find(tx, &args.org, session)?;
        let position = Position { after: tx.last_change(org.key)?, delivered: 0 };
        let mut webhook = Webhook {
            id: id::webhook(),
            org: org.key,
            url: url.clone(),
            events: in_order(&args.events),
            algorithm: args.key.word().to_owned(),
            key: bytes.clone(),
            former_key: None,
            ca: ca.clone(),
            insecure: args.insecure_http,
            created: now,
            revision: 0,
            progress: Progress { position, ..Progress::default() },
        };
        // The line of the command itself is nothing that the receiver has yet to be told.
        record_change(tx, session.actor(), "add", None, Some(&webhook))?;
        webhook.progress.position.after = tx.last_change(org.key)?;
        tx.add_webhook(&webhook)?;
        Ok::<_, CliError>((org, webhook))
    })?;
    let _ = store.checkpoint();
    if is_plain_beyond_host(&url) {
        log::warn!("events go to {url} in plain HTTP: whoever is on the way can read them");
    }
    let shown = shown_of(&store, webhook, now)?;
    let id = &shown.webhook.id;
    let text = format!(
        "Webhook {id} of organisation {} is told of every change behind number {}.\n\n{}\nTo try \
         it:\n  {}\n",
        org.name,
        shown.webhook.progress.position.after,
        key_text(&key),
        session.command(&format!("webhook test {id}")),
    );
    print_key(&shown, &key, text, session)
}

fn rotate(text: &str, session: &Session) -> Result<(), CliError> {
    let store = session.open()?;
    let now = session.now();
    let mut made = None;
    let webhook = changed(&store, text, "rotate", session, |_, webhook| {
        let algorithm = Algorithm::from_word(&webhook.algorithm).unwrap_or(Algorithm::Hmac);
        let (bytes, key) = new_key(algorithm)?;
        let former = std::mem::replace(&mut webhook.key, bytes);
        webhook.former_key = Some((former, now.plus(ROTATION)));
        made = Some(key);
        Ok(())
    })?;
    let key = made.ok_or_else(|| CliError::Failed("no key was made".to_owned()))?;
    let shown = shown_of(&store, webhook, now)?;
    let text = format!(
        "Webhook {} has a new key; until {} the former one signs too.\n\n{}",
        shown.webhook.id,
        now.plus(ROTATION),
        key_text(&key),
    );
    print_key(&shown, &key, text, session)
}

/// Prints an endpoint with its new key.
fn print_key(shown: &Shown, key: &Key, text: String, session: &Session) -> Result<(), CliError> {
    let mut json = shown.as_json();
    if matches!(key, Key::Hmac(..)) {
        json["secret"] = key.for_receiver().as_str().into();
    }
    session.print(&Answer { json, text }).map_err(|error| {
        let rotate = session.command(&format!("webhook rotate {}", shown.webhook.id));
        let reason = match error {
            CliError::Output(it) => it.to_string(),
            other => other.to_string(),
        };
        CliError::Failed(format!(
            "the key was made but could not be shown ({reason}): make another with `{rotate}`"
        ))
    })
}

fn key_text(key: &Key) -> String {
    let shown = key.for_receiver();
    let shown = shown.as_str();
    match key {
        Key::Hmac(..) => format!(
            "  Secret      {shown}\n\nIt is shown this once. The receiver verifies with it what \
             comes.\n"
        ),
        Key::Ed25519(_) => format!(
            "  Public key  {shown}\n\nThe receiver verifies with it what comes; the private key \
             stays in the database.\n"
        ),
    }
}

fn list(name: Option<&str>, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let webhooks = store.read(|tx| {
        let org = name.map(|it| org::find(tx, it, session)).transpose()?;
        Ok::<_, CliError>(tx.webhooks(org.map(|it| it.key))?)
    })?;
    let now = session.now();
    let webhooks = webhooks.into_iter().map(|it| shown_of(&store, it, now));
    let webhooks = webhooks.collect::<Result<Vec<_>, _>>()?;
    let json = webhooks.iter().map(Shown::as_json).collect();
    if webhooks.is_empty() {
        let add =
            session.command(&format!("webhook add {} URL", name.map_or("ORG".into(), quoted)));
        return Ok(Answer { json, text: format!("There is no webhook. To make one:\n  {add}") });
    }
    Ok(Answer { json, text: table(HEAD, webhooks.iter().map(cells)) })
}

fn show(text: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let webhook = store.read(|tx| find(tx, text, session))?;
    let shown = shown_of(&store, webhook, session.now())?;
    Ok(Answer { json: shown.as_json(), text: in_words(&shown, session) })
}

fn test(text: &str, session: &Session) -> Result<(), CliError> {
    let store = session.open()?;
    let webhook = store.read(|tx| find(tx, text, session))?;
    let now = session.now();
    let tested = Tested::send(&webhook, now).map_err(CliError::Failed)?;
    let delivery = &tested.delivery;
    store.write(now, |tx| tx.add_deliveries(&webhook.id, std::slice::from_ref(delivery)))?;
    let _ = store.checkpoint();
    let (json, headers, body) = (tested.to_json(), &tested.headers, &tested.body);
    let shown: String = headers.iter().map(|(name, it)| format!("  {name}: {it}\n")).collect();
    let text = format!(
        "POST {}\n{shown}\n  {body}\n\n{}\n",
        printable(&webhook.url),
        outcome_text(delivery)
    );
    session.print(&Answer { json, text })?;
    match &delivery.error {
        None => Ok(()),
        Some(reason) => Err(CliError::Failed(format!("the test event was not taken: {reason}"))),
    }
}

fn deliveries(args: &Deliveries, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let (webhook, mut found) = store.read(|tx| {
        let webhook = find(tx, &args.id, session)?;
        let most = usize::try_from(DELIVERIES_MAX).unwrap_or(usize::MAX);
        let found = tx.deliveries(&webhook.id, most)?;
        Ok::<_, CliError>((webhook, found))
    })?;
    found.retain(|it| !args.failed || it.error.is_some());
    found.truncate(args.limit as usize);
    let json = found.iter().map(delivery_json).collect();
    if found.is_empty() {
        let what = if args.failed { "No request has failed" } else { "There was no request yet" };
        return Ok(Answer { json, text: format!("{what} to webhook {}.", webhook.id) });
    }
    let head = ["NUMBER", "TIME", "EVENT", "TYPE", "ATTEMPT", "STATUS", "MS", "WHAT CAME BACK"];
    Ok(Answer { json, text: table(head, found.iter().map(delivery_cells)) })
}

fn replay(args: &Replay, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let mut trimmed = 0;
    let webhook = changed(&store, &args.id, "replay", session, |tx, webhook| {
        let newest = tx.last_change(webhook.org)?;
        if args.from > newest + 1 {
            let org = tx.org_by_key(webhook.org)?.name;
            return Err(CliError::Failed(format!(
                "there is no change {} yet: the newest of {org} has number {newest}",
                args.from
            )));
        }
        trimmed = tx.trimmed(webhook.org)?;
        let position = Position { after: args.from - 1, delivered: 0 };
        webhook.progress = Progress { position, ..Progress::default() };
        Ok(())
    })?;
    let mut text = format!("Webhook {} goes on from number {} on.", webhook.id, args.from);
    if trimmed >= args.from {
        text += &format!(
            "\nThe changes up to number {trimmed} are not kept any more: it is told so with an \
             event webhook.gap, and goes on behind them."
        );
    }
    let shown = shown_of(&store, webhook, session.now())?;
    Ok(Answer { json: shown.as_json(), text })
}

fn enable(text: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let webhook = changed(&store, text, "enable", session, |_, webhook| {
        let position = webhook.progress.position;
        webhook.progress = Progress { position, ..Progress::default() };
        Ok(())
    })?;
    let shown = shown_of(&store, webhook, session.now())?;
    let text = format!(
        "Webhook {} goes on behind number {}.{}",
        shown.webhook.id,
        shown.webhook.progress.position.after,
        shown.missed_text(),
    );
    Ok(Answer { json: shown.as_json(), text })
}

fn disable(text: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let now = session.now();
    let webhook = changed(&store, text, "disable", session, |_, webhook| {
        webhook.progress.disabled = Some(now);
        webhook.progress.reason = Some("a command has disabled it".to_owned());
        Ok(())
    })?;
    let shown = shown_of(&store, webhook, now)?;
    let enable = session.command(&format!("webhook enable {}", shown.webhook.id));
    let text = format!(
        "Webhook {} is disabled. It goes on from where it is, for as long as changes are kept:\n  \
         {enable}",
        shown.webhook.id
    );
    Ok(Answer { json: shown.as_json(), text })
}

fn remove(text: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let webhook = store.write(session.now(), |tx| {
        let webhook = find(tx, text, session)?;
        tx.remove_webhook(&webhook.id)?;
        record_change(tx, session.actor(), "remove", Some(&webhook), None)?;
        Ok::<_, CliError>(webhook)
    })?;
    let _ = store.checkpoint();
    let json = json!({ "id": webhook.id, "removed": true });
    let text = format!("Webhook {} to {} is removed.", webhook.id, printable(&webhook.url));
    Ok(Answer { json, text })
}

fn shown_of(store: &Store, webhook: Webhook, now: Timestamp) -> Result<Shown, CliError> {
    store.read(|tx| Ok::<_, CliError>(Shown::read_in(tx, webhook, now)?))
}

/// Changes an endpoint; a running server goes on with what it is then within a second.
fn changed(
    store: &Store,
    text: &str,
    method: &str,
    session: &Session,
    by: impl FnOnce(&Read, &mut Webhook) -> Result<(), CliError>,
) -> Result<Webhook, CliError> {
    let webhook = store.write(session.now(), |tx| {
        let before = find(tx, text, session)?;
        change(tx, session.actor(), method, &before, by)
    })?;
    let _ = store.checkpoint();
    Ok(webhook)
}

fn find(tx: &Read, text: &str, session: &Session) -> Result<Webhook, CliError> {
    let id = text.trim();
    tx.webhook(id)?.ok_or_else(|| {
        let list = session.command("webhook list");
        let id = printable(id);
        CliError::Failed(format!("there is no webhook {id}: `{list}` shows the ids"))
    })
}

/// A new key, as it is kept and ready to sign.
fn new_key(algorithm: Algorithm) -> Result<(Zeroizing<Vec<u8>>, Key), CliError> {
    let bytes = Zeroizing::new(id::key().to_vec());
    let key = Key::new(algorithm, &bytes);
    let key = key.ok_or_else(|| CliError::Failed("no key could be made".to_owned()))?;
    Ok((bytes, key))
}

/// Each type once, in the order in which they are documented.
fn in_order(kinds: &[String]) -> Vec<String> {
    let all = Kind::ALL.iter().map(|(_, name)| (*name).to_owned());
    all.filter(|it| kinds.contains(it)).collect()
}

fn kind() -> PossibleValuesParser {
    PossibleValuesParser::new(Kind::ALL.map(|(_, name)| name))
}

fn algorithm() -> impl TypedValueParser<Value = Algorithm> {
    let words = Algorithm::ALL.map(|(_, word)| word);
    PossibleValuesParser::new(words).map(|it| Algorithm::from_word(&it).unwrap_or(Algorithm::Hmac))
}

/// The endpoints of an organisation as `plumm status` shows them.
///
/// # Errors
/// Failures of the store.
pub fn of_org(tx: &Read, org: &Org, now: Timestamp) -> Result<Vec<Shown>, CliError> {
    let webhooks = tx.webhooks(Some(org.key))?.into_iter();
    webhooks.map(|it| Ok(Shown::read_in(tx, it, now)?)).collect()
}

/// Endpoints under their heads.
#[must_use]
pub fn as_table(webhooks: &[Shown]) -> String {
    table(HEAD, webhooks.iter().map(cells))
}

/// Endpoints as JSON.
#[must_use]
pub fn as_json(webhooks: &[Shown]) -> Value {
    webhooks.iter().map(Shown::as_json).collect()
}
