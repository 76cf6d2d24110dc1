//! The resources of a page as one text, written as they come out of the database: megabytes of them
//! stand in memory once, and are charged for before they do.

use std::ops::ControlFlow;

use crate::api::context::Context;
use crate::api::failure::Failure;
use crate::api::scim::render::{LINK_BYTES, View};
use crate::scim::membership::{begin_list, nearness, write_link};
use crate::scim::message::LIST_BYTES;
use crate::scim::resource::{self, META_BYTES};
use crate::scim::schema::name::{GROUPS, MEMBERS};
use crate::store::error::Error;
use crate::store::query::listing::{Listed, PAGE_BYTES_MAX};
use crate::store::tables::member::Link;
use crate::store::tables::resource::Shown;
use crate::store::transaction::Read;

/// How many bytes of documents are set aside until the groups of all of them are looked up at once.
/// A larger document waits for nobody.
const ASIDE_BYTES_MAX: usize = 64 * 1024;
/// Of how many resources groups are looked up at once, at most: all that these have are found even
/// where the first one's fill the page.
const TOGETHER_MAX: usize = 32;
/// What a link takes besides the texts that are in it, at most, in bytes.
const LINK_SYNTAX_BYTES: usize = 64;
/// From this size on a text grows to all that it may have at once: growing step by step would have
/// it twice at each step.
const STEPS_BYTES_MAX: usize = 1024 * 1024;

/// Resources that are written.
#[derive(Debug, Default)]
pub struct Text {
    /// Their JSON, with commas between them.
    pub json: String,
    /// How many there are.
    pub count: usize,
    /// The number of the row of the first one.
    pub first: Option<i64>,
    /// That of the last one.
    pub last: Option<i64>,
}

impl Text {
    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        let length = self.json.len();
        if self.json.capacity() - length >= bytes {
            return;
        }
        match length + bytes < STEPS_BYTES_MAX {
            true => self.json.reserve(bytes),
            false => {
                let most = (PAGE_BYTES_MAX + LIST_BYTES).saturating_sub(length);
                // A single resource may be larger than a page.
                let step = if most < bytes { STEPS_BYTES_MAX / 4 } else { most };
                self.json.reserve_exact(bytes.max(step));
            }
        }
    }

    /// Gives back room that is not needed.
    pub fn shrink(&mut self) {
        if self.json.capacity() > STEPS_BYTES_MAX {
            self.json.shrink_to(self.json.len() + LIST_BYTES);
        }
    }
}

/// What is written, and with what.
pub struct Writer<'a, 'c> {
    /// The request.
    pub context: &'a Context<'c>,
    /// The view of the database.
    pub tx: &'a Read<'a>,
    /// What the client asked to see of each type: nothing that needs a document parsed.
    pub views: &'a [View<'a>],
    /// The URL of the resources of each type, by the type's name.
    pub locations: &'a [(String, String)],
    /// The numbers of the rows of the page.
    pub seqs: &'a [i64],
    /// Whether it is read from its end, and begins later where it would be too large.
    pub backward: bool,
}

impl Writer<'_, '_> {
    /// Writes as many resources as fit; `None` where there is no memory for even one, or none but
    /// what is free. `covered`: how many bytes are charged for already.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn write(&self, covered: usize) -> Result<Option<Text>, Failure> {
        let mut page = Draft {
            of: self,
            text: Text::default(),
            ends: Vec::new(),
            begun: 0,
            covered,
            ended: false,
            starved: false,
        };
        let mut aside = Aside { documents: String::new(), rows: Vec::new(), step: 1 };
        let count = self.seqs.len();
        let order = (0..count).map(|i| self.seqs[if self.backward { count - 1 - i } else { i }]);
        self.tx.each_listed(order, |it| {
            let Some(row) = self.row(it) else { return Ok(ControlFlow::Continue(())) };
            let large = row.shown.document.len() >= ASIDE_BYTES_MAX;
            if !large && (row.in_groups || !aside.rows.is_empty()) {
                aside.add(&row);
                return match aside.waits() {
                    true => Ok(ControlFlow::Continue(())),
                    false => page.write_aside(&mut aside),
                };
            }
            match page.write_aside(&mut aside)? {
                ControlFlow::Continue(()) => page.write_all(&[row]),
                it => Ok(it),
            }
        })?;
        let _ = page.write_aside(&mut aside)?;
        page.finish()
    }

    fn row<'b>(&self, it: Listed<'b>) -> Option<Row<'b>> {
        let view = self.views.iter().position(|of| of.resource_type.name == it.resource_type)?;
        let in_groups = it.is_member && self.views[view].shows_groups();
        Some(Row { shown: it.shown, view, in_groups })
    }
}

/// A resource to be written.
#[derive(Clone, Copy)]
struct Row<'a> {
    shown: Shown<'a>,
    /// The number of its type's view.
    view: usize,
    /// Whether it may have groups that are shown.
    in_groups: bool,
}

/// Resources whose groups are not looked up yet.
struct Aside {
    /// Each one's id and document.
    documents: String,
    /// All else of it, and where its id and its document end.
    rows: Vec<(Row<'static>, usize, usize)>,
    /// How many are waited for. Many light ones are asked for at once, heavy ones each by itself.
    step: usize,
}

impl Aside {
    /// Whether there is time for more.
    fn waits(&self) -> bool {
        self.rows.len() < self.step && self.documents.len() < ASIDE_BYTES_MAX
    }

    fn add(&mut self, row: &Row) {
        let Shown { seq, created, last_modified, version, .. } = row.shown;
        self.documents.push_str(row.shown.id);
        let id = self.documents.len();
        self.documents.push_str(row.shown.document);
        let shown = Shown { seq, id: "", document: "", created, last_modified, version };
        let row = Row { shown, view: row.view, in_groups: row.in_groups };
        self.rows.push((row, id, self.documents.len()));
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let mut begun = 0;
        let row = |(row, id, end): &(Row<'static>, usize, usize)| {
            let (id, document) = (&self.documents[begun..*id], &self.documents[*id..*end]);
            begun = *end;
            Row { shown: Shown { id, document, ..row.shown }, ..*row }
        };
        self.rows.iter().map(row).collect()
    }
}

/// A page in the making.
struct Draft<'a, 'b, 'c> {
    of: &'a Writer<'b, 'c>,
    text: Text,
    /// Where each resource ends, of a page that is read from its end.
    ends: Vec<usize>,
    /// Where the one at hand begins.
    begun: usize,
    /// How many bytes are charged for.
    covered: usize,
    /// Whether nothing more fits.
    ended: bool,
    /// Whether that is for want of memory.
    starved: bool,
}

impl Draft<'_, '_, '_> {
    fn write_aside(&mut self, aside: &mut Aside) -> Result<ControlFlow<()>, Failure> {
        if aside.rows.is_empty() {
            return Ok(self.flow());
        }
        let before = self.text.json.len();
        let flow = self.write_all(&aside.rows())?;
        let written = self.text.json.len().saturating_sub(before);
        let light = written < PAGE_BYTES_MAX / 64;
        aside.step = if light { (aside.step * 2).min(TOGETHER_MAX) } else { 1 };
        aside.documents.clear();
        aside.rows.clear();
        Ok(flow)
    }

    fn write_all(&mut self, rows: &[Row]) -> Result<ControlFlow<()>, Failure> {
        let in_groups: Vec<i64> =
            rows.iter().filter(|it| it.in_groups).map(|it| it.shown.seq).collect();
        let mut rest = rows.iter();
        // The one whose groups are being written.
        let mut open: Option<&Row> = None;
        self.of.tx.each_group(&in_groups, |at, group| {
            let seq = in_groups.get(at).copied();
            while open.is_none_or(|it| Some(it.shown.seq) != seq) {
                if let Some(row) = open.take() {
                    self.end_list();
                    self.end(row)?;
                }
                let Some(row) = rest.next().filter(|_| !self.ended) else { break };
                self.begin(row)?;
                match Some(row.shown.seq) == seq && !self.ended {
                    true => {
                        begin_list(&mut self.text.json, GROUPS);
                        open = Some(row);
                    }
                    false => self.end(row)?,
                }
            }
            if self.ended {
                return Ok(ControlFlow::Break(()));
            }
            self.link(&group, nearness(group.direct));
            Ok::<_, Failure>(self.flow())
        })?;
        if let Some(row) = open {
            self.end_list();
            self.end(row)?;
        }
        for row in rest {
            if self.ended {
                break;
            }
            self.begin(row)?;
            self.end(row)?;
        }
        Ok(self.flow())
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Writes a resource as far as its groups.
    fn begin(&mut self, row: &Row) -> Result<(), Failure> {
        let seq = row.shown.seq;
        let members = match self.of.views[row.view].shows_members() {
            true => Some(self.of.tx.count_members(&[seq])?),
            false => None,
        };
        let members_bytes = members.unwrap_or_default().saturating_mul(LINK_BYTES);
        let bytes = row.shown.document.len() + META_BYTES + members_bytes;
        self.begun = self.text.json.len();
        let full = self.text.count > 0 && self.begun + bytes > PAGE_BYTES_MAX;
        if full || !self.cover(bytes) {
            self.take_back();
            return Ok(());
        }
        let first = if self.text.count == 0 { LIST_BYTES } else { 0 };
        self.text.reserve(bytes + first);
        if self.text.count > 0 {
            self.text.json.push(',');
        }
        resource::begin(&mut self.text.json, row.shown.document);
        if members.is_some() {
            begin_list(&mut self.text.json, MEMBERS);
            self.of.tx.each_member(seq, |member| {
                self.link(&member, member.resource_type);
                Ok::<_, Failure>(self.flow())
            })?;
            self.end_list();
        }
        Ok(())
    }

    /// Ends its members or its groups, unless it was taken back.
    fn end_list(&mut self) {
        if !self.ended {
            self.text.json.push(']');
        }
    }

    /// Ends it, unless it was taken back.
    fn end(&mut self, row: &Row) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        let view = &self.of.views[row.view];
        self.text.reserve(META_BYTES);
        resource::end(&mut self.text.json, &view.meta(row.shown));
        if !self.fits() {
            return Ok(());
        }
        self.text.count += 1;
        self.text.first.get_or_insert(row.shown.seq);
        self.text.last = Some(row.shown.seq);
        if self.of.backward {
            self.ends.push(self.text.json.len());
        }
        // Most pages are of resources that are alike.
        if self.text.count == 1 {
            let bytes = self.text.json.len() * 9 / 8 * self.of.seqs.len().saturating_sub(1);
            self.text.reserve(bytes.min(STEPS_BYTES_MAX / 2));
        }
        Ok(())
    }

    /// Writes a member or a group, unless the resource that has it was taken back.
    fn link(&mut self, it: &Link, kind: &str) {
        if self.ended {
            return;
        }
        let base = self.of.locations.iter().find(|(name, _)| name == it.resource_type);
        let base = base.map(|(_, base)| base.as_str()).unwrap_or_default();
        let display = it.display.map_or(0, str::len);
        self.text.reserve(LINK_SYNTAX_BYTES + base.len() + 2 * it.id.len() + kind.len() + display);
        let text = &mut self.text.json;
        if !text.ends_with('[') {
            text.push(',');
        }
        write_link(text, it.id, kind, it.display, (base, it.id));
        let _ = self.fits();
    }

    /// Whether what is written fits on the page, and into the memory; takes it back otherwise.
    fn fits(&mut self) -> bool {
        let full = self.text.count > 0 && self.text.json.len() > PAGE_BYTES_MAX;
        let fits = !full && self.cover(0);
        if !fits {
            self.take_back();
        }
        fits
    }

    /// Takes the resource at hand back: the page ends before it.
    fn take_back(&mut self) {
        self.text.json.truncate(self.begun);
        self.ended = true;
    }

    /// Takes the memory for what is written, and for so many bytes more; without waiting, since a
    /// connection is held.
    fn cover(&mut self, more: usize) -> bool {
        let lacking = (self.text.json.len() + more).saturating_sub(self.covered);
        if lacking == 0 {
            return true;
        }
        let step = lacking.max(PAGE_BYTES_MAX);
        let taken = self.of.context.try_take(step).is_ok();
        self.covered += if taken { step } else { 0 };
        self.starved |= !taken;
        taken
    }

    fn finish(mut self) -> Result<Option<Text>, Failure> {
        // As long as nothing is taken, there may be memory for whoever waits for it.
        let starved = self.starved && self.covered < PAGE_BYTES_MAX;
        if self.ended && (self.text.count == 0 || starved) {
            return Ok(None);
        }
        if self.of.backward {
            self.reverse()?;
        }
        self.text.shrink();
        Ok(Some(self.text))
    }

    /// Puts the resources into the order of the list, where they lie.
    fn reverse(&mut self) -> Result<(), Failure> {
        let mut bytes = std::mem::take(&mut self.text.json).into_bytes();
        bytes.reverse();
        let mut begun = 0;
        for end in &self.ends {
            let length = bytes.len();
            bytes[length - end..length - begun].reverse();
            // Behind the comma.
            begun = end + 1;
        }
        let json = String::from_utf8(bytes).map_err(|it| Error::Invalid(it.to_string()))?;
        self.text.json = json;
        std::mem::swap(&mut self.text.first, &mut self.text.last);
        Ok(())
    }
}

impl std::fmt::Debug for Writer<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({} resources)", self.seqs.len())
    }
}
