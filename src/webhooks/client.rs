//! One request to a receiver, and what it answered.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{HeaderMap, StatusCode, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use crate::scim::datetime::{Timestamp, retry_after};
use crate::store::tables::webhook::Webhook;
use crate::webhooks::address::{bare_host, refuse_address, refuse_host};

/// How long a request may take from its first step to the end of the answer.
pub const REQUEST_SECONDS_MAX: u64 = 20;
/// How long the body of an answer is waited for; its status counts already.
const BODY_TIME_MAX: Duration = Duration::from_secs(5);
/// How much of the body of an answer is read.
const READ_BYTES_MAX: u64 = 4 * 1024;
/// How much of it is kept.
pub const ANSWER_BYTES_MAX: usize = 1024;
/// How long a connection stays open for the next event: less than receivers keep it, so that none
/// is closed by them while a request is on its way.
const IDLE_TIME_MAX: Duration = Duration::from_secs(1);
/// How many connections stay open.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// The head of an answer is no longer than this.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What a client trusts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trust {
    /// Whether the receiver has a certificate at all.
    pub tls: bool,
    /// The authorities of its certificate, as PEM; `None`: the system's.
    pub ca: Option<String>,
    /// Whether plain HTTP may leave the host.
    pub insecure: bool,
}

impl Trust {
    /// What the client of an endpoint trusts.
    #[must_use]
    pub fn of(webhook: &Webhook) -> Trust {
        let tls = webhook.url.get(..6).is_some_and(|it| it.eq_ignore_ascii_case("https:"));
        Trust { tls, ca: webhook.ca.clone(), insecure: webhook.insecure }
    }
}

/// Sends requests to the receivers of some endpoints.
pub struct Client {
    agent: Agent,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// One event on its way.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where to.
    pub url: &'a str,
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub seconds: i64,
    /// `webhook-signature`.
    pub signatures: &'a str,
    /// The body.
    pub body: &'a str,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status, if one came.
    pub status: Option<u16>,
    /// Why it is a failure, if it is one.
    pub error: Option<String>,
    /// The start of the body, with control characters escaped.
    pub answer: String,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// How long it took.
    pub took: Duration,
}

impl Client {
    /// A client that trusts this.
    ///
    /// # Errors
    /// What is wrong with the authorities.
    pub fn new(trust: &Trust) -> Result<Client, String> {
        let roots = match &trust.ca {
            _ if !trust.tls => Vec::new(),
            Some(pem) => certificates(pem)?,
            None => system_roots(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Config::builder()
            .tls_config(tls)
            // The address that is judged must be the one that is connected to.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("plumm/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(Duration::from_secs(REQUEST_SECONDS_MAX)))
            .timeout_recv_body(Some(BODY_TIME_MAX))
            .max_response_header_size(HEAD_BYTES_MAX)
            .max_idle_age(IDLE_TIME_MAX)
            .max_idle_connections(IDLE_CONNECTIONS_MAX)
            .build();
        let resolver =
            JudgingResolver { resolver: DefaultResolver::default(), insecure: trust.insecure };
        Ok(Client { agent: Agent::with_parts(config, DefaultConnector::default(), resolver) })
    }

    /// Sends an event, once. `now`: when, for a `Retry-After` that is a date.
    #[must_use]
    pub fn send(&self, message: &Message, now: Timestamp) -> Outcome {
        let began = Instant::now();
        let sent = self
            .agent
            .post(message.url)
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.seconds.to_string())
            .header("webhook-signature", message.signatures)
            .send(message.body);
        let mut outcome = match sent {
            Ok(response) => {
                let (head, mut body) = response.into_parts();
                let mut start = Vec::new();
                // A status counts, whatever becomes of the body.
                let _ = body.as_reader().take(READ_BYTES_MAX).read_to_end(&mut start);
                Outcome {
                    status: Some(head.status.as_u16()),
                    error: failure(head.status, &head.headers),
                    answer: escaped(&start),
                    retry_after: asked(&head.headers).and_then(|it| retry_after(it, now)),
                    took: Duration::ZERO,
                }
            }
            Err(error) => Outcome {
                status: None,
                error: Some(in_words(&error)),
                answer: String::new(),
                retry_after: None,
                took: Duration::ZERO,
            },
        };
        outcome.took = began.elapsed();
        outcome
    }
}

/// The certificates in PEM text.
///
/// # Errors
/// What is wrong with the text.
pub fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item.map_err(|it| format!("it is no PEM file: {it}"))? {
            PemItem::Certificate(it) => found.push(it),
            _ => return Err("it has a private key, which has no place in it".to_owned()),
        }
    }
    let mut known = rustls::RootCertStore::empty();
    for it in &found {
        let added = known.add(it.der().to_vec().into());
        added.map_err(|it| format!("it has a certificate that cannot be read: {it}"))?;
    }
    match found.is_empty() {
        true => Err("it has no certificate (-----BEGIN CERTIFICATE-----)".to_owned()),
        false => Ok(found),
    }
}

/// The authorities that the system trusts.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reason = found.errors.first().map_or("there are none".to_owned(), ToString::to_string);
        log::warn!(
            "no certificate authorities of the system were found ({reason}): webhooks reach \
             receivers with https:// only by their own authorities (--ca); Debian has them in the \
             package ca-certificates"
        );
    }
    found.certs.iter().map(|it| Certificate::from_der(it).to_owned()).collect()
}

/// Looks hosts up, and refuses addresses that no event may be sent to.
#[derive(Debug)]
struct JudgingResolver {
    resolver: DefaultResolver,
    insecure: bool,
}

impl Resolver for JudgingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let refused = |reason: String| Error::Other(Box::new(Refused(reason)));
        refuse_host(bare_host(uri.host().unwrap_or_default())).map_err(refused)?;
        let found = self.resolver.resolve(uri, config, timeout)?;
        for it in &found {
            refuse_address(it.ip()).map_err(refused)?;
            if uri.scheme_str() == Some("http") && !self.insecure && !is_loopback(it.ip()) {
                let reason = format!(
                    "{} is no address of this host, and plain HTTP there was not allowed with \
                     --insecure-http",
                    it.ip()
                );
                return Err(refused(reason));
            }
        }
        Ok(found)
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Why no connection is made.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address is refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// Why an answer with this status is a failure, if it is one.
fn failure(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    if status.is_success() {
        return None;
    }
    if status.is_redirection() {
        let target = headers.get("location").and_then(|it| it.to_str().ok());
        let target = target.map_or(String::new(), |it| format!(" to {}", cut(it)));
        return Some(format!(
            "it answered {} with a redirect{target}: redirects are not followed",
            status.as_u16()
        ));
    }
    Some(match status.as_u16() {
        410 => "it answered 410: it wants no more events".to_owned(),
        other => format!("it answered {other}"),
    })
}

/// Why no answer came.
fn in_words(error: &Error) -> String {
    match error {
        Error::Timeout(_) => format!("there was no answer within {REQUEST_SECONDS_MAX} seconds"),
        Error::HostNotFound => "its host name is not known".to_owned(),
        Error::Rustls(it) => {
            format!("TLS failed: {it} (authorities of one's own are given with --ca)")
        }
        Error::Io(it) if it.get_ref().is_some_and(|it| it.is::<rustls::Error>()) => {
            format!("TLS failed: {it} (authorities of one's own are given with --ca)")
        }
        Error::Other(it) => it.to_string(),
        other => other.to_string(),
    }
}

/// How long the receiver asks to be left alone, in its words.
fn asked(headers: &HeaderMap) -> Option<&str> {
    headers.get("retry-after")?.to_str().ok()
}

/// The start of an answer as text that a terminal shows and does not obey.
fn escaped(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(ANSWER_BYTES_MAX)];
    let mut shown = String::with_capacity(start.len());
    for it in String::from_utf8_lossy(start).chars() {
        match it {
            '\n' | '\t' => shown.push(' '),
            it if it.is_control() => shown.extend(it.escape_default()),
            it => shown.push(it),
        }
    }
    cut(&shown).trim_end().to_owned()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(ANSWER_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn only_2xx_is_success() {
        let none = HeaderMap::new();
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(failure(StatusCode::from_u16(status).unwrap(), &none), None);
        }
        for (status, words) in [(302, "redirect"), (404, "404"), (410, "no more"), (503, "503")] {
            let reason = failure(StatusCode::from_u16(status).unwrap(), &none).unwrap();
            assert!(reason.contains(words), "{reason}");
        }
        let moved = headers("location", "https://elsewhere.example/");
        let reason = failure(StatusCode::PERMANENT_REDIRECT, &moved).unwrap();
        assert!(reason.contains("308") && reason.contains("elsewhere.example"), "{reason}");
    }

    #[test]
    fn the_start_of_an_answer_is_short_and_harmless() {
        assert_eq!(escaped(b"ok\n"), "ok");
        assert_eq!(escaped(b"\x1b[31m\xff"), "\\u{1b}[31m\u{fffd}");
        assert!(escaped(&[b'x'; 4096]).len() == ANSWER_BYTES_MAX);
        assert!(escaped(&[0; 4096]).len() <= ANSWER_BYTES_MAX);
    }

    #[test]
    fn authorities_are_certificates_and_nothing_else() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(vec!["receiver.example".to_owned()]).unwrap();
        let pem = made.self_signed(&key).unwrap().pem();
        assert_eq!(certificates(&format!("{pem}{pem}")).unwrap().len(), 2);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, words) in [
            ("", "no certificate"),
            ("hello", "no certificate"),
            (broken, "cannot be read"),
            (key.serialize_pem().as_str(), "private key"),
        ] {
            let reason = certificates(text).unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
    }
}
