//! Login taken away from a person or given back by hand: the change that a PATCH of `active` makes.

use serde_json::{Map, Value, json};

use crate::by_hand::{Deed, record};
use crate::scim::error::Error as Refusal;
use crate::scim::identity::Rules;
use crate::scim::patch::message::PatchOp;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::name::ACTIVE;
use crate::scim::validate;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::provisioning_log::Actor;
use crate::store::tables::resource::{Kind, Stored};
use crate::store::transaction::Write;

/// The resource type of accounts.
pub const USER: &str = "User";

/// Why it could not be done.
#[derive(Debug)]
pub enum Failed {
    /// The change is refused, as a PATCH would be.
    Refused(Refusal),
    /// The store failed.
    Store(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Store(error)
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        Failed::Refused(refusal)
    }
}

/// Sets whether an account may log in, and adds the line that says who did so and why. Returns the
/// account as it is then; `None` when it was so already, and nothing has changed.
///
/// # Errors
/// Why it could not be done; then nothing has changed.
pub fn set(
    write: &Write,
    org: &Org,
    definitions: &Definitions,
    stored: &Stored,
    active: bool,
    actor: &Actor,
) -> Result<Option<Stored>, Failed> {
    let before = stored.parse()?;
    // An account without a value may not log in.
    if (before.get(ACTIVE).and_then(Value::as_bool) == Some(true)) == active {
        return Ok(None);
    }
    let after = judged(org, definitions, &before, active)?;
    let kind = Kind { org: org.key, resource_type: USER, location_base: "" };
    let stored = write.replace_resource(kind, stored, &before, &after)?;
    let method = if active { "activate" } else { "deactivate" };
    let deed = Deed { method, resource_type: USER, resource: &stored.id };
    record(write, actor, org.key, deed, &before, &after)?;
    Ok(Some(stored))
}

/// The document with this value, as a PATCH with one operation makes and judges it.
fn judged(
    org: &Org,
    definitions: &Definitions,
    before: &Map<String, Value>,
    active: bool,
) -> Result<Map<String, Value>, Failed> {
    let gone = || Failed::Store(Error::Invalid("there is no resource type User".to_owned()));
    let users = definitions.resource_type(USER).ok_or_else(gone)?;
    let rules = Rules { deactivates: !active, ..org.settings.rules() };
    let operation = json!({ "op": "replace", "path": ACTIVE, "value": active });
    let urn = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    let message = json!({ "schemas": [urn], "Operations": [operation] });
    let message = message.as_object().cloned().unwrap_or_default();
    let patch = PatchOp::parse(&message, org.settings.strict)?;
    let patched = patch.apply(before, users, rules, &mut 0)?;
    Ok(validate::judge_change(before, patched.document, users, rules)?.document)
}

/// What whoever does it has to know of the identity provider, which does not know of this.
#[must_use]
pub fn warning(active: bool) -> &'static str {
    match active {
        false => {
            "The identity provider does not know of this. It gives login back when it next sends \
             this person as active: at its next full sync, or at the next push of a change of this \
             person. To make it last, unassign or deactivate the person there too."
        }
        true => {
            "The identity provider does not know of this. It takes login away again when it next \
             sends this person as inactive: at its next full sync, or at the next push of a change \
             of this person. To make it last, assign or activate the person there too."
        }
    }
}
