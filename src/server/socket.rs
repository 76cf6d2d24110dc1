//! A TCP socket whose reads and writes share one deadline.

use std::cell::Cell;
use std::io;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::server::stream::Stream;

/// `MSG_PEEK | MSG_DONTWAIT`: looks at what has arrived, leaves it, and waits for nothing.
const PEEK_AT_ONCE: i32 = 0x2 | if cfg!(target_os = "linux") { 0x40 } else { 0x80 };

/// A socket with a deadline and not a timeout: the time that is left bounds each read and each
/// write, so a peer that sends a byte now and then gains nothing. Clones share the deadline; one of
/// them can lie under TLS while the connection sets it through another.
#[derive(Clone, Debug)]
pub struct Socket {
    tcp: Arc<TcpStream>,
    deadline: Rc<Cell<Instant>>,
    timeouts: Rc<Timeouts>,
}

/// The timeouts that the operating system was told last. Telling it is a system call, so it is not
/// told again for a difference that makes none: a call that ends too early is made again.
#[derive(Debug, Default)]
struct Timeouts {
    read: Cell<Duration>,
    write: Cell<Duration>,
}

/// By how much a timeout may differ from the time that is left: a second, and a sixteenth of it.
const TIMEOUT_TOLERANCE: Duration = Duration::from_secs(1);
const TIMEOUT_TOLERANCE_PART: u32 = 16;

impl Socket {
    /// The socket, whose deadline has passed until [`Socket::set_deadline_in`] sets one.
    pub fn new(tcp: Arc<TcpStream>) -> Socket {
        let deadline = Rc::new(Cell::new(Instant::now()));
        Socket { tcp, deadline, timeouts: Rc::default() }
    }

    /// Sets the deadline this far from now.
    pub fn set_deadline_in(&self, time: Duration) {
        self.deadline.set(Instant::now() + time);
    }

    /// Waits for a byte and leaves it to be read; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// When the connection fails or its deadline passes.
    pub fn peek(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let count = self.reading(|tcp| tcp.peek(&mut first))?;
        Ok((count > 0).then_some(first[0]))
    }

    /// Calls what waits for the peer to send.
    fn reading<T>(&self, call: impl FnMut(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        self.until_deadline(&self.timeouts.read, TcpStream::set_read_timeout, call)
    }

    /// Calls what waits for the peer to receive.
    fn writing<T>(&self, call: impl FnMut(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        self.until_deadline(&self.timeouts.write, TcpStream::set_write_timeout, call)
    }

    fn until_deadline<T>(
        &self,
        told: &Cell<Duration>,
        tell: impl Fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut call: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let remaining = self.remaining()?;
            let tolerance = TIMEOUT_TOLERANCE.min(remaining / TIMEOUT_TOLERANCE_PART);
            if remaining.abs_diff(told.get()) > tolerance {
                tell(&self.tcp, Some(remaining))?;
                told.set(remaining);
            }
            match call(&self.tcp).map_err(unified_timeout) {
                // Too early, where the timeout was that of an earlier call.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => told.set(Duration::ZERO),
                done => return done,
            }
        }
    }

    fn remaining(&self) -> io::Result<Duration> {
        let remaining = self.deadline.get().saturating_duration_since(Instant::now());
        match remaining.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(remaining),
        }
    }
}

impl Read for Socket {
    /// What has arrived is read after the deadline too: it is this server that was late. A client
    /// that sends a byte now and then gains nothing, since nothing is waited for.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.remaining() {
            Err(_) if has_unread_input(&self.tcp) => (&*self.tcp).read(buffer),
            _ => self.reading(|mut tcp| tcp.read(buffer)),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writing(|mut tcp| tcp.write(bytes))
    }

    /// Several TLS records go out in one call.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writing(|mut tcp| tcp.write_vectored(parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn finish(&mut self) {
        // The peer may have gone; there is nobody left to tell.
        let _ = self.tcp.shutdown(Shutdown::Write);
    }
}

/// Whether the peer has sent what was not read yet.
pub fn has_unread_input(tcp: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(tcp).recv_with_flags(&mut byte, PEEK_AT_ONCE);
    peeked.is_ok_and(|it| it > 0)
}

/// The operating system reports a passed timeout under one of two names; this makes them one.
fn unified_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}
