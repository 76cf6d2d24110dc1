//! Finds the empty line that ends a head or a trailer section, byte by byte as the bytes arrive.

use crate::server::request::refusal::Refusal;

/// The scanner of one head or trailer section. It remembers its position, so that a section that
/// arrives one byte at a time costs no more than one that arrives at once.
///
/// httparse takes a bare LF for a line end and RFC 9112 section 2.2 permits that, but a proxy in
/// front may not, and two readings of one request are how requests are smuggled. So line ends are
/// checked here, before httparse sees the section.
#[derive(Debug, Default)]
pub struct LineScanner {
    position: usize,
    line_start: usize,
    /// How many lines are complete.
    pub lines: usize,
}

impl LineScanner {
    /// Scans what is new in `bytes`, which always begin at the same place. Returns the length of
    /// the section once its empty last line has arrived.
    ///
    /// # Errors
    ///
    /// A bare CR or LF, a NUL, or a line that begins with white space.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(&byte) = bytes.get(self.position) {
            let at = self.position;
            self.position += 1;
            let after_cr = at > self.line_start && bytes[at - 1] == b'\r';
            match byte {
                b'\n' if after_cr => {
                    if at - 1 == self.line_start {
                        return Ok(Some(at + 1));
                    }
                    self.line_start = at + 1;
                    self.lines += 1;
                }
                b'\n' => return Err(Refusal::bad(BARE_LF)),
                _ if after_cr => return Err(Refusal::bad(BARE_CR)),
                0 => return Err(Refusal::bad(NUL)),
                // A folded value (RFC 9112 section 5.2), or space before the first line.
                b' ' | b'\t' if at == self.line_start => return Err(Refusal::bad(FOLDED)),
                b'\r' => {}
                // Within a line nothing else matters up to the next control character.
                _ => self.position += plain(&bytes[self.position..]),
            }
        }
        Ok(None)
    }
}

/// How many bytes come before the first one up to CR. Most lines are some dozen bytes without any,
/// so eight are looked at together: a byte below 14 borrows when 14 is taken from each, which sets
/// its highest bit. The lowest one that is set is always true, and is the first.
fn plain(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 255;
    let (words, _) = bytes.as_chunks();
    let has_control = |it: &[u8; 8]| {
        let word = u64::from_le_bytes(*it);
        word.wrapping_sub(EACH * 14) & !word & (EACH << 7) != 0
    };
    let before = 8 * words.iter().position(has_control).unwrap_or(words.len());
    let rest = &bytes[before..];
    before + rest.iter().position(|it| *it <= b'\r').unwrap_or(rest.len())
}

const BARE_LF: &str =
    "A line of the request head ends with LF alone. End each line with CR and LF.";
const BARE_CR: &str =
    "The request head holds a CR without LF. Send CR only as part of a line end, CR LF.";
const NUL: &str = "The request head holds a NUL byte. Send text only.";
const FOLDED: &str = "A line of the request head begins with white space. \
                      Send each header field on one line.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_at_its_first_empty_line() {
        for (bytes, expected) in
            [("\r\n", Some(2)), ("a: b\r\n\r\nmore", Some(8)), ("a: b\r\n", None), ("", None)]
        {
            assert_eq!(LineScanner::default().scan(bytes.as_bytes()), Ok(expected), "{bytes:?}");
        }
    }

    #[test]
    fn a_control_character_is_found_at_every_place() {
        for length in 0..40 {
            for other in [14, b'a', 0x7f, 0x80, 0xff] {
                let mut bytes = vec![other; length];
                assert_eq!(plain(&bytes), length);
                for at in (0..length).rev() {
                    bytes[at] = (at % 14) as u8;
                    assert_eq!(plain(&bytes), at, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn ambiguous_lines_are_refused() {
        for (bytes, detail) in [
            ("a: b\n", BARE_LF),
            ("\n", BARE_LF),
            ("a: b\rc", BARE_CR),
            ("\r\r\n", BARE_CR),
            ("a: \0", NUL),
            ("a: b\r\n c", FOLDED),
            ("\ta: b", FOLDED),
        ] {
            let refused = LineScanner::default().scan(bytes.as_bytes()).unwrap_err();
            assert_eq!(refused, Refusal::bad(detail), "{bytes:?}");
        }
    }
}
