//! What the documents say is so: their numbers and flags are those of the program, and each file,
//! heading and test that they name is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use plumm::acme::client::{self as acme, REQUEST_SECONDS_MAX};
use plumm::api::access::changes::{ANSWER_BYTES_MAX, LIMIT_DEFAULT, LIMIT_MAX, WAIT_SECONDS_MAX};
use plumm::api::admin::activity::LINES_LOOKED_AT_MAX;
use plumm::api::admin::host::TESTS_MAX;
use plumm::api::admin::parameters;
use plumm::api::body::{BODY_DEPTH_MAX, BODY_VALUES_MAX};
use plumm::api::waiting;
use plumm::creation::DOCUMENT_BYTES_MAX;
use plumm::memory::{
    MEMORY_BYTES_MAX, MEMORY_BYTES_PER_ORG, MEMORY_WAIT_MAX, MEMORY_WAITING_MAX,
    MEMORY_WAITING_PER_ORG,
};
use plumm::scim::coerce::VALUES_MAX;
use plumm::scim::filter::grammar::{FILTER_DEPTH_MAX, FILTER_TERMS_MAX};
use plumm::scim::patch::apply::MEMBER_FILTERS_MAX;
use plumm::scim::patch::message::OPERATIONS_MAX;
use plumm::scim::returned::NAMES_MAX;
use plumm::scim::schema::document::{ATTRIBUTES_MAX, BYTES_MAX};
use plumm::scim::schema::own_type::{
    FILE_BYTES_MAX, TYPE_EXTENSIONS_MAX, TYPE_SCHEMAS_MAX, TYPES_MAX,
};
use plumm::scim::schema::service_provider_config::{BULK_OPERATIONS_MAX, COUNT_MAX};
use plumm::server::budget::{BODY_BYTES_FREE, Budget};
use plumm::server::limits::{
    BODIES_BYTES_MAX, BODY_SECONDS_MAX, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX,
    FRONT_CONNECTIONS_MAX, FRONT_CONNECTIONS_PER_ADDRESS_MAX, FRONT_SECONDS_MAX, HEAD_SECONDS_MAX,
    IDLE_SECONDS_MAX, REQUESTS_AT_WORK_MAX, STOP_SECONDS_MAX, WRITE_SECONDS_MAX,
};
use plumm::server::request::body::BODY_BYTES_MAX;
use plumm::server::request::head::HEADERS_MAX;
use plumm::server::request::reader::HEAD_BYTES_MAX;
use plumm::store::migrate::newest;
use plumm::store::query::listing::PAGE_BYTES_MAX;
use plumm::store::query::long_reads::{LONG_READ_MAX, LONG_READS_MAX, WAIT_MAX, WAITING_MAX};
use plumm::store::tables::org::RATE_DEFAULT;

use crate::cli::Place;
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
fn the_limits_in_the_documents_are_those_of_the_source() {
    let limits = document("docs/limits.md");
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
        format!("| what is made of a list at once | {} of the answer", size(PAGE_BYTES_MAX)),
        format!("| names in `attributes` or `excludedAttributes` | {} |", number(NAMES_MAX)),
        format!(
            "wait for their client | {}, {} of them for the requests of one organisation together",
            size(MEMORY_BYTES_MAX),
            MEMORY_BYTES_PER_ORG / (1024 * 1024)
        ),
        format!(
            "{MEMORY_WAITING_MAX} requests wait for it at once, {MEMORY_WAITING_PER_ORG} of one \
             organisation, up to {} seconds",
            MEMORY_WAIT_MAX.as_secs()
        ),
        format!("| filter | {FILTER_TERMS_MAX} comparisons, nested {FILTER_DEPTH_MAX} deep |"),
        format!("| {} seconds | 400 `tooMany` |", LONG_READ_MAX.as_secs()),
        format!(
            "| {LONG_READS_MAX}, with {WAITING_MAX} more that wait for up to {} seconds |",
            WAIT_MAX.as_secs()
        ),
        format!("| `--rate` ({} a minute)", number(RATE_DEFAULT)),
        format!(
            "| {} numbers ({LIMIT_DEFAULT} when `limit` is absent), about {} |",
            number(u64::try_from(LIMIT_MAX).unwrap()),
            size(ANSWER_BYTES_MAX)
        ),
        format!("| {} at once, {WAIT_SECONDS_MAX} seconds each;", waiting::WAITING_MAX),
        format!("looks through for a kind | {};", number(LINES_LOOKED_AT_MAX)),
        format!("| one of an organisation at a time, {TESTS_MAX} in all |"),
        format!("| entries of one answer of the page | {} |", parameters::LIMIT_MAX),
        format!("| connections | {CONNECTIONS_MAX}, or what "),
        format!("; {CONNECTIONS_PER_ADDRESS_MAX} of one address "),
        format!(
            "| {}, {} of them for the requests of one organisation, the first {} of",
            size(BODIES_BYTES_MAX),
            Budget::part(BODIES_BYTES_MAX) / (1024 * 1024),
            size(BODY_BYTES_FREE)
        ),
        format!("| {HEAD_SECONDS_MAX} seconds for its head, {BODY_SECONDS_MAX} for its body |"),
        format!("| time for a TLS handshake | {HEAD_SECONDS_MAX} seconds |"),
        format!(
            "`--acme` | {FRONT_CONNECTIONS_MAX}, {FRONT_CONNECTIONS_PER_ADDRESS_MAX} of one \
             address; {FRONT_SECONDS_MAX} seconds for each step |"
        ),
        format!(
            "| an answer of an ACME directory | {}, {REQUEST_SECONDS_MAX} seconds |",
            size(usize::try_from(acme::ANSWER_BYTES_MAX).unwrap())
        ),
    ] {
        assert!(limits.contains(&row), "docs/limits.md has no \"{row}\"");
    }
    let own = document("docs/own-attributes.md");
    let row = format!("At most {ATTRIBUTES_MAX} attributes and {} a schema", size(BYTES_MAX));
    let types = format!(
        "At most {} a file, {TYPE_SCHEMAS_MAX} schemas in it, {TYPE_EXTENSIONS_MAX} extensions a \
         type, {TYPES_MAX} types an organisation",
        size(FILE_BYTES_MAX)
    );
    for row in [row, types] {
        assert!(own.contains(&row), "docs/own-attributes.md has no \"{row}\"");
    }
}

#[test]
fn the_amounts_in_the_architecture_are_those_of_the_source() {
    let work = format!("at most {REQUESTS_AT_WORK_MAX} requests at once");
    let stop = format!("no new connections, {STOP_SECONDS_MAX} seconds for the requests in hand");
    let steps = format!("the number of steps it has taken, {} today", newest());
    let status = format!("\"schema\":{}}}", newest());
    for (name, words) in
        [("architecture", work), ("architecture", stop), ("file", steps), ("operate", status)]
    {
        let text = document(&format!("docs/{name}.md"));
        assert!(text.contains(&words), "docs/{name}.md has no \"{words}\"");
    }
}

#[test]
fn the_oldest_rust_in_the_documents_is_that_of_the_package() {
    let rust = env!("CARGO_PKG_RUST_VERSION");
    for name in ["README.md", "CONTRIBUTING.md", "docs/install.md"] {
        let text = document(name);
        assert!(text.contains(&format!("{rust} or newer")), "{name} does not ask for {rust}");
    }
}

/// The versions in names of files and images: `0.1.0` of `plumm_0.1.0_amd64.deb`.
fn versions(text: &str) -> Vec<&str> {
    let parts = ["plumm_", "plumm-", "plumm:"].map(|it| text.split(it).skip(1));
    let numbers = parts.into_iter().flatten().map(|it| {
        let end = it.find(|c: char| !c.is_ascii_digit() && c != '.');
        it[..end.unwrap_or(it.len())].trim_end_matches('.')
    });
    numbers.filter(|it| it.matches('.').count() == 2).collect()
}

#[test]
fn the_version_in_the_documents_is_that_of_the_package() {
    let version = env!("CARGO_PKG_VERSION");
    for (name, times) in [("README.md", 1), ("docs/install.md", 6)] {
        let text = document(name);
        let named = versions(&text);
        assert!(named.len() >= times, "{name} names {named:?}");
        assert!(named.iter().all(|it| *it == version), "{name} names {named:?}, and not {version}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CHANGELOG.md");
    let text = fs::read_to_string(path).unwrap();
    let mut sections = text.lines().filter(|it| it.starts_with("## "));
    assert_eq!(sections.next(), Some("## [Unreleased]"));
    let newest = sections.next().unwrap_or_default();
    let day = newest.strip_prefix(&format!("## [{version}] - ")).unwrap_or_else(|| {
        panic!("CHANGELOG.md begins with \"{newest}\", and not with {version} and its day")
    });
    let shape: String = day.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    assert_eq!(shape, "0000-00-00", "{newest}");
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

/// The commands that do something, each with the flags and variables that its `--help` names.
pub fn commands(place: &Place, of: &[String], found: &mut BTreeMap<String, BTreeSet<String>>) {
    let args = of.iter().map(String::as_str).chain(["--help"]);
    let help = place.plumm(&args.collect::<Vec<_>>());
    let below = help.out.lines().skip_while(|it| *it != "Commands:").skip(1);
    let below = below.take_while(|it| it.starts_with("  "));
    let below: Vec<&str> = below.filter_map(|it| it.split_whitespace().next()).collect();
    for name in &below {
        commands(place, &[of, &[(*name).to_owned()]].concat(), found);
    }
    if below.is_empty() {
        let options = help.out.lines().filter(|it| it.trim_start().starts_with('-'));
        let named = options.flat_map(flags).chain(variables(&help.out));
        found.insert(of.join(" "), named.collect());
    }
}

/// The variables of the environment in a text.
fn variables(text: &str) -> Vec<String> {
    let words = text.split(|it: char| !it.is_ascii_uppercase() && it != '_');
    words.filter(|it| it.starts_with("PLUMM_")).map(str::to_owned).collect()
}

/// The long flags in a text.
fn flags(text: &str) -> Vec<String> {
    let name = |it: &str| {
        it.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().map(str::to_owned)
    };
    let after = text
        .match_indices("--")
        .filter(|(at, _)| !text[..*at].ends_with(|it: char| it.is_alphanumeric() || it == '-'));
    let names = after
        .filter_map(|(at, _)| name(&text[at + 2..]))
        .filter(|it| it.starts_with(|c: char| c.is_ascii_lowercase()));
    names.map(|it| format!("--{it}")).collect()
}

#[test]
fn the_documents_have_each_command_flag_and_variable_and_no_other() {
    let mut found = BTreeMap::new();
    commands(&Place::new(), &[], &mut found);
    let (commands, settings) = (document("docs/commands.md"), document("docs/settings.md"));
    let told = [flags(&commands), flags(&settings), variables(&settings)].concat();
    let told: BTreeSet<String> = told.into_iter().collect();
    // The log is set up, and the file of settings read, before there are commands; the others are no
    // settings.
    let before = ["--help", "--version", "PLUMM_LOG", "PLUMM_ENV_FILE"];
    let others = ["PLUMM_", "PLUMM_STARTED_AGAIN"];
    let of_examples = ["PLUMM_URL", "PLUMM_TOKEN", "PLUMM_WEBHOOK_SECRET"];
    let words = before.iter().chain(&others).chain(&of_examples);
    let mut known: BTreeSet<String> = words.map(|it| (*it).to_owned()).collect();
    assert!(found.len() > 15, "{found:?}");
    for (command, flags) in found {
        let row = format!("`plumm {command}");
        assert!(commands.contains(&row), "docs/commands.md has no \"{row}\"");
        for flag in flags.iter().filter(|it| !known.contains(*it)) {
            assert!(told.contains(flag), "no document tells of {flag} of `plumm {command}`");
        }
        known.extend(flags);
    }
    let strange: Vec<_> = told.difference(&known).collect();
    assert!(strange.is_empty(), "no command has {strange:?}");
}

/// The folders of the repository that documents name files of.
const FOLDERS: [&str; 9] =
    ["src/", "tests/", "docs/", ".ci/", "deploy/", "benches/", "fuzz/", "examples/", "packaging/"];

/// A document by its name, taken apart.
struct Page {
    name: String,
    /// Its text without code.
    prose: String,
    /// What stands in backticks and in blocks of code.
    code: Vec<String>,
    headings: BTreeSet<String>,
}

impl Page {
    fn new(name: &str, text: &str) -> Page {
        let mut page = Page {
            name: name.to_owned(),
            prose: String::new(),
            code: Vec::new(),
            headings: BTreeSet::new(),
        };
        let mut fenced = false;
        let mut plain = String::new();
        for line in text.lines() {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            if fenced || fence {
                page.code.push(line.to_owned());
                continue;
            }
            if line.starts_with('#') {
                page.add_heading(line.trim_start_matches('#'));
            }
            plain.extend([line, "\n"]);
        }
        for (i, part) in plain.split('`').enumerate() {
            match i % 2 {
                0 => page.prose += part,
                _ => page.code.push(part.to_owned()),
            }
        }
        page
    }

    /// Notes what a heading is called in links: as the page of the repository shows it.
    fn add_heading(&mut self, text: &str) {
        let kept = text.trim().to_lowercase();
        let kept = kept.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        let name: String = kept.map(|it| if it == ' ' { '-' } else { it }).collect();
        let again = (1..).map(|it| format!("{name}-{it}"));
        let mut names = [name.clone()].into_iter().chain(again);
        let free = names.find(|it| !self.headings.contains(it)).unwrap();
        self.headings.insert(free);
    }

    /// Where the links of this page lead that stay in the repository: a file, and a heading or
    /// nothing. Of links that leave the repository the file is none.
    fn links(&self) -> Vec<(String, Option<String>, String)> {
        let inline = self.prose.split("](").skip(1).filter_map(|it| it.split(')').next());
        let defined = self.prose.lines().filter_map(|it| {
            let (label, target) = it.strip_prefix('[')?.split_once("]: ")?;
            (!label.contains(']')).then_some(target.trim())
        });
        let local = inline.chain(defined).filter(|it| !it.contains(':'));
        let links = local.map(|target| {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            (target.to_owned(), self.resolved(path), heading.to_owned())
        });
        links.collect()
    }

    /// A path as this page has it, from the root of the repository.
    fn resolved(&self, path: &str) -> Option<String> {
        if path.is_empty() {
            return Some(self.name.clone());
        }
        let folders = self.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut parts: Vec<&str> = folders.split('/').filter(|it| !it.is_empty()).collect();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                other => parts.push(other),
            }
        }
        Some(parts.join("/"))
    }

    /// The files and folders of the repository that stand in code.
    fn files(&self) -> Vec<&str> {
        let words = self.code.iter().flat_map(|it| it.split_whitespace());
        let words = words.map(|it| it.trim_matches(|c| "()[]{}<>\"',:;=/".contains(c)));
        words.filter(|it| FOLDERS.iter().any(|folder| it.starts_with(folder))).collect()
    }

    /// The tests that stand in single asterisks.
    fn tests(&self) -> Vec<String> {
        // Double asterisks are there in pairs and leave the count as it is.
        let emphasised = self.prose.split('*').skip(1).step_by(2);
        let words = |it: &str| it.split_whitespace().collect::<Vec<_>>().join(" ");
        let names: Vec<String> = emphasised.map(words).collect();
        let names = names.iter().flat_map(|it| it.split(", "));
        let names = names.map(|it| it.trim_end_matches('.')).filter(|it| it.contains('_'));
        names.map(str::to_owned).collect()
    }
}

/// What is wrong with the pages, one line each. `exists`: whether there is such a file or folder.
fn faults(pages: &[Page], source: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for page in pages {
        let mut fault = |what: String| faults.push(format!("{}: {what}", page.name));
        for (target, path, heading) in page.links() {
            let Some(path) = path.filter(|it| exists(it)) else {
                fault(format!("the link to {target} leads nowhere"));
                continue;
            };
            let there = pages.iter().find(|it| it.name == path);
            if !heading.is_empty() && !there.is_some_and(|it| it.headings.contains(&heading)) {
                fault(format!("the link to {target} leads to no heading"));
            }
        }
        for file in page.files().into_iter().filter(|it| !exists(it)) {
            fault(format!("there is no {file}"));
        }
        for test in page.tests() {
            if !source.contains(&format!("fn {test}()")) {
                fault(format!("there is no test {test}"));
            }
        }
    }
    faults
}

/// The documents of the repository, by their names.
fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let at_root =
        ["README", "CONTRIBUTING", "RELEASING", "SECURITY", "CHANGELOG", "benches/RESULTS"];
    let mut names: Vec<String> = at_root.iter().map(|it| format!("{it}.md")).collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                names.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.iter().map(|it| Page::new(it, &fs::read_to_string(root.join(it)).unwrap())).collect()
}

#[test]
fn each_file_heading_and_test_that_the_documents_name_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(&root.join(folder), &mut files);
    }
    let source: String = files.iter().map(|it| fs::read_to_string(it).unwrap()).collect();
    let pages = pages();
    let faults = faults(&pages, &source, |it| root.join(it).exists());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    for name in ["docs/security.md", "docs/architecture.md"] {
        let page = pages.iter().find(|it| it.name == name).unwrap();
        assert!(page.tests().len() > 10, "{name} names {:?}", page.tests());
    }
}

/// Where a reader looks for a page: the list of the repository, and that of the site.
#[test]
fn both_tables_of_contents_have_every_document() {
    let pages = pages();
    let contents = ["docs/README.md", "docs/SUMMARY.md"];
    for name in contents {
        let listed = pages.iter().find(|it| it.name == name).unwrap().links();
        let listed: Vec<String> = listed.into_iter().filter_map(|it| it.1).collect();
        let written = pages.iter().map(|it| &it.name).filter(|it| !contents.contains(&it.as_str()));
        let missing: Vec<_> =
            written.filter(|it| it.starts_with("docs/") && !listed.contains(it)).collect();
        assert!(missing.is_empty(), "{name} does not list {missing:?}");
        let twice =
            listed.iter().filter(|it| listed.iter().filter(|other| other == it).count() > 1);
        assert_eq!(twice.collect::<Vec<_>>(), Vec::<&String>::new(), "{name} lists twice");
    }
    // The site has a page for whatever Markdown its pages lead to.
    let summary = pages.iter().find(|it| it.name == "docs/SUMMARY.md").unwrap();
    let listed: Vec<String> = summary.links().into_iter().filter_map(|it| it.1).collect();
    for page in pages.iter().filter(|it| it.name.starts_with("docs/")) {
        for (target, path, _) in page.links() {
            let path = path.unwrap();
            let shown = listed.contains(&path) || path == summary.name || !path.ends_with(".md");
            assert!(
                shown,
                "{}: {target} is no page of the site: add it to docs/SUMMARY.md",
                page.name
            );
        }
    }
}

/// The checker is itself checked: each fault is found, and nothing else is one.
#[test]
fn each_fault_of_a_document_is_found() {
    let other = "# B\n\n## As `it` *is* (now)\n\n## Twice\n\n## Twice\n";
    let exists = |it: &str| ["docs/a.md", "docs/b.md", "README.md", "src/lib.rs"].contains(&it);
    let source = "fn a_test() {\nfn another_test() {\n";
    let check = |text: &str| {
        let pages = [Page::new("docs/a.md", text), Page::new("docs/b.md", other)];
        faults(&pages, source, exists)
    };
    let good = "# A\n\n[a](#a), [b](b.md#as-it-is-now), [b](./b.md#twice-1), [up](../README.md),\n\
        [out](https://example.com/none.md), [`src/lib.rs`](../src/lib.rs) **bold**\n\
        (*a_test,\nanother_test.*), *slanted*, `PLUMM_DB`, `cat src/lib.rs`\n\n\
        ```sh\n[x](none.md) src/lib.rs *no_test*\n```\n\n[d]: b.md\n";
    assert_eq!(check(good), Vec::<String>::new());
    for (text, words) in [
        ("[x](none.md)", "none.md leads nowhere"),
        ("[x](../../README.md)", "leads nowhere"),
        ("[x](#none)", "#none leads to no heading"),
        ("[x](b.md#none)", "b.md#none leads to no heading"),
        ("[x](../README.md#none)", "leads to no heading"),
        ("[x]: none.md", "none.md leads nowhere"),
        ("`src/none.rs`", "no src/none.rs"),
        ("`cat src/none/, again`", "no src/none"),
        ("```sh\n.ci/none\n```", "no .ci/none"),
        ("*no_test*", "no test no_test"),
        ("**b** (*a_test, no_test*)", "no test no_test"),
    ] {
        let faults = check(text);
        assert!(faults.len() == 1 && faults[0].contains(words), "{text}: {faults:?}");
    }
}
