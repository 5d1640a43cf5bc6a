//! Tasks that run for nobody: of workers that ended in the middle of a launch, and of attempts that another
//! worker has by now. Every worker sweeps those of the whole platform; stopping one twice does nothing.

use std::{collections::HashSet, time::Duration};

use trace_contracts::{AttemptId, wire::limit::BATCH_ITEMS};

use super::api::{DESCRIBED, Ecs, TaskArn};
use crate::dispatcher::Dispatcher;

/// Sweeps for ever.
pub(super) async fn keep(ecs: Ecs, dispatcher: Dispatcher, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match sweep(&ecs, &dispatcher).await {
            Ok(0) => {}
            Ok(stopped) => tracing::warn!(stopped, "tasks ran for attempts that are over; they were stopped"),
            Err(error) => tracing::warn!(%error, "tasks were not swept; trying again later"),
        }
    }
}

/// Why a sweep came to nothing.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Ecs(#[from] trace_aws::Failure),
    #[error(transparent)]
    Dispatcher(#[from] crate::dispatcher::Error),
}

async fn sweep(ecs: &Ecs, dispatcher: &Dispatcher) -> Result<usize, Error> {
    let mut running: Vec<(AttemptId, TaskArn)> = Vec::new();
    for batch in ecs.list().await?.chunks(DESCRIBED) {
        for task in ecs.describe(batch).await? {
            if let (Some(attempt), Some(arn)) = (ecs.attempt_of(&task), task.task_arn()) {
                running.push((attempt, TaskArn(arn.to_owned())));
            }
        }
    }
    // An attempt has its lease before its task is started, so none of these is too young to be asked about.
    let mut over: HashSet<AttemptId> = HashSet::new();
    for batch in running.chunks(BATCH_ITEMS) {
        over.extend(dispatcher.over(batch.iter().map(|(attempt, _)| *attempt).collect()).await?);
    }
    let stray: Vec<TaskArn> =
        running.into_iter().filter(|(attempt, _)| over.contains(attempt)).map(|(_, arn)| arn).collect();
    for arn in &stray {
        ecs.stop(arn, "its attempt is over").await?;
    }
    Ok(stray.len())
}
