//! API tokens: the organisation, scope and expiry of each.

use std::fmt;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::{self, Org, OrgKey, org_columns};
use crate::store::transaction::{Read, Write};

/// Bytes of the secret's SHA-256 that the file keeps beside the argon2id hash.
pub const TAG_BYTES: usize = 8;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Provisioning: the identity provider.
    Scim,
    /// Reading all there is: the application that follows changes. It changes nothing.
    Read,
    /// The question who may log in: the application at login. It only reads.
    Access,
    /// The web page and the metrics: the operator.
    Admin,
}

impl Scope {
    /// Every scope with its word.
    pub const ALL: [(Scope, &'static str); 4] = [
        (Scope::Scim, "scim"),
        (Scope::Read, "read"),
        (Scope::Access, "access"),
        (Scope::Admin, "admin"),
    ];

    /// The word, as commands and the file have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Scope::ALL.iter().find(|(it, _)| *it == self).map_or("", |(_, word)| word)
    }

    /// The scope with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Scope> {
        Scope::ALL.iter().find(|(_, it)| *it == word).map(|(it, _)| *it)
    }
}

/// A token as the file knows it: everything but the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The public id.
    pub id: String,
    /// The organisation it belongs to.
    pub org: OrgKey,
    /// What it may be used for.
    pub scope: Scope,
    /// The name that support gave it.
    pub label: String,
    /// The argon2id hash of the secret, in PHC form.
    pub hash: String,
    /// The first bytes of a plain hash of the secret, to refuse wrong guesses cheaply.
    pub tag: Vec<u8>,
    /// When it was created.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// When support revoked it.
    pub revoked: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {})", self.id, self.scope.word())
    }
}

impl Token {
    /// Whether it is accepted at this time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|at| at > now)
    }
}

/// What a request with a token needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The organisation it belongs to.
    pub org: Arc<Org>,
    /// What it may be used for.
    pub scope: Scope,
    /// The first bytes of a plain hash of the secret.
    pub tag: Vec<u8>,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// When support revoked it.
    pub revoked: Option<Timestamp>,
    /// The number of the last change of the organisation, where it was asked for.
    pub last_change: Option<i64>,
}

/// The statement for a credential; a macro, so that the compiler puts it together.
macro_rules! credential_sql {
    ($last_change:literal) => {
        concat!(
            "SELECT token.scope, token.tag, token.expires, token.revoked, ",
            $last_change,
            ", ",
            org_columns!(),
            " FROM token JOIN org ON org.id = token.org WHERE token.id = ?"
        )
    };
}

const COLUMNS: &str = "token.id, token.org, token.scope, token.label, token.hash, token.tag,
    token.created, token.expires, token.revoked, token.last_used";
const COLUMNS_COUNT: usize = 10;

impl Read<'_> {
    /// The token with this public id, with its organisation.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn token(&self, id: &str) -> Result<Option<(Token, Org)>, Error> {
        let sql = format!(
            "SELECT {COLUMNS}, {} FROM token JOIN org ON org.id = token.org WHERE token.id = ?",
            org::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement
            .query_row([id], |row| Ok((from_row(row)?, org::from_columns(row, COLUMNS_COUNT)?)));
        let Some((token, org)) = found.optional()? else {
            return Ok(None);
        };
        Ok(Some((token?, org?)))
    }

    /// What a request with this token needs to know of it, at the least cost. The last change is
    /// looked for where the request reads: of a change, the answer tells its own number.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn credential(&self, id: &str, reads: bool) -> Result<Option<Credential>, Error> {
        let sql = if reads {
            credential_sql!(
                "coalesce((SELECT seq FROM provisioning_log AS log WHERE log.org = token.org
                    ORDER BY seq DESC LIMIT 1), org.trimmed)"
            )
        } else {
            credential_sql!("NULL")
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([id], |row| {
            let scope = scope_of(row, 0)?;
            let tag = row.get_ref(1)?.as_blob()?.to_vec();
            let (expires, revoked) = (time(row, 2)?, time(row, 3)?);
            let (last_change, org) = (row.get(4)?, org::from_columns(row, 5)?);
            let credential =
                |scope, org| Ok(Credential { org, scope, tag, expires, revoked, last_change });
            Ok(scope.and_then(|scope| credential(scope, Arc::new(org?))))
        });
        found.optional()?.transpose()
    }

    /// The argon2id hash of a token's secret.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn token_hash(&self, id: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT hash FROM token WHERE id = ?";
        Ok(self.connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?)
    }

    /// Every token of an organisation, the oldest first.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn tokens(&self, org: OrgKey) -> Result<Vec<Token>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM token WHERE org = ? ORDER BY created, id");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([org.0], from_row)?;
        rows.map(|it| it?).collect()
    }

    /// The tokens of an organisation that are accepted at this time, the oldest first.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn valid_tokens(&self, org: OrgKey, now: Timestamp) -> Result<Vec<Token>, Error> {
        let mut tokens = self.tokens(org)?;
        tokens.retain(|it| it.is_valid(now));
        Ok(tokens)
    }
}

impl Write<'_> {
    /// Adds a token.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn add_token(&self, token: &Token) -> Result<(), Error> {
        let sql = "INSERT INTO token (id, org, scope, label, hash, tag, created, expires)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let values = params![
            token.id,
            token.org.0,
            token.scope.word(),
            token.label,
            token.hash,
            token.tag,
            token.created.nanoseconds(),
            token.expires.map(Timestamp::nanoseconds),
        ];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Revokes a token from now on; one that is revoked already keeps its time. Returns whether
    /// there is such a token.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn revoke_token(&self, id: &str) -> Result<bool, Error> {
        let sql = "UPDATE token SET revoked = coalesce(revoked, ?) WHERE id = ?";
        let changed =
            self.connection.prepare_cached(sql)?.execute(params![self.now.nanoseconds(), id])?;
        Ok(changed > 0)
    }

    /// Notes when a token was last used.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn token_used(&self, id: &str, at: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE token SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?";
        self.connection.prepare_cached(sql)?.execute(params![at.nanoseconds(), id])?;
        Ok(())
    }
}

fn from_row(row: &Row) -> rusqlite::Result<Result<Token, Error>> {
    let scope = match scope_of(row, 2)? {
        Ok(scope) => scope,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Token {
        id: row.get(0)?,
        org: OrgKey(row.get(1)?),
        scope,
        label: row.get(3)?,
        hash: row.get(4)?,
        tag: row.get(5)?,
        created: Timestamp::from_nanoseconds(row.get(6)?),
        expires: time(row, 7)?,
        revoked: time(row, 8)?,
        last_used: time(row, 9)?,
    }))
}

fn time(row: &Row, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_nanoseconds))
}

fn scope_of(row: &Row, column: usize) -> rusqlite::Result<Result<Scope, Error>> {
    let word = row.get_ref(column)?.as_str()?;
    let unknown = || Error::Invalid(format!("token scope {word}"));
    Ok(Scope::from_word(word).ok_or_else(unknown))
}
