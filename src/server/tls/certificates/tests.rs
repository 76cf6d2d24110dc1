//! Certificates and keys from files: what is refused, what is a renewal, what is logged.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::clock::Clock;

/// A folder with `cert.pem` and `key.pem`, gone when the test is over.
struct TestFolder {
    path: PathBuf,
    now: Timestamp,
}

impl TestFolder {
    fn new() -> TestFolder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("plumm-certificates-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        TestFolder { path, now: Clock::System.now() }
    }

    /// A new certificate that is valid for so many days, and its key.
    fn issue(&self, days: i64) -> (String, String) {
        let end = self.now.plus_seconds(days * DAY_SECONDS).milliseconds();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(end);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, (certificate, key): &(String, String)) {
        fs::write(self.path.join("cert.pem"), certificate).unwrap();
        fs::write(self.path.join("key.pem"), key).unwrap();
    }

    fn load(&self) -> Result<Certificates, CertificateError> {
        let certificate = self.path.join("cert.pem");
        Certificates::load(Files { certificate, key: self.path.join("key.pem") }, self.now)
    }

    #[track_caller]
    fn check_refused(&self, certificate: &str, key: &str, sentence: &str) {
        self.write(&(certificate.to_owned(), key.to_owned()));
        let error = self.load().unwrap_err().to_string();
        let error = error.replace(&format!("{}/", self.path.display()), "");
        assert!(error.starts_with(sentence), "{error}");
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[test]
fn each_unusable_file_is_named_with_what_to_do() {
    let folder = TestFolder::new();
    let (certificate, key) = &folder.issue(100);
    let other = &folder.issue(100).0;
    let damaged = certificate.replace("-----END", "");
    let no_certificate = certificate.replace("MII", "MIA");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
    let unknown = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let long = "x".repeat(1024 * 1024 + 1);
    for (certificate, key, sentence) in [
        (" \n", key, "cert.pem is empty: put the certificate into it"),
        (certificate, &String::new(), "key.pem is empty: put the key into it"),
        ("DER", key, "cert.pem holds no certificate in PEM form"),
        (key, key, "cert.pem holds a key and no certificate: --tls-cert names"),
        (&format!("{certificate}{key}"), key, "cert.pem holds a private key beside the"),
        (&damaged, key, "cert.pem is damaged PEM, perhaps cut short"),
        (&no_certificate, key, "cert.pem holds a certificate that cannot be read"),
        (&long, key, "cert.pem is too large for a certificate"),
        (certificate, &"DER".to_owned(), "key.pem holds no private key in PEM form"),
        (certificate, other, "key.pem holds a certificate and no key: --tls-cert names"),
        (certificate, &format!("{key}{key}"), "key.pem holds several keys"),
        (certificate, &encrypted, "key.pem is protected by a passphrase"),
        (certificate, &older.to_owned(), "key.pem is protected by a passphrase"),
        (certificate, &unknown.to_owned(), "key.pem holds a key that cannot be used"),
        (other, key, "the key key.pem does not belong to the first certificate of cert.pem"),
        (&format!("{other}{certificate}"), key, "the key key.pem does not belong to the first"),
    ] {
        folder.check_refused(certificate, key, sentence);
    }
    let (certificate, key) = folder.issue(-1);
    folder.check_refused(&certificate, &key, "cert.pem expired at 2");
    fs::remove_file(folder.path.join("key.pem")).unwrap();
    let error = folder.load().unwrap_err().to_string();
    assert!(error.ends_with("key.pem cannot be read: there is no such file: --tls-key names it"));
}

#[test]
fn a_renewal_is_used_once_it_is_complete_and_each_error_is_reported_once() {
    let folder = TestFolder::new();
    let (first, second) = (folder.issue(100), folder.issue(200));
    folder.write(&first);
    let certificates = folder.load().unwrap();
    let refresh = || certificates.refresh(folder.now, false);
    let ends = |days: i64| folder.now.plus_seconds(days * DAY_SECONDS).milliseconds() / 1000;
    let expires = || u64::try_from(certificates.expires().unwrap()).unwrap();
    assert_eq!((refresh(), expires()), (None, ends(100)));

    folder.write(&(second.0.clone(), first.1));
    let error = refresh().unwrap().unwrap_err().to_string();
    assert!(error.contains("does not belong"), "{error}");
    assert_eq!((refresh(), expires()), (None, ends(100)));
    assert!(certificates.refresh(folder.now, true).unwrap().is_err(), "who asks is told");
    folder.write(&second);
    assert_eq!((refresh(), refresh(), expires()), (Some(Ok(())), None, ends(200)));

    fs::remove_file(folder.path.join("cert.pem")).unwrap();
    assert!(refresh().unwrap().unwrap_err().to_string().contains("there is no such file"));
    assert_eq!((refresh(), expires()), (None, ends(200)));
    folder.write(&folder.issue(-1));
    assert!(refresh().unwrap().unwrap_err().to_string().contains("expired at"));
    folder.write(&second);
    assert_eq!((refresh(), refresh(), expires()), (Some(Ok(())), None, ends(200)));
}

#[test]
fn a_symlink_that_points_elsewhere_is_a_renewal() {
    let folder = TestFolder::new();
    for (version, days) in [("v1", 100), ("v2", 50)] {
        let (certificate, key) = folder.issue(days);
        fs::create_dir(folder.path.join(version)).unwrap();
        fs::write(folder.path.join(version).join("cert.pem"), certificate).unwrap();
        fs::write(folder.path.join(version).join("key.pem"), key).unwrap();
    }
    let link = folder.path.join("now");
    symlink("v1", &link).unwrap();
    let files = Files { certificate: link.join("cert.pem"), key: link.join("key.pem") };
    let certificates = Certificates::load(files, folder.now).unwrap();
    let before = certificates.expires().unwrap();
    symlink("v2", folder.path.join("next")).unwrap();
    fs::rename(folder.path.join("next"), &link).unwrap();
    certificates.check_for_renewal(folder.now);
    assert_eq!(before - certificates.expires().unwrap(), 50 * DAY_SECONDS);
}

#[test]
fn each_warning_before_the_end_is_logged_once() {
    let folder = TestFolder::new();
    folder.write(&folder.issue(40));
    let certificates = folder.load().unwrap();
    for (day, warnings) in [(0, 0), (9, 0), (11, 1), (32, 1), (34, 2), (39, 3), (41, 4)] {
        certificates.check_for_renewal(folder.now.plus_seconds(day * DAY_SECONDS));
        assert_eq!(certificates.reported.lock().unwrap().warnings, warnings, "day {day}");
    }
    folder.write(&folder.issue(60));
    certificates.check_for_renewal(folder.now.plus_seconds(41 * DAY_SECONDS));
    assert_eq!(certificates.reported.lock().unwrap().warnings, 1, "the new one ends in 19 days");
}
