//! The body of a request, in memory that grows with what arrives.

use std::io::{self, Read};
use std::mem;

use zeroize::Zeroize;

use crate::server::budget::Reservation;
use crate::server::request::input::Input;
use crate::server::request::refusal::{ReadError, Refusal};

/// The body, chunked or not.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The least that memory is reserved for when a body goes on.
const STEP_BYTES: usize = 16 * 1024;

/// The largest body whose memory is allocated in steps.
const SMALL_BYTES_MAX: usize = 256 * 1024;
/// What is allocated for a larger body: addresses, which the system backs with memory as the body
/// arrives. It is more than any body has for the sake of glibc, which keeps freed blocks of up to
/// 32 MiB in each of its heaps: a hundred large bodies left 300 MiB behind. A larger block goes
/// back to the system.
const LARGE_ALLOCATION_BYTES: usize = 33 * 1024 * 1024;

/// A body as far as it has arrived, and the memory it may take.
pub struct Body<'a, 'b> {
    pub(super) bytes: Vec<u8>,
    /// How many bytes the body may have; they are reserved from the budget.
    reserved: usize,
    reservation: &'a mut Reservation<'b>,
}

impl<'a, 'b> Body<'a, 'b> {
    /// A body of which nothing has arrived, which takes its memory from this reservation.
    pub fn new(reservation: &'a mut Reservation<'b>) -> Body<'a, 'b> {
        Body { bytes: Vec::new(), reserved: 0, reservation }
    }

    /// How many bytes have arrived.
    pub fn received(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of the body.
    pub fn into_bytes(mut self) -> Vec<u8> {
        mem::take(&mut self.bytes)
    }

    /// Appends `length` bytes: first those of the input, then those that the stream yields.
    pub fn read(
        &mut self,
        input: &mut Input,
        stream: &mut impl Read,
        length: u64,
    ) -> Result<(), ReadError> {
        let buffered = usize::try_from(length).unwrap_or(usize::MAX).min(input.bytes().len());
        self.reserve(buffered)?;
        self.bytes.extend_from_slice(&input.bytes()[..buffered]);
        input.consume(buffered);
        let mut missing = length - buffered as u64;
        while missing > 0 {
            let step = self.bytes.len().max(STEP_BYTES).min(missing as usize);
            self.reserve(step)?;
            let length = self.bytes.len();
            self.bytes.resize(length + step, 0);
            stream.read_exact(&mut self.bytes[length..]).map_err(|it| match it.kind() {
                io::ErrorKind::UnexpectedEof => Refusal::cut_short().into(),
                _ => ReadError::Io(it),
            })?;
            missing -= step as u64;
        }
        Ok(())
    }

    /// Reserves memory for this many more bytes. The reserved memory at least doubles each time, so
    /// that a body is copied few times.
    fn reserve(&mut self, more: usize) -> Result<(), Refusal> {
        let length = self.bytes.len();
        if length + more <= self.reserved {
            return Ok(());
        }
        let reserved = length + more.max(length.min(BODY_BYTES_MAX - length));
        if !self.reservation.grow_to(reserved) {
            return Err(Refusal::new(503, NO_MEMORY));
        }
        self.reserved = reserved;
        let capacity = if reserved > SMALL_BYTES_MAX { LARGE_ALLOCATION_BYTES } else { reserved };
        if self.bytes.capacity() < capacity {
            // `Vec::reserve` would leave a copy of the bytes behind.
            let mut larger = Vec::new();
            if larger.try_reserve_exact(capacity).is_err() {
                return Err(Refusal::new(503, NO_MEMORY));
            }
            larger.extend_from_slice(&self.bytes);
            self.bytes.as_mut_slice().zeroize();
            self.bytes = larger;
        }
        Ok(())
    }
}

impl Drop for Body<'_, '_> {
    fn drop(&mut self) {
        // The spare capacity is left alone: nothing was ever written there.
        self.bytes.as_mut_slice().zeroize();
    }
}

/// The refusal of a body that is announced or sent larger than the limit.
pub fn too_large() -> Refusal {
    Refusal::new(
        413,
        format!("The request body is larger than {BODY_BYTES_MAX} bytes. Send it in parts."),
    )
}

const NO_MEMORY: &str =
    "Too many large requests are arriving at this moment. Try again in a second.";
