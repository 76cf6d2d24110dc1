//! A change of one resource as plain data: what is written was judged and printed before, so that
//! it can be written together with the changes of others, by any thread.

use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::draft::{Draft, LastLine, Put};
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::OwnedLine;
use crate::store::transaction::Write;

/// A change of one resource, with its line in the provisioning log.
#[derive(Debug)]
pub struct Change {
    /// The row.
    pub draft: Draft,
    /// The line.
    pub line: OwnedLine,
    /// The count of the organisation's schemas that the change was judged by, where it must still
    /// be the same.
    pub schemas: Option<i64>,
    /// The time of the request.
    pub now: Timestamp,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, with this number in the provisioning log.
    Made(i64),
    /// Nothing was written: the row or the schemas have changed since it was judged.
    Outdated,
    /// Nothing was written: another resource has a value that must be unique.
    Conflict,
}

impl Change {
    /// The organisation.
    #[must_use]
    pub fn org(&self) -> OrgKey {
        self.line.org
    }

    /// Writes the change. Without an error, either all of it is written or nothing; the first
    /// statement that writes decides.
    ///
    /// # Errors
    /// Failures of the store; then a part of the change may be written.
    pub fn make(&self, write: &Write) -> Result<Outcome, Error> {
        if let Some(schemas) = self.schemas
            && !write.has_schemas_of(self.line.org, schemas)?
        {
            return Ok(Outcome::Outdated);
        }
        Ok(match write.put(&self.draft, LastLine::Next)? {
            // The row had the version that was judged, and so the last line from then.
            Put::Written(_) => {
                let previous = self.draft.stored().last_line;
                Outcome::Made(write.insert_line(&self.line, Some(previous))?)
            }
            Put::Outdated => Outcome::Outdated,
            Put::Conflict(_) => Outcome::Conflict,
        })
    }
}
