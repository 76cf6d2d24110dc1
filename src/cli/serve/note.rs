//! What a running server tells commands of itself: where it is, how it is set, what it noticed.

use std::path::{Path, absolute};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::acme::Acme;
use crate::app::App;
use crate::cli::serve::args::Args;
use crate::scim::datetime::Timestamp;
use crate::server::tls::certificates::Certificates;
use crate::store::Store;
use crate::store::error::Error;

/// The note that a server leaves beside its database for as long as it runs. One of an older plumm
/// has less in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// Its process.
    pub pid: u32,
    /// Its base URL, for identity providers.
    pub url: String,
    /// When it was started.
    pub started: String,
    /// When its certificate ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
    /// Where this host reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// How it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// How it stands with its certificate by ACME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<AcmeNote>,
    /// What came through proxies.
    pub proxied: Proxied,
}

/// How it stands with a certificate by ACME.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcmeNote {
    /// The names that it is for.
    pub domains: Vec<String>,
    /// Who is asked.
    pub directory: String,
    /// When it is renewed, or asked for again.
    pub next: Option<String>,
    /// How many attempts failed since the last certificate.
    pub failed: u32,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// The requests of identity providers that proxies have passed on since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxied {
    /// With a token, valid or not,
    pub with_token: u64,
    /// and without one.
    pub without_token: u64,
}

/// The settings that other commands need to know; paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `--listen`.
    pub listen: String,
    /// `--tls-cert`.
    pub tls_cert: Option<String>,
    /// `--tls-key`.
    pub tls_key: Option<String>,
    /// `--acme`.
    pub acme: Vec<String>,
    /// `--acme-email`.
    pub acme_email: Option<String>,
    /// `--acme-directory`.
    pub acme_directory: String,
    /// `--acme-http-listen`.
    pub acme_http_listen: Option<String>,
    /// `--insecure-http`.
    pub insecure_http: bool,
    /// `--public-url`.
    pub public_url: Option<String>,
    /// `--trusted-proxies`.
    pub trusted_proxies: Vec<String>,
    /// `--log-days`.
    pub log_days: u32,
    /// `--backup-dir`.
    pub backup_dir: Option<String>,
    /// `--backup-every`, in hours.
    pub backup_every: u32,
    /// `--backup-keep`.
    pub backup_keep: u32,
    /// `--external-checkpoint`.
    pub external_checkpoint: bool,
}

impl Settings {
    /// The settings that these arguments make.
    #[must_use]
    pub fn of(args: &Args) -> Settings {
        let path = |it: &Path| {
            let whole = absolute(it).unwrap_or_else(|_| it.to_owned());
            whole.to_string_lossy().into_owned()
        };
        Settings {
            listen: args.address.listen.to_string(),
            tls_cert: args.address.tls_cert.as_deref().map(path),
            tls_key: args.address.tls_key.as_deref().map(path),
            acme: args.address.acme.domains.clone(),
            acme_email: args.address.acme.acme_email.clone(),
            acme_directory: args.address.acme.acme_directory.clone(),
            acme_http_listen: args.address.acme.acme_http_listen.map(|it| it.to_string()),
            insecure_http: args.insecure_http,
            public_url: args.outside_url(),
            trusted_proxies: args.trusted_proxies.iter().map(ToString::to_string).collect(),
            log_days: args.log_days,
            backup_dir: args.backups.dir().map(path),
            backup_every: args.backups.every(),
            backup_keep: args.backups.keep(),
            external_checkpoint: args.external_checkpoint,
        }
    }
}

/// Keeps the note, and the metrics that say the same, up to date.
pub struct NoteKeeper {
    store: Arc<Store>,
    app: Arc<App>,
    fixed: Note,
    /// What was noted last.
    last: Mutex<Option<Note>>,
}

impl NoteKeeper {
    /// A keeper of the note of this server. `fixed`: what does not change while it runs.
    #[must_use]
    pub fn new(store: Arc<Store>, app: Arc<App>, fixed: Note) -> NoteKeeper {
        NoteKeeper { store, app, fixed, last: Mutex::default() }
    }

    /// Writes the note when something of it has changed.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn publish(
        &self,
        certificates: Option<&Certificates>,
        acme: Option<&Acme>,
    ) -> Result<(), Error> {
        let metrics = self.app.metrics();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let expires = certificates.and_then(Certificates::expires);
        if let Some(seconds) = expires {
            metrics.set_certificate_expiry(seconds);
        }
        let at = |seconds: i64| {
            Timestamp::from_nanoseconds(seconds.saturating_mul(1_000_000_000)).to_string()
        };
        let acme = acme.map(|it| (it.settings(), it.status()));
        if let Some((_, status)) = &acme {
            let seconds = |it: Timestamp| it.nanoseconds().div_euclid(1_000_000_000);
            metrics.acme.set(status.failed, status.next.map(seconds));
        }
        let acme = acme.map(|(settings, status)| AcmeNote {
            domains: settings.domains.clone(),
            directory: settings.directory.clone(),
            next: status.next.map(|it| it.to_string()),
            failed: status.failed,
            error: status.error,
        });
        let note = Note {
            acme,
            certificate_expires: expires.map(at),
            proxied: Proxied {
                with_token: metrics.proxied_with_token.get(),
                without_token: metrics.proxied_without_token.get(),
            },
            ..self.fixed.clone()
        };
        if last.as_ref() == Some(&note) {
            return Ok(());
        }
        let text = serde_json::to_string(&note);
        let text = text.map_err(|it| Error::Invalid(format!("the note of the server: {it}")))?;
        self.store.note_serving(&text)?;
        *last = Some(note);
        Ok(())
    }
}
