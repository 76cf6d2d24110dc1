//! The HTTP server: a listener, a thread for each connection, and the orderly end of service.
//!
//! `acceptor` accepts connections, `protocol` tells HTTP from TLS, and `connection` serves one of
//! them: `request` makes requests of its bytes, `render` makes bytes of the responses. A connection
//! reads and writes a `stream`, which is a `socket` or, under `tls`, what lies over it. `limits`
//! names the caps and deadlines; `slots` enforces the cap on connections, `permits` the one on
//! requests that are handled at once and `budget` the one on the memory of their bodies. `front` is
//! what is answered before the application, and on a port of its own the only thing.

mod acceptor;
pub mod budget;
mod connection;
pub mod front;
pub mod limits;
mod permits;
pub mod probe;
mod protocol;
mod render;
pub mod request;
mod slots;
mod socket;
mod stream;
pub mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use socket2::SockRef;

use crate::app::App;
use crate::metrics::budget::BudgetMetric;
use crate::server::acceptor::Acceptor;
use crate::server::budget::Budget;
use crate::server::connection::Service;
use crate::server::front::Front;
use crate::server::limits::{
    ANONYMOUS_BODIES_BYTES_MAX, Limits, QUICK_REQUESTS_MAX, descriptors_max,
};
use crate::server::permits::Permits;
use crate::server::slots::Slots;
use crate::server::tls::certificates::Certificates;

/// Connections that wait to be accepted; the operating system may allow fewer.
const BACKLOG: i32 = 4096;
/// Between two attempts to wake the accept loop.
const WAKE_PAUSE: Duration = Duration::from_millis(20);

/// A server that accepts connections until it is stopped; merely dropped, it goes on until the
/// process ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    acceptor: JoinHandle<()>,
    app: Arc<App>,
    slots: Arc<Slots>,
    stop: Duration,
    /// Whether the application answers here.
    is_main: bool,
}

/// What is served on a listener.
struct Served {
    app: Arc<App>,
    certificates: Option<Arc<Certificates>>,
    front: Option<Front>,
    /// Whether the application answers there.
    is_main: bool,
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
        let served = Served { app, certificates: None, front: None, is_main: true };
        Server::start_service(limits, listener, served)
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
        let front = certificates.challenges().map(Front::new);
        let certificates = Some(certificates);
        Server::start_service(limits, listener, Served { app, certificates, front, is_main: true })
    }

    /// Serves nothing but this on this listener, in plain HTTP. The application words what is
    /// refused, and counts.
    ///
    /// # Errors
    ///
    /// When the listener has no address or no thread can be started.
    pub fn start_front(listener: TcpListener, app: Arc<App>, front: Front) -> io::Result<Server> {
        let served = Served { app, certificates: None, front: Some(front), is_main: false };
        Server::start_service(Limits::of_front(), listener, served)
    }

    fn start_service(limits: Limits, listener: TcpListener, served: Served) -> io::Result<Server> {
        let Served { app, certificates, front, is_main } = served;
        let address = listener.local_addr()?;
        listener.set_nonblocking(false)?;
        // A burst uses up the backlog that the standard library asks for, and a client that finds
        // no place in it tries again after a second.
        SockRef::from(&listener).listen(BACKLOG)?;
        let limits = match descriptors_max() {
            Some(descriptors) => limits.within(descriptors),
            None => limits,
        };
        if is_main {
            app.bound_waits(limits.connections);
        }
        let slots = Arc::new(Slots::new(&limits));
        let permits = Permits::new(limits.requests_at_work);
        let quick_permits = Permits::new(QUICK_REQUESTS_MAX);
        let budget = Budget::new(limits.bodies_bytes);
        let anonymous_budget = Budget::new(limits.bodies_bytes.min(ANONYMOUS_BODIES_BYTES_MAX));
        let deadlines = limits.deadlines;
        let service = Arc::new(Service {
            app: Arc::clone(&app),
            permits,
            quick_permits,
            budget,
            anonymous_budget,
            deadlines,
            certificates,
            front,
        });
        if is_main {
            watch_budgets(&service, &slots);
        }
        let acceptor = Acceptor::new(service, Arc::clone(&slots));
        let acceptor = thread::Builder::new()
            .name("accept".to_owned())
            .spawn(move || acceptor.run(&listener))?;
        Ok(Server { address, acceptor, app, slots, stop: limits.stop, is_main })
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends service: accepts nothing more, closes idle connections, and returns once the requests
    /// that are being handled are answered or their time is over.
    pub fn stop(self) {
        self.slots.stop();
        if self.is_main {
            self.app.end_waits();
        }
        // `accept` has no timeout, and a timeout on the listener would end it for other reasons
        // too: a connection from ourselves wakes it.
        while !self.acceptor.is_finished() {
            let _ = TcpStream::connect_timeout(&local_address(self.address), WAKE_PAUSE);
            thread::sleep(WAKE_PAUSE / 10);
        }
        if self.acceptor.join().is_err() {
            log::error!("the accept loop had panicked");
        }
        let cut_off = self.slots.drain(self.stop);
        if cut_off > 0 {
            log::warn!("{cut_off} connections were cut off within a request");
        }
    }
}

/// Has the metrics ask what the limits of this server have left.
fn watch_budgets(service: &Arc<Service>, slots: &Arc<Slots>) {
    // Weak, since the service holds the application and that the metrics.
    let (watched, slots) = (Arc::downgrade(service), Arc::downgrade(slots));
    service.app.metrics().set_budgets(move || {
        let (Some(service), Some(slots)) = (watched.upgrade(), slots.upgrade()) else {
            return Vec::new();
        };
        let count = |it: usize| it as u64;
        let [all, quick] = [&service.permits, &service.quick_permits].map(|it| it.numbers());
        let (known, anonymous) = (service.budget.numbers(), service.anonymous_budget.numbers());
        let slots = slots.numbers();
        let gauge = |name, help, labelled| BudgetMetric { name, kind: "gauge", help, labelled };
        let rooms = |i: usize| {
            vec![
                (Some(("room", "ordinary")), count(all[i])),
                (Some(("room", "quick")), count(quick[i])),
            ]
        };
        let tokens = |i: usize| {
            vec![(Some(("token", "known")), known[i]), (Some(("token", "none")), anonymous[i])]
        };
        let refused = "Request bodies for which there was no memory.";
        vec![
            gauge("plumm_permits_max", "Requests that may be handled at once.", rooms(0)),
            gauge("plumm_permits_in_use", "Requests that are being handled.", rooms(1)),
            gauge("plumm_permits_waiting", "Requests that wait to be handled.", rooms(2)),
            gauge(
                "plumm_body_bytes_max",
                "Memory that large bodies may take, those of one organisation three quarters.",
                tokens(0),
            ),
            gauge("plumm_body_bytes", "Memory that large request bodies take.", tokens(1)),
            BudgetMetric {
                name: "plumm_bodies_refused_total",
                kind: "counter",
                help: refused,
                labelled: tokens(2),
            },
            gauge(
                "plumm_connection_slots_max",
                "Connections that may be open.",
                vec![(None, count(slots[0]))],
            ),
            gauge(
                "plumm_connection_slots_in_use",
                "Connections that hold a place.",
                vec![(None, count(slots[1]))],
            ),
        ]
    });
}

/// Where a listener on every address can be reached from this host.
fn local_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}
