//! May this person log in? The application asks at each login.

use serde_json::{Value, json};

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::{JSON, Response};
use crate::scim::error::{Error, quoted};
use crate::scim::schema::name::USER_NAME;
use crate::store;
use crate::store::tables::resource::Kind;

/// `GET /access/v1/users/{userName}`: 200 for an active account, 403 for a deactivated one, 404 for
/// one that does not exist or was deleted.
///
/// Answers are plain JSON; a refusal says why in `detail`.
///
/// # Errors
/// Failures of the store.
pub fn user(context: &Context, _: &Request, user_name: &str) -> Result<Response, Failure> {
    let mut types = context.definitions.resource_types.iter();
    let accounts = types.find(|it| it.core.attribute(USER_NAME).is_some());
    let Some(accounts) = accounts else {
        return Err(Error::new(404, "Nobody can log in here: there is no type of account.").into());
    };
    let org = context.principal.org.key;
    let kind = Kind { org, resource_type: &accounts.name, location_base: "" };
    let Some(account) = context.read_at_once(|tx| Ok(tx.account(kind, user_name)?))? else {
        let name = quoted(user_name);
        let detail = format!("There is no account \"{name}\": this person may not log in.");
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
    if !account.active {
        body["detail"] = "The account is deactivated: this person may not log in.".into();
    }
    let status = if account.active { 200 } else { 403 };
    Ok(Response::new(status, JSON, body.to_string().into_bytes()))
}

fn refusal(status: u16, detail: &str) -> Response {
    let body = json!({ "status": status.to_string(), "detail": detail });
    Response::new(status, JSON, body.to_string().into_bytes())
}
