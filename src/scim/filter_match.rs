//! stub
use crate::scim::condition::Condition;
use serde_json::Value;
/// stub
#[must_use]
pub fn value_matches(_: &Condition, _: &Value) -> bool {
    true
}
