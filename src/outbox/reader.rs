//! Lines of the provisioning log become events, each with the account or group it is about.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::events::{By, Event, Kind, Line, Now, Subject, events};
use crate::outbox::account::as_it_is;
use crate::scim::returned::shown;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::name::{GROUPS, MEMBERS, USER_NAME};
use crate::scim::schema::resource_type::ResourceType;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::{CLI, Logged, ORG};
use crate::store::tables::resource;
use crate::store::transaction::Read;

/// What a member takes in an event and on the way there, in bytes.
const MEMBER_BYTES: usize = 512;

/// Reads the events of lines of one organisation, in one view of the database.
pub struct Reader<'a, E> {
    tx: &'a Read<'a>,
    org: OrgKey,
    definitions: &'a Definitions,
    /// Asked before much memory is taken, with the number of bytes.
    charge: &'a dyn Fn(usize) -> Result<(), E>,
    /// Accounts and groups as they are now, by their ids.
    now: HashMap<String, Value>,
}

impl<'a, E: From<Error>> Reader<'a, E> {
    /// A reader of lines of this organisation.
    pub fn new(
        tx: &'a Read<'a>,
        org: OrgKey,
        definitions: &'a Definitions,
        charge: &'a dyn Fn(usize) -> Result<(), E>,
    ) -> Reader<'a, E> {
        Reader { tx, org, definitions, charge, now: HashMap::new() }
    }

    /// The events of a line, in their order, as the application reads them.
    ///
    /// # Errors
    /// What `charge` returns, and failures of the store.
    pub fn events(&mut self, logged: &Logged) -> Result<Vec<(Kind, Value)>, E> {
        let subject = match logged.resource_type.as_str() {
            ORG => Some(Subject::Provisioning),
            other => Subject::of(other, self.definitions),
        };
        let Some(subject) = subject else { return Ok(Vec::new()) };
        let by = match logged.actor.as_str() {
            CLI => By::Command,
            token => By::Token(token, logged.label.as_deref().unwrap_or_default()),
        };
        let line = Line { sequence: logged.seq, time: logged.time, by };
        let found = events(subject, &logged.method, &logged.changes);
        let mut told = Vec::with_capacity(found.len());
        for (i, event) in found.into_iter().enumerate() {
            let resource_type = self.definitions.resource_type(&logged.resource_type);
            let id = logged.resource.as_str();
            let now = match (subject, resource_type) {
                (Subject::Provisioning, _) | (_, None) => None,
                (Subject::User, Some(it)) => Some(Now::User(id, self.now(it, id)?)),
                (Subject::Group, Some(it)) => Some(Now::Group(id, self.now(it, id)?)),
            };
            let event = Event { changed: self.changed(event.changed, resource_type)?, ..event };
            told.push((event.kind, line.to_json(i, event, now)));
        }
        Ok(told)
    }

    /// An account or group as it is now; null once it is purged.
    fn now(&mut self, resource_type: &ResourceType, id: &str) -> Result<Value, E> {
        if let Some(known) = self.now.get(id) {
            return Ok(known.clone());
        }
        let name = &resource_type.name;
        let kind = resource::Kind { org: self.org, resource_type: name, location_base: "" };
        let now = match self.tx.resource_or_deleted(kind, id)? {
            Some(it) => as_it_is(self.tx, resource_type, &it)?,
            None => Value::Null,
        };
        self.now.insert(id.to_owned(), now.clone());
        Ok(now)
    }

    /// What changed, as the application may read it: nothing that is shown to nobody, and members
    /// and groups with the names they have.
    fn changed(
        &self,
        changed: Map<String, Value>,
        resource_type: Option<&ResourceType>,
    ) -> Result<Map<String, Value>, E> {
        let mut told = match resource_type {
            Some(it) if it.hides() => without_hidden(&changed, it),
            _ => changed,
        };
        for (name, names_users) in [(MEMBERS, true), (GROUPS, false)] {
            for way in ["added", "removed"] {
                let Some(Value::Array(ids)) = told.get_mut(name).and_then(|it| it.get_mut(way))
                else {
                    continue;
                };
                *ids = self.named(ids, names_users)?;
            }
        }
        Ok(told)
    }

    /// Members or groups by their ids, each with the name it has, unless it was purged.
    fn named(&self, ids: &[Value], names_users: bool) -> Result<Vec<Value>, E> {
        (self.charge)(ids.len().saturating_mul(MEMBER_BYTES))?;
        let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
        let mut names = self.tx.names(self.org, &ids)?;
        let named = |id: &&str| {
            let mut named = json!({ "id": id });
            let of = names.remove(*id).unwrap_or_default();
            match of.user_name {
                Some(it) if names_users => named[USER_NAME] = it.into(),
                _ => named["displayName"] = of.display.into(),
            }
            named
        };
        Ok(ids.iter().map(named).collect())
    }
}

/// Changes without those of attributes that SCIM shows to nobody, or only to who asks for them.
fn without_hidden(
    changed: &Map<String, Value>,
    resource_type: &ResourceType,
) -> Map<String, Value> {
    let side = |when: &str| {
        let values =
            changed.iter().filter_map(|(name, it)| Some((name.clone(), it.get(when)?.clone())));
        shown(values.collect(), None, resource_type)
    };
    let (before, after) = (side("before"), side("after"));
    let mut kept = Map::new();
    for (name, it) in changed {
        let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
        let (before, after) = (value(&before), value(&after));
        if it.get("before").is_none() {
            kept.insert(name.clone(), it.clone());
        } else if before != after {
            kept.insert(name.clone(), json!({ "before": before, "after": after }));
        }
    }
    kept
}
