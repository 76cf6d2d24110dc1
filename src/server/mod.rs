//! Sockets.

mod chunk;
pub mod head;
pub mod reader;
mod section;
