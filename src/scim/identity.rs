//! The product rules about who an account is: its userName, its primary e-mail address, and whether
//! it is active. Accounts are the resources of every type whose core schema has userName.

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
    /// Whether the request at hand takes login away (it sets `active` to false). Then an identity
    /// that it also changes is kept, and the rest is applied: Entra ID renames every account it
    /// soft-deletes, and a leaver must not stay in because of that.
    pub deactivates: bool,
}

impl Rules {
    /// Whether another identity is passed over, and not refused. To the letter of RFC 7644 section
    /// 3.5.2 it is refused.
    #[must_use]
    pub fn keeps_identity(self) -> bool {
        self.deactivates && !self.strict
    }
}

/// Whether resources of this type are accounts: they have a userName and may log in.
#[must_use]
pub fn is_account(resource_type: &ResourceType) -> bool {
    resource_type.core.attribute(USER_NAME).is_some()
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
    if !is_account(resource_type) {
        return Ok(());
    }
    judge_format(document, rules)?;
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
///
/// Returns what was passed over: names of attributes, each with the value that was asked for.
pub fn judge_change(
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
) -> Result<Map<String, Value>, Error> {
    let mut passed_over = Map::new();
    if !is_account(resource_type) {
        return Ok(passed_over);
    }
    if resource_type.core.attribute(ACTIVE).is_some()
        && !after.contains_key(ACTIVE)
        && let Some(active) = before.get(ACTIVE)
    {
        after.insert(ACTIVE.to_owned(), active.clone());
    }
    if before.get(USER_NAME) != after.get(USER_NAME) {
        if rules.keeps_identity() && is_tombstone(before, after) {
            // Else the old name would be free, and the person's return would meet a stranger.
            let old = before.get(USER_NAME).cloned().unwrap_or_default();
            let asked = after.insert(USER_NAME.to_owned(), old);
            passed_over.extend(asked.map(|it| (USER_NAME.to_owned(), it)));
        } else {
            judge_format(after, rules)?;
        }
    }
    if resource_type.core.attribute(EMAILS).is_some()
        && rules.identity_changes == IdentityChanges::Refuse
    {
        let asked = keep_primary_email(before, after, rules)?;
        passed_over.extend(asked.map(|it| (EMAILS.to_owned(), it)));
    }
    Ok(passed_over)
}

/// Whether the new userName is what Entra ID makes of the old one when it soft-deletes an account:
/// the 32 hexadecimal digits of its object id, and then the old name.
fn is_tombstone(before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    const DIGITS: usize = 32;
    let text = |it: &Map<String, Value>| it.get(USER_NAME)?.as_str().map(str::to_owned);
    let (Some(old), Some(new)) = (text(before), text(after)) else { return false };
    let (Some(digits), Some(rest)) = (new.get(..DIGITS), new.get(DIGITS..)) else { return false };
    digits.bytes().all(|it| it.is_ascii_hexdigit()) && same(rest, &old, false)
}

/// Keeps the effective e-mail address. Returns the one that was asked for, where that was passed
/// over.
fn keep_primary_email(
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
    rules: Rules,
) -> Result<Option<Value>, Error> {
    // Most changes are of something else.
    if before.get(EMAILS) == after.get(EMAILS) {
        return Ok(None);
    }
    let Some(old) = primary_email(before) else {
        return Ok(None);
    };
    let Some(new) = primary_email(after) else {
        // Absent and null mean: keep.
        if let Some(emails) = before.get(EMAILS) {
            after.insert(EMAILS.to_owned(), emails.clone());
        }
        return Ok(None);
    };
    let kept = same(old, new, false);
    if !kept && !rules.keeps_identity() {
        return Err(email_change_refused(old, Some(new)));
    }
    if old == new {
        return Ok(None);
    }
    let asked = (!kept).then(|| Value::from(new));
    let entry = entries(before).and_then(|it| effective(it).map(|i| it[i].clone()));
    let (old, entry) = (old.to_owned(), entry.unwrap_or_default());
    let Some(Value::Array(emails)) = after.get_mut(EMAILS) else { return Ok(None) };
    let Some(index) = effective(emails) else { return Ok(None) };
    if kept {
        // The same address in another letter case is no change: the first spelling stays.
        emails[index]["value"] = old.into();
        return Ok(None);
    }
    // The entry as it was stands in the place of the one that would replace it.
    let is_old = |it: &Value| it["value"].as_str().is_some_and(|it| same(it, &old, false));
    emails[index] = entry;
    let mut i = 0;
    emails.retain(|it| {
        i += 1;
        i - 1 == index || !is_old(it)
    });
    if primary_email(after) != Some(&old)
        && let Some(Value::Array(emails)) = after.get_mut(EMAILS)
        && let Some(entry) = emails.iter_mut().find(|it| is_old(it))
    {
        entry["primary"] = true.into();
    }
    Ok(asked)
}

fn entries(document: &Map<String, Value>) -> Option<&Vec<Value>> {
    document.get(EMAILS)?.as_array()
}

/// The entry whose address is the account's: of those that have a value, the one that is marked
/// `primary`, else the first.
fn effective(emails: &[Value]) -> Option<usize> {
    let has_value = |it: &Value| it["value"].as_str().is_some_and(|it| !it.is_empty());
    let marked = emails.iter().position(|it| it["primary"] == true && has_value(it));
    marked.or_else(|| emails.iter().position(has_value))
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

/// The account's address: that of the entry with `primary: true`, else of the first one; an entry
/// without a value is none.
#[must_use]
pub fn primary_email(document: &Map<String, Value>) -> Option<&str> {
    let emails = entries(document)?;
    emails[effective(emails)?]["value"].as_str()
}

/// The refusal of another userName.
#[must_use]
pub fn user_name_change_refused(old: &str, new: &str) -> Error {
    if new != new.trim() && same(new.trim(), old, false) {
        return blank_at_an_end(new);
    }
    let (old, new) = (quoted(old), quoted(new));
    Error::mutability(format!(
        "userName cannot be changed from \"{old}\" to \"{new}\": an account keeps the username it \
         was created with, and nothing of this request was applied. In Okta, set this user's \
         Username for the app back to \"{old}\", or unassign the user and assign a new one. Plumm \
         Support can allow changes for your organisation."
    ))
}

fn blank_at_an_end(name: &str) -> Error {
    Error::invalid_value(format!(
        "userName \"{}\" begins or ends with a blank. Take the blank away where the identity \
         provider has the username, then send it again.",
        quoted(name)
    ))
}

fn judge_format(document: &Map<String, Value>, rules: Rules) -> Result<(), Error> {
    let Some(name) = document.get(USER_NAME).and_then(Value::as_str) else {
        return Ok(());
    };
    let any = rules.username_format == UsernameFormat::Any;
    if name != name.trim() && !name.trim().is_empty() {
        return Err(blank_at_an_end(name));
    }
    if any && name.trim().is_empty() {
        return Err(Error::invalid_value(
            "userName is empty. Map it in the identity provider's attribute mappings to what \
             names each user.",
        ));
    }
    if any || is_email_address(name) {
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
        check(serde_json::json!([{"type": "work", "primary": true}, {"value": "b"}]), Some("b"));
        check(serde_json::json!([{"value": ""}, {"value": "b"}]), Some("b"));
        check(serde_json::json!([]), None);
    }
}
