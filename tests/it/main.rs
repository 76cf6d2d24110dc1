//! The integration tests, one module per feature.

#![allow(clippy::unwrap_used, reason = "tests")]

mod attack;
mod auth;
mod backup;
mod bad_input;
mod breakages;
mod bulk;
mod cli;
mod corpus;
mod docs;
mod durability;
mod field;
mod groups;
mod harness;
mod idle;
mod idp;
mod listing;
mod operations;
mod patch;
mod properties;
mod purge;
mod requirements;
mod rfc;
mod rules;
mod schemas;
mod secrets;
mod socket;
mod standby;
mod tidy;
mod tls;
mod upgrade;
mod users;
mod versions;
