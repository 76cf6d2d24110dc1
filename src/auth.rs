//! API tokens: a header in, a [`Principal`] out.
//!
//! A token is `plm_<id>_<secret>`. The file keeps an argon2id hash of the secret, for a stolen
//! file, and a short tag of it, so that guesses never reach argon2. A token that passed is
//! remembered in memory under a keyed hash; what its row says is asked of the store at every
//! request all the same, so that a revocation by another process counts at once.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::http::request::client_of;
use crate::id;
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::open_read::{Need, OpenRead};
use crate::store::tables::org::{Org, OrgKey};
use crate::store::tables::token::{Scope, TAG_BYTES, Token};
use crate::store::transaction::Write;

/// What every token begins with.
const PREFIX: &str = "plm_";
/// Characters at the end of a token that are a checksum of the others: it tells a mistyped token
/// from a wrong one.
const CHECKSUM_CHARS: usize = 6;
/// The longest header value that is looked at, in bytes.
const HEADER_BYTES_MAX: usize = 1024;
/// Verifications that may wait for the one under way; each takes about 20 ms and 19 MiB.
const VERIFICATIONS_WAITING_MAX: usize = 64;

/// How many refusals one client address may collect at once before it is asked to wait.
const REFUSALS_MAX: i64 = 60;
/// How long one refusal counts, in seconds.
const REFUSAL_SECONDS: i64 = 1;
/// Client addresses whose refusals are counted; further ones are not until some are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// A token's whole text. Its `Debug` shows nothing, and dropping it overwrites it.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A token just made.
#[derive(Debug)]
pub struct Issued {
    /// Its row.
    pub token: Token,
    /// Its text, which is shown only once.
    pub secret: Secret,
}

/// Makes a token and puts it into the store.
///
/// # Errors
/// Failures of the store.
pub fn issue(
    store: &Store,
    now: Timestamp,
    org: &Org,
    scope: Scope,
    label: &str,
    expires: Option<Timestamp>,
) -> Result<Issued, Error> {
    let issued = generate(now, org.key, scope, label, expires)?;
    store.write(now, |tx| tx.add_token(&issued.token))?;
    Ok(issued)
}

/// Makes a token that no store knows yet. Takes about 20 ms: its secret is hashed.
///
/// # Errors
/// [`Error::Invalid`] when argon2 has no memory.
pub fn generate(
    now: Timestamp,
    org: OrgKey,
    scope: Scope,
    label: &str,
    expires: Option<Timestamp>,
) -> Result<Issued, Error> {
    let id = id::token();
    let secret = id::secret();
    // The whole capacity at once: a text that grows would leave copies behind.
    let length = PREFIX.len() + id.len() + 1 + secret.len() + CHECKSUM_CHARS;
    let mut text = Zeroizing::new(String::with_capacity(length));
    for part in [PREFIX, &id, "_", &secret] {
        text.push_str(part);
    }
    let check = checksum(&text);
    text.push_str(&check);
    let (_, secret) = parts(&text).ok_or_else(|| Error::Invalid("a new token".to_owned()))?;
    let hash = Argon2::default().hash_password_with_salt(secret.as_bytes(), &id::salt());
    let hash = hash.map_err(|it| Error::Invalid(format!("argon2: {it}")))?;
    let token = Token {
        id,
        org,
        scope,
        label: label.to_owned(),
        hash: hash.to_string(),
        tag: tag(secret),
        created: now,
        expires,
        revoked: None,
        last_used: None,
    };
    Ok(Issued { token, secret: Secret(text) })
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The organisation.
    pub org: Arc<Org>,
    /// The public id of the token.
    pub token: String,
    /// What the token may be used for.
    pub scope: Scope,
}

/// A principal, and the view of the database in which its token was read.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Who asks.
    pub principal: Principal,
    /// The view.
    pub view: OpenRead<'a>,
    /// The number of the last change of the principal's organisation that is in the view, where it
    /// was asked for.
    pub last_change: Option<i64>,
}

/// Why a request has no principal.
#[derive(Debug)]
pub enum Refusal {
    /// No token was sent.
    Missing,
    /// What was sent is no token of plumm.
    Malformed,
    /// The token has a blank or a line break inside: it was copied over the end of a line.
    Broken,
    /// The token's checksum does not match: it was cut or mistyped.
    Mistyped,
    /// There is no such token.
    Wrong,
    /// Support has revoked the token, which was this one's.
    Revoked(Timestamp, Box<Principal>),
    /// The time of the token is over, which was this one's.
    Expired(Timestamp, Box<Principal>),
    /// Too many tokens are being verified at this moment.
    Busy,
    /// The store failed.
    Store(Error),
}

impl Refusal {
    /// Whose token it was, where it was one.
    #[must_use]
    pub fn former(&self) -> Option<&Principal> {
        match self {
            Refusal::Revoked(_, it) | Refusal::Expired(_, it) => Some(it),
            _ => None,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Store(error)
    }
}

/// The verifier of tokens, and what it keeps of them in memory.
pub struct Auth {
    /// Has taken in a key already: what it makes of secrets says nothing of them.
    keyed: Sha256,
    /// The tokens that passed, by id.
    verified: Mutex<HashMap<String, Arc<Verified>>>,
    verifying: Mutex<()>,
    waiting: AtomicUsize,
    /// Until when each client address has refusals that count.
    refused: Mutex<HashMap<IpAddr, Timestamp>>,
}

/// What is remembered of a token that passed.
struct Verified {
    /// The keyed hash of its secret.
    digest: [u8; 32],
    /// When it was last used, in nanoseconds since the epoch; [`UNUSED`] where the file knows it.
    used: AtomicI64,
}

/// Before every use.
const UNUSED: i64 = i64::MIN;

impl Verified {
    /// Remembers that the token was used; [`Auth::write_uses`] writes it. The later time stays when
    /// the clock was set back.
    fn record_use(&self, at: Timestamp) {
        self.used.fetch_max(at.nanoseconds(), Ordering::Relaxed);
    }

    fn used(&self) -> Option<Timestamp> {
        used(self.used.load(Ordering::Relaxed))
    }

    /// The same, once: from then on it is the caller's to write it.
    fn take_use(&self) -> Option<Timestamp> {
        used(self.used.swap(UNUSED, Ordering::Relaxed))
    }
}

fn used(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds != UNUSED).then_some(Timestamp::from_nanoseconds(nanoseconds))
}

impl Default for Auth {
    fn default() -> Auth {
        let mut keyed = Sha256::new();
        // A whole block, so that none of it is hashed again.
        keyed.update(id::key());
        keyed.update(id::key());
        Auth {
            keyed,
            verified: Mutex::default(),
            verifying: Mutex::default(),
            waiting: AtomicUsize::new(0),
            refused: Mutex::default(),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

impl Auth {
    /// When a token was last used: what its row says, or what is not yet written there.
    #[must_use]
    pub fn last_used(&self, token: &Token) -> Option<Timestamp> {
        let verified = lock(&self.verified);
        token.last_used.max(verified.get(&token.id).and_then(|it| it.used()))
    }

    /// Who sent a request with this `Authorization` header.
    ///
    /// # Errors
    /// The [`Refusal`] that says why there is no principal.
    pub fn authenticate(
        &self,
        store: &Store,
        now: Timestamp,
        header: Option<&str>,
    ) -> Result<Principal, Refusal> {
        self.open(store, now, header, Need::TOKEN).map(|it| it.principal)
    }

    /// The same, with the view in which the token's row was read: what the request reads next is as
    /// the database was when its token was valid.
    ///
    /// # Errors
    /// As [`Auth::authenticate`].
    pub fn open<'s>(
        &self,
        store: &'s Store,
        now: Timestamp,
        header: Option<&str>,
        need: Need,
    ) -> Result<Opened<'s>, Refusal> {
        let text = header.map(token_in).unwrap_or(Text::Sent(""));
        let text = text.as_str();
        if text.is_empty() {
            return Err(Refusal::Missing);
        }
        let (id, secret) = parts(text).ok_or_else(|| malformed(text))?;
        let digest = sha256(self.keyed.clone(), secret);
        let known = self.passed(id, &digest);
        let passed = known.is_some();
        let (body, check) = text.split_at(text.len() - CHECKSUM_CHARS);
        // Both come from the client, so the time this takes reveals nothing of any token here.
        if !passed && check != checksum(body) {
            return Err(Refusal::Mistyped);
        }
        let mut open = store.open_read(need)?;
        let found = open.credential(id, need.last_change)?;
        // An unknown token is compared too, so that its refusal takes as long.
        let matches = passed || {
            let known = found.as_ref().map_or(&[0; TAG_BYTES][..], |it| &it.tag);
            bool::from(tag(secret).ct_eq(known))
        };
        let Some(found) = found.filter(|_| matches) else {
            return Err(Refusal::Wrong);
        };
        let (revoked, expires, last_change) = (found.revoked, found.expires, found.last_change);
        let principal =
            Principal { org: Arc::clone(&found.org), token: id.to_owned(), scope: found.scope };
        if let Some(at) = revoked {
            return Err(Refusal::Revoked(at, Box::new(principal)));
        }
        if let Some(at) = expires.filter(|at| *at <= now) {
            return Err(Refusal::Expired(at, Box::new(principal)));
        }
        let Some(known) = known else {
            let hash = open.view()?.token_hash(id)?.ok_or(Refusal::Wrong)?;
            // The verification waits for others and takes long.
            drop(open);
            self.verify(id, secret, digest, &hash)?;
            // Meanwhile the token may have been revoked, so that its row is read once more.
            return self.open(store, now, header, need);
        };
        known.record_use(now);
        Ok(Opened { principal, view: open, last_change })
    }

    /// What is remembered of the token, where the secret with this digest has passed as its own.
    fn passed(&self, id: &str, digest: &[u8; 32]) -> Option<Arc<Verified>> {
        let found = lock(&self.verified).get(id).cloned();
        // An unknown token is compared too, so that its refusal takes as long.
        let known = found.as_ref().map_or(&[0; 32], |it| &it.digest);
        let matches = bool::from(known.ct_eq(digest));
        found.filter(|_| matches)
    }

    /// Records that a client at this address was refused. Returns whether that has happened so
    /// often of late that the client must wait. A request with a valid token never has to wait: it
    /// may come from the same address.
    pub fn refused_too_often(&self, client: IpAddr, now: Timestamp) -> bool {
        let address = client_of(client);
        let mut refused = lock(&self.refused);
        if refused.len() >= ADDRESSES_MAX && !refused.contains_key(&address) {
            refused.retain(|_, until| *until > now);
            if refused.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        let until = refused.entry(address).or_insert(now);
        let next = now.max(*until).plus_seconds(REFUSAL_SECONDS);
        if next > now.plus_seconds(REFUSALS_MAX * REFUSAL_SECONDS) {
            return true;
        }
        *until = next;
        false
    }

    /// Verifies the secret with argon2, once per token and process.
    fn verify(&self, id: &str, secret: &str, digest: [u8; 32], hash: &str) -> Result<(), Refusal> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= VERIFICATIONS_WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Busy);
        }
        let one_at_a_time = lock(&self.verifying);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        // The thread before this one may have verified the same token.
        if self.passed(id, &digest).is_some() {
            return Ok(());
        }
        let proof = Argon2::default().verify_password(secret.as_bytes(), hash);
        proof.map_err(|_| Refusal::Wrong)?;
        let known = Arc::new(Verified { digest, used: AtomicI64::new(UNUSED) });
        lock(&self.verified).insert(id.to_owned(), known);
        drop(one_at_a_time);
        Ok(())
    }

    /// Writes when tokens were last used: once in a while, and at the end of service. No request
    /// waits for it.
    ///
    /// # Errors
    /// Failures of the store; what could not be written is remembered for the next time.
    pub fn write_uses(&self, store: &Store, now: Timestamp) -> Result<(), Error> {
        let used = |(id, it): (&String, &Arc<Verified>)| Some((id.clone(), it.take_use()?));
        let pending: Vec<_> = lock(&self.verified).iter().filter_map(used).collect();
        if pending.is_empty() {
            return Ok(());
        }
        let write = |tx: &Write| pending.iter().try_for_each(|(id, at)| tx.token_used(id, *at));
        let written = store.write(now, write);
        if written.is_err() {
            let verified = lock(&self.verified);
            for (id, at) in &pending {
                if let Some(it) = verified.get(id) {
                    it.record_use(*at);
                }
            }
        }
        written
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The token in an `Authorization` header, in the forms clients send: `Bearer x` in any letter case
/// and also doubled (an administrator pasted the word as well), `Basic` with the token as the
/// password, and the bare token (Okta's "Header" authentication).
fn token_in(header: &str) -> Text<'_> {
    let mut rest = header.trim();
    if rest.len() > HEADER_BYTES_MAX {
        let first = rest.chars().next().map_or(0, char::len_utf8);
        return Text::Sent(&rest[..first]);
    }
    while let Some(inner) = after_scheme(rest, "bearer") {
        rest = inner;
    }
    let Some(encoded) = after_scheme(rest, "basic") else {
        return Text::Sent(rest);
    };
    let bare = encoded.trim_end_matches('=');
    let mut buffer = Zeroizing::new([0; HEADER_BYTES_MAX]);
    let length = Base64::decode(encoded, &mut *buffer).map(<[u8]>::len);
    let length = length.or_else(|_| Base64Unpadded::decode(bare, &mut *buffer).map(<[u8]>::len));
    let decoded = str::from_utf8(&buffer[..length.unwrap_or(0)]).unwrap_or_default();
    let (user, password) = decoded.split_once(':').unwrap_or(("", decoded));
    let token = if user.starts_with(PREFIX) { user } else { password };
    let token = if token.is_empty() { "basic" } else { token.trim() };
    Text::Decoded(Zeroizing::new(token.to_owned()))
}

/// What was sent as a token.
enum Text<'h> {
    /// A part of the header.
    Sent(&'h str),
    /// What a part of it stands for.
    Decoded(Zeroizing<String>),
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        match self {
            Text::Sent(text) => text,
            Text::Decoded(text) => text,
        }
    }
}

fn after_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    let rest = text.get(scheme.len()..)?;
    let parted = rest.is_empty() || rest.starts_with([' ', '\t']);
    (head.eq_ignore_ascii_case(scheme) && parted).then(|| rest.trim_start())
}

/// The public id and the secret of a token's text; the secret includes the checksum.
fn parts(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    // Without a branch for each byte, many are judged at once.
    let plain = |it: &str| it.bytes().fold(true, |all, it| all & it.is_ascii_alphanumeric());
    let long = secret.len() > CHECKSUM_CHARS && secret.len() < HEADER_BYTES_MAX;
    (!id.is_empty() && plain(id) && plain(secret) && long).then_some((id, secret))
}

/// Why a text that does not have the parts of a token is none.
fn malformed(text: &str) -> Refusal {
    // The whole capacity at once: a text that grows would leave copies behind.
    let mut joined = Zeroizing::new(String::with_capacity(text.len()));
    text.split_whitespace().for_each(|it| joined.push_str(it));
    match parts(&joined) {
        Some(_) => Refusal::Broken,
        None => Refusal::Malformed,
    }
}

fn checksum(body: &str) -> String {
    let digest = sha256(Sha256::new(), body);
    digest[..CHECKSUM_CHARS / 2].iter().map(|it| format!("{it:02x}")).collect()
}

fn tag(secret: &str) -> Vec<u8> {
    sha256(Sha256::new(), secret)[..TAG_BYTES].to_vec()
}

/// The hasher overwrites what it holds when it is dropped, so it must not be moved: a move leaves a
/// copy behind. `begun` holds nothing of the text yet.
fn sha256(begun: Sha256, text: &str) -> [u8; 32] {
    let mut hash = begun;
    hash.update(text);
    let mut digest = [0; 32];
    hash.finalize_into_reset((&mut digest).into());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_forms_clients_send() {
        let basic = Base64::encode_string(b"okta:plm_a_b");
        let user = Base64::encode_string(b"plm_a_b:");
        for header in [
            "Bearer plm_a_b",
            "bearer   plm_a_b ",
            "BEARER Bearer plm_a_b",
            "plm_a_b",
            &format!("Basic {basic}"),
            &format!("Basic {}", basic.trim_end_matches('=')),
            &format!("basic {user}"),
        ] {
            assert_eq!(token_in(header).as_str(), "plm_a_b", "{header}");
        }
        for (header, expected) in [
            ("Bearer", ""),
            ("", ""),
            ("non-token", "non-token"),
            ("Basic %%%", "basic"),
            ("bearerplm_a_b", "bearerplm_a_b"),
        ] {
            assert_eq!(token_in(header).as_str(), expected, "{header}");
        }
    }

    #[test]
    fn a_secret_shows_nothing() {
        assert_eq!(format!("{:?}", Secret(Zeroizing::new("plm_a_b".to_owned()))), "Secret");
    }

    #[test]
    fn the_checksum_detects_a_changed_letter() {
        let body = "plm_abc_0123456789";
        assert_eq!(checksum(body).len(), CHECKSUM_CHARS);
        assert_ne!(checksum(body), checksum("plm_abc_0123456788"));
    }
}
