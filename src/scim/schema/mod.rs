//! Schemas and resource types (RFC 7643): what an attribute is called and may hold.

pub mod attribute;
pub mod definitions;
pub mod document;
pub mod name;
pub mod own_type;
pub mod resource_type;
pub mod service_provider_config;
pub mod type_conflicts;
pub mod urn;
