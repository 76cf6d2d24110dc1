//! `plumm group`: groups as support sees them; deleted ones erased for good and brought back.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::arguments::{Why, limit, search};
use crate::cli::erasure::{Erasure, Named, restore as bring_back};
use crate::cli::error::CliError;
use crate::cli::group_show::Group;
use crate::cli::org;
use crate::cli::schema::definitions;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table, time_cell};
use crate::scim::membership::has_groups;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::query::search::Search;
use crate::store::tables::org::Org;
use crate::store::tables::resource::{State, Stored};
use crate::store::transaction::Read;

/// The resource type that these commands are about.
const GROUP: &str = "Group";
/// How many groups or members are shown on a terminal, unless it is told otherwise.
const SHOWN_DEFAULT: usize = 100;
/// How many groups of one name a message names at most.
const NAMED_MAX: usize = 20;

/// The commands for groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the groups, the oldest first, or find some
    #[command(after_help = "Examples:\n  plumm group list acme --deleted\n  \
                            plumm group list acme --search falcon")]
    List(List),
    /// Show one group, deleted ones too: who is in it, its last changes
    #[command(after_help = "Example:\n  plumm group show acme 'Project Falcon'")]
    Show {
        /// The group.
        #[command(flatten)]
        which: GroupArgs,
        /// No more than so many members; without this 100
        #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = limit)]
        limit: Option<usize>,
    },
    /// Erase a deleted group for good
    #[command(after_help = "Example:\n  plumm group purge acme 'Project Falcon' --yes")]
    Purge {
        /// The group.
        #[command(flatten)]
        which: GroupArgs,
        /// Really erase; without this, the command says what it would erase
        #[arg(long)]
        yes: bool,
        /// Why.
        #[command(flatten)]
        why: Why,
    },
    /// Bring a deleted group back, with those of its members that are there, but in no group
    #[command(after_help = "Example:\n  plumm group restore acme 'Project Falcon'")]
    Restore {
        /// The group.
        #[command(flatten)]
        which: GroupArgs,
        /// Why.
        #[command(flatten)]
        why: Why,
    },
}

/// Which groups to list.
#[derive(Debug, Args)]
pub struct List {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// Only those that have each of these words in their name
    #[arg(long, value_name = "TEXT", value_parser = search)]
    search: Option<String>,
    /// Those that are deleted and not yet purged
    #[arg(long)]
    deleted: bool,
    /// No more than so many; without this 100, and with --json all
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = limit)]
    limit: Option<usize>,
}

/// One group of an organisation.
#[derive(Debug, Args)]
pub struct GroupArgs {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// The group's name, in any letter case, or id
    #[arg(value_name = "NAME_OR_ID")]
    group: String,
}

/// Runs a command for groups.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<Answer, CliError> {
    let store = match command {
        Command::List(_) | Command::Show { .. } => session.open_to_read()?,
        _ => session.open()?,
    };
    match command {
        Command::List(args) => list(args, &store, session),
        Command::Show { which, limit } => show(which, *limit, &store, session),
        Command::Purge { which, yes, why } => purge(which, *yes, why.reason(), &store, session),
        Command::Restore { which, why } => restore(which, why.reason(), &store, session),
    }
}

fn list(args: &List, store: &Store, session: &Session) -> Result<Answer, CliError> {
    let (state, which) =
        if args.deleted { (State::Deleted, "deleted ") } else { (State::Present, "") };
    // A program is told of all, as it always was.
    let most = args.limit.unwrap_or(if session.json() { usize::MAX } else { SHOWN_DEFAULT });
    let text = args.search.as_deref().unwrap_or_default();
    let search = Search { text, state, most, rows_max: usize::MAX, bytes_max: usize::MAX };
    // Collected first: printing may block, and must not hold the read transaction open meanwhile.
    let (org, found, all) = store.read(|read| {
        let org = org::find(read, &args.org, session)?;
        let found = read.search(org.key, GROUP, search)?;
        let all = read.count_in(org.key, GROUP, state)?;
        Ok::<_, CliError>((org, found, all))
    })?;
    let named = |it: &Stored| Ok((display_name(it)?, it.clone()));
    let groups: Result<Vec<_>, Error> = found.resources.iter().map(named).collect();
    let groups = groups?;
    let json = groups.iter().map(|(name, it)| as_json(name, it)).collect();
    let name = &org.name;
    if groups.is_empty() {
        let text = match &args.search {
            None => format!("Organisation {name} has no {which}group."),
            Some(it) => {
                format!("Organisation {name} has no {which}group with {} in its name.", quoted(it))
            }
        };
        return Ok(Answer { json, text });
    }
    let rows = groups.iter().map(|(name, it)| {
        [
            name.clone(),
            it.id.clone(),
            it.created.to_string(),
            it.last_modified.to_string(),
            time_cell(it.deleted),
        ]
    });
    let mut text = table(["NAME", "ID", "CREATED", "LAST CHANGED", "DELETED"], rows);
    if found.more {
        let deleted = if args.deleted { " --deleted" } else { "" };
        let list = format!("group list {}{deleted}", quoted(name));
        text += &match &args.search {
            None => format!(
                "\n{} more are not shown. `{}` shows all, `{}` finds some by parts of a name.\n",
                all.saturating_sub(groups.len()),
                session.command(&format!("{list} --limit {all}")),
                session.command(&format!("{list} --search TEXT")),
            ),
            Some(it) => format!(
                "\nMore than {} have that. `{}` shows more of them, a further word fewer.\n",
                groups.len(),
                session.command(&format!(
                    "{list} --search {} --limit {}",
                    quoted(it),
                    groups.len().saturating_mul(10)
                )),
            ),
        };
    }
    Ok(Answer { json, text })
}

fn show(
    which: &GroupArgs,
    limit: Option<usize>,
    store: &Store,
    session: &Session,
) -> Result<Answer, CliError> {
    let group = store.read(|read| {
        let org = org::find(read, &which.org, session)?;
        let mut found = read.named(org.key, GROUP, &which.group, State::Present, NAMED_MAX + 1)?;
        let mut state = "";
        if found.is_empty() {
            state = "deleted ";
            found = read.named(org.key, GROUP, &which.group, State::Deleted, NAMED_MAX + 1)?;
        }
        if found.len() > 1 {
            return Err(several(&found, state, which, &org, session));
        }
        let Some(stored) = found.pop() else {
            return Err(CliError::Failed(format!(
                "there is no group {} in organisation {}: `{}` lists its groups, and with \
                 --deleted those that were deleted",
                printable(&which.group),
                org.name,
                session.command(&format!("group list {}", quoted(&org.name))),
            )));
        };
        Ok::<_, CliError>(Group::read(read, org, stored, limit.unwrap_or(SHOWN_DEFAULT))?)
    })?;
    Ok(group.answer(session))
}

fn purge(
    which: &GroupArgs,
    yes: bool,
    reason: Option<&str>,
    store: &Store,
    session: &Session,
) -> Result<Answer, CliError> {
    let erasure = Erasure {
        org: &which.org,
        resource_type: GROUP,
        contents: "its name, who was in it, all its data",
        command: format!("group purge {} {}", quoted(&which.org), quoted(&which.group)),
        reason,
    };
    let find = |read: &Read, org: &Org| {
        deleted(read, org, which, session, "delete it in the identity provider first")
    };
    let called = |it: &Stored| Ok(Named { name: named(it)?, state: "deleted" });
    let (org, group) = erasure.run(yes, store, session, find, called)?;
    let text = format!("Group {} of organisation {} is erased.", named(&group)?, org.name);
    let name = display_name(&group)?;
    Ok(Answer { json: json!({ "id": group.id, "displayName": name, "purged": true }), text })
}

fn restore(
    which: &GroupArgs,
    reason: Option<&str>,
    store: &Store,
    session: &Session,
) -> Result<Answer, CliError> {
    let (org, group) = store.write(session.now(), |write| {
        let org = org::find(write, &which.org, session)?;
        let group = deleted(write, &org, which, session, "there is nothing to restore")?;
        let name = display_name(&group)?;
        if let Some(holder) = write.named(org.key, GROUP, &name, State::Present, 1)?.first() {
            return Err(CliError::Failed(format!(
                "group {} cannot be restored: another group has taken the name since (id {}). \
                 Rename or delete that one in the identity provider first",
                named(&group)?,
                holder.id
            )));
        }
        bring_back(write, &org, session, GROUP, &group, reason)?;
        // Its members are in it again, which is a change of theirs.
        let definitions = definitions(write, &org)?;
        let types = definitions.resource_types.iter().filter(|it| has_groups(it));
        let types: Vec<&str> = types.map(|it| it.name.as_str()).collect();
        write.touch_members(group.seq, &types)?;
        Ok((org, Stored { deleted: None, ..group }))
    })?;
    let _ = store.checkpoint();
    let text = format!("Group {} of organisation {} is restored.", named(&group)?, org.name);
    Ok(Answer { json: as_json(&display_name(&group)?, &group), text })
}

/// The one deleted group of this name or id; `advice` is for one that is not deleted. A name that
/// several have is refused: the wrong one would be gone for good.
fn deleted(
    read: &Read,
    org: &Org,
    which: &GroupArgs,
    session: &Session,
    advice: &str,
) -> Result<Stored, CliError> {
    let mut found = read.named(org.key, GROUP, &which.group, State::Deleted, NAMED_MAX + 1)?;
    if found.len() <= 1 {
        return found.pop().map_or_else(|| Err(missing(read, org, which, session, advice)), Ok);
    }
    Err(several(&found, "deleted ", which, org, session))
}

/// The error of a name that several groups have.
fn several(
    found: &[Stored],
    state: &str,
    which: &GroupArgs,
    org: &Org,
    session: &Session,
) -> CliError {
    let mut ids: Vec<&str> = found.iter().take(NAMED_MAX).map(|it| it.id.as_str()).collect();
    if found.len() > NAMED_MAX {
        ids.push("…");
    }
    let list = format!("group list {}", quoted(&org.name));
    let (list, says) = match state {
        "" => (list, "created"),
        _ => (format!("{list} --deleted"), "deleted"),
    };
    CliError::Failed(format!(
        "several {state}groups of organisation {} have the name {} (ids {}). Name the one you mean \
         by its id: `{}` says when each was {says}",
        org.name,
        printable(&which.group),
        ids.join(", "),
        session.command(&list),
    ))
}

/// Why there is no deleted group of this name.
fn missing(read: &Read, org: &Org, which: &GroupArgs, session: &Session, advice: &str) -> CliError {
    let present = read.named(org.key, GROUP, &which.group, State::Present, 1);
    let present = present.and_then(|it| it.first().map(named).transpose());
    CliError::Failed(match present {
        Err(error) => return error.into(),
        Ok(Some(group)) => format!("group {group} is not deleted: {advice}"),
        Ok(None) => format!(
            "there is no deleted group {} in organisation {}: `{}` lists those there are",
            printable(&which.group),
            org.name,
            list_command(org, session)
        ),
    })
}

fn list_command(org: &Org, session: &Session) -> String {
    session.command(&format!("group list {} --deleted", quoted(&org.name)))
}

fn display_name(stored: &Stored) -> Result<String, Error> {
    let document = stored.parse()?;
    Ok(document.get("displayName").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// The group as messages name it.
fn named(stored: &Stored) -> Result<String, Error> {
    Ok(format!("{} (id {})", printable(&display_name(stored)?), stored.id))
}

fn as_json(name: &str, stored: &Stored) -> Value {
    json!({
        "id": stored.id,
        "displayName": name,
        "created": stored.created.to_string(),
        "lastModified": stored.last_modified.to_string(),
        "deleted": stored.deleted.map(|it| it.to_string()),
    })
}
