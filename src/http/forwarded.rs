//! The client behind a proxy: `Forwarded` (RFC 7239) and `X-Forwarded-For`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::http::request::Request;

/// Whether this address speaks for many clients, so that no limit for one client is held against
/// it: this host's own addresses, where a proxy may stand, and the trusted proxies.
#[must_use]
pub fn speaks_for_many(address: IpAddr, proxies: &[IpNet]) -> bool {
    address.to_canonical().is_loopback() || is_in(address, proxies)
}

/// The address of the client that a request came from. It is the peer of the connection, unless
/// that is a trusted proxy: then it is the last one in the chain that is none.
///
/// Each proxy appends the address that it received the request from, so the chain is read from its
/// end, and only as far as trusted proxies have written it. What comes before may be forged. Where
/// the chain cannot be read, the client is the peer itself; also where the two fields contradict
/// each other, since a proxy that writes one may pass on the other as the client sent it.
#[must_use]
pub fn client(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer?.to_canonical();
    Some(named(request, peer, proxies).flatten().unwrap_or(peer))
}

/// The address that refused API tokens of this request are counted for; none where it speaks for
/// many.
///
/// Fields of a trusted proxy that cannot be read name nobody, and any client can make them so. All
/// such requests count as those of one client behind that proxy: nobody escapes the limit by a
/// broken field, and nobody can choose whom it is counted for.
#[must_use]
pub fn limited_client(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer?.to_canonical();
    match named(request, peer, proxies) {
        Some(None) => Some(peer),
        named => Some(named.flatten().unwrap_or(peer)).filter(|it| !speaks_for_many(*it, proxies)),
    }
}

/// Whether a request came through a proxy: a trusted one, or one that says so itself.
#[must_use]
pub fn is_proxied(request: &Request, proxies: &[IpNet]) -> bool {
    let mut names = ["X-Forwarded-For", "Forwarded", "Via"].into_iter();
    request.peer.is_some_and(|it| is_in(it, proxies))
        || names.any(|it| request.header(it).is_some())
}

/// Whom the fields of a trusted proxy name, if they can be believed; `None` when there are none.
fn named(request: &Request, peer: IpAddr, proxies: &[IpNet]) -> Option<Option<IpAddr>> {
    if !is_in(peer, proxies) {
        return None;
    }
    let forwarded = chain(request, "Forwarded", |line| {
        split_outside_quotes(line, ',').into_iter().map(for_parameter).collect()
    });
    let x_forwarded_for = chain(request, "X-Forwarded-For", |line| {
        line.split(',').map(|it| node(it.trim())).collect()
    });
    match (forwarded.as_deref(), x_forwarded_for.as_deref()) {
        (Some(nodes), None) | (None, Some(nodes)) => Some(sender(nodes, proxies)),
        (Some(one), Some(other)) => {
            Some(sender(one, proxies).filter(|it| sender(other, proxies) == Some(*it)))
        }
        (None, None) => None,
    }
}

/// The address as text. That of every change is kept, and nearly all are of IPv4, which the
/// standard library writes number by number through its formatter.
#[must_use]
pub fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for (power, below) in [(100, 100), (10, 10), (1, 0)] {
            if octet >= below {
                text.push(char::from(b'0' + octet / power % 10));
            }
        }
    }
    text
}

fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|it| it.contains(&address))
}

/// The nodes of all fields of this name, which count as one list (RFC 9110 section 5.3); none where
/// there is no such field. A node that is no address is `None`.
fn chain(
    request: &Request,
    name: &str,
    read: impl Fn(&str) -> Vec<Option<IpAddr>>,
) -> Option<Vec<Option<IpAddr>>> {
    let lines: Vec<_> = request.headers.named(name).map(read).collect();
    (!lines.is_empty()).then(|| lines.concat())
}

/// The last node that is no trusted proxy; the first one where all are.
fn sender(nodes: &[Option<IpAddr>], proxies: &[IpNet]) -> Option<IpAddr> {
    for node in nodes.iter().rev() {
        let address = (*node)?;
        if !is_in(address, proxies) {
            return Some(address);
        }
    }
    *nodes.first()?
}

/// The address in the `for` of a forwarded-element (RFC 7239 section 4).
fn for_parameter(element: &str) -> Option<IpAddr> {
    let mut pairs =
        split_outside_quotes(element, ';').into_iter().filter_map(|it| it.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    match value.strip_prefix('"') {
        None => node(value),
        Some(rest) => node(&rest.strip_suffix('"')?.replace('\\', "")),
    }
}

/// Splits a text at the separators that are not in quotes.
fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|it| {
        let was_escaped = std::mem::take(&mut escaped);
        match it {
            _ if was_escaped => {}
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        it == separator && !quoted
    })
    .collect()
}

/// The address of a node (RFC 7239 section 6), with or without a port. `unknown` and obfuscated
/// names are no address.
fn node(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        let address: Ipv6Addr = address.parse().ok().filter(|_| is_whole)?;
        return Some(IpAddr::V6(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    let address: Ipv4Addr = address.parse().ok().filter(|_| is_port(port))?;
    Some(IpAddr::V4(address))
}

fn is_port(text: &str) -> bool {
    let obfuscated = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    match text.strip_prefix('_') {
        Some(rest) => !rest.is_empty() && rest.bytes().all(obfuscated),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Method;

    /// Who sent a request with these fields that came from this peer, where 10.0.0.0/8, 192.0.2.9
    /// and 2001:db8:1::/48 are trusted.
    #[track_caller]
    fn check(peer: &str, fields: &[(&str, &str)], expected: &str) {
        let proxies = ["10.0.0.0/8", "192.0.2.9/32", "2001:db8:1::/48"];
        let proxies = proxies.map(|it| it.parse().unwrap());
        let mut request = Request::new(Method::Get, "/");
        request.peer = Some(peer.parse().unwrap());
        let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        request.headers = fields.collect();
        assert_eq!(client(&request, &proxies), Some(expected.parse().unwrap()), "{request:?}");
    }

    #[test]
    fn an_address_is_written_as_the_standard_library_does() {
        for text in ["0.0.0.0", "127.0.0.1", "10.20.100.255", "192.9.99.109", "::1", "2001:db8::5"]
        {
            assert_eq!(text_of(text.parse().unwrap()), text);
        }
    }

    #[test]
    fn fields_of_an_untrusted_peer_are_ignored() {
        for name in ["X-Forwarded-For", "x-forwarded-for"] {
            check("10.1.2.3", &[(name, "198.51.100.7")], "198.51.100.7");
            check("::ffff:10.1.2.3", &[(name, "198.51.100.7")], "198.51.100.7");
            check("192.0.2.8", &[(name, "198.51.100.7")], "192.0.2.8");
            check("127.0.0.1", &[(name, "198.51.100.7")], "127.0.0.1");
        }
        check("10.1.2.3", &[], "10.1.2.3");
        check("10.1.2.3", &[("X-Real-IP", "198.51.100.7")], "10.1.2.3");
    }

    #[test]
    fn the_chain_is_read_from_its_end() {
        for (chain, expected) in [
            ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
            ("1.1.1.1, 198.51.100.7,10.0.0.1 , 192.0.2.9", "198.51.100.7"),
            ("nonsense, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
            // All of them are trusted: a proxy asks for itself.
            ("10.0.0.5, 10.0.0.1", "10.0.0.5"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8:2::1", "2001:db8:2::1"),
            ("[2001:db8:2::1]:443, 2001:db8:1::5", "2001:db8:2::1"),
            ("[2001:db8:2::1]", "2001:db8:2::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            check("10.1.2.3", &[("X-Forwarded-For", chain)], expected);
        }
        let lines = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "198.51.100.7, 10.0.0.1")];
        check("10.1.2.3", &lines, "198.51.100.7");
    }

    #[test]
    fn the_forms_of_rfc_7239() {
        for (field, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=198.51.100.7;proto=http;by=203.0.113.43", "198.51.100.7"),
            ("proto=https ; for=\"198.51.100.7:4711\"", "198.51.100.7"),
            ("for=198.51.100.7, for=10.0.0.1", "198.51.100.7"),
            ("for=1.1.1.1,for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
            ("for=\"198.51.100.7:_http\"", "198.51.100.7"),
            ("host=\"a,b;for=1.1.1.1\\\"\";for=198.51.100.7", "198.51.100.7"),
            ("for=\"198.51.100\\.7\"", "198.51.100.7"),
        ] {
            check("10.1.2.3", &[("Forwarded", field)], expected);
        }
    }

    #[test]
    fn an_unreadable_chain_leaves_the_peer() {
        for field in [
            "",
            "unknown",
            "for=",
            "for=unknown",
            "for=_hidden",
            "for=\"198.51.100.7",
            "for=[2001:db8::1",
            "for=198.51.100.7:",
            "for=198.51.100.7:http",
            "for=198.51.100.7:123456",
            "for=198.51.100.256",
            "for=example.com",
            "by=198.51.100.7",
            "for=198.51.100.7, for=_hidden, for=10.0.0.1",
            "for=198.51.100.7,",
        ] {
            check("10.1.2.3", &[("Forwarded", field)], "10.1.2.3");
        }
        for field in ["", "unknown", "198.51.100.7, -", "198.51.100.7,", "fe80::1%eth0"] {
            check("10.1.2.3", &[("X-Forwarded-For", field)], "10.1.2.3");
        }
    }

    #[test]
    fn a_broken_field_escapes_no_limit() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let limited = |peer: &str, fields: &[(&str, &str)]| {
            let mut request = Request::new(Method::Get, "/");
            request.peer = Some(peer.parse().unwrap());
            let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            request.headers = fields.collect();
            limited_client(&request, &proxies).map(|it| it.to_string())
        };
        let own = ("X-Forwarded-For", "198.51.100.7");
        for broken in ["", "nonsense", "for=", "for=unknown", "for=_x", "for=1.1.1.1", "for=\"1"] {
            // Beside what the proxy has written, and instead of it.
            let forwarded = ("Forwarded", broken);
            assert_eq!(limited("10.1.2.3", &[forwarded, own]).unwrap(), "10.1.2.3", "{broken}");
        }
        for broken in ["", "nonsense", "unknown", "198.51.100.7, -"] {
            let field = ("X-Forwarded-For", broken);
            assert_eq!(limited("10.1.2.3", &[field]).unwrap(), "10.1.2.3", "{broken}");
        }
        assert_eq!(limited("10.1.2.3", &[own]).unwrap(), "198.51.100.7");
        assert_eq!(limited("192.0.2.1", &[("Forwarded", "for=_x")]).unwrap(), "192.0.2.1");
        // A proxy or this host that asks for itself.
        assert_eq!(limited("10.1.2.3", &[]), None);
        assert_eq!(limited("10.1.2.3", &[("X-Forwarded-For", "10.0.0.9")]), None);
        assert_eq!(limited("127.0.0.1", &[("Forwarded", "for=_x")]), None);
    }

    #[test]
    fn two_fields_that_contradict_each_other_leave_the_peer() {
        let written = ("X-Forwarded-For", "198.51.100.7");
        check("10.1.2.3", &[("Forwarded", "for=1.1.1.1"), written], "10.1.2.3");
        check("10.1.2.3", &[("Forwarded", "for=_x"), written], "10.1.2.3");
        check("10.1.2.3", &[("Forwarded", "for=198.51.100.7"), written], "198.51.100.7");
    }
}
