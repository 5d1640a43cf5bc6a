//! The dispatcher as a service of its own.

mod init;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use trace_dispatcher::{
    Adapters, Config, CredentialMinter,
    credentials::{QueryServiceOnly, Source, sts::Sts},
    serve,
};
use trace_plane::{
    readiness,
    telemetry::{self, Format},
};

/// Plans DAG runs into tasks, leases them, mints capabilities and keeps the dataset registry.
#[derive(Debug, Parser)]
#[command(
    version,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  dispatcher --config /etc/trace/dispatcher.yaml"
)]
struct Arguments {
    /// The configuration, in YAML.
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Which log lines to write, such as `info,trace_dispatcher=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    /// Reads a configuration and says what is wrong with it. The files that it names are not opened, and nothing is connected to
    CheckConfig {
        /// The configuration, in YAML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Whether the dispatcher that keeps this `ready_file` is ready, by the exit status: for health checks of containers
    Ready {
        /// The `ready_file` of its configuration.
        file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    trace_controls::refuse_switches();
    let arguments = Arguments::parse();
    telemetry::init(&arguments.log, Format::Json);
    match arguments.command {
        Some(Command::Init(init)) => init.run().await?,
        Some(Command::CheckConfig { config }) => drop(Config::read(&config)?),
        Some(Command::Ready { file }) => return Ok(readiness::exit_code(&file)),
        None => run(&arguments.config.context("--config is missing")?).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(path: &std::path::Path) -> anyhow::Result<()> {
    let config = Config::read(path)?;
    let shutdown = CancellationToken::new();
    trace_plane::stop_on_signal(shutdown.clone()).context("signals can't be received")?;
    let credentials: Arc<dyn CredentialMinter> = match &config.credentials {
        Source::None => Arc::new(QueryServiceOnly),
        Source::Sts(sts) => Arc::new(Sts::new(sts, &config.object_store)),
    };
    let adapters = Adapters::new(&config, credentials);
    serve(config, adapters, shutdown).await.context("the dispatcher stopped")
}
