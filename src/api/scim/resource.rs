//! One resource: create, read, replace, patch, delete (RFC 7644 sections 3.3 to 3.6). The same code
//! for every resource type.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::query::projection;
use crate::api::scim::render::{View, location};
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::id;
use crate::scim::deactivation;
use crate::scim::error::{Error, quoted};
use crate::scim::filter::condition::Condition;
use crate::scim::filter::grammar::{CompareOp, Filter, Literal};
use crate::scim::filter::matching::value_matches;
use crate::scim::filter::path::AttrPath;
use crate::scim::identity::{self, Rules};
use crate::scim::membership::{self, MemberChange};
use crate::scim::meta::Precondition;
use crate::scim::patch::apply::Patched;
use crate::scim::patch::message::PatchOp;
use crate::scim::resource::changes;
use crate::scim::returned::Projection;
use crate::scim::schema::attribute::Attribute;
use crate::scim::schema::name::{ACTIVE, DISPLAY_NAME, EXTERNAL_ID, GROUPS, MEMBERS};
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::validate::{self, Judged};
use crate::store::tables::member::{Linked, MemberError};
use crate::store::tables::provisioning_log::LogLine;
use crate::store::tables::resource::{Kind, Stored};
use crate::store::transaction::{Read, Write};

/// Where a line of the provisioning log says what was asked for and passed over.
const PASSED_OVER: &str = "passedOver";
/// The largest document of one resource, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// `POST /{type}`
///
/// # Errors
/// 400 for what is wrong with the body, 409 for a value in use.
pub fn create(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
) -> Result<Response, Failure> {
    let id = id::resource(context.now.milliseconds());
    create_as(context, resource_type, request, &id)
}

/// Creates a resource with an id that was chosen before: in a Bulk request, operations refer to
/// resources that others of them create.
///
/// # Errors
/// As [`create`].
pub fn create_as(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let projection = projection(request, resource_type)?;
    let body = context.body(request)?;
    let rules = context.principal.org.settings.rules();
    let mut document = validate::create(&body, resource_type, rules)?;
    membership::given(&body, resource_type).map_or(Ok(()), membership::refuse_nameless)?;
    let members = membership::take(&mut document).unwrap_or_default();
    let document = with_id(document, id);
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    context.write(|tx| {
        refuse_outdated(context, tx)?;
        refuse_duplicate(tx, kind, resource_type, &Map::new(), &document, id)?;
        refuse_repeated(context, tx, kind, resource_type, &document)?;
        let stored = tx.add_resource(kind, id, &document)?;
        judge_size(&stored)?;
        let mut changes = changes(&Map::new(), &document);
        // Nothing is asked of the members of what has none.
        let members = (!members.is_empty()).then_some(MemberChange::Set(members));
        change_members(context, tx, &stored, members, &mut changes)?;
        log(context, tx, "POST", kind, id, 201, &changes)?;
        view(resource_type, &base, projection.as_ref()).answer(context, tx, 201, &stored)
    })
}

/// `GET /{type}/{id}`
///
/// # Errors
/// 404 when there is no such resource, 412 for another version.
pub fn get(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let projection = projection(request, resource_type)?;
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let view = view(resource_type, &base, projection.as_ref());
    context.read(|tx| {
        let stored = load(tx, kind, resource_type, id)?;
        let precondition = precondition(request);
        precondition.judge_reading(stored.version)?;
        if precondition.has(stored.version) {
            return Ok(view.headers(Response::empty(304), &stored));
        }
        view.answer(context, tx, 200, &stored)
    })
}

/// `PUT /{type}/{id}`
///
/// # Errors
/// 400 for what is wrong with the body, 404 when there is no such resource, 409 for a value in use,
/// 412 for another version.
pub fn replace(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let body = context.body(request);
    let rules = rules(context, resource_type, &body);
    change(context, resource_type, request, id, rules, |before| {
        let body = body?;
        let Judged { mut document, passed_over } =
            validate::replace(before, &body, resource_type, rules)?;
        let members = membership::take(&mut document).unwrap_or_default();
        // What the client does not speak of is not asserted (RFC 7644 section 3.5.1): a rename must
        // not empty a group. Null and an empty array say that there is nobody.
        let Some(given) = membership::given(&body, resource_type) else {
            return Ok(Patched { document, members: Vec::new(), passed_over });
        };
        membership::refuse_nameless(given)?;
        Ok(Patched { document, members: vec![MemberChange::Set(members)], passed_over })
    })
}

/// `PATCH /{type}/{id}`
///
/// # Errors
/// 400 for what is wrong with the body, 404 when there is no such resource, 409 for a value in use,
/// 412 for another version.
pub fn patch(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let body = context.body(request);
    let rules = rules(context, resource_type, &body);
    let patch = body.and_then(|it| PatchOp::parse(&it, context.strict()));
    change(context, resource_type, request, id, rules, |before| {
        let Patched { document, members, mut passed_over } =
            context.work(|work| patch?.apply(before, resource_type, rules, work))?;
        let judged = validate::judge_change(before, document, resource_type, rules)?;
        passed_over.extend(judged.passed_over);
        Ok(Patched { document: judged.document, members, passed_over })
    })
}

/// The rules of the organisation, for a request with this body.
fn rules(
    context: &Context,
    resource_type: &ResourceType,
    body: &Result<Map<String, Value>, Error>,
) -> Rules {
    let deactivates = body.as_ref().is_ok_and(|it| deactivation::is_meant(it, resource_type));
    Rules { deactivates, ..context.principal.org.settings.rules() }
}

/// `DELETE /{type}/{id}`: the resource is gone for SCIM and for login; support erases it.
///
/// # Errors
/// 404 when there is no such resource, 412 for another version.
pub fn delete(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let deleted = context.write(|tx| {
        let stored = load(tx, kind, resource_type, id)?;
        precondition(request).judge(stored.version)?;
        if membership::has_members(resource_type) {
            tx.touch_members(stored.seq, &types_with_groups(context))?;
        }
        let left = tx.delete_resource(kind, &stored)?;
        let changes = match left.as_slice() {
            [] => json!({}),
            left => json!({ GROUPS: { "removed": left } }),
        };
        log(context, tx, "DELETE", kind, id, 204, &changes)?;
        Ok(Response::empty(204))
    });
    let is_account = identity::is_account(resource_type);
    deleted.map_err(|it| if is_account { still_active(context, kind, id, it) } else { it })
}

/// A refusal of what would have taken login away, which says that it did not.
fn still_active(context: &Context, kind: Kind, id: &str, failure: Failure) -> Failure {
    let Failure::Scim(mut error) = failure else { return failure };
    let active = |it: Stored| it.parse().ok()?.get(ACTIVE)?.as_bool();
    let found = context.read(|tx| Ok(tx.resource(kind, id)?));
    if found.ok().flatten().and_then(active) == Some(true) {
        error.detail += " The account is still active.";
    }
    Failure::Scim(error)
}

/// Changes a resource in one transaction: what is judged is what is replaced. A change that changes
/// nothing is not written, so `lastModified` and `version` stay.
fn change(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
    rules: Rules,
    apply: impl FnOnce(&Map<String, Value>) -> Result<Patched, Error>,
) -> Result<Response, Failure> {
    let projection = projection(request, resource_type)?;
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let is_patch = request.method == Method::Patch;
    let view = View { brief: is_patch, ..view(resource_type, &base, projection.as_ref()) };
    // RFC 7644 section 3.5.2: 204 is for a client that wants nothing back.
    let nothing = is_patch
        && request.parameter("attributes").is_some_and(|it| it.is_ok_and(|it| it.is_empty()));
    // Within the change, so that the answer is what was written, and a change that cannot be
    // answered is not made.
    let answer = |tx: &Read, stored: &Stored| match nothing {
        true => Ok(view.headers(Response::empty(204), stored)),
        false => view.answer(context, tx, 200, stored),
    };
    let changed = context.write(|tx| {
        let stored = load(tx, kind, resource_type, id)?;
        precondition(request).judge(stored.version)?;
        let before = stored.parse()?;
        let Patched { document: after, members, passed_over } = apply(&before)?;
        if !passed_over.is_empty() {
            let names: Vec<&String> = passed_over.keys().collect();
            log::info!(
                "{} {id}: passed over {}",
                resource_type.name,
                quoted(&format!("{names:?}"))
            );
        }
        let mut changes = changes(&before, &after);
        change_members(context, tx, &stored, members, &mut changes)?;
        if changes.as_object().is_some_and(Map::is_empty) {
            return answer(tx, &stored);
        }
        refuse_duplicate(tx, kind, resource_type, &before, &after, id)?;
        let stored = tx.replace_resource(kind, &stored, &before, &after)?;
        judge_size(&stored)?;
        if !passed_over.is_empty() {
            changes[PASSED_OVER] = passed_over.into();
        }
        log(context, tx, request.method.name(), kind, id, 200, &changes)?;
        answer(tx, &stored)
    });
    changed.map_err(|it| if rules.deactivates { still_active(context, kind, id, it) } else { it })
}

fn view<'a>(
    resource_type: &'a ResourceType,
    location_base: &'a str,
    projection: Option<&'a Projection>,
) -> View<'a> {
    View { resource_type, location_base, projection, brief: false }
}

fn precondition(request: &Request) -> Precondition {
    Precondition::new(request.header("If-Match"), request.header("If-None-Match"))
}

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
    fn write(&self, changes: &mut Value) {
        for (name, by) in [("added", 1), ("removed", -1)] {
            let ids = self.order.iter().filter(|it| self.net.get(*it) == Some(&by));
            let ids: Vec<&String> = ids.collect();
            if !ids.is_empty() {
                changes[MEMBERS][name] = json!(ids);
            }
        }
    }
}

/// Changes the members of a group, and says so in the changes for the log. Each member has a new
/// version: its `groups` are other ones.
fn change_members(
    context: &Context,
    tx: &Write,
    group: &Stored,
    members: impl IntoIterator<Item = MemberChange>,
    changes: &mut Value,
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
fn types_with_groups<'a>(context: &Context<'a>) -> Vec<&'a str> {
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

fn load(tx: &Read, kind: Kind, resource_type: &ResourceType, id: &str) -> Result<Stored, Failure> {
    if let Some(stored) = tx.resource(kind, id)? {
        return Ok(stored);
    }
    // Groups are pushed, people are assigned.
    let advice = match membership::has_members(resource_type) {
        true => "push it again from the identity provider.",
        false => "unassign and assign it again in the identity provider.",
    };
    let detail = format!(
        "There is no {} with the id \"{}\" in this organisation. If it was deleted here, {advice}",
        kind.resource_type,
        quoted(id)
    );
    Err(Error::new(404, detail).into())
}

/// Refuses what was judged by resource types that have been changed since: the type may be gone,
/// and nobody would find the resource again.
fn refuse_outdated(context: &Context, tx: &Write) -> Result<(), Failure> {
    let org = &context.principal.org;
    if org.schemas == 0 || tx.has_schemas_of(org.key, org.schemas)? {
        return Ok(());
    }
    let detail = "The schemas of the organisation were changed at this moment; send the request \
                  again.";
    Err(Error::new(503, detail).into())
}

fn with_id(document: Map<String, Value>, id: &str) -> Map<String, Value> {
    let mut ordered = Map::new();
    for (name, value) in document {
        let is_schemas = name == "schemas";
        ordered.insert(name, value);
        if is_schemas {
            ordered.insert("id".to_owned(), id.into());
        }
    }
    ordered
}

/// Judged as it has been written, and undone with the transaction: the text is made once.
fn judge_size(stored: &Stored) -> Result<(), Error> {
    let length = stored.document.len();
    if length <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(
        413,
        format!(
            "The resource would be {length} bytes long; at most {DOCUMENT_BYTES_MAX} are kept. Map \
             fewer or shorter attributes."
        ),
    ))
}

/// Looks for another resource with a value that must be unique, in the transaction of the change,
/// so that the answer can name the attribute and the resource (RFC 7644 section 3.3). A value that
/// the change leaves as it was is not looked for.
fn refuse_duplicate(
    tx: &Write,
    kind: Kind,
    resource_type: &ResourceType,
    before: &Map<String, Value>,
    document: &Map<String, Value>,
    id: &str,
) -> Result<(), Failure> {
    for (urn, attribute) in resource_type.unique_attributes() {
        let (value, old) = (value_at(document, urn, attribute), value_at(before, urn, attribute));
        let literal = match value {
            Some(Value::String(it)) if !it.is_empty() => Literal::String(it.clone()),
            Some(Value::Number(it)) => Literal::Number(it.clone()),
            _ => continue,
        };
        if value == old {
            continue;
        }
        let shown = literal.to_string();
        let name = urn.map_or_else(String::new, |it| format!("{it}:")) + &attribute.name;
        let Some(path) = AttrPath::new(&name) else { continue };
        let filter = Filter::Compare(path, CompareOp::Eq, literal);
        let condition = Condition::of_resource(&filter, resource_type)?;
        if let Some(holder) = tx.holder(kind, &condition, id)? {
            let advice = if name.eq_ignore_ascii_case("userName") {
                "In Okta, Unique identifier field for users must be userName; assign the user \
                 again, and Okta links that account."
            } else {
                "Send another value, or change that account first."
            };
            return Err(Error::uniqueness(format!(
                "{name} {} is already used by the {} with the id {holder}. {advice}",
                quoted(&shown),
                kind.resource_type,
            ))
            .into());
        }
    }
    Ok(())
}

/// Refuses to create a resource again whose type has no attribute that must be unique: with the
/// same externalId and the same displayName it is the one that is there, and the answer to its
/// creation was lost (RFC 7644 section 3.3). Groups have no other sign.
fn refuse_repeated(
    context: &Context,
    tx: &Write,
    kind: Kind,
    resource_type: &ResourceType,
    document: &Map<String, Value>,
) -> Result<(), Failure> {
    if context.strict() || resource_type.unique_attributes().next().is_some() {
        return Ok(());
    }
    let text = |name: &str| match document.get(name) {
        Some(Value::String(it)) if !it.is_empty() => Some(it.clone()),
        _ => None,
    };
    let (Some(external), Some(display)) = (text(EXTERNAL_ID), text(DISPLAY_NAME)) else {
        return Ok(());
    };
    let equals = |name: &str, value: String| {
        let path = AttrPath::new(name)?;
        Some(Filter::Compare(path, CompareOp::Eq, Literal::String(value)))
    };
    let both = [equals(EXTERNAL_ID, external), equals(DISPLAY_NAME, display)];
    let filter = Filter::And(both.into_iter().flatten().collect());
    let condition = Condition::of_resource(&filter, resource_type)?;
    match tx.holder(kind, &condition, "")? {
        None => Ok(()),
        Some(id) => Err(Error::uniqueness(format!(
            "There is a {} with this externalId and displayName already: the one with the id {id}. \
             Change that one.",
            kind.resource_type
        ))
        .into()),
    }
}

/// The value of an attribute on the first level, or in an extension.
fn value_at<'a>(
    document: &'a Map<String, Value>,
    urn: Option<&str>,
    attribute: &Attribute,
) -> Option<&'a Value> {
    match urn {
        None => document.get(&attribute.name),
        Some(urn) => document.get(urn)?.get(&attribute.name),
    }
}

fn log(
    context: &Context,
    tx: &Write,
    method: &str,
    kind: Kind,
    id: &str,
    outcome: u16,
    changes: &Value,
) -> Result<(), Failure> {
    tx.log(&LogLine {
        org: kind.org,
        actor: &context.actor(),
        method,
        resource_type: kind.resource_type,
        resource: id,
        outcome,
        changes,
    })?;
    Ok(())
}
