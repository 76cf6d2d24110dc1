//! Pages of lists: which resources, in which order, and where the page begins.

use std::ops::ControlFlow;

use rusqlite::types::{FromSqlError, Value as SqlValue};
use rusqlite::{OptionalExtension, Statement, params_from_iter};
use serde_json::Value;

use crate::scim::datetime::Timestamp;
use crate::scim::filter::condition::Condition;
use crate::scim::filter::path::Target;
use crate::store::error::Error;
use crate::store::query::filter_sql;
use crate::store::query::fragment::Fragment;
use crate::store::query::selective::{is_part_of_text, is_selective};
use crate::store::query::sort_sql::sort_key;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::Shown;
use crate::store::transaction::Read;

/// One resource type's part in a list.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The name of the resource type.
    pub resource_type: &'a str,
    /// What the URL of such a resource is without its id.
    pub location_base: &'a str,
    /// The condition that the resources must meet; without one all of them are listed.
    pub condition: Option<&'a Condition>,
    /// The attribute that they are sorted by, where the type has it.
    pub sort: Option<&'a Target>,
}

/// A request for a page of a list.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// The organisation.
    pub org: OrgKey,
    /// The resource types.
    pub parts: Vec<Part<'a>>,
    /// All resource types by name, each with what the URL of such a resource is without its id;
    /// the `$ref` of members and groups is made of it.
    pub locations: &'a [(String, String)],
    /// Whether the list is sorted by the parts' `sort`; otherwise it is in order of creation.
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
    /// After this many resources.
    Offset(i64),
    /// After this place.
    After(&'a Position),
    /// Before this place; the page holds the resources just before it.
    Before(&'a Position),
    /// Before this many resources at the end of the list.
    End(i64),
}

impl From<'_> {
    /// Whether the page is read from its last resource to its first.
    #[must_use]
    pub fn is_backward(self) -> bool {
        matches!(self, From::Before(_) | From::End(_))
    }
}

/// The place in a list that a resource has, or had before it was changed. Every place costs the
/// same to find.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// The resource's sort key: text, a number or null.
    pub key: Value,
    /// The order of creation, which decides among equal keys.
    pub seq: i64,
}

/// One resource of a page, as it lies in the row that is read.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The resource.
    pub shown: Shown<'a>,
    /// The name of its type.
    pub resource_type: &'a str,
    /// Whether it is a member of any group.
    pub is_member: bool,
}

/// The most comparisons of a filter that counts as quick: an index may lead to very many resources
/// that share a displayName, and each of them is compared with all.
const QUICK_TERMS_MAX: usize = 32;
/// The longest statement that is kept prepared, in bytes: long filters are seldom sent twice.
const KEPT_SQL_BYTES_MAX: usize = 4 * 1024;

/// The most of one page, in bytes of the answer, that is made at once. A page that would be larger
/// has fewer resources than were asked for, and one at least.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A page of a list: which resources, and nothing of them.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The numbers of the resources' rows, in the order of the list.
    pub seqs: Vec<i64>,
    /// Whether the list goes on after the page; for [`From::Before`], before it.
    pub more: bool,
    /// How many resources the list has in all, where the request asks for it or it costs nothing.
    pub total: Option<i64>,
}

impl Page {
    /// How many resources there are.
    #[must_use]
    pub fn count(&self) -> i64 {
        i64::try_from(self.seqs.len()).unwrap_or(i64::MAX / 2)
    }
}

impl Listing<'_> {
    /// Whether indexes find the page and the total, so that few resources are read.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        let quick = |it: &Condition| is_selective(it) && it.terms() <= QUICK_TERMS_MAX;
        !self.sorted && self.parts.iter().all(|it| it.condition.is_none_or(quick))
    }
}

impl Read<'_> {
    /// A page of a list.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn list(&self, listing: &Listing) -> Result<Page, Error> {
        let all = match listing.parts.iter().all(|it| it.condition.is_none()) {
            true => Some(self.count_all(listing)?),
            false => None,
        };
        let from_end = all.and_then(|total| from_end(listing, total));
        let listing = from_end.as_ref().unwrap_or(listing);
        let nothing = listing.limit <= 0 || listing.parts.is_empty();
        let mut seqs = if nothing { Vec::new() } else { self.seqs(listing)? };
        let limit = usize::try_from(listing.limit).unwrap_or(usize::MAX);
        let more = match listing.from {
            From::End(behind) => behind > 0,
            _ => seqs.len() > limit,
        };
        seqs.truncate(limit);
        if listing.from.is_backward() {
            seqs.reverse();
        }
        let found = i64::try_from(seqs.len()).unwrap_or(i64::MAX);
        let total = match listing.from {
            _ if all.is_some() => all,
            // The page is the last one.
            From::Offset(offset) if !more && (found > 0 || (offset == 0 && limit > 0)) => {
                Some(offset + found)
            }
            _ if listing.count => Some(self.count(listing)?),
            _ => None,
        };
        Ok(Page { seqs, more, total })
    }

    /// The numbers of the rows of a page and of one more, which says whether the list goes on.
    fn seqs(&self, listing: &Listing) -> Result<Vec<i64>, Error> {
        let Fragment { sql, values } = page(listing);
        let read = |statement: &mut Statement| {
            let rows = statement.query_map(params_from_iter(values), |row| row.get(0))?;
            rows.collect::<Result<_, _>>()
        };
        Ok(match sql.len() <= KEPT_SQL_BYTES_MAX {
            true => read(&mut *self.connection.prepare_cached(&sql)?)?,
            false => read(&mut self.connection.prepare(&sql)?)?,
        })
    }

    /// Calls `each` with these resources, in this order, until it breaks off.
    ///
    /// # Errors
    /// Failures of the store and what `each` returns.
    pub fn each_listed<E: std::convert::From<Error>>(
        &self,
        seqs: impl Iterator<Item = i64>,
        mut each: impl FnMut(Listed) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        let sql = "SELECT id, document, created, last_modified, version, type,
                EXISTS (SELECT 1 FROM member WHERE member.resource = resource.seq)
            FROM resource WHERE seq = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(Error::from)?;
        for seq in seqs {
            let mut rows = statement.query([seq]).map_err(Error::from)?;
            if let Some(row) = rows.next().map_err(Error::from)?
                && each(listed(seq, row)?)?.is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// The place that a resource has in a list.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn position(&self, listing: &Listing, seq: i64) -> Result<Position, Error> {
        let nowhere = Position { key: Value::Null, seq };
        if !listing.sorted {
            return Ok(nowhere);
        }
        let sql = "SELECT type FROM resource WHERE seq = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let name: Option<String> = statement.query_row([seq], |row| row.get(0)).optional()?;
        let part = listing.parts.iter().find(|it| Some(it.resource_type) == name.as_deref());
        let Some((part, sort)) = part.and_then(|it| Some((it, it.sort?))) else {
            return Ok(nowhere);
        };
        let Fragment { sql, mut values } = sort_key(sort, part.resource_type);
        values.push(seq.into());
        let sql = format!("SELECT {sql} FROM resource WHERE resource.seq = ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let key = statement.query_row(params_from_iter(values), |row| row.get(0)).optional()?;
        let key = match key.unwrap_or(SqlValue::Null) {
            SqlValue::Integer(it) => it.into(),
            SqlValue::Real(it) => it.into(),
            SqlValue::Text(it) => it.into(),
            SqlValue::Null | SqlValue::Blob(_) => Value::Null,
        };
        Ok(Position { key, seq })
    }

    fn count_all(&self, listing: &Listing) -> Result<i64, Error> {
        listing.parts.iter().map(|it| self.resource_count(listing.org, it.resource_type)).sum()
    }

    fn count(&self, listing: &Listing) -> Result<i64, Error> {
        let mut total = 0;
        for part in &listing.parts {
            let filter = filter(part, listing);
            let sql = format!(
                "SELECT count(*) FROM resource WHERE org = ?1 AND deleted IS NULL AND {}",
                filter.sql
            );
            let mut values = vec![SqlValue::from(listing.org.0)];
            values.extend(filter.values);
            let count = |statement: &mut Statement, values: Vec<SqlValue>| {
                statement.query_row(params_from_iter(values), |row| row.get::<_, i64>(0))
            };
            total += match sql.len() <= KEPT_SQL_BYTES_MAX {
                true => count(&mut *self.connection.prepare_cached(&sql)?, values)?,
                false => count(&mut self.connection.prepare(&sql)?, values)?,
            };
        }
        Ok(total)
    }
}

/// The same page counted from the end of the list, where that is nearer: SQLite reads all the rows
/// that an offset skips. A page beyond the end reads nothing.
fn from_end<'a>(listing: &Listing<'a>, total: i64) -> Option<Listing<'a>> {
    let From::Offset(offset) = listing.from else {
        return None;
    };
    let rest = total - offset;
    (rest < offset).then(|| Listing {
        from: From::End((rest - listing.limit).max(0)),
        limit: listing.limit.min(rest),
        ..listing.clone()
    })
}

/// The statement that finds a page and one more resource, which says whether the list goes on: the
/// numbers of the rows, and what they are sorted by. It finds them in narrow indexes, and reads no
/// documents.
fn page(listing: &Listing) -> Fragment {
    let place = place(listing);
    let order = order(listing);
    let offset = match listing.from {
        From::Offset(passed) | From::End(passed) => passed,
        From::After(_) | From::Before(_) => 0,
    };
    let mut values = vec![SqlValue::from(listing.org.0)];
    // Each type has a query of its own, whose plan suits its condition; in one query over all of
    // them no index would have the order of the list. SQLite merges the queries, and reads each
    // only as far as the page needs.
    let mut queries = Vec::new();
    for part in &listing.parts {
        let key = match part.sort.filter(|_| listing.sorted) {
            Some(sort) => sort_key(sort, part.resource_type),
            None => Fragment { sql: "NULL".to_owned(), values: Vec::new() },
        };
        let filter = filter(part, listing);
        // In the order of the list, SQLite would read each resource for its text. The plus hides
        // that order, so that SQLite reads the index of the text. A client that walks from page to
        // page keeps the order, since its next page is near.
        let by_text =
            matches!(listing.from, From::Offset(_)) && part.condition.is_some_and(is_part_of_text);
        let seq = if by_text { "+resource.seq" } else { "resource.seq" };
        queries.push(format!(
            "SELECT {seq} AS seq, {} AS sort FROM resource
             WHERE resource.org = ?1 AND resource.deleted IS NULL AND {} AND {}",
            key.sql, filter.sql, place.sql
        ));
        values.extend(key.values);
        values.extend(filter.values);
        values.extend(place.values.iter().cloned());
    }
    values.extend([SqlValue::from(listing.limit + 1), offset.into()]);
    // The first part names the organisation, so that it is ?1 wherever the filter stands.
    let sql = format!(
        "WITH arguments (org) AS (SELECT ?1) {} ORDER BY {order} LIMIT ? OFFSET ?",
        queries.join(" UNION ALL ")
    );
    Fragment { sql, values }
}

/// The condition for a resource of one type to be in the list.
fn filter(part: &Part, listing: &Listing) -> Fragment {
    let mut filter = Fragment {
        sql: "resource.type = ?".to_owned(),
        values: vec![part.resource_type.to_owned().into()],
    };
    if let Some(condition) = part.condition {
        let compiled = filter_sql::compile(
            condition,
            part.resource_type,
            part.location_base,
            listing.locations,
        );
        filter.sql.push_str(" AND ");
        filter.sql.push_str(&compiled.sql);
        filter.values.extend(compiled.values);
    }
    filter
}

fn order(listing: &Listing) -> &'static str {
    match (listing.sorted, listing.descending, listing.from.is_backward()) {
        (false, _, false) => "seq",
        (false, _, true) => "seq DESC",
        (true, false, false) => "sort NULLS LAST, seq",
        (true, false, true) => "sort DESC NULLS FIRST, seq DESC",
        (true, true, false) => "sort DESC NULLS FIRST, seq",
        (true, true, true) => "sort NULLS LAST, seq DESC",
    }
}

/// The condition for a resource to stand after, or before, a place in the list.
fn place(listing: &Listing) -> Fragment {
    let (position, backward) = match listing.from {
        From::Offset(_) | From::End(_) => {
            return Fragment { sql: "1".to_owned(), values: Vec::new() };
        }
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
    // The keys grow smaller when a descending list is read forward, or an ascending one backward.
    let (sql, values) = match (listing.sorted, key, listing.descending != backward) {
        (false, _, _) => (beyond.to_owned(), vec![seq]),
        // In ascending order the resources without a key come last.
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
    Fragment { sql, values }
}

fn listed<'a>(seq: i64, row: &'a rusqlite::Row) -> Result<Listed<'a>, Error> {
    let damaged = |it: FromSqlError| Error::Invalid(format!("resource number {seq}: {it}"));
    let text = |at: usize| row.get_ref(at)?.as_str().map_err(damaged);
    let time = |at: usize| Ok::<_, Error>(Timestamp::from_nanoseconds(row.get(at)?));
    Ok(Listed {
        shown: Shown {
            seq,
            id: text(0)?,
            document: text(1)?,
            created: time(2)?,
            last_modified: time(3)?,
            version: row.get(4)?,
        },
        resource_type: text(5)?,
        is_member: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::scim::filter::grammar;
    use crate::scim::filter::path::AttrPath;
    use crate::scim::identity::IdentityChanges;
    use crate::scim::schema::definitions::Definitions;
    use crate::scim::schema::resource_type::ResourceType;
    use crate::store::Store;
    use crate::store::open::Open;
    use crate::store::tables::org::OrgSettings;
    use crate::store::tables::resource::Kind;

    struct Harness {
        folder: PathBuf,
        store: Store,
        org: OrgKey,
        types: Vec<ResourceType>,
    }

    impl Harness {
        fn new(name: &str) -> Harness {
            let folder = std::env::temp_dir().join(format!("plumm-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let store = Store::open(&folder.join("plumm.db"), Open::Create).unwrap();
            let now = Timestamp::from_nanoseconds(0);
            let org = store.write(now, |tx| tx.add_org("a", true, OrgSettings::default())).unwrap();
            let types = Definitions::builtin(IdentityChanges::Refuse).resource_types;
            Harness { folder, store, org: org.key, types }
        }

        /// Does `work` on a listing of the first `types` types with this filter and this sort key;
        /// an empty text means none.
        fn with<T>(
            &self,
            types: usize,
            filter: &str,
            sort: &str,
            from: From,
            work: impl FnOnce(Listing) -> T,
        ) -> T {
            let parts: Vec<_> = self.types[..types]
                .iter()
                .map(|it| {
                    let condition = (!filter.is_empty()).then(|| {
                        Condition::of_resource(&grammar::parse(filter).unwrap(), it).unwrap()
                    });
                    let path = AttrPath::new(sort);
                    (it.name.as_str(), condition, path.and_then(|path| it.resolve(&path)))
                })
                .collect();
            work(Listing {
                org: self.org,
                parts: parts
                    .iter()
                    .map(|(resource_type, condition, sort)| Part {
                        resource_type,
                        location_base: "",
                        condition: condition.as_ref(),
                        sort: sort.as_ref(),
                    })
                    .collect(),
                locations: &[],
                sorted: !sort.is_empty(),
                descending: false,
                from,
                limit: 100,
                count: matches!(from, From::Offset(_)),
            })
        }

        fn plan(&self, listing: &Listing) -> String {
            let page = page(listing);
            let plan = self.store.read(|tx| {
                let sql = format!("EXPLAIN QUERY PLAN {}", page.sql);
                let mut statement = tx.connection.prepare(&sql)?;
                let rows = statement.query_map(params_from_iter(page.values), |row| {
                    row.get::<_, String>("detail")
                })?;
                Ok::<_, Error>(rows.collect::<Result<Vec<_>, _>>()?.join("\n"))
            });
            plan.unwrap()
        }
    }

    impl Drop for Harness {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn pages_are_found_in_indexes() {
        let harness = Harness::new("pages");
        let place = Position { key: Value::Null, seq: 7 };
        let check = |types, filter: &str, from, expected: &[&str], not: &[&str]| {
            harness.with(types, filter, "", from, |listing| {
                let plan = harness.plan(&listing);
                for it in expected {
                    assert!(plan.contains(it), "{filter} {from:?}: {it}\n{plan}");
                }
                for it in not {
                    assert!(!plan.contains(it), "{filter} {from:?}: {it}\n{plan}");
                }
            });
        };
        let sorted = ["TEMP B-TREE", "SCAN resource"];
        let list = "INDEX resource_list (org=? AND type=?)";
        check(1, "", From::Offset(0), &[list], &sorted);
        check(1, "", From::Offset(1_000_000), &[list], &sorted);
        let list = "INDEX resource_list (org=? AND type=? AND seq>?)";
        check(1, "", From::After(&place), &[list], &sorted);
        let list = "INDEX resource_list (org=? AND type=? AND seq<?)";
        check(1, "", From::Before(&place), &[list], &sorted);
        let name = "resource_user_name (org=? AND type=? AND user_name=?";
        check(1, "userName eq \"a\"", From::Offset(0), &[name], &["SCAN resource"]);
        check(1, "userName eq \"a\"", From::After(&place), &[name], &["SCAN resource"]);
        let id = "sqlite_autoindex_resource_1 (id=?)";
        check(1, "id eq \"a\" and groups eq \"b\"", From::Offset(0), &[id], &["SCAN resource"]);
        check(1, "", From::End(7), &["INDEX resource_list (org=? AND type=?)"], &sorted);
        check(2, "", From::End(7), &[], &sorted);
        check(2, "", From::Offset(0), &[], &sorted);
        check(2, "", From::After(&place), &[], &sorted);
        check(2, "", From::Before(&place), &[], &sorted);
        check(2, "id eq \"a\"", From::Offset(0), &[id], &["SCAN resource"]);
        let name = "INDEX resource_user_name (org=? AND type=?";
        let display = "INDEX resource_display_name (org=? AND type=?";
        check(1, "userName co \"a\"", From::Offset(0), &[name], &["SCAN resource"]);
        check(1, "userName ew \"a\"", From::Offset(0), &[name], &["SCAN resource"]);
        let both = "title eq \"a\" and displayName co \"a\"";
        check(1, both, From::Offset(0), &[display], &["SCAN resource"]);
        check(2, "displayName co \"a\"", From::Offset(0), &[display], &["SCAN resource"]);
        check(1, "userName co \"a\"", From::After(&place), &["resource_list (org"], &sorted);
        check(1, "title eq \"a\"", From::After(&place), &["resource_list (org"], &sorted);
    }

    #[test]
    fn every_quick_listing_is_found_in_an_index() {
        let harness = Harness::new("quick");
        let one = "INDEX sqlite_autoindex_resource_1 (id=?)";
        let email = "PRIMARY KEY (org=? AND value=?)";
        for (filter, index) in [
            ("userName eq \"a\"", "INDEX resource_user_name (org=? AND type=? AND user_name=?)"),
            ("externalId eq \"a\"", "INDEX resource_external_id (org=?"),
            ("displayName eq \"a\"", "INDEX resource_display_name (org=?"),
            ("id eq \"a\"", one),
            ("emails eq \"a\"", email),
            ("emails.value eq \"a\"", email),
            ("emails[type eq \"work\" and value eq \"a\"]", email),
            ("title co \"a\" and (active eq true and userName eq \"a\")", "user_name=?"),
        ] {
            harness.with(1, filter, "", From::Offset(0), |listing| {
                assert!(listing.is_quick(), "{filter}");
                let plan = harness.plan(&listing);
                assert!(plan.contains(index), "{filter}: {index}\n{plan}");
            });
        }
        for filter in [
            "title eq \"a\"",
            "active eq false",
            "userName ne \"a\"",
            "userName co \"a\"",
            "userName sw \"a\"",
            "not (userName eq \"a\")",
            "userName eq \"a\" or title eq \"a\"",
            "emails[type eq \"work\"]",
            "addresses[type eq \"a\"]",
            "name.familyName eq \"a\"",
            "meta.version eq \"a\"",
            "groups eq \"a\"",
        ] {
            harness.with(1, filter, "", From::Offset(0), |listing| {
                assert!(!listing.is_quick(), "{filter}");
            });
        }
        harness.with(1, "", "", From::Offset(0), |listing| assert!(listing.is_quick()));
        harness.with(1, "", "title", From::Offset(0), |listing| assert!(!listing.is_quick()));
    }

    #[test]
    fn pages_read_from_the_end_are_the_same_as_from_the_start() {
        let harness = Harness::new("halves");
        let kind = |it| Kind { org: harness.org, resource_type: it, location_base: "" };
        let now = Timestamp::from_nanoseconds(0);
        let made = harness.store.write(now, |tx| {
            for i in 0..23 {
                let id = format!("id{i:02}");
                let document = json!({"id": id, "title": format!("{}", i * 7 % 23)});
                let document = document.as_object().cloned().unwrap();
                let of = kind(if i % 3 == 0 { "Group" } else { "User" });
                let stored = tx.add_resource(of, &id, &document)?;
                if i == 10 {
                    tx.delete_resource(of, &stored)?;
                }
            }
            Ok::<_, Error>(())
        });
        made.unwrap();
        for (types, sort) in [(1, ""), (2, ""), (1, "title"), (2, "title")] {
            for descending in [false, true] {
                let page = |offset, limit| {
                    harness.with(types, "", sort, From::Offset(offset), |listing| {
                        let listing = Listing { limit, descending, ..listing };
                        harness.store.read(|tx| tx.list(&listing)).unwrap()
                    })
                };
                let ids = |page: &Page| -> Vec<String> {
                    let mut ids = Vec::new();
                    let read = harness.store.read(|tx| {
                        tx.each_listed(page.seqs.iter().copied(), |it| {
                            ids.push(it.shown.id.to_owned());
                            Ok::<_, Error>(ControlFlow::Continue(()))
                        })
                    });
                    read.unwrap();
                    ids
                };
                let whole = ids(&page(0, 100));
                assert_eq!(whole.len(), if types == 1 { 14 } else { 22 });
                for offset in 0..whole.len() + 3 {
                    for limit in [0, 1, 4, 100] {
                        let found = page(offset as i64, limit as i64);
                        let expected: Vec<_> =
                            whole.iter().skip(offset).take(limit).cloned().collect();
                        let at = format!("{types} {sort} {descending} {offset} {limit}");
                        assert_eq!(ids(&found), expected, "{at}");
                        assert_eq!(found.total, Some(whole.len() as i64), "{at}");
                        if limit > 0 {
                            assert_eq!(found.more, offset + limit < whole.len(), "{at}");
                        }
                    }
                }
            }
        }
    }
}
