//! Puts a copy in the place of the database, and keeps what was there.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::scim::datetime::Timestamp;
use crate::store::copies::backup::{Partial, sync_folder};
use crate::store::copies::check::{Report, check};
use crate::store::copies::view::PARTS;
use crate::store::error::Error;
use crate::store::paths::{beside, folder_of, resolved};
use crate::store::serve_lock::{ServeLock, is_checkpointed_externally};

/// How long another program that has the database open is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// What was put in place.
#[derive(Debug)]
pub struct Restored {
    /// What the database holds now.
    pub report: Report,
    /// Where the database that was replaced is kept.
    pub kept: Option<PathBuf>,
}

/// Replaces the database by a copy of `source`, once that has been found whole. A crash leaves the
/// old database or the new one.
///
/// # Errors
/// When `source` is not whole, when there is a database and not `force`, when a program is at work
/// on it, and failures of the disk. The database is as it was then.
pub fn restore(
    database: &Path,
    source: &Path,
    force: bool,
    now: Timestamp,
) -> Result<Restored, Error> {
    let place = &resolved(database);
    let refused = |text: &str| Error::Io(database.to_owned(), io::Error::other(text.to_owned()));
    if resolved(source) == *place {
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
    // No server can start on the old file until the new one is in its place; and no two of these
    // write one copy. Who checkpoints stays as it was.
    let lock = ServeLock::take(database, is_checkpointed_externally(database))?;
    let partial = Partial::create(place)?;
    let report = partial.fill(source)?;
    let held = if is_there { hold(database)? } else { None };
    let kept = set_aside(place, now)?;
    partial.rename(place)?;
    sync_folder(place)?;
    drop((held, lock));
    Ok(Restored { report, kept })
}

/// Takes the old database for itself, and folds its log in. Nothing is returned for a file that
/// SQLite cannot use; it is kept all the same, with what stands beside it.
fn hold(database: &Path) -> Result<Option<Connection>, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let held = || -> Result<Connection, Error> {
        let connection = Connection::open_with_flags(database, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Else closing it would remove the log of the database that has the name by then.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let sql = "PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE; COMMIT;";
        connection.execute_batch(sql)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(connection)
    };
    match held() {
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

/// Gives the old database a second name, and takes away what stands beside it: a log that is left
/// would be applied to the new one. Returns the second name, if there was anything.
fn set_aside(database: &Path, now: Timestamp) -> Result<Option<PathBuf>, Error> {
    let kept = beside(database, &format!(".replaced-{}", now.stamp()));
    let mut any = false;
    for suffix in [""].iter().chain(&PARTS) {
        let (from, to) = (beside(database, suffix), beside(&kept, suffix));
        match fs::metadata(&from) {
            // An empty log holds nothing.
            Ok(it) if it.len() > 0 || suffix.is_empty() => {
                second_name(&from, &to).map_err(|it| Error::Io(to.clone(), it))?;
                any = true;
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
    Ok(any.then_some(kept))
}

fn second_name(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // Not every disk has hard links.
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        }
        done => done,
    }
}
