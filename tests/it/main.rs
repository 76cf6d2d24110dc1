//! The integration tests, one module per feature.

#![allow(clippy::unwrap_used, reason = "tests")]

mod breakages;
mod cli;
mod groups;
mod house;
mod idle;
mod idp;
mod patch;
mod purge;
mod rules;
mod socket;
mod tidy;
mod users;
