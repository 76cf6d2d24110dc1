//! What each column of a file must hold: a rule for every column that no other check reads.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64ct::{Base64Unpadded, Encoding};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Statement};
use serde_json::{Map, Value};

use crate::scim::filter::comparison::fold;
use crate::scim::schema::document::Schema;
use crate::store::error::Error;
use crate::store::tables::org;
use crate::store::tables::org_erasure::ERASED;
use crate::store::tables::provisioning_log::{ORG, RESOURCE_TYPE, SCHEMA, TOKEN, WEBHOOK};
use crate::store::tables::resource::is_resource_id;
use crate::store::tables::resource_type;
use crate::store::tables::token::{Scope, TAG_BYTES};

/// The first moment that no clock shows: the year 2200, in nanoseconds since 1970.
const TIME_END: i64 = 7_258_118_400_000_000_000;
/// The tables that are read here alone, in one pass each. `resource` is read with its documents.
const TABLES: [&str; 9] = [
    "org",
    "token",
    "schema",
    "resource_type",
    "resource_count",
    "provisioning_log",
    "refusal",
    "webhook",
    "webhook_delivery",
];

/// What the rules need to know of other rows.
pub struct Known {
    orgs: BTreeSet<i64>,
    /// The resource types of organisations, by organisation and name.
    pub types: BTreeSet<(i64, String)>,
    /// The built-in resource types.
    pub builtin: Vec<String>,
}

/// One value, with the row that it stands in.
struct Cell<'a> {
    row: &'a Row<'a>,
    value: ValueRef<'a>,
    known: &'a Known,
}

/// What a column must hold, with the words for one that does not.
struct Rule {
    table: &'static str,
    column: &'static str,
    fault: &'static str,
    holds: fn(&Cell) -> bool,
}

const fn rule(
    table: &'static str,
    column: &'static str,
    fault: &'static str,
    holds: fn(&Cell) -> bool,
) -> Rule {
    Rule { table, column, fault, holds }
}

const NUMBER: &str = "it is no number that plumm gives";
const FLAG: &str = "it is neither 0 nor 1";
const WORD: &str = "it is no word that plumm knows";
const TIME: &str = "it is no time from 1970 to 2200";
const ORPHAN: &str = "it belongs to a row of org that is not there";
const DOCUMENT: &str = "it is no document that plumm can read";
const TYPE: &str = "the organisation has no such resource type";
const KEY: &str = "it does not have the length of a key";
const FORM: &str = "it does not have the form that plumm writes";

const RULES: &[Rule] = &[
    rule("org", "id", NUMBER, |it| it.is_positive()),
    rule("org", "name", FORM, |it| {
        // One that is being erased has its number before its name.
        let name = match it.text().strip_prefix(ERASED) {
            Some(rest) => rest.split_once(' ').map_or(rest, |(_, name)| name),
            None => it.text(),
        };
        (1..=org::NAME_CHARS_MAX).contains(&name.chars().count())
    }),
    rule("org", "name_folded", "it is not the folded name", |it| it.is_folded_name()),
    rule("org", "active", FLAG, |it| it.is_flag()),
    rule("org", "username_format", WORD, |it| org::is_format_word(it.text())),
    rule("org", "identity_changes", WORD, |it| org::is_changes_word(it.text())),
    rule("org", "created", TIME, |it| it.is_time()),
    rule("org", "schemas", NUMBER, |it| it.number().is_some_and(|it| it >= 0)),
    rule("org", "strict", FLAG, |it| it.is_flag()),
    rule("org", "rate", NUMBER, |it| it.number().is_some_and(|it| u32::try_from(it).is_ok())),
    rule("org", "trimmed", NUMBER, |it| it.number().is_some_and(|it| it >= 0)),
    rule("token", "id", FORM, |it| is_token_id(it.text())),
    rule("token", "org", ORPHAN, |it| it.is_org()),
    rule("token", "scope", WORD, |it| Scope::from_word(it.text()).is_some()),
    rule("token", "label", FORM, |it| !it.text().chars().any(char::is_control)),
    rule("token", "hash", "it is no argon2id hash", |it| is_argon2id(it.text())),
    rule("token", "tag", "it does not have its length", |it| {
        it.value.as_blob().is_ok_and(|it| it.len() == TAG_BYTES)
    }),
    rule("token", "created", TIME, |it| it.is_time()),
    rule("token", "expires", TIME, |it| it.is_time_or_null()),
    rule("token", "revoked", TIME, |it| it.is_time_or_null()),
    rule("token", "last_used", TIME, |it| it.is_time_or_null()),
    rule("schema", "org", ORPHAN, |it| it.is_org()),
    rule("schema", "urn", "it is not the URN of the document", |it| {
        it.column("document").is_none_or(|document| match parsed(document) {
            Some(document) => document.get("id").and_then(Value::as_str) == Some(it.text()),
            None => true,
        })
    }),
    rule("schema", "type", TYPE, |it| it.is_type()),
    rule("schema", "document", DOCUMENT, |it| {
        serde_json::from_str(it.text()).is_ok_and(|it| Schema::from_document(it).is_ok())
    }),
    rule("schema", "created", TIME, |it| it.is_time()),
    rule("resource_type", "org", ORPHAN, |it| it.is_org()),
    rule("resource_type", "name", "it is not the name in the document", |it| {
        let document = it.column("document").unwrap_or_default();
        let of_document = parsed(document)
            .and_then(|it| Some(it.get("resourceType")?.get("name")?.as_str()?.to_owned()));
        of_document.is_none_or(|name| name == it.text())
    }),
    rule("resource_type", "document", DOCUMENT, |it| {
        let name = parsed(it.text())
            .and_then(|it| Some(it.get("resourceType")?.get("name")?.as_str()?.to_owned()));
        name.is_some_and(|name| resource_type::parse(&name, it.text()).is_ok())
    }),
    rule("resource_type", "created", TIME, |it| it.is_time()),
    rule("resource_count", "org", ORPHAN, |it| it.is_org()),
    rule("resource_count", "type", TYPE, |it| it.is_type()),
    rule("resource_count", "count", NUMBER, |it| it.number().is_some_and(|it| it >= 0)),
    rule("provisioning_log", "seq", NUMBER, |it| it.is_positive()),
    rule("provisioning_log", "time", TIME, |it| it.is_time()),
    rule("provisioning_log", "org", ORPHAN, |it| it.is_org()),
    rule("provisioning_log", "actor", FORM, |it| {
        it.text().starts_with("cli") || is_token_id(it.text())
    }),
    rule("provisioning_log", "client", FORM, |it| {
        let user = |it: &str| it.strip_prefix("user:").is_some_and(|it| !it.is_empty());
        let text = it.text();
        it.value == ValueRef::Null || text.parse::<IpAddr>().is_ok() || user(text)
    }),
    rule("provisioning_log", "method", FORM, |it| {
        let plain = |it: u8| it.is_ascii_alphabetic() || b" -".contains(&it);
        (1..=32).contains(&it.text().len()) && it.text().bytes().all(plain)
    }),
    rule("provisioning_log", "type", FORM, |it| is_name(it.text())),
    // Lines of commands may be about an organisation, a token, a schema, a type or an endpoint.
    rule("provisioning_log", "resource", FORM, |it| match it.column("type") {
        Some(ORG) => (1..=org::NAME_CHARS_MAX).contains(&it.text().chars().count()),
        Some(TOKEN) => is_token_id(it.text()),
        Some(SCHEMA) => it.text().contains(':'),
        Some(RESOURCE_TYPE) => is_name(it.text()),
        Some(WEBHOOK) => is_webhook_id(it.text()),
        _ => is_resource_id(it.text()),
    }),
    rule("provisioning_log", "previous", NUMBER, |it| match it.number() {
        None => it.value == ValueRef::Null,
        Some(number) => number >= 0,
    }),
    rule("provisioning_log", "outcome", "it is no status of HTTP", |it| {
        it.number().is_some_and(|it| (100..600).contains(&it))
    }),
    rule("provisioning_log", "changes", DOCUMENT, |it| {
        it.text() == "{}" || parsed(it.text()).is_some()
    }),
    rule("provisioning_log", "request", FORM, |it| it.is_one_line_or_null()),
    rule("provisioning_log", "reason", FORM, |it| it.is_one_line_or_null()),
    rule("refusal", "seq", NUMBER, |it| it.is_positive()),
    rule("refusal", "org", ORPHAN, |it| it.is_org()),
    rule("refusal", "first", "it is no time up to the last one", |it| {
        it.is_time() && it.number() <= it.row.get("time").ok()
    }),
    rule("refusal", "time", TIME, |it| it.is_time()),
    rule("refusal", "count", NUMBER, |it| it.is_positive()),
    rule("refusal", "various", FLAG, |it| it.is_flag()),
    rule("refusal", "token", FORM, |it| is_token_id(it.text())),
    rule("refusal", "client", FORM, |it| {
        it.value == ValueRef::Null || it.text().parse::<IpAddr>().is_ok()
    }),
    rule("refusal", "request", FORM, |it| it.is_one_line_or_null()),
    rule("refusal", "method", FORM, |it| {
        (1..=32).contains(&it.text().len()) && it.text().bytes().all(|it| it.is_ascii_alphabetic())
    }),
    rule("refusal", "path", FORM, |it| it.text().starts_with('/') && it.is_one_line_or_null()),
    rule("refusal", "type", FORM, |it| it.value == ValueRef::Null || is_name(it.text())),
    rule("refusal", "resource", FORM, |it| it.value == ValueRef::Null || is_resource_id(it.text())),
    rule("refusal", "subject", FORM, |it| it.is_one_line_or_null()),
    rule("refusal", "status", "it is no status of a refusal", |it| {
        it.number().is_some_and(|it| (400..600).contains(&it))
    }),
    rule("refusal", "scim_type", FORM, |it| it.value == ValueRef::Null || is_name(it.text())),
    rule("refusal", "detail", FORM, |it| it.is_one_line_or_null()),
    rule("webhook", "id", FORM, |it| is_webhook_id(it.text())),
    rule("webhook", "org", ORPHAN, |it| it.is_org()),
    rule("webhook", "url", FORM, |it| {
        it.text().starts_with("https://") || it.text().starts_with("http://")
    }),
    rule("webhook", "events", FORM, |it| {
        let plain = |it: u8| it.is_ascii_lowercase() || b"._".contains(&it);
        let names = |it: &str| !it.is_empty() && it.bytes().all(plain);
        it.text().is_empty() || it.text().split(',').all(names)
    }),
    rule("webhook", "algorithm", WORD, |it| ["hmac", "ed25519"].contains(&it.text())),
    rule("webhook", "key", KEY, |it| it.is_key()),
    rule("webhook", "former_key", KEY, |it| it.value == ValueRef::Null || it.is_key()),
    rule("webhook", "former_until", TIME, |it| it.is_time_or_null()),
    rule("webhook", "ca", "it is no PEM file", |it| {
        it.value == ValueRef::Null || it.text().contains("-----BEGIN")
    }),
    rule("webhook", "insecure", FLAG, |it| it.is_flag()),
    rule("webhook", "created", TIME, |it| it.is_time()),
    rule("webhook", "revision", NUMBER, |it| it.is_count()),
    rule("webhook", "after", NUMBER, |it| it.is_count()),
    rule("webhook", "delivered", NUMBER, |it| it.is_count()),
    rule("webhook", "attempts", NUMBER, |it| it.is_count()),
    rule("webhook", "next_attempt", TIME, |it| it.is_time_or_null()),
    rule("webhook", "disabled", TIME, |it| it.is_time_or_null()),
    rule("webhook", "reason", FORM, |it| it.is_one_line_or_null()),
    rule("webhook_delivery", "webhook", FORM, |it| is_webhook_id(it.text())),
    rule("webhook_delivery", "number", NUMBER, |it| it.is_count()),
    rule("webhook_delivery", "event", FORM, |it| is_name(it.text())),
    rule("webhook_delivery", "type", FORM, |it| is_name(&it.text().replace('.', "-"))),
    rule("webhook_delivery", "attempt", NUMBER, |it| it.is_positive()),
    rule("webhook_delivery", "time", TIME, |it| it.is_time()),
    rule("webhook_delivery", "milliseconds", NUMBER, |it| it.is_count()),
    rule("webhook_delivery", "status", "it is no status of HTTP", |it| {
        it.value == ValueRef::Null || it.number().is_some_and(|it| (100..1000).contains(&it))
    }),
    rule("webhook_delivery", "error", FORM, |it| it.is_one_line_or_null()),
    rule("webhook_delivery", "answer", FORM, |it| it.is_one_line_or_null()),
    rule("resource", "seq", NUMBER, |it| it.is_positive()),
    rule("resource", "org", ORPHAN, |it| it.is_org()),
    rule("resource", "type", TYPE, |it| it.is_type()),
    rule("resource", "id", FORM, |it| is_resource_id(it.text())),
    rule("resource", "created", TIME, |it| it.is_time()),
    rule("resource", "last_modified", "it is no time since the creation", |it| {
        it.is_time() && it.number() >= it.row.get("created").ok()
    }),
    rule("resource", "version", NUMBER, |it| it.is_positive()),
    rule("resource", "deleted", TIME, |it| it.is_time_or_null()),
    rule("resource", "last_line", NUMBER, |it| it.is_count()),
];

impl Cell<'_> {
    fn number(&self) -> Option<i64> {
        self.value.as_i64().ok()
    }

    fn text(&self) -> &str {
        self.value.as_str().unwrap_or_default()
    }

    /// Another text of the row.
    fn column(&self, name: &str) -> Option<&str> {
        self.row.get_ref(name).ok().and_then(|it| it.as_str().ok())
    }

    fn is_positive(&self) -> bool {
        self.number().is_some_and(|it| it > 0)
    }

    fn is_count(&self) -> bool {
        self.number().is_some_and(|it| it >= 0)
    }

    fn is_key(&self) -> bool {
        self.value.as_blob().is_ok_and(|it| (24..=128).contains(&it.len()))
    }

    /// What plumm has escaped before it was kept.
    fn is_one_line_or_null(&self) -> bool {
        self.value == ValueRef::Null || !self.text().chars().any(char::is_control)
    }

    fn is_flag(&self) -> bool {
        matches!(self.number(), Some(0 | 1))
    }

    fn is_time(&self) -> bool {
        self.number().is_some_and(|it| (0..TIME_END).contains(&it))
    }

    fn is_time_or_null(&self) -> bool {
        self.value == ValueRef::Null || self.is_time()
    }

    fn is_org(&self) -> bool {
        self.number().is_some_and(|it| self.known.orgs.contains(&it))
    }

    fn is_type(&self) -> bool {
        let name = self.text();
        let own = || Some((self.row.get("org").ok()?, name.to_owned()));
        self.known.builtin.iter().any(|it| it == name)
            || own().is_some_and(|it| self.known.types.contains(&it))
    }

    /// Names outside ASCII were folded otherwise once, and stay so where two became the same.
    fn is_folded_name(&self) -> bool {
        let name = self.column("name").unwrap_or_default();
        if name.is_ascii() { fold(name) == self.text() } else { !self.text().is_empty() }
    }
}

/// What the rules know of a file of this schema.
///
/// # Errors
/// Failures of the store.
pub fn known(
    connection: &Connection,
    builtin: Vec<String>,
    types: BTreeSet<(i64, String)>,
) -> Result<Known, Error> {
    let mut statement = connection.prepare("SELECT id FROM org")?;
    let orgs = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Known { orgs, types, builtin })
}

/// The rules of a table, by the place of the column in its rows.
pub struct Rules(&'static str, Vec<(usize, &'static Rule)>);

impl Rules {
    /// The rules for the rows of a statement.
    pub fn of(table: &'static str, statement: &Statement) -> Rules {
        let rules = RULES.iter().filter(|it| it.table == table);
        let place = |it: &Rule| statement.column_index(it.column).ok();
        Rules(table, rules.filter_map(|it| Some((place(it)?, it))).collect())
    }

    /// What is wrong with a row, in sentences without the values.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn faults(&self, row: &Row, known: &Known) -> Result<Vec<String>, Error> {
        let mut faults = Vec::new();
        for (place, rule) in &self.1 {
            let cell = Cell { row, value: row.get_ref(*place)?, known };
            if !(rule.holds)(&cell) {
                let (row, column, fault) = (name_of(self.0, row), rule.column, rule.fault);
                faults.push(format!("table {}, row {row}, column {column}: {fault}", self.0));
            }
        }
        Ok(faults)
    }
}

/// Reads every row of the small tables and of the log; hands on what is wrong.
///
/// # Errors
/// Failures of the store.
pub fn check_tables(
    connection: &Connection,
    known: &Known,
    mut found: impl FnMut(String),
) -> Result<(), Error> {
    for table in TABLES {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?";
        // Older schemas lack some.
        if connection.query_row(sql, [table], |row| row.get::<_, i64>(0))? == 0 {
            continue;
        }
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
        let rules = Rules::of(table, &statement);
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            rules.faults(row, known)?.into_iter().for_each(&mut found);
        }
    }
    Ok(())
}

/// What a row is called: by its key, and only by one that is neither personal nor a secret.
fn name_of(table: &str, row: &Row) -> String {
    let shown = |column: &str| match row.get_ref(column) {
        Ok(ValueRef::Integer(it)) => it.to_string(),
        Ok(ValueRef::Text(it)) => match str::from_utf8(it) {
            // Never a whole token that stands where its id belongs.
            Ok(it) if it.starts_with("plm_") => "?".to_owned(),
            Ok(it) if is_token_id(it) || is_webhook_id(it) || is_resource_id(it) || is_name(it) => {
                it.to_owned()
            }
            Ok(it) if it.starts_with("urn:") && it.len() < 200 => it.to_owned(),
            _ => "?".to_owned(),
        },
        _ => "?".to_owned(),
    };
    match table {
        "schema" => format!("{} {}", shown("org"), shown("urn")),
        "resource_type" => format!("{} {}", shown("org"), shown("name")),
        "resource_count" => format!("{} {}", shown("org"), shown("type")),
        "provisioning_log" | "refusal" | "resource" => shown("seq"),
        "webhook_delivery" => shown("number"),
        _ => shown("id"),
    }
}

fn parsed(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

fn is_token_id(text: &str) -> bool {
    let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    text.len() == 12 && text.bytes().all(plain)
}

fn is_webhook_id(text: &str) -> bool {
    text.strip_prefix("wh_").is_some_and(is_token_id)
}

/// The name of a resource type.
fn is_name(text: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"_-$.".contains(&it);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// A PHC string of argon2id: parameters, salt and hash.
fn is_argon2id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    let ["", "argon2id", "v=19", parameters, salt, hash] = parts[..] else {
        return false;
    };
    let number = |it: &str, name: &str| {
        it.strip_prefix(name).and_then(|it| it.parse::<u32>().ok()).is_some_and(|it| it > 0)
    };
    let parameters: Vec<&str> = parameters.split(',').collect();
    let [m, t, p] = parameters[..] else { return false };
    let bytes = |it: &str, at_least: usize| {
        Base64Unpadded::decode_vec(it).is_ok_and(|it| it.len() >= at_least)
    };
    number(m, "m=") && number(t, "t=") && number(p, "p=") && bytes(salt, 8) && bytes(hash, 32)
}
