//! `plumm user export`: all accounts of an organisation, as they are at one moment.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use serde_json::{Map, Value, json};

use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::people::columns::{Column, DELETED, row, unregistered};
use crate::cli::people::csv::write;
use crate::cli::people::import::users;
use crate::cli::people::paced::paced;
use crate::cli::people::progress::Progress;
use crate::cli::people::source::Format;
use crate::cli::session::Session;
use crate::cli::text::{printable_json, printable_lines, quoted};
use crate::definitions::DefinitionsCache;
use crate::scim::meta::version_tag;
use crate::scim::print::to_text;
use crate::scim::returned::all_shown;
use crate::scim::schema::resource_type::ResourceType;
use crate::store::paths::folder_of;
use crate::store::tables::resource::{State, Stored};

/// How much is put together before it is written, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// The columns that only the server says.
const META: [&str; 3] = ["id", "meta.created", "meta.lastModified"];

/// What `--help` says behind the options.
pub const HELP: &str = "Example:\n  plumm user export acme > people.csv\n\n\
    `plumm user import` reads what this writes. In a table, a value that a spreadsheet would run\n\
    as a formula has an apostrophe before it.";

/// Which accounts to write, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// A table or JSON; a table unless --json is given
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Those that are deleted and not yet purged, and when that was
    #[arg(long)]
    deleted: bool,
    /// What only plumm says of each, too: id, when it was created, when it was last changed
    #[arg(long)]
    meta: bool,
}

/// Writes all accounts to standard output.
///
/// # Errors
/// Why they cannot be read or written.
pub fn run(args: &Args, session: &Session) -> Result<(), CliError> {
    let format = match (args.format, session.json()) {
        (Some(Format::Csv), true) => {
            return Err(CliError::Misused {
                message: "--json prints JSON, and --format csv is a table".to_owned(),
                instead: session
                    .command(&format!("user export {} --format csv", quoted(&args.org))),
            });
        }
        (Some(it), _) => it,
        (None, true) => Format::Json,
        (None, false) => Format::Csv,
    };
    let store = session.open_to_read()?;
    let state = if args.deleted { State::Deleted } else { State::Present };
    let out = io::stdout();
    let is_terminal = out.is_terminal();
    let folder = folder_of(session.db());
    let mut progress = (!is_terminal).then(|| Progress::new("Exported people:"));
    paced(out, folder, |paced| {
        store.read(|read| {
            let org = org::find(read, &args.org, session)?;
            let definitions = DefinitionsCache::default().of(read, &org)?;
            let resource_type = users(&definitions)?;
            let mut text = Text::new(args, format, resource_type);
            let put = |text: &mut String| {
                let piece = std::mem::take(text);
                let piece = match is_terminal && format == Format::Csv {
                    true => printable_lines(&piece.replace("\r\n", "\n")),
                    false => piece,
                };
                paced.put(piece.into_bytes())
            };
            let mut done = 0;
            read.try_each(org.key, &resource_type.name, state, |stored| {
                text.add(&stored)?;
                done += 1;
                if text.text.len() >= PIECE_BYTES {
                    put(&mut text.text)?;
                    if let Some(it) = &mut progress {
                        it.show(done, None);
                    }
                }
                Ok::<_, CliError>(())
            })?;
            text.end();
            put(&mut text.text)
        })
    })
}

/// The text that is put together.
struct Text<'a> {
    args: &'a Args,
    format: Format,
    resource_type: &'a ResourceType,
    columns: Vec<Column>,
    text: String,
    any: bool,
}

impl<'a> Text<'a> {
    fn new(args: &'a Args, format: Format, resource_type: &'a ResourceType) -> Text<'a> {
        let columns = Column::all(resource_type);
        let mut text = String::new();
        if format == Format::Csv {
            let heads = columns.iter().map(|it| it.header.as_str());
            let meta = META.into_iter().filter(|_| args.meta);
            write(&mut text, heads.chain(meta).chain(args.deleted.then_some(DELETED)));
        }
        Text { args, format, resource_type, columns, text, any: false }
    }

    fn add(&mut self, stored: &Stored) -> Result<(), CliError> {
        let document = all_shown(stored.parse()?, self.resource_type);
        match self.format {
            Format::Csv => self.add_row(stored, &document),
            Format::Json => self.add_json(stored, document),
        }
        Ok(())
    }

    fn add_row(&mut self, stored: &Stored, document: &Map<String, Value>) {
        let rest = unregistered(document, self.resource_type);
        let mut cells = row(&self.columns, document, &rest);
        if self.args.meta {
            cells.push(stored.id.clone());
            cells.extend([stored.created, stored.last_modified].map(|it| it.to_string()));
        }
        if self.args.deleted {
            cells.push(stored.deleted.map(|it| it.to_string()).unwrap_or_default());
        }
        write(&mut self.text, cells.iter().map(String::as_str));
    }

    /// One account a line.
    fn add_json(&mut self, stored: &Stored, mut document: Map<String, Value>) {
        if self.args.meta {
            let meta = json!({
                "resourceType": self.resource_type.name,
                "created": stored.created.to_string(),
                "lastModified": stored.last_modified.to_string(),
                "version": version_tag(stored.version),
            });
            document.insert("meta".to_owned(), meta);
        } else {
            document.remove("id");
        }
        if self.args.deleted {
            let deleted = stored.deleted.map(|it| it.to_string());
            document.insert(DELETED.to_owned(), deleted.into());
        }
        let comma = if self.any { ",\n" } else { "[\n" };
        let text = printable_json(&to_text(&document));
        let _ = write!(self.text, "{comma}{text}");
        self.any = true;
    }

    fn end(&mut self) {
        if self.format == Format::Json {
            self.text += if self.any { "\n]\n" } else { "[]\n" };
        }
    }
}
