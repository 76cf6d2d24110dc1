//! The SCIM Error (RFC 7644 section 3.12): what a client is told when a request is refused.

use std::fmt;

use serde_json::{Map, Value};

use crate::scim::print;
use crate::scim::schema::urn;

/// The `scimType` keywords of RFC 7644 table 9 that this server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimType {
    /// The filter is malformed, or compares what cannot be compared.
    InvalidFilter,
    /// The request asks for more than the server does at once.
    TooMany,
    /// A value that must be unique is in use.
    Uniqueness,
    /// The attribute cannot be changed.
    Mutability,
    /// The body is malformed or does not fit the schema.
    InvalidSyntax,
    /// The path of a PATCH operation is malformed or names nothing.
    InvalidPath,
    /// The path of a PATCH operation selects nothing.
    NoTarget,
    /// A required value is missing, or a value does not fit the attribute.
    InvalidValue,
    /// The cursor is none of this query (RFC 9865).
    InvalidCursor,
    /// The cursor is too old (RFC 9865).
    ExpiredCursor,
    /// The count is not that of the first page, or too large (RFC 9865).
    InvalidCount,
}

impl ScimType {
    /// The keyword as it stands in a message.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            ScimType::InvalidFilter => "invalidFilter",
            ScimType::TooMany => "tooMany",
            ScimType::Uniqueness => "uniqueness",
            ScimType::Mutability => "mutability",
            ScimType::InvalidSyntax => "invalidSyntax",
            ScimType::InvalidPath => "invalidPath",
            ScimType::NoTarget => "noTarget",
            ScimType::InvalidValue => "invalidValue",
            ScimType::InvalidCursor => "invalidCursor",
            ScimType::ExpiredCursor => "expiredCursor",
            ScimType::InvalidCount => "invalidCount",
        }
    }
}

/// A refusal, in the words the client will read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status code.
    pub status: u16,
    /// The keyword, where the RFC defines one.
    pub scim_type: Option<ScimType>,
    /// What was wrong and what to do about it, for an administrator.
    pub detail: String,
}

impl Error {
    /// An error without a `scimType`.
    #[must_use]
    pub fn new(status: u16, detail: impl Into<String>) -> Error {
        Error { status, scim_type: None, detail: detail.into() }
    }

    fn typed(status: u16, scim_type: ScimType, detail: impl Into<String>) -> Error {
        Error { status, scim_type: Some(scim_type), detail: detail.into() }
    }

    /// 400 `invalidFilter`.
    #[must_use]
    pub fn invalid_filter(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::InvalidFilter, detail)
    }

    /// 400 `invalidSyntax`.
    #[must_use]
    pub fn invalid_syntax(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::InvalidSyntax, detail)
    }

    /// 400 `invalidPath`.
    #[must_use]
    pub fn invalid_path(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::InvalidPath, detail)
    }

    /// 400 `invalidValue`.
    #[must_use]
    pub fn invalid_value(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::InvalidValue, detail)
    }

    /// 400 `noTarget`.
    #[must_use]
    pub fn no_target(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::NoTarget, detail)
    }

    /// 400 `mutability`.
    #[must_use]
    pub fn mutability(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::Mutability, detail)
    }

    /// 400 `invalidCursor`.
    #[must_use]
    pub fn invalid_cursor(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::InvalidCursor, detail)
    }

    /// 400 `expiredCursor`.
    #[must_use]
    pub fn expired_cursor(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::ExpiredCursor, detail)
    }

    /// 400 `invalidCount`.
    #[must_use]
    pub fn invalid_count(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::InvalidCount, detail)
    }

    /// 409 `uniqueness`.
    #[must_use]
    pub fn uniqueness(detail: impl Into<String>) -> Error {
        Error::typed(409, ScimType::Uniqueness, detail)
    }

    /// 413 `tooMany`: RFC 7644 defines the keyword for 400, but the request is simply too large.
    #[must_use]
    pub fn too_many(detail: impl Into<String>) -> Error {
        Error::typed(413, ScimType::TooMany, detail)
    }

    /// 400 `tooMany`: the filter asks for more than the server is willing to look through (RFC 7644
    /// section 3.12).
    #[must_use]
    pub fn too_many_to_search(detail: impl Into<String>) -> Error {
        Error::typed(400, ScimType::TooMany, detail)
    }

    /// The message body. `status` is a string (RFC 7644 section 3.12).
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.members().into()
    }

    /// The text of the message body.
    #[must_use]
    pub fn to_text(&self) -> String {
        print::to_text(&self.members())
    }

    fn members(&self) -> Map<String, Value> {
        let scim_type = self.scim_type.map(|it| ("scimType", it.keyword().into()));
        let members = [
            ("schemas", Value::Array(vec![urn::ERROR.into()])),
            ("status", self.status.to_string().into()),
            ("detail", self.detail.as_str().into()),
        ];
        members.into_iter().chain(scim_type).map(|(name, it)| (name.to_owned(), it)).collect()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scim_type {
            Some(it) => write!(f, "{} {}: {}", self.status, it.keyword(), self.detail),
            None => write!(f, "{}: {}", self.status, self.detail),
        }
    }
}

impl std::error::Error for Error {}

/// Whether a character is not shown but obeyed, or not seen at all: control characters, line and
/// paragraph separators, what turns the direction of a text, and what has no width. A text with
/// them reads as another one, or does something to the terminal that prints it.
#[must_use]
pub fn is_unseen(it: char) -> bool {
    it.is_control()
        || matches!(it,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Client text made fit for a sentence: what is not seen is replaced, and it is cut when long.
#[must_use]
pub fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let clean = |it: char| if is_unseen(it) { '\u{fffd}' } else { it };
    let mut shown: String = text.chars().take(SHOWN_MAX).map(clean).collect();
    if text.chars().count() > SHOWN_MAX {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_is_a_string_and_the_keyword_stands_where_there_is_one() {
        let body = Error::uniqueness("taken").to_json();
        let expected = json!({"schemas": [urn::ERROR], "status": "409", "scimType": "uniqueness",
            "detail": "taken"});
        assert_eq!(body, expected);
        assert_eq!(Error::new(404, "gone").to_json().get("scimType"), None);
    }

    #[test]
    fn client_text_is_cut_and_cleaned() {
        assert_eq!(quoted("a\nb\u{202e}c\u{200b}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(quoted(&"x".repeat(300)).chars().count(), 81);
    }
}
