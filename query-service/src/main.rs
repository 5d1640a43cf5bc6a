//! Read-only SQL over exactly the datasets of a token, in engine processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use trace_plane::{readiness, telemetry};
use trace_query_service::config::File;

/// Read-only SQL over exactly the datasets of a token.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGINT or SIGTERM. Example: query-service serve --config /etc/trace/query.json
    Serve {
        /// The configuration, a JSON document.
        #[arg(long)]
        config: PathBuf,
    },
    /// Reads a configuration and says what is wrong with it. The files that it names are not opened, and nothing is connected to.
    CheckConfig {
        /// The configuration, a JSON document.
        #[arg(long)]
        config: PathBuf,
    },
    /// Whether the service that keeps this `ready_file` is ready, by the exit status: for health checks of containers
    Ready {
        /// The `ready_file` of its configuration.
        file: PathBuf,
    },
    /// Runs one query engine on standard input and output. Started by the service itself.
    Engine,
}

// Not `tokio::main`: an engine confines itself before any thread starts.
fn main() -> ExitCode {
    trace_controls::refuse_switches();
    let outcome = match Arguments::parse().command {
        Command::Engine => return trace_query_service::engine::main(),
        Command::Ready { file } => return readiness::exit_code(&file),
        Command::Serve { config } => read(&config).and_then(serve),
        Command::CheckConfig { config } => read(&config).map(drop),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("query-service: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read(config: &Path) -> anyhow::Result<File> {
    let text = fs::read(config).with_context(|| format!("reading {}", config.display()))?;
    let within = || format!("in {}", config.display());
    let file: File = serde_json::from_slice(&text).with_context(within)?;
    file.check().with_context(within)?;
    Ok(file)
}

fn serve(file: File) -> anyhow::Result<()> {
    telemetry::init(&file.log, telemetry::Format::Json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(file))
}

async fn run(file: File) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let door = file.transport.open()?;
    let users = door.bind(file.listen_users).await?;
    let tasks = door.bind(file.listen_tasks).await?;
    let service = trace_query_service::start(file.service, shutdown.clone()).await?;
    let user_router = service.user_router.clone().merge(service.health_router.clone());
    let task_router = service.task_router.clone().merge(service.health_router.clone());
    trace_plane::stop_on_signal(shutdown.clone()).context("signals can't be received")?;
    let ready = async {
        if let Some(file) = file.ready_file {
            readiness::keep(file, || std::future::ready(service.readiness()), shutdown.clone()).await;
        }
        Ok(())
    };
    tokio::try_join!(
        trace_plane::serve(users, user_router, shutdown.clone()),
        trace_plane::serve(tasks, task_router, shutdown.clone()),
        ready,
    )?;
    service.stopped().await;
    Ok(())
}
