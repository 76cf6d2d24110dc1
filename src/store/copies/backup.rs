//! A whole copy of the database in one file, made at any moment.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::store::copies::check::{Report, check};
use crate::store::copies::view::with_view;
use crate::store::database_file::{DatabaseFile, Purpose};
use crate::store::error::Error;
use crate::store::migrate;
use crate::store::paths::{beside, folder_of};

/// The suffix that the name of an unfinished copy adds to the name it will have.
pub const PARTIAL_SUFFIX: &str = ".partial";
/// The suffixes of the files that SQLite may leave beside a copy that was cut short.
pub const LEFTOVER_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Copies a database to a new file, also while a server is running on it: writers do not wait. The
/// copy is checked, and on disk when this returns; until then it has another name.
///
/// # Errors
/// When `target` exists or cannot be written, and when the database or the copy is not whole; there
/// is no new file then.
pub fn backup(database: &Path, target: &Path) -> Result<Report, Error> {
    let exists = || {
        let error = "is there already, and a backup never replaces a file: choose another name";
        Error::Io(target.to_owned(), io::Error::new(ErrorKind::AlreadyExists, error))
    };
    if fs::symlink_metadata(database).is_err() {
        return Err(Error::Missing(database.to_owned()));
    }
    if fs::symlink_metadata(target).is_ok() {
        return Err(exists());
    }
    let partial = Partial::create(target)?;
    let report = partial.fill(database)?;
    // A hard link fails when another file has the name by now. Not every disk has hard links.
    match fs::hard_link(&partial.path, target) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists()),
        Err(_) if fs::symlink_metadata(target).is_ok() => return Err(exists()),
        Err(_) => partial.rename(target)?,
    }
    drop(partial);
    sync_folder(target)?;
    Ok(report)
}

/// A copy in the making, beside the file it will be. It is removed when it is dropped.
pub struct Partial {
    path: PathBuf,
    /// Locked, so that two programs do not write one copy, and that nobody serves a copy before the
    /// work is done. The file of a killed program is not locked, and is used again.
    file: DatabaseFile,
}

impl Partial {
    /// Begins a copy that will be `target`.
    ///
    /// # Errors
    /// When the folder cannot be written, and when another program makes the same copy.
    pub fn create(target: &Path) -> Result<Partial, Error> {
        let path = beside(target, PARTIAL_SUFFIX);
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                Error::ReadOnly(target.to_owned())
            }
            ErrorKind::NotFound => {
                let error = io::Error::new(ErrorKind::NotFound, "its folder does not exist");
                Error::Io(target.to_owned(), error)
            }
            ErrorKind::StorageFull => Error::Full,
            _ => Error::Io(path.clone(), error),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).and_then(DatabaseFile::of).map_err(failed)?;
        if !file.try_lock(Purpose::Copy).map_err(failed)? {
            return Err(in_use(path));
        }
        // Another program may have given the file its final name after this one opened it; and a
        // link leads to a file that plumm must not write.
        let is_link = fs::symlink_metadata(&path).is_ok_and(|it| it.is_symlink());
        if is_link || !file.is_at(&path) || file.names() > 1 {
            return Err(in_use(path));
        }
        let handle = file.file().map_err(failed)?;
        // The file may have existed before, with other permissions.
        handle.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        handle.set_len(0).map_err(failed)?;
        let partial = Partial { path, file };
        partial.remove_leftovers();
        Ok(partial)
    }

    /// Copies a database into this file, checks the copy and syncs it.
    ///
    /// # Errors
    /// When the database cannot be read, or the copy is not whole.
    pub fn fill(&self, database: &Path) -> Result<Report, Error> {
        let folder = folder_of(&self.path);
        with_view(database, folder, |source| {
            // plumm copies its own databases only, and not those of other programs.
            migrate::version(source, database)?;
            self.copy(source)
        })?;
        self.leave_wal_mode()?;
        let report = check(&self.path, folder)?;
        // What is wrong with the copy is wrong with the database, so the error names that.
        let report = report.require_whole(database)?;
        let synced = self.file.file().and_then(File::sync_all);
        synced.map_err(|it| Error::Io(self.path.clone(), it))?;
        Ok(report)
    }

    /// Gives the copy its final name, in place of a file that may have that name now.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn rename(&self, target: &Path) -> Result<(), Error> {
        fs::rename(&self.path, target).map_err(|it| Error::Io(target.to_owned(), it))
    }

    /// Copies all pages in one step. A backup in small steps would begin anew at each write of the
    /// server, and never end.
    fn copy(&self, source: &Connection) -> Result<(), Error> {
        let mut connection = self.open()?;
        let backup = Backup::new(source, &mut connection)?;
        match backup.step(-1)? {
            StepResult::Done => Ok(()),
            _ => Err(Error::Busy),
        }
    }

    /// Takes the copy out of the write-ahead log's mode, so that it can be opened where nothing can
    /// be written beside it. A server that opens the file switches the mode back.
    fn leave_wal_mode(&self) -> Result<(), Error> {
        let connection = self.open()?;
        let sql = "PRAGMA journal_mode = delete";
        let mode: String = connection.query_row(sql, [], |row| row.get(0))?;
        if mode == "delete" {
            return Ok(());
        }
        Err(Error::Invalid(format!("the journal mode of the copy is {mode}")))
    }

    fn open(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // `fill` syncs the finished copy as a whole, so the single writes need no sync.
        connection.pragma_update(None, "synchronous", 0)?;
        Ok(connection)
    }

    fn remove_leftovers(&self) {
        for suffix in LEFTOVER_SUFFIXES {
            let _ = fs::remove_file(beside(&self.path, suffix));
        }
    }
}

fn in_use(path: PathBuf) -> Error {
    Error::Io(path, io::Error::new(ErrorKind::ResourceBusy, "another program writes it"))
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.remove_leftovers();
    }
}

/// Syncs the folder of a file, so that the names in it are on disk.
///
/// # Errors
/// Failures of the disk.
pub fn sync_folder(file: &Path) -> Result<(), Error> {
    let folder = folder_of(file);
    let synced = File::open(folder).and_then(|it| it.sync_all());
    synced.map_err(|it| Error::Io(folder.to_owned(), it))
}
