//! Accounts as rows of a table: which columns there are, what stands in them, and what a row says
//! of an account.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::cli::people::csv::{guarded, unguarded};
use crate::scim::filter::path::{AttrPath, Target};
use crate::scim::json::{self, Names};
use crate::scim::schema::attribute::{Attribute, Mutability, Type};
use crate::scim::schema::name::{ACTIVE, EMAILS, EXTERNAL_ID, SCHEMAS, USER_NAME};
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::schema::urn;

/// The column that says when an account was deleted.
pub const DELETED: &str = "deleted";
/// The column with what accounts have below URNs that no schema registers, as one JSON object.
pub const UNREGISTERED: &str = "unregistered";
/// What comes first in a table: who it is.
const FIRST: [&str; 3] = [USER_NAME, EXTERNAL_ID, ACTIVE];
/// The values of multi-valued attributes that have a column of their own, by attribute and type.
const TYPED: [(&str, &[&str]); 3] = [
    (EMAILS, &["work", "home", "other"]),
    ("phoneNumbers", &["work", "mobile", "home", "other"]),
    ("addresses", &["work"]),
];

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// What stands at its head.
    pub header: String,
    /// What of an account stands in it.
    pub place: Place,
}

/// What of an account stands in a column.
#[derive(Clone, Debug)]
pub enum Place {
    /// One value.
    Value(Target),
    /// One value of those of an attribute.
    Typed(Typed),
    /// All values of an attribute, as JSON.
    Whole(Target),
    /// What no schema registers, as JSON.
    Unregistered,
    /// What only the server says, and what is never kept.
    PassedOver,
    /// When the account was deleted.
    Deleted,
}

/// The first value of one type.
#[derive(Clone, Debug)]
pub struct Typed {
    /// The attribute.
    pub target: Target,
    /// The type.
    pub kind: String,
    /// The sub-attribute.
    pub sub: String,
}

/// What is wrong with a cell.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The head of its column.
    pub field: String,
    /// Why, as a sentence without its end.
    pub reason: String,
}

impl Column {
    /// The columns of a table of accounts, always in this order: who it is, the attributes of the
    /// core schema, of each extension, and what no schema registers.
    #[must_use]
    pub fn all(resource_type: &ResourceType) -> Vec<Column> {
        let first = FIRST.iter().filter_map(|it| resource_type.attribute(it));
        let rest = resource_type.core.attributes.iter();
        let rest = rest.filter(|it| !FIRST.contains(&it.name.as_str()));
        let mut columns = Vec::new();
        for attribute in first.chain(rest) {
            add(&mut columns, None, attribute, "");
        }
        for extension in &resource_type.extensions {
            let id = &extension.schema.id;
            for attribute in &extension.schema.attributes {
                // What is found by its name alone needs no URN.
                let plain =
                    AttrPath::new(&attribute.name).and_then(|it| resource_type.resolve(&it));
                let is_plain = plain.is_some_and(|it| it.extension.as_ref() == Some(id));
                let prefix = match is_plain && urn::is_reserved(id) {
                    true => String::new(),
                    false => format!("{id}:"),
                };
                add(&mut columns, Some(id), attribute, &prefix);
            }
        }
        columns.push(Column { header: UNREGISTERED.to_owned(), place: Place::Unregistered });
        columns
    }

    /// What two columns have in common that say the same; nothing for those that say nothing.
    #[must_use]
    pub fn key(&self) -> String {
        let of = |target: &Target| {
            let urn = target.extension.as_deref().unwrap_or_default();
            let sub = target.sub.as_ref().map_or("", |it| it.name.as_str());
            format!("{urn}\0{}\0{sub}", target.attribute.name)
        };
        match &self.place {
            Place::Value(target) | Place::Whole(target) => of(target),
            Place::Typed(it) => format!("{}\0{}\0{}", of(&it.target), it.kind, it.sub),
            Place::Unregistered => UNREGISTERED.to_owned(),
            Place::Deleted => DELETED.to_owned(),
            Place::PassedOver => String::new(),
        }
    }

    /// Whether this column says something of what a path names.
    #[must_use]
    pub fn is_about(&self, path: &Target) -> bool {
        let (Place::Value(own) | Place::Whole(own) | Place::Typed(Typed { target: own, .. })) =
            &self.place
        else {
            return false;
        };
        let of_sub = match (&own.sub, &path.sub) {
            (Some(own), Some(sub)) => own.name == sub.name,
            _ => true,
        };
        is_same(own, path) && of_sub
    }

    /// What the column says of an account with this document.
    #[must_use]
    pub fn cell(&self, columns: &[Column], document: &Map<String, Value>) -> String {
        match &self.place {
            Place::Value(target) => {
                let value = held(document, target);
                let value = match &target.sub {
                    None => value,
                    Some(sub) => value.and_then(|it| it.get(&sub.name)),
                };
                value.map(text).unwrap_or_default()
            }
            Place::Typed(typed) => {
                let found = held(document, &typed.target).and_then(|it| typed.first(it));
                found.map(text).unwrap_or_default()
            }
            Place::Whole(target) => match held(document, target) {
                Some(value) if Some(value) != told(columns, target, document).as_ref() => {
                    value.to_string()
                }
                _ => String::new(),
            },
            Place::Unregistered | Place::PassedOver | Place::Deleted => String::new(),
        }
    }
}

impl Typed {
    fn first<'a>(&self, values: &'a Value) -> Option<&'a Value> {
        let first = values.as_array()?.iter().find(|it| it["type"] == self.kind.as_str());
        first?.get(&self.sub)
    }
}

/// The columns of one attribute: one for each value that has its own place in a table, and one for
/// what these do not tell.
fn add(columns: &mut Vec<Column>, urn: Option<&str>, attribute: &Arc<Attribute>, prefix: &str) {
    let hidden = |it: &Attribute| {
        it.mutability == Mutability::ReadOnly || it.is_secret() || it.name == SCHEMAS
    };
    if hidden(attribute) {
        return;
    }
    let target = |sub: Option<&Arc<Attribute>>| Target {
        extension: urn.map(str::to_owned),
        attribute: Arc::clone(attribute),
        sub: sub.map(Arc::clone),
    };
    let name = format!("{prefix}{}", attribute.name);
    if !attribute.multi_valued && attribute.kind == Type::Complex {
        for sub in attribute.sub_attributes.iter().filter(|it| !hidden(it)) {
            let place = match sub.multi_valued || sub.kind == Type::Complex {
                // No schema has these below an attribute, and no table shows them.
                true => continue,
                false => Place::Value(target(Some(sub))),
            };
            columns.push(Column { header: format!("{name}.{}", sub.name), place });
        }
        return;
    }
    if !attribute.multi_valued {
        columns.push(Column { header: name, place: Place::Value(target(None)) });
        return;
    }
    let own = TYPED.iter().find(|(it, _)| urn.is_none() && *it == attribute.name);
    for kind in own.iter().flat_map(|(_, kinds)| kinds.iter()) {
        let of_value = |it: &&Arc<Attribute>| {
            !["type", "primary", "display"].contains(&it.name.as_str()) && !hidden(it)
        };
        for sub in attribute.sub_attributes.iter().filter(of_value) {
            let typed =
                Typed { target: target(None), kind: (*kind).to_owned(), sub: sub.name.clone() };
            let header = format!("{name}[type eq \"{kind}\"].{}", sub.name);
            columns.push(Column { header, place: Place::Typed(typed) });
        }
    }
    columns.push(Column { header: name, place: Place::Whole(target(None)) });
}

fn held<'a>(document: &'a Map<String, Value>, target: &Target) -> Option<&'a Value> {
    match &target.extension {
        None => document.get(&target.attribute.name),
        Some(urn) => document.get(urn)?.get(&target.attribute.name),
    }
}

/// A value as the text of a cell.
fn text(value: &Value) -> String {
    match value {
        Value::String(it) => guarded(it),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What the columns for single values of an attribute tell of it all together.
fn told(columns: &[Column], target: &Target, document: &Map<String, Value>) -> Option<Value> {
    let mut values = Vec::new();
    for column in columns {
        if let Place::Typed(typed) = &column.place
            && is_same(&typed.target, target)
            && let Some(Value::String(it)) =
                held(document, target).and_then(|values| typed.first(values))
            && !it.is_empty()
        {
            put(&mut values, typed, it);
        }
    }
    (!values.is_empty()).then_some(Value::Array(values))
}

fn is_same(one: &Target, other: &Target) -> bool {
    one.extension == other.extension && one.attribute.name == other.attribute.name
}

/// Adds what a cell says to the values of its attribute. The first e-mail address is the account's
/// own.
fn put(values: &mut Vec<Value>, typed: &Typed, text: &str) {
    if let Some(it) = values.iter_mut().find(|it| it["type"] == typed.kind.as_str()) {
        it[&typed.sub] = text.into();
        return;
    }
    let of_type = ("type".to_owned(), typed.kind.as_str().into());
    let mut value = Map::from_iter([(typed.sub.clone(), text.into()), of_type]);
    if typed.target.is_core(EMAILS) && values.is_empty() {
        value.insert("primary".to_owned(), true.into());
    }
    values.push(value.into());
}

/// The row of an account: a text for each column.
#[must_use]
pub fn row(
    columns: &[Column],
    document: &Map<String, Value>,
    rest: &Map<String, Value>,
) -> Vec<String> {
    let cell = |it: &Column| match it.place {
        Place::Unregistered if !rest.is_empty() => Value::from(rest.clone()).to_string(),
        _ => it.cell(columns, document),
    };
    columns.iter().map(cell).collect()
}

/// The members of a document that no schema of the type describes.
#[must_use]
pub fn unregistered(
    document: &Map<String, Value>,
    resource_type: &ResourceType,
) -> Map<String, Value> {
    let unknown = |name: &String| {
        resource_type.attribute(name).is_none() && resource_type.extension(name).is_none()
    };
    let rest = document.iter().filter(|(name, _)| unknown(name));
    rest.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The body of a request that would create the account of a row.
///
/// # Errors
/// What is wrong with one of its cells.
pub fn body(
    columns: &[Column],
    cells: &[String],
    resource_type: &ResourceType,
) -> Result<Map<String, Value>, Wrong> {
    let mut body = Members::default();
    body.own.insert(SCHEMAS.to_owned(), Value::Array(vec![resource_type.core.id.as_str().into()]));
    let filled = || columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
    for (column, cell) in filled() {
        let wrong = |reason: String| Wrong { field: column.header.clone(), reason };
        match &column.place {
            Place::PassedOver => {}
            Place::Deleted => return Err(deleted(&column.header)),
            Place::Unregistered => match json_value(cell).map_err(&wrong)? {
                Value::Object(members) if members.keys().all(|it| urn::is_urn(it)) => {
                    body.own.extend(members);
                }
                _ => return Err(wrong("it takes a JSON object of URNs".to_owned())),
            },
            Place::Value(target) => {
                let value = Value::from(unguarded(cell));
                match &target.sub {
                    None => drop(body.of(target).insert(target.attribute.name.clone(), value)),
                    Some(sub) => {
                        let whole = body
                            .of(target)
                            .entry(&target.attribute.name)
                            .or_insert_with(|| Map::new().into());
                        if let Value::Object(whole) = whole {
                            whole.insert(sub.name.clone(), value);
                        }
                    }
                }
            }
            Place::Typed(typed) => {
                let values = body
                    .of(&typed.target)
                    .entry(&typed.target.attribute.name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(values) = values {
                    put(values, typed, unguarded(cell));
                }
            }
            Place::Whole(_) => {}
        }
    }
    // Last, since they say everything that the columns for single values say, and more.
    for (column, cell) in filled() {
        let Place::Whole(target) = &column.place else { continue };
        let wrong = |reason: String| Wrong { field: column.header.clone(), reason };
        let value = match cell.trim_start().starts_with(['[', '{']) {
            true => json_value(cell).map_err(wrong)?,
            false => unguarded(cell).into(),
        };
        for (other, cell) in filled() {
            if let Place::Typed(typed) = &other.place
                && is_same(&typed.target, target)
                && typed.first(&value).and_then(Value::as_str) != Some(unguarded(cell))
            {
                return Err(wrong(format!(
                    "it says something else than the column {}; change both, or empty this one",
                    other.header
                )));
            }
        }
        body.of(target).insert(target.attribute.name.clone(), value);
    }
    Ok(body.into_body())
}

/// The refusal of an account that was deleted where the file comes from.
#[must_use]
pub fn deleted(field: &str) -> Wrong {
    Wrong {
        field: field.to_owned(),
        reason: "the account was deleted; `plumm user restore` brings one back where it was"
            .to_owned(),
    }
}

/// The members of a body: its own, and those of each extension.
#[derive(Default)]
struct Members {
    own: Map<String, Value>,
    extensions: Vec<(String, Map<String, Value>)>,
}

impl Members {
    /// The object that holds an attribute.
    fn of(&mut self, target: &Target) -> &mut Map<String, Value> {
        let Some(urn) = &target.extension else { return &mut self.own };
        let found = self.extensions.iter().position(|(it, _)| it == urn);
        let at = found.unwrap_or_else(|| {
            self.extensions.push((urn.clone(), Map::new()));
            self.extensions.len() - 1
        });
        &mut self.extensions[at].1
    }

    fn into_body(self) -> Map<String, Value> {
        let extensions = self.extensions.into_iter().map(|(urn, it)| (urn, it.into()));
        self.own.into_iter().chain(extensions).collect()
    }
}

fn json_value(cell: &str) -> Result<Value, String> {
    json::parse(cell, Names::AnyCase).map_err(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::people::headers::column;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;

    fn with_user<T>(work: impl FnOnce(&ResourceType) -> T) -> T {
        let definitions = Definitions::builtin(IdentityChanges::Refuse);
        work(definitions.resource_type("User").unwrap())
    }

    #[test]
    fn the_columns_are_stable_and_their_names_are_understood() {
        with_user(|user| {
            let columns = Column::all(user);
            let heads: Vec<&str> = columns.iter().map(|it| it.header.as_str()).collect();
            assert_eq!(heads[..3], ["userName", "externalId", "active"]);
            for name in ["name.givenName", "emails[type eq \"work\"].value", "department"] {
                assert!(heads.contains(&name), "{heads:?}");
            }
            for name in ["password", "groups", "id", "schemas", "manager.displayName"] {
                assert!(!heads.contains(&name), "{heads:?}");
            }
            assert_eq!(heads.last(), Some(&"unregistered"));
            for it in &columns {
                assert_eq!(column(&it.header, user).unwrap().key(), it.key(), "{}", it.header);
            }
        });
    }

    /// What a row says is what the account was, whatever its values look like.
    #[test]
    fn a_row_says_all_of_an_account() {
        let work = json!({"value": "a@b.c", "type": "work", "primary": true});
        for (emails, whole) in [
            (json!([work]), false),
            (json!([{"value": "a@b.c", "type": "home", "primary": true}]), false),
            (json!([work, {"value": "x@y.z", "type": "other"}]), false),
            (json!([{"value": "a@b.c", "type": "work"}]), true),
            (json!([work, {"value": "two@b.c", "type": "work"}]), true),
            (json!([{"value": "a@b.c"}]), true),
            (json!([{"value": "x@y.z", "type": "other"}, work]), true),
        ] {
            let document = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": "=mara@example.com",
                "name": {"givenName": "M, \"x\"\n", "familyName": "<b>"},
                "emails": emails,
                "urn:acme:x": {"a": [1, {"b": null}]},
            });
            let Value::Object(document) = document else { panic!() };
            with_user(|user| {
                let columns = Column::all(user);
                let rest = unregistered(&document, user);
                let cells = row(&columns, &document, &rest);
                let at = columns.iter().position(|it| it.header == "emails").unwrap();
                assert_eq!(!cells[at].is_empty(), whole, "{emails}");
                assert_eq!(cells[0], "'=mara@example.com");
                assert_eq!(Value::from(body(&columns, &cells, user).unwrap()), json!(document));
            });
        }
    }

    #[test]
    fn columns_that_say_two_things_are_refused() {
        with_user(|user| {
            let heads = ["userName", "email", "emails"];
            let columns: Vec<Column> = heads.iter().map(|it| column(it, user).unwrap()).collect();
            let body = |cells: [&str; 3]| body(&columns, &cells.map(str::to_owned), user);
            let list = "[{\"value\":\"b@x\",\"type\":\"work\"}]";
            assert!(body(["a@x", "a@x", list]).unwrap_err().reason.contains("the column email"));
            assert!(body(["a@x", "b@x", list]).is_ok());
            assert!(body(["a@x", "", list]).is_ok());
            let wrong = body(["a@x", "", "[{]"]).unwrap_err();
            assert!(wrong.field == "emails" && wrong.reason.contains("not JSON"), "{wrong:?}");
        });
    }
}
