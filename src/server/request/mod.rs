//! The bytes of a connection become requests, strictly by RFC 9112.
//!
//! `reader` reads one request after the other. `input` holds the bytes that it has received and
//! not yet parsed, `line_scanner` finds the end of a head, `head` parses it, and `body` takes what
//! follows, which `chunked` decodes. Whatever is wrong with a request is a `refusal`.

pub mod body;
mod chunk_line;
pub mod chunked;
pub mod head;
mod input;
mod line_scanner;
pub mod reader;
pub mod refusal;
