//! `plumm log`: changes and refusals as one story, the newest last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args as ClapArgs;
use clap::builder::RangedU64ValueParser;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::activity::Entry;
use crate::activity::story::{self, Filter, Only, Page, Place};
use crate::by_hand::login::USER;
use crate::cli::error::CliError;
use crate::cli::org;
use crate::cli::session::{Answer, Session};
use crate::cli::text::{printable, quoted};
use crate::scim::datetime::Timestamp;
use crate::store::Store;
use crate::store::query::story::{About, Wanted};
use crate::store::transaction::Read;

/// How many entries are shown unless something else is asked for, and at most.
const LIMIT_DEFAULT: &str = "100";
const LIMIT_MAX: u64 = 10_000;
/// How many of the last entries about a thing are shown with it.
pub const LAST_MAX: usize = 10;
/// How many entries one look at the file reads, so that none takes long.
const ENTRIES_AT_ONCE: usize = 500;
/// How often `--follow` looks whether something was written.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);

/// What of the record is asked for.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
        plumm log acme --user mara.novak@example.com\n  \
        plumm log acme --refused --since 2h\n  \
        plumm log --follow")]
pub struct Args {
    /// The organisation; all when none is given
    #[arg(value_parser = org::name)]
    org: Option<String>,
    /// Only what is about this user, by userName or id; deleted ones too
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only what is about this group, token or webhook, by its id, about this schema, by its URN,
    /// or about this resource type, by its name
    #[arg(long, value_name = "ID", value_parser = about, conflicts_with = "user")]
    about: Option<String>,
    /// Only requests that were refused
    #[arg(long)]
    refused: bool,
    /// Only what happened since: so long ago (90s, 30m, 2h, 7d), or a day or time in UTC
    /// (2026-01-31, 2026-01-31T08:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// How many entries to show, the newest
    #[arg(
        long,
        value_name = "N",
        default_value = LIMIT_DEFAULT,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=LIMIT_MAX)
    )]
    limit: usize,
    /// Go on and show what happens, until Ctrl-C
    #[arg(long)]
    follow: bool,
}

/// Since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// For so many seconds.
    Ago(i64),
    At(Timestamp),
}

fn about(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it says nothing".to_owned()),
        id => Ok(id.to_owned()),
    }
}

fn since(text: &str) -> Result<Since, String> {
    let unit = |it: char| match it {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    let length = text.char_indices().last().and_then(|(at, it)| {
        let number: i64 = text[..at].parse().ok().filter(|it| (0..=100_000).contains(it))?;
        let is_number = text[..at].bytes().all(|it| it.is_ascii_digit());
        Some(number * unit(it).filter(|_| is_number)?)
    });
    let day = || Timestamp::parse(&format!("{text}T00:00:00Z"));
    let at = || Timestamp::parse(text).or_else(day).map(Since::At);
    length.map(Since::Ago).or_else(at).ok_or_else(|| {
        "it must be how long ago, such as 90s, 30m, 2h or 7d, or a day or time in UTC, such as \
         2026-01-31 or 2026-01-31T08:00:00Z"
            .to_owned()
    })
}

/// Runs the command.
///
/// # Errors
/// Why it could not be done.
pub fn run(args: &Args, session: &Session) -> Result<(), CliError> {
    let store = session.open_to_read()?;
    let ended = Arc::new(AtomicBool::new(false));
    if args.follow {
        for signal in [SIGTERM, SIGINT] {
            flag::register(signal, Arc::clone(&ended))
                .map_err(|it| CliError::Failed(format!("signals cannot be received: {it}")))?;
        }
    }
    let (filter, mut place) = store
        .read(|read| Ok::<_, CliError>((filter(args, read, session)?, story::newest(read)?)))?;
    let (entries, is_more) = newest(&store, &filter, place, args.limit)?;
    if entries.is_empty() && !args.follow {
        refuse_unknown(args, &filter, session)?;
    }
    if !args.follow {
        return session.print(&answer(&entries, is_more, args, session));
    }
    for it in entries.iter().rev() {
        session.print(&line(it, args))?;
    }
    let mut seen = None;
    while !ended.load(Ordering::Relaxed) {
        let version = store.read(|read| read.data_version())?;
        if seen.replace(version) == Some(version) {
            thread::sleep(LOOK_INTERVAL);
            continue;
        }
        loop {
            let found = store.read(|read| story::after(read, &filter, place, ENTRIES_AT_ONCE))?;
            place = found.1;
            for it in &found.0 {
                session.print(&line(it, args))?;
            }
            if !found.2 || ended.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    Ok(())
}

fn filter(args: &Args, read: &Read, session: &Session) -> Result<Filter, CliError> {
    let orgs = match &args.org {
        Some(name) => vec![org::find(read, name, session)?],
        None => read.orgs()?,
    };
    let about = args.user.as_ref().map(|user| {
        let mut all = About::default();
        for org in &orgs {
            let of_org = read.person(org.key, USER, user)?;
            all.ids.extend(of_org.ids);
            all.user_names.extend(of_org.user_names);
        }
        Ok::<_, CliError>(all)
    });
    let about = match &args.about {
        Some(id) => Some(About::resource(id, None)),
        None => about.transpose()?,
    };
    let org = args.org.as_ref().and(orgs.first()).map(|it| it.key);
    Ok(Filter {
        wanted: Wanted { org, about, ..Wanted::default() },
        only: args.refused.then_some(Only::Refused),
        since: args.since.map(|it| match it {
            Since::Ago(seconds) => session.now().plus_seconds(-seconds),
            Since::At(at) => at,
        }),
    })
}

/// The newest entries up to a place, the newest first, and whether there are older ones.
fn newest(
    store: &Store,
    filter: &Filter,
    place: Place,
    limit: usize,
) -> Result<(Vec<Entry>, bool), CliError> {
    let mut entries = Vec::new();
    let mut before = Some(Place { change: place.change + 1, refusal: place.refusal + 1 });
    while let Some(it) = before.filter(|_| entries.len() < limit) {
        let most = ENTRIES_AT_ONCE.min(limit - entries.len());
        // A short view of the file for each page: printing may block.
        let page = store.read(|read| story::page(read, filter, it, most))?;
        let Page { entries: further, next } = page;
        entries.extend(further);
        before = next;
    }
    Ok((entries, before.is_some()))
}

/// A user of whom nothing is known at all was perhaps mistyped.
fn refuse_unknown(args: &Args, filter: &Filter, session: &Session) -> Result<(), CliError> {
    let (Some(user), Some(person)) = (&args.user, &filter.wanted.about) else { return Ok(()) };
    if !person.ids.is_empty() {
        return Ok(());
    }
    let (of, list) = match &args.org {
        Some(org) => {
            (format!(" in organisation {}", printable(org)), format!("user list {}", quoted(org)))
        }
        None => (String::new(), "user list ORG".to_owned()),
    };
    Err(CliError::Failed(format!(
        "there is no user {}{of}, and no request about one was refused: `{}` lists the users",
        printable(user),
        session.command(&list),
    )))
}

fn answer(entries: &[Entry], is_more: bool, args: &Args, session: &Session) -> Answer {
    if session.json() {
        let all: Vec<Value> = entries.iter().rev().map(Entry::to_json).collect();
        return Answer { json: json!({ "entries": all, "more": is_more }), text: String::new() };
    }
    let mut text = String::new();
    if is_more {
        text += &format!("({} newest; older ones with --limit or --since)\n", entries.len());
    }
    for it in entries.iter().rev() {
        text += &in_one_line(it, args);
        text.push('\n');
    }
    if entries.is_empty() {
        text += &match (&args.about, args.refused) {
            (Some(id), true) => format!("No request about {} was refused.", printable(id)),
            (Some(id), false) => format!("The record has nothing about {}.", printable(id)),
            (None, true) => "Nothing was refused.".to_owned(),
            (None, false) => "Nothing has happened.".to_owned(),
        };
    }
    Answer { json: Value::Null, text }
}

fn line(entry: &Entry, args: &Args) -> Answer {
    Answer { json: entry.to_json(), text: in_one_line(entry, args) }
}

fn in_one_line(entry: &Entry, args: &Args) -> String {
    let is_said = args.org.is_some() || entry.org.is_empty();
    let org = if is_said { String::new() } else { format!("{}: ", entry.org) };
    of_org(entry, &org)
}

fn of_org(entry: &Entry, org: &str) -> String {
    printable(&format!("{}  {org}{}", entry.happened.time(), entry.sentence()))
}

/// Entries of one organisation as the end of what is shown of a thing.
#[must_use]
pub fn under_a_head(entries: &[Entry]) -> String {
    let head = "\nWhat happened last, the newest first:\n".to_owned();
    if entries.is_empty() {
        return head + "  nothing that the record still has\n";
    }
    entries.iter().fold(head, |text, it| text + "  " + &of_org(it, "") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_length_a_day_or_a_time() {
        let at = |text: &str| Ok(Since::At(Timestamp::parse(text).unwrap()));
        for (text, expected) in [
            ("90s", Ok(Since::Ago(90))),
            ("30m", Ok(Since::Ago(1_800))),
            ("2h", Ok(Since::Ago(7_200))),
            ("7d", Ok(Since::Ago(604_800))),
            ("2026-01-31", at("2026-01-31T00:00:00Z")),
            ("2026-01-31T08:00:00Z", at("2026-01-31T08:00:00Z")),
            ("2026-01-31T08:00:00+02:00", at("2026-01-31T06:00:00Z")),
        ] {
            assert_eq!(since(text), expected, "{text}");
        }
        for bad in
            ["", "h", "2", "-2h", "+2h", "2w", "2026-02-30", "yesterday", "2 h", "9999999d", "ü"]
        {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
