//! How it stands with certificates by ACME.

use std::sync::{Mutex, PoisonError};

use crate::metrics::text::Text;

/// What the thread that renews the certificate has told.
#[derive(Debug, Default)]
pub struct AcmeMetrics {
    /// How many attempts failed since the last certificate, and when the next one is made, in
    /// seconds since the epoch; nothing without ACME.
    told: Mutex<Option<(u32, Option<i64>)>>,
}

impl AcmeMetrics {
    /// Sets both.
    pub fn set(&self, failed: u32, next: Option<i64>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((failed, next));
    }

    /// Adds them to a text.
    pub fn add_to(&self, text: &mut Text) {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((failed, next)) = told else { return };
        let help = "Attempts to get a certificate that failed since the last one.";
        text.family("plumm_acme_failures", "gauge", help);
        text.sample(&[], failed);
        if let Some(next) = next {
            let help = "When the certificate is renewed, or asked for again, since the epoch.";
            text.family("plumm_acme_next_attempt_timestamp_seconds", "gauge", help);
            text.sample(&[], next);
        }
    }
}
