//! An attribute and its characteristics (RFC 7643 sections 2.2 and 7).

use std::sync::Arc;

use serde::Deserialize;

/// The data type of an attribute (RFC 7643 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A number with a fraction.
    Decimal,
    /// A whole number.
    Integer,
    /// A point in time, as text.
    DateTime,
    /// base64 text.
    Binary,
    /// A URI.
    Reference,
    /// An object of sub-attributes.
    Complex,
    /// Any JSON value: an attribute below an extension URN that has no schema here.
    #[serde(skip)]
    Any,
}

/// When a value can be set (RFC 7643 section 7 `mutability`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    /// Only the server sets it.
    ReadOnly,
    /// Clients may change it.
    ReadWrite,
    /// Clients may set it once.
    Immutable,
    /// Clients may set it and never see it.
    WriteOnly,
}

/// When a value is part of an answer (RFC 7643 section 7 `returned`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returned {
    /// Always, whatever the client asked for.
    Always,
    /// Never.
    Never,
    /// Unless the client left it out.
    Default,
    /// Only when the client named it.
    Request,
}

/// How far a value must be unique (RFC 7643 section 7 `uniqueness`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uniqueness {
    /// It need not be.
    #[default]
    None,
    /// Within the organisation.
    Server,
    /// Everywhere.
    Global,
}

/// The definition of one attribute or sub-attribute.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attribute {
    /// The name, spelled as answers spell it.
    pub name: String,
    /// The data type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether the value is an array.
    #[serde(default)]
    pub multi_valued: bool,
    /// Whether a resource must have it.
    #[serde(default)]
    pub required: bool,
    /// Whether letter case matters in comparisons.
    #[serde(default)]
    pub case_exact: bool,
    /// When a value can be set.
    pub mutability: Mutability,
    /// When a value is returned.
    pub returned: Returned,
    /// How far a value must be unique.
    #[serde(default)]
    pub uniqueness: Uniqueness,
    /// Values the specification suggests. Clients send others, and those are kept.
    #[serde(default)]
    pub canonical_values: Vec<String>,
    /// The sub-attributes of a complex attribute.
    #[serde(default)]
    pub sub_attributes: Vec<Arc<Attribute>>,
}

impl Attribute {
    /// Whether it, or one of its sub-attributes, keeps its first value.
    #[must_use]
    pub fn has_immutable(&self) -> bool {
        self.mutability == Mutability::Immutable
            || self.sub_attributes.iter().any(|it| it.has_immutable())
    }

    /// An attribute that no schema defines, below an extension URN that is not registered: any
    /// value, compared without letter case, which is the default of RFC 7643 section 2.2.
    #[must_use]
    pub fn untyped(name: &str) -> Attribute {
        Attribute {
            name: name.to_owned(),
            kind: Type::Any,
            multi_valued: false,
            required: false,
            case_exact: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            canonical_values: Vec::new(),
            sub_attributes: Vec::new(),
        }
    }

    /// The sub-attribute of this name, in any letter case (RFC 7643 section 2.1).
    #[must_use]
    pub fn sub_attribute(&self, name: &str) -> Option<&Arc<Attribute>> {
        find(&self.sub_attributes, name)
    }

    /// Whether clients ever see it.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.returned == Returned::Never || self.mutability == Mutability::WriteOnly
    }
}

/// The attribute of this name, in any letter case (RFC 7643 section 2.1).
#[must_use]
pub fn find<'a>(attributes: &'a [Arc<Attribute>], name: &str) -> Option<&'a Arc<Attribute>> {
    attributes.iter().find(|it| it.name.eq_ignore_ascii_case(name))
}
