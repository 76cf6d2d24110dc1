//! One connection: reads a request, has it answered, writes the response, and again.

use std::io::{self, Read, Write};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use tiny_http::HTTPVersion;
use zeroize::Zeroizing;

use crate::app::answer::{Answer, CutOff, Part};
use crate::app::{Admission, App};
use crate::http::request::Method;
use crate::http::request_id::RequestId;
use crate::http::response::Response;
use crate::server::budget::{BODY_BYTES_FREE, Budget};
use crate::server::front::Front;
use crate::server::limits::Deadlines;
use crate::server::permits::Permits;
use crate::server::render::{self, InvalidResponse, Length, Options};
use crate::server::request::head::Framing;
use crate::server::request::reader::Reader;
use crate::server::request::refusal::{ReadError, Refusal};
use crate::server::slots::Slot;
use crate::server::socket::Socket;
use crate::server::stream::Stream;
use crate::server::tls::certificates::Certificates;

/// A body up to this size is written together with its head, in one call and mostly one packet.
const ONE_WRITE_BYTES_MAX: usize = 64 * 1024;
/// What an idle connection keeps of the buffer it writes from.
const OUT_IDLE_BYTES_MAX: usize = 4 * 1024;
/// What is read and discarded after a last answer, so that the client gets to read it.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much of it is read at once.
const LINGER_READ_BYTES: usize = 8 * 1024;

/// How to write the answer to what is no request: nothing is known of its sender, and it is the
/// last one.
const LAST_ANSWER: Options =
    Options { version: HTTPVersion(1, 1), head_only: false, close: true, length: Length::Whole };

/// What all connections of a server share.
#[derive(Debug)]
pub struct Service {
    /// The application that answers requests.
    pub app: Arc<App>,
    /// How many requests are handled at once.
    pub permits: Permits,
    /// The same for those that nobody may keep waiting: logins, and whether the server is there.
    pub quick_permits: Permits,
    /// How much memory the bodies of requests with a valid token may take.
    pub budget: Budget,
    /// The same for requests to paths that need no token.
    pub anonymous_budget: Budget,
    /// How long each part of a connection's life may take.
    pub deadlines: Deadlines,
    /// The certificate for connections under TLS; without one, they are plain HTTP.
    pub certificates: Option<Arc<Certificates>>,
    /// What is answered before the application.
    pub front: Option<Front>,
}

/// The client at the other end.
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
    /// The second of the last answer, and how HTTP writes it.
    date: (i64, String),
}

impl<'a, S: Stream> Connection<'a, S> {
    /// A connection on which nothing was read or written yet.
    pub fn new(service: &'a Service, stream: S, socket: Socket) -> Connection<'a, S> {
        let (reader, out, date) = (Reader::default(), Vec::new(), Default::default());
        Connection { service, stream, socket, reader, out, date }
    }

    /// Answers requests until the client or the server ends the connection.
    pub fn serve(mut self, slot: &Slot, peer: Peer) {
        while self.wait_for_request(slot) {
            match self.serve_request(slot, peer) {
                Ok(true) => {}
                Ok(false) => {
                    slot.set_closing();
                    return self.linger();
                }
                // The client is gone or does not read; there is nobody to tell.
                Err(error) => return self.count_timeout(&error),
            }
        }
        self.socket.set_deadline_in(self.service.deadlines.linger);
        self.stream.finish();
    }

    /// Tells a client for which there is no slot to try again.
    pub fn turn_away(self) {
        let response = self.service.app.refuse(503, NO_FREE_SLOT).with_header("Retry-After", "1");
        self.answer_and_close(response);
    }

    /// Tells a client that speaks plain HTTP to a port for HTTPS what to do. An authority, or a
    /// proxy that passes on what it asks, gets the answer to its challenge.
    pub fn refuse_plain_http(mut self) {
        if let Some(front) = &self.service.front
            && let Ok(head) = self.reader.read_head(&mut self.stream)
            && let Some(response) = front.answer(&head.request)
        {
            return self.answer_and_close(response);
        }
        let response = self.service.app.refuse(400, PLAIN_HTTP);
        self.answer_and_close(response);
    }

    fn answer_and_close(mut self, response: Response) {
        if self.answer(response, LAST_ANSWER, &RequestId::fresh()).is_ok() {
            self.linger();
        }
    }

    /// Waits for the next request; `false` when there will be none.
    fn wait_for_request(&mut self, slot: &Slot) -> bool {
        if self.reader.has_begun() {
            return slot.set_reading();
        }
        if !slot.set_idle() {
            return false;
        }
        self.socket.set_deadline_in(self.service.deadlines.idle);
        let begun = self.reader.wait_for_request(&mut self.stream);
        begun.unwrap_or(false) && slot.set_reading()
    }

    /// Reads one request and answers it. Returns whether the connection goes on.
    fn serve_request(&mut self, slot: &Slot, peer: Peer) -> io::Result<bool> {
        self.socket.set_deadline_in(self.service.deadlines.head);
        let mut head = match self.reader.read_head(&mut self.stream) {
            Ok(head) => head,
            Err(error) => {
                let id = self.reader.id_of_refused();
                return self.refuse(error, HEAD_TIMED_OUT, LAST_ANSWER, &id);
            }
        };
        let id = head.request.id.clone();
        let _entered = id.enter();
        let mut options = Options {
            version: head.version,
            head_only: head.request.method == Method::Head,
            ..LAST_ANSWER
        };
        if let Some(front) = &self.service.front
            && let Some(response) = front.answer(&head.request)
        {
            return self.answer(response, options, &id);
        }
        self.socket.set_deadline_in(self.service.deadlines.body);
        // Before a token is checked, a request takes little more than its head.
        let large = !matches!(head.framing, Framing::Length(it) if it <= BODY_BYTES_FREE as u64);
        let (mut budget, mut org) = (&self.service.budget, None);
        if large {
            head.request.peer = Some(peer.address);
            head.request.secure = peer.secure;
            match self.service.app.admit(&head.request) {
                Admission::Known(key) => org = Some(key),
                Admission::Anonymous => budget = &self.service.anonymous_budget,
                Admission::Refused(response) => return self.answer(response, options, &id),
            }
        }
        // The head is accepted, so the body will be read. A client that has sent its body already
        // needs no 100 (RFC 9110 section 10.1.1).
        let has_body = head.framing != Framing::Length(0);
        if head.expects_continue && has_body && !self.reader.has_input() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            self.stream.flush()?;
        }
        let service = self.service;
        let mut reservation = budget.reservation(org);
        match self.reader.read_body(&mut self.stream, head.framing, &mut reservation) {
            Ok(body) => head.request.body = body,
            Err(error) => {
                // Before the answer: a client that reads it may send again at once.
                drop(reservation);
                return self.refuse(error, BODY_TIMED_OUT, options, &id);
            }
        }
        if !slot.set_handling() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        head.request.peer = Some(peer.address);
        head.request.secure = peer.secure;
        let quick = App::is_quick(&head.request);
        let permits = if quick { &service.quick_permits } else { &service.permits };
        let permit = || permits.acquire();
        let answer = service.app.handle_and_take(&head.request, permit);
        options.close = !head.keep_alive || slot.is_stopping();
        let Answer { mut response, taken, further } = answer;
        if let Some(further) = &further {
            options.length = further.length().map_or(Length::Unknown, Length::Known);
            options.close |= options.length == Length::Unknown && !options.is_chunked();
        }
        let Some(mut further) = further.filter(|_| !options.head_only) else {
            drop(head.request);
            drop(reservation);
            slot.set_writing();
            return self.answer(response, options, &id);
        };
        // The further parts need no body.
        head.request.body = Vec::new();
        drop(reservation);
        slot.set_writing();
        let mut next = Some(Part { bytes: mem::take(&mut response.body), taken });
        self.answer_in_parts(response, options, &id, || {
            if let Some(first) = next.take() {
                return Ok(Some(first));
            }
            if !slot.set_handling() {
                return Err(CutOff);
            }
            let part = service.app.next_part(&head.request, &mut further, permit);
            slot.set_writing();
            part
        })
    }

    fn refuse(
        &mut self,
        error: ReadError,
        timed_out: &str,
        options: Options,
        id: &RequestId,
    ) -> io::Result<bool> {
        let response = match error {
            ReadError::Refused(Refusal { status, detail }) => {
                let response = self.service.app.refuse(status, &detail);
                if status == 503 { response.with_header("Retry-After", "1") } else { response }
            }
            ReadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.count_timeout(&error);
                self.service.app.refuse(408, timed_out)
            }
            ReadError::Io(error) => return Err(error),
        };
        self.answer(response, options, id)
    }

    /// Counts a connection that ends because its client was too slow.
    fn count_timeout(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::TimedOut {
            self.service.app.metrics().connections_timed_out.add();
        }
    }

    /// Writes one response. Returns whether the connection goes on.
    fn answer(
        &mut self,
        mut response: Response,
        mut options: Options,
        id: &RequestId,
    ) -> io::Result<bool> {
        let mut rendered = self.render_head(&response, &options, id);
        if let Err(InvalidResponse(reason)) = rendered {
            // The one failure that `app` cannot see, so it is logged here.
            log::error!("an answer was replaced by a 500: {reason}");
            response = self.service.app.refuse(500, &invalid_response(id));
            options.close = true;
            rendered = self.render_head(&response, &options, id);
        }
        let body_follows = rendered.map_err(|InvalidResponse(reason)| io::Error::other(reason))?;
        let body = if body_follows { response.body.as_slice() } else { &[] };
        self.socket.set_deadline_in(self.service.deadlines.write);
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
        Ok(!options.close)
    }

    /// Writes one response whose body comes in parts; each is dropped before the next one is made.
    fn answer_in_parts(
        &mut self,
        response: Response,
        options: Options,
        id: &RequestId,
        mut next: impl FnMut() -> Result<Option<Part>, CutOff>,
    ) -> io::Result<bool> {
        if self.render_head(&response, &options, id).is_err() {
            return self.answer(response, Options { length: Length::Whole, ..options }, id);
        }
        let chunked = options.is_chunked();
        let mut left = match options.length {
            Length::Known(bytes) => bytes,
            Length::Whole | Length::Unknown => u64::MAX,
        };
        // RFC 9112 section 8: a client sees by the missing end that the answer is not whole.
        let cut_off = |CutOff| io::Error::from(io::ErrorKind::ConnectionAborted);
        while let Some(part) = next().map_err(cut_off)? {
            let bytes = part.bytes.as_slice();
            // Memory takes whatever is written to it. An empty chunk would be the last one.
            if chunked && !bytes.is_empty() {
                let _ = write!(self.out, "{:x}\r\n", bytes.len());
            }
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| cut_off(CutOff))?;
            self.socket.set_deadline_in(self.service.deadlines.write);
            self.stream.write_all(&self.out)?;
            self.out.clear();
            self.stream.write_all(bytes)?;
            self.stream.flush()?;
            if chunked && !bytes.is_empty() {
                self.out.extend_from_slice(b"\r\n");
            }
        }
        if matches!(options.length, Length::Known(_)) && left > 0 {
            return Err(cut_off(CutOff));
        }
        if chunked {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        self.stream.write_all(&self.out)?;
        self.stream.flush()?;
        self.out.clear();
        self.out.shrink_to(OUT_IDLE_BYTES_MAX);
        Ok(!options.close)
    }

    fn render_head(
        &mut self,
        response: &Response,
        options: &Options,
        id: &RequestId,
    ) -> Result<bool, InvalidResponse> {
        self.out.clear();
        let now = self.service.app.clock().now();
        let second = now.nanoseconds() / 1_000_000_000;
        if self.date.1.is_empty() || self.date.0 != second {
            self.date = (second, now.http_date());
        }
        render::head(&mut self.out, response, options, id, &self.date.1)
    }

    /// Closes after a last answer. Closing with input unread would reset the connection, and the
    /// client could lose the answer (RFC 9112 section 9.6): so the sending side closes first, and
    /// for a moment what still arrives is discarded.
    pub fn linger(&mut self) {
        self.socket.set_deadline_in(self.service.deadlines.linger);
        self.stream.finish();
        let mut discarded = Zeroizing::new([0; LINGER_READ_BYTES]);
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            // From the socket: what is discarded need not be decrypted.
            match self.socket.read(&mut *discarded) {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    }
}

const HEAD_TIMED_OUT: &str =
    "The head of the request did not arrive in time. Send the request at once.";
const BODY_TIMED_OUT: &str =
    "The body of the request did not arrive in time. Send less, or faster.";
const NO_FREE_SLOT: &str = "All connections are in use. Try again in a second, and keep \
                            connections open between requests instead of opening more.";
const PLAIN_HTTP: &str = "This is plain HTTP, and this port speaks HTTPS. Begin the base URL with \
                          https:// instead of http://.";

fn invalid_response(id: &RequestId) -> String {
    format!(
        "The answer could not be written. This is a fault of the server, not of the request; its \
         log says more under {}.",
        id.as_str()
    )
}

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

    /// A stream that records what is written, and counts the calls.
    #[derive(Debug, Default)]
    struct Recorder {
        bytes: Vec<u8>,
        writes: usize,
    }

    impl Read for Recorder {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Write for Recorder {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            self.bytes.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Recorder {
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
            permits: Permits::new(1),
            quick_permits: Permits::new(1),
            budget: Budget::new(0),
            anonymous_budget: Budget::new(0),
            deadlines: Limits::default().deadlines,
            certificates: None,
            front: None,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let mut connection = Connection::new(&service, Recorder::default(), Socket::new(tcp));
        let options = Options { close: false, ..LAST_ANSWER };
        let goes_on = connection.answer(response, options, &RequestId::fresh()).unwrap();
        assert!(connection.out.is_empty() && connection.out.capacity() <= OUT_IDLE_BYTES_MAX);
        let Recorder { bytes, writes } = connection.stream;
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
    fn a_response_with_a_line_break_in_a_field_becomes_a_500() {
        let split = "/a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK";
        let (text, _, goes_on) = answer(Response::empty(201).with_header("Location", split));
        assert!(text.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{text}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
        assert!(text.contains("Connection: close\r\n") && !goes_on, "{text}");
    }
}
