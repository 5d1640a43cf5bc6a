//! Starting an attempt's code somewhere it is confined.
//!
//! The life of an attempt (claim, heartbeat, logs, outputs, completion) does not know what confines
//! the code. That is the sandbox of this machine ([`ProcessLauncher`]), a container of its own ([`EcsLauncher`]), or
//! an environment of Lambda of its own ([`LambdaLauncher`]), which answer the same [`Launched`], with the streams
//! that the runner there sends.

pub mod ecs;
pub mod lambda;
mod process;
mod remote;

use std::{fs::File, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::io::AsyncRead;
use trace_contracts::{
    Runtime,
    wire::worker::{Fence, Resources},
};

pub use ecs::EcsLauncher;
pub use lambda::LambdaLauncher;
pub use process::ProcessLauncher;
pub use trace_surface::Program;

pub use crate::sandbox::{Exit, OutputFile};
use trace_surface::proxy::EgressTokens;

/// What to run, and with what.
#[derive(Clone)]
pub struct Order {
    /// The lease that it runs under; absent in a run without a platform.
    pub lease: Option<Fence>,
    /// The code.
    pub program: Program,
    /// The unpacked bundle, shown read-only; the working folder.
    pub bundle: Option<PathBuf>,
    /// The declared files by name, shown read-only.
    pub files: Option<PathBuf>,
    /// Input tables as files, for a run without a platform.
    pub inputs: Option<PathBuf>,
    /// Variables about the task, besides those that the launcher sets itself.
    pub env: Vec<(String, String)>,
    /// Hard bounds.
    pub resources: Resources,
    /// Wall-clock time.
    pub timeout: Duration,
    /// What opens the egress gateway, for code that may reach something outside the platform.
    pub egress: Option<Arc<dyn EgressTokens>>,
}

/// Code that was started.
pub struct Launched {
    /// What it prints.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// What it complains about.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Kills all of it at once; it still has to be waited for. Killing what has ended does nothing.
    pub kill: Box<dyn Fn() + Send + Sync>,
    /// Ready once nothing of it runs any more. Dropping this kills it too.
    pub ended: BoxFuture<'static, Result<Ended, Error>>,
}

/// Code that has ended.
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// What it left in `/out`.
    pub outputs: Box<dyn Outputs>,
}

/// Why code could not be started, or not be seen to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine's fault, not the code's.
    #[error("{0}")]
    Machine(String),
    /// The code is nothing that can be started.
    #[error("the code can't be started: {0}")]
    Program(String),
}

/// Where what an attempt needs has to be before it is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// On this machine: the bundle is unpacked here.
    Here,
    /// Nowhere here: what runs the code fetches it.
    Elsewhere,
}

/// Starts code.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// What it launches.
    fn runtime(&self) -> Runtime {
        Runtime::Process
    }

    /// Where what an attempt needs has to be.
    fn staging(&self) -> Staging {
        Staging::Here
    }

    /// Starts what `order` says, confined.
    ///
    /// # Errors
    /// See [`Error`]. Nothing runs then, and nothing stays.
    async fn launch(&self, order: Order) -> Result<Launched, Error>;
}

/// The files that code left in `/out`.
pub trait Outputs: Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// When something there is not acceptable as an output.
    fn files(&self) -> Result<Vec<OutputFile>, OutputError>;

    /// Opens one of them for reading.
    ///
    /// # Errors
    /// When it is not there any more, or the disk fails.
    fn open(&self, file: &OutputFile) -> Result<File, OutputError>;
}

/// Why outputs are not acceptable.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The code's fault: a link, a device, too many files.
    #[error("{0}")]
    Unacceptable(String),
    /// The machine's.
    #[error("the outputs can't be read: {0}")]
    Unreadable(String),
}
