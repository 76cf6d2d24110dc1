//! One resource: create, read, replace, patch, delete (RFC 7644 sections 3.3 to 3.6). The same code
//! for every resource type.

use serde_json::{Map, Value, json};

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::members::{change_members, types_with_groups};
use crate::api::scim::query::projection;
use crate::api::scim::render::{Links, View};
use crate::creation::{self, judge_size};
use crate::http::request::{Method, Request};
use crate::http::response::Response;
use crate::id;
use crate::scim::changes::Changes;
use crate::scim::deactivation;
use crate::scim::error::{Error, quoted};
use crate::scim::identity::{self, Rules};
use crate::scim::membership::{self, MemberChange};
use crate::scim::meta::Precondition;
use crate::scim::patch::apply::Patched;
use crate::scim::patch::message::PatchOp;
use crate::scim::returned::Projection;
use crate::scim::schema::name::{ACTIVE, GROUPS};
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::validate::{self, Judged};
use crate::store::tables::change::{Change, Outcome};
use crate::store::tables::draft::Draft;
use crate::store::tables::provisioning_log::{OwnedLine, bounded};
use crate::store::tables::resource::{Kind, Stored};
use crate::store::transaction::{Read, Write};
use crate::unique::{needs_look, refuse_duplicate, refuse_repeated};

/// Where a line of the provisioning log says what was asked for and passed over.
const PASSED_OVER: &str = "passedOver";

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
    let given = membership::given(&body, resource_type);
    let members_named = given.map_or(Ok(()), membership::refuse_nameless);
    let mut document = creation::document(body, resource_type, rules, id)?;
    members_named?;
    let members = membership::take(&mut document).unwrap_or_default();
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let view = view(resource_type, &base, projection.as_ref());
    let nothing = Map::new();
    let by_itself = context.change.is_none() && !membership::has_members(resource_type);
    if by_itself && !needs_look(context.strict(), resource_type, &nothing, &document) {
        let draft = Draft::new(kind, id, &document, context.now)?;
        judge_size(draft.stored())?;
        let response = view.respond(context, 201, draft.stored(), &Links::default())?;
        context.take_for_answer(response.body.len())?;
        let changes = Changes::between(&nothing, &document).to_text();
        let schemas = context.principal.org.schemas;
        let change = Change {
            draft,
            line: line(context, "POST", kind, id, 201, changes),
            schemas: (schemas != 0).then_some(schemas),
            now: context.now,
        };
        if let Outcome::Made(_) = context.apply(change)? {
            return Ok(response);
        }
        // What is in the way is looked for below, so that the answer can name it.
    }
    context.write(|tx| {
        refuse_outdated(context, tx)?;
        refuse_duplicate(tx, kind, resource_type, &nothing, &document, id)?;
        refuse_repeated(context.strict(), tx, kind, resource_type, &document)?;
        let stored = tx.add_resource(kind, id, &document)?;
        judge_size(&stored)?;
        let mut changes = Changes::between(&nothing, &document);
        // Nothing is asked of the members of what has none.
        let members = (!members.is_empty()).then_some(MemberChange::Set(members));
        change_members(context, tx, &stored, members, &mut changes)?;
        tx.add_line(&line(context, "POST", kind, id, 201, changes.to_text()))?;
        let response = view.answer(context, tx, 201, &stored)?;
        context.take_for_answer(response.body.len())?;
        Ok(response)
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
        let body = body.as_ref().map_err(Clone::clone)?;
        let Judged { mut document, passed_over } =
            validate::replace(before, body, resource_type, rules)?;
        let members = membership::take(&mut document).unwrap_or_default();
        // What the client does not speak of is not asserted (RFC 7644 section 3.5.1): a rename must
        // not empty a group. Null and an empty array say that there is nobody.
        let Some(given) = membership::given(body, resource_type) else {
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
        let patch = patch.as_ref().map_err(Clone::clone)?;
        let Patched { document, members, mut passed_over } =
            context.work(|work| patch.apply(before, resource_type, rules, work))?;
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
        tx.add_line(&line(context, "DELETE", kind, id, 204, changes.to_string()))?;
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

/// Changes a resource: what is judged is what is replaced. A change that changes nothing is not
/// written, so `lastModified` and `version` stay.
fn change(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
    rules: Rules,
    apply: impl Fn(&Map<String, Value>) -> Result<Patched, Error>,
) -> Result<Response, Failure> {
    let projection = projection(request, resource_type)?;
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let is_patch = request.method == Method::Patch;
    let view = View { brief: is_patch, ..view(resource_type, &base, projection.as_ref()) };
    // RFC 7644 section 3.5.2: 204 is for a client that wants nothing back.
    let nothing = is_patch
        && request.parameter("attributes").is_some_and(|it| it.is_ok_and(|it| it.is_empty()));
    let asked = Asked { context, request, id, kind, view, nothing };
    let work_done = context.work_done.get();
    let prepared = asked.change_prepared(&apply);
    if !matches!(prepared, Ok(Some(_))) {
        // A refusal, perhaps only in its turn, tells too up to which change it has seen.
        let _ = context.note_read();
    }
    let changed = match prepared {
        Ok(None) => {
            context.work_done.set(work_done);
            asked.change_in_turn(&apply)
        }
        Ok(Some(response)) => Ok(response),
        Err(failure) => Err(failure),
    };
    changed.map_err(|it| if rules.deactivates { still_active(context, kind, id, it) } else { it })
}

/// A change that was asked for.
struct Asked<'a, 'b> {
    context: &'a Context<'b>,
    request: &'a Request,
    id: &'a str,
    kind: Kind<'a>,
    view: View<'a>,
    /// Whether the client wants nothing back.
    nothing: bool,
}

impl Asked<'_, '_> {
    /// Judges the change by what is committed, prints it and its answer, and writes it if the
    /// resource is still the same by then. The writer is held for the writing alone, and no
    /// connection while the change is judged; but where nobody else writes, and what is judged is
    /// small, it is read, judged and written on the writing connection.
    ///
    /// `None` when it must be judged in its turn: a part of a Bulk request, of a group, of an
    /// attribute that must be unique and has no index; or the resource has changed meanwhile.
    fn change_prepared(
        &self,
        apply: &impl Fn(&Map<String, Value>) -> Result<Patched, Error>,
    ) -> Result<Option<Response>, Failure> {
        let Asked { context, request, id, kind, view, .. } = *self;
        let resource_type = view.resource_type;
        if context.change.is_some() || membership::has_members(resource_type) {
            return Ok(None);
        }
        let load = |tx: &Read| {
            let stored = load(tx, kind, resource_type, id)?;
            let links = view.links(context, tx, &[stored.seq])?;
            Ok((stored, links.into_values().next().unwrap_or_default()))
        };
        let (stored, links) = context.read_to_change(load)?;
        context.close_read_before_work(stored.document.len().max(links.bytes()));
        precondition(request).judge(stored.version)?;
        let before = stored.parse()?;
        let Patched { document: after, members, passed_over } = apply(&before)?;
        let mut changes = Changes::between(&before, &after);
        let is_same = changes.is_empty();
        if !members.is_empty()
            || (!is_same && needs_look(context.strict(), resource_type, &before, &after))
        {
            return Ok(None);
        }
        if is_same {
            context.note_read()?;
            self.note_passed_over(&passed_over);
            return self.respond(&stored, &links).map(Some);
        }
        let draft = Draft::replacing(kind, &stored, &before, &after, context.now)?;
        judge_size(draft.stored())?;
        let response = self.respond(draft.stored(), &links)?;
        self.note_passed_over(&passed_over);
        if !passed_over.is_empty() {
            changes.add(PASSED_OVER, passed_over.into());
        }
        let line = line(context, request.method.name(), kind, id, 200, changes.to_text());
        let change = Change { draft, line, schemas: None, now: context.now };
        Ok(match context.apply(change)? {
            Outcome::Made(_) => Some(response),
            Outcome::Outdated | Outcome::Conflict => None,
        })
    }

    /// Judges and writes the change in one transaction, in which nothing else can change.
    fn change_in_turn(
        &self,
        apply: &impl Fn(&Map<String, Value>) -> Result<Patched, Error>,
    ) -> Result<Response, Failure> {
        let Asked { context, request, id, kind, view, .. } = *self;
        let resource_type = view.resource_type;
        // Within the change, so that the answer is what was written, and a change that cannot be
        // answered is not made.
        let answer = |tx: &Read, stored: &Stored| {
            let links = view.links(context, tx, &[stored.seq])?;
            self.respond(stored, &links.into_values().next().unwrap_or_default())
        };
        context.write(|tx| {
            let stored = load(tx, kind, resource_type, id)?;
            precondition(request).judge(stored.version)?;
            let before = stored.parse()?;
            let Patched { document: after, members, passed_over } = apply(&before)?;
            self.note_passed_over(&passed_over);
            let mut changes = Changes::between(&before, &after);
            change_members(context, tx, &stored, members, &mut changes)?;
            if changes.is_empty() {
                return answer(tx, &stored);
            }
            refuse_duplicate(tx, kind, resource_type, &before, &after, id)?;
            let stored = tx.replace_resource(kind, &stored, &before, &after)?;
            judge_size(&stored)?;
            if !passed_over.is_empty() {
                changes.add(PASSED_OVER, passed_over.into());
            }
            let changes = changes.to_text();
            tx.add_line(&line(context, request.method.name(), kind, id, 200, changes))?;
            answer(tx, &stored)
        })
    }

    fn respond(&self, stored: &Stored, links: &Links) -> Result<Response, Failure> {
        match self.nothing {
            true => Ok(self.view.headers(Response::empty(204), stored)),
            false => {
                let response = self.view.respond(self.context, 200, stored, links)?;
                self.context.take_for_answer(response.body.len())?;
                Ok(response)
            }
        }
    }

    fn note_passed_over(&self, passed_over: &Map<String, Value>) {
        if !passed_over.is_empty() {
            let names: Vec<&String> = passed_over.keys().collect();
            let principal = self.context.principal;
            log::info!(
                organisation = principal.org.name.as_str(), token = principal.token.as_str();
                "{} {}: passed over {}",
                self.kind.resource_type,
                self.id,
                quoted(&format!("{names:?}"))
            );
        }
    }
}

fn view<'a>(
    resource_type: &'a ResourceType,
    location_base: &'a str,
    projection: Option<&'a Projection>,
) -> View<'a> {
    View { resource_type, location_base, projection, brief: false, hides: resource_type.hides() }
}

fn precondition(request: &Request) -> Precondition {
    Precondition::new(request.header("If-Match"), request.header("If-None-Match"))
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

fn line(
    context: &Context,
    method: &str,
    kind: Kind,
    id: &str,
    outcome: u16,
    changes: String,
) -> OwnedLine {
    OwnedLine {
        org: kind.org,
        actor: context.actor(),
        method: method.to_owned(),
        resource_type: kind.resource_type.to_owned(),
        resource: id.to_owned(),
        outcome,
        changes: bounded(changes),
    }
}
