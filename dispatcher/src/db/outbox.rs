//! `outbox`: wake-ups on their way to a queue outside the database.

use sqlx::PgConnection;
use trace_contracts::{Runtime, TaskId};

use super::Error;

/// A wake-up to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row.
    pub id: i64,
    /// The task that is ready.
    pub task: TaskId,
}

/// Leaves wake-ups to be sent once the transaction has committed.
///
/// # Errors
/// When the database fails.
pub async fn add(conn: &mut PgConnection, runtime: Runtime, tasks: &[TaskId]) -> Result<(), Error> {
    sqlx::query!(
        "-- outbox::add
        insert into outbox (task_id, runtime) select task_id, $2 from unnest($1::bigint[]) as t(task_id)",
        &tasks.iter().map(|task| task.get()).collect::<Vec<_>>(),
        runtime.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes due wake-ups of one queue, oldest first. Nobody else is given them for so many seconds: if they are
/// neither removed nor put back by then, they are due again.
///
/// # Errors
/// When the database fails.
pub async fn take(
    conn: &mut PgConnection,
    runtime: Runtime,
    limit: i64,
    hold_seconds: f64,
) -> Result<Vec<OutboxRow>, Error> {
    let mut taken = sqlx::query!(
        "-- outbox::take
        with due as materialized (
            select outbox_id from outbox where due_at <= clock_timestamp() and runtime = $1
            order by due_at, outbox_id limit $2 for update skip locked
        )
        update outbox o set due_at = clock_timestamp() + make_interval(secs => $3), tries = tries + 1
        from due where due.outbox_id = o.outbox_id
        returning o.outbox_id, o.task_id",
        runtime.as_str(),
        limit,
        hold_seconds
    )
    .fetch_all(conn)
    .await?;
    taken.sort_unstable_by_key(|row| row.outbox_id);
    Ok(taken
        .into_iter()
        .map(|row| OutboxRow { id: row.outbox_id, task: TaskId::from_db(row.task_id) })
        .collect())
}

/// Removes wake-ups that the queue has.
///
/// # Errors
/// When the database fails: they are sent again then.
pub async fn remove(conn: &mut PgConnection, ids: &[i64]) -> Result<(), Error> {
    sqlx::query!("-- outbox::remove\ndelete from outbox where outbox_id = any($1)", ids)
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes wake-ups that were taken due again at once.
///
/// # Errors
/// When the database fails: they are due a little later then.
pub async fn put_back(conn: &mut PgConnection, ids: &[i64]) -> Result<(), Error> {
    sqlx::query!(
        "-- outbox::put_back
        update outbox set due_at = clock_timestamp() where outbox_id = any($1)",
        ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// In how many seconds the next wake-up is due, if there is one; negative when it is.
///
/// # Errors
/// When the database fails.
pub async fn next_due(conn: &mut PgConnection, runtime: Runtime) -> Result<Option<f64>, Error> {
    let next = sqlx::query_scalar!(
        "-- outbox::next_due
        select extract(epoch from min(due_at) - clock_timestamp())::double precision from outbox
        where runtime = $1",
        runtime.as_str()
    )
    .fetch_one(conn)
    .await?;
    Ok(next)
}

/// Whether it is this dispatcher's turn to look for lost wake-ups: nobody has for so many seconds, and a task
/// has been ready for as long.
///
/// # Errors
/// When the database fails.
pub async fn take_turn(conn: &mut PgConnection, seconds: f64) -> Result<Turn, Error> {
    let taken = sqlx::query_scalar!(
        r#"-- outbox::take_turn
        update outbox_sweeps set at = clock_timestamp()
        where at <= clock_timestamp() - make_interval(secs => $1)
            and exists (select from ready where ready_at <= clock_timestamp() - make_interval(secs => $1))
        returning true as "taken!""#,
        seconds
    )
    .fetch_optional(conn)
    .await?;
    Ok(if taken.is_some() { Turn::Mine } else { Turn::NotNow })
}

/// Whether to look for lost wake-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now, and nobody else does.
    Mine,
    /// There is nothing to look for, or somebody else has.
    NotNow,
}

/// Tasks that have been ready for so many seconds and have no wake-up waiting to be sent, those that have waited
/// longest first.
///
/// # Errors
/// When the database fails.
pub async fn lost(conn: &mut PgConnection, seconds: f64, limit: i64) -> Result<Vec<TaskId>, Error> {
    let found = sqlx::query_scalar!(
        "-- outbox::lost
        select r.task_id from ready r
        where r.ready_at <= clock_timestamp() - make_interval(secs => $1)
            and not exists (select from outbox o where o.task_id = r.task_id)
        order by r.ready_at, r.task_id limit $2",
        seconds,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(TaskId::from_db).collect())
}
