//! A certificate authority of the tests' own, as RFC 8555 has it: strict where a real one is, and
//! staged where a test says so. It connects to the server to look for the answers to its challenges.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

use base64ct::{Base64UrlUnpadded, Encoding};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData,
    SignatureAlgorithm,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::request::CertReq;

const PATIENCE: Duration = Duration::from_secs(20);

/// What is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub content_type: String,
    pub body: String,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            content_type: "application/json".to_owned(),
            body: body.to_string(),
        }
    }

    pub fn problem(status: u16, kind: &str, detail: &str) -> Reply {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        let body = json!({ "type": kind, "detail": detail, "status": status });
        Reply { content_type: "application/problem+json".to_owned(), ..Reply::json(status, &body) }
    }

    pub fn html(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            content_type: "text/html".to_owned(),
            body: "<html><body>Hello</body></html>".to_owned(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

struct Account {
    /// The public key, as a point that is not compressed.
    point: Vec<u8>,
    thumbprint: String,
    contact: Value,
}

struct Order {
    account: usize,
    domains: Vec<String>,
    authorizations: Vec<usize>,
    status: String,
    certificate: Option<usize>,
}

struct Authorization {
    domain: String,
    token: String,
    status: String,
    error: Option<Value>,
}

/// What it knows, and what is staged.
pub struct State {
    nonces: HashSet<String>,
    numbers: u32,
    accounts: Vec<Account>,
    orders: Vec<Order>,
    authorizations: Vec<Authorization>,
    certificates: Vec<String>,
    /// What was asked for, in order.
    pub journal: Vec<String>,
    /// What a client did wrong.
    pub faults: Vec<String>,
    /// What is answered instead, by place.
    pub staged: HashMap<String, VecDeque<Reply>>,
    /// Where no answer is given until it is released.
    pub held: HashSet<String>,
    /// How many nonces are refused.
    pub bad_nonces: u32,
    /// Where it looks for the answers to challenges.
    pub http_port: u16,
    pub tls_port: u16,
    /// When certificates are to be renewed, in seconds from now.
    pub window: Option<(i64, i64)>,
    /// How long they last, in seconds.
    pub life: u64,
    /// Whom they are for instead.
    pub names: Option<String>,
    /// Whether they are for another key.
    pub other_key: bool,
    /// What replaced what.
    pub replaced: Vec<String>,
}

struct Inner {
    base: String,
    issuer: Issuer<'static, KeyPair>,
    between: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// A directory at work.
pub struct Directory {
    inner: Arc<Inner>,
    /// Its URL.
    pub url: String,
    /// The certificate of its root.
    pub root: String,
}

struct Received {
    method: String,
    path: String,
    content_type: String,
    body: Vec<u8>,
}

impl Directory {
    /// One that looks for the answers to challenges at these ports.
    pub fn new(http_port: u16, tls_port: u16) -> Directory {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate().unwrap())
        };
        let ((root, root_key), (between, between_key)) = (authority("root"), authority("between"));
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let signed = between.signed_by(&between_key, &Issuer::new(root, &root_key)).unwrap();
        let state = State {
            nonces: HashSet::new(),
            numbers: 0,
            accounts: Vec::new(),
            orders: Vec::new(),
            authorizations: Vec::new(),
            certificates: Vec::new(),
            journal: Vec::new(),
            faults: Vec::new(),
            staged: HashMap::new(),
            held: HashSet::new(),
            bad_nonces: 0,
            http_port,
            tls_port,
            window: None,
            life: 90 * 24 * 60 * 60,
            names: None,
            other_key: false,
            replaced: Vec::new(),
        };
        let inner = Arc::new(Inner {
            base: base.clone(),
            issuer: Issuer::new(between, between_key),
            between: signed.pem(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let served = Arc::clone(&inner);
        thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let inner = Arc::clone(&served);
                thread::spawn(move || inner.serve(&tcp));
            }
        });
        Directory { inner, url: format!("{base}/directory"), root: root_pem }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }

    /// Answers this instead, once, at this place.
    pub fn stage(&self, place: &str, reply: Reply) {
        self.state().staged.entry(place.to_owned()).or_default().push_back(reply);
    }

    /// Gives no answer at this place until it is released.
    pub fn hold(&self, place: &str) {
        self.state().held.insert(place.to_owned());
    }

    pub fn release(&self) {
        self.state().held.clear();
        self.inner.changed.notify_all();
    }

    /// How often something was asked for.
    pub fn count(&self, what: &str) -> usize {
        self.state().journal.iter().filter(|it| it.starts_with(what)).count()
    }

    #[track_caller]
    pub fn wait_for(&self, what: &str, times: usize) {
        let begun = std::time::Instant::now();
        while self.count(what) < times {
            assert!(begun.elapsed() < PATIENCE, "no {what}: {:?}", self.state().journal);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asserts that each request was as RFC 8555 has it.
    #[track_caller]
    pub fn assert_no_faults(&self) {
        let state = self.state();
        assert!(state.faults.is_empty(), "{:?}\n{:?}", state.faults, state.journal);
    }

    pub fn accounts(&self) -> usize {
        self.state().accounts.len()
    }

    pub fn contact(&self) -> Value {
        self.state().accounts.last().unwrap().contact.clone()
    }

    pub fn issued(&self) -> usize {
        self.state().certificates.len()
    }
}

impl Inner {
    fn serve(self: &Arc<Inner>, tcp: &TcpStream) {
        let Some(received) = read(tcp) else { return };
        let place = received.path.split('/').nth(1).unwrap_or_default().to_owned();
        let mut reply = self.handle(&received, &place);
        let mut state = self.state.lock().unwrap();
        while state.held.contains(&place) {
            state = self.changed.wait(state).unwrap();
        }
        if place != "directory" && place != "renewal" {
            let nonce = state.nonce();
            reply = reply.with("Replay-Nonce", &nonce);
        }
        drop(state);
        let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
        text += &format!("Content-Type: {}\r\n", reply.content_type);
        for (name, value) in &reply.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n", reply.body.len());
        if received.method != "HEAD" {
            text += &reply.body;
        }
        let mut tcp = tcp;
        let _ = tcp.write_all(text.as_bytes());
    }

    fn handle(self: &Arc<Inner>, received: &Received, place: &str) -> Reply {
        let mut state = self.state.lock().unwrap();
        let staged = |state: &mut State| state.staged.get_mut(place).and_then(VecDeque::pop_front);
        state.journal.push(received.path[1..].to_owned());
        match (received.method.as_str(), place) {
            ("GET", "directory") => staged(&mut state).unwrap_or_else(|| self.offered()),
            ("HEAD", "nonce") => {
                staged(&mut state).unwrap_or_else(|| Reply::json(200, &Value::Null))
            }
            ("GET", "renewal") => staged(&mut state).unwrap_or_else(|| state.suggested()),
            ("POST", _) => {
                let (account, payload) = match self.verified(&mut state, received, place) {
                    Ok(it) => it,
                    Err(reply) => return reply,
                };
                if let Some(it) = staged(&mut state) {
                    return it;
                }
                self.act(&mut state, received, place, account, &payload)
            }
            _ => {
                state.faults.push(format!("{} {}", received.method, received.path));
                Reply::problem(405, "malformed", "Not so.")
            }
        }
    }

    fn offered(&self) -> Reply {
        let at = |it: &str| format!("{}/{it}", self.base);
        Reply::json(
            200,
            &json!({
                "newNonce": at("nonce"), "newAccount": at("new-account"),
                "newOrder": at("new-order"), "renewalInfo": at("renewal"),
                "revokeCert": at("revoke"), "keyChange": at("key-change"),
                "meta": { "termsOfService": "https://ca.example/terms" },
            }),
        )
    }

    /// The account that has signed a request, none for one that makes an account, and what it says
    /// (RFC 8555 section 6.2).
    fn verified(
        &self,
        state: &mut State,
        received: &Received,
        place: &str,
    ) -> Result<(Option<usize>, Value), Reply> {
        let malformed = |state: &mut State, what: &str| {
            state.faults.push(format!("{}: {what}", received.path));
            Reply::problem(400, "malformed", what)
        };
        if received.content_type != "application/jose+json" {
            return Err(malformed(state, "the content type"));
        }
        let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let part = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let decoded = |text: &str| Base64UrlUnpadded::decode_vec(text).unwrap_or_default();
        let header: Value =
            serde_json::from_slice(&decoded(&part("protected"))).unwrap_or_default();
        if body.as_object().is_none_or(|it| it.len() != 3) {
            return Err(malformed(state, "not three members"));
        }
        if header["alg"] != "ES256" || header["url"] != format!("{}{}", self.base, received.path) {
            return Err(malformed(state, "the algorithm or the URL"));
        }
        let nonce = header["nonce"].as_str().unwrap_or_default();
        if !state.nonces.remove(nonce) {
            return Err(malformed(state, "a nonce that was not given, or used before"));
        }
        if state.bad_nonces > 0 {
            state.bad_nonces -= 1;
            return Err(Reply::problem(400, "badNonce", "Too old."));
        }
        let makes_account = place == "new-account";
        let (account, point) = match (header.get("jwk"), header["kid"].as_str()) {
            (Some(jwk), None) if makes_account => {
                let coordinate = |name: &str| decoded(jwk[name].as_str().unwrap_or_default());
                if jwk["kty"] != "EC" || jwk["crv"] != "P-256" || jwk.get("d").is_some() {
                    return Err(malformed(state, "the key"));
                }
                (None, [vec![4], coordinate("x"), coordinate("y")].concat())
            }
            (None, Some(kid)) if !makes_account => {
                let number = kid.strip_prefix(&format!("{}/account/", self.base));
                let number = number.and_then(|it| it.parse::<usize>().ok());
                match number.and_then(|it| Some((it, state.accounts.get(it)?))) {
                    Some((number, it)) => (Some(number), it.point.clone()),
                    None => {
                        return Err(Reply::problem(400, "accountDoesNotExist", "Who is that?"));
                    }
                }
            }
            _ => return Err(malformed(state, "jwk and kid")),
        };
        let signed = format!("{}.{}", part("protected"), part("payload"));
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point);
        if public.verify(signed.as_bytes(), &decoded(&part("signature"))).is_err() {
            return Err(malformed(state, "the signature"));
        }
        let payload = match part("payload").as_str() {
            "" => Value::Null,
            some => serde_json::from_slice(&decoded(some)).unwrap_or(Value::Bool(false)),
        };
        if makes_account {
            let text = |it: &[u8]| Base64UrlUnpadded::encode_string(it);
            let (x, y) = (text(&point[1..33]), text(&point[33..]));
            let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
            let thumbprint = text(&Sha256::digest(jwk));
            let known = state.accounts.iter().position(|it| it.point == point);
            let number = known.unwrap_or(state.accounts.len());
            return Ok((
                Some(number),
                json!({ "payload": payload, "thumbprint": thumbprint,
                "point": text(&point) }),
            ));
        }
        Ok((account, payload))
    }

    fn act(
        self: &Arc<Inner>,
        state: &mut State,
        received: &Received,
        place: &str,
        account: Option<usize>,
        payload: &Value,
    ) -> Reply {
        let at = |of: &str, number: usize| format!("{}/{of}/{number}", self.base);
        let account = account.unwrap();
        let mut parts = received.path.split('/').skip(2);
        let number: usize = parts.next().and_then(|it| it.parse().ok()).unwrap_or(usize::MAX);
        let reads = payload.is_null();
        match place {
            "new-account" => {
                let asked = &payload["payload"];
                if asked["termsOfServiceAgreed"] != true {
                    return Reply::problem(403, "userActionRequired", "Agree first.");
                }
                if account == state.accounts.len() {
                    let point = payload["point"].as_str().unwrap();
                    state.accounts.push(Account {
                        point: Base64UrlUnpadded::decode_vec(point).unwrap(),
                        thumbprint: payload["thumbprint"].as_str().unwrap().to_owned(),
                        contact: asked["contact"].clone(),
                    });
                }
                let body = json!({ "status": "valid" });
                Reply::json(201, &body).with("Location", &at("account", account))
            }
            "account" => {
                state.accounts[account].contact = payload["contact"].clone();
                Reply::json(200, &json!({ "status": "valid" }))
            }
            "new-order" => {
                let identifiers = payload["identifiers"].as_array().cloned().unwrap_or_default();
                let of = |it: &Value| it["value"].as_str().unwrap_or_default().to_owned();
                let domains: Vec<String> = identifiers.iter().map(of).collect();
                if let Some(it) = payload["replaces"].as_str() {
                    state.replaced.push(it.to_owned());
                }
                let mut authorizations = Vec::new();
                for domain in &domains {
                    let token = format!("token-{}", state.nonce());
                    let (domain, status) = (domain.clone(), "pending".to_owned());
                    authorizations.push(state.authorizations.len());
                    state.authorizations.push(Authorization { domain, token, status, error: None });
                }
                let number = state.orders.len();
                let status = "pending".to_owned();
                let certificate = None;
                state.orders.push(Order { account, domains, authorizations, status, certificate });
                self.order(state, number).with("Location", &at("order", number))
            }
            "order" if reads => self.order(state, number),
            "authz" if reads => self.authorization(state, number),
            "challenge" if payload == &json!({}) => {
                let kind = parts.next().unwrap().to_owned();
                let inner = Arc::clone(self);
                let thumbprint = state.accounts[account].thumbprint.clone();
                thread::spawn(move || inner.validate(number, &kind, &thumbprint));
                Reply::json(200, &json!({ "status": "processing" }))
            }
            "finalize" => {
                let request = payload["csr"].as_str().unwrap_or_default();
                let request = Base64UrlUnpadded::decode_vec(request).unwrap_or_default();
                match self.issue(state, number, &request) {
                    Ok(()) => self.order(state, number),
                    Err(words) => {
                        state.faults.push(words.clone());
                        Reply::problem(403, "badCSR", &words)
                    }
                }
            }
            "cert" if reads => Reply {
                status: 200,
                headers: Vec::new(),
                content_type: "application/pem-certificate-chain".to_owned(),
                body: state.certificates[number].clone(),
            },
            _ => {
                state.faults.push(format!("{} {payload}", received.path));
                Reply::problem(400, "malformed", "What?")
            }
        }
    }

    fn order(&self, state: &mut State, number: usize) -> Reply {
        let State { orders, authorizations, .. } = state;
        let Some(order) = orders.get_mut(number) else {
            return Reply::problem(404, "malformed", "No such order.");
        };
        let has = |it: &usize, status: &str| authorizations[*it].status == status;
        if order.status == "pending" {
            if order.authorizations.iter().all(|it| has(it, "valid")) {
                order.status = "ready".to_owned();
            } else if order.authorizations.iter().any(|it| has(it, "invalid")) {
                order.status = "invalid".to_owned();
            }
        }
        let at = |of: &str, number: usize| format!("{}/{of}/{number}", self.base);
        let mut body = json!({
            "status": order.status,
            "identifiers": order.domains.iter()
                .map(|it| json!({ "type": "dns", "value": it })).collect::<Value>(),
            "authorizations": order.authorizations.iter()
                .map(|it| at("authz", *it)).collect::<Value>(),
            "finalize": at("finalize", number),
        });
        if let Some(it) = order.certificate {
            body["certificate"] = at("cert", it).into();
        }
        Reply::json(200, &body)
    }

    fn authorization(&self, state: &State, number: usize) -> Reply {
        let it = &state.authorizations[number];
        let challenges = ["dns-01", "http-01", "tls-alpn-01"].map(|kind| {
            let url = format!("{}/challenge/{number}/{kind}", self.base);
            let mut one =
                json!({ "type": kind, "url": url, "token": it.token, "status": it.status });
            if let Some(error) = &it.error {
                one["error"] = error.clone();
            }
            one
        });
        Reply::json(
            200,
            &json!({
                "status": it.status, "challenges": challenges,
                "identifier": { "type": "dns", "value": it.domain },
            }),
        )
    }

    fn validate(&self, number: usize, kind: &str, thumbprint: &str) {
        let mut state = self.state.lock().unwrap();
        while state.held.contains("validation") {
            state = self.changed.wait(state).unwrap();
        }
        let (domain, token) = {
            let it = &state.authorizations[number];
            (it.domain.clone(), it.token.clone())
        };
        let (http, tls) = (state.http_port, state.tls_port);
        drop(state);
        let answer = format!("{token}.{thumbprint}");
        let seen = match kind {
            "http-01" => http_01(http, &domain, &token, &answer),
            _ => tls_alpn_01(tls, &domain, &answer),
        };
        let mut state = self.state.lock().unwrap();
        let staged = state.staged.get_mut("validation").and_then(VecDeque::pop_front);
        let error = match (staged, seen) {
            (Some(it), _) => Some(serde_json::from_str(&it.body).unwrap()),
            (None, Ok(())) => None,
            (None, Err((kind, detail))) => {
                Some(serde_json::from_str(&Reply::problem(400, kind, &detail).body).unwrap())
            }
        };
        state.journal.push(format!("validated {kind} {}", error.is_none()));
        let it = &mut state.authorizations[number];
        it.status = if error.is_none() { "valid" } else { "invalid" }.to_owned();
        it.error = error;
    }

    fn issue(&self, state: &mut State, number: usize, request: &[u8]) -> Result<(), String> {
        let read = CertReq::from_der(request).map_err(|it| it.to_string())?;
        let signed = read.info.to_der().unwrap();
        let key = read.info.public_key.subject_public_key.raw_bytes();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
        public.verify(&signed, read.signature.raw_bytes()).map_err(|_| "its signature")?;
        let order = &state.orders[number];
        if order.status != "ready" {
            return Err(format!("the order is {}", order.status));
        }
        let names = |it: &String| request.windows(it.len()).any(|of| of == it.as_bytes());
        if !order.domains.iter().all(names) {
            return Err("its names".to_owned());
        }
        if state.accounts[order.account].point[1..] == key[1..] {
            return Err("the key of the account".to_owned());
        }
        let names = state.names.clone().map_or(order.domains.clone(), |it| vec![it]);
        let mut params = CertificateParams::new(names).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + (now - Duration::from_secs(2));
        params.not_after = epoch + (now + Duration::from_secs(state.life));
        params.use_authority_key_identifier_extension = true;
        let leaf = match state.other_key {
            true => params.signed_by(&KeyPair::generate().unwrap(), &self.issuer),
            false => params.signed_by(&Requested(key.to_vec()), &self.issuer),
        };
        state.certificates.push(leaf.unwrap().pem() + &self.between);
        let order = &mut state.orders[number];
        order.certificate = Some(state.certificates.len() - 1);
        order.status = "valid".to_owned();
        Ok(())
    }
}

/// The key of a request, an ECDSA key on P-256.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl State {
    fn nonce(&mut self) -> String {
        self.numbers += 1;
        let nonce = format!("n{}", self.numbers);
        self.nonces.insert(nonce.clone());
        nonce
    }

    fn suggested(&self) -> Reply {
        let Some((start, end)) = self.window else {
            return Reply::problem(404, "malformed", "Nothing is suggested.");
        };
        let now = plumm::clock::Clock::System.now();
        let at = |it: i64| now.plus_seconds(it).to_string();
        let window = json!({ "start": at(start), "end": at(end) });
        Reply::json(200, &json!({ "suggestedWindow": window })).with("Retry-After", "3600")
    }
}

fn read(tcp: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(tcp);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut content_type) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-type" => content_type = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { method, path, content_type, body })
}

type Seen = Result<(), (&'static str, String)>;

/// RFC 8555 section 8.3.
fn http_01(port: u16, domain: &str, token: &str, answer: &str) -> Seen {
    let connection = |it: std::io::Error| ("connection", format!("127.0.0.1:{port}: {it}"));
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).map_err(connection)?;
    let path = format!("/.well-known/acme-challenge/{token}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).map_err(connection)?;
    let mut text = String::new();
    tcp.read_to_string(&mut text).map_err(connection)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    match head.starts_with("HTTP/1.1 200 ") && body == answer {
        true => Ok(()),
        false => Err(("unauthorized", format!("Invalid response from http://{domain}{path}"))),
    }
}

/// RFC 8737 section 3.
fn tls_alpn_01(port: u16, domain: &str, answer: &str) -> Seen {
    let connection = |it: std::io::Error| ("connection", format!("127.0.0.1:{port}: {it}"));
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).map_err(connection)?;
    let crypto = Arc::new(provider::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&crypto))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(crypto)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = ServerName::try_from(domain.to_owned()).unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).map_err(|it| ("tls", it.to_string()))?;
    }
    if tls.alpn_protocol() != Some(b"acme-tls/1") {
        return Err(("unauthorized", "another protocol".to_owned()));
    }
    let shown = Certificate::from_der(&tls.peer_certificates().unwrap()[0]).unwrap();
    let tbs = shown.tbs_certificate();
    let (_, names) = tbs.get_extension::<SubjectAltName>().unwrap().unwrap();
    let is_domain =
        |it: &GeneralName| matches!(it, GeneralName::DnsName(it) if it.to_string() == domain);
    if names.0.len() != 1 || !names.0.iter().all(is_domain) {
        return Err(("unauthorized", "another name".to_owned()));
    }
    let hash = [&[4, 32], &Sha256::digest(answer)[..]].concat();
    let mut extensions = tbs.extensions().unwrap().iter();
    let found = extensions.find(|it| it.extn_id.to_string() == "1.3.6.1.5.5.7.1.31");
    match found.is_some_and(|it| it.critical && it.extn_value.as_bytes() == hash) {
        true => Ok(()),
        false => Err(("unauthorized", "not the acmeIdentifier".to_owned())),
    }
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // rustls refuses to read a certificate with an extension that it does not know.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
