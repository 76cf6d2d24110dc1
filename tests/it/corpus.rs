//! What the fuzzers found worth keeping, through the very checks the fuzzers run.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks/filter.rs"]
mod filter;
#[path = "../../fuzz/checks/http.rs"]
mod http;
#[path = "../../fuzz/checks/patch.rs"]
mod patch;
#[path = "../../fuzz/checks/path.rs"]
mod path;
#[path = "../../fuzz/checks/resource.rs"]
mod resource;
#[path = "../../fuzz/checks/token.rs"]
mod token;

/// Runs a check on every file of its corpus; there must be some.
fn check(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path());
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        // Should the check panic, this stands above the panic's message.
        eprintln!("{}", file.display());
        check(&fs::read(&file).unwrap());
    }
}

#[test]
fn filters() {
    check("filter", filter::check);
}

#[test]
fn requests() {
    check("http", http::check);
}

#[test]
fn patch_bodies() {
    check("patch", patch::check);
}

#[test]
fn patch_paths() {
    check("path", path::check);
}

#[test]
fn resources() {
    check("resource", resource::check);
}

#[test]
fn tokens() {
    check("token", token::check);
}
