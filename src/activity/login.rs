//! Whether a person may log in, since when, and by whom that was decided: in words.

use crate::activity::{Entry, story};
use crate::scim::datetime::Timestamp;
use crate::scim::schema::name::ACTIVE;
use crate::store::error::Error;
use crate::store::query::story::{Change, Wanted};
use crate::store::transaction::Read;

/// Whether a person may log in, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Whether it may.
    pub may: bool,
    /// When it was deleted, if it was.
    deleted: Option<Timestamp>,
    /// What took login away; none where the record does not go back to that.
    cause: Option<Entry>,
}

impl Standing {
    /// Reads how it is with the account that the wanted part of the record is about.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn read(
        read: &Read,
        wanted: &Wanted,
        active: bool,
        deleted: Option<Timestamp>,
    ) -> Result<Standing, Error> {
        let deletes = |it: &Change| it.method == "DELETE";
        let deactivates =
            |it: &Change| it.changes.get(ACTIVE).is_some_and(|it| it["after"] != true);
        let cause = match (deleted, active) {
            (Some(_), _) => story::newest_change(read, wanted, deletes)?,
            (None, false) => story::newest_change(read, wanted, deactivates)?,
            (None, true) => None,
        };
        Ok(Standing { may: active && deleted.is_none(), deleted, cause })
    }

    /// What was done that it may not: `deleted`, `created inactive`, `deactivated`; none where it
    /// may, or where the record does not go back to that.
    #[must_use]
    pub fn deed(&self) -> Option<&'static str> {
        if self.deleted.is_some() {
            return Some("deleted");
        }
        self.cause.as_ref().map(|it| match it.action() {
            "created" => "created inactive",
            _ => "deactivated",
        })
    }

    /// When that was done.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.deleted.or_else(|| self.cause.as_ref().map(|it| it.happened.time()))
    }

    /// What took login away.
    #[must_use]
    pub fn cause(&self) -> Option<&Entry> {
        self.cause.as_ref()
    }

    /// The reason as the rest of a sentence.
    #[must_use]
    pub fn because(&self) -> String {
        let by = self.cause.as_ref().map(|it| format!(" by {}", it.who())).unwrap_or_default();
        match (self.deed(), self.time()) {
            (Some(deed), Some(time)) => format!("the account was {deed} {time}{by}"),
            _ if self.may => "the account is active".to_owned(),
            _ => "the account is inactive; the record does not go back to when that was done"
                .to_owned(),
        }
    }
}
