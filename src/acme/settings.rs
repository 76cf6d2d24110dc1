//! What is asked for, and of whom.

use crate::acme::challenges::Kind;

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What is asked for, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The names of the certificate, in lower case.
    pub domains: Vec<String>,
    /// Where the directory can reach whoever runs the server.
    pub email: Option<String>,
    /// The URL of the directory.
    pub directory: String,
    /// The challenge that is tried first.
    pub first: Kind,
}
