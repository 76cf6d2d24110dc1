//! `plumm token`: API tokens, made, listed and revoked.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::auth;
use crate::by_hand::checked_text;
use crate::by_hand::token::{
    self, DAY_SECONDS, DAYS_MAX, LABEL_CHARS_MAX, SOON_DAYS, as_json, days_left, expires_soon,
    state, time_json,
};
use crate::cli::arguments::{Why, days};
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::record::actor;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table, time_cell};
use crate::scim::datetime::Timestamp;
use crate::store::tables::token::{Scope, Token};

/// The commands for API tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token and show it, this once
    #[command(after_help = "Example:\n  plumm token create acme --label Okta --expires 365")]
    Create(Create),
    /// List the tokens of one organisation or of all, never their secrets
    #[command(after_help = "Examples:\n  plumm token list\n  plumm token list acme")]
    List {
        /// The organisation; without this, the tokens of all
        #[arg(value_parser = org::name)]
        org: Option<String>,
    },
    /// Make a token invalid from the next request on
    #[command(after_help = "Example, with an id of `plumm token list`:\n  \
                            plumm token revoke x7k2m9q4c1bz")]
    Revoke {
        /// The token's id
        token_id: String,
        /// Why.
        #[command(flatten)]
        why: Why,
    },
}

/// What a new token is for.
#[derive(Debug, Args)]
pub struct Create {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// Who will use it: scim, the identity provider; access, the application that asks who may log
    /// in; admin, the operator
    #[arg(long, default_value = "scim", value_parser = scope())]
    scope: Scope,
    /// What to call it in lists
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true,
        value_parser = label)]
    label: String,
    /// In how many days it ends; without this it never does
    #[arg(long, value_name = "DAYS", allow_negative_numbers = true,
        value_parser = |it: &str| days(it, DAYS_MAX))]
    expires: Option<u32>,
}

/// Runs a command for API tokens.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<(), CliError> {
    match command {
        Command::Create(args) => create(args, session),
        Command::List { org } => session.print(&list(org.as_deref(), session)?),
        Command::Revoke { token_id, why } => {
            session.print(&revoke(token_id, why.reason(), session)?)
        }
    }
}

/// The error of a token that was made and could not be shown.
#[must_use]
pub fn not_shown(error: &CliError, id: &str, session: &Session) -> CliError {
    let revoke = session.command(&format!("token revoke {id}"));
    let reason = match error {
        CliError::Output(it) => it.to_string(),
        other => other.to_string(),
    };
    CliError::Failed(format!(
        "a token was made but could not be shown ({reason}): revoke it with `{revoke}` and make \
         another"
    ))
}

fn create(args: &Create, session: &Session) -> Result<(), CliError> {
    let store = session.open()?;
    let now = session.now();
    let org = store.read(|read| org::find(read, &args.org, session))?;
    let expires = args.expires.map(|days| now.plus_seconds(i64::from(days) * DAY_SECONDS));
    let issued = auth::generate(now, org.key, args.scope, &args.label, expires)?;
    store.write(now, |write| token::add(write, &actor(session, None), &issued.token))?;
    let _ = store.checkpoint();

    let (made, secret, name) = (&issued.token, issued.secret.reveal(), &org.name);
    let until = made.expires.map_or("never expires".to_owned(), |it| format!("expires {it}"));
    let mut text = format!(
        "Token {} of organisation {name}, scope {}, {until}:\n\n  {secret}\n\n\
         It is shown this once and cannot be shown again: the database keeps only a hash of it.\n",
        made.id,
        made.scope.word(),
    );
    if !org.active && made.scope == Scope::Scim {
        let activate = session.command(&format!("org activate {}", quoted(name)));
        text += &format!(
            "\nProvisioning is not activated for {name} yet. To switch it on:\n  {activate}\n"
        );
    }
    let json = json!({
        "id": made.id,
        "token": secret,
        "org": name,
        "scope": made.scope.word(),
        "expires": time_json(made.expires),
    });
    session.print(&Answer { json, text }).map_err(|it| not_shown(&it, &made.id, session))
}

fn list(name: Option<&str>, session: &Session) -> Result<Answer, CliError> {
    let store = session.open_to_read()?;
    let tokens = store.read(|read| {
        let orgs = match name {
            Some(it) => vec![org::find(read, it, session)?],
            None => read.orgs()?,
        };
        let mut tokens = Vec::new();
        for org in orgs {
            tokens.extend(read.tokens(org.key)?.into_iter().map(|it| (org.clone(), it)));
        }
        Ok::<_, CliError>(tokens)
    })?;
    let now = session.now();
    let json = tokens.iter().map(|(org, it)| as_json(it, org, now)).collect();
    if tokens.is_empty() {
        let text = match name {
            Some(name) => {
                let create = session.command(&format!("token create {}", quoted(name)));
                format!("Organisation {name} has no token. To make one:\n  {create}")
            }
            None => {
                let create = session.command("token create ORG");
                format!("There is no token. To make one:\n  {create}")
            }
        };
        return Ok(Answer { json, text });
    }
    let rows = tokens.iter().map(|(org, it)| {
        [
            it.id.clone(),
            org.name.clone(),
            it.scope.word().to_owned(),
            match expires_soon(it, now) {
                true => "expires soon".to_owned(),
                false => state(it, now).to_owned(),
            },
            it.created.to_string(),
            expiry(it, now),
            time_cell(it.last_used),
            it.label.clone(),
        ]
    });
    let head = ["ID", "ORGANISATION", "SCOPE", "STATE", "CREATED", "EXPIRES", "LAST USED", "LABEL"];
    let mut text = table(head, rows);
    let soon = tokens.iter().filter(|(_, it)| expires_soon(it, now)).count();
    if soon > 0 {
        let create = session.command("token create ORG");
        let says = if soon == 1 { "1 token expires" } else { &format!("{soon} tokens expire") };
        text += &format!(
            "\n{says} within {SOON_DAYS} days. Make a new one with `{create}`, put it in its \
             place, and revoke the former.\n"
        );
    }
    Ok(Answer { json, text })
}

/// When a token ends, in a table: the time, and in how many days.
fn expiry(token: &Token, now: Timestamp) -> String {
    let Some(at) = token.expires else { return "never".to_owned() };
    match days_left(token, now) {
        Some(days) if at <= now => format!("{at} ({} ago)", in_days(-days)),
        Some(0) => format!("{at} (today)"),
        Some(days) => format!("{at} (in {})", in_days(days)),
        None => at.to_string(),
    }
}

fn in_days(days: i64) -> String {
    match days {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}

fn revoke(text: &str, reason: Option<&str>, session: &Session) -> Result<Answer, CliError> {
    let id = id_of(text);
    let store = session.open()?;
    let now = session.now();
    let (before, token, org) = store.write(now, |write| {
        let unknown = || {
            let list = session.command("token list ORG");
            let id = printable(id);
            CliError::Failed(format!("there is no token {id}: `{list}` shows the ids"))
        };
        let (before, org) = write.token(id)?.ok_or_else(unknown)?;
        let (before, token) = token::revoke(write, &actor(session, reason), before)?;
        Ok::<_, CliError>((before, token, org))
    })?;
    let _ = store.checkpoint();
    let text = match before.revoked {
        Some(at) => format!("Token {id} of organisation {} was revoked already, {at}.", org.name),
        None => format!(
            "Token {id} of organisation {} is revoked: it is refused from the next request on.",
            org.name
        ),
    };
    Ok(Answer { json: as_json(&token, &org, now), text })
}

/// The id within a whole token, for an operator who pastes that; any other text is taken as the id
/// itself. So no message repeats a secret.
fn id_of(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("plm_").map_or(text, |it| it.split('_').next().unwrap_or(it))
}

fn label(text: &str) -> Result<String, String> {
    checked_text(text, LABEL_CHARS_MAX)
}

fn scope() -> impl TypedValueParser<Value = Scope> {
    let words = Scope::ALL.map(|(_, word)| word);
    PossibleValuesParser::new(words).map(|it| Scope::from_word(&it).unwrap_or(Scope::Scim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_token_gives_its_id_and_no_more() {
        assert_eq!(id_of("x7k2m9q4c1bz"), "x7k2m9q4c1bz");
        assert_eq!(id_of(" plm_x7k2m9q4c1bz_Secret "), "x7k2m9q4c1bz");
        assert_eq!(id_of("plm_x7k2m9q4c1bz_Sec_ret"), "x7k2m9q4c1bz");
        assert_eq!(id_of("plm_x7k2m9q4c1bz"), "x7k2m9q4c1bz");
    }
}
