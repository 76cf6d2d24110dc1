//! Reading a database file without changing it or leaving files beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::store::database_file::DatabaseFile;
use crate::store::error::Error;
use crate::store::paths::{beside, resolved};
use crate::store::serve_lock::{Serving, is_served, serving};

/// How often a file is read again when another program has changed it meanwhile, the first time
/// counted.
const ATTEMPTS_MAX: u32 = 3;
/// How long passes until a file that is being opened by a server is looked at again.
const OPENING_PAUSE: Duration = Duration::from_millis(300);
/// How long a statement waits for the server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The suffixes of the files beside a database that may hold a part of its content.
pub const LOG_SUFFIXES: [&str; 2] = ["-wal", "-journal"];
/// The module of SQLite that reads files as all others do, and takes no locks.
const WITHOUT_LOCKS: &str = "unix-none";
/// What the names of folders for private copies begin with.
const COPY_PREFIX: &str = ".plumm-copy-";

/// Does work on one consistent view of a file. `scratch` is a folder for a private copy, which is
/// needed when a program other than plumm was killed in the middle of a change.
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
    let io = |error| Error::Io(path.to_owned(), error);
    for _ in 0..ATTEMPTS_MAX {
        // Held until the connection is closed: in the server's own process, another handle that is
        // closed would end the locks of its connections.
        let file = DatabaseFile::open(path).map_err(io)?;
        match serving(path)? {
            Serving::Here(_) => {
                // What has no log is being opened at this moment, or is a copy in the making, and a
                // reader would be in the way.
                if !beside(path, LOG_SUFFIXES[0]).exists() {
                    thread::sleep(OPENING_PAUSE);
                    continue;
                }
                // The files beside the database exist while the server runs, so this makes none.
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(path, flags)?;
                return on_one_view(&connection, &work);
            }
            Serving::Elsewhere => return Err(Error::ServedElsewhere(path.to_owned())),
            Serving::Nobody => {}
        }
        let before = Fingerprints::of(path)?;
        let [wal, journal] = before.logs.map(|it| it.is_some_and(|log| log.bytes > 0));
        let answer = if journal && before.main.bytes > 0 {
            open_private_copy(path, &file, scratch).and_then(|it| on_one_view(&it, &work))
        } else if wal && before.main.bytes > 0 {
            open_with_log(path).and_then(|it| on_one_view(&it, &work))
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

/// Opens a file with the write-ahead log that a killed server has left, where it stands. SQLite
/// keeps the index of the log in memory, since a connection that is alone needs no `-shm` file;
/// that it is alone is only claimed, by a module without locks, so that nobody has to wait for it.
/// What others do meanwhile is seen by the fingerprints. Nothing is written, not even at the end.
fn open_with_log(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, WITHOUT_LOCKS)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let mode = connection.query_row("PRAGMA locking_mode = exclusive", [], |row| row.get(0));
    match mode {
        Ok(mode) if mode == "exclusive" => Ok(connection),
        Ok::<String, _>(mode) => Err(Error::Invalid(format!("the locking mode is {mode}"))),
        Err(error) => Err(error.into()),
    }
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

/// Opens a private copy of a database with a change that was cut short, which SQLite must undo
/// before it can read. plumm writes a log instead, so this is about files that other programs had.
/// The copy has no name any more when this returns, so that it is gone with the process.
fn open_private_copy(
    path: &Path,
    file: &DatabaseFile,
    scratch: &Path,
) -> Result<Connection, Error> {
    let folder = CopyFolder::new(scratch)?;
    let main = folder.path.join("copy.db");
    let failed = |path: PathBuf| {
        |error: io::Error| match error.kind() {
            ErrorKind::StorageFull => Error::Full,
            _ => Error::Io(path, error),
        }
    };
    let create = |path: &Path| {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)
    };
    let copied = create(&main).and_then(|mut it| file.copy_to(&mut it));
    copied.map_err(failed(main.clone()))?;
    for suffix in LOG_SUFFIXES {
        let (from, to) = (beside(path, suffix), beside(&main, suffix));
        match File::open(&from) {
            Ok(mut log) => {
                let copied = create(&to).and_then(|mut it| io::copy(&mut log, &mut it));
                copied.map_err(failed(to))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(from)(error)),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&main, flags)?;
    // The first reader undoes what was cut short; from then on nothing is written.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// A folder of its own that only its owner can read; dropping it removes it.
struct CopyFolder {
    path: PathBuf,
    /// Locked, so that others can tell a copy that is being made from one that a killed program has
    /// left.
    _handle: File,
}

impl CopyFolder {
    fn new(scratch: &Path) -> Result<CopyFolder, Error> {
        remove_leftovers(scratch);
        let io = |error| Error::Io(scratch.to_owned(), error);
        let mut number = 0;
        loop {
            let path = scratch.join(format!("{COPY_PREFIX}{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let handle = File::open(&path).map_err(io)?;
                    handle.lock().map_err(io)?;
                    return Ok(CopyFolder { path, _handle: handle });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(io(error)),
            }
        }
    }
}

impl Drop for CopyFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the private copies that killed programs have left in a folder.
fn remove_leftovers(scratch: &Path) {
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        let is_copy = entry.file_name().as_bytes().starts_with(COPY_PREFIX.as_bytes());
        let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
        if is_copy && is_folder && File::open(entry.path()).is_ok_and(|it| it.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
