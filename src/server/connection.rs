//! The life of one connection: read a request, have it answered, write, and again.

use std::io;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use tiny_http::HTTPVersion;
use zeroize::Zeroizing;

use crate::app::App;
use crate::http::request::Method;
use crate::http::response::Response;
use crate::server::budget::Budget;
use crate::server::certificates::Certificates;
use crate::server::gate::Gate;
use crate::server::head::{Framing, Refusal};
use crate::server::limits::Deadlines;
use crate::server::reader::{Failure, Reader};
use crate::server::render;
use crate::server::render::{Terms, Unwritable};
use crate::server::seats::Seat;
use crate::server::socket::Socket;

/// A body up to this size is written together with its head, in one call and mostly one packet.
const ONE_WRITE_BYTES_MAX: usize = 64 * 1024;
/// What an idle connection keeps of the buffer it writes from.
const OUT_IDLE_BYTES_MAX: usize = 4 * 1024;
/// What is read and thrown away after a last answer, so that the client comes to read it.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The unit in which it is read.
const LINGER_READ_BYTES: usize = 8 * 1024;

/// An answer to what is no request: nothing is known of its sender, and it is the last.
const LAST: Terms = Terms { version: HTTPVersion(1, 1), head_only: false, close: true };

/// What all connections of a server share.
#[derive(Debug)]
pub struct Service {
    /// Who answers.
    pub app: Arc<App>,
    /// How many requests are answered at once.
    pub gate: Gate,
    /// How much memory their bodies may take.
    pub budget: Budget,
    /// How long each part of a connection's life may take.
    pub deadlines: Deadlines,
    /// What connections under TLS are served with; without it they are plain HTTP.
    pub certificates: Option<Arc<Certificates>>,
}

/// What a connection reads and writes: the socket itself, or TLS over it.
pub trait Stream: Read + Write {
    /// Says that nothing more will be sent. The peer sees the end of the stream.
    fn finish(&mut self);
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address of the socket.
    pub address: IpAddr,
    /// Whether the connection is under TLS.
    pub secure: bool,
}

/// One connection. It reads and writes a stream, which is the socket itself or TLS over a clone of
/// it; the socket is what sets the deadlines.
#[derive(Debug)]
pub struct Connection<'a, S> {
    service: &'a Service,
    stream: S,
    socket: Socket,
    reader: Reader,
    out: Vec<u8>,
}

impl<'a, S: Stream> Connection<'a, S> {
    /// A connection on which nothing was read or written yet.
    pub fn new(service: &'a Service, stream: S, socket: Socket) -> Connection<'a, S> {
        Connection { service, stream, socket, reader: Reader::default(), out: Vec::new() }
    }

    /// Answers requests until one of the two sides has had enough.
    pub fn converse(mut self, seat: &Seat, peer: Peer) {
        while self.wait(seat) {
            match self.exchange(seat, peer) {
                Ok(true) => {}
                Ok(false) => {
                    seat.leave();
                    return self.linger();
                }
                // The client is gone or does not read; there is nobody to tell.
                Err(error) => return self.note_timeout(&error),
            }
        }
        self.socket.allow(self.service.deadlines.linger);
        self.stream.finish();
    }

    /// Tells a client for whom there is no seat to come again.
    pub fn turn_away(self) {
        let response = self.service.app.refuse(503, NO_SEAT).with_header("Retry-After", "1");
        self.part_with(response);
    }

    /// Tells a client that speaks plain HTTP where TLS is spoken what to do.
    pub fn demand_tls(self) {
        let response = self.service.app.refuse(400, PLAIN_HTTP);
        self.part_with(response);
    }

    fn part_with(mut self, response: Response) {
        if self.answer(response, LAST).is_ok() {
            self.linger();
        }
    }

    /// Waits for the next request; `false` when there will be none.
    fn wait(&mut self, seat: &Seat) -> bool {
        if self.reader.has_begun() {
            return seat.begin();
        }
        if !seat.rest() {
            return false;
        }
        self.socket.allow(self.service.deadlines.idle);
        let begun = self.reader.wait(&mut self.stream);
        begun.unwrap_or(false) && seat.begin()
    }

    /// Reads one request and answers it. Returns whether the connection goes on.
    fn exchange(&mut self, seat: &Seat, peer: Peer) -> io::Result<bool> {
        self.socket.allow(self.service.deadlines.head);
        let mut head = match self.reader.read_head(&mut self.stream) {
            Ok(head) => head,
            Err(failure) => return self.refuse(failure, LATE_HEAD, LAST),
        };
        let mut terms = Terms {
            version: head.version,
            head_only: head.request.method == Method::Head,
            close: true,
        };
        self.socket.allow(self.service.deadlines.body);
        // The head was judged, so the body will be read. A client that did not wait needs no word
        // (RFC 9110 section 10.1.1).
        let has_body = head.framing != Framing::Length(0);
        if head.expects_continue && has_body && !self.reader.has_input() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            self.stream.flush()?;
        }
        let service = self.service;
        let mut share = service.budget.share();
        match self.reader.read_body(&mut self.stream, head.framing, &mut share) {
            Ok(body) => head.request.body = body,
            Err(failure) => {
                // Before the answer: whoever hears of it may send at once.
                drop(share);
                return self.refuse(failure, LATE_BODY, terms);
            }
        }
        if !seat.work() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        head.request.peer = Some(peer.address);
        head.request.secure = peer.secure;
        let response = {
            let _pass = self.service.gate.enter();
            self.service.app.handle(&head.request)
        };
        terms.close = !head.keep_alive || seat.is_stopping();
        drop(head.request);
        drop(share);
        seat.write();
        self.answer(response, terms)
    }

    fn refuse(&mut self, failure: Failure, late: &str, terms: Terms) -> io::Result<bool> {
        let response = match failure {
            Failure::Refused(Refusal { status, detail }) => {
                let response = self.service.app.refuse(status, &detail);
                if status == 503 { response.with_header("Retry-After", "1") } else { response }
            }
            Failure::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.note_timeout(&error);
                self.service.app.refuse(408, late)
            }
            Failure::Io(error) => return Err(error),
        };
        self.answer(response, terms)
    }

    /// Counts a connection that ends since its client was too slow.
    fn note_timeout(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::TimedOut {
            self.service.app.metrics().connections_timed_out.add();
        }
    }

    /// Writes one response. Returns whether the connection goes on.
    fn answer(&mut self, mut response: Response, mut terms: Terms) -> io::Result<bool> {
        let mut printed = self.print_head(&response, &terms);
        if let Err(Unwritable(reason)) = printed {
            // The one failure that `app` cannot see, so it is logged here.
            log::error!("an answer was replaced by a 500: {reason}");
            response = self.service.app.refuse(500, UNWRITABLE);
            terms.close = true;
            printed = self.print_head(&response, &terms);
        }
        let body_follows = printed.map_err(|Unwritable(reason)| io::Error::other(reason))?;
        let body = if body_follows { response.body.as_slice() } else { &[] };
        self.socket.allow(self.service.deadlines.write);
        if body.len() <= ONE_WRITE_BYTES_MAX {
            self.out.extend_from_slice(body);
            self.stream.write_all(&self.out)?;
        } else {
            self.stream.write_all(&self.out)?;
            self.stream.write_all(body)?;
        }
        self.stream.flush()?;
        self.out.clear();
        self.out.shrink_to(OUT_IDLE_BYTES_MAX);
        Ok(!terms.close)
    }

    fn print_head(&mut self, response: &Response, terms: &Terms) -> Result<bool, Unwritable> {
        self.out.clear();
        render::head(&mut self.out, response, terms, &self.service.app.date())
    }

    /// Closes after a last answer. Closing with input unread would reset the connection, and the
    /// client could lose the answer (RFC 9112 section 9.6): so the sending side closes first, and
    /// for a moment what still comes is thrown away.
    pub fn linger(&mut self) {
        self.socket.allow(self.service.deadlines.linger);
        self.stream.finish();
        let mut thrown_away = Zeroizing::new([0; LINGER_READ_BYTES]);
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            // From the socket: nobody needs to decrypt it first.
            match self.socket.read(&mut *thrown_away) {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    }
}

const LATE_HEAD: &str = "The head of the request did not arrive in time. Send the request at once.";
const LATE_BODY: &str = "The body of the request did not arrive in time. Send less, or faster.";
const NO_SEAT: &str = "All connections are in use. Try again in a second, and keep connections \
                       open between requests instead of opening more.";
const PLAIN_HTTP: &str = "This is plain HTTP, and this port speaks HTTPS. Begin the base URL with \
                          https:// instead of http://.";
const UNWRITABLE: &str = "The answer could not be written. This is a fault of the server, not of \
                          the request; its log says more.";

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::server::limits::Limits;
    use crate::store::Store;
    use crate::store::open::Open;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Takes what is written, and counts the calls.
    #[derive(Debug, Default)]
    struct Paper {
        bytes: Vec<u8>,
        writes: usize,
    }

    impl Read for Paper {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            self.bytes.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Paper {
        fn finish(&mut self) {}
    }

    /// What is written for a response, in how many calls, and whether the connection goes on.
    fn answer(response: Response) -> (String, usize, bool) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("plumm-connection-{}-{number}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let store = Arc::new(Store::open(&file, Open::Create).unwrap());
        let app = App::new(Arc::clone(&store), Config::default(), Clock::System);
        let _ = std::fs::remove_file(&file);
        let service = Service {
            app: Arc::new(app),
            gate: Gate::new(1),
            budget: Budget::new(0),
            deadlines: Limits::default().deadlines,
            certificates: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let mut connection = Connection::new(&service, Paper::default(), Socket::new(tcp));
        let goes_on = connection.answer(response, Terms { close: false, ..LAST }).unwrap();
        assert!(connection.out.is_empty() && connection.out.capacity() <= OUT_IDLE_BYTES_MAX);
        let Paper { bytes, writes } = connection.stream;
        (String::from_utf8(bytes).unwrap(), writes, goes_on)
    }

    #[test]
    fn a_response_is_one_write_where_it_fits() {
        for (length, expected) in [(0, 1), (ONE_WRITE_BYTES_MAX, 1), (ONE_WRITE_BYTES_MAX + 1, 2)] {
            let (text, writes, goes_on) = answer(Response::new(200, "a/b", vec![b'x'; length]));
            assert!(
                text.ends_with(&format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length)))
            );
            assert!(goes_on);
            assert_eq!(writes, expected);
        }
    }

    #[test]
    fn a_response_that_would_split_in_two_becomes_a_500() {
        let split = "/a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK";
        let (text, _, goes_on) = answer(Response::empty(201).with_header("Location", split));
        assert!(text.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
        assert!(text.contains("Connection: close\r\n") && !goes_on, "{text}");
    }
}
