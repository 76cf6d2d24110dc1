//! What an operator types: the grammar, what commands print, and with which exit code they end.

pub mod backup;
pub mod org;
pub mod schedule;
pub mod schema;
pub mod serve;
pub mod status;
pub mod tls;
pub mod token;
pub mod user;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;

use crate::clock::Clock;
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::open::Open;

/// The command did what was asked.
const EXIT_DONE: u8 = 0;
/// The command could not do it.
const EXIT_FAILED: u8 = 1;
/// The command line was wrong.
const EXIT_MISUSED: u8 = 2;

const DB_DEFAULT: &str = "./plumm.db";

/// plumm, a self-hosted SCIM 2.0 provisioning server: one program, one SQLite file
#[derive(Debug, Parser)]
#[command(
    name = "plumm",
    version,
    disable_help_subcommand = true,
    after_help = "Example, from nothing to a running server with an organisation and a token:\n  \
        plumm serve --init acme\n\n\
        PLUMM_LOG says how much is logged on standard error: error, warn, info, debug or trace."
)]
struct Cli {
    /// The database file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PLUMM_DB",
        hide_env_values = true,
        default_value = DB_DEFAULT
    )]
    db: PathBuf,
    /// Print one JSON value on standard output instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Args),
    /// Is the server running, and what is there of each organisation
    Status(status::Args),
    /// Organisations: who has provisioning, and by which rules
    #[command(subcommand)]
    Org(org::Command),
    /// TLS: a certificate of one's own
    #[command(subcommand)]
    Tls(tls::Command),
    /// API tokens: how an identity provider or an application comes in
    #[command(subcommand)]
    Token(token::Command),
    /// Extension schemas: attributes of an organisation's own
    #[command(subcommand)]
    Schema(schema::Command),
    /// User accounts: look at them, erase them for good, bring deleted ones back
    #[command(subcommand)]
    User(user::Command),
    /// Copy the database to a file, at any moment
    Backup(backup::Backup),
    /// Go back to a copy
    Restore(backup::Restore),
    /// Say whether a database or a copy is whole, and what it holds
    Check(backup::Check),
}

/// Runs the command these arguments ask for, and returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let session = Session { db: cli.db, json: cli.json };
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args, &session),
        Command::Status(args) => status::run(&args, &session).and_then(|it| session.print(&it)),
        Command::Org(command) => org::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Tls(command) => tls::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Token(command) => token::run(&command, &session),
        Command::Schema(command) => {
            schema::run(&command, &session).and_then(|it| session.print(&it))
        }
        Command::User(command) => user::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Backup(args) => backup::backup(&args, &session).and_then(|it| session.print(&it)),
        Command::Restore(args) => {
            backup::restore(&args, &session).and_then(|it| session.print(&it))
        }
        Command::Check(args) => backup::check(&args, &session),
    };
    match done {
        Ok(()) => EXIT_DONE,
        // Whoever read the answer has seen enough, as in `plumm user list acme | head`.
        Err(CliError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => EXIT_DONE,
        Err(error) => {
            complain(&error.to_string());
            error.exit_code()
        }
    }
}

/// A log record as one line: time, level, message. A line break in the message does not make a
/// second line, since part of it may come from a client.
#[must_use]
pub fn log_line(record: &log::Record) -> String {
    let message = printable(&record.args().to_string());
    let time = Clock::System.now();
    match record.target() {
        it if it.starts_with("plumm") => format!("{time} {:5} {message}", record.level()),
        other => format!("{time} {:5} {other}: {message}", record.level()),
    }
}

/// What every command is told beside its own arguments.
#[derive(Debug)]
pub struct Session {
    db: PathBuf,
    json: bool,
}

impl Session {
    /// The database file.
    #[must_use]
    pub fn db(&self) -> &Path {
        &self.db
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Clock::System.now()
    }

    /// Opens a database that is there.
    ///
    /// # Errors
    /// Whatever keeps the file from being used.
    pub fn open(&self) -> Result<Store, CliError> {
        Ok(Store::open(&self.db, Open::Existing)?)
    }

    /// A command to type next, on the same database.
    #[must_use]
    pub fn command(&self, rest: &str) -> String {
        let usual = env::var_os("PLUMM_DB").filter(|it| !it.is_empty());
        let usual = usual.unwrap_or_else(|| DB_DEFAULT.into());
        if self.db.as_os_str() == usual {
            return format!("plumm {rest}");
        }
        format!("plumm --db {} {rest}", quoted(&self.db.to_string_lossy()))
    }

    /// Prints the answer of a command: the one JSON value with `--json`, and its text otherwise.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, answer: &Answer) -> Result<(), CliError> {
        // On one line, so that a program can read it from a server that goes on running.
        let text = if self.json { &answer.json.to_string() } else { &answer.text };
        let mut out = io::stdout().lock();
        let printed = writeln!(out, "{}", text.trim_end());
        printed.and_then(|()| out.flush()).map_err(CliError::Output)
    }
}

/// What a command answers, for a program and for a person.
#[derive(Debug)]
pub struct Answer {
    /// The value that `--json` prints.
    pub json: Value,
    /// The text that is printed otherwise.
    pub text: String,
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum CliError {
    /// It could not be done: what was wrong, and what to do.
    Failed(String),
    /// It was asked for in a wrong way.
    Misused {
        /// What was wrong.
        message: String,
        /// What to type instead.
        instead: String,
    },
    /// The answer could not be printed.
    Output(io::Error),
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            CliError::Failed(_) | CliError::Output(_) => EXIT_FAILED,
            CliError::Misused { .. } => EXIT_MISUSED,
        }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> CliError {
        CliError::Failed(error.to_string())
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CliError::Failed(message) => write!(f, "error: {message}"),
            CliError::Misused { message, instead } => {
                write!(f, "error: {message}\n\nTry: {instead}")
            }
            CliError::Output(error) => {
                write!(f, "error: the answer could not be written to standard output: {error}")
            }
        }
    }
}

impl std::error::Error for CliError {}

/// Reads the command line; on help and on misuse, prints what there is to say and returns the exit
/// code.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let args: Vec<OsString> = args.into_iter().collect();
    let grammar = without_empty_settings(Cli::command());
    let matches = grammar.clone().try_get_matches_from(&args);
    let parsed = matches.and_then(|it| Cli::from_arg_matches(&it));
    parsed.map_err(|error| {
        if !error.use_stderr() {
            // Help or version. Nothing is lost when nobody reads it.
            let _ = error.print();
            return EXIT_DONE;
        }
        let text = error.render().to_string();
        let text = text.split("\n\nFor more information").next().unwrap_or_default();
        complain(&format!("{}\n\nTry: {} --help", text.trim_end(), meant(&grammar, &args)));
        EXIT_MISUSED
    })
}

/// The command that was meant, as far as its words were right.
fn meant(grammar: &clap::Command, args: &[OsString]) -> String {
    let (mut name, mut command) = ("plumm".to_owned(), grammar);
    for word in args.iter().skip(1) {
        if let Some(found) = command.find_subcommand(word) {
            name = format!("{name} {}", found.get_name());
            command = found;
        }
    }
    name
}

/// An environment variable that is set to nothing, as deployment files often leave them, is no
/// setting.
fn without_empty_settings(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|it| it.is_empty());
    command
        .mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        })
        .mut_subcommands(without_empty_settings)
}

/// Says what went wrong. Nothing is left to be done when even that cannot be written.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Rows under their heads, each column as wide as its widest cell.
fn table<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]> + Clone,
) -> String {
    let mut widths = head.map(str::len);
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in iter::once(head.map(str::to_owned)).chain(rows) {
        for (width, cell) in widths.iter().zip(&row) {
            text += &format!("{cell:width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// A time in a table, or a dash.
fn time_cell(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |it| it.to_string())
}

/// The text without characters that a terminal would obey instead of showing.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for it in text.chars() {
        if it.is_control() {
            shown.extend(it.escape_default());
        } else {
            shown.push(it);
        }
    }
    shown
}

/// The text as one word of a shell command.
fn quoted(text: &str) -> String {
    let plain = |it: char| it.is_alphanumeric() || "@%+=:,./-_".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A number of days.
fn days(text: &str, max: u32) -> Result<u32, String> {
    let days = text.parse().ok().filter(|it| (1..=max).contains(it));
    days.ok_or_else(|| format!("it must be a number of days from 1 to {max}"))
}

/// Checks a name or a label: trimmed, within a length, no control characters.
fn checked_text(text: &str, chars_max: usize) -> Result<String, String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("it contains a line break or another control character".to_owned());
    }
    if text.chars().count() > chars_max {
        return Err(format!("it is longer than {chars_max} characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound_and_every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            if command.has_subcommands() {
                command.get_subcommands().for_each(check);
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{}", command.get_name());
            }
        }
        Cli::command().debug_assert();
        check(&Cli::command());
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [["acme", "yes", "a"], ["Jürgen & Söhne", "no", ""]];
        let rows = rows.iter().map(|row| row.map(str::to_owned));
        let expected = "\
NAME            ON   LABEL
acme            yes  a
Jürgen & Söhne  no
";
        assert_eq!(table(["NAME", "ON", "LABEL"], rows), expected);
    }

    #[test]
    fn what_a_terminal_or_a_shell_would_obey_is_made_harmless() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{9b}é"), "a\\u{1b}[31mb\\nc\\u{9b}é");
        assert_eq!(quoted("acme"), "acme");
        assert_eq!(quoted("Söhne"), "Söhne");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_command_that_was_meant_is_found() {
        for (line, expected) in [
            ("plumm", "plumm"),
            ("plumm creat", "plumm"),
            ("plumm org creat", "plumm org"),
            ("plumm --json org create --activat x", "plumm org create"),
            ("plumm org create org", "plumm org create"),
        ] {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(meant(&Cli::command(), &args), expected, "{line}");
        }
    }
}
