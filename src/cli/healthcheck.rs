//! `plumm healthcheck`: whether the server of this configuration is ready, for a container or a
//! watchdog.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use rustls::AlertDescription;
use serde_json::{Value, json};
use ureq::config::Config;
use ureq::tls::TlsConfig;
use ureq::{Agent, Error};

use crate::cli::error::CliError;
use crate::cli::serve::args::{Address, local_url, public_url};
use crate::cli::session::{Answer, Session};

/// What is asked.
pub const PATH: &str = "/readyz";
/// How long an answer is waited for at most, in seconds.
const SECONDS_MAX: u64 = 300;
/// How much of the head and of the body of an answer is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: u64 = 16 * 1024;

/// Which server is asked, and for how long.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("listen", |it| it.hide(true)),
    mut_arg("tls_cert", |it| it.hide(true)),
    mut_arg("tls_key", |it| it.hide(true)),
    mut_arg("acme", |it| it.hide(true)),
    mut_arg("acme_email", |it| it.hide(true)),
    mut_arg("acme_directory", |it| it.hide(true)),
    mut_arg("acme_http_listen", |it| it.hide(true)),
    after_help = "Example, here and in a Dockerfile:\n  \
                  plumm healthcheck\n  HEALTHCHECK CMD [\"plumm\", \"healthcheck\"]\n\n\
                  Without --url it asks where the settings have the server listen: with --listen, \
                  --tls-cert and --tls-key as `plumm serve` has them, or their variables. The \
                  server's certificate is not verified."
)]
pub struct Args {
    /// The server to ask, such as https://scim.example.com
    #[allow(rustdoc::bare_urls, reason = "the comment is the text of --help")]
    #[arg(long, value_name = "URL", value_parser = public_url)]
    url: Option<String>,
    /// For how many seconds an answer is waited for
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "5",
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    timeout: u64,
    /// Where the server listens.
    #[command(flatten)]
    address: Address,
}

fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|it| (1..=SECONDS_MAX).contains(it));
    seconds.ok_or_else(|| format!("it must be a number of seconds from 1 to {SECONDS_MAX}"))
}

/// Runs the command. With `--json` the value is printed in either case. `hidden`: why the server
/// may listen elsewhere.
///
/// # Errors
/// Why the server is not ready.
pub fn run(args: &Args, session: &Session, hidden: Option<String>) -> Result<(), CliError> {
    let url = match &args.url {
        Some(it) => it.clone(),
        None if args.address.listen.port() == 0 => {
            let sentence = "the server listens on a port that the system chooses: give its address \
                            with --url";
            return Err(CliError::Failed(sentence.to_owned()));
        }
        None => local_url(args.address.scheme(), args.address.listen),
    };
    let asked = format!("{url}{PATH}");
    let reason = ask(&asked, Duration::from_secs(args.timeout)).err();
    let reason =
        reason.map(NotReady::with_advice).map(|it| match hidden.filter(|_| args.url.is_none()) {
            Some(hidden) => format!("{it} ({hidden}, or give the address with --url)"),
            None => it,
        });
    let secure = asked.starts_with("https:");
    if session.json() || reason.is_none() {
        let note = if secure { " (its certificate is not verified)" } else { "" };
        session.print(&Answer {
            json: json!({
                "ready": reason.is_none(),
                "url": asked,
                "reason": reason,
                "certificate_verified": if secure { Value::Bool(false) } else { Value::Null },
            }),
            text: format!("The server at {url} is ready{note}.\n"),
        })?;
    }
    reason.map_or(Ok(()), |it| Err(CliError::Failed(it)))
}

/// Why a server is not ready.
#[derive(Debug, PartialEq, Eq)]
pub struct NotReady {
    /// What is wrong.
    pub words: String,
    /// What to do for whoever has chosen the address.
    advice: Option<&'static str>,
    /// Whether there was no answer at all.
    pub silent: bool,
}

impl NotReady {
    fn new(words: String, advice: &'static str) -> NotReady {
        NotReady { words, advice: Some(advice), silent: false }
    }

    fn with_advice(self) -> String {
        match self.advice {
            Some(advice) => format!("{}: {advice}", self.words),
            None => self.words,
        }
    }
}

impl From<String> for NotReady {
    fn from(words: String) -> NotReady {
        NotReady { words, advice: None, silent: false }
    }
}

/// Asks a server whether it is ready, at the URL of its `/readyz`.
///
/// # Errors
/// Why it is not.
pub fn ask(url: &str, patience: Duration) -> Result<(), NotReady> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = Config::builder()
        // No secret is sent, and on its own host no name of the certificate fits.
        .tls_config(
            TlsConfig::builder()
                .disable_verification(true)
                .unversioned_rustls_crypto_provider(provider)
                .build(),
        )
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("plumm/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(patience))
        .max_response_header_size(HEAD_BYTES_MAX)
        .build();
    let failed = |error: Error| no_answer(url, patience, &error);
    let mut response = Agent::new_with_config(config).get(url).call().map_err(failed)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string();
    let body: Value = serde_json::from_str(&body.map_err(failed)?).unwrap_or_default();
    if status == 200 && body["status"] == "ok" {
        return Ok(());
    }
    match body["detail"].as_str() {
        Some(detail) => Err(format!("{url} answers {status}: {detail}").into()),
        None => Err(NotReady::new(
            format!("what answers at {url} (status {status}) is no plumm"),
            "check the address, and whether another program listens there",
        )),
    }
}

/// Why no answer came, in words.
fn no_answer(url: &str, patience: Duration, error: &Error) -> NotReady {
    let refused = |it: &std::io::Error| it.kind() == ErrorKind::ConnectionRefused;
    match error {
        Error::ConnectionFailed => nobody_listens(url),
        Error::Io(it) if refused(it) => nobody_listens(url),
        Error::Timeout(_) => {
            let words = format!("no answer from {url} within {} seconds", patience.as_secs());
            NotReady { silent: true, ..words.into() }
        }
        Error::HostNotFound => format!("no address is known of the host of {url}").into(),
        // What is no TLS record is said to be a message with a wrong type of content.
        Error::Rustls(rustls::Error::InvalidMessage(_)) => no_tls(url),
        Error::Rustls(rustls::Error::AlertReceived(AlertDescription::AccessDenied)) => {
            no_certificate(url)
        }
        Error::Io(it) => match it.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => no_tls(url),
            Some(rustls::Error::AlertReceived(AlertDescription::AccessDenied)) => {
                no_certificate(url)
            }
            _ => format!("{url} cannot be asked: {it}").into(),
        },
        other => format!("{url} cannot be asked: {other}").into(),
    }
}

fn no_tls(url: &str) -> NotReady {
    NotReady::new(
        format!("what answers at {url} speaks no TLS"),
        "if it is a plumm without a certificate, give its address with --url http://…",
    )
}

fn no_certificate(url: &str) -> NotReady {
    NotReady::new(
        format!("what answers at {url} has no TLS certificate yet"),
        "it may be asking for one (--acme): its log and `plumm doctor` say how far it is",
    )
}

fn nobody_listens(url: &str) -> NotReady {
    let advice = "start the server with `plumm serve`, or give its address with --url";
    NotReady { silent: true, ..NotReady::new(format!("nothing listens at {url}"), advice) }
}
