//! What happened, as one story: changes, and requests that were refused.

pub mod deeds;
pub mod login;
pub mod story;
pub mod words;

use std::collections::HashMap;

use serde_json::Value;

use crate::scim::datetime::Timestamp;
use crate::scim::schema::name::MEMBERS;
use crate::store::query::story::{Change, Refused};
use crate::store::tables::org::OrgKey;

/// How many members a sentence names of those that were added, and of those that were removed.
pub const MEMBERS_SHOWN_MAX: usize = 3;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What.
    pub happened: Happened,
    /// The name of the organisation; nothing of one that was erased.
    pub org: String,
    /// What the resource is called today, unless it is purged; of a token its label.
    pub name: Option<String>,
    /// What the members are called that it names, as far as the sentence shows them, by id.
    pub members: HashMap<String, String>,
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

    /// The ids of the members that it says were added or removed: the first of each.
    #[must_use]
    pub fn members(&self, most: usize) -> Vec<&str> {
        let Happened::Change(it) = self else { return Vec::new() };
        let members = it.changes.get(MEMBERS).and_then(Value::as_object).into_iter().flatten();
        let ids = members.filter_map(|(_, it)| it.as_array()).flat_map(|it| it.iter().take(most));
        ids.filter_map(Value::as_str).collect()
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
