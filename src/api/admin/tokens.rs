//! `/admin/api/tokens`: API tokens listed, made and shown once, revoked.

use serde_json::{Value, json};

use crate::api::admin::parameters::{answer, only, text_in};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::auth;
use crate::by_hand::token::{self, DAY_SECONDS, DAYS_MAX, LABEL_CHARS_MAX, as_json};
use crate::by_hand::{REASON_CHARS_MAX, checked_text};
use crate::http::request::Request;
use crate::http::response::{JSON, Response};
use crate::scim::error::{Error, quoted};
use crate::store::tables::token::Scope;

/// The most valid tokens that an organisation may have when one is made here.
const TOKENS_MAX: usize = 200;

/// What the hash of a new secret takes while it is made, in bytes.
const HASH_BYTES: usize = 20 * 1024 * 1024;

/// `GET /admin/api/tokens`: all of the organisation, never their secrets.
///
/// # Errors
/// Failures of the store.
pub fn list(context: &Context, _: &Request) -> Result<Response, Failure> {
    let org = &context.principal.org;
    let mut tokens = context.read(|tx| Ok::<_, Failure>(tx.tokens(org.key)?))?;
    tokens.iter_mut().for_each(|it| it.last_used = context.auth.last_used(it));
    let entries: Vec<Value> = tokens
        .iter()
        .map(|it| {
            let mut json = as_json(it, org, context.now);
            json["own"] = (it.id == context.principal.token).into();
            json
        })
        .collect();
    Ok(answer(&json!({ "entries": entries })))
}

/// `POST /admin/api/tokens` with `label`, `scope` and `expires` in days: makes a token, whose
/// secret stands in this answer and nowhere else.
///
/// # Errors
/// 400 for a body that means nothing, 409 for too many tokens, failures of the store.
pub fn create(context: &Context, request: &Request) -> Result<Response, Failure> {
    let body = context.body(request)?;
    only(&body, &["label", "scope", "expires"])?;
    let label =
        text_in(&body, "label", |it| checked_text(it, LABEL_CHARS_MAX))?.unwrap_or_default();
    let scope = text_in(&body, "scope", |it| Ok(it.to_owned()))?;
    let scope = scope.map_or(Ok(Scope::Scim), |it| {
        let words: Vec<&str> = Scope::ALL.iter().map(|(_, it)| *it).collect();
        let detail =
            format!("\"scope\" is one of {}, and is \"{}\".", words.join(", "), quoted(&it));
        Scope::from_word(&it).ok_or_else(|| Error::new(400, detail))
    })?;
    let expires = match body.get("expires") {
        None | Some(Value::Null) => None,
        Some(it) => {
            let days = it.as_i64().filter(|it| (1..=i64::from(DAYS_MAX)).contains(it));
            let wrong = || {
                let detail = format!("\"expires\" is a number of days from 1 to {DAYS_MAX}.");
                Error::new(400, detail)
            };
            Some(context.now.plus_seconds(days.ok_or_else(wrong)? * DAY_SECONDS))
        }
    };
    let org = &context.principal.org;
    context.take(HASH_BYTES)?;
    let issued = auth::generate(context.now, org.key, scope, &label, expires)?;
    context.write(|tx| {
        if tx.valid_tokens(org.key, context.now)?.len() >= TOKENS_MAX {
            let detail = format!(
                "The organisation has {TOKENS_MAX} valid API tokens, and no more are made here. \
                 Revoke those that nobody uses."
            );
            return Err(Error::new(409, detail).into());
        }
        Ok(token::add(tx, &context.actor(), &issued.token)?)
    })?;
    let mut json = as_json(&issued.token, org, context.now);
    json["token"] = issued.secret.reveal().into();
    Ok(Response::new(201, JSON, json.to_string().into_bytes()))
}

/// `POST /admin/api/tokens/{id}/revoke`: makes a token invalid from the next request on.
///
/// # Errors
/// 404 for an id that no token of the organisation has, failures of the store.
pub fn revoke(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    let body = context.body(request)?;
    only(&body, &["reason"])?;
    let mut actor = context.actor();
    actor.reason = text_in(&body, "reason", |it| checked_text(it, REASON_CHARS_MAX))?;
    let org = &context.principal.org;
    let token = context.write(|tx| {
        let found = tx.token(id)?.filter(|(it, _)| it.org == org.key);
        let unknown = || {
            let detail = format!("There is no API token with the id \"{}\".", quoted(id));
            Error::new(404, detail)
        };
        let (before, _) = found.ok_or_else(unknown)?;
        Ok::<_, Failure>(token::revoke(tx, &actor, before)?.1)
    })?;
    Ok(answer(&as_json(&token, org, context.now)))
}
