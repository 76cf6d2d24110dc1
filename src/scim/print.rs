//! Resources and messages as JSON text: `schemas` first, then `id`, then the rest by their names.
//!
//! A value keeps no order of its members (RFC 8259 section 4), but people read resources, and look
//! there first.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::scim::schema::name::{ID, SCHEMAS};

/// The members that stand before all others.
const FIRST: [&str; 2] = [SCHEMAS, ID];

/// Room for a resource or message of a usual length.
const TEXT_BYTES: usize = 1_024;

/// A resource or message as JSON text.
#[must_use]
pub fn to_text(members: &Map<String, Value>) -> String {
    let mut text = String::with_capacity(TEXT_BYTES);
    text.push('{');
    let first = FIRST.iter().filter_map(|name| Some((*name, members.get(*name)?)));
    let rest = members.iter().map(|(name, value)| (name.as_str(), value));
    write_members(&mut text, first.chain(rest.filter(|(name, _)| !FIRST.contains(name))));
    text.push('}');
    text
}

/// Writes a value as JSON.
pub fn write(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::String(it) => write_string(text, it),
        Value::Number(it) => {
            // A String takes whatever is written to it.
            let _ = write!(text, "{it}");
        }
        Value::Array(items) => {
            text.push('[');
            write_elements(text, items.iter());
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            let members = members.iter();
            write_members(text, members.map(|(name, value)| (name.as_str(), value)));
            text.push('}');
        }
    }
}

/// Writes the elements of an array, without its brackets.
pub fn write_elements<'a>(text: &mut String, elements: impl Iterator<Item = &'a Value>) {
    for (i, value) in elements.enumerate() {
        if i > 0 {
            text.push(',');
        }
        write(text, value);
    }
}

/// Writes the members of an object, without its braces.
pub fn write_members<'a>(text: &mut String, members: impl Iterator<Item = (&'a str, &'a Value)>) {
    for (i, (name, value)) in members.enumerate() {
        if i > 0 {
            text.push(',');
        }
        write_string(text, name);
        text.push(':');
        write(text, value);
    }
}

/// Writes a text as JSON, with its quotes.
pub fn write_string(text: &mut String, value: &str) {
    write_joined(text, value, "");
}

/// The same for a text that is given in two parts.
pub fn write_joined(text: &mut String, first: &str, second: &str) {
    text.reserve(first.len() + second.len() + 2);
    text.push('"');
    write_inner(text, first);
    write_inner(text, second);
    text.push('"');
}

/// What stands between the quotes.
fn write_inner(text: &mut String, value: &str) {
    // No early end: so the compiler looks at many bytes at once.
    let escaped = |found: bool, it: &u8| found | (*it < b' ') | (*it == b'"') | (*it == b'\\');
    if !value.as_bytes().iter().fold(false, escaped) {
        return text.push_str(value);
    }
    // A string is always JSON, between quotes.
    let json = serde_json::to_string(value).unwrap_or_default();
    text.push_str(json.get(1..json.len().saturating_sub(1)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_and_id_stand_first() {
        let resource = json!({"active": true, "id": "1", "schemas": ["a"], "userName": "b"});
        let members = resource.as_object().unwrap();
        let expected = r#"{"schemas":["a"],"id":"1","active":true,"userName":"b"}"#;
        assert_eq!(to_text(members), expected);
        assert_eq!(to_text(&Map::new()), "{}");
        assert_eq!(to_text(json!({"b": 1, "a": null}).as_object().unwrap()), r#"{"a":null,"b":1}"#);
    }

    #[test]
    fn every_value_is_written_as_json() {
        let values = json!([null, true, false, 0, -1, u64::MAX, 0.1, 1e300, -0.0, "", "ä€",
            "\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\u{7f}\u{2028}", [], {}, [[1], []],
            {"a\"b": {"": [{"c": "d"}]}, "schemas": 1, "id": 2, "B": 3}]);
        let mut text = String::new();
        write(&mut text, &values);
        assert_eq!(text, values.to_string());
    }
}
