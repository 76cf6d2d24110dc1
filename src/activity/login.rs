//! Whether a person may log in, since when, and by whom that was decided: in words.

use std::ops::ControlFlow;

use crate::scim::datetime::Timestamp;
use crate::scim::schema::name::ACTIVE;
use crate::store::error::Error;
use crate::store::tables::history::Entry;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::CLI;
use crate::store::transaction::Read;

/// Whether a person may log in, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it may.
    pub may: bool,
    /// What was done that it may not: `deleted`, `created inactive`, `deactivated`; none where it
    /// may, or where the record does not go back to that.
    pub deed: Option<&'static str>,
    /// When that was done.
    pub time: Option<Timestamp>,
    /// Who did it.
    pub by: Option<String>,
}

impl Standing {
    /// Reads how it is with an account.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn read(
        read: &Read,
        org: OrgKey,
        id: &str,
        active: bool,
        deleted: Option<Timestamp>,
    ) -> Result<Standing, Error> {
        if deleted.is_some() {
            let line = newest(read, org, id, |it| it.method == "DELETE")?;
            let by = line.map(|it| who(&it));
            return Ok(Standing { may: false, deed: Some("deleted"), time: deleted, by });
        }
        if active {
            return Ok(Standing { may: true, deed: None, time: None, by: None });
        }
        let took = |it: &Entry| it.changes.get(ACTIVE).is_some_and(|it| it["after"] != true);
        let line = newest(read, org, id, took)?;
        let deed = line.as_ref().map(|it| match it.method.as_str() {
            "POST" => "created inactive",
            _ => "deactivated",
        });
        let (time, by) = (line.as_ref().map(|it| it.time), line.as_ref().map(who));
        Ok(Standing { may: false, deed, time, by })
    }

    /// The reason as the rest of a sentence.
    #[must_use]
    pub fn because(&self) -> String {
        let by = self.by.as_ref().map(|it| format!(" by {it}")).unwrap_or_default();
        match (self.deed, self.time) {
            (Some(deed), Some(time)) => format!("the account was {deed} {time}{by}"),
            (Some(deed), None) => format!("the account was {deed}{by}"),
            (None, _) if self.may => "the account is active".to_owned(),
            (None, _) => {
                "the account is inactive; the record does not go back to when that was done"
                    .to_owned()
            }
        }
    }
}

/// The newest line about a resource of which this is so.
fn newest(
    read: &Read,
    org: OrgKey,
    id: &str,
    is: impl Fn(&Entry) -> bool,
) -> Result<Option<Entry>, Error> {
    let mut found = None;
    read.history(org, id, |it| match is(&it) {
        true => {
            found = Some(it);
            ControlFlow::Break(())
        }
        false => ControlFlow::Continue(()),
    })?;
    Ok(found)
}

/// Who made a change: `token okta (ipceb05mrqbc)`, `a command of root`.
#[must_use]
pub fn who(line: &Entry) -> String {
    if line.actor == CLI {
        let user = line.client.as_deref().and_then(|it| it.strip_prefix("user:"));
        return match user.map(|it| it.split_once(" sudo:").unwrap_or((it, ""))) {
            Some((user, "")) => format!("a command of {user}"),
            Some((user, sudo)) => format!("a command of {sudo} as {user}"),
            None => "a command".to_owned(),
        };
    }
    match line.label.as_deref() {
        None | Some("") => format!("token {}", line.actor),
        Some(label) => format!("token {label} ({})", line.actor),
    }
}
