//! The settings: one table of them, and where the value of each comes from.
//!
//! The table is the grammar of the commands itself: whatever argument names a variable is a
//! setting. A value comes from a flag, else from the environment, else from the file of settings,
//! else it is the default. clap reads the first two; what stands in the file is handed to it as if
//! it had been typed, so that it is judged by the same rules.

pub mod env_file;
pub mod names;

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use clap::ArgAction;
use clap::builder::{BoolishValueParser, TypedValueParser};

use crate::cli::operator;
use crate::cli::settings::env_file::{EnvFile, PREFIX};

/// The file of settings, unless [`ENV_FILE`] names another one.
pub const ENV_FILE_DEFAULT: &str = "/etc/plumm/plumm.env";
/// The variable that names the file of settings; set to nothing, none is read.
pub const ENV_FILE: &str = "PLUMM_ENV_FILE";
/// The variable that says how much is logged.
pub const LOG: &str = "PLUMM_LOG";
/// How much is logged where nothing says so.
pub const LOG_DEFAULT: &str = "info";
/// The variable that names the database.
pub const DB: &str = "PLUMM_DB";
/// The variable that says where a server listens.
pub const LISTEN: &str = "PLUMM_LISTEN";
/// The command whose arguments are the settings of a server.
pub const SERVE: &str = "serve";

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What clap calls its argument; nothing for a variable without a flag.
    pub id: Option<String>,
    /// Its flag, with the two hyphens.
    pub flag: Option<String>,
    /// Its variable.
    pub variable: String,
    /// Its value where nothing gives one.
    pub default: Option<String>,
    /// Whether it is on or off and takes no value as a flag.
    pub switch: bool,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of this command line.
    Flag,
    /// The environment.
    Environment,
    /// This line of the file of settings.
    File(usize),
    /// Nobody has given one.
    Default,
}

/// What the environment and the file of settings say.
#[derive(Debug)]
pub struct Surroundings {
    /// The variables of plumm that are set to something.
    environment: BTreeMap<String, OsString>,
    /// The file of settings.
    pub file: EnvFile,
}

/// A value of the file that is wrong, in words.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongValue(pub String);

impl fmt::Display for WrongValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Surroundings {
        let file = match env::var_os(ENV_FILE) {
            None => EnvFile::read(Path::new(ENV_FILE_DEFAULT), false),
            Some(it) if it.is_empty() => EnvFile::default(),
            Some(path) => EnvFile::read(Path::new(&path), true),
        };
        Surroundings::new(env::vars_os(), file)
    }

    /// These variables of the environment and this file.
    #[must_use]
    pub fn new(
        variables: impl Iterator<Item = (OsString, OsString)>,
        file: EnvFile,
    ) -> Surroundings {
        // A variable that is set to nothing, as deployment files often leave them, is no setting.
        let own = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let own = own.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
        Surroundings { environment: own.collect(), file }
    }

    /// The value of a variable, and where it comes from.
    #[must_use]
    pub fn value(&self, variable: &str) -> Option<(&OsStr, Origin)> {
        if let Some(value) = self.environment.get(variable) {
            return Some((value, Origin::Environment));
        }
        let found = self.file.entries.iter().rev().find(|it| it.name == variable)?;
        let given = (OsStr::new(&found.value), Origin::File(found.line));
        Some(given).filter(|(value, _)| !value.is_empty())
    }

    /// The names of plumm's variables that are there, with the line of those in the file.
    pub fn names(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        let in_file = self.file.entries.iter().filter(|it| it.name.starts_with(PREFIX));
        let in_file = in_file.map(|it| (it.name.as_str(), Some(it.line)));
        self.environment.keys().map(|it| (it.as_str(), None)).chain(in_file)
    }

    /// Where a value comes from, in words.
    #[must_use]
    pub fn origin_in_words(&self, origin: Origin) -> String {
        match origin {
            Origin::Flag => "flag".to_owned(),
            Origin::Environment => "environment".to_owned(),
            Origin::Default => "default".to_owned(),
            Origin::File(line) => format!("{}, line {line}", self.file_name()),
        }
    }

    /// The file of settings, as sentences name it.
    #[must_use]
    pub fn file_name(&self) -> String {
        let path = self.file.path.as_deref().unwrap_or(Path::new(ENV_FILE_DEFAULT));
        path.display().to_string()
    }

    /// Why a setting may have another value than the default, although nothing that could be read
    /// gives one.
    #[must_use]
    pub fn hidden(&self, variable: &str) -> Option<String> {
        if self.value(variable).is_some() {
            return None;
        }
        let file = self.file_name();
        if let Some(reason) = &self.file.unreadable {
            let run = operator::who_can_read(self.file.path.as_deref()?);
            return Some(format!(
                "{file} may set {variable}, and cannot be read ({reason}): {run}"
            ));
        }
        let about = |it: &&env_file::Fault| it.named.iter().any(|name| name == variable);
        let fault = self.file.faults.iter().find(about)?;
        let (line, words) = (fault.line, fault.words);
        Some(format!("{file}, line {line}, speaks of {variable} and says nothing: {words}"))
    }

    /// The lines of the file that say nothing, in words, each with its number.
    pub fn faults(&self) -> impl Iterator<Item = (String, usize)> {
        let file = self.file_name();
        self.file.faults.iter().map(move |it| {
            (format!("{file}, line {}, is passed over: {}", it.line, it.words), it.line)
        })
    }

    /// What an operator should know of the file and of the variables: lines that say nothing, names
    /// that nothing knows.
    #[must_use]
    pub fn warnings(&self, table: &[Setting]) -> Vec<String> {
        let unknown = names::unknown(self, table);
        let faults = self.faults().map(|(words, _)| words);
        faults.chain(unknown.iter().map(|it| it.in_words(self))).collect()
    }

    /// The settings of the file that count for this command and that neither a flag nor the
    /// environment gives, as arguments to be typed.
    ///
    /// # Errors
    /// A switch that is set to what is neither on nor off.
    fn arguments(
        &self,
        command: &clap::Command,
        typed: &[OsString],
    ) -> Result<Vec<OsString>, WrongValue> {
        let mut arguments = Vec::new();
        for setting in settings_of(command) {
            let Some(flag) = setting.flag.as_deref() else { continue };
            let Some((value, origin @ Origin::File(_))) = self.value(&setting.variable) else {
                continue;
            };
            if is_typed(typed, flag) {
                continue;
            }
            if !setting.switch {
                let mut argument = OsString::from(format!("{flag}="));
                argument.push(value);
                arguments.push(argument);
                continue;
            }
            let on = BoolishValueParser::new().parse_ref(command, None, value);
            match on {
                Ok(true) => arguments.push(flag.into()),
                Ok(false) => {}
                Err(_) => {
                    return Err(WrongValue(format!(
                        "invalid value '{}' for {} in {}: it must be 1 or 0",
                        value.display(),
                        setting.variable,
                        self.origin_in_words(origin)
                    )));
                }
            }
        }
        Ok(arguments)
    }

    /// The words that were typed, with what the file of settings adds to them.
    ///
    /// # Errors
    /// A value of the file that clap could not be told.
    pub fn completed(
        &self,
        grammar: &clap::Command,
        typed: &[OsString],
    ) -> Result<Vec<OsString>, WrongValue> {
        let Some((program, rest)) = typed.split_first() else { return Ok(typed.to_vec()) };
        let global = self.arguments(grammar, typed)?;
        let (command, own) = match command_of(grammar, rest) {
            Some((at, command)) => (at + 1, self.arguments(command, typed)?),
            None => (0, Vec::new()),
        };
        let mut all = vec![program.clone()];
        all.extend(global);
        all.extend_from_slice(&rest[..command]);
        all.extend(own);
        all.extend_from_slice(&rest[command..]);
        Ok(all)
    }

    /// Where the value comes from that an error of clap is about, for its sentence.
    #[must_use]
    pub fn origin_of_error(
        &self,
        grammar: &clap::Command,
        typed: &[OsString],
        argument: &str,
    ) -> Option<String> {
        let flag = argument.split([' ', '=']).next()?;
        let setting = table(grammar).into_iter().find(|it| it.flag.as_deref() == Some(flag))?;
        let (_, origin) = self.value(&setting.variable).filter(|_| !is_typed(typed, flag))?;
        let variable = &setting.variable;
        Some(match origin {
            Origin::File(line) => format!("{variable} in {}, line {line}", self.file_name()),
            _ => format!("{variable} in the environment"),
        })
    }
}

/// All settings, those of every command first.
#[must_use]
pub fn table(grammar: &clap::Command) -> Vec<Setting> {
    let serve = grammar.find_subcommand(SERVE);
    let mut all: Vec<Setting> = settings_of(grammar).collect();
    all.extend(serve.iter().flat_map(|it| settings_of(it)));
    // The log is set up, and the file is found, before there are commands.
    for (variable, default) in [(LOG, LOG_DEFAULT), (ENV_FILE, ENV_FILE_DEFAULT)] {
        all.push(Setting {
            id: None,
            flag: None,
            variable: variable.to_owned(),
            default: Some(default.to_owned()),
            switch: false,
        });
    }
    all
}

/// The arguments of a command that are settings.
fn settings_of(command: &clap::Command) -> impl Iterator<Item = Setting> {
    command.get_arguments().filter_map(|it| {
        let default = it.get_default_values().first();
        Some(Setting {
            id: Some(it.get_id().to_string()),
            flag: it.get_long().map(|it| format!("--{it}")),
            variable: it.get_env()?.to_str()?.to_owned(),
            default: default.map(|it| it.to_string_lossy().into_owned()),
            switch: matches!(it.get_action(), ArgAction::SetTrue),
        })
    })
}

/// Whether a flag is among the words of a command line.
#[must_use]
pub fn is_typed(words: &[OsString], flag: &str) -> bool {
    typed_values(words, flag).next().is_some()
}

/// The values that a command line gives a flag; nothing for one without.
pub fn typed_values<'a>(
    words: &'a [OsString],
    flag: &'a str,
) -> impl Iterator<Item = Option<&'a str>> {
    // What stands behind `--` is no flag.
    let end = words.iter().position(|it| it == "--").unwrap_or(words.len());
    words[..end].iter().enumerate().filter_map(move |(i, word)| {
        let rest = word.to_str()?.strip_prefix(flag)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(Some(value)),
            None if rest.is_empty() => Some(words.get(i + 1).and_then(|it| it.to_str())),
            None => None,
        }
    })
}

/// The first command among the words behind the program's name, and where it stands.
#[must_use]
pub fn command_of<'a>(
    grammar: &'a clap::Command,
    words: &[OsString],
) -> Option<(usize, &'a clap::Command)> {
    let mut i = 0;
    while let Some(word) = words.get(i).filter(|it| *it != "--") {
        let text = word.to_string_lossy();
        if !text.starts_with('-') {
            return grammar.find_subcommand(word).map(|it| (i, it));
        }
        // A flag before it may take the next word for its value.
        let named = |it: &&clap::Arg| it.get_long().is_some_and(|it| text == format!("--{it}"));
        let takes_value = grammar.get_arguments().find(named);
        i += 1 + usize::from(takes_value.is_some_and(|it| it.get_action().takes_values()));
    }
    None
}

#[cfg(test)]
mod tests;
