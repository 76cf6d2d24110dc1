//! What is kept beside the database: one file with the certificate and its key, so that they never
//! differ, and one with the account, the order under way and what became of the attempts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::acme::challenges::Kind;
use crate::acme::failure::{Cause, Failure};
use crate::acme::issued::Issued;
use crate::acme::jws::AccountKey;
use crate::acme::schedule::Attempts;
use crate::scim::datetime::Timestamp;
use crate::store::paths::{beside, folder_of, resolved};

/// What the name of the file with the certificate and its key adds to the database's.
pub const CERTIFICATE_SUFFIX: &str = "-acme.pem";
/// The same for the file with the account.
pub const STATE_SUFFIX: &str = "-acme.json";
/// Added to the name of a file that cannot be read, and is put aside.
const BROKEN_SUFFIX: &str = ".broken";
/// Added to the name of a file while it is written.
const UNFINISHED_SUFFIX: &str = ".new";
/// More than such a file ever has, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What the first line of the file with the certificate begins with: text in front of PEM is no
/// part of it.
const ISSUER_LINE: &str = "Directory: ";

/// The account with a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The directory that knows it.
    pub directory: String,
    /// Its URL there.
    pub url: String,
    /// The address that the directory was told.
    pub email: Option<String>,
    /// Its key: PKCS#8 in base64.
    key: String,
}

impl Account {
    /// An account with this key.
    #[must_use]
    pub fn new(directory: &str, url: &str, email: Option<&str>, key: &AccountKey) -> Account {
        Account {
            directory: directory.to_owned(),
            url: url.to_owned(),
            email: email.map(str::to_owned),
            key: Base64::encode_string(key.pkcs8()),
        }
    }

    /// Its key, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<AccountKey> {
        AccountKey::from_pkcs8(&Zeroizing::new(Base64::decode_vec(&self.key).ok()?))
    }
}

/// An order that is not finished: it is gone on with after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// Its URL.
    pub url: String,
    /// The key of its certificate, as PEM.
    pub key: String,
}

/// What is known between two runs of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The names that were asked for.
    pub domains: Vec<String>,
    /// The directory that was asked.
    pub directory: String,
    /// The address that it was to be told.
    pub email: Option<String>,
    /// The account.
    pub account: Option<Account>,
    /// The order that is not finished.
    pub order: Option<OpenOrder>,
    /// The challenge that was met last.
    pub challenge: Option<Kind>,
    /// How many attempts failed since the last certificate.
    failed: u32,
    /// When the last one failed.
    last: Option<String>,
    /// Why.
    cause: Cause,
    /// The same in words.
    pub error: Option<String>,
    /// Until when the directory asks to be left alone.
    wait_until: Option<String>,
    /// When those failed that the directory may count.
    counted: Vec<String>,
    /// When the next attempt is made.
    pub next: Option<String>,
}

impl State {
    /// What became of the attempts.
    #[must_use]
    pub fn attempts(&self) -> Attempts {
        let time = |it: &Option<String>| it.as_deref().and_then(Timestamp::parse);
        Attempts {
            failed: self.failed,
            last: time(&self.last),
            cause: self.cause,
            wait_until: time(&self.wait_until),
            counted: self.counted.iter().filter_map(|it| Timestamp::parse(it)).collect(),
        }
    }

    /// Notes what became of them.
    pub fn set_attempts(&mut self, attempts: &Attempts) {
        let text = |it: Timestamp| it.to_string();
        self.failed = attempts.failed;
        self.last = attempts.last.map(text);
        self.cause = attempts.cause;
        self.wait_until = attempts.wait_until.map(text);
        self.counted = attempts.counted.iter().copied().map(text).collect();
    }
}

/// The certificate that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it says.
    pub issued: Issued,
    /// The directory that has issued it.
    pub directory: String,
}

/// The files beside one database.
#[derive(Clone, Debug)]
pub struct Storage {
    certificate: PathBuf,
    state: PathBuf,
}

impl Storage {
    /// Those of this database.
    #[must_use]
    pub fn new(database: &Path) -> Storage {
        let database = resolved(database);
        Storage {
            certificate: beside(&database, CERTIFICATE_SUFFIX),
            state: beside(&database, STATE_SUFFIX),
        }
    }

    /// The file with the certificate and its key.
    #[must_use]
    pub fn certificate_file(&self) -> &Path {
        &self.certificate
    }

    /// What is known, nothing where there is no such file.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub fn state(&self) -> Result<State, String> {
        let Some(text) = read(&self.state)? else { return Ok(State::default()) };
        let name = self.state.display();
        serde_json::from_slice(&text).map_err(|it| format!("{name} is damaged: {it}"))
    }

    /// Puts a file aside that cannot be read; the next one takes its place.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn put_state_aside(&self) -> io::Result<PathBuf> {
        let aside = beside(&self.state, BROKEN_SUFFIX);
        fs::rename(&self.state, &aside)?;
        Ok(aside)
    }

    /// Keeps what is known.
    ///
    /// # Errors
    /// Failures of the disk, in words.
    pub fn save_state(&self, state: &State) -> Result<(), Failure> {
        let text =
            serde_json::to_vec_pretty(state).map_err(|it| Failure::refused(it.to_string()))?;
        replace(&self.state, &[&text])
    }

    /// The certificate that is kept, if there is one.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn certificate(&self) -> Result<Option<Held>, String> {
        let Some(text) = read(&self.certificate)? else { return Ok(None) };
        let name = self.certificate.display();
        let issued = Issued::read(&text, &text).map_err(|it| format!("{name}: {it}"))?;
        let first = text.split(|it| *it == b'\n').next().unwrap_or_default();
        let directory = String::from_utf8_lossy(first);
        let directory = directory.strip_prefix(ISSUER_LINE).unwrap_or_default().trim().to_owned();
        Ok(Some(Held { issued, directory }))
    }

    /// Whether this is the key of the certificate that is kept.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        let text = read(&self.certificate).ok().flatten();
        let text = text.as_deref().map(|it| String::from_utf8_lossy(it));
        text.is_some_and(|it| it.contains(key.trim()))
    }

    /// Keeps a certificate and its key.
    ///
    /// # Errors
    /// Failures of the disk, in words.
    pub fn save_certificate(&self, from: &str, key: &str, chain: &str) -> Result<(), Failure> {
        let first = format!("{ISSUER_LINE}{from}\n");
        replace(&self.certificate, &[first.as_bytes(), key.as_bytes(), b"\n", chain.as_bytes()])
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let mut text = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|it| it.take(FILE_BYTES_MAX).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Puts these bytes in place of the file, for its owner alone. Whoever reads it, and after a crash
/// too, finds what was there before or all of what is new.
fn replace(path: &Path, parts: &[&[u8]]) -> Result<(), Failure> {
    let unfinished = beside(path, UNFINISHED_SUFFIX);
    let written = write_new(&unfinished, parts).and_then(|()| fs::rename(&unfinished, path));
    let synced = written.and_then(|()| File::open(folder_of(path))?.sync_all());
    synced.map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        let what_to_do = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
            _ => "let the user that plumm runs as write to its folder",
        };
        Failure::refused(format!("{} cannot be written ({error}): {what_to_do}", path.display()))
    })
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    // What a killed server has left, or somebody has put there.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> (Place, Storage) {
            let path =
                std::env::temp_dir().join(format!("plumm-acme-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            let storage = Storage::new(&path.join("plumm.db"));
            (Place(path), storage)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_known_is_read_again_and_is_its_owners_alone() {
        let (place, storage) = Place::new("state");
        assert_eq!(storage.state(), Ok(State::default()));
        let key = AccountKey::generate().unwrap();
        let now = Timestamp::parse("2026-01-31T08:00:00.000Z").unwrap();
        let mut state = State {
            domains: vec!["a.example".to_owned()],
            account: Some(Account::new("https://d", "https://d/1", Some("a@b.example"), &key)),
            order: Some(OpenOrder { url: "https://d/o".to_owned(), key: "k".to_owned() }),
            challenge: Some(Kind::TlsAlpn),
            ..State::default()
        };
        let mut attempts = Attempts::default();
        attempts.note(Cause::Challenge, Some(Duration::from_secs(60)), now);
        state.set_attempts(&attempts);
        storage.save_state(&state).unwrap();
        let again = storage.state().unwrap();
        assert_eq!((again.attempts(), &again), (attempts, &state));
        let read = again.account.unwrap().key().unwrap();
        assert_eq!(read.pkcs8(), key.pkcs8());
        let file = place.0.join("plumm.db-acme.json");
        assert_eq!(mode(&file), 0o600);
        // A mode that somebody has changed does not stay with the keys.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        storage.save_state(&state).unwrap();
        assert_eq!(mode(&file), 0o600);
        assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1, "nothing is left over");
        for text in ["", "x", "{\"domains\":7}"] {
            fs::write(&file, text).unwrap();
            assert!(storage.state().unwrap_err().contains("is damaged"), "{text}");
        }
        let aside = storage.put_state_aside().unwrap();
        assert!(aside.exists() && storage.state() == Ok(State::default()));
    }

    #[test]
    fn a_certificate_and_its_key_are_one_file() {
        let (place, storage) = Place::new("certificate");
        assert_eq!(storage.certificate(), Ok(None));
        let make = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            (key.serialize_pem(), params.self_signed(&key).unwrap().pem())
        };
        let ((key, chain), (other, _)) = (make(), make());
        storage.save_certificate("https://d/directory", &key, &chain).unwrap();
        let held = storage.certificate().unwrap().unwrap();
        assert_eq!(held.directory, "https://d/directory");
        assert_eq!(held.issued.names, ["a.example"]);
        assert_eq!(mode(storage.certificate_file()), 0o600);
        for text in [other + &chain, chain.clone(), "x".to_owned(), key[..60].to_owned() + &chain] {
            fs::write(storage.certificate_file(), &text).unwrap();
            assert!(storage.certificate().is_err(), "{text}");
        }
        // A leftover of a killed server is in nobody's way.
        fs::write(place.0.join("plumm.db-acme.pem.new"), "half").unwrap();
        storage.save_certificate("https://d", &key, &chain).unwrap();
        assert!(storage.certificate().unwrap().is_some());
        assert!(storage.holds(&key) && !storage.holds(&make().0));
    }

    #[test]
    fn a_folder_that_is_gone_is_a_sentence() {
        let (place, storage) = Place::new("gone");
        fs::remove_dir_all(&place.0).unwrap();
        let failure = storage.save_state(&State::default()).unwrap_err();
        assert_eq!(failure.cause, Cause::Refused);
        assert!(failure.words.contains("plumm.db-acme.json cannot be written ("), "{failure}");
    }
}
