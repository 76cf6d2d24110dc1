//! Which attributes an answer holds: `attributes` and `excludedAttributes` (RFC 7644 section 3.9)
//! over each attribute's `returned` characteristic (RFC 7643 section 7).

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scim::error::Error;
use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::schema::attribute::{Attribute, Returned, Type};
use crate::scim::schema::resource_type::{Extension, Name, ResourceType};
use crate::scim::schema::urn;

/// The most names in `attributes` or `excludedAttributes`.
pub const NAMES_MAX: usize = 20_000;

/// What a client asked to see.
#[derive(Clone, Debug)]
pub enum Projection {
    /// These, and what is always returned.
    Only(Names),
    /// All but these; what is always returned stays.
    Without(Names),
}

/// The attributes a client named, by the member of the resource that holds them: a request may name
/// very many, and a page has many resources.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Those that a schema defines, once each.
    defined: Vec<Listed>,
    /// What was named of each member on the first level, by its name in lower case.
    by_member: HashMap<String, Member>,
}

/// What was named of one member on the first level.
#[derive(Clone, Debug, Default)]
struct Member {
    /// All of it.
    whole: bool,
    /// Its attributes, where it is an extension, or its sub-attributes.
    parts: HashMap<String, Vec<Target>>,
}

impl Names {
    fn add(&mut self, requested: Listed) {
        let (member, part) = match &requested {
            Listed::Extension(urn) => (urn.to_ascii_lowercase(), None),
            Listed::Attribute(target) => match (&target.extension, &target.sub) {
                (None, None) => (target.attribute.name.to_ascii_lowercase(), None),
                (None, Some(_)) => (target.attribute.name.to_ascii_lowercase(), Some(target)),
                (Some(urn), _) => {
                    // The path of an unregistered extension reads like an attribute below it.
                    if target.attribute.kind == Type::Any && target.sub.is_none() {
                        let path = format!("{urn}:{}", target.attribute.name);
                        self.by_member.entry(path.to_ascii_lowercase()).or_default().whole = true;
                    }
                    (urn.to_ascii_lowercase(), Some(target))
                }
            },
        };
        let entry = self.by_member.entry(member).or_default();
        let known = match part {
            None => std::mem::replace(&mut entry.whole, true),
            Some(target) => {
                let parts =
                    entry.parts.entry(target.attribute.name.to_ascii_lowercase()).or_default();
                let sub = |it: &Target| it.sub.as_ref().map(|it| it.name.clone());
                let known = parts.iter().any(|it| sub(it) == sub(target));
                if !known {
                    parts.push(target.clone());
                }
                known
            }
        };
        let foreign = part.is_some_and(|it| it.attribute.kind == Type::Any);
        if !known && !foreign {
            self.defined.push(requested);
        }
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.by_member.get(&name.to_ascii_lowercase())
    }
}

/// One entry of `attributes` or `excludedAttributes`.
#[derive(Clone, Debug)]
pub enum Listed {
    /// An attribute or sub-attribute.
    Attribute(Target),
    /// A whole extension, by its URN.
    Extension(String),
}

impl Projection {
    /// What the two parameters ask for; `None` when both are empty. Names that no attribute has are
    /// ignored, as unknown attributes of a body are.
    ///
    /// # Errors
    /// 400 `invalidValue` when both are given, or too many names.
    pub fn new(
        attributes: Option<&str>,
        excluded: Option<&str>,
        resource_type: &ResourceType,
    ) -> Result<Option<Projection>, Error> {
        let commas = [attributes, excluded].into_iter().flatten().map(|it| it.matches(',').count());
        if commas.sum::<usize>() >= NAMES_MAX {
            return Err(Error::invalid_value(format!(
                "More than {NAMES_MAX} attributes are named. Leave attributes out to get all of \
                 them."
            )));
        }
        let said = |it: &&str| !it.trim().is_empty();
        match (attributes.filter(said), excluded.filter(said)) {
            (None, None) => Ok(None),
            (Some(it), None) => Ok(Some(Projection::Only(named_attributes(it, resource_type)))),
            (None, Some(it)) => Ok(Some(Projection::Without(named_attributes(it, resource_type)))),
            (Some(_), Some(_)) => {
                Err(Error::invalid_value("Send either attributes or excludedAttributes, not both."))
            }
        }
    }

    /// Whether anything of this attribute on the first level may be shown: if not, a computed
    /// attribute need not be fetched.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        let is = |it: &Listed| matches!(it, Listed::Attribute(target) if target.is_core(name));
        let whole =
            |it: &Listed| is(it) && matches!(it, Listed::Attribute(target) if target.sub.is_none());
        match self {
            Projection::Only(requested) => requested.defined.iter().any(is),
            Projection::Without(excluded) => !excluded.defined.iter().any(whole),
        }
    }

    /// The part of a resource that the client asked for.
    #[must_use]
    pub fn apply(
        &self,
        mut resource: Map<String, Value>,
        resource_type: &ResourceType,
    ) -> Map<String, Value> {
        match self {
            Projection::Only(requested) => {
                let mut kept = Map::new();
                for (name, value) in resource {
                    if let Some(value) = requested_part(requested, &name, value, resource_type) {
                        kept.insert(name, value);
                    }
                }
                kept
            }
            Projection::Without(excluded) => {
                for it in &excluded.defined {
                    remove_excluded(&mut resource, it, resource_type);
                }
                remove_unregistered(&mut resource, excluded, resource_type);
                resource
            }
        }
    }
}

/// The part of a resource that is shown: what the client asked for, without the attributes that are
/// returned on request and were not named, and without those that are never returned.
#[must_use]
pub fn shown(
    resource: Map<String, Value>,
    projection: Option<&Projection>,
    resource_type: &ResourceType,
) -> Map<String, Value> {
    let shown = match projection {
        Some(projection) => projection.apply(resource, resource_type),
        None => resource,
    };
    let named = match projection {
        Some(Projection::Only(requested)) => requested.defined.as_slice(),
        _ => &[],
    };
    hide(shown, Some(named), resource_type)
}

/// All of a resource but what is never returned.
#[must_use]
pub fn all_shown(resource: Map<String, Value>, resource_type: &ResourceType) -> Map<String, Value> {
    hide(resource, None, resource_type)
}

/// The resource without what is never returned, and without what is returned on request and is not
/// among these names. Without names, everything is requested.
fn hide(
    mut shown: Map<String, Value>,
    named: Option<&[Listed]>,
    resource_type: &ResourceType,
) -> Map<String, Value> {
    if !resource_type.hides() {
        return shown;
    }
    hide_unrequested(&mut shown, None, &resource_type.common.attributes, named);
    hide_unrequested(&mut shown, None, &resource_type.core.attributes, named);
    for extension in &resource_type.extensions {
        let (urn, attributes) = (&extension.schema.id, &extension.schema.attributes);
        let mut emptied = Vec::new();
        for (name, value) in &mut shown {
            if let Value::Object(members) = value
                && name.eq_ignore_ascii_case(urn)
            {
                hide_unrequested(members, Some(urn), attributes, named);
                emptied.extend(members.is_empty().then(|| name.clone()));
            }
        }
        // A document from before the schema was registered may have the URN in front of a name.
        let secret = |name: &str| {
            let found = attributes.iter().filter(|it| it.is_secret());
            found.map(|it| format!("{urn}:{}", it.name)).any(|it| it.eq_ignore_ascii_case(name))
        };
        shown.retain(|name, _| !emptied.contains(name) && !secret(name));
    }
    shown
}

/// Removes the attributes that are returned on request and were not named, and those that are never
/// returned.
fn hide_unrequested(
    holder: &mut Map<String, Value>,
    extension: Option<&str>,
    attributes: &[Arc<Attribute>],
    named: Option<&[Listed]>,
) {
    let is_named = |attribute: &Attribute, sub: Option<&Attribute>| {
        named.is_none_or(|named| {
            named.iter().any(|it| match it {
                Listed::Extension(_) => false,
                Listed::Attribute(target) => {
                    target.extension.as_deref() == extension
                        && target.attribute.name == attribute.name
                        && sub.is_none_or(|sub| {
                            target.sub.as_ref().is_some_and(|it| it.name == sub.name)
                        })
                }
            })
        })
    };
    let hidden = |attribute: &Attribute, sub: Option<&Attribute>| {
        let leaf = sub.unwrap_or(attribute);
        leaf.is_secret() || (leaf.returned == Returned::Request && !is_named(attribute, sub))
    };
    for attribute in attributes {
        if hidden(attribute, None) {
            holder.retain(|name, _| !name.eq_ignore_ascii_case(&attribute.name));
            continue;
        }
        for sub in attribute.sub_attributes.iter().filter(|it| hidden(attribute, Some(it))) {
            remove_attribute(holder, &attribute.name, Some(sub));
        }
    }
}

fn named_attributes(text: &str, resource_type: &ResourceType) -> Names {
    let mut requested = Names::default();
    for name in names(text, resource_type.strict) {
        let found = match resource_type.name(name) {
            Name::Extension(extension) => Some(Listed::Extension(extension.schema.id.clone())),
            Name::Attribute(target) if AttrPath::new(name).is_some() => {
                Some(Listed::Attribute(target))
            }
            _ => None,
        };
        if let Some(found) = found {
            requested.add(found);
        }
    }
    requested
}

/// The names in a list with commas. What stands in brackets says which values of an attribute are
/// meant, and no projection can say that: `emails[type eq "work"]` is `emails`.
fn names(text: &str, strict: bool) -> Vec<&str> {
    let (mut names, mut begin, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (i, it) in text.char_indices() {
        match it {
            '"' if depth > 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                names.push(&text[begin..i]);
                begin = i + 1;
            }
            _ => {}
        }
    }
    names.push(&text[begin..]);
    let plain = |name: &'_ str| name.find('[').filter(|_| !strict);
    let names = names.into_iter().map(|it| plain(it).map_or(it, |at| &it[..at]).trim());
    names.filter(|it| !it.is_empty()).collect()
}

/// The part of one member on the first level that the client asked for.
fn requested_part(
    requested: &Names,
    name: &str,
    value: Value,
    resource_type: &ResourceType,
) -> Option<Value> {
    if resource_type.attribute(name).is_some_and(|it| it.returned == Returned::Always) {
        return Some(value);
    }
    let named = requested.member(name);
    if named.is_some_and(|it| it.whole) {
        return Some(value);
    }
    let extension = resource_type.extension(name);
    let nothing = Member::default();
    let parts = &named.unwrap_or(&nothing).parts;
    if parts.is_empty() && extension.is_none() {
        return None;
    }
    let in_extension = extension.is_some()
        || parts.values().flatten().next().is_some_and(|it| it.extension.is_some());
    let kept = if in_extension {
        let Value::Object(members) = value else { return None };
        let mut kept = Map::new();
        for (member, value) in members {
            let named: Vec<&Target> =
                parts.get(&member.to_ascii_lowercase()).into_iter().flatten().collect();
            if named.iter().any(|it| it.sub.is_none()) || is_always_returned(extension, &member) {
                kept.insert(member, value);
            } else if let Some(part) = sub_attributes(&named, value) {
                kept.insert(member, part);
            }
        }
        Value::Object(kept)
    } else {
        let parts: Vec<&Target> = parts.values().flatten().collect();
        sub_attributes(&parts, value)?
    };
    kept.as_object().is_none_or(|it| !it.is_empty()).then_some(kept)
}

/// Removes the excluded attributes below URNs that no schema registers. It goes through the members
/// of the resource, and not through the list of the client.
fn remove_unregistered(
    resource: &mut Map<String, Value>,
    excluded: &Names,
    resource_type: &ResourceType,
) {
    let foreign = |name: &str| urn::is_urn(name) && resource_type.extension(name).is_none();
    let mut emptied = Vec::new();
    for (name, value) in resource.iter_mut().filter(|(name, _)| foreign(name)) {
        let Some(named) = excluded.member(name) else { continue };
        if named.whole {
            emptied.push(name.clone());
        }
        let Value::Object(members) = value else { continue };
        let mut kept = Map::new();
        for (member, value) in std::mem::take(members) {
            kept.insert(member.clone(), value);
            for target in named.parts.get(&member.to_ascii_lowercase()).into_iter().flatten() {
                remove_attribute(&mut kept, &member, target.sub.as_deref());
            }
        }
        *members = kept;
        emptied.extend(members.is_empty().then(|| name.clone()));
    }
    resource.retain(|name, _| !emptied.contains(name));
}

/// Whether this member of an extension is returned whatever the client asked for.
fn is_always_returned(extension: Option<&Extension>, name: &str) -> bool {
    let attribute = extension.and_then(|it| it.schema.attribute(name));
    attribute.is_some_and(|it| it.returned == Returned::Always)
}

/// The named sub-attributes of a complex value, or of each of several.
fn sub_attributes(named: &[&Target], value: Value) -> Option<Value> {
    let attribute = &named.first()?.attribute;
    let keep = |name: &str| {
        let always =
            attribute.sub_attribute(name).is_some_and(|it| it.returned == Returned::Always);
        always || named.iter().any(|it| it.sub.as_ref().is_some_and(|sub| has_name_of(sub, name)))
    };
    let filter = |object: Map<String, Value>| -> Map<String, Value> {
        object.into_iter().filter(|(name, _)| keep(name)).collect()
    };
    match value {
        Value::Object(object) => {
            Some(filter(object)).filter(|it| !it.is_empty()).map(Value::Object)
        }
        Value::Array(items) => {
            let none = items.is_empty();
            let items: Vec<Value> = items
                .into_iter()
                .filter_map(|it| match it {
                    Value::Object(object) => Some(filter(object)),
                    _ => None,
                })
                .filter(|it| !it.is_empty())
                .map(Value::Object)
                .collect();
            (none || !items.is_empty()).then_some(Value::Array(items))
        }
        _ => None,
    }
}

fn remove_excluded(
    resource: &mut Map<String, Value>,
    excluded: &Listed,
    resource_type: &ResourceType,
) {
    let target = match excluded {
        Listed::Extension(urn) => {
            let extension = resource_type.extension(urn);
            if let Some(Value::Object(members)) = resource.get_mut(urn) {
                members.retain(|name, _| is_always_returned(extension, name));
            }
            if resource.get(urn).is_some_and(|it| it.as_object().is_none_or(Map::is_empty)) {
                resource.remove(urn);
            }
            return;
        }
        Listed::Attribute(target) => target,
    };
    let leaf: &Attribute = target.leaf();
    if leaf.returned == Returned::Always {
        return;
    }
    let name = &target.attribute.name;
    let Some(urn) = &target.extension else {
        remove_attribute(resource, name, target.sub.as_deref());
        return;
    };
    if resource_type.extension(urn).is_none() {
        resource.retain(|it, _| !is_joined(it, urn, name));
    }
    let Some(urn) = resource.keys().find(|it| it.eq_ignore_ascii_case(urn)).cloned() else {
        return;
    };
    if let Some(Value::Object(members)) = resource.get_mut(&urn) {
        let spelled = members.keys().find(|it| has_name_of(&target.attribute, it)).cloned();
        remove_attribute(members, &spelled.unwrap_or_default(), target.sub.as_deref());
        if members.is_empty() {
            resource.remove(&urn);
        }
    }
}

/// Whether a member of a document has the name of an attribute. A document spells the names of a
/// schema as the schema does, and names that no schema registers as a client sent them.
fn has_name_of(attribute: &Attribute, member: &str) -> bool {
    match attribute.kind {
        Type::Any => attribute.name.eq_ignore_ascii_case(member),
        _ => attribute.name == member,
    }
}

/// Whether a name is a URN and, behind a colon, an attribute.
fn is_joined(name: &str, urn: &str, attribute: &str) -> bool {
    let (Some(head), Some(rest)) = (name.get(..urn.len()), name.get(urn.len()..)) else {
        return false;
    };
    let behind = rest.strip_prefix(':').is_some_and(|it| it.eq_ignore_ascii_case(attribute));
    behind && head.eq_ignore_ascii_case(urn)
}

fn remove_attribute(holder: &mut Map<String, Value>, name: &str, sub: Option<&Attribute>) {
    let Some(sub) = sub else {
        holder.remove(name);
        return;
    };
    match holder.get_mut(name) {
        Some(Value::Object(object)) => drop(object.remove(&sub.name)),
        Some(Value::Array(items)) => {
            let before = items.len();
            items.retain_mut(|item| {
                let Some(object) = item.as_object_mut() else { return true };
                object.remove(&sub.name);
                !object.is_empty()
            });
            if items.is_empty() && before > 0 {
                holder.remove(name);
            }
            return;
        }
        _ => {}
    }
    if holder.get(name).is_some_and(|it| it.as_object().is_some_and(Map::is_empty)) {
        holder.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;
    use serde_json::json;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn user() -> Map<String, Value> {
        let user = json!({
            "schemas": ["a"], "id": "1", "userName": "bob@x", "title": "Dr",
            "name": {"givenName": "Bob", "familyName": "X"},
            "emails": [{"value": "a", "type": "work"}, {"value": "b"}],
            ENTERPRISE: {"department": "d", "manager": {"value": "m", "displayName": "n"}},
            "urn:okta:x:1.0:user:custom": {"level": 3},
            "meta": {"resourceType": "User", "version": "1"}
        });
        user.as_object().unwrap().clone()
    }

    #[track_caller]
    fn check(attributes: Option<&str>, excluded: Option<&str>, expected: &Value) {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        let user_type = definitions.resource_type("User").unwrap();
        let projection = Projection::new(attributes, excluded, user_type).unwrap().unwrap();
        assert_eq!(Value::Object(projection.apply(user(), user_type)), *expected);
    }

    #[test]
    fn only_what_was_named_and_what_is_always_there() {
        let always = |more: &Value| {
            let mut expected = json!({"schemas": ["a"], "id": "1"});
            expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            expected
        };
        let only = |names: &str, more: Value| check(Some(names), None, &always(&more));
        only("id", json!({}));
        only("nothing", json!({}));
        only("USERNAME, title", json!({"userName": "bob@x", "title": "Dr"}));
        only("name.familyName", json!({"name": {"familyName": "X"}}));
        only("emails.value", json!({"emails": [{"value": "a"}, {"value": "b"}]}));
        only("urn:ietf:params:scim:schemas:core:2.0:User:title", json!({"title": "Dr"}));
        only(ENTERPRISE, json!({ENTERPRISE: user()[ENTERPRISE]}));
        only(&format!("{ENTERPRISE}:department"), json!({ENTERPRISE: {"department": "d"}}));
        let manager = json!({ENTERPRISE: {"manager": {"value": "m"}}});
        only(&format!("{ENTERPRISE}:manager.value"), manager);
        let custom = json!({"urn:okta:x:1.0:user:custom": {"level": 3}});
        only("urn:okta:x:1.0:user:custom", custom.clone());
        only("urn:okta:x:1.0:user:custom:level", custom);
        only("meta.version", json!({"meta": {"version": "1"}}));
    }

    #[test]
    fn a_value_without_the_named_sub_attributes_is_left_out() {
        let always = json!({"schemas": ["a"], "id": "1"});
        let mut one = always.clone();
        one["emails"] = json!([{"type": "work"}]);
        check(Some("emails.type"), None, &one);
        check(Some("emails.display"), None, &always);
        let mut rest = Value::Object(user());
        rest["emails"] = json!([{"type": "work"}]);
        check(None, Some("emails.value"), &rest);
        rest.as_object_mut().unwrap().remove("emails");
        check(None, Some("emails.value,emails.type"), &rest);
    }

    #[test]
    fn all_but_what_was_named() {
        let without = |names: &str, gone: &[&str]| {
            let mut expected = user();
            expected.retain(|name, _| !gone.contains(&name.as_str()));
            check(None, Some(names), &Value::Object(expected));
        };
        without("title,emails", &["title", "emails"]);
        without("id,schemas", &[]);
        without(ENTERPRISE, &[ENTERPRISE]);
        without("urn:okta:x:1.0:user:custom", &["urn:okta:x:1.0:user:custom"]);
        without("meta", &["meta"]);
        without("nothing", &[]);
    }

    #[test]
    fn asking_for_both_is_refused() {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        let user_type = definitions.resource_type("User").unwrap();
        assert_eq!(Projection::new(Some("a"), Some("b"), user_type).unwrap_err().status, 400);
        assert!(Projection::new(Some(" "), Some(""), user_type).unwrap().is_none());
    }
}
