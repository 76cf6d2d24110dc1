//! Lists of resources (RFC 7644 sections 3.4.2 and 3.4.3, RFC 9865).

use std::collections::HashMap;

use serde_json::Value;

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::bookmarks::{End, Total};
use crate::api::scim::cursor::Cursor;
use crate::api::scim::render::{Links, View, scim_response};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::scim::error::{Error, quoted};
use crate::scim::filter::condition::Condition;
use crate::scim::filter::grammar;
use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::message::{ListResponse, SearchRequest, wrong_count};
use crate::scim::returned::Projection;
use crate::scim::schema::attribute::Type;
use crate::scim::schema::name::{GROUPS, MEMBERS};
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::schema::service_provider_config::{COUNT_DEFAULT, COUNT_MAX};
use crate::scim::strict;
use crate::store::query::listing::{From, Listing, PAGE_BYTES_MAX, Page, Part};
use crate::store::transaction::Read;

/// A page of so few resources is not counted before it is read.
const LIMIT_SMALL: i64 = 20;

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

/// One type's part in an answer.
struct Chosen<'a> {
    resource_type: &'a ResourceType,
    location_base: String,
    condition: Option<Condition>,
    sort: Option<Target>,
    projection: Option<Projection>,
}

impl Chosen<'_> {
    fn view(&self) -> View<'_> {
        View {
            resource_type: self.resource_type,
            location_base: &self.location_base,
            projection: self.projection.as_ref(),
            brief: false,
            hides: self.resource_type.hides(),
        }
    }
}

fn answer(
    context: &Context,
    resource_types: &[&ResourceType],
    search: &SearchRequest,
) -> Result<Response, Failure> {
    let chosen = choose(context, resource_types, search)?;
    let parts = chosen.iter().map(|it| Part {
        resource_type: &it.resource_type.name,
        location_base: &it.location_base,
        condition: it.condition.as_ref(),
        sort: it.sort.as_ref(),
    });
    let locations = context.locations();
    let mut listing = Listing {
        org: context.principal.org.key,
        parts: parts.collect(),
        locations: &locations,
        sorted: chosen.iter().any(|it| it.sort.is_some()),
        descending: search.descending,
        from: From::Offset(search.start_index - 1),
        limit: search.count.unwrap_or(COUNT_DEFAULT).clamp(0, COUNT_MAX),
        count: true,
    };
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
    take_page(context, &listing)?;
    let (page, links) = read(context, listing.is_quick(), |tx| {
        let mut page = tx.list(&listing)?;
        let links = links(context, tx, &chosen, &mut page)?;
        Ok((page, links))
    })?;
    let total = page.total.or(cursor.as_ref().and_then(|it| it.total));
    let write =
        |position, backward| Cursor { position, backward, total, count }.write(&query, context.now);
    let (first, last) = (page.resources.first(), page.resources.last());
    let backward = cursor.as_ref().is_some_and(|it| it.backward);
    // Whoever comes from somewhere can go back there.
    let next = last.filter(|_| page.more || backward);
    let previous = first.filter(|_| if backward { page.more } else { cursor.is_some() });
    let list = ListResponse {
        total,
        next_cursor: next.map(|it| write(it.position.clone(), false)),
        previous_cursor: previous.map(|it| write(it.position.clone(), true)),
        resources: print(context, &chosen, &page, &links)?,
        ..ListResponse::default()
    };
    Ok(scim_response(200, list.to_text()))
}

/// A page by `startIndex`. Where the page before it has been sent to the same client a moment ago,
/// it goes on behind that one, wherever in the list that is.
fn by_index(
    context: &Context,
    chosen: &[Chosen],
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
    // Whoever comes back at what was asked for, although the page had less.
    let counts_asked = end.as_ref().is_some_and(|it| it.index != offset);
    let position = end.map(|it| it.position);
    let from = position.as_ref().map_or(listing.from, From::After);
    let mut listing = Listing { from, ..listing };
    take_page(context, &listing)?;
    let (page, links, change, counted) = read(context, quick, |tx| {
        // Counting may take longer than all else, and nobody has to while nothing changes.
        let change = if quick { None } else { Some(context.last_change(tx)?) };
        let counted = counted.filter(|it| Some(it.change) == change);
        listing.count = counted.is_none();
        let mut page = tx.list(&listing)?;
        let links = links(context, tx, chosen, &mut page)?;
        Ok((page, links, change, counted))
    })?;
    let total = page.total.or(counted.map(|it| it.count));
    let seen = offset + i64::try_from(page.resources.len()).unwrap_or(i64::MAX / 2);
    // A page that ended before `count` is counted as a whole one by some clients.
    let asked = if page.more { offset + listing.limit } else { seen };
    // Behind the last page too: some clients walk on until a page is empty.
    if let Some(last) = page.resources.last().filter(|_| page.more || offset > 0) {
        let position = last.position.clone();
        let end = End { index: seen, asked, position, read: context.now };
        let total = total.zip(change).map(|(count, change)| Total { count, change });
        context.bookmarks.put(&walk, offset, end, total);
    }
    // Who was deleted on earlier pages counts no more, and who was restored there does; but a
    // client that adds up what it got must neither end before the list does nor ask for ever.
    let total = total.map(|it| match position.is_some() {
        true if page.more && counts_asked => it.max(asked + 1),
        true if page.more => it.max(seen + 1),
        true => it.min(seen),
        false => it,
    });
    let list = ListResponse {
        total,
        start_index: Some(search.start_index),
        resources: print(context, chosen, &page, &links)?,
        ..ListResponse::default()
    };
    Ok(scim_response(200, list.to_text()))
}

/// Takes the memory of a page, before anything of it is read.
fn take_page(context: &Context, listing: &Listing) -> Result<(), Error> {
    match listing.limit > LIMIT_SMALL {
        true => context.take(PAGE_BYTES_MAX),
        false => Ok(()),
    }
}

fn read<T>(
    context: &Context,
    quick: bool,
    work: impl FnOnce(&Read) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if quick { context.read(work) } else { context.read_long(work) }
}

/// Judges a search for each resource type. Where it is asked of several, an attribute that one of
/// them has not is without a value there (RFC 7644 section 3.4.2.1); when none has it, that is the
/// client's mistake. So it is with the attribute to sort by.
fn choose<'a>(
    context: &Context,
    resource_types: &[&'a ResourceType],
    search: &SearchRequest,
) -> Result<Vec<Chosen<'a>>, Error> {
    let filter = match &search.filter {
        Some(text) if !text.trim().is_empty() => Some(grammar::parse(text)?),
        _ => None,
    };
    let sort_by = search.sort_by.as_deref().map(str::trim).filter(|it| !it.is_empty());
    let sorts = resource_types.iter().map(|it| sort_by.map(|text| sort(text, it)).transpose());
    let mut sorts: Vec<Result<Option<Target>, Error>> = sorts.collect();
    if sorts.iter().all(Result::is_err) && !sorts.is_empty() {
        sorts.swap_remove(0)?;
    }
    let mut chosen = Vec::new();
    let mut refusal = None;
    for (resource_type, sort) in resource_types.iter().zip(sorts) {
        let condition = filter.as_ref().map(|it| {
            if context.strict() {
                strict::judge_filter(it, resource_type)?;
            }
            Condition::among(it, resource_type, resource_types)
        });
        let condition = match condition.transpose() {
            Ok(condition) => condition,
            Err(error) => {
                refusal.get_or_insert(error);
                continue;
            }
        };
        let attributes = search.attributes.as_deref();
        let excluded = search.excluded_attributes.as_deref();
        chosen.push(Chosen {
            resource_type,
            location_base: context.location_base(resource_type),
            condition,
            sort: sort.unwrap_or_default(),
            projection: Projection::new(attributes, excluded, resource_type)?,
        });
    }
    match refusal {
        Some(error) if chosen.is_empty() => Err(error),
        _ => Ok(chosen),
    }
}

fn sort(text: &str, resource_type: &ResourceType) -> Result<Target, Error> {
    let wrong = |why: &str| {
        Error::invalid_path(format!("The list cannot be sorted by \"{}\": {why}", quoted(text)))
    };
    let target = AttrPath::new(text).and_then(|it| resource_type.resolve(&it));
    // Below a URN that nobody registered there is no name, to the letter.
    let target = target.filter(|it| !resource_type.strict || it.attribute.kind != Type::Any);
    let mut target = target.ok_or_else(|| wrong("no schema of these resources defines it."))?;
    if target.leaf().is_secret() {
        return Err(wrong("it is never shown."));
    }
    if target.is_core(MEMBERS) || target.is_core(GROUPS) {
        return Err(wrong("membership has no order."));
    }
    if target.leaf().kind == Type::Complex {
        let value = target.attribute.sub_attribute("value").cloned();
        target.sub = Some(value.ok_or_else(|| wrong("name one of its sub-attributes."))?);
    }
    Ok(target)
}

/// The members and groups of the resources of a page. Where the page would be larger than a page
/// may be, it ends earlier (RFC 7644 section 3.4.2.4 allows fewer than `count`): the next page goes
/// on behind what was sent.
fn links(
    context: &Context,
    tx: &Read,
    chosen: &[Chosen],
    page: &mut Page,
) -> Result<HashMap<i64, Links>, Failure> {
    let mut all = HashMap::new();
    let (mut bytes, mut next, mut step) = (0, 0, 1);
    while next < page.resources.len() {
        let end = (next + step).min(page.resources.len());
        let mut found = HashMap::new();
        for it in chosen {
            let part = page.resources[next..end].iter();
            let of_type = part.filter(|of| of.resource_type == it.resource_type.name);
            let seqs: Vec<i64> = of_type.map(|it| it.stored.seq).collect();
            found.extend(it.view().links(context, tx, &seqs)?);
        }
        let before = bytes;
        for (i, it) in page.resources[next..end].iter().enumerate() {
            let links = found.remove(&it.stored.seq).unwrap_or_default();
            bytes += it.stored.document.len() + links.bytes();
            if bytes > PAGE_BYTES_MAX && next + i > 0 {
                page.resources.truncate(next + i);
                page.more = true;
                return Ok(all);
            }
            all.insert(it.stored.seq, links);
        }
        // Many light ones are asked for at once, heavy ones each by itself.
        step = if bytes - before < PAGE_BYTES_MAX / 64 { step * 2 } else { 1 };
        next = end;
    }
    Ok(all)
}

/// The resources of a page as JSON, each as its own type shows it.
fn print(
    context: &Context,
    chosen: &[Chosen],
    page: &Page,
    links: &HashMap<i64, Links>,
) -> Result<Vec<String>, Failure> {
    let none = Links::default();
    let views: Vec<View> = chosen.iter().map(Chosen::view).collect();
    let texts = page.resources.iter().filter_map(|listed| {
        let view = views.iter().find(|it| it.resource_type.name == listed.resource_type)?;
        let links = links.get(&listed.stored.seq).unwrap_or(&none);
        Some(view.print(context, &listed.stored, links))
    });
    Ok(texts.collect::<Result<_, _>>()?)
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
pub fn whole_list(documents: impl Iterator<Item = Value>) -> Response {
    let resources: Vec<String> = documents.map(|it| it.to_string()).collect();
    let total = i64::try_from(resources.len()).ok();
    let list = ListResponse { total, start_index: Some(1), resources, ..ListResponse::default() };
    scim_response(200, list.to_text())
}
