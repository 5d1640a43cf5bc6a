//! `tasks` and `task_ends`.

use sqlx::PgConnection;
use trace_contracts::{OrgId, RunId, TaskId, wire::user::TaskState};

use super::Error;
use crate::planner::CheckedPlan;

/// Creates the planned tasks of several runs and makes them ready; answers the new ones. A task
/// that is there already is left alone. The runs' rows are locked, so that looking first is enough,
/// and costs less of the log than `on conflict` does; the unique key is there all the same.
///
/// # Errors
/// When the database fails.
pub async fn insert_planned(
    conn: &mut PgConnection,
    plans: &[(RunId, CheckedPlan)],
) -> Result<Vec<(RunId, TaskId)>, Error> {
    let planned = || plans.iter().flat_map(|(run, plan)| plan.tasks().iter().map(move |task| (run, task)));
    let mut jobs = Vec::new();
    for (_, task) in planned() {
        jobs.push(super::job_no(task.job)?);
    }
    let inserted = sqlx::query!(
        "-- tasks::insert_planned
        with inserted as (
            insert into tasks (run_id, job_no, partition)
            select p.run_id, p.job_no, p.partition
            from unnest($1::bigint[], $2::integer[], $3::text[]) as p(run_id, job_no, partition)
            where not exists (
                select from tasks t
                where t.run_id = p.run_id and t.job_no = p.job_no and t.partition = p.partition
            )
            returning task_id, run_id
        ), queued as (
            insert into ready (task_id) select task_id from inserted
        )
        select task_id, run_id from inserted",
        &planned().map(|(run, _)| run.get()).collect::<Vec<_>>(),
        &jobs,
        &planned().map(|(_, task)| task.partition.to_string()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    Ok(inserted.iter().map(|row| (RunId::from_db(row.run_id), TaskId::from_db(row.task_id))).collect())
}

/// Ends tasks, all in the same way.
///
/// # Errors
/// When the database fails, or a task has ended before.
pub async fn end(conn: &mut PgConnection, tasks: &[TaskId], state: TaskState) -> Result<(), Error> {
    sqlx::query!(
        "-- tasks::end
        insert into task_ends (task_id, state) select t, $2 from unnest($1::bigint[]) as e(t)",
        &tasks.iter().map(|task| task.get()).collect::<Vec<_>>(),
        state.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The run of a task of this org.
///
/// # Errors
/// When the database fails.
pub async fn run_of(conn: &mut PgConnection, org: OrgId, task: TaskId) -> Result<Option<RunId>, Error> {
    let run = sqlx::query_scalar!(
        "-- tasks::run_of
        select t.run_id from tasks t join runs r on r.run_id = t.run_id
        where t.task_id = $1 and r.org_id = $2",
        task.get(),
        org.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(run.map(RunId::from_db))
}

/// Takes a task off the dead-letter list; `false` when it was not on it.
///
/// # Errors
/// When the database fails.
pub async fn revive(conn: &mut PgConnection, task: TaskId) -> Result<Revived, Error> {
    let revived = sqlx::query!(
        "-- tasks::revive
        with revived as (
            delete from task_ends where task_id = $1 and state = 'dead' returning task_id
        )
        insert into ready (task_id) select task_id from revived",
        task.get()
    )
    .execute(conn)
    .await?
    .rows_affected();
    Ok(if revived == 1 { Revived::Yes } else { Revived::WasNotDead })
}

/// What became of a dead task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revived {
    /// It is ready again, with all its tries before it.
    Yes,
    /// It was not dead, and nothing changed.
    WasNotDead,
}
