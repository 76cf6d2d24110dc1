//! The URNs of RFC 7643 and RFC 7644, and how a URN is told from an attribute name.

/// The schema of a schema (RFC 7643 section 7).
pub const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
/// The schema of a resource type (RFC 7643 section 6).
pub const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// The schema of the service provider's configuration (RFC 7643 section 5).
pub const SERVICE_PROVIDER_CONFIG: &str =
    "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
/// A page of resources (RFC 7644 section 3.4.2).
pub const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// A search in a body (RFC 7644 section 3.4.3).
pub const SEARCH_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// Several operations in one request (RFC 7644 section 3.7).
pub const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The answer to several operations (RFC 7644 section 3.7).
pub const BULK_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// A PATCH request (RFC 7644 section 3.5.2).
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// An error (RFC 7644 section 3.12).
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What the schema URNs of SCIM 1.1 begin with; a client that sends one speaks the older protocol.
pub const SCIM_1_PREFIX: &str = "urn:scim:schemas:";

/// What the URNs of core schemas begin with.
const CORE_PREFIX: &str = "urn:ietf:params:scim:schemas:core:";

/// Whether this member name is a schema URN and not an attribute name: attribute names have no
/// colon (RFC 7643 section 2.1), schema URIs always have one.
#[must_use]
pub fn is_urn(name: &str) -> bool {
    name.contains(':')
}

/// The prefixes of URNs that only RFC 7643 gives a meaning to, in lower case: below one of these, a
/// name that no schema defines is a mistake, and never an extension.
const SCIM_PREFIXES: &[&str] = &[
    CORE_PREFIX,
    "urn:ietf:params:scim:schemas:extension:enterprise:",
    "urn:ietf:params:scim:api:",
    SCIM_1_PREFIX,
];

/// Whether this text begins with a URN that only RFC 7643 and RFC 7644 give a meaning to, or with
/// one of SCIM 1.1.
#[must_use]
pub fn is_of_scim(text: &str) -> bool {
    SCIM_PREFIXES.iter().any(|it| text.get(..it.len()).is_some_and(|t| t.eq_ignore_ascii_case(it)))
}

/// What follows a URN in a text that begins with it: the name of an attribute, or nothing.
///
/// To the letter, a colon stands in between, and the URN is spelled in any letter case. Otherwise
/// dots and slashes are taken for the colon, and colons, dots and slashes within the URN may be
/// doubled, missing or another of them: `urn:…:core:2.0:User.active` can only mean one thing.
#[must_use]
pub fn behind<'a>(text: &'a str, urn: &str, to_the_letter: bool) -> Option<&'a str> {
    if to_the_letter {
        let rest = text.get(urn.len()..)?;
        let same = text[..urn.len()].eq_ignore_ascii_case(urn);
        let rest = if rest.is_empty() { Some("") } else { rest.strip_prefix(':') };
        return rest.filter(|_| same);
    }
    let separates = |it: &char| matches!(it, ':' | '.' | '/');
    let mut rest = text;
    for expected in urn.chars().filter(|it| !separates(it)) {
        rest = rest.trim_start_matches(|it| separates(&it));
        let found = rest.chars().next()?;
        if !found.eq_ignore_ascii_case(&expected) {
            return None;
        }
        rest = &rest[found.len_utf8()..];
    }
    let name = rest.trim_start_matches(|it| separates(&it));
    // A longer word is another URN.
    (rest.is_empty() || name.len() < rest.len()).then_some(name)
}

/// The prefixes of URNs that belong to SCIM or to this program, in lower case.
const RESERVED: &[&str] = &[
    CORE_PREFIX,
    "urn:ietf:params:scim:schemas:extension:enterprise:",
    "urn:ietf:params:scim:api:",
    SCIM_1_PREFIX,
    "urn:plumm:",
];

/// Whether this URN belongs to SCIM or to this program: no schema is registered under it.
#[must_use]
pub fn is_reserved(urn: &str) -> bool {
    let urn = urn.to_ascii_lowercase();
    RESERVED.iter().any(|it| urn.starts_with(it))
}

/// Whether this URN is in the room where RFC 7643 section 10.3.1 registers core schemas.
#[must_use]
pub fn is_of_core(urn: &str) -> bool {
    urn.to_ascii_lowercase().starts_with(CORE_PREFIX)
}

/// Whether a client that errs may take one of these URNs for the other: letter case makes no
/// difference, and colons, dots and slashes are as good as each other.
#[must_use]
pub fn alike(one: &str, other: &str) -> bool {
    behind(one, other, false).is_some_and(str::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

    #[test]
    fn what_stands_behind_a_urn() {
        for (text, letter, lenient) in [
            ("urn:ietf:params:scim:schemas:core:2.0:User:active", Some("active"), Some("active")),
            ("URN:ietf:params:scim:schemas:core:2.0:user:active", Some("active"), Some("active")),
            ("urn:ietf:params:scim:schemas:core:2.0:User", Some(""), Some("")),
            ("urn:ietf:params:scim:schemas:core:2.0:User.active", None, Some("active")),
            ("urn:ietf:params:scim:schemas:core:2.0:User/active", None, Some("active")),
            ("urn:ietf:params:scim:schemas:core:2.0:User::active", Some(":active"), Some("active")),
            ("urn:ietf:params:scim:schemas:core:2.0User:active", None, Some("active")),
            ("urn:ietf:params:scim:schemas:core:2.0.User:name.x", None, Some("name.x")),
            ("urn:ietf:params:scim:schemas:core:2.0:Users:active", None, None),
            ("urn:ietf:params:scim:schemas:core:2.0:Useractive", None, None),
            ("urn:ietf:params:scim:schemas:core:2.0:Group:active", None, None),
            ("userName", None, None),
            ("ü", None, None),
        ] {
            assert_eq!(behind(text, USER, true), letter, "{text}");
            assert_eq!(behind(text, USER, false), lenient, "{text}");
        }
    }

    #[test]
    fn urns_of_scim_are_nobodys_extension() {
        for (text, expected) in [
            ("urn:ietf:params:scim:schemas:core:2.0:Group:displayName", true),
            ("URN:SCIM:schemas:core:1.0:active", true),
            ("urn:ietf:params:scim:schemas:extension:Acme:2.0:User:badge", false),
            ("urn:okta:custom:1.0:user:x", false),
            ("urn:é", false),
        ] {
            assert_eq!(is_of_scim(text), expected, "{text}");
        }
    }
}
