//! `plumm tls`: a certificate without an authority, for a network of one's own.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cli::arguments::days;
use crate::cli::error::CliError;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted};
use crate::scim::datetime::Timestamp;

/// The longest life of a certificate, in days: ten years.
const DAYS_MAX: u32 = 3650;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The certificate begins this much earlier, so that a client whose clock is late accepts it at
/// once.
const BACKDATED_SECONDS: i64 = 60 * 60;
/// The longest common name (RFC 5280 appendix A.1), in characters.
const COMMON_NAME_CHARS_MAX: usize = 64;

/// The commands for TLS.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key and a certificate that is its own authority: clients must be told to trust it
    #[command(after_help = "Example:\n  \
                            plumm tls self-signed --host scim.example.internal --host 10.0.0.7")]
    SelfSigned(SelfSigned),
}

/// What the certificate is for.
#[derive(Debug, Args)]
pub struct SelfSigned {
    /// A name or IP address clients reach the server by; may be given several times
    #[arg(
        long = "host",
        value_name = "NAME_OR_IP",
        default_values = ["localhost", "127.0.0.1", "::1"],
        value_parser = host
    )]
    hosts: Vec<String>,
    /// For how many days it is valid; some clients refuse more than 825
    #[arg(long, value_name = "N", default_value = "825", allow_negative_numbers = true,
        value_parser = |it: &str| days(it, DAYS_MAX))]
    days: u32,
    /// Where the certificate goes
    #[arg(long, value_name = "FILE", default_value = "plumm-cert.pem")]
    out_cert: PathBuf,
    /// Where its private key goes
    #[arg(long, value_name = "FILE", default_value = "plumm-key.pem")]
    out_key: PathBuf,
}

/// Runs a command for TLS.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<Answer, CliError> {
    match command {
        Command::SelfSigned(args) => self_signed(args, session),
    }
}

fn self_signed(args: &SelfSigned, session: &Session) -> Result<Answer, CliError> {
    let now = session.now();
    // The times in a certificate are whole seconds.
    let now = Timestamp::from_nanoseconds(now.nanoseconds() / 1_000_000_000 * 1_000_000_000);
    let expires = now.plus_seconds(i64::from(args.days) * DAY_SECONDS);
    let (key, certificate) =
        generate(&args.hosts, now.plus_seconds(-BACKDATED_SECONDS), expires)
            .map_err(|it| CliError::Failed(format!("the certificate cannot be made: {it}")))?;
    let fingerprint = fingerprint(certificate.der());
    write_new(&args.out_key, &key.serialize_pem(), 0o600)?;
    if let Err(error) = write_new(&args.out_cert, &certificate.pem(), 0o644) {
        // A key without its certificate is of no use, and in the way of the next attempt.
        let _ = fs::remove_file(&args.out_key);
        return Err(error);
    }

    let (cert_path, key_path) = (args.out_cert.to_string_lossy(), args.out_key.to_string_lossy());
    let serve = format!("serve --tls-cert {} --tls-key {}", quoted(&cert_path), quoted(&key_path));
    let shown = printable(&cert_path);
    let text = format!(
        "{shown} is the certificate for {}, valid until {expires}.\n\
         {} is its private key: keep it to this host.\n\n  \
           SHA-256  {fingerprint}\n\n\
         Next:\n  {}\n\n\
         No client trusts it until it is told to: give it {shown}.\n",
        args.hosts.join(", "),
        printable(&key_path),
        session.command(&serve),
    );
    let json = json!({
        "certificate": cert_path,
        "key": key_path,
        "hosts": args.hosts,
        "expires": expires.to_string(),
        "sha256": fingerprint,
    });
    Ok(Answer { json, text })
}

/// A new ECDSA P-256 key, and the certificate with which it vouches for itself (RFC 5280).
fn generate(
    hosts: &[String],
    begins: Timestamp,
    expires: Timestamp,
) -> Result<(KeyPair, rcgen::Certificate), rcgen::Error> {
    let at =
        |it: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(it.milliseconds());
    let mut params = CertificateParams::new(hosts)?;
    let fits = |it: &&String| it.chars().count() <= COMMON_NAME_CHARS_MAX;
    let name = hosts.first().filter(fits).map_or("plumm", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(begins);
    params.not_after = at(expires);
    // It is its own authority and signs no other certificate, in case its key is stolen.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((key, certificate))
}

/// The fingerprint as `keytool` and `openssl` show it.
fn fingerprint(der: &[u8]) -> String {
    let bytes: Vec<String> = Sha256::digest(der).iter().map(|it| format!("{it:02X}")).collect();
    bytes.join(":")
}

/// Writes a file that is not there yet; an incomplete file is removed.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        let path = path.display();
        CliError::Failed(match error.kind() {
            ErrorKind::AlreadyExists => format!(
                "{path} is there already and is not overwritten: move it away, or choose other \
                 files with --out-cert and --out-key"
            ),
            _ => format!("{path} cannot be written: {error}"),
        })
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = fs::remove_file(path);
        failed(error)
    })
}

/// Checks a name or address of a host, without scheme, port or brackets.
fn host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let name = text.strip_prefix("*.").unwrap_or(text);
    let in_label = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    let is_label = |it: &str| (1..=63).contains(&it.len()) && it.chars().all(in_label);
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    if text.parse::<IpAddr>().is_err() && !is_name {
        return Err("it must be a name such as scim.example.com, or an IP address".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_alone() {
        for good in ["localhost", "scim.example.com", "*.example.com", "10.0.0.7", "::1", "a_b"] {
            assert_eq!(host(good).as_deref(), Ok(good));
        }
        let long = format!("{}.com", "x".repeat(64));
        for bad in
            ["", ".", "a..b", "*", "a.*", "https://a", "a:443", "[::1]", "a b", "sömewhere", &long]
        {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }
}
