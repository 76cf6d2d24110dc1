//! What the application keeps of requests that it refused.

use crate::api::failure::Failure;
use crate::api::refused::{About, Sender, is_kept, kept_detail, refusal, shown_method};
use crate::api::router::{self, Located};
use crate::app::{App, Call};
use crate::auth::Principal;
use crate::http::forwarded;
use crate::refusals::Stranger;
use crate::scim::error::{Error, ScimType};
use crate::scim::schema::definitions::Definitions;

impl App {
    /// Keeps a refused request for whoever asks afterwards.
    pub(super) fn note_refusal(
        &self,
        call: &Call,
        located: &Located,
        principal: &Principal,
        definitions: &Definitions,
        failure: &Failure,
    ) {
        // The id has a column of its own, and the same failure is one row.
        let error = failure.told("the id of the request");
        if !is_kept(located.room.activated, &call.request.method, error.status) {
            return;
        }
        let about = located.about(definitions);
        let subject = call.notes.refused.subject.borrow();
        let method = shown_method(&call.request.method);
        self.keep(call, principal, method, about, subject.as_deref(), &error);
    }

    /// The same for operations of a Bulk request that failed.
    pub(super) fn note_operations(
        &self,
        call: &Call,
        principal: &Principal,
        definitions: &Definitions,
    ) {
        for it in call.notes.refused.operations.take() {
            let about = router::about_operation(&it.segments, definitions);
            self.keep(call, principal, &it.method, about, it.subject.as_deref(), &it.error);
        }
    }

    fn keep(
        &self,
        call: &Call,
        principal: &Principal,
        method: &str,
        about: About,
        subject: Option<&str>,
        error: &Error,
    ) {
        let client = call.client.map(forwarded::text_of);
        let sender = Sender {
            org: principal.org.key,
            token: &principal.token,
            client: client.as_deref(),
            request: call.id,
            now: call.now,
        };
        let scim_type = error.scim_type.map_or("", ScimType::keyword);
        self.metrics.refused.count(error.status, scim_type);
        let kept = refusal(sender, method, about, subject, error);
        self.refusals.note(&principal.org.name, kept);
    }

    /// Keeps a refused request of nobody known, in memory alone.
    pub(super) fn note_stranger(&self, call: &Call, located: &Located, failure: &Failure) {
        let error = failure.told(call.id);
        self.metrics.refused.count(error.status, "");
        self.refusals.note_stranger(Stranger {
            time: call.now,
            client: call.client.map(forwarded::text_of),
            request: call.id.to_owned(),
            method: shown_method(&call.request.method).to_owned(),
            path: located.about(self.definitions.builtin()).path,
            status: error.status,
            detail: kept_detail(&error.detail),
        });
    }
}
