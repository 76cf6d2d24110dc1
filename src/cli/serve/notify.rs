//! What systemd is told of the server: that it is ready, that it ends, and that it lives
//! (`sd_notify` of a unit with `Type=notify` and `WatchdogSec=`).

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

/// Names the socket of whoever has started the server.
const SOCKET: &str = "NOTIFY_SOCKET";
/// After how many microseconds without a sign of life it ends the server,
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// and which process that is about; any where there is none.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Whoever has started the server, if it wants to be told anything.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Supervisor {
        Supervisor::new(|name| env::var_os(name), process::id())
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>, id: u32) -> Supervisor {
        let Some(name) = variable(SOCKET).filter(|it| !it.is_empty()) else {
            return Supervisor::default();
        };
        let socket = address(&name).and_then(|it| Ok((UnixDatagram::unbound()?, it)));
        match socket {
            Ok(it) => Supervisor { socket: Some(it), watchdog: watchdog(variable, id) },
            Err(error) => {
                log::warn!("{SOCKET}: nobody is told that the server is ready: {error}");
                Supervisor::default()
            }
        }
    }

    /// How long it waits for a sign of life, where it does.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The server is ready for requests.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The server ends.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// The server lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            let what = state.lines().next().unwrap_or_default();
            log::warn!("{what} cannot be told to the socket of {SOCKET}: {error}");
        }
    }
}

/// The address of a socket: a path, or a name of no file behind an `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(rest)
        }
        _ => Err(io::Error::other("it is neither a path nor a name behind an @")),
    }
}

fn watchdog(variable: impl Fn(&str) -> Option<OsString>, id: u32) -> Option<Duration> {
    let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
    if variable(WATCHDOG_PID).is_some() && number(WATCHDOG_PID) != Some(u64::from(id)) {
        return None;
    }
    number(WATCHDOG_USEC).filter(|it| *it > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor(variables: &[(&str, &str)]) -> Supervisor {
        let find = |name: &str| variables.iter().find(|(it, _)| *it == name);
        Supervisor::new(|name| find(name).map(|(_, value)| OsString::from(value)), 4711)
    }

    #[test]
    fn the_socket_is_a_path_or_an_abstract_name() {
        for (name, known) in [
            ("/run/systemd/notify", true),
            ("@plumm-test", true),
            ("", false),
            ("vsock:2:1234", false),
            ("run/notify", false),
        ] {
            assert_eq!(supervisor(&[(SOCKET, name)]).socket.is_some(), known, "{name:?}");
        }
        assert!(supervisor(&[]).socket.is_none());
        // Nobody is there, which costs a warning and no more.
        supervisor(&[(SOCKET, "/nowhere/notify")]).ready("listening");
    }

    #[test]
    fn the_watchdog_is_of_this_process() {
        let wanted = |variables: &[(&str, &str)]| {
            supervisor(&[&[(SOCKET, "@plumm-test")], variables].concat()).watchdog()
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(wanted(&[(WATCHDOG_USEC, "1000000")]), second);
        assert_eq!(wanted(&[(WATCHDOG_USEC, "1000000"), (WATCHDOG_PID, "4711")]), second);
        assert_eq!(wanted(&[(WATCHDOG_USEC, "1000000"), (WATCHDOG_PID, "1")]), None);
        assert_eq!(wanted(&[(WATCHDOG_USEC, "1000000"), (WATCHDOG_PID, "x")]), None);
        for none in ["0", "", "-1", "x"] {
            assert_eq!(wanted(&[(WATCHDOG_USEC, none)]), None, "{none:?}");
        }
        assert_eq!(wanted(&[]), None);
        assert_eq!(supervisor(&[(WATCHDOG_USEC, "1000000")]).watchdog(), None);
    }
}
