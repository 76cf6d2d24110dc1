//! The representation of a resource: its stored document, its computed attributes and `meta`.

use serde_json::{Map, Value};

use crate::scim::meta::Meta;

/// Room for `meta`, whose URL is seldom longer than this leaves.
pub const META_BYTES: usize = 384;

/// Begins the answer for a resource: its stored document, behind which stands what is computed, and
/// then [`end`]. The document is not parsed: a page of a hundred would cost ten times as much.
pub fn begin(text: &mut String, document: &str) {
    // A document always has `schemas`, so the comma that what follows begins with is due.
    text.push_str(document.strip_suffix('}').unwrap_or(document));
}

/// Ends it with `meta`.
pub fn end(text: &mut String, meta: &Meta) {
    text.push_str(",\"meta\":");
    meta.write(text);
    text.push('}');
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
            resource_type: "User",
            created: Timestamp::from_nanoseconds(0),
            last_modified: Timestamp::from_nanoseconds(1_000_000),
            location_base: "https://x/scim/v2/Users/",
            id: "1",
            version: 3,
        };
        let text = r#"{"schemas":["a"],"userName":"b}"}"#;
        let parsed: Map<String, Value> = serde_json::from_str(text).unwrap();
        let computed = Map::from_iter([("groups".to_owned(), serde_json::json!([]))]);
        let mut answer = String::new();
        begin(&mut answer, text);
        answer.push_str(",\"groups\":[]");
        end(&mut answer, &meta);
        let spliced: Map<String, Value> = serde_json::from_str(&answer).unwrap();
        assert_eq!(spliced, whole(parsed, computed, &meta));
        assert_eq!(spliced["meta"]["version"], "W/\"3\"");
        assert_eq!(spliced["meta"]["lastModified"], "1970-01-01T00:00:00.001Z");
    }
}
