//! Lists of resources (RFC 7644 section 3.4.2).

use crate::endpoints::resource::{location, meta_of};
use crate::endpoints::{Context, Failure, scim_response};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::condition::Condition;
use crate::scim::error::{Error, quoted};
use crate::scim::resource::{splice, with_meta};
use crate::scim::resource_type::ResourceType;
use crate::scim::returned::Projection;
use crate::scim::service_provider_config::{COUNT_DEFAULT, COUNT_MAX};
use crate::scim::{filter, message};

/// `GET /{type}`
///
/// # Errors
/// 400 for a parameter that cannot be read.
pub fn list(
    context: &Context,
    resource_type: &ResourceType,
    request: &Request,
) -> Result<Response, Failure> {
    let start_index = number(request, "startIndex")?.unwrap_or(1).max(1);
    let count = number(request, "count")?.unwrap_or(COUNT_DEFAULT).clamp(0, COUNT_MAX);
    let condition = match parameter(request, "filter")? {
        Some(text) if !text.trim().is_empty() => {
            Some(Condition::of_resource(&filter::parse(&text)?, resource_type)?)
        }
        _ => None,
    };
    let projection = projection(request, resource_type)?;
    let base = context.location_base(resource_type);
    let kind = context.kind(resource_type, &base);
    let page =
        context.store.read(|tx| tx.page(kind, condition.as_ref(), start_index - 1, count))?;
    let mut resources = Vec::with_capacity(page.resources.len());
    for stored in &page.resources {
        let meta = meta_of(resource_type, stored, location(&base, &stored.id));
        resources.push(match &projection {
            None => splice(&stored.document, &meta),
            Some(projection) => {
                let whole = with_meta(stored.parse()?, &meta);
                serde_json::Value::Object(projection.apply(whole, resource_type)).to_string()
            }
        });
    }
    Ok(scim_response(200, message::list_response(page.total, start_index, &resources)))
}

/// What `attributes` and `excludedAttributes` ask for; nothing when the whole resource is wanted.
///
/// # Errors
/// 400 `invalidValue` when both are given or one cannot be read.
pub fn projection(
    request: &Request,
    resource_type: &ResourceType,
) -> Result<Option<Projection>, Error> {
    let attributes = parameter(request, "attributes")?;
    let excluded = parameter(request, "excludedAttributes")?;
    Projection::new(attributes.as_deref(), excluded.as_deref(), resource_type)
}

fn parameter(request: &Request, name: &str) -> Result<Option<String>, Error> {
    request.parameter(name).transpose().map_err(|_| {
        Error::invalid_value(format!("The parameter {name} is not percent-encoded UTF-8 text."))
    })
}

/// A whole number. One beyond what can be counted to is as good as the largest.
fn number(request: &Request, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = parameter(request, name)? else {
        return Ok(None);
    };
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(Error::invalid_value(format!(
            "{name} must be a whole number, and is \"{}\".",
            quoted(text)
        )));
    }
    // Room for one more than this must stay, so the end of i64 is left alone.
    let value = digits.parse::<i64>().unwrap_or(i64::MAX).min(i64::MAX / 4);
    Ok(Some(if negative { -value } else { value }))
}
