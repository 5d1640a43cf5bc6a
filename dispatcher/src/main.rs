//! The dispatcher as a service of its own.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use trace_dispatcher::{
    Adapters, Config, CredentialMinter,
    credentials::{QueryServiceOnly, Source, sts::Sts},
    serve,
};
use trace_plane::telemetry::{self, Format};

/// Plans DAG runs into tasks, leases them, mints capabilities and keeps the dataset registry.
#[derive(Debug, Parser)]
#[command(version, after_help = "Example:\n  dispatcher --config /etc/trace/dispatcher.yaml")]
struct Arguments {
    /// The configuration, in YAML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which log lines to write, such as `info,trace_dispatcher=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    trace_controls::refuse_switches();
    let arguments = Arguments::parse();
    telemetry::init(&arguments.log, Format::Json);
    let config = Config::read(&arguments.config)?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM can't be waited for")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.cancel();
    });
    let credentials: Arc<dyn CredentialMinter> = match &config.credentials {
        Source::None => Arc::new(QueryServiceOnly),
        Source::Sts(sts) => Arc::new(Sts::new(sts, &config.object_store)),
    };
    let adapters = Adapters::new(&config, credentials);
    serve(config, adapters, shutdown).await.context("the dispatcher stopped")
}
