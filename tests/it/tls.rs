//! HTTPS: who gets through the handshake, what those hear who do not, and how certificates change.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use plumm::clock::Clock;
use plumm::server::Server;
use plumm::server::limits::{Deadlines, Limits};
use plumm::server::request::body::BODY_BYTES_MAX;
use plumm::server::tls::certificates::{Certificates, Files};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use crate::harness::{Harness, wait_until};
use crate::socket::push;

pub const GET: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate and its key, as PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

pub fn issue(key: &KeyPair) -> Issued {
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(key).unwrap().pem();
    Issued { certificate, key: key.serialize_pem() }
}

fn new() -> Issued {
    issue(&KeyPair::generate().unwrap())
}

/// A server under TLS with an application of its own.
struct Place {
    harness: Harness,
    certificates: Arc<Certificates>,
    server: Server,
    issued: Issued,
}

impl Place {
    fn new() -> Place {
        Place::with(new(), Limits::default())
    }

    fn with(issued: Issued, limits: Limits) -> Place {
        let harness = Harness::new();
        let files = files(harness.folder.path());
        write(&issued, &files);
        let certificates = Arc::new(Certificates::load(files, Clock::System.now()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (app, shown) = (Arc::clone(&harness.app), Arc::clone(&certificates));
        let server = Server::start_tls(limits, listener, app, shown).unwrap();
        Place { harness, certificates, server, issued }
    }

    /// A place whose deadlines are long, but for those that are changed.
    fn hasty(limits: Limits, change: impl FnOnce(&mut Deadlines)) -> Place {
        let short = Duration::from_millis(100);
        let mut deadlines = Deadlines {
            head: PATIENCE,
            body: PATIENCE,
            write: PATIENCE,
            idle: PATIENCE,
            linger: short,
        };
        change(&mut deadlines);
        Place::with(new(), Limits { deadlines, ..limits })
    }

    fn tcp(&self) -> TcpStream {
        tcp(self.server.local_addr())
    }

    fn connect(&self) -> Client {
        Client::connect(self.server.local_addr(), trusting(&self.issued.certificate)).unwrap()
    }

    #[track_caller]
    fn assert_serves(&self) {
        assert_eq!(self.connect().call(GET).0, 200);
    }
}

fn files(folder: &Path) -> Files {
    Files { certificate: folder.join("cert.pem"), key: folder.join("key.pem") }
}

fn write(issued: &Issued, files: &Files) {
    fs::write(&files.certificate, &issued.certificate).unwrap();
    fs::write(&files.key, &issued.key).unwrap();
}

pub fn tcp(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

/// A client that trusts the last certificate of this PEM alone.
pub fn trusting(pem: &str) -> ClientConfig {
    trusting_with(pem, &[&TLS13, &TLS12])
}

fn trusting_with(
    pem: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::pem_slice_iter(pem.as_bytes()).last().unwrap().unwrap();
    roots.add(root).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// The client's end of a connection.
pub struct Client {
    pub tls: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    pub fn connect(
        address: SocketAddr,
        config: impl Into<Arc<ClientConfig>>,
    ) -> io::Result<Client> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(config.into(), name).unwrap();
        let mut tcp = tcp(address);
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Client { tls: StreamOwned::new(connection, tcp) })
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tls.write_all(bytes.as_ref()).unwrap();
    }

    /// The next answer: its status and its body.
    fn answer(&mut self) -> (u16, String) {
        answer(&mut self.tls)
    }

    pub fn call(&mut self, request: &str) -> (u16, String) {
        self.send(request);
        self.answer()
    }

    /// Asserts that the server says goodbye by the rules of TLS, and nothing else.
    #[track_caller]
    fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        let end = self.tls.read_to_end(&mut rest);
        assert!(end.is_ok() && rest.is_empty(), "{end:?} {rest:?}");
    }
}

pub fn answer(stream: &mut impl Read) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert_eq!(head.matches("\r\nX-Request-Id: ").count(), 1, "{head}");
    let length = head.lines().find_map(|it| it.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
}

/// What comes until the server closes; a reset is a close too.
fn rest(mut tcp: &TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match tcp.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    rest
}

/// What a client of this configuration sends first.
pub fn client_hello(config: ClientConfig) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(config.into(), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let place = Place::new();
    let address = place.server.local_addr();
    for (version, expected) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let config = Arc::new(trusting_with(&place.issued.certificate, &[version]));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = Client::connect(address, Arc::clone(&config)).unwrap();
            assert_eq!(client.tls.conn.protocol_version(), Some(expected));
            assert_eq!(client.tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(client.call(GET).0, 200);
            assert_eq!(client.tls.conn.handshake_kind(), Some(kind));
        }
    }
    // The version of a 1.2 hello stands behind 5 bytes of record and 4 of handshake, and in the
    // extension supported_versions.
    let hello = client_hello(trusting_with(&place.issued.certificate, &[&TLS12]));
    let extension = [0, 43, 0, 3, 2, 3, 3];
    let at = hello.windows(7).position(|it| it == extension).unwrap();
    assert_eq!(hello[9..11], [3, 3]);
    for old in [0, 1, 2] {
        let mut hello = hello.clone();
        (hello[10], hello[at + 6]) = (old, old);
        let mut tcp = place.tcp();
        tcp.write_all(&hello).unwrap();
        // An alert (21) of a fatal kind (2): protocol_version (70).
        let said = rest(&tcp);
        assert_eq!((said[0], &said[5..]), (21, &[2, 70][..]), "3.{old}");
    }
    place.server.stop();
}

#[test]
fn keys_of_every_form_are_read() {
    let rsa = KeyPair::from_pem(include_str!("../data/tls/rsa-4096.pem")).unwrap();
    let generate = |it: &'static SignatureAlgorithm| KeyPair::generate_for(it).unwrap();
    let p256 = generate(&rcgen::PKCS_ECDSA_P256_SHA256);
    // Within PKCS#8, behind so many bytes, is what the older forms hold alone.
    let inner = |key: &KeyPair, from: usize, label: &str| {
        let pem = pem(label, &key.serialized_der()[from..]);
        Issued { key: pem, ..issue(key) }
    };
    for issued in [
        issue(&rsa),
        inner(&rsa, 26, "RSA PRIVATE KEY"),
        issue(&p256),
        inner(&p256, 29, "EC PRIVATE KEY"),
        issue(&generate(&rcgen::PKCS_ECDSA_P384_SHA384)),
        issue(&generate(&rcgen::PKCS_ED25519)),
    ] {
        let place = Place::with(issued, Limits::default());
        for version in [&TLS12, &TLS13] {
            let config = trusting_with(&place.issued.certificate, &[version]);
            let mut client = Client::connect(place.server.local_addr(), config).unwrap();
            assert_eq!(client.call(GET).0, 200);
        }
        place.server.stop();
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", Base64::encode_string(der))
}

#[test]
fn the_whole_chain_is_sent() {
    let names = |it: &str| CertificateParams::new([it.to_owned()]).unwrap();
    let authority = |name: &str| {
        let mut params = names(name);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let (root_params, root_key) = authority("root");
    let (between_params, between_key) = authority("between");
    let root = root_params.self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(root_params, &root_key);
    let between = between_params.signed_by(&between_key, &root_issuer).unwrap();
    let between_issuer = Issuer::new(between_params, &between_key);
    let key = KeyPair::generate().unwrap();
    let leaf = names("localhost").signed_by(&key, &between_issuer).unwrap();
    let certificate = leaf.pem() + &between.pem();
    let issued = Issued { certificate, key: key.serialize_pem() };
    let place = Place::with(issued, Limits::default());
    let address = place.server.local_addr();
    let client = Client::connect(address, trusting(&root.pem())).unwrap();
    assert_eq!(client.tls.conn.peer_certificates().unwrap().len(), 2);
    assert!(Client::connect(address, trusting(&new().certificate)).is_err());
    place.server.stop();
}

#[test]
fn plain_http_is_told_to_use_https() {
    let place = Place::new();
    for request in ["GET /scim/v2/Users HTTP/1.1\r\nHost: h\r\n\r\n", "P", "DELETE /x HTTP/1.0\r\n"]
    {
        let mut tcp = place.tcp();
        tcp.write_all(request.as_bytes()).unwrap();
        let (status, body) = answer(&mut tcp);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["status"]), (400, &Value::from("400")));
        assert!(body["detail"].as_str().unwrap().contains("https://"), "{body}");
        assert_eq!(rest(&tcp), b"");
    }
    place.server.stop();
}

#[test]
fn what_is_no_tls_is_closed() {
    let place = Place::hasty(Limits::default(), |_| {});
    let hello = client_hello(trusting(&place.issued.certificate));
    let half = &hello[..hello.len() / 2];
    let empty_records = [22, 3, 3, 0, 0].repeat(1000);
    let large = [&[22, 3, 1, 255, 255][..], &[0; 70_000]].concat();
    let endless = [&[22, 3, 1, 64, 0, 1, 255, 255, 255][..], &[0; 16_380]].concat();
    for bytes in [
        &[0, 1, 2][..],
        b"\x80\x2e\x01\x03\x01",
        &[21, 3, 3, 0, 2, 1, 0],
        &[22, 0, 0, 0, 0],
        &empty_records,
        &large,
        &endless,
        &[&hello[..], &[23, 3, 3, 0, 5, 1, 2, 3, 4, 5]].concat(),
        &hello.repeat(2),
    ] {
        let mut tcp = place.tcp();
        // The server may have seen enough before all of it is sent.
        let _ = tcp.write_all(bytes);
        rest(&tcp);
    }
    for bytes in [&[][..], &hello[..1], half, &hello] {
        let mut tcp = place.tcp();
        tcp.write_all(bytes).unwrap();
        drop(tcp);
    }
    place.assert_serves();
    place.server.stop();
}

#[test]
fn a_handshake_has_one_deadline_however_many_bytes_arrive() {
    let head = Duration::from_millis(300);
    let place = Place::hasty(Limits::default(), |it| it.head = head);
    let hello = client_hello(trusting(&place.issued.certificate));
    let mut stalled = place.tcp();
    stalled.write_all(&hello[..20]).unwrap();
    let mut silent = place.tcp();
    silent.write_all(&hello).unwrap();
    let mut slow = place.tcp();
    let started = Instant::now();
    let mut bytes = hello.iter();
    while slow.write_all(&[*bytes.next().unwrap()]).is_ok() {
        assert!(started.elapsed() < PATIENCE, "the server waits on");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(rest(&stalled), b"");
    // The server has answered the hello, and then nothing came.
    assert_eq!(rest(&silent)[0], 22);
    place.assert_serves();
    place.server.stop();
}

#[test]
fn a_handshake_may_come_one_byte_at_a_time() {
    let place = Place::new();
    let name = ServerName::try_from("localhost").unwrap();
    let config = Arc::new(trusting(&place.issued.certificate));
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut tcp = place.tcp();
    while connection.is_handshaking() {
        let mut bytes = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut bytes).unwrap();
        }
        for byte in bytes {
            tcp.write_all(&[byte]).unwrap();
        }
        if connection.is_handshaking() {
            connection.read_tls(&mut tcp).unwrap();
            connection.process_new_packets().unwrap();
        }
    }
    let mut client = Client { tls: StreamOwned::new(connection, tcp) };
    assert_eq!(client.call(GET).0, 200);
    place.server.stop();
}

#[test]
fn a_connection_is_kept_and_requests_may_be_pipelined() {
    let place = Place::new();
    let mut client = place.connect();
    for _ in 0..3 {
        assert_eq!(client.call(GET), (200, "{\"status\":\"ok\"}".to_owned()));
    }
    client.send(GET.repeat(50));
    for _ in 0..50 {
        assert_eq!(client.answer().0, 200);
    }
    client.send("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().0, 200);
    client.assert_closed();
    place.server.stop();
}

#[test]
fn locations_are_https() {
    let place = Place::new();
    let user = crate::harness::user("mara@example.com").to_string();
    let request = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: scim.example.com\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n{user}",
        place.harness.token(),
        user.len()
    );
    let (status, body) = place.connect().call(&request);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 201, "{body}");
    let location = body["meta"]["location"].as_str().unwrap();
    assert!(location.starts_with("https://scim.example.com/scim/v2/Users/"), "{location}");
    place.server.stop();
}

#[test]
fn the_largest_body_and_a_large_answer_pass() {
    let place = Place::new();
    let token = place.harness.token();
    let mut client = place.connect();
    client.send(format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: {BODY_BYTES_MAX}\r\n\r\n"
    ));
    client.send(vec![b' '; BODY_BYTES_MAX]);
    assert_eq!(client.answer().0, 400);
    for i in 0..150 {
        place.harness.user(&format!("user{i}@example.com"));
    }
    let target = "/scim/v2/Users?count=150";
    let get = format!("GET {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n");
    let (status, body) = client.call(&get);
    assert_eq!(status, 200);
    assert!(body.len() > 64 * 1024, "it takes several writes");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["Resources"].as_array().unwrap().len(), 150);
    place.server.stop();
}

#[test]
fn the_server_ends_with_close_notify() {
    let idle = Duration::from_millis(100);
    let place = Place::hasty(Limits::default(), |it| it.idle = idle);
    place.connect().assert_closed();
    let mut client = place.connect();
    client.send("GET /healthz HTTP/9.9\r\n\r\n");
    assert_eq!(client.answer().0, 505);
    client.assert_closed();
    // A client's own goodbye behind its request does not cost it the answer.
    let mut client = place.connect();
    client.send(GET);
    client.tls.conn.send_close_notify();
    client.tls.flush().unwrap();
    assert_eq!(client.answer().0, 200);
    client.assert_closed();
    place.server.stop();
}

#[test]
fn many_connections_are_served_at_once() {
    let place = Place::new();
    let mut clients: Vec<Client> = (0..20).map(|_| place.connect()).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(client.call(GET).0, 200)));
        }
    });
    place.server.stop();
}

#[test]
fn a_client_without_a_slot_is_told_so_under_tls() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let place = Place::hasty(limits, |_| {});
    let mut busy = place.connect();
    let held = place.harness.hold_writes();
    busy.send(push(&place.harness, "a@b.c"));
    let metrics = || place.harness.app.metrics().to_text().into_bytes();
    wait_until(|| str::from_utf8(&metrics()).unwrap().contains("plumm_requests_at_work 1\n"));
    let mut client = place.connect();
    assert_eq!(client.answer().0, 503);
    client.assert_closed();
    let mut plain = place.tcp();
    plain.write_all(GET.as_bytes()).unwrap();
    assert_eq!(answer(&mut plain).0, 400);
    drop(held);
    assert_eq!(busy.answer().0, 201);
    place.server.stop();
}

#[test]
fn a_new_certificate_is_for_new_connections_and_drops_none() {
    let place = Place::new();
    let address = place.server.local_addr();
    let mut old = place.connect();
    let renewed = new();
    let now = Clock::System.now();
    let files = files(place.harness.folder.path());
    // Half of a renewal: the certificate is there before its key.
    fs::write(&files.certificate, &renewed.certificate).unwrap();
    place.certificates.check_for_renewal(now);
    place.assert_serves();
    write(&renewed, &files);
    place.certificates.check_for_renewal(now);
    let mut client = Client::connect(address, trusting(&renewed.certificate)).unwrap();
    assert_eq!(client.call(GET).0, 200);
    assert!(Client::connect(address, trusting(&place.issued.certificate)).is_err());
    assert_eq!(old.call(GET).0, 200);
    place.server.stop();
}
