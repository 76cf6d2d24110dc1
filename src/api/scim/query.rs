//! Lists of resources (RFC 7644 sections 3.4.2 and 3.4.3, RFC 9865).

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::bookmarks::{End, Total};
use crate::api::scim::cursor::Cursor;
use crate::api::scim::long_page::LongPage;
use crate::api::scim::page;
use crate::api::scim::render::scim_response;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::{Error, quoted};
use crate::scim::message::{ListResponse, SearchRequest, wrong_count};
use crate::scim::returned::Projection;
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::schema::service_provider_config::{COUNT_DEFAULT, COUNT_MAX};
use crate::store::query::listing::{From, Listing};

/// `GET /{type}`, and `GET /` over all types.
///
/// # Errors
/// 400 for a parameter that cannot be read.
pub fn list(
    context: &Context,
    resource_types: &[&ResourceType],
    request: &Request,
) -> Result<Response, Failure> {
    answer(context, resource_types, &from_url(request, context.strict())?)
}

/// `POST /{type}/.search`, and `POST /.search` over all types.
///
/// # Errors
/// 400 for what is wrong with the body.
pub fn search(
    context: &Context,
    resource_types: &[&ResourceType],
    request: &Request,
) -> Result<Response, Failure> {
    answer(
        context,
        resource_types,
        &SearchRequest::parse(&context.body(request)?, context.strict())?,
    )
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

fn answer(
    context: &Context,
    resource_types: &[&ResourceType],
    search: &SearchRequest,
) -> Result<Response, Failure> {
    let chosen = page::choose(context, resource_types, search)?;
    let locations = context.locations();
    let from = From::Offset(search.start_index - 1);
    let limit = search.count.unwrap_or(COUNT_DEFAULT).clamp(0, COUNT_MAX);
    let listing = page::listing(context, &chosen, &locations, search, from, limit);
    let mut listing = Listing { count: true, ..listing };
    let types: Vec<&str> = resource_types.iter().map(|it| it.name.as_str()).collect();
    let (org, types) = (format!("{:?}", context.principal.org.key), types.join(","));
    let query = [
        org.as_str(),
        &types,
        search.filter.as_deref().unwrap_or_default(),
        search.sort_by.as_deref().unwrap_or_default(),
        if search.descending { "descending" } else { "ascending" },
    ];
    let Some(text) = &search.cursor else {
        return by_index(context, &chosen, listing, search, &query);
    };
    let count = search.count.unwrap_or(COUNT_DEFAULT).max(0);
    if count > COUNT_MAX {
        return Err(Error::invalid_count(format!(
            "count is {count}, and a page has at most {COUNT_MAX} resources."
        ))
        .into());
    }
    let cursor = match text.as_str() {
        "" => None,
        text => Some(Cursor::read(text, &query, context.now)?),
    };
    if let Some(cursor) = &cursor {
        if cursor.count != count {
            return Err(Error::invalid_count(format!(
                "count is {count}, and the first page was asked for with {}; it must stay the \
                 same.",
                cursor.count
            ))
            .into());
        }
        let position = &cursor.position;
        listing.from = if cursor.backward { From::Before(position) } else { From::After(position) };
        // Counted once, with the first page.
        listing.count = false;
    }
    let (page, made, places) =
        page::read(context, listing.limit, listing.is_quick(), |tx, taken| {
            let page = tx.list(&listing)?;
            let made = page::make(context, tx, &chosen, &listing, &page.seqs, taken)?;
            let Some(made) = made else { return Ok(None) };
            let place = |seq: Option<i64>| seq.map(|it| tx.position(&listing, it)).transpose();
            let places = [place(made.text.first)?, place(made.text.last)?];
            Ok(Some((page, made, places)))
        })?;
    let more = page.more || made.count() < page.count();
    let total = page.total.or(cursor.as_ref().and_then(|it| it.total));
    let write =
        |position, backward| Cursor { position, backward, total, count }.write(&query, context.now);
    let [first, last] = places;
    let backward = cursor.as_ref().is_some_and(|it| it.backward);
    // Whoever comes from somewhere can go back there.
    let next = last.filter(|_| more || backward);
    let previous = first.filter(|_| if backward { more } else { cursor.is_some() });
    let text = made.print(context, &chosen)?;
    let list = ListResponse {
        total,
        next_cursor: next.map(|it| write(it, false)),
        previous_cursor: previous.map(|it| write(it, true)),
        count: text.count,
        resources: text.json,
        ..ListResponse::default()
    };
    Ok(scim_response(200, list.to_text()))
}

/// A page by `startIndex`. Where the page before it has been sent to the same client a moment ago,
/// it goes on behind that one, wherever in the list that is.
fn by_index(
    context: &Context,
    chosen: &[page::Chosen],
    listing: Listing,
    search: &SearchRequest,
    query: &[&str],
) -> Result<Response, Failure> {
    let offset = search.start_index - 1;
    let quick = listing.is_quick();
    // What a client may name in a filter, such as `meta.location`, depends on these too.
    let schemas = context.principal.org.schemas.to_string();
    let walk = [query, &[&context.principal.token, context.base_url, &schemas]].concat();
    // A lookup has one page, and is not to be kept waiting.
    let (end, counted) = match quick && offset == 0 {
        true => (None, None),
        false => context.bookmarks.find(&walk, offset, context.now),
    };
    // A page of none asks for the length alone.
    let end = end.filter(|_| listing.limit > 0);
    let position = end.map(|it| it.position);
    let from = position.as_ref().map_or(listing.from, From::After);
    let mut listing = Listing { from, ..listing };
    let limit = listing.limit;
    let (page, made, last, change, counted) = page::read(context, limit, quick, |tx, taken| {
        // Counting may take longer than all else, and nobody has to while nothing changes.
        let change = if quick { None } else { Some(context.last_change(tx)?) };
        let counted = counted.filter(|it| Some(it.change) == change);
        listing.count = counted.is_none();
        let page = tx.list(&listing)?;
        let made = page::make(context, tx, chosen, &listing, &page.seqs, taken)?;
        let Some(made) = made else { return Ok(None) };
        let last = made.text.last.map(|it| tx.position(&listing, it)).transpose()?;
        Ok(Some((page, made, last, change, counted)))
    })?;
    // What is too large to be made at once is sent behind it.
    let behind = page.count() - made.count();
    let total = page.total.or(counted.map(|it| it.count));
    let seen = offset + page.count();
    let known = total.zip(change).map(|(count, change)| Total { count, change });
    // Behind the last page too: some clients walk on until a page is empty.
    if let Some(position) = last.clone().filter(|_| behind == 0 && (page.more || offset > 0)) {
        let end = End { index: seen, asked: seen, position, read: context.now };
        context.bookmarks.put(&walk, offset, end, known);
    }
    // Who was deleted on earlier pages counts no more, and who was restored there does; but a
    // client that adds up what it got must neither end before the list does nor ask for ever.
    let total = total.map(|it| match position.is_some() {
        true if page.more => it.max(seen + 1),
        true => it.min(seen),
        false => it,
    });
    let sent = made.count();
    let text = made.print(context, chosen)?;
    let list = ListResponse {
        total,
        start_index: Some(search.start_index),
        count: text.count,
        resources: text.json,
        ..ListResponse::default()
    };
    let Some(position) = last.filter(|_| behind > 0) else {
        return Ok(scim_response(200, list.to_text()));
    };
    let rest = LongPage {
        types: chosen.iter().map(|it| it.resource_type.name.clone()).collect(),
        search: search.clone(),
        quick,
        walk: walk.iter().map(|it| (*it).to_owned()).collect(),
        read: context.now,
        position,
        total: known,
        offset,
        limit: listing.limit,
        sent,
        last: sent,
        ended: false,
    };
    *context.notes.rest.borrow_mut() = Some(Box::new(rest));
    Ok(scim_response(200, list.to_beginning()))
}

fn from_url(request: &Request, strict: bool) -> Result<SearchRequest, Error> {
    let order = parameter(request, "sortOrder")?;
    let cursor = parameter(request, "cursor").map_err(|it| Error::invalid_cursor(it.detail))?;
    let count = number(request, "count", strict).map_err(|it| wrong_count(it, cursor.is_some()))?;
    Ok(SearchRequest {
        filter: parameter(request, "filter")?,
        sort_by: parameter(request, "sortBy")?,
        descending: order.is_some_and(|it| it.trim().eq_ignore_ascii_case("descending")),
        start_index: number(request, "startIndex", strict)?.unwrap_or(1).max(1),
        count,
        cursor,
        attributes: parameter(request, "attributes")?,
        excluded_attributes: parameter(request, "excludedAttributes")?,
    })
}

fn parameter(request: &Request, name: &str) -> Result<Option<String>, Error> {
    request.parameter(name).transpose().map_err(|_| {
        Error::invalid_value(format!("The parameter {name} is not percent-encoded UTF-8 text."))
    })
}

/// A whole number; nothing where the client says nothing behind the `=`. One beyond what can be
/// counted to is as good as the largest.
fn number(request: &Request, name: &str, strict: bool) -> Result<Option<i64>, Error> {
    let Some(text) = parameter(request, name)? else {
        return Ok(None);
    };
    let text = text.trim();
    if text.is_empty() && !strict {
        return Ok(None);
    }
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

/// The `Resources` of a list that is never long, such as the schemas.
#[must_use]
pub fn whole_list(documents: impl Iterator<Item = String>) -> Response {
    let resources: Vec<String> = documents.collect();
    let total = i64::try_from(resources.len()).ok();
    let (count, resources) = (resources.len(), resources.join(","));
    let list =
        ListResponse { total, start_index: Some(1), count, resources, ..ListResponse::default() };
    scim_response(200, list.to_text())
}
