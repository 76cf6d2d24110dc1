//! A resource type that support registers for an organisation, with the schemas it brings along:
//! what its file must be (RFC 7643 sections 6 and 7), and what it must be beside the others.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::scim::error::quoted;
use crate::scim::json::{self, Names};
use crate::scim::schema::document::{BYTES_MAX, Schema, flag, known_members, text_of};
use crate::scim::schema::urn;

/// The largest file of a resource type, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// The most schemas that a resource type brings along.
pub const TYPE_SCHEMAS_MAX: usize = 10;
/// The most extensions that a resource type names.
pub const TYPE_EXTENSIONS_MAX: usize = 20;
/// The most resource types of an organisation: each takes part in every list over all types.
pub const TYPES_MAX: usize = 20;
/// The longest name and the longest endpoint, in characters.
pub const NAME_CHARS_MAX: usize = 64;

/// What a file and the resource type in it may say (RFC 7643 section 6).
const FILE_MEMBERS: &[&str] = &["resourceType", "schemas"];
const TYPE_MEMBERS: &[&str] =
    &["schemas", "id", "name", "description", "endpoint", "schema", "schemaExtensions", "meta"];
const EXTENSION_MEMBERS: &[&str] = &["schema", "required"];

/// The paths below the base URL that are no resource type's (RFC 7644 section 3.2).
pub const FIXED_ENDPOINTS: &[&str] = &[
    "Bulk",
    "Me",
    "Schemas",
    "ResourceTypes",
    "ServiceProviderConfig",
    "ServiceProviderConfigs",
    ".search",
];
/// The names of what discovery answers (RFC 7643 sections 5 to 7).
const FIXED_NAMES: &[&str] = &["Schema", "ResourceType", "ServiceProviderConfig"];

/// A resource type of an organisation.
#[derive(Clone, Debug)]
pub struct OwnType {
    /// The name, as in `meta.resourceType`.
    pub name: String,
    /// The last segment of its endpoint, such as `Roles`.
    pub endpoint: String,
    /// The core schema.
    pub core: Arc<Schema>,
    /// The extensions, by name.
    pub extensions: Vec<NamedExtension>,
    /// The schemas that come with it, the core schema among them.
    pub schemas: Vec<Arc<Schema>>,
    /// All of it, as it is kept: `{"resourceType": …, "schemas": […]}`.
    pub document: Value,
}

/// An extension that a resource type names.
#[derive(Clone, Debug, Deserialize)]
pub struct NamedExtension {
    /// The URN of its schema.
    #[serde(rename = "schema")]
    pub urn: String,
    /// Whether a resource must have it.
    pub required: bool,
}

/// What a ResourceType document says (RFC 7643 section 6).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeDocument {
    /// The name.
    pub name: String,
    /// The endpoint, with the slash before it.
    pub endpoint: String,
    /// The URN of the core schema.
    pub schema: String,
    /// The extensions.
    #[serde(default)]
    pub schema_extensions: Vec<NamedExtension>,
}

impl OwnType {
    /// Reads a file that is to be registered, and completes what it says.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn of_file(text: &str) -> Result<OwnType, String> {
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("it is longer than {} KiB", FILE_BYTES_MAX / 1024));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let given = json::parse(text, Names::AnyCase).map_err(|it| it.to_string())?;
        OwnType::from_document(completed(&given)?)
    }

    /// Reads a document that was completed before.
    ///
    /// # Errors
    /// A sentence that says where it is none.
    pub fn from_document(document: Value) -> Result<OwnType, String> {
        let parts =
            TypeDocument::deserialize(&document["resourceType"]).map_err(|it| it.to_string())?;
        let given = document["schemas"].as_array().into_iter().flatten();
        let schemas = given.map(|it| Schema::from_document(it.clone()).map(Arc::new));
        let schemas = schemas.collect::<Result<Vec<_>, String>>()?;
        let core = schemas.iter().find(|it| it.id.eq_ignore_ascii_case(&parts.schema));
        let core = core.ok_or_else(|| format!("no schema document for {}", parts.schema))?;
        Ok(OwnType {
            name: parts.name,
            endpoint: parts.endpoint.trim_start_matches('/').to_owned(),
            core: Arc::clone(core),
            extensions: parts.schema_extensions,
            schemas,
            document,
        })
    }

    /// The document of the resource type alone, as it is published.
    #[must_use]
    pub fn published(&self) -> &Value {
        &self.document["resourceType"]
    }

    /// The schema with this URN, where the resource type brings it along.
    #[must_use]
    pub fn schema(&self, urn: &str) -> Option<&Arc<Schema>> {
        self.schemas.iter().find(|it| it.id.eq_ignore_ascii_case(urn))
    }

    /// The extension with this URN, where the resource type names it.
    #[must_use]
    pub fn extension(&self, urn: &str) -> Option<&NamedExtension> {
        self.extensions.iter().find(|it| it.urn.eq_ignore_ascii_case(urn))
    }
}

/// The document that is kept, or what is wrong with the one given.
fn completed(given: &Value) -> Result<Value, String> {
    let Value::Object(given) = given else {
        return Err("it is JSON, but no object with \"resourceType\" and \"schemas\"".to_owned());
    };
    known_members(given, FILE_MEMBERS, "the file")?;
    let it = given.get("resourceType").and_then(Value::as_object).ok_or_else(|| {
        "it has no \"resourceType\", an object as /ResourceTypes shows them".to_owned()
    })?;
    let of = "the resource type";
    known_members(it, TYPE_MEMBERS, of)?;
    if let Some(listed) = it.get("schemas") {
        let is_type = |it: &Value| it.as_str().is_some_and(|it| it == urn::RESOURCE_TYPE);
        if !listed.as_array().is_some_and(|it| it.iter().any(is_type)) {
            return Err(format!("\"schemas\" of {of} does not name {}", urn::RESOURCE_TYPE));
        }
    }
    let name = needed(it, "name")?;
    judge_word(name, "name", FIXED_NAMES)?;
    if text_of(it, "id", of)?.is_some_and(|it| it != name) {
        return Err(format!("{of} has an \"id\" that is not its name; leave it out"));
    }
    let endpoint = needed(it, "endpoint")?;
    let endpoint = endpoint.strip_prefix('/').unwrap_or(endpoint);
    judge_word(endpoint, "endpoint", FIXED_ENDPOINTS)?;
    let core = needed(it, "schema")?;
    let schemas = schemas(given.get("schemas"), core)?;
    let ids: Vec<&str> = schemas.iter().filter_map(|it| it["id"].as_str()).collect();
    let Some(core) = ids.iter().find(|it| it.eq_ignore_ascii_case(core)) else {
        return Err(format!(
            "the core schema {} is not among \"schemas\": it comes in the same file",
            quoted(core)
        ));
    };
    let extensions = extensions(it.get("schemaExtensions"), core, &ids)?;
    let named = |id: &&str| extensions.iter().any(|it| it["schema"] == *id);
    if let Some(stray) = ids.iter().find(|it| *it != core && !named(it)) {
        return Err(format!(
            "the schema {stray} is in the file, and the resource type names it neither as its \
             \"schema\" nor in \"schemaExtensions\""
        ));
    }
    Ok(json!({
        "resourceType": {
            "schemas": [urn::RESOURCE_TYPE],
            "id": name,
            "name": name,
            "description": text_of(it, "description", of)?.unwrap_or_default(),
            "endpoint": format!("/{endpoint}"),
            "schema": core,
            "schemaExtensions": extensions,
        },
        "schemas": schemas,
    }))
}

fn needed<'a>(given: &'a Map<String, Value>, member: &str) -> Result<&'a str, String> {
    let text = text_of(given, member, "the resource type")?;
    text.ok_or_else(|| format!("the resource type has no \"{member}\""))
}

/// A name and an endpoint are one segment of a path.
fn judge_word(text: &str, member: &str, fixed: &[&str]) -> Result<(), String> {
    let shown = quoted(text);
    // Before the letters, since one of them begins with a dot.
    if fixed.iter().any(|it| it.eq_ignore_ascii_case(text)) {
        return Err(format!("the {member} \"{shown}\" belongs to SCIM itself; choose another"));
    }
    let fits = |it: char| it.is_ascii_alphanumeric() || "-_".contains(it);
    let begins = text.starts_with(|it: char| it.is_ascii_alphabetic());
    if !begins || !text.chars().all(fits) || text.len() > NAME_CHARS_MAX {
        return Err(format!(
            "the {member} \"{shown}\" is not one plain word: a letter, then letters, digits, \"-\" \
             and \"_\", at most {NAME_CHARS_MAX} characters"
        ));
    }
    Ok(())
}

/// The schemas that come with the type, completed.
fn schemas(given: Option<&Value>, core: &str) -> Result<Vec<Value>, String> {
    let given = given.and_then(Value::as_array);
    let given = given.ok_or_else(|| {
        "it has no \"schemas\", an array of schemas as /Schemas shows them".to_owned()
    })?;
    if given.len() > TYPE_SCHEMAS_MAX {
        return Err(format!("it has more than {TYPE_SCHEMAS_MAX} schemas"));
    }
    let mut found: Vec<Schema> = Vec::new();
    for (i, it) in given.iter().enumerate() {
        let id = it["id"].as_str().unwrap_or_default();
        let of = match id {
            "" => format!("number {} of \"schemas\"", i + 1),
            id => format!("the schema {}", quoted(id)),
        };
        if it.to_string().len() > BYTES_MAX {
            return Err(format!("{of} is longer than {} KiB", BYTES_MAX / 1024));
        }
        let schema = Schema::of_document(it, id.eq_ignore_ascii_case(core));
        let schema = schema.map_err(|it| format!("{of} is none: {it}"))?;
        if let Some(other) = found.iter().find(|it| urn::alike(&it.id, &schema.id)) {
            return Err(format!("the schemas {} and {} have one URN", other.id, schema.id));
        }
        found.push(schema);
    }
    Ok(found.into_iter().map(|it| it.document).collect())
}

/// The extensions, each spelled as the schema that comes along spells it.
fn extensions(given: Option<&Value>, core: &str, ids: &[&str]) -> Result<Vec<Value>, String> {
    let given = match given {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err("\"schemaExtensions\" is no array".to_owned()),
    };
    if given.len() > TYPE_EXTENSIONS_MAX {
        return Err(format!("it names more than {TYPE_EXTENSIONS_MAX} extensions"));
    }
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (i, it) in given.iter().enumerate() {
        let of = format!("number {} of \"schemaExtensions\"", i + 1);
        let it = it.as_object().ok_or_else(|| format!("{of} is no object"))?;
        known_members(it, EXTENSION_MEMBERS, &of)?;
        let urn = text_of(it, "schema", &of)?;
        let urn = urn.ok_or_else(|| format!("{of} has no \"schema\", which is a URN"))?;
        let required = flag(it, "required", &of)?.unwrap_or(false);
        if urn.eq_ignore_ascii_case(core) {
            return Err(format!("the core schema {core} stands among \"schemaExtensions\""));
        }
        let spelled = ids.iter().find(|it| it.eq_ignore_ascii_case(urn)).copied().unwrap_or(urn);
        if !seen.insert(urn.to_ascii_lowercase()) {
            return Err(format!("the extension {} is named twice", quoted(urn)));
        }
        found.push(json!({ "schema": spelled, "required": required }));
    }
    Ok(found)
}
