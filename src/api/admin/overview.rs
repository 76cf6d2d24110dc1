//! `GET /admin/api/overview`: how it goes with an organisation.

use serde_json::json;

use crate::activity::story::{self, Filter, Only, Place};
use crate::api::admin::backup;
use crate::api::admin::parameters::{answer, number};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::by_hand::login::USER;
use crate::by_hand::token::{as_json, expires_soon};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::datetime::Timestamp;
use crate::store::query::story::Wanted;
use crate::store::tables::resource::State;
use crate::store::tables::token::Scope;

/// How many days are told of.
const DAYS: i64 = 30;
const DAY_NANOSECONDS: i64 = 24 * 60 * 60 * 1_000_000_000;
const MINUTE_NANOSECONDS: i64 = 60 * 1_000_000_000;
/// How far the clock of a reader may be from UTC, in minutes.
const OFFSET_MAX: i64 = 14 * 60;
/// How many refusals are shown.
const REFUSALS_SHOWN: usize = 3;
const SECOND_NANOSECONDS: i64 = 1_000_000_000;

/// What there is, what happened per day, and what needs to be looked after.
///
/// # Errors
/// 400 for an offset that none is, failures of the store.
pub fn get(context: &Context, request: &Request) -> Result<Response, Failure> {
    let offset = number(request, "offset", -OFFSET_MAX, OFFSET_MAX, 0)? * MINUTE_NANOSECONDS;
    let org = &context.principal.org;
    let days = days(context.now, offset);
    let filter = Filter {
        wanted: Wanted { org: Some(org.key), ..Wanted::default() },
        only: Some(Only::Refused),
        since: None,
    };
    let mut json = context.read(|tx| {
        let census = tx.census(org.key)?;
        let deleted = tx.count_in(org.key, USER, State::Deleted)?;
        let happened = tx.happened_between(org.key, &days)?;
        let refused = story::page(tx, &filter, Place::END, REFUSALS_SHOWN)?;
        let mut tokens = tx.valid_tokens(org.key, context.now)?;
        tokens.iter_mut().for_each(|it| it.last_used = context.auth.last_used(it));
        let contact =
            tokens.iter().filter(|it| it.scope == Scope::Scim).filter_map(|it| it.last_used).max();
        let soon = tokens.iter().filter(|it| expires_soon(it, context.now));
        let days = days.iter().zip(&happened).map(|(from, it)| {
            json!({ "from": from.to_string(), "changes": it.changes, "refused": it.refused })
        });
        Ok(json!({
            "org": { "name": org.name, "activated": org.active },
            "users": {
                "active": census.active,
                "inactive": census.inactive,
                "deleted": deleted,
            },
            "groups": census.groups,
            "days": days.collect::<Vec<_>>(),
            "lastContact": contact.map(|it| it.to_string()),
            "lastPush": tx.last_push(org.key)?.map(|it| it.to_string()),
            "refused": refused.entries.iter().map(|it| it.to_json()).collect::<Vec<_>>(),
            "tokens": {
                "valid": tokens.len(),
                "identityProvider": tokens.iter().filter(|it| it.scope == Scope::Scim).count(),
                "expireSoon": soon.map(|it| as_json(it, org, context.now)).collect::<Vec<_>>(),
            },
        }))
    })?;
    let expiry = context.metrics.certificate_expiry();
    let expiry =
        expiry.map(|it| Timestamp::from_nanoseconds(it.saturating_mul(SECOND_NANOSECONDS)));
    json["certificate"] = expiry.map(|it| json!({ "expires": it.to_string() })).into();
    json["backup"] = backup::last(context);
    json["now"] = context.now.to_string().into();
    json["demo"] = context.host.demonstration.into();
    Ok(answer(&json))
}

/// When the days of the reader begin, and when the last of them ends.
fn days(now: Timestamp, offset: i64) -> Vec<Timestamp> {
    let local = now.nanoseconds().saturating_add(offset);
    let today = local.div_euclid(DAY_NANOSECONDS);
    let begins = |day: i64| Timestamp::from_nanoseconds(day * DAY_NANOSECONDS - offset);
    (today - DAYS + 1..=today + 1).map(begins).collect()
}
