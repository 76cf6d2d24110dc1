//! `plumm completions`: the script by which a shell completes the commands.

use std::io::{self, Write};

use clap_complete::{Shell, generate};
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::cli::text::printable_json;

/// Whose script it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, for oneself in bash, zsh and fish:\n  \
                        plumm completions bash > \
                        ~/.local/share/bash-completion/completions/plumm\n  \
                        plumm completions zsh > ~/.zfunc/_plumm\n  \
                        plumm completions fish > ~/.config/fish/completions/plumm.fish\n\n\
                        zsh looks into ~/.zfunc where ~/.zshrc says so: fpath+=(~/.zfunc), before \
                        compinit. A shell that was started before knows nothing of it.")]
pub struct Args {
    /// The shell that completes
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script that completes the commands of this grammar.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args, grammar: &mut clap::Command, session: &Session) -> Result<(), CliError> {
    let name = grammar.get_name().to_owned();
    let mut script = Vec::new();
    generate(args.shell, grammar, name, &mut script);
    if session.json() {
        let script = String::from_utf8_lossy(&script);
        let value = json!({ "shell": args.shell.to_string(), "script": script });
        script_printed(printable_json(&value.to_string()).as_bytes(), b"\n")
    } else {
        // As it is: what a shell reads is not escaped.
        script_printed(&script, b"")
    }
}

fn script_printed(text: &[u8], end: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text).and_then(|()| out.write_all(end));
    printed.and_then(|()| out.flush()).map_err(CliError::Output)
}
