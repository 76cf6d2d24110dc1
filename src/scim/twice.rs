//! An attribute that one object names in two ways, such as `active` and
//! `urn:ietf:params:scim:schemas:core:2.0:User:active`.
//!
//! The members of an object have no order (RFC 8259 section 4). Where the two values differ, nobody
//! knows which one is meant, and one of them may be that somebody must not log in.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::schema::attribute::Type;
use crate::scim::schema::resource_type::{Name, ResourceType};
use crate::scim::schema::urn;

/// Refuses an object that names an attribute in two ways with different values. `place` is what the
/// sentence calls the object.
///
/// # Errors
/// 400 `invalidSyntax` that says which two names they are.
pub fn refuse_two_names(
    members: &Map<String, Value>,
    resource_type: &ResourceType,
    place: &str,
) -> Result<(), Error> {
    // Where every attribute has its plain name and every extension its own object, as nearly
    // always, no two names can mean the same.
    if !members.iter().any(|(name, value)| is_qualified(name, value, resource_type)) {
        return Ok(());
    }
    let mut given = Given { resource_type, place, attributes: HashMap::new() };
    given.members(members)
}

/// The order in which the members of an object apply that name parts of attributes: what is whole
/// before its parts, what is for all before what is for few, and the entry for work before those
/// that may only come after it, since the first address is the primary one.
#[must_use]
pub fn in_order(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut ordered: Vec<_> = members.iter().collect();
    if ordered.iter().any(|(name, _)| is_part(name)) {
        ordered.sort_by_cached_key(|(name, _)| {
            let part = is_part(name);
            let work = name.to_ascii_lowercase().contains("\"work\"");
            (part, part && !work, if part { name.len() } else { 0 })
        });
    }
    ordered
}

/// Puts the members behind the others that name parts of attributes: `name.givenName` says more
/// than the `name` beside it.
pub fn parts_last(members: &mut [(String, Value)]) {
    if members.iter().any(|(name, _)| is_part(name)) {
        members.sort_by_key(|(name, _)| is_part(name));
    }
}

/// Whether a name is that of a part of an attribute.
fn is_part(name: &str) -> bool {
    name.contains('[') || behind_urn(name).contains('.')
}

/// A name without its URN, whose version has a dot.
fn behind_urn(name: &str) -> &str {
    if urn::is_urn(name) { name.rsplit(':').next().unwrap_or(name) } else { name }
}

fn is_qualified(name: &str, value: &Value, resource_type: &ResourceType) -> bool {
    if !urn::is_urn(name) {
        return name.contains('.');
    }
    !value.is_object()
        || behind_urn(name).contains('.')
        || name.trim_end_matches(':').eq_ignore_ascii_case(&resource_type.core.id)
        || matches!(resource_type.name(name), Name::Attribute(_))
}

/// What an object says of each attribute.
struct Given<'a> {
    resource_type: &'a ResourceType,
    place: &'a str,
    /// The name that was sent, and its value, by the attribute's full name.
    attributes: HashMap<String, (&'a str, &'a Value)>,
}

impl<'a> Given<'a> {
    fn members(&mut self, members: &'a Map<String, Value>) -> Result<(), Error> {
        let resource_type = self.resource_type;
        for (name, value) in members {
            match (resource_type.name(name), value) {
                // The core schema as an object is the resource itself.
                (Name::Core, Value::Object(inner)) => self.members(inner)?,
                (Name::Extension(extension), Value::Object(inner)) => {
                    self.extension(&extension.schema.id, name, inner)?;
                }
                (Name::Attribute(target), value) => {
                    let attribute = &target.attribute;
                    let full = match &target.extension {
                        Some(urn) => [urn, ":", &attribute.name].concat(),
                        None => attribute.name.clone(),
                    };
                    match (&target.sub, value) {
                        (Some(sub), _) => {
                            self.add(&[&full, ".", &sub.name].concat(), name, value)?;
                        }
                        (None, Value::Object(inner)) if attribute.kind == Type::Any => {
                            self.extension(&full, name, inner)?;
                        }
                        (None, _) => self.value(&full, name, value)?,
                    }
                }
                (Name::Unknown, Value::Object(inner)) if urn::is_urn(name) => {
                    self.extension(name, name, inner)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn extension(
        &mut self,
        urn: &str,
        sent: &'a str,
        members: &'a Map<String, Value>,
    ) -> Result<(), Error> {
        members.iter().try_for_each(|(name, it)| self.value(&[urn, ":", name].concat(), sent, it))
    }

    /// A complex value says something of each of its sub-attributes. A name that says more, such as
    /// `name.givenName` beside it, goes before, so that these are compared with one another.
    fn value(&mut self, full: &str, sent: &'a str, value: &'a Value) -> Result<(), Error> {
        match value {
            Value::Object(parts) => parts
                .iter()
                .try_for_each(|(part, it)| self.add(&[full, "{", part].concat(), sent, it)),
            _ => self.add(full, sent, value),
        }
    }

    fn add(&mut self, full: &str, sent: &'a str, value: &'a Value) -> Result<(), Error> {
        let before = self.attributes.insert(full.to_ascii_lowercase(), (sent, value));
        match before {
            Some((other, it)) if it != value => Err(Error::invalid_syntax(format!(
                "\"{}\" stands twice in {}, as \"{}\" and as \"{}\", with two values. Send \
                 it once.",
                quoted(&full.replace('{', ".")),
                self.place,
                quoted(other),
                quoted(sent)
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;

    #[test]
    fn the_work_entry_and_what_is_whole_come_first() {
        let members = json!({
            "emails[type eq \"home\"].value": 1, "emails[type eq \"WORK\"].value": 1,
            "emails[type eq \"work\" and primary eq true].display": 1, "name.familyName": 1,
            "name": 1, "urn:x:2.0:User:manager.value": 1, "urn:x:2.0:User": 1,
        });
        let ordered = in_order(members.as_object().unwrap());
        let names: Vec<_> = ordered.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "name",
                "urn:x:2.0:User",
                "emails[type eq \"WORK\"].value",
                "emails[type eq \"work\" and primary eq true].display",
                "name.familyName",
                "emails[type eq \"home\"].value",
                "urn:x:2.0:User:manager.value",
            ]
        );
    }

    #[test]
    fn two_names_of_one_attribute_must_say_the_same() {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        let user = definitions.at_endpoint("Users").unwrap();
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let named = |urn: &str, name: &str| format!("{urn}:{name}");
        let refused = |value: Value| {
            refuse_two_names(value.as_object().unwrap(), user, "the body").err().map(|it| it.detail)
        };
        for value in [
            json!({"active": false, named(core, "active"): true}),
            json!({"active": false, core: {"active": true}}),
            json!({named(core, "Active"): false, core: {"ACTIVE": true}}),
            json!({"name": {"givenName": "a"}, named(core, "name"): {"givenName": "b"}}),
            json!({"name.givenName": "a", named(core, "name.givenName"): "b"}),
            json!({"title": null, named(core, "title"): "b"}),
            json!({enterprise: {"department": "a"}, named(enterprise, "department"): "b"}),
            json!({"urn:foo:bar:2.0:User": {"x": 1}, "urn:foo:bar:2.0:User:x": 2}),
        ] {
            let detail = refused(value.clone());
            assert!(detail.is_some_and(|it| it.contains("Send it once.")), "{value}");
        }
        for value in [
            json!({"active": false, named(core, "active"): false, core: {"active": false}}),
            json!({"name": {"givenName": "a"}, "name.givenName": "b"}),
            json!({"name": null, "name.familyName": "b"}),
            json!({enterprise: {"department": "a"}, named(enterprise, "division"): "b"}),
            json!({"emails": [], "emails[type eq \"work\"].value": "a"}),
        ] {
            assert_eq!(refused(value.clone()), None, "{value}");
        }
    }
}
