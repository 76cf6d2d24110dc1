//! A resource type (RFC 7643 section 6): its schemas, and how a name finds its attribute in them.

use std::sync::Arc;

use serde_json::Value;

use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::schema::attribute::{Attribute, Returned, Type, Uniqueness};
use crate::scim::schema::document::Schema;
use crate::scim::schema::urn;

/// An extension of a resource type.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its schema.
    pub schema: Arc<Schema>,
    /// Whether a resource must have it.
    pub required: bool,
}

/// A resource type with the schemas behind it.
#[derive(Clone, Debug)]
pub struct ResourceType {
    /// The name, as in `meta.resourceType`.
    pub name: String,
    /// The last segment of its endpoint, such as `Users`.
    pub endpoint: String,
    /// The core schema.
    pub core: Arc<Schema>,
    /// The extensions.
    pub extensions: Vec<Extension>,
    /// The attributes every resource has (RFC 7643 section 3.1).
    pub common: Arc<Schema>,
    /// The document as it is published, without `meta`.
    pub document: Value,
}

impl ResourceType {
    /// The attribute of this name on the first level of the document: the core schema's, else a
    /// common one.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Arc<Attribute>> {
        self.core.attribute(name).or_else(|| self.common.attribute(name))
    }

    /// The registered extension with this URN, in any letter case.
    #[must_use]
    pub fn extension(&self, urn: &str) -> Option<&Extension> {
        self.extensions.iter().find(|it| it.schema.id.eq_ignore_ascii_case(urn))
    }

    /// The attributes whose value only one resource may have, each with the URN of its extension:
    /// those with one text or whole number.
    pub fn unique_attributes(&self) -> impl Iterator<Item = (Option<&str>, &Arc<Attribute>)> {
        let core = self.core.attributes.iter().map(|it| (None, it));
        let extended = self.extensions.iter().flat_map(|extension| {
            let urn = Some(extension.schema.id.as_str());
            extension.schema.attributes.iter().map(move |it| (urn, it))
        });
        core.chain(extended).filter(|(_, it)| {
            let fits = matches!(it.kind, Type::String | Type::Integer | Type::Reference);
            it.uniqueness != Uniqueness::None && !it.multi_valued && fits && !it.is_secret()
        })
    }

    /// Whether a document may hold what an answer shows only when it is asked for, or never: what
    /// was stored below a URN before it was registered may be a secret by now.
    #[must_use]
    pub fn hides(&self) -> bool {
        let on_request = |it: &Arc<Attribute>| it.returned == Returned::Request;
        let in_answer = self.core.attributes.iter().chain(&self.common.attributes);
        let mut extended = self.extensions.iter().flat_map(|it| &it.schema.attributes);
        in_answer.into_iter().any(|it| on_request(it) || it.sub_attributes.iter().any(on_request))
            || extended.any(|it| {
                let hidden = |it: &Arc<Attribute>| on_request(it) || it.is_secret();
                hidden(it) || it.sub_attributes.iter().any(hidden)
            })
    }

    /// What a path names. `None` when no attribute here has that name.
    ///
    /// A name without a URN that only an extension defines is found there: Entra ID sends `manager`
    /// that way. Below a URN that no schema here has, every name is an attribute of any type.
    #[must_use]
    pub fn resolve(&self, path: &AttrPath) -> Option<Target> {
        let text = path.as_str();
        if !urn::is_urn(text) {
            let (name, sub) = split_sub_attribute(text)?;
            if let Some(attribute) = self.attribute(name) {
                return target(None, attribute, sub);
            }
            return self.extensions.iter().find_map(|it| {
                let attribute = it.schema.attribute(name)?;
                target(Some(&it.schema.id), attribute, sub)
            });
        }
        if let Some(rest) = below(text, &self.core.id) {
            let (name, sub) = split_sub_attribute(rest)?;
            return target(None, self.attribute(name)?, sub);
        }
        for extension in &self.extensions {
            // A name has no colon: what goes on is another URN, of which this one is the beginning.
            if let Some(rest) = below(text, &extension.schema.id).filter(|it| !it.contains(':')) {
                let (name, sub) = split_sub_attribute(rest)?;
                return target(Some(&extension.schema.id), extension.schema.attribute(name)?, sub);
            }
        }
        let (urn, rest) = text.rsplit_once(':')?;
        let (name, sub) = split_sub_attribute(rest)?;
        let registered = self.core.id.eq_ignore_ascii_case(text) || self.extension(text).is_some();
        if registered || !urn::is_urn(urn) || name.is_empty() {
            return None;
        }
        target(Some(urn), &Arc::new(Attribute::untyped(name)), sub)
    }
}

fn target(
    extension: Option<&str>,
    attribute: &Arc<Attribute>,
    sub: Option<&str>,
) -> Option<Target> {
    let sub = match sub {
        None => None,
        Some(name) if attribute.kind == Type::Any => Some(Arc::new(Attribute::untyped(name))),
        Some(name) => Some(Arc::clone(attribute.sub_attribute(name)?)),
    };
    let extension = extension.map(str::to_owned);
    Some(Target { extension, attribute: Arc::clone(attribute), sub })
}

/// The rest of a text that begins with this URN and a colon, the URN in any letter case.
fn below<'a>(text: &'a str, urn: &str) -> Option<&'a str> {
    let head = text.get(..urn.len())?;
    let rest = text.get(urn.len()..)?.strip_prefix(':')?;
    head.eq_ignore_ascii_case(urn).then_some(rest)
}

/// `name` or `name.sub`; deeper names do not exist in SCIM (RFC 7643 section 2.3.8).
fn split_sub_attribute(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once('.') {
        None => Some((text, None)),
        Some((name, sub)) => (!sub.contains('.')).then_some((name, Some(sub))),
    }
}
