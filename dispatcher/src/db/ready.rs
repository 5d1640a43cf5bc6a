//! `ready`: what waits for a worker.

use sqlx::PgConnection;
use trace_contracts::{RunId, TaskId};

use super::Error;

/// A task that gets another try.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// The task.
    pub task: TaskId,
    /// Not before this many seconds from now.
    pub delay_seconds: f64,
    /// Tries so far that count.
    pub failures: u32,
    /// Tries so far whose worker was lost.
    pub losses: u32,
}

/// Puts tasks back.
///
/// # Errors
/// When the database fails.
pub async fn requeue(conn: &mut PgConnection, again: &[Again]) -> Result<(), Error> {
    let signed = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query!(
        "-- ready::requeue
        insert into ready (task_id, not_before, failures, losses)
        select r.task_id, now() + make_interval(secs => r.delay), r.failures, r.losses
        from unnest($1::bigint[], $2::double precision[], $3::integer[], $4::integer[])
            as r(task_id, delay, failures, losses)",
        &again.iter().map(|one| one.task.get()).collect::<Vec<_>>(),
        &again.iter().map(|one| one.delay_seconds).collect::<Vec<_>>(),
        &again.iter().map(|one| signed(one.failures)).collect::<Vec<_>>(),
        &again.iter().map(|one| signed(one.losses)).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes out every task of a run.
///
/// # Errors
/// When the database fails.
pub async fn drop_run(conn: &mut PgConnection, run: RunId) -> Result<Vec<TaskId>, Error> {
    let dropped = sqlx::query_scalar!(
        "-- ready::drop_run
        delete from ready r using tasks t where t.task_id = r.task_id and t.run_id = $1
        returning r.task_id",
        run.get()
    )
    .fetch_all(conn)
    .await?;
    Ok(dropped.into_iter().map(TaskId::from_db).collect())
}
