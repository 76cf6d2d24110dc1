//! Any text as the path of a PATCH operation: it is read and resolved, or refused with 400.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plumm::scim::definitions::Definitions;
use plumm::scim::identity::IdentityChanges;
use plumm::scim::path::PatchPath;

static DEFINITIONS: LazyLock<Definitions> =
    LazyLock::new(|| Definitions::builtin(IdentityChanges::Refuse));

fuzz_target!(|text: &str| {
    match PatchPath::parse(text) {
        Err(error) => assert_eq!(error.status, 400),
        Ok(path) => {
            for resource_type in &DEFINITIONS.resource_types {
                let _ = resource_type.resolve(&path.attribute);
            }
        }
    }
});
