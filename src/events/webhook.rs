//! The body and the signature of a webhook, as Standard Webhooks 1.0 has them.

use std::fmt;

use base64ct::{Base64, Encoding};
use ring::signature::{Ed25519KeyPair, KeyPair};
use ring::{hmac, signature};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::scim::datetime::Timestamp;

/// The length of every key, in bytes.
pub const KEY_BYTES: usize = 32;
/// The type of the event that `plumm webhook test` sends.
pub const TEST: &str = "webhook.test";
/// The type of the event in the place of those that are not kept any more.
pub const GAP: &str = "webhook.gap";

/// How webhooks are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA256: both sides have the same secret.
    Hmac,
    /// Ed25519: the receiver has the public key alone.
    Ed25519,
}

impl Algorithm {
    /// Every algorithm with its word, in commands and in the file.
    pub const ALL: [(Algorithm, &'static str); 2] =
        [(Algorithm::Hmac, "hmac"), (Algorithm::Ed25519, "ed25519")];

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Algorithm::ALL.iter().find(|(it, _)| *it == self).map_or("", |(_, word)| word)
    }

    /// The algorithm of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Algorithm> {
        Algorithm::ALL.iter().find(|(_, it)| *it == word).map(|(it, _)| *it)
    }
}

/// A key that signs.
pub enum Key {
    /// The secret, and the same made ready.
    Hmac(Zeroizing<Vec<u8>>, hmac::Key),
    /// Both halves, made from the seed.
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::Hmac(..) => "Key(hmac)",
            Key::Ed25519(_) => "Key(ed25519)",
        })
    }
}

impl Key {
    /// The key of these bytes: the secret of HMAC, the seed of Ed25519. `None` when they are not
    /// [`KEY_BYTES`].
    #[must_use]
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Key> {
        if bytes.len() != KEY_BYTES {
            return None;
        }
        match algorithm {
            Algorithm::Hmac => {
                let ready = hmac::Key::new(hmac::HMAC_SHA256, bytes);
                Some(Key::Hmac(Zeroizing::new(bytes.to_vec()), ready))
            }
            Algorithm::Ed25519 => Ed25519KeyPair::from_seed_unchecked(bytes).ok().map(Key::Ed25519),
        }
    }

    /// What the receiver verifies with: the secret, or the public key.
    #[must_use]
    pub fn for_receiver(&self) -> Zeroizing<String> {
        Zeroizing::new(match self {
            Key::Hmac(secret, _) => format!("whsec_{}", Base64::encode_string(secret)),
            Key::Ed25519(pair) => {
                format!("whpk_{}", Base64::encode_string(pair.public_key().as_ref()))
            }
        })
    }

    fn sign(&self, text: &[u8]) -> String {
        match self {
            Key::Hmac(_, key) => {
                format!("v1,{}", Base64::encode_string(hmac::sign(key, text).as_ref()))
            }
            Key::Ed25519(pair) => {
                let signed: signature::Signature = pair.sign(text);
                format!("v1a,{}", Base64::encode_string(signed.as_ref()))
            }
        }
    }
}

/// The field `webhook-signature` of an attempt at this time, in seconds since the epoch: one
/// signature for each key.
#[must_use]
pub fn signatures<'a>(
    keys: impl IntoIterator<Item = &'a Key>,
    id: &str,
    seconds: i64,
    body: &str,
) -> String {
    let text = format!("{id}.{seconds}.{body}");
    let signed = keys.into_iter().map(|it| it.sign(text.as_bytes()));
    signed.collect::<Vec<_>>().join(" ")
}

/// The body that carries an event. `event` is as the change feed tells it.
#[must_use]
pub fn body(event: &Value) -> String {
    format!("{{\"type\":{},\"timestamp\":{},\"data\":{event}}}", event["type"], event["time"])
}

/// The event that `plumm webhook test` sends to an endpoint.
#[must_use]
pub fn test_event(id: &str, time: Timestamp, webhook: &str) -> Value {
    json!({ "id": id, "type": TEST, "time": time.to_string(), "webhookId": webhook })
}

/// The event in the place of changes that are not kept any more: those behind number `after`, up to
/// number `trimmed`.
#[must_use]
pub fn gap_event(time: Timestamp, after: i64, trimmed: i64) -> Value {
    json!({
        "id": format!("evt_gap_{after}_{trimmed}"),
        "type": GAP,
        "time": time.to_string(),
        "after": after,
        "sequence": trimmed,
    })
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECONDS: i64 = 1_614_265_330;

    #[test]
    fn hmac_is_as_published_with_other_libraries() {
        // The example that the libraries of Standard Webhooks are tested with.
        let secret = Base64::decode_vec("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key =
            Key::Hmac(Zeroizing::new(secret.clone()), hmac::Key::new(hmac::HMAC_SHA256, &secret));
        let signed = signatures([&key], ID, SECONDS, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs_and_its_receiver_verifies() {
        let hmac_key = Key::new(Algorithm::Hmac, &[7; KEY_BYTES]).unwrap();
        let pair = Key::new(Algorithm::Ed25519, &[9; KEY_BYTES]).unwrap();
        let signed = signatures([&hmac_key, &pair], ID, SECONDS, "{}");
        let text = format!("{ID}.{SECONDS}.{{}}");
        let (first, second) = signed.split_once(' ').unwrap();
        let first = Base64::decode_vec(first.strip_prefix("v1,").unwrap()).unwrap();
        let secret = hmac_key.for_receiver();
        let secret = Base64::decode_vec(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        hmac::verify(&key, text.as_bytes(), &first).unwrap();
        let second = Base64::decode_vec(second.strip_prefix("v1a,").unwrap()).unwrap();
        let public = pair.for_receiver();
        let public = Base64::decode_vec(public.strip_prefix("whpk_").unwrap()).unwrap();
        assert_eq!(public.len(), 32);
        let public = UnparsedPublicKey::new(&ED25519, public);
        public.verify(text.as_bytes(), &second).unwrap();
        assert!(public.verify(b"another text", &second).is_err());
        assert_eq!(format!("{hmac_key:?} {pair:?}"), "Key(hmac) Key(ed25519)");
    }

    #[test]
    fn ed25519_is_as_rfc_8032_has_it() {
        // Section 7.1, test 1: the public key of a seed.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
            0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
            0x1c, 0xae, 0x7f, 0x60,
        ];
        let key = Key::new(Algorithm::Ed25519, &seed).unwrap();
        let public = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        assert_eq!(key.for_receiver().as_str(), public);
        for bytes in [0, 31, 33] {
            for (algorithm, _) in Algorithm::ALL {
                assert!(Key::new(algorithm, &vec![1; bytes]).is_none(), "{bytes}");
            }
        }
    }

    #[test]
    fn a_body_says_what_happened_when_and_carries_the_event() {
        let event =
            json!({"id": "evt_1_0", "type": "user.created", "time": "2026-01-31T08:00:00Z"});
        let body: Value = serde_json::from_str(&body(&event)).unwrap();
        let expected =
            json!({"type": "user.created", "timestamp": "2026-01-31T08:00:00Z", "data": event});
        assert_eq!(body, expected);
        let now = Timestamp::parse("2026-01-31T08:00:00Z").unwrap();
        for event in [test_event("evt_test_x", now, "wh_x"), gap_event(now, 3, 9)] {
            // The signed text is joined with full stops.
            assert!(!event["id"].as_str().unwrap().contains('.'));
            assert!(super::body(&event).contains("\"timestamp\":\"2026-01-31"));
        }
    }
}
