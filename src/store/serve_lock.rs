//! The lock that makes one server the only one on a file, and what the server says of itself there.
//!
//! It is a file beside the database, locked by the operating system, so that a crash leaves nothing
//! to clean up. Not the database itself: closing any handle of that file would drop SQLite's own
//! locks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::store::connection::{beside, resolved};
use crate::store::error::Error;

/// What the name of the file adds to that of the database.
const LOCK_SUFFIX: &str = "-lock";
/// The first line of a server that never checkpoints, for the commands beside it.
const EXTERNAL_CHECKPOINT: &str = "external-checkpoint\n";
/// How often, and after which pause, the lock is tried: a command that asks whether a server is at
/// work holds it for an instant.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock, until it is dropped.
pub struct ServeLock {
    path: PathBuf,
    file: File,
    /// Whether it says [`EXTERNAL_CHECKPOINT`], and stays to say so.
    external: bool,
}

impl ServeLock {
    /// Takes the lock of a server; `external` says in it that another program checkpoints.
    ///
    /// # Errors
    /// [`Error::Served`] when a server is at work, and failures of the disk.
    pub fn take(database: &Path, external: bool) -> Result<ServeLock, Error> {
        let path = lock_path(database);
        let io = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Error::ReadOnly(database.to_owned())
            }
            _ => Error::Io(path.clone(), error),
        };
        let mut attempts = 0;
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path).map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if attempts < ATTEMPTS => {
                    attempts += 1;
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(Error::Served(database.to_owned())),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            // The server before may have removed the name after it was opened here: then this lock
            // guards nothing, and the next turn makes a new file.
            let ours = file.metadata().map_err(io)?;
            if fs::metadata(&path).is_ok_and(|it| it.ino() == ours.ino() && it.dev() == ours.dev())
            {
                let lock = ServeLock { path, file, external };
                // A server that was killed may have left its own words.
                lock.note("")?;
                return Ok(lock);
            }
        }
    }

    /// Replaces what the file says of the server that holds it.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn note(&self, text: &str) -> Result<(), Error> {
        let io = |error: io::Error| Error::Io(self.path.clone(), error);
        let head = if self.external { EXTERNAL_CHECKPOINT } else { "" };
        let text = format!("{head}{text}");
        // In this order, so that the first line is never missing.
        self.file.write_all_at(text.as_bytes(), 0).map_err(io)?;
        self.file.set_len(text.len() as u64).map_err(io)
    }
}

impl Drop for ServeLock {
    fn drop(&mut self) {
        // Removed while still locked; whoever opened it before will notice (see `take`).
        let _ = match self.external {
            true => self.note(""),
            false => fs::remove_file(&self.path).map_err(|it| Error::Io(self.path.clone(), it)),
        };
    }
}

/// What the server on this database says of itself ([`ServeLock::note`]); none when none is at
/// work. Nothing is made here: whoever only asks leaves nothing behind.
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
            Ok(Some(text.strip_prefix(EXTERNAL_CHECKPOINT).map_or(text.clone(), str::to_owned)))
        }
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// Whether a server is at work on this database.
pub fn is_served(database: &Path) -> bool {
    matches!(serving(database), Ok(Some(_)))
}

/// Whether the last server on this database left checkpoints to another program. Commands then do
/// not checkpoint either, whether or not that server still runs.
pub fn is_checkpointed_elsewhere(database: &Path) -> bool {
    let note = fs::read_to_string(lock_path(database));
    note.is_ok_and(|it| it.starts_with(EXTERNAL_CHECKPOINT))
}

fn lock_path(database: &Path) -> PathBuf {
    beside(&resolved(database), LOCK_SUFFIX)
}
