//! The id of a request: on its answer, in the log, and in the record of what it changed.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::id;

/// The header field in which a client sends an id, and every answer has one.
pub const FIELD: &str = "X-Request-Id";
/// The longest id that is taken over from a client, in bytes.
pub const BYTES_MAX: usize = 128;
/// What an id may hold beside letters and digits: nothing that a log, a shell, a page or a table
/// reads as more than text.
const PUNCTUATION: &[u8] = b"-._:/+=~";
/// How API tokens begin: one that was sent as an id by mistake is not to be logged.
const TOKEN_PREFIX: &str = "plm_";

/// The length of an id that is made here, in hexadecimal digits.
const FRESH_BYTES: usize = 16;

thread_local! {
    /// The request that this thread works on.
    static CURRENT: RefCell<Option<RequestId>> = const { RefCell::new(None) };
}

/// The id of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Text);

#[derive(Clone, PartialEq, Eq)]
enum Text {
    Fresh([u8; FRESH_BYTES]),
    Own(Arc<str>),
}

impl RequestId {
    /// An id that no other request has.
    #[must_use]
    pub fn fresh() -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut rest = id::request();
        let mut text = [0; FRESH_BYTES];
        for byte in text.iter_mut().rev() {
            *byte = DIGITS[(rest & 15) as usize];
            rest >>= 4;
        }
        RequestId(Text::Fresh(text))
    }

    /// The id that a client has sent, when it is one and can be written anywhere; two that differ
    /// are none.
    #[must_use]
    pub fn sent<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<RequestId> {
        let sent = fields.next()?;
        let allowed = |it: u8| it.is_ascii_alphanumeric() || PUNCTUATION.contains(&it);
        let is_id = (1..=BYTES_MAX).contains(&sent.len())
            && sent.bytes().all(allowed)
            && !sent.contains(TOKEN_PREFIX)
            && fields.all(|it| it == sent);
        is_id.then(|| RequestId(Text::Own(sent.into())))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Fresh(digits) => str::from_utf8(digits).unwrap_or_default(),
            Text::Own(text) => text,
        }
    }

    /// Has each line that this thread logs carry the id, until the returned value is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        Entered(CURRENT.with(|it| it.replace(Some(self.clone()))))
    }

    /// The id of the request that this thread works on.
    #[must_use]
    pub fn current() -> Option<RequestId> {
        // A thread that ends may still log.
        CURRENT.try_with(|it| it.try_borrow().ok()?.clone()).ok().flatten()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// See [`RequestId::enter`].
#[derive(Debug)]
pub struct Entered(Option<RequestId>);

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        let _ = CURRENT.try_with(|it| it.replace(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_differ() {
        let (a, b) = (RequestId::fresh(), RequestId::fresh());
        assert_ne!(a, b);
        assert_eq!(a.as_str().len(), FRESH_BYTES);
        assert!(a.as_str().bytes().all(|it| it.is_ascii_hexdigit()));
    }

    #[test]
    fn a_sane_id_is_taken_over_and_nothing_else() {
        let long = "a".repeat(BYTES_MAX);
        for own in ["1", "7f9c-A_b.c:d/e+f==~", &long] {
            assert_eq!(RequestId::sent([own].into_iter()).unwrap().as_str(), own);
            assert!(RequestId::sent([own, own].into_iter()).is_some());
            assert_eq!(RequestId::sent([own, "other"].into_iter()), None);
        }
        let too_long = format!("{long}a");
        for bad in ["", " ", "a b", "a\"b", "a,b", "<a>", "a\u{e9}", "a\tb", "x-plm_abc", &too_long]
        {
            assert_eq!(RequestId::sent([bad].into_iter()), None, "{bad:?}");
        }
        assert_eq!(RequestId::sent([].into_iter()), None);
    }

    #[test]
    fn a_thread_knows_the_request_that_it_works_on() {
        assert_eq!(RequestId::current(), None);
        let (outer, inner) = (RequestId::fresh(), RequestId::fresh());
        let entered = outer.enter();
        assert_eq!(RequestId::current().as_ref(), Some(&outer));
        drop(inner.enter());
        assert_eq!(RequestId::current(), Some(outer));
        drop(entered);
        assert_eq!(RequestId::current(), None);
    }
}
