//! Sockets: the accept loop, a thread for each connection, and the orderly end of service.
//!
//! Under TLS, `certificates` holds what a client is shown and `tls` is the stream.
//! Bytes become a request in `section`, `head`, `chunk` and `reader`; a response becomes
//! bytes in `render`; `connection` is what happens between the two. `seats` holds the cap on
//! connections, `gate` the one on requests at work and `budget` the one on their bodies.

pub mod budget;
pub mod certificates;
mod chunk;
mod connection;
mod gate;
pub mod head;
pub mod limits;
pub mod reader;
mod render;
mod seats;
mod section;
mod socket;
mod tls;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use socket2::SockRef;

use crate::app::App;
use crate::server::budget::Budget;
use crate::server::certificates::Certificates;
use crate::server::connection::{Connection, Peer, Service};
use crate::server::gate::Gate;
use crate::server::limits::{Limits, descriptors_max};
use crate::server::seats::{Seat, Seats};
use crate::server::socket::Socket;
use crate::server::tls::{Greeting, TlsStream};

/// The stack of a connection's thread. The default of 2 MiB would be a gigabyte for all of them.
const STACK_BYTES: usize = 256 * 1024;
/// Connections that wait to be accepted; the operating system may allow fewer.
const BACKLOG: i32 = 4096;
/// Clients told to come again at once; beyond them, connections are closed without a word.
const TURNED_AWAY_MAX: usize = 32;
/// What such a client may take of a thread for its TLS handshake. There is less room for them than
/// for connections, so it is less than the deadline of those.
const TURN_AWAY_HANDSHAKE: Duration = Duration::from_secs(2);
/// The pause after running out of file descriptors or threads, unless a connection leaves before.
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// How often a thread for a new connection is asked for.
const SPAWN_TRIES: usize = 3;
/// Such trouble is said once in this time, not at each attempt.
const TROUBLE_PAUSE: Duration = Duration::from_secs(10);
/// Between two attempts to wake the accept loop.
const WAKE_PAUSE: Duration = Duration::from_millis(20);

/// A server that accepts connections until it is stopped; merely dropped, it goes on until the
/// process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    acceptor: JoinHandle<()>,
    seats: Arc<Seats>,
    stop: Duration,
}

impl Server {
    /// Serves the application on this listener, within the usual limits.
    ///
    /// # Errors
    ///
    /// When the listener has no address or no thread can be started.
    pub fn start(listener: TcpListener, app: Arc<App>) -> io::Result<Server> {
        Server::start_within(Limits::default(), listener, app)
    }

    /// Serves the application on this listener, within these limits.
    ///
    /// # Errors
    ///
    /// When the listener has no address or no thread can be started.
    pub fn start_within(
        limits: Limits,
        listener: TcpListener,
        app: Arc<App>,
    ) -> io::Result<Server> {
        Server::start_service(limits, listener, app, None)
    }

    /// Serves the application under TLS on this listener, within these limits.
    ///
    /// # Errors
    ///
    /// When the listener has no address or no thread can be started.
    pub fn start_tls(
        limits: Limits,
        listener: TcpListener,
        app: Arc<App>,
        certificates: Arc<Certificates>,
    ) -> io::Result<Server> {
        Server::start_service(limits, listener, app, Some(certificates))
    }

    fn start_service(
        limits: Limits,
        listener: TcpListener,
        app: Arc<App>,
        certificates: Option<Arc<Certificates>>,
    ) -> io::Result<Server> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(false)?;
        // What the standard library asks for is used up by a burst, and who finds no place in it
        // tries again after a second.
        SockRef::from(&listener).listen(BACKLOG)?;
        let limits = match descriptors_max() {
            Some(descriptors) => limits.within(descriptors),
            None => limits,
        };
        let seats = Arc::new(Seats::new(&limits));
        let gate = Gate::new(limits.requests_at_work);
        let budget = Budget::new(limits.bodies_bytes);
        let deadlines = limits.deadlines;
        let service = Arc::new(Service { app, gate, budget, deadlines, certificates });
        let door = Door {
            service,
            seats: Arc::clone(&seats),
            turned_away: Arc::new(()),
            trouble_said: Cell::new(None),
        };
        let acceptor = thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || door.watch(&listener))?;
        Ok(Server { address, acceptor, seats, stop: limits.stop })
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends service: accepts nothing more, closes idle connections, and returns once the requests
    /// in hand are answered or their time is over.
    pub fn stop(self) {
        self.seats.stop();
        // `accept` has no timeout, and a timeout on the listener would end it for other reasons
        // too: a connection from ourselves wakes it.
        while !self.acceptor.is_finished() {
            let _ = TcpStream::connect_timeout(&reachable(self.address), WAKE_PAUSE);
            thread::sleep(WAKE_PAUSE / 10);
        }
        if self.acceptor.join().is_err() {
            log::error!("the accept loop had panicked");
        }
        let cut_off = self.seats.wait(self.stop);
        if cut_off > 0 {
            log::warn!("{cut_off} connections were cut off within a request");
        }
    }
}

/// Where a listener on every address can be reached from this host.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

/// Where connections come in.
struct Door {
    service: Arc<Service>,
    seats: Arc<Seats>,
    /// Counts by its clones, so that no way out of a thread can forget to count down.
    turned_away: Arc<()>,
    trouble_said: Cell<Option<Instant>>,
}

impl Door {
    /// Accepts connections until service ends. An error costs the connection it is about, never
    /// the loop.
    fn watch(&self, listener: &TcpListener) {
        loop {
            let accepted = listener.accept();
            if self.seats.is_stopping() {
                return;
            }
            match accepted {
                Ok((tcp, peer)) => {
                    self.service.app.metrics().connections_accepted.add();
                    self.seats.wait_for_room();
                    self.receive(tcp, peer.ip().to_canonical());
                }
                // The client left between its connect and our accept.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.say(&format!("a connection cannot be accepted: {error}"));
                    // Most likely descriptors ran out, and each connection holds one.
                    self.seats.make_room(ROOM_PAUSE);
                }
            }
        }
    }

    fn receive(&self, tcp: TcpStream, address: IpAddr) {
        // Without it, answers on a kept connection wait 40 ms for the client's delayed ACK. It
        // fails only when the client is gone.
        if tcp.set_nodelay(true).is_err() {
            return;
        }
        let tcp = Arc::new(tcp);
        let service = Arc::clone(&self.service);
        if let Some(seat) = self.seats.admit(address, &tcp) {
            let seat = Arc::new(seat);
            return self.spawn(|| {
                let (service, seat, tcp) = (Arc::clone(&service), Arc::clone(&seat), tcp.clone());
                move || converse(&service, &seat, tcp, address)
            });
        }
        self.service.app.metrics().connections_turned_away.add();
        if Arc::strong_count(&self.turned_away) <= TURNED_AWAY_MAX {
            let counted = Arc::clone(&self.turned_away);
            let started = start_thread(move || {
                let _counted = counted;
                turn_away(&service, Socket::new(tcp), address);
            });
            if let Err(error) = started {
                self.say(&format!("no thread to turn a connection away: {error}"));
            }
        }
    }

    /// Does this work on a thread of its own. Each connection holds a thread, so where there is no
    /// further one, connections make room; if that does not help, the new one is lost with its
    /// work, and that is all it costs.
    fn spawn<W: FnOnce() + Send + 'static>(&self, work: impl Fn() -> W) {
        for _ in 0..SPAWN_TRIES {
            let Err(error) = start_thread(work()) else {
                return;
            };
            self.say(&format!("no thread for a new connection: {error}"));
            self.seats.make_room(ROOM_PAUSE);
        }
    }

    /// Trouble that comes with each connection is said once in a while.
    fn say(&self, trouble: &str) {
        if self.trouble_said.get().is_none_or(|it| it.elapsed() > TROUBLE_PAUSE) {
            log::warn!("{trouble}");
            self.trouble_said.set(Some(Instant::now()));
        }
    }
}

/// One connection from its first byte to its last.
fn converse(service: &Service, seat: &Seat, tcp: Arc<TcpStream>, address: IpAddr) {
    let _open = service.app.metrics().connections_open.hold();
    let socket = Socket::new(tcp);
    let Some(certificates) = &service.certificates else {
        let peer = Peer { address, secure: false };
        return Connection::new(service, socket.clone(), socket).converse(seat, peer);
    };
    socket.allow(service.deadlines.idle);
    let greeting = tls::greeting(&socket);
    if greeting == Greeting::Other || !seat.begin() {
        return;
    }
    socket.allow(service.deadlines.head);
    if let Some(stream) = secure(service, certificates, &socket, greeting, address) {
        let peer = Peer { address, secure: true };
        Connection::new(service, stream, socket).converse(seat, peer);
    }
}

fn turn_away(service: &Service, socket: Socket, address: IpAddr) {
    let Some(certificates) = &service.certificates else {
        return Connection::new(service, socket.clone(), socket).turn_away();
    };
    socket.allow(TURN_AWAY_HANDSHAKE);
    let greeting = tls::greeting(&socket);
    if let Some(stream) = secure(service, certificates, &socket, greeting, address) {
        Connection::new(service, stream, socket).turn_away();
    }
}

/// TLS on this socket; `None` when it comes to nothing, and then the client was told why as far as
/// it can be.
fn secure(
    service: &Service,
    certificates: &Certificates,
    socket: &Socket,
    greeting: Greeting,
    address: IpAddr,
) -> Option<TlsStream> {
    let plain = || Connection::new(service, socket.clone(), socket.clone());
    match greeting {
        Greeting::Tls => match TlsStream::accept(certificates.config(), socket.clone()) {
            Ok(stream) => return Some(stream),
            Err(error) => {
                log::debug!("no TLS with {address}: {error}");
                // An alert may be on its way, and closing with input unread would take it back.
                plain().linger();
            }
        },
        Greeting::Http => plain().demand_tls(),
        Greeting::Other => {}
    }
    None
}

fn start_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name("connection".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(work).map(drop)
}
