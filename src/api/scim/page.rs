//! A page of a list: the search judged for each resource type, read and printed.

use std::collections::HashMap;

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::render::{Links, View};
use crate::scim::error::{Error, quoted};
use crate::scim::filter::condition::Condition;
use crate::scim::filter::grammar;
use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::message::SearchRequest;
use crate::scim::returned::Projection;
use crate::scim::schema::attribute::Type;
use crate::scim::schema::name::{GROUPS, MEMBERS};
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::strict;
use crate::store::query::listing::{From, Listing, PAGE_BYTES_MAX, Page, Part};
use crate::store::transaction::Read;

/// A page of so few resources is not counted before it is read.
const LIMIT_SMALL: i64 = 20;

/// One type's part in an answer.
pub struct Chosen<'a> {
    /// The type.
    pub resource_type: &'a ResourceType,
    /// The URL of its resources, with a trailing slash.
    pub location_base: String,
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

/// Judges a search for each resource type. Where it is asked of several, an attribute that one of
/// them has not is without a value there (RFC 7644 section 3.4.2.1); when none has it, that is the
/// client's mistake. So it is with the attribute to sort by.
///
/// # Errors
/// 400 for a filter, an attribute to sort by or a projection that no type can follow.
pub fn choose<'a>(
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

/// The request for a page of what was chosen.
pub fn listing<'a>(
    context: &Context,
    chosen: &'a [Chosen],
    locations: &'a [(String, String)],
    search: &SearchRequest,
    from: From<'a>,
    limit: i64,
) -> Listing<'a> {
    let parts = chosen.iter().map(|it| Part {
        resource_type: &it.resource_type.name,
        location_base: &it.location_base,
        condition: it.condition.as_ref(),
        sort: it.sort.as_ref(),
    });
    Listing {
        org: context.principal.org.key,
        parts: parts.collect(),
        locations,
        sorted: chosen.iter().any(|it| it.sort.is_some()),
        descending: search.descending,
        from,
        limit,
        count: false,
    }
}

/// Takes the memory of a page, before anything of it is read.
///
/// # Errors
/// 503 when others have it.
pub fn take(context: &Context, listing: &Listing) -> Result<(), Error> {
    match listing.limit > LIMIT_SMALL {
        true => context.take(PAGE_BYTES_MAX),
        false => Ok(()),
    }
}

/// Reads a page: `quick`, where indexes find it.
///
/// # Errors
/// As [`Context::read`] and [`Context::read_long`].
pub fn read<T>(
    context: &Context,
    quick: bool,
    work: impl FnOnce(&Read) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if quick { context.read(work) } else { context.read_long(work) }
}

/// The members and groups of the resources of a page. Where they would be more than is read at
/// once, the page ends earlier, and says that there is more.
///
/// # Errors
/// Failures of the store, and 503 when others have the memory that a large group needs.
pub fn links(
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
///
/// # Errors
/// As [`View::print`].
pub fn print(
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
