//! Makes a document of the body of a client, by the characteristics of the schemas (RFC 7643
//! sections 2 and 7), and judges a changed document against the one before. `coerce.rs` reads the
//! single values. A document is made from outside data nowhere else.
//!
//! Names are taken in any letter case. Unknown attributes are ignored (RFC 7644 section 3.3),
//! objects below unknown extension URNs are kept.

use std::collections::{HashMap, HashSet};

use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::scim::coerce::{foreign, required_missing, spelled, writable_members, writable_value};
use crate::scim::error::{Error, quoted};
use crate::scim::filter::comparison::same;
use crate::scim::filter::path::Target;
use crate::scim::identity::{self, Rules};
use crate::scim::json::spelled_twice;
use crate::scim::message;
use crate::scim::schema::attribute::{Attribute, Mutability, Type};
use crate::scim::schema::name::{ID, SCHEMAS, USER_NAME};
use crate::scim::schema::resource_type::{Name, ResourceType};
use crate::scim::schema::urn;
use crate::scim::strict;
use crate::scim::twice::{parts_last, refuse_two_names};

/// What a change makes of a resource.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The document, complete.
    pub document: Map<String, Value>,
    /// The attributes of the request that were not changed, each with the value it asked for.
    pub passed_over: Map<String, Value>,
}

/// The document of a new resource (RFC 7644 section 3.3), without `id`.
///
/// # Errors
/// 400 that names the attribute and what was wrong with it.
pub fn create(
    body: Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Map<String, Value>, Error> {
    judge_schemas(&body, resource_type, rules)?;
    let mut document = normalize(body, resource_type, rules)?;
    identity::judge_new(&mut document, resource_type, rules)?;
    complete(document, &Map::new(), resource_type)
}

/// The document that replaces another (RFC 7644 section 3.5.1). An attribute that the body leaves
/// out is removed, except: attributes that only the server sets, immutable ones, `active`, the
/// e-mail addresses under the product rules, and extensions that no schema here describes.
///
/// # Errors
/// As [`create`], and 400 `mutability` for what cannot be changed.
pub fn replace(
    before: &Map<String, Value>,
    body: &Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Judged, Error> {
    judge_schemas(body, resource_type, rules)?;
    let mut after = normalize(body.clone(), resource_type, rules)?;
    let mut named: HashSet<String> = body.keys().map(|it| it.to_ascii_lowercase()).collect();
    // Who names an attribute of an extension speaks of the extension, also with null.
    for (name, value) in body.iter().filter(|(name, _)| urn::is_urn(name)) {
        if let Name::Attribute(target) = resource_type.name(name)
            && !is_whole(value, &target, resource_type)
        {
            named.extend(target.extension.map(|it| it.to_ascii_lowercase()));
        }
    }
    for (name, value) in before {
        let unknown = urn::is_urn(name) && resource_type.extension(name).is_none();
        if unknown && !named.contains(&name.to_ascii_lowercase()) && !after.contains_key(name) {
            after.insert(name.clone(), value.clone());
        }
    }
    judge_change(before, after, resource_type, rules)
}

/// Judges a document after a change, against the one before it.
///
/// # Errors
/// 400 `mutability` for what cannot be changed, 400 `invalidValue` for what is required and
/// missing.
pub fn judge_change(
    before: &Map<String, Value>,
    mut after: Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Judged, Error> {
    let mut passed_over = Map::new();
    let attributes = resource_type.core.attributes.iter().chain(&resource_type.common.attributes);
    for attribute in attributes.filter(|it| it.has_immutable()) {
        match keep_immutable(before, &mut after, attribute) {
            // What is refused stays in `after` as it was asked for.
            Err(_) if attribute.name == USER_NAME && rules.keeps_identity() => {
                let kept = before.get(USER_NAME).cloned().unwrap_or_default();
                let asked = after.insert(USER_NAME.to_owned(), kept);
                passed_over.extend(asked.map(|it| (USER_NAME.to_owned(), it)));
            }
            judged => judged?,
        }
    }
    for extension in &resource_type.extensions {
        let id = &extension.schema.id;
        let Some(Value::Object(old)) = before.get(id) else { continue };
        let attributes = &extension.schema.attributes;
        let mut immutable = attributes.iter().filter(|it| it.has_immutable());
        if let Some(Value::Object(new)) = after.get_mut(id) {
            immutable.try_for_each(|it| keep_immutable(old, new, it))?;
            continue;
        }
        let mut new = Map::new();
        immutable.try_for_each(|it| keep_immutable(old, &mut new, it))?;
        if new.is_empty() {
            continue;
        }
        if !after.contains_key(id) {
            // The client sent nothing of this extension, so the required attributes stay with the
            // immutable ones, and the extension is complete.
            let required = attributes.iter().filter(|it| it.required);
            for name in required.map(|it| &it.name) {
                new.extend(old.get(name).map(|it| (name.clone(), it.clone())));
            }
        }
        after.insert(id.clone(), Value::Object(new));
    }
    passed_over.extend(identity::judge_change(before, &mut after, resource_type, rules)?);
    Ok(Judged { document: complete(after, before, resource_type)?, passed_over })
}

/// An immutable attribute keeps its value: absent means keep, the same text in another case is no
/// change where case does not count, anything else is refused.
fn keep_immutable(
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
    attribute: &Attribute,
) -> Result<(), Error> {
    let Some(old) = before.get(&attribute.name) else {
        return Ok(());
    };
    if attribute.mutability != Mutability::Immutable {
        if let (Value::Object(old), Some(Value::Object(new))) =
            (old, after.get_mut(&attribute.name))
        {
            for sub in &attribute.sub_attributes {
                keep_immutable(old, new, sub)?;
            }
        }
        return Ok(());
    }
    let unchanged = match (old, after.get(&attribute.name)) {
        (_, None) => true,
        (Value::String(old), Some(Value::String(new))) => same(old, new, attribute.case_exact),
        (old, Some(new)) => old == new,
    };
    if unchanged {
        if after.get(&attribute.name) != Some(old) {
            after.insert(attribute.name.clone(), old.clone());
        }
        return Ok(());
    }
    let text = |value: Option<&Value>| match value {
        Some(Value::String(it)) => it.clone(),
        Some(it) => it.to_string(),
        None => String::new(),
    };
    let (old, new) = (text(Some(old)), text(after.get(&attribute.name)));
    if attribute.name == USER_NAME {
        return Err(identity::user_name_change_refused(&old, &new));
    }
    Err(Error::mutability(format!(
        "\"{}\" cannot be changed from \"{}\" to \"{}\" once it is set.",
        attribute.name,
        quoted(&old),
        quoted(&new)
    )))
}

/// Checks what is required, gives the document its `id` and names its schemas.
///
/// An extension that the change leaves as it was is not judged: it may be older than its schema,
/// and the deactivation of its account must not fail for it.
fn complete(
    mut document: Map<String, Value>,
    before: &Map<String, Value>,
    resource_type: &ResourceType,
) -> Result<Map<String, Value>, Error> {
    spell_extensions(&mut document, resource_type);
    let attributes =
        || resource_type.common.attributes.iter().chain(&resource_type.core.attributes);
    for attribute in attributes().filter(|it| it.required && it.name != SCHEMAS) {
        match document.get(&attribute.name) {
            // A blank name is no name. One that was stored before this rule stays.
            Some(Value::String(it))
                if it.trim().is_empty()
                    && before.get(&attribute.name).is_none_or(|old| old != it) =>
            {
                return Err(blank(&attribute.name));
            }
            Some(_) => {}
            None => return Err(required_missing(&attribute.name)),
        }
    }
    for extension in &resource_type.extensions {
        let id = &extension.schema.id;
        let value = document.get(id);
        let old = before.iter().find(|(it, _)| it.eq_ignore_ascii_case(id)).map(|(_, it)| it);
        if value.is_some() && value == old {
            continue;
        }
        let Some(Value::Object(members)) = value else {
            if extension.required {
                return Err(required_missing(id));
            }
            document.remove(id);
            continue;
        };
        let attributes = &extension.schema.attributes;
        let lacking = attributes.iter().find(|it| it.required && !members.contains_key(&it.name));
        if let Some(attribute) = lacking {
            return Err(required_missing(&format!("{id}:{}", attribute.name)));
        }
    }
    if document.get(ID) != before.get(ID) {
        match before.get(ID) {
            Some(id) => drop(document.insert(ID.to_owned(), id.clone())),
            None => drop(document.remove(ID)),
        }
    }
    let schemas = schemas_of(&document, resource_type);
    // The same ones in another order are no change: a document from before they were sorted keeps
    // them as they are.
    let names_them = |listed: &&Value| {
        listed.as_array().is_some_and(|listed| {
            listed.len() == schemas.len()
                && schemas.iter().all(|urn| listed.iter().any(|it| it == urn))
        })
    };
    if document.get(SCHEMAS).filter(names_them).is_none() {
        let old = before.get(SCHEMAS).filter(names_them).cloned();
        let listed = old.unwrap_or_else(|| schemas.into_iter().map(Value::from).collect());
        document.insert(SCHEMAS.to_owned(), listed);
    }
    Ok(document)
}

/// The URNs of the schemas that a document follows: the core schema, the registered extensions that
/// it has, and the others. A member that is no object cannot be an extension, so it is no schema
/// either.
fn schemas_of<'a>(
    document: &'a Map<String, Value>,
    resource_type: &'a ResourceType,
) -> Vec<&'a str> {
    let objects = || document.iter().filter(|(_, value)| value.is_object());
    let registered = resource_type.extensions.iter().map(|it| it.schema.id.as_str());
    let is_registered = |name: &str| registered.clone().any(|it| it == name);
    let core = &resource_type.core;
    let is_attribute = |name: &str| {
        let mut attributes = resource_type.common.attributes.iter().chain(&core.attributes);
        attributes.any(|it| it.name == name)
    };
    let is_other = |name: &&str| !is_attribute(name) && !is_registered(name);
    let has = |id: &&str| document.get(*id).is_some_and(Value::is_object);
    let others = objects().map(|(name, _)| name.as_str()).filter(is_other);
    std::iter::once(core.id.as_str()).chain(registered.clone().filter(has)).chain(others).collect()
}

fn blank(name: &str) -> Error {
    Error::invalid_value(format!(
        "The required attribute \"{name}\" is empty. Give it a value in the identity provider."
    ))
}

/// Spells the URNs of extensions as their schemas do: a document from before a schema was
/// registered may have its URN in another letter case, or in one name with an attribute.
pub fn spell_extensions(document: &mut Map<String, Value>, resource_type: &ResourceType) {
    let is_joined = |(name, value): (&String, &Value)| urn::is_urn(name) && !value.is_object();
    if document.iter().any(is_joined) {
        let joined = document.iter().filter(|it| is_joined(*it));
        let names: Vec<String> = joined.map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Name::Attribute(Target { extension: Some(urn), attribute, sub: None }) =
                resource_type.name(&name)
                && document.get(&urn).is_none_or(Value::is_object)
                && let Some(value) = document.remove(&name)
            {
                add_to_extension(document, &urn, Map::from_iter([(attribute.name.clone(), value)]));
            }
        }
    }
    for id in resource_type.extensions.iter().map(|it| &it.schema.id) {
        let other = document.keys().find(|it| *it != id && it.eq_ignore_ascii_case(id)).cloned();
        if let Some(value) = other.and_then(|it| document.remove(&it)) {
            document.entry(id).or_insert(value);
        }
    }
}

/// `schemas` names the resource type (RFC 7643 section 3.1). Extensions may be left out of it or
/// stand in it without a value: clients do both.
fn judge_schemas(
    body: &Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<(), Error> {
    let core = &resource_type.core.id;
    let wrong = |why: String| {
        Error::invalid_syntax(format!("{why} Send \"schemas\": [\"{core}\"] in the body."))
    };
    let found = body.iter().find(|(name, _)| name.eq_ignore_ascii_case("schemas"));
    let listed: Vec<&str> = match found.map(|(_, value)| value) {
        // The endpoint says what the body is; two maintained clients never send `schemas`.
        given if !rules.strict && given.is_none_or(message::is_empty) => return Ok(()),
        None | Some(Value::Null) => return Err(wrong("\"schemas\" is missing.".to_owned())),
        Some(Value::String(it)) => vec![it],
        Some(Value::Array(items)) => {
            let texts = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| wrong("\"schemas\" must hold URNs as text.".to_owned()))?
        }
        Some(_) => return Err(wrong("\"schemas\" must be an array of URNs.".to_owned())),
    };
    if listed.iter().any(|it| it.eq_ignore_ascii_case(core)) {
        return Ok(());
    }
    if listed.iter().any(|it| it.starts_with(urn::SCIM_1_PREFIX)) {
        return Err(wrong(
            "This is a SCIM 1.1 message, and this server speaks SCIM 2.0. Set the connector to \
             SCIM 2.0; its base URL ends with /scim/v2."
                .to_owned(),
        ));
    }
    let name = &resource_type.name;
    Err(wrong(format!("\"schemas\" does not name the schema of a {name}.")))
}

/// The known attributes of a body in their canonical form. Attributes that only the server sets,
/// that are never kept or that are unknown are left out.
fn normalize(
    mut body: Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Map<String, Value>, Error> {
    if rules.strict {
        strict::judge_body(&body, resource_type)?;
    }
    refuse_two_names(&body, resource_type, "the body")?;
    // The core schema as an object is the resource itself.
    let is_core = |name: &str| urn::is_urn(name) && matches!(resource_type.name(name), Name::Core);
    let core = body.iter_mut().filter(|(name, value)| value.is_object() && is_core(name));
    let inner = core.filter_map(|(_, value)| value.as_object_mut()).flat_map(std::mem::take);
    let inner: Vec<(String, Value)> = inner.collect();
    let names: Vec<&String> = body.keys().chain(inner.iter().map(|(name, _)| name)).collect();
    if let Some((_, name)) = spelled_twice(names.iter().copied()) {
        return Err(Error::invalid_syntax(format!(
            "The attribute \"{}\" stands twice in the body, in different letter case.",
            quoted(name)
        )));
    }
    let mut document = Map::new();
    let mut urns = HashMap::new();
    let mut members: Vec<(String, Value)> = body.into_iter().chain(inner).collect();
    parts_last(&mut members);
    for (name, value) in members {
        if let Some(attribute) = resource_type.attribute(&name) {
            if let Some(value) = writable_value(attribute, value, &attribute.name, rules.strict)? {
                set_or_extend(&mut document, spelled(name, attribute), value);
            }
            continue;
        }
        match resource_type.name(&name) {
            Name::Extension(extension) => {
                let (attributes, urn) = (&extension.schema.attributes, &extension.schema.id);
                add_to_extension(
                    &mut document,
                    urn,
                    writable_members(attributes, value, urn, rules.strict)?,
                );
            }
            Name::Attribute(target) if target.attribute.kind == Type::Any => {
                let whole = is_whole(&value, &target, resource_type);
                if let Some(Foreign { urn, members }) =
                    foreign_members(&name, value, &target, whole)?
                {
                    let key = urn.to_ascii_lowercase();
                    let urn = urns.entry(key).or_insert_with(|| urn.to_owned());
                    add_to_extension(&mut document, urn, members);
                }
            }
            // A name with its URN, as Entra ID sends it, or one such as `name.familyName`. A name
            // without a URN that only an extension defines is ignored.
            Name::Attribute(target) if urn::is_urn(&name) || target.extension.is_none() => {
                add_named(&mut document, &name, value, &target, rules)?;
            }
            Name::Misplaced => return Err(misplaced(&name, resource_type)),
            // A URN that no attribute can follow is an extension, when its value is an object.
            Name::Unknown if urn::is_urn(&name) && value.is_object() && !urn::is_of_scim(&name) => {
                if let Some(Value::Object(members)) = foreign(&name, value)? {
                    let urn = urns.entry(name.to_ascii_lowercase());
                    add_to_extension(&mut document, urn.or_insert_with(|| name.clone()), members);
                }
            }
            Name::Attribute(_) | Name::Core | Name::Unknown => {}
        }
    }
    Ok(document)
}

/// Adds an attribute to the document that the body names with its URN, or with a sub-attribute.
fn add_named(
    document: &mut Map<String, Value>,
    name: &str,
    value: Value,
    target: &Target,
    rules: Rules,
) -> Result<(), Error> {
    let attribute = &target.attribute;
    let value = match &target.sub {
        None => writable_value(attribute, value, name, rules.strict)?,
        // Of several values, the name does not say which one it means.
        Some(_) if attribute.multi_valued || attribute.mutability == Mutability::ReadOnly => None,
        Some(sub) => writable_value(sub, value, name, rules.strict)?
            .map(|it| Value::Object(Map::from_iter([(sub.name.clone(), it)]))),
    };
    let Some(new) = value else { return Ok(()) };
    let holder = match &target.extension {
        None => document,
        Some(urn) => {
            let object = document.entry(urn.as_str()).or_insert_with(|| Map::new().into());
            let Value::Object(object) = object else { return Ok(()) };
            object
        }
    };
    set_or_extend(holder, attribute.name.clone(), new);
    Ok(())
}

/// Sets a member. A value that is sent in two parts, such as `name` and `name.givenName`, is one.
fn set_or_extend(holder: &mut Map<String, Value>, name: String, value: Value) {
    match holder.entry(name) {
        Entry::Vacant(it) => drop(it.insert(value)),
        Entry::Occupied(mut it) => match (it.get_mut(), value) {
            (Value::Object(old), Value::Object(new)) => old.extend(new),
            (old, value) => *old = value,
        },
    }
}

/// Whether a name below a URN that no schema registers is that of a whole extension, and not of an
/// attribute in one: where the URN ends with the name of the type, and wherever an object is given.
fn is_whole(value: &Value, target: &Target, resource_type: &ResourceType) -> bool {
    let ends_here = target.attribute.name.eq_ignore_ascii_case(&resource_type.name);
    value.is_object() || (target.sub.is_none() && ends_here)
}

/// The members that are kept below a URN that no schema registers.
struct Foreign<'a> {
    urn: &'a str,
    members: Map<String, Value>,
}

/// What a name below a URN that no schema registers stands for, as in a PATCH: the members of the
/// extension, or one of them.
fn foreign_members<'a>(
    name: &'a str,
    value: Value,
    target: &'a Target,
    whole: bool,
) -> Result<Option<Foreign<'a>>, Error> {
    let Some(kept) = foreign(name, value)? else { return Ok(None) };
    let Some(urn) = &target.extension else { return Ok(None) };
    match kept {
        Value::Object(members) if whole => return Ok(Some(Foreign { urn: name, members })),
        Value::Array(it) if whole && it.is_empty() => return Ok(None),
        Value::String(it) if whole && it.is_empty() => return Ok(None),
        _ if whole => return Err(takes_an_object(name)),
        _ => {}
    }
    let kept = match &target.sub {
        None => kept,
        Some(sub) => Map::from_iter([(sub.name.clone(), kept)]).into(),
    };
    let members = Map::from_iter([(target.attribute.name.clone(), kept)]);
    Ok(Some(Foreign { urn, members }))
}

/// The refusal of a value other than an object for a whole extension.
#[must_use]
pub fn takes_an_object(urn: &str) -> Error {
    Error::invalid_value(format!("\"{}\" takes an object with its attributes.", quoted(urn)))
}

fn misplaced(name: &str, resource_type: &ResourceType) -> Error {
    Error::invalid_syntax(misplaced_detail(name, resource_type))
}

/// The detail of the refusal of a name that can mean nothing in a resource of this type.
#[must_use]
pub fn misplaced_detail(name: &str, resource_type: &ResourceType) -> String {
    format!(
        "\"{}\" begins with a URN that no schema of a {} has, so it could mean nothing here. \
         /Schemas lists the attributes; take this one out of the attribute mappings.",
        quoted(name),
        resource_type.name
    )
}

/// Adds members to an extension of the document, which is made where it is missing.
fn add_to_extension(document: &mut Map<String, Value>, urn: &str, members: Map<String, Value>) {
    if members.is_empty() {
        return;
    }
    let object = document.entry(urn).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(object) = object {
        members.into_iter().for_each(|(name, value)| set_or_extend(object, name, value));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::identity::{IdentityChanges, UsernameFormat};
    use crate::scim::schema::definitions::Definitions;

    #[test]
    fn schemas_in_the_order_of_an_older_version_are_no_change() {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        let user = definitions.resource_type("User").unwrap();
        let rules = Rules {
            username_format: UsernameFormat::Any,
            identity_changes: IdentityChanges::Refuse,
            strict: false,
            deactivates: false,
        };
        let (b, a) = ("urn:example:b:2.0:User", "urn:example:a:2.0:User");
        let before = json!({"schemas": [user.core.id, b, a], "id": "1", "userName": "mara",
            "active": true, b: {"desk": 1}, a: {"desk": 2}});
        let before = before.as_object().unwrap();
        let judged = judge_change(before, before.clone(), user, rules).unwrap();
        assert_eq!(&judged.document, before);
        assert_eq!(&replace(before, before, user, rules).unwrap().document, before);
        let mut more = before.clone();
        more.insert("urn:example:c:2.0:User".to_owned(), json!({"desk": 3}));
        let judged = judge_change(before, more, user, rules).unwrap();
        let expected = json!([user.core.id, a, b, "urn:example:c:2.0:User"]);
        assert_eq!(judged.document[SCHEMAS], expected);
    }
}
