//! The representation of a resource: its stored document, its computed attributes and `meta`.

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
}
