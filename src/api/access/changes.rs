//! The change feed: what became of accounts, groups and provisioning, in order and without a gap.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::pages::Page;
use crate::api::waiting::Wait;
use crate::http::request::Request;
use crate::http::response::{JSON, Response};
use crate::metrics::events::Way;
use crate::outbox;
use crate::outbox::reader::Reader;
use crate::scim::error::{Error, quoted};
use crate::store::transaction::Read;

/// The most numbers in one answer.
pub const LIMIT_MAX: i64 = 1_000;
/// The same where the client does not say.
pub const LIMIT_DEFAULT: i64 = 100;
/// How many numbers are read at once.
const PART: i64 = 50;
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
        context.notes.wait.set((wait > 0).then_some(Wait { org, after, refusal: None, time }));
    };
    // Whoever is not far behind is told with the others who wait, of several changes at once.
    if newest <= after || (wait > 0 && !context.notes.waited && newest - after < limit) {
        waits(after);
        let body = BEGINNING.to_owned() + &ending(after, newest > after);
        return Ok(Response::new(200, JSON, body.into_bytes()));
    }
    let make = || page(context, after, limit);
    let page = match wait {
        0 => Arc::new(make()?),
        _ => context.pages.get((org, after, limit), newest, context.memory, make)?,
    };
    context.notes.seen.set(Some(page.seen));
    if page.events.is_empty() && !page.more {
        waits(page.last);
    }
    page.events.iter().for_each(|it| context.metrics.events_told.add(Way::Feed, it));
    let body = match Arc::try_unwrap(page) {
        Ok(own) => own.body,
        Err(shared) => {
            context.take(shared.body.len())?;
            shared.body.clone()
        }
    };
    Ok(Response::new(200, JSON, body.into_bytes()))
}

/// The types of all events.
#[must_use]
pub fn event_types() -> Vec<&'static str> {
    outbox::event_types().collect()
}

const BEGINNING: &str = "{\"changes\":[";

fn ending(last: i64, more: bool) -> String {
    format!("],\"last\":{last},\"more\":{more}}}")
}

/// Reads a page.
fn page(context: &Context, after: i64, limit: i64) -> Result<Page, Failure> {
    context.take(ANSWER_BYTES_MAX)?;
    let seen = context.notes.seen.get().unwrap_or(after);
    let body = BEGINNING.to_owned();
    let mut draft = Draft { body, events: Vec::new(), last: after, more: true };
    let mut left = limit;
    while draft.more && left > 0 && draft.body.len() < ANSWER_BYTES_MAX {
        let part = left.min(PART);
        context.read(|tx| Part::new(context, tx, &mut draft).read(part))?;
        left -= part;
    }
    let Draft { mut body, events, last, more } = draft;
    body.push_str(&ending(last, more));
    Ok(Page { body, events, last, more, seen })
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
    /// The answer as far as its events go: they stand in memory once.
    body: String,
    /// Their types.
    events: Vec<&'static str>,
    /// The number up to which nothing is missing.
    last: i64,
    /// Whether there is a change behind that.
    more: bool,
}

/// A part of a page, of one view of the database. No part takes long, so that whoever is far behind
/// keeps nobody waiting.
struct Part<'a, 'b> {
    context: &'a Context<'b>,
    tx: &'a Read<'a>,
    page: &'a mut Draft,
}

impl<'a, 'b> Part<'a, 'b> {
    fn new(context: &'a Context<'b>, tx: &'a Read<'a>, page: &'a mut Draft) -> Part<'a, 'b> {
        Part { context, tx, page }
    }

    /// Adds the events of this many numbers.
    fn read(self, numbers: i64) -> Result<(), Failure> {
        refuse_trimmed(self.context, self.tx, self.page.last)?;
        let org = self.context.principal.org.key;
        let charge = |bytes| Ok::<_, Failure>(self.context.try_take(bytes)?);
        let mut reader = Reader::new(self.tx, org, self.context.definitions, &charge);
        let mut left = numbers;
        self.tx.lines_after(org, self.page.last, |line| {
            self.page.last = line.seq;
            for (kind, event) in reader.events(&line)? {
                if !self.page.events.is_empty() {
                    self.page.body.push(',');
                }
                self.page.events.push(kind.name());
                self.page.body.push_str(&event.to_string());
            }
            left -= 1;
            let full = left == 0 || self.page.body.len() >= ANSWER_BYTES_MAX;
            Ok::<_, Failure>(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        self.page.more = self.tx.last_change(org)? > self.page.last;
        Ok(())
    }
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
