//! A worker, with its sandbox or with code that only pretends to run.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use clap::ValueEnum;
use trace_worker_wrapper::{Config, run, run_with, wakeups::LongPoll};

use super::scripted::ScriptedLauncher;

/// What runs the code of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Launcher {
    /// The process sandbox and a static executable.
    Process,
    /// Nothing: the harness plays what the executable would do.
    Scripted,
}

impl Launcher {
    /// As the command line has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Scripted => "scripted",
        }
    }
}

/// Works until `SIGTERM`, then drains.
///
/// # Errors
/// When it can't start.
pub async fn work(config: &Path, launcher: Launcher) -> anyhow::Result<()> {
    let stop = super::until_terminated()?;
    let config = Config::load(config).context("the worker can't be configured")?;
    let outcome = match launcher {
        Launcher::Process => run(config, stop).await,
        Launcher::Scripted => {
            let outputs = config.work_dir.join("scripted");
            let wakeups = Box::new(LongPoll::new(config.claim_wait()));
            run_with(config, Arc::new(ScriptedLauncher::new(outputs)?), wakeups, stop).await
        }
    };
    outcome.context("the worker can't run")
}
