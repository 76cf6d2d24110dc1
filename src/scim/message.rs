//! The messages around resources: ListResponse and SearchRequest (RFC 7644 sections 3.4.2 and
//! 3.4.3).

use serde_json::{Map, Value};

use crate::scim::error::Error;
use crate::scim::schema::urn;

/// Judges the `schemas` of a message (RFC 7644 section 3.1). Two maintained clients never send it,
/// and what is meant is known from the endpoint: unless the organisation is set to strict, it may
/// be absent or empty, and `also` says which other URNs are taken.
///
/// # Errors
/// 400 `invalidSyntax` that names the URN to send. `what` begins the sentence: "A search".
pub fn judge_schemas(
    given: Option<&Value>,
    urn: &str,
    also: impl Fn(&str) -> bool,
    what: &str,
    strict: bool,
) -> Result<(), Error> {
    let is_named = |it: &str| it.eq_ignore_ascii_case(urn) || (!strict && also(it));
    let named = match given {
        Some(Value::Array(items)) if !items.is_empty() => {
            items.iter().filter_map(Value::as_str).any(is_named)
        }
        Some(Value::String(it)) if !strict && !says_nothing(it) => is_named(it),
        given => !strict && given.is_none_or(is_empty),
    };
    if named {
        return Ok(());
    }
    Err(Error::invalid_syntax(format!("{what} needs \"schemas\": [\"{urn}\"] in the body.")))
}

/// Whether a value of `schemas` names none: null, `[]`, and what PHP and others make of it.
#[must_use]
pub fn is_empty(schemas: &Value) -> bool {
    match schemas {
        Value::Null => true,
        Value::Array(it) => it.is_empty(),
        Value::String(it) => says_nothing(it),
        _ => false,
    }
}

fn says_nothing(schemas: &str) -> bool {
    matches!(schemas.trim(), "" | "[]")
}

/// Part of a list, as it is answered.
#[derive(Clone, Debug, Default)]
pub struct ListResponse {
    /// How many resources the whole list has, where that is known.
    pub total: Option<i64>,
    /// The place of the first resource in the whole list, from 1; absent in pages by cursor.
    pub start_index: Option<i64>,
    /// Asks for the page behind this one; absent from the last page (RFC 9865).
    pub next_cursor: Option<String>,
    /// Asks for the page before this one; absent from the first page (RFC 9865).
    pub previous_cursor: Option<String>,
    /// How many resources there are.
    pub count: usize,
    /// The resources, which are JSON already, with commas between them.
    pub resources: String,
}

/// What [`ListResponse::to_text`] needs before and behind the resources, mostly, in bytes.
pub const LIST_BYTES: usize = 400;

impl ListResponse {
    /// The message. `Resources` is there also when it is empty: Okta calls anything else "No
    /// results for users returned".
    #[must_use]
    pub fn to_text(self) -> String {
        let count = self.count;
        let mut text = self.beginning(Some(count));
        text.push_str("]}");
        text
    }

    /// The message as far as its first resources, of a page whose length is known behind its last
    /// one: further resources, and then [`ListResponse::ending`], are what follows.
    #[must_use]
    pub fn to_beginning(self) -> String {
        self.beginning(None)
    }

    /// The end of such a page, which has had so many resources.
    #[must_use]
    pub fn ending(count: usize) -> String {
        format!("],\"itemsPerPage\":{count}}}")
    }

    /// It becomes known only behind the resources, and is moved in before them: megabytes of them
    /// must not stand twice.
    fn beginning(self, count: Option<usize>) -> String {
        let mut text = String::with_capacity(LIST_BYTES);
        text.push_str("{\"schemas\":[\"");
        text.push_str(urn::LIST_RESPONSE);
        text.push_str("\"]");
        let mut number = |name: &str, value: i64| text.push_str(&format!(",\"{name}\":{value}"));
        if let Some(total) = self.total {
            number("totalResults", total);
        }
        if let Some(start_index) = self.start_index {
            number("startIndex", start_index);
        }
        if let Some(count) = count {
            number("itemsPerPage", i64::try_from(count).unwrap_or(i64::MAX));
        }
        // Cursors have no character that JSON escapes.
        for (name, cursor) in
            [("previousCursor", &self.previous_cursor), ("nextCursor", &self.next_cursor)]
        {
            if let Some(cursor) = cursor {
                text.push_str(&format!(",\"{name}\":\"{cursor}\""));
            }
        }
        text.push_str(",\"Resources\":[");
        let mut whole = self.resources;
        whole.insert_str(0, &text);
        whole
    }
}

/// What a client asks a list for; in a body, or as the parameters of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchRequest {
    /// The filter.
    pub filter: Option<String>,
    /// The attribute to sort by.
    pub sort_by: Option<String>,
    /// Whether the largest comes first.
    pub descending: bool,
    /// The place of the first resource wanted, from 1.
    pub start_index: i64,
    /// How many resources are wanted.
    pub count: Option<i64>,
    /// The cursor of the page wanted; empty for the first page (RFC 9865).
    pub cursor: Option<String>,
    /// The attributes wanted, with commas.
    pub attributes: Option<String>,
    /// The attributes not wanted, with commas.
    pub excluded_attributes: Option<String>,
}

impl SearchRequest {
    /// Reads a SearchRequest message.
    ///
    /// # Errors
    /// 400 `invalidSyntax` for what is no such message, 400 `invalidValue` for a member of a wrong
    /// type; `invalidCursor` or `invalidCount` where it is one of those that lead through pages.
    pub fn parse(body: &Map<String, Value>, strict: bool) -> Result<SearchRequest, Error> {
        let member = |name: &str| {
            let found = body.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value).filter(|it| !it.is_null())
        };
        judge_schemas(member("schemas"), urn::SEARCH_REQUEST, |_| true, "A search", strict)?;
        let wrong = |name: &str, what: &str| {
            Error::invalid_value(format!("\"{name}\" of a search must be {what}."))
        };
        let text = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(it)) => Ok(Some(it.clone())),
            Some(_) => Err(wrong(name, "text")),
        };
        // A Java client sends numbers as text.
        let read = |text: &str| text.trim().parse::<i64>().ok();
        let number = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(it)) if !strict && it.trim().is_empty() => Ok(None),
            Some(Value::String(it)) if !strict && read(it).is_some() => {
                Ok(read(it).map(|it| it.clamp(i64::MIN / 4, i64::MAX / 4)))
            }
            Some(it) => match it.as_i64().or(it.as_u64().map(|_| i64::MAX)) {
                // Room for one more than this must stay.
                Some(it) => Ok(Some(it.clamp(i64::MIN / 4, i64::MAX / 4))),
                None => Err(wrong(name, "a whole number")),
            },
        };
        let names = |name: &str| match member(name) {
            None => Ok(None),
            Some(Value::String(it)) => Ok(Some(it.clone())),
            Some(Value::Array(items)) => {
                let names = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                let names = names.ok_or_else(|| wrong(name, "an array of attribute names"))?;
                Ok(Some(names.join(",")))
            }
            Some(_) => Err(wrong(name, "an array of attribute names")),
        };
        let order = text("sortOrder")?;
        let cursor = text("cursor").map_err(|it| Error::invalid_cursor(it.detail))?;
        let count = number("count").map_err(|it| wrong_count(it, cursor.is_some()))?;
        Ok(SearchRequest {
            filter: text("filter")?,
            sort_by: text("sortBy")?,
            descending: order.is_some_and(|it| it.trim().eq_ignore_ascii_case("descending")),
            start_index: number("startIndex")?.unwrap_or(1).max(1),
            count,
            cursor,
            attributes: names("attributes")?,
            excluded_attributes: names("excludedAttributes")?,
        })
    }
}

/// What a client is told of a `count` that is no number: where it asks for pages by cursor, RFC
/// 9865 section 2.1 has a keyword of its own.
#[must_use]
pub fn wrong_count(error: Error, by_cursor: bool) -> Error {
    if by_cursor { Error::invalid_count(error.detail) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_list_is_whole() {
        let list = ListResponse { total: Some(0), start_index: Some(1), ..ListResponse::default() };
        let found: Value = serde_json::from_str(&list.to_text()).unwrap();
        let expected = json!({"schemas": [urn::LIST_RESPONSE], "totalResults": 0, "startIndex": 1,
            "itemsPerPage": 0, "Resources": []});
        assert_eq!(found, expected);
    }

    #[test]
    fn a_page_in_parts_is_the_page() {
        let all: Vec<String> = (0..5).map(|i| format!("{{\"a\":{i}}}")).collect();
        let list = |resources: &[String]| ListResponse {
            total: Some(9),
            start_index: Some(3),
            count: resources.len(),
            resources: resources.join(","),
            ..ListResponse::default()
        };
        let whole: Value = serde_json::from_str(&list(&all).to_text()).unwrap();
        for cut in 0..=all.len() {
            let (first, rest) = all.split_at(cut);
            let comma = if cut > 0 && !rest.is_empty() { "," } else { "" };
            let further = format!("{comma}{}", rest.join(","));
            let text = list(first).to_beginning() + &further + &ListResponse::ending(all.len());
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), whole, "{cut}: {text}");
        }
    }

    #[test]
    fn resources_stand_in_their_order() {
        let list = ListResponse {
            total: Some(7),
            next_cursor: Some("n".to_owned()),
            previous_cursor: Some("p".to_owned()),
            count: 2,
            resources: "{\"a\":1},{\"b\":2}".to_owned(),
            ..ListResponse::default()
        };
        let found: Value = serde_json::from_str(&list.to_text()).unwrap();
        let expected = json!({"schemas": [urn::LIST_RESPONSE], "totalResults": 7,
            "itemsPerPage": 2, "previousCursor": "p", "nextCursor": "n",
            "Resources": [{"a": 1}, {"b": 2}]});
        assert_eq!(found, expected);
    }

    #[test]
    fn a_search_request_says_what_a_url_says() {
        let body = json!({"schemas": [urn::SEARCH_REQUEST], "attributes": ["a", "b"],
            "FILTER": "a pr", "sortBy": "a", "sortOrder": "Descending", "startIndex": -3,
            "count": 5, "cursor": "", "excludedAttributes": null});
        let found = SearchRequest::parse(body.as_object().unwrap(), true).unwrap();
        let expected = SearchRequest {
            filter: Some("a pr".to_owned()),
            sort_by: Some("a".to_owned()),
            descending: true,
            start_index: 1,
            count: Some(5),
            cursor: Some(String::new()),
            attributes: Some("a,b".to_owned()),
            excluded_attributes: None,
        };
        assert_eq!(found, expected);
        for (name, value) in [
            ("schemas", json!(["x"])),
            ("FILTER", json!(1)),
            ("count", json!("1")),
            ("startIndex", json!(1.5)),
            ("attributes", json!([1])),
            ("sortBy", json!({})),
        ] {
            let mut wrong = body.clone();
            wrong[name] = value;
            assert_eq!(
                SearchRequest::parse(wrong.as_object().unwrap(), true).unwrap_err().status,
                400
            );
        }
    }
}
