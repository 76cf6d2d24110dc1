//! The client that speaks as an identity provider: what Okta and Entra ID send, as values.
//!
//! `provider` makes the requests of each for a `person`, `message` is a request and its answer,
//! `client` sends one over the network. `check` is the conversation of `plumm okta-check` with any
//! server, in `step`s, after `address`, `credential`, `reach` and `chain` have found the way to it;
//! `company` is that of `plumm demo`. `tests/it/idp` replays others with the same parts, inside one
//! process.

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
