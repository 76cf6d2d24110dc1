//! `plumm user`: accounts as support sees them, erased for good and brought back.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::by_hand::login::USER;
use crate::cli::arguments::{Why, limit, search};
use crate::cli::erasure::{Erasure, Named, restore as bring_back};
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::people::{export, import};
use crate::cli::person::{Summary, UserArgs};
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table, time_cell};
use crate::cli::user_login;
use crate::cli::user_show::Person;
use crate::store::Store;
use crate::store::query::search::Search;
use crate::store::tables::org::Org;
use crate::store::tables::resource::{State, Stored};
use crate::store::transaction::{Read, Write};

/// How many users a list shows on a terminal, unless it is told otherwise.
const SHOWN_DEFAULT: usize = 100;

/// The commands for user accounts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the users, the oldest first, or find some
    #[command(after_help = "Examples:\n  plumm user list acme --inactive\n  \
                            plumm user list acme --search novak")]
    List(List),
    /// Show one user, deleted ones too: whether it may log in, its groups, its last changes
    #[command(after_help = "Example:\n  plumm user show acme mara.novak@example.com")]
    Show(UserArgs),
    /// Erase a user for good, deleted or not
    #[command(after_help = "Example:\n  plumm user purge acme mara.novak@example.com --yes")]
    Purge {
        /// The user.
        #[command(flatten)]
        who: UserArgs,
        /// Really erase; without this, the command says what it would erase
        #[arg(long)]
        yes: bool,
        /// Why.
        #[command(flatten)]
        why: Why,
    },
    /// Bring a deleted user back, as it was, but in no group
    #[command(after_help = "Example:\n  plumm user restore acme mara.novak@example.com")]
    Restore(Decision),
    /// Take login away from a user, now; the identity provider may give it back
    #[command(after_help = "Example:\n  plumm user deactivate acme mara.novak@example.com \
                            --reason 'laptop stolen'")]
    Deactivate(Decision),
    /// Let a user log in again, now; the identity provider may take it away
    #[command(after_help = "Example:\n  plumm user activate acme mara.novak@example.com")]
    Activate(Decision),
    /// Write all users to standard output, as a table or as JSON
    #[command(after_help = export::HELP)]
    Export(export::Args),
    /// Create users from a table or from JSON, for who is there before the identity provider is
    #[command(after_help = import::HELP)]
    Import(import::Args),
}

/// One user, and why something is decided.
#[derive(Debug, Args)]
pub struct Decision {
    /// The user.
    #[command(flatten)]
    who: UserArgs,
    /// Why.
    #[command(flatten)]
    why: Why,
}

/// Which users to list.
#[derive(Debug, Args)]
pub struct List {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// Only those that have each of these words in their name, username or e-mail address
    #[arg(long, value_name = "TEXT", value_parser = search)]
    search: Option<String>,
    /// Only those that are deactivated
    #[arg(long, conflicts_with = "deleted")]
    inactive: bool,
    /// Those that are deleted and not yet purged
    #[arg(long)]
    deleted: bool,
    /// No more than so many; without this 100, and with --json all
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = limit)]
    limit: Option<usize>,
}

/// Runs a command for user accounts.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<(), CliError> {
    // Names that are near to one that nobody has are looked for before writers have to wait.
    let known = |store: &Store, who: &UserArgs| {
        store.read(|read| {
            let org = org::find(read, &who.org, session)?;
            who.find_any(read, &org, session).map(drop)
        })
    };
    let decide = |it: &Decision, active| {
        let store = session.open()?;
        known(&store, &it.who)?;
        let org = |write: &Write| org::find(write, &it.who.org, session);
        user_login::set(&it.who, active, it.why.reason(), &store, session, org)
    };
    let answer = match command {
        Command::List(args) => list(args, &session.open_to_read()?, session),
        Command::Show(who) => show(who, &session.open_to_read()?, session),
        Command::Purge { who, yes, why } => {
            purge(who, *yes, why.reason(), &session.open()?, session)
        }
        Command::Restore(it) => {
            let store = session.open()?;
            known(&store, &it.who)?;
            restore(&it.who, it.why.reason(), &store, session)
        }
        Command::Deactivate(it) => decide(it, false),
        Command::Activate(it) => decide(it, true),
        Command::Export(args) => return export::run(args, session),
        Command::Import(args) => return import::run(args, session),
    };
    session.print(&answer?)
}

fn list(args: &List, store: &Store, session: &Session) -> Result<Answer, CliError> {
    let (state, which) = match args {
        List { deleted: true, .. } => (State::Deleted, "deleted "),
        List { inactive: true, .. } => (State::Inactive, "inactive "),
        _ => (State::Present, ""),
    };
    // A program is told of all, as it always was.
    let most = args.limit.unwrap_or(if session.json() { usize::MAX } else { SHOWN_DEFAULT });
    let text = args.search.as_deref().unwrap_or_default();
    let search = Search { text, state, most, rows_max: usize::MAX, bytes_max: usize::MAX };
    // Collected first: printing may block, and must not hold the read transaction open meanwhile.
    let (org, users, more, all) = store.read(|read| {
        let org = org::find(read, &args.org, session)?;
        if most == usize::MAX && text.is_empty() {
            // Without their documents, of which a million would take a gigabyte.
            let mut users = Vec::new();
            read.each(org.key, USER, state, |it| {
                users.push(Summary::of(&it)?);
                Ok(())
            })?;
            return Ok((org, users, false, 0));
        }
        let found = read.search(org.key, USER, search)?;
        let all = match found.more && text.is_empty() {
            true => read.count_in(org.key, USER, state)?,
            false => 0,
        };
        let users = found.resources.iter().map(Summary::of).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, CliError>((org, users, found.more, all))
    })?;
    if session.json() {
        let json = users.iter().map(Summary::as_json).collect();
        return Ok(Answer { json, text: String::new() });
    }
    let name = &org.name;
    if users.is_empty() {
        let text = match &args.search {
            None => format!("Organisation {name} has no {which}user."),
            Some(it) => format!(
                "Organisation {name} has no {which}user with {} in a name, username or e-mail \
                 address.",
                quoted(it)
            ),
        };
        return Ok(Answer { json: Value::Null, text });
    }
    let rows = users.iter().map(|it| {
        [
            it.user_name.clone(),
            it.state().to_owned(),
            it.id.clone(),
            it.created.to_string(),
            it.last_modified.to_string(),
            time_cell(it.deleted),
            it.display_name.clone().unwrap_or_default(),
        ]
    });
    let head = ["USERNAME", "STATE", "ID", "CREATED", "LAST CHANGED", "DELETED", "NAME"];
    let mut text = table(head, rows);
    if more {
        text += &format!("\n{}\n", not_shown(args, name, users.len(), all, session));
    }
    Ok(Answer { json: Value::Null, text })
}

/// That there are more than a list shows, and how to see them.
fn not_shown(args: &List, org: &str, shown: usize, all: usize, session: &Session) -> String {
    let mut command = format!("user list {}", quoted(org));
    if let Some(it) = &args.search {
        command += &format!(" --search {}", quoted(it));
    }
    for (flag, given) in [(" --inactive", args.inactive), (" --deleted", args.deleted)] {
        command += if given { flag } else { "" };
    }
    match &args.search {
        None => format!(
            "{} more are not shown. `{}` shows all, `{}` finds some by parts of a name, username \
             or e-mail address.",
            all.saturating_sub(shown),
            session.command(&format!("{command} --limit {all}")),
            session.command(&format!("{command} --search TEXT")),
        ),
        Some(_) => format!(
            "More than {shown} have that. `{}` shows more of them, a further word fewer.",
            session.command(&format!("{command} --limit {}", shown.saturating_mul(10))),
        ),
    }
}

fn show(who: &UserArgs, store: &Store, session: &Session) -> Result<Answer, CliError> {
    let person = store.read(|read| {
        let org = org::find(read, &who.org, session)?;
        let stored = who.find_any(read, &org, session)?;
        Ok::<_, CliError>(Person::read(read, org, stored)?)
    })?;
    person.answer(session)
}

fn purge(
    who: &UserArgs,
    yes: bool,
    reason: Option<&str>,
    store: &Store,
    session: &Session,
) -> Result<Answer, CliError> {
    let erasure = Erasure {
        org: &who.org,
        resource_type: USER,
        contents: "the account, all its data",
        command: format!("user purge {}", who.arguments()),
        reason,
    };
    let find = |read: &Read, org: &Org| exactly_one(read, org, who, session);
    let named = |it: &Stored| {
        let user = Summary::of(it)?;
        Ok(Named { name: user.named(), state: user.state() })
    };
    let (org, erased) = erasure.run(yes, store, session, find, named)?;
    let user = Summary::of(&erased)?;
    let mut text = format!("User {} of organisation {} is erased.", user.named(), org.name);
    if let Some(it) = store.read(|read| who.find(read, &org, State::Deleted))? {
        text += &format!(
            "\nAn older, deleted account of this username is still there (id {}): run the command \
             again to erase it too.",
            it.id
        );
    }
    let json = json!({ "id": user.id, "userName": user.user_name, "purged": true });
    Ok(Answer { json, text })
}

fn restore(
    who: &UserArgs,
    reason: Option<&str>,
    store: &Store,
    session: &Session,
) -> Result<Answer, CliError> {
    let (org, user) = store.write(session.now(), |write| {
        let org = org::find(write, &who.org, session)?;
        let Some(stored) = who.find(write, &org, State::Deleted)? else {
            return Err(match who.find(write, &org, State::Present)? {
                Some(it) => CliError::Failed(format!(
                    "user {} is not deleted: there is nothing to restore",
                    Summary::of(&it)?.named()
                )),
                None => who.unknown(write, &org, session),
            });
        };
        let user = Summary::of(&stored)?;
        if let Some(holder) = write.find(org.key, USER, &user.user_name, State::Present)? {
            let purge = format!("user purge {} {}", quoted(&org.name), holder.id);
            return Err(CliError::Failed(format!(
                "user {} cannot be restored: another account has taken the username since (id {}). \
                 If that one is the wrong one, erase it first with `{}`",
                user.named(),
                holder.id,
                session.command(&purge),
            )));
        }
        bring_back(write, &org, session, USER, &stored, reason)?;
        Ok((org, Summary { deleted: None, ..user }))
    })?;
    let _ = store.checkpoint();
    let text = format!(
        "User {} of organisation {} is restored, {}.",
        user.named(),
        org.name,
        user.state()
    );
    Ok(Answer { json: user.as_json(), text })
}

/// The one account of this name or id, deleted or not. A username that both a present and a deleted
/// account have is refused: the wrong one would be gone for good.
fn exactly_one(
    read: &Read,
    org: &Org,
    who: &UserArgs,
    session: &Session,
) -> Result<Stored, CliError> {
    let present = who.find(read, org, State::Present)?;
    let deleted = who.find(read, org, State::Deleted)?;
    match (present, deleted) {
        (Some(present), Some(deleted)) => Err(CliError::Failed(format!(
            "two accounts of organisation {} have the username {}: one is present (id {}), one was \
             deleted (id {}). Name the one you mean by its id",
            org.name,
            printable(&who.user),
            present.id,
            deleted.id,
        ))),
        (Some(it), None) | (None, Some(it)) => Ok(it),
        (None, None) => Err(who.unknown(read, org, session)),
    }
}
