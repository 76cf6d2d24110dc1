//! The product rules about who an account is: its userName and primary e-mail address.

use serde::{Deserialize, Serialize};

/// What an organisation's usernames must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsernameFormat {
    /// An e-mail address.
    Email,
    /// Any text.
    Any,
}

/// Whether userName and the primary e-mail address may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityChanges {
    /// They are refused.
    Refuse,
    /// They are applied.
    Allow,
}
