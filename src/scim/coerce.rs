//! The value a client sent becomes the value its attribute takes (RFC 7643 section 2.3).
//!
//! Forms that RFC 7643 does not have are accepted where they have one meaning: `"True"` for `true`,
//! one value in place of an array and the other way round, a bare value in place of an object with
//! `value`. Unless the organisation is set to strict, so are an object with `value` in place of a
//! bare value, a number for text, 0 and 1 for a boolean, and the same value marked primary twice.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, quoted};
use crate::scim::filter::comparison::{fold, same};
use crate::scim::filter::path::AttrPath;
use crate::scim::membership::MEMBERS_MAX;
use crate::scim::schema::attribute::{Attribute, Mutability, Type, find};
use crate::scim::schema::name::MEMBERS;

/// The most values of one multi-valued attribute.
pub const VALUES_MAX: usize = 1_000;

/// Where a value stands in the request, for the text of a refusal: it is put together only there.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// An attribute, as the request or its schema names it.
    Name(&'a str),
    /// A sub-attribute, or an attribute of an extension.
    Member(&'a Path<'a>, &'a str),
    /// One of several values.
    Element(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Name(name) => f.write_str(name),
            Path::Member(outer, name) => write!(f, "{outer}.{name}"),
            Path::Element(outer, i) => write!(f, "{outer}[{i}]"),
        }
    }
}

impl<'a> From<&'a str> for Path<'a> {
    fn from(name: &'a str) -> Path<'a> {
        Path::Name(name)
    }
}

impl<'a> From<&'a String> for Path<'a> {
    fn from(name: &'a String) -> Path<'a> {
        Path::Name(name)
    }
}

/// A value below an extension URN that no schema describes: kept as it is.
///
/// # Errors
/// 400 `invalidValue` for a NUL in a text, 400 `invalidSyntax` for a name that no path could reach.
pub fn foreign(name: &str, value: Value) -> Result<Option<Value>, Error> {
    if AttrPath::new(name).is_none() {
        let detail = format!("\"{}\" is no attribute name and no URN.", quoted(name));
        return Err(Error::invalid_syntax(detail));
    }
    refuse_nul(name, &value)?;
    Ok(match value {
        Value::Null => None,
        Value::Object(it) if it.is_empty() => None,
        other => Some(other),
    })
}

fn refuse_nul(name: &str, value: &Value) -> Result<(), Error> {
    match value {
        Value::String(it) if it.contains('\0') => Err(nul_refused(name)),
        Value::Array(items) => items.iter().try_for_each(|it| refuse_nul(name, it)),
        Value::Object(members) => members.iter().try_for_each(|(key, it)| {
            if key.contains('\0') { Err(nul_refused(name)) } else { refuse_nul(name, it) }
        }),
        _ => Ok(()),
    }
}

fn nul_refused(name: impl fmt::Display) -> Error {
    let name = quoted(&name.to_string());
    Error::invalid_value(format!("\"{name}\" holds a NUL character, which no text may."))
}

/// The value that a client may set; none for a read-only attribute, which is ignored (RFC 7643
/// section 7), and for one that is never kept.
///
/// # Errors
/// As [`coerce`].
pub fn writable_value<'a>(
    attribute: &Attribute,
    value: Value,
    path: impl Into<Path<'a>>,
    strict: bool,
) -> Result<Option<Value>, Error> {
    let path = path.into();
    if attribute.mutability == Mutability::ReadOnly || attribute.name == "schemas" {
        return Ok(None);
    }
    let value = coerce(attribute, value, path, strict)?;
    Ok(value.filter(|_| !attribute.is_secret()))
}

/// The sub-attributes of a complex value, or the attributes of an extension, that a client may set.
/// Names that no schema defines are left out.
///
/// # Errors
/// As [`coerce`], and 400 `invalidSyntax` for a name that stands twice.
pub fn writable_members<'a>(
    attributes: &[Arc<Attribute>],
    value: Value,
    path: impl Into<Path<'a>>,
    strict: bool,
) -> Result<Map<String, Value>, Error> {
    let path = path.into();
    let given = match value {
        Value::Null => return Ok(Map::new()),
        Value::Object(it) => it,
        // PHP prints an object without members as [], and other clients send "" for it.
        Value::Array(it) if it.is_empty() && !strict => return Ok(Map::new()),
        Value::String(it) if it.is_empty() && !strict => return Ok(Map::new()),
        other => return Err(wrong_type(path, "an object", &other)),
    };
    let mut kept = Map::new();
    for (name, value) in given {
        let Some(attribute) = find(attributes, &name) else { continue };
        if let Some(value) =
            writable_value(attribute, value, Path::Member(&path, &attribute.name), strict)?
            && kept.insert(spelled(name, attribute), value).is_some()
        {
            return Err(Error::invalid_syntax(format!(
                "\"{path}.{}\" stands twice, in different letter case.",
                attribute.name
            )));
        }
    }
    Ok(kept)
}

/// The name of an attribute as its schema spells it, of the one that a client sent.
#[must_use]
pub fn spelled(given: String, attribute: &Attribute) -> String {
    if given == attribute.name { given } else { attribute.name.clone() }
}

/// A value in the canonical form of its attribute; `None` when it is unassigned (RFC 7643 section
/// 2.5: null and the empty array).
///
/// # Errors
/// 400 `invalidValue` that names the attribute, what it takes and what it got.
pub fn coerce<'a>(
    attribute: &Attribute,
    value: Value,
    path: impl Into<Path<'a>>,
    strict: bool,
) -> Result<Option<Value>, Error> {
    let path = path.into();
    if attribute.kind == Type::Any {
        return foreign(&attribute.name, value);
    }
    if !attribute.multi_valued {
        let one = match value {
            // Entra ID sends the manager as an array of one.
            Value::Array(mut items) if items.len() <= 1 => items.pop().unwrap_or_default(),
            other => other,
        };
        return coerce_one(attribute, one, path, strict);
    }
    let given = match value {
        Value::Null => return Ok(None),
        Value::Array(items) => items,
        // OneLogin sends one object in place of an array.
        other => vec![other],
    };
    // Members are no part of a document, so a group may have many.
    let most = if attribute.name == MEMBERS { MEMBERS_MAX } else { VALUES_MAX };
    if given.len() > most {
        return Err(Error::invalid_value(format!(
            "\"{path}\" has {} values; at most {most} are taken at once.",
            given.len()
        )));
    }
    let several = given.len() > 1;
    let mut values: Vec<Value> = Vec::new();
    let mut seen = HashSet::new();
    for (i, item) in given.into_iter().enumerate() {
        if let Some(value) = coerce_one(attribute, item, Path::Element(&path, i), strict)? {
            // The same type and value must not be returned twice (RFC 7643 section 2.4).
            if !several || seen.insert(element_key(attribute, &value)) {
                values.push(value);
            }
        }
    }
    // A value by itself may be the primary one.
    if several {
        judge_primary(attribute, &mut values, path, strict)?;
    }
    Ok(if values.is_empty() { None } else { Some(Value::Array(values)) })
}

/// "The primary attribute value "true" MUST appear no more than once" (RFC 7643 section 2.4). The
/// same value marked twice, under two types, has one primary entry, the first: PingOne fills an
/// empty second address with the first one and marks both.
fn judge_primary(
    attribute: &Attribute,
    values: &mut [Value],
    path: Path,
    strict: bool,
) -> Result<(), Error> {
    let value = attribute.sub_attribute("value");
    let case_exact = value.is_some_and(|it| it.case_exact);
    let nothing = |it: &Value| value.is_some() && (it["value"].is_null() || it["value"] == "");
    // Addresses have no `value`: what they say is.
    let said = |it: &Value| match (value, it) {
        (None, Value::Object(members)) => {
            let beside = |name: &String| name != "primary" && name != "type";
            let said = members.iter().filter(|(name, _)| beside(name));
            Value::Object(said.map(|(name, it)| (name.clone(), it.clone())).collect())
        }
        _ => it["value"].clone(),
    };
    // An entry without a value is not the primary one beside an entry that has one.
    let is_primary = |it: &Value| it["primary"] == true;
    if !strict && values.iter().any(|it| is_primary(it) && !nothing(it)) {
        for it in values.iter_mut().filter(|it| is_primary(it) && nothing(it)) {
            it["primary"] = false.into();
        }
    }
    let mut first: Option<Value> = None;
    for it in values.iter_mut().filter(|it| is_primary(it)) {
        let Some(first) = &first else {
            first = Some(said(it));
            continue;
        };
        let alike = match (first, &said(it)) {
            (Value::String(a), Value::String(b)) => same(a, b, case_exact),
            (a, b) => a == b,
        };
        if strict || !alike {
            return Err(Error::invalid_value(format!(
                "\"{path}\" has more than one value with \"primary\": true; only one may be \
                 primary."
            )));
        }
        it["primary"] = false.into();
    }
    Ok(())
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

/// The value in an object that is sent in place of a bare value: `{"value": x}`, also with the
/// other sub-attributes of RFC 7643 section 2.4. Azure AD sent `[{"$ref": null, "value": x}]`.
fn unwrapped(mut value: Value) -> Value {
    const DEFAULT_SUB_ATTRIBUTES: [&str; 5] = ["value", "$ref", "type", "display", "primary"];
    let named =
        |name: &String| DEFAULT_SUB_ATTRIBUTES.iter().any(|it| it.eq_ignore_ascii_case(name));
    if let Value::Object(members) = &mut value
        && members.keys().all(named)
        && let Some((_, inner)) =
            members.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("value"))
    {
        return inner.take();
    }
    value
}

fn coerce_one(
    attribute: &Attribute,
    value: Value,
    path: Path,
    strict: bool,
) -> Result<Option<Value>, Error> {
    let bare = !strict && !matches!(attribute.kind, Type::Complex | Type::Any);
    let value = if bare { unwrapped(value) } else { value };
    if value.is_null() {
        return Ok(None);
    }
    let text = |expected: &str| match &value {
        Value::String(it) if it.as_bytes().contains(&0) => Err(nul_refused(path)),
        Value::String(it) => Ok(it.as_str()),
        other => Err(wrong_type(path, expected, other)),
    };
    match attribute.kind {
        Type::Any => Ok(Some(value)),
        Type::String | Type::Reference => {
            if let Value::Number(it) = &value
                && !strict
            {
                return Ok(Some(it.to_string().into()));
            }
            text("text")?;
            Ok(Some(value))
        }
        Type::Boolean => match &value {
            Value::Bool(it) => Ok(Some((*it).into())),
            // Entra ID writes "True" and "False".
            Value::String(it) if it.eq_ignore_ascii_case("true") => Ok(Some(true.into())),
            Value::String(it) if it.eq_ignore_ascii_case("false") => Ok(Some(false.into())),
            Value::String(it) if it.is_empty() => Ok(None),
            Value::String(it) if !strict && matches!(it.trim(), "0" | "1") => {
                Ok(Some((it.trim() == "1").into()))
            }
            Value::String(it) if !strict && it.trim().eq_ignore_ascii_case("true") => {
                Ok(Some(true.into()))
            }
            Value::String(it) if !strict && it.trim().eq_ignore_ascii_case("false") => {
                Ok(Some(false.into()))
            }
            Value::Number(it) if !strict && matches!(it.as_f64(), Some(0.0 | 1.0)) => {
                Ok(Some((it.as_f64() == Some(1.0)).into()))
            }
            other => Err(wrong_type(path, "true or false", other)),
        },
        Type::Integer | Type::Decimal => {
            let number = match &value {
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
                    Err(wrong_type(path, "a whole number", &value))
                }
                None => Err(wrong_type(path, "a number", &value)),
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
            Ok(Some(value))
        }
        Type::Binary => {
            let base64 = text("base64 text")?;
            let fits = |it: char| it.is_ascii_alphanumeric() || "+/-_= \r\n".contains(it);
            if !base64.chars().all(fits) {
                let detail = format!("\"{path}\" takes base64 text, and this is none.");
                return Err(Error::invalid_value(detail));
            }
            Ok(Some(value))
        }
        Type::Complex => coerce_complex(attribute, value, path, strict),
    }
}

fn coerce_complex(
    attribute: &Attribute,
    value: Value,
    path: Path,
    strict: bool,
) -> Result<Option<Value>, Error> {
    let object = match value {
        Value::Object(_) => value,
        // Clears the manager in Entra ID.
        Value::String(it) if it.is_empty() => return Ok(None),
        // A manager or member as its bare id.
        Value::String(_) if attribute.sub_attribute("value").is_some() => {
            Value::Object(Map::from_iter([("value".to_owned(), value)]))
        }
        other => return Err(wrong_type(path, "an object", &other)),
    };
    let kept = writable_members(&attribute.sub_attributes, object, path, strict)?;
    let lacking = attribute.sub_attributes.iter().find(|it| {
        it.required && it.mutability != Mutability::ReadOnly && !kept.contains_key(&it.name)
    });
    match lacking {
        _ if kept.is_empty() => Ok(None),
        Some(it) => Err(required_missing(&Path::Member(&path, &it.name).to_string())),
        None => Ok(Some(Value::Object(kept))),
    }
}

fn wrong_type(path: Path, expected: &str, value: &Value) -> Error {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Error::invalid_value(format!(
        "\"{}\" takes {expected}, and it was given {got}.",
        quoted(&path.to_string())
    ))
}

/// The refusal of a resource, or of a value, that lacks a required attribute.
#[must_use]
pub fn required_missing(name: &str) -> Error {
    Error::invalid_value(format!(
        "The required attribute \"{name}\" is missing. Map it in the identity provider's attribute \
         mappings."
    ))
}
