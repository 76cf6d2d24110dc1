//! The program: argv and environment in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use plumm::cli::{self, Invocation, logging};

fn main() -> ExitCode {
    let invocation = Invocation::of_process();
    let mut logger = env_logger::Builder::new();
    logger.parse_filters(invocation.log_filter());
    let format = invocation.log_format();
    logger.format(move |out, record| writeln!(out, "{}", logging::line(record, format)));
    logger.init();
    logging::log_panics();
    ExitCode::from(cli::run(&invocation))
}
