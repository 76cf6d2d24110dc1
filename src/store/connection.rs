//! How each kind of connection is opened: flags, pragmas, functions.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::{fold, has_folded};
use crate::store::error::Error;
use crate::store::migrate;

/// How long a statement waits for another process before the store says it is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it tries meanwhile. A server that writes without a pause leaves gaps of a few
/// milliseconds (`store/writer/batch.rs`); SQLite's own tries, a tenth of a second apart, would
/// miss them again and again.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// How long passes between two attempts to switch to the write-ahead log.
const SWITCH_PAUSE: Duration = Duration::from_millis(5);
/// The page cache of the writing connection, in KiB.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// The page cache of one reading connection, in KiB.
const READER_CACHE_KIB: i64 = 7 * 1024;
/// The write-ahead log is cut to this size when it is reused, in bytes.
const JOURNAL_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// How many prepared statements a connection keeps; rusqlite keeps 16 unless told.
const STATEMENTS_MAX: usize = 128;

fn open(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|it| cannot_open(it, path))?;
    // This comes first, because switching to WAL may itself have to wait for another process.
    wait_when_busy(&mut connection)?;
    Ok(connection)
}

/// Makes the statements of a connection wait for other processes.
///
/// # Errors
/// Failures of SQLite.
pub fn wait_when_busy(connection: &mut Connection) -> Result<(), Error> {
    let wait = |tries: i32| {
        let waits = u128::try_from(tries)
            .is_ok_and(|it| it * BUSY_PAUSE.as_millis() < BUSY_TIMEOUT.as_millis());
        if waits {
            thread::sleep(BUSY_PAUSE);
        }
        waits
    };
    Ok(connection.busy_handler(Some(wait))?)
}

/// Opens the writing connection. With `external_checkpoint` another program makes the checkpoints,
/// and this connection makes none.
///
/// # Errors
/// Each kind of [`Error`] that says why the file cannot be written.
pub fn open_writer(path: &Path, external_checkpoint: bool) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if external_checkpoint {
        disable_checkpoints(&connection)?;
    }
    // This comes before the first change: a foreign file must not even be switched to WAL.
    migrate::version(&connection, path)?;
    if connection.is_readonly("main")? {
        return Err(Error::ReadOnly(path.to_owned()));
    }
    switch_to_wal(&connection).map_err(|it| cannot_write(it, path))?;
    // An answer is sent only after its change is on disk.
    set(&connection, "synchronous", 2)?;
    set(&connection, "foreign_keys", 1)?;
    set(&connection, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    set(&connection, "cache_size", -WRITER_CACHE_KIB)?;
    // SQLite overwrites with zeros what is deleted, so that a purged person leaves no trace in free
    // pages.
    set(&connection, "secure_delete", 1)?;
    prepare(&connection)?;
    Ok(connection)
}

/// Opens the read-only connection of a command that changes nothing. To SQLite it may write, since
/// only such a connection removes SQLite's own files beside the database when it is the last one;
/// a pragma refuses every change.
///
/// # Errors
/// [`Error::Older`] for a file of an older plumm, and any failure to open it.
pub fn open_read_only(path: &Path, external_checkpoint: bool) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if external_checkpoint {
        disable_checkpoints(&connection)?;
    }
    migrate::require_newest(&connection, path)?;
    set(&connection, "query_only", 1)?;
    Ok(connection)
}

/// Keeps this connection from making checkpoints, at any size of the log and when it closes.
fn disable_checkpoints(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    set(connection, "wal_autocheckpoint", 0)
}

/// Switches to the write-ahead log. SQLite does not wait for another process here, because the
/// switch begins as a read that becomes a write; so this function tries again until it may.
fn switch_to_wal(connection: &Connection) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        match set(connection, "journal_mode", "wal") {
            Err(Error::Busy) if started.elapsed() < BUSY_TIMEOUT => thread::sleep(SWITCH_PAUSE),
            switched => return switched,
        }
    }
}

/// Opens a reading connection of the pool. The writing connection of the same store has made the
/// file ready.
///
/// # Errors
/// Any failure to open the file.
pub fn open_reader(path: &Path) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    set(&connection, "cache_size", -READER_CACHE_KIB)?;
    set(&connection, "query_only", 1)?;
    prepare(&connection)?;
    Ok(connection)
}

/// Fails when nothing can be written, before a client finds out. The attempt changes nothing.
///
/// # Errors
/// [`Error::ReadOnly`], and any other failure to write.
pub fn require_writable(connection: &Connection, path: &Path) -> Result<(), Error> {
    let attempt = connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
    attempt.map_err(|it| cannot_write(it, path))
}

/// Sets a pragma and reads it back, because SQLite says nothing when it ignores one.
fn set<V>(connection: &Connection, name: &str, value: V) -> Result<(), Error>
where
    V: rusqlite::ToSql + std::fmt::Display,
{
    connection.pragma_update(None, name, &value)?;
    let found = connection.pragma_query_value(None, name, |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Integer(it) => it.to_string(),
            ValueRef::Text(it) => String::from_utf8_lossy(it).into_owned(),
            _ => String::new(),
        })
    })?;
    if found == value.to_string() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "PRAGMA {name} is {found} and not {value}; is this a network disk?"
    )))
}

/// Gives a connection room for its statements, and the functions that filters need.
fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // This keeps plans independent of bound values. Without it SQLite prepares a statement again
    // whenever a value differs from the one before, at five times the cost of running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    // fold(text) is the case-folded form, and NULL for anything else.
    connection.create_scalar_function("fold", 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(it) => std::str::from_utf8(it).ok().map(|it| fold(it).into_owned()),
            _ => None,
        })
    })?;
    // has_folded(text, folded) says whether the folded text contains this one.
    connection.create_scalar_function("has_folded", 2, flags, |context| {
        let texts = (context.get_raw(0).as_str(), context.get_raw(1).as_str());
        Ok(matches!(texts, (Ok(text), Ok(folded)) if has_folded(text, folded)))
    })?;
    // instant(text) is a DateTime in nanoseconds since the epoch, and NULL for anything else.
    connection.create_scalar_function("instant", 1, flags, |context| {
        let text = context.get_raw(0).as_str().ok();
        Ok(text.and_then(Timestamp::parse).map(Timestamp::nanoseconds))
    })?;
    Ok(())
}

fn cannot_open(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::PermissionDenied) => {
            Error::ReadOnly(path.to_owned())
        }
        Some(rusqlite::ErrorCode::NotADatabase) => Error::Foreign(path.to_owned()),
        _ => error.into(),
    }
}

fn cannot_write(error: impl Into<Error>, path: &Path) -> Error {
    match error.into() {
        Error::Internal(inner) | Error::Disk(inner)
            if matches!(
                inner.sqlite_error_code(),
                Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen)
            ) =>
        {
            Error::ReadOnly(path.to_owned())
        }
        other => other,
    }
}
