//! The chunked transfer coding (RFC 9112 section 7.1): chunks and trailer fields, to their end.

use std::io::Read;

use crate::server::request::body::{BODY_BYTES_MAX, Body, too_large};
use crate::server::request::chunk_line::ChunkLine;
use crate::server::request::head::{HEADERS_MAX, syntax_refusal};
use crate::server::request::input::Input;
use crate::server::request::line_scanner::LineScanner;
use crate::server::request::refusal::{ReadError, Refusal};

/// The size line of one chunk, extensions and line end included.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// All chunk extensions of one body: they are ignored, so they may not be the bulk of it.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 4 * 1024;
/// The trailer section of a chunked body.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// Appends the data of all chunks to `body`, and reads the trailer section.
pub fn read(input: &mut Input, stream: &mut impl Read, body: &mut Body) -> Result<(), ReadError> {
    let mut extension_bytes = 0;
    loop {
        let line = read_chunk_line(input, stream)?;
        extension_bytes += line.extension_bytes;
        if extension_bytes > CHUNK_EXTENSIONS_BYTES_MAX {
            return Err(Refusal::bad(LINES_TOO_LONG).into());
        }
        if line.size == 0 {
            return read_trailers(input, stream);
        }
        if line.size > (BODY_BYTES_MAX - body.received()) as u64 {
            return Err(too_large().into());
        }
        body.read(input, stream, line.size)?;
        while input.bytes().len() < 2 {
            input.fill_or_refuse(stream)?;
        }
        if !input.bytes().starts_with(b"\r\n") {
            return Err(Refusal::bad(CHUNK_OVERLONG).into());
        }
        input.consume(2);
    }
}

fn read_chunk_line(input: &mut Input, stream: &mut impl Read) -> Result<ChunkLine, ReadError> {
    let mut scanned = 0;
    loop {
        let bytes = input.bytes();
        let seen = &bytes[..bytes.len().min(CHUNK_LINE_BYTES_MAX)];
        if let Some(found) = seen[scanned..].iter().position(|it| *it == b'\n') {
            let end = scanned + found;
            let Some(line) = seen[..end].strip_suffix(b"\r") else {
                return Err(Refusal::bad(BARE_LF).into());
            };
            let line = ChunkLine::parse(line)?;
            input.consume(end + 1);
            return Ok(line);
        }
        if seen.len() == CHUNK_LINE_BYTES_MAX {
            return Err(Refusal::bad(LINES_TOO_LONG).into());
        }
        scanned = seen.len();
        input.fill_or_refuse(stream)?;
    }
}

/// Reads trailer fields to their end and drops them: nothing here has a use for them.
fn read_trailers(input: &mut Input, stream: &mut impl Read) -> Result<(), ReadError> {
    let mut scanner = LineScanner::default();
    loop {
        let bytes = input.bytes();
        let seen = &bytes[..bytes.len().min(TRAILER_BYTES_MAX)];
        if let Some(end) = scanner.scan(seen)? {
            let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
            httparse::parse_headers(&seen[..end], &mut fields).map_err(syntax_refusal)?;
            input.consume(end);
            return Ok(());
        }
        if seen.len() == TRAILER_BYTES_MAX {
            let detail = format!(
                "The trailer fields are larger than {TRAILER_BYTES_MAX} bytes. Leave them out."
            );
            return Err(Refusal::new(431, detail).into());
        }
        input.fill_or_refuse(stream)?;
    }
}

const LINES_TOO_LONG: &str =
    "The size lines of the chunks are too long. Leave chunk extensions out.";
const BARE_LF: &str = "The size line of a chunk ends with LF alone. End it with CR and LF.";
const CHUNK_OVERLONG: &str = "A chunk does not end where its size says. Send CR LF after exactly \
                              as many bytes as announced.";
