//! Requests to a directory: what it offers, nonces, signed requests, and what it answered.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::config::Config;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Error};

use crate::acme::failure::{Failure, shown};
use crate::acme::jws::{AccountKey, Signer};
use crate::acme::problem::Problem;
use crate::clock::Clock;
use crate::scim::datetime::{Timestamp, retry_after};

/// How long a request may take from its first step to the end of the answer.
pub const REQUEST_SECONDS_MAX: u64 = 30;
/// No answer of a directory is longer, in bytes: the longest is a chain of certificates.
pub const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// The head of an answer is no longer than this.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How often a request is sent whose nonce the directory does not take.
const NONCE_TRIES_MAX: usize = 4;
/// How far this host's clock may be from the directory's, in seconds.
const SKEW_SECONDS_MAX: i64 = 60 * 60;
/// The form in which chains of certificates are asked for (RFC 8555 section 9.1).
const CHAIN: &str = "application/pem-certificate-chain";

/// What a directory offers (RFC 8555 section 7.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    new_nonce: String,
    /// Where accounts are made.
    pub new_account: String,
    /// Where orders are made.
    pub new_order: String,
    /// Where it suggests when to renew, if it does (RFC 9773).
    pub renewal_info: Option<String>,
    /// Its terms of service, if it has some.
    pub terms: Option<String>,
}

/// Sends requests to one directory.
pub struct Client<'a> {
    agent: Agent,
    url: &'a str,
    clock: &'a Clock,
    nonce: Option<String>,
    /// What the directory offers.
    pub directory: Directory,
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a directory answered.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    now: Timestamp,
}

impl Answer {
    /// Its body as JSON.
    ///
    /// # Errors
    /// What it is instead.
    pub fn json(&self) -> Result<Value, Failure> {
        let value = serde_json::from_slice::<Value>(&self.body).ok().filter(Value::is_object);
        value.ok_or_else(|| Failure::directory(self.is_strange()))
    }

    /// Its body as text.
    ///
    /// # Errors
    /// What it is instead.
    pub fn text(&self) -> Result<&str, Failure> {
        str::from_utf8(&self.body).map_err(|_| Failure::directory(self.is_strange()))
    }

    /// A field of its head.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the directory asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(self.header("retry-after")?, self.now)
    }

    fn is_strange(&self) -> String {
        let (status, kind) = (self.status, self.header("content-type").unwrap_or("no type"));
        let start = shown(&String::from_utf8_lossy(&self.body[..self.body.len().min(80)]));
        format!(
            "it answers {status} with {} that begins \"{start}\", and not as RFC 8555 says: is \
             --acme-directory the URL of an ACME directory?",
            shown(kind)
        )
    }

    fn problem(&self) -> Option<Problem> {
        Problem::of(&serde_json::from_slice(&self.body).ok()?)
    }

    /// The failure that this answer is, unless its status is a good one.
    fn checked(self) -> Result<Answer, Failure> {
        let wait = self.retry_after();
        match self.status {
            200..=299 => Ok(self),
            300..=399 => {
                let to = shown(self.header("location").unwrap_or("elsewhere"));
                Err(Failure::refused(format!(
                    "it redirects to {to}, and redirects are not followed: give the URL itself \
                     with --acme-directory"
                )))
            }
            status => Err(match self.problem() {
                Some(it) => it.failure(wait),
                None if status == 429 => Failure::refused(
                    "it answers 429, too many requests: it is left alone for a while",
                )
                .after(wait.or(Some(Duration::from_secs(60 * 60)))),
                None if status >= 500 => {
                    Failure::directory(format!("it answers {status}")).after(wait)
                }
                None => Failure::refused(self.is_strange()).after(wait),
            }),
        }
    }
}

impl<'a> Client<'a> {
    /// Asks a directory what it offers.
    ///
    /// # Errors
    /// Why it does not say.
    pub fn new(url: &'a str, clock: &'a Clock) -> Result<Client<'a>, Failure> {
        let agent = agent();
        let step = |it: Failure| it.at(&format!("the directory {url}"));
        permitted(url).map_err(step)?;
        let answer = received(agent.get(url).call(), clock).map_err(step)?;
        check_clock(&answer).map_err(step)?;
        let answer = answer.checked().map_err(step)?;
        let offered = answer.json().map_err(step)?;
        let text = |name: &str| offered.get(name).and_then(Value::as_str).map(str::to_owned);
        let needed =
            |name: &str| text(name).ok_or_else(|| step(Failure::directory(answer.is_strange())));
        let meta = &offered["meta"];
        if meta["externalAccountRequired"] == true {
            let kind = "urn:ietf:params:acme:error:externalAccountRequired";
            let problem = Problem::of(&serde_json::json!({ "type": kind }));
            return Err(problem.map_or_else(Failure::stopped, |it| step(it.failure(None))));
        }
        let directory = Directory {
            new_nonce: needed("newNonce")?,
            new_account: needed("newAccount")?,
            new_order: needed("newOrder")?,
            renewal_info: text("renewalInfo"),
            terms: meta["termsOfService"].as_str().map(shown),
        };
        Ok(Client { agent, url, clock, nonce: None, directory })
    }

    /// Asks without a signature, which RFC 8555 has for the directory alone, and RFC 9773 for what
    /// it suggests.
    ///
    /// # Errors
    /// Why there is no such answer.
    pub fn get(&self, url: &str) -> Result<Answer, Failure> {
        permitted(url)?;
        received(self.agent.get(url).call(), self.clock)?.checked()
    }

    /// Sends a signed request; without a payload it only asks.
    ///
    /// # Errors
    /// Why it was not done.
    pub fn post(
        &mut self,
        key: &AccountKey,
        signer: Signer<'_>,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<Answer, Failure> {
        permitted(url)?;
        for _ in 1..NONCE_TRIES_MAX {
            let answer = self.post_once(key, signer, url, payload)?;
            let problem = if answer.status == 400 { answer.problem() } else { None };
            // Nonces do not last, and the directory has sent another one with its answer.
            if problem.is_none_or(|it| it.kind != "badNonce") {
                return answer.checked();
            }
        }
        self.post_once(key, signer, url, payload)?.checked()
    }

    fn post_once(
        &mut self,
        key: &AccountKey,
        signer: Signer<'_>,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let nonce = self.nonce()?;
        let no_random = || Failure::directory("this host has no random bytes to sign with");
        let body = key.sign(signer, &nonce, url, payload).ok_or_else(no_random)?;
        let request = self.agent.post(url).header("content-type", "application/jose+json");
        let answer =
            received(request.header("accept", format!("{CHAIN}, */*")).send(&body), self.clock)?;
        self.nonce = answer.header("replay-nonce").map(str::to_owned);
        Ok(answer)
    }

    /// A nonce that was not used yet.
    fn nonce(&mut self) -> Result<String, Failure> {
        if let Some(it) = self.nonce.take() {
            return Ok(it);
        }
        permitted(&self.directory.new_nonce)?;
        let answer = received(self.agent.head(&self.directory.new_nonce).call(), self.clock)?;
        let answer = answer.checked().map_err(|it| it.at("the first nonce"))?;
        let found = answer.header("replay-nonce").map(str::to_owned);
        found.ok_or_else(|| Failure::directory("it gives no nonce (Replay-Nonce) to sign with"))
    }
}

fn agent() -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&system_roots()))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Config::builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("plumm/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(Duration::from_secs(REQUEST_SECONDS_MAX)))
        .max_response_header_size(HEAD_BYTES_MAX)
        .build();
    Agent::new_with_config(config)
}

/// The authorities that the system trusts.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        log::warn!(
            "no certificate authorities of the system were found, so no directory can be trusted: \
             Debian has them in the package ca-certificates"
        );
    }
    found.certs.iter().map(|it| Certificate::from_der(it).to_owned()).collect()
}

/// Whether a URL may be asked: under TLS, or on this host.
fn permitted(url: &str) -> Result<(), Failure> {
    let refused = || {
        Failure::refused(format!(
            "its URL {} is not https, so that anyone on the way could answer: give one that is \
             with --acme-directory",
            shown(url)
        ))
    };
    is_permitted(url).then_some(()).ok_or_else(refused)
}

/// The same as an answer: yes or no.
#[must_use]
pub fn is_permitted(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = bare.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_here,
        _ => false,
    }
}

/// Reads an answer to its end.
fn received(sent: Result<Response<Body>, Error>, clock: &Clock) -> Result<Answer, Failure> {
    let (head, mut body) = sent.map_err(|it| Failure::directory(in_words(&it)))?.into_parts();
    let mut read = Vec::new();
    let reader = body.as_reader().take(ANSWER_BYTES_MAX + 1).read_to_end(&mut read);
    reader.map_err(|it| Failure::directory(format!("its answer broke off ({it})")))?;
    if read.len() as u64 > ANSWER_BYTES_MAX {
        let kib = ANSWER_BYTES_MAX / 1024;
        return Err(Failure::directory(format!("its answer is longer than {kib} KiB")));
    }
    let status = head.status.as_u16();
    Ok(Answer { status, headers: head.headers, body: read, now: clock.now() })
}

/// Refuses to go on with a clock that is far from the directory's: what is signed and what is
/// planned would be wrong.
fn check_clock(answer: &Answer) -> Result<(), Failure> {
    let Some(theirs) = answer.header("date").and_then(Timestamp::parse_http_date) else {
        return Ok(());
    };
    let seconds = (answer.now.nanoseconds() - theirs.nanoseconds()) / 1_000_000_000;
    if seconds.abs() <= SKEW_SECONDS_MAX {
        return Ok(());
    }
    Err(Failure::directory(format!(
        "its clock says {theirs} and the one of this host {}: set the clock of this host right \
         (`timedatectl`)",
        answer.now
    )))
}

/// Why no answer came.
fn in_words(error: &Error) -> String {
    let tls = |it: &dyn fmt::Display| {
        format!(
            "TLS failed ({it}): is the clock of this host right, and does it know the directory's \
             authority?"
        )
    };
    match error {
        Error::Timeout(_) => format!("there was no answer within {REQUEST_SECONDS_MAX} seconds"),
        Error::HostNotFound => {
            "its host name is not known: is it spelt right, and does DNS work on this host?".into()
        }
        Error::Rustls(it) => tls(it),
        Error::Io(it) if it.get_ref().is_some_and(|it| it.is::<rustls::Error>()) => tls(it),
        other => format!(
            "it cannot be reached ({}): may this host connect to it?",
            shown(&other.to_string())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_asked_under_tls_or_on_this_host() {
        for (url, expected) in [
            ("https://acme-v02.api.letsencrypt.org/directory", true),
            ("HTTPS://ca.internal:9000/acme/acme/directory", true),
            ("http://127.0.0.1:14000/dir", true),
            ("http://[::1]:14000/dir", true),
            ("http://localhost/dir", false),
            ("http://ca.internal/dir", false),
            ("http://127.0.0.1.example/dir", false),
            ("http://127.0.0.1@evil.example/dir", false),
            ("ftp://127.0.0.1/dir", false),
            ("ca.internal/dir", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(is_permitted(url), expected, "{url}");
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let now = Timestamp::parse("2026-01-31T08:00:00Z").unwrap();
        Answer { status, headers: headers.collect(), body: body.into(), now }
    }

    #[test]
    fn an_answer_that_is_none_is_a_sentence() {
        let html = [("content-type", "text/html")];
        for (answer, words) in [
            (answer(404, &html, "<html>\nNot here"), "answers 404 with text/html that begins"),
            (answer(301, &[("location", "https://b.example/")], ""), "redirects to https://b.ex"),
            (answer(429, &[], ""), "answers 429"),
            (answer(502, &html, "<html>"), "answers 502"),
            (answer(400, &[], r#"{"type":"urn:ietf:params:acme:error:dns"}"#), "A or AAAA"),
        ] {
            let failure = answer.checked().unwrap_err();
            assert!(failure.words.contains(words), "{failure}");
        }
        for body in ["<html>", "[]", "", "\u{fffd}"] {
            let failure = answer(200, &html, body).json().unwrap_err();
            assert!(failure.words.contains("is --acme-directory the URL"), "{failure}");
        }
    }

    #[test]
    fn a_clock_that_is_an_hour_wrong_is_told() {
        let date = |it: &'static str| check_clock(&answer(200, &[("date", it)], "{}"));
        assert!(date("Sat, 31 Jan 2026 07:30:00 GMT").is_ok());
        assert!(date("yesterday").is_ok());
        for far in ["Sat, 31 Jan 2026 12:30:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            let failure = date(far).unwrap_err();
            assert!(failure.words.contains("set the clock of this host right"), "{failure}");
        }
    }
}
