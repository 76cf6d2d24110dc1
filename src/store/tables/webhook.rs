//! Endpoints of webhooks: where the application wants to be told of changes, how far it has been
//! told, and the last attempts.

use std::fmt;

use rusqlite::{OptionalExtension, Row, params};
use zeroize::Zeroizing;

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::transaction::{Read, Write};

/// The most endpoints of one organisation.
pub const WEBHOOKS_MAX: usize = 20;
/// How many attempts at each endpoint are kept.
pub const DELIVERIES_MAX: i64 = 1_000;

/// How far an endpoint has been told: every event of the lines up to a number, and some of the line
/// behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Every event of the lines up to this number is delivered
    pub after: i64,
    /// and so many of the first events of the line with the next number.
    pub delivered: usize,
}

/// How it goes with an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How far it has been told.
    pub position: Position,
    /// How often the next event has been tried.
    pub attempts: u32,
    /// When it is tried again.
    pub next_attempt: Option<Timestamp>,
    /// Since when nothing is delivered any more.
    pub disabled: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
}

/// An endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// The organisation whose changes it is told.
    pub org: OrgKey,
    /// Where requests are sent.
    pub url: String,
    /// The types of events that it is told; none: all.
    pub events: Vec<String>,
    /// The word of the algorithm that signs.
    pub algorithm: String,
    /// The key that signs.
    pub key: Zeroizing<Vec<u8>>,
    /// The key before it, and until when it signs too.
    pub former_key: Option<(Zeroizing<Vec<u8>>, Timestamp)>,
    /// The authorities of the receiver's certificate, as PEM; `None`: the system's.
    pub ca: Option<String>,
    /// Whether plain HTTP may leave the host.
    pub insecure: bool,
    /// When it was added.
    pub created: Timestamp,
    /// How often a command has changed it.
    pub revision: i64,
    /// How it goes.
    pub progress: Progress,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({}, {:?})", self.id, self.progress)
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number at the endpoint.
    pub number: i64,
    /// The id of the event.
    pub event: String,
    /// The type of the event.
    pub kind: String,
    /// Which attempt at this event it was, from 1 on.
    pub attempt: u32,
    /// When it began.
    pub time: Timestamp,
    /// How long it took.
    pub milliseconds: u64,
    /// The status that was answered, if one was.
    pub status: Option<u16>,
    /// Why it failed, if it has.
    pub error: Option<String>,
    /// The start of the answer.
    pub answer: String,
    /// The number of the organisation's last line when the event was read: of what was erased since
    /// the answer may speak. Not kept.
    pub seen: i64,
}

const COLUMNS: &str =
    "id, org, url, events, algorithm, key, former_key, former_until, ca, insecure,
    created, revision, after, delivered, attempts, next_attempt, disabled, reason";

impl Read<'_> {
    /// The endpoint with this id.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn webhook(&self, id: &str) -> Result<Option<Webhook>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM webhook WHERE id = ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([id], from_row).optional()?)
    }

    /// The endpoints of an organisation, or of all, the oldest first.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn webhooks(&self, org: Option<OrgKey>) -> Result<Vec<Webhook>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook WHERE ?1 IS NULL OR org = ?1 ORDER BY created, id"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([org.map(|it| it.0)], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every endpoint's id and how often commands have changed it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn webhook_revisions(&self) -> Result<Vec<(String, i64)>, Error> {
        let sql = "SELECT id, revision FROM webhook";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The last attempts at an endpoint, the newest first.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn deliveries(&self, id: &str, most: usize) -> Result<Vec<Delivery>, Error> {
        let sql = "SELECT number, event, type, attempt, time, milliseconds, status, error, answer
            FROM webhook_delivery WHERE webhook = ? ORDER BY number DESC LIMIT ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![id, most], delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many lines an organisation has behind this number, but no more than `most`, and when the
    /// first of them was written.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn lines_left(
        &self,
        org: OrgKey,
        after: i64,
        most: u32,
    ) -> Result<(u32, Option<Timestamp>), Error> {
        let sql = "SELECT count(*) FROM
            (SELECT 1 FROM provisioning_log WHERE org = ? AND seq > ? LIMIT ?)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let count = statement.query_row(params![org.0, after, most], |row| row.get(0))?;
        let sql = "SELECT time FROM provisioning_log WHERE org = ? AND seq > ?
            ORDER BY seq LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let first = statement.query_row(params![org.0, after], |row| row.get(0)).optional()?;
        Ok((count, first.map(Timestamp::from_nanoseconds)))
    }
}

impl Write<'_> {
    /// Adds an endpoint.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the organisation has as many as it may, and failures of the store.
    pub fn add_webhook(&self, webhook: &Webhook) -> Result<(), Error> {
        if self.webhooks(Some(webhook.org))?.len() >= WEBHOOKS_MAX {
            let text = format!("an organisation has {WEBHOOKS_MAX} endpoints of webhooks at most");
            return Err(Error::Conflict(text));
        }
        let sql = format!(
            "INSERT INTO webhook ({COLUMNS}) VALUES
            (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        let (former, until) = former_columns(webhook);
        let progress = &webhook.progress;
        self.connection.prepare_cached(&sql)?.execute(params![
            webhook.id,
            webhook.org.0,
            webhook.url,
            webhook.events.join(","),
            webhook.algorithm,
            webhook.key.as_slice(),
            former,
            until,
            webhook.ca,
            webhook.insecure,
            webhook.created.nanoseconds(),
            webhook.revision,
            progress.position.after,
            progress.position.delivered as i64,
            progress.attempts,
            progress.next_attempt.map(Timestamp::nanoseconds),
            progress.disabled.map(Timestamp::nanoseconds),
            progress.reason,
        ])?;
        Ok(())
    }

    /// Changes the keys and the progress of an endpoint by a command: a server that is at work on
    /// it begins anew from there.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn set_webhook(&self, webhook: &Webhook) -> Result<(), Error> {
        let sql = "UPDATE webhook SET key = ?, former_key = ?, former_until = ?,
            revision = revision + 1 WHERE id = ? RETURNING revision";
        let (former, until) = former_columns(webhook);
        let mut statement = self.connection.prepare_cached(sql)?;
        let values = params![webhook.key.as_slice(), former, until, webhook.id];
        let revision = statement.query_row(values, |row| row.get(0)).optional()?;
        if let Some(revision) = revision {
            self.set_webhook_progress(&webhook.id, revision, &webhook.progress)?;
        }
        Ok(())
    }

    /// Changes the progress of an endpoint, unless a command has changed it since it was read at
    /// this revision; returns whether that was done.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn set_webhook_progress(
        &self,
        id: &str,
        revision: i64,
        progress: &Progress,
    ) -> Result<bool, Error> {
        let sql = "UPDATE webhook SET after = ?, delivered = ?, attempts = ?, next_attempt = ?,
            disabled = ?, reason = ? WHERE id = ? AND revision = ?";
        let changed = self.connection.prepare_cached(sql)?.execute(params![
            progress.position.after,
            progress.position.delivered as i64,
            progress.attempts,
            progress.next_attempt.map(Timestamp::nanoseconds),
            progress.disabled.map(Timestamp::nanoseconds),
            progress.reason,
            id,
            revision,
        ])?;
        Ok(changed > 0)
    }

    /// Removes an endpoint and what is known of its deliveries.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn remove_webhook(&self, id: &str) -> Result<(), Error> {
        self.connection.prepare_cached("DELETE FROM webhook WHERE id = ?")?.execute([id])?;
        Ok(())
    }

    /// Adds attempts at an endpoint in their order, numbers them, and removes those before the last
    /// [`DELIVERIES_MAX`]. Does nothing when the endpoint is not there any more.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn add_deliveries(&self, id: &str, attempts: &[Delivery]) -> Result<(), Error> {
        let Some(webhook) = self.webhook(id)? else { return Ok(()) };
        // What a receiver answers may be what it was sent, or a part of it.
        let answered = attempts.iter().filter(|it| !it.answer.is_empty());
        let seen = answered.map(|it| it.seen).min();
        let erased = seen.map(|it| self.has_purged_after(webhook.org, it)).transpose()?;
        let sql = "SELECT coalesce(max(number), 0) FROM webhook_delivery WHERE webhook = ?";
        let mut newest: i64 =
            self.connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
        let kept = attempts.len().saturating_sub(DELIVERIES_MAX as usize);
        newest += kept as i64;
        let sql = "INSERT INTO webhook_delivery
            (webhook, number, event, type, attempt, time, milliseconds, status, error, answer)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let mut insert = self.connection.prepare_cached(sql)?;
        for it in &attempts[kept..] {
            newest += 1;
            insert.execute(params![
                id,
                newest,
                it.event,
                it.kind,
                it.attempt,
                it.time.nanoseconds(),
                it.milliseconds as i64,
                it.status,
                it.error,
                if erased == Some(true) { "" } else { &it.answer },
            ])?;
        }
        let sql = "DELETE FROM webhook_delivery WHERE webhook = ? AND number <= ?";
        let oldest = newest - DELIVERIES_MAX;
        self.connection.prepare_cached(sql)?.execute(params![id, oldest])?;
        Ok(())
    }

    /// Erases what receivers of an organisation have answered.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn forget_answers(&self, org: OrgKey) -> Result<(), Error> {
        let sql = "UPDATE webhook_delivery SET answer = '' WHERE answer <> ''
            AND webhook IN (SELECT id FROM webhook WHERE org = ?)";
        self.connection.prepare_cached(sql)?.execute([org.0])?;
        Ok(())
    }

    /// Removes the attempts before a time; there are never very many.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn trim_deliveries(&self, before: Timestamp) -> Result<(), Error> {
        let sql = "DELETE FROM webhook_delivery WHERE time < ?";
        self.connection.prepare_cached(sql)?.execute([before.nanoseconds()])?;
        Ok(())
    }
}

fn former_columns(webhook: &Webhook) -> (Option<&[u8]>, Option<i64>) {
    match &webhook.former_key {
        Some((key, until)) => (Some(key.as_slice()), Some(until.nanoseconds())),
        None => (None, None),
    }
}

fn from_row(row: &Row) -> rusqlite::Result<Webhook> {
    let time = |column: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_nanoseconds))
    };
    let events: String = row.get(3)?;
    let former: Option<Vec<u8>> = row.get(6)?;
    let delivered: i64 = row.get(13)?;
    Ok(Webhook {
        id: row.get(0)?,
        org: OrgKey(row.get(1)?),
        url: row.get(2)?,
        events: events.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        algorithm: row.get(4)?,
        key: Zeroizing::new(row.get(5)?),
        former_key: former.map(Zeroizing::new).zip(time(7)?),
        ca: row.get(8)?,
        insecure: row.get(9)?,
        created: Timestamp::from_nanoseconds(row.get(10)?),
        revision: row.get(11)?,
        progress: Progress {
            position: Position {
                after: row.get(12)?,
                delivered: usize::try_from(delivered).unwrap_or(0),
            },
            attempts: row.get(14)?,
            next_attempt: time(15)?,
            disabled: time(16)?,
            reason: row.get(17)?,
        },
    })
}

fn delivery(row: &Row) -> rusqlite::Result<Delivery> {
    let milliseconds: i64 = row.get(5)?;
    Ok(Delivery {
        number: row.get(0)?,
        event: row.get(1)?,
        kind: row.get(2)?,
        attempt: row.get(3)?,
        time: Timestamp::from_nanoseconds(row.get(4)?),
        milliseconds: milliseconds.unsigned_abs(),
        status: row.get(6)?,
        error: row.get(7)?,
        answer: row.get(8)?,
        seen: i64::MAX,
    })
}
