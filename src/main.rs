//! The program: argv and environment in, exit code out.

use std::env;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted = env::var("PLUMM_LOG").ok().filter(|it| !it.is_empty());
    // env_logger takes a word that is no level for the name of a module, and logs nothing else.
    let understood = |it: &String| it.contains('=') || it.parse::<log::LevelFilter>().is_ok();
    let filter = wanted.clone().filter(understood);
    let mut logger = env_logger::Builder::new();
    logger.parse_filters(filter.as_deref().unwrap_or("info"));
    logger.format(|out, record| writeln!(out, "{}", plumm::cli::log_line(record)));
    logger.init();
    if filter != wanted {
        log::warn!("PLUMM_LOG is none of error, warn, info, debug and trace: info is used");
    }
    ExitCode::from(plumm::cli::run(env::args_os()))
}
