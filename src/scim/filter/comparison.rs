//! How strings are compared (RFC 7643 section 2.2 `caseExact`, RFC 7644 section 5).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// The form in which two strings are equal when they differ in letter case only, as the profile
/// UsernameCaseMapped has it (RFC 8265 section 3.3): letters of full or half width become those of
/// the usual one, capital letters small ones, and all is composed (NFC), so that `É`, `é` and `e`
/// with an accent after it meet.
///
/// This is not case folding: `straße` is not `strasse`, `ſam` not `sam`, and nobody logs in as
/// another because of a ligature. Idempotent.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|it| it.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    let composed: String = text.chars().flat_map(usual_width).nfc().collect();
    Cow::Owned(composed.to_lowercase().nfc().collect())
}

/// A character of full or half width as the one it stands for (RFC 8264 section 5.2.1).
fn usual_width(it: char) -> impl Iterator<Item = char> {
    let is_wide = matches!(it, '\u{3000}' | '\u{ff00}'..='\u{ffef}');
    let (wide, plain) = if is_wide { (Some(it), None) } else { (None, Some(it)) };
    plain.into_iter().chain(wide.into_iter().nfkc())
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
            ("STRAẞE", "straße"),
            ("ΟΔΟΣ", "οδος"),
            ("É", "e\u{301}"),
            ("ÀÉ", "àé"),
            ("ＢＯＢ", "bob"),
            ("ｶﾞ", "ガ"),
        ] {
            assert!(same(a, b, false), "{a} {b}");
            assert!(!same(a, b, true), "{a} {b}");
        }
        // Names that only full case folding or compatibility makes equal are different names.
        for (a, b) in [("straße", "strasse"), ("ſam", "sam"), ("oﬃce", "office"), ("ŉ", "ʼn")]
        {
            assert!(!same(a, b, false), "{a} {b}");
        }
        assert!(!same("a", "b", false));
    }

    #[test]
    fn folding_twice_is_folding_once() {
        for text in ["É", "ß", "ẞ", "ΐ", "İ", "ǰ", "\u{1fb3}", "ﬃ", "K", "Ａ", "ΑΣ", "ﾊﾟ"]
        {
            let once = fold(text).into_owned();
            assert_eq!(fold(&once), once, "{text}");
        }
    }
}
