//! A new resource as it will be kept, whoever creates it: a client, or a command that imports.

use serde_json::{Map, Value};

use crate::scim::error::Error;
use crate::scim::identity::Rules;
use crate::scim::schema::resource_type::ResourceType;
use crate::scim::validate;
use crate::store::tables::resource::Stored;

/// The largest document of one resource, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// The document of a new resource, with its id: the body, judged by the schemas and by the rules of
/// the organisation.
///
/// # Errors
/// 400 that names the attribute and what was wrong with it.
pub fn document(
    body: Map<String, Value>,
    resource_type: &ResourceType,
    rules: Rules,
    id: &str,
) -> Result<Map<String, Value>, Error> {
    let mut document = validate::create(body, resource_type, rules)?;
    document.insert("id".to_owned(), id.into());
    Ok(document)
}

/// Judged as it has been written, and undone with the transaction: the text is made once.
///
/// # Errors
/// 413 for a document that is too long.
pub fn judge_size(stored: &Stored) -> Result<(), Error> {
    let length = stored.document.len();
    if length <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(
        413,
        format!(
            "The resource would be {length} bytes long; at most {DOCUMENT_BYTES_MAX} are kept. Map \
             fewer or shorter attributes."
        ),
    ))
}
