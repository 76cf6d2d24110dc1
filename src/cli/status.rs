//! `plumm status`: whether the server runs, and what it holds of each organisation.

use std::path::Path;

use serde_json::{Value, json};

use crate::by_hand::webhook::Shown;
use crate::cli::error::CliError;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, table, time_cell};
use crate::cli::webhook;
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::copies::last_backup::{self, LastBackups};
use crate::store::disk;
use crate::store::open::Open;
use crate::store::paths::folder_of;
use crate::store::serve_lock::{Serving, serving};
use crate::store::tables::census::Census;
use crate::store::tables::org::Org;
use crate::store::tables::refusal::Refusal;
use crate::store::transaction::Read;

/// The command has no arguments of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, for a program that watches plumm:\n  plumm status --json\n\n\
                        The exit code is 0 whether the server is running or not.")]
pub struct Args {}

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
    let refused = orgs.iter().filter_map(|it| Some((&it.org.name, it.last_refusal.as_ref()?)));
    let last_refusal = refused.max_by_key(|(_, it)| it.last);
    let sizes = disk::sizes(session.db());
    let bytes = sizes.file.saturating_add(sizes.log);
    let backups = last_backup::read(session.db());
    let json = json!({
        "server": server,
        "database": {
            "path": session.db().to_string_lossy(),
            "bytes": bytes,
            "wal_bytes": sizes.log,
            "free_bytes": disk::free_bytes(folder_of(session.db())).ok(),
            "schema": schema,
        },
        "backup": backups.to_json(),
        "last_refusal": last_refusal.map(|(_, it)| it.last.to_string()),
        "orgs": orgs.iter().map(OrgStatus::as_json).collect::<Vec<_>>(),
    });
    let mut text = format!(
        "Server       {}\n\
         Database     {}, {} KiB, of which {} KiB in the write-ahead log, schema {schema}\n",
        in_words(&server),
        printable(&session.db().to_string_lossy()),
        bytes.div_ceil(1024),
        sizes.log.div_ceil(1024),
    );
    text += &in_lines(&backups);
    if let Some((name, it)) = last_refusal {
        let (what, detail) = (printable(&it.in_short()), printable(&it.detail));
        text += &format!("Refused      a request of {name}, last at {}: {what},\n", it.last);
        text += &format!("             \"{detail}\"\n");
    }
    if let Some(at) = server["certificate_expires"].as_str() {
        text += &format!("Certificate  expires {}\n", printable(at));
    }
    text += &acme_in_lines(&server);
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
    last_refusal: Option<Refusal>,
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
            last_refusal: read.last_refusal(org.key)?.map(|it| it.refusal),
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
            "last_refusal": self.last_refusal.as_ref().map(refusal_as_json),
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

fn refusal_as_json(it: &Refusal) -> Value {
    json!({
        "time": it.last.to_string(),
        "first": it.first.to_string(),
        "count": it.count,
        "method": it.method,
        "path": it.path,
        "status": it.status,
        "scim_type": it.scim_type,
        "detail": it.detail,
    })
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
        "acme": noted["acme"],
    }))
}

/// How it stands with a certificate by ACME, as lines of text; nothing without one.
fn acme_in_lines(server: &Value) -> String {
    let (noted, has_one) = (&server["acme"], !server["certificate_expires"].is_null());
    if noted.is_null() {
        return String::new();
    }
    let mut text = String::new();
    if !has_one {
        text += "Certificate  there is none yet, and no client gets through the TLS handshake\n";
    }
    if let Some(error) = noted["error"].as_str() {
        text += &format!("             FAILED: {}\n", printable(error));
    }
    if let Some(next) = noted["next"].as_str() {
        let deed = if has_one { "renewed" } else { "asked for again" };
        text += &format!("             {deed} {}\n", printable(next));
    }
    text
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

/// The same as lines of text.
fn in_lines(backups: &LastBackups) -> String {
    let mut text = match &backups.made {
        Some(it) => {
            let file = printable(&it.file.to_string_lossy());
            format!("Backup       made {}, up to change {}: {file}\n", it.time, it.change)
        }
        None => "Backup       none is known\n".to_owned(),
    };
    if let Some((since, it)) = &backups.failed {
        let reason = printable(&it.reason);
        text += &format!("             FAILED at {}, and each since {since}: {reason}\n", it.time);
    }
    text
}
