//! Any text as the path of a PATCH operation: it is read and resolved, or refused with 400.

use std::sync::LazyLock;

use plumm::scim::identity::IdentityChanges;
use plumm::scim::patch::path::PatchPath;
use plumm::scim::schema::definitions::Definitions;

static DEFINITIONS: LazyLock<Definitions> =
    LazyLock::new(|| Definitions::builtin(IdentityChanges::Refuse));

pub fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match PatchPath::parse(text) {
        Err(error) => assert_eq!(error.status, 400),
        Ok(path) => {
            for resource_type in &DEFINITIONS.resource_types {
                let _ = resource_type.resolve(&path.attribute);
            }
        }
    }
}
