//! The message of a PATCH: its operations, read and not yet applied (RFC 7644 section 3.5.2).

use serde_json::{Map, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::message::judge_schemas;
use crate::scim::schema::urn;

/// The most operations in one request.
pub const OPERATIONS_MAX: usize = 5_000;
/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Section 3.5.2.1.
    Add,
    /// Section 3.5.2.2.
    Remove,
    /// Section 3.5.2.3.
    Replace,
}

/// One of the `Operations`.
#[derive(Clone, Debug)]
pub struct PatchOperation {
    /// What it does.
    pub op: Op,
    /// Where; nowhere means that `value` names the attributes.
    pub path: Option<String>,
    /// With what. `Null` when it is absent from a `remove`.
    pub value: Value,
}

/// A PATCH request, read but not yet applied.
#[derive(Clone, Debug)]
pub struct PatchOp {
    /// The operations, in order.
    pub operations: Vec<PatchOperation>,
}

impl PatchOp {
    /// Reads a PATCH request. Member names and `op` are taken in any letter case: Entra ID
    /// capitalises.
    ///
    /// # Errors
    /// 400 `invalidSyntax` for what is no PatchOp message, 400 `invalidValue` for a missing value,
    /// 413 for too many operations.
    pub fn parse(body: &Map<String, Value>, strict: bool) -> Result<PatchOp, Error> {
        // Old drafts called the message by another URN, and Internet2 Grouper still does.
        let old = |it: &str| it.to_ascii_lowercase().ends_with(":patchop");
        judge_schemas(member(body, "schemas"), urn::PATCH_OP, old, "A PATCH", strict)?;
        let given = match member(body, "Operations") {
            Some(Value::Array(given)) => given.as_slice(),
            Some(one @ Value::Object(_)) if !strict => std::slice::from_ref(one),
            _ => {
                let detail = "A PATCH body needs \"Operations\", an array of operations.";
                return Err(Error::invalid_syntax(detail));
            }
        };
        if given.is_empty() {
            let detail = "\"Operations\" is empty: say at least one thing to change.";
            return Err(Error::invalid_syntax(detail));
        }
        if given.len() > OPERATIONS_MAX {
            return Err(Error::too_many(format!(
                "The request has {} operations; at most {OPERATIONS_MAX} are done at once. Send \
                 them in several requests.",
                given.len()
            )));
        }
        let operations = given.iter().enumerate().map(|(i, it)| operation(i + 1, it));
        Ok(PatchOp { operations: operations.collect::<Result<_, _>>()? })
    }
}

/// A member of a message, in any letter case.
#[must_use]
pub fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn operation(number: usize, given: &Value) -> Result<PatchOperation, Error> {
    let wrong = |why: String| Error::invalid_syntax(format!("Operation {number}: {why}"));
    let Value::Object(given) = given else {
        return Err(wrong("it must be an object with \"op\", \"path\" and \"value\".".to_owned()));
    };
    let word = match member(given, "op") {
        Some(Value::String(word)) => word.as_str(),
        _ => "",
    };
    let op = match word.to_ascii_lowercase().as_str() {
        "add" => Op::Add,
        "remove" => Op::Remove,
        "replace" => Op::Replace,
        _ => {
            return Err(wrong(format!(
                "\"op\" must be add, remove or replace, and is \"{}\".",
                quoted(word)
            )));
        }
    };
    let path = match member(given, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if path.trim().is_empty() => None,
        Some(Value::String(path)) => Some(path.trim().to_owned()),
        Some(_) => return Err(wrong("\"path\" must be text.".to_owned())),
    };
    let value = member(given, "value");
    if op != Op::Remove && value.is_none() {
        return Err(Error::invalid_value(format!(
            "Operation {number}: \"{word}\" needs a \"value\".",
        )));
    }
    Ok(PatchOperation { op, path, value: value.cloned().unwrap_or(Value::Null) })
}
