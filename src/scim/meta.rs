//! A resource's metadata (RFC 7643 section 3.1 `meta`) and versions (RFC 7644 section 3.14).

use serde_json::{Value, json};

use crate::scim::datetime::Timestamp;
use crate::scim::error::Error;
use crate::scim::print::{write_joined, write_string};

/// What the server stores of a resource beside its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    /// The name of the resource type.
    pub resource_type: &'a str,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// The URL of the resources of its type, with a trailing slash.
    pub location_base: &'a str,
    /// Its id.
    pub id: &'a str,
    /// How often it has been written; 1 when it is new.
    pub version: i64,
}

impl Meta<'_> {
    /// Where it is: the URL of the resource.
    #[must_use]
    pub fn location(&self) -> String {
        [self.location_base, self.id].concat()
    }

    /// The weak entity tag of this version.
    #[must_use]
    pub fn version_tag(&self) -> String {
        version_tag(self.version)
    }

    /// The `meta` attribute.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "resourceType": self.resource_type,
            "created": self.created.to_string(),
            "lastModified": self.last_modified.to_string(),
            "location": self.location(),
            "version": self.version_tag(),
        })
    }

    /// The text of the `meta` attribute, which every resource of a page has.
    pub fn write(&self, text: &mut String) {
        text.push_str("{\"resourceType\":");
        write_string(text, self.resource_type);
        // Neither times nor versions have anything to escape but the quotes of the tag.
        text.push_str(",\"created\":\"");
        self.created.write(text);
        text.push_str("\",\"lastModified\":\"");
        self.last_modified.write(text);
        text.push_str("\",\"location\":");
        write_joined(text, self.location_base, self.id);
        text.push_str(",\"version\":\"W/\\\"");
        text.push_str(&self.version.to_string());
        text.push_str("\\\"\"}");
    }
}

/// The weak entity tag of a version (RFC 7644 section 3.14).
#[must_use]
pub fn version_tag(version: i64) -> String {
    ["W/\"", &version.to_string(), "\""].concat()
}

/// What a client demands of a resource's version before anything is done (RFC 7644 section 3.14,
/// RFC 9110 section 13.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

impl Tags {
    /// Tags are compared weakly: only the text between the quotes counts. Quotes may be missing.
    fn parse(field: &str) -> Tags {
        let opaque = |tag: &str| {
            let tag = tag.trim();
            tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned()
        };
        match field.trim() {
            "*" => Tags::Any,
            list => Tags::These(list.split(',').map(opaque).collect()),
        }
    }

    fn include(&self, version: i64) -> bool {
        match self {
            Tags::Any => true,
            Tags::These(tags) => tags.contains(&version.to_string()),
        }
    }
}

impl Precondition {
    /// The precondition in the fields `If-Match` and `If-None-Match`.
    #[must_use]
    pub fn new(if_match: Option<&str>, if_none_match: Option<&str>) -> Precondition {
        Precondition {
            if_match: if_match.map(Tags::parse),
            if_none_match: if_none_match.map(Tags::parse),
        }
    }

    /// Whether a client that reads has this version already: the answer is 304.
    #[must_use]
    pub fn has(&self, version: i64) -> bool {
        self.if_none_match.as_ref().is_some_and(|it| it.include(version))
    }

    /// Judges a request to read a resource that has this version now, but for what [`has`] says.
    ///
    /// # Errors
    /// 412 when the client knows another version.
    ///
    /// [`has`]: Precondition::has
    pub fn judge_reading(&self, version: i64) -> Result<(), Error> {
        match self.if_match.as_ref().is_none_or(|it| it.include(version)) {
            true => Ok(()),
            false => Err(other_version(version, "Read it again without If-Match.")),
        }
    }

    /// Judges a change of a resource that has this version now.
    ///
    /// # Errors
    /// 412 when the client knows another version.
    pub fn judge(&self, version: i64) -> Result<(), Error> {
        match self.judge_reading(version).is_ok() && !self.has(version) {
            true => Ok(()),
            false => Err(other_version(version, "Read it again and repeat the change.")),
        }
    }
}

fn other_version(version: i64, remedy: &str) -> Error {
    let now = version_tag(version);
    Error::new(
        412,
        format!(
            "The resource has the version {now} and not the one the request asks for: it was \
             changed in between. {remedy}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions() {
        let judge = |if_match: Option<&str>, if_none_match: Option<&str>| {
            Precondition::new(if_match, if_none_match).judge(7).is_ok()
        };
        assert!(judge(None, None));
        for tags in ["W/\"7\"", "\"7\"", "7", "*", "W/\"6\", W/\"7\""] {
            assert!(judge(Some(tags), None), "{tags}");
            assert!(!judge(None, Some(tags)), "{tags}");
            assert!(Precondition::new(None, Some(tags)).has(7), "{tags}");
        }
        for tags in ["W/\"6\"", "", "W/\"77\"", "seven"] {
            assert!(!judge(Some(tags), None), "{tags}");
            assert!(judge(None, Some(tags)), "{tags}");
        }
        assert_eq!(Precondition::new(Some("1"), None).judge(2).unwrap_err().status, 412);
    }
}
