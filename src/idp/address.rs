//! The base URL of a SCIM server as an admin types it, judged before anything is sent.

use std::net::{IpAddr, Ipv6Addr};

use crate::idp::provider::{ENTRA_FLAG, Provider};
use crate::idp::step::{Fault, Notes};

/// The longest base URL that Okta takes, in characters.
const OKTA_CHARS_MAX: usize = 1024;
/// Endpoints below a base URL, which are pasted with it.
const ENDPOINTS: [&str; 7] =
    ["users", "groups", "serviceproviderconfig", "resourcetypes", "schemas", "me", "bulk"];

/// A base URL that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Without a trailing slash and without a query.
    pub url: String,
    /// The host: a name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it is reached by TLS.
    pub secure: bool,
    /// As whom it is asked: its query may say so.
    pub provider: Provider,
}

impl Base {
    /// The host as an address, where it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Judges what an admin would paste into an identity provider.
///
/// # Errors
/// What is wrong with it.
pub fn judge(text: &str, provider: Provider, notes: &mut Notes) -> Result<Base, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("the URL is empty", "give the base URL of the SCIM server"));
    }
    let odd = |it: &char| {
        it.is_whitespace() || it.is_control() || !it.is_ascii() || "<>{}|\\^`\"'".contains(*it)
    };
    if let Some((at, it)) = text.chars().enumerate().find(|(_, it)| odd(it)) {
        let (what, advice) = match it {
            it if it.is_whitespace() => ("a blank".to_owned(), "take the blank away"),
            it if it.is_ascii() => (format!("the character {it:?}"), "take it away"),
            it => (
                format!("the character {it:?}"),
                "write a name with other letters than a to z as DNS has it (xn--…)",
            ),
        };
        return Err(Fault::new(format!("the URL has {what} at position {}", at + 1), advice));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let rest = text.trim_start_matches("https:").trim_start_matches("http:");
        let rest = rest.trim_start_matches('/');
        return Err(Fault::new(
            "the URL has no https:// in front",
            format!("write https://{rest}"),
        ));
    };
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        other => {
            let seen = format!("the URL begins with {other}://");
            return Err(Fault::new(seen, format!("write https://{rest}")));
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err(Fault::new(
            "the URL has a user name or a password before its host",
            "take it away: the token is all that is sent",
        ));
    }
    let (host, port) = host_and_port(authority, secure)?;
    let (path, provider) = path_and_provider(rest, provider)?;
    let path = path.trim_end_matches('/');
    let scheme = if secure { "https" } else { "http" };
    let url = format!("{scheme}://{authority}{path}");
    let last = path.rsplit('/').next().unwrap_or_default();
    if ENDPOINTS.contains(&last.to_ascii_lowercase().as_str()) {
        let base = url[..url.len() - last.len()].trim_end_matches('/');
        return Err(Fault::new(
            format!("the URL ends with /{last}, which is below the base URL"),
            format!("the base URL is {base}"),
        ));
    }
    let base = Base { url, host, port, secure, provider };
    warn(&base, path, text, notes);
    Ok(base)
}

/// What keeps nobody from going on.
fn warn(base: &Base, path: &str, text: &str, notes: &mut Notes) {
    let provider = base.provider.name();
    if !base.secure {
        notes.warn(format!(
            "it is plain HTTP: whoever is in between reads the token and every person, and \
             {provider} takes https:// only"
        ));
    }
    if !path.to_ascii_lowercase().ends_with("/v2") {
        let path = if path.is_empty() { "/" } else { path };
        notes.warn(format!(
            "its path is {path}: most servers, plumm among them, have SCIM 2.0 at /scim/v2, and \
             Okta's agent speaks SCIM 1.1 to a URL without /v2"
        ));
    }
    if base.provider == Provider::Okta && text.contains('_') {
        notes.warn("it has an underscore, and Okta takes no base URL with one");
    }
    if base.provider == Provider::Okta && text.chars().count() > OKTA_CHARS_MAX {
        notes.warn(format!("it is longer than the {OKTA_CHARS_MAX} characters that Okta takes"));
    }
}

fn host_and_port(authority: &str, secure: bool) -> Result<(String, u16), Fault> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| {
                Fault::new("the URL has a [ without a ]", "write an IPv6 address as [2001:db8::1]")
            })?;
            if host.parse::<Ipv6Addr>().is_err() {
                let seen = format!("{host} is no IPv6 address");
                return Err(Fault::new(seen, "write an IPv6 address as [2001:db8::1]"));
            }
            (host, rest.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err(Fault::new("the URL names no host", "write https://HOST/scim/v2"));
    }
    let port = match port {
        None if secure => 443,
        None => 80,
        Some(port) => match port.parse() {
            Ok(number) if number > 0 => number,
            _ => {
                let seen = format!("`{port}` is no port");
                return Err(Fault::new(seen, "give a number from 1 to 65535 after the colon"));
            }
        },
    };
    Ok((host.to_owned(), port))
}

fn path_and_provider(rest: &str, provider: Provider) -> Result<(&str, Provider), Fault> {
    if let Some((before, _)) = rest.split_once('#') {
        let seen = "the URL has a part behind a #, which is never sent";
        return Err(Fault::new(seen, format!("end it with {before}")));
    }
    let Some((path, query)) = rest.split_once('?') else { return Ok((rest, provider)) };
    match provider {
        Provider::Okta => Err(Fault::new(
            format!("the URL has a query: ?{query}"),
            "take it away: Okta puts its own behind the base URL",
        )),
        _ if query.eq_ignore_ascii_case(ENTRA_FLAG) => Ok((path, Provider::EntraWithFlag)),
        _ => Err(Fault::new(
            format!("the URL has a query: ?{query}"),
            format!("take it away; Entra ID knows ?{ENTRA_FLAG} alone"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_apart() {
        for (text, url, host, port, warnings) in [
            ("https://a.org/scim/v2", "https://a.org/scim/v2", "a.org", 443, 0),
            ("HTTPS://a.org:8443/scim/v2/", "https://a.org:8443/scim/v2", "a.org", 8443, 0),
            ("https://[::1]/v2", "https://[::1]/v2", "::1", 443, 0),
            ("http://a.org/v2", "http://a.org/v2", "a.org", 80, 1),
            ("https://a.org", "https://a.org", "a.org", 443, 1),
            ("https://a_b.org/scim/v1", "https://a_b.org/scim/v1", "a_b.org", 443, 2),
        ] {
            let mut notes = Notes::default();
            let base = judge(text, Provider::Okta, &mut notes).unwrap();
            assert_eq!((base.url.as_str(), base.host.as_str(), base.port), (url, host, port));
            assert_eq!(notes.warnings.len(), warnings, "{text}: {:?}", notes.warnings);
        }
        let flagged = "https://a.org/scim/v2/?aadOptscim062020";
        let base = judge(flagged, Provider::Entra, &mut Notes::default()).unwrap();
        assert_eq!(
            (base.url.as_str(), base.provider),
            ("https://a.org/scim/v2", Provider::EntraWithFlag)
        );
    }

    #[test]
    fn what_is_no_base_url_is_told_what_to_write() {
        for (text, seen, advice) in [
            ("", "empty", "base URL"),
            ("https://a.org/scim/v2 ", "a blank at position 22", "take the blank away"),
            ("a.org/scim/v2", "no https://", "write https://a.org/scim/v2"),
            ("https:/a.org", "no https://", "write https://a.org"),
            ("ftp://a.org", "begins with ftp://", "write https://a.org"),
            ("https://<host>/", "the character '<' at position 9", "take it away"),
            ("https://bücher.org/", "the character 'ü'", "xn--"),
            ("https://u:p@a.org/v2", "a user name or a password", "the token is all"),
            ("https:///scim", "names no host", "https://HOST"),
            ("https://a.org:x/v2", "`x` is no port", "65535"),
            ("https://a.org:0/v2", "`0` is no port", "65535"),
            ("https://[::x]/v2", "no IPv6 address", "[2001:db8::1]"),
            ("https://a.org/scim/v2/Users/", "/Users", "the base URL is https://a.org/scim/v2"),
            ("https://a.org/scim/v2/groups", "/groups", "the base URL is https://a.org/scim/v2"),
            ("https://a.org/scim/v2?x=1", "?x=1", "take it away"),
            ("https://a.org/scim/v2#x", "behind a #", "end it with /scim/v2"),
        ] {
            let fault = judge(text, Provider::Okta, &mut Notes::default()).unwrap_err();
            assert!(fault.seen.contains(seen), "{text}: {fault:?}");
            assert!(fault.advice.as_ref().unwrap().contains(advice), "{text}: {fault:?}");
        }
    }
}
