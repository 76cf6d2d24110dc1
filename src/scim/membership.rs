//! Members of groups and groups of members (RFC 7643 sections 4.1.2 and 4.2). They are stored
//! apart from documents, so that the cost of one change does not grow with the group.

use serde_json::{Map, Value, json};

use crate::scim::error::Error;
use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::filter::path::AttrPath;
use crate::scim::patch::message::Op;
use crate::scim::print::{write_joined, write_string};
use crate::scim::schema::attribute::{Attribute, Type};
use crate::scim::schema::name::{GROUPS, MEMBERS};
use crate::scim::schema::resource_type::ResourceType;

/// The most members one request may name.
pub const MEMBERS_MAX: usize = 100_000;

/// Whether resources of this type have members.
#[must_use]
pub fn has_members(resource_type: &ResourceType) -> bool {
    is_reference(resource_type.core.attribute(MEMBERS).map(AsRef::as_ref))
}

/// Whether resources of this type say which groups they are in.
#[must_use]
pub fn has_groups(resource_type: &ResourceType) -> bool {
    is_reference(resource_type.core.attribute(GROUPS).map(AsRef::as_ref))
}

fn is_reference(attribute: Option<&Attribute>) -> bool {
    attribute.is_some_and(|it| it.kind == Type::Complex && it.multi_valued)
}

/// A change of the members of a group; the ids are those of resources.
#[derive(Clone, Debug)]
pub enum MemberChange {
    /// The group has these members and no others.
    Set(Vec<String>),
    /// These members are added.
    Add(Vec<String>),
    /// These members are removed.
    Remove(Vec<String>),
    /// The members whose value meets this are removed.
    RemoveWhere(Condition),
}

/// Takes the members out of a document: their ids, or nothing when the document has no `members`.
#[must_use]
pub fn take(document: &mut Map<String, Value>) -> Option<Vec<String>> {
    document.remove(MEMBERS).map(|it| ids(&it))
}

/// The ids in a value of `members`, in order. A member may be given by its address alone.
#[must_use]
pub fn ids(members: &Value) -> Vec<String> {
    let text = |it: &Value, name: &str| it.get(name)?.as_str().map(str::to_owned);
    let id = |it: &Value| {
        text(it, "value").or_else(|| text(it, "$ref")?.rsplit('/').next().map(str::to_owned))
    };
    members.as_array().into_iter().flatten().filter_map(id).collect()
}

/// The value of `members` in a body, however its name is written.
#[must_use]
pub fn given<'a>(body: &'a Map<String, Value>, resource_type: &ResourceType) -> Option<&'a Value> {
    let mut named = body.iter().filter(|_| has_members(resource_type));
    named.find(|(name, _)| is_members(name, resource_type)).map(|(_, value)| value)
}

/// Whether a name in a body means `members`: in any letter case, with or without the URN.
#[must_use]
pub fn is_members(name: &str, resource_type: &ResourceType) -> bool {
    let target = AttrPath::new(name).and_then(|it| resource_type.resolve(&it));
    target.is_some_and(|it| it.is_core(MEMBERS) && it.sub.is_none())
}

/// Refuses a member without an id: if it were ignored, `members` would be shorter than the client
/// meant, down to an empty group.
///
/// # Errors
/// 400 `invalidValue`.
pub fn refuse_nameless(members: &Value) -> Result<(), Error> {
    let items = members.as_array().map_or(std::slice::from_ref(members), Vec::as_slice);
    let names = |(name, value): (&String, &Value)| {
        (name.eq_ignore_ascii_case("value") || name.eq_ignore_ascii_case("$ref"))
            && !value.is_null()
    };
    let named = |it: &Value| it.as_object().is_none_or(|it| it.iter().any(names));
    if items.iter().all(named) {
        return Ok(());
    }
    Err(Error::invalid_value(
        "A member is given by its id: {\"value\": \"…\"}. One of \"members\" has none.",
    ))
}

/// What an operation on `members` of a PATCH request means. `value` is coerced already.
///
/// # Errors
/// 400 `invalidPath` when a filter stands where only a removal can have one.
pub fn change(
    op: Op,
    condition: Option<Condition>,
    value: Option<&Value>,
) -> Result<MemberChange, Error> {
    match (op, condition) {
        (Op::Add, None) => Ok(MemberChange::Add(value.map(ids).unwrap_or_default())),
        (Op::Replace, None) => Ok(MemberChange::Set(value.map(ids).unwrap_or_default())),
        (Op::Remove, None) => Ok(match value {
            Some(value) => MemberChange::Remove(ids(value)),
            None => MemberChange::Set(Vec::new()),
        }),
        (Op::Remove, Some(condition)) => Ok(match ids_named_by(&condition) {
            Some(ids) => MemberChange::Remove(ids),
            None => MemberChange::RemoveWhere(condition),
        }),
        (_, Some(_)) => Err(Error::invalid_path(
            "A filter on members selects which to remove. Add members with the path \"members\".",
        )),
    }
}

/// The ids that a condition names, when it is nothing but `value eq` joined by `or`: such members
/// are removed by their ids, without a search.
fn ids_named_by(condition: &Condition) -> Option<Vec<String>> {
    match condition {
        Condition::Test(
            Place::Sub(sub),
            Test::Compare(CompareOp::Eq, Operand::Exact(id) | Operand::Folded(id)),
        ) if sub.name == "value" => Some(vec![id.clone()]),
        Condition::Or(terms) => {
            let ids = terms.iter().map(ids_named_by).collect::<Option<Vec<_>>>()?;
            Some(ids.concat())
        }
        _ => None,
    }
}

/// A member as a group shows it.
#[must_use]
pub fn member(id: &str, resource_type: &str, display: Option<&str>, location: &str) -> Value {
    let mut member = json!({ "value": id, "$ref": location, "type": resource_type });
    if let Some(display) = display {
        member["display"] = display.into();
    }
    member
}

/// How near a group is to its member, as RFC 7643 section 4.1.2 says it.
#[must_use]
pub fn nearness(direct: bool) -> &'static str {
    if direct { "direct" } else { "indirect" }
}

/// Writes members or groups as they stand in a document. A group of a hundred thousand members is
/// never held as values.
pub fn write_list<'a>(
    text: &mut String,
    name: &str,
    links: impl Iterator<Item = (&'a str, &'a str, Option<&'a str>, String)>,
) {
    begin_list(text, name);
    for (i, (id, kind, display, location)) in links.enumerate() {
        if i > 0 {
            text.push(',');
        }
        write_link(text, id, kind, display, (&location, ""));
    }
    text.push(']');
}

/// The beginning of such a list, which ends with a bracket.
pub fn begin_list(text: &mut String, name: &str) {
    text.push_str(",\"");
    text.push_str(name);
    text.push_str("\":[");
}

/// Writes one of them with its id, its type, its name and its address, which is given in two parts.
pub fn write_link(
    text: &mut String,
    id: &str,
    kind: &str,
    display: Option<&str>,
    location: (&str, &str),
) {
    text.push_str("{\"value\":");
    write_string(text, id);
    text.push_str(",\"$ref\":");
    write_joined(text, location.0, location.1);
    text.push_str(",\"type\":");
    write_string(text, kind);
    if let Some(display) = display {
        text.push_str(",\"display\":");
        write_string(text, display);
    }
    text.push('}');
}

/// A group as its member shows it.
#[must_use]
pub fn group(id: &str, display: Option<&str>, location: &str, direct: bool) -> Value {
    member(id, nearness(direct), display, location)
}
