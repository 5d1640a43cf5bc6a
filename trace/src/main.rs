//! The command line, and `trace up`: the whole platform in one process.

use std::process::ExitCode;

use clap::Parser as _;
use trace::cli::{self, Cli};

fn main() -> ExitCode {
    trace_controls::refuse_switches();
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.message());
            ExitCode::from(error.exit() as u8)
        }
    }
}
