//! Writes a condition as SQL (RFC 7644 section 3.4.2.2): columns and their indexes where there are
//! some, the JSON document elsewhere.
//!
//! `scim/filter_match.rs` gives the same answers in memory; the property test below holds the two
//! together. Every expression written here is 0 or 1 and never NULL, so that NOT means not.

use rusqlite::types::Value;
use serde_json::Number;

use crate::scim::filter::condition::{Condition, Operand, Place, Test};
use crate::scim::filter::grammar::CompareOp;
use crate::scim::filter::path::Target;
use crate::scim::schema::attribute::{Attribute, Type};
use crate::store::query::member_sql::Link;

/// A condition on the table `resource` as SQL, and the values of its question marks in order.
///
/// The text comes from literals of this file alone and depends on the shape of the condition, not
/// on its names and values: those are bound, so that equal shapes share a prepared statement.
///
/// The statement around it calls the table by its name and binds the organisation as `?1`, before
/// these values; its own later parameters are plain question marks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqlFilter {
    /// The expression.
    pub sql: String,
    /// The bound values.
    pub values: Vec<Value>,
}

/// Compiles a condition on resources of one type, whose `meta.location` is their id behind
/// `location_base`. `locations` are the names of the types that members and groups may have, each
/// with what stands before the id in their `$ref`.
#[must_use]
pub fn compile(
    condition: &Condition,
    resource_type: &str,
    location_base: &str,
    locations: &[(String, String)],
) -> SqlFilter {
    Compiler { resource_type, location_base, locations }.condition(condition, &Scope::Resource)
}

/// Puts pieces into the places that `@` marks. Only literals of the program can be templates:
/// nothing a client sends becomes SQL text.
pub(crate) fn sql<const N: usize>(template: &'static str, pieces: [&SqlFilter; N]) -> SqlFilter {
    let mut filled = SqlFilter::default();
    for (i, text) in template.split('@').enumerate() {
        if let Some(piece) = i.checked_sub(1).and_then(|it| pieces.get(it)) {
            filled.sql.push_str(&piece.sql);
            filled.values.extend(piece.values.iter().cloned());
        }
        filled.sql.push_str(text);
    }
    filled
}

pub(crate) fn bound(value: impl Into<Value>) -> SqlFilter {
    SqlFilter { sql: "?".to_owned(), values: vec![value.into()] }
}

/// The JSON path of these members. Attribute names hold no quotes and no backslashes (`AttrPath`).
fn json_path<'a>(members: impl IntoIterator<Item = &'a str>) -> SqlFilter {
    let mut path = "$".to_owned();
    for name in members {
        path.push_str(".\"");
        path.push_str(name);
        path.push('"');
    }
    bound(path)
}

/// Joins terms as a balanced tree: SQLite bounds the depth of an expression, and a plain chain is
/// as deep as it is long.
fn joined(mut terms: Vec<SqlFilter>, template: &'static str, none: &'static str) -> SqlFilter {
    if terms.len() > 1 {
        let right = terms.split_off(terms.len() / 2);
        let left = joined(terms, template, none);
        return sql(template, [&left, &joined(right, template, none)]);
    }
    terms.pop().unwrap_or_else(|| sql(none, []))
}

/// What the places of a condition are looked up in.
enum Scope<'a> {
    /// A row of `resource`.
    Resource,
    /// The `meta` object, which no document holds.
    Meta,
    /// A single-valued complex attribute of the document.
    Complex(&'a Target),
    /// A row `v` of `json_each`: one value of a multi-valued attribute, or of one of any type.
    Value,
    /// A member or a group, in the rows of [`Link::rows`].
    Link(Link),
}

/// An expression for a value, NULL when there is none.
pub(crate) struct Cell {
    value: SqlFilter,
    /// Its JSON type as `json_each` says it, for values that no schema has typed.
    json_type: Option<SqlFilter>,
    /// Whether it is a column of `resource`.
    column: bool,
    /// Whether it is case-folded already.
    folded: bool,
}

impl Cell {
    pub(crate) fn typed(value: SqlFilter) -> Cell {
        Cell { value, json_type: None, column: false, folded: false }
    }

    pub(crate) fn column(name: &'static str, folded: bool) -> Cell {
        Cell { value: sql(name, []), json_type: None, column: true, folded }
    }

    /// A row of `json_each`.
    fn row(value: &'static str, json_type: &'static str) -> Cell {
        let json_type = Some(sql(json_type, []));
        Cell { value: sql(value, []), json_type, column: false, folded: false }
    }

    /// Whether there is a value, the empty string included. Null and what is empty are no values
    /// (RFC 7643 section 2.5), and below an unregistered extension they may stand.
    fn assigned(&self) -> SqlFilter {
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

/// The values at a place.
enum Values {
    /// At most one.
    One(Cell),
    /// The rows of a FROM clause.
    Rows(SqlFilter, Cell),
}

struct Compiler<'a> {
    resource_type: &'a str,
    location_base: &'a str,
    locations: &'a [(String, String)],
}

impl Compiler<'_> {
    fn condition(&self, condition: &Condition, scope: &Scope) -> SqlFilter {
        let each = |terms: &[Condition]| terms.iter().map(|it| self.condition(it, scope)).collect();
        match condition {
            Condition::And(terms) => joined(each(terms), "(@ AND @)", "1"),
            Condition::Or(terms) => joined(each(terms), "(@ OR @)", "0"),
            Condition::Not(inner) => sql("(NOT @)", [&self.condition(inner, scope)]),
            Condition::Test(place, test) => self.test(place, test, scope),
            Condition::Any(target, inner) => self.any(target, inner),
        }
    }

    fn any(&self, target: &Target, inner: &Condition) -> SqlFilter {
        let attribute = &target.attribute;
        if target.is_core("meta") && attribute.kind == Type::Complex && !attribute.multi_valued {
            return self.condition(inner, &Scope::Meta);
        }
        if let Some(link) = Link::of(target) {
            let condition = self.condition(inner, &Scope::Link(link));
            let found = sql("EXISTS (SELECT 1 FROM @ WHERE @)", [&link.rows(), &condition]);
            return match necessary_value(inner) {
                Some(id) => sql("(@ AND @)", [&link.holders(id), &found]),
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
            let assigned = Cell::row("v.value", "v.type").assigned();
            let list = list(&sql("resource.document", []), &path);
            return sql(
                "EXISTS (SELECT 1 FROM json_each(@) AS v WHERE @ AND @)",
                [&list, &assigned, &condition],
            );
        }
        let found = sql(
            "EXISTS (SELECT 1 FROM json_each(resource.document, @) AS v WHERE @)",
            [&path, &condition],
        );
        // The table finds the few resources with that address; which of its values meets the rest
        // of the condition only the document can say.
        match necessary_value(inner) {
            Some(value)
                if is_email_value(target, attribute.sub_attribute("value").map(AsRef::as_ref)) =>
            {
                sql("(@ AND @)", [&has_email(CompareOp::Eq, value), &found])
            }
            _ => found,
        }
    }

    fn test(&self, place: &Place, test: &Test, scope: &Scope) -> SqlFilter {
        if let Some(column) = time_column(place, scope) {
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
            && let Some(link) = Link::of(target)
            && target.leaf().name == "value"
        {
            return link.holders(id);
        }
        match self.values(place, scope) {
            Values::One(cell) => one(&cell, test),
            Values::Rows(from, cell) => rows(&from, &cell, test),
        }
    }

    fn values(&self, place: &Place, scope: &Scope) -> Values {
        let document = sql("resource.document", []);
        match (place, scope) {
            (Place::Resource(target), Scope::Resource) => self.resource_values(target),
            (Place::Sub(sub), Scope::Meta) => Values::One(self.meta_cell(&sub.name)),
            (Place::Sub(sub), Scope::Complex(target)) => {
                single(&document, &attribute_path(target, Some(sub)), sub)
            }
            (Place::Sub(sub), Scope::Value) => {
                let path = json_path([sub.name.as_str()]);
                if sub.kind == Type::Any {
                    let from = sql("json_each(@) AS e", [&untyped_sub_values(sub, &path)]);
                    return Values::Rows(from, Cell::row("e.value", "e.type"));
                }
                single(&sql(OBJECT_OF_ROW, []), &path, sub)
            }
            (Place::Sub(sub), Scope::Link(link)) => {
                Values::One(link.cell(&sub.name, self.locations))
            }
            (Place::Value(_), Scope::Value) => Values::One(Cell::typed(sql("v.value", []))),
            // A condition on values has no place in the resource, nor the other way round.
            _ => Values::One(Cell::typed(sql("NULL", []))),
        }
    }

    fn resource_values(&self, target: &Target) -> Values {
        if let Some(cell) = self.column(target) {
            return Values::One(cell);
        }
        let document = sql("resource.document", []);
        let attribute = &target.attribute;
        let sub = target.sub.as_deref();
        if let Some(link) = Link::of(target) {
            return match sub {
                Some(sub) => Values::Rows(link.rows(), link.cell(&sub.name, self.locations)),
                None => Values::Rows(link.any_rows(), link.cell("value", self.locations)),
            };
        }
        if attribute.kind == Type::Any {
            let values = list(&document, &attribute_path(target, None));
            let Some(sub) = sub else {
                let from = sql("json_each(@) AS v", [&values]);
                return Values::Rows(from, Cell::row("v.value", "v.type"));
            };
            let subs = untyped_sub_values(sub, &json_path([sub.name.as_str()]));
            let from = sql("json_each(@) AS v, json_each(@) AS e", [&values, &subs]);
            return Values::Rows(from, Cell::row("e.value", "e.type"));
        }
        if !attribute.multi_valued {
            let path = attribute_path(target, sub);
            return single(&document, &path, sub.unwrap_or(attribute));
        }
        let path = attribute_path(target, None);
        let from = sql("json_each(resource.document, @) AS v", [&path]);
        let Some(sub) = sub else {
            return Values::Rows(from, Cell::typed(sql("v.value", [])));
        };
        match single(&sql(OBJECT_OF_ROW, []), &json_path([sub.name.as_str()]), sub) {
            Values::One(cell) => Values::Rows(from, cell),
            Values::Rows(subs, cell) => Values::Rows(sql("@, @", [&from, &subs]), cell),
        }
    }

    /// The column that repeats an attribute, or takes the place of it.
    fn column(&self, target: &Target) -> Option<Cell> {
        let attribute = &target.attribute;
        if target.extension.is_some() || attribute.multi_valued {
            return None;
        }
        if let Some(sub) = &target.sub {
            return target.is_core("meta").then(|| self.meta_cell(&sub.name));
        }
        match (attribute.name.as_str(), attribute.kind) {
            ("meta", Type::Complex) => Some(Cell::typed(sql("1", []))),
            ("active", Type::Boolean) => Some(Cell::column("resource.active", false)),
            _ => text_column(attribute),
        }
    }

    fn meta_cell(&self, name: &str) -> Cell {
        Cell::typed(match name {
            "resourceType" => bound(self.resource_type.to_owned()),
            "location" => sql("(@ || resource.id)", [&bound(self.location_base.to_owned())]),
            "version" => sql("('W/\"' || resource.version || '\"')", []),
            _ => sql("NULL", []),
        })
    }
}

/// The indexed column that repeats a core attribute with one text.
pub(crate) fn text_column(attribute: &Attribute) -> Option<Cell> {
    match (attribute.name.as_str(), attribute.kind) {
        ("id", Type::String) => Some(Cell::column("resource.id", false)),
        ("externalId", Type::String) => Some(Cell::column("resource.external_id", false)),
        ("userName", Type::String) if !attribute.case_exact => {
            Some(Cell::column("resource.user_name", true))
        }
        ("displayName", Type::String) if !attribute.case_exact => {
            Some(Cell::column("resource.display_name", true))
        }
        _ => None,
    }
}

/// The row `v` where it is an object; anything else could not be read as JSON.
const OBJECT_OF_ROW: &str = "CASE v.type WHEN 'object' THEN v.value END";

fn attribute_path(target: &Target, sub: Option<&Attribute>) -> SqlFilter {
    let members = [
        target.extension.as_deref(),
        Some(target.attribute.name.as_str()),
        sub.map(|it| it.name.as_str()),
    ];
    json_path(members.into_iter().flatten())
}

/// The values of an attribute that has one parent.
fn single(json: &SqlFilter, path: &SqlFilter, attribute: &Attribute) -> Values {
    if attribute.multi_valued {
        let from = sql("json_each(@, @) AS e", [json, path]);
        return Values::Rows(from, Cell::typed(sql("e.value", [])));
    }
    Values::One(Cell::typed(sql("json_extract(@, @)", [json, path])))
}

/// What stands at a path as a JSON array: an array as it is, anything else in brackets, nothing as
/// NULL. `json_each` alone would take an object for its members.
fn list(json: &SqlFilter, path: &SqlFilter) -> SqlFilter {
    sql(
        "CASE json_type(@, @) WHEN 'array' THEN @ -> @ ELSE '[' || (@ -> @) || ']' END",
        [json, path, json, path, json, path],
    )
}

/// The values of a sub-attribute of the row `v`, which has no schema, as a JSON array.
fn untyped_sub_values(sub: &Attribute, path: &SqlFilter) -> SqlFilter {
    let members = list(&sql("v.value", []), path);
    // What is no object is its own `value`, as in `filter_match.rs`. It is read from the text of
    // the array, because `v.value` has lost whether it was a number or a truth value.
    if sub.name == "value" {
        return sql(
            "CASE v.type WHEN 'object' THEN @ WHEN 'array' THEN v.value \
             ELSE '[' || (v.json -> v.fullkey) || ']' END",
            [&members],
        );
    }
    sql("CASE v.type WHEN 'object' THEN @ END", [&members])
}

fn one(cell: &Cell, test: &Test) -> SqlFilter {
    let value = &cell.value;
    match test {
        Test::Present => sql("ifnull(@ <> '', 0)", [value]),
        Test::Absent => sql("ifnull(@ = '', 1)", [value]),
        Test::Compare(CompareOp::Ne, operand) => {
            sql("ifnull(NOT @, 1)", [&compares(cell, CompareOp::Eq, operand)])
        }
        // A function call would hide a column from its index.
        Test::Compare(op, operand) if cell.column => {
            sql("(@ IS NOT NULL AND @)", [value, &compares(cell, *op, operand)])
        }
        Test::Compare(op, operand) => sql("ifnull(@, 0)", [&compares(cell, *op, operand)]),
    }
}

fn rows(from: &SqlFilter, cell: &Cell, test: &Test) -> SqlFilter {
    let exists = |condition: &SqlFilter| sql("EXISTS (SELECT 1 FROM @ WHERE @)", [from, condition]);
    let assigned = cell.assigned();
    match test {
        Test::Present => exists(&sql("@ AND @ <> ''", [&assigned, &cell.value])),
        Test::Absent => {
            let present = exists(&sql("@ AND @ <> ''", [&assigned, &cell.value]));
            sql("(NOT @)", [&present])
        }
        Test::Compare(CompareOp::Ne, operand) => {
            let equal = compares(cell, CompareOp::Eq, operand);
            let other = sql("@ AND ifnull(NOT @, 1)", [&assigned, &equal]);
            sql("(NOT @ OR @)", [&exists(&assigned), &exists(&other)])
        }
        Test::Compare(op, operand) => exists(&compares(cell, *op, operand)),
    }
}

/// Whether a value compares so: 0, 1, or NULL where there is no value.
fn compares(cell: &Cell, op: CompareOp, operand: &Operand) -> SqlFilter {
    let value = &cell.value;
    match (operand, &cell.json_type) {
        (Operand::Bool(wanted), None) => sql("(@ = @)", [value, &bound(i64::from(*wanted))]),
        (Operand::Bool(wanted), Some(json_type)) => {
            let wanted = if *wanted { "true" } else { "false" };
            sql("(@ = @)", [json_type, &bound(wanted.to_owned())])
        }
        (Operand::Exact(wanted), None) => text_compares(cell, op, wanted),
        (Operand::Exact(wanted) | Operand::Folded(wanted), Some(json_type)) => {
            sql("(@ = 'text' AND @)", [json_type, &text_compares(&folded(cell), op, wanted)])
        }
        (Operand::Folded(wanted), None) => text_compares(&folded(cell), op, wanted),
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

fn folded(cell: &Cell) -> Cell {
    let value = if cell.folded { cell.value.clone() } else { sql("fold(@)", [&cell.value]) };
    Cell { value, json_type: None, column: cell.column, folded: true }
}

fn text_compares(cell: &Cell, op: CompareOp, wanted: &str) -> SqlFilter {
    let value = &cell.value;
    let text = bound(wanted.to_owned());
    match op {
        // Every text contains, begins and ends with the empty one.
        CompareOp::Co | CompareOp::Sw | CompareOp::Ew if wanted.is_empty() => {
            sql("(@ IS NOT NULL)", [value])
        }
        CompareOp::Co => sql("(instr(@, @) > 0)", [value, &text]),
        CompareOp::Sw if cell.column => {
            let end = bound(after_prefix(wanted));
            sql("(@ >= @ AND @ < @)", [value, &text, value, &end])
        }
        CompareOp::Sw => sql("(instr(@, @) = 1)", [value, &text]),
        CompareOp::Ew => {
            // As bytes: `substr` of text stops at a NUL. It is NULL for the empty text.
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

fn in_order(value: &SqlFilter, op: CompareOp, wanted: &SqlFilter) -> SqlFilter {
    let template = match op {
        CompareOp::Eq => "(@ = @)",
        CompareOp::Gt => "(@ > @)",
        CompareOp::Ge => "(@ >= @)",
        CompareOp::Lt => "(@ < @)",
        CompareOp::Le => "(@ <= @)",
        // `ne` is decided over all values; the others compare text.
        CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => "0",
    };
    sql(template, [value, wanted])
}

/// The least value after every text with this prefix. Where no text is (the prefix is all
/// U+10FFFF), the empty blob: SQLite sorts blobs after texts.
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

/// A whole number too large for SQLite's is a floating one, as SQLite reads it in the document.
fn number(number: &Number) -> Value {
    match (number.as_i64(), number.as_f64()) {
        (Some(it), _) => Value::Integer(it),
        (None, Some(it)) => Value::Real(it),
        (None, None) => Value::Null,
    }
}

/// The column of `meta.created` or `meta.lastModified`.
fn time_column(place: &Place, scope: &Scope) -> Option<&'static str> {
    let sub = match (place, scope) {
        (Place::Resource(target), _) if target.is_core("meta") => target.sub.as_ref()?,
        (Place::Sub(sub), Scope::Meta) => sub,
        _ => return None,
    };
    match sub.name.as_str() {
        "created" => Some("resource.created"),
        "lastModified" => Some("resource.last_modified"),
        _ => None,
    }
}

/// Clients see these times in milliseconds and send back what they saw, so the nanoseconds of the
/// column do not count: a time is equal to every instant of its millisecond, and `gt` begins at the
/// next one. Else a client that asks for what is newer than the newest it knows would get that
/// again.
fn time_test(column: &'static str, test: &Test) -> SqlFilter {
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
    // The first instant that prints as this time or a later one, and the first that prints as
    // later.
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

/// Whether a place is `emails.value`, which the table `email` repeats, folded.
pub(crate) fn is_email_value(target: &Target, sub: Option<&Attribute>) -> bool {
    let folded = |it: &Attribute| it.name == "value" && !it.case_exact && !it.multi_valued;
    target.is_core("emails") && target.attribute.multi_valued && sub.is_some_and(folded)
}

fn has_email(op: CompareOp, text: &str) -> SqlFilter {
    let value = Cell::column("email.value", true);
    sql(
        "(resource.seq IN (SELECT email.resource FROM email WHERE email.org = ?1 AND @))",
        [&text_compares(&value, op, text)],
    )
}

/// The `value` that whatever meets this condition on values must have.
pub(crate) fn necessary_value(condition: &Condition) -> Option<&str> {
    match condition {
        Condition::And(terms) => terms.iter().find_map(necessary_value),
        Condition::Test(Place::Sub(sub), Test::Compare(CompareOp::Eq, Operand::Folded(text)))
            if sub.name == "value" =>
        {
            Some(text)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell as Counter;
    use std::path::PathBuf;
    use std::sync::Arc;

    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::{RngSeed, TestRunner};
    use rusqlite::{Connection, params, params_from_iter};
    use serde_json::{Map, Value as Json, json};

    use super::*;
    use crate::scim::datetime::Timestamp;
    use crate::scim::filter::comparison::fold;
    use crate::scim::filter::grammar::{self, Filter, Literal};
    use crate::scim::filter::matching::matches;
    use crate::scim::filter::path::AttrPath;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;
    use crate::scim::schema::document::Schema;
    use crate::scim::schema::resource_type::{Extension, ResourceType};
    use crate::store::Store;
    use crate::store::connection;
    use crate::store::open::Open;

    const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    /// An extension of these tests: the kinds of attributes that the built-in schemas lack.
    const TYPED: &str = "urn:test:2.0:Typed";
    /// An extension that has no schema.
    const UNTYPED: &str = "urn:test:2.0:Untyped";
    const LOCATIONS: &str = "https://example.com/scim/v2/Users/";

    fn users() -> ResourceType {
        let attribute = |name: &str, kind: &str, multi_valued: bool, case_exact: bool| {
            json!({"name": name, "type": kind, "multiValued": multi_valued, "caseExact": case_exact,
                "mutability": "readWrite", "returned": "default"})
        };
        let complex = |name: &str, multi_valued: bool, subs: &[Json]| {
            let mut it = attribute(name, "complex", multi_valued, false);
            it["subAttributes"] = subs.into();
            it
        };
        let document = json!({"id": TYPED, "attributes": [
            attribute("hired", "dateTime", false, false),
            attribute("level", "integer", false, false),
            attribute("score", "decimal", false, false),
            attribute("flag", "boolean", false, false),
            attribute("badge", "string", false, true),
            attribute("tags", "string", true, false),
            attribute("codes", "string", true, true),
            attribute("sizes", "integer", true, false),
            attribute("leaves", "dateTime", true, false),
            complex("seat", false, &[
                attribute("row", "integer", false, false),
                attribute("name", "string", false, false),
                attribute("aliases", "string", true, false),
            ]),
            complex("cards", true, &[
                attribute("value", "string", false, true),
                attribute("since", "dateTime", false, false),
                attribute("limit", "decimal", false, false),
                attribute("blocked", "boolean", false, false),
                attribute("labels", "string", true, false),
            ]),
        ]});
        let schema = Arc::new(Schema::from_document(document).unwrap());
        let mut users = Definitions::builtin(IdentityChanges::Refuse).resource_types.remove(0);
        users.extensions.push(Extension { schema, required: false });
        users
    }

    fn groups() -> ResourceType {
        Definitions::builtin(IdentityChanges::Refuse).resource_types.remove(1)
    }

    /// A database of its own, removed with the folder it stands in.
    struct Harness {
        folder: PathBuf,
        connection: Connection,
    }

    impl Harness {
        fn new(name: &str) -> Harness {
            let folder = std::env::temp_dir().join(format!("plumm-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join("plumm.db");
            drop(Store::open(&path, Open::Create).unwrap());
            let connection = connection::open_writer(&path, false).unwrap();
            let sql = "INSERT INTO org (id, name, name_folded, active, username_format,
                identity_changes, created) VALUES (7, 'a', 'a', 1, 'email', 'refuse', 0)";
            connection.execute(sql, []).unwrap();
            Harness { folder, connection }
        }

        /// Adds a resource: the document as stored, and the columns that repeat parts of it.
        fn add(&self, resource: &Resource) {
            let document = &resource.stored;
            let text = |name: &str| document.get(name).and_then(Json::as_str);
            let sql = "INSERT INTO resource (seq, org, type, id, user_name, external_id,
                display_name, active, created, last_modified, version, document)
                VALUES (?, 7, 'User', ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let values = params![
                resource.seq,
                text("id"),
                text("userName").map(fold),
                text("externalId"),
                text("displayName").map(fold),
                document.get("active").and_then(Json::as_bool),
                resource.created,
                resource.last_modified,
                resource.seq,
                resource.text(),
            ];
            self.connection.prepare_cached(sql).unwrap().execute(values).unwrap();
            let emails = document.get("emails").and_then(Json::as_array).into_iter().flatten();
            for value in emails.filter_map(|it| it.get("value")?.as_str()) {
                let sql = "INSERT OR IGNORE INTO email (org, value, resource) VALUES (7, ?, ?)";
                let values = params![fold(value), resource.seq];
                self.connection.prepare_cached(sql).unwrap().execute(values).unwrap();
            }
        }

        /// The list query, and what is selected instead of `seq`.
        fn list(filter: &SqlFilter, selected: &str, explain: &str) -> (String, Vec<Value>) {
            let sql = format!(
                "{explain} SELECT {selected} FROM resource WHERE org = ?1 AND type = ?2
                 AND deleted IS NULL AND ({}) ORDER BY seq",
                filter.sql
            );
            let org_and_type = [Value::Integer(7), Value::Text("User".to_owned())];
            (sql, org_and_type.into_iter().chain(filter.values.iter().cloned()).collect())
        }

        fn select(&self, filter: &SqlFilter) -> Vec<i64> {
            let (sql, values) = Harness::list(filter, "seq", "");
            let mut statement = self.connection.prepare_cached(&sql).unwrap();
            let rows = statement.query_map(params_from_iter(values), |row| row.get(0)).unwrap();
            rows.map(|it| it.unwrap()).collect()
        }

        /// What the expression is for each resource, in order.
        fn verdicts(&self, filter: &SqlFilter) -> Vec<Value> {
            let sql = format!(
                "SELECT ?1, ?2, ({}) FROM resource WHERE org = ?1 ORDER BY seq",
                filter.sql
            );
            let (_, values) = Harness::list(filter, "", "");
            let mut statement = self.connection.prepare(&sql).unwrap();
            let rows = statement.query_map(params_from_iter(values), |row| row.get(2)).unwrap();
            rows.map(|it| it.unwrap()).collect()
        }

        fn plan(&self, text: &str) -> String {
            let (sql, values) = Harness::list(&compiled(text), "seq", "EXPLAIN QUERY PLAN");
            let mut statement = self.connection.prepare(&sql).unwrap();
            let rows = statement.query_map(params_from_iter(values), |row| row.get("detail"));
            rows.unwrap().map(|it| it.unwrap()).collect::<Vec<String>>().join("\n")
        }
    }

    impl Drop for Harness {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    #[derive(Clone, Debug)]
    struct Resource {
        seq: i64,
        created: i64,
        last_modified: i64,
        stored: Map<String, Json>,
    }

    impl Resource {
        fn new(seq: i64, times: (i64, i64), mut stored: Map<String, Json>) -> Resource {
            stored.insert("id".to_owned(), format!("id-{seq}").into());
            Resource { seq, created: times.0, last_modified: times.1, stored }
        }

        fn text(&self) -> String {
            Json::from(self.stored.clone()).to_string()
        }

        fn answered(&self) -> Map<String, Json> {
            let time = |it: i64| Timestamp::from_nanoseconds(it).to_string();
            // As the server reads it back.
            let mut document: Map<String, Json> = serde_json::from_str(&self.text()).unwrap();
            let meta = json!({
                "resourceType": "User",
                "created": time(self.created),
                "lastModified": time(self.last_modified),
                "location": format!("{LOCATIONS}id-{}", self.seq),
                "version": format!("W/\"{}\"", self.seq),
            });
            document.insert("meta".to_owned(), meta);
            document
        }
    }

    fn condition(text: &str) -> Condition {
        let filter = grammar::parse(text).unwrap_or_else(|it| panic!("{text}: {it}"));
        // `members` is the one attribute of these tests that users have not.
        let of = if text.contains("members") { groups() } else { users() };
        Condition::of_resource(&filter, &of).unwrap_or_else(|it| panic!("{text}: {it}"))
    }

    fn compiled(text: &str) -> SqlFilter {
        compile(&condition(text), "User", LOCATIONS, &[])
    }

    // What clients search by is found through an index.

    #[track_caller]
    fn check_plan(harness: &Harness, filter: &str, expected: &[&str]) {
        let plan = harness.plan(filter);
        for it in expected {
            assert!(plan.contains(it), "{filter}: {it}\n{plan}");
        }
        assert!(!plan.contains("SCAN resource"), "{filter}\n{plan}");
    }

    #[test]
    fn indexes_serve_what_clients_search_by() {
        let harness = Harness::new("plans");
        let user_name = "resource_user_name (org=? AND type=? AND user_name=?)";
        check_plan(&harness, "userName eq \"a\"", &[user_name]);
        check_plan(&harness, "userName eq \"a\" and active eq true", &[user_name]);
        check_plan(&harness, &format!("{USER}:userName eq \"a\""), &[user_name]);
        let external_id = "resource_external_id (org=? AND type=? AND external_id=?)";
        check_plan(&harness, "externalId eq \"a\"", &[external_id]);
        let display_name = "resource_display_name (org=? AND type=? AND display_name=?)";
        check_plan(&harness, "displayName eq \"a\"", &[display_name]);
        let range = "resource_user_name (org=? AND type=? AND user_name>? AND user_name<?)";
        check_plan(&harness, "userName sw \"a\"", &[range]);
        check_plan(&harness, "id eq \"a\"", &["sqlite_autoindex_resource_1 (id=?)"]);
        let modified = "resource_last_modified (org=? AND type=? AND last_modified>?)";
        check_plan(&harness, "meta.lastModified gt \"2020-01-01T00:00:00Z\"", &[modified]);
        let email = [
            "resource_list (org=? AND type=? AND seq=?)",
            "email USING PRIMARY KEY (org=? AND value=?)",
        ];
        check_plan(&harness, "emails.value eq \"a\"", &email);
        check_plan(&harness, "emails eq \"a\"", &email);
        check_plan(&harness, "emails[type eq \"work\"].value eq \"a\"", &email);
        check_plan(&harness, "emails[type eq \"work\" and value eq \"a\"]", &email);
        let email = [
            "resource_list (org=? AND type=? AND seq=?)",
            "email USING PRIMARY KEY (org=? AND value>",
        ];
        check_plan(&harness, "emails.value sw \"a\"", &email);
        // Groups are found from the person, and persons from the group.
        let linked = [
            "resource_list (org=? AND type=? AND seq=?)",
            "linked USING COVERING INDEX sqlite_autoindex_resource_1 (id=?)",
            "member USING COVERING INDEX member_resource (resource=?)",
        ];
        check_plan(&harness, "members eq \"a\"", &linked);
        check_plan(&harness, "members.value eq \"a\" and displayName co \"b\"", &linked);
        check_plan(&harness, "members[value eq \"a\" and type eq \"User\"]", &linked);
        let id = ["sqlite_autoindex_resource_1 (id=?)"];
        check_plan(&harness, "id eq \"a\" and members eq \"b\"", &id);
        let linked = [
            "resource_list (org=? AND type=? AND seq=?)",
            "linked USING INDEX sqlite_autoindex_resource_1 (id=?)",
            "member USING PRIMARY KEY (grp=?)",
        ];
        check_plan(&harness, "groups eq \"a\"", &linked);
        check_plan(&harness, "groups[type eq \"direct\" and value eq \"a\"]", &linked);
        check_plan(&harness, "id eq \"a\" and groups eq \"b\"", &id);
    }

    #[test]
    fn equal_shapes_have_equal_text_and_no_word_of_the_request() {
        let shapes = [
            ("userName sw \"a\"", "userName sw \"\u{10ffff}\""),
            (
                "title co \"a\" and not (active eq true)",
                "nickName co \"b\" and not (active eq false)",
            ),
            ("emails[type eq \"a\"].value eq \"b\"", "emails[display eq \"c\"].value eq \"d\""),
            ("urn:x:y:one eq 1", "urn:x:z:two eq 1.5"),
            ("urn:x:y:one.a eq \"1\"", "urn:x:z:two.b eq \"2\""),
            (
                "meta.created eq \"2020-01-01T00:00:00Z\"",
                "meta.created eq \"2021-01-01T00:00:00.0001Z\"",
            ),
        ];
        for (a, b) in shapes {
            assert_eq!(compiled(a).sql, compiled(b).sql, "{a}\n{b}");
            assert_ne!(compiled(a).values, compiled(b).values, "{a}\n{b}");
        }
        let filter = compiled("urn:zig:2.0:zag:Zog.zug eq \"zorg\" or title ew \"zorg\"");
        assert!(!filter.sql.to_lowercase().contains('z'), "{}", filter.sql);
    }

    #[test]
    fn the_largest_filters_run() {
        let harness = Harness::new("limits");
        let document = json!({"userName": "a", "emails": [{"value": "a", "type": "work"}]});
        let document = document.as_object().unwrap().clone();
        harness.add(&Resource::new(1, (0, 0), document));
        let terms = [
            "userName sw \"a\"",
            "emails[type eq \"work\"]",
            "emails.value eq \"a\"",
            "urn:x:y:z.sub ne \"a\"",
            "phoneNumbers.value ne \"a\"",
        ];
        // What stands between brackets counts for itself.
        let terms_max = |term: &str| grammar::FILTER_TERMS_MAX / (1 + term.matches('[').count());
        for term in terms {
            for word in [" and ", " or "] {
                let text = vec![term; terms_max(term)].join(word);
                assert_eq!(harness.select(&compiled(&text)), [1], "{word} {term}");
            }
        }
        let mixed: Vec<&str> = terms.into_iter().cycle().take(400).collect();
        assert_eq!(harness.select(&compiled(&mixed.join(" and "))), [1]);
        let mut deep = "emails[type eq \"work\"]".to_owned();
        let evenly_negated = grammar::FILTER_DEPTH_MAX / 2 - 2;
        for _ in 0..evenly_negated {
            deep = format!("(title pr or not ({deep}))");
        }
        assert_eq!(harness.select(&compiled(&deep)), [1]);
    }

    #[test]
    fn a_time_is_compared_as_it_was_printed() {
        let harness = Harness::new("times");
        let stored = json!({"userName": "a"}).as_object().unwrap().clone();
        // Half a millisecond behind what clients see.
        let resource = Resource::new(1, (0, 1_500_000), stored);
        let seen = resource.answered()["meta"]["lastModified"].as_str().unwrap().to_owned();
        harness.add(&resource);
        for (op, expected) in
            [("gt", false), ("ge", true), ("eq", true), ("le", true), ("lt", false), ("ne", false)]
        {
            let text = format!("meta.lastModified {op} \"{seen}\"");
            assert_eq!(matches(&condition(&text), &resource.answered()), expected, "{text}");
            assert_eq!(!harness.select(&compiled(&text)).is_empty(), expected, "{text}");
        }
    }

    // Both ways to decide a filter agree.

    const TEXTS: &[&str] = &[
        "",
        "a",
        "A",
        "ab",
        "aB",
        "ba",
        "abc",
        "b",
        "é",
        "É",
        "e\u{301}",
        "STRASSE",
        "straße",
        "straßen",
        "x\0y",
        "\0",
        "x",
        "100%",
        "100",
        "a_c",
        "😀",
        "😀a",
        "\u{10ffff}",
        "\u{10ffff}a",
        "\u{d7ff}",
        "\u{e000}",
        "'",
        "\"",
        "\\",
        "@",
        "?1",
        "work",
        "home",
        "Work",
        "bob@example.com",
        "Bob@Example.COM",
        "true",
        "1",
        "[]",
        "{}",
        "null",
    ];
    const TIMES: &[&str] = &[
        "2020-01-01T00:00:00Z",
        "2020-01-01T01:00:00+01:00",
        "2020-01-01T00:00:00.001Z",
        "2020-01-01T00:00:00.0005Z",
        "2020-01-01T00:00:00",
        "1969-12-31T23:59:59.9995Z",
        "1970-01-01T00:00:00Z",
        "9999-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
    ];
    const NANOSECONDS: &[i64] =
        &[0, 1, -1, -500_000, 1_577_836_800_000_000_000, 1_577_836_800_000_500_000];

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![9 => select(TEXTS).prop_map(str::to_owned), 1 => any::<String>()]
    }

    fn time() -> impl Strategy<Value = String> {
        select(TIMES).prop_map(str::to_owned)
    }

    fn whole() -> impl Strategy<Value = Number> {
        let edges = [0, 1, 2, -1, 9_007_199_254_740_993, i64::MAX, i64::MAX - 1, i64::MIN];
        prop_oneof![
            8 => select(edges.to_vec()).prop_map(Number::from),
            1 => select(vec![u64::MAX, u64::MAX - 1, 1 << 63]).prop_map(Number::from),
            1 => any::<i64>().prop_map(Number::from),
        ]
    }

    fn real() -> impl Strategy<Value = Number> {
        let edges = [
            -0.0,
            1.0,
            1.5,
            0.1,
            0.3,
            9_007_199_254_740_992.0,
            9.223_372_036_854_776e18,
            1e300,
            -1e300,
            5e-324,
            2.225_073_858_507_201e-308,
        ];
        let finite = any::<f64>().prop_filter_map("finite", Number::from_f64);
        prop_oneof![
            4 => whole(),
            4 => select(edges.to_vec()).prop_filter_map("finite", Number::from_f64),
            2 => finite,
        ]
    }

    fn untyped() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            4 => text().prop_map(Json::from),
            2 => any::<bool>().prop_map(Json::from),
            3 => real().prop_map(Json::Number),
            1 => Just(Json::Null),
        ];
        leaf.prop_recursive(3, 8, 3, |inner| {
            let name = select(vec!["value", "sub", "Sub", "x\"y"]).prop_map(str::to_owned);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::vec((name, inner), 0..3).prop_map(|it| it.into_iter().collect()),
            ]
        })
    }

    /// The type of an attribute of the pools below, as far as filters and values differ by it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Kind {
        Text,
        Bool,
        Whole,
        Real,
        Time,
        Any,
    }

    fn value(kind: Kind) -> BoxedStrategy<Json> {
        match kind {
            Kind::Text => text().prop_map(Json::from).boxed(),
            Kind::Bool => any::<bool>().prop_map(Json::from).boxed(),
            Kind::Whole => whole().prop_map(Json::from).boxed(),
            Kind::Real => real().prop_map(Json::from).boxed(),
            Kind::Time => time().prop_map(Json::from).boxed(),
            Kind::Any => untyped().boxed(),
        }
    }

    type Fields = &'static [(&'static str, Kind)];

    const CORE: Fields = &[
        ("userName", Kind::Text),
        ("externalId", Kind::Text),
        ("displayName", Kind::Text),
        ("title", Kind::Text),
        ("profileUrl", Kind::Text),
        ("active", Kind::Bool),
    ];
    const NAME: Fields = &[("familyName", Kind::Text), ("givenName", Kind::Text)];
    const PLURAL: Fields = &[
        ("value", Kind::Text),
        ("type", Kind::Text),
        ("display", Kind::Text),
        ("primary", Kind::Bool),
    ];
    const MANAGER: Fields = &[("value", Kind::Text), ("$ref", Kind::Text)];
    const TYPED_SINGLE: Fields = &[
        ("hired", Kind::Time),
        ("level", Kind::Whole),
        ("score", Kind::Real),
        ("flag", Kind::Bool),
        ("badge", Kind::Text),
    ];
    const TYPED_PLURAL: Fields = &[
        ("tags", Kind::Text),
        ("codes", Kind::Text),
        ("sizes", Kind::Whole),
        ("leaves", Kind::Time),
    ];
    const SEAT: Fields = &[("row", Kind::Whole), ("name", Kind::Text)];
    const CARD: Fields = &[
        ("value", Kind::Text),
        ("since", Kind::Time),
        ("limit", Kind::Real),
        ("blocked", Kind::Bool),
    ];
    const UNTYPED_FIELDS: Fields = &[("one", Kind::Any), ("Two", Kind::Any), ("drei-é", Kind::Any)];
    const UNTYPED_SUBS: Fields = &[("value", Kind::Any), ("sub", Kind::Any), ("Sub", Kind::Any)];

    /// An object with some of these members, and none that is empty.
    fn object(members: Vec<(String, BoxedStrategy<Json>)>) -> BoxedStrategy<Json> {
        let some: Vec<_> = members
            .into_iter()
            .map(|(name, value)| {
                prop::option::weighted(0.6, value).prop_map(move |it| (name.clone(), it))
            })
            .collect();
        let assigned = |it: &Json| match it {
            Json::Object(members) => !members.is_empty(),
            Json::Array(elements) => !elements.is_empty(),
            _ => true,
        };
        some.prop_map(move |members| {
            let members = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
            members.filter(|(_, value)| assigned(value)).collect::<Map<_, _>>().into()
        })
        .boxed()
    }

    fn members(fields: Fields) -> Vec<(String, BoxedStrategy<Json>)> {
        fields.iter().map(|(name, kind)| ((*name).to_owned(), value(*kind))).collect()
    }

    fn array(element: BoxedStrategy<Json>) -> BoxedStrategy<Json> {
        let assigned = |it: &Json| it.as_object().is_none_or(|it| !it.is_empty());
        prop::collection::vec(element, 0..4)
            .prop_map(move |it| it.into_iter().filter(assigned).collect::<Vec<_>>().into())
            .boxed()
    }

    fn document() -> impl Strategy<Value = Map<String, Json>> {
        let and = |name: &str, value: BoxedStrategy<Json>| (name.to_owned(), value);
        let mut enterprise = members(&[("department", Kind::Text)]);
        enterprise.push(and("manager", object(members(MANAGER))));
        let mut typed = members(TYPED_SINGLE);
        typed.extend(TYPED_PLURAL.iter().map(|(name, kind)| and(name, array(value(*kind)))));
        let mut seat = members(SEAT);
        seat.push(and("aliases", array(value(Kind::Text))));
        typed.push(and("seat", object(seat)));
        let mut card = members(CARD);
        card.push(and("labels", array(value(Kind::Text))));
        typed.push(and("cards", array(object(card))));
        // What has no schema is kept as it came, empty or not.
        let untyped =
            prop::collection::vec((select(UNTYPED_FIELDS), untyped()), 0..4).prop_map(|it| {
                it.into_iter().map(|(field, value)| (field.0.to_owned(), value)).collect()
            });
        let mut user = members(CORE);
        user.push(and(
            "schemas",
            array(select(vec![USER, ENTERPRISE, TYPED]).prop_map(Json::from).boxed()),
        ));
        user.push(and("name", object(members(NAME))));
        user.push(and("phoneNumbers", array(object(members(PLURAL)))));
        let address = select(vec!["bob@example.com", "Bob@Example.COM", "work", "a", "é", ""]);
        let mut email = members(&PLURAL[1..]);
        email.push(and("value", address.prop_map(Json::from).boxed()));
        user.push(and("emails", array(object(email))));
        user.push(and(ENTERPRISE, object(enterprise)));
        user.push(and(TYPED, object(typed)));
        user.push(and(UNTYPED, prop_oneof![8 => untyped, 1 => Just(json!(["one"]))].boxed()));
        object(user).prop_map(|it| it.as_object().cloned().unwrap())
    }

    fn resources() -> impl Strategy<Value = Vec<Resource>> {
        let instant = || prop_oneof![4 => select(NANOSECONDS), 1 => any::<i64>()];
        let one = (document(), instant(), instant());
        prop::collection::vec(one, 1..8).prop_map(|all| {
            let mut taken = Vec::new();
            let numbered = (1..).zip(all).map(|(seq, (mut it, a, b))| {
                let name =
                    it.get("userName").and_then(Json::as_str).map(|it| fold(it).into_owned());
                if name.is_some() && taken.contains(&name) {
                    it.remove("userName");
                }
                taken.push(name);
                Resource::new(seq, (a, b), it)
            });
            numbered.collect()
        })
    }

    /// The paths of filters on a resource.
    fn paths() -> Vec<(String, Kind)> {
        let mut paths = Vec::new();
        let mut add = |prefix: &str, fields: Fields| {
            paths.extend(fields.iter().map(|(name, kind)| (format!("{prefix}{name}"), *kind)));
        };
        add("", CORE);
        add("", CORE);
        add(&format!("{USER}:"), CORE);
        add("name.", NAME);
        add(&format!("{}:NAME.", USER.to_uppercase()), NAME);
        add("emails.", PLURAL);
        add("emails.", PLURAL);
        add("phoneNumbers.", PLURAL);
        add(
            "",
            &[
                ("emails", Kind::Text),
                ("PHONENUMBERS", Kind::Text),
                ("addresses.locality", Kind::Text),
            ],
        );
        add("", &[("id", Kind::Text), ("schemas", Kind::Text), ("manager", Kind::Text)]);
        add("meta.", &[("created", Kind::Time), ("lastModified", Kind::Time)]);
        add(
            "meta.",
            &[("version", Kind::Text), ("location", Kind::Text), ("resourceType", Kind::Text)],
        );
        add(&format!("{ENTERPRISE}:"), &[("department", Kind::Text), ("manager.$ref", Kind::Text)]);
        add(&format!("{ENTERPRISE}:MANAGER."), MANAGER);
        add(&format!("{TYPED}:"), TYPED_SINGLE);
        add("", TYPED_PLURAL);
        add(&format!("{TYPED}:seat."), SEAT);
        add(&format!("{TYPED}:seat."), &[("aliases", Kind::Text)]);
        add(&format!("{TYPED}:cards."), CARD);
        add("cards.", &[("labels", Kind::Text)]);
        for _ in 0..3 {
            add(&format!("{UNTYPED}:"), UNTYPED_FIELDS);
            add(&format!("{UNTYPED}:one."), UNTYPED_SUBS);
            add(&format!("{UNTYPED}:Two."), UNTYPED_SUBS);
        }
        paths
    }

    /// The attributes that brackets may follow, with the names that may stand between them.
    fn bracketed() -> Vec<(String, Vec<(String, Kind)>)> {
        let of = |name: &str, groups: &[Fields]| {
            let subs = groups.iter().copied().flatten().map(|(it, kind)| ((*it).to_owned(), *kind));
            (name.to_owned(), subs.collect())
        };
        let times: Fields = &[("created", Kind::Time), ("lastModified", Kind::Time)];
        vec![
            of("emails", &[PLURAL]),
            of("emails", &[PLURAL]),
            of(&format!("{USER}:phoneNumbers"), &[PLURAL]),
            of("name", &[NAME]),
            of("meta", &[times, &[("version", Kind::Text), ("LOCATION", Kind::Text)]]),
            of("manager", &[MANAGER]),
            of("schemas", &[&[("value", Kind::Text)]]),
            of(&format!("{TYPED}:tags"), &[&[("value", Kind::Text)]]),
            of("sizes", &[&[("value", Kind::Whole)]]),
            of("leaves", &[&[("value", Kind::Time)]]),
            of("seat", &[SEAT, &[("aliases", Kind::Text)]]),
            of(&format!("{TYPED}:CARDS"), &[CARD, &[("labels", Kind::Text)]]),
            of(&format!("{UNTYPED}:one"), &[UNTYPED_SUBS]),
            of(&format!("{UNTYPED}:Two"), &[UNTYPED_SUBS]),
        ]
    }

    fn test_of(path: &str, kind: Kind) -> BoxedStrategy<Filter> {
        let equality = vec![CompareOp::Eq, CompareOp::Ne];
        let order = vec![CompareOp::Gt, CompareOp::Ge, CompareOp::Lt, CompareOp::Le];
        let within = vec![CompareOp::Co, CompareOp::Sw, CompareOp::Ew];
        let ordered = || [equality.clone(), order.clone()].concat();
        let all = [equality.clone(), order.clone(), within].concat();
        let known =
            |texts: &[&str]| select(texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let texts = if path.ends_with("schemas") {
            known(&[USER, ENTERPRISE, "urn:"]).boxed()
        } else if path == "id" {
            known(&["id-1", "id-2", "ID-1", "id"]).boxed()
        } else if path.to_lowercase().ends_with("location") {
            known(&["https://example.com/scim/v2/Users/id-1", "users", "/id-2"]).boxed()
        } else if path.ends_with("version") {
            known(&["W/\"1\"", "w/\"1\"", "W/", "\"2\""]).boxed()
        } else if path.ends_with("resourceType") {
            known(&["User", "user", "U"]).boxed()
        } else {
            text().boxed()
        };
        let texts = texts.prop_map(Literal::String);
        let compared: BoxedStrategy<(CompareOp, Literal)> = match kind {
            Kind::Text => (select(all), texts).boxed(),
            Kind::Bool => (select(equality.clone()), any::<bool>().prop_map(Literal::Bool)).boxed(),
            Kind::Whole | Kind::Real => {
                (select(ordered()), real().prop_map(Literal::Number)).boxed()
            }
            Kind::Time => (select(ordered()), time().prop_map(Literal::String)).boxed(),
            Kind::Any => prop_oneof![
                3 => (select(all), texts),
                1 => (select(equality.clone()), any::<bool>().prop_map(Literal::Bool)),
                2 => (select(ordered()), real().prop_map(Literal::Number)),
            ]
            .boxed(),
        };
        let path = AttrPath::new(path).unwrap();
        let (a, b) = (path.clone(), path.clone());
        prop_oneof![
            8 => compared.prop_map(move |(op, it)| Filter::Compare(a.clone(), op, it)),
            1 => select(equality).prop_map(move |op| Filter::Compare(b.clone(), op, Literal::Null)),
            1 => Just(Filter::Present(path)),
        ]
        .boxed()
    }

    fn logic(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
        leaf.prop_recursive(3, 6, 3, |inner| {
            let some = || prop::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                some().prop_map(Filter::And),
                some().prop_map(Filter::Or),
                inner.clone().prop_map(|it| Filter::Not(Box::new(it))),
            ]
        })
        .boxed()
    }

    fn filters() -> BoxedStrategy<Filter> {
        let test = select(paths()).prop_flat_map(|(path, kind)| test_of(&path, kind));
        let whole = ["name", "meta", "emails", "manager", "cards", "seat", "addresses"];
        let whole =
            select(whole.to_vec()).prop_map(|it| Filter::Present(AttrPath::new(it).unwrap()));
        let brackets = select(bracketed()).prop_flat_map(|(path, subs)| {
            let test = select(subs).prop_flat_map(|(name, kind)| test_of(&name, kind));
            let path = AttrPath::new(&path).unwrap();
            logic(test.boxed()).prop_map(move |it| Filter::ValuePath(path.clone(), Box::new(it)))
        });
        // The table of addresses may only narrow down what the other tests in the brackets decide.
        let addresses = vec!["bob@example.com", "work", "a"];
        let address = select(addresses).prop_map(|it| {
            let value = AttrPath::new("value").unwrap();
            Filter::Compare(value, CompareOp::Eq, Literal::String(it.to_owned()))
        });
        let other = select(PLURAL).prop_flat_map(|(name, kind)| test_of(name, kind));
        let narrowed = (any::<bool>(), address, other).prop_map(|(and, address, other)| {
            let terms = vec![other, address];
            let both = if and { Filter::And(terms) } else { Filter::Or(terms) };
            Filter::ValuePath(AttrPath::new("emails").unwrap(), Box::new(both))
        });
        logic(prop_oneof![6 => test, 1 => whole, 3 => brackets, 1 => narrowed].boxed())
    }

    /// Decides each filter in both ways, on resources with these documents and one that has
    /// nothing.
    #[track_caller]
    fn check_agreement(name: &str, documents: Vec<Json>, filters: &[Filter]) {
        let harness = Harness::new(name);
        let users = users();
        let documents = (1..).zip(documents.into_iter().chain([json!({})]));
        let changes = harness.connection.unchecked_transaction().unwrap();
        let answers: Vec<_> = documents
            .map(|(seq, it)| {
                let resource = Resource::new(seq, (0, 0), it.as_object().unwrap().clone());
                harness.add(&resource);
                resource.answered()
            })
            .collect();
        let mut decided = 0;
        for filter in filters {
            // Truth values have no order, and numbers contain nothing.
            let Ok(condition) = Condition::of_resource(filter, &users) else { continue };
            let expected = answers.iter().map(|it| Value::Integer(matches(&condition, it).into()));
            let sql = compile(&condition, "User", LOCATIONS, &[]);
            assert_eq!(harness.verdicts(&sql), expected.collect::<Vec<_>>(), "{filter}");
            decided += 1;
        }
        assert!(decided > filters.len() / 2);
        drop(changes);
    }

    fn every_comparison(path: &str, literals: &[Literal]) -> Vec<Filter> {
        let path = AttrPath::new(path).unwrap();
        let compare = |op, it: &Literal| Filter::Compare(path.clone(), op, it.clone());
        let ops = CompareOp::ALL.iter().map(|it| it.0);
        ops.flat_map(|op| literals.iter().map(move |it| (op, it)))
            .map(|(op, it)| compare(op, it))
            .collect()
    }

    #[test]
    fn every_operator_agrees_on_every_text() {
        let document = |text: &&str| {
            json!({"displayName": text, "externalId": text, "title": text,
                "emails": [{"value": text}], TYPED: {"codes": [text]}})
        };
        let literals: Vec<_> = TEXTS.iter().map(|it| Literal::String((*it).to_owned())).collect();
        let paths = ["displayName", "externalId", "title", "emails.value", "codes"];
        let filters: Vec<_> = paths.iter().flat_map(|it| every_comparison(it, &literals)).collect();
        check_agreement("texts", TEXTS.iter().map(document).collect(), &filters);
    }

    #[test]
    fn every_operator_agrees_on_every_untyped_value() {
        let plain = [
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(-0.0),
            json!(1),
            json!(1.0),
            json!(1.5),
            json!(""),
            json!("a"),
            json!("1"),
            json!("true"),
            json!("{}"),
            json!("[]"),
        ];
        let held = |it: &Json| {
            [
                it.clone(),
                json!([it]),
                json!({"sub": it}),
                json!({"value": it}),
                json!([[it]]),
                json!([null, {"sub": [it]}, [], {}]),
                json!([it, "z"]),
            ]
        };
        let documents =
            plain.iter().flat_map(held).map(|it| json!({UNTYPED: {"one": it}})).collect();
        let literal = |it: &Json| match it {
            Json::Bool(it) => Literal::Bool(*it),
            Json::Number(it) => Literal::Number(it.clone()),
            Json::String(it) => Literal::String(it.clone()),
            _ => Literal::Null,
        };
        let literals: Vec<_> = plain.iter().map(literal).collect();
        let one = format!("{UNTYPED}:one");
        let mut filters = Vec::new();
        for sub in ["value", "sub"] {
            filters.extend(every_comparison(&format!("{one}.{sub}"), &literals));
            let inner = every_comparison(sub, &literals).into_iter().map(Box::new);
            let path = AttrPath::new(&one).unwrap();
            filters.extend(inner.map(|it| Filter::ValuePath(path.clone(), it)));
        }
        filters.extend(every_comparison(&one, &literals));
        check_agreement("untyped", documents, &filters);
    }

    #[test]
    fn both_ways_to_decide_a_filter_agree() {
        let harness = Harness::new("agree");
        let users = users();
        let (yes, no) = (Counter::new(0_u32), Counter::new(0_u32));
        let config = ProptestConfig {
            cases: 400,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(7644),
            ..ProptestConfig::default()
        };
        let input = (resources(), prop::collection::vec(filters(), 1..16));
        let checked = TestRunner::new(config).run(&input, |(resources, filters)| {
            // Undone at the end of the case, or by its panic.
            let changes = harness.connection.unchecked_transaction().unwrap();
            resources.iter().for_each(|it| harness.add(it));
            let outcome = filters.iter().try_for_each(|filter| {
                let text = filter.to_string();
                let parsed = grammar::parse(&text);
                prop_assert_eq!(parsed.as_ref(), Ok(filter), "reads as printed");
                let condition = Condition::of_resource(filter, &users).unwrap();
                let sql = compile(&condition, "User", LOCATIONS, &[]);
                let expected: Vec<bool> =
                    resources.iter().map(|it| matches(&condition, &it.answered())).collect();
                let verdicts: Vec<Value> =
                    expected.iter().map(|it| Value::Integer((*it).into())).collect();
                prop_assert_eq!(harness.verdicts(&sql), verdicts, "{}\n{}", text, sql.sql);
                let found = resources.iter().zip(&expected).filter(|it| *it.1);
                let found: Vec<i64> = found.map(|it| it.0.seq).collect();
                yes.set(yes.get() + found.len() as u32);
                no.set(no.get() + (expected.len() - found.len()) as u32);
                prop_assert_eq!(harness.select(&sql), found, "{}\n{}", text, sql.sql);
                Ok(())
            });
            drop(changes);
            outcome
        });
        checked.unwrap_or_else(|it| panic!("{it}"));
        let (yes, no) = (yes.get(), no.get());
        assert!(yes > no / 4 && no > yes / 4, "one-sided: {yes} matches, {no} others");
    }
}
