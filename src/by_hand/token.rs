//! API tokens as people see them: what each may do, its state, and the lines of the record.

use serde_json::{Map, Value, json};

use crate::by_hand::{Deed, record};
use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::provisioning_log::{Actor, TOKEN};
use crate::store::tables::token::Token;
use crate::store::transaction::Write;

/// The longest label, in characters.
pub const LABEL_CHARS_MAX: usize = 200;
/// The longest life of a token that expires, in days: ten years.
pub const DAYS_MAX: u32 = 3650;
/// A day, in seconds.
pub const DAY_SECONDS: i64 = 24 * 60 * 60;
/// A token that ends in fewer days than this is marked.
pub const SOON_DAYS: i64 = 30;

/// Puts a new token into the store, with its line.
///
/// # Errors
/// Failures of the store.
pub fn add(write: &Write, actor: &Actor, token: &Token) -> Result<(), Error> {
    write.add_token(token)?;
    let deed = Deed { method: "create", resource_type: TOKEN, resource: &token.id };
    record(write, actor, token.org, deed, &Map::new(), &settings(token))
}

/// Revokes a token from now on, with its line. Returns it as it was and as it is.
///
/// # Errors
/// Failures of the store.
pub fn revoke(write: &Write, actor: &Actor, before: Token) -> Result<(Token, Token), Error> {
    write.revoke_token(&before.id)?;
    let found = write.token(&before.id)?;
    let gone = || Error::Invalid(format!("token {} is gone", before.id));
    let (token, _) = found.ok_or_else(gone)?;
    if before.revoked.is_none() {
        let deed = Deed { method: "revoke", resource_type: TOKEN, resource: &token.id };
        record(write, actor, token.org, deed, &settings(&before), &settings(&token))?;
    }
    Ok((before, token))
}

/// What a token may do, and until when. Nothing of its secret, not even a hash.
fn settings(token: &Token) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("scope".to_owned(), token.scope.word().into());
    settings.insert("label".to_owned(), token.label.as_str().into());
    for (name, time) in [("expires", token.expires), ("revoked", token.revoked)] {
        settings.extend(time.map(|it| (name.to_owned(), it.to_string().into())));
    }
    settings
}

/// In how many whole days a token ends; negative when it has.
#[must_use]
pub fn days_left(token: &Token, now: Timestamp) -> Option<i64> {
    let left = token.expires?.nanoseconds().saturating_sub(now.nanoseconds());
    Some(left / (DAY_SECONDS * 1_000_000_000))
}

/// Whether a token is valid now and not for long.
#[must_use]
pub fn expires_soon(token: &Token, now: Timestamp) -> bool {
    state(token, now) == "valid" && days_left(token, now).is_some_and(|it| it < SOON_DAYS)
}

/// The state of a token in a word.
#[must_use]
pub fn state(token: &Token, now: Timestamp) -> &'static str {
    match token {
        Token { revoked: Some(_), .. } => "revoked",
        Token { expires: Some(at), .. } if *at <= now => "expired",
        _ => "valid",
    }
}

/// A token as programs read it.
#[must_use]
pub fn as_json(token: &Token, org: &Org, now: Timestamp) -> Value {
    json!({
        "id": token.id,
        "org": org.name,
        "scope": token.scope.word(),
        "label": token.label,
        "state": state(token, now),
        "created": token.created.to_string(),
        "expires": time_json(token.expires),
        "revoked": time_json(token.revoked),
        "last_used": time_json(token.last_used),
        "expires_in_days": days_left(token, now),
        "expires_soon": expires_soon(token, now),
    })
}

/// A time as JSON has it.
#[must_use]
pub fn time_json(time: Option<Timestamp>) -> Option<String> {
    time.map(|it| it.to_string())
}
