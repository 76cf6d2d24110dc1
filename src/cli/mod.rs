//! The commands that an operator types: their grammar, and what runs for each.

mod arguments;
pub mod backup;
pub mod doctor;
pub mod erasure;
pub mod error;
pub mod group;
pub mod operator;
pub mod org;
pub mod record;
pub mod resource_type;
pub mod schema;
pub mod serve;
pub mod session;
pub mod status;
mod text;
pub mod tls;
pub mod token;
pub mod user;
pub mod webhook;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Args as _, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::doctor::facts::Known;
use crate::cli::error::{CliError, EXIT_MISUSED};
use crate::cli::serve::allocator::STARTED_AGAIN;
use crate::cli::serve::note::Settings;
use crate::cli::session::{DB_DEFAULT, Session};
use crate::cli::text::{printable, printable_lines};
use crate::clock::Clock;

/// The command did what was asked.
const EXIT_DONE: u8 = 0;

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
    Serve(serve::args::Args),
    /// Is the server running, and what is there of each organisation
    Status(status::Args),
    /// Look for whatever needs to be done, and say how
    Doctor(doctor::Args),
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
    /// Resource types of an organisation's own, beside users and groups
    #[command(subcommand)]
    ResourceType(resource_type::Command),
    /// User accounts: look at them, erase them for good, bring deleted ones back
    #[command(subcommand)]
    User(user::Command),
    /// Webhooks: an application that is told of every change
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Groups: look at them, erase deleted ones for good, bring them back
    #[command(subcommand)]
    Group(group::Command),
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
    let session = Session::new(cli.db, cli.json);
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args, &session),
        Command::Status(args) => status::run(&args, &session).and_then(|it| session.print(&it)),
        Command::Doctor(args) => doctor::run(&args, known(), &session),
        Command::Org(command) => org::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Tls(command) => tls::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Token(command) => token::run(&command, &session),
        Command::Schema(command) => {
            schema::run(&command, &session).and_then(|it| session.print(&it))
        }
        Command::ResourceType(command) => {
            resource_type::run(&command, &session).and_then(|it| session.print(&it))
        }
        Command::User(command) => user::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Webhook(command) => webhook::run(&command, &session),
        Command::Group(command) => group::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Backup(args) => backup::backup(&args, &session).and_then(|it| session.print(&it)),
        Command::Restore(args) => {
            backup::restore(&args, &session).and_then(|it| session.print(&it))
        }
        Command::Check(args) => backup::check(&args, &session),
    };
    match done {
        Ok(()) => EXIT_DONE,
        // The reader of the answer wanted no more of it, as in `plumm user list acme | head`.
        Err(CliError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => EXIT_DONE,
        Err(error) => {
            print_error(&error.to_string());
            error.exit_code()
        }
    }
}

/// What `plumm doctor` must know of the grammar.
fn known() -> Known {
    fn add_variables(command: &clap::Command, names: &mut Vec<String>) {
        let of_args = command.get_arguments().filter_map(|it| it.get_env());
        names.extend(of_args.map(|it| it.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|it| add_variables(it, names));
    }
    // The log is set up before there are commands, and a server starts itself once more.
    let mut variables = vec!["PLUMM_LOG".to_owned(), STARTED_AGAIN.to_owned()];
    add_variables(&Cli::command(), &mut variables);
    Known { variables, settings: settings_of_server() }
}

/// How a server would be set that is started in this environment, without a flag.
fn settings_of_server() -> Result<Settings, String> {
    let grammar = serve::args::Args::augment_args(clap::Command::new("serve"));
    let matches = without_empty_settings(grammar).try_get_matches_from(["serve"]);
    let args = matches.and_then(|it| serve::args::Args::from_arg_matches(&it));
    let first = |it: clap::Error| it.to_string().lines().next().unwrap_or_default().to_owned();
    args.map(|it| Settings::of(&it)).map_err(first)
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

/// Reads the command line; on help and on misuse, prints what there is to say and returns the exit
/// code.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let args: Vec<OsString> = args.into_iter().collect();
    let grammar = without_empty_settings(Cli::command());
    let matches = grammar.clone().try_get_matches_from(&args);
    let parsed = matches.and_then(|it| Cli::from_arg_matches(&it));
    parsed.map_err(|error| {
        if !error.use_stderr() {
            // Help or version. A failure to print it is ignored.
            let _ = error.print();
            return EXIT_DONE;
        }
        let text = error.render().to_string();
        let text = text.split("\n\nFor more information").next().unwrap_or_default();
        print_error(&format!(
            "{}\n\nTry: {} --help",
            text.trim_end(),
            intended_command(&grammar, &args)
        ));
        EXIT_MISUSED
    })
}

/// The command that was intended, as far as its words were right.
fn intended_command(grammar: &clap::Command, args: &[OsString]) -> String {
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

/// Prints what went wrong. Nothing is left to be done when even that cannot be written.
fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable_lines(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_valid_and_every_command_shows_an_example() {
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
    fn the_intended_command_is_found() {
        for (line, expected) in [
            ("plumm", "plumm"),
            ("plumm creat", "plumm"),
            ("plumm org creat", "plumm org"),
            ("plumm --json org create --activat x", "plumm org create"),
            ("plumm org create org", "plumm org create"),
        ] {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(intended_command(&Cli::command(), &args), expected, "{line}");
        }
    }
}
