//! `/admin/api/users`: people found as one types, one person, and login taken away or given back.

use serde_json::{Value, json};

use crate::activity::Entry;
use crate::activity::login::Standing;
use crate::activity::story::{self, Filter, Place};
use crate::api::admin::parameters::{answer, limit, only, text, text_in, word};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::by_hand::login::{self, Failed, USER};
use crate::by_hand::{REASON_CHARS_MAX, checked_text};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, quoted};
use crate::scim::schema::name::{ACTIVE, USER_NAME};
use crate::store::query::directory::{NAMES_BYTES_MAX, Page};
use crate::store::query::search::{Found, Search, TEXT_CHARS_MAX};
use crate::store::query::story::{About, Wanted};
use crate::store::tables::member::Linked;
use crate::store::tables::resource::{State, Stored};
use crate::store::transaction::Read;

/// The states that can be asked for.
const STATES: [(&str, State); 3] =
    [("all", State::Present), ("inactive", State::Inactive), ("deleted", State::Deleted)];
/// How many rows a search looks at where no index leads to what is searched for.
const ROWS_MAX: usize = 50_000;
/// The most of the documents of those that a search finds, in bytes.
pub const FOUND_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What a list takes while it is made, in bytes: names stand in it as they are read and as they are
/// printed.
pub const LIST_BYTES: usize = FOUND_BYTES_MAX + 2 * NAMES_BYTES_MAX;
/// How many entries of a person's history are shown.
const HISTORY_SHOWN: usize = 20;
/// What rendering an entry takes at most, nearly always, in bytes.
pub const ENTRY_BYTES: usize = 8 * 1024;

/// `GET /admin/api/users?search=&state=&after=&limit=`: those whose names have these words, or all
/// in the order of their names, behind a place.
///
/// # Errors
/// 400 for a parameter that means nothing, failures of the store.
pub fn list(context: &Context, request: &Request) -> Result<Response, Failure> {
    let state = word(request, "state", &STATES)?.unwrap_or(State::Present);
    let most = limit(request)?;
    let org = context.principal.org.key;
    context.take(LIST_BYTES)?;
    let json = match searched(request)? {
        Some(text) => {
            let (rows_max, bytes_max) = (ROWS_MAX, FOUND_BYTES_MAX);
            let search = Search { text: &text, state, most, rows_max, bytes_max };
            found(&context.read(|tx| Ok(tx.search(org, USER, search)?))?)?
        }
        None => {
            let after = place(request)?;
            let page =
                context.read(|tx| Ok(tx.accounts_by_name(org, USER, state, &after, most)?))?;
            listed(&page)
        }
    };
    Ok(answer(&json))
}

/// The words that are searched for.
///
/// # Errors
/// 400 for a text that is too long.
pub fn searched(request: &Request) -> Result<Option<String>, Error> {
    let Some(it) = text(request, "search")? else { return Ok(None) };
    match it.chars().count() > TEXT_CHARS_MAX {
        true => {
            let detail = format!("search is longer than {TEXT_CHARS_MAX} characters.");
            Err(Error::new(400, detail))
        }
        false => Ok(Some(it)),
    }
}

/// The place behind which a list goes on: `next` of the page before.
///
/// # Errors
/// 400 for a text that no page has as `next`.
pub fn place(request: &Request) -> Result<(String, i64), Error> {
    let Some(given) = text(request, "after")? else { return Ok((String::new(), -1)) };
    let parsed =
        given.split_once(':').and_then(|(seq, name)| Some((name.to_owned(), seq.parse().ok()?)));
    parsed.ok_or_else(|| Error::new(400, "after is \"next\" of the page before, as it is."))
}

/// A page of a list.
#[must_use]
pub fn listed(page: &Page) -> Value {
    let more = page.more;
    let last = page.entries.last().filter(|_| more);
    let next = last.map(|it| format!("{}:{}", it.place.1, it.place.0));
    let entries = page.entries.iter().map(|it| {
        json!({
            "id": it.id,
            "userName": it.user_name,
            "displayName": it.display_name,
            "active": it.active,
            "lastModified": it.last_modified.to_string(),
            "deleted": time(it.deleted),
        })
    });
    let entries: Vec<Value> = entries.collect();
    json!({ "entries": entries, "next": next, "more": more, "complete": true })
}

/// What a search has found.
///
/// # Errors
/// Failures of the store.
pub fn found(found: &Found) -> Result<Value, Failure> {
    let mut entries = Vec::with_capacity(found.resources.len());
    for it in &found.resources {
        let document = it.parse()?;
        entries.push(json!({
            "id": it.id,
            "userName": document.get(USER_NAME),
            "displayName": document.get("displayName"),
            "active": document.get(ACTIVE) == Some(&Value::Bool(true)),
            "lastModified": it.last_modified.to_string(),
            "deleted": time(it.deleted),
        }));
    }
    let (more, complete) = (found.more, found.complete);
    Ok(json!({ "entries": entries, "next": null, "more": more, "complete": complete }))
}

/// `GET /admin/api/users/{id}`: one person, also one that was deleted.
///
/// # Errors
/// 404 for an id that nobody has, failures of the store.
pub fn get(context: &Context, _: &Request, id: &str) -> Result<Response, Failure> {
    context.take(HISTORY_SHOWN * ENTRY_BYTES)?;
    let json = context.read(|tx| person(context, tx, id))?;
    Ok(answer(&json))
}

/// `POST /admin/api/users/{id}/deactivate`: takes login away, now.
///
/// # Errors
/// 404 for nobody, 400 for a reason that none is, and failures of the store.
pub fn deactivate(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    set(context, request, id, false)
}

/// `POST /admin/api/users/{id}/activate`: gives it back.
///
/// # Errors
/// 404 for nobody, 400 for a reason that none is, and failures of the store.
pub fn activate(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    set(context, request, id, true)
}

/// # Errors
/// 400 for a body that means nothing, 404 for an id that nobody has, 409 for a person that is
/// deleted, why the change is refused, and failures of the store.
fn set(context: &Context, request: &Request, id: &str, active: bool) -> Result<Response, Failure> {
    let body = context.body(request)?;
    only(&body, &["reason"])?;
    let mut actor = context.actor();
    actor.reason = text_in(&body, "reason", |it| checked_text(it, REASON_CHARS_MAX))?;
    let org = &context.principal.org;
    let json = context.write(|tx| {
        let Some(stored) = tx.find(org.key, USER, id, State::Present)?.filter(|it| it.id == id)
        else {
            let deleted = tx.find(org.key, USER, id, State::Deleted)?;
            return Err(deleted
                .filter(|it| it.id == id)
                .map_or_else(|| unknown(id), |_| deleted_one())
                .into());
        };
        let changed = login::set(tx, org, context.definitions, &stored, active, &actor);
        let changed = changed.map_err(|it| match it {
            Failed::Refused(it) => Failure::Scim(it),
            Failed::Store(it) => Failure::Store(it),
        })?;
        let mut json = person(context, tx, id)?;
        json["changed"] = changed.is_some().into();
        json["note"] = changed.map(|_| login::warning(active)).into();
        Ok(json)
    })?;
    Ok(answer(&json))
}

fn unknown(id: &str) -> Error {
    let detail = format!(
        "There is no person with the id \"{}\". Look for the person in the list of users.",
        quoted(id)
    );
    Error::new(404, detail)
}

fn deleted_one() -> Error {
    let detail = "This person was deleted by the identity provider and may not log in. \
                  `plumm user restore` brings the account back; then login can be given back.";
    Error::new(409, detail)
}

fn person(context: &Context, tx: &Read, id: &str) -> Result<Value, Failure> {
    let org = context.principal.org.key;
    let mut stored = None;
    for state in [State::Present, State::Deleted] {
        let found = || tx.find(org, USER, id, state);
        stored = if stored.is_some() { stored } else { found()?.filter(|it| it.id == id) };
    }
    let stored: Stored = stored.ok_or_else(|| unknown(id))?;
    let document = stored.parse()?;
    let active = document.get(ACTIVE) == Some(&Value::Bool(true));
    let groups = tx.groups(&[stored.seq])?.remove(&stored.seq).unwrap_or_default();
    let name = document.get(USER_NAME).and_then(Value::as_str);
    let wanted = Wanted {
        org: Some(org),
        about: Some(About::resource(&stored.id, name)),
        ..Wanted::default()
    };
    let standing = Standing::read(tx, &wanted, active, stored.deleted)?;
    let filter = Filter { wanted, ..Filter::default() };
    let history = story::page(tx, &filter, Place::END, HISTORY_SHOWN)?;
    Ok(json!({
        "id": stored.id,
        "userName": document.get(USER_NAME),
        "displayName": document.get("displayName"),
        "active": active,
        "created": stored.created.to_string(),
        "lastModified": stored.last_modified.to_string(),
        "deleted": time(stored.deleted),
        "mayLogIn": standing.may,
        "because": {
            "deed": standing.deed(),
            "time": time(standing.time()),
            "by": standing.cause().map(Entry::by),
            "text": standing.because(),
        },
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
        "history": history.entries.iter().map(|it| it.to_json()).collect::<Vec<_>>(),
        "hasMore": history.next.is_some(),
        "document": document,
    }))
}

fn group(it: &Linked) -> Value {
    let kind = if it.direct { "direct" } else { "indirect" };
    json!({ "id": it.id, "displayName": it.display, "type": kind })
}

fn time(it: Option<Timestamp>) -> Option<String> {
    it.map(|it| it.to_string())
}
