//! Accounts and groups as the application sees them.

use serde_json::{Map, Value, json};

use crate::scim::membership;
use crate::scim::returned::shown;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::name::{ACTIVE, GROUPS, USER_NAME};
use crate::scim::schema::resource_type::ResourceType;
use crate::store::error::Error;
use crate::store::tables::resource::Stored;
use crate::store::transaction::Read;

/// The type of accounts: the one whose resources have a userName.
#[must_use]
pub fn accounts(definitions: &Definitions) -> Option<&ResourceType> {
    definitions.resource_types.iter().find(|it| it.core.attribute(USER_NAME).is_some())
}

/// The groups an account is in, directly or through other groups.
///
/// # Errors
/// Failures of the store.
pub fn groups(tx: &Read, account: i64) -> Result<Value, Error> {
    let found = tx.groups(&[account])?.remove(&account).unwrap_or_default();
    let group = |it: crate::store::tables::member::Linked| {
        let kind = if it.direct { "direct" } else { "indirect" };
        json!({ "id": it.id, "displayName": it.display, "type": kind })
    };
    Ok(found.into_iter().map(group).collect())
}

/// A resource as it is now, deleted or not. Whoever reads `active` alone reads the truth: nobody
/// logs in with a deleted account. The members of a group are left out: they may be very many, and
/// events tell which ones came and went.
///
/// # Errors
/// Failures of the store.
pub fn as_it_is(tx: &Read, resource_type: &ResourceType, stored: &Stored) -> Result<Value, Error> {
    let mut document: Map<String, Value> = stored.parse()?;
    document.remove("schemas");
    if membership::has_groups(resource_type) {
        document.insert(GROUPS.to_owned(), groups(tx, stored.seq)?);
    }
    let mut shown = shown(document, None, resource_type);
    if resource_type.core.attribute(ACTIVE).is_some() {
        let active = stored.deleted.is_none() && shown.get(ACTIVE) == Some(&Value::Bool(true));
        shown.insert(ACTIVE.to_owned(), active.into());
    }
    if let Some(at) = stored.deleted {
        shown.insert("deleted".to_owned(), at.to_string().into());
    }
    Ok(shown.into())
}
