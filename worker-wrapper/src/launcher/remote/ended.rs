//! How an attempt ended whose runner is elsewhere.

use std::{fs::File, time::Duration};

use tokio::time::timeout;
use trace_contracts::wire::launch::RunnerExit;

use super::Reports;
use crate::{
    dispatcher,
    launcher::{Ended, Error, Exit, OutputError, OutputFile, Outputs},
};

/// What has stopped may have reported its end just before, and the worker not heard of it yet.
pub(in crate::launcher) const LAST_REPORTS: Duration = Duration::from_secs(5);
/// The status of a runner that has ended and said nothing.
pub(in crate::launcher) const SILENT: i32 = 70;
/// Beyond the code's own time: fetching its bundle, and uploading what it leaves.
const AROUND: Duration = Duration::from_secs(1800);

/// The job's own limits, for the words in which an end is told.
#[derive(Debug, Clone, Copy)]
pub(in crate::launcher) struct Limits {
    pub timeout: Duration,
    pub memory: u64,
}

/// What a runner's last report means.
pub(in crate::launcher) fn judge(how: RunnerExit, limits: Limits) -> Result<Ended, Error> {
    let exit = match how {
        RunnerExit::Succeeded => Exit::Success,
        RunnerExit::Status { status } => Exit::Status(status),
        RunnerExit::Signal { signal } => Exit::Signal(signal),
        RunnerExit::Timeout => Exit::Timeout { after: limits.timeout },
        RunnerExit::Memory => Exit::Memory { limit: limits.memory },
        RunnerExit::Bundle { detail } => return Err(Error::Program(detail)),
        RunnerExit::Output { detail } => return Ok(ended(Exit::Success, Left::Unacceptable(detail))),
    };
    Ok(ended(exit, Left::Uploaded))
}

/// Waits for the last report. A runner that does not redeem its ticket is given up with the words `not_redeemed`; one
/// that does not end has timed out.
pub(in crate::launcher) async fn reported(
    reports: &mut Reports,
    redeem_within: Duration,
    time: Duration,
    not_redeemed: &str,
) -> Result<RunnerExit, Error> {
    let lost =
        |error: dispatcher::Error| Error::Machine(format!("asking for what the runner reports: {error}"));
    match timeout(redeem_within, reports.redeemed()).await {
        Ok(redeemed) => redeemed.map_err(lost)?,
        Err(_elapsed) => return Err(Error::Machine(not_redeemed.to_owned())),
    }
    match timeout(time + AROUND, reports.ended()).await {
        Ok(how) => how.map_err(lost),
        // Whatever holds it up, the code can have done it.
        Err(_elapsed) => Ok(RunnerExit::Timeout),
    }
}

/// An end, and what is left of it.
pub(in crate::launcher) fn ended(exit: Exit, left: Left) -> Ended {
    Ended { exit, outputs: Box::new(left) }
}

/// What the code has left: nothing that is here.
pub(in crate::launcher) enum Left {
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
