//! Changes and refusals in the order of time, page by page.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::activity::{Entry, Happened, MEMBERS_SHOWN_MAX};
use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::query::story::{Change, From, Refused, Wanted};
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::TOKEN;
use crate::store::transaction::Read;

/// How many lines are read at once while one of them is looked for.
const LINES_AT_ONCE_MAX: usize = 500;

/// What of it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of which organisation, and about whom.
    pub wanted: Wanted,
    /// Whether only what was done is, or only what was refused.
    pub only: Option<Only>,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// A part of what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Changes.
    Done,
    /// Refused requests.
    Refused,
}

/// A place in the story: changes and refusals are numbered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of a line of the record.
    pub change: i64,
    /// The number of a refusal.
    pub refusal: i64,
}

/// A part of the story.
#[derive(Debug)]
pub struct Page {
    /// The newest first.
    pub entries: Vec<Entry>,
    /// Where it goes on, when there is more.
    pub next: Option<Place>,
}

impl Place {
    /// Behind everything.
    pub const END: Place = Place { change: i64::MAX, refusal: i64::MAX };

    /// The place behind this one, and behind that.
    fn after(self, it: &Happened) -> Place {
        match it {
            Happened::Change(it) => Place { change: it.seq.max(self.change), ..self },
            Happened::Refusal(it) => Place { refusal: it.seq.max(self.refusal), ..self },
        }
    }

    /// The place before this one, and before that.
    fn before(self, it: &Happened) -> Place {
        match it {
            Happened::Change(it) => Place { change: it.seq.min(self.change), ..self },
            Happened::Refusal(it) => Place { refusal: it.seq.min(self.refusal), ..self },
        }
    }
}

/// The newest place of the story.
///
/// # Errors
/// Failures of the store.
pub fn newest(read: &Read) -> Result<Place, Error> {
    let (change, refusal) = read.newest_numbers()?;
    Ok(Place { change, refusal })
}

/// The part of the story before a place, the newest first, at most so many entries.
///
/// # Errors
/// Failures of the store.
pub fn page(read: &Read, filter: &Filter, before: Place, most: usize) -> Result<Page, Error> {
    let one_more = most.saturating_add(1);
    let (changes, cut) = match filter.only {
        Some(Only::Refused) => (Vec::new(), false),
        _ => read.changes(&filter.wanted, From::Before(before.change), one_more)?,
    };
    let last = changes.last().filter(|_| cut).map(|it| it.seq);
    let refusals = match filter.only {
        Some(Only::Done) => Vec::new(),
        _ => read.refusals(&filter.wanted, From::Before(before.refusal), one_more)?,
    };
    let mut all = merged(changes, refusals, |change, refusal| change >= refusal);
    let is_wanted = |it: &Happened| filter.since.is_none_or(|since| it.time() >= since);
    let cut = cut_behind(&mut all, last) && all.len() <= most;
    // Behind a refusal that is too old there may be one that was counted again since.
    let goes_on = |it: &Happened| is_wanted(it) || matches!(it, Happened::Refusal(_));
    let is_more = all.get(most).is_some_and(goes_on) || (cut && all.last().is_some_and(is_wanted));
    all.truncate(most);
    let next = is_more.then(|| all.iter().fold(before, Place::before));
    all.retain(is_wanted);
    Ok(Page { entries: named(read, all)?, next })
}

/// The same where few of very many lines may fit: no more than so many are looked at. Returns how
/// far back that was, too, unless it was to the beginning.
///
/// # Errors
/// Failures of the store.
pub fn search(
    read: &Read,
    filter: &Filter,
    before: Place,
    most: usize,
    lines: usize,
) -> Result<(Page, Option<Timestamp>), Error> {
    let floor = match (filter.wanted.org, &filter.wanted.about, filter.only) {
        // What is about one resource has an index, and there are few refusals.
        (_, Some(_), _) | (_, _, Some(Only::Refused)) | (None, ..) => None,
        (Some(org), None, _) => read.line_back(org, before.change, lines)?,
    };
    let Some((least, time)) = floor else { return Ok((page(read, filter, before, most)?, None)) };
    let since = Some(filter.since.map_or(time, |it| it.max(time)));
    let wanted = Wanted { least, ..filter.wanted.clone() };
    let part = Filter { wanted, since, only: filter.only };
    let mut page = page(read, &part, before, most)?;
    if page.next.is_some() {
        let reached = page.entries.last().map(|it| it.happened.time());
        return Ok((page, reached));
    }
    let place = page.entries.iter().map(|it| &it.happened).fold(before, Place::before);
    page.next = Some(Place { change: least, ..place });
    Ok((page, Some(time)))
}

/// Changes and refusals as one list, each in the order of its own numbers, by which the next part
/// goes on. That is the order of time but for a refusal that is counted again and again, whose time
/// is that of the last one, and for a clock that was set back. `change_first` judges the times of a
/// change and of a refusal that may both be next.
fn merged(
    changes: Vec<Change>,
    refusals: Vec<Refused>,
    change_first: impl Fn(Timestamp, Timestamp) -> bool,
) -> Vec<Happened> {
    let mut all = Vec::with_capacity(changes.len() + refusals.len());
    let mut changes = changes.into_iter().map(Happened::Change).peekable();
    let mut refusals = refusals.into_iter().map(Happened::Refusal).peekable();
    loop {
        let change_is_next = match (changes.peek(), refusals.peek()) {
            (Some(change), Some(refusal)) => change_first(change.time(), refusal.time()),
            (change, _) => change.is_some(),
        };
        match if change_is_next { changes.next() } else { refusals.next() } {
            Some(next) => all.push(next),
            None => return all,
        }
    }
}

/// Leaves out what stands behind the last line that was read, where there are more lines: they
/// belong in between. Returns whether that is so.
fn cut_behind(all: &mut Vec<Happened>, last: Option<i64>) -> bool {
    let Some(last) = last else { return false };
    let is_last = |it: &Happened| matches!(it, Happened::Change(it) if it.seq == last);
    if let Some(at) = all.iter().position(is_last) {
        all.truncate(at + 1);
    }
    true
}

/// What has happened behind a place, the oldest first, the place behind that, and whether it may go
/// on there.
///
/// # Errors
/// Failures of the store.
pub fn after(
    read: &Read,
    filter: &Filter,
    after: Place,
    most: usize,
) -> Result<(Vec<Entry>, Place, bool), Error> {
    let (changes, cut) = match filter.only {
        Some(Only::Refused) => (Vec::new(), false),
        _ => read.changes(&filter.wanted, From::After(after.change), most)?,
    };
    let last = changes.last().filter(|_| cut).map(|it| it.seq);
    let refusals = match filter.only {
        Some(Only::Done) => Vec::new(),
        _ => read.refusals(&filter.wanted, From::After(after.refusal), most)?,
    };
    let mut all = merged(changes, refusals, |change, refusal| change <= refusal);
    let more = cut_behind(&mut all, last) || all.len() >= most;
    let place = all.iter().fold(after, Place::after);
    Ok((named(read, all)?, place, more))
}

/// The last entries of a part of the story, the newest first.
///
/// # Errors
/// Failures of the store.
pub fn last(read: &Read, wanted: &Wanted, most: usize) -> Result<Vec<Entry>, Error> {
    let filter = Filter { wanted: wanted.clone(), ..Filter::default() };
    Ok(page(read, &filter, Place::END, most)?.entries)
}

/// The newest change of which this holds.
///
/// # Errors
/// Failures of the store.
pub fn newest_change(
    read: &Read,
    wanted: &Wanted,
    is_it: impl Fn(&Change) -> bool,
) -> Result<Option<Entry>, Error> {
    // It is most likely one of the last.
    let (mut before, mut most) = (i64::MAX, 1);
    loop {
        let (changes, _) = read.changes(wanted, From::Before(before), most)?;
        let Some(oldest) = changes.last() else { return Ok(None) };
        (before, most) = (oldest.seq, LINES_AT_ONCE_MAX.min(most * 8));
        if let Some(found) = changes.into_iter().find(&is_it) {
            return Ok(named(read, vec![Happened::Change(found)])?.pop());
        }
    }
}

/// Entries with what their resources and organisations are called.
fn named(read: &Read, all: Vec<Happened>) -> Result<Vec<Entry>, Error> {
    let orgs: HashMap<OrgKey, String> =
        read.orgs()?.into_iter().map(|it| (it.key, it.name)).collect();
    let mut ids: BTreeMap<OrgKey, Vec<&str>> = BTreeMap::new();
    let mut with_tokens = BTreeSet::new();
    for it in &all {
        let of_org = ids.entry(it.org()).or_default();
        of_org.extend(it.resource());
        of_org.extend(it.members(MEMBERS_SHOWN_MAX));
        if matches!(it, Happened::Change(it) if it.resource_type == TOKEN) {
            with_tokens.insert(it.org());
        }
    }
    let mut names: HashMap<String, String> = HashMap::new();
    for (org, ids) in ids {
        let found = read.names(org, &ids)?.into_iter();
        names.extend(found.filter_map(|(id, it)| Some((id, it.user_name.or(it.display)?))));
    }
    for org in with_tokens {
        let tokens = read.tokens(org)?.into_iter().filter(|it| !it.label.is_empty());
        names.extend(tokens.map(|it| (it.id, it.label)));
    }
    let entry = |happened: Happened| {
        let members = happened.members(MEMBERS_SHOWN_MAX).into_iter();
        let members = members.filter_map(|it| names.get_key_value(it));
        Entry {
            org: orgs.get(&happened.org()).cloned().unwrap_or_default(),
            name: happened.resource().and_then(|it| names.get(it)).cloned(),
            members: members.map(|(id, it)| (id.clone(), it.clone())).collect(),
            happened,
        }
    };
    Ok(all.into_iter().map(entry).collect())
}
