//! The arguments of `plumm serve`, and what each of them must be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::builder::ArgPredicate;
use ipnet::IpNet;

use crate::cli::arguments::{days, listen};
use crate::cli::logging::Format;
use crate::cli::org;
use crate::cli::serve::acme_args::AcmeArgs;
use crate::cli::serve::scheduled_backups::Schedule;

/// The longest time that the log of changes can be kept, in days: ten years.
const LOG_DAYS_MAX: u32 = 3650;

/// How to serve.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example, a first run: makes the organisation acme, activates it, and prints the \
                  base URL and a token:\n  plumm serve --init acme"
)]
pub struct Args {
    /// Where it listens, and whether under TLS.
    #[command(flatten)]
    pub address: Address,
    /// Allow plain HTTP on an address that is not loopback, for a network you trust
    #[arg(
        long,
        env = "PLUMM_INSECURE_HTTP",
        hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub insecure_http: bool,
    /// The address clients use when a proxy stands in between, such as https://scim.example.com
    #[allow(rustdoc::bare_urls, reason = "the comment is the text of --help")]
    #[arg(
        long,
        value_name = "URL",
        env = "PLUMM_PUBLIC_URL",
        hide_env_values = true,
        value_parser = public_url
    )]
    pub public_url: Option<String>,
    /// Reverse proxies, as addresses or networks, whose word on the client's address is taken
    #[arg(
        long,
        value_name = "CIDR[,CIDR...]",
        env = "PLUMM_TRUSTED_PROXIES",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = network
    )]
    pub trusted_proxies: Vec<IpNet>,
    /// On the first run, make and activate this organisation, with a token
    #[arg(
        long,
        value_name = "ORG",
        env = "PLUMM_INIT",
        hide_env_values = true,
        value_parser = org::name
    )]
    pub init: Option<String>,
    /// For how many days the log of changes is kept
    #[arg(
        long,
        value_name = "N",
        env = "PLUMM_LOG_DAYS",
        hide_env_values = true,
        default_value = "365",
        allow_negative_numbers = true,
        value_parser = |it: &str| days(it, LOG_DAYS_MAX)
    )]
    pub log_days: u32,
    /// Backups that the server makes by itself.
    #[command(flatten)]
    pub backups: Schedule,
    /// Leave checkpoints to a program that replicates the write-ahead log, such as Litestream
    #[arg(
        long,
        env = "PLUMM_EXTERNAL_CHECKPOINT",
        hide_env_values = true,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub external_checkpoint: bool,
    /// How the log is written: one line of text a record, or one JSON object (text or json)
    #[arg(
        long,
        value_name = "FORMAT",
        env = "PLUMM_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text",
        value_parser = Format::parse
    )]
    pub log_format: Format,
    /// Whether it serves a demonstration; no flag says so.
    #[arg(skip)]
    pub demonstration: bool,
}

/// Where a server listens, and whether under TLS.
#[derive(Debug, clap::Args)]
pub struct Address {
    /// Where to listen; with --acme, 0.0.0.0:443 where nothing is given
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "PLUMM_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8080",
        default_value_if("acme", ArgPredicate::IsPresent, "0.0.0.0:443"),
        value_parser = listen
    )]
    pub listen: SocketAddr,
    /// Serve HTTPS with this certificate, followed by those of its authorities
    #[arg(
        long,
        value_name = "PEM",
        env = "PLUMM_TLS_CERT",
        hide_env_values = true,
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate
    #[arg(
        long,
        value_name = "PEM",
        env = "PLUMM_TLS_KEY",
        hide_env_values = true,
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// A certificate that the server gets by itself.
    #[command(flatten)]
    pub acme: AcmeArgs,
}

impl Address {
    /// The scheme of its URLs.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() || self.acme.is_on() { "https" } else { "http" }
    }
}

impl Args {
    /// The address that clients use, where the settings tell.
    #[must_use]
    pub fn outside_url(&self) -> Option<String> {
        let by_acme = || self.address.acme.public_url(self.address.listen);
        self.public_url.clone().or_else(by_acme)
    }
}

/// The URL by which this host reaches a listener.
#[must_use]
pub fn local_url(scheme: &str, address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(it) if it.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(it) if it.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

/// Reads the outside address: scheme, host and port. Nothing is normalised but a slash at the end.
///
/// # Errors
/// What it must be.
pub fn public_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let scheme = ["https://", "http://"].into_iter().find(|it| lower.starts_with(it));
    let scheme = scheme.ok_or("it must begin with https:// or http://")?;
    let rest = &text[scheme.len()..];
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if path.trim_end_matches('/').ends_with("/scim/v2") {
        return Err("leave /scim/v2 out: plumm adds it".to_owned());
    }
    if !path.is_empty() && path != "/" {
        return Err("it must end after the host and port, such as https://scim.example.com".into());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|it| !it.bytes().all(|b| b.is_ascii_digit()) || !is_port(it)) {
        return Err("its port must be a number from 1 to 65535".to_owned());
    }
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_host = match bracketed {
        Some(it) => it.parse::<Ipv6Addr>().is_ok(),
        None => {
            let in_host = |it: char| it.is_ascii_alphanumeric() || "-._".contains(it);
            !host.is_empty() && host.chars().all(in_host)
        }
    };
    if !is_host {
        return Err("it must name a host, such as https://scim.example.com".to_owned());
    }
    Ok(format!("{scheme}{authority}"))
}

/// Reads an address or a network, IPv4 ones as such.
fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
    let network = text.parse().ok().or_else(address).map(|it: IpNet| it.trunc());
    let network =
        network.ok_or("it must be an address or a network, such as 10.0.0.5 or 10.0.0.0/8")?;
    if network.prefix_len() == 0 {
        return Err("it would trust every address there is: name the proxies".to_owned());
    }
    if network.addr() != network.addr().to_canonical() {
        return Err("write it as an IPv4 address or network, without ::ffff:".to_owned());
    }
    Ok(network)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|it| it > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls() {
        for (text, expected) in [
            ("https://scim.example.com", Some("https://scim.example.com")),
            (" HTTPS://scim.example.com/ ", Some("https://scim.example.com")),
            ("http://10.0.0.7:8080", Some("http://10.0.0.7:8080")),
            ("https://[2001:db8::1]:8443/", Some("https://[2001:db8::1]:8443")),
            ("https://[2001:db8::1]", Some("https://[2001:db8::1]")),
            ("scim.example.com", None),
            ("ftp://scim.example.com", None),
            ("https://", None),
            ("https:///", None),
            ("https://:8080", None),
            ("https://host:", None),
            ("https://host:0", None),
            ("https://host:+80", None),
            ("https://host:65536", None),
            ("https://[::1", None),
            ("https://user@host", None),
            ("https://host/scim/v2", None),
            ("https://host/scim/v2/", None),
            ("https://host//", None),
            ("https://host?x=1", None),
            ("https://host#x", None),
            ("https://two words", None),
            ("https://host\r\nX: y", None),
            ("", None),
        ] {
            assert_eq!(public_url(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn networks() {
        for (text, expected) in [
            ("10.0.0.5", Some("10.0.0.5/32")),
            (" 10.0.0.0/8 ", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("10.0.0.0/33", None),
            ("::ffff:10.0.0.5", None),
            ("10.0.0", None),
            ("localhost", None),
            ("", None),
        ] {
            let read = network(text).ok().map(|it| it.to_string());
            assert_eq!(read.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        for (address, expected) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("10.0.0.7:80", "http://10.0.0.7:80"),
        ] {
            assert_eq!(local_url("http", address.parse().unwrap()), expected);
        }
    }
}
