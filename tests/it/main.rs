//! The integration tests, one module per feature.

#![allow(clippy::unwrap_used, reason = "tests")]

mod attack;
mod auth;
mod backup;
mod bad_input;
mod budgets;
mod bulk;
mod changes;
mod cli;
mod client_quirks;
mod columns;
mod corpus;
mod docs;
mod durability;
mod field;
mod groups;
mod harness;
mod idle_server;
mod idp;
mod listing;
mod locks;
mod login;
mod near_forms;
mod openapi;
mod operations;
mod patch;
mod product_rules;
mod properties;
mod purge;
mod record;
mod requirements;
mod resource_types;
mod rfc;
mod schemas;
mod secrets;
mod sentences;
mod socket;
mod standby;
mod terminal;
mod tidy;
mod tls;
mod upgrade;
mod users;
mod versions;
mod webhooks;
