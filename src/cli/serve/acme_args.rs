//! The arguments of `plumm serve` for certificates by ACME, and what each must be.

use std::net::{IpAddr, SocketAddr};

use crate::acme::challenges::Kind;
use crate::acme::client::is_permitted;
use crate::acme::settings::{LETS_ENCRYPT, Settings};
use crate::cli::arguments::listen;

/// How many names a certificate may be for.
pub const DOMAINS_MAX: usize = 20;
/// The longest name of DNS, in characters.
const NAME_CHARS_MAX: usize = 253;

/// A certificate that the server gets and renews by itself.
#[derive(Clone, Debug, clap::Args)]
pub struct AcmeArgs {
    /// Serve HTTPS with a certificate for this name, which the server gets and renews by itself
    #[arg(
        long = "acme",
        id = "acme",
        value_name = "DOMAIN[,DOMAIN...]",
        env = "PLUMM_ACME",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = domain
    )]
    pub domains: Vec<String>,
    /// Where the certificate authority can reach you
    #[arg(
        long = "acme-email",
        value_name = "EMAIL",
        env = "PLUMM_ACME_EMAIL",
        hide_env_values = true,
        requires = "acme",
        value_parser = email
    )]
    pub acme_email: Option<String>,
    /// The ACME directory of the certificate authority
    #[arg(
        long = "acme-directory",
        value_name = "URL",
        env = "PLUMM_ACME_DIRECTORY",
        hide_env_values = true,
        default_value = LETS_ENCRYPT,
        value_parser = directory
    )]
    pub acme_directory: String,
    /// Where challenges over plain HTTP are answered; port 80 of --listen where it is not given
    #[arg(
        long = "acme-http-listen",
        value_name = "ADDR:PORT",
        env = "PLUMM_ACME_HTTP_LISTEN",
        hide_env_values = true,
        requires = "acme",
        value_parser = listen
    )]
    pub acme_http_listen: Option<SocketAddr>,
}

impl AcmeArgs {
    /// Whether a certificate is asked for.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }

    /// What is asked for by a server that listens here.
    #[must_use]
    pub fn settings(&self, address: SocketAddr) -> Settings {
        let mut domains: Vec<String> = Vec::new();
        for it in &self.domains {
            if !domains.contains(it) {
                domains.push(it.clone());
            }
        }
        Settings {
            domains,
            email: self.acme_email.clone(),
            directory: self.acme_directory.clone(),
            // Where the directory would look for it, and so the way that is open.
            first: if address.port() == Kind::TlsAlpn.port() { Kind::TlsAlpn } else { Kind::Http },
        }
    }

    /// Where challenges over plain HTTP are answered.
    #[must_use]
    pub fn http_listen(&self, address: SocketAddr) -> SocketAddr {
        let default = SocketAddr::new(address.ip(), Kind::Http.port());
        self.acme_http_listen.unwrap_or(default)
    }

    /// The URL by which clients reach a server that listens here.
    #[must_use]
    pub fn public_url(&self, address: SocketAddr) -> Option<String> {
        let domain = self.domains.first()?;
        Some(match address.port() {
            // The system chooses one.
            0 => return None,
            443 => format!("https://{domain}"),
            port => format!("https://{domain}:{port}"),
        })
    }
}

/// Reads a name that a certificate can be for.
fn domain(text: &str) -> Result<String, String> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Err(
            "it must be a name: for an IP address, give a certificate with --tls-cert and \
                    --tls-key, such as `plumm tls self-signed` makes"
                .to_owned(),
        );
    }
    if text.starts_with("*.") {
        return Err("it must be one name: a wildcard needs dns-01, which plumm does not do; name \
                    the hosts, or get it elsewhere and give it with --tls-cert and --tls-key"
            .to_owned());
    }
    if !text.is_ascii() {
        return Err("write it as DNS has it, with xn-- for letters outside ASCII".to_owned());
    }
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let in_label = |it: char| it.is_ascii_alphanumeric() || it == '-';
    let is_label = |it: &str| {
        (1..=63).contains(&it.len())
            && it.chars().all(in_label)
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    if name.len() > NAME_CHARS_MAX || !name.split('.').all(is_label) {
        return Err("it must be a name alone, such as scim.example.com".to_owned());
    }
    Ok(name)
}

/// Reads an address of an account (RFC 8555 section 7.3): one, and nothing else.
fn email(text: &str) -> Result<String, String> {
    let text = text.trim();
    let plain = |it: char| it.is_ascii_graphic() && !",?<>\"%&:;".contains(it);
    let parts = text.split_once('@');
    let is_address = parts.is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    if !is_address || !text.chars().all(plain) {
        return Err("it must be one email address, such as it@example.com".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads the URL of a directory.
fn directory(text: &str) -> Result<String, String> {
    let text = text.trim();
    if !is_permitted(text) {
        return Err("it must be the URL of an ACME directory and begin with https:// (http:// is \
                    for an address of this host alone)"
            .to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_names_alone() {
        for (text, expected) in [
            ("scim.example.com", "scim.example.com"),
            (" SCIM.Example.com. ", "scim.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(domain(text).as_deref(), Ok(expected));
        }
        let long = format!("{}.com", "x".repeat(64));
        for (text, words) in [
            ("10.0.0.7", "IP address"),
            ("[::1]", "IP address"),
            ("::1", "IP address"),
            ("*.example.com", "dns-01"),
            ("bücher.example", "xn--"),
            ("https://scim.example.com", "name alone"),
            ("scim.example.com:443", "name alone"),
            ("scim.example.com/x", "name alone"),
            ("a..b", "name alone"),
            ("-a.b", "name alone"),
            ("a_b.example", "name alone"),
            ("", "name alone"),
            (long.as_str(), "name alone"),
        ] {
            let error = domain(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn an_email_address_is_one_address() {
        assert_eq!(email(" it@example.com ").as_deref(), Ok("it@example.com"));
        for bad in [
            "",
            "it",
            "@example.com",
            "it@",
            "a@b@c",
            "a@b,c@d",
            "mailto:it@example.com",
            "it@example.com?subject=x",
            "I T <it@example.com>",
            "it@example.com\r\n",
        ] {
            let read = email(bad);
            assert!(read.is_err() || read.as_deref() == Ok(bad.trim()), "{bad:?}");
            assert!(bad.contains('\r') || read.is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_first_challenge_and_the_public_url_follow_the_port() {
        let args = AcmeArgs {
            domains: ["a.example", "b.example", "a.example"].map(str::to_owned).to_vec(),
            acme_email: None,
            acme_directory: LETS_ENCRYPT.to_owned(),
            acme_http_listen: None,
        };
        for (address, first, http, url) in [
            ("0.0.0.0:443", Kind::TlsAlpn, "0.0.0.0:80", "https://a.example"),
            ("[::]:8443", Kind::Http, "[::]:80", "https://a.example:8443"),
        ] {
            let address = address.parse().unwrap();
            let settings = args.settings(address);
            assert_eq!((settings.first, settings.domains.len()), (first, 2));
            assert_eq!(args.http_listen(address), http.parse().unwrap());
            assert_eq!(args.public_url(address).as_deref(), Some(url));
        }
    }
}
