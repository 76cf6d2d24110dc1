//! Whether a request means to take login away, whatever else is wrong with it.

use serde_json::{Map, Value};

use crate::scim::coerce::coerce;
use crate::scim::identity::is_account;
use crate::scim::patch::message::member;
use crate::scim::patch::path::PatchPath;
use crate::scim::schema::name::ACTIVE;
use crate::scim::schema::resource_type::{Name, ResourceType};

/// Whether the body of a PUT or PATCH sets `active` to false, in any form that is taken for it. Of
/// several values the last one counts.
#[must_use]
pub fn is_meant(body: &Map<String, Value>, resource_type: &ResourceType) -> bool {
    if !is_account(resource_type) {
        return false;
    }
    let said = match member(body, "Operations") {
        None => said_in(body, resource_type),
        Some(Value::Array(operations)) => {
            operations.iter().filter_map(|it| said_by(it, resource_type)).next_back()
        }
        Some(one) => said_by(one, resource_type),
    };
    said == Some(false)
}

/// What an operation of a PATCH makes of `active`.
fn said_by(operation: &Value, resource_type: &ResourceType) -> Option<bool> {
    let operation = operation.as_object()?;
    let value = member(operation, "value")?;
    let path = match member(operation, "path") {
        Some(Value::String(path)) if !path.trim().is_empty() => path.trim(),
        _ => return said_in(value.as_object()?, resource_type),
    };
    match resource_type.name(path) {
        Name::Core => said_in(value.as_object()?, resource_type),
        _ => {
            let path = PatchPath::parse(path).ok()?;
            said_at(path.attribute.as_str(), value, resource_type)
        }
    }
}

/// What the members of a resource, or of a part of one, make of `active`.
fn said_in(members: &Map<String, Value>, resource_type: &ResourceType) -> Option<bool> {
    let mut said = members.iter().filter_map(|(name, value)| match value {
        Value::Object(inner) if matches!(resource_type.name(name), Name::Core) => {
            inner.iter().filter_map(|(name, value)| said_at(name, value, resource_type)).next_back()
        }
        _ => said_at(name, value, resource_type),
    });
    said.next_back()
}

fn said_at(name: &str, value: &Value, resource_type: &ResourceType) -> Option<bool> {
    match resource_type.name(name) {
        Name::Attribute(target) if target.is_core(ACTIVE) && target.sub.is_none() => {
            coerce(&target.attribute, value, name, resource_type.strict).ok()??.as_bool()
        }
        _ => None,
    }
}
