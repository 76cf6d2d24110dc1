//! What the checks look at, read once and changed by nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::doctor::remedy::Remedy;
use crate::cli::operator;
use crate::cli::serve::note::{Note, Settings};
use crate::cli::session::Session;
use crate::cli::settings::{Setting, Surroundings};
use crate::scim::datetime::Timestamp;
use crate::store::copies::glance::{glance, look};
use crate::store::error::Error;
use crate::store::paths::{folder_of, resolved};
use crate::store::query::story::Refused;
use crate::store::serve_lock::{Serving, serving};
use crate::store::tables::org::Org;
use crate::store::tables::token::Token;
use crate::store::tables::webhook::Webhook;
use crate::store::transaction::Read;

/// No more changes behind an endpoint are counted.
const BEHIND_MAX: u32 = 10_000;

/// What the grammar of commands knows.
#[derive(Clone, Debug)]
pub struct Environment<'a> {
    /// The settings that there are.
    pub table: Vec<Setting>,
    /// What the environment and the file of settings say.
    pub surroundings: &'a Surroundings,
    /// How a server would be set that is started here; what is wrong with a setting otherwise.
    pub settings: Result<Settings, String>,
}

/// What the checks look at.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The time of the checks.
    pub now: Timestamp,
    /// The database, without symbolic links.
    pub database: PathBuf,
    /// Whether a server runs on it.
    pub serving: Result<Serving, Error>,
    /// What that server tells of itself.
    pub note: Option<Note>,
    /// How it is set, or how one would be that is started here.
    pub settings: Settings,
    /// What is wrong with a setting.
    pub bad_setting: Option<String>,
    /// The settings that there are.
    pub table: Vec<Setting>,
    /// What the environment and the file of settings say.
    pub surroundings: &'a Surroundings,
    /// What the database holds.
    pub content: Result<Content, Error>,
    /// Who asks.
    pub me: Option<u32>,
    /// What to type.
    pub remedy: Remedy,
}

/// What the database holds, as far as the checks ask.
#[derive(Debug)]
pub struct Content {
    /// How many steps its schema has taken.
    pub schema: i64,
    /// The organisations.
    pub orgs: Vec<OrgContent>,
}

/// What it holds of one organisation.
#[derive(Debug)]
pub struct OrgContent {
    /// The organisation.
    pub org: Org,
    /// All its tokens.
    pub tokens: Vec<Token>,
    /// When a token last changed something.
    pub last_push: Option<Timestamp>,
    /// When anything of it was last changed, by whomever.
    pub last_line: Option<Timestamp>,
    /// What it was last refused.
    pub last_refusal: Option<Refused>,
    /// Its webhooks, how many changes each has not been told, and when the first of them was made.
    pub webhooks: Vec<(Webhook, (u32, Option<Timestamp>))>,
}

impl<'a> Facts<'a> {
    /// Reads what there is.
    #[must_use]
    pub fn read(session: &Session, environment: Environment<'a>) -> Facts<'a> {
        let database = resolved(session.db());
        let absolute = std::path::absolute(&database);
        let database = absolute.unwrap_or(database);
        let serving = serving(&database);
        let note = match &serving {
            Ok(Serving::Here(text)) => serde_json::from_str::<Note>(text).ok(),
            _ => None,
        };
        let (own, bad_setting) = match environment.settings {
            Ok(it) => (it, None),
            Err(error) => (Settings::default(), Some(error)),
        };
        let settings = note.as_ref().and_then(|it| it.settings.clone()).unwrap_or(own);
        let me = operator::uid();
        let process = note.as_ref().map(|it| it.pid);
        let owner = owner(&database).map(|uid| (uid, operator::user_name(uid)));
        Facts {
            now: session.now(),
            remedy: Remedy::new(&database, owner, me, process, settings.clone()),
            content: content(&database),
            database,
            serving,
            note,
            settings,
            bad_setting,
            table: environment.table,
            surroundings: environment.surroundings,
            me,
        }
    }

    /// The folder of the database.
    #[must_use]
    pub fn folder(&self) -> &Path {
        folder_of(&self.database)
    }
}

/// The user that the database belongs to; where that cannot be seen, the one of the nearest folder.
fn owner(database: &Path) -> Option<u32> {
    database.ancestors().find_map(|it| fs::metadata(it).ok()).map(|it| it.uid())
}

fn content(database: &Path) -> Result<Content, Error> {
    if let Err(error) = fs::metadata(database) {
        return Err(match error.kind() {
            std::io::ErrorKind::NotFound => Error::Missing(database.to_owned()),
            _ => Error::Io(database.to_owned(), error),
        });
    }
    read_content(database).map_err(|error| match error {
        // SQLite's own words say little to who asks.
        Error::Internal(inner) => {
            Error::NotWhole(database.to_owned(), vec![format!("it is damaged ({inner})")])
        }
        other => other,
    })
}

fn read_content(database: &Path) -> Result<Content, Error> {
    // What a running server writes is whole only together with its log.
    if serving(database).is_ok_and(|it| it == Serving::Nobody) {
        glance(database)?;
    }
    look(database, |read| {
        let orgs = read.orgs()?.into_iter().map(|org| OrgContent::read(read, org));
        Ok(Content { schema: read.schema_version()?, orgs: orgs.collect::<Result<_, _>>()? })
    })
}

impl OrgContent {
    fn read(read: &Read, org: Org) -> Result<OrgContent, Error> {
        let webhooks = read.webhooks(Some(org.key))?.into_iter().map(|it| {
            let behind = read.lines_left(org.key, it.progress.position.after, BEHIND_MAX)?;
            Ok((it, behind))
        });
        Ok(OrgContent {
            tokens: read.tokens(org.key)?,
            last_push: read.last_push(org.key)?,
            last_line: read.last_line(org.key)?,
            last_refusal: read.last_refusal(org.key)?,
            webhooks: webhooks.collect::<Result<_, Error>>()?,
            org,
        })
    }
}
