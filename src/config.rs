//! The settings that an operator gives when the server is started.

use std::path::PathBuf;

use ipnet::IpNet;

/// The settings of a running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The URL clients reach the server by, without `/scim/v2` and without a trailing slash. Where
    /// it is not set, the `Host` a request names decides.
    pub public_url: Option<String>,
    /// How long the provisioning log is kept, in days.
    pub log_days: u32,
    /// The reverse proxies that are trusted to name the client of a request.
    pub trusted_proxies: Vec<IpNet>,
    /// The backups that the server makes by itself, if it does.
    pub backups: Option<Backups>,
}

/// The backups that a server makes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backups {
    /// The folder that they are in.
    pub dir: PathBuf,
    /// How many hours lie between two of them.
    pub every: u32,
    /// How many are kept.
    pub keep: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { public_url: None, log_days: 365, trusted_proxies: Vec::new(), backups: None }
    }
}
