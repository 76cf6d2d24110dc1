//! Reading a database file without changing it or leaving files beside it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::error::Error;
use crate::store::paths::{beside, resolved};
use crate::store::serve_lock::{is_served, serving};

/// How often a file is read again when another program has changed it meanwhile, the first time
/// counted.
const ATTEMPTS_MAX: u32 = 3;
/// How long a statement waits for the server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The suffixes of the files beside a database that may hold a part of its content.
pub const LOG_SUFFIXES: [&str; 2] = ["-wal", "-journal"];

/// Does work on one consistent view of a file. `scratch` is a folder for a private copy, which is
/// needed when a killed program has left a log beside the file.
///
/// # Errors
/// What the work returns; [`Error::Busy`] when another program keeps changing the file, and any
/// failure to read.
pub fn with_view<T>(
    path: &Path,
    scratch: &Path,
    work: impl Fn(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let path = &resolved(path);
    for _ in 0..ATTEMPTS_MAX {
        // The lock is checked first: inside the server's own process, opening and closing the file
        // by other means than SQLite would drop the locks of its connections.
        if serving(path)?.is_some() {
            // The files beside the database exist while the server runs, so this makes none.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            return on_one_view(&connection, &work);
        }
        let before = Fingerprints::of(path)?;
        let answer = if before.logs.iter().any(|it| it.is_some_and(|log| log.bytes > 0)) {
            PrivateCopy::of(path, scratch).and_then(|it| on_one_view(&it.open()?, &work))
        } else {
            open_immutable(path).and_then(|it| on_one_view(&it, &work))
        };
        // An answer from a file that changed meanwhile is worth nothing, good or bad.
        if Fingerprints::of(path).is_ok_and(|it| it == before) && !is_served(path) {
            return answer;
        }
    }
    Err(Error::Busy)
}

fn on_one_view<T>(
    connection: &Connection,
    work: impl Fn(&Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let tx = connection.unchecked_transaction()?;
    work(&tx)
}

/// Opens a file as immutable: SQLite neither locks it nor reads files beside it.
fn open_immutable(path: &Path) -> Result<Connection, Error> {
    let absolute = std::path::absolute(path).map_err(|it| Error::Io(path.to_owned(), it))?;
    let bytes = absolute.as_os_str().as_bytes().iter();
    let name: String = bytes
        .map(|it| match it {
            b'/' | b'.' | b'-' | b'_' => char::from(*it).to_string(),
            it if it.is_ascii_alphanumeric() => char::from(*it).to_string(),
            it => format!("%{it:02X}"),
        })
        .collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(format!("file://{name}?immutable=1"), flags)?)
}

/// The marks of the file and its logs that change when another program writes.
#[derive(PartialEq, Eq)]
struct Fingerprints {
    main: Fingerprint,
    logs: [Option<Fingerprint>; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Fingerprints {
    fn of(path: &Path) -> Result<Fingerprints, Error> {
        let main = Fingerprint::of(path).map_err(|it| Error::Io(path.to_owned(), it))?;
        Ok(Fingerprints {
            main,
            logs: LOG_SUFFIXES.map(|it| Fingerprint::of(&beside(path, it)).ok()),
        })
    }
}

impl Fingerprint {
    fn of(path: &Path) -> io::Result<Fingerprint> {
        let found = fs::metadata(path)?;
        let modified = (found.mtime(), found.mtime_nsec());
        Ok(Fingerprint { inode: found.ino(), bytes: found.len(), modified })
    }
}

/// A private copy of a database and its logs; dropping it removes it.
struct PrivateCopy {
    folder: PathBuf,
}

impl PrivateCopy {
    fn of(path: &Path, scratch: &Path) -> Result<PrivateCopy, Error> {
        let folder = new_folder(scratch)?;
        let copied = PrivateCopy { folder };
        let main = copied.main();
        for suffix in [""].iter().chain(&LOG_SUFFIXES) {
            let to = beside(&main, suffix);
            match fs::copy(beside(path, suffix), &to) {
                Ok(_) => {
                    let owner_only = fs::set_permissions(&to, Permissions::from_mode(0o600));
                    owner_only.map_err(|it| Error::Io(to, it))?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !suffix.is_empty() => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Err(Error::Full),
                Err(error) => return Err(Error::Io(beside(path, suffix), error)),
            }
        }
        Ok(copied)
    }

    fn main(&self) -> PathBuf {
        self.folder.join("copy.db")
    }

    fn open(&self) -> Result<Connection, Error> {
        // The connection may write, since SQLite must roll back a change that was cut short.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Connection::open_with_flags(self.main(), flags)?)
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Makes a folder that only its owner can read.
fn new_folder(scratch: &Path) -> Result<PathBuf, Error> {
    let mut number = 0;
    loop {
        let folder = scratch.join(format!(".plumm-copy-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(Error::Io(scratch.to_owned(), error)),
        }
    }
}
