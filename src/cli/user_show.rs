//! `plumm user show`: one person, whether it may log in and why, its groups and its last changes.

use serde_json::{Value, json};

use crate::activity::Entry;
use crate::activity::login::Standing;
use crate::activity::story;
use crate::by_hand::login::USER;
use crate::cli::error::CliError;
use crate::cli::person::Summary;
use crate::cli::session::{Answer, Session};
use crate::cli::story::{LAST_MAX, under_a_head};
use crate::cli::text::{printable, printable_json, quoted};
use crate::scim::meta::version_tag;
use crate::store::error::Error;
use crate::store::query::story::{About, Wanted};
use crate::store::tables::member::Linked;
use crate::store::tables::org::Org;
use crate::store::tables::resource::Stored;
use crate::store::transaction::Read;

/// What is shown of a person, read in one view of the database.
#[derive(Debug)]
pub struct Person {
    org: Org,
    stored: Stored,
    summary: Summary,
    groups: Vec<Linked>,
    standing: Standing,
    /// The newest first.
    history: Vec<Entry>,
}

impl Person {
    /// Reads what is shown.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn read(read: &Read, org: Org, stored: Stored) -> Result<Person, Error> {
        let summary = Summary::of(&stored)?;
        let groups = read.groups(&[stored.seq])?.remove(&stored.seq).unwrap_or_default();
        let about = About::resource(&stored.id, Some(&summary.user_name));
        let wanted = Wanted { org: Some(org.key), about: Some(about), ..Wanted::default() };
        let standing = Standing::read(read, &wanted, summary.active, stored.deleted)?;
        let history = story::last(read, &wanted, LAST_MAX)?;
        Ok(Person { summary, groups, standing, history, org, stored })
    }

    /// What the command answers.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn answer(&self, session: &Session) -> Result<Answer, CliError> {
        let Person { stored, summary, .. } = self;
        let mut json = stored.parse()?;
        let document = printable_json(&format!("{:#}", Value::Object(json.clone())));
        let meta = json!({
            "resourceType": USER,
            "created": stored.created.to_string(),
            "lastModified": stored.last_modified.to_string(),
            "version": version_tag(stored.version),
        });
        let (may, because) = (self.standing.may, self.standing.because());
        json.insert("meta".to_owned(), meta);
        json.insert("deleted".to_owned(), stored.deleted.map(|it| it.to_string()).into());
        json.insert("groups".to_owned(), self.groups.iter().map(group).collect());
        json.insert("mayLogIn".to_owned(), may.into());
        json.insert("because".to_owned(), because.as_str().into());
        json.insert("history".to_owned(), self.history.iter().map(Entry::to_json).collect());
        let mut text = format!(
            "Username      {}\n\
             Id            {}\n\
             State         {}\n\
             May log in    {}, because {}\n\
             Created       {}\n\
             Last changed  {}\n",
            printable(&summary.user_name),
            summary.id,
            summary.state(),
            if may { "yes" } else { "no" },
            printable(&because),
            summary.created,
            summary.last_modified,
        );
        if let Some(at) = summary.deleted {
            text += &format!("Deleted       {at}\n");
        }
        text += &format!("Groups        {}\n", self.groups_in_words());
        if !self.org.active {
            let activate = session.command(&format!("org activate {}", quoted(&self.org.name)));
            text += &format!(
                "\nProvisioning is not activated for organisation {}: what the identity provider \
                 changes is refused, so this may be out of date. To switch it on:\n  {activate}\n",
                self.org.name
            );
        }
        text += &under_a_head(&self.history);
        Ok(Answer { json: Value::Object(json), text: text + "\n" + &document })
    }

    fn groups_in_words(&self) -> String {
        if self.groups.is_empty() {
            return "none".to_owned();
        }
        let named = |it: &Linked| {
            let name = printable(it.display.as_deref().unwrap_or(&it.id));
            if it.direct { name } else { format!("{name} (through a group)") }
        };
        self.groups.iter().map(named).collect::<Vec<_>>().join(", ")
    }
}

/// A group as the application reads it, too.
fn group(it: &Linked) -> Value {
    let kind = if it.direct { "direct" } else { "indirect" };
    json!({ "id": it.id, "displayName": it.display, "type": kind })
}
