//! `trace engine`: hidden; a query service starts it.

use std::process::ExitCode;

use clap::Args;

const AFTER_HELP: &str = "\
A query service starts this program and speaks to it over its standard input and output. It is
of no use to people; `trace query` is.

Example:
  trace query \"SELECT 1 AS one\"";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Engine {}

impl Engine {
    /// Before anything else starts a thread: the engine confines the whole process.
    pub fn run(&self) -> ExitCode {
        trace_query_service::engine::main()
    }
}
