//! A page of a list: the search judged for each resource type, read and printed.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::api::body::Shape;
use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::page_text::{Text, Writer};
use crate::api::scim::render::{LINK_BYTES, LINK_VALUE_BYTES, Links, View};
use crate::memory::MEMORY_BYTES_FREE;
use crate::scim::datetime::Timestamp;
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
use crate::store::query::listing::{From, Listed, Listing, PAGE_BYTES_MAX, Part};
use crate::store::tables::resource::Shown;
use crate::store::transaction::Read;

/// A page of so few resources is not counted before it is read.
const LIMIT_SMALL: i64 = 20;
/// How many resources of which not everything is shown are read at once, at most: their groups are
/// all found before the first one is counted.
const TOGETHER_MAX: usize = 16;

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

/// A page in the making: its text, or what is still to be printed of it.
#[derive(Debug, Default)]
pub struct Made {
    /// The resources, as far as they are printed.
    pub text: Text,
    kept: Vec<Kept>,
}

/// A resource that is read, and of which not everything is shown.
#[derive(Debug)]
struct Kept {
    seq: i64,
    id: String,
    document: String,
    created: Timestamp,
    last_modified: Timestamp,
    version: i64,
    view: usize,
    links: Links,
}

impl Made {
    /// How many resources the page has.
    #[must_use]
    pub fn count(&self) -> i64 {
        i64::try_from(self.text.count).unwrap_or(i64::MAX / 2)
    }

    /// Prints what is not printed yet: parsing documents takes a while, and needs no connection.
    ///
    /// # Errors
    /// 503 when others have the memory that it needs, and failures of the store.
    pub fn print(mut self, context: &Context, chosen: &[Chosen]) -> Result<Text, Failure> {
        if self.kept.is_empty() {
            return Ok(self.text);
        }
        let views: Vec<View> = chosen.iter().map(Chosen::view).collect();
        // What its members take is charged for already.
        let memory = |it: &Kept| {
            let document = Shape::of(it.document.as_bytes()).memory(it.document.len());
            document + it.links.groups.as_ref().map_or(0, Vec::len) * LINK_VALUE_BYTES
        };
        let largest = self.kept.iter().map(memory).max();
        // Of a small one it is within what the page has taken.
        if let Some(bytes) = largest.filter(|it| *it > PAGE_BYTES_MAX / 4) {
            context.take(bytes)?;
        }
        // Each one goes when it is printed.
        for it in self.kept {
            let printed = views[it.view].print(context, it.shown(), &it.links)?;
            drop(it);
            self.text.reserve(printed.len() + 1);
            if !self.text.json.is_empty() {
                self.text.json.push(',');
            }
            self.text.json.push_str(&printed);
        }
        self.text.shrink();
        Ok(self.text)
    }
}

impl Kept {
    fn new(it: &Listed, view: usize) -> Kept {
        Kept {
            seq: it.shown.seq,
            id: it.shown.id.to_owned(),
            document: it.shown.document.to_owned(),
            created: it.shown.created,
            last_modified: it.shown.last_modified,
            version: it.shown.version,
            view,
            links: Links::default(),
        }
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            seq: self.seq,
            id: &self.id,
            document: &self.document,
            created: self.created,
            last_modified: self.last_modified,
            version: self.version,
        }
    }
}

/// Reads a page: `quick`, where indexes find it. Its memory is taken as it grows, without waiting;
/// where there is none, so that the closure returns `None`, it is read again once there is. Of one
/// that takes long to be found, memory is taken before. The closure is told how many bytes are
/// taken.
///
/// # Errors
/// 503 when others have the memory, and as [`Context::read`] and [`Context::read_long`].
pub fn read<T>(
    context: &Context,
    limit: i64,
    quick: bool,
    mut work: impl FnMut(&Read, usize) -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let mut covered = MEMORY_BYTES_FREE;
    let large = limit > LIMIT_SMALL && !quick;
    for first in [true, false] {
        if large || !first {
            context.take(PAGE_BYTES_MAX)?;
            covered += PAGE_BYTES_MAX;
        }
        let work = |tx: &Read| work(tx, covered);
        let made = if quick { context.read(work) } else { context.read_long(work) };
        if let Some(made) = made? {
            return Ok(made);
        }
    }
    Err(context.no_memory().into())
}

/// Reads the resources of a page, as many as fit into what is made at once; `None` where there is
/// no memory for even one, or none but what is free. Where nothing of them is left out, they are
/// printed as they are read.
///
/// # Errors
/// Failures of the store, and 503 when others have the memory that a large group needs.
pub fn make(
    context: &Context,
    tx: &Read,
    chosen: &[Chosen],
    listing: &Listing,
    seqs: &[i64],
    covered: usize,
) -> Result<Option<Made>, Failure> {
    let views: Vec<View> = chosen.iter().map(Chosen::view).collect();
    let backward = listing.from.is_backward();
    if !views.iter().all(View::is_plain) {
        let room = Room { context, bytes: 0, covered, starved: false };
        return Keeper { tx, views: &views, room, kept: Vec::new() }.keep(backward, seqs);
    }
    let locations = listing.locations;
    let writer = Writer { context, tx, views: &views, locations, seqs, backward };
    Ok(writer.write(covered)?.map(|text| Made { text, kept: Vec::new() }))
}

/// The memory of what is kept.
struct Room<'a, 'c> {
    context: &'a Context<'c>,
    /// How many bytes are kept.
    bytes: usize,
    /// How many are charged for.
    covered: usize,
    /// Whether there was no memory for more.
    starved: bool,
}

impl Room<'_, '_> {
    /// Makes room for so many bytes more, without waiting, since a connection is held; `false`
    /// where there is none. The first resource of a page may be larger than the page.
    fn make(&mut self, bytes: usize, first: bool) -> bool {
        let total = self.bytes + bytes;
        if total > PAGE_BYTES_MAX && !first {
            return false;
        }
        let lacking = total.saturating_sub(self.covered);
        if lacking > 0 {
            let step = lacking.max(PAGE_BYTES_MAX);
            if self.context.try_take(step).is_err() {
                self.starved = true;
                return false;
            }
            self.covered += step;
        }
        self.bytes = total;
        true
    }
}

/// Reads resources of which not everything is shown.
struct Keeper<'a, 'b, 'c> {
    tx: &'a Read<'a>,
    views: &'a [View<'a>],
    room: Room<'b, 'c>,
    kept: Vec<Kept>,
}

impl Keeper<'_, '_, '_> {
    fn keep(mut self, backward: bool, seqs: &[i64]) -> Result<Option<Made>, Failure> {
        let mut seqs = seqs.to_vec();
        if backward {
            seqs.reverse();
        }
        let (mut next, mut step, mut full) = (0, 1, false);
        while next < seqs.len() && !full {
            let end = (next + step).min(seqs.len());
            let before = self.room.bytes;
            full = !self.add(&seqs[next..end])?;
            // Many light ones are asked for at once, heavy ones each by itself.
            let light = self.room.bytes - before < PAGE_BYTES_MAX / 64;
            step = if light { (step * 2).min(TOGETHER_MAX) } else { 1 };
            next = end;
        }
        let Keeper { room, mut kept, .. } = self;
        // As long as nothing is taken, there may be memory for whoever waits for it.
        let starved = room.starved && room.covered < PAGE_BYTES_MAX;
        if full && (kept.is_empty() || starved) {
            return Ok(None);
        }
        if backward {
            kept.reverse();
        }
        let (first, last) = (kept.first().map(|it| it.seq), kept.last().map(|it| it.seq));
        let text = Text { json: String::new(), count: kept.len(), first, last };
        Ok(Some(Made { text, kept }))
    }

    /// Adds these resources; `false` where not all of them fit.
    fn add(&mut self, seqs: &[i64]) -> Result<bool, Failure> {
        let Keeper { tx, views, room, kept } = self;
        let begun = kept.len();
        let mut full = false;
        // The places and the numbers of those that may have groups which are shown.
        let mut in_groups: Vec<(usize, i64)> = Vec::new();
        tx.each_listed(seqs.iter().copied(), |it| {
            let named = |of: &View| of.resource_type.name == it.resource_type;
            let Some(view) = views.iter().position(named) else {
                return Ok(ControlFlow::Continue(()));
            };
            let at = kept.len();
            full = !room.make(it.shown.document.len(), at == 0);
            if full {
                return Ok(ControlFlow::Break(()));
            }
            if it.is_member && views[view].shows_groups() {
                in_groups.push((at, it.shown.seq));
            }
            kept.push(Kept::new(&it, view));
            Ok::<_, Failure>(ControlFlow::Continue(()))
        })?;
        let mut found = HashMap::new();
        for (number, view) in views.iter().enumerate() {
            let of_type = kept[begun..].iter().filter(|it| it.view == number);
            let seqs: Vec<i64> = of_type.map(|it| it.seq).collect();
            found.extend(view.members(room.context, tx, &seqs)?);
        }
        for at in begun..kept.len() {
            let links = found.remove(&kept[at].seq).unwrap_or_default();
            if !room.make(links.bytes(), at == 0) {
                kept.truncate(at);
                full = true;
                break;
            }
            kept[at].links = links;
        }
        in_groups.retain(|(at, _)| *at < kept.len());
        let numbers: Vec<i64> = in_groups.iter().map(|(_, seq)| *seq).collect();
        tx.each_group(&numbers, |number, group| {
            let Some((at, _)) = in_groups.get(number) else {
                return Ok(ControlFlow::Continue(()));
            };
            let bytes = LINK_BYTES + group.display.map_or(0, str::len);
            if !room.make(bytes, *at == 0) {
                kept.truncate(*at);
                full = true;
                return Ok(ControlFlow::Break(()));
            }
            kept[*at].links.groups.get_or_insert_default().push(group.to_owned());
            Ok::<_, Failure>(ControlFlow::Continue(()))
        })?;
        Ok(!full)
    }
}
