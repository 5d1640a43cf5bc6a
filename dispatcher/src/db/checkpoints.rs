//! `checkpoints`: what a task left for its next try.

use sqlx::PgConnection;
use trace_contracts::{AttemptId, TaskId};

use super::Error;

/// The last checkpoint of a task.
///
/// # Errors
/// When the database fails.
pub async fn read(conn: &mut PgConnection, task: TaskId) -> Result<Option<Vec<u8>>, Error> {
    let body = sqlx::query_scalar!(
        "-- checkpoints::read
        select body from checkpoints where task_id = $1",
        task.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(body)
}

/// What became of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is the task's last one now.
    Yes,
    /// The attempt's lease does not hold: nothing changed.
    Stale,
}

/// Writes a checkpoint if the attempt's lease holds; the lease stays until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn write(conn: &mut PgConnection, attempt: AttemptId, body: &[u8]) -> Result<Written, Error> {
    let written = sqlx::query!(
        "-- checkpoints::write
        with held as (
            select task_id, attempt_id from leases
            where attempt_id = $1 and expires_at > clock_timestamp() for share
        )
        insert into checkpoints (task_id, attempt_id, body) select task_id, attempt_id, $2 from held
        on conflict (task_id) do update
        set attempt_id = excluded.attempt_id, body = excluded.body, updated_at = now()",
        attempt.get(),
        body
    )
    .execute(conn)
    .await?
    .rows_affected();
    Ok(if written == 1 { Written::Yes } else { Written::Stale })
}
