//! The client that speaks as an identity provider: what Okta and Entra ID send, as values.
//!
//! `provider` makes the requests of each, `message` is a request and its answer, `client` sends one
//! over the network. `tests/it/idp` plays conversations with them inside one process, `plumm
//! okta-check` with any server.

pub mod address;
pub mod chain;
pub mod check;
pub mod client;
pub mod company;
pub mod credential;
pub mod message;
pub mod person;
pub mod provider;
pub mod reach;
pub mod step;
