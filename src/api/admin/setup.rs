//! `GET /admin/api/setup`: how far the identity provider is set up.

use serde_json::json;

use crate::activity::story::{self, Filter, Only, Place};
use crate::api::admin::parameters::answer;
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::datetime::Timestamp;
use crate::store::query::story::Wanted;
use crate::store::tables::token::Scope;

/// What has arrived, and what was refused last.
///
/// # Errors
/// Failures of the store.
pub fn get(context: &Context, _: &Request) -> Result<Response, Failure> {
    let org = &context.principal.org;
    let filter = Filter {
        wanted: Wanted { org: Some(org.key), ..Wanted::default() },
        only: Some(Only::Refused),
        since: None,
    };
    let json = context.read(|tx| {
        let tokens = tx.valid_tokens(org.key, context.now)?;
        let tokens: Vec<_> = tokens.iter().filter(|it| it.scope == Scope::Scim).collect();
        let done = tx.milestones(org.key)?;
        let census = tx.census(org.key)?;
        let contact = tokens.iter().filter_map(|it| context.auth.last_used(it)).max();
        // Whoever has changed something has been here.
        let tested = contact.or(tx.last_push(org.key)?);
        let refused = story::page(tx, &filter, Place::END, 1)?;
        let time = |it: Option<_>| it.map(|it: Timestamp| it.to_string());
        Ok::<_, Failure>(json!({
            "org": { "name": org.name, "activated": org.active },
            "baseUrl": context.base_url,
            "tokens": tokens.len(),
            "steps": {
                "credentials": { "done": tested.is_some(), "time": time(tested) },
                "user": { "done": done.user.is_some(), "time": time(done.user) },
                "update": { "done": done.update.is_some(), "time": time(done.update) },
                "deactivation": {
                    "done": done.deactivation.is_some() || census.inactive > 0,
                    "time": time(done.deactivation),
                },
                "groups": { "done": done.group.is_some(), "time": time(done.group) },
            },
            "refused": refused.entries.first().map(|it| it.to_json()),
        }))
    })?;
    Ok(answer(&json))
}
