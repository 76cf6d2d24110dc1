//! The change feed: what became of accounts, groups and provisioning, in order and without a gap.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::api::access::account::as_it_is;
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::pages::Page;
use crate::api::waiting::Wait;
use crate::events::{By, Event, Line, Now, Subject, events};
use crate::http::request::Request;
use crate::http::response::{JSON, Response};
use crate::scim::error::{Error, quoted};
use crate::scim::returned::shown;
use crate::scim::schema::name::{GROUPS, MEMBERS, USER_NAME};
use crate::scim::schema::resource_type::ResourceType;
use crate::store::tables::provisioning_log::{CLI, Logged, ORG};
use crate::store::tables::resource::Kind;
use crate::store::transaction::Read;

/// The most numbers in one answer.
pub const LIMIT_MAX: i64 = 1_000;
/// The same where the client does not say.
pub const LIMIT_DEFAULT: i64 = 100;
/// How many numbers are read at once.
const PART: i64 = 50;
/// What a member takes in an answer and on the way there, in bytes.
const MEMBER_BYTES: usize = 512;
/// The longest wait, in seconds.
pub const WAIT_SECONDS_MAX: i64 = 60;
/// An answer that is larger takes up no further number.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// `GET /access/v1/changes?after=N&limit=M&wait=S`: what happened after the change of number N.
///
/// # Errors
/// 400 for a parameter that is no number or out of range, 410 when changes after N were trimmed,
/// failures of the store.
pub fn list(context: &Context, request: &Request) -> Result<Response, Failure> {
    let after = number(request, "after", 0, i64::MAX, 0)?;
    let limit = number(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT)?;
    let wait = number(request, "wait", 0, WAIT_SECONDS_MAX, 0)?;
    // Whoever waits holds as little as possible, for as long as it may be.
    if wait > 0 && !request.body.is_empty() {
        let detail = "A request that waits for changes has no body: leave it out.";
        return Err(Error::new(400, detail).into());
    }
    let newest = context.read(|tx| {
        refuse_trimmed(context, tx, after)?;
        context.last_change(tx)
    })?;
    let org = context.principal.org.key;
    let waits = |after| {
        let time = Duration::from_secs(wait.unsigned_abs());
        context.notes.wait.set((wait > 0).then_some(Wait { org, after, time }));
    };
    // Whoever is not far behind is told with the others who wait, of several changes at once.
    if newest <= after || (wait > 0 && !context.notes.waited && newest - after < limit) {
        waits(after);
        let body = body("", after, newest > after);
        return Ok(Response::new(200, JSON, body.into_bytes()));
    }
    let make = || page(context, after, limit);
    let page = match wait {
        0 => Arc::new(make()?),
        _ => context.pages.get((org, after, limit), make)?,
    };
    context.notes.seen.set(Some(page.seen));
    if page.events == 0 && !page.more {
        waits(page.last);
    }
    context.metrics.events_told.add_many(page.events as u64);
    Ok(Response::new(200, JSON, page.body.clone().into_bytes()))
}

fn body(changes: &str, last: i64, more: bool) -> String {
    format!("{{\"changes\":[{changes}],\"last\":{last},\"more\":{more}}}")
}

/// Reads a page.
fn page(context: &Context, after: i64, limit: i64) -> Result<Page, Failure> {
    context.take(ANSWER_BYTES_MAX)?;
    let seen = context.notes.seen.get().unwrap_or(after);
    let mut draft = Draft { changes: Vec::new(), bytes: 0, last: after, more: true };
    let mut left = limit;
    while draft.more && left > 0 && draft.bytes < ANSWER_BYTES_MAX {
        let part = left.min(PART);
        context.read(|tx| Part::new(context, tx, &mut draft).read(part))?;
        left -= part;
    }
    let Draft { changes, last, more, .. } = draft;
    let body = body(&changes.join(","), last, more);
    Ok(Page { body, events: changes.len(), last, more, seen })
}

/// Refuses to go on where something is missing.
fn refuse_trimmed(context: &Context, tx: &Read, after: i64) -> Result<(), Failure> {
    let trimmed = tx.trimmed(context.principal.org.key)?;
    if after >= trimmed {
        return Ok(());
    }
    let detail = format!(
        "The changes after number {after} are not kept any more: the oldest that are begin after \
         number {trimmed}. Read all users and groups again, and go on from the number in the field \
         Plumm-Change of the first page.",
    );
    Err(Error::new(410, detail).into())
}

/// A page in the making.
struct Draft {
    /// The events, as JSON.
    changes: Vec<String>,
    bytes: usize,
    /// The number up to which nothing is missing.
    last: i64,
    /// Whether there is a change behind that.
    more: bool,
}

/// A part of a page, of one view of the database. No part takes long, so that whoever is far behind
/// keeps nobody waiting.
struct Part<'a> {
    context: &'a Context<'a>,
    tx: &'a Read<'a>,
    page: &'a mut Draft,
    /// Accounts and groups as they are now, by their ids.
    now: HashMap<String, Value>,
}

impl<'a> Part<'a> {
    fn new(context: &'a Context<'a>, tx: &'a Read<'a>, page: &'a mut Draft) -> Part<'a> {
        Part { context, tx, page, now: HashMap::new() }
    }

    /// Adds the events of this many numbers.
    fn read(mut self, numbers: i64) -> Result<(), Failure> {
        refuse_trimmed(self.context, self.tx, self.page.last)?;
        let org = self.context.principal.org.key;
        let mut left = numbers;
        self.tx.lines_after(org, self.page.last, |line| {
            self.add(&line)?;
            left -= 1;
            let full = left == 0 || self.page.bytes >= ANSWER_BYTES_MAX;
            Ok::<_, Failure>(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        self.page.more = self.tx.last_change(org)? > self.page.last;
        Ok(())
    }

    /// Adds the events of a line, all of them.
    fn add(&mut self, logged: &Logged) -> Result<(), Failure> {
        self.page.last = logged.seq;
        let subject = match logged.resource_type.as_str() {
            ORG => Some(Subject::Provisioning),
            other => Subject::of(other, self.context.definitions),
        };
        let Some(subject) = subject else { return Ok(()) };
        let by = match logged.actor.as_str() {
            CLI => By::Command,
            token => By::Token(token, logged.label.as_deref().unwrap_or_default()),
        };
        let line = Line { sequence: logged.seq, time: logged.time, by };
        for (i, event) in events(subject, &logged.method, &logged.changes).into_iter().enumerate() {
            let resource_type = self.context.definitions.resource_type(&logged.resource_type);
            let id = logged.resource.as_str();
            let now = match (subject, resource_type) {
                (Subject::Provisioning, _) | (_, None) => None,
                (Subject::User, Some(it)) => Some(Now::User(id, self.now(it, id)?)),
                (Subject::Group, Some(it)) => Some(Now::Group(id, self.now(it, id)?)),
            };
            let event = Event { changed: self.told(event.changed, resource_type)?, ..event };
            let text = line.to_json(i, event, now).to_string();
            self.page.bytes += text.len();
            self.page.changes.push(text);
        }
        Ok(())
    }

    /// An account or group as it is now; null once it is purged.
    fn now(&mut self, resource_type: &ResourceType, id: &str) -> Result<Value, Failure> {
        if let Some(known) = self.now.get(id) {
            return Ok(known.clone());
        }
        let org = self.context.principal.org.key;
        let kind = Kind { org, resource_type: &resource_type.name, location_base: "" };
        let now = match self.tx.resource_or_deleted(kind, id)? {
            Some(it) => as_it_is(self.tx, resource_type, &it)?,
            None => Value::Null,
        };
        self.now.insert(id.to_owned(), now.clone());
        Ok(now)
    }

    /// What changed, as the application may read it: nothing that is shown to nobody, and members
    /// and groups with the names they have.
    fn told(
        &self,
        changed: Map<String, Value>,
        resource_type: Option<&ResourceType>,
    ) -> Result<Map<String, Value>, Failure> {
        let mut told = match resource_type {
            Some(it) if it.hides() => without_hidden(&changed, it),
            _ => changed,
        };
        for (name, names_users) in [(MEMBERS, true), (GROUPS, false)] {
            for way in ["added", "removed"] {
                let Some(Value::Array(ids)) = told.get_mut(name).and_then(|it| it.get_mut(way))
                else {
                    continue;
                };
                *ids = self.named(ids, names_users)?;
            }
        }
        Ok(told)
    }

    /// Members or groups by their ids, each with the name it has, unless it was purged.
    fn named(&self, ids: &[Value], names_users: bool) -> Result<Vec<Value>, Failure> {
        self.context.try_take(ids.len().saturating_mul(MEMBER_BYTES))?;
        let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
        let mut names = self.tx.names(self.context.principal.org.key, &ids)?;
        let named = |id: &&str| {
            let mut named = json!({ "id": id });
            let of = names.remove(*id).unwrap_or_default();
            match of.user_name {
                Some(it) if names_users => named[USER_NAME] = it.into(),
                _ => named["displayName"] = of.display.into(),
            }
            named
        };
        Ok(ids.iter().map(named).collect())
    }
}

/// Changes without those of attributes that SCIM shows to nobody, or only to who asks for them.
fn without_hidden(
    changed: &Map<String, Value>,
    resource_type: &ResourceType,
) -> Map<String, Value> {
    let side = |when: &str| {
        let values =
            changed.iter().filter_map(|(name, it)| Some((name.clone(), it.get(when)?.clone())));
        shown(values.collect(), None, resource_type)
    };
    let (before, after) = (side("before"), side("after"));
    let mut kept = Map::new();
    for (name, it) in changed {
        let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
        let (before, after) = (value(&before), value(&after));
        if it.get("before").is_none() {
            kept.insert(name.clone(), it.clone());
        } else if before != after {
            kept.insert(name.clone(), json!({ "before": before, "after": after }));
        }
    }
    kept
}

/// A parameter that is a whole number within these bounds.
fn number(
    request: &Request,
    name: &str,
    least: i64,
    most: i64,
    default: i64,
) -> Result<i64, Error> {
    let Some(given) = request.parameter(name) else { return Ok(default) };
    let given = given.unwrap_or_default();
    let number = given.parse::<i64>().ok().filter(|it| (least..=most).contains(it));
    number.ok_or_else(|| {
        let range = match most {
            i64::MAX => format!("{least} on"),
            most => format!("{least} to {most}"),
        };
        let shown = quoted(&given);
        Error::new(400, format!("{name} is a whole number from {range}, and is \"{shown}\"."))
    })
}
