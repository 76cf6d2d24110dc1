//! Lines on standard error: of the log, of what goes wrong before there is one, and of a panic; as
//! text, or each as one JSON object.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;
use std::thread;

use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};
use serde_json::Value as Json;

use crate::cli::text::{printable, printable_json};
use crate::clock::Clock;
use crate::http::request_id::RequestId;
use crate::scim::print::write_members;

/// What the modules of plumm itself are called, as targets of lines.
const OWN_TARGET: &str = "plumm";

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Time, level, id of the request, message.
    #[default]
    Text,
    /// One JSON object with the same, each field that the line has as a key of its own.
    Json,
}

impl Format {
    /// The format of this name.
    ///
    /// # Errors
    /// Which there are.
    pub fn parse(text: &str) -> Result<Format, String> {
        match text.trim() {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("it must be text or json".to_owned()),
        }
    }
}

/// A record of the log as one line. A line break in the message does not make a second line, since
/// part of it may come from a client.
#[must_use]
pub fn line(record: &Record, format: Format) -> String {
    let message = record.args().to_string();
    match format {
        Format::Text => text_line(record, &message),
        Format::Json => {
            let mut fields = Fields::new(record.level(), record.target(), message);
            // A field that cannot be read is left out, and the line is written all the same.
            let _ = record.key_values().visit(&mut fields);
            fields.line()
        }
    }
}

/// What went wrong with a command, as a line of the log.
#[must_use]
pub fn error_line(message: String) -> String {
    Fields::new(Level::Error, module_path!(), message).line()
}

fn text_line(record: &Record, message: &str) -> String {
    let message = printable(message);
    let (time, level) = (Clock::System.now(), record.level());
    let id = RequestId::current().map(|it| format!("{} ", it.as_str())).unwrap_or_default();
    match record.target() {
        it if it.starts_with(OWN_TARGET) => format!("{time} {level:5} {id}{message}"),
        other => format!("{time} {level:5} {id}{other}: {message}"),
    }
}

/// The object of a line, in the order in which people read it.
struct Fields(Vec<(String, Json)>);

impl Fields {
    fn new(level: Level, target: &str, message: String) -> Fields {
        let request = RequestId::current();
        let fields = [
            ("time", Some(Clock::System.now().to_string().into())),
            ("level", Some(level.as_str().to_ascii_lowercase().into())),
            ("target", Some(target.into())),
            ("request", request.map(|id| id.as_str().into())),
            ("message", Some(message.into())),
        ];
        let given = fields.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
        Fields(given.collect())
    }

    fn line(self) -> String {
        let mut text = "{".to_owned();
        write_members(&mut text, self.0.iter().map(|(name, value)| (name.as_str(), value)));
        text.push('}');
        printable_json(&text)
    }
}

impl VisitSource<'_> for Fields {
    fn visit_pair(&mut self, key: Key, value: Value) -> Result<(), Error> {
        let json = match (value.to_bool(), value.to_u64(), value.to_i64(), value.to_f64()) {
            (Some(it), ..) => it.into(),
            (_, Some(it), ..) => it.into(),
            (_, _, Some(it), _) => it.into(),
            (.., Some(it)) => it.into(),
            _ => value.to_string().into(),
        };
        if self.0.iter().all(|(name, _)| name != key.as_str()) {
            self.0.push((key.as_str().to_owned(), json));
        }
        Ok(())
    }
}

/// Has a panic make a line of the log, with the id of the request in which it happened.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("without a message");
        let place = info.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        let thread = thread::current();
        let words = panic_words(thread.name(), place.as_deref(), message, backtrace.as_ref());
        log::error!("{words}");
    }));
}

fn panic_words(
    thread: Option<&str>,
    place: Option<&str>,
    message: &str,
    backtrace: Option<&Backtrace>,
) -> String {
    let (thread, place) = (thread.unwrap_or("without a name"), place.unwrap_or("unknown"));
    let words = format!("the thread {thread} panicked at {place}: {message}");
    match backtrace {
        Some(it) => format!("{words}\n{it}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(line: &str) -> Json {
        assert!(line.chars().all(|it| !it.is_control()), "{line:?}");
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn a_line_of_json_has_each_field_as_a_key() {
        let fields = [
            ("status", 404.to_value()),
            ("organisation", "a\u{1b}".to_value()),
            ("time", 1.into()),
        ];
        let words = format_args!("a\nb \u{202e}\"c\"");
        let mut record = Record::builder();
        record.level(Level::Warn).target("plumm::store").args(words).key_values(&fields);
        let id = RequestId::sent(["my-1"].into_iter()).unwrap();
        let _entered = id.enter();
        let shown = json(&line(&record.build(), Format::Json));
        assert_eq!(shown["level"], "warn");
        assert_eq!(shown["target"], "plumm::store");
        assert_eq!(shown["request"], "my-1");
        assert_eq!(shown["message"], "a\nb \u{202e}\"c\"");
        assert_eq!((&shown["status"], &shown["organisation"]), (&404.into(), &"a\u{1b}".into()));
        let time = shown["time"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.len() == 24, "{time}");
        let text = line(&record.build(), Format::Text);
        assert!(text.ends_with("Z WARN  my-1 a\\nb \\u{202e}\"c\""), "{text}");
    }

    #[test]
    fn a_panic_is_one_line() {
        let words = panic_words(Some("connection"), Some("src/a.rs:1:2"), "a\nb", None);
        assert_eq!(words, "the thread connection panicked at src/a.rs:1:2: a\nb");
        assert_eq!(json(&error_line(words.clone()))["message"], words);
        let backtrace = Backtrace::force_capture();
        let words = panic_words(None, None, "a", Some(&backtrace));
        assert!(words.starts_with("the thread without a name panicked at unknown: a\n"), "{words}");
        json(&error_line(words));
    }

    #[test]
    fn formats_have_names() {
        assert_eq!(Format::parse(" json "), Ok(Format::Json));
        assert_eq!(Format::parse("text"), Ok(Format::Text));
        assert!(Format::parse("JSON").is_err() && Format::parse("").is_err());
    }

    use log::kv::ToValue;
}
