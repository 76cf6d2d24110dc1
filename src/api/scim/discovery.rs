//! What this server is and can: RFC 7644 section 4.

use serde_json::{Value, json};

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::query::whole_list;
use crate::api::scim::render::scim_response;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::{Error, quoted};
use crate::scim::print::to_text;
use crate::scim::schema::{service_provider_config, urn};

/// `GET /ServiceProviderConfig`
///
/// # Errors
/// None; the signature is that of every handler.
pub fn service_provider_config(context: &Context, _: &Request) -> Result<Response, Failure> {
    let location = format!("{}/ServiceProviderConfig", context.base_url);
    let body = printed(&service_provider_config::document(), "ServiceProviderConfig", &location);
    Ok(scim_response(200, body))
}

/// `GET /ResourceTypes`
///
/// # Errors
/// 403 for a filter.
pub fn resource_types(context: &Context, request: &Request) -> Result<Response, Failure> {
    refuse_filter(request)?;
    let types = context.definitions.resource_types.iter();
    Ok(whole_list(types.map(|it| resource_type_document(context, &it.document, &it.name))))
}

/// `GET /ResourceTypes/{name}`
///
/// # Errors
/// 404 when there is no such type.
pub fn resource_type(context: &Context, _: &Request, name: &str) -> Result<Response, Failure> {
    let Some(it) = context.definitions.resource_type(name) else {
        let detail = format!("There is no resource type \"{}\".", quoted(name));
        return Err(Error::new(404, detail).into());
    };
    let body = resource_type_document(context, &it.document, &it.name);
    Ok(scim_response(200, body))
}

/// `GET /Schemas`
///
/// # Errors
/// 403 for a filter.
pub fn schemas(context: &Context, request: &Request) -> Result<Response, Failure> {
    refuse_filter(request)?;
    let schemas = context.definitions.schemas.iter();
    Ok(whole_list(schemas.map(|it| schema_document(context, &it.document, &it.id))))
}

/// `GET /Schemas/{urn}`
///
/// # Errors
/// 404 when there is no such schema.
pub fn schema(context: &Context, _: &Request, urn: &str) -> Result<Response, Failure> {
    let Some(it) = context.definitions.schema(urn) else {
        let detail = format!("There is no schema \"{}\"; /Schemas lists them.", quoted(urn));
        return Err(Error::new(404, detail).into());
    };
    Ok(scim_response(200, schema_document(context, &it.document, &it.id)))
}

/// `/Me` and below (RFC 7644 section 3.11): a provisioning token is no user.
///
/// # Errors
/// 501, always.
pub fn me(_: &Context, _: &Request) -> Result<Response, Failure> {
    let detail =
        "/Me stands for the user who asks, and an API token is no user. Ask for /Users/{id}.";
    Err(Error::new(501, detail).into())
}

/// "If a "filter" is provided, the service provider SHOULD respond with HTTP status code 403" (RFC
/// 7644 section 4).
fn refuse_filter(request: &Request) -> Result<(), Error> {
    if request.parameter("filter").is_none() {
        return Ok(());
    }
    Err(Error::new(403, "This list is short and always given whole; leave the filter out."))
}

fn schema_document(context: &Context, document: &Value, id: &str) -> String {
    printed(document, "Schema", &format!("{}/Schemas/{id}", context.base_url))
}

fn resource_type_document(context: &Context, document: &Value, name: &str) -> String {
    let location = format!("{}/ResourceTypes/{name}", context.base_url);
    printed(document, "ResourceType", &location)
}

/// A document as it is answered, with where it is.
fn printed(document: &Value, resource_type: &str, location: &str) -> String {
    debug_assert!(document["schemas"][0].as_str().is_some_and(urn::is_urn));
    let mut members = document.as_object().cloned().unwrap_or_default();
    let meta = json!({ "resourceType": resource_type, "location": location });
    members.insert("meta".to_owned(), meta);
    to_text(&members)
}
