//! `plumm schema`: the extension schemas of an organisation.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::by_hand::Deed;
use crate::cli::arguments::{file_named, text_of};
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::record::record;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table};
use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::document::{BYTES_MAX, Schema};
use crate::scim::schema::urn;
use crate::store::tables::org::Org;
use crate::store::tables::provisioning_log::SCHEMA;
use crate::store::tables::schema::Registered;
use crate::store::transaction::Read;

/// The most schemas of an organisation: each takes part in every request.
const SCHEMAS_MAX: usize = 50;

/// The commands for schemas.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register an extension schema, or replace the one with the same URN
    #[command(after_help = "Example:\n  plumm schema add acme badge.json\n\n\
        FILE is a schema as /Schemas shows them: RFC 7643 section 7, one JSON object.")]
    Add {
        /// The organisation
        #[arg(value_parser = org::name)]
        org: String,
        /// The schema document; - reads standard input
        file: PathBuf,
        /// What it extends: User, Group or a resource type of the organisation's own
        #[arg(long, value_name = "TYPE", default_value = "User")]
        resource_type: String,
    },
    /// List the schemas that were registered for an organisation
    #[command(after_help = "Example:\n  plumm schema list acme")]
    List {
        /// The organisation
        #[arg(value_parser = org::name)]
        org: String,
    },
    /// Take a schema away; what accounts have of it stays
    #[command(after_help = "Example:\n  plumm schema remove acme urn:example:scim:2.0:User")]
    Remove {
        /// The organisation
        #[arg(value_parser = org::name)]
        org: String,
        /// The URN of the schema, in any letter case
        urn: String,
    },
}

/// Runs a command for schemas.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<Answer, CliError> {
    match command {
        Command::Add { org, file, resource_type } => add(org, file, resource_type, session),
        Command::List { org } => list(org, session),
        Command::Remove { org, urn } => remove(org, urn, session),
    }
}

fn add(name: &str, file: &Path, extended: &str, session: &Session) -> Result<Answer, CliError> {
    let shown = file_named(file);
    let text = text_of(file, BYTES_MAX)?;
    let schema = Schema::of_extension(&text)
        .map_err(|it| CliError::Failed(format!("{shown} is no schema to register: {it}")))?;
    let store = session.open()?;
    let (org, extended, replaced, registered) = store.write(session.now(), |write| {
        let org = org::find(write, name, session)?;
        let extended = resource_type(write, &org, extended, session)?;
        refuse_taken(write, &org, &schema)?;
        let former = write.schemas(org.key)?;
        let replaced = write.add_schema(org.key, &extended, &schema)?;
        let all = write.schemas(org.key)?;
        if all.len() > SCHEMAS_MAX {
            return Err(CliError::Failed(format!(
                "organisation {} has {SCHEMAS_MAX} schemas, and more are not kept: remove one \
                 first",
                org.name
            )));
        }
        let same = |it: &Registered| it.schema.id.eq_ignore_ascii_case(&schema.id);
        let registered = all.into_iter().find(same);
        let settings = |it: Option<&Registered>| it.map(settings).unwrap_or_default();
        let before = settings(former.iter().find(|it| same(it)));
        let deed = Deed { method: "add", resource_type: SCHEMA, resource: &schema.id };
        record(write, session, org.key, deed, &before, &settings(registered.as_ref()))?;
        Ok::<_, CliError>((org, extended, replaced, registered))
    })?;
    let _ = store.checkpoint();
    let (urn, name) = (&schema.id, &org.name);
    let text = if replaced {
        format!(
            "Schema {urn} of organisation {name} is replaced: it has {} now, and extends \
             {extended}.",
            attributes(&schema)
        )
    } else {
        format!(
            "Schema {urn} is registered for organisation {name}: it extends {extended} with {}.",
            attributes(&schema)
        )
    };
    let mut json = registered.map_or(Value::Null, |it| as_json(&it, &org));
    json["replaced"] = replaced.into();
    Ok(Answer { json, text })
}

fn list(name: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open_to_read()?;
    let (org, schemas) = store.read(|read| {
        let org = org::find(read, name, session)?;
        let schemas = read.schemas(org.key)?;
        Ok::<_, CliError>((org, schemas))
    })?;
    let json = schemas.iter().map(|it| as_json(it, &org)).collect();
    if schemas.is_empty() {
        let add = session.command(&format!("schema add {} FILE", quoted(&org.name)));
        let text = format!(
            "Organisation {} has no schema of its own. To register one:\n  {add}",
            org.name
        );
        return Ok(Answer { json, text });
    }
    let rows = schemas.iter().map(|it| {
        [
            it.schema.id.clone(),
            it.resource_type.clone(),
            it.schema.attributes.len().to_string(),
            it.created.to_string(),
        ]
    });
    Ok(Answer { json, text: table(["URN", "EXTENDS", "ATTRIBUTES", "CREATED"], rows) })
}

fn remove(name: &str, urn: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let (org, removed) = store.write(session.now(), |write| {
        let org = org::find(write, name, session)?;
        let schemas = write.schemas(org.key)?;
        let found = schemas.into_iter().find(|it| it.schema.id.eq_ignore_ascii_case(urn.trim()));
        let Some(found) = found else {
            let list = session.command(&format!("schema list {}", quoted(&org.name)));
            return Err(CliError::Failed(format!(
                "organisation {} has no schema {}: `{list}` shows those it has",
                org.name,
                printable(urn)
            )));
        };
        let types = write.resource_types(org.key)?;
        if let Some(it) = types.iter().find(|it| it.own.extension(&found.schema.id).is_some()) {
            return Err(CliError::Failed(format!(
                "the resource type {} names the schema {}: replace or remove the resource type \
                 first",
                it.own.name, found.schema.id
            )));
        }
        write.remove_schema(org.key, &found.schema.id)?;
        let deed = Deed { method: "remove", resource_type: SCHEMA, resource: &found.schema.id };
        record(write, session, org.key, deed, &settings(&found), &Map::new())?;
        Ok((org, found))
    })?;
    let _ = store.checkpoint();
    let text = format!(
        "Schema {} of organisation {} is removed. What accounts have of it stays, and is answered \
         as before.",
        removed.schema.id, org.name
    );
    Ok(Answer { json: as_json(&removed, &org), text })
}

fn settings(it: &Registered) -> Map<String, Value> {
    let extends = ("extends".to_owned(), it.resource_type.as_str().into());
    Map::from_iter([extends, ("document".to_owned(), it.schema.document.clone())])
}

fn attributes(schema: &Schema) -> String {
    match schema.attributes.len() {
        1 => "1 attribute".to_owned(),
        n => format!("{n} attributes"),
    }
}

fn as_json(registered: &Registered, org: &Org) -> Value {
    json!({
        "org": org.name,
        "urn": registered.schema.id,
        "resource_type": registered.resource_type,
        "created": registered.created.to_string(),
        "document": registered.schema.document,
    })
}

/// The name of a resource type of the organisation as it is spelled, found in any letter case.
fn resource_type(
    read: &Read,
    org: &Org,
    name: &str,
    session: &Session,
) -> Result<String, CliError> {
    let definitions = definitions(read, org)?;
    if let Some(it) = definitions.resource_type(name) {
        return Ok(it.name.clone());
    }
    let names: Vec<&str> = definitions.resource_types.iter().map(|it| it.name.as_str()).collect();
    Err(CliError::Misused {
        message: format!(
            "organisation {} has no resource type {}: --resource-type is one of {}",
            org.name,
            printable(name),
            names.join(", ")
        ),
        instead: session.command(&format!("resource-type list {}", quoted(&org.name))),
    })
}

/// Refuses a schema whose URN is one that a resource type of the organisation brought along.
fn refuse_taken(read: &Read, org: &Org, schema: &Schema) -> Result<(), CliError> {
    for it in read.resource_types(org.key)? {
        if let Some(own) = it.own.schemas.iter().find(|it| urn::alike(&it.id, &schema.id)) {
            return Err(CliError::Failed(format!(
                "the schema {} came with the resource type {}, and is changed there",
                own.id, it.own.name
            )));
        }
    }
    Ok(())
}

/// The definitions of an organisation.
///
/// # Errors
/// Failures of the store.
pub fn definitions(read: &Read, org: &Org) -> Result<Definitions, CliError> {
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    Ok(read.definitions(org.key, &builtin)?.unwrap_or(builtin))
}
