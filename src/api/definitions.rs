//! The definitions of each organisation: the built-in ones, and its own schemas, kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::{Org, OrgKey};

/// What the schemas of every organisation mean, read once for each change of them.
#[derive(Debug)]
pub struct DefinitionsCache {
    /// The built-in definitions where identity changes are refused.
    refuse: Arc<Definitions>,
    /// The built-in definitions where they are allowed.
    allow: Arc<Definitions>,
    /// Those of each organisation that has schemas of its own.
    own: Mutex<HashMap<OrgKey, Entry>>,
}

/// The definitions of one organisation, and what they were made from.
#[derive(Debug)]
struct Entry {
    schemas: i64,
    identity_changes: IdentityChanges,
    definitions: Arc<Definitions>,
}

impl Default for DefinitionsCache {
    fn default() -> DefinitionsCache {
        DefinitionsCache {
            refuse: Arc::new(Definitions::builtin(IdentityChanges::Refuse)),
            allow: Arc::new(Definitions::builtin(IdentityChanges::Allow)),
            own: Mutex::default(),
        }
    }
}

impl DefinitionsCache {
    /// The definitions that every organisation has.
    #[must_use]
    pub fn builtin(&self) -> &Definitions {
        &self.refuse
    }

    /// The definitions of an organisation: the built-in ones, and its own schemas as they were when
    /// its number of changes was read.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn of(&self, store: &Store, org: &Org) -> Result<Arc<Definitions>, Error> {
        let identity_changes = org.settings.identity_changes;
        let builtin = match identity_changes {
            IdentityChanges::Refuse => &self.refuse,
            IdentityChanges::Allow => &self.allow,
        };
        if org.schemas == 0 {
            return Ok(Arc::clone(builtin));
        }
        let known = |own: &HashMap<OrgKey, Entry>| {
            let found = own
                .get(&org.key)
                .filter(|it| (it.schemas, it.identity_changes) == (org.schemas, identity_changes));
            found.map(|it| Arc::clone(&it.definitions))
        };
        if let Some(definitions) = known(&self.own.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(definitions);
        }
        let registered = store.read(|tx| tx.schemas(org.key))?;
        let definitions = match registered.as_slice() {
            [] => Arc::clone(builtin),
            registered => {
                let each = registered.iter();
                let each = each.map(|it| (it.resource_type.as_str(), Arc::clone(&it.schema)));
                Arc::new(builtin.with_extensions(each))
            }
        };
        let made = Arc::clone(&definitions);
        let entry = Entry { schemas: org.schemas, identity_changes, definitions: made };
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(org.key, entry);
        Ok(definitions)
    }
}
