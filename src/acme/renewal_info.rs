//! What the directory suggests for the renewal of a certificate: ARI (RFC 9773); pure.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::AuthorityKeyIdentifier;

use crate::acme::schedule::Window;
use crate::scim::datetime::Timestamp;

/// How often the directory is asked, where it does not say: every six hours,
const PAUSE_DEFAULT: Duration = Duration::from_secs(6 * 60 * 60);
/// and within which bounds it can say so (RFC 9773 section 4.3).
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a directory calls a certificate (RFC 9773 section 4.1): the key of its issuer, and its
/// serial number. `None` for one that does not name that key.
#[must_use]
pub fn id_of(der: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    let tbs = certificate.tbs_certificate();
    let (_, issuer) = tbs.get_extension::<AuthorityKeyIdentifier>().ok()??;
    let key = issuer.key_identifier?;
    // Its tag and its length, which is a short one, stand in front of the number itself, whose
    // leading zero counts.
    let serial = tbs.serial_number().to_der().ok()?;
    let parts = [key.as_bytes(), serial.get(2..)?].map(Base64UrlUnpadded::encode_string);
    Some(parts.join("."))
}

/// The window that an answer suggests, if it does.
#[must_use]
pub fn window_of(answer: &Value) -> Option<Window> {
    let suggested = answer.get("suggestedWindow")?;
    let time = |name: &str| Timestamp::parse(suggested.get(name)?.as_str()?);
    let (start, end) = (time("start")?, time("end")?);
    (start < end).then_some(Window { start, end })
}

/// How long until it is asked again, by the `Retry-After` of its answer.
#[must_use]
pub fn pause_of(retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(PAUSE_DEFAULT, |it| it.clamp(PAUSE_MIN, PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber,
    };
    use serde_json::json;

    use super::*;

    /// The example of RFC 9773 section 4.1.
    #[test]
    fn a_certificate_is_called_by_its_issuers_key_and_its_serial_number() {
        let key_id = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
            0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
        ];
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let issuer = Issuer::new(authority, &authority_key);
        let mut params = CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let id = id_of(certificate.der());
        assert_eq!(id.as_deref(), Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"));
        let alone = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        assert_eq!(id_of(alone.self_signed(&key).unwrap().der()), None);
        assert_eq!(id_of(b"no certificate"), None);
    }

    #[test]
    fn a_window_has_two_ends_in_their_order() {
        let (early, late) = ("2026-01-02T04:00:00Z", "2026-01-03T04:00:00Z");
        let window = |start: &str, end: &str| {
            window_of(&json!({ "suggestedWindow": { "start": start, "end": end } }))
        };
        assert!(window(early, late).is_some());
        for (start, end) in [(late, early), (early, early), (early, "soon"), ("", late)] {
            assert_eq!(window(start, end), None, "{start} {end}");
        }
        for other in [json!({}), json!([]), json!({ "suggestedWindow": 7 })] {
            assert_eq!(window_of(&other), None, "{other}");
        }
    }

    #[test]
    fn the_directory_is_asked_again_within_bounds() {
        for (asked, expected) in [(None, 21_600), (Some(1), 60), (Some(900), 900)] {
            let pause = pause_of(asked.map(Duration::from_secs));
            assert_eq!(pause.as_secs(), expected);
        }
        assert_eq!(pause_of(Some(Duration::MAX)), PAUSE_MAX);
    }
}
