//! May this request pass? A reverse proxy asks before it passes one on.

use crate::api::access::login::{find, refusal};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::Error;
use crate::scim::filter::comparison::fold;
use crate::store::tables::resource::AccountKey;

/// The header fields by which a proxy says who has signed in; all of them name the userName.
const FIELDS: [&str; 4] =
    ["X-Forwarded-User", "X-Auth-Request-User", "X-Auth-Request-Email", "Remote-User"];

/// `GET /access/v1/check`: 204 for an active account, with its id; 403 for a deactivated one and
/// for one that does not exist alike, since what a proxy passes on reaches the person.
///
/// # Errors
/// 400 when the header fields name nobody, or two people; failures of the store.
pub fn check(context: &Context, request: &Request) -> Result<Response, Failure> {
    let is_one = |name: &str| FIELDS.iter().any(|it| it.eq_ignore_ascii_case(name));
    let named = request.headers.iter().filter(|(name, value)| is_one(name) && !value.is_empty());
    let mut named = named.map(|(_, value)| value);
    let Some(user_name) = named.next() else {
        let detail = format!(
            "No header field says who has signed in. Have the proxy send one of {}.",
            FIELDS.join(", ")
        );
        return Err(Error::new(400, detail).into());
    };
    if named.any(|it| fold(it) != fold(user_name)) {
        let detail = format!(
            "The header fields {} name two people. Have the proxy send one of them, and remove the \
             others from what clients send.",
            FIELDS.join(", ")
        );
        return Err(Error::new(400, detail).into());
    }
    let found = find(context, AccountKey::UserName, user_name, "called")?;
    Ok(match found.filter(|(account, _)| account.active) {
        Some((account, _)) => Response::empty(204).with_header("X-Plumm-User-Id", account.id),
        None => refusal(403, "This person may not log in."),
    })
}
