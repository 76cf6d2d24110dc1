//! The lock that makes one server the only one on a database, with a note of what that server is.
//!
//! The lock is a file beside the database, locked by the operating system, so that a crash leaves
//! nothing to clean up. The database itself cannot be locked so: closing any handle of that file
//! would drop SQLite's own locks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

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

/// The lock, until it is dropped.
pub struct ServeLock {
    path: PathBuf,
    file: File,
    /// Whether the note begins with [`EXTERNAL_CHECKPOINT_LINE`]; then the file is never removed,
    /// so that commands find the line after the server has ended.
    external_checkpoint: bool,
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
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path).map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if retries < RETRIES_MAX => {
                    retries += 1;
                    thread::sleep(RETRY_PAUSE);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Served(database.to_owned())),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            // The server before may have removed the file's name between `open` and `try_lock`.
            // Then this lock guards nothing, and the next pass of the loop makes a new file.
            let ours = file.metadata().map_err(io)?;
            if fs::metadata(&path).is_ok_and(|it| it.ino() == ours.ino() && it.dev() == ours.dev())
            {
                let lock = ServeLock { path, file, external_checkpoint };
                // A server that was killed may have left its own note.
                lock.note("")?;
                return Ok(lock);
            }
        }
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
    }
}

/// The note of the server that runs on this database ([`ServeLock::note`]); `None` when no server
/// is running. This makes no file: a command that only asks leaves nothing behind.
///
/// # Errors
/// Failures of the disk.
pub fn serving(database: &Path) -> Result<Option<String>, Error> {
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
    matches!(serving(database), Ok(Some(_)))
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
