//! How an index helps a condition: it finds the few resources, or is short enough to be read whole.

use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::filter::path::Target;
use crate::store::query::filter_sql::indexed::{is_email_value, necessary_value, text_column};

/// Whether an index finds the resources that can meet a condition: the condition asks for one `id`,
/// `userName`, `externalId`, `displayName` or email address, whatever else it asks for.
#[must_use]
pub fn is_selective(condition: &Condition) -> bool {
    match condition {
        Condition::And(terms) => terms.iter().any(is_selective),
        // SQLite may prefer the order of the list to the indexes of several alternatives.
        Condition::Or(terms) => terms.is_empty(),
        Condition::Not(_) => false,
        Condition::Test(Place::Resource(target), Test::Compare(CompareOp::Eq, operand)) => {
            match operand {
                Operand::Folded(_) if is_email_value(target, target.sub.as_deref()) => true,
                Operand::Folded(_) | Operand::Exact(_) => has_text_column(target),
                Operand::Bool(_) | Operand::Number(_) | Operand::Instant(_) => false,
            }
        }
        Condition::Test(..) => false,
        Condition::Any(target, inner) => {
            let value = target.attribute.sub_attribute("value").map(AsRef::as_ref);
            is_email_value(target, value) && necessary_value(inner).is_some()
        }
    }
}

/// Whether a condition asks for a part of a text that has an index: `co` or `ew`. SQLite reads the
/// whole index then, in a fraction of the time that the resources would take.
#[must_use]
pub fn is_part_of_text(condition: &Condition) -> bool {
    match condition {
        Condition::And(terms) => terms.iter().any(is_part_of_text),
        Condition::Test(Place::Resource(target), Test::Compare(op, _)) => {
            matches!(op, CompareOp::Co | CompareOp::Ew) && has_text_column(target)
        }
        _ => false,
    }
}

fn has_text_column(target: &Target) -> bool {
    let own = target.extension.is_none() && target.sub.is_none();
    own && !target.attribute.multi_valued && text_column(&target.attribute).is_some()
}
