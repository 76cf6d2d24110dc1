//! Certificates by ACME as a part of a running server.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::acme::Acme;
use crate::acme::challenges::Challenges;
use crate::acme::settings::Settings;
use crate::acme::storage::Storage;
use crate::app::App;
use crate::cli::error::CliError;
use crate::cli::serve::acme_args::DOMAINS_MAX;
use crate::cli::serve::args::Args;
use crate::cli::session::Session;
use crate::clock::Clock;
use crate::server::Server;
use crate::server::front::Front;
use crate::server::tls::certificates::Certificates;

/// What is there before the server listens.
pub struct Prepared {
    settings: Settings,
    storage: Storage,
    challenges: Arc<Challenges>,
    /// The listener on port 80, if there is one.
    http: Option<TcpListener>,
    /// Where it sends whoever comes there.
    https: String,
}

/// What runs beside the server.
pub struct Running {
    /// The thread that sees to the certificate.
    pub acme: Arc<Acme>,
    http: Option<Server>,
}

/// Refuses settings that contradict each other.
///
/// # Errors
/// The contradiction, in a sentence.
pub fn check(args: &Args, session: &Session) -> Result<(), CliError> {
    let acme = &args.address.acme;
    let misused = |message: &str| {
        Err(CliError::Misused {
            message: message.to_owned(),
            instead: session.command("serve --acme scim.example.com --acme-email it@example.com"),
        })
    };
    if !acme.is_on() {
        return Ok(());
    }
    if args.address.tls_cert.is_some() {
        return misused(
            "--acme gets a certificate and --tls-cert gives one: leave one of them out (also among \
             the variables and in the file of settings)",
        );
    }
    if acme.domains.len() > DOMAINS_MAX {
        return misused("--acme names more than 20 domains: a certificate has room for those");
    }
    let address = args.address.listen;
    if address == acme.http_listen(address) && address.port() != 0 {
        return misused(
            "--listen is the port of HTTPS, and --acme-http-listen that of plain HTTP: they cannot \
             be the same",
        );
    }
    Ok(())
}

/// What a server with ACME needs; `None` without.
///
/// # Errors
/// Why it cannot listen where it was told to.
pub fn prepare(
    args: &Args,
    session: &Session,
    bind: impl Fn(SocketAddr) -> Result<TcpListener, CliError>,
) -> Result<Option<Prepared>, CliError> {
    let acme = &args.address.acme;
    let address = args.address.listen;
    let Some(domain) = acme.domains.first() else { return Ok(None) };
    let own_url = acme.public_url(address).unwrap_or_else(|| format!("https://{domain}"));
    let at = acme.http_listen(address);
    let http = match bind(at) {
        Ok(it) => Some(it),
        Err(error) if acme.acme_http_listen.is_some() => return Err(error),
        Err(error) => {
            log::warn!(
                "challenges over plain HTTP are not answered here, unless a proxy passes them on: \
                 {error} (--acme-http-listen chooses another address)"
            );
            None
        }
    };
    let public = args.public_url.clone().filter(|it| it.to_ascii_lowercase().starts_with("https:"));
    Ok(Some(Prepared {
        settings: acme.settings(address),
        storage: Storage::new(session.db()),
        challenges: Arc::default(),
        http,
        https: public.unwrap_or(own_url),
    }))
}

impl Prepared {
    /// The certificate that is kept from an earlier run; handshakes are refused until there is one.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn certificates(&self, session: &Session) -> Result<Arc<Certificates>, CliError> {
        let file = self.storage.certificate_file().to_owned();
        let certificates = Certificates::by_acme(file, Arc::clone(&self.challenges), session.now());
        let certificates = certificates.map_err(|it| CliError::Failed(it.to_string()))?;
        if certificates.expires().is_none() {
            log::warn!(
                "there is no certificate for {} yet, and it is asked for now: until it is there, \
                 no client gets through the TLS handshake",
                self.settings.domains.join(", ")
            );
        }
        Ok(Arc::new(certificates))
    }

    /// Starts what runs beside the server.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        self,
        app: &Arc<App>,
        certificates: &Arc<Certificates>,
    ) -> std::io::Result<Running> {
        let front = Front::redirecting(Arc::clone(&self.challenges), self.https);
        let http = self.http.map(|it| Server::start_front(it, Arc::clone(app), front));
        let http = http.transpose()?;
        if let Some(it) = &http {
            log::info!(
                "challenges are answered, and clients sent to HTTPS, on http://{}",
                it.local_addr()
            );
        }
        let renewed = {
            let certificates = Arc::clone(certificates);
            move || certificates.check_for_renewal(Clock::System.now())
        };
        let acme = Acme::start(self.settings, self.storage, self.challenges, renewed)?;
        Ok(Running { acme: Arc::new(acme), http })
    }
}

impl Running {
    /// Ends it.
    pub fn stop(self) {
        self.acme.stop();
        if let Some(it) = self.http {
            it.stop();
        }
    }
}
