//! Reading a database file as it is: nothing is changed, and nothing is left beside it.

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

/// How often a file that another program changed meanwhile is read.
const ATTEMPTS: u32 = 3;
/// How long a statement waits for the server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The files that hold a part of the database, by what their names add.
pub const PARTS: [&str; 2] = ["-wal", "-journal"];

/// Does work on one consistent view of a file. `scratch` is a folder for a private copy, which is
/// needed when changes of a killed program wait beside the file.
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
    for _ in 0..ATTEMPTS {
        // Asked first: within the server itself, opening and closing the file by other means than
        // SQLite would drop the locks of its connections.
        if serving(path)?.is_some() {
            // The server holds the files beside the database open, so that none is made here.
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            return on_one_view(&connection, &work);
        }
        let before = Traces::of(path)?;
        let answer = if before.parts.iter().any(|it| it.is_some_and(|part| part.bytes > 0)) {
            Copied::of(path, scratch).and_then(|it| on_one_view(&it.open()?, &work))
        } else {
            open_immutable(path).and_then(|it| on_one_view(&it, &work))
        };
        // What was read while it changed says nothing, good or bad.
        if Traces::of(path).is_ok_and(|it| it == before) && !is_served(path) {
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

/// SQLite then neither locks the file nor looks for others beside it.
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

/// What changes when another program writes.
#[derive(PartialEq, Eq)]
struct Traces {
    main: Trace,
    parts: [Option<Trace>; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Trace {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Traces {
    fn of(path: &Path) -> Result<Traces, Error> {
        let main = Trace::of(path).map_err(|it| Error::Io(path.to_owned(), it))?;
        Ok(Traces { main, parts: PARTS.map(|it| Trace::of(&beside(path, it)).ok()) })
    }
}

impl Trace {
    fn of(path: &Path) -> io::Result<Trace> {
        let found = fs::metadata(path)?;
        let modified = (found.mtime(), found.mtime_nsec());
        Ok(Trace { inode: found.ino(), bytes: found.len(), modified })
    }
}

/// A private copy of a database with the files that hold a part of it; gone when it is dropped.
struct Copied {
    folder: PathBuf,
}

impl Copied {
    fn of(path: &Path, scratch: &Path) -> Result<Copied, Error> {
        let folder = new_folder(scratch)?;
        let copied = Copied { folder };
        let main = copied.main();
        for suffix in [""].iter().chain(&PARTS) {
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
        // Not read-only: a change that was cut short must be rolled back in the copy.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Connection::open_with_flags(self.main(), flags)?)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Makes a folder that nobody else can look into.
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
