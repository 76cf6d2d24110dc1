//! An entry of the story in words, and as JSON.

use serde_json::{Value, json};

use crate::activity::{Entry, Happened, MEMBERS_SHOWN_MAX, deeds};
use crate::scim::schema::name::{ACTIVE, MEMBERS};
use crate::store::query::story::{Change, Refused};
use crate::store::tables::org_erasure::NAMELESS;
use crate::store::tables::provisioning_log::{CLI, TOKEN};

/// How many attributes a sentence shows, and how much of each value, in characters.
const SHOWN_MAX: usize = 6;
const VALUE_CHARS_MAX: usize = 60;
/// What of a line is no change that anybody asks for.
const NOT_SHOWN: [&str; 2] = ["id", "schemas"];
/// Where a line says what was asked for and passed over, and where how much was left out.
const PASSED_OVER: &str = "passedOver";
const LEFT_OUT: &str = "leftOut";
/// How the client of a command begins.
const USER: &str = "user:";

/// Who did something, and from where.
enum By<'a> {
    Token { id: &'a str, label: Option<&'a str>, client: Option<&'a str> },
    Command { user: Option<&'a str>, sudo: Option<&'a str> },
}

impl Entry {
    /// What happened, as one sentence without its time: who, from where, what, before and after.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.happened {
            Happened::Change(it) => {
                let mut sentence = format!("{} {}", by_change(it).in_words(), self.deed(it));
                let changed = self.changed_in_words(it);
                if !changed.is_empty() {
                    sentence += &format!(": {changed}");
                }
                if let Some(reason) = &it.reason {
                    sentence += &format!(". Reason: {reason}");
                }
                sentence
            }
            Happened::Refusal(it) => self.refused_in_words(it),
        }
    }

    /// Who did it, or tried to, and from where.
    #[must_use]
    pub fn who(&self) -> String {
        match &self.happened {
            Happened::Change(it) => by_change(it).in_words(),
            Happened::Refusal(it) => by_refusal(it).in_words(),
        }
    }

    /// The same for a program.
    #[must_use]
    pub fn by(&self) -> Value {
        match &self.happened {
            Happened::Change(it) => by_change(it).to_json(),
            Happened::Refusal(it) => by_refusal(it).to_json(),
        }
    }

    /// One word for what happened, for programs and filters.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match &self.happened {
            Happened::Refusal(_) => "refused",
            Happened::Change(it) => action(it),
        }
    }

    /// The entry for a program.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.happened {
            Happened::Change(it) => json!({
                "kind": "change",
                "number": it.seq,
                "time": it.time.to_string(),
                "org": self.org(),
                "action": self.action(),
                "by": self.by(),
                "client": by_change(it).client(),
                "request": it.request,
                "method": it.method,
                "resourceType": it.resource_type,
                "resource": it.resource,
                "name": self.name,
                "changed": it.changes,
                "reason": it.reason,
                "text": self.sentence(),
            }),
            Happened::Refusal(Refused { seq, refusal, .. }) => json!({
                "kind": "refusal",
                "number": seq,
                "time": refusal.last.to_string(),
                "org": self.org(),
                "action": self.action(),
                "by": self.by(),
                "client": refusal.client,
                "request": refusal.request,
                "method": refusal.method,
                "path": refusal.path,
                "resourceType": refusal.resource_type,
                "resource": refusal.resource,
                "name": self.name.as_ref().or(refusal.subject.as_ref()),
                "status": refusal.status,
                "scimType": refusal.scim_type,
                "detail": refusal.detail,
                "count": refusal.count,
                "first": refusal.first.to_string(),
                "various": refusal.various,
                "text": self.sentence(),
            }),
        }
    }

    /// An organisation that was erased has no name.
    fn org(&self) -> Option<&str> {
        (!self.org.is_empty()).then_some(&self.org)
    }

    /// What was done to what.
    fn deed(&self, it: &Change) -> String {
        let words = match deeds::find(&it.method, &it.resource_type) {
            Some(deed) => deed.words_for(&it.resource_type),
            None => {
                let verb = match action(it) {
                    "members changed" => "changed the members of",
                    action => action,
                };
                format!("{verb} the {}", it.resource_type.to_lowercase())
            }
        };
        // What is no resource has no other name than this one, and a token has both.
        match self.name.as_deref() {
            Some(label) if it.resource_type == TOKEN => {
                format!("{words} {label} ({})", it.resource)
            }
            Some(name) => format!("{words} {name}"),
            // What it was called went with it.
            None if it.resource == NAMELESS => words,
            None => format!("{words} {}", it.resource),
        }
    }

    /// What changed, before and after.
    fn changed_in_words(&self, it: &Change) -> String {
        if it.changes.is_empty() {
            let has_none = ["deleted", "purged", "restored"].contains(&action(it));
            return if has_none { String::new() } else { "its values were erased".to_owned() };
        }
        let shown = it.changes.iter().filter(|(name, _)| !NOT_SHOWN.contains(&name.as_str()));
        // What is made has no value before it: what it has is told by name, and whether it may log
        // in.
        if action(it) == "created" {
            let active = it.changes.get(ACTIVE).map(|it| format!("active {}, ", it["after"]));
            let shown = shown.filter(|(name, _)| *name != ACTIVE);
            let mut names: Vec<&str> = shown.map(|(name, _)| name.as_str()).collect();
            let more = names.len().saturating_sub(2 * SHOWN_MAX);
            names.truncate(2 * SHOWN_MAX);
            let active = active.unwrap_or_default();
            return format!("{active}with {}{}", names.join(", "), and_more(more));
        }
        let shown: Vec<String> =
            shown.map(|(name, it)| self.attribute_in_words(name, it)).collect();
        let more = shown.len().saturating_sub(SHOWN_MAX);
        format!("{}{}", shown[..shown.len() - more].join(", "), and_more(more))
    }

    fn attribute_in_words(&self, name: &str, change: &Value) -> String {
        if name == PASSED_OVER {
            let names = change.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            return format!("passed over: {}", names.collect::<Vec<_>>().join(", "));
        }
        if name == LEFT_OUT {
            return format!("{} further attributes (left out for their length)", change["names"]);
        }
        if let Some(left_out) = change.get(LEFT_OUT) {
            return format!("{name} (left out for its length of {left_out} bytes)");
        }
        let ids = |word: &str| change.get(word).and_then(Value::as_array);
        let told = ["added", "removed"].iter().filter_map(|it| Some((*it, ids(it)?)));
        let told = told.map(|(word, ids)| format!("{word} {}", self.named_members(ids)));
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            return format!("{name} {}", told.join("; "));
        }
        let value = |it: &str| shown_value(change.get(it).unwrap_or(&Value::Null));
        format!("{name} {} → {}", value("before"), value("after"))
    }

    fn named_members(&self, ids: &[Value]) -> String {
        let called = |it: &Value| {
            let id = it.as_str().unwrap_or_default();
            self.members.get(id).map_or_else(|| id.to_owned(), Clone::clone)
        };
        let shown: Vec<String> = ids.iter().take(MEMBERS_SHOWN_MAX).map(called).collect();
        format!("{}{}", shown.join(", "), and_more(ids.len() - shown.len()))
    }

    fn refused_in_words(&self, it: &Refused) -> String {
        let refusal = &it.refusal;
        let by = by_refusal(it).in_words();
        let mut sentence = format!("{by} was refused {} {}", refusal.method, refusal.path);
        let about = self.name.as_ref().or(refusal.subject.as_ref()).or(refusal.resource.as_ref());
        if let Some(about) = about {
            sentence += &format!(" about {about}");
        }
        sentence += &format!(": {}", refusal.status);
        if let Some(keyword) = &refusal.scim_type {
            sentence += &format!(" {keyword}");
        }
        sentence += &format!(", \"{}\"", refusal.detail);
        if refusal.count > 1 {
            let several =
                if refusal.various { "; this is the last of several that differ" } else { "" };
            sentence += &format!(" ({} times since {}{several})", refusal.count, refusal.first);
        }
        sentence
    }
}

impl By<'_> {
    fn in_words(&self) -> String {
        match self {
            By::Token { id, label, client } => {
                let from = client.map(|it| format!(" from {it}")).unwrap_or_default();
                match label.filter(|it| !it.is_empty()) {
                    Some(label) => format!("token {label} ({id}){from}"),
                    None => format!("token {id}{from}"),
                }
            }
            By::Command { user: None, .. } => "a command".to_owned(),
            By::Command { user: Some(user), sudo: None } => format!("a command of {user}"),
            By::Command { user: Some(user), sudo: Some(sudo) } => {
                format!("a command of {user} (sudo by {sudo})")
            }
        }
    }

    fn client(&self) -> Option<&str> {
        match self {
            By::Token { client, .. } => *client,
            By::Command { .. } => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            By::Token { id, label, .. } => {
                json!({ "kind": "token", "id": id, "label": label.unwrap_or_default() })
            }
            By::Command { user, sudo } => json!({ "kind": "command", "user": user, "sudo": sudo }),
        }
    }
}

fn by_change(it: &Change) -> By<'_> {
    if it.actor != CLI {
        return By::Token {
            id: &it.actor,
            label: it.label.as_deref(),
            client: it.client.as_deref(),
        };
    }
    let client = it.client.as_deref().and_then(|it| it.strip_prefix(USER));
    match client.and_then(|it| it.split_once(" sudo:")) {
        Some((user, sudo)) => By::Command { user: Some(user), sudo: Some(sudo) },
        None => By::Command { user: client, sudo: None },
    }
}

fn by_refusal(it: &Refused) -> By<'_> {
    let (label, client) = (it.label.as_deref(), it.refusal.client.as_deref());
    By::Token { id: &it.refusal.token, label, client }
}

/// One word for a change.
fn action(it: &Change) -> &'static str {
    if let Some(deed) = deeds::find(&it.method, &it.resource_type) {
        return deed.action;
    }
    let login = it.changes.get(ACTIVE).map(|it| (it["before"] == true, it["after"] == true));
    match (it.method.as_str(), login) {
        ("POST", _) => "created",
        ("DELETE", _) => "deleted",
        (_, Some((true, false))) => "deactivated",
        (_, Some((false, true))) => "reactivated",
        _ if it.changes.len() == 1 && it.changes.contains_key(MEMBERS) => "members changed",
        _ => "updated",
    }
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}

fn shown_value(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::Object(it) if it.is_empty() => "nothing".to_owned(),
        Value::Array(it) if it.is_empty() => "nothing".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text;
    }
    text.chars().take(VALUE_CHARS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
