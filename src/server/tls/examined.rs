//! A certificate and its key, looked at without being used: whom it names, how long it lasts,
//! whether its chain is whole.

use std::net::IpAddr;
use std::path::Path;

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, SubjectAltName};

use crate::scim::datetime::Timestamp;
use crate::server::tls::certificates::{Certificates, Files};
use crate::server::tls::pem::{self, CertificateError};

/// The object identifier of `id-ad-caIssuers`.
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// When it ends.
    pub expires: Timestamp,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// How its chain goes on.
    pub chain: Chain,
    /// The certificate itself, in DER form.
    pub der: Vec<u8>,
}

/// How the chain of a certificate goes on behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// It vouches for itself.
    SelfSigned,
    /// Certificates of its authorities follow, each the issuer of the one before.
    Whole,
    /// The file has the certificate alone, and its authority publishes one that belongs behind it.
    Missing {
        /// Who has issued it.
        issuer: String,
        /// Where that one's is to be had, in DER form.
        url: String,
    },
    /// The file has the certificate alone, of an authority that publishes none.
    Alone {
        /// Who has issued it.
        issuer: String,
    },
    /// What follows is not the certificate of the issuer.
    Broken {
        /// The certificate whose issuer does not follow.
        subject: String,
        /// Who has issued that one.
        issuer: String,
    },
}

impl Examined {
    /// Whether the certificate is for this host, a name or an address. A name that begins with `*.`
    /// stands for one more label (RFC 6125 section 6.4.3).
    #[must_use]
    pub fn names_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && rest.eq_ignore_ascii_case(domain)
            }),
            None => match (name.parse::<IpAddr>(), host.parse::<IpAddr>()) {
                (Ok(one), Ok(other)) => one == other,
                _ => name.eq_ignore_ascii_case(host),
            },
        })
    }
}

/// Examines the certificate of these files, as a server would that is started with them now.
///
/// # Errors
/// Why a server could not use them.
pub fn examine(files: &Files, now: Timestamp) -> Result<Examined, CertificateError> {
    let expires = Certificates::checked(files, now)?;
    let chain = files.chain(&pem::read(&files.certificate, "certificate")?)?;
    let unreadable = || unreadable(&files.certificate);
    let read = chain.iter().map(|it| Certificate::from_der(it)).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| unreadable())?;
    let (own, der) = read.first().zip(chain.first()).ok_or_else(unreadable)?;
    let names = names(own).ok_or_else(unreadable)?;
    Ok(Examined { expires, names, chain: chain_of(own, &read), der: der.to_vec() })
}

/// What the certificates say that a server has shown, its own first, in DER form; `None` when they
/// cannot be read.
#[must_use]
pub fn of_shown(chain: &[Vec<u8>]) -> Option<Examined> {
    let read = chain.iter().map(|it| Certificate::from_der(it)).collect::<Result<Vec<_>, _>>();
    let read = read.ok()?;
    let (own, der) = read.first().zip(chain.first())?;
    let ends = own.tbs_certificate().validity().not_after.to_unix_duration();
    let expires = Timestamp::from_nanoseconds(i64::try_from(ends.as_nanos()).unwrap_or(i64::MAX));
    Some(Examined { expires, names: names(own)?, chain: chain_of(own, &read), der: der.clone() })
}

/// Whether the first certificate of a file vouches for itself; `None` when it cannot be read.
#[must_use]
pub fn is_self_signed(certificate: &Path) -> Option<bool> {
    let chain =
        pem::chain(&pem::read(certificate, "certificate").ok()?, certificate, false).ok()?;
    let own = Certificate::from_der(chain.first()?).ok()?;
    Some(own.tbs_certificate().issuer() == own.tbs_certificate().subject())
}

fn unreadable(path: &Path) -> CertificateError {
    CertificateError::of_file(path, "holds a certificate that cannot be read: get it anew")
}

fn names(certificate: &Certificate) -> Option<Vec<String>> {
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok()?;
    let name = |it: &GeneralName| match it {
        GeneralName::DnsName(it) => Some(it.to_string()),
        GeneralName::IpAddress(it) => match it.as_bytes() {
            it if it.len() == 4 => {
                <[u8; 4]>::try_from(it).ok().map(|it| IpAddr::from(it).to_string())
            }
            it => <[u8; 16]>::try_from(it).ok().map(|it| IpAddr::from(it).to_string()),
        },
        _ => None,
    };
    Some(found.map_or_else(Vec::new, |(_, it)| it.0.iter().filter_map(name).collect()))
}

fn chain_of(own: &Certificate, all: &[Certificate]) -> Chain {
    for pair in all.windows(2) {
        let [one, next] = [&pair[0], &pair[1]].map(|it| it.tbs_certificate());
        if one.issuer() != next.subject() {
            let (subject, issuer) = (one.subject().to_string(), one.issuer().to_string());
            return Chain::Broken { subject, issuer };
        }
    }
    let own = own.tbs_certificate();
    let issuer = own.issuer().to_string();
    if all.len() > 1 {
        Chain::Whole
    } else if own.issuer() == own.subject() {
        Chain::SelfSigned
    } else {
        // Public authorities say in each certificate where that of the issuer is to be had.
        let access = own.get_extension::<AuthorityInfoAccessSyntax>().ok().flatten();
        match access.and_then(|(_, it)| url_of_issuer(&it)) {
            Some(url) => Chain::Missing { issuer, url },
            None => Chain::Alone { issuer },
        }
    }
}

/// Where an authority says that its own certificate is (`id-ad-caIssuers`, RFC 5280 section
/// 4.2.2.1).
fn url_of_issuer(access: &AuthorityInfoAccessSyntax) -> Option<String> {
    let mut found = access.0.iter().filter(|it| it.access_method.to_string() == CA_ISSUERS);
    found.find_map(|it| match &it.access_location {
        GeneralName::UniformResourceIdentifier(it) => Some(it.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_as_the_rfc_has_it() {
        let names = ["scim.example.com", "*.wild.example", "10.0.0.7", "::1"];
        let examined = Examined {
            expires: Timestamp::from_nanoseconds(0),
            names: names.map(str::to_owned).to_vec(),
            chain: Chain::SelfSigned,
            der: Vec::new(),
        };
        for host in ["scim.example.com", "SCIM.Example.com.", "a.wild.example", "10.0.0.7", "[::1]"]
        {
            assert!(examined.names_host(host), "{host}");
        }
        for host in ["example.com", "wild.example", "a.b.wild.example", ".wild.example", "10.0.0.8"]
        {
            assert!(!examined.names_host(host), "{host}");
        }
    }
}
