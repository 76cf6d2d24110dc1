//! The terms and rules of RFC 7643 and RFC 7644. Nothing here does I/O, reads the clock or draws
//! random bytes.

pub mod bulk;
pub mod changes;
pub mod coerce;
pub mod datetime;
pub mod deactivation;
pub mod error;
pub mod filter;
pub mod identity;
pub mod json;
pub mod membership;
pub mod message;
pub mod meta;
pub mod patch;
pub mod print;
pub mod reference;
pub mod resource;
pub mod returned;
pub mod schema;
pub mod strict;
pub mod twice;
pub mod validate;
