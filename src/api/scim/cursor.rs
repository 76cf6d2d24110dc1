//! Cursors (RFC 9865): where a page ended, as text for the client to send back. The server keeps
//! nothing.

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scim::datetime::Timestamp;
use crate::scim::error::Error;
use crate::scim::schema::service_provider_config::CURSOR_SECONDS;
use crate::store::query::listing::Position;

/// The form of the text; a cursor of another form is of another version of the program.
const FORM: i64 = 1;
/// Bytes of the digest that stands for a query.
const DIGEST_BYTES: usize = 12;

/// A place in a list and the way from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// The place.
    pub position: Position,
    /// Whether the page before the place is meant, and not the one behind it.
    pub backward: bool,
    /// How many resources the list had when its first page was asked for.
    pub total: Option<i64>,
    /// `count` of the first page; it must stay the same.
    pub count: i64,
}

impl Cursor {
    /// The text, in characters that need no encoding in a URL. `query` is everything that must stay
    /// the same from page to page, the organisation included.
    #[must_use]
    pub fn write(&self, query: &[&str], now: Timestamp) -> String {
        let body = json!([
            FORM,
            self.backward,
            self.position.key,
            self.position.seq,
            self.total,
            self.count,
            now.milliseconds() / 1000,
        ])
        .to_string();
        let mut bytes = bind(query, &body);
        bytes.extend(body.into_bytes());
        Base64UrlUnpadded::encode_string(&bytes)
    }

    /// Reads a text that a client sent back.
    ///
    /// # Errors
    /// 400 `invalidCursor` for what this server did not write for this query, 400 `expiredCursor`
    /// for what it wrote too long ago.
    pub fn read(text: &str, query: &[&str], now: Timestamp) -> Result<Cursor, Error> {
        let wrong = || {
            Error::invalid_cursor(
                "The cursor does not belong to this query. Send the nextCursor or previousCursor \
                 of the page before, with all other parameters as they were; an empty cursor asks \
                 for the first page.",
            )
        };
        let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| wrong())?;
        let (bound, body) = bytes.split_at_checked(DIGEST_BYTES).ok_or_else(wrong)?;
        let body = std::str::from_utf8(body).map_err(|_| wrong())?;
        if bind(query, body) != bound {
            return Err(wrong());
        }
        let parts: (i64, bool, Value, i64, Option<i64>, i64, u64) =
            serde_json::from_str(body).map_err(|_| wrong())?;
        let (form, backward, key, seq, total, count, written) = parts;
        if form != FORM {
            return Err(wrong());
        }
        if now.milliseconds() / 1000 > written.saturating_add(CURSOR_SECONDS) {
            return Err(Error::expired_cursor(format!(
                "The cursor is older than {CURSOR_SECONDS} seconds. Begin again with an empty \
                 cursor."
            )));
        }
        Ok(Cursor { position: Position { key, seq }, backward, total, count })
    }
}

/// Binds a cursor to its query. It is no secret and guards none: whatever a cursor says, a query
/// answers resources of its own organisation only.
fn bind(query: &[&str], body: &str) -> Vec<u8> {
    digest(&[query, &[body]].concat())
}

/// Stands for a query, everything it consists of.
pub(crate) fn digest(query: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in query {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..DIGEST_BYTES].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_was_written_for_its_query_and_time_only() {
        let now = Timestamp::from_nanoseconds(1_700_000_000_000_000_000);
        let cursor = Cursor {
            position: Position { key: json!("ü\"1"), seq: 42 },
            backward: true,
            total: Some(7),
            count: 3,
        };
        let text = cursor.write(&["1", "userName pr"], now);
        let plain = |it: char| it.is_ascii_alphanumeric() || "-._~".contains(it);
        assert!(text.chars().all(plain), "{text}");
        assert_eq!(Cursor::read(&text, &["1", "userName pr"], now), Ok(cursor));
        let keyword = |text: &str, query: &[&str], now| {
            Cursor::read(text, query, now).unwrap_err().scim_type.unwrap().keyword()
        };
        assert_eq!(keyword(&text, &["2", "userName pr"], now), "invalidCursor");
        assert_eq!(keyword(&text, &["1u", "serName pr"], now), "invalidCursor");
        for wrong in ["x", "!", &text[1..], &text[..text.len() - 1], "AAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(keyword(wrong, &["1", "userName pr"], now), "invalidCursor", "{wrong}");
        }
        let late = now.plus_seconds(CURSOR_SECONDS as i64 + 1);
        assert_eq!(keyword(&text, &["1", "userName pr"], late), "expiredCursor");
    }
}
