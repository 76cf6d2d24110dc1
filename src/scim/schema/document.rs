//! A schema document (RFC 7643 section 7): what it defines, and the document itself. One that
//! support registers is judged here, and completed with the defaults of RFC 7643 section 2.2.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::scim::error::quoted;
use crate::scim::json::{self, Names};
use crate::scim::schema::attribute::{Attribute, find};
use crate::scim::schema::urn;

/// The largest document that is registered, in bytes.
pub const BYTES_MAX: usize = 64 * 1024;
/// The most attributes of a schema that is registered, sub-attributes counted.
pub const ATTRIBUTES_MAX: usize = 256;
/// The longest URN of a schema that is registered, in bytes.
const URN_BYTES_MAX: usize = 255;

/// What a schema and an attribute may say (RFC 7643 section 7).
const SCHEMA_MEMBERS: &[&str] = &["schemas", "id", "name", "description", "attributes", "meta"];
const ATTRIBUTE_MEMBERS: &[&str] = &[
    "name",
    "type",
    "subAttributes",
    "multiValued",
    "description",
    "required",
    "canonicalValues",
    "caseExact",
    "mutability",
    "returned",
    "uniqueness",
    "referenceTypes",
];
/// The words of each characteristic. The first of them is the default of RFC 7643 section 2.2.
const TYPES: &[&str] =
    &["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"];
const MUTABILITY: &[&str] = &["readWrite", "readOnly", "immutable", "writeOnly"];
const RETURNED: &[&str] = &["default", "always", "request", "never"];
const UNIQUENESS: &[&str] = &["none", "server", "global"];

/// A schema: its URN, its attributes, and the document that `/Schemas` answers.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The schema's URN.
    pub id: String,
    /// The attributes on the first level.
    pub attributes: Vec<Arc<Attribute>>,
    /// The document as it is published, without `meta`.
    pub document: Value,
}

#[derive(Deserialize)]
struct Parts {
    id: String,
    attributes: Vec<Arc<Attribute>>,
}

impl Schema {
    /// Reads a schema that is to be registered as an extension, and completes it: the document says
    /// what RFC 7643 section 2.2 takes for granted.
    ///
    /// # Errors
    /// What is wrong, by the name of the attribute, as the end of a sentence.
    pub fn of_extension(text: &str) -> Result<Schema, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("it is longer than {} KiB", BYTES_MAX / 1024));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let given = json::parse(text, Names::AnyCase).map_err(|it| it.to_string())?;
        Schema::of_document(&given, false)
    }

    /// The same for a document that is JSON already, with `is_core` the core schema of a resource
    /// type: that one may have a URN below that of SCIM's core schemas.
    ///
    /// # Errors
    /// As [`Schema::of_extension`].
    pub fn of_document(given: &Value, is_core: bool) -> Result<Schema, String> {
        Schema::from_document(completed(given, is_core)?)
    }

    /// Reads a schema document.
    ///
    /// # Errors
    /// A sentence that says where the document is not one of RFC 7643 section 7.
    pub fn from_document(document: Value) -> Result<Schema, String> {
        let parts = Parts::deserialize(&document).map_err(|it| it.to_string())?;
        Ok(Schema { id: parts.id, attributes: parts.attributes, document })
    }

    /// The attribute of this name on the first level, in any letter case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Arc<Attribute>> {
        find(&self.attributes, name)
    }
}

fn completed(given: &Value, is_core: bool) -> Result<Value, String> {
    let Value::Object(given) = given else {
        return Err("it is JSON, but no object with \"id\" and \"attributes\"".to_owned());
    };
    known_members(given, SCHEMA_MEMBERS, "the schema")?;
    if let Some(listed) = given.get("schemas") {
        let is_schema = |it: &Value| it.as_str().is_some_and(|it| it == urn::SCHEMA);
        if !listed.as_array().is_some_and(|it| it.iter().any(is_schema)) {
            return Err(format!("\"schemas\" does not name {}", urn::SCHEMA));
        }
    }
    let id = text_of(given, "id", "the schema")?;
    let id = id.ok_or_else(|| "it has no \"id\", which is the URN of the schema".to_owned())?;
    judge_id(id, is_core)?;
    let mut count = 0;
    let attributes = attributes(given.get("attributes"), None, &mut count)?;
    Ok(json!({
        "schemas": [urn::SCHEMA],
        "id": id,
        "name": text_of(given, "name", "the schema")?.unwrap_or(id),
        "description": text_of(given, "description", "the schema")?.unwrap_or_default(),
        "attributes": attributes,
    }))
}

fn judge_id(id: &str, is_core: bool) -> Result<(), String> {
    let shown = quoted(id);
    let fits = |it: char| it.is_ascii_alphanumeric() || "-_.:".contains(it);
    let parts: Vec<&str> = id.split(':').collect();
    let is_urn = parts.len() >= 3
        && parts[0].eq_ignore_ascii_case("urn")
        && parts.iter().all(|it| !it.is_empty());
    if !is_urn || !id.chars().all(fits) || id.len() > URN_BYTES_MAX {
        return Err(format!(
            "the id \"{shown}\" is no URN such as urn:example:scim:2.0:User: letters, digits, \
             \"-\", \"_\" and \".\", in parts that colons join, at most {URN_BYTES_MAX} characters"
        ));
    }
    if urn::is_reserved(id) && !(is_core && urn::is_of_core(id)) {
        return Err(format!(
            "the id \"{shown}\" belongs to SCIM or to plumm itself; choose a URN of your own"
        ));
    }
    Ok(())
}

/// The attributes of a schema, or of the complex attribute with this name.
fn attributes(
    given: Option<&Value>,
    parent: Option<&str>,
    count: &mut usize,
) -> Result<Vec<Value>, String> {
    let (of, member) = match parent {
        None => ("the schema".to_owned(), "attributes"),
        Some(name) => (attribute_named(name), "subAttributes"),
    };
    let given = given.and_then(Value::as_array).filter(|it| !it.is_empty());
    let given = given.ok_or_else(|| format!("{of} has no \"{member}\", an array of attributes"))?;
    let mut names = HashSet::new();
    let mut found = Vec::new();
    for (i, it) in given.iter().enumerate() {
        *count += 1;
        if *count > ATTRIBUTES_MAX {
            return Err(format!("it has more than {ATTRIBUTES_MAX} attributes"));
        }
        let it = it.as_object();
        let it = it.ok_or_else(|| format!("number {} of \"{member}\" is no object", i + 1))?;
        let name = text_of(it, "name", &format!("number {} of \"{member}\"", i + 1))?;
        let name =
            name.ok_or_else(|| format!("number {} of \"{member}\" has no \"name\"", i + 1))?;
        judge_name(name)?;
        let path = parent.map_or_else(|| name.to_owned(), |parent| format!("{parent}.{name}"));
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(format!(
                "{} stands there twice; letter case makes no difference",
                attribute_named(&path)
            ));
        }
        found.push(attribute(it, name, &path, parent.is_some(), count)?);
    }
    Ok(found)
}

/// RFC 7643 section 2.1: `ATTRNAME = ALPHA *(nameChar)`; and `$ref`.
fn judge_name(name: &str) -> Result<(), String> {
    let fits = |it: char| it.is_ascii_alphanumeric() || "$-_".contains(it);
    let begins = name.starts_with(|it: char| it.is_ascii_alphabetic()) || name == "$ref";
    if !begins || !name.chars().all(fits) {
        return Err(format!(
            "{} has a name that is none: a letter, then letters, digits, \"-\", \"_\" and \"$\"",
            attribute_named(name)
        ));
    }
    if name.eq_ignore_ascii_case("schemas") {
        return Err(format!("{} has a name that SCIM reserves", attribute_named(name)));
    }
    Ok(())
}

fn attribute(
    given: &Map<String, Value>,
    name: &str,
    path: &str,
    is_sub: bool,
    count: &mut usize,
) -> Result<Value, String> {
    let of = attribute_named(path);
    known_members(given, ATTRIBUTE_MEMBERS, &of)?;
    let kind = word(given, "type", TYPES, &of)?;
    let multi_valued = flag(given, "multiValued", &of)?.unwrap_or(false);
    let required = flag(given, "required", &of)?.unwrap_or(false);
    let mutability = word(given, "mutability", MUTABILITY, &of)?;
    let returned = match given.get("returned") {
        None if mutability == "writeOnly" => "never",
        _ => word(given, "returned", RETURNED, &of)?,
    };
    let uniqueness = word(given, "uniqueness", UNIQUENESS, &of)?;
    let secret = mutability == "writeOnly" || returned == "never";
    if required && (secret || (mutability == "readOnly" && !is_sub)) {
        return Err(format!(
            "{of} is required, and no account could ever have it: what is never returned is not \
             kept, and what is readOnly cannot be sent"
        ));
    }
    let comparable = ["string", "integer", "reference"].contains(&kind);
    if uniqueness != "none" && (is_sub || multi_valued || secret || !comparable) {
        return Err(format!(
            "{of} has the uniqueness \"{uniqueness}\", which is kept only of an attribute on the \
             first level with one string, integer or reference that is returned"
        ));
    }
    let mut completed = Map::new();
    let mut set = |member: &str, value: Value| drop(completed.insert(member.to_owned(), value));
    set("name", name.into());
    set("type", kind.into());
    if let Some(types) = texts(given, "referenceTypes", &of)? {
        set("referenceTypes", types);
    }
    set("multiValued", multi_valued.into());
    set("description", text_of(given, "description", &of)?.unwrap_or_default().into());
    set("required", required.into());
    if let Some(values) = texts(given, "canonicalValues", &of)? {
        set("canonicalValues", values);
    }
    // RFC 7643 sections 2.3.6 and 2.3.7: binary values and references differ by letter case.
    let case_exact = flag(given, "caseExact", &of)?;
    match kind {
        "string" => set("caseExact", case_exact.unwrap_or(false).into()),
        "binary" | "reference" => set("caseExact", case_exact.unwrap_or(true).into()),
        _ => {}
    }
    set("mutability", mutability.into());
    set("returned", returned.into());
    set("uniqueness", uniqueness.into());
    match given.get("subAttributes") {
        None | Some(Value::Null) if kind != "complex" => {}
        Some(Value::Array(subs)) if kind != "complex" && subs.is_empty() => {}
        _ if kind != "complex" => {
            return Err(format!(
                "{of} has \"subAttributes\" and the type \"{kind}\"; only a complex attribute has \
                 them"
            ));
        }
        _ if is_sub => {
            let detail = "is complex within a complex attribute, which SCIM does not have";
            return Err(format!("{of} {detail}"));
        }
        subs => set("subAttributes", attributes(subs, Some(path), count)?.into()),
    }
    Ok(Value::Object(completed))
}

fn attribute_named(path: &str) -> String {
    format!("the attribute \"{}\"", quoted(path))
}

/// Refuses members that the RFC does not give to an object.
///
/// # Errors
/// Which one, and what it may have.
pub(crate) fn known_members(
    given: &Map<String, Value>,
    known: &[&str],
    of: &str,
) -> Result<(), String> {
    match given.keys().find(|it| !known.contains(&it.as_str())) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{of} has \"{}\", which RFC 7643 does not know; it may have {}",
            quoted(name),
            known.join(", ")
        )),
    }
}

/// A member that is text; nothing where it is missing or null.
///
/// # Errors
/// When it is anything else.
pub(crate) fn text_of<'a>(
    given: &'a Map<String, Value>,
    member: &str,
    of: &str,
) -> Result<Option<&'a str>, String> {
    match given.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(it)) => Ok(Some(it)),
        Some(_) => Err(format!("{of} has a \"{member}\" that is no text")),
    }
}

/// A member that is true or false; nothing where it is missing or null.
///
/// # Errors
/// When it is anything else.
pub(crate) fn flag(
    given: &Map<String, Value>,
    member: &str,
    of: &str,
) -> Result<Option<bool>, String> {
    match given.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(it)) => Ok(Some(*it)),
        Some(_) => Err(format!("{of} has a \"{member}\" that is neither true nor false")),
    }
}

fn word(
    given: &Map<String, Value>,
    member: &str,
    words: &[&'static str],
    of: &str,
) -> Result<&'static str, String> {
    let Some(text) = text_of(given, member, of)? else {
        return Ok(words[0]);
    };
    words.iter().find(|it| **it == text).copied().ok_or_else(|| {
        format!("{of} has the {member} \"{}\"; it must be {}", quoted(text), words.join(", "))
    })
}

fn texts(given: &Map<String, Value>, member: &str, of: &str) -> Result<Option<Value>, String> {
    match given.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            Ok(Some(items.clone().into()))
        }
        Some(_) => Err(format!("{of} has \"{member}\" that are no array of texts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(attributes: &Value) -> String {
        json!({"id": "urn:example:1.0:User", "attributes": attributes}).to_string()
    }

    #[track_caller]
    fn refuse(text: &str, expected: &str) {
        let reason = Schema::of_extension(text).unwrap_err();
        assert!(reason.contains(expected), "{text}: {reason}");
    }

    #[test]
    fn what_is_not_said_is_filled_in() {
        let text = schema(&json!([{"name": "badge"}, {"name": "site", "type": "complex",
            "subAttributes": [{"name": "$ref", "type": "reference"}]}, {"name": "pin",
            "mutability": "writeOnly"}]));
        let schema = Schema::of_extension(&text).unwrap();
        let badge = json!({"name": "badge", "type": "string", "multiValued": false,
            "description": "", "required": false, "caseExact": false, "mutability": "readWrite",
            "returned": "default", "uniqueness": "none"});
        assert_eq!(schema.document["attributes"][0], badge);
        let reference = &schema.document["attributes"][1]["subAttributes"][0];
        assert_eq!(reference["caseExact"], true);
        assert!(schema.attribute("PIN").unwrap().is_secret());
        assert_eq!(schema.document["attributes"][2]["returned"], "never");
        assert_eq!(schema.document["schemas"], json!([urn::SCHEMA]));
        // What is published can be registered.
        let again = Schema::of_extension(&schema.document.to_string()).unwrap();
        assert_eq!(again.document, schema.document);
    }

    #[test]
    fn ids() {
        let id = |id: &str| json!({"id": id, "attributes": [{"name": "a"}]}).to_string();
        for bad in ["", "x", "urn:x", "http://example.com/x", "urn:a:b c", "urn:a:", "urn::b"] {
            refuse(&id(bad), "is no URN");
        }
        for taken in [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "URN:ietf:params:scim:schemas:core:2.0:Device",
            "urn:ietf:params:scim:schemas:extension:ENTERPRISE:2.0:User",
            "urn:ietf:params:scim:api:messages:2.0:Error",
            "urn:scim:schemas:core:1.0",
            "urn:plumm:common",
        ] {
            refuse(&id(taken), "a URN of your own");
        }
        for good in ["urn:example:User", "urn:ietf:params:scim:schemas:extension:acme:2.0:User"] {
            assert!(Schema::of_extension(&id(good)).is_ok(), "{good}");
        }
    }

    #[test]
    fn each_fault_is_named_with_its_attribute() {
        refuse("{", "not JSON");
        refuse("[]", "no object");
        refuse(r#"{"attributes": []}"#, "no \"id\"");
        refuse(r#"{"id": "urn:a:b", "schemas": ["x"]}"#, "\"schemas\" does not name");
        refuse(&schema(&json!([])), "no \"attributes\"");
        refuse(&schema(&json!([1])), "number 1 of \"attributes\" is no object");
        refuse(&schema(&json!([{"type": "string"}])), "number 1 of \"attributes\" has no \"name\"");
        for name in ["a.b", "a:b", "a[b", "1a", "$a", "a b", "ä", "schemas"] {
            refuse(&schema(&json!([{"name": name}])), &format!("\"{name}\" has a name"));
        }
        refuse(&schema(&json!([{"name": "a"}, {"name": "A"}])), "\"A\" stands there twice");
        let faults = [
            (json!({"type": "text"}), "has the type \"text\"; it must be string, boolean"),
            (json!({"mutability": "readonly"}), "it must be readWrite, readOnly"),
            (json!({"returned": "sometimes"}), "it must be default, always"),
            (json!({"uniqueness": "yes"}), "it must be none, server"),
            (json!({"multiValued": "true"}), "neither true nor false"),
            (json!({"canonicalValues": [1]}), "no array of texts"),
            (json!({"mutabilty": "readOnly"}), "has \"mutabilty\""),
            (json!({"subAttributes": [{"name": "b"}]}), "only a complex attribute"),
            (json!({"type": "complex"}), "has no \"subAttributes\""),
            (json!({"required": true, "returned": "never"}), "could ever have it"),
            (json!({"required": true, "mutability": "readOnly"}), "could ever have it"),
            (json!({"uniqueness": "server", "multiValued": true}), "is kept only of"),
            (json!({"uniqueness": "server", "type": "boolean"}), "is kept only of"),
        ];
        for (mut fault, expected) in faults {
            fault["name"] = "a".into();
            refuse(&schema(&json!([fault])), expected);
            refuse(&schema(&json!([fault])), "\"a\"");
        }
        let deep = json!([{"name": "a", "type": "complex", "subAttributes": [
            {"name": "b", "type": "complex", "subAttributes": [{"name": "c"}]}]}]);
        refuse(&schema(&deep), "\"a.b\" is complex within");
    }

    #[test]
    fn limits() {
        let many = |n: usize| (0..n).map(|i| json!({"name": format!("a{i}")})).collect::<Vec<_>>();
        assert!(Schema::of_extension(&schema(&many(ATTRIBUTES_MAX).into())).is_ok());
        refuse(&schema(&many(ATTRIBUTES_MAX + 1).into()), "more than 256 attributes");
        refuse(&" ".repeat(BYTES_MAX + 1), "64 KiB");
    }
}
