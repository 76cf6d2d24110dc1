//! References to other resources within a value: an id with what the other one is called.

use serde_json::Value;

/// What of a reference says nothing of whom it is to but the id.
const KEPT: [&str; 3] = ["value", "type", "$ref"];

/// Takes the names out of each reference to the resource with this id, at any depth; returns
/// whether there were any.
pub fn forget_names(value: &mut Value, id: &str) -> bool {
    let mut forgot = false;
    match value {
        Value::Array(all) => all.iter_mut().for_each(|it| forgot |= forget_names(it, id)),
        Value::Object(members) => {
            if members.get("value").and_then(Value::as_str) == Some(id) {
                let before = members.len();
                members.retain(|name, _| KEPT.contains(&name.as_str()));
                forgot = members.len() < before;
            }
            members.values_mut().for_each(|it| forgot |= forget_names(it, id));
        }
        _ => {}
    }
    forgot
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_beside_an_id_are_forgotten_and_all_else_stays() {
        let mut value = json!({
            "urn:x": { "before": null, "after": {
                "manager": { "value": "1", "displayName": "Ann", "$ref": "https://x/1" },
                "deputies": [{ "value": "1", "display": "Ann", "type": "User" }, { "value": "2", "display": "Bob" }],
            } },
            "members": { "added": ["1", "2"] },
            "title": { "before": "1", "after": "Ann" },
        });
        assert!(forget_names(&mut value, "1"));
        let expected = json!({
            "urn:x": { "before": null, "after": {
                "manager": { "value": "1", "$ref": "https://x/1" },
                "deputies": [{ "value": "1", "type": "User" }, { "value": "2", "display": "Bob" }],
            } },
            "members": { "added": ["1", "2"] },
            "title": { "before": "1", "after": "Ann" },
        });
        assert_eq!(value, expected);
        assert!(!forget_names(&mut value, "1"));
        assert!(!forget_names(&mut value, "3"));
    }
}
