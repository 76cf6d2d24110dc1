//! What the path of a PATCH operation names in a document: its target location (RFC 7644 section
//! 3.5.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::filter::path::Target;
use crate::scim::patch::path::PatchPath;
use crate::scim::schema::attribute::{Attribute, Type};
use crate::scim::schema::resource_type::{Name, ResourceType};
use crate::scim::schema::urn;
use crate::scim::validate::misplaced_detail;

/// What a path names.
#[derive(Debug)]
pub enum TargetLocation {
    /// A whole extension, by its URN.
    Extension(String),
    /// An attribute or sub-attribute, with the path that names it.
    Attribute(PatchPath, Target),
    /// Nothing that a schema defines, and why.
    Unknown(Error),
    /// Nothing that a schema defines, in a value without a path: it is ignored, as in POST and PUT.
    Ignored,
}

/// Finds what a path names. `explicit`: the client sent it as the path of an operation, and not as
/// the name of a member of its value. `value` is the value of the operation.
///
/// # Errors
/// 400 `invalidPath` for a path that cannot be read, and for one that can mean nothing here.
pub fn find(
    document: &Map<String, Value>,
    resource_type: &ResourceType,
    text: &str,
    value: &Value,
    explicit: bool,
) -> Result<TargetLocation, Error> {
    if let Some(urn) = extension_named(document, resource_type, text, value) {
        return Ok(TargetLocation::Extension(urn));
    }
    let path = match PatchPath::parse(text) {
        Err(_) if !explicit && !urn::is_urn(text) && !text.contains('[') => {
            return Ok(TargetLocation::Ignored);
        }
        parsed => parsed?,
    };
    let mut target = match resource_type.name(path.attribute.as_str()) {
        Name::Attribute(target) => target,
        Name::Misplaced => {
            return Err(Error::invalid_path(misplaced_detail(text, resource_type)));
        }
        Name::Core | Name::Extension(_) | Name::Unknown if explicit => {
            let detail = format!(
                "The path \"{}\" names no attribute of a {}. /Schemas lists the attributes.",
                quoted(text),
                resource_type.name
            );
            return Ok(TargetLocation::Unknown(Error::invalid_path(detail)));
        }
        Name::Core | Name::Extension(_) | Name::Unknown => return Ok(TargetLocation::Ignored),
    };
    if let Some(sub) = &path.sub {
        target.sub = match sub_attribute(&target.attribute, sub, text) {
            Ok(sub) => Some(sub),
            Err(error) if explicit => return Ok(TargetLocation::Unknown(error)),
            Err(_) => return Ok(TargetLocation::Ignored),
        };
    }
    spell_as_stored(document, &mut target);
    Ok(TargetLocation::Attribute(path, target))
}

/// Spells names below a URN that no schema registers as the resource has them already: letter case
/// makes no difference there either (RFC 7643 section 2.1).
fn spell_as_stored(document: &Map<String, Value>, target: &mut Target) {
    fn spelled(holder: &Map<String, Value>, name: &str) -> Option<String> {
        let same = |it: &&String| it.eq_ignore_ascii_case(name);
        let other = || holder.keys().find(same).cloned();
        if holder.contains_key(name) { Some(name.to_owned()) } else { other() }
    }
    if target.attribute.kind != Type::Any {
        return;
    }
    let Some(urn) = target.extension.as_ref().and_then(|it| spelled(document, it)) else {
        return;
    };
    let holder = document.get(&urn).and_then(Value::as_object);
    if let Some(name) = holder.and_then(|it| spelled(it, &target.attribute.name)) {
        if let Some(sub) = &target.sub
            && let Some(Value::Object(value)) = holder.and_then(|it| it.get(&name))
        {
            let sub = spelled(value, &sub.name).unwrap_or_else(|| sub.name.clone());
            target.sub = Some(Arc::new(Attribute::untyped(&sub)));
        }
        target.attribute = Arc::new(Attribute::untyped(&name));
    }
    target.extension = Some(urn);
}

/// The extension that this text names as a whole: one that is registered, one that the resource
/// has, or, where the value is an object, one that is neither.
fn extension_named(
    document: &Map<String, Value>,
    resource_type: &ResourceType,
    text: &str,
    value: &Value,
) -> Option<String> {
    if !urn::is_urn(text) || text.contains('[') {
        return None;
    }
    let target = match resource_type.name(text) {
        Name::Extension(extension) => return Some(extension.schema.id.clone()),
        Name::Attribute(target) if target.attribute.kind == Type::Any => target,
        Name::Unknown => {
            // A URN that no attribute can end, such as one with a version behind it.
            let is_urn = |it: &str| it.starts_with(|it: char| it.is_ascii_digit());
            let whole = value.is_object() && text.rsplit(':').next().is_some_and(is_urn);
            return stored_extension(document, text).or_else(|| whole.then(|| text.to_owned()));
        }
        _ => return None,
    };
    if let Some(stored) = stored_extension(document, text) {
        return Some(stored);
    }
    let holder =
        target.extension.as_ref().is_some_and(|it| stored_extension(document, it).is_some());
    let name = &target.attribute.name;
    // The URN of an extension of this type may end with the name of the type.
    let is_urn_itself = name.eq_ignore_ascii_case(&resource_type.name);
    let unknown = target.sub.is_none() && !holder && value.is_object();
    (unknown || (is_urn_itself && target.sub.is_none())).then(|| text.to_owned())
}

/// The extension with this URN that the resource has, as it is spelled there.
fn stored_extension(document: &Map<String, Value>, urn: &str) -> Option<String> {
    let is_it =
        |(name, value): &(&String, &Value)| value.is_object() && name.eq_ignore_ascii_case(urn);
    document.iter().find(is_it).map(|(name, _)| name.clone())
}

fn sub_attribute(attribute: &Attribute, name: &str, text: &str) -> Result<Arc<Attribute>, Error> {
    if attribute.kind == Type::Any {
        return Ok(Arc::new(Attribute::untyped(name)));
    }
    match attribute.sub_attribute(name) {
        Some(sub) => Ok(Arc::clone(sub)),
        None => Err(Error::invalid_path(format!(
            "The path \"{}\" names no attribute: \"{}\" has no sub-attribute \"{}\".",
            quoted(text),
            attribute.name,
            quoted(name)
        ))),
    }
}
