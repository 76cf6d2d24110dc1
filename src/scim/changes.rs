//! What a change did to a resource, for the record of changes.
//!
//! Nothing is copied: the record of a change is printed from the documents before and after it.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::scim::print::{write, write_elements, write_members, write_string};

/// Room for a change of a usual length.
const CHANGES_BYTES: usize = 512;

/// What a change did: each attribute on the first level whose value differs, with its value before
/// and after. Secrets are never part of a document, so none can appear here.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    attributes: Vec<(&'a str, Change<'a>)>,
    beside: Map<String, Value>,
}

impl<'a> Changes<'a> {
    /// What differs between two documents.
    #[must_use]
    pub fn between(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> Changes<'a> {
        let mut changes = Changes::default();
        // Both have their names in the same order.
        let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some((old, _)), Some((new, _))) => old.cmp(new),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return changes,
            };
            let gone = old.next_if(|_| order != Ordering::Greater);
            let come = new.next_if(|_| order != Ordering::Less);
            if let Some((name, _)) = gone.or(come) {
                changes.note(name, gone.map(|(_, it)| it), come.map(|(_, it)| it));
            }
        }
    }

    fn note(&mut self, name: &'a str, before: Option<&'a Value>, after: Option<&'a Value>) {
        if before != after {
            self.attributes.push((name, Change::of(before, after)));
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.beside.is_empty()
    }

    /// Adds what no attribute of the documents says, such as members of a group. None of them has
    /// this name.
    pub fn add(&mut self, name: &str, value: Value) {
        self.beside.insert(name.to_owned(), value);
    }

    /// The changes as a value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // Of values that are JSON already, and names that are text.
        serde_json::from_str(&self.to_text()).unwrap_or_default()
    }

    /// The changes as JSON text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(CHANGES_BYTES);
        let mut separator = '{';
        for (name, change) in &self.attributes {
            text.push(separator);
            separator = ',';
            write_string(&mut text, name);
            text.push_str(":{\"before\":");
            change.before.write(&mut text);
            text.push_str(",\"after\":");
            change.after.write(&mut text);
            text.push('}');
        }
        for (name, value) in &self.beside {
            text.push(separator);
            separator = ',';
            write_string(&mut text, name);
            text.push(':');
            write(&mut text, value);
        }
        if separator == '{' {
            text.push('{');
        }
        text.push('}');
        text
    }
}

/// What differs between two values of an attribute.
#[derive(Debug)]
struct Change<'a> {
    before: Part<'a>,
    after: Part<'a>,
}

/// What of a value differs from the other one.
#[derive(Debug)]
enum Part<'a> {
    Nothing,
    Whole(&'a Value),
    Members(Vec<(&'a str, &'a Value)>),
    Elements(Vec<&'a Value>),
}

impl Part<'_> {
    fn write(&self, text: &mut String) {
        match self {
            Part::Nothing => text.push_str("null"),
            Part::Whole(value) => write(text, value),
            Part::Members(members) => {
                text.push('{');
                write_members(text, members.iter().copied());
                text.push('}');
            }
            Part::Elements(elements) => {
                text.push('[');
                write_elements(text, elements.iter().copied());
                text.push(']');
            }
        }
    }
}

impl<'a> Change<'a> {
    /// Of two objects the members that differ, of two lists the elements that only one of them has,
    /// so that the record of a change grows with the change and not with the list.
    fn of(before: Option<&'a Value>, after: Option<&'a Value>) -> Change<'a> {
        match (before, after) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                Change { before: members(old, new), after: members(new, old) }
            }
            (Some(whole_old @ Value::Array(old)), Some(whole_new @ Value::Array(new))) => {
                let texts = |list: &[Value]| list.iter().map(Value::to_string).collect::<Vec<_>>();
                let (old_texts, new_texts) = (texts(old), texts(new));
                let before = elements(old, &old_texts, &new_texts);
                let after = elements(new, &new_texts, &old_texts);
                // The same elements in another order.
                if before.is_empty() && after.is_empty() {
                    return Change {
                        before: Part::Whole(whole_old),
                        after: Part::Whole(whole_new),
                    };
                }
                Change { before: Part::Elements(before), after: Part::Elements(after) }
            }
            _ => Change { before: whole(before), after: whole(after) },
        }
    }
}

fn whole(value: Option<&Value>) -> Part<'_> {
    value.map_or(Part::Nothing, Part::Whole)
}

/// The members of an object that the other one does not have, or not with this value.
fn members<'a>(object: &'a Map<String, Value>, other: &Map<String, Value>) -> Part<'a> {
    let differs = object.iter().filter(|(name, value)| other.get(*name) != Some(value));
    Part::Members(differs.map(|(name, value)| (name.as_str(), value)).collect())
}

/// The elements of a list whose texts the other list does not have.
fn elements<'a>(list: &'a [Value], texts: &[String], others: &[String]) -> Vec<&'a Value> {
    let others: HashSet<&String> = others.iter().collect();
    list.iter().zip(texts).filter(|(_, it)| !others.contains(it)).map(|(it, _)| it).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two documents are compared side by side, which needs members in the order of their names. A
    /// crate that asks for another order of serde_json would have it everywhere.
    #[test]
    fn members_are_in_the_order_of_their_names() {
        let members: Map<String, Value> = serde_json::from_str(r#"{"b":1,"a":2,"C":3}"#).unwrap();
        assert_eq!(members.keys().collect::<Vec<_>>(), ["C", "a", "b"]);
    }

    fn found(before: &str, after: &str) -> Value {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let (before, after) = (map(before), map(after));
        let changes = Changes::between(&before, &after);
        assert_eq!(changes.is_empty(), before == after);
        let value = changes.to_value();
        assert_eq!(serde_json::from_str::<Value>(&changes.to_text()).unwrap(), value);
        value
    }

    #[test]
    fn changes_name_what_was_added_changed_and_removed() {
        let expected = json!({"c": {"before": 3, "after": 4},
            "d": {"before": null, "after": 5}, "a": {"before": 1, "after": null}});
        assert_eq!(found(r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2,"c":4,"d":5}"#), expected);
        assert_eq!(found(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#), json!({}));
        let expected = json!({"a": {"before": {"b": 1}, "after": {"c": [null]}}});
        assert_eq!(found(r#"{"a":{"b":1,"x":0}}"#, r#"{"a":{"x":0,"c":[null]}}"#), expected);
    }

    #[test]
    fn of_lists_only_the_elements_that_differ_are_named() {
        let expected = json!({"a": {"before": [2], "after": [4]}});
        assert_eq!(found(r#"{"a":[1,2,3]}"#, r#"{"a":[1,4,3]}"#), expected);
        let swapped = found(r#"{"a":[1,2,3]}"#, r#"{"a":[3,2,1]}"#);
        assert_eq!(swapped, json!({"a": {"before": [1, 2, 3], "after": [3, 2, 1]}}));
    }

    #[test]
    fn what_is_added_stands_beside_the_attributes() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        changes.add("members", json!({"added": ["1"]}));
        assert!(!changes.is_empty());
        assert_eq!(changes.to_text(), r#"{"members":{"added":["1"]}}"#);
    }
}
