//! The only way out: a forward proxy that dials vetted addresses of granted destinations.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;
use trace_egress_gateway::{
    check::{Allowed, check},
    config::File,
    policy::{self, Policy},
    resolve::Resolver,
};
use trace_plane::{readiness, telemetry};

/// The exit code of `check` for what can't be judged at all.
const BAD_INPUT: u8 = 2;
/// `check` looks a name up within this time.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(2);

/// The only way out of Trace: a forward proxy that dials vetted addresses of granted destinations.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGINT or SIGTERM. Example: egress-gateway serve --config /etc/trace/egress.json
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
    /// Whether the gateway that keeps this `ready_file` is ready, by the exit status: for health checks of containers
    Ready {
        /// The `ready_file` of its configuration.
        file: PathBuf,
    },
    /// Says whether a granted destination would be dialled, without connecting.
    ///
    /// Exits with 0 for allow, 1 for deny, 2 when the policy can't be read. Example: egress-gateway check api.example.com:443
    Check(CheckArguments),
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// HOST or HOST:PORT; the port is 443 when it is left out. A name is looked up.
    #[arg(value_name = "HOST[:PORT]", allow_hyphen_values = true)]
    destination: String,
    /// The operator's file, a JSON document. Without it, private addresses are denied and public ones allowed.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// A DNS server to ask instead of those of /etc/resolv.conf, as ADDRESS:PORT.
    #[arg(long, value_name = "ADDRESS:PORT")]
    dns_server: Vec<SocketAddr>,
}

fn main() -> ExitCode {
    trace_controls::refuse_switches();
    let outcome = match Arguments::parse().command {
        Command::Serve { config } => read(&config).and_then(serve),
        Command::CheckConfig { config } => read(&config).map(drop),
        Command::Ready { file } => return readiness::exit_code(&file),
        Command::Check(arguments) => return checked(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egress-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn checked(arguments: &CheckArguments) -> ExitCode {
    match run_check(arguments) {
        Ok(Allowed::Allow) => ExitCode::SUCCESS,
        Ok(Allowed::Deny) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("egress-gateway: {error:#}");
            ExitCode::from(BAD_INPUT)
        }
    }
}

fn run_check(arguments: &CheckArguments) -> anyhow::Result<Allowed> {
    let file = match &arguments.policy {
        Some(path) => policy::File::read(path).with_context(|| format!("the policy {}", path.display()))?,
        None => policy::File::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verdict = runtime.block_on(async {
        // Addresses need no resolver, and a name without one is a verdict too.
        let resolver = Resolver::new(&arguments.dns_server, LOOKED_UP_WITHIN).ok();
        check(&arguments.destination, &Policy::new(file), resolver.as_ref()).await
    });
    if arguments.json {
        println!("{}", serde_json::to_string(&verdict)?);
    } else {
        println!("{verdict}");
    }
    Ok(verdict.verdict)
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
    let listener = file.transport.open()?.bind(file.listen).await?;
    let rpc = match file.rpc_listen {
        Some(address) => Some(file.rpc_transport.open()?.bind(address).await?),
        None => None,
    };
    let gateway = trace_egress_gateway::start(file.service, shutdown.clone()).await?;
    trace_plane::stop_on_signal(shutdown.clone()).context("signals can't be received")?;
    let ready = async {
        if let Some(file) = file.ready_file {
            readiness::keep(file, || std::future::ready(gateway.readiness()), shutdown.clone()).await;
        }
        Ok(())
    };
    let asking = async {
        match rpc {
            Some(listener) => trace_plane::serve(listener, gateway.rpc_router(), shutdown.clone()).await,
            None => Ok(()),
        }
    };
    tokio::try_join!(gateway.serve(listener), asking, ready)?;
    gateway.stopped().await;
    Ok(())
}
