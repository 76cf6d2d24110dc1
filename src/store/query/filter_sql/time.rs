//! Tests on `meta.created` and `meta.lastModified`, which are columns in nanoseconds.

use crate::scim::filter::condition::{Operand, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::schema::attribute::Attribute;
use crate::store::query::fragment::{Fragment, bound, sql};

/// The column of a sub-attribute of `meta`, if that is a time.
pub(super) fn time_column(sub: &Attribute) -> Option<&'static str> {
    match sub.name.as_str() {
        "created" => Some("resource.created"),
        "lastModified" => Some("resource.last_modified"),
        _ => None,
    }
}

/// Whether a time meets a test. Clients see these times in milliseconds and send back what they
/// saw, so the nanoseconds of the column do not count: a time is equal to every instant of its
/// millisecond, and `gt` begins at the next one. Otherwise a client that asks for what is newer
/// than the newest resource it knows would get that resource again.
pub(super) fn time_test(column: &'static str, test: &Test) -> Fragment {
    const MILLISECOND: i128 = 1_000_000;
    let (op, wanted) = match test {
        Test::Present => return sql("1", []),
        Test::Absent => return sql("0", []),
        Test::Compare(op, Operand::Instant(wanted)) => (*op, *wanted),
        Test::Compare(..) => return sql("0", []),
    };
    let nanoseconds = i128::from(wanted.nanoseconds());
    let multiple = |milliseconds: i128| {
        let exact = milliseconds * MILLISECOND;
        bound(i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX }))
    };
    let next = nanoseconds.div_euclid(MILLISECOND) + 1;
    // `from` is the first instant that prints as this time or a later one, `after` the first that
    // prints as a later one.
    let from = multiple(next - i128::from(nanoseconds.rem_euclid(MILLISECOND) == 0));
    let after = multiple(next);
    let column = sql(column, []);
    match op {
        CompareOp::Eq => sql("(@ >= @ AND @ < @)", [&column, &from, &column, &after]),
        CompareOp::Ne => sql("(@ < @ OR @ >= @)", [&column, &from, &column, &after]),
        CompareOp::Gt => sql("(@ >= @)", [&column, &after]),
        CompareOp::Ge => sql("(@ >= @)", [&column, &from]),
        CompareOp::Lt => sql("(@ < @)", [&column, &from]),
        CompareOp::Le => sql("(@ < @)", [&column, &after]),
        CompareOp::Co | CompareOp::Sw | CompareOp::Ew => sql("0", []),
    }
}
