//! A filter whose names and values have been judged against a resource type: what is left is to
//! decide it, in memory (`matching.rs`) or in SQL (`store/query/filter_sql`).
//!
//! What a test says of the values at its place, where there may be none or several:
//! * `pr`: there is one that is not the empty string.
//! * `eq null` is `not pr`, `ne null` is `pr`.
//! * `ne x`: there is none at all, or one that is not x.
//! * any other: there is one that compares so (RFC 7644 section 3.4.2.2: of a multi-valued
//!   attribute only one value has to match).
//!
//! Null, and an array or object with nothing in it, are no values (RFC 7643 section 2.5).
//!
//! A value of another type than the operand (possible below an unregistered extension only) is
//! never equal to it, and never greater or less.

use std::sync::Arc;

use serde_json::Number;

use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error, quoted};
use crate::scim::filter::comparison::fold;
use crate::scim::filter::grammar::{CompareOp, Filter, Literal};
use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::schema::attribute::{Attribute, Type};
use crate::scim::schema::name::GROUPS;
use crate::scim::schema::resource_type::ResourceType;

/// The most terms of a filter that names the groups of a member: each term follows groups in
/// groups, and SQLite takes only so many such subqueries in one statement.
pub const GROUPS_TERMS_MAX: usize = 50;

/// A filter ready to be decided.
#[derive(Clone, Debug)]
pub enum Condition {
    /// All of these.
    And(Vec<Condition>),
    /// At least one of these.
    Or(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// The values at this place pass this test.
    Test(Place, Test),
    /// One value of this complex attribute meets this condition, whose places are [`Place::Sub`]
    /// and [`Place::Value`].
    Any(Target, Box<Condition>),
}

/// Where the values of a test stand.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the resource.
    Resource(Target),
    /// In the value at hand: its sub-attribute.
    Sub(Arc<Attribute>),
    /// The value at hand itself, of a multi-valued attribute without sub-attributes.
    Value(Arc<Attribute>),
}

impl Place {
    /// The definition of the values at this place.
    #[must_use]
    pub fn leaf(&self) -> &Arc<Attribute> {
        match self {
            Place::Resource(target) => target.leaf(),
            Place::Sub(attribute) | Place::Value(attribute) => attribute,
        }
    }
}

/// What must be true of the values.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// One compares so.
    Compare(CompareOp, Operand),
}

/// The value of a comparison, in the type of the attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// For boolean attributes; the operator is `eq` or `ne`.
    Bool(bool),
    /// For text that differs by letter case.
    Exact(String),
    /// For text that does not differ by letter case: the folded form.
    Folded(String),
    /// For numbers; the operator is none of `co`, `sw`, `ew`.
    Number(Number),
    /// For points in time; the operator is none of `co`, `sw`, `ew`.
    Instant(Timestamp),
}

impl Condition {
    /// Judges a filter on resources of this type.
    ///
    /// # Errors
    /// 400 `invalidFilter` for a name that no attribute has, a value of the wrong type, an operator
    /// that does not go with the type, and an attribute that is never shown.
    pub fn of_resource(filter: &Filter, resource_type: &ResourceType) -> Result<Condition, Error> {
        Condition::among(filter, resource_type, &[])
    }

    /// Judges a filter on resources of this type where it is asked of several: an attribute that
    /// only others of them have is one without a value here (RFC 7644 section 3.4.2.1).
    ///
    /// # Errors
    /// As [`Condition::of_resource`].
    pub fn among(
        filter: &Filter,
        resource_type: &ResourceType,
        all: &[&ResourceType],
    ) -> Result<Condition, Error> {
        let condition = judge(filter, &Scope::Resource(resource_type, all))?;
        let mut size = ConditionSize::default();
        size.add(&condition);
        if size.has_groups && size.terms > GROUPS_TERMS_MAX {
            return Err(Error::invalid_filter(format!(
                "The filter has {} terms, and one that asks for groups may have at most \
                 {GROUPS_TERMS_MAX}. Ask in several requests.",
                size.terms
            )));
        }
        Ok(condition)
    }

    /// Judges a filter on the values of one attribute, as it stands between brackets.
    ///
    /// # Errors
    /// As [`Condition::of_resource`].
    pub fn of_values(filter: &Filter, attribute: &Arc<Attribute>) -> Result<Condition, Error> {
        judge(filter, &Scope::Values(attribute))
    }

    /// How many comparisons there are in it.
    #[must_use]
    pub fn terms(&self) -> usize {
        let mut size = ConditionSize::default();
        size.add(self);
        size.terms
    }

    /// What one test comes to where its place has no value.
    fn without_value(&self) -> Condition {
        match self {
            Condition::Test(_, Test::Absent | Test::Compare(CompareOp::Ne, _)) => {
                Condition::And(Vec::new())
            }
            _ => Condition::Or(Vec::new()),
        }
    }
}

/// How large a condition is.
#[derive(Default)]
struct ConditionSize {
    terms: usize,
    has_groups: bool,
}

impl ConditionSize {
    fn add(&mut self, condition: &Condition) {
        match condition {
            Condition::And(terms) | Condition::Or(terms) => {
                terms.iter().for_each(|it| self.add(it));
            }
            Condition::Not(inner) => self.add(inner),
            Condition::Test(Place::Resource(target), _) => self.add_target(target),
            Condition::Test(Place::Sub(_) | Place::Value(_), _) => self.terms += 1,
            Condition::Any(target, inner) => {
                self.add_target(target);
                self.add(inner);
            }
        }
    }

    fn add_target(&mut self, target: &Target) {
        self.terms += 1;
        self.has_groups |= target.is_core(GROUPS);
    }
}

enum Scope<'a> {
    /// A resource of this type, among those of several.
    Resource(&'a ResourceType, &'a [&'a ResourceType]),
    Values(&'a Arc<Attribute>),
}

impl Scope<'_> {
    /// Whether values are taken to the letter; between brackets they never are.
    fn strict(&self) -> bool {
        matches!(self, Scope::Resource(resource_type, _) if resource_type.strict)
    }

    /// The resource type that has the attribute this path names, when the one at hand does not.
    fn in_other_type(&self, path: &AttrPath) -> Option<Scope<'_>> {
        let Scope::Resource(here, all) = self else { return None };
        if here.resolve(path).is_some() {
            return None;
        }
        let other = all.iter().find(|it| it.resolve(path).is_some())?;
        Some(Scope::Resource(other, &[]))
    }
}

fn judge(filter: &Filter, scope: &Scope) -> Result<Condition, Error> {
    let all = |terms: &[Filter]| -> Result<Vec<Condition>, Error> {
        terms.iter().map(|it| judge(it, scope)).collect()
    };
    if let Filter::Present(path) | Filter::Compare(path, ..) | Filter::ValuePath(path, _) = filter
        && let Some(other_type) = scope.in_other_type(path)
    {
        return Ok(judge(filter, &other_type)?.without_value());
    }
    match filter {
        Filter::And(terms) => Ok(Condition::And(all(terms)?)),
        Filter::Or(terms) => Ok(Condition::Or(all(terms)?)),
        Filter::Not(inner) => Ok(Condition::Not(Box::new(judge(inner, scope)?))),
        Filter::Present(path) => {
            Ok(Condition::Test(find_place(path, scope, false)?, Test::Present))
        }
        Filter::Compare(path, op, literal) => {
            let default_value = *literal != Literal::Null;
            let place = find_place(path, scope, default_value)?;
            let test = judge_comparison(path, place.leaf(), *op, literal, scope.strict())?;
            Ok(primary_condition(&place, &test).unwrap_or(Condition::Test(place, test)))
        }
        Filter::ValuePath(path, inner) => {
            let Scope::Resource(resource_type, _) = scope else {
                return Err(Error::invalid_filter(format!(
                    "\"{}[…]\" stands inside other brackets, which the filter grammar does not \
                     allow.",
                    quoted(path.as_str())
                )));
            };
            let target = resource_type.resolve(path).ok_or_else(|| unknown_attribute(path))?;
            let filterable = target.leaf().kind == Type::Complex || target.leaf().multi_valued;
            if target.sub.is_some() || !(filterable || target.leaf().kind == Type::Any) {
                return Err(Error::invalid_filter(format!(
                    "\"{}\" has no values with sub-attributes, so no brackets can follow it.",
                    quoted(path.as_str())
                )));
            }
            refuse_secret(path, target.leaf())?;
            let inner = Condition::of_values(inner, target.leaf())?;
            Ok(Condition::Any(target, Box::new(inner)))
        }
    }
}

/// The condition for a comparison with `primary`: every value that is not marked `primary: true` is
/// not primary, also one without this sub-attribute (RFC 7643 section 2.4).
fn primary_condition(place: &Place, test: &Test) -> Option<Condition> {
    let Test::Compare(op, Operand::Bool(truth)) = test else { return None };
    if place.leaf().name != "primary" {
        return None;
    }
    let is_true = |sub: &Arc<Attribute>| {
        let yes = Test::Compare(CompareOp::Eq, Operand::Bool(true));
        Condition::Test(Place::Sub(Arc::clone(sub)), yes)
    };
    match place {
        Place::Sub(sub) if (*op == CompareOp::Eq) == *truth => Some(is_true(sub)),
        Place::Sub(sub) => Some(Condition::Not(Box::new(is_true(sub)))),
        Place::Resource(target) if *op == CompareOp::Eq && !truth => {
            let sub = target.sub.as_ref()?;
            let values = Target { sub: None, ..target.clone() };
            Some(Condition::Any(values, Box::new(Condition::Not(Box::new(is_true(sub))))))
        }
        _ => None,
    }
}

/// Finds the place a path names. A complex attribute is compared by its `value` (RFC 7644 section
/// 3.4.2.2: `emails co "example.com"`).
fn find_place(path: &AttrPath, scope: &Scope, default_value: bool) -> Result<Place, Error> {
    let place = match scope {
        Scope::Resource(resource_type, _) => {
            let mut target = resource_type.resolve(path).ok_or_else(|| unknown_attribute(path))?;
            refuse_secret(path, &target.attribute)?;
            if default_value && target.sub.is_none() && target.attribute.kind == Type::Complex {
                let value = target.attribute.sub_attribute("value").ok_or_else(|| {
                    let names = target.attribute.sub_attributes.iter().map(|it| it.name.as_str());
                    Error::invalid_filter(format!(
                        "\"{}\" is a complex attribute and has no value of its own. Name one of \
                         its sub-attributes: {}.",
                        quoted(path.as_str()),
                        names.collect::<Vec<_>>().join(", ")
                    ))
                })?;
                target.sub = Some(Arc::clone(value));
            }
            Place::Resource(target)
        }
        Scope::Values(attribute) => {
            let name = path.as_str();
            if attribute.kind == Type::Any {
                return Ok(Place::Sub(Arc::new(Attribute::untyped(name))));
            }
            match attribute.sub_attribute(name) {
                Some(sub) => Place::Sub(Arc::clone(sub)),
                None if attribute.sub_attributes.is_empty() && name == "value" => {
                    Place::Value(Arc::clone(attribute))
                }
                None => return Err(unknown_attribute(path)),
            }
        }
    };
    refuse_secret(path, place.leaf())?;
    Ok(place)
}

fn unknown_attribute(path: &AttrPath) -> Error {
    Error::invalid_filter(format!(
        "The filter names \"{}\", which no schema of this resource type defines. /Schemas lists \
         the attributes.",
        quoted(path.as_str())
    ))
}

// A filter on a value that is never shown would let a client guess it.
fn refuse_secret(path: &AttrPath, attribute: &Attribute) -> Result<(), Error> {
    if attribute.is_secret() {
        let name = quoted(path.as_str());
        let detail = format!("\"{name}\" is never shown, so it cannot be searched for.");
        return Err(Error::invalid_filter(detail));
    }
    Ok(())
}

fn judge_comparison(
    path: &AttrPath,
    leaf: &Attribute,
    op: CompareOp,
    value: &Literal,
    strict: bool,
) -> Result<Test, Error> {
    let wrong = |why: String| {
        let name = quoted(path.as_str());
        Error::invalid_filter(format!("\"{name} {} {value}\": {why}", op.keyword()))
    };
    if *value == Literal::Null {
        return match op {
            CompareOp::Eq => Ok(Test::Absent),
            CompareOp::Ne => Ok(Test::Present),
            _ => Err(wrong("null can be compared with eq and ne only.".to_owned())),
        };
    }
    let equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
    let within = matches!(op, CompareOp::Co | CompareOp::Sw | CompareOp::Ew);
    let operand = match leaf.kind {
        Type::Boolean => {
            let truth = match value {
                Literal::Bool(it) => Some(*it),
                // Entra ID writes primary eq "True".
                Literal::String(it) if it.eq_ignore_ascii_case("true") => Some(true),
                Literal::String(it) if it.eq_ignore_ascii_case("false") => Some(false),
                Literal::String(it) if !strict && (it == "0" || it == "1") => Some(it == "1"),
                Literal::Number(it) if !strict && matches!(it.as_f64(), Some(0.0 | 1.0)) => {
                    Some(it.as_f64() == Some(1.0))
                }
                _ => None,
            };
            let truth = truth.ok_or_else(|| wrong("compare it with true or false.".to_owned()))?;
            Operand::Bool(truth)
        }
        Type::Integer | Type::Decimal => {
            let number = match value {
                Literal::Number(it) => Some(it.clone()),
                Literal::String(it) => it.parse().ok(),
                _ => None,
            };
            Operand::Number(number.ok_or_else(|| wrong("compare it with a number.".to_owned()))?)
        }
        Type::DateTime => {
            let instant = match value {
                Literal::String(it) => Timestamp::parse(it),
                _ => None,
            };
            let why = "compare it with a time such as \"2026-01-31T08:00:00Z\".";
            Operand::Instant(instant.ok_or_else(|| wrong(why.to_owned()))?)
        }
        Type::Any => match value {
            Literal::Bool(it) => Operand::Bool(*it),
            Literal::Number(it) => Operand::Number(it.clone()),
            Literal::String(it) => Operand::Folded(fold(it).into_owned()),
            Literal::Null => return Ok(Test::Absent),
        },
        Type::Complex => {
            return Err(wrong("name one of its sub-attributes instead.".to_owned()));
        }
        Type::String | Type::Reference | Type::Binary => {
            let text = match value {
                Literal::String(it) => it.clone(),
                other => other.to_string(),
            };
            let folded = !leaf.case_exact;
            if folded { Operand::Folded(fold(&text).into_owned()) } else { Operand::Exact(text) }
        }
    };
    // RFC 7644 section 3.4.2.2, table 3: boolean and binary attributes have no order.
    let ordered = !equality && !within;
    match operand {
        _ if ordered && leaf.kind == Type::Binary => {
            Err(wrong("binary values have no order; use eq, ne or pr.".to_owned()))
        }
        Operand::Bool(_) if !equality => {
            Err(wrong("true and false have no order; use eq or ne.".to_owned()))
        }
        Operand::Number(_) | Operand::Instant(_) if within => {
            Err(wrong("co, sw and ew compare text only.".to_owned()))
        }
        operand => Ok(Test::Compare(op, operand)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::error::ScimType;
    use crate::scim::filter::grammar::parse;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;

    fn judged(text: &str) -> Result<Condition, Error> {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        Condition::of_resource(&parse(text).unwrap(), &definitions.resource_types[0])
    }

    #[track_caller]
    fn refuse(text: &str, expected: &str) {
        let error = judged(text).unwrap_err();
        assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidFilter)), "{text}");
        assert!(error.detail.contains(expected), "{text}: {}", error.detail);
    }

    #[test]
    fn what_has_no_order_is_not_compared_by_order() {
        for op in ["gt", "ge", "lt", "le"] {
            refuse(&format!("x509Certificates.value {op} \"MII\""), "no order");
            refuse(&format!("x509Certificates[value {op} \"MII\"]"), "no order");
            refuse(&format!("active {op} true"), "no order");
        }
        assert!(judged("x509Certificates.value sw \"MII\"").is_ok());
    }

    #[test]
    fn a_filter_on_groups_has_few_terms() {
        let filter = |n: usize| vec!["userName pr"; n].join(" or ") + " and not (groups pr)";
        assert!(judged(&filter(GROUPS_TERMS_MAX - 1)).is_ok());
        refuse(&filter(GROUPS_TERMS_MAX), "asks for groups");
        refuse(&filter(400).replace("(groups pr)", "(groups[value pr])"), "asks for groups");
        assert!(judged(&vec!["userName pr"; 400].join(" or ")).is_ok());
    }

    #[test]
    fn names_and_values_are_judged() {
        refuse("shoeSize eq 1", "no schema of this resource type");
        refuse("emails[shoeSize eq 1]", "no schema of this resource type");
        refuse("emails[type eq \"a\" and emails[value pr]]", "inside other brackets");
        refuse("password eq \"x\"", "never shown");
        refuse("password pr", "never shown");
        refuse("name eq \"x\"", "has no value of its own");
        refuse("userName[value eq \"x\"]", "no brackets can follow");
        refuse("active eq \"maybe\"", "true or false");
        refuse("meta.created gt \"yesterday\"", "compare it with a time");
        refuse("meta.created co \"2020-01-01T00:00:00Z\"", "text only");
        refuse("userName gt null", "eq and ne only");
    }
}
