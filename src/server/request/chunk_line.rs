//! The size line of a chunk (RFC 9112 section 7.1): bytes in, a size or a refusal out.

use crate::server::request::refusal::Refusal;

/// A size line without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLine {
    /// The length of the data that follows; zero for the last chunk.
    pub size: u64,
    /// The length of the extensions, which are ignored.
    pub extension_bytes: usize,
}

impl ChunkLine {
    /// Parses a size line: hexadecimal digits, then nothing or `;` and extensions.
    ///
    /// # Errors
    ///
    /// Anything else. With a sign, `0x`, white space or a control character, two readers of one
    /// chunk may arrive at two sizes.
    pub fn parse(line: &[u8]) -> Result<ChunkLine, Refusal> {
        let count = line.iter().take_while(|it| it.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at(count);
        let control = |it: &u8| it.is_ascii_control() && *it != b'\t';
        let extended = extension.trim_ascii_start().starts_with(b";");
        if !(extension.is_empty() || extended) || extension.iter().any(control) {
            return Err(Refusal::bad(MALFORMED));
        }
        let digits = str::from_utf8(digits).unwrap_or_default();
        // Up to sixteen digits fit; a longer number is no real size.
        let size = u64::from_str_radix(digits, 16).map_err(|_| Refusal::bad(MALFORMED))?;
        Ok(ChunkLine { size, extension_bytes: extension.len() })
    }
}

const MALFORMED: &str = "A chunk of the body has no valid size line. Send its size in hexadecimal \
                         digits, then CR LF.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_line_is_hexadecimal_digits_and_perhaps_extensions() {
        for (line, expected) in [
            ("0", (0, 0)),
            ("1aF", (0x1af, 0)),
            ("0005", (5, 0)),
            ("5;a=b", (5, 4)),
            ("5 ; a", (5, 4)),
            ("ffffffffffffffff", (u64::MAX, 0)),
        ] {
            let it = ChunkLine::parse(line.as_bytes()).unwrap();
            assert_eq!((it.size, it.extension_bytes), expected, "{line}");
        }
    }

    #[test]
    fn any_other_line_is_refused() {
        for line in
            ["", ";a", "g", "-1", "+5", "0x5", " 5", "5 ", "5 a", "5,5", "5\r", "5;\x01", "5;\0"]
        {
            assert!(ChunkLine::parse(line.as_bytes()).is_err(), "{line:?}");
        }
        assert!(ChunkLine::parse(b"10000000000000000").is_err());
    }
}
