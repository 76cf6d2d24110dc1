//! The way to a server: the addresses of its name, a connection to each, and its certificate.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName};

use crate::idp::address::Base;
use crate::idp::chain;
use crate::idp::step::{Fault, Notes};
use crate::scim::datetime::Timestamp;
use crate::server::probe;

/// How long a name is looked up, and a connection waited for.
const STEP_TIME_MAX: Duration = Duration::from_secs(10);
/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 8;

/// The addresses of the host.
///
/// # Errors
/// Why there is none.
pub fn addresses(base: &Base, patience: Duration) -> Result<Vec<SocketAddr>, Fault> {
    if let Some(address) = base.address() {
        return Ok(vec![SocketAddr::new(address, base.port)]);
    }
    let (sender, receiver) = mpsc::channel();
    let asked = (base.host.clone(), base.port);
    // The system's own patience may be longer than ours: the thread ends when it does.
    thread::spawn(move || {
        let found = asked.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody may be waiting any more.
        let _ = sender.send(found);
    });
    let host = &base.host;
    let fault = |seen: String| {
        Fault::new(seen, "check the name for a slip, and its A or AAAA record in the public DNS")
    };
    match receiver.recv_timeout(patience.min(STEP_TIME_MAX)) {
        Err(_) => Err(fault(format!("the DNS has not answered for {host} in time"))),
        Ok(Err(error)) => Err(fault(format!("no address is known of {host} ({error})"))),
        Ok(Ok(mut found)) => {
            let mut seen = Vec::new();
            found.retain(|it| {
                !seen.contains(it) && {
                    seen.push(*it);
                    true
                }
            });
            match found.is_empty() {
                true => Err(fault(format!("no address is known of {host}"))),
                false => Ok(found),
            }
        }
    }
}

/// What is seen of the addresses, and who cannot reach them.
pub fn describe(addresses: &[SocketAddr], notes: &mut Notes) -> String {
    let inner: Vec<String> =
        addresses.iter().filter(|it| is_inner(it.ip())).map(|it| it.ip().to_string()).collect();
    if !inner.is_empty() {
        notes.warn(format!(
            "{} is an address of a private network: the cloud of an identity provider cannot \
             reach it, an agent of theirs on that network can",
            inner.join(", ")
        ));
    }
    let all: Vec<String> = addresses.iter().map(|it| it.ip().to_string()).collect();
    all.join(", ")
}

/// Whether an address is one of a private network or of the host itself.
fn is_inner(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => it.is_private() || it.is_loopback() || it.is_link_local(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local(),
    }
}

/// The addresses that take a connection.
///
/// # Errors
/// Why none does.
pub fn connect(
    addresses: &[SocketAddr],
    patience: Duration,
    notes: &mut Notes,
) -> Result<Vec<SocketAddr>, Fault> {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match TcpStream::connect_timeout(address, patience.min(STEP_TIME_MAX)) {
            Ok(_) => open.push(*address),
            Err(error) => closed.push(format!("{address}: {}", in_words(&error))),
        }
    }
    if open.is_empty() {
        return Err(Fault::new(
            closed.join("; "),
            "start the server there, check the port, and let a firewall in between pass it",
        ));
    }
    if !closed.is_empty() {
        notes.warn(format!(
            "the name has further addresses that take no connection from here ({}): an identity \
             provider may choose one of them",
            closed.join("; ")
        ));
    }
    Ok(open)
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "it does not answer in time".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no way to it from here".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The certificates that the server shows at each of these addresses, judged.
///
/// # Errors
/// Why an identity provider does not trust it.
pub fn certificate(
    base: &Base,
    addresses: &[SocketAddr],
    roots: &[CertificateDer<'static>],
    patience: Duration,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<String, Fault> {
    if roots.is_empty() {
        return Err(Fault::new(
            "this host has no certificate authorities to judge by",
            "install the package ca-certificates, or give authorities with --ca",
        ));
    }
    let name = match base.address() {
        Some(address) => ServerName::IpAddress(address.into()),
        None => ServerName::try_from(base.host.clone()).map_err(|_| {
            let seen = format!("{} is no name that a certificate can have", base.host);
            Fault::new(seen, "check the URL")
        })?,
    };
    let mut seen: Vec<(Vec<Vec<u8>>, String)> = Vec::new();
    for address in addresses {
        let shown = probe::shown_chain(*address, name.clone(), patience.min(STEP_TIME_MAX));
        let shown = shown.map_err(|it| no_tls(*address, &it))?;
        if seen.iter().any(|(it, _)| *it == shown) {
            continue;
        }
        let words = chain::judge(base, &shown, roots, now, notes)?;
        seen.push((shown, words));
    }
    let words: Vec<String> = seen.into_iter().map(|(_, words)| words).collect();
    Ok(words.join("; "))
}

/// Why no certificate was shown.
fn no_tls(address: SocketAddr, error: &io::Error) -> Fault {
    let tls = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        // What is no TLS record is said to be a message with a wrong type of content.
        (Some(rustls::Error::InvalidMessage(_)), _) => Fault::new(
            format!("what listens at {address} speaks no TLS"),
            "give the server a certificate, or the port of the proxy that has one",
        ),
        (Some(rustls::Error::AlertReceived(alert)), _) => Fault::new(
            format!("the server refuses TLS 1.2 and 1.3 ({alert:?})"),
            "let it speak TLS 1.2 or newer with the ciphers of today, and know this host name",
        ),
        (Some(other), _) => Fault::new(
            format!("TLS fails: {other}"),
            "look at the log of the server or of the proxy that has the certificate",
        ),
        (None, ErrorKind::TimedOut | ErrorKind::WouldBlock) => Fault::new(
            format!("{address} takes the connection, and then says nothing of TLS in time"),
            "check the port, and whether the server is overloaded",
        ),
        (None, _) => Fault::new(
            format!("TLS fails: {address} ends the connection ({error})"),
            "check that this port speaks TLS and knows this host name",
        ),
    }
}
