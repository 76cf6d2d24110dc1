//! The record of changes and the refusals beside it, page by page, as somebody reads them who asks
//! what happened.

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};
use serde_json::{Map, Value, json};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::provisioning_log::CLI;
use crate::store::tables::refusal::Refusal;
use crate::store::tables::resource::is_resource_id;
use crate::store::transaction::Read;

/// All of a refusal.
const REFUSED: &str = "SELECT refusal.seq, token.label, refusal.org, refusal.first, refusal.time,
        refusal.count, refusal.various, refusal.token, refusal.client, refusal.request,
        refusal.method, refusal.path, refusal.type, refusal.resource, refusal.subject,
        refusal.status, refusal.scim_type, refusal.detail
    FROM refusal LEFT JOIN token ON token.id = refusal.token AND token.org = refusal.org";

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of which organisation; all when there is none.
    pub org: Option<OrgKey>,
    /// About what; everything when there is none.
    pub about: Option<About>,
    /// Of which kind; every kind when there is none.
    pub kind: Option<Kind>,
    /// The number of the oldest line.
    pub least: i64,
}

/// What somebody looks for among all that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is about things of these types.
    Types(&'static [&'static str]),
    /// What commands have done.
    Commands,
}

/// A resource, or several accounts that had the same name one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its ids.
    pub ids: Vec<String>,
    /// Its userNames, folded: a request that was refused may have had nothing else.
    pub user_names: Vec<String>,
}

impl About {
    /// A resource by its id, and by its userName where it has one.
    #[must_use]
    pub fn resource(id: &str, user_name: Option<&str>) -> About {
        let user_names = user_name.iter().map(|it| fold(it).into_owned());
        About { ids: vec![id.to_owned()], user_names: user_names.collect() }
    }
}

/// From which number on, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Those before this number, the newest first.
    Before(i64),
    /// Those behind this number, the oldest first.
    After(i64),
}

/// The most of one reading of the record, in bytes that its lines take once they are parsed and
/// printed again: a line may have thousands of values in a few kilobytes. What would be more ends
/// earlier, with one line at least.
pub const STORY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a value of a line takes, in bytes.
const VALUE_BYTES: usize = 400;

/// The most lines about a person among which those of one kind are looked for.
const LINES_ABOUT_MAX: usize = 100_000;

/// A line of the record of changes with everything that it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its number.
    pub seq: i64,
    /// When.
    pub time: Timestamp,
    /// The organisation.
    pub org: OrgKey,
    /// The public id of the token, or `cli`.
    pub actor: String,
    /// What support calls the token, where it was one.
    pub label: Option<String>,
    /// The client's address; of a command whose shell it was.
    pub client: Option<String>,
    /// The id of the request.
    pub request: Option<String>,
    /// Why, in the words of whoever ran a command.
    pub reason: Option<String>,
    /// The HTTP method, or the command.
    pub method: String,
    /// The name of the resource type, or of what is no resource.
    pub resource_type: String,
    /// The resource's id, or a name.
    pub resource: String,
    /// What changed; nothing where that was erased.
    pub changes: Map<String, Value>,
}

/// A refusal with its number and what support calls the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number.
    pub seq: i64,
    /// The label of the token.
    pub label: Option<String>,
    /// The refusal.
    pub refusal: Refusal,
}

impl Read<'_> {
    /// The lines of the record from a number on, at most so many, and whether these are fewer than
    /// there is room for since they are large.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn changes(
        &self,
        wanted: &Wanted,
        from: From,
        most: usize,
    ) -> Result<(Vec<Change>, bool), Error> {
        let (number, compared, order) = from.as_sql();
        let mut values = vec![Sql::Integer(number)];
        let mut sql = format!(
            "SELECT log.seq, log.time, log.org, log.actor, token.label, log.client, log.request,
                log.reason, log.method, log.type, log.resource, log.changes
            FROM provisioning_log AS log
            LEFT JOIN token ON token.id = log.actor AND token.org = log.org
            WHERE log.seq {compared} ?1 AND log.seq >= ?2"
        );
        values.push(Sql::Integer(wanted.least));
        sql += &wanted.kind.map(|it| it.as_sql(&mut values)).unwrap_or_default();
        if let Some(about) = &wanted.about {
            // Of one kind are only some of the lines about a person.
            let most = if wanted.kind.is_some() { LINES_ABOUT_MAX } else { most };
            let numbers = self.lines_of(&about.ids, from, most)?;
            values.push(Sql::Text(json!(numbers).to_string()));
            sql += &format!(" AND log.seq IN (SELECT value FROM json_each(?{}))", values.len());
        }
        if let Some(org) = wanted.org {
            values.push(Sql::Integer(org.0));
            let column = if wanted.about.is_some() { "+log.org" } else { "log.org" };
            sql += &format!(" AND {column} = ?{}", values.len());
        }
        values.push(Sql::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
        sql += &format!(" ORDER BY log.seq {order} LIMIT ?{}", values.len());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            bytes += weight(row.get_ref(11)?.as_bytes().unwrap_or_default());
            if bytes > STORY_BYTES_MAX && !found.is_empty() {
                return Ok((found, true));
            }
            found.push(change(row)?);
        }
        Ok((found, false))
    }

    /// The refusals from a number on, at most so many.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn refusals(
        &self,
        wanted: &Wanted,
        from: From,
        most: usize,
    ) -> Result<Vec<Refused>, Error> {
        let (number, compared, order) = from.as_sql();
        let mut values = vec![Sql::Integer(number)];
        let mut sql = format!("{REFUSED} WHERE refusal.seq {compared} ?1");
        match wanted.kind {
            // A command is refused on the terminal.
            Some(Kind::Commands) => return Ok(Vec::new()),
            Some(Kind::Types(types)) => {
                sql += &format!(" AND refusal.type IN ({})", bound(types, &mut values));
            }
            None => {}
        }
        if let Some(org) = wanted.org {
            values.push(Sql::Integer(org.0));
            sql += &format!(" AND refusal.org = ?{}", values.len());
        }
        if let Some(about) = &wanted.about {
            values.push(Sql::Text(json!(about.ids).to_string()));
            values.push(Sql::Text(json!(about.user_names).to_string()));
            // An organisation has few rows, so they need no further index.
            sql += &format!(
                " AND (refusal.resource IN (SELECT value FROM json_each(?{}))
                    OR refusal.subject IN (SELECT value FROM json_each(?{})))",
                values.len() - 1,
                values.len()
            );
        }
        values.push(Sql::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
        sql += &format!(" ORDER BY refusal.seq {order} LIMIT ?{}", values.len());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), refused)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest refusal of an organisation. Whoever reads what is not there was refused nothing.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn last_refusal(&self, org: OrgKey) -> Result<Option<Refused>, Error> {
        let sql = format!(
            "{REFUSED} WHERE refusal.org = ?1
                AND NOT (refusal.status = 404 AND refusal.method IN ('GET', 'HEAD'))
            ORDER BY refusal.seq DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row([org.0], refused).optional()?)
    }

    /// The line of an organisation that stands so many lines before a number, and its time; none
    /// where there are not so many.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn line_back(
        &self,
        org: OrgKey,
        before: i64,
        lines: usize,
    ) -> Result<Option<(i64, Timestamp)>, Error> {
        let sql = "SELECT seq, time FROM provisioning_log WHERE org = ? AND seq < ?
            ORDER BY seq DESC LIMIT 1 OFFSET ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let lines = i64::try_from(lines).unwrap_or(i64::MAX);
        let found = statement.query_row(params![org.0, before, lines], |row| {
            Ok((row.get(0)?, Timestamp::from_nanoseconds(row.get(1)?)))
        });
        Ok(found.optional()?)
    }

    /// The numbers of the newest line of the record and of the newest refusal, or 0.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn newest_numbers(&self) -> Result<(i64, i64), Error> {
        let sql = "SELECT (SELECT coalesce(max(seq), 0) FROM provisioning_log),
            (SELECT coalesce(max(seq), 0) FROM refusal)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// A number that changes whenever another connection has committed something. Two of them can
    /// be compared when one thread alone has asked for both.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn data_version(&self) -> Result<i64, Error> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// Whoever has or had this userName, or has this id: also those that were deleted, and by its
    /// id one that was purged.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn person(
        &self,
        org: OrgKey,
        resource_type: &str,
        name_or_id: &str,
    ) -> Result<About, Error> {
        let folded = fold(name_or_id).into_owned();
        let mut person = About::default();
        let found = "SELECT id, user_name FROM resource WHERE org = ?1 AND type = ?2";
        // Each part has an index.
        for (condition, value) in [
            ("id = ?3", name_or_id),
            ("user_name = ?3 AND deleted IS NULL", &folded),
            ("user_name = ?3 AND deleted IS NOT NULL", &folded),
        ] {
            let sql = format!("{found} AND {condition}");
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![org.0, resource_type, value])?;
            while let Some(row) = rows.next()? {
                let (id, user_name): (String, Option<String>) = (row.get(0)?, row.get(1)?);
                person.ids.push(id);
                person.user_names.extend(user_name);
            }
        }
        if person.ids.is_empty() && is_resource_id(name_or_id) {
            person.ids.push(name_or_id.to_owned());
        }
        person.user_names.push(folded);
        person.ids.sort();
        person.ids.dedup();
        person.user_names.sort();
        person.user_names.dedup();
        Ok(person)
    }
}

impl Kind {
    /// The condition on a line called `log`.
    fn as_sql(self, values: &mut Vec<Sql>) -> String {
        match self {
            Kind::Types(types) => format!(" AND log.type IN ({})", bound(types, values)),
            Kind::Commands => {
                values.push(Sql::Text(CLI.to_owned()));
                format!(" AND log.actor = ?{}", values.len())
            }
        }
    }
}

/// Places for these texts, which are added to the values.
fn bound(texts: &[&str], values: &mut Vec<Sql>) -> String {
    let places = texts.iter().map(|it| {
        values.push(Sql::Text((*it).to_owned()));
        format!("?{}", values.len())
    });
    places.collect::<Vec<_>>().join(", ")
}

impl From {
    /// Whether it leads to this number.
    pub(super) fn has(self, number: i64) -> bool {
        match self {
            From::Before(end) => number < end,
            From::After(end) => number > end,
        }
    }

    pub(super) fn as_sql(self) -> (i64, &'static str, &'static str) {
        match self {
            From::Before(number) => (number, "<", "DESC"),
            From::After(number) => (number, ">", "ASC"),
        }
    }
}

/// About how many bytes the changes of a line take once they are parsed and printed again.
fn weight(json: &[u8]) -> usize {
    let values = json.iter().filter(|it| matches!(it, b',' | b'{' | b'[')).count();
    json.len() * 2 + values * VALUE_BYTES
}

fn change(row: &Row) -> Result<Change, Error> {
    let seq = row.get(0)?;
    let changes: String = row.get(11)?;
    Ok(Change {
        seq,
        time: Timestamp::from_nanoseconds(row.get(1)?),
        org: OrgKey(row.get(2)?),
        actor: row.get(3)?,
        label: row.get(4)?,
        client: row.get(5)?,
        request: row.get(6)?,
        reason: row.get(7)?,
        method: row.get(8)?,
        resource_type: row.get(9)?,
        resource: row.get(10)?,
        changes: serde_json::from_str(&changes)
            .map_err(|it| Error::Invalid(format!("line {seq} of the provisioning log: {it}")))?,
    })
}

fn refused(row: &Row) -> Result<Refused, rusqlite::Error> {
    Ok(Refused {
        seq: row.get(0)?,
        label: row.get(1)?,
        refusal: Refusal {
            org: OrgKey(row.get(2)?),
            first: Timestamp::from_nanoseconds(row.get(3)?),
            last: Timestamp::from_nanoseconds(row.get(4)?),
            count: row.get(5)?,
            various: row.get(6)?,
            token: row.get(7)?,
            client: row.get(8)?,
            request: row.get(9)?,
            method: row.get(10)?,
            path: row.get(11)?,
            resource_type: row.get(12)?,
            resource: row.get(13)?,
            subject: row.get(14)?,
            status: row.get(15)?,
            scim_type: row.get(16)?,
            detail: row.get(17)?,
        },
    })
}
