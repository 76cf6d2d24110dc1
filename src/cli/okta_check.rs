//! `plumm okta-check`: plays an identity provider against any SCIM 2.0 server, and says what works
//! step by step.

use std::env;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use zeroize::Zeroizing;

use crate::cli::arguments::{file_named, text_of};
use crate::cli::error::CliError;
use crate::cli::session::{Answer, Session};
use crate::cli::settings::names::CHECK_TOKEN;
use crate::cli::text::printable;
use crate::id;
use crate::idp::address::{self, Base};
use crate::idp::chain::public_roots;
use crate::idp::check;
use crate::idp::check::made::Made;
use crate::idp::check::talk::{Credential, Talk};
use crate::idp::client::{Client, NoAnswer, Target};
use crate::idp::credential;
use crate::idp::message::Request;
use crate::idp::provider::Provider;
use crate::idp::reach;
use crate::idp::step::{Course, Fault, State, Step};
use crate::scim::datetime::Timestamp;
use crate::webhooks::client::certificates;

/// A token that no server has issued.
const WRONG_TOKEN: &str = "plumm-check-wrong-token";
/// The longest file of authorities, in bytes.
const CA_BYTES_MAX: usize = 1024 * 1024;
/// How long a request may take at most, in seconds.
const SECONDS_MAX: u64 = 300;
/// The exit code when a second signal cuts the clean-up short.
const EXIT_CUT_SHORT: i32 = 1;
/// How many requests of a step that has passed are shown.
const SENT_SHOWN_MAX: usize = 3;
/// Where the sentences of a step begin.
const MARGIN: usize = 28;

/// Which server, and as whom.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, against any SCIM 2.0 server, plumm or not:\n  \
                        plumm okta-check https://scim.example.com/scim/v2 --token-file \
                        token.txt\n\n\
                        Without --token-file the token is that of PLUMM_CHECK_TOKEN, and otherwise \
                        what standard input holds; it is never an argument, which others on the \
                        host could read. The accounts and the group that the check makes are named \
                        plumm-check-…, and are taken away at its end, after Ctrl-C too. The exit \
                        code is 0 when every step passed, 1 when one has failed, 2 for a misuse.")]
pub struct Args {
    /// The base URL as it is given to the identity provider
    url: String,
    /// As which identity provider
    #[arg(long = "as", value_name = "PROVIDER", default_value = "okta")]
    provider: Played,
    /// The file with the API token; - is standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Authorities of your own for the server's certificate, in place of the public ones
    #[arg(long, value_name = "PEM")]
    ca: Option<PathBuf>,
    /// For how many seconds each answer is waited for
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "60",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX)
    )]
    timeout: u64,
}

/// Who can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Played {
    /// Okta
    Okta,
    /// Microsoft Entra ID
    Entra,
}

/// Runs the check and prints each step as soon as it is over, or all of them as one JSON value.
///
/// # Errors
/// When a step has failed, and how the command was misused.
pub fn run(args: &Args, session: &Session) -> Result<(), CliError> {
    let pasted = pasted_token(args)?;
    let roots = roots(args.ca.as_deref())?;
    let stop = Arc::new(AtomicBool::new(false));
    watch_signals(&stop)
        .map_err(|it| CliError::Failed(format!("signals cannot be received: {it}")))?;
    let mut printed = Ok(());
    let mut report = |step: &Step| {
        if session.json() || printed.is_err() {
            return;
        }
        printed = session.print(&Answer { json: Value::Null, text: as_text(step) });
        if printed.is_err() {
            // Nobody reads on: what was made is taken away.
            stop.store(true, Ordering::Relaxed);
        }
    };
    let mut course = Course::new(&stop, &mut report);
    let plan = Plan { args, pasted: &pasted, roots, now: session.now(), stop: &stop };
    let left = play(&plan, &mut course);
    let steps = course.steps().to_vec();
    printed?;
    let interrupted = stop.load(Ordering::Relaxed);
    finish(args, session, &steps, &left, interrupted)
}

/// What a check works with.
struct Plan<'a> {
    args: &'a Args,
    pasted: &'a str,
    roots: Vec<CertificateDer<'static>>,
    now: Timestamp,
    stop: &'a AtomicBool,
}

/// Makes all steps. Returns what is left at the server.
fn play(plan: &Plan<'_>, course: &mut Course<'_>) -> Vec<Made> {
    let patience = Duration::from_secs(plan.args.timeout);
    let provider = match plan.args.provider {
        Played::Okta => Provider::Okta,
        Played::Entra => Provider::Entra,
    };
    let [url, token, dns, connection, certificate] = check::REACH;
    let mut base: Option<Base> = None;
    course.step(url, &[], |notes| {
        let judged = address::judge(&plan.args.url, provider, notes)?;
        Ok(base.insert(judged).url.clone())
    });
    let mut credential = Zeroizing::new(String::new());
    course.step(token, &[], |_| {
        credential = credential::judge(plan.pasted)?;
        Ok("nothing is pasted with it".to_owned())
    });
    let mut addresses = Vec::new();
    let missing = || Fault::not_there("there is no URL");
    course.step(dns, &[url], |notes| {
        addresses = reach::addresses(base.as_ref().ok_or_else(missing)?, patience)?;
        Ok(reach::describe(&addresses, notes))
    });
    course.step(connection, &[dns], |notes| {
        addresses = reach::connect(&addresses, patience, notes)?;
        Ok(format!("{} of its addresses took a connection", addresses.len()))
    });
    let mut needs = vec![url, token, dns, connection];
    if base.as_ref().is_some_and(|it| !it.secure) {
        course.skip(certificate, "plain HTTP has none");
    } else {
        needs.push(certificate);
        course.step(certificate, &[connection], |notes| {
            if let Some(file) = &plan.args.ca {
                notes.warn(format!(
                    "the authorities are those of {}: no cloud of an identity provider trusts \
                     them, its agent on your network only after you have given them to it",
                    file_named(file)
                ));
            }
            let base = base.as_ref().ok_or_else(missing)?;
            reach::certificate(base, &addresses, &plan.roots, patience, plan.now, notes)
        });
    }
    let (base, provider) = match base {
        Some(it) => (it.url, it.provider),
        None => (String::new(), provider),
    };
    let roots = plan.roots.clone();
    let client = Client::new(Target { base, provider, token: credential, roots, patience });
    let mut send = |request: &Request, credential: Credential| -> Result<_, NoAnswer> {
        match credential {
            Credential::Token => client.send(request),
            Credential::Wrong => client.send_with(request, WRONG_TOKEN),
        }
    };
    let mut talk = Talk::new(provider, id::token(), &mut send, plan.stop);
    check::run(course, &mut talk, &needs);
    talk.made
}

/// The last words: what has failed, and what is left.
fn finish(
    args: &Args,
    session: &Session,
    steps: &[Step],
    left: &[Made],
    interrupted: bool,
) -> Result<(), CliError> {
    let count = |state: State| steps.iter().filter(|it| it.state == state).count();
    let failed: Vec<String> = steps
        .iter()
        .filter(|it| it.state == State::Failed)
        .map(|it| format!("{} ({})", it.number, it.name))
        .collect();
    let warnings: usize = steps.iter().map(|it| it.warnings.len()).sum();
    let text = format!(
        "\n{} steps passed, {} failed, {} skipped; {warnings} warnings",
        count(State::Passed),
        failed.len(),
        count(State::Skipped)
    );
    let json = json!({
        "passed": failed.is_empty() && !interrupted,
        "url": args.url,
        "as": match args.provider { Played::Okta => "okta", Played::Entra => "entra" },
        "steps": steps.iter().map(as_json).collect::<Value>(),
        "left": left.iter().map(|it| {
            json!({"type": it.kind.word(), "id": it.id, "name": it.name})
        }).collect::<Value>(),
    });
    session.print(&Answer { json, text })?;
    match failed.len() {
        0 if interrupted => Err(CliError::Failed("the check was interrupted".to_owned())),
        0 => Ok(()),
        1 => Err(CliError::Failed(format!("1 step has failed: {}", failed.join(", ")))),
        n => Err(CliError::Failed(format!("{n} steps have failed: {}", failed.join(", ")))),
    }
}

/// The token as it was pasted.
fn pasted_token(args: &Args) -> Result<Zeroizing<String>, CliError> {
    if let Some(file) = &args.token_file {
        return Ok(Zeroizing::new(text_of(file, credential::TOKEN_BYTES_MAX)?));
    }
    if let Some(token) = env::var_os(CHECK_TOKEN).filter(|it| !it.is_empty()) {
        return Ok(Zeroizing::new(token.to_string_lossy().into_owned()));
    }
    if !io::stdin().is_terminal() {
        let text = Zeroizing::new(text_of(Path::new("-"), credential::TOKEN_BYTES_MAX)?);
        if !text.is_empty() {
            return Ok(text);
        }
    }
    Err(CliError::Misused {
        message: "no API token was given: it is asked for with --token-file, or in \
                  PLUMM_CHECK_TOKEN, or on standard input"
            .to_owned(),
        instead: format!("plumm okta-check {} --token-file FILE", args.url),
    })
}

/// The authorities that may vouch for the server.
fn roots(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let Some(file) = ca else { return Ok(public_roots()) };
    let pem = text_of(file, CA_BYTES_MAX)?;
    let found = certificates(&pem)
        .map_err(|it| CliError::Failed(format!("{} cannot be used: {it}", file_named(file))))?;
    Ok(found.iter().map(|it| it.der().to_vec().into()).collect())
}

/// The first signal ends the check and cleans up, the second ends at once.
fn watch_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, EXIT_CUT_SHORT, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

fn as_text(step: &Step) -> String {
    let word = match step.state {
        State::Failed => "FAILED",
        other => other.word(),
    };
    let mut text = format!("{:2}  {:13}  {word:7}  ", step.number, step.name);
    let margin = " ".repeat(MARGIN);
    let mut line = |words: &str| {
        if text.ends_with('\n') {
            text += &margin;
        }
        text += &printable(words);
        text.push('\n');
    };
    if step.state == State::Failed {
        if !step.sent.is_empty() {
            line(&format!("sent: {}", step.sent.join("; ")));
        }
        line(&format!("seen: {}", step.seen));
        if let Some(advice) = &step.advice {
            line(&format!("do: {advice}"));
        }
    } else {
        match step.sent.len() {
            0 => line(&step.seen),
            _ => line(&format!("{} ({})", step.seen, in_short(&step.sent))),
        }
    }
    for it in &step.warnings {
        line(&format!("note: {it}"));
    }
    text
}

/// What was sent, without what makes it long.
fn in_short(sent: &[String]) -> String {
    let without_filter = |it: &String| match (it.split_once("filter="), it.rsplit_once(": ")) {
        (Some((before, _)), Some((_, status))) => format!("{before}filter=…: {status}"),
        _ => it.clone(),
    };
    let shown: Vec<String> = sent.iter().take(SENT_SHOWN_MAX).map(without_filter).collect();
    let more = sent.len() - shown.len();
    let more = if more > 0 { format!("; {more} more") } else { String::new() };
    shown.join("; ") + &more
}

fn as_json(step: &Step) -> Value {
    json!({
        "id": step.number,
        "name": step.name,
        "state": step.state.word(),
        "sent": step.sent,
        "seen": step.seen,
        "advice": step.advice,
        "warnings": step.warnings,
    })
}
