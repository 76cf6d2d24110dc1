//! Accounts and groups found by parts of their names, for a command and for who searches as one
//! types.
//!
//! A whole userName or address finds that one alone. What begins with the words is found through
//! indexes, at any size. Parts within names are looked for in the indexes of names and addresses,
//! entry by entry, and then in the documents, which have given and family names too. A caller says
//! how many rows each of these may read.

use std::collections::HashSet;

use rusqlite::types::Value as SqlValue;
use rusqlite::{OptionalExtension, params, params_from_iter};
use serde_json::{Map, Value};

use crate::scim::filter::comparison::fold;
use crate::store::error::Error;
use crate::store::tables::org::OrgKey;
use crate::store::tables::resource::{COLUMNS, State, Stored, from_row, index_sql, state_sql};
use crate::store::transaction::Read;

/// The longest text that is searched for, in characters.
pub const TEXT_CHARS_MAX: usize = 200;
/// How many words SQL compares; what it finds is compared with all of them.
const WORDS_MAX: usize = 6;
/// How many entries of an index are looked at for each one that is asked for: several may lead to
/// the same account, or to one that lacks another word.
const ENTRIES_FOR_EACH: usize = 4;

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Words, of which each must be part of a name or an address, in any letter case. Without one,
    /// everything is found.
    pub text: &'a str,
    /// Among which resources.
    pub state: State,
    /// How many are wanted.
    pub most: usize,
    /// How many rows may be read of an index or of the documents, where no index leads to what is
    /// searched for.
    pub rows_max: usize,
    /// The most of the documents of what is found, in bytes: what would be more ends earlier.
    pub bytes_max: usize,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Those that begin with the words by name, then the others in order of creation. Without words
    /// all are in order of creation.
    pub resources: Vec<Stored>,
    /// Whether there are more than were wanted.
    pub more: bool,
    /// Whether every name was looked at, or enough were found.
    pub complete: bool,
}

impl Read<'_> {
    /// The resources of a type that have these words in their names, userName or e-mail addresses.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn search(&self, org: OrgKey, resource_type: &str, search: Search) -> Result<Found, Error> {
        let folded = fold(search.text);
        let mut words: Vec<&str> = folded.split_whitespace().collect();
        // The longest word leaves the fewest to be looked at.
        words.sort_by_key(|it| std::cmp::Reverse(it.len()));
        let mut finding = Finding {
            read: self,
            org,
            resource_type,
            search,
            words,
            seen: HashSet::new(),
            found: Vec::new(),
            bytes: 0,
        };
        let complete = finding.run()?;
        let mut resources = finding.found;
        let full = finding.bytes > search.bytes_max && resources.len() > 1;
        let more = full || resources.len() > search.most;
        resources.truncate(search.most);
        Ok(Found { resources, more, complete: complete || more })
    }
}

/// A search at work.
struct Finding<'a> {
    read: &'a Read<'a>,
    org: OrgKey,
    resource_type: &'a str,
    search: Search<'a>,
    /// Folded, the longest first.
    words: Vec<&'a str>,
    seen: HashSet<i64>,
    found: Vec<Stored>,
    /// How long their documents are together.
    bytes: usize,
}

impl Finding<'_> {
    /// Looks for one more than is wanted. Returns whether every name was looked at, as far as that
    /// was needed.
    fn run(&mut self) -> Result<bool, Error> {
        // Deactivated and deleted accounts are few, and have an index of their own.
        if self.search.state == State::Present && !self.words.is_empty() {
            self.by_prefix()?;
            if self.found.len() == 1 && self.is_whole_address()? {
                return Ok(true);
            }
            self.by_part()?;
        }
        self.by_document()
    }

    fn is_enough(&self) -> bool {
        self.found.len() > self.search.most || self.bytes > self.search.bytes_max
    }

    fn add(&mut self, stored: Stored) {
        self.bytes += stored.document.len();
        self.found.push(stored);
    }

    /// Whether the only one that was found has what is searched for as its userName or address:
    /// then nobody else is meant.
    fn is_whole_address(&self) -> Result<bool, Error> {
        let ([word], Some(stored)) = (self.words.as_slice(), self.found.first()) else {
            return Ok(false);
        };
        let document = stored.parse()?;
        let mut names = names(&document);
        Ok(word.contains('@') && names.any(|it| fold(it) == *word))
    }

    fn entries_max(&self) -> i64 {
        count(self.search.most.saturating_add(1).saturating_mul(ENTRIES_FOR_EACH))
    }

    /// What begins with a word.
    fn by_prefix(&mut self) -> Result<(), Error> {
        let Some(word) = self.words.first() else { return Ok(()) };
        let (word, end) = ((*word).to_owned(), format!("{word}\u{10ffff}"));
        let of_name = |column: &str| {
            format!(
                "SELECT seq FROM resource WHERE org = ?1 AND type = ?2 AND deleted IS NULL
                    AND {column} >= ?3 AND {column} < ?4 ORDER BY {column} LIMIT ?5"
            )
        };
        let of_email = "SELECT resource FROM email WHERE org = ?1 AND ?2 IS NOT NULL
            AND value >= ?3 AND value < ?4 ORDER BY value LIMIT ?5"
            .to_owned();
        for sql in [of_name("user_name"), of_email, of_name("display_name")] {
            if self.is_enough() {
                return Ok(());
            }
            let mut statement = self.read.connection.prepare_cached(&sql)?;
            let values = params![self.org.0, self.resource_type, word, end, self.entries_max()];
            let seqs = statement.query_map(values, |row| row.get(0))?;
            let seqs: Vec<i64> = seqs.collect::<Result<_, _>>()?;
            self.take(&seqs)?;
        }
        Ok(())
    }

    /// What has all words in one name or address, which the indexes hold.
    fn by_part(&mut self) -> Result<(), Error> {
        let words: Vec<String> =
            self.words.iter().take(WORDS_MAX).map(|it| (*it).to_owned()).collect();
        let has_words: Vec<String> =
            (0..words.len()).map(|i| format!("instr(name, ?{}) > 0", i + 5)).collect();
        let has_words = has_words.join(" AND ");
        // The inner query reads an index alone.
        let of_name = |column: &str| {
            format!(
                "SELECT seq FROM (
                    SELECT seq, {column} AS name FROM resource INDEXED BY resource_{column}
                    WHERE org = ?1 AND type = ?2 AND deleted IS NULL AND {column} IS NOT NULL
                    LIMIT ?3)
                WHERE {has_words} LIMIT ?4"
            )
        };
        let of_email = format!(
            "SELECT seq FROM (
                SELECT resource AS seq, value AS name FROM email
                WHERE org = ?1 AND ?2 IS NOT NULL LIMIT ?3)
            WHERE {has_words} LIMIT ?4"
        );
        for sql in [of_name("user_name"), of_email, of_name("display_name")] {
            if self.is_enough() {
                return Ok(());
            }
            let mut values: Vec<SqlValue> = vec![
                self.org.0.into(),
                self.resource_type.to_owned().into(),
                count(self.search.rows_max).into(),
                self.entries_max().into(),
            ];
            values.extend(words.iter().map(|it| it.clone().into()));
            let mut statement = self.read.connection.prepare_cached(&sql)?;
            let seqs = statement.query_map(params_from_iter(values), |row| row.get(0))?;
            let mut seqs: Vec<i64> = seqs.collect::<Result<_, _>>()?;
            seqs.sort_unstable();
            self.take(&seqs)?;
        }
        Ok(())
    }

    /// What has the words anywhere, in order of creation. Returns whether all were looked at.
    fn by_document(&mut self) -> Result<bool, Error> {
        if self.is_enough() {
            return Ok(true);
        }
        // In the document a word stands as JSON writes it. The longest one leaves few to be read.
        let word = self.words.first().map(|it| Value::from(*it).to_string());
        let word = word.map(|it| it.trim_matches('"').to_owned());
        let state = state_sql(self.search.state);
        let index = index_sql(self.search.state);
        let has_word = match word {
            Some(_) => "has_folded(resource.document, ?4)",
            None => "true",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM (
                SELECT seq AS at FROM resource {index} WHERE org = ?1 AND type = ?2 AND {state}
                ORDER BY seq LIMIT ?3)
            CROSS JOIN resource ON resource.seq = at WHERE {has_word}"
        );
        let rows_max = match self.words.is_empty() {
            true => self.search.most.saturating_add(1),
            false => self.search.rows_max,
        };
        let mut values: Vec<SqlValue> =
            vec![self.org.0.into(), self.resource_type.to_owned().into(), count(rows_max).into()];
        values.extend(word.map(SqlValue::from));
        let mut statement = self.read.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let stored = from_row(row)?;
            if !self.seen.contains(&stored.seq) && has_words_in(&stored, &self.words)? {
                self.add(stored);
                if self.is_enough() {
                    return Ok(true);
                }
            }
        }
        if self.search.rows_max == usize::MAX {
            return Ok(true);
        }
        let sql = format!(
            "SELECT 1 FROM resource {index} WHERE org = ? AND type = ? AND {state}
             ORDER BY seq LIMIT 1 OFFSET ?"
        );
        let mut statement = self.read.connection.prepare_cached(&sql)?;
        let values = params![self.org.0, self.resource_type, count(self.search.rows_max)];
        Ok(statement.query_row(values, |_| Ok(())).optional()?.is_none())
    }

    /// Takes those of these rows that have all words.
    fn take(&mut self, seqs: &[i64]) -> Result<(), Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM resource
             WHERE seq = ? AND org = ? AND type = ? AND deleted IS NULL"
        );
        let mut statement = self.read.connection.prepare_cached(&sql)?;
        for seq in seqs {
            if self.is_enough() {
                return Ok(());
            }
            if self.seen.contains(seq) {
                continue;
            }
            let values = params![seq, self.org.0, self.resource_type];
            if let Some(stored) = statement.query_row(values, from_row).optional()?
                && has_words_in(&stored, &self.words)?
            {
                self.seen.insert(*seq);
                self.add(stored);
            }
        }
        Ok(())
    }
}

/// Whether each word is part of a name, the userName or an address.
fn has_words_in(stored: &Stored, words: &[&str]) -> Result<bool, Error> {
    if words.is_empty() {
        return Ok(true);
    }
    let document = stored.parse()?;
    let names: Vec<String> = names(&document).map(|it| fold(it).into_owned()).collect();
    Ok(words.iter().all(|word| names.iter().any(|it| it.contains(word))))
}

/// What people know a person or a group by.
fn names(document: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let own = ["displayName", "userName"].into_iter().filter_map(|it| document.get(it));
    let name = document.get("name");
    let parts = ["givenName", "familyName", "formatted"].into_iter();
    let parts = parts.filter_map(move |it| name?.get(it));
    let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
    let emails = emails.filter_map(|it| it.get("value"));
    own.chain(parts).chain(emails).filter_map(Value::as_str)
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
