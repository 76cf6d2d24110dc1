//! What a resource type of an organisation must be beside all others.

use std::sync::Arc;

use crate::scim::schema::attribute::{Attribute, Returned};
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::document::Schema;
use crate::scim::schema::name::{ACTIVE, DISPLAY_NAME, GROUPS, MEMBERS, USER_NAME};
use crate::scim::schema::own_type::{NamedExtension, OwnType};
use crate::scim::schema::urn;

/// The attributes that plumm itself speaks of: in a type of an organisation they are what they are
/// in a built-in one.
const WITH_A_MEANING: &[&str] = &[DISPLAY_NAME, ACTIVE, MEMBERS, GROUPS];

impl OwnType {
    /// Judges a resource type beside all others of its organisation, and beside the schemas that
    /// were `registered` there; `builtin` are the built-in definitions alone.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn judge(
        &self,
        builtin: &Definitions,
        others: &Definitions,
        registered: &[Arc<Schema>],
    ) -> Result<(), String> {
        if let Some(it) = others.resource_type(&self.name) {
            return Err(format!(
                "the name \"{}\" is taken: there is a resource type {}. Choose another",
                self.name, it.name
            ));
        }
        if let Some(it) = others.at_endpoint(&self.endpoint) {
            return Err(format!(
                "the endpoint \"/{}\" is taken by the resource type {}. Choose another",
                self.endpoint, it.name
            ));
        }
        for schema in &self.schemas {
            let all = others.schemas.iter().chain(registered);
            if let Some(it) = all.into_iter().find(|it| urn::alike(&it.id, &schema.id)) {
                return Err(format!(
                    "the schema {} is not its own: there is {} already. An extension that is there \
                     is named in \"schemaExtensions\" and not brought along; a core schema needs a \
                     URN of its own",
                    schema.id, it.id
                ));
            }
        }
        for NamedExtension { urn, .. } in &self.extensions {
            if self.schema(urn).is_none() && builtin.shared(urn, registered).is_none() {
                return Err(format!(
                    "the extension {urn} is unknown: bring its schema along in \"schemas\", or \
                     register it first with `plumm schema add`"
                ));
            }
        }
        self.core.attributes.iter().try_for_each(|it| judge_attribute(it, builtin))
    }
}

/// Judges an attribute of a core schema: some names have a meaning that no type can change.
fn judge_attribute(attribute: &Attribute, builtin: &Definitions) -> Result<(), String> {
    let name = &attribute.name;
    if builtin.common().attribute(name).is_some() {
        return Err(format!(
            "the attribute \"{name}\" of the core schema is one that every resource has: leave it \
             out"
        ));
    }
    if name.eq_ignore_ascii_case(USER_NAME) {
        return Err(format!(
            "the attribute \"{name}\" of the core schema would make accounts of its resources, and \
             accounts are Users: give it another name"
        ));
    }
    let Some(meant) = WITH_A_MEANING.iter().find(|it| it.eq_ignore_ascii_case(name)) else {
        return Ok(());
    };
    let mut types = builtin.resource_types.iter();
    let found = types.find_map(|it| Some((it, it.core.attribute(meant)?)));
    let Some((of, defined)) = found else { return Ok(()) };
    if name == meant && is_the_same(attribute, defined) {
        return Ok(());
    }
    Err(format!(
        "the attribute \"{name}\" of the core schema has a meaning in plumm: give it another name, \
         or define \"{meant}\" as the schema {} has it",
        of.core.id
    ))
}

/// Whether two attributes hold the same values; when a value is there and who sets it may differ
/// for those with one simple value.
fn is_the_same(one: &Attribute, other: &Attribute) -> bool {
    let shown = |it: &Attribute| matches!(it.returned, Returned::Default | Returned::Always);
    let simple = other.sub_attributes.is_empty();
    let alike = |it: &Arc<Attribute>| {
        one.sub_attribute(&it.name).is_some_and(|own| own.name == it.name && is_the_same(own, it))
    };
    (one.kind, one.multi_valued) == (other.kind, other.multi_valued)
        && one.case_exact == other.case_exact
        && shown(one) == shown(other)
        && (simple || one.mutability == other.mutability)
        && one.sub_attributes.len() == other.sub_attributes.len()
        && other.sub_attributes.iter().all(alike)
}
