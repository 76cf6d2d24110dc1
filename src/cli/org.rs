//! `plumm org`: organisations, their activation and their rules.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::by_hand::{Deed, checked_text};
use crate::cli::arguments::Why;
use crate::cli::error::CliError;
use crate::cli::org_deletion;
use crate::cli::record::{record, record_because};
use crate::cli::session::{Answer, Session};
use crate::cli::text::{quoted, table};
use crate::scim::filter::comparison::same;
use crate::scim::identity::{IdentityChanges, UsernameFormat};
use crate::store::Store;
use crate::store::error::Error;
use crate::store::open::Open;
use crate::store::tables::org::{NAME_CHARS_MAX, Org, OrgKey, OrgSettings};
use crate::store::tables::provisioning_log::ORG;
use crate::store::transaction::{Read, Write};

/// How many organisations an error message names at most.
const NAMES_SHOWN_MAX: usize = 20;
/// The highest rate, in requests a minute.
const RATE_MAX: u32 = 100_000_000;

/// The commands for organisations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an organisation; provisioning stays off until it is activated
    #[command(after_help = "Example:\n  plumm org create acme --activate")]
    Create(Flags),
    /// Change an organisation; what is not given stays as it is
    #[command(after_help = "Example:\n  plumm org set acme --identity-changes allow")]
    Set(Flags),
    /// Switch provisioning on
    #[command(after_help = "Example:\n  plumm org activate acme")]
    Activate(Decision),
    /// Switch provisioning off: what the identity provider sends is refused; logins go on
    #[command(after_help = "Example:\n  plumm org deactivate acme")]
    Deactivate(Decision),
    /// List the organisations
    #[command(after_help = "Example:\n  plumm org list")]
    List,
    /// Show one organisation: its settings, what it has, what happened last
    #[command(after_help = "Example:\n  plumm org show acme")]
    Show {
        /// The organisation's name, in any letter case
        #[arg(value_parser = name)]
        name: String,
    },
    /// Give an organisation another name; its tokens, its URL and its data stay
    #[command(after_help = "Example:\n  plumm org rename acme 'Acme Corporation'")]
    Rename {
        /// The organisation's name, in any letter case
        #[arg(value_parser = name)]
        name: String,
        /// What it is called from now on
        #[arg(value_parser = name)]
        new_name: String,
        /// Why.
        #[command(flatten)]
        why: Why,
    },
    /// Erase an organisation for good, with all it has
    #[command(after_help = "Example:\n  plumm org delete acme --yes")]
    Delete {
        /// The organisation's name, in any letter case
        #[arg(value_parser = name)]
        name: String,
        /// Really erase; without this, the command says what it would erase
        #[arg(long)]
        yes: bool,
        /// Why.
        #[command(flatten)]
        why: Why,
    },
}

/// An organisation by name, and why something is decided.
#[derive(Debug, Args)]
pub struct Decision {
    /// The organisation's name, in any letter case
    #[arg(value_parser = name)]
    name: String,
    /// Why.
    #[command(flatten)]
    why: Why,
}

/// An organisation with what can be decided for it.
#[derive(Debug, Args)]
pub struct Flags {
    /// The organisation's name
    #[arg(value_parser = name)]
    name: String,
    /// Switch provisioning on
    #[arg(long)]
    activate: bool,
    /// What usernames must look like: an email address (default) or anything
    #[arg(long, value_name = "FORMAT", value_parser = username_format())]
    username_format: Option<UsernameFormat>,
    /// What becomes of a changed username or primary email address: refused (default) or allowed
    #[arg(long, value_name = "RULE", value_parser = identity_changes())]
    identity_changes: Option<IdentityChanges>,

    /// Refuse what the interoperability profile forbids, though identity providers send it: on or
    /// off (default)
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    strict: Option<bool>,
    /// How many requests a minute its tokens may send together (default 6000000)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = rate)]
    rate: Option<u32>,
}

/// Reads a switch.
///
/// # Errors
/// What it must be.
fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it must be on or off".to_owned()),
    }
}

/// Reads a number of requests a minute.
///
/// # Errors
/// What it must be.
fn rate(text: &str) -> Result<u32, String> {
    let rate = text.parse().ok().filter(|it| (1..=RATE_MAX).contains(it));
    rate.ok_or_else(|| format!("it must be a number of requests a minute from 1 to {RATE_MAX}"))
}

impl Flags {
    /// These settings, changed where a flag was given.
    fn applied_to(&self, settings: OrgSettings) -> OrgSettings {
        OrgSettings {
            username_format: self.username_format.unwrap_or(settings.username_format),
            identity_changes: self.identity_changes.unwrap_or(settings.identity_changes),
            strict: self.strict.unwrap_or(settings.strict),
            rate: self.rate.unwrap_or(settings.rate),
        }
    }
}

/// Reads the name of an organisation.
///
/// # Errors
/// What is wrong with it.
pub fn name(text: &str) -> Result<String, String> {
    let name = checked_text(text, NAME_CHARS_MAX)?;
    if name.is_empty() {
        return Err(format!("a name has 1 to {NAME_CHARS_MAX} characters"));
    }
    // A command could not name such an organisation without `--` before it.
    if name.starts_with('-') {
        return Err("a name does not begin with a hyphen, as flags do".to_owned());
    }
    Ok(name)
}

/// Runs a command for organisations. `show` is what shows one with its tokens and webhooks, whose
/// commands need the names of this file.
///
/// # Errors
/// Why it could not be done.
pub fn run(
    command: &Command,
    session: &Session,
    show: fn(&str, &Session) -> Result<Answer, CliError>,
) -> Result<Answer, CliError> {
    match command {
        Command::Create(flags) => create(flags, session),
        Command::Set(flags) => set(flags, session),
        Command::Activate(it) => activate(it, true, session),
        Command::Deactivate(it) => activate(it, false, session),
        Command::List => list(session),
        Command::Show { name } => show(name, session),
        Command::Rename { name, new_name, why } => rename(name, new_name, why.reason(), session),
        Command::Delete { name, yes, why } => delete(name, *yes, why.reason(), session),
    }
}

/// The organisation of this name.
///
/// # Errors
/// When there is none: the sentence names those there are.
pub fn find(read: &Read, name: &str, session: &Session) -> Result<Org, CliError> {
    if let Some(org) = read.org(name)? {
        return Ok(org);
    }
    refuse_begun(read, name, session)?;
    let orgs = read.orgs()?;
    let mut names: Vec<&str> =
        orgs.iter().take(NAMES_SHOWN_MAX).map(|it| it.name.as_str()).collect();
    if orgs.len() > NAMES_SHOWN_MAX {
        names.push("…");
    }
    let there_are = match names.as_slice() {
        [] => {
            let create = session.command(&format!("org create {}", quoted(name)));
            format!("there is none at all yet, `{create}` makes one")
        }
        [only] => format!("the only one here is {only}"),
        _ => format!("those here are {}", names.join(", ")),
    };
    Err(CliError::Failed(format!("there is no organisation {name}: {there_are}")))
}

fn create(flags: &Flags, session: &Session) -> Result<Answer, CliError> {
    let store = Store::open(session.db(), Open::Create)?;
    let org = store.write(session.now(), |write| {
        if let Some(org) = write.org(&flags.name)? {
            let set = session.command(&format!("org set {}", quoted(&org.name)));
            let name = org.name;
            return Err(CliError::Failed(format!(
                "there is already an organisation {name}: choose another name, or change it with \
                 `{set}`"
            )));
        }
        let settings = flags.applied_to(OrgSettings::default());
        refuse_begun(write, &flags.name, session)?;
        let org = write.add_org(&flags.name, flags.activate, settings)?;
        record_created(write, session, &org)?;
        Ok(org)
    })?;
    let _ = store.checkpoint();
    let name = &org.name;
    let token = session.command(&format!("token create {}", quoted(name)));
    let activate = session.command(&format!("org activate {}", quoted(name)));
    let text = if org.active {
        format!(
            "Organisation {name} is created and activated.\n\n\
             Next, a token for its identity provider:\n  {token}"
        )
    } else {
        format!(
            "Organisation {name} is created. Provisioning stays off until it is activated.\n\n\
             Next:\n  {activate}\n  {token}"
        )
    };
    Ok(Answer { json: as_json(&org), text })
}

fn set(flags: &Flags, session: &Session) -> Result<Answer, CliError> {
    let given = flags.activate as usize
        + flags.username_format.is_some() as usize
        + flags.identity_changes.is_some() as usize
        + flags.strict.is_some() as usize
        + flags.rate.is_some() as usize;
    if given == 0 {
        let command = format!("org set {} --identity-changes allow", quoted(&flags.name));
        return Err(CliError::Misused {
            message: "nothing to change: give --activate, --username-format, \
                      --identity-changes, --strict or --rate"
                .to_owned(),
            instead: session.command(&command),
        });
    }
    let store = session.open()?;
    let org = store.write(session.now(), |write| {
        let org = find(write, &flags.name, session)?;
        let active = org.active || flags.activate;
        let after = write.set_org(org.key, active, flags.applied_to(org.settings))?;
        record_changed(write, session, &org, &after, None)?;
        Ok::<_, CliError>(after)
    })?;
    let _ = store.checkpoint();
    let json = as_json(&org);
    let text = format!(
        "Organisation {} is {}. Username format: {}. Identity changes: {}. Strict: {}. \
         Rate: {} requests a minute.",
        org.name,
        if org.active { "activated" } else { "not activated" },
        word(&json, "username_format"),
        word(&json, "identity_changes"),
        on_off(org.settings.strict),
        org.settings.rate,
    );
    Ok(Answer { json, text })
}

fn activate(args: &Decision, active: bool, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let (before, org) = store.write(session.now(), |write| {
        let before = find(write, &args.name, session)?;
        let org = write.set_org(before.key, active, before.settings)?;
        record_changed(write, session, &before, &org, args.why.reason())?;
        Ok::<_, CliError>((before.active, org))
    })?;
    let _ = store.checkpoint();
    let name = &org.name;
    let text = match (before, active) {
        (false, true) => format!("Organisation {name} is activated."),
        (true, false) => format!(
            "Organisation {name} is deactivated: from now on provisioning requests with its tokens \
             are refused."
        ),
        (true, true) => format!("Organisation {name} was activated already."),
        (false, false) => format!("Organisation {name} was not activated; nothing has changed."),
    };
    Ok(Answer { json: as_json(&org), text })
}

fn rename(
    name: &str,
    new_name: &str,
    reason: Option<&str>,
    session: &Session,
) -> Result<Answer, CliError> {
    let store = session.open()?;
    let (before, org) = store.write(session.now(), |write| {
        let before = find(write, name, session)?;
        if let Some(other) = write.org(new_name)?
            && other.key != before.key
        {
            return Err(CliError::Failed(format!(
                "there is already an organisation {}: choose another name",
                other.name
            )));
        }
        if before.name == new_name {
            return Ok((before.name.clone(), before));
        }
        refuse_begun(write, new_name, session)?;
        let org = write.rename_org(before.key, new_name)?;
        let named = |it: &Org| Map::from_iter([("name".to_owned(), it.name.as_str().into())]);
        let deed = Deed { method: "rename", resource_type: ORG, resource: &org.name };
        record_because(write, session, org.key, deed, reason, &named(&before), &named(&org))?;
        Ok::<_, CliError>((before.name, org))
    })?;
    let _ = store.checkpoint();
    let text = match before == org.name {
        true => format!("Organisation {before} is called so already: nothing has changed."),
        false => format!(
            "Organisation {before} is called {} from now on. Its tokens and its URL are as they \
             were.\n\n\
             Where a server starts with `--init {before}` or PLUMM_INIT, change that too: it would \
             create an organisation of the former name.",
            org.name
        ),
    };
    Ok(Answer { json: as_json(&org), text })
}

fn delete(
    name: &str,
    yes: bool,
    reason: Option<&str>,
    session: &Session,
) -> Result<Answer, CliError> {
    let store = session.open()?;
    if !yes {
        return store.read(|read| {
            let org = find(read, name, session)?;
            Err(org_deletion::asked(&org, &read.holdings(org.key)?, session))
        });
    }
    // One that was begun is ended first, also when there is a new one of the same name.
    let (key, called) = match store.read(|read| begun(read, name))? {
        Some(begun) => begun,
        None => {
            let called = store.read(|read| find(read, name, session))?.name;
            let find = |write: &Write| find(write, name, session);
            (org_deletion::begin(&store, session, reason, find)?, called)
        }
    };
    org_deletion::finish(&store, session, &called, key)
}

fn refuse_begun(read: &Read, name: &str, session: &Session) -> Result<(), CliError> {
    if begun(read, name)?.is_none() {
        return Ok(());
    }
    let delete = session.command(&format!("org delete {} --yes", quoted(name)));
    Err(CliError::Failed(format!(
        "organisation {name} is being erased: `{delete}` goes on with it, if that was stopped"
    )))
}

/// The organisation of this name whose erasure was begun and not ended.
fn begun(read: &Read, name: &str) -> Result<Option<(OrgKey, String)>, Error> {
    let begun = read.orgs_being_erased()?;
    Ok(begun.into_iter().find(|(_, called)| same(called, name, false)))
}

/// Adds the line of a new organisation.
///
/// # Errors
/// Failures of the store.
pub fn record_created(write: &Write, session: &Session, org: &Org) -> Result<(), Error> {
    let deed = Deed { method: "create", resource_type: ORG, resource: &org.name };
    let mut after = settings(org);
    after.insert("active".to_owned(), org.active.into());
    record(write, session, org.key, deed, &Map::new(), &after)
}

/// Adds a line where provisioning was switched on or off, of which the application is told, and one
/// where settings have changed.
fn record_changed(
    write: &Write,
    session: &Session,
    before: &Org,
    after: &Org,
    reason: Option<&str>,
) -> Result<(), Error> {
    let deed = |method| Deed { method, resource_type: ORG, resource: &after.name };
    let active = |it: &Org| Map::from_iter([("active".to_owned(), it.active.into())]);
    if before.active != after.active {
        let deed = deed(if after.active { "activate" } else { "deactivate" });
        record_because(write, session, after.key, deed, reason, &active(before), &active(after))?;
    }
    if before.settings != after.settings {
        record(write, session, after.key, deed("set"), &settings(before), &settings(after))?;
    }
    Ok(())
}

/// What support decides for an organisation, but whether it is activated.
fn settings(org: &Org) -> Map<String, Value> {
    let Value::Object(mut settings) = as_json(org) else { return Map::new() };
    settings.retain(|name, _| !["name", "active", "created"].contains(&name.as_str()));
    settings
}

fn list(session: &Session) -> Result<Answer, CliError> {
    let store = session.open_to_read()?;
    let (orgs, begun) =
        store.read(|read| Ok::<_, Error>((read.orgs()?, read.orgs_being_erased()?)))?;
    let begun = begun.iter().map(|(_, name)| {
        let delete = session.command(&format!("org delete {} --yes", quoted(name)));
        format!("\nOrganisation {name} is being erased; `{delete}` goes on, if that was stopped.\n")
    });
    let begun: String = begun.collect();
    let rows: Vec<Value> = orgs.iter().map(as_json).collect();
    if rows.is_empty() {
        let create = session.command("org create acme");
        let text = format!("There is no organisation yet. To make one:\n  {create}\n{begun}");
        return Ok(Answer { json: Value::Array(rows), text });
    }
    let cells = orgs.iter().zip(&rows).map(|(org, json)| {
        [
            org.name.clone(),
            if org.active { "yes" } else { "no" }.to_owned(),
            word(json, "username_format").to_owned(),
            word(json, "identity_changes").to_owned(),
            on_off(org.settings.strict).to_owned(),
            org.settings.rate.to_string(),
            org.created.to_string(),
        ]
    });
    let head =
        ["NAME", "ACTIVATED", "USERNAME FORMAT", "IDENTITY CHANGES", "STRICT", "RATE", "CREATED"];
    let text = table(head, cells) + &begun;
    Ok(Answer { json: Value::Array(rows), text })
}

/// An organisation with its settings, as programs read it.
#[must_use]
pub fn as_json(org: &Org) -> Value {
    json!({
        "name": org.name,
        "active": org.active,
        "username_format": org.settings.username_format,
        "identity_changes": org.settings.identity_changes,
        "strict": org.settings.strict,
        "rate": org.settings.rate,
        "created": org.created.to_string(),
    })
}

fn on_off(it: bool) -> &'static str {
    if it { "on" } else { "off" }
}

fn word<'a>(json: &'a Value, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

fn username_format() -> impl TypedValueParser<Value = UsernameFormat> {
    PossibleValuesParser::new(["email", "any"]).map(|it| match it.as_str() {
        "any" => UsernameFormat::Any,
        _ => UsernameFormat::Email,
    })
}

fn identity_changes() -> impl TypedValueParser<Value = IdentityChanges> {
    PossibleValuesParser::new(["refuse", "allow"]).map(|it| match it.as_str() {
        "allow" => IdentityChanges::Allow,
        _ => IdentityChanges::Refuse,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name("  acme "), Ok("acme".to_owned()));
        assert_eq!(name(&"ü".repeat(200)), Ok("ü".repeat(200)));
        for bad in ["", "  ", "a\nb", "a\u{7f}", "-", " --json", &"x".repeat(201)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
