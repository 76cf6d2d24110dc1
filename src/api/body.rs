//! The body of a request as a JSON object, within what reading it may take.

use serde_json::{Map, Value};

use crate::http::request::Request;
use crate::scim::error::{Error, quoted};
use crate::scim::json::{self, JsonError, Names};

/// The deepest nesting of objects and arrays in a body. What handles a body calls itself for each
/// level, on the small stack of a connection's thread; SCIM itself needs fewer than ten.
pub const BODY_DEPTH_MAX: usize = 64;

/// The most values in a body. Each takes about 80 bytes once it is read, so that a body of nothing
/// but commas would take forty times its length.
pub const BODY_VALUES_MAX: usize = 200_000;

/// The body as a JSON object in which no object has one of these names twice. `shape` is that of
/// the whole body.
///
/// # Errors
/// 415 for a content coding, 400 `invalidSyntax` that says what is wrong with it, and where.
pub fn body_object(
    request: &Request,
    names: Names,
    shape: &Shape,
) -> Result<Map<String, Value>, Error> {
    // RFC 9110 section 8.4: a coding that is not known is answered 415.
    let coding = request.header("Content-Encoding").map(str::trim).unwrap_or_default();
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
        let detail = format!(
            "The header Content-Encoding says \"{}\", and bodies are read as they are. Send the \
             JSON without a coding.",
            quoted(coding)
        );
        return Err(Error::new(415, detail));
    }
    let bytes = request.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&request.body);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::invalid_syntax(
            "The body is empty; send the resource or operations as a JSON object.",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|it| {
        let at = it.valid_up_to();
        Error::invalid_syntax(format!("The body is not UTF-8 text: byte {at} does not belong."))
    })?;
    if shape.depth > BODY_DEPTH_MAX {
        return Err(Error::invalid_syntax(format!(
            "The body is nested more than {BODY_DEPTH_MAX} deep. Send fewer objects and arrays \
             within each other."
        )));
    }
    if shape.values > BODY_VALUES_MAX {
        return Err(Error::new(
            413,
            format!("The body has more than {BODY_VALUES_MAX} values. Send it in parts."),
        ));
    }
    match json::parse(text, names) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(Error::invalid_syntax(
            "The body is JSON, but no object; send the resource or operations as a JSON object.",
        )),
        Err(JsonError::Twice(it)) => Err(Error::invalid_syntax(format!(
            "In the body {it}. Of two values nobody can tell which one is meant, so nothing was \
             done."
        ))),
        Err(JsonError::Syntax(error)) if error.to_string().starts_with("recursion limit") => {
            Err(Error::invalid_syntax(
                "The body is nested more than 127 deep. Send a resource or operations with fewer \
                 objects and arrays inside each other.",
            ))
        }
        Err(JsonError::Syntax(error)) => {
            Err(Error::invalid_syntax(format!("The body is not JSON: {error}.")))
        }
    }
}

/// What reading a JSON text would take.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// How deep its objects and arrays are nested.
    depth: usize,
    /// About how many values it has, and no fewer.
    values: usize,
}

impl Shape {
    /// The shape of a text, which may be no JSON at all.
    #[must_use]
    pub fn of(json: &[u8]) -> Shape {
        let mut shape = Shape { depth: 0, values: 1 };
        let mut depth = 0_usize;
        let mut bytes = json.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                // To the end of the string: most bytes of a body stand in one.
                b'"' => {
                    while let Some(byte) = bytes.find(|it| matches!(it, b'"' | b'\\')) {
                        if *byte == b'"' {
                            break;
                        }
                        bytes.next();
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    shape.depth = shape.depth.max(depth);
                    shape.values += 1;
                }
                b',' => shape.values += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        shape
    }

    /// What a body of this shape and length may take once it is parsed, worked on and printed
    /// again, in bytes: measured were 0.9 KB for a value and 1.8 KB for an object, and both count
    /// as one value each.
    #[must_use]
    pub fn memory(&self, length: usize) -> usize {
        const VALUE_BYTES: usize = 1_350;
        self.values.saturating_mul(VALUE_BYTES) + length * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_and_values_are_counted_outside_of_strings() {
        for (json, depth, values) in [
            ("1", 0, 1),
            ("{}", 1, 2),
            (r#"{"a":[{}],"b":[]}"#, 3, 6),
            (r#"{"[[[":"\"[,[\\"}"#, 1, 2),
            (r#"["\\",["\\\"",[]]]"#, 3, 6),
            ("]]]][[,", 2, 4),
        ] {
            assert_eq!(Shape::of(json.as_bytes()), Shape { depth, values }, "{json}");
        }
    }
}
