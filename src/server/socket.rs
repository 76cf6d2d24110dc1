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
    deadline: Rc<Cell<Deadline>>,
    timeouts: Rc<Timeouts>,
}

/// Until when a socket is waited for.
#[derive(Clone, Copy, Debug)]
enum Deadline {
    /// Up to this moment.
    At(Instant),
    /// For this long from the first time that the socket is used. Nobody waits before that, and
    /// most often nobody does at all: what a deadline is for has arrived already.
    In(Duration),
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
        let deadline = Rc::new(Cell::new(Deadline::At(Instant::now())));
        Socket { tcp, deadline, timeouts: Rc::default() }
    }

    /// Sets the deadline this far from the next use of the socket.
    pub fn set_deadline_in(&self, time: Duration) {
        self.deadline.set(Deadline::In(time));
    }

    /// Waits for a byte and leaves it to be read; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// When the connection fails or its deadline passes.
    pub fn peek(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let count = self.reading(self.remaining()?, |tcp| tcp.peek(&mut first))?;
        Ok((count > 0).then_some(first[0]))
    }

    /// Calls what waits for the peer to send.
    fn reading<T>(
        &self,
        remaining: Duration,
        call: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        self.until_deadline(remaining, &self.timeouts.read, TcpStream::set_read_timeout, call)
    }

    /// Calls what waits for the peer to receive.
    fn writing<T>(&self, call: impl FnMut(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        let remaining = self.remaining()?;
        self.until_deadline(remaining, &self.timeouts.write, TcpStream::set_write_timeout, call)
    }

    fn until_deadline<T>(
        &self,
        mut remaining: Duration,
        told: &Cell<Duration>,
        tell: impl Fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut call: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
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
            remaining = self.remaining()?;
        }
    }

    fn remaining(&self) -> io::Result<Duration> {
        let now = Instant::now();
        let remaining = match self.deadline.get() {
            Deadline::At(moment) => moment.saturating_duration_since(now),
            Deadline::In(time) => {
                self.deadline.set(Deadline::At(now + time));
                time
            }
        };
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
            Ok(remaining) => self.reading(remaining, |mut tcp| tcp.read(buffer)),
            Err(_) if has_unread_input(&self.tcp) => (&*self.tcp).read(buffer),
            Err(error) => Err(error),
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
