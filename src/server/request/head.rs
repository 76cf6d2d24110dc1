//! The head of a request: bytes in, a parsed head or a refusal out (RFC 9112 sections 2 to 6).

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::net::Ipv6Addr;

use tiny_http::HTTPVersion;
use zeroize::Zeroizing;

use crate::http::fields::Fields;
use crate::http::request::{Method, Request};
use crate::http::request_id::{self, RequestId};
use crate::server::request::refusal::Refusal;

/// Header fields in one request, and in one trailer section.
pub const HEADERS_MAX: usize = 100;

/// How the body of a request is delimited (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By this many bytes; zero for a request without a body.
    Length(u64),
    /// By chunks.
    Chunked,
}

/// A well-formed head.
#[derive(Debug)]
pub struct Head {
    /// The request, its body still empty.
    pub request: Request,
    /// The version the client speaks: 1.0 or 1.1.
    pub version: HTTPVersion,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client means to send further requests on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl Head {
    /// Parses a whole head: request line, header lines and the empty line. A `LineScanner` has
    /// checked its line ends already.
    ///
    /// # Errors
    ///
    /// A head that is malformed, ambiguous or asks for what this server does not do.
    pub fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
        let line = || &bytes[..bytes.iter().position(|it| *it == b'\r').unwrap_or(bytes.len())];
        if !bytes.is_ascii() && !line().is_ascii() {
            return Err(Refusal::bad(
                "The request line holds a byte outside ASCII. Percent-encode it.",
            ));
        }
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(status) if status.is_complete() => {}
            Ok(_) => return Err(syntax_refusal(httparse::Error::Token)),
            Err(httparse::Error::Version) => return Err(version_refusal(line())),
            Err(error) => return Err(syntax_refusal(error)),
        }
        let method = Method::from_name(parsed.method.unwrap_or_default());
        let target = Target::parse(&method, parsed.path.unwrap_or_default())?;
        let version = HTTPVersion(1, parsed.version.unwrap_or_default());

        let mut request = Request::new(method, &target.path_and_query);
        request.headers = Fields::with_capacity(parsed.headers.len(), bytes.len());
        for field in parsed.headers.iter() {
            add_field(&mut request.headers, field.name, field.value.trim_ascii());
        }
        if let Some(id) = RequestId::sent(request.headers.named(request_id::FIELD)) {
            request.id = id;
        }
        apply_host(&mut request, &version, target.authority)?;
        let framing = framing_of(&request, &version)?;
        let expects_continue = expects_continue(&request, &version)?;
        let keep_alive = keep_alive(&request, &version);
        Ok(Head { request, version, framing, keep_alive, expects_continue })
    }
}

/// The id of a request whose head was refused, or has not arrived as a whole: the client's own
/// where a line has it.
#[must_use]
pub fn id_of_refused(bytes: &[u8]) -> RequestId {
    let lines = bytes.split(|it| *it == b'\n').skip(1);
    // The last piece has no end yet, or is what stands behind the empty line.
    let lines = lines.take_while(|it| it.ends_with(b"\r") && *it != b"\r");
    let fields = lines.filter_map(|it| str::from_utf8(it).ok()?.split_once(':'));
    let ids = fields.filter(|(name, _)| name.eq_ignore_ascii_case(request_id::FIELD));
    RequestId::sent(ids.map(|(_, value)| value.trim_ascii())).unwrap_or_else(RequestId::fresh)
}

/// What httparse found wrong with a head or a trailer section.
#[must_use]
pub fn syntax_refusal(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(
            431,
            format!("The request has more than {HEADERS_MAX} header fields. Send fewer."),
        ),
        httparse::Error::HeaderName => Refusal::bad(
            "A header field has no name, a space before its colon, or a character in its name \
             that HTTP does not allow. Send each field as `Name: value`.",
        ),
        httparse::Error::HeaderValue => {
            Refusal::bad("A header value holds a control character. Remove it or encode it.")
        }
        _ => Refusal::bad(
            "The request line is not well-formed. Send `METHOD /path HTTP/1.1`, with one space \
             between its three parts.",
        ),
    }
}

/// A request target (RFC 9112 section 3.2), in origin form whatever form it came in.
struct Target<'a> {
    path_and_query: Cow<'a, str>,
    authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(method: &Method, target: &'a str) -> Result<Target<'a>, Refusal> {
        if method.name() == "CONNECT" {
            return Err(Refusal::bad(
                "CONNECT asks for a tunnel, and plumm is no proxy. Send the request to the base \
                 URL itself.",
            ));
        }
        if target.contains('#') {
            return Err(Refusal::bad(
                "The request target holds a `#`. Leave the fragment out, or send %23.",
            ));
        }
        if target.starts_with('/') {
            return Ok(Target { path_and_query: Cow::Borrowed(target), authority: None });
        }
        // The absolute form, which a server must accept (RFC 9112 section 3.2.2).
        let Some(rest) = after_scheme(target) else {
            return Err(Refusal::bad(
                "The request target is neither a path nor an http URL. Send `/path?query`.",
            ));
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let path_and_query = match rest {
            "" => Cow::Borrowed("/"),
            query if query.starts_with('?') => Cow::Owned(format!("/{query}")),
            path => Cow::Borrowed(path),
        };
        Ok(Target { path_and_query, authority: Some(authority) })
    }
}

fn after_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    known.then_some(rest)
}

/// 505 for a version this server does not speak, 400 for what is no version at all.
fn version_refusal(line: &[u8]) -> Refusal {
    let mut words = line.split(|it| *it == b' ').skip(2);
    match words.next().filter(|_| words.next().is_none()) {
        Some([b'H', b'T', b'T', b'P', b'/', major, rest @ ..])
            if major.is_ascii_digit() && matches!(rest, [] | [b'.', b'0'..=b'9']) =>
        {
            Refusal::new(505, "This HTTP version is not spoken here. Send the request as HTTP/1.1.")
        }
        _ => syntax_refusal(httparse::Error::Token),
    }
}

/// One `Host` on HTTP/1.1 (RFC 9112 section 3.2), replaced by the authority of an absolute target.
fn apply_host(
    request: &mut Request,
    version: &HTTPVersion,
    authority: Option<&str>,
) -> Result<(), Refusal> {
    let mut hosts = request.headers.named("Host");
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::bad("The request has more than one Host field. Send exactly one."));
    }
    if first.is_none() && *version >= HTTPVersion(1, 1) {
        return Err(Refusal::bad("The request has no Host field. HTTP/1.1 asks for exactly one."));
    }
    if !first.into_iter().chain(authority).all(is_authority) {
        return Err(Refusal::bad(
            "The Host of the request is not a host name or address with an optional port. Send \
             `Host: name:port`.",
        ));
    }
    drop(hosts);
    if let Some(authority) = authority {
        request.headers.remove("Host");
        request.headers.push("Host", authority);
    }
    Ok(())
}

/// A host and an optional port, without user information (RFC 9110 sections 4.2.4 and 7.2). The
/// port may be empty (RFC 3986 section 3.2.3).
fn is_authority(text: &str) -> bool {
    // An address in brackets has colons of its own.
    let (is_host, port) = match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_host_name(name), port)
        }
    };
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// A registered name or an IPv4 address (RFC 3986 section 3.2.2), not empty. RFC 3986 allows a
/// comma, and it is refused: a proxy may have joined two Host fields with it.
fn is_host_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&it);
    let is_escape = |at: usize| {
        let digits = bytes.get(at + 1..at + 3);
        digits.is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit))
    };
    let mut each = bytes.iter().enumerate();
    !bytes.is_empty() && each.all(|(at, it)| allowed(*it) || (*it == b'%' && is_escape(at)))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}

fn framing_of(request: &Request, version: &HTTPVersion) -> Result<Framing, Refusal> {
    let mut lengths = request.headers.named("Content-Length");
    let mut codings = request.headers.named("Transfer-Encoding");
    match ([lengths.next(), lengths.next()], [codings.next(), codings.next()]) {
        ([None, _], [None, _]) => Ok(Framing::Length(0)),
        ([Some(length), None], [None, _]) => content_length(length),
        ([None, _], [Some(coding), None]) => transfer_encoding(coding, version),
        (_, [None, _]) => Err(Refusal::bad(
            "The request has more than one Content-Length field. Send exactly one.",
        )),
        ([None, _], _) => Err(Refusal::bad(
            "The request has more than one Transfer-Encoding field. Send \
             `Transfer-Encoding: chunked` once.",
        )),
        // RFC 9112 section 6.1 lets a server reject both together: they contradict each other.
        _ => Err(Refusal::bad(
            "The request has both Content-Length and Transfer-Encoding. Send one of the two.",
        )),
    }
}

fn content_length(value: &str) -> Result<Framing, Refusal> {
    if value.is_empty() || !value.bytes().all(|it| it.is_ascii_digit()) {
        return Err(Refusal::bad(
            "The Content-Length is not a number. Send the length of the body in decimal digits.",
        ));
    }
    // A number that does not fit is above any limit: the reader refuses the body as too large.
    Ok(Framing::Length(value.parse().unwrap_or(u64::MAX)))
}

fn transfer_encoding(value: &str, version: &HTTPVersion) -> Result<Framing, Refusal> {
    if *version < HTTPVersion(1, 1) {
        return Err(Refusal::bad(
            "HTTP/1.0 knows no Transfer-Encoding. Send HTTP/1.1, or a Content-Length.",
        ));
    }
    if value.eq_ignore_ascii_case("chunked") {
        return Ok(Framing::Chunked);
    }
    let mut codings = value.split(',').map(str::trim_ascii);
    if !codings.clone().all(is_token) || codings.all(|it| it.eq_ignore_ascii_case("chunked")) {
        return Err(Refusal::bad(
            "The Transfer-Encoding is not well-formed. Send `Transfer-Encoding: chunked`.",
        ));
    }
    Err(Refusal::new(
        501,
        "This transfer coding is not known here. Send `Transfer-Encoding: chunked`, or a \
         Content-Length.",
    ))
}

fn is_token(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    !text.is_empty() && text.bytes().all(allowed)
}

fn expects_continue(request: &Request, version: &HTTPVersion) -> Result<bool, Refusal> {
    // RFC 9110 section 10.1.1: an expectation in an HTTP/1.0 request is ignored.
    if *version < HTTPVersion(1, 1) {
        return Ok(false);
    }
    let mut expected = false;
    for expectation in request.headers.named("Expect").flat_map(|it| it.split(',')) {
        if !expectation.trim_ascii().eq_ignore_ascii_case("100-continue") {
            return Err(Refusal::new(
                417,
                "The Expect field asks for something other than 100-continue. Leave it out.",
            ));
        }
        expected = true;
    }
    Ok(expected)
}

fn keep_alive(request: &Request, version: &HTTPVersion) -> bool {
    let fields = || request.headers.named("Connection");
    let options = || fields().flat_map(|it| it.split(',')).map(str::trim_ascii);
    let has = |name: &str| options().any(|it| it.eq_ignore_ascii_case(name));
    !has("close") && (*version >= HTTPVersion(1, 1) || has("keep-alive"))
}

/// Adds a field whose value has no white space around it. Bytes that are no UTF-8 are read as
/// Latin-1, as HTTP once defined them (RFC 9110 section 5.5).
fn add_field(fields: &mut Fields, name: &str, value: &[u8]) {
    match str::from_utf8(value) {
        Ok(text) => fields.push(name, text),
        Err(_) => {
            let text: String = value.iter().map(|it| char::from(*it)).collect();
            fields.push(name, &Zeroizing::new(text));
        }
    }
}
