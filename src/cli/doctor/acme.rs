//! The check of a certificate by ACME: is there one, for how long, and when is it renewed.

use std::path::PathBuf;

use crate::acme::storage::Storage;
use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::words::{DAY, seconds_between, when};
use crate::scim::datetime::Timestamp;
use crate::server::tls::certificates::Files;
use crate::server::tls::examined::examine;

/// With so much of its life left, in days, a certificate whose renewal fails needs somebody.
const DAYS_TO_DO: i64 = 7;

/// The file of the certificate and its key.
pub fn file(facts: &Facts) -> PathBuf {
    Storage::new(&facts.database).certificate_file().to_owned()
}

/// The certificate that the server gets by itself.
pub fn certificate(facts: &Facts) -> Finding {
    // Also without a running server: what it knew last stands beside the database.
    let state = Storage::new(&facts.database).state();
    let (error, next) = match &state {
        Ok(it) => (it.error.clone(), it.next.as_deref().and_then(Timestamp::parse)),
        Err(words) => (Some(words.clone()), None),
    };
    let domains = facts.settings.acme.join(", ");
    let next = next.map(|it| format!(" {}, at {it}", when(it, facts.now)));
    let commands = || facts.remedy.reload().into_iter().chain(facts.remedy.server_log());
    let failed = |so_far: &str| match (&error, &next) {
        (Some(error), Some(next)) => format!("{so_far}: {error}. It is tried again{next}"),
        (Some(error), None) => format!("{so_far}: {error}"),
        (None, _) => so_far.to_owned(),
    };
    match examine(&Files::together(file(facts)), facts.now) {
        Err(_) => Finding::to_do(
            failed(&format!("there is no certificate for {domains} by ACME yet")),
            commands(),
        ),
        Ok(it) => {
            let expires = it.expires;
            let text = format!("it expires {}, at {expires}", when(expires, facts.now));
            match (&error, &next) {
                (Some(_), _) if seconds_between(facts.now, expires) <= DAYS_TO_DO * DAY => {
                    Finding::to_do(failed(&format!("{text}, and is not renewed")), commands())
                }
                (Some(_), _) => {
                    Finding::note(failed(&format!("{text}, and is not renewed")), commands())
                }
                (None, Some(next)) => Finding::well(format!("{text}, and is renewed{next}")),
                (None, None) => Finding::well(text),
            }
        }
    }
}
