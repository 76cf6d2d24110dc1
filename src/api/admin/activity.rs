//! `GET /admin/api/activity`: changes and refusals as one story, page by page, and as they come.

use std::time::Duration;

use serde_json::{Value, json};

use crate::activity::Entry;
use crate::activity::story::{self, Filter, Only, Page, Place};
use crate::api::admin::parameters::{answer, limit, number, text, word};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::waiting::Wait;
use crate::by_hand::login::USER;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::datetime::Timestamp;
use crate::scim::error::Error;
use crate::store::query::story::{Kind, STORY_BYTES_MAX, Wanted};
use crate::store::tables::provisioning_log::{ORG, RESOURCE_TYPE, SCHEMA, TOKEN, WEBHOOK};
use crate::store::transaction::Read;

/// The longest wait, in seconds.
pub const WAIT_SECONDS_MAX: i64 = 60;
/// How many lines of the record are looked at for one page of a kind that few of them are of.
pub const LINES_LOOKED_AT_MAX: usize = 100_000;

const OUTCOMES: [(&str, Only); 2] = [("done", Only::Done), ("refused", Only::Refused)];
const KINDS: [(&str, Kind); 6] = [
    ("users", Kind::Types(&[USER])),
    ("groups", Kind::Types(&["Group"])),
    ("tokens", Kind::Types(&[TOKEN])),
    ("webhooks", Kind::Types(&[WEBHOOK])),
    ("settings", Kind::Types(&[ORG, SCHEMA, RESOURCE_TYPE])),
    ("commands", Kind::Commands),
];

/// `?user=&kind=&outcome=&limit=` and `before=` for a page further back, the newest first, or
/// `after=&wait=` for what has happened since, the oldest first.
///
/// # Errors
/// 400 for a parameter that means nothing, failures of the store.
pub fn list(context: &Context, request: &Request) -> Result<Response, Failure> {
    let (before, after) = (place(request, "before")?, place(request, "after")?);
    let wait = number(request, "wait", 0, WAIT_SECONDS_MAX, 0)?;
    let most = limit(request)?;
    if before.is_some() && after.is_some() {
        let detail = "Ask with before or with after, not with both.";
        return Err(Error::new(400, detail).into());
    }
    // Whoever waits holds as little as possible, for as long as it may be.
    if wait > 0 && !request.body.is_empty() {
        let detail = "A request that waits has no body: leave it out.";
        return Err(Error::new(400, detail).into());
    }
    let filter = filter(context, request)?;
    let newest = context.read(|tx| newest(context, tx))?;
    let Some(after) = after else {
        context.take(STORY_BYTES_MAX)?;
        let (page, reached) = further_back(context, &filter, before.unwrap_or(Place::END), most)?;
        return Ok(answer(&json!({
            "entries": shown(page.entries),
            "next": page.next.map(as_text),
            "reached": reached.map(|it| it.to_string()),
            "newest": as_text(newest),
        })));
    };
    if newest.change <= after.change && newest.refusal <= after.refusal {
        let time = Duration::from_secs(wait.unsigned_abs());
        let refusal = Some(after.refusal);
        let org = context.principal.org.key;
        let wait_for = Wait { org, after: after.change, refusal, time };
        context.notes.wait.set((wait > 0).then_some(wait_for));
        return Ok(answer(&json!({ "entries": [], "newest": as_text(after), "more": false })));
    }
    context.take(STORY_BYTES_MAX)?;
    let (entries, place, more) =
        read(context, &filter, |tx| Ok(story::after(tx, &filter, after, most)?))?;
    // Where nothing more fits the filter, it goes on behind everything.
    let place = if more { place } else { further(place, newest) };
    let (entries, place) = (shown(entries), as_text(place));
    Ok(answer(&json!({ "entries": entries, "newest": place, "more": more })))
}

/// What of the story a request asks for.
///
/// # Errors
/// 400 for a parameter that means nothing, failures of the store.
pub fn filter(context: &Context, request: &Request) -> Result<Filter, Failure> {
    let only = word(request, "outcome", &OUTCOMES)?;
    let kind = word(request, "kind", &KINDS)?;
    let org = context.principal.org.key;
    let user = text(request, "user")?;
    let about = context.read(|tx| Ok(user.map(|it| tx.person(org, USER, &it)).transpose()?))?;
    let wanted = Wanted { org: Some(org), about, kind, ..Wanted::default() };
    Ok(Filter { wanted, only, since: None })
}

/// A page further back, and how far back it was looked for it. Where few entries fit, it ends after
/// so many lines of the record that were looked at, and says where it goes on.
///
/// # Errors
/// Failures of the store.
pub fn further_back(
    context: &Context,
    filter: &Filter,
    before: Place,
    most: usize,
) -> Result<(Page, Option<Timestamp>), Failure> {
    let looked = |tx: &Read| match filter.wanted.kind {
        Some(_) => story::search(tx, filter, before, most, LINES_LOOKED_AT_MAX),
        None => Ok((story::page(tx, filter, before, most)?, None)),
    };
    let (page, reached) = read(context, filter, |tx| Ok(looked(tx)?))?;
    let last = page.entries.last().map(|it| it.happened.time());
    Ok((page, reached.or(last)))
}

/// Reads in a turn with others where very many lines may be looked at.
fn read<T>(
    context: &Context,
    filter: &Filter,
    work: impl FnOnce(&Read) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match filter.wanted.kind {
        Some(_) => context.read_long(work),
        None => context.read(work),
    }
}

fn newest(context: &Context, tx: &Read) -> Result<Place, Failure> {
    let org = context.principal.org.key;
    Ok(Place { change: context.last_change(tx)?, refusal: tx.newest_refusal(org)? })
}

fn further(a: Place, b: Place) -> Place {
    Place { change: a.change.max(b.change), refusal: a.refusal.max(b.refusal) }
}

fn shown(entries: Vec<Entry>) -> Vec<Value> {
    // Each one goes when it is printed.
    entries.into_iter().map(|it| it.to_json()).collect()
}

fn as_text(place: Place) -> String {
    format!("{}.{}", place.change, place.refusal)
}

fn place(request: &Request, name: &str) -> Result<Option<Place>, Error> {
    let Some(given) = text(request, name)? else { return Ok(None) };
    let parsed = given.split_once('.').and_then(|(change, refusal)| {
        Some(Place { change: change.parse().ok()?, refusal: refusal.parse().ok()? })
    });
    parsed.map(Some).ok_or_else(|| {
        let detail = format!("{name} is \"next\" or \"newest\" of an earlier answer, as it is.");
        Error::new(400, detail)
    })
}
