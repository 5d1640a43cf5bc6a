//! From an invocation to the end of its attempt, as the attempt's life knows it.

use std::time::Duration;

use tokio::{select, task::JoinError, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    api::{Invoked, NotInvoked},
    explain::Stage,
};
use crate::launcher::{
    Ended, Error, Exit,
    remote::{LAST_REPORTS, Left, Limits, Reports, SILENT, ended, judge, reported},
};

/// A runner hears within ten seconds that its attempt is over, and ends. Lambda itself can stop nothing.
const STOPPING: Duration = Duration::from_secs(30);
/// If an invocation whose answer was lost has started something, that redeems its ticket within this time.
const AFTER_LOST: Duration = Duration::from_secs(120);
/// What to do about a runner that does not come.
const NOT_REDEEMED: &str = "the runner has not redeemed its ticket in time: look at the function's metrics, and at \
    whether its subnets reach the dispatcher's listener for tasks";

/// An invocation that is under way.
pub(super) struct Launch {
    pub(super) reports: Reports,
    pub(super) invocation: AbortOnDropHandle<Result<Invoked, NotInvoked>>,
    pub(super) kill: CancellationToken,
    pub(super) redeem_within: Duration,
    pub(super) limits: Limits,
}

impl Launch {
    /// Waits for the end: what the runner reports, or else what Lambda says.
    pub(super) async fn ended(mut self) -> Result<Ended, Error> {
        let limits = self.limits;
        let answer = select! {
            how = reported(&mut self.reports, self.redeem_within, limits.timeout, NOT_REDEEMED) => {
                return judge(how?, limits);
            }
            answer = &mut self.invocation => answer,
            () = self.kill.cancelled() => return self.killed().await,
        };
        self.answered(answer).await
    }

    async fn answered(
        mut self,
        answer: Result<Result<Invoked, NotInvoked>, JoinError>,
    ) -> Result<Ended, Error> {
        let invoked = answer.map_err(|error| Error::Machine(error.to_string()))?;
        let invoked = invoked.map_err(|error| Error::Machine(error.to_string()))?;
        if let Invoked::Lost(failure) = &invoked {
            tracing::warn!(%failure, "the answer of an invocation was lost; its runner reports all the same");
            return self.without_an_answer(&failure.to_string()).await;
        }
        if let Ok(how) = timeout(LAST_REPORTS, self.reports.ended()).await {
            return judge(how.map_err(|error| Error::Machine(error.to_string()))?, self.limits);
        }
        let stage = if self.reports.is_redeemed() { Stage::After } else { Stage::Before };
        let exit = match (invoked, stage) {
            (Invoked::Failed(error), stage) => error.explain(stage, self.limits)?,
            (_, Stage::After) => Exit::Status(SILENT),
            (_, Stage::Before) => {
                let why = "the function has ended and its ticket was not redeemed: is it made from the runner's image?";
                return Err(Error::Machine(why.to_owned()));
            }
        };
        Ok(ended(exit, Left::Uploaded))
    }

    /// Never invoked again: a second runner would be a thief to the dispatcher, and the ticket tells whether there
    /// is a first.
    async fn without_an_answer(mut self, said: &str) -> Result<Ended, Error> {
        let within = self.redeem_within.min(AFTER_LOST);
        let not_redeemed = format!("Lambda has given no answer, and no runner has come: {said}");
        select! {
            how = reported(&mut self.reports, within, self.limits.timeout, &not_redeemed) => judge(how?, self.limits),
            () = self.kill.cancelled() => Err(Error::Machine(UNSTOPPED.to_owned())),
        }
    }

    /// Waits for the runner to see that its attempt is over.
    async fn killed(mut self) -> Result<Ended, Error> {
        match timeout(STOPPING, &mut self.invocation).await {
            Ok(Ok(Ok(Invoked::Ended | Invoked::Failed(_)) | Err(_))) => {
                Ok(ended(Exit::Killed, Left::Uploaded))
            }
            Ok(Ok(Ok(Invoked::Lost(_))) | Err(_)) | Err(_) => Err(Error::Machine(UNSTOPPED.to_owned())),
        }
    }
}

/// What is known of an attempt that was killed and whose environment does not answer.
const UNSTOPPED: &str = "Lambda can't stop an invocation: it goes on without any authority until the function's time \
    is up, and its environment serves no other attempt";
