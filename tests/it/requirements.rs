//! `tests/requirements.md`, checked: each row has a level, and a test that exists or a reason, and
//! the totals are those of the rows.

use std::fs;
use std::path::{Path, PathBuf};

const LEVELS: &[&str] =
    &["MUST", "MUST NOT", "SHALL", "SHALL NOT", "REQUIRED", "SHOULD", "SHOULD NOT"];

/// How many rows are what.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    held: usize,
    refused: usize,
    not_applicable: usize,
}

impl Totals {
    fn line(&self) -> String {
        let Totals { held, refused, not_applicable } = self;
        let all = held + refused + not_applicable;
        format!(
            "{all} requirements: {held} held, {refused} refused, {not_applicable} not applicable"
        )
    }
}

#[test]
fn every_requirement_has_its_test_or_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/requirements.md")).unwrap();
    let sources = |folder: &str| {
        let mut found = Vec::new();
        let folder = root.join(folder);
        rust_files(&folder, &mut found);
        let name = |path: &Path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let read = |path: &PathBuf| (name(path), fs::read_to_string(path).unwrap());
        found.iter().map(read).collect::<Vec<_>>()
    };
    let sources = [sources("tests/it"), sources("src")].concat();
    let faults = check(&text, &sources);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// What is wrong with the table, one line each. `sources`: the files by their names.
fn check(text: &str, sources: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut totals = Totals::default();
    for (i, line) in text.lines().enumerate() {
        let mut fault = |what: String| faults.push(format!("{}: {what}", i + 1));
        let Some(cells) = line.strip_prefix('|').and_then(|it| it.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        if cells[0] == "section" || cells[0].starts_with("--") {
            continue;
        }
        let [section, requirement, level, test] = cells.as_slice() else {
            fault(format!("{} cells and not 4", cells.len()));
            continue;
        };
        if section.is_empty() || requirement.is_empty() {
            fault("a cell is empty".to_owned());
        }
        if !LEVELS.contains(level) {
            fault(format!("\"{level}\" is no level"));
        }
        let reason = |word: &str| test.strip_prefix(word).map(str::trim);
        if let Some(why) = reason("refused:") {
            totals.refused += 1;
            if why.is_empty() {
                fault("refused without a reason".to_owned());
            }
        } else if let Some(why) = reason("n/a:") {
            totals.not_applicable += 1;
            if why.is_empty() {
                fault("not applicable without a reason".to_owned());
            }
        } else {
            totals.held += 1;
            for name in test.split(',').map(|it| it.trim().trim_matches('`')) {
                if !exists(name, sources) {
                    fault(format!("there is no test \"{name}\""));
                }
            }
        }
    }
    let line = totals.line();
    if !text.lines().any(|it| it == line) {
        faults.push(format!("the totals are: {line}"));
    }
    faults
}

/// Whether `module::name` or `file.rs::name` is a function of that file.
fn exists(test: &str, sources: &[(String, String)]) -> bool {
    let Some((file, name)) = test.rsplit_once("::") else {
        return false;
    };
    let file = if file.ends_with(".rs") { file.to_owned() } else { format!("{file}.rs") };
    let text = sources.iter().find(|(it, _)| *it == file).map(|(_, text)| text);
    text.is_some_and(|it| it.contains(&format!("fn {name}(")))
}

/// The Rust files of a folder and those below it.
pub fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The checker is itself checked: every fault is found.
#[test]
fn each_fault_of_the_table_is_found() {
    let sources = [
        ("users.rs".to_owned(), "fn a_test() {".to_owned()),
        ("scim/path.rs".to_owned(), "fn paths() {".to_owned()),
    ];
    let check = |rows: &[&str], totals: &str| {
        let head = "| section | requirement | level | test |\n|---|---|---|---|\n";
        check(&format!("{totals}\n\n{head}{}\n", rows.join("\n")), &sources)
    };
    let good = [
        "| 1 | a | MUST | users::a_test, `scim/path.rs::paths` |",
        "| 1 | b | SHOULD NOT | refused: why |",
        "| 2 | c | SHALL | n/a: why |",
    ];
    let totals = "3 requirements: 1 held, 1 refused, 1 not applicable";
    assert_eq!(check(&good, totals), Vec::<String>::new());
    let one = "1 requirements: 1 held, 0 refused, 0 not applicable";
    for (row, words) in [
        ("| 1 | a | MAY | users::a_test |", "no level"),
        ("| 1 | a | MUST | users::no_test |", "no test"),
        ("| 1 | a | MUST | path.rs::paths |", "no test"),
        ("| 1 | a | MUST | a_test |", "no test"),
        ("| 1 | a | MUST |  |", "no test"),
        ("| 1 |  | MUST | users::a_test |", "empty"),
        ("| 1 | a | users::a_test |", "3 cells"),
    ] {
        let faults = check(&[row], one);
        assert!(faults.iter().any(|it| it.contains(words)), "{row}: {faults:?}");
    }
    for (row, words) in
        [("| 1 | a | MUST | refused: |", "refused"), ("| 1 | a | MUST | n/a: |", "n")]
    {
        let faults = check(&[row], "");
        assert!(faults.iter().any(|it| it.contains(words)), "{row}: {faults:?}");
    }
    assert!(check(&good[..1], totals)[0].contains(one));
}
