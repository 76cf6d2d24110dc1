//! Organisations: who has provisioning, and by which rules.

use rusqlite::{OptionalExtension, Row, params};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::scim::identity::{IdentityChanges, Rules, UsernameFormat};
use crate::store::error::Error;
use crate::store::transaction::{Read, Write};

/// The longest name of an organisation, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// How many requests a minute an organisation may send unless support says otherwise. No identity
/// provider sends as many.
pub const RATE_DEFAULT: u32 = 6_000_000;

/// The key of an organisation within the file. Never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgKey(pub(crate) i64);

impl OrgKey {
    /// Its number, from 1 on, for what shares something out and knows no organisations.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

/// What support decides for an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrgSettings {
    /// What usernames must look like.
    pub username_format: UsernameFormat,
    /// Whether userName and primary e-mail address may change.
    pub identity_changes: IdentityChanges,
    /// Whether requests that the interoperability profile forbids are refused, although identity
    /// providers send them.
    pub strict: bool,
    /// How many requests a minute it may send.
    pub rate: u32,
}

impl OrgSettings {
    /// The rules that a document is judged by.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            username_format: self.username_format,
            identity_changes: self.identity_changes,
            strict: self.strict,
            deactivates: false,
        }
    }
}

impl Default for OrgSettings {
    /// The product's rules: usernames are e-mail addresses, and neither can be changed.
    fn default() -> OrgSettings {
        OrgSettings {
            username_format: UsernameFormat::Email,
            identity_changes: IdentityChanges::Refuse,
            strict: false,
            rate: RATE_DEFAULT,
        }
    }
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its key.
    pub key: OrgKey,
    /// Its name, unique in the file without regard to letter case.
    pub name: String,
    /// Whether support has activated provisioning.
    pub active: bool,
    /// Its rules.
    pub settings: OrgSettings,
    /// How often its schemas and resource types have been changed; 0 when it has none of its own.
    pub schemas: i64,
    /// When it was created.
    pub created: Timestamp,
}

/// The columns of an organisation, as [`from_columns`] reads them; a macro, so that the compiler
/// puts the statements together that every request needs.
macro_rules! org_columns {
    () => {
        "org.id, org.name, org.active, org.username_format, org.identity_changes, org.strict,
        org.rate, org.schemas, org.created"
    };
}
pub(crate) use org_columns;

pub(crate) const COLUMNS: &str = org_columns!();

impl Read<'_> {
    /// The organisation of this name, in any letter case.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn org(&self, name: &str) -> Result<Option<Org>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM org WHERE name_folded = ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement.query_row([fold(name)], from_row).optional()?;
        found.transpose()
    }

    /// The organisation with this key.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none, and failures of the store.
    pub fn org_by_key(&self, key: OrgKey) -> Result<Org, Error> {
        let sql = format!("SELECT {COLUMNS} FROM org WHERE id = ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement.query_row([key.0], from_row).optional()?;
        found.unwrap_or_else(|| Err(Error::Invalid(format!("no organisation {}", key.0))))
    }

    /// Every organisation, by name; none that is erased, or is being erased.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn orgs(&self) -> Result<Vec<Org>, Error> {
        let sql =
            format!("SELECT {COLUMNS} FROM org WHERE name_folded >= ' ' ORDER BY name_folded");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], from_row)?;
        rows.map(|it| it?).collect()
    }
}

impl Write<'_> {
    /// Adds an organisation.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken, and failures of the store.
    pub fn add_org(&self, name: &str, active: bool, settings: OrgSettings) -> Result<Org, Error> {
        if self.org(name)?.is_some() {
            return Err(Error::Conflict(format!("there is already an organisation {name}")));
        }
        let sql = "INSERT INTO org (name, name_folded, active, username_format, identity_changes,
            strict, rate, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let folded = fold(name);
        let format = format_word(settings.username_format);
        let changes = changes_word(settings.identity_changes);
        let now = self.now.nanoseconds();
        let OrgSettings { strict, rate, .. } = settings;
        let values = params![name, folded, active, format, changes, strict, rate, now];
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.org_by_key(OrgKey(self.connection.last_insert_rowid()))
    }

    /// Gives an organisation another name.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken, and failures of the store.
    pub fn rename_org(&self, key: OrgKey, name: &str) -> Result<Org, Error> {
        if self.org(name)?.is_some_and(|it| it.key != key) {
            return Err(Error::Conflict(format!("there is already an organisation {name}")));
        }
        let sql = "UPDATE org SET name = ?, name_folded = ? WHERE id = ?";
        self.connection.prepare_cached(sql)?.execute(params![name, fold(name), key.0])?;
        self.org_by_key(key)
    }

    /// Changes whether an organisation is activated, and its rules.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn set_org(&self, key: OrgKey, active: bool, settings: OrgSettings) -> Result<Org, Error> {
        let sql =
            "UPDATE org SET active = ?, username_format = ?, identity_changes = ?, strict = ?,
            rate = ? WHERE id = ?";
        let format = format_word(settings.username_format);
        let changes = changes_word(settings.identity_changes);
        let values = params![active, format, changes, settings.strict, settings.rate, key.0];
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.org_by_key(key)
    }
}

fn format_word(format: UsernameFormat) -> &'static str {
    match format {
        UsernameFormat::Email => "email",
        UsernameFormat::Any => "any",
    }
}

fn changes_word(changes: IdentityChanges) -> &'static str {
    match changes {
        IdentityChanges::Refuse => "refuse",
        IdentityChanges::Allow => "allow",
    }
}

fn format_of(word: &str) -> Option<UsernameFormat> {
    [UsernameFormat::Email, UsernameFormat::Any].into_iter().find(|it| format_word(*it) == word)
}

fn changes_of(word: &str) -> Option<IdentityChanges> {
    let all = [IdentityChanges::Refuse, IdentityChanges::Allow];
    all.into_iter().find(|it| changes_word(*it) == word)
}

/// Whether a column `username_format` may say this.
pub(crate) fn is_format_word(word: &str) -> bool {
    format_of(word).is_some()
}

/// Whether a column `identity_changes` may say this.
pub(crate) fn is_changes_word(word: &str) -> bool {
    changes_of(word).is_some()
}

fn from_row(row: &Row) -> rusqlite::Result<Result<Org, Error>> {
    from_columns(row, 0)
}

/// Reads an organisation from a row whose columns from `first` on are [`COLUMNS`].
pub(crate) fn from_columns(row: &Row, first: usize) -> rusqlite::Result<Result<Org, Error>> {
    let format = row.get_ref(first + 3)?.as_str()?;
    let Some(username_format) = format_of(format) else {
        return Ok(Err(Error::Invalid(format!("username format {format}"))));
    };
    let changes = row.get_ref(first + 4)?.as_str()?;
    let Some(identity_changes) = changes_of(changes) else {
        return Ok(Err(Error::Invalid(format!("identity changes {changes}"))));
    };
    Ok(Ok(Org {
        key: OrgKey(row.get(first)?),
        name: row.get(first + 1)?,
        active: row.get(first + 2)?,
        settings: OrgSettings {
            username_format,
            identity_changes,
            strict: row.get(first + 5)?,
            rate: row.get(first + 6)?,
        },
        schemas: row.get(first + 7)?,
        created: Timestamp::from_nanoseconds(row.get(first + 8)?),
    }))
}
