//! PATCH on an attribute with one value, or on a sub-attribute of one (RFC 7644 section 3.5.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scim::coerce::coerce;
use crate::scim::error::Error;
use crate::scim::patch::message::Op;
use crate::scim::patch::multi_valued::{self, Selection};
use crate::scim::schema::attribute::{Attribute, Type};

/// Applies one operation to an attribute of `holder`, or to its sub-attribute.
///
/// # Errors
/// 400 `invalidValue` for a value that does not fit.
pub fn apply(
    holder: &mut Map<String, Value>,
    attribute: &Attribute,
    sub: Option<&Arc<Attribute>>,
    op: Op,
    value: &Value,
    text: &str,
    strict: bool,
) -> Result<(), Error> {
    let Some(sub) = sub else {
        if op == Op::Remove {
            holder.remove(&attribute.name);
            return Ok(());
        }
        let kept = coerce(attribute, value.clone(), text, strict)?;
        // Below a URN that nobody registered, what is an object is a complex attribute: what is
        // added to it leaves the rest (section 3.5.2.1).
        if attribute.kind == Type::Any
            && op == Op::Add
            && let (Some(Value::Object(old)), Some(Value::Object(new))) =
                (holder.get_mut(&attribute.name), &kept)
        {
            old.extend(new.clone());
            return Ok(());
        }
        // A complex value names what changes; its other sub-attributes stay (section 3.5.2.3).
        // A bare id is another value: the sub-attributes of the value before do not describe it.
        let is_bare_id = matches!(value, Value::String(_));
        if attribute.kind == Type::Complex
            && !is_bare_id
            && (kept.is_some() || value.is_object())
            && let Some(Value::Object(old)) = holder.get_mut(&attribute.name)
        {
            if let Some(Value::Object(new)) = kept {
                old.extend(new);
            }
            clear_nulls(old, value, attribute);
            if old.is_empty() {
                holder.remove(&attribute.name);
            }
            return Ok(());
        }
        set(Some(holder), &attribute.name, kept);
        return Ok(());
    };
    let kept = if op == Op::Remove { None } else { coerce(sub, value.clone(), text, strict)? };
    if kept.is_some() && !holder.get(&attribute.name).is_some_and(Value::is_object) {
        holder.insert(attribute.name.clone(), Value::Object(Map::new()));
    }
    let Some(Value::Object(object)) = holder.get_mut(&attribute.name) else {
        return Ok(());
    };
    // A sub-attribute with several values takes on more of them as an attribute does.
    match sub.multi_valued && (op == Op::Add || !value.is_null()) {
        true => {
            let all = Selection::new(sub, None, None, strict)?;
            multi_valued::apply(object, sub, &all, op, value, text)?;
        }
        false => set(Some(object), &sub.name, kept),
    }
    if object.is_empty() {
        holder.remove(&attribute.name);
    }
    Ok(())
}

/// Removes the sub-attributes that a complex value gives as null.
fn clear_nulls(old: &mut Map<String, Value>, given: &Value, attribute: &Attribute) {
    for (name, _) in given.as_object().into_iter().flatten().filter(|(_, it)| it.is_null()) {
        if let Some(sub) = attribute.sub_attribute(name) {
            old.remove(&sub.name);
        }
    }
}

/// Sets a member, or removes it when there is no value.
fn set(holder: Option<&mut Map<String, Value>>, name: &str, value: Option<Value>) {
    match (holder, value) {
        (Some(holder), Some(value)) => drop(holder.insert(name.to_owned(), value)),
        (Some(holder), None) => drop(holder.remove(name)),
        (None, _) => {}
    }
}
