//! The commands that an operator types: their grammar, and what runs for each.

mod arguments;
pub mod backup;
pub mod completions;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod erasure;
pub mod error;
pub mod group;
pub mod group_show;
pub mod healthcheck;
pub mod logging;
pub mod man;
pub mod okta_check;
pub mod operator;
pub mod org;
pub mod org_deletion;
pub mod org_show;
pub mod people;
pub mod person;
pub mod record;
pub mod resource_type;
pub mod schema;
pub mod serve;
pub mod session;
pub mod settings;
pub mod status;
pub mod story;
mod text;
pub mod tls;
pub mod token;
pub mod user;
pub mod user_login;
pub mod user_show;
pub mod webhook;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::doctor::facts::Environment;
use crate::cli::error::{CliError, EXIT_DONE, EXIT_MISUSED};
use crate::cli::logging::Format;
use crate::cli::serve::note::Settings;
use crate::cli::session::{DB_DEFAULT, Session};
use crate::cli::settings::Surroundings;
use crate::cli::text::printable_lines;

/// The setting that says how a server writes its log.
const LOG_FORMAT: &str = "PLUMM_LOG_FORMAT";
const LOG_FORMAT_FLAG: &str = "--log-format";

/// plumm, a self-hosted SCIM 2.0 provisioning server: one program, one SQLite file
#[derive(Debug, Parser)]
#[command(
    name = "plumm",
    version,
    disable_help_subcommand = true,
    after_help = "Example, from nothing to a running server with an organisation and a token:\n  \
        plumm serve --init acme\n\n\
        PLUMM_LOG says how much is logged on standard error: error, warn, info, debug or trace. \
        Settings may stand in /etc/plumm/plumm.env, or the file that PLUMM_ENV_FILE names."
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
    /// The settings in force, and where each comes from
    Config(config::Args),
    /// Is the server ready, for a container or a watchdog
    Healthcheck(healthcheck::Args),
    /// Is the server running, and what is there of each organisation
    Status(status::Args),
    /// Look for whatever needs to be done, and say how
    Doctor(doctor::Args),
    /// Play Okta or Entra ID against any SCIM 2.0 server, and say step by step what works
    OktaCheck(okta_check::Args),
    /// Run a server with invented people and a provider that keeps changing them, to look at
    Demo(demo::Args),
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
    /// User accounts: look at them, take login away, erase them for good, bring deleted ones back
    #[command(subcommand)]
    User(user::Command),
    /// Webhooks: an application that is told of every change
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Groups: look at them, erase deleted ones for good, bring them back
    #[command(subcommand)]
    Group(group::Command),
    /// What happened: changes and refused requests, the newest last
    Log(story::Args),
    /// Copy the database to a file, at any moment
    Backup(backup::Backup),
    /// Go back to a copy
    Restore(backup::Restore),
    /// Say whether a database or a copy is whole, and what it holds
    Check(backup::Check),
    /// What a command does and takes, as its --help says
    Help(Help),
    /// The script by which a shell completes these commands
    Completions(completions::Args),
    /// Write the pages of the manual, one for each command
    Man(man::Args),
}

/// A command to be explained.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  plumm help user purge")]
struct Help {
    /// The command, such as: user purge
    #[arg(value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Command {
    /// Whether the command is about the database of these settings.
    fn uses_database(&self) -> bool {
        match self {
            // What a service is started with has the settings from systemd already.
            Command::Serve(_) => false,
            Command::Config(_)
            | Command::Demo(_)
            | Command::Healthcheck(_)
            | Command::OktaCheck(_)
            | Command::Tls(_)
            | Command::Help(_)
            | Command::Completions(_)
            | Command::Man(_) => false,
            Command::Check(args) => !args.names_file(),
            _ => true,
        }
    }
}

/// What was typed, and what surrounds it.
#[derive(Debug)]
pub struct Invocation {
    typed: Vec<OsString>,
    grammar: clap::Command,
    surroundings: Surroundings,
}

impl Invocation {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Invocation {
        Invocation {
            typed: env::args_os().collect(),
            grammar: without_empty_settings(Cli::command()),
            surroundings: Surroundings::of_process(),
        }
    }

    /// How much is logged, as `env_logger` takes it.
    #[must_use]
    pub fn log_filter(&self) -> &str {
        self.wanted_log().filter(|it| is_log_filter(it)).unwrap_or(settings::LOG_DEFAULT)
    }

    /// How the log is written: of a server as its settings say, of other commands as text.
    #[must_use]
    pub fn log_format(&self) -> Format {
        let (grammar, words) = (&self.grammar, self.typed.get(1..).unwrap_or_default());
        let command = settings::command_of(grammar, words);
        if command.is_none_or(|(_, it)| it.get_name() != settings::SERVE) {
            return Format::Text;
        }
        let typed = settings::typed_values(words, LOG_FORMAT_FLAG).last().flatten();
        let given = || self.surroundings.value(LOG_FORMAT)?.0.to_str();
        typed.or_else(given).and_then(|it| Format::parse(it).ok()).unwrap_or_default()
    }

    fn wanted_log(&self) -> Option<&str> {
        // What is no text is no level either.
        self.surroundings.value(settings::LOG).map(|(it, _)| it.to_str().unwrap_or("?"))
    }

    /// Logs what an operator should know of the settings.
    fn warn(&self) {
        if self.wanted_log().is_some_and(|it| !is_log_filter(it)) {
            log::warn!("PLUMM_LOG is none of error, warn, info, debug and trace: info is used");
        }
        for warning in self.surroundings.warnings(&settings::table(&self.grammar)) {
            log::warn!("{warning}");
        }
    }

    /// Prints what went wrong. Nothing is left to be done when even that cannot be written.
    fn print_error(&self, text: &str) {
        let line = match self.log_format() {
            Format::Text => printable_lines(text),
            Format::Json => logging::error_line(text.to_owned()),
        };
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Whether `env_logger` understands a filter. It takes a word that is no level for the name of a
/// module, and logs nothing else.
fn is_log_filter(text: &str) -> bool {
    text.contains('=') || text.parse::<log::LevelFilter>().is_ok()
}

/// Runs the command that is asked for, and returns the exit code.
pub fn run(invocation: &Invocation) -> u8 {
    let parsed = parse(invocation, &invocation.typed);
    if let Ok((Cli { command: Command::Serve(_), .. }, _)) = &parsed {
        // Before anything is logged: it may start the program once more.
        serve::allocator::bound();
    }
    match &parsed {
        // Help is no time for warnings, and `config` shows what they would say.
        Err(Unparsed::Shown)
        | Ok((Cli { command: Command::Config(_) | Command::Help(_), .. }, _)) => {}
        _ => invocation.warn(),
    }
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(Unparsed::Shown) => return EXIT_DONE,
        Err(Unparsed::Misused(text)) => {
            invocation.print_error(&text);
            return EXIT_MISUSED;
        }
    };
    let surroundings = &invocation.surroundings;
    if cli.command.uses_database()
        && !settings::is_typed(&invocation.typed, "--db")
        && let Some(hidden) = surroundings.hidden(settings::DB)
    {
        let error = CliError::Failed(format!("{hidden}, or name the database with --db FILE"));
        invocation.print_error(&error.to_string());
        return error.exit_code();
    }
    let db_default = surroundings.value(settings::DB).map_or(DB_DEFAULT.as_ref(), |(it, _)| it);
    let session = Session::new(cli.db, PathBuf::from(db_default), cli.json);
    // `doctor` has a check that says whose the database is.
    let names_reader = cli.command.uses_database() && !matches!(cli.command, Command::Doctor(_));
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args, &session),
        Command::Config(_) => {
            let matches = matches.subcommand().map_or(&matches, |(_, it)| it);
            let table = settings::table(&invocation.grammar);
            session.print(&config::run(matches, &invocation.typed, &table, surroundings))
        }
        Command::Healthcheck(args) => {
            let typed = settings::is_typed(&invocation.typed, "--listen");
            let hidden = surroundings.hidden(settings::LISTEN).filter(|_| !typed);
            healthcheck::run(&args, &session, hidden)
        }
        Command::Help(help) => return explain(invocation, &help),
        Command::Completions(args) => completions::run(&args, &mut Cli::command(), &session),
        Command::Man(args) => man::run(&args, Cli::command()).and_then(|it| session.print(&it)),
        Command::Status(args) => status::run(&args, &session).and_then(|it| session.print(&it)),
        Command::Doctor(args) => doctor::run(&args, environment(invocation), &session),
        Command::Demo(args) => demo::run(&args, &session),
        Command::OktaCheck(args) => okta_check::run(&args, &session),
        Command::Org(command) => {
            org::run(&command, &session, org_show::show).and_then(|it| session.print(&it))
        }
        Command::Tls(command) => tls::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Token(command) => token::run(&command, &session),
        Command::Schema(command) => {
            schema::run(&command, &session).and_then(|it| session.print(&it))
        }
        Command::ResourceType(command) => {
            resource_type::run(&command, &session).and_then(|it| session.print(&it))
        }
        Command::User(command) => user::run(&command, &session),
        Command::Webhook(command) => webhook::run(&command, &session),
        Command::Group(command) => group::run(&command, &session).and_then(|it| session.print(&it)),
        Command::Log(args) => story::run(&args, &session),
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
            let mut text = error.to_string();
            if let Some(run) = session.who_can_read().filter(|_| names_reader) {
                text += &format!("\n\nOnly another user may read the database: {run}.");
            }
            invocation.print_error(&text);
            error.exit_code()
        }
    }
}

/// What `plumm doctor` must know of the grammar and the settings.
fn environment(invocation: &Invocation) -> Environment<'_> {
    let table = settings::table(&invocation.grammar);
    let program = invocation.typed.first().cloned().unwrap_or_default();
    // How a server would be set that is started here, without a flag.
    let settings = match parse(invocation, &[program, settings::SERVE.into()]) {
        Ok((Cli { command: Command::Serve(args), .. }, _)) => Ok(Settings::of(&args)),
        Err(Unparsed::Misused(text)) => Err(text.lines().next().unwrap_or_default().to_owned()),
        _ => Ok(Settings::default()),
    };
    Environment { table, surroundings: &invocation.surroundings, settings }
}

/// Prints the help of a command.
fn explain(invocation: &Invocation, help: &Help) -> u8 {
    let mut command = &invocation.grammar;
    for word in &help.command {
        let Some(found) = command.find_subcommand(word) else {
            let error = CliError::Misused {
                message: format!("there is no command '{}' to be explained", word.display()),
                instead: format!("{} --help", intended_command(&invocation.grammar, &help.command)),
            };
            invocation.print_error(&error.to_string());
            return error.exit_code();
        };
        command = found;
    }
    let program = invocation.typed.first().cloned().unwrap_or_default();
    let words = help.command.iter().cloned().chain(["--help".into()]);
    // Nothing but the help can come of it.
    match parse(invocation, &iter::once(program).chain(words).collect::<Vec<_>>()) {
        Err(Unparsed::Misused(text)) => {
            invocation.print_error(&text);
            EXIT_MISUSED
        }
        _ => EXIT_DONE,
    }
}

/// Why there is no command to run.
enum Unparsed {
    /// Help or the version was asked for, and is printed.
    Shown,
    /// What was wrong, and what to try.
    Misused(String),
}

/// Reads a command line, with what the file of settings adds to it.
fn parse(invocation: &Invocation, typed: &[OsString]) -> Result<(Cli, ArgMatches), Unparsed> {
    let (grammar, surroundings) = (&invocation.grammar, &invocation.surroundings);
    let words = typed.get(1..).unwrap_or_default();
    let misused = |text: &str| {
        let command = intended_command(grammar, words);
        Unparsed::Misused(format!("{}\n\nTry: {command} --help", text.trim_end()))
    };
    let completed = surroundings.completed(grammar, typed);
    let completed = completed.map_err(|it| misused(&format!("error: {it}")))?;
    let matches = grammar.clone().try_get_matches_from(&completed);
    let parsed = matches.and_then(|it| Ok((Cli::from_arg_matches(&it)?, it)));
    parsed.map_err(|error| {
        if !error.use_stderr() {
            // Help or version. A failure to print it is ignored.
            let _ = error.print();
            return Unparsed::Shown;
        }
        let text = error.render().to_string();
        let text = text.split("\n\nFor more information").next().unwrap_or_default().trim_end();
        let argument = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(it)) => it.as_str(),
            _ => "",
        };
        match surroundings.origin_of_error(grammar, typed, argument) {
            Some(origin) => misused(&format!("{text}\n\nIt is given by {origin}.")),
            None => misused(text),
        }
    })
}

/// The command that was intended, as far as its words were right.
fn intended_command(grammar: &clap::Command, args: &[OsString]) -> String {
    let (mut name, mut command) = ("plumm".to_owned(), grammar);
    for word in args {
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
            let args: Vec<OsString> = line.split(' ').skip(1).map(OsString::from).collect();
            assert_eq!(intended_command(&Cli::command(), &args), expected, "{line}");
        }
    }
}
