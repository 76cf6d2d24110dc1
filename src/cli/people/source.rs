//! The file that people are imported from: opened, told CSV from JSON, and read row by row, more
//! than once.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::cli::arguments::file_named;
use crate::cli::error::CliError;
use crate::cli::people::columns::{self, Column, DELETED, Place, Wrong};
use crate::cli::people::csv::{Record, Records};
use crate::cli::people::elements::{Elements, Fault};
use crate::cli::people::headers;
use crate::cli::people::nameless::nameless_file;
use crate::scim::json::{self, Names};
use crate::scim::schema::name::USER_NAME;
use crate::scim::schema::resource_type::ResourceType;

/// How much of the file is read at once, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;
/// How much of the file says what it is, in bytes.
const HEAD_BYTES: usize = 4 * 1024;
const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

/// How accounts stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table, with a line that names the columns
    Csv,
    /// A list of SCIM users
    Json,
}

impl Format {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json => "json",
        }
    }
}

/// A file to import from.
#[derive(Debug)]
pub struct Source {
    file: File,
    /// What messages call it.
    pub name: String,
    /// How accounts stand in it.
    pub format: Format,
    begin: u64,
    length: u64,
}

/// One account of the file.
#[derive(Debug)]
pub struct Row {
    /// Its number among the accounts of the file, from 1.
    pub number: u64,
    /// The line it begins on, from 1.
    pub line: u64,
    /// The body of the request that would create it.
    pub body: Result<Map<String, Value>, Wrong>,
}

/// The accounts of a file, one after the other.
pub struct Rows<'a> {
    source: &'a Source,
    resource_type: &'a ResourceType,
    number: u64,
    inner: Inner,
}

enum Inner {
    Csv(Records<BufReader<File>>, Vec<Column>),
    Json(Elements<BufReader<File>>),
}

impl Source {
    /// Opens a file, or standard input for `-`. What can be read only once is copied beside the
    /// database first.
    ///
    /// # Errors
    /// Why it cannot be read, or is neither CSV nor JSON.
    pub fn open(path: &Path, format: Option<Format>, folder: &Path) -> Result<Source, CliError> {
        let name = file_named(path);
        let failed = |it: io::Error| CliError::Failed(format!("{name} cannot be read: {it}"));
        let opened = || -> io::Result<(File, Vec<u8>, u64)> {
            let mut file = match path.as_os_str() == "-" {
                true => copied(&mut io::stdin().lock(), folder)?,
                false => {
                    let mut file = File::open(path)?;
                    match file.metadata()? {
                        it if it.is_file() => file,
                        it if it.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
                        _ => copied(&mut file, folder)?,
                    }
                }
            };
            let mut head = Vec::new();
            file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
            let length = file.metadata()?.len();
            Ok((file, head, length))
        };
        let (file, head, length) = opened().map_err(failed)?;
        if let Some(what) = foreign(&head) {
            return Err(CliError::Failed(format!(
                "{name} {what}: save the table as \"CSV UTF-8\" and try again"
            )));
        }
        let text = head.strip_prefix(UTF_8_MARK).unwrap_or(&head);
        let first = text.iter().find(|it| !it.is_ascii_whitespace());
        let Some(first) = first else {
            return Err(CliError::Failed(format!("{name} is empty")));
        };
        let is_json = matches!(first, b'[' | b'{');
        let format = format.unwrap_or(if is_json { Format::Json } else { Format::Csv });
        let begin = (head.len() - text.len()) as u64;
        Ok(Source { file, name, format, begin, length })
    }

    /// The rows of the file, from its beginning.
    ///
    /// # Errors
    /// What is wrong with the file as a whole, such as a column that nothing here has.
    pub fn rows<'a>(&'a self, resource_type: &'a ResourceType) -> Result<Rows<'a>, CliError> {
        let rewound = || -> io::Result<BufReader<File>> {
            let mut file = self.file.try_clone()?;
            file.seek(SeekFrom::Start(self.begin))?;
            Ok(BufReader::with_capacity(BUFFER_BYTES, file))
        };
        let input = rewound().map_err(|it| self.failed(&it))?;
        let inner = match self.format {
            Format::Json => Inner::Json(Elements::new(input)),
            Format::Csv => {
                let mut records = Records::new(input).map_err(|it| self.failed(&it))?;
                let head = records.next_record().map_err(|it| self.failed(&it))?;
                let head = head.ok_or_else(|| self.wrong("it is empty"))?;
                let columns = self.columns(head, resource_type)?;
                Inner::Csv(records, columns)
            }
        };
        Ok(Rows { source: self, resource_type, number: 0, inner })
    }

    fn columns(&self, head: Record, resource_type: &ResourceType) -> Result<Vec<Column>, CliError> {
        let names = head.fields.map_err(|it| self.wrong(&it))?;
        let mut faults = Vec::new();
        let mut found: Vec<Column> = Vec::new();
        for (i, name) in names.iter().enumerate() {
            if name.trim().is_empty() {
                faults.push(format!("column {} has no name", i + 1));
                continue;
            }
            match headers::column(name, resource_type) {
                Ok(column) => {
                    let key = column.key();
                    let same = found.iter().find(|it| !key.is_empty() && it.key() == key);
                    match same {
                        Some(it) if it.header == column.header => {
                            faults.push(format!("the column {} is there twice", it.header));
                        }
                        Some(it) => faults.push(format!(
                            "the columns {} and {} are the same attribute",
                            it.header, column.header
                        )),
                        None => found.push(column),
                    }
                }
                Err(advice) => faults.push(format!("no attribute is called {name}: {advice}")),
            }
        }
        if !faults.is_empty() {
            return Err(self.wrong(&faults.join("; ")));
        }
        let is_name = |it: &Column| matches!(&it.place, Place::Value(it) if it.is_core(USER_NAME));
        match found.iter().any(is_name) {
            true => Ok(found),
            false => Err(self.wrong(
                "its first line names no column userName; that line says what each column is",
            )),
        }
    }

    /// How far the file has been read, in hundredths.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let at = (&self.file).stream_position().unwrap_or(0);
        at * 100 / self.length.max(1)
    }

    fn failed(&self, error: &io::Error) -> CliError {
        CliError::Failed(format!("{} cannot be read: {error}", self.name))
    }

    fn wrong(&self, what: &str) -> CliError {
        CliError::Failed(format!("{} cannot be imported: {what}", self.name))
    }
}

impl Rows<'_> {
    /// What separates the fields of a table, in a word.
    #[must_use]
    pub fn separator(&self) -> Option<&'static str> {
        match &self.inner {
            Inner::Csv(records, _) => Some(records.separator()),
            Inner::Json(_) => None,
        }
    }

    /// The heads of the columns that say nothing here.
    #[must_use]
    pub fn passed_over(&self) -> Vec<String> {
        let columns = self.columns().iter();
        let columns = columns.filter(|it| matches!(it.place, Place::PassedOver));
        columns.map(|it| it.header.clone()).collect()
    }

    /// The columns of a table.
    fn columns(&self) -> &[Column] {
        match &self.inner {
            Inner::Csv(_, columns) => columns,
            Inner::Json(_) => &[],
        }
    }

    /// The next row; rows without a value are none.
    ///
    /// # Errors
    /// Failures to read, and JSON that nobody can tell the end of.
    pub fn next_row(&mut self) -> Result<Option<Row>, CliError> {
        loop {
            let row = match &mut self.inner {
                Inner::Csv(records, columns) => {
                    let record = records.next_record().map_err(|it| self.source.failed(&it))?;
                    let Some(Record { line, fields }) = record else { return Ok(None) };
                    if fields.as_ref().is_ok_and(|it| it.iter().all(String::is_empty)) {
                        continue;
                    }
                    (line, of_record(fields, columns, self.resource_type))
                }
                Inner::Json(elements) => match elements.next_element() {
                    Ok(None) => return Ok(None),
                    Ok(Some(it)) => (it.line, of_element(&it.text)),
                    Err(Fault::Io(it)) => return Err(self.source.failed(&it)),
                    Err(Fault::Text(it)) => return Err(self.source.wrong(&it)),
                },
            };
            self.number += 1;
            let (line, body) = row;
            return Ok(Some(Row { number: self.number, line, body }));
        }
    }

    /// The name of the field that a sentence about an account speaks of, as the file calls it.
    #[must_use]
    pub fn field_of(&self, sentence: &str) -> String {
        let quoted = sentence.split('"').skip(1).step_by(2);
        let first = sentence.split_whitespace().next();
        for word in first.into_iter().chain(quoted) {
            // "emails[0].value", and "emails" as it is.
            let name: String = match word.split_once('[') {
                Some((before, rest)) => {
                    before.to_owned() + rest.split_once(']').map_or("", |(_, it)| it)
                }
                None => word.to_owned(),
            };
            let Some(target) = headers::target(&name, self.resource_type) else { continue };
            let columns = self.columns();
            let fits = |it: &&Column| it.is_about(&target);
            return columns.iter().find(fits).map_or(name, |it| it.header.clone());
        }
        String::new()
    }
}

fn of_record(
    fields: Result<Vec<String>, String>,
    columns: &[Column],
    resource_type: &ResourceType,
) -> Result<Map<String, Value>, Wrong> {
    let whole = |reason: String| Wrong { field: String::new(), reason };
    let cells = fields.map_err(whole)?;
    if cells.len() != columns.len() {
        return Err(whole(format!(
            "it has {} values, and the first line names {} columns",
            cells.len(),
            columns.len()
        )));
    }
    columns::body(columns, &cells, resource_type)
}

fn of_element(text: &str) -> Result<Map<String, Value>, Wrong> {
    let whole = |reason: String| Wrong { field: String::new(), reason };
    match json::parse(text, Names::AnyCase).map_err(|it| whole(it.to_string()))? {
        Value::Object(it) if it.get(DELETED).is_some_and(|it| !it.is_null()) => {
            Err(columns::deleted(DELETED))
        }
        Value::Object(mut it) => {
            it.remove(DELETED);
            Ok(it)
        }
        _ => Err(whole("it is no object".to_owned())),
    }
}

/// What a file is that is no text in UTF-8.
fn foreign(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some("is UTF-16 text");
    }
    if head.starts_with(b"PK\x03\x04") {
        return Some("is a workbook and no text");
    }
    head.contains(&0).then_some("is no text in UTF-8")
}

/// A copy of what can be read only once.
fn copied(input: &mut impl Read, folder: &Path) -> io::Result<File> {
    let mut file = nameless_file(folder)?;
    io::copy(input, &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
