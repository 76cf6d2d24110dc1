//! What the database repeats of a document so that an index finds it: text columns, and the table
//! of email addresses.

use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::filter::path::Target;
use crate::scim::schema::attribute::{Attribute, Type};
use crate::store::query::expression::Expression;
use crate::store::query::filter_sql::comparison::text_compares;
use crate::store::query::fragment::{Fragment, sql};

/// The indexed column that repeats a core attribute with one text.
pub(crate) fn text_column(attribute: &Attribute) -> Option<Expression> {
    match (attribute.name.as_str(), attribute.kind) {
        ("id", Type::String) => Some(Expression::column("resource.id", false)),
        ("externalId", Type::String) => Some(Expression::column("resource.external_id", false)),
        ("userName", Type::String) if !attribute.case_exact => {
            Some(Expression::column("resource.user_name", true))
        }
        ("displayName", Type::String) if !attribute.case_exact => {
            Some(Expression::column("resource.display_name", true))
        }
        _ => None,
    }
}

/// Whether a place is `emails.value`, which the table `email` repeats, folded.
pub(crate) fn is_email_value(target: &Target, sub: Option<&Attribute>) -> bool {
    let folded = |it: &Attribute| it.name == "value" && !it.case_exact && !it.multi_valued;
    target.is_core("emails") && target.attribute.multi_valued && sub.is_some_and(folded)
}

/// Whether an address of the resource stands in this relation to a text; the table `email` says so.
pub(super) fn has_email(op: CompareOp, text: &str) -> Fragment {
    let value = Expression::column("email.value", true);
    sql(
        "(resource.seq IN (SELECT email.resource FROM email WHERE email.org = ?1 AND @))",
        [&text_compares(&value, op, text)],
    )
}

/// The one `value` that a condition in brackets asks for, whatever else it asks for.
pub(crate) fn necessary_value(condition: &Condition) -> Option<&str> {
    match condition {
        Condition::And(terms) => terms.iter().find_map(necessary_value),
        Condition::Test(Place::Sub(sub), Test::Compare(CompareOp::Eq, Operand::Folded(text)))
            if sub.name == "value" =>
        {
            Some(text)
        }
        _ => None,
    }
}
