//! The words of RFC 7643 and RFC 7644. Pure: no I/O, no clock, no randomness.

pub mod attribute;
pub mod comparison;
pub mod condition;
pub mod datetime;
pub mod definitions;
pub mod error;
pub mod filter;
pub mod filter_match;
pub mod identity;
pub mod path;
pub mod resource_type;
pub mod schema;
pub mod urn;
