//! The program: argv and environment in, exit code out.

use std::env;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let filter = env::var("PLUMM_LOG").ok().filter(|it| !it.is_empty());
    let mut logger = env_logger::Builder::new();
    logger.parse_filters(filter.as_deref().unwrap_or("info"));
    logger.format(|out, record| writeln!(out, "{}", plumm::cli::log_line(record)));
    logger.init();
    ExitCode::from(plumm::cli::run(env::args_os()))
}
