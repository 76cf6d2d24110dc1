//! Requests that were refused, for whoever asks afterwards; written apart from the request.

use rusqlite::params;
use serde_json::Value;

use crate::scim::datetime::Timestamp;
use crate::scim::filter::comparison::fold;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::Stored;
use crate::store::transaction::{Read, Write};

/// How many rows of an organisation are kept; the oldest go first.
pub const PER_ORG_MAX: i64 = 10_000;
/// How much of a `detail` is kept, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1_000;
/// How much of a userName is kept, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 320;
/// How many old rows one transaction removes at most, so that writers do not wait long.
const TRIM_ROWS: i64 = 5_000;
/// The rows older than a time, among the first rows, as many as one transaction removes: rows are
/// in the order of time, unless the clock was set back.
const OLD_ROWS: &str = "SELECT seq FROM (SELECT seq, time FROM refusal ORDER BY seq LIMIT ?2)
    WHERE time < ?1";
/// Shorter texts of a person stand in many sentences by chance.
const TELLING_CHARS_MIN: usize = 4;

/// The attributes whose values tell a person apart, and may stand in a `detail`.
const TELLING: [&str; 4] = ["/userName", "/externalId", "/displayName", "/name/formatted"];

/// Refused requests of one kind: one, or several that are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The organisation.
    pub org: OrgKey,
    /// When the first of them was refused.
    pub first: Timestamp,
    /// When the last of them was.
    pub last: Timestamp,
    /// How many there are.
    pub count: i64,
    /// Whether they differ in `resource`, `subject` or `detail`: those are of one of them.
    pub various: bool,
    /// The public id of the token.
    pub token: String,
    /// The client's address.
    pub client: Option<String>,
    /// The id of the last request.
    pub request: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The path without a name or an id.
    pub path: String,
    /// The name of the resource type.
    pub resource_type: Option<String>,
    /// The resource's id.
    pub resource: Option<String>,
    /// The userName that the request gives, folded.
    pub subject: Option<String>,
    /// The HTTP status.
    pub status: u16,
    /// The keyword of RFC 7644 table 9.
    pub scim_type: Option<String>,
    /// What the client was told.
    pub detail: String,
}

impl Refusal {
    /// What was refused and how, without a word about a person: `400 invalidValue POST
    /// /scim/v2/Users`.
    #[must_use]
    pub fn in_short(&self) -> String {
        let scim_type = self.scim_type.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
        format!("{}{scim_type} {} {}", self.status, self.method, self.path)
    }
}

/// Text cut to so many bytes, between two characters.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end =
        (0..=bytes.saturating_sub('…'.len_utf8())).rev().find(|it| text.is_char_boundary(*it));
    format!("{}…", &text[..end.unwrap_or(0)])
}

impl Read<'_> {
    /// Whether [`Write::trim_refusals`] would find a row older than this.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn refusals_have_before(&self, time: Timestamp) -> Result<bool, Error> {
        let sql = format!("SELECT EXISTS ({OLD_ROWS})");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![time.nanoseconds(), TRIM_ROWS], |row| row.get(0))?)
    }
}

impl Write<'_> {
    /// Adds a row; returns its number, or `None` when the organisation is no longer there.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn add_refusal(&self, it: &Refusal) -> Result<Option<i64>, Error> {
        let sql = "INSERT INTO refusal (org, first, time, count, various, token, client, request,
                method, path, type, resource, subject, status, scim_type, detail)
            SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM org WHERE id = ?";
        let added = self.connection.prepare_cached(sql)?.execute(params![
            it.first.nanoseconds(),
            it.last.nanoseconds(),
            it.count,
            it.various,
            it.token,
            it.client,
            it.request,
            it.method,
            it.path,
            it.resource_type,
            it.resource,
            it.subject,
            it.status,
            it.scim_type,
            it.detail,
            it.org.0,
        ])?;
        Ok((added > 0).then(|| self.connection.last_insert_rowid()))
    }

    /// Adds to the row with this number, which then has the newest; returns it, or `None` when the
    /// row is no longer there.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn repeat_refusal(&self, seq: i64, it: &Refusal) -> Result<Option<i64>, Error> {
        let newest = "SELECT max(seq) + 1 FROM refusal";
        let newest: Option<i64> =
            self.connection.prepare_cached(newest)?.query_row([], |row| row.get(0))?;
        let Some(newest) = newest else { return Ok(None) };
        // The number may have been given again: to a row of another organisation, or kind.
        let sql =
            "UPDATE refusal SET seq = ?, time = ?, count = count + ?, client = ?, request = ?,
                resource = ?, subject = ?, detail = ?
            WHERE seq = ? AND org = ? AND token = ? AND method = ? AND path = ? AND status = ?
                AND scim_type IS ? AND various = ?";
        let changed = self.connection.prepare_cached(sql)?.execute(params![
            newest,
            it.last.nanoseconds(),
            it.count,
            it.client,
            it.request,
            it.resource,
            it.subject,
            it.detail,
            seq,
            it.org.0,
            it.token,
            it.method,
            it.path,
            it.status,
            it.scim_type,
            it.various,
        ])?;
        Ok((changed > 0).then_some(newest))
    }

    /// Removes the oldest rows of an organisation beyond those that are kept.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn bound_refusals(&self, org: OrgKey) -> Result<(), Error> {
        let sql = "DELETE FROM refusal WHERE org = ?1 AND seq <= (
            SELECT seq FROM refusal WHERE org = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
        self.connection.prepare_cached(sql)?.execute([org.0, PER_ORG_MAX])?;
        Ok(())
    }

    /// Removes some of the rows older than this; returns whether there may be more.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn trim_refusals(&self, before: Timestamp) -> Result<bool, Error> {
        let sql = format!("DELETE FROM refusal WHERE seq IN ({OLD_ROWS})");
        let values = params![before.nanoseconds(), TRIM_ROWS];
        Ok(self.connection.prepare_cached(&sql)?.execute(values)? as i64 == TRIM_ROWS)
    }

    /// Removes the rows about resources of a type.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn forget_refusals_of_type(&self, org: OrgKey, resource_type: &str) -> Result<(), Error> {
        let sql = "DELETE FROM refusal WHERE org = ? AND type = ?";
        self.connection.prepare_cached(sql)?.execute(params![org.0, resource_type])?;
        Ok(())
    }

    /// Removes the rows about a resource, and those whose `detail` tells something of it: its
    /// userName, its addresses, what it is called.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn forget_refusals_about(&self, org: OrgKey, stored: &Stored) -> Result<(), Error> {
        let telling = telling(&Value::Object(stored.parse()?), &stored.id);
        let sql = "SELECT seq, resource, subject, detail FROM refusal WHERE org = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([org.0])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (resource, subject): (Option<String>, Option<String>) = (row.get(1)?, row.get(2)?);
            let subject = subject.unwrap_or_default();
            let detail: String = row.get(3)?;
            let detail = fold(&detail);
            let told = |it: &String| detail.contains(it) || subject == cut(it, SUBJECT_BYTES_MAX);
            if resource.is_some_and(|it| it == stored.id) || telling.iter().any(told) {
                found.push(row.get::<_, i64>(0)?);
            }
        }
        for seq in found {
            self.connection.prepare_cached("DELETE FROM refusal WHERE seq = ?")?.execute([seq])?;
        }
        Ok(())
    }
}

/// What tells this resource from others, folded.
fn telling(document: &Value, id: &str) -> Vec<String> {
    let mut found = vec![id.to_owned()];
    let texts = TELLING.iter().filter_map(|it| document.pointer(it));
    let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
    for it in texts.chain(emails.filter_map(|it| it.get("value"))).filter_map(Value::as_str) {
        // A sentence has the beginning of a long text.
        let shown = it.trim_matches(' ').chars().take(60).collect::<String>();
        if shown.chars().count() >= TELLING_CHARS_MIN {
            found.push(fold(it).into_owned());
            found.push(fold(&shown).into_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        for (text, bytes, expected) in [
            ("short", 10, "short"),
            ("exactly 10", 10, "exactly 10"),
            ("more than 10", 10, "more th…"),
            ("üüüüüü", 10, "üüü…"),
        ] {
            assert_eq!(cut(text, bytes), expected);
            assert!(cut(text, bytes).len() <= bytes);
        }
    }

    #[test]
    fn what_tells_a_person_apart_is_found() {
        let document = serde_json::json!({
            "userName": "Mara@Example.com", "displayName": "Ma", "title": "Guide",
            "emails": [{"value": "Mara.N@home.example"}],
        });
        let found = telling(&document, "id-1");
        assert!(
            ["id-1", "mara@example.com", "mara.n@home.example"]
                .iter()
                .all(|it| found.iter().any(|found| found == it))
        );
        assert!(!found.iter().any(|it| it == "ma" || it == "guide"), "{found:?}");
    }
}
