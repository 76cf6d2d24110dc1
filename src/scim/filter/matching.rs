//! Decides a filter in memory, on a resource as it is answered (RFC 7644 section 3.4.2.2).
//!
//! `store/query/filter_sql` gives the same answers from the database; property tests there hold the
//! two together. What a test means is said at the top of `condition.rs`.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::filter::path::Target;
use crate::scim::schema::attribute::{Attribute, Type};

/// Whether a resource meets a condition. The document is the whole one, as it would be answered
/// when the client leaves nothing out, with `id` and `meta`.
#[must_use]
pub fn matches(condition: &Condition, document: &Map<String, Value>) -> bool {
    decide(condition, Subject::Resource(document))
}

/// Whether one value of a multi-valued attribute meets a condition on such values.
#[must_use]
pub fn value_matches(condition: &Condition, value: &Value) -> bool {
    decide(condition, Subject::Value(value))
}

/// What the places of a condition are looked up in.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Resource(&'a Map<String, Value>),
    Value(&'a Value),
}

fn decide(condition: &Condition, subject: Subject) -> bool {
    match condition {
        Condition::And(terms) => terms.iter().all(|it| decide(it, subject)),
        Condition::Or(terms) => terms.iter().any(|it| decide(it, subject)),
        Condition::Not(inner) => !decide(inner, subject),
        Condition::Test(place, test) => passes(&values_at(place, subject), test),
        Condition::Any(target, inner) => match subject {
            Subject::Resource(document) => {
                let values = values(attribute_value(target, document));
                values.iter().any(|it| value_matches(inner, it))
            }
            // The grammar has no brackets within brackets.
            Subject::Value(_) => false,
        },
    }
}

fn values_at<'a>(place: &Place, subject: Subject<'a>) -> Vec<&'a Value> {
    match (place, subject) {
        (Place::Resource(target), Subject::Resource(document)) => {
            let found = values(attribute_value(target, document));
            match &target.sub {
                None => found,
                Some(sub) => found.into_iter().flat_map(|it| values(sub_value(sub, it))).collect(),
            }
        }
        (Place::Sub(sub), Subject::Value(value)) => values(sub_value(sub, value)),
        (Place::Value(_), Subject::Value(value)) => values(Some(value)),
        // A condition on values names no place in the resource, and one on the resource none in a
        // value.
        _ => Vec::new(),
    }
}

fn attribute_value<'a>(target: &Target, document: &'a Map<String, Value>) -> Option<&'a Value> {
    let holder = match &target.extension {
        None => document,
        Some(urn) => document.get(urn)?.as_object()?,
    };
    holder.get(&target.attribute.name)
}

fn sub_value<'a>(sub: &Attribute, value: &'a Value) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(&sub.name),
        // Below an unregistered extension no schema says whether `tags` holds texts or objects; in
        // `tags[value eq "a"]` a text is its own value, as for any multi-valued attribute of texts.
        _ if sub.kind == Type::Any && sub.name == "value" => Some(value),
        _ => None,
    }
}

/// The values an attribute has: each element of an array, anything else itself. Null and what is
/// empty are no values (RFC 7643 section 2.5).
fn values(value: Option<&Value>) -> Vec<&Value> {
    let all = match value {
        None => &[],
        Some(Value::Array(elements)) => elements.as_slice(),
        Some(other) => std::slice::from_ref(other),
    };
    let assigned = |it: &&Value| match it {
        Value::Null => false,
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    all.iter().filter(assigned).collect()
}

fn passes(values: &[&Value], test: &Test) -> bool {
    let present = || values.iter().any(|it| it.as_str() != Some(""));
    match test {
        Test::Present => present(),
        Test::Absent => !present(),
        Test::Compare(CompareOp::Ne, operand) => {
            values.is_empty() || values.iter().any(|it| !compares(it, CompareOp::Eq, operand))
        }
        Test::Compare(op, operand) => values.iter().any(|it| compares(it, *op, operand)),
    }
}

fn compares(value: &Value, op: CompareOp, operand: &Operand) -> bool {
    match (operand, value) {
        (Operand::Bool(wanted), Value::Bool(it)) => op == CompareOp::Eq && it == wanted,
        (Operand::Exact(wanted), Value::String(it)) => text_compares(it, op, wanted),
        (Operand::Folded(wanted), Value::String(it)) => text_compares(&fold(it), op, wanted),
        (Operand::Number(wanted), Value::Number(it)) => satisfies(compare_numbers(it, wanted), op),
        (Operand::Instant(wanted), Value::String(it)) => {
            satisfies(Timestamp::parse(it).map(|it| it.cmp(wanted)), op)
        }
        _ => false,
    }
}

fn text_compares(text: &str, op: CompareOp, wanted: &str) -> bool {
    match op {
        CompareOp::Co => text.contains(wanted),
        CompareOp::Sw => text.starts_with(wanted),
        CompareOp::Ew => text.ends_with(wanted),
        // By code points, which is the order of an index as well.
        _ => satisfies(Some(text.cmp(wanted)), op),
    }
}

fn satisfies(found: Option<Ordering>, op: CompareOp) -> bool {
    found.is_some_and(|found| match op {
        CompareOp::Eq => found.is_eq(),
        CompareOp::Gt => found.is_gt(),
        CompareOp::Ge => found.is_ge(),
        CompareOp::Lt => found.is_lt(),
        CompareOp::Le => found.is_le(),
        // `ne` is decided over all values; the others compare text.
        CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => false,
    })
}

/// The order of two numbers by their value. A whole number too large for `i64` counts as the
/// nearest `f64`, because SQLite reads it so.
fn compare_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (Some(a), None) => compare_with_real(a, b.as_f64()?),
        (None, Some(b)) => compare_with_real(b, a.as_f64()?).map(Ordering::reverse),
        (None, None) => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn compare_with_real(whole: i64, real: f64) -> Option<Ordering> {
    // Exact: the cast of a number without a fraction loses nothing, or stops at the ends of i128.
    let by_whole = i128::from(whole).cmp(&(real.trunc() as i128));
    Some(by_whole.then(0.0.partial_cmp(&real.fract())?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::scim::filter::grammar;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;
    use crate::scim::schema::resource_type::ResourceType;

    fn users() -> ResourceType {
        Definitions::builtin(IdentityChanges::Refuse).resource_types.remove(0)
    }

    #[track_caller]
    fn check(filter: &str, expected: bool) {
        let document = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": "2819c223",
            "userName": "Bob@Example.com",
            "nickName": "",
            "externalId": "Ext-1",
            "name": {"familyName": "Müller"},
            "active": false,
            "emails": [
                {"value": "bob@example.com", "type": "work", "primary": true},
                {"value": "bob@home.example", "type": "home"},
            ],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
                "department": "Sales", "manager": {"value": "26118915"},
            },
            "urn:x:2.0:User": {
                "number": 12, "text": "12", "truth": true, "nothing": null, "empty": [],
                "tags": ["a", 7, false, null], "thing": {"Sub": ["x", "y"]}, "things": [{"n": 1}],
            },
            "meta": {"lastModified": "2020-01-01T00:00:00.500Z", "version": "W/\"3\""},
        });
        let parsed = grammar::parse(filter).unwrap_or_else(|it| panic!("{filter}: {it}"));
        let condition = Condition::of_resource(&parsed, &users()).unwrap();
        let found = matches(&condition, document.as_object().unwrap());
        assert_eq!(found, expected, "{filter}");
    }

    #[test]
    fn text() {
        check("userName eq \"bob@example.COM\"", true);
        check("externalId eq \"ext-1\"", false);
        check("externalId eq \"Ext-1\"", true);
        check("name.familyName eq \"MÜLLER\"", true);
        check("name.familyName co \"ÜLL\" and name.familyName sw \"m\"", true);
        check("name.familyName ew \"R\"", true);
        check("userName gt \"boa\" and userName lt \"boc\"", true);
        check("department eq \"sales\" and manager eq \"26118915\"", true);
        check("nickName eq \"\" and nickName co \"\"", true);
        check("title co \"\"", false);
    }

    #[test]
    fn presence() {
        check("userName pr and name pr and emails pr and active pr and meta pr", true);
        check("nickName pr", false);
        check("nickName eq null and title eq null", true);
        check("userName ne null", true);
        check("title ne \"x\" and nickName ne \"x\"", true);
        check("not (title eq \"x\")", true);
        check("not (title gt \"x\") and not (title le \"x\")", true);
    }

    #[test]
    fn one_of_several_values_is_enough() {
        check("emails eq \"bob@home.example\"", true);
        check("emails.type eq \"home\" and emails.primary eq true", true);
        check("emails[type eq \"home\" and primary eq true]", false);
        check("emails[type eq \"home\" and not (primary eq true)]", true);
        check("emails[type eq \"work\"].value co \"example.com\"", true);
        check("emails.value ne \"bob@example.com\"", true);
        check("phoneNumbers[not (value pr)]", false);
        check("schemas[value ew \":User\"]", true);
    }

    #[test]
    fn what_no_schema_describes() {
        check("urn:x:2.0:User:number eq 12.0 and urn:x:2.0:User:text eq \"12\"", true);
        check("urn:x:2.0:User:number eq \"12\" or urn:x:2.0:User:text eq 12", false);
        check("urn:x:2.0:User:number gt \"1\" or urn:x:2.0:User:text lt 13", false);
        check("urn:x:2.0:User:truth eq true", true);
        check("urn:x:2.0:User:truth eq \"true\"", false);
        check("urn:x:2.0:User:nothing pr or urn:x:2.0:User:empty pr", false);
        check("urn:x:2.0:User:tags eq \"A\" and urn:x:2.0:User:tags eq 7", true);
        check("urn:x:2.0:User:tags[value eq false]", true);
        check("urn:x:2.0:User:thing pr and urn:x:2.0:User:thing.Sub eq \"y\"", true);
        check("urn:x:2.0:User:thing eq \"y\"", false);
        check("urn:x:2.0:User:things[n ge 1]", true);
        check("urn:x:2.0:User:things[value pr]", false);
    }

    #[test]
    fn points_in_time() {
        check("meta.lastModified eq \"2020-01-01T02:00:00.5+02:00\"", true);
        check("meta.lastModified gt \"2020-01-01T00:00:00Z\"", true);
        check("meta.lastModified lt \"2020-01-01T01:00:00+01:00\"", false);
        check("meta[version eq \"W/\\\"3\\\"\"]", true);
    }

    #[test]
    fn values_of_one_attribute() {
        let users = users();
        let check = |attribute: &str, filter: &str, value: Value, expected: bool| {
            let attribute = Arc::clone(users.attribute(attribute).unwrap());
            let filter = grammar::parse(filter).unwrap();
            let condition = Condition::of_values(&filter, &attribute).unwrap();
            assert_eq!(value_matches(&condition, &value), expected, "{filter} {value}");
        };
        let work = json!({"type": "Work", "value": "a", "primary": true});
        check("emails", "type eq \"work\"", work.clone(), true);
        check("emails", "primary eq \"True\" and value ne \"b\"", work.clone(), true);
        check("emails", "display pr or not (type pr)", work, false);
        check("schemas", "value sw \"urn:\"", json!("urn:x"), true);
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let check = |a: &str, b: &str, expected: Ordering| {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(compare_numbers(&a, &b), Some(expected), "{a} {b}");
            assert_eq!(compare_numbers(&b, &a), Some(expected.reverse()), "{b} {a}");
        };
        check("1", "1.0", Ordering::Equal);
        check("0", "-0.0", Ordering::Equal);
        check("-1", "-1.5", Ordering::Greater);
        check("9007199254740993", "9007199254740992.0", Ordering::Greater);
        check("9223372036854775807", "9223372036854775808", Ordering::Less);
        check("-9223372036854775808", "-1e300", Ordering::Greater);
        check("18446744073709551615", "18446744073709551616", Ordering::Equal);
    }
}
