//! One HTTP request, complete and well-formed.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use zeroize::Zeroize;

use crate::http::fields::Fields;
use crate::http::request_id::RequestId;

/// A request method. Anything SCIM does not use is kept by name, so that 405 can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: handled as GET; `server/` leaves the body out.
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH (RFC 5789)
    Patch,
    /// DELETE
    Delete,
    /// Any other token, as it was sent.
    Other(String),
}

impl Method {
    /// The method with this name. Method names are case-sensitive (RFC 9110 section 9.1).
    #[must_use]
    pub fn from_name(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            other => Method::Other(other.to_owned()),
        }
    }

    /// The name as it stands in a request line.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Other(name) => name,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One request as a value: no socket behind it, nothing left to read.
#[derive(Clone)]
pub struct Request {
    /// What it is called: by the client that sent it, or else a new name.
    pub id: RequestId,
    /// The method.
    pub method: Method,
    /// The path of the target, still percent-encoded, without the query.
    pub path: String,
    /// The query of the target, still encoded, without the `?`; empty when there is none.
    pub query: String,
    /// The header fields in the order they came, values trimmed.
    pub headers: Fields,
    /// The whole body; empty when there is none.
    pub body: Vec<u8>,
    /// The address of the client, where a socket is behind the request.
    pub peer: Option<IpAddr>,
    /// Whether the request came over TLS.
    pub secure: bool,
}

impl Request {
    /// A request with this method and target (`/path?query`), and nothing else.
    #[must_use]
    pub fn new(method: Method, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            id: RequestId::fresh(),
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Fields::default(),
            body: Vec::new(),
            peer: None,
            secure: false,
        }
    }

    /// The first header field of this name, in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// The segments of the path, percent-decoded, empty ones left out: a trailing slash and doubled
    /// slashes mean nothing (administrators type base URLs with and without them).
    ///
    /// `None` when a segment does not decode to UTF-8 text without NUL.
    #[must_use]
    pub fn segments(&self) -> Option<Vec<Cow<'_, str>>> {
        let parts = self.path.split('/').filter(|it| !it.is_empty());
        parts.map(|it| percent_decoded(it, false)).collect()
    }

    /// The value of a query parameter, decoded; `None` when it is absent, `Some(Err)` when it does
    /// not decode. Names are compared without case; the first of several wins.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Result<String, BadEncoding>> {
        for pair in self.query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let same = percent_decoded(key, true).is_some_and(|it| it.eq_ignore_ascii_case(name));
            if same {
                return Some(percent_decoded(value, true).map(Cow::into_owned).ok_or(BadEncoding));
            }
        }
        None
    }
}

// A request carries a token and personal data, and its `Debug` shows neither.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.method, self.path, self.body.len())
    }
}

// A client's mistake puts the token into the target; a body may hold a password. The fields
// overwrite themselves.
impl Drop for Request {
    fn drop(&mut self) {
        self.path.zeroize();
        self.query.zeroize();
        // Not its capacity: what was reserved and never written has no memory yet.
        self.body.as_mut_slice().zeroize();
    }
}

/// The address that counts as one client: an IPv4 address, or the network of an IPv6 address (its
/// first 64 bits), of which one client may have every address.
#[must_use]
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// The path as the log may have it: who is asked about at login is personal data, and a token that
/// someone pasted into the URL is a secret.
#[must_use]
pub fn shown_path(path: &str) -> &str {
    let path = path.find("plm").map_or(path, |at| &path[..at + 3]);
    let first = path.trim_start_matches('/');
    match path.find("/users/") {
        Some(at) if first.starts_with("access") => &path[..at + 7],
        // Perhaps the same in other letters.
        _ if !first.starts_with("scim") => &path[..path.find('%').unwrap_or(path.len())],
        _ => path,
    }
}

/// A percent-encoding that does not decode to UTF-8 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEncoding;

/// The text with `%XX` decoded, and `+` as a space in a query. `None` for a broken escape, bytes
/// that are not UTF-8, and NUL.
fn percent_decoded(text: &str, plus_is_space: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|it| it == b'%' || (plus_is_space && it == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_splits_into_segments_and_parameters() {
        let it = Request::new(
            Method::Get,
            "/scim/v2//Users/?filter=userName+eq+%22a%2Bb@x%22&aadOptscim062020&Count=2",
        );
        assert_eq!(it.segments().unwrap(), ["scim", "v2", "Users"]);
        assert_eq!(it.parameter("filter").unwrap().unwrap(), "userName eq \"a+b@x\"");
        assert_eq!(it.parameter("count").unwrap().unwrap(), "2");
        assert_eq!(it.parameter("aadoptscim062020").unwrap().unwrap(), "");
        assert_eq!(it.parameter("startIndex"), None);
    }

    #[test]
    fn a_plus_in_a_path_is_a_plus() {
        let it = Request::new(Method::Get, "/access/v1/users/a+b%40x%2Fy");
        assert_eq!(it.segments().unwrap()[3], "a+b@x/y");
    }

    #[test]
    fn a_value_that_does_not_decode_is_told_apart_from_an_absent_one() {
        for target in
            ["/a?filter=%", "/a?filter=%4", "/a?filter=%zz", "/a?filter=%ff", "/a?filter=%00"]
        {
            let it = Request::new(Method::Get, target);
            assert_eq!(it.parameter("filter"), Some(Err(BadEncoding)), "{target}");
        }
        assert_eq!(Request::new(Method::Get, "/a/%00").segments(), None);
        assert_eq!(Request::new(Method::Get, "/a/%ff").segments(), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut it = Request::new(Method::Get, "/scim/v2/Users?filter=secret");
        it.headers.push("Authorization", "Bearer secret");
        it.body = b"secret".to_vec();
        assert!(!format!("{it:?}").contains("secret"));
    }
}
