//! stub
use crate::scim::condition::Condition;
/// stub
#[derive(Clone, Debug)]
pub struct SqlFilter {
    /// stub
    pub sql: String,
    /// stub
    pub values: Vec<rusqlite::types::Value>,
}
/// stub
#[must_use]
pub fn compile(_: &Condition, _: &str, _: &str) -> SqlFilter {
    SqlFilter { sql: "1".to_owned(), values: Vec::new() }
}
