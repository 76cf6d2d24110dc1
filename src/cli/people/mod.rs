//! Accounts as a file: `plumm user export` and `plumm user import`.

pub mod columns;
pub mod csv;
pub mod elements;
pub mod export;
pub mod headers;
pub mod import;
pub mod judge;
pub mod nameless;
pub mod paced;
pub mod progress;
pub mod report;
pub mod source;
