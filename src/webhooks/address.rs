//! Which URLs and addresses are refused: those at which a cloud tells whoever asks the secrets of
//! the host, and those that nothing can be sent to.
//!
//! Loopback and private networks are allowed, since the receiver of a self-hosted server mostly is
//! there. What an address stands for is judged at each connection, by the address that the name has
//! then.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2_000;

/// Names of metadata services, which are refused whatever address they have.
const METADATA_HOSTS: [&str; 5] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
];
/// Addresses of metadata services outside the link-local networks: Alibaba Cloud, Oracle Cloud,
/// Azure's host, and those of AWS and Google in IPv6.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Checks the URL of an endpoint, as far as that can be done without looking its host up.
///
/// # Errors
/// What is wrong with it.
pub fn checked_url(text: &str, insecure: bool) -> Result<String, String> {
    let text = text.trim();
    if text.len() > URL_BYTES_MAX {
        return Err(format!("it is longer than {URL_BYTES_MAX} bytes"));
    }
    if text.contains('#') {
        return Err("it has a fragment (#…), which is never sent: leave it out".to_owned());
    }
    let wrong = || "it must be a URL such as https://app.example.com/plumm".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(wrong)?;
    if scheme != "https" && scheme != "http" {
        return Err(format!(
            "it begins with {scheme}://: only https:// and http:// can be sent to"
        ));
    }
    if authority.as_str().contains('@') {
        let reason = "it has a user name or a password, which would stand in lists and logs: \
                      receivers know plumm by the signature";
        return Err(reason.to_owned());
    }
    let has_port = authority.as_str().len() > authority.host().len();
    let port = authority.port_u16();
    if authority.host().is_empty() || (has_port && port.is_none()) || port == Some(0) {
        return Err(wrong());
    }
    let host = bare_host(authority.host());
    let address = literal(host);
    refuse_host(host)?;
    if let Some(it) = address {
        refuse_address(it)?;
    }
    if !insecure && is_plain_beyond_host(text) {
        let reason = "plain HTTP would carry people's data across the network where others can \
                      read them: use https://, or add --insecure-http if you trust the network";
        return Err(reason.to_owned());
    }
    Ok(text.to_owned())
}

/// Whether a URL sends plain HTTP to another host.
#[must_use]
pub fn is_plain_beyond_host(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = bare_host(uri.host().unwrap_or_default());
    let stays = literal(host).map_or(is_localhost(host), |it| it.to_canonical().is_loopback());
    uri.scheme_str() == Some("http") && !stays
}

/// The host without the brackets of an IPv6 address.
#[must_use]
pub fn bare_host(host: &str) -> &str {
    host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host)
}

/// The address that a host is, in the forms that the system's resolver takes for one.
fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Refuses the names of metadata services.
///
/// # Errors
/// Why it is refused.
pub fn refuse_host(host: &str) -> Result<(), String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match METADATA_HOSTS.contains(&host.as_str()) {
        true => {
            Err(format!("{host} is a cloud's metadata service, which tells secrets of the host"))
        }
        false => Ok(()),
    }
}

/// Refuses an address that no receiver has.
///
/// # Errors
/// Why it is refused.
pub fn refuse_address(address: IpAddr) -> Result<(), String> {
    let reason = match address.to_canonical() {
        IpAddr::V4(it) => reason_v4(it),
        IpAddr::V6(it) => reason_v6(it),
    };
    reason.map_or(Ok(()), |it| Err(format!("{address} is {it}")))
}

const METADATA: &str =
    "in the network of a cloud's metadata service, which tells secrets of the host";
const NOBODY: &str = "no address of one host";

fn reason_v4(it: Ipv4Addr) -> Option<&'static str> {
    if it.is_link_local() || METADATA_V4.contains(&it) {
        return Some(METADATA);
    }
    let nobody = it.octets()[0] == 0 || it.is_multicast() || it.is_broadcast();
    nobody.then_some(NOBODY)
}

fn reason_v6(it: Ipv6Addr) -> Option<&'static str> {
    let segments = it.segments();
    if it.is_unicast_link_local() || METADATA_V6.contains(&it) {
        return Some(METADATA);
    }
    if it.is_unspecified() || it.is_multicast() {
        return Some(NOBODY);
    }
    // An IPv4 address within: NAT64, 6to4, and the form that was given up ("IPv4-compatible").
    let within = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => reason_v4(within(high, low)),
        [0x64, 0xff9b, 1, _, _, _, high, low] => reason_v4(within(high, low)),
        [0x2002, high, low, ..] => reason_v4(within(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if !it.is_loopback() => reason_v4(within(high, low)),
        _ => None,
    }
}

/// The scheme and the host of a URL. Behind them stands, with many receivers, what lets whoever
/// knows it send to them.
#[must_use]
pub fn origin(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    let parts = uri.as_ref().and_then(|it| it.scheme_str().zip(it.authority()));
    parts.map_or_else(String::new, |(scheme, authority)| {
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_nothing_behind_the_host_and_nothing_before_it() {
        for (url, kept) in [
            ("https://hooks.example.com/services/T0/B0/secret", "https://hooks.example.com"),
            ("http://127.0.0.1:9000/hook?token=secret", "http://127.0.0.1:9000"),
            ("https://ann:secret@[::1]:8443/", "https://[::1]:8443"),
            ("no url", ""),
        ] {
            assert_eq!(origin(url), kept, "{url}");
        }
    }

    #[test]
    fn urls() {
        for (text, insecure, refused) in [
            ("https://app.example.com/plumm?tenant=1", false, None),
            (" https://10.0.0.7:8443/ ", false, None),
            ("https://app.example.com", false, None),
            ("https://[2001:db8::1]:8443/x", false, None),
            ("http://127.0.0.1:9000/hook", false, None),
            ("http://localhost:9000", false, None),
            ("http://[::1]:9000/", false, None),
            ("http://10.0.0.7/", true, None),
            ("http://10.0.0.7/", false, Some("--insecure-http")),
            ("http://app.example.com/", false, Some("--insecure-http")),
            ("ftp://app.example.com/", true, Some("ftp://")),
            ("file:///etc/passwd", true, Some("it must be")),
            ("app.example.com/x", true, Some("it must be")),
            ("https://", true, Some("it must be")),
            ("https://:443/", true, Some("it must be")),
            ("https://host:0/", true, Some("it must be")),
            ("https://host:/", true, Some("it must be")),
            ("https://host:65536/", true, Some("it must be")),
            ("https://two words/", true, Some("it must be")),
            ("https://host/a\r\nb", true, Some("it must be")),
            ("", true, Some("it must be")),
            ("https://user@host/", true, Some("user name")),
            ("https://user:password@host/", true, Some("user name")),
            ("https://host/#part", true, Some("fragment")),
            ("http://169.254.169.254/latest", true, Some("metadata")),
            ("http://[::ffff:169.254.169.254]/", true, Some("metadata")),
            ("http://[64:ff9b::a9fe:a9fe]/", true, Some("metadata")),
            ("http://Metadata.Google.Internal./", true, Some("metadata")),
            ("http://0.0.0.0/", true, Some("no address")),
        ] {
            let checked = checked_url(text, insecure);
            match refused {
                None => assert_eq!(checked.as_deref(), Ok(text.trim()), "{text}"),
                Some(words) => {
                    let reason = checked.expect_err(text);
                    assert!(reason.contains(words), "{text}: {reason}");
                }
            }
        }
        let long = format!("https://host/{}", "x".repeat(URL_BYTES_MAX));
        assert!(checked_url(&long, true).unwrap_err().contains("longer"));
    }

    #[test]
    fn addresses() {
        for refused in [
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(refuse_address(refused.parse().unwrap()).is_err(), "{refused}");
        }
        for allowed in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "192.0.2.1",
            "100.64.0.1",
            "8.8.8.8",
            "::1",
            "fd00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(refuse_address(allowed.parse().unwrap()).is_ok(), "{allowed}");
        }
    }
}
