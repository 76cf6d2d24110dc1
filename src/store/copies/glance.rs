//! A look at a database file that costs little and changes nothing.

use std::env;
use std::fs;
use std::path::Path;

use crate::scim::datetime::Timestamp;
use crate::store::copies::check::{header_fault, last_change};
use crate::store::copies::view::with_view;
use crate::store::error::Error;
use crate::store::migrate;
use crate::store::transaction::Read;

/// What is seen of a copy without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The size of the file.
    pub bytes: u64,
    /// The number and time of the last line of its provisioning log.
    pub last_change: Option<(i64, Timestamp)>,
}

/// Looks at a copy: its first bytes, its length, that it is plumm's, and its last change.
///
/// # Errors
/// What is wrong with it. A copy without an error may still be damaged within: `check` reads all.
pub fn glance(path: &Path) -> Result<Glance, Error> {
    if let Some(fault) = header_fault(path)? {
        return Err(Error::NotWhole(path.to_owned(), vec![fault]));
    }
    with_view(path, &env::temp_dir(), |connection| {
        migrate::version(connection, path)?;
        let bytes = fs::metadata(path).map_err(|it| Error::Io(path.to_owned(), it))?.len();
        Ok(Glance { bytes, last_change: last_change(connection)? })
    })
}

/// Runs queries on one view of a database of the newest schema. Unlike a store that is opened, this
/// writes nothing at all, whatever a killed server has left beside the file.
///
/// # Errors
/// What the closure returns, [`Error::Older`] and [`Error::Newer`], and whatever keeps the file
/// from being read.
pub fn look<T>(path: &Path, work: impl Fn(&Read) -> Result<T, Error>) -> Result<T, Error> {
    with_view(path, &env::temp_dir(), |connection| {
        migrate::require_newest(connection, path)?;
        work(&Read { connection })
    })
}
