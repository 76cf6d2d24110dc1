//! What became of the last backups, in a file beside the database: a database that is copied does
//! not say of itself when that was.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::scim::datetime::Timestamp;
use crate::store::copies::check::Report;
use crate::store::error::Error;
use crate::store::paths::{beside, resolved};

/// The suffix that the file's name adds to the database's.
pub const STATUS_SUFFIX: &str = "-status";
/// The suffix of the file while it is written.
const UNFINISHED_SUFFIX: &str = "-status.new";
/// More than such a file ever has, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// When.
    pub time: Timestamp,
    /// Where it was put; it may have been moved since.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// The number of the last change that it holds, or 0.
    pub change: i64,
}

/// A backup that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: String,
}

/// What is known of the backups of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastBackups {
    /// The last one that was made.
    pub made: Option<Made>,
    /// The first attempt that has failed since, and the last one.
    pub failed: Option<(Timestamp, Failed)>,
}

impl LastBackups {
    /// The same as JSON, as the file has it and `plumm --json status` prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let made = self.made.as_ref().map(|it| {
            json!({
                "time": it.time.to_string(),
                "file": it.file.to_string_lossy(),
                "bytes": it.bytes,
                "change": it.change,
            })
        });
        let failed = self.failed.as_ref().map(|(since, it)| {
            json!({
                "since": since.to_string(),
                "time": it.time.to_string(),
                "reason": it.reason,
            })
        });
        json!({ "made": made, "failed": failed })
    }
}

/// What is known of the backups of this database. A file that is not there, or says nothing that
/// can be read, knows of none.
#[must_use]
pub fn read(database: &Path) -> LastBackups {
    let file = beside(&resolved(database), STATUS_SUFFIX);
    let small = fs::metadata(&file).is_ok_and(|it| it.len() <= FILE_BYTES_MAX);
    let text = if small { fs::read_to_string(&file).unwrap_or_default() } else { String::new() };
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let time = |it: &Value| it.as_str().and_then(Timestamp::parse);
    let (made, failed) = (&value["backup"]["made"], &value["backup"]["failed"]);
    let made = time(&made["time"]).map(|at| Made {
        time: at,
        file: PathBuf::from(made["file"].as_str().unwrap_or_default()),
        bytes: made["bytes"].as_u64().unwrap_or(0),
        change: made["change"].as_i64().unwrap_or(0),
    });
    let failed = time(&failed["time"]).map(|at| {
        let reason = failed["reason"].as_str().unwrap_or_default().to_owned();
        (time(&failed["since"]).unwrap_or(at), Failed { time: at, reason })
    });
    LastBackups { made, failed }
}

/// Notes that a backup was made at this time. Where nothing can be written beside the database, it
/// stays unknown: the backup is there all the same.
pub fn note_made(database: &Path, now: Timestamp, target: &Path, report: &Report) {
    let made = Made {
        time: now,
        file: std::path::absolute(target).unwrap_or_else(|_| target.to_owned()),
        bytes: fs::metadata(target).map_or(0, |it| it.len()),
        change: report.last_change.map_or(0, |(number, _)| number),
    };
    write(database, &LastBackups { made: Some(made), failed: None });
}

/// Notes that a backup failed at this time.
pub fn note_failed(database: &Path, now: Timestamp, error: &Error) {
    let known = read(database);
    let since = known.failed.map_or(now, |(since, _)| since);
    let reason = error.to_string().chars().take(REASON_CHARS_MAX).collect();
    let failed = Some((since, Failed { time: now, reason }));
    write(database, &LastBackups { made: known.made, failed });
}

fn write(database: &Path, backups: &LastBackups) {
    let database = resolved(database);
    let text = json!({ "backup": backups.to_json() }).to_string();
    if let Err(error) = replace(&database, &text) {
        log::debug!("what became of the backup cannot be noted beside the database: {error}");
    }
}

/// Puts the text in place of the file, so that a reader sees the one before or the new one.
fn replace(database: &Path, text: &str) -> io::Result<()> {
    let (file, unfinished) = (beside(database, STATUS_SUFFIX), beside(database, UNFINISHED_SUFFIX));
    // What a killed program has left, or somebody has put there.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut written = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let renamed = written.write_all(text.as_bytes()).and_then(|()| {
        // A command of root's leaves a file that the server can read, too.
        if let Ok(owner) = fs::metadata(database) {
            let _ = chown(&unfinished, Some(owner.uid()), Some(owner.gid()));
        }
        fs::rename(&unfinished, &file)
    });
    if renamed.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_and_what_cannot_be_read_is_unknown() {
        let folder = std::env::temp_dir().join(format!("plumm-last-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let database = folder.join("plumm.db");
        let at = |seconds: i64| Timestamp::from_nanoseconds(1_000_000_000 * seconds);
        assert_eq!(read(&database), LastBackups::default());
        note_failed(&database, at(10), &Error::Full);
        note_failed(&database, at(20), &Error::Busy);
        let (since, last) = read(&database).failed.unwrap();
        assert_eq!((since, last.time, read(&database).made), (at(10), at(20), None));
        assert!(last.reason.contains("busy"), "{last:?}");
        let report = Report { last_change: Some((7, at(5))), ..Report::default() };
        note_made(&database, at(30), &folder.join("copy.db"), &report);
        let known = read(&database);
        let made = known.made.clone().unwrap();
        assert_eq!((made.time, made.change, known.failed.is_none()), (at(30), 7, true));
        note_failed(&database, at(40), &Error::Full);
        assert_eq!((read(&database).made, read(&database).failed.unwrap().0), (known.made, at(40)));
        for text in ["", "x", "[]", "{\"backup\":7}", "{\"backup\":{\"made\":{\"time\":\"x\"}}}"] {
            fs::write(beside(&database, STATUS_SUFFIX), text).unwrap();
            assert_eq!(read(&database), LastBackups::default(), "{text}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
