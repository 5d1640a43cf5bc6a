//! From the start of a task to its end, as the attempt's life knows it.

use std::{fs::File, time::Duration};

use tokio::{select, time::timeout};
use tokio_util::sync::CancellationToken;
use trace_contracts::wire::launch::RunnerExit;

use super::{Started, reports::Reports, tasks::Watch};
use crate::{
    dispatcher,
    launcher::{Ended, Error, Exit, OutputError, OutputFile, Outputs},
};

/// A task that has stopped may have reported its end just before, and the worker not heard of it yet.
const LAST_REPORTS: Duration = Duration::from_secs(5);
/// A task that is being stopped has so long.
const STOPPING: Duration = Duration::from_secs(120);
/// Beyond the code's own time: fetching its bundle, and uploading what it leaves.
const AROUND: Duration = Duration::from_secs(1800);

/// A task that was started.
pub(super) struct Launch {
    pub(super) watch: Watch,
    pub(super) started: Started,
    pub(super) reports: Reports,
    pub(super) kill: CancellationToken,
    pub(super) redeem_within: Duration,
    pub(super) timeout: Duration,
    pub(super) memory_limit: u64,
}

impl Launch {
    /// Waits for the end. The task is stopped then, if it is not by itself.
    pub(super) async fn ended(mut self) -> Result<Ended, Error> {
        let stopped = select! {
            how = reported(&mut self.reports, self.redeem_within, self.timeout) => return self.judge(how?),
            stopped = self.watch.stopped() => stopped,
            () = self.kill.cancelled() => return self.killed().await,
        };
        match timeout(LAST_REPORTS, self.reports.ended()).await {
            Ok(Ok(how)) => self.judge(how),
            _ => stopped.explain(self.memory_limit).map(|exit| ended(exit, Left::Uploaded)),
        }
    }

    /// Stops the task and sees to it that it has stopped.
    async fn killed(self) -> Result<Ended, Error> {
        let Self { watch, started, .. } = self;
        let arn = started.arn.0.clone();
        drop(started);
        match timeout(STOPPING, watch.stopped()).await {
            Ok(_) => Ok(ended(Exit::Killed, Left::Uploaded)),
            Err(_elapsed) => {
                Err(Error::Machine(format!("the task {arn} does not stop; the sweep tries again")))
            }
        }
    }

    fn judge(&self, how: RunnerExit) -> Result<Ended, Error> {
        let exit = match how {
            RunnerExit::Succeeded => Exit::Success,
            RunnerExit::Status { status } => Exit::Status(status),
            RunnerExit::Signal { signal } => Exit::Signal(signal),
            RunnerExit::Timeout => Exit::Timeout { after: self.timeout },
            RunnerExit::Memory => Exit::Memory { limit: self.memory_limit },
            RunnerExit::Bundle { detail } => return Err(Error::Program(detail)),
            RunnerExit::Output { detail } => return Ok(ended(Exit::Success, Left::Unacceptable(detail))),
        };
        Ok(ended(exit, Left::Uploaded))
    }
}

/// Waits for the last report. A task whose runner does not come, or does not end, is given up.
async fn reported(
    reports: &mut Reports,
    redeem_within: Duration,
    time: Duration,
) -> Result<RunnerExit, Error> {
    let lost =
        |error: dispatcher::Error| Error::Machine(format!("asking for what the runner reports: {error}"));
    match timeout(redeem_within, reports.redeemed()).await {
        Ok(redeemed) => redeemed.map_err(lost)?,
        Err(_elapsed) => {
            let why = "the runner has not redeemed its ticket in time: look at the task's events in ECS, and at \
                whether its subnets reach the dispatcher's listener for tasks";
            return Err(Error::Machine(why.to_owned()));
        }
    }
    match timeout(time + AROUND, reports.ended()).await {
        Ok(how) => how.map_err(lost),
        // Whatever holds it up, the code can have done it.
        Err(_elapsed) => Ok(RunnerExit::Timeout),
    }
}

fn ended(exit: Exit, left: Left) -> Ended {
    Ended { exit, outputs: Box::new(left) }
}

/// What the code has left: nothing that is here.
enum Left {
    /// The runner has uploaded it; the dispatcher lists it.
    Uploaded,
    /// The runner has found something that can't be an output.
    Unacceptable(String),
}

impl Outputs for Left {
    fn files(&self) -> Result<Vec<OutputFile>, OutputError> {
        match self {
            Self::Uploaded => Ok(Vec::new()),
            Self::Unacceptable(detail) => Err(OutputError::Unacceptable(detail.clone())),
        }
    }

    fn open(&self, file: &OutputFile) -> Result<File, OutputError> {
        Err(OutputError::Unreadable(format!("`{}` was never on this machine", file.path)))
    }
}
