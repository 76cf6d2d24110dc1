//! An answer with the memory that it takes, whole or in parts.

use crate::api::context::Rest;
use crate::http::response::Response;
use crate::memory::{Memory, Taken};

/// Why there is no memory for an answer.
pub const SLOW_READERS: &str =
    "Too many large answers wait for their clients to read them; ask for less at once.";

/// An answer, whole or as far as it is made.
#[derive(Debug)]
pub struct Answer {
    /// The response, with the first part of its body.
    pub response: Response,
    /// The memory that it takes until it is written.
    pub taken: Option<Taken>,
    /// What follows, for [`App::next_part`](crate::app::App::next_part).
    pub further: Option<Further>,
}

/// The further parts of an answer.
#[derive(Debug)]
pub struct Further {
    pub(super) rest: Box<dyn Rest>,
    /// What they take a part of.
    pub(super) memory: Memory,
}

impl Further {
    /// The length of the whole body in bytes, the first part included, where it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.rest.length()
    }
}

/// A part of an answer, and the memory that it takes until it is dropped.
#[derive(Debug)]
pub struct Part {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The memory.
    pub taken: Option<Taken>,
}

/// An answer ends in the middle. The log and the record of refused requests say why.
#[derive(Debug)]
pub struct CutOff;
