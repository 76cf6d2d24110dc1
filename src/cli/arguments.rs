//! What arguments of several commands must be, and the text of the file that one names.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use clap::Args;

use crate::by_hand::{REASON_CHARS_MAX, checked_text};
use crate::cli::error::CliError;
use crate::cli::text::printable;
use crate::store::query::search::TEXT_CHARS_MAX as SEARCH_CHARS_MAX;

/// What stands for standard input where a file is read.
const STDIN: &str = "-";

/// The longest list that a command can be asked for.
const LIMIT_MAX: usize = 10_000_000;

/// Why a person decides something.
#[derive(Debug, Args)]
pub struct Why {
    /// Why, for the record of changes
    #[arg(long = "reason", value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
}

impl Why {
    /// The reason, if one was given.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

fn reason(text: &str) -> Result<String, String> {
    match checked_text(text, REASON_CHARS_MAX)? {
        it if it.is_empty() => Err("it says nothing".to_owned()),
        it => Ok(it),
    }
}

/// Reads how many rows a list may have.
///
/// # Errors
/// What it must be.
pub fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|it| (1..=LIMIT_MAX).contains(it));
    limit.ok_or_else(|| format!("it must be a number from 1 to {LIMIT_MAX}"))
}

/// Reads what is searched for.
///
/// # Errors
/// What is wrong with it.
pub fn search(text: &str) -> Result<String, String> {
    match checked_text(text, SEARCH_CHARS_MAX)? {
        it if it.is_empty() => Err("it says nothing to search for".to_owned()),
        it => Ok(it),
    }
}

/// Reads a number of days.
///
/// # Errors
/// What it must be.
pub fn days(text: &str, max: u32) -> Result<u32, String> {
    let days = text.parse().ok().filter(|it| (1..=max).contains(it));
    days.ok_or_else(|| format!("it must be a number of days from 1 to {max}"))
}

/// What messages call a file that is read.
#[must_use]
pub fn file_named(file: &Path) -> String {
    if file.as_os_str() == STDIN {
        return "standard input".to_owned();
    }
    printable(&file.display().to_string())
}

/// The text of a file, or of standard input. No more of it is read than `bytes_max` and one byte: a
/// longer text is refused by its length, wherever it was cut.
///
/// # Errors
/// Why it cannot be read.
pub fn text_of(file: &Path, bytes_max: usize) -> Result<String, CliError> {
    let read = || -> io::Result<String> {
        let mut bytes = Vec::new();
        let most = bytes_max as u64 + 1;
        match file.as_os_str() == STDIN {
            true => io::stdin().lock().take(most).read_to_end(&mut bytes)?,
            false => File::open(file)?.take(most).read_to_end(&mut bytes)?,
        };
        if bytes.len() > bytes_max {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
        String::from_utf8(bytes).map_err(no_text)
    };
    read().map_err(|it| {
        let what = if file.as_os_str() == STDIN { "" } else { "the file " };
        CliError::Failed(format!("{what}{} cannot be read: {it}", file_named(file)))
    })
}

/// Reads where to listen.
///
/// # Errors
/// What it must be.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "it must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        assert!(listen("127.0.0.1:0").is_ok());
        assert!(listen("[::1]:8080").is_ok());
        for bad in ["", "8080", ":8080", "127.0.0.1", "localhost:8080", "127.0.0.1:99999"] {
            assert!(listen(bad).is_err(), "{bad:?}");
        }
    }
}
