//! The steps of a check, one after the other: what was sent, what was seen, what to do.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::idp::client::NoAnswer;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As an identity provider wants it.
    Passed,
    /// Otherwise.
    Failed,
    /// It was not made.
    Skipped,
}

impl State {
    /// The word of the state in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Passed => "ok",
            State::Failed => "failed",
            State::Skipped => "skipped",
        }
    }
}

/// A step that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1.
    pub number: usize,
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub state: State,
    /// What was sent, each with the status that came back.
    pub sent: Vec<String>,
    /// What was seen.
    pub seen: String,
    /// What to do.
    pub advice: Option<String>,
    /// What is not as it should be and keeps nobody from going on.
    pub warnings: Vec<String>,
}

/// Why a step did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was seen.
    pub seen: String,
    /// What to do.
    pub advice: Option<String>,
    /// What becomes of the check.
    pub end: End,
}

/// What a fault means for the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The step has failed.
    Failed,
    /// It has failed, and no further step makes sense.
    Broken,
    /// The server does not have what the step is about, and need not.
    NotThere,
}

impl Fault {
    /// What was seen, and what to do.
    pub fn new(seen: impl Into<String>, advice: impl Into<String>) -> Fault {
        Fault { seen: seen.into(), advice: Some(advice.into()), end: End::Failed }
    }

    /// The step is about what the server need not have.
    pub fn not_there(seen: impl Into<String>) -> Fault {
        Fault { seen: seen.into(), advice: None, end: End::NotThere }
    }

    /// The check was interrupted.
    #[must_use]
    pub fn interrupted() -> Fault {
        Fault { seen: "the check was interrupted".to_owned(), advice: None, end: End::Broken }
    }
}

impl From<NoAnswer> for Fault {
    fn from(reason: NoAnswer) -> Fault {
        let advice = match &reason {
            NoAnswer::TimedOut(_) => {
                "look at what the server does meanwhile, and at a proxy or firewall in between; an \
                 identity provider gives up after 60 seconds"
            }
            NoAnswer::Refused => "start the server, or whatever listens in front of it",
            NoAnswer::Closed => {
                "look at the server's log: it may have crashed, or a proxy in front"
            }
            NoAnswer::TooLong => "let the server keep to `count`, which says how much is asked for",
            NoAnswer::NotHttp(_) => "check the port: another program than an HTTP server answers",
            NoAnswer::Other(_) => "look at the server's log",
        };
        Fault { seen: reason.to_string(), advice: Some(advice.to_owned()), end: End::Broken }
    }
}

/// What a step notes while it runs.
#[derive(Debug, Default)]
pub struct Notes {
    /// What was sent, each with the status that came back.
    pub sent: Vec<String>,
    /// What is not as it should be and keeps nobody from going on.
    pub warnings: Vec<String>,
}

impl Notes {
    /// Notes something that is not as it should be.
    pub fn warn(&mut self, words: impl Into<String>) {
        self.warnings.push(words.into());
    }
}

/// The steps so far, and who is told of each.
pub struct Course<'a> {
    steps: Vec<Step>,
    broken: Option<usize>,
    stop: &'a AtomicBool,
    report: &'a mut dyn FnMut(&Step),
}

impl<'a> Course<'a> {
    /// No step yet. `stop`: whether the check was interrupted; `report`: is told of each step that
    /// is over.
    pub fn new(stop: &'a AtomicBool, report: &'a mut dyn FnMut(&Step)) -> Course<'a> {
        Course { steps: Vec::new(), broken: None, stop, report }
    }

    /// Makes a step when those that it needs have passed. Returns whether it has passed.
    pub fn step(
        &mut self,
        name: &'static str,
        needs: &[&str],
        run: impl FnOnce(&mut Notes) -> Result<String, Fault>,
    ) -> bool {
        let missing =
            self.steps.iter().find(|it| needs.contains(&it.name) && it.state != State::Passed);
        let reason = if self.stop.load(Ordering::Relaxed) {
            Some("the check was interrupted".to_owned())
        } else if let Some(number) = self.broken {
            Some(format!("nothing more is asked after step {number}"))
        } else {
            missing.map(|it| format!("it needs step {} ({})", it.number, it.name))
        };
        match reason {
            Some(reason) => self.add(name, State::Skipped, Notes::default(), reason, None),
            None => self.run(name, run),
        }
    }

    /// Makes a step whatever has happened before.
    pub fn finally(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&mut Notes) -> Result<String, Fault>,
    ) -> bool {
        self.run(name, run)
    }

    /// Notes that a step does not apply.
    pub fn skip(&mut self, name: &'static str, reason: &str) {
        self.add(name, State::Skipped, Notes::default(), reason.to_owned(), None);
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn run(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&mut Notes) -> Result<String, Fault>,
    ) -> bool {
        let mut notes = Notes::default();
        match run(&mut notes) {
            Ok(seen) => self.add(name, State::Passed, notes, seen, None),
            Err(fault) => {
                if fault.end == End::Broken {
                    self.broken = Some(self.steps.len() + 1);
                }
                let not_there = fault.end == End::NotThere;
                let state = if not_there { State::Skipped } else { State::Failed };
                self.add(name, state, notes, fault.seen, fault.advice)
            }
        }
    }

    fn add(
        &mut self,
        name: &'static str,
        state: State,
        notes: Notes,
        seen: String,
        advice: Option<String>,
    ) -> bool {
        let number = self.steps.len() + 1;
        let Notes { sent, warnings } = notes;
        let step = Step { number, name, state, sent, seen, advice, warnings };
        (self.report)(&step);
        self.steps.push(step);
        state == State::Passed
    }
}
