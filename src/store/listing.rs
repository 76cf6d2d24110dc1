//! Pages of lists: which resources, in which order, from where on.

use rusqlite::types::Value as SqlValue;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};
use serde_json::Value;

use crate::scim::condition::Condition;
use crate::scim::path::Target;
use crate::store::Read;
use crate::store::error::Error;
use crate::store::filter_sql::{self, SqlFilter};
use crate::store::org::OrgKey;
use crate::store::resource::{COLUMNS, Stored, from_row};
use crate::store::sort_sql::sort_key;

/// One resource type's part in a list.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The name of the resource type.
    pub resource_type: &'a str,
    /// What the URL of such a resource is without its id.
    pub location_base: &'a str,
    /// What they must meet; all of them are listed when there is nothing.
    pub condition: Option<&'a Condition>,
    /// What they are sorted by, where the type has it.
    pub sort: Option<&'a Target>,
}

/// A question for a page of a list.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// The organisation.
    pub org: OrgKey,
    /// The resource types.
    pub parts: Vec<Part<'a>>,
    /// All resource types by name, each with what the URL of such a resource is without its id:
    /// where members and groups are.
    pub locations: &'a [(String, String)],
    /// Whether the list is sorted by the parts' `sort`; else it is in order of creation.
    pub sorted: bool,
    /// Whether the largest comes first. Without a value a resource is last, or first when the list
    /// is descending (RFC 7644 section 3.4.2.3).
    pub descending: bool,
    /// Where the page begins.
    pub from: From<'a>,
    /// The most resources on the page.
    pub limit: i64,
    /// Whether to count all resources of the list, which may cost more than the page.
    pub count: bool,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug)]
pub enum From<'a> {
    /// Behind this many resources.
    Offset(i64),
    /// Behind this place.
    After(&'a Position),
    /// Before this place; the page is what stands just before it.
    Before(&'a Position),
}

/// A place in a list: that of a resource which is or was there. Finding it costs the same anywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// What the list is sorted by: text, a number or null.
    pub key: Value,
    /// The order of creation, which decides among equals.
    pub seq: i64,
}

/// One resource of a page.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The resource.
    pub stored: Stored,
    /// The name of its type.
    pub resource_type: String,
    /// Its place in the list.
    pub position: Position,
}

/// Part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The resources, in the order of the list.
    pub resources: Vec<Listed>,
    /// Whether the list goes on where the page ends: behind it, or for [`From::Before`] before it.
    pub more: bool,
    /// How many resources the list has in all, where that was asked or costs nothing.
    pub total: Option<i64>,
}

impl Read<'_> {
    /// A page of a list.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn list(&self, listing: &Listing) -> Result<Page, Error> {
        let filter = filter(listing);
        let mut resources = if listing.limit > 0 { self.rows(listing, &filter)? } else { vec![] };
        let limit = usize::try_from(listing.limit).unwrap_or(usize::MAX);
        let more = resources.len() > limit;
        resources.truncate(limit);
        if matches!(listing.from, From::Before(_)) {
            resources.reverse();
        }
        let found = i64::try_from(resources.len()).unwrap_or(i64::MAX);
        let total = match listing.from {
            _ if listing.parts.iter().all(|it| it.condition.is_none()) => {
                Some(self.count_all(listing)?)
            }
            // The page is the last one.
            From::Offset(offset) if !more && (found > 0 || (offset == 0 && limit > 0)) => {
                Some(offset + found)
            }
            _ if listing.count => Some(self.count(listing, &filter)?),
            _ => None,
        };
        Ok(Page { resources, more, total })
    }

    fn rows(&self, listing: &Listing, filter: &SqlFilter) -> Result<Vec<Listed>, Error> {
        let key = key(listing);
        let place = place(listing);
        let order = order(listing);
        let (limit, offset) = match listing.from {
            From::Offset(offset) => (listing.limit + 1, offset),
            _ => (listing.limit + 1, 0),
        };
        // The organisation is named first, so that it is ?1 for the filter, wherever that stands.
        // The inner query finds the page in narrow indexes; only the outer one reads documents.
        let sql = format!(
            "WITH arguments (org) AS (SELECT ?1), page (seq, sort) AS (
                SELECT resource.seq, {} AS sort FROM resource
                WHERE resource.org = ?1 AND resource.deleted IS NULL AND {} AND {}
                ORDER BY {order} LIMIT ? OFFSET ?)
             SELECT {COLUMNS}, resource.type, page.sort
             FROM page JOIN resource ON resource.seq = page.seq ORDER BY {}",
            key.sql,
            filter.sql,
            place.sql,
            order.replace("resource.seq", "page.seq"),
        );
        let mut values = vec![SqlValue::from(listing.org.0)];
        values.extend(key.values);
        values.extend(filter.values.iter().cloned());
        values.extend(place.values);
        values.extend([limit.into(), offset.into()]);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), listed)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn count_all(&self, listing: &Listing) -> Result<i64, Error> {
        let sql = "SELECT count FROM resource_count WHERE org = ? AND type = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut total = 0;
        for part in &listing.parts {
            let values = params![listing.org.0, part.resource_type];
            let count: Option<i64> = statement.query_row(values, |row| row.get(0)).optional()?;
            total += count.unwrap_or(0);
        }
        Ok(total)
    }

    fn count(&self, listing: &Listing, filter: &SqlFilter) -> Result<i64, Error> {
        let sql = format!(
            "SELECT count(*) FROM resource WHERE org = ?1 AND deleted IS NULL AND {}",
            filter.sql
        );
        let mut values = vec![SqlValue::from(listing.org.0)];
        values.extend(filter.values.iter().cloned());
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params_from_iter(values), |row| row.get(0))?)
    }
}

/// Which resources are in the list.
fn filter(listing: &Listing) -> SqlFilter {
    let parts = &listing.parts;
    let mut whole = SqlFilter { sql: String::new(), values: Vec::new() };
    for part in parts {
        if !whole.sql.is_empty() {
            whole.sql.push_str(" OR ");
        }
        whole.sql.push_str("(resource.type = ?");
        whole.values.push(part.resource_type.to_owned().into());
        if let Some(condition) = part.condition {
            let compiled = filter_sql::compile(
                condition,
                part.resource_type,
                part.location_base,
                listing.locations,
            );
            whole.sql.push_str(" AND ");
            whole.sql.push_str(&compiled.sql);
            whole.values.extend(compiled.values);
        }
        whole.sql.push(')');
    }
    match parts.len() {
        0 => SqlFilter { sql: "0".to_owned(), values: Vec::new() },
        // Without parentheses around them the planner sees that an index holds the terms.
        1 => SqlFilter { sql: whole.sql[1..whole.sql.len() - 1].to_owned(), ..whole },
        _ => SqlFilter { sql: format!("({})", whole.sql), ..whole },
    }
}

/// What the list is sorted by.
fn key(listing: &Listing) -> SqlFilter {
    let null = || SqlFilter { sql: "NULL".to_owned(), values: Vec::new() };
    if !listing.sorted {
        return null();
    }
    let one = |part: &Part| part.sort.map_or_else(null, |it| sort_key(it, part.resource_type));
    if let [part] = listing.parts.as_slice() {
        return one(part);
    }
    let mut whole = SqlFilter { sql: "CASE resource.type".to_owned(), values: Vec::new() };
    for part in &listing.parts {
        let key = one(part);
        whole.sql.push_str(&format!(" WHEN ? THEN {}", key.sql));
        whole.values.push(part.resource_type.to_owned().into());
        whole.values.extend(key.values);
    }
    whole.sql.push_str(" END");
    whole
}

fn order(listing: &Listing) -> &'static str {
    let backward = matches!(listing.from, From::Before(_));
    match (listing.sorted, listing.descending, backward) {
        (false, _, false) => "resource.seq",
        (false, _, true) => "resource.seq DESC",
        (true, false, false) => "sort IS NULL, sort, resource.seq",
        (true, false, true) => "sort IS NULL DESC, sort DESC, resource.seq DESC",
        (true, true, false) => "sort IS NULL DESC, sort DESC, resource.seq",
        (true, true, true) => "sort IS NULL, sort, resource.seq DESC",
    }
}

/// That a resource stands behind, or before, a place in the list.
fn place(listing: &Listing) -> SqlFilter {
    let (position, backward) = match listing.from {
        From::Offset(_) => return SqlFilter { sql: "1".to_owned(), values: Vec::new() },
        From::After(position) => (position, false),
        From::Before(position) => (position, true),
    };
    let seq = SqlValue::from(position.seq);
    let key = match &position.key {
        Value::Null => None,
        Value::String(it) => Some(SqlValue::from(it.clone())),
        it => Some(it.as_i64().map_or_else(|| it.as_f64().into(), SqlValue::from)),
    };
    let beyond = if backward { "resource.seq < ?" } else { "resource.seq > ?" };
    // Smaller keys lie ahead when a descending list is read forward, or an ascending one backward.
    let (sql, values) = match (listing.sorted, key, listing.descending != backward) {
        (false, _, _) => (beyond.to_owned(), vec![seq]),
        // What has no key is last among the ascending.
        (true, None, false) => (format!("(sort IS NULL AND {beyond})"), vec![seq]),
        (true, None, true) => (format!("(sort IS NOT NULL OR {beyond})"), vec![seq]),
        (true, Some(key), false) => (
            format!("(sort > ? OR sort IS NULL OR (sort = ? AND {beyond}))"),
            vec![key.clone(), key, seq],
        ),
        (true, Some(key), true) => {
            (format!("(sort < ? OR (sort = ? AND {beyond}))"), vec![key.clone(), key, seq])
        }
    };
    SqlFilter { sql, values }
}

fn listed(row: &Row) -> rusqlite::Result<Listed> {
    let stored = from_row(row)?;
    let key = match row.get::<_, SqlValue>(8)? {
        SqlValue::Integer(it) => it.into(),
        SqlValue::Real(it) => it.into(),
        SqlValue::Text(it) => it.into(),
        SqlValue::Null | SqlValue::Blob(_) => Value::Null,
    };
    let position = Position { key, seq: stored.seq };
    Ok(Listed { resource_type: row.get(7)?, stored, position })
}
