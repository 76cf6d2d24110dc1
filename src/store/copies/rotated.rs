//! The names of the backups that a running server makes by itself, and which of them are there.

use std::fs;
use std::io;
use std::path::Path;

use crate::scim::datetime::Timestamp;
use crate::store::copies::backup::{LEFTOVER_SUFFIXES, PARTIAL_SUFFIX};

/// The name of a backup is the prefix, the time at which it is made, and the suffix.
const NAME_PREFIX: &str = "plumm-";
const NAME_SUFFIX: &str = ".db";

/// What a backup of this time is called.
#[must_use]
pub fn name_at(time: Timestamp) -> String {
    format!("{NAME_PREFIX}{}{NAME_SUFFIX}", time.stamp())
}

/// The backups in a folder, the oldest first: when each was made, and its name.
///
/// # Errors
/// When the folder cannot be read.
pub fn backups_in(dir: &Path) -> io::Result<Vec<(Timestamp, String)>> {
    let names = names(dir)?.into_iter();
    let mut backups: Vec<_> = names.filter_map(|it| Some((time_in(&it)?, it))).collect();
    backups.sort();
    Ok(backups)
}

/// The names of the files that backups which were interrupted have left in a folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn leftovers_in(dir: &Path) -> io::Result<Vec<String>> {
    Ok(names(dir)?.into_iter().filter(|it| is_leftover(it)).collect())
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(dir)?.map(|it| Ok(it?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// The time in the name of a backup. A file with any other name belongs to somebody else.
fn time_in(name: &str) -> Option<Timestamp> {
    Timestamp::parse_stamp(name.strip_prefix(NAME_PREFIX)?.strip_suffix(NAME_SUFFIX)?)
}

/// Whether a backup that was interrupted has left this file.
fn is_leftover(name: &str) -> bool {
    let suffix = LEFTOVER_SUFFIXES.iter().find_map(|it| name.strip_suffix(it));
    let partial = suffix.unwrap_or(name).strip_suffix(PARTIAL_SUFFIX);
    partial.is_some_and(|it| time_in(it).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_backups_are_taken_for_backups() {
        assert!(time_in("plumm-20260131T080000Z.db").is_some());
        for other in ["plumm.db", "plumm-20260131.db", "plumm-20261331T080000Z.db", "x"] {
            assert!(time_in(other).is_none(), "{other}");
        }
        assert!(is_leftover("plumm-20260131T080000Z.db.partial"));
        assert!(is_leftover("plumm-20260131T080000Z.db.partial-journal"));
        for other in ["plumm-20260131T080000Z.db", "plumm-mine.db.partial", "x.partial-wal"] {
            assert!(!is_leftover(other), "{other}");
        }
    }
}
