//! An API token as an admin pastes it, judged before it is sent.

use zeroize::Zeroizing;

use crate::idp::step::Fault;

/// The longest token that is sent, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Judges a token. The end of its line, which an editor adds to a file, is no part of it.
///
/// # Errors
/// What is wrong with it; never the token itself.
pub fn judge(text: &str) -> Result<Zeroizing<String>, Fault> {
    let token = text.strip_suffix('\n').unwrap_or(text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    let fault = |seen: &str, advice: &str| Err(Fault::new(seen, advice));
    if token.trim().is_empty() {
        return fault("the token is empty", "give the API token of the SCIM server");
    }
    if token.len() > TOKEN_BYTES_MAX {
        return fault("the token is longer than 8 KiB", "give the token alone");
    }
    let scheme = token.trim_start().get(..7).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("Bearer ") {
        return fault(
            "the token begins with the word \"Bearer\"",
            "give what stands behind it: the identity provider writes the word itself",
        );
    }
    if token.starts_with(char::is_whitespace) || token.ends_with(char::is_whitespace) {
        return fault("the token has a blank before or behind it", "copy it without the blank");
    }
    if token.lines().count() > 1 {
        return fault("the token has several lines", "give the token alone, on one line");
    }
    if token.starts_with(['"', '\'']) || token.ends_with(['"', '\'']) {
        return fault("the token stands in quotes", "give it without the quotes");
    }
    if token.contains(char::is_whitespace) {
        return fault("the token has a blank within it", "copy it anew, whole and alone");
    }
    if !token.bytes().all(|it| it.is_ascii_graphic()) {
        return fault(
            "the token has a character that no header field can carry",
            "copy it anew from where it was shown, not from a document that changes characters",
        );
    }
    Ok(Zeroizing::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_with_a_token_is_named() {
        assert_eq!(*judge("plm_a_b\n").unwrap(), "plm_a_b");
        assert_eq!(*judge("plm_a_b\r\n").unwrap(), "plm_a_b");
        for (text, words) in [
            ("", "empty"),
            (" \n", "empty"),
            ("bearer plm_a", "\"Bearer\""),
            (" plm_a", "before or behind"),
            ("plm_a \n", "before or behind"),
            ("plm_a\nplm_b\n", "several lines"),
            ("\"plm_a\"", "quotes"),
            ("plm_a plm_b", "within"),
            ("plm_\u{2013}a", "no header field"),
        ] {
            let fault = judge(text).unwrap_err();
            assert!(fault.seen.contains(words), "{text:?}: {fault:?}");
            assert!(!format!("{fault:?}").contains("plm_"), "{fault:?}");
        }
        assert!(judge(&"x".repeat(TOKEN_BYTES_MAX + 1)).unwrap_err().seen.contains("8 KiB"));
    }
}
