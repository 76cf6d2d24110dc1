//! Why no certificate came, in words: the step, what was seen, and what to do.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest piece of what a directory says that is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 400;

/// What kind of failure it is, which decides when the next attempt is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The directory cannot be reached or is not well: it may be so in a minute.
    #[default]
    Directory,
    /// The directory does not know the account any more.
    NoAccount,
    /// The directory did not find what it looked for under the domain's name.
    Challenge,
    /// The directory does not want this, or this host cannot do it: somebody must change something.
    Refused,
    /// The server is being stopped.
    Stopped,
}

/// Why no certificate came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub cause: Cause,
    /// The step, what was seen, and what to do.
    pub words: String,
    /// How long the directory asks to be left alone.
    pub wait: Option<Duration>,
}

impl Failure {
    fn new(cause: Cause, words: impl Into<String>) -> Failure {
        Failure { cause, words: words.into(), wait: None }
    }

    /// The directory cannot be reached or is not well.
    pub fn directory(words: impl Into<String>) -> Failure {
        Failure::new(Cause::Directory, words)
    }

    /// The directory did not find the answer to its challenge.
    pub fn challenge(words: impl Into<String>) -> Failure {
        Failure::new(Cause::Challenge, words)
    }

    /// Somebody must change something.
    pub fn refused(words: impl Into<String>) -> Failure {
        Failure::new(Cause::Refused, words)
    }

    /// The server is being stopped.
    #[must_use]
    pub fn stopped() -> Failure {
        Failure::new(Cause::Stopped, "the server is being stopped")
    }

    /// The same, of this step.
    #[must_use]
    pub fn at(self, step: &str) -> Failure {
        Failure { words: format!("{step}: {}", self.words), ..self }
    }

    /// The same, and the directory asks to be left alone for so long.
    #[must_use]
    pub fn after(self, wait: Option<Duration>) -> Failure {
        Failure { wait, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Failure {}

/// Text from outside as one line that a terminal shows and does not obey, and not too much of it.
#[must_use]
pub fn shown(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
    let words = cut.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut safe = String::with_capacity(words.len());
    for it in words.chars() {
        match it.is_control() {
            true => safe.extend(it.escape_default()),
            false => safe.push(it),
        }
    }
    if cut.len() < text.len() {
        safe.push('…');
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_says_is_one_short_harmless_line() {
        assert_eq!(shown(" a\r\n b\t"), "a b");
        assert_eq!(shown("\x1b[31m"), "\\u{1b}[31m");
        let long = shown(&"ü".repeat(1000));
        assert!(long.len() <= SHOWN_BYTES_MAX + 3 && long.ends_with('…'), "{long}");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn a_failure_names_its_step() {
        let failure = Failure::refused("no").at("the order").after(Some(Duration::from_secs(1)));
        assert_eq!(failure.to_string(), "the order: no");
        assert_eq!((failure.cause, failure.wait), (Cause::Refused, Some(Duration::from_secs(1))));
    }
}
