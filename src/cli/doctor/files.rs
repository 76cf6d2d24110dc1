//! Checks of the database file: is it there, is it plumm's, who can read it, is there room.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::doctor::backups;
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::words::size;
use crate::cli::operator;
use crate::cli::text::quoted;
use crate::store::copies::last_backup::STATUS_SUFFIX;
use crate::store::disk;
use crate::store::error::Error;
use crate::store::paths::beside;
use crate::store::serve_lock::Serving;

/// Beside a copy of the database, this much must be free.
const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// From this size on the write-ahead log is too large: it is cut to 64 MiB whenever it is reused.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The names of the files beside a database, and its own.
const SUFFIXES: [&str; 5] = ["", "-wal", "-shm", "-lock", STATUS_SUFFIX];
/// What group and others may not do with the files.
const OF_OTHERS: u32 = 0o077;
/// What they may not do with the folder.
const WRITE_OF_OTHERS: u32 = 0o022;
/// The bit of a folder in which everybody removes their own files only.
const STICKY: u32 = 0o1000;

/// Whether the database is there and is one of plumm's.
pub fn file(facts: &Facts) -> Finding {
    let remedy = &facts.remedy;
    let error = match &facts.content {
        Ok(_) => {
            let bytes = size(disk::sizes(&facts.database).file);
            return Finding::well(format!("{}, {bytes}", facts.database.display()));
        }
        // Of that the next check tells.
        Err(Error::Newer { .. } | Error::Older { .. }) => {
            return Finding::well(format!("{} is a database of plumm", facts.database.display()));
        }
        Err(error) => error,
    };
    if let Error::Io(path, error) = error
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        let me = facts.me.map_or("this user".to_owned(), operator::user_name);
        let found = format!("{me} may not read {}", path.display());
        return Finding::to_do(found, [remedy.plumm("doctor")]);
    }
    let commands = match error {
        Error::Missing(_) => match backups::newest_file(facts) {
            Some(it) => vec![remedy.plumm(&format!("restore {}", quoted(&it.to_string_lossy())))],
            None => vec![remedy.plumm("org create NAME --activate")],
        },
        Error::ServedElsewhere(_) => remedy.restart(),
        Error::Busy => vec![remedy.plumm("doctor")],
        Error::NotWhole(..) => {
            vec![remedy.plumm("check"), remedy.plumm(&format!("restore {} --force", latest(facts)))]
        }
        _ => vec![remedy.plumm("check")],
    };
    Finding::to_do(error.to_string(), commands)
}

/// Whether this program knows the form of the database.
pub fn schema(facts: &Facts) -> Finding {
    match &facts.content {
        Ok(content) => Finding::well(format!("schema {}, the newest", content.schema)),
        Err(error @ Error::Newer { .. }) => {
            let back = facts.remedy.plumm(&format!("restore {} --force", latest(facts)));
            Finding::to_do(error.to_string(), ["plumm --version".to_owned(), back])
        }
        Err(error @ Error::Older { .. }) => {
            Finding::to_do(error.to_string(), facts.remedy.restart())
        }
        Err(_) => not_read(),
    }
}

/// The newest backup that is there, as a word of a shell.
fn latest(facts: &Facts) -> String {
    let latest = backups::newest_file(facts);
    latest.map_or("BACKUP".to_owned(), |it| quoted(&it.to_string_lossy()))
}

/// What is said of whatever stands in a database that cannot be read.
pub fn not_read() -> Finding {
    Finding::unknown("the database was not read: see checks 1 and 2")
}

/// Who else on the host can read or change the files, and whom they belong to.
pub fn permissions(facts: &Facts) -> Finding {
    let folder = facts.folder();
    let Ok(of_database) = fs::metadata(&facts.database) else {
        return Finding::unknown("there is no file to look at: see check 1");
    };
    let files = SUFFIXES.map(|it| beside(&facts.database, it));
    let mut found: Vec<Finding> = Vec::new();
    for file in files {
        let Ok(of_file) = fs::metadata(&file) else { continue };
        found.extend(of_mode(facts, &file, &of_file));
        found.extend(of_owner(facts, &file, &of_file, &of_database));
    }
    match fs::metadata(folder) {
        Ok(it) => found.extend(of_folder(facts, folder, &it, &of_database)),
        Err(error) => found.push(Finding::unknown(format!("{}: {error}", folder.display()))),
    }
    let user = operator::user_name(of_database.uid());
    Finding::all(found, Finding::well(format!("{user} alone can read and write the files")))
}

fn of_mode(facts: &Facts, file: &Path, found: &Metadata) -> Option<Finding> {
    let mode = found.mode() & 0o777;
    if mode & OF_OTHERS == 0 {
        return None;
    }
    let deed = if mode & WRITE_OF_OTHERS == 0 { "read" } else { "change" };
    let sentence = format!("{} has mode {mode:03o}: others can {deed} it", file.display());
    let command = format!("chmod 600 {}", quoted(&file.to_string_lossy()));
    Some(Finding::to_do(sentence, [facts.remedy.for_file(&command)]))
}

fn of_owner(
    facts: &Facts,
    file: &Path,
    found: &Metadata,
    of_database: &Metadata,
) -> Option<Finding> {
    if found.uid() == of_database.uid() {
        return None;
    }
    let [user, other] = [of_database, found].map(|it| operator::user_name(it.uid()));
    let sentence = format!("{} belongs to {other}, and the database to {user}", file.display());
    let command = format!(
        "chown {} {}",
        quoted(&format!("{user}:{}", of_database.gid())),
        quoted(&file.to_string_lossy())
    );
    Some(Finding::to_do(sentence, [facts.remedy.as_root(&command)]))
}

fn of_folder(
    facts: &Facts,
    folder: &Path,
    found: &Metadata,
    of_database: &Metadata,
) -> Option<Finding> {
    let (mode, path) = (found.mode() & 0o7777, quoted(&folder.to_string_lossy()));
    if mode & WRITE_OF_OTHERS != 0 && mode & STICKY == 0 {
        let sentence = format!(
            "the folder {} has mode {mode:03o}: others can replace the database",
            folder.display()
        );
        let command = facts.remedy.for_file(&format!("chmod go-w {path}"));
        return Some(Finding::to_do(sentence, [command]));
    }
    let writes = of_database.uid() == 0 || found.uid() == of_database.uid();
    if writes || mode & WRITE_OF_OTHERS != 0 {
        return None;
    }
    let user = operator::user_name(of_database.uid());
    let sentence = format!(
        "the folder {} belongs to {}: {user} can make no file beside the database",
        folder.display(),
        operator::user_name(found.uid())
    );
    let command = facts.remedy.as_root(&format!("chown {} {path}", quoted(&user)));
    Some(Finding::to_do(sentence, [command]))
}

/// Whether there is room for a copy of the database, where it is and where its backups go.
pub fn space(facts: &Facts) -> Finding {
    let sizes = disk::sizes(&facts.database);
    let needed = sizes.file.saturating_add(sizes.log).saturating_add(FREE_BYTES_MIN);
    let mut folders = vec![facts.folder().to_owned()];
    let disk = |it: &Path| fs::metadata(it).map(|it| it.dev()).ok();
    let backups = facts.settings.backup_dir.as_ref().map(PathBuf::from);
    folders.extend(backups.filter(|it| disk(it) != disk(facts.folder())));
    let each = folders.into_iter().map(|folder| match disk::free_bytes(&folder) {
        Ok(free) => of_space(&folder, free, needed),
        Err(error) => Finding::unknown(format!("{}: {error}", folder.display())),
    });
    Finding::all(each, Finding::well("there is room"))
}

fn of_space(folder: &Path, free: u64, needed: u64) -> Finding {
    let shown = folder.display();
    if free >= needed {
        return Finding::well(format!("{} free in {shown}", size(free)));
    }
    let found = format!(
        "{} free in {shown}: an upgrade, a backup or a restore needs {}",
        size(free),
        size(needed)
    );
    let path = quoted(&folder.to_string_lossy());
    Finding::to_do(found, [format!("df -h {path}"), format!("du -xh {path} | sort -h | tail")])
}

/// Whether the write-ahead log is folded into the file from time to time.
pub fn wal(facts: &Facts) -> Finding {
    let log = disk::sizes(&facts.database).log;
    let running = !matches!(facts.serving, Ok(Serving::Nobody));
    if log < LOG_BYTES_MAX {
        return match running || log == 0 {
            true => Finding::well(format!("the write-ahead log has {}", size(log))),
            false => Finding::note(
                format!(
                    "the write-ahead log has {} that a server which was killed has left: copy it \
                     along with the database, until a server has run again",
                    size(log)
                ),
                [],
            ),
        };
    }
    let found = format!("the write-ahead log has grown to {}", size(log));
    match facts.settings.external_checkpoint {
        true => Finding::to_do(
            format!(
                "{found}: the program that replicates it folds it in, so see that it runs, or \
                 start the server without --external-checkpoint"
            ),
            [facts.remedy.as_root("systemctl status litestream")],
        ),
        false => Finding::to_do(
            format!("{found}: something reads the file for hours, or no server folds it in"),
            [format!("fuser -v {}", quoted(&facts.database.to_string_lossy()))]
                .into_iter()
                .chain(facts.remedy.restart()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::State;

    #[test]
    fn a_disk_without_room_for_a_copy_is_to_be_cleared() {
        let folder = Path::new("/var/lib/my plumm");
        let well = of_space(folder, 200 << 20, 100 << 20);
        assert_eq!(
            (well.state, well.found[0].1.as_str()),
            (State::Well, "200 MiB free in /var/lib/my plumm")
        );
        let full = of_space(folder, 50 << 20, 100 << 20);
        assert_eq!(full.state, State::ToDo);
        assert!(full.found[0].1.starts_with("50 MiB free in"), "{full:?}");
        assert!(full.found[0].1.ends_with("needs 100 MiB"), "{full:?}");
        assert_eq!(full.commands[0], "df -h '/var/lib/my plumm'");
    }
}
