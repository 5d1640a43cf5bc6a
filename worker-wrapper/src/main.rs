//! The worker wrapper as a service of its own.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use trace_plane::{
    readiness,
    telemetry::{self, Format},
};
use trace_worker_wrapper::config::Config;

/// Claims tasks from a dispatcher, runs them confined on this machine, and completes them.
///
/// On SIGTERM or Ctrl-C it claims no more, lets running tasks end for a while, and gives the rest
/// back.
#[derive(Debug, Parser)]
#[command(
    version,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  TRACE_WORKER_TOKEN=\"$(cat worker.token)\" worker-wrapper --config worker.json\n\n\
    worker.json:\n  {\"dispatcher\": \"https://dispatcher:7002/\", \"task_api\": \"https://dispatcher:7001/\",\n   \
    \"query\": \"https://query:7003/\",\n   \
    \"object_store\": {\"endpoint\": \"https://store:7004/\", \"region\": \"us-east-1\"},\n   \
    \"work_dir\": \"/var/lib/trace-worker\", \"slots\": 4}"
)]
struct Arguments {
    /// A JSON file; the worker's identity may come from TRACE_WORKER_TOKEN instead.
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Which log lines to write, as in `info,trace_worker_wrapper=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "TRACE_LOG")]
    log: String,
    /// One JSON object for each log line.
    #[arg(long)]
    log_json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a configuration and says what is wrong with it. The files that it names are not opened, and nothing is connected to
    CheckConfig {
        /// A JSON file; the worker's identity may come from TRACE_WORKER_TOKEN instead.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Whether the worker that keeps this `ready_file` is ready, by the exit status: for health checks of containers
    Ready {
        /// The `ready_file` of its configuration.
        file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    trace_controls::refuse_switches();
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Ready { file }) => return Ok(readiness::exit_code(file)),
        Some(Command::CheckConfig { config }) => return read(config).map(|_| ExitCode::SUCCESS),
        None => {}
    }
    let path = arguments.config.as_deref().context("--config is missing")?;
    telemetry::init(&arguments.log, if arguments.log_json { Format::Json } else { Format::Text });
    let config = read(path)?;
    let shutdown = CancellationToken::new();
    trace_plane::stop_on_signal(shutdown.clone()).context("signals can't be received")?;
    trace_worker_wrapper::run(config, shutdown).await.context("the worker can't run")?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Config> {
    let config = Config::load(path).context("the worker can't be configured")?;
    config.check().with_context(|| format!("in {}", path.display()))?;
    Ok(config)
}
