//! An SQL expression for one value of a resource, with what is known of the value's type.

use crate::store::query::fragment::{Fragment, sql};

/// An expression for a value, NULL when there is none.
pub(crate) struct Expression {
    pub(crate) value: Fragment,
    /// The JSON type of the value as `json_each` names it, where no schema says the type.
    pub(crate) json_type: Option<Fragment>,
    /// Whether the expression is a column, which may have an index.
    pub(crate) is_column: bool,
    /// Whether the value is case-folded already.
    pub(crate) is_folded: bool,
}

impl Expression {
    /// A value whose type a schema says.
    pub(crate) fn typed(value: Fragment) -> Expression {
        Expression { value, json_type: None, is_column: false, is_folded: false }
    }

    /// A column, whose type a schema says.
    pub(crate) fn column(name: &'static str, is_folded: bool) -> Expression {
        Expression { value: sql(name, []), json_type: None, is_column: true, is_folded }
    }

    /// A value in a row of `json_each`, with the column that says its type.
    pub(crate) fn untyped(value: &'static str, json_type: &'static str) -> Expression {
        let json_type = Some(sql(json_type, []));
        Expression { value: sql(value, []), json_type, is_column: false, is_folded: false }
    }

    /// The same value, case-folded.
    pub(crate) fn folded(&self) -> Expression {
        let value = match self.is_folded {
            true => self.value.clone(),
            false => sql("fold(@)", [&self.value]),
        };
        Expression { value, json_type: None, is_column: self.is_column, is_folded: true }
    }

    /// Whether there is a value; the empty string is one. Null and what is empty are no values
    /// (RFC 7643 section 2.5), and an extension without a schema may hold them.
    pub(crate) fn is_assigned(&self) -> Fragment {
        match &self.json_type {
            None => sql("@ IS NOT NULL", [&self.value]),
            Some(it) => sql(
                "CASE @ WHEN 'null' THEN 0 WHEN 'array' THEN @ <> '[]' \
                 WHEN 'object' THEN @ <> '{}' ELSE 1 END",
                [it, &self.value, &self.value],
            ),
        }
    }
}
