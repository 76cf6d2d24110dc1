//! Compiles a condition to SQL (RFC 7644 section 3.4.2.2): columns and their indexes where there
//! are some, the JSON document elsewhere.
//!
//! `scim/filter/matching.rs` gives the same answers in memory; the property tests of `compiler.rs`
//! hold the two together. Every expression is 0 or 1 and never NULL, so that NOT means not.

mod comparison;
mod compiler;
mod document;
pub(crate) mod indexed;
mod time;
mod values;

use crate::scim::filter::condition::Condition;
use crate::store::query::filter_sql::compiler::Compiler;
use crate::store::query::fragment::Fragment;

/// Compiles a condition on resources of one type, whose `meta.location` is their id behind
/// `location_base`. `locations` are the names of the types that members and groups may have, each
/// with what stands before the id in their `$ref`.
///
/// The statement around the expression calls the table `resource` by its name and binds the
/// organisation as `?1`, before the values of the expression; its own later parameters are plain
/// question marks.
#[must_use]
pub fn compile(
    condition: &Condition,
    resource_type: &str,
    location_base: &str,
    locations: &[(String, String)],
) -> Fragment {
    Compiler { resource_type, location_base, locations }.compile(condition)
}

#[cfg(test)]
mod tests;
