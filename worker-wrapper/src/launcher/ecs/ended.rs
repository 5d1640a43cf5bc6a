//! From the start of a task to its end, as the attempt's life knows it.

use std::time::Duration;

use tokio::{select, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Started, tasks::Watch};
use crate::launcher::{
    Ended, Error, Exit,
    remote::{LAST_REPORTS, Left, Limits, Reports, ended, judge, reported},
};

/// A task that is being stopped has so long.
const STOPPING: Duration = Duration::from_secs(120);
/// What to do about a runner that does not come.
const NOT_REDEEMED: &str = "the runner has not redeemed its ticket in time: look at the task's events in ECS, and at \
    whether its subnets reach the dispatcher's listener for tasks";

/// A task that was started.
pub(super) struct Launch {
    pub(super) watch: Watch,
    pub(super) started: Started,
    pub(super) reports: Reports,
    pub(super) kill: CancellationToken,
    pub(super) redeem_within: Duration,
    pub(super) limits: Limits,
}

impl Launch {
    /// Waits for the end. The task is stopped then, if it is not by itself.
    pub(super) async fn ended(mut self) -> Result<Ended, Error> {
        let limits = self.limits;
        let stopped = select! {
            how = reported(&mut self.reports, self.redeem_within, limits.timeout, NOT_REDEEMED) => {
                return judge(how?, limits);
            }
            stopped = self.watch.stopped() => stopped,
            () = self.kill.cancelled() => return self.killed().await,
        };
        match timeout(LAST_REPORTS, self.reports.ended()).await {
            Ok(Ok(how)) => judge(how, limits),
            _ => stopped.explain(limits.memory).map(|exit| ended(exit, Left::Uploaded)),
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
}
