//! The lock that makes one server the only one on a database, with a note of what that server is.
//!
//! Two files are locked, both by the operating system, so that a crash leaves nothing to clean up.
//! The database itself, because it is what must not be served twice: its lock holds by whatever
//! name it is reached (`database_file.rs`). And a file beside it, which has the note, is there
//! before there is a database, and is all that a plumm before this one locked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::store::database_file::{DatabaseFile, Holder, Purpose};
use crate::store::error::Error;
use crate::store::paths::{beside, resolved};

/// The suffix that the lock file's name adds to the database's.
const LOCK_SUFFIX: &str = "-lock";
/// The first line of the note of a server that never checkpoints; commands read it.
const EXTERNAL_CHECKPOINT_LINE: &str = "external-checkpoint\n";
/// How often the lock is tried again: a command that asks whether a server is running holds it for
/// an instant.
const RETRIES_MAX: u32 = 5;
/// How long passes between two attempts to take the lock.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Whether a database is served, as commands see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serving {
    /// No server is running on it.
    Nobody,
    /// A server is, with this note ([`ServeLock::note`]).
    Here(String),
    /// A server is, by another name of the file: the files beside this name are not those that
    /// SQLite uses.
    Elsewhere,
}

/// The lock, until it is dropped.
pub struct ServeLock {
    path: PathBuf,
    file: File,
    /// The database; none when it is yet to be made.
    database: Option<DatabaseFile>,
    /// Whether the note begins with [`EXTERNAL_CHECKPOINT_LINE`]; then the file is never removed,
    /// so that commands find the line after the server has ended.
    external_checkpoint: bool,
    /// Whether the server before was killed: one that ends takes its note away.
    follows_killed: bool,
}

impl ServeLock {
    /// Takes the lock for a server. With `external_checkpoint` the note says that another program
    /// makes the checkpoints.
    ///
    /// # Errors
    /// [`Error::Served`] when a server is running, and failures of the disk.
    pub fn take(database: &Path, external_checkpoint: bool) -> Result<ServeLock, Error> {
        let path = lock_path(database);
        let io = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Error::ReadOnly(database.to_owned())
            }
            _ => Error::Io(path.clone(), error),
        };
        let mut retries = 0;
        let mut again = || {
            retries += 1;
            thread::sleep(RETRY_PAUSE);
            if retries > RETRIES_MAX { Err(Error::Served(database.to_owned())) } else { Ok(()) }
        };
        loop {
            // The database comes first: a server that is refused makes no file beside it.
            let locked = lock_database(database).map_err(io)?;
            let Some(mut locked) = locked else {
                again()?;
                continue;
            };
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path).map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    drop(locked);
                    again()?;
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            // The server before may have removed the file's name between `open` and `try_lock`,
            // and a restore may have put another database in place. Then this lock guards nothing,
            // and the next pass of the loop takes a new one.
            let ours = file.metadata().map_err(io)?;
            let named = fs::metadata(&path)
                .is_ok_and(|it| it.ino() == ours.ino() && it.dev() == ours.dev());
            let in_place = match &locked {
                Locked(Some(it)) => it.is_at(database),
                Locked(None) => !database.exists(),
            };
            if named && in_place {
                let database = locked.0.take();
                let left = fs::read_to_string(&path).unwrap_or_default();
                let left = left.strip_prefix(EXTERNAL_CHECKPOINT_LINE).unwrap_or(&left);
                let follows_killed = !left.is_empty();
                let lock = ServeLock { path, file, database, external_checkpoint, follows_killed };
                // A server that was killed may have left its own note.
                lock.note("")?;
                return Ok(lock);
            }
        }
    }

    /// Whether the server before on this database was killed.
    #[must_use]
    pub fn follows_killed(&self) -> bool {
        self.follows_killed
    }

    /// Replaces the note, which tells commands about the server that holds the lock.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn note(&self, text: &str) -> Result<(), Error> {
        let io = |error: io::Error| Error::Io(self.path.clone(), error);
        let head = if self.external_checkpoint { EXTERNAL_CHECKPOINT_LINE } else { "" };
        let text = format!("{head}{text}");
        // The text is written before the file is cut, so that the first line is never missing.
        self.file.write_all_at(text.as_bytes(), 0).map_err(io)?;
        self.file.set_len(text.len() as u64).map_err(io)
    }
}

impl Drop for ServeLock {
    fn drop(&mut self) {
        // The file is removed while it is locked; a process that has opened it before notices that
        // (see `take`).
        let _ = match self.external_checkpoint {
            true => self.note(""),
            false => fs::remove_file(&self.path).map_err(|it| Error::Io(self.path.clone(), it)),
        };
        // Others may have a share in the handle, which would keep the lock.
        if let Some(it) = &self.database {
            it.unlock();
        }
    }
}

/// A database that this process has locked: none when there is no file yet.
struct Locked(Option<DatabaseFile>);

/// Locks the database; `None` when another one has locked it.
fn lock_database(database: &Path) -> io::Result<Option<Locked>> {
    let file = match DatabaseFile::open(database) {
        Ok(it) => it,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Locked(None))),
        Err(error) => return Err(error),
    };
    Ok(file.try_lock(Purpose::Serve)?.then_some(Locked(Some(file))))
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Some(it) = &self.0 {
            it.unlock();
        }
    }
}

/// Whether a server runs on this database. This makes no file: a command that only asks leaves
/// nothing behind.
///
/// # Errors
/// Failures of the disk.
pub fn serving(database: &Path) -> Result<Serving, Error> {
    if let Some(note) = note_beside(database)? {
        return Ok(Serving::Here(note));
    }
    let io = |error: io::Error| Error::Io(database.to_owned(), error);
    let file = match DatabaseFile::open(database) {
        Ok(it) => it,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            return Ok(Serving::Nobody);
        }
        Err(error) => return Err(io(error)),
    };
    Ok(match file.holder().map_err(io)? {
        Holder::Nobody | Holder::This(Purpose::Copy) => Serving::Nobody,
        // Somebody has removed the file with the note.
        _ if file.names() == 1 => Serving::Here(String::new()),
        _ => Serving::Elsewhere,
    })
}

/// The note in the file beside the database, if that is locked.
fn note_beside(database: &Path) -> Result<Option<String>, Error> {
    let path = lock_path(database);
    let io = |error: io::Error| Error::Io(path.clone(), error);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    match file.try_lock_shared() {
        // A server that was killed left it behind.
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let text = fs::read_to_string(&path).map_err(io)?;
            Ok(Some(
                text.strip_prefix(EXTERNAL_CHECKPOINT_LINE).map_or(text.clone(), str::to_owned),
            ))
        }
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Whether a server is running on this database.
pub fn is_served(database: &Path) -> bool {
    matches!(serving(database), Ok(Serving::Here(_) | Serving::Elsewhere))
}

/// Whether the last server on this database left checkpoints to another program. Commands then
/// make none either, whether or not that server still runs.
pub fn is_checkpointed_externally(database: &Path) -> bool {
    let note = fs::read_to_string(lock_path(database));
    note.is_ok_and(|it| it.starts_with(EXTERNAL_CHECKPOINT_LINE))
}

fn lock_path(database: &Path) -> PathBuf {
    beside(&resolved(database), LOCK_SUFFIX)
}
