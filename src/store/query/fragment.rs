//! Fragments of SQL with the values they bind, and how they are put together.

use rusqlite::types::Value;

/// A piece of a statement, and the values of its question marks in order.
///
/// The text comes from literals of this program alone and depends on the shape of a request, not on
/// its names and values: those are bound, so that equal shapes share a prepared statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fragment {
    /// The text.
    pub sql: String,
    /// The bound values.
    pub values: Vec<Value>,
}

/// Puts fragments in the places that `@` marks. Only literals of the program can be templates:
/// nothing that a client sends becomes SQL text.
pub(crate) fn sql<const N: usize>(template: &'static str, pieces: [&Fragment; N]) -> Fragment {
    let mut filled = Fragment::default();
    for (i, text) in template.split('@').enumerate() {
        if let Some(piece) = i.checked_sub(1).and_then(|it| pieces.get(it)) {
            filled.sql.push_str(&piece.sql);
            filled.values.extend(piece.values.iter().cloned());
        }
        filled.sql.push_str(text);
    }
    filled
}

/// A question mark that stands for this value.
pub(crate) fn bound(value: impl Into<Value>) -> Fragment {
    Fragment { sql: "?".to_owned(), values: vec![value.into()] }
}

/// Joins terms by a template for two; without terms the result is `none`. The terms form a balanced
/// tree, because SQLite limits the depth of an expression and a plain chain is as deep as it is
/// long.
pub(crate) fn joined(
    mut terms: Vec<Fragment>,
    template: &'static str,
    none: &'static str,
) -> Fragment {
    if terms.len() > 1 {
        let right = terms.split_off(terms.len() / 2);
        let left = joined(terms, template, none);
        return sql(template, [&left, &joined(right, template, none)]);
    }
    terms.pop().unwrap_or_else(|| sql(none, []))
}
