//! `plumm token`: API tokens, made, listed and revoked.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::auth;
use crate::cli::arguments::{Why, checked_text, days};
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::record::{Deed, record, record_because};
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table, time_cell};
use crate::scim::datetime::Timestamp;
use crate::store::error::Error;
use crate::store::tables::org::Org;
use crate::store::tables::provisioning_log::TOKEN;
use crate::store::tables::token::{Scope, Token};
use crate::store::transaction::Write;

/// The longest label, in characters.
const LABEL_CHARS_MAX: usize = 200;
/// The longest life of a token that expires, in days: ten years.
const DAYS_MAX: u32 = 3650;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// A token that ends in fewer days than this is marked.
const SOON_DAYS: i64 = 30;

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
    store.write(now, |write| {
        write.add_token(&issued.token)?;
        record_created(write, session, &issued.token)
    })?;
    let _ = store.checkpoint();

    let (token, secret, name) = (&issued.token, issued.secret.reveal(), &org.name);
    let until = token.expires.map_or("never expires".to_owned(), |it| format!("expires {it}"));
    let mut text = format!(
        "Token {} of organisation {name}, scope {}, {until}:\n\n  {secret}\n\n\
         It is shown this once and cannot be shown again: the database keeps only a hash of it.\n",
        token.id,
        token.scope.word(),
    );
    if !org.active && token.scope == Scope::Scim {
        let activate = session.command(&format!("org activate {}", quoted(name)));
        text += &format!(
            "\nProvisioning is not activated for {name} yet. To switch it on:\n  {activate}\n"
        );
    }
    let json = json!({
        "id": token.id,
        "token": secret,
        "org": name,
        "scope": token.scope.word(),
        "expires": time_json(token.expires),
    });
    session.print(&Answer { json, text }).map_err(|it| not_shown(&it, &token.id, session))
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

/// In how many whole days a token ends; negative when it has.
fn days_left(token: &Token, now: Timestamp) -> Option<i64> {
    let left = token.expires?.nanoseconds().saturating_sub(now.nanoseconds());
    Some(left / (DAY_SECONDS * 1_000_000_000))
}

/// Whether a token is valid now and not for long.
fn expires_soon(token: &Token, now: Timestamp) -> bool {
    state(token, now) == "valid" && days_left(token, now).is_some_and(|it| it < SOON_DAYS)
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
        let (before, _) = write.token(id)?.ok_or_else(unknown)?;
        write.revoke_token(id)?;
        let (token, org) = write.token(id)?.ok_or_else(unknown)?;
        if before.revoked.is_none() {
            let deed = Deed { method: "revoke", resource_type: TOKEN, resource: &token.id };
            let (was, is) = (settings(&before), settings(&token));
            record_because(write, session, org.key, deed, reason, &was, &is)?;
        }
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

/// Adds the line of a new token.
///
/// # Errors
/// Failures of the store.
pub fn record_created(write: &Write, session: &Session, token: &Token) -> Result<(), Error> {
    let deed = Deed { method: "create", resource_type: TOKEN, resource: &token.id };
    record(write, session, token.org, deed, &Map::new(), &settings(token))
}

/// What a token may do, and until when. Nothing of its secret, not even a hash.
fn settings(token: &Token) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("scope".to_owned(), token.scope.word().into());
    settings.insert("label".to_owned(), token.label.as_str().into());
    for (name, time) in [("expires", token.expires), ("revoked", token.revoked)] {
        settings.extend(time.map(|it| (name.to_owned(), it.to_string().into())));
    }
    settings
}

/// The id within a whole token, for an operator who pastes that; any other text is taken as the id
/// itself. So no message repeats a secret.
fn id_of(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("plm_").map_or(text, |it| it.split('_').next().unwrap_or(it))
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    match token {
        Token { revoked: Some(_), .. } => "revoked",
        Token { expires: Some(at), .. } if *at <= now => "expired",
        _ => "valid",
    }
}

/// A token as programs read it.
#[must_use]
pub fn as_json(token: &Token, org: &Org, now: Timestamp) -> Value {
    json!({
        "id": token.id,
        "org": org.name,
        "scope": token.scope.word(),
        "label": token.label,
        "state": state(token, now),
        "created": token.created.to_string(),
        "expires": time_json(token.expires),
        "revoked": time_json(token.revoked),
        "last_used": time_json(token.last_used),
        "expires_in_days": days_left(token, now),
        "expires_soon": expires_soon(token, now),
    })
}

fn time_json(time: Option<Timestamp>) -> Option<String> {
    time.map(|it| it.to_string())
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
