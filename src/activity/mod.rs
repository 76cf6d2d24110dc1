//! What happened, as one story: changes, and requests that were refused.

pub mod login;
pub mod story;
pub mod words;

use crate::scim::datetime::Timestamp;
use crate::store::query::story::{Change, Refused};
use crate::store::tables::org::OrgKey;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What.
    pub happened: Happened,
    /// The name of the organisation.
    pub org: String,
    /// What the resource is called today, unless it is purged.
    pub name: Option<String>,
}

/// A change, or a refusal.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// Something was changed.
    Change(Change),
    /// A request was refused, or several.
    Refusal(Refused),
}

impl Happened {
    /// When; of several, the last one.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            Happened::Change(it) => it.time,
            Happened::Refusal(it) => it.refusal.last,
        }
    }

    /// The organisation.
    #[must_use]
    pub fn org(&self) -> OrgKey {
        match self {
            Happened::Change(it) => it.org,
            Happened::Refusal(it) => it.refusal.org,
        }
    }

    /// The id of what it is about.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        match self {
            Happened::Change(it) => Some(&it.resource),
            Happened::Refusal(it) => it.refusal.resource.as_deref(),
        }
    }
}
