//! How strings are compared (RFC 7643 section 2.2 `caseExact`, RFC 7644 section 5).

use std::borrow::Cow;

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;

/// The form in which two strings are equal when they differ in letter case only: Unicode case
/// folding and composition (NFC), so that `É`, `é` and `e` with an accent after it meet.
/// Idempotent.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|it| it.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    let composed: String = text.nfc().collect();
    let folded = UniCase::unicode(composed).to_folded_case();
    Cow::Owned(folded.nfc().collect())
}

/// Whether two strings are the same under this attribute's `caseExact`.
#[must_use]
pub fn same(a: &str, b: &str, case_exact: bool) -> bool {
    a == b || (!case_exact && fold(a) == fold(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_is_folded_in_every_script() {
        for (a, b) in [
            ("Bob@Example.COM", "bob@example.com"),
            ("STRASSE", "straße"),
            ("ΟΔΟΣ", "οδος"),
            ("É", "e\u{301}"),
            ("ÀÉ", "àé"),
        ] {
            assert!(same(a, b, false), "{a} {b}");
            assert!(!same(a, b, true), "{a} {b}");
        }
        assert!(!same("a", "b", false));
    }

    #[test]
    fn folding_twice_is_folding_once() {
        for text in ["É", "ß", "ΐ", "İ", "ǰ", "\u{1fb3}", "ﬃ", "K"] {
            let once = fold(text).into_owned();
            assert_eq!(fold(&once), once, "{text}");
        }
    }
}
