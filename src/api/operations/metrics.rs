//! `/metrics`: what the server counts, and what there is of the organisation that asks.

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::metrics::text::{CONTENT_TYPE, Text};
use crate::scim::datetime::Timestamp;
use crate::store::copies::last_backup;
use crate::store::disk;
use crate::store::paths::folder_of;
use crate::store::tables::token::Scope;

/// Answers with the counters of the server, and the accounts, groups and token expiries of this
/// organisation; of no other.
///
/// # Errors
/// Failures of the store.
pub fn get(context: &Context, _: &Request) -> Result<Response, Failure> {
    let org = context.principal.org.key;
    let (census, tokens, refused_last) = context.read(|tx| {
        Ok((tx.census(org)?, tx.valid_tokens(org, context.now)?, tx.last_refusal(org)?))
    })?;
    let mut text = context.metrics.to_text();
    let (waiting, refused) = context.memory.waiting_and_refused();
    let (reads, writes) = (context.store.long_reads(), context.store.writes());
    for (name, kind, help, value) in [
        (
            "plumm_memory_bytes_max",
            "gauge",
            "Memory that parsed bodies, pages and unwritten answers may take, those of one \
             organisation three quarters of it.",
            context.memory.total() as u64,
        ),
        (
            "plumm_memory_bytes",
            "gauge",
            "Memory that they have taken.",
            context.memory.in_use() as u64,
        ),
        ("plumm_memory_waiting", "gauge", "Requests that wait for memory.", waiting as u64),
        ("plumm_memory_refused_total", "counter", "Requests refused for want of it.", refused),
        ("plumm_writes_waiting", "gauge", "Changes that wait for their turn.", writes.0 as u64),
        ("plumm_writes_refused_total", "counter", "Changes refused since too many wait.", writes.1),
        ("plumm_long_reads_running", "gauge", "Long lists being read.", reads.0 as u64),
        ("plumm_long_reads_waiting", "gauge", "Long lists that wait.", reads.1 as u64),
        ("plumm_long_reads_refused_total", "counter", "Long lists that were refused.", reads.2),
    ] {
        text.family(name, kind, help);
        text.sample(&[], value);
    }
    add_file(&mut text, context);
    let contact = tokens.iter().filter(|it| it.scope == Scope::Scim).filter_map(|it| it.last_used);
    if let Some(at) = contact.max() {
        let name = "plumm_last_contact_timestamp_seconds";
        let help = "When a valid token of its identity provider was last used, to the minute.";
        text.family(name, "gauge", help);
        text.sample(&[], at.nanoseconds() / 1_000_000_000);
    }
    if let Some(it) = refused_last {
        let name = "plumm_last_refusal_timestamp_seconds";
        let help = "When a request of that organisation was last refused, since the epoch.";
        text.family(name, "gauge", help);
        text.sample(&[], it.refusal.last.nanoseconds() / 1_000_000_000);
    }
    text.family("plumm_users", "gauge", "Accounts of the organisation whose token asks.");
    text.sample(&[("state", "active")], census.active);
    text.sample(&[("state", "inactive")], census.inactive);
    text.family("plumm_groups", "gauge", "Groups of that organisation.");
    text.sample(&[], census.groups);
    let name = "plumm_token_expiry_timestamp_seconds";
    text.family(name, "gauge", "When the next of its valid API tokens expires, since the epoch.");
    for (scope, word) in Scope::ALL {
        let of_scope = tokens.iter().filter(|it| it.scope == scope);
        if let Some(at) = of_scope.filter_map(|it| it.expires).min() {
            text.sample(&[("scope", word)], at.nanoseconds() / 1_000_000_000);
        }
    }
    Ok(Response::new(200, CONTENT_TYPE, text.into_bytes()))
}

/// Adds how large the database is, how much room its disk has, and what became of its backups.
fn add_file(text: &mut Text, context: &Context) {
    let database = context.store.path();
    let sizes = disk::sizes(database);
    let backups = last_backup::read(database);
    let seconds = |it: Timestamp| it.nanoseconds() / 1_000_000_000;
    let made = backups.made.as_ref();
    for (name, help, value) in [
        ("plumm_database_bytes", "The size of the database file.", i64::try_from(sizes.file).ok()),
        ("plumm_wal_bytes", "The size of its write-ahead log.", i64::try_from(sizes.log).ok()),
        (
            "plumm_disk_free_bytes",
            "Room on the disk of the database.",
            disk::free_bytes(folder_of(database)).ok().and_then(|it| i64::try_from(it).ok()),
        ),
        (
            "plumm_backup_last_success_timestamp_seconds",
            "When the last backup was made, since the epoch.",
            made.map(|it| seconds(it.time)),
        ),
        (
            "plumm_backup_last_success_bytes",
            "The size of the last backup.",
            made.and_then(|it| i64::try_from(it.bytes).ok()),
        ),
        (
            "plumm_backup_failed",
            "Whether the attempts at a scheduled backup since then have failed.",
            Some(i64::from(backups.failed.is_some())),
        ),
    ] {
        if let Some(value) = value {
            text.family(name, "gauge", help);
            text.sample(&[], value);
        }
    }
}
