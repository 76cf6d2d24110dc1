//! The integration tests, one module per feature.

#![allow(clippy::unwrap_used, reason = "tests")]

mod auth;
mod bad_input;
mod cli;
mod house;
mod idp;
mod rules;
mod socket;
mod tidy;
mod users;
