//! The members of a group as a request changes them: in the transaction of the change.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, json};

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::render::location;
use crate::scim::changes::Changes;
use crate::scim::error::{Error, quoted};
use crate::scim::filter::condition::Condition;
use crate::scim::filter::matching::value_matches;
use crate::scim::membership::{self, MemberChange};
use crate::scim::schema::name::MEMBERS;
use crate::store::tables::member::{Linked, MemberError};
use crate::store::tables::resource::Stored;
use crate::store::transaction::Write;

/// What became of members, by id. One that was added and removed again was not changed.
#[derive(Default)]
struct MembersChanged {
    order: Vec<String>,
    net: HashMap<String, i64>,
}

impl MembersChanged {
    fn note(&mut self, ids: Vec<String>, by: i64) {
        for id in ids {
            if !self.net.contains_key(&id) {
                self.order.push(id.clone());
            }
            *self.net.entry(id).or_default() += by;
        }
    }

    /// Adds what happened to the changes for the log.
    fn write(&self, changes: &mut Changes) {
        let mut members = Map::new();
        for (name, by) in [("added", 1), ("removed", -1)] {
            let ids = self.order.iter().filter(|it| self.net.get(*it) == Some(&by));
            let ids: Vec<&String> = ids.collect();
            if !ids.is_empty() {
                members.insert(name.to_owned(), json!(ids));
            }
        }
        if !members.is_empty() {
            changes.add(MEMBERS, members.into());
        }
    }
}

/// Changes the members of a group, and says so in the changes for the log. Each member has a new
/// version: its `groups` are other ones.
pub fn change_members(
    context: &Context,
    tx: &Write,
    group: &Stored,
    members: impl IntoIterator<Item = MemberChange>,
    changes: &mut Changes,
) -> Result<(), Failure> {
    let mut changed = MembersChanged::default();
    let mut members = members.into_iter().peekable();
    while let Some(mut it) = members.next() {
        // Several in a row are decided in one pass over the group.
        while let (MemberChange::RemoveWhere(one), Some(MemberChange::RemoveWhere(other))) =
            (&mut it, members.peek())
        {
            *one = Condition::Or(vec![one.clone(), other.clone()]);
            members.next();
        }
        match it {
            MemberChange::Add(ids) => changed.note(add_members(context, tx, group, &ids)?, 1),
            MemberChange::Remove(ids) => changed.note(tx.remove_members(group.seq, &ids)?, -1),
            MemberChange::RemoveWhere(condition) => {
                let meets = |it: &Linked| {
                    let (display, at) = (it.display.as_deref(), location(context, it));
                    let member = membership::member(&it.id, &it.resource_type, display, &at);
                    value_matches(&condition, &member)
                };
                let ids = present(tx, group.seq, meets)?;
                changed.note(tx.remove_members(group.seq, &ids)?, -1);
            }
            MemberChange::Set(mut ids) => {
                // Who was deleted here is still in the identity provider's list: the push of the
                // whole group must not fail over that.
                if !context.strict() && !ids.is_empty() {
                    let deleted = tx.deleted_among(context.principal.org.key, &ids)?;
                    ids.retain(|it| !deleted.contains(it));
                }
                let wanted: HashSet<&String> = ids.iter().collect();
                let gone = present(tx, group.seq, |it| !wanted.contains(&it.id))?;
                changed.note(tx.remove_members(group.seq, &gone)?, -1);
                changed.note(add_members(context, tx, group, &ids)?, 1);
            }
        }
    }
    if changed.order.is_empty() {
        return Ok(());
    }
    let touched = changed.order.iter().filter(|it| changed.net.get(*it).is_some_and(|it| *it != 0));
    tx.touch(context.principal.org.key, &types_with_groups(context), touched)?;
    changed.write(changes);
    Ok(())
}

/// The names of the types whose resources show their groups.
pub fn types_with_groups<'a>(context: &Context<'a>) -> Vec<&'a str> {
    let types = context.definitions.resource_types.iter();
    types.filter(|it| membership::has_groups(it)).map(|it| it.name.as_str()).collect()
}

/// The ids of those members of a group that meet a condition.
fn present(
    tx: &Write,
    group: i64,
    meets: impl Fn(&Linked) -> bool,
) -> Result<Vec<String>, Failure> {
    let members = tx.members(&[group], -1)?.remove(&group).unwrap_or_default();
    Ok(members.into_iter().filter(meets).map(|it| it.id).collect())
}

fn add_members(
    context: &Context,
    tx: &Write,
    group: &Stored,
    ids: &[String],
) -> Result<Vec<String>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let added = tx.add_members(context.principal.org.key, group.seq, ids);
    let added = added.map_err(|it| match it {
        MemberError::Store(error) => Failure::Store(error),
        MemberError::Unknown(ids) => Failure::Scim(unknown_members(&ids)),
    })?;
    if added.contains(&group.id) {
        let detail = format!(
            "The group with the id \"{}\" cannot be a member of itself. Take it out of its \
             members, then push it again.",
            group.id
        );
        return Err(Error::invalid_value(detail).into());
    }
    Ok(added)
}

fn unknown_members(ids: &[String]) -> Error {
    const NAMED_MAX: usize = 5;
    let named: Vec<String> =
        ids.iter().take(NAMED_MAX).map(|it| format!("\"{}\"", quoted(it))).collect();
    let more = ids.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::invalid_value(format!(
        "There is no user or group of this organisation with the id {}{more}, so the members were \
         not changed. Provision these users first, then push the group again.",
        named.join(", ")
    ))
}
