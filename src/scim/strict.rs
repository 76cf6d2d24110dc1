//! What an organisation that is set to strict refuses: names that no schema defines, in a body, in
//! a PATCH operation and in a filter. Identity providers send such names, so by default they are
//! ignored or kept (`validate.rs`).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::filter::grammar::Filter;
use crate::scim::filter::path::AttrPath;
use crate::scim::patch::path::PatchPath;
use crate::scim::schema::attribute::{Attribute, Type, find};
use crate::scim::schema::name::SCHEMAS;
use crate::scim::schema::resource_type::{Extension, ResourceType};
use crate::scim::schema::urn;

/// Judges the names in the body of a POST or PUT.
///
/// # Errors
/// 400 `invalidSyntax` that names what no schema defines.
pub fn judge_body(body: &Map<String, Value>, resource_type: &ResourceType) -> Result<(), Error> {
    for (name, value) in body {
        if name.eq_ignore_ascii_case(SCHEMAS) {
            judge_schemas(value, resource_type)?;
        } else if let Some(extension) = resource_type.extension(name) {
            judge_extension(extension, value, name)?;
        } else if let Some(attribute) = resource_type.attribute(name) {
            judge_value(attribute, value, name)?;
        } else {
            let path = AttrPath::new(name).filter(|_| urn::is_urn(name));
            let target = path.and_then(|it| resource_type.resolve(&it));
            let target = target.filter(|it| it.attribute.kind != Type::Any && it.sub.is_none());
            judge_value(&target.ok_or_else(|| undefined(name))?.attribute, value, name)?;
        }
    }
    Ok(())
}

/// Judges the names in the path and the value of a PATCH operation. A path that cannot be
/// read passes here: `PatchPath::parse` refuses it.
///
/// # Errors
/// As [`judge_body`].
pub fn judge_operation(
    path: &str,
    value: &Value,
    resource_type: &ResourceType,
) -> Result<(), Error> {
    if let Some(extension) = resource_type.extension(path) {
        return judge_extension(extension, value, path);
    }
    let Ok(parsed) = PatchPath::parse(path) else {
        return Ok(());
    };
    let target = resource_type.resolve(&parsed.attribute);
    let target = target.filter(|it| it.attribute.kind != Type::Any);
    let target = target.ok_or_else(|| undefined(path))?;
    match &parsed.sub {
        None => judge_value(target.leaf(), value, path),
        Some(sub) => {
            let sub = target.attribute.sub_attribute(sub).ok_or_else(|| undefined(path))?;
            judge_value(sub, value, path)
        }
    }
}

/// Judges the names in a filter. By default, a filter may name attributes below a URN that no
/// schema registers.
///
/// # Errors
/// 400 `invalidFilter` that names what no schema defines.
pub fn judge_filter(filter: &Filter, resource_type: &ResourceType) -> Result<(), Error> {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => {
            terms.iter().try_for_each(|it| judge_filter(it, resource_type))
        }
        Filter::Not(inner) => judge_filter(inner, resource_type),
        Filter::Present(path) | Filter::Compare(path, ..) | Filter::ValuePath(path, _) => {
            match resource_type.resolve(path) {
                Some(target) if target.attribute.kind == Type::Any => {
                    Err(Error::invalid_filter(undefined(path.as_str()).detail))
                }
                _ => Ok(()),
            }
        }
    }
}

fn judge_schemas(value: &Value, resource_type: &ResourceType) -> Result<(), Error> {
    let listed = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let is_known = |it: &str| {
        resource_type.core.id.eq_ignore_ascii_case(it) || resource_type.extension(it).is_some()
    };
    match listed.iter().filter_map(Value::as_str).find(|it| !is_known(it)) {
        Some(unknown) => Err(undefined(unknown)),
        None => Ok(()),
    }
}

/// An extension may name itself once more in a `schemas` of its own.
fn judge_extension(extension: &Extension, value: &Value, path: &str) -> Result<(), Error> {
    let (schema, mut members) = (&extension.schema, value.clone());
    if let Value::Object(members) = &mut members {
        let is_it = |it: &Value| it.as_str().is_some_and(|it| it.eq_ignore_ascii_case(&schema.id));
        members.retain(|name, value| {
            let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let itself = name.eq_ignore_ascii_case(SCHEMAS) && items.iter().all(is_it);
            !itself || schema.attribute(name).is_some()
        });
    }
    judge_members(&schema.attributes, &members, path)
}

fn judge_value(attribute: &Attribute, value: &Value, path: &str) -> Result<(), Error> {
    if attribute.kind != Type::Complex {
        return Ok(());
    }
    match value {
        Value::Array(items) => {
            items.iter().try_for_each(|it| judge_members(&attribute.sub_attributes, it, path))
        }
        one => judge_members(&attribute.sub_attributes, one, path),
    }
}

fn judge_members(known: &[Arc<Attribute>], value: &Value, path: &str) -> Result<(), Error> {
    let Value::Object(members) = value else {
        return Ok(());
    };
    let separator = if path.contains(':') && !path.contains('[') { ':' } else { '.' };
    members.iter().try_for_each(|(name, value)| match find(known, name) {
        Some(attribute) => judge_value(attribute, value, &format!("{path}{separator}{name}")),
        None => Err(undefined(&format!("{path}{separator}{name}"))),
    })
}

fn undefined(name: &str) -> Error {
    Error::invalid_syntax(format!(
        "No schema of this organisation defines \"{}\", and the organisation is set to strict. \
         /Schemas lists the attributes; Plumm Support can register further schemas.",
        quoted(name)
    ))
}
