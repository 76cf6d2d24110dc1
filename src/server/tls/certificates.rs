//! The certificate of the server and its key: from two PEM files, renewed while it runs.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;

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

/// The certificate in use. A new one takes its place for the connections that come after; open
/// connections keep the old one.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    current: RwLock<Current>,
    reported: Mutex<Reported>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    expires: Timestamp,
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
        let current = contents.parse(&files, now)?;
        log_in_use(&files, &current);
        let reported = Reported { files: Ok(contents.digest()), warnings: 0 };
        let certificates =
            Certificates { files, current: RwLock::new(current), reported: Mutex::new(reported) };
        certificates.check_for_renewal(now);
        Ok(certificates)
    }

    /// Checks that a server could use these files now, and says until when.
    ///
    /// # Errors
    ///
    /// As [`Certificates::load`].
    pub fn checked(files: &Files, now: Timestamp) -> Result<Timestamp, CertificateError> {
        Ok(Contents::read(files)?.parse(files, now)?.expires)
    }

    /// When the certificate in use ends, in seconds since the epoch.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.current().expires.nanoseconds().div_euclid(1_000_000_000)
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
            let parsed = read.and_then(|it| it.parse(&self.files, now));
            news = Some(parsed.map(|current| {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
                // Only now, since the reader of the line may connect at once.
                log_in_use(&self.files, &self.current());
                reported.warnings = 0;
            }));
        }
        if let Some(Err(error)) = &news {
            let expires = self.current().expires;
            log::error!(
                "the TLS certificate cannot be renewed, and the old one stays, until {expires}: \
                 {error}"
            );
        }
        self.warn_of_end(&mut reported, now);
        news
    }

    fn warn_of_end(&self, reported: &mut Reported, now: Timestamp) {
        let expires = self.current().expires;
        let ends = WARN_DAYS.iter().chain(&[0]);
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
        let key = pem::read(&files.key, "key")?;
        Ok(Contents { certificate, key })
    }

    fn digest(&self) -> [u8; 32] {
        let parts = [&self.certificate, &self.key].map(Sha256::digest);
        Sha256::digest(parts.concat()).into()
    }

    /// The certificate of these contents, if it can be used at this time.
    fn parse(&self, files: &Files, now: Timestamp) -> Result<Current, CertificateError> {
        let chain = pem::chain(&self.certificate, &files.certificate)?;
        let expires = chain.first().and_then(end_of).ok_or_else(|| {
            CertificateError::of_file(
                &files.certificate,
                "holds a certificate that cannot be read: get it anew",
            )
        })?;
        let key = pem::key(&self.key, &files.key)?;
        let config = config(chain, key).map_err(|error| match error {
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
        Ok(Current { config: Arc::new(config), expires })
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
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket keeps the session with the client: nothing is held here for clients that are gone.
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Logs which certificate is used from now on, and whether others can read its key.
fn log_in_use(files: &Files, current: &Current) {
    let file = files.certificate.display();
    log::info!("the TLS certificate of {file} is in use, until {}", current.expires);
    // The file was read a moment ago; should it be gone now, the next check reports that.
    let mode = files.key.metadata().map_or(0, |it| it.mode());
    if mode & 0o077 != 0 {
        let file = files.key.display();
        log::warn!("others on this host may read the TLS key {file}: chmod 600 takes that away");
    }
}

#[cfg(test)]
mod tests;
