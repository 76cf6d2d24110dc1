//! Filters and paths (RFC 7644 section 3.4.2.2): grammar, meaning, and the decision in memory.

pub mod comparison;
pub mod condition;
pub mod grammar;
pub mod matching;
pub mod path;
