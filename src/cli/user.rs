//! `plumm user`: accounts as support sees them, erased for good and brought back.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::erasure::{Erasure, Named, restore as bring_back};
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::people::{export, import};
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, printable_json, quoted, table, time_cell};
use crate::scim::datetime::Timestamp;
use crate::scim::meta::version_tag;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::resource::{State, Stored};
use crate::store::transaction::Read;

/// The resource type that these commands are about.
const USER: &str = "User";

/// The commands for user accounts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the users, the oldest first
    #[command(after_help = "Example:\n  plumm user list acme --inactive")]
    List(List),
    /// Show one user, deleted ones too
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
    },
    /// Bring a deleted user back, as it was, but in no group
    #[command(after_help = "Example:\n  plumm user restore acme mara.novak@example.com")]
    Restore(UserArgs),
    /// Write all users to standard output, as a table or as JSON
    #[command(after_help = export::HELP)]
    Export(export::Args),
    /// Create users from a table or from JSON, for who is there before the identity provider is
    #[command(after_help = import::HELP)]
    Import(import::Args),
}

/// Which users to list.
#[derive(Debug, Args)]
pub struct List {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// Only those that are deactivated
    #[arg(long, conflicts_with = "deleted")]
    inactive: bool,
    /// Those that are deleted and not yet purged
    #[arg(long)]
    deleted: bool,
}

/// One user of an organisation.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// The user's name, in any letter case, or id
    #[arg(value_name = "USERNAME_OR_ID")]
    user: String,
}

impl UserArgs {
    /// The arguments of a command for this user.
    fn arguments(&self) -> String {
        format!("{} {}", quoted(&self.org), quoted(&self.user))
    }

    fn unknown(&self, org: &Org, session: &Session) -> CliError {
        let name = quoted(&org.name);
        CliError::Failed(format!(
            "there is no user {} in organisation {}: `{}` lists its users, and with --deleted \
             those that were deleted",
            printable(&self.user),
            org.name,
            session.command(&format!("user list {name}")),
        ))
    }
}

/// Runs a command for user accounts.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<(), CliError> {
    let answer = match command {
        Command::List(args) => list(args, &session.open_to_read()?, session),
        Command::Show(who) => show(who, &session.open_to_read()?, session),
        Command::Purge { who, yes } => purge(who, *yes, &session.open()?, session),
        Command::Restore(who) => restore(who, &session.open()?, session),
        Command::Export(args) => return export::run(args, session),
        Command::Import(args) => return import::run(args, session),
    };
    session.print(&answer?)
}

/// What lists and messages say of an account.
struct Summary {
    id: String,
    user_name: String,
    display_name: Option<String>,
    active: bool,
    created: Timestamp,
    last_modified: Timestamp,
    deleted: Option<Timestamp>,
}

impl Summary {
    fn of(stored: &Stored) -> Result<Summary, Error> {
        let document = stored.parse()?;
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Summary {
            id: stored.id.clone(),
            user_name: text("userName").unwrap_or_default(),
            display_name: text("displayName"),
            active: is_active(&document),
            created: stored.created,
            last_modified: stored.last_modified,
            deleted: stored.deleted,
        })
    }

    fn as_json(&self) -> Value {
        json!({
            "id": self.id,
            "userName": self.user_name,
            "displayName": self.display_name,
            "active": self.active,
            "created": self.created.to_string(),
            "lastModified": self.last_modified.to_string(),
            "deleted": self.deleted.map(|it| it.to_string()),
        })
    }

    /// The account as messages name it.
    fn named(&self) -> String {
        format!("{} (id {})", printable(&self.user_name), self.id)
    }

    fn state(&self) -> &'static str {
        match self {
            Summary { deleted: Some(_), .. } => "deleted",
            Summary { active: true, .. } => "active",
            _ => "inactive",
        }
    }
}

/// An account without a value may not log in.
fn is_active(document: &Map<String, Value>) -> bool {
    document.get("active").and_then(Value::as_bool) == Some(true)
}

fn list(args: &List, store: &Store, session: &Session) -> Result<Answer, CliError> {
    let (state, which) = match args {
        List { deleted: true, .. } => (State::Deleted, "deleted "),
        List { inactive: true, .. } => (State::Inactive, "inactive "),
        _ => (State::Present, ""),
    };
    // Collected first: printing may block, and must not hold the read transaction open meanwhile.
    let (org, users) = store.read(|read| {
        let org = org::find(read, &args.org, session)?;
        let mut users = Vec::new();
        read.each(org.key, USER, state, |it| {
            users.push(Summary::of(&it)?);
            Ok(())
        })?;
        Ok::<_, CliError>((org, users))
    })?;
    if session.json() {
        let json = users.iter().map(Summary::as_json).collect();
        return Ok(Answer { json, text: String::new() });
    }
    let text = if users.is_empty() {
        format!("Organisation {} has no {which}user.", org.name)
    } else {
        let rows = users.iter().map(|it| {
            [
                it.user_name.clone(),
                it.state().to_owned(),
                it.id.clone(),
                it.created.to_string(),
                it.last_modified.to_string(),
                time_cell(it.deleted),
            ]
        });
        let head = ["USERNAME", "STATE", "ID", "CREATED", "LAST CHANGED", "DELETED"];
        table(head, rows)
    };
    Ok(Answer { json: Value::Null, text })
}

fn show(who: &UserArgs, store: &Store, session: &Session) -> Result<Answer, CliError> {
    let (org, stored) = store.read(|read| {
        let org = org::find(read, &who.org, session)?;
        let stored = match find(read, &org, who, State::Present)? {
            Some(it) => Some(it),
            None => find(read, &org, who, State::Deleted)?,
        };
        Ok::<_, CliError>((org, stored))
    })?;
    let stored = stored.ok_or_else(|| who.unknown(&org, session))?;
    let summary = Summary::of(&stored)?;
    let mut json = stored.parse()?;
    let document = printable_json(&format!("{:#}", Value::Object(json.clone())));
    let meta = json!({
        "resourceType": USER,
        "created": stored.created.to_string(),
        "lastModified": stored.last_modified.to_string(),
        "version": version_tag(stored.version),
    });
    json.insert("meta".to_owned(), meta);
    json.insert("deleted".to_owned(), stored.deleted.map(|it| it.to_string()).into());
    let mut text = format!(
        "Username      {}\n\
         Id            {}\n\
         State         {}\n\
         Created       {}\n\
         Last changed  {}\n",
        printable(&summary.user_name),
        summary.id,
        summary.state(),
        summary.created,
        summary.last_modified,
    );
    if let Some(at) = summary.deleted {
        text += &format!("Deleted       {at}\n");
    }
    text = text + "\n" + &document;
    Ok(Answer { json: Value::Object(json), text })
}

fn purge(who: &UserArgs, yes: bool, store: &Store, session: &Session) -> Result<Answer, CliError> {
    let erasure = Erasure {
        org: &who.org,
        resource_type: USER,
        contents: "the account, all its data",
        command: format!("user purge {}", who.arguments()),
    };
    let find = |read: &Read, org: &Org| exactly_one(read, org, who, session);
    let named = |it: &Stored| {
        let user = Summary::of(it)?;
        Ok(Named { name: user.named(), state: user.state() })
    };
    let (org, erased) = erasure.run(yes, store, session, find, named)?;
    let user = Summary::of(&erased)?;
    let mut text = format!("User {} of organisation {} is erased.", user.named(), org.name);
    if let Some(it) = store.read(|read| self::find(read, &org, who, State::Deleted))? {
        text += &format!(
            "\nAn older, deleted account of this username is still there (id {}): run the command \
             again to erase it too.",
            it.id
        );
    }
    let json = json!({ "id": user.id, "userName": user.user_name, "purged": true });
    Ok(Answer { json, text })
}

fn restore(who: &UserArgs, store: &Store, session: &Session) -> Result<Answer, CliError> {
    let (org, user) = store.write(session.now(), |write| {
        let org = org::find(write, &who.org, session)?;
        let Some(stored) = find(write, &org, who, State::Deleted)? else {
            return Err(match find(write, &org, who, State::Present)? {
                Some(it) => CliError::Failed(format!(
                    "user {} is not deleted: there is nothing to restore",
                    Summary::of(&it)?.named()
                )),
                None => who.unknown(&org, session),
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
        bring_back(write, &org, session, USER, &stored)?;
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

fn find(read: &Read, org: &Org, who: &UserArgs, state: State) -> Result<Option<Stored>, Error> {
    read.find(org.key, USER, &who.user, state)
}

/// The one account of this name or id, deleted or not. A username that both a present and a deleted
/// account have is refused: the wrong one would be gone for good.
fn exactly_one(
    read: &Read,
    org: &Org,
    who: &UserArgs,
    session: &Session,
) -> Result<Stored, CliError> {
    let present = find(read, org, who, State::Present)?;
    let deleted = find(read, org, who, State::Deleted)?;
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
        (None, None) => Err(who.unknown(org, session)),
    }
}
