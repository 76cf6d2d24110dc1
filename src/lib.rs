//! plumm, a self-hosted SCIM 2.0 provisioning server: one synchronous binary, one SQLite file.

pub mod access;
pub mod app;
pub mod auth;
pub mod clock;
pub mod config;
pub mod endpoints;
pub mod http;
pub mod id;
pub mod scim;
pub mod server;
pub mod store;
