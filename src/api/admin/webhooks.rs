//! `/admin/api/webhooks`: endpoints of webhooks, what became of deliveries, and what repairs them.

use serde_json::{Value, json};

use crate::api::admin::parameters::{answer, limit, only};
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::by_hand::webhook::{Shown, Tested, change, delivery_json};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::{Error, quoted};
use crate::store::tables::webhook::{Position, Progress, Webhook};
use crate::store::transaction::Read;

/// What an attempt takes while it is shown, in bytes.
const DELIVERY_BYTES: usize = 4 * 1024;

/// `GET /admin/api/webhooks`: all of the organisation, never their keys.
///
/// # Errors
/// Failures of the store.
pub fn list(context: &Context, _: &Request) -> Result<Response, Failure> {
    let org = context.principal.org.key;
    let entries = context.read(|tx| {
        let shown = tx.webhooks(Some(org))?.into_iter();
        let shown = shown.map(|it| Ok(Shown::read_in(tx, it, context.now)?.as_json()));
        shown.collect::<Result<Vec<Value>, Failure>>()
    })?;
    Ok(answer(&json!({ "entries": entries })))
}

/// `GET /admin/api/webhooks/{id}`: one, with the last attempts.
///
/// # Errors
/// 404 for an id that no endpoint of the organisation has, failures of the store.
pub fn get(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    let most = limit(request)?;
    context.take(most * DELIVERY_BYTES)?;
    let json = context.read(|tx| {
        let webhook = find(context, tx, id)?;
        let deliveries = tx.deliveries(&webhook.id, most)?;
        let mut json = Shown::read_in(tx, webhook, context.now)?.as_json();
        json["deliveries"] = deliveries.iter().map(delivery_json).collect();
        Ok::<_, Failure>(json)
    })?;
    Ok(answer(&json))
}

/// `POST /admin/api/webhooks/{id}/enable`: goes on with one that was disabled, or tries again now.
///
/// # Errors
/// As [`get`], and 400 for a body that means nothing.
pub fn enable(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    only(&context.body(request)?, &[])?;
    changed(context, id, "enable", |_, webhook| {
        let position = webhook.progress.position;
        webhook.progress = Progress { position, ..Progress::default() };
        Ok(())
    })
}

/// `POST /admin/api/webhooks/{id}/disable`: delivers nothing until it is enabled again.
///
/// # Errors
/// As [`enable`].
pub fn disable(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    only(&context.body(request)?, &[])?;
    changed(context, id, "disable", |_, webhook| {
        webhook.progress.disabled = Some(context.now);
        webhook.progress.reason = Some("it was disabled on the web page".to_owned());
        Ok(())
    })
}

/// `POST /admin/api/webhooks/{id}/replay` with `from`: sends the events from a change on again.
///
/// # Errors
/// As [`enable`], and 400 for a number that no change has yet.
pub fn replay(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    let body = context.body(request)?;
    only(&body, &["from"])?;
    let from = body.get("from").and_then(Value::as_i64).filter(|it| *it > 0);
    let wrong = || Error::new(400, "\"from\" is the number of a change, from 1 on.");
    let from = from.ok_or_else(wrong)?;
    changed(context, id, "replay", |tx, webhook| {
        let newest = tx.last_change(webhook.org)?;
        if from > newest + 1 {
            let detail = format!("There is no change {from} yet: the newest has number {newest}.");
            return Err(Error::new(400, detail).into());
        }
        let position = Position { after: from - 1, delivered: 0 };
        webhook.progress = Progress { position, ..Progress::default() };
        Ok(())
    })
}

/// `POST /admin/api/webhooks/{id}/test`: sends a test event now, and says what came back.
///
/// # Errors
/// As [`enable`], and 503 while others are on their way.
pub fn test(context: &Context, request: &Request, id: &str) -> Result<Response, Failure> {
    only(&context.body(request)?, &[])?;
    let webhook = context.read(|tx| find(context, tx, id))?;
    let _place = context.host.tests.take(webhook.org).ok_or_else(|| {
        let detail = "A test event is on its way already. Wait until what came back is shown, then \
                      send another.";
        Error::new(503, detail)
    })?;
    let tested = Tested::send(&webhook, context.now);
    let tested = tested.map_err(|it| Error::new(400, format!("The endpoint: {it}.")))?;
    context.write(|tx| {
        let delivery = std::slice::from_ref(&tested.delivery);
        Ok::<_, Failure>(tx.add_deliveries(&webhook.id, delivery)?)
    })?;
    Ok(answer(&tested.to_json()))
}

fn changed(
    context: &Context,
    id: &str,
    method: &str,
    by: impl FnOnce(&Read, &mut Webhook) -> Result<(), Failure>,
) -> Result<Response, Failure> {
    let json = context.write(|tx| {
        let before = find(context, tx, id)?;
        let webhook = change(tx, &context.actor(), method, &before, by)?;
        Ok::<_, Failure>(Shown::read_in(tx, webhook, context.now)?.as_json())
    })?;
    Ok(answer(&json))
}

/// The endpoint with this id; one of another organisation is none.
fn find(context: &Context, tx: &Read, id: &str) -> Result<Webhook, Failure> {
    let found = tx.webhook(id)?.filter(|it| it.org == context.principal.org.key);
    let unknown = || {
        let detail = format!("There is no webhook with the id \"{}\".", quoted(id));
        Error::new(404, detail)
    };
    Ok(found.ok_or_else(unknown)?)
}
