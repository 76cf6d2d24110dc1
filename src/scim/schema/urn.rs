//! The URNs of RFC 7643 and RFC 7644, and how a URN is told from an attribute name.

/// The schema of a schema (RFC 7643 section 7).
pub const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
/// The schema of a resource type (RFC 7643 section 6).
pub const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// The schema of the service provider's configuration (RFC 7643 section 5).
pub const SERVICE_PROVIDER_CONFIG: &str =
    "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
/// A page of resources (RFC 7644 section 3.4.2).
pub const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// A search in a body (RFC 7644 section 3.4.3).
pub const SEARCH_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// Several operations in one request (RFC 7644 section 3.7).
pub const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The answer to several operations (RFC 7644 section 3.7).
pub const BULK_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// A PATCH request (RFC 7644 section 3.5.2).
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// An error (RFC 7644 section 3.12).
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What the schema URNs of SCIM 1.1 begin with; a client that sends one speaks the older protocol.
pub const SCIM_1_PREFIX: &str = "urn:scim:schemas:";

/// Whether this member name is a schema URN and not an attribute name: attribute names have no
/// colon (RFC 7643 section 2.1), schema URIs always have one.
#[must_use]
pub fn is_urn(name: &str) -> bool {
    name.contains(':')
}

/// What the schema URNs of other people do not begin with, in lower case.
const RESERVED: &[&str] = &[
    "urn:ietf:params:scim:schemas:core:",
    "urn:ietf:params:scim:schemas:extension:enterprise:",
    "urn:ietf:params:scim:api:",
    SCIM_1_PREFIX,
    "urn:plumm:",
];

/// Whether this URN belongs to SCIM or to this program, so that no schema can be registered by it.
#[must_use]
pub fn is_reserved(urn: &str) -> bool {
    let urn = urn.to_ascii_lowercase();
    RESERVED.iter().any(|it| urn.starts_with(it))
}
