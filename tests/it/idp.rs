//! Replays conversations with identity providers: every file under `tests/data/idp/<client>/`.
//!
//! A file is `{"name", "about", "steps": […]}` and is played against a fresh harness, step by step:
//!
//! - `note`: what the client is doing. `optional: true`: the step is left out.
//! - `repeat: n`: the step is played n times; `{{n}}` counts from 1.
//! - `request`: `method`, `target`, `headers` (laid over those Okta sends; null takes one away),
//!   `body` (a text is sent as it stands, anything else as JSON), `echo` (the name of a captured
//!   object: the body is that object with the members of `body` laid over it, as Okta does on PUT).
//! - `expect`: `status`; by JSON pointer `json` (exact value), `differs` (any other value or none),
//!   `contains` (a value in an array), `length` (of an array), `present` (there and not empty),
//!   `absent`, `number` (integers); `detail_contains` (in any letter case), `headers` (text that
//!   the header contains), `same` (two collected lists hold the same values, none twice).
//! - `capture`: name to pointer (`""` is the whole answer). `collect`: name of a list to pointer,
//!   with one `*` for every element of an array. Both happen before `expect` is judged.
//!
//! `{{name}}` stands for a captured value, `{{token}}` for the API token. A text that is nothing
//! but `{{name}}` becomes the value itself, whatever its type.
//!
//! Some rules hold for every answer and need no words in a file: see [`always`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plumm::idp::message::{self, has_member};
use plumm::idp::provider::Provider;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::harness::{Answer, Harness};

/// How much of a body a failure message shows.
const SHOWN_CHARS_MAX: usize = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversation {
    name: String,
    about: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    note: String,
    #[serde(default)]
    optional: bool,
    #[serde(default = "once")]
    repeat: usize,
    request: Call,
    expect: Expect,
    #[serde(default)]
    capture: BTreeMap<String, String>,
    #[serde(default)]
    collect: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    method: String,
    target: String,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    echo: Option<String>,
    body: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: u16,
    #[serde(default)]
    json: Map<String, Value>,
    #[serde(default)]
    differs: Map<String, Value>,
    #[serde(default)]
    contains: Map<String, Value>,
    #[serde(default)]
    length: BTreeMap<String, usize>,
    #[serde(default)]
    present: Vec<String>,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    number: Vec<String>,
    detail_contains: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    same: BTreeMap<String, String>,
}

fn once() -> usize {
    1
}

/// What a conversation remembers from one step to the next.
#[derive(Default)]
struct Memory {
    values: Map<String, Value>,
    lists: BTreeMap<String, Vec<Value>>,
}

/// A request with nothing left to fill in.
struct Filled {
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[test]
fn every_conversation_goes_as_written() {
    let idp = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/idp");
    let clients = entries(&idp);
    assert!(!clients.is_empty(), "{}: no client", idp.display());
    let mut failures = Vec::new();
    for client in clients {
        let mut files = entries(&client);
        files.retain(|it| it.extension().is_some_and(|it| it == "json"));
        if files.is_empty() {
            failures.push(format!("{}: a folder without a conversation", client.display()));
        }
        for file in files {
            let name = file.strip_prefix(&idp).unwrap_or(&file).display().to_string();
            if let Err(failure) = replay(&file) {
                failures.push(format!("{name}, {failure}"));
            }
        }
    }
    assert!(failures.is_empty(), "\n\n{}\n", failures.join("\n\n"));
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut found: Vec<PathBuf> = read.filter_map(|it| Some(it.ok()?.path())).collect();
    found.sort();
    found
}

/// Plays one file to its end or to the first step that fails.
fn replay(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
    let talk: Conversation = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    if talk.name.is_empty() || talk.about.is_empty() || talk.steps.is_empty() {
        return Err("a name, a word about it and at least one step are wanted".to_owned());
    }
    let harness = Harness::new();
    let mut memory = Memory::default();
    memory.values.insert("token".to_owned(), harness.token().into());
    for (i, step) in talk.steps.iter().enumerate().filter(|(_, it)| !it.optional) {
        for n in 1..=step.repeat {
            memory.values.insert("n".to_owned(), n.into());
            play(step, &harness, &mut memory).map_err(|story| {
                let time = if step.repeat > 1 { format!(", time {n}") } else { String::new() };
                format!("step {}{time}: {}\n{story}", i + 1, step.note)
            })?;
        }
    }
    Ok(())
}

/// Plays one step once; the error tells what was asked, wanted and answered.
fn play(step: &Step, harness: &Harness, memory: &mut Memory) -> Result<(), String> {
    let filled = fill_request(&step.request, &memory.values)?;
    let headers: Vec<(&str, &str)> =
        filled.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let method = &step.request.method;
    let answer = harness.send(method, &filled.target, &headers, &filled.body);

    let json = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
    let mut faults = always(&filled.target, &answer, &json);
    remember(step, &json, memory, &mut faults);
    judge(&step.expect, &answer, &json, memory, &mut faults);
    if faults.is_empty() {
        return Ok(());
    }
    let mut story = format!("  request:  {method} {}", filled.target);
    if !filled.body.is_empty() {
        let _ = write!(story, "\n            {}", shown(&filled.body));
    }
    for fault in faults {
        let _ = write!(story, "\n  expected: {fault}");
    }
    let _ = write!(story, "\n  answer:   {} {:?}", answer.status, answer.headers);
    let _ = write!(story, "\n            {}", shown(&answer.text));
    Err(story)
}

fn fill_request(call: &Call, values: &Map<String, Value>) -> Result<Filled, String> {
    let body = match (&call.echo, &call.body) {
        (None, None) => None,
        (None, Some(body)) => Some(fill_value(body, values)?),
        (Some(name), over) => {
            let echoed = values.get(name).and_then(Value::as_object);
            let mut whole = echoed.ok_or(format!("  no captured object `{name}` to echo"))?.clone();
            if let Some(Value::Object(over)) = over {
                for (member, value) in over {
                    whole.insert(member.clone(), fill_value(value, values)?);
                }
            }
            Some(Value::Object(whole))
        }
    };
    let mut fields: Vec<(&str, &str)> = Provider::Okta.headers().to_vec();
    fields.push(("Authorization", "Bearer {{token}}"));
    if body.is_some() {
        fields.push(Provider::Okta.content_type());
    }
    fields.retain(|(name, _)| !call.headers.keys().any(|it| it.eq_ignore_ascii_case(name)));
    for (name, value) in &call.headers {
        fields.extend(value.as_deref().map(|value| (name.as_str(), value)));
    }
    let mut headers = Vec::new();
    for (name, value) in fields {
        headers.push((name.to_owned(), fill_text(value, values)?));
    }
    let body = match body {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(json) => json.to_string(),
    };
    Ok(Filled { target: fill_text(&call.target, values)?, headers, body })
}

/// The value with every placeholder in it filled in.
fn fill_value(value: &Value, values: &Map<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            let name = text.strip_prefix("{{").and_then(|it| it.strip_suffix("}}"));
            match name.and_then(|it| values.get(it)) {
                Some(whole) => whole.clone(),
                None => Value::String(fill_text(text, values)?),
            }
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|it| fill_value(it, values)).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let filled =
                members.iter().map(|(name, it)| Ok((name.clone(), fill_value(it, values)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        plain => plain.clone(),
    })
}

fn fill_text(text: &str, values: &Map<String, Value>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, tail) = after.split_once("}}").ok_or(format!("  `{text}`: no `}}}}`"))?;
        filled.push_str(before);
        match values.get(name) {
            Some(Value::String(value)) => filled.push_str(value),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => {
                filled.push_str(&value.to_string());
            }
            Some(_) => return Err(format!("  `{name}` is no text, but `{text}` wants one")),
            None => return Err(format!("  nothing was captured as `{name}`")),
        }
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// What must hold for every answer under `/scim`, whoever asked what.
fn always(target: &str, answer: &Answer, json: &Value) -> Vec<String> {
    if target.starts_with("/scim") {
        let found = seen_by_provider(answer).irregularities();
        return found.into_iter().map(|it| format!("no such thing: {it}")).collect();
    }
    let shown = has_member(json, "password");
    if shown { vec!["no member `password` in any answer".to_owned()] } else { Vec::new() }
}

/// The answer as the client of an identity provider gets it.
pub fn seen_by_provider(answer: &Answer) -> message::Answer {
    message::Answer {
        status: answer.status,
        headers: answer.headers.clone(),
        body: answer.text.clone().into_bytes(),
        took: Duration::ZERO,
    }
}

fn remember(step: &Step, json: &Value, memory: &mut Memory, faults: &mut Vec<String>) {
    for (name, pointer) in &step.capture {
        match json.pointer(pointer) {
            Some(value) => {
                memory.values.insert(name.clone(), value.clone());
            }
            None => faults.push(format!("{pointer}, to be captured as `{name}`")),
        }
    }
    for (name, pointer) in &step.collect {
        let list = memory.lists.entry(name.clone()).or_default();
        let (array, each) = pointer.split_once("/*").unwrap_or((pointer, ""));
        let found: Vec<Value> = match json.pointer(array) {
            Some(Value::Array(items)) if pointer.contains("/*") => {
                items.iter().filter_map(|it| it.pointer(each).cloned()).collect()
            }
            Some(value) if !pointer.contains("/*") => vec![value.clone()],
            _ => Vec::new(),
        };
        if found.is_empty() {
            faults.push(format!("something at {pointer}, to be collected in `{name}`"));
        }
        list.extend(found);
    }
}

fn judge(
    expect: &Expect,
    answer: &Answer,
    json: &Value,
    memory: &Memory,
    faults: &mut Vec<String>,
) {
    if answer.status != expect.status {
        faults.push(format!("status {}", expect.status));
    }
    for (pointer, wanted) in &expect.json {
        match fill_value(wanted, &memory.values) {
            Ok(wanted) if json.pointer(pointer) == Some(&wanted) => {}
            Ok(wanted) => faults.push(format!("{pointer} to be {wanted}")),
            Err(fault) => faults.push(fault),
        }
    }
    for (pointer, unwanted) in &expect.differs {
        if json.pointer(pointer) == Some(unwanted) {
            faults.push(format!("{pointer} to be other than {unwanted}"));
        }
    }
    for (pointer, wanted) in &expect.contains {
        let items = json.pointer(pointer).and_then(Value::as_array);
        if !items.is_some_and(|it| it.contains(wanted)) {
            faults.push(format!("{pointer} to be an array with {wanted} in it"));
        }
    }
    for (pointer, wanted) in &expect.length {
        let length = json.pointer(pointer).and_then(Value::as_array).map(Vec::len);
        if length != Some(*wanted) {
            faults.push(format!("{pointer} to be an array of {wanted}, not of {length:?}"));
        }
    }
    for pointer in &expect.present {
        let empty = match json.pointer(pointer) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
        };
        if empty {
            faults.push(format!("{pointer} to be there and not empty"));
        }
    }
    for pointer in &expect.absent {
        if json.pointer(pointer).is_some() {
            faults.push(format!("{pointer} not to be there"));
        }
    }
    for pointer in &expect.number {
        if !json.pointer(pointer).is_some_and(Value::is_u64) {
            faults.push(format!("{pointer} to be a whole number"));
        }
    }
    if let Some(wanted) = &expect.detail_contains {
        let detail = json.get("detail").and_then(Value::as_str).unwrap_or_default();
        if !detail.to_lowercase().contains(&wanted.to_lowercase()) {
            faults.push(format!("a `detail` that names `{wanted}`"));
        }
    }
    for (name, wanted) in &expect.headers {
        match fill_text(wanted, &memory.values) {
            Ok(wanted) if answer.header(name).is_some_and(|it| it.contains(&wanted)) => {}
            Ok(wanted) => faults.push(format!("a header {name} with `{wanted}`")),
            Err(fault) => faults.push(fault),
        }
    }
    for (one, other) in &expect.same {
        compare_lists(one, other, memory, faults);
    }
}

/// Whether two collected lists hold the same values, in any order, each value once.
fn compare_lists(one: &str, other: &str, memory: &Memory, faults: &mut Vec<String>) {
    let sorted = |name: &str| {
        let mut list: Vec<String> =
            memory.lists.get(name).into_iter().flatten().map(Value::to_string).collect();
        list.sort();
        list
    };
    for name in [one, other] {
        if let Some(twice) = sorted(name).windows(2).find(|it| it[0] == it[1]) {
            faults.push(format!("{} once in `{name}`", twice[0]));
        }
    }
    let (left, right) = (sorted(one), sorted(other));
    let missing = right.iter().filter(|it| !left.contains(it)).count();
    let extra = left.iter().filter(|it| !right.contains(it)).count();
    if missing + extra > 0 || right.is_empty() {
        faults.push(format!("`{one}` to be `{other}`: {missing} missing, {extra} too many"));
    }
}

fn shown(text: &str) -> String {
    let mut it: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if it.len() < text.len() {
        it.push_str(" …");
    }
    it
}
