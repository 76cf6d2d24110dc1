//! What an accepted connection speaks, plain HTTP or TLS, and how it is served or turned away.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::server::connection::{Connection, Peer, Service};
use crate::server::slots::Slot;
use crate::server::socket::Socket;
use crate::server::tls::certificates::Certificates;
use crate::server::tls::stream::TlsStream;

/// What a client that is turned away may take of a thread for its TLS handshake. There is less room
/// for such clients than for connections, so it is less than the deadline of those.
const TURN_AWAY_HANDSHAKE: Duration = Duration::from_secs(2);
/// The first byte of each TLS connection: a record of the handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What a client speaks, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// A TLS handshake.
    Tls,
    /// A letter, as the method of a plain HTTP request has it.
    Http,
    /// Anything else, or nothing at all.
    Unknown,
}

/// Serves a connection from its first byte to its last.
pub fn serve(service: &Service, slot: &Slot, tcp: Arc<TcpStream>, address: IpAddr) {
    let _open = service.app.metrics().connections_open.hold();
    let socket = Socket::new(tcp);
    let Some(certificates) = &service.certificates else {
        let peer = Peer { address, secure: false };
        return Connection::new(service, socket.clone(), socket).serve(slot, peer);
    };
    socket.set_deadline_in(service.deadlines.idle);
    let protocol = detect(&socket);
    if protocol == Protocol::Unknown || !slot.set_reading() {
        return;
    }
    socket.set_deadline_in(service.deadlines.head);
    if let Some(stream) = handshake(service, certificates, &socket, protocol, address) {
        let peer = Peer { address, secure: true };
        Connection::new(service, stream, socket).serve(slot, peer);
    }
}

/// Tells a client for which there is no slot to try again.
pub fn turn_away(service: &Service, tcp: Arc<TcpStream>, address: IpAddr) {
    let socket = Socket::new(tcp);
    let Some(certificates) = &service.certificates else {
        return Connection::new(service, socket.clone(), socket).turn_away();
    };
    socket.set_deadline_in(TURN_AWAY_HANDSHAKE);
    let protocol = detect(&socket);
    if let Some(stream) = handshake(service, certificates, &socket, protocol, address) {
        Connection::new(service, stream, socket).turn_away();
    }
}

/// Waits for the first byte on this socket and leaves it to be read.
fn detect(socket: &Socket) -> Protocol {
    match socket.peek() {
        Ok(Some(HANDSHAKE_RECORD)) => Protocol::Tls,
        Ok(Some(byte)) if byte.is_ascii_alphabetic() => Protocol::Http,
        _ => Protocol::Unknown,
    }
}

/// TLS on this socket; `None` when the handshake fails, and then the client was told why as far as
/// that is possible.
fn handshake(
    service: &Service,
    certificates: &Certificates,
    socket: &Socket,
    protocol: Protocol,
    address: IpAddr,
) -> Option<TlsStream> {
    let plain = || Connection::new(service, socket.clone(), socket.clone());
    match protocol {
        Protocol::Tls => match TlsStream::accept(certificates.config(), socket.clone()) {
            // RFC 8737 section 3: nothing follows.
            Ok(stream) if stream.is_challenge() => {
                log::info!("ACME: {address} has looked for the answer to a challenge");
                Connection::new(service, stream, socket.clone()).linger();
            }
            Ok(stream) => return Some(stream),
            Err(error) => {
                log::debug!(client:% = address; "no TLS with {address}: {error}");
                // An alert may be on its way, and closing with input unread would take it back.
                plain().linger();
            }
        },
        Protocol::Http => plain().refuse_plain_http(),
        Protocol::Unknown => {}
    }
    None
}
