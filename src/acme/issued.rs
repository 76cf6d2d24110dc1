//! A certificate as a directory has issued it: for whom, for how long, for which key.

use rustls::InconsistentKeys;
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use crate::acme::renewal_info;
use crate::acme::schedule::Validity;
use crate::scim::datetime::Timestamp;

/// What the first certificate of a chain says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// From when to when it is valid.
    pub validity: Validity,
    /// The names that it is for, in lower case.
    pub names: Vec<String>,
    /// What its directory calls it, where it suggests when to renew.
    pub id: Option<String>,
}

impl Issued {
    /// Reads a chain, and whether this key belongs to it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Issued, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| "it is damaged PEM".to_owned())?;
        let first = chain.first().ok_or("there is no certificate in PEM form")?;
        let read =
            Certificate::from_der(first).map_err(|it| format!("it cannot be read ({it})"))?;
        let id = renewal_info::id_of(first);
        let tbs = read.tbs_certificate();
        let names = tbs.get_extension::<SubjectAltName>().map_err(|it| it.to_string())?;
        let names = names.map_or_else(Vec::new, |(_, it)| {
            let name = |it: &GeneralName| match it {
                GeneralName::DnsName(it) => Some(it.to_string().to_ascii_lowercase()),
                _ => None,
            };
            it.0.iter().filter_map(name).collect()
        });
        let validity = tbs.validity();
        let validity =
            Validity { begins: time(validity.not_before), expires: time(validity.not_after) };
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "its key cannot be read")?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|it| match it {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                "it is for another key than this server's".to_owned()
            }
            other => format!("it cannot be used ({other})"),
        })?;
        Ok(Issued { validity, names, id })
    }

    /// Whether it is for all of these names.
    #[must_use]
    pub fn is_for(&self, domains: &[String]) -> bool {
        domains.iter().all(|it| self.names.contains(it))
    }
}

fn time(it: Time) -> Timestamp {
    let since = it.to_unix_duration();
    Timestamp::from_nanoseconds(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_chain_says_for_whom_and_for_which_key_it_is() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let names = ["A.example".to_owned(), "b.example".to_owned()];
        let made = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let (pem, key_pem) = (made.pem().into_bytes(), key.serialize_pem().into_bytes());
        let issued = Issued::read(&pem, &key_pem).unwrap();
        let domains = |of: &[&str]| of.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(issued.names, ["a.example", "b.example"]);
        assert!(issued.is_for(&domains(&["a.example"])));
        assert!(!issued.is_for(&domains(&["a.example", "c.example"])));
        assert!(issued.validity.begins < issued.validity.expires);
        let other = other.serialize_pem().into_bytes();
        for (chain, key, words) in [
            (&pem, &other, "for another key"),
            (&key_pem, &key_pem, "no certificate"),
            (&pem, &pem, "key cannot be read"),
            (&b"<html>".to_vec(), &key_pem, "no certificate"),
            (&pem[..200].to_vec(), &key_pem, "damaged"),
        ] {
            let error = Issued::read(chain, key).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
