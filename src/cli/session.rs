//! What all commands share: the database, the clock, and how an answer is printed.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::error::CliError;
use crate::cli::operator;
use crate::cli::text::{printable_json, printable_lines, quoted};
use crate::clock::Clock;
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::open::Open;
use crate::store::tables::provisioning_log::Actor;

/// The database file where nothing names one.
pub const DB_DEFAULT: &str = "./plumm.db";

/// What every command gets beside its own arguments.
#[derive(Debug)]
pub struct Session {
    db: PathBuf,
    /// The file that is used where no flag names one.
    db_default: PathBuf,
    json: bool,
    actor: Actor,
}

impl Session {
    /// A session on this database file; `db_default`: the one that is used where no flag names one;
    /// `json`: whether the answer is one JSON value.
    #[must_use]
    pub fn new(db: PathBuf, db_default: PathBuf, json: bool) -> Session {
        Session { db, db_default, json, actor: operator::actor() }
    }

    /// Whether the answer is one JSON value.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Who runs the command, for the record of changes.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The database file.
    #[must_use]
    pub fn db(&self) -> &Path {
        &self.db
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Clock::System.now()
    }

    /// Opens a database that is there.
    ///
    /// # Errors
    /// Whatever keeps the file from being used.
    pub fn open(&self) -> Result<Store, CliError> {
        Ok(Store::open(&self.db, Open::Existing)?)
    }

    /// Opens a database that is there for reading alone: no writer is waited for.
    ///
    /// # Errors
    /// Whatever keeps the file from being used.
    pub fn open_to_read(&self) -> Result<Store, CliError> {
        match Store::open(&self.db, Open::ReadOnly) {
            // An older plumm has written the file: it is brought to the newest schema first.
            Err(Error::Older { .. }) => self.open(),
            opened => Ok(opened?),
        }
    }

    /// What to do when the system lets nobody but another user read the database.
    #[must_use]
    pub fn who_can_read(&self) -> Option<String> {
        let opened = File::open(&self.db).err()?;
        let denied = opened.kind() == ErrorKind::PermissionDenied;
        denied.then(|| operator::who_can_read(&self.db))
    }

    /// Folds the log of the database into the file after an erasure, and says when it could not.
    pub fn fold_in_erasure(&self, store: &Store) {
        if !store.checkpoint().unwrap_or(false) {
            log::warn!(
                "the erased data may remain in {}-wal until the log is folded into the file: by \
                 plumm when the file has been idle for a moment, or by the program that replicates \
                 it",
                store.path().display()
            );
        }
    }

    /// A command to type next, on the same database.
    #[must_use]
    pub fn command(&self, rest: &str) -> String {
        if self.db == self.db_default {
            return format!("plumm {rest}");
        }
        format!("plumm --db {} {rest}", quoted(&self.db.to_string_lossy()))
    }

    /// Prints the answer of a command: the one JSON value with `--json`, and its text otherwise.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, answer: &Answer) -> Result<(), CliError> {
        // On one line, so that a program can read it from a server that goes on running.
        let text = match self.json {
            true => printable_json(&answer.json.to_string()),
            false => printable_lines(&answer.text),
        };
        let mut out = io::stdout().lock();
        let printed = writeln!(out, "{}", text.trim_end());
        printed.and_then(|()| out.flush()).map_err(CliError::Output)
    }
}

/// What a command answers, for a program and for a person.
#[derive(Debug)]
pub struct Answer {
    /// The value that `--json` prints.
    pub json: Value,
    /// The text that is printed otherwise.
    pub text: String,
}
