//! `plumm config`: the settings in force, and where each of them comes from.

use std::ffi::OsString;

use clap::ArgMatches;
use serde_json::{Value, json};

use crate::cli::serve;
use crate::cli::session::Answer;
use crate::cli::settings::names::{self, Unknown};
use crate::cli::settings::{ENV_FILE, Origin, Setting, Surroundings, is_typed};
use crate::cli::text::{printable, table};

/// The settings of a server, as `plumm serve` takes them.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(
    mut_args(|it| it.hide(true)),
    after_help = "Example, for what a server would be started with, and a flag tried before:\n  \
                  plumm config\n  plumm config --listen 127.0.0.1:9000\n\n\
                  It takes all flags of `plumm serve`, and judges them as that does."
)]
pub struct Args {
    /// What is tried.
    #[command(flatten)]
    pub serve: serve::args::Args,
}

/// A setting in force.
struct InForce<'a> {
    setting: &'a Setting,
    value: Option<String>,
    origin: Origin,
}

/// The settings, of which `matches` are those with a flag.
#[must_use]
pub fn run(
    matches: &ArgMatches,
    typed: &[OsString],
    settings: &[Setting],
    surroundings: &Surroundings,
) -> Answer {
    let in_force: Vec<InForce> = settings
        .iter()
        .map(|setting| {
            let flag = setting.flag.as_deref();
            let given = surroundings.value(&setting.variable).map(|(_, origin)| origin);
            let origin = match flag.is_some_and(|it| is_typed(typed, it)) {
                true => Origin::Flag,
                // Set to nothing, it has one meaning: no file.
                false if of_no_file(setting, surroundings) => Origin::Environment,
                false => given.unwrap_or(Origin::Default),
            };
            InForce { setting, value: value(setting, matches, surroundings), origin }
        })
        .collect();
    let unknown = names::unknown(surroundings, settings);
    Answer {
        json: as_json(&in_force, &unknown, surroundings),
        text: as_text(&in_force, &surroundings.warnings(settings), surroundings),
    }
}

/// The value of a setting as text; nothing where there is none.
fn value(setting: &Setting, matches: &ArgMatches, surroundings: &Surroundings) -> Option<String> {
    if of_no_file(setting, surroundings) {
        return None;
    }
    let Some(id) = setting.id.as_deref() else {
        let given = surroundings.value(&setting.variable);
        let given = given.map(|(value, _)| value.to_string_lossy().into_owned());
        return given.or_else(|| setting.default.clone());
    };
    if setting.switch {
        return Some(if matches.get_flag(id) { "on" } else { "off" }.to_owned());
    }
    let values: Vec<String> =
        matches.get_raw(id)?.map(|it| it.to_string_lossy().into_owned()).collect();
    Some(values.join(","))
}

/// Whether a setting names the file of settings, and none is read.
fn of_no_file(setting: &Setting, surroundings: &Surroundings) -> bool {
    setting.variable == ENV_FILE && surroundings.file.path.is_none()
}

fn as_json(in_force: &[InForce], unknown: &[Unknown], surroundings: &Surroundings) -> Value {
    let settings: Vec<Value> = in_force
        .iter()
        .map(|it| {
            let (source, line) = match it.origin {
                Origin::Flag => ("flag", None),
                Origin::Environment => ("environment", None),
                Origin::File(line) => ("file", Some(line)),
                Origin::Default => ("default", None),
            };
            json!({
                "flag": it.setting.flag,
                "variable": it.setting.variable,
                "value": it.value,
                "source": source,
                "line": line,
            })
        })
        .collect();
    let file = &surroundings.file;
    let unknown: Vec<Value> = unknown
        .iter()
        .map(|it| json!({"variable": it.name, "line": it.line, "nearest": it.nearest}))
        .collect();
    let faults: Vec<Value> =
        file.faults.iter().map(|it| json!({"line": it.line, "fault": it.words})).collect();
    json!({
        "settings": settings,
        "file": {
            "path": file.path.as_ref().map(|it| it.to_string_lossy()),
            "unreadable": file.unreadable,
            "faults": faults,
        },
        "unknown": unknown,
    })
}

fn as_text(in_force: &[InForce], warnings: &[String], surroundings: &Surroundings) -> String {
    let dash = || "-".to_owned();
    let rows = in_force.iter().map(|it| {
        [
            it.setting.flag.clone().unwrap_or_else(dash),
            it.setting.variable.clone(),
            it.value.as_deref().map_or_else(|| "none".to_owned(), printable),
            surroundings.origin_in_words(it.origin),
        ]
    });
    let mut text = table(["FLAG", "VARIABLE", "VALUE", "FROM"], rows);
    for (i, warning) in warnings.iter().enumerate() {
        let lead = if i == 0 { "\n" } else { "" };
        text += &format!("{lead}{}\n", printable(warning));
    }
    let file = printable(&surroundings.file_name());
    match &surroundings.file {
        it if it.path.is_none() => text += "\nNo file of settings is read.\n",
        it if it.unreadable.is_some() => {
            let reason = it.unreadable.as_deref().unwrap_or_default();
            text +=
                &format!("\n{file} cannot be read ({reason}): what it sets is not told here.\n");
        }
        _ => {}
    }
    text
}
