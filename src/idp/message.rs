//! A request of an identity provider and its answer, as values.

use std::time::Duration;

use serde_json::Value;

use crate::scim::schema::urn;

/// The media type of SCIM (RFC 7644 section 3.1).
pub const MEDIA_TYPE: &str = "application/scim+json";

/// One request, with nothing left to fill in but the server's URL and the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: &'static str,
    /// What follows the base URL: path and query.
    pub target: String,
    /// The body, where there is one.
    pub body: Option<String>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn plain(method: &'static str, target: impl Into<String>) -> Request {
        Request { method, target: target.into(), body: None }
    }

    /// A request with a body.
    #[must_use]
    pub fn with_body(method: &'static str, target: impl Into<String>, body: &Value) -> Request {
        Request { method, target: target.into(), body: Some(body.to_string()) }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// From the first step of the request to the end of the answer.
    pub took: Duration,
}

impl Answer {
    /// The first header field of this name, in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body, where it is JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The media type, in lower case and without parameters.
    #[must_use]
    pub fn media_type(&self) -> String {
        let whole = self.header("Content-Type").unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether it is a page for people: of a proxy, of a login, of another program.
    #[must_use]
    pub fn is_html(&self) -> bool {
        let start = self.body.trim_ascii_start();
        let begins = |word: &str| {
            start.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()))
        };
        self.media_type() == "text/html" || begins("<!doctype") || begins("<html")
    }

    /// The `detail` of a SCIM Error.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        let json = self.json()?;
        let detail = json.get("detail")?.as_str()?.trim();
        (!detail.is_empty()).then(|| detail.to_owned())
    }

    /// What the RFC wants of every answer, whoever asked what, and this one lacks.
    #[must_use]
    pub fn irregularities(&self) -> Vec<String> {
        let mut found = Vec::new();
        let json = self.json().unwrap_or(Value::Null);
        if has_member(&json, "password") {
            found.push("the answer has a member `password`: no answer may have one".to_owned());
        }
        if !self.body.is_empty() {
            let media_type = self.media_type();
            if media_type != MEDIA_TYPE {
                found.push(format!(
                    "its Content-Type is `{media_type}` and should be `{MEDIA_TYPE}` (RFC 7644 \
                     section 3.1)"
                ));
            }
            if json.is_null() {
                found.push("its body is not JSON".to_owned());
            }
        }
        if self.status >= 400 {
            self.irregularities_of_error(&json, &mut found);
        }
        found
    }

    /// The same of an error (RFC 7644 section 3.12), whose words Okta shows its admin.
    fn irregularities_of_error(&self, json: &Value, found: &mut Vec<String>) {
        let schemas = json.get("schemas").and_then(Value::as_array);
        if !schemas.is_some_and(|it| it.iter().any(|it| it == urn::ERROR)) {
            found.push(format!("it is no SCIM Error: `schemas` lacks `{}`", urn::ERROR));
        }
        if json.get("status") != Some(&Value::String(self.status.to_string())) {
            found.push(format!(
                "it is no SCIM Error: `status` should be the text \"{}\"",
                self.status
            ));
        }
        let detail = json.get("detail").and_then(Value::as_str);
        if detail.is_none_or(|it| it.trim().is_empty()) {
            found
                .push("it is no SCIM Error: it has no `detail` that says what is wrong".to_owned());
        }
    }
}

/// Whether a value has a member of this name anywhere, in any letter case.
#[must_use]
pub fn has_member(json: &Value, name: &str) -> bool {
    match json {
        Value::Object(members) => members
            .iter()
            .any(|(member, value)| member.eq_ignore_ascii_case(name) || has_member(value, name)),
        Value::Array(items) => items.iter().any(|it| has_member(it, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, media_type: &str, body: &str) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".to_owned(), media_type.to_owned())],
            body: body.as_bytes().to_vec(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn what_an_answer_lacks_is_said() {
        let error = |status: &str, detail: &str| {
            format!(r#"{{"schemas":["{}"],"status":{status},"detail":"{detail}"}}"#, urn::ERROR)
        };
        for (answer, expected) in [
            (answer(200, "Application/SCIM+json; charset=utf-8", "{}"), &[][..]),
            (answer(204, "", ""), &[]),
            (answer(404, MEDIA_TYPE, &error("\"404\"", "no such user")), &[]),
            (answer(200, "application/json", "{}"), &["`application/json`"]),
            (answer(200, MEDIA_TYPE, "hello"), &["not JSON"]),
            (answer(200, MEDIA_TYPE, r#"{"a":[{"Password":"x"}]}"#), &["`password`"]),
            (answer(404, MEDIA_TYPE, &error("404", " ")), &["the text \"404\"", "no `detail`"]),
            (answer(500, MEDIA_TYPE, ""), &["`schemas`", "`status`", "`detail`"]),
        ] {
            let found = answer.irregularities();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (it, words) in found.iter().zip(expected) {
                assert!(it.contains(words), "{it}");
            }
        }
    }

    #[test]
    fn a_page_for_people_is_told_from_an_answer() {
        for page in ["\n<!DOCTYPE html><title>x", "<HTML>"] {
            assert!(answer(200, "", page).is_html(), "{page}");
        }
        assert!(answer(200, "text/html; charset=utf-8", "x").is_html());
        assert!(!answer(200, MEDIA_TYPE, "{}").is_html());
    }
}
