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

/// A task that is due, and its tries so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The task.
    pub task: TaskId,
    /// Tries that count.
    pub failures: u32,
    /// Tries whose worker was lost.
    pub losses: u32,
}

impl Due {
    /// A task without tries.
    #[must_use]
    pub const fn first(task: TaskId) -> Self {
        Self { task, failures: 0, losses: 0 }
    }
}

/// A count of tries as it is stored.
pub(super) fn stored(count: u32) -> i16 {
    i16::try_from(count).unwrap_or(i16::MAX)
}

/// Makes tasks ready that are under no limit and have a priority: each with the minutes by which it
/// moves ahead.
///
/// # Errors
/// When the database fails, or one of them is ready already.
pub async fn insert_ranked(conn: &mut PgConnection, due: &[(Due, i64)]) -> Result<(), Error> {
    sqlx::query!(
        "-- ready::insert_ranked
        insert into ready (task_id, failures, losses, rank)
        select r.task_id, r.failures, r.losses, now() - make_interval(mins => r.minutes)
        from unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::integer[])
            as r(task_id, failures, losses, minutes)",
        &due.iter().map(|(one, _)| one.task.get()).collect::<Vec<_>>(),
        &due.iter().map(|(one, _)| stored(one.failures)).collect::<Vec<_>>(),
        &due.iter().map(|(one, _)| stored(one.losses)).collect::<Vec<_>>(),
        &due.iter().map(|(_, minutes)| i32::try_from(*minutes).unwrap_or_default()).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts tasks off until their next try.
///
/// # Errors
/// When the database fails.
pub async fn delay(conn: &mut PgConnection, again: &[Again]) -> Result<(), Error> {
    sqlx::query!(
        "-- ready::delay
        insert into delayed (task_id, not_before, failures, losses)
        select task_id, now() + make_interval(secs => delay), failures, losses
        from unnest($1::bigint[], $2::double precision[], $3::smallint[], $4::smallint[])
            as r(task_id, delay, failures, losses)",
        &again.iter().map(|one| one.task.get()).collect::<Vec<_>>(),
        &again.iter().map(|one| one.delay_seconds).collect::<Vec<_>>(),
        &again.iter().map(|one| stored(one.failures)).collect::<Vec<_>>(),
        &again.iter().map(|one| stored(one.losses)).collect::<Vec<_>>()
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

/// Takes tasks out of `delayed`, those of them that are still there and due. Their runs are locked.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn undelay(conn: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<Due>, Error> {
    let woken = sqlx::query!(
        "-- ready::undelay
        delete from delayed where task_id = any($1) and not_before <= clock_timestamp()
        returning task_id, failures, losses",
        &tasks.iter().map(|task| task.get()).collect::<Vec<_>>()
    )
    .fetch_all(conn)
    .await?;
    let due = woken.into_iter().map(|row| {
        Ok(Due {
            task: TaskId::from_db(row.task_id),
            failures: super::count(row.failures)?,
            losses: super::count(row.losses)?,
        })
    });
    due.collect()
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
        ), unheld as (
            delete from held where task_id between $1 and $2 returning task_id
        )
        select task_id as "task_id!" from dropped union all select task_id from undelayed
        union all select task_id from unheld"#,
        first,
        last
    )
    .fetch_all(conn)
    .await?;
    Ok(dropped.into_iter().map(TaskId::from_db).collect())
}
