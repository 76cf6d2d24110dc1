//! The check of the TLS certificate: how long it lasts, whether its key and its chain belong to it,
//! whether it is for the public URL.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::doctor::acme;
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::server::host_of;
use crate::cli::doctor::words::{DAY, seconds_between, when};
use crate::cli::text::quoted;
use crate::server::probe;
use crate::server::tls::certificates::Files;
use crate::server::tls::examined::{Chain, Examined, examine, is_self_signed};
use crate::store::paths::beside;

/// How many days before its end a certificate is to be renewed by hand at the latest,
const DAYS_TO_DO: i64 = 7;
/// and from when on its end is worth knowing.
const DAYS_NOTE: i64 = 30;

/// The certificate of the server.
pub fn certificate(facts: &Facts) -> Finding {
    let settings = &facts.settings;
    if !settings.acme.is_empty() {
        let files = Files::together(acme::file(facts));
        let examined = examine(&files, facts.now).ok();
        let names = examined.as_ref().and_then(|it| of_names(facts, it));
        let served = examined.as_ref().and_then(|it| of_served(facts, it));
        let each = [Some(acme::certificate(facts)), of_key(facts, &files.key), names, served];
        return Finding::all(each.into_iter().flatten(), Finding::well("it is in order"));
    }
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return match settings.insecure_http {
            true => Finding::note("there is none, and plain HTTP is allowed on the network", []),
            false => Finding::well("there is none: the server speaks plain HTTP to this host"),
        };
    };
    let files = Files { certificate: PathBuf::from(certificate), key: PathBuf::from(key) };
    let examined = match examine(&files, facts.now) {
        Ok(it) => it,
        Err(error) => {
            let show = format!("openssl x509 -in {} -noout -dates -subject", quoted(certificate));
            return Finding::to_do(error.to_string(), [show].into_iter().chain(anew(facts)));
        }
    };
    let each = [
        of_end(facts, &examined),
        of_key(facts, &files.key),
        of_chain(facts, &files.certificate, &examined),
        of_names(facts, &examined),
        of_served(facts, &examined),
    ];
    Finding::all(each.into_iter().flatten(), Finding::well("it is in order"))
}

/// What makes another certificate, in the way in which this one was made, as far as that is known.
fn anew(facts: &Facts) -> Vec<String> {
    let host = facts.settings.public_url.as_deref().and_then(host_of);
    let host = host.unwrap_or_else(|| "scim.example.com".to_owned());
    let remedy = &facts.remedy;
    let path = |it: &Option<String>| PathBuf::from(it.as_deref().unwrap_or_default());
    let (cert, key) = (path(&facts.settings.tls_cert), path(&facts.settings.tls_key));
    let word = |it: &Path| quoted(&it.to_string_lossy());
    if cert.to_string_lossy().contains("/letsencrypt/") {
        return vec![remedy.as_root("certbot renew")];
    }
    let aside = |it: &Path| {
        let command = format!("mv {} {}", word(it), word(&beside(it, ".old")));
        it.exists().then(|| remedy.for_file(&command))
    };
    match is_self_signed(&cert) {
        // The authority makes another one of this request.
        Some(false) => vec![format!(
            "openssl req -new -key {} -subj {} -addext {} -out plumm.csr",
            word(&key),
            quoted(&format!("/CN={host}")),
            quoted(&format!("subjectAltName=DNS:{host}"))
        )],
        None if cert.exists() => Vec::new(),
        _ => {
            let make = remedy.plumm(&format!(
                "tls self-signed --host {} --out-cert {} --out-key {}",
                quoted(&host),
                word(&cert),
                word(&key)
            ));
            let steps = [aside(&cert), aside(&key), Some(make)];
            vec![steps.into_iter().flatten().collect::<Vec<_>>().join(" && ")]
        }
    }
}

fn of_end(facts: &Facts, examined: &Examined) -> Option<Finding> {
    let left = seconds_between(facts.now, examined.expires);
    let text = format!("it expires {}, at {}", when(examined.expires, facts.now), examined.expires);
    Some(match left {
        it if it <= DAYS_TO_DO * DAY => Finding::to_do(text, anew(facts)),
        it if it <= DAYS_NOTE * DAY => Finding::note(text, []),
        _ => Finding::well(text),
    })
}

fn of_key(facts: &Facts, key: &Path) -> Option<Finding> {
    let mode = fs::metadata(key).ok()?.mode() & 0o777;
    let text = format!("the key {} has mode {mode:03o}", key.display());
    let command = facts.remedy.for_file(&format!("chmod 600 {}", quoted(&key.to_string_lossy())));
    if mode & 0o007 != 0 {
        return Some(Finding::to_do(
            format!("{text}: everybody on this host can read it"),
            [command],
        ));
    }
    let group = mode & 0o070 != 0;
    group.then(|| Finding::note(format!("{text}: its group can read it"), [command]))
}

fn of_chain(facts: &Facts, file: &Path, examined: &Examined) -> Option<Finding> {
    let shown = file.display();
    let path = quoted(&file.to_string_lossy());
    let look = |text: String, issuer: String| {
        let show =
            format!("openssl crl2pkcs7 -nocrl -certfile {path} | openssl pkcs7 -print_certs");
        let append = facts.remedy.for_file(&format!("tee -a {path}"));
        Finding::to_do(text, [show, format!("{issuer} | {append}")])
    };
    match &examined.chain {
        Chain::Whole => None,
        Chain::SelfSigned => Some(Finding::note(
            "it vouches for itself: each client must be told to trust it, and Okta's cloud does \
             not",
            [],
        )),
        Chain::Alone { issuer } => Some(Finding::note(
            format!("it is alone in {shown}: clients must know its issuer, {issuer}"),
            [],
        )),
        Chain::Missing { issuer, url } => Some(look(
            format!(
                "it is alone in {shown}: most clients refuse it without the certificate of its \
                 issuer, {issuer}, behind it"
            ),
            format!("curl -fsS {} | openssl x509 -inform der", quoted(url)),
        )),
        Chain::Broken { subject, issuer } => Some(look(
            format!(
                "in {shown}, the certificate of {issuer} must follow that of {subject}, and does \
                 not"
            ),
            "cat ISSUER.pem".to_owned(),
        )),
    }
}

fn of_names(facts: &Facts, examined: &Examined) -> Option<Finding> {
    let names = match examined.names.as_slice() {
        [] => "no host".to_owned(),
        some => some.join(", "),
    };
    let Some(host) = facts.settings.public_url.as_deref().and_then(host_of) else {
        return Some(Finding::well(format!("it is for {names}")));
    };
    if examined.names_host(&host) {
        return Some(Finding::well(format!("it is for {host}")));
    }
    let text = format!("it is for {names}, and the public URL names {host}");
    // Then the one that clients see is the proxy's.
    if !facts.settings.trusted_proxies.is_empty() {
        return Some(Finding::note(text, []));
    }
    Some(Finding::to_do(text, anew(facts)))
}

/// Whether the server shows clients the certificate of the file.
fn of_served(facts: &Facts, examined: &Examined) -> Option<Finding> {
    let url = facts.note.as_ref()?.local.as_deref()?;
    let shown = probe::shown_certificate(url.strip_prefix("https://")?.parse().ok()?).ok()??;
    if shown == examined.der {
        return None;
    }
    let text = "the server shows another certificate than the one of the file, which it could not \
                use when it was renewed: its log says why";
    Some(Finding::to_do(text, facts.remedy.restart()))
}
