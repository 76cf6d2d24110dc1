//! Any JSON as the body of a POST or PUT: it is refused with 400 or 413, or becomes a document that
//! holds no password, can be read back, and is itself accepted as it is.

use std::sync::LazyLock;

use plumm::scim::identity::{IdentityChanges, Rules, UsernameFormat};
use plumm::scim::json::{self, JsonError, Names};
use plumm::scim::schema::definitions::Definitions;
use plumm::scim::validate::{create, replace};
use serde_json::{Map, Value};

static DEFINITIONS: LazyLock<Definitions> =
    LazyLock::new(|| Definitions::builtin(IdentityChanges::Allow));

pub fn check(bytes: &[u8]) {
    let Ok(Value::Object(body)) = serde_json::from_slice(bytes) else {
        return;
    };
    // plumm reads a body itself: the same value, or a name stands twice.
    let text = std::str::from_utf8(bytes).unwrap();
    match json::parse(text, Names::Exact) {
        Ok(read) => assert_eq!(read, Value::Object(body.clone())),
        Err(error) => assert!(matches!(error, JsonError::Twice(_)), "{error}"),
    }
    let identity_changes = IdentityChanges::Allow;
    for resource_type in &DEFINITIONS.resource_types {
        for (username_format, strict) in [
            (UsernameFormat::Email, false),
            (UsernameFormat::Any, false),
            (UsernameFormat::Any, true),
        ] {
            let rules = Rules { username_format, identity_changes, strict, deactivates: false };
            match create(body.clone(), resource_type, rules) {
                Err(error) => assert!([400, 413].contains(&error.status), "{error:?}"),
                Ok(document) => {
                    assert!(!document.contains_key("password"));
                    let text = Value::Object(document.clone()).to_string();
                    let read: Map<String, Value> = serde_json::from_str(&text).unwrap();
                    assert_eq!(read, document);
                    let again = create(document.clone(), resource_type, rules).unwrap();
                    assert_same(&again, &document);
                    let replaced = replace(&document, &document, resource_type, rules).unwrap();
                    assert_same(&replaced.document, &document);
                }
            }
        }
    }
}

/// The same members in the same order: the document is stored as text.
fn assert_same(one: &Map<String, Value>, other: &Map<String, Value>) {
    let text = |it: &Map<String, Value>| serde_json::to_string(it).unwrap();
    assert_eq!(text(one), text(other));
}
