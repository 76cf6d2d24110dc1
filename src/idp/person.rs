//! A person of an identity provider: what it knows, and as which attributes it sends it.

use serde_json::{Map, Value, json};

use crate::scim::schema::urn;

/// The URN of the extension for enterprises (RFC 7643 section 4.3).
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// The URN of users (RFC 7643 section 4.1).
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The URN of groups (RFC 7643 section 4.2).
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// A person, as an identity provider knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// `userName`, which is also the e-mail address.
    pub user_name: String,
    /// `name.givenName`.
    pub given_name: String,
    /// `name.familyName`.
    pub family_name: String,
    /// `title`.
    pub title: String,
    /// `department` of the extension for enterprises; without one nothing of the extension is sent.
    pub department: String,
    /// The provider's own id of the person.
    pub external_id: String,
}

/// An attribute that a provider keeps in step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its path in a PATCH.
    pub path: &'static str,
    /// Its place in a document, as a JSON pointer.
    pub pointer: &'static str,
    /// The value that a person has of it.
    pub value: String,
}

/// The path of `department`.
const DEPARTMENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
/// Its place in a document.
const DEPARTMENT_POINTER: &str =
    "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department";

impl Person {
    /// `displayName`.
    #[must_use]
    pub fn display_name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }

    /// The attributes that are kept in step, but for `userName` and the e-mail addresses.
    #[must_use]
    pub fn mapped(&self) -> Vec<Mapped> {
        let mapped = |path, pointer, value: &str| Mapped { path, pointer, value: value.to_owned() };
        let mut all = vec![
            mapped("name.givenName", "/name/givenName", &self.given_name),
            mapped("name.familyName", "/name/familyName", &self.family_name),
            mapped("displayName", "/displayName", &self.display_name()),
            mapped("title", "/title", &self.title),
        ];
        if !self.department.is_empty() {
            all.push(mapped(DEPARTMENT, DEPARTMENT_POINTER, &self.department));
        }
        all
    }

    /// The attributes of a new account that all providers send.
    pub(crate) fn attributes(&self) -> Map<String, Value> {
        let attributes = json!({
            "schemas": [USER],
            "userName": self.user_name,
            "name": {"givenName": self.given_name, "familyName": self.family_name},
            "emails": [{"primary": true, "value": self.user_name, "type": "work"}],
            "displayName": self.display_name(),
            "title": self.title,
            "externalId": self.external_id,
        });
        let Value::Object(mut members) = attributes else { return Map::new() };
        if !self.department.is_empty() {
            members.insert("schemas".to_owned(), json!([USER, ENTERPRISE]));
            members.insert(ENTERPRISE.to_owned(), json!({"department": self.department}));
        }
        members
    }

    /// The object that a server has answered, with what the provider knows laid over it.
    pub(crate) fn laid_over(&self, current: &Value) -> Value {
        let mut whole = current.as_object().cloned().unwrap_or_default();
        for (name, value) in self.attributes() {
            match (whole.get_mut(&name), value) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (_, value) => {
                    whole.insert(name, value);
                }
            }
        }
        Value::Object(whole)
    }
}

/// A PATCH of these operations.
pub(crate) fn patch_op(operations: &Value) -> Value {
    json!({"schemas": [urn::PATCH_OP], "Operations": operations})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answered_comes_back_with_the_person_laid_over_it() {
        let person = Person {
            user_name: "ann@example.com".to_owned(),
            given_name: "Ann".to_owned(),
            family_name: "Lee".to_owned(),
            title: "Cook".to_owned(),
            department: "Kitchen".to_owned(),
            external_id: "00u1".to_owned(),
        };
        let current = json!({
            "id": "7", "title": "Waiter", "nickName": "A",
            "name": {"givenName": "Anne", "middleName": "B"},
        });
        let sent = person.laid_over(&current);
        assert_eq!(
            (&sent["id"], &sent["nickName"], &sent["title"]),
            (&json!("7"), &json!("A"), &json!("Cook"))
        );
        assert_eq!(sent["name"]["middleName"], "B");
        for it in person.mapped() {
            assert_eq!(sent.pointer(it.pointer), Some(&json!(it.value)), "{}", it.path);
        }
    }
}
