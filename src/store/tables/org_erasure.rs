//! An organisation erased for good, in pieces, so that others write in between.
//!
//! Erasing begins with one short change: provisioning is off, every token is revoked, and the
//! organisation has a name that nothing can ask for, so that no command gives it back meanwhile.
//! Then its rows go, some in each change; whoever was killed begins again and goes on where he was.
//! The last change removes the organisation itself, and with it the possibility to write any row of
//! it: a request that is still at work fails. What stays is a row without a name, which holds the
//! line that says when and by whom an organisation was erased, and keeps its number and those of
//! its lines from being given to another.

use std::collections::HashMap;

use rusqlite::{Connection, TransactionBehavior, params};

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::store::Store;
use crate::store::error::Error;
use crate::store::tables::org::{Org, OrgKey};
use crate::store::tables::resource::{Columns, Stored};
use crate::store::transaction::{Read, Write};

/// How the name of an organisation begins that is being erased, or was. Names that people give have
/// no such character.
pub(crate) const ERASED: char = '\u{1}';
/// The method of the line that says that an organisation was erased.
pub const DELETE: &str = "delete";
/// What that line calls the organisation.
pub const NAMELESS: &str = "(erased)";
/// How many rows one change removes at most: some fifty milliseconds.
const PIECE_ROWS: usize = 500;

/// What goes row by row, after the resources, in the order of the references between them.
const PIECES: [Piece; 9] = [
    Piece::of_org("refusal", "seq"),
    Piece {
        table: "webhook_delivery",
        key: "webhook, number",
        rows: "webhook IN (SELECT id FROM webhook WHERE org = ?1)",
    },
    Piece::of_org("webhook", "id"),
    Piece::of_org("email", "org, value, resource"),
    Piece::of_org("resource_count", "org, type"),
    Piece::of_org("resource_type", "org, name"),
    Piece::of_org("schema", "org, urn"),
    Piece::of_org("token", "id"),
    Piece {
        table: "provisioning_log",
        key: "seq",
        rows: "org = ?1 AND NOT (type = 'Organization' AND method = 'delete')",
    },
];

/// The rows of an organisation in one table.
struct Piece {
    table: &'static str,
    /// The columns that tell its rows apart.
    key: &'static str,
    /// Which rows go, of the organisation `?1`.
    rows: &'static str,
}

impl Piece {
    const fn of_org(table: &'static str, key: &'static str) -> Piece {
        Piece { table, key, rows: "org = ?1" }
    }

    /// Removes no more than `?2` of them.
    fn removal(&self) -> String {
        let Piece { table, key, rows } = self;
        format!(
            "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {rows} LIMIT ?2)"
        )
    }

    /// Whether there is one.
    fn exists(&self) -> String {
        let Piece { table, rows, .. } = self;
        format!("EXISTS (SELECT 1 FROM {table} WHERE {rows})")
    }
}

/// What an organisation has, for who is to decide whether it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Users, deleted ones too.
    pub users: i64,
    /// Groups, deleted ones too.
    pub groups: i64,
    /// Resources of other types.
    pub others: i64,
    /// API tokens, revoked ones too.
    pub tokens: i64,
    /// Endpoints of webhooks.
    pub webhooks: i64,
    /// Schemas and resource types of its own.
    pub schemas: i64,
    /// Lines of the record of changes.
    pub lines: i64,
}

impl Read<'_> {
    /// What an organisation has.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn holdings(&self, org: OrgKey) -> Result<Holdings, Error> {
        let count = |sql: &str| -> Result<i64, Error> {
            Ok(self.connection.prepare_cached(sql)?.query_row([org.0], |row| row.get(0))?)
        };
        let resources = |of: &str| -> Result<i64, Error> {
            let counted = format!(
                "SELECT coalesce(sum(count), 0) FROM resource_count WHERE org = ?1 AND type {of}"
            );
            let deleted = format!(
                "SELECT count(*) FROM resource
                 WHERE org = ?1 AND deleted IS NOT NULL AND type {of}"
            );
            Ok(count(&counted)? + count(&deleted)?)
        };
        Ok(Holdings {
            users: resources("= 'User'")?,
            groups: resources("= 'Group'")?,
            others: resources("NOT IN ('User', 'Group')")?,
            tokens: count("SELECT count(*) FROM token WHERE org = ?1")?,
            webhooks: count("SELECT count(*) FROM webhook WHERE org = ?1")?,
            schemas: count("SELECT count(*) FROM schema WHERE org = ?1")?
                + count("SELECT count(*) FROM resource_type WHERE org = ?1")?,
            lines: count("SELECT count(*) FROM provisioning_log WHERE org = ?1")?,
        })
    }

    /// The organisations whose erasure was begun and not ended, by the names they had.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn orgs_being_erased(&self) -> Result<Vec<(OrgKey, String)>, Error> {
        let sql = "SELECT id, name FROM org WHERE name_folded < ' ' ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            let name: String = row.get(1)?;
            // The number, a blank, and what it was called.
            let called = name.split_once(' ').map(|(_, name)| name.to_owned());
            Ok((OrgKey(row.get(0)?), called))
        })?;
        let rows: Vec<(OrgKey, Option<String>)> = rows.collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter_map(|(key, called)| Some((key, called?))).collect())
    }
}

impl Write<'_> {
    /// Begins to erase an organisation: nobody comes in any more, and nothing finds it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn begin_erasure(&self, org: &Org) -> Result<(), Error> {
        let sql = "UPDATE token SET revoked = coalesce(revoked, ?) WHERE org = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![self.now.nanoseconds(), org.key.0])?;
        let sql = "UPDATE org SET active = 0, name = ?, name_folded = ? WHERE id = ?";
        let name = format!("{ERASED}{} {}", org.key.0, org.name);
        self.connection.prepare_cached(sql)?.execute(params![name, fold(&name), org.key.0])?;
        Ok(())
    }

    /// Removes some rows of an organisation whose erasure was begun. Returns how many; none when
    /// nothing is left but the organisation itself and the line that says that it is erased.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn erase_piece(&self, org: OrgKey) -> Result<usize, Error> {
        let mut left = PIECE_ROWS;
        self.erase_resources(org, &mut left)?;
        for piece in PIECES {
            if left == 0 {
                break;
            }
            let mut statement = self.connection.prepare_cached(&piece.removal())?;
            left = left.saturating_sub(statement.execute(params![org.0, count(left)])?);
        }
        Ok(PIECE_ROWS - left)
    }

    /// Removes resources with what hangs on each, and keeps the counts true meanwhile.
    fn erase_resources(&self, org: OrgKey, left: &mut usize) -> Result<(), Error> {
        let mut gone: HashMap<String, i64> = HashMap::new();
        for which in ["deleted IS NULL", "deleted IS NOT NULL"] {
            let sql = format!(
                "SELECT seq, id, type, document, deleted IS NULL FROM resource
                 WHERE org = ?1 AND {which} LIMIT ?2"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![org.0, count(*left)], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, bool>(4)?,
                ))
            })?;
            let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
            for (seq, id, resource_type, document, counts) in rows {
                for sql in [
                    "DELETE FROM member WHERE grp = ?1 AND resource IN (
                        SELECT resource FROM member WHERE grp = ?1 LIMIT ?2)",
                    "DELETE FROM member WHERE resource = ?1 AND grp IN (
                        SELECT grp FROM member WHERE resource = ?1 LIMIT ?2)",
                ] {
                    let mut statement = self.connection.prepare_cached(sql)?;
                    *left = left.saturating_sub(statement.execute(params![seq, count(*left)])?);
                }
                if *left == 0 {
                    break;
                }
                // What the document does not name any more goes with the rest.
                let document = Stored::parse_text(&id, &document).unwrap_or_default();
                self.remove_emails(org, seq, &Columns::of(&document).emails)?;
                let sql = "DELETE FROM resource WHERE seq = ?";
                self.connection.prepare_cached(sql)?.execute([seq])?;
                *left -= 1;
                *gone.entry(resource_type).or_default() += i64::from(counts);
                if *left == 0 {
                    break;
                }
            }
        }
        gone.iter().try_for_each(|(of, n)| self.add_to_count(org, of, -n))
    }
}

impl Store {
    /// Ends the erasure of an organisation of which nothing is left but itself, and the line that
    /// says so. Returns whether that could be done: a request that was at work may have written.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn end_erasure(&self, org: OrgKey, now: Timestamp) -> Result<bool, Error> {
        let mut connection = self.exclusive()?;
        // To remove an organisation SQLite would read every resource of the others, for none of the
        // indexes has all resources; two look-ups below say the same.
        connection.pragma_update(None, "foreign_keys", 0)?;
        let ended = end(&mut connection, org, now);
        connection.pragma_update(None, "foreign_keys", 1)?;
        ended
    }
}

fn end(connection: &mut Connection, org: OrgKey, now: Timestamp) -> Result<bool, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Each of the two has an index of its own.
    let resources = "EXISTS (SELECT 1 FROM resource WHERE org = ?1 AND deleted IS NULL)
        OR EXISTS (SELECT 1 FROM resource WHERE org = ?1 AND deleted IS NOT NULL)";
    let pieces = PIECES.iter().map(Piece::exists).collect::<Vec<_>>().join(" OR ");
    let sql = format!("SELECT {resources} OR {pieces}");
    if transaction.query_row(&sql, [org.0], |row| row.get(0))? {
        return Ok(false);
    }
    let sql = "INSERT INTO org (name, name_folded, active, username_format, identity_changes,
            created)
        SELECT ?1 || (max(id) + 1), ?1 || (max(id) + 1), 0, 'email', 'refuse', ?2 FROM org";
    transaction.execute(sql, params![ERASED.to_string(), now.nanoseconds()])?;
    let nameless = transaction.last_insert_rowid();
    let sql = "UPDATE provisioning_log SET org = ?1 WHERE org = ?2";
    transaction.execute(sql, [nameless, org.0])?;
    transaction.execute("DELETE FROM org WHERE id = ?", [org.0])?;
    transaction.commit()?;
    Ok(true)
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open::Open;

    #[test]
    fn every_table_with_rows_of_organisations_is_a_piece() {
        let folder = std::env::temp_dir().join(format!("plumm-pieces-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = Store::open(&folder.join("plumm.db"), Open::Create).unwrap();
        let sql = "SELECT sqlite_schema.name FROM sqlite_schema
            JOIN pragma_table_info(sqlite_schema.name) AS of
            WHERE sqlite_schema.type = 'table' AND of.name = 'org'";
        let found = store.read(|read| -> Result<Vec<String>, Error> {
            let mut statement = read.connection.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        let found = found.unwrap();
        drop(store);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(found.len() >= 9, "{found:?}");
        for table in found {
            // Resources go with what hangs on each, before the pieces.
            let is_piece = table == "resource" || PIECES.iter().any(|it| it.table == table);
            assert!(is_piece, "an organisation that is erased leaves rows in the table {table}");
        }
    }
}
