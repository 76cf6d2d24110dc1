//! The life of a group: created, joined, renamed, left, deleted.

use serde_json::Value;

use crate::idp::check::account::Account;
use crate::idp::check::made::Made;
use crate::idp::check::talk::{Talk, id_of, shown, unexpected};
use crate::idp::step::{Fault, Notes};

/// A group that the check has made.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its id at the server.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// The ids of its members, and what they are called.
    members: Vec<(String, String)>,
}

impl Group {
    fn members(&self) -> Vec<(&str, &str)> {
        self.members.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect()
    }
}

/// A new group without members.
pub fn create(talk: &mut Talk<'_>, notes: &mut Notes) -> Result<Group, Fault> {
    let name = format!("plumm-check-{}", talk.mark);
    let answer = talk.ask(notes, &talk.provider.lookup_group(&name))?;
    if matches!(answer.status, 404 | 405 | 501) {
        return Err(Fault::not_there(format!(
            "the server has no groups ({}): leave Push Groups alone",
            answer.status
        )));
    }
    if answer.status != 200 {
        return Err(unexpected(&answer));
    }
    let at = talk.made.len();
    talk.made.push(Made::group(&name));
    let external_id = format!("plumm-check-group-{}", talk.mark);
    let answer = talk.ask(notes, &talk.provider.create_group(&name, &external_id))?;
    if !(200..300).contains(&answer.status) {
        talk.made.remove(at);
        return Err(unexpected(&answer));
    }
    let group = answer.json().unwrap_or_default();
    let Some(id) = id_of(&group).map(str::to_owned) else {
        return Err(Fault::new(
            format!("the answer {} has no `id`", answer.status),
            "answer 201 with the whole group",
        ));
    };
    talk.made[at].id = Some(id.clone());
    let request = talk.provider.lookup_group(&name);
    if !talk.found(notes, &request)?.iter().any(|it| id_of(it) == Some(id.as_str())) {
        return Err(Fault::new(
            "the new group is not found by its displayName",
            "let `displayName eq` find it: a provider that finds no group makes it once more",
        ));
    }
    Ok(Group { id, name, members: Vec::new() })
}

/// These accounts join, one after the other.
pub fn add(
    talk: &mut Talk<'_>,
    notes: &mut Notes,
    group: &mut Group,
    accounts: &[Account],
) -> Result<String, Fault> {
    for it in accounts {
        group.members.push((it.id.clone(), it.person.user_name.clone()));
        let members = group.members();
        let request = talk.provider.add_member(&group.id, &group.name, &it.id, &members);
        talk.done(notes, &request)?;
    }
    is_as_sent(talk, notes, group)?;
    Ok(format!("{} members", group.members.len()))
}

/// It has another name, and its members still.
pub fn rename(talk: &mut Talk<'_>, notes: &mut Notes, group: &mut Group) -> Result<String, Fault> {
    let name = format!("{}-renamed", group.name);
    let request = talk.provider.rename_group(&group.id, &name, &group.members());
    talk.done(notes, &request)?;
    group.name = name;
    is_as_sent(talk, notes, group)?;
    Ok("another name, the same members".to_owned())
}

/// The first leaves, the others stay.
pub fn remove(talk: &mut Talk<'_>, notes: &mut Notes, group: &mut Group) -> Result<String, Fault> {
    if group.members.is_empty() {
        return Err(Fault::not_there("nobody is in the group"));
    }
    let (id, _) = group.members.remove(0);
    let request = talk.provider.remove_member(&group.id, &group.name, &id, &group.members());
    talk.done(notes, &request)?;
    is_as_sent(talk, notes, group)?;
    Ok("one member fewer, the others stay".to_owned())
}

/// It is deleted, and gone.
pub fn delete(talk: &mut Talk<'_>, notes: &mut Notes, group: &Group) -> Result<String, Fault> {
    let answer = talk.ask(notes, &talk.provider.delete_group(&group.id))?;
    if !matches!(answer.status, 200 | 202 | 204) {
        return Err(unexpected(&answer));
    }
    let answer = talk.ask(notes, &talk.provider.read_group(&group.id))?;
    if answer.status != 404 {
        return Err(Fault::new(
            format!("the group was deleted, and is answered {}", answer.status),
            "answer 404 from then on",
        ));
    }
    talk.made.retain(|it| it.id.as_deref() != Some(group.id.as_str()));
    Ok("deleted, and 404 from then on".to_owned())
}

/// Reads the group, and whether it is what was sent.
fn is_as_sent(talk: &mut Talk<'_>, notes: &mut Notes, group: &Group) -> Result<(), Fault> {
    let current = talk.object(notes, &talk.provider.read_group(&group.id))?;
    let name = current.get("displayName").and_then(Value::as_str).unwrap_or_default();
    if name != group.name {
        return Err(Fault::new(
            format!("displayName should be {}, and is {}", group.name, shown(name)),
            "keep it as it was sent",
        ));
    }
    let members = current.get("members").and_then(Value::as_array);
    let found: Vec<&str> = members
        .map(|all| all.iter().filter_map(|it| it.get("value")?.as_str()).collect())
        .unwrap_or_default();
    let missing = group.members.iter().filter(|(id, _)| !found.contains(&id.as_str())).count();
    let extra = found.iter().filter(|id| !group.members.iter().any(|(it, _)| it == *id)).count();
    if missing + extra == 0 {
        return Ok(());
    }
    Err(Fault::new(
        format!(
            "the server answered that it was done, and the members are others: {missing} missing, \
             {extra} too many"
        ),
        "apply what the request says, to the members that it names and to no others",
    ))
}
