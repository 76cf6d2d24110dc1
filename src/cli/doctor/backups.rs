//! The check of the backups: how old the last one is, whether it succeeded, whether it is whole.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::words::{DAY, seconds_between, size, span, when};
use crate::cli::text::quoted;
use crate::scim::datetime::Timestamp;
use crate::store::copies::glance::glance;
use crate::store::copies::last_backup::{self, LastBackups};
use crate::store::copies::rotated::backups_in;
use crate::store::error::Error;

/// How old the last backup may be when nothing makes them by itself, in seconds.
const AGE_MAX: i64 = 7 * DAY;
/// How late one may be that the server makes by itself, in seconds.
const LATE_MAX: i64 = 60 * 60;
const HOUR: i64 = 60 * 60;

/// The last backup.
pub fn backup(facts: &Facts) -> Finding {
    if matches!(facts.content, Err(Error::Missing(_))) {
        return Finding::unknown("there is no database: see check 1");
    }
    let known = last_backup::read(&facts.database);
    let newest = newest(facts, &known);
    let mut found = Vec::new();
    if let Some((since, last)) = &known.failed {
        found.push(Finding::to_do(
            format!(
                "the last backup failed {}, and each one since {since}: {}",
                when(last.time, facts.now),
                last.reason
            ),
            again(facts),
        ));
    }
    let Some((time, file)) = newest else {
        let none = match facts.settings.external_checkpoint {
            true => Finding::note(
                "no backup is known; the write-ahead log is replicated by another program",
                [],
            ),
            false => Finding::to_do("no backup of this database is known", first(facts)),
        };
        found.push(none);
        return Finding::all(found, Finding::well(""));
    };
    found.push(of_age(facts, time, &file));
    found.push(of_file(facts, &file));
    Finding::all(found, Finding::well(""))
}

/// The newest backup: the one that was noted, or one that has come into the folder of the server's.
fn newest(facts: &Facts, known: &LastBackups) -> Option<(Timestamp, PathBuf)> {
    let noted = known.made.as_ref().map(|it| (it.time, it.file.clone()));
    let dir = facts.settings.backup_dir.as_ref().map(Path::new);
    let scheduled = dir.and_then(|dir| {
        let (time, name) = backups_in(dir).ok()?.pop()?;
        Some((time, dir.join(name)))
    });
    // The name has whole seconds.
    let newer = |it: &(Timestamp, PathBuf)| noted.as_ref().is_none_or(|noted| it.0 > noted.0);
    scheduled.filter(newer).or(noted)
}

/// The file of the newest backup that is there.
pub fn newest_file(facts: &Facts) -> Option<PathBuf> {
    let known = last_backup::read(&facts.database);
    newest(facts, &known).map(|(_, file)| file).filter(|it| it.exists())
}

fn of_age(facts: &Facts, time: Timestamp, file: &Path) -> Finding {
    let (age, shown) = (seconds_between(time, facts.now), file.display());
    let every = i64::from(facts.settings.backup_every) * HOUR;
    let scheduled = facts.settings.backup_dir.is_some();
    let most = if scheduled { every + LATE_MAX } else { AGE_MAX };
    if age > most {
        let wanted = match scheduled {
            true => format!("one is to be made every {}", span(every)),
            false => "nothing makes them by itself".to_owned(),
        };
        let found = format!("the last backup was made {}: {wanted}", when(time, facts.now));
        return Finding::to_do(found, if scheduled { again(facts) } else { first(facts) });
    }
    Finding::well(format!("made {}: {shown}", when(time, facts.now)))
}

/// Whether the file is there, and is whole as far as that can be seen at a glance.
fn of_file(facts: &Facts, file: &Path) -> Finding {
    let shown = file.display();
    let found = match fs::metadata(file) {
        Ok(it) => it,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::note(format!("{shown} is not there any more: it was moved"), []);
        }
        Err(error) => return Finding::unknown(format!("{shown} cannot be looked at: {error}")),
    };
    let path = quoted(&file.to_string_lossy());
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Finding::to_do(
            format!("{shown} has mode {mode:03o}: others can read all accounts in it"),
            [facts.remedy.for_file(&format!("chmod 600 {path}"))],
        );
    }
    match glance(file) {
        Ok(it) => {
            let number = it.last_change.map_or(0, |(number, _)| number);
            let disk = fs::metadata(&facts.database).map(|it| it.dev());
            let same = disk.is_ok_and(|it| it == found.dev());
            let text = format!("{}, up to change {number}", size(it.bytes));
            match same {
                false => Finding::well(text),
                true => Finding::note(
                    format!("{text}; it is on the disk of the database: copy it to another host"),
                    [],
                ),
            }
        }
        Err(error) => Finding::to_do(
            format!("the last backup is of no use: {error}"),
            [facts.remedy.plumm(&format!("check {path}"))].into_iter().chain(again(facts)),
        ),
    }
}

/// Another backup, now.
fn again(facts: &Facts) -> Vec<String> {
    let folder = facts.settings.backup_dir.as_deref().map(Path::new);
    let folder = folder.unwrap_or(facts.folder());
    let file = folder.join(format!("plumm-{}.db", facts.now.stamp()));
    vec![facts.remedy.plumm(&format!("backup {}", quoted(&file.to_string_lossy())))]
}

/// Backups that the server makes by itself.
fn first(facts: &Facts) -> Vec<String> {
    if facts.settings.backup_dir.is_some() {
        return again(facts);
    }
    let folder = facts.folder().join("backups");
    let folder = folder.to_string_lossy();
    let mut commands = vec![facts.remedy.make_folder(&folder)];
    commands.extend(facts.remedy.set("--backup-dir", "PLUMM_BACKUP_DIR", &folder));
    commands
}
