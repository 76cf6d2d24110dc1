//! A resource type (RFC 7643 section 6): its schemas, and how a name finds its attribute in them.

use std::sync::Arc;

use serde_json::Value;

use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::schema::attribute::{Attribute, Returned, Type, Uniqueness};
use crate::scim::schema::document::Schema;
use crate::scim::schema::urn;

/// What may stand behind a URN, where a client errs.
const SEPARATORS: [char; 3] = [':', '.', '/'];

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
    /// The URNs of schemas that other resource types of the organisation have.
    pub urns_of_other_types: Vec<String>,
    /// Whether names are taken to the letter of RFC 7643 and RFC 7644: an organisation that is set
    /// to strict.
    pub strict: bool,
}

/// What a name means that a client sent, as a key, a path or in a filter.
#[derive(Clone, Debug)]
pub enum Name<'a> {
    /// The resource itself, by the URN of its core schema.
    Core,
    /// A whole extension.
    Extension(&'a Extension),
    /// An attribute or sub-attribute. Below a URN that no schema registers, one of any type.
    Attribute(Target),
    /// Nothing that a schema here defines.
    Unknown,
    /// Nothing that it could mean: a URN of another resource type, or of RFC 7643 itself.
    Misplaced,
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
    #[must_use]
    pub fn resolve(&self, path: &AttrPath) -> Option<Target> {
        match self.name(path.as_str()) {
            Name::Attribute(target) => Some(target),
            Name::Core | Name::Extension(_) | Name::Unknown | Name::Misplaced => None,
        }
    }

    /// What a name means. All names of a request come through here.
    ///
    /// A name without a URN that only an extension defines is found there: Entra ID sends `manager`
    /// that way. Below a URN that no schema here has, every name is an attribute of any type.
    #[must_use]
    pub fn name(&self, text: &str) -> Name<'_> {
        if !urn::is_urn(text) {
            return self.plain_name(text).map_or(Name::Unknown, Name::Attribute);
        }
        let mut known = false;
        if let Some(rest) = urn::behind(text, &self.core.id, self.strict) {
            if rest.is_empty() {
                return if text.ends_with(SEPARATORS) { Name::Unknown } else { Name::Core };
            }
            known = true;
            let found = split_sub_attribute(rest)
                .and_then(|(name, sub)| target(None, self.attribute(name)?, sub));
            if let Some(target) = found {
                return Name::Attribute(target);
            }
        }
        for extension in &self.extensions {
            let schema = &extension.schema;
            let Some(rest) = urn::behind(text, &schema.id, self.strict) else { continue };
            if rest.is_empty() {
                match text.ends_with(SEPARATORS) {
                    true => return Name::Unknown,
                    false => return Name::Extension(extension),
                }
            }
            // A name has no colon: what goes on is another URN, of which this one is the beginning.
            known |= !rest.contains(':');
            let found = split_sub_attribute(rest)
                .and_then(|(name, sub)| target(Some(&schema.id), schema.attribute(name)?, sub));
            if let Some(target) = found {
                return Name::Attribute(target);
            }
        }
        if known {
            return Name::Unknown;
        }
        let of_other_type = self
            .urns_of_other_types
            .iter()
            .any(|it| urn::behind(text, it, self.strict).is_some_and(|rest| !rest.contains(':')));
        if of_other_type || urn::is_of_scim(text) {
            return Name::Misplaced;
        }
        self.unregistered(text).map_or(Name::Unknown, Name::Attribute)
    }

    fn plain_name(&self, text: &str) -> Option<Target> {
        let (name, sub) = split_sub_attribute(text)?;
        if let Some(attribute) = self.attribute(name) {
            return target(None, attribute, sub);
        }
        self.extensions.iter().find_map(|it| {
            let attribute = it.schema.attribute(name)?;
            target(Some(&it.schema.id), attribute, sub)
        })
    }

    /// An attribute below a URN that no schema here has: the last colon ends the URN. Such a URN
    /// ends with the name of a type, and a dot or slash behind that is meant as the colon.
    fn unregistered(&self, text: &str) -> Option<Target> {
        let (mut urn, mut rest) = text.rsplit_once(':')?;
        if !self.strict {
            let joint = rest.find(SEPARATORS).filter(|at| self.is_type(&rest[..*at]));
            if let Some(at) = joint {
                let urn_bytes = text.len() - rest.len() + at;
                (urn, rest) = (&text[..urn_bytes], &rest[at..]);
            }
            urn = urn.trim_end_matches(SEPARATORS);
            rest = rest.trim_start_matches(SEPARATORS);
        }
        let (name, sub) = split_sub_attribute(rest)?;
        // A name begins with a letter (RFC 7643 section 2.1): what ends with `:1.0` is a URN.
        if !urn::is_urn(urn) || !name.starts_with(|it: char| it.is_alphabetic() || it == '$') {
            return None;
        }
        target(Some(urn), &Arc::new(Attribute::untyped(name)), sub)
    }

    /// Whether this is the name of a resource type, in any letter case.
    fn is_type(&self, name: &str) -> bool {
        let others = self.urns_of_other_types.iter().filter(|it| urn::is_of_scim(it));
        let mut others = others.filter_map(|it| it.rsplit(':').next());
        name.eq_ignore_ascii_case(&self.name) || others.any(|it| it.eq_ignore_ascii_case(name))
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

/// `name` or `name.sub`; deeper names do not exist in SCIM (RFC 7643 section 2.3.8).
fn split_sub_attribute(text: &str) -> Option<(&str, Option<&str>)> {
    match text.split_once('.') {
        None => Some((text, None)),
        Some((name, sub)) => (!sub.contains('.')).then_some((name, Some(sub))),
    }
}
