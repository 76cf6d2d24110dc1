//! `plumm schema`: the extension schemas of an organisation.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table};
use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::document::{BYTES_MAX, Schema};
use crate::store::tables::org::Org;
use crate::store::tables::schema::Registered;

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
        /// The schema document
        file: PathBuf,
        /// What it extends, such as User or Group
        #[arg(long, value_name = "TYPE", default_value = "User", value_parser = resource_type)]
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
    let shown = printable(&file.display().to_string());
    let text = text_of(file)
        .map_err(|it| CliError::Failed(format!("the file {shown} cannot be read: {it}")))?;
    let schema = Schema::of_extension(&text)
        .map_err(|it| CliError::Failed(format!("{shown} is no schema to register: {it}")))?;
    let store = session.open()?;
    let (org, replaced, registered) = store.write(session.now(), |write| {
        let org = org::find(write, name, session)?;
        let replaced = write.add_schema(org.key, extended, &schema)?;
        let all = write.schemas(org.key)?;
        if all.len() > SCHEMAS_MAX {
            return Err(CliError::Failed(format!(
                "organisation {} has {SCHEMAS_MAX} schemas, and more are not kept: remove one \
                 first",
                org.name
            )));
        }
        let same = |it: &Registered| it.schema.id == schema.id;
        Ok::<_, CliError>((org, replaced, all.into_iter().find(same)))
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
    let store = session.open()?;
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
        write.remove_schema(org.key, &found.schema.id)?;
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

/// The text of a file. No more of it is read than a schema may have, and one byte.
fn text_of(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > BYTES_MAX {
        // Refused by its length, wherever it was cut.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(bytes).map_err(no_text)
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

/// The name of a resource type, in any letter case.
///
/// # Errors
/// Which there are.
fn resource_type(text: &str) -> Result<String, String> {
    let definitions = Definitions::builtin(IdentityChanges::Refuse);
    let found = definitions.resource_type(text).map(|it| it.name.clone());
    found.ok_or_else(|| {
        let names: Vec<&str> =
            definitions.resource_types.iter().map(|it| it.name.as_str()).collect();
        format!("it must be {}", names.join(" or "))
    })
}
