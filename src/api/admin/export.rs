//! `GET /admin/api/activity.csv`: the story as a table for spreadsheets, read and sent in parts.

use crate::activity::story::{Filter, Place};
use crate::activity::{Entry, Happened};
use crate::api::admin::activity::{filter, further_back};
use crate::api::context::{Context, Rest};
use crate::api::failure::Failure;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::store::query::story::STORY_BYTES_MAX;

/// How many entries one part has.
const PART: usize = 500;
/// The mark without which spreadsheets take UTF-8 for something else, and the names of the columns.
const HEAD: &str = "\u{feff}time,who,client,action,type,about,status,count,text,request\r\n";
const CSV: &str = "text/csv; charset=utf-8";

/// All that `user`, `kind` and `outcome` ask for, the newest first.
///
/// # Errors
/// 400 for a parameter that means nothing, failures of the store.
pub fn csv(context: &Context, request: &Request) -> Result<Response, Failure> {
    let mut rest = Lines { filter: filter(context, request)?, before: Some(Place::END) };
    let mut first = HEAD.as_bytes().to_vec();
    first.extend(rest.next(context)?.unwrap_or_default());
    *context.notes.rest.borrow_mut() = Some(Box::new(rest));
    let name = format!("attachment; filename=\"plumm-activity-{}.csv\"", context.now.stamp());
    Ok(Response::new(200, CSV, first).with_header("Content-Disposition", name))
}

/// What is still to come.
#[derive(Debug)]
struct Lines {
    filter: Filter,
    before: Option<Place>,
}

impl Rest for Lines {
    fn memory(&self) -> usize {
        STORY_BYTES_MAX
    }

    fn next(&mut self, context: &Context) -> Result<Option<Vec<u8>>, Failure> {
        let mut text = String::new();
        // Of a kind that is rare, many lines may be looked at in vain.
        while let Some(before) = self.before.filter(|_| text.is_empty()) {
            context.take(STORY_BYTES_MAX)?;
            let (page, _) = further_back(context, &self.filter, before, PART)?;
            self.before = page.next;
            page.entries.iter().for_each(|it| add(&mut text, it));
            // In vain, unless there is a text: the answer has that memory then.
            if text.is_empty() {
                context.taken.borrow_mut().pop();
            }
        }
        Ok(Some(text.into_bytes()).filter(|it| !it.is_empty()))
    }
}

fn add(text: &mut String, entry: &Entry) {
    let number = |it: i64| it.to_string();
    let name = entry.name.as_deref();
    let row = match &entry.happened {
        Happened::Change(it) => [
            it.time.to_string(),
            entry.who(),
            it.client.clone().unwrap_or_default(),
            entry.action().to_owned(),
            it.resource_type.clone(),
            name.unwrap_or(&it.resource).to_owned(),
            String::new(),
            String::new(),
            entry.sentence(),
            it.request.clone().unwrap_or_default(),
        ],
        Happened::Refusal(refused) => {
            let it = &refused.refusal;
            let about = name.or(it.subject.as_deref()).or(it.resource.as_deref());
            [
                it.last.to_string(),
                entry.who(),
                it.client.clone().unwrap_or_default(),
                entry.action().to_owned(),
                it.resource_type.clone().unwrap_or_default(),
                about.unwrap_or_default().to_owned(),
                number(i64::from(it.status)),
                number(it.count),
                entry.sentence(),
                it.request.clone().unwrap_or_default(),
            ]
        }
    };
    for (at, it) in row.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        cell(text, it);
    }
    text.push_str("\r\n");
}

/// A cell that no spreadsheet takes for a formula (RFC 4180).
fn cell(text: &mut String, value: &str) {
    let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    for it in value.chars() {
        match it {
            '"' => text.push_str("\"\""),
            // What would end a line, or let a terminal obey.
            it if it.is_control() => text.push(' '),
            it => text.push(it),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_stays_one_cell() {
        for (value, expected) in [
            ("", "\"\""),
            ("a, \"b\"", "\"a, \"\"b\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("@x", "\"'@x\""),
            ("a\r\nb", "\"a  b\""),
        ] {
            let mut text = String::new();
            cell(&mut text, value);
            assert_eq!(text, expected, "{value}");
        }
    }
}
