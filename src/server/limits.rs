//! How much of the server clients may take: the caps on connections and the deadlines.

use std::fs;
use std::time::Duration;

use ipnet::IpNet;

/// Connections open at once.
pub const CONNECTIONS_MAX: usize = 512;
/// Connections of one client address, unless it is loopback or a trusted proxy.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 128;
/// File descriptors that are not for connections: those of the database, of webhooks, and of
/// clients that are turned away.
const DESCRIPTORS_RESERVED: usize = 104;
/// Connections that are served, however few descriptors the system grants.
const CONNECTIONS_MIN: usize = 16;
/// Requests the application works on at once. It is a limit of its own, apart from the
/// connections: with very few, group commit has nothing to group.
pub const REQUESTS_AT_WORK_MAX: usize = 64;

/// Requests that are handled at once beside those: logins, and whether the server is there.
pub const QUICK_REQUESTS_MAX: usize = 16;

/// What all request bodies in memory may take beyond the first 64 KiB of each, in bytes.
pub const BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The same for requests to paths that need no token, which nobody sends with a large body.
pub const ANONYMOUS_BODIES_BYTES_MAX: usize = 8 * 1024 * 1024;

/// From the first byte of a request to the end of its head.
pub const HEAD_SECONDS_MAX: u64 = 10;
/// From the end of a head to the end of its body.
pub const BODY_SECONDS_MAX: u64 = 30;
/// For writing one response.
pub const WRITE_SECONDS_MAX: u64 = 30;
/// Without a byte between two requests.
pub const IDLE_SECONDS_MAX: u64 = 75;
/// From the last byte sent until the client closes its side too.
pub const LINGER_SECONDS_MAX: u64 = 1;
/// For the requests that are being handled when the server stops.
pub const STOP_SECONDS_MAX: u64 = 10;

/// The caps and deadlines of one server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once.
    pub connections: usize,
    /// Connections of one client address, unless it is loopback or a trusted proxy.
    pub connections_per_address: usize,
    /// Addresses that speak for many clients: only `connections` limits them.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests the application works on at once.
    pub requests_at_work: usize,
    /// What all request bodies in memory may take beyond the first 64 KiB of each, in bytes.
    pub bodies_bytes: usize,
    /// The deadlines of a connection.
    pub deadlines: Deadlines,
    /// How long `stop` waits for the requests that are being handled.
    pub stop: Duration,
}

/// Connections open at once on the port that only answers challenges and leads to HTTPS,
pub const FRONT_CONNECTIONS_MAX: usize = 32;
/// those of one address,
pub const FRONT_CONNECTIONS_PER_ADDRESS_MAX: usize = 8;
/// and how long each part of one may take, in seconds.
pub const FRONT_SECONDS_MAX: u64 = 5;

impl Limits {
    /// Those of the port that only answers challenges and leads to HTTPS.
    #[must_use]
    pub fn of_front() -> Limits {
        let time = Duration::from_secs(FRONT_SECONDS_MAX);
        let linger = Duration::from_secs(LINGER_SECONDS_MAX);
        Limits {
            connections: FRONT_CONNECTIONS_MAX,
            connections_per_address: FRONT_CONNECTIONS_PER_ADDRESS_MAX,
            deadlines: Deadlines { head: time, body: time, write: time, idle: time, linger },
            stop: linger,
            ..Limits::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: CONNECTIONS_MAX,
            connections_per_address: CONNECTIONS_PER_ADDRESS_MAX,
            trusted_proxies: Vec::new(),
            requests_at_work: REQUESTS_AT_WORK_MAX,
            bodies_bytes: BODIES_BYTES_MAX,
            deadlines: Deadlines::default(),
            stop: Duration::from_secs(STOP_SECONDS_MAX),
        }
    }
}

impl Limits {
    /// These limits with no more connections than this many file descriptors are enough for. A
    /// database without a descriptor cannot answer, so connections may not take them all.
    #[must_use]
    pub fn within(mut self, descriptors: usize) -> Limits {
        let enough_for = descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(CONNECTIONS_MIN);
        if enough_for < self.connections {
            log::warn!(
                "the system grants {descriptors} file descriptors, enough for {enough_for} \
                 connections: raise `ulimit -n` for {}",
                self.connections
            );
            self.connections = enough_for;
        }
        self
    }
}

/// How many file descriptors this process may have, where it has `/proc`.
#[must_use]
pub fn descriptors_max() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|it| it.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How long each part of a connection's life may take: total time, however many reads or writes
/// it needs. A limit per read would let a client hold a thread for ever, one byte at a time.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// From the end of a head to the end of its body.
    pub body: Duration,
    /// For writing one response.
    pub write: Duration,
    /// Without a byte between two requests.
    pub idle: Duration,
    /// From the last byte sent until the client closes its side too.
    pub linger: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            head: Duration::from_secs(HEAD_SECONDS_MAX),
            body: Duration::from_secs(BODY_SECONDS_MAX),
            write: Duration::from_secs(WRITE_SECONDS_MAX),
            idle: Duration::from_secs(IDLE_SECONDS_MAX),
            linger: Duration::from_secs(LINGER_SECONDS_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_database() {
        for (descriptors, connections) in [(20_000, 512), (616, 512), (615, 511), (64, 16), (0, 16)]
        {
            assert_eq!(Limits::default().within(descriptors).connections, connections);
        }
        let few = Limits { connections: 2, ..Limits::default() };
        assert_eq!(few.within(0).connections, 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_says_how_many_descriptors_there_are() {
        assert!(descriptors_max().is_some_and(|it| it > 0));
    }
}
