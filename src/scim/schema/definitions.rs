//! All schemas and resource types an organisation uses, as `/Schemas` and `/ResourceTypes` tell.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::scim::identity::IdentityChanges;
use crate::scim::schema::document::Schema;
use crate::scim::schema::own_type::{OwnType, TypeDocument};
use crate::scim::schema::resource_type::{Extension, ResourceType};

/// The published schemas, one file each. A new resource type is one more file here and one more
/// entry in `resource_types.json`.
const SCHEMAS: &[&str] = &[
    include_str!("user.json"),
    include_str!("enterprise_user.json"),
    include_str!("group.json"),
    include_str!("schema.json"),
    include_str!("resource_type.json"),
    include_str!("service_provider_config.json"),
];
const COMMON: &str = include_str!("common.json");
const RESOURCE_TYPES: &str = include_str!("resource_types.json");

/// The schemas and resource types of one organisation.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// Every published schema.
    pub schemas: Vec<Arc<Schema>>,
    /// Every resource type.
    pub resource_types: Vec<ResourceType>,
    /// The attributes every resource has.
    common: Arc<Schema>,
    /// Whether names are taken to the letter.
    strict: bool,
}

impl Definitions {
    /// The built-in definitions. Where identity changes are allowed, `userName` is published as
    /// `readWrite`, else as `immutable`.
    ///
    /// # Panics
    /// When a built-in document is malformed, which a test rules out.
    #[must_use]
    pub fn builtin(identity_changes: IdentityChanges) -> Definitions {
        Definitions::read(identity_changes).expect("the built-in documents are well-formed")
    }

    fn read(identity_changes: IdentityChanges) -> Result<Definitions, String> {
        let schema = |text: &str| {
            let mut document: Value = serde_json::from_str(text).map_err(|it| it.to_string())?;
            if identity_changes == IdentityChanges::Allow {
                publish_as_read_write(&mut document, "userName");
            }
            Schema::from_document(document).map(Arc::new)
        };
        let schemas = SCHEMAS.iter().map(|it| schema(it)).collect::<Result<Vec<_>, _>>()?;
        let common = schema(COMMON)?;
        let named = |id: &str| {
            let found = schemas.iter().find(|it| it.id == id);
            found.map(Arc::clone).ok_or_else(|| format!("no schema document for {id}"))
        };
        let documents: Vec<Value> =
            serde_json::from_str(RESOURCE_TYPES).map_err(|it| it.to_string())?;
        let mut resource_types = Vec::new();
        for document in documents {
            let parts = TypeDocument::deserialize(&document).map_err(|it| it.to_string())?;
            let mut extensions = Vec::new();
            for it in parts.schema_extensions {
                extensions.push(Extension { schema: named(&it.urn)?, required: it.required });
            }
            resource_types.push(ResourceType {
                name: parts.name,
                endpoint: parts.endpoint.trim_start_matches('/').to_owned(),
                core: named(&parts.schema)?,
                extensions,
                common: Arc::clone(&common),
                document,
                urns_of_other_types: Vec::new(),
                strict: false,
            });
        }
        let mut definitions = Definitions { schemas, resource_types, common, strict: false };
        definitions.note_urns_of_other_types();
        Ok(definitions)
    }

    /// These definitions with names taken to the letter, or as clients mean them.
    #[must_use]
    pub fn with_strict(mut self, strict: bool) -> Definitions {
        self.strict = strict;
        self.resource_types.iter_mut().for_each(|it| it.strict = strict);
        self
    }

    /// Tells each resource type the URNs of the others, so that none of them is taken for an
    /// extension that is not registered.
    fn note_urns_of_other_types(&mut self) {
        let of_type = |it: &ResourceType| {
            let extensions = it.extensions.iter().map(|it| it.schema.id.clone());
            std::iter::once(it.core.id.clone()).chain(extensions).collect::<Vec<String>>()
        };
        let urns: Vec<Vec<String>> = self.resource_types.iter().map(of_type).collect();
        for (i, it) in self.resource_types.iter_mut().enumerate() {
            let others = urns.iter().enumerate().filter(|(j, _)| *j != i);
            let others = others.flat_map(|(_, urns)| urns).filter(|it| !urns[i].contains(it));
            it.urns_of_other_types = others.cloned().collect();
        }
    }

    /// These definitions, which are the built-in ones, with the resource types of an organisation.
    /// An extension is one of the schemas that came with its type, else a built-in one, else one of
    /// the `registered`.
    #[must_use]
    pub fn with_types<'a>(
        &self,
        types: impl IntoIterator<Item = &'a OwnType>,
        registered: &[Arc<Schema>],
    ) -> Definitions {
        let mut extended = self.clone();
        for own in types {
            let extensions = own.extensions.iter().filter_map(|it| {
                let schema = own.schema(&it.urn).or_else(|| self.shared(&it.urn, registered))?;
                Some(Extension { schema: Arc::clone(schema), required: it.required })
            });
            extended.resource_types.push(ResourceType {
                name: own.name.clone(),
                endpoint: own.endpoint.clone(),
                core: Arc::clone(&own.core),
                extensions: extensions.collect(),
                common: Arc::clone(&self.common),
                document: own.published().clone(),
                urns_of_other_types: Vec::new(),
                strict: self.strict,
            });
            extended.schemas.extend(own.schemas.iter().cloned());
        }
        extended.note_urns_of_other_types();
        extended
    }

    /// The schema that a resource type of an organisation may name without bringing it along: an
    /// extension of a built-in type, or one that was registered.
    #[must_use]
    pub fn shared<'a>(
        &'a self,
        urn: &str,
        registered: &'a [Arc<Schema>],
    ) -> Option<&'a Arc<Schema>> {
        let builtin = self.resource_types.iter().flat_map(|it| &it.extensions);
        let mut all = builtin.map(|it| &it.schema).chain(registered);
        all.find(|it| it.id.eq_ignore_ascii_case(urn))
    }

    /// The attributes every resource has, whatever its type.
    #[must_use]
    pub fn common(&self) -> &Schema {
        &self.common
    }

    /// These definitions with further schemas, each an extension of the resource type it stands
    /// with. One whose type does not exist is left out.
    #[must_use]
    pub fn with_extensions<'a>(
        &self,
        extensions: impl IntoIterator<Item = (&'a str, Arc<Schema>)>,
    ) -> Definitions {
        let mut extended = self.clone();
        for (name, schema) in extensions {
            let types = &mut extended.resource_types;
            let Some(it) = types.iter_mut().find(|it| it.name.eq_ignore_ascii_case(name)) else {
                continue;
            };
            // A type of the organisation may have named it already.
            if it.extension(&schema.id).is_none() {
                if let Some(listed) = it.document["schemaExtensions"].as_array_mut() {
                    listed.push(json!({ "schema": schema.id, "required": false }));
                }
                it.extensions.push(Extension { schema: Arc::clone(&schema), required: false });
            }
            extended.schemas.push(schema);
        }
        extended.note_urns_of_other_types();
        extended
    }

    /// The resource type served at this endpoint, such as `Users`, in any letter case.
    #[must_use]
    pub fn at_endpoint(&self, segment: &str) -> Option<&ResourceType> {
        self.resource_types.iter().find(|it| it.endpoint.eq_ignore_ascii_case(segment))
    }

    /// Every resource type.
    #[must_use]
    pub fn all_types(&self) -> Vec<&ResourceType> {
        self.resource_types.iter().collect()
    }

    /// The resource type of this name.
    #[must_use]
    pub fn resource_type(&self, name: &str) -> Option<&ResourceType> {
        self.resource_types.iter().find(|it| it.name.eq_ignore_ascii_case(name))
    }

    /// The published schema with this URN.
    #[must_use]
    pub fn schema(&self, urn: &str) -> Option<&Arc<Schema>> {
        self.schemas.iter().find(|it| it.id.eq_ignore_ascii_case(urn))
    }
}

/// Changes `immutable` to `readWrite` for an attribute on the first level.
fn publish_as_read_write(document: &mut Value, name: &str) {
    let attributes = document["attributes"].as_array_mut();
    for attribute in attributes.into_iter().flatten() {
        if attribute["name"] == name && attribute["mutability"] == "immutable" {
            attribute["mutability"] = "readWrite".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::attribute::Mutability;

    #[test]
    fn the_built_in_documents_are_well_formed() {
        for changes in [IdentityChanges::Refuse, IdentityChanges::Allow] {
            let definitions = Definitions::read(changes).unwrap();
            assert!(definitions.resource_types.iter().any(|it| it.name == "User"));
        }
    }

    #[test]
    fn user_name_is_published_as_the_organisation_has_it() {
        let mutability = |changes| {
            let definitions = Definitions::builtin(changes);
            definitions.resource_types[0].attribute("USERNAME").unwrap().mutability
        };
        assert_eq!(mutability(IdentityChanges::Refuse), Mutability::Immutable);
        assert_eq!(mutability(IdentityChanges::Allow), Mutability::ReadWrite);
    }
}
