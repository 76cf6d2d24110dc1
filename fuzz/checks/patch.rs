//! Any JSON as a PATCH body on a user: what is accepted keeps who the user is, has no secret in it,
//! and could be read back.

use std::sync::LazyLock;

use plumm::scim::identity::{IdentityChanges, Rules, UsernameFormat, primary_email};
use plumm::scim::patch::message::PatchOp;
use plumm::scim::schema::definitions::Definitions;
use plumm::scim::validate::judge_change;
use serde_json::{Map, Value};

static DEFINITIONS: LazyLock<Definitions> =
    LazyLock::new(|| Definitions::builtin(IdentityChanges::Refuse));
static USER: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../user.json")).unwrap());

pub fn check(bytes: &[u8]) {
    let Ok(Value::Object(body)) = serde_json::from_slice(bytes) else {
        return;
    };
    let rules = Rules {
        username_format: UsernameFormat::Email,
        identity_changes: IdentityChanges::Refuse,
        strict: false,
        deactivates: false,
    };
    let user_type = DEFINITIONS.resource_type("User").unwrap();
    let refused = |status: u16| assert!(status == 400 || status == 413, "{status}");
    let patched =
        PatchOp::parse(&body, false).and_then(|it| it.apply(&USER, user_type, rules, &mut 0));
    match patched {
        Err(error) => refused(error.status),
        Ok(patched) => {
            match judge_change(&USER, patched.document, user_type, rules).map(|it| it.document) {
                Err(error) => refused(error.status),
                Ok(after) => {
                    assert_eq!(after["userName"], USER["userName"]);
                    assert_eq!(primary_email(&after), primary_email(&USER));
                    assert!(after["active"].is_boolean() && after["id"] == USER["id"]);
                    assert!(!after.contains_key("password"));
                    let text = Value::Object(after.clone()).to_string();
                    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(after));
                }
            }
        }
    }
}
