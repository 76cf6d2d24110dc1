//! How the file and each connection to it are opened: permissions, pragmas, functions.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::store::Open;
use crate::store::error::Error;
use crate::store::serve_lock::ServeLock;

/// The smallest database there is, in bytes: one page.
const FILE_BYTES_MIN: u64 = 512;
/// How long a statement waits for another process before the store says it is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to switch to the write-ahead log.
const SWITCH_PAUSE: Duration = Duration::from_millis(5);
/// The page cache of the writing connection, in KiB.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// The page cache of one reading connection, in KiB.
const READER_CACHE_KIB: i64 = 7 * 1024;
/// The write-ahead log is cut to this size when it is reused, in bytes.
const JOURNAL_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Prepared statements kept per connection; rusqlite keeps 16 unless told.
const STATEMENTS_MAX: usize = 128;

/// The file that belongs to a database and stands beside it, by what its name adds.
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The path without symbolic links, as SQLite takes it: the files beside a database stand beside
/// the file itself, whatever name it was opened by. There may be no file yet.
pub fn resolved(database: &Path) -> PathBuf {
    let of_folder = || {
        let name = database.file_name()?;
        Some(fs::canonicalize(folder_of(database)).ok()?.join(name))
    };
    let found = fs::canonicalize(database).ok().or_else(of_folder);
    found.unwrap_or_else(|| database.to_owned())
}

/// The folder that a file is in.
pub fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(it) if it != Path::new("") => it,
        _ => Path::new("."),
    }
}

/// Sees that the file is there, and readable by its owner only; takes the serving lock for a
/// server.
pub fn prepare_file(path: &Path, open: Open) -> Result<Option<ServeLock>, Error> {
    let io = |error: io::Error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::ReadOnly(path.to_owned())
        }
        _ => Error::Io(path.to_owned(), error),
    };
    match fs::metadata(path) {
        Ok(it) if it.is_dir() => {
            let error = io::Error::new(ErrorKind::IsADirectory, "is a folder, not a file");
            return Err(Error::Io(path.to_owned(), error));
        }
        Ok(it) if !it.is_file() => {
            let error = io::Error::new(ErrorKind::InvalidInput, "is no regular file");
            return Err(Error::Io(path.to_owned(), error));
        }
        // SQLite takes what is shorter than its header for an empty file, and would overwrite it.
        Ok(it) if (1..FILE_BYTES_MIN).contains(&it.len()) => {
            return Err(Error::Foreign(path.to_owned()));
        }
        Ok(_) => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        Err(_) if matches!(open, Open::Existing | Open::Look) => {
            return Err(Error::Missing(path.to_owned()));
        }
        // SQLite gives the files beside the database the permissions of the database.
        Err(_) => match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let error = io::Error::new(ErrorKind::NotFound, "its folder does not exist");
                return Err(Error::Io(path.to_owned(), error));
            }
            Err(error) => return Err(io(error)),
        },
    }
    match open {
        Open::Serve => ServeLock::take(path, false).map(Some),
        Open::ServeReplicated => ServeLock::take(path, true).map(Some),
        Open::Create | Open::Existing | Open::Look => Ok(None),
    }
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|it| cannot_open(it, path))?;
    // First of all: switching to WAL may itself have to wait for another process.
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Opens the writing connection. With `external` another program checkpoints, and this connection
/// never does, at no size of the log and not when it closes.
pub fn open_writer(path: &Path, external: bool) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if external {
        leave_checkpoints(&connection)?;
    }
    // Before the first change: a foreign file must not even be switched to WAL.
    crate::store::migrate::version(&connection, path)?;
    if connection.is_readonly("main")? {
        return Err(Error::ReadOnly(path.to_owned()));
    }
    switch_to_wal(&connection).map_err(|it| cannot_write(it, path))?;
    // An answer is sent only after its change is on disk.
    set(&connection, "synchronous", 2)?;
    set(&connection, "foreign_keys", 1)?;
    set(&connection, "journal_size_limit", JOURNAL_BYTES_MAX)?;
    set(&connection, "cache_size", -WRITER_CACHE_KIB)?;
    // What is deleted is overwritten with zeros, so that a purged person leaves no trace in free
    // pages.
    set(&connection, "secure_delete", 1)?;
    equip(&connection)?;
    Ok(connection)
}

/// Opens the connection of a command that changes nothing. It may write all the same, since only
/// such a connection removes SQLite's own files beside the database when it is the last one.
pub fn open_looker(path: &Path, external: bool) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if external {
        leave_checkpoints(&connection)?;
    }
    crate::store::migrate::require_newest(&connection, path)?;
    set(&connection, "query_only", 1)?;
    Ok(connection)
}

/// No checkpoint by this connection, at no size of the log and not when it closes.
fn leave_checkpoints(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    set(connection, "wal_autocheckpoint", 0)
}

/// Switches to the write-ahead log. SQLite does not wait for another process here, because the
/// switch begins as a read that becomes a write; so the waiting is done by trying again.
fn switch_to_wal(connection: &Connection) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        match set(connection, "journal_mode", "wal") {
            Err(Error::Busy) if started.elapsed() < BUSY_TIMEOUT => thread::sleep(SWITCH_PAUSE),
            switched => return switched,
        }
    }
}

/// Opens a reading connection. The writing connection of the same store has made the file ready.
pub fn open_reader(path: &Path) -> Result<Connection, Error> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    set(&connection, "cache_size", -READER_CACHE_KIB)?;
    set(&connection, "query_only", 1)?;
    equip(&connection)?;
    Ok(connection)
}

/// Fails when nothing can be written, before a client finds out. The change is an empty one.
pub fn require_writable(connection: &Connection, path: &Path) -> Result<(), Error> {
    let attempt = connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
    attempt.map_err(|it| cannot_write(it, path))
}

/// Sets a pragma and reads it back: SQLite ignores what it cannot do without a word.
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

/// What every connection has: room for its statements, and the functions that filters need.
fn equip(connection: &Connection) -> Result<(), Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Plans do not depend on bound values: else a statement is prepared again, at five times the
    // cost of running it, whenever a value differs from the one before.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    // fold(text): the case-folded form; NULL for anything else.
    connection.create_scalar_function("fold", 1, flags, |context| {
        Ok(match context.get_raw(0) {
            ValueRef::Text(it) => std::str::from_utf8(it).ok().map(|it| fold(it).into_owned()),
            _ => None,
        })
    })?;
    // instant(text): nanoseconds since the epoch of a DateTime; NULL for anything else.
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
