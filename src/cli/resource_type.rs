//! `plumm resource-type`: resource types of an organisation's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::by_hand::Deed;
use crate::cli::arguments::{Why, file_named, text_of};
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::record::{actor, record};
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted, table};
use crate::scim::identity::IdentityChanges;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::document::Schema;
use crate::scim::schema::own_type::{FILE_BYTES_MAX, OwnType, TYPES_MAX};
use crate::store::tables::org::{Org, OrgKey};
use crate::store::tables::provisioning_log::RESOURCE_TYPE;
use crate::store::tables::resource_type::{OfType, RegisteredType};
use crate::store::transaction::Read;

/// The commands for resource types.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register a resource type, or replace the one with the same name
    #[command(after_help = "Example:\n  plumm resource-type add acme roles.json\n\n\
        FILE is a JSON object: \"resourceType\" is a resource type as /ResourceTypes shows them \
        (RFC 7643 section 6), and \"schemas\" are the schemas it brings along (section 7).")]
    Add {
        /// The organisation
        #[arg(value_parser = org::name)]
        org: String,
        /// The resource type with its schemas; - reads standard input
        file: PathBuf,
    },
    /// List the resource types that were registered
    #[command(after_help = "Example:\n  plumm resource-type list acme")]
    List {
        /// The organisation; all of them when none is given
        #[arg(value_parser = org::name)]
        org: Option<String>,
    },
    /// Take a resource type away that has no resources
    #[command(after_help = "Example:\n  plumm resource-type remove acme Role")]
    Remove {
        /// The organisation
        #[arg(value_parser = org::name)]
        org: String,
        /// The name of the resource type, in any letter case
        name: String,
    },
    /// Erase the deleted resources of a resource type for good
    #[command(after_help = "Example:\n  plumm resource-type purge acme Role --yes")]
    Purge {
        /// The organisation
        #[arg(value_parser = org::name)]
        org: String,
        /// The name of the resource type, in any letter case
        name: String,
        /// Really erase; without this, the command says what it would erase
        #[arg(long)]
        yes: bool,
        /// Why.
        #[command(flatten)]
        why: Why,
    },
}

/// Runs a command for resource types.
///
/// # Errors
/// Why it could not be done.
pub fn run(command: &Command, session: &Session) -> Result<Answer, CliError> {
    match command {
        Command::Add { org, file } => add(org, file, session),
        Command::List { org } => list(org.as_deref(), session),
        Command::Remove { org, name } => remove(org, name, session),
        Command::Purge { org, name, yes, why } => purge(org, name, *yes, why.reason(), session),
    }
}

/// What an organisation has, and a resource type as lists show it.
struct Shown {
    org: Org,
    registered: RegisteredType,
    resources: OfType,
}

fn add(name: &str, file: &Path, session: &Session) -> Result<Answer, CliError> {
    let shown = file_named(file);
    let text = text_of(file, FILE_BYTES_MAX)?;
    let refused = |it: String| CliError::Failed(format!("{shown} is no resource type: {it}"));
    let own = OwnType::of_file(&text).map_err(refused)?;
    let store = session.open()?;
    let (replaced, made) = store.write(session.now(), |write| {
        let org = org::find(write, name, session)?;
        judge(write, org.key, &own).map_err(|it| match it {
            CliError::Failed(it) => refused(it),
            other => other,
        })?;
        let former = named(write.resource_types(org.key)?, &own.name);
        let replaced = write.add_resource_type(org.key, &own)?;
        let before = former.map(|it| settings(&it.own)).unwrap_or_default();
        let deed = Deed { method: "add", resource_type: RESOURCE_TYPE, resource: &own.name };
        record(write, session, org.key, deed, &before, &settings(&own))?;
        let all = write.resource_types(org.key)?;
        if all.len() > TYPES_MAX {
            return Err(CliError::Failed(format!(
                "organisation {} has {TYPES_MAX} resource types, and more are not kept: remove one \
                 first",
                org.name
            )));
        }
        let registered = named(all, &own.name);
        let resources = write.count_of_type(org.key, &own.name)?;
        Ok((replaced, registered.map(|registered| Shown { org, registered, resources })))
    })?;
    let _ = store.checkpoint();
    let org = made.as_ref().map_or(name, |it| &it.org.name);
    let text = format!(
        "Resource type {} of organisation {org} is {}: it is served at /scim/v2/{}.",
        own.name,
        if replaced { "replaced" } else { "registered" },
        own.endpoint
    );
    let mut json = made.as_ref().map_or(Value::Null, Shown::as_json);
    json["replaced"] = replaced.into();
    Ok(Answer { json, text })
}

/// Judges a resource type beside what the organisation has, the former one of its name left out.
fn judge(read: &Read, org: OrgKey, own: &OwnType) -> Result<(), CliError> {
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    let types = read.resource_types(org)?;
    let registered: Vec<Arc<Schema>> = read.schemas(org)?.into_iter().map(|it| it.schema).collect();
    let is_former = |it: &&RegisteredType| it.own.name.eq_ignore_ascii_case(&own.name);
    let others = types.iter().filter(|it| !is_former(it)).map(|it| it.own.as_ref());
    let others = builtin.with_types(others, &registered);
    own.judge(&builtin, &others, &registered).map_err(CliError::Failed)?;
    let Some(former) = types.iter().find(is_former).map(|it| &it.own) else { return Ok(()) };
    if former.name != own.name {
        return Err(CliError::Failed(format!(
            "there is a resource type {}: spell the name so to replace it, or choose another",
            former.name
        )));
    }
    let OfType { present, deleted } = read.count_of_type(org, &own.name)?;
    let keeps_urn = former.core.id == own.core.id;
    if !keeps_urn && (present, deleted) != (0, 0) {
        return Err(CliError::Failed(format!(
            "there are resources of this type, and their core schema is {}: it cannot become {}",
            former.core.id, own.core.id
        )));
    }
    Ok(())
}

fn list(name: Option<&str>, session: &Session) -> Result<Answer, CliError> {
    let store = session.open_to_read()?;
    let (orgs, found) = store.read(|read| {
        let orgs = match name {
            Some(name) => vec![org::find(read, name, session)?],
            None => read.orgs()?,
        };
        let mut found = Vec::new();
        for org in &orgs {
            for registered in read.resource_types(org.key)? {
                let resources = read.count_of_type(org.key, &registered.own.name)?;
                found.push(Shown { org: org.clone(), registered, resources });
            }
        }
        Ok::<_, CliError>((orgs, found))
    })?;
    let json = found.iter().map(Shown::as_json).collect();
    if found.is_empty() {
        let (who, org) = match (name, orgs.as_slice()) {
            (Some(_), [org]) => (format!("Organisation {} has", org.name), quoted(&org.name)),
            _ => ("There is".to_owned(), "ORG".to_owned()),
        };
        let add = session.command(&format!("resource-type add {org} FILE"));
        let text =
            format!("{who} no resource type beside the built-in ones. To register one:\n  {add}");
        return Ok(Answer { json, text });
    }
    let rows = found.iter().map(|it| {
        let own = &it.registered.own;
        [
            it.org.name.clone(),
            own.name.clone(),
            format!("/{}", own.endpoint),
            own.core.id.clone(),
            own.extensions.len().to_string(),
            it.resources.present.to_string(),
            it.registered.created.to_string(),
        ]
    });
    let head = ["ORGANISATION", "NAME", "ENDPOINT", "SCHEMA", "EXTENSIONS", "RESOURCES", "CREATED"];
    Ok(Answer { json, text: table(head, rows) })
}

fn remove(org: &str, name: &str, session: &Session) -> Result<Answer, CliError> {
    let store = session.open()?;
    let removed = store.write(session.now(), |write| {
        let it = find(write, org, name, session)?;
        let own = &it.registered.own;
        let (type_name, org_name) = (&own.name, quoted(&it.org.name));
        let OfType { present, deleted } = it.resources;
        if present > 0 {
            return Err(CliError::Failed(format!(
                "organisation {} has {}: delete them in the identity provider, or with DELETE \
                 /scim/v2/{}/{{id}}, and purge them, then remove the resource type",
                it.org.name,
                resources(present, type_name),
                own.endpoint
            )));
        }
        if deleted > 0 {
            let purge = session.command(&format!("resource-type purge {org_name} {type_name}"));
            return Err(CliError::Failed(format!(
                "organisation {} keeps {} that were deleted: `{purge} --yes` erases them for good, \
                 then remove the resource type",
                it.org.name,
                resources(deleted, type_name)
            )));
        }
        let schemas = write.schemas(it.org.key)?;
        let extension = schemas.iter().find(|it| it.resource_type.eq_ignore_ascii_case(type_name));
        if let Some(extension) = extension {
            let urn = &extension.schema.id;
            let remove = session.command(&format!("schema remove {org_name} {urn}"));
            return Err(CliError::Failed(format!(
                "the schema {urn} extends the resource type {type_name}: take it away first with \
                 `{remove}`"
            )));
        }
        write.remove_resource_type(it.org.key, type_name)?;
        let deed = Deed { method: "remove", resource_type: RESOURCE_TYPE, resource: type_name };
        record(write, session, it.org.key, deed, &settings(own), &Map::new())?;
        Ok(it)
    })?;
    let _ = store.checkpoint();
    let text = format!(
        "Resource type {} of organisation {} is removed: there is nothing at /scim/v2/{} any more.",
        removed.registered.own.name, removed.org.name, removed.registered.own.endpoint
    );
    Ok(Answer { json: removed.as_json(), text })
}

fn purge(
    org: &str,
    name: &str,
    yes: bool,
    reason: Option<&str>,
    session: &Session,
) -> Result<Answer, CliError> {
    let store = session.open()?;
    let (it, erased) = store.write(session.now(), |write| {
        let it = find(write, org, name, session)?;
        let type_name = &it.registered.own.name;
        if !yes {
            let again = format!("resource-type purge {} {type_name} --yes", quoted(&it.org.name));
            return Err(CliError::Misused {
                message: format!(
                    "this would erase {} of organisation {} that were deleted, for good: all their \
                     data, and what the log says of their values. Nothing brings them back. \
                     Nothing has been erased yet",
                    resources(it.resources.deleted, type_name),
                    it.org.name
                ),
                instead: session.command(&again),
            });
        }
        let erased = write.purge_deleted_of_type(it.org.key, type_name, &actor(session, reason))?;
        Ok((it, erased))
    })?;
    session.fold_in_erasure(&store);
    let name = &it.registered.own.name;
    let text = format!(
        "{} of organisation {} that were deleted are erased.",
        resources(it.resources.deleted, name),
        it.org.name
    );
    let json = json!({ "org": it.org.name, "name": name, "purged": erased });
    Ok(Answer { json, text })
}

fn settings(own: &OwnType) -> Map<String, Value> {
    Map::from_iter([("document".to_owned(), own.document.clone())])
}

fn resources(count: i64, name: &str) -> String {
    match count {
        1 => format!("1 resource of type {name}"),
        n => format!("{n} resources of type {name}"),
    }
}

fn named(all: Vec<RegisteredType>, name: &str) -> Option<RegisteredType> {
    all.into_iter().find(|it| it.own.name.eq_ignore_ascii_case(name))
}

/// The resource type of this name, in any letter case.
fn find(read: &Read, org: &str, name: &str, session: &Session) -> Result<Shown, CliError> {
    let org = org::find(read, org, session)?;
    if let Some(registered) = named(read.resource_types(org.key)?, name.trim()) {
        let resources = read.count_of_type(org.key, &registered.own.name)?;
        return Ok(Shown { org, registered, resources });
    }
    let builtin = Definitions::builtin(IdentityChanges::Refuse);
    if let Some(it) = builtin.resource_type(name.trim()) {
        return Err(CliError::Failed(format!(
            "the resource type {} is built in: it is not an organisation's own",
            it.name
        )));
    }
    let list = session.command(&format!("resource-type list {}", quoted(&org.name)));
    Err(CliError::Failed(format!(
        "organisation {} has no resource type {} of its own: `{list}` shows those it has",
        org.name,
        printable(name)
    )))
}

impl Shown {
    fn as_json(&self) -> Value {
        let own = &self.registered.own;
        json!({
            "org": self.org.name,
            "name": own.name,
            "endpoint": format!("/{}", own.endpoint),
            "schema": own.core.id,
            "resources": self.resources.present,
            "deleted": self.resources.deleted,
            "created": self.registered.created.to_string(),
            "document": own.document,
        })
    }
}
