//! Lines of the record of changes in words: when, who, what, before and after.

use std::ops::ControlFlow;

use serde_json::{Map, Value, json};

use crate::activity::login;
use crate::cli::text::printable;
use crate::store::error::Error;
use crate::store::tables::history::Entry;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::CLI;
use crate::store::transaction::Read;

/// How many of the last changes of a thing are shown.
pub const CHANGES_MAX: usize = 10;
/// The longest value that is shown whole, in characters.
const VALUE_CHARS_MAX: usize = 60;
/// What is the same in every resource of a type.
const NOT_TOLD: [&str; 2] = ["id", "schemas"];

/// The last lines about a resource, the newest first.
///
/// # Errors
/// Failures of the store.
pub fn last(read: &Read, org: OrgKey, resource: &str) -> Result<Vec<Entry>, Error> {
    let mut lines = Vec::new();
    read.history(org, resource, |it| {
        lines.push(it);
        match lines.len() < CHANGES_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    })?;
    Ok(lines)
}

/// Who made a change: `token okta (ipceb05mrqbc)`, `a command of root`.
#[must_use]
pub fn who(line: &Entry) -> String {
    printable(&login::who(line))
}

/// What a line says was done: `deactivated`, `changed title: "A" → "B"`.
#[must_use]
pub fn what(line: &Entry) -> String {
    let told = |it: &(&String, &Value)| !NOT_TOLD.contains(&it.0.as_str());
    let changes = line.changes.iter().filter(told);
    let changes: Vec<String> = changes.map(|(name, it)| change(name, it)).collect();
    let done = match line.method.as_str() {
        "POST" => return "created".to_owned(),
        "DELETE" | "delete" => "deleted",
        "purge" => "erased",
        "restore" => "restored",
        "activate" => "activated",
        "deactivate" => "deactivated",
        "PUT" | "PATCH" | "set" => "changed",
        other => other,
    };
    match changes.as_slice() {
        [] => printable(done),
        changes => format!("{} {}", printable(done), changes.join(", ")),
    }
}

/// A line as JSON.
#[must_use]
pub fn as_json(line: &Entry) -> Value {
    let by = match line.actor.as_str() {
        CLI => json!({ "kind": "command", "user": line.client }),
        token => json!({ "kind": "token", "id": token, "label": line.label }),
    };
    json!({
        "sequence": line.seq,
        "time": line.time.to_string(),
        "by": by,
        "method": line.method,
        "changes": line.changes,
    })
}

/// Lines under a head, each with its time, who made it and what it did.
#[must_use]
pub fn as_text(lines: &[Entry]) -> String {
    if lines.is_empty() {
        return "The record says nothing of it.\n".to_owned();
    }
    let of = |it: &Entry| format!("  {}  {}: {}\n", it.time, who(it), what(it));
    lines.iter().map(of).collect()
}

fn change(name: &str, change: &Value) -> String {
    let name = printable(name);
    if let Value::Object(parts) = change
        && !parts.contains_key("after")
    {
        return format!("{name}: {}", of_members(parts));
    }
    format!("{name}: {} → {}", shown(&change["before"]), shown(&change["after"]))
}

/// How many came and went; what else stands there as it is.
fn of_members(parts: &Map<String, Value>) -> String {
    let part = |(way, it): (&String, &Value)| match it {
        Value::Array(ids) => format!("{} {}", ids.len(), printable(way)),
        other => format!("{} {}", printable(way), shown(other)),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// A value, cut where it is long.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        other => other.to_string(),
    };
    let mut cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    printable(&cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::datetime::Timestamp;

    fn line(actor: &str, client: Option<&str>, method: &str, changes: Value) -> Entry {
        let Value::Object(changes) = changes else { panic!("{changes}") };
        Entry {
            seq: 7,
            time: Timestamp::from_nanoseconds(0),
            actor: actor.to_owned(),
            label: (actor != CLI).then(|| "okta".to_owned()),
            client: client.map(str::to_owned),
            method: method.to_owned(),
            resource_type: "User".to_owned(),
            resource: "x".to_owned(),
            changes,
        }
    }

    #[test]
    fn lines_are_told_in_words() {
        let active = json!({ "active": { "before": true, "after": false } });
        let sudo = line(CLI, Some("user:root sudo:ann"), "deactivate", active);
        assert_eq!(who(&sudo), "a command of ann as root");
        assert_eq!(what(&sudo), "deactivated active: true → false");
        assert_eq!(who(&line(CLI, Some("user:ann"), "purge", json!({}))), "a command of ann");
        let members = json!({ "members": { "added": ["a", "b"] }, "schemas": 1 });
        let token = line("ipceb05mrqbc", Some("10.0.0.1"), "PATCH", members);
        assert_eq!(who(&token), "token okta (ipceb05mrqbc)");
        assert_eq!(what(&token), "changed members: 2 added");
        let long = json!({ "title": { "before": null, "after": "x".repeat(100) } });
        let told = what(&line("t", None, "PUT", long));
        assert_eq!(told, format!("changed title: nothing → \"{}…", "x".repeat(59)));
    }
}
