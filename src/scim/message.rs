//! The messages around resources (RFC 7644 section 3.4.2).

use crate::scim::urn;

/// A ListResponse around resources that are JSON already. `Resources` is there also when it is
/// empty: Okta calls anything else "No results for users returned".
#[must_use]
pub fn list_response(total: i64, start_index: i64, resources: &[String]) -> String {
    let length: usize = resources.iter().map(|it| it.len() + 1).sum();
    let mut text = String::with_capacity(length + 160);
    text.push_str("{\"schemas\":[\"");
    text.push_str(urn::LIST_RESPONSE);
    text.push_str(&format!(
        "\"],\"totalResults\":{total},\"startIndex\":{start_index},\"itemsPerPage\":{},\
         \"Resources\":[",
        resources.len()
    ));
    for (i, resource) in resources.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        text.push_str(resource);
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_empty_list_is_whole() {
        let found: Value = serde_json::from_str(&list_response(0, 1, &[])).unwrap();
        let expected = json!({"schemas": [urn::LIST_RESPONSE], "totalResults": 0, "startIndex": 1,
            "itemsPerPage": 0, "Resources": []});
        assert_eq!(found, expected);
    }

    #[test]
    fn resources_stand_in_their_order() {
        let resources = ["{\"a\":1}".to_owned(), "{\"b\":2}".to_owned()];
        let found: Value = serde_json::from_str(&list_response(7, 3, &resources)).unwrap();
        assert_eq!(found["Resources"], json!([{"a": 1}, {"b": 2}]));
        assert_eq!((&found["totalResults"], &found["itemsPerPage"]), (&json!(7), &json!(2)));
    }
}
