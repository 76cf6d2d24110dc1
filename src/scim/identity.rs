//! The product rules about who an account is: its userName, its primary e-mail address, and whether
//! it is active. They hold for every resource type whose core schema has these attributes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::scim::error::{Error, quoted};
use crate::scim::filter::comparison::same;
use crate::scim::schema::name::{ACTIVE, EMAILS, USER_NAME};
use crate::scim::schema::resource_type::ResourceType;

/// The longest e-mail address, in bytes (RFC 5321 section 4.5.3.1: 64 before the `@`, 255 behind
/// it).
pub const EMAIL_BYTES_MAX: usize = 320;

/// What an organisation's usernames must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsernameFormat {
    /// An e-mail address.
    Email,
    /// Any text.
    Any,
}

/// Whether userName and the primary e-mail address may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityChanges {
    /// They are refused.
    Refuse,
    /// They are applied.
    Allow,
}

/// The rules of one organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What usernames must look like.
    pub username_format: UsernameFormat,
    /// Whether userName and the primary e-mail address may change.
    pub identity_changes: IdentityChanges,
    /// Whether what the interoperability profile forbids is refused: attributes that no schema
    /// defines, and PATCH operations without a path.
    pub strict: bool,
}

/// Judges a new account, and makes it active unless the client says otherwise.
///
/// # Errors
/// 400 `invalidValue` for a userName that is not in the organisation's format.
pub fn judge_new(
    document: &mut Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<(), Error> {
    if resource_type.core.attribute(USER_NAME).is_some() {
        judge_format(document, rules)?;
    }
    if resource_type.core.attribute(ACTIVE).is_some() {
        document.entry(ACTIVE).or_insert(Value::Bool(true));
    }
    Ok(())
}

/// Judges a changed account against what it was. What the client left out is kept as it was:
/// `active` always, the e-mail addresses while identity changes are refused.
///
/// userName itself is judged with every other `immutable` attribute, in `validate.rs`.
///
/// # Errors
/// 400 `mutability` for another primary e-mail address, 400 `invalidValue` for a changed userName
/// that is not in the organisation's format.
pub fn judge_change(
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<(), Error> {
    if resource_type.core.attribute(ACTIVE).is_some()
        && !after.contains_key(ACTIVE)
        && let Some(active) = before.get(ACTIVE)
    {
        after.insert(ACTIVE.to_owned(), active.clone());
    }
    if resource_type.core.attribute(USER_NAME).is_some()
        && before.get(USER_NAME) != after.get(USER_NAME)
    {
        judge_format(after, rules)?;
    }
    if resource_type.core.attribute(EMAILS).is_some()
        && rules.identity_changes == IdentityChanges::Refuse
    {
        keep_primary_email(before, after)?;
    }
    Ok(())
}

fn keep_primary_email(
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
) -> Result<(), Error> {
    let Some(old) = primary_email(before) else {
        return Ok(());
    };
    let Some(new) = primary_email(after) else {
        // Absent and null mean: keep.
        if let Some(emails) = before.get(EMAILS) {
            after.insert(EMAILS.to_owned(), emails.clone());
        }
        return Ok(());
    };
    if !same(old, new, false) {
        return Err(email_change_refused(old, Some(new)));
    }
    if old != new {
        // The same address in another letter case is no change: the first spelling stays.
        let old = Value::from(old);
        let elements = after.get_mut(EMAILS).and_then(Value::as_array_mut);
        if let Some(value) = elements.and_then(|it| primary(it)).and_then(|it| it.get_mut("value"))
        {
            *value = old;
        }
    }
    Ok(())
}

fn primary(emails: &mut [Value]) -> Option<&mut Value> {
    let index = emails.iter().position(|it| it["primary"] == true).unwrap_or(0);
    emails.get_mut(index)
}

/// The refusal of another primary e-mail address, or of none.
#[must_use]
pub fn email_change_refused(old: &str, new: Option<&str>) -> Error {
    let what = match new {
        Some(new) => format!("changed from \"{}\" to \"{}\"", quoted(old), quoted(new)),
        None => format!("removed (it is \"{}\")", quoted(old)),
    };
    Error::mutability(format!(
        "The primary email address cannot be {what}: an account keeps the address it was created \
         with, and nothing of this request was applied. In Okta, set the email attribute of this \
         user back, or take it out of the app's attribute mappings. Plumm Support can allow \
         changes for your organisation."
    ))
}

/// The address of the primary entry: the one with `primary: true`, else the first.
#[must_use]
pub fn primary_email(document: &Map<String, Value>) -> Option<&str> {
    let emails = document.get(EMAILS)?.as_array()?;
    let primary = emails.iter().find(|it| it["primary"] == true).or(emails.first())?;
    primary.get("value")?.as_str().filter(|it| !it.is_empty())
}

/// The refusal of another userName.
#[must_use]
pub fn user_name_change_refused(old: &str, new: &str) -> Error {
    let (old, new) = (quoted(old), quoted(new));
    Error::mutability(format!(
        "userName cannot be changed from \"{old}\" to \"{new}\": an account keeps the username it \
         was created with, and nothing of this request was applied. In Okta, set this user's \
         Username for the app back to \"{old}\", or unassign the user and assign a new one. Plumm \
         Support can allow changes for your organisation."
    ))
}

fn judge_format(document: &Map<String, Value>, rules: Rules) -> Result<(), Error> {
    let Some(name) = document.get(USER_NAME).and_then(Value::as_str) else {
        return Ok(());
    };
    if rules.username_format == UsernameFormat::Any && name.trim().is_empty() {
        return Err(Error::invalid_value(
            "userName is empty. Map it in the identity provider's attribute mappings to what \
             names each user.",
        ));
    }
    if rules.username_format == UsernameFormat::Any || is_email_address(name) {
        return Ok(());
    }
    Err(Error::invalid_value(format!(
        "userName \"{}\" is not an email address. In Okta, open the app's Sign On tab and set \
         Application username format to Email, then assign the user again. Plumm Support can allow \
         other usernames for your organisation.",
        quoted(name)
    )))
}

/// Whether this is one e-mail address as identity providers have them: a local part, `@`, and a
/// domain of labels. Comments, display names and address literals are no usernames.
#[must_use]
pub fn is_email_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let local_fits = quoted
        || (!local.is_empty()
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && !local.contains(|it: char| it.is_whitespace() || "\"(),:;<>@[\\]".contains(it)));
    let label_fits = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|it| it == '-' || it == '_' || it.is_alphanumeric())
    };
    text.len() <= EMAIL_BYTES_MAX
        && !text.contains(char::is_control)
        && local_fits
        && domain.split('.').all(label_fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_addresses() {
        for text in [
            "test.user@okta.local",
            "Runscope300Hfluaklab151@atko.com",
            "o'malley+x@example.com",
            "jürgen@müller.example",
            "\"john doe\"@example.com",
            "admin@localhost",
            "a@b-c.d",
        ] {
            assert!(is_email_address(text), "{text}");
        }
        for text in [
            "",
            "bob",
            "bob@",
            "@example.com",
            "a b@example.com",
            "a@b@c",
            "a@b..c",
            "a@.b",
            "a@b.",
            "a..b@c",
            ".a@b",
            "a@-b",
            "a@b c",
            "a\n@b",
            "<a@b>",
            "Bob <a@b.c>",
            "a@b,c@d",
        ] {
            assert!(!is_email_address(text), "{text}");
        }
        assert!(!is_email_address(&format!("{}@b", "a".repeat(EMAIL_BYTES_MAX))));
    }

    #[test]
    fn the_primary_email_is_the_marked_one_or_the_first() {
        let check = |emails: Value, expected: Option<&str>| {
            let document = Map::from_iter([(EMAILS.to_owned(), emails)]);
            assert_eq!(primary_email(&document), expected);
        };
        check(serde_json::json!([{"value": "a"}, {"value": "b", "primary": true}]), Some("b"));
        check(serde_json::json!([{"value": "a"}, {"value": "b"}]), Some("a"));
        check(serde_json::json!([{"type": "work"}]), None);
        check(serde_json::json!([]), None);
    }
}
