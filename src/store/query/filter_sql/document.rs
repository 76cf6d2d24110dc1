//! Where the values of an attribute stand in the JSON document.

use crate::scim::filter::path::Target;
use crate::scim::schema::attribute::Attribute;
use crate::store::query::expression::Expression;
use crate::store::query::filter_sql::values::Values;
use crate::store::query::fragment::{Fragment, bound, sql};

/// The row `v` where it is an object; SQLite could not read anything else as JSON.
pub(super) const OBJECT_OF_ROW: &str = "CASE v.type WHEN 'object' THEN v.value END";

/// The JSON path of these members. Attribute names hold no quotes and no backslashes (`AttrPath`).
pub(super) fn json_path<'a>(members: impl IntoIterator<Item = &'a str>) -> Fragment {
    let mut path = "$".to_owned();
    for name in members {
        path.push_str(".\"");
        path.push_str(name);
        path.push('"');
    }
    bound(path)
}

/// The JSON path of an attribute, or of one of its sub-attributes.
pub(super) fn attribute_path(target: &Target, sub: Option<&Attribute>) -> Fragment {
    let members = [
        target.extension.as_deref(),
        Some(target.attribute.name.as_str()),
        sub.map(|it| it.name.as_str()),
    ];
    json_path(members.into_iter().flatten())
}

/// The values of an attribute that stands at one place: the attribute itself, or the sub-attribute
/// of one value.
pub(super) fn single(json: &Fragment, path: &Fragment, attribute: &Attribute) -> Values {
    if attribute.multi_valued {
        let from = sql("json_each(@, @) AS e", [json, path]);
        return Values::Rows(from, Expression::typed(sql("e.value", [])));
    }
    Values::One(Expression::typed(sql("json_extract(@, @)", [json, path])))
}

/// What stands at a path as a JSON array: an array as it is, anything else in brackets, nothing as
/// NULL. `json_each` alone would take an object for its members.
pub(super) fn list(json: &Fragment, path: &Fragment) -> Fragment {
    sql(
        "CASE json_type(@, @) WHEN 'array' THEN @ -> @ ELSE '[' || (@ -> @) || ']' END",
        [json, path, json, path, json, path],
    )
}

/// The values of a sub-attribute of the row `v`, which has no schema, as a JSON array.
pub(super) fn untyped_sub_values(sub: &Attribute, path: &Fragment) -> Fragment {
    let members = list(&sql("v.value", []), path);
    // A value that is no object is its own `value`, as in `scim/filter/matching.rs`. It is read
    // from the text of the array, because `v.value` no longer tells a number from a truth value.
    if sub.name == "value" {
        return sql(
            "CASE v.type WHEN 'object' THEN @ WHEN 'array' THEN v.value \
             ELSE '[' || (v.json -> v.fullkey) || ']' END",
            [&members],
        );
    }
    sql("CASE v.type WHEN 'object' THEN @ END", [&members])
}
