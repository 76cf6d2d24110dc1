//! `plumm doctor`: numbered checks, each with what it found and the command that mends it.

mod acme;
mod backups;
mod certificate;
pub mod facts;
mod files;
pub mod finding;
mod orgs;
mod remedy;
mod server;
mod settings;
mod words;

use serde_json::{Value, json};

use crate::cli::doctor::facts::{Environment, Facts};
use crate::cli::doctor::finding::{Finding, State};
use crate::cli::error::CliError;
use crate::cli::session::{Answer, Session};
use crate::cli::text::printable;

/// The command has no arguments of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, beside a running server or without one:\n  plumm doctor\n\n\
                        It changes nothing. The exit code is 1 when something needs to be \
                        done, and 0 otherwise.")]
pub struct Args {}

/// One check.
type Check = fn(&Facts) -> Finding;

/// The checks, by name. A check keeps its number and its name for good: a new one comes last.
const CHECKS: [(&str, Check); 17] = [
    ("file", files::file),
    ("schema", files::schema),
    ("permissions", files::permissions),
    ("space", files::space),
    ("wal", files::wal),
    ("backup", backups::backup),
    ("listening", server::listening),
    ("public-url", server::public_url),
    ("certificate", certificate::certificate),
    ("proxy", server::proxy),
    ("clock", server::clock),
    ("settings", settings::settings),
    ("organisations", orgs::organisations),
    ("tokens", orgs::tokens),
    ("contact", orgs::contact),
    ("refusals", orgs::refusals),
    ("webhooks", orgs::webhooks),
];

/// Runs the checks and prints what they found.
///
/// # Errors
/// When something needs to be done.
pub fn run(_: &Args, environment: Environment<'_>, session: &Session) -> Result<(), CliError> {
    let facts = Facts::read(session, environment);
    let checks = CHECKS.iter().enumerate();
    let found: Vec<Checked> = checks
        .map(|(i, (name, check))| Checked { number: i + 1, name, finding: check(&facts) })
        .collect();
    let to_do = found.iter().filter(|it| it.finding.state == State::ToDo);
    let to_do: Vec<String> = to_do.map(|it| format!("{} ({})", it.number, it.name)).collect();
    let text = found.iter().map(Checked::as_text).collect();
    let json = json!({
        "healthy": to_do.is_empty(),
        "database": facts.database.to_string_lossy(),
        "time": facts.now.to_string(),
        "checks": found.iter().map(Checked::as_json).collect::<Value>(),
    });
    session.print(&Answer { json, text })?;
    match to_do.len() {
        0 => Ok(()),
        1 => Err(CliError::Failed(format!("1 check asks for something: {}", to_do.join(", ")))),
        n => Err(CliError::Failed(format!("{n} checks ask for something: {}", to_do.join(", ")))),
    }
}

/// A check that was made.
struct Checked {
    number: usize,
    name: &'static str,
    finding: Finding,
}

impl Checked {
    fn as_text(&self) -> String {
        let word = match self.finding.state {
            State::ToDo => "TO DO",
            other => other.word(),
        };
        let mut text = format!("{:2}  {:13}  {word:7}", self.number, self.name);
        let margin = " ".repeat(28);
        for (i, (_, sentence)) in self.finding.found.iter().enumerate() {
            let margin = if i == 0 { "  " } else { &margin };
            text += &format!("{margin}{}\n", printable(sentence));
        }
        for command in &self.finding.commands {
            text += &format!("{margin}$ {}\n", printable(command));
        }
        text
    }

    fn as_json(&self) -> Value {
        let found = self.finding.found.iter();
        json!({
            "id": self.number,
            "name": self.name,
            "state": self.finding.state.word(),
            "found": found.map(|(_, it)| it.as_str()).collect::<Value>(),
            "commands": self.finding.commands,
        })
    }
}
