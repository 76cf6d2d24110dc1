//! A test on the values that an attribute has.

use crate::scim::filter::condition::Test;
use crate::scim::filter::grammar::CompareOp;
use crate::store::query::expression::Expression;
use crate::store::query::filter_sql::comparison::compares;
use crate::store::query::fragment::{Fragment, sql};

/// The values at a place.
pub(super) enum Values {
    /// At most one.
    One(Expression),
    /// The rows of a FROM clause, with the expression for the value of a row.
    Rows(Fragment, Expression),
}

impl Values {
    /// Whether the values meet a test: 0 or 1.
    pub(super) fn meet(&self, test: &Test) -> Fragment {
        match self {
            Values::One(value) => one_meets(value, test),
            Values::Rows(from, value) => rows_meet(from, value, test),
        }
    }
}

fn one_meets(expression: &Expression, test: &Test) -> Fragment {
    let value = &expression.value;
    match test {
        Test::Present => sql("ifnull(@ <> '', 0)", [value]),
        Test::Absent => sql("ifnull(@ = '', 1)", [value]),
        Test::Compare(CompareOp::Ne, operand) => {
            sql("ifnull(NOT @, 1)", [&compares(expression, CompareOp::Eq, operand)])
        }
        // A function call would hide a column from its index.
        Test::Compare(op, operand) if expression.is_column => {
            sql("(@ IS NOT NULL AND @)", [value, &compares(expression, *op, operand)])
        }
        Test::Compare(op, operand) => sql("ifnull(@, 0)", [&compares(expression, *op, operand)]),
    }
}

fn rows_meet(from: &Fragment, expression: &Expression, test: &Test) -> Fragment {
    let exists = |condition: &Fragment| sql("EXISTS (SELECT 1 FROM @ WHERE @)", [from, condition]);
    let is_assigned = expression.is_assigned();
    match test {
        Test::Present => exists(&sql("@ AND @ <> ''", [&is_assigned, &expression.value])),
        Test::Absent => {
            let present = exists(&sql("@ AND @ <> ''", [&is_assigned, &expression.value]));
            sql("(NOT @)", [&present])
        }
        Test::Compare(CompareOp::Ne, operand) => {
            let equal = compares(expression, CompareOp::Eq, operand);
            let other = sql("@ AND ifnull(NOT @, 1)", [&is_assigned, &equal]);
            sql("(NOT @ OR @)", [&exists(&is_assigned), &exists(&other)])
        }
        Test::Compare(op, operand) => exists(&compares(expression, *op, operand)),
    }
}
