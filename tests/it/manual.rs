//! What is made from the table of commands: scripts that complete them, and the pages of the manual.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::cli::Place;
use crate::docs::commands;

/// What a program of the host answers, or nothing where it is not there, which is said.
fn ran(program: &str, args: &[&str], input: &str) -> Option<Output> {
    let command = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "100")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match command {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            not_run(&format!("what {program} makes of plumm's own files: it is not here"));
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    // Whoever does not read it to the end has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Some(child.wait_with_output().unwrap())
}

/// Says what could not be tried here, in the summary of `.ci/run` too.
fn not_run(sentence: &str) {
    eprintln!("** {sentence}");
    if let Some(path) = std::env::var_os("CI_NOT_RUN") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        writeln!(file.unwrap(), "{sentence}").unwrap();
    }
}

#[track_caller]
fn is_content(output: &Output) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn each_shell_accepts_its_script() {
    let place = Place::new();
    for (shell, args) in [
        ("bash", vec!["-n"]),
        ("zsh", vec!["-n"]),
        ("fish", vec!["--no-execute"]),
        ("elvish", vec![]),
        ("powershell", vec![]),
    ] {
        let script = place.plumm(&["completions", shell]).succeeds().to_owned();
        assert!(script.lines().count() > 100 && script.contains("self-signed"), "{shell}");
        let told = place.json(&["completions", shell]);
        assert_eq!(told, json!({ "shell": shell, "script": script }));
        if !args.is_empty()
            && let Some(output) = ran(shell, &args, &script)
        {
            is_content(&output);
        }
    }
    // What is no shell is told which there are, and nothing is printed for one to read.
    let run = place.plumm(&["completions", "tcsh"]);
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
    assert!(run.err.contains("[possible values: bash, elvish, fish, powershell, zsh]"), "{run:?}");
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let place = Place::new();
    let script = place.plumm(&["completions", "bash"]).succeeds().to_owned();
    let asked = |words: &str| {
        let ask = format!(
            "\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); prev=$((COMP_CWORD - 1))\n\
             _plumm plumm \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[prev]}}\"\n\
             echo \"${{COMPREPLY[@]}}\"\ncomplete -p plumm\n"
        );
        let output = ran("bash", &["--norc"], &(script.clone() + &ask))?;
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words}");
        // It is for plumm, and where it knows nothing there are files.
        assert!(
            said.contains("complete -F _plumm -o nosort -o bashdefault -o default plumm")
                || said.contains("-F _plumm plumm"),
            "{said}"
        );
        Some(said.lines().next().unwrap_or_default().to_owned())
    };
    for (words, expected) in [
        ("plumm tok", "token"),
        ("plumm token cr", "create"),
        ("plumm --db other.db user pur", "purge"),
        ("plumm org create acme --identity", "--identity-changes"),
        ("plumm org create acme --identity-changes ''", "refuse allow"),
        ("plumm completions b", "bash"),
        ("plumm nothing", ""),
    ] {
        match asked(words) {
            Some(completed) => assert_eq!(completed, expected, "{words}"),
            None => return,
        }
    }
}

/// The pages as the program writes them, by the names of their files.
fn pages(place: &Place) -> BTreeMap<String, String> {
    place.plumm(&["man", "pages"]).succeeds();
    let dir = place.folder.path().join("pages");
    let files = fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name());
    let files = files.map(|it| it.into_string().unwrap());
    files.map(|it| (it.clone(), fs::read_to_string(dir.join(it)).unwrap())).collect()
}

#[test]
fn each_command_has_its_page_of_the_manual_with_all_its_flags() {
    let place = Place::new();
    let pages = pages(&place);
    let mut found = BTreeMap::new();
    commands(&place, &[], &mut found);
    let mut expected = BTreeSet::from(["plumm.1".to_owned()]);
    for (command, flags) in &found {
        let words: Vec<&str> = command.split(' ').collect();
        // Also that of `plumm user`, which only leads on.
        for i in 1..=words.len() {
            expected.insert(format!("plumm-{}.1", words[..i].join("-")));
        }
        let page = &pages[&format!("plumm-{}.1", words.join("-"))];
        for flag in flags {
            let written = flag.replace('-', "\\-");
            assert!(page.contains(&written), "{flag} is not in the page of `plumm {command}`");
        }
    }
    assert_eq!(pages.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let first = &pages["plumm.1"];
    for part in ["SUBCOMMANDS", "EXAMPLES", "ENVIRONMENT", "FILES", "\"EXIT STATUS\""] {
        assert!(first.contains(&format!("\n.SH {part}\n")), "{part}: {first}");
    }
    for setting in place.json(&["config"])["settings"].as_array().unwrap() {
        let variable = setting["variable"].as_str().unwrap();
        assert!(first.contains(&format!("\n\\fB{variable}\\fR\n")), "{variable}");
    }
    let told = place.json(&["man", "pages"]);
    assert_eq!(told["dir"], "pages");
    assert_eq!(told["pages"].as_array().unwrap().len(), pages.len());
    assert_eq!(told["pages"][0], json!({"command": "plumm", "file": "plumm.1"}));
}

#[test]
fn readers_of_the_manual_have_nothing_to_say_of_a_page() {
    let place = Place::new();
    let names: Vec<String> = pages(&place).into_keys().collect();
    let dir = place.folder.path().join("pages");
    let paths: Vec<String> =
        names.iter().map(|it| dir.join(it).to_str().unwrap().to_owned()).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    if let Some(output) = ran("mandoc", &[&["-T", "lint", "-W", "warning"], &*paths].concat(), "") {
        let said = String::from_utf8(output.stdout).unwrap();
        // A page without a day is meant.
        let said: Vec<_> = said.lines().filter(|it| !it.contains("missing date")).collect();
        assert!(said.is_empty(), "{said:?}");
    }
    let args = ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"];
    if let Some(output) = ran("man", &[&args, &*paths].concat(), "") {
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn pages_say_nothing_of_the_host_or_the_day() {
    let place = Place::new();
    let first = pages(&place);
    let mut command = place.command(&["man", "others"]);
    let surroundings = [("PLUMM_DB", "/secret/place.db"), ("PLUMM_LISTEN", "")];
    let said = command.envs(surroundings).env("TZ", "Asia/Tokyo").output().unwrap();
    assert!(said.status.success(), "{said:?}");
    for (name, text) in &first {
        let other = fs::read_to_string(place.folder.path().join("others").join(name)).unwrap();
        assert_eq!(*text, other, "{name}");
    }
}

#[test]
fn pages_go_into_a_folder_and_never_half() {
    let place = Place::new();
    // Folders are made; pages that are there are written anew, and what else is there stays.
    place.plumm(&["man", "share/man/man1"]).succeeds();
    let dir = place.folder.path().join("share/man/man1");
    fs::write(dir.join("plumm.1"), "old").unwrap();
    fs::write(dir.join("other.1"), "other").unwrap();
    let said = place.plumm(&["man", "share/man/man1"]).succeeds().to_owned();
    assert!(said.ends_with("Next:\n  man -l share/man/man1/plumm.1\n"), "{said}");
    assert!(fs::read_to_string(dir.join("plumm.1")).unwrap().contains(".TH PLUMM 1"));
    assert_eq!(fs::read_to_string(dir.join("other.1")).unwrap(), "other");
    let unfinished = fs::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name());
    assert!(unfinished.into_iter().all(|it| it.to_str().unwrap().ends_with(".1")));

    fs::write(place.folder.path().join("file"), "").unwrap();
    place.plumm(&["man", "file"]).fails("file is no folder: name one that the pages may go to");
    let run = place.plumm(&["man", "file/below"]);
    assert!(run.err.starts_with("error: the folder file/below cannot be made: "), "{run:?}");
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""));

    // A folder in the place of a page: nothing but that page is missing, and it is named.
    fs::remove_file(dir.join("plumm.1")).unwrap();
    fs::create_dir(dir.join("plumm.1")).unwrap();
    let run = place.plumm(&["man", "share/man/man1"]);
    let words = "error: share/man/man1/plumm.1 cannot be written: ";
    assert!(run.code == Some(1) && run.err.starts_with(words), "{run:?}");
    assert!(!dir.join(".plumm.1.new").exists());

    fs::create_dir(place.folder.path().join("closed")).unwrap();
    let closed = place.folder.path().join("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
    let run = place.plumm(&["man", "closed"]);
    // Root may write everywhere.
    assert!(run.code == Some(0) || run.err.contains("cannot be written"), "{run:?}");
}
