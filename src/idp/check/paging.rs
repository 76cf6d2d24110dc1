//! An import: every account, page by page, and nobody twice.

use std::collections::BTreeSet;

use crate::idp::check::account::Account;
use crate::idp::check::talk::{Page, Talk, id_of};
use crate::idp::provider::PAGE;
use crate::idp::step::{Fault, Notes};

/// A list up to this length is walked in pages of two; a longer one in pages as Okta has them.
const SHORT: usize = 20;
/// How many pages are asked for at most: the list of a large server is not read to its end.
const PAGES_MAX: usize = 12;

/// Walks the list as an import does.
pub fn walk(talk: &mut Talk<'_>, notes: &mut Notes, accounts: &[Account]) -> Result<String, Fault> {
    let first = page(talk, notes, 1, PAGE)?;
    let count = if first.total <= SHORT { 2 } else { PAGE };
    let mut seen = BTreeSet::new();
    let (mut start, mut pages, mut total) = (1, 0, first.total);
    while start <= total && pages < PAGES_MAX {
        let one = page(talk, notes, start, count)?;
        pages += 1;
        if one.total != total {
            notes.warn(format!(
                "`totalResults` was {total} and became {} while nobody but this check was at work, \
                 or somebody was",
                one.total
            ));
            total = one.total;
        }
        let wanted = count.min(total.saturating_sub(start - 1));
        if one.resources.len() < wanted {
            return Err(Fault::new(
                format!(
                    "the page of startIndex={start}&count={count} has {} accounts, and there \
                     should be {wanted}: `totalResults` is {total}",
                    one.resources.len()
                ),
                "fill a page as long as there are accounts: Okta goes on at startIndex plus count, \
                 and never sees those in between",
            ));
        }
        for it in &one.resources {
            let Some(id) = id_of(it) else {
                return Err(Fault::new(
                    "an account of the list has no `id`",
                    "write it in every account, whatever is asked for",
                ));
            };
            if !seen.insert(id.to_owned()) {
                return Err(Fault::new(
                    format!(
                        "the account {id} is on the page of startIndex={start}&count={count}, and \
                         on one before"
                    ),
                    "let startIndex count, and keep the list in one order: an import sees people \
                     twice otherwise, and others never",
                ));
            }
        }
        start += count;
    }
    if start <= total {
        return Ok(format!("{} accounts of {total} on {pages} pages, nobody twice", seen.len()));
    }
    if let Some(missing) = accounts.iter().find(|it| !seen.contains(&it.id)) {
        return Err(Fault::new(
            format!("the account {} of this check is on no page", missing.person.user_name),
            "list every account, deactivated ones too: whoever is missing from an import counts as \
             deleted",
        ));
    }
    Ok(format!("{} accounts on {pages} pages of {count}, nobody twice", seen.len()))
}

/// One page, which must be true to itself.
fn page(talk: &mut Talk<'_>, notes: &mut Notes, start: usize, count: usize) -> Result<Page, Fault> {
    let page = talk.page(notes, &talk.provider.page(start, count))?;
    let length = page.resources.len();
    if length > count {
        return Err(Fault::new(
            format!("the page of startIndex={start}&count={count} has {length} accounts"),
            "give no more than `count` asks for",
        ));
    }
    if page.items.is_some_and(|it| it != length) {
        talk.tell_once(
            notes,
            "`itemsPerPage` is not how many accounts are on the page (RFC 7644 section 3.4.2.4)"
                .to_owned(),
        );
    }
    if page.start.is_some_and(|it| it != start) {
        talk.tell_once(
            notes,
            format!("`startIndex` of a page is not the {start} that was asked for"),
        );
    }
    Ok(page)
}
