//! Events that are sent to an endpoint one after the other, read from the log a piece at a time.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::definitions::DefinitionsCache;
use crate::events::webhook::{GAP, body, gap_event};
use crate::outbox::reader::Reader;
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::webhook::Position;

/// How many lines are read at once.
const LINES_MAX: usize = 50;
/// A piece that is larger takes up no further line.
const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// How many pieces are kept for other endpoints of their organisation,
const PIECES_MAX: usize = 8;
/// and for how long. So much older than it could be is what a receiver reads of an account.
const PIECE_AGE_MAX: Duration = Duration::from_millis(500);

/// One event, ready to be signed.
#[derive(Clone, Debug)]
pub struct Item {
    /// The id of the event.
    pub event: String,
    /// Its type.
    pub kind: String,
    /// The body that carries it.
    pub body: Arc<str>,
    /// How far an endpoint has been told once it is delivered.
    pub then: Position,
}

/// Events in their order.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events that an endpoint wants.
    pub items: Vec<Item>,
    /// How far it has been told once they are delivered.
    pub end: Position,
}

/// The events of some lines of an organisation, of every type.
#[derive(Debug)]
struct Piece {
    org: OrgKey,
    /// The lines behind this number,
    after: i64,
    /// up to this one.
    last: i64,
    /// For each of them with events: its number, and its events as they are sent.
    lines: Vec<(i64, Vec<Item>)>,
    read: Instant,
}

/// Reads events. A piece that was read for one endpoint serves others that are as far.
#[derive(Debug, Default)]
pub struct Batches {
    definitions: DefinitionsCache,
    pieces: Vec<Arc<Piece>>,
    newest: HashMap<OrgKey, i64>,
}

impl Batches {
    /// Looks once how far the record of each of these organisations goes.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn look(&mut self, store: &Store, orgs: impl Iterator<Item = OrgKey>) -> Result<(), Error> {
        self.newest = orgs.map(|it| (it, 0)).collect();
        self.pieces.retain(|it| it.read.elapsed() < PIECE_AGE_MAX);
        if self.newest.is_empty() {
            return Ok(());
        }
        let newest = &mut self.newest;
        store.read(|tx| {
            newest.iter_mut().try_for_each(|(org, it)| {
                *it = tx.last_change(*org)?;
                Ok(())
            })
        })
    }

    /// Whether there was a line behind this position when the record was looked at.
    #[must_use]
    pub fn has_more(&self, org: OrgKey, position: Position) -> bool {
        self.newest.get(&org).is_some_and(|newest| *newest > position.after)
    }

    /// The next events behind a position, of the types that `wants` names. It may be none, when
    /// lines have no event that is wanted.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn next(
        &mut self,
        store: &Store,
        org: OrgKey,
        position: Position,
        now: Timestamp,
        wants: impl Fn(&str) -> bool,
    ) -> Result<Batch, Error> {
        let trimmed = store.read(|tx| tx.trimmed(org))?;
        if trimmed > position.after {
            return Ok(gap(now, position, trimmed));
        }
        let has = |it: &&Arc<Piece>| {
            it.org == org && it.after <= position.after && position.after < it.last
        };
        let piece = match self.pieces.iter().find(has) {
            Some(it) => Arc::clone(it),
            None => {
                let piece = Arc::new(self.read(store, org, position.after)?);
                self.pieces.truncate(PIECES_MAX - 1);
                self.pieces.insert(0, Arc::clone(&piece));
                piece
            }
        };
        let mut items = Vec::new();
        for (line, events) in piece.lines.iter().filter(|(it, _)| *it > position.after) {
            let delivered = if *line == position.after + 1 { position.delivered } else { 0 };
            items.extend(events.iter().skip(delivered).filter(|it| wants(&it.kind)).cloned());
        }
        let end = Position { after: piece.last.max(position.after), delivered: 0 };
        Ok(Batch { items, end })
    }

    fn read(&self, store: &Store, org: OrgKey, after: i64) -> Result<Piece, Error> {
        let definitions = store.read(|tx| self.definitions.of(tx, &tx.org_by_key(org)?))?;
        let read = Instant::now();
        let mut piece = Piece { org, after, last: after, lines: Vec::new(), read };
        let open = store.open_shared()?;
        let tx = &open.view()?;
        let charge = |_| Ok::<_, Error>(());
        let mut reader = Reader::new(tx, org, &definitions, &charge);
        let (mut left, mut bytes) = (LINES_MAX, 0);
        tx.lines_after(org, after, |line| {
            let events = reader.events(&line)?;
            let count = events.len();
            let items = events.into_iter().enumerate().map(|(i, (kind, event))| {
                let then = match i + 1 == count {
                    true => Position { after: line.seq, delivered: 0 },
                    false => Position { after: line.seq - 1, delivered: i + 1 },
                };
                let id = event["id"].as_str().unwrap_or_default().to_owned();
                Item { event: id, kind: kind.name().to_owned(), body: body(&event).into(), then }
            });
            let items: Vec<Item> = items.collect();
            bytes += items.iter().map(|it| it.body.len()).sum::<usize>();
            left -= 1;
            piece.last = line.seq;
            if !items.is_empty() {
                piece.lines.push((line.seq, items));
            }
            let full = left == 0 || bytes >= PIECE_BYTES_MAX;
            Ok::<_, Error>(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(piece)
    }
}

/// The event in the place of lines that are not kept any more. Every endpoint gets it, whatever
/// types it wants: without it the receiver would not know that it has missed something.
fn gap(now: Timestamp, position: Position, trimmed: i64) -> Batch {
    let event = gap_event(now, position.after, trimmed);
    let then = Position { after: trimmed, delivered: 0 };
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let item = Item { event: id, kind: GAP.to_owned(), body: body(&event).into(), then };
    Batch { items: vec![item], end: then }
}
