//! `plumm user import`: people of a file become accounts, before the identity provider knows of
//! plumm.
//!
//! The file is read twice. First every row is judged, and nothing is written; when a row is bad,
//! that is the end, unless bad rows are to be left out. Then the accounts are created, a few at a
//! time, so that a running server gets its turn in between. Whoever is there already is passed
//! over, so a command that was interrupted is run again and goes on.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::by_hand::login::USER;
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::people::judge::{BadRow, Creation, Judge, Verdict};
use crate::cli::people::progress::Progress;
use crate::cli::people::report::{BAD_ROWS_MAX, Report};
use crate::cli::people::source::{Format, Row, Rows, Source};
use crate::cli::session::Session;
use crate::cli::text::{grouped, quoted};
use crate::definitions::DefinitionsCache;
use crate::scim::schema::definitions::Definitions;
use crate::scim::schema::resource_type::ResourceType;
use crate::store::Store;
use crate::store::paths::folder_of;
use crate::store::scratch::Scratch;
use crate::store::tables::change::Outcome;
use crate::store::transaction::Write;

/// How many rows are judged by one view of the database, and created before the next ones are read.
const CHUNK_ROWS: usize = 256;
/// How long one transaction takes, before its commit: others wait as long.
const HOLD_MAX: Duration = Duration::from_millis(8);
/// What is left free between two transactions: who waits tries every millisecond
/// (`store/connection.rs`).
const PAUSE: Duration = Duration::from_millis(5);

/// What `--help` says behind the options.
pub const HELP: &str = "Example:\n  plumm user import acme people.csv --dry-run\n\n\
    The first line of a table names its columns: userName, email, givenName, familyName,\n\
    displayName, externalId, active, department, or any path of SCIM.";

/// Which people to import.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The organisation
    #[arg(value_parser = org::name)]
    org: String,
    /// The file; - reads standard input
    file: PathBuf,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave bad rows out; without this, one bad row keeps all from being imported
    #[arg(long)]
    skip_bad: bool,
    /// What the file is, where its beginning does not say
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// Imports people, and prints what came of it.
///
/// # Errors
/// Why nothing was imported, or not all of it.
pub fn run(args: &Args, session: &Session) -> Result<(), CliError> {
    let store = if args.dry_run { session.open_to_read()? } else { session.open()? };
    let (org, definitions) = store.read(|read| {
        let org = org::find(read, &args.org, session)?;
        let definitions = DefinitionsCache::default().of(read, &org)?;
        Ok::<_, CliError>((org, definitions))
    })?;
    let resource_type = users(&definitions)?;
    let source = Source::open(&args.file, args.format, folder_of(session.db()))?;
    let judge = Judge::new(&org, resource_type, session.actor());
    let mut import = Import {
        source: &source,
        resource_type,
        judge,
        store: &store,
        session,
        report: Report {
            org: org.name.clone(),
            file: source.name.clone(),
            format: source.format.word(),
            dry_run: args.dry_run,
            ..Report::default()
        },
    };
    import.check()?;
    let bad = import.report.bad.len();
    let refused = bad > 0 && (!args.skip_bad || import.report.cut);
    if !refused && !args.dry_run {
        import.create()?;
        let _ = store.checkpoint();
    }
    let report = import.report;
    session.print(&report.answer(!refused))?;
    if !refused && report.bad.len() > bad {
        return Err(CliError::Failed(
            "rows that were good when the file was checked are bad now, because others have \
             changed accounts meanwhile; they were left out"
                .to_owned(),
        ));
    }
    if !refused {
        return Ok(());
    }
    let number = grouped(report.bad.len() as u64);
    let was = if args.dry_run { "would be" } else { "was" };
    Err(CliError::Failed(if report.cut {
        format!("more than {number} rows are bad, so nothing {was} imported")
    } else {
        let again =
            format!("user import {} {}", quoted(&args.org), quoted(&args.file.to_string_lossy()));
        format!(
            "of {} rows {number} are bad, so nothing {was} imported: mend them, or leave them out \
             with `{} --skip-bad`",
            grouped(report.rows),
            session.command(&again)
        )
    }))
}

/// The resource type of accounts.
///
/// # Errors
/// None: every organisation has it.
pub fn users(definitions: &Definitions) -> Result<&ResourceType, CliError> {
    let found = definitions.resource_type(USER);
    found.ok_or_else(|| CliError::Failed("there is no resource type User".to_owned()))
}

struct Import<'a> {
    source: &'a Source,
    resource_type: &'a ResourceType,
    judge: Judge<'a>,
    store: &'a Store,
    session: &'a Session,
    report: Report,
}

impl Import<'_> {
    /// Judges every row, and writes nothing.
    fn check(&mut self) -> Result<(), CliError> {
        let seen = Scratch::new()?;
        let mut progress = Progress::new("Checked rows:");
        let mut rows = self.source.rows(self.resource_type)?;
        self.report.separator = rows.separator();
        self.report.passed_over = rows.passed_over();
        loop {
            let chunk = chunk(&mut rows, |_| true)?;
            if chunk.is_empty() {
                return Ok(());
            }
            let now = self.session.now();
            let verdicts = self.store.read(|read| {
                let judge = |row| self.judge.judge(read, &rows, row, Some(&seen), now);
                chunk.into_iter().map(judge).collect::<Result<Vec<_>, _>>()
            })?;
            for verdict in verdicts {
                let report = &mut self.report;
                report.rows += 1;
                match verdict {
                    Verdict::New(_) => report.created += 1,
                    Verdict::Exists { differs } => {
                        report.exists += 1;
                        report.differing += u64::from(differs);
                    }
                    Verdict::Bad(_) if report.bad.len() == BAD_ROWS_MAX => {
                        report.cut = true;
                        return Ok(());
                    }
                    Verdict::Bad(it) => report.bad.push(it),
                }
            }
            progress.show(self.report.rows, Some(self.source.percent()));
        }
    }

    /// Creates the accounts that are not there.
    fn create(&mut self) -> Result<(), CliError> {
        let expected = self.report.created.max(1);
        let mut progress = Progress::new("Created people:");
        let mut rows = self.source.rows(self.resource_type)?;
        let bad: Vec<u64> = self.report.bad.iter().map(|it| it.number).collect();
        (self.report.created, self.report.exists, self.report.differing) = (0, 0, 0);
        loop {
            // Numbers rise, and so do those of the bad rows.
            let chunk = chunk(&mut rows, |row| bad.binary_search(&row.number).is_err())?;
            if chunk.is_empty() {
                return Ok(());
            }
            let created = self.create_chunk(&rows, chunk);
            created.map_err(|error| match self.report.created {
                0 => error,
                created => CliError::Failed(format!(
                    "{}. {} people were created before: run the command again, and it goes on \
                     from there",
                    error.to_string().trim_start_matches("error: ").trim_end_matches('.'),
                    grouped(created)
                )),
            })?;
            let done = self.report.created;
            progress.show(done, Some(done * 100 / expected));
        }
    }

    fn create_chunk(&mut self, rows: &Rows, chunk: Vec<Row>) -> Result<(), CliError> {
        let now = self.session.now();
        let verdicts = self.store.read(|read| {
            let judge = |row| self.judge.judge(read, rows, row, None, now);
            chunk.into_iter().map(judge).collect::<Result<Vec<_>, _>>()
        })?;
        let mut creations = Vec::new();
        for verdict in verdicts {
            match verdict {
                Verdict::New(it) => creations.push(self.judge.creation(*it, now)),
                Verdict::Exists { differs } => {
                    self.report.exists += 1;
                    self.report.differing += u64::from(differs);
                }
                // What others have changed since it was judged first.
                Verdict::Bad(it) => self.report.bad.push(it),
            }
        }
        let mut left = creations.as_slice();
        while !left.is_empty() {
            let (judge, some) = (&self.judge, left);
            let made = self.store.write(now, |write| make_some(judge, write, rows, some))?;
            for result in &made {
                match result {
                    Made::Created => self.report.created += 1,
                    Made::Exists => {
                        self.report.exists += 1;
                        self.report.differing += 1;
                    }
                    Made::Bad(it) => self.report.bad.push(it.clone()),
                }
            }
            left = &left[made.len()..];
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// What became of an account in its transaction.
enum Made {
    Created,
    /// Somebody else has created it since it was judged.
    Exists,
    Bad(BadRow),
}

/// Creates as many of these accounts as one transaction has time for.
fn make_some(
    judge: &Judge,
    write: &Write,
    rows: &Rows,
    creations: &[Creation],
) -> Result<Vec<Made>, CliError> {
    let began = Instant::now();
    let mut made = Vec::new();
    for creation in creations {
        if !made.is_empty() && began.elapsed() > HOLD_MAX {
            break;
        }
        if let Some(bad) = judge.taken_since(write, rows, creation)? {
            made.push(Made::Bad(bad));
            continue;
        }
        made.push(match creation.change.make(write)? {
            Outcome::Made(_) => Made::Created,
            Outcome::Conflict => Made::Exists,
            Outcome::Outdated => {
                return Err(CliError::Failed(
                    "the schemas of the organisation were changed meanwhile".to_owned(),
                ));
            }
        });
    }
    Ok(made)
}

/// The next rows of the file, but for those that are left out.
fn chunk(rows: &mut Rows, keep: impl Fn(&Row) -> bool) -> Result<Vec<Row>, CliError> {
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK_ROWS
        && let Some(row) = rows.next_row()?
    {
        if keep(&row) {
            chunk.push(row);
        }
    }
    Ok(chunk)
}
