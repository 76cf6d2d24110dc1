//! Who opens the database file, and what the file must be before SQLite opens it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::store::database_file::DatabaseFile;
use crate::store::error::Error;
use crate::store::serve_lock::{ServeLock, Serving, serving};

/// The smallest database that SQLite writes, in bytes: one page.
const FILE_BYTES_MIN: u64 = 512;

/// Who opens the file, and so what may be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// The server: it makes the file when there is none, and is the only one to serve it.
    Serve,
    /// The server, beside another program that replicates the write-ahead log and checkpoints it.
    ServeReplicated,
    /// A command that may make the file.
    Create,
    /// A command that needs a file to be there.
    Existing,
    /// A command that changes nothing, not even the schema of a file of an older plumm.
    ReadOnly,
}

/// Makes sure that the file is there and that it may be a database; a new file can be read by its
/// owner only. Takes the serving lock for a server; whoever else opens a file that is served must
/// do so by the name that the server has.
///
/// # Errors
/// Each kind of [`Error`] that says why the file cannot be used.
pub fn prepare_file(path: &Path, open: Open) -> Result<(DatabaseFile, Option<ServeLock>), Error> {
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
        // SQLite takes a file that is shorter than its header for an empty one, and overwrites it.
        Ok(it) if (1..FILE_BYTES_MIN).contains(&it.len()) => {
            return Err(Error::Foreign(path.to_owned()));
        }
        Ok(_) => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        Err(_) if matches!(open, Open::Existing | Open::ReadOnly) => {
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
    let lock = match open {
        Open::Serve => Some(ServeLock::take(path, false)?),
        Open::ServeReplicated => Some(ServeLock::take(path, true)?),
        Open::Create | Open::Existing | Open::ReadOnly => {
            if serving(path)? == Serving::Elsewhere {
                return Err(Error::ServedElsewhere(path.to_owned()));
            }
            None
        }
    };
    // After the lock was taken, no restore puts another file in place.
    let file = DatabaseFile::open(path).map_err(io)?;
    if lock.is_some() && file.names() > 1 {
        log::warn!(
            "{} has {} names (hard links): start plumm by this one alone, since changes that are \
             not yet in the file stand beside the name; one that ends in `.replaced-` and a time \
             was left by a restore that was killed, and may be removed",
            path.display(),
            file.names()
        );
    }
    Ok((file, lock))
}
