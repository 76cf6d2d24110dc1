//! One resource: create, read, replace, patch, delete (RFC 7644 sections 3.3 to 3.6). The same code
//! for every resource type.

use serde_json::{Map, Value, json};

use crate::endpoints::query::projection;
use crate::endpoints::{Context, Failure, body_object, scim_response};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::id;
use crate::scim::attribute::Uniqueness;
use crate::scim::condition::Condition;
use crate::scim::error::{Error, quoted};
use crate::scim::filter::{CompareOp, Filter, Literal};
use crate::scim::meta::Meta;
use crate::scim::patch::PatchOp;
use crate::scim::path::AttrPath;
use crate::scim::resource::{changes, splice, with_meta};
use crate::scim::resource_type::ResourceType;
use crate::scim::returned::Projection;
use crate::scim::validate;
use crate::store::provisioning_log::LogLine;
use crate::store::resource::{Kind, Stored};
use crate::store::{Read, Write};

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
    let projection = projection(request, resource_type)?;
    let body = body_object(request)?;
    let rules = context.principal.org.settings.rules();
    let document = validate::create(&body, resource_type, rules)?;
    let id = id::resource(context.now.milliseconds());
    let document = with_id(document, &id);
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let stored = context.store.write(context.now, |tx| {
        refuse_duplicate(tx, kind, resource_type, &document, &id)?;
        let stored = tx.add_resource(kind, &id, &document)?;
        judge_size(&stored)?;
        let changes = changes(&Map::new(), &document);
        log(context, tx, "POST", kind, &id, 201, &changes)?;
        Ok::<_, Failure>(stored)
    })?;
    answer(201, resource_type, &stored, &base, projection.as_ref())
}

/// `GET /{type}/{id}`
///
/// # Errors
/// 404 when there is no such resource.
pub fn get(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let projection = projection(request, resource_type)?;
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let stored = context.store.read(|tx| load(tx, kind, id))?;
    answer(200, resource_type, &stored, &base, projection.as_ref())
}

/// `PUT /{type}/{id}`
///
/// # Errors
/// 400 for what is wrong with the body, 404 when there is no such resource, 409 for a value in use.
pub fn replace(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let body = body_object(request);
    change(context, resource_type, request, id, "PUT", |before| {
        let rules = context.principal.org.settings.rules();
        validate::replace(before, &body?, resource_type, rules)
    })
}

/// `PATCH /{type}/{id}`
///
/// # Errors
/// 400 for what is wrong with the body, 404 when there is no such resource, 409 for a value in use.
pub fn patch(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
) -> Result<Response, Failure> {
    let patch = body_object(request).and_then(|it| PatchOp::parse(&it));
    change(context, resource_type, request, id, "PATCH", |before| {
        let rules = context.principal.org.settings.rules();
        let after = patch?.apply(before, resource_type, rules)?;
        validate::judge_change(before, after, resource_type, rules)
    })
}

/// `DELETE /{type}/{id}`: the resource is gone for SCIM and for login; support erases it.
///
/// # Errors
/// 404 when there is no such resource.
pub fn delete(
    context: &Context,
    resource_type: &ResourceType,
    id: &str,
) -> Result<Response, Failure> {
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    context.store.write(context.now, |tx| {
        let stored = load(tx, kind, id)?;
        tx.delete_resource(kind, &stored)?;
        log(context, tx, "DELETE", kind, id, 204, &json!({}))?;
        Ok::<_, Failure>(())
    })?;
    Ok(Response::empty(204))
}

/// Changes a resource in one transaction: what is judged is what is replaced. A change that changes
/// nothing is not written, so `lastModified` and `version` stay.
fn change(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
    id: &str,
    method: &str,
    apply: impl FnOnce(&Map<String, Value>) -> Result<Map<String, Value>, Error>,
) -> Result<Response, Failure> {
    let projection = projection(request, resource_type)?;
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let stored = context.store.write(context.now, |tx| {
        let stored = load(tx, kind, id)?;
        let before = stored.parse()?;
        let after = apply(&before)?;
        let changes = changes(&before, &after);
        if changes.as_object().is_some_and(Map::is_empty) {
            return Ok(stored);
        }
        refuse_duplicate(tx, kind, resource_type, &after, id)?;
        let stored = tx.replace_resource(kind, &stored, &before, &after)?;
        judge_size(&stored)?;
        log(context, tx, method, kind, id, 200, &changes)?;
        Ok::<_, Failure>(stored)
    })?;
    answer(200, resource_type, &stored, &base, projection.as_ref())
}

/// Where a resource is.
#[must_use]
pub fn location(base: &str, id: &str) -> String {
    format!("{base}{id}")
}

/// The metadata of a stored resource.
#[must_use]
pub fn meta_of(resource_type: &ResourceType, stored: &Stored, location: String) -> Meta {
    Meta {
        resource_type: resource_type.name.clone(),
        created: stored.created,
        last_modified: stored.last_modified,
        location,
        version: stored.version,
    }
}

fn load(tx: &Read, kind: Kind, id: &str) -> Result<Stored, Failure> {
    match tx.resource(kind, id)? {
        Some(stored) => Ok(stored),
        None => Err(Error::new(
            404,
            format!(
                "There is no {} with the id \"{}\" in this organisation. If it was deleted here, \
                 unassign and assign it again in the identity provider.",
                kind.resource_type,
                quoted(id)
            ),
        )
        .into()),
    }
}

fn answer(
    status: u16,
    resource_type: &ResourceType,
    stored: &Stored,
    base: &str,
    projection: Option<&Projection>,
) -> Result<Response, Failure> {
    let location = location(base, &stored.id);
    let meta = meta_of(resource_type, stored, location.clone());
    let body = match projection {
        None => splice(&stored.document, &meta),
        Some(projection) => {
            let whole = with_meta(stored.parse()?, &meta);
            Value::Object(projection.apply(whole, resource_type)).to_string()
        }
    };
    // RFC 7644 section 3.3 asks for Location at a creation, section 3.1 for it where it helps.
    Ok(scim_response(status, body).with_header("Location", location))
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
/// so that the answer can name the attribute and the resource (RFC 7644 section 3.3).
fn refuse_duplicate(
    tx: &Write,
    kind: Kind,
    resource_type: &ResourceType,
    document: &Map<String, Value>,
    id: &str,
) -> Result<(), Failure> {
    for attribute in &resource_type.core.attributes {
        let unique = attribute.uniqueness != Uniqueness::None && !attribute.multi_valued;
        let Some(value) = document.get(&attribute.name).and_then(Value::as_str) else {
            continue;
        };
        let Some(path) = AttrPath::new(&attribute.name).filter(|_| unique) else {
            continue;
        };
        let filter = Filter::Compare(path, CompareOp::Eq, Literal::String(value.to_owned()));
        let condition = Condition::of_resource(&filter, resource_type)?;
        if let Some(holder) = tx.holder(kind, &condition, id)? {
            return Err(Error::uniqueness(format!(
                "{} \"{}\" is already used by the {} with the id {holder}. The identity provider \
                 can find and link that account with the filter {} eq \"…\".",
                attribute.name,
                quoted(value),
                kind.resource_type,
                attribute.name,
            ))
            .into());
        }
    }
    Ok(())
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
