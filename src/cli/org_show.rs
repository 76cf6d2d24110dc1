//! `plumm org show`: one organisation, with what it has and what happened last.

use serde_json::{Value, json};

use crate::activity::Entry;
use crate::activity::story;
use crate::by_hand::token::as_json;
use crate::by_hand::webhook::Shown;
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, time_cell};
use crate::cli::webhook;
use crate::scim::datetime::Timestamp;
use crate::store::query::story::Wanted;
use crate::store::tables::census::Census;
use crate::store::tables::org::Org;
use crate::store::tables::resource::State;
use crate::store::tables::token::Token;
use crate::store::transaction::Read;

/// Shows the organisation of this name.
///
/// # Errors
/// Why that cannot be done.
pub fn show(name: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open_to_read()?;
    let shown = store.read(|read| {
        let org = org::find(read, name, session)?;
        Overview::read(read, org, session.now())
    })?;
    Ok(shown.answer(session))
}

/// What is shown of an organisation, read in one view of the database.
#[derive(Debug)]
struct Overview {
    org: Org,
    census: Census,
    deleted_users: usize,
    tokens: Vec<Token>,
    webhooks: Vec<Shown>,
    schemas: Vec<String>,
    resource_types: Vec<String>,
    last_push: Option<Timestamp>,
    last_change: Option<Entry>,
    now: Timestamp,
}

impl Overview {
    fn read(read: &Read, org: Org, now: Timestamp) -> Result<Overview, CliError> {
        let schemas = read.schemas(org.key)?.into_iter().map(|it| it.schema.id.clone()).collect();
        let types =
            read.resource_types(org.key)?.into_iter().map(|it| it.own.name.clone()).collect();
        let wanted = Wanted { org: Some(org.key), ..Wanted::default() };
        Ok(Overview {
            census: read.census(org.key)?,
            deleted_users: read.count_in(org.key, "User", State::Deleted)?,
            tokens: read.tokens(org.key)?,
            webhooks: webhook::of_org(read, &org, now)?,
            schemas,
            resource_types: types,
            last_push: read.last_push(org.key)?,
            last_change: story::newest_change(read, &wanted, |_| true)?,
            now,
            org,
        })
    }

    /// When one of its tokens was last used. That is written once a minute, a change at once.
    fn last_contact(&self) -> Option<Timestamp> {
        self.tokens.iter().filter_map(|it| it.last_used).max().max(self.last_push)
    }

    fn answer(&self, session: &Session) -> Answer {
        let mut json = org::as_json(&self.org);
        let Census { active, inactive, groups } = self.census;
        json["users"] =
            json!({ "active": active, "inactive": inactive, "deleted": self.deleted_users });
        json["groups"] = groups.into();
        json["schemas"] = self.schemas.clone().into();
        json["resource_types"] = self.resource_types.clone().into();
        let tokens = self.tokens.iter().map(|it| as_json(it, &self.org, self.now));
        json["tokens"] = tokens.collect();
        json["webhooks"] = webhook::as_json(&self.webhooks);
        json["last_contact"] = self.last_contact().map(|it| it.to_string()).into();
        json["last_push"] = self.last_push.map(|it| it.to_string()).into();
        json["last_change"] = self.last_change.as_ref().map(Entry::to_json).into();
        let text = self.text(&json, session);
        Answer { json, text }
    }

    fn text(&self, json: &Value, session: &Session) -> String {
        let word = |key: &str| printable(json[key].as_str().unwrap_or_default());
        let valid = self.tokens.iter().filter(|it| it.is_valid(self.now)).count();
        let list = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => names.iter().map(|it| printable(it)).collect::<Vec<_>>().join(", "),
        };
        let change = self.last_change.as_ref().map_or_else(
            || "none that the record still has".to_owned(),
            |it| printable(&format!("{}  {}", it.happened.time(), it.sentence())),
        );
        let mut text = format!(
            "Name              {}\n\
             Provisioning      {}\n\
             Usernames         {}\n\
             Identity changes  {}\n\
             Strict            {}\n\
             Rate              {} requests a minute\n\
             Created           {}\n\
             Users             {} active, {} inactive, {} deleted\n\
             Groups            {}\n\
             Schemas           {}\n\
             Resource types    {}\n\
             Tokens            {valid} valid of {}\n\
             Webhooks          {}\n\
             Last contact      {}\n\
             Last push         {}\n\
             Last change       {change}\n",
            printable(&self.org.name),
            if self.org.active { "activated" } else { "not activated" },
            word("username_format"),
            word("identity_changes"),
            if self.org.settings.strict { "on" } else { "off" },
            self.org.settings.rate,
            self.org.created,
            self.census.active,
            self.census.inactive,
            self.deleted_users,
            self.census.groups,
            list(&self.schemas),
            list(&self.resource_types),
            self.tokens.len(),
            self.webhooks.len(),
            time_cell(self.last_contact()),
            time_cell(self.last_push),
        );
        let name = quoted(&self.org.name);
        if !self.org.active {
            let activate = session.command(&format!("org activate {name}"));
            text += &format!("\nTo switch provisioning on:\n  {activate}\n");
        }
        if valid == 0 {
            let create = session.command(&format!("token create {name}"));
            text += &format!("\nNobody can come in without a token. To make one:\n  {create}\n");
        }
        text
    }
}
