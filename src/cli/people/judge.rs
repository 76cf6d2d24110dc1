//! What becomes of each account of a file: it is judged as the request of a client that would
//! create it.

use serde_json::{Map, Value};

use crate::activity::deeds;
use crate::cli::error::CliError;
use crate::cli::people::columns::Wrong;
use crate::cli::people::source::{Row, Rows};
use crate::creation;
use crate::id;
use crate::scim::changes::Changes;
use crate::scim::datetime::Timestamp;
use crate::scim::error::{Error as ScimError, ScimType};
use crate::scim::filter::comparison::fold;
use crate::scim::identity::Rules;
use crate::scim::schema::name::USER_NAME;
use crate::scim::schema::resource_type::ResourceType;
use crate::store::scratch::Scratch;
use crate::store::tables::change::Change;
use crate::store::tables::draft::Draft;
use crate::store::tables::org::Org;
use crate::store::tables::provisioning_log::{Actor, OwnedLine, bounded};
use crate::store::tables::resource::{AccountKey, Kind, Stored};
use crate::store::transaction::Read;
use crate::unique::{LookError, needs_look, refuse_duplicate};

/// The command's word in the record of changes.
const METHOD: &str = "import";

/// What accounts are judged by.
#[derive(Debug)]
pub struct Judge<'a> {
    org: &'a Org,
    resource_type: &'a ResourceType,
    rules: Rules,
    actor: &'a Actor,
}

/// What becomes of a row.
#[derive(Debug)]
pub enum Verdict {
    /// An account is created.
    New(Box<NewAccount>),
    /// There is an account of this userName, and it stays as it is.
    Exists {
        /// Whether the row says something else than the account.
        differs: bool,
    },
    /// The row is bad.
    Bad(BadRow),
}

/// An account as it will be.
#[derive(Debug)]
pub struct NewAccount {
    draft: Draft,
    document: Map<String, Value>,
    /// Whether other accounts must be looked at before it is created.
    look: bool,
    number: u64,
    line: u64,
}

/// The change that creates an account.
#[derive(Debug)]
pub struct Creation {
    /// The change.
    pub change: Change,
    /// The document, where other accounts must be looked at before.
    looked: Option<Map<String, Value>>,
    number: u64,
    line: u64,
}

/// A row that is not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The number of the row.
    pub number: u64,
    /// The line it begins on.
    pub line: u64,
    /// The field, as the file calls it; empty where it is the whole row.
    pub field: String,
    /// What is wrong, as a sentence without its end.
    pub reason: String,
}

impl<'a> Judge<'a> {
    /// What accounts of this organisation are judged by.
    #[must_use]
    pub fn new(org: &'a Org, resource_type: &'a ResourceType, actor: &'a Actor) -> Judge<'a> {
        Judge { org, resource_type, rules: org.settings.rules(), actor }
    }

    fn kind(&self) -> Kind<'a> {
        Kind { org: self.org.key, resource_type: &self.resource_type.name, location_base: "" }
    }

    /// Judges one row. With `seen`, what must be unique is so within the file, too.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn judge(
        &self,
        read: &Read,
        rows: &Rows,
        row: Row,
        seen: Option<&Scratch>,
        now: Timestamp,
    ) -> Result<Verdict, CliError> {
        let Row { number, line, body } = row;
        let bad = |field: String, reason: String| {
            Ok(Verdict::Bad(BadRow { number, line, field, reason }))
        };
        let refused = |error: &ScimError| {
            let reason = first_sentence(&error.detail);
            bad(rows.field_of(&error.detail), reason.to_owned())
        };
        let body = match body {
            Ok(it) => it,
            Err(Wrong { field, reason }) => return bad(field, reason),
        };
        let id = id::resource(now.milliseconds());
        let document = match creation::document(body, self.resource_type, self.rules, &id) {
            Ok(it) => it,
            Err(error) => return refused(&error),
        };
        if let Some(seen) = seen
            && let Some((name, first)) = self.seen_before(&document, number, seen)?
        {
            return bad(rows.field_of(&name), format!("row {first} has the same {name}"));
        }
        let user_name = document.get(USER_NAME).and_then(Value::as_str).unwrap_or_default();
        let found = read.accounts(self.kind(), AccountKey::UserName, user_name)?;
        if let Some(account) = found.into_iter().next() {
            let mut stored = Stored::parse_text(&account.id, &account.document)?;
            stored.insert("id".to_owned(), id.into());
            return Ok(Verdict::Exists { differs: stored != document });
        }
        let draft = Draft::new(self.kind(), &id, &document, now)?;
        if let Err(error) = creation::judge_size(draft.stored()) {
            return refused(&error);
        }
        let nothing = Map::new();
        let look = needs_look(self.rules.strict, self.resource_type, &nothing, &document);
        if look && let Some(error) = self.duplicate(read, &document, &id)? {
            return refused(&error);
        }
        Ok(Verdict::New(Box::new(NewAccount { draft, document, look, number, line })))
    }

    /// The change that creates an account, with its line in the record.
    #[must_use]
    pub fn creation(&self, account: NewAccount, now: Timestamp) -> Creation {
        let NewAccount { draft, document, look, number, line } = account;
        debug_assert!(deeds::find(METHOD, &self.resource_type.name).is_some());
        let line_of_record = OwnedLine {
            org: self.org.key,
            actor: self.actor.clone(),
            method: METHOD.to_owned(),
            resource_type: self.resource_type.name.clone(),
            resource: draft.stored().id.clone(),
            outcome: 201,
            changes: bounded(Changes::between(&Map::new(), &document).to_text()),
        };
        let schemas = (self.org.schemas != 0).then_some(self.org.schemas);
        let change = Change { draft, line: line_of_record, schemas, now };
        Creation { change, looked: look.then_some(document), number, line }
    }

    /// Why an account cannot be created any more, in the transaction that would create it.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn taken_since(
        &self,
        read: &Read,
        rows: &Rows,
        creation: &Creation,
    ) -> Result<Option<BadRow>, CliError> {
        let Some(document) = &creation.looked else { return Ok(None) };
        let found = self.duplicate(read, document, &creation.change.line.resource)?;
        Ok(found.map(|error| BadRow {
            number: creation.number,
            line: creation.line,
            field: rows.field_of(&error.detail),
            reason: first_sentence(&error.detail).to_owned(),
        }))
    }

    fn duplicate(
        &self,
        read: &Read,
        document: &Map<String, Value>,
        id: &str,
    ) -> Result<Option<ScimError>, CliError> {
        let nothing = Map::new();
        match refuse_duplicate(read, self.kind(), self.resource_type, &nothing, document, id) {
            Ok(()) => Ok(None),
            // Whoever took the userName since then is the account of this row.
            Err(LookError::Refused(it)) if it.detail.starts_with(USER_NAME) => Ok(None),
            Err(LookError::Refused(it)) if it.scim_type == Some(ScimType::Uniqueness) => {
                Ok(Some(it))
            }
            Err(LookError::Refused(it)) => Err(CliError::Failed(it.detail)),
            Err(LookError::Store(it)) => Err(it.into()),
        }
    }

    /// The first attribute that must be unique and whose value an earlier row has, and that row.
    fn seen_before(
        &self,
        document: &Map<String, Value>,
        number: u64,
        seen: &Scratch,
    ) -> Result<Option<(String, u64)>, CliError> {
        for (urn, attribute) in self.resource_type.unique_attributes() {
            let holder = match urn {
                None => Some(document),
                Some(urn) => document.get(urn).and_then(Value::as_object),
            };
            let text = match holder.and_then(|it| it.get(&attribute.name)) {
                Some(Value::String(it)) if it.is_empty() => continue,
                Some(Value::String(it)) if attribute.case_exact => it.clone(),
                Some(Value::String(it)) => fold(it).into_owned(),
                Some(Value::Number(it)) => it.to_string(),
                _ => continue,
            };
            let name = urn.map_or_else(String::new, |it| format!("{it}:")) + &attribute.name;
            let first = seen.first(&format!("{name}\0{text}"), number)?;
            if first != number {
                return Ok(Some((name, first)));
            }
        }
        Ok(None)
    }
}

/// What was wrong; the rest says what to do in the identity provider.
fn first_sentence(detail: &str) -> &str {
    let mut quoted = false;
    for (at, it) in detail.char_indices() {
        match it {
            '"' => quoted = !quoted,
            '.' if !quoted => {
                let rest = &detail[at + 1..];
                let next = rest.strip_prefix(' ').and_then(|it| it.chars().next());
                if rest.is_empty() || next.is_some_and(char::is_uppercase) {
                    return &detail[..at];
                }
            }
            _ => {}
        }
    }
    detail.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_says_what_was_wrong() {
        for (detail, first) in [
            ("a \"b. C\" is wrong. Do this. Or that.", "a \"b. C\" is wrong"),
            ("version 2.0 is meant.", "version 2.0 is meant"),
            ("a \"b\"c. d\" is wrong. Do this.", "a \"b\"c. d\" is wrong. Do this"),
            ("", ""),
        ] {
            assert_eq!(first_sentence(detail), first);
        }
    }
}
