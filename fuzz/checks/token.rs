//! Any text as an `Authorization` header: it is taken for the one token there is exactly when it
//! carries that token, and a token with one character changed is refused before the file is read.

use std::sync::LazyLock;

use plumm::auth::{Auth, Principal, Refusal};
use plumm::scim::datetime::Timestamp;
use plumm::store::Store;
use plumm::store::open::Open;
use plumm::store::tables::org::OrgSettings;
use plumm::store::tables::token::{Scope, Token};

/// Made for this file; it opens nothing else.
const TOKEN: &str = "plm_t8e3yw943t2w_xLiIVgymcXiri0fbjFQOTZ7u9KOlKqwlqSCQBA5FBgJCb0405d";
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$w1BJk93fpYsHb6CaYcF5sw\
                    $d5pHPW6UcJJuBsd+gniInc2CSExD+L5niHVDlTsvJtE";
const TAG: &[u8] = b"0\x83\xbe\xc4\xd2\x06\x9aD";
/// The longest header that is looked at.
const HEADER_BYTES_MAX: usize = 1024;

static NOW: LazyLock<Timestamp> =
    LazyLock::new(|| Timestamp::parse("2026-01-31T08:00:00Z").unwrap());
static AUTH: LazyLock<Auth> = LazyLock::new(Auth::default);
static STORE: LazyLock<Store> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("plumm-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store = Store::open(&folder.join("plumm.db"), Open::Create).unwrap();
    store
        .write(*NOW, |tx| {
            let org = tx.add_org("acme", true, OrgSettings::default())?;
            tx.add_token(&Token {
                id: TOKEN.split('_').nth(1).unwrap().to_owned(),
                org: org.key,
                scope: Scope::Scim,
                label: String::new(),
                hash: HASH.to_owned(),
                tag: TAG.to_vec(),
                created: *NOW,
                expires: None,
                revoked: None,
                last_used: None,
            })
        })
        .unwrap();
    // The connection that reads is open now and goes on to be used; nothing is left behind.
    store.read(|tx| tx.token("")).unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    store
});

pub fn check(bytes: &[u8]) {
    let Ok(header) = str::from_utf8(bytes) else {
        return;
    };
    match authenticate(header) {
        Ok(principal) => {
            assert!(carries(header), "{header:?}");
            assert_eq!(principal.org.name, "acme");
        }
        Err(
            Refusal::Missing
            | Refusal::Malformed
            | Refusal::Broken
            | Refusal::Mistyped
            | Refusal::Wrong,
        ) => {
            assert!(!is_plain(header), "{header:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
    if let [place, character, ..] = bytes {
        let mut changed = TOKEN.as_bytes().to_vec();
        let place = usize::from(*place) % changed.len();
        if character.is_ascii_graphic() && changed[place] != *character {
            changed[place] = *character;
            let changed = String::from_utf8(changed).unwrap();
            let refused = authenticate(&format!("Bearer {changed}"));
            let early = matches!(refused, Err(Refusal::Malformed | Refusal::Mistyped));
            assert!(early, "{changed}: {refused:?}");
        }
    }
}

fn authenticate(header: &str) -> Result<Principal, Refusal> {
    AUTH.authenticate(&STORE, *NOW, Some(header))
}

/// Whether the header is the token, with or without `Bearer` before it.
fn is_plain(header: &str) -> bool {
    let mut words = header.split([' ', '\t']).filter(|it| !it.is_empty()).peekable();
    while words.next_if(|it| it.eq_ignore_ascii_case("bearer")).is_some() {}
    words.next() == Some(TOKEN) && words.next().is_none() && header.len() <= HEADER_BYTES_MAX
}

/// Whether the token stands in the header in any form that clients send.
fn carries(header: &str) -> bool {
    let mut words = header.split_whitespace().peekable();
    while words.next_if(|it| it.eq_ignore_ascii_case("bearer")).is_some() {}
    let basic = words.next_if(|it| it.eq_ignore_ascii_case("basic")).is_some();
    let (Some(word), None) = (words.next(), words.next()) else {
        return false;
    };
    if !basic {
        return word == TOKEN;
    }
    let decoded = String::from_utf8(base64(word)).unwrap();
    decoded == TOKEN || decoded.splitn(2, ':').any(|it| it.trim() == TOKEN)
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|it| *it != b'=') {
        let value = ALPHABET.iter().position(|it| *it == byte).unwrap();
        bits = (bits << 6 | value as u32) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
