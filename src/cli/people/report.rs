//! What came of an import, for a program and for a person.

use serde_json::{Value, json};

use crate::cli::people::judge::BadRow;
use crate::cli::session::Answer;
use crate::cli::text::{grouped, table};

/// The most bad rows that are told: a file that has more was made for something else.
pub const BAD_ROWS_MAX: usize = 10_000;

/// What came of an import, or would.
#[derive(Debug, Default)]
pub struct Report {
    /// The organisation.
    pub org: String,
    /// What messages call the file.
    pub file: String,
    /// How accounts stand in it.
    pub format: &'static str,
    /// What separates the fields of a table.
    pub separator: Option<&'static str>,
    /// Columns that are passed over: only the server says what is in them, or it is never kept.
    pub passed_over: Vec<String>,
    /// Whether nothing was to be written.
    pub dry_run: bool,
    /// How many rows there are.
    pub rows: u64,
    /// How many accounts were created, or would be.
    pub created: u64,
    /// How many were there already.
    pub exists: u64,
    /// How many of those the file says something else of.
    pub differing: u64,
    /// The rows that are bad.
    pub bad: Vec<BadRow>,
    /// Whether so many were bad that the rest was not looked at.
    pub cut: bool,
}

impl Report {
    /// The answer of the command. `imported`: whether the good rows were taken, or would be.
    #[must_use]
    pub fn answer(&self, imported: bool) -> Answer {
        Answer { json: self.as_json(imported), text: self.text(imported) }
    }

    fn as_json(&self, imported: bool) -> Value {
        let bad = self.bad.iter().map(|it| {
            let field = if it.field.is_empty() { Value::Null } else { it.field.as_str().into() };
            json!({ "row": it.number, "line": it.line, "field": field, "reason": it.reason })
        });
        json!({
            "org": self.org,
            "file": self.file,
            "format": self.format,
            "separator": self.separator,
            "passed_over": self.passed_over,
            "dry_run": self.dry_run,
            "rows": self.rows,
            "created": if imported { self.created } else { 0 },
            "exists": self.exists,
            "differing": self.differing,
            "bad": self.bad.len(),
            "complete": !self.cut,
            "bad_rows": bad.collect::<Vec<Value>>(),
        })
    }

    fn text(&self, imported: bool) -> String {
        let mut text = String::new();
        if !self.bad.is_empty() {
            let rows = self.bad.iter().map(|it| {
                let field = if it.field.is_empty() { "-".to_owned() } else { it.field.clone() };
                [it.number.to_string(), it.line.to_string(), field, it.reason.clone()]
            });
            text = table(["ROW", "LINE", "FIELD", "WHAT IS WRONG"], rows) + "\n";
        }
        let what = match (self.format, self.separator) {
            ("json", _) => "JSON".to_owned(),
            (_, Some(it)) => format!("CSV with the separator {it}"),
            _ => "CSV".to_owned(),
        };
        text += &format!("{}: {what}, {}", self.file, count(self.rows, "row", "rows"));
        if self.cut {
            text += ", and the rest was not looked at";
        }
        if !self.passed_over.is_empty() {
            text += &format!(". Passed over: {}", self.passed_over.join(", "));
        }
        text += ".\n";
        if imported {
            let were = match (self.dry_run, self.created) {
                (true, _) => "would be",
                (false, 1) => "was",
                (false, _) => "were",
            };
            let people = count(self.created, "person", "people");
            text += &format!("{people} {were} created in organisation {}.\n", self.org);
        }
        if self.exists > 0 {
            text += &format!("{} there already", count(self.exists, "person is", "people are"));
            if self.differing > 0 {
                text += &format!(
                    ", {} of them with other values than the file has: they stay as they are",
                    grouped(self.differing)
                );
            }
            text += ".\n";
        }
        if !self.bad.is_empty() {
            let out = if imported { " and left out" } else { "" };
            let bad = count(self.bad.len() as u64, "row is", "rows are");
            text += &format!("{bad} bad{out}.\n");
        }
        text
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {many}", grouped(number)) }
}
