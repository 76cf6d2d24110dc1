//! A whole copy of the database for somebody else: from the moment it is whole it has no name on
//! the disk, and is gone with whoever holds it, also when the server is killed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::store::copies::backup::{LEFTOVER_SUFFIXES, PARTIAL_SUFFIX, Partial};
use crate::store::copies::check::Report;
use crate::store::disk::{free_bytes, sizes};
use crate::store::error::Error;
use crate::store::paths::{beside, folder_of, resolved};

/// The suffix that the name of a copy in the making adds to the database's.
const SNAPSHOT_SUFFIX: &str = "-snapshot";
/// What of the disk stays free for the server, in bytes.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;

/// A whole copy.
#[derive(Debug)]
pub struct Snapshot {
    file: File,
    bytes: u64,
    report: Report,
}

/// How much of a disk is needed, and how much is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What a snapshot takes while it is sent, in bytes.
    pub needed: u64,
    /// What is left beside what the server needs itself.
    pub free: u64,
}

impl Room {
    /// How it is on the disk of this database.
    ///
    /// # Errors
    /// When the system does not say it.
    pub fn of(database: &Path) -> Result<Room, Error> {
        let database = resolved(database);
        let sizes = sizes(&database);
        let free = free_bytes(folder_of(&database)).map_err(|it| Error::Io(database, it))?;
        let needed = sizes.file.saturating_add(sizes.log);
        Ok(Room { needed, free: free.saturating_sub(ROOM_BYTES) })
    }

    /// Whether a snapshot has room.
    #[must_use]
    pub fn is_enough(self) -> bool {
        self.needed <= self.free
    }
}

impl Snapshot {
    /// Makes one of the database as it is now, and checks it. Writers do not wait.
    ///
    /// # Errors
    /// When the disk is full or cannot be written, when another one is being made, and when the
    /// database is not whole.
    pub fn make(database: &Path) -> Result<Snapshot, Error> {
        let database = resolved(database);
        let name = beside(&database, SNAPSHOT_SUFFIX);
        let partial = Partial::create(&name)?;
        let report = partial.fill(&database)?;
        let path = beside(&name, PARTIAL_SUFFIX);
        let opened = File::open(&path).and_then(|it| Ok((it.metadata()?.len(), it)));
        let (bytes, file) = opened.map_err(|it| Error::Io(path, it))?;
        // With this its name is gone.
        drop(partial);
        Ok(Snapshot { file, bytes, report })
    }

    /// How long it is, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is in it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The next bytes, no more than so many; none at the end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(most);
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        (&mut self.file).take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Removes what a server that was killed while it made a snapshot has left. For the start of
/// service, when nobody makes one.
pub fn remove_leftovers(database: &Path) {
    let left = beside(&beside(&resolved(database), SNAPSHOT_SUFFIX), PARTIAL_SUFFIX);
    let _ = fs::remove_file(&left);
    for suffix in LEFTOVER_SUFFIXES {
        let _ = fs::remove_file(beside(&left, suffix));
    }
}
