//! `/admin/api/backup`: what became of backups, and a snapshot to take away.

use std::fs;

use serde_json::{Value, json};

use crate::api::admin::host::{Place, Rotation};
use crate::api::admin::parameters::{answer, only};
use crate::api::context::{Context, Rest};
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::datetime::Timestamp;
use crate::scim::error::Error;
use crate::store;
use crate::store::copies::last_backup;
use crate::store::copies::rotated::{backups_in, name_at};
use crate::store::copies::snapshot::{Room, Snapshot};

/// How much of a snapshot is in memory at once, in bytes.
const PART_BYTES: usize = 256 * 1024;
/// How long a snapshot may take to be sent, in seconds: until then it takes its room on the disk.
pub const SNAPSHOT_SECONDS_MAX: i64 = 60 * 60;
/// The most backups of the host that are listed, the newest.
const LISTED_MAX: usize = 200;
const SQLITE: &str = "application/vnd.sqlite3";

const SHARED: &str = "This server holds several organisations in one file, so the file is not \
    given to the administrators of one of them. Plumm Support runs `plumm backup FILE` on the \
    host.";

/// `GET /admin/api/backup`: the last backup, those that the server has made by itself, and whether
/// a snapshot can be downloaded. Not where they are: that is the host's business.
///
/// # Errors
/// Failures of the store.
pub fn get(context: &Context, _: &Request) -> Result<Response, Failure> {
    let alone = context.read(is_alone)?;
    let room = Room::of(context.store.path())?;
    let refusal = match (alone, room.is_enough()) {
        (false, _) => Some(SHARED.to_owned()),
        (true, false) => Some(no_room(room)),
        (true, true) => None,
    };
    let mut json = last(context);
    json["rotation"] = context.host.backups.as_ref().map(rotation).into();
    json["snapshot"] = json!({
        "available": refusal.is_none(),
        "reason": refusal,
        "bytes": room.needed,
    });
    Ok(answer(&json))
}

/// What became of the last backups.
#[must_use]
pub fn last(context: &Context) -> Value {
    let last = last_backup::read(context.store.path());
    let made = last.made.map(|it| json!({ "time": it.time.to_string(), "bytes": it.bytes }));
    let failed = last.failed.map(|(since, it)| {
        json!({ "since": since.to_string(), "time": it.time.to_string(), "reason": it.reason })
    });
    json!({ "made": made, "failed": failed })
}

fn rotation(it: &Rotation) -> Value {
    let found = backups_in(&it.dir);
    let problem = found.as_ref().err().map(|it| format!("The folder cannot be read: {it}"));
    let shown = found.unwrap_or_default().into_iter().rev().take(LISTED_MAX);
    let shown = shown.map(|(time, name)| {
        let bytes = fs::metadata(it.dir.join(&name)).map_or(0, |it| it.len());
        json!({ "name": name, "time": time.to_string(), "bytes": bytes })
    });
    let entries: Vec<Value> = shown.collect();
    json!({ "everyHours": it.every, "keep": it.keep, "entries": entries, "problem": problem })
}

/// `POST /admin/api/backup/snapshot`: a whole copy of the database as it is now, made and checked
/// before its first byte is sent.
///
/// # Errors
/// 400 for a body that means nothing, 403 where others are in the file, 503 while another one is
/// made or sent, 507 where the disk has no room, failures of the store.
pub fn snapshot(context: &Context, request: &Request) -> Result<Response, Failure> {
    only(&context.body(request)?, &[])?;
    if !context.read(is_alone)? {
        return Err(Error::new(403, SHARED).into());
    }
    let place = context.host.snapshots.take(context.principal.org.key).ok_or_else(|| {
        let detail = "A snapshot is being made or downloaded at this moment, and there is one at a \
                      time. Wait until it is done, then ask again.";
        Error::new(503, detail)
    })?;
    let room = Room::of(context.store.path())?;
    if !room.is_enough() {
        return Err(Error::new(507, no_room(room)).into());
    }
    let mut snapshot = Snapshot::make(context.store.path())?;
    // Another organisation may have come meanwhile.
    if snapshot.report().orgs.len() != 1 {
        return Err(Error::new(403, SHARED).into());
    }
    let first = snapshot.read(PART_BYTES).map_err(failed)?;
    let bytes = snapshot.bytes();
    let (org, token) = (&context.principal.org.name, &context.principal.token);
    log::info!("a snapshot of {bytes} bytes goes to token {token} of organisation {org}");
    let sent = Sent { snapshot, made: context.now, _place: place };
    *context.notes.rest.borrow_mut() = Some(Box::new(sent));
    let name = format!("attachment; filename=\"{}\"", name_at(context.now));
    Ok(Response::new(200, SQLITE, first).with_header("Content-Disposition", name))
}

/// A snapshot on its way.
#[derive(Debug)]
struct Sent {
    snapshot: Snapshot,
    made: Timestamp,
    _place: Place,
}

impl Rest for Sent {
    fn length(&self) -> Option<u64> {
        Some(self.snapshot.bytes())
    }

    fn memory(&self) -> usize {
        PART_BYTES
    }

    fn next(&mut self, context: &Context) -> Result<Option<Vec<u8>>, Failure> {
        if context.now > self.made.plus_seconds(SNAPSHOT_SECONDS_MAX) {
            return Err(Error::new(503, "The snapshot was not read within an hour.").into());
        }
        let part = self.snapshot.read(PART_BYTES).map_err(failed)?;
        Ok(Some(part).filter(|it| !it.is_empty()))
    }
}

fn is_alone(tx: &store::transaction::Read) -> Result<bool, Failure> {
    Ok(tx.orgs()?.len() == 1)
}

fn no_room(room: Room) -> String {
    let [needed, free] = [room.needed, room.free].map(|it| it.div_ceil(1024 * 1024));
    format!(
        "A snapshot takes about {needed} MiB of the server's disk until it is downloaded, and \
         {free} MiB can be used. Have room made there, then ask again."
    )
}

fn failed(error: std::io::Error) -> Failure {
    store::error::Error::Io("the snapshot".into(), error).into()
}
