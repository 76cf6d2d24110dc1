//! PEM files: the certificates of one, the private key of another.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// More than any chain or key has; a larger file is another one.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a certificate or its key cannot be used: which file, what is wrong with it, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateError(pub String);

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CertificateError {}

impl CertificateError {
    /// An error of the file at this path: what is wrong with it, and what to do.
    pub fn of_file(path: &Path, words: &str) -> CertificateError {
        CertificateError(format!("{} {words}", path.display()))
    }
}

/// The bytes of a file that holds a `what`: a certificate or a key.
pub fn read(path: &Path, what: &str) -> Result<Vec<u8>, CertificateError> {
    let contents = File::open(path).and_then(|file| {
        let mut contents = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut contents)?;
        Ok(contents)
    });
    match contents {
        Ok(it) if it.len() as u64 > FILE_BYTES_MAX => Err(CertificateError::of_file(
            path,
            &format!("is too large for a {what}: give another file"),
        )),
        Ok(it) if it.trim_ascii().is_empty() => Err(CertificateError::of_file(
            path,
            &format!("is empty: put the {what} into it, as PEM"),
        )),
        Ok(it) => Ok(it),
        Err(error) => Err(unreadable(path, what, &error)),
    }
}

fn unreadable(path: &Path, what: &str, error: &io::Error) -> CertificateError {
    let path = path.display();
    let what_to_do = match error.kind() {
        ErrorKind::NotFound => format!("there is no such file: --tls-{} names it", option(what)),
        ErrorKind::PermissionDenied => "let the user that plumm runs as read it".to_owned(),
        _ => error.to_string(),
    };
    CertificateError(format!("the {what} {path} cannot be read: {what_to_do}"))
}

fn option(what: &str) -> &str {
    if what == "key" { "key" } else { "cert" }
}

/// The certificates of a file, in their order. `with_key`: whether their key may stand there too.
pub fn chain(
    pem: &[u8],
    path: &Path,
    with_key: bool,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let sections = sections(pem, path)?;
    let holds_key = !with_key && sections.iter().any(|(kind, _)| is_key(*kind));
    let chain: Vec<_> = sections
        .into_iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    match (chain.is_empty(), holds_key) {
        (true, true) => Err(CertificateError::of_file(
            path,
            "holds a key and no certificate: --tls-cert names the certificate, --tls-key the key",
        )),
        (true, false) => Err(CertificateError::of_file(
            path,
            "holds no certificate in PEM form, which begins with BEGIN CERTIFICATE: for one in DER \
             form, `openssl x509 -inform der` makes PEM of it",
        )),
        (false, true) => Err(CertificateError::of_file(
            path,
            "holds a private key beside the certificate, and certificates are shown to everyone: \
             move the key to a file of its own and name that with --tls-key",
        )),
        (false, false) => Ok(chain),
    }
}

/// The private key of a file.
pub fn key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    // PKCS#8 has the word in its label, the older forms in a line within.
    if pem.windows(9).any(|it| it == b"ENCRYPTED") {
        return Err(CertificateError::of_file(
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
        (Some(_), Some(_)) => Err(CertificateError::of_file(
            path,
            "holds several keys: keep the one of the certificate",
        )),
        (None, _) if holds_certificate => Err(CertificateError::of_file(
            path,
            "holds a certificate and no key: --tls-cert names the certificate, --tls-key the key",
        )),
        (None, _) => Err(CertificateError::of_file(
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

fn sections(pem: &[u8], path: &Path) -> Result<Vec<(SectionKind, Vec<u8>)>, CertificateError> {
    let sections: Result<_, _> = PemObject::pem_slice_iter(pem).collect();
    // The error itself may quote the file, which may be a key.
    sections.map_err(|_| {
        CertificateError::of_file(path, "is damaged PEM, perhaps cut short: get the file anew")
    })
}
