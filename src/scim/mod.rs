//! The words of RFC 7643 and RFC 7644. Pure: no I/O, no clock, no randomness.

pub mod attribute;
pub mod bulk;
pub mod comparison;
pub mod condition;
pub mod datetime;
pub mod definitions;
pub mod error;
pub mod filter;
pub mod filter_match;
pub mod identity;
pub mod membership;
pub mod message;
pub mod meta;
pub mod patch;
pub mod patch_single;
pub mod patch_values;
pub mod path;
pub mod resource;
pub mod resource_type;
pub mod returned;
pub mod schema;
pub mod service_provider_config;
pub mod strict;
pub mod urn;
pub mod validate;
