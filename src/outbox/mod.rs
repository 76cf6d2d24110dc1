//! The provisioning log as an outbox: what the application is told of its lines, by the change feed
//! and by webhooks.

pub mod account;
pub mod reader;

use crate::events::Kind;

/// The types of all events.
pub fn event_types() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(|(_, name)| name)
}
