//! PATCH on a multi-valued attribute (RFC 7644 section 3.5.2): which values an operation selects,
//! and what it does to them.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scim::coerce::{VALUES_MAX, coerce, element_key};
use crate::scim::error::{Error, quoted};
use crate::scim::filter::comparison::same;
use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::{CompareOp, Filter};
use crate::scim::filter::matching::value_matches;
use crate::scim::patch::message::Op;
use crate::scim::schema::attribute::Attribute;

/// The values that an operation selects, and which part of them.
#[derive(Debug)]
pub struct Selection {
    /// The values that meet this; all of them when there is none.
    condition: Option<Condition>,
    /// The value that the filter describes, from which a new one is made: `type eq "work"`
    /// describes one with this type.
    described: Option<Map<String, Value>>,
    /// The sub-attribute of these values; the whole values when there is none.
    sub: Option<Arc<Attribute>>,
    /// Whether the organisation is set to strict: only the forms of the RFC are taken, and no value
    /// is made where a filter selects none.
    strict: bool,
}

impl Selection {
    /// The selection a path makes among the values of an attribute.
    ///
    /// # Errors
    /// 400 `invalidFilter` when the filter does not fit the attribute.
    pub fn new(
        attribute: &Arc<Attribute>,
        filter: Option<&Filter>,
        sub: Option<&Arc<Attribute>>,
        strict: bool,
    ) -> Result<Selection, Error> {
        let condition = filter.map(|it| Condition::of_values(it, attribute)).transpose()?;
        let described = match &condition {
            None => Some(Map::new()),
            Some(condition) => filter.and_then(|it| described_value(attribute, it, condition)),
        };
        Ok(Selection { condition, described, sub: sub.map(Arc::clone), strict })
    }

    fn selected_indexes(&self, values: &[Value]) -> Vec<usize> {
        let matches = |value: &Value| match &self.condition {
            None => true,
            Some(condition) => value_matches(condition, value),
        };
        (0..values.len()).filter(|i| matches(&values[*i])).collect()
    }
}

/// The value that a filter describes, when it is nothing but `eq` joined by `and`.
fn described_value(
    attribute: &Attribute,
    filter: &Filter,
    condition: &Condition,
) -> Option<Map<String, Value>> {
    match (filter, condition) {
        (Filter::And(filters), Condition::And(conditions)) => {
            let mut described = Map::new();
            for (filter, condition) in filters.iter().zip(conditions) {
                described.extend(described_value(attribute, filter, condition)?);
            }
            Some(described)
        }
        (
            Filter::Compare(_, CompareOp::Eq, literal),
            Condition::Test(Place::Sub(sub), Test::Compare(CompareOp::Eq, operand)),
        ) => {
            // The text as the client wrote it: the operand may be folded.
            let value = match operand {
                Operand::Bool(it) => Value::Bool(*it),
                _ => serde_json::from_str(&literal.to_string()).ok()?,
            };
            let value = coerce(sub, value, &attribute.name, false).ok()??;
            Some(Map::from_iter([(sub.name.clone(), value)]))
        }
        // `primary eq false`
        (Filter::Compare(_, CompareOp::Eq, _), Condition::Not(inner)) => match inner.as_ref() {
            Condition::Test(Place::Sub(sub), _) => {
                Some(Map::from_iter([(sub.name.clone(), false.into())]))
            }
            _ => None,
        },
        _ => None,
    }
}

/// What an operation on these values costs: the bytes it goes through, once for each comparison of
/// its filter or each value it names. Letters outside ASCII take longer to fold.
#[must_use]
pub fn cost(values: Option<&Value>, filter: Option<&Filter>, named: &Value) -> usize {
    const VALUE_BYTES: usize = 16;
    const FOLDING_FACTOR: usize = 16;
    fn weight(value: &Value) -> usize {
        match value {
            Value::String(it) if it.is_ascii() => it.len() + VALUE_BYTES,
            Value::String(it) => it.len() * FOLDING_FACTOR + VALUE_BYTES,
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(members) => members.values().map(weight).sum(),
            _ => 1,
        }
    }
    let rounds = filter.map_or(1, Filter::comparisons).max(named.as_array().map_or(1, Vec::len));
    values.map_or(0, weight).saturating_mul(rounds)
}

/// Applies one operation to the values of `attribute` in `holder`.
///
/// # Errors
/// 400 `noTarget` when a replacement selects nothing and the filter does not say what to make,
/// 400 `invalidValue` for a value that does not fit.
pub fn apply(
    holder: &mut Map<String, Value>,
    attribute: &Arc<Attribute>,
    selection: &Selection,
    op: Op,
    value: &Value,
    text: &str,
) -> Result<(), Error> {
    let mut values = match holder.get_mut(&attribute.name).map(Value::take) {
        Some(Value::Array(values)) => values,
        None | Some(Value::Null) => Vec::new(),
        // Stored before the schema was registered.
        Some(one) => vec![one],
    };
    let changed = match (&selection.condition, &selection.sub, op) {
        (None, None, Op::Add) => add(&mut values, attribute, selection, value, text)?,
        (None, None, Op::Replace) => {
            values = into_values(coerce(attribute, value.clone(), text, selection.strict)?);
            Vec::new()
        }
        (_, _, Op::Remove) => remove(&mut values, attribute, selection, value),
        _ => change_selected(&mut values, attribute, selection, op, value, text)?,
    };
    if values.len() > VALUES_MAX {
        return Err(Error::invalid_value(format!(
            "\"{}\" would have {} values; at most {VALUES_MAX} are kept.",
            attribute.name,
            values.len()
        )));
    }
    keep_one_primary(&mut values, &changed);
    if values.is_empty() {
        holder.remove(&attribute.name);
    } else {
        holder.insert(attribute.name.clone(), Value::Array(values));
    }
    Ok(())
}

fn into_values(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(values)) => values,
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

/// Adds values. A value that is there already gets the sub-attributes that are new.
fn add(
    values: &mut Vec<Value>,
    attribute: &Attribute,
    selection: &Selection,
    value: &Value,
    text: &str,
) -> Result<Vec<usize>, Error> {
    let mut known: HashMap<String, usize> = HashMap::new();
    for (i, it) in values.iter().enumerate() {
        known.insert(element_key(attribute, it), i);
    }
    let mut changed = Vec::new();
    for new in into_values(coerce(attribute, value.clone(), text, selection.strict)?) {
        let index = *known.entry(element_key(attribute, &new)).or_insert(values.len());
        match (values.get_mut(index), new) {
            (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
            (Some(_), _) => {}
            (None, new) => values.push(new),
        }
        changed.push(index);
    }
    Ok(changed)
}

/// Removes the selected values, or their sub-attribute. A value array without a filter removes just
/// those: Entra ID removes members that way. A value that is not there is no failure: Okta removes
/// members that a group does not have.
fn remove(
    values: &mut Vec<Value>,
    attribute: &Attribute,
    selection: &Selection,
    value: &Value,
) -> Vec<usize> {
    if let Some(sub) = &selection.sub {
        for i in selection.selected_indexes(values) {
            if let Value::Object(element) = &mut values[i] {
                element.remove(&sub.name);
            }
        }
        values.retain(|it| it.as_object().is_none_or(|it| !it.is_empty()));
        return Vec::new();
    }
    let named = match value {
        Value::Null => None,
        Value::Array(items) => Some(items.as_slice()),
        one => Some(std::slice::from_ref(one)),
    };
    let readable = |item| coerce_element(attribute, item, selection.strict).ok().flatten();
    let named: Option<Vec<Value>> = named.map(|it| it.iter().filter_map(readable).collect());
    let selected = selection.selected_indexes(values);
    let mut keep = vec![true; values.len()];
    for i in selected {
        let meant = named.as_ref().is_none_or(|items| {
            items.iter().any(|item| is_same_value(attribute, &values[i], item))
        });
        keep[i] = !meant;
    }
    let mut keep = keep.into_iter();
    values.retain(|_| keep.next().unwrap_or(true));
    Vec::new()
}

/// Whether a stored value is the one a removal names: by `value`, else by all its sub-attributes.
fn is_same_value(attribute: &Attribute, stored: &Value, named: &Value) -> bool {
    let (Value::Object(stored), Value::Object(named)) = (stored, named) else {
        return element_key(attribute, stored) == element_key(attribute, named);
    };
    let is_same_member = |name: &str| {
        let sub = attribute.sub_attribute(name);
        match (stored.get(name), named.get(name)) {
            (Some(Value::String(a)), Some(Value::String(b))) => {
                same(a, b, sub.is_some_and(|it| it.case_exact))
            }
            (a, b) => a == b,
        }
    };
    if named.contains_key("value") {
        return is_same_member("value") && (!named.contains_key("type") || is_same_member("type"));
    }
    named.keys().all(|name| is_same_member(name))
}

fn coerce_element(
    attribute: &Attribute,
    value: &Value,
    strict: bool,
) -> Result<Option<Value>, Error> {
    let one = coerce(attribute, value.clone(), &attribute.name, strict)?;
    Ok(into_values(one).into_iter().next())
}

/// Changes the selected values, or a sub-attribute of them. Where none is selected, one is made.
fn change_selected(
    values: &mut Vec<Value>,
    attribute: &Attribute,
    selection: &Selection,
    op: Op,
    value: &Value,
    text: &str,
) -> Result<Vec<usize>, Error> {
    let mut selected = selection.selected_indexes(values);
    let value = match value {
        Value::Array(items) if items.len() == 1 => &items[0],
        other => other,
    };
    // A bare text in place of a whole value is its `value`.
    let nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let default_sub = attribute.sub_attribute("value").filter(|_| !nothing && !value.is_object());
    let sub = selection.sub.as_ref().or(default_sub);
    let Some(sub) = sub else {
        let new = coerce_element(attribute, value, selection.strict)?;
        let Some(new) = new else {
            if op == Op::Add && value.is_object() {
                return Ok(Vec::new());
            }
            let mut index = 0;
            values.retain(|_| {
                index += 1;
                !selected.contains(&(index - 1))
            });
            return Ok(Vec::new());
        };
        if selected.is_empty() {
            if op == Op::Replace {
                return Err(nothing_selected(text));
            }
            selected.push(add_described_value(values, selection, text)?);
        }
        for i in &selected {
            match (&mut values[*i], &new) {
                (Value::Object(old), Value::Object(new)) if op == Op::Add => {
                    old.extend(new.clone());
                }
                (old, new) => *old = new.clone(),
            }
        }
        return Ok(selected);
    };
    let new = coerce(sub, value.clone(), text, selection.strict)?;
    if selected.is_empty() {
        if new.is_none() {
            return Ok(Vec::new());
        }
        // "if no record match was made, the service provider SHALL indicate failure by returning
        // HTTP status code 400 and a "scimType" error code of "noTarget"" (section 3.5.2.3).
        if selection.strict && op == Op::Replace && selection.condition.is_some() {
            return Err(nothing_selected(text));
        }
        selected.push(add_described_value(values, selection, text)?);
    }
    for i in &selected {
        let Value::Object(element) = &mut values[*i] else { continue };
        match &new {
            Some(_) if op == Op::Add && sub.multi_valued => {
                let all = Selection::new(sub, None, None, selection.strict)?;
                apply(element, sub, &all, op, value, text)?;
            }
            Some(new) => drop(element.insert(sub.name.clone(), new.clone())),
            None => drop(element.remove(&sub.name)),
        }
    }
    values.retain(|it| it.as_object().is_none_or(|it| !it.is_empty()));
    selected.retain(|i| *i < values.len());
    Ok(selected)
}

/// Adds the value that the filter describes: Entra ID replaces `emails[type eq "work"].value` of
/// users that have no such address yet.
fn add_described_value(
    values: &mut Vec<Value>,
    selection: &Selection,
    text: &str,
) -> Result<usize, Error> {
    let described = selection.described.clone().ok_or_else(|| nothing_selected(text))?;
    values.push(Value::Object(described));
    Ok(values.len() - 1)
}

fn nothing_selected(text: &str) -> Error {
    Error::no_target(format!(
        "The path \"{}\" selects no value of this resource, so there is nothing to change.",
        quoted(text)
    ))
}

/// Only one value is primary: when an operation makes a value primary, the others no longer are
/// (RFC 7644 section 3.5.2).
fn keep_one_primary(values: &mut [Value], changed: &[usize]) {
    let primary = |it: &Value| it["primary"] == true;
    let Some(chosen) = changed.iter().rev().find(|i| values.get(**i).is_some_and(primary)) else {
        return;
    };
    for (i, value) in values.iter_mut().enumerate() {
        if i != *chosen && primary(value) {
            value["primary"] = false.into();
        }
    }
}
