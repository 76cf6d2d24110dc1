//! The file of settings, `/etc/plumm/plumm.env`, as systemd reads it (`EnvironmentFile=`): one
//! `NAME=VALUE` a line, with comments, quotes and lines that go on.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// How much of the file is read.
const BYTES_MAX: u64 = 256 * 1024;
/// What the names of plumm's variables begin with.
pub const PREFIX: &str = "PLUMM_";
/// What a backslash takes the meaning from between double quotes.
const ESCAPED_IN_QUOTES: &str = "\"\\`$";

/// What a file of settings says.
#[derive(Debug, Default)]
pub struct EnvFile {
    /// Where it is, or would be; `None` when none is to be read.
    pub path: Option<PathBuf>,
    /// Its variables, in their order. Of a name that stands twice, the last one counts.
    pub entries: Vec<Entry>,
    /// The lines that say nothing.
    pub faults: Vec<Fault>,
    /// Why it could not be read at all, where it is there.
    pub unreadable: Option<String>,
}

/// A variable of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its value; it may be empty.
    pub value: String,
    /// The line in which it begins, from 1 on.
    pub line: usize,
}

/// A line that says nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong with it. Nothing of its text, which may be secret.
    pub words: &'static str,
    /// The variables of plumm that it speaks of.
    pub named: Vec<String>,
}

const NO_EQUALS: &str = "it has no `=`: write NAME=VALUE";
const NO_NAME: &str =
    "what stands before its `=` is no name of a variable: write NAME=VALUE, without `export`";
const NO_QUOTE: &str = "the quote that begins there has no end";
const NO_TEXT: &str = "its value is no text in UTF-8";

impl EnvFile {
    /// Reads a file; `must_exist`: whether it is a fault when there is none.
    #[must_use]
    pub fn read(path: &Path, must_exist: bool) -> EnvFile {
        let path_known = Some(path.to_owned());
        match bytes_of(path) {
            Ok(bytes) => {
                let (entries, faults) = parse(&bytes);
                EnvFile { path: path_known, entries, faults, unreadable: None }
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => {
                EnvFile { path: path_known, ..EnvFile::default() }
            }
            Err(error) => {
                let reason = match error.kind() {
                    ErrorKind::PermissionDenied => "permission denied".to_owned(),
                    ErrorKind::NotFound => "it is not there".to_owned(),
                    _ => error.to_string(),
                };
                EnvFile { path: path_known, unreadable: Some(reason), ..EnvFile::default() }
            }
        }
    }
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let kind = path.metadata()?.file_type();
    // A pipe would be waited for.
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok(bytes)
}

/// Where in a line the reader is; the states of systemd's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Name,
    BeforeValue,
    Value,
    ValueEscape,
    SingleQuotes,
    DoubleQuotes,
    DoubleQuotesEscape,
    Comment,
}

/// The text of a file taken apart.
#[must_use]
pub fn parse(bytes: &[u8]) -> (Vec<Entry>, Vec<Fault>) {
    let mut reader = Reader { line: 1, ..Reader::default() };
    for (i, byte) in bytes.iter().enumerate() {
        reader.take(*byte, i);
        if *byte == b'\n' {
            reader.line += 1;
        }
    }
    reader.end(bytes);
    (reader.entries, reader.faults)
}

#[derive(Default)]
struct Reader {
    at: Option<At>,
    line: usize,
    /// Where the present entry begins: its line and its first byte.
    begin: (usize, usize),
    name: Vec<u8>,
    value: Vec<u8>,
    /// How much of the value stays when white space at its end is taken off.
    kept: usize,
    entries: Vec<Entry>,
    faults: Vec<Fault>,
    /// The first byte of each line that a fault is about, and the one behind its last.
    faulty: Vec<(usize, usize)>,
}

impl Reader {
    fn take(&mut self, byte: u8, i: usize) {
        let newline = matches!(byte, b'\n' | b'\r');
        let blank = newline || matches!(byte, b' ' | b'\t');
        let next = match self.at.unwrap_or(At::Start) {
            At::Start if matches!(byte, b'#' | b';') => At::Comment,
            At::Start if blank => At::Start,
            At::Start => {
                self.begin = (self.line, i);
                self.name.push(byte);
                // A line that begins with `=` has a name of no bytes.
                if byte == b'=' { At::BeforeValue } else { At::Name }
            }
            At::Name if newline => return self.fault(NO_EQUALS, i),
            At::Name if byte == b'=' => At::BeforeValue,
            At::Name => {
                self.name.push(byte);
                At::Name
            }
            At::BeforeValue | At::Value if newline => return self.entry(i),
            At::BeforeValue if byte == b'\'' => At::SingleQuotes,
            At::BeforeValue if byte == b'"' => At::DoubleQuotes,
            At::BeforeValue | At::Value if byte == b'\\' => At::ValueEscape,
            At::BeforeValue if blank => At::BeforeValue,
            At::BeforeValue => self.keep(byte, At::Value),
            At::Value => {
                self.value.push(byte);
                if !blank {
                    self.kept = self.value.len();
                }
                At::Value
            }
            // A line goes on behind a backslash at its end.
            At::ValueEscape if newline => At::Value,
            At::ValueEscape => self.keep(byte, At::Value),
            At::SingleQuotes if byte == b'\'' => At::BeforeValue,
            At::DoubleQuotes if byte == b'"' => At::BeforeValue,
            At::DoubleQuotes if byte == b'\\' => At::DoubleQuotesEscape,
            At::SingleQuotes => self.keep(byte, At::SingleQuotes),
            At::DoubleQuotes => self.keep(byte, At::DoubleQuotes),
            At::DoubleQuotesEscape if byte == b'\n' => At::DoubleQuotes,
            At::DoubleQuotesEscape => {
                if !ESCAPED_IN_QUOTES.as_bytes().contains(&byte) {
                    self.value.push(b'\\');
                }
                self.keep(byte, At::DoubleQuotes)
            }
            At::Comment if newline => At::Start,
            // A backslash at its end does not make a comment longer, since systemd 254.
            At::Comment => At::Comment,
        };
        self.at = Some(next);
    }

    /// Takes a byte that belongs to the value even if it is white space at its end.
    fn keep(&mut self, byte: u8, next: At) -> At {
        self.value.push(byte);
        self.kept = self.value.len();
        next
    }

    fn entry(&mut self, end: usize) {
        self.value.truncate(self.kept);
        let name = str::from_utf8(&self.name).unwrap_or_default().trim_ascii_end();
        let of_name = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
        let is_name = name.bytes().all(of_name) && !name.starts_with(|it: char| it.is_numeric());
        if !is_name || name.is_empty() {
            return self.fault(NO_NAME, end);
        }
        let value = String::from_utf8(self.value.clone()).ok().filter(|it| !it.contains('\0'));
        let Some(value) = value else { return self.fault(NO_TEXT, end) };
        self.entries.push(Entry { name: name.to_owned(), value, line: self.begin.0 });
        self.begin_anew();
    }

    fn fault(&mut self, words: &'static str, end: usize) {
        self.faults.push(Fault { line: self.begin.0, words, named: Vec::new() });
        self.faulty.push((self.begin.1, end));
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.at = None;
        self.name.clear();
        self.value.clear();
        self.kept = 0;
    }

    fn end(&mut self, bytes: &[u8]) {
        let end = bytes.len();
        match self.at.unwrap_or(At::Start) {
            At::Start | At::Comment => {}
            At::Name => self.fault(NO_EQUALS, end),
            At::BeforeValue | At::Value | At::ValueEscape => self.entry(end),
            At::SingleQuotes | At::DoubleQuotes | At::DoubleQuotesEscape => {
                self.fault(NO_QUOTE, end);
            }
        }
        for (fault, (begin, end)) in self.faults.iter_mut().zip(&self.faulty) {
            let text = String::from_utf8_lossy(&bytes[*begin..*end]);
            let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
            fault.named = words.filter(|it| it.starts_with(PREFIX)).map(str::to_owned).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(String, String, usize)> {
        let (entries, faults) = parse(text.as_bytes());
        assert_eq!(faults, [], "{text:?}");
        entries.into_iter().map(|it| (it.name, it.value, it.line)).collect()
    }

    /// By the states of systemd's own reader, which takes quotes in the middle of a value as they are,
    /// and joins what stands behind quotes to what is in them.
    #[test]
    fn a_file_is_read_as_systemd_does() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=b\n", "b"),
            ("A=b\r\n", "b"),
            ("  A =  b c \t\n", "b c"),
            ("A=", ""),
            ("A='b  c '", "b  c "),
            ("A=\"b \\\"c\\\" \\n \\$d\"", "b \"c\" \\n $d"),
            ("A='b\\'", "b\\"),
            ("A=\"b\nc\"", "b\nc"),
            ("A=\"b\\\nc\"", "bc"),
            ("A=b\\\nc", "bc"),
            ("A=b\\ \n", "b "),
            ("A=b # no comment", "b # no comment"),
            ("A=it's", "it's"),
            ("A='b' c", "bc"),
            ("A='b'\"c\"", "bc"),
            ("A=b=c", "b=c"),
            ("A=\u{e9}", "\u{e9}"),
        ] {
            assert_eq!(entries(text), [("A".to_owned(), value.to_owned(), 1)], "{text:?}");
        }
        let text = "# one\n\n  ; two \\\nB=1\n\tC=\"\n\"\nD=2\n";
        let expected = [("B", "1", 4), ("C", "\n", 5), ("D", "2", 7)];
        assert_eq!(entries(text), expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c)));
        assert_eq!(entries(""), []);
    }

    #[test]
    fn a_broken_line_is_told_by_its_number_and_costs_no_other() {
        for (text, words, line) in [
            ("A=1\nPLUMM_DB /a\nB=2", NO_EQUALS, 2),
            ("A=1\nexport PLUMM_DB=/a\nB=2", NO_NAME, 2),
            ("A=1\nPLUMM_DB", NO_EQUALS, 2),
            ("=PLUMM_DB\nA=1", NO_NAME, 1),
            ("1PLUMM_DB= PLUMM_DB\n", NO_NAME, 1),
            ("A=1\n\nB=\"PLUMM_DB\nA=1\n", NO_QUOTE, 3),
            ("A='PLUMM_DB", NO_QUOTE, 1),
            ("A=PLUMM_DB\0", NO_TEXT, 1),
        ] {
            let (entries, faults) = parse(text.as_bytes());
            let named = vec!["PLUMM_DB".to_owned()];
            assert_eq!(faults, [Fault { line, words, named }], "{text:?}");
            let others = text.lines().filter(|it| *it == "A=1" || *it == "B=2").count();
            let lost = usize::from(words == NO_QUOTE && others == 2);
            assert_eq!(entries.len(), others - lost, "{text:?}");
        }
        let (entries, faults) = parse(b"A=\xff\nB=1\n");
        assert_eq!((entries.len(), faults[0].words), (1, NO_TEXT));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        for (path, must_exist, unreadable) in [
            ("/", false, true),
            ("/dev/null", true, false),
            ("/dev/zero", true, true),
            ("/nowhere/plumm.env", false, false),
            ("/nowhere/plumm.env", true, true),
        ] {
            let file = EnvFile::read(Path::new(path), must_exist);
            assert_eq!(file.unreadable.is_some(), unreadable, "{path} {file:?}");
            assert!(file.entries.is_empty() && file.faults.is_empty());
        }
    }
}
