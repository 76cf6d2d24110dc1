//! The compiler: walks through a condition and writes the SQL of each part.

use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::filter::path::Target;
use crate::scim::schema::attribute::{Attribute, Type};
use crate::store::query::expression::Expression;
use crate::store::query::filter_sql::document::{
    OBJECT_OF_ROW, attribute_path, json_path, list, single, untyped_sub_values,
};
use crate::store::query::filter_sql::indexed::{
    has_email, is_email_value, necessary_value, text_column,
};
use crate::store::query::filter_sql::time::{time_column, time_test};
use crate::store::query::filter_sql::values::Values;
use crate::store::query::fragment::{Fragment, bound, joined, sql};
use crate::store::query::member_sql::Membership;

/// What the compiler knows of the resources that a condition is about.
pub(super) struct Compiler<'a> {
    pub(super) resource_type: &'a str,
    /// What stands before the id in `meta.location`.
    pub(super) location_base: &'a str,
    /// The resource types that members and groups may have, each with what stands before the id in
    /// their `$ref`.
    pub(super) locations: &'a [(String, String)],
}

/// What the names in a condition refer to.
enum Scope<'a> {
    /// A row of `resource`.
    Resource,
    /// The `meta` object, which no document holds.
    Meta,
    /// A single-valued complex attribute of the document.
    Complex(&'a Target),
    /// A row `v` of `json_each`: one value of a multi-valued attribute, or of one of any type.
    Value,
    /// A member or a group, in the rows of [`Membership::rows`].
    Membership(Membership),
}

impl Compiler<'_> {
    /// The expression that decides a condition on a row of `resource`.
    pub(super) fn compile(&self, condition: &Condition) -> Fragment {
        self.condition(condition, &Scope::Resource)
    }

    fn condition(&self, condition: &Condition, scope: &Scope) -> Fragment {
        let each = |terms: &[Condition]| terms.iter().map(|it| self.condition(it, scope)).collect();
        match condition {
            Condition::And(terms) => joined(each(terms), "(@ AND @)", "1"),
            Condition::Or(terms) => joined(each(terms), "(@ OR @)", "0"),
            Condition::Not(inner) => sql("(NOT @)", [&self.condition(inner, scope)]),
            Condition::Test(place, test) => self.test(place, test, scope),
            Condition::Any(target, inner) => self.any(target, inner),
        }
    }

    /// Whether any value of an attribute meets a condition: the brackets of a filter.
    fn any(&self, target: &Target, inner: &Condition) -> Fragment {
        let attribute = &target.attribute;
        if target.is_core("meta") && attribute.kind == Type::Complex && !attribute.multi_valued {
            return self.condition(inner, &Scope::Meta);
        }
        if let Some(membership) = Membership::of(target) {
            let condition = self.condition(inner, &Scope::Membership(membership));
            let found = sql("EXISTS (SELECT 1 FROM @ WHERE @)", [&membership.rows(), &condition]);
            return match necessary_value(inner) {
                Some(id) => sql("(@ AND @)", [&membership.has_id(id), &found]),
                None => found,
            };
        }
        let path = attribute_path(target, None);
        if attribute.kind == Type::Complex && !attribute.multi_valued {
            let inner = self.condition(inner, &Scope::Complex(target));
            return sql("(json_type(resource.document, @) IS NOT NULL AND @)", [&path, &inner]);
        }
        let condition = self.condition(inner, &Scope::Value);
        if attribute.kind == Type::Any {
            let is_assigned = Expression::untyped("v.value", "v.type").is_assigned();
            let list = list(&sql("resource.document", []), &path);
            return sql(
                "EXISTS (SELECT 1 FROM json_each(@) AS v WHERE @ AND @)",
                [&list, &is_assigned, &condition],
            );
        }
        let found = sql(
            "EXISTS (SELECT 1 FROM json_each(resource.document, @) AS v WHERE @)",
            [&path, &condition],
        );
        // The table `email` finds the few resources with that address. Only the document says which
        // of their values meets the rest of the condition.
        match necessary_value(inner) {
            Some(value)
                if is_email_value(target, attribute.sub_attribute("value").map(AsRef::as_ref)) =>
            {
                sql("(@ AND @)", [&has_email(CompareOp::Eq, value), &found])
            }
            _ => found,
        }
    }

    fn test(&self, place: &Place, test: &Test, scope: &Scope) -> Fragment {
        if let Some(column) = meta_sub(place, scope).and_then(time_column) {
            return time_test(column, test);
        }
        if let (Place::Resource(target), Test::Compare(op, Operand::Folded(text))) = (place, test)
            && is_email_value(target, target.sub.as_deref())
            && *op != CompareOp::Ne
        {
            return has_email(*op, text);
        }
        if let (Place::Resource(target), Test::Compare(CompareOp::Eq, Operand::Folded(id))) =
            (place, test)
            && let Some(membership) = Membership::of(target)
            && target.leaf().name == "value"
        {
            return membership.has_id(id);
        }
        self.values(place, scope).meet(test)
    }

    fn values(&self, place: &Place, scope: &Scope) -> Values {
        let document = sql("resource.document", []);
        match (place, scope) {
            (Place::Resource(target), Scope::Resource) => self.resource_values(target),
            (Place::Sub(sub), Scope::Meta) => Values::One(self.meta_value(&sub.name)),
            (Place::Sub(sub), Scope::Complex(target)) => {
                single(&document, &attribute_path(target, Some(sub)), sub)
            }
            (Place::Sub(sub), Scope::Value) => {
                let path = json_path([sub.name.as_str()]);
                if sub.kind == Type::Any {
                    let from = sql("json_each(@) AS e", [&untyped_sub_values(sub, &path)]);
                    return Values::Rows(from, Expression::untyped("e.value", "e.type"));
                }
                single(&sql(OBJECT_OF_ROW, []), &path, sub)
            }
            (Place::Sub(sub), Scope::Membership(membership)) => {
                Values::One(membership.sub_attribute(&sub.name, self.locations))
            }
            (Place::Value(_), Scope::Value) => Values::One(Expression::typed(sql("v.value", []))),
            // A condition on values has no place in the resource, nor the other way round.
            _ => Values::One(Expression::typed(sql("NULL", []))),
        }
    }

    fn resource_values(&self, target: &Target) -> Values {
        if let Some(column) = self.column(target) {
            return Values::One(column);
        }
        let document = sql("resource.document", []);
        let attribute = &target.attribute;
        let sub = target.sub.as_deref();
        if let Some(membership) = Membership::of(target) {
            let value = |name: &str| membership.sub_attribute(name, self.locations);
            return match sub {
                Some(sub) => Values::Rows(membership.rows(), value(&sub.name)),
                None => Values::Rows(membership.rows_for_presence(), value("value")),
            };
        }
        if attribute.kind == Type::Any {
            let values = list(&document, &attribute_path(target, None));
            let Some(sub) = sub else {
                let from = sql("json_each(@) AS v", [&values]);
                return Values::Rows(from, Expression::untyped("v.value", "v.type"));
            };
            let subs = untyped_sub_values(sub, &json_path([sub.name.as_str()]));
            let from = sql("json_each(@) AS v, json_each(@) AS e", [&values, &subs]);
            return Values::Rows(from, Expression::untyped("e.value", "e.type"));
        }
        if !attribute.multi_valued {
            let path = attribute_path(target, sub);
            return single(&document, &path, sub.unwrap_or(attribute));
        }
        let path = attribute_path(target, None);
        let from = sql("json_each(resource.document, @) AS v", [&path]);
        let Some(sub) = sub else {
            return Values::Rows(from, Expression::typed(sql("v.value", [])));
        };
        match single(&sql(OBJECT_OF_ROW, []), &json_path([sub.name.as_str()]), sub) {
            Values::One(value) => Values::Rows(from, value),
            Values::Rows(subs, value) => Values::Rows(sql("@, @", [&from, &subs]), value),
        }
    }

    /// The column that repeats an attribute of the document, or holds one that the document lacks.
    fn column(&self, target: &Target) -> Option<Expression> {
        let attribute = &target.attribute;
        if target.extension.is_some() || attribute.multi_valued {
            return None;
        }
        if let Some(sub) = &target.sub {
            return target.is_core("meta").then(|| self.meta_value(&sub.name));
        }
        match (attribute.name.as_str(), attribute.kind) {
            ("meta", Type::Complex) => Some(Expression::typed(sql("1", []))),
            ("active", Type::Boolean) => Some(Expression::column("resource.active", false)),
            _ => text_column(attribute),
        }
    }

    /// A sub-attribute of `meta` that is no time.
    fn meta_value(&self, name: &str) -> Expression {
        Expression::typed(match name {
            "resourceType" => bound(self.resource_type.to_owned()),
            "location" => sql("(@ || resource.id)", [&bound(self.location_base.to_owned())]),
            "version" => sql("('W/\"' || resource.version || '\"')", []),
            _ => sql("NULL", []),
        })
    }
}

/// The sub-attribute of `meta` that a place names, if it names one.
fn meta_sub<'a>(place: &'a Place, scope: &Scope) -> Option<&'a Attribute> {
    match (place, scope) {
        (Place::Resource(target), _) if target.is_core("meta") => target.sub.as_deref(),
        (Place::Sub(sub), Scope::Meta) => Some(sub),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
