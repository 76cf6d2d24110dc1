//! What a directory says when it refuses something (RFC 8555 section 6.7), and what that means to
//! whoever runs the server; pure.

use std::time::Duration;

use serde_json::Value;

use crate::acme::failure::{Cause, Failure, shown};

/// What the types of RFC 8555 begin with.
const PREFIX: &str = "urn:ietf:params:acme:error:";
/// How many of the reasons within a reason are shown.
const SUBPROBLEMS_MAX: usize = 5;
/// How long a directory that limits its clients is left alone when it does not say for how long.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(60 * 60);

/// A problem document (RFC 7807).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its type, without what all of RFC 8555 begin with.
    pub kind: String,
    /// What the directory says, as one line.
    detail: String,
    /// Where to read more, or to agree to something.
    instance: Option<String>,
}

impl Problem {
    /// The problem of this document, if it is one.
    #[must_use]
    pub fn of(document: &Value) -> Option<Problem> {
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let kind = text(document, "type")?;
        let kind = shown(kind.strip_prefix(PREFIX).unwrap_or(&kind));
        let mut detail = text(document, "detail").unwrap_or_default();
        let within = document.get("subproblems").and_then(Value::as_array);
        for it in within.into_iter().flatten().take(SUBPROBLEMS_MAX) {
            let name = it.get("identifier").and_then(|it| text(it, "value"));
            let more = text(it, "detail").unwrap_or_default();
            detail += &format!("; {}: {more}", name.unwrap_or_default());
        }
        let instance = text(document, "instance").map(|it| shown(&it));
        Some(Problem { kind, detail: shown(&detail), instance })
    }

    /// What the directory says, with the type.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self.detail.is_empty() {
            true => format!("the directory says {}", self.kind),
            false => format!("the directory says \"{}\" ({})", self.detail, self.kind),
        }
    }

    /// The failure that this problem is where an account, an order or a certificate was asked for.
    #[must_use]
    pub fn failure(&self, retry_after: Option<Duration>) -> Failure {
        let said = self.in_words();
        let advice = match self.kind.as_str() {
            "rateLimited" => {
                let failure = Failure::refused(format!("{said}: it is left alone until then"));
                return failure.after(Some(retry_after.unwrap_or(RATE_LIMIT_PAUSE)));
            }
            "serverInternal" | "badNonce" | "orderNotReady" => {
                return Failure::directory(said).after(retry_after);
            }
            "accountDoesNotExist" => {
                return Failure { cause: Cause::NoAccount, ..Failure::directory(said) };
            }
            "externalAccountRequired" => {
                "it wants an account that was made elsewhere before, which plumm does not do: \
                 choose another one with --acme-directory"
            }
            "userActionRequired" => {
                let at = self.instance.as_deref().unwrap_or("its site");
                return Failure::refused(format!("{said}: do what {at} asks for"));
            }
            "invalidContact" | "unsupportedContact" => {
                "give an address that it takes with --acme-email"
            }
            "rejectedIdentifier" | "unsupportedIdentifier" => {
                "it gives no certificate for such a name: is it spelt as in DNS, and public?"
            }
            "caa" => {
                "the CAA records of the domain name the authorities that may issue for it: add \
                 this one"
            }
            "dns" => "let an A or AAAA record of the domain name this host",
            "unauthorized" => "the directory does not allow that to this account",
            _ => "plumm cannot mend that; please report it where plumm comes from",
        };
        Failure::refused(format!("{said}: {advice}")).after(retry_after)
    }

    /// The failure that this problem is where the directory looked for the answer to a challenge.
    /// `where_to`: what it connected to.
    #[must_use]
    pub fn of_challenge(&self, where_to: &str) -> Failure {
        let said = self.in_words();
        let advice = match self.kind.as_str() {
            "connection" => {
                format!("let {where_to} reach this server: the firewall, the router, DNS")
            }
            "unauthorized" | "incorrectResponse" | "tls" => {
                format!("{where_to} leads elsewhere, or something in between answers")
            }
            "caa" | "dns" | "rateLimited" | "serverInternal" | "rejectedIdentifier" => {
                return self.failure(None);
            }
            _ => format!("does {where_to} lead to this server?"),
        };
        Failure::challenge(format!("{said}: {advice}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(kind: &str) -> Problem {
        let kind = format!("{PREFIX}{kind}");
        Problem::of(&json!({ "type": kind, "detail": "It\r\nis so." })).unwrap()
    }

    #[test]
    fn each_problem_is_a_sentence_with_what_to_do() {
        for (kind, cause, words) in [
            ("rateLimited", Cause::Refused, "left alone"),
            ("serverInternal", Cause::Directory, "serverInternal"),
            ("accountDoesNotExist", Cause::NoAccount, "accountDoesNotExist"),
            ("externalAccountRequired", Cause::Refused, "--acme-directory"),
            ("userActionRequired", Cause::Refused, "its site"),
            ("invalidContact", Cause::Refused, "--acme-email"),
            ("rejectedIdentifier", Cause::Refused, "spelt"),
            ("caa", Cause::Refused, "CAA records"),
            ("dns", Cause::Refused, "A or AAAA"),
            ("malformed", Cause::Refused, "report it"),
        ] {
            let failure = problem(kind).failure(None);
            assert_eq!(failure.cause, cause, "{kind}");
            assert!(failure.words.starts_with("the directory says \"It is so.\""), "{failure}");
            assert!(failure.words.contains(words), "{failure}");
        }
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(problem("rateLimited").failure(None).wait, hour);
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(problem("rateLimited").failure(day).wait, day);
    }

    #[test]
    fn where_a_challenge_failed_the_place_is_named() {
        for (kind, cause, words) in [
            ("connection", Cause::Challenge, "let port 80 of a.example reach"),
            ("unauthorized", Cause::Challenge, "port 80 of a.example leads elsewhere"),
            ("tls", Cause::Challenge, "leads elsewhere"),
            ("strange", Cause::Challenge, "does port 80 of a.example lead"),
            // Another challenge would fail alike.
            ("caa", Cause::Refused, "CAA"),
            ("dns", Cause::Refused, "A or AAAA"),
        ] {
            let failure = problem(kind).of_challenge("port 80 of a.example");
            assert_eq!(failure.cause, cause, "{kind}");
            assert!(failure.words.contains(words), "{failure}");
        }
    }

    #[test]
    fn a_document_without_a_type_is_no_problem() {
        for other in [json!({}), json!([]), json!("x"), json!({ "type": 7 })] {
            assert_eq!(Problem::of(&other), None, "{other}");
        }
        let within = json!({ "type": "about:blank", "detail": "Two.", "subproblems": [
            { "detail": "No.", "identifier": { "value": "a.example" } }, {}
        ] });
        let words = Problem::of(&within).unwrap().in_words();
        assert_eq!(words, "the directory says \"Two.; a.example: No.; :\" (about:blank)");
    }
}
