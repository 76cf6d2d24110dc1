//! Requests of the check, and what their answers must be: who is told to wait, waits.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::idp::check::made::Made;
use crate::idp::client::NoAnswer;
use crate::idp::message::{Answer, Request};
use crate::idp::provider::Provider;
use crate::idp::step::{Fault, Notes};
use crate::scim::schema::urn;

/// The longest pause that the check makes when it is asked to wait.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// What it makes of a request to wait that names no number of seconds.
const WAIT_UNSAID: Duration = Duration::from_secs(5);
/// How often it is asked to wait for one request before it gives up.
const WAITS_MAX: usize = 5;
/// How soon an interruption is noticed.
const STOP_INTERVAL: Duration = Duration::from_millis(50);
/// An answer that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(10);
/// How much of what a server says is shown, in characters.
const SHOWN_CHARS_MAX: usize = 300;

/// With which token a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The one that was given.
    Token,
    /// One that no server has issued.
    Wrong,
}

/// How a request is sent.
pub type Send<'a> = dyn FnMut(&Request, Credential) -> Result<Answer, NoAnswer> + 'a;

/// A conversation with one server.
pub struct Talk<'a> {
    /// As whom.
    pub provider: Provider,
    /// A text that no other check has, in the names of what this one makes.
    pub mark: String,
    /// What this check has made, or may have made.
    pub made: Vec<Made>,
    send: &'a mut Send<'a>,
    stop: &'a AtomicBool,
    told: BTreeSet<String>,
}

impl<'a> Talk<'a> {
    /// A conversation that begins. `mark`: a random text; `stop`: whether the check was
    /// interrupted.
    pub fn new(
        provider: Provider,
        mark: String,
        send: &'a mut Send<'a>,
        stop: &'a AtomicBool,
    ) -> Talk<'a> {
        Talk { provider, mark, made: Vec::new(), send, stop, told: BTreeSet::new() }
    }

    /// Sends a request, and does so again when it is asked to wait.
    pub fn ask(&mut self, notes: &mut Notes, request: &Request) -> Result<Answer, Fault> {
        self.ask_with(notes, request, Credential::Token, true)
    }

    /// The same with another token.
    pub fn ask_as(
        &mut self,
        notes: &mut Notes,
        request: &Request,
        credential: Credential,
    ) -> Result<Answer, Fault> {
        self.ask_with(notes, request, credential, true)
    }

    /// The same for what is done after an interruption too.
    pub fn ask_at_last(&mut self, notes: &mut Notes, request: &Request) -> Result<Answer, Fault> {
        self.ask_with(notes, request, Credential::Token, false)
    }

    fn ask_with(
        &mut self,
        notes: &mut Notes,
        request: &Request,
        credential: Credential,
        stops: bool,
    ) -> Result<Answer, Fault> {
        let line = format!("{} {}", request.method, request.target);
        for _ in 0..=WAITS_MAX {
            if stops && self.stop.load(Ordering::Relaxed) {
                return Err(Fault::interrupted());
            }
            let answer = match (self.send)(request, credential) {
                Ok(answer) => answer,
                Err(reason) => {
                    notes.sent.push(format!("{line}: no answer"));
                    return Err(reason.into());
                }
            };
            notes.sent.push(format!("{line}: {}", answer.status));
            if answer.took > SLOW {
                notes.warn(format!(
                    "the answer to {line} took {} seconds, and providers give up after 60",
                    answer.took.as_secs()
                ));
            }
            let asks_to_wait = answer.status == 429
                || answer.status == 503 && answer.header("Retry-After").is_some();
            if !asks_to_wait {
                self.remark(notes, &answer);
                return Ok(answer);
            }
            self.wait(notes, &answer, stops)?;
        }
        Err(Fault::new(
            format!("the server asked to wait {} times for one request", WAITS_MAX + 1),
            "let it take more requests: a provider sends hundreds at once and gives up after ten \
             attempts",
        ))
    }

    /// Waits as the answer asks for.
    fn wait(&mut self, notes: &mut Notes, answer: &Answer, stops: bool) -> Result<(), Fault> {
        let text = answer.header("Retry-After").map(str::trim);
        let pause = match text.and_then(|it| it.parse().ok()) {
            Some(seconds) => Duration::from_secs(seconds),
            None => {
                self.tell_once(
                    notes,
                    format!(
                        "the answer {} has no whole number of seconds in Retry-After: Okta then \
                         waits five minutes",
                        answer.status
                    ),
                );
                WAIT_UNSAID
            }
        };
        if pause > WAIT_MAX {
            return Err(Fault::new(
                format!(
                    "the server asks to wait {} seconds, and this check waits {} at most",
                    pause.as_secs(),
                    WAIT_MAX.as_secs()
                ),
                "try again later, or let the server take more requests",
            ));
        }
        if let Some(sent) = notes.sent.last_mut() {
            *sent += &format!(", waited {} s as it asked", pause.as_secs());
        }
        let end = Instant::now() + pause;
        while Instant::now() < end {
            if stops && self.stop.load(Ordering::Relaxed) {
                return Err(Fault::interrupted());
            }
            thread::sleep(STOP_INTERVAL.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Notes what the RFC wants of every answer and this one lacks; the same once.
    fn remark(&mut self, notes: &mut Notes, answer: &Answer) {
        // Whoever reads a page for people is told of it otherwise.
        if answer.is_html() || (300..400).contains(&answer.status) {
            return;
        }
        for it in answer.irregularities() {
            self.tell_once(notes, it);
        }
    }

    /// Notes something that would be said of many answers.
    pub fn tell_once(&mut self, notes: &mut Notes, words: String) {
        if self.told.insert(words.clone()) {
            notes.warn(words);
        }
    }

    /// Sends a request that must succeed with a JSON object.
    pub fn object(&mut self, notes: &mut Notes, request: &Request) -> Result<Value, Fault> {
        let answer = self.ask(notes, request)?;
        if !(200..300).contains(&answer.status) {
            return Err(unexpected(&answer));
        }
        object(&answer)
    }

    /// Sends a request that must succeed, with or without a body.
    pub fn done(&mut self, notes: &mut Notes, request: &Request) -> Result<(), Fault> {
        let answer = self.ask(notes, request)?;
        match answer.status {
            200 | 204 => Ok(()),
            _ => Err(unexpected(&answer)),
        }
    }

    /// The accounts or groups that a lookup finds.
    pub fn found(&mut self, notes: &mut Notes, request: &Request) -> Result<Vec<Value>, Fault> {
        let page = self.page(notes, request)?;
        if page.total != page.resources.len() {
            notes.warn(format!(
                "`totalResults` is {}, and `Resources` has {}",
                page.total,
                page.resources.len()
            ));
        }
        Ok(page.resources)
    }

    /// Sends a request that must be answered with a list.
    pub fn page(&mut self, notes: &mut Notes, request: &Request) -> Result<Page, Fault> {
        let answer = self.ask(notes, request)?;
        if answer.status != 200 {
            return Err(unexpected(&answer));
        }
        let json = object(&answer)?;
        self.read_page(notes, &json)
    }

    fn read_page(&mut self, notes: &mut Notes, json: &Value) -> Result<Page, Fault> {
        let schemas = json.get("schemas").and_then(Value::as_array);
        if !schemas.is_some_and(|it| it.iter().any(|it| it == urn::LIST_RESPONSE)) {
            self.tell_once(notes, format!("`schemas` of a list lacks `{}`", urn::LIST_RESPONSE));
        }
        let number = |name: &str| json.get(name).filter(|it| !it.is_null());
        let whole = |name: &str| -> Result<Option<usize>, Fault> {
            let Some(value) = number(name) else { return Ok(None) };
            let read = value.as_u64().and_then(|it| usize::try_from(it).ok());
            read.map(Some).ok_or_else(|| {
                Fault::new(
                    format!("`{name}` of a list is {value}, which is no whole number"),
                    "write it as a number without quotes: with a text Okta ends without a word",
                )
            })
        };
        let total = whole("totalResults")?.ok_or_else(|| {
            Fault::new(
                "the answer is no list: it has no `totalResults`",
                "answer with a ListResponse (RFC 7644 section 3.4.2), whatever is found",
            )
        })?;
        let (items, start) = (whole("itemsPerPage")?, whole("startIndex")?);
        let resources = match json.get("Resources") {
            Some(Value::Array(it)) => it.clone(),
            _ if total == 0 => {
                return Err(Fault::new(
                    "the list has no `Resources`, not even an empty one",
                    "write \"Resources\":[] when nothing is found: without it Okta says \"No \
                     results for users returned\"",
                ));
            }
            _ => {
                return Err(Fault::new(
                    format!("`totalResults` is {total}, and there is no array `Resources`"),
                    "put what was found into `Resources`",
                ));
            }
        };
        Ok(Page { total, items, start, resources })
    }
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// How many there are in all.
    pub total: usize,
    /// `itemsPerPage`, where it is there.
    pub items: Option<usize>,
    /// `startIndex`, where it is there.
    pub start: Option<usize>,
    /// What is on it.
    pub resources: Vec<Value>,
}

/// The `id` of a resource.
pub fn id_of(resource: &Value) -> Option<&str> {
    resource.get("id").and_then(Value::as_str).filter(|it| !it.is_empty())
}

fn object(answer: &Answer) -> Result<Value, Fault> {
    match answer.json() {
        Some(json @ Value::Object(_)) => Ok(json),
        _ if answer.is_html() => Err(unexpected(answer)),
        _ if answer.body.trim_ascii().is_empty() => Err(Fault::new(
            format!("the answer {} has an empty body", answer.status),
            "answer with the resource or the list: Okta takes what it does not get for an error",
        )),
        Some(other) => Err(Fault::new(
            format!("the answer is JSON, and no object: {}", shown(&other.to_string())),
            "answer with a JSON object, as RFC 7644 has it",
        )),
        None => Err(Fault::new(
            format!(
                "the answer {} is no JSON: {}",
                answer.status,
                shown(&String::from_utf8_lossy(&answer.body))
            ),
            "check that the base URL is that of the SCIM server, and look at the server's log",
        )),
    }
}

/// What an answer means that no provider goes on with, and what to do.
pub fn unexpected(answer: &Answer) -> Fault {
    let status = answer.status;
    if (300..400).contains(&status) {
        let to = answer.header("Location").map_or(String::new(), |it| format!(" to {}", shown(it)));
        return Fault::new(
            format!("the answer is {status}, a redirect{to}"),
            "give the address that it leads to as the base URL: no provider follows a redirect \
             with the token",
        );
    }
    if answer.is_html() {
        return Fault::new(
            format!("the answer {status} is a page for people (HTML): {}", title(&answer.body)),
            "a proxy, a login page or another program answers in front of the SCIM server: check \
             the path of the URL, and let requests under it pass without a login of the proxy's \
             own",
        );
    }
    let said = match answer.detail() {
        Some(detail) => format!("{status}, \"{}\"", shown(&detail)),
        None => format!("{status}, without a `detail` that says why"),
    };
    let advice = match status {
        400 => "the server refuses what a provider sends: its `detail` should say why",
        401 => {
            "the server does not know the token: copy it anew, whole; it may be another server's, \
             or revoked, or expired"
        }
        403 => {
            "the server knows the token and refuses all the same: provisioning may not be \
             activated (plumm: `plumm org activate`), the token may be for reading only, or a \
             proxy refuses"
        }
        404 => "nothing is there: check the path of the base URL, which often ends with /scim/v2",
        405 | 501 => "the server does not do this: a provider needs it",
        409 => "the server says that it is there already: look whether an earlier check left it",
        413 => "let the server and a proxy in front take larger requests",
        415 => "let the server take Content-Type: application/scim+json",
        406 => "let the server answer who accepts application/scim+json",
        502..=504 => "a proxy does not reach the server behind it, or not in time",
        500.. => "the server has failed: look at its log",
        _ => "look at the server's log",
    };
    Fault::new(format!("the answer is {said}"), advice)
}

/// The title of a page, or its start.
fn title(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").map(|it| it + 7).and_then(|from| {
        let to = lower[from..].find("</title>")? + from;
        text.get(from..to)
    });
    match title {
        Some(title) => format!("\"{}\"", shown(title.trim())),
        None => shown(text.trim()),
    }
}

/// The start of what a server says.
pub fn shown(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &one_line[..at]),
        None => one_line,
    }
}
