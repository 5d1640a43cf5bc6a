//! The launcher of containers: each untrusted attempt is a task of ECS of its own, without a task role.
//!
//! ```text
//! ticket ─► RunTask (ticket in its environment) ─► runner redeems it, and reports ─► dispatcher ─► streams, end
//!                      DescribeTasks, a hundred at a time ─► stopped without a word: why
//! ```
//!
//! The worker's role is never in reach of the code, and nothing in the request to ECS is worth anything once the
//! runner has started. See `docs/adr/0020-launch-tickets.md`.

mod api;
mod config;
mod ended;
mod size;
mod stopped;
mod sweep;
mod tasks;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trace_contracts::{AttemptId, LaunchTicket, Runtime, wire::launch::TicketReply};

use self::{
    api::{Ecs, TaskArn},
    ended::Launch,
    size::Size,
    tasks::Tasks,
};
use super::{
    Error, Launched, Launcher, Order, Staging,
    remote::{BUFFER_BYTES, Limits, Rate, Reports, ticket},
};
use crate::{backoff::Retrying, dispatcher::Dispatcher};

pub use config::Config;

/// Starts attempts as tasks of ECS.
pub struct EcsLauncher {
    ecs: Ecs,
    dispatcher: Dispatcher,
    rate: Arc<Rate>,
    tasks: Arc<Tasks>,
    _keeping: AbortOnDropHandle<()>,
    _sweeping: AbortOnDropHandle<()>,
}

/// A task that nobody waits for any more is stopped when this is dropped.
struct Started {
    ecs: Ecs,
    arn: TaskArn,
}

impl Drop for Started {
    fn drop(&mut self) {
        let (ecs, arn) = (self.ecs.clone(), self.arn.clone());
        // Where there is no runtime any more, this process ends: the sweep of the next one stops it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(failure) = ecs.stop(&arn, "the attempt is over").await {
                tracing::warn!(%failure, task = arn.0, "a task was not stopped; the sweep stops it");
            }
        });
    }
}

impl EcsLauncher {
    /// A launcher for the cluster of `config`, and what it does in the background. Nothing is asked of ECS before
    /// there is something to start or to sweep.
    #[must_use]
    pub fn start(config: &Config, dispatcher: Dispatcher) -> Self {
        let (ecs, tasks) = (Ecs::new(config), Arc::<Tasks>::default());
        let keeping = tokio::spawn({
            let (ecs, tasks, poll) = (ecs.clone(), Arc::clone(&tasks), config.poll());
            async move { tasks.keep(&ecs, poll).await }
        });
        let sweeping = tokio::spawn(sweep::keep(ecs.clone(), dispatcher.clone(), config.sweep()));
        Self {
            ecs,
            dispatcher,
            rate: Arc::new(Rate::new(config.launches_per_second)),
            tasks,
            _keeping: AbortOnDropHandle::new(keeping),
            _sweeping: AbortOnDropHandle::new(sweeping),
        }
    }
}

/// Starts a task, at the rate, and again while ECS has no room, for half of the ticket's time.
async fn run(
    ecs: Ecs,
    rate: Arc<Rate>,
    attempt: AttemptId,
    ticket: LaunchTicket,
    size: Size,
    time: Duration,
) -> Result<Started, Error> {
    let mut retrying = Retrying::new(time / 2);
    loop {
        rate.turn().await;
        match ecs.run(attempt, &ticket, size).await {
            Ok(arn) => return Ok(Started { ecs, arn }),
            Err(error) if error.is_passing() && retrying.again().await => {
                tracing::warn!(%error, %attempt, "no task was started; trying again");
            }
            Err(error) => return Err(Error::Machine(error.to_string())),
        }
    }
}

#[async_trait]
impl Launcher for EcsLauncher {
    fn runtime(&self) -> Runtime {
        Runtime::EcsUdf
    }

    fn staging(&self) -> Staging {
        Staging::Elsewhere
    }

    async fn launch(&self, order: Order) -> Result<Launched, Error> {
        let no_lease =
            || Error::Machine("a container needs a lease: there is no run without a platform".to_owned());
        let fence = order.lease.ok_or_else(no_lease)?;
        let size = Size::of(&order.resources).map_err(|error| Error::Program(error.to_string()))?;
        let TicketReply { ticket, valid_ms, .. } = ticket(&self.dispatcher, fence).await?;
        let time = Duration::from_millis(valid_ms);
        let starting = run(self.ecs.clone(), Arc::clone(&self.rate), fence.attempt, ticket, size, time);
        // On its own, so that a request that is under way is seen to its end when the attempt is given up here:
        // what it has started is stopped then.
        let started = tokio::spawn(starting).await;
        let started = started.map_err(|error| Error::Machine(error.to_string()))??;
        tracing::info!(attempt = %fence.attempt, task = started.arn.0, "a task was started");
        let (stdout, inner_stdout) = tokio::io::duplex(BUFFER_BYTES);
        let (stderr, inner_stderr) = tokio::io::duplex(BUFFER_BYTES);
        let kill = CancellationToken::new();
        let launch = Launch {
            watch: self.tasks.watch(started.arn.clone()),
            started,
            reports: Reports::new(self.dispatcher.clone(), fence, inner_stdout, inner_stderr),
            kill: kill.clone(),
            redeem_within: time,
            limits: Limits { timeout: order.timeout, memory: order.resources.memory_bytes },
        };
        Ok(Launched {
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            kill: Box::new(move || kill.cancel()),
            ended: launch.ended().boxed(),
        })
    }
}
