//! May this person log in? The application asks at each login.

use serde_json::{Value, json};

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::{JSON, Response};
use crate::outbox::account::{accounts, groups};
use crate::scim::error::{Error, quoted};
use crate::scim::schema::name::USER_NAME;
use crate::store;
use crate::store::tables::resource::{Account, AccountKey, Kind};

/// What an account is found by, as the parameters are called and as sentences have it.
const KEYS: [(&str, AccountKey, &str); 4] = [
    ("id", AccountKey::Id, "with the id"),
    ("externalId", AccountKey::ExternalId, "with the externalId"),
    ("userName", AccountKey::UserName, "called"),
    ("email", AccountKey::Email, "with the e-mail address"),
];

/// `GET /access/v1/users/{userName}`: 200 for an active account, 403 for a deactivated one, 404 for
/// one that does not exist or was deleted.
///
/// Answers are plain JSON; a refusal says why in `detail`.
///
/// # Errors
/// Failures of the store.
pub fn by_user_name(context: &Context, _: &Request, user_name: &str) -> Result<Response, Failure> {
    answer(context, AccountKey::UserName, user_name, "called")
}

/// `GET /access/v1/user?id=|externalId=|userName=|email=`: the same, found by another key.
///
/// # Errors
/// 400 unless one of the four is given, 409 when several accounts have the value, failures of the
/// store.
pub fn by_key(context: &Context, request: &Request) -> Result<Response, Failure> {
    let given = KEYS.iter().filter_map(|it| Some((request.parameter(it.0)?, it)));
    let given: Vec<_> = given.collect();
    let [(value, (name, key, words))] = given.as_slice() else {
        let detail = "Ask with exactly one of the parameters id, externalId, userName and email.";
        return Err(Error::new(400, detail).into());
    };
    let Ok(value) = value else {
        let detail = format!("The parameter {name} is not percent-encoded UTF-8 text.");
        return Err(Error::new(400, detail).into());
    };
    if value.is_empty() {
        let detail = format!("The parameter {name} is empty: say who wants to log in.");
        return Err(Error::new(400, detail).into());
    }
    answer(context, *key, value, words)
}

/// The one account with this value and the groups it is in.
///
/// # Errors
/// 409 when several accounts have the value, failures of the store.
pub fn find(
    context: &Context,
    key: AccountKey,
    value: &str,
    words: &str,
) -> Result<Option<(Account, Value)>, Failure> {
    let Some(accounts) = accounts(context.definitions) else {
        return Err(Error::new(404, "Nobody can log in here: there is no type of account.").into());
    };
    let org = context.principal.org.key;
    let kind = Kind { org, resource_type: &accounts.name, location_base: "" };
    context.read_at_once(|tx| {
        let mut found = tx.accounts(kind, key, value)?;
        if found.len() > 1 {
            // Whose login it is cannot be known, also when only one of them is active.
            let detail = format!(
                "There are several accounts {words} \"{}\": nobody may log in by it. Ask by \
                 userName or id.",
                quoted(value)
            );
            return Err(Error::new(409, detail).into());
        }
        let Some(account) = found.pop() else { return Ok(None) };
        let groups = groups(tx, account.seq)?;
        Ok(Some((account, groups)))
    })
}

fn answer(
    context: &Context,
    key: AccountKey,
    value: &str,
    words: &str,
) -> Result<Response, Failure> {
    let Some((account, groups)) = find(context, key, value, words)? else {
        let value = quoted(value);
        let account = if key == AccountKey::UserName { "" } else { words };
        let space = if account.is_empty() { "" } else { " " };
        let detail =
            format!("There is no account{space}{account} \"{value}\": this person may not log in.");
        return Ok(refusal(404, &detail));
    };
    let document: Value = serde_json::from_str(&account.document)
        .map_err(|it| store::error::Error::Invalid(format!("resource {}: {it}", account.id)))?;
    let mut body = json!({
        "active": account.active,
        "id": account.id,
        "userName": document[USER_NAME],
    });
    for name in ["externalId", "displayName"] {
        if let Some(value) = document.get(name) {
            body[name] = value.clone();
        }
    }
    body["groups"] = groups;
    if !account.active {
        body["detail"] = "The account is deactivated: this person may not log in.".into();
    }
    let status = if account.active { 200 } else { 403 };
    Ok(Response::new(status, JSON, body.to_string().into_bytes()))
}

/// A refusal that tells the application why.
#[must_use]
pub fn refusal(status: u16, detail: &str) -> Response {
    let body = json!({ "status": status.to_string(), "detail": detail });
    Response::new(status, JSON, body.to_string().into_bytes())
}
