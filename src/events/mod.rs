//! What a change means to the application: from a line of the provisioning log to named events.
//!
//! Each event has one meaning, so that an application can act on the ones it knows by their names
//! alone. A change that does two things is two events, in the order of [`Kind`].

pub mod webhook;

use serde_json::{Map, Value, json};

use crate::scim::datetime::Timestamp;
use crate::scim::membership;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::name::{ACTIVE, MEMBERS, USER_NAME};

/// Where a line says what was asked for and not done: nothing has changed there.
const PASSED_OVER: &str = "passedOver";
/// Where a line says how much was left out of it: in the place of an attribute's values, or, where
/// attributes themselves were left out, beside the others.
const LEFT_OUT: &str = "leftOut";
/// What is the same in every resource of a type, or stands beside the changes of an event.
const NOT_TOLD: [&str; 2] = ["id", "schemas"];

/// What a line is about, as far as events speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An account.
    User,
    /// A group.
    Group,
    /// The organisation itself.
    Provisioning,
}

impl Subject {
    /// What resources of this type are to the application; `None` for a type that an organisation
    /// has registered for itself.
    #[must_use]
    pub fn of(resource_type: &str, definitions: &Definitions) -> Option<Subject> {
        let mut types = definitions.resource_types.iter();
        let accounts = types.find(|it| it.core.attribute(USER_NAME).is_some());
        let mut types = definitions.resource_types.iter();
        let groups = types.find(|it| membership::has_members(it));
        if accounts.is_some_and(|it| it.name == resource_type) {
            return Some(Subject::User);
        }
        groups.is_some_and(|it| it.name == resource_type).then_some(Subject::Group)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An account is there for the first time.
    UserCreated,
    /// An account may not log in any more.
    UserDeactivated,
    /// An account may log in again.
    UserReactivated,
    /// An account has another profile.
    UserUpdated,
    /// An account is gone for SCIM and for login; support can bring it back.
    UserDeleted,
    /// A deleted account is back.
    UserRestored,
    /// An account is erased for good.
    UserPurged,
    /// A group is there for the first time.
    GroupCreated,
    /// A group has another name, or other attributes.
    GroupUpdated,
    /// Somebody came into a group or left it.
    GroupMembersChanged,
    /// A group is gone.
    GroupDeleted,
    /// Provisioning was switched on.
    ProvisioningActivated,
    /// Provisioning was switched off.
    ProvisioningDeactivated,
}

impl Kind {
    /// Every kind with its name.
    pub const ALL: [(Kind, &'static str); 13] = [
        (Kind::UserCreated, "user.created"),
        (Kind::UserDeactivated, "user.deactivated"),
        (Kind::UserReactivated, "user.reactivated"),
        (Kind::UserUpdated, "user.updated"),
        (Kind::UserDeleted, "user.deleted"),
        (Kind::UserRestored, "user.restored"),
        (Kind::UserPurged, "user.purged"),
        (Kind::GroupCreated, "group.created"),
        (Kind::GroupUpdated, "group.updated"),
        (Kind::GroupMembersChanged, "group.members_changed"),
        (Kind::GroupDeleted, "group.deleted"),
        (Kind::ProvisioningActivated, "provisioning.activated"),
        (Kind::ProvisioningDeactivated, "provisioning.deactivated"),
    ];

    /// The name, as the application reads it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(it, _)| *it == self).map_or("", |(_, name)| name)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// What changed, as the line has it: attributes with their values before and after; of members
    /// and groups the ids that were added and removed. Empty where the line was erased.
    pub changed: Map<String, Value>,
    /// Whether that is not the whole of it: the line was too long to be kept as it was.
    pub incomplete: bool,
}

impl Event {
    fn new(kind: Kind, mut changed: Map<String, Value>) -> Event {
        let attributes = changed.get(LEFT_OUT).is_some_and(|it| it.get("names").is_some());
        if attributes {
            changed.remove(LEFT_OUT);
        }
        let values = changed.values().any(|it| it.get(LEFT_OUT).is_some());
        Event { kind, changed, incomplete: attributes || values }
    }
}

/// The events of a line with this method, or command, and these changes; none for a line that means
/// nothing to an application.
#[must_use]
pub fn events(subject: Subject, method: &str, changes: &Map<String, Value>) -> Vec<Event> {
    let told = |it: &str| it != PASSED_OVER && !NOT_TOLD.contains(&it);
    let changed = changes.iter().filter(|(name, _)| told(name));
    let changed: Map<String, Value> =
        changed.map(|(name, it)| (name.clone(), it.clone())).collect();
    match subject {
        Subject::User => of_user(method, changed),
        Subject::Group => of_group(method, changed),
        Subject::Provisioning => match method {
            "activate" => vec![Event::new(Kind::ProvisioningActivated, changed)],
            "deactivate" => vec![Event::new(Kind::ProvisioningDeactivated, changed)],
            _ => Vec::new(),
        },
    }
}

fn of_user(method: &str, mut changed: Map<String, Value>) -> Vec<Event> {
    let whole = match method {
        "POST" | "import" => Some(Kind::UserCreated),
        "DELETE" => Some(Kind::UserDeleted),
        "restore" => Some(Kind::UserRestored),
        "purge" => Some(Kind::UserPurged),
        _ => None,
    };
    if let Some(kind) = whole {
        return vec![Event::new(kind, changed)];
    }
    // No value is no permission, so a change between false and none takes nothing away.
    let login = |when: &str| changed.get(ACTIVE).map(|it| it[when] == true);
    let login = match (login("before"), login("after")) {
        (Some(true), Some(false)) => Some(Kind::UserDeactivated),
        (Some(false), Some(true)) => Some(Kind::UserReactivated),
        _ => None,
    };
    let of_login = login.map(|kind| Event::new(kind, taken(&mut changed, ACTIVE)));
    // A line whose changes were erased still says that there was one.
    let rest =
        (of_login.is_none() || !changed.is_empty()).then(|| Event::new(Kind::UserUpdated, changed));
    of_login.into_iter().chain(rest).collect()
}

fn of_group(method: &str, mut changed: Map<String, Value>) -> Vec<Event> {
    if method == "DELETE" {
        return vec![Event::new(Kind::GroupDeleted, changed)];
    }
    let members = changed.contains_key(MEMBERS);
    let of_members =
        members.then(|| Event::new(Kind::GroupMembersChanged, taken(&mut changed, MEMBERS)));
    let rest = match method {
        "POST" => Some(Kind::GroupCreated),
        _ if of_members.is_none() || !changed.is_empty() => Some(Kind::GroupUpdated),
        _ => None,
    };
    let rest = rest.map(|kind| Event::new(kind, changed));
    rest.into_iter().chain(of_members).collect()
}

/// Takes one of the changes out, as changes of their own.
fn taken(changes: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    changes.remove_entry(name).into_iter().collect()
}

/// Who made a change.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// Support, with a command.
    Command,
    /// A client, with the API token of this public id, which support has given this label.
    Token(&'a str, &'a str),
}

/// What an event is about, by its id, as it is now; null once it is purged.
#[derive(Clone, Debug)]
pub enum Now<'a> {
    /// An account.
    User(&'a str, Value),
    /// A group.
    Group(&'a str, Value),
}

/// What the events of one line have in common.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Its number.
    pub sequence: i64,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub by: By<'a>,
}

impl Line<'_> {
    /// The `index`th event of this line as the application reads it. `now` is the account or group
    /// as it is now, with its id, which stays when it is purged; nothing where the event is about
    /// neither.
    #[must_use]
    pub fn to_json(&self, index: usize, event: Event, now: Option<Now>) -> Value {
        let mut json = json!({
            "id": format!("evt_{}_{index}", self.sequence),
            "sequence": self.sequence,
            "type": event.kind.name(),
            "time": self.time.to_string(),
            "by": match self.by {
                By::Command => json!({"kind": "command"}),
                By::Token(id, label) => json!({"kind": "token", "id": id, "label": label}),
            },
        });
        match now {
            Some(Now::User(id, user)) => {
                json["userId"] = id.into();
                json["user"] = user;
            }
            Some(Now::Group(id, group)) => {
                json["groupId"] = id.into();
                json["group"] = group;
            }
            None => {}
        }
        json["changed"] = event.changed.into();
        if event.incomplete {
            json["incomplete"] = true.into();
        }
        json
    }
}

#[cfg(test)]
mod tests;
