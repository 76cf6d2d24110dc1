//! The `PATH` of a PATCH operation (RFC 7644 section 3.5.2).

use crate::scim::error::{Error, quoted};
use crate::scim::filter::grammar::{self, Filter};
use crate::scim::filter::path::AttrPath;

/// The `path` of a PATCH operation: `attrPath / valuePath [subAttr]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchPath {
    /// The attribute.
    pub attribute: AttrPath,
    /// The filter in brackets, which selects values of the attribute.
    pub filter: Option<Filter>,
    /// The sub-attribute behind the brackets.
    pub sub: Option<String>,
}

impl PatchPath {
    /// Reads the `path` of a PATCH operation.
    ///
    /// # Errors
    /// 400 `invalidPath` that says what was expected, and where.
    pub fn parse(text: &str) -> Result<PatchPath, Error> {
        let wrong = |why: &str| {
            Error::invalid_path(format!(
                "The path \"{}\" cannot be read: {}. A path looks like displayName, \
                 name.familyName or emails[type eq \"work\"].value.",
                quoted(text),
                why.trim_end_matches('.')
            ))
        };
        let trimmed = text.trim();
        let Some((head, rest)) = trimmed.split_once('[') else {
            let attribute = AttrPath::new(trimmed);
            let attribute = attribute.ok_or_else(|| wrong("it is no attribute name"))?;
            return Ok(PatchPath { attribute, filter: None, sub: None });
        };
        let attribute = AttrPath::new(head.trim_end());
        let attribute = attribute.ok_or_else(|| wrong("there is no attribute before the \"[\""))?;
        // The last bracket closes the filter: one before it may stand inside a quoted value.
        let (inner, tail) =
            rest.rsplit_once(']').ok_or_else(|| wrong("the \"[\" is not closed"))?;
        let filter = grammar::parse(inner).map_err(|it| wrong(&it.detail))?;
        let sub = match tail.trim() {
            "" => None,
            tail => {
                let name = tail.strip_prefix('.').filter(|it| AttrPath::new(it).is_some());
                let plain = name.filter(|it| !it.contains(['.', ':', '[']));
                let why = "behind the \"]\" only a sub-attribute such as .value may follow";
                Some(plain.ok_or_else(|| wrong(why))?.to_owned())
            }
        };
        Ok(PatchPath { attribute, filter: Some(filter), sub })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, attribute: &str, filter: Option<&str>, sub: Option<&str>) {
        let path = PatchPath::parse(text).unwrap();
        assert_eq!(path.attribute.as_str(), attribute);
        assert_eq!(path.filter.map(|it| it.to_string()).as_deref(), filter);
        assert_eq!(path.sub.as_deref(), sub);
    }

    #[test]
    fn paths() {
        check("userName", "userName", None, None);
        check(" name.familyName ", "name.familyName", None, None);
        check("emails[type eq \"work\"].value", "emails", Some("type eq \"work\""), Some("value"));
        check("members[value eq \"a]b\"]", "members", Some("value eq \"a]b\""), None);
        check(
            "roles[primary eq \"True\"].value",
            "roles",
            Some("primary eq \"True\""),
            Some("value"),
        );
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value";
        check(urn, urn, None, None);
        check(
            "urn:x:2.0:User:tags[value eq \"a\"]",
            "urn:x:2.0:User:tags",
            Some("value eq \"a\""),
            None,
        );
    }

    #[test]
    fn wrong_paths_are_refused_with_a_sentence() {
        for text in [
            "",
            "[type eq \"work\"]",
            "emails[",
            "emails[type eq \"work\"",
            "emails[type eq \"work\"]value",
            "emails[type eq \"work\"].a.b",
            "emails[type eq \"work\"].",
            "emails[]",
            "a b",
            "1a",
            "emails\"",
        ] {
            let error = PatchPath::parse(text).unwrap_err();
            assert_eq!(error.status, 400, "{text}");
            assert!(error.detail.contains("cannot be read"), "{text}: {}", error.detail);
        }
    }
}
