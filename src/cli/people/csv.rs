//! CSV as RFC 4180 has it, and as spreadsheets write it: commas, semicolons or tabs, line breaks of
//! any kind, a byte order mark.

use std::io::{self, BufRead};

/// The longest record that is read, in bytes: what is longer has lost a quote.
const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What separates fields, the most usual one first.
const SEPARATORS: [(u8, &str); 3] = [(b',', "comma"), (b';', "semicolon"), (b'\t', "tab")];
/// What a spreadsheet takes for a formula when a value begins with it, also in the full width of
/// East Asian text.
const FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
/// What makes a spreadsheet take a value for text.
const GUARD: char = '\'';

/// The records of a text, one after the other.
pub struct Records<R> {
    input: R,
    separator: u8,
    /// The line that the next record begins on, counted from 1.
    line: u64,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// The line it begins on, counted from 1.
    pub line: u64,
    /// Its fields; or what is wrong with the record.
    pub fields: Result<Vec<String>, String>,
}

/// Where in a record the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: its end, or the first half of a quote.
    Quote,
}

impl<R: BufRead> Records<R> {
    /// The records of this text, whose first line says what separates fields. A byte order mark was
    /// taken off before.
    ///
    /// # Errors
    /// Failures to read.
    pub fn new(mut input: R) -> io::Result<Records<R>> {
        let separator = separator(input.fill_buf()?);
        Ok(Records { input, separator, line: 1, fields: Vec::new(), ends: Vec::new() })
    }

    /// What separates fields, in a word.
    pub fn separator(&self) -> &'static str {
        SEPARATORS.iter().find(|(it, _)| *it == self.separator).map_or("", |(_, name)| name)
    }

    /// The next record; empty lines are none. After one whose quotes cannot be told apart there is
    /// no further one: nobody knows where it ends.
    ///
    /// # Errors
    /// Failures to read.
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            let line = self.line;
            match self.read()? {
                Read::End => return Ok(None),
                Read::Record if self.fields.is_empty() && self.ends.len() == 1 => {}
                Read::Record => return Ok(Some(Record { line, fields: self.texts() })),
                Read::Wrong(why) => return Ok(Some(Record { line, fields: Err(why) })),
            }
        }
    }

    fn read(&mut self) -> io::Result<Read> {
        self.fields.clear();
        self.ends.clear();
        let mut at = At::Begin;
        let mut any = false;
        let mut stray = false;
        let (first, mut opened) = (self.line, self.line);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                self.ends.push(self.fields.len());
                return Ok(match at {
                    _ if !any => Read::End,
                    At::Quoted => Read::Wrong(unclosed(opened)),
                    _ if stray => Read::Wrong(stray_quote(first)),
                    _ => Read::Record,
                });
            }
            let mut used = 0;
            let mut ended = false;
            for &byte in buffer {
                used += 1;
                any = true;
                self.line += u64::from(byte == b'\n');
                let is_end = byte == b'\n' && at != At::Quoted;
                match (at, byte) {
                    _ if is_end => {
                        // The first half of CR LF.
                        let from = self.ends.last().copied().unwrap_or(0);
                        if at == At::Plain && self.fields[from..].last() == Some(&b'\r') {
                            self.fields.pop();
                        }
                        ended = true;
                        break;
                    }
                    (At::Begin, b'"') => (at, opened) = (At::Quoted, self.line),
                    (At::Quoted, b'"') => at = At::Quote,
                    (At::Quoted, _) => self.fields.push(byte),
                    (At::Quote, b'"') => {
                        self.fields.push(byte);
                        at = At::Quoted;
                    }
                    (_, it) if it == self.separator => {
                        self.ends.push(self.fields.len());
                        at = At::Begin;
                    }
                    (At::Quote, b'\r') => {}
                    (At::Quote, _) => stray = true,
                    (At::Plain, b'"') => {
                        self.fields.push(byte);
                        stray = true;
                    }
                    (At::Begin | At::Plain, _) => {
                        self.fields.push(byte);
                        at = At::Plain;
                    }
                }
            }
            self.input.consume(used);
            if self.fields.len() > RECORD_BYTES_MAX {
                self.skip_all()?;
                return Ok(Read::Wrong(unclosed(opened)));
            }
            if ended {
                self.ends.push(self.fields.len());
                return Ok(if stray { Read::Wrong(stray_quote(first)) } else { Read::Record });
            }
        }
    }

    fn texts(&self) -> Result<Vec<String>, String> {
        let mut from = 0;
        let fields = self.ends.iter().map(|&end| {
            let bytes = self.fields[from..end].to_vec();
            from = end;
            String::from_utf8(bytes)
        });
        fields.collect::<Result<_, _>>().map_err(|_| {
            "it is not UTF-8 text; save the table as \"CSV UTF-8\" and try again".to_owned()
        })
    }

    fn skip_all(&mut self) -> io::Result<()> {
        loop {
            let length = self.input.fill_buf()?.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
        }
    }
}

enum Read {
    Record,
    Wrong(String),
    End,
}

fn unclosed(line: u64) -> String {
    format!("the quote that opens on line {line} is not closed, so nothing after it could be read")
}

fn stray_quote(line: u64) -> String {
    format!(
        "a quote stands in the middle of a value on line {line}; put the whole value into quotes \
         and double those inside"
    )
}

/// What the first line has most of, outside quotes.
fn separator(text: &[u8]) -> u8 {
    let mut counts = [0; SEPARATORS.len()];
    let mut quoted = false;
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some(i) = SEPARATORS.iter().position(|(it, _)| it == byte) {
                    counts[i] += 1;
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    let found = counts.iter().position(|it| *it == most).unwrap_or(0);
    SEPARATORS[found].0
}

/// Adds a record to a text: commas, CR LF, quotes where they are needed.
pub fn write<'a>(text: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (i, field) in fields.enumerate() {
        if i > 0 {
            text.push(',');
        }
        let edge = |it: Option<char>| it.is_some_and(char::is_whitespace);
        let quoted = field.contains([',', ';', '"', '\n', '\r', '\t'])
            || edge(field.chars().next())
            || edge(field.chars().next_back());
        if quoted {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push_str("\r\n");
}

/// The text as a table holds it: one that a spreadsheet would run as a formula has an apostrophe
/// before it, and so has one that looks like such a text already.
#[must_use]
pub fn guarded(text: &str) -> String {
    match is_formula(text) {
        true => format!("{GUARD}{text}"),
        false => text.to_owned(),
    }
}

/// The text that [`guarded`] has made this of; what a person typed stays as it is.
#[must_use]
pub fn unguarded(text: &str) -> &str {
    match text.strip_prefix(GUARD) {
        Some(rest) if is_formula(rest) => rest,
        _ => text,
    }
}

fn is_formula(text: &str) -> bool {
    text.trim_start_matches(GUARD).starts_with(FORMULA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str) -> Vec<Record> {
        let mut found = Vec::new();
        // A buffer of one byte: every state is left and entered again.
        let mut records = Records::new(io::BufReader::with_capacity(1, text.as_bytes())).unwrap();
        records.separator = separator(text.as_bytes());
        while let Some(it) = records.next_record().unwrap() {
            found.push(it);
        }
        found
    }

    #[track_caller]
    fn check(text: &str, expected: &[(u64, &[&str])]) {
        let found: Vec<(u64, Vec<String>)> =
            read(text).into_iter().map(|it| (it.line, it.fields.unwrap())).collect();
        let expected: Vec<(u64, Vec<String>)> = expected
            .iter()
            .map(|(line, fields)| (*line, fields.iter().map(|it| (*it).to_owned()).collect()))
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn records_as_spreadsheets_write_them() {
        check("a,b\n1,2", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a;b\r\n1;2\r\n", &[(1, &["a", "b"]), (2, &["1", "2"])]);
        check("a\tb\n,\t;\n", &[(1, &["a", "b"]), (2, &[",", ";"])]);
        check("\"a,,,\";b\n", &[(1, &["a,,,", "b"])]);
        check("a,b\n\n\r\n1,\n", &[(1, &["a", "b"]), (4, &["1", ""])]);
        check("a\n\"x\r\ny\"\nz", &[(1, &["a"]), (2, &["x\r\ny"]), (4, &["z"])]);
        check("a,b\n\"\"\"\",\"\"\r\n", &[(1, &["a", "b"]), (2, &["\"", ""])]);
        check("a\n\"\"\n", &[(1, &["a"])]);
        check("a\rb\n", &[(1, &["a\rb"])]);
    }

    #[test]
    fn what_is_wrong_with_a_record_is_said() {
        let wrong = |text: &str| {
            let found = read(text);
            let at = found.iter().position(|it| it.fields.is_err()).unwrap();
            (found[at].fields.clone().unwrap_err(), found.len() - at)
        };
        assert!(wrong("a\n\"b\nc\nd\n").0.contains("opens on line 2 is not closed"));
        let (why, rest) = wrong("a\nb\"c\nd\n");
        assert!(why.contains("on line 2") && rest == 2, "{why}");
        assert!(wrong("a\n\"b\"c\n").0.contains("in the middle"));
        let mut records = Records::new(&b"a\n\xffb\nc\n"[..]).unwrap();
        records.next_record().unwrap();
        assert!(records.next_record().unwrap().unwrap().fields.unwrap_err().contains("UTF-8"));
        assert!(records.next_record().unwrap().unwrap().fields.is_ok());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let fields =
            ["", "a,b", "a;b", "say \"x\"", "1\n2", "a\r", " b", "c ", "ü\u{1f600}\u{5d0}"];
        let mut text = String::new();
        write(&mut text, ["h"; 9].into_iter());
        write(&mut text, fields.into_iter());
        check(&text, &[(1, &["h"; 9]), (2, &fields)]);
    }

    #[test]
    fn a_formula_is_text_in_a_table_and_comes_back_unchanged() {
        for text in ["=1+1", "+49 30", "-x", "@SUM(A1)", "\t=1", "'=1", "''-", "\u{ff1d}1"] {
            let kept = guarded(text);
            assert!(kept.starts_with('\''), "{kept}");
            assert_eq!(unguarded(&kept), text);
        }
        for text in ["", "a", "'", "'tis", "it's", "1-1", "a=b"] {
            assert_eq!((guarded(text).as_str(), unguarded(text)), (text, text));
        }
        assert_eq!(unguarded("=1"), "=1");
    }
}
