//! The key of the account and what it signs: JWS (RFC 7515) with ES256, as RFC 8555 section 6.2
//! has it.

use base64ct::{Base64UrlUnpadded, Encoding};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// How long each coordinate of a point of P-256 is, in bytes.
const COORDINATE_BYTES: usize = 32;

/// The key of an account: ECDSA on P-256.
pub struct AccountKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

/// How a request says who has signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer<'a> {
    /// By the key itself, where the directory does not know it yet.
    Jwk,
    /// By the URL of the account.
    Kid(&'a str),
}

impl AccountKey {
    /// A new key; `None` when the system has no random bytes.
    #[must_use]
    pub fn generate() -> Option<AccountKey> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).ok()?;
        AccountKey::from_pkcs8(made.as_ref())
    }

    /// The key of these bytes, if they are one.
    #[must_use]
    pub fn from_pkcs8(bytes: &[u8]) -> Option<AccountKey> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, bytes, &SystemRandom::new()).ok()?;
        Some(AccountKey { pair, pkcs8: Zeroizing::new(bytes.to_vec()) })
    }

    /// The key as PKCS#8.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// What a CA puts into a challenge to know again who answers it (RFC 8555 section 8.1).
    #[must_use]
    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    /// The coordinates of the public key, as JSON has them.
    fn point(&self) -> [String; 2] {
        // Behind a first byte that says: not compressed.
        let point = self.pair.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(COORDINATE_BYTES.min(point.len()));
        [x, y].map(Base64UrlUnpadded::encode_string)
    }

    fn jwk(&self) -> Value {
        let [x, y] = self.point();
        json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y })
    }

    /// RFC 7638: a hash of the members that make the key, in the order of their names.
    fn thumbprint(&self) -> String {
        let [x, y] = self.point();
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Base64UrlUnpadded::encode_string(&Sha256::digest(text))
    }

    /// The body of a POST to this URL (RFC 8555 section 6.2); without a payload it is a POST-as-GET
    /// (section 6.3). `None` when the system has no random bytes.
    #[must_use]
    pub fn sign(
        &self,
        signer: Signer<'_>,
        nonce: &str,
        url: &str,
        payload: Option<&Value>,
    ) -> Option<String> {
        let (name, value) = match signer {
            Signer::Jwk => ("jwk", self.jwk()),
            Signer::Kid(it) => ("kid", Value::from(it)),
        };
        let header = json!({ "alg": "ES256", "nonce": nonce, "url": url, name: value });
        let protected = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
        let payload = payload.map_or_else(String::new, |it| {
            Base64UrlUnpadded::encode_string(it.to_string().as_bytes())
        });
        let signed = format!("{protected}.{payload}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        let signature = Base64UrlUnpadded::encode_string(signature.as_ref());
        let whole = json!({ "protected": protected, "payload": payload, "signature": signature });
        Some(whole.to_string())
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn decoded(text: &Value) -> Vec<u8> {
        Base64UrlUnpadded::decode_vec(text.as_str().unwrap()).unwrap()
    }

    #[test]
    fn what_is_signed_names_its_url_nonce_and_signer_and_can_be_verified() {
        let key = AccountKey::generate().unwrap();
        let payload = json!({ "onlyReturnExisting": true });
        for (signer, payload) in
            [(Signer::Jwk, Some(&payload)), (Signer::Kid("https://ca.example/a/1"), None)]
        {
            let text = key.sign(signer, "nonce", "https://ca.example/x", payload).unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
            let header: Value = serde_json::from_slice(&decoded(&body["protected"])).unwrap();
            assert_eq!(header["alg"], "ES256");
            assert_eq!(
                (&header["nonce"], &header["url"]),
                (&json!("nonce"), &json!("https://ca.example/x"))
            );
            assert_ne!(header.get("jwk").is_some(), header.get("kid").is_some(), "one of them");
            match payload {
                Some(it) => assert_eq!(decoded(&body["payload"]), it.to_string().into_bytes()),
                None => assert_eq!(body["payload"], ""),
            }
            let text = |name: &str| body[name].as_str().unwrap();
            let signed = format!("{}.{}", text("protected"), text("payload"));
            let public = key.pair.public_key().as_ref();
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
            public.verify(signed.as_bytes(), &decoded(&body["signature"])).unwrap();
        }
    }

    #[test]
    fn a_key_is_the_same_when_it_is_read_again() {
        let key = AccountKey::generate().unwrap();
        let again = AccountKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(key.jwk(), again.jwk());
        assert_eq!(key.key_authorization("t"), again.key_authorization("t"));
        assert!(AccountKey::from_pkcs8(b"no key").is_none());
        let [x, y] = key.point().map(|it| Base64UrlUnpadded::decode_vec(&it).unwrap());
        assert_eq!((x.len(), y.len()), (32, 32));
    }

    /// The key of RFC 7515 appendix A.3, whose thumbprint is computed from the text of RFC 7638
    /// section 3.2 by hand.
    #[test]
    fn the_thumbprint_is_the_hash_of_the_members_in_their_order() {
        let (x, y) = (
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        );
        let private = Base64UrlUnpadded::decode_vec("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI");
        let [x_bytes, y_bytes] = [x, y].map(|it| Base64UrlUnpadded::decode_vec(it).unwrap());
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &private.unwrap(),
            &[&[4], &x_bytes[..], &y_bytes[..]].concat(),
            &SystemRandom::new(),
        );
        let key = AccountKey { pair: pair.unwrap(), pkcs8: Zeroizing::default() };
        assert_eq!(key.jwk(), json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y }));
        let hashed = format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}");
        let hash = Base64UrlUnpadded::encode_string(&Sha256::digest(hashed));
        assert_eq!(key.thumbprint(), hash);
        assert_eq!(key.key_authorization("token"), format!("token.{hash}"));
    }
}
