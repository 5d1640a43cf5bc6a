//! Which tasks a worker may claim: those of the runtime that it launches.
//!
//! A task finds its worker by the queue that it is announced in, so there is nothing of this in the table that claims
//! take from. Here it is only seen to that nobody takes what was announced to others.

use std::collections::BTreeSet;

use trace_contracts::{ErrorCode, RunId, Runtime, TaskId};
use trace_plane::{Refusal, Reply};

use crate::{App, db, queue::Source, runtimes::Offered};

/// What of a claim is left to a worker of a runtime. One that does not say launches processes.
///
/// # Errors
/// When the environment does not offer it, or the claim names no tasks where that has to be.
pub(super) async fn admit(
    app: &App,
    runtime: Option<Runtime>,
    only: Option<Vec<TaskId>>,
) -> Reply<Option<Vec<TaskId>>> {
    // Where the database is the queue, a task goes to whoever asks.
    let Source::Sqs(config) = &app.config.wake_ups else { return Ok(only) };
    let offered = config.queues.offered();
    match (offered.one(), runtime) {
        // A worker from before runtimes says nothing, whatever it launches.
        (Some(_), None) => return Ok(only),
        (Some(one), Some(runtime)) if one == runtime => return Ok(only),
        _ => {}
    }
    let runtime = runtime.unwrap_or(Runtime::Process);
    if !offered.has(runtime) {
        return Err(conflict(format!(
            "this worker launches `{runtime}`, and this environment has queues for {offered}: change the worker's \
             `launcher`, or give the dispatcher a queue for it"
        )));
    }
    let Some(only) = only else {
        return Err(conflict(format!(
            "this environment has queues for {offered}, and a task is claimed by who reads its queue: give this worker \
             `wake_ups` with the queue of `{runtime}`"
        )));
    };
    of_runtime(app, offered, runtime, only).await.map(Some)
}

/// Those of these tasks that run there. What there is no run of, or no such task in it, is left out too.
async fn of_runtime(
    app: &App,
    offered: &Offered,
    runtime: Runtime,
    mut tasks: Vec<TaskId>,
) -> Reply<Vec<TaskId>> {
    let runs: BTreeSet<RunId> = tasks.iter().map(|task| task.run()).collect();
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let facts = app.core.facts.known(&mut conn, &runs).await?;
    tasks.retain(|task| {
        let place = facts.get(&task.run()).and_then(|facts| facts.find(*task));
        place.is_some_and(|place| offered.of_job(place.spec.runtime) == runtime)
    });
    Ok(tasks)
}

fn conflict(detail: String) -> Refusal {
    Refusal::new(ErrorCode::Conflict, detail)
}
