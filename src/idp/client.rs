//! One request of an identity provider over the network, and its answer.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;
use ureq::config::Config;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error};
use zeroize::Zeroizing;

use crate::idp::message::{Answer, Request};
use crate::idp::provider::{ENTRA_FLAG, Provider};

/// The longest answer that is read, in bytes: a page of an import has a hundred accounts.
pub const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The head of an answer is no longer than this.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Where a client sends its requests, as whom, and whom it trusts.
pub struct Target {
    /// The base URL, without a trailing slash and without a query.
    pub base: String,
    /// As whom.
    pub provider: Provider,
    /// The API token.
    pub token: Zeroizing<String>,
    /// The authorities that may vouch for the server.
    pub roots: Vec<CertificateDer<'static>>,
    /// How long a request may take from its first step to the end of its answer.
    pub patience: Duration,
}

/// Speaks to one server as an identity provider.
pub struct Client {
    agent: Agent,
    target: Target,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client of {}", self.target.base)
    }
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// None within the time.
    TimedOut(Duration),
    /// Nobody listens any more.
    Refused,
    /// The connection ended before the answer did.
    Closed,
    /// The answer is longer than what is read of one.
    TooLong,
    /// What came is no HTTP.
    NotHttp(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::TimedOut(patience) => {
                write!(f, "no whole answer came within {} s", patience.as_secs())
            }
            NoAnswer::Refused => f.write_str("the connection was refused"),
            NoAnswer::Closed => f.write_str("the connection was closed before an answer had come"),
            NoAnswer::TooLong => {
                write!(f, "the answer is longer than {} MiB", ANSWER_BYTES_MAX / 1024 / 1024)
            }
            NoAnswer::NotHttp(what) => write!(f, "what came is no HTTP answer ({what})"),
            NoAnswer::Other(what) => write!(f, "the request failed: {what}"),
        }
    }
}

impl Client {
    /// A client of this server. Redirects are not followed, and no proxy is asked.
    #[must_use]
    pub fn new(target: Target) -> Client {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots: Vec<_> =
            target.roots.iter().map(|it| Certificate::from_der(it).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Config::builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // What the provider says of itself stands among its header fields.
            .user_agent("")
            .timeout_global(Some(target.patience))
            .max_response_header_size(HEAD_BYTES_MAX)
            .build();
        Client { agent: Agent::new_with_config(config), target }
    }

    /// Sends a request with the token.
    ///
    /// # Errors
    /// Why no answer came.
    pub fn send(&self, request: &Request) -> Result<Answer, NoAnswer> {
        self.send_with(request, &self.target.token)
    }

    /// Sends a request with another token.
    ///
    /// # Errors
    /// Why no answer came.
    pub fn send_with(&self, request: &Request, token: &str) -> Result<Answer, NoAnswer> {
        let began = Instant::now();
        let patience = self.target.patience;
        let failed = |error: Error| in_words(&error, patience);
        let mut head = ureq::http::Request::builder()
            .method(request.method)
            .uri(self.url(&request.target))
            .header("Authorization", format!("Bearer {token}"));
        for (name, value) in self.target.provider.headers() {
            head = head.header(*name, *value);
        }
        let sent = match &request.body {
            Some(body) => {
                let (name, value) = self.target.provider.content_type();
                let built = head.header(name, value).body(body.as_str());
                self.agent.run(built.map_err(|it| failed(it.into()))?)
            }
            None => self.agent.run(head.body(()).map_err(|it| failed(it.into()))?),
        };
        let (head, mut body) = sent.map_err(failed)?.into_parts();
        let mut bytes = Vec::new();
        let read = body.as_reader().take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|it| of_io(&it, patience))?;
        if bytes.len() as u64 > ANSWER_BYTES_MAX {
            return Err(NoAnswer::TooLong);
        }
        let headers = head.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(Answer {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: bytes,
            took: began.elapsed(),
        })
    }

    fn url(&self, target: &str) -> String {
        let base = &self.target.base;
        match self.target.provider {
            Provider::EntraWithFlag if target.contains('?') => {
                format!("{base}{target}&{ENTRA_FLAG}")
            }
            Provider::EntraWithFlag => format!("{base}{target}?{ENTRA_FLAG}"),
            Provider::Okta | Provider::Entra => format!("{base}{target}"),
        }
    }
}

fn in_words(error: &Error, patience: Duration) -> NoAnswer {
    match error {
        Error::Timeout(_) => NoAnswer::TimedOut(patience),
        Error::ConnectionFailed => NoAnswer::Refused,
        Error::Io(it) => of_io(it, patience),
        Error::Protocol(it) => NoAnswer::NotHttp(it.to_string()),
        Error::Http(it) => NoAnswer::NotHttp(it.to_string()),
        Error::LargeResponseHeader(_, _) => {
            NoAnswer::NotHttp(format!("its head is longer than {} KiB", HEAD_BYTES_MAX / 1024))
        }
        other => NoAnswer::Other(other.to_string()),
    }
}

fn of_io(error: &io::Error, patience: Duration) -> NoAnswer {
    // What ureq itself has to say of a body lies within.
    if let Some(it) = error.get_ref().and_then(|it| it.downcast_ref::<Error>()) {
        return in_words(it, patience);
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => NoAnswer::Refused,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => NoAnswer::Closed,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => NoAnswer::TimedOut(patience),
        _ => NoAnswer::Other(error.to_string()),
    }
}
