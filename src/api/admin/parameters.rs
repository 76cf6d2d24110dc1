//! What requests of the page say: parameters, and what stands in their bodies.

use serde_json::{Map, Value};

use crate::http::request::Request;
use crate::http::response::{JSON, Response};
use crate::scim::error::{Error, quoted};

/// The most entries of one answer.
pub const LIMIT_MAX: i64 = 100;
/// The same where the page does not say.
pub const LIMIT_DEFAULT: i64 = 50;

/// 200 with this.
#[must_use]
pub fn answer(value: &Value) -> Response {
    Response::new(200, JSON, value.to_string().into_bytes())
}

/// A parameter, trimmed; none when it is absent or empty.
///
/// # Errors
/// 400 when it does not decode.
pub fn text(request: &Request, name: &str) -> Result<Option<String>, Error> {
    match request.parameter(name) {
        None => Ok(None),
        Some(Ok(it)) => Ok(Some(it.trim().to_owned()).filter(|it| !it.is_empty())),
        Some(Err(_)) => {
            let detail = format!("The parameter {name} is not percent-encoded UTF-8 text.");
            Err(Error::new(400, detail))
        }
    }
}

/// A parameter that is a whole number within these bounds.
///
/// # Errors
/// 400 for any other.
pub fn number(
    request: &Request,
    name: &str,
    least: i64,
    most: i64,
    default: i64,
) -> Result<i64, Error> {
    let Some(given) = text(request, name)? else { return Ok(default) };
    let number = given.parse().ok().filter(|it| (least..=most).contains(it));
    number.ok_or_else(|| {
        let shown = quoted(&given);
        let detail =
            format!("{name} is a whole number from {least} to {most}, and is \"{shown}\".");
        Error::new(400, detail)
    })
}

/// How many entries are asked for.
///
/// # Errors
/// As [`number`].
pub fn limit(request: &Request) -> Result<usize, Error> {
    let limit = number(request, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT)?;
    Ok(usize::try_from(limit).unwrap_or(1))
}

/// A parameter that is one of these words; none when it is absent or empty.
///
/// # Errors
/// 400 for any other.
pub fn word<T: Copy>(
    request: &Request,
    name: &str,
    words: &[(&str, T)],
) -> Result<Option<T>, Error> {
    let Some(given) = text(request, name)? else { return Ok(None) };
    let found = words.iter().find(|(it, _)| *it == given).map(|(_, it)| *it);
    found.map(Some).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(it, _)| *it).collect();
        let shown = quoted(&given);
        Error::new(400, format!("{name} is one of {}, and is \"{shown}\".", words.join(", ")))
    })
}

/// A text of a body; none when it is absent, null or empty.
///
/// # Errors
/// 400 when it is no text, and what `check` says of it.
pub fn text_in(
    body: &Map<String, Value>,
    name: &str,
    check: impl Fn(&str) -> Result<String, String>,
) -> Result<Option<String>, Error> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(it)) => {
            let checked = check(it);
            let checked = checked.map_err(|it| Error::new(400, format!("\"{name}\": {it}.")))?;
            Ok(Some(checked).filter(|it| !it.is_empty()))
        }
        Some(_) => Err(Error::new(400, format!("\"{name}\" is a text, or absent."))),
    }
}

/// Refuses a body with names that mean nothing.
///
/// # Errors
/// 400 that says which is not known.
pub fn only(body: &Map<String, Value>, known: &[&str]) -> Result<(), Error> {
    match body.keys().find(|it| !known.contains(&it.as_str())) {
        None => Ok(()),
        Some(name) => {
            let shown = quoted(name);
            let detail = format!("\"{shown}\" is not known here; known: {}.", known.join(", "));
            Err(Error::new(400, detail))
        }
    }
}
