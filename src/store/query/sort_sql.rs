//! Compiles what a list is sorted by to SQL (RFC 7644 section 3.4.2.3).

use rusqlite::types::Value;

use crate::scim::filter::path::Target;
use crate::scim::schema::attribute::{Attribute, Type};
use crate::store::query::fragment::Fragment;

/// The expression that a list is sorted by; it is NULL for a resource without a value. Text is
/// compared as the attribute's `caseExact` says; of several values the primary one counts, or the
/// first where none is primary.
#[must_use]
pub fn sort_key(target: &Target, resource_type: &str) -> Fragment {
    if let Some(key) = column(target, resource_type) {
        return key;
    }
    let attribute = &target.attribute;
    let leaf = target.leaf();
    let quoted = |name: &str| format!(".\"{name}\"");
    let mut path = "$".to_owned();
    if let Some(urn) = &target.extension {
        path.push_str(&quoted(urn));
    }
    path.push_str(&quoted(&attribute.name));
    let sub = target.sub.as_ref().map(|it| quoted(&it.name)).unwrap_or_default();
    if !attribute.multi_valued {
        path.push_str(&sub);
        return typed("json_extract(resource.document, ?)", vec![path.into()], leaf);
    }
    // A value that is no object is its own sort key.
    let element = "CASE v.type WHEN 'object' THEN json_extract(v.value, ?) ELSE v.value END";
    let key = typed(element, vec![format!("${sub}").into()], leaf);
    let mut values = key.values;
    values.push(path.into());
    Fragment {
        sql: format!(
            "(SELECT {} FROM json_each(resource.document, ?) AS v
              ORDER BY CASE v.type WHEN 'object' THEN json_extract(v.value, '$.primary') IS 1
                  ELSE 0 END DESC, v.key
              LIMIT 1)",
            key.sql
        ),
        values,
    }
}

fn column(target: &Target, resource_type: &str) -> Option<Fragment> {
    if target.extension.is_some() || target.attribute.multi_valued {
        return None;
    }
    let sub = target.sub.as_ref().map(|it| it.name.as_str());
    let (sql, values) = match (target.attribute.name.as_str(), sub) {
        ("id", None) => ("resource.id", vec![]),
        ("externalId", None) => ("resource.external_id", vec![]),
        ("userName", None) => ("resource.user_name", vec![]),
        ("displayName", None) => ("resource.display_name", vec![]),
        ("active", None) => ("resource.active", vec![]),
        ("meta", Some("created")) => ("resource.created", vec![]),
        ("meta", Some("lastModified")) => ("resource.last_modified", vec![]),
        ("meta", Some("version")) => ("resource.version", vec![]),
        // Two locations of one type differ in the id alone.
        ("meta", Some("location")) => ("resource.id", vec![]),
        ("meta", Some("resourceType")) => ("?", vec![Value::from(resource_type.to_owned())]),
        _ => return None,
    };
    Some(Fragment { sql: sql.to_owned(), values })
}

fn typed(expression: &str, values: Vec<Value>, leaf: &Attribute) -> Fragment {
    let sql = match leaf.kind {
        Type::DateTime => format!("instant({expression})"),
        Type::String if !leaf.case_exact => format!("fold({expression})"),
        _ => expression.to_owned(),
    };
    Fragment { sql, values }
}
