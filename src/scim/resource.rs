//! The representation of a resource: its stored document, its computed attributes and `meta`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::scim::meta::Meta;

/// Room for `meta`, whose URL is seldom longer than this leaves.
const META_BYTES: usize = 384;

/// The answer for a resource: its stored document with what is computed spliced in, `meta` last.
/// The document is not parsed: a page of a hundred would cost ten times as much.
#[must_use]
pub fn splice(document: &str, computed: &str, meta: &Meta) -> String {
    let mut text = String::with_capacity(document.len() + computed.len() + META_BYTES);
    text.push_str(document.strip_suffix('}').unwrap_or(document));
    // A document always has `schemas`, so the comma that this begins with is due.
    text.push_str(computed);
    text.push_str(",\"meta\":");
    meta.write(&mut text);
    text.push('}');
    text
}

/// The same answer as a value, for projections and for filters in memory.
#[must_use]
pub fn whole(
    mut document: Map<String, Value>,
    computed: Map<String, Value>,
    meta: &Meta,
) -> Map<String, Value> {
    document.extend(computed);
    document.insert("meta".to_owned(), meta.to_json());
    document
}

/// What a change did: each attribute on the first level whose value differs, with its value before
/// and after. Secrets are never part of a document, so none can appear here.
#[must_use]
pub fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Value {
    let mut changes = Map::new();
    let gone = before.keys().filter(|it| !after.contains_key(*it));
    for name in after.keys().chain(gone) {
        let (old, new) = (before.get(name), after.get(name));
        if old != new {
            let (old, new) = differing(old, new);
            let change = [("before", old), ("after", new)];
            let change = change.map(|(name, it)| (name.to_owned(), it));
            changes.insert(name.clone(), Value::Object(Map::from_iter(change)));
        }
    }
    Value::Object(changes)
}

/// What differs between two values of an attribute: of two objects the members that differ, of two
/// lists the elements that only one of them has, so that the record of a change grows with the
/// change and not with the list.
fn differing(old: Option<&Value>, new: Option<&Value>) -> (Value, Value) {
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) {
        let only = |one: &Map<String, Value>, other: &Map<String, Value>| {
            let differs = one.iter().filter(|(name, value)| other.get(*name) != Some(value));
            differs.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
        };
        return (only(old, new).into(), only(new, old).into());
    }
    let (Some(Value::Array(old)), Some(Value::Array(new))) = (old, new) else {
        let owned = |it: Option<&Value>| it.cloned().unwrap_or(Value::Null);
        return (owned(old), owned(new));
    };
    let texts = |list: &[Value]| list.iter().map(Value::to_string).collect::<Vec<_>>();
    let (old_texts, new_texts) = (texts(old), texts(new));
    let only = |list: &[Value], own: &[String], others: &[String]| {
        let others: HashSet<&String> = others.iter().collect();
        let kept = list.iter().zip(own).filter(|(_, text)| !others.contains(text));
        kept.map(|(value, _)| value.clone()).collect::<Vec<Value>>()
    };
    let before = only(old, &old_texts, &new_texts);
    let after = only(new, &new_texts, &old_texts);
    // The same elements in another order.
    if before.is_empty() && after.is_empty() {
        return (Value::Array(old.clone()), Value::Array(new.clone()));
    }
    (before.into(), after.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::datetime::Timestamp;

    #[test]
    fn splicing_and_parsing_give_the_same_answer() {
        let meta = Meta {
            resource_type: "User".to_owned(),
            created: Timestamp::from_nanoseconds(0),
            last_modified: Timestamp::from_nanoseconds(1_000_000),
            location: "https://x/scim/v2/Users/1".to_owned(),
            version: 3,
        };
        let text = r#"{"schemas":["a"],"userName":"b}"}"#;
        let parsed: Map<String, Value> = serde_json::from_str(text).unwrap();
        let computed = Map::from_iter([("groups".to_owned(), serde_json::json!([]))]);
        let answer = splice(text, ",\"groups\":[]", &meta);
        let spliced: Map<String, Value> = serde_json::from_str(&answer).unwrap();
        assert_eq!(spliced, whole(parsed, computed, &meta));
        assert_eq!(spliced["meta"]["version"], "W/\"3\"");
        assert_eq!(spliced["meta"]["lastModified"], "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn changes_name_what_was_added_changed_and_removed() {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let before = map(r#"{"a":1,"b":2,"c":3}"#);
        let found = changes(&before, &map(r#"{"b":2,"c":4,"d":5}"#));
        let expected = serde_json::json!({"c": {"before": 3, "after": 4},
            "d": {"before": null, "after": 5}, "a": {"before": 1, "after": null}});
        assert_eq!(found, expected);
        assert_eq!(changes(&before, &before), serde_json::json!({}));
        let before = map(r#"{"a":[1,2,3]}"#);
        let found = changes(&before, &map(r#"{"a":[1,4,3]}"#));
        assert_eq!(found, serde_json::json!({"a": {"before": [2], "after": [4]}}));
        let found = changes(&before, &map(r#"{"a":[3,2,1]}"#));
        assert_eq!(found["a"]["after"], serde_json::json!([3, 2, 1]));
    }
}
