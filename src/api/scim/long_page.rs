//! The rest of a page by index that is longer than what is read at once.
//!
//! RFC 7644 section 3.4.2.4 allows a page to have fewer resources than `count`, but some clients go
//! on behind what they asked for, whatever they got, and take for deleted whom they were not told
//! of. So a page has them all, and is read and sent in parts.

use crate::api::context::{Context, Rest};
use crate::api::failure::Failure;
use crate::api::scim::bookmarks::{End, Total};
use crate::api::scim::page;
use crate::api::scim::page_text::Text;
use crate::scim::datetime::Timestamp;
use crate::scim::error::Error;
use crate::scim::message::{ListResponse, SearchRequest};
use crate::store::query::listing::{From, PAGE_BYTES_MAX, Position};

/// How many times as many resources as the last part had the next one may have: what is beyond its
/// bytes is looked up in vain.
const GROWTH: i64 = 2;

/// What is left of a page.
#[derive(Debug)]
pub struct LongPage {
    /// The names of the resource types.
    pub types: Vec<String>,
    /// What was asked for.
    pub search: SearchRequest,
    /// Whether indexes find it.
    pub quick: bool,
    /// What makes it the same list, asked for by the same client.
    pub walk: Vec<String>,
    /// When its first part was read.
    pub read: Timestamp,
    /// The place behind which the next part begins.
    pub position: Position,
    /// How many resources the list has, for whoever asks for the next page.
    pub total: Option<Total>,
    /// How many resources stand before the page.
    pub offset: i64,
    /// How many the page may have.
    pub limit: i64,
    /// How many it has had.
    pub sent: i64,
    /// How many the last part had.
    pub last: i64,
    /// Whether its end is sent.
    pub ended: bool,
}

impl Rest for LongPage {
    fn memory(&self) -> usize {
        PAGE_BYTES_MAX
    }

    fn next(&mut self, context: &Context) -> Result<Option<Vec<u8>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let named = |name: &String| {
            let found = context.definitions.resource_type(name);
            found.ok_or_else(|| Error::new(404, "A resource type of this list was removed."))
        };
        let types: Vec<_> = self.types.iter().map(named).collect::<Result<_, _>>()?;
        let chosen = page::choose(context, &types, &self.search)?;
        let locations = context.locations();
        let left = self.limit - self.sent;
        let limit = left.min(self.last.saturating_mul(GROWTH).max(1));
        let from = From::After(&self.position);
        let listing = page::listing(context, &chosen, &locations, &self.search, from, limit);
        let (page, made, last) = page::read(context, limit, self.quick, |tx, taken| {
            let page = tx.list(&listing)?;
            let made = page::make(context, tx, &chosen, &listing, &page.seqs, taken)?;
            let Some(made) = made else { return Ok(None) };
            let last = made.text.last.map(|it| tx.position(&listing, it)).transpose()?;
            Ok(Some((page, made, last)))
        })?;
        let more = page.more || made.count() < page.count();
        self.last = made.count();
        let before = usize::try_from(self.sent).unwrap_or(usize::MAX);
        self.sent += self.last;
        let Text { mut json, count, .. } = made.print(context, &chosen)?;
        if before > 0 && count > 0 {
            json.insert(0, ',');
        }
        if let Some(last) = last {
            self.position = last;
        }
        if !more || self.sent >= self.limit {
            json.push_str(&ListResponse::ending(before + count));
            self.end(context, more);
        }
        Ok(Some(json.into_bytes()))
    }
}

impl LongPage {
    /// Remembers where the page ended. Whoever was deleted meanwhile is not on it, so it may be
    /// shorter than a client believes that counts what it asked for.
    fn end(&mut self, context: &Context, more: bool) {
        self.ended = true;
        let index = self.offset + self.sent;
        let asked = if more { self.offset + self.limit } else { index };
        let end = End { index, asked, position: self.position.clone(), read: self.read };
        let walk: Vec<&str> = self.walk.iter().map(String::as_str).collect();
        context.bookmarks.put(&walk, self.offset, end, self.total);
    }
}
