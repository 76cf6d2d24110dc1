//! `/admin/api/groups`: groups found as one types, and one with its members.

use serde_json::{Value, json};

use crate::api::admin::parameters::{answer, limit};
use crate::api::admin::people::{FOUND_BYTES_MAX, LIST_BYTES, found, listed, place, searched};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::{Error, quoted};
use crate::store::query::search::Search;
use crate::store::tables::resource::{Kind, State};

/// The resource type of groups.
const GROUP: &str = "Group";
/// How many rows a search looks at where no index leads to what is searched for.
const ROWS_MAX: usize = 20_000;
/// How many members are shown.
const MEMBERS_SHOWN: usize = 500;
/// What a member takes while it is shown, in bytes.
const MEMBER_BYTES: usize = 1024;

/// `GET /admin/api/groups?search=&after=&limit=`: as for users.
///
/// # Errors
/// 400 for a parameter that means nothing, failures of the store.
pub fn list(context: &Context, request: &Request) -> Result<Response, Failure> {
    let most = limit(request)?;
    let org = context.principal.org.key;
    context.take(LIST_BYTES)?;
    let json = match searched(request)? {
        Some(text) => {
            let (rows_max, bytes_max) = (ROWS_MAX, FOUND_BYTES_MAX);
            let search = Search { text: &text, state: State::Present, most, rows_max, bytes_max };
            found(&context.read(|tx| Ok(tx.search(org, GROUP, search)?))?)?
        }
        None => {
            let after = place(request)?;
            listed(&context.read(|tx| Ok(tx.groups_by_name(org, GROUP, &after, most)?))?)
        }
    };
    Ok(answer(&json))
}

/// `GET /admin/api/groups/{id}`: one group, and its first members.
///
/// # Errors
/// 404 for an id that no group has, failures of the store.
pub fn get(context: &Context, _: &Request, id: &str) -> Result<Response, Failure> {
    context.take(MEMBERS_SHOWN * MEMBER_BYTES)?;
    let org = context.principal.org.key;
    let json = context.read(|tx| {
        let kind = Kind { org, resource_type: GROUP, location_base: "" };
        let unknown = || {
            let detail = format!("There is no group with the id \"{}\".", quoted(id));
            Error::new(404, detail)
        };
        let stored = tx.resource(kind, id)?.ok_or_else(unknown)?;
        let document = stored.parse()?;
        let limit = i64::try_from(MEMBERS_SHOWN).unwrap_or(i64::MAX);
        let linked = tx.members(&[stored.seq], limit)?.remove(&stored.seq).unwrap_or_default();
        let ids: Vec<&str> = linked.iter().map(|it| it.id.as_str()).collect();
        let names = tx.names(org, &ids)?;
        let members = linked.iter().map(|it| {
            let user_name = names.get(&it.id).and_then(|it| it.user_name.as_deref());
            json!({
                "id": it.id,
                "type": it.resource_type,
                "displayName": it.display,
                "userName": user_name,
            })
        });
        let members: Vec<Value> = members.collect();
        Ok::<_, Failure>(json!({
            "id": stored.id,
            "displayName": document.get("displayName"),
            "externalId": document.get("externalId"),
            "created": stored.created.to_string(),
            "lastModified": stored.last_modified.to_string(),
            "members": members,
            "memberCount": tx.count_members(&[stored.seq])?,
        }))
    })?;
    Ok(answer(&json))
}
