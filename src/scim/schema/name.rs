//! The names of the attributes that plumm itself speaks of (RFC 7643 sections 4.1 and 4.2).

/// The attribute with the URNs of a resource's schemas (section 3).
pub const SCHEMAS: &str = "schemas";
/// The attribute with the id that the server gives a resource (section 3.1).
pub const ID: &str = "id";
/// The attribute that names an account.
pub const USER_NAME: &str = "userName";
/// The attribute with an account's e-mail addresses.
pub const EMAILS: &str = "emails";
/// The attribute that says whether an account may log in.
pub const ACTIVE: &str = "active";
/// The attribute with the members of a group.
pub const MEMBERS: &str = "members";
/// The attribute with the groups of a member; only the server sets it.
pub const GROUPS: &str = "groups";
/// The attribute with the name that the identity provider gives a resource.
pub const EXTERNAL_ID: &str = "externalId";
/// The attribute with the name that people read.
pub const DISPLAY_NAME: &str = "displayName";
