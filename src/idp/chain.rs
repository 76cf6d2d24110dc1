//! The certificate of a server as an identity provider judges it: whom it names, how long it lasts,
//! and whether its chain leads to an authority that is known.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::idp::address::Base;
use crate::idp::step::{Fault, Notes};
use crate::scim::datetime::Timestamp;
use crate::server::tls::examined::{self, Chain, Examined};

/// A certificate that ends sooner is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The authorities that this system trusts, which are the public ones.
#[must_use]
pub fn public_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Judges the certificates that a server has shown, its own first.
///
/// # Errors
/// Why an identity provider does not trust it.
pub fn judge(
    base: &Base,
    shown: &[Vec<u8>],
    roots: &[CertificateDer<'static>],
    now: Timestamp,
    notes: &mut Notes,
) -> Result<String, Fault> {
    let unreadable = || Fault::new("its certificate cannot be read", "get it anew");
    let examined = examined::of_shown(shown).ok_or_else(unreadable)?;
    let mut faults = Vec::new();
    if examined.expires < now {
        let seen = format!("its certificate has expired on {}", examined.expires);
        faults.push((seen, "renew it, and let the server or proxy load the new one".to_owned()));
    }
    if !examined.names_host(&base.host) {
        let names = match examined.names.is_empty() {
            true => "no name at all".to_owned(),
            false => examined.names.join(", "),
        };
        faults.push((
            format!("its certificate is for {names}, and not for {}", base.host),
            format!("get one for {}, or give the URL with a name that it has", base.host),
        ));
    }
    if let Err(reason) = verify(base, shown, roots, now) {
        match reason {
            rustls::CertificateError::UnknownIssuer => faults.push(not_known(&examined)),
            // Both are told above.
            rustls::CertificateError::Expired
            | rustls::CertificateError::ExpiredContext { .. }
            | rustls::CertificateError::NotValidForName
            | rustls::CertificateError::NotValidForNameContext { .. }
                if !faults.is_empty() => {}
            other => faults.push((
                format!("its certificate is refused: {other}"),
                "get one of a public authority, for servers".to_owned(),
            )),
        }
    }
    if !faults.is_empty() {
        let (seen, advice): (Vec<_>, Vec<_>) = faults.into_iter().unzip();
        return Err(Fault::new(seen.join("; "), advice.join("; ")));
    }
    if now.plus(SOON) > examined.expires {
        notes.warn(format!("its certificate ends soon, on {}: renew it", examined.expires));
    }
    Ok(format!("for {}, until {}", examined.names.join(", "), examined.expires))
}

/// Whether the chain leads to an authority that is known, at this time.
fn verify(
    base: &Base,
    shown: &[Vec<u8>],
    roots: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<(), rustls::CertificateError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
    // Without any authority nobody is known.
    let Ok(verifier) = verifier else { return Err(rustls::CertificateError::UnknownIssuer) };
    let name = ServerName::try_from(base.host.clone());
    let name = name.map_err(|_| rustls::CertificateError::NotValidForName)?;
    let mut all = shown.iter().map(|it| CertificateDer::from(it.as_slice()));
    let Some(own) = all.next() else { return Err(rustls::CertificateError::BadEncoding) };
    let between: Vec<_> = all.collect();
    let time = UnixTime::since_unix_epoch(Duration::from_millis(now.milliseconds()));
    match verifier.verify_server_cert(&own, &between, &name, &[], time) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(reason)) => Err(reason),
        Err(_) => Err(rustls::CertificateError::BadEncoding),
    }
}

/// Why the chain leads to nobody who is known, and what to do.
fn not_known(examined: &Examined) -> (String, String) {
    match &examined.chain {
        Chain::SelfSigned => (
            "its certificate is self-signed: no identity provider in a cloud trusts it".to_owned(),
            "get one of a public authority; for a server within your network give the file of \
             yours with --ca"
                .to_owned(),
        ),
        Chain::Missing { issuer, .. } => (
            format!(
                "its chain is incomplete: the server shows its own certificate alone, without that \
                 of {issuer} (browsers fetch it by themselves, identity providers do not)"
            ),
            "give the server the file with the whole chain (often fullchain.pem)".to_owned(),
        ),
        Chain::Alone { issuer } => (
            format!(
                "its chain is incomplete, or of a private authority: the server shows its own \
                 certificate alone, and {issuer} is not known"
            ),
            "give the server the file with the whole chain (often fullchain.pem); a private \
             authority's is given with --ca, and no cloud trusts it"
                .to_owned(),
        ),
        Chain::Broken { subject, issuer } => (
            format!("its chain is incomplete: the certificate of {issuer} must follow {subject}"),
            "give the server the file with the whole chain, in order".to_owned(),
        ),
        Chain::Whole => (
            "its chain leads to an authority that is not known here".to_owned(),
            "get a certificate of a public authority; for a server within your network give the \
             file of yours with --ca"
                .to_owned(),
        ),
    }
}
