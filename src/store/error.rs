//! What can go wrong with the file: a few kinds, each with a sentence for the operator.

use std::fmt;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// A failure of the store.
#[derive(Debug)]
pub enum Error {
    /// A value that must be unique is in use.
    Conflict(String),
    /// Another process holds the file for longer than the store waits.
    Busy,
    /// As many long reads run and wait already as may.
    Crowded,
    /// Too many changes wait for their turn.
    TooManyChanges,
    /// A long read took more time than it may, and was ended.
    TooLong,
    /// The disk is full.
    Full,
    /// The change was undone together with another one that failed.
    Undone,
    /// The disk failed to read, write or open a file.
    Disk(rusqlite::Error),
    /// The file or its folder cannot be written.
    ReadOnly(PathBuf),
    /// There is no file here.
    Missing(PathBuf),
    /// The file is not a database of plumm.
    Foreign(PathBuf),
    /// A newer plumm has written the file.
    Newer {
        /// The file.
        path: PathBuf,
        /// The number of steps the file has taken.
        found: i64,
        /// The number of steps this program knows.
        known: i64,
    },
    /// The file has not taken every step yet, and cannot take them now.
    Older {
        /// The file.
        path: PathBuf,
        /// The number of steps the file has taken.
        found: i64,
        /// The number of steps this program knows.
        known: i64,
    },
    /// The file is damaged or incomplete; the sentences say what is wrong with it.
    NotWhole(PathBuf, Vec<String>),
    /// Another server serves the file.
    Served(PathBuf),
    /// Another server serves the file by another of its names.
    ServedElsewhere(PathBuf),
    /// The file or folder cannot be opened.
    Io(PathBuf, std::io::Error),
    /// Anything else SQLite says.
    Internal(rusqlite::Error),
    /// Something in the database contradicts what the program wrote there.
    Invalid(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        let Some(failure) = error.sqlite_error() else {
            return Error::Internal(error);
        };
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy,
            ErrorCode::DiskFull => Error::Full,
            // Only the deadline of a long read interrupts a statement.
            ErrorCode::OperationInterrupted => Error::TooLong,
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => Error::Disk(error),
            // The text names the index that was violated. It is for the log; no code decides by it.
            _ if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
                Error::Conflict(error.to_string())
            }
            _ => Error::Internal(error),
        }
    }
}

impl Error {
    /// The same failure for another change of the batch that it ended.
    #[must_use]
    pub fn for_follower(&self) -> Error {
        match self {
            Error::Busy => Error::Busy,
            Error::Full => Error::Full,
            Error::Disk(error) => repeated(error).map_or(Error::Undone, Error::Disk),
            Error::Internal(error) => repeated(error).map_or(Error::Undone, Error::Internal),
            _ => Error::Undone,
        }
    }
}

fn repeated(error: &rusqlite::Error) -> Option<rusqlite::Error> {
    let code = *error.sqlite_error()?;
    Some(rusqlite::Error::SqliteFailure(code, Some(error.to_string())))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Conflict(what) => write!(f, "a value that must be unique is in use: {what}"),
            Error::Busy => f.write_str(
                "the database is busy: another program has held it for 5 seconds; try again",
            ),
            Error::Crowded => f.write_str("too many long lists are asked for at once; try again"),
            Error::TooManyChanges => f.write_str("too many changes wait for their turn; try again"),
            Error::TooLong => f.write_str("a list took longer than one may, and was ended"),
            Error::Full => f.write_str("the disk is full: make room and try again"),
            Error::Undone => f.write_str(
                "the change was undone, since the disk failed on one made at the same time; try \
                 again",
            ),
            Error::Disk(error) => write!(
                f,
                "the disk failed ({error}): look at the host's log, its quotas and limits; plumm \
                 goes on as soon as the disk does"
            ),
            Error::ReadOnly(path) => write!(
                f,
                "{} cannot be written: check the owner and permissions of the file and its folder",
                path.display()
            ),
            Error::Missing(path) => write!(
                f,
                "there is no database at {}: name it with --db FILE or PLUMM_DB, or make one with \
                 `plumm serve --init NAME` or `plumm org create NAME`",
                path.display()
            ),
            Error::Foreign(path) => {
                write!(f, "{} is not a plumm database: name another file with --db", path.display())
            }
            Error::Newer { path, found, known } => write!(
                f,
                "{} was written by a newer plumm (schema {found}, this program knows {known}): \
                 install that version or restore an older backup",
                path.display()
            ),
            Error::Older { path, found, known } => write!(
                f,
                "{} was written by an older plumm (schema {found}, this program needs {known}): \
                 start `plumm serve` of this version once, which brings it up to date",
                path.display()
            ),
            Error::NotWhole(path, faults) => {
                let first = faults.first().map_or("", String::as_str);
                write!(f, "{} is not whole: {first}", path.display())?;
                match faults.len() {
                    0 | 1 => Ok(()),
                    _ => write!(f, " (and more: see `plumm check`)"),
                }
            }
            Error::Served(path) => write!(
                f,
                "{} is already served by another plumm: stop that one first",
                path.display()
            ),
            Error::ServedElsewhere(path) => write!(
                f,
                "{} is a second name (a hard link) of a file that a plumm is at work on: use the \
                 name that it was started with",
                path.display()
            ),
            Error::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Error::Internal(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) =>
            {
                write!(
                    f,
                    "the database is damaged ({error}): keep a copy of the file, and go on with \
                     the latest backup"
                )
            }
            Error::Internal(error) => write!(f, "database error: {error}"),
            Error::Invalid(what) => write!(f, "the database contradicts itself: {what}"),
        }
    }
}

impl std::error::Error for Error {}
