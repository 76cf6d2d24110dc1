//! `plumm demo`: a server with invented people on a database of its own, and an identity provider
//! that keeps changing them.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clap::builder::Resettable;
use clap::{Args as _, FromArgMatches};
use serde_json::json;
use zeroize::Zeroizing;

use crate::auth;
use crate::cli::error::CliError;
use crate::cli::healthcheck;
use crate::cli::serve::args::local_url;
use crate::cli::serve::{self, listener};
use crate::cli::session::{Answer, Session};
use crate::id;
use crate::idp::client::{Client, NoAnswer, Target};
use crate::idp::company::Company;
use crate::idp::message::{Answer as Answered, Request};
use crate::idp::provider::Provider;
use crate::store::Store;
use crate::store::open::Open;
use crate::store::tables::org::OrgSettings;
use crate::store::tables::token::Scope;

/// What the organisation is called, on every view.
const ORG: &str = "demonstration";
/// How many people there may be at the start.
const PEOPLE_MAX: u64 = 5_000;
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is asked whether it is ready.
const READY_TIME_MAX: Duration = Duration::from_secs(1);
/// How soon the end is noticed.
const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// Where to listen, and how much happens.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, until Ctrl-C:\n  plumm demo\n\n\
                        The people are invented. The database is in a temporary folder, which is \
                        removed at the end; no setting and no database of this host is used. The \
                        identity provider is within the program and sends what Okta sends: it \
                        hires, moves, renames, deactivates and reactivates somebody every second \
                        or so.")]
pub struct Args {
    /// Where to listen, on this host alone; port 0 is a free one
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8080",
        value_parser = loopback
    )]
    listen: SocketAddr,
    /// How many people there are at the start
    #[arg(long, value_name = "N", default_value = "300", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u64).range(1..=PEOPLE_MAX))]
    people: u64,
    /// How many milliseconds lie between two things that happen
    #[arg(long, value_name = "MILLISECONDS", default_value = "1000",
        allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pace: u64,
    /// Another number, other people and another story
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text.trim().parse::<SocketAddr>().ok();
    let address = address.filter(|it| it.ip().to_canonical().is_loopback());
    address.ok_or_else(|| {
        "it must be an address of this host alone with a port, such as 127.0.0.1:8080: a \
         demonstration is for nobody else"
            .to_owned()
    })
}

/// Runs the demonstration until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not start.
pub fn run(args: &Args, session: &Session) -> Result<(), CliError> {
    let listen = with_port(args.listen)?;
    let folder = Folder::new()
        .map_err(|it| CliError::Failed(format!("no temporary folder can be made: {it}")))?;
    let db = folder.0.join("plumm.db");
    let own = Session::new(db.clone(), db, false);
    let url = local_url("http", listen);
    let tokens = tokens(&own)?;
    session.print(&started(&url, &folder, &tokens))?;
    let provider = Working::start(args, &url, &tokens.scim)?;
    let done = serve::run(&serve_args(listen)?, &own);
    provider.stop();
    done
}

/// The tokens of the demonstration.
struct Tokens {
    scim: Zeroizing<String>,
    read: Zeroizing<String>,
    access: Zeroizing<String>,
    admin: Zeroizing<String>,
}

/// Makes the database, the organisation and its tokens.
fn tokens(session: &Session) -> Result<Tokens, CliError> {
    let (store, now) = (Store::open(session.db(), Open::Create)?, session.now());
    let org = store.write(now, |it| it.add_org(ORG, true, OrgSettings::default()))?;
    let token = |scope, label| -> Result<_, CliError> {
        let issued = auth::issue(&store, now, &org, scope, label, None)?;
        Ok(Zeroizing::new(issued.secret.reveal().to_owned()))
    };
    Ok(Tokens {
        scim: token(Scope::Scim, "Okta, played by plumm")?,
        read: token(Scope::Read, "an application")?,
        access: token(Scope::Access, "a login page")?,
        admin: token(Scope::Admin, "whoever looks at it")?,
    })
}

/// What is said at the start.
fn started(url: &str, folder: &Folder, tokens: &Tokens) -> Answer {
    let (read, access, admin) = (&*tokens.read, &*tokens.access, &*tokens.admin);
    let db = folder.0.join("plumm.db");
    let db = db.display();
    let text = format!(
        "This is a demonstration: the people are invented, and everything is removed at its end \
         (Ctrl-C).\n\n  \
         Page    {url}/admin/\n  \
         Tokens  {admin}  (scope admin: page, metrics)\n          \
                 {read}  (scope read: feed, login, GET)\n          \
                 {access}  (scope access: login alone)\n\n\
         What changes, as it happens; the next number is the last answer's `next`:\n\n  \
         curl -H 'Authorization: Bearer {read}' \\\n    \
           '{url}/access/v1/changes?after=0&wait=30'\n\n\
         May this person log in?\n\n  \
         curl -H 'Authorization: Bearer {access}' \\\n    \
           '{url}/access/v1/user?userName=NAME'\n\n\
         What the server counts:\n\n  \
         curl -H 'Authorization: Bearer {admin}' '{url}/metrics'\n\n\
         In another terminal:\n\n  \
         plumm --db {db} log {ORG} --follow\n  \
         plumm --db {db} user list {ORG}\n"
    );
    let json = json!({
        "demonstration": true,
        "url": url,
        "page": format!("{url}/admin/"),
        "db": folder.0.join("plumm.db").to_string_lossy(),
        "org": ORG,
        "tokens": {"admin": admin, "read": read, "access": access, "scim": *tokens.scim},
    });
    Answer { json, text }
}

/// The settings of the server: the defaults, whatever this host's variables say.
fn serve_args(listen: SocketAddr) -> Result<serve::args::Args, CliError> {
    let grammar = serve::args::Args::augment_args(clap::Command::new(serve_name()))
        .mut_args(|it| it.env(Resettable::Reset));
    let typed = [serve_name().to_owned(), "--listen".to_owned(), listen.to_string()];
    let parsed =
        grammar.try_get_matches_from(typed).and_then(|it| serve::args::Args::from_arg_matches(&it));
    let mut args = parsed.map_err(|it| CliError::Failed(it.to_string()))?;
    args.demonstration = true;
    Ok(args)
}

fn serve_name() -> &'static str {
    crate::cli::settings::SERVE
}

/// The address with a port that is free now: nobody else's server is sent anything.
fn with_port(address: SocketAddr) -> Result<SocketAddr, CliError> {
    let bound = listener::bind(address)?.local_addr();
    bound.map_err(|it| CliError::Failed(format!("cannot listen on {address}: {it}")))
}

/// A folder that is gone when the demonstration is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Folder> {
        let path = env::temp_dir().join(format!("plumm-demo-{}", id::token()));
        // Nobody else on the host may read it.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{} cannot be removed: {error}", self.0.display());
        }
    }
}

/// The identity provider at work.
struct Working {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Working {
    fn start(args: &Args, url: &str, token: &str) -> Result<Working, CliError> {
        let client = Client::new(Target {
            base: format!("{url}/scim/v2"),
            provider: Provider::Okta,
            token: Zeroizing::new(token.to_owned()),
            roots: Vec::new(),
            patience: PATIENCE,
        });
        let people = usize::try_from(args.people).unwrap_or(usize::MAX);
        let company = Company::new(people, args.seed);
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            client,
            stop: Arc::clone(&stop),
            pace: Duration::from_millis(args.pace),
            ready: format!("{url}{}", healthcheck::PATH),
        };
        let thread = thread::Builder::new()
            .name("provider".to_owned())
            .spawn(move || work.run(company))
            .map_err(|it| CliError::Failed(format!("no thread is left: {it}")))?;
        Ok(Working { stop, thread })
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic of it was logged.
        let _ = self.thread.join();
    }
}

/// What the thread of the provider works with.
struct Work {
    client: Client,
    stop: Arc<AtomicBool>,
    pace: Duration,
    ready: String,
}

impl Work {
    fn run(&self, mut company: Company) {
        while !self.is_over() && healthcheck::ask(&self.ready, READY_TIME_MAX).is_err() {
            self.pause(STOP_INTERVAL);
        }
        let began = Instant::now();
        let mut send = |request: &Request| self.send(request);
        while let Err(reason) = company.begin(&mut send) {
            if self.is_over() {
                return;
            }
            log::debug!("the identity provider of the demonstration goes on: {reason}");
            self.pause(self.pace);
        }
        log::info!(
            "demonstration: {} people are assigned, in {} ms",
            company.people(),
            began.elapsed().as_millis()
        );
        while !self.is_over() {
            self.pause(self.pace);
            match company.go_on(&mut send) {
                Ok(words) => log::info!("demonstration: {words}"),
                Err(reason) => log::debug!("the identity provider goes on: {reason}"),
            }
        }
    }

    fn send(&self, request: &Request) -> Result<Answered, NoAnswer> {
        match self.is_over() {
            true => Err(NoAnswer::Closed),
            false => self.client.send(request),
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_over() && Instant::now() < end {
            thread::sleep(STOP_INTERVAL.min(end.saturating_duration_since(Instant::now())));
        }
    }
}
