//! Tasks as people read them.

use std::{collections::BTreeSet, sync::Arc};

use sqlx::PgConnection;
use trace_contracts::{
    OrgId, RunId, TaskId,
    wire::user::{RunState, TaskInfo, TaskState},
};

use crate::{
    db::{self, runs_read, tasks::Standing},
    facts::{FactCache, RunFacts},
};

/// Tasks of a run of this org after `after`, in the order of their places; `None` when the org has
/// no such run.
///
/// # Errors
/// When the database fails.
pub async fn of_run(
    conn: &mut PgConnection,
    cache: &FactCache,
    org: OrgId,
    run: RunId,
    after: Option<TaskId>,
    limit: i64,
) -> Result<Option<Vec<TaskInfo>>, db::Error> {
    if db::runs::exists(conn, org, run).await?.is_none() {
        return Ok(None);
    }
    let facts = cache.one(conn, run).await?;
    let first = match after {
        None => 0,
        Some(task) if task.run() < run => 0,
        Some(task) if task.run() > run => return Ok(Some(Vec::new())),
        Some(task) => task.ordinal() + 1,
    };
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let last = facts.listed.count().min(first.saturating_add(limit));
    let tasks: Vec<TaskId> = (first..last).filter_map(|place| TaskId::in_run(run, place)).collect();
    read(conn, &[facts], &tasks).await.map(Some)
}

/// A task of this org.
///
/// # Errors
/// When the database fails.
pub async fn one(
    conn: &mut PgConnection,
    cache: &FactCache,
    org: OrgId,
    task: TaskId,
) -> Result<Option<TaskInfo>, db::Error> {
    if db::runs::exists(conn, org, task.run()).await?.is_none() {
        return Ok(None);
    }
    let facts = cache.one(conn, task.run()).await?;
    if facts.find(task).is_none() {
        return Ok(None);
    }
    Ok(read(conn, &[facts], &[task]).await?.pop())
}

/// The dead-letter list of an org after `after`.
///
/// # Errors
/// When the database fails.
pub async fn dead(
    conn: &mut PgConnection,
    cache: &FactCache,
    org: OrgId,
    after: Option<TaskId>,
    limit: i64,
) -> Result<Vec<TaskInfo>, db::Error> {
    let tasks = db::tasks::dead(conn, org, after, limit).await?;
    let runs: BTreeSet<RunId> = tasks.iter().map(|task| task.run()).collect();
    let facts: Vec<Arc<RunFacts>> = cache.of(conn, &runs).await?.into_values().collect();
    read(conn, &facts, &tasks).await
}

async fn read(
    conn: &mut PgConnection,
    facts: &[Arc<RunFacts>],
    tasks: &[TaskId],
) -> Result<Vec<TaskInfo>, db::Error> {
    let ids: Vec<i64> = tasks.iter().map(|task| task.get()).collect();
    let runs: Vec<i64> = facts.iter().map(|facts| facts.run.get()).collect();
    // The runs' states are read first: a task without a row is skipped only if its run had ended
    // before nothing was found of it.
    let states = db::runs::states(conn, &runs).await?;
    let standings = db::tasks::standings(conn, &ids).await?;
    let mut attempts = runs_read::attempts(conn, &ids).await?;
    tasks
        .iter()
        .map(|task| {
            let facts = facts.iter().find(|facts| facts.run == task.run());
            let facts = facts.ok_or_else(|| db::Error::corrupt("a run", task.run()))?;
            let place = facts.place(*task)?;
            let standing = standings
                .get(task)
                .copied()
                .unwrap_or(Standing { state: without_row(states.get(&task.run()).copied()), retry_at: None });
            Ok(TaskInfo {
                task: *task,
                run: task.run(),
                job: place.spec.name.clone(),
                partition: place.partition.clone(),
                state: standing.state,
                attempts: attempts.remove(task).unwrap_or_default(),
                retry_at: standing.retry_at,
            })
        })
        .collect()
}

/// Where a task stands that has no row.
const fn without_row(run: Option<RunState>) -> TaskState {
    match run {
        Some(RunState::Running) | None => TaskState::Waiting,
        Some(RunState::Succeeded | RunState::Failed | RunState::Cancelled) => TaskState::Skipped,
    }
}
