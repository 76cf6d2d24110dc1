//! plumm, a self-hosted SCIM 2.0 provisioning server: one synchronous binary, one SQLite file.

pub mod app;
pub mod http;
pub mod server;
