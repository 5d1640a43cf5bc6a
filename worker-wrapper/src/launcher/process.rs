//! The launcher of this machine: its process sandbox.

use std::{fs::File, net::SocketAddr};

use async_trait::async_trait;
use futures::FutureExt as _;
use trace_plane::Trust;
use trace_surface::forwarder::{self, Upstream};
use url::Url;

use super::{Ended, Error, Launched, Launcher, Order, OutputError, OutputFile, Outputs};
use crate::{
    config::Config,
    sandbox::{self, Confined, Confinement, OutputDir, Sandbox, Step, Upstreams},
    worker,
};

/// Starts code in the sandbox of this machine.
#[derive(Clone)]
pub struct ProcessLauncher {
    sandbox: Sandbox,
    upstreams: Upstreams,
}

impl ProcessLauncher {
    /// Launches in `sandbox`, from where only `upstreams` can be reached.
    #[must_use]
    pub const fn new(sandbox: Sandbox, upstreams: Upstreams) -> Self {
        Self { sandbox, upstreams }
    }

    /// Prepares a sandbox that the next launch like this one takes, and waits until it is ready. Launches
    /// prepare others by themselves.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    pub async fn prepare(&self, order: Order) -> Result<(), Error> {
        self.sandbox.prepare(&confinement(order, self.upstreams.clone())).await.map_err(explain)
    }

    /// Tries the sandbox out and finds the addresses of what tasks may reach.
    ///
    /// # Errors
    /// When this machine can't confine tasks, or a configured address can't be resolved.
    pub async fn start(config: &Config) -> Result<Self, worker::Error> {
        let trust = Trust::read(config.ca_file.as_deref())?;
        let service = async |url: &Url| -> Result<Upstream, worker::Error> {
            Ok(Upstream { address: resolve(url).await?, tls: trust.connector(url)? })
        };
        let upstreams = Upstreams {
            dispatcher: Some(service(&config.task_api).await?),
            query: Some(service(&config.query).await?),
            object_store: Some(service(&config.object_store.endpoint).await?),
            egress: match &config.egress {
                Some(gateway) => Some(service(gateway).await?),
                None => None,
            },
        };
        Ok(Self::new(Sandbox::probe(config.sandbox.clone().into()).await?, upstreams))
    }
}

async fn resolve(url: &Url) -> Result<SocketAddr, worker::Error> {
    let failed = |error: std::io::Error| worker::Error::Address {
        address: url.to_string(),
        detail: error.to_string(),
    };
    forwarder::resolve(url).await.map_err(failed)
}

#[async_trait]
impl Launcher for ProcessLauncher {
    async fn launch(&self, order: Order) -> Result<Launched, Error> {
        let confinement = confinement(order, self.upstreams.clone());
        let Confined { stdout, stderr, process } = self.sandbox.launch(confinement).await.map_err(explain)?;
        let killer = process.killer();
        let ended = async move {
            let sandbox::Ended { exit, output } = process.wait().await.map_err(explain)?;
            Ok(Ended { exit, outputs: Box::new(output) as Box<dyn Outputs> })
        };
        Ok(Launched {
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            kill: Box::new(move || killer.kill()),
            ended: ended.boxed(),
        })
    }
}

fn confinement(order: Order, upstreams: Upstreams) -> Confinement {
    let arguments = order.program.arguments();
    Confinement {
        program: match order.program.executable() {
            None => sandbox::Program::Python { arguments },
            Some(path) => sandbox::Program::Executable { path: path.to_owned(), arguments },
        },
        bundle: order.bundle,
        files: order.files,
        inputs: order.inputs,
        env: order.env,
        resources: order.resources,
        timeout: order.timeout,
        upstreams,
        egress: order.egress,
    }
}

/// Tells the machine's faults from the code's. What can't be executed, and what asks for more than
/// can be passed or set, would fail in the same way wherever it is tried again.
fn explain(error: sandbox::Error) -> Error {
    match error {
        // The wrapper's own doing, and over in a moment.
        sandbox::Error::Step { step: Step::Exec, ref source, .. }
            if source.raw_os_error() == Some(libc::ETXTBSY) =>
        {
            Error::Machine(error.to_string())
        }
        sandbox::Error::Step { step: Step::Exec, .. }
        | sandbox::Error::Environment { .. }
        | sandbox::Error::Limit { .. } => Error::Program(error.to_string()),
        other => Error::Machine(other.to_string()),
    }
}

impl Outputs for OutputDir {
    fn files(&self) -> Result<Vec<OutputFile>, OutputError> {
        Self::files(self).map_err(OutputError::from)
    }

    fn open(&self, file: &OutputFile) -> Result<File, OutputError> {
        Self::open(self, file).map_err(OutputError::from)
    }
}

impl From<sandbox::OutputError> for OutputError {
    fn from(error: sandbox::OutputError) -> Self {
        match error {
            sandbox::OutputError::Io { .. } => Self::Unreadable(error.to_string()),
            other => Self::Unacceptable(other.to_string()),
        }
    }
}
