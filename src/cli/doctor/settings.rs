//! Check of the settings: does plumm know the variables that were given, and can it read the file.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use crate::cli::doctor::facts::Facts;
use crate::cli::doctor::finding::Finding;
use crate::cli::doctor::words::count;
use crate::cli::operator;
use crate::cli::settings::Surroundings;
use crate::cli::settings::env_file::EnvFile;
use crate::cli::settings::names::{Unknown, unknown};
use crate::cli::text::quoted;

/// Whether plumm knows each of the settings that were given, here, in the file of settings and to
/// the server.
pub fn settings(facts: &Facts) -> Finding {
    let here = facts.surroundings;
    // What its file of settings says is in there too, when systemd has read it.
    let variables = facts.note.as_ref().map(|it| variables_of(it.pid)).unwrap_or_default();
    let of_server = Surroundings::new(variables.into_iter(), EnvFile::default());
    let strange = unknown(here, &facts.table);
    let in_file = |name: &str| strange.iter().any(|it| it.name == name && it.line.is_some());
    let mut found: Vec<Finding> = Vec::new();
    for it in &strange {
        let restart = it.line.and(facts.note.as_ref()).map(|_| facts.remedy.restart());
        let commands = [mend(facts, it)].into_iter().chain(restart.into_iter().flatten());
        found.push(Finding::to_do(it.in_words(here), commands));
    }
    for it in unknown(&of_server, &facts.table).iter().filter(|it| !in_file(&it.name)) {
        let text = format!("{} (of the server)", it.in_words(&of_server));
        let unset = [facts.remedy.unset(&it.name, true)];
        found.push(Finding::to_do(text, unset.into_iter().chain(facts.remedy.restart())));
    }
    for (fault, line) in here.faults() {
        found.push(Finding::to_do(fault, [edit(facts, line)]));
    }
    if let Some(error) = &facts.bad_setting {
        found.push(Finding::to_do(error.clone(), [facts.remedy.plumm("config")]));
    }
    if let (Some(reason), Some(path)) = (&here.file.unreadable, &here.file.path) {
        let run = operator::who_can_read(path);
        let file = here.file_name();
        found.push(Finding::unknown(format!("{file} cannot be read ({reason}): {run}")));
    }
    let count = count(here.names().count().max(of_server.names().count()), "variable");
    Finding::all(found, Finding::well(format!("{count} set, all known")))
}

/// Takes the variable that was meant, where that is plain; takes the unknown one away otherwise.
fn mend(facts: &Facts, it: &Unknown) -> String {
    match (it.line, &it.nearest) {
        (None, _) => facts.remedy.unset(&it.name, false),
        (Some(line), Some(meant)) => {
            let script = quoted(&format!("{line}s/{}/{meant}/", it.name));
            as_owner(facts, &format!("sed -i {script} {}", file(facts)))
        }
        // Its value may take several lines.
        (Some(line), None) => edit(facts, line),
    }
}

/// Opens the file of settings at a line.
fn edit(facts: &Facts, line: usize) -> String {
    as_owner(facts, &format!("vi +{line} {}", file(facts)))
}

fn file(facts: &Facts) -> String {
    quoted(&facts.surroundings.file_name())
}

/// A command that changes the file of settings.
fn as_owner(facts: &Facts, command: &str) -> String {
    let path = facts.surroundings.file.path.as_ref();
    let owner = path.and_then(|it| fs::metadata(it).ok()).map(|it| it.uid());
    if owner == facts.me { command.to_owned() } else { facts.remedy.as_root(command) }
}

/// The variables that a process was started with, where they may be read.
fn variables_of(process: u32) -> Vec<(OsString, OsString)> {
    let text = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let variables = text.split(|it| *it == 0).filter_map(|it| {
        let at = it.iter().position(|it| *it == b'=')?;
        let (name, value) = (it[..at].to_vec(), it[at + 1..].to_vec());
        Some((OsString::from_vec(name), OsString::from_vec(value)))
    });
    variables.collect()
}
