//! The backups that a running server makes by itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::error::CliError;
use crate::cli::serve::periodic::Periodic;
use crate::clock::Clock;
use crate::scim::datetime::Timestamp;
use crate::store::copies::backup::backup;
use crate::store::copies::last_backup;
use crate::store::copies::rotated::{backups_in, leftovers_in, name_at};
use crate::store::error::Error;

/// How soon a backup that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(10 * 60);
/// The longest time between two backups, in hours: a year.
const EVERY_HOURS_MAX: u32 = 8760;
/// The most backups that are kept.
const KEEP_MAX: u32 = 10_000;

/// When to make backups, and how many to keep.
#[derive(Clone, Debug, clap::Args)]
pub struct Schedule {
    /// A folder for backups that the server makes by itself
    #[arg(
        long = "backup-dir",
        value_name = "DIR",
        env = "PLUMM_BACKUP_DIR",
        hide_env_values = true
    )]
    dir: Option<PathBuf>,
    /// How many hours lie between two of these backups
    #[arg(
        long = "backup-every",
        value_name = "HOURS",
        env = "PLUMM_BACKUP_EVERY",
        hide_env_values = true,
        requires = "dir",
        default_value = "24",
        allow_negative_numbers = true,
        value_parser = |it: &str| number(it, EVERY_HOURS_MAX)
    )]
    every: u32,
    /// How many of these backups are kept
    #[arg(
        long = "backup-keep",
        value_name = "N",
        env = "PLUMM_BACKUP_KEEP",
        hide_env_values = true,
        requires = "dir",
        default_value = "7",
        allow_negative_numbers = true,
        value_parser = |it: &str| number(it, KEEP_MAX)
    )]
    keep: u32,
}

impl Schedule {
    /// Checks that the folder is there; without one, there are no backups.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn checked_dir(&self) -> Result<Option<&Path>, CliError> {
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        let fault = match fs::metadata(dir) {
            Ok(it) if it.is_dir() => return Ok(Some(dir)),
            Ok(_) => "it is not a folder".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "there is no such folder: make it first".to_owned()
            }
            Err(error) => error.to_string(),
        };
        Err(CliError::Failed(format!("--backup-dir {}: {fault}", dir.display())))
    }

    /// The folder of the backups.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// How many hours lie between two of them.
    #[must_use]
    pub fn every(&self) -> u32 {
        self.every
    }

    /// How many are kept.
    #[must_use]
    pub fn keep(&self) -> u32 {
        self.keep
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.every) * 60 * 60)
    }

    /// How long to wait before the next backup, from the newest one that is there.
    fn wait(&self, dir: &Path, now: Timestamp) -> Duration {
        let backups = backups_in(dir).unwrap_or_default();
        // Of a backup from the future nobody knows how old it is: the clock was or is wrong.
        let newest = backups.iter().map(|(time, _)| *time).rfind(|it| *it <= now);
        let age = newest.map_or(i64::MAX, |it| now.nanoseconds().saturating_sub(it.nanoseconds()));
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        self.interval().saturating_sub(age)
    }

    /// Makes a backup, and removes the surplus ones once it is complete.
    fn back_up(&self, database: &Path, dir: &Path, now: Timestamp) -> Result<(), Error> {
        let io = |error| Error::Io(dir.to_owned(), error);
        for name in leftovers_in(dir).map_err(io)? {
            fs::remove_file(dir.join(name)).map_err(io)?;
        }
        let target = dir.join(name_at(now));
        let report = backup(database, &target)?;
        last_backup::note_made(database, now, &target, &report);
        let number = report.last_change.map_or(0, |(number, _)| number);
        log::info!("backup {} made, up to change {number}", target.display());
        let mut backups = backups_in(dir).map_err(io)?;
        // Those that are named after a later time were there before this one all the same, so they
        // count as older than it, and go first: they neither stay for ever nor push others out.
        let future = backups.iter().filter(|(time, _)| *time > now).count();
        if future > 0 {
            log::warn!(
                "{future} backups in {} are named after a time that is yet to come: the clock was \
                 or is wrong. They are the first ones to be removed",
                dir.display()
            );
        }
        backups.sort_by_key(|(time, name)| (*time <= now, *time, name.clone()));
        let surplus =
            backups.len().saturating_sub(usize::try_from(self.keep).unwrap_or(usize::MAX));
        // Never the one just made, which is the oldest when the clock has been set back.
        for (_, name) in backups.iter().take(surplus).filter(|(_, it)| dir.join(it) != target) {
            fs::remove_file(dir.join(name)).map_err(io)?;
        }
        Ok(())
    }
}

/// Starts the thread that makes backups. The first one is made at once when the newest one that is
/// there is older than the interval.
///
/// # Errors
/// When no thread can be started.
pub fn start(schedule: &Schedule, database: &Path, dir: &Path) -> io::Result<Periodic> {
    let (schedule, database, dir) = (schedule.clone(), database.to_owned(), dir.to_owned());
    let first = {
        let (schedule, dir) = (schedule.clone(), dir.clone());
        move || schedule.wait(&dir, Clock::System.now())
    };
    let work = move || match schedule.back_up(&database, &dir, Clock::System.now()) {
        Ok(()) => schedule.interval(),
        Err(error) => {
            last_backup::note_failed(&database, Clock::System.now(), &error);
            let retry = RETRY_PAUSE.min(schedule.interval());
            let minutes = retry.as_secs() / 60;
            log::error!("the backup failed, and is tried again in {minutes} minutes: {error}");
            retry
        }
    };
    Periodic::start("backup", first, work)
}

fn number(text: &str, max: u32) -> Result<u32, String> {
    let number = text.trim().parse().ok().filter(|it| (1..=max).contains(it));
    number.ok_or_else(|| format!("it must be a whole number from 1 to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_backup_is_due_an_interval_after_the_newest() {
        let dir = std::env::temp_dir().join(format!("plumm-schedule-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let schedule = Schedule { dir: Some(dir.clone()), every: 2, keep: 7 };
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let minutes = |now: &str| schedule.wait(&dir, at(now)).as_secs() / 60;
        assert_eq!(minutes("2026-01-31T08:00:00Z"), 0, "there is none");
        for name in ["plumm-20260131T080000Z.db", "plumm-20250131T080000Z.db", "plumm-x.db"] {
            fs::write(dir.join(name), "").unwrap();
        }
        assert_eq!(minutes("2026-01-31T08:30:00Z"), 90);
        assert_eq!(minutes("2026-01-31T10:00:00Z"), 0);
        assert_eq!(minutes("2027-01-31T10:00:00Z"), 0);
        assert_eq!(minutes("2026-01-31T07:00:00Z"), 0, "one from the future says nothing");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn nothing_is_removed_before_there_is_a_new_backup() {
        let dir = std::env::temp_dir().join(format!("plumm-failing-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let schedule = Schedule { dir: Some(dir.clone()), every: 2, keep: 1 };
        for name in ["plumm-20260131T080000Z.db", "plumm-20250131T080000Z.db"] {
            fs::write(dir.join(name), "").unwrap();
        }
        let now = Timestamp::parse("2026-02-01T08:00:00Z").unwrap();
        assert!(schedule.back_up(&dir.join("missing.db"), &dir, now).is_err());
        assert_eq!(backups_in(&dir).unwrap().len(), 2);
        fs::remove_dir_all(&dir).unwrap();
    }
}
