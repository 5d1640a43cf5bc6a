//! `trace up`: the whole platform in one process, for one machine.
//!
//! It calls the same `start` functions as the services' own binaries; what differs is which adapters
//! are wired, in [`platform`].

mod adapters;
mod data_dir;
mod issuer;
mod listeners;
mod platform;
mod signals;

use std::{io, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use trace_contracts::{Name, Secret};
use trace_plane::{
    Trust,
    telemetry::{self, Format},
};

use self::{data_dir::DataDir, issuer::LocalIssuer, platform::Platform, signals::StopSignals};
use crate::{
    cli::Exit,
    connection::{self, Connection},
    output,
    tools::{self, Tools},
};

/// How often the tokens in the data folder are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// What is logged unless `RUST_LOG` says otherwise. To `s3s` every refusal is an error; they are in the
/// audit log.
const LOG_FILTER: &str = "warn,s3s=off";

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where users reach it.
    pub listen: SocketAddr,
    /// The orgs to have; not empty.
    pub orgs: Vec<Name>,
    /// Tasks at once; as many as there are cores, when absent.
    pub slots: Option<NonZeroU32>,
    /// The operator's file of the egress gateway: what it may reach beside public addresses, and what not.
    pub egress_policy: Option<PathBuf>,
    /// Authorities that receivers of webhooks are believed by, beside the system's.
    pub egress_ca: Option<PathBuf>,
    /// Who resolves names for the egress gateway; those of `/etc/resolv.conf` where there are none.
    pub egress_dns: Vec<SocketAddr>,
    /// The folder with the secrets of built-in operators, as `ORG/NAME`.
    pub secrets: Option<PathBuf>,
}

/// Why there is no platform, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder can't be used.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// The issuer of user tokens can't work.
    #[error(transparent)]
    Issuer(#[from] issuer::Error),
    /// Something of `trace` is missing.
    #[error(transparent)]
    Tools(#[from] tools::Error),
    /// A part does not start, or has stopped.
    #[error(transparent)]
    Platform(#[from] platform::Error),
    /// The connection file can't be written.
    #[error(transparent)]
    Connection(#[from] connection::Error),
    /// Signals or standard output.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A second Ctrl-C.
    #[error("stopped at once; what was running is run again at the next start")]
    StoppedAtOnce,
}

impl Error {
    /// The code to end with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::StoppedAtOnce => Exit::Interrupted,
            _ => Exit::CannotStart,
        }
    }
}

/// Starts the platform, tells that it is ready, and runs it until a signal stops it.
///
/// # Errors
/// When it can't start, a part of it fails, or it is stopped at once.
pub async fn run(options: Options) -> Result<(), Error> {
    telemetry::init(&log_filter(), Format::Text);
    let mut signals = StopSignals::take()?;
    let data = DataDir::take(&options.data_dir)?;
    let tools = Tools::prepare(data.path())?;
    let folder = data.folder("issuer")?;
    let issuer = LocalIssuer::open(&folder)?;
    issuer.write_jwks(&folder)?;

    let starting = Platform::start(&options, &data, &issuer, tools);
    let mut platform = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Err(Error::StoppedAtOnce),
    };
    let published = publish(&options, &data, &issuer, &platform);
    let outcome = match published {
        Ok(()) => serve(&options, &data, &issuer, &mut platform, &mut signals).await,
        Err(error) => Err(error),
    };
    Connection::remove(data.path())?;
    let stopped = stop(platform, &mut signals).await;
    outcome.and(stopped)
}

/// Writes the tokens and the connection file, and only then says `ready`.
fn publish(
    options: &Options,
    data: &DataDir,
    issuer: &LocalIssuer,
    platform: &Platform,
) -> Result<(), Error> {
    write_tokens(options, data, issuer, platform.address())?;
    output::line(&format!("ready http://{}", platform.address()))?;
    Ok(())
}

fn write_tokens(
    options: &Options,
    data: &DataDir,
    issuer: &LocalIssuer,
    address: SocketAddr,
) -> Result<(), Error> {
    let first = issuer.write_admins(&options.orgs, &data.folder("tokens")?)?;
    let token = first.unwrap_or_else(|| Secret::new(String::new()));
    let address = format!("http://{address}").parse().map_err(connection::Error::from)?;
    Ok(Connection { address, token, trust: Trust::default() }.write(data.path())?)
}

/// Runs until a signal comes, or a part of the platform ends by itself.
async fn serve(
    options: &Options,
    data: &DataDir,
    issuer: &LocalIssuer,
    platform: &mut Platform,
    signals: &mut StopSignals,
) -> Result<(), Error> {
    let mut renewal = interval(RENEW_EVERY);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let address = platform.address();
    loop {
        tokio::select! {
            _ = renewal.tick() => write_tokens(options, data, issuer, address)?,
            () = signals.next() => return Ok(()),
            failed = platform.failed() => return Err(failed.into()),
        }
    }
}

/// Drains, unless another signal says not to.
async fn stop(platform: Platform, signals: &mut StopSignals) -> Result<(), Error> {
    eprintln!("stopping: running tasks may end; Ctrl-C again stops at once");
    tokio::select! {
        stopped = platform.stop() => Ok(stopped?),
        () = signals.next() => Err(Error::StoppedAtOnce),
    }
}

#[expect(clippy::disallowed_methods, reason = "the log filter is read from the environment here alone")]
fn log_filter() -> String {
    std::env::var("RUST_LOG").unwrap_or_else(|_| LOG_FILTER.to_owned())
}
