//! `GET /admin/api/activity`: changes and refusals as one story, page by page, and as they come.

use std::time::Duration;

use serde_json::{Value, json};

use crate::activity::story::{self, Filter, Place};
use crate::activity::{Entry, Happened};
use crate::api::admin::parameters::{answer, limit, number, text, word};
use crate::api::admin::people::ENTRY_BYTES;
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::waiting::Wait;
use crate::by_hand::login::USER;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::Error;
use crate::store::query::story::Wanted;
use crate::store::tables::provisioning_log::{ORG, RESOURCE_TYPE, SCHEMA, TOKEN, WEBHOOK};
use crate::store::transaction::Read;

/// The longest wait, in seconds.
pub const WAIT_SECONDS_MAX: i64 = 60;
/// How many entries are looked at for one page of a filter that few of them fit.
const LOOKED_AT_MAX: usize = 4_000;
/// How many of them are read at once.
const PART: usize = 200;

/// What happened, by outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused,
}

const OUTCOMES: [(&str, Outcome); 2] = [("done", Outcome::Done), ("refused", Outcome::Refused)];
/// What it was about.
const KINDS: [(&str, &[&str]); 5] = [
    ("users", &[USER]),
    ("groups", &["Group"]),
    ("tokens", &[TOKEN]),
    ("webhooks", &[WEBHOOK]),
    ("settings", &[ORG, SCHEMA, RESOURCE_TYPE]),
];

/// What of the story is asked for.
struct Asked {
    filter: Filter,
    outcome: Option<Outcome>,
    kind: Option<&'static [&'static str]>,
}

impl Asked {
    fn has(&self, entry: &Entry) -> bool {
        let (about, refused) = match &entry.happened {
            Happened::Change(it) => (Some(it.resource_type.as_str()), false),
            Happened::Refusal(it) => (it.refusal.resource_type.as_deref(), true),
        };
        let outcome = self.outcome.is_none_or(|it| (it == Outcome::Refused) == refused);
        outcome && self.kind.is_none_or(|it| about.is_some_and(|about| it.contains(&about)))
    }
}

/// `?user=&kind=&outcome=&limit=` and `before=` for a page further back, the newest first, or
/// `after=&wait=` for what has happened since, the oldest first.
///
/// # Errors
/// 400 for a parameter that means nothing, failures of the store.
pub fn list(context: &Context, request: &Request) -> Result<Response, Failure> {
    let (before, after) = (place(request, "before")?, place(request, "after")?);
    let wait = number(request, "wait", 0, WAIT_SECONDS_MAX, 0)?;
    let most = limit(request)?;
    let outcome = word(request, "outcome", &OUTCOMES)?;
    let kind = word(request, "kind", &KINDS)?;
    if before.is_some() && after.is_some() {
        let detail = "Ask with before or with after, not with both.";
        return Err(Error::new(400, detail).into());
    }
    // Whoever waits holds as little as possible, for as long as it may be.
    if wait > 0 && !request.body.is_empty() {
        let detail = "A request that waits has no body: leave it out.";
        return Err(Error::new(400, detail).into());
    }
    let org = context.principal.org.key;
    let user = text(request, "user")?;
    let (asked, newest) = context.read(|tx| {
        let about = user.map(|it| tx.person(org, USER, &it)).transpose()?;
        let filter = Filter {
            wanted: Wanted { org: Some(org), about },
            refused_only: outcome == Some(Outcome::Refused),
            since: None,
        };
        Ok::<_, Failure>((Asked { filter, outcome, kind }, newest(context, tx)?))
    })?;
    let Some(after) = after else {
        context.take(most * ENTRY_BYTES)?;
        return page(context, &asked, before.unwrap_or(Place::END), most, newest);
    };
    if newest.change <= after.change && newest.refusal <= after.refusal {
        let time = Duration::from_secs(wait.unsigned_abs());
        let refusal = Some(after.refusal);
        let wait_for = Wait { org, after: after.change, refusal, time };
        context.notes.wait.set((wait > 0).then_some(wait_for));
        return Ok(answer(&json!({ "entries": [], "newest": shown(after), "more": false })));
    }
    context.take(most * ENTRY_BYTES)?;
    let (entries, place) =
        context.read(|tx| Ok::<_, Failure>(story::after(tx, &asked.filter, after, most)?))?;
    // Where nothing more fits the filter, it goes on behind everything.
    let more = entries.len() >= most;
    let place = if more { place } else { further(place, newest) };
    let entries: Vec<Value> =
        entries.iter().filter(|it| asked.has(it)).map(Entry::to_json).collect();
    Ok(answer(&json!({ "entries": entries, "newest": shown(place), "more": more })))
}

/// A page further back. Where few entries fit, it ends after so many that were looked at, and says
/// where it goes on.
fn page(
    context: &Context,
    asked: &Asked,
    before: Place,
    most: usize,
    newest: Place,
) -> Result<Response, Failure> {
    let (mut entries, mut looked_at, mut next) = (Vec::new(), 0, Some(before));
    let mut reached = None;
    while let Some(place) = next.filter(|_| entries.len() < most && looked_at < LOOKED_AT_MAX) {
        let few = asked.kind.is_some() || asked.outcome == Some(Outcome::Done);
        let part = if few { PART } else { most };
        let page =
            context.read(|tx| Ok::<_, Failure>(story::page(tx, &asked.filter, place, part)?))?;
        looked_at += page.entries.len().max(1);
        next = page.next;
        let mut seen = place;
        for it in page.entries {
            if entries.len() == most {
                // The rest of what was read is read again.
                next = Some(seen);
                break;
            }
            seen = behind(seen, &it);
            reached = Some(it.happened.time().to_string());
            if asked.has(&it) {
                entries.push(it.to_json());
            }
        }
    }
    let json = json!({
        "entries": entries,
        "next": next.map(shown),
        "reached": reached,
        "newest": shown(newest),
    });
    Ok(answer(&json))
}

/// The place before an entry.
fn behind(place: Place, entry: &Entry) -> Place {
    match &entry.happened {
        Happened::Change(it) => Place { change: it.seq.min(place.change), ..place },
        Happened::Refusal(it) => Place { refusal: it.seq.min(place.refusal), ..place },
    }
}

fn newest(context: &Context, tx: &Read) -> Result<Place, Failure> {
    let org = context.principal.org.key;
    Ok(Place { change: context.last_change(tx)?, refusal: tx.newest_refusal(org)? })
}

fn further(a: Place, b: Place) -> Place {
    Place { change: a.change.max(b.change), refusal: a.refusal.max(b.refusal) }
}

fn shown(place: Place) -> String {
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
