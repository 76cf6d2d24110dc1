//! Turns what a client sent into a document, by the characteristics of the schemas (RFC 7643
//! sections 2 and 7), and judges a change against what was there. The only way in for outside data.
//!
//! What clients send beyond the letter is read as they mean it: names in any case, `"True"` for
//! `true`, one value in place of an array and the other way round, a bare value in place of an
//! object with `value`. Unknown attributes are ignored (RFC 7644 section 3.3), objects below
//! unknown extension URNs are kept.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, quoted};
use crate::scim::filter::comparison::{fold, same};
use crate::scim::filter::path::AttrPath;
use crate::scim::identity::{self, Rules, USER_NAME};
use crate::scim::membership::{MEMBERS, MEMBERS_MAX};
use crate::scim::schema::attribute::{Attribute, Mutability, Type, find};
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::schema::urn;
use crate::scim::strict;

/// The most values of one multi-valued attribute.
pub const VALUES_MAX: usize = 1_000;

/// The document of a new resource (RFC 7644 section 3.3), without `id`.
///
/// # Errors
/// 400 that names the attribute and what was wrong with it.
pub fn create(
    body: &Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Map<String, Value>, Error> {
    judge_schemas(body, resource_type)?;
    let mut document = normalize(body, resource_type, rules)?;
    identity::judge_new(&mut document, resource_type, rules)?;
    complete(document, &Map::new(), resource_type)
}

/// The document that replaces another (RFC 7644 section 3.5.1). What the body leaves out is
/// cleared, but for: what only the server sets, what cannot change, `active`, the e-mail addresses
/// under the product rules, and extensions that no schema here describes.
///
/// # Errors
/// As [`create`], and 400 `mutability` for what cannot be changed.
pub fn replace(
    before: &Map<String, Value>,
    body: &Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Map<String, Value>, Error> {
    judge_schemas(body, resource_type)?;
    let mut after = normalize(body, resource_type, rules)?;
    let named: HashSet<String> = body.keys().map(|it| it.to_ascii_lowercase()).collect();
    for (name, value) in before {
        let unknown = urn::is_urn(name) && resource_type.extension(name).is_none();
        if unknown && !named.contains(&name.to_ascii_lowercase()) {
            after.insert(name.clone(), value.clone());
        }
    }
    judge_change(before, after, resource_type, rules)
}

/// Judges a document after a change, against the one before it.
///
/// # Errors
/// 400 `mutability` for what cannot be changed, 400 `invalidValue` for what is required and
/// missing.
pub fn judge_change(
    before: &Map<String, Value>,
    mut after: Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Map<String, Value>, Error> {
    for attribute in resource_type.core.attributes.iter().chain(&resource_type.common.attributes) {
        keep_immutable(before, &mut after, attribute)?;
    }
    for extension in &resource_type.extensions {
        let id = &extension.schema.id;
        let Some(Value::Object(old)) = before.get(id) else { continue };
        let mut new = match after.get(id) {
            Some(Value::Object(new)) => new.clone(),
            _ => Map::new(),
        };
        for attribute in &extension.schema.attributes {
            keep_immutable(old, &mut new, attribute)?;
        }
        if new.is_empty() {
            continue;
        }
        if !after.contains_key(id) {
            // The client speaks of nothing here, so what stays is not incomplete by its fault.
            let required = extension.schema.attributes.iter().filter(|it| it.required);
            for name in required.map(|it| &it.name) {
                new.extend(old.get(name).map(|it| (name.clone(), it.clone())));
            }
        }
        after.insert(id.clone(), Value::Object(new));
    }
    identity::judge_change(before, &mut after, resource_type, rules)?;
    complete(after, before, resource_type)
}

/// An immutable attribute keeps its value: absent means keep, the same text in another case is no
/// change where case does not count, anything else is refused.
fn keep_immutable(
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
    attribute: &Attribute,
) -> Result<(), Error> {
    let Some(old) = before.get(&attribute.name) else {
        return Ok(());
    };
    if attribute.mutability != Mutability::Immutable {
        if let (Value::Object(old), Some(Value::Object(new))) =
            (old, after.get_mut(&attribute.name))
        {
            for sub in &attribute.sub_attributes {
                keep_immutable(old, new, sub)?;
            }
        }
        return Ok(());
    }
    let unchanged = match (old, after.get(&attribute.name)) {
        (_, None) => true,
        (Value::String(old), Some(Value::String(new))) => same(old, new, attribute.case_exact),
        (old, Some(new)) => old == new,
    };
    if unchanged {
        after.insert(attribute.name.clone(), old.clone());
        return Ok(());
    }
    let text = |value: Option<&Value>| match value {
        Some(Value::String(it)) => it.clone(),
        Some(it) => it.to_string(),
        None => String::new(),
    };
    let (old, new) = (text(Some(old)), text(after.get(&attribute.name)));
    if attribute.name == USER_NAME {
        return Err(identity::user_name_change_refused(&old, &new));
    }
    Err(Error::mutability(format!(
        "\"{}\" cannot be changed from \"{}\" to \"{}\" once it is set.",
        attribute.name,
        quoted(&old),
        quoted(&new)
    )))
}

/// Checks what is required, and puts the members in the order answers have them: `schemas`, `id`,
/// the common and core attributes as their schemas list them, the extensions.
///
/// An extension that the change leaves as it was is not judged: it may be older than its schema,
/// and must not stand in the way of a deactivation.
fn complete(
    mut document: Map<String, Value>,
    before: &Map<String, Value>,
    resource_type: &ResourceType,
) -> Result<Map<String, Value>, Error> {
    spell_extensions(&mut document, resource_type);
    let mut ordered = Map::new();
    let mut schemas = vec![Value::from(resource_type.core.id.as_str())];
    document.shift_remove("schemas");
    document.shift_remove("id");
    ordered.insert("schemas".to_owned(), Value::Null);
    ordered.extend(before.get("id").map(|it| ("id".to_owned(), it.clone())));
    for attribute in resource_type.common.attributes.iter().chain(&resource_type.core.attributes) {
        match document.shift_remove(&attribute.name) {
            Some(value) => {
                ordered.insert(attribute.name.clone(), value);
            }
            None if attribute.required && attribute.name != "schemas" => {
                return Err(missing(&attribute.name));
            }
            None => {}
        }
    }
    for extension in &resource_type.extensions {
        let id = &extension.schema.id;
        let value = document.shift_remove(id);
        let old = before.iter().find(|(it, _)| it.eq_ignore_ascii_case(id)).map(|(_, it)| it);
        let as_it_was = value.is_some() && value.as_ref() == old;
        match value {
            Some(value) if as_it_was => {
                schemas.extend(value.is_object().then(|| Value::from(id.as_str())));
                ordered.insert(id.clone(), value);
            }
            Some(Value::Object(members)) => {
                let attributes = &extension.schema.attributes;
                let lacking =
                    attributes.iter().find(|it| it.required && !members.contains_key(&it.name));
                if let Some(attribute) = lacking {
                    return Err(missing(&format!("{id}:{}", attribute.name)));
                }
                schemas.push(id.as_str().into());
                ordered.insert(id.clone(), Value::Object(members));
            }
            _ if extension.required => return Err(missing(id)),
            _ => {}
        }
    }
    for (name, value) in document {
        // A member that is no object cannot be an extension, so it is no schema either.
        if value.is_object() {
            schemas.push(name.as_str().into());
        }
        ordered.insert(name, value);
    }
    ordered.insert("schemas".to_owned(), Value::Array(schemas));
    Ok(ordered)
}

/// Spells the URNs of extensions as their schemas do: what was stored before a schema was
/// registered may have its URN in another letter case.
pub fn spell_extensions(document: &mut Map<String, Value>, resource_type: &ResourceType) {
    for id in resource_type.extensions.iter().map(|it| &it.schema.id) {
        let other = document.keys().find(|it| *it != id && it.eq_ignore_ascii_case(id)).cloned();
        if let Some(value) = other.and_then(|it| document.shift_remove(&it)) {
            document.entry(id).or_insert(value);
        }
    }
}

fn missing(name: &str) -> Error {
    Error::invalid_value(format!(
        "The required attribute \"{name}\" is missing. Map it in the identity provider's attribute \
         mappings."
    ))
}

/// `schemas` names the resource type (RFC 7643 section 3.1). Extensions may be left out of it or
/// stand in it without a value: clients do both.
fn judge_schemas(body: &Map<String, Value>, resource_type: &ResourceType) -> Result<(), Error> {
    let core = &resource_type.core.id;
    let wrong = |why: String| {
        Error::invalid_syntax(format!("{why} Send \"schemas\": [\"{core}\"] in the body."))
    };
    let found = body.iter().find(|(name, _)| name.eq_ignore_ascii_case("schemas"));
    let listed: Vec<&str> = match found.map(|(_, value)| value) {
        None | Some(Value::Null) => return Err(wrong("\"schemas\" is missing.".to_owned())),
        Some(Value::String(it)) => vec![it],
        Some(Value::Array(items)) => {
            let texts = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| wrong("\"schemas\" must hold URNs as text.".to_owned()))?
        }
        Some(_) => return Err(wrong("\"schemas\" must be an array of URNs.".to_owned())),
    };
    if listed.iter().any(|it| it.eq_ignore_ascii_case(core)) {
        return Ok(());
    }
    if listed.iter().any(|it| it.starts_with(urn::SCIM_1_PREFIX)) {
        return Err(wrong(
            "This is a SCIM 1.1 message, and this server speaks SCIM 2.0. Set the connector to \
             SCIM 2.0; its base URL ends with /scim/v2."
                .to_owned(),
        ));
    }
    let name = &resource_type.name;
    Err(wrong(format!("\"schemas\" does not name the schema of a {name}.")))
}

/// The known attributes of a body in their canonical form; what only the server sets, what is never
/// kept and what is unknown left out.
fn normalize(
    body: &Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Map<String, Value>, Error> {
    if rules.strict {
        strict::judge_body(body, resource_type)?;
    }
    let mut document = Map::new();
    let mut seen = HashSet::new();
    let core = &resource_type.core.id;
    // The core schema as an object is the resource itself.
    let inner = body.iter().find(|(name, _)| name.eq_ignore_ascii_case(core));
    let inner = inner.and_then(|(_, value)| value.as_object()).into_iter().flatten();
    for (name, value) in body.iter().chain(inner) {
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(Error::invalid_syntax(format!(
                "The attribute \"{}\" stands twice in the body, in different letter case.",
                quoted(name)
            )));
        }
        if !urn::is_urn(name) {
            if let Some(attribute) = resource_type.attribute(name)
                && let Some(value) = accepted(attribute, value, &attribute.name)?
            {
                document.insert(attribute.name.clone(), value);
            }
            continue;
        }
        if let Some(extension) = resource_type.extension(name) {
            let attributes = &extension.schema.attributes;
            let members = members(attributes, value, &extension.schema.id)?;
            merge(&mut document, &extension.schema.id, members);
        } else if let Some(target) = AttrPath::new(name).and_then(|it| resource_type.resolve(&it))
            && target.attribute.kind != Type::Any
        {
            // A URN-qualified name as a member: Entra ID sends those.
            let attribute = target.sub.is_none().then_some(&target.attribute);
            let Some(attribute) = attribute else { continue };
            if let Some(value) = accepted(attribute, value, name)? {
                match &target.extension {
                    None => drop(document.insert(attribute.name.clone(), value)),
                    Some(urn) => {
                        let one = Map::from_iter([(attribute.name.clone(), value)]);
                        merge(&mut document, urn, one);
                    }
                }
            }
        } else if !name.eq_ignore_ascii_case(&resource_type.core.id)
            && let Some(value) = foreign(name, value)?
        {
            document.insert(name.clone(), value);
        }
    }
    Ok(document)
}

fn merge(document: &mut Map<String, Value>, urn: &str, members: Map<String, Value>) {
    if members.is_empty() {
        return;
    }
    let object = document.entry(urn).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(object) = object {
        object.extend(members);
    }
}

/// A value below an extension URN that no schema describes: kept as it is.
///
/// # Errors
/// 400 `invalidValue` for a NUL in a text, 400 `invalidSyntax` for a name that no path could reach.
pub fn foreign(name: &str, value: &Value) -> Result<Option<Value>, Error> {
    if AttrPath::new(name).is_none() {
        let detail = format!("\"{}\" is no attribute name and no URN.", quoted(name));
        return Err(Error::invalid_syntax(detail));
    }
    refuse_nul(name, value)?;
    Ok(match value {
        Value::Null => None,
        Value::Object(it) if it.is_empty() => None,
        other => Some(other.clone()),
    })
}

fn refuse_nul(name: &str, value: &Value) -> Result<(), Error> {
    match value {
        Value::String(it) if it.contains('\0') => Err(nul(name)),
        Value::Array(items) => items.iter().try_for_each(|it| refuse_nul(name, it)),
        Value::Object(members) => members.iter().try_for_each(|(key, it)| {
            if key.contains('\0') { Err(nul(name)) } else { refuse_nul(name, it) }
        }),
        _ => Ok(()),
    }
}

fn nul(name: &str) -> Error {
    Error::invalid_value(format!("\"{}\" holds a NUL character, which no text may.", quoted(name)))
}

/// The value as a client may set it: nothing for read-only attributes, which are ignored on the way
/// in (RFC 7643 section 7), and for those that are never kept.
fn accepted(attribute: &Attribute, value: &Value, path: &str) -> Result<Option<Value>, Error> {
    if attribute.mutability == Mutability::ReadOnly || attribute.name == "schemas" {
        return Ok(None);
    }
    let value = coerce(attribute, value, path)?;
    Ok(value.filter(|_| !attribute.is_secret()))
}

fn members(
    attributes: &[std::sync::Arc<Attribute>],
    value: &Value,
    path: &str,
) -> Result<Map<String, Value>, Error> {
    let given = match value {
        Value::Null => return Ok(Map::new()),
        Value::Object(it) => it,
        other => return Err(wrong_type(path, "an object", other)),
    };
    let mut kept = Map::new();
    for (name, value) in given {
        let Some(attribute) = find(attributes, name) else { continue };
        if let Some(value) = accepted(attribute, value, &format!("{path}.{}", attribute.name))?
            && kept.insert(attribute.name.clone(), value).is_some()
        {
            return Err(Error::invalid_syntax(format!(
                "\"{path}.{}\" stands twice, in different letter case.",
                attribute.name
            )));
        }
    }
    Ok(kept)
}

/// A value in the canonical form of its attribute; `None` when it says "no value" (RFC 7643 section
/// 2.5: null and the empty array).
///
/// # Errors
/// 400 `invalidValue` that names the attribute, what it takes and what it got.
pub fn coerce(attribute: &Attribute, value: &Value, path: &str) -> Result<Option<Value>, Error> {
    if attribute.kind == Type::Any {
        return foreign(&attribute.name, value);
    }
    if !attribute.multi_valued {
        let one = match value {
            // Entra ID sends the manager as an array of one.
            Value::Array(items) if items.len() <= 1 => items.first().unwrap_or(&Value::Null),
            other => other,
        };
        return coerce_one(attribute, one, path);
    }
    let given = match value {
        Value::Null => return Ok(None),
        Value::Array(items) => items.as_slice(),
        // OneLogin sends one object in place of an array.
        other => std::slice::from_ref(other),
    };
    // Members are no part of a document, so a group may have many.
    let most = if attribute.name == MEMBERS { MEMBERS_MAX } else { VALUES_MAX };
    if given.len() > most {
        return Err(Error::invalid_value(format!(
            "\"{path}\" has {} values; at most {most} are taken at once.",
            given.len()
        )));
    }
    let mut values: Vec<Value> = Vec::new();
    let mut seen = HashSet::new();
    for (i, item) in given.iter().enumerate() {
        if let Some(value) = coerce_one(attribute, item, &format!("{path}[{i}]"))? {
            // The same type and value must not be returned twice (RFC 7643 section 2.4).
            if seen.insert(element_key(attribute, &value)) {
                values.push(value);
            }
        }
    }
    if values.iter().filter(|it| it["primary"] == true).count() > 1 {
        return Err(Error::invalid_value(format!(
            "\"{path}\" has more than one value with \"primary\": true; only one may be primary."
        )));
    }
    Ok(if values.is_empty() { None } else { Some(Value::Array(values)) })
}

/// What makes two values of a multi-valued attribute the same one: `type` and `value`, else all of
/// it.
#[must_use]
pub fn element_key(attribute: &Attribute, element: &Value) -> String {
    let case_exact = |name: &str| attribute.sub_attribute(name).is_some_and(|it| it.case_exact);
    let part = |name: &str| match element.get(name) {
        Some(Value::String(it)) if case_exact(name) => it.clone(),
        Some(Value::String(it)) => fold(it).into_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    match element {
        Value::Object(members) if members.contains_key("value") => {
            format!("{}\0{}", part("value"), part("type"))
        }
        Value::String(it) if !attribute.case_exact => fold(it).into_owned(),
        other => other.to_string(),
    }
}

fn coerce_one(attribute: &Attribute, value: &Value, path: &str) -> Result<Option<Value>, Error> {
    if value.is_null() {
        return Ok(None);
    }
    let text = |expected: &str| match value {
        Value::String(it) if it.contains('\0') => Err(nul(path)),
        Value::String(it) => Ok(it.as_str()),
        other => Err(wrong_type(path, expected, other)),
    };
    match attribute.kind {
        Type::Any => Ok(Some(value.clone())),
        Type::String | Type::Reference => Ok(Some(text("text")?.into())),
        Type::Boolean => match value {
            Value::Bool(_) => Ok(Some(value.clone())),
            // Entra ID writes "True" and "False".
            Value::String(it) if it.eq_ignore_ascii_case("true") => Ok(Some(true.into())),
            Value::String(it) if it.eq_ignore_ascii_case("false") => Ok(Some(false.into())),
            Value::String(it) if it.is_empty() => Ok(None),
            other => Err(wrong_type(path, "true or false", other)),
        },
        Type::Integer | Type::Decimal => {
            let number = match value {
                Value::Number(it) => Some(it.clone()),
                Value::String(it) if it.is_empty() => return Ok(None),
                Value::String(it) => it.trim().parse().ok(),
                _ => None,
            };
            let whole = attribute.kind == Type::Decimal
                || number.as_ref().is_some_and(|it| it.is_i64() || it.is_u64());
            match number.filter(|_| whole) {
                Some(number) => Ok(Some(Value::Number(number))),
                None if attribute.kind == Type::Integer => {
                    Err(wrong_type(path, "a whole number", value))
                }
                None => Err(wrong_type(path, "a number", value)),
            }
        }
        Type::DateTime => {
            let time = text("a time such as \"2026-01-31T08:00:00Z\"")?;
            if time.is_empty() {
                return Ok(None);
            }
            if Timestamp::parse(time).is_none() {
                return Err(Error::invalid_value(format!(
                    "\"{path}\" takes a time such as \"2026-01-31T08:00:00Z\"; \"{}\" is none.",
                    quoted(time)
                )));
            }
            Ok(Some(time.into()))
        }
        Type::Binary => {
            let base64 = text("base64 text")?;
            let fits = |it: char| it.is_ascii_alphanumeric() || "+/-_= \r\n".contains(it);
            if !base64.chars().all(fits) {
                let detail = format!("\"{path}\" takes base64 text, and this is none.");
                return Err(Error::invalid_value(detail));
            }
            Ok(Some(base64.into()))
        }
        Type::Complex => coerce_complex(attribute, value, path),
    }
}

fn coerce_complex(
    attribute: &Attribute,
    value: &Value,
    path: &str,
) -> Result<Option<Value>, Error> {
    let wrapped;
    let object = match value {
        Value::Object(_) => value,
        // Clears the manager in Entra ID.
        Value::String(it) if it.is_empty() => return Ok(None),
        // A manager or member as its bare id.
        Value::String(_) if attribute.sub_attribute("value").is_some() => {
            wrapped = Value::Object(Map::from_iter([("value".to_owned(), value.clone())]));
            &wrapped
        }
        other => return Err(wrong_type(path, "an object", other)),
    };
    let kept = members(&attribute.sub_attributes, object, path)?;
    let lacking = attribute.sub_attributes.iter().find(|it| {
        it.required && it.mutability != Mutability::ReadOnly && !kept.contains_key(&it.name)
    });
    match lacking {
        _ if kept.is_empty() => Ok(None),
        Some(it) => Err(missing(&format!("{path}.{}", it.name))),
        None => Ok(Some(Value::Object(kept))),
    }
}

fn wrong_type(path: &str, expected: &str, value: &Value) -> Error {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Error::invalid_value(format!("\"{}\" takes {expected}, and it was given {got}.", quoted(path)))
}
