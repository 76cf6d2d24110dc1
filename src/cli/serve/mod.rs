//! `plumm serve`: starts the server, and ends it on a signal.

pub mod allocator;
pub mod args;
mod first_run;
pub mod note;
mod periodic;
mod permissions;
pub mod scheduled_backups;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::app::App;
use crate::cli::error::CliError;
use crate::cli::serve::args::{Args, local_url};
use crate::cli::serve::note::{Note, NoteKeeper, Settings};
use crate::cli::serve::periodic::Periodic;
use crate::cli::session::Session;
use crate::clock::Clock;
use crate::config::{Backups, Config};
use crate::server::Server;
use crate::server::limits::Limits;
use crate::server::tls::certificates::{Certificates, Files};
use crate::store::Store;
use crate::store::copies::snapshot;
use crate::store::open::Open;
use crate::webhooks::Webhooks;

/// The exit code when a second signal cuts the orderly end short.
const EXIT_CUT_SHORT: i32 = 1;
/// How often housekeeping is done, which no request should wait for.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);
/// How often the files of the TLS certificate are read for a renewal, and commands are told what is
/// new.
const NOTE_INTERVAL: Duration = Duration::from_secs(3);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not start.
pub fn run(args: &Args, session: &Session) -> Result<(), CliError> {
    refuse_plain_http_on_network(args, session)?;
    let certificates = certificates(args, session)?;
    let mut signals = watch_signals().map_err(|it| failed("signals cannot be received", &it))?;
    let backup_dir = args.backups.checked_dir()?;
    let open = if args.external_checkpoint { Open::ServeReplicated } else { Open::Serve };
    let store = Arc::new(Store::open(session.db(), open)?);
    snapshot::remove_leftovers(session.db());
    let checkpointer =
        if args.external_checkpoint { None } else { Some(store.keep_checkpointed()?) };
    let listener = bind(args.address.listen)?;
    let address = listener.local_addr().map_err(|it| failed("the listener has no address", &it))?;
    log::info!("the database is {}", session.db().display());
    permissions::warn(session.db());

    let scheme = if certificates.is_some() { "https" } else { "http" };
    let base = args.public_url.clone().unwrap_or_else(|| local_url(scheme, address)) + "/scim/v2";
    first_run::print_start(args.init.as_deref(), &base, &store, session)?;

    let config = Config {
        public_url: args.public_url.clone(),
        log_days: args.log_days,
        trusted_proxies: args.trusted_proxies.clone(),
        backups: backup_dir.map(|it| Backups {
            dir: it.to_owned(),
            every: args.backups.every(),
            keep: args.backups.keep(),
        }),
    };
    let app = Arc::new(App::new(Arc::clone(&store), config, Clock::System));
    let note = Note {
        pid: std::process::id(),
        url: base,
        started: session.now().to_string(),
        local: Some(local_url(scheme, address)),
        settings: Some(Settings::of(args)),
        ..Note::default()
    };
    let keeper = NoteKeeper::new(Arc::clone(&store), Arc::clone(&app), note);
    keeper.publish(certificates.as_deref())?;
    let limits = Limits { trusted_proxies: args.trusted_proxies.clone(), ..Limits::default() };
    let server = match &certificates {
        Some(it) => Server::start_tls(limits, listener, Arc::clone(&app), Arc::clone(it)),
        None => Server::start_within(limits, listener, Arc::clone(&app)),
    };
    let server = server.map_err(|it| failed("the server cannot be started", &it))?;
    log::info!("listening on {scheme}://{}", server.local_addr());
    let no_thread = |it: io::Error| failed("no thread is left", &it);
    let (metrics, memory) = (Arc::clone(app.metrics()), app.memory().clone());
    let webhooks = Webhooks::start(Arc::clone(&store), metrics, memory).map_err(no_thread)?;
    let housekeeper = {
        let app = Arc::clone(&app);
        let work = move || {
            app.run_housekeeping();
            HOUSEKEEPING_INTERVAL
        };
        Periodic::start("housekeeping", || HOUSEKEEPING_INTERVAL, work).map_err(no_thread)?
    };
    let refusals = {
        let app = Arc::clone(&app);
        let keep = move || app.keep_refusals();
        thread::Builder::new().name("refusals".to_owned()).spawn(keep).map_err(no_thread)?
    };
    let notes = {
        let certificates = certificates.clone();
        let work = move || {
            let now = Clock::System.now();
            if let Some(it) = &certificates {
                it.check_for_renewal(now);
            }
            if let Err(error) = keeper.publish(certificates.as_deref()) {
                log::warn!("`plumm status` and `plumm doctor` cannot be told what is new: {error}");
            }
            NOTE_INTERVAL
        };
        Periodic::start("note", || NOTE_INTERVAL, work).map_err(no_thread)?
    };
    let backups = backup_dir.map(|it| scheduled_backups::start(&args.backups, session.db(), it));
    let backups = backups.transpose().map_err(no_thread)?;

    let name = wait_for_stop_signal(&mut signals, certificates.as_deref(), session);
    log::info!("{name} received: finishing the requests in hand");
    webhooks.begin_stop();
    server.stop();
    webhooks.stop();
    drop((notes, housekeeper));
    app.shut_down();
    let _ = refusals.join();
    drop(checkpointer);
    // Last, since a backup that is under way is waited for.
    drop(backups);
    log::info!("stopped");
    Ok(())
}

/// The certificate and key that `--tls-cert` and `--tls-key` name; clap sees to it that they come
/// together.
fn certificates(args: &Args, session: &Session) -> Result<Option<Arc<Certificates>>, CliError> {
    let (Some(certificate), Some(key)) =
        (args.address.tls_cert.clone(), args.address.tls_key.clone())
    else {
        return Ok(None);
    };
    let loaded = Certificates::load(Files { certificate, key }, session.now());
    loaded.map(|it| Some(Arc::new(it))).map_err(|it| CliError::Failed(it.to_string()))
}

/// Waits for SIGTERM or SIGINT, whose name is returned. SIGHUP, by custom, reads files again.
fn wait_for_stop_signal(
    signals: &mut Signals,
    certificates: Option<&Certificates>,
    session: &Session,
) -> &'static str {
    for signal in signals.forever() {
        match (signal, certificates) {
            (SIGHUP, Some(it)) => it.reload(session.now()),
            (SIGHUP, None) => log::info!("SIGHUP received: there is no file to be read again"),
            (SIGINT, _) => return "SIGINT",
            _ => break,
        }
    }
    "SIGTERM"
}

/// Refuses plain HTTP on a network: anyone on the way could read the API token.
fn refuse_plain_http_on_network(args: &Args, session: &Session) -> Result<(), CliError> {
    let address = args.address.listen;
    let secure = args.address.tls_cert.is_some() || args.insecure_http;
    if secure || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let port = address.port();
    Err(CliError::Misused {
        message: format!(
            "plain HTTP on {address} would carry API tokens across the network where others can \
             read them: give a certificate with --tls-cert and --tls-key, or listen on 127.0.0.1 \
             behind a reverse proxy that speaks TLS, or add --insecure-http if you trust the \
             network"
        ),
        instead: session.command(&format!("serve --listen 127.0.0.1:{port}")),
    })
}

/// The first SIGTERM or SIGINT asks for an orderly end; the second one ends the process at once.
/// SIGHUP is only received.
fn watch_signals() -> io::Result<Signals> {
    let stop_requested = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the flag is checked before it is set.
        flag::register_conditional_shutdown(signal, EXIT_CUT_SHORT, Arc::clone(&stop_requested))?;
        flag::register(signal, Arc::clone(&stop_requested))?;
    }
    // A file that may not grow any further is a failed write, and no reason to end the program.
    flag::register(SIGXFSZ, Arc::default())?;
    Signals::new([SIGTERM, SIGINT, SIGHUP])
}

fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).map_err(|error| {
        let what_to_do = match error.kind() {
            ErrorKind::AddrInUse => {
                "the port is in use, perhaps by another plumm: stop that program, or choose \
                 another port with --listen ADDR:PORT"
            }
            ErrorKind::AddrNotAvailable => {
                "this host does not have the address: choose one of its own with --listen ADDR:PORT"
            }
            ErrorKind::PermissionDenied => {
                "that is not allowed: choose a port from 1024 on with --listen ADDR:PORT"
            }
            _ => return failed(&format!("cannot listen on {address}"), &error),
        };
        CliError::Failed(format!("cannot listen on {address}: {what_to_do}"))
    })
}

fn failed(what: &str, error: &io::Error) -> CliError {
    CliError::Failed(format!("{what}: {error}"))
}
