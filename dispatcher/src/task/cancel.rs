//! ready or leased → cancelled, with the whole run.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use trace_contracts::{
    OrgId, RunId, TaskId,
    wire::user::{RunState, TaskState},
    wire::worker::FailureReason,
};

use super::{Core, Error};
use crate::{
    db::{self, attempts::Ending},
    lease::Fenced,
};

/// Whether a run was cancelled just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It was.
    Now,
    /// It had been cancelled before.
    Before,
}

/// Cancels a run: nothing of it is claimed any more, and what runs loses its lease at once. A run
/// that is cancelled already stays so.
///
/// # Errors
/// [`Error::NotFound`] when the org has no such run, [`Error::RunEnded`] when it ended otherwise.
pub async fn cancel_run(
    tx: &mut PgConnection,
    core: &Core,
    org: OrgId,
    run: RunId,
) -> Result<Cancelled, Error> {
    db::runs::exists(tx, org, run).await?.ok_or(Error::NotFound("run"))?;
    let mut fenced = Fenced::lock(tx, core, &BTreeSet::from([run])).await?;
    match fenced.progress(run).map(|progress| progress.state) {
        Some(RunState::Running) => {}
        Some(RunState::Cancelled) => return Ok(Cancelled::Before),
        Some(ended) => return Err(Error::RunEnded(ended)),
        None => return Err(Error::NotFound("run")),
    }
    let (ready, held) = fenced.hold_run(run).await?;
    let endings: Vec<Ending<'_>> = held
        .iter()
        .map(|held| Ending { held, outcome: FailureReason::Cancelled.as_str(), detail: None })
        .collect();
    fenced.end(&endings).await?;
    let tasks: Vec<TaskId> = ready.into_iter().chain(held.iter().map(|held| held.task)).collect();
    db::tasks::end(fenced.conn(), &tasks, TaskState::Cancelled).await?;
    fenced.change(run, |progress| {
        progress.open = 0;
        progress.state = RunState::Cancelled;
    });
    let _heard_by_news = fenced.settle(&*core.wake).await?;
    Ok(Cancelled::Now)
}
