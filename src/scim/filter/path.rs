//! Attribute paths: `attrPath` of RFC 7644 section 3.4.2.2.

use std::fmt;
use std::sync::Arc;

use crate::scim::schema::attribute::Attribute;

/// An attribute name as a client wrote it: `[URN ":"] name ["." sub]`. Only its characters have
/// been judged; `ResourceType::resolve` says what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrPath(String);

impl AttrPath {
    /// The path with this text; `None` when it is empty or has a character that no attribute name
    /// and no URN has, or does not begin with a letter or `$`.
    #[must_use]
    pub fn new(text: &str) -> Option<AttrPath> {
        let begins = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '$');
        (begins && text.chars().all(is_path_char)).then(|| AttrPath(text.to_owned()))
    }

    /// The text, as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a character may stand in an attribute name with its URN. Quotes are left out, so that a
/// path can always be written as a quoted JSON path.
#[must_use]
pub fn is_path_char(it: char) -> bool {
    it.is_alphanumeric() || matches!(it, '-' | '_' | '$' | ':' | '.' | '/' | '#' | '~' | '%' | '+')
}

/// What a path names in the schemas of a resource type.
#[derive(Clone, Debug)]
pub struct Target {
    /// The member of the document that holds the attribute: an extension's URN, or none for the
    /// first level.
    pub extension: Option<String>,
    /// The attribute.
    pub attribute: Arc<Attribute>,
    /// Its sub-attribute, where the path names one.
    pub sub: Option<Arc<Attribute>>,
}

impl Target {
    /// The definition of the values the path ends at.
    #[must_use]
    pub fn leaf(&self) -> &Arc<Attribute> {
        self.sub.as_ref().unwrap_or(&self.attribute)
    }

    /// Whether this is the attribute of this name on the first level of the document.
    #[must_use]
    pub fn is_core(&self, name: &str) -> bool {
        self.extension.is_none() && self.attribute.name == name
    }
}
