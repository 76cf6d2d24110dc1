//! What the documents say in numbers is what the source has.

use std::fs;
use std::path::Path;

use plumm::api::body::{BODY_DEPTH_MAX, BODY_VALUES_MAX};
use plumm::api::scim::resource::DOCUMENT_BYTES_MAX;
use plumm::scim::coerce::VALUES_MAX;
use plumm::scim::filter::grammar::{FILTER_DEPTH_MAX, FILTER_TERMS_MAX};
use plumm::scim::patch::apply::MEMBER_FILTERS_MAX;
use plumm::scim::patch::message::OPERATIONS_MAX;
use plumm::scim::schema::service_provider_config::{BULK_OPERATIONS_MAX, COUNT_MAX};
use plumm::server::budget::BODY_BYTES_FREE;
use plumm::server::limits::{
    BODIES_BYTES_MAX, BODY_SECONDS_MAX, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX,
    HEAD_SECONDS_MAX, IDLE_SECONDS_MAX, REQUESTS_AT_WORK_MAX, WRITE_SECONDS_MAX,
};
use plumm::server::request::body::BODY_BYTES_MAX;
use plumm::server::request::head::HEADERS_MAX;
use plumm::server::request::reader::HEAD_BYTES_MAX;
use plumm::store::tables::org::RATE_DEFAULT;

use crate::requirements::rust_files;

/// The text of a document as one line, so that it does not matter where its lines end.
fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A number as documents write it: `200,000`.
fn number(of: impl TryInto<u64>) -> String {
    let digits = of.try_into().ok().unwrap().to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|it| str::from_utf8(it).unwrap());
    groups.collect::<Vec<_>>().join(",")
}

/// Bytes as documents write them, in the largest unit that leaves no fraction.
fn size(bytes: usize) -> String {
    match bytes % (1024 * 1024) {
        0 => format!("{} MiB", bytes / 1024 / 1024),
        _ => format!("{} KiB", bytes / 1024),
    }
}

#[test]
fn numbers_are_written_as_in_documents() {
    assert_eq!(
        [number(7_u64), number(1_000_u64), number(6_000_000_u64)],
        ["7", "1,000", "6,000,000"]
    );
    assert_eq!([size(16 * 1024), size(8 * 1024 * 1024)], ["16 KiB", "8 MiB"]);
}

#[test]
fn the_limits_in_readme_are_those_of_the_source() {
    let readme = document("README.md");
    let (head, body) = (size(HEAD_BYTES_MAX), size(BODY_BYTES_MAX));
    let (values, operations) = (number(BODY_VALUES_MAX), number(OPERATIONS_MAX));
    for row in [
        format!("| request line and header fields | {head}, {HEADERS_MAX} fields |"),
        format!("| body of a request | {body} |"),
        format!("| JSON in a body | {BODY_DEPTH_MAX} levels deep, {values} values |"),
        format!("| {} of JSON, {} values of one", size(DOCUMENT_BYTES_MAX), number(VALUES_MAX)),
        format!("| accounts in one answer | {} (", number(COUNT_MAX)),
        format!("| operations of one PATCH | {operations}; {MEMBER_FILTERS_MAX} that"),
        format!("| operations of one Bulk request | {} |", number(BULK_OPERATIONS_MAX)),
        format!("| filter | {FILTER_TERMS_MAX} comparisons, nested {FILTER_DEPTH_MAX} deep |"),
        format!("| `--rate` ({} a minute)", number(RATE_DEFAULT)),
        format!("| connections | {CONNECTIONS_MAX}, or what "),
        format!("; {CONNECTIONS_PER_ADDRESS_MAX} of one address "),
        format!("| {}, the first {} of", size(BODIES_BYTES_MAX), size(BODY_BYTES_FREE)),
        format!("| {HEAD_SECONDS_MAX} seconds for its head, {BODY_SECONDS_MAX} for its body |"),
        format!("| time for a TLS handshake | {HEAD_SECONDS_MAX} seconds |"),
    ] {
        assert!(readme.contains(&row), "README has no \"{row}\"");
    }
}

#[test]
fn the_limits_in_the_threat_model_are_those_of_the_source() {
    let (head, body) = (size(HEAD_BYTES_MAX), size(BODY_BYTES_MAX));
    let amounts = format!(
        "a head of {head}, a body of {body} ({} for all of them), {CONNECTIONS_MAX} connections, \
         {CONNECTIONS_PER_ADDRESS_MAX} of one address; {HEAD_SECONDS_MAX} seconds for a TLS \
         handshake, {HEAD_SECONDS_MAX} for a head, {BODY_SECONDS_MAX} for a body, \
         {WRITE_SECONDS_MAX} for taking the answer, {IDLE_SECONDS_MAX} of silence",
        size(BODIES_BYTES_MAX)
    );
    let work = format!("At most {REQUESTS_AT_WORK_MAX} requests are at work at once.");
    let text = document("docs/security.md");
    for words in [amounts, work] {
        assert!(text.contains(&words), "docs/security.md has no \"{words}\"");
    }
}

#[test]
fn the_tests_that_the_threat_model_names_are_there() {
    let mut files = Vec::new();
    for folder in ["src", "tests/it"] {
        rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let source: String = files.iter().map(|it| fs::read_to_string(it).unwrap()).collect();
    let text = document("docs/security.md");
    // Between single asterisks; double ones are there in pairs and leave the count as it is.
    let emphasised = text.split('*').skip(1).step_by(2);
    let names: Vec<&str> = emphasised.flat_map(|it| it.split(", ")).collect();
    let names: Vec<_> = names.iter().map(|it| it.trim_end_matches('.')).collect();
    let names: Vec<_> = names.into_iter().filter(|it| it.contains('_')).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(source.contains(&format!("fn {name}()")), "there is no test {name}");
    }
}
