//! Paths of the database file, of its folder and of the files beside it.

use std::fs;
use std::path::{Path, PathBuf};

/// The file beside a database whose name is the database's with this suffix.
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The path without symbolic links, as SQLite takes it: the files beside a database stand beside
/// the file itself, whatever name it was opened by. The file need not exist yet.
pub fn resolved(database: &Path) -> PathBuf {
    let of_folder = || {
        let name = database.file_name()?;
        Some(fs::canonicalize(folder_of(database)).ok()?.join(name))
    };
    let found = fs::canonicalize(database).ok().or_else(of_folder);
    found.unwrap_or_else(|| database.to_owned())
}

/// The folder that a file is in.
pub fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(it) if it != Path::new("") => it,
        _ => Path::new("."),
    }
}
