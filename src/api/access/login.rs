//! May this person log in? The application asks at each login.

use serde_json::{Value, json};

use crate::http::request::{Method, Request};
use crate::http::response::{JSON, Response};
use crate::scim::error::quoted;
use crate::scim::identity::USER_NAME;
use crate::scim::schema::definitions::Definitions;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::Kind;

/// Answers a request below `/access/v1`; `path` holds the segments behind that.
///
/// `GET /users/{userName}`: 200 for an active account, 403 for a deactivated one, 404 for one that
/// does not exist or was deleted.
///
/// Answers are plain JSON; a refusal says why in `detail`.
///
/// # Errors
/// Failures of the store.
pub fn handle(
    store: &Store,
    definitions: &Definitions,
    org: OrgKey,
    request: &Request,
    path: &[String],
) -> Result<Response, Error> {
    let [collection, user_name] = path else {
        return Ok(no_such_path(request));
    };
    if collection != "users" {
        return Ok(no_such_path(request));
    }
    if !matches!(request.method, Method::Get | Method::Head) {
        let detail = "Only GET can be used here.";
        return Ok(refusal(405, detail).with_header("Allow", "GET, HEAD"));
    }
    let mut types = definitions.resource_types.iter();
    let accounts = types.find(|it| it.core.attribute(USER_NAME).is_some());
    let Some(accounts) = accounts else {
        return Ok(no_such_path(request));
    };
    let kind = Kind { org, resource_type: &accounts.name, location_base: "" };
    let Some(account) = store.read(|tx| tx.account(kind, user_name))? else {
        let name = quoted(user_name);
        let detail = format!("There is no account \"{name}\": this person may not log in.");
        return Ok(refusal(404, &detail));
    };
    let document: Value = serde_json::from_str(&account.document)
        .map_err(|it| Error::Invalid(format!("resource {}: {it}", account.id)))?;
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

fn no_such_path(request: &Request) -> Response {
    let path = quoted(&request.path);
    let detail = format!("There is nothing at {path}; ask GET /access/v1/users/{{userName}}.");
    refusal(404, &detail)
}

fn refusal(status: u16, detail: &str) -> Response {
    let body = json!({ "status": status.to_string(), "detail": detail });
    Response::new(status, JSON, body.to_string().into_bytes())
}
