//! `plumm man`: a manual page for each command, made from the grammar.

use std::fs;
use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use serde_json::json;

use crate::cli::error::{CliError, EXIT_CODES};
use crate::cli::session::Answer;
use crate::cli::settings::{self, ENV_FILE_DEFAULT, Setting};
use crate::cli::text::{printable, quoted};

/// The section of the manual: what users type.
const SECTION: &str = "1";

/// Where the pages go.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, to read a page at once, and for all users of the host:\n  \
                        plumm man pages && man -l pages/plumm-serve.1\n  \
                        plumm man /usr/local/share/man/man1")]
pub struct Args {
    /// The folder; it is made when it is not there, and pages that are in it are written anew
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// A page of the manual.
struct Page {
    /// What it is about, as it is typed.
    command: String,
    /// The name of its file.
    file: String,
    text: Vec<u8>,
}

/// Writes a page for each command of this grammar.
///
/// # Errors
/// What could not be written.
pub fn run(args: &Args, grammar: clap::Command) -> Result<Answer, CliError> {
    let pages = pages(grammar).map_err(|it| CliError::Failed(format!("no page: {it}")))?;
    let dir = &args.dir;
    if dir.exists() && !dir.is_dir() {
        let message = format!("{} is no folder: name one that the pages may go to", dir.display());
        return Err(CliError::Failed(message));
    }
    fs::create_dir_all(dir).map_err(|error| {
        CliError::Failed(format!("the folder {} cannot be made: {error}", dir.display()))
    })?;
    for page in &pages {
        write_whole(dir, page).map_err(|error| {
            let path = dir.join(&page.file);
            CliError::Failed(format!("{} cannot be written: {error}", path.display()))
        })?;
    }
    let shown = dir.to_string_lossy();
    let first = dir.join(pages.first().map_or("", |it| &it.file));
    let text = format!(
        "{} pages are in {}.\n\nNext:\n  man -l {}\n",
        pages.len(),
        printable(&shown),
        quoted(&first.to_string_lossy()),
    );
    let list: Vec<_> =
        pages.iter().map(|it| json!({ "command": it.command, "file": it.file })).collect();
    Ok(Answer { json: json!({ "dir": shown, "pages": list }), text })
}

/// The pages of all commands, that of the program first.
fn pages(mut grammar: clap::Command) -> io::Result<Vec<Page>> {
    // Before it is built: settings are looked for where they were written down.
    let settings = settings::table(&grammar);
    grammar.build();
    let mut pages = Vec::new();
    add_pages(&grammar, &[], &settings, &mut pages)?;
    Ok(pages)
}

fn add_pages(
    command: &clap::Command,
    above: &[&str],
    settings: &[Setting],
    pages: &mut Vec<Page>,
) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    pages.push(Page {
        command: command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned(),
        file: format!("{name}.{SECTION}"),
        text: page(command, above, settings)?,
    });
    let below = [above, &[name]].concat();
    for it in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        add_pages(it, &below, settings, pages)?;
    }
    Ok(())
}

/// The page of a command that stands below these ones. No day stands in it, so that the same
/// program always writes the same page.
fn page(command: &clap::Command, above: &[&str], settings: &[Setting]) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // The name stands before it already.
    let about = about.strip_prefix("plumm, ").unwrap_or(&about).to_owned();
    let man = Man::new(command.clone().about(about));
    let mut heading = Roff::default();
    let (title, version) = (name.to_uppercase(), env!("CARGO_PKG_VERSION"));
    // The pair of quotes is the day.
    heading.control("TH", [title.as_str(), SECTION, "\"\"", &format!("plumm {version}"), "plumm"]);
    let mut parts = vec![in_full(|it| heading.to_writer(it))?];
    parts.push(in_full(|it| man.render_name_section(it))?);
    parts.push(in_full(|it| man.render_synopsis_section(it))?);
    parts.push(in_full(|it| man.render_description_section(it))?);
    if command.get_arguments().any(|it| !it.is_hide_set()) {
        parts.push(in_full(|it| man.render_options_section(it))?);
    }
    if command.has_subcommands() {
        parts.push(in_full(|it| man.render_subcommands_section(it))?);
    }
    let mut rest = Roff::default();
    if let Some(help) = command.get_after_help() {
        rest.control("SH", ["EXAMPLES"]);
        add_examples(&mut rest, &help.to_string());
    }
    if above.is_empty() {
        add_settings(&mut rest, settings);
    }
    add_exit_codes(&mut rest);
    if !above.is_empty() {
        rest.control("SH", ["SEE ALSO"]);
        let commas = iter::once("").chain(iter::repeat(", "));
        let names = commas
            .zip(above)
            .flat_map(|(comma, it)| [roman(comma), bold(*it), roman(format!("({SECTION})"))]);
        rest.text(names.collect::<Vec<Inline>>());
    }
    parts.push(in_full(|it| rest.to_writer(it))?);
    joined(&parts)
}

/// What is written, as text.
fn in_full(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> io::Result<String> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// The parts of a page as one. Each of them begins with the same definitions, which are wanted
/// once; and readers of manuals complain of blanks at the end of a line, and of a line that is
/// broken before and behind an empty one.
fn joined(parts: &[String]) -> io::Result<Vec<u8>> {
    let definitions = in_full(|it| Roff::default().to_writer(it))?;
    let mut page = definitions.clone();
    for part in parts {
        for line in part.strip_prefix(definitions.as_str()).unwrap_or(part).lines() {
            page.extend([line.trim_end(), "\n"]);
        }
    }
    Ok(page.replace("\n.br\n\n.br\n", "\n.sp\n").into_bytes())
}

/// What stands behind the help of a command: sentences, and indented lines as they are.
fn add_examples(roff: &mut Roff, help: &str) {
    let mut as_is = false;
    // The heading says so already.
    for line in help.strip_prefix("Example:\n").unwrap_or(help).lines() {
        let indented = line.starts_with("  ");
        if indented != as_is {
            roff.control(if indented { "EX" } else { "EE" }, []);
            as_is = indented;
        }
        match line.trim() {
            "" => roff.control("PP", []),
            _ => roff.text([roman(line)]),
        };
    }
    if as_is {
        roff.control("EE", []);
    }
}

/// The variables of the environment, and the file that holds them.
fn add_settings(roff: &mut Roff, settings: &[Setting]) {
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([
        roman("A flag wins over a variable, and that over a line of the file of settings. "),
        bold("plumm config"),
        roman(" tells which value is in force and where it comes from."),
    ]);
    for it in settings {
        roff.control("TP", []);
        roff.text([bold(it.variable.as_str())]);
        let mut words = Vec::new();
        if let Some(flag) = &it.flag {
            words.extend([roman("The same as "), bold(flag.as_str()), roman(". ")]);
        }
        match (&it.default, it.switch) {
            (Some(value), _) => words.extend([roman("Default: "), italic(value.as_str())]),
            (None, true) => words.push(roman("On with 1, true or yes")),
            (None, false) => words.push(roman("No default")),
        }
        words.push(roman("."));
        roff.text(words);
    }
    roff.control("SH", ["FILES"]);
    roff.control("TP", []);
    roff.text([italic(ENV_FILE_DEFAULT)]);
    roff.text([roman(
        "The file of settings: variables as above, one NAME=VALUE a line. Commands, the server and \
         systemd read it.",
    )]);
}

fn add_exit_codes(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        roff.control("TP", []);
        roff.text([bold(code.to_string())]);
        roff.text([roman(*meaning)]);
    }
}

/// Writes a page beside its place first, so that no reader meets a half one.
fn write_whole(dir: &Path, page: &Page) -> io::Result<()> {
    let new = dir.join(format!(".{}.new", page.file));
    let written = fs::write(&new, &page.text).and_then(|()| fs::rename(&new, dir.join(&page.file)));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
