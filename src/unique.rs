//! Values that must be unique, and creations that come a second time: looked for in the transaction
//! of the change, so that the answer can name the attribute and the resource.

use serde_json::{Map, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::filter::condition::Condition;
use crate::scim::filter::grammar::{CompareOp, Filter, Literal};
use crate::scim::filter::path::AttrPath;
use crate::scim::schema::attribute::Attribute;
use crate::scim::schema::name::{DISPLAY_NAME, EXTERNAL_ID, USER_NAME};
use crate::scim::schema::resource_type::ResourceType;
use crate::store::error::Error as StoreError;
use crate::store::tables::resource::Kind;
use crate::store::transaction::Read;

/// Why a value was not taken, or could not be looked for.
#[derive(Debug)]
pub enum LookError {
    /// The resource is refused.
    Refused(Error),
    /// The file could not be read.
    Store(StoreError),
}

impl From<Error> for LookError {
    fn from(error: Error) -> LookError {
        LookError::Refused(error)
    }
}

impl From<StoreError> for LookError {
    fn from(error: StoreError) -> LookError {
        LookError::Store(error)
    }
}

/// Whether other resources have to be looked at before this change is made. The file itself keeps
/// two accounts from having one userName.
pub fn needs_look(
    strict: bool,
    resource_type: &ResourceType,
    before: &Map<String, Value>,
    document: &Map<String, Value>,
) -> bool {
    let mut unique = resource_type.unique_attributes().peekable();
    if unique.peek().is_none() {
        return !strict;
    }
    unique.any(|(urn, attribute)| {
        let is_user_name = urn.is_none() && attribute.name == USER_NAME;
        !is_user_name && value_at(document, urn, attribute) != value_at(before, urn, attribute)
    })
}

/// Looks for another resource with a value that must be unique, in the transaction of the change,
/// so that the answer can name the attribute and the resource (RFC 7644 section 3.3). A value that
/// the change leaves as it was is not looked for.
pub fn refuse_duplicate(
    tx: &Read,
    kind: Kind,
    resource_type: &ResourceType,
    before: &Map<String, Value>,
    document: &Map<String, Value>,
    id: &str,
) -> Result<(), LookError> {
    for (urn, attribute) in resource_type.unique_attributes() {
        let (value, old) = (value_at(document, urn, attribute), value_at(before, urn, attribute));
        let literal = match value {
            Some(Value::String(it)) if !it.is_empty() => Literal::String(it.clone()),
            Some(Value::Number(it)) => Literal::Number(it.clone()),
            _ => continue,
        };
        if value == old {
            continue;
        }
        let shown = literal.to_string();
        let name = urn.map_or_else(String::new, |it| format!("{it}:")) + &attribute.name;
        let Some(path) = AttrPath::new(&name) else { continue };
        let filter = Filter::Compare(path, CompareOp::Eq, literal);
        let condition = Condition::of_resource(&filter, resource_type)?;
        if let Some(holder) = tx.holder(kind, &condition, id)? {
            let advice = if name.eq_ignore_ascii_case("userName") {
                "In Okta, Unique identifier field for users must be userName; assign the user \
                 again, and Okta links that account."
            } else {
                "Send another value, or change that account first."
            };
            return Err(Error::uniqueness(format!(
                "{name} {} is already used by the {} with the id {holder}. {advice}",
                quoted(&shown),
                kind.resource_type,
            ))
            .into());
        }
    }
    Ok(())
}

/// Refuses to create a resource again whose type has no attribute that must be unique: with the
/// same externalId and the same displayName it is the one that is there, and the answer to its
/// creation was lost (RFC 7644 section 3.3). Groups have no other sign.
pub fn refuse_repeated(
    strict: bool,
    tx: &Read,
    kind: Kind,
    resource_type: &ResourceType,
    document: &Map<String, Value>,
) -> Result<(), LookError> {
    if strict || resource_type.unique_attributes().next().is_some() {
        return Ok(());
    }
    let text = |name: &str| match document.get(name) {
        Some(Value::String(it)) if !it.is_empty() => Some(it.clone()),
        _ => None,
    };
    let (Some(external), Some(display)) = (text(EXTERNAL_ID), text(DISPLAY_NAME)) else {
        return Ok(());
    };
    let equals = |name: &str, value: String| {
        let path = AttrPath::new(name)?;
        Some(Filter::Compare(path, CompareOp::Eq, Literal::String(value)))
    };
    let both = [equals(EXTERNAL_ID, external), equals(DISPLAY_NAME, display)];
    let filter = Filter::And(both.into_iter().flatten().collect());
    let condition = Condition::of_resource(&filter, resource_type)?;
    match tx.holder(kind, &condition, "")? {
        None => Ok(()),
        Some(id) => Err(Error::uniqueness(format!(
            "There is a {} with this externalId and displayName already: the one with the id {id}. \
             Change that one.",
            kind.resource_type
        ))
        .into()),
    }
}

/// The value of an attribute on the first level, or in an extension.
fn value_at<'a>(
    document: &'a Map<String, Value>,
    urn: Option<&str>,
    attribute: &Attribute,
) -> Option<&'a Value> {
    match urn {
        None => document.get(&attribute.name),
        Some(urn) => document.get(urn)?.get(&attribute.name),
    }
}
