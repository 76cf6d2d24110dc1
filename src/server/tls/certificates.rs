//! The certificate of the server and its key: from two PEM files, renewed while it runs.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::acme::challenges::{ALPN, Challenges};
use crate::scim::datetime::Timestamp;
use crate::server::tls::pem::{self, CertificateError};

/// How many days before its end the certificate is warned of.
const WARN_DAYS: [i64; 3] = [30, 7, 1];
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The server's own certificate, then those that lead to one clients know. PEM.
    pub certificate: PathBuf,
    /// The private key of the first certificate, not encrypted. PEM: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

impl Files {
    /// A certificate and its key in one file.
    #[must_use]
    pub fn together(file: PathBuf) -> Files {
        Files { certificate: file.clone(), key: file }
    }

    fn are_one(&self) -> bool {
        self.certificate == self.key
    }

    /// The certificates among these bytes of the first file.
    ///
    /// # Errors
    /// What stands there instead.
    pub fn chain(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        pem::chain(pem, &self.certificate, self.are_one())
    }
}

/// The certificate in use. A new one takes its place for the connections that come after; open
/// connections keep the old one.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    /// Of an authority that wants to see that the name leads here.
    challenges: Option<Arc<Challenges>>,
    current: RwLock<Current>,
    reported: Mutex<Reported>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the certificate ends; without one, no handshake gets through.
    expires: Option<Timestamp>,
}

/// What was read and logged last, so that nothing is logged twice.
#[derive(Debug)]
struct Reported {
    /// A digest of both files, or why they could not be read.
    files: Result<[u8; 32], CertificateError>,
    /// How many of the warnings before the end are due.
    warnings: usize,
}

impl Certificates {
    /// Loads the certificate of these files. Warns when it ends soon or when others can read its
    /// key.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not what it should be, a key of another certificate, and a
    /// certificate that has expired.
    pub fn load(files: Files, now: Timestamp) -> Result<Certificates, CertificateError> {
        let contents = Contents::read(&files)?;
        let digest = contents.digest();
        let current = Current::of(contents.parse(&files, now)?, None)?;
        log_in_use(&files, &current);
        let certificates = Certificates::with(files, None, current, Ok(digest));
        certificates.check_for_renewal(now);
        Ok(certificates)
    }

    /// The certificate of this file, with its key, as ACME obtains it; there may be none yet, or
    /// one that cannot be used. The challenges of the authority are answered in any case.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub fn by_acme(
        file: PathBuf,
        challenges: Arc<Challenges>,
        now: Timestamp,
    ) -> Result<Certificates, CertificateError> {
        let files = Files::together(file);
        let read = Contents::read(&files);
        let digest = read.as_ref().map(Contents::digest).map_err(Clone::clone);
        let usable = read.and_then(|it| Current::of(it.parse(&files, now)?, Some(&challenges)));
        let current = match usable {
            Ok(it) => {
                log_in_use(&files, &it);
                it
            }
            Err(_) => Current::without(&challenges)?,
        };
        Ok(Certificates::with(files, Some(challenges), current, digest))
    }

    fn with(
        files: Files,
        challenges: Option<Arc<Challenges>>,
        current: Current,
        read: Result<[u8; 32], CertificateError>,
    ) -> Certificates {
        let reported = Mutex::new(Reported { files: read, warnings: 0 });
        Certificates { files, challenges, current: RwLock::new(current), reported }
    }

    /// Checks that a server could use these files now, and says until when.
    ///
    /// # Errors
    ///
    /// As [`Certificates::load`].
    pub fn checked(files: &Files, now: Timestamp) -> Result<Timestamp, CertificateError> {
        Ok(Contents::read(files)?.parse(files, now)?.1)
    }

    /// When the certificate in use ends, in seconds since the epoch; `None` while there is none.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        self.current().expires.map(|it| it.nanoseconds().div_euclid(1_000_000_000))
    }

    /// Reads the files again and uses a new certificate that is in them; one that cannot be used is
    /// reported once, and the old one stays. Also warns when the end of the one in use comes near.
    /// To be called every few seconds.
    pub fn check_for_renewal(&self, now: Timestamp) {
        self.refresh(now, false);
    }

    /// The same for an operator who asks for it: everything is reported again.
    pub fn reload(&self, now: Timestamp) {
        self.refresh(now, true);
    }

    /// What an authority looks for, where it is one of ACME.
    #[must_use]
    pub fn challenges(&self) -> Option<Arc<Challenges>> {
        self.challenges.clone()
    }

    /// The configuration for new connections.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current().config
    }

    /// Returns what was new: a certificate that is used from now on, or why one is not.
    fn refresh(&self, now: Timestamp, asked: bool) -> Option<Result<(), CertificateError>> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        // Contents are compared, not times: a renewal may point a symlink to an older file.
        let read = Contents::read(&self.files);
        let files = read.as_ref().map(Contents::digest).map_err(Clone::clone);
        let mut news = None;
        if asked || files != reported.files {
            reported.files = files;
            let challenges = self.challenges.as_ref();
            let parsed = read.and_then(|it| Current::of(it.parse(&self.files, now)?, challenges));
            news = Some(parsed.map(|current| {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
                // Only now, since the reader of the line may connect at once.
                log_in_use(&self.files, &self.current());
                reported.warnings = 0;
            }));
        }
        if let Some(Err(error)) = &news {
            match self.current().expires {
                Some(expires) => log::error!(
                    "the TLS certificate cannot be renewed, and the old one stays, until \
                     {expires}: {error}"
                ),
                None => log::warn!("there is no TLS certificate yet"),
            }
        }
        self.warn_of_end(&mut reported, now);
        news
    }

    fn warn_of_end(&self, reported: &mut Reported, now: Timestamp) {
        let Some(expires) = self.current().expires else { return };
        // Whoever renews by ACME tells of each failure.
        let days = if self.challenges.is_some() { &[][..] } else { &WARN_DAYS };
        let ends = days.iter().chain(&[0]);
        let due = ends.filter(|it| now.plus_seconds(**it * DAY_SECONDS) >= expires).count();
        if due <= reported.warnings {
            return;
        }
        reported.warnings = due;
        let file = self.files.certificate.display();
        if now >= expires {
            log::error!(
                "the TLS certificate expired at {expires}, clients refuse it: renew {file}"
            );
        } else {
            log::warn!("the TLS certificate expires at {expires}: renew {file} before");
        }
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The bytes of both files.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn read(files: &Files) -> Result<Contents, CertificateError> {
        let certificate = pem::read(&files.certificate, "certificate")?;
        // One file is read once: it may be another one a moment later.
        let key = if files.are_one() { certificate.clone() } else { pem::read(&files.key, "key")? };
        Ok(Contents { certificate, key })
    }

    fn digest(&self) -> [u8; 32] {
        let parts = [&self.certificate, &self.key].map(Sha256::digest);
        Sha256::digest(parts.concat()).into()
    }

    /// The certificate of these contents, and until when it can be used, if it can be now.
    fn parse(
        &self,
        files: &Files,
        now: Timestamp,
    ) -> Result<(CertifiedKey, Timestamp), CertificateError> {
        let chain = files.chain(&self.certificate)?;
        let expires = chain.first().and_then(end_of).ok_or_else(|| {
            CertificateError::of_file(
                &files.certificate,
                "holds a certificate that cannot be read: get it anew",
            )
        })?;
        let key = pem::key(&self.key, &files.key)?;
        let provider = ring::default_provider();
        let own = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertificateError(format!(
                    "the key {} does not belong to the first certificate of {}: give the two files \
                 that were made together, with the server's own certificate before those of its \
                 authorities",
                    files.key.display(),
                    files.certificate.display()
                ))
            }
            rustls::Error::InvalidCertificate(error) => CertificateError::of_file(
                &files.certificate,
                &format!("holds a certificate that cannot be used ({error}): get it anew"),
            ),
            other => CertificateError::of_file(
                &files.key,
                &format!(
                    "holds a key that cannot be used ({other}): use RSA with 2048 bits or more, \
                     ECDSA P-256 or P-384, or Ed25519"
                ),
            ),
        })?;
        if expires <= now {
            let words = format!("expired at {expires}: renew it, and give the new one");
            return Err(CertificateError::of_file(&files.certificate, &words));
        }
        Ok((own, expires))
    }
}

impl Current {
    fn of(
        (own, expires): (CertifiedKey, Timestamp),
        challenges: Option<&Arc<Challenges>>,
    ) -> Result<Current, CertificateError> {
        let config = config(Some(own), challenges)?;
        Ok(Current { config: Arc::new(config), expires: Some(expires) })
    }

    fn without(challenges: &Arc<Challenges>) -> Result<Current, CertificateError> {
        Ok(Current { config: Arc::new(config(None, Some(challenges))?), expires: None })
    }
}

/// When a certificate ends (RFC 5280 section 4.1.2.5).
fn end_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration();
    // A certificate may be made to last until the year 9999, which is more than fits.
    Some(Timestamp::from_nanoseconds(i64::try_from(end.as_nanos()).unwrap_or(i64::MAX)))
}

fn config(
    own: Option<CertifiedKey>,
    challenges: Option<&Arc<Challenges>>,
) -> Result<ServerConfig, CertificateError> {
    let failed = |it: rustls::Error| CertificateError(format!("TLS cannot be set up: {it}"));
    let resolver = Resolver { own: own.map(Arc::new), challenges: challenges.cloned() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(failed)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if challenges.is_some() {
        config.alpn_protocols.push(ALPN.to_vec());
    }
    // A ticket keeps the session with the client: nothing is held here for clients that are gone.
    config.ticketer = ring::Ticketer::new().map_err(failed)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Shows an authority the answer to its challenge, and everybody else the certificate in use.
/// Without one, the handshake ends with an alert.
#[derive(Debug)]
struct Resolver {
    own: Option<Arc<CertifiedKey>>,
    challenges: Option<Arc<Challenges>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8737 section 3: an authority offers this protocol and no other.
        let is_challenge =
            hello.alpn().is_some_and(|mut it| it.next() == Some(ALPN) && it.next().is_none());
        match &self.challenges {
            Some(it) if is_challenge => it.certificate(hello.server_name()?),
            _ => self.own.clone(),
        }
    }
}

/// Logs which certificate is used from now on, and whether others can read its key.
fn log_in_use(files: &Files, current: &Current) {
    let file = files.certificate.display();
    if let Some(expires) = current.expires {
        log::info!("the TLS certificate of {file} is in use, until {expires}");
    }
    // The file was read a moment ago; should it be gone now, the next check reports that.
    let mode = files.key.metadata().map_or(0, |it| it.mode());
    if mode & 0o077 != 0 {
        let file = files.key.display();
        log::warn!("others on this host may read the TLS key {file}: chmod 600 takes that away");
    }
}

#[cfg(test)]
mod tests;
