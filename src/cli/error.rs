//! Why a command did not do what was asked, and its exit code.

use std::fmt;
use std::io;

use crate::cli::text::printable;
use crate::store::error::Error;

/// The command did what was asked.
pub const EXIT_DONE: u8 = 0;
/// The command could not do it.
const EXIT_FAILED: u8 = 1;
/// The command line was wrong.
pub const EXIT_MISUSED: u8 = 2;

/// What each exit code means, as the manual has it.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (EXIT_DONE, "done"),
    (EXIT_FAILED, "failed"),
    (EXIT_MISUSED, "misused: the command line was not understood"),
];

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum CliError {
    /// It could not be done: what was wrong, and what to do.
    Failed(String),
    /// It was asked for in a wrong way.
    Misused {
        /// What was wrong.
        message: String,
        /// What to type instead.
        instead: String,
    },
    /// The answer could not be printed.
    Output(io::Error),
}

impl CliError {
    /// The exit code of a command that ends with this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Failed(_) | CliError::Output(_) => EXIT_FAILED,
            CliError::Misused { .. } => EXIT_MISUSED,
        }
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> CliError {
        CliError::Failed(error.to_string())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Failed(message) => write!(f, "error: {}", printable(message)),
            CliError::Misused { message, instead } => {
                write!(f, "error: {}\n\nTry: {}", printable(message), printable(instead))
            }
            CliError::Output(error) => {
                write!(f, "error: the answer could not be written to standard output: {error}")
            }
        }
    }
}

impl std::error::Error for CliError {}
