//! Puts a copy in the place of the database, and keeps the old database.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::scim::datetime::Timestamp;
use crate::store::copies::backup::{Partial, sync_folder};
use crate::store::copies::check::{Report, check};
use crate::store::copies::view::LOG_SUFFIXES;
use crate::store::database_file::DatabaseFile;
use crate::store::error::Error;
use crate::store::paths::{beside, folder_of, resolved};
use crate::store::serve_lock::{ServeLock, is_checkpointed_externally};

/// How long this waits for another program that has the database open.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// What was put in place.
#[derive(Debug)]
pub struct Restored {
    /// What the database holds now.
    pub report: Report,
    /// Where the database that was replaced is kept.
    pub kept: Option<PathBuf>,
}

/// Replaces the database by a copy of `source`, after a check that `source` is whole. A crash
/// leaves the old database or the new one.
///
/// # Errors
/// When `source` is not whole, when there is a database and not `force`, when another program uses
/// the database, and failures of the disk. The database is as it was then.
pub fn restore(
    database: &Path,
    source: &Path,
    force: bool,
    now: Timestamp,
) -> Result<Restored, Error> {
    let place = &resolved(database);
    let refused = |text: &str| Error::Io(database.to_owned(), io::Error::other(text.to_owned()));
    let is_database = DatabaseFile::open(source).is_ok_and(|it| it.is_at(place));
    if is_database || resolved(source) == *place {
        return Err(refused("is the database itself: name the copy to restore"));
    }
    let report = check(source, folder_of(place))?;
    report.require_whole(source)?;
    let is_there = fs::symlink_metadata(place).is_ok();
    if is_there && !force {
        return Err(refused(
            "is there already: add --force to replace it (it is kept under another name)",
        ));
    }
    // With this lock no server starts on the old file before the new one is in its place, and no
    // second restore writes the same copy; the copy itself is locked from its beginning on, and by
    // the name of the database when it gets that. The note about checkpoints stays as it was.
    let lock = ServeLock::take(database, is_checkpointed_externally(database))?;
    let partial = Partial::create(place)?;
    let report = partial.fill(source)?;
    let old = if is_there { lock_old(database)? } else { None };
    let kept = set_aside(place, now)?;
    partial.rename(place)?;
    sync_folder(place)?;
    drop((old, lock));
    Ok(Restored { report, kept })
}

/// Locks the old database against other programs, and folds its log in. Returns `None` for a file
/// that SQLite cannot use; that file is kept all the same, with the files beside it.
fn lock_old(database: &Path) -> Result<Option<Connection>, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let lock = || -> Result<Connection, Error> {
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Otherwise closing the connection would remove the log of the new database, which has the
        // name by then.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let sql = "PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE; COMMIT;";
        connection.execute_batch(sql)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(connection)
    };
    match lock() {
        Ok(it) => Ok(Some(it)),
        Err(Error::Busy) => {
            let error = io::Error::other("another program has it open: end that one first");
            Err(Error::Io(database.to_owned(), error))
        }
        Err(error) => {
            log::warn!("the database that is replaced cannot be opened: {error}");
            Ok(None)
        }
    }
}

/// Gives the old database a second name, and removes the files beside it: SQLite would apply a log
/// that is left to the new database. Returns the second name, if there was an old database.
fn set_aside(database: &Path, now: Timestamp) -> Result<Option<PathBuf>, Error> {
    let kept = beside(database, &format!(".replaced-{}", now.stamp()));
    let mut found = false;
    for suffix in [""].iter().chain(&LOG_SUFFIXES) {
        let (from, to) = (beside(database, suffix), beside(&kept, suffix));
        match fs::metadata(&from) {
            // An empty log holds nothing.
            Ok(it) if it.len() > 0 || suffix.is_empty() => {
                link_or_copy(&from, &to).map_err(|it| Error::Io(to.clone(), it))?;
                found = true;
            }
            _ => {}
        }
    }
    sync_folder(database)?;
    for suffix in ["-wal", "-shm", "-journal"] {
        let path = beside(database, suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::Io(path, error));
            }
            _ => {}
        }
    }
    sync_folder(database)?;
    Ok(found.then_some(kept))
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // Not every disk has hard links.
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        }
        done => done,
    }
}
