//! The only source of random bytes: resource ids, token ids, secrets, salts and keys.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::distr::{Alphanumeric, SampleString};
use uuid::Builder;
use zeroize::Zeroizing;

/// Length of a token's public id, in characters of `[a-z0-9]`: 62 random bits.
const TOKEN_ID_CHARS: usize = 12;
/// Length of a token's secret, in characters of `[A-Za-z0-9]`: 261 random bits.
const SECRET_CHARS: usize = 44;

/// A new resource id (RFC 7643 section 3.1): a UUID of version 7 for this time, in milliseconds
/// since the epoch, so that new rows stand together in the index.
#[must_use]
pub fn resource(milliseconds: u64) -> String {
    let random: [u8; 10] = rand::random();
    let uuid = Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid();
    uuid.hyphenated().to_string()
}

/// A new public id of a token.
#[must_use]
pub fn token() -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let letter = || char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
    (0..TOKEN_ID_CHARS).map(|_| letter()).collect()
}

/// A new id of a webhook's endpoint.
#[must_use]
pub fn webhook() -> String {
    format!("wh_{}", token())
}

/// A new id of an event that no change has made.
#[must_use]
pub fn test_event() -> String {
    format!("evt_test_{}", token())
}

/// A number that spreads what would otherwise happen at the same moment.
#[must_use]
pub fn jitter() -> u32 {
    rand::random()
}

/// A new secret of a token.
#[must_use]
pub fn secret() -> Zeroizing<String> {
    let mut secret = Zeroizing::new(String::with_capacity(SECRET_CHARS));
    Alphanumeric.append_string(&mut rand::rng(), &mut secret, SECRET_CHARS);
    secret
}

/// A salt for a password hash.
#[must_use]
pub fn salt() -> [u8; 16] {
    rand::random()
}

/// A key for a keyed hash that lives as long as the process.
#[must_use]
pub fn key() -> [u8; 32] {
    rand::random()
}

/// The number of a request: no other one of this process has it, and one of another process with
/// as little chance as two random numbers of 64 bits are the same.
#[must_use]
pub fn request() -> u64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(rand::random()));
    // Each number becomes another one (the last steps of SplitMix64), so that neither their order
    // nor how many there are is told to clients.
    let mut number = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form_and_do_not_repeat() {
        let now = 1_700_000_000_000;
        let (a, b) = (resource(now), resource(now));
        assert_ne!(a, b);
        assert_eq!(a[..13], b[..13], "ids of one millisecond begin alike");
        assert_eq!((a.len(), a.as_bytes()[14]), (36, b'7'));
        assert_eq!(token().len(), 12);
        assert_eq!(secret().len(), 44);
        assert!(secret().bytes().all(|it| it.is_ascii_alphanumeric()));
        assert_ne!(secret(), secret());
    }
}
