//! The words of RFC 7643 and RFC 7644. Pure: no I/O, no clock, no randomness.

pub mod bulk;
pub mod coerce;
pub mod datetime;
pub mod deactivation;
pub mod error;
pub mod filter;
pub mod identity;
pub mod membership;
pub mod message;
pub mod meta;
pub mod patch;
pub mod resource;
pub mod returned;
pub mod schema;
pub mod strict;
pub mod validate;
