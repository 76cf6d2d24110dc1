//! What each identity provider sends, in its own forms: the requests of a conversation.

use serde_json::{Value, json};

use crate::idp::message::Request;
use crate::idp::person::{GROUP, Person, patch_op};

/// The parameter of a tenant URL that has Entra ID keep to the letter of the RFC in PATCH.
pub const ENTRA_FLAG: &str = "aadOptscim062020";
/// How many accounts Okta asks for in one page of an import, and of a lookup.
pub const PAGE: usize = 100;
/// What Okta sends as a password where it does not synchronise them: a random text that means
/// nothing.
const PLACEHOLDER_PASSWORD: &str = "1mz050nq";
/// A further schema of groups that Entra ID names and nobody defines.
const ENTRA_GROUP: &str =
    "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group";

/// An identity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Okta, with an app of one's own: PUT of what the server answered before.
    Okta,
    /// Microsoft Entra ID: PATCH with capitals and texts for truth values.
    Entra,
    /// The same with the flag [`ENTRA_FLAG`] in its tenant URL: PATCH as the RFC has it.
    EntraWithFlag,
}

impl Provider {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Provider::Okta => "Okta",
            Provider::Entra | Provider::EntraWithFlag => "Entra ID",
        }
    }

    /// The header fields of every request, the token's aside.
    #[must_use]
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Provider::Okta => &[
                ("Accept", "application/scim+json"),
                ("Accept-Charset", "utf-8"),
                ("User-Agent", "Okta SCIM Client 1.0.0"),
            ],
            Provider::Entra | Provider::EntraWithFlag => &[
                ("Accept", "application/scim+json"),
                ("User-Agent", "Microsoft Azure AD SCIM provisioning 1.0.0"),
            ],
        }
    }

    /// The further header field of a request with a body.
    #[must_use]
    pub fn content_type(self) -> (&'static str, &'static str) {
        ("Content-Type", "application/scim+json; charset=utf-8")
    }

    /// What an admin clicks to try the credentials: nothing is written. `nobody`: a random text,
    /// which is no name of anybody.
    #[must_use]
    pub fn test_credentials(self, nobody: &str) -> Request {
        match self {
            Provider::Okta => Request::plain("GET", "/Users?startIndex=1&count=2"),
            Provider::Entra | Provider::EntraWithFlag => self.lookup(nobody),
        }
    }

    /// Is there an account of this name?
    #[must_use]
    pub fn lookup(self, user_name: &str) -> Request {
        self.filter("/Users?", "userName", user_name)
    }

    /// Is there a group of this name?
    #[must_use]
    pub fn lookup_group(self, display_name: &str) -> Request {
        let resource = match self {
            Provider::Okta => "/Groups?",
            Provider::Entra | Provider::EntraWithFlag => "/Groups?excludedAttributes=members&",
        };
        self.filter(resource, "displayName", display_name)
    }

    fn filter(self, resource: &str, attribute: &str, value: &str) -> Request {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = encoded(&format!("{attribute} eq \"{value}\""));
        let target = match self {
            Provider::Okta => {
                format!("{resource}filter={filter}&startIndex=1&count={PAGE}")
            }
            // It writes a blank as a plus sign.
            Provider::Entra | Provider::EntraWithFlag => {
                format!("{resource}filter={}", filter.replace("%20", "+"))
            }
        };
        Request::plain("GET", target)
    }

    /// A new account.
    #[must_use]
    pub fn create(self, person: &Person) -> Request {
        let mut body = person.attributes();
        body.insert("active".to_owned(), json!(true));
        match self {
            Provider::Okta => {
                body.insert("locale".to_owned(), json!("en-US"));
                body.insert("groups".to_owned(), json!([]));
                body.insert("password".to_owned(), json!(PLACEHOLDER_PASSWORD));
            }
            Provider::Entra | Provider::EntraWithFlag => {
                body.insert("meta".to_owned(), json!({"resourceType": "User"}));
                body.insert("roles".to_owned(), json!([]));
            }
        }
        Request::with_body("POST", "/Users", &Value::Object(body))
    }

    /// One account by its id.
    #[must_use]
    pub fn read(self, id: &str) -> Request {
        Request::plain("GET", format!("/Users/{}", encoded(id)))
    }

    /// The profile of a person has changed. `current`: the account as the server answered it last;
    /// `before`: the person as it was sent last.
    #[must_use]
    pub fn update(self, id: &str, current: &Value, before: &Person, now: &Person) -> Request {
        let target = format!("/Users/{}", encoded(id));
        let old = before.mapped();
        let changed: Vec<_> = now.mapped().into_iter().filter(|it| !old.contains(it)).collect();
        match self {
            Provider::Okta => Request::with_body("PUT", target, &now.laid_over(current)),
            Provider::Entra => {
                let each = changed.iter();
                let operations: Value = each
                    .map(|it| json!({"op": "Replace", "path": it.path, "value": it.value}))
                    .collect();
                Request::with_body("PATCH", target, &patch_op(&operations))
            }
            Provider::EntraWithFlag => {
                // All in one operation, without a path.
                let value: serde_json::Map<String, Value> =
                    changed.into_iter().map(|it| (it.path.to_owned(), json!(it.value))).collect();
                let operations = json!([{"op": "replace", "value": value}]);
                Request::with_body("PATCH", target, &patch_op(&operations))
            }
        }
    }

    /// The person may log in, or not any more. `current`: the account as the server answered it
    /// last.
    #[must_use]
    pub fn set_active(self, id: &str, current: &Value, active: bool) -> Request {
        let target = format!("/Users/{}", encoded(id));
        let operation = match self {
            Provider::Okta => {
                let mut whole = current.as_object().cloned().unwrap_or_default();
                whole.insert("active".to_owned(), json!(active));
                return Request::with_body("PUT", target, &Value::Object(whole));
            }
            Provider::Entra => {
                let text = if active { "True" } else { "False" };
                json!([{"op": "Replace", "path": "active", "value": text}])
            }
            Provider::EntraWithFlag => {
                json!([{"op": "replace", "path": "active", "value": active}])
            }
        };
        Request::with_body("PATCH", target, &patch_op(&operation))
    }

    /// The same as an app of Okta's catalogue sends it, without a path.
    #[must_use]
    pub fn set_active_by_catalogue(self, id: &str, active: bool) -> Request {
        let operations = json!([{"op": "replace", "value": {"active": active}}]);
        let target = format!("/Users/{}", encoded(id));
        Request::with_body("PATCH", target, &patch_op(&operations))
    }

    /// The account is to be deleted. Okta never sends this; Entra ID does, 30 days after the person
    /// was deleted there.
    #[must_use]
    pub fn delete(self, id: &str) -> Request {
        Request::plain("DELETE", format!("/Users/{}", encoded(id)))
    }

    /// A page of an import.
    #[must_use]
    pub fn page(self, start_index: usize, count: usize) -> Request {
        Request::plain("GET", format!("/Users?startIndex={start_index}&count={count}"))
    }

    /// A new group.
    #[must_use]
    pub fn create_group(self, display_name: &str, external_id: &str) -> Request {
        let body = match self {
            Provider::Okta => {
                json!({"schemas": [GROUP], "displayName": display_name, "members": []})
            }
            Provider::Entra | Provider::EntraWithFlag => json!({
                "schemas": [GROUP, ENTRA_GROUP],
                "externalId": external_id,
                "displayName": display_name,
                "meta": {"resourceType": "Group"},
            }),
        };
        Request::with_body("POST", "/Groups", &body)
    }

    /// One group by its id, its members included.
    #[must_use]
    pub fn read_group(self, id: &str) -> Request {
        Request::plain("GET", format!("/Groups/{}", encoded(id)))
    }

    /// The group has another name. `members`: the ids of its members and what they are called.
    #[must_use]
    pub fn rename_group(self, id: &str, name: &str, members: &[(&str, &str)]) -> Request {
        let operation = match self {
            Provider::Okta => return put_group(id, name, members),
            Provider::Entra => json!([{"op": "Replace", "path": "displayName", "value": name}]),
            Provider::EntraWithFlag => {
                json!([{"op": "replace", "path": "displayName", "value": name}])
            }
        };
        Request::with_body("PATCH", format!("/Groups/{}", encoded(id)), &patch_op(&operation))
    }

    /// Somebody joins a group. `members`: who is in it from then on.
    #[must_use]
    pub fn add_member(self, id: &str, name: &str, who: &str, members: &[(&str, &str)]) -> Request {
        let operation = match self {
            Provider::Okta => return put_group(id, name, members),
            Provider::Entra => {
                json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": who}]}])
            }
            Provider::EntraWithFlag => {
                json!([{"op": "add", "path": "members", "value": [{"value": who}]}])
            }
        };
        Request::with_body("PATCH", format!("/Groups/{}", encoded(id)), &patch_op(&operation))
    }

    /// Somebody leaves a group. `members`: who is in it from then on.
    #[must_use]
    pub fn remove_member(
        self,
        id: &str,
        name: &str,
        who: &str,
        members: &[(&str, &str)],
    ) -> Request {
        let operation = match self {
            Provider::Okta => return put_group(id, name, members),
            Provider::Entra => json!([
                {"op": "Remove", "path": "members", "value": [{"$ref": null, "value": who}]}
            ]),
            Provider::EntraWithFlag => {
                json!([{"op": "remove", "path": format!("members[value eq \"{who}\"]")}])
            }
        };
        Request::with_body("PATCH", format!("/Groups/{}", encoded(id)), &patch_op(&operation))
    }

    /// The group is to be deleted.
    #[must_use]
    pub fn delete_group(self, id: &str) -> Request {
        Request::plain("DELETE", format!("/Groups/{}", encoded(id)))
    }
}

/// Okta sends the whole group, its members included.
fn put_group(id: &str, name: &str, members: &[(&str, &str)]) -> Request {
    let members = members.iter();
    let members: Value =
        members.map(|(value, display)| json!({"value": value, "display": display})).collect();
    let body = json!({"schemas": [GROUP], "id": id, "displayName": name, "members": members});
    Request::with_body("PUT", format!("/Groups/{}", encoded(id)), &body)
}

/// A text as one part of a path or a query (RFC 3986 section 2).
fn encoded(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                whole.push(char::from(byte));
            }
            _ => whole.push_str(&format!("%{byte:02X}")),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_are_written_as_each_provider_writes_them() {
        for (provider, expected) in [
            (
                Provider::Okta,
                "/Users?filter=userName%20eq%20%22o%27%5C%22b%2Bc%40x.org%22&startIndex=1&count=100",
            ),
            (Provider::Entra, "/Users?filter=userName+eq+%22o%27%5C%22b%2Bc%40x.org%22"),
        ] {
            assert_eq!(provider.lookup("o'\"b+c@x.org").target, expected);
        }
        assert_eq!(
            Provider::Entra.lookup_group("A B").target,
            "/Groups?excludedAttributes=members&filter=displayName+eq+%22A+B%22"
        );
    }

    #[test]
    fn an_update_names_what_has_changed() {
        let before = Person {
            user_name: "ann@example.com".to_owned(),
            given_name: "Ann".to_owned(),
            family_name: "Lee".to_owned(),
            title: "Cook".to_owned(),
            department: "Kitchen".to_owned(),
            external_id: "00u1".to_owned(),
        };
        let now = Person { title: "Chef".to_owned(), ..before.clone() };
        let body = |provider: Provider| -> Value {
            let request = provider.update("7", &json!({"id": "7", "x": 1}), &before, &now);
            serde_json::from_str(&request.body.unwrap()).unwrap()
        };
        assert_eq!(
            body(Provider::Entra)["Operations"],
            json!([{"op": "Replace", "path": "title", "value": "Chef"}])
        );
        assert_eq!(
            body(Provider::EntraWithFlag)["Operations"],
            json!([{"op": "replace", "value": {"title": "Chef"}}])
        );
        let put = body(Provider::Okta);
        assert_eq!((&put["x"], &put["title"]), (&json!(1), &json!("Chef")));
    }
}
