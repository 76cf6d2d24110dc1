//! The definitions of each organisation, kept in memory: the built-in ones, and its own resource
//! types and schemas.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::store::error::Error;
use crate::store::tables::org::{Org, OrgKey};
use crate::store::transaction::Read;

/// What the resource types and schemas of every organisation mean, read once for each change.
#[derive(Debug)]
pub struct DefinitionsCache {
    /// The built-in definitions, for each way an organisation can be set.
    builtin: [(Settings, Arc<Definitions>); 4],
    /// Those of each organisation that has some of its own.
    own: Mutex<HashMap<OrgKey, Entry>>,
}

/// What of an organisation's settings its definitions depend on.
type Settings = (IdentityChanges, bool);

/// The definitions of one organisation, and what they were made from.
#[derive(Debug)]
struct Entry {
    schemas: i64,
    settings: Settings,
    definitions: Arc<Definitions>,
}

impl Default for DefinitionsCache {
    fn default() -> DefinitionsCache {
        let builtin = |changes, strict| {
            let definitions = Definitions::builtin(changes).with_strict(strict);
            ((changes, strict), Arc::new(definitions))
        };
        let (refuse, allow) = (IdentityChanges::Refuse, IdentityChanges::Allow);
        DefinitionsCache {
            builtin: [
                builtin(refuse, false),
                builtin(refuse, true),
                builtin(allow, false),
                builtin(allow, true),
            ],
            own: Mutex::default(),
        }
    }
}

impl DefinitionsCache {
    /// The definitions that every organisation has.
    #[must_use]
    pub fn builtin(&self) -> &Definitions {
        &self.builtin[0].1
    }

    /// The definitions of an organisation: the built-in ones, and its own as they were when their
    /// number of changes was read.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn of(&self, view: &Read, org: &Org) -> Result<Arc<Definitions>, Error> {
        let settings = (org.settings.identity_changes, org.settings.strict);
        let found = self.builtin.iter().find(|(it, _)| *it == settings);
        let builtin = found.map_or(&self.builtin[0].1, |(_, it)| it);
        if org.schemas == 0 {
            return Ok(Arc::clone(builtin));
        }
        let known = |own: &HashMap<OrgKey, Entry>| {
            let found = own.get(&org.key);
            let found = found.filter(|it| (it.schemas, it.settings) == (org.schemas, settings));
            found.map(|it| Arc::clone(&it.definitions))
        };
        if let Some(definitions) = known(&self.own.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(definitions);
        }
        let own = view.definitions(org.key, builtin)?;
        let definitions = own.map_or_else(|| Arc::clone(builtin), Arc::new);
        let made = Arc::clone(&definitions);
        let entry = Entry { schemas: org.schemas, settings, definitions: made };
        self.own.lock().unwrap_or_else(PoisonError::into_inner).insert(org.key, entry);
        Ok(definitions)
    }
}
