//! One attempt's life: stage, launch, watch, upload, complete, clear away.

mod access;
mod fetch;
mod order;
mod outcome;
mod stage;
mod supervise;
mod upload;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::StatusCode;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trace_contracts::wire::worker::{
    CompleteVerdict, FailureReason, Fence, Lease, LogLine, LogRequest, Outcome,
};
use trace_controls::{Protection, stands};

use self::{access::Access, stage::Staged, upload::Store};
pub use trace_surface::bundle;

pub(crate) use self::{
    outcome::{classify, failed},
    supervise::{Watched, watch},
};
use crate::{
    cache::Cache,
    completions::{Completed, Completions},
    config::ObjectStore,
    dispatcher::Dispatcher,
    egress::{AttemptTokens, EgressTokens, Exchange},
    launcher::{self, Ended, Launched, Launcher, Outputs, Staging},
    leases::{Held, Lost},
    logs::{Destination, LogBook, Masker, Sent, ship},
    task_api::{Authority, Reach, TaskApi},
};

/// The rest of a log is sent within this time, before the completion that closes it.
const LAST_LINES: Duration = Duration::from_secs(10);

/// What all attempts of a wrapper share.
pub(crate) struct Platform {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) task_api: TaskApi,
    pub(crate) cache: Cache,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) completions: Completions,
    /// A folder for each attempt's own folder.
    pub(crate) attempts: PathBuf,
    pub(crate) region: String,
    pub(crate) store: Store,
    pub(crate) gateway: GatewayHere,
    /// Cancelled when running attempts are not waited for any longer.
    pub(crate) give_up: CancellationToken,
}

/// Whether this worker knows an egress gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GatewayHere {
    Yes,
    No,
}

impl Platform {
    pub(crate) fn store(settings: &ObjectStore) -> Store {
        Store::new(settings)
    }
}

/// How an attempt ended, as far as this wrapper is concerned.
enum Over {
    /// The dispatcher is to be told.
    Due(Outcome),
    /// Nobody is to be told: the lease is another's, or nobody's.
    LeaseLost(Lost),
}

/// Runs one attempt to its end, and tells the dispatcher unless the lease was lost.
pub(crate) async fn run(platform: &Platform, lease: Lease, held: Held) {
    let (attempt, task) = (lease.attempt, lease.launch.task);
    tracing::info!(%attempt, %task, job = %lease.launch.job, partition = %lease.launch.partition, "attempt starts");
    match live(platform, &lease, &held).await {
        Over::Due(outcome) => {
            let completed = platform.completions.complete(&held, outcome.clone()).await;
            report(&lease, &outcome, &completed);
        }
        Over::LeaseLost(lost) => tracing::warn!(%attempt, %task, ?lost, "lease lost; the attempt was killed"),
    }
}

/// Gives back a lease that was never started.
pub(crate) async fn give_back(platform: &Platform, held: &Held) {
    let _answer = platform.completions.complete(held, stopping()).await;
}

fn stopping() -> Outcome {
    failed(FailureReason::WorkerStopping, "the worker is shutting down; the task is tried again elsewhere")
}

fn report(lease: &Lease, outcome: &Outcome, completed: &Completed) {
    let (attempt, task) = (lease.attempt, lease.launch.task);
    match completed {
        Completed::Answered(CompleteVerdict::Recorded) => {
            tracing::info!(%attempt, %task, ?outcome, "attempt recorded");
        }
        other => tracing::warn!(%attempt, %task, ?outcome, answer = ?other, "attempt not recorded"),
    }
}

async fn live(platform: &Platform, lease: &Lease, held: &Held) -> Over {
    let book = Arc::new(LogBook::new(Masker::new(vec![lease.capability_token.clone()])));
    let lines = Lines { dispatcher: platform.dispatcher.clone(), fence: held.fence() };
    let shipping = AbortOnDropHandle::new(tokio::spawn({
        let book = Arc::clone(&book);
        async move { ship(&book, &lines).await }
    }));
    let authority = Arc::new(Authority::new(platform.task_api.clone(), lease.capability_token.clone()));
    let _renewing = AbortOnDropHandle::new(tokio::spawn({
        let authority = Arc::clone(&authority);
        async move { authority.keep_fresh().await }
    }));
    let over = Attempt { platform, lease, held, book: &book, authority: &authority }.run().await;
    if let Over::Due(Outcome::Failed { reason, detail }) = &over {
        book.say(&format!("failed ({}): {detail}", reason.as_str()));
    }
    book.close();
    if matches!(over, Over::Due(_)) {
        let _rest_is_dropped = timeout(LAST_LINES, shipping).await;
    }
    over
}

/// What the steps of one attempt share.
struct Attempt<'a> {
    platform: &'a Platform,
    lease: &'a Lease,
    held: &'a Held,
    book: &'a Arc<LogBook>,
    authority: &'a Arc<Authority>,
}

impl Attempt<'_> {
    /// The steps. Each that can take long ends when the attempt must.
    async fn run(&self) -> Over {
        let started = async {
            let staged = self.stage().await?;
            let launched = self.launch(staged.as_ref()).await?;
            Ok((staged, launched))
        };
        // The folders stay until the code has ended, and go with `_staged`.
        let (_staged, launched) = tokio::select! {
            started = started => match started {
                Ok(running) => running,
                Err(outcome) => return Over::Due(outcome),
            },
            over = self.stop() => return over,
        };
        let Ended { exit, outputs } = match watch(launched, self.book, self.stop()).await {
            Watched::Ended(Ok(ended)) => ended,
            Watched::Ended(Err(error @ launcher::Error::Program(_))) => {
                return Over::Due(self.not_startable(&error));
            }
            Watched::Ended(Err(error)) => {
                return Over::Due(self.our_fault("the worker lost sight of the sandbox", &error));
            }
            Watched::Stopped(over) => return over,
        };
        let last_words = self.book.last_error_line();
        match classify(&exit, last_words.as_deref()) {
            Outcome::Succeeded => tokio::select! {
                outcome = self.upload(&*outputs) => Over::Due(outcome),
                over = self.stop() => over,
            },
            failure => Over::Due(failure),
        }
    }

    /// Waits for a reason to end the attempt from outside.
    async fn stop(&self) -> Over {
        tokio::select! {
            lost = self.held.lost() => Over::LeaseLost(lost),
            () = self.platform.give_up.cancelled() => Over::Due(stopping()),
        }
    }

    async fn stage(&self) -> Result<Option<Staged>, Outcome> {
        if self.platform.launcher.staging() == Staging::Elsewhere {
            return Ok(None);
        }
        let Platform { cache, dispatcher, attempts, .. } = self.platform;
        let staged = stage::stage(cache, dispatcher, attempts, self.lease.attempt, &self.lease.launch).await;
        staged.map(Some).map_err(|error| match error.reason() {
            FailureReason::Launch => self.our_fault("the worker could not fetch the task's code", &error),
            reason => failed(reason, self.book.readable(error.to_string().as_bytes())),
        })
    }

    async fn launch(&self, staged: Option<&Staged>) -> Result<Launched, Outcome> {
        let Lease { launch, capability_token, .. } = self.lease;
        let (fence, egress) = (self.held.fence(), self.way_out());
        let order = order::order(fence, launch, capability_token, &self.platform.region, staged, egress);
        self.platform.launcher.launch(order).await.map_err(|error| match error {
            launcher::Error::Machine(_) => self.our_fault("the worker could not set up the sandbox", &error),
            launcher::Error::Program(_) => self.not_startable(&error),
        })
    }

    /// Tokens for the gateway, if the attempt's capability lets it reach anything outside.
    fn way_out(&self) -> Option<Arc<dyn EgressTokens>> {
        let reach = if stands(Protection::WayOut) { self.authority.reach() } else { Reach::Outside };
        match (reach, self.platform.gateway) {
            (Reach::Platform, _) => None,
            (Reach::Outside, GatewayHere::No) => {
                self.book.say("this worker has no egress gateway: nothing outside can be reached from it");
                None
            }
            (Reach::Outside, GatewayHere::Yes) => {
                Some(Arc::new(AttemptTokens::new(Arc::clone(self.authority) as Arc<dyn Exchange>)))
            }
        }
    }

    /// Of a bundle that would be refused wherever it is tried again.
    fn not_startable(&self, error: &launcher::Error) -> Outcome {
        failed(FailureReason::Bundle, self.book.readable(error.to_string().as_bytes()))
    }

    async fn upload(&self, outputs: &dyn Outputs) -> Outcome {
        match self.try_upload(outputs).await {
            Ok(()) => Outcome::Succeeded,
            Err(outcome) => outcome,
        }
    }

    async fn try_upload(&self, outputs: &dyn Outputs) -> Result<(), Outcome> {
        let files = outputs.files().map_err(|error| self.not_uploaded(error.into()))?;
        if files.is_empty() {
            return Ok(());
        }
        let access = Access::new(&**self.authority);
        upload::upload(&self.platform.store, &access, outputs, files)
            .await
            .map_err(|error| self.not_uploaded(error))
    }

    fn not_uploaded(&self, error: upload::Error) -> Outcome {
        match error {
            upload::Error::Unacceptable(detail) => {
                failed(FailureReason::Output, self.book.readable(detail.as_bytes()))
            }
            upload::Error::NoAccess(error) => {
                self.our_fault("the worker got no credentials for the outputs", &error)
            }
            other => self.our_fault("the worker could not upload the outputs", &other),
        }
    }

    /// A failure that counts as a lost worker. The user is told what; the worker's log says why.
    fn our_fault(&self, what: &str, error: &dyn std::error::Error) -> Outcome {
        tracing::error!(attempt = %self.lease.attempt, error = %error, "{what}");
        failed(FailureReason::Launch, format!("{what}; the log of the worker says why"))
    }
}

/// The dispatcher, as the place where an attempt's log goes.
struct Lines {
    dispatcher: Dispatcher,
    fence: Fence,
}

#[async_trait]
impl Destination for Lines {
    async fn send(&self, first_seq: u64, lines: &[LogLine]) -> Sent {
        let request = LogRequest { fence: self.fence, first_seq, lines: lines.to_vec() };
        match self.dispatcher.logs(&request).await {
            Ok(()) => Sent::Arrived,
            Err(error) if error.is_passing() => Sent::Again,
            Err(error) => {
                if error.status() != Some(StatusCode::CONFLICT) {
                    tracing::warn!(%error, attempt = %self.fence.attempt, "lines of a log are refused");
                }
                Sent::Unwanted
            }
        }
    }
}
