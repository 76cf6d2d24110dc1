//! `plumm backup`, `plumm restore`, `plumm check`: copies of the database.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::by_hand::login::USER;
use crate::cli::error::CliError;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table};
use crate::store::copies::backup;
use crate::store::copies::check::{self, OrgContent, Report};
use crate::store::copies::last_backup;
use crate::store::copies::restore;
use crate::store::error::Error;

/// The other resource type that a report counts.
const GROUP: &str = "Group";

/// What to back up to.
#[derive(Debug, Args)]
#[command(after_help = "Example, beside a running server or without one:\n  \
                        plumm backup /backups/plumm-monday.db")]
pub struct Backup {
    /// The file to make; it must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What to restore.
#[derive(Debug, Args)]
#[command(after_help = "Example, after the server has been stopped:\n  \
                        plumm restore /backups/plumm-monday.db --force")]
pub struct Restore {
    /// The copy to go back to; it stays as it is
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the database that is there; it is kept under another name
    #[arg(long)]
    force: bool,
}

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plumm check /backups/plumm-monday.db")]
pub struct Check {
    /// The file to look at, instead of the database; it is not changed
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Check {
    /// Whether it is about another file than the database of the settings.
    #[must_use]
    pub fn names_file(&self) -> bool {
        self.file.is_some()
    }
}

/// Makes a backup.
///
/// # Errors
/// Why there is none.
pub fn backup(args: &Backup, session: &Session) -> Result<Answer, CliError> {
    let report = backup::backup(session.db(), &args.file).map_err(copy_refused)?;
    last_backup::note_made(session.db(), session.now(), &args.file, &report);
    let text =
        format!("The backup {} is made and checked.\n{}", shown(&args.file), summary(&report));
    Ok(Answer { json: as_json(&args.file, &report), text })
}

/// Puts a copy in the place of the database.
///
/// # Errors
/// Why nothing was restored.
pub fn restore(args: &Restore, session: &Session) -> Result<Answer, CliError> {
    let restored = restore::restore(session.db(), &args.file, args.force, session.now());
    let restored = restored.map_err(copy_refused)?;
    let mut text = format!("{} holds what {} holds.\n", shown(session.db()), shown(&args.file));
    if let Some(kept) = &restored.kept {
        text += &format!(
            "What was there before is kept as {}: remove it when you are sure.\n",
            shown(kept)
        );
    }
    text += &format!(
        "Start the server now: {}. API tokens are those of the copy, and the identity provider \
         does not push again by itself what it has changed since.\n{}",
        session.command("serve"),
        summary(&restored.report)
    );
    let mut json = as_json(session.db(), &restored.report);
    json["kept"] = restored.kept.map(|it| it.to_string_lossy().into_owned()).into();
    Ok(Answer { json, text })
}

/// Says whether a file is whole, and what it holds. With `--json` the value is printed in either
/// case.
///
/// # Errors
/// When it is not whole, and when it cannot be read.
pub fn check(args: &Check, session: &Session) -> Result<(), CliError> {
    let file = args.file.as_deref().unwrap_or(session.db());
    let report = check::check(file, &env::temp_dir())?;
    if session.json() || report.is_whole() {
        let text = format!("{} is whole.\n{}", shown(file), summary(&report));
        session.print(&Answer { json: as_json(file, &report), text })?;
    }
    if report.is_whole() {
        return Ok(());
    }
    let mut error = format!("{} is not whole: {}", shown(file), report.faults.join("; "));
    if report.more > 0 {
        error += &format!("; and {} more findings", report.more);
    }
    let restore = format!("restore {} --force", quoted("BACKUP"));
    Err(CliError::Failed(match args.file {
        Some(_) => error,
        None => format!("{error}. To go back to a backup: {}", session.command(&restore)),
    }))
}

/// The error of a copy that was not made, with the way to have one all the same.
fn copy_refused(error: Error) -> CliError {
    match error {
        Error::NotWhole(..) => CliError::Failed(format!(
            "{error}. To hand the file to support as it is: copy it with cp, and the -wal file \
             beside it, while no server runs on it"
        )),
        other => other.into(),
    }
}

fn shown(file: &Path) -> String {
    printable(&file.display().to_string())
}

fn summary(report: &Report) -> String {
    let mut text = match report.last_change {
        Some((number, time)) => format!("Last change   number {number}, {time}\n"),
        None => "Last change   none yet\n".to_owned(),
    };
    text += &format!("Schema        {}", report.schema);
    if report.schema < report.known {
        text += &format!(" (brought to {} when the server opens it)", report.known);
    }
    let rows = report
        .orgs
        .iter()
        .map(|it| [it.name.clone(), count(it, USER).to_string(), count(it, GROUP).to_string()]);
    text + "\n\n" + &table(["ORGANISATION", "USERS", "GROUPS"], rows)
}

fn as_json(file: &Path, report: &Report) -> Value {
    let orgs = report
        .orgs
        .iter()
        .map(|it| json!({ "name": it.name, "users": count(it, USER), "groups": count(it, GROUP) }));
    let last_change = report
        .last_change
        .map(|(number, time)| json!({ "number": number, "time": time.to_string() }));
    json!({
        "file": file.to_string_lossy(),
        "whole": report.is_whole(),
        "faults": report.faults,
        "more_faults": report.more,
        "schema": report.schema,
        "schema_newest": report.known,
        "orgs": orgs.collect::<Value>(),
        "last_change": last_change,
    })
}

fn count(org: &OrgContent, resource_type: &str) -> i64 {
    org.counts.get(resource_type).copied().unwrap_or(0)
}
