//! `plumm status`: whether the server runs, and what it holds of each organisation.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, table, time_cell};
use crate::cli::webhook;
use crate::cli::webhook::shown::Shown;
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::open::Open;
use crate::store::paths::{beside, resolved};
use crate::store::serve_lock::{Serving, serving};
use crate::store::tables::census::Census;
use crate::store::tables::org::Org;
use crate::store::transaction::Read;

/// The command has no arguments of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, for a program that watches plumm:\n  plumm status --json\n\n\
                        The exit code is 0 whether the server is running or not.")]
pub struct Args {}

/// The note that a running server leaves for this command: `base` is its base URL, `certificate`
/// when its certificate expires, in seconds since the epoch.
#[must_use]
pub fn status_note(base: &str, started: Timestamp, certificate: Option<i64>) -> String {
    let expires =
        certificate.map(|it| Timestamp::from_nanoseconds(it.saturating_mul(1_000_000_000)));
    let mut note = json!({
        "pid": std::process::id(),
        "url": base,
        "started": started.to_string(),
    });
    if let Some(at) = expires {
        note["certificate_expires"] = at.to_string().into();
    }
    note.to_string()
}

/// Runs the command.
///
/// # Errors
/// Whatever keeps the file from being read.
pub fn run(_: &Args, session: &Session) -> Result<Answer, CliError> {
    let now = session.now();
    let store = Store::open(session.db(), Open::ReadOnly)?;
    let (schema, orgs) = store.read(|read| {
        let orgs = read.orgs()?.into_iter().map(|org| OrgStatus::read(read, org, now));
        Ok::<_, CliError>((read.schema_version()?, orgs.collect::<Result<Vec<_>, _>>()?))
    })?;
    drop(store);
    let server = server(session.db())?;
    let bytes = bytes_of(session.db());
    let json = json!({
        "server": server,
        "database": { "path": session.db().to_string_lossy(), "bytes": bytes, "schema": schema },
        "orgs": orgs.iter().map(OrgStatus::as_json).collect::<Vec<_>>(),
    });
    let mut text = format!(
        "Server       {}\n\
         Database     {}, {} KiB, schema {schema}\n",
        in_words(&server),
        printable(&session.db().to_string_lossy()),
        bytes.div_ceil(1024),
    );
    if let Some(at) = server["certificate_expires"].as_str() {
        text += &format!("Certificate  expires {}\n", printable(at));
    }
    text.push('\n');
    text += &if orgs.is_empty() {
        let create = session.command("org create acme");
        format!("There is no organisation yet. To make one:\n  {create}")
    } else {
        let head = [
            "NAME",
            "ACTIVATED",
            "ACTIVE",
            "INACTIVE",
            "GROUPS",
            "LAST PUSH",
            "TOKENS",
            "NEXT EXPIRY",
        ];
        table(head, orgs.iter().map(OrgStatus::cells))
    };
    let has_webhooks = orgs.iter().any(|it| !it.webhooks.is_empty());
    if has_webhooks {
        let all = orgs.into_iter().flat_map(|it| it.webhooks).collect::<Vec<_>>();
        text += &format!("\n{}", webhook::as_table(&all));
    }
    Ok(Answer { json, text })
}

/// One organisation.
struct OrgStatus {
    org: Org,
    census: Census,
    last_push: Option<Timestamp>,
    /// How many tokens are valid.
    tokens: usize,
    next_token_expiry: Option<Timestamp>,
    webhooks: Vec<Shown>,
}

impl OrgStatus {
    fn read(read: &Read, org: Org, now: Timestamp) -> Result<OrgStatus, CliError> {
        let tokens = read.valid_tokens(org.key, now)?;
        Ok(OrgStatus {
            census: read.census(org.key)?,
            last_push: read.last_push(org.key)?,
            webhooks: webhook::of_org(read, &org, now)?,
            tokens: tokens.len(),
            next_token_expiry: tokens.iter().filter_map(|it| it.expires).min(),
            org,
        })
    }

    fn as_json(&self) -> Value {
        json!({
            "name": self.org.name,
            "active": self.org.active,
            "users": { "active": self.census.active, "inactive": self.census.inactive },
            "groups": self.census.groups,
            "last_push": self.last_push.map(|it| it.to_string()),
            "tokens": self.tokens,
            "next_token_expiry": self.next_token_expiry.map(|it| it.to_string()),
            "webhooks": webhook::as_json(&self.webhooks),
        })
    }

    fn cells(&self) -> [String; 8] {
        [
            self.org.name.clone(),
            if self.org.active { "yes" } else { "no" }.to_owned(),
            self.census.active.to_string(),
            self.census.inactive.to_string(),
            self.census.groups.to_string(),
            time_cell(self.last_push),
            self.tokens.to_string(),
            time_cell(self.next_token_expiry),
        ]
    }
}

/// Whether a server runs on this file, and what its note says.
fn server(database: &Path) -> Result<Value, CliError> {
    let serving = serving(database)?;
    // A server that has only just started has left no note.
    let noted: Value = match &serving {
        Serving::Here(note) => serde_json::from_str(note).unwrap_or_default(),
        Serving::Nobody | Serving::Elsewhere => Value::Null,
    };
    Ok(json!({
        "running": serving != Serving::Nobody,
        "pid": noted["pid"],
        "url": noted["url"],
        "started": noted["started"],
        "certificate_expires": noted["certificate_expires"],
    }))
}

fn in_words(server: &Value) -> String {
    if server["running"] != true {
        return "not running".to_owned();
    }
    match (server["url"].as_str(), server["started"].as_str(), server["pid"].as_u64()) {
        (Some(url), Some(started), Some(pid)) => {
            let (url, started) = (printable(url), printable(started));
            format!("running at {url} since {started}, process {pid}")
        }
        // It is just being started, or somebody has removed its note.
        _ => "running".to_owned(),
    }
}

/// The size of the database with the log beside it, in bytes.
fn bytes_of(database: &Path) -> u64 {
    let log = beside(&resolved(database), "-wal");
    let sizes = [database, &log].map(|it| fs::metadata(it).map_or(0, |it| it.len()));
    sizes.iter().sum()
}
