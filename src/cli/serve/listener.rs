//! Where a server listens: at an address of its own, or on the socket that systemd passes it.
//!
//! systemd passes sockets from the third descriptor on, and one socket as standard input too where
//! the service has `StandardInput=socket`. Only that one can be taken without `unsafe`.

use std::env;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process;

use crate::cli::error::CliError;

/// How many sockets systemd passes,
const LISTEN_FDS: &str = "LISTEN_FDS";
/// and the process that it passes them to.
const LISTEN_PID: &str = "LISTEN_PID";

/// Listens at this address; with a unit of sockets (`plumm.socket`), on the one that is passed.
///
/// # Errors
/// Why that cannot be.
pub fn listener(address: SocketAddr) -> Result<TcpListener, CliError> {
    let given = |name| env::var(name).ok();
    match sockets(given(LISTEN_FDS).as_deref(), given(LISTEN_PID).as_deref(), process::id()) {
        0 => bind(address),
        1 => of_this_address(passed()?, address),
        count => Err(CliError::Failed(format!(
            "systemd passes {count} sockets, and plumm serves one: leave one ListenStream= in \
             plumm.socket"
        ))),
    }
}

/// How many sockets are passed to this process.
fn sockets(count: Option<&str>, to: Option<&str>, id: u32) -> u32 {
    let for_this = to.is_some_and(|it| it.parse() == Ok(id));
    count.filter(|_| for_this).and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn passed() -> Result<TcpListener, CliError> {
    let socket = io::stdin().as_fd().try_clone_to_owned();
    socket.map(TcpListener::from).map_err(|it| no_listener(&it))
}

fn no_listener(reason: &io::Error) -> CliError {
    CliError::Failed(format!(
        "systemd passes a socket, and standard input is none to listen on ({reason}): write \
         ListenStream=ADDR:PORT into plumm.socket, and StandardInput=socket into the service"
    ))
}

/// The settings tell where the server listens, to other commands too: a socket elsewhere would make
/// them untrue.
fn of_this_address(listener: TcpListener, address: SocketAddr) -> Result<TcpListener, CliError> {
    let own = listener.local_addr().map_err(|it| no_listener(&it))?;
    if own == address {
        return Ok(listener);
    }
    Err(CliError::Failed(format!(
        "systemd passes a socket at {own}, and the server is to listen on {address}: write \
         PLUMM_LISTEN={own} into the file of settings, or ListenStream={address} into plumm.socket"
    )))
}

/// Listens at this address.
///
/// # Errors
/// Why it cannot, and what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).map_err(|error| {
        let what_to_do = match error.kind() {
            ErrorKind::AddrInUse => {
                "the port is in use, perhaps by another plumm: stop that program, or choose \
                 another port with --listen ADDR:PORT"
            }
            ErrorKind::AddrNotAvailable => {
                "this host does not have the address: choose one of its own with --listen ADDR:PORT"
            }
            ErrorKind::PermissionDenied => {
                "that is not allowed: choose a port from 1024 on with --listen ADDR:PORT, or give \
                 the program the capability CAP_NET_BIND_SERVICE (deploy/plumm.service)"
            }
            _ => return failed(address, &error),
        };
        CliError::Failed(format!("cannot listen on {address}: {what_to_do}"))
    })
}

fn failed(address: SocketAddr, error: &io::Error) -> CliError {
    CliError::Failed(format!("cannot listen on {address}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_passed_to_one_process() {
        for (count, to, expected) in [
            (None, None, 0),
            (Some("1"), None, 0),
            (Some("1"), Some("7"), 0),
            (Some("1"), Some("4711"), 1),
            (Some("2"), Some("4711"), 2),
            (Some("0"), Some("4711"), 0),
            (Some("x"), Some("4711"), 0),
        ] {
            assert_eq!(sockets(count, to, 4711), expected, "{count:?} {to:?}");
        }
    }
}
