//! What commands do, each with its words: a command leaves no line that nobody could tell.

use crate::store::tables::org_erasure::DELETE;
use crate::store::tables::provisioning_log::{ORG, PURGE, RESOURCE_TYPE, SCHEMA, TOKEN, WEBHOOK};

/// A resource, of whatever type.
const RESOURCE: &str = "*";

/// What a command does to one kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed {
    /// The command's own word, as the record has it.
    pub method: &'static str,
    /// The type of the thing, as the record has it; `*` stands for all types of resources.
    pub resource_type: &'static str,
    /// One word for programs.
    pub action: &'static str,
    /// The sentence between who did it and what the thing is called, or what the resource is.
    pub words: &'static str,
}

/// All of them.
pub const DEEDS: &[Deed] = &[
    deed("create", ORG, "created", "created the organisation"),
    deed("set", ORG, "updated", "changed the settings of the organisation"),
    deed("activate", ORG, "activated", "activated provisioning of the organisation"),
    deed("deactivate", ORG, "deactivated", "deactivated provisioning of the organisation"),
    deed("rename", ORG, "renamed", "renamed the organisation"),
    deed(DELETE, ORG, "deleted", "erased an organisation for good, with all it had"),
    deed("create", TOKEN, "created", "created the API token"),
    deed("revoke", TOKEN, "revoked", "revoked the API token"),
    deed("add", SCHEMA, "added", "added the schema"),
    deed("remove", SCHEMA, "removed", "removed the schema"),
    deed("add", RESOURCE_TYPE, "added", "added the resource type"),
    deed("remove", RESOURCE_TYPE, "removed", "removed the resource type"),
    deed("add", WEBHOOK, "added", "added the webhook"),
    deed("rotate", WEBHOOK, "rotated", "gave a new key to the webhook"),
    deed("enable", WEBHOOK, "enabled", "switched on the webhook"),
    deed("disable", WEBHOOK, "disabled", "switched off the webhook"),
    deed("replay", WEBHOOK, "replayed", "had former events sent again to the webhook"),
    deed("remove", WEBHOOK, "removed", "removed the webhook"),
    deed("import", RESOURCE, "created", "imported the"),
    deed("activate", RESOURCE, "reactivated", "reactivated the"),
    deed("deactivate", RESOURCE, "deactivated", "deactivated the"),
    deed("restore", RESOURCE, "restored", "restored the"),
    deed(PURGE, RESOURCE, "purged", "erased for good the"),
];

const fn deed(
    method: &'static str,
    resource_type: &'static str,
    action: &'static str,
    words: &'static str,
) -> Deed {
    Deed { method, resource_type, action, words }
}

impl Deed {
    /// The words, with what a resource is.
    #[must_use]
    pub fn words_for(&self, resource_type: &str) -> String {
        match self.resource_type {
            RESOURCE => format!("{} {}", self.words, resource_type.to_lowercase()),
            _ => self.words.to_owned(),
        }
    }
}

/// What a command did, of all that commands do.
#[must_use]
pub fn find(method: &str, resource_type: &str) -> Option<&'static Deed> {
    let of = |it: &str| DEEDS.iter().find(|deed| deed.method == method && deed.resource_type == it);
    of(resource_type).or_else(|| of(RESOURCE))
}
