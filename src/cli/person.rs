//! The person that a command names: found, or not, and what messages say of it.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::by_hand::login::USER;
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::session::Session;
use crate::cli::text::{printable, quoted};
use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::resource::{State, Stored};
use crate::store::transaction::Read;

/// How many names that may be meant are named.
const NEAR_MAX: usize = 3;

/// One user of an organisation.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// The organisation
    #[arg(value_parser = org::name)]
    pub org: String,
    /// The user's name, in any letter case, or id
    #[arg(value_name = "USERNAME_OR_ID")]
    pub user: String,
}

impl UserArgs {
    /// The arguments of a command for this user.
    #[must_use]
    pub fn arguments(&self) -> String {
        format!("{} {}", quoted(&self.org), quoted(&self.user))
    }

    /// The account in this state.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn find(&self, read: &Read, org: &Org, state: State) -> Result<Option<Stored>, Error> {
        read.find(org.key, USER, &self.user, state)
    }

    /// The account, deleted only where none is there.
    ///
    /// # Errors
    /// That there is none, with the names that may be meant.
    pub fn find_any(&self, read: &Read, org: &Org, session: &Session) -> Result<Stored, CliError> {
        let found = match self.find(read, org, State::Present)? {
            Some(it) => Some(it),
            None => self.find(read, org, State::Deleted)?,
        };
        found.map_or_else(|| Err(self.unknown(read, org, session)), Ok)
    }

    /// The error of a name that nobody has.
    pub fn unknown(&self, read: &Read, org: &Org, session: &Session) -> CliError {
        let near = match read.near_user_names(org.key, USER, &self.user, NEAR_MAX) {
            Ok(it) => it,
            Err(error) => return error.into(),
        };
        let near: Vec<String> = near.iter().map(|it| printable(it)).collect();
        let near = match near.as_slice() {
            [] => String::new(),
            [one] => format!(". Is {one} meant? If not"),
            [some @ .., last] => {
                format!(". Is one of {} and {last} meant? If not", some.join(", "))
            }
        };
        let name = quoted(&org.name);
        CliError::Failed(format!(
            "there is no user {} in organisation {}{}: `{}` lists its users, and with --deleted \
             those that were deleted",
            printable(&self.user),
            org.name,
            near,
            session.command(&format!("user list {name}")),
        ))
    }
}

/// What lists and messages say of an account.
#[derive(Debug)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// Its userName.
    pub user_name: String,
    /// Its displayName.
    pub display_name: Option<String>,
    /// Whether it may log in, unless it is deleted.
    pub active: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// When it was deleted, if it was.
    pub deleted: Option<Timestamp>,
}

impl Summary {
    /// The summary of an account.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn of(stored: &Stored) -> Result<Summary, Error> {
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

    /// As programs read it.
    #[must_use]
    pub fn as_json(&self) -> Value {
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
    #[must_use]
    pub fn named(&self) -> String {
        format!("{} (id {})", printable(&self.user_name), self.id)
    }

    /// Its state in a word.
    #[must_use]
    pub fn state(&self) -> &'static str {
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
