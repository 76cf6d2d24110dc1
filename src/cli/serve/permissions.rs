//! Who else on the host can read the database: the file holds names, addresses and hashes of
//! tokens, and a server says so at its start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::cli::text::printable;

/// The permissions of group and others.
const OF_OTHERS: u32 = 0o077;

/// Warns of each file of the database that others can read or write, with the command that ends it.
pub fn warn(database: &Path) {
    for (file, mode) in open_to_others(database) {
        let file = printable(&file.display().to_string());
        let deed = if mode & 0o022 == 0 { "read" } else { "change" };
        log::warn!(
            "{file} has mode {mode:03o}: others on this host can {deed} it, and it holds the \
             accounts and the hashes of API tokens. Take that from them: chmod 600 '{file}'"
        );
    }
}

/// The files that others can do anything with, and their modes.
fn open_to_others(database: &Path) -> Vec<(PathBuf, u32)> {
    let beside = |suffix: &str| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let files = ["", "-wal", "-shm"].map(beside).into_iter();
    let mode = |file: &PathBuf| Some(fs::metadata(file).ok()?.permissions().mode() & 0o777);
    let modes = files.filter_map(|it| mode(&it).map(|mode| (it, mode)));
    modes.filter(|(_, mode)| mode & OF_OTHERS != 0).collect()
}
