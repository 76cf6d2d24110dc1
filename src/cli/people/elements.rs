//! The elements of a JSON array in a file, one after the other: the file may be longer than memory.
//! A ListResponse is an object with such an array.

use std::io::{self, BufRead};

/// The longest element that is read, in bytes.
const ELEMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The member of a ListResponse with its resources (RFC 7644 section 3.4.2).
const RESOURCES: &str = "Resources";

/// The elements of the array.
pub struct Elements<R> {
    input: R,
    line: u64,
    state: State,
    /// Whether the array stands in an object.
    in_object: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begin,
    First,
    Next,
    End,
}

/// One element.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// The line it begins on, counted from 1.
    pub line: u64,
    /// Its text.
    pub text: String,
}

/// Why there is no further element.
#[derive(Debug)]
pub enum Fault {
    /// The file cannot be read.
    Io(io::Error),
    /// What is wrong with the text, as the end of a sentence about the file.
    Text(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl<R: BufRead> Elements<R> {
    /// The elements of this text. A byte order mark was taken off before.
    pub fn new(input: R) -> Elements<R> {
        Elements { input, line: 1, state: State::Begin, in_object: false }
    }

    /// The next element; its text is not JSON yet, but its brackets and quotes close.
    ///
    /// # Errors
    /// Where the text is no array, and failures to read.
    pub fn next_element(&mut self) -> Result<Option<Element>, Fault> {
        if self.state == State::Begin {
            self.begin()?;
        }
        if self.state == State::End {
            return Ok(None);
        }
        let mut byte = self.significant()?;
        if self.state == State::Next && byte == Some(b',') {
            self.skip();
            byte = self.significant()?;
        } else if self.state == State::Next && byte != Some(b']') {
            return Err(self.fault(byte, "a comma or the end of the list"));
        }
        if byte == Some(b']') {
            self.skip();
            self.end()?;
            return Ok(None);
        }
        self.state = State::Next;
        let line = self.line;
        let text = String::from_utf8(self.value()?);
        let text = text.map_err(|_| Fault::Text(format!("line {line} is not UTF-8 text")))?;
        Ok(Some(Element { line, text }))
    }

    /// Goes to where the array begins.
    fn begin(&mut self) -> Result<(), Fault> {
        match self.significant()? {
            Some(b'[') => self.skip(),
            Some(b'{') => {
                self.skip();
                self.in_object = true;
                self.find_resources()?;
            }
            other => return Err(self.fault(other, "a list of users: [")),
        }
        self.state = State::First;
        Ok(())
    }

    fn find_resources(&mut self) -> Result<(), Fault> {
        loop {
            match self.significant()? {
                Some(b'"') => {}
                Some(b'}') => {
                    return Err(Fault::Text(format!(
                        "it is one object without {RESOURCES}; put users into a list: [ ]"
                    )));
                }
                other => return Err(self.fault(other, "a name in quotes")),
            }
            let name = self.value()?;
            match self.significant()? {
                Some(b':') => self.skip(),
                other => return Err(self.fault(other, "a colon")),
            }
            let name = String::from_utf8_lossy(&name);
            let is_it = name.trim_matches('"').eq_ignore_ascii_case(RESOURCES);
            if is_it && self.significant()? == Some(b'[') {
                self.skip();
                return Ok(());
            }
            self.significant()?;
            self.value()?;
            if self.significant()? == Some(b',') {
                self.skip();
            }
        }
    }

    /// What stands behind the array: the rest of the object it is in, or nothing.
    fn end(&mut self) -> Result<(), Fault> {
        self.state = State::End;
        if !self.in_object {
            return match self.significant()? {
                None => Ok(()),
                other => Err(self.fault(other, "the end of the file behind the list")),
            };
        }
        loop {
            match self.significant()? {
                Some(b'}') => return Ok(()),
                Some(b',' | b':') => self.skip(),
                Some(_) => drop(self.value()?),
                None => return Err(self.fault(None, "a }")),
            }
        }
    }

    /// The text of one value, up to where its brackets or quotes close.
    fn value(&mut self) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        let begun = self.line;
        loop {
            let Some(byte) = self.peek()? else {
                return Err(Fault::Text(format!(
                    "it ends within what begins on line {begun}: it was cut off, or a bracket or \
                     quote is missing"
                )));
            };
            let is_plain = depth == 0 && !quoted;
            if is_plain && matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\n' | b'\r' | b'\t')
            {
                // A bare word or a number ends before what follows it.
                if text.is_empty() {
                    return Err(self.fault(Some(byte), "a value"));
                }
                return Ok(text);
            }
            self.skip();
            text.push(byte);
            if text.len() > ELEMENT_BYTES_MAX {
                return Err(Fault::Text(format!(
                    "what begins on line {begun} is longer than {ELEMENT_BYTES_MAX} bytes; is a \
                     bracket or quote missing?"
                )));
            }
            let mut closes = false;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => {
                    quoted = !quoted;
                    closes = !quoted;
                }
                _ if quoted => {}
                b'[' | b'{' => depth += 1,
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    closes = true;
                }
                _ => {}
            }
            if closes && depth == 0 {
                return Ok(text);
            }
        }
    }

    /// The next byte that is no white space; it stays to be read.
    fn significant(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.skip(),
                other => return Ok(other),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Fault> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    /// Leaves the byte behind that was seen.
    fn skip(&mut self) {
        if let Ok(buffer) = self.input.fill_buf() {
            self.line += u64::from(buffer.first() == Some(&b'\n'));
        }
        self.input.consume(1);
    }

    fn fault(&self, found: Option<u8>, expected: &str) -> Fault {
        Fault::Text(match found {
            None => format!("it ends on line {}, where {expected} is expected", self.line),
            Some(byte) => format!(
                "on line {} stands \"{}\", where {expected} is expected",
                self.line,
                byte.escape_ascii()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(u64, String)>, String> {
        let mut elements = Elements::new(io::BufReader::with_capacity(1, text.as_bytes()));
        let mut found = Vec::new();
        loop {
            match elements.next_element() {
                Ok(Some(it)) => found.push((it.line, it.text)),
                Ok(None) => return Ok(found),
                Err(Fault::Text(it)) => return Err(it),
                Err(Fault::Io(it)) => panic!("{it}"),
            }
        }
    }

    #[test]
    fn elements_have_their_lines() {
        for (text, expected) in [
            ("[]", &[][..]),
            (" [ ] \n", &[]),
            (
                "[1,\n{\"a\": \"]}\\\"\"}\n,\n[2]]",
                &[(1, "1"), (2, "{\"a\": \"]}\\\"\"}"), (4, "[2]")],
            ),
            (
                "{\"a\":[{}],\"b\":1,\"resources\":[\n{}\n,{}],\"c\":{\"d\":[]}}",
                &[(2, "{}"), (3, "{}")],
            ),
            ("{\"Resources\":[]}", &[]),
            ("[\"x\" , tru]", &[(1, "\"x\""), (1, "tru")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, it)| (*n, (*it).to_owned())).collect();
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_said() {
        for (text, words) in [
            ("", "ends on line 1"),
            ("userName", "stands \"u\""),
            ("{\"userName\": \"a\"}", "without Resources"),
            ("[{}\n{}]", "on line 2 stands \"{\", where a comma"),
            ("[{\"a\": 1}, {\"b", "it ends within what begins on line 1"),
            ("[{}", "where a comma or the end"),
            ("[{},", "ends"),
            ("[,]", "where a value is expected"),
            ("[{}]\n[]", "on line 2 stands"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(words), "{text}: {found}");
        }
    }
}
