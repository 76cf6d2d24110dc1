//! A file that has no name and is gone when it is closed, for personal data that memory is too
//! small for.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process;

/// A new file on the disk of this folder, or of the system's folder for such files where this one
/// cannot be written.
///
/// # Errors
/// When neither can.
pub fn nameless_file(folder: &Path) -> io::Result<File> {
    make(folder).or_else(|_| make(&env::temp_dir()))
}

fn make(folder: &Path) -> io::Result<File> {
    let mut number = 0;
    loop {
        let path = folder.join(format!(".plumm-{}-{number}", process::id()));
        let mut options = OpenOptions::new();
        match options.read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
