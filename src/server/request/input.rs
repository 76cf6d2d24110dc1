//! The bytes of a connection that were received and not yet parsed.

use std::io::{self, Read};

use zeroize::{Zeroize, Zeroizing};

use crate::server::request::refusal::{ReadError, Refusal};

/// How many bytes one read asks for, and how much memory the input of an idle connection keeps.
pub(super) const READ_BYTES: usize = 4 * 1024;

/// The input of a connection: what comes after the end of one request is the beginning of the
/// next.
///
/// The bytes hold API tokens and passwords, so those that are consumed are overwritten at once: all
/// memory of the buffer but `bytes` is zero.
#[derive(Default)]
pub struct Input {
    pub(super) buffer: Zeroizing<Vec<u8>>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Input {
    /// The bytes that are not yet consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Drops this many bytes from the front.
    pub fn consume(&mut self, count: usize) {
        let end = self.start + count;
        self.buffer[self.start..end].zeroize();
        self.start = end;
    }

    /// Gives memory back when all bytes are consumed.
    pub fn shrink_when_empty(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.buffer.truncate(READ_BYTES);
            self.buffer.shrink_to(READ_BYTES);
        }
    }

    /// Reads once. The end of the stream is a refusal.
    pub fn fill_or_refuse(&mut self, stream: &mut impl Read) -> Result<(), ReadError> {
        match self.fill(stream)? {
            0 => Err(Refusal::cut_short().into()),
            _ => Ok(()),
        }
    }

    /// Reads once; zero at the end of the stream.
    pub fn fill(&mut self, stream: &mut impl Read) -> io::Result<usize> {
        let length = self.end - self.start;
        if self.buffer.len() < length + READ_BYTES {
            let mut larger = Zeroizing::new(vec![0; 2 * length + READ_BYTES]);
            larger[..length].copy_from_slice(self.bytes());
            self.buffer = larger;
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.buffer[length..self.end].zeroize();
        }
        (self.start, self.end) = (0, length);
        let read = loop {
            match stream.read(&mut self.buffer[length..length + READ_BYTES]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        Ok(read)
    }
}
