//! The house rules, checked on the text of `src/`. Standard library only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, lowest first: what it may use of this crate, and which guarded crates it may name.
/// A module may only list modules that stand above its own line, so the graph has no cycle.
const RULES: &[(&str, &[&str], &[&str])] = &[
    ("config", &[], &[]),
    ("memory", &[], &[]),
    ("metrics", &[], &[]),
    ("id", &[], &["rand"]),
    ("http", &["id", "memory"], &[]),
    ("scim", &[], &[]),
    ("events", &["scim"], &[]),
    ("clock", &["scim"], &[]),
    ("store", &["scim"], &["rusqlite", "rustix"]),
    ("definitions", &["scim", "store"], &[]),
    ("creation", &["scim", "store"], &[]),
    ("unique", &["scim", "store"], &[]),
    ("activity", &["scim", "store"], &[]),
    ("outbox", &["events", "scim", "store"], &[]),
    ("auth", &["http", "id", "scim", "store"], &["argon2"]),
    ("rate", &["scim", "store"], &[]),
    ("refusals", &["scim", "store"], &[]),
    (
        "webhooks",
        &["clock", "definitions", "events", "id", "memory", "metrics", "outbox", "scim", "store"],
        &["rustls", "ureq"],
    ),
    ("by_hand", &["activity", "events", "id", "scim", "store", "webhooks"], &[]),
    (
        "api",
        &[
            "activity",
            "auth",
            "by_hand",
            "creation",
            "definitions",
            "http",
            "id",
            "memory",
            "metrics",
            "outbox",
            "scim",
            "store",
            "unique",
        ],
        &[],
    ),
    (
        "app",
        &[
            "api",
            "auth",
            "clock",
            "config",
            "definitions",
            "http",
            "id",
            "memory",
            "metrics",
            "rate",
            "refusals",
            "scim",
            "store",
        ],
        &[],
    ),
    (
        "server",
        &["app", "config", "http", "metrics", "scim"],
        &["httparse", "rustls", "socket2", "tiny_http"],
    ),
    (
        "cli",
        &[
            "activity",
            "app",
            "auth",
            "by_hand",
            "clock",
            "config",
            "creation",
            "definitions",
            "events",
            "http",
            "id",
            "metrics",
            "scim",
            "server",
            "store",
            "unique",
            "webhooks",
        ],
        &["clap", "rcgen", "rustls", "ureq"],
    ),
    ("lib", &[], &[]),
    ("main", &["cli"], &["env_logger"]),
];

const GUARDED_CRATES: &[&str] = &[
    "argon2",
    "clap",
    "env_logger",
    "httparse",
    "rand",
    "rcgen",
    "rusqlite",
    "rustix",
    "rustls",
    "socket2",
    "tiny_http",
    "ureq",
];

/// Text that may stand in one module only; the last word of each line is the reason.
const BANS: &[(&str, &str, &str)] = &[
    ("SystemTime::now", "clock", "time is passed in, so that tests can set it"),
    ("\"SELECT ", "store", "SQL lives in the store"),
    ("\"INSERT ", "store", "SQL lives in the store"),
    ("\"UPDATE ", "store", "SQL lives in the store"),
    ("\"DELETE FROM", "store", "SQL lives in the store"),
    ("println!", "cli", "only a command talks to the terminal"),
    ("pub use crate::", "", "one name has one home; no re-exports across modules"),
];

/// Text that may stand nowhere, comments included.
const LEFTOVERS: &[&str] = &["dbg!", "FIXME", "TODO", "XXX"];

const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;

#[test]
fn rules_have_no_cycle() {
    for (i, (module, may_use, _)) in RULES.iter().enumerate() {
        for used in *may_use {
            let known = RULES[..i].iter().any(|(name, _, _)| name == used);
            assert!(known, "`{module}` may use `{used}`, which does not stand above it");
        }
    }
}

#[test]
fn source_is_tidy() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = fs::read_to_string(src.join("lib.rs")).unwrap();
    let mut faults = Vec::new();
    for path in rust_files(&src) {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap();
        // Unit tests that are longer than the code they test.
        if name.ends_with("/tests.rs") {
            if !text.starts_with("//! ") {
                faults.push(format!("{name}:1: the first line says what the file is for"));
            }
            continue;
        }
        if name != "lib.rs" && !map.contains(&format!("//! {name} ")) {
            faults.push(format!("{name}: not in the map at the top of lib.rs"));
        }
        check_file(&name, &text, &mut faults);
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Files that import each other cannot be read one after the other. What two need of each other
/// stands in a third, below both.
#[test]
fn no_file_imports_itself_through_others() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: BTreeMap<String, String> = rust_files(&src)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(&path).unwrap())
        })
        .filter(|(name, _)| !name.ends_with("/tests.rs"))
        .collect();
    let circles = circles(&files);
    assert!(circles.is_empty(), "\n{}\n", circles.join("\n"));
}

/// The files that can be reached from themselves, each with one way.
fn circles(files: &BTreeMap<String, String>) -> Vec<String> {
    let imports: BTreeMap<&String, BTreeSet<String>> =
        files.iter().map(|(name, text)| (name, imports(name, text, files))).collect();
    let mut circles = Vec::new();
    for start in files.keys() {
        let mut ways = vec![vec![start]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in &imports[way[way.len() - 1]] {
                if next == start {
                    let names: Vec<&str> = way.iter().map(|it| it.as_str()).collect();
                    circles.push(format!("{} -> {start}", names.join(" -> ")));
                    seen.extend(&files.keys().collect::<Vec<_>>());
                    ways.clear();
                    break;
                }
                if seen.insert(next) {
                    ways.push([way.as_slice(), &[next]].concat());
                }
            }
        }
    }
    circles
}

/// The files whose items a file names, as `crate::a::b::Item` or in the braces of an import.
fn imports(name: &str, text: &str, files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().filter(|it| !it.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
        let (path, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let path: Vec<&str> = path.split("::").filter(|it| !it.is_empty()).collect();
        let mut paths = vec![path.clone()];
        if let Some(names) = rest.strip_prefix('{') {
            let names = names.split('}').next().unwrap().split(',');
            paths = names
                .map(|it| it.trim().split([':', ' ']).next().unwrap())
                .map(|it| path.iter().copied().chain((it != "self").then_some(it)).collect())
                .collect();
        }
        let module_of = |path: &Vec<&str>| {
            (1..=path.len()).rev().find_map(|n| {
                let path = path[..n].join("/");
                [format!("{path}.rs"), format!("{path}/mod.rs")]
                    .into_iter()
                    .find(|it| files.contains_key(it))
            })
        };
        found.extend(paths.iter().filter_map(module_of).filter(|it| it != name));
    }
    found
}

#[test]
fn circles_are_found() {
    let of = |files: &[(&str, &str)]| {
        circles(&files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
    };
    let (to_b, to_a) = ("use crate::x::b::B;\n", "let a = crate::x::a::new();\n");
    assert!(of(&[("x/a.rs", to_b), ("x/b.rs", "")]).is_empty());
    assert_eq!(of(&[("x/a.rs", to_b), ("x/b.rs", to_a)]).len(), 2);
    assert!(
        of(&[("x/a.rs", to_b), ("x/b.rs", "// crate::x::a\n#[cfg(test)]\nuse crate::x::a::A;")])
            .is_empty()
    );
    // In braces, over several lines, and through the file of a folder.
    let braces = "use crate::x::{\n    self,\n    b::B,\n};\n";
    assert_eq!(of(&[("x/a.rs", braces), ("x/b.rs", to_a)]).len(), 2);
    assert_eq!(of(&[("x/mod.rs", to_a), ("x/a.rs", "use crate::x::Store;")]).len(), 2);
    assert_eq!(
        of(&[("a.rs", "crate::b::f()"), ("b.rs", "crate::c::f()"), ("c.rs", "crate::a::f()")])
            .len(),
        3
    );
}

fn check_file(name: &str, text: &str, faults: &mut Vec<String>) {
    let module = name.split('/').next().unwrap().trim_end_matches(".rs");
    let Some((_, may_use, crates)) = RULES.iter().find(|(it, _, _)| *it == module) else {
        faults.push(format!("{name}: module `{module}` has no rule"));
        return;
    };
    // Unit tests stand last in a file; they are not held to the rules below.
    let code = text.split("#[cfg(test)]").next().unwrap();
    // The program reaches the library by the package's name, all else by `crate`.
    let root = match module {
        "main" => format!("{}::", env!("CARGO_PKG_NAME").replace('-', "_")),
        _ => "crate::".to_owned(),
    };
    let at_root = !name.contains('/') || name.ends_with("/mod.rs");

    if !text.starts_with("//! ") {
        faults.push(format!("{name}:1: the first line says what the file is for: `//! ...`"));
    }
    if code.lines().count() > LINES_MAX {
        faults.push(format!("{name}: more than {LINES_MAX} lines"));
    }
    for (i, line) in code.lines().enumerate() {
        let mut fault = |what: String| faults.push(format!("{name}:{}: {what}", i + 1));
        if line.chars().count() > COLUMNS_MAX {
            fault(format!("more than {COLUMNS_MAX} columns"));
        }
        for leftover in LEFTOVERS {
            if line.contains(leftover) {
                fault(format!("`{leftover}`: finish it or open an issue"));
            }
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        if line.contains("crate::{") || line.contains("super::super") {
            fault("spell the module out: `use crate::module::...`".to_owned());
        }
        if at_root && line.contains("super::") {
            fault("`super` leaves the module; write `crate::...`".to_owned());
        }
        for rest in line.split(root.as_str()).skip(1) {
            let used: String =
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if used != module && !may_use.contains(&used.as_str()) {
                fault(format!("`{module}` may not use `{used}`"));
            }
        }
        for guarded in GUARDED_CRATES {
            let named = names_crate(line, guarded);
            if named && !crates.contains(guarded) {
                fault(format!("`{module}` may not name the crate `{guarded}`"));
            }
        }
        for (banned, home, reason) in BANS {
            if line.contains(banned) && module != *home {
                fault(format!("`{banned}`: {reason}"));
            }
        }
    }
}

/// tiny_http has an advisory against its parser of requests, and its accept loop ends for good when
/// descriptors run out. plumm takes its words alone, and none of them reads a byte.
#[test]
fn tiny_http_reads_no_request() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut named = 0;
    for path in rust_files(&src) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|it| !it.trim_start().starts_with("//"));
        for line in code.filter(|it| it.contains("tiny_http")) {
            named += 1;
            assert!(is_vocabulary(line), "{}: {line}", path.display());
        }
    }
    assert!(named > 0, "it is not used any more: remove it, and this test");
    for line in [
        "use tiny_http::Server;",
        "use tiny_http::{Header, Request};",
        "use tiny_http::{Header as Server};",
        "use tiny_http::*;",
        "use tiny_http as http;",
        "tiny_http::Server::http(1)",
        "    tiny_http::Header::from_bytes(b)",
    ] {
        assert!(!is_vocabulary(line), "{line}");
    }
}

/// Whether a line does nothing but import words of tiny_http.
fn is_vocabulary(line: &str) -> bool {
    const WORDS: [&str; 5] = ["HTTPVersion", "Header", "Method", "Response", "StatusCode"];
    let names = line.strip_prefix("use tiny_http::").and_then(|it| it.strip_suffix(';'));
    names.is_some_and(|it| it.trim_matches(['{', '}']).split(", ").all(|it| WORDS.contains(&it)))
}

/// Whether a line names a crate: `rand::` is not to be seen in `operand::`.
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path).any(|(at, _)| {
        !line[..at].ends_with(|it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':')
    })
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The checker is itself checked: every rule has one input that breaks it.
#[test]
fn each_rule_bites() {
    assert!(!names_crate("use operand::x;", "rand") && names_crate("(rand::random())", "rand"));
    check("scim/filter.rs", "//! Ok.\nuse crate::store::Store;\n", "`scim` may not use `store`");
    check(
        "store/pagination.rs",
        "//! Ok.\nuse crate::http::Request;\n",
        "`store` may not use `http`",
    );
    check("api/scim/bulk.rs", "//! Ok.\nuse rusqlite::params;\n", "may not name the crate");
    check("app.rs", "//! Ok.\nuse tiny_http::Server;\n", "may not name the crate");
    check("app.rs", "//! Ok.\nuse crate::{auth, store};\n", "spell the module out");
    check("auth.rs", "//! Ok.\nuse super::store::Store;\n", "`super` leaves the module");
    check("auth.rs", "//! Ok.\nlet t = SystemTime::now();\n", "time is passed in");
    check("auth.rs", "//! Ok.\nlet q = \"SELECT 1\";\n", "SQL lives in the store");
    check("store/org.rs", "use std::fmt;\n", "the first line says");
    check("auth.rs", "//! Ok.\n// TODO: later\n", "open an issue");
    check("auth.rs", "//! Ok.\npub use crate::store::Store;\n", "no re-exports");
    check(
        "main.rs",
        &format!("//! Ok.\n{}::store::open();\n", env!("CARGO_PKG_NAME").replace('-', "_")),
        "`main` may not use `store`",
    );
    check("utils.rs", "//! Ok.\n", "has no rule");
    check("store/org.rs", &format!("//! Ok.\n// {}\n", "x".repeat(100)), "columns");
    check("store/org.rs", &format!("//! Ok.\n{}", "\n".repeat(LINES_MAX)), "lines");
}

#[track_caller]
fn check(name: &str, text: &str, expected: &str) {
    let mut faults = Vec::new();
    check_file(name, text, &mut faults);
    assert!(faults.iter().any(|it| it.contains(expected)), "{name}: {faults:?}");
}
