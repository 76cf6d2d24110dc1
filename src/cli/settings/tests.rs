//! Where the values of settings come from.

use clap::{Arg, ArgAction, Command};

use super::*;
use crate::cli::settings::env_file::parse;

/// A grammar as that of plumm is.
fn grammar() -> Command {
    let db = Arg::new("db").long("db").env(DB).global(true).default_value("./plumm.db");
    let json = Arg::new("json").long("json").global(true).action(ArgAction::SetTrue);
    let listen = Arg::new("listen").long("listen").env("PLUMM_LISTEN").default_value("l:1");
    let insecure = Arg::new("insecure").long("insecure-http").env("PLUMM_INSECURE_HTTP");
    let serve = Command::new("serve").arg(listen).arg(insecure.action(ArgAction::SetTrue));
    let org = Command::new("org").subcommand(Command::new("list"));
    Command::new("plumm").arg(db).arg(json).subcommand(serve).subcommand(org)
}

fn surroundings(variables: &[(&str, &str)], file: &str) -> Surroundings {
    let (entries, faults) = parse(file.as_bytes());
    let file = EnvFile { path: Some("p.env".into()), entries, faults, unreadable: None };
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Surroundings::new(variables, file)
}

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

#[test]
fn what_stands_in_the_file_is_added_where_nothing_else_gives_it() {
    let file = "PLUMM_DB=/a b\nPLUMM_LISTEN=l:2\nPLUMM_INSECURE_HTTP=yes\n";
    let check = |variables: &[(&str, &str)], line: &str, expected: &[&str]| {
        let completed = surroundings(variables, file).completed(&grammar(), &words(line));
        assert_eq!(completed.unwrap(), expected, "{line}");
    };
    let all = ["plumm", "--db=/a b", "serve", "--listen=l:2", "--insecure-http"];
    check(&[], "plumm serve", &all);
    check(&[], "plumm", &["plumm", "--db=/a b"]);
    check(&[], "plumm org list", &["plumm", "--db=/a b", "org", "list"]);
    check(&[], "plumm org list --db x", &["plumm", "org", "list", "--db", "x"]);
    check(&[], "plumm --db=x org", &["plumm", "--db=x", "org"]);
    check(&[], "plumm --db serve org", &["plumm", "--db", "serve", "org"]);
    let (flag, file) = (["--listen", "x"], "--insecure-http");
    let mixed = ["plumm", "--db=/a b", "--json", "serve", file, flag[0], flag[1]];
    check(&[], "plumm --json serve --listen x", &mixed);
    check(
        &[("PLUMM_DB", "/env"), ("PLUMM_LISTEN", "")],
        "plumm serve --insecure-http",
        &["plumm", "serve", "--listen=l:2", "--insecure-http"],
    );
    // Behind `--` stand no flags.
    let literal = ["plumm", "--db=/a b", "org", "--", "--db"];
    check(&[], "plumm org -- --db", &literal);
}

#[test]
fn a_switch_of_the_file_is_on_or_off() {
    for (value, expected) in
        [("1", Some(true)), ("off", Some(false)), ("", Some(false)), ("2", None)]
    {
        let it = surroundings(&[], &format!("\nPLUMM_INSECURE_HTTP={value}"));
        let completed = it.completed(&grammar(), &words("plumm serve"));
        let on = completed.as_ref().map(|it| it.len() == 3);
        assert_eq!(on.ok(), expected, "{value}");
        if let Err(WrongValue(words)) = completed {
            assert_eq!(
                words,
                "invalid value '2' for PLUMM_INSECURE_HTTP in p.env, line 2: it must be 1 or 0"
            );
        }
    }
}

#[test]
fn the_last_of_several_lines_counts() {
    let it = surroundings(&[], "PLUMM_DB=a\nPLUMM_DB=b");
    assert_eq!(it.value(DB), Some((OsStr::new("b"), Origin::File(2))));
    // An empty one takes the former back, as it does in systemd.
    assert_eq!(surroundings(&[], "PLUMM_DB=a\nPLUMM_DB=").value(DB), None);
}

#[test]
fn a_database_that_may_be_named_elsewhere_is_not_guessed() {
    let it = surroundings(&[], "A=1\nexport PLUMM_DB=/a");
    let words = it.hidden(DB).unwrap();
    assert!(words.starts_with("p.env, line 2, speaks of PLUMM_DB and says nothing: "), "{words}");
    assert_eq!(surroundings(&[(DB, "x")], "export PLUMM_DB=/a").hidden(DB), None);
    assert_eq!(surroundings(&[], "export PLUMM_LISTEN=1").hidden(DB), None);
    let file = EnvFile::read(Path::new("/nowhere/plumm.env"), true);
    let it = Surroundings::new([].into_iter(), file);
    assert!(it.hidden(DB).unwrap().contains("cannot be read (it is not there)"));
}

#[test]
fn names_that_nothing_knows_are_told_with_what_was_meant() {
    let it = surroundings(
        &[("PLUMM_DBB", "secret"), ("PLUMM_TOKEN", "x"), ("PLUMM_STARTED_AGAIN", "1")],
        "OTHER=1\nPLUMM_LISTN=secret\nPLUMM_LISTEN=1\nnonsense",
    );
    assert_eq!(
        it.warnings(&table(&grammar())),
        [
            "p.env, line 4, is passed over: it has no `=`: write NAME=VALUE",
            "nothing knows the variable PLUMM_DBB of the environment: is PLUMM_DB meant?",
            "nothing knows the variable PLUMM_LISTN of p.env, line 2: is PLUMM_LISTEN meant?",
        ]
    );
}
