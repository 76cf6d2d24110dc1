//! A schema document (RFC 7643 section 7): what it defines, and the document itself.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::scim::attribute::{Attribute, find};

/// A schema: its URN, its attributes, and the document that `/Schemas` answers.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The schema's URN.
    pub id: String,
    /// The attributes on the first level.
    pub attributes: Vec<Arc<Attribute>>,
    /// The document as it is published, without `meta`.
    pub document: Value,
}

#[derive(Deserialize)]
struct Parts {
    id: String,
    attributes: Vec<Arc<Attribute>>,
}

impl Schema {
    /// Reads a schema document.
    ///
    /// # Errors
    /// A sentence that says where the document is not one of RFC 7643 section 7.
    pub fn from_document(document: Value) -> Result<Schema, String> {
        let parts = Parts::deserialize(&document).map_err(|it| it.to_string())?;
        Ok(Schema { id: parts.id, attributes: parts.attributes, document })
    }

    /// The attribute of this name on the first level, in any letter case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Arc<Attribute>> {
        find(&self.attributes, name)
    }
}
