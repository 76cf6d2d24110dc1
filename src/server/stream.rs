//! What a connection reads and writes: the socket itself, or TLS over it.

use std::io::{Read, Write};

/// A stream of bytes in both directions.
pub trait Stream: Read + Write {
    /// Says that nothing more will be sent. The peer sees the end of the stream.
    fn finish(&mut self);
}
