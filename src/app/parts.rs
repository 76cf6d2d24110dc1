//! The further parts of an answer that is longer than what is held in memory at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::api::context::Notes;
use crate::api::failure::Failure;
use crate::app::App;
use crate::app::answer::{CutOff, Further, Part, SLOW_READERS};
use crate::http::request::Request;
use crate::scim::error::Error;

impl App {
    /// The next part of an answer; `None` behind the last one. The token is judged anew, so that a
    /// revoked one gets no further. `permit`: what is held while the part is made.
    ///
    /// # Errors
    /// [`CutOff`] when it cannot be made: the answer must end where it is.
    pub fn next_part<P>(
        &self,
        request: &Request,
        further: &mut Further,
        permit: impl Fn() -> P,
    ) -> Result<Option<Part>, CutOff> {
        let Further { rest, memory } = further;
        // Before it is at work: who waits there for memory has one of few places, and where there
        // is none, what is sent already would be in vain.
        memory.wait_for(rest.memory());
        let located = self.router.locate(request);
        let _at_work = (permit(), self.metrics.requests_at_work.hold());
        let notes = Notes { goes_on: true, ..Notes::default() };
        let call = self.call(request, &notes);
        let part = catch_unwind(AssertUnwindSafe(|| {
            self.as_known(&call, &located, |context| {
                let Some(bytes) = rest.next(context)? else { return Ok(None) };
                let taken = self.memory_of(&notes).settle(notes.taken.take(), bytes.len());
                let taken = taken.ok_or_else(|| Failure::from(Error::new(503, SLOW_READERS)))?;
                Ok(Some(Part { bytes, taken: Some(taken) }))
            })
        }));
        let why = match part {
            Ok(Ok(part)) => return Ok(part),
            Ok(Err(failure)) => match failure.cause() {
                Some((_, cause)) => cause,
                None => failure.told(call.id).detail,
            },
            Err(_) => {
                self.metrics.panics.add();
                "a handler panicked; the message stands above".to_owned()
            }
        };
        self.metrics.answers_cut_off.add();
        log::warn!(method = request.method.name(); "an answer was cut off in the middle: {why}");
        Err(CutOff)
    }
}
