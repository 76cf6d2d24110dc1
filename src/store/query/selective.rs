//! What an index does for a condition: leads to few resources, or is a short text to look through.

use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::filter::path::Target;
use crate::store::query::filter_sql::{is_email_value, necessary_value, text_column};

/// Whether an index leads straight to the resources that can meet a condition: it asks for one
/// `id`, `userName`, `externalId`, `displayName` or e-mail address, whatever else it asks for.
#[must_use]
pub fn is_selective(condition: &Condition) -> bool {
    match condition {
        Condition::And(terms) => terms.iter().any(is_selective),
        // Where each of several would do, SQLite may prefer the order of the list to their indexes.
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

/// Whether a condition asks for a part of a text that has an index: `co` or `ew`. The index is read
/// from end to end, in a fraction of the time that the resources take.
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
