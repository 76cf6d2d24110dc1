//! How much room is left on a disk, and how much the files of a database take.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::paths::{beside, resolved};

/// The sizes of the files of a database, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The database file.
    pub file: u64,
    /// The write-ahead log beside it.
    pub log: u64,
}

/// How large the files of this database are; what is not there has no size.
#[must_use]
pub fn sizes(database: &Path) -> Sizes {
    let log = beside(&resolved(database), "-wal");
    let [file, log] = [database, &log].map(|it| fs::metadata(it).map_or(0, |it| it.len()));
    Sizes { file, log }
}

/// How many bytes a program without privileges can still write to the disk that this path is on.
///
/// # Errors
/// When the system does not say it.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
