//! Whether a request means to take login away, whatever else is wrong with it.

use serde_json::{Map, Value};

use crate::scim::coerce::coerce;
use crate::scim::identity::is_account;
use crate::scim::patch::message::member;
use crate::scim::patch::path::PatchPath;
use crate::scim::schema::name::ACTIVE;
use crate::scim::schema::resource_type::{Name, ResourceType};
use crate::scim::schema::urn;

/// Whether the body of a PUT or PATCH sets `active` to false, in any form that is taken for it. Of
/// several operations the last one counts; of several members of one object none is the last, and
/// false counts.
#[must_use]
pub fn is_meant(body: &Map<String, Value>, resource_type: &ResourceType) -> bool {
    if !is_account(resource_type) {
        return false;
    }
    let active = match member(body, "Operations") {
        None => active_in_members(body, resource_type),
        Some(Value::Array(operations)) => {
            operations.iter().filter_map(|it| active_in_operation(it, resource_type)).next_back()
        }
        Some(one) => active_in_operation(one, resource_type),
    };
    active == Some(false)
}

/// The value that an operation of a PATCH gives `active`.
fn active_in_operation(operation: &Value, resource_type: &ResourceType) -> Option<bool> {
    let operation = operation.as_object()?;
    let value = member(operation, "value")?;
    let path = match member(operation, "path") {
        Some(Value::String(path)) if !path.trim().is_empty() => path.trim(),
        _ => return active_in_members(value.as_object()?, resource_type),
    };
    if !may_mean_active(path) {
        return None;
    }
    match resource_type.name(path) {
        Name::Core => active_in_members(value.as_object()?, resource_type),
        _ => {
            let path = PatchPath::parse(path).ok()?;
            active_of_member(path.attribute.as_str(), value, resource_type)
        }
    }
}

/// The value that the members of a resource, or of a part of one, give `active`.
fn active_in_members(members: &Map<String, Value>, resource_type: &ResourceType) -> Option<bool> {
    let active = members.iter().filter_map(|(name, value)| match value {
        Value::Object(inner)
            if urn::is_urn(name) && matches!(resource_type.name(name), Name::Core) =>
        {
            let inner = inner.iter();
            inner.filter_map(|(name, value)| active_of_member(name, value, resource_type)).min()
        }
        _ => active_of_member(name, value, resource_type),
    });
    active.min()
}

/// The value that one member gives `active`; none when its name is not that of `active`.
fn active_of_member(name: &str, value: &Value, resource_type: &ResourceType) -> Option<bool> {
    if !may_mean_active(name) {
        return None;
    }
    match resource_type.name(name) {
        Name::Attribute(target) if target.is_core(ACTIVE) && target.sub.is_none() => {
            coerce(&target.attribute, value.clone(), name, resource_type.strict).ok()??.as_bool()
        }
        _ => None,
    }
}

/// Whether a name is worth resolving: every PUT names some twenty attributes that are another.
fn may_mean_active(name: &str) -> bool {
    urn::is_urn(name) || name.eq_ignore_ascii_case(ACTIVE)
}
