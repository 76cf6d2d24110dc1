//! The integration tests, one module per feature.

#![allow(clippy::unwrap_used, reason = "tests")]

mod auth;
mod bad_input;
mod breakages;
mod cli;
mod house;
mod idle;
mod idp;
mod patch;
mod purge;
mod requirements;
mod rfc;
mod rules;
mod socket;
mod tidy;
mod users;
