//! The tables of the database, one file each.

pub mod census;
pub mod change;
pub mod draft;
pub mod member;
pub mod org;
pub mod org_erasure;
pub mod provisioning_log;
pub mod refusal;
pub mod resource;
pub mod resource_type;
pub mod schema;
pub mod token;
pub mod webhook;
