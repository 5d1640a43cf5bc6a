//! The only way out: a forward proxy that dials vetted addresses of granted destinations.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trace_egress_gateway::{
    check::{Allowed, check},
    config::File,
    policy::{self, Policy},
    resolve::Resolver,
};
use trace_plane::{Transport, readiness, telemetry};

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
        Command::Serve { config } => serve(&config),
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

fn serve(config: &Path) -> anyhow::Result<()> {
    let text = fs::read(config).with_context(|| format!("reading {}", config.display()))?;
    let file: File = serde_json::from_slice(&text).with_context(|| format!("in {}", config.display()))?;
    telemetry::init(&file.log, telemetry::Format::Json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(file))
}

async fn run(file: File) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let listener = bind(&file).await?;
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

/// Callers show tokens here. They are told to nobody but this machine, or somebody has said that nobody listens on
/// the way.
async fn bind(file: &File) -> anyhow::Result<TcpListener> {
    let is_of_this_machine = file.listen.ip().to_canonical().is_loopback();
    match file.transport {
        Transport::Tls(_) => bail!(
            "`transport: tls`: the gateway does not speak TLS yet; set `plain` where you know who listens on the way to it"
        ),
        Transport::Loopback if !is_of_this_machine => {
            bail!(
                "{} would be listened on without TLS, and it is not loopback: set `transport: plain` where you know who listens on the way",
                file.listen
            )
        }
        Transport::Loopback | Transport::Plain => {}
    }
    TcpListener::bind(file.listen).await.with_context(|| format!("binding {}", file.listen))
}
