//! plumm, a self-hosted SCIM 2.0 provisioning server: one synchronous binary, one SQLite file.

pub mod app;
pub mod clock;
pub mod http;
pub mod id;
pub mod scim;
pub mod server;
pub mod store;
