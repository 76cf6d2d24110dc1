//! The provisioning log as an outbox: what the application is told of its lines, by the change feed
//! and by webhooks.

pub mod account;
pub mod reader;
