//! How far long work is, on a terminal: one line of standard error that is written over and over,
//! and gone at the end. Nobody else reads it, so it is in no pipe and no file.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::text::grouped;

/// How long a line stands before it is written again.
const PAUSE: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    shown: bool,
    last: Instant,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is shown yet: quick work shows nothing at all.
    #[must_use]
    pub fn new(what: &'static str) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        Progress { what, shown: false, last: Instant::now(), is_terminal }
    }

    /// Says how many are done, and how many hundredths that is, where that is known.
    pub fn show(&mut self, done: u64, percent: Option<u64>) {
        if !self.is_terminal || self.last.elapsed() < PAUSE {
            return;
        }
        let percent = percent.map_or_else(String::new, |it| format!(", {it}%"));
        // What cannot be shown does not matter.
        let _ = write!(io::stderr(), "\r{} {}{percent}\u{1b}[K", self.what, grouped(done));
        (self.shown, self.last) = (true, Instant::now());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
