//! Any bytes as what a connection yields: the requests that the reader frames are those that a
//! second reading of RFC 9112 frames, written here with nothing but the standard library, and they
//! do not depend on how the network cuts the bytes.

use std::io::{self, Read};

use plumm::server::budget::Budget;
use plumm::server::request::body::BODY_BYTES_MAX;
use plumm::server::request::chunked::{CHUNK_EXTENSIONS_BYTES_MAX, CHUNK_LINE_BYTES_MAX};
use plumm::server::request::head::HEADERS_MAX;
use plumm::server::request::reader::Reader;
use plumm::server::request::refusal::ReadError;

/// Refusals for other reasons than framing: limits (413, 414, 431), expectations (417), codings
/// (501), versions (505).
const OTHER_REASONS: [u16; 6] = [413, 414, 417, 431, 501, 505];

/// Method, target in origin form, body.
type Framed = (String, String, Vec<u8>);

pub fn check(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    for step in [1, 7, bytes.len() / 2 + 1] {
        assert_eq!(read(bytes, step), whole, "in steps of {step}");
    }
    let (requests, refused) = whole;
    let (expected, is_sound) = model(bytes);
    match refused {
        Some(status) if OTHER_REASONS.contains(&status) => {
            assert_eq!(requests, expected[..requests.len()], "{status}");
        }
        _ => assert_eq!((requests, refused), (expected, (!is_sound).then_some(400))),
    }
}

/// Yields its bytes in steps of this many.
struct Steps<'a>(&'a [u8], usize);

impl Read for Steps<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = buffer.len().min(self.1);
        self.0.read(&mut buffer[..step])
    }
}

/// What the reader makes of these bytes, and the status it refuses the rest with.
fn read(bytes: &[u8], step: usize) -> (Vec<Framed>, Option<u16>) {
    let (mut stream, mut reader) = (Steps(bytes, step), Reader::default());
    let budget = Budget::new(BODY_BYTES_MAX);
    let mut requests = Vec::new();
    while reader.wait_for_request(&mut stream).unwrap() {
        let request = reader.read_head(&mut stream).and_then(|head| {
            let body =
                reader.read_body(&mut stream, head.framing, &mut budget.reservation(None))?;
            let mark = if head.request.query.is_empty() { "" } else { "?" };
            let target = format!("{}{mark}{}", head.request.path, head.request.query);
            Ok((head.request.method.name().to_owned(), target, body))
        });
        match request {
            Ok(it) => requests.push(it),
            Err(ReadError::Refused(it)) => return (requests, Some(it.status)),
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    }
    (requests, None)
}

/// The requests in these bytes, and whether nothing unsound follows them.
fn model(mut bytes: &[u8]) -> (Vec<Framed>, bool) {
    let mut requests = Vec::new();
    loop {
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        if bytes.is_empty() || bytes == b"\r" {
            return (requests, true);
        }
        match request(&mut bytes) {
            Some(it) => requests.push(it),
            None => return (requests, false),
        }
    }
}

/// One request, taken off the bytes; none when it is malformed, ambiguous or cut short.
fn request(bytes: &mut &[u8]) -> Option<Framed> {
    let line = take_line(bytes)?;
    let line = str::from_utf8(&line).ok()?;
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let visible = |it: u8| it.is_ascii_graphic();
    if !is_token(method) || target.is_empty() || !target.bytes().all(visible) {
        return None;
    }
    let is_newer = match version {
        "HTTP/1.0" => false,
        "HTTP/1.1" => true,
        _ => return None,
    };
    let fields = take_fields(bytes)?;
    let all = |name: &str| {
        let same = fields.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_slice()).collect::<Vec<_>>()
    };

    // RFC 9112 section 3.2.
    let hosts = all("Host");
    if hosts.len() > 1 || (hosts.is_empty() && is_newer) || !hosts.iter().all(|it| is_host(it)) {
        return None;
    }
    if method == "CONNECT" || target.contains('#') {
        return None;
    }
    let target = if target.starts_with('/') {
        target.to_owned()
    } else {
        let (scheme, rest) = target.split_once("://")?;
        if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        if !is_host(&rest.as_bytes()[..end]) {
            return None;
        }
        let slash = if rest[end..].starts_with('/') { "" } else { "/" };
        format!("{slash}{}", &rest[end..])
    };
    let target = target.strip_suffix('?').filter(|it| !it.contains('?')).unwrap_or(&target);

    // RFC 9112 section 6.
    let body = match (all("Content-Length").as_slice(), all("Transfer-Encoding").as_slice()) {
        ([], []) => Vec::new(),
        ([length], []) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = str::from_utf8(length).ok().filter(|_| digits)?.parse().ok()?;
            take(bytes, length)?.to_vec()
        }
        ([], [coding]) if is_newer && coding.eq_ignore_ascii_case(b"chunked") => {
            take_chunks(bytes)?
        }
        _ => return None,
    };
    Some((method.to_owned(), target.to_owned(), body))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// A line without its CR LF. A CR, LF or NUL within it is nobody's good intention.
fn take_line(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(2).position(|it| it == b"\r\n")?;
    let line = take(bytes, end)?.to_vec();
    take(bytes, 2)?;
    (!line.iter().any(|it| b"\r\n\0".contains(it))).then_some(line)
}

fn take_fields(bytes: &mut &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut fields = Vec::new();
    loop {
        let line = take_line(bytes)?;
        if line.is_empty() {
            return (fields.len() <= HEADERS_MAX).then_some(fields);
        }
        let colon = line.iter().position(|it| *it == b':')?;
        let name = str::from_utf8(&line[..colon]).ok().filter(|it| is_token(it))?;
        let value = line[colon + 1..].trim_ascii();
        if line[colon + 1..].iter().any(|it| it.is_ascii_control() && *it != b'\t') {
            return None;
        }
        fields.push((name.to_owned(), value.to_vec()));
    }
}

/// RFC 9112 section 7.1, within the limits on chunk extensions.
fn take_chunks(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let (mut body, mut extensions) = (Vec::new(), 0);
    loop {
        let line = take_line(bytes)?;
        let digits = line.iter().take_while(|it| it.is_ascii_hexdigit()).count();
        let size = u64::from_str_radix(str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        let extension = &line[digits..];
        extensions += extension.len();
        let is_extension = extension.trim_ascii_start().starts_with(b";");
        if !(extension.is_empty() || is_extension)
            || extension.iter().any(|it| it.is_ascii_control() && *it != b'\t')
            || line.len() + 2 > CHUNK_LINE_BYTES_MAX
            || extensions > CHUNK_EXTENSIONS_BYTES_MAX
        {
            return None;
        }
        if size == 0 {
            take_fields(bytes)?;
            return Some(body);
        }
        body.extend_from_slice(take(bytes, usize::try_from(size).ok()?)?);
        if take(bytes, 2)? != b"\r\n" {
            return None;
        }
    }
}

fn is_token(text: &str) -> bool {
    let marks = "!#$%&'*+-.^_`|~";
    !text.is_empty() && text.chars().all(|it| it.is_ascii_alphanumeric() || marks.contains(it))
}

/// RFC 3986 section 3.2 without user information, as far as its characters go.
/// Read from its end: the port first.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, "0"),
    };
    let digits = port.trim_start_matches('0');
    let is_port = digits.bytes().all(|it| it.is_ascii_digit())
        && (digits.len() < 5 || (digits.len() == 5 && digits <= "65535"));
    if let Some(address) = host.strip_prefix('[') {
        let inner = address.strip_suffix(']');
        return is_port && inner.is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let mut rest = host;
    while let Some((before, after)) = rest.split_once('%') {
        let hex = after.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
        if hex < 2 || !is_plain(before) {
            return false;
        }
        rest = &after[2..];
    }
    is_port && !host.is_empty() && is_plain(rest)
}

fn is_plain(name: &str) -> bool {
    let marks = "-._~!$&'()*+;=";
    name.chars().all(|it| it.is_ascii_alphanumeric() || marks.contains(it))
}
