//! One value compared with the operand of a filter.

use rusqlite::types::Value;
use serde_json::Number;

use crate::scim::filter::condition::Operand;
use crate::scim::filter::grammar::CompareOp;
use crate::store::query::expression::Expression;
use crate::store::query::fragment::{Fragment, bound, sql};

/// Whether a value stands in this relation to an operand: 0, 1, or NULL where there is no value.
pub(super) fn compares(expression: &Expression, op: CompareOp, operand: &Operand) -> Fragment {
    let value = &expression.value;
    match (operand, &expression.json_type) {
        (Operand::Bool(wanted), None) => sql("(@ = @)", [value, &bound(i64::from(*wanted))]),
        (Operand::Bool(wanted), Some(json_type)) => {
            let wanted = if *wanted { "true" } else { "false" };
            sql("(@ = @)", [json_type, &bound(wanted.to_owned())])
        }
        (Operand::Exact(wanted), None) => text_compares(expression, op, wanted),
        (Operand::Exact(wanted) | Operand::Folded(wanted), Some(json_type)) => {
            let compared = text_compares(&expression.folded(), op, wanted);
            sql("(@ = 'text' AND @)", [json_type, &compared])
        }
        (Operand::Folded(wanted), None) => text_compares(&expression.folded(), op, wanted),
        (Operand::Number(wanted), None) => in_order(value, op, &bound(number(wanted))),
        (Operand::Number(wanted), Some(json_type)) => sql(
            "(@ IN ('integer', 'real') AND @)",
            [json_type, &in_order(value, op, &bound(number(wanted)))],
        ),
        (Operand::Instant(wanted), _) => {
            let instant = sql("instant(@)", [value]);
            in_order(&instant, op, &bound(wanted.nanoseconds()))
        }
    }
}

/// Whether a text stands in this relation to another one; the caller has folded both, or neither.
pub(super) fn text_compares(expression: &Expression, op: CompareOp, wanted: &str) -> Fragment {
    let value = &expression.value;
    let text = bound(wanted.to_owned());
    match op {
        // Every text contains, begins and ends with the empty one.
        CompareOp::Co | CompareOp::Sw | CompareOp::Ew if wanted.is_empty() => {
            sql("(@ IS NOT NULL)", [value])
        }
        CompareOp::Co => sql("(instr(@, @) > 0)", [value, &text]),
        CompareOp::Sw if expression.is_column => {
            let end = bound(after_prefix(wanted));
            sql("(@ >= @ AND @ < @)", [value, &text, value, &end])
        }
        CompareOp::Sw => sql("(instr(@, @) = 1)", [value, &text]),
        CompareOp::Ew => {
            // Bytes are compared, because `substr` of a text stops at a NUL. For the empty text
            // `substr` is NULL.
            let bytes = wanted.as_bytes().to_vec();
            let length = bytes.len() as i64;
            sql(
                "ifnull(substr(CAST(@ AS BLOB), @, @) = @, 0)",
                [value, &bound(-length), &bound(length), &bound(bytes)],
            )
        }
        _ => in_order(value, op, &text),
    }
}

fn in_order(value: &Fragment, op: CompareOp, wanted: &Fragment) -> Fragment {
    let template = match op {
        CompareOp::Eq => "(@ = @)",
        CompareOp::Gt => "(@ > @)",
        CompareOp::Ge => "(@ >= @)",
        CompareOp::Lt => "(@ < @)",
        CompareOp::Le => "(@ <= @)",
        // `Values::meet` decides `ne` over all values; the other three compare texts.
        CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => "0",
    };
    sql(template, [value, wanted])
}

/// The least value after every text with this prefix. After a prefix that is all U+10FFFF there is
/// no text, and the value is the empty blob: SQLite sorts blobs after texts.
fn after_prefix(prefix: &str) -> Value {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The range of characters leaves out the surrogates, as does the order of UTF-8.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Value::Text(text);
        }
    }
    Value::Blob(Vec::new())
}

/// The number as SQLite reads it in the document: a whole number too large for SQLite is a floating
/// one.
fn number(number: &Number) -> Value {
    match (number.as_i64(), number.as_f64()) {
        (Some(it), _) => Value::Integer(it),
        (None, Some(it)) => Value::Real(it),
        (None, None) => Value::Null,
    }
}
