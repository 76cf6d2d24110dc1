//! The client that speaks as an identity provider: what Okta and Entra ID send, as values.
//!
//! `provider` makes the requests of each, `message` is a request and its answer, `client` sends one
//! over the network. `tests/it/idp` plays conversations with them inside one process, `plumm
//! okta-check` with any server.

pub mod client;
pub mod message;
pub mod person;
pub mod provider;
