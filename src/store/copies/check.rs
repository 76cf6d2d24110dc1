//! Whether a database file is whole, and what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::scim::datetime::Timestamp;
use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::store::copies::chains;
use crate::store::copies::columns::{self, Known, Rules};
use crate::store::copies::view::{LOG_SUFFIXES, with_view};
use crate::store::database_file::DatabaseFile;
use crate::store::error::Error;
use crate::store::migrate;
use crate::store::paths::{beside, resolved};
use crate::store::serve_lock::{Serving, serving};
use crate::store::tables::resource::{Columns, Stored};
use crate::store::tables::resource_type;

/// The most faults in a report; a damaged file has thousands.
const FAULTS_MAX: usize = 24;
/// What is said of an e-mail row without its resource.
const NO_RESOURCE: &str = "column resource: a row belongs to a row of resource that is not there";
/// The length of the header of a SQLite file, in bytes.
const HEADER_BYTES: usize = 100;
/// The schema from which on organisations have resource types of their own.
const WITH_TYPES: i64 = 4;

/// One part of the examination of a file of this schema: what is wrong, in sentences.
type Check = fn(&Connection, i64) -> Result<Vec<String>, Error>;

/// What a file holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The schema of the file; 0 when it is unknown.
    pub schema: i64,
    /// The newest schema this program knows.
    pub known: i64,
    /// The organisations, by name.
    pub orgs: Vec<OrgContent>,
    /// The number and time of the last line of the provisioning log.
    pub last_change: Option<(i64, Timestamp)>,
    /// What is wrong, in sentences. A file without faults is whole.
    pub faults: Vec<String>,
    /// How many further faults were found.
    pub more: usize,
}

/// What an organisation has in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgContent {
    /// Its name.
    pub name: String,
    /// How many resources of each type, deleted ones not counted.
    pub counts: BTreeMap<String, i64>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    /// The report of a whole file.
    ///
    /// # Errors
    /// [`Error::NotWhole`] with the faults, for this file.
    pub fn require_whole(self, path: &Path) -> Result<Report, Error> {
        if self.is_whole() {
            return Ok(self);
        }
        Err(Error::NotWhole(path.to_owned(), self.faults))
    }

    fn add(&mut self, faults: Vec<String>) {
        for it in faults {
            if self.faults.len() < FAULTS_MAX { self.faults.push(it) } else { self.more += 1 }
        }
    }

    fn fault(what: impl Into<String>) -> Report {
        Report { known: migrate::newest(), faults: vec![what.into()], ..Report::default() }
    }
}

/// Examines a file, also while a server is running on it. The file is not changed, and nothing is
/// left beside it. `scratch` is a folder for a private copy, should one be needed.
///
/// # Errors
/// When the file cannot be read. What is wrong with it is in the report.
pub fn check(path: &Path, scratch: &Path) -> Result<Report, Error> {
    // A running server has checked the header.
    if serving(path)? == Serving::Nobody
        && let Some(fault) = header_fault(path)?
    {
        return Ok(Report::fault(fault));
    }
    with_view(path, scratch, |connection| examine(connection, path))
}

/// The fault that the first bytes or the length of the file show, before SQLite opens it.
///
/// # Errors
/// When the file cannot be read.
pub fn header_fault(path: &Path) -> Result<Option<String>, Error> {
    let io = |error| Error::Io(path.to_owned(), error);
    let file = DatabaseFile::open(path).map_err(io)?;
    let file = file.file().map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    if bytes == 0 {
        return Ok(Some("it is empty".to_owned()));
    }
    let mut header = [0; HEADER_BYTES];
    let read = file.read_exact_at(&mut header, 0);
    if read.is_err() || !header.starts_with(b"SQLite format 3\0") {
        return Ok(Some("it is no SQLite database".to_owned()));
    }
    let number =
        |at: usize| header[at..at + 4].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    // The page size is 2 bytes long, and 1 stands for 65,536.
    let page_bytes = match number(16) >> 16 {
        1 => 65_536,
        other => other,
    };
    let path = resolved(path);
    let has_no_log = !LOG_SUFFIXES.iter().any(|it| beside(&path, it).exists());
    // SQLite uses the number of pages in the header only when the two change counters are equal.
    let expected = if number(24) == number(92) { number(28) * page_bytes } else { 0 };
    if has_no_log && bytes < expected {
        return Ok(Some(format!(
            "it has {bytes} bytes and should have {expected}: the copy was cut short, or made \
             while the database was being written"
        )));
    }
    Ok(None)
}

/// Examines what a connection sees of the file at `path`, in one transaction.
fn examine(connection: &Connection, path: &Path) -> Result<Report, Error> {
    let schema = match migrate::version(connection, path) {
        Ok(0) => {
            return Ok(Report::fault("it is a SQLite database in which plumm has made nothing"));
        }
        Ok(it) => it,
        Err(Error::Foreign(_)) => {
            return Ok(Report::fault("it is a database, but not one of plumm"));
        }
        Err(Error::Newer { found, known, .. }) => {
            return Ok(Report::fault(format!(
                "it was written by a newer plumm (schema {found}, this program knows {known}), \
                 which is needed to check it"
            )));
        }
        Err(error) => return as_fault(error).map(Report::fault),
    };
    let mut report = Report { schema, known: migrate::newest(), ..Report::default() };
    // A damaged page or another form of a table has further faults as its consequence, which a
    // report leaves out.
    for checks in [
        &[pages as Check][..],
        &[tables],
        &[rows, references, counts, types, documents, members, chains],
    ] {
        for check in checks {
            match check(connection, schema) {
                Ok(faults) => report.add(faults),
                Err(error) => report.add(vec![as_fault(error)?]),
            }
        }
        if !report.is_whole() {
            return Ok(report);
        }
    }
    report.orgs = content(connection)?;
    report.last_change = last_change(connection)?;
    Ok(report)
}

/// Turns a failure that is due to the file into a fault; any other one stays a failure.
fn as_fault(error: Error) -> Result<String, Error> {
    match error {
        Error::Internal(inner) => match inner.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Ok(format!("it is damaged ({inner})"))
            }
            // A statement does not fit the tables, or a column has a value of another type.
            Some(ErrorCode::Unknown) | None => Ok(format!("it is damaged ({inner})")),
            _ => Err(Error::Internal(inner)),
        },
        Error::Invalid(what) => Ok(what),
        other => Err(other),
    }
}

fn pages(connection: &Connection, _schema: i64) -> Result<Vec<String>, Error> {
    let sql = format!("PRAGMA integrity_check({FAULTS_MAX})");
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut faults = Vec::new();
    for line in found {
        let line = line?;
        if line != "ok" {
            let line: Vec<&str> = line.lines().filter(|it| !it.starts_with("***")).collect();
            faults.push(format!("it is damaged ({})", line.join(", ")));
        }
    }
    Ok(faults)
}

/// Compares what the file is made of with a new file of this schema: tables, indexes, triggers and
/// views. Tables whose names begin with `_` are no fault, nor are their indexes: a program that
/// replicates the file adds some.
fn tables(connection: &Connection, schema: i64) -> Result<Vec<String>, Error> {
    let model = Connection::open_in_memory()?;
    migrate::make_schema(&model, schema)?;
    let expected = definitions(&model)?;
    let found = definitions(connection)?;
    let differing = expected.iter().filter(|(name, sql)| found.get(*name) != Some(*sql));
    let differing = differing.map(|(name, _)| format!("{name} is not as schema {schema} has it"));
    let is_replicators = |kind: &str, table: &str| {
        matches!(kind, "table" | "index")
            && (table.starts_with('_') || table.starts_with("sqlite_"))
    };
    let strange = found.iter().filter(|(name, (kind, table, _))| {
        !expected.contains_key(*name) && !is_replicators(kind, table)
    });
    let strange =
        strange.map(|(_, (kind, table, _))| format!("{kind} on {table} that plumm has not made"));
    Ok(differing.chain(strange).collect())
}

/// What a file is made of, by name: kind, table and SQL.
fn definitions(
    connection: &Connection,
) -> Result<BTreeMap<String, (String, String, String)>, Error> {
    let sql = "SELECT name, type, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reads every row of the small tables and of the log.
fn rows(connection: &Connection, schema: i64) -> Result<Vec<String>, Error> {
    let known = known(connection, schema)?;
    let mut faults = Vec::new();
    columns::check_tables(connection, &known, |it| faults.push(it))?;
    Ok(faults)
}

fn known(connection: &Connection, schema: i64) -> Result<Known, Error> {
    let mut types = BTreeSet::new();
    if schema >= WITH_TYPES {
        let mut statement = connection.prepare("SELECT org, name FROM resource_type")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        types = rows.collect::<Result<_, _>>()?;
    }
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    let builtin = builtin.all_types().into_iter().map(|it| it.name.clone()).collect();
    columns::known(connection, builtin, types)
}

fn references(connection: &Connection, _schema: i64) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut faults = Vec::new();
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        let (row, key): (Option<i64>, i64) = (row.get(1)?, row.get(3)?);
        let sql = "SELECT \"from\" FROM pragma_foreign_key_list(?) WHERE id = ?";
        let column: String =
            connection.query_row(sql, rusqlite::params![table, key], |row| row.get(0))?;
        // Tables without row numbers have no better name for theirs here.
        let row = row.map_or_else(|| "?".to_owned(), |it| it.to_string());
        faults.push(format!(
            "table {table}, row {row}, column {column}: it belongs to a row of {parent} that is \
             not there"
        ));
        if faults.len() == FAULTS_MAX {
            break;
        }
    }
    Ok(faults)
}

/// Compares how many resources there are with the table of counts, from which lists are answered.
/// Copies that `cp` made during writes have passed every check of SQLite and failed this one.
fn counts(connection: &Connection, _schema: i64) -> Result<Vec<String>, Error> {
    let sql = "SELECT org, type, sum(counted), sum(present) FROM (
            SELECT org, type, count AS counted, 0 AS present FROM resource_count
            UNION ALL
            SELECT org, type, 0, count(*) FROM resource WHERE deleted IS NULL GROUP BY org, type
        ) GROUP BY org, type HAVING sum(counted) <> sum(present) LIMIT ?";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([FAULTS_MAX as i64], |row| {
        let (org, name): (i64, String) = (row.get(0)?, row.get(1)?);
        let (counted, present): (i64, i64) = (row.get(2)?, row.get(3)?);
        Ok(format!(
            "organisation {org} has {present} resources of type {name}, and its counter says \
             {counted}"
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// That resource types can be read, and that each resource is of one that is there. That their
/// organisation is there is a reference.
fn types(connection: &Connection, schema: i64) -> Result<Vec<String>, Error> {
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    let mut known = BTreeSet::new();
    let mut faults = Vec::new();
    if schema >= WITH_TYPES {
        let sql = "SELECT org, name, document FROM resource_type ORDER BY org, name";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (org, name): (i64, String) = (row.get(0)?, row.get(1)?);
            if let Err(error) = resource_type::parse(&name, &row.get::<_, String>(2)?) {
                faults.push(format!("organisation {org}: {}", as_fault(error)?));
            }
            known.insert((org, name));
        }
    }
    let sql = "SELECT org, type, count(*) FROM resource GROUP BY org, type";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (of, resources): ((i64, String), i64) = ((row.get(0)?, row.get(1)?), row.get(2)?);
        if builtin.resource_type(&of.1).is_none() && !known.contains(&of) {
            let (org, name) = of;
            faults.push(format!(
                "organisation {org} has {resources} resources of type {name}, and no such type"
            ));
        }
    }
    faults.truncate(FAULTS_MAX);
    Ok(faults)
}

/// Compares the columns and the email rows with the documents, which they repeat.
fn documents(connection: &Connection, schema: i64) -> Result<Vec<String>, Error> {
    let display = if schema >= 2 { "display" } else { "NULL" };
    let last_line = if schema >= 7 { "last_line" } else { "0" };
    let sql = format!(
        "SELECT seq, org, id, document, user_name, external_id, display_name, active, {display},
            type, created, last_modified, version, deleted, {last_line}
         FROM resource ORDER BY seq"
    );
    let known = known(connection, schema)?;
    let mut resources = connection.prepare(&sql)?;
    let rules = Rules::of("resource", &resources);
    let mut resources = resources.query([])?;
    // Both statements have the same order, so that one walk through both finds what belongs
    // together.
    let mut emails =
        connection.prepare("SELECT resource, org, value FROM email ORDER BY resource")?;
    let mut emails = emails.query([])?;
    let mut email: Option<(i64, i64, String)> = None;
    let mut more = true;
    let mut faults = Vec::new();
    while let Some(row) = resources.next()? {
        faults.extend(rules.faults(row, &known)?);
        let (seq, org, id): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut found = BTreeSet::new();
        let mut in_org = true;
        let mut orphan = false;
        loop {
            if email.is_none() && more {
                email = match emails.next()? {
                    Some(it) => Some((it.get(0)?, it.get(1)?, it.get(2)?)),
                    None => None,
                };
                more = email.is_some();
            }
            match email.take_if(|it| it.0 <= seq) {
                Some((of_seq, _, _)) if of_seq < seq => orphan = true,
                Some((_, of, value)) => {
                    in_org &= of == org;
                    found.insert(value);
                }
                None => break,
            }
        }
        if orphan {
            faults.push(format!("table email, {NO_RESOURCE}"));
        }
        let text = row.get_ref(3)?.as_str().unwrap_or_default();
        let Ok(document) = Stored::parse_text(&id, text) else {
            faults.push(format!(
                "table resource, row {seq}, column document: it is no document that plumm can read"
            ));
            continue;
        };
        let mut expected = Columns::of(&document);
        // Another form of the same name, from before names were folded anew, or from then on where
        // two accounts have the same one.
        let folded_before = schema < migrate::FOLDED_ANEW && !text.is_ascii();
        if !text.is_ascii() && (folded_before || is_shared(connection, org, seq, &expected)?) {
            expected.user_name = row.get(4)?;
        }
        if folded_before {
            expected.display_name = row.get(6)?;
            expected.emails = found.iter().cloned().collect();
        }
        let display: Option<String> = row.get(8)?;
        for (column, same) in [
            ("id", document.get("id").and_then(|it| it.as_str()) == Some(&id)),
            ("user_name", expected.user_name == row.get(4)?),
            ("external_id", expected.external_id == row.get(5)?),
            ("display_name", expected.display_name == row.get(6)?),
            ("active", expected.active.map(i64::from) == row.get(7)?),
            ("display", schema < 2 || expected.display == display),
        ] {
            if !same {
                faults.push(format!(
                    "table resource, row {seq}, column {column}: it does not say what the \
                     document says"
                ));
            }
        }
        if !in_org {
            faults.push(format!(
                "table email, row {seq}, column org: it is not the organisation of the resource"
            ));
        }
        if found != expected.emails.into_iter().collect() {
            faults.push(format!(
                "table email, row {seq}, column value: the addresses are not those of the document"
            ));
        }
    }
    if email.is_some() || emails.next()?.is_some() {
        faults.push(format!("table email, {NO_RESOURCE}"));
    }
    Ok(faults)
}

/// Whether another account has this userName: a file keeps both.
fn is_shared(
    connection: &Connection,
    org: i64,
    seq: i64,
    columns: &Columns,
) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM resource
        WHERE org = ? AND user_name = ? AND seq <> ? AND deleted IS NULL)";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(rusqlite::params![org, columns.user_name, seq], |row| row.get(0))?)
}

/// Checks that members and their group belong to one organisation, and are not deleted. Whether
/// they exist is checked by `references`.
fn members(connection: &Connection, schema: i64) -> Result<Vec<String>, Error> {
    if schema < 2 {
        return Ok(Vec::new());
    }
    let sql = "SELECT team.id, resource.id FROM member
        JOIN resource AS team ON team.seq = member.grp
        JOIN resource ON resource.seq = member.resource
        WHERE team.org <> resource.org OR resource.deleted IS NOT NULL
            OR team.seq = resource.seq OR team.user_name IS NOT NULL LIMIT ?";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([FAULTS_MAX as i64], |row| {
        let (group, member): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(format!(
            "table member, column grp or resource: group {group} has the member {member}, which it \
             cannot have"
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn chains(connection: &Connection, schema: i64) -> Result<Vec<String>, Error> {
    chains::check(connection, schema, FAULTS_MAX)
}

fn content(connection: &Connection) -> Result<Vec<OrgContent>, Error> {
    let mut orgs: Vec<OrgContent> = Vec::new();
    let sql = "SELECT org.name, resource_count.type, resource_count.count
        FROM org LEFT JOIN resource_count ON resource_count.org = org.id
        WHERE org.name_folded >= ' ' ORDER BY org.name_folded";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if orgs.last().is_none_or(|it| it.name != name) {
            orgs.push(OrgContent { name, counts: BTreeMap::new() });
        }
        if let (Some(of), Some(org)) = (row.get::<_, Option<String>>(1)?, orgs.last_mut()) {
            org.counts.insert(of, row.get(2)?);
        }
    }
    Ok(orgs)
}

/// The number and time of the last line of the provisioning log.
///
/// # Errors
/// Failures of SQLite.
pub fn last_change(connection: &Connection) -> Result<Option<(i64, Timestamp)>, Error> {
    let sql = "SELECT seq, time FROM provisioning_log ORDER BY seq DESC LIMIT 1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some((row.get(0)?, Timestamp::from_nanoseconds(row.get(1)?))))
}
