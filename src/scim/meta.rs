//! A resource's metadata (RFC 7643 section 3.1 `meta`) and versions (RFC 7644 section 3.14).

use serde_json::{Value, json};

use crate::scim::datetime::Timestamp;

/// What the server knows of a resource beside its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The name of the resource type.
    pub resource_type: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// Where it is: the URL of the resource.
    pub location: String,
    /// How often it has been written; 1 when it is new.
    pub version: i64,
}

impl Meta {
    /// The weak entity tag of this version.
    #[must_use]
    pub fn version_tag(&self) -> String {
        version_tag(self.version)
    }

    /// The `meta` attribute.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "resourceType": self.resource_type,
            "created": self.created.to_string(),
            "lastModified": self.last_modified.to_string(),
            "location": self.location,
            "version": self.version_tag(),
        })
    }
}

/// The weak entity tag of a version (RFC 7644 section 3.14).
#[must_use]
pub fn version_tag(version: i64) -> String {
    format!("W/\"{version}\"")
}
