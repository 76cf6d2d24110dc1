//! Events that are sent to an endpoint one after the other, read from the log a piece at a time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::definitions::DefinitionsCache;
use crate::events::webhook::{GAP, body, gap_event};
use crate::memory::{Memory, Taken};
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
/// What a piece takes while it is read, in bytes; where it becomes larger, it takes more.
const PIECE_MEMORY: usize = 2 * PIECE_BYTES_MAX;
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
    /// The number of the organisation's last line when it was read.
    pub seen: i64,
}

/// Events in their order.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events that an endpoint wants.
    pub items: Vec<Item>,
    /// How far it has been told once they are delivered.
    pub end: Position,
    /// The memory that they take, until the last one who has them is done.
    pub memory: Arc<Vec<Taken>>,
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
    /// The memory that they take.
    memory: Arc<Vec<Taken>>,
}

/// Why a piece was not read.
enum Stop {
    Store(Error),
    NoMemory,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Store(error)
    }
}

/// Reads events. A piece that was read for one endpoint serves others that are as far.
#[derive(Debug)]
pub struct Batches {
    memory: Memory,
    definitions: DefinitionsCache,
    pieces: Vec<Arc<Piece>>,
    newest: HashMap<OrgKey, i64>,
}

impl Batches {
    /// Nothing read yet. Events are kept within this memory.
    pub fn new(memory: Memory) -> Batches {
        let definitions = DefinitionsCache::default();
        Batches { memory, definitions, pieces: Vec::new(), newest: HashMap::new() }
    }

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
    /// lines have no event that is wanted. `None`: others have the memory that they need.
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
    ) -> Result<Option<Batch>, Error> {
        let trimmed = store.read(|tx| tx.trimmed(org))?;
        if trimmed > position.after {
            let newest = self.newest.get(&org).copied().unwrap_or(trimmed);
            return Ok(Some(gap(now, position, trimmed, newest)));
        }
        let has = |it: &&Arc<Piece>| {
            it.org == org && it.after <= position.after && position.after < it.last
        };
        let piece = match self.pieces.iter().find(has) {
            Some(it) => Arc::clone(it),
            None => {
                let piece = match self.read(store, org, position.after) {
                    Ok(it) => Arc::new(it),
                    Err(Stop::NoMemory) => return Ok(None),
                    Err(Stop::Store(error)) => return Err(error),
                };
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
        Ok(Some(Batch { items, end, memory: Arc::clone(&piece.memory) }))
    }

    fn read(&self, store: &Store, org: OrgKey, after: i64) -> Result<Piece, Stop> {
        let definitions = store.read(|tx| self.definitions.of(tx, &tx.org_by_key(org)?))?;
        let read = Instant::now();
        let mut piece =
            Piece { org, after, last: after, lines: Vec::new(), read, memory: Arc::default() };
        let open = store.open_shared()?;
        let tx = &open.view()?;
        let seen = tx.last_change(org)?;
        let reserve = RefCell::new(Vec::new());
        let memory = self.memory.of(Some(org.number()));
        let charge = |bytes| {
            let taken = memory.try_take(bytes, &reserve.borrow()).ok_or(Stop::NoMemory)?;
            reserve.borrow_mut().push(taken);
            Ok::<_, Stop>(())
        };
        charge(PIECE_MEMORY)?;
        let mut reader = Reader::new(tx, org, &definitions, &charge);
        let (mut left, mut bytes, mut charged) = (LINES_MAX, 0, PIECE_MEMORY);
        tx.lines_after(org, after, |line| {
            let events = reader.events(&line)?;
            let count = events.len();
            let items = events.into_iter().enumerate().map(|(i, (kind, event))| {
                let then = match i + 1 == count {
                    true => Position { after: line.seq, delivered: 0 },
                    false => Position { after: line.seq - 1, delivered: i + 1 },
                };
                let id = event["id"].as_str().unwrap_or_default().to_owned();
                let (kind, body) = (kind.name().to_owned(), body(&event).into());
                Item { event: id, kind, body, then, seen }
            });
            let items: Vec<Item> = items.collect();
            bytes += items.iter().map(|it| it.body.len()).sum::<usize>();
            if bytes > charged {
                charge(bytes - charged)?;
                charged = bytes;
            }
            left -= 1;
            piece.last = line.seq;
            if !items.is_empty() {
                piece.lines.push((line.seq, items));
            }
            let full = left == 0 || bytes >= PIECE_BYTES_MAX;
            Ok::<_, Stop>(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        // It is smaller than what was taken for the reading of it, mostly by far.
        let kept = memory.try_take(bytes, &reserve.borrow()).map(|it| vec![it]);
        piece.memory = Arc::new(kept.unwrap_or_else(|| reserve.take()));
        Ok(piece)
    }
}

/// The event in the place of lines that are not kept any more. Every endpoint gets it, whatever
/// types it wants: without it the receiver would not know that it has missed something.
fn gap(now: Timestamp, position: Position, trimmed: i64, seen: i64) -> Batch {
    let event = gap_event(now, position.after, trimmed);
    let then = Position { after: trimmed, delivered: 0 };
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let (kind, body) = (GAP.to_owned(), body(&event).into());
    let item = Item { event: id, kind, body, then, seen };
    Batch { items: vec![item], end: then, memory: Arc::default() }
}
