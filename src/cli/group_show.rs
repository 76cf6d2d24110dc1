//! `plumm group show`: one group, who is in it, and its last changes.

use serde_json::{Value, json};

use crate::activity::Entry;
use crate::activity::story;
use crate::cli::session::{Answer, Session};
use crate::cli::story::{LAST_MAX, under_a_head};
use crate::cli::text::{printable, quoted, table};
use crate::store::error::Error;
use crate::store::query::story::{About, Wanted};
use crate::store::tables::member::{Linked, Names};
use crate::store::tables::org::Org;
use crate::store::tables::resource::Stored;
use crate::store::transaction::Read;

/// What is shown of a group, read in one view of the database.
#[derive(Debug)]
pub struct Group {
    org: Org,
    stored: Stored,
    name: String,
    external_id: Option<String>,
    /// How many direct members it has.
    count: usize,
    /// The first of them, in order of creation, each with its names.
    members: Vec<(Linked, Names)>,
    /// The groups that it is in.
    groups: Vec<Linked>,
    /// The newest first.
    history: Vec<Entry>,
}

impl Group {
    /// Reads what is shown, with no more members than `most`.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn read(read: &Read, org: Org, stored: Stored, most: usize) -> Result<Group, Error> {
        let document = stored.parse()?;
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let linked = read.members(&[stored.seq], limit)?.remove(&stored.seq).unwrap_or_default();
        let ids: Vec<&str> = linked.iter().map(|it| it.id.as_str()).collect();
        let mut names = read.names(org.key, &ids)?;
        let members = linked.into_iter().map(|it| {
            let names = names.remove(&it.id).unwrap_or_default();
            (it, names)
        });
        let wanted = Wanted {
            org: Some(org.key),
            about: Some(About::resource(&stored.id, None)),
            ..Wanted::default()
        };
        Ok(Group {
            members: members.collect(),
            count: read.count_members(&[stored.seq])?,
            groups: read.groups(&[stored.seq])?.remove(&stored.seq).unwrap_or_default(),
            history: story::last(read, &wanted, LAST_MAX)?,
            name: text("displayName").unwrap_or_default(),
            external_id: text("externalId"),
            org,
            stored,
        })
    }

    /// What the command answers.
    #[must_use]
    pub fn answer(&self, session: &Session) -> Answer {
        let stored = &self.stored;
        let json = json!({
            "id": stored.id,
            "displayName": self.name,
            "externalId": self.external_id,
            "created": stored.created.to_string(),
            "lastModified": stored.last_modified.to_string(),
            "deleted": stored.deleted.map(|it| it.to_string()),
            "membersTotal": self.count,
            "members": self.members.iter().map(member).collect::<Vec<_>>(),
            "groups": self.groups.iter().map(group).collect::<Vec<_>>(),
            "history": self.history.iter().map(Entry::to_json).collect::<Vec<_>>(),
        });
        let mut text = format!(
            "Name          {}\n\
             Id            {}\n\
             Created       {}\n\
             Last changed  {}\n",
            printable(&self.name),
            stored.id,
            stored.created,
            stored.last_modified,
        );
        if let Some(at) = stored.deleted {
            text += &format!("Deleted       {at}\n");
        }
        if !self.groups.is_empty() {
            let named = |it: &Linked| {
                let name = printable(it.display.as_deref().unwrap_or(&it.id));
                if it.direct { name } else { format!("{name} (through a group)") }
            };
            let groups: Vec<String> = self.groups.iter().map(named).collect();
            text += &format!("In groups     {}\n", groups.join(", "));
        }
        let groups = self.members.iter().filter(|(it, _)| it.resource_type == "Group").count();
        let nested = match groups {
            0 => String::new(),
            1 => ", 1 of those below a group".to_owned(),
            n => format!(", {n} of those below groups"),
        };
        text += &format!("Members       {}{nested}\n", self.count);
        if !self.members.is_empty() {
            let rows = self
                .members
                .iter()
                .map(|(it, names)| [called(it, names), it.resource_type.clone(), it.id.clone()]);
            text += &format!("\n{}", table(["MEMBER", "TYPE", "ID"], rows));
        }
        if self.count > self.members.len() {
            let show = format!("group show {} {}", quoted(&self.org.name), stored.id);
            text += &format!(
                "\n{} more are not shown. `{}` shows all.\n",
                self.count - self.members.len(),
                session.command(&format!("{show} --limit {}", self.count)),
            );
        }
        text += &under_a_head(&self.history);
        Answer { json, text }
    }
}

/// A person by its userName, anything else by its displayName.
fn called(member: &Linked, names: &Names) -> String {
    let name = names.user_name.clone().or_else(|| member.display.clone());
    name.unwrap_or_else(|| member.id.clone())
}

fn member((member, names): &(Linked, Names)) -> Value {
    json!({
        "id": member.id,
        "type": member.resource_type,
        "userName": names.user_name,
        "displayName": member.display,
    })
}

fn group(it: &Linked) -> Value {
    let kind = if it.direct { "direct" } else { "indirect" };
    json!({ "id": it.id, "displayName": it.display, "type": kind })
}
