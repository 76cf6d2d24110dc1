//! Any text as a filter: it is read or refused with 400, reads the same when it is printed, and can
//! be judged and decided.

use std::sync::LazyLock;

use plumm::scim::filter::condition::Condition;
use plumm::scim::filter::grammar;
use plumm::scim::filter::matching::matches;
use plumm::scim::identity::IdentityChanges;
use plumm::scim::schema::definitions::Definitions;
use serde_json::{Map, Value};

static DEFINITIONS: LazyLock<Definitions> =
    LazyLock::new(|| Definitions::builtin(IdentityChanges::Refuse));
static USER: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../user.json")).unwrap());

pub fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match grammar::parse(text) {
        Err(error) => assert_eq!(error.status, 400),
        Ok(parsed) => {
            assert_eq!(grammar::parse(&parsed.to_string()).unwrap(), parsed);
            for resource_type in &DEFINITIONS.resource_types {
                match Condition::of_resource(&parsed, resource_type) {
                    Err(error) => assert_eq!(error.status, 400),
                    Ok(condition) => {
                        let found = matches(&condition, &USER);
                        let not = Condition::Not(Box::new(condition));
                        assert_ne!(found, matches(&not, &USER));
                    }
                }
            }
        }
    }
}
