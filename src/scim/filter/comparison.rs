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

/// Whether the folded form of a text contains this folded text. Most texts need not be folded to
/// know: a letter of ASCII stands there as itself, or as one of few others.
#[must_use]
pub fn has_folded(text: &str, folded: &str) -> bool {
    if !folded.is_ascii() {
        return !text.is_ascii() && fold(text).contains(folded);
    }
    let becomes_ascii = |it: char| {
        matches!(it, '\u{130}' | '\u{37e}' | '\u{1fef}' | '\u{212a}' | '\u{ff00}'..='\u{ffef}')
    };
    // An accent behind a letter of ASCII makes another letter of it.
    text.to_ascii_lowercase().contains(folded) && (text.is_ascii() || fold(text).contains(folded))
        || !text.is_ascii() && text.chars().any(becomes_ascii) && fold(text).contains(folded)
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
    fn a_part_is_found_as_in_the_folded_text() {
        let texts = [
            "Bob",
            "JOSE\u{301} x",
            "Jos\u{e9}",
            "\u{ff22}ob",
            "\u{212a}elvin",
            "\u{130}x",
            "a\u{37e}b",
        ];
        let parts =
            ["bob", "ob", "jose", "jos\u{e9}", "kel", "i", "x", "a;b", "e\u{301}", "nobody", ""];
        for text in texts {
            for part in parts.map(|it| fold(it).into_owned()) {
                let expected = fold(text).contains(&part);
                assert_eq!(has_folded(text, &part), expected, "{text} {part}");
            }
        }
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
