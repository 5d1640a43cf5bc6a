//! Why a sandbox could not be set up.

use std::{io, path::PathBuf};

use super::step::Step;

/// Why a sandbox could not be set up. Nothing of the program has run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel lacks something, or this user may not use it.
    #[error("this machine can't confine tasks: {feature} is missing. {remedy}")]
    Missing {
        /// The feature, by the name that its documentation uses.
        feature: &'static str,
        /// What an administrator can do.
        remedy: String,
    },
    /// A step inside the new namespaces failed.
    #[error("setting up the sandbox failed at `{step}` ({subject}): {source}{hint}", hint = step.hint(source))]
    Step {
        /// Which one.
        step: Step,
        /// What it was done to, such as a path.
        subject: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step outside failed.
    #[error("setting up the sandbox failed: {context}: {source}")]
    Io {
        /// What was being done.
        context: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file or folder that should be shown inside can't be.
    #[error("{path} can't be shown in the sandbox: {reason}", path = path.display())]
    Source {
        /// The path outside.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no Python interpreter to run tasks with.
    #[error("no usable Python interpreter: {0}. Install python3, or configure the path of one")]
    Python(String),
    /// The trial at start-up ended badly.
    #[error("the trial run in the sandbox failed: {0}")]
    Trial(String),
    /// A variable can't be passed on.
    #[error("environment variable `{name}` can't be passed: {reason}")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An argument or a path holds a NUL character.
    #[error("`{0}` holds a NUL character")]
    Nul(String),
    /// A limit can't be set as asked.
    #[error("the limit on {what} can't be {value}: {reason}")]
    Limit {
        /// The limit.
        what: &'static str,
        /// What was asked for.
        value: u64,
        /// Why not.
        reason: &'static str,
    },
    /// The new process did not finish its set-up in time.
    #[error("setting up the sandbox took longer than {0:?}")]
    Stalled(std::time::Duration),
    /// The threads that start sandboxes have ended.
    #[error("the wrapper is shutting down: no sandbox can be started")]
    Stopped,
}

impl Error {
    /// An `io::Error` with what was being done.
    pub(super) fn io(context: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { context: context.into(), source: source.into() }
    }
}
