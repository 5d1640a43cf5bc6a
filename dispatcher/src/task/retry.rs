//! dead → ready, by hand.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use trace_contracts::{OrgId, TaskId, wire::user::RunState};

use super::{Core, Error};
use crate::{
    db::{self, ready::Due, tasks::Revived},
    lease::Fenced,
};

/// Takes a task off the dead-letter list and makes it ready, with all its tries before it. A run
/// that had failed goes on.
///
/// # Errors
/// [`Error::NotFound`] when the org has no such task, [`Error::RunEnded`] when its run was
/// cancelled, [`Error::NotDead`] when the task is not dead.
pub async fn retry_task(tx: &mut PgConnection, core: &Core, org: OrgId, task: TaskId) -> Result<(), Error> {
    let run = db::runs::exists(tx, org, task.run()).await?.ok_or(Error::NotFound("task"))?;
    let mut fenced = Fenced::lock(tx, core, &BTreeSet::from([run])).await?;
    if let Some(RunState::Cancelled) = fenced.progress(run).map(|progress| progress.state) {
        return Err(Error::RunEnded(RunState::Cancelled));
    }
    if db::tasks::revive(fenced.conn(), task).await? == Revived::WasNotDead {
        return Err(Error::NotDead);
    }
    fenced.change(run, |progress| {
        progress.dead -= 1;
        progress.open += 1;
        progress.state = RunState::Running;
    });
    fenced.due(vec![Due::first(task)]).await?;
    let _heard_by_news = fenced.settle(&*core.wake).await?;
    Ok(())
}
