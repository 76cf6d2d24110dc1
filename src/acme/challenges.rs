//! The challenges that are being answered: http-01 (RFC 8555 section 8.3) by a text, tls-alpn-01
//! (RFC 8737) by a certificate.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a directory asks for in the handshake of tls-alpn-01 (RFC 8737 section 6.2).
pub const ALPN: &[u8] = b"acme-tls/1";
/// Where the answer of http-01 stands, in front of its token.
pub const PATH: &str = "/.well-known/acme-challenge/";
/// No token is longer, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// How a server shows that a name leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// By a text on port 80.
    #[serde(rename = "http-01")]
    Http,
    /// By a certificate on port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn,
}

impl Kind {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Kind {
        match self {
            Kind::Http => Kind::TlsAlpn,
            Kind::TlsAlpn => Kind::Http,
        }
    }

    /// The port that the directory connects to.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Kind::Http => 80,
            Kind::TlsAlpn => 443,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Http => "http-01",
            Kind::TlsAlpn => "tls-alpn-01",
        })
    }
}

/// The challenges of the order that is under way; none at other times.
#[derive(Debug, Default)]
pub struct Challenges {
    answers: RwLock<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// By token.
    texts: HashMap<String, String>,
    /// By domain, in lower case.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Challenges {
    /// The text that answers the challenge of this path, if it is one.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH)?;
        self.read(|it| it.texts.get(token).cloned())
    }

    /// The certificate that answers the challenge of this domain.
    #[must_use]
    pub fn certificate(&self, domain: &str) -> Option<Arc<CertifiedKey>> {
        let domain = domain.to_ascii_lowercase();
        self.read(|it| it.certificates.get(&domain).cloned())
    }

    /// Answers a challenge from now on.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub fn answer(
        &self,
        kind: Kind,
        domain: &str,
        token: &str,
        key_authorization: String,
    ) -> Result<(), String> {
        if !is_token(token) {
            return Err("the token of the challenge is none (RFC 8555 section 8.3)".to_owned());
        }
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Http => {
                answers.texts.insert(token.to_owned(), key_authorization);
            }
            Kind::TlsAlpn => {
                let certificate = certificate(domain, &key_authorization)?;
                answers.certificates.insert(domain.to_ascii_lowercase(), Arc::new(certificate));
            }
        }
        Ok(())
    }

    /// Answers no challenge any more.
    pub fn clear(&self) {
        *self.answers.write().unwrap_or_else(PoisonError::into_inner) = Answers::default();
    }

    fn read<T>(&self, of: impl FnOnce(&Answers) -> T) -> T {
        of(&self.answers.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Characters of base64url, and not too many: no token becomes another path.
fn is_token(text: &str) -> bool {
    let in_token = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(in_token)
}

/// RFC 8737 section 3: the domain's name, and the hash of the answer in an extension that no client
/// passes over.
fn certificate(domain: &str, key_authorization: &str) -> Result<CertifiedKey, String> {
    let failed = |it: &dyn fmt::Display| format!("its certificate cannot be made: {it}");
    let mut params = CertificateParams::new([domain.to_owned()]).map_err(|it| failed(&it))?;
    let hash = Sha256::digest(key_authorization);
    params.custom_extensions.push(CustomExtension::new_acme_identifier(&hash));
    let key = KeyPair::generate().map_err(|it| failed(&it))?;
    let made = params.self_signed(&key).map_err(|it| failed(&it))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![CertificateDer::from(made.der().to_vec())];
    let provider = ring::default_provider();
    let key = provider.key_provider.load_private_key(key).map_err(|it| failed(&it))?;
    // rustls does not read the extension, and need not: the certificate is made here.
    Ok(CertifiedKey::new(chain, key))
}

#[cfg(test)]
mod tests {
    use x509_cert::Certificate;
    use x509_cert::der::Decode;

    use super::*;

    #[test]
    fn a_challenge_is_answered_until_it_is_cleared() {
        let challenges = Challenges::default();
        let path = format!("{PATH}abc-_9");
        assert_eq!(challenges.text(&path), None);
        challenges.answer(Kind::Http, "a.example", "abc-_9", "abc-_9.x".to_owned()).unwrap();
        challenges.answer(Kind::TlsAlpn, "A.example", "t", "t.x".to_owned()).unwrap();
        assert_eq!(challenges.text(&path).as_deref(), Some("abc-_9.x"));
        for other in ["abc-_9", "/abc-_9", &format!("{path}/"), &format!("/{path}"), PATH] {
            assert_eq!(challenges.text(other), None, "{other}");
        }
        assert!(challenges.certificate("a.EXAMPLE").is_some());
        assert!(challenges.certificate("b.example").is_none());
        challenges.clear();
        assert_eq!(challenges.text(&path), None);
        assert!(challenges.certificate("a.example").is_none());
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let challenges = Challenges::default();
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for token in ["", "a/b", "../x", "a b", "ü", "a\r\n", &long] {
            let refused = challenges.answer(Kind::Http, "a.example", token, String::new());
            assert!(refused.is_err(), "{token:?}");
        }
    }

    #[test]
    fn the_certificate_has_the_domain_and_the_hash_of_the_answer() {
        let made = certificate("a.example", "token.thumbprint").unwrap();
        let read = Certificate::from_der(&made.cert[0]).unwrap();
        let extensions = read.tbs_certificate().extensions().unwrap();
        let found = extensions.iter().find(|it| it.extn_id.to_string() == "1.3.6.1.5.5.7.1.31");
        let found = found.unwrap();
        assert!(found.critical);
        let hash = Sha256::digest("token.thumbprint");
        assert_eq!(found.extn_value.as_bytes(), [&[4, 32], &hash[..]].concat());
    }
}
