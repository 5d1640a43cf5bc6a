//! `ready` and `delayed`: what waits for a worker, and what waits for its next try.

use sqlx::PgConnection;
use trace_contracts::{RunId, TaskId};

use super::Error;

/// A task that gets another try.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// The task.
    pub task: TaskId,
    /// Not before this many seconds from now; 0 is at once.
    pub delay_seconds: f64,
    /// Tries so far that count.
    pub failures: u32,
    /// Tries so far whose worker was lost.
    pub losses: u32,
}

/// Makes tasks ready for the first time.
///
/// # Errors
/// When the database fails, or one of them is ready already.
pub async fn insert(conn: &mut PgConnection, tasks: &[TaskId]) -> Result<(), Error> {
    sqlx::query!(
        "-- ready::insert\ninsert into ready (task_id) select * from unnest($1::bigint[])",
        &tasks.iter().map(|task| task.get()).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts tasks back: those without a delay into `ready`, the others into `delayed`.
///
/// # Errors
/// When the database fails.
pub async fn requeue(conn: &mut PgConnection, again: &[Again]) -> Result<(), Error> {
    let signed = |count: u32| i16::try_from(count).unwrap_or(i16::MAX);
    sqlx::query!(
        "-- ready::requeue
        with again as (
            select * from unnest($1::bigint[], $2::double precision[], $3::smallint[], $4::smallint[])
                as r(task_id, delay, failures, losses)
        ), now as (
            insert into ready (task_id, failures, losses)
            select task_id, failures, losses from again where delay <= 0
        )
        insert into delayed (task_id, not_before, failures, losses)
        select task_id, now() + make_interval(secs => delay), failures, losses from again where delay > 0",
        &again.iter().map(|one| one.task.get()).collect::<Vec<_>>(),
        &again.iter().map(|one| one.delay_seconds).collect::<Vec<_>>(),
        &again.iter().map(|one| signed(one.failures)).collect::<Vec<_>>(),
        &again.iter().map(|one| signed(one.losses)).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Tasks whose next try is due; without a lock.
///
/// # Errors
/// When the database fails.
pub async fn due(conn: &mut PgConnection, limit: i64) -> Result<Vec<TaskId>, Error> {
    let found = sqlx::query_scalar!(
        "-- ready::due
        select task_id from delayed where not_before <= clock_timestamp() order by not_before limit $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(TaskId::from_db).collect())
}

/// Makes delayed tasks ready, those of them that are still delayed; answers which. Their runs are
/// locked.
///
/// # Errors
/// When the database fails.
pub async fn wake(conn: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<TaskId>, Error> {
    let woken = sqlx::query_scalar!(
        "-- ready::wake
        with woken as (
            delete from delayed where task_id = any($1) and not_before <= clock_timestamp()
            returning task_id, failures, losses
        )
        insert into ready (task_id, failures, losses) select task_id, failures, losses from woken
        returning task_id",
        &tasks.iter().map(|task| task.get()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    Ok(woken.into_iter().map(TaskId::from_db).collect())
}

/// Takes out every task of a run.
///
/// # Errors
/// When the database fails.
pub async fn drop_run(conn: &mut PgConnection, run: RunId) -> Result<Vec<TaskId>, Error> {
    let (first, last) = TaskId::span(run);
    let dropped = sqlx::query_scalar!(
        r#"-- ready::drop_run
        with dropped as (
            delete from ready where task_id between $1 and $2 returning task_id
        ), undelayed as (
            delete from delayed where task_id between $1 and $2 returning task_id
        )
        select task_id as "task_id!" from dropped union all select task_id from undelayed"#,
        first,
        last
    )
    .fetch_all(conn)
    .await?;
    Ok(dropped.into_iter().map(TaskId::from_db).collect())
}
