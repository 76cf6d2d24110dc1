//! The certificate of the server and its key: from two PEM files, renewed while it runs.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::scim::datetime::Timestamp;

/// More than any chain or key has; whatever is larger is another file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// When the end of the certificate is announced, in days before it.
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

/// Why a certificate or its key cannot be used: which file, what is wrong with it, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// The certificate in use. A new one takes its place for the connections that come after; those
/// that are open stay as they are.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    current: RwLock<Current>,
    said: Mutex<Said>,
}

#[derive(Clone, Debug)]
struct Current {
    config: Arc<ServerConfig>,
    expires: Timestamp,
}

/// What was seen and told last, so that nothing is told twice.
#[derive(Debug)]
struct Said {
    /// A digest of both files, or why they could not be read.
    seen: Result<[u8; 32], Fault>,
    /// How many of the moments before the end have passed.
    passed: usize,
}

impl Certificates {
    /// The certificate of these files. Says so when it ends soon or when others can read its key.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not what it should be, a key of another certificate, and a
    /// certificate that has expired.
    pub fn load(files: Files, now: Timestamp) -> Result<Certificates, Fault> {
        let contents = Contents::read(&files)?;
        let current = contents.judge(&files, now)?;
        tell(&files, &current);
        let said = Said { seen: Ok(contents.digest()), passed: 0 };
        let certificates =
            Certificates { files, current: RwLock::new(current), said: Mutex::new(said) };
        certificates.look(now);
        Ok(certificates)
    }

    /// When the certificate in use ends, in seconds since the epoch.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.current().expires.nanoseconds().div_euclid(1_000_000_000)
    }

    /// Reads the files again and takes over what is new in them; a new certificate that cannot be
    /// used is reported once, and the old one stays. Also says when the end of the one in use comes
    /// near. To be called every few seconds.
    pub fn look(&self, now: Timestamp) {
        self.look_again(now, false);
    }

    /// The same for an operator who asked for it: what there is to say is said again.
    pub fn reload(&self, now: Timestamp) {
        self.look_again(now, true);
    }

    /// What new connections are to be served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current().config
    }

    /// Returns what was new: a certificate that was taken over, or why one was not.
    fn look_again(&self, now: Timestamp, asked: bool) -> Option<Result<(), Fault>> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        // Contents are compared, not times: a renewal may swap a symlink to an older file.
        let read = Contents::read(&self.files);
        let seen = read.as_ref().map(Contents::digest).map_err(Clone::clone);
        let mut news = None;
        if asked || seen != said.seen {
            said.seen = seen;
            let judged = read.and_then(|it| it.judge(&self.files, now));
            news = Some(judged.map(|current| {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
                // Only now, since whoever reads it may connect at once.
                tell(&self.files, &self.current());
                said.passed = 0;
            }));
        }
        if let Some(Err(fault)) = &news {
            let expires = self.current().expires;
            log::error!(
                "the TLS certificate cannot be renewed, and the old one stays, until {expires}: \
                 {fault}"
            );
        }
        self.warn_of_end(&mut said, now);
        news
    }

    fn warn_of_end(&self, said: &mut Said, now: Timestamp) {
        let expires = self.current().expires;
        let ends = WARN_DAYS.iter().chain(&[0]);
        let passed = ends.filter(|it| now.plus_seconds(**it * DAY_SECONDS) >= expires).count();
        if passed <= said.passed {
            return;
        }
        said.passed = passed;
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

/// Both files as they were read.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Contents {
    fn read(files: &Files) -> Result<Contents, Fault> {
        let certificate = read(&files.certificate, "certificate")?;
        let key = read(&files.key, "key")?;
        Ok(Contents { certificate, key })
    }

    fn digest(&self) -> [u8; 32] {
        let parts = [&self.certificate, &self.key].map(Sha256::digest);
        Sha256::digest(parts.concat()).into()
    }

    fn judge(&self, files: &Files, now: Timestamp) -> Result<Current, Fault> {
        let chain = chain(&self.certificate, &files.certificate)?;
        let expires = chain.first().and_then(end_of).ok_or_else(|| {
            fault(&files.certificate, "holds a certificate that cannot be read: get it anew")
        })?;
        let key = key(&self.key, &files.key)?;
        let config = config(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Fault(format!(
                "the key {} does not belong to the first certificate of {}: give the two files \
                 that were made together, with the server's own certificate before those of its \
                 authorities",
                files.key.display(),
                files.certificate.display()
            )),
            rustls::Error::InvalidCertificate(error) => fault(
                &files.certificate,
                &format!("holds a certificate that cannot be used ({error}): get it anew"),
            ),
            other => fault(
                &files.key,
                &format!(
                    "holds a key that cannot be used ({other}): use RSA with 2048 bits or more, \
                     ECDSA P-256 or P-384, or Ed25519"
                ),
            ),
        })?;
        if expires <= now {
            let words = format!("expired at {expires}: renew it, and give the new one");
            return Err(fault(&files.certificate, &words));
        }
        Ok(Current { config: Arc::new(config), expires })
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, Fault> {
    let contents = File::open(path).and_then(|file| {
        let mut contents = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut contents)?;
        Ok(contents)
    });
    match contents {
        Ok(it) if it.len() as u64 > FILE_BYTES_MAX => {
            Err(fault(path, &format!("is too large for a {what}: give another file")))
        }
        Ok(it) if it.trim_ascii().is_empty() => {
            Err(fault(path, &format!("is empty: put the {what} into it, as PEM")))
        }
        Ok(it) => Ok(it),
        Err(error) => Err(unreadable(path, what, &error)),
    }
}

fn unreadable(path: &Path, what: &str, error: &io::Error) -> Fault {
    let path = path.display();
    let what_to_do = match error.kind() {
        ErrorKind::NotFound => format!("there is no such file: --tls-{} names it", option(what)),
        ErrorKind::PermissionDenied => "let the user that plumm runs as read it".to_owned(),
        _ => error.to_string(),
    };
    Fault(format!("the {what} {path} cannot be read: {what_to_do}"))
}

fn option(what: &str) -> &str {
    if what == "key" { "key" } else { "cert" }
}

/// The certificates of a file, in their order.
fn chain(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let sections = sections(pem, path)?;
    let holds_key = sections.iter().any(|(kind, _)| is_key(*kind));
    let chain: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    match (chain.is_empty(), holds_key) {
        (true, true) => Err(fault(
            path,
            "holds a key and no certificate: --tls-cert names the certificate, --tls-key the key",
        )),
        (true, false) => Err(fault(
            path,
            "holds no certificate in PEM form, which begins with BEGIN CERTIFICATE: for one in DER \
             form, `openssl x509 -inform der` makes PEM of it",
        )),
        (false, true) => Err(fault(
            path,
            "holds a private key beside the certificate, and certificates are shown to everyone: \
             move the key to a file of its own and name that with --tls-key",
        )),
        (false, false) => Ok(chain),
    }
}

/// The private key of a file.
fn key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    // Both forms say so: the label of PKCS#8, and a line within the older ones.
    if pem.windows(9).any(|it| it == b"ENCRYPTED") {
        return Err(fault(
            path,
            "is protected by a passphrase, which nobody could type when the server starts: \
             `openssl pkey` writes it without one; let nobody else read that file",
        ));
    }
    let sections = sections(pem, path)?;
    let holds_certificate = sections.iter().any(|(kind, _)| *kind == SectionKind::Certificate);
    let mut keys = sections.into_iter().filter_map(|(kind, der)| PemObject::from_pem(kind, der));
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => {
            Err(fault(path, "holds several keys: keep the one of the certificate"))
        }
        (None, _) if holds_certificate => Err(fault(
            path,
            "holds a certificate and no key: --tls-cert names the certificate, --tls-key the key",
        )),
        (None, _) => Err(fault(
            path,
            "holds no private key in PEM form, which begins with BEGIN PRIVATE KEY, BEGIN EC \
             PRIVATE KEY or BEGIN RSA PRIVATE KEY: `openssl pkey` makes PEM of other forms",
        )),
    }
}

fn is_key(kind: SectionKind) -> bool {
    use SectionKind::{EcPrivateKey, PrivateKey, RsaPrivateKey};
    matches!(kind, EcPrivateKey | PrivateKey | RsaPrivateKey)
}

fn sections(pem: &[u8], path: &Path) -> Result<Vec<(SectionKind, Vec<u8>)>, Fault> {
    let sections: Result<_, _> = PemObject::pem_slice_iter(pem).collect();
    // The error itself may quote the file, which may be a key.
    sections.map_err(|_| fault(path, "is damaged PEM, perhaps cut short: get the file anew"))
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

/// Says what is used from now on, and whether its key is in danger.
fn tell(files: &Files, current: &Current) {
    let file = files.certificate.display();
    log::info!("the TLS certificate of {file} is in use, until {}", current.expires);
    // It was read a moment ago; should it be gone now, the next look says so.
    let mode = files.key.metadata().map_or(0, |it| it.mode());
    if mode & 0o077 != 0 {
        let file = files.key.display();
        log::warn!("others on this host may read the TLS key {file}: chmod 600 takes that away");
    }
}

fn fault(path: &Path, words: &str) -> Fault {
    Fault(format!("{} {words}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::clock::Clock;

    /// A folder with `cert.pem` and `key.pem`, gone when the test is over.
    struct Place {
        folder: PathBuf,
        now: Timestamp,
    }

    impl Place {
        fn new() -> Place {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("plumm-certificates-{}-{number}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Place { folder, now: Clock::System.now() }
        }

        /// A new certificate that is valid for so many days, and its key.
        fn issue(&self, days: i64) -> (String, String) {
            let end = self.now.plus_seconds(days * DAY_SECONDS).milliseconds();
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(end);
            let key = KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        }

        fn write(&self, (certificate, key): &(String, String)) {
            fs::write(self.folder.join("cert.pem"), certificate).unwrap();
            fs::write(self.folder.join("key.pem"), key).unwrap();
        }

        fn load(&self) -> Result<Certificates, Fault> {
            let certificate = self.folder.join("cert.pem");
            Certificates::load(Files { certificate, key: self.folder.join("key.pem") }, self.now)
        }

        #[track_caller]
        fn check_refused(&self, certificate: &str, key: &str, sentence: &str) {
            self.write(&(certificate.to_owned(), key.to_owned()));
            let fault = self.load().unwrap_err().to_string();
            let fault = fault.replace(&format!("{}/", self.folder.display()), "");
            assert!(fault.starts_with(sentence), "{fault}");
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn each_file_that_cannot_be_used_is_named_with_what_to_do() {
        let place = Place::new();
        let (certificate, key) = &place.issue(100);
        let other = &place.issue(100).0;
        let damaged = certificate.replace("-----END", "");
        let no_certificate = certificate.replace("MII", "MIA");
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        let unknown = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let long = "x".repeat(1024 * 1024 + 1);
        for (certificate, key, sentence) in [
            (" \n", key, "cert.pem is empty: put the certificate into it"),
            (certificate, &String::new(), "key.pem is empty: put the key into it"),
            ("DER", key, "cert.pem holds no certificate in PEM form"),
            (key, key, "cert.pem holds a key and no certificate: --tls-cert names"),
            (&format!("{certificate}{key}"), key, "cert.pem holds a private key beside the"),
            (&damaged, key, "cert.pem is damaged PEM, perhaps cut short"),
            (&no_certificate, key, "cert.pem holds a certificate that cannot be read"),
            (&long, key, "cert.pem is too large for a certificate"),
            (certificate, &"DER".to_owned(), "key.pem holds no private key in PEM form"),
            (certificate, other, "key.pem holds a certificate and no key: --tls-cert names"),
            (certificate, &format!("{key}{key}"), "key.pem holds several keys"),
            (certificate, &encrypted, "key.pem is protected by a passphrase"),
            (certificate, &older.to_owned(), "key.pem is protected by a passphrase"),
            (certificate, &unknown.to_owned(), "key.pem holds a key that cannot be used"),
            (other, key, "the key key.pem does not belong to the first certificate of cert.pem"),
            (&format!("{other}{certificate}"), key, "the key key.pem does not belong to the first"),
        ] {
            place.check_refused(certificate, key, sentence);
        }
        let (certificate, key) = place.issue(-1);
        place.check_refused(&certificate, &key, "cert.pem expired at 2");
        fs::remove_file(place.folder.join("key.pem")).unwrap();
        let fault = place.load().unwrap_err().to_string();
        assert!(
            fault.ends_with("key.pem cannot be read: there is no such file: --tls-key names it")
        );
    }

    #[test]
    fn a_renewal_is_taken_over_once_it_is_whole_and_each_fault_is_told_once() {
        let place = Place::new();
        let (first, second) = (place.issue(100), place.issue(200));
        place.write(&first);
        let certificates = place.load().unwrap();
        let look = || certificates.look_again(place.now, false);
        let ends = |days: i64| place.now.plus_seconds(days * DAY_SECONDS).milliseconds() / 1000;
        let expires = || u64::try_from(certificates.expires()).unwrap();
        assert_eq!((look(), expires()), (None, ends(100)));

        place.write(&(second.0.clone(), first.1));
        let fault = look().unwrap().unwrap_err().to_string();
        assert!(fault.contains("does not belong"), "{fault}");
        assert_eq!((look(), expires()), (None, ends(100)));
        assert!(certificates.look_again(place.now, true).unwrap().is_err(), "who asks is told");
        place.write(&second);
        assert_eq!((look(), look(), expires()), (Some(Ok(())), None, ends(200)));

        fs::remove_file(place.folder.join("cert.pem")).unwrap();
        assert!(look().unwrap().unwrap_err().to_string().contains("there is no such file"));
        assert_eq!((look(), expires()), (None, ends(200)));
        place.write(&place.issue(-1));
        assert!(look().unwrap().unwrap_err().to_string().contains("expired at"));
        place.write(&second);
        assert_eq!((look(), look(), expires()), (Some(Ok(())), None, ends(200)));
    }

    #[test]
    fn a_symlink_that_points_elsewhere_is_a_renewal() {
        let place = Place::new();
        for (version, days) in [("v1", 100), ("v2", 50)] {
            let (certificate, key) = place.issue(days);
            fs::create_dir(place.folder.join(version)).unwrap();
            fs::write(place.folder.join(version).join("cert.pem"), certificate).unwrap();
            fs::write(place.folder.join(version).join("key.pem"), key).unwrap();
        }
        let link = place.folder.join("now");
        symlink("v1", &link).unwrap();
        let files = Files { certificate: link.join("cert.pem"), key: link.join("key.pem") };
        let certificates = Certificates::load(files, place.now).unwrap();
        let before = certificates.expires();
        symlink("v2", place.folder.join("next")).unwrap();
        fs::rename(place.folder.join("next"), &link).unwrap();
        certificates.look(place.now);
        assert_eq!(before - certificates.expires(), 50 * DAY_SECONDS);
    }

    #[test]
    fn each_moment_before_the_end_is_told_once() {
        let place = Place::new();
        place.write(&place.issue(40));
        let certificates = place.load().unwrap();
        for (day, passed) in [(0, 0), (9, 0), (11, 1), (32, 1), (34, 2), (39, 3), (41, 4)] {
            certificates.look(place.now.plus_seconds(day * DAY_SECONDS));
            assert_eq!(certificates.said.lock().unwrap().passed, passed, "day {day}");
        }
        place.write(&place.issue(60));
        certificates.look(place.now.plus_seconds(41 * DAY_SECONDS));
        assert_eq!(certificates.said.lock().unwrap().passed, 1, "the new one ends in 19 days");
    }
}
