//! `plumm serve`: the server, from its first log line to its last.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::app::App;
use crate::auth;
use crate::cli::schedule::{Backups, Schedule};
use crate::cli::{Answer, CliError, Session, days, org, quoted, status, token};
use crate::clock::Clock;
use crate::config::Config;
use crate::scim::datetime::Timestamp;
use crate::server::Server;
use crate::server::certificates::{Certificates, Files};
use crate::server::limits::Limits;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::open::Open;
use crate::store::tables::org::{Org, OrgSettings};
use crate::store::tables::token::Scope;

/// The longest time that the log of changes can be kept, in days: ten years.
const LOG_DAYS_MAX: u32 = 3650;
/// What the token of a first run is called.
const INIT_LABEL: &str = "plumm serve --init";
/// The exit code when a second signal cuts the orderly end short.
const EXIT_CUT_SHORT: i32 = 1;
/// How often what no request should wait for is done.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// How often the TLS certificate is looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(3);

/// How to serve.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example, a first run: makes the organisation acme, activates it, and prints the \
                  base URL and a token:\n  plumm serve --init acme"
)]
pub struct Args {
    /// Where to listen
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "PLUMM_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8080",
        value_parser = listen
    )]
    listen: SocketAddr,
    /// Serve HTTPS with this certificate, followed by those of its authorities
    #[arg(
        long,
        value_name = "PEM",
        env = "PLUMM_TLS_CERT",
        hide_env_values = true,
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate
    #[arg(
        long,
        value_name = "PEM",
        env = "PLUMM_TLS_KEY",
        hide_env_values = true,
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Allow plain HTTP on an address that is not loopback, for a network you trust
    #[arg(
        long,
        env = "PLUMM_INSECURE_HTTP",
        hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    insecure_http: bool,
    /// The address clients use when a proxy stands in between, such as https://scim.example.com
    #[allow(rustdoc::bare_urls, reason = "the comment is the text of --help")]
    #[arg(
        long,
        value_name = "URL",
        env = "PLUMM_PUBLIC_URL",
        hide_env_values = true,
        value_parser = public_url
    )]
    public_url: Option<String>,
    /// Reverse proxies, as addresses or networks, whose word on the client's address is taken
    #[arg(
        long,
        value_name = "CIDR[,CIDR...]",
        env = "PLUMM_TRUSTED_PROXIES",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = network
    )]
    trusted_proxies: Vec<IpNet>,
    /// On the first run, make and activate this organisation, with a token
    #[arg(
        long,
        value_name = "ORG",
        env = "PLUMM_INIT",
        hide_env_values = true,
        value_parser = org::name
    )]
    init: Option<String>,
    /// For how many days the log of changes is kept
    #[arg(
        long,
        value_name = "N",
        env = "PLUMM_LOG_DAYS",
        hide_env_values = true,
        default_value = "365",
        allow_negative_numbers = true,
        value_parser = |it: &str| days(it, LOG_DAYS_MAX)
    )]
    log_days: u32,
    /// Backups that the server makes by itself.
    #[command(flatten)]
    backups: Schedule,
    /// Leave checkpoints to a program that replicates the write-ahead log, such as Litestream
    #[arg(
        long,
        env = "PLUMM_EXTERNAL_CHECKPOINT",
        hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    external_checkpoint: bool,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not start.
pub fn run(args: &Args, session: &Session) -> Result<(), CliError> {
    refuse_open_network(args, session)?;
    let certificates = certificates(args, session)?;
    let mut signals = watch_signals().map_err(|it| failed("signals cannot be received", &it))?;
    let backup_dir = args.backups.checked_dir()?;
    let open = if args.external_checkpoint { Open::ServeReplicated } else { Open::Serve };
    let store = Arc::new(Store::open(session.db(), open)?);
    let checkpointer =
        if args.external_checkpoint { None } else { Some(store.keep_checkpointed()?) };
    let listener = bind(args.listen)?;
    let address = listener.local_addr().map_err(|it| failed("the listener has no address", &it))?;
    log::info!("the database is {}", session.db().display());

    let scheme = if certificates.is_some() { "https" } else { "http" };
    let base = args.public_url.clone().unwrap_or_else(|| local_url(scheme, address)) + "/scim/v2";
    welcome(args.init.as_deref(), &base, &store, session)?;

    let config = Config {
        public_url: args.public_url.clone(),
        log_days: args.log_days,
        trusted_proxies: args.trusted_proxies.clone(),
    };
    let app = Arc::new(App::new(Arc::clone(&store), config, Clock::System));
    let started = session.now();
    announce(&store, &app, &base, started, certificates.as_deref())?;
    let limits = Limits { trusted_proxies: args.trusted_proxies.clone(), ..Limits::default() };
    let server = match &certificates {
        Some(it) => Server::start_tls(limits, listener, Arc::clone(&app), Arc::clone(it)),
        None => Server::start_within(limits, listener, Arc::clone(&app)),
    };
    let server = server.map_err(|it| failed("the server cannot be started", &it))?;
    log::info!("listening on {scheme}://{}", server.local_addr());
    let no_thread = |it: io::Error| failed("no thread is left", &it);
    let housekeeper = {
        let app = Arc::clone(&app);
        Regular::start("housekeeping", HOUSEKEEPING, move || app.run_housekeeping())
            .map_err(no_thread)?
    };
    let renewal = certificates.clone().map(|it| {
        let (store, app) = (Arc::clone(&store), Arc::clone(&app));
        let look = move || {
            it.look(Clock::System.now());
            if app.metrics().certificate_expiry() != Some(it.expires())
                && let Err(error) = announce(&store, &app, &base, started, Some(&it))
            {
                log::warn!("`plumm status` cannot be told of the new certificate: {error}");
            }
        };
        Regular::start("certificate", CERTIFICATE_LOOK, look)
    });
    let renewal = renewal.transpose().map_err(no_thread)?;
    let backups = backup_dir.map(|it| Backups::start(&args.backups, session.db(), it));
    let backups = backups.transpose().map_err(no_thread)?;

    let name = wait_for_the_end(&mut signals, certificates.as_deref(), session);
    log::info!("{name} received: finishing the requests in hand");
    server.stop();
    drop((renewal, housekeeper));
    app.shut_down();
    drop(checkpointer);
    // Last, since a backup at work is waited for.
    drop(backups);
    log::info!("stopped");
    Ok(())
}

/// Says what runs here, to `plumm status` and in the metrics.
fn announce(
    store: &Store,
    app: &App,
    base: &str,
    started: Timestamp,
    certificates: Option<&Certificates>,
) -> Result<(), Error> {
    let expires = certificates.map(Certificates::expires);
    if let Some(seconds) = expires {
        app.metrics().set_certificate_expiry(seconds);
    }
    store.note_serving(&status::note(base, started, expires))
}

/// The certificate and key that `--tls-cert` and `--tls-key` name; clap sees to it that they come
/// together.
fn certificates(args: &Args, session: &Session) -> Result<Option<Arc<Certificates>>, CliError> {
    let (Some(certificate), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) else {
        return Ok(None);
    };
    let loaded = Certificates::load(Files { certificate, key }, session.now());
    loaded.map(|it| Some(Arc::new(it))).map_err(|it| CliError::Failed(it.to_string()))
}

/// Waits for SIGTERM or SIGINT, whose name is returned. SIGHUP, by custom, reads files again.
fn wait_for_the_end(
    signals: &mut Signals,
    certificates: Option<&Certificates>,
    session: &Session,
) -> &'static str {
    for signal in signals.forever() {
        match (signal, certificates) {
            (SIGHUP, Some(it)) => it.reload(session.now()),
            (SIGHUP, None) => log::info!("SIGHUP received: there is no file to be read again"),
            (SIGINT, _) => return "SIGINT",
            _ => break,
        }
    }
    "SIGTERM"
}

/// A thread that does something again and again, with this pause before each time, until it is
/// dropped.
struct Regular {
    /// Closing it ends the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Regular {
    fn start(name: &str, pause: Duration, work: impl Fn() + Send + 'static) -> io::Result<Regular> {
        let (end, ended) = mpsc::channel();
        let work = move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                work();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Regular { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Regular {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The API token would cross a network where anyone on the way can read it.
fn refuse_open_network(args: &Args, session: &Session) -> Result<(), CliError> {
    let address = args.listen;
    if args.tls_cert.is_some() || args.insecure_http || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let port = address.port();
    Err(CliError::Misused {
        message: format!(
            "plain HTTP on {address} would carry API tokens across the network where others can \
             read them: give a certificate with --tls-cert and --tls-key, or listen on 127.0.0.1 \
             behind a reverse proxy that speaks TLS, or add --insecure-http if you trust the \
             network"
        ),
        instead: session.command(&format!("serve --listen 127.0.0.1:{port}")),
    })
}

/// The first SIGTERM or SIGINT asks for an orderly end; the second one ends the process at once.
/// SIGHUP is only received.
fn watch_signals() -> io::Result<Signals> {
    let asked_before = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the flag is looked at before it is set.
        flag::register_conditional_shutdown(signal, EXIT_CUT_SHORT, Arc::clone(&asked_before))?;
        flag::register(signal, Arc::clone(&asked_before))?;
    }
    // A file that may not grow any further is a failed write, and no reason to end the program.
    flag::register(SIGXFSZ, Arc::default())?;
    Signals::new([SIGTERM, SIGINT, SIGHUP])
}

fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).map_err(|error| {
        let what_to_do = match error.kind() {
            ErrorKind::AddrInUse => {
                "the port is in use, perhaps by another plumm: stop that program, or choose \
                 another port with --listen ADDR:PORT"
            }
            ErrorKind::AddrNotAvailable => {
                "this host does not have the address: choose one of its own with --listen ADDR:PORT"
            }
            ErrorKind::PermissionDenied => {
                "that is not allowed: choose a port from 1024 on with --listen ADDR:PORT"
            }
            _ => return failed(&format!("cannot listen on {address}"), &error),
        };
        CliError::Failed(format!("cannot listen on {address}: {what_to_do}"))
    })
}

/// Where this host reaches the listener.
fn local_url(scheme: &str, address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

/// Says where the server is to be reached; on a first run makes what `--init` asks for and shows
/// it.
fn welcome(
    init: Option<&str>,
    base: &str,
    store: &Store,
    session: &Session,
) -> Result<(), CliError> {
    let made = match init {
        Some(name) => first_run(name, store, session)?,
        None => {
            hint_when_empty(store, session)?;
            None
        }
    };
    let Some((org, issued)) = made else {
        // Nothing is shown to a person here; a program waits for its one value.
        return match session.json {
            true => session.print(&Answer {
                json: json!({ "org": init, "url": base, "token": null }),
                text: String::new(),
            }),
            false => Ok(()),
        };
    };
    let (name, secret) = (&org.name, issued.secret.reveal());
    let text = format!(
        "Organisation {name} is created and activated.\n\n  \
           Base URL   {base}\n  \
           API token  {secret}\n\n\
         The token is shown this once and cannot be shown again: the database keeps only a hash of \
         it.\nPaste both into the identity provider. To try them first, in another terminal, with \
         the\ntoken in the variable TOKEN:\n\n  \
           curl -i -H \"Authorization: Bearer $TOKEN\" \\\n    \
             '{base}/Users?startIndex=1&count=2'\n"
    );
    let answer = Answer { json: json!({ "org": name, "url": base, "token": secret }), text };
    session.print(&answer).map_err(|it| token::unseen(&it, &issued.token.id, session))
}

/// Makes and activates the organisation, with a token, unless it is there.
fn first_run(
    name: &str,
    store: &Store,
    session: &Session,
) -> Result<Option<(Org, auth::Issued)>, CliError> {
    let now = session.now();
    // Both or neither: an organisation without a token would look like a later run.
    let (org, issued) = store.write(now, |write| {
        if let Some(org) = write.org(name)? {
            return Ok::<_, Error>((org, None));
        }
        let org = write.add_org(name, true, OrgSettings::default())?;
        let issued = auth::mint(now, org.key, Scope::Scim, INIT_LABEL, None)?;
        write.add_token(&issued.token)?;
        Ok((org, Some(issued)))
    })?;
    if let Some(issued) = issued {
        return Ok(Some((org, issued)));
    }
    let name = quoted(&org.name);
    let create = session.command(&format!("token create {name}"));
    log::info!(
        "organisation {} is there already: nothing was created or changed (another token: \
         {create})",
        org.name
    );
    if !org.active {
        let activate = session.command(&format!("org activate {name}"));
        log::warn!("provisioning is not activated for {}; to switch it on: {activate}", org.name);
    }
    Ok(None)
}

fn hint_when_empty(store: &Store, session: &Session) -> Result<(), CliError> {
    if store.read(|read| read.orgs())?.is_empty() {
        let create = session.command("org create NAME --activate");
        log::info!("there is no organisation yet; to make one: {create}");
    }
    Ok(())
}

fn failed(what: &str, error: &io::Error) -> CliError {
    CliError::Failed(format!("{what}: {error}"))
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "it must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned()
    })
}

/// Reads the outside address: scheme, host and port. Nothing is normalised but a slash at the end.
fn public_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let scheme = ["https://", "http://"].into_iter().find(|it| lower.starts_with(it));
    let scheme = scheme.ok_or("it must begin with https:// or http://")?;
    let rest = &text[scheme.len()..];
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if path.trim_end_matches('/').ends_with("/scim/v2") {
        return Err("leave /scim/v2 out: plumm adds it".to_owned());
    }
    if !path.is_empty() && path != "/" {
        return Err("it must end after the host and port, such as https://scim.example.com".into());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|it| !it.bytes().all(|b| b.is_ascii_digit()) || !is_port(it)) {
        return Err("its port must be a number from 1 to 65535".to_owned());
    }
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_host = match bracketed {
        Some(it) => it.parse::<Ipv6Addr>().is_ok(),
        None => {
            let in_host = |it: char| it.is_ascii_alphanumeric() || "-._".contains(it);
            !host.is_empty() && host.chars().all(in_host)
        }
    };
    if !is_host {
        return Err("it must name a host, such as https://scim.example.com".to_owned());
    }
    Ok(format!("{scheme}{authority}"))
}

/// Reads an address or a network, IPv4 ones as such.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
    let network = text.parse().ok().or_else(address).map(|it: IpNet| it.trunc());
    let network =
        network.ok_or("it must be an address or a network, such as 10.0.0.5 or 10.0.0.0/8")?;
    if network.prefix_len() == 0 {
        return Err("it would trust every address there is: name the proxies".to_owned());
    }
    if network.addr() != network.addr().to_canonical() {
        return Err("write it as an IPv4 address or network, without ::ffff:".to_owned());
    }
    Ok(network)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|it| it > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls() {
        for (text, expected) in [
            ("https://scim.example.com", Some("https://scim.example.com")),
            (" HTTPS://scim.example.com/ ", Some("https://scim.example.com")),
            ("http://10.0.0.7:8080", Some("http://10.0.0.7:8080")),
            ("https://[2001:db8::1]:8443/", Some("https://[2001:db8::1]:8443")),
            ("https://[2001:db8::1]", Some("https://[2001:db8::1]")),
            ("scim.example.com", None),
            ("ftp://scim.example.com", None),
            ("https://", None),
            ("https:///", None),
            ("https://:8080", None),
            ("https://host:", None),
            ("https://host:0", None),
            ("https://host:+80", None),
            ("https://host:65536", None),
            ("https://[::1", None),
            ("https://user@host", None),
            ("https://host/scim/v2", None),
            ("https://host/scim/v2/", None),
            ("https://host//", None),
            ("https://host?x=1", None),
            ("https://host#x", None),
            ("https://two words", None),
            ("https://host\r\nX: y", None),
            ("", None),
        ] {
            assert_eq!(public_url(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn networks() {
        for (text, expected) in [
            ("10.0.0.5", Some("10.0.0.5/32")),
            (" 10.0.0.0/8 ", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("10.0.0.0/33", None),
            ("::ffff:10.0.0.5", None),
            ("10.0.0", None),
            ("localhost", None),
            ("", None),
        ] {
            let read = network(text).ok().map(|it| it.to_string());
            assert_eq!(read.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn listen_addresses() {
        assert!(listen("127.0.0.1:0").is_ok());
        assert!(listen("[::1]:8080").is_ok());
        for bad in ["", "8080", ":8080", "127.0.0.1", "localhost:8080", "127.0.0.1:99999"] {
            assert!(listen(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        for (address, expected) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("10.0.0.7:80", "http://10.0.0.7:80"),
        ] {
            assert_eq!(local_url("http", address.parse().unwrap()), expected);
        }
    }
}
